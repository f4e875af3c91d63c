"""A bundle: the archives and packages of one pair of binaries in one file, for machines without a network.

How they are come by is told in `unpacked` and `generic`. It holds them as they were fetched, not as they were unpacked:
whoever imports it compares each with its digest, unpacks it anew, and looks whether it runs there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rmqsetup import __version__, cached, parcel, tarball
from rmqsetup.cached import Binaries
from rmqsetup.errors import ManagerError, TrustError, UnsupportedError, UsageError
from rmqsetup.generic import ARCHIVES
from rmqsetup.host import Command, Host
from rmqsetup.releases import ARCHIVE, Proven
from rmqsetup.unpacked import ERLANG_TOP, PACKAGES, SERVER_TOP

SCHEMA = 1
"""The form of a bundle; another is refused."""

MANIFEST = "bundle.json"
"""The entry that says what the others are."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_%-]*")


def write(path: Path, binaries: Binaries, host: Host) -> str:
    """Write a bundle, and return its sha256. Raises `UsageError` where there is such a file already."""
    contents = dict(_contents(binaries))
    said = {
        "schema": SCHEMA,
        "tool": __version__,
        "architecture": _architecture(host),
        "rabbitmq": binaries.rabbitmq,
        "erlang": binaries.erlang_version,
        "made_of": [asdict(replace(each, path=Path(each.path).name)) for each in binaries.made_of],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    entries = {MANIFEST: json.dumps(said, indent=1).encode(), **contents}
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", hint="name another file, or move that one away") from error
    except OSError as error:
        raise ManagerError(f"cannot write {path}", cause=error.strerror or str(error)) from error
    try:
        with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
            for name, data in entries.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ManagerError(f"cannot write {path}", cause=error.strerror or str(error)) from error


def read(path: Path, host: Host, cache: Path, *, digest: str = "") -> Binaries:
    """Check a bundle, take what it holds into the cache, unpack that, and note the pair.

    With `digest` the file itself has to have that sha256. Raises `TrustError` for one that is not what it says,
    `UnsupportedError` for another machine's, and what unpacking raises.
    """
    contents = _believed(path, digest)
    said = _manifest(contents.pop(MANIFEST, b""))
    try:
        made_of = tuple(Proven(**each) for each in said["made_of"])
        files, architecture = dict(said["files"]), said["architecture"]
        versions = str(said["rabbitmq"]), str(said["erlang"])
    except (KeyError, TypeError, ValueError) as error:
        raise tarball.refused("its list is none", str(error)) from error
    _judge(made_of, files, contents)
    if architecture != (here := _architecture(host)):
        raise UnsupportedError(f"the bundle {path} is for {architecture}, and this machine is {here}")
    with cached.writing(cache), cached.locked(cache):
        places = {name: _taken(name, data, cache) for name, data in contents.items()}
        proven = tuple(replace(each, path=str(places[each.path])) for each in made_of)
        trees = tuple(cached.tree(each, host=host, cache=cache) for each in proven)
        return cached.note_pair(cache, host, Binaries(trees[0], trees[1], *versions, proven))


def _contents(binaries: Binaries) -> Iterator[tuple[str, bytes]]:
    """Yield the archives and parcels of a pair, with the packages these name."""
    for each in binaries.made_of:
        place = Path(each.path)
        data = _read(place)
        if hashlib.sha256(data).hexdigest() != each.digest:
            raise TrustError(f"{place} is not what was unpacked", hint="rmqsetup cache clear, and fetch it anew")
        yield place.name, data
        if place.suffix == parcel.SUFFIX:
            yield from ((part.name, _read(place.with_name(part.name))) for part in parcel.read(data))


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise ManagerError(
            f"cannot read {place}",
            cause=error.strerror or str(error),
            hint="rmqsetup cache clear, and it is fetched anew",
        ) from error


def _believed(path: Path, digest: str) -> dict[str, bytes]:
    """Return the files of a bundle. Raises `TrustError`, `UsageError` where there is none."""
    try:
        with path.open("rb") as stream:
            data = stream.read(ARCHIVE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the bundle {path}", cause=(error.strerror or str(error)).lower()) from error
    found = hashlib.sha256(data).hexdigest()
    if digest and found != digest.lower():
        raise TrustError(
            f"{path} is not the bundle that was meant", cause=f"its sha256 is {found}, and was to be {digest.lower()}"
        )
    entries = tuple(tarball.entries(data))
    for entry in entries:
        if entry.kind is not tarball.Kind.FILE or not _NAME.fullmatch(entry.name):
            raise tarball.refused("it holds something that belongs in no bundle", ascii(entry.name)[1:-1])
    return {entry.name: entry.content for entry in entries}


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except ValueError as error:
        raise tarball.refused(f"it has no {MANIFEST} that can be read", "no bundle of rmqsetup cache export") from error
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise UnsupportedError("this bundle is of another form", hint="make it anew with this rmqsetup: cache export")
    return said


def _judge(made_of: tuple[Proven, ...], files: dict[str, str], contents: dict[str, bytes]) -> None:
    """Hold what came to what the list says, and the list to what may be unpacked. Raises `TrustError`."""
    if len(made_of) != 2 or set(files) != set(contents):
        raise tarball.refused("its list and its files differ")
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != files[name]:
            raise tarball.refused("a file of it is not as its list says", name)
    for each in made_of:
        tops = (SERVER_TOP, ERLANG_TOP) if each.path.endswith(parcel.SUFFIX) else (each.top,)
        plain = _NAME.fullmatch(each.tree) and each.path in contents
        if not plain or each.top not in tops or ".." in each.top or each.digest != files[each.path]:
            raise tarball.refused("its list names what may not be unpacked", ascii(each.tree)[1:-1])


def _taken(name: str, data: bytes, cache: Path) -> Path:
    """Keep a file where it would be if it had been fetched."""
    place = cache / (PACKAGES if name.endswith((parcel.SUFFIX, ".deb")) else ARCHIVES) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    cached.keep(place, data)
    return place


def _architecture(host: Host) -> str:
    return host.run(Command(("uname", "-m"), timeout=10)).stdout.strip()
