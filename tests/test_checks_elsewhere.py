"""Machines that are set up in other ways than the recorded one, and other series: what is said of them, and what not.

Faults of every check, and what is healthy about the recorded machine, are in `test_checks`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenes import CONF, UNIT, Plain, Wires, scene

from rmqsetup.checks import catalogue
from rmqsetup.finding import Severity
from rmqsetup.probes.address import find_address
from rmqsetup.probes.node import NodeListener
from rmqsetup.probes.terms import Atom, Map
from rmqsetup.probes.wire import UnreachableError

ENV = "/etc/rabbitmq/rabbitmq-env.conf"
DROP_IN = "/etc/systemd/system/rabbitmq-server.service.d/limits.conf"
MORE = "systemctl show -p User"
SOCKET = "   9: 00000000:6448 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 777 1 x 100 0 0 10 0\n"
"""Somebody who listens on port 25672."""


def found(machine, wires=None):
    """Return what is found, each with its severity."""
    seen = scene(machine, wires)
    return [each for check in catalogue() for each in check.judge(seen)]


def ids(findings):
    return [(each.check, each.severity) for each in findings]


def stopped(machine, wires):
    wires.down()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        machine.put(path, "")
    machine.change(UNIT, "ActiveState=active", "ActiveState=inactive")
    machine.change(UNIT, "SubState=running", "SubState=dead")


def test_a_service_that_was_stopped_does_not_fail_for_what_was_set_on_this_machine():
    machine, wires = Plain(), Wires()
    stopped(machine, wires)
    machine.put(ENV, "NODE_PORT=5673\n")
    machine.put("/bin/true", "", 0o755)
    machine.put(DROP_IN, "[Service]\nExecStartPre=/bin/true\n")
    machine.change(MORE, "DropInPaths=", f"DropInPaths={DROP_IN}")
    assert ids(found(machine, wires)) == [("RMQ-002", Severity.ERROR)]


@pytest.mark.parametrize(("enabled", "severity"), [("enabled", Severity.ERROR), ("disabled", Severity.INFO)])
def test_a_node_that_was_started_by_hand_is_a_fault_where_the_service_is_switched_on(enabled, severity):
    machine = Plain()
    machine.put("/proc/net/tcp", SOCKET)
    machine.say("find /proc", "/proc/4711/fd/3\n")
    machine.put("/proc/4711/comm", "beam.smp\n")
    machine.put("/proc/4711/cgroup", "0::/user.slice/session-1.scope\n")
    machine.change(UNIT, "ActiveState=active", "ActiveState=inactive")
    machine.change(UNIT, "SubState=running", "SubState=dead")
    machine.change(UNIT, "UnitFileState=enabled", f"UnitFileState={enabled}")
    told = [each for each in ids(found(machine)) if each[0] in ("RMQ-044", "RMQ-004")]
    assert told == [("RMQ-044", severity)]


def test_a_node_that_talks_tls_with_others_is_not_taken_for_a_silent_one():
    machine, wires = Plain(), Wires()
    wires.node = UnreachableError("it hangs up")
    machine.put(ENV, 'SERVER_ADDITIONAL_ERL_ARGS="-proto_dist inet_tls"\n')
    machine.put(f"/proc/{scene(machine).unit.pid}/cmdline", "beam.smp\0-proto_dist\0inet_tls\0")
    (remark,) = found(machine, wires)
    assert (remark.check, remark.severity) == ("RMQ-080", Severity.INFO)
    assert remark.evidence[0].endswith("cmdline: -proto_dist inet_tls")


def test_an_epmd_that_listens_on_the_loopback_alone_is_named():
    machine, wires = Plain(), Wires()
    stopped(machine, wires)
    address = scene(machine).addresses[-1] if ":" not in scene(machine).addresses[-1] else "127.0.1.1"
    machine.say("getent ahosts broker", f"{address} STREAM broker\n")
    wires.opens = lambda host, port: "connection refused" if (host, port) == (address, 4369) else ""
    named = [each for each in found(machine, wires) if each.check == "RMQ-040"]
    assert [each.summary for each in named] == [f"epmd does not listen on {address}, to which the node's name leads"]
    machine.say("getent ahosts broker", "127.0.0.1 STREAM broker\n")
    assert "RMQ-040" not in [each.check for each in found(machine, wires)]


@pytest.mark.parametrize(
    ("owners", "severity"),
    [
        (("rabbitmq_management_agent", "rabbitmq_management_agent"), Severity.INFO),
        (("rabbitmq_management_agent", "rabbit"), Severity.WARNING),
    ],
)
def test_feature_flags_of_a_plugin_that_was_enabled_later_are_a_remark(owners, severity):
    wires = Wires()
    flags = ((Atom(f"flag_{n}"), Map(((Atom("provided_by"), Atom(owner)),))) for n, owner in enumerate(owners))
    wires.answers["rabbit_feature_flags:list"] = Map(tuple(flags))
    assert ids(found(Plain(), wires)) == [("RMQ-086", severity)]


def test_a_mirrored_queue_before_3_13_names_no_command_that_is_not_there():
    wires = Wires()
    policy = [
        (Atom("vhost"), b"/"),
        (Atom("name"), b"mirrors"),
        (Atom("definition"), [(b"ha-mode", b"all")]),
    ]
    wires.answers["rabbit_policy:list"] = [policy]
    (older,) = found(Plain(), wires)
    wires.answers["rabbit_deprecated_features:list"] = Map(())
    (newer,) = found(Plain(), wires)
    assert older.summary == newer.summary == "deprecated features are in use: classic_queue_mirroring"
    assert "list_deprecated_features" not in older.hint
    assert "rabbitmqctl list_deprecated_features --used" in newer.hint


def test_a_long_name_has_the_domain_that_the_resolver_gives():
    machine = Plain()
    machine.put("/proc/sys/kernel/hostname", "broker\n")
    machine.say("hostname -f", "broker.example.org\n")
    machine.put(ENV, "RABBITMQ_USE_LONGNAME=true\n")
    assert find_address(machine).name == "rabbit@broker.example.org"


def test_of_two_releases_the_higher_number_is_the_installed_one():
    machine = Plain()
    machine.folders["/usr/lib/rabbitmq/lib"] = ["rabbitmq_server-4.0.10", "rabbitmq_server-4.0.9"]
    assert scene(machine).version == "4.0.10"


@pytest.mark.parametrize("options", ["ssl_options", "management.ssl"])
@pytest.mark.parametrize(("verify", "checks"), [("verify_peer", []), ("verify_none", ["RMQ-173"])])
def test_a_listener_that_wants_a_certificate_is_not_greeted(options, verify, checks):
    machine, wires = Plain(), Wires()
    machine.put(CONF, f"{options}.verify = {verify}\n{options}.fail_if_no_peer_cert = true\n")
    wires.node = replace(wires.node, listeners=(NodeListener("amqp/ssl", "::", 5671),))
    wires.handshakes.update({5671: "no certificate"})
    assert [each.check for each in found(machine, wires) if each.check == "RMQ-173"] == checks
