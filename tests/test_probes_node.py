"""Questions to a node: typed answers on three series, and the way round by the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probing import FAULTS, VERSIONS, FakeHost, RecordedNode, record, refuses_only_with

from rmqsetup.probes import commandline, node
from rmqsetup.probes.accounts import account, guest_account, made_at, remove_stale
from rmqsetup.probes.address import COOKIE, CookieMissingError, NodeAddress
from rmqsetup.probes.distribution import CallError, Connection, CookieError
from rmqsetup.probes.epmd import UnknownNodeError
from rmqsetup.probes.node import NodeListener, NodeState, Way, ask, node_status, parse_alarms, parse_ip
from rmqsetup.probes.terms import Atom, Term, TermError, encode
from rmqsetup.probes.wire import GarbledError, ProbeError, UnreachableError

EXPECTED = {
    "healthy": (NodeState.RUNNING, (), ("/",), ()),
    "memory alarm": (NodeState.RUNNING, ("memory",), ("/",), ()),
    "disk alarm": (NodeState.RUNNING, ("disk",), ("/",), ()),
    "virtual host down": (NodeState.RUNNING, (), ("/", "orders"), ("orders",)),
    "application stopped": (NodeState.STOPPED, (), (), ()),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_recorded_nodes_are_understood(version, fault):
    heard = record(version)
    status = ask(RecordedNode(heard.answers(fault)), heard.node)
    state, alarms, hosts, down = EXPECTED[fault]
    assert (status.state, status.alarms) == (state, alarms)
    assert (status.virtual_hosts, status.virtual_hosts_down) == (hosts, down)
    assert (status.version, status.erlang) == (version, heard.data["erlang"])
    assert status.way is Way.DISTRIBUTION
    assert 0 < status.uptime < 3600
    assert status.memory > 50_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_a_running_node_knows_its_listeners_and_limits(version):
    heard = record(version)
    status = ask(RecordedNode(heard.answers("healthy")), heard.node)
    assert status.listeners == (NodeListener("amqp", "::", 5672), NodeListener("clustering", "::", 25672))
    assert status.disk_free_limit == 50_000_000
    assert status.memory_limit > status.memory
    assert status.disk_free > status.disk_free_limit


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command_line_tells_the_same(version):
    heard = record(version)
    for fault in ("healthy", "memory alarm", "disk alarm"):
        told = commandline.parse_status(heard.data[f"rabbitmqctl status, {fault}"], heard.node)
        asked = ask(RecordedNode(heard.answers(fault)), heard.node)
        assert (told.state, told.alarms, told.version) == (asked.state, asked.alarms, asked.version)
        assert set(told.listeners) == set(asked.listeners)
        assert told.memory_limit == asked.memory_limit
        assert told.disk_free_limit == asked.disk_free_limit
        assert asked.erlang.startswith(told.erlang)
        assert told.way is Way.COMMAND_LINE


class Line:
    """A connection that cannot be opened, or whose calls fail."""

    def __init__(self, error: ProbeError) -> None:
        self.error = error

    def open(self, *_: object, **__: object) -> None:
        raise self.error


def undefined() -> CallError:
    return CallError("rabbit:is_running/0", (Atom("EXIT"), (Atom("undef"), [])))


@pytest.mark.parametrize("error", [undefined(), GarbledError("no epmd")])
def test_what_is_not_understood_is_asked_once_by_the_command_line(error, monkeypatch):
    heard = record("4.0.5")
    host = FakeHost({COOKIE: b"c"}, {r"^rabbitmqctl .*status": (0, heard.data["rabbitmqctl status, healthy"])})
    monkeypatch.setattr(node, "Connection", Line(error))
    assert node_status(host, NodeAddress(heard.node)).way is Way.COMMAND_LINE
    assert len(host.ran) == 1
    assert "c\n" not in host.ran[0]


@pytest.mark.parametrize(
    "error", [CookieError("no"), UnknownNodeError("no"), UnreachableError("no"), CookieMissingError("no")]
)
def test_where_another_way_would_not_help_none_is_tried(error, monkeypatch):
    host = FakeHost({COOKIE: b"c"})
    monkeypatch.setattr(node, "Connection", Line(error))
    with pytest.raises(type(error)):
        node_status(host, NodeAddress("rabbit@host"))
    assert host.ran == []


def test_the_command_line_is_not_asked_before_there_is_a_cookie():
    host = FakeHost()
    with pytest.raises(CookieMissingError):
        commandline.node_status(host, NodeAddress("rabbit@host"))
    with pytest.raises(CookieMissingError):
        node_status(host, NodeAddress("rabbit@host"))
    assert host.ran == []


def test_the_command_line_knows_a_stopped_application_and_says_when_it_fails():
    said = "Error: this command requires the 'rabbit' app to be running on the target node. Start it with [...]"
    host = FakeHost({COOKIE: b"c"}, {"rabbitmqctl": (64, said)})
    assert commandline.node_status(host, NodeAddress("rabbit@host")).state is NodeState.STOPPED
    host = FakeHost({COOKIE: b"c"}, {"rabbitmqctl": (69, "unable to perform an operation")})
    with pytest.raises(ProbeError) as error:
        commandline.node_status(host, NodeAddress("rabbit@host.example.org"))
    assert error.value.cause == "unable to perform an operation"
    assert "--longnames" in host.ran[0]


@given(st.text(max_size=60) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps))
def test_arbitrary_answers_of_the_command_line(said):
    refuses_only_with(
        GarbledError, lambda data: commandline.parse_status(data.decode(errors="replace"), "n"), said.encode()
    )


@given(st.sampled_from([*EXPECTED]), st.data())
def test_a_node_that_answers_nonsense_is_garbled_or_undefined(fault, data):
    heard = record("4.3.6")
    answers = heard.answers(fault)
    nonsense = encode((1, data.draw(st.sampled_from([b"", 1, [1], (1,), [(1, 2)], Atom("x"), [-1], [(b"", 1)]]))))
    answers[data.draw(st.sampled_from(sorted(answers)))] = nonsense
    refuses_only_with((GarbledError, CallError), lambda _: ask(RecordedNode(answers), heard.node), b"")


def test_booting_is_told_from_stopped():
    answers = record("4.0.5").answers("application stopped")
    answers["rabbit:is_booting()"] = encode((1, Atom("true")))
    assert ask(RecordedNode(answers), "rabbit@host").state is NodeState.BOOTING


def test_alarms_of_other_nodes_are_not_ours():
    mine = ((Atom("resource_limit"), Atom("disk"), Atom("a@h")), [])
    others = ((Atom("resource_limit"), Atom("memory"), Atom("b@h")), [])
    assert parse_alarms([mine, others, (Atom("file_descriptor_limit"), [])], "a@h") == ("disk", "file_descriptor_limit")


def test_listeners_say_where_to_connect():
    assert NodeListener("amqp", "::", 5672).addresses == ("127.0.0.1", "::1")
    assert NodeListener("amqp", "0.0.0.0", 5672).addresses[0] == "127.0.0.1"
    assert NodeListener("amqp", "192.0.2.1", 5672).addresses == ("192.0.2.1",)
    assert (NodeListener("amqp/ssl", "::", 5671).tls, NodeListener("https", "::", 15671).tls) == (True, True)
    assert str(NodeListener("http", "::", 15672)) == "http [::]:15672"
    assert parse_ip((0x2001, 0xDB8, 0, 0, 0, 0, 0, 1)) == "2001:db8::1"
    with pytest.raises(TermError):
        parse_ip((1, 2))


def test_a_status_is_plain_data():
    status = ask(RecordedNode(record("4.0.5").answers("healthy")), record("4.0.5").node)
    assert json.dumps(dataclasses.asdict(status), default=lambda value: value.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_guest_is_taken_where_it_may_do_everything(version):
    answers = record(version).answers("healthy")
    guest = guest_account(RecordedNode(answers), "/")
    assert (guest.name, guest.virtual_host) == ("guest", "/")
    assert guest_account(RecordedNode(answers), "orders") is None
    refused = "rabbit_access_control:check_user_pass_login(guest, guest)"
    answers[refused] = answers["rabbit_access_control:check_user_pass_login(guest, wrong)"]
    assert guest_account(RecordedNode(answers), "/") is None


def test_users_of_killed_runs_are_found_by_their_names():
    assert made_at("rmqsetup.verify.1700000000.0badcafe") == 1_700_000_000
    assert made_at("rmqsetup.verify.me") is None
    name = "rmqsetup.verify.1700000000.0badcafe"
    backend = "rabbit_auth_backend_internal"
    users = [[(Atom("user"), one.encode()), (Atom("tags"), [])] for one in ("guest", name)]
    answers = {
        f"{backend}:list_users()": encode((1, users)),
        f"{backend}:exists({name})": encode((1, Atom("true"))),
        f"{backend}:delete_user({name}, rmqsetup)": encode((1, Atom("ok"))),
    }
    recorded = RecordedNode(answers)
    assert remove_stale(recorded, 1_700_000_060.0) == ()
    assert remove_stale(recorded, 1_700_001_000.0) == (name,)
    assert recorded.asked[-1].startswith(f"{backend}:delete_user")


class SlowNode:
    """A node without guest that goes on with what it was asked, whoever still waits for it."""

    def __init__(self) -> None:
        self.users: set[bytes] = set()

    def call(self, _module: str, function: str, *arguments: Term) -> Term:
        if function == "add_user":
            self.work = threading.Thread(target=self._make, args=(arguments[0],))
            self.work.start()
            self.work.join()
        elif function == "delete_user":
            self.users.remove(arguments[0])
        elif function == "exists":
            return Atom("true" if arguments[0] in self.users else "false")
        elif function == "check_user_pass_login" and arguments[0] not in self.users:
            return (Atom("refused"),)
        return (Atom("ok"),) if function != "list_users" else []

    def _make(self, name: bytes) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        self.users.add(name)

    def close(self) -> None:
        """Nothing is open."""


def test_a_user_that_is_being_made_when_ctrl_c_comes_is_removed(monkeypatch):
    slow = SlowNode()
    monkeypatch.setattr(Connection, "open", lambda *_, **__: slow)
    host = FakeHost({COOKIE: b"SECRET"})
    with pytest.raises(KeyboardInterrupt), account(host, NodeAddress("rabbit@broker")):
        pytest.fail("nobody was waited for")
    slow.work.join()
    assert slow.users == set()
