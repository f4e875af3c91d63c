"""What can be had: RabbitMQ's series with the Erlang they need, and what every source offers a host.

Which of it to take is decided by `resolve`; how it is shown belongs to `show`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup import homebrew, releases, unpacked
from rmqsetup.catalog import Distribution, Refusal, load
from rmqsetup.detect import detect
from rmqsetup.errors import NetworkError, RmqsetupError
from rmqsetup.facts import Facts
from rmqsetup.host import Host
from rmqsetup.managers import State
from rmqsetup.managers.brew import released
from rmqsetup.managers.layout import FORMULA, SYSTEM, Layout
from rmqsetup.managers.sources import find
from rmqsetup.pipeline import ask
from rmqsetup.recipe import Request
from rmqsetup.resolution import Answer, Ask, Source
from rmqsetup.resolve import SERVER, resolve, source_of
from rmqsetup.version import Version, is_pre_release, series, upstream


@dataclass(frozen=True, slots=True)
class Row:
    """A series of RabbitMQ. Dates are ISO, empty where not known; `newest` is the newest release seen."""

    name: str
    newest: str
    released: str
    community_until: str
    commercial_until: str
    erlang_from: str
    erlang_to: str
    upgrades_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one source offers, newest first and as upstream writes versions; `problem` says why it is nothing."""

    source: str
    title: str
    rabbitmq: tuple[str, ...] = ()
    erlang: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """The table, the offers, what is installed, and what an install would take (or why it would take nothing)."""

    distribution: str
    architecture: str
    series: tuple[Row, ...]
    offers: tuple[Offer, ...]
    installed_rabbitmq: str = ""
    installed_erlang: str = ""
    source: str = ""
    rabbitmq: str = ""
    erlang: str = ""
    reasons: tuple[str, ...] = ()
    problem: str = ""


def offered(host: Host, request: Request) -> Versions:
    """Ask every source what it offers a host. Raises nothing a source does: it is told beside the rest."""
    facts = detect(host, brew=request.source == "brew", fetch=True)
    its = _layout(facts)
    place = load().place(facts.os)
    row = place.distribution
    found = Versions(
        row.name if row else facts.os.pretty or facts.os.name,
        facts.architecture,
        tuple(_row(each.name) for each in load().series),
        (),
        installed_rabbitmq=_installed(facts, SERVER),
        installed_erlang=_installed(facts, *its.runtimes),
    )
    if isinstance(place, Refusal) or row is None:
        return replace(found, problem=place.reason if isinstance(place, Refusal) else "")
    asked = _Asked(ask(host))
    if homebrew.is_meant(facts, request):
        return _chosen(_homebrews(found, facts), facts, request, ask=asked)
    names = ("mirror", "distro") if request.source == "mirror" else ("team", "distro")
    offers = tuple(_offer(facts, replace(request, source=name), row, ask=asked) for name in names)
    if request.source == "archive":
        return replace(found, offers=(*offers, _published()))
    if request.source == "user":
        return _unpacked(replace(found, offers=offers), host)
    return _chosen(replace(found, offers=offers), facts, request, ask=asked)


def _homebrews(found: Versions, facts: Facts) -> Versions:
    """Add what Homebrew offers and has."""
    brew = facts.homebrew
    if brew is None:
        return found
    keg, offer = brew.keg(FORMULA), brew.candidate(FORMULA)
    erlangs = tuple(each.version for each in brew.candidates if each.package != FORMULA)
    offers = Offer("brew", "Homebrew", (released(offer.version),) if offer else (), erlangs, problem=brew.problem)
    installed = (released(keg.version), keg.erlang_version) if keg else ("", "")
    return replace(found, offers=(offers,), installed_rabbitmq=installed[0], installed_erlang=installed[1])


