"""Where the node of a host is: its name, its cookie, its epmd.

What the node answers there belongs to `node`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from rmqsetup.host import Command, Host
from rmqsetup.probes import epmd
from rmqsetup.probes.distribution import Peer
from rmqsetup.probes.wire import LOOPBACK, ProbeError

COOKIE = "/var/lib/rabbitmq/.erlang.cookie"
"""Where the node's packages keep its cookie."""

LOGS = "/var/log/rabbitmq"
"""Where the node's packages let it write its logs."""

ENVIRONMENT = "/etc/rabbitmq/rabbitmq-env.conf"
"""Where an administrator may rename the node."""

_SETTING = re.compile(
    r"^\s*(?:export\s+)?(?:RABBITMQ_)?(NODENAME|USE_LONGNAME|ERL_EPMD_PORT)=(\S.*?)\s*$", re.MULTILINE
)


class CookieMissingError(ProbeError):
    """There is no cookie to prove ourselves with, or we may not read it."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node and how to reach it: full `name`, address of its machine, file of its cookie, port of epmd.

    `logs` is the folder of its logs, `program` its own rabbitmqctl.
    """

    name: str
    host: str = LOOPBACK
    cookie: str = COOKIE
    epmd_port: int = epmd.PORT
    logs: str = LOGS
    program: str = "rabbitmqctl"


def find_address(host: Host, *, environment: str = ENVIRONMENT) -> NodeAddress:
    """Return where the node of a host is, or will be once it is started.

    The name is `rabbit@` and the short host name, unless `rabbitmq-env.conf` says otherwise.
    """
    settings = parse_environment(_text(host, environment))
    name = settings.name or "rabbit"
    if "@" not in name:
        machine = _host_name(host)
        name = f"{name}@{machine if settings.long else machine.partition('.')[0]}"
    return NodeAddress(name, epmd_port=settings.epmd_port)


@dataclass(frozen=True, slots=True)
class Environment:
    """What `rabbitmq-env.conf` says about the name of the node; an empty `name` is the default."""

    name: str = ""
    long: bool = False
    epmd_port: int = epmd.PORT


def parse_environment(text: str) -> Environment:
    """Read the settings that place a node from `rabbitmq-env.conf`; the last of each counts."""
    found = {key: _unquoted(value) for key, value in _SETTING.findall(text)}
    port = found.get("ERL_EPMD_PORT", "")
    return Environment(
        found.get("NODENAME", ""),
        found.get("USE_LONGNAME", "").lower() in ("true", "1", "yes"),
        int(port) if port.isascii() and port.isdigit() else epmd.PORT,
    )


def peer(host: Host, address: NodeAddress) -> Peer:
    """Return the node with its cookie, to connect to. Raises `CookieMissingError`."""
    file = host.read(address.cookie)
    if file is None:
        raise CookieMissingError(
            "the node has no Erlang cookie yet",
            cause=f"{address.cookie} does not exist",
            hint="start the node once: it makes its own cookie",
        )
    if file.content is None:
        raise CookieMissingError(
            "the Erlang cookie of the node cannot be read",
            cause=f"no permission to read {address.cookie}",
            hint="run this as root, or as the user rabbitmq",
        )
    cookie = file.content.decode("utf-8", "replace").strip()
    return Peer(address.name, cookie, address.host, address.epmd_port)


def _host_name(host: Host) -> str:
    kernel = _text(host, "/proc/sys/kernel/hostname").strip()
    return kernel or host.run(Command(("hostname",), timeout=10)).stdout.strip()


def _text(host: Host, path: str) -> str:
    file = host.read(path)
    return file.text if file else ""


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value, comments=True)
    except ValueError:
        return value
    return words[0] if words else ""
