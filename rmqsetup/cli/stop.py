"""`rmqsetup stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """End throwaway brokers of this user, and remove their files.

    The broker of the machine is none of them: systemctl stop rabbitmq-server stops that.
    """
    from rmqsetup.broker import place
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer

    words = session.words
    if bool(words.names) == words.every:
        raise UsageError("which broker?", hint="rmqsetup stop ID, as rmqsetup ps names them, or --all")
    found = dict(place.leases() if words.every else map(place.named, words.names))
    for folder in found:
        place.remove(folder)
    names = tuple(lease.name for lease in found.values())
    return Answer(
        "stop",
        lambda: screen.stopped(names),
        lambda: {"stopped": names},
        status="changed" if names else "unchanged",
    )
