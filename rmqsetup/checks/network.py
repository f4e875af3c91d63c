"""epmd and the ports of the broker: who holds them, and whether anything between keeps others from them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, flags, info
from rmqsetup.checks.cures import LOCAL, Directive, disabled, without
from rmqsetup.checks.machine import leads_to
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.launch import wanted_ports
from rmqsetup.probes import ports
from rmqsetup.probes.ports import Taken
from rmqsetup.probes.unit import Phase
from rmqsetup.probes.wire import ProbeError
from rmqsetup.steps.service import Service
from rmqsetup.steps.units import Units

EPMD = ("epmd", "systemd", "init")
"""Who may hold the port of epmd: itself, or systemd for its socket unit."""

ADDRESSED = re.compile(
    r"(?:\w+\.)?listeners\.(?:tcp|ssl)\.|(?:management|prometheus)\.(?:tcp|ssl)\.ip$|NODE_IP_ADDRESS$"
    r"|distribution\.listener\.interface$|\w*ERL_(?:ARGS|FLAGS)$"
)
"""Settings and variables that name an address to listen on."""

NODE = ("beam.smp", "beam", "erl")
_RANGED = "connections are given ports of net.ipv4.ip_local_port_range, unless ip_local_reserved_ports names them"


def epmd_port(scene: Scene) -> Iterator[Diagnosis]:
    """epmd, with which every node registers, has its port, and not something else; it listens where the name leads.

    One that listens on the loopback alone is not reached under a name that leads to another address.
    """
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
    if scene.unit is not None and not scene.is_well and not scene.opens("127.0.0.1", port):
        yield from _elsewhere(scene, port)


def _elsewhere(scene: Scene, port: int) -> Iterator[Diagnosis]:
    """Epmd listens, and not where the name of the node leads: the node asks it there before it starts."""
    name = scene.address.name.partition("@")[2]
    address = next((each for each in leads_to(scene, name) or () if ":" not in each), "")
    if address and scene.has_address(address) and "refused" in scene.opens(address, port):
        yield error(
            "RMQ-040",
            f"epmd does not listen on {address}, to which the node's name leads",
            evidence=(f"getent ahosts {name}: {address}", f"127.0.0.1:{port} answers, {address}:{port} refuses"),
            cause="it was given the loopback alone (epmd.socket, ERL_EPMD_ADDRESS), and no node registers",
            hint=f"let {name} lead to 127.0.0.1 in /etc/hosts, or epmd listen on every address "
            "(systemctl edit epmd.socket)",
        )


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


def starts(scene: Scene) -> Iterator[Diagnosis]:
    """epmd, which systemd starts when somebody asks at its port, can be started.

    Asked where the node does not run. Where it cannot, whoever asks is hung up on, and no node registers.
    """
    if scene.unit is None or scene.is_well or not scene.installed:
        return
    asked = ("systemctl", "show", "-p", "ActiveState,Result,ExecMainStatus,DropInPaths", "epmd.service")
    told = dict(line.split("=", 1) for line in scene.run(*asked).stdout.splitlines() if "=" in line)
    if told.get("ActiveState") != "failed" and told.get("Result", "success") == "success":
        return
    lines = tuple(
        Directive(path, number, "", "", "", raw)
        for path in told.get("DropInPaths", "").split()
        for number, raw in enumerate(scene.text(path).splitlines(), start=1)
        if path.startswith(LOCAL) and re.match(r"\s*\w+\s*=", raw)
    )
    failed = f"epmd.service: {told.get('Result')}, exit code {told.get('ExecMainStatus')}"
    yield error(
        "RMQ-157",
        "epmd, with which every node registers, cannot be started",
        evidence=(failed, *(each.place for each in lines[:4])),
        cause="its unit was changed on this machine" if lines else "",
        hint=("systemctl revert epmd.service" if lines else "journalctl -u epmd.service says why")
        + "; then: systemctl reset-failed epmd.service && systemctl restart epmd.socket rabbitmq-server",
        fix=(*disabled(lines), Units("epmd.service"), *scene.started) if lines else (),
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
    others = ports.connected(scene.host) if not scene.is_well and not scene.is_registered else ()
    for socket in (*scene.taken, *others):
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
            evidence=(
                f"/proc/net/tcp: port {socket.port}, held by {who or 'somebody we may not see'}"
                + (", for a connection of its own" if socket in others else ""),
            ),
            cause=_RANGED if socket in others else "",
            hint=f"end {who or 'what listens there'}, or give the broker another port in rabbitmq.conf",
            links=(f"{DOCS}/networking#ports",),
        )


def own_addresses(scene: Scene) -> Iterator[Diagnosis]:
    """The addresses on which the broker is told to listen are this machine's."""
    for setting in (*scene.configured, *scene.environment):
        address = _address(setting) if ADDRESSED.match(setting.key) else ""
        if re.fullmatch(r"\[?[0-9a-fA-F:.]+\]?", address) and not scene.has_address(address):
            yield error(
                "RMQ-045",
                f"the broker is to listen on {address}, which is no address of this machine",
                evidence=(setting.place,),
                hint=f"correct {setting.file}, line {setting.line}; the machine has: {', '.join(scene.addresses[:6])}",
                fix=without(scene, setting),
                links=(f"{DOCS}/networking#interfaces",),
            )


def _address(setting: Setting) -> str:
    """Return the address that a setting names, empty where it names none."""
    if setting.key.endswith(("ERL_ARGS", "ERL_FLAGS")):
        return flags.interface(setting.value)
    is_bare = setting.key.endswith((".ip", ".interface", "ADDRESS"))
    return setting.value if is_bare else setting.value.rpartition(":")[0]


def stray(scene: Scene) -> Iterator[Diagnosis]:
    """The node that runs is the one of the service, and not one that was started beside it."""
    unit = scene.unit
    if unit is None or unit.active == "active" or not scene.is_registered:
        return
    port = next((each.port for each in scene.registered if each.name == scene.address.name.partition("@")[0]), 0)
    if not _sockets(scene, port):
        yield error(
            "RMQ-044",
            f"epmd has a node {scene.address.name.partition('@')[0]} already, and it is not the service's",
            evidence=(f"epmd has it at port {port}, where nobody of this machine listens",),
            cause="a node elsewhere (in a container that shares this epmd), or a process that hangs, has the name",
            hint="end it: ss -tnp dport = :4369 shows who is connected to epmd; or give the node another NODENAME",
        )
        return
    for socket in _sockets(scene, port):
        who = ports.holder(scene.host, socket)
        number = who.rpartition("process ")[2].rstrip(")")
        group = scene.text(f"/proc/{number}/cgroup")
        if group and f"{scene.layout.service}.service" not in group:
            is_meant = unit.enabled == "disabled" and unit.phase is Phase.STOPPED
            yield (info if is_meant else error)(
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
    Check("RMQ-157", "epmd can be started", starts, explains=(*DOWN, "RMQ-040", "RMQ-042")),
    Check("RMQ-148", "The loopback is up", loopback, explains=(*DOWN, "RMQ-030", "RMQ-041", "RMQ-042", "RMQ-040")),
    Check("RMQ-041", "No packet filter is in the node's way", blocked, explains=(*DOWN, "RMQ-042")),
    Check("RMQ-043", "The broker's ports are free, or its own", own_ports, explains=DOWN),
    Check("RMQ-045", "The broker's addresses are this machine's", own_addresses, explains=DOWN),
    Check("RMQ-044", "Only the service runs the node", stray, explains=(*DOWN, "RMQ-043", "RMQ-042")),
    Check("RMQ-042", "The running node is registered with epmd", unregistered, explains=DOWN),
)
