"""Who owns what on this machine and who may use it, changed without being led astray by who may write on the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rmqsetup.errors import ConflictError, ManagerError
from rmqsetup.host import Give
from rmqsetup.hosts.disk import file_error

_LINKS = 40
"""So many links on one way are a circle, to the kernel as well (ELOOP in path_resolution(7))."""


def give(wish: Give) -> None:
    """Give what stands at a path to its owner and group, with its mode: the owner first, it takes set-id bits away."""
    try:
        with _reached(wish.path) as place:
            os.chown(place, *numbers(wish.owner, wish.group))
            os.chmod(place, wish.mode)  # noqa: PTH101
    except KeyError as error:
        raise ManagerError(f"cannot change {wish.path}", cause=f"there is no user or group {error}") from error
    except OSError as error:
        raise file_error(f"cannot change {wish.path}", error) from error


def numbers(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group; one without a name is called by its number. Raises `KeyError`."""
    import grp
    import pwd

    uid = int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    return uid, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid


def led(path: Path) -> Path:
    """Return the file that a link leads to, which is written instead of it; itself where that is no file.

    A link that neither root nor we made is no way to anything.
    """
    place = path
    for _ in range(_LINKS):
        try:
            status = place.lstat()
        except OSError:
            return path
        if not stat.S_ISLNK(status.st_mode):
            return place if stat.S_ISREG(status.st_mode) else path
        if not _is_trusted(status):
            return path
        place = place.parent / place.readlink()
    return path


def _is_trusted(link: os.stat_result) -> bool:
    return link.st_uid in (0, os.geteuid())


@contextmanager
def _reached(path: str) -> Iterator[str]:
    """Open what stands at a path, name by name, and follow a link only where root or we made it.

    Yields a path of the thing itself, whatever the name leads to by now. Raises `ConflictError` for any other link: who
    may write in a folder could lead root to a file that is not theirs. macOS has no such handles; there the broker is
    its user's own, and nobody is led further than that user may go.
    """
    if not hasattr(os, "O_PATH"):
        yield path
        return
    with ExitStack() as stack:

        def opened(name: str, folder: int | None = None) -> int:
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            stack.callback(os.close, handle)
            return handle

        names, links, handle = path.split("/"), 0, opened("/")
        while names:
            found = opened(names.pop(0) or ".", handle)
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                handle = found
                continue
            target = os.readlink("", dir_fd=found)
            links += 1
            if not _is_trusted(status) or links > _LINKS:
                raise ConflictError(
                    f"a link on the way to {path} leads to {target}, and neither root nor we made it",
                    hint="change owner and mode of what it leads to by hand, if that is what you want",
                )
            names = target.split("/") + names
            handle = opened("/") if target.startswith("/") else handle
        yield f"/proc/self/fd/{handle}"
