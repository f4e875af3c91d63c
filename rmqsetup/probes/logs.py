"""The last lines of a node's logs that say why it does not work.

Only read when something failed, and only since the last start: old failures stay in these files for ever.
"""

from __future__ import annotations

import re
from datetime import datetime

from rmqsetup.host import Command, Host
from rmqsetup.managers.layout import Layout
from rmqsetup.probes.address import NodeAddress

LINES = 6
"""How many lines are worth showing."""

_DEBIAN = ("rabbitmq-server.log", "rabbitmq-server.error.log")
_LINE = re.compile(r"^(?:(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d) )?(?:\[(\w+)\] )?(?:<[\d.]+> ?)?(.*)$")
_GRAVE = ("warning", "error", "critical", "alert", "emergency")
_BAD = re.compile(r"BOOT FAILED|[Ee]rror|ERROR|refus|[Ee]xception|denied|not found|not enabled|timed out|[Ff]ailed")
_NOISE = re.compile(
    r"^ {3}|^ +\w+:$|^[=\-+|\s#*]*$|erl_child_setup|memory supervisor port|port_died,normal|Writer crashed"
    r"|alarm cleared|Classic peer discovery backend|rebuilding indices from scratch|Did you mean"
    r"|worker exited with shutdown|Connection attempt from node|Memory monitor process not yet started"
    r"|Kernel pid terminated"
)
"""Continuations of crash reports, what every orderly stop and start says, and what is over."""


def last_words(host: Host, address: NodeAddress, *, since: float = 0.0, running: bool = False) -> tuple[str, ...]:
    """Return the lines that tell of trouble since a moment (in seconds since the epoch), each with its file.

    A node that runs writes its own log. What kept one from starting is where its service writes, which
    is beside that log with Debian's unit and Homebrew's, and the journal with upstream's.
    """
    node, layout = address.name, address.layout
    if layout.log:
        return _told(layout.log, _tail(host, layout, layout.log), 0.0)
    if running:
        return _told(f"{node}.log", _tail(host, layout, f"{node}.log"), since)
    out, errors = ("std_out.log", "std_error.log") if layout.prefix else _DEBIAN
    found = [
        *_told(out, _tail(host, layout, out), since),
        *_told(f"{node}.log", _tail(host, layout, f"{node}.log"), since),
    ]
    if layout.prefix or _modified(host, f"{layout.logs}/{errors}") >= since:
        found += _told(errors, _tail(host, layout, errors), 0.0)
    if not found and not layout.prefix:
        found += _told("journal", _journal(host, since), 0.0)
    return tuple(found[:LINES])


def relevant(text: str, since: float = 0.0) -> tuple[str, ...]:
    """Return the last lines since a moment that tell of trouble: warnings and worse, where lines have levels.

    Each once, and without its time and process, which tell nobody why.

    Lines without a time are as old as the one before them; after the last `BOOT FAILED` nothing is older.
    """
    told: list[str] = []
    current = since == 0.0
    for line in text.splitlines():
        time, level, message = _parts(line)
        current = time >= since if time else current
        if current and not _NOISE.search(message) and (level in _GRAVE if level else _BAD.search(message)):
            words = f"[{level}] {message}" if level else line.strip()
            told = [words[:300]] if message == "BOOT FAILED" and not level else [*told, words[:300]]
    return tuple(dict.fromkeys(told))[-LINES:]


def _parts(line: str) -> tuple[float, str, str]:
    """Return when a line was written (0 where it does not say), its level and its message."""
    found = _LINE.match(line)
    if not found:
        return 0.0, "", line
    try:
        time = datetime.fromisoformat(found[1]).timestamp() if found[1] else 0.0
    except ValueError:
        time = 0.0
    return time, found[2] or "", found[3]


def _told(name: str, text: str, since: float) -> tuple[str, ...]:
    return tuple(f"{name}: {line}" for line in relevant(text, since))


def _tail(host: Host, layout: Layout, name: str) -> str:
    """Return the end of a log, however long it has grown."""
    result = host.run(Command(("tail", "-n", "200", f"{layout.logs}/{name}"), timeout=10))
    return result.stdout if result.ok else ""


def _journal(host: Host, since: float) -> str:
    asked = ("journalctl", "-q", "--no-pager", "-n", "60", "-o", "cat", "-u", "rabbitmq-server")
    return host.run(Command((*asked, "--since", f"@{int(since)}"), timeout=15)).stdout


def _modified(host: Host, path: str) -> float:
    result = host.run(Command(("stat", "-c", "%Y", path), timeout=10))
    return float(result.stdout) + 1 if result.ok else -1.0
