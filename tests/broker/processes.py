"""The tool as a process, and what processes of brokers there are."""

from __future__ import annotations

import sys
from pathlib import Path

from rmqsetup.broker import place


def left(here: Path) -> set[str]:
    """Return the processes that know of the folder, and what is in it."""
    found = {path.name for path in here.glob("rmqsetup-*/*") if not path.name.startswith(place.KEPT)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if f"{here}/" in words or any(name in words for name in found):
            found.add(f"{process.name} {words[:80]}")
    return found


def command(*words: str) -> tuple[str, ...]:
    """Return what runs the tool under test."""
    return (sys.executable, "-m", "rmqsetup", *words)
