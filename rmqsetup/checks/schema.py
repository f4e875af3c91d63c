"""Which settings the installed RabbitMQ knows: the schemas that it and its plugins bring along. Pure: text in.

Judging a machine's settings by them belongs to `configuration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MAPPING = re.compile(r'^\s*\{\s*mapping\s*,\s*"([^"]+)"', re.MULTILINE)
_OBSOLETE = re.compile(r"\bDEPRECATED\b|^deprecated$|\bno-op\b")
_TYPE = re.compile(r"\{\s*datatype\s*,\s*")
_SIZE = r"-?\d+(?:\.\d+)?\s*(?:[kKmMgGtT]?i?[bB]?)"
_SIMPLE = {"integer": r"-?\d+", "float": r"-?\d+(?:\.\d+)?", "bytesize": _SIZE}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, with `$name` for whatever a user writes there; `datatype` as the schema has it.

    `deprecated` is what the schema itself says of a key that is kept only for old configurations.
    """

    key: str
    datatype: str = ""
    deprecated: str = ""

    def admits(self, key: str) -> bool:
        """Tell whether a key is one of these."""
        mine, its = _split(self.key), _split(key)
        return len(mine) == len(its) and all(a == b or a.startswith("$") for a, b in zip(mine, its, strict=True))

    def refuses(self, value: str) -> str:
        """Say what a value ought to be, where it surely is not; nothing where the type is not judged here."""
        if "$(" in value or not self.datatype:
            return ""
        expected = []
        for kind in _alternatives(self.datatype):
            pattern, words = _judged(kind)
            if not pattern or re.fullmatch(pattern, value):
                return ""
            expected.append(words)
        return " or ".join(expected)


def parse(text: str) -> tuple[Entry, ...]:
    """Read the mappings of a schema."""
    obsolete = dict(_obsolete(text))
    text = re.sub(r"^\s*%.*$", "", text, flags=re.MULTILINE)
    found = list(_MAPPING.finditer(text))
    ends = (*(each.start() for each in found[1:]), len(text))
    return tuple(
        Entry(each[1], _datatype(text[each.end() : end]), obsolete.get(each[1], ""))
        for each, end in zip(found, ends, strict=False)
    )


def _obsolete(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of which the comment above says that they are out of use, with its words."""
    said = ""
    for line in text.splitlines():
        if line.lstrip().startswith("%"):
            words = line.strip("% \t")
            said = words if _OBSOLETE.search(words) else said
        elif found := _MAPPING.match(line):
            if said:
                yield found[1], said
            said = ""
        elif line.strip() and not re.match(r"\s*\{\s*mapping\s*,\s*$", line):
            said = ""


def near(key: str, mappings: tuple[Entry, ...]) -> str:
    """Return the known key that somebody may have meant, empty where none is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(key, [mapping.key for mapping in mappings], 1, 0.75)), "")


def _split(key: str) -> list[str]:
    """Split a key at its dots, except those behind a backslash."""
    return re.split(r"(?<!\\)\.", key)


def _datatype(text: str) -> str:
    """Return the term behind `datatype`, up to the bracket that closes it."""
    found = _TYPE.search(text)
    if not found:
        return ""
    depth, start = 0, found.end()
    for at in range(start, len(text)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(text[at], 0)
        if depth < 0:
            return text[start:at].strip()
    return ""


def _alternatives(datatype: str) -> list[str]:
    """Split a list of types at its commas; any other type is the only one."""
    if not datatype.startswith("["):
        return [datatype]
    parts, depth = [""], 0
    for letter in datatype[1:-1]:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _judged(kind: str) -> tuple[str, str]:
    """Return the pattern of a type's values and its name in words; no pattern for what is not judged."""
    if kind in _SIMPLE:
        return _SIMPLE[kind], {"integer": "a whole number", "float": "a number", "bytesize": "a size"}[kind]
    if found := re.fullmatch(r"\{\s*enum\s*,\s*\[([^\]]*)\]\s*\}", kind, re.DOTALL):
        names = [word.strip().strip("'") for word in found[1].split(",")]
        return "|".join(map(re.escape, names)), f"one of {', '.join(names)}"
    if found := re.fullmatch(r"\{\s*atom\s*,\s*'?(\w+)'?\s*\}", kind):
        return re.escape(found[1]), found[1]
    return ("on|off", "on or off") if kind == "flag" else ("", "")
