"""Ask an RPM repository what it offers: repomd.xml, its signature, the list of packages, its digest.

Which mirror is asked, and when the next one, belongs to `indices`; keys and signatures to `keys`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from rmqsetup.errors import TrustError
from rmqsetup.host import Host
from rmqsetup.index_files import IndexFile, Offered, fetch_listed, fetch_signed, is_absent
from rmqsetup.keys import Key, verify_detached
from rmqsetup.network import FetchError

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

_REPO = "{http://linux.duke.edu/metadata/repo}"
_COMMON = "{http://linux.duke.edu/metadata/common}"
_ANY = "noarch"


def read(base: str, keys: tuple[Key, ...], *, host: Host, until: float) -> tuple[datetime, str]:
    """Return when the index of the repository at `base` was signed, and its proven list of packages.

    Such an index has no end: that an older one is served again cannot be seen from it.
    """
    repomd = fetch_signed(f"{base}/repodata/repomd.xml", until=until)
    try:
        signature = fetch_signed(f"{base}/repodata/repomd.xml.asc", until=until)
    except FetchError as error:
        if not is_absent(error):
            raise
        raise TrustError("the repository is not signed", cause="it has no repodata/repomd.xml.asc") from error
    signed = verify_detached(repomd, signature, keys=keys, host=host)
    return signed.signed_at, fetch_listed(base, primary(signed.payload), until=until)


def primary(repomd: bytes) -> IndexFile:
    """Return the list of packages that a repomd.xml names, or raise `TrustError` when there is none to be held to."""
    for data in _elements(repomd, "repomd.xml", f"{_REPO}data"):
        checksum, location = data.find(f"{_REPO}checksum"), data.find(f"{_REPO}location")
        if data.get("type") != "primary" or checksum is None or location is None:
            continue
        if checksum.get("type") == "sha256" and checksum.text:
            size = data.findtext(f"{_REPO}size", "")
            length = int(size) if size.isascii() and size.isdigit() else -1
            return IndexFile(location.get("href", ""), length, checksum.text.strip().lower())
    raise TrustError(
        "the index lists no packages with SHA-256 digests", hint="the repository is made with tools that are too old"
    )


def parse_primary(text: str, packages: tuple[str, ...], architecture: str) -> tuple[Offered, ...]:
    """Return the versions of those packages in a list of packages that fit an architecture."""
    if not text:
        return ()
    found = []
    for each in _elements(text.encode(), "the list of packages", f"{_COMMON}package"):
        version, arch = each.find(f"{_COMMON}version"), each.findtext(f"{_COMMON}arch", "")
        name = each.findtext(f"{_COMMON}name", "")
        if name in packages and version is not None and arch in (architecture, _ANY):
            epoch = version.get("epoch") or "0"
            words = f"{version.get('ver', '')}-{version.get('rel', '')}"
            found.append(Offered(name, words if epoch == "0" else f"{epoch}:{words}", arch, ""))
    return tuple(dict.fromkeys(found))


def _elements(data: bytes, what: str, tag: str) -> Iterator[ET.Element]:
    """Yield the elements of XML that was proven to come from who signed it, so that it needs no further distrust."""
    from xml.etree import ElementTree as ET

    try:
        tree = ET.fromstring(data)  # noqa: S314 - see above
    except (ET.ParseError, ValueError) as error:
        raise TrustError(f"{what} cannot be read", cause=str(error)) from error
    yield from tree.iter(tag)
