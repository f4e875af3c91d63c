"""A network of its own for a machine: a namespace, a pair of virtual cables, 10.77.N.0/24.

What is served on it belongs to `mirror`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.system import LabError, call, try_lock

NUMBERS = range(100, 200)


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of one machine. `lock` is held as long as the network is in use."""

    number: int
    lock: int

    @property
    def name(self) -> str:
        """The name of the namespace, and of the machine in it."""
        return f"t-{self.number}"

    @property
    def cable(self) -> str:
        """The end of the cable on this side."""
        return f"vt-{self.number}"

    @property
    def address(self) -> str:
        """The machine's own address."""
        return f"10.77.{self.number}.2"

    @property
    def gateway(self) -> str:
        """This side's first address, where the first mirror is served."""
        return f"10.77.{self.number}.1"

    @property
    def second(self) -> str:
        """This side's second address, for the other mirror."""
        return f"10.77.{self.number}.254"

    def up(self, *, isolated: bool) -> None:
        """Make it; an isolated one reaches this side of the cable and nothing else."""
        call("ip", "netns", "add", self.name)
        call("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        for address in (self.gateway, self.second):
            call("ip", "address", "add", f"{address}/24", "dev", self.cable)
        call("ip", "link", "set", self.cable, "up")
        call("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        call("ip", "-n", self.name, "link", "set", "eth0", "up")
        call("ip", "-n", self.name, "link", "set", "lo", "up")
        if not isolated:
            call("ip", "-n", self.name, "route", "add", "default", "via", self.gateway)
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            call("nft", "-f", "-", input=self._translation().encode())

    def down(self) -> None:
        """Remove it, as much of it as there is."""
        call("nft", "delete", "table", "ip", self._table, check=False)
        call("ip", "netns", "delete", self.name, check=False)
        call("ip", "link", "delete", self.cable, check=False)

    def free(self) -> None:
        """Let others have the number."""
        os.close(self.lock)

    @property
    def _table(self) -> str:
        return f"rmqsetup_lab_{self.number}"

    def _translation(self) -> str:
        rule = f'ip saddr 10.77.{self.number}.0/24 oifname != "{self.cable}" masquerade'
        chain = f"type nat hook postrouting priority srcnat; policy accept; {rule};"
        return f"table ip {self._table} {{\n chain out {{\n {chain}\n }}\n}}\n"


def claim(number: int, locks: Path) -> Network | None:
    """Take a number if no living session has it."""
    lock = try_lock(locks / f"{number}.lock")
    return None if lock is None else Network(number, lock)


def pick(locks: Path) -> Network:
    """Take the first free number."""
    taken = call("ip", "-o", "-4", "address")
    for number in NUMBERS:
        if f"10.77.{number}." not in taken and (network := claim(number, locks)):
            return network
    raise LabError("no free network between 10.77.100.0 and 10.77.199.0")
