"""Choose TCP ports so that starts at the same time, in whatever process and of whatever user, never choose the same.

What listens there belongs to `boot`. A port that is free now may not be when the node comes to it, a second later. So
whoever chooses one holds the UDP port of the same number meanwhile: the node, which wants TCP, is not kept from it, and
every other start on this machine sees it. The kernel takes it back when its holder dies, however that happens.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmqsetup.errors import BrokerNotReadyError, UsageError
from rmqsetup.probes.wire import LOOPBACK

RANGE = range(10000, 32768)
"""Below what kernels give to outgoing connections, which could have a port just when the node wants it."""

KNOWN = frozenset({15672, 15671, 15670, 15674, 15675, 15676, 15691, 15692, 25672, 35672})
"""Ports that a RabbitMQ of the machine may come to later; never chosen."""

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(slots=True)
class Reserved:
    """Ports that nobody else chooses as long as this is not released."""

    numbers: tuple[int, ...]
    _holders: tuple[socket.socket, ...] = ()

    def release(self) -> None:
        """Let others choose them, those that are not in use."""
        for holder in self._holders:
            holder.close()
        self._holders = ()


def usual() -> range:
    """Return the ports to choose from on this machine."""
    try:
        lowest = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return RANGE
    return range(RANGE.start, lowest) if RANGE.start + 1000 < lowest < RANGE.stop else RANGE


def parse(text: str) -> range:
    """Read `20000-29999`. Raises `UsageError`."""
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1024 <= first <= last <= 65535:
        raise UsageError(f"{text!r} is no range of ports", hint="write it as 20000-29999, between 1024 and 65535")
    return range(first, last + 1)


def reserve(count: int, among: range | None = None, *, first: int = 0) -> Reserved:
    """Choose so many ports and hold them; the first may be given. Raises `BrokerNotReadyError` without as many."""
    among = among or usual()
    holders: list[socket.socket] = []
    numbers: list[int] = []
    if first:
        if (holder := _held(first)) is None:
            raise BrokerNotReadyError(f"port {first} is taken", hint="give another, or none and one is chosen")
        holders, numbers = [holder], [first]
    for port in _shuffled(among):
        if len(numbers) == count:
            break
        if port not in KNOWN and (holder := _held(port)):
            holders.append(holder)
            numbers.append(port)
    reserved = Reserved(tuple(numbers), tuple(holders))
    if len(numbers) < count:
        reserved.release()
        raise BrokerNotReadyError(
            f"there are no {count} free ports between {among.start} and {among.stop - 1}",
            cause=f"{len(numbers)} are free",
            hint="end other brokers (rmqsetup ps lists those of this tool), or give a wider range: --ports 20000-29999",
        )
    return reserved


def _shuffled(among: range) -> Iterator[int]:
    """Yield the ports of a range in random order, at the price of those that are taken."""
    moved: dict[int, int] = {}
    for left in range(len(among), 0, -1):
        at = secrets.randbelow(left)
        yield among[moved.get(at, at)]
        moved[at] = moved.get(left - 1, left - 1)


def _held(port: int) -> socket.socket | None:
    """Hold a port, unless somebody holds it or listens there, on whatever address."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.bind((LOOPBACK, port))
        for address in (LOOPBACK, ""):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just ended does not count
                trial.bind((address, port))
    except OSError:
        holder.close()
        return None
    return holder
