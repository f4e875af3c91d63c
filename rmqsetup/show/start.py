"""A node that runs in the foreground: what is said before, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.launch import LOW
from rmqsetup.show.layout import seconds, span

if TYPE_CHECKING:
    from rmqsetup.hosts.foreground import Ended, Limits
    from rmqsetup.probes.address import NodeAddress

ENOUGH = 65_536
"""What RabbitMQ recommends for production."""


def beginning(node: str, before: Limits, limits: Limits, *, asked: bool) -> str:
    """Say what is about to run, and of how many files it may have open what nobody `asked` for."""
    lines = [f"Starting {node}; SIGTERM or ctrl-C stops it in order."]
    if asked:
        return lines[0]
    if before.soft == -1 or limits.soft < before.soft:
        was = "no limit" if before.soft == -1 else str(before.soft)
        lines.append(f"Open files: {limits.soft} instead of {was}, since Erlang takes memory for each at boot.")
    elif limits.soft < LOW:
        more = "--open-files" if limits.hard >= ENOUGH else "docker run --ulimit nofile="
        said = f"{more}{'' if more.endswith('=') else ' '}{ENOUGH}"
        lines.append(f"Open files: {limits.soft}, which is little for a broker; more with {said}.")
    return "\n".join(lines)


def ending(node: str, ended: Ended) -> str:
    """Say that a node has stopped in order, and why."""
    by = f" by {ended.stopped_by}" if ended.stopped_by else ""
    return f"{node} was stopped{by} after {_span(ended.seconds)}."


def error(address: NodeAddress, ended: Ended, last_words: tuple[str, ...]) -> BrokerNotReadyError:
    """Return the error of a node that ended otherwise, with what its log says of it."""
    return BrokerNotReadyError(
        f"{address.name} ended with exit code {ended.exit_code} after {_span(ended.seconds)}",
        cause="\n".join(last_words),
        hint=f"its output above and {address.layout.logs} say why",
    )


def _span(number: float) -> str:
    return seconds(number) if number < 60 else span(number)
