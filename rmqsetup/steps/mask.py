"""A unit of systemd that is masked, so that nothing can start it, or is not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, RmqsetupError
from rmqsetup.host import Answer, Command, Look, Result
from rmqsetup.steps import Change, Phase


@dataclass(frozen=True, slots=True)
class Mask:
    """A unit as wished: masked or not. Whether it runs is `Service`'s."""

    unit: str
    masked: bool = False

    @property
    def key(self) -> str:
        """The unit is what it is about."""
        return f"mask:{self.unit}"

    @property
    def phase(self) -> Phase:
        """After services were stopped, before they are started."""
        return Phase.WRITE

    def query(self) -> tuple[Look, ...]:
        """Ask systemd."""
        return (Command(("systemctl", "show", "-p", "LoadState", self.unit)),)

    def observe(self, answers: tuple[Answer, ...]) -> Mask:
        """Return whether it is masked."""
        answer = answers[0]
        return replace(self, masked=isinstance(answer, Result) and "LoadState=masked" in answer.stdout)

    def diff(self, observed: Mask) -> Change:
        """Mask or unmask, for good."""
        if self.masked == observed.masked:
            return Change()
        verb = "mask" if self.masked else "unmask"
        return Change((Command(("systemctl", "--quiet", verb, self.unit)),), observed, f"{verb} {self.unit}")

    def explain(self, result: Result) -> RmqsetupError:
        """Say what systemd did not do."""
        return ManagerError(f"{result.command} failed", cause=result.tail())

    def absorb(self, newer: Mask) -> Mask:  # noqa: ARG002 - back over the newer state
        """Go back to the older state."""
        return self
