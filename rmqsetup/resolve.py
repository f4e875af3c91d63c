"""Decide where RabbitMQ and Erlang come from, and which versions: facts, request, catalog → resolution.

What a source really offers is asked through a function that is handed in; what follows on the machine
is in `wishes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from rmqsetup import pairing
from rmqsetup.catalog import Catalog, Distribution, Placement, Refusal
from rmqsetup.catalog import Repository as Row
from rmqsetup.detect import Facts
from rmqsetup.errors import NetworkError, UnsupportedError
from rmqsetup.indices import Repository, Survey
from rmqsetup.keys import Key
from rmqsetup.managers import Package, State
from rmqsetup.pairing import Pair
from rmqsetup.recipe import Request
from rmqsetup.version import Version, upstream

SERVER = "rabbitmq-server"
FAMILY = (SERVER, "erlang-*")
"""Patterns of the packages that must fit each other: same source, held together."""

ERLANG = (
    *("erlang-base", "erlang-asn1", "erlang-crypto", "erlang-eldap", "erlang-ftp", "erlang-inets", "erlang-mnesia"),
    *("erlang-os-mon", "erlang-parsetools", "erlang-public-key", "erlang-runtime-tools", "erlang-snmp", "erlang-ssl"),
    *("erlang-syntax-tools", "erlang-tftp", "erlang-tools", "erlang-xmerl"),
)
"""What RabbitMQ needs of Erlang, as https://www.rabbitmq.com/docs/install-debian lists it (2026-08-21)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where packages may come from: mirrors, the repositories below each, and the key by its full fingerprint.

    `key` is a file, a URL, or empty for the key that the catalog ships under `key_id`.
    """

    id: str
    title: str
    mirrors: tuple[str, ...]
    repositories: tuple[Repository, ...]
    fingerprint: str
    key: str = ""
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source offers, and the key that proved it."""

    surveys: tuple[Survey, ...]
    key: Key


Ask = Callable[[Source], Answer]
"""Asks a source what it offers; raises `TrustError`, never `NetworkError`: that is in the surveys."""


