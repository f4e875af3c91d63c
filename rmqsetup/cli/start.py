"""`rmqsetup start`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.errors import StoppedError, UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.launch import Launch
    from rmqsetup.show.answer import Answer

LEVEL = 3
"""How far a start is waited for: up to the listeners."""

STANDARD_ERROR = 2


def run(session: Session) -> Answer:
    """Start the broker, and wait until it listens. For containers and machines without an init: --foreground.

    Without it the node is started through what looks after it (systemd, Homebrew's services), or in the background
    where nothing does. With it the node is this
    command: its output is ours, SIGTERM, SIGINT or SIGHUP stops it in order, orphans are reaped, and it ends with the
    exit code of the node, 0 after a stop in order. A limit of open files in the hundreds of millions, for which Erlang
    would take gigabytes, is lowered; with --output json the answer comes at the end, and the node's output goes to
    standard error. Exit code 8 when the broker does not listen in time or a port is taken, 9 when it runs already.
    """
    if session.words.foreground:
        return _foreground(session)
    if session.words.open_files is not None:
        raise UsageError("--open-files is for --foreground", hint="for the service: rmqsetup install --open-files N")
    if not session.layout.prefix:
        session.become_root()
    return _background(session)


def _launch(session: Session) -> Launch:
    """Return how the node of this session is started."""
    from dataclasses import replace

    from rmqsetup import launch
    from rmqsetup.status import service_manager

    found = launch.find(session.host, session.layout, home=str(Path.home()))
    return replace(found, manager=found.manager or service_manager(session.host))


def _background(session: Session) -> Answer:
    """Start the service unless it runs, and climb to the listeners."""
    from rmqsetup.cli.verifying import climb, installed_pair
    from rmqsetup.show import verification as screen
    from rmqsetup.show.answer import Answer, plain

    plan = _launch(session)
    try:
        started = _started(session, plan)
        found = climb(session, installed_pair(session), level=LEVEL)
    except KeyboardInterrupt as stopped:
        session.terminal.end_line()
        hint = "rmqsetup status shows how it is"
        raise StoppedError("stopped waiting; a node that was begun goes on", hint=hint) from stopped
    return Answer(
        "start",
        lambda: screen.summary(found, session.terminal),
        lambda: plain(found),
        status="failed" if not found.ok else "changed" if started else "unchanged",
        error=found.error(),
    )


def _started(session: Session, plan: Launch) -> bool:
    """Start the service unless it runs, and tell which. Raises `BrokerNotReadyError`."""
    from rmqsetup import launch
    from rmqsetup.pipeline import tell_why
    from rmqsetup.services import service_manager
    from rmqsetup.steps.service import Service

    host, layout = session.host, session.layout
    manager = service_manager(plan.manager, layout.prefix)
    if manager.parse(host.run(manager.show(plan.service)).stdout).running:
        return False
    launch.refuse_taken(host, layout)
    began = time.monotonic()
    with session.terminal.meanwhile("Starting the broker …"):
        result = host.run(manager.start(plan.service))
    if not result.ok:
        error = Service(plan.manager, plan.service, prefix=layout.prefix).explain(result)
        tell_why(error, host, layout, seconds=time.monotonic() - began)
        raise error
    return True


def _foreground(session: Session) -> Answer:
    """Run the node in our place, and tell how it ended."""
    from rmqsetup import launch
    from rmqsetup.hosts import foreground
    from rmqsetup.probes.logs import last_words
    from rmqsetup.show import start as screen
    from rmqsetup.show.answer import Answer

    host, terminal, layout = session.host, session.terminal, session.layout
    plan = _launch(session)
    if plan.user and foreground.user_name() != plan.user:
        session.become_root()
    address = session.address()
    launch.refuse_running(host, address, _seen(session, plan))
    launch.refuse_taken(host, layout, inherited=tuple(os.environ))
    now = foreground.current_limits()
    limits = foreground.Limits(*launch.limited(now.soft, now.hard, session.words.open_files))
    terminal.say(screen.beginning(address.name, now, limits, asked=session.words.open_files is not None))
    terminal.flush()
    begun = time.time()
    ended = foreground.run(
        foreground.Program((plan.program,), plan.directory, plan.user, plan.env, plan.umask, limits),
        output=STANDARD_ERROR if session.words.json else None,
        spared=lambda name: name == "epmd" and launch.is_epmd_in_use(address),
    )
    said = last_words(host, address, since=begun) if ended.exit_code else ()
    error = screen.error(address, ended, said) if ended.exit_code else None
    if not error:
        terminal.say(screen.ending(address.name, ended))
    return Answer(
        "start",
        data=lambda: {"node": address.name, "open_files": limits.soft, "ended": ended},
        status="failed" if error else "ok",
        error=error,
        passed_on=ended.exit_code,
    )


def _seen(session: Session, plan: Launch) -> str:
    """Say which process is a node already. With systemd that is not asked: other nodes may well run, in containers."""
    from rmqsetup.services import service_manager

    if plan.manager == "systemd":
        return ""
    own = session.layout.manager == "brew"  # its services take a second to say what their processes say at once
    manager = service_manager("detached" if own else plan.manager, session.layout.prefix)
    state = manager.parse(session.host.run(manager.show(plan.service)).stdout)
    return state.words if state.running else ""
