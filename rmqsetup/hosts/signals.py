"""Signals heard one at a time by who runs a program: noted by a handler before there is one, then waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """Hear signals, and the end of children. Those that were ignored when we were started stay ignored.

    While a program is followed they are `blocked`, and `next` waits for them: a handler that runs just before a
    blocking wait would set a flag that nobody looks at. Before that a handler notes them, since a program inherits what
    is blocked. `came` are those that came, in their order, but for the end of children.
    """

    def __init__(self, numbers: tuple[signal.Signals, ...]) -> None:
        self.came: list[int] = []
        self._told = 0
        heard = (number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN)
        self._every = {*heard, signal.SIGCHLD}

    def __enter__(self) -> Signals:  # noqa: PYI034 - Self is newer than our oldest Python
        self._before = tuple((number, signal.signal(number, self._note)) for number in self._every)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before:
            signal.signal(number, before)

    @property
    def first(self) -> str:
        """The name of the first that came, empty where none did."""
        return signal.Signals(self.came[0]).name if self.came else ""

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Have them wait until they are asked for."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._every)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def next(self) -> tuple[int, bool]:
        """Return the next signal, while they are blocked, and whether the terminal sent it to the whole process group.

        Those that came before come first.
        """
        from_terminal = False
        if self._told == len(self.came):
            number, from_terminal = self._waited()
            self._note(number)
            if number == signal.SIGCHLD:
                return number, False
        self._told += 1
        return self.came[self._told - 1], from_terminal

    def _waited(self) -> tuple[int, bool]:
        if hasattr(signal, "sigwaitinfo"):
            found = signal.sigwaitinfo(self._every)
            return found.si_signo, found.si_pid == 0
        number = signal.sigwait(self._every)
        return number, number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)

    def _note(self, number: int, _frame: FrameType | None = None) -> None:
        if number != signal.SIGCHLD:
            self.came.append(number)
