"""Trees on this machine: unpacked from an archive, removed, linked to. What an archive may hold is in `tarball`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from rmqsetup import parcel
from rmqsetup.errors import ConflictError, ManagerError, TrustError
from rmqsetup.host import MARK, Clear, Command, Kind, Link, Result, Standing, Unpack
from rmqsetup.hosts import debs
from rmqsetup.hosts.disk import NOWHERE, file_error, make_folder, remove_empty, sync_directory
from rmqsetup.tarball import Entry, entries, refused
from rmqsetup.tarball import Kind as Entries

ARCHIVE = 512 << 20
"""Bytes that an archive may have: it is read into memory once, so that what was checked is what is unpacked."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def peek(path: str) -> Standing | None:
    """Return what stands at a path; what may not be looked at is something else."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return Standing(Kind.LINK, os.readlink(path))  # noqa: PTH115 - as it is written
    except PermissionError:
        return Standing(Kind.OTHER)
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        raise file_error(f"cannot look at {path}", error) from error
    if stat.S_ISDIR(mode):
        return Standing(Kind.FOLDER)
    return Standing(Kind.FILE if stat.S_ISREG(mode) else Kind.OTHER)


def unpack(wish: Unpack, run: Callable[[Command], Result]) -> None:
    """Check an archive, unpack it beside its place, sync it, and put it in place; leave nothing where that fails.

    `run` runs the archive's own finish, and what opens packages.
    """
    data = _checked(wish)
    through, path = Path(wish.through), Path(wish.path)
    try:
        make_folder(through.parent)
        try:
            _delete(through)
            through.mkdir(mode=0o755)
            through.chmod(0o755)
            if wish.source.endswith(parcel.SUFFIX):
                debs.fill(through, wish, data, run)
            else:
                _fill(through, entries(data, top=wish.top))
            if wish.finish:
                _finish(wish, run)
            _new(through / MARK, f"{wish.digest}\n".encode(), 0o644)
            _sync(through)
            os.rename(through, path)  # noqa: PTH104 - must not replace anything; a folder that is not empty it cannot
        except BaseException:
            _delete(through)
            remove_empty(wish.directories)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise file_error(f"cannot unpack {wish.source} to {wish.path}", error) from error


def clear(wish: Clear) -> None:
    """Remove a tree: first put what is not of its archive aside, then rename, then delete."""
    through = Path(wish.through)
    try:
        _delete(through)
        if wish.path and os.path.lexists(wish.path):
            _rescue(Path(wish.path), Path(wish.strays))
            os.rename(wish.path, through)  # noqa: PTH104
            sync_directory(through.parent)
            _delete(through)
        remove_empty(wish.directories)
    except OSError as error:
        raise file_error(f"cannot remove {wish.path or wish.through}", error) from error


def link(wish: Link) -> None:
    """Make a link beside its place and rename it, so that there is one at every moment."""
    path = Path(wish.path)
    there = peek(wish.path)
    if there and there.kind is not Kind.LINK:
        raise ConflictError(f"{path} is no link, so it is left alone", hint=f"move it away: mv {path} {path}.old")
    new = path.with_name(f".{path.name}.rmqsetup")
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        if wish.target:
            make_folder(path.parent)
            new.symlink_to(wish.target)
            new.replace(path)
        elif there:
            path.unlink()
        if path.parent.is_dir():
            sync_directory(path.parent)
    except OSError as error:
        raise file_error(f"cannot let {path} lead to {wish.target or 'nothing'}", error) from error


def _checked(wish: Unpack) -> bytes:
    """Return the bytes of an archive that are those that were meant. Raises `TrustError`."""
    try:
        with Path(wish.source).open("rb") as file:
            data = file.read(ARCHIVE + 1)
    except OSError as error:
        raise file_error(f"cannot read the archive {wish.source}", error) from error
    found = hashlib.sha256(data).hexdigest()
    if found != wish.digest:
        raise TrustError(
            f"the archive {wish.source} is not the one that was meant",
            cause=f"its sha256 is {found}, and was to be {wish.digest}",
            hint="it changed since it was looked at: run the same command again",
        )
    return data


def _finish(wish: Unpack, run: Callable[[Command], Result]) -> None:
    script = 'cd "$1" && shift && exec "$@"'
    result = run(Command(("sh", "-c", script, "sh", wish.through, *wish.finish), timeout=300))
    if not result.ok:
        raise ManagerError(f"{wish.finish[0]} of {wish.source} failed", cause=result.tail())


def _fill(root: Path, tree: Iterator[Entry]) -> None:
    """Make files and folders, and links only when nothing is to be written any more; then see where they lead."""
    links: list[Entry] = []
    for entry in tree:
        place = root / entry.name
        if entry.kind is Entries.FOLDER:
            make_folder(place)
            continue
        make_folder(place.parent)
        if entry.kind is Entries.LINK:
            links.append(entry)
        elif entry.kind is Entries.HARD:
            os.link(root / entry.target, place, follow_symlinks=False)
        else:
            _new(place, entry.content, 0o755 if entry.executable else 0o644)
    for entry in links:
        (root / entry.name).symlink_to(entry.target)
    for entry in links:
        _refuse_outward(root, entry)


def _refuse_outward(root: Path, entry: Entry) -> None:
    """Refuse a link that leads out of the tree by way of others: its text alone did not tell."""
    inside = os.path.realpath(root)
    try:
        landed = os.path.realpath(root / entry.name, strict=False)
    except (OSError, RuntimeError) as error:
        raise refused("a link leads nowhere", entry.name) from error
    if landed != inside and not landed.startswith(f"{inside}{os.sep}"):
        raise refused("a link leads out of it", f"{ascii(entry.name)[1:-1]} by way of others")


def _new(place: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet."""
    try:
        handle = os.open(place, _NEW, 0o600)
    except FileExistsError as error:
        raise refused("it names something twice", place.name) from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), mode)


def _sync(root: Path) -> None:
    """Let a whole tree be on disk: files first, each folder after what is in it."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            place = os.path.join(folder, name)  # noqa: PTH118 - thousands of them
            if not os.path.islink(place):  # noqa: PTH114
                handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        sync_directory(Path(folder))


def _rescue(tree: Path, strays: Path) -> None:
    """Move what is younger than the mark of a tree out of it: only the archive's own files are older.

    By the time of the last change of the file itself (ctime), which nobody can set, a copy with old times included.
    """
    mark = os.lstat(tree / MARK).st_ctime_ns
    for folder, folders, names in os.walk(tree):
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(folder, each)))):  # noqa: PTH114, PTH118
            place = Path(folder, name)
            if place.lstat().st_ctime_ns > mark:
                kept = strays / place.relative_to(tree)
                kept.parent.mkdir(parents=True, exist_ok=True)
                place.replace(kept)


def _delete(place: Path) -> None:
    """Delete what stands at a path, links not followed; nothing there is fine."""
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)
