"""The AMQP handshake against recorded brokers, byte for byte, and against strangers."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probing import VERSIONS, record, refuses_only_with, replaying, serving

from rmqsetup.probes import amqp, carrier
from rmqsetup.probes.amqp import Account, Endpoint, Outcome
from rmqsetup.probes.wire import ClosedError, GarbledError, ProbeError, UnreachableError

HERE = Endpoint(("127.0.0.1",), 5672)
LOGINS = {
    "login": (Account("guest", "guest"), Outcome.ACCEPTED, ""),
    "refused": (Account("guest", "wrong"), Outcome.ACCESS_REFUSED, "ACCESS_REFUSED"),
    "no virtual host": (Account("guest", "guest", "nowhere"), Outcome.VIRTUAL_HOST_NOT_FOUND, "nowhere"),
    "no permission": (Account("nemo", "secret"), Outcome.VIRTUAL_HOST_REFUSED, "nemo"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_brokers_introduce_themselves(version, monkeypatch):
    with replaying(monkeypatch, record(version).conversation("amqp greeting")) as wrong:
        greeting = amqp.greet(HERE)
    assert wrong == []
    assert (greeting.product, greeting.version) == ("RabbitMQ", version)
    assert "PLAIN" in greeting.mechanisms


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LOGINS)
def test_logins_have_outcomes(version, name, monkeypatch):
    account, outcome, words = LOGINS[name]
    with replaying(monkeypatch, record(version).conversation(f"amqp {name}")) as wrong:
        login = amqp.log_in(HERE, account)
    assert wrong == []
    assert login.outcome is outcome
    assert words in login.reason
    assert login.greeting.version == version


@pytest.mark.parametrize(
    ("code", "reason", "outcome"),
    [
        (403, "ACCESS_REFUSED - Login was refused", Outcome.ACCESS_REFUSED),
        (530, "NOT_ALLOWED - vhost x not found", Outcome.VIRTUAL_HOST_NOT_FOUND),
        (
            541,
            "INTERNAL_ERROR - access to vhost 'x' refused for user 'y': vhost 'x' is down",
            Outcome.VIRTUAL_HOST_DOWN,
        ),
        (530, "NOT_ALLOWED - access to vhost 'x' refused for user 'y'", Outcome.VIRTUAL_HOST_REFUSED),
        (506, "RESOURCE_ERROR", Outcome.REFUSED),
    ],
)
def test_closing_words_name_the_outcome(code, reason, outcome):
    assert amqp.outcome_of(code, reason) is outcome


def test_passwords_are_not_shown():
    assert "hunter2" not in repr(Account("me", "hunter2"))


@pytest.mark.parametrize(
    "said",
    [
        b"AMQP\0\1\0\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xce",
        b"\x01\0\0\xff\xff\xff\xff",
    ],
)
def test_strangers_are_garbled(said):
    with serving(lambda connection: connection.sendall(said)) as port, pytest.raises(GarbledError):
        amqp.greet(Endpoint(("127.0.0.1",), port))


def test_a_broker_that_hangs_up_before_it_greets():
    with serving(lambda connection: connection.recv(8)) as port, pytest.raises(ClosedError):
        amqp.greet(Endpoint(("127.0.0.1",), port))


def test_a_broker_that_hangs_up_on_a_login_has_refused_it(monkeypatch):
    script = record("4.0.5").conversation("amqp refused")[:3]
    with replaying(monkeypatch, script):
        assert amqp.log_in(HERE, Account("guest", "wrong")).outcome is Outcome.ACCESS_REFUSED


def test_the_second_address_is_tried():
    with serving(lambda connection: connection.sendall(b"x")) as port:
        wire = amqp.connect(Endpoint(("127.0.0.99", "127.0.0.1"), port), amqp.Deadline.after(2))
        assert wire.peer == f"127.0.0.1:{port}"
        wire.close()


def test_of_two_silent_addresses_the_first_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        amqp.greet(Endpoint(("127.0.0.1", "::1"), port))


def test_no_tls_where_tls_is_expected():
    def plain(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"AMQP\0\0\x09\x01")

    with serving(plain) as port, pytest.raises(GarbledError, match="TLS"):
        amqp.greet(Endpoint(("127.0.0.1",), port, tls=True))


def refusing(method: bytes, channel: int, said: str):
    """Let everybody in, and answer what is asked of the first channel with a close."""

    def act(connection: socket.socket) -> None:
        greeted = record("4.0.5").conversation("amqp login")
        for _, data in [step for step in greeted if step[0] == "<"][:3]:
            connection.recv(4096)
            connection.sendall(data)
        connection.recv(4096)
        arguments = struct.pack(">H", 541) + amqp.short(said) + struct.pack(">HH", 20, 10)
        payload = method + arguments
        connection.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    return act


@pytest.mark.parametrize(
    ("method", "channel", "words"),
    [(b"\0\x0a\0\x32", 0, "ends the connection"), (b"\0\x14\0\x28", 1, "does not carry a message")],
)
def test_a_carrier_that_is_sent_away_says_why_in_the_broker_s_words(method, channel, words):
    with serving(refusing(method, channel, "NO_WAY - für nobody")) as port, pytest.raises(ProbeError) as refusal:
        carrier.carry(Endpoint(("127.0.0.1",), port), Account("guest", "guest"), timeout=2)
    assert words in refusal.value.message
    assert refusal.value.cause == "NO_WAY - für nobody"


@given(st.binary(max_size=200))
def test_arbitrary_greetings_and_farewells(data):
    refuses_only_with(GarbledError, amqp.parse_start, data)
    refuses_only_with(GarbledError, amqp.parse_close, data)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=100))
def test_arbitrary_conversations_are_probe_errors(said):
    with serving(lambda connection: connection.sendall(said)) as port, pytest.raises(ProbeError):
        amqp.log_in(Endpoint(("127.0.0.1",), port), Account("guest", "guest"), timeout=2)
