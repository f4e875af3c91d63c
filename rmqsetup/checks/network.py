"""epmd and the ports of the broker: who holds them, and whether anything between keeps others from them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error
from rmqsetup.checks.cures import without
from rmqsetup.checks.scene import Scene
from rmqsetup.launch import wanted_ports
from rmqsetup.probes import ports
from rmqsetup.probes.ports import Taken
from rmqsetup.probes.wire import ProbeError
from rmqsetup.steps.service import Service

EPMD = ("epmd", "systemd", "init")
"""Who may hold the port of epmd: itself, or systemd for its socket unit."""

ADDRESSED = re.compile(
    r"(?:\w+\.)?listeners\.(?:tcp|ssl)\.|(?:management|prometheus)\.(?:tcp|ssl)\.ip$|NODE_IP_ADDRESS$"
)
"""Settings and variables that name an address to listen on."""

NODE = ("beam.smp", "beam", "erl")


def epmd_port(scene: Scene) -> Iterator[Diagnosis]:
    """epmd, with which every node registers, has its port, and not something else."""
    if not scene.installed:
        return
    port = scene.address.epmd_port
    for socket in _sockets(scene, port):
        who = ports.holder(scene.host, socket)
        if who and who.split()[0] not in EPMD:
            yield error(
                "RMQ-040",
                f"port {port} of epmd is taken by {who}",
                evidence=(f"/proc/net/tcp: port {port}, held by {who}",),
                cause="epmd cannot listen there, and no node starts without it",
                hint=f"end {who}, or let it listen elsewhere; then: systemctl restart epmd.socket rabbitmq-server",
            )
            return


def loopback(scene: Scene) -> Iterator[Diagnosis]:
    """The loopback interface is up: over it the node, epmd and every command of RabbitMQ talk to each other."""
    if not scene.installed or "refused" in (scene.opens("127.0.0.1", scene.address.epmd_port) or "refused"):
        return
    said = scene.run("ip", "-o", "link", "show", "lo").stdout
    if said and not re.search(r"<[^>]*\bUP\b", said):
        yield error(
            "RMQ-148",
            "the loopback interface lo is down",
            evidence=(f"ip link show lo: {said.strip()[:60]}",),
            cause="nothing on this machine reaches 127.0.0.1",
            hint="ip link set lo up; look at what configures the network, so that it stays",
        )


def blocked(scene: Scene) -> Iterator[Diagnosis]:
    """Nothing drops packets to epmd or to the node on this very machine.

    Somebody listens, and a connection over the loopback is never answered: that is a rule of a packet filter.
    """
    if not scene.installed:
        return
    listening = {each.port for each in scene.taken}
    for port, what in ((scene.address.epmd_port, "epmd"), *_registered(scene)):
        if port not in listening:
            continue
        problem = scene.opens("127.0.0.1", port)
        if problem and "refused" not in problem:
            yield error(
                "RMQ-041",
                f"a packet filter keeps connections from {what}, port {port}",
                evidence=(f"somebody listens on port {port}, and 127.0.0.1:{port} does not answer: {problem}",),
                hint=f"look at the rules: nft list ruleset, iptables -S; port {port} must be open on the loopback",
                links=(f"{DOCS}/networking#ports",),
            )
            return


def unregistered(scene: Scene) -> Iterator[Diagnosis]:
    """The node that runs is registered with epmd. It is not when epmd was ended, or restarted, behind its back."""
    unit = scene.unit
    if unit is None or unit.active != "active" or scene.is_registered or not scene.installed:
        return
    port = int(scene.setting("distribution.listener.port_range.min") or scene.variable("DIST_PORT") or 25672)
    if not _sockets(scene, port):
        return
    yield error(
        "RMQ-042",
        f"the node {scene.address.name} runs, and epmd does not know it",
        evidence=(f"port {port} is open; epmd on port {scene.address.epmd_port} has no {scene.address.name}",),
        cause="epmd was ended or restarted, or the node has another name than the configuration says",
        hint="start epmd (systemctl start epmd.socket): a node registers again by itself within a few seconds",
        fix=(Service("systemd", "epmd.socket", enabled=None, if_known=True),),
        safe=True,
    )


def own_ports(scene: Scene) -> Iterator[Diagnosis]:
    """The ports on which the node is to listen are free, or its own."""
    if not scene.installed:
        return
    wanted = dict(wanted_ports(scene.host, scene.layout))
    listened = {each.port for each in scene.node.listeners} if scene.node else set()
    seen: set[int] = set()
    for socket in scene.taken:
        if socket.port not in wanted or socket.port in seen or socket.port in listened:
            continue
        who = ports.holder(scene.host, socket)
        if (who and who.split()[0] in NODE) or (not who and scene.is_well):
            continue
        seen.add(socket.port)
        words = wanted[socket.port]
        yield error(
            "RMQ-043",
            f"port {socket.port}, where the broker is to listen for {words}, is taken by {who or 'another process'}",
            evidence=(f"/proc/net/tcp: port {socket.port}, held by {who or 'somebody we may not see'}",),
            hint=f"end {who or 'what listens there'}, or give the broker another port in rabbitmq.conf",
            links=(f"{DOCS}/networking#ports",),
        )


def own_addresses(scene: Scene) -> Iterator[Diagnosis]:
    """The addresses on which the broker is told to listen are this machine's."""
    for setting in (*scene.settings, *scene.environment):
        if not ADDRESSED.match(setting.key):
            continue
        is_bare = setting.key.endswith((".ip", "ADDRESS"))
        address = setting.value if is_bare else setting.value.rpartition(":")[0]
        if re.fullmatch(r"\[?[0-9a-fA-F:.]+\]?", address) and not scene.has_address(address):
            yield error(
                "RMQ-045",
                f"the broker is to listen on {address}, which is no address of this machine",
                evidence=(setting.place,),
                hint=f"correct {setting.file}, line {setting.line}; the machine has: {', '.join(scene.addresses[:6])}",
                fix=without(scene, setting),
                links=(f"{DOCS}/networking#interfaces",),
            )