class _Asked:
    """Asks each source once: the offers and the choice come from the same answer."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: dict[str, Answer] = {}

    def __call__(self, source: Source) -> Answer:
        if source.id not in self._answers:
            self._answers[source.id] = self._ask(source)
        return self._answers[source.id]


def _row(name: str) -> Row:
    catalog = load()
    known, fits = catalog.series_named(name), catalog.erlang_range(name)
    assert known is not None  # noqa: S101 - the name came from the same table
    return Row(
        name,
        known.newest,
        known.released,
        known.community_until,
        known.commercial_until,
        fits.minimum if fits else "",
        fits.maximum if fits else "",
        known.upgrades_to,
    )


def _layout(facts: Facts) -> Layout:
    its = find(facts.manager)
    return its.layout if its else SYSTEM


def _installed(facts: Facts, *names: str) -> str:
    package = facts.package(*names)
    return upstream(package.version) if package and package.state is State.INSTALLED else ""


def _offer(facts: Facts, request: Request, row: Distribution, *, ask: Ask) -> Offer:
    if request.source == "distro":
        return _own(facts, row)
    source = source_of(facts, request, row, load())
    if isinstance(source, str):
        return Offer(request.source, "Team RabbitMQ's repository", problem=source)
    try:
        surveys = ask(source).surveys
    except RmqsetupError as error:
        return Offer(source.id, source.title, problem=": ".join(filter(None, (error.message, error.cause))))
    offers = [offer for survey in surveys for offer in survey.offers]
    failures = [f"{failure.mirror}: {failure.cause}" for survey in surveys for failure in survey.failures]
    silent = any(not survey.answered for survey in surveys)
    return Offer(
        source.id,
        source.title,
        _newest_first(tuple(offer.version for offer in offers if offer.package == SERVER)),
        _newest_first(tuple(offer.version for offer in offers if offer.package == _layout(facts).erlang)),
        problem="\n".join(dict.fromkeys(failures)) if silent else "",
    )


def _own(facts: Facts, row: Distribution) -> Offer:
    """Return what the distribution itself has: by its package manager's lists, else by the catalog's series."""
    server, erlang = facts.candidate(SERVER), facts.candidate(*_layout(facts).runtimes)
    rabbitmq = upstream(server.version) if server and server.version else row.rabbitmq
    return Offer(
        "distro",
        f"{row.name} itself",
        (rabbitmq,) if rabbitmq else (),
        (upstream(erlang.version) if erlang and erlang.version else row.erlang,) if rabbitmq else (),
        problem="" if rabbitmq else f"{row.name} has no RabbitMQ of its own",
    )


def _published() -> Offer:
    """Return what is published as archives."""
    title = "generic-unix archives"
    row = next(row for row in load().publications if row.provides == "rabbitmq")
    try:
        found = releases.offers(row)
    except NetworkError as error:
        return Offer("archive", title, problem=": ".join(filter(None, (error.message, error.cause))))
    return Offer("archive", title, _newest_first(tuple(offer.version for offer in found)))


def _unpacked(found: Versions, host: Host) -> Versions:
    """Add what apt would take for a broker without root, whichever of its sources that is from."""
    title = "what apt takes, unpacked without root"
    try:
        offer = unpacked.offered(host)
    except RmqsetupError as error:
        problem = ": ".join(filter(None, (error.message, error.cause)))
        return replace(found, offers=(*found.offers, Offer("user", title, problem=problem)), problem=problem)
    rabbitmq, erlang = upstream(offer.rabbitmq), upstream(offer.erlang)
    offers = (*found.offers, Offer("user", title, (rabbitmq,), (erlang,)))
    return replace(found, offers=offers, source="user", rabbitmq=rabbitmq, erlang=erlang)


def _chosen(found: Versions, facts: Facts, request: Request, *, ask: Ask) -> Versions:
    try:
        choice = resolve(facts, request, load(), ask)
    except RmqsetupError as error:
        return replace(found, problem=": ".join(filter(None, (error.message, error.cause))))
    return replace(found, source=choice.source, rabbitmq=choice.rabbitmq, erlang=choice.erlang, reasons=choice.reasons)


def _newest_first(versions: tuple[str, ...]) -> tuple[str, ...]:
    released = sorted((v for v in versions if not is_pre_release(v)), key=Version, reverse=True)
    return tuple(dict.fromkeys(map(upstream, released)))


def newest_per_series(versions: tuple[str, ...], *, parts: int = 2) -> tuple[str, ...]:
    """Return the newest of each series (of each major with `parts` 1), in the order given: newest first."""
    found: dict[str, str] = {}
    for version in versions:
        found.setdefault(".".join(series(version).split(".")[:parts]), version)
    return tuple(found.values())
