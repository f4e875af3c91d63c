"""Which settings the installed RabbitMQ knows: the schemas that it and its plugins bring along. Pure: text in.

Judging a machine's settings by them belongs to `configuration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rmqsetup.checks import validators

_MAPPING = re.compile(r'^\s*\{\s*mapping\s*,\s*"([^"]+)"', re.MULTILINE)
_OBSOLETE = re.compile(r"\bDEPRECATED\b|^deprecated$|\bno-op\b")
_TYPE = re.compile(r"\{\s*datatype\s*,\s*")
_INCLUDE = re.compile(
    r'^\s*\{\s*include_partial\s*,\s*\{\s*\w+\s*,\s*"(?P<name>[^"]+)"\s*\}\s*,\s*\[\s*\{\s*prefix\s*,\s*'
    r'"(?P<prefix>[^"]+)"',
    re.MULTILINE,
)
_ALIAS = re.compile(r'\{\s*alias\s*,\s*"([^"]+)"')
_VALIDATORS = re.compile(r"\{\s*validators\s*,\s*\[([^\]]*)\]")
_SIZE = r"-?\d+(?:\.\d+)?(?:[kKmMgGtT]?i?[bB]?)"
_SIMPLE = {"integer": r"-?\d+", "float": r"-?\d+\.\d+(?:[eE][-+]?\d+)?", "bytesize": _SIZE}
_ENDPOINT = r"[0-9A-Fa-f:.]+(?:%\w+)?:\d+|(?:unix|local):.*"
_WORDS = {"integer": "a whole number", "float": "a number with a point, such as 1.0", "bytesize": "a size"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, with `$name` for whatever a user writes there; `datatype` as the schema has it.

    `deprecated` is what the schema itself says of a key that is kept only for old configurations.
    """

    key: str
    datatype: str = ""
    deprecated: str = ""
    validators: tuple[str, ...] = ()

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
                return next(filter(None, (validators.refuses(name, value) for name in self.validators)), "")
            expected.append(words)
        return " or ".join(expected)


@dataclass(frozen=True, slots=True)
class Partial:
    """A part that several schemas of 4.3 have in common, each under a prefix of its own."""

    name: str
    text: str


def parse(text: str, partials: tuple[Partial, ...] = ()) -> tuple[Entry, ...]:
    """Read the mappings of a schema; the other names that 4.3 has for some are keys as well.

    `partials` are those that it may include.
    """
    obsolete = dict(_obsolete(text))
    text = re.sub(r"^\s*%.*$", "", text, flags=re.MULTILINE)
    found = list(_MAPPING.finditer(text))
    ends = (*(each.start() for each in found[1:]), len(text))
    own = (
        Entry(key, _datatype(inside), obsolete.get(each[1], ""), _validators(inside))
        for each, end in zip(found, ends, strict=False)
        for inside in (text[each.end() : end].partition("\n{")[0],)
        for key in (each[1], *_ALIAS.findall(inside))
    )
    return (*own, *_included(text, partials))


def _included(text: str, partials: tuple[Partial, ...]) -> Iterator[Entry]:
    """Yield the keys that a schema takes from parts, each under a prefix, which may be switched off as a whole."""
    for each in _INCLUDE.finditer(text):
        yield Entry(each["prefix"], "{enum, [none]}")
        for entry in (entry for part in partials if part.name == each["name"] for entry in parse(part.text)):
            yield replace(entry, key=f"{each['prefix']}.{entry.key}")


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


def _validators(text: str) -> tuple[str, ...]:
    """Return the names of a mapping's validators; a type that narrows another, as 4.3 has them, is one as well."""
    found, datatype = _VALIDATORS.search(text), re.sub(r"\s", "", _datatype(text))
    return (*(re.findall(r'"([^"]+)"', found[1]) if found else ()), datatype)


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
    narrowed = re.fullmatch(r"byte|\{\s*(integer|float)\s*,.*\}", kind, re.DOTALL)
    kind = (narrowed[1] or "integer") if narrowed else kind
    if kind in _SIMPLE:
        return _SIMPLE[kind], {
            "integer": "a whole number",
            "float": "a number with a point, such as 1.0",
            "bytesize": "a size",
        }[kind]
    if found := re.fullmatch(r"\{\s*enum\s*,\s*\[([^\]]*)\]\s*\}", kind, re.DOTALL):
        names = [word.strip().strip("'") for word in found[1].split(",")]
        return "|".join(map(re.escape, names)), f"one of {', '.join(names)}"
    if found := re.fullmatch(r"\{\s*atom\s*,\s*'?(\w+)'?\s*\}", kind):
        return re.escape(found[1]), found[1]
    known = {
        "flag": ("on|off", "on or off"),
        "boolean": ("true|false", "true or false"),
        "ip": (_ENDPOINT, "an address with a port, such as 127.0.0.1:5672"),
    }
    return known.get(kind, ("", ""))
