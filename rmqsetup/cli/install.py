"""`rmqsetup install`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.apply import Report
    from rmqsetup.cli.session import Session
    from rmqsetup.plan import Plan
    from rmqsetup.show.answer import Answer
    from rmqsetup.verification import Verification
    from rmqsetup.verify import Expectation

QUICK = 3
"""How far a run with nothing to do verifies: over sockets alone, and without making a user on the node."""


def run(session: Session) -> Answer:
    """Install RabbitMQ with a fitting Erlang, start and verify it.

    It is configured as asked for, and verified with messages. Shows what will change and asks once. Every change is in
    a receipt: undo and uninstall take it back. Run again, it changes only what is not as wished. Exit code 8 when the
    broker does not do its work afterwards.
    """
    from rmqsetup.cli.changing import agreed, carried_out
    from rmqsetup.pipeline import prepare
    from rmqsetup.plan import preview
    from rmqsetup.show.answer import Answer

    if session.words.recipe != "-":
        session.request()  # a mistake in it is told before sudo asks for a password
    if session.is_below:
        session.keep_own_receipts()
    else:
        session.become_root()
    with session.terminal.meanwhile("Looking at this machine and at what is offered for it …"):
        plan = prepare(session.host, session.request(), state=session.state)
        session.layout = plan.layout
        seen = preview(plan, session.host)
    if not seen.changes:
        return _unchanged(session, plan)
    agreed(session, seen)
    report = carried_out(session, plan)
    if report.error:
        from rmqsetup.show import ending

        return Answer(
            "install",
            data=lambda: ending.installed_data(report, None),
            status="failed",
            error=ending.explained(report),
        )
    session.changing = False
    return _verified(session, report)


def _verified(session: Session, report: Report) -> Answer:
    """Verify what was installed, and say where things are and what to type next."""
    from rmqsetup.show import ending
    from rmqsetup.show.answer import Answer
    from rmqsetup.verify import TOP

    found = _climb(session, report.plan, TOP)
    error = found.error() if found else None
    return Answer(
        "install",
        lambda: "" if error else ending.installed(report, found, session.terminal),
        lambda: ending.installed_data(report, found),
        status="failed" if error else "changed",
        error=error,
    )


def _unchanged(session: Session, plan: Plan) -> Answer:
    """Say in one line that everything is as wished, after a quick look at whether the broker answers."""
    from rmqsetup.receipt import settle
    from rmqsetup.show import ending
    from rmqsetup.show.answer import Answer

    settle(plan.title, state=session.state)
    found = _climb(session, plan, QUICK, silent=True)
    error = found.error() if found else None
    return Answer(
        "install",
        lambda: ending.unchanged(plan, found, session.terminal),
        lambda: ending.unchanged_data(plan, found),
        status="failed" if error else "unchanged",
        error=error,
    )


def _climb(session: Session, plan: Plan, usual: int, *, silent: bool = False) -> Verification | None:
    """Verify as far as was asked for; a broker that was not to be started is looked at as far as its packages."""
    from rmqsetup.cli.verifying import climb

    words = session.words
    if not words.verify:
        return None
    started = plan.request is None or plan.request.start
    level = usual if words.level is None else words.level
    return climb(session, _expected(plan), level=level if started else 0, silent=silent)


def _expected(plan: Plan) -> tuple[Expectation, ...]:
    """Return the packages of the plan whose versions it knows."""
    from rmqsetup.verify import Expectation

    packages = plan.resolution.packages if plan.resolution else ()
    return tuple(Expectation(each.name, each.version) for each in packages)
