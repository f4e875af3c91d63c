"""Run checks side by side, rank what they find, and fold consequences under their causes.

What is looked at belongs to `checks`; how a result looks, to `show`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from rmqsetup.checks import DOWN, Check, Diagnosis, catalogue
from rmqsetup.checks.scene import Scene
from rmqsetup.errors import UsageError
from rmqsetup.finding import Severity
from rmqsetup.plan import Plan, order
from rmqsetup.steps import Step
from rmqsetup.steps.access import Access
from rmqsetup.steps.disabled import Disabled
from rmqsetup.steps.service import Service

DEADLINE = 20.0
"""Seconds for one check. Each of its looks has a shorter one; this ends what hangs all the same."""

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.CRASH, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Illness:
    """A root cause, and the findings that are only its consequences."""

    cause: Diagnosis
    consequences: tuple[Diagnosis, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks said, worst first. `unseen` is what this user could not look at; `seconds` is wall time."""

    illnesses: tuple[Illness, ...]
    checked: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there are no findings but remarks."""
        return all(illness.cause.severity is Severity.INFO for illness in self.illnesses)

    @property
    def findings(self) -> tuple[Diagnosis, ...]:
        """Every finding, causes before their consequences."""
        return tuple(each for illness in self.illnesses for each in (illness.cause, *illness.consequences))


def chosen(only: str = "", skip: str = "") -> tuple[Check, ...]:
    """Return the checks that are asked for, by ids and groups with commas between. Raises `UsageError`."""
    wanted, unwanted = _words(only), _words(skip)
    return tuple(
        check
        for check in catalogue()
        if (not wanted or {check.id, check.group} & wanted) and not {check.id, check.group} & unwanted
    )


def check_named(name: str) -> Check:
    """Return a check by its id. Raises `UsageError` where there is none."""
    found = next((check for check in catalogue() if check.id == name.upper()), None)
    if found is None:
        raise UsageError(f"there is no check {name!r}", hint="rmqsetup doctor --list names them all")
    return found


def examine(scene: Scene, checks: tuple[Check, ...]) -> Examination:
    """Ask every check about a scene, side by side. Changes nothing; a check that breaks is a finding."""
    started = time.monotonic()
    quick = tuple(check for check in checks if not check.slow)
    slow = tuple(check for check in checks if check.slow)
    found, asked = _ask(scene, quick), quick
    if slow and any(illness.cause.check in DOWN for illness in fold(tuple(found))):  # nothing has explained it yet
        found, asked = found + _ask(scene, slow), checks
    names, unseen = tuple(check.id for check in asked), tuple(sorted(scene.unseen))
    return Examination(fold(tuple(found)), names, unseen, time.monotonic() - started)


def fold(findings: tuple[Diagnosis, ...]) -> tuple[Illness, ...]:
    """Put consequences under the first cause that explains them, and causes that explain something first."""
    ranked = sorted(findings, key=lambda finding: (_ORDER.index(finding.severity), _place(finding)))
    found = [(finding, _root(finding, ranked)) for finding in ranked]
    illnesses = [
        Illness(cause, tuple(each for each, its in found if its is cause and each is not cause))
        for cause, root in found
        if cause is root
    ]
    return tuple(sorted(illnesses, key=lambda ill: (_ORDER.index(ill.cause.severity), not ill.consequences)))


def _root(finding: Diagnosis, ranked: list[Diagnosis]) -> Diagnosis:
    """Follow causes to the first one. No two explain each other: a test holds the table to that."""
    errors = (each for each in ranked if each.severity is Severity.ERROR and each.check != finding.check)
    cause = next((each for each in errors if finding.check in check_named(each.check).explains), None)
    return _root(cause, ranked) if cause else finding


def _place(finding: Diagnosis) -> int:
    return next((number for number, check in enumerate(catalogue()) if check.id == finding.check), 0)


def _words(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    known = {name for check in catalogue() for name in (check.id, check.group)}
    named = frozenset(word.upper() if word.upper() in known else word for word in words)
    if strange := sorted(named - known):
        raise UsageError(f"there is no check or group {strange[0]!r}", hint="rmqsetup doctor --list names them all")
    return named


def _ask(scene: Scene, checks: tuple[Check, ...]) -> list[Diagnosis]:
    answers: dict[str, tuple[Diagnosis, ...]] = {}
    threads = [threading.Thread(target=_judge, args=(check, scene, answers), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [finding for check in checks for finding in answers.get(check.id, (_late(check),))]


def _judge(check: Check, scene: Scene, answers: dict[str, tuple[Diagnosis, ...]]) -> None:
    try:
        answers[check.id] = tuple(check.judge(scene))
    except Exception as failure:  # noqa: BLE001 - whatever broke in a check is a finding, never a traceback
        answers[check.id] = (_crash(check, failure),)


def _crash(check: Check, failure: Exception) -> Diagnosis:
    import traceback

    place = traceback.extract_tb(failure.__traceback__)[-1]
    where = f"{place.filename.rpartition('rmqsetup/')[2]}:{place.lineno}"
    return Diagnosis(
        check.id,
        Severity.CRASH,
        f"the check could not be carried out: {check.title}",
        evidence=(f"{where}: {type(failure).__name__}: {failure}",),
        hint=f"rmqsetup doctor --skip {check.id} leaves it out",
    )


def _late(check: Check) -> Diagnosis:
    return Diagnosis(
        check.id,
        Severity.CRASH,
        f"the check did not end within {DEADLINE:g} seconds: {check.title}",
        hint=f"rmqsetup doctor --skip {check.id} leaves it out",
    )


def curable(found: Examination, what: str) -> tuple[Diagnosis, ...]:
    """Return the findings that are to be mended: `safe` ones, `all` that can be, or one by its id.

    What is only a consequence is not mended beside its cause: seen from a wrong user everything else has a wrong owner.
    Raises `UsageError` for an id that was not found, or that nobody but a person can mend.
    """
    if what in ("safe", "all"):
        causes = (illness.cause for illness in found.illnesses)
        return tuple(each for each in causes if each.fix and (each.safe or what == "all"))
    check_named(what)
    named = tuple(each for each in found.findings if each.check == what.upper())
    if not named:
        raise UsageError(f"{what.upper()} was not found on this machine", hint="rmqsetup doctor says what was")
    if not any(each.fix for each in named):
        raise UsageError(f"{what.upper()} can only be mended by a person", hint=named[0].hint)
    return named


def _joined(one: Step, other: Step) -> Step:
    if isinstance(one, Disabled) and isinstance(other, Disabled):
        return one.absorb(other)
    if isinstance(one, Access) and isinstance(other, Access):
        return one.absorb(other)
    if isinstance(one, Service) and isinstance(other, Service):
        return replace(one, newer_than=tuple(dict.fromkeys((*one.newer_than, *other.newer_than))))
    return one


def hindrances(found: Examination, mended: tuple[Diagnosis, ...]) -> tuple[Diagnosis, ...]:
    """Return the errors that keep the node down, and stay when only some findings are mended."""
    causes = (illness.cause for illness in found.illnesses if illness.cause.severity is Severity.ERROR)
    return tuple(each for each in causes if each not in mended and {*check_named(each.check).explains} & {*DOWN})


def without_starts(plan: Plan) -> Plan:
    """Return a plan that leaves services as they are: where something else keeps them down, a start would fail."""
    return replace(plan, steps=tuple(step for step in plan.steps if not (isinstance(step, Service) and step.running)))


def cure(findings: tuple[Diagnosis, ...]) -> Plan:
    """Return the plan that mends some findings; what several of them wish for is there once.

    Lines of one file that several want switched off are switched off together, and paths that several want opened are
    opened together. A service that is to be newer than
    files of several is newer than all of them.
    """
    steps: dict[str, Step] = {}
    for step in (step for finding in findings for step in finding.fix):
        steps[step.key] = _joined(steps[step.key], step) if step.key in steps else step
    return Plan("fix", order(tuple(steps.values())))
