"""Decide where RabbitMQ and Erlang come from, and which versions: facts, request, catalog → resolution.

What a source really offers is asked through a function that is handed in; what follows on the machine
is in `wishes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from rmqsetup import guard, homebrew, pairing
from rmqsetup.catalog import Catalog, Distribution, Placement, Refusal
from rmqsetup.catalog import Repository as Row
from rmqsetup.errors import NetworkError, UnsupportedError, UsageError
from rmqsetup.facts import Facts
from rmqsetup.indices import Repository, Survey
from rmqsetup.managers import Package, State
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.managers.sources import Served, Sources, find, sources
from rmqsetup.pairing import Pair
from rmqsetup.recipe import Request
from rmqsetup.resolution import Answer, Ask, Resolution, Source
from rmqsetup.shipped import Shipped
from rmqsetup.version import Precision, Wanted, upstream

SERVER = SYSTEM.server


@dataclass(frozen=True, slots=True)
class _Case:
    """One machine, one wish, and what is known beforehand."""

    facts: Facts
    request: Request
    catalog: Catalog
    place: Placement

    @property
    def row(self) -> Distribution:
        """The machine's distribution."""
        return self.place.distribution

    @property
    def shipped(self) -> Shipped:
        """What the distribution itself ships."""
        return Shipped(self.facts, self.row)

    @property
    def told(self) -> Sources:
        """How its package manager is told of repositories."""
        return self.shipped.told

    @property
    def its(self) -> Layout:
        """Where its RabbitMQ keeps its things, and what its packages are called."""
        return self.shipped.its


def resolve(facts: Facts, request: Request, catalog: Catalog, ask: Ask) -> Resolution:
    """Choose source and versions.

    Raises `UnsupportedError` when the machine or the wish is not to be had, with what would work instead;
    `NetworkError` when the one source that was asked for does not answer; `TrustError` from `ask`.
    """
    if homebrew.is_meant(facts, request):
        return homebrew.resolve(facts, request, catalog)
    if request.source == "brew":
        raise homebrew.missing(facts)
    case = _Case(facts, request, catalog, place(facts, catalog))
    if find(case.row.manager) is None:
        raise homebrew.missing(facts)
    found = _installed(case) or _guard(_choose(case, ask), case)
    return replace(found, warnings=(*found.warnings, *_strays(facts)))


def _choose(case: _Case, ask: Ask) -> Resolution:
    if case.request.source == "distro":
        return _from_distribution(case)
    source = source_of(case.facts, case.request, case.row, case.catalog)
    is_auto = case.request.source == "auto"
    if isinstance(source, str):
        if not is_auto:
            raise UnsupportedError(source, hint=_instead(case, "see what works here with: rmqsetup versions"))
        return _from_distribution(case, reason=source)
    answer = ask(source)
    silent = _silence(answer.surveys)
    if not silent:
        return _from_source(case, source, answer)
    notice, refused = f"{source.title} did not answer", ""
    try:
        if is_auto:
            words = f"{notice}, so the packages come from {case.row.name} itself."
            return _from_distribution(case, notice=words, reason=silent)
    except UnsupportedError as refusal:  # what is out of reach may well grant the wish
        refused = f"; {refusal.message}"
    otherwise = "" if refused else ", or take the distribution's packages: --source distro"
    raise NetworkError(notice, cause=f"{silent}{refused}", hint=f"check network and proxy{otherwise}")