@dataclass(frozen=True, slots=True)
class Served:
    """A repository to be configured: `uris` with the answering mirror first."""

    uris: tuple[str, ...]
    suite: str
    component: str
    architecture: str
    origin: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was decided, and why. `rabbitmq` and `erlang` are versions, or a series where only that is known yet.

    `source` is team, mirror, distro, or installed when what is there already is as wished. `notice` is the
    one plain line about a fallback. `origins` are patterns of where packages of the family come from.
    """

    distribution: Distribution
    source: str
    rabbitmq: str
    erlang: str
    packages: tuple[Package, ...]
    origins: tuple[str, ...] = ()
    served: tuple[Served, ...] = ()
    key: Key | None = None
    notice: str = ""
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def resolve(facts: Facts, request: Request, catalog: Catalog, ask: Ask) -> Resolution:
    """Choose source and versions.

    Raises `UnsupportedError` when the machine or the wish is not to be had, with what would work instead;
    `NetworkError` when the one source that was asked for does not answer; `TrustError` from `ask`.
    """
    place = _place(facts, catalog)
    installed = _installed(facts, request, place, catalog)
    if installed:
        return installed
    if request.source == "distro":
        return _guard(_from_distribution(facts, request, place), facts, catalog)
    source = source_of(facts, request, place.distribution, catalog)
    if isinstance(source, str):
        if request.source != "auto":
            raise UnsupportedError(source, hint="see what works here with: rmqsetup versions")
        return _guard(_from_distribution(facts, request, place, reason=source), facts, catalog)
    answer = ask(source)
    silent = _silence(answer.surveys)
    if silent and request.source != "auto":
        raise NetworkError(
            f"{source.title} did not answer",
            cause=silent,
            hint="check network and proxy, or take the distribution's packages: --source distro",
        )
    if silent:
        notice = f"{source.title} did not answer, so the packages come from {place.distribution.name} itself."
        return _guard(_from_distribution(facts, request, place, notice=notice, reason=silent), facts, catalog)
    return _guard(_from_source(facts, request, place, source=source, answer=answer), facts, catalog)


def source_of(facts: Facts, request: Request, distribution: Distribution, catalog: Catalog) -> Source | str:
    """Return the source a request means on this machine, or in words why there is none."""
    rows = [row for row in catalog.repositories if row.source == "team" and row.manager == distribution.manager]
    if request.source == "mirror":
        repositories = tuple(_repository(row, distribution, facts.architecture) for row in rows)
        return Source(
            "mirror", request.mirror, (request.mirror.rstrip("/"),), repositories, request.fingerprint, request.key
        )
    if request.source == "auto":
        rows = [row for row in rows if row.id in distribution.repositories]
    if not any(row.provides == "rabbitmq" for row in rows):
        return f"Team RabbitMQ's repositories do not serve {distribution.name}"
    serving = [row for row in rows if row.serves(facts.architecture)]
    key = catalog.key(rows[0].key)
    mirrors = tuple(_base(uri) for uri in rows[0].uris)
    repositories = tuple(_repository(row, distribution, facts.architecture) for row in serving)
    return Source("team", "Team RabbitMQ's repository", mirrors, repositories, key.fingerprint, key_id=key.id)


def _place(facts: Facts, catalog: Catalog) -> Placement:
    place = catalog.place(facts.os)
    if isinstance(place, Refusal):
        raise UnsupportedError(place.reason, hint=place.hint)
    if facts.manager != place.distribution.manager:
        raise UnsupportedError(
            f"{place.distribution.name} has {place.distribution.manager}, and this machine has not",
            looked_at=(facts.manager or "no package manager",),
            hint=f"install {place.distribution.manager} first",
        )
    return place


def _installed(facts: Facts, request: Request, place: Placement, catalog: Catalog) -> Resolution | None:
    """Keep what is there when it grants the wish, half configured or not: an upgrade is another command."""
    server, erlang = facts.package(SERVER), facts.package("erlang-base")
    there = (State.INSTALLED, State.BROKEN)
    if not server or not erlang or server.state not in there or erlang.state not in there:
        return None
    if not request.rabbitmq.admits(server.version) or not request.erlang.admits(erlang.version):
        return None
    own = _is_own(server.origin, facts, place)
    if request.source in ("team", "mirror") and (own or not _configured(facts, request, place, catalog)):
        return None
    if request.source == "distro" and not own:
        return None
    verdict = pairing.judge(server.version, erlang.version)
    if not verdict.boots:
        return None
    half = server.state is State.BROKEN or erlang.state is State.BROKEN
    return Resolution(
        place.distribution,
        "installed",
        upstream(server.version),
        upstream(erlang.version),
        (Package(SERVER, server.version), *((Package("erlang-base", erlang.version),) if half else ())),
        warnings=(*place.warnings, *pairing.warnings(verdict, own=own), *_rotten(facts, catalog)),
        reasons=(
            f"RabbitMQ {upstream(server.version)} is {'half ' if half else ''}installed and grants the wish; "
            "nothing newer is fetched",
            *pairing.remarks(verdict),
        ),
    )


def _is_own(origin: str, facts: Facts, place: Placement) -> bool:
    """Whether a package's Origin field names the distribution itself, or what it is made from."""
    return origin.casefold().startswith((place.distribution.family, facts.os.id or place.distribution.family))


def _configured(facts: Facts, request: Request, place: Placement, catalog: Catalog) -> bool:
    """Whether the wished source stands in the machine's source lists already."""
    if request.source == "mirror":
        bases: tuple[str, ...] = (request.mirror.rstrip("/"),)
    else:
        rows = (row for row in catalog.repositories if row.source == "team" and row.provides == "rabbitmq")
        bases = tuple(url for row in rows for url in row.urls(place.distribution))
    return any(source.enabled and any(uri.startswith(bases) for uri in source.uris) for source in facts.sources)


def _rotten(facts: Facts, catalog: Catalog) -> tuple[str, ...]:
    """Warn of retired repositories where nothing is to be replaced."""
    names = {row.id: row for row in catalog.retired}
    found = {(s.file, s.retired) for s in facts.sources if s.enabled and s.retired}
    return tuple(f"{file} names {names[row].name}: {names[row].reason}" for file, row in sorted(found))


