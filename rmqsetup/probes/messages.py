"""Carry one message through a queue and back: publish, confirm, consume.

Opening a connection by hand belongs to `amqp`; who logs in, to `accounts`. Nothing is left behind: the
classic queue is exclusive and gone with its connection; the quorum queue, which cannot be exclusive,
is deleted, and expires by itself where even that was cut off.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rmqsetup.probes.amqp import Account, Endpoint, connect
from rmqsetup.probes.wire import Deadline, ProbeError

if TYPE_CHECKING:  # it takes a tenth of a second to import
    import pika
    from pika.channel import Channel
    from pika.frame import Method

PREFIX = "rmqsetup.verify."
"""What the names of everything we make on a broker begin with."""

EXPIRES = 60_000
"""Milliseconds an unused quorum queue of ours lives."""

Action = Callable[[Callable[..., None]], object]
"""Something to begin; it is given the function to call when it is done."""

Journey = Generator[Action, Any, None]

Plan = Callable[["pika.SelectConnection"], Journey]


class QueueType(Enum):
    """The kinds of queue a message is carried through."""

    CLASSIC = "classic"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class Trip:
    """A message that came back; times in seconds, each since the one before; `declared` since the channel was open."""

    queue_type: QueueType
    declared: float
    confirmed: float
    consumed: float


class JourneyError(ProbeError):
    """A message did not come back."""


def carry(endpoint: Endpoint, account: Account, queue_type: QueueType, *, timeout: float = 15.0) -> Trip:
    """Carry a message through a new queue of a kind.

    Raises `JourneyError` with the broker's own words, `UnreachableError`.
    """
    queue = f"{PREFIX}{queue_type.value}.{secrets.token_hex(8)}"
    marks: list[float] = []
    try:
        _travel(endpoint, account, lambda connection: _there_and_back(connection, queue, queue_type, marks), timeout)
    except BaseException:  # ctrl-C too: only a connection of its own can be relied on to clean up
        if queue_type is QueueType.QUORUM and marks:
            _travel(endpoint, account, lambda connection: _delete(connection, queue), 5.0)
        raise
    times = [after - before for before, after in pairwise(marks)]
    return Trip(queue_type, *times)


def _there_and_back(
    connection: pika.SelectConnection, queue: str, queue_type: QueueType, marks: list[float]
) -> Journey:
    from pika import BasicProperties

    channel = yield lambda done: connection.channel(on_open_callback=done)
    channel.add_on_close_callback(_channel_closed)
    waiting: list[Callable[..., None]] = []

    def confirmed(frame: Method) -> None:
        waiting.pop()(frame)

    yield lambda done: channel.confirm_delivery(ack_nack_callback=confirmed, callback=done)
    marks.append(time.monotonic())  # from here on there may be a queue
    quorum = queue_type is QueueType.QUORUM
    arguments: dict[str, object] = {"x-queue-type": queue_type.value}
    if quorum:
        arguments["x-expires"] = EXPIRES
    yield lambda done: channel.queue_declare(
        queue, durable=quorum, exclusive=not quorum, auto_delete=not quorum, arguments=arguments, callback=done
    )
    marks.append(time.monotonic())
    body = secrets.token_bytes(32)

    def publish(done: Callable[..., None]) -> None:
        waiting.append(done)
        channel.basic_publish("", queue, body, BasicProperties(delivery_mode=2), mandatory=True)

    frame = yield publish
    if type(frame.method).__name__ != "Ack":
        raise JourneyError("the broker does not confirm a message", cause=f"{queue} answered with a nack")
    marks.append(time.monotonic())
    _, delivery, _, came = yield lambda done: channel.basic_consume(queue, lambda *message: done(message))
    if came != body:
        raise JourneyError("another message came back than was sent", cause=f"on {queue}")
    channel.basic_ack(delivery.delivery_tag)
    marks.append(time.monotonic())
    if quorum:
        yield lambda done: channel.queue_delete(queue, callback=done)


def _delete(connection: pika.SelectConnection, queue: str) -> Journey:
    channel = yield lambda done: connection.channel(on_open_callback=done)
    yield lambda done: channel.queue_delete(queue, callback=done)


def _channel_closed(_channel: Channel, reason: Exception) -> None:
    code = getattr(reason, "reply_code", 0)
    if code not in (0, 200):
        raise JourneyError("the broker closes the channel of a message", cause=str(reason))


def _travel(endpoint: Endpoint, account: Account, plan: Plan, timeout: float) -> None:
    """Follow a journey on a connection of its own, to its end or its deadline."""
    import pika

    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it would write tracebacks to stderr of its own accord
    courier = _Courier(plan)
    connection = pika.SelectConnection(
        _parameters(endpoint, account, timeout),
        on_open_callback=courier.begin,
        on_open_error_callback=courier.lost,
        on_close_callback=courier.lost,
    )
    courier.connection = connection
    timer = connection.ioloop.call_later(timeout, courier.late)
    try:
        connection.ioloop.start()
    finally:
        connection.ioloop.remove_timeout(timer)
        courier.abandon()
    if courier.failure:
        raise courier.failure


def _parameters(endpoint: Endpoint, account: Account, timeout: float) -> pika.ConnectionParameters:
    import pika

    options = None
    if endpoint.tls:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        options = pika.SSLOptions(context)
    wire = connect(endpoint, Deadline.after(timeout))
    address = wire.peer.rpartition(":")[0]
    wire.close()
    return pika.ConnectionParameters(
        address,
        endpoint.port,
        account.virtual_host,
        pika.PlainCredentials(account.name, account.password),
        ssl_options=options,
        connection_attempts=1,
        socket_timeout=timeout,
        stack_timeout=timeout,
        heartbeat=0,
        client_properties={"connection_name": "rmqsetup verify"},
    )


class _Courier:
    """Drives a journey: begins its next action whenever the last one is done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.connection: Any = None
        self.journey: Journey | None = None
        self.failure: ProbeError | None = None
        self.over = False
        self.blocked = ""

    def begin(self, connection: pika.SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self.hold)
        self.journey = self.plan(connection)
        self.go_on()

    def go_on(self, answer: object = None) -> None:
        if self.over or self.journey is None:
            return
        try:
            self.journey.send(answer)(self.go_on)
        except StopIteration:
            self.end(None)
        except ProbeError as error:
            self.end(error)

    def hold(self, _connection: pika.SelectConnection, frame: Method) -> None:
        self.blocked = str(frame.method.reason)

    def lost(self, _connection: pika.SelectConnection, reason: Exception) -> None:
        self.end(JourneyError("the broker ends the connection", cause=str(reason)))

    def late(self) -> None:
        cause = f"publishing is blocked: {self.blocked}" if self.blocked else "no answer in time"
        self.end(JourneyError("the message did not come back", cause=cause))

    def end(self, failure: ProbeError | None) -> None:
        if not self.over:
            self.failure = failure
        self.over = True
        self.connection.ioloop.stop()

    def abandon(self) -> None:
        """Close the connection, giving the broker a second to agree."""
        loop = self.connection.ioloop
        if self.connection.is_open:
            self.connection.close()
            loop.call_later(1.0, loop.stop)
            loop.start()
        loop.close()
