"""systemd, by systemctl and journalctl."""

from __future__ import annotations

from datetime import datetime, timezone

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import ServiceState

_PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState,ExecMainStartTimestamp,NeedDaemonReload"

START_SECONDS = 620.0
"""The unit gives a node 600 s to be ready (TimeoutStartSec of both Debian's and upstream's unit)."""


class Systemd:
    """systemd as PID 1."""

    def show(self, name: str) -> Command:
        """Ask for a few properties; times in UTC, since systemctl prints them in its own zone."""
        return Command(("systemctl", "show", "-p", _PROPERTIES, name), env=(("TZ", "UTC"),))

    def parse(self, text: str) -> ServiceState:
        """Read `Property=value` lines; a text without them is a service nobody knows.

        One that died and waits for systemd to try it again does not run: a start need not wait for that.
        """
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        active = found.get("ActiveState", "inactive")
        return ServiceState(
            known=found.get("LoadState", "not-found") not in ("not-found", ""),
            running=active in ("active", "activating", "reloading") and found.get("SubState") != "auto-restart",
            enabled=found.get("UnitFileState", "") in ("enabled", "enabled-runtime", "static", "alias"),
            since=seconds(found.get("ExecMainStartTimestamp", "")),
            stale=found.get("NeedDaemonReload") == "yes",
            failed=active == "failed",
            words=" ".join(filter(None, (found.get("LoadState"), active, found.get("SubState")))),
        )

    def reload(self) -> tuple[Command, ...]:
        """Read changed units."""
        return (Command(("systemctl", "daemon-reload")),)

    def start(self, name: str) -> Command:
        """Start; the unit notifies, so this returns when the node is ready."""
        return Command(("systemctl", "start", name), timeout=START_SECONDS)

    def restart(self, name: str) -> tuple[Command, ...]:
        """Restart, in one call."""
        return (Command(("systemctl", "restart", name), timeout=START_SECONDS + 100),)

    def stop(self, name: str) -> Command:
        """Stop, with the node's own orderly shutdown."""
        return Command(("systemctl", "stop", name), timeout=120)

    def forget(self, name: str) -> tuple[Command, ...]:
        """Take it off the list of failed units, and count its starts anew."""
        return (Command(("systemctl", "reset-failed", name)),)

    def enable(self, name: str) -> tuple[Command, ...]:
        """Enable at boot."""
        return (Command(("systemctl", "--quiet", "enable", name)),)

    def disable(self, name: str) -> tuple[Command, ...]:
        """Disable at boot."""
        return (Command(("systemctl", "--quiet", "disable", name)),)

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say which service would not do what, and where its own words are."""
        hint = f"see what it said with: journalctl -u {name} -n 50, and /var/log/rabbitmq"
        said = (line for line in result.tail().splitlines() if not line.startswith('See "systemctl status'))
        return BrokerNotReadyError(f"{result.command} failed", cause="\n".join(said), hint=hint)


def seconds(stamp: str) -> float:
    """Read `Sun 2026-11-22 11:38:56 UTC`, in seconds since the epoch; 0 when the service never ran."""
    try:
        when = datetime.strptime(stamp, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=timezone.utc)
    except ValueError:
        return 0.0
    return when.timestamp()