def _from_distribution(
    facts: Facts, request: Request, place: Placement, *, notice: str = "", reason: str = ""
) -> Resolution:
    row = place.distribution
    rabbitmq, erlang = _own(SERVER, facts, place) or row.rabbitmq, _own("erlang-base", facts, place) or row.erlang
    if not rabbitmq:
        raise UnsupportedError(
            f"{row.name} offers no RabbitMQ of its own as far as its package lists say",
            cause=reason,
            hint="fetch the lists with apt-get update and try again, or try --source team",
        )
    for name, wanted, offered in (("RabbitMQ", request.rabbitmq, rabbitmq), ("Erlang", request.erlang, erlang)):
        _compare(name, wanted, offered=offered, row=row, reason=reason)
    exact = request.rabbitmq.precision is Precision.EXACT
    verdict = pairing.judge(rabbitmq, erlang)
    known = facts.candidate(SERVER)
    origin = known.origin if known and _is_own(known.origin, facts, place) else ""
    return Resolution(
        row,
        "distro",
        upstream(rabbitmq),
        upstream(erlang),
        (Package(SERVER, rabbitmq if exact else ""),),
        origins=tuple(dict.fromkeys(f"{name}*" for name in (origin, row.family.capitalize()) if name)),
        notice=notice,
        warnings=(*place.warnings, *pairing.warnings(verdict, own=True)),
        reasons=tuple(
            filter(
                None,
                (
                    place.because,
                    reason,
                    f"{row.name} ships RabbitMQ {upstream(rabbitmq)}",
                    verdict.reason,
                    *pairing.remarks(verdict),
                ),
            )
        ),
    )


def _own(package: str, facts: Facts, place: Placement) -> str:
    """Return the version that the distribution itself offers, as far as its lists were fetched."""
    known = facts.candidate(package)
    return known.version if known and (not known.origin or _is_own(known.origin, facts, place)) else ""


def _compare(name: str, wanted: Wanted, *, offered: str, row: Distribution, reason: str) -> None:
    """Raise `UnsupportedError` when the distribution's version, or series where only that is known, is not as wished."""
    if wanted.admits(offered):
        return
    if upstream(wanted.text).startswith(f"{upstream(offered)}."):
        raise UnsupportedError(
            f"whether {row.name} has {name} {wanted} is not known, only that it has {offered}",
            cause=reason or "its package lists were not fetched yet",
            hint="fetch them with apt-get update, then run the same command again",
        )
    option = "--rabbitmq" if name == "RabbitMQ" else "--erlang"
    needed = pairing.needed(str(wanted)) if name == "RabbitMQ" else ""
    raise UnsupportedError(
        f"{row.name} has {name} {upstream(offered) or 'of no known version'}, not {wanted}",
        cause="; ".join(filter(None, (reason, needed))),
        hint=f"leave out {option}, or choose another source: rmqsetup versions shows what each offers",
    )


def _from_source(facts: Facts, request: Request, place: Placement, *, source: Source, answer: Answer) -> Resolution:
    surveys = [survey for survey in answer.surveys if survey.answered]
    servers = tuple(o.version for s in surveys for o in s.offers if o.package == SERVER)
    erlangs = tuple(o.version for s in surveys for o in s.offers if o.package == "erlang-base")
    own = () if erlangs else tuple(filter(None, (_own("erlang-base", facts, place) or place.distribution.erlang,)))
    pair = pairing.choose(request, _within_reach(servers, facts, request), erlangs or own)
    if own:
        lack = f"{source.title} has no Erlang for {facts.architecture} {place.distribution.name}"
        pair = replace(pair, reasons=(f"{lack}: its own is taken", *pair.reasons))
        pair = replace(pair, problem=f"{pair.problem} ({lack})") if pair.problem else pair
    if not pair.rabbitmq:
        return _impossible(facts, request, place, source=source, pair=pair)
    offered = {o.package for s in surveys for o in s.offers if o.version == pair.erlang}
    erlang = tuple(Package(name, pair.erlang) for name in ERLANG if erlangs and name in offered)
    return Resolution(
        place.distribution,
        source.id,
        upstream(pair.rabbitmq),
        upstream(pair.erlang),
        (Package(SERVER, pair.rabbitmq), *erlang),
        origins=(
            *dict.fromkeys(name for s in surveys for name in (s.label, s.origin) if name),
            *((f"{place.distribution.family.capitalize()}*",) if own else ()),
        ),
        served=tuple(_served(survey, source) for survey in surveys),
        key=answer.key,
        warnings=(*place.warnings, *pair.warnings),
        reasons=(place.because, *(f"{s.mirror} answered for {s.repository.path}" for s in surveys), *pair.reasons),
    )


