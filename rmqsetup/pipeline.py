"""The stages in one breath: what commands share between words in and result out.

Each stage is in its own module; how results look belongs to `show`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rmqsetup import xdg
from rmqsetup.apply import Report, Watcher, apply
from rmqsetup.archived import BELOW
from rmqsetup.catalog import load
from rmqsetup.detect import detect
from rmqsetup.errors import BrokerNotReadyError, ConflictError, RmqsetupError, UsageError
from rmqsetup.facts import Facts
from rmqsetup.host import Command, Host, text_of
from rmqsetup.managers import apt_trust
from rmqsetup.managers.layout import FORMULA, SYSTEM, Layout, of_archive, of_brew
from rmqsetup.managers.sources import ConfiguredSource, Sources, sources
from rmqsetup.plan import Plan, undo
from rmqsetup.prefix import CURRENT, Place, User, candidates
from rmqsetup.prefix import build as build_below
from rmqsetup.receipt import Journal, Receipt, last_run, lock, read_all, standing
from rmqsetup.recipe import Request
from rmqsetup.resolution import Answer, Ask, Resolution, Source
from rmqsetup.resolve import resolve
from rmqsetup.standing import STATE
from rmqsetup.steps import Step
from rmqsetup.steps.archive import Archive
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.steps.trust import Trust
from rmqsetup.wishes import Ours, Retirement, build


def prepare(host: Host, request: Request, *, state: Path = STATE, fresh: bool = False) -> Plan:
    """Detect, resolve and plan; changes nothing. Raises whatever a stage raises.

    With `fresh` the plan is for a machine like this one without RabbitMQ and Erlang: one that is to be exported.
    """
    facts = detect(host, brew=request.source == "brew", fetch=request.source not in BELOW)
    if request.source in BELOW:
        return _below_prefix(host, facts, request, left=ours(_readable(state)))
    if fresh:
        brew = replace(facts.homebrew, kegs=()) if facts.homebrew else None
        own = tuple(source for source in facts.sources if source.own)
        bare = replace(facts, packages=(), sources=own, legacy_keys=(), directories=(), homebrew=brew)
        return build(resolve(bare, request, load(), ask(host)), bare, request, ours=Ours())
    resolution = resolve(facts, request, load(), ask(host))
    keeps = resolution.source == "installed" or resolution.layout.prefix
    retired = () if keeps else _retired(host, facts, resolution)
    left = replace(ours(_readable(state)), settings=text_of(host, resolution.layout.settings))
    return build(resolution, facts, request, ours=left, retired=retired)


def ask(host: Host) -> Ask:
    """Return the function that asks a source what it offers, over the network."""

    def asking(source: Source) -> Answer:
        from rmqsetup import indices, keys

        wanted, shipped = source.fingerprints, load().key_text(source.key_id) if source.key_id else None
        proven = tuple(keys.prove(shipped, each) for each in wanted) if shipped else keys.fetch(source.key, wanted)
        query = indices.Query(source.id, source.mirrors, source.repositories, source.packages, proven)
        surveys = indices.survey(query, host=host)
        for survey in surveys:
            if survey.answered:
                indices.refuse_replay(survey, host)
        return Answer(surveys, proven)

    return asking


def carry_out(plan: Plan, host: Host, watcher: Watcher, *, state: Path = STATE, undoes: tuple[str, ...] = ()) -> Report:
    """Apply a plan under the lock, with a journal."""
    began = time.monotonic()
    with lock(state):
        report = apply(plan, host, Journal(plan.title, state=state, undoes=undoes), watcher)
    if isinstance(report.error, BrokerNotReadyError):
        tell_why(report.error, host, (*layouts(plan), SYSTEM)[0], seconds=time.monotonic() - began)
    return report


def ours(receipts: tuple[Receipt, ...]) -> Ours:
    """Return what the standing receipts say we left on the machine."""
    entries = [entry for receipt in standing(receipts) for entry in receipt.entries]
    files = [entry.step for entry in entries if isinstance(entry.step, File) and entry.step.exists]
    trees = [entry.step for entry in entries if isinstance(entry.step, Archive)]
    made = (*(file.directories for file in files), *(tree.directories for tree in trees))
    marks = [entry.inverse for entry in entries if isinstance(entry.inverse, Packages)]
    trust = [entry.inverse for entry in entries if isinstance(entry.inverse, Trust)]
    return Ours(
        digests=tuple(dict.fromkeys(file.wanted_digest for file in files)),
        holds=tuple(dict.fromkeys(name for inverse in marks for name in inverse.release)),
        directories=tuple(dict.fromkeys(directory for each in made for directory in each)),
        paths=tuple(dict.fromkeys(file.path for file in files)),
        trusted=tuple({each.fingerprint: each for each in trust if not each.trusted}.values()),
    )


def undoing(name: str = "", *, state: Path = STATE) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan that takes back the last run, and the receipts that are undone by it.

    Raises `UsageError` when there is nothing to undo, `ConflictError` when newer runs stand on the named one.
    """
    receipts = read_all(state)
    chosen = last_run(receipts)
    if not chosen:
        raise UsageError("there is nothing to undo", looked_at=(str(state / "receipts"),))
    names = tuple(receipt.id for receipt in chosen)
    if name and name not in names:
        standing_names = [receipt.id for receipt in standing(receipts)]
        if name not in standing_names:
            raise UsageError(f"there is no receipt {name} to undo", hint="rmqsetup history lists them")
        newer = standing_names[standing_names.index(name) + 1 :]
        raise ConflictError(
            f"newer changes stand on {name}", cause=", ".join(newer), hint="undo the newest first: rmqsetup undo"
        )
    return undo(tuple(step for receipt in chosen for step in receipt.inverses), "undo"), names


