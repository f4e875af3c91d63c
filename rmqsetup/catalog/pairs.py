"""Which Erlang fits which RabbitMQ, and which release follows which: questions to the series table.

Which of them a machine can have is for `resolve` to find.
"""

from __future__ import annotations

from rmqsetup.catalog import tables
from rmqsetup.catalog.rows import BadPair, ErlangRange, Fit, Verdict
from rmqsetup.version import Version, series, upstream


def erlang_range(rabbitmq: str) -> ErlangRange | None:
    """Return the Erlang range of a release; of a series, that of its newest release; None if unknown."""
    release = upstream(rabbitmq)
    if release.count(".") < 2:
        row = next((row for row in tables.series() if row.name == release), None)
        return erlang_range(row.newest) if row else None
    return next((row for row in tables.erlang_ranges() if _within(release, row.first, row.last)), None)


def judge_pair(rabbitmq: str, erlang: str) -> Verdict:
    """Judge a RabbitMQ release and an Erlang version; epochs, revisions and `+dfsg` do not matter.

    Of an Erlang major alone, all that a package index can have by now is meant: 27 is neither older than
    27.0 nor newer than 27.
    """
    release, otp = upstream(rabbitmq), upstream(erlang)
    row, faults = erlang_range(release), _faults(release, otp)
    if row is None:
        return Verdict(Fit.UNKNOWN, f"which Erlang RabbitMQ {release} needs is not in the catalog", faults=faults)
    pair = f"RabbitMQ {release} with Erlang {otp}"
    if row.enforced and not _from(otp, row.enforced):
        reason = f"{pair} does not start: it needs at least Erlang {row.enforced}"
        return Verdict(Fit.TOO_OLD, reason, boots=False, faults=faults)
    for fault in faults:
        if fault.severity == "error" and not fault.when:
            return Verdict(Fit.KNOWN_BAD, f"{pair}: {fault.reason}", faults=faults)
    supported = f"supported are {row.minimum} to {row.maximum}"
    if not _from(otp, row.minimum):
        return Verdict(Fit.TOO_OLD, f"{pair}: this Erlang is too old, {supported}", faults=faults)
    if not _up_to(otp, row.maximum):
        return Verdict(Fit.TOO_NEW, f"{pair}: this Erlang is too new, {supported}", faults=faults)
    return Verdict(Fit.FITS, f"{pair}: {supported}", faults=faults)


def can_upgrade(rabbitmq: str, to: str) -> bool:
    """Tell whether one hop leads from a release to a release or series; a downgrade never does."""
    here, there = upstream(rabbitmq), upstream(to)
    if series(here) == series(there):
        return there == series(there) or Version(here) <= Version(there)
    row = next((row for row in tables.series() if row.name == series(here)), None)
    if row is None or Version(here) < Version(row.upgrades_from_release or row.name):
        return False
    return series(there) in row.upgrades_to


def hops(rabbitmq: str, to: str) -> tuple[str, ...]:
    """Return the series on the shortest supported way, both ends included; nothing when no way leads there."""
    ways: list[tuple[str, ...]] = [(series(rabbitmq),)]
    for way in ways:
        if way[-1] == series(to):
            return way
        row = next((row for row in tables.series() if row.name == way[-1]), None)
        ways += [(*way, name) for name in (row.upgrades_to if row else ()) if name not in way]
    return ()


def _faults(release: str, otp: str) -> tuple[BadPair, ...]:
    return tuple(
        row
        for row in tables.bad_pairs()
        if _within(release, row.rabbitmq_from, row.rabbitmq_to) and _within(otp, row.erlang_from, row.erlang_to)
    )


def _within(version: str, low: str, high: str) -> bool:
    return Version(low) <= Version(version) and (not high or _up_to(version, high))


def _from(version: str, bound: str) -> bool:
    """Tell whether a version lies above a bound or is the major it begins with: 27 is from 27.0 on."""
    return bound.startswith(f"{version}.") or Version(version) >= Version(bound)


def _up_to(version: str, bound: str) -> bool:
    """Tell whether a version lies below a bound or begins like it: 27.3.4 is up to 27."""
    return version.startswith(f"{bound}.") or Version(version) <= Version(bound)
