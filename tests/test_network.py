from __future__ import annotations

import socket
import subprocess
import threading
import time

import pytest
from webserver import Answer, serving

from rmqsetup import __version__, network, resolvers
from rmqsetup.errors import NetworkError, UsageError
from rmqsetup.network import FetchError, Kind, fetch

PAGE = b"  <!DOCTYPE HTML>\n<html><body>log in first</body></html>"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    asked = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    asked += f" -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.c"
    subprocess.run(["openssl", "req", "-x509", *asked.split()], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (path.parent / "server.pem.c").read_bytes())
    return path


def failure(url: str, **options: float) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(url, **options)
    assert caught.value.cause
    assert caught.value.hint
    return caught.value


def test_a_file_comes_as_it_is_even_packed():
    packed = b"\x1f\x8b" + bytes(range(256))
    with serving({"/a": Answer(packed, headers=(("Content-Encoding", "gzip"),))}) as server:
        assert fetch(server.url + "/a") == packed
        assert server.asked[0][1]["User-Agent"] == f"rmqsetup/{__version__}"


def test_a_redirect_is_followed():
    with serving({"/a": Answer(status=302, headers=(("Location", "/b"),)), "/b": b"data"}) as server:
        assert fetch(server.url + "/a") == b"data"


@pytest.mark.parametrize("status", [402, 403, 404, 500])
def test_a_status_is_told(status):
    with serving({"/a": Answer(b"sorry", status=status)}) as server:
        error = failure(server.url + "/a")
    assert (error.kind, error.status, error.exit_code) == (Kind.STATUS, status, 4)
    assert str(status) in error.cause


def test_half_a_body_is_no_file():
    with serving({"/a": Answer(b"x" * 1000, half=True)}) as server:
        assert failure(server.url + "/a").kind is Kind.SHORT


def test_a_web_page_is_no_data():
    with serving({"/a": PAGE}) as server:
        assert failure(server.url + "/a").kind is Kind.HTML


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(b"x" * 300, drip=True)])
def test_the_deadline_holds_however_slowly_a_server_answers(answer):
    with serving({"/a": answer}) as server:
        started = time.monotonic()
        assert failure(server.url + "/a", deadline=0.3).kind is Kind.TIMED_OUT
        assert time.monotonic() - started < 5


def test_a_name_that_takes_for_ever_to_resolve_is_left(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answered.wait(60) and [])
    try:
        assert failure("http://slow.invalid/a", deadline=0.2).kind is Kind.TIMED_OUT
    finally:
        answered.set()


