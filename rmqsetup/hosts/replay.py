"""A recorded machine: answers looks from a folder of files and transcripts, and refuses everything else.

Made by `tests/record_machine.py`, used by tests. A machine that can change belongs to the tests' model.

A folder has `files/` (the machine's files under their paths), `commands.toml` (argv, exit_code, stdout, stderr of each
command), `names.toml` (directory → names, beside those that `files/` shows), and `about.toml`, whose `unreadable` are
paths the recorded user may not read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from rmqsetup.host import Clear, Command, FileState, Give, Kind, Link, Listener, Remove, Result, Standing, Unpack, Write


class ReplayHost:
    """A `Host` that only remembers. Raises `AssertionError` on a command it has no answer for, and on any change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, ...]] = []
        """The argv of every command that was run, in order."""
        self._answers = {tuple(row["argv"]): row for row in _toml(folder / "commands.toml").get("command", [])}
        self._names = _toml(folder / "names.toml")
        self._unreadable = tuple(_toml(folder / "about.toml").get("unreadable", ()))

    def run(self, command: Command, listener: Listener | None = None) -> Result:
        """Return the recorded answer to a command."""
        self.asked.append(command.argv)
        row = self._answers.get(command.argv)
        assert row is not None, f"{self.folder.name} has no recorded answer to: {command}"  # noqa: S101 - its purpose
        result = Result(command, row.get("exit_code", 0), row.get("stdout", ""), row.get("stderr", ""))
        for line in result.stdout.splitlines() if listener else ():
            assert listener is not None  # noqa: S101 - for the type checker
            listener(line)
        return result

    def read(self, path: str) -> FileState | None:
        """Return a recorded file; one that was not recorded is not there."""
        if path in self._unreadable:
            return FileState(None, 0o600, "root", "root")
        file = self.folder / "files" / path.lstrip("/")
        return FileState(file.read_bytes(), 0o644, "root", "root") if file.is_file() else None

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the recorded names in a directory."""
        shown = self.folder / "files" / directory.lstrip("/")
        there = {file.name for file in shown.iterdir()} if shown.is_dir() else set()
        return tuple(sorted(there | set(self._names.get(directory, ()))))

    def write(self, write: Write) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to write {write.path}")

    def remove(self, remove: Remove) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to remove {remove.path}")

    def give(self, give: Give) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to give {give.path}")

    def peek(self, path: str) -> Standing | None:
        """Return what was recorded at a path; links were not."""
        file = self.folder / "files" / path.lstrip("/")
        if file.is_dir() or path in self._names:
            return Standing(Kind.FOLDER)
        return Standing(Kind.FILE) if file.is_file() else None

    def unpack(self, unpack: Unpack) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to unpack {unpack.path}")

    def clear(self, clear: Clear) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to clear {clear.path}")

    def link(self, link: Link) -> NoReturn:
        """Refuse: a recorded machine cannot change."""
        raise AssertionError(f"{self.folder.name} was asked to link {link.path}")


def _toml(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
