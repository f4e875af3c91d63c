"""Read the tables, each once and only when asked for.

What their columns mean is in `rows`.
"""

from __future__ import annotations

from rmqsetup.catalog.rows import BadPair, Distribution, ErlangRange, Repository, Retired, Series, SigningKey


def distributions() -> tuple[Distribution, ...]:
    """Read the distributions."""
    raise NotImplementedError


def repositories() -> tuple[Repository, ...]:
    """Read the repositories of every source."""
    raise NotImplementedError


def retired() -> tuple[Retired, ...]:
    """Read the retired sources and keys."""
    raise NotImplementedError


def keys() -> tuple[SigningKey, ...]:
    """Read the pinned keys."""
    raise NotImplementedError


def key_text(file: str) -> bytes:
    """Read a key's armoured text."""
    raise NotImplementedError


def series() -> tuple[Series, ...]:
    """Read RabbitMQ's series."""
    raise NotImplementedError


def erlang_ranges() -> tuple[ErlangRange, ...]:
    """Read the Erlang ranges."""
    raise NotImplementedError


def bad_pairs() -> tuple[BadPair, ...]:
    """Read the known-bad pairs."""
    raise NotImplementedError