def source_of(facts: Facts, request: Request, distribution: Distribution, catalog: Catalog) -> Source | str:
    """Return the source a request means on this machine, or in words why there is none."""
    its = sources(distribution.manager)
    packages = (its.layout.server, *its.layout.pieces)
    rows = [row for row in catalog.repositories if row.source == "team" and row.form == its.form]
    if request.source == "mirror":
        repositories = tuple(_repository(row, distribution, facts.architecture) for row in rows)
        base, vouched = request.mirror.rstrip("/"), request.fingerprints
        return Source("mirror", request.mirror, (base,), repositories, vouched, request.key, packages=packages)
    pinned = next((catalog.key(row.key) for row in rows if row.key), None)
    if pinned and request.key:
        raise UsageError(
            f"the key of Team RabbitMQ's repository is known: {pinned.fingerprint}",
            hint="leave out --key and --fingerprint, or name a mirror of your own: --source mirror=URL",
        )
    if not pinned and not request.key:
        return "the keys that sign Team RabbitMQ's RPM repositories are known by short ids only, which prove nothing"
    if request.source == "auto":
        rows = [row for row in rows if row.id in distribution.repositories]
    if not any(row.provides == "rabbitmq" for row in rows):
        return f"Team RabbitMQ's repositories do not serve {distribution.name}"
    serving = [row for row in rows if row.serves(facts.architecture)]
    mirrors = tuple(_base(uri) for uri in rows[0].uris)
    repositories = tuple(_repository(row, distribution, facts.architecture) for row in serving)
    found = Source("team", "Team RabbitMQ's repository", mirrors, repositories, (), packages=packages)
    if pinned:
        return replace(found, fingerprints=(pinned.fingerprint,), key_id=pinned.id)
    return replace(found, fingerprints=request.fingerprints, key=request.key)


def place(facts: Facts, catalog: Catalog) -> Placement:
    """Return the row a machine belongs to; raises `UnsupportedError` where it has none."""
    found = catalog.place(facts.os)
    if isinstance(found, Refusal):
        raise UnsupportedError(found.reason, hint=f"{found.hint}{homebrew.remark(facts)}")
    if facts.manager != found.distribution.manager:
        raise UnsupportedError(
            f"{found.distribution.name} has {found.distribution.manager}, and this machine has not",
            looked_at=(facts.manager or "no package manager",),
            hint=f"install {found.distribution.manager} first",
        )
    return found


def _installed(case: _Case) -> Resolution | None:
    """Keep what is there when it grants the wish, half configured or not: an upgrade is another command."""
    request, there = case.request, (State.INSTALLED, State.BROKEN)
    server, erlang = case.facts.package(SERVER), case.facts.package(*case.its.runtimes)
    if not server or not erlang or server.state not in there or erlang.state not in there:
        return None
    if not request.rabbitmq.admits(server.version) or not request.erlang.admits(erlang.version):
        return None
    own = case.shipped.is_own(server.origin)
    if request.source in ("team", "mirror") and (own or not _configured(case)):
        return None
    verdict = pairing.judge(server.version, erlang.version)
    if (request.source == "distro" and not own) or not verdict.boots:
        return None
    half = State.BROKEN in (server.state, erlang.state)
    words = f"RabbitMQ {upstream(server.version)} is {'half ' if half else ''}installed and grants the wish"
    return Resolution(
        case.row,
        "installed",
        upstream(server.version),
        upstream(erlang.version),
        tuple(Package(p.name, p.version) for p in (server, *((erlang,) if half else ()))),
        warnings=(*case.place.warnings, *pairing.warnings(verdict, own=own), *_rotten(case.facts, case.catalog)),
        reasons=(f"{words}; nothing newer is fetched", *pairing.remarks(verdict)),
        layout=case.its,
    )


def _configured(case: _Case) -> bool:
    """Whether the wished source stands in the machine's source lists already."""
    rows = (row for row in case.catalog.repositories if row.source == "team" and row.provides == "rabbitmq")
    bases = (case.request.mirror,) if case.request.mirror else tuple(url for row in rows for url in row.urls(case.row))
    return any(source.enabled and any(uri.startswith(bases) for uri in source.uris) for source in case.facts.sources)


def _strays(facts: Facts) -> tuple[str, ...]:
    """Warn of programs that no package owns: a shell may find them first."""
    paths = (f"{stray.path}{f' ({stray.version})' if stray.version else ''}" for stray in facts.strays)
    return tuple(f"{path} belongs to no package, and may be found before the one that does" for path in paths)


def _rotten(facts: Facts, catalog: Catalog) -> tuple[str, ...]:
    """Warn of retired repositories where nothing is to be replaced."""
    names = {row.id: row for row in catalog.retired}
    found = {(s.file, s.retired) for s in facts.sources if s.enabled and s.retired}
    return tuple(f"{file} names {names[row].name}: {names[row].reason}" for file, row in sorted(found))