def _within_reach(servers: tuple[str, ...], facts: Facts, request: Request) -> tuple[str, ...]:
    """Return the offers that the installed release may become in one hop, where any version will do."""
    server = facts.package(SERVER)
    if request.rabbitmq.precision is not Precision.ANY or not server or server.state is State.CONFIGURATION:
        return servers
    return tuple(v for v in servers if load().can_upgrade(rabbitmq=server.version, to=v)) or servers


def _impossible(facts: Facts, request: Request, place: Placement, *, source: Source, pair: Pair) -> Resolution:
    """Take the distribution's packages where only they grant the wish; otherwise say what is available."""
    if request.source == "auto":
        try:
            return _from_distribution(facts, request, place, reason=pair.problem)
        except UnsupportedError as refusal:
            raise UnsupportedError(
                pair.problem,
                cause=f"{source.title} offers {pair.available}; {refusal.message}",
                hint=pair.hint,
            ) from refusal
    raise UnsupportedError(pair.problem, cause=f"{source.title} offers {pair.available}", hint=pair.hint)


def _guard(resolution: Resolution, facts: Facts, catalog: Catalog) -> Resolution:
    """Refuse a way from the installed release to the resolved one that RabbitMQ does not support."""
    server = facts.package(SERVER)
    if not server or server.state is State.CONFIGURATION:
        return resolution
    if not catalog.can_upgrade(rabbitmq=server.version, to=resolution.rabbitmq):
        row = catalog.series_named(".".join(upstream(server.version).split(".")[:2]))
        onward = f"from there it goes to {' or '.join(row.upgrades_to)}" if row and row.upgrades_to else ""
        raise UnsupportedError(
            f"RabbitMQ {upstream(server.version)} cannot become {resolution.rabbitmq} in one step",
            cause=onward or "a node does not start on the data of a newer release",
            hint="keep the installed series, or uninstall first (the data are kept aside)",
        )
    return replace(resolution, reasons=(*resolution.reasons, f"RabbitMQ {upstream(server.version)} is installed now"))


def _could_be(wanted: object, offered: str) -> bool:
    """Whether an offer (a version, or only a series or major) can grant a wish."""
    text = str(wanted)
    made = upstream(offered)
    return (
        text == "any"
        or upstream(text) == made
        or made.startswith(f"{text}.")
        or (made.count(".") < 2 and upstream(text).startswith(f"{made}."))
        or Version(text) == Version(offered)
    )


def _silence(surveys: tuple[Survey, ...]) -> str:
    """Return why the server's repository, or every repository, could not be read; empty when they answered."""
    failures = [f for survey in surveys if not survey.answered for f in survey.failures]
    return "; ".join(dict.fromkeys(f"{_base(f.mirror)}: {f.cause}" for f in failures)) if failures else ""


def _served(survey: Survey, source: Source) -> Served:
    mirrors = (survey.mirror, *(mirror for mirror in source.mirrors if mirror != survey.mirror))
    where = survey.repository
    uris = tuple(f"{mirror}/{where.path}" for mirror in mirrors)
    return Served(uris, where.suite, where.component, where.architecture, survey.origin)


def _repository(row: Row, distribution: Distribution, architecture: str) -> Repository:
    path = urlsplit(row.urls(distribution)[0]).path.strip("/")
    return Repository(path, row.suite_for(distribution), row.component, architecture)


def _base(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
