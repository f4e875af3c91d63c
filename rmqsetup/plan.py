"""A plan is a list of desired states in the one right order; a preview says what they would change.

What a resolution asks for, as states, is in `wishes`; carrying them out belongs to `apply`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

from rmqsetup import __version__
from rmqsetup.errors import RmqsetupError
from rmqsetup.facts import Facts
from rmqsetup.host import Host, look
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.steps import SCHEMA, AnyStep, Change, Step
from rmqsetup.steps.archive import Archive
from rmqsetup.steps.disabled import Disabled
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service


@dataclass(frozen=True, slots=True)
class Plan:
    """Desired states in order, with what they came from; `title` says what for: install, undo, uninstall."""

    title: str
    steps: tuple[Step, ...]
    facts: Facts | None = None
    request: Request | None = None
    resolution: Resolution | None = None
    schema: int = SCHEMA
    tool: str = __version__

    @property
    def layout(self) -> Layout:
        """Where the RabbitMQ of an install keeps its things."""
        return self.resolution.layout if self.resolution else SYSTEM


@dataclass(frozen=True, slots=True)
class Item:
    """What one step would change; `error` says why it could not."""

    step: Step
    change: Change
    error: RmqsetupError | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a plan would change on a host, now."""

    plan: Plan
    items: tuple[Item, ...]

    @property
    def changes(self) -> tuple[Item, ...]:
        """The items that would change something, or could not."""
        return tuple(item for item in self.items if item.error or not item.change.empty)


def order(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps in the order that is right for install, uninstall, upgrade and their undo alike."""
    return tuple(sorted(steps, key=lambda step: step.phase))


def observe(step: AnyStep, host: Host) -> AnyStep:
    """Look at a host and return what is, as the same kind of step."""
    return step.observe(tuple(look(host, question) for question in step.query()))


def preview(plan: Plan, host: Host) -> Preview:
    """Observe and diff every step; changes nothing, needs no root."""
    items: list[Item] = []
    for step in plan.steps:
        items.append(_item(step, host, tuple(item for item in items if not item.change.empty)))
    return Preview(plan, tuple(items))


def undo(inverses: tuple[Step, ...], title: str) -> Plan:
    """Return the plan that brings back what was: `inverses` oldest first, those of one thing combined."""
    keys = dict.fromkeys(step.key for step in inverses)
    merged = tuple(reduce(_absorb, [step for step in inverses if step.key == key]) for key in keys)
    kept = tuple(d for step in merged if isinstance(step, Packages) and step.absent for d in step.keep)
    return Plan(title, order(tuple(_sweeping(step, kept) for step in merged)))


def _item(step: Step, host: Host, earlier: tuple[Item, ...]) -> Item:
    """Say what a step would change after the earlier ones, by which a running service gets old, or is stopped."""
    try:
        observed: Step = observe(step, host)
        if isinstance(observed, Service):
            files = tuple(
                item.step.key.partition(":")[2] for item in earlier if isinstance(item.step, File | Disabled | Archive)
            )
            disturbed = any(item.change.disturbs == observed.name for item in earlier)
            observed = observed.aged(observed.newer_than if disturbed else files)
        change = step.diff(observed)
    except RmqsetupError as error:
        return Item(step, Change(), error)
    return Item(step, _foretold(change, host))


def _foretold(change: Change, host: Host) -> Change:
    """Add what the package manager would do by the indices it has; where they are too old to tell, leave it out.

    Nothing is refused by old indices: `apply` fetches new ones, and looks again before it acts.
    """
    if not isinstance(change.then, Packages):
        return change
    try:
        details = change.then.diff(observe(change.then, host)).details
    except RmqsetupError:
        return change
    return replace(change, details=details)


def _sweeping(step: Step, kept: tuple[str, ...]) -> Step:
    """Let the removal of a file take along, once empty, the directory that a purge kept for its sake."""
    if not isinstance(step, File) or step.exists:
        return step
    above = tuple(d for d in kept if step.path.startswith(f"{d}/") and d not in step.directories)
    return replace(step, directories=(*step.directories, *above))


def _absorb(older: Step, newer: Step) -> Step:
    return older.absorb(newer)
