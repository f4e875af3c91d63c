"""Decide which archives a request means: facts, request, catalog → resolution, with archives that were proven.

What is published is read by `releases`; what follows on the machine is in `prefix`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rmqsetup import guard, keys, pairing, releases, rpmbase
from rmqsetup.catalog import Catalog, Distribution, Placement, Publication, Refusal, Tested
from rmqsetup.catalog.rows import Citation
from rmqsetup.errors import NetworkError, TrustError, UnsupportedError
from rmqsetup.facts import Facts, Privilege
from rmqsetup.host import Command, Host, Kind, Result
from rmqsetup.keys import Key
from rmqsetup.managers import Package, State
from rmqsetup.managers.layout import of_archive
from rmqsetup.managers.repo_files import RepoFiles
from rmqsetup.managers.sources import find
from rmqsetup.pairing import Pair
from rmqsetup.recipe import Request
from rmqsetup.releases import Offer, Proven
from rmqsetup.resolution import Resolution
from rmqsetup.resolve import place
from rmqsetup.shipped import Shipped
from rmqsetup.version import upstream

_AS_ROOT = "the node will run as root: run rmqsetup as a user of the broker's own, to let it run as that"
_TWO = "RabbitMQ is installed as a package, too: two nodes need different names and ports"
_FIT = 'path=/a/b && [ "${path##*/}" = b ] && [ "$(readlink -f /)" = / ]'
"""What the scripts of a release and ours do that an old shell, or a readlink that is not GNU's, cannot."""

_ASK = (
    'F = filename:join([code:root_dir(), "releases", erlang:system_info(otp_release), "OTP_VERSION"]),'
    "V = case file:read_file(F) of {ok, B} -> B; _ -> erlang:system_info(otp_release) end,"
    "io:put_chars(V), halt()."
)


@dataclass(frozen=True, slots=True)
class Erlang:
    """An Erlang to be had. `folder` is where `erl` is, empty for one to be unpacked; `packages` bring it there."""

    version: str
    folder: str = ""
    archive: Proven | None = None
    offer: Offer | None = None
    packages: tuple[Package, ...] = ()
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One machine, one wish, and where archives are kept."""

    facts: Facts
    request: Request
    catalog: Catalog
    host: Host
    cache: Path
    place: Placement | None

    @property
    def prefix(self) -> str:
        """The folder below which the broker is to be."""
        return self.request.archive.prefix

    @property
    def is_root(self) -> bool:
        """Whether we may install packages."""
        return self.facts.privilege is Privilege.ROOT


def resolve(facts: Facts, request: Request, catalog: Catalog, *, host: Host, cache: Path) -> Resolution:
    """Choose RabbitMQ and Erlang, fetch what has to be, and prove it; what is there already and as wished stays.

    Raises `UnsupportedError` when the wish is not to be had, `NetworkError` when an archive does not arrive,
    `TrustError` when one is not what it should be.
    """
    case = Case(facts, request, catalog, host, cache, placed(facts, catalog))
    refuse_service(facts, request)
    by_hand = _by_hand(case)
    _refuse_place(case)
    here = installed(host, case.prefix)
    trusted = keys_of(case)
    given = given_by(case, trusted) if request.archive.file else None
    servers = (given.version,) if given else within_reach(here, case)
    pair, chosen = choose(case, servers, _erlangs(case))
    version = upstream(pair.rabbitmq)
    reasons = (guard.passed(here, version, catalog),) if here else ()
    server = given or (None if here == version else published(case, version, trusted))
    erlang = fetched(chosen, case)
    return Resolution(
        row(facts, case.place),
        "archive",
        version,
        upstream(pair.erlang),
        erlang.packages,
        origins=erlang.origins,
        keys=trusted,
        archives=tuple(filter(None, (server, erlang.archive))),
        erl=erlang.folder,
        warnings=(*pair.warnings, *_warnings(case), *by_hand),
        reasons=(*pair.reasons, *reasons, told(erlang)),
        layout=of_archive(case.prefix),
    )


def installed(host: Host, prefix: str) -> str:
    """Return the release that is in use below a prefix, empty where there is none."""
    link = host.peek(f"{prefix}/current")
    name = link.target if link and link.kind is Kind.LINK else ""
    return upstream(name.removeprefix(releases.SERVER)) if name.startswith(releases.SERVER) else ""


def placed(facts: Facts, catalog: Catalog) -> Placement | None:
    """Return the row of a machine, None where it has none: an archive needs no distribution that we know."""
    try:
        return place(facts, catalog)
    except UnsupportedError:
        return None


def row(facts: Facts, place: Placement | None) -> Distribution:
    """Return the machine's row, made up where the catalog has none."""
    if place:
        return place.distribution
    os = facts.os
    return Distribution(
        id=os.id,
        name=os.pretty or os.name or facts.kernel,
        family=os.id,
        version=os.version_id,
        codename=os.codename,
        manager=facts.manager,
        end_of_life="",
        ended=False,
        rabbitmq="",
        erlang="",
        repositories=(),
        architectures=(),
        tested=Tested.NONE,
        note="",
        citation=Citation("the machine itself", ""),
    )


