"""The rungs of a verification, each with its time and what was seen on it.

Why one failed is told by the error that comes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import cells, seconds, wrapped

if TYPE_CHECKING:
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.verification import Rung, Verification


def line(rung: Rung, terminal: Terminal, *, verbose: bool = False) -> str:
    """Return one rung as it is told while climbing; what was seen, in the short form unless everything is wanted."""
    word = terminal.paint(f"{rung.verdict.value:<7}", talk=True)
    head = f"  {word}  {rung.level} {rung.name:<9}  {seconds(rung.seconds):>6}"
    seen = rung.evidence if rung.ok else (rung.summary,)
    if not seen:
        return head
    if verbose:
        return "\n".join([head, *(wrapped(text, terminal.width, first=" " * 13, rest=" " * 15) for text in seen)])
    return f"{head}  {_short(seen, terminal.width - cells(head) - 2)}"


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


def _short(seen: tuple[str, ...], width: int) -> str:
    """Return the first thing that was seen, and how many more there are where that fits; cut between words."""
    more = f" and {len(seen) - 1} more" if len(seen) > 1 else ""
    if len(seen[0] + more) <= width:
        return seen[0] + more
    whole = len(seen[0]) <= width
    return seen[0] if whole else f"{seen[0][: width - 1].rpartition(' ')[0] or seen[0][: width - 2]} …"
