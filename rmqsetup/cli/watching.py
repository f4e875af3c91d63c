"""`rmqsetup status --watch`: whom to ask, how to show it.

The looks themselves are in `rmqsetup.watch`, the one look of `status` in `cli.status`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.probes.api import Api
    from rmqsetup.show.answer import Answer
    from rmqsetup.show.live import Lines
    from rmqsetup.watch import Source

EVERY = 2.0
"""Seconds from look to look."""

SOONEST = 0.1
"""The shortest time from look to look."""


def watch(session: Session) -> Answer:
    """Look at the broker until somebody ends it; the exit code is that of the last look. Raises `UsageError`."""
    from rmqsetup.show import watch as screen
    from rmqsetup.show.answer import Answer
    from rmqsetup.show.live import follow
    from rmqsetup.watch import Watch

    words = session.words
    every = EVERY if words.interval is None else words.interval
    if not every >= SOONEST:
        raise UsageError(f"--interval {every:g} is too short", hint=f"{SOONEST} seconds or more")
    if words.broker is not None and words.api is not None:
        raise UsageError("--broker and --api do not go together", hint="leave out one of them")
    if words.looks is not None and words.looks < 1:
        raise UsageError(f"--count {words.looks} is no number of looks", hint="1 or more")
    watched = Watch(_source(session))
    try:
        last = follow(watched.look, _shown(session, every), every=every, count=words.looks)
    finally:
        watched.close()
    return Answer(
        "status",
        status="ok" if last.ok else "failed",
        error=screen.error(last, verify=session.again("verify")),
        given=True,
    )


def _shown(session: Session, every: float) -> Lines:
    from rmqsetup.show.live import JsonLines, Lines, Screen

    terminal = session.terminal
    if session.words.json:
        return JsonLines(terminal)
    return Screen(terminal, every=every) if terminal.whole else Lines(terminal)


def _source(session: Session) -> Source:
    """Return where the numbers come from: the node itself, or its HTTP API for who may not read its cookie."""
    from rmqsetup.probes.api import URL
    from rmqsetup.probes.inside import Inside

    if session.words.api is not None:
        return _api(session.words.api)
    address = session.address()
    cookie = session.host.read(address.cookie)
    if cookie is None or cookie.content is not None:
        from rmqsetup.probes.address import peer

        return Inside(lambda: peer(session.host, address))
    return _tried(_api(URL))


def _tried(api: Api) -> Api:
    """Return an HTTP API that answers. Raises `UsageError`: the node itself is root's to ask."""
    from rmqsetup.cli.elevation import program
    from rmqsetup.probes.wire import ProbeError

    try:
        api.sample()
    except ProbeError as error:
        api.close()
        raise UsageError(
            "the Erlang cookie of the node cannot be read, and its HTTP API cannot be used instead",
            cause=": ".join(filter(None, (error.message, error.cause))),
            hint=f"sudo {program()} status --watch, or --api URL with RABBITMQ_USER and RABBITMQ_PASSWORD",
        ) from error
    return api


def _api(url: str) -> Api:
    from rmqsetup.probes.api import Api, Service

    named = Service(url)
    user = os.environ.get("RABBITMQ_USER") or named.user
    return Api(Service(url, user, os.environ.get("RABBITMQ_PASSWORD") or named.password))
