"""What the stages speak to a machine with: commands, answers, files, and the `Host` protocol.

How a machine is really reached belongs to `hosts/`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

TIMED_OUT = 124
"""Exit code of a command that was ended at its deadline, as coreutils' `timeout` has it."""

NOT_FOUND = 127
"""Exit code of a command whose program does not exist, as a POSIX shell has it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run on a host. Never a shell string; never a secret in `argv`.

    `env` is added to the host's own environment; `timeout` is in seconds. `busy` are texts that,
    in the answer of a failed run, mean that somebody else holds a lock: worth waiting for. With `weighed` a failure is
    no end: it is told where what follows is refused, and may be why.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    env: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0
    busy: tuple[str, ...] = ()
    weighed: bool = False

    def __str__(self) -> str:
        """Return the command as it would be typed."""
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command answered; `seconds` is wall time."""

    command: Command
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.exit_code == 0

    def tail(self, lines: int = 6) -> str:
        """Return the last lines of what was said, standard error first if there is any."""
        said = self.stderr.strip() or self.stdout.strip()
        return "\n".join(said.splitlines()[-lines:])


@dataclass(frozen=True, slots=True)
class FileState:
    """A regular file as it is. `modified` is in seconds since the epoch; `content` is None where we may not read it."""

    content: bytes | None
    mode: int
    owner: str
    group: str
    modified: float = 0.0

    @property
    def text(self) -> str:
        """The content as text; what is not UTF-8 is replaced."""
        return (self.content or b"").decode(errors="replace")

    @property
    def rights(self) -> str:
        """Whose it is and what others may do with it, in words: `owner root:root, mode 0644`."""
        return f"owner {self.owner}:{self.group}, mode {self.mode:04o}"


@dataclass(frozen=True, slots=True)
class Read:
    """A look at one file."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Put a file in place, atomically (a temporary file beside it, fsync, rename); behind a link that root made.

    Missing parent directories are made with mode 0755. `source`, where it is set, is a file on
    this machine whose bytes are written instead of `content`: secrets travel by reference.
    """

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, then those of `directories` that are empty, in the order given."""

    path: str
    directories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Give:
    """Give what stands at a path to an owner and a group, with a mode. Links are followed as far as root made them."""

    path: str
    owner: str
    group: str
    mode: int


MARK = ".rmqsetup"
"""The file in an unpacked tree that holds the sha256 of its archive: by it we know our own."""


class Kind(Enum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at a path, links not followed; `target` is what a link says."""

    kind: Kind
    target: str = ""


@dataclass(frozen=True, slots=True)
class Peek:
    """A look at what stands at a path."""

    path: str


@dataclass(frozen=True, slots=True)
class Unpack:
    """Put the tree of an archive in place, all of it or nothing.

    `source` is an archive on this machine whose bytes have the sha256 `digest`; everything in it is in the folder
    `top` (empty: at its root); of a parcel of packages that folder (a pattern) is all that is taken. It is unpacked as
    `through`, a path beside `path` that nobody else uses, synced, marked with the digest in `MARK`, and renamed. Where
    it is refused, those of `directories` that are empty go.
    `finish` is a program of the tree with its arguments, run in it before it gets to its place.
    """

    path: str
    source: str
    digest: str
    top: str
    through: str
    directories: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove a tree, at once to whoever looks: it is renamed to `through`, and deleted there.

    What others added or changed in it since it was unpacked is moved to `strays`. An empty `path` removes only
    what was left at `through`. Then those of `directories` that are empty go, in the order given.
    """

    path: str
    through: str
    strays: str = ""
    directories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """Let a link lead to `target`, in one moment; without a target, remove it. Never replaces what is no link."""

    path: str
    target: str = ""


Look = Read | Command | Peek
"""A read-only question to a host."""

Answer = FileState | Result | Standing | None
"""What a host answers to a look; None is what is not there."""

Action = Command | Write | Remove | Unpack | Clear | Link | Give
"""Something that changes a host."""

Listener = Callable[[str], None]
"""Is told each line a running command prints, as it comes."""


class Host(Protocol):
    """A machine: run commands, read and write files. Everything else is made of these."""

    def run(self, command: Command, listener: Listener | None = None) -> Result:
        """Run a command to its end or its deadline; a program that is missing gives exit code 127."""

    def read(self, path: str) -> FileState | None:
        """Return the file at `path`, or None when there is none."""

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; none when it does not exist."""

    def write(self, write: Write) -> None:
        """Put a file in place atomically.

        Raises `ManagerError` with the cause (read-only, no space) when that cannot be done.
        """

    def remove(self, remove: Remove) -> None:
        """Remove a file and its directories that are then empty; one already gone is fine."""

    def give(self, give: Give) -> None:
        """Change owner, group and mode of what stands at a path.

        Raises `ConflictError` where somebody else's link is on the way, `ManagerError` with the cause.
        """

    def peek(self, path: str) -> Standing | None:
        """Return what stands at `path`, or None when there is nothing."""

    def unpack(self, unpack: Unpack) -> None:
        """Put the tree of an archive in place.

        Raises `TrustError` when the archive is not the one that was meant, or holds what would leave the tree;
        `ManagerError` with the cause when it cannot be written.
        """

    def clear(self, clear: Clear) -> None:
        """Remove a tree and the directories that are then empty; one already gone is fine."""

    def link(self, link: Link) -> None:
        """Let a link lead elsewhere, or remove it."""


def look(host: Host, question: Look) -> Answer:
    """Ask a host one read-only question."""
    if isinstance(question, Read):
        return host.read(question.path)
    return host.peek(question.path) if isinstance(question, Peek) else host.run(question)


def text_of(host: Host, path: str) -> str:
    """Return the text of a file, empty where there is none, or none that we may read."""
    file = host.read(path)
    return file.text if file else ""
