"""Trouble for clients under test, made on purpose on a throwaway broker, and taken back.

Stopping, killing and freezing nodes belongs to `throwaway`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from rmqsetup.broker.known import Known
from rmqsetup.broker.throwaway import Broker
from rmqsetup.errors import UsageError
from rmqsetup.probes.terms import Atom, Term
from rmqsetup.probes.wire import ClosedError, UnreachableError

ALARMS = ("memory", "disk")

_CUT = "cut-off-from-"
"""What begins a cookie that the other node does not have: each expects another one, so they refuse each other."""


@contextmanager
def alarm(broker: Known, resource: str = "memory") -> Iterator[None]:
    """Have an alarm block every publisher, as when `memory` or `disk` runs out, until the end of the `with`."""
    if resource not in ALARMS:
        raise UsageError(f"{resource!r} is no alarm", hint=f"one of {', '.join(ALARMS)}")
    what = (Atom("resource_limit"), Atom(resource), Atom(broker.lease.node))
    broker.call("rabbit_alarm", "set_alarm", (what, []))
    broker.call("rabbit_alarm", "get_local_alarms")  # answered behind it: every connection has been told by then
    try:
        yield
    finally:
        with suppress(UnreachableError, ClosedError):  # a node that is gone has no alarm
            broker.call("rabbit_alarm", "clear_alarm", what)


def close_connections(broker: Known, reason: str = "closed by a test") -> int:
    """Close every client's connection, as an administrator does, and return how many there were."""
    found = broker.call("rabbit_networking", "connections")
    pids: list[Term] = found if isinstance(found, list) else []
    for pid in pids:
        broker.call("rabbit_networking", "close_connection", pid, reason.encode())
    return len(pids)


@contextmanager
def cut(broker: Broker, one: int = 0, other: int = 1) -> Iterator[None]:
    """Cut the link between two nodes of a cluster until the end of the `with`; clients still reach both.

    Each node expects another cookie of the other, and hangs up: neither comes back before that is undone.
    """
    nodes = (broker.node(one), broker.node(other))
    names = [node.member.name for node in nodes]
    for node, name in zip(nodes, reversed(names), strict=True):
        with closing(node.connect()) as told:
            told.call("erlang", "set_cookie", Atom(name), Atom(f"{_CUT}{node.member.name}"))
    with closing(nodes[0].connect()) as told:
        told.call("erlang", "disconnect_node", Atom(names[1]))
    try:
        yield
    finally:
        for node, name in zip(nodes, reversed(names), strict=True):
            if node.runs:  # one that is gone has forgotten it
                with closing(node.connect()) as told:
                    told.call("erlang", "set_cookie", Atom(name), Atom(node.member.cookie))
        if nodes[0].runs and nodes[1].runs:
            with closing(nodes[0].connect()) as told:
                told.call("net_kernel", "connect_node", Atom(names[1]))
