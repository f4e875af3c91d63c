"""`rmqsetup status`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Show how the broker is, on one screen; with --watch, live.

    Versions, uptime, listeners, alarms, memory, disk. Asks the node over sockets, which costs a few milliseconds. Exit
    code 8 when it does not run or an alarm blocks publishers. What the node says of itself only root and the user
    rabbitmq may ask. With --watch the screen is alive: rates of messages, the longest queues and clients as well; one
    line for each look where there is no terminal, or one JSON object.
    """
    if session.words.watch:
        from rmqsetup.cli.watching import watch

        return watch(session)
    words = session.words
    if (words.interval, words.looks, words.api) != (None, None, None):
        raise UsageError("--interval, --count and --api are of --watch", hint="rmqsetup status --watch")
    from rmqsetup.cli.verifying import unseen
    from rmqsetup.show import status as screen
    from rmqsetup.show.answer import Answer, plain
    from rmqsetup.status import service_manager, status

    manager = session.layout.services or service_manager(session.host)
    found = status(session.host, session.address(), service_manager=manager)
    if session.throwaway and found.node is None:
        from rmqsetup.broker import asked

        found = replace(found, hint=asked.gone(*session.throwaway))
    elif found.node is None:
        from rmqsetup.launch import is_installed

        if not is_installed(session.host, session.layout):
            return Answer("status", data=lambda: plain(found), status="failed", error=screen.missing())
    return Answer(
        "status",
        lambda: screen.screen(found, session.terminal),
        lambda: plain(found),
        status="ok" if found.ok else "failed",
        error=unseen(session, None if found.ok else screen.error(found, verify=session.again("verify"))),
    )
