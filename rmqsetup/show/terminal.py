"""Where words go: data to standard output, talk to standard error; colour and width as the terminal has them.

What the words are belongs to the other modules here.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from threading import Event

WIDTH = 80
"""Columns where no terminal says otherwise."""

WIDEST = 110
"""Columns that are used at most: longer lines are hard to read."""

_CLEAR = "\r\x1b[K"
"""Begins the line anew, empty."""

_ORDERS = re.compile(r"\x1b(?!\[\d*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")

_COLOURS = {
    **dict.fromkeys(("ok", "passed", "running", "active", "done", "yes"), "32"),
    **dict.fromkeys(("changed", "warning", "skipped", "not finished", "rolled back", "booting", "ended"), "33"),
    **dict.fromkeys(("failed", "error", "failing", "stopped", "down", "alarm", "not reached"), "31"),
}


class Terminal(NamedTuple):
    """The three streams. `colour` and `live` (things that move) are about standard error, `colours` about output.

    `whole` tells that output may be drawn over the whole of the terminal.
    """

    out: TextIO
    err: TextIO
    width: int = WIDTH
    colours: bool = False
    colour: bool = False
    live: bool = False
    can_ask: bool = False
    quiet: bool = False
    whole: bool = False

    @classmethod
    def here(cls) -> Terminal:
        """Return the streams of this process."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a plain-ASCII terminal still shows the rest of a line
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        here, there = sys.stdout.isatty(), sys.stderr.isatty()
        return cls(
            sys.stdout,
            sys.stderr,
            width=_width(),
            colours=here and not plain,
            colour=there and not plain,
            live=there and os.environ.get("TERM") != "dumb",
            can_ask=sys.stdin.isatty() and there,
            whole=here and os.environ.get("TERM", "dumb") != "dumb",
        )

    def speaking(self, *, quiet: bool) -> Terminal:
        """Return this terminal for a command that says everything, or only what went wrong."""
        return self._replace(quiet=quiet)

    def put(self, text: str) -> None:
        """Print data."""
        if text:
            self.out.write(f"{inert(text)}\n")
            self.out.flush()

    def say(self, text: str, *, end: str = "\n") -> None:
        """Print talk, unless only what went wrong is wanted."""
        if not self.quiet:
            self.tell(text, end=end)

    def tell(self, text: str, *, end: str = "\n") -> None:
        """Print talk that must be heard."""
        self._draw(f"{inert(text)}{end}")

    def ask(self, question: str) -> bool:
        """Ask a question to be answered with yes or no. Only a yes is one; what was typed too early is no answer."""
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        typed = sys.stdin.readline()
        if not typed:
            self.err.write("\n")  # ctrl-D leaves the line open
        return typed.strip().lower() in ("y", "yes")

    @contextmanager
    def meanwhile(self, text: str) -> Iterator[None]:
        """Say what takes a moment, on a terminal, with the seconds it takes, and take it off again."""
        if not self.live or self.quiet:
            yield
            return
        import threading

        self._draw(text)
        done = threading.Event()
        clock = threading.Thread(target=self._tick, args=(text, done), daemon=True)
        clock.start()
        try:
            yield
        finally:
            done.set()
            clock.join()
            self._draw(_CLEAR)

    def interject(self, text: str) -> None:
        """Say something that stays, while something is said for a moment."""
        from rmqsetup.show.layout import wrapped

        if self.live and not self.quiet:
            self._draw(_CLEAR)
        self.say(wrapped(text, self.width))

    def _tick(self, text: str, done: Event) -> None:
        begun = time.monotonic()
        while not done.wait(1.0):
            self._draw(f"{_CLEAR}{text} {time.monotonic() - begun:.0f} s")

    def _draw(self, text: str) -> None:
        self.err.write(text)
        self.err.flush()

    def end_line(self) -> None:
        """Begin a line of its own after the ^C that a terminal shows."""
        if self.live:
            self.tell("")

    def flush(self) -> None:
        """Let everything that was said be seen before another program takes over."""
        self.out.flush()
        self.err.flush()

    def paint(self, word: str, *, talk: bool = False) -> str:
        """Return a word in its colour, where there are colours. Only words of outcomes have one."""
        code = _COLOURS.get(word.strip())
        return f"\x1b[{code}m{word}\x1b[0m" if code and (self.colour if talk else self.colours) else word


def inert(text: str) -> str:
    """Return text without what a terminal would act on, but for colours: names and logs of others may hold anything."""
    return _ORDERS.sub("?", text)


def _width() -> int:
    """Return the columns of the terminal: what the environment says, else what it is."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told):
        return min(max(int(told), 40), WIDEST)
    stream = next((each for each in (sys.stdout, sys.stderr) if each.isatty()), None)
    return min(max(os.get_terminal_size(stream.fileno()).columns, 40), WIDEST) if stream else WIDTH
