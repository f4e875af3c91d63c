"""`rmqsetup verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Verify the broker step by step, up to messages that come back.

    Stops at the first step that fails. Level 0 looks at the packages, 1 at the service, 2 at the node, 3 at its
    listeners; 4 logs in, 5 sends messages through a classic and a quorum queue. Leaves nothing behind on the node. With
    --broker it is a throwaway broker's first node, with its programs and its holder for packages and service. Exit code
    8 when something does not hold.
    """
    from rmqsetup.cli.verifying import climb, installed_pair, unseen
    from rmqsetup.show import verification as screen
    from rmqsetup.show.answer import Answer, plain
    from rmqsetup.verify import NODE, TOP

    level = TOP if session.words.level is None else session.words.level
    found = climb(session, installed_pair(session), level=level)
    failed = found.failed
    error = unseen(session, found.error()) if failed and failed.level >= NODE else found.error()
    return Answer(
        "verify",
        lambda: screen.summary(found, session.terminal),
        lambda: plain(found),
        status="ok" if found.ok else "failed",
        error=error,
    )
