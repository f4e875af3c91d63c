"""What a node needs to be started by hand, and what stands in its way: program, limits, a node or a port already there.

Running it belongs to `services` and `hosts.foreground`; whether it does its work afterwards, `verify` tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqsetup import cellar
from rmqsetup.errors import BrokerNotReadyError, ConflictError, UnsupportedError, UsageError
from rmqsetup.host import Host, text_of
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.probes import epmd, ports
from rmqsetup.probes.address import NodeAddress
from rmqsetup.probes.wire import GarbledError, ProbeError, UnreachableError
from rmqsetup.services import OPEN_FILES, brew, launchd
from rmqsetup.services.systemd_user import UNITS

LAUNCHERS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/sbin/rabbitmq-server")
"""What starts the node. The first is upstream's own script, whose output is the node's; the packages' wrapper around it
becomes the user rabbitmq, and Debian's hides that output in a file."""

USER, HOME, UMASK = "rabbitmq", "/var/lib/rabbitmq", 0o027
"""As whom, where, and with which umask the units of Debian's and of upstream's packages run it."""

SUPERVISED = ("RUNNING_UNDER_SYSTEMD", "true")
"""By this variable upstream's script becomes the node, as under systemd, which stops in order at SIGTERM
(docker-library/rabbitmq pull request 778 does the same); else it stays as a proxy between us and the node, and that of
RabbitMQ 3.10 ends with 0 whatever became of it."""

VARIABLES = (("HOME", HOME), ("USER", USER), ("LOGNAME", USER), SUPERVISED)
"""What the environment says. The node looks for its cookie in the home of its user."""

LOW = 4096
"""Fewer open files are little even for development, by RabbitMQ's own guide to networking."""

ELSEWHERE = ("advanced.config", "rabbitmq.config")
"""Files in which an administrator may have moved ports in a form that is not read here."""

PLUGINS = (
    ("management", "management", "15672", "the management UI"),
    ("prometheus", "prometheus", "15692", "Prometheus"),
    ("mqtt", "mqtt", "1883", "MQTT"),
    ("web_mqtt", "web_mqtt", "15675", "MQTT over WebSockets"),
    ("stomp", "stomp", "61613", "STOMP"),
    ("web_stomp", "web_stomp", "15674", "STOMP over WebSockets"),
    ("stream", "stream", "5552", "streams"),
)
"""Plugins that listen: their names, how their settings begin, where they listen unless told otherwise, what for.

The ports are of https://www.rabbitmq.com/docs/networking (2026-08-21).
"""

