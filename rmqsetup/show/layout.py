"""Words in aligned plain columns, and numbers as people say them.

What is said belongs to the modules of each noun.
"""

from __future__ import annotations

import re

INDENT = "  "

_COLOUR = re.compile(r"(\x1b\[\d*m)")


def pairs(rows: tuple[tuple[str, str], ...], width: int, *, indent: str = INDENT) -> str:
    """Return names and values in two columns, the values wrapped; rows without a value are left out."""
    rows = tuple(row for row in rows if row[1])
    column = max((len(name) for name, _ in rows), default=0) + 2
    return "\n".join(
        wrapped(value, width, first=f"{indent}{name:<{column}}", rest=indent + " " * column) for name, value in rows
    )


def wrapped(text: str, width: int, *, first: str = "", rest: str = "") -> str:
    """Return text broken between words to a width; a line of its own stays one, a long word is not cut.

    Colours take no room.
    """
    lines: list[str] = []
    for number, line in enumerate(text.splitlines() or [""]):
        lines += _broken(line, width, rest if number else first, rest)
    return "\n".join(lines)


def _broken(line: str, width: int, first: str, rest: str) -> list[str]:
    """Return one line in pieces that are no wider than `width`, each as full as it can be."""
    start, *words = line.split(" ")
    lines = [first + start]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if cells(longer) <= width:
            lines[-1] = longer
        elif word:
            lines.append(rest + word)
    return [each.rstrip() for each in lines]


def columns(rows: tuple[tuple[str, ...], ...], *, indent: str = INDENT) -> str:
    """Return rows in aligned columns; the last one is not padded."""
    if not rows:
        return ""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def size(number: int | None) -> str:
    """Return a number of bytes in decimal units, as disks are sold and RabbitMQ counts."""
    if number is None:
        return "not known"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            return f"{number / factor:.{1 if number < 10 * factor else 0}f} {unit}"
    return f"{number} bytes"


def seconds(number: float) -> str:
    """Return a short span: milliseconds below a tenth of a second."""
    return f"{1000 * number:.0f} ms" if number < 0.1 else f"{number:.1f} s"


def span(number: float | None) -> str:
    """Return a long span in its two largest units."""
    if number is None:
        return "not known"
    rest, words = int(number), []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, length)
        if count:
            words.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(words[:2]) or "less than a second"


def moment(iso: str) -> str:
    """Return an ISO time in UTC without its T and offset: `2026-05-01 12:30:00`."""
    return iso[:19].replace("T", " ")


def number(value: float | None) -> str:
    """Return a count or a rate as people read it: `1,203`, and below ten with a digit behind the point."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 9.95 and value != int(value) else f"{value:,.0f}"


def harmless(text: str) -> str:
    """Return a name that others chose without what a terminal would act on."""
    return "".join(each if each.isprintable() else "?" for each in text)


def cells(text: str) -> int:
    """Return how many columns a text takes: wide characters take two, combining ones and colours none."""
    from unicodedata import combining, east_asian_width

    plain = _COLOUR.sub("", text)
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in plain)


def cut(text: str, width: int) -> str:
    """Return a line, colours and all, that is no wider than `width`; what was too long ends with an ellipsis."""
    parts = _COLOUR.split(text)
    if cells(text) <= width:
        return text
    left, kept = width - 1, ""
    for index, part in enumerate(parts):
        if index % 2:
            kept += part
            continue
        for each in part:
            left -= cells(each)
            kept += each if left >= 0 else ""
    return f"{kept}…" if width > 0 else ""


def padded(text: str, width: int) -> str:
    """Return a text that takes exactly so many columns."""
    short = cut(text, width)
    return short + " " * (width - cells(short))
