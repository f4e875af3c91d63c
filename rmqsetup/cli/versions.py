"""`rmqsetup versions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Show RabbitMQ's series, their Erlang, and what is offered here.

    Asks the sources over the network; one that does not answer says so, and the rest still shows. What
    `rmqsetup install` would take is marked.
    """
    from rmqsetup.recipe import Request
    from rmqsetup.show import versions as screen
    from rmqsetup.show.answer import Answer, plain
    from rmqsetup.versions import offered

    request = Request(source="archive") if session.words.source == "archive" else session.request()
    with session.terminal.meanwhile("Asking the sources …"):
        found = offered(session.host, request)
    return Answer(
        "versions",
        lambda: screen.screen(found, session.terminal, explain=session.words.explain),
        lambda: plain(found),
    )
