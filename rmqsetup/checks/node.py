"""The node that runs: what it says of itself over its own protocol."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from urllib.parse import unquote

from rmqsetup.checks import DOCS, LISTENER_CLOSED, NODE_SILENT, Check, Diagnosis, error, info, warning
from rmqsetup.checks.cures import again
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.address import CookieMissingError
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.node import NodeListener, NodeState
from rmqsetup.probes.terms import TRUE, Atom, Map, Term, text
from rmqsetup.probes.unit import Phase
from rmqsetup.probes.wire import ProbeError

NOT_FOR_CLIENTS = ("clustering", "http", "https", "http/prometheus", "https/prometheus")
"""Listeners that carry no messages of clients."""


TOTAL = "total_memory_available_override_value"
"""How much memory a node is to believe in."""

IDLE = 256 * 10**6
"""So many bytes of memory a node takes that has nothing to do, at its start."""

GONE = " (deleted)"
"""What the kernel writes behind the name of a program whose file is no longer there."""


def answers(scene: Scene) -> Iterator[Diagnosis]:
    """The node answers, and RabbitMQ runs in it.

    The service may well be active while the application is stopped in it (`rabbitmqctl stop_app`), or while nothing
    gets through to it.
    """
    unit = scene.unit
    if not scene.installed or scene.layout.manager == "brew" or (unit is not None and unit.phase is not Phase.ACTIVE):
        return
    try:
        status = scene.status
    except (CookieMissingError, CookieError):
        return
    except ProbeError as silent:
        if unit is None:
            yield info(NODE_SILENT, "the broker does not run, and nothing looks after its service here")
        elif scene.encrypted and scene.is_registered:
            yield info(
                NODE_SILENT,
                "the node talks TLS with whoever asks it, which rmqsetup does not: it was not asked",
                evidence=(f"/proc/{unit.pid}/cmdline: {scene.encrypted}",),
                hint="rabbitmq-diagnostics status asks it",
            )
        else:
            frozen = scene.frozen
            yield error(
                NODE_SILENT,
                "the broker's service is active, and its node does not answer",
                evidence=(silent.message, *((f"/proc/{unit.pid}/status: {frozen}",) if frozen else ())),
                cause="somebody has stopped its process (SIGSTOP)" if frozen else silent.cause,
                hint=f"kill -CONT {unit.pid}" if frozen else silent.hint or "systemctl restart rabbitmq-server",
            )
        return
    if status.state is NodeState.STOPPED:
        yield error(
            NODE_SILENT,
            "RabbitMQ is stopped in its node: Erlang runs, and no broker in it",
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
        keys = (f"{numbers[3]}.", TOTAL if alarm == "memory" else f"{numbers[3]}.") if numbers else ()
        lines = tuple(each for each in scene.configured if keys and each.key.startswith(keys))
        absurd = lines if numbers and _beyond(scene, alarm, numbers[1]) else ()
        where = f"{lines[-1].file}, line {lines[-1].line}" if lines else ""
        yield error(
            "RMQ-081",
            f"an alarm blocks publishers: {alarm}" + (f", and {absurd[-1].key} is why" if absurd else ""),
            evidence=(*(each.place for each in lines), f"{status.name}: {alarm} alarm{seen}") if status else (),
            cause="with that limit it blocks them whatever they do" if absurd else "",
            hint=f"correct {where}" if absurd else hints.get(alarm, "rabbitmq-diagnostics alarms says more"),
            links=(f"{DOCS}/alarms",),
            fix=again(scene, *absurd),
        )


def _beyond(scene: Scene, alarm: str, limit: int | None) -> bool:
    """Tell whether a limit is one that an idle node is beyond: less memory than it takes, more disk than there is."""
    if limit is None or alarm == "memory":
        return limit is not None and limit < IDLE
    row = scene.run("df", "-B1", "--output=size", scene.layout.data).stdout.split()
    return len(row) > 1 and row[-1].isdigit() and limit > int(row[-1]) * 4 // 10


def listeners(scene: Scene) -> Iterator[Diagnosis]:
    """Where the node says that it listens, connections are taken."""
    status = scene.node
    if status is None or not status.running:
        return
    for listener in status.listeners:
        if listener.protocol == "clustering":
            continue
        problem = _problem(scene, listener)
        if problem:
            yield error(
                LISTENER_CLOSED,
                f"nobody gets through to the listener {listener}",
                evidence=(problem,),
                cause="its listeners were suspended (rabbitmqctl suspend_listeners), or something is between",
                hint="rabbitmqctl resume_listeners",
            )
            return


def _problem(scene: Scene, listener: NodeListener) -> str:
    """Say why no connection is taken at any address of a listener, by the first; nothing where one is."""
    told = ""
    for address in listener.addresses:
        why = scene.opens(address, listener.port)
        if not why:
            return ""
        told = told or f"{address}:{listener.port}: {why}"
    return told


def named(scene: Scene) -> Iterator[Diagnosis]:
    """The node that runs is the one of the name that everybody looks for, and it has its data.

    A host that is renamed while the node runs leaves it with the old name: commands look for it under the new one, and
    the next start is one without data. Asked of a service where that name has none.
    """
    own = f"{scene.data}/{scene.address.name}"
    if scene.unit is None or not scene.runs or scene.variable("MNESIA_DIR") or scene.host.peek(own) is not None:
        return
    answer = scene.ask("erlang", "node")
    name = answer.name if isinstance(answer, Atom) else ""
    if name and name != scene.address.name:
        yield error(
            "RMQ-165",
            f"the node that runs is called {name}, and everybody looks for {scene.address.name}",
            evidence=(f"erlang:node() says {name}", f"{own}: no such directory"),
            cause="the host was renamed, or NODENAME changed, while the node ran; its data belong to the old name",
            hint=f"give the host its old name back (hostnamectl), or set NODENAME={name} in {scene.layout.environment}",
            links=(f"{DOCS}/relocate",),
        )
    elif name and scene.root:
        yield error(
            "RMQ-165",
            f"the node runs, and its data are gone from {own}",
            evidence=(f"{own}: no such directory",),
            cause="somebody has moved or removed the directory under the node, or mounted something over it",
            hint="put it back before the node is stopped: it writes on into files that are no longer there",
            links=(f"{DOCS}/backup",),
        )


def reachable(scene: Scene) -> Iterator[Diagnosis]:
    """The node listens for clients of some protocol. Without any listener it runs for itself alone."""
    status = scene.node
    if status is None or not status.running or any(each.protocol not in NOT_FOR_CLIENTS for each in status.listeners):
        return
    lines = tuple(each.place for each in scene.settings if each.key.startswith("listeners."))
    if scene.ask("rabbit_maintenance", "is_being_drained_local_read", Atom(scene.address.name)) != TRUE:
        yield error(
            "RMQ-123",
            "the node listens for no client: nobody can connect to it",
            evidence=(*lines[:2], f"{status.name}: {', '.join(map(str, status.listeners)) or 'no listener at all'}"),
            cause="listeners.tcp = none needs a listeners.ssl beside it" if lines else "",
            hint="give it a listener: listeners.tcp.default = 5672, or listeners.ssl.default = 5671",
            links=(f"{DOCS}/networking#interfaces",),
        )


def current(scene: Scene) -> Iterator[Diagnosis]:
    """The node that runs is of the release that is installed; after an upgrade it is restarted."""
    program = scene.host.peek(f"/proc/{scene.unit.pid}/exe") if scene.unit and scene.unit.pid else None
    if program and program.target.endswith(GONE):
        yield warning(
            "RMQ-129",
            "the node runs on an Erlang that was replaced, or removed, under it",
            evidence=(f"/proc/{scene.unit.pid if scene.unit else 0}/exe leads to {program.target}",),
            cause="Erlang was upgraded; the node finds its own files no more when it needs one",
            hint="when it may be interrupted: systemctl restart rabbitmq-server",
        )
    running = scene.node.version if scene.node else ""
    if running and scene.version and running != scene.version:
        yield warning(
            "RMQ-129",
            f"the node that runs is RabbitMQ {running}, and {scene.version} is installed",
            evidence=(f"rabbit_misc:version() says {running}", f"installed: {scene.server}"),
            cause="it was upgraded under the node, which finds its own files no more when it needs one",
            hint="when it may be interrupted: systemctl restart rabbitmq-server",
            links=(f"{DOCS}/upgrade",),
        )


def maintenance(scene: Scene) -> Iterator[Diagnosis]:
    """The node is not in maintenance mode, in which it takes no connections and gives its queues to others."""
    if not scene.runs:
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
            hint=f"rabbitmqctl restart_vhost -p {quote(down[0])}",
        )


def queues(scene: Scene) -> Iterator[Diagnosis]:
    """The processes of all quorum queues that have a member here run: the queue of one that ended may have no leader.

    What Ra knows of is compared with the names that are registered in the Erlang machine.
    """
    known = _list(scene.ask("ra_directory", "list_registered", Atom("quorum_queues"))) if scene.runs else []
    wanted = [pair[0] for pair in known if isinstance(pair, tuple) and pair and isinstance(pair[0], Atom)]
    there = _list(scene.ask("erlang", "registered")) if wanted else []
    lost = sorted({name.name for name in wanted} - {name.name for name in there if isinstance(name, Atom)})
    if lost and there:
        names = ", ".join(unquote(name).partition("_")[2] or name for name in lost[:3])
        yield error(
            "RMQ-126",
            f"quorum queues do not run on this node: {names}{' …' if len(lost) > 3 else ''}",
            evidence=(f"ra_directory:list_registered(quorum_queues) names {lost[0]}, of which there is no process",),
            cause="its process ended and was not started again, or its log on disk cannot be read; the node's log says",
            hint="systemctl restart rabbitmq-server starts them all again",
            links=(f"{DOCS}/quorum-queues",),
        )


def traced(scene: Scene) -> Iterator[Diagnosis]:
    """No virtual host is traced: the firehose copies every message of it, which is for a search for a fault alone."""
    names = scene.environment_of("trace_vhosts") if scene.runs else None
    known = scene.node.virtual_hosts if scene.node else ()
    on = [name for name in known if isinstance(names, list) and name.encode() in names]
    if on and "rabbitmq_tracing" not in scene.text(scene.plugins_file):
        yield warning(
            "RMQ-160",
            f"every message of the virtual host {', '.join(on)} is copied: it is traced",
            evidence=("application:get_env(rabbit, trace_vhosts) names " + ", ".join(on),),
            cause="somebody has turned the firehose on (rabbitmqctl trace_on), and not off again",
            hint=f"rabbitmqctl trace_off -p {quote(on[0])}",
            links=(f"{DOCS}/firehose",),
        )


def feature_flags(scene: Scene) -> Iterator[Diagnosis]:
    """Every stable feature flag is on: the next series refuses to start without them.

    Those of a plugin that was enabled on a node with data are off too, and worth a remark.
    """
    if not scene.runs:
        return
    listed = _flags(scene.ask("rabbit_feature_flags", "list", Atom("disabled")))
    off = {name: owner for name, stability, owner in listed if stability == "stable"}
    is_core = any(owner in ("rabbit", "") for owner in off.values())
    if off:
        yield (warning if is_core else info)(
            "RMQ-086",
            f"stable feature flags are off: {', '.join(list(off)[:3])}{' …' if len(off) > 3 else ''}",
            evidence=(f"rabbit_feature_flags:list(disabled): {', '.join(off)}",),
            cause="they stay off after an upgrade until somebody turns them on"
            if is_core
            else f"{', '.join(sorted(set(off.values())))} was enabled on a node that had data",
            hint="rabbitmqctl enable_feature_flag all",
            links=(f"{DOCS}/feature-flags",),
        )


def deprecated(scene: Scene) -> Iterator[Diagnosis]:
    """No feature is in use that a coming series takes away."""
    if not scene.runs:
        return
    used = scene.ask("rabbit_deprecated_features", "list", Atom("used"))
    names = [text(name) for name, _ in used.pairs] if isinstance(used, Map) else []
    names = [name for name in names if name != "management_metrics_collection"]  # in use wherever management is
    found = dict.fromkeys(names, "rabbit_deprecated_features:list(used)") | dict(_older(scene))
    if found:
        yield warning(
            "RMQ-087",
            f"deprecated features are in use: {', '.join(found)}",
            evidence=tuple(f"{where}: {name}" for name, where in found.items()),
            hint="see what needs them before the next upgrade"
            + (": rabbitmqctl list_deprecated_features --used" if isinstance(used, Map) else ""),
            links=(
                f"{DOCS}/deprecated-features",
                "https://www.rabbitmq.com/release-information/deprecated-features-list",
            ),
        )


def _older(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield what nodes before 3.13 do not say themselves, and what later ones pass over in silence."""
    for policy in _list(scene.ask("rabbit_policy", "list")):
        pairs = {text(pair[0]): pair[1] for pair in _list(policy) if isinstance(pair, tuple) and len(pair) == 2}
        definition = [pair[0] for pair in _list(pairs.get("definition")) if isinstance(pair, tuple)]
        if b"ha-mode" in definition:
            name, where = (text(pairs.get(key, b"")) for key in ("name", "vhost"))
            yield "classic_queue_mirroring", f"policy {name} of virtual host {where} has ha-mode"
    if ram := _list(scene.ask("rabbit_mnesia", "cluster_nodes", Atom("ram"))):
        yield "ram_node_type", f"rabbit_mnesia:cluster_nodes(ram) names {', '.join(text(name) for name in ram)}"


