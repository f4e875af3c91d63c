"""Read tar archives without believing them: what would leave the tree, or is no file, folder or link, is refused.

Whether an archive is the right one belongs to `keys`; where its tree goes to `hosts/trees`.
"""

from __future__ import annotations

import lzma
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import IO, cast

from rmqsetup.errors import TrustError

UNPACKED = 1 << 30
"""Bytes that an archive may become. RabbitMQ 4.3 becomes 50 MB, a whole Erlang with its documents 600."""

MEMBERS = 200_000
"""Files, folders and links that an archive may hold."""

_MEMORY = 256 << 20
_CHUNK = 1 << 20
_NAMES = 1 << 20
_FILE = 256 << 20
_STREAMS = 1000
_DEPTH = 64
_LONG = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class Kind(Enum):
    """What an entry of an archive may be."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD = "hard link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `name` is relative, without `.` and `..`; the target of a link is as written, of a hard link a name.

    A link's target stays in the tree as far as its text tells; what other links make of it is to be looked at once
    all are there.
    """

    name: str
    kind: Kind
    executable: bool = False
    target: str = ""
    content: bytes = b""


def entries(data: bytes, *, top: str = "", limit: int = UNPACKED) -> Iterator[Entry]:
    """Yield what a .tar.gz or .tar.xz holds, in its order; with `top`, everything is in that folder, which is left out.

    Raises `TrustError` at the first entry that is not to be believed, or where more than `limit` bytes come out.
    """
    judge = _Judge(top)
    try:
        stream = cast("IO[bytes]", _Stream(_inflate(data), limit))
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Info) as tar:
            for member in tar:
                entry = judge.judged(member, tar)
                if entry.name:
                    yield entry
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, UnicodeError, ValueError) as error:
        raise refused("it cannot be read", str(error)) from error


def refused(why: str, more: str = "") -> TrustError:
    """Return the error for an archive that is not unpacked."""
    return TrustError(
        "the archive is refused",
        cause=": ".join(filter(None, (why, more))),
        hint="get it again from its publisher, and do not unpack this one by other means",
    )


