"""Read the tables, each once per process and only when asked for: parsing costs start-up time.

What their columns mean is in `rows`.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rmqsetup.catalog.rows import (
    BadPair,
    Citation,
    Derivative,
    Distribution,
    ErlangRange,
    Publication,
    Repository,
    Retired,
    Series,
    SigningKey,
    Source,
    Tested,
    Unsupported,
)

_FOLDER = Path(__file__).parent


@cache
def _table(name: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((_FOLDER / name).read_text(encoding="utf-8"))


def _row(table: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Make a row fit its type: lists become tuples, the citation's name becomes the citation."""
    made: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items() if key != "cite"
    }
    made["citation"] = Citation(**table["citations"][row["cite"]])
    return made


@lru_cache(maxsize=1)
def distributions() -> tuple[Distribution, ...]:
    """Read the distributions."""
    table = _table("distributions.toml")
    rows = []
    for row in table["distribution"]:
        family = table["families"][row["family"]]
        made = _row(table, {**family, **row})
        end = row["end_of_life"]
        made.update(ended=bool(end) and end < table["as_of"], tested=Tested(row["tested"]))
        rows.append(Distribution(**made))
    return tuple(rows)


@lru_cache(maxsize=1)
def derivatives() -> tuple[Derivative, ...]:
    """Read which distributions are made from which."""
    table = _table("distributions.toml")
    rows = []
    for row in table["derivative"]:
        made = _row(table, row)
        made["codenames"] = tuple(row.get("codenames", {}).items())
        rows.append(Derivative(**made))
    return tuple(rows)


@lru_cache(maxsize=1)
def unsupported() -> tuple[Unsupported, ...]:
    """Read which systems are known and not supported, with what works there instead."""
    rows = _table("distributions.toml")["unsupported"]
    return tuple(
        Unsupported(
            tuple(row["ids"]), tuple(row.get("platforms", ())), row["reason"], row["hint"], row.get("by_hand", False)
        )
        for row in rows
    )


@lru_cache(maxsize=1)
def sources() -> tuple[Source, ...]:
    """Read the sources a user can choose from."""
    table = _table("sources.toml")
    return tuple(Source(**_row(table, row)) for row in table["source"])


@lru_cache(maxsize=1)
def repositories() -> tuple[Repository, ...]:
    """Read the repositories of every source."""
    table = _table("sources.toml")
    return tuple(Repository(**_row(table, row)) for row in table["repository"])


@lru_cache(maxsize=1)
def publications() -> tuple[Publication, ...]:
    """Read where archives are published."""
    table = _table("sources.toml")
    return tuple(Publication(**_row(table, row)) for row in table["publication"])


@lru_cache(maxsize=1)
def retired() -> tuple[Retired, ...]:
    """Read the retired sources and keys."""
    table = _table("sources.toml")
    return tuple(Retired(**_row(table, row)) for row in table["retired"])


@lru_cache(maxsize=1)
def keys() -> tuple[SigningKey, ...]:
    """Read the pinned keys."""
    table = _table("keys.toml")
    return tuple(SigningKey(**_row(table, row)) for row in table["key"])


def key_text(file: str) -> bytes:
    """Read a key's armoured text."""
    return (_FOLDER / "keys" / file).read_bytes()


@lru_cache(maxsize=1)
def series() -> tuple[Series, ...]:
    """Read RabbitMQ's series, newest first."""
    table = _table("series.toml")
    return tuple(Series(**_row(table, row)) for row in table["series"])


@lru_cache(maxsize=1)
def erlang_ranges() -> tuple[ErlangRange, ...]:
    """Read the Erlang ranges, newest first."""
    table = _table("series.toml")
    columns, notes = table["erlang"]["columns"], table["erlang"]["notes"]
    rows = [dict(zip(columns, values, strict=True)) for values in table["erlang"]["ranges"]]
    return tuple(ErlangRange(**_row(table, row), note=notes.get(row["first"], "")) for row in rows)


@lru_cache(maxsize=1)
def bad_pairs() -> tuple[BadPair, ...]:
    """Read the known-bad pairs."""
    table = _table("series.toml")
    return tuple(BadPair(**_row(table, row)) for row in table["bad_pair"])


@lru_cache(maxsize=1)
def plugins() -> tuple[str, ...]:
    """Read the names of plugins that many people use."""
    return tuple(name for row in _table("plugins.toml")["plugins"] for name in row["names"])
