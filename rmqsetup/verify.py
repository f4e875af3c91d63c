"""Climb from packages to a message that came back, and stop at the first rung that fails.

The looks themselves are in `probes`; how a verification is shown belongs to `show`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from shlex import quote

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Host
from rmqsetup.probes import amqp, causes, logs, supervised
from rmqsetup.probes.accounts import account
from rmqsetup.probes.address import CookieMissingError, NodeAddress
from rmqsetup.probes.amqp import Account, Endpoint, Outcome
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.node import NodeListener, NodeState, NodeStatus, node_status
from rmqsetup.probes.unit import Phase, UnitState, unit_state
from rmqsetup.probes.wire import Deadline, ProbeError, UnreachableError
from rmqsetup.verification import Rung, Verdict, Verification

TOP = 5
"""The highest rung."""

NODE = 2
"""The rung from which on the node itself is asked."""

POLL = 0.25
"""Seconds between two looks at something that is still starting."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A package as it is expected to be, or as it is. An empty field is not compared."""

    package: str
    version: str = ""
    origin: str = ""


Told = Callable[[Rung], None]
"""Is told each rung as it ends."""

Installed = Callable[[Host, tuple[str, ...]], tuple[Expectation, ...]]
"""Tells of those packages that are installed which version and origin they have."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be verified: a node, its packages, its service manager by name.

    `holder` says what keeps a node running that is no service: it is up, or it is lost. `hint` is what to do with such
    a node, whatever does not hold of it.
    """

    address: NodeAddress
    service_manager: str = "systemd"
    expectations: tuple[Expectation, ...] = ()
    installed: Installed | None = None
    holder: str = ""
    hint: str = ""


def verify(
    host: Host, target: Target, *, level: int = TOP, wait: float = 60.0, told: Told | None = None
) -> Verification:
    """Climb to a level: 0 packages, 1 service, 2 node, 3 listeners, 4 login, 5 messages.

    A service that starts and a node that boots are waited for, at most `wait` seconds in all. `told`
    is told every rung as it ends. What is made on the node for the messages is taken back. Raises
    nothing but what the host raises: what does not hold is in the verification.
    """
    climb = _Climb(host, target, Deadline.after(wait), ExitStack())
    rungs: list[Rung] = []
    try:
        for number, (name, step) in enumerate(_LADDER[: level + 1]):
            rungs.append(_stand(climb, number, name, step))
            if told:
                told(rungs[-1])
            if not rungs[-1].ok:
                break
    except BaseException:  # ctrl-C: what was made on the node is taken back all the same
        climb.stack.close()
        raise
    left = _taken_back(climb.stack, level)
    if told and left:
        told(left[0])
    return Verification(target.address.name, level, (*rungs, *left), climb.status)


class RungError(ProbeError):
    """A rung that does not hold; `evidence` was seen on it."""

    def __init__(self, message: str, *, cause: str = "", hint: str = "", evidence: tuple[str, ...] = ()) -> None:
        super().__init__(message, cause=cause, hint=hint, looked_at=evidence)


class _Skip(Exception):  # noqa: N818 - not an error
    """There is nothing to see on a rung; says why."""


@dataclass(slots=True)
class _Climb:
    """What the climb has learnt so far."""

    host: Host
    target: Target
    deadline: Deadline
    stack: ExitStack
    settled: bool = False
    unit: UnitState | None = None
    status: NodeStatus | None = None
    account: Account | None = None

    def last_words(self) -> tuple[str, ...]:
        if self.unit and self.unit.phase is Phase.STOPPED:  # in order, and its log has no reason for it
            return ()
        since = self.unit.since if self.unit else 0.0
        running = self.settled or self.status is not None
        return logs.last_words(self.host, self.target.address, since=since, running=running)

    def died(self) -> bool:
        """Tell whether nothing is on its way any more, where that can be told."""
        known = self.target.service_manager in supervised.MANAGERS
        return known and not supervised.lives(self.host, self.target.address.layout)


Step = Callable[[_Climb], tuple[str, ...]]


