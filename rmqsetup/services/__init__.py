"""Service managers: wish → argv, text → state. Pure; nothing here runs anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Command, Result

OPEN_FILES = 524_288
"""The most files a node may have open that we start ourselves, where the machine would allow any number.

Erlang makes its table of ports as large as the limit of open files, up to 2^27 entries (`+Q` in the manual of erl), and
takes the memory at boot: 104 MB for a node with 65,536, 111 MB with 524,288, 2.2 GB with 134,217,727, which is what
containers with a limit of a billion get (docker-library/rabbitmq issue 545); its helper may close each of them, one by
one. RabbitMQ calls up to 500,000 fine, and systemd's own hard limit is this one.
"""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as its manager tells it. `since` is in seconds since the epoch, 0 when it does not run.

    `enabled` is None where the manager knows no such thing; `stale` when the manager has not yet read
    the service's changed definition; `failed` when it remembers that the service died.
    """

    known: bool
    running: bool
    enabled: bool | None
    since: float = 0.0
    stale: bool = False
    failed: bool = False
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

    def forget(self, name: str) -> tuple[Command, ...]:
        """Forget that the service died, where the manager remembers such a thing."""

    def enable(self, name: str) -> tuple[Command, ...]:
        """Start the service at boot from now on."""

    def disable(self, name: str) -> tuple[Command, ...]:
        """Do not start the service at boot any more."""

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Turn a failed command about a service into an error with cause and hint."""


def service_manager(name: str, prefix: str = "") -> ServiceManager:
    """Return the service manager of that name: `systemd`, or `none` for everything that is not managed.

    `prefix` is where a Homebrew is: its are `brew`, and `detached` without a session. Of a user or an archive are
    `systemd-user`, `launchd-agent`, and `script` for a node below a prefix that nothing looks after.
    """
    if name == "systemd":
        from rmqsetup.services.systemd import Systemd

        return Systemd()
    if name in ("brew", "detached"):
        from rmqsetup.services.brew import BrewServices, Detached

        return BrewServices(prefix) if name == "brew" else Detached(prefix)
    if name == "systemd-user":
        from rmqsetup.services.systemd_user import UserSystemd

        return UserSystemd()
    if name == "launchd-agent":
        from rmqsetup.services.launchd import Launchd

        return Launchd()
    if name == "script":
        from rmqsetup.services.script import Scripted

        return Scripted()
    from rmqsetup.services.none import Unmanaged

    return Unmanaged()
