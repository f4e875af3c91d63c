"""The last lines of a node's logs that say why it does not work.

Only read when something failed: old failures stay in these files for ever.
"""

from __future__ import annotations

import re

from rmqsetup.host import Command, Host

DIRECTORY = "/var/log/rabbitmq"
LINES = 8

_BAD = re.compile(
    r"\[(error|critical|alert|emergency)\]|alarm|BOOT FAILED|ERROR|Error|refus|exception|permission denied|eacces"
    r"|not found|timed out|failed|Fail",
)
_STARTS = re.compile(r"Starting RabbitMQ|Starting broker|Starting rabbitmq-server|  RabbitMQ \d+\.\d+")
_NOISE = re.compile(r"^\s*$|^[=\-+|\s#]*$|erl_child_setup|memory supervisor port|port_died,normal|Writer crashed")


def last_words(host: Host, node: str, *, unit: str = "rabbitmq-server", journal: bool = True) -> tuple[str, ...]:
    """Return the lines of the last start that tell of trouble, newest log first, each with its file.

    Debian's unit writes beside the node's own log into `rabbitmq-server.error.log`; upstream's into the
    journal. Both are looked at.
    """
    texts = [
        (path, _tail(host, f"{DIRECTORY}/{path}"))
        for path in (f"{node}.log", "rabbitmq-server.error.log", "rabbitmq-server.log")
    ]
    if journal:
        command = Command(("journalctl", "-q", "--no-pager", "-b", "-n", "60", "-o", "cat", "-u", unit), timeout=15)
        texts.append(("journal", host.run(command).stdout))
    found: list[str] = []
    for name, text in texts:
        lines = [f"{name}: {line}" for line in relevant(text)]
        found += [line for line in lines if line not in found]
        if len(found) >= LINES:
            break
    return tuple(found[:LINES])


def relevant(text: str, limit: int = LINES) -> tuple[str, ...]:
    """Return the last lines since the last start that tell of trouble; all last lines are worth less."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _STARTS.search(line)]
    current = lines[starts[-1] :] if starts else lines
    bad = [line.strip()[:300] for line in current if _BAD.search(line) and not _NOISE.search(line)]
    return tuple(dict.fromkeys(bad[-limit:]))


def _tail(host: Host, path: str) -> str:
    """Return the end of a file, however long it has grown."""
    result = host.run(Command(("tail", "-n", "200", path), timeout=10))
    return result.stdout if result.ok else ""
