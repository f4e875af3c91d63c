"""Look at a machine, read-only, and say what it is: `detect(host) -> Facts`.

What follows from the facts belongs to `resolve`; which distribution a machine belongs to, to `catalog`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rmqsetup.catalog.rows import OsRelease
from rmqsetup.host import Host
from rmqsetup.managers.apt_sources import ConfiguredSource


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

    `state` is dpkg's status word (`installed`, `half-configured`, `config-files`, …); `origin` the Origin of the
    release that still offers this very version, empty when none of the lists does.
    """

    name: str
    version: str
    architecture: str
    state: str
    held: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version a package manager would install now, by the lists it has; `version` is empty when it has none."""

    package: str
    version: str
    origin: str = ""
    uri: str = ""


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

    `architecture` is dpkg's name where dpkg is (a 64-bit kernel may carry a 32-bit system), else the kernel's.
    `service_note` says why no service manager is running where that needs words.
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

    @property
    def service_manager(self) -> str:
        """The name of the service manager that runs, `none` without one."""
        return self.init.value

    def package(self, name: str) -> InstalledPackage | None:
        """Return a package that is on the machine in any state, or None."""
        return next((package for package in self.packages if package.name == name), None)

    def candidate(self, name: str) -> Candidate | None:
        """Return what the lists offer for a package, or None where they were not asked."""
        return next((candidate for candidate in self.candidates if candidate.package == name), None)


def detect(host: Host) -> Facts:
    """Look at a host; changes nothing, works as any user."""
    raise NotImplementedError
