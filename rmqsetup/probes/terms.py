"""Erlang terms as bytes and back (the external term format).

Nothing here knows of sockets, nodes or RabbitMQ. Source: the chapter *External Term Format* of the
ERTS user's guide, OTP 29.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

VERSION = 131
"""The first byte of every term."""

MAX_DEPTH = 100
"""How deep terms may be nested; deeper ones come from no node and would exhaust Python's stack."""

MAX_SIZE = 64 * 1024 * 1024
"""How large a compressed term may become, in bytes."""


class TermError(ValueError):
    """These bytes are no Erlang term, or this value cannot be made into one."""


@dataclass(frozen=True, slots=True)
class Atom:
    """An Erlang atom."""

    name: str


@dataclass(frozen=True, slots=True)
class Map:
    """An Erlang map; keys of any kind, so pairs rather than a dict."""

    pairs: tuple[tuple[Term, Term], ...]


@dataclass(frozen=True, slots=True)
class Improper:
    """A list whose tail is not a list."""

    items: tuple[Term, ...]
    tail: Term


@dataclass(frozen=True, slots=True)
class Opaque:
    """A pid, port, reference, fun or bit string: its bytes as they came, which it also goes back as."""

    raw: bytes


Term: TypeAlias = Atom | Map | Improper | Opaque | int | float | bytes | tuple["Term", ...] | list["Term"]
"""Tuples are tuples, lists lists, binaries bytes; a list of small numbers may have been a string."""

TRUE = Atom("true")
FALSE = Atom("false")
UNDEFINED = Atom("undefined")


def text(term: Term) -> str:
    """Return what an atom, a binary or a string (a list of characters) says.

    Raises `TermError` for any other term.
    """
    if isinstance(term, Atom):
        return term.name
    if isinstance(term, bytes):
        return term.decode("utf-8", "replace")
    if isinstance(term, list):
        try:
            return "".join(chr(c) for c in term if isinstance(c, int))
        except (ValueError, OverflowError) as error:
            raise TermError("a list that holds no characters") from error
    raise TermError(f"a {type(term).__name__} where a text was expected")


def atoms(term: Term | None) -> Iterator[str]:
    """Yield the names of the atoms in a term of tuples and lists, however nested."""
    if isinstance(term, Atom):
        yield term.name
    elif isinstance(term, (tuple, list)):
        for each in term:
            yield from atoms(each)


def encode(term: Term) -> bytes:
    """Return a term with its leading version byte."""
    return bytes((VERSION,)) + _encode(term, MAX_DEPTH)


def decode(data: bytes) -> Term:
    """Return the one term these bytes are. Raises `TermError` for anything else, and nothing but that."""
    term, rest = decode_first(data)
    if rest:
        raise TermError(f"{len(rest)} bytes too many behind a term")
    return term


def decode_first(data: bytes) -> tuple[Term, bytes]:
    """Return the first term and what follows it. Raises `TermError`."""
    reader = _Reader(data)
    try:
        if reader.byte() != VERSION:
            raise TermError("no Erlang term: it does not begin with the version byte 131")
        if reader.peek() == 80:
            return _compressed(reader)
        return reader.term(MAX_DEPTH), data[reader.position :]
    except (struct.error, UnicodeDecodeError, zlib.error, OverflowError) as error:
        raise TermError(f"a damaged Erlang term: {error}") from error


def _compressed(reader: _Reader) -> tuple[Term, bytes]:
    reader.byte()
    size = reader.unsigned(4)
    if not 0 < size <= MAX_SIZE:  # to zlib, 0 is no limit
        raise TermError(f"a compressed term of {size} bytes")
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(reader.take(reader.left()), size)
    if len(data) != size:
        raise TermError("a compressed term of another size than it says")
    inner = _Reader(data)
    term = inner.term(MAX_DEPTH)
    if inner.left():
        raise TermError("a compressed term that is too long")
    return term, unpacker.unused_data


