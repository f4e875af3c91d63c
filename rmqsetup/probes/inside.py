"""Samples of a broker from inside its node, over the Erlang distribution: one question at each look.

What is asked is in `sample.erl`; the same over the HTTP API is in `api`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from rmqsetup.probes.distribution import Connection, Peer
from rmqsetup.probes.node import NodeState, NodeStatus, ask, parse_alarms, parse_listeners
from rmqsetup.probes.sample import LONGEST, Flow, Member, Queue, Sample, ranked
from rmqsetup.probes.terms import TRUE, Atom, Opaque, Term, TermError, encode, text
from rmqsetup.probes.wire import GarbledError

PAGE = 100
"""How many classic queues are asked for their length at a look, where the node keeps no statistics of them."""

TIMEOUT = 5.0
"""Seconds that a look may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the walk through the queues goes on, and the queues to ask again: the longest so far, as Erlang names."""

    slot: int = 0
    known: tuple[Term, ...] = field(default=())


class Inside:
    """A conversation with a node that is kept open from look to look. `peer` tells whom to talk to, cookie and all."""

    def __init__(self, peer: Callable[[], Peer]) -> None:
        self._peer = peer
        self._place = Place()
        self._connection: Connection | None = None
        self._question: Opaque | None = None

    def sample(self) -> Sample:
        """Look once. Raises `ProbeError`; what is open then is no longer fit for a next look."""
        node = self._connection
        if node is None:
            node = self._connection = Connection.open(self._peer(), timeout=TIMEOUT)
        node.extend(TIMEOUT)
        try:
            at = time.monotonic()
            if node.call("rabbit", "is_running") != TRUE:
                return Sample(at, ask(node, node.peer.name))
            self._question = self._question or parsed(node, files(__package__).joinpath("sample.erl").read_text())
            answer = evaluated(node, self._question, _variables(self._place))
            found, self._place = parse_sample(answer, node.peer.name, at)
        except (TermError, ValueError, TypeError, IndexError, KeyError) as error:
            raise GarbledError(f"{node.peer.name} answers in a form that is not known", cause=str(error)) from error
        return found

    def close(self) -> None:
        """Hang up. Never raises."""
        if self._connection:
            self._connection.close()
            self._connection = None


def parsed(node: Connection, expression: str) -> Opaque:
    """Have a node read an Erlang expression; what comes back is what it can evaluate. Raises `TermError`."""
    tokens = node.call("erl_scan", "string", list(expression.encode()))
    form = node.call("erl_parse", "parse_exprs", tokens[1]) if isinstance(tokens, tuple) else tokens
    if not isinstance(form, tuple) or form[0] != Atom("ok"):
        raise TermError("the node does not read an expression")
    return Opaque(encode(form[1])[1:])


def evaluated(node: Connection, question: Opaque, variables: list[Term]) -> Term:
    """Have a node evaluate what it has read, with variables, and return its value. Raises `CallError`."""
    answer = node.call("erl_eval", "exprs", question, variables)
    if not isinstance(answer, tuple) or len(answer) != 3:
        raise TermError("an expression without a value")
    return answer[1]


def parse_sample(answer: Term, name: str, at: float) -> tuple[Sample, Place]:
    """Return the sample in an answer to `sample.erl`, and where the next look goes on."""
    items = {text(key): value for key, value in _pairs(answer)}
    told = [(_queue(one), one) for one in _list(items["told"])]
    unwritten = [_written(one) is None for _, one in told]
    longest = ranked(tuple(queue for queue, _ in told))
    slot, following = (_number(each) or 0 for each in _tuple(items["slot"]))
    silent, whole = items["silent"] == TRUE, slot == following == 0
    known = tuple(_resource(term) for queue, term in told if queue in longest) if silent and not whole else ()
    counted = not silent or whole
    sample = Sample(
        at,
        _status(items, name),
        counted=_flow(items["counted"]),
        queues=_number(items["queues"]),
        seen=(_number(items["written"]) or 0) + sum(unwritten),
        ready=_total(items["ready"], told, 0) if counted else None,
        unacknowledged=_total(items["unacknowledged"], told, 1) if counted else None,
        longest=longest,
        connections=_number(items["connections"]),
        channels=_number(items["channels"]),
        consumers=_number(items["consumers"]),
        members=tuple(sorted((_member(one) for one in _list(items["members"])), key=lambda one: one.name)),
    )
    return sample, Place(following, known)


def _variables(place: Place) -> list[Term]:
    values: tuple[tuple[str, Term], ...] = (
        ("Longest", LONGEST),
        ("Page", PAGE),
        ("Slot", place.slot),
        ("Known", list(place.known)),
    )
    return [(Atom(name), value) for name, value in values]


def _status(items: dict[str, Term], name: str) -> NodeStatus:
    uptime = _number(items["uptime"])
    return NodeStatus(
        name,
        NodeState.RUNNING,
        version=text(items["version"]),
        erlang=text(items["erlang"]),
        uptime=uptime / 1000 if uptime is not None else None,
        listeners=parse_listeners(items["listeners"], name),
        alarms=parse_alarms(items["alarms"], name),
        memory=_number(items["memory"]),
        memory_limit=_number(items["memory_limit"]),
        disk_free=_number(items["disk_free"]),
        disk_free_limit=_number(items["disk_free_limit"]),
    )


def _flow(term: Term) -> Flow | None:
    if not isinstance(term, tuple):
        return None
    received, confirmed, unroutable, delivered, redelivered, acknowledged = (_number(each) or 0 for each in term)
    return Flow(received, confirmed, unroutable, delivered, redelivered, acknowledged)


def _queue(term: Term) -> Queue:
    host, name, kind, values, _ = _tuple(term)
    ready, unacknowledged, consumers = (_number(each) for each in _list(values))
    word = text(kind).removeprefix("rabbit_").removesuffix("_queue")
    return Queue(text(host), text(name), word, ready, unacknowledged, consumers)


def _written(term: Term) -> list[Term] | None:
    """Return what a node had written down of a queue when it was asked, if anything."""
    written = _list(_tuple(term)[4])
    return _list(written[0]) if written else None


def _total(written: Term, told: list[tuple[Queue, Term]], which: int) -> int:
    """Return the sum of what is written, with what was asked for in the place of what was written of the same queue."""
    total = _number(written) or 0
    for queue, term in told:
        old = _number((_written(term) or [0, 0])[which]) or 0
        new = (queue.ready, queue.unacknowledged)[which]
        total += 0 if new is None else new - old
    return max(total, 0)  # a queue may have written anew meanwhile


def _resource(term: Term) -> Term:
    host, name, *_ = _tuple(term)
    return (Atom("resource"), host, Atom("queue"), name)


def _member(term: Term) -> Member:
    name, running = _tuple(term)
    return Member(text(name), running == TRUE)


def _pairs(term: Term) -> list[tuple[Term, Term]]:
    return [(key, value) for key, value in map(_tuple, _list(term))]


def _list(term: Term) -> list[Term]:
    if isinstance(term, list):
        return term
    raise TermError("something else than a list")


def _tuple(term: Term) -> tuple[Term, ...]:
    if isinstance(term, tuple):
        return term
    raise TermError("something else than a tuple")


def _number(term: Term) -> int | None:
    return term if isinstance(term, int) else None
