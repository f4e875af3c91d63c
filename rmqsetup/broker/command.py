"""Run a command beside a broker: signals passed on, its exit code returned, and the death of a node noticed.

The broker that it runs beside belongs to `throwaway`. Unlike `hosts.foreground` the command keeps the terminal and the
process group it would have without us: debuggers and progress bars work, and ctrl-C reaches it by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from types import FrameType

from rmqsetup.errors import UsageError

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals for the command that come to us."""


def run(
    argv: tuple[str, ...], env: tuple[tuple[str, str], ...], *, beside: Callable[[], None], output: int | None = None
) -> int:
    """Run a command to its end, with `env` over our environment, and return its exit code as a shell has it.

    `beside` is called whenever a child of ours ends, the command or a node. The command's standard output is ours, or
    the descriptor `output`. Raises `UsageError` for what cannot be run.
    """
    with _Signals() as signals:
        try:
            process = subprocess.Popen(argv, env={**os.environ, **dict(env)}, stdout=output)
        except OSError as error:
            raise UsageError(f"{argv[0]} cannot be run", cause=(error.strerror or str(error)).lower()) from error
        code = signals.follow(process, beside)
    return 128 - code if code < 0 else code


def wait(*, beside: Callable[[], bool]) -> str:
    """Wait for a signal that ends us, and return its name; empty where `beside` says that there is nothing left."""
    with _Signals() as signals:
        number = signals.next(beside)
    return signal.Signals(number).name if number else ""


class _Signals:
    """Hear signals one at a time: as long as a command is followed they are blocked, and waited for."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._heard = tuple(number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN)

    def __enter__(self) -> _Signals:  # noqa: PYI034 - Self is newer than our oldest Python
        every = (*self._heard, signal.SIGCHLD)
        self._before = tuple((number, signal.signal(number, self._note)) for number in every)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before:
            signal.signal(number, before)

    def follow(self, process: subprocess.Popen[bytes], beside: Callable[[], None]) -> int:
        """Return how the command ended; what came before it was there is passed on too."""
        every: set[int] = {*self._heard, signal.SIGCHLD}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, every)
        try:
            for number in self.came:
                process.send_signal(number)
            while (code := process.poll()) is None:
                number, from_terminal = _next_of(every)
                if number == signal.SIGCHLD:
                    beside()
                elif not from_terminal:  # from there the command has it already
                    process.send_signal(number)
            return code
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def next(self, beside: Callable[[], bool]) -> int:
        """Return the next signal that comes; 0 as soon as `beside` says that there is nothing left."""
        every: set[int] = {*self._heard, signal.SIGCHLD}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, every)
        try:
            while not self.came:
                if not beside():
                    return 0
                self._note(_next_of(every)[0])
            return self.came[0]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _note(self, number: int, _frame: FrameType | None = None) -> None:
        if number != signal.SIGCHLD:
            self.came.append(number)


def _next_of(numbers: set[int]) -> tuple[int, bool]:
    """Return the next signal, and whether the terminal sent it, to the whole process group."""
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(numbers)
        return found.si_signo, found.si_pid == 0 and found.si_signo != signal.SIGCHLD
    number = signal.sigwait(numbers)
    return number, number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)
