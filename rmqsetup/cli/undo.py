"""`rmqsetup undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Take the last run back: what was there before is there again.

    Shows what that changes and asks once. Data of the broker stay.
    """
    from rmqsetup.cli.changing import take_back
    from rmqsetup.pipeline import undoing

    session.become_owner()
    plan, names = undoing(session.words.receipt or "", state=session.state)
    return take_back(session, plan, names)
