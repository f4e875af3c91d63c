"""Settings of rabbitmq.conf as people write them: read from TOML or `key=value`, joined, judged.

What a setting does is RabbitMQ's business: a node that does not know one refuses to boot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from rmqsetup.codec import Problem

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SECRET = re.compile(r"(^|[._])(pass|password|passphrase|secret|secret_key|token|acl_token|client_secret)$")
_REFERENCE = re.compile(r"'?(encrypted:|\$\()")
_ELSEWHERE = {
    "load_definitions": 'write definitions = "FILE" at the top of the recipe, or --definitions FILE',
    "management.load_definitions": 'write definitions = "FILE" at the top of the recipe, or --definitions FILE',
}
_EITHER = frozenset({"absolute", "relative"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of rabbitmq.conf; `value` as that file wants it, quoted where it must be."""

    key: str
    value: str


def flatten(table: object, path: tuple[str, ...] = ("config",)) -> tuple[tuple[Setting, ...], tuple[Problem, ...]]:
    """Read `[config]` of a recipe in the order written; nested tables, dotted and quoted keys are the same."""
    if not isinstance(table, dict):
        return (), (Problem(path, "is not a table: write [config] and one line per setting"),)
    settings, problems = list[Setting](), list[Problem]()
    for name, value in table.items():
        if isinstance(value, dict):
            inner, more = flatten(value, (*path, str(name)))
            settings += inner
            problems += more
        elif fault := _fault(value):
            problems.append(Problem((*path, str(name)), fault))
        else:
            settings.append(Setting(".".join((*path[1:], str(name))), _text(value)))
    return tuple(settings), tuple(problems)


def typed(text: str) -> tuple[Setting | None, tuple[Problem, ...]]:
    """Read `key=value` as it stands on a command line."""
    key, sign, value = text.partition("=")
    if not sign:
        return None, (Problem((f"--set {text}",), "has no value: write --set key=value"),)
    return Setting(key.strip(), _text(value)), ()


def merge(old: tuple[Setting, ...], new: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Return the old settings with the new ones, each in the place of what it replaces, else at the end.

    `.absolute` and `.relative` of one limit replace each other: of both, 3.10 heeds the relative and 4.x the absolute.
    """
    merged = {_subject(setting.key): setting for setting in old}
    merged.update({_subject(setting.key): setting for setting in new})
    return tuple(merged.values())


def judge(settings: tuple[Setting, ...]) -> Iterator[Problem]:
    """Say what is wrong with settings, whatever the version of RabbitMQ. Secrets are refused: recipes get shared."""
    seen = dict[str, str]()
    for setting in settings:
        path = ("config", setting.key)
        if not _KEY.fullmatch(setting.key):
            yield Problem(path, "is no key of rabbitmq.conf: words of letters, digits, _ and - with dots between them")
        elif setting.key in _ELSEWHERE:
            yield Problem(path, f"has a place of its own: {_ELSEWHERE[setting.key]}")
        elif _SECRET.search(setting.key) and not _REFERENCE.match(setting.value):
            yield Problem(
                path,
                "is a secret, and a recipe is no place for one: users come with hashed passwords "
                "in a definitions file, and rabbitmq.conf takes encrypted: values",
            )
        elif not setting.value.isprintable():
            yield Problem(path, "holds a line break or another control character: one setting is one line")
        elif not setting.value:
            yield Problem(path, "has no value; leave the line out for RabbitMQ's own default")
        elif "#" in setting.value and not _is_quoted(setting.value):
            yield Problem(path, "holds both # and ', which rabbitmq.conf cannot write")
        if twin := seen.get(_subject(setting.key)):
            yield Problem(path, "is there twice" if twin == setting.key else f"contradicts {twin}: choose one")
        seen[_subject(setting.key)] = setting.key


def _fault(value: object) -> str:
    """Say why a TOML value cannot stand in rabbitmq.conf."""
    if isinstance(value, list):
        return "is a list, and rabbitmq.conf numbers its lists: name.1 = first, name.2 = second"
    if isinstance(value, datetime | date | time):
        return "is a date; write it in quotes"
    if isinstance(value, float) and not abs(value) < float("inf"):
        return f"{value} is no number for rabbitmq.conf"
    return ""


def _text(value: object) -> str:
    """Write a value as rabbitmq.conf wants it: true and false in lower case, a # within single quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    return f"'{text}'" if "#" in text and "'" not in text else text


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] == "'" and "'" not in value[1:-1]


def _subject(key: str) -> str:
    stem, _, last = key.rpartition(".")
    return stem if last in _EITHER and stem else key
