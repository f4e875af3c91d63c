"""Whether anybody answers for names at all: told in three seconds, where a system's own look-up takes ten and more.

What a name leads to is the system's business, and so is every answer that comes, be it that there is no such name.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

CONFIGURATION = Path("/etc/resolv.conf")

SOON = 1.0
"""Seconds after which a look-up that has no answer yet is no quick one."""

ASKED_AT = (0.0, 0.4, 0.9)
"""Seconds, from then on, at which name servers are asked: one packet is lost now and then, three are not."""

PATIENCE = 2.0
"""Seconds from then on after which nobody is going to answer: the slowest networks need one there and back."""

PORT = 53

_SERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)


def silent(name: str, found: Future[object]) -> tuple[str, ...]:
    """Return the name servers of this machine where none of them answers, while a name is `found`; else nothing.

    Nothing as well where it is not known who they are. Takes `SOON` and `PATIENCE` together at most.
    """
    try:
        found.result(timeout=SOON)
    except FutureTimeoutError:
        servers = tuple(_SERVER.findall(CONFIGURATION.read_text())) if CONFIGURATION.is_file() else ()
        return servers if servers and not _heard(servers, name, found) else ()
    except (OSError, UnicodeError):  # an answer: there is no such name, or it is none
        pass
    return ()


def _heard(servers: tuple[str, ...], name: str, found: Future[object]) -> bool:
    """Ask every server again and again, until one answers anything, or the look-up ends in another way."""
    question = _question(name)
    begun = time.monotonic()
    asking = list(ASKED_AT)
    with contextlib.ExitStack() as stack:
        sockets = [one for server in servers if (one := _towards(server))]
        for one in sockets:
            stack.enter_context(one)
        while (passed := time.monotonic() - begun) < PATIENCE and not found.done():
            if asking and passed >= asking[0]:
                asking.pop(0)
                for one in sockets:
                    with contextlib.suppress(OSError):  # no way there: it does not answer
                        one.send(question)
            for one in select.select(sockets, (), (), 0.05)[0]:
                with contextlib.suppress(OSError):
                    if one.recv(4096)[:2] == question[:2]:
                        return True
    return found.done()


def _towards(server: str) -> socket.socket | None:
    """Return a socket on which only that server is heard; None where there is no way to it."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            server, PORT, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        one = socket.socket(family, kind)
    except OSError:
        return None
    try:
        one.connect(where)
    except OSError:
        one.close()
        return None
    return one


def _question(name: str) -> bytes:
    """Return the question for the IPv4 address of a name, as RFC 1035 has it."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("idna").strip(b".").split(b"."))
    return os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
