"""`rmqsetup run`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.broker.binaries import Binaries
    from rmqsetup.broker.throwaway import Broker
    from rmqsetup.broker.wish import Wish
    from rmqsetup.cli.session import Session
    from rmqsetup.recipe import Request
    from rmqsetup.show.answer import Answer

STANDARD_ERROR = 2


def run(session: Session) -> Answer:
    """Run a command beside a throwaway broker, then remove it all.

    As in rmqsetup run -- pytest. The broker has ports, cookie, data and logs of its own, on 127.0.0.1, and is up when
    it has carried a message; nothing of the machine is changed, and root is not needed. The command finds it by
    AMQP_URL, RABBITMQ_URL, RABBITMQ_HOST, PORT, USER, PASSWORD, VHOST and MANAGEMENT_URL; signals are passed on to it,
    and its exit code is that of this command. Without a command the address is printed and the broker is there until
    ctrl-C, or, with --detach, until rmqsetup stop. Exit code 8 when it does not start.
    """
    from rmqsetup.broker import start

    words = session.words
    if words.sweep:
        return _swept()
    _refuse(session)
    wish = _wish(session)
    programs = _binaries(session)
    with session.terminal.meanwhile("Starting a broker …"):
        broker = start.start(wish, programs, stay=words.detach)
    for note in broker.notes:
        session.terminal.say(note)
    if words.program:
        return _beside(session, broker)
    return _left(session, broker) if words.detach else _waiting(session, broker)


def _swept() -> Answer:
    from rmqsetup.broker import place
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer

    gone = place.sweep()
    return Answer("run", lambda: screen.swept(gone), lambda: {"swept": gone}, status="changed" if gone else "unchanged")


def _refuse(session: Session) -> None:
    """Refuse what cannot be, before a broker is started. Raises `UsageError`."""
    from rmqsetup.show import broker as screen

    words = session.words
    if words.program and words.detach:
        raise UsageError("a broker that stays runs no command", hint="leave out --detach, or the command")
    if words.keep and words.detach:
        raise UsageError("a broker that stays is not kept when it goes", hint="leave out --keep or --detach")
    if words.program and (words.env or words.github):
        raise UsageError("the command finds the broker by its environment", hint="leave out --env and --github")
    if words.github:
        screen.github_files()
    if words.program and not shutil.which(words.program[0]):
        raise UsageError(f"there is no program {words.program[0]}", hint="it is looked for on PATH")


def _wish(session: Session) -> Wish:
    from rmqsetup.broker import ports
    from rmqsetup.broker.wish import Wish

    words, request = session.words, _request(session)
    return Wish(
        plugins=request.plugins or (),
        config=request.config,
        definitions=request.definitions,
        nodes=words.nodes,
        tls=words.tls,
        ports=ports.parse(words.ports) if words.ports else None,
        port=words.port,
        timeout=words.wait,
        keep=words.keep,
        stock=words.stock,
    )


def _binaries(session: Session) -> Binaries:
    from dataclasses import replace

    from rmqsetup.broker import supplier

    wanted = _request(session).rabbitmq  # of the recipe, where no option says another
    terminal = session.terminal
    with terminal.meanwhile("Looking for its programs …"):
        return supplier.provide(replace(session.origin(), wanted=wanted), told=terminal.interject)


def _request(session: Session) -> Request:
    """Return what is wished of the node; where its programs come from is no part of it."""
    from rmqsetup.cli.session import Session

    words = session.words._replace(
        source=None, key=None, fingerprint=None, archive=None, erlang_archive=None, erlang_digest=None
    )
    return Session(words, session.terminal, session.host).request()


def _beside(session: Session, broker: Broker) -> Answer:
    """Run the command, and pass its exit code on."""
    from rmqsetup.broker import command
    from rmqsetup.broker.exported import variables
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, plain

    words, terminal = session.words, session.terminal
    told: list[str] = []

    def look() -> None:
        for node in broker.dead():
            if node.member.name not in told:
                told.append(node.member.name)
                terminal.tell(screen.died(node))

    try:
        output = STANDARD_ERROR if words.json else None
        terminal.flush()
        code = command.run(words.program, variables(broker.lease), beside=look, output=output)
        look()
    finally:
        kept = broker.stop()
    if kept:
        terminal.say(screen.kept(kept))
    return Answer(
        "run",
        data=lambda: {"broker": plain(broker.lease), "died": told, "kept": kept},
        status="failed" if code else "ok",
        exit_code=code,
        passed_on=code,
    )


def _left(session: Session, broker: Broker) -> Answer:
    """Say how to find it, and leave it."""
    broker.leave()
    return _described(session, broker)


def _waiting(session: Session, broker: Broker) -> Answer:
    """Say how to find it, and stay until a signal comes or nothing is left of it."""
    from rmqsetup.broker import command
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, give

    terminal = session.terminal
    try:
        give(_described(session, broker), terminal, json=session.words.json)
        if not session.words.json:
            terminal.say("It is there until ctrl-C.")
        signal = command.wait(beside=lambda: len(broker.dead()) < len(broker.nodes))
        if signal == "SIGINT":
            terminal.end_line()
        error = None if signal else screen.ended(broker.nodes[0])
    finally:
        kept = broker.stop()
    if kept:
        terminal.say(screen.kept(kept))
    return Answer("run", error=error, given=error is None)


def _described(session: Session, broker: Broker) -> Answer:
    from rmqsetup.broker.exported import variables
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, plain

    words, lease = session.words, broker.lease
    found = variables(lease)
    if words.github:
        screen.to_github(lease, found)
    return Answer(
        "run",
        lambda: screen.exports(found) if words.env else screen.address(lease, session.terminal),
        lambda: {"broker": plain(lease), "variables": dict(found)},
        status="changed",
        frank=True,
    )
