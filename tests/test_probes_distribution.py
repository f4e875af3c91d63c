"""The distribution client against recorded nodes, byte for byte, and against strangers."""

from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probing import VERSIONS, record, refuses_only_with, replaying, serving

from rmqsetup.probes import distribution, epmd
from rmqsetup.probes.distribution import CallError, Connection, CookieError, Peer, RefusedError, digest, shake_hands
from rmqsetup.probes.terms import TRUE, Atom, encode
from rmqsetup.probes.wire import ClosedError, Deadline, GarbledError, ProbeError, UnreachableError, Wire


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_is_what_was_recorded(version, monkeypatch):
    heard = record(version)
    script = heard.conversation("distribution")
    with replaying(monkeypatch, script[:2], script[2:]) as wrong:
        connection = Connection.open(heard.peer)
        answer = connection.call("rabbit", "is_running")
        connection.close()
    assert answer == TRUE
    assert wrong == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_cookie_is_named(version, monkeypatch):
    heard = record(version)
    script = heard.conversation("wrong cookie")
    with replaying(monkeypatch, script[:2], script[2:]) as wrong, pytest.raises(CookieError) as refused:
        Connection.open(Peer(heard.node, "WRONG"))
    assert wrong == []
    assert "cookie" in refused.value.message
    assert "rabbitmq-server" in refused.value.hint


def test_cookies_are_never_shown():
    peer = Peer("rabbit@host", "VERYSECRET")
    assert "VERYSECRET" not in repr(peer)
    assert digest("VERYSECRET", 1) != digest("VERYSECRET", 2)


def test_an_impostor_without_the_cookie_is_not_believed(monkeypatch):
    heard = record("4.0.5")
    script = heard.conversation("distribution")
    proof = next(at for at, (side, data) in enumerate(script) if side == "<" and data[:3] == b"\0\x11a")
    with (
        replaying(monkeypatch, script[:2], [*script[2:proof], ("<", b"\0\x11a" + bytes(16))]),
        pytest.raises(CookieError, match="prove"),
    ):
        Connection.open(heard.peer)


def connected(*frames: bytes) -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair()
    for frame in frames:
        theirs.sendall(struct.pack(">I", len(frame)) + frame)
    wire = Wire(ours, "node", Deadline.after(0.5))
    return Connection(wire, Peer("rabbit@host", "c"), "me@host"), theirs


def reply(number: int, answer: object) -> bytes:
    return b"p" + encode((2, Atom(""), Atom("me"))) + encode((number, answer))


def test_ticks_are_answered_and_strangers_messages_passed_over():
    connection, theirs = connected(b"", b"p" + encode((3, Atom("link"))), reply(99, 0), b"", reply(1, b"yes"))
    assert connection.call("m", "f") == b"yes"
    theirs.settimeout(0)
    sent = theirs.recv(4096)
    connection.close()
    theirs.close()
    assert sent.endswith(bytes(8))


def test_answers_belong_to_their_questions():
    connection, theirs = connected(reply(1, 1), reply(1, 1), reply(2, 2))
    assert [connection.call("m", "f"), connection.call("m", "f")] == [1, 2]
    connection.close()
    theirs.close()


@pytest.mark.parametrize(
    ("reason", "cause", "undefined"),
    [
        ((Atom("EXIT"), (Atom("undef"), [(Atom("m"), Atom("f"), [b"secret"], [])])), "undef", True),
        ((Atom("EXIT"), ((Atom("badmatch"), b"secret"), [])), "badmatch", False),
        (Atom("nodedown"), "nodedown", False),
        ((), "failed", False),
        (b"secret", "failed", False),
    ],
)
def test_failed_calls_say_why_but_not_with_what(reason, cause, undefined):
    connection, theirs = connected(reply(1, (Atom("badrpc"), reason)))
    with pytest.raises(CallError) as failed:
        connection.call("m", "f", b"secret")
    connection.close()
    theirs.close()
    assert (failed.value.cause, failed.value.undefined) == (cause, undefined)
    assert "m:f/1" in failed.value.message
    assert "secret" not in failed.value.message + failed.value.cause + repr(failed.value)


