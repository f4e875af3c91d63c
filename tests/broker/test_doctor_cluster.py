"""The doctor on real clusters: silent about healthy ones, and plain about members that are down, apart or paused."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager

import pika

from rmqsetup.checks.scene import Scene, Sockets
from rmqsetup.doctor import chosen, examine
from rmqsetup.finding import Severity
from rmqsetup.hosts.local import LocalHost
from rmqsetup.probes.address import NodeAddress
from rmqsetup.probes.node import ask
from rmqsetup.probes.terms import Atom
from rmqsetup.testing import broker, faults

ASKED = chosen("node,cluster,limits,users")


class Wires(Sockets):
    """What is asked of one node of a throwaway broker, of which no epmd has to know; of others as ever."""

    def __init__(self, node):
        self.node = node

    def status(self, host, address):
        if address.name != self.node.member.name:
            return super().status(host, address)
        with closing(self.node.connect()) as opened:
            return ask(opened, address.name)

    def call(self, host, address, question):  # noqa: ARG002
        with closing(self.node.connect()) as opened:
            return opened.call(question.module, question.function, *question.arguments)


def illnesses(made, number=0):
    """Ask the checks of running nodes about one of a throwaway broker's."""
    member = made.nodes[number].member
    scene = Scene(LocalHost(), sockets=Wires(made.nodes[number]))
    where = NodeAddress(member.name, cookie=str(member.home / ".erlang.cookie"), epmd_port=member.epmd)
    for look, seen in (("address", where), ("installed", made.version), ("unit", None)):
        scene.remembered(look, lambda seen=seen: seen)
    found = examine(scene, ASKED)
    assert not [each for each in found.findings if each.severity is Severity.CRASH]
    return found.illnesses


def findings(made, number=0):
    """Return the ids of what is found, each with those that are folded under it."""
    return {ill.cause.check: {each.check for each in ill.consequences} for ill in illnesses(made, number)}


def becomes(made, wanted, number=0, seconds=30):
    """Wait until the doctor says so: a cluster takes its time to notice."""
    until = time.monotonic() + seconds
    while (found := findings(made, number)) != wanted and time.monotonic() < until:
        time.sleep(0.3)
    assert found == wanted


def declared(made, *names):
    with closing(pika.BlockingConnection(pika.URLParameters(made.url))) as connection:
        for name in names:
            connection.channel().queue_declare(name, durable=True, arguments={"x-queue-type": name})


@contextmanager
def alone(made):
    """Cut the first node off from both others."""
    with faults.cut(made, 0, 1), faults.cut(made, 0, 2):
        yield


def another_cookie(made, number):
    """Give a node that runs another cookie, as one has that was installed anew, and let the others lose it."""
    stranger = Atom(made.nodes[number].member.name)
    with closing(made.nodes[number].connect()) as node:
        node.call("erlang", "set_cookie", stranger, Atom("ANOTHER"))
    for other in (each for each in made.nodes if each.member.name != stranger.name):
        with closing(other.connect()) as node:
            node.call("erlang", "disconnect_node", stranger)


def mirrored(made):
    """Hold the doctor to what nodes before 3.13 do not say themselves: that a deprecated feature is in use."""
    policy = (b"/", b"mirrors", b"^mirrored", [(b"ha-mode", b"all")], 0, b"queues", b"tester")
    assert made.call("rabbit_policy", "set", *policy) == Atom("ok")
    assert "RMQ-087" in findings(made)
    made.call("rabbit_policy", "delete", b"/", b"mirrors", b"tester")


def test_a_healthy_cluster_and_its_partitions():
    with broker(nodes=3, config={"cluster_partition_handling": "pause_minority"}) as made:
        declared(made, "quorum", "stream", "classic")
        for number in range(3):
            becomes(made, {}, number)
        if int(made.version.split(".")[0]) < 4:
            mirrored(made)
        with faults.alarm(made):
            becomes(made, {"RMQ-081": set()})
            becomes(made, {"RMQ-128": set()}, 1)
        with alone(made):
            becomes(made, {"RMQ-101": {"RMQ-080"}})
        for number in range(3):
            becomes(made, {}, number)
        for each in made.nodes:
            with closing(each.connect()) as node:
                node.call("application", "set_env", Atom("rabbit"), Atom("cluster_partition_handling"), Atom("ignore"))
        with alone(made):
            becomes(made, {"RMQ-088": {"RMQ-089", "RMQ-102"}})
        assert "RMQ-088" in findings(made), "it stays so until somebody decides"


def test_members_that_are_down():
    with broker(nodes=3, config={"cluster_partition_handling": "ignore"}) as made:
        declared(made, "quorum")
        made.kill_node(2)
        becomes(made, {"RMQ-089": {"RMQ-090"}})
        assert "does not run: the machine answers" in illnesses(made)[0].cause.cause
        made.kill_node(1)
        becomes(made, {"RMQ-089": {"RMQ-102"}})


def test_a_cluster_of_two_and_a_stranger_in_it():
    with broker(nodes=2) as made:
        declared(made, "quorum")
        becomes(made, {"RMQ-090": set()})
        another_cookie(made, 1)
        becomes(made, {"RMQ-089": {"RMQ-102"}})
        assert "has another Erlang cookie" in illnesses(made)[0].cause.cause


def test_a_quorum_queue_whose_process_ended():
    with broker() as made:
        declared(made, "quorum")
        assert findings(made) == {}
        made.call("ra", "stop_server", Atom("quorum_queues"), (Atom("%2F_quorum"), Atom(made.lease.node)))
        assert findings(made) == {"RMQ-126": set()}
