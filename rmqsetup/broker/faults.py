"""Trouble for clients under test, made on purpose on a throwaway broker, and taken back.

Stopping, killing and freezing nodes belongs to `throwaway`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from rmqsetup.broker.known import Known
from rmqsetup.broker.throwaway import Broker
from rmqsetup.errors import UsageError
from rmqsetup.probes.terms import Atom, Term

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
    try:
        yield
    finally:
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
    names = [broker.nodes[number].member.name for number in (one, other)]
    for number, name in ((one, names[1]), (other, names[0])):
        with closing(broker.nodes[number].connect()) as node:
            node.call("erlang", "set_cookie", Atom(name), Atom(f"{_CUT}{number}"))
    with closing(broker.nodes[one].connect()) as node:
        node.call("erlang", "disconnect_node", Atom(names[1]))
    try:
        yield
    finally:
        cookie = Atom(broker.nodes[one].member.cookie)
        for number, name in ((one, names[1]), (other, names[0])):
            with closing(broker.nodes[number].connect()) as node:
                node.call("erlang", "set_cookie", Atom(name), cookie)
        with closing(broker.nodes[one].connect()) as node:
            node.call("net_kernel", "connect_node", Atom(names[1]))
