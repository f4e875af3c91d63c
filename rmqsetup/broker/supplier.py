"""Find binaries for a wished version and start a broker of them, as commands and tests both want it.

What a broker is made of belongs to `start`; where its programs are to `binaries`.
"""

from __future__ import annotations

from pathlib import Path

from rmqsetup.broker import binaries, start
from rmqsetup.broker.binaries import ANY, Binaries
from rmqsetup.broker.place import Place
from rmqsetup.broker.throwaway import Broker
from rmqsetup.broker.wish import Wish
from rmqsetup.version import Wanted


def provide(wanted: Wanted = ANY, *, prefixes: tuple[Path, ...] = ()) -> Binaries:
    """Return what grants a wish. Raises `UnsupportedError`."""
    found = binaries.find(wanted, prefixes=prefixes)
    if found is None:
        raise binaries.missing(wanted)
    return found


def broker(wish: Wish, wanted: Wanted = ANY, *, given: Place | None = None) -> Broker:
    """Start a broker of a version."""
    return start.start(wish, provide(wanted), given=given)
