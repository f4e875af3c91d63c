"""Something that is moved aside: to another name in its own folder, never deleted and never over anything else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ConflictError, ManagerError, RmqsetupError
from rmqsetup.host import Answer, Command, Look, Peek, Result
from rmqsetup.steps import Change, Phase

NEWER = ".newer"
"""Ending of what came to stand at the old place meanwhile, when the old thing comes back."""


@dataclass(frozen=True, slots=True)
class Aside:
    """What stands at `path` as wished: at `to`, beside it, or back in its place.

    A rename in one folder, so that it happens as a whole or not at all. `here` and `there` are observed only: whether
    something stands at `path` and at `to`.
    """

    path: str
    to: str
    aside: bool = True
    here: bool = True
    there: bool = False

    @property
    def key(self) -> str:
        """The place is what it is about, whatever is moved to."""
        return f"aside:{self.path}"

    @property
    def phase(self) -> Phase:
        """After services were stopped, before anything is put into the place."""
        return Phase.WRITE

    def query(self) -> tuple[Look, ...]:
        """Look at both names, and at the one that what is newer would get."""
        return (Peek(self.path), Peek(self.to), Peek(self.to + NEWER))

    def observe(self, answers: tuple[Answer, ...]) -> Aside:
        """Return where it is. Raises `ConflictError` where what is newer would have no name to go to."""
        here, there, newer = (answer is not None for answer in answers)
        if not self.aside and here and there and newer:
            raise _taken(self.to + NEWER)
        return replace(self, aside=there and not here, here=here, there=there)

    def diff(self, observed: Aside) -> Change:
        """Rename; what came to stand there meanwhile keeps its content under a name of its own.

        Raises `ConflictError` where the other name is taken. What is nowhere is not missed.
        """
        inverse = replace(self, aside=not self.aside, here=True, there=False)
        if self.aside:
            if observed.here and observed.there:
                raise _taken(self.to)
            moved = (_renamed(self.path, self.to),) if observed.here else ()
            return Change(moved, inverse, f"move {self.path} aside, to {self.to}") if moved else Change()
        if not observed.there:
            return Change()
        newer = (_renamed(self.path, self.to + NEWER),) if observed.here else ()
        told = f"what has come to {self.path} since stays as {self.to}{NEWER}" if newer else ""
        words = f"move {self.to} back to {self.path}"
        return Change((*newer, _renamed(self.to, self.path)), inverse, words, conflict=told)

    def explain(self, result: Result) -> RmqsetupError:
        """Say what could not be moved."""
        hint = "look at the file system: is it mounted read-only (findmnt), or the path immutable (lsattr)?"
        return ManagerError(f"{result.command.argv[-2]} could not be moved", cause=result.tail(), hint=hint)

    def absorb(self, newer: Aside) -> Aside:  # noqa: ARG002 - what was moved later stays where it is, and is named
        """Bring the older thing back."""
        return self


def _renamed(path: str, to: str) -> Command:
    """Rename without ever replacing, which `mv` asks the kernel for."""
    return Command(("mv", "--no-clobber", "--no-target-directory", "--", path, to))


def _taken(path: str) -> ConflictError:
    return ConflictError(
        f"{path} is there already", cause="nothing is ever moved over something else", hint=f"move {path} elsewhere"
    )
