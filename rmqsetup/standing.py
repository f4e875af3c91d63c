"""Where receipts are, and where brokers below a prefix stand by them; cheap, since most machines have none.

What receipts are belongs to `receipt`.
"""

from __future__ import annotations

import os
from pathlib import Path

from rmqsetup import xdg

STATE = Path("/var/lib/rmqsetup")
"""Where receipts are, for root to read: they name every file that was replaced."""


def own_state() -> Path:
    """Return where a plain user's receipts are."""
    return xdg.state()


def states(*, first: Path = STATE) -> tuple[Path, ...]:
    """Return where receipts may be that concern this user."""
    return tuple(dict.fromkeys((first, *(() if os.geteuid() == 0 else (own_state(),)))))


def prefix(state: Path) -> str:
    """Return the prefix that the newest standing receipt of an archive names, empty where there is none."""
    try:
        texts = [path.read_bytes() for path in (state / "receipts").glob("*.jsonl")]
    except OSError:
        return ""
    if not any(b'"Archive"' in text for text in texts):
        return ""
    from rmqsetup.receipt import read_all
    from rmqsetup.receipt import standing as lasting
    from rmqsetup.steps.archive import Archive

    steps = [entry.step for receipt in lasting(read_all(state)) for entry in receipt.entries]
    return next((step.prefix for step in reversed(steps) if isinstance(step, Archive)), "")
