"""Choose the RabbitMQ and the Erlang that fit each other, among what is offered.

Which fit is in `catalog`; who offers what belongs to `indices`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqsetup import catalog
from rmqsetup.catalog import Fit, Verdict
from rmqsetup.recipe import Request
from rmqsetup.version import Version, Wanted, is_pre_release, upstream


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
    for rabbitmq in wished:
        fitting = [v for v in offered if judge(rabbitmq, v).fit is Fit.FITS]
        if fitting:
            return _pair(rabbitmq, _preferred(rabbitmq, fitting))
    return _no_pair(request, wished, servers=servers, erlangs=erlangs)


def judge(rabbitmq: str, erlang: str) -> Verdict:
    """Judge two versions by the catalog; of an Erlang major alone, its whole range is meant."""
    return catalog.load().judge_pair(rabbitmq, erlang)


def warnings(verdict: Verdict, *, own: bool) -> tuple[str, ...]:
    """Return what to warn of; a distribution's own pair outside the table is a warning, not a refusal."""
    outside = (
        () if verdict.fit is Fit.FITS else (f"{verdict.reason}{' (the distribution ships the pair)' if own else ''}",)
    )
    faults = tuple(fault.reason for fault in verdict.faults if fault.reason not in verdict.reason)
    return (*outside, *faults)


def needed(rabbitmq: str) -> str:
    """Return in words which Erlang a release or series needs."""
    row = catalog.load().erlang_range(rabbitmq) if rabbitmq not in ("", "any") else None
    return f"RabbitMQ {rabbitmq} needs Erlang {row.minimum} to {row.maximum}" if row else "rmqsetup versions lists them"


def listed(versions: tuple[str, ...]) -> str:
    """Return versions as upstream writes them, newest first, at most eight."""
    names = tuple(dict.fromkeys(upstream(v) for v in _newest_first(versions)))
    return ", ".join(names[:8]) + (f" and {len(names) - 8} older" if len(names) > 8 else "") or "none"


def _pair(rabbitmq: str, erlang: str) -> Pair:
    verdict = judge(rabbitmq, erlang)
    return Pair(rabbitmq, erlang, reasons=(verdict.reason,), warnings=warnings(verdict, own=False))


def _preferred(rabbitmq: str, fitting: list[str]) -> str:
    """Return the newest of the Erlang series that upstream prefers for this release, else the newest that fits."""
    row = catalog.load().erlang_range(rabbitmq)
    wish = Wanted.parse(row.preferred) if row else Wanted()
    return next((version for version in fitting if wish.admits(version)), fitting[0])


def _no_pair(request: Request, wished: list[str], *, servers: tuple[str, ...], erlangs: tuple[str, ...]) -> Pair:
    available = f"RabbitMQ {listed(servers)} and Erlang {listed(erlangs)}"
    if not wished:
        problem = f"there is no RabbitMQ {request.rabbitmq} to be had"
        return Pair(problem=problem, available=available, hint="choose one of those with --rabbitmq, or leave it out")
    newest = upstream(wished[0])
    problem = f"no Erlang {'' if str(request.erlang) == 'any' else f'{request.erlang} '}fits RabbitMQ {newest}"
    return Pair(problem=problem, available=available, hint=f"{needed(newest)}: choose with --erlang, or leave it out")


def _newest_first(versions: tuple[str, ...]) -> list[str]:
    return sorted(dict.fromkeys(v for v in versions if not is_pre_release(v)), key=Version, reverse=True)
