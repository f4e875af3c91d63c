"""A folder that is there, with its owner and mode. What is in it belongs to others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, RmqsetupError
from rmqsetup.host import Answer, Command, Kind, Look, Peek, Result, Standing
from rmqsetup.steps import Change, Phase
from rmqsetup.steps.aside import Aside


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as wished; `spare` is where it goes when it is taken back, since by then somebody may have used it."""

    path: str
    spare: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755
    there: bool = True

    @property
    def key(self) -> str:
        """The path is what it is about."""
        return f"folder:{self.path}"

    @property
    def phase(self) -> Phase:
        """Behind what makes its owner, before services start."""
        return Phase.OWNED

    def query(self) -> tuple[Look, ...]:
        """Look at what stands there."""
        return (Peek(self.path),)

    def observe(self, answers: tuple[Answer, ...]) -> Folder:
        """Return whether there is a folder; its owner and mode are `Access`'s."""
        answer = answers[0]
        return replace(self, there=isinstance(answer, Standing) and answer.kind is Kind.FOLDER)

    def diff(self, observed: Folder) -> Change:
        """Make it; never remove one."""
        if observed.there or not self.there:
            return Change()
        made = Command(("install", "-d", "-o", self.owner, "-g", self.group, "-m", f"{self.mode:o}", "--", self.path))
        return Change((made,), Aside(self.path, self.spare), f"make the folder {self.path}")

    def explain(self, result: Result) -> RmqsetupError:
        """Say which folder could not be made."""
        return ManagerError(f"the folder {self.path} could not be made", cause=result.tail())

    def absorb(self, newer: Folder) -> Folder:  # noqa: ARG002 - there is only one way back
        """Go back to the older state."""
        return self
