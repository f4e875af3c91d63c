"""What systemd holds in memory of a unit: its files as they are now, and no failures that forbid a start."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, RmqsetupError
from rmqsetup.host import Answer, Command, Kind, Look, Peek, Result, Standing
from rmqsetup.steps import Change, Phase

FIRST = "/etc/systemd/system"
"""Where units of an administrator are, which count before those of packages."""


@dataclass(frozen=True, slots=True)
class Units:
    """A unit that systemd has read and may start. `stale` and `refused` are observed only.

    `whole` asks for one that systemd could make sense of: of one that it could not, it does not say when its files have
    changed since.
    """

    unit: str
    whole: bool = True
    stale: bool = False
    refused: bool = False

    @property
    def key(self) -> str:
        """The unit is what it is about."""
        return f"units:{self.unit}"

    @property
    def phase(self) -> Phase:
        """Behind the files of units, before services start."""
        return Phase.REMOVE

    def query(self) -> tuple[Look, ...]:
        """Ask systemd, and look whether an administrator's unit stands where systemd looks first."""
        asked = ("systemctl", "show", "-p", "NeedDaemonReload,Result,LoadState,FragmentPath", self.unit)
        return (Command(asked), Peek(f"{FIRST}/{self.unit}"))

    def observe(self, answers: tuple[Answer, ...]) -> Units:
        """Return whether files have changed since systemd read them, and whether it has counted a failure."""
        said = answers[0].stdout if isinstance(answers[0], Result) else ""
        standing = answers[1] if len(answers) > 1 else None
        is_own = isinstance(standing, Standing) and standing.kind is Kind.FILE
        unseen = is_own and "FragmentPath=" in said and f"FragmentPath={FIRST}/" not in said  # systemd does not say so
        torn = bool(re.search(r"^LoadState=(?:bad-setting|error)$", said, re.MULTILINE))
        changed = "NeedDaemonReload=yes" in said and not torn  # of a torn one systemd 252 says so for ever
        failed = re.search(r"^Result=(?!success$)\S", said, re.MULTILINE)  # at the limit it says nothing else
        return replace(self, stale=(torn and self.whole) or unseen or changed, refused=bool(failed))

    def diff(self, observed: Units) -> Change:
        """Let systemd read them, and forget failures; the way back too, with the files as they are then."""
        read = (Command(("systemctl", "daemon-reload")),) if observed.stale else ()
        forgotten = (Command(("systemctl", "reset-failed", self.unit)),) if observed.refused else ()
        if not read and not forgotten:
            return Change()
        return Change(
            (*read, *forgotten), replace(self, whole=False), f"let systemd read the changed unit {self.unit} anew"
        )

    def explain(self, result: Result) -> RmqsetupError:
        """Say what systemd did not do."""
        return ManagerError(f"{result.command} failed", cause=result.tail())

    def absorb(self, newer: Units) -> Units:  # noqa: ARG002 - they are the same
        """Wish it once."""
        return self
