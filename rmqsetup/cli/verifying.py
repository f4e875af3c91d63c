"""Climb the ladder of `verify` while telling each rung; what `verify` and `install` share.

The ladder itself is in `rmqsetup.verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.cli.elevation import program
from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.errors import RmqsetupError
    from rmqsetup.host import Host
    from rmqsetup.verification import Verification
    from rmqsetup.verify import Expectation, Target


def climb(session: Session, expected: tuple[Expectation, ...], *, level: int, silent: bool = False) -> Verification:
    """Verify the node of this machine, or a throwaway one, telling each rung as it ends unless `silent`."""
    from rmqsetup.show import verification as screen
    from rmqsetup.verify import verify

    terminal = session.terminal
    return verify(
        session.host,
        _target(session, expected),
        level=level,
        wait=session.words.wait,
        told=None if silent else lambda rung: terminal.say(screen.line(rung, terminal, verbose=session.words.verbose)),
    )


def _target(session: Session, expected: tuple[Expectation, ...]) -> Target:
    from rmqsetup.status import service_manager
    from rmqsetup.verify import Target

    if session.throwaway:
        from rmqsetup.broker import asked

        return asked.target(*session.throwaway)
    manager = session.layout.services or service_manager(session.host)
    return Target(session.address(), service_manager=manager, expectations=expected, installed=installed)


def installed_pair(session: Session) -> tuple[Expectation, ...]:
    """Expect RabbitMQ and Erlang to be installed, at whatever version."""
    from rmqsetup.verify import Expectation

    if session.throwaway:  # it brings its own
        return ()
    its = session.layout
    names = its.packages if its.prefix else _packages(session.host)
    return tuple(Expectation(name) for name in names)


def unseen(session: Session, error: RmqsetupError | None) -> RmqsetupError | None:
    """Return the error, as one of usage where the node was not reached because only root may ask it."""
    cookie = session.host.read(session.layout.cookie) if error and not session.root else None
    if error is None or cookie is None or cookie.content is not None:
        return error
    return UsageError(error.message, cause=error.cause, hint=f"sudo {program()} {session.words.command}")


def installed(host: Host, names: tuple[str, ...]) -> tuple[Expectation, ...]:
    """Return those of some packages that are installed, with version and, as far as the manager tells, origin."""
    from rmqsetup.detect import detect
    from rmqsetup.managers import State
    from rmqsetup.verify import Expectation

    facts = detect(host, offers="rabbitmq-server" in names)
    kegs = facts.homebrew.kegs if facts.homebrew else ()
    return (
        *(
            Expectation(each.name, each.version, each.origin)
            for each in facts.packages
            if each.name in names and each.state is State.INSTALLED
        ),
        *(Expectation(keg.name, keg.version) for keg in kegs if keg.name in names),
    )


def _packages(host: Host) -> tuple[str, ...]:
    """Return what RabbitMQ and Erlang are called as packages here; nothing where no manager that we can ask is."""
    from rmqsetup.detect import detect
    from rmqsetup.managers.sources import find

    facts = detect(host, offers=False)
    told = find(facts.manager)
    if told is None:
        return ()
    erlang = facts.package(*told.layout.runtimes)
    return told.layout.server, erlang.name if erlang else told.layout.erlang
