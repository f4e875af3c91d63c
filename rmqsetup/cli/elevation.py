"""Become root through sudo, with the few environment variables that matter, or say what to type.

Who needs root is said in `options`.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError
from rmqsetup.host import Command

if TYPE_CHECKING:
    from rmqsetup.host import Host
    from rmqsetup.show.terminal import Terminal

KEPT = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("NO_COLOR", "LANG", "LANGUAGE", "COLUMNS", "TERM"),
)
"""Environment variables that go along, besides `LC_*` and `RMQSETUP_*`."""


def elevate(host: Host, terminal: Terminal) -> None:
    """Run this very command line again as root; returns never. Raises `UsageError` where there is no way."""
    again = command_line()
    typed = shlex.join((program(), *sys.argv[1:]))
    if not any(os.access(f"{folder}/sudo", os.X_OK) for folder in os.get_exec_path()):
        raise UsageError("this needs root, and there is no sudo here", hint=f"as root, type: {typed}")
    tried = None if terminal.can_ask else host.run(Command(("sudo", "-n", "true"), timeout=10))
    if tried and not tried.ok:
        raise UsageError(
            "this needs root, and sudo cannot ask for a password here",
            cause=tried.tail(1),
            hint=f"in a terminal, type: sudo {typed}",
        )
    kept = ",".join(kept_variables(tuple(os.environ)))
    words = ("sudo", *((f"--preserve-env={kept}",) if kept else ()), "--", *again)
    terminal.say("This needs root: going on through sudo.")
    terminal.flush()
    os.execvp("sudo", words)  # noqa: S606, S607 - the user's own sudo, without a shell


def kept_variables(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some environment variables that go along; sudo takes names, so values stay out of `ps`."""
    return tuple(sorted(name for name in names if name in KEPT or name.startswith(("LC_", "RMQSETUP_"))))


def command_line() -> tuple[str, ...]:
    """Return how this process was started, interpreter and all."""
    return (sys.executable, *sys.orig_argv[1:])


def program() -> str:
    """Return what to type for rmqsetup: its path where sudo would not find it by name."""
    path = sys.argv[0]
    return path if path.startswith("/") and not path.startswith(("/usr/", "/bin/")) else "rmqsetup"
