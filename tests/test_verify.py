"""The ladder: which rung fails, with what to read and to type; and the status on one screen.

Whether its verdict is the one of RabbitMQ's own tools is tested on real machines, in `machine/`.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from probing import VERSIONS, FakeHost, RecordedNode, record

from rmqsetup import status as status_module
from rmqsetup import verify as verify_module
from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.finding import Severity
from rmqsetup.probes import messages
from rmqsetup.probes.accounts import NoAccountError
from rmqsetup.probes.address import NodeAddress
from rmqsetup.probes.amqp import Account, Greeting, Login, Outcome
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.epmd import UnknownNodeError
from rmqsetup.probes.messages import JourneyError, QueueType, Trip
from rmqsetup.probes.node import NodeState, ask
from rmqsetup.probes.wire import ProbeError, UnreachableError
from rmqsetup.status import service_manager, status
from rmqsetup.verification import Verdict
from rmqsetup.verify import Expectation, Target, verify

GREETING = Greeting("RabbitMQ", "4.0.5", ("PLAIN",))
ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\n"


def node(version: str = "4.0.5", fault: str = "healthy"):
    heard = record(version)
    return ask(RecordedNode(heard.answers(fault)), heard.node)


class World:
    """Everything the ladder looks at, in good order until a test spoils it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: list = [node()]
        self.units = [ACTIVE]
        self.asked = 0
        self.login: Login | ProbeError = Login(Outcome.ACCEPTED, GREETING)
        self.greeting: Greeting | ProbeError = GREETING
        self.trip: Trip | ProbeError = Trip(QueueType.CLASSIC, 0.001, 0.002, 0.003)
        self.removal: ProbeError | None = None
        self.taken_back = 0
        self.host = FakeHost(answers={"systemctl show": (0, ACTIVE)})
        self.host.run = self._run  # type: ignore[method-assign]
        monkeypatch.setattr(verify_module, "POLL", 0.001)
        monkeypatch.setattr(verify_module, "node_status", lambda *_: self._next())
        monkeypatch.setattr(verify_module.amqp, "greet", lambda *_: _said(self.greeting))
        monkeypatch.setattr(verify_module.amqp, "connect", lambda *_: _Closing())
        monkeypatch.setattr(verify_module.amqp, "log_in", lambda *_: _said(self.login))
        monkeypatch.setattr(verify_module, "account", self._account)
        monkeypatch.setattr(messages, "carry", lambda *_, **__: _said(self.trip))

    def verify(self, **options: object):
        target = options.pop("target", Target(NodeAddress("rabbit@p-trixie")))
        options.setdefault("wait", 0.05)
        return verify(self.host, target, **options)  # type: ignore[arg-type]

    def _run(self, command, listener=None):  # noqa: ARG002
        if command.argv[0] == "systemctl":
            text = self.units.pop(0) if len(self.units) > 1 else self.units[0]
            self.host.answers["systemctl show"] = (0, text)
        return FakeHost.run(self.host, command)

    def _next(self):
        self.asked += 1
        return _said(self.nodes.pop(0) if len(self.nodes) > 1 else self.nodes[0])

    @contextmanager
    def _account(self, *_: object, **__: object):
        try:
            yield Account("guest", "pw")
        finally:
            self.taken_back += 1
            if self.removal:
                raise self.removal


class _Closing:
    def close(self) -> None:
        """Hang up."""


def _said(what):
    if isinstance(what, Exception):
        raise what
    return what


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_all_is_well(world):
    told = []
    found = world.verify(told=told.append)
    assert found.ok
    assert found.error() is None
    assert [rung.name for rung in found.rungs] == ["packages", "service", "node", "listeners", "login", "messages"]
    assert [rung.verdict for rung in found.rungs] == [Verdict.SKIPPED] + [Verdict.PASSED] * 5
    assert [finding.severity for finding in found.findings] == [Severity.INFO]
    assert tuple(told) == found.rungs
    assert world.taken_back == 1


@pytest.mark.parametrize("level", range(6))
def test_no_higher_than_asked(world, level):
    found = world.verify(level=level)
    assert [rung.level for rung in found.rungs] == list(range(level + 1))
    assert world.taken_back == (level >= 4)


