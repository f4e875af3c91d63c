"""Settings with the line they stand on: `rabbitmq.conf` and its like, and `rabbitmq-env.conf`. Pure: text in.

Which settings there are is in `schema`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from rmqsetup.probes.address import unquoted
from rmqsetup.redaction import redacted

_PAIR = re.compile(r"^\s*([^\s=#][^=#]*?)\s*=\s*(.*?)\s*$")
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?(?:RABBITMQ_)?([A-Z][A-Z0-9_]*)=(.*?)\s*$")
_HANDED = re.compile(r"^\s*(?:export\s+)?(?:RABBITMQ_(?!NODENAME=)|ERL_)\w+=")
"""Variables of the node. Its name stands apart: whom the unit alone tells it, nobody else finds."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of a configuration file. An empty `key` is a line that is no setting."""

    key: str
    value: str
    file: str
    line: int
    raw: str = ""

    @property
    def place(self) -> str:
        """The line, with where it stands, and without a password."""
        return f"{self.file}:{self.line}: {redacted(self.raw.strip())}"


def parse(file: str, text: str) -> tuple[Setting, ...]:
    """Read the sysctl form; what is neither a setting nor a comment comes without a key."""
    found = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "include ")):
            continue
        pair = _PAIR.match(line)
        value = _value(pair[2]) if pair else ""
        found.append(Setting(pair[1] if pair else "", value, file, number, line))
    return tuple(found)


def matching(file: str, text: str, part: str) -> tuple[Setting, ...]:
    """Return the lines of a part of a file, whatever they say: those that are neither empty nor comments."""
    first = text[: text.find(part)].count("\n") + 1
    lines = enumerate(part.split("\n"), start=first)
    return tuple(Setting("", "", file, n, line) for n, line in lines if line.strip() and not line.startswith("#"))


def environment(file: str, text: str, *, handed: bool = False) -> tuple[Setting, ...]:
    """Read the assignments of a shell file, names without RABBITMQ_.

    In what is `handed` to the node from outside, only such names and those of Erlang's own count.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if assigned := _ASSIGNMENT.match(line):
            if handed and not _HANDED.match(line):
                continue
            found.append(Setting(assigned[1], unquoted(assigned[2]), file, number, line))
    return tuple(found)


def handed(file: str, text: str) -> tuple[Setting, ...]:
    """Read the variables of the node that a unit sets, and, as `EnvironmentFile`, where it has more of them."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        directive = re.match(r"^\s*(Environment|EnvironmentFile)\s*=\s*(.*?)\s*$", line)
        if directive and directive[1] == "EnvironmentFile":
            found.append(Setting("EnvironmentFile", directive[2], file, number, line))
        for word in _words(directive[2]) if directive and directive[1] == "Environment" else ():
            found += [
                Setting(each.key, word.partition("=")[2], file, number, line)
                for each in environment(file, word, handed=True)
            ]
    return tuple(found)


def _value(text: str) -> str:
    """Return a value without its quotes, or without the comment behind it."""
    if quoted := re.match(r"^'([^']*)'\s*(?:#.*)?$", text):
        return quoted[1]
    return re.sub(r"\s*#.*$", "", text)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []
