"""RabbitMQ from upstream's signed generic-unix archive, unpacked into the cache with an Erlang that fits it.

What an archive becomes that is to stay is in `archives` and `prefix`; how trees are kept in `cached`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rmqsetup import archives, cached, catalog, unpacked
from rmqsetup.archives import Case, Erlang
from rmqsetup.cached import Binaries
from rmqsetup.detect import detect
from rmqsetup.errors import RmqsetupError
from rmqsetup.facts import Privilege
from rmqsetup.host import Host
from rmqsetup.recipe import Request
from rmqsetup.releases import Proven
from rmqsetup.version import upstream

ARCHIVES = "archives"
"""The folder of the cache with archives as they were fetched."""

_ANOTHER = "name an Erlang that is built for this machine: --erlang-archive FILE|URL --erlang-digest SHA256"


def binaries(host: Host, cache: Path, request: Request, *, own: bool = True) -> Binaries:
    """Return binaries of the archive that is named, or of one that is published; of the cache what grants the wish.

    With `own` the Erlang may be one of this machine's, of no package of ours. Raises `UnsupportedError` where no pair
    is to be had, `NetworkError` where an archive does not arrive, `TrustError` where it is not its signer's.
    """
    with cached.writing(cache), cached.locked(cache):
        if found := kept(host, cache, request, own=own):
            return found
        return _made(_case(host, cache, request), cache, own=own)


def kept(host: Host, cache: Path, request: Request, *, own: bool = True) -> Binaries | None:
    """Return what the cache has of archives that grants a wish; an archive that is named is always looked at anew."""
    if request.archive.file or request.archive.erlang:
        return None

    def unfit(pair: Binaries) -> bool:
        return pair.is_of_packages or not (own or pair.is_whole)

    return cached.newest(cache, host, request.rabbitmq, but=unfit)


def _case(host: Host, cache: Path, request: Request) -> Case:
    """Return the case of a plain user: no package of an Erlang is installed for a broker that is thrown away."""
    facts = replace(detect(host), privilege=Privilege.NONE)
    rows = catalog.load()
    return Case(facts, request, rows, host, cache / ARCHIVES, archives.placed(facts, rows))


def _made(case: Case, cache: Path, *, own: bool) -> Binaries:
    trusted = archives.keys_of(case)
    given = archives.given_by(case, trusted) if case.request.archive.file else None
    servers = (given.version,) if given else archives.within_reach("", case)
    pair, erlang = archives.choose(case, servers, _erlangs(case, own=own), hint=_ANOTHER)
    server = given or archives.published(case, upstream(pair.rabbitmq), trusted)
    parcel = _parcel(erlang, case, cache)
    home = cached.tree(server, host=case.host, cache=cache)
    root = cached.tree(parcel, host=case.host, cache=cache) if parcel else str(_root(erlang))
    made_of = (server, parcel) if parcel else (server,)
    return cached.note_pair(
        cache, case.host, Binaries(home, root, upstream(pair.rabbitmq), upstream(erlang.version), made_of)
    )


def _erlangs(case: Case, *, own: bool) -> Iterator[tuple[Erlang, ...]]:
    """Yield what there is to choose from, the nearest first: of the machine, of its packages, of those published."""
    if case.request.archive.erlang:
        yield (archives.named(case),)
        return
    if own and (there := archives.existing(case)) and any(_root(there).glob("erts-*")):
        yield (there,)
    try:
        offer = unpacked.offered(case.host)
    except RmqsetupError:  # no apt, or nothing of it: one more place without an Erlang
        pass
    else:
        yield (Erlang(upstream(offer.erlang), packages=offer.packages),)
    yield archives.prebuilt(case)


def _parcel(erlang: Erlang, case: Case, cache: Path) -> Proven | None:
    """Return what an Erlang is unpacked from, None for the machine's own."""
    if erlang.packages:
        return unpacked.fetched_erlang(unpacked.offered(case.host), host=case.host, cache=cache)
    return archives.fetched(erlang, case).archive


def _root(erlang: Erlang) -> Path:
    """Return the root directory of an Erlang of this machine's: its `erl` is a link into it."""
    return Path(erlang.folder, "erl").resolve().parents[1]
