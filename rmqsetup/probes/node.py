"""Questions to a RabbitMQ node, and its answers with types.

How they travel belongs to `distribution`, with `commandline` as the way round it. The functions asked
are RabbitMQ's own, not an interface; tests pin them on 3.10, 4.0 and 4.3, and where one is missing
the command line is asked instead.
"""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rmqsetup.host import Host
from rmqsetup.probes.address import NodeAddress, peer
from rmqsetup.probes.distribution import CallError, Connection
from rmqsetup.probes.terms import TRUE, Atom, Term, TermError, text
from rmqsetup.probes.wire import LOOPBACK, GarbledError

ANY = ("::", "0.0.0.0")  # noqa: S104 - what nodes say, nothing we bind to


class NodeState(Enum):
    """How far a node has come."""

    RUNNING = "running"
    BOOTING = "booting"
    STOPPED = "stopped"


class Way(Enum):
    """How a node was asked."""

    DISTRIBUTION = "Erlang distribution"
    COMMAND_LINE = "rabbitmqctl"
    HTTP_API = "HTTP API"


@dataclass(frozen=True, slots=True)
class NodeListener:
    """A port a node listens on, with the protocol as the node names it (`amqp`, `http`, `clustering`)."""

    protocol: str
    ip: str
    port: int

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where to connect from the same machine, in order."""
        return (LOOPBACK, "::1") if self.ip in ANY else (self.ip,)

    @property
    def tls(self) -> bool:
        """Whether the conversation is under TLS."""
        return self.protocol.endswith("/ssl") or self.protocol == "https"

    @property
    def amqp(self) -> bool:
        """Whether AMQP 0-9-1 is spoken here."""
        return self.protocol in ("amqp", "amqp/ssl")

    def __str__(self) -> str:
        """Return the listener as `protocol ip:port`."""
        return f"{self.protocol} {f'[{self.ip}]' if ':' in self.ip else self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says about itself. Sizes are in bytes, `uptime` in seconds; None is not known.

    `alarms` are those of this node: `memory`, `disk`, or another word of the node's own. With the
    application stopped only the versions, the uptime and the memory in use are known.
    """

    name: str
    state: NodeState
    version: str = ""
    erlang: str = ""
    uptime: float | None = None
    listeners: tuple[NodeListener, ...] = ()
    alarms: tuple[str, ...] = ()
    virtual_hosts: tuple[str, ...] = ()
    virtual_hosts_down: tuple[str, ...] = ()
    memory: int | None = None
    memory_limit: int | None = None
    disk_free: int | None = None
    disk_free_limit: int | None = None
    way: Way = Way.DISTRIBUTION

    @property
    def running(self) -> bool:
        """Whether the broker has booted and runs."""
        return self.state is NodeState.RUNNING


class Node(Protocol):
    """Whatever functions of a node can be called on; `Connection` is one."""

    def call(self, module: str, function: str, *arguments: Term) -> Term:
        """Return what the function returns, or raise `CallError`."""


def node_status(host: Host, address: NodeAddress, *, timeout: float = 5.0) -> NodeStatus:
    """Ask the node of a host how it is: over the Erlang distribution, or, where that is not understood, `rabbitmqctl`.

    Raises `ProbeError` (`CookieMissingError`, `CookieError`, `UnknownNodeError`, `UnreachableError`) where
    asking another way would not help either.
    """
    try:
        with closing(Connection.open(peer(host, address), timeout=timeout)) as node:
            return ask(node, address.name)
    except (CallError, GarbledError):
        from rmqsetup.probes import commandline

        return commandline.node_status(host, address)


def ask(node: Node, name: str) -> NodeStatus:
    """Put every question of a status to a node. Raises `CallError`, `GarbledError`, `UnreachableError`."""
    try:
        return _running(node, name) if node.call("rabbit", "is_running") == TRUE else _stopped(node, name)
    except (TermError, ValueError, TypeError, IndexError) as error:
        raise GarbledError(f"{name} answers in a form that is not known", cause=str(error)) from error


