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

ERLANG = tuple(
    f"erlang-{name}"
    for name in (
        "base asn1 crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl syntax-tools "
        "tftp tools xmerl"
    ).split()
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
    installed = _installed(facts, request, place)
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


def _installed(facts: Facts, request: Request, place: Placement) -> Resolution | None:
    """Keep what is there when it grants the wish: an upgrade is another command."""
    server, erlang = facts.package(SERVER), facts.package("erlang-base")
    if not server or not erlang or server.state is not State.INSTALLED or erlang.state is not State.INSTALLED:
        return None
    if not request.rabbitmq.admits(server.version) or not request.erlang.admits(erlang.version):
        return None
    from_distribution = server.origin.startswith(place.distribution.family.capitalize())
    if request.source in ("team", "mirror") and (not server.origin or from_distribution):
        return None
    if request.source == "distro" and not from_distribution:
        return None
    verdict = pairing.judge(server.version, erlang.version)
    if not verdict.boots:
        return None
    return Resolution(
        place.distribution,
        "installed",
        upstream(server.version),
        upstream(erlang.version),
        (Package(SERVER, server.version),),
        warnings=(*place.warnings, *pairing.warnings(verdict, own=from_distribution)),
        reasons=(f"RabbitMQ {upstream(server.version)} is installed and grants the wish; nothing newer is fetched",),
    )


def _from_distribution(
    facts: Facts, request: Request, place: Placement, *, notice: str = "", reason: str = ""
) -> Resolution:
    row = place.distribution
    known = facts.candidate(SERVER)
    rabbitmq = known.version if known and known.version else row.rabbitmq
    base = facts.candidate("erlang-base")
    erlang = base.version if base and base.version else row.erlang
    if not rabbitmq:
        raise UnsupportedError(f"{row.name} has no RabbitMQ of its own", cause=reason, hint="try --source team")
    for name, wanted, offered in (("RabbitMQ", request.rabbitmq, rabbitmq), ("Erlang", request.erlang, erlang)):
        if not _could_be(wanted, offered):
            raise UnsupportedError(
                f"{row.name} has {name} {upstream(offered)}, not {wanted}",
                cause=reason,
                hint=f"leave the version out, or take another source ({pairing.needed(str(request.rabbitmq))})",
            )
    exact = request.rabbitmq.admits(rabbitmq) and str(request.rabbitmq) == rabbitmq
    verdict = pairing.judge(rabbitmq, erlang)
    origin = known.origin if known and known.origin else row.family.capitalize()
    return Resolution(
        row,
        "distro",
        upstream(rabbitmq),
        upstream(erlang),
        (Package(SERVER, rabbitmq if exact else ""),),
        origins=(f"{origin}*", f"{row.family.capitalize()}*"),
        notice=notice,
        warnings=(*place.warnings, *pairing.warnings(verdict, own=True)),
        reasons=tuple(filter(None, (place.because, reason, f"{row.name} ships RabbitMQ {upstream(rabbitmq)}"))),
    )


def _from_source(facts: Facts, request: Request, place: Placement, *, source: Source, answer: Answer) -> Resolution:
    surveys = [survey for survey in answer.surveys if survey.answered]
    servers = tuple(o.version for s in surveys for o in s.offers if o.package == SERVER)
    erlangs = tuple(o.version for s in surveys for o in s.offers if o.package == "erlang-base")
    own = facts.candidate("erlang-base")
    fallback = (own.version if own and own.version else place.distribution.erlang) if not erlangs else ""
    pair = pairing.choose(request, servers, erlangs or tuple(filter(None, (fallback,))))
    if not pair.rabbitmq:
        return _impossible(facts, request, place, source=source, pair=pair)
    offered = {o.package for s in surveys for o in s.offers if o.version == pair.erlang}
    erlang = tuple(Package(name, pair.erlang) for name in ERLANG if erlangs and name in offered)
    own_erlang = () if erlangs else (f"{place.distribution.family.capitalize()}*",)
    return Resolution(
        place.distribution,
        source.id,
        upstream(pair.rabbitmq),
        upstream(pair.erlang),
        (Package(SERVER, pair.rabbitmq), *erlang),
        origins=(*dict.fromkeys(name for s in surveys for name in (s.label, s.origin) if name), *own_erlang),
        served=tuple(_served(survey, source) for survey in surveys),
        key=answer.key,
        warnings=(*place.warnings, *pair.warnings),
        reasons=(place.because, *(f"{s.mirror} answered for {s.repository.path}" for s in surveys), *pair.reasons),
    )


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