def stray(scene: Scene) -> Iterator[Diagnosis]:
    """The node that runs is the one of the service, and not one that was started beside it."""
    unit = scene.unit
    if unit is None or unit.active == "active" or not scene.is_registered:
        return
    port = next((each.port for each in scene.registered if each.name == scene.address.name.partition("@")[0]), 0)
    for socket in _sockets(scene, port):
        who = ports.holder(scene.host, socket)
        number = who.rpartition("process ")[2].rstrip(")")
        group = scene.text(f"/proc/{number}/cgroup")
        if group and f"{scene.layout.service}.service" not in group:
            yield error(
                "RMQ-044",
                f"a node {scene.address.name} runs already, outside its service: {who}",
                evidence=(f"epmd has it at port {port}; {who} is in {group.strip().splitlines()[-1]}",),
                cause="somebody started it by hand; the service cannot start a second node of that name",
                hint="rabbitmqctl stop ends it in order; then: systemctl start rabbitmq-server",
            )
            return


def _sockets(scene: Scene, port: int) -> tuple[Taken, ...]:
    return tuple(each for each in scene.taken if each.port == port)


def _registered(scene: Scene) -> tuple[tuple[int, str], ...]:
    name = scene.address.name.partition("@")[0]
    try:
        return tuple((each.port, "the node") for each in scene.registered if each.name == name)
    except ProbeError:
        return ((25672, "the node"),)


CHECKS = (
    Check("RMQ-040", "Port 4369 belongs to epmd", epmd_port, explains=(*DOWN, "RMQ-041", "RMQ-042")),
    Check("RMQ-148", "The loopback is up", loopback, explains=(*DOWN, "RMQ-030", "RMQ-041", "RMQ-042", "RMQ-040")),
    Check("RMQ-041", "No packet filter is in the node's way", blocked, explains=(*DOWN, "RMQ-042")),
    Check("RMQ-043", "The broker's ports are free, or its own", own_ports, explains=DOWN),
    Check("RMQ-045", "The broker's addresses are this machine's", own_addresses, explains=DOWN),
    Check("RMQ-044", "Only the service runs the node", stray, explains=(*DOWN, "RMQ-043", "RMQ-042")),
    Check("RMQ-042", "The running node is registered with epmd", unregistered, explains=DOWN),
)
