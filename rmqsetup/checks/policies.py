"""What a node takes for the definition of a policy: its keys, and the values of each. Pure.

Which policies are imported, and when, belongs to `imported`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Kind = tuple[str, Callable[[Any], bool]]


def _number(least: int) -> Kind:
    words = f"a whole number from {least} on"
    return words, lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _word(*words: str) -> Kind:
    return f"one of {', '.join(words)}", lambda value: value in words


TEXT: Kind = ("a text", lambda value: isinstance(value, str))
ANY: Kind = ("", lambda _: True)
AGE: Kind = (
    "an age such as 7D or 12h",
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"\d+[YMDhms]", value)),
)

KEYS: dict[str, Kind] = {
    **dict.fromkeys(("alternate-exchange", "dead-letter-exchange", "dead-letter-routing-key"), TEXT),
    **dict.fromkeys(("max-length", "max-length-bytes", "max-in-memory-length", "max-in-memory-bytes"), _number(0)),
    **dict.fromkeys(("message-ttl", "consumer-timeout"), _number(0)),
    "expires": _number(1),
    "max-age": AGE,
    "overflow": _word("drop-head", "reject-publish", "reject-publish-dlx"),
    "dead-letter-strategy": _word("at-most-once", "at-least-once"),
    "queue-mode": _word("default", "lazy"),
    "queue-version": ("1 or 2", lambda value: value in (1, 2)),
    "queue-leader-locator": _word("client-local", "balanced", "random", "least-leaders"),
    **dict.fromkeys(("delivery-limit", "initial-cluster-size", "target-group-size"), ANY),
    **dict.fromkeys(("stream-max-segment-size-bytes", "stream-filter-size-bytes", "queue-master-locator"), ANY),
    **dict.fromkeys(("consumer-disconnected-timeout", "delayed-retry-type"), ANY),
    **dict.fromkeys(("delayed-retry-min", "delayed-retry-max"), ANY),
}
"""By the validators that 3.10, 4.0 and 4.3 have, and what each accepts; what differs among them is not judged."""

MIRRORED = (
    *("ha-mode", "ha-params", "ha-sync-mode", "ha-sync-batch-size"),
    *("ha-promote-on-shutdown", "ha-promote-on-failure"),
)
"""Keys of mirrored queues, which 4.0 took away."""

BROUGHT = {
    "federation-upstream": "rabbitmq_federation",
    "federation-upstream-set": "rabbitmq_federation",
    "federation-upstream-pattern": "rabbitmq_federation",
    "shards-per-node": "rabbitmq_sharding",
    "routing-key": "rabbitmq_sharding",
}
"""Keys that come with a plugin."""

APPLIED = ("all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as definitions have it, whatever they have in its place."""

    pattern: object
    applied: object
    definition: object


def faults(policy: Policy, plugins: str, release: str) -> Iterator[str]:
    """Say what a node of a release refuses of a policy, with the plugins that are enabled."""
    if not isinstance(policy.pattern, str):
        yield "has no pattern"
    if policy.applied not in APPLIED:
        yield f"is to apply to {policy.applied}, which is none of {', '.join(APPLIED)}"
    if not isinstance(policy.definition, dict) or not policy.definition:
        yield "defines nothing"
        return
    yield from filter(None, (_fault(key, value, plugins, release) for key, value in policy.definition.items()))


def _fault(key: str, value: object, plugins: str, release: str) -> str:
    if key in MIRRORED:
        gone = int(release.partition(".")[0] or 0) >= 4
        return f"has {key}, of mirrored queues, which RabbitMQ {release} does not have" if gone else ""
    if key in BROUGHT:
        there = re.search(rf"\b{BROUGHT[key]}\b", plugins)
        return "" if there else f"has {key}, which {BROUGHT[key]} brings, and that is not enabled"
    if key not in KEYS:
        meant = get_close_matches(key, [*KEYS, *BROUGHT], 1, 0.75)
        return f"has {key}, which there is not" + (f"; {meant[0]} may be meant" if meant else "")
    words, fits = KEYS[key]
    return "" if fits(value) else f"has {key} {value!r}, which has to be {words}"
