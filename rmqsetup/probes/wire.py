"""A TCP conversation that ends at a deadline, whatever the other side does.

What is said over it belongs to `epmd`, `distribution` and `amqp`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rmqsetup.errors import BrokerNotReadyError

LOOPBACK = "127.0.0.1"
"""Where nodes are asked unless told otherwise: cookies and passwords do not leave the machine."""

Answer = TypeVar("Answer")


class ProbeError(BrokerNotReadyError):
    """A look at a node did not come to its end."""


class UnreachableError(ProbeError):
    """Nobody listens there, or nothing came back before the deadline."""


class GarbledError(ProbeError):
    """Something answered that does not speak the expected protocol."""


class ClosedError(ProbeError):
    """The other side hung up in the middle."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which everything must have happened."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the moment this many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds until then; 0 when it has passed."""
        return max(0.0, self.at - time.monotonic())


class Wire:
    """A connected socket; every operation is held to the deadline it was opened with."""

    __slots__ = ("_socket", "deadline", "peer")

    def __init__(self, connected: socket.socket, peer: str, deadline: Deadline) -> None:
        self._socket = connected
        self.peer = peer
        self.deadline = deadline

    @classmethod
    def connect(cls, host: str, port: int, deadline: Deadline) -> Wire:
        """Open a connection. Raises `UnreachableError`."""
        peer = f"{host}:{port}"
        try:
            connected = socket.create_connection((host, port), timeout=_seconds(deadline, peer))
        except TimeoutError as error:
            raise _silent(peer) from error
        except (OSError, UnicodeError) as error:  # the latter of a name that no host can have
            reason = getattr(error, "strerror", "") or str(error)
            raise UnreachableError(f"nobody answers at {peer}", cause=reason.lower()) from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connected, peer, deadline)

    def secured(self) -> Wire:
        """Return the same conversation under TLS, without judging the certificate: is it alive, not is it trusted."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            self._socket.settimeout(_seconds(self.deadline, self.peer))
            return Wire(context.wrap_socket(self._socket), self.peer, self.deadline)
        except (OSError, ValueError) as error:
            raise GarbledError(f"no TLS session with {self.peer}", cause=str(error)) from error

    def send(self, data: bytes) -> None:
        """Send all of it. Raises `ClosedError`, `UnreachableError`."""
        self._guarded(lambda: self._socket.sendall(data))

    def receive(self, size: int) -> bytes:
        """Return exactly so many bytes. Raises `ClosedError`, `UnreachableError`."""
        parts: list[bytes] = []
        while size:
            part = self._receive_some(size)
            if not part:
                raise ClosedError(f"{self.peer} hung up")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def receive_rest(self, limit: int) -> bytes:
        """Return what comes until the other side closes, at most so many bytes."""
        parts: list[bytes] = []
        while limit > 0 and (part := self._receive_some(limit)):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Hang up. Never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _receive_some(self, limit: int) -> bytes:
        return self._guarded(lambda: self._socket.recv(min(limit, 65536)))

    def _guarded(self, operation: Callable[[], Answer]) -> Answer:
        try:
            self._socket.settimeout(_seconds(self.deadline, self.peer))
            return operation()
        except TimeoutError as error:
            raise _silent(self.peer) from error
        except OSError as error:
            raise ClosedError(f"{self.peer} hung up", cause=(error.strerror or str(error)).lower()) from error


def _seconds(deadline: Deadline, peer: str) -> float:
    left = deadline.left()
    if left <= 0:
        raise _silent(peer)
    return left


def _silent(peer: str) -> UnreachableError:
    return UnreachableError(f"no answer from {peer} in time", cause="timed out")
