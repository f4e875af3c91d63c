"""What a machine is, to compare it with what it was: packages, files, services.

How a machine is reached belongs to `machines`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Facts = tuple[tuple[str, str], ...]
"""Names and what is true of each, sorted by name."""

BACKUPS = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-")
"""Files in which the account tools keep what was before their last change."""


@dataclass(frozen=True, slots=True)
class MachineState:
    """A machine at one moment.

    `packages` holds version and state (also `config-files` of removed ones), `held` what is held,
    `automatic` what came along with something else, `files` kind, mode, owner and digest of everything
    below the folders looked at, `units` the states of unit files.
    """

    packages: Facts
    held: Facts
    automatic: Facts
    files: Facts
    units: Facts

    def differences(self, other: MachineState, *, ignore: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return what is otherwise in `other`, one readable line each; `ignore` are shell patterns of paths."""
        pairs = (
            ("package", self.packages, other.packages),
            ("hold", self.held, other.held),
            ("automatic", self.automatic, other.automatic),
            ("file", self.files, other.files),
            ("unit", self.units, other.units),
        )
        return tuple(
            line
            for kind, mine, theirs in pairs
            for name, line in _differences(kind, mine, theirs)
            if kind != "file" or not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore)
        )


def packages(text: str) -> Facts:
    """Read what `dpkg-query -W` says in the form of `QUERY`."""
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(sorted((name, f"{version} {status}") for name, version, status in rows))


QUERY = "${binary:Package}\t${Version}\t${db:Status-Status}\n"
"""What to ask dpkg-query for."""


def names(text: str) -> Facts:
    """Read one name per line."""
    return tuple(sorted((line, "yes") for line in text.split()))


def units(text: str) -> Facts:
    """Read `systemctl list-unit-files --plain --no-legend`."""
    rows = (line.split() for line in text.splitlines())
    return tuple(sorted((row[0], row[1]) for row in rows if len(row) > 1))


def files(root: Path, folders: tuple[str, ...]) -> Facts:
    """Look at everything below folders of the tree at `root`, which may be another machine's: no link is followed."""
    return tuple(sorted(fact for folder in folders for fact in _walk(root, folder)))


def _walk(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    top = str(root / folder.lstrip("/"))
    for place, subfolders, inside in os.walk(top):
        for name in (*subfolders, *inside):
            path = os.path.join(place, name)  # noqa: PTH118 - thousands of them
            yield path[len(str(root)) :], _file(path)


def _file(path: str) -> str:
    found = os.lstat(path)
    facts = f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"
    if stat.S_ISLNK(found.st_mode):
        return f"{facts} -> {os.readlink(path)}"  # noqa: PTH115
    if stat.S_ISREG(found.st_mode):
        return f"{facts} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]}"
    return facts


def _differences(kind: str, mine: Facts, theirs: Facts) -> Iterator[tuple[str, str]]:
    before, after = dict(mine), dict(theirs)
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield name, f"{kind} {name}: gone (was {before[name]})"
        elif name not in before:
            yield name, f"{kind} {name}: new ({after[name]})"
        elif before[name] != after[name]:
            yield name, f"{kind} {name}: {before[name]} => {after[name]}"