def _list(answer: Term | None) -> list[Term]:
    return answer if isinstance(answer, list) else []


def _flags(answer: object) -> list[tuple[str, str, str]]:
    """Read names, stabilities and owners from `#{Name => #{stability => stable, provided_by => rabbit, …}}`.

    Stable is what a flag is that says nothing else.
    """
    found = []
    for name, properties in answer.pairs if isinstance(answer, Map) else ():
        pairs = dict(properties.pairs) if isinstance(properties, Map) else {}
        stability: Term = pairs.get(Atom("stability"), Atom("stable"))
        found.append((text(name), text(stability), text(pairs.get(Atom("provided_by"), Atom("")))))
    return found


CHECKS = (
    Check(NODE_SILENT, "RabbitMQ runs in its node", answers, explains=("RMQ-082",)),
    Check("RMQ-081", "No alarm blocks publishers", alarms),
    Check("RMQ-083", "The node is not in maintenance mode", maintenance, explains=(LISTENER_CLOSED,)),
    Check(LISTENER_CLOSED, "The node takes connections where it listens", listeners),
    Check("RMQ-129", "The node is of the installed release", current),
    Check("RMQ-165", "The node that runs is the one of its name", named, explains=("RMQ-053", "RMQ-056", "RMQ-123")),
    Check("RMQ-123", "The node listens for clients", reachable),
    Check("RMQ-084", "Every virtual host is up", virtual_hosts),
    Check("RMQ-126", "Every quorum queue runs on this node", queues),
    Check("RMQ-160", "No virtual host is traced", traced),
    Check("RMQ-086", "Every stable feature flag is on", feature_flags),
    Check("RMQ-087", "No deprecated feature is in use", deprecated),
)
