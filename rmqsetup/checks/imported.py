"""What definitions refer to that is not there when a node imports them. Pure: text in.

Which files are imported, and whether they are JSON, belongs to `configuration`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

IN_A_HOST = ("queues", "exchanges", "bindings", "policies", "operator_policies", "permissions", "parameters")
QUEUES = ("classic", "quorum", "stream")
EXCHANGES = ("direct", "fanout", "topic", "headers", "x-local-random")
BROUGHT = {
    "x-delayed-message": "rabbitmq_delayed_message_exchange",
    "x-consistent-hash": "rabbitmq_consistent_hash_exchange",
    "x-random": "rabbitmq_random_exchange",
    "x-recent-history": "rabbitmq_recent_history_exchange",
    "x-jms-topic": "rabbitmq_jms_topic_exchange",
    "x-modulus-hash": "rabbitmq_sharding",
}
"""Types of exchanges that come with a plugin."""

TORN = ("missing )", "unbalanced parenthesis", "unterminated character set", "nothing to repeat")
"""How Python says what no regular expression may have."""


def fault(text: str, hosts: frozenset[str], users: frozenset[str], plugins: str) -> str:
    """Say which entry of definitions, a JSON object, a node refuses first; empty where none is known to be.

    `hosts` and `users` are there already, `plugins` is the list of those that are enabled.
    """
    told = json.loads(text)
    known = hosts | {str(row.get("name")) for row in _rows(told, "vhosts")}
    may = users | {str(row.get("name")) for row in _rows(told, "users")}
    faults = (
        *(
            f"{_called(kind, row)} is for the virtual host {row['vhost']}, which is not there"
            for kind in IN_A_HOST
            for row in _rows(told, kind)
            if "vhost" in row and str(row["vhost"]) not in known
        ),
        *(
            f"permissions are for the user {row['user']}, who is not there"
            for row in _rows(told, "permissions")
            if "user" in row and str(row["user"]) not in may
        ),
        *_types(told, plugins),
        *_patterns(told),
        *_bindings(told),
    )
    return next(iter(faults), "")


def _types(told: dict[str, Any], plugins: str) -> Iterator[str]:
    for row in _rows(told, "queues"):
        arguments = row.get("arguments")
        kind = arguments.get("x-queue-type") if isinstance(arguments, dict) else None
        if kind is not None and kind not in QUEUES:
            yield f"{_called('queues', row)} is to be of the type {kind}, which there is not"
    for row in _rows(told, "exchanges"):
        kind = str(row.get("type", "direct"))
        plugin = BROUGHT.get(kind, "")
        if kind not in EXCHANGES and not (plugin and re.search(rf"\b{plugin}\b", plugins)):
            brings = f"which {plugin} brings, and that is not enabled" if plugin else "which no enabled plugin brings"
            if plugin or not kind.startswith("x-"):
                yield f"{_called('exchanges', row)} is of the type {kind}, {brings}"


def _patterns(told: dict[str, Any]) -> Iterator[str]:
    for row in (*_rows(told, "policies"), *_rows(told, "operator_policies")):
        if why := _torn(str(row.get("pattern", ""))):
            yield f"the pattern of {_called('policies', row)} is none: {why}"


def _torn(pattern: str) -> str:
    """Say why a pattern is none in any dialect; what Python alone does not know (PCRE has more) is no fault."""
    if re.search(r"\[.*(?:\[|--|&&|\|\||~~)", pattern):  # Python takes a class of characters there for a doubtful one
        return ""
    try:
        re.compile(pattern)
    except re.error as why:
        return str(why) if why.msg.startswith(TORN) else ""
    return ""


def _bindings(told: dict[str, Any]) -> Iterator[str]:
    named = {
        kind: {(row.get("vhost"), row.get("name")) for row in _rows(told, kind)} for kind in ("queues", "exchanges")
    }
    for row in _rows(told, "bindings"):
        kind = "exchanges" if row.get("destination_type") == "exchange" else "queues"
        ends = (("exchanges", row.get("source")), (kind, row.get("destination")))
        for where, name in ends:
            built_in = where == "exchanges" and (not name or str(name).startswith("amq."))
            if not built_in and (row.get("vhost"), name) not in named[where]:
                yield f"a binding is for the {where[:-1]} {name}, which is not defined"


def _rows(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = told.get(kind)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _called(kind: str, row: dict[str, Any]) -> str:
    word = {"policies": "policy", "operator_policies": "operator policy"}.get(kind, kind.removesuffix("s"))
    name = row.get("name", row.get("user", row.get("source", "")))
    return f"the {word} {name}".strip()
