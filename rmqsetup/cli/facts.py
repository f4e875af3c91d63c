"""`rmqsetup facts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Show what rmqsetup sees of this machine.

    System, privileges, packages, sources. Changes nothing, and needs no root.
    """
    from rmqsetup.detect import detect
    from rmqsetup.show import facts as screen
    from rmqsetup.show.answer import Answer, plain

    found = detect(session.host)
    return Answer("facts", lambda: screen.screen(found, session.terminal), lambda: plain(found))
