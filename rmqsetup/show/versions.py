"""RabbitMQ's series and what each source offers, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import columns, pairs, wrapped

if TYPE_CHECKING:
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.versions import Offer, Row, Versions

_HEAD = ("", "series", "newest", "Erlang", "community", "commercial")
_SHOWN = 6


def screen(found: Versions, terminal: Terminal, *, explain: bool = False) -> str:
    """Return the tables as text; `*` marks what an install would take."""
    rows = tuple(_row(row, found) for row in found.series)
    parts = [
        "RabbitMQ's series, and until when they are supported",
        _table((_HEAD, *rows), terminal.width),
        f"What is offered to {found.distribution}",
    ]
    parts.append("\n".join(_offer(offer, found, terminal) for offer in found.offers) or "  nothing")
    parts.append(_choice(found, terminal))
    if explain and found.reasons:
        parts.append("\n".join(wrapped(f"because {reason}", terminal.width, rest="  ") for reason in found.reasons))
    return "\n\n".join(("\n".join(parts[:2]), "\n".join(parts[2:4]), *filter(None, parts[4:])))


def _table(rows: tuple[tuple[str, ...], ...], width: int) -> str:
    """Return the table of series; where that is too narrow, without its last columns."""
    text = columns(rows)
    if len(rows[0]) > 3 and any(len(line) > width for line in text.splitlines()):
        return _table(tuple(row[:-1] for row in rows), width)
    return text


def _row(row: Row, found: Versions) -> tuple[str, ...]:
    taken = found.rabbitmq == row.name or found.rabbitmq.startswith(f"{row.name}.")
    erlang = " to ".join(dict.fromkeys(filter(None, (row.erlang_from, row.erlang_to))))
    mark = "*" if taken else ""
    return (mark, row.name, row.newest, erlang, row.community_until or "-", row.commercial_until or "-")


def _offer(offer: Offer, found: Versions, terminal: Terminal) -> str:
    mark = "*" if offer.source == found.source else " "
    rows = (("RabbitMQ", _some(offer.rabbitmq, 2)), ("Erlang", _some(offer.erlang, 1)), ("problem", offer.problem))
    head = f"{mark} {offer.source}: {offer.title}"
    return f"{head}\n{pairs(rows, terminal.width, indent='    ')}"


def _some(versions: tuple[str, ...], parts: int) -> str:
    """Return the newest of each series, and how many there are in all."""
    from rmqsetup.versions import newest_per_series

    newest = newest_per_series(versions, parts=parts)
    more = f" and {len(newest) - _SHOWN} older series" if len(newest) > _SHOWN else ""
    count = f" ({len(versions)} releases)" if len(versions) > 1 else ""
    return f"{', '.join(newest[:_SHOWN])}{more}{count}" if versions else ""


def _choice(found: Versions, terminal: Terminal) -> str:
    installed = f"RabbitMQ {found.installed_rabbitmq} on Erlang {found.installed_erlang} is installed."
    lines = [installed] if found.installed_rabbitmq else []
    if found.problem:
        lines.append(f"rmqsetup install would stop: {found.problem}")
    elif found.source != "installed":
        typed = "rmqsetup install --user" if found.source == "user" else "rmqsetup install"
        lines.append(f"* {typed} takes RabbitMQ {found.rabbitmq} on Erlang {found.erlang}.")
    elif lines:
        lines = [f"* {lines[0]} rmqsetup install keeps it."]
    return "\n".join(wrapped(line, terminal.width, rest="  ") for line in lines)
