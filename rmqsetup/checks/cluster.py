"""The cluster that the node is a member of: who is up, who went apart, whose majority hangs by a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rmqsetup.checks import DOCS, DOWN, MEMBERS_DOWN, NO_MAJORITY, PARTITIONED, Check, Diagnosis, error, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes import epmd
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.node import NodeStatus
from rmqsetup.probes.terms import Atom, Map, Opaque, Term, text
from rmqsetup.probes.wire import ProbeError

LOOKED_AT = 2
"""How many members that are down are looked at from here: each may take seconds not to answer."""

KINDS = ("quorum", "stream")


@dataclass(frozen=True, slots=True)
class Replicated:
    """A queue with a majority to keep: its name, and the members that it has and those that are up."""

    name: str
    members: tuple[str, ...]
    up: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Whether too few of its members are up."""
        return len(self.up) < len(self.members) // 2 + 1

    def __str__(self) -> str:
        """Return the queue with who is up."""
        behind = ", not all of them in step" if len(self.up) > len(self.members) // 2 + 1 else ""
        return f"{self.name}: {len(self.up)} of {len(self.members)} members up{behind} ({', '.join(self.up) or 'none'})"


def paused(scene: Scene) -> Iterator[Diagnosis]:
    """The node has not paused itself for want of a majority.

    With `cluster_partition_handling = pause_minority` a node that sees less than half of its cluster stops RabbitMQ
    in itself, and starts it again when the others are back. The service is active all the while.
    """
    node = scene.node
    if node is None or node.running:
        return
    if isinstance(scene.ask("erlang", "whereis", Atom("rabbit_outside_app_process")), Opaque):
        yield error(
            "RMQ-101",
            "the node has paused itself: it does not see a majority of its cluster",
            evidence=(f"{node.name}: rabbit_outside_app_process waits for the others, RabbitMQ is stopped",),
            cause="cluster_partition_handling is pause_minority, and the other members cannot be reached from here",
            hint="bring the other members or the network between back; the node then goes on by itself",
            links=(f"{DOCS}/partitions",),
        )


def partitions(scene: Scene) -> Iterator[Diagnosis]:
    """No part of the cluster went its own way.

    Up to RabbitMQ 4.2 a node that keeps its metadata in Mnesia says so itself. With Khepri it does not: there, a member
    that runs, and that this node does not see, is on the other side.
    """
    if not scene.runs:
        return
    told = _nodes(scene.ask("rabbit_node_monitor", "partitions"))
    seen = () if told else tuple(name for name in _down(scene)[:LOOKED_AT] if _runs_apart(scene, name))
    apart = told or seen
    if apart:
        handling = scene.environment_of("cluster_partition_handling")
        says = f"rabbit_node_monitor:partitions() says {', '.join(told)}"
        shown = says if told else f"running, and not among the members that this node sees running: {', '.join(seen)}"
        strategy = f"cluster_partition_handling is {handling.name}" if isinstance(handling, Atom) else ""
        yield error(
            PARTITIONED,
            f"the cluster is partitioned: {', '.join(apart)} went another way",
            evidence=tuple(filter(None, (shown, strategy))),
            cause="the nodes lost sight of each other, and each side went on for itself",
            hint="mend the network, decide which side is right, restart the nodes of the other, and then its own",
            links=(f"{DOCS}/partitions",),
        )


def members(scene: Scene) -> Iterator[Diagnosis]:
    """Every member of the cluster runs."""
    down = _down(scene) if scene.runs else ()
    if not down:
        return
    all_of_them = _members(scene)
    many = 2 * len(down) >= len(all_of_them)
    reasons = tuple(filter(None, (_why(scene, name) for name in down[:LOOKED_AT])))
    yield error(
        MEMBERS_DOWN,
        f"{'most ' if many and len(down) > 1 else ''}members of the cluster are down: {', '.join(down)}",
        evidence=(f"members: {', '.join(all_of_them)}; down: {', '.join(down)}",),
        cause="\n".join(reasons),
        hint="start them; one that is gone for good: rabbitmqctl forget_cluster_node NAME",
        links=(f"{DOCS}/clustering",),
    )