def _stand(climb: _Climb, number: int, name: str, step: Step) -> Rung:
    started = time.monotonic()
    try:
        seen = step(climb)
        return Rung(number, name, Verdict.PASSED, time.monotonic() - started, seen)
    except _Skip as reason:
        return Rung(number, name, Verdict.SKIPPED, time.monotonic() - started, (str(reason),))
    except RmqsetupError as error:
        seconds = time.monotonic() - started
        words = climb.last_words() if number else ()
        hint = climb.target.hint or causes.remedy(climb.host, words, climb.target.address.layout) or error.hint
        return Rung(number, name, Verdict.FAILED, seconds, (*error.looked_at, *words), error.cause, hint, error.message)


def _taken_back(stack: ExitStack, level: int) -> tuple[Rung, ...]:
    """Take back what was made to log in with; only what stays behind is worth a rung."""
    started = time.monotonic()
    try:
        stack.close()
    except ProbeError as error:
        seconds = time.monotonic() - started
        return (Rung(level, "clean-up", Verdict.FAILED, seconds, (), error.cause, error.hint, error.message),)
    return ()


def _packages(climb: _Climb) -> tuple[str, ...]:
    wanted, installed = climb.target.expectations, climb.target.installed
    if not wanted or installed is None:
        raise _Skip("no particular packages were asked for")
    found = {one.package: one for one in installed(climb.host, tuple(one.package for one in wanted))}
    seen = tuple(_described(found[one.package]) for one in wanted if one.package in found)
    for one in wanted:
        there = found.get(one.package)
        if there is None:
            raise RungError(f"{one.package} is not installed", hint="rmqsetup install", evidence=seen)
        for what, want, have in (("version", one.version, there.version), ("origin", one.origin, there.origin)):
            if want and want != have:
                cause = f"its {what} is {have or 'not known'} instead of {want}"
                raise RungError(f"{one.package} is not the one asked for", cause=cause, evidence=seen)
    return seen


def _service(climb: _Climb) -> tuple[str, ...]:
    if climb.target.holder:
        climb.settled = True
        return (climb.target.holder,)
    if climb.target.service_manager in supervised.MANAGERS:
        return (supervised.state_in_words(climb.host, climb.target.address.layout),)
    if climb.target.service_manager != "systemd":
        raise _Skip(f"nothing looks after services here (service manager: {climb.target.service_manager})")
    state = unit_state(climb.host)
    while state.phase is Phase.STARTING and climb.deadline.left():
        time.sleep(min(POLL, climb.deadline.left()))
        state = unit_state(climb.host)
    climb.unit = state
    if state.phase is Phase.ACTIVE:
        climb.settled = True
        return (state.words,)
    summary, hint = {
        Phase.UNKNOWN: ("there is no service rabbitmq-server", "rmqsetup install"),
        Phase.STOPPED: ("the service rabbitmq-server is not running", "systemctl start rabbitmq-server"),
        Phase.FAILING: ("the service rabbitmq-server cannot start", "journalctl -u rabbitmq-server"),
        Phase.STARTING: ("the service rabbitmq-server is not ready in time", "wait longer with --wait"),
    }[state.phase]
    if state.load == "masked":
        hint = "systemctl unmask rabbitmq-server"
    raise RungError(summary, cause=state.meaning, hint=hint, evidence=(state.words,))


def _node(climb: _Climb) -> tuple[str, ...]:
    status = climb.status = _booted(climb)
    seen = (f"RabbitMQ {status.version} on Erlang {status.erlang}, {status.name}, asked by {status.way.value}",)
    if status.state is NodeState.BOOTING:
        raise RungError("the node is still booting", hint="wait longer with --wait", evidence=seen)
    if status.state is NodeState.STOPPED:
        cause = "its Erlang VM runs, and the application rabbit in it is stopped"
        raise RungError("the node does not run RabbitMQ", cause=cause, hint="rabbitmqctl start_app", evidence=seen)
    if status.virtual_hosts_down:
        down = status.virtual_hosts_down
        hint = f"rabbitmqctl restart_vhost -p {quote(down[0])}"
        raise RungError(f"virtual hosts are down: {', '.join(down)}", hint=hint, evidence=seen)
    if status.alarms:
        raise RungError(
            f"an alarm blocks publishers: {', '.join(status.alarms)}",
            cause=_alarm_cause(status),
            hint=_alarm_hint(status),
            evidence=seen,
        )
    return seen


