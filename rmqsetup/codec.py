"""Values to and from plain data, for plans, receipts and recipes: the one place of cattrs.

What a value means belongs to its own module.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def to_data(value: object) -> object:
    """Return a value as JSON-ready data; what equals its default is left out."""
    raise NotImplementedError


def from_data(data: object, kind: type[T], *, what: str = "") -> T:
    """Return the value that `data` describes.

    Raises `UsageError` with one line per mistake in `cause`; `what` names the thing that was read.
    """
    raise NotImplementedError
