"""Run a command beside a broker: signals passed on, its exit code returned, and the death of a node noticed.

The broker that it runs beside belongs to `throwaway`. Unlike `hosts.foreground` the command keeps the terminal and the
process group it would have without us: debuggers and progress bars work, and ctrl-C reaches it by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

from rmqsetup.errors import UsageError
from rmqsetup.hosts.signals import Signals

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals for the command that come to us."""


def run(
    argv: tuple[str, ...], env: tuple[tuple[str, str], ...], *, beside: Callable[[], None], output: int | None = None
) -> int:
    """Run a command to its end, with `env` over our environment, and return its exit code as a shell has it.

    `beside` is called whenever a child of ours ends, the command or a node. The command's standard output is ours, or
    the descriptor `output`. Raises `UsageError` for what cannot be run.
    """
    with Signals(PASSED_ON) as signals:
        try:
            process = subprocess.Popen(argv, env={**os.environ, **dict(env)}, stdout=output)
        except OSError as error:
            raise UsageError(f"{argv[0]} cannot be run", cause=(error.strerror or str(error)).lower()) from error
        with signals.blocked():
            while (code := process.poll()) is None:
                number, from_terminal = signals.next()
                if number == signal.SIGCHLD:
                    beside()
                elif not from_terminal:  # from there the command has it already
                    process.send_signal(number)
    return 128 - code if code < 0 else code


def wait(*, beside: Callable[[], bool]) -> str:
    """Wait for a signal that ends us, and return its name; empty where `beside` says that there is nothing left."""
    with Signals(PASSED_ON) as signals, signals.blocked():
        while not signals.came and beside():
            signals.next()
    return signals.first
