"""The opening of an AMQP 0-9-1 conversation: does a broker answer, does it let us in.

Carrying messages belongs to `messages`. Source: the AMQP 0-9-1 specification, and RabbitMQ's
extensions to it (`authentication_failure_close`).
"""

from __future__ import annotations

import struct
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum

from rmqsetup.probes.wire import ClosedError, Deadline, GarbledError, UnreachableError, Wire

HEADER = b"AMQP\0\0\x09\x01"
MAX_FRAME = 1 << 20

START, START_OK, SECURE, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE, CLOSE_OK = 10, 11, 20, 30, 31, 40, 41, 50, 51
"""Methods of the class *connection*, which is number 10."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where AMQP is spoken: addresses to try in order, a port, and whether under TLS (certificates are not judged)."""

    addresses: tuple[str, ...]
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in, and to which virtual host."""

    name: str
    password: str = field(repr=False)
    virtual_host: str = "/"


@dataclass(frozen=True, slots=True)
class Greeting:
    """How a broker introduces itself in `Connection.Start`."""

    product: str
    version: str
    mechanisms: tuple[str, ...]


class Outcome(Enum):
    """What became of a login."""

    ACCEPTED = "accepted"
    ACCESS_REFUSED = "access refused"
    VIRTUAL_HOST_NOT_FOUND = "virtual host not found"
    VIRTUAL_HOST_REFUSED = "virtual host refused"
    VIRTUAL_HOST_DOWN = "virtual host down"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Login:
    """A login and its outcome; `reason` is the broker's own sentence."""

    outcome: Outcome
    greeting: Greeting
    reason: str = ""


def greet(endpoint: Endpoint, *, timeout: float = 5.0) -> Greeting:
    """Have a broker introduce itself: the cheapest proof that it takes AMQP 0-9-1 connections.

    Raises `UnreachableError`, `ClosedError`, or `GarbledError` when something else answers there.
    """
    with closing(connect(endpoint, Deadline.after(timeout))) as wire:
        return _greeted(wire)


def log_in(endpoint: Endpoint, account: Account, *, timeout: float = 10.0) -> Login:
    """Log in by PLAIN, open a virtual host and leave again.

    A refusal is an outcome, not an error. Raises as `greet` does.
    """
    with closing(connect(endpoint, Deadline.after(timeout))) as wire:
        login = enter(wire, account)
        if login.outcome is Outcome.ACCEPTED:
            leave(wire)
        return login


def enter(wire: Wire, account: Account) -> Login:
    """Log in by PLAIN, open a virtual host, and stay where that is accepted. Raises as `greet` does."""
    greeting = _greeted(wire)
    wire.send(_method(START_OK, _start_ok(account)))
    try:
        method, arguments = _receive(wire)
    except ClosedError:  # how brokers without authentication_failure_close refuse
        return Login(Outcome.ACCESS_REFUSED, greeting, "the broker hung up")
    if method == TUNE:
        wire.send(_method(TUNE_OK, arguments[:6] + b"\0\0"))  # its limits, no heartbeats
        wire.send(_method(OPEN, short(account.virtual_host) + b"\0\0"))
        method, arguments = _receive(wire)
    if method == OPEN_OK:
        return Login(Outcome.ACCEPTED, greeting)
    if method != CLOSE:
        raise GarbledError("the broker does not answer a login as expected", cause=f"method 10.{method}")
    code, reason = parse_close(arguments)
    wire.send(_method(CLOSE_OK, b""))
    return Login(outcome_of(code, reason), greeting, reason)


def leave(wire: Wire) -> None:
    """Take leave of a broker that let us in."""
    wire.send(_method(CLOSE, struct.pack(">H", 200) + short("bye") + b"\0\0\0\0"))
    _receive(wire)


def connect(endpoint: Endpoint, deadline: Deadline) -> Wire:
    """Open a connection to the first address that answers. Raises the `UnreachableError` of the first."""
    first, *others = endpoint.addresses
    try:
        wire = Wire.connect(first, endpoint.port, deadline)
    except UnreachableError as error:
        if not others:
            raise
        try:
            return connect(Endpoint(tuple(others), endpoint.port, endpoint.tls), deadline)
        except UnreachableError:
            raise error from None
    return wire.secured() if endpoint.tls else wire


