"""Ask epmd, the port mapper of Erlang, which nodes a machine has and where they listen.

What a node itself says belongs to `distribution`.
"""

from __future__ import annotations

import re
import struct
from contextlib import closing
from dataclasses import dataclass

from rmqsetup.probes.wire import LOOPBACK, Deadline, GarbledError, ProbeError, Wire

PORT = 4369
"""Where epmd listens unless `ERL_EPMD_PORT` says otherwise."""

_NAME = re.compile(r"name (\S+) at port (\d{1,5})")


class UnknownNodeError(ProbeError):
    """epmd answers, and no node of that name is registered: the Erlang VM of the node is not running."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A node as epmd knows it: the part of its name before the @, and its distribution port."""

    name: str
    port: int


def names(host: str = LOOPBACK, port: int = PORT, *, timeout: float = 5.0) -> tuple[Registered, ...]:
    """Return every node registered on a machine.

    Raises `UnreachableError` where no epmd answers and `GarbledError` where something else does.
    """
    with closing(Wire.connect(host, port, Deadline.after(timeout))) as wire:
        wire.send(b"\0\1n")
        return parse_names(wire.receive_rest(1 << 20))


def port_of(name: str, host: str = LOOPBACK, *, port: int = PORT, timeout: float = 5.0) -> int:
    """Return the distribution port of a node; `name` is the part before the @.

    Raises `UnknownNodeError` when it is not registered, and as `names` does.
    """
    asked = b"z" + name.encode()
    with closing(Wire.connect(host, port, Deadline.after(timeout))) as wire:
        wire.send(struct.pack(">H", len(asked)) + asked)
        answer = wire.receive_rest(1 << 16)
    found = parse_port(answer)
    if found is None:
        raise UnknownNodeError(f"no node {name} is running", cause=f"epmd at {host}:{port} does not know it")
    return found


def parse_names(answer: bytes) -> tuple[Registered, ...]:
    """Return the nodes in an answer to NAMES_REQ. Raises `GarbledError`."""
    if len(answer) < 4:
        raise GarbledError("what answers on the port of epmd is not epmd", cause=f"{len(answer)} bytes came back")
    return tuple(Registered(*_named(found)) for found in _NAME.finditer(answer[4:].decode("utf-8", "replace")))


def parse_port(answer: bytes) -> int | None:
    """Return the port in an answer to PORT_PLEASE2_REQ; None for a node that is not registered.

    Raises `GarbledError`.
    """
    if len(answer) < 2 or answer[0] != ord("w"):
        raise GarbledError("what answers on the port of epmd is not epmd", cause=f"{answer[:16]!r} came back")
    if answer[1] != 0:
        return None
    if len(answer) < 4:
        raise GarbledError("epmd ended in the middle of its answer")
    return int.from_bytes(answer[2:4], "big")


def _named(found: re.Match[str]) -> tuple[str, int]:
    return found[1], int(found[2])