def uninstalling(*, purge: bool, state: Path = STATE) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan that takes back everything rmqsetup did here, and the receipts that are undone by it.

    With `purge` the data directories go as well.
    """
    chosen = standing(read_all(state))
    plan = undo(tuple(step for receipt in chosen for step in receipt.inverses), "uninstall")
    if purge:
        steps = (_without_keeping(step) for step in plan.steps)
        plan = replace(plan, steps=tuple(steps))
    return plan, tuple(receipt.id for receipt in chosen)


def takes_broker(plan: Plan) -> bool:
    """Tell whether RabbitMQ itself goes with the plan of an undo, and not only what we did to one that was here."""
    servers = {SYSTEM.server, FORMULA}
    return any(
        isinstance(step, Archive) or (isinstance(step, Packages) and not servers.isdisjoint(step.absent))
        for step in plan.steps
    )


def layouts(plan: Plan) -> tuple[Layout, ...]:
    """Return the places that a plan is about; none where its steps name no prefix, and are the system's."""
    if plan.resolution:
        return (plan.resolution.layout,)
    archives = (of_archive(step.prefix) for step in plan.steps if isinstance(step, Archive))
    named = (step.prefix for step in plan.steps if isinstance(step, Packages | Service))
    return tuple(dict.fromkeys((*archives, *(of_brew(prefix, home="") for prefix in named if prefix))))


def tell_why(error: RmqsetupError, host: Host, layout: Layout, *, seconds: float) -> None:
    """Add to an error what a node that would not start has said in the last `seconds`, and what mends that."""
    from rmqsetup.probes.address import find_address
    from rmqsetup.probes.causes import remedy
    from rmqsetup.probes.logs import last_words

    words = last_words(host, find_address(host, layout), since=_clock(host) - seconds)
    error.cause = "\n".join(filter(None, (error.cause, *words)))
    error.hint = remedy(host, words, layout) or error.hint


def _clock(host: Host) -> float:
    """Return the time of a host in seconds since the epoch: its logs go by its own clock, which need not be ours."""
    told = host.run(Command(("date", "+%s"), timeout=10)).stdout.strip()
    return float(told) if told.isascii() and told.isdigit() else time.time()


