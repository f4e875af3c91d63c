"""A small web server for the tests that also answers badly, on request."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """An answer to a GET. `half` sends half of what was promised, `hang` nothing at all, `drip` a byte at a time."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    half: bool = False
    hang: bool = False
    drip: bool = False


@dataclass
class Server:
    url: str
    files: dict[str, bytes | Answer]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str) -> Answer:
        found = self.files.get(path, Answer(b"not here", status=404))
        return found if isinstance(found, Answer) else Answer(found)


@contextlib.contextmanager
def serving(files: dict[str, bytes | Answer] | None = None, *, certificate: Path | None = None) -> Iterator[Server]:
    """Serve files on a random port of the loopback, over TLS where there is a certificate (with its key in it)."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "https" if certificate else "http"
    httpd.test = Server(f"{scheme}://127.0.0.1:{httpd.server_address[1]}", files or {})
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield httpd.test
    finally:
        httpd.test.closing.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server.test
        server.asked.append((self.path, dict(self.headers)))
        answer = server.answer(self.path)
        if answer.hang:
            server.closing.wait(30)
            return
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self._send(answer, server)

    def _send(self, answer: Answer, server: Server) -> None:
        if answer.drip:
            for octet in answer.body:
                self.wfile.write(bytes([octet]))
                if server.closing.wait(0.1):
                    return
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.half else answer.body)

    def log_message(self, *_: object) -> None:
        pass
