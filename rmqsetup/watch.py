"""A broker looked at again and again: each look's numbers, what went through it since the last, and since when.

Where the numbers come from belongs to `probes`, how they look to `show`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Protocol

from rmqsetup.probes.sample import Flow, Sample, rates
from rmqsetup.probes.wire import ClosedError, ProbeError


class Source(Protocol):
    """Whatever samples of a broker can be had from; it keeps its conversation open until it is closed."""

    def sample(self) -> Sample:
        """Look once. Raises `ProbeError`."""

    def close(self) -> None:
        """Hang up; the next sample begins anew. Never raises."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a broker: a sample with its rates, or why there is none.

    `time` is when, `since` when what is said of the broker's state first was so; both in ISO form, UTC.
    """

    time: str
    since: str
    sample: Sample | None = None
    rates: Flow | None = None
    problem: str = ""
    cause: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the node was reached, runs, and no alarm blocks its publishers."""
        return self.sample is not None and self.sample.ok

    @property
    def state(self) -> str:
        """The state of the node in a word or two."""
        if self.sample is None:
            return "not reached"
        return "alarm" if self.sample.node.alarms else self.sample.node.state.value


class Watch:
    """Looks at a broker, and remembers as much of the last look as the next one needs."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last: Look | None = None

    def look(self) -> Look:
        """Look once more. Never raises because of the broker: what does not answer is in the result."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        last = self._last
        try:
            sample = self._sampled()
            look = Look(now, now, sample, rates(last.sample if last else None, sample))
        except ProbeError as error:
            self._source.close()
            look = Look(now, now, problem=error.message, cause=error.cause, hint=error.hint)
        if last and last.state == look.state:
            look = replace(look, since=last.since)
        self._last = look
        return look

    def close(self) -> None:
        """Hang up."""
        self._source.close()

    def _sampled(self) -> Sample:
        """Look, once more where a conversation was ended meanwhile: nodes hang up on who was silent for long."""
        try:
            return self._source.sample()
        except ClosedError:
            self._source.close()
            return self._source.sample()
