"""Words in, result out: one command per file, and the one handler of everything that goes wrong."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rmqsetup.errors import INTERRUPTED, RmqsetupError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.cli.words import Words
    from rmqsetup.show.terminal import Terminal

COMPLETION = "_RMQSETUP_COMPLETE"
"""The environment variable by which a shell asks typer for completion."""

BROKEN_PIPE = 141
"""Exit code when whoever reads our output went away, as a shell has it."""


def main(argv: list[str]) -> int:
    """Carry out a command line and return its exit code. Raises nothing."""
    from rmqsetup.show.terminal import Terminal

    terminal = Terminal.here()
    try:
        return _run(tuple(argv), terminal)
    except BrokenPipeError:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - nothing may be flushed into the pipe
        return BROKEN_PIPE
    except KeyboardInterrupt:
        terminal.tell("stopped")
        return INTERRUPTED


def _run(argv: tuple[str, ...], terminal: Terminal) -> int:
    try:
        words = _words(argv)
    except RmqsetupError as error:
        from rmqsetup.show.answer import Answer, give

        command = next((word for word in argv if not word.startswith("-")), "")
        return give(Answer(command, error=error), terminal, json=_wants_json(argv))
    if isinstance(words, int):
        return words
    from rmqsetup.cli.session import Session

    return carry_out(Session.here(words, terminal.speaking(quiet=words.quiet)))


def carry_out(session: Session) -> int:
    """Carry out a command, show its answer, and return its exit code."""
    from rmqsetup.cli.options import module
    from rmqsetup.show.answer import Answer, give

    words = session.words
    try:
        answer: Answer = import_module(module(words.command)).run(session)
    except RmqsetupError as error:
        answer = Answer(words.command, error=error)
    except KeyboardInterrupt:
        session.terminal.end_line()
        answer = Answer(words.command, error=session.interrupted())
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where a mistake of ours becomes words
        from rmqsetup.show.crash import crash

        answer = Answer(words.command, error=crash(error, verbose=words.verbose))
    return give(answer, session.terminal, json=words.json)


def _words(argv: tuple[str, ...]) -> Words | int:
    """Read the command line, with typer only where that is needed."""
    from rmqsetup.cli import reading
    from rmqsetup.cli.options import completed

    if argv[:1] == ("help",):
        argv = (*argv[1:], "--help")
    argv = completed(argv) or ("--help",)
    words = None if COMPLETION in os.environ else reading.read(argv)
    if words is not None:
        return words
    from rmqsetup.cli import app

    return app.read(argv)


def _wants_json(argv: tuple[str, ...]) -> bool:
    """Tell whether JSON was asked for in a line that cannot be read as a whole."""
    pairs = zip(argv, (*argv[1:], ""), strict=False)
    if "--json" in argv[: argv.index("--") if "--" in argv else None]:
        return True
    return any(word == "--output=json" or (word in ("--output", "-o") and after == "json") for word, after in pairs)
