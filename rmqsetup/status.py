"""How the broker of a host is right now, for one screen, at the price of a few sockets.

Whether it does its work is `verify`'s question; how it is shown belongs to `show`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqsetup.host import Host
from rmqsetup.probes.address import NodeAddress
from rmqsetup.probes.node import NodeStatus, node_status
from rmqsetup.probes.unit import UnitState, unit_state
from rmqsetup.probes.wire import ProbeError


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """A broker: what systemd says of its service, what the node says of itself.

    `service` is None where nothing looks after services; `node` where the node does not answer, and
    `problem`, `cause` and `hint` tell why.
    """

    name: str
    service: UnitState | None = None
    node: NodeStatus | None = None
    problem: str = ""
    cause: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the node runs and no alarm blocks its publishers."""
        return self.node is not None and self.node.running and not self.node.alarms


def service_manager(host: Host) -> str:
    """Return what looks after services on a host, `systemd` or `none`, at the price of one look at a folder."""
    return "systemd" if "system" in host.names("/run/systemd") else "none"


def status(host: Host, address: NodeAddress, *, service_manager: str) -> BrokerStatus:
    """Ask a broker how it is. Never raises because of the broker: what does not answer is in the result."""
    service = unit_state(host) if service_manager == "systemd" else None
    try:
        return BrokerStatus(address.name, service, node_status(host, address, timeout=3.0))
    except ProbeError as error:
        return BrokerStatus(address.name, service, None, error.message, error.cause, error.hint)