def test_a_verification_is_plain_data(world):
    data = json.dumps(dataclasses.asdict(world.verify()), default=lambda value: value.value)
    assert json.loads(data)["rungs"][5]["name"] == "messages"


def test_packages_are_compared(world):
    there = (Expectation("rabbitmq-server", "4.0.5-6", "Debian"),)
    cases = {
        Expectation("rabbitmq-server"): "",
        Expectation("rabbitmq-server", "4.0.5-6", "Debian"): "",
        Expectation("rabbitmq-server", "4.3.6-1"): "its version is 4.0.5-6 instead of 4.3.6-1",
        Expectation("rabbitmq-server", "", "RabbitMQ"): "its origin is Debian instead of RabbitMQ",
    }
    for wanted, cause in cases.items():
        target = Target(NodeAddress("rabbit@h"), expectations=(wanted,), installed=lambda *_: there)
        (rung,) = world.verify(level=0, target=target).rungs
        assert (rung.cause, rung.ok) == (cause, not cause)
    missing = Target(NodeAddress("rabbit@h"), expectations=(Expectation("erlang-base"),), installed=lambda *_: there)
    found = world.verify(target=missing)
    assert found.failed.summary == "erlang-base is not installed"
    assert len(found.rungs) == 1


@pytest.mark.parametrize(
    ("unit", "summary", "hint"),
    [
        ("LoadState=not-found\n", "no service", "rmqsetup install"),
        ("LoadState=loaded\nActiveState=inactive\nSubState=dead\n", "not running", "systemctl start"),
        ("LoadState=masked\nActiveState=inactive\nSubState=dead\n", "not running", "unmask"),
        (
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=1\n",
            "cannot start",
            "journalctl",
        ),
        ("LoadState=loaded\nActiveState=activating\nSubState=start\n", "not ready in time", "--wait"),
    ],
)
def test_services_that_do_not_run(world, unit, summary, hint):
    world.units = [unit]
    found = world.verify()
    assert found.failed.level == 1
    assert summary in found.failed.summary
    assert hint in found.failed.hint
    assert found.failed.evidence[0].startswith("rabbitmq-server: ")
    assert world.asked == 0


def test_a_service_that_starts_is_waited_for(world):
    world.units = ["LoadState=loaded\nActiveState=activating\nSubState=start\n"] * 3 + [ACTIVE]
    assert world.verify(wait=5).ok


def test_without_a_service_manager_the_node_alone_is_asked(world):
    found = world.verify(target=Target(NodeAddress("rabbit@h"), service_manager="none"))
    assert found.rungs[1].verdict is Verdict.SKIPPED
    assert found.ok
    assert not [line for line in world.host.ran if "systemctl" in line]