def _booted(climb: _Climb) -> NodeStatus:
    """Ask the node, again and again while it may still be on its way."""
    while True:
        try:
            status = node_status(climb.host, climb.target.address)
            pending = not status.running and not (climb.settled and status.state is NodeState.STOPPED)
        except CookieError:
            raise
        except (ProbeError, CookieMissingError):
            if climb.settled or not climb.deadline.left() or climb.died():
                raise
            pending, status = True, None
        if status and not (pending and climb.deadline.left()):
            return status
        time.sleep(min(POLL, climb.deadline.left()))


def _listeners(climb: _Climb) -> tuple[str, ...]:
    status = _known(climb.status)
    if not status.listeners:
        raise RungError("the node listens nowhere", hint="look at listeners.* in rabbitmq.conf")
    return tuple(_reached(one) for one in status.listeners)


def _reached(listener: NodeListener) -> str:
    endpoint = Endpoint(listener.addresses, listener.port, listener.tls)
    started = time.monotonic()
    try:
        if listener.amqp:
            greeting = amqp.greet(endpoint)
            said = f"{greeting.product} {greeting.version}"
        else:
            amqp.connect(Endpoint(listener.addresses, listener.port), Deadline.after(5.0)).close()
            said = "open"
    except ProbeError as error:
        summary = f"the listener {listener} cannot be used"
        hint = "rabbitmqctl resume_listeners" if isinstance(error, UnreachableError) else ""
        cause = f"{error.message}: {error.cause}" if error.cause else error.message
        raise RungError(summary, cause=cause, hint=error.hint or hint) from error
    return f"{listener}: {said}, {1000 * (time.monotonic() - started):.1f} ms"


def _login(climb: _Climb) -> tuple[str, ...]:
    status, endpoint = _known(climb.status), _endpoint(climb)
    hosts = status.virtual_hosts or ("/",)
    who = climb.stack.enter_context(account(climb.host, climb.target.address, virtual_hosts=hosts))
    climb.account = who
    login = amqp.log_in(endpoint, who)
    if login.outcome is Outcome.ACCEPTED:
        return (f"{who.name} logged in to the virtual host {who.virtual_host}",)
    raise RungError(
        f"{who.name} cannot log in to the virtual host {who.virtual_host}: {login.outcome.value}", cause=login.reason
    )


def _messages(climb: _Climb) -> tuple[str, ...]:
    from rmqsetup.probes.messages import QueueType, carry

    endpoint, who = _endpoint(climb), climb.account
    if who is None:
        raise RungError("nobody is logged in")
    trips = [carry(endpoint, who, kind) for kind in QueueType]
    return tuple(
        f"{trip.queue_type.value} queue: declared {1000 * trip.declared:.0f} ms, confirmed "
        f"{1000 * trip.confirmed:.0f} ms, consumed {1000 * trip.consumed:.0f} ms"
        for trip in trips
    )


_LADDER: tuple[tuple[str, Step], ...] = (
    ("packages", _packages),
    ("service", _service),
    ("node", _node),
    ("listeners", _listeners),
    ("login", _login),
    ("messages", _messages),
)


def _endpoint(climb: _Climb) -> Endpoint:
    found = [one for one in _known(climb.status).listeners if one.amqp]
    if not found:
        raise RungError("the node does not listen for AMQP", hint="look at listeners.* in rabbitmq.conf")
    plain = next((one for one in found if not one.tls), found[0])
    return Endpoint(plain.addresses, plain.port, plain.tls)


def _known(status: NodeStatus | None) -> NodeStatus:
    if status is None:
        raise RungError("the node was not asked")
    return status


def _alarm_cause(status: NodeStatus) -> str:
    parts = []
    if "memory" in status.alarms and status.memory is not None and status.memory_limit is not None:
        parts.append(f"{status.memory} bytes of memory in use, the limit is {status.memory_limit}")
    if "disk" in status.alarms and status.disk_free is not None and status.disk_free_limit is not None:
        parts.append(f"{status.disk_free} bytes of disk free, the limit is {status.disk_free_limit}")
    return "; ".join(parts)


def _alarm_hint(status: NodeStatus) -> str:
    if "disk" in status.alarms:
        return "free space under /var/lib/rabbitmq, or lower disk_free_limit"
    return "give the machine more memory, or raise vm_memory_high_watermark"


def _described(one: Expectation) -> str:
    return f"{one.package} {one.version}" + (f" from {one.origin}" if one.origin else "")
