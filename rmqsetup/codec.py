"""Values to and from plain data, for plans, receipts and recipes: the one place of cattrs.

What a value means belongs to its own module.
"""

from __future__ import annotations

import base64
import difflib
import json
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Union, get_args, get_origin

from rmqsetup.errors import RmqsetupError, UnsupportedError, UsageError
from rmqsetup.host import Answer, Look, Result
from rmqsetup.steps import Change, Phase, Step

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

STEPS = {
    "Access": "rmqsetup.steps.access",
    "Account": "rmqsetup.steps.account",
    "Archive": "rmqsetup.steps.archive",
    "Aside": "rmqsetup.steps.aside",
    "Disabled": "rmqsetup.steps.disabled",
    "File": "rmqsetup.steps.file",
    "Flags": "rmqsetup.steps.flags",
    "Folder": "rmqsetup.steps.folder",
    "Mask": "rmqsetup.steps.mask",
    "Packages": "rmqsetup.steps.packages",
    "Service": "rmqsetup.steps.service",
    "Trust": "rmqsetup.steps.trust",
    "Units": "rmqsetup.steps.units",
}
"""Every kind of step by the name it has in data, and the module it lives in."""

_TAG = "type"
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A step that only a newer rmqsetup knows: kept as it was read and written back unchanged, never applied."""

    type: str
    data: str

    @property
    def key(self) -> str:
        """The whole text, so that no two of them are taken for one thing."""
        return f"unknown:{self.type}:{self.data}"

    @property
    def phase(self) -> Phase:
        """First, so that a plan that holds it stops before it changes anything."""
        return Phase.STOP

    def query(self) -> tuple[Look, ...]:
        """Look at nothing."""
        return ()

    def observe(self, _answers: tuple[Answer, ...]) -> Unknown:
        """Raise `UnsupportedError`."""
        self._refuse()

    def diff(self, _observed: Unknown) -> Change:
        """Raise `UnsupportedError`."""
        self._refuse()

    def explain(self, _result: Result) -> RmqsetupError:
        """Raise `UnsupportedError`."""
        self._refuse()

    def absorb(self, _newer: Unknown) -> Unknown:
        """Raise `UnsupportedError`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedError(
            f"this rmqsetup does not know the step {self.type!r}",
            cause="a newer rmqsetup wrote it",
            hint="use the rmqsetup that wrote it, or a newer one",
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in data: where, and what is wrong, in words for people."""

    path: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        """Return `key.path: what is wrong`."""
        return f"{'.'.join(self.path)}: {self.text}" if self.path else self.text


def to_data(value: object) -> object:
    """Return a value as JSON-ready data.

    What equals its default is left out, so a default is part of the format: never change one. Where several classes
    could stand (an action, a step) the value says under `type` which it is; bytes that are no UTF-8 are in base64.
    """
    if type(value).__name__ in STEPS or isinstance(value, Unknown):
        return _write_step(value)
    return _converter().unstructure(value)


def from_data(data: object, kind: type[T], *, what: str = "") -> T:
    """Return the value that `data` describes.

    Raises `UsageError` with one line per mistake in `cause`; `what` names the thing that was read.
    """
    try:
        return _converter().structure(data, kind)
    except Exception as error:  # noqa: BLE001  what is no mistake in the data is raised again by _problems
        problems = tuple(_problems(error, ()))
    raise UsageError(f"{what or kind.__name__} cannot be read", cause="\n".join(map(str, problems)))


def salvage(data: object, kind: type[T], *, what: str = "") -> tuple[T, tuple[Problem, ...]]:
    """Return what can be read of `data`, and every mistake; the keys at fault count as not written.

    So mistakes in meaning can be told together with those in form. Raises `UsageError` when nothing is left to read.
    """
    try:
        return _converter().structure(data, kind), ()
    except Exception as error:  # noqa: BLE001  what is no mistake in the data is raised again by _problems
        problems = tuple(_problems(error, ()))
    rest = data
    for problem in problems:
        rest = _without(rest, problem.path)
    return from_data(rest, kind, what=what), problems


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """Return `; did you mean X?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


@lru_cache(maxsize=1)
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.cols import (
        is_namedtuple,
        namedtuple_dict_structure_factory,
        namedtuple_dict_unstructure_factory,
    )

    converter = Converter(omit_if_default=True, unstruct_collection_overrides={tuple: list})
    converter.register_structure_hook_factory(is_dataclass, _reader)
    converter.register_structure_hook_factory(is_namedtuple, namedtuple_dict_structure_factory)
    converter.register_unstructure_hook_factory(is_namedtuple, namedtuple_dict_unstructure_factory)
    for kind in _WORDS:
        converter.register_structure_hook(kind, _read_plain)
    converter.register_structure_hook(bytes, _read_bytes)
    converter.register_unstructure_hook(bytes, _write_bytes)
    converter.register_structure_hook(datetime, _read_datetime)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, Enum), _read_enum)
    converter.register_structure_hook_func(_is_list, _read_list)
    converter.register_structure_hook_func(_is_tagged, _read_union)
    converter.register_unstructure_hook_func(_is_tagged, _write_tagged)
    converter.register_structure_hook_func(lambda kind: kind is Step, _read_step)
    converter.register_unstructure_hook_func(lambda kind: kind is Step, _write_step)
    return converter


def _reader(kind: type[T], converter: Converter) -> Callable[[object, object], T]:
    """Return what reads one dataclass: a table without keys it does not know; it may say what it is."""
    from cattrs.gen import make_dict_structure_fn

    read = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

    def read_table(data: object, _kind: object) -> T:
        if not isinstance(data, dict):
            raise TypeError(f"{_shown(data)} is not a table")
        return read({name: value for name, value in data.items() if (name, value) != (_TAG, kind.__name__)}, kind)

    return read_table


def _read_plain(data: object, kind: type) -> object:
    """Refuse what cattrs would convert in silence: the text 5 for a number, a number for a text."""
    if issubclass(kind, Enum):  # an IntEnum is an int to cattrs
        return _read_enum(data, kind)
    fits = isinstance(data, int | float) if kind is float else isinstance(data, kind)
    if not fits or (isinstance(data, bool) and kind is not bool):
        quoted = f'; write "{data}"' if kind is str and isinstance(data, int | float) else ""
        raise TypeError(f"{_shown(data)} is not {_WORDS[kind]}{quoted}")
    return data


def _shown(data: object) -> str:
    if isinstance(data, dict | list):
        return "a table" if isinstance(data, dict) else "a list"
    return json.dumps(data, default=str, ensure_ascii=False)


def _read_bytes(data: object, _kind: object) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, dict) and set(data) == {"base64"} and isinstance(data["base64"], str):
        return base64.b64decode(data["base64"], validate=True)
    raise TypeError(f'{_shown(data)} is neither text nor {{"base64": "..."}}')


def _write_bytes(content: bytes) -> object:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _read_datetime(data: object, _kind: object) -> datetime:
    return datetime.fromisoformat(str(_read_plain(data, str)).replace("Z", "+00:00"))


def _read_enum(data: object, kind: type[Enum]) -> Enum:
    known = tuple(str(member.value) for member in kind)
    for member in kind:
        if member.value == data and not isinstance(data, bool):
            return member
    raise ValueError(f"{_shown(data)} is none of {', '.join(known)}{did_you_mean(str(data), known)}")


def _is_list(kind: object) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[1:] == (...,)


def _read_list(data: object, kind: object) -> tuple[object, ...]:
    """Read a list; a text is no list of letters."""
    if not isinstance(data, list | tuple):
        apart = [part.strip() for part in data.split(",")] if isinstance(data, str) else []
        raise TypeError(f"{_shown(data)} is not a list{f'; write {json.dumps(apart)}' if apart else ''}")
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]
    return tuple(_converter().structure(data, items))


def _is_tagged(kind: object) -> bool:
    """Tell whether an annotation allows several dataclasses, which only a tag can tell apart."""
    return get_origin(kind) in (Union, types.UnionType) and sum(map(is_dataclass, get_args(kind))) > 1


def _read_union(data: object, kind: object) -> object:
    if data is None and type(None) in get_args(kind):
        return None
    classes: dict[str, Any] = {member.__name__: member for member in get_args(kind) if isinstance(member, type)}
    classes.pop("NoneType", None)
    name, rest = _tag(data)
    if name not in classes:
        raise ValueError(f"{name!r} is none of {', '.join(classes)}{did_you_mean(name, tuple(classes))}")
    return _converter().structure(rest, classes[name])


def _write_tagged(value: object) -> object:
    if value is None:
        return None
    return {_TAG: type(value).__name__, **_converter().unstructure(value)}


def _read_step(data: object, _kind: object) -> object:
    """Read a step; of an unknown type, or with keys this version does not know, it stays opaque."""
    name, rest = _tag(data)
    if name in STEPS:
        kind: Any = getattr(import_module(STEPS[name]), name)
        if {field.name for field in fields(kind)}.issuperset(rest):
            return _converter().structure(rest, kind)
    return Unknown(name, json.dumps(rest, sort_keys=True, ensure_ascii=False))


def _write_step(value: object) -> object:
    if isinstance(value, Unknown):
        return {_TAG: value.type, **json.loads(value.data)}
    return _write_tagged(value)


def _tag(data: object) -> tuple[str, dict[str, object]]:
    if not isinstance(data, dict) or not isinstance(data.get(_TAG), str):
        raise TypeError(f'{_shown(data)} does not say what it is: "{_TAG}" is missing')
    return data[_TAG], {name: value for name, value in data.items() if name != _TAG}


def _problems(error: BaseException, path: tuple[str, ...]) -> Iterator[Problem]:
    """Flatten what cattrs raises; anything that is no mistake in the data goes on as it is."""
    from cattrs.errors import (
        AttributeValidationNote,
        BaseValidationError,
        ForbiddenExtraKeysError,
        IterableValidationNote,
    )

    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            notes = getattr(inner, "__notes__", ())
            names = [note.name for note in notes if isinstance(note, AttributeValidationNote)]
            names += [str(note.index) for note in notes if isinstance(note, IterableValidationNote)]
            yield from _problems(inner, (*path, *names[:1]))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = tuple(field.name for field in fields(error.cl))
        for name in sorted(error.extra_fields):
            yield Problem((*path, name), f"is not known{did_you_mean(name, known) or _choice(known)}")
    elif isinstance(error, KeyError):
        yield Problem(path, "is missing")
    elif isinstance(error, TypeError | ValueError | UsageError):
        yield Problem(path, error.message if isinstance(error, UsageError) else str(error))
    else:
        raise error


def _choice(known: tuple[str, ...]) -> str:
    return f"; known here: {', '.join(known)}"


def _without(data: object, path: tuple[str, ...]) -> object:
    if not path or not isinstance(data, dict):
        return data
    rest = {name: value for name, value in data.items() if name != path[0]}
    if len(path) > 1 and isinstance(data.get(path[0]), dict):
        rest[path[0]] = _without(data[path[0]], path[1:])
    return rest