class _Reader:
    """A place in some bytes; every step is checked against their end."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def left(self) -> int:
        return len(self.data) - self.position

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise TermError("an Erlang term that ends too early")
        self.position += size
        return self.data[self.position - size : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def peek(self) -> int:
        return self.data[self.position] if self.left() else -1

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def term(self, depth: int) -> Term:
        if depth == 0:
            raise TermError("an Erlang term that is nested too deeply")
        tag = self.byte()
        if tag in _READERS:
            return _READERS[tag](self, depth - 1)
        if tag in _SKIPPERS:
            start = self.position - 1
            _SKIPPERS[tag](self, depth - 1)
            return Opaque(self.data[start : self.position])
        raise TermError(f"an Erlang term of the unknown kind {tag}")

    def terms(self, count: int, depth: int) -> list[Term]:
        if count > self.left():  # every term takes a byte at least
            raise TermError("an Erlang term that ends too early")
        return [self.term(depth) for _ in range(count)]


def _big(reader: _Reader, size: int) -> int:
    negative = reader.byte()
    value = int.from_bytes(reader.take(size), "little")
    return -value if negative else value


def _old_float(reader: _Reader, _depth: int) -> float:
    written = reader.take(31).rstrip(b"\0")
    try:
        return float(written.decode("ascii"))
    except ValueError as error:
        raise TermError("a number that is none") from error


def _list(reader: _Reader, depth: int) -> Term:
    items = reader.terms(reader.unsigned(4), depth)
    tail = reader.term(depth)
    return items if tail == [] else Improper(tuple(items), tail)


def _map(reader: _Reader, depth: int) -> Map:
    flat = reader.terms(2 * reader.unsigned(4), depth)
    return Map(tuple(zip(flat[::2], flat[1::2], strict=True)))


def _atom(size: int, encoding: str) -> Callable[[_Reader, int], Term]:
    return lambda reader, _: Atom(reader.take(reader.unsigned(size)).decode(encoding))


_READERS: dict[int, Callable[[_Reader, int], Term]] = {
    70: lambda reader, _: float(struct.unpack(">d", reader.take(8))[0]),
    97: lambda reader, _: reader.byte(),
    98: lambda reader, _: int.from_bytes(reader.take(4), "big", signed=True),
    99: _old_float,
    100: _atom(2, "latin-1"),
    104: lambda reader, depth: tuple(reader.terms(reader.byte(), depth)),
    105: lambda reader, depth: tuple(reader.terms(reader.unsigned(4), depth)),
    106: lambda _, __: [],
    107: lambda reader, _: list(reader.take(reader.unsigned(2))),
    108: _list,
    109: lambda reader, _: reader.take(reader.unsigned(4)),
    110: lambda reader, _: _big(reader, reader.byte()),
    111: lambda reader, _: _big(reader, reader.unsigned(4)),
    115: _atom(1, "latin-1"),
    116: _map,
    118: _atom(2, "utf-8"),
    119: _atom(1, "utf-8"),
}


def _skip(*parts: int) -> Callable[[_Reader, int], None]:
    """Skip terms (written 0) and runs of bytes (written as their lengths)."""

    def skip(reader: _Reader, depth: int) -> None:
        for part in parts:
            if part:
                reader.take(part)
            else:
                reader.term(depth)

    return skip


def _skip_reference(creation: int) -> Callable[[_Reader, int], None]:
    def skip(reader: _Reader, depth: int) -> None:
        words = reader.unsigned(2)
        reader.term(depth)
        reader.take(creation + 4 * words)

    return skip


def _skip_bits(reader: _Reader, _depth: int) -> None:
    size = reader.unsigned(4)
    reader.take(1 + size)


def _skip_fun(reader: _Reader, _depth: int) -> None:
    size = reader.unsigned(4)
    if size < 4:
        raise TermError("a function that is smaller than its own length")
    reader.take(size - 4)


def _skip_old_fun(reader: _Reader, depth: int) -> None:
    reader.terms(4 + reader.unsigned(4), depth)


_SKIPPERS: dict[int, Callable[[_Reader, int], None]] = {
    77: _skip_bits,
    88: _skip(0, 12),  # pid
    89: _skip(0, 8),  # port
    90: _skip_reference(4),
    101: _skip(0, 5),  # reference of old
    102: _skip(0, 5),  # port of old
    103: _skip(0, 9),  # pid of old
    112: _skip_fun,
    113: _skip(0, 0, 0),  # a function of a module
    114: _skip_reference(1),
    117: _skip_old_fun,
    120: _skip(0, 12),  # port with 64 bits
}


def _encode(term: Term, depth: int) -> bytes:
    if depth == 0:
        raise TermError("a term that is nested too deeply")
    if isinstance(term, bool):
        return _encode(TRUE if term else FALSE, depth)
    for kind, writer in _WRITERS:
        if isinstance(term, kind):
            return writer(term, depth - 1)
    raise TermError(f"a {type(term).__name__} is no Erlang term")


def _encode_int(value: int, _depth: int) -> bytes:
    if 0 <= value <= 255:
        return bytes((97, value))
    if -(2**31) <= value < 2**31:
        return struct.pack(">Bi", 98, value)
    digits = abs(value).to_bytes((abs(value).bit_length() + 7) // 8, "little")
    head = struct.pack(">BB", 110, len(digits)) if len(digits) < 256 else struct.pack(">BI", 111, len(digits))
    return head + bytes((value < 0,)) + digits


def _encode_atom(atom: Atom, _depth: int) -> bytes:
    name = atom.name.encode()
    if len(atom.name) > 255:
        raise TermError("an atom of more than 255 characters")
    return struct.pack(">BB", 119, len(name)) + name if len(name) < 256 else struct.pack(">BH", 118, len(name)) + name


def _encode_tuple(items: tuple[Term, ...], depth: int) -> bytes:
    head = struct.pack(">BB", 104, len(items)) if len(items) < 256 else struct.pack(">BI", 105, len(items))
    return head + b"".join(_encode(item, depth) for item in items)


def _encode_list(items: list[Term], depth: int) -> bytes:
    if not items:
        return b"j"
    return struct.pack(">BI", 108, len(items)) + b"".join(_encode(item, depth) for item in items) + b"j"


def _encode_improper(value: Improper, depth: int) -> bytes:
    items = b"".join(_encode(item, depth) for item in value.items)
    return struct.pack(">BI", 108, len(value.items)) + items + _encode(value.tail, depth)


def _encode_map(value: Map, depth: int) -> bytes:
    pairs = b"".join(_encode(key, depth) + _encode(item, depth) for key, item in value.pairs)
    return struct.pack(">BI", 116, len(value.pairs)) + pairs


_WRITERS: tuple[tuple[type, Callable[..., bytes]], ...] = (
    (Atom, _encode_atom),
    (int, _encode_int),
    (bytes, lambda value, _: struct.pack(">BI", 109, len(value)) + value),
    (tuple, _encode_tuple),
    (list, _encode_list),
    (float, lambda value, _: struct.pack(">Bd", 70, value)),
    (Map, _encode_map),
    (Improper, _encode_improper),
    (Opaque, lambda value, _: value.raw),
)
