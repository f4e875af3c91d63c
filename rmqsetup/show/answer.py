"""The one answer of every command, as text or as a JSON envelope: same exit code, errors included.

How a result looks as text belongs to the modules of each noun.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import NamedTuple

from rmqsetup.errors import RmqsetupError
from rmqsetup.show.terminal import Terminal

SCHEMA = 1
"""Version of the envelope: it grows when a key goes or changes its meaning, not when one comes."""

_PASSWORD = re.compile(r"(?<=://)[^/@\s:]*:[^/\s]*@")

_ESCAPED = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
"""What `json` leaves as it is, and a terminal acts on, or cannot be written."""


class Answer(NamedTuple):
    """What a command answers: `text` and `data` are made only when wanted.

    `status` is ok, changed, unchanged, pending, failed or stopped. An error decides status and exit code, unless
    there is one of a program that ran in our place: `passed_on`. A `frank` one keeps the passwords in its addresses:
    they are those of a throwaway broker, and what was asked for. What was `given` already is not given again.
    """

    command: str
    text: Callable[[], str] = str
    data: Callable[[], object] = dict
    status: str = "ok"
    exit_code: int = 0
    error: RmqsetupError | None = None
    passed_on: int | None = None
    frank: bool = False
    given: bool = False


def give(answer: Answer, terminal: Terminal, *, json: bool) -> int:
    """Print an answer and return its exit code."""
    if answer.given:
        return exit_code(answer)
    if json:
        terminal.put(envelope(answer))
    else:
        terminal.put(answer.text() if answer.frank else veiled(answer.text()))
    if answer.error and not json:
        terminal.tell(veiled(told(answer.error, terminal)))
    return exit_code(answer)


def exit_code(answer: Answer) -> int:
    """Return the exit code of an answer: that of the error's family, where there is one and none is passed on."""
    if answer.passed_on is not None:
        return answer.passed_on
    return answer.error.exit_code if answer.error else answer.exit_code


def envelope(answer: Answer, *, indent: int | None = 2) -> str:
    """Return the answer as JSON, the same keys for every command; in one line without an `indent`."""
    import json

    error = answer.error
    body = {
        "schema": SCHEMA,
        "command": answer.command,
        "status": answer.status if not error or answer.status != "ok" else _status(error),
        "exit_code": exit_code(answer),
        "data": plain(answer.data()),
        "errors": [_error(error)] if error else [],
    }
    text = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(body, indent=indent, ensure_ascii=False))
    return text if answer.frank else veiled(text)


def told(error: RmqsetupError, terminal: Terminal) -> str:
    """Return an error as text: what, why, what was looked at, what to type."""
    from rmqsetup.show.layout import wrapped

    head = "" if error.code == "stopped" else f"{terminal.paint('error', talk=True)}: "
    lines = [wrapped(f"{head}{error.message}", terminal.width, rest="  ")]
    for name, text in (("cause", error.cause), ("looked at", "\n".join(error.looked_at)), ("hint", error.hint)):
        if text:
            column = " " * 13
            lines.append(wrapped(text, terminal.width, first=f"  {name:<9}  ", rest=column))
    return "\n".join(lines)


def veiled(text: str) -> str:
    """Return text without the passwords that URLs may carry."""
    return _PASSWORD.sub("***@", text)


def plain(value: object) -> object:
    """Return a value as JSON-ready data, every field of it. Cheaper than `codec`, which is for reading back."""
    if isinstance(value, Enum):
        value = value.value
    elif is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        value = dict(zip(value._fields, value, strict=True))
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _status(error: RmqsetupError) -> str:
    return "stopped" if error.code == "stopped" else "failed"


def _error(error: RmqsetupError) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "cause": error.cause,
        "looked_at": list(error.looked_at),
        "hint": error.hint,
    }
