"""The command line as typer sees it, made from the table of options: help, mistakes, completion.

A line without mistakes does not come here: `reading` takes it by the same table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Annotated, Any

from rmqsetup.cli.options import COMMANDS, RECIPES, command, module
from rmqsetup.cli.words import Command, Option, Words
from rmqsetup.errors import UsageError

_ABOUT = """\
One command from a fresh machine to a verified RabbitMQ broker.

Exit codes: 0 done, 2 usage, 3 unsupported, 4 network, 5 trust, 6 package manager, 7 not converged, 8 broker not
ready, 9 conflict, 10 there is something to do (plan) or to report (doctor), 130 stopped by ctrl-C, 1 a mistake of
rmqsetup's own.
"""


EXAMPLES = {
    "install": ("--recipe dev", "--rabbitmq 4.2 --plugins rabbitmq_management"),
    "plan": ("--source distro --explain", "--recipe production --as sh >broker.sh"),
    "run": ("-- pytest -q", "--rabbitmq 4.2 --nodes 3 -- make test"),
    "verify": ("--level 3 --wait 120",),
    "status": ("--watch --interval 10",),
    "doctor": ("", "explain RMQ-053", "--fix"),
    "undo": ("", "20261128T122459Z-install"),
    "cache": ("export rabbitmq.bundle --rabbitmq 4.3",),
    "stop": ("--all",),
}
"""How commands are typed, for their help."""

ELSEWHERE = {
    "upgrade": "rmqsetup install --rabbitmq VERSION goes to another release",
    "update": "rmqsetup install --rabbitmq VERSION goes to another release",
    "remove": "rmqsetup uninstall",
    "purge": "rmqsetup uninstall --purge",
    "check": "rmqsetup verify, or rmqsetup doctor",
    "test": "rmqsetup verify; for tests of your own: rmqsetup run -- COMMAND",
}
"""What to type instead of words that other tools have for it."""


def read(argv: tuple[str, ...]) -> Words | int:
    """Return what was typed, or the exit code when help or a completion was all. Raises `UsageError`."""
    from typer import BadParameter

    mistake: type[Exception] = BadParameter.__mro__[2]  # the root of what click raises, wherever typer keeps click
    try:
        answer = _parser()(list(argv), prog_name="rmqsetup", standalone_mode=False)
    except mistake as error:
        raise _usage(error, argv) from error
    except SystemExit as gone:  # after the output's reader went away
        raise BrokenPipeError from gone
    return answer if isinstance(answer, Words | int) else 0


def about(found: Command) -> str:
    """Return the help of a command: the docstring of what carries it out."""
    return inspect.cleandoc(import_module(module(found.name)).run.__doc__ or "")


@lru_cache(maxsize=1)
def _parser() -> Callable[..., object]:
    """Return the whole command line, made by typer."""
    import typer

    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = typer.Typer(
        help=_ABOUT, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=settings
    )  # fmt: skip
    app.callback()(_main())
    for found in COMMANDS:
        own = {"allow_interspersed_args": False} if any(each.rest for each in found.options) else {}
        app.command(found.name, help=about(found), epilog=_examples(found), context_settings={**settings, **own})(
            _reader(found)
        )
    return typer.main.get_command(app)


def _examples(found: Command) -> str | None:
    """Return lines to type, as the end of a help; typer leaves what follows a backspace as it is."""
    lines = (f"  rmqsetup {found.name} {rest}".rstrip() for rest in EXAMPLES.get(found.name, ()))
    return "\b\nExamples:\n" + "\n".join(lines) if found.name in EXAMPLES else None


def _main() -> Callable[..., None]:
    """Return what reads the options before the command: there is only `--version`."""
    import typer

    from rmqsetup import __version__

    def tell(wanted: bool) -> None:
        if wanted:
            typer.echo(f"rmqsetup {__version__}")
            raise typer.Exit

    def main(version: object = False) -> None: ...

    option = typer.Option("--version", help="Show the version and exit.", callback=tell, is_eager=True)
    main.__annotations__["version"] = Annotated[bool, option]
    return main


def _reader(found: Command) -> Callable[..., Words]:
    """Return a function with the signature that typer makes a command of."""

    def words(**typed: object) -> Words:
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in typed.items()}
        said: Any = {name: value for name, value in given.items() if value is not None}
        return Words(found.name, **said)

    parameters = [_parameter(option, found.name) for option in found.options]
    words.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    words.__annotations__ = {each.name: each.annotation for each in parameters}
    return words


def _parameter(option: Option, name: str) -> inspect.Parameter:
    """Return one parameter of the command `name` as typer reads it.

    What is not said stays out, so that `Words` has the one default.
    """
    import typer

    def complete(incomplete: str) -> list[str]:
        return [word for word in _offered(option) if word.startswith(incomplete)]

    told: dict[str, Any] = {"help": option.help, "show_default": False}
    if not option.metavar:
        info: Any = typer.Option(*option.flags, **told, callback=_switch(option))
        return _keyword(option.field, Annotated[bool, info], default=False)
    told |= {"metavar": option.metavar, "autocompletion": complete}
    if option.choices:
        told["callback"] = _one_of(option, name)
    kind: Any = list[option.kind] if option.many else option.kind  # type: ignore[name-defined]
    if not option.flags:
        return _keyword(option.field, Annotated[kind | None, typer.Argument(**told)], default=None)
    return _keyword(option.field, Annotated[kind | None, typer.Option(*option.flags, **told)], default=None)


def _keyword(name: str, annotation: object, *, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _switch(option: Option) -> Callable[[bool], bool | None]:
    def value(said: bool) -> bool | None:
        return option.value if said else None

    return value


def _one_of(option: Option, name: str) -> Callable[[object], object]:
    """Refuse what is none of the choices, with the one that was meant."""

    def check(value: object) -> object:
        if value is not None and str(value) not in option.choices:
            from rmqsetup.codec import did_you_mean

            known = ", ".join(option.choices)
            near = did_you_mean(str(value), option.choices)
            said = f"{option.flags[0] if option.flags else option.metavar}: {str(value)!r} is none of {known}{near}"
            raise UsageError(said, hint=f"see: rmqsetup {name} --help")
        return value

    return check


def _offered(option: Option) -> tuple[str, ...]:
    if RECIPES not in option.offered:
        return option.choices or option.offered
    from rmqsetup.recipe import shipped

    return shipped()


def _usage(error: Exception, argv: tuple[str, ...]) -> UsageError:
    """Put typer's words for a mistake into ours, with what was probably meant."""
    from rmqsetup.codec import did_you_mean

    known = tuple(each.name for each in COMMANDS)
    said = next((word for word in argv if not word.startswith("-")), "")
    words: Any = error
    if argv[0].startswith("-"):
        flag = argv[0].partition("=")[0]
        known_after = any(flag in option.flags for each in COMMANDS for option in each.options)
        hint = f"options come after the command: rmqsetup COMMAND {flag}" if known_after else "see: rmqsetup --help"
        return UsageError(f"rmqsetup has no option {flag}", hint=hint)
    found = command(said)
    if found is None:
        near = did_you_mean(said, known)
        every = "" if near else f"one of {', '.join(known)}; "
        return UsageError(
            f"there is no command {said!r}{near}", hint=ELSEWHERE.get(said) or f"{every}see: rmqsetup --help"
        )
    message = re.sub(
        r"^Got unexpected extra argument\S* \((.*)\)$",
        rf"rmqsetup {said} takes no \1",
        words.format_message().rstrip("."),
    )
    flags = tuple(flag for option in found.options for flag in option.flags)
    unknown = getattr(error, "option_name", "")
    if unknown and unknown not in flags:
        message = f"rmqsetup {said} has no option {unknown}{did_you_mean(unknown, flags)}"
    others = tuple(each.name for each in COMMANDS if any(unknown in option.flags for option in each.options))
    cause = f"it is one of {', '.join(others)}" if unknown and unknown not in flags and others else ""
    return UsageError(message[:1].lower() + message[1:], cause=cause, hint=f"see: rmqsetup {said} --help")
