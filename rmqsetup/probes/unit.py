"""How far systemd has come with the broker's unit, and what ended it: what `services` does not need to know.

Changing anything about a service belongs to `services`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rmqsetup.host import Command, Host
from rmqsetup.probes.wire import ProbeError
from rmqsetup.services.systemd import seconds

NAME = "rabbitmq-server"

_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,UnitFileState,ExecMainCode,ExecMainStatus,NRestarts,MainPID,"
    "ExecMainStartTimestamp,Job"
)

_MEANINGS = {
    1: "the node said why in its log",
    2: "a shell syntax error in rabbitmq-env.conf, or a bad argument",
    127: "Erlang was not found",
    200: "its working directory is missing (CHDIR)",
    209: "its log directory is missing (STDOUT)",
    217: "its user does not exist (USER)",
}
"""Exit codes that name a fault by themselves; each was provoked on Debian 13."""


_RESULTS = {
    "oom-kill": "killed for want of memory",
    "timeout": "it was not ready in time",
    "start-limit-hit": "it was started so often that systemd refuses: systemctl reset-failed rabbitmq-server",
}


class Phase(Enum):
    """What a unit's state means to somebody who waits for it."""

    ACTIVE = "active"
    STARTING = "starting"
    FAILING = "failing"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as systemd shows it; `started` is when its process last began (empty: never).

    `job` is the number of what systemd is still to do with it, 0 when nothing is queued.
    """

    load: str
    active: str
    sub: str
    result: str = "success"
    enabled: str = ""
    exit_code: int = 0
    restarts: int = 0
    pid: int = 0
    started: str = ""
    job: int = 0

    @property
    def phase(self) -> Phase:
        """What to expect of it.

        A broker that cannot start is almost never `failed`: its unit is restarted for ever, and is
        `activating` meanwhile. A failed result between two attempts is the sign.
        """
        if self.load not in ("loaded", "masked"):
            return Phase.UNKNOWN
        if self.active in ("active", "reloading") and not self.job:
            return Phase.ACTIVE
        if self.active == "failed" or self.result not in ("success", ""):
            return Phase.FAILING
        underway = self.active in ("activating", "deactivating") or self.job
        return Phase.STARTING if underway else Phase.STOPPED

    @property
    def since(self) -> float:
        """When its process last began, in seconds since the epoch; 0 where that is not known."""
        return seconds(self.started)

    @property
    def words(self) -> str:
        """The state in a line."""
        state = self.active if self.sub == self.active else f"{self.active} ({self.sub})"
        ended = "" if self.result in ("success", "", "exit-code") else f", {self.result}"
        code = f", exit code {self.exit_code}" if self.result not in ("success", "") else ""
        again = f", restarted {self.restarts} time{'s' if self.restarts > 1 else ''}" if self.restarts else ""
        return f"{NAME}: {state}{ended}{code}{again}"

    @property
    def meaning(self) -> str:
        """Why it does not run, where its exit code or result says so."""
        if self.load == "masked":
            return "the unit is masked"
        if self.result in _RESULTS:
            return _RESULTS[self.result]
        return _MEANINGS.get(self.exit_code, "") if self.phase is Phase.FAILING else ""


def unit_state(host: Host, name: str = NAME) -> UnitState:
    """Ask systemd for the state of a unit. Raises `ProbeError` when systemd does not answer."""
    result = host.run(Command(("systemctl", "show", "-p", _PROPERTIES, name), env=(("TZ", "UTC"),), timeout=15))
    if not result.ok:
        raise ProbeError("systemd does not answer", cause=result.tail(), looked_at=(str(result.command),))
    return parse_unit(result.stdout)


def parse_unit(text: str) -> UnitState:
    """Read the `Property=value` lines of `systemctl show`; what is missing is empty."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return UnitState(
        found.get("LoadState", "not-found"),
        found.get("ActiveState", "inactive"),
        found.get("SubState", "dead"),
        found.get("Result", "success"),
        found.get("UnitFileState", ""),
        _number(found.get("ExecMainStatus", "")),
        _number(found.get("NRestarts", "")),
        _number(found.get("MainPID", "")),
        found.get("ExecMainStartTimestamp", ""),
        _number(found.get("Job", "")),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
