"""Where a package manager is told of repositories: what such files look like, are called, and say.

What a manager does with them belongs to its own file; which of them there are to be, to `wishes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rmqsetup.managers.layout import Layout


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """One entry of a source list or .repo file. `signed_by` is a path, fingerprints, or an embedded key's text.

    `line` is where the entry begins in `file`, from 1. `retired` is an id of the catalog's retired sources, empty for
    every other; who reads the lists fills it in. `names` are patterns of what its manager calls it, where repositories
    have names: first the id, then the title; `own` says that it is not one of those for RabbitMQ alone.
    """

    file: str
    line: int
    enabled: bool
    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: str = ""
    trusted: bool = False
    retired: str = ""
    names: tuple[str, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A repository to be configured: `uris` with the answering mirror first; `origin` is what its manager calls it."""

    uris: tuple[str, ...]
    suite: str
    component: str
    architecture: str
    origin: str


class Sources(Protocol):
    """How one package manager is told of repositories, in pure functions."""

    @property
    def form(self) -> str:
        """The form of its packages and repositories, as the catalog has it."""

    @property
    def layout(self) -> Layout:
        """Where its RabbitMQ keeps its things, and what its packages are called."""

    @property
    def fetching(self) -> str:
        """What is to be typed to fetch the lists of packages."""

    @property
    def lists(self) -> tuple[str, str]:
        """A single file of sources (empty for none), and the folder where the others are."""

    def is_list(self, name: str) -> bool:
        """Tell whether a file of that name in the folder is read."""

    def keyring(self, name: str) -> str:
        """Return where a key is put: the first of a source goes by the name of that."""

    def written(self, served: tuple[Served, ...], keyrings: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Return path and text of the files that make it take packages of the family from there, by these keys."""

    def is_ours(self, path: str) -> bool:
        """Tell whether a path is one where `written` or `keyring` put something."""

    def parse_sources(self, file: str, text: str) -> tuple[ConfiguredSource, ...]:
        """Read a file of sources; what cannot be read is left out, as the manager would complain."""

    def without(self, file: str, text: str, lines: tuple[int, ...]) -> str:
        """Return a file of sources without the entries that begin at `lines`; empty when no entry is left."""


def find(manager: str) -> Sources | None:
    """Return how the package manager of that name is told of repositories, None for one that has no such files."""
    from rmqsetup.managers import apt_sources, dnf, zypper

    known: dict[str, Sources] = {
        "apt": apt_sources.AptSources(),
        "dnf": dnf.DnfSources(),
        "yum": dnf.DnfSources(),
        "zypper": zypper.ZypperSources(),
    }
    return known.get(manager)


def sources(manager: str) -> Sources:
    """Return how a package manager that has such files is told; a `KeyError` is a mistake in the catalog."""
    found = find(manager)
    if found is None:
        raise KeyError(manager)
    return found
