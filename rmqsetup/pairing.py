"""Choose the RabbitMQ and the Erlang that fit each other, among what is offered.

Which fit is in `catalog`; who offers what belongs to `indices`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rmqsetup import catalog
from rmqsetup.catalog import BadPair, Fit, Verdict
from rmqsetup.recipe import Request
from rmqsetup.version import Precision, Version, Wanted, is_pre_release, upstream

_AT_BOOT = "definitions imported at boot"
"""Whom the catalog's fault hurts that a request can tell of itself."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A chosen pair of package versions; without one, `problem`, `available` and `hint` say why in words."""

    rabbitmq: str = ""
    erlang: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""
    available: str = ""
    hint: str = ""


def choose(request: Request, servers: tuple[str, ...], erlangs: tuple[str, ...]) -> Pair:
    """Return the newest RabbitMQ that is wished for with the best Erlang for it, both as package versions."""
    wished = [v for v in _newest_first(servers) if request.rabbitmq.admits(v)]
    offered = [v for v in _newest_first(erlangs) if request.erlang.admits(v)]
    for number, rabbitmq in enumerate(wished):
        fitting = [v for v in offered if _suits(rabbitmq, v, request)]
        if fitting:
            passed = tuple(_passed_over(newer, request) for newer in wished[:number])
            return _pair(rabbitmq, _preferred(rabbitmq, fitting), passed)
    return _no_pair(request, wished, servers=servers, erlangs=erlangs)


def judge(rabbitmq: str, erlang: str) -> Verdict:
    """Judge two versions by the catalog; of an Erlang major alone, its whole range is meant."""
    if not erlang:
        return Verdict(Fit.UNKNOWN, f"which Erlang comes with RabbitMQ {upstream(rabbitmq)} is not known")
    return catalog.load().judge_pair(rabbitmq, erlang)


def warnings(verdict: Verdict, *, own: bool) -> tuple[str, ...]:
    """Return what to warn of; a distribution's own pair outside the table is a warning, not a refusal."""
    outside = (
        () if verdict.fit is Fit.FITS else (f"{verdict.reason}{' (the distribution ships the pair)' if own else ''}",)
    )
    return (*outside, *_words(fault for fault in verdict.faults if fault.severity != "info" and fault.when))


def remarks(verdict: Verdict) -> tuple[str, ...]:
    """Return what is worth knowing of a pair, and no warning."""
    return _words(fault for fault in verdict.faults if fault.severity == "info")


def hurting(verdict: Verdict, request: Request) -> str:
    """Return why a pair is known to hurt this very request; empty when it does not."""
    return next((fault.reason for fault in verdict.faults if _hurts(fault, request)), "")


def needed(rabbitmq: str) -> str:
    """Return in words which Erlang a release or series needs; empty where that is not known."""
    row = catalog.load().erlang_range(rabbitmq) if rabbitmq not in ("", "any") else None
    return f"RabbitMQ {rabbitmq} needs Erlang {row.minimum} to {row.maximum}" if row else ""


def listed(versions: tuple[str, ...]) -> str:
    """Return versions as upstream writes them, newest first, at most eight, without pre-releases."""
    names = tuple(dict.fromkeys(upstream(v) for v in _newest_first(versions) if not is_pre_release(v)))
    return ", ".join(names[:8]) + (f" and {len(names) - 8} older" if len(names) > 8 else "") or "none"


def _suits(rabbitmq: str, erlang: str, request: Request) -> bool:
    verdict = judge(rabbitmq, erlang)
    return verdict.fit is Fit.FITS and not any(_hurts(fault, request) for fault in verdict.faults)


def _hurts(fault: BadPair, request: Request) -> bool:
    """Whether a fault that only some suffer from is known to hit this very request."""
    return fault.severity == "error" and fault.when == _AT_BOOT and bool(request.definitions)


def _pair(rabbitmq: str, erlang: str, passed: tuple[str, ...]) -> Pair:
    verdict = judge(rabbitmq, erlang)
    reasons = (*passed, verdict.reason, *remarks(verdict))
    return Pair(rabbitmq, erlang, reasons=reasons, warnings=warnings(verdict, own=False))


def _passed_over(rabbitmq: str, request: Request) -> str:
    wish = "" if request.erlang.precision is Precision.ANY else f" {request.erlang}"
    why = needed(upstream(rabbitmq)) or "which Erlang it needs is not in the catalog"
    return f"RabbitMQ {upstream(rabbitmq)} is passed over: no Erlang{wish} on offer fits ({why})"


def _preferred(rabbitmq: str, fitting: list[str]) -> str:
    """Return the newest of the Erlang series that upstream prefers for this release, else the newest that fits."""
    row = catalog.load().erlang_range(rabbitmq)
    wish = Wanted.parse(row.preferred) if row else Wanted()
    return next((version for version in fitting if wish.admits(version)), fitting[0])


def _no_pair(request: Request, wished: list[str], *, servers: tuple[str, ...], erlangs: tuple[str, ...]) -> Pair:
    available = f"RabbitMQ {listed(servers)} and Erlang {listed(erlangs)}"
    if not wished:
        wish = "" if request.rabbitmq.precision is Precision.ANY else f" {request.rabbitmq}"
        hint = "choose one of those with --rabbitmq, or leave it out" if servers else "try --source distro"
        return Pair(problem=f"there is no RabbitMQ{wish} to be had", available=available, hint=hint)
    newest = upstream(wished[0])
    row = catalog.load().erlang_range(newest)
    if row is None:
        known = ", ".join(series.name for series in catalog.load().series[:4])
        problem = f"this rmqsetup does not know which Erlang RabbitMQ {newest} needs"
        return Pair(problem=problem, available=available, hint=f"update rmqsetup, or choose an older series: {known}")
    wish = "" if request.erlang.precision is Precision.ANY else f" {request.erlang}"
    hurt = [
        f.reason for v in erlangs if request.erlang.admits(v) for f in judge(newest, v).faults if _hurts(f, request)
    ]
    return Pair(
        problem=f"no Erlang{wish} fits RabbitMQ {newest}{f': {hurt[0]}' if hurt else ''}",
        available=available,
        hint=f"{needed(newest)}: choose with --erlang, or leave it out",
    )


def _newest_first(versions: tuple[str, ...]) -> list[str]:
    return sorted(dict.fromkeys(versions), key=Version, reverse=True)


def _words(faults: Iterator[BadPair]) -> tuple[str, ...]:
    return tuple(f"{fault.reason}{f' (concerns {fault.when})' if fault.when else ''}" for fault in faults)
