"""`rmqsetup doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import SOMETHING_TO_DO, UsageError

if TYPE_CHECKING:
    from rmqsetup.checks import Check, Diagnosis
    from rmqsetup.checks.scene import Scene
    from rmqsetup.cli.session import Session
    from rmqsetup.doctor import Examination
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """Look for what is wrong with the broker and its machine.

    Tells causes first, each with what mends it. Changes nothing without --fix, and works as any user, with the node
    down, and without RabbitMQ. Exit code 0 when there is nothing to report, 10 when there is, in every form of output.
    `doctor explain ID` tells what a finding means. Throwaway brokers are left alone: `verify --broker` and
    `status --broker` look at one.
    """
    from rmqsetup.doctor import chosen

    words = session.words
    if words.about:
        return _explained(session)
    if words.listed:
        return _listed(session)
    checks = chosen(words.only, words.skip)
    if words.form and words.json:
        raise UsageError(f"--as {words.form} and --output json do not go together", hint="leave out one of them")
    if words.fix and words.bundle:
        raise UsageError("--fix and --bundle do not go together", hint="first the bundle, then the fix")
    if words.fix:
        return _mended(session, checks)
    with session.terminal.meanwhile("Looking at this machine …"):
        scene, found = _examined(session, checks)
    if words.bundle:
        from rmqsetup.bundle import write

        write(words.bundle, scene, found)
        session.terminal.say(f"Written: {words.bundle}")
    return _answer(session, found)


def _examined(session: Session, checks: tuple[Check, ...]) -> tuple[Scene, Examination]:
    from rmqsetup.checks.scene import Scene
    from rmqsetup.doctor import examine

    scene = Scene(session.host, session.layout)
    return scene, examine(scene, checks)


def _answer(session: Session, found: Examination) -> Answer:
    from rmqsetup.show import doctor as screen
    from rmqsetup.show.answer import Answer

    def text() -> str:
        form = session.words.form
        return screen.ci(found, form) if form else screen.screen(found, session.terminal, root=session.root)

    return Answer(
        "doctor",
        text,
        lambda: screen.data(found),
        status="ok" if found.ok else "pending",
        exit_code=0 if found.ok else SOMETHING_TO_DO,
    )


def _explained(session: Session) -> Answer:
    from rmqsetup.doctor import check_named
    from rmqsetup.show import doctor as screen
    from rmqsetup.show.answer import Answer

    word, *names = session.words.about
    if word != "explain":
        typed = f"--fix={word}" if session.words.fix else f"explain {word}"
        raise UsageError(f"rmqsetup doctor takes no {word!r}", hint=f"did you mean rmqsetup doctor {typed}?")
    if not names:
        raise UsageError("which finding is to be explained?", hint="rmqsetup doctor explain RMQ-001")
    checks = tuple(map(check_named, names))
    return Answer(
        "doctor",
        lambda: "\n\n".join(screen.page(check, session.terminal) for check in checks),
        lambda: {"checks": [screen.check_data(check) for check in checks]},
    )


def _listed(session: Session) -> Answer:
    from rmqsetup.doctor import chosen
    from rmqsetup.show import doctor as screen
    from rmqsetup.show.answer import Answer

    checks = chosen(session.words.only, session.words.skip)
    return Answer(
        "doctor",
        lambda: screen.listing(checks, session.terminal),
        lambda: {"checks": [screen.check_data(check) for check in checks]},
    )


def _mended(session: Session, checks: tuple[Check, ...]) -> Answer:
    """Look, show what would mend it, ask, carry it out with a journal, and look again."""
    from rmqsetup.cli.changing import agreed, carried_out
    from rmqsetup.doctor import curable, cure, hindrances, without_starts
    from rmqsetup.plan import preview
    from rmqsetup.show import ending
    from rmqsetup.show.answer import Answer

    session.become_root()
    with session.terminal.meanwhile("Looking at this machine …"):
        _, found = _examined(session, checks)
        mended = curable(found, session.words.fix)
        hindering = hindrances(found, mended) if mended else ()
        seen = preview(without_starts(cure(mended)) if hindering else cure(mended), session.host)
    if not seen.changes:
        return _unmended(session, found)
    lasting = tuple(each for each in mended if each.lasting)
    _warn(session, lasting, hindering)
    agreed(session, seen)
    report = carried_out(session, seen.plan)
    session.changing = False
    if report.error:
        return Answer("doctor", status="failed", error=ending.explained(report))
    with session.terminal.meanwhile("Looking again …"):
        _, after = _examined(session, checks)
    done = "Mended, for good." if len(lasting) == len(mended) else "Mended; rmqsetup undo takes it back."
    session.terminal.say(done)
    return _answer(session, after)


def _unmended(session: Session, found: Examination) -> Answer:
    """Say why nothing is mended, and what was found."""
    if not found.ok:
        by_us = any(each.fix for each in found.findings)
        unsafe = "Nothing of this is safe to mend unasked: --fix=all mends it, or --fix=ID.\n"
        manual = "Nothing of this can be mended without you; the findings say what to type.\n"
        session.terminal.say(unsafe if by_us else manual)
    return _answer(session, found)


def _warn(session: Session, lasting: tuple[Diagnosis, ...], hindering: tuple[Diagnosis, ...]) -> None:
    """Say beforehand what cannot be taken back, and what keeps the broker down all the same."""
    from rmqsetup.show import doctor as screen

    for each in lasting:
        session.terminal.say(f"Cannot be undone: mending {each.check}, {each.summary}.\n")
    for each in hindering:
        session.terminal.say(screen.left_out(each, session.terminal))
