"""The node that runs: what it says of itself over its own protocol."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, LISTENER_CLOSED, NODE_SILENT, Check, Diagnosis, error, info, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.address import CookieMissingError
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.node import ANY, NodeState
from rmqsetup.probes.terms import TRUE, Atom, Map, Term, text
from rmqsetup.probes.unit import Phase
from rmqsetup.probes.wire import ProbeError

RABBIT = Atom("rabbit")
GUEST = b"guest"


def answers(scene: Scene) -> Iterator[Diagnosis]:
    """The node answers, and RabbitMQ runs in it.

    The service may well be active while the application is stopped in it (`rabbitmqctl stop_app`), or while nothing
    gets through to it.
    """
    unit = scene.unit
    if not scene.installed or (unit is not None and unit.phase is not Phase.ACTIVE):
        return
    try:
        status = scene.status
    except (CookieMissingError, CookieError):
        return
    except ProbeError as silent:
        if unit is None:
            yield info(NODE_SILENT, "the broker does not run, and nothing looks after its service here")
        else:
            yield error(
                NODE_SILENT,
                "the broker's service is active, and its node does not answer",
                evidence=(silent.message,),
                cause=silent.cause,
                hint=silent.hint,
            )
        return
    if status.state is NodeState.STOPPED:
        yield error(
            NODE_SILENT,
            "RabbitMQ is stopped in its node: the service is active, and no broker runs in it",
            evidence=(f"{status.name}: rabbit:is_running() says false",),
            cause="somebody stopped the application (rabbitmqctl stop_app), or it ended by itself",
            hint="rabbitmqctl start_app",
        )


def alarms(scene: Scene) -> Iterator[Diagnosis]:
    """No alarm is in effect: memory or disk below their limits block everybody who publishes."""
    status = scene.node
    for alarm in status.alarms if status else ():
        numbers = {
            "memory": (status.memory, status.memory_limit, "in use", "vm_memory_high_watermark"),
            "disk": (status.disk_free, status.disk_free_limit, "free", "disk_free_limit"),
        }.get(alarm)
        seen = (
            f": {numbers[0]:,} bytes {numbers[2]}, the limit is {numbers[1]:,}"
            if numbers and None not in numbers
            else ""
        )
        hints = {
            "memory": "give the machine more memory, let consumers catch up, or raise vm_memory_high_watermark",
            "disk": f"free space below {scene.layout.data}, or lower disk_free_limit",
        }
        yield error(
            "RMQ-081",
            f"an alarm blocks publishers: {alarm}",
            evidence=(f"{status.name}: {alarm} alarm{seen}",) if status else (),
            hint=hints.get(alarm, "rabbitmq-diagnostics alarms says more"),
            links=(f"{DOCS}/alarms",),
        )


def listeners(scene: Scene) -> Iterator[Diagnosis]:
    """Where the node says that it listens, connections are taken."""
    status = scene.node
    if status is None or not status.running:
        return
    for listener in status.listeners:
        if listener.protocol == "clustering":
            continue
        problem = scene.opens(listener.addresses[0], listener.port)
        if problem:
            yield error(
                LISTENER_CLOSED,
                f"nobody gets through to the listener {listener}",
                evidence=(f"{listener.addresses[0]}:{listener.port}: {problem}",),
                cause="its listeners were suspended (rabbitmqctl suspend_listeners), or something is between",
                hint="rabbitmqctl resume_listeners",
            )
            return


def maintenance(scene: Scene) -> Iterator[Diagnosis]:
    """The node is not in maintenance mode, in which it takes no connections and gives its queues to others."""
    if not _runs(scene):
        return
    name = scene.address.name
    if scene.ask("rabbit_maintenance", "is_being_drained_local_read", Atom(name)) == TRUE:
        yield error(
            "RMQ-083",
            "the node is in maintenance mode: it takes no connections",
            evidence=(f"rabbit_maintenance:is_being_drained_local_read({name}) says true",),
            hint="rabbitmq-upgrade revive",
            links=(f"{DOCS}/upgrade#maintenance-mode",),
        )


def virtual_hosts(scene: Scene) -> Iterator[Diagnosis]:
    """Every virtual host is up: nobody can use the queues of one that is down."""
    down = scene.node.virtual_hosts_down if scene.node else ()
    if down:
        yield error(
            "RMQ-084",
            f"virtual hosts are down: {', '.join(down)}",
            evidence=tuple(f"rabbit_vhost_sup_sup:is_vhost_alive({name}) says false" for name in down[:3]),
            cause="its message store could not be started, or crashed too often; the node's log says why",
            hint=f"rabbitmqctl restart_vhost -p {down[0]}",
        )


def guest(scene: Scene) -> Iterator[Diagnosis]:
    """Guest with its well-known password cannot be used from other machines."""
    open_to = [each for each in scene.node.listeners if each.amqp and each.ip in ANY] if scene.node else []
    if not open_to:
        return
    users = scene.ask("application", "get_env", RABBIT, Atom("loopback_users"))
    names = users[1] if isinstance(users, tuple) and len(users) == 2 else None
    if not isinstance(names, list) or GUEST in names:
        return
    answer = scene.ask("rabbit_access_control", "check_user_pass_login", GUEST, GUEST)
    if isinstance(answer, tuple) and answer and answer[0] == Atom("ok"):
        line = next((each.place for each in reversed(scene.settings) if each.key.startswith("loopback_users")), "")
        yield warning(
            "RMQ-085",
            "anybody on the network can log in as guest with the default password",
            evidence=tuple(filter(None, (line, "loopback_users does not name guest", f"listening: {open_to[0]}"))),
            hint="rabbitmqctl delete_user guest, or take loopback_users out of the configuration",
            links=(f"{DOCS}/access-control#default-state",),
        )


def feature_flags(scene: Scene) -> Iterator[Diagnosis]:
    """Every stable feature flag is on: the next series refuses to start without them."""
    if not _runs(scene):
        return
    off = [
        name
        for name, stability in _flags(scene.ask("rabbit_feature_flags", "list", Atom("disabled")))
        if stability == "stable"
    ]
    if len(off) == 1 and off[0] == "detailed_queues_endpoint":
        return  # of a plugin that was enabled at run time; it comes with the next start
    if off:
        yield warning(
            "RMQ-086",
            f"stable feature flags are off: {', '.join(off[:3])}{' …' if len(off) > 3 else ''}",
            evidence=(f"rabbit_feature_flags:list(disabled): {', '.join(off)}",),
            cause="they stay off after an upgrade until somebody turns them on",
            hint="rabbitmqctl enable_feature_flag all",
            links=(f"{DOCS}/feature-flags",),
        )


def deprecated(scene: Scene) -> Iterator[Diagnosis]:
    """No feature is in use that a coming series takes away."""
    if not _runs(scene):
        return
    used = scene.ask("rabbit_deprecated_features", "list", Atom("used"))
    names = [text(name) for name, _ in used.pairs] if isinstance(used, Map) else []
    names = [name for name in names if name != "management_metrics_collection"]  # in use wherever management is
    if names:
        yield warning(
            "RMQ-087",
            f"deprecated features are in use: {', '.join(names)}",
            evidence=(f"rabbit_deprecated_features:list(used): {', '.join(names)}",),
            hint="see what needs them before the next upgrade: rabbitmqctl list_deprecated_features --used",
            links=(
                f"{DOCS}/deprecated-features",
                "https://www.rabbitmq.com/release-information/deprecated-features-list",
            ),
        )


def partitions(scene: Scene) -> Iterator[Diagnosis]:
    """No part of the cluster went its own way. Asked up to RabbitMQ 4.2: from 4.3 on there is no such state."""
    apart = _nodes(scene.ask("rabbit_node_monitor", "partitions")) if _runs(scene) else ()
    if apart:
        yield error(
            "RMQ-088",
            f"the cluster is partitioned: {', '.join(apart)} went another way",
            evidence=(f"rabbit_node_monitor:partitions() says {', '.join(apart)}",),
            hint="decide which side is right, and restart the nodes of the other",
            links=(f"{DOCS}/partitions",),
        )


def members(scene: Scene) -> Iterator[Diagnosis]:
    """Every member of the cluster runs."""
    if not _runs(scene):
        return
    all_of_them, up = (
        _nodes(scene.ask("rabbit_nodes", "list_members")),
        _nodes(scene.ask("rabbit_nodes", "list_running")),
    )
    down = [name for name in all_of_them if name not in up]
    if down and up:
        yield warning(
            "RMQ-089",
            f"members of the cluster are down: {', '.join(down)}",
            evidence=(f"members: {', '.join(all_of_them)}; running: {', '.join(up)}",),
            hint="start them; one that is gone for good: rabbitmqctl forget_cluster_node NAME",
        )


def quorum(scene: Scene) -> Iterator[Diagnosis]:
    """Every quorum queue keeps its majority when one more node stops. Asked of clusters only."""
    if not _runs(scene) or len(_nodes(scene.ask("rabbit_nodes", "list_members"))) < 2:
        return
    queues = scene.ask("rabbit_quorum_queue", "list_with_minimum_quorum")
    if isinstance(queues, list) and queues:
        yield warning(
            "RMQ-090",
            f"{len(queues)} quorum queues lose their majority with the next node that stops",
            evidence=(f"rabbit_quorum_queue:list_with_minimum_quorum() names {len(queues)}",),
            hint="bring the members that are down back before anything is restarted",
            links=(f"{DOCS}/quorum-queues",),
        )


def _runs(scene: Scene) -> bool:
    return scene.node is not None and bool(scene.node.running)


def _flags(answer: object) -> list[tuple[str, str]]:
    """Read `#{Name => #{stability => stable, …}}`; stable is what a flag is that says nothing else."""
    found = []
    for name, properties in answer.pairs if isinstance(answer, Map) else ():
        pairs = dict(properties.pairs) if isinstance(properties, Map) else {}
        stability: Term = pairs.get(Atom("stability"), Atom("stable"))
        found.append((text(name), text(stability)))
    return found


def _nodes(answer: object) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in answer if isinstance(each, Atom))) if isinstance(answer, list) else ()


CHECKS = (
    Check(NODE_SILENT, "RabbitMQ runs in its node", answers, explains=("RMQ-082",)),
    Check("RMQ-081", "No alarm blocks publishers", alarms),
    Check("RMQ-083", "The node is not in maintenance mode", maintenance, explains=(LISTENER_CLOSED,)),
    Check(LISTENER_CLOSED, "The node takes connections where it listens", listeners),
    Check("RMQ-084", "Every virtual host is up", virtual_hosts),
    Check("RMQ-085", "guest is not open to the network", guest),
    Check("RMQ-086", "Every stable feature flag is on", feature_flags),
    Check("RMQ-087", "No deprecated feature is in use", deprecated),
    Check("RMQ-088", "The cluster is not partitioned", partitions),
    Check("RMQ-089", "Every member of the cluster runs", members),
    Check("RMQ-090", "Quorum queues can lose a node", quorum),
)
