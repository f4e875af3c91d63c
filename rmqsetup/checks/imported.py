"""What definitions refer to that is not there when a node imports them. Pure: text in.

Which files are imported, and whether they are JSON, belongs to `configuration`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rmqsetup.checks import policies

IN_A_HOST = (
    "queues",
    "exchanges",
    "bindings",
    "policies",
    "operator_policies",
    "permissions",
    "topic_permissions",
    "parameters",
)
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

COMPONENTS = {
    "shovel": "rabbitmq_shovel",
    "federation-upstream": "rabbitmq_federation",
    "federation-upstream-set": "rabbitmq_federation",
}
"""Components of runtime parameters, and the plugin that brings each."""

TORN = ("missing )", "unbalanced parenthesis", "unterminated character set", "nothing to repeat")
"""How Python says what no regular expression may have."""


@dataclass(frozen=True, slots=True)
class Importer:
    """The node that imports: the virtual hosts and users it has, the list of enabled plugins, its release.

    `may_have` tells whether its own data name something: what definitions refer to need not be among them.
    """

    hosts: frozenset[str]
    users: frozenset[str]
    plugins: str = ""
    release: str = ""
    may_have: Callable[[str], bool] = lambda _: False


def fault(text: str, node: Importer) -> str:
    """Say which entry of definitions, a JSON object, a node refuses first; empty where none is known to be."""
    told = json.loads(text)
    known = node.hosts | {str(row.get("name")) for row in _rows(told, "vhosts")}
    may = node.users | {str(row.get("name")) for row in _rows(told, "users")}
    faults = (
        *(
            f"{_called(kind, row)} is for the virtual host {row['vhost']}, which is not there"
            for kind in IN_A_HOST
            for row in _rows(told, kind)
            if "vhost" in row and str(row["vhost"]) not in known
        ),
        *(
            f"permissions are for the user {row['user']}, who is not there"
            for row in (*_rows(told, "permissions"), *_rows(told, "topic_permissions"))
            if "user" in row and str(row["user"]) not in may and not node.may_have(str(row["user"]))
        ),
        *_types(told, node.plugins),
        *_patterns(told),
        *_policies(told, node),
        *_parameters(told, node.plugins),
        *_bindings(told, node),
    )
    return next(iter(faults), "")


def _policies(told: dict[str, Any], node: Importer) -> Iterator[str]:
    for kind in ("policies", "operator_policies"):
        for row in _rows(told, kind):
            its = policies.Policy(row.get("pattern"), row.get("apply-to", "all"), row.get("definition"))
            for what in policies.faults(its, node.plugins, node.release):
                yield f"{_called(kind, row)} {what}"


def _parameters(told: dict[str, Any], plugins: str) -> Iterator[str]:
    for row in _rows(told, "parameters"):
        plugin = COMPONENTS.get(str(row.get("component")), "")
        if plugin and not re.search(rf"\b{plugin}\b", plugins):
            yield f"{_called('parameters', row)} is one of {plugin}, which is not enabled"


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


def _bindings(told: dict[str, Any], node: Importer) -> Iterator[str]:
    named = {
        kind: {(row.get("vhost"), row.get("name")) for row in _rows(told, kind)} for kind in ("queues", "exchanges")
    }
    for row in _rows(told, "bindings"):
        kind = "exchanges" if row.get("destination_type") == "exchange" else "queues"
        ends = (("exchanges", row.get("source")), (kind, row.get("destination")))
        for where, name in ends:
            built_in = where == "exchanges" and (not name or str(name).startswith("amq."))
            if built_in or (row.get("vhost"), name) in named[where]:
                continue
            if not node.may_have(str(name)):
                yield f"a binding is for the {where[:-1]} {name}, which is not defined"


def _rows(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = told.get(kind)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _called(kind: str, row: dict[str, Any]) -> str:
    word = {"policies": "policy", "operator_policies": "operator policy"}.get(kind, kind.removesuffix("s"))
    name = row.get("name", row.get("user", row.get("source", "")))
    return f"the {word} {name}".strip()
