"""`rmqsetup ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:  # noqa: ARG001 - every command is given one
    """List the throwaway brokers of this user that are up."""
    from rmqsetup.broker import place
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, plain

    found = tuple(lease for _, lease in place.leases())
    return Answer("ps", lambda: screen.listed(found), lambda: {"brokers": plain(found)}, frank=True)
