"""What the node is about to run out of, before it does: files, processes, atoms, connections, memory, disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.terms import Atom, Term, text

NEAR = 0.8
"""The share of a limit from which on it is near: at which the rules for Prometheus of RabbitMQ's own cluster operator
warn of files and sockets (FileDescriptorsNearLimit, TCPSocketsNearLimit)."""

SMALL = 10
"""Limits below this are near with every other thing that is allowed; only reaching one of them tells anything."""

RESERVE = 200_000_000
"""Bytes above the limit of free disk space that a busy broker writes in a second or two."""

FEW = 10
"""Files fewer than these are opened and closed all the time: with no more left, none is left."""

MOST = 200
"""How many limits of virtual hosts and users are compared with what there is: each costs a question."""

SIZES = (
    ("processes", "process_count", "process_limit", "RABBITMQ_MAX_NUMBER_OF_PROCESSES"),
    ("ports (files and sockets)", "port_count", "port_limit", "ERL_MAX_PORTS"),
    ("atoms", "atom_count", "atom_limit", "RABBITMQ_MAX_NUMBER_OF_ATOMS"),
)
"""What Erlang has a fixed number of, and what raises it. A table more than its limit of tables is no error."""


@dataclass(frozen=True, slots=True)
class Level:
    """So many of so many."""

    what: str
    used: int
    limit: int

    @property
    def reached(self) -> bool:
        """Whether there can be no more."""
        return self.used >= self.limit

    @property
    def near(self) -> bool:
        """Whether the limit is reached, or is going to be."""
        return self.reached or (self.limit >= SMALL and self.used >= NEAR * self.limit)

    def __str__(self) -> str:
        """Return what is used of the limit."""
        return f"{self.what}: {self.used:,} of {self.limit:,}"


def files(scene: Scene) -> Iterator[Diagnosis]:
    """The node has files and sockets left to open: each connection takes one, and without one none is taken.

    It speaks from four fifths of the limit on.
    """
    pid = _pid(scene)
    rows = [line.split() for line in scene.text(f"/proc/{pid}/limits").splitlines()] if pid else []
    limit = next((row[3] for row in rows if row[:3] == ["Max", "open", "files"]), "")
    used = len(scene.names(f"/proc/{pid}/fd")) if limit.isdigit() else 0
    level = Level("open files and sockets", used, int(limit)) if limit.isdigit() else None
    if level and used and level.near:
        none_left = level.limit - used < FEW
        yield (error if none_left else warning)(
            "RMQ-108",
            f"the node has opened {used:,} of the {level.limit:,} files and sockets that it may",
            evidence=(f"/proc/{pid}/fd: {used:,}", f"/proc/{pid}/limits: Max open files {level.limit:,}"),
            cause="each connection takes one; where none is left, no connection is taken",
            hint="see who opens so many (rabbitmqctl list_connections peer_host user), or raise LimitNOFILE: "
            "systemctl edit rabbitmq-server",
            links=(f"{DOCS}/networking#open-file-handle-limit",),
        )


def machine(scene: Scene) -> Iterator[Diagnosis]:
    """The Erlang machine has processes, ports and atoms left; without it ends, and the broker with it.

    It speaks from four fifths of a limit on.
    """
    for what, used, limit, variable in SIZES if scene.runs else ():
        pair = (scene.ask("erlang", "system_info", Atom(name)) for name in (used, limit))
        level = _level(f"Erlang's {what}", *pair)
        if level and level.near:
            yield warning(
                "RMQ-109",
                f"the node has used {level.used:,} of {level.limit:,} {what}",
                evidence=(f"erlang:system_info({used}) says {level.used:,}, {limit} is {level.limit:,}",),
                hint=f"see what makes so many of them (connections, channels, queues), or raise {variable}",
                links=(f"{DOCS}/runtime",),
            )


def allowed(scene: Scene) -> Iterator[Diagnosis]:
    """No limit of connections, channels or queues that somebody set is reached, or soon to be.

    Soon is from four fifths on, of limits that are not tiny. Limits are those of virtual hosts and users, and
    `connection_max`, `channel_max_per_node`, `vhost_max` and `cluster_queue_limit` of the node.
    """
    full = [level for level in _levels(scene) if level.near] if scene.runs else []
    if full:
        reached = [level for level in full if level.reached]
        told = f"a limit is reached: {reached[0]}" if reached else f"a limit is near: {full[0]}"
        yield warning(
            "RMQ-110",
            told,
            evidence=tuple(map(str, (reached + [level for level in full if not level.reached])[:4])),
            cause="more is refused" if reached else "once it is reached, more is refused",
            hint="rabbitmqctl list_vhost_limits, list_user_limits and environment show the limits; raise this one, "
            "or see who needs so many",
            links=(f"{DOCS}/vhosts#limits", f"{DOCS}/connections#limiting-user-connections"),
        )


def memory(scene: Scene) -> Iterator[Diagnosis]:
    """The node is not about to reach the memory at which it blocks publishers.

    It speaks from four fifths of that on; where it is reached the alarm does.
    """
    status = scene.node
    if status is None or "memory" in status.alarms:
        return
    level = _level("memory", status.memory, status.memory_limit)
    if level and level.near and not level.reached:
        yield warning(
            "RMQ-111",
            f"the node uses {level.used * 100 // level.limit} % of the memory from which on it blocks publishers",
            evidence=(f"{status.name}: {level.used:,} bytes in use, the limit is {level.limit:,}",),
            hint="rabbitmq-diagnostics memory_breakdown shows what takes it; let consumers catch up, or give it more",
            links=(f"{DOCS}/memory-use",),
        )


def disk(scene: Scene) -> Iterator[Diagnosis]:
    """The disk is not about to reach the free space below which the node blocks publishers.

    It speaks from a quarter, or 200 MB, above the limit: a busy broker writes as much in a second or two.
    """
    status = scene.node
    if status is None or "disk" in status.alarms or None in (status.disk_free, status.disk_free_limit):
        return
    free, limit = status.disk_free or 0, status.disk_free_limit or 0
    if free < limit + max(RESERVE, int(limit * (1 / NEAR - 1))):
        yield warning(
            "RMQ-112",
            f"{free // 10**6:,} MB are free where the data are, and below {limit // 10**6:,} publishers are blocked",
            evidence=(f"{status.name}: {free:,} bytes free, the limit is {limit:,}",),
            hint=f"make room below {scene.layout.data}, or give it a larger disk",
            links=(f"{DOCS}/disk-alarms",),
        )


def promised(scene: Scene) -> Iterator[Diagnosis]:
    """The node does not believe in more memory than it may use.

    It blocks publishers at a share of the machine's memory. Where a container or its unit allows it less than that,
    the kernel kills it before it ever comes to block anybody.
    """
    status = scene.node
    told = [(int(value), where) for value, where in _ceilings(scene) if value.isdigit()]
    if status is None or not status.memory_limit or not told:
        return
    ceiling, where = min(told)
    if status.memory_limit >= ceiling:
        yield warning(
            "RMQ-113",
            f"the node would use {status.memory_limit // 10**6:,} MB before it blocks publishers, and is killed at "
            f"{ceiling // 10**6:,}",
            evidence=(where, f"{status.name}: vm_memory_monitor:get_memory_limit() says {status.memory_limit:,}"),
            cause="vm_memory_high_watermark is a share of the machine's memory, and not of what the node is allowed",
            hint=f"set vm_memory_high_watermark.absolute = {max(1, ceiling * 6 // 10 // 10**6)}MB in rabbitmq.conf",
            links=(f"{DOCS}/memory#relative-watermark",),
        )


def _ceilings(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield how much memory the node may use, and who says so."""
    unit = scene.unit_property("MemoryMax") if scene.unit else ""
    yield unit, f"MemoryMax of {scene.layout.service} is {unit}"
    total = re.search(r"^MemTotal: +(\d+) kB", scene.text("/proc/meminfo"), re.MULTILINE)
    yield str(int(total[1]) * 1024) if total else "", total[0] if total else ""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        value = scene.text(path).strip()
        yield value, f"{path}: {value}"