def refuse_service(facts: Facts, request: Request) -> None:
    """Raise `UnsupportedError` where what is to look after the node is not here, or is nothing of this user's."""
    name = request.archive.service
    if name in ("", "none"):
        return
    if facts.init.value != name:
        raise UnsupportedError(
            f"there is no {name} here to look after the node",
            cause=facts.service_note or f"services are looked after by {facts.init.value}",
            hint="leave out --service, and the node is started without one",
        )
    if facts.privilege is Privilege.ROOT:
        raise UnsupportedError(
            "a unit of the user root is not a service of the machine",
            hint="run it as the user whom the broker is to belong to; for a service of the machine install packages: "
            "--source auto",
        )


def _by_hand(case: Case) -> tuple[str, ...]:
    """Warn where only its user can start and stop a node, and hold the machine to what RabbitMQ's scripts need."""
    found = case.catalog.place(case.facts.os)
    if not isinstance(found, Refusal) or not found.by_hand:
        return ()
    if case.request.start:
        raise UnsupportedError(
            "rmqsetup cannot see whether a node runs here, so it starts none",
            cause=found.reason,
            hint=f"add --no-start, and start it by hand: {case.prefix}/bin/rabbitmq-server",
        )
    if not case.host.run(Command(("/bin/sh", "-c", _FIT), timeout=10)).ok:
        raise UnsupportedError(
            "the scripts of RabbitMQ do not run here",
            cause="they need /bin/sh to be a POSIX shell, and on PATH a readlink that knows -f, as GNU's does",
            hint="install GNU coreutils and put them first on PATH; where /bin/sh is older than POSIX, "
            "https://www.rabbitmq.com/docs/install-solaris says what to change",
        )
    return (f"nothing starts or stops the node but you: {case.prefix}/bin/rabbitmq-server and rabbitmqctl shutdown",)


def _refuse_place(case: Case) -> None:
    """Let root write only where nobody else does: who may rename a folder on the way may lead root elsewhere."""
    if not case.is_root:
        return
    parents = (str(path) for path in (Path(case.prefix), *Path(case.prefix).parents))
    there = tuple(path for path in parents if case.host.peek(path))
    answer = case.host.run(Command(("ls", "-ldLn", *there)))  # stat has other options on every system
    if doubt := next(_doubts(answer, len(there)), ""):
        raise UnsupportedError(
            f"root is not to put a broker below {case.prefix}",
            cause=doubt,
            hint="run it as that user, or choose a folder that only root can write, such as /opt/rabbitmq",
        )


