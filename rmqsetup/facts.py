"""What a machine is, as a value: what `detect` sees and everything after it speaks of.

How it is seen is in `detect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rmqsetup.catalog.rows import OsRelease
from rmqsetup.managers import State
from rmqsetup.managers.sources import ConfiguredSource


class Privilege(Enum):
    """What we may become on a host."""

    ROOT = "root"
    SUDO = "sudo"
    NONE = "none"


class Init(Enum):
    """What runs as PID 1 and can manage services; `NONE` in most containers."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"
    SYSVINIT = "sysvinit"
    LAUNCHD = "launchd"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package of RabbitMQ or Erlang as the package manager knows it.

    `origin` is the Origin of the release that still offers this very version, empty when none of the lists does; of a
    package of rpm it is who made it.
    """

    name: str
    version: str
    architecture: str
    state: State
    held: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version a package manager would install now, by the lists it has; `version` is empty when it has none.

    `origin` is what the manager calls where it is from: apt an Origin, dnf and zypper a repository.
    """

    package: str
    version: str
    origin: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Keg:
    """A formula that Homebrew has installed: its newest version, and the Erlang it came with where it needs one."""

    name: str
    version: str
    pinned: bool = False
    erlang: str = ""
    erlang_version: str = ""


@dataclass(frozen=True, slots=True)
class Homebrew:
    """Homebrew as it is on a machine, whose own package manager may be another.

    `prefix` is what it says of itself. `user`, `group` and `home` are ours: what it installs belongs to the user that
    runs it, never to root; `owner` is whose it is, `writable` whether it is ours to change. `session` tells whether
    `brew services` has a session of ours to put a service in; `translated` that we run under Rosetta; `tools` that
    Apple's developer tools are there, or not needed.
    """

    prefix: str
    version: str = ""
    user: str = ""
    group: str = ""
    home: str = ""
    owner: str = ""
    writable: bool = True
    session: bool = True
    translated: bool = False
    tools: bool = True
    kegs: tuple[Keg, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    problem: str = ""

    def keg(self, name: str) -> Keg | None:
        """Return a formula that is installed, or None."""
        return next((keg for keg in self.kegs if keg.name == name), None)

    def candidate(self, name: str) -> Candidate | None:
        """Return what Homebrew would install for a formula, or None where it was not asked."""
        return next((candidate for candidate in self.candidates if candidate.package == name), None)


@dataclass(frozen=True, slots=True)
class Stray:
    """A program that no package owns; `name` is "erlang" or "rabbitmq", `version` is empty where nothing tells."""

    name: str
    path: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class LegacyKey:
    """A retired key in apt's machine-wide trust. `fingerprint` is in upper-case hex; `retired` a row of the catalog."""

    file: str
    fingerprint: str
    retired: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine as it is. `memory` is in bytes, 0 when not known; `unreadable` are paths this user may not read.

    `architecture` is dpkg's or rpm's name where one of them is (a 64-bit kernel may carry a 32-bit system), else the
    kernel's.
    `service_note` says why no service manager is running where that needs words. `directories` are those of
    RabbitMQ that hold something already.
    """

    os: OsRelease
    kernel: str
    architecture: str
    manager: str
    init: Init
    service_note: str
    privilege: Privilege
    container: str
    hostname: str
    memory: int
    python: str
    packages: tuple[InstalledPackage, ...] = ()
    strays: tuple[Stray, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    sources: tuple[ConfiguredSource, ...] = ()
    legacy_keys: tuple[LegacyKey, ...] = ()
    unreadable: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    homebrew: Homebrew | None = None

    @property
    def service_manager(self) -> str:
        """The name of the service manager that runs, `none` without one."""
        return self.init.value

    def package(self, *names: str) -> InstalledPackage | None:
        """Return the first of some packages that is on the machine in any state, or None."""
        found = (package for name in names for package in self.packages if package.name == name)
        return next(found, None)

    def candidate(self, *names: str) -> Candidate | None:
        """Return what the lists offer for the first of some packages that they have; None where they were not asked."""
        found = [candidate for name in names for candidate in self.candidates if candidate.package == name]
        return next((candidate for candidate in found if candidate.version), next(iter(found), None))