def alarms(scene: Scene) -> Iterator[Diagnosis]:
    """No alarm is in effect on another member: it blocks who publishes here as well."""
    answer = scene.ask("rabbit_alarm", "get_alarms") if scene.runs else None
    what = [each[0] for each in answer if isinstance(each, tuple) and each] if isinstance(answer, list) else []
    found = [each for each in what if isinstance(each, tuple) and len(each) == 3]
    others = [(text(each[1]), text(each[2])) for each in found if text(each[2]) != scene.address.name]
    if others:
        told = ", ".join(f"{resource} on {name}" for resource, name in others[:3])
        yield error(
            "RMQ-128",
            f"an alarm of another member blocks publishers here as well: {told}",
            evidence=(f"rabbit_alarm:get_alarms() says {told}",),
            hint=f"look at {others[0][1].partition('@')[2]}: rmqsetup doctor there says more",
            links=(f"{DOCS}/alarms#cluster-wide",),
        )


def quorum(scene: Scene) -> Iterator[Diagnosis]:
    """Every quorum queue and stream keeps its majority when one more node stops. Asked of clusters only."""
    critical = [queue for queue in _critical(scene) if not queue.lost]
    if critical:
        names = (
            f"{len(critical)} replicated queues" if len(critical) > 1 else f"the replicated queue {critical[0].name}"
        )
        yield warning(
            "RMQ-090",
            f"{names} would lose the majority if this node stopped",
            evidence=tuple(map(str, critical[:3])),
            hint="bring the members that are down back, or let the queues grow, before this node is stopped: "
            "rabbitmq-queues grow NODE all",
            links=(f"{DOCS}/quorum-queues",),
        )


def majority(scene: Scene) -> Iterator[Diagnosis]:
    """Every quorum queue and stream has a majority of its members; without one nobody can use it."""
    lost = [queue for queue in _critical(scene) if queue.lost]
    if lost:
        names = f"{len(lost)} replicated queues have" if len(lost) > 1 else f"the replicated queue {lost[0].name} has"
        yield error(
            NO_MAJORITY,
            f"{names} no majority: nobody can publish to or consume from what has lost it",
            evidence=tuple(map(str, lost[:3])),
            hint="start the nodes of its other members",
            links=(f"{DOCS}/quorum-queues",),
        )


def releases(scene: Scene) -> Iterator[Diagnosis]:
    """All members that run are of one release: several at once are meant for the hour of an upgrade."""
    if not scene.runs:
        return
    own = scene.node.version if scene.node else ""
    others = [name for name in _running(scene) if name != scene.address.name]
    found = {name: _release_of(scene, name) for name in others}
    strange = {name: release for name, release in found.items() if own and release not in ("", own)}
    if strange:
        yield warning(
            "RMQ-103",
            f"the members of the cluster run different releases: {', '.join(sorted({own, *strange.values()}))}",
            evidence=(f"{scene.address.name}: {own}", *(f"{name}: {release}" for name, release in strange.items())),
            cause="a cluster runs on several releases while it is upgraded, and not for longer",
            hint="bring all members to the newest of them, one after the other",
            links=(f"{DOCS}/rolling-upgrade",),
        )


def alone(scene: Scene) -> Iterator[Diagnosis]:
    """A node that is configured to be one of several has found the others."""
    key = "cluster_formation.classic_config.nodes."
    named = tuple(each for each in scene.settings if each.key.startswith(key) and each.value)
    others = tuple(each for each in named if each.value != scene.address.name)
    there = _members(scene) if scene.runs and others else ()
    if there == (scene.address.name,):
        yield warning(
            "RMQ-104",
            f"the node is alone, and is to form a cluster with {', '.join(each.value for each in others[:3])}",
            evidence=(others[0].place, f"rabbit_nodes:list_members() says {there[0]}"),
            cause="\n".join(filter(None, (_why(scene, each.value) for each in others[:LOOKED_AT])))
            or "members are looked for when a node without data starts, and this one had data by then",
            hint=f"rabbitmqctl stop_app && rabbitmqctl reset && rabbitmqctl join_cluster {others[0].value} && "
            "rabbitmqctl start_app (reset deletes what this node holds)",
            links=(f"{DOCS}/cluster-formation",),
        )


def _members(scene: Scene) -> tuple[str, ...]:
    return _listed(scene, "list_members", "all")


