"""A throwaway broker as whoever started it has it: with its nodes, and its end.

Putting it together belongs to `start`; what others know of it to `known`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmqsetup.broker.known import Known
from rmqsetup.broker.node import Helper, Running
from rmqsetup.broker.place import Lease, Place
from rmqsetup.broker.ports import Reserved
from rmqsetup.broker.wish import Wish
from rmqsetup.errors import UsageError
from rmqsetup.probes import carrier
from rmqsetup.probes.amqp import Account, Endpoint
from rmqsetup.probes.wire import LOOPBACK, Deadline


class Broker(Known):
    """A broker that is up; `stop` ends it. Use it in a `with`, or let it end with this process.

    `notes` are sentences about how it was started that its user should hear.
    """

    def __init__(
        self, lease: Lease, place: Place, *, wish: Wish, nodes: tuple[Running, ...], reserved: Reserved
    ) -> None:
        super().__init__(lease, place.folder)
        self.wish = wish
        self.nodes = nodes
        self.notes: tuple[str, ...] = ()
        self.helpers: tuple[Helper, ...] = ()
        self._place = place
        self._reserved = reserved

    def __enter__(self) -> Broker:  # noqa: PYI034 - Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def carry(self, timeout: float = 15.0) -> float:
        """Carry a message through every node, and return the seconds it took. Raises `ProbeError`."""
        account = Account(self.username, self.password, self.vhost)
        ports = (node.member.listening.amqp for node in self.nodes)
        return sum(carrier.carry(Endpoint((LOOPBACK,), port), account, timeout=timeout) for port in ports)

    def dead(self) -> tuple[Running, ...]:
        """Return the nodes whose process has ended."""
        return tuple(node for node in self.nodes if node.exit_code is not None)

    def stop(self) -> Path | None:
        """End every process and remove every file; return the folder where it was to be kept. Can be said twice."""
        kept = self._place.end()
        for node in self.nodes:
            node.kill()
        for helper in self.helpers:
            helper.kill()
        self._reserved.release()
        return kept

    def leave(self) -> None:
        """Let it stay when this process ends, until `rmqsetup stop`."""
        self._place.hand_over()

    def restart(self, node: int = 0) -> None:
        """Stop a node in order and start it again: on the same ports, with its data."""
        self.stop_node(node)
        self.start_node(node)

    def stop_node(self, node: int = 0, *, timeout: float = 30.0) -> None:
        """Stop a node in order: what is durable is on disk. Raises `subprocess.TimeoutExpired`."""
        self.node(node).end(timeout)

    def kill_node(self, node: int = 0) -> None:
        """Kill a node, as a machine does that loses power."""
        self.node(node).kill()

    def start_node(self, node: int = 0, *, timeout: float = 60.0) -> None:
        """Start a node again that was stopped or killed, and wait until it carries messages."""
        started = self.node(node)
        if started.runs:
            raise UsageError(f"node {node} runs already", hint="stop_node, kill_node or restart comes first")
        started.start()
        started.wait(Deadline.after(timeout))
        account = Account(self.username, self.password, self.vhost)
        carrier.carry(Endpoint((LOOPBACK,), started.member.listening.amqp), account)

    @contextmanager
    def paused(self, node: int = 0) -> Iterator[None]:
        """Freeze a node: its connections stay, and nothing answers."""
        frozen = self.node(node)
        frozen.kill(signal.SIGSTOP, wait=False)
        try:
            yield
        finally:
            frozen.kill(signal.SIGCONT, wait=False)

    def node(self, number: int) -> Running:
        """Return one of its nodes, the first of which is 0. Raises `UsageError`."""
        if not 0 <= number < len(self.nodes):
            raise UsageError(f"there is no node {number}", cause=f"this broker has {len(self.nodes)}, from 0 on")
        return self.nodes[number]
