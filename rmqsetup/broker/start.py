"""Put a throwaway broker together: a folder, ports, nodes that have booted, a message that was carried.

What it is afterwards belongs to `throwaway`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from rmqsetup.broker import boot, certificates, modules, place, ports
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.node import DiedError, Helper, Running, launch, trouble
from rmqsetup.broker.place import Lease, Place
from rmqsetup.broker.ports import Reserved
from rmqsetup.broker.throwaway import Broker
from rmqsetup.broker.vhosts import US
from rmqsetup.broker.wish import MOST, Listening, Member, Wish
from rmqsetup.errors import BrokerNotReadyError, UsageError
from rmqsetup.probes.amqp import Account
from rmqsetup.probes.distribution import CallError, Connection
from rmqsetup.probes.terms import Atom
from rmqsetup.probes.wire import LOOPBACK, Deadline, ProbeError

NOT_OURS = ("failed_to_prepare_configuration", "conf_to_erlang", "Error preparing configuration", "enospc", "no space")
"""What a node says that would not start in another way either."""

FEWEST_FILES = 128
"""Open files below which a node boots, if at all, and takes no connection."""

ATTEMPTS = 3
"""How often ports are chosen, should one be taken by somebody who does not reserve it."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is wished, of which programs and plugins; whether it stays, and in whose folder it is to be."""

    wish: Wish
    binaries: Binaries
    plugins: tuple[Path, ...]
    stay: bool
    given: Place | None


def start(wish: Wish, binaries: Binaries, *, stay: bool = False, given: Place | None = None) -> Broker:
    """Start a broker and return it when it has carried a message. With `stay` it does not end with this process.

    First the brokers of tools that were killed are removed. `given` is a folder that somebody else keeps. Raises
    `UsageError`, `BrokerNotReadyError`; nothing is left behind then.
    """
    if not 1 <= wish.nodes <= MOST:
        raise UsageError(f"a broker has 1 to {MOST} nodes, not {wish.nodes}")
    if not 0 <= wish.port <= 65535:
        raise UsageError(f"{wish.port} is no port", hint="they end at 65535")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < FEWEST_FILES:
        raise BrokerNotReadyError(
            f"a node needs {FEWEST_FILES} open files or more",
            cause=f"the limit here is {files}",
            hint="raise it: ulimit -n 1024, in a container --ulimit nofile=1024",
        )
    place.sweep()
    return _attempt(_Case(wish, binaries, binaries.needed(wish.plugins), stay, given), ATTEMPTS)


def _attempt(case: _Case, attempts: int) -> Broker:
    """Start with other ports where one was taken, and by RabbitMQ's own script where the fast way may be at fault."""
    try:
        return _started(case)
    except DiedError as error:
        if error.taken and attempts > 1:
            return _attempt(case, attempts - 1)
        if case.wish.stock or error.taken or not _is_ours(error):
            raise
        return _by_script(case, error)


def _by_script(case: _Case, fast: DiedError) -> Broker:
    """Start by RabbitMQ's own script what did not start fast, and say so."""
    broker = _started(replace(case, wish=replace(case.wish, stock=True)))
    last = fast.cause.splitlines()[-1] if fast.cause else ""
    broker.notes = (f"RabbitMQ {broker.version} does not start the fast way here ({last}): its own script did it",)
    return broker


def _is_ours(error: DiedError) -> bool:
    """Tell whether the way of starting may be at fault, and not the configuration or the disk."""
    said = error.cause.lower()
    return not any(word.lower() in said for word in NOT_OURS)


def _started(case: _Case) -> Broker:
    deadline = Deadline.after(case.wish.timeout)
    where = case.given or Place.make(keep=case.wish.keep)
    reserved, nodes, helpers = Reserved(()), list[Running](), list[Helper]()
    try:
        members, reserved = _members(case, where.folder)
        _write(members)
        if members[0].epmd:
            helpers.append(_start_epmd(members[0], where.folder))
        for member in members:
            nodes.append(Running(member, where.folder, inherit=(where.lock,) if case.stay else ()))
            nodes[-1].start()
        for node in nodes:
            node.wait(deadline)
        lease = _lease(members, stay=case.stay)
        broker = Broker(lease, where, wish=case.wish, nodes=tuple(nodes), reserved=reserved)
        broker.helpers = tuple(helpers)
        _settle(broker)
        place.write(where.folder, lease)
    except BaseException as error:
        where.end()
        for node in nodes:
            node.kill()
        for helper in helpers:
            helper.kill()
        reserved.release()
        if isinstance(error, OSError):
            raise place.unwritable(where.folder, error) from error
        raise
    return broker