def _from_distribution(case: _Case, *, notice: str = "", reason: str = "") -> Resolution:
    row, request = case.row, case.request
    rabbitmq, erlang = case.shipped.version(SERVER) or row.rabbitmq, case.shipped.erlang
    if not rabbitmq and case.facts.candidate(SERVER) is None:
        raise UnsupportedError(
            f"whether {_title(case)} offers a RabbitMQ of its own is not known: it has no package lists",
            cause=reason,
            hint=f"fetch them with {case.told.fetching}, which says what keeps it, then the same command again; "
            f"or {_instead(case, 'try --source team')}",
        )
    if not rabbitmq:
        raise UnsupportedError(
            f"{_title(case)} offers no RabbitMQ of its own, as far as its package lists say",
            cause=reason,
            hint=f"fetch the lists with {case.told.fetching} and try again, or {_instead(case, 'try --source team')}",
        )
    for name, wanted, offered in (("RabbitMQ", request.rabbitmq, rabbitmq), ("Erlang", request.erlang, erlang)):
        _compare(name, wanted, offered=offered, case=case, reason=reason)
    verdict = pairing.judge(rabbitmq, erlang)
    known = case.facts.candidate(SERVER)
    origin = known.origin if known and case.shipped.is_own(known.origin) else ""
    named = (f"{origin}*",) if origin and case.told.form != "rpm" else ()
    words = (case.place.because, reason, f"{row.name} ships RabbitMQ {upstream(rabbitmq)}", verdict.reason)
    return Resolution(
        row,
        "distro",
        upstream(rabbitmq),
        upstream(erlang),
        (Package(SERVER, rabbitmq if request.rabbitmq.precision is Precision.EXACT else ""),),
        origins=tuple(dict.fromkeys((*named, *case.shipped.origins))),
        notice=notice,
        warnings=(*case.place.warnings, *pairing.warnings(verdict, own=True)),
        reasons=(*filter(None, words), *pairing.remarks(verdict)),
        layout=case.its,
    )


def _compare(name: str, wanted: Wanted, *, offered: str, case: _Case, reason: str) -> None:
    """Raise `UnsupportedError` when the distribution's version (a series where only that is known) is not as wished."""
    row = case.row
    if wanted.precision is Precision.ANY or wanted.admits(offered):
        return
    if upstream(wanted.text).startswith(f"{upstream(offered)}."):
        raise UnsupportedError(
            f"whether {row.name} has {name} {wanted} is not known, only that it has {offered}",
            cause=reason or "its package lists were not fetched yet",
            hint=f"fetch them with {case.told.fetching}, then run the same command again",
        )
    option = "--rabbitmq" if name == "RabbitMQ" else "--erlang"
    needed = pairing.needed(str(wanted)) if name == "RabbitMQ" else ""
    raise UnsupportedError(
        f"{row.name} has {name} {upstream(offered) or 'of no known version'}, not {wanted}",
        cause="; ".join(filter(None, (reason, needed))),
        hint=f"leave out {option}, or choose another source: rmqsetup versions shows what each offers",
    )


def _from_source(case: _Case, source: Source, answer: Answer) -> Resolution:
    surveys = [survey for survey in answer.surveys if survey.answered]
    servers = tuple(o.version for s in surveys for o in s.offers if o.package == SERVER)
    erlangs = tuple(o.version for s in surveys for o in s.offers if o.package == case.its.erlang)
    own = "" if erlangs else case.shipped.erlang
    pair = pairing.choose(case.request, _within_reach(servers, case), erlangs or ((own,) if own else ()))
    lack = _lack(case, source) if own else ""
    if not pair.rabbitmq:
        return _impossible(case, source, _without_erlang(pair, lack, servers) if own else pair)
    offered = {o.package for s in surveys for o in s.offers if o.version == pair.erlang}
    erlang = tuple(Package(name, pair.erlang) for name in case.its.pieces if erlangs and name in offered)
    origins = dict.fromkeys(name for s in surveys for name in (s.label, s.origin) if name)
    words = (case.place.because, *(f"{s.mirror} answered for {s.repository.path}" for s in surveys), lack)
    return Resolution(
        case.row,
        source.id,
        upstream(pair.rabbitmq),
        upstream(pair.erlang),
        (Package(SERVER, pair.rabbitmq), *erlang),
        origins=(*origins, *(case.shipped.origins if own else ())),
        served=tuple(_served(survey, source) for survey in surveys),
        keys=answer.keys,
        warnings=(*case.place.warnings, *pair.warnings),
        reasons=(*filter(None, words), *pair.reasons),
        layout=case.its,
    )