def _running(scene: Scene) -> tuple[str, ...]:
    return _listed(scene, "list_running", "running")


def _listed(scene: Scene, function: str, before: str) -> tuple[str, ...]:
    """Ask for nodes as it is done since 3.11, or as it was done before."""
    answer = scene.ask("rabbit_nodes", function)
    return _nodes(scene.ask("rabbit_mnesia", "cluster_nodes", Atom(before)) if answer is None else answer)


def _down(scene: Scene) -> tuple[str, ...]:
    """Return the members that this node does not see running."""
    everyone = _members(scene)
    up = _running(scene) if len(everyone) > 1 else everyone
    return tuple(name for name in everyone if name not in up) if up else ()


def _status(scene: Scene, name: str) -> NodeStatus:
    """Ask another member itself, with our cookie. Raises `ProbeError`."""
    its = replace(scene.address, name=name, host=name.partition("@")[2])
    status: NodeStatus = scene.remembered(("member", name), lambda: scene.sockets.status(scene.host, its))
    return status


def _runs_apart(scene: Scene, name: str) -> bool:
    try:
        return _status(scene, name).running
    except ProbeError:
        return False


def _why(scene: Scene, name: str) -> str:
    """Tell why a member is down, as far as can be seen from here."""
    try:
        found = _status(scene, name)
    except CookieError:
        return f"{name} runs, and has another Erlang cookie than this node"
    except epmd.UnknownNodeError:
        return f"{name} does not run: the machine answers, and has no node of that name"
    except ProbeError as silent:
        return f"{name}: {silent.cause or silent.message}"
    return f"{name} runs, and does not see this node" if found.running else f"{name}: RabbitMQ is stopped in its node"


def _release_of(scene: Scene, name: str) -> str:
    answer = scene.ask("rpc", "call", Atom(name), Atom("rabbit_misc"), Atom("version"), [], 2000)
    return text(answer) if isinstance(answer, (list, bytes)) else ""


def _critical(scene: Scene) -> tuple[Replicated, ...]:
    """Return the replicated queues with a member here whose majority does not outlast this node."""
    if not scene.runs or len(_members(scene)) < 2:
        return ()
    up = _running(scene)
    found = [_replicated(record, up) for kind in KINDS for record in _records(scene, kind)]
    return tuple(queue for queue in found if queue)


def _records(scene: Scene, kind: str) -> list[Term]:
    answer = scene.ask(f"rabbit_{kind}_queue", "list_with_minimum_quorum")
    return answer if isinstance(answer, list) else []


def _replicated(record: Term, up: tuple[str, ...]) -> Replicated | None:
    """Read what matters of RabbitMQ's own record of a queue: where its members are is in its state."""
    parts = record if isinstance(record, tuple) else ()
    state = next((part for part in parts if isinstance(part, Map) and _members_of(part)), None)
    name = next((part for part in parts if isinstance(part, tuple) and part[:1] == (Atom("resource"),)), None)
    if state is None or name is None or len(name) != 4:
        return None
    its = _members_of(state)
    where = "" if name[1] == b"/" else f" in {text(name[1])}"
    return Replicated(f"{text(name[3])}{where}", its, tuple(each for each in its if each in up))


def _members_of(state: Map) -> tuple[str, ...]:
    found = dict(state.pairs).get(Atom("nodes"))
    return _nodes([key for key, _ in found.pairs] if isinstance(found, Map) else found)


def _nodes(answer: object) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in answer if isinstance(each, Atom))) if isinstance(answer, list) else ()


CHECKS = (
    Check("RMQ-101", "The node has not paused itself", paused, explains=DOWN),
    Check(
        PARTITIONED,
        "The cluster is not partitioned",
        partitions,
        explains=(MEMBERS_DOWN, NO_MAJORITY, "RMQ-090"),
    ),
    Check(MEMBERS_DOWN, "Every member of the cluster runs", members, explains=(NO_MAJORITY, "RMQ-090")),
    Check("RMQ-128", "No other member blocks publishers", alarms),
    Check(NO_MAJORITY, "Every replicated queue has its majority", majority),
    Check("RMQ-090", "Quorum queues can lose a node", quorum),
    Check("RMQ-103", "All members are of one release", releases),
    Check("RMQ-104", "The node has found its cluster", alone),
)
