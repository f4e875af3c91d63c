"""Which TCP ports of a machine are taken, and by whom, as /proc has it.

Who ought to listen there is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqsetup.host import Command, Host, text_of

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

_LISTENING = re.compile(
    r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ 0A \S+ \S+ \S+ +\d+ +\d+ (\d+)", re.MULTILINE
)  # state 0A is TCP_LISTEN of the kernel's net/tcp_states.h


_BUSY = re.compile(
    r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ (?!0A|06)[0-9A-F]{2} \S+ \S+ \S+ +\d+ +\d+ ([1-9]\d*)", re.MULTILINE
)  # any other state but 06, TCP_TIME_WAIT, in which nobody has the socket any more


@dataclass(frozen=True, slots=True)
class Taken:
    """A port on which somebody listens, and the number of the socket."""

    port: int
    socket: int


def taken(host: Host) -> tuple[Taken, ...]:
    """Return every TCP port on which somebody listens, on whatever address; nothing where there is no /proc."""
    return tuple(each for path in TABLES for each in parse_taken(text_of(host, path)))


def connected(host: Host) -> tuple[Taken, ...]:
    """Return every TCP port from which somebody is connected to somewhere: nobody else can listen on it meanwhile."""
    return tuple(
        Taken(int(port, 16), int(socket)) for path in TABLES for port, socket in _BUSY.findall(text_of(host, path))
    )


def parse_taken(text: str) -> tuple[Taken, ...]:
    """Read a table of /proc/net."""
    return tuple(Taken(int(port, 16), int(socket)) for port, socket in _LISTENING.findall(text))


def holder(host: Host, found: Taken) -> str:
    """Return who holds a port, `qpidd (process 123)`; empty where that cannot be seen, as by a plain user."""
    wanted = ("find", "/proc", "-maxdepth", "3", "-path", "/proc/[0-9]*/fd/*", "-lname", f"socket:?{found.socket}?")
    lines = host.run(Command(wanted, timeout=15)).stdout.split()
    number = lines[0].split("/")[2] if lines else ""
    name = text_of(host, f"/proc/{number}/comm").strip() if number else ""
    return f"{name} (process {number})" if name else ""