def _pid(scene: Scene) -> str:
    """Return the process of the node, by its service: one that has no socket left cannot be asked."""
    if scene.unit is not None:
        return str(scene.unit.pid) if scene.unit.pid else ""
    answer = scene.ask("os", "getpid")
    return text(answer) if isinstance(answer, list) else ""


def _level(what: str, used: Term | None, limit: Term | None) -> Level | None:
    return Level(what, used, limit) if isinstance(used, int) and isinstance(limit, int) and limit >= 0 else None


def _levels(scene: Scene) -> Iterator[Level]:
    """Yield every limit that somebody has set, with how much of it is used."""
    own = (
        ("connections to this node (connection_max)", "connection_max", "rabbit_networking", "local_connections"),
        ("channels on this node (channel_max_per_node)", "channel_max_per_node", "rabbit_channel", "list_local"),
        ("virtual hosts (vhost_max)", "vhost_max", "rabbit_vhost", "list_names"),
    )
    for what, name, module, function in own:
        limit = scene.environment_of(name)
        there = scene.ask(module, function) if isinstance(limit, int) and limit else None
        if isinstance(there, list) and (level := _level(what, len(there), limit)):
            yield level
    queues = scene.environment_of("cluster_queue_limit")
    if isinstance(queues, int) and (level := _level("queues (cluster_queue_limit)", _queues(scene), queues)):
        yield level
    yield from _of_virtual_hosts(scene)
    yield from _of_users(scene)


