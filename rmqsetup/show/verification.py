"""The rungs of a verification, each with its time and what was seen on it.

Why one failed is told by the error that comes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import seconds, wrapped

if TYPE_CHECKING:
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.verify import Rung, Verification


def line(rung: Rung, terminal: Terminal, *, verbose: bool = False) -> str:
    """Return one rung as it is told while climbing; what was seen, in the short form unless everything is wanted."""
    word = terminal.paint(f"{rung.verdict.value:<9}", talk=True)
    head = f"  {word}  {rung.level} {rung.name:<10} {seconds(rung.seconds):>8}"
    seen = rung.evidence if rung.ok else (rung.summary,)
    if not seen:
        return head
    if verbose:
        return "\n".join([head, *(wrapped(text, terminal.width, first=" " * 15, rest=" " * 17) for text in seen)])
    more = f" and {len(seen) - 1} more" if len(seen) > 1 else ""
    return _cut(f"{head}  {seen[0]}", terminal.width - len(more) + len(word) - 9) + more


def summary(found: Verification, terminal: Terminal) -> str:
    """Return the end of a verification in one line; empty when its error says it."""
    if not found.ok:
        return ""
    spent = sum(rung.seconds for rung in found.rungs)
    return wrapped(f"{found.node} {_shown(found)} ({seconds(spent)}).", terminal.width)


def _shown(found: Verification) -> str:
    """Say what a climb to this level has shown."""
    return (
        "has its packages",
        "has its service running",
        "has booted and runs",
        "answers on every listener",
        "lets clients log in",
        "carried messages through a classic and a quorum queue",
    )[found.level]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
