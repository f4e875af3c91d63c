"""Read a line that has no mistakes, quickly: a tenth of what importing typer costs.

Whatever is out of the ordinary (help, a mistake, completion) is left to `app`, which reads by the same definition.
"""

from __future__ import annotations

from rmqsetup.cli.options import command
from rmqsetup.cli.words import Command, Option, Words


def read(argv: tuple[str, ...]) -> Words | None:
    """Return what was typed, or None where `app` has to look at it."""
    found = command(argv[0]) if argv else None
    if found is None:
        return None
    typed: dict[str, object] = {}
    rest = list(argv[1:])
    while rest:
        word = rest.pop(0)
        last = _rest(found)
        if last and (word == "--" or not word.startswith("-")):
            typed[last.field] = tuple(rest if word == "--" else (word, *rest))
            break
        flag, sign, text = word.partition("=") if word.startswith("--") else (word, "", "")
        option = _option(found, flag, typed)
        if option is None or (option.field in typed and not option.many) or (sign and not option.metavar):
            return None
        if not option.flags:
            text = word
        elif option.metavar and not sign:
            text = rest.pop(0) if rest else ""
        value = _value(option, text)
        if value is None:
            return None
        typed[option.field] = (*_earlier(typed, option), value) if option.many else value
    return Words(found.name, **typed)  # type: ignore[arg-type]  # the fields of Words are those of the options


def _rest(found: Command) -> Option | None:
    return next((each for each in found.options if each.rest), None)


def _option(found: Command, flag: str, typed: dict[str, object]) -> Option | None:
    """Return the option of a flag, or the next argument that is not typed yet."""
    if flag.startswith("-"):
        return next((each for each in found.options if flag in each.flags), None)
    arguments = (each for each in found.options if not each.flags)
    return next((each for each in arguments if each.many or each.field not in typed), None)


def _value(option: Option, text: str) -> object:
    """Return a value, or None for one that is a mistake or may be one."""
    if option.flags and not option.metavar:
        return option.value
    if not text or (text.startswith("-") and text != "-") or (option.choices and text not in option.choices):
        return None
    try:
        return option.kind(text)
    except ValueError:
        return None


def _earlier(typed: dict[str, object], option: Option) -> tuple[object, ...]:
    found = typed.get(option.field, ())
    assert isinstance(found, tuple)  # noqa: S101 - for the type checker
    return found
