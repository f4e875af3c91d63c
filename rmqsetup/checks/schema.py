"""Which settings the installed RabbitMQ knows: the schemas that it and its plugins bring along. Pure: text in.

Judging a machine's settings by them belongs to `configuration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from rmqsetup.checks import validators

_MAPPING = re.compile(r'^\s*\{\s*mapping\s*,\s*"([^"]+)"', re.MULTILINE)
_OTHER = re.compile(r"^\s*\{\s*(?:translation|validator|include_partial)\b", re.MULTILINE)
_OBSOLETE = re.compile(r"\bDEPRECATED\b|^deprecated$|\bno-op\b")
_INCLUDED = re.compile(
    r'^\s*\{\s*include_partial\s*,\s*\{\s*(\w+)\s*,\s*"([^"]+)"\s*\}\s*,(.*?)\}\s*\.\s*$', re.MULTILINE | re.DOTALL
)
_OPTION = re.compile(r'\{\s*(prefix|disable_with|exclude)\s*,\s*(\[[^\]]*\]|"[^"]*"|\w+)\s*\}')
_ALIAS = re.compile(r'\{\s*alias\s*,\s*"([^"]+)"\s*\}')
_TYPE = re.compile(r"\{\s*datatype\s*,\s*")
_VALIDATORS = re.compile(r"\{\s*validators\s*,\s*\[([^\]]*)\]")
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_REAL = r"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?"
_WHOLE = r"[+-]?\d+"
_AMOUNT = "is_supported_information_unit"
"""A check of sizes, since 4.0, for which no type is."""

_SIMPLE = {
    "integer": (_WHOLE, "a whole number"),
    "byte": (_WHOLE, "a whole number"),
    "float": (_REAL, "a number with a decimal point"),
    "bytesize": (rf"{_NUMBER}(?:[kmg]b|[KMG]B)?", "a size"),
    "boolean": ("true|false", "true or false"),
    "flag": ("on|off", "on or off"),
    "duration": (r"(?:\d+(?:\.\d+)?(?:ms|[fwdhms]))+", "a time with its unit, such as 30s"),
    _AMOUNT: (r"(?i:\d+(?:[kmgtp](?:i?b)?|[kmgtp]i)?)", "a size such as 2GB or 500MiB, without a blank"),
    "ip": (r"[\da-fA-F:.]+(?:%\w+)?:\d+", "an address with a port, such as 127.0.0.1:5672"),
}
"""What cuttlefish, which reads rabbitmq.conf, takes for each of its types; tried with the one of 3.10, 4.0 and 4.3."""

_NAMED = {"byte": (0.0, 255.0), "non_negative": (0.0, inf), "positive": (1.0, inf)}
"""Ranges of numbers that have a name in the schemas of 4.3 and later."""


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
            fits = not pattern or re.fullmatch(pattern, value)
            beyond = words if not fits else _beyond(kind, value) if pattern else ""
            if not beyond:
                return next(filter(None, (validators.refuses(name, value) for name in self.validators)), "")
            expected.append(beyond)
        return " or ".join(expected)


@dataclass(frozen=True, slots=True)
class Partial:
    """What RabbitMQ 4.3 and later share among schemas: a text of an application, under a name."""

    application: str
    name: str
    text: str


def parse(text: str, partials: tuple[Partial, ...] = ()) -> tuple[Entry, ...]:
    """Read the mappings of a schema, with those that it includes from `partials`."""
    plain = re.sub(r"^\s*%.*$", "", text, flags=re.MULTILINE)
    included = (_include(partials, found) for found in _INCLUDED.finditer(plain))
    return (*_own(text), *(entry for entries in included for entry in entries))


def _include(partials: tuple[Partial, ...], found: re.Match[str]) -> Iterator[Entry]:
    """Yield what a schema includes, under the prefix that it gives it."""
    options = dict(_OPTION.findall(found[3]))
    prefix, without = options.get("prefix", "").strip('"'), re.findall(r'"([^"]+)"', options.get("exclude", ""))
    if "disable_with" in options:
        yield Entry(prefix, f"{{enum, [{options['disable_with']}]}}")
    text = next((each.text for each in partials if (each.application, each.name) == found.groups()[:2]), "")
    for entry in _own(text):
        if entry.key not in without:
            yield replace(entry, key=f"{prefix}.{entry.key}")


def _own(text: str) -> tuple[Entry, ...]:
    obsolete = dict(_obsolete(text))
    text = re.sub(r"^\s*%.*$", "", text, flags=re.MULTILINE)
    found = list(_MAPPING.finditer(text))
    ends = (*(each.start() for each in found[1:]), len(text))
    return tuple(
        Entry(key, _datatype(inside), obsolete.get(each[1], ""), _validators(inside))
        for each, end in zip(found, ends, strict=False)
        for inside in (_OTHER.split(text[each.end() : end], maxsplit=1)[0],)
        for key in (each[1], *_ALIAS.findall(inside))
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
    """Return the term behind `datatype`, up to the bracket that closes it.

    One in a list within the list of options is passed over, as cuttlefish does.
    """
    found = _TYPE.search(text)
    if not found or re.search(r"\[\s*\[\s*$", text[: found.start()]):
        return ""
    if _AMOUNT in text:
        return _AMOUNT
    depth, start = 0, found.end()
    for at in range(start, len(text)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(text[at], 0)
        if depth < 0:
            return text[start:at].strip()
    return ""


def _validators(text: str) -> tuple[str, ...]:
    """Return the names of a mapping's validators."""
    found = _VALIDATORS.search(text)
    return tuple(re.findall(r'"([^"]+)"', found[1])) if found else ()


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


def _beyond(kind: str, value: str) -> str:
    """Say what a number may be that its schema limits, where it is outside; RabbitMQ 4.3 began with that."""
    found = re.findall(r"\{\s*(min|gt|max|lt)\s*,\s*(-?[\d.]+)\s*\}", kind)
    words = {name: float(number) for name, number in found}
    limits = (words.get("min", words.get("gt", -inf)), words.get("max", words.get("lt", inf)))
    named = (its for name, its in _NAMED.items() if re.search(rf"\b{name}\b", kind))
    least, most = next(named, limits)
    if (least, most) == (-inf, inf) or least <= float(value) <= most:
        return ""
    return f"{least:g} or more" if most == inf else f"from {least:g} to {most:g}"


def _judged(kind: str) -> tuple[str, str]:
    """Return the pattern of a type's values and its name in words; no pattern for what is not judged."""
    if found := re.fullmatch(r"\{\s*enum\s*,\s*\[([^\]]*)\]\s*\}", kind, re.DOTALL):
        names = [word.strip().strip("'") for word in found[1].split(",")]
        return "|".join(map(re.escape, names)), f"one of {', '.join(names)}"
    if found := re.fullmatch(r"\{\s*atom\s*,\s*'?(\w+)'?\s*\}", kind):
        return re.escape(found[1]), found[1]
    its = re.fullmatch(r"\{?\s*(\w+)\b.*", kind, re.DOTALL)
    return _SIMPLE.get(its[1], ("", "")) if its else ("", "")