def _stopped(node: Node, name: str) -> NodeStatus:
    booting = node.call("rabbit", "is_booting") == TRUE
    return NodeStatus(
        name,
        NodeState.BOOTING if booting else NodeState.STOPPED,
        version=_version(node),
        erlang=text(node.call("rabbit_misc", "otp_release")),
        uptime=_uptime(node),
        memory=_optional(node, "vm_memory_monitor", "get_process_memory"),
    )


def _running(node: Node, name: str) -> NodeStatus:
    virtual_hosts = tuple(text(item) for item in _items(node.call("rabbit_vhost", "list_names")))
    return NodeStatus(
        name,
        NodeState.RUNNING,
        version=_version(node),
        erlang=text(node.call("rabbit_misc", "otp_release")),
        uptime=_uptime(node),
        listeners=parse_listeners(node.call("rabbit_networking", "active_listeners"), name),
        alarms=parse_alarms(node.call("rabbit_alarm", "get_alarms"), name),
        virtual_hosts=tuple(sorted(virtual_hosts)),
        virtual_hosts_down=tuple(sorted(v for v in virtual_hosts if not _alive(node, v))),
        memory=_optional(node, "vm_memory_monitor", "get_process_memory"),
        memory_limit=_optional(node, "vm_memory_monitor", "get_memory_limit"),
        disk_free=_optional(node, "rabbit_disk_monitor", "get_disk_free"),
        disk_free_limit=_optional(node, "rabbit_disk_monitor", "get_disk_free_limit"),
    )


def parse_listeners(answer: Term, node: str) -> tuple[NodeListener, ...]:
    """Return the listeners of one node from `[{listener, Node, Protocol, Host, Ip, Port, Options}]`."""
    found = []
    for record in _items(answer):
        if not isinstance(record, tuple) or len(record) < 6:
            raise TermError("a listener without address")
        if text(record[1]) == node and isinstance(record[5], int):
            found.append(NodeListener(text(record[2]), parse_ip(record[4]), record[5]))
    return tuple(sorted(found, key=lambda one: (one.port, one.protocol, one.ip)))


def parse_ip(term: Term) -> str:
    """Return the address in a tuple of four or eight numbers."""
    parts = [part for part in term if isinstance(part, int)] if isinstance(term, tuple) else []
    try:
        if len(parts) == 4:
            return socket.inet_ntop(socket.AF_INET, bytes(parts))
        return socket.inet_ntop(socket.AF_INET6, struct.pack(">8H", *parts))
    except (ValueError, struct.error) as error:
        raise TermError("a listener without address") from error


def parse_alarms(answer: Term, node: str) -> tuple[str, ...]:
    """Return the alarms of one node from `[{{resource_limit, Resource, Node}, []} | {file_descriptor_limit, []}]`."""
    found = set()
    for alarm in _items(answer):
        what = alarm[0] if isinstance(alarm, tuple) and alarm else alarm
        if isinstance(what, tuple) and len(what) == 3:
            if text(what[2]) == node:
                found.add(text(what[1]))
        else:
            found.add(text(what))
    return tuple(sorted(found))


def _alive(node: Node, virtual_host: str) -> bool:
    return node.call("rabbit_vhost_sup_sup", "is_vhost_alive", virtual_host.encode()) == TRUE


def _version(node: Node) -> str:
    try:
        return text(node.call("rabbit_misc", "version"))
    except CallError as error:
        if error.undefined:
            raise
        return ""  # not loaded yet


def _uptime(node: Node) -> float | None:
    answer = node.call("erlang", "statistics", Atom("wall_clock"))
    total = answer[0] if isinstance(answer, tuple) and answer else None
    return total / 1000 if isinstance(total, int) else None


def _optional(node: Node, module: str, function: str) -> int | None:
    """Return a number that is nice to know; its process may be down, its platform may not tell."""
    try:
        answer = node.call(module, function)
    except CallError:
        return None
    return answer if isinstance(answer, int) else None


def _items(answer: Term) -> list[Term]:
    if isinstance(answer, list):
        return answer
    raise TermError("something else than a list")
