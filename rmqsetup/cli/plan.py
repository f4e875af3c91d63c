"""`rmqsetup plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import SOMETHING_TO_DO

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.plan import Plan
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Show what install would change, without changing anything. Needs no root.

    Exit code 10 when there is something to do, 0 when there is not. With --as the plan is written down in another
    form instead, and the exit code is 0: for machines that have no RabbitMQ yet, but as JSON the plan of this one.
    """
    from rmqsetup.pipeline import prepare
    from rmqsetup.plan import preview
    from rmqsetup.show import preview as screen
    from rmqsetup.show.answer import Answer

    words = session.words
    if session.is_below:
        session.keep_own_receipts()
    request, fresh = session.request(), words.form not in (None, "json")
    with session.terminal.meanwhile("Looking at this machine and at what is offered for it …"):
        plan = prepare(session.host, request, state=session.state, fresh=fresh)
        seen = None if words.form else preview(plan, session.host)
    if seen is None:
        text = _written(plan, str(words.form))
        return Answer("plan", lambda: text.rstrip("\n"), lambda: {"form": words.form, "text": text})
    error = next((item.error for item in seen.changes if item.error), None)
    following = f"\n\n{screen.NEXT}" if seen.changes and not (error or words.quiet) else ""
    return Answer(
        "plan",
        lambda: screen.screen(seen, session.terminal, explain=words.explain) + following,
        lambda: screen.data(seen),
        status="failed" if error else "pending" if seen.changes else "unchanged",
        exit_code=SOMETHING_TO_DO if seen.changes else 0,
        error=error,
    )


def _written(plan: Plan, form: str) -> str:
    """Return a plan in another form; as JSON it is that of this machine, and can be read back."""
    if form != "json":
        from rmqsetup.export import render
        from rmqsetup.plan import Preview

        return render(Preview(plan, ()), form)
    import json

    from rmqsetup.codec import to_data

    return json.dumps(to_data(plan), indent=2, ensure_ascii=False)
