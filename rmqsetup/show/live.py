"""Show looks at a broker as they come: on a screen that is drawn anew, as lines of a log, or as lines of JSON.

What one look looks like belongs to `watch`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from rmqsetup.show import watch as screens
from rmqsetup.show.answer import Answer, envelope, plain
from rmqsetup.show.layout import cut

if TYPE_CHECKING:
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.watch import Look

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_PASSED_ON = (signal.SIGTSTP, signal.SIGTERM, signal.SIGHUP)
"""Signals that do to us what they do to everybody, on a terminal that is as it was before."""


class Lines(AbstractContextManager["Lines"]):
    """Shows each look as a line, below a heading."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._told = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""

    def show(self, look: Look) -> None:
        """Show a look; a new problem is told beside it."""
        if not self._told:
            self.terminal.put(screens.heading())
        self.terminal.put(screens.line(look))
        why = f"{look.problem}: {look.cause}" if look.problem else "-"
        if why not in ("-", self._told):
            self.terminal.tell(why)
        self._told = why

    def wait(self, until: float) -> bool:
        """Wait until a moment of the monotonic clock, and return whether the end is wished for."""
        time.sleep(max(0.0, until - time.monotonic()))
        return False


class JsonLines(Lines):
    """Shows each look as an envelope in a line of its own."""

    def show(self, look: Look) -> None:
        """Show a look."""
        answer = Answer(
            "status", data=lambda: plain(look), status="ok" if look.ok else "failed", error=screens.error(look)
        )
        self.terminal.put(envelope(answer, indent=None))


class Screen(Lines):
    """Shows each look on the whole terminal, which is as before once this ends; the last look stays to be read.

    `q` and ctrl-C end it.
    """

    def __init__(self, terminal: Terminal, *, every: float) -> None:
        super().__init__(terminal)
        self._foot = f"every {every:g} s; q ends"
        self._look: Look | None = None
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._modes: list[object] | None = None
        self._pipe = (-1, -1)
        self._signals: dict[int, object] = {}

    def __enter__(self) -> Screen:  # noqa: PYI034 - typing.Self is of Python 3.11
        """Take the terminal."""
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, *_PASSED_ON):
            self._signals[number] = signal.signal(number, lambda *_: None)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._signals.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal returned
        for end in self._pipe:
            os.close(end)
        if self._look:
            columns, _ = self._size()
            self.terminal.put(screens.screen(self._look, self.terminal, columns=columns, rows=50))

    def show(self, look: Look) -> None:
        """Draw a look, as large as the terminal is now."""
        self._look = look
        columns, rows = self._size()
        text = screens.screen(look, self.terminal, columns=columns, rows=max(rows - 2, 1))
        lines = [*text.splitlines(), *(("", cut(self._foot, columns)) if rows > 4 else ())]
        drawn = "\r\n".join(f"{line}{_REST_OF_LINE}" for line in lines[:rows])
        self.terminal.out.write(f"{_HOME}{drawn}{_REST}")
        self.terminal.out.flush()

    def wait(self, until: float) -> bool:
        """Wait until a moment of the monotonic clock, and return whether the end is wished for."""
        sources = [self._pipe[0], *(() if self._keys is None else (self._keys,))]
        while (left := until - time.monotonic()) > 0:
            ready = select.select(sources, (), (), left)[0]
            if self._keys in ready:
                typed = os.read(self._keys or 0, 64)
                if not typed:
                    sources.remove(self._keys or 0)  # nobody is there any more
                if b"q" in typed.lower():
                    return True
            if self._pipe[0] in ready:
                self._heed(os.read(self._pipe[0], 64))
        return False

    def _heed(self, numbers: bytes) -> None:
        """Do what signals ask for: another size, or what they do to everybody."""
        for number in set(numbers) & set(_PASSED_ON):
            self._give_back()
            before = signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, before)  # a stopped process goes on here
            self._take()
        if self._look:
            self.show(self._look)

    def _size(self) -> tuple[int, int]:
        """Return columns and rows; of a terminal that has not been told its own, the usual ones."""
        columns, rows = os.get_terminal_size(self.terminal.out.fileno())
        return columns or 80, rows or 24

    def _take(self) -> None:
        if self._keys is not None:
            import termios
            import tty

            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self.terminal.out.write(_ENTER)
        self.terminal.out.flush()

    def _give_back(self) -> None:
        self.terminal.out.write(_LEAVE)
        self.terminal.out.flush()
        if self._keys is not None and self._modes is not None:
            import termios

            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)  # type: ignore[arg-type]  # as it was


def follow(look: Callable[[], Look], shown: Lines, *, every: float, count: int | None) -> Look:
    """Look again and again and show it, so many times or until somebody ends it, and return the last look.

    Raises `KeyboardInterrupt` where it is ended before there is one.
    """
    last: Look | None = None
    try:
        with shown:
            while True:
                due = time.monotonic() + every
                last = look()
                shown.show(last)
                count = None if count is None else count - 1
                if count == 0 or shown.wait(due):
                    return last
    except KeyboardInterrupt:
        if last is None:
            raise
        return last
