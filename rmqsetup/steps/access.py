"""Who owns files and folders that are there, and who may use them; their content is never touched."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, RmqsetupError
from rmqsetup.host import Answer, Command, Look, Result
from rmqsetup.steps import Change, Phase

SHOWN = 3
"""So many paths are named in a preview; the others are like them."""

_LED = """\
me=$(id -u)
for path; do
    on=$path
    while [ -n "$on" ]; do
        [ -L "$on" ] && owner=$(stat -c %u -- "$on") && [ "$owner" != 0 ] && [ "$owner" != "$me" ] &&
            printf '%s\\0' "$path" && break
        on=${on%/*}
    done
done
"""
"""Names the paths on the way to which is a link of somebody else's: a user to whom root gives what is in a folder of
his own may let it lead to /etc meanwhile. Links of root's are meant."""


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
    """Paths with the owners, groups and modes they are to have. Links of others than root are not followed."""

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
        paths = tuple(right.path for right in self.rights)
        return Command(("stat", "-c", "%U\t%G\t%a\t%n", "--", *paths)), Command(("sh", "-c", _LED, "led", *paths))

    def observe(self, answers: tuple[Answer, ...]) -> Access:
        """Return how they are; what `stat` does not find, or others let lead elsewhere, is not there."""
        shown, led = (answer.stdout if isinstance(answer, Result) else "" for answer in answers)
        rows = [line.split("\t", 3) for line in shown.splitlines()]
        found = {row[3]: row for row in rows if len(row) == 4 and row[3] not in led.split("\0")}
        return Access(tuple(_observed(right, found.get(right.path)) for right in self.rights))

    def diff(self, observed: Access) -> Change:
        """Change owners first: it takes set-id bits away, which a mode may ask for."""
        pairs = [(mine, its) for mine, its in zip(self.rights, observed.rights, strict=True) if its.there]
        different = [(mine, its) for mine, its in pairs if mine != replace(its, there=mine.there)]
        if not different:
            return Change()
        actions = tuple(action for mine, its in different for action in _actions(mine, its))
        first = different[0][0].path
        others = f" and of {len(different) - 1} more" if len(different) > 1 else ""
        inverse = Access(tuple(its for _, its in different))
        details = tuple(f"{mine.path}: {_told(its)} becomes {_told(mine)}" for mine, its in different[:SHOWN])
        return Change(actions, inverse, f"change owner and mode of {first}{others}", details)

    def bare(self) -> Access:
        """Return nothing: a machine without them has no rights to them either."""
        return Access(())

    def explain(self, result: Result) -> RmqsetupError:
        """Say what could not be changed."""
        return ManagerError(
            f"{result.command.argv[0]} could not change {result.command.argv[-1]}",
            cause=result.tail(),
            hint="look at the file system: is it mounted read-only (findmnt), or the file immutable (lsattr)?",
        )

    def absorb(self, newer: Access) -> Access:
        """Go back to the older state, and for other paths to the newer's."""
        known = {right.path for right in self.rights}
        return Access((*self.rights, *(right for right in newer.rights if right.path not in known)))


def _observed(right: Right, row: list[str] | None) -> Right:
    if row is None:
        return replace(right, there=False)
    return Right(right.path, row[0], row[1], int(row[2], 8))


def _actions(mine: Right, its: Right) -> tuple[Command, ...]:
    """Return the commands for one path, each only where it is needed."""
    owner = Command(("chown", "--no-dereference", f"{mine.owner}:{mine.group}", "--", mine.path))
    mode = Command(("chmod", f"{mine.mode:o}", "--", mine.path))
    owned = (mine.owner, mine.group) == (its.owner, its.group)
    return (*(() if owned else (owner,)), *(() if mine.mode == its.mode else (mode,)))


def _told(right: Right) -> str:
    return f"{right.owner}:{right.group} {right.mode:04o}"