def _below_prefix(host: Host, facts: Facts, request: Request, *, left: Ours) -> Plan:
    """Return the plan of an install below a prefix."""
    from rmqsetup import archives, rootless

    if request.source == "user":
        resolution = rootless.resolve(facts, request, load(), host=host, cache=xdg.cache() / "unpacked")
    else:
        resolution = archives.resolve(facts, request, load(), host=host, cache=xdg.cache() / "archives")
    who = 'echo "$(id -un)"; echo "$(id -gn)"; echo "$HOME"'  # a line each, also where a number has no name
    name, group, home = host.run(Command(("sh", "-c", who))).stdout.splitlines()
    user = User(name, group, home)
    left = replace(left, settings=text_of(host, resolution.layout.settings))
    there = (path for path in candidates(resolution.layout, user) if host.peek(path))
    folders = tuple(path for path in there if path not in left.directories)
    return build_below(resolution, facts, request, ours=left, place=Place(user, folders))


def _without_keeping(step: Step) -> Step:
    """Let the data of the node go with what holds them."""
    if isinstance(step, Packages):
        data = tuple(f"{step.prefix}{directory}" for directory in SYSTEM.kept)
        return replace(step, keep=tuple(directory for directory in step.keep if directory not in data))
    if isinstance(step, Archive) and step.link == CURRENT:
        return replace(step, data=(f"{step.prefix}/var",))
    return step


def _readable(state: Path) -> tuple[Receipt, ...]:
    """Return the receipts, or none where this user may not see them: a plan needs no root."""
    try:
        return read_all(state)
    except UsageError:
        return ()


def _retired(host: Host, facts: Facts, resolution: Resolution) -> tuple[Retirement, ...]:
    """Return the lists and keyrings that hold what must not stay, as they are and without it."""
    its = sources(facts.manager)
    uris = {uri.rstrip("/") for served in resolution.served for uri in served.uris}
    doomed = tuple(source for source in facts.sources if _is_doomed(source, uris, its))
    paths = dict.fromkeys(s.file for s in doomed if s.enabled and not (uris and its.is_ours(s.file)))  # it is replaced
    lists = (_without(host, path, doomed, its) for path in paths)
    unbound = [s for s in facts.sources if s.enabled and s not in doomed and not s.signed_by]
    if any("rabbitmq" in uri for source in unbound for uri in source.uris):
        return tuple(filter(None, lists))  # it lives by apt's machine-wide keys: without them apt would refuse it
    return tuple(filter(None, (*lists, *_keyrings(host, facts))))


def _is_doomed(source: ConfiguredSource, uris: set[str], its: Sources) -> bool:
    """Whether an entry is retired, or names what ours will: apt refuses two with unlike Signed-By, and stops."""
    return bool(source.retired) or (
        not its.is_ours(source.file) and any(uri.rstrip("/") in uris for uri in source.uris)
    )


def _without(host: Host, path: str, doomed: tuple[ConfiguredSource, ...], its: Sources) -> Retirement | None:
    state = host.read(path)
    if state is None or state.content is None:
        return None
    text = state.content.decode(errors="surrogateescape")  # what is not UTF-8 comes back as it was
    rest = its.without(path, text, tuple(source.line for source in doomed if source.file == path))
    return Retirement(path, state, rest.encode(errors="surrogateescape") if rest else None)


def _keyrings(host: Host, facts: Facts) -> Iterator[Retirement]:
    """Yield the keyrings in trusted.gpg.d that hold retired keys and no others."""
    retired = {key.fingerprint for key in facts.legacy_keys}
    for path in dict.fromkeys(key.file for key in facts.legacy_keys):
        state = host.read(path) if path.startswith(f"{apt_trust.TRUSTED_FOLDER}/") else None
        if state and state.content and retired.issuperset(apt_trust.fingerprints(state.content)):
            yield Retirement(path, state)