class _Info(tarfile.TarInfo):
    """A header whose long names and attributes are believed up to a size: they are read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Info:
        made = super().frombuf(buf, encoding, errors)
        if made.type in _LONG and made.size > _NAMES:
            raise tarfile.ReadError(f"a name or attribute of {made.size} bytes")
        return made


@dataclass(slots=True)
class _Judge:
    """What was seen so far, and whether the next entry goes with it."""

    top: str
    files: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    count: int = 0

    def judged(self, member: tarfile.TarInfo, tar: tarfile.TarFile) -> Entry:
        """Return a member as an entry, the top folder itself with an empty name."""
        self.count += 1
        if self.count > MEMBERS:
            raise refused(f"it holds more than {MEMBERS} entries")
        name = self._inside(_plain(member.name, "name"), member)
        if member.isdir():
            self._claim(name, member, self.files | self.links)
            self.folders.add(name)
            return Entry(name, Kind.FOLDER)
        self._claim(name, member, self.files | self.links | self.folders)
        if not name:
            raise refused("its top is no folder", _shown(member.name))
        if member.issym():
            self.links.add(name)
            return Entry(name, Kind.LINK, target=self._symbolic(name, member))
        if member.islnk():
            target = self._inside(_plain(member.linkname, "target"), member)
            if target not in self.files:
                raise refused("a hard link leads to no file of it", f"{_shown(member.name)} → {_shown(target)}")
            self.files.add(name)
            return Entry(name, Kind.HARD, target=target)
        if member.type not in _FILES or member.issparse():
            raise refused("it holds something that is no file, folder or link", _shown(member.name))
        return self._file(name, member, tar)

    def _file(self, name: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> Entry:
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            raise refused("a file of it would run with the rights of another", _shown(member.name))
        if member.size > _FILE:
            raise refused("a file of it is far too large", _shown(member.name))
        self.files.add(name)
        stream = tar.extractfile(member)
        content = stream.read() if stream else b""
        if len(content) != member.size:
            raise refused("it ends in the middle of a file", _shown(member.name))
        return Entry(name, Kind.FILE, executable=bool(member.mode & stat.S_IXUSR), content=content)

    def _inside(self, name: str, member: tarfile.TarInfo) -> str:
        """Return a name without the top folder, which has to hold it."""
        if not self.top:
            return name
        first, _, rest = name.partition("/")
        if first != self.top:
            raise refused(f"something in it is not in the folder {self.top}", _shown(member.name))
        return rest

    def _claim(self, name: str, member: tarfile.TarInfo, taken: set[str]) -> None:
        """Refuse a name twice, and one that leads through a link or a file."""
        if name in taken:
            raise refused("it names something twice", _shown(member.name))
        parents = name.split("/")[:-1]
        for depth in range(len(parents)):
            above = "/".join(parents[: depth + 1])
            if above in self.links or above in self.files:
                raise refused("a name leads through a link or a file of it", _shown(member.name))
            self.folders.add(above)

    def _symbolic(self, name: str, member: tarfile.TarInfo) -> str:
        target = member.linkname
        landed = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if not target or "\0" in target or f"{landed}/".startswith(("/", "../")):
            raise refused("a link leads out of it", f"{_shown(member.name)} → {_shown(target)}")
        return target


def _plain(name: str, what: str) -> str:
    """Return a relative name without empty parts and dots. Raises `TrustError` for any other."""
    parts = name.split("/")
    if name.startswith("/"):
        raise refused(f"it holds an absolute {what}", _shown(name))
    if ".." in parts or "\0" in name:
        raise refused(f"a {what} in it leads out of it", _shown(name))
    kept = [part for part in parts if part not in ("", ".")]
    if len(kept) > _DEPTH or any(len(part.encode(errors="surrogateescape")) > 255 for part in kept):
        raise refused(f"a {what} in it is too long", _shown(name))
    return "/".join(kept)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else f"{name[:97]}...")[1:-1]


class _Stream:
    """Chunks as a stream to read from, up to a limit."""

    def __init__(self, chunks: Iterator[bytes], limit: int) -> None:
        self._chunks = chunks
        self._left = limit
        self._view = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return some bytes, at most as many; none at the end."""
        while not self._view:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left -= len(chunk)
            if self._left < 0:
                raise refused("far more comes out of it than belongs in it")
            self._view = memoryview(chunk)
        part, self._view = self._view[:size], self._view[size:]
        return bytes(part)


def _inflate(data: bytes) -> Iterator[bytes]:
    """Yield what compressed bytes become, at most a megabyte at a time; several streams may follow each other."""
    if data.startswith(b"\xfd7zXZ\x00"):
        one = _inflate_xz
    elif data.startswith(b"\x1f\x8b"):
        one = _inflate_gzip
    else:
        raise refused("it is neither a .tar.xz nor a .tar.gz")
    for _ in range(_STREAMS):
        data = yield from one(data)
        if not data.strip(b"\0"):
            return
    raise refused(f"it is made of more than {_STREAMS} streams")


def _inflate_xz(data: bytes) -> Generator[bytes, None, bytes]:
    """Yield what one stream becomes, and return what follows it."""
    unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    yield unpack.decompress(data, _CHUNK)
    while not unpack.eof:
        if unpack.needs_input:
            raise EOFError("it is cut off")
        yield unpack.decompress(b"", _CHUNK)
    return unpack.unused_data


def _inflate_gzip(data: bytes) -> Generator[bytes, None, bytes]:
    """Yield what one stream becomes, and return what follows it."""
    unpack, at = zlib.decompressobj(wbits=31), 0
    while not unpack.eof:
        piece = unpack.unconsumed_tail
        if not piece:
            piece = data[at : at + _CHUNK]
            at += len(piece)
        chunk = unpack.decompress(piece, _CHUNK)
        if not chunk and not piece and not unpack.eof:
            raise EOFError("it is cut off")
        yield chunk
    return unpack.unused_data + data[at:]
