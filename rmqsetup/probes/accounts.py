"""Find somebody to log in as: guest, else a user of our own for as long as it takes.

`guest` over the loopback is what a fresh broker has, and asking with it changes nothing. Where it is
gone (production, imported definitions), its password was changed or it may not do everything, the node
makes a user for us with a random password and rights to our own names only; it is removed afterwards,
and one left by a run that was killed is removed by the next.
"""

from __future__ import annotations

import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from rmqsetup.host import Host
from rmqsetup.probes.address import NodeAddress, peer
from rmqsetup.probes.amqp import Account
from rmqsetup.probes.distribution import CallError, Connection
from rmqsetup.probes.messages import PREFIX
from rmqsetup.probes.node import Node
from rmqsetup.probes.terms import Atom, Term, text
from rmqsetup.probes.wire import ProbeError

ACTOR = b"rmqsetup"
"""Who the node's log says made and removed the user."""

STALE = 600
"""Seconds after which a user of ours that is still there was left by a run that was killed."""

RIGHTS = r"^(amq\.default|rmqsetup\.verify\..*)$"
ALL = b".*"

Opened = Callable[[], Connection]


class NoAccountError(ProbeError):
    """There is nobody to log in as."""


@contextmanager
def account(host: Host, address: NodeAddress, *, virtual_hosts: tuple[str, ...] = ("/",)) -> Iterator[Account]:
    """Give an account to log in with, and take back what was made for it.

    `virtual_hosts` are those of the node; `/` is preferred. Raises `NoAccountError`, and `ProbeError`
    when a user that was made cannot be removed, naming it.
    """
    virtual_host = "/" if "/" in virtual_hosts or not virtual_hosts else virtual_hosts[0]
    known = peer(host, address)

    def opened() -> Connection:
        return Connection.open(known, timeout=10.0)

    with closing(opened()) as node:
        guest = guest_account(node, virtual_host)
    if guest:
        yield guest
    else:
        with _temporary(opened, virtual_host) as made:
            yield made


def guest_account(node: Node, virtual_host: str) -> Account | None:
    """Return guest with its default password, where that logs in and may do everything on a virtual host."""
    try:
        if not _logs_in(node, "guest", "guest"):
            return None
        granted = node.call("rabbit_auth_backend_internal", "list_user_permissions", b"guest")
    except CallError:
        return None
    for entry in granted if isinstance(granted, list) else []:
        rights = {key: value for key, value in _pairs(entry) if isinstance(value, bytes)}
        if rights.get("vhost") == virtual_host.encode():
            everything = all(rights.get(key) == ALL for key in ("configure", "write", "read"))
            return Account("guest", "guest", virtual_host) if everything else None
    return None


@contextmanager
def _temporary(opened: Opened, virtual_host: str) -> Iterator[Account]:
    made = Account(f"{PREFIX}{int(time.time())}.{secrets.token_hex(4)}", secrets.token_urlsafe(24), virtual_host)
    try:
        with closing(opened()) as node:
            remove_stale(node, time.time())
            _unbroken(lambda: _create(node, made))
        yield made
    finally:
        with closing(opened()) as node:
            _remove(node, made.name)


def _unbroken(action: Callable[[], None]) -> None:
    """Let ctrl-C wait for the end: what a node is still making cannot be removed yet."""
    if threading.current_thread() is not threading.main_thread():  # only that one is interrupted
        action()
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        action()
    finally:
        signal.signal(signal.SIGINT, before)
        if heard and callable(before):
            before(heard[0], None)


def _create(node: Node, made: Account) -> None:
    cannot = f"nobody to log in as: guest may not, and the node does not let us use the user {made.name}"
    hint = "rmqsetup verify --level 3 looks at everything before a login"
    name, rights = made.name.encode(), RIGHTS.encode()
    try:
        answer = node.call("rabbit_auth_backend_internal", "add_user", name, made.password.encode(), ACTOR)
        if isinstance(answer, tuple) and answer[:1] == (Atom("error"),):
            raise NoAccountError(cannot, cause="the node refuses to make it: a policy for passwords?", hint=hint)
        granted = (made.virtual_host.encode(), rights, rights, rights, ACTOR)
        node.call("rabbit_auth_backend_internal", "set_permissions", name, *granted)
        if not _logs_in(node, made.name, made.password):
            cause = "the node does not log in users of its own (auth_backends)"
            raise NoAccountError(cannot, cause=cause, hint=hint)
    except CallError as error:
        raise NoAccountError(cannot, cause=error.cause, hint=hint) from error


def _remove(node: Node, name: str) -> None:
    try:
        if node.call("rabbit_auth_backend_internal", "exists", name.encode()) == Atom("true"):
            node.call("rabbit_auth_backend_internal", "delete_user", name.encode(), ACTOR)
    except CallError as error:
        raise ProbeError(
            f"the temporary user {name} is still there", cause=error.cause, hint=f"rabbitmqctl delete_user {name}"
        ) from error


def remove_stale(node: Node, now: float) -> tuple[str, ...]:
    """Remove the users that killed runs have left, and return their names. `now` is in seconds since the epoch."""
    listed = node.call("rabbit_auth_backend_internal", "list_users")
    names = [text(value) for entry in _entries(listed) for key, value in _pairs(entry) if key == "user"]
    stale = tuple(name for name in names if (made := made_at(name)) is not None and now - made > STALE)
    for name in stale:
        _remove(node, name)
    return stale


def made_at(name: str) -> int | None:
    """Return when a user of ours was made, in seconds since the epoch; None for anybody else."""
    found = re.fullmatch(re.escape(PREFIX) + r"([0-9]{9,11})\.[0-9a-f]{8}", name)
    return int(found[1]) if found else None


def _logs_in(node: Node, name: str, password: str) -> bool:
    answer = node.call("rabbit_access_control", "check_user_pass_login", name.encode(), password.encode())
    return isinstance(answer, tuple) and answer[:1] == (Atom("ok"),)


def _entries(answer: Term) -> list[Term]:
    return answer if isinstance(answer, list) else []


def _pairs(entry: Term) -> list[tuple[str, Term]]:
    """Return the pairs of a property list."""
    return [(text(item[0]), item[1]) for item in _entries(entry) if isinstance(item, tuple) and len(item) == 2]
