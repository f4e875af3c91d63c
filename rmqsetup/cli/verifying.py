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
    from rmqsetup.verify import Expectation, Verification

PAIR = ("rabbitmq-server", "erlang-base")


def climb(session: Session, expected: tuple[Expectation, ...], *, level: int, silent: bool = False) -> Verification:
    """Verify the node of this machine to a level, telling each rung as it ends unless `silent`."""
    from rmqsetup.show import verification as screen
    from rmqsetup.status import service_manager
    from rmqsetup.verify import Target, verify

    host, terminal = session.host, session.terminal
    target = Target(
        session.address(),
        service_manager="none" if session.has_prefix() else service_manager(host),
        expectations=expected,
        installed=installed,
    )
    return verify(
        host,
        target,
        level=level,
        wait=session.words.wait,
        told=None if silent else lambda rung: terminal.say(screen.line(rung, terminal, verbose=session.words.verbose)),
    )


def installed_pair(session: Session) -> tuple[Expectation, ...]:
    """Expect RabbitMQ and Erlang to be installed, at whatever version."""
    from rmqsetup.verify import Expectation

    looked_after = _has_packages(session.host) and not session.has_prefix()
    return tuple(Expectation(name) for name in PAIR) if looked_after else ()


def unseen(session: Session, error: RmqsetupError | None) -> RmqsetupError | None:
    """Return the error, as one of usage where the node was not reached because only root may ask it."""
    from rmqsetup.probes.address import COOKIE

    cookie = session.host.read(COOKIE) if error and not session.root else None
    if error is None or cookie is None or cookie.content is not None:
        return error
    return UsageError(error.message, cause=error.cause, hint=f"sudo {program()} {session.words.command}")


def installed(host: Host, names: tuple[str, ...]) -> tuple[Expectation, ...]:
    """Return those of some packages that are installed, with version and, where apt still lists it, origin."""
    from rmqsetup.detect import detect
    from rmqsetup.managers import State
    from rmqsetup.verify import Expectation

    packages = detect(host).packages
    return tuple(
        Expectation(each.name, each.version, each.origin)
        for each in packages
        if each.name in names and each.state is State.INSTALLED
    )


def _has_packages(host: Host) -> bool:
    """Tell whether packages are looked after by a manager we can ask."""
    return bool(host.names("/var/lib/dpkg"))
