"""Where the node of a host is: its name, its cookie, its epmd.

What the node answers there belongs to `node`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from rmqsetup.host import Command, Host, text_of
from rmqsetup.managers.layout import FORMULA, PREFIXES, SYSTEM, Layout, of_brew
from rmqsetup.probes import epmd
from rmqsetup.probes.distribution import Peer
from rmqsetup.probes.wire import LOOPBACK, ProbeError

COOKIE = SYSTEM.cookie
"""Where the node's packages keep its cookie."""

_SETTING = re.compile(
    r"^\s*(?:export\s+)?(?:RABBITMQ_)?(NODENAME|USE_LONGNAME|ERL_EPMD_PORT)=(\S.*?)\s*$", re.MULTILINE
)


class CookieMissingError(ProbeError):
    """There is no cookie to prove ourselves with, or we may not read it."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node and how to reach it: full `name`, address of its machine, file of its cookie, port of epmd.

    `port` is that of a node which no epmd need be asked about. `layout` is where its files and programs are,
    `variables` what rabbitmqctl has to be told beside the name.
    """

    name: str
    host: str = LOOPBACK
    cookie: str = COOKIE
    epmd_port: int = epmd.PORT
    layout: Layout = SYSTEM
    port: int = 0
    variables: tuple[tuple[str, str], ...] = ()


def find_layout(host: Host, home: str, *, wanted: bool = False) -> Layout:
    """Return the places of a host's RabbitMQ, at the price of looks at a few folders.

    They are Homebrew's on a Mac, where there is nothing else, and where only Homebrew has one or is `wanted`.
    `home` is that of the user that we are.
    """
    prefix = next((place for place in PREFIXES if "brew" in host.names(f"{place}/bin")), "")
    if "SystemVersion.plist" in host.names("/System/Library/CoreServices"):
        return of_brew(prefix, home=home)
    only = FORMULA in host.names(f"{prefix}/Cellar") and "rabbitmq-server" not in host.names("/usr/sbin")
    return of_brew(prefix, home=home) if prefix and (wanted or only) else SYSTEM


def find_address(host: Host, layout: Layout = SYSTEM) -> NodeAddress:
    """Return where the node of a host is, or will be once it is started.

    The name is `rabbit@` and the short host name, unless `rabbitmq-env.conf` says otherwise.
    """
    settings = parse_environment(text_of(host, layout.environment))
    name = settings.name or layout.node or "rabbit"
    if "@" not in name:
        machine = _host_name(host)
        name = f"{name}@{_full_name(host, machine) if settings.long else machine.partition('.')[0]}"
    return NodeAddress(name, cookie=layout.cookie, epmd_port=settings.epmd_port, layout=layout)


@dataclass(frozen=True, slots=True)
class Environment:
    """What `rabbitmq-env.conf` says about the name of the node; an empty `name` is the default."""

    name: str = ""
    long: bool = False
    epmd_port: int = epmd.PORT


def parse_environment(text: str) -> Environment:
    """Read the settings that place a node from `rabbitmq-env.conf`; the last of each counts."""
    found = {key: unquoted(value) for key, value in _SETTING.findall(text)}
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
    return Peer(address.name, cookie, address.host, address.epmd_port, address.port)


def _host_name(host: Host) -> str:
    kernel = text_of(host, "/proc/sys/kernel/hostname").strip()
    return kernel or host.run(Command(("hostname",), timeout=10)).stdout.strip()


def _full_name(host: Host, machine: str) -> str:
    """Return a machine's name with its domain, as its resolver has it: Erlang takes that for a long name."""
    return machine if "." in machine else host.run(Command(("hostname", "-f"), timeout=10)).stdout.strip() or machine


def unquoted(value: str) -> str:
    """Return what a shell makes of the value of an assignment."""
    try:
        words = shlex.split(value, comments=True)
    except ValueError:
        return value
    return words[0] if words else ""