def test_a_name_that_does_not_resolve(monkeypatch):
    def fail(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = failure("https://me:secret@nosuch.invalid/a")
    assert error.kind is Kind.DNS
    assert "secret" not in error.message + error.cause + error.hint


def test_a_closed_port():
    with serving() as server:
        url = server.url
    assert failure(url + "/a").kind is Kind.REFUSED


def test_a_server_that_hangs_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            listener.accept()[0].close()

        network.background(hang_up)
        assert failure(f"http://127.0.0.1:{port}/a").kind in {Kind.UNREACHABLE, Kind.SHORT}


def test_too_much_is_not_read():
    with serving({"/a": b"x" * 100_000}) as server:
        assert failure(server.url + "/a", limit=1000).kind is Kind.TOO_LARGE


def test_what_the_machine_trusts_is_trusted(certificate, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with serving({"/a": b"data"}, certificate=certificate) as server:
        error = failure(server.url + "/a")
        assert error.kind is Kind.TLS
        monkeypatch.setattr(network, "CA_BUNDLES", ("/nowhere", str(certificate)))
        assert fetch(server.url + "/a") == b"data"
        monkeypatch.setattr(network, "CA_BUNDLES", ())
        assert network.trust_store() is True
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(server.url + "/a") == b"data"


def test_a_proxy_in_the_environment_is_used(monkeypatch):
    with serving({"http://mirror.invalid/a": b"through the proxy"}) as server:
        monkeypatch.setenv("http_proxy", server.url)
        assert fetch("http://mirror.invalid/a") == b"through the proxy"
    assert failure("http://mirror.invalid/a").kind in {Kind.PROXY, Kind.REFUSED}


def test_a_file_url(tmp_path):
    (tmp_path / "a file").write_bytes(b"data")
    assert fetch((tmp_path / "a file").as_uri()) == b"data"
    assert failure((tmp_path / "none").as_uri()).kind is Kind.FILE


@pytest.mark.parametrize("url", ["ftp://x/y", "x/y", "", "http://", "http://[::1", "https://:0:0/"])
def test_what_is_no_url_is_a_wrong_request_or_no_answer(url):
    with pytest.raises((UsageError, NetworkError)):
        fetch(url, deadline=1.0)


def test_pages_are_told_from_data():
    assert network.looks_like_html(PAGE)
    assert network.looks_like_html(b"<!-- x -->\n<html lang=en>")
    assert not network.looks_like_html(b"Origin: <html>\n")


def test_a_password_is_not_shown():
    assert network.shown("https://me:secret@host:8080/a?b") == "https://host:8080/a?b"


# --- nobody answers for names ----------------------------------------------------------------------------------------


@pytest.fixture
def hanging(monkeypatch):
    """Look-ups that hang; returns a function that lets them end."""
    ended = threading.Event()
    real = socket.getaddrinfo

    def slow(name, *more, **options):
        if str(name).endswith(".invalid"):
            ended.wait(60)
            return []
        return real(name, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(resolvers, "SOON", 0.1)
    monkeypatch.setattr(resolvers, "PATIENCE", 1.2)
    yield ended.set
    ended.set()


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A name server of ours, the only one that this machine knows: a socket to answer from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        monkeypatch.setattr(resolvers, "PORT", listener.getsockname()[1])
        monkeypatch.setattr(resolvers, "CONFIGURATION", tmp_path / "resolv.conf")
        (tmp_path / "resolv.conf").write_text("# nameserver 192.0.2.1\nnameserver 127.0.0.1\noptions edns0\n")
        yield listener


@pytest.mark.usefixtures("hanging")
def test_servers_that_stay_silent_are_named_long_before_the_deadline(server):
    started = time.monotonic()
    error = failure("http://slow.invalid/a", deadline=30)
    assert (error.kind, error.cause) == (Kind.DNS, "no name server answers: 127.0.0.1")
    assert time.monotonic() - started < 5
    questions = [server.recv(512) for _ in resolvers.ASKED_AT]
    assert len(set(questions)) == 1, "asked again and again"
    assert questions[0][2:] == b"\1\0\0\1\0\0\0\0\0\0\4slow\7invalid\0\0\1\0\1"


@pytest.mark.usefixtures("hanging")
@pytest.mark.parametrize("lost", [0, 2])
def test_any_answer_is_one_even_after_lost_packets(server, lost):
    def refuse() -> None:
        for number in range(lost + 1):
            question, where = server.recvfrom(512)
            if number == lost:
                server.sendto(question[:2] + b"\x81\x85", where)

    network.background(refuse)
    assert failure("http://slow.invalid/a", deadline=1.8).kind is Kind.TIMED_OUT


def test_a_name_that_is_none_is_told_as_any_other_address_that_is_wrong():
    error = failure("http://a..b/x", deadline=10)
    assert "a..b" in str(error)
    found = network.background(lambda: socket.getaddrinfo("a..b", None))
    assert resolvers.silent("a..b", found) == ()


def test_a_slow_look_up_that_ends_by_itself_is_believed(server, hanging):
    threading.Timer(0.5, hanging).start()
    assert failure("http://slow.invalid/a", deadline=10).kind is not Kind.DNS
    assert server.recv(512)


@pytest.mark.usefixtures("hanging")
def test_a_proxy_looks_names_up_by_itself(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert failure("http://slow.invalid/a").kind is Kind.PROXY
    server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        server.recv(512)


@pytest.mark.usefixtures("hanging")
@pytest.mark.parametrize("text", ["", "nameserver nowhere\n", None])
def test_whom_to_ask_may_not_be_known(server, tmp_path, text):
    assert server
    file = tmp_path / "resolv.conf"
    file.unlink() if text is None else file.write_text(text)
    kind = failure("http://slow.invalid/a", deadline=2.5).kind
    assert kind is (Kind.DNS if text else Kind.TIMED_OUT)
