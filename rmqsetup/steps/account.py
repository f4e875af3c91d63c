"""The user of a service and its group, as the system's files have them. What belongs to them is left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, RmqsetupError
from rmqsetup.host import Action, Answer, Command, FileState, Look, Read, Result
from rmqsetup.steps import Change, Phase

SHELL = "/usr/sbin/nologin"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and a group of one name, by their numbers, so that files that are theirs stay theirs.

    `there` and `grouped` say whether there is the user, and the group.
    """

    name: str
    uid: int
    gid: int
    home: str
    there: bool = True
    grouped: bool = True

    @property
    def key(self) -> str:
        """The name is what it is about."""
        return f"account:{self.name}"

    @property
    def phase(self) -> Phase:
        """After services were stopped, before files are given to it."""
        return Phase.WRITE

    def query(self) -> tuple[Look, ...]:
        """Look at both files."""
        return (Read("/etc/passwd"), Read("/etc/group"))

    def observe(self, answers: tuple[Answer, ...]) -> Account:
        """Return what there is."""
        user, group = (_row(self.name, answer) for answer in answers)
        home = user[5] if len(user) > 5 else self.home
        return replace(self, there=bool(user), grouped=bool(group), home=home)

    def diff(self, observed: Account) -> Change:
        """Make what is missing, with the numbers it had; the user goes before its group, or with it (login.defs)."""
        user, group = self._user(observed), self._group(observed)
        actions = (*group, *user) if self.there else user or group
        if not actions:
            return Change()
        verb = "set up" if self.there and self.grouped else "take back"
        return Change(actions, observed, f"{verb} the user {self.name} and its group")

    def explain(self, result: Result) -> RmqsetupError:
        """Say which change of the account was refused."""
        return ManagerError(f"{result.command.argv[0]} could not change {self.name}", cause=result.tail())

    def absorb(self, newer: Account) -> Account:  # noqa: ARG002 - back over the newer state
        """Go back to the older state."""
        return self

    def _user(self, observed: Account) -> tuple[Action, ...]:
        numbers = ("--uid", str(self.uid), "--gid", str(self.gid))
        if self.there and not observed.there:
            home = ("--home-dir", self.home, "--no-create-home", "--shell", SHELL)
            return (Command(("useradd", "--system", *numbers, *home, self.name)),)
        if not self.there and observed.there:
            return (Command(("userdel", self.name)),)
        moved = self.there and self.home != observed.home
        return (Command(("usermod", "--home", self.home, self.name)),) if moved else ()

    def _group(self, observed: Account) -> tuple[Action, ...]:
        if self.grouped == observed.grouped:
            return ()
        if self.grouped:
            return (Command(("groupadd", "--system", "--gid", str(self.gid), self.name)),)
        return (Command(("groupdel", "--force", self.name)),)


def _row(name: str, answer: Answer) -> list[str]:
    text = answer.text if isinstance(answer, FileState) else ""
    return next((line.split(":") for line in text.splitlines() if line.startswith(f"{name}:")), [])
