"""`rmqsetup uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Take back everything rmqsetup did on this machine.

    Shows what that changes and asks once. The broker's data and logs stay, and where they are is said;
    --purge deletes them as well, after a question of its own.
    """
    from rmqsetup.cli.changing import take_back
    from rmqsetup.pipeline import uninstalling
    from rmqsetup.show.answer import Answer
    from rmqsetup.show.ending import NOTHING_LEFT

    session.become_owner()
    plan, names = uninstalling(purge=session.words.purge, state=session.state)
    if not names:
        return Answer("uninstall", lambda: NOTHING_LEFT, status="unchanged")
    return take_back(session, plan, names, purge=session.words.purge)