def outcome_of(code: int, reason: str) -> Outcome:
    """Name the outcome in the reply code and text of a `Connection.Close`."""
    if code == 403:
        return Outcome.ACCESS_REFUSED
    if code in (530, 541, 402) and "vhost" in reason:
        if "not found" in reason:
            return Outcome.VIRTUAL_HOST_NOT_FOUND
        return Outcome.VIRTUAL_HOST_DOWN if "is down" in reason else Outcome.VIRTUAL_HOST_REFUSED
    return Outcome.REFUSED


def parse_start(arguments: bytes) -> Greeting:
    """Read the arguments of `Connection.Start`. Raises `GarbledError`, and nothing but that."""
    properties, rest = _long(arguments[2:])
    mechanisms, _ = _long(rest)
    words = dict(_texts(properties))
    return Greeting(
        words.get("product", ""),
        words.get("version", ""),
        tuple(mechanisms.decode("utf-8", "replace").split()),
    )


def parse_close(arguments: bytes) -> tuple[int, str]:
    """Read reply code and text of a `Connection.Close`. Raises `GarbledError`, and nothing but that."""
    if len(arguments) < 3 or len(arguments) < 3 + arguments[2]:
        raise GarbledError("the broker closes in a form that cannot be read")
    return int.from_bytes(arguments[:2], "big"), arguments[3 : 3 + arguments[2]].decode("utf-8", "replace")


def _greeted(wire: Wire) -> Greeting:
    wire.send(HEADER)
    method, arguments = _receive(wire)
    if method != START:
        raise GarbledError(f"{wire.peer} does not begin as AMQP 0-9-1 does", cause=f"method 10.{method}")
    return parse_start(arguments)


def _receive(wire: Wire) -> tuple[int, bytes]:
    """Return the next method of the connection and its arguments."""
    while True:
        head = wire.receive(7)
        if head[:4] == b"AMQP":
            raise GarbledError(f"{wire.peer} speaks another version of AMQP than 0-9-1")
        kind, channel, size = struct.unpack(">BHI", head)
        if size > MAX_FRAME or kind not in (1, 8) or channel != 0:
            raise GarbledError(f"{wire.peer} does not speak AMQP", cause=f"it sent {head!r}")
        payload = wire.receive(size + 1)
        if payload[-1] != 0xCE or (kind == 1 and (size < 4 or payload[:2] != b"\0\x0a")):
            raise GarbledError(f"{wire.peer} does not speak AMQP", cause=f"it sent {payload[:16]!r}")
        if kind == 1:
            return int.from_bytes(payload[2:4], "big"), payload[4:-1]


def _method(method: int, arguments: bytes) -> bytes:
    payload = struct.pack(">HH", 10, method) + arguments
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


def _start_ok(account: Account) -> bytes:
    capabilities = short("authentication_failure_close") + b"t\x01"
    table = short("product") + b"S" + _counted(b"rmqsetup")
    table += short("capabilities") + b"F" + _counted(capabilities)
    response = b"\0" + account.name.encode() + b"\0" + account.password.encode()
    return _counted(table) + short("PLAIN") + _counted(response) + short("en_US")


def short(text: str) -> bytes:
    """Return a text as the protocol has short ones."""
    encoded = text.encode()[:255]
    return bytes((len(encoded),)) + encoded


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _long(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise GarbledError("the broker ends in the middle of its greeting")
    return data[4 : 4 + size], data[4 + size :]


def _texts(table: bytes) -> list[tuple[str, str]]:
    """Return the entries of a field table that are texts, up to the first of a kind brokers do not greet with."""
    found = []
    while table:
        size = table[0]
        name, kind, rest = table[1 : 1 + size], table[1 + size : 2 + size], table[2 + size :]
        if kind == b"t":
            table = rest[1:]
        elif kind in (b"S", b"F"):
            value, table = _long(rest)
            if kind == b"S":
                found.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
        else:
            break
    return found
