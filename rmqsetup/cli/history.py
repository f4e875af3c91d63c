"""`rmqsetup history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """List what rmqsetup did on this machine.

    When, what for, how it ended, what it changed, and whether that was taken back since.
    """
    from rmqsetup.cli.elevation import program
    from rmqsetup.errors import UsageError
    from rmqsetup.receipt import read_all, standing
    from rmqsetup.show import history as screen
    from rmqsetup.show.answer import Answer
    from rmqsetup.standing import own_state

    if not session.root and any((own_state() / "receipts").glob("*.jsonl")):
        session.keep_own_receipts()
    try:
        receipts = read_all(session.state)
    except UsageError as error:
        error.hint = f"sudo {program()} history"
        raise
    stands = tuple(receipt.id for receipt in standing(receipts))
    return Answer(
        "history",
        lambda: screen.screen(receipts, stands, session.terminal),
        lambda: screen.data(receipts, stands),
    )
