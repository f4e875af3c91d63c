"""Call functions on an Erlang node over its own distribution protocol, without starting an Erlang VM.

What to ask a RabbitMQ node belongs to `node`. The client is *hidden*: it does not join the cluster and
is not among `nodes()`. The cookie is full control of the node: it is never logged, shown or put on a
command line, and leaves the machine only as a digest. Source: the chapter *Distribution Protocol* of
the ERTS user's guide, OTP 23 to 29.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass, field
from enum import IntFlag

from rmqsetup.probes import epmd
from rmqsetup.probes.terms import Atom, Opaque, Term, TermError, decode_first, encode
from rmqsetup.probes.wire import LOOPBACK, ClosedError, Deadline, GarbledError, ProbeError, Wire

MAX_FRAME = 64 * 1024 * 1024
"""The largest message taken from a node, in bytes."""


class Flag(IntFlag):
    """What we can do; OTP 25 and 26 each made more of them mandatory. Not being `PUBLISHED` makes us hidden."""

    EXTENDED_REFERENCES = 0x4
    FUN_TAGS = 0x10
    NEW_FUN_TAGS = 0x80
    EXTENDED_PIDS_PORTS = 0x100
    EXPORT_PTR_TAG = 0x200
    BIT_BINARIES = 0x400
    NEW_FLOATS = 0x800
    UTF8_ATOMS = 0x10000
    MAP_TAG = 0x20000
    BIG_CREATION = 0x40000
    HANDSHAKE_23 = 0x1000000
    UNLINK_ID = 0x2000000
    MANDATORY_25_DIGEST = 1 << 36
    V4_NC = 1 << 34


FLAGS = int(sum(Flag))


class CookieError(ProbeError):
    """The node has another cookie than we have."""


class RefusedError(ProbeError):
    """The node does not take part in a distribution with us, for another reason than the cookie."""


class CallError(ProbeError):
    """The call reached the node and failed there; `undefined` where the node has no such function.

    The cause names what went wrong without the arguments: they may be secrets.
    """

    def __init__(self, function: str, reason: Term) -> None:
        what = _kind(reason)
        super().__init__(f"the node cannot answer {function}", cause=what)
        self.undefined = what == "undef"


@dataclass(frozen=True, slots=True)
class Peer:
    """A node to talk to: its full name, where its machine is, where epmd listens, its cookie.

    `port` is that of a node that is known to listen there; 0 has epmd asked.
    """

    name: str
    cookie: str = field(repr=False)
    host: str = LOOPBACK
    epmd_port: int = epmd.PORT
    port: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the node has not answered yet."""

    number: int
    function: str


class Connection:
    """An open conversation with a node; end it with `close`."""

    __slots__ = ("_calls", "_pid", "_wire", "peer")

    def __init__(self, wire: Wire, peer: Peer, name: str) -> None:
        self._wire = wire
        self._calls = 0
        self._pid = Opaque(b"X" + encode(Atom(name))[1:] + struct.pack(">III", 1, 0, 1))
        self.peer = peer

    @classmethod
    def open(cls, peer: Peer, *, timeout: float = 5.0) -> Connection:
        """Connect to a node. `timeout` is in seconds for everything said until the connection is closed.

        Raises `UnreachableError` or `GarbledError` where epmd or the node does not answer as such,
        `epmd.UnknownNodeError` where the node is not running, `CookieError`, `RefusedError`.
        """
        deadline = Deadline.after(timeout)
        short, _, machine = peer.name.partition("@")
        port = peer.port or epmd.port_of(short, peer.host, port=peer.epmd_port, timeout=deadline.left())
        name = f"rmqsetup-{os.getpid()}-{os.urandom(4).hex()}@{machine}"
        wire = Wire.connect(peer.host, port, deadline)
        try:
            shake_hands(wire, name, peer)
        except BaseException:
            wire.close()
            raise
        return cls(wire, peer, name)

    def extend(self, seconds: float) -> None:
        """Let everything that is said from now on take so many seconds more."""
        self._wire.deadline = Deadline.after(seconds)

    def call(self, module: str, function: str, *arguments: Term) -> Term:
        """Return what `module:function(arguments)` returns on the node.

        Raises `CallError` when it does not return, and as `open` does.
        """
        return self.answer(self.ask(module, function, *arguments))

    def ask(self, module: str, function: str, *arguments: Term) -> Asked:
        """Have the node call a function, and return what to wait for its answer with, in the order of asking."""
        self._calls += 1  # any term will do where gen_server uses a reference
        question: Term = (
            Atom("$gen_call"),
            (self._pid, self._calls),
            (Atom("call"), Atom(module), Atom(function), list(arguments), Atom("user")),
        )
        control: Term = (6, self._pid, Atom(""), Atom("rex"))  # REG_SEND
        self._send(b"p" + encode(control) + encode(question))
        return Asked(self._calls, f"{module}:{function}/{len(arguments)}")

    def answer(self, asked: Asked) -> Term:
        """Return the answer to a question; those to earlier questions are passed over. Raises as `call` does."""
        answer = self._answer(asked.number)
        if isinstance(answer, tuple) and len(answer) == 2 and answer[0] == Atom("badrpc"):
            raise CallError(asked.function, answer[1])
        return answer

    def close(self) -> None:
        """Hang up. Never raises."""
        self._wire.close()

    def _send(self, message: bytes) -> None:
        self._wire.send(struct.pack(">I", len(message)) + message)

    def _answer(self, number: int) -> Term:
        while True:
            size = int.from_bytes(self._wire.receive(4), "big")
            if size == 0:  # a tick: whoever does not answer is taken for dead after a minute
                self._wire.send(b"\0\0\0\0")
                continue
            if size > MAX_FRAME:
                raise GarbledError(f"{self.peer.name} sends a message of {size} bytes")
            message = _message(self._wire.receive(size))
            if isinstance(message, tuple) and len(message) == 2 and message[0] == number:
                return message[1]


