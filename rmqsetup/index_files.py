"""Fetch the files of an index, and hold them to their digests before anything looks inside.

What is in them is read by `indices` and `repodata`; the wire belongs to `network`.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rmqsetup import unzstd
from rmqsetup.errors import TrustError, UnsupportedError
from rmqsetup.network import FetchError, Kind, fetch

SIGNED_LIMIT = 4 << 20
"""Bytes of a signed head of an index that are read at most."""

UNPACKED_LIMIT = 512 << 20
"""Bytes a list of packages may unpack to."""

_OPENERS: tuple[tuple[str, Callable[..., Any]], ...] = ((".xz", lzma.open), (".gz", gzip.open), (".bz2", bz2.open))


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that a signed index lists; `digest` is SHA-256 in hex, `size` -1 where it does not say."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Offered:
    """One version of a package in an index; `depends` is its Depends field, where its index has such."""

    package: str
    version: str
    architecture: str
    depends: str


class MismatchError(TrustError):
    """An index file is not the one its signed head promises: tampered with, or a mirror in the middle of a sync."""


def fetch_signed(url: str, *, until: float) -> bytes:
    """Fetch the head of an index or its signature; an empty file is none."""
    data = fetch(url, limit=SIGNED_LIMIT, deadline=until - time.monotonic())
    if not data.strip():
        raise FetchError(url, Kind.SHORT, "the file is empty")
    return data


def is_absent(error: FetchError) -> bool:
    """Tell whether a server answered that there is no such file."""
    return error.status in {404, 410} or error.kind is Kind.FILE


def fetch_listed(base: str, entry: IndexFile, *, until: float) -> str:
    """Fetch a file that an index lists, compare it with its digest before anything else, and unpack it."""
    if not entry.size:
        return ""
    limit = entry.size if entry.size > 0 else UNPACKED_LIMIT
    try:
        data = fetch(f"{base}/{entry.path}", limit=limit, deadline=until - time.monotonic())
    except FetchError as error:
        if error.kind is not Kind.TOO_LARGE:
            raise
        raise _mismatch(entry, f"it has more than {limit} bytes") from error
    if entry.size > 0 and len(data) != entry.size:
        raise _mismatch(entry, f"it has {len(data)} bytes instead of {entry.size}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.digest:
        raise _mismatch(entry, f"its SHA-256 is {digest} instead of {entry.digest}")
    return _unpacked(data, entry.path)


def _mismatch(entry: IndexFile, cause: str) -> MismatchError:
    return MismatchError(
        f"{entry.path} is not what the signed index promises",
        cause=cause,
        hint="the mirror may be in the middle of a sync: try again in some minutes; if it stays, report it",
    )


def _unpacked(data: bytes, path: str) -> str:
    opener = next((each for ending, each in _OPENERS if path.endswith(ending)), None)
    try:
        if path.endswith(".zst"):
            data = unzstd.unpack(data, UNPACKED_LIMIT)
        elif opener:
            with opener(io.BytesIO(data)) as unpacked:
                data = unpacked.read(UNPACKED_LIMIT)
    except unzstd.MissingError as error:
        raise UnsupportedError(
            f"{path} is packed with zstd, which nothing on this machine can unpack",
            cause=str(error),
            hint=f"install {unzstd.LIBRARY}; or whoever makes the repository: createrepo_c --general-compress-type=gz",
        ) from error
    except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
        raise TrustError(f"{path} cannot be unpacked", cause=str(error)) from error
    return data.decode(errors="replace")
