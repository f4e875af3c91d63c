"""Carry one message through a queue and back with nothing but sockets, for brokers that are started by the dozen.

`messages` does the same through a client library, with every kind of queue; importing that takes longer than this.
Source: the AMQP 0-9-1 specification and RabbitMQ's publisher confirms.
"""

from __future__ import annotations

import secrets
import struct
import time
from contextlib import closing

from rmqsetup.probes.amqp import MAX_FRAME, Account, Endpoint, Outcome, connect, enter, leave, parse_close, short
from rmqsetup.probes.wire import Deadline, GarbledError, ProbeError, Wire

PREFIX = "rmqsetup.carrier."
"""What the name of the queue begins with; it is exclusive, and gone with its connection."""

CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (20, 10), (20, 11), (20, 40)
DECLARE, DECLARE_OK = (50, 10), (50, 11)
PUBLISH, GET, GET_OK, ACK = (60, 40), (60, 70), (60, 71), (60, 80)
SELECT, SELECT_OK = (85, 10), (85, 11)
EXCLUSIVE, NO_ACK = b"\x0c", b"\1"

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8


def carry(endpoint: Endpoint, account: Account, *, timeout: float = 15.0) -> float:
    """Publish a message with confirmation, get it back, and return the seconds that took with its connection.

    Raises `ProbeError` with the broker's own words, `UnreachableError`.
    """
    begun = time.monotonic()
    with closing(connect(endpoint, Deadline.after(timeout))) as wire:
        login = enter(wire, account)
        if login.outcome is not Outcome.ACCEPTED:
            raise ProbeError(f"the broker does not let {account.name} in", cause=login.reason or login.outcome.value)
        _there_and_back(wire)
        leave(wire)
    return time.monotonic() - begun


def _there_and_back(wire: Wire) -> None:
    queue, body = short(PREFIX + secrets.token_hex(8)), secrets.token_bytes(32)
    _asked(wire, CHANNEL_OPEN, b"\0", CHANNEL_OPEN_OK)
    _asked(wire, SELECT, b"\0", SELECT_OK)
    _asked(wire, DECLARE, b"\0\0" + queue + EXCLUSIVE + b"\0\0\0\0", DECLARE_OK)
    header = struct.pack(">HHQH", 60, 0, len(body), 0)
    message = _frame(_HEADER, header) + _frame(_BODY, body)
    wire.send(_method(PUBLISH, b"\0\0" + short("") + queue + b"\0") + message)
    _expect(wire, ACK)
    _asked(wire, GET, b"\0\0" + queue + NO_ACK, GET_OK)
    parts = (_next(wire), _next(wire))
    if parts[1] != (_BODY, body):
        raise ProbeError("another message came back than was sent", cause=f"{parts[1][1][:32]!r}")


def _asked(wire: Wire, method: tuple[int, int], arguments: bytes, answer: tuple[int, int]) -> None:
    wire.send(_method(method, arguments))
    _expect(wire, answer)


def _expect(wire: Wire, method: tuple[int, int]) -> None:
    kind, payload = _next(wire)
    came = struct.unpack(">HH", payload[:4]) if kind == _METHOD and len(payload) >= 4 else ()
    if came == CHANNEL_CLOSE:
        raise ProbeError("the broker does not carry a message", cause=parse_close(payload[4:])[1])
    if came != method:
        raise GarbledError("the broker does not answer as expected", cause=f"method {came}, not {method}")


def _next(wire: Wire) -> tuple[int, bytes]:
    """Return the next frame that is of our channel."""
    while True:
        kind, channel, size = struct.unpack(">BHI", wire.receive(7))
        if size > MAX_FRAME:
            raise GarbledError(f"{wire.peer} sends a frame of {size} bytes")
        payload = wire.receive(size + 1)
        if payload[-1] != 0xCE:
            raise GarbledError(f"{wire.peer} does not speak AMQP", cause=f"it sent {payload[:16]!r}")
        if channel == 1 and kind != _HEARTBEAT:
            return kind, payload[:-1]
        if kind == _METHOD and payload[:4] == b"\0\x0a\0\x32":  # connection.close
            raise ProbeError("the broker ends the connection", cause=parse_close(payload[4:-1])[1])


def _method(method: tuple[int, int], arguments: bytes) -> bytes:
    return _frame(_METHOD, struct.pack(">HH", *method) + arguments)


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"