def _members(case: _Case, folder: Path) -> tuple[tuple[Member, ...], Reserved]:
    """Return the nodes, with ports of their own."""
    wish = case.wish
    listening = tuple(name for path in case.plugins if (name := path.name.partition("-")[0]) in boot.LISTENERS)
    each = 2 + wish.tls + len(listening)
    with_epmd = wish.nodes > 1 or wish.stock
    reserved = ports.reserve(wish.nodes * each + with_epmd, wish.ports, first=wish.port)
    numbers = list(reversed(reserved.numbers))
    epmd = numbers.pop(0) if with_epmd else 0
    cookie = secrets.token_hex(20).upper()
    names = [f"{folder.name}{f'-{n}' if wish.nodes > 1 else ''}@localhost" for n in range(1, wish.nodes + 1)]
    members = []
    for number, name in enumerate(names, 1):
        amqp, distribution, *rest = (numbers.pop() for _ in range(each))
        amqps = rest.pop() if wish.tls else 0
        where = Listening(amqp, distribution, amqps, tuple(zip(listening, rest, strict=True)))
        own = folder / str(number)
        member = Member(name, own, folder / "home", case.binaries, where, wish, case.plugins, epmd, cookie=cookie)
        members.append(replace(member, peers=tuple(names) if wish.nodes > 1 else ()))
    return tuple(members), reserved


def _write(members: tuple[Member, ...]) -> None:
    """Write the files of every node. Raises `OSError`."""
    first = members[0]
    (first.home / "plugins").mkdir(parents=True)
    for path in first.plugins:
        (first.home / "plugins" / path.name).symlink_to(path)
    cookie = first.home / ".erlang.cookie"
    cookie.write_text(first.cookie, encoding="ascii")
    cookie.chmod(0o400)
    if first.wish.tls:
        certificates.make(first.home)
    batches = modules.known(first)
    for member in members:
        member.folder.mkdir()
        (member.folder / boot.MODULES).write_text(batches, encoding="ascii")
        for name, content in boot.files(member):
            file = member.folder / name
            file.touch(mode=0o600)
            file.write_text(content, encoding="utf-8")


def _start_epmd(member: Member, folder: Path) -> Helper:
    """Start the port mapper of this broker alone. Its program is a link in our folder, so that it bears our name."""
    program = folder / "epmd"
    program.symlink_to(member.binaries.erts / "bin/epmd")
    argv = (str(program), "-port", str(member.epmd), "-address", LOOPBACK)
    env = (("HOME", str(member.home)), ("PATH", os.defpath))
    return Helper(launch(argv, folder, env=env, directory=folder))


def _settle(broker: Broker) -> None:
    """Have a message carried, by a user and in a virtual host that are there whatever the definitions say."""
    member, wish = broker.nodes[0].member, broker.wish
    unknown = not (wish.stock or modules.known(member))
    if wish.imports or unknown:
        node = broker.nodes[0].connect()
        try:
            if wish.imports:
                _ensure_user(node, wish.account)
            if unknown:
                modules.remember(member, node)
        finally:
            node.close()
    if wish.imports:
        broker.new_vhost(wish.account.virtual_host)
    try:
        broker.carry()
    except ProbeError as error:
        said = filter(None, (f"{error.message}: {error.cause}", *(trouble(node.member) for node in broker.nodes)))
        raise BrokerNotReadyError(f"{broker.name} has booted, and carries no message", cause="\n".join(said)) from error


def _ensure_user(node: Connection, account: Account) -> None:
    """Make the user where the definitions of a request have made others instead."""
    name = account.name.encode()
    with contextlib.suppress(CallError):  # there already
        node.call("rabbit_auth_backend_internal", "add_user", name, account.password.encode(), US)
    node.call("rabbit_auth_backend_internal", "set_tags", name, [Atom("administrator")], US)


def _lease(members: tuple[Member, ...], *, stay: bool) -> Lease:
    first = members[0]
    account, listening = first.wish.account, first.listening
    login = f"{quote(account.name, safe='')}:{quote(account.password, safe='')}"
    vhost = quote(account.virtual_host, safe="")
    urls = tuple(f"amqp://{login}@{LOOPBACK}:{member.listening.amqp}/{vhost}" for member in members)
    management = listening.of("rabbitmq_management")
    return Lease(
        name=first.folder.parent.name,
        url=urls[0],
        urls=urls,
        node=first.name,
        version=first.binaries.version,
        erlang=first.binaries.otp,
        distribution=listening.distribution,
        started=time.time(),
        keeper=0 if stay else os.getpid(),
        management_url=f"http://{LOOPBACK}:{management}" if management else "",
        amqps_url=f"amqps://{login}@localhost:{listening.amqps}/{vhost}" if listening.amqps else "",
        ca_file=str(first.home / "ca.pem") if listening.amqps else "",
        home=str(first.binaries.home),
        erlang_home=str(first.binaries.erlang),
        epmd=first.epmd,
    )
