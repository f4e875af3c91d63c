"""Find archives of RabbitMQ and Erlang, fetch them, and prove them: by signature, or by the digest that was promised.

Which of them fit each other is in `pairing`; what an archive may hold in `tarball`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rmqsetup import keys, network, tarball
from rmqsetup.catalog import Publication
from rmqsetup.errors import NetworkError, RmqsetupError, TrustError, UnsupportedError
from rmqsetup.host import Host
from rmqsetup.keys import Key
from rmqsetup.network import FetchError, Kind
from rmqsetup.version import upstream

ARCHIVE = 512 << 20
"""Bytes that an archive may have; a whole Erlang is about 150 MB."""

DEADLINE = 900.0
"""Seconds that an archive may take to arrive."""

SERVER, ERLANG = "rabbitmq_server-", "erlang-"
"""What the folders of a release and of an Erlang are named with."""

_SIGNATURE = 64 << 10
_HEX = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d+(\.\d+)+(-(alpha|beta|rc)\.\d+)?")
_RABBITMQ = re.compile(r"rabbitmq_server-(\d[\w.~-]*)")
_OTP_VERSION = re.compile(r"releases/\d+/OTP_VERSION")


@dataclass(frozen=True, slots=True)
class Offer:
    """An archive that is published. `digest` is its sha256, empty where only its signature proves it."""

    version: str
    url: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """An archive on this machine that was proven: its sha256 `digest`, and the `signer` (a full fingerprint) if any.

    `path` is the archive, `where` what it was asked for as. All of it is in its folder `top` (empty: at its root);
    `version` is what the archive itself says. `installs` tells that its own script has to finish it. `tree` is what
    its folder is called below a prefix.
    """

    path: str
    where: str
    digest: str
    top: str
    version: str
    signer: str = ""
    installs: bool = False
    tree: str = ""


def offers(publication: Publication, *, system: str = "", architecture: str = "") -> tuple[Offer, ...]:
    """Ask where archives are published what there is for a system, in its own order; pre-releases are left out.

    Raises `NetworkError` when it does not answer, or not with such a list.
    """
    place = {"system": system, "architecture": architecture}
    url = publication.listing.format(**place)
    text = network.fetch(url).decode("utf-8", "replace")
    try:
        found = tuple(_READERS[publication.form](text))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise NetworkError(
            f"{network.shown(url)} is not the list it should be",
            cause=str(error),
            hint="name the archive itself, with --archive FILE|URL",
        ) from error
    return tuple(
        Offer(version, publication.url.format(version=version, **place), digest)
        for version, digest in found
        if _VERSION.fullmatch(version) and "-" not in version and (digest or publication.signature)
    )


def fetch_rabbitmq(where: str, trusted: tuple[Key, ...], *, host: Host, cache: Path) -> Proven:
    """Return the archive of a generic-unix RabbitMQ (a file or URL) that one of the `trusted` keys signed.

    Its signature is beside it, with `.asc` at its end. Raises `TrustError` when that is missing or by none of them, or
    when the archive holds what must not be unpacked; `NetworkError` when it does not arrive; `UnsupportedError` when it
    is something else.
    """
    data = _read(where, limit=ARCHIVE)
    signed = keys.verify_detached(data, _signature(where), keys=trusted, host=host)
    top, version, _ = _looked_into(data)
    name = _RABBITMQ.fullmatch(top)
    if not name:
        raise UnsupportedError(
            f"{network.shown(where)} is no generic-unix archive of RabbitMQ",
            cause=f"it holds {top or version or 'no one folder'}, and not rabbitmq_server-VERSION",
            hint="take the one that is named rabbitmq-server-generic-unix-VERSION.tar.xz",
        )
    path, digest = _kept(where, data, cache)
    return Proven(path, where, digest, top, upstream(name[1]), signed.signer, tree=top)


def fetch_erlang(where: str, digest: str, *, cache: Path) -> Proven:
    """Return the archive of an Erlang (a file or URL) whose sha256 is `digest`.

    Raises `TrustError` when it is not, or holds what must not be unpacked; `NetworkError` when it does not arrive;
    `UnsupportedError` when it is no Erlang.
    """
    data = _read(where, limit=ARCHIVE)
    found = hashlib.sha256(data).hexdigest()
    if found != digest.lower():
        raise TrustError(
            f"{network.shown(where)} is not the archive that was promised",
            cause=f"its sha256 is {found}, and was to be {digest.lower()}",
            hint="compare the digest with what its publisher says",
        )
    top, version, installs = _looked_into(data)
    if not version:
        raise UnsupportedError(
            f"{network.shown(where)} is no archive of Erlang",
            cause="there is no releases/*/OTP_VERSION in it",
            hint="take a built Erlang, not its source",
        )
    path, digest = _kept(where, data, cache)
    return Proven(path, where, digest, top, version, installs=installs, tree=f"{ERLANG}{version}")


def _read(where: str, *, limit: int) -> bytes:
    url = where if "://" in where else Path(where).expanduser().absolute().as_uri()
    return network.fetch(url, limit=limit, deadline=DEADLINE)


def _signature(where: str) -> bytes:
    """Read the detached signature beside an archive. Raises `TrustError` where there is none."""
    signature = f"{where}.asc"
    try:
        return _read(signature, limit=_SIGNATURE)
    except FetchError as error:
        missing = error.kind in (Kind.FILE, Kind.HTML) or error.status in (403, 404, 410)
        if not missing:
            raise
        raise TrustError(
            f"{network.shown(where)} has no signature",
            cause=f"{network.shown(signature)}: {error.cause}",
            hint="put the .asc that its publisher offers beside it",
        ) from error


def _looked_into(data: bytes) -> tuple[str, str, bool]:
    """Return the folder that holds all of an archive, the Erlang version it tells, and whether it has a finish.

    Reads it to its end, so that nothing that must not be unpacked gets as far as a plan. Raises `TrustError`.
    """
    tops, version, found = set[str](), "", set[str]()
    for entry in tarball.entries(data):
        first, slash, rest = entry.name.partition("/")
        is_rooted = _OTP_VERSION.fullmatch(entry.name)
        tops.add(first if not is_rooted and (slash or entry.kind is tarball.Kind.FOLDER) else "")
        if is_rooted or _OTP_VERSION.fullmatch(rest):
            version = entry.content.decode("utf-8", "replace").strip().rstrip("*")
        found.add(entry.name)
    top = next(iter(tops)) if len(tops) == 1 else ""
    return top, version if _VERSION.fullmatch(version) else "", (f"{top}/Install" if top else "Install") in found


def _kept(where: str, data: bytes, cache: Path) -> tuple[str, str]:
    """Return where the archive is on this machine, and its digest; what came from elsewhere is kept in the cache."""
    digest = hashlib.sha256(data).hexdigest()
    parts = urlsplit(where) if "://" in where else None
    if parts is None or parts.scheme == "file":
        return network.file_path(where) if parts else str(Path(where).expanduser().absolute()), digest
    place = cache / (f"{digest}.tar.xz" if data.startswith(b"\xfd") else f"{digest}.tar.gz")
    if place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == digest:
        return str(place), digest
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(temporary).replace(place)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise RmqsetupError(
            f"cannot keep the archive in {cache}",
            cause=str(error.strerror or error),
            hint="free some space, or name another folder in XDG_CACHE_HOME",
        ) from error
    return str(place), digest


def _read_releases(text: str) -> Iterator[tuple[str, str]]:
    """Read the JSON of GitHub's list of releases; those without the archive and its signature are left out."""
    for release in json.loads(text):
        version = str(release["tag_name"]).removeprefix("v")
        name = f"rabbitmq-server-generic-unix-{version}.tar.xz"
        assets = {asset["name"]: str(asset.get("digest") or "") for asset in release["assets"]}
        if name in assets and f"{name}.asc" in assets and not release["draft"] and not release["prerelease"]:
            yield version, _digest(assets[name].removeprefix("sha256:"))


def _read_lines(text: str) -> Iterator[tuple[str, str]]:
    """Read lines of `OTP-27.3.4 COMMIT TIME [SHA256]`; branches are left out."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[0].startswith("OTP-"):
            yield words[0].removeprefix("OTP-"), _digest(words[3])


def _read_table(text: str) -> Iterator[tuple[str, str]]:
    """Read comma-separated values with a head that names `ref_name` and `sha256`."""
    for row in csv.DictReader(text.splitlines()):
        if row["ref_name"].startswith("OTP-"):
            yield row["ref_name"].removeprefix("OTP-"), _digest(row["sha256"])


def _digest(text: str) -> str:
    return text.lower() if _HEX.fullmatch(text.lower()) else ""


_READERS = {"releases": _read_releases, "lines": _read_lines, "table": _read_table}
