"""Stored screens: what a command printed once, to compare with. `UPDATE_GOLDEN=1 pytest` writes them anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

SCREENS = Path(__file__).parent / "data" / "screens"

_MOVING = (
    (r"\d{8}T\d{6}Z[-\d]*", "20260102T030405Z-"),
    (r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d", r"2026-01-02\g<1>03:04:05"),
    (r" *\b\d+(\.\d+)? m?s\b", " 0.1 s"),
    (r'"seconds": [\d.e-]+', '"seconds": 0.1'),
    (r"/tmp/[\w./-]+?(?=/receipts)", "/var/lib/rmqsetup"),
)
"""What differs from run to run."""


def stored(name: str, text: str) -> None:
    """Compare a screen with the stored one of that name."""
    for pattern, same in _MOVING:
        text = re.sub(pattern, same, text)
    file = SCREENS / name
    if os.environ.get("UPDATE_GOLDEN"):
        SCREENS.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{name} looks different; UPDATE_GOLDEN=1 writes it anew"
