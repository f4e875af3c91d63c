"""Find binaries for a wish, or have them fetched into the cache; show that cache, clear it, hand it on.

What a broker is made of belongs to `start`; where programs are to `binaries`; fetching to `unpacked` and `generic`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup import standing
from rmqsetup.broker import binaries, origin, place, start
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.origin import ANYWHERE, Origin
from rmqsetup.broker.place import Place
from rmqsetup.broker.throwaway import Broker
from rmqsetup.broker.wish import Wish
from rmqsetup.errors import NetworkError, RmqsetupError, UnsupportedError, UsageError
from rmqsetup.hosts.local import LocalHost
from rmqsetup.xdg import cache

if TYPE_CHECKING:
    from rmqsetup import cached

FETCHED = "unpacked"
"""The folder of the cache with what was fetched and unpacked."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of the cache: what is in it, how large it is in bytes, and the brokers that run from it."""

    name: str
    path: str
    size: int
    used_by: tuple[str, ...] = ()


def provide(wish: Origin = ANYWHERE, *, told: Callable[[str], None] = lambda _words: None) -> Binaries:
    """Return what grants a wish: the machine's own, else what was or is to be unpacked into the cache, without root.

    `told` is called before anything is fetched. Raises `UsageError`, `UnsupportedError`, `NetworkError`, `TrustError`.
    """
    if problems := tuple(origin.judge(wish)):
        raise UsageError("there is no such source of a broker", cause="\n".join(map(str, problems)))
    if wish.bundle:
        return _runnable(_bundled(wish))
    if wish.source == "auto":
        prefixes = (Path(prefix) for state in standing.states() if (prefix := standing.prefix(state)))
        if found := binaries.find(wish.wanted) or binaries.find_below(tuple(prefixes), wish.wanted):
            return found
    return _runnable(fetched(wish, told=told))


def fetched(wish: Origin, *, own: bool = True, told: Callable[[str], None] = lambda _words: None) -> cached.Binaries:
    """Return what grants a wish out of the cache, fetched into it if need be; with `own` on an Erlang of the machine's.

    Raises as `provide` does.
    """
    from rmqsetup import cached

    host, folder = LocalHost(), cache() / FETCHED
    if wish.source == "archive":
        return _of_archive(wish, own=own, told=told)
    if wish.source == "auto" and (pair := cached.newest(folder, host, wish.wanted, but=lambda each: not each.is_whole)):
        return pair
    if not (folder / "trees").exists():
        which = "" if wish.wanted == binaries.ANY else f" {wish.wanted}"
        told(f"This machine has no RabbitMQ{which} of its own: unpacking the distribution's packages below {folder}")
    try:
        from rmqsetup import unpacked

        return unpacked.binaries(host, folder, wanted=wish.wanted)
    except UnsupportedError as error:
        if wish.source == "distro":
            raise binaries.missing(wish.wanted, _words(error)) from error
        return _instead(wish, error, own=own, told=told)
    except NetworkError as error:
        error.hint = f"{error.hint}; or {binaries.BROUGHT}"
        raise


def export(wish: Origin, file: Path, *, told: Callable[[str], None] = lambda _words: None) -> tuple[str, str, str]:
    """Write a bundle of what grants a wish, fetched if need be; return its sha256, and both versions."""
    from rmqsetup import cargo

    if problems := tuple(origin.judge(wish)):
        raise UsageError("there is no such source of a broker", cause="\n".join(map(str, problems)))
    pair = fetched(wish, own=False, told=told)
    return cargo.write(file, pair, LocalHost()), pair.rabbitmq, pair.erlang_version


def take(file: Path, *, digest: str = "") -> cached.Binaries:
    """Take a bundle into the cache, where every later start finds it."""
    from rmqsetup import cargo

    return cargo.read(file, LocalHost(), cache() / FETCHED, digest=digest)


def broker(
    wish: Wish, wanted: Origin, *, given: Place | None = None, told: Callable[[str], None] = lambda _words: None
) -> Broker:
    """Start a broker of programs that grant a wish; `told` is called before they are fetched."""
    return start.start(wish, provide(wanted, told=told), given=given)


def _bundled(wish: Origin) -> cached.Binaries:
    pair = take(Path(wish.bundle))
    if not wish.wanted.admits(pair.rabbitmq):
        raise UnsupportedError(f"the bundle {wish.bundle} holds RabbitMQ {pair.rabbitmq}, not {wish.wanted}")
    return pair


def _of_archive(wish: Origin, *, own: bool, told: Callable[[str], None]) -> cached.Binaries:
    from rmqsetup import generic
    from rmqsetup.recipe import Request, plain_fingerprint

    folder = cache() / FETCHED
    request = Request(
        wish.wanted,
        source="archive",
        archive=wish.archive,
        key=wish.key,
        fingerprint=plain_fingerprint(wish.fingerprint),
    )
    if found := generic.kept(LocalHost(), folder, request, own=own):
        return found
    told(f"Looking for RabbitMQ {'' if wish.wanted == binaries.ANY else f'{wish.wanted} '}in its signed archives")
    return generic.binaries(LocalHost(), folder, request, own=own)


def _instead(wish: Origin, first: UnsupportedError, *, own: bool, told: Callable[[str], None]) -> cached.Binaries:
    """Return what the archive has where packages will not do. Raises `UnsupportedError` with both causes."""
    try:
        return _of_archive(wish, own=own, told=told)
    except (UnsupportedError, NetworkError) as error:
        raise binaries.missing(wish.wanted, f"{_words(first)}; {_words(error)}") from error


def _words(error: RmqsetupError) -> str:
    return ": ".join(filter(None, (error.message, error.cause)))


def _runnable(made: cached.Binaries) -> Binaries:
    return Binaries(Path(made.home), Path(made.erlang))


def kept() -> tuple[Kept, ...]:
    """Return what is in the cache: each unpacked tree, and each other folder as a whole."""
    running = tuple((lease.name, f"{lease.home} {lease.erlang_home}") for _, lease in place.leases())
    found = []
    for path in _folders():
        users = tuple(name for name, places in running if f"{path}/" in f"{places}/")
        name = str(path.relative_to(cache()))
        found.append(Kept(name, str(path), _size(path), users))
    return tuple(found)


def clear() -> tuple[Kept, ...]:
    """Remove what is in the cache and no broker runs from, and return it; who is fetching is waited for."""
    from rmqsetup import cached

    if not cache().is_dir():
        return ()
    with cached.locked(cache() / FETCHED):
        removed = tuple(each for each in kept() if not each.used_by)
        for each in removed:
            shutil.rmtree(each.path, ignore_errors=True)
        for note in (cache() / FETCHED).glob("*.json"):
            note.unlink(missing_ok=True)  # what says where the trees are
    return removed


def _folders() -> Iterator[Path]:
    for path in sorted(cache().glob("*/")):
        if path.name == FETCHED:
            yield from sorted(path.glob("trees/[!.]*/"))
            yield from (folder for name in ("packages", "archives") for folder in path.glob(f"{name}/"))
        else:
            yield path


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
