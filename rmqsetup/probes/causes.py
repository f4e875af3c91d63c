"""What a node's last words mean, and what to do: the few causes that a log names beyond doubt.

Which lines are last words is in `logs`.
"""

from __future__ import annotations

import re

from rmqsetup.host import Host
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.probes import ports

_KNOWN = (
    (
        r"epmd error for host ([\w.-]+): ",
        "let the name {0} lead to this machine: look at /etc/hosts and at hostname",
    ),
    (
        r"[Cc]ookie file (\S+) must be accessible by owner only",
        "{own}chmod 400 {0}",
    ),
    (
        r"Error when reading (\S*\.erlang\.cookie): eacces",
        "{own}chmod 400 {0}",
    ),
    (
        r"Conf file attempted to set unknown variable: (\S+)",
        "take {0} out of {config}/rabbitmq.conf or conf.d, or enable the plugin it belongs to",
    ),
    (
        r"Error transforming datatype for: (\S+)",
        "give {0} a value that it can have, in {config}/rabbitmq.conf or conf.d",
    ),
)
"""Words of RabbitMQ 3.10, 4.0 and 4.3 as they were seen when the fault was made on a machine, and what mends it."""

_TAKEN = re.compile(r"eaddrinuse|address already in use")
_LISTENER = re.compile(r"could_not_start_listener|eaddrinuse|address already in use")
"""The first is how a long line begins whose end, with the reason, is cut off: what is taken shows by itself."""
_PORT = re.compile(
    r"could_not_start_listener,\"[^\"]*\",(\d+)|acceptor,\{[\d,]+\},(\d+)\}|\{port,(\d+)\}|\bport (\d+)|:(\d{4,5})\b"
)


def remedy(host: Host, words: tuple[str, ...], its: Layout = SYSTEM) -> str:
    """Return what to type or look at for the first cause that the last words of a node name, or nothing."""
    text = "\n".join(words)
    for pattern, advice in _KNOWN:
        if found := re.search(pattern, text):
            own = f"chown {its.user}: {found[1]} && " if its.user else ""
            return advice.format(*found.groups(), own=own, config=its.config)
    for line in filter(_LISTENER.search, words):
        if found := _PORT.search(line):
            return _port(host, int(next(filter(None, found.groups()))), surely=bool(_TAKEN.search(line)))
    return ""


def _port(host: Host, port: int, *, surely: bool) -> str:
    """Say who holds a port, where we may see that; nothing where it is neither said nor seen to be taken."""
    found = next((each for each in ports.taken(host) if each.port == port), None)
    if not found and not surely:
        return ""
    who = ports.holder(host, found) if found else ""
    return f"port {port} is taken by {who or 'another process'}: end that one, or let the broker listen elsewhere"
