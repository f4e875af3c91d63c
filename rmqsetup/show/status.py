"""The broker on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.show.layout import pairs, size, span

if TYPE_CHECKING:
    from rmqsetup.probes.node import NodeStatus
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.status import BrokerStatus


def screen(found: BrokerStatus, terminal: Terminal) -> str:
    """Return the status as text."""
    node = found.node
    rows: list[tuple[str, str]] = [("node", f"{found.name}  {_state(found, terminal)}")]
    if found.service:
        rows.append(("service", _service(found)))
    if node:
        rows += node_rows(node, terminal)
    return pairs(tuple(rows), terminal.width, indent="")


def error(found: BrokerStatus, *, verify: str = "rmqsetup verify") -> BrokerNotReadyError:
    """Return what is wrong with a broker that is not well; `verify` is what is typed to hear more."""
    node = found.node
    if node is None:
        return BrokerNotReadyError(found.problem, cause=found.cause, hint=found.hint or "rmqsetup doctor says why")
    if node.alarms:
        return BrokerNotReadyError(
            f"an alarm blocks publishers: {', '.join(node.alarms)}", hint=f"{verify} says why, and what helps"
        )
    return BrokerNotReadyError(f"the node is {node.state.value}", hint=f"{verify} waits for it, and says what keeps it")


def missing() -> BrokerNotReadyError:
    """Return what is wrong with a machine that has no broker."""
    return BrokerNotReadyError("there is no RabbitMQ on this machine", hint="rmqsetup install")


def node_rows(node: NodeStatus, terminal: Terminal) -> list[tuple[str, str]]:
    """Return what a node says of itself as names and values."""
    rows = [
        ("RabbitMQ", f"{node.version} on Erlang {node.erlang}"),
        ("uptime", span(node.uptime)),
        ("memory", _of(node.memory, node.memory_limit, "in use, limit")),
        ("disk", _of(node.disk_free, node.disk_free_limit, "free, limit")),
    ]
    if node.running:
        rows.append(("alarms", ", ".join(map(terminal.paint, node.alarms)) or "none"))
        down = "".join(f", {terminal.paint('down')}: {name}" for name in node.virtual_hosts_down)
        count = len(node.virtual_hosts)
        names = ", ".join(node.virtual_hosts[:5]) + (f" and {count - 5} more" if count > 5 else "")
        rows.append(("vhosts", f"{names}{down}"))
        rows.append(("listeners", "\n".join(map(str, node.listeners)) or "none"))
    return rows


def _state(found: BrokerStatus, terminal: Terminal) -> str:
    return terminal.paint(found.node.state.value if found.node else "not reached")


def _service(found: BrokerStatus) -> str:
    unit = found.service
    if unit is None:
        return ""
    starts = {"enabled": "starts at boot", "disabled": "does not start at boot"}.get(unit.enabled, unit.enabled)
    return ", ".join(filter(None, (unit.words, starts)))


def _of(number: int | None, limit: int | None, words: str) -> str:
    if number is None:
        return ""
    return f"{size(number)} {words} {size(limit)}" if limit is not None else f"{size(number)} {words.partition(',')[0]}"
