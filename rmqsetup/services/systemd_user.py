"""A user's own systemd, by systemctl --user; the units are below ~/.config/systemd/user."""

from __future__ import annotations

from dataclasses import replace

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services.systemd import Systemd

UNITS = ".config/systemd/user"
"""Where a user's own units are, below the home."""

# A login by sudo or su, and every cron job, lacks the variable by which systemctl finds the user's manager.
_FOUND = 'export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"; exec "$@"'


class UserSystemd(Systemd):
    """The systemd of the user we run as."""

    def show(self, name: str) -> Command:
        """Ask for a few properties."""
        return _own(super().show(name))

    def reload(self) -> tuple[Command, ...]:
        """Read changed units."""
        return tuple(map(_own, super().reload()))

    def start(self, name: str) -> Command:
        """Start."""
        return _own(super().start(name))

    def restart(self, name: str) -> tuple[Command, ...]:
        """Restart, in one call."""
        return tuple(map(_own, super().restart(name)))

    def stop(self, name: str) -> Command:
        """Stop."""
        return _own(super().stop(name))

    def forget(self, name: str) -> tuple[Command, ...]:
        """Take it off the list of the user's failed units."""
        return tuple(map(_own, super().forget(name)))

    def enable(self, name: str) -> tuple[Command, ...]:
        """Start when the user's manager starts: at login, or at boot for a user who lingers."""
        return tuple(map(_own, super().enable(name)))

    def disable(self, name: str) -> tuple[Command, ...]:
        """Do not start any more."""
        return tuple(map(_own, super().disable(name)))

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say which service would not do what, and where its own words are."""
        hint = f"see what it said with: journalctl --user -u {name} -n 50"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)


def _own(command: Command) -> Command:
    program, *rest = command.argv
    return replace(command, argv=("sh", "-c", _FOUND, "sh", program, "--user", *rest))
