"""Servers for signed repositories, and everything that can be wrong with them, switched while they run.

What a right answer is belongs to `archive`.
"""

from __future__ import annotations

import fnmatch
import gzip
import lzma
import re
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Protocol

from lab import debs
from lab.archive import SIGNATURES, Content, Repository, published
from lab.machines import Machine
from lab.trust import Key, Trust


class Fault(Enum):
    """What is wrong with a mirror."""

    REFUSE = "refuse"  # nobody listens
    HANG = "hang"  # connects, and never answers
    HALF = "half"  # half of a file, then the end
    STATUS = "status"  # another status than 200
    HTML = "html"  # 200 with a page for people
    TAMPER_INRELEASE = "tamper_inrelease"  # changed after it was signed
    TAMPER_PACKAGES = "tamper_packages"  # another index than the signed one, of the same size
    SWAP_DEB = "swap_deb"  # a working package with another postinst, which touches `SWAPPED`
    UNSIGNED = "unsigned"  # Release without InRelease and Release.gpg
    EXPIRED_KEY = "expired_key"  # signed by a key that expired
    WRONG_KEY = "wrong_key"  # signed by a stranger
    REPLAY = "replay"  # the older state, which was once right
    OUTDATED = "outdated"  # right, but its Valid-Until is in the past


SWAPPED = "/swapped"
"""The file a swapped package leaves where it was installed."""

PAGE = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>Please log in</h1></body></html>\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came: the name of the mirror as the client put it, the path and what was answered.

    A `status` of 0 is a request that got no answer, a path of "" a connection without a request.
    """

    name: str
    path: str
    status: int


class Shelf(Protocol):
    """What a mirror serves."""

    trust: Trust

    def content(self, fault: Enum | None) -> Content:
        """Return everything there is when such a fault is on; None is none."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    fault: Enum
    only: str = "*"
    status: int = 200


class Stock:
    """What mirrors have: repositories, an older state of them for replays, and single files such as keys."""

    def __init__(self, trust: Trust, repositories: tuple[Repository, ...], older: tuple[Repository, ...] = ()) -> None:
        self.trust = trust
        self.repositories = repositories
        self.older = older
        self.key = trust.good
        self.files: Content = {}
        self._made: dict[tuple[Fault | None, Key], Content] = {}

    def content(self, fault: Fault | None) -> Content:
        """Return everything a mirror with such a fault has; faults on the wire change nothing here."""
        if (fault, self.key) not in self._made:
            self._made[fault, self.key] = self._make(fault)
        return self._made[fault, self.key] | self.files

    def _make(self, fault: Fault | None) -> Content:
        if fault is Fault.EXPIRED_KEY:
            return published(self.repositories, self.trust, self.trust.expired)
        if fault is Fault.WRONG_KEY:
            return published(self.repositories, self.trust, self.trust.wrong)
        if fault is Fault.REPLAY:
            return published(self.older, self.trust, self.key)
        if fault is Fault.OUTDATED:
            month, day = timedelta(days=30), timedelta(days=1)
            past = tuple(replace(repository, age=month, valid=day) for repository in self.repositories)
            return published(past, self.trust, self.key)
        whole = published(self.repositories, self.trust, self.key) if fault is None else self.content(None)
        change = _CHANGES.get(fault)
        return {path: new for path, data in whole.items() if (new := change(path, data))} if change else whole


class Mirror:
    """One server. `trouble` and `repair` switch faults while it runs; `seen` is its log."""

    def __init__(self, address: str, stock: Shelf, *, tls: bool) -> None:
        self.stock = stock
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self.now: _Trouble | None = None
        self._address = (address, 443 if tls else 80)
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(stock.trust.certificate)
        self._server: _Server | None = None
        stock.content(None)  # signing takes a moment; not while a client waits
        self._listen()

    def trouble(self, fault: Enum, *, only: str = "*", status: int = 200) -> None:
        """Be wrong from now on, for the paths that match `only` (shell pattern); `status` is for STATUS."""
        self.repair()
        self.now = _Trouble(fault, only, status)
        if fault is Fault.REFUSE:
            self.close()
        else:
            self.stock.content(fault)

    def repair(self) -> None:
        """Be right again."""
        self.now = None
        self.released.set()
        self.released = threading.Event()
        self._listen()

    def close(self) -> None:
        """Stop listening."""
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def paths(self, pattern: str = "*") -> tuple[str, ...]:
        """Return the paths asked for so far that match, in order."""
        return tuple(seen.path for seen in self.seen if seen.path and fnmatch.fnmatch(seen.path, pattern))

    def _listen(self) -> None:
        if self._server is None:
            self._server = _Server(self._address, self, self._context)
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()


