"""Recognise what retired sources left on a machine: their addresses and their keys.

What replaces them is in their rows; replacing them belongs to plans.
"""

from __future__ import annotations

import re

from rmqsetup.catalog import tables


def retired_at(uris: tuple[str, ...]) -> str:
    """Return the id of the retired source that one of the addresses belongs to, empty for none."""
    bare = tuple(re.sub(r"^[a-z0-9+-]+:/*(?:[^/@]*@)?", "", uri.lower()) for uri in uris)
    rows = (row.id for row in tables.retired() if row.hosts and any(uri.startswith(row.hosts) for uri in bare))
    return next(rows, "")


def retired_key(fingerprint: str) -> str:
    """Return the id of the retired source whose key this is (upper-case hex), empty for none."""
    rows = (row.id for row in tables.retired() if row.keys and fingerprint.endswith(row.keys))
    return next(rows, "")
