"""Names of plugins, as they are wished for. What is in a plugins folder belongs to `checks.plugins`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from rmqsetup.catalog import tables
from rmqsetup.codec import Problem

SLIP = 0.93
"""How like a known name one is that was mistyped, as `difflib` counts: with two letters of twenty it is another."""


def judge(names: tuple[str, ...]) -> Iterator[Problem]:
    """Say which names cannot be meant: a node that does not find a plugin does not start, or goes on without it."""
    for name in names:
        meant = _meant(name)
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            several = '; several are written a,b as an option and ["a", "b"] in a recipe'
            more = several if re.search("[, ]", name) else f"; did you mean {meant}?" if meant else ""
            yield Problem(("plugins",), f"{name!r} is no name of a plugin{more}")
        elif meant:
            yield Problem(("plugins",), f"there is no plugin {name!r}; did you mean {meant}?")


def _meant(name: str) -> str:
    """Return the known plugin that a name stands for: written short, or within a slip of it; others are somebody's."""
    known, plain = tables.plugins(), name.lower().replace("-", "_")
    if name in known:
        return ""
    full = (plain, f"rabbitmq_{plain}")
    near = (each for name in full for each in difflib.get_close_matches(name, known, 1, SLIP))
    return next((each for each in full if each in known), "") or next(near, "")
