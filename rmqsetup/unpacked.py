"""RabbitMQ and its Erlang from the distribution's packages, without root: asked of apt, fetched by apt, unpacked by us.

What becomes of them is not told here: a broker of a user's own is in `rootless`, throwaway ones in `broker`.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from rmqsetup import cached, network, pairing, parcel
from rmqsetup.cached import Binaries
from rmqsetup.errors import NetworkError, RmqsetupError, TrustError, UnsupportedError
from rmqsetup.host import NOT_FOUND, Command, Host, Result, text_of
from rmqsetup.managers import Operation, Package, apt_download, apt_sources
from rmqsetup.managers.apt import Apt
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.parcel import Part
from rmqsetup.releases import ERLANG, SERVER, Proven
from rmqsetup.version import Version, Wanted, upstream

ERLANG_TOP = "usr/lib/erlang"
SERVER_TOP = "usr/lib/rabbitmq/lib/rabbitmq_server-*"
"""Where packages have them, Debian's and upstream's alike; both need nothing of what is beside them."""

PACKAGES = "packages"
"""The folder of the cache with packages as they were fetched."""

_ANY = Wanted()
_INSTEAD = "take an archive, which needs no root either: --source archive --prefix DIR"
_STAMP = """uname -m; stat -c "%n %y" "$@" 2>/dev/null; true"""
_TOLD_BY = (apt_sources.LISTS, apt_sources.SOURCES_FOLDER, apt_sources.SOURCES, "/etc/apt/preferences.d")
"""What apt's answer changes with, as far as the times of folders tell: `apt-get update` renames new lists into one."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What apt would take: the versions of both packages, those and all that Erlang is made of, and who offers them."""

    rabbitmq: str
    erlang: str
    packages: tuple[Package, ...]
    origins: tuple[str, ...] = ()


def binaries(host: Host, cache: Path, *, wanted: Wanted = _ANY) -> Binaries:
    """Return binaries below a folder, made by the first who asks; the others wait for it, and find them.

    Made anew when the machine's lists of packages change, and offer another version. Costs one small command where
    they are there. Raises as `offered` and `fetched` do; `ConflictError` when another process makes them for too long.
    """
    note = cache / f"{_described(host, wanted)}.json"
    if found := cached.noted(note, host):
        return found
    with cached.writing(cache), cached.locked(cache):
        if found := cached.noted(note, host):
            return found
        offer = offered(host, wanted)
        parcels = fetched(offer, host=host, cache=cache)
        home, erlang = (cached.tree(each, host=host, cache=cache) for each in parcels)
        return cached.note(note, Binaries(home, erlang, upstream(offer.rabbitmq), upstream(offer.erlang), parcels))


def offered(host: Host, wanted: Wanted = _ANY) -> Offered:
    """Ask apt what it would take for a RabbitMQ that is wished for; the version it prefers, where that will do.

    Raises `UnsupportedError` where there is no apt, or nothing that grants the wish; `ManagerError` when apt refuses.
    """
    found = _simulated(host, Package(SYSTEM.server))
    if not wanted.admits(found.rabbitmq):
        found = _simulated(host, Package(SYSTEM.server, _other(host, wanted, instead_of=found.rabbitmq)))
    verdict = pairing.judge(found.rabbitmq, found.erlang)
    if not verdict.boots:
        raise UnsupportedError(
            f"RabbitMQ {upstream(found.rabbitmq)} does not run on Erlang {upstream(found.erlang)}, "
            "and apt offers that pair",
            cause=verdict.reason,
            hint=_INSTEAD,
        )
    return found


def fetched(offer: Offered, *, host: Host, cache: Path) -> tuple[Proven, Proven]:
    """Return the parcels of RabbitMQ and of its Erlang, with all their packages in the cache.

    apt fetches them and compares them with its signed lists. Raises `TrustError` when they are not as those say,
    `NetworkError` when they do not arrive.
    """
    parts = _arrived(offer, host=host, cache=cache)
    ours = tuple(part for part in parts if part.name.startswith(f"{SYSTEM.server}_"))
    server = _parcel(ours, cache, f"{SERVER}{_bare(offer.rabbitmq)}")
    erlang = _erlang(offer, tuple(part for part in parts if part not in ours), cache)
    return replace(server, top=SERVER_TOP, version=upstream(offer.rabbitmq)), erlang


def fetched_erlang(offer: Offered, *, host: Host, cache: Path) -> Proven:
    """Return the parcel of an Erlang alone, as `fetched` does."""
    alone = replace(offer, packages=tuple(each for each in offer.packages if each.name != SYSTEM.server))
    return _erlang(alone, _arrived(alone, host=host, cache=cache), cache)


# --- what apt says ---------------------------------------------------------------------------------------------------


def _simulated(host: Host, package: Package) -> Offered:
    answer = host.run(apt_download.simulate(package))
    if not answer.ok:
        raise _refused(answer, host)
    operations = Apt().parse_simulation(answer).operations
    taken = tuple(op for op in operations if any(fnmatch(op.name, pattern) for pattern in SYSTEM.family))
    server, erlang = (_version(taken, name) for name in (SYSTEM.server, SYSTEM.erlang))
    if not server or not erlang:
        raise UnsupportedError(
            "apt would not bring RabbitMQ with an Erlang of this machine's",
            cause=f"it would bring {', '.join(op.name for op in taken) or 'neither'}",
            hint=_INSTEAD,
        )
    packages = tuple(Package(op.name, op.new) for op in taken)
    return Offered(server, erlang, packages, tuple(dict.fromkeys(name for op in taken for name in op.origins)))