class Team:
    """Both of Team RabbitMQ's mirrors as one machine sees them: under their real names, over TLS it trusts."""

    def __init__(self, machine: Machine, stock: Stock) -> None:
        self.stock = stock
        self.deb1 = Mirror(machine.network.gateway, stock, tls=True)
        self.deb2 = Mirror(machine.network.second, stock, tls=True)
        machine.trust(stock.trust.authority)
        machine.name_address("deb1.rabbitmq.com", machine.network.gateway)
        machine.name_address("deb2.rabbitmq.com", machine.network.second)

    @property
    def mirrors(self) -> tuple[Mirror, Mirror]:
        """Both."""
        return self.deb1, self.deb2

    def trouble(self, fault: Fault, *, only: str = "*", status: int = 200) -> None:
        """Let both mirrors be wrong in the same way."""
        for mirror in self.mirrors:
            mirror.trouble(fault, only=only, status=status)

    def repair(self) -> None:
        """Let both mirrors be right again."""
        for mirror in self.mirrors:
            mirror.repair()

    def close(self) -> None:
        """Stop both."""
        for mirror in self.mirrors:
            mirror.close()


def own(machine: Machine, stock: Stock, *, tls: bool = False) -> Mirror:
    """Serve as somebody's own mirror: `mirror.test`, over plain HTTP unless `tls`."""
    mirror = Mirror(machine.network.gateway, stock, tls=tls)
    machine.name_address("mirror.test", machine.network.gateway)
    if tls:
        machine.trust(stock.trust.authority)
    return mirror


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], mirror: Mirror, context: ssl.SSLContext | None) -> None:
        super().__init__(address, _Answer)
        self.mirror = mirror
        self.context = context

    def finish_request(self, request, client_address):
        """Greet and answer in the connection's own thread: one that hangs holds up nobody else."""
        trouble = self.mirror.now
        if trouble and trouble.fault is Fault.HANG and trouble.only == "*":
            self.mirror.seen.append(Seen("", "", 0))
            self.mirror.released.wait(600)
            return
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request, client_address):  # noqa: ARG002
        """Note a client that left in the middle, or that does not trust us."""
        self.mirror.seen.append(Seen("", "", 0))


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer one request, rightly or as the mirror's trouble has it."""
        mirror, path = self.server.mirror, self.path.partition("?")[0]
        trouble = mirror.now if mirror.now and fnmatch.fnmatch(path, mirror.now.only) else None
        fault = trouble.fault if trouble else None
        if fault is Fault.REFUSE:
            self.close_connection = True
        elif fault is Fault.HANG:
            mirror.released.wait(600)
            self._end(0)
        elif fault is Fault.HTML:
            self._send(200, PAGE, "text/html")
        elif trouble and fault is Fault.STATUS:
            self._send(trouble.status, PAGE, "text/html")
        else:
            found = mirror.stock.content(fault).get(path)
            body = found.read_bytes() if isinstance(found, Path) else found
            if body is None:
                self._send(404, b"there is no such file\n")
            else:
                self._send(200, body, half=fault is Fault.HALF)

    do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the mirror's log has it."""

    def _send(self, status: int, body: bytes, kind: str = "application/octet-stream", *, half: bool = False) -> None:
        self.server.mirror.seen.append(Seen(self.headers.get("Host", ""), self.path, status))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        self.close_connection = self.close_connection or half

    def _end(self, status: int) -> None:
        self.server.mirror.seen.append(Seen(self.headers.get("Host", ""), self.path, status))
        self.close_connection = True


def _tampered_release(path: str, data: bytes | Path) -> bytes | Path:
    if isinstance(data, bytes) and path.endswith(("/InRelease", "/Release")):
        return data.replace(b"Label: RabbitMQ", b"Label: Rabbit-Q", 1)
    return data


def _tampered_packages(path: str, data: bytes | Path) -> bytes | Path:
    if not isinstance(data, bytes) or "/Packages" not in path:
        return data
    open_, close = _FORMS[path.rpartition(".")[2]] if not path.endswith("/Packages") else (bytes, bytes)
    return close(re.sub(rb"(?<=SHA256: )....", b"0bad", open_(data)))


_FORMS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gz": (gzip.decompress, gzip.compress),
    "xz": (lzma.decompress, lzma.compress),
}


def _swapped(path: str, data: bytes | Path) -> bytes | Path:
    if not isinstance(data, Path) or not path.endswith(".deb"):
        return data
    deb = debs.load(data)
    return debs.rebuilt(deb, deb.control, script=f"#!/bin/sh\ntouch {SWAPPED}\n").path


def _unsigned(path: str, data: bytes | Path) -> bytes | Path:
    return b"" if path.endswith(SIGNATURES) else data


_CHANGES: dict[Fault | None, Callable[[str, bytes | Path], bytes | Path]] = {
    Fault.TAMPER_INRELEASE: _tampered_release,
    Fault.TAMPER_PACKAGES: _tampered_packages,
    Fault.SWAP_DEB: _swapped,
    Fault.UNSIGNED: _unsigned,
}