def _lack(case: _Case, source: Source) -> str:
    """Say that a source has no Erlang for a machine, and of one that has it and cannot be trusted."""
    arch = case.facts.architecture
    others = (row for row in case.catalog.repositories if row.id in case.row.repositories and not row.key)
    names = {row.source for row in others if row.provides == "erlang" and row.serves(arch)}
    unpinned = "".join(
        f" ({known.name} has, but the full fingerprint of its key is not known, so it is not used)"
        for known in case.catalog.sources
        if known.id in names
    )
    return f"{source.title} has no Erlang for {case.row.name} on {arch}{unpinned}"


def _without_erlang(pair: Pair, lack: str, servers: tuple[str, ...]) -> Pair:
    """Say what is amiss where the Erlang would have to be the distribution's own, and that does not fit."""
    return replace(
        pair,
        problem=f"{pair.problem}; {lack}",
        available=f"RabbitMQ {pairing.listed(servers)}",
        hint="take a newer release of the system, or a mirror of your own that has Erlang for it: --source mirror=URL",
    )


def _within_reach(servers: tuple[str, ...], case: _Case) -> tuple[str, ...]:
    """Return the offers that the installed release may become in one hop, where any version will do."""
    server = case.facts.package(SERVER)
    if case.request.rabbitmq.precision is not Precision.ANY or not server or server.state is State.CONFIGURATION:
        return servers
    return tuple(v for v in servers if case.catalog.can_upgrade(rabbitmq=server.version, to=v)) or servers


def _impossible(case: _Case, source: Source, pair: Pair) -> Resolution:
    """Take the distribution's packages where only they grant the wish; otherwise say what is available."""
    offers = f"{source.title} offers {pair.available}"
    if case.request.source != "auto":
        raise UnsupportedError(pair.problem, cause=offers, hint=pair.hint)
    try:
        notice = f"{source.title} has nothing that fits, so the packages come from {case.row.name} itself."
        return _from_distribution(case, notice=notice, reason=pair.problem)
    except UnsupportedError as refusal:
        raise UnsupportedError(pair.problem, cause=f"{offers}; {refusal.message}", hint=pair.hint) from refusal


def _guard(resolution: Resolution, case: _Case) -> Resolution:
    """Refuse a way from the installed release to the resolved one that RabbitMQ does not support."""
    server = case.facts.package(SERVER)
    if not server or server.state is State.CONFIGURATION:
        return resolution
    reason = guard.passed(upstream(server.version), resolution.rabbitmq, case.catalog)
    return replace(resolution, reasons=(*resolution.reasons, reason))


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
    path = urlsplit(row.urls(distribution)[0]).path.strip("/").replace("$basearch", architecture)
    name = row.origin if row.form == "rpm" else ""
    return Repository(path, row.suite_for(distribution), row.component, architecture, row.form, name)


def _title(case: _Case) -> str:
    """Name the system as it names itself, where it is made from another."""
    return case.place.derivative or case.row.name


def _instead(case: _Case, usual: str) -> str:
    """Say what works instead: the `usual` words, unless upstream's packages are not to be had at all."""
    if any(row.key for row in case.catalog.repositories if row.form == case.told.form):
        return usual
    own = "a mirror of your own: --source mirror=URL --key FILE --fingerprint FINGERPRINT"
    remark = homebrew.remark(case.facts)
    keys = "upstream's, with its keys once you have checked them: --source team --key FILE --fingerprint FPR,FPR,FPR"
    return f"take the archive: rmqsetup install --source archive --prefix ~/rabbitmq; or {keys}; or {own}{remark}"


def _base(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
