"""Show a plan, ask, carry it out: what `install`, `undo` and `uninstall` share.

Which plan that is, each of them says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import StoppedError

if TYPE_CHECKING:
    from rmqsetup.apply import Report
    from rmqsetup.cli.session import Session
    from rmqsetup.plan import Plan, Preview
    from rmqsetup.show.answer import Answer


def agreed(session: Session, seen: Preview, *, more: str = "") -> None:
    """Show a preview, with `more` below it, and ask. Raises what a step cannot do, `StoppedError` when told no."""
    from rmqsetup.show import preview as screen

    session.terminal.say(screen.screen(seen, session.terminal, explain=session.words.explain, talk=True))
    if more:
        session.terminal.say(f"\n{more}")
    session.terminal.say("")
    for item in seen.changes:
        if item.error:
            raise item.error
    if not session.agreed("Go ahead?"):
        raise StoppedError("stopped, nothing was changed")


def carried_out(session: Session, plan: Plan, undoes: tuple[str, ...] = ()) -> Report:
    """Carry out a plan while telling how far it has come."""
    from rmqsetup.pipeline import carry_out

    session.changing = True
    with session.progress() as progress:
        return carry_out(plan, session.host, progress, state=session.state, undoes=undoes)


def take_back(session: Session, plan: Plan, names: tuple[str, ...], *, purge: bool = False) -> Answer:
    """Carry out the plan of an undo or uninstall, and say what stays."""
    from rmqsetup.cli.remains import remains
    from rmqsetup.pipeline import layouts, takes_broker
    from rmqsetup.plan import preview
    from rmqsetup.show import ending
    from rmqsetup.show.answer import Answer

    places, takes = layouts(plan) or (session.layout,), takes_broker(plan)
    with session.terminal.meanwhile("Looking at what is there …"):
        seen = preview(plan, session.host)
        before = remains(session.host, session.state, places, broker=not takes)
    purge = purge and takes  # the data of a broker that was here before us are not ours to delete
    agreed(session, seen, more=ending.foretold(plan, names, before, session.terminal, purge=purge))
    if purge and before.directories and not session.agreed(ending.purge_question(before)):
        raise StoppedError("stopped, nothing was changed", hint="without --purge the data stay")
    report = carried_out(session, plan, names)
    left = remains(session.host, session.state, places, broker=not takes)
    return Answer(
        plan.title,
        lambda: ending.taken_back(report, left, session.terminal),
        lambda: ending.taken_back_data(report, left),
        status="failed" if report.error else "changed" if report.changed else "unchanged",
        error=ending.explained(report),
    )
