"""Tell how far a change has come: one line per step, and on a terminal the running step, moving.

What the steps do belongs to `apply`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from rmqsetup.show.layout import seconds, wrapped

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from rmqsetup.apply import Outcome
    from rmqsetup.show.terminal import Terminal

_STATUS = ("dlstatus:", "pmstatus:", "pmconffile:")
"""How lines of apt's own status stream begin: for programs, not for people."""


class Progress(AbstractContextManager["Progress"]):
    """Tells in plain lines; what moves is in `LiveProgress`. It is the `Watcher` of `apply`."""

    def __init__(self, terminal: Terminal, *, verbose: bool = False) -> None:
        self.terminal = terminal
        self.verbose = verbose
        self._words = ""
        self._open = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop telling; what was begun and not told to the end ends its line."""
        self._close()

    def begins(self, words: str) -> None:
        """Say what begins, so that a log shows where a long step stands; its end comes on the same line."""
        self._close()
        self._words = words
        self._open = not self.verbose
        self.terminal.say(f"  {words} …", end="" if self._open else "\n")

    def says(self, line: str) -> None:
        """Repeat what the package manager prints, when everything is wanted; waiting is always told."""
        if line.startswith("waiting: ") or (self.verbose and not line.startswith(_STATUS)):
            self._line(f"  | {line}")

    def ends(self, outcome: Outcome) -> None:
        """Say how a step ended; one that had nothing to do only when everything is wanted."""
        from rmqsetup.apply import Status

        if outcome.status is Status.SKIPPED or (outcome.status is Status.UNCHANGED and not self.verbose):
            return
        ended = f"{self.terminal.paint(outcome.status.value, talk=True)}, {seconds(outcome.seconds)}"
        if self._open:
            self._open = False
            self.terminal.say(f" {ended}")
        else:
            words = self._words or outcome.words or outcome.key
            self._line(wrapped(f"  {words} … {ended}", self.terminal.width, rest="    "))
        self._words = ""
        if outcome.note:
            self._line(wrapped(outcome.note, self.terminal.width, first="    ", rest="    "))

    def _close(self) -> None:
        """End a line that is still open."""
        if self._open:
            self.terminal.say("")
            self._open = False

    def _line(self, text: str) -> None:
        self._close()
        self.terminal.say(text)


class LiveProgress(Progress):
    """Adds the running step below the lines, with a clock, and the package manager's percent where it tells it."""

    def __enter__(self) -> LiveProgress:  # noqa: PYI034 - typing.Self is of Python 3.11
        """Begin to move."""
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn

        console = Console(file=self.terminal.err, no_color=not self.terminal.colour, highlight=False, markup=False)
        spinner = SpinnerColumn("line", style="none")
        words = TextColumn("{task.description} … {task.elapsed:.0f} s {task.fields[told]}", style="none", markup=False)
        self._bar: Bar = Bar(spinner, words, console=console, transient=True)
        self._task: TaskID | None = None
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop moving; the lines stay."""
        self._bar.stop()

    def begins(self, words: str) -> None:
        """Let the step move."""
        self._stop()
        self._words = words
        self._task = self._bar.add_task(words, total=None, told="")

    def says(self, line: str) -> None:
        """Tell the package manager's own percent: to 100 the download, to 200 the unpacking."""
        from rmqsetup.managers import parse_progress

        told = parse_progress(line)
        if told and self._task is not None:
            percent, words = told
            share = f"download {percent:.0f} %" if percent < 100 else f"{percent - 100:.0f} %, {words}"
            self._bar.update(self._task, told=share)
        elif line.startswith("waiting: "):
            self._line(f"  {line}")

    def ends(self, outcome: Outcome) -> None:
        """Take the moving step away and leave its line."""
        self._stop()
        super().ends(outcome)

    def _stop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _line(self, text: str) -> None:
        from rich.text import Text

        from rmqsetup.show.terminal import inert

        self._bar.console.print(Text.from_ansi(inert(text)), soft_wrap=True)


def progress(terminal: Terminal, *, verbose: bool, quiet: bool) -> Progress:
    """Return what tells on this terminal: moving where it can, every line where that is wanted."""
    live = terminal.live and not verbose and not quiet
    return LiveProgress(terminal) if live else Progress(terminal, verbose=verbose)
