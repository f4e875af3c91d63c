"""What files and trees on this machine share: making folders, syncing, clearing what is empty, what a refusal means."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from rmqsetup.errors import ManagerError

NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""What the system says of a path at which nothing can be; links in a circle lead to nothing, too."""


def make_folder(place: Path) -> None:
    """Make a folder with those above it, for everybody to read whatever the umask: a node is another user."""
    if place.is_dir():
        return
    make_folder(place.parent)
    with contextlib.suppress(FileExistsError):  # made by somebody else meanwhile
        place.mkdir()
        place.chmod(0o755)


def remove_empty(directories: tuple[str, ...]) -> None:
    """Remove those directories that are empty, in the order given; one already gone is fine, a mount point stays."""
    for directory in directories:
        with contextlib.suppress(FileNotFoundError):
            try:
                os.rmdir(directory)  # noqa: PTH106
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY):
                    raise


def sync_directory(directory: Path) -> None:
    """Let what was made and renamed in a directory be on disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_HINTS = {
    errno.ENOSPC: "free some space on that file system (df -h shows it) and run the same command again",
    errno.EROFS: "the file system is read-only: remount it writable, then run the same command again",
    errno.EACCES: "run it as root",
    errno.EPERM: "run it as root; an immutable file (lsattr) is refused even then",
}


def file_error(message: str, error: OSError) -> ManagerError:
    """Return what to say when the machine will not let a file be."""
    return ManagerError(message, cause=str(error.strerror or error), hint=_HINTS.get(error.errno or 0, ""))
