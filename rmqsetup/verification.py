"""What a climb from packages to a message has seen, rung by rung. The climb itself is in `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.finding import Finding, Severity
from rmqsetup.probes.node import NodeStatus


class Verdict(Enum):
    """How a rung ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder and what was seen on it; `seconds` is wall time, waiting included."""

    level: int
    name: str
    verdict: Verdict
    seconds: float
    evidence: tuple[str, ...] = ()
    cause: str = ""
    hint: str = ""
    summary: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against going on."""
        return self.verdict is not Verdict.FAILED


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the climb went towards `level`. `status` is what the node said, where it was reached."""

    node: str
    level: int
    rungs: tuple[Rung, ...]
    status: NodeStatus | None = None

    @property
    def ok(self) -> bool:
        """Whether every rung that was asked for holds."""
        return all(rung.ok for rung in self.rungs)

    @property
    def failed(self) -> Rung | None:
        """The rung that does not hold."""
        return next((rung for rung in self.rungs if not rung.ok), None)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What there is to report: an error for a rung that does not hold, a word on those skipped."""
        return tuple(_finding(rung) for rung in self.rungs if rung.verdict is not Verdict.PASSED)

    def error(self) -> BrokerNotReadyError | None:
        """Return the error a caller raises for it (exit code 8), or None where all is well."""
        if not (rung := self.failed):
            return None
        return BrokerNotReadyError(rung.summary, cause=rung.cause, hint=rung.hint, looked_at=rung.evidence)


def _finding(rung: Rung) -> Finding:
    check = f"ready/{rung.name}"
    if rung.verdict is Verdict.SKIPPED:
        return Finding(check, Severity.INFO, f"{rung.name} not looked at: {' '.join(rung.evidence)}")
    return Finding(check, Severity.ERROR, rung.summary, rung.evidence, rung.cause, rung.hint)
