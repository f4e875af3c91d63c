"""Package managers: wish → argv, text → versions. Pure; nothing here runs anything.

One manager per file. What a package is called, and where it comes from, belongs to `catalog`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Command, Result


class State(Enum):
    """How far a package is on a machine."""

    ABSENT = "absent"
    CONFIGURATION = "configuration"
    """Removed, its configuration files still there."""
    BROKEN = "broken"
    """Half installed or half configured."""
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True)
class Package:
    """A package by name and, unless any will do, exact version."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        """Return the name, with the version where there is one."""
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Present:
    """A package a machine knows."""

    name: str
    version: str
    state: State
    held: bool = False
    vendor: str = ""
    """Who made it, as far as its manager says."""
    signer: str = ""
    """The id of the key that signed it, in upper-case hex, as far as its manager says."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a simulated transaction; `old` or `new` is empty where there is none."""

    name: str
    old: str = ""
    new: str = ""
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a manager says it would do; `problem` is its own words when it would not."""

    operations: tuple[Operation, ...] = ()
    problem: str = ""

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of the packages that would go."""
        return tuple(op.name for op in self.operations if not op.new)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a transaction is to bring about; the manager puts it into its own words."""

    install: tuple[Package, ...] = ()
    purge: tuple[str, ...] = ()
    hold_back: str = ""
    """The service whose start is refused meanwhile."""
    keep: tuple[str, ...] = ()
    """Directories that a purge must not delete."""
    recommends: bool = True
    downgrade: bool = False
    lock_timeout: int = 120
    """Seconds to wait for somebody else's transaction."""


class Deed(Enum):
    """What a person may have to do by hand."""

    RELEASE = "release"
    REMOVE = "remove"
    LOOK = "look"
    """See who offers a package."""


class Manager(Protocol):
    """One package manager in pure functions."""

    def list_command(self) -> Command:
        """Ask for every package the machine knows."""

    def parse_list(self, text: str) -> tuple[Present, ...]:
        """Read the answer to `list_command`."""

    def refresh(self, lock_timeout: int) -> Command:
        """Fetch the indices of all sources."""

    def simulate(self, wish: Wish) -> Command:
        """Ask what would happen, changing nothing."""

    def parse_simulation(self, result: Result) -> Transaction:
        """Read the answer to `simulate`."""

    def carry_out(self, wish: Wish) -> tuple[Command, ...]:
        """Install or purge."""

    def mend(self, wish: Wish) -> Command:
        """Put back what a killed transaction of ours left, and configure what it left half configured."""

    def complete(self, wish: Wish) -> Command:
        """Install what packages that an interrupted transaction left unpacked still lack."""

    def hold(self, names: tuple[str, ...]) -> Command:
        """Keep packages at their versions."""

    def release(self, names: tuple[str, ...]) -> Command:
        """Give up a hold."""

    def explain(self, result: Result, uris: tuple[str, ...] = ()) -> RmqsetupError:
        """Turn a failed run into an error of the right family; `uris` are the sources that matter."""

    def refuse(self, problem: str, hint: str) -> RmqsetupError:
        """Turn what a simulation complains of into an error; `hint` goes before our own."""

    def holders(self) -> Command | None:
        """Ask who holds the manager's locks, where it does not say: lines `PATH is held by process NUMBER (NAME)`."""

    def typed(self, deed: Deed, names: tuple[str, ...]) -> str:
        """Return what is to be typed for such a deed, for hints."""

    @property
    def unfinished(self) -> str:
        """A file that is there while a transaction that was cut has not been finished; empty where there is none."""

    @property
    def note(self) -> str:
        """A file that is there while a transaction of ours has not put everything back; empty where there is none."""

    def stamp(self, name: str) -> str:
        """Return a file that is written whenever the package is unpacked."""


def manager(name: str, prefix: str = "") -> Manager:
    """Return the package manager of that name; a `KeyError` is a mistake in the catalog.

    `prefix` is where one that is not the system's own lives.
    """
    from rmqsetup.managers import apt, brew, dnf, zypper

    known: dict[str, Manager] = {
        "apt": apt.Apt(),
        "brew": brew.Brew(prefix),
        "dnf": dnf.Dnf(),
        "yum": dnf.Dnf(),
        "zypper": zypper.Zypper(),
    }
    return known[name]


def parse_progress(line: str) -> tuple[float, str] | None:
    """Return percent and words of a line in which a package manager says how far it is: to 100 the download."""
    from rmqsetup.managers import apt, rpm

    return apt.parse_progress(line) or rpm.parse_progress(line)