def _message(frame: bytes) -> Term:
    """Return what is sent to us in a frame; None of the other kinds concerns us."""
    if frame[:1] != b"p":
        raise GarbledError("a message of the distribution in an unknown form", cause=f"{frame[:8]!r}")
    try:
        control, rest = decode_first(frame[1:])
        return decode_first(rest)[0] if rest and isinstance(control, tuple) and control[:1] == (2,) else ()
    except TermError as error:
        raise GarbledError("a message of the distribution that cannot be read", cause=str(error)) from error


def shake_hands(wire: Wire, name: str, peer: Peer) -> None:
    """Prove to a node that we know its cookie, and have it prove the same (handshake version 6).

    Raises `CookieError`, `RefusedError`, `GarbledError`, `UnreachableError`.
    """
    encoded = name.encode()
    _put(wire, b"N" + struct.pack(">QIH", FLAGS, 1, len(encoded)) + encoded)
    status = _take(wire, b"s")
    if status not in (b"ok", b"ok_simultaneous"):
        raise RefusedError(f"{peer.name} refuses to talk to us", cause=status.decode("latin-1"))
    challenge = parse_challenge(_take(wire, b"N"))
    ours = int.from_bytes(os.urandom(4), "big")
    try:
        _put(wire, b"r" + struct.pack(">I", ours) + digest(peer.cookie, challenge))
        proof = _take(wire, b"a")
    except ClosedError as error:
        raise CookieError(
            f"{peer.name} does not accept our Erlang cookie",
            cause="the cookie in the file is not the one the node was started with",
            hint="restart the node so that it reads the file again, or put its cookie back: "
            "systemctl restart rabbitmq-server",
        ) from error
    if not hmac.compare_digest(proof, digest(peer.cookie, ours)):
        raise CookieError(f"{peer.name} does not prove that it has our Erlang cookie")


def parse_challenge(answer: bytes) -> int:
    """Return the number a node wants hashed with the cookie. Raises `GarbledError`, `RefusedError`."""
    if len(answer) < 18:
        raise GarbledError("the node ended in the middle of its challenge")
    flags, challenge = struct.unpack(">QI", answer[:12])
    if not flags & Flag.HANDSHAKE_23:
        raise RefusedError("the node is older than OTP 23", hint="upgrade Erlang")
    return int(challenge)


def digest(cookie: str, challenge: int) -> bytes:
    """Return the proof of knowing a cookie. MD5 is what the protocol has."""
    return hashlib.md5(f"{cookie}{challenge}".encode(), usedforsecurity=False).digest()


def _put(wire: Wire, message: bytes) -> None:
    wire.send(struct.pack(">H", len(message)) + message)


def _take(wire: Wire, tag: bytes) -> bytes:
    size = int.from_bytes(wire.receive(2), "big")
    message = wire.receive(size)
    if message[:1] != tag:
        raise GarbledError("the node does not shake hands as expected", cause=f"{message[:32]!r}")
    return message[1:]


def _kind(reason: Term) -> str:
    """Return the leading atoms of an Erlang error, which is nested tuples with a stack trace inside."""
    while isinstance(reason, tuple) and reason:
        if isinstance(reason[0], Atom) and (reason[0].name != "EXIT" or len(reason) == 1):
            return reason[0].name
        reason = reason[1] if reason[0] == Atom("EXIT") else reason[0]
    return reason.name if isinstance(reason, Atom) else "failed"
