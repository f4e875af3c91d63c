"""A node whose stable feature flags are all enabled: the next series of RabbitMQ does not start without them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Answer, Command, Look, Result
from rmqsetup.steps import Change, Phase

_READY = """for attempt in 1 2 3 4 5; do
    "$1" -q await_startup --timeout 60 && exit 0
    sleep 2
done
exit 69"""
"""Right after a start `await_startup` can say at once that there is no node."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The feature flags of a node, asked for with `program`, its rabbitmqctl.

    `answered` and `disabled` (the stable flags that are not enabled) are observed only.
    """

    program: str
    answered: bool = True
    disabled: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The feature flags of a node are one thing."""
        return "feature-flags"

    @property
    def phase(self) -> Phase:
        """Only a node that runs can enable them."""
        return Phase.NODE

    def query(self) -> tuple[Look, ...]:
        """Ask the node for its flags."""
        words = ("-q", "list_feature_flags", "name", "state", "stability", "--formatter", "json")
        return (Command((self.program, *words), timeout=60),)

    def observe(self, answers: tuple[Answer, ...]) -> Flags:
        """Return which stable flags are not enabled; a node that does not run does not answer."""
        flags = parse(answers[0].stdout) if isinstance(answers[0], Result) and answers[0].ok else None
        return replace(self, answered=flags is not None, disabled=flags or ())

    def diff(self, observed: Flags) -> Change:
        """Wait for the node and enable them all. That cannot be taken back."""
        if observed.answered and not observed.disabled:
            return Change()
        ready = Command(("sh", "-c", _READY, "ready", self.program), timeout=400)
        enable = Command((self.program, "-q", "enable_feature_flag", "all"), timeout=120)
        return Change((ready, enable), None, "enable the stable feature flags", observed.disabled)

    def explain(self, result: Result) -> RmqsetupError:
        """Say that the node is not there to enable them, or would not."""
        hint = "rmqsetup verify shows how far the node came"
        return BrokerNotReadyError("the feature flags cannot be enabled", cause=result.tail(), hint=hint)

    def absorb(self, newer: Flags) -> Flags:  # noqa: ARG002
        """Return this: there is nothing to combine."""
        return self


def parse(text: str) -> tuple[str, ...] | None:
    """Return the stable flags that are not enabled, from rabbitmqctl's JSON; None for any other text."""
    try:
        rows = json.loads(text[text.index("[") :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    waiting = (row for row in rows if row.get("state") == "disabled" and row.get("stability", "stable") == "stable")
    return tuple(sorted(str(row.get("name", "")) for row in waiting))
