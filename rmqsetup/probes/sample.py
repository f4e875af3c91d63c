"""One look at a running broker in numbers, and what two of them say about what goes through it.

How a node is asked for them belongs to `inside` and `api`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import Enum

from rmqsetup.probes.node import NodeStatus

LONGEST = 30
"""How many queues are told of by name: as many as fit on a screen."""


class Scope(Enum):
    """What the numbers of messages, connections and queues' lengths are of; the count of queues is of the cluster."""

    NODE = "this node"
    CLUSTER = "the cluster"


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages by what became of them: since the node booted, or in a second."""

    published: float = 0
    confirmed: float = 0
    unroutable: float = 0
    delivered: float = 0
    redelivered: float = 0
    acknowledged: float = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue; None is not known. `kind` is classic, quorum, stream, or another word of the node's."""

    virtual_host: str
    name: str
    kind: str = ""
    ready: int | None = None
    unacknowledged: int | None = None
    consumers: int | None = None

    @property
    def messages(self) -> int:
        """All that are in it, as far as that is known."""
        return (self.ready or 0) + (self.unacknowledged or 0)


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster, and whether the broker runs on it."""

    name: str
    running: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What a broker said at a moment, `at` seconds of a clock that only goes forward; None is not known.

    `counted` are counters, `told` the rates of a node that makes them itself. `longest` are the longest of those
    `seen` queues whose length is known; `ready` and `unacknowledged` are of all of them.
    """

    at: float
    node: NodeStatus
    scope: Scope = Scope.NODE
    counted: Flow | None = None
    told: Flow | None = None
    queues: int | None = None
    seen: int | None = None
    ready: int | None = None
    unacknowledged: int | None = None
    longest: tuple[Queue, ...] = ()
    connections: int | None = None
    channels: int | None = None
    consumers: int | None = None
    members: tuple[Member, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the node runs and no alarm blocks its publishers."""
        return self.node.running and not self.node.alarms


def rates(before: Sample | None, after: Sample) -> Flow | None:
    """Return what went through a broker in a second, between two samples or as it says itself.

    None where that is not known: at the first sample, and at the first after a boot, when counters begin anew.
    """
    if after.told or before is None or before.counted is None or after.counted is None:
        return after.told
    seconds = after.at - before.at
    changes = [new - old for old, new in zip(astuple(before.counted), astuple(after.counted), strict=True)]
    if seconds <= 0 or min(changes) < 0:
        return None
    return Flow(*(change / seconds for change in changes))


def ranked(queues: tuple[Queue, ...]) -> tuple[Queue, ...]:
    """Return queues with the longest first, and of those with the same length the one that most consumers wait at."""
    order = sorted(queues, key=lambda one: (-one.messages, -(one.consumers or 0), one.virtual_host, one.name))
    return tuple(order[:LONGEST])
