"""What advanced.config says, in the words that rabbitmq.conf has for it, so that it is judged alike. Pure: text in.

Whether it is an Erlang term at all belongs to `configuration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks.settings import Setting
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.terms import Atom, Term

SAME = (
    *("heartbeat", "frame_max", "channel_max", "handshake_timeout", "consumer_timeout", "load_definitions"),
    *("connection_max", "max_message_size", "channel_max_per_node", "default_vhost", "cluster_partition_handling"),
)
"""Settings of the application `rabbit` that have one name in both files."""

KERNEL = {
    "inet_dist_use_interface": "distribution.listener.interface",
    "inet_dist_listen_min": "distribution.listener.port_range.min",
    "inet_dist_listen_max": "distribution.listener.port_range.max",
}
SHARES = {"absolute": "absolute", "relative": "relative", "mem_relative": "relative"}


def parse(file: str, text: str) -> tuple[Setting, ...]:
    """Read what is understood; nothing of a text that is no term."""
    lines = text.splitlines()
    found = []
    for app, key, value in pairs(text):
        number = next((n for n, line in enumerate(lines, start=1) if re.search(rf"\b{key}\b", line)), 1)
        found += [Setting(name, said, file, number, lines[number - 1]) for name, said in _translated(app, key, value)]
    return tuple(found)


def applications(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the applications that have settings, and whether each of them has a list of them."""
    try:
        terms = consult(text)
    except ConsultError:
        return (), True
    rows = terms[0] if terms and isinstance(terms[0], list) else []
    whole = [row for row in rows if _is_row(row)]
    return tuple(row[0].name for row in whole if isinstance(row, tuple)), len(whole) == len(rows)  # type: ignore[union-attr]


def pairs(text: str) -> tuple[tuple[str, str, Term], ...]:
    """Return each setting with its application and its name; nothing of a text that is no term."""
    return tuple(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str, Term]]:
    try:
        terms = consult(text)
    except ConsultError:
        return
    for row in terms[0] if terms and isinstance(terms[0], list) else ():
        if isinstance(row, tuple) and _is_row(row) and isinstance(row[0], Atom) and isinstance(row[1], list):
            for pair in row[1]:
                if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Atom):
                    yield row[0].name, pair[0].name, pair[1]


def _is_row(row: Term) -> bool:
    return isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], Atom) and isinstance(row[1], list)


def _translated(app: str, key: str, value: Term) -> Iterator[tuple[str, str]]:
    """Yield a setting as rabbitmq.conf would have it: several, of one that is a list."""
    named = {"kernel": KERNEL, "rabbit": dict(zip(SAME, SAME, strict=True))}.get(app, {})
    if key in named:
        yield named[key], _said(value)
    elif app == "rabbit" and key in ("vm_memory_high_watermark", "disk_free_limit"):
        pair = value if isinstance(value, tuple) and len(value) == 2 else (Atom(""), value)
        bare = "relative" if isinstance(pair[1], float) else "absolute"
        yield f"{key}.{SHARES.get(_said(pair[0]), bare)}", _said(pair[1])
    elif app == "rabbit" and isinstance(value, list):
        yield from _listed(key, value)


def _listed(key: str, items: list[Term]) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(items, start=1):
        if key in ("tcp_listeners", "ssl_listeners"):
            yield f"listeners.{key[:3]}.{number}", _listener(item)
        elif key in ("auth_backends", "auth_mechanisms"):
            yield f"{key}.{number}", _said(item)
        elif key == "ssl_options" and isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], Atom):
            yield f"ssl_options.{item[0].name}", _said(item[1])


def _listener(item: Term) -> str:
    if isinstance(item, tuple) and len(item) == 2:
        return f"{_said(item[0])}:{_said(item[1])}"
    return _said(item)


def _said(value: Term) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, tuple) and value and all(isinstance(part, int) for part in value):
        return ".".join(map(str, value))
    return value.name if isinstance(value, Atom) else str(value) if isinstance(value, int | float) else ""
