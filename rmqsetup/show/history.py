"""The receipts of a machine: when, what for, how it ended, what it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import moment, pairs

if TYPE_CHECKING:
    from rmqsetup.receipt import Entry, Receipt
    from rmqsetup.show.terminal import Terminal


def screen(receipts: tuple[Receipt, ...], stands: tuple[str, ...], terminal: Terminal) -> str:
    """Return the receipts as text, the newest last; `stands` are those whose changes are still there."""
    if not receipts:
        return "rmqsetup has changed nothing on this machine."
    return "\n".join(_receipt(receipt, receipt.id in stands, terminal) for receipt in receipts)


def data(receipts: tuple[Receipt, ...], stands: tuple[str, ...]) -> object:
    """Return the receipts as data: names of what changed, never contents."""
    return [
        {
            "receipt": receipt.id,
            "title": receipt.title,
            "started": receipt.started,
            "finished": receipt.finished,
            "status": _status(receipt),
            "stands": receipt.id in stands,
            "undoes": list(receipt.undoes),
            "tool": receipt.tool,
            "changed": list(_changed(receipt)),
        }
        for receipt in receipts
    ]


def _receipt(receipt: Receipt, stands: bool, terminal: Terminal) -> str:  # noqa: FBT001
    undone = "" if stands or receipt.undoes or receipt.status == "rolled back" else ", taken back since"
    head = f"{moment(receipt.started)}  {receipt.title:<9}  {terminal.paint(_status(receipt))}{undone}"
    changed = ", ".join(_changed(receipt))
    rows = (("receipt", receipt.id), ("took back", "\n".join(receipt.undoes)), ("changed", changed))
    return f"{head}\n{pairs(rows, terminal.width)}"


def _status(receipt: Receipt) -> str:
    return receipt.status or "not finished"


def _changed(receipt: Receipt) -> tuple[str, ...]:
    """Return what a run touched, each once: paths, packages, services. What was only noted is left out."""
    return tuple(dict.fromkeys(_what(entry) for entry in receipt.entries if entry.status != "unchanged"))


def _what(entry: Entry) -> str:
    kind, _, name = entry.step.key.partition(":")
    if kind == "packages":
        return "packages"
    return f"service {name}" if kind == "service" else name
