"""What is known beforehand, as tables: distributions, sources, keys, and which Erlang fits which RabbitMQ.

What a machine is belongs to `detect`; what a source offers today to `indices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from rmqsetup.catalog import pairs, placing, tables
from rmqsetup.catalog.rows import (
    BadPair,
    Citation,
    Derivative,
    Distribution,
    ErlangRange,
    Fit,
    OsRelease,
    Placement,
    Publication,
    Refusal,
    Repository,
    Retired,
    Series,
    SigningKey,
    Source,
    Tested,
    Unsupported,
    Verdict,
)

__all__ = [
    "BadPair",
    "Catalog",
    "Citation",
    "Derivative",
    "Distribution",
    "ErlangRange",
    "Fit",
    "OsRelease",
    "Placement",
    "Publication",
    "Refusal",
    "Repository",
    "Retired",
    "Series",
    "SigningKey",
    "Source",
    "Tested",
    "Unsupported",
    "Verdict",
    "load",
]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All tables. Each is read from its file at the first question that needs it, once per process."""

    @property
    def distributions(self) -> tuple[Distribution, ...]:
        """Every release of a distribution that is known, ended ones included."""
        return tables.distributions()

    @property
    def derivatives(self) -> tuple[Derivative, ...]:
        """Distributions that are made from one of the others."""
        return tables.derivatives()

    @property
    def unsupported(self) -> tuple[Unsupported, ...]:
        """Systems that are known to have no place."""
        return tables.unsupported()

    @property
    def sources(self) -> tuple[Source, ...]:
        """What a user can name as the source of packages."""
        return tables.sources()

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The repositories of every source."""
        return tables.repositories()

    @property
    def publications(self) -> tuple[Publication, ...]:
        """Where archives of RabbitMQ and Erlang are published."""
        return tables.publications()

    @property
    def retired(self) -> tuple[Retired, ...]:
        """Repositories and keys to be found and replaced."""
        return tables.retired()

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The pinned signing keys."""
        return tables.keys()

    @property
    def series(self) -> tuple[Series, ...]:
        """RabbitMQ's series, newest first."""
        return tables.series()

    @property
    def erlang_ranges(self) -> tuple[ErlangRange, ...]:
        """Which Erlang fits which RabbitMQ releases, newest first."""
        return tables.erlang_ranges()

    @property
    def bad_pairs(self) -> tuple[BadPair, ...]:
        """Pairs with a known fault."""
        return tables.bad_pairs()

    def place(self, os_release: OsRelease) -> Placement | Refusal:
        """Find the row a machine belongs to, by its codenames before its id, never by ID_LIKE alone."""
        return placing.place(os_release)

    def erlang_range(self, rabbitmq: str) -> ErlangRange | None:
        """Return the Erlang range of a release, of its series' newest release for a series, or None if unknown."""
        return pairs.erlang_range(rabbitmq)

    def judge_pair(self, rabbitmq: str, erlang: str) -> Verdict:
        """Judge how a RabbitMQ release and an Erlang version (upstream's or a package's) go together."""
        return pairs.judge_pair(rabbitmq, erlang)

    def can_upgrade(self, *, rabbitmq: str, to: str) -> bool:
        """Tell whether one hop leads from a release to a release or series; within a series, only upwards."""
        return pairs.can_upgrade(rabbitmq, to)

    def hops(self, *, rabbitmq: str, to: str) -> tuple[str, ...]:
        """Return the series on the shortest supported way, both ends included; nothing when no way leads there."""
        return pairs.hops(rabbitmq, to)

    def distribution(self, row: str) -> Distribution:
        """Return a distribution by its row id; `KeyError` when there is none."""
        return _with_id(self.distributions, row)

    @property
    def homebrew(self) -> Distribution:
        """The row of Homebrew on a Linux, whichever that is."""
        return self.distribution("linuxbrew")

    def repository(self, row: str) -> Repository:
        """Return a repository by its row id; `KeyError` when there is none."""
        return _with_id(self.repositories, row)

    def key(self, row: str) -> SigningKey:
        """Return a signing key by its row id; `KeyError` when there is none."""
        return _with_id(self.keys, row)

    def key_text(self, row: str) -> bytes:
        """Return the armoured text of a key that is shipped with the tool."""
        return tables.key_text(self.key(row).file)

    def series_named(self, name: str) -> Series | None:
        """Return a RabbitMQ series, or None when it is not known."""
        return next((row for row in self.series if row.name == name), None)


@lru_cache(maxsize=1)
def load() -> Catalog:
    """Return the catalog. Reads nothing yet: start-up time is a feature."""
    return Catalog()


_Row = TypeVar("_Row", Distribution, Repository, SigningKey)


def _with_id(rows: tuple[_Row, ...], row: str) -> _Row:
    for candidate in rows:
        if candidate.id == row:
            return candidate
    raise KeyError(row)
