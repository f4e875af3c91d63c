"""Who owns files and folders that are there, and who may use them; their content is never touched."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Answer, Command, Give, Look, Result
from rmqsetup.steps import Change, Phase

_NAMELESS = "UNKNOWN"
"""What `stat` says of a user or group without a name."""

SHOWN = 3
"""So many paths are named in a preview; the others are like them."""


@dataclass(frozen=True, slots=True)
class Right:
    """Owner, group and mode of one path. `there` is observed: nothing is wished of what is not."""

    path: str
    owner: str
    group: str
    mode: int
    there: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """Paths with the owners, groups and modes they are to have, of a link what it leads to: that is what is used."""

    rights: tuple[Right, ...]

    @property
    def key(self) -> str:
        """The first path stands for all of them."""
        return f"access:{self.rights[0].path if self.rights else ''}"

    @property
    def phase(self) -> Phase:
        """Before services start, after the packages that make users."""
        return Phase.OWNED

    def query(self) -> tuple[Look, ...]:
        """Look at all of them at once."""
        shown = "%U\t%u\t%G\t%g\t%a\t%n"
        return (Command(("stat", "-L", "-c", shown, "--", *(right.path for right in self.rights))),)

    def observe(self, answers: tuple[Answer, ...]) -> Access:
        """Return how they are; what `stat` does not find is not there."""
        answer = answers[0]
        lines = answer.stdout.splitlines() if isinstance(answer, Result) else ()
        rows = [line.split("\t", 5) for line in lines]
        found = {row[5]: row for row in rows if len(row) == 6}
        return Access(tuple(_observed(right, found.get(right.path)) for right in self.rights))

    def diff(self, observed: Access) -> Change:
        """Change those that are otherwise."""
        pairs = [(mine, its) for mine, its in zip(self.rights, observed.rights, strict=True) if its.there]
        different = [(mine, its) for mine, its in pairs if mine != replace(its, there=mine.there)]
        if not different:
            return Change()
        actions = tuple(Give(mine.path, mine.owner, mine.group, mine.mode) for mine, _ in different)
        first = different[0][0].path
        others = f" and of {len(different) - 1} more" if len(different) > 1 else ""
        inverse = Access(tuple(its for _, its in different))
        details = tuple(f"{mine.path}: {_told(its)} becomes {_told(mine)}" for mine, its in different[:SHOWN])
        return Change(actions, inverse, f"change owner and mode of {first}{others}", details)

    def explain(self, result: Result) -> RmqsetupError:
        """Never needed: rights are given without commands."""
        return RmqsetupError(f"{self.key} could not be changed", cause=result.tail())

    def absorb(self, newer: Access) -> Access:
        """Go back to the older state, and for other paths to the newer's."""
        known = {right.path for right in self.rights}
        return Access((*self.rights, *(right for right in newer.rights if right.path not in known)))


def _observed(right: Right, row: list[str] | None) -> Right:
    if row is None:
        return replace(right, there=False)
    owner, uid, group, gid, mode, _ = row
    return Right(right.path, uid if owner == _NAMELESS else owner, gid if group == _NAMELESS else group, int(mode, 8))


def _told(right: Right) -> str:
    return f"{right.owner}:{right.group} {right.mode:04o}"