def _doubts(answer: Result, many: int) -> Iterator[str]:
    """Say who else may write in the folders that were listed, and where that is not known of all of them."""
    lines = [line.split() for line in answer.stdout.splitlines()]
    for mode, _, owner, *_, path in lines:
        if owner != "0":
            yield f"{path} belongs to another user"
        elif "w" in (mode[5], mode[8]) and mode[9] not in "tT":
            yield f"{path} can be written by others"
    if not answer.ok or len(lines) != many:
        yield f"whose folders those are is not known: {answer.tail()}"


def keys_of(case: Case) -> tuple[Key, ...]:
    """Return the keys that may sign the archive: those that were named, else Team RabbitMQ's."""
    request = case.request
    if request.key:
        return keys.fetch(request.key, request.fingerprints)
    row = case.catalog.key(_publication(case, "rabbitmq").key)
    return (keys.prove(case.catalog.key_text(row.id), row.fingerprint),)


def _publication(case: Case, provides: str) -> Publication:
    return next(row for row in case.catalog.publications if row.provides == provides)


def given_by(case: Case, trusted: tuple[Key, ...]) -> Proven:
    """Return the archive that was named; it has to be of the release that was wished for."""
    found = releases.fetch_rabbitmq(case.request.archive.file, trusted, host=case.host, cache=case.cache)
    if not case.request.rabbitmq.admits(found.version):
        raise UnsupportedError(
            f"the archive is RabbitMQ {found.version}, not {case.request.rabbitmq}",
            hint="leave out --rabbitmq, or name another archive",
        )
    return found


def within_reach(here: str, case: Case) -> tuple[str, ...]:
    """Return the releases to choose from: the one in use where it grants the wish, else those that are published."""
    if here and case.request.rabbitmq.admits(here):
        return (here,)
    found = _listed(_publication(case, "rabbitmq"), case, "", "--archive FILE|URL")
    offered = tuple(offer.version for offer in found)
    reached = tuple(v for v in offered if here and case.catalog.can_upgrade(rabbitmq=here, to=v))
    return reached or offered


def published(case: Case, version: str, trusted: tuple[Key, ...]) -> Proven:
    """Fetch a release from where they are published; the address is not proven, so what came is looked at."""
    url = _publication(case, "rabbitmq").url.format(version=version.replace("~", "-"))
    found = releases.fetch_rabbitmq(url, trusted, host=case.host, cache=case.cache)
    if found.version != version:
        raise TrustError(
            f"what is published as RabbitMQ {version} is RabbitMQ {found.version}",
            cause=f"{url} is signed by {found.signer}, but another release",
            hint="do not install it; try again later",
        )
    return found


def choose(
    case: Case, servers: tuple[str, ...], places: Iterable[tuple[Erlang, ...]], *, hint: str = ""
) -> tuple[Pair, Erlang]:
    """Return the best pair of the nearest place whose Erlang any release runs on; those further away are not asked.

    Raises `UnsupportedError` where none does.
    """
    seen: list[Erlang] = []
    for erlangs in places:
        pair = pairing.choose(case.request, servers, tuple(each.version for each in erlangs))
        if pair.rabbitmq:
            return pair, next(each for each in erlangs if each.version == pair.erlang)
        seen += erlangs
    pair = pairing.choose(case.request, servers, tuple(each.version for each in seen))
    hint = hint or (pair.hint if seen else _without_erlang(case))
    raise UnsupportedError(pair.problem, cause=f"there is {pair.available}", hint=hint)


def _erlangs(case: Case) -> Iterator[tuple[Erlang, ...]]:
    """Yield what there is to choose from: what was named, or what is here, the distribution's, what is published."""
    if case.request.archive.erlang:
        yield (named(case),)
        return
    if there := existing(case):
        yield (there,)
    if shipped := _shipped(case):
        yield (shipped,)
    yield prebuilt(case)


