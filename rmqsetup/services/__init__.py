"""Service managers: wish → argv, text → state. Pure; nothing here runs anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rmqsetup.host import Command


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as its manager tells it. `since` is in seconds since the epoch, 0 when it does not run.

    `enabled` is None where the manager knows no such thing; `stale` when the manager has not yet read
    the service's changed definition.
    """

    known: bool
    running: bool
    enabled: bool | None
    since: float = 0.0
    stale: bool = False
    words: str = ""


class ServiceManager(Protocol):
    """One service manager in pure functions."""

    def show(self, name: str) -> Command:
        """Ask for the state of a service."""

    def parse(self, text: str) -> ServiceState:
        """Read the answer to `show`."""

    def reload(self) -> tuple[Command, ...]:
        """Read changed definitions of services."""

    def start(self, name: str) -> Command:
        """Start a service, and return when it is ready where the manager can tell."""

    def restart(self, name: str) -> tuple[Command, ...]:
        """Stop and start a service."""

    def stop(self, name: str) -> Command:
        """Stop a service."""

    def enable(self, name: str) -> tuple[Command, ...]:
        """Start the service at boot from now on."""

    def disable(self, name: str) -> tuple[Command, ...]:
        """Do not start the service at boot any more."""

    def log(self, name: str) -> Command:
        """Ask for the last lines the service said."""


def service_manager(name: str) -> ServiceManager:
    """Return a service manager by its name.

    That is `systemd`, `systemd-user`, `detached` (a node below a prefix that nothing looks after), or `none` for
    everything that is not managed.
    """
    if name == "systemd":
        from rmqsetup.services.systemd import Systemd

        return Systemd()
    if name == "systemd-user":
        from rmqsetup.services.systemd_user import UserSystemd

        return UserSystemd()
    if name == "detached":
        from rmqsetup.services.detached import Detached

        return Detached()
    from rmqsetup.services.none import Unmanaged

    return Unmanaged()