_MOVING = re.compile(
    r"^\s*(?:export\s+)?(?:RABBITMQ_)?(?:NODE_PORT|DIST_PORT|NODE_IP_ADDRESS|CONFIG_FILES?|ADVANCED_CONFIG_FILE)=",
    re.MULTILINE,
)
_SETTING = re.compile(r"^\s*([\w.]+)\s*=\s*'?([^'#\n]*?)'?\s*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a node is started.

    `program` becomes the node; it is run in `directory` as `user` (empty: as whoever we are) with `env` and `umask`.
    `manager` is the service manager that starts it in the background (empty: the machine's own), and `service` what
    that calls it.
    """

    program: str
    directory: str
    manager: str = ""
    service: str = SYSTEM.service
    user: str = ""
    env: tuple[tuple[str, str], ...] = (SUPERVISED,)
    umask: int = UMASK


def find(host: Host, layout: Layout, *, home: str) -> Launch:
    """Return how the node of a layout is started; `home` is that of the user we are.

    Raises `UsageError` where RabbitMQ is not installed.
    """
    if not layout.prefix:
        return Launch(_there(host, _programs(layout)), HOME, user=USER, env=VARIABLES)
    program = _there(host, _programs(layout))
    if layout.manager == "brew":
        env = (SUPERVISED, brew.settings(layout.prefix))
        manager = "brew" if cellar.has_session(host) else "detached"
        return Launch(program, layout.prefix, manager, layout.service, env=env)
    manager, service = _looked_after(host, program, home)
    return Launch(program, layout.prefix, manager, service or layout.prefix)


def is_installed(host: Host, layout: Layout) -> bool:
    """Tell whether there is a RabbitMQ to start."""
    return any(host.read(path) is not None for path in _programs(layout))


def _programs(layout: Layout) -> tuple[str, ...]:
    return (layout.program("rabbitmq-server"),) if layout.prefix else LAUNCHERS


def _there(host: Host, programs: tuple[str, ...]) -> str:
    for path in programs:
        if host.read(path) is not None:
            return path
    raise UsageError("there is no RabbitMQ to start on this machine", hint="rmqsetup install", looked_at=programs)


def _looked_after(host: Host, program: str, home: str) -> tuple[str, str]:
    """Return what looks after the node that a program starts, and what that calls it: by the unit that names it."""
    units = (
        ("systemd-user", SYSTEM.service, f"{home}/{UNITS}/{SYSTEM.service}.service"),
        ("launchd-agent", launchd.LABEL, f"{home}/{launchd.AGENTS}/{launchd.LABEL}.plist"),
    )
    for manager, name, path in units:
        if program in text_of(host, path):
            return manager, name
    return "script", ""


def limited(soft: int, hard: int, wanted: int | None = None) -> tuple[int, int]:
    """Return how many files the node may have open, from what is allowed here and what was asked for.

    Nothing is ever raised unasked, and what was asked for never above what is allowed: `UnsupportedError`. Nobody
    asks for hundreds of millions, so `services.OPEN_FILES` is the most. -1 is without end.
    """
    if wanted is not None:
        if hard != -1 and wanted > hard:
            raise UnsupportedError(
                f"the node cannot have {wanted} files open here",
                cause=f"this process may have {hard} (ulimit -Hn)",
                hint=f"docker run --ulimit nofile={wanted}, or a smaller --open-files",
            )
        return wanted, wanted
    return _most(soft), _most(hard)


def refuse_running(host: Host, address: NodeAddress, seen: str = "") -> None:
    """Raise `ConflictError` where a node of that name runs already; `seen` is what shows one in another way."""
    known = _registered(host, address)
    if known or seen:
        raise ConflictError(
            f"the node {address.name} is running already",
            cause=known or seen,
            hint=f"rmqsetup status shows how it is; {address.layout.program('rabbitmqctl')} stop stops it",
        )


def refuse_taken(host: Host, layout: Layout = SYSTEM, *, inherited: tuple[str, ...] = ()) -> None:
    """Raise `BrokerNotReadyError` where somebody else has a port that the node is going to listen on.

    `inherited` are names of environment variables that the node will have. Where they, or files that are not read
    here, may have moved a port, it is not judged: the node itself tells then.
    """
    wanted = dict(wanted_ports(host, layout, inherited))
    for found in ports.taken(host):
        if found.port in wanted:
            raise BrokerNotReadyError(
                f"port {found.port} is taken, where the node is to listen for {wanted[found.port]}",
                cause=ports.holder(host, found) or "another process listens there",
                hint=f"end what listens there, or give the node another port in {layout.config}/rabbitmq.conf",
            )


def wanted_ports(host: Host, layout: Layout = SYSTEM, inherited: tuple[str, ...] = ()) -> tuple[tuple[int, str], ...]:
    """Return the ports the node is going to listen on, as far as that can be read, each with what for.

    `inherited` are names of environment variables that the node will have.
    """
    said = "\n".join((text_of(host, layout.environment), *(f"{name}=" for name in inherited)))
    if _MOVING.search(said) or any(host.read(f"{layout.config}/{name}") for name in ELSEWHERE):
        return ()
    folder = f"{layout.config}/conf.d"
    more = (f"{folder}/{name}" for name in host.names(folder) if name.endswith(".conf"))
    files = (f"{layout.config}/rabbitmq.conf", *more)
    pairs = tuple(dict(pair for path in files for pair in _SETTING.findall(text_of(host, path))).items())
    return (*_amqp(pairs), *_others(pairs, text_of(host, layout.plugins)))


def is_epmd_in_use(address: NodeAddress) -> bool:
    """Tell whether any node is registered at the epmd of a machine: then it must not be ended."""
    try:
        return bool(epmd.names(address.host, address.epmd_port))
    except ProbeError:
        return False


def _most(number: int) -> int:
    return OPEN_FILES if number == -1 else min(number, OPEN_FILES)


def _registered(host: Host, address: NodeAddress) -> str:
    """Say where epmd has the node registered, if it has. Raises `BrokerNotReadyError` where that is no epmd."""
    try:
        port = epmd.port_of(address.name.partition("@")[0], address.host, port=address.epmd_port)
    except (UnreachableError, epmd.UnknownNodeError):
        return ""
    except GarbledError as error:
        socket = next((each for each in ports.taken(host) if each.port == address.epmd_port), None)
        raise BrokerNotReadyError(
            f"port {address.epmd_port} is taken, where Erlang's epmd is to listen",
            cause=(ports.holder(host, socket) if socket else "") or error.message,
            hint="end what listens there",
        ) from error
    except ProbeError:
        return ""
    return f"epmd has it registered at port {port}"


def _amqp(settings: tuple[tuple[str, str], ...]) -> tuple[tuple[int, str], ...]:
    """Return the AMQP listeners. Those without TLS have a default port, unless a key says otherwise."""
    plain = {key: value for key, value in settings if key.startswith("listeners.tcp")}
    plain = plain or {"listeners.tcp.default": "5672"}
    secure = {key: value for key, value in settings if key.startswith("listeners.ssl")}
    found = [(_port(value), words) for each, words in ((plain, "AMQP"), (secure, "AMQPS")) for value in each.values()]
    return tuple((port, words) for port, words in found if port)


def _others(settings: tuple[tuple[str, str], ...], plugins: str) -> tuple[tuple[int, str], ...]:
    keys = dict(settings)
    found = [] if any(key.startswith("distribution.") for key in keys) else [(25672, "other nodes")]
    for plugin, start, usual, words in PLUGINS:
        if not re.search(rf"\brabbitmq_{plugin}\b", plugins):
            continue
        moved = [key for key in keys if key.startswith(f"{start}.") and re.search(r"\.(?:ssl|listeners?)\.", key)]
        own = keys.get(f"{start}.tcp.port", keys.get(f"{start}.listeners.tcp.default", "" if moved else usual))
        found += [(_port(own), words)] if _port(own) else []
    return tuple(found)


def _port(value: str) -> int:
    """Read the port of `5672`, `127.0.0.1:5672` or `::1:5672`; 0 for `none` and what is no port."""
    number = value.strip().rpartition(":")[2]
    return int(number) if number.isascii() and number.isdigit() else 0
