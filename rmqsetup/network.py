"""Fetch a small file from a URL, in time and in full; the one place that uses requests.

What the bytes mean, and whether to believe them, belongs to `keys` and `indices`.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from rmqsetup import __version__, resolvers
from rmqsetup.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from requests import Response

DEADLINE = 15.0
"""Seconds that one fetch may take in all, name look-up and slow bodies included."""

CONNECT = 4.0
"""Seconds a server may take to accept a connection."""

LIMIT = 32 << 20
"""Bytes that are read at most."""

CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
"""Where systems keep the authorities they trust; what the machine trusts, we trust."""

_T = TypeVar("_T")


class Kind(Enum):
    """Why a fetch failed."""

    DNS = "name does not resolve"
    REFUSED = "connection refused"
    UNREACHABLE = "no connection"
    TIMED_OUT = "timed out"
    TLS = "TLS"
    PROXY = "proxy"
    STATUS = "HTTP status"
    SHORT = "only a part arrived"
    TOO_LARGE = "too large"
    HTML = "a web page instead of data"
    FILE = "file"
    MISMATCH = "not what the signed index promises"


_HINTS = {
    Kind.DNS: "check the name and this machine's DNS (getent hosts NAME), or set https_proxy",
    Kind.TLS: "check the clock; where a company proxy re-signs traffic, add its authority to the system's "
    "certificates or name a bundle in REQUESTS_CA_BUNDLE",
    Kind.PROXY: "check http_proxy, https_proxy and no_proxy",
    Kind.STATUS: "check the URL",
    Kind.HTML: "a login page of the network may be in the way: open it in a browser",
    Kind.FILE: "check the path",
}


class FetchError(NetworkError):
    """A URL did not give what was asked for; `kind` says why, `status` is HTTP's where there was one."""

    def __init__(self, url: str, kind: Kind, cause: str, *, status: int = 0) -> None:
        hint = _HINTS.get(kind, "check the network and its firewall, or set https_proxy")
        super().__init__(f"cannot fetch {shown(url)}", cause=cause or kind.value, hint=hint)
        self.kind = kind
        self.status = status


def fetch(url: str, *, limit: int = LIMIT, deadline: float = DEADLINE) -> bytes:
    """Return what `url` (http, https or file) holds.

    Asks once. Raises `FetchError` when it does not arrive in full within `deadline` seconds, is
    more than `limit` bytes, or is a web page; `UsageError` when it is no such URL.
    """
    scheme = _split(url).scheme.lower()
    if scheme == "file":
        return _read(url, limit=limit)
    if scheme not in {"http", "https"}:
        raise UsageError(f"{shown(url)} is not a URL", hint="it begins with https://, http:// or file://")
    if deadline <= 0:
        raise FetchError(url, Kind.TIMED_OUT, "no time was left to ask")
    # A name look-up cannot be interrupted and a server may drip: only a thread of its own can be left behind.
    until = time.monotonic() + deadline
    answer = background(lambda: _download(url, limit=limit, deadline=deadline))
    unheard = background(lambda: unanswered(url))
    either: tuple[Future[Any], ...] = (answer, unheard)
    wait(either, timeout=deadline, return_when=FIRST_COMPLETED)
    if unheard.done() and not answer.done() and (error := unheard.result()):
        raise error
    try:
        return answer.result(timeout=max(0.0, until - time.monotonic()))
    except FutureTimeoutError as error:
        raise FetchError(url, Kind.TIMED_OUT, f"not finished within {deadline:g} seconds") from error


def unanswered(url: str) -> FetchError | None:
    """Return the error of a URL whose name nobody answers for, sooner than the look-up ends; None for any other.

    A proxy would look it up itself.
    """
    import requests

    name = _split(url).hostname
    if not name or requests.utils.get_environ_proxies(url, no_proxy=None):
        return None
    servers = resolvers.silent(name, background(lambda: socket.getaddrinfo(name, None)))
    if not servers:
        return None
    return FetchError(url, Kind.DNS, f"no name server answers: {', '.join(servers)}")


