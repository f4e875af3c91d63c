"""Samples of a broker over its HTTP API: for whoever has a login and no Erlang cookie.

The same from inside the node, for a fraction of the price, is in `inside`.
"""

from __future__ import annotations

import contextlib
import json
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from rmqsetup.errors import UsageError
from rmqsetup.probes.node import NodeListener, NodeState, NodeStatus, Way
from rmqsetup.probes.sample import LONGEST, Flow, Member, Queue, Sample, Scope, ranked
from rmqsetup.probes.wire import ClosedError, GarbledError, ProbeError, UnreachableError

if TYPE_CHECKING:  # it takes 40 ms to import
    from http.client import HTTPConnection

URL = "http://127.0.0.1:15672"
"""Where the management plugin listens unless told otherwise."""

TIMEOUT = 5.0
"""Seconds that a question may take."""

PATIENCE = 30.0
"""Seconds that the question for the longest queues may take: the node looks at each of them (3 s seen for 5,000)."""

SHARE = 0.02
"""How much of the time the node may spend on that: it is asked again when that is a small part of what has passed."""

MANY = 1000
"""From so many queues on their consumers are not asked for: without the statistics of each it takes a quarter."""

_OVERVIEW = "/api/overview"
_NODES = "/api/nodes?columns=name,running,uptime,mem_used,mem_limit,disk_free,disk_free_limit"
_ALARMS = "/api/health/checks/alarms"
_QUEUES = (
    f"/api/queues?page=1&page_size={LONGEST}&sort=messages&sort_reverse=true"
    "&columns=vhost,name,type,messages_ready,messages_unacknowledged,consumers"
)
_BARE = "&disable_stats=true&enable_queue_totals=true"


@dataclass(frozen=True, slots=True)
class Service:
    """An HTTP API and who to log in as."""

    url: str = URL
    user: str = "guest"
    password: str = field(default="guest", repr=False)


class RefusedLoginError(ProbeError):
    """The HTTP API does not let this user in."""


