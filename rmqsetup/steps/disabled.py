"""Lines of a text file that are switched off: commented out, and everything else left as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Action, Answer, FileState, Look, Read, Result, Write
from rmqsetup.redaction import redacted
from rmqsetup.steps import Change, Phase
from rmqsetup.steps.file import File, sha256


@dataclass(frozen=True, slots=True)
class Disabled:
    """Lines that are not to count, each as `line` has it; `mark` begins a comment there.

    A line may hold a password, and a plan may not: it is known by its digest. One that says something else by now is
    not touched. `state` is observed only.
    """

    path: str
    lines: tuple[tuple[int, str], ...]
    mark: str = "# "
    state: FileState | None = None

    @property
    def key(self) -> str:
        """The path is what it is about, as with `File`, which takes it back."""
        return f"file:{self.path}"

    @property
    def phase(self) -> Phase:
        """Before packages and services, which read it."""
        return Phase.WRITE

    def query(self) -> tuple[Look, ...]:
        """Look at the file."""
        return (Read(self.path),)

    def observe(self, answers: tuple[Answer, ...]) -> Disabled:
        """Return the file as it is."""
        answer = answers[0]
        return replace(self, state=answer if isinstance(answer, FileState) else None)

    def diff(self, observed: Disabled) -> Change:
        """Write the file with those lines as comments; the way back is the file as it was."""
        state = observed.state
        if state is None or state.content is None:
            return Change()
        new = self._written(state.content)
        if new == state.content:
            return Change()
        own = (state.mode, state.owner, state.group)
        back = File(self.path, state.content, *own, secret=True, expect=(sha256(new),))
        action: Action = Write(self.path, new, state.mode, state.owner, state.group)
        texts = state.text.split("\n")
        details = tuple(f"line {n}: {redacted(texts[n - 1].strip())}" for n, _ in self.lines if n <= len(texts))
        many = f"{len(self.lines)} lines" if len(self.lines) > 1 else f"line {self.lines[0][0]}"
        return Change((action,), back, f"comment out {many} of {self.path}", details)

    def explain(self, result: Result) -> RmqsetupError:
        """Never needed: a file is written without commands."""
        return RmqsetupError(f"{self.path} could not be written", cause=result.tail())

    def absorb(self, newer: Disabled) -> Disabled:
        """Take the lines of both."""
        return replace(self, lines=tuple(sorted({*self.lines, *newer.lines})))

    def _written(self, content: bytes) -> bytes:
        wanted = set(self.lines)
        lines = content.split(b"\n")
        marked = (
            self.mark.encode() + text if (number, sha256(text.rstrip(b"\r"))) in wanted else text
            for number, text in enumerate(lines, start=1)
        )
        return b"\n".join(marked)


def line(number: int, text: str) -> tuple[int, str]:
    """Return a line by its number, from 1, and the digest of its text without what ends it."""
    return number, sha256(text.rstrip("\r\n").encode(errors="surrogateescape"))