@pytest.mark.parametrize("frame", [b"q", b"p", b"p\x83", b"p" + encode((2, 0, 0)) + b"\x83\xff"])
def test_unknown_forms_are_garbled(frame):
    connection, theirs = connected(frame)
    with pytest.raises(GarbledError):
        connection.call("m", "f")
    connection.close()
    theirs.close()


def test_too_large_a_message_is_not_read():
    connection, theirs = connected()
    theirs.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(GarbledError, match="4294967295"):
        connection.call("m", "f")
    connection.close()
    theirs.close()


def test_silence_ends_at_the_deadline():
    connection, theirs = connected()
    with pytest.raises(UnreachableError):
        connection.call("m", "f")
    connection.close()
    theirs.close()


def test_a_node_that_goes_away_is_closed():
    connection, theirs = connected()
    theirs.close()
    with pytest.raises(ClosedError):
        connection.call("m", "f")
    connection.close()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"\0\x0esnot_allowed..", RefusedError),
        (b"\0\x04snok", RefusedError),
        (b"\0\x03sok\0\x05n\0\x05ab", GarbledError),
        (b"\0\x03sok\0\x05N\0\0\0\0", GarbledError),
        (b"\0\x03sok" + struct.pack(">HcQIIH", 19, b"N", 0, 1, 1, 0), RefusedError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProbeError),
    ],
)
def test_nodes_that_do_not_want_us(said, error):
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        shake_hands(Wire(ours, "node", Deadline.after(1)), "me@host", Peer("rabbit@host", "c"))
    ours.close()
    theirs.close()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=120))
def test_arbitrary_handshakes_are_probe_errors(said):
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    try:
        with pytest.raises(ProbeError):
            shake_hands(Wire(ours, "node", Deadline.after(1)), "me@host", Peer("rabbit@host", "c"))
    finally:
        ours.close()
        theirs.close()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=120))
def test_arbitrary_messages_are_probe_errors(said):
    connection, theirs = connected()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    try:
        with pytest.raises(ProbeError):
            connection.call("m", "f")
    finally:
        connection.close()
        theirs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_epmd_knows_the_node(version, monkeypatch):
    heard = record(version)
    with replaying(monkeypatch, *(heard.conversation(f"epmd {what}") for what in ("names", "port", "unknown"))) as no:
        assert epmd.names() == (epmd.Registered("rabbit", 25672),)
        assert epmd.port_of("rabbit") == 25672
        with pytest.raises(epmd.UnknownNodeError, match="nobody"):
            epmd.port_of("nobody")
    assert no == []


@pytest.mark.parametrize("answer", [b"", b"w", b"w\0", b"w\0\x01", b"HTTP/1.1 400"])
def test_what_is_not_epmd_is_garbled(answer):
    with pytest.raises(GarbledError):
        epmd.parse_port(answer)


@given(st.binary(max_size=60))
def test_arbitrary_answers_of_epmd(answer):
    refuses_only_with(GarbledError, epmd.parse_port, answer)
    refuses_only_with(GarbledError, epmd.parse_names, answer)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match=str(port)) as error:
        epmd.names(port=port)
    assert error.value.cause == "connection refused"


def test_epmd_that_says_nothing_ends_at_the_deadline():
    over = threading.Event()
    with serving(lambda connection: connection.recv(100) and over.wait(20)) as port:
        with pytest.raises(UnreachableError):  # whoever waits for the end hears that it hung up
            epmd.names(port=port, timeout=0.2)
        over.set()


def test_the_flags_are_those_every_supported_otp_asks_for():
    assert distribution.FLAGS & (1 << 36)
    assert not distribution.FLAGS & 1  # published: we would join the cluster