def background(work: Callable[[], _T]) -> Future[_T]:
    """Start `work` in a thread that does not keep the program from ending, and return its future."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def looks_like_html(data: bytes) -> bool:
    """Tell whether the bytes begin like a web page."""
    return (
        re.match(
            rb"(\xef\xbb\xbf)?\s*(<\?xml\b[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype|html|head|body)\b", data[:4096], _ANY
        )
        is not None
    )


_ANY = re.IGNORECASE | re.DOTALL


def shown(url: str) -> str:
    """Return a URL as it may be shown: without a user name and password."""
    parts = _split(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def trust_store() -> str | bool:
    """Return the bundle of certificate authorities: named in the environment, the system's, or certifi's (True)."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.environ.get(name):
            return os.environ[name]
    return next((path for path in CA_BUNDLES if Path(path).is_file()), True)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UsageError(
            "that is not a URL", cause=str(error), hint="it begins with https://, http:// or file://"
        ) from error


def file_path(url: str) -> str:
    """Return the path that a file URL names."""
    return unquote(_split(url).path)


def _read(url: str, *, limit: int) -> bytes:
    path = Path(file_path(url))
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FetchError(url, Kind.FILE, str(error.strerror or error)) from error
    return _accept(url, data, limit=limit)


def _download(url: str, *, limit: int, deadline: float) -> bytes:
    import requests

    until = time.monotonic() + deadline
    headers = {"User-Agent": f"rmqsetup/{__version__}", "Accept-Encoding": "identity"}
    timeout = (min(CONNECT, deadline), deadline)
    with requests.Session() as session, _translated(url):
        session.max_redirects = 5
        with session.get(url, headers=headers, timeout=timeout, stream=True, verify=trust_store()) as response:
            if response.status_code != 200:
                cause = f"the server answered {response.status_code} {response.reason}"
                raise FetchError(url, Kind.STATUS, cause, status=response.status_code)
            return _accept(url, _body(response, limit=limit, until=until), limit=limit)


def _body(response: Response, *, limit: int, until: float) -> bytes:
    """Read the bytes as sent: an index that is itself compressed must not be unpacked on the way."""
    body = bytearray()
    for chunk in response.raw.stream(1 << 14, decode_content=False):
        body += chunk
        if len(body) > limit:
            break
        if time.monotonic() > until:
            raise FetchError(response.url, Kind.TIMED_OUT, f"only {len(body)} bytes arrived in time")
    promised = response.headers.get("Content-Length", "")
    if promised.isdigit() and len(body) < min(int(promised), limit):
        raise FetchError(response.url, Kind.SHORT, f"{len(body)} of {promised} bytes arrived")
    return bytes(body)


def _accept(url: str, data: bytes, *, limit: int) -> bytes:
    if len(data) > limit:
        raise FetchError(url, Kind.TOO_LARGE, f"it has more than {limit} bytes")
    if looks_like_html(data):
        raise FetchError(url, Kind.HTML, "a web page came instead of the file")
    return data


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Say what requests raises in our own words."""
    import requests
    import urllib3

    try:
        yield
    except FetchError:
        raise
    except requests.exceptions.SSLError as error:
        raise FetchError(
            url, Kind.TLS, f"the TLS certificate or connection is not good ({_innermost(error)})"
        ) from error
    except requests.exceptions.ProxyError as error:
        raise FetchError(url, Kind.PROXY, f"the proxy refused or failed ({_innermost(error)})") from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise UsageError(f"{shown(url)} is not a URL", cause=str(error)) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        kind = _kind(error)
        raise FetchError(url, kind, f"{kind.value} ({_innermost(error)})") from error


def _kind(error: BaseException) -> Kind:
    import http.client

    import urllib3

    made_of = list(_chain(error))
    refused = any(isinstance(each, OSError) and each.errno == errno.ECONNREFUSED for each in made_of)
    if any(isinstance(each, socket.gaierror) for each in made_of):
        return Kind.DNS
    if refused:
        return Kind.REFUSED
    if any(isinstance(each, http.client.IncompleteRead) for each in made_of):
        return Kind.SHORT
    if any(isinstance(each, TimeoutError | urllib3.exceptions.TimeoutError) for each in made_of):
        return Kind.TIMED_OUT
    return Kind.UNREACHABLE


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made from, outermost first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            waiting += [getattr(each, "reason", None), *each.args, each.__cause__, each.__context__]


def _innermost(error: BaseException) -> str:
    return str(list(_chain(error))[-1])
