"""Carry out a plan: observe, diff, journal, run, observe again. What is told while it runs belongs to `show`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from rmqsetup.errors import ManagerError, NetworkError, NotConvergedError, RmqsetupError
from rmqsetup.host import Action, Clear, Command, Give, Host, Link, Remove, Result, Unpack, Write
from rmqsetup.managers import manager
from rmqsetup.plan import Plan, observe, undo
from rmqsetup.receipt import DONE, FAILED, ROLLED_BACK, Journal
from rmqsetup.steps import Change, Phase, Step
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.steps.trust import Trust


class Status(Enum):
    """How a step ended."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step ended; `seconds` of wall time."""

    key: str
    status: Status
    words: str = ""
    details: tuple[str, ...] = ()
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """How a plan ended. `error` is what stopped it; `rolled_back` says that what was begun was taken back."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    receipt: str = ""
    error: RmqsetupError | None = None
    rolled_back: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was changed and stayed changed."""
        return not self.rolled_back and any(outcome.status is Status.CHANGED for outcome in self.outcomes)


class Watcher(Protocol):
    """Is told what happens while it happens."""

    def begins(self, words: str) -> None:
        """Hear that a step begins to change something."""

    def says(self, line: str) -> None:
        """Hear a line that a running command printed."""

    def ends(self, outcome: Outcome) -> None:
        """Hear how a step ended."""


def apply(plan: Plan, host: Host, journal: Journal, watcher: Watcher) -> Report:
    """Carry out a plan, stopping at the first step that fails.

    As long as no package was touched, a failure takes back what was begun, so that the machine is as before;
    after that, what is there stays, and the same command run again finishes it.
    """
    outcomes: list[Outcome] = []
    done: list[tuple[Step, Step]] = []
    error: RmqsetupError | None = None
    for step in plan.steps:
        started = time.monotonic()
        try:
            outcome = _Run(step, plan, host, journal, watcher, done).carry_out(started, _changed_files(outcomes))
        except RmqsetupError as failure:
            error = failure
            outcome = Outcome(step.key, Status.FAILED, failure.message, seconds=time.monotonic() - started)
        outcomes.append(outcome)
        watcher.ends(outcome)
        if error:
            break
    outcomes += [Outcome(step.key, Status.SKIPPED) for step in plan.steps[len(outcomes) :]]
    rolled_back = bool(error) and _roll_back(tuple(done), host, journal, watcher)
    journal.finish(ROLLED_BACK if rolled_back else FAILED if error else DONE)
    return Report(plan, tuple(outcomes), journal.id, error, rolled_back)


@dataclass(slots=True)
class _Run:
    """One step of a plan being carried out."""

    step: Step
    plan: Plan
    host: Host
    journal: Journal
    watcher: Watcher
    done: list[tuple[Step, Step]]
    doubt: RmqsetupError | None = None

    def carry_out(self, started: float, changed_files: tuple[str, ...] = ()) -> Outcome:
        """Observe, diff and act until there is nothing left to do."""
        current, words, details, notes = self.step, "", list[str](), list[str]()
        for attempt in range(4):
            observed: Step = observe(current, self.host)
            if isinstance(observed, Service) and not attempt:
                observed = observed.aged(changed_files)
            change = self._diff(current, observed)
            if change.empty:
                status = Status.CHANGED if words else Status.UNCHANGED
                note = "; ".join(notes)
                return Outcome(self.step.key, status, words, tuple(details), note, time.monotonic() - started)
            if not words:
                words = change.words
                self.watcher.begins(words)
            details = list(change.details) or details
            notes += [text for text in (change.warning, change.conflict) if text]
            self._act(current, observed, change)
            current = change.then or current
        raise NotConvergedError(
            f"{self.step.key} is still not as wished after {words or 'every attempt'}",
            cause=change.words,
            hint="something on this machine changes it back; rmqsetup plan shows the difference",
        )

    def _diff(self, current: Step, observed: Step) -> Change:
        """Return what is left to do; a refusal is explained by a refresh that failed before it."""
        try:
            return current.diff(observed)
        except ManagerError as refusal:
            raise self.doubt or refusal from refusal

    def _act(self, current: Step, observed: Step, change: Change) -> None:
        if change.disturbs:
            self._remember_service(change.disturbs)
        self.journal.before(current, change.inverse)
        complete = False
        try:
            for action in change.actions:
                self._perform(action)
            complete = True
        finally:  # a second simulation costs most of a second, so look only where it is not known
            if change.inverse is not None and (complete or observe(current, self.host) != observed):
                self.done.append((current, change.inverse))
        self.journal.after(Status.CHANGED.value)

    def _remember_service(self, name: str) -> None:
        """Journal whether a service ran before packages stop it: afterwards nobody can tell."""
        for service in (step for step in self.plan.steps if isinstance(step, Service) and step.name == name):
            self.journal.before(service, service.back_to(observe(service, self.host)))
            self.journal.after(Status.UNCHANGED.value)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Write):
            self.host.write(action)
        elif isinstance(action, Remove):
            self.host.remove(action)
        elif isinstance(action, Unpack):
            self.host.unpack(action)
        elif isinstance(action, Clear):
            self.host.clear(action)
        elif isinstance(action, Link):
            self.host.link(action)
        elif isinstance(action, Give):
            self.host.give(action)
        else:
            self._run(action)

    def _run(self, command: Command) -> None:
        result = self._patiently(command)
        if result.ok:
            return
        error = self.step.explain(result)
        if command.weighed and isinstance(error, ManagerError | NetworkError):
            self.doubt = error
            return
        raise error

    def _patiently(self, command: Command) -> Result:
        """Run a command, again and again while somebody else holds its lock, up to the step's patience."""
        patience = self.step.lock_timeout if isinstance(self.step, Packages | Trust) else 0
        until = time.monotonic() + patience
        while True:
            result = self.host.run(command, self.watcher.says)
            busy = next((line for line in result.stderr.splitlines() if any(word in line for word in command.busy)), "")
            if result.ok or not busy:
                return result
            if time.monotonic() >= until:
                return self._naming_holders(result)
            self.watcher.says(f"waiting: {busy.removeprefix('E: ')}")
            time.sleep(1)

    def _naming_holders(self, result: Result) -> Result:
        """Say in the answer of a command that got no lock who has it, unless the command says so itself."""
        if not isinstance(self.step, Packages) or "held by process" in result.stderr:
            return result
        question = manager(self.step.manager, self.step.prefix).holders()
        found = self.host.run(question).stdout.splitlines() if question else ()
        return replace(result, stderr="\n".join((result.stderr.rstrip(), *(f"E: {line}" for line in found))))


def _changed_files(outcomes: list[Outcome]) -> tuple[str, ...]:
    """Return the paths of files that were changed, and of links to trees that were unpacked."""
    changed = (o.key.partition(":") for o in outcomes if o.status is Status.CHANGED)
    return tuple(path for kind, _, path in changed if kind in ("file", "archive"))


def _roll_back(done: tuple[tuple[Step, Step], ...], host: Host, journal: Journal, watcher: Watcher) -> bool:
    """Take back what was begun, unless packages were already touched."""
    if not done or any(step.phase >= Phase.PACKAGES for step, _ in done):
        return False
    try:
        plan = undo(tuple(inverse for _, inverse in done), "roll back")
        for step in plan.steps:
            _Run(step, plan, host, journal, watcher, []).carry_out(time.monotonic())
    except RmqsetupError:
        return False  # the report says so; the journal still has everything for `rmqsetup undo`
    return True