def _of_virtual_hosts(scene: Scene) -> Iterator[Level]:
    for name, limits in _pairs(scene.ask("rabbit_vhost_limit", "list"))[:MOST]:
        for limit, number in _pairs(limits):
            kind = text(limit) if isinstance(limit, (bytes, Atom)) else ""
            used = _queues(scene, name) if kind == "max-queues" else None
            used = _connections(scene, "in", (Atom("vhost"), name)) if kind == "max-connections" else used
            label = f"{kind.removeprefix('max-')} in virtual host {text(name)}" if isinstance(name, bytes) else kind
            if level := _level(label, used, number):
                yield level


def _of_users(scene: Scene) -> Iterator[Level]:
    for name, limits in _pairs(scene.ask("rabbit_auth_backend_internal", "get_user_limits"))[:MOST]:
        for limit, number in limits.pairs if hasattr(limits, "pairs") else ():
            kind = text(limit)
            module = "rabbit_channel_tracking" if kind == "max-channels" else "rabbit_connection_tracking"
            used = scene.ask(module, "count_tracked_items_in", (Atom("user"), name))
            if level := _level(f"{kind.removeprefix('max-')} of user {text(name)}", used, number):
                yield level


def _connections(scene: Scene, where: str, what: Term) -> Term | None:
    return scene.ask("rabbit_connection_tracking", f"count_tracked_items_{where}", what)


def _queues(scene: Scene, *virtual_host: Term) -> Term | None:
    return scene.ask("rabbit_amqqueue", "count", *virtual_host)


def _pairs(answer: Term | None) -> list[tuple[Term, Term]]:
    items = answer if isinstance(answer, list) else []
    return [(item[0], item[1]) for item in items if isinstance(item, tuple) and len(item) == 2]


CHECKS = (
    Check("RMQ-108", "The node has files and sockets left", files, explains=DOWN),
    Check("RMQ-109", "The Erlang machine has room left", machine),
    Check("RMQ-110", "No limit that somebody set is reached", allowed),
    Check("RMQ-111", "The memory is not about to run out", memory),
    Check("RMQ-112", "The disk is not about to run full", disk),
    Check("RMQ-113", "The node knows how much memory it may use", promised),
)
