"""`rmqsetup plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import SOMETHING_TO_DO

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Show what install would change, without changing anything. Needs no root.

    Exit code 10 when there is something to do, 0 when there is not. With --as the plan is written down in another
    form instead, for machines that have no RabbitMQ yet, and the exit code is 0.
    """
    from rmqsetup.pipeline import prepare
    from rmqsetup.plan import Preview, preview
    from rmqsetup.show import preview as screen
    from rmqsetup.show.answer import Answer

    words = session.words
    plan = prepare(session.host, session.request(), state=session.state, fresh=bool(words.form))
    if words.form:
        from rmqsetup.export import render

        text = render(Preview(plan, ()), words.form)
        return Answer("plan", lambda: text.rstrip("\n"), lambda: {"form": words.form, "text": text})
    seen = preview(plan, session.host)
    error = next((item.error for item in seen.changes if item.error), None)
    return Answer(
        "plan",
        lambda: screen.screen(seen, session.terminal, explain=words.explain),
        lambda: screen.data(seen),
        status="failed" if error else "pending" if seen.changes else "unchanged",
        exit_code=SOMETHING_TO_DO if seen.changes else 0,
        error=error,
    )
