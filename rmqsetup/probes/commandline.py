"""Ask a node through `rabbitmqctl`: half a second of CPU per question, so only where sockets are not understood.

What is asked over sockets belongs to `node`.
"""

from __future__ import annotations

import json
from typing import Any

from rmqsetup.host import Command, Host
from rmqsetup.probes.address import CookieMissingError, NodeAddress
from rmqsetup.probes.node import NodeListener, NodeState, NodeStatus, Way
from rmqsetup.probes.wire import GarbledError, ProbeError

DEADLINE = 30.0
"""Seconds a call may take: with the name of the node or epmd at fault it hangs far longer than it says."""


def node_status(host: Host, address: NodeAddress) -> NodeStatus:
    """Return what `rabbitmqctl status` says; it does not look at virtual hosts.

    Asked once, and never before the cookie exists: run as root it would make one that root owns, with
    which the node cannot start. Raises `CookieMissingError`, `GarbledError`, `ProbeError`.
    """
    if host.read(address.cookie) is None:
        raise CookieMissingError("the node has no Erlang cookie yet", cause=f"{address.cookie} does not exist")
    name = ("-n", address.name) + (("--longnames",) if "." in address.name.partition("@")[2] else ())
    argv = (address.layout.program("rabbitmqctl"), *name, "-q", "status", "--formatter", "json")
    result = host.run(Command(argv, env=address.variables, timeout=DEADLINE))
    if result.ok:
        return parse_status(result.stdout, address.name)
    if "requires the 'rabbit' app to be running" in result.stderr:
        return NodeStatus(address.name, NodeState.STOPPED, way=Way.COMMAND_LINE)
    raise ProbeError("rabbitmqctl cannot tell how the node is", cause=result.tail(), looked_at=(str(result.command),))


def parse_status(answer: str, node: str) -> NodeStatus:
    """Read the JSON of `rabbitmqctl status`. Raises `GarbledError` for anything else."""
    try:
        data = json.loads(answer[answer.index("{") :])
        return _status(data, node)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GarbledError("the answer of rabbitmqctl cannot be read", cause=f"{error}") from error


def _status(data: dict[str, Any], node: str) -> NodeStatus:
    erlang = str(data.get("erlang_version", ""))
    release = erlang.partition("Erlang/OTP ")[2].partition(" ")[0]
    memory = data.get("memory")
    return NodeStatus(
        node,
        NodeState.RUNNING,
        version=str(data["rabbitmq_version"]),
        erlang=release or erlang,
        uptime=float(data["uptime"]) if "uptime" in data else None,
        listeners=tuple(_listener(one) for one in data["listeners"]),
        alarms=tuple(sorted({_alarm(one) for one in data["alarms"]})),
        memory=_number(memory.get("total") if isinstance(memory, dict) else None),
        memory_limit=_number(data.get("vm_memory_high_watermark_limit")),
        disk_free=_number(data.get("disk_free")),
        disk_free_limit=_number(data.get("disk_free_limit")),
        way=Way.COMMAND_LINE,
    )


def _listener(entry: dict[str, Any]) -> NodeListener:
    return NodeListener(str(entry["protocol"]), str(entry["interface"]).strip("[]"), int(entry["port"]))


def _alarm(entry: object) -> str:
    return str(entry.get("resource") or entry.get("type") or entry) if isinstance(entry, dict) else str(entry)


def _number(value: object) -> int | None:
    if isinstance(value, dict):  # memory comes by three ways of counting it
        value = value.get("rss") or value.get("allocated")
    return int(value) if isinstance(value, int | float) else None
