"""What a distribution itself ships: its own repositories among those of a machine, and the versions they offer.

Where RabbitMQ comes from is decided in `resolve` and `archives`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from rmqsetup.catalog import Distribution
from rmqsetup.facts import Facts
from rmqsetup.managers.layout import Layout
from rmqsetup.managers.sources import Sources, sources


@dataclass(frozen=True, slots=True)
class Shipped:
    """The packages of one distribution's own, as one machine knows them."""

    facts: Facts
    row: Distribution

    @property
    def told(self) -> Sources:
        """How its package manager is told of repositories."""
        return sources(self.row.manager)

    @property
    def its(self) -> Layout:
        """Where its RabbitMQ keeps its things, and what its packages are called."""
        return self.told.layout

    @property
    def repositories(self) -> tuple[str, ...]:
        """Patterns of what its package manager calls the repositories that are not for RabbitMQ alone."""
        return tuple(name for source in self.facts.sources if source.own and source.enabled for name in source.names)

    @property
    def origins(self) -> tuple[str, ...]:
        """Patterns of what its package manager calls where the distribution's own packages are from."""
        return self.repositories if self.told.form == "rpm" else (f"{self.row.family.capitalize()}*",)

    def is_own(self, origin: str) -> bool:
        """Whether a package's origin or maker is the distribution itself, or what it is made from."""
        named = origin.casefold().startswith((self.row.family, self.facts.os.id or self.row.family))
        return (
            named or origin.startswith(self.row.vendors) or any(fnmatchcase(origin, each) for each in self.repositories)
        )

    def version(self, *packages: str) -> str:
        """Return the version that the distribution itself offers, as far as its lists were fetched."""
        known = self.facts.candidate(*packages)
        return known.version if known and (not known.origin or self.is_own(known.origin)) else ""

    @property
    def erlang(self) -> str:
        """The version of its Erlang, a series where only that is known."""
        return self.version(*self.its.runtimes) or self.row.erlang
