"""Find the row of the distributions table that a machine belongs to, or say why it has none.

What the machine says of itself is read by `detect`.
"""

from __future__ import annotations

from rmqsetup.catalog.rows import OsRelease, Placement, Refusal


def place(os_release: OsRelease) -> Placement | Refusal:
    """Find the row a machine belongs to."""
    raise NotImplementedError
