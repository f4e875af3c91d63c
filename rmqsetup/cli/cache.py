"""`rmqsetup cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """List or clear what was fetched for throwaway brokers and archives: all of it can be fetched again.

    What a broker runs from at this moment stays.
    """
    from rmqsetup.broker import supplier
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, plain

    if session.words.what == "clear":
        gone = supplier.clear()
        status = "changed" if gone else "unchanged"
        return Answer("cache", lambda: screen.cleared(gone), lambda: {"removed": plain(gone)}, status=status)
    found = supplier.kept()
    return Answer("cache", lambda: screen.cached(found), lambda: {"cache": plain(found)})