@pytest.mark.parametrize(
    ("fault", "summary", "hint"),
    [
        ("memory alarm", "alarm blocks publishers: memory", "vm_memory_high_watermark"),
        ("disk alarm", "alarm blocks publishers: disk", "disk_free_limit"),
        ("virtual host down", "virtual hosts are down: orders", "restart_vhost"),
        ("application stopped", "does not run RabbitMQ", "start_app"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_nodes_that_do_not_serve(world, version, fault, summary, hint):
    world.nodes = [node(version, fault)]
    found = world.verify()
    assert found.failed.level == 2
    assert summary in found.failed.summary
    assert hint in found.failed.hint
    assert world.asked == 1
    error = found.error()
    assert isinstance(error, BrokerNotReadyError)
    assert error.exit_code == 8
    assert found.findings[-1].severity is Severity.ERROR
    assert found.status is not None


def test_a_wrong_cookie_is_final(world):
    world.nodes = [CookieError("no", hint="restart")]
    found = world.verify(target=Target(NodeAddress("rabbit@h"), service_manager="none"), wait=5)
    assert (found.failed.level, found.failed.hint) == (2, "restart")
    assert world.asked == 1


def test_a_node_on_its_way_is_waited_for(world):
    booting = dataclasses.replace(node(), state=NodeState.BOOTING)
    world.nodes = [UnknownNodeError("no"), UnreachableError("no"), booting, node()]
    assert world.verify(target=Target(NodeAddress("rabbit@h"), service_manager="none"), wait=5).ok
    assert world.asked == 4


def test_with_its_service_active_a_missing_node_is_not_waited_for(world):
    world.nodes = [UnknownNodeError("no node is running")]
    found = world.verify(wait=5)
    assert found.failed.summary == "no node is running"
    assert world.asked == 1


def test_a_node_that_boots_for_ever(world):
    world.nodes = [dataclasses.replace(node(), state=NodeState.BOOTING)]
    found = world.verify(wait=0.02)
    assert found.failed.summary == "the node is still booting"


def test_listeners_that_do_not_listen(world):
    world.greeting = UnreachableError("nobody answers at 127.0.0.1:5672", cause="connection refused")
    found = world.verify()
    assert found.failed.level == 3
    assert "amqp [::]:5672" in found.failed.summary
    assert "connection refused" in found.failed.cause
    world.nodes = [dataclasses.replace(node(), listeners=())]
    assert world.verify().failed.summary == "the node listens nowhere"
    world.nodes = [dataclasses.replace(node(), listeners=node().listeners[1:])]
    found = world.verify()
    assert (found.failed.level, found.failed.summary) == (4, "the node does not listen for AMQP")


def test_logins_that_are_refused(world):
    world.login = Login(Outcome.ACCESS_REFUSED, GREETING, "ACCESS_REFUSED - ...")
    found = world.verify()
    assert found.failed.level == 4
    assert found.failed.summary == "guest cannot log in to the virtual host /: access refused"
    assert found.failed.cause.startswith("ACCESS_REFUSED")
    assert world.taken_back == 1


def test_nobody_to_log_in_as(world, monkeypatch):
    @contextmanager
    def nobody(*_: object, **__: object):
        raise NoAccountError("nobody to log in as", hint="--level 3")
        yield

    monkeypatch.setattr(verify_module, "account", nobody)
    assert world.verify().failed.hint == "--level 3"


def test_messages_that_do_not_come_back(world):
    world.trip = JourneyError("the message did not come back", cause="no answer in time")
    found = world.verify()
    assert (found.failed.level, found.failed.cause) == (5, "no answer in time")
    assert world.taken_back == 1


def test_what_stays_behind_is_told(world):
    world.removal = ProbeError("the temporary user x is still there", hint="rabbitmqctl delete_user x")
    told = []
    found = world.verify(told=told.append)
    assert not found.ok
    assert found.failed.name == told[-1].name == "clean-up"
    assert found.failed.hint == "rabbitmqctl delete_user x"


def test_an_interrupt_takes_back_what_was_made(world):
    world.trip = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        verify(world.host, Target(NodeAddress("rabbit@h")), told=_interrupt_at("login"))
    assert world.taken_back == 1


def _interrupt_at(name: str):
    def told(rung) -> None:
        if rung.name == name:
            raise KeyboardInterrupt

    return told


def test_status_of_a_good_broker(monkeypatch):
    monkeypatch.setattr(status_module, "node_status", lambda *_, **__: node())
    found = status(FakeHost(answers={"systemctl": (0, ACTIVE)}), NodeAddress("rabbit@h"), service_manager="systemd")
    assert found.ok
    assert found.service.active == "active"
    assert found.problem == ""


def test_status_of_bad_brokers(monkeypatch):
    host = FakeHost(answers={"systemctl": (0, "LoadState=loaded\nActiveState=inactive\n")})
    monkeypatch.setattr(status_module, "node_status", lambda *_, **__: node(fault="memory alarm"))
    assert not status(host, NodeAddress("rabbit@h"), service_manager="none").ok
    monkeypatch.setattr(status_module, "node_status", lambda *_, **__: _said(UnknownNodeError("no node", cause="epmd")))
    found = status(host, NodeAddress("rabbit@h"), service_manager="systemd")
    assert (found.ok, found.problem, found.cause) == (False, "no node", "epmd")


def test_what_looks_after_services():
    assert service_manager(FakeHost({"/run/systemd/system/x": b""})) == "systemd"
    assert service_manager(FakeHost()) == "none"


def test_status_and_verify_import_nothing_heavy():
    script = "import sys, rmqsetup.status, rmqsetup.verify; print(*sys.modules)"
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, check=True)
    assert not {"pika", "ssl", "requests", "rich", "typer", "cattrs", "asyncio"} & set(done.stdout.split())