def _shipped(case: Case) -> Erlang | None:
    """Return the distribution's own, where root may install it; lists of RPM packages are fetched only for this."""
    if not case.is_root or case.place is None or find(case.facts.manager) is None:
        return None
    own = Shipped(case.facts, case.place.distribution)
    if isinstance(own.told, RepoFiles) and not own.erlang:
        offers = rpmbase.offered(case.host, own.told, case.facts.sources, fetch=True)
        own = replace(own, facts=replace(case.facts, candidates=offers))
    if not own.erlang:
        return None
    packages = tuple(Package(name) for name in own.its.pieces)
    return Erlang(own.erlang, "/usr/bin", packages=packages, origins=own.origins)


def named(case: Case) -> Erlang:
    """Return the Erlang whose archive was named."""
    wish = case.request.archive
    proven = releases.fetch_erlang(wish.erlang, wish.erlang_digest, cache=case.cache)
    return Erlang(proven.version, archive=proven)


def existing(case: Case) -> Erlang | None:
    """Return the Erlang below the prefix, if there is one, or the one that a shell finds."""
    found = case.host.run(Command(("sh", "-c", "command -v erl"))).stdout.strip()
    for path in (*((f"{case.prefix}/erlang/bin/erl",) if case.prefix else ()), found):
        if version := erlang_of(case.host, path):
            return Erlang(version, folder=path.rpartition("/")[0])
    return None


def erlang_of(host: Host, path: str) -> str:
    """Return the version that the `erl` at a full path tells of itself, empty where none does.

    It is the last word: Erlang 29 complains on standard output first where libsctp is missing.
    """
    if not path.startswith("/"):
        return ""
    answer = host.run(Command((path, "-noinput", "-eval", _ASK), timeout=30))
    return answer.stdout.split()[-1].rstrip("*") if answer.ok and answer.stdout.strip() else ""


def prebuilt(case: Case) -> tuple[Erlang, ...]:
    """Return what is published for this machine, all of it with a digest."""
    row = case.place.distribution if case.place else None
    system = row.id if row else case.host.run(Command(("uname", "-s"))).stdout.strip()
    for published in (each for each in case.catalog.publications if each.provides == "erlang"):
        if published.serves(system, case.facts.architecture):
            found = _listed(published, case, system, "--erlang-archive FILE|URL --erlang-digest SHA256")
            return tuple(Erlang(offer.version, offer=offer) for offer in found)
    return ()


def _listed(publication: Publication, case: Case, system: str, instead: str) -> tuple[Offer, ...]:
    """Ask what is published; where the list does not arrive, an archive can still be named."""
    try:
        return releases.offers(publication, system=system, architecture=case.facts.architecture)
    except NetworkError as error:
        raise NetworkError(
            f"the list of published archives of {publication.provides} did not arrive",
            cause=f"{error.message}: {error.cause}",
            hint=f"{error.hint}; or name an archive that you have: {instead}",
        ) from error


def fetched(erlang: Erlang, case: Case) -> Erlang:
    """Return the Erlang with its archive on this machine."""
    if erlang.offer is None:
        return erlang
    proven = releases.fetch_erlang(erlang.offer.url, erlang.offer.digest, cache=case.cache)
    return replace(erlang, archive=proven, offer=None)


def _without_erlang(case: Case) -> str:
    own, manager = "name one that is built for this machine: --erlang-archive FILE|URL --erlang-digest SHA256", ""
    if find(case.facts.manager):
        manager = case.facts.manager.replace("apt", "apt-get")
    return f"{own}; or install one first ({manager} install erlang), which is then used" if manager else own


def told(erlang: Erlang) -> str:
    """Say where an Erlang comes from."""
    if erlang.packages:
        return f"Erlang {upstream(erlang.version)} comes as the distribution's packages"
    if erlang.archive:
        return f"Erlang {erlang.version} is unpacked from {erlang.archive.where}"
    return f"Erlang {upstream(erlang.version)} is in {erlang.folder} already"


def _warnings(case: Case) -> tuple[str, ...]:
    server = case.facts.package("rabbitmq-server")
    return (
        *((_AS_ROOT,) if case.is_root else ()),
        *((_TWO,) if server is not None and server.state is State.INSTALLED else ()),
    )
