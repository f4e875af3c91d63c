"""Kinds of wishes about a machine, one per file, and what every kind can answer.

A step is a desired state. Looking at machines belongs to `plan`, carrying steps out to `apply`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar, runtime_checkable

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Action, Answer, Look, Result

SCHEMA = 1
"""Version of the form in which steps are written: in plans and in receipts."""


class Phase(IntEnum):
    """The one order of steps that is right for install, uninstall, upgrade and their undo alike."""

    STOP = 0
    WRITE = 1
    PACKAGES = 2
    OWNED = 3
    """Files that belong to a user whom a package makes."""
    REMOVE = 4
    START = 5
    NODE = 6
    """What needs a running node."""


@runtime_checkable
class Step(Protocol):
    """A desired state that answers three pure questions: what to look at, what is, and what would change."""

    @property
    def key(self) -> str:
        """What the step is about; two steps with one key speak of the same thing."""

    @property
    def phase(self) -> Phase:
        """When the step's turn is."""

    def query(self) -> tuple[Look, ...]:
        """Which read-only looks show this state."""

    def observe(self: AnyStep, answers: tuple[Answer, ...]) -> AnyStep:
        """Return the same kind of step, describing what is; `answers` in the order of `query`."""

    def diff(self: AnyStep, observed: AnyStep) -> Change:
        """Return what turns `observed` into this, and the step that turns it back."""

    def explain(self, result: Result) -> RmqsetupError:
        """Turn a failed command of this step into an error with cause and hint."""

    def absorb(self: AnyStep, newer: AnyStep) -> AnyStep:
        """As an inverse, combine with the inverse of a later change of the same thing; this one is older."""


AnyStep = TypeVar("AnyStep", bound=Step)


@dataclass(frozen=True, slots=True)
class Change:
    """What a step would do. No actions and no `then`: nothing to do.

    `inverse` is the step that brings back what was observed, None where that cannot be done.
    `then` is the step to go on with after the actions, when only they make the rest visible.
    `disturbs` is a service that the actions may stop: how it was must be known before.
    `words` describe the change in one line; `conflict` says that somebody edited what we wrote.
    """

    actions: tuple[Action, ...] = ()
    inverse: Step | None = None
    words: str = ""
    details: tuple[str, ...] = ()
    warning: str = ""
    conflict: str = ""
    then: Step | None = None
    disturbs: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions and self.then is None
