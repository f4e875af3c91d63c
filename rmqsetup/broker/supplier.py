"""Find binaries for a wished version, or have this distribution's unpacked into the cache; show and clear that cache.

What a broker is made of belongs to `start`; where programs are to `binaries`; unpacking to `unpacked`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rmqsetup import unpacked
from rmqsetup.broker import binaries, place, start
from rmqsetup.broker.binaries import ANY, Binaries
from rmqsetup.broker.place import Place
from rmqsetup.broker.throwaway import Broker
from rmqsetup.broker.wish import Wish
from rmqsetup.errors import UnsupportedError
from rmqsetup.hosts.local import LocalHost
from rmqsetup.version import Wanted

FETCHED = "unpacked"
"""The folder of the cache with what was fetched and unpacked."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of the cache: what is in it, how large it is in bytes, and the brokers that run from it."""

    name: str
    path: str
    size: int
    used_by: tuple[str, ...] = ()


def cache() -> Path:
    """Return the folder in which this user keeps what can be fetched again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rmqsetup"


def provide(
    wanted: Wanted = ANY, *, prefixes: tuple[Path, ...] = (), told: Callable[[str], None] = lambda _words: None
) -> Binaries:
    """Return what grants a wish: the machine's own, or this distribution's packages, unpacked without root.

    `told` is called before the first are fetched. Raises `UnsupportedError`, `NetworkError`, `TrustError`.
    """
    found = binaries.find(wanted, prefixes=prefixes)
    if found:
        return found
    if not (cache() / FETCHED / "trees").exists():
        told(f"There is no such RabbitMQ here: unpacking this distribution's packages below {cache() / FETCHED}")
    try:
        made = unpacked.binaries(LocalHost(), cache() / FETCHED, wanted=wanted)
    except UnsupportedError as error:
        raise binaries.missing(wanted, ": ".join(filter(None, (error.message, error.cause)))) from error
    return Binaries(Path(made.home), Path(made.erlang))


def broker(wish: Wish, wanted: Wanted = ANY, *, given: Place | None = None) -> Broker:
    """Start a broker of a version."""
    return start.start(wish, provide(wanted), given=given)


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
    """Remove what is in the cache and no broker runs from, and return it."""
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
            yield from path.glob("packages/")
        else:
            yield path


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
