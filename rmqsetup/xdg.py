"""Where the files of this user go, as the XDG Base Directory Specification has it.

What is kept there belongs to others: receipts to `standing`, programs to `cached` and `prefix`.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """Return the folder in which this user keeps what can be fetched again."""
    return _said("XDG_CACHE_HOME", ".cache") / "rmqsetup"


def state() -> Path:
    """Return the folder of what has to outlast a restart."""
    return _said("XDG_STATE_HOME", ".local/state") / "rmqsetup"


def data() -> Path:
    """Return the folder in which programs have folders of their own."""
    return _said("XDG_DATA_HOME", ".local/share")


def _said(variable: str, otherwise: str) -> Path:
    """Return what a variable says; a path that is not absolute is none there."""
    said = Path(os.environ.get(variable, ""))
    return said if said.is_absolute() else Path.home() / otherwise