class Api:
    """A conversation with an HTTP API that is kept open from look to look. Raises `UsageError` for what is no URL."""

    def __init__(self, service: Service) -> None:
        parts = _address(service.url)
        if parts.username or parts.password:
            raise UsageError(
                "the address of the HTTP API holds a login, which others would see in the list of processes",
                hint="give it in RABBITMQ_USER and RABBITMQ_PASSWORD",
            )
        self._service = service
        self._tls, self._host, self._path = parts.scheme == "https", parts.hostname or "", parts.path.rstrip("/")
        self._port = parts.port or (443 if self._tls else 80)
        self._connection: HTTPConnection | None = None
        self._longest: tuple[Queue, ...] = ()
        self._asked_again = 0.0

    def sample(self) -> Sample:
        """Look once. Raises `ProbeError`; what is open then is no longer fit for a next look."""
        try:
            at = time.monotonic()
            overview, nodes = self._ask(_OVERVIEW), self._ask(_NODES)
            alarms = self._ask(_ALARMS).get("alarms", [])  # what /api/nodes says of them is ten seconds old
            if at >= self._asked_again:
                self._look_at_queues(overview["object_totals"]["queues"])
            return parse_sample((overview, nodes, alarms), self._longest, at)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise GarbledError(f"{self._service.url} answers in a form that is not known", cause=str(error)) from error

    def close(self) -> None:
        """Hang up. Never raises."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _look_at_queues(self, count: int) -> None:
        begun = time.monotonic()
        listed = self._ask(_QUEUES + (_BARE if count >= MANY else ""), timeout=PATIENCE)
        self._longest = ranked(tuple(_queue(one) for one in listed["items"]))
        ended = time.monotonic()
        self._asked_again = ended + (ended - begun) / SHARE

    def _ask(self, path: str, *, timeout: float = TIMEOUT) -> Any:  # noqa: ANN401 - JSON
        url, user = self._service.url, self._service.user
        status, body = self._answer(path, timeout)
        if status == 401:
            hint = "give another login in RABBITMQ_USER and RABBITMQ_PASSWORD, of a user with the tag monitoring"
            raise RefusedLoginError(f"the HTTP API does not let {user} in", cause=f"{url} says 401", hint=hint)
        if status != 200 and (status, path) != (503, _ALARMS):
            raise GarbledError(f"the HTTP API at {url} does not answer", cause=f"{path} says {status}")
        return json.loads(body)

    def _answer(self, path: str, timeout: float) -> tuple[int, bytes]:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        url, fresh = self._service.url, self._connection is None
        if self._connection is None:
            self._connection = (HTTPSConnection if self._tls else HTTPConnection)(self._host, self._port)
        self._connection.timeout = timeout
        if self._connection.sock:
            self._connection.sock.settimeout(timeout)
        login = b64encode(f"{self._service.user}:{self._service.password}".encode()).decode()
        try:
            self._connection.request("GET", self._path + path, headers={"Authorization": f"Basic {login}"})
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError as error:
            raise UnreachableError(f"no answer from {url} in time", cause="timed out") from error
        except (OSError, HTTPException) as error:
            cause = (getattr(error, "strerror", "") or str(error)).lower()
            failure = UnreachableError if fresh else ClosedError
            raise failure(f"the HTTP API at {url} does not answer", cause=cause) from error


def _address(url: str) -> SplitResult:
    """Return the parts of an address. Raises `UsageError`."""
    with contextlib.suppress(ValueError):  # of a port that is none, and of brackets
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    raise UsageError(f"{url!r} is no address of an HTTP API", hint=f"as in {URL}")


def parse_sample(answers: tuple[Any, Any, Any], longest: tuple[Queue, ...], at: float) -> Sample:
    """Return the sample in what an HTTP API answers of its overview, its nodes, its alarms."""
    overview, nodes, alarms = answers
    [here] = [node for node in nodes if node["name"] == overview["node"]]
    objects, totals = overview["object_totals"], overview.get("queue_totals") or {}
    return Sample(
        at,
        _status(overview, here, tuple(sorted(one["resource"] for one in alarms if one["node"] == here["name"]))),
        Scope.CLUSTER,
        counted=_flow(overview, lambda stats, name: stats.get(name, 0)),
        told=_flow(overview, lambda stats, name: stats.get(f"{name}_details", {}).get("rate", 0.0)),
        queues=objects["queues"],
        seen=objects["queues"],
        ready=totals.get("messages_ready", 0),
        unacknowledged=totals.get("messages_unacknowledged", 0),
        longest=longest,
        connections=objects["connections"],
        channels=objects["channels"],
        consumers=objects["consumers"],
        members=tuple(sorted((Member(node["name"], node["running"]) for node in nodes), key=lambda one: one.name)),
    )


def _status(overview: Any, here: Any, alarms: tuple[str, ...]) -> NodeStatus:  # noqa: ANN401 - JSON
    listeners = (
        NodeListener(one["protocol"], one["ip_address"], one["port"])
        for one in overview["listeners"]
        if one["node"] == here["name"]
    )
    uptime = here.get("uptime")
    return NodeStatus(
        here["name"],
        NodeState.RUNNING,
        version=overview["rabbitmq_version"],
        erlang=overview["erlang_version"],
        uptime=uptime / 1000 if uptime is not None else None,
        listeners=tuple(sorted(listeners, key=lambda one: (one.port, one.protocol, one.ip))),
        alarms=alarms,
        memory=here.get("mem_used"),
        memory_limit=here.get("mem_limit"),
        disk_free=here.get("disk_free"),
        disk_free_limit=here.get("disk_free_limit"),
        way=Way.HTTP_API,
    )


def _flow(overview: Any, value: Callable[[Any, str], float]) -> Flow | None:  # noqa: ANN401 - JSON
    """Return what a node counts; nothing where it keeps no statistics."""
    if overview.get("disable_stats") or "message_stats" not in overview:
        return None
    one = partial(value, overview["message_stats"])
    unroutable = one("return_unroutable") + one("drop_unroutable")
    return Flow(one("publish"), one("confirm"), unroutable, one("deliver_get"), one("redeliver"), one("ack"))


def _queue(item: Any) -> Queue:  # noqa: ANN401 - JSON
    return Queue(
        item["vhost"],
        item["name"],
        item.get("type", ""),
        item.get("messages_ready"),
        item.get("messages_unacknowledged"),
        item.get("consumers"),
    )