def _version(operations: tuple[Operation, ...], name: str) -> str:
    return next((op.new for op in operations if op.name == name), "")


def _other(host: Host, wanted: Wanted, *, instead_of: str) -> str:
    """Return the newest version in apt's lists that grants a wish."""
    answer = host.run(apt_sources.policy_command((SYSTEM.server,)))
    offers = {
        offer.version for policy in apt_sources.parse_policy(answer.stdout) for offer in policy.offers if offer.uri
    }
    fitting = sorted((version for version in offers if wanted.admits(version)), key=Version)
    if not fitting:
        raise UnsupportedError(
            f"apt offers RabbitMQ {pairing.listed(tuple(offers)) or upstream(instead_of)} here, not {wanted}",
            hint=f"leave out --rabbitmq, or {_INSTEAD}",
        )
    return fitting[-1]


def _refused(answer: Result, host: Host) -> RmqsetupError:
    """Say why apt would not, in the order of what has to be mended first."""
    if answer.exit_code == NOT_FOUND:
        return UnsupportedError(
            "only apt can say and fetch what a broker needs without root, and there is none here", hint=_INSTEAD
        )
    if not any(
        name.endswith(("_Packages", "_Packages.lz4")) or "_Packages." in name for name in host.names(apt_sources.LISTS)
    ):
        return UnsupportedError(
            "apt has no lists of packages here, and only root can fetch them",
            cause=answer.tail(2),
            hint="as root, once, type: apt-get update",
        )
    error = Apt().explain(answer)
    if "Unable to locate package" in error.cause:
        return UnsupportedError("no source of apt offers RabbitMQ here", cause=error.cause, hint=_INSTEAD)
    if isinstance(error, NetworkError) and "404" in error.cause:
        error.hint = "the lists of apt are old: as root, type apt-get update, then run the same command again"
    return error


# --- what is fetched and kept ----------------------------------------------------------------------------------------


def _arrived(offer: Offered, *, host: Host, cache: Path) -> tuple[Part, ...]:
    """Return all packages of an offer, in the cache, those that lack fetched."""
    answer = host.run(apt_download.addresses(offer.packages))
    parts = apt_download.parse_addresses(answer.stdout)
    if not answer.ok:
        raise _refused(answer, host)
    if len(parts) != len(offer.packages):
        raise TrustError(
            "apt does not know the sha256 of what it would fetch",
            cause=f"of {len(offer.packages)} packages it names {len(parts)}",
            hint="see what your sources offer with: apt-cache policy rabbitmq-server erlang-base",
        )
    folder = cache / PACKAGES
    with cached.writing(cache), cached.locked(folder):
        lacking = tuple(part for part in parts if not _is_there(folder / part.name, part.digest))
        if lacking:
            _hear(apt_download.first_address(answer.stdout), host)
            _fetch(offer, lacking, host=host, folder=folder)
    return parts


def _hear(url: str, host: Host) -> None:
    """Raise `NetworkError` where no name server answers: apt would wait for it ten seconds for each package."""
    error = network.unanswered(url)
    if error and not apt_download.has_proxy(host.run(apt_download.PROXIES).stdout):
        raise error


def _fetch(offer: Offered, parts: tuple[Part, ...], *, host: Host, folder: Path) -> None:
    """Let apt fetch what is lacking, all of it or nothing that is used; sweep what a killed one has left."""
    names = {part.name.partition("_")[0] for part in parts}
    arriving = folder / ".arriving"
    if arriving.exists():
        shutil.rmtree(arriving)
    arriving.mkdir()
    try:
        wanted = tuple(package for package in offer.packages if package.name in names)
        answer = host.run(apt_download.download(wanted, str(arriving)))
        if not answer.ok:
            raise _refused(answer, host)
        for part in parts:
            if not _is_there(arriving / part.name, part.digest):
                raise TrustError(
                    f"the package {part.name} is not the one that apt's signed lists name",
                    hint="run the same command again; if it stays so, do not use that source",
                )
            (arriving / part.name).replace(folder / part.name)
    finally:
        shutil.rmtree(arriving)


def _is_there(file: Path, digest: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _erlang(offer: Offered, parts: tuple[Part, ...], cache: Path) -> Proven:
    return replace(
        _parcel(parts, cache, f"{ERLANG}{_bare(offer.erlang)}"), top=ERLANG_TOP, version=upstream(offer.erlang)
    )


def _parcel(parts: tuple[Part, ...], cache: Path, tree: str) -> Proven:
    text = parcel.write(parts)
    digest = hashlib.sha256(text).hexdigest()
    place = cache / PACKAGES / f"{tree}-{digest[:8]}{parcel.SUFFIX}"
    with cached.writing(cache), cached.locked(place.parent):
        cached.keep(place, text)
    return Proven(str(place), str(place), digest, top="", version="", tree=tree)


def _bare(version: str) -> str:
    """Return a version that can be part of a name: without an epoch."""
    return version.rpartition(":")[2]


def _described(host: Host, wanted: Wanted) -> str:
    """Return what the answer for a machine is noted under: its release, architecture, and the state of apt's lists."""
    stamp = host.run(Command(("sh", "-c", _STAMP, "sh", *_TOLD_BY), timeout=10)).stdout
    told = "\n".join((text_of(host, "/etc/os-release"), stamp, str(wanted)))
    return hashlib.sha256(told.encode()).hexdigest()[:16]
