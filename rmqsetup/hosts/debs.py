"""Trees made of packages, without a package manager: what is in their files, and nothing of what they would run."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from rmqsetup import parcel
from rmqsetup.errors import RmqsetupError, TrustError, UnsupportedError
from rmqsetup.host import Command, Result, Unpack
from rmqsetup.hosts.disk import file_error
from rmqsetup.managers.apt import Apt

_OPEN = """folder=$1 && shift 2
printf '%s\\0' "$@" | xargs -0 -n 1 -P 2 sh -c 'exec dpkg-deb -x "$1" "$0"' "$folder"
"""
"""Two at a time, for most of it is decompression; xargs ends with 123 when one of them failed."""

_SECONDS = 600.0

_FOREIGN = "not a dynamic executable"
_MISSING = re.compile(r"^\s*(\S+) => not found|: (version `[^']+') not found", re.MULTILINE)


def fill(root: Path, wish: Unpack, data: bytes, run: Callable[[Command], Result]) -> None:
    """Open the packages of a parcel, keep their folder `wish.top` (a pattern), and see that its programs can run here.

    Scripts that name that folder by where the packages would have it name its own place instead. Raises `TrustError`
    when a file is not the one that was meant, `UnsupportedError` when this machine lacks what the programs need.
    """
    parts = tuple(Path(wish.source).with_name(part.name) for part in _believed(wish, data))
    whole = root / ".whole"
    opened = run(Command(("sh", "-c", _OPEN, "open", str(whole), "--", *map(str, parts)), timeout=_SECONDS))
    if not opened.ok:
        raise _unopened(wish, opened)
    taken = tuple(each for each in whole.glob(wish.top) if each.is_dir())
    if len(taken) != 1:
        raise UnsupportedError(
            f"the packages for {wish.path} do not hold what they should",
            cause=f"there is not one /{wish.top} in {', '.join(part.name for part in parts)}",
            hint="take an archive: --source archive --prefix DIR",
        )
    for each in taken[0].iterdir():
        each.rename(root / each.name)
    before = f"/{taken[0].relative_to(whole)}"
    shutil.rmtree(whole)
    for script in _scripts(root):
        _move(script, before, shlex.quote(wish.path))
    _refuse_unfit(root, run)


def _believed(wish: Unpack, data: bytes) -> Iterator[parcel.Part]:
    """Yield the parts of a parcel whose files are those that were meant."""
    for part in parcel.read(data):
        file = Path(wish.source).with_name(part.name)
        try:
            found = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise file_error(f"cannot read the package {file}", error) from error
        if found != part.digest:
            raise TrustError(
                f"the package {file} is not the one that was meant",
                cause=f"its sha256 is {found}, and was to be {part.digest}",
                hint="run the same command again: it is fetched anew",
            )
        yield part


def _unopened(wish: Unpack, result: Result) -> RmqsetupError:
    error = Apt().explain(result)  # dpkg-deb words a full disk as apt does
    error.message = f"the packages for {wish.path} cannot be unpacked"
    error.hint = error.hint if "same command" in error.hint else ""
    return error


def _programs(root: Path) -> Iterator[Path]:
    """Yield every file that may be a program or a library."""
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink() and (file.suffix == ".so" or file.stat().st_mode & 0o100):
            yield file


def _scripts(root: Path) -> Iterator[Path]:
    return (file for file in _programs(root) if file.read_bytes()[:2] == b"#!")


def _move(script: Path, before: str, after: str) -> None:
    """Let a script say another folder; its mode stays."""
    text = script.read_bytes()
    moved = text.replace(before.encode(), after.encode())
    if moved != text:
        script.write_bytes(moved)


def _refuse_unfit(root: Path, run: Callable[[Command], Result]) -> None:
    """Ask the dynamic linker whether all is there, before anything relies on it. Raises `UnsupportedError`."""
    files = tuple(str(file) for file in _programs(root) if file.read_bytes()[:4] == b"\x7fELF")
    if not files:
        return
    told = run(Command(("ldd", *files), timeout=120))
    said = f"{told.stdout}\n{told.stderr}"
    if said.count(_FOREIGN) == len(files):
        raise UnsupportedError(
            "the packages are not built for this machine",
            cause=f"{Path(files[0]).name} is {_FOREIGN}, says ldd",
            hint="see that dpkg --print-architecture and the lists of apt are those of this machine",
        )
    if missing := tuple(dict.fromkeys(found[1] or found[2] for found in _MISSING.finditer(said))):
        raise UnsupportedError(
            "the packages need what this machine has not",
            cause=f"{', '.join(missing)}, says ldd",
            hint="have what lacks installed as root (apt-get install); a library is in the package that is named after "
            "it, such as libtinfo6 for libtinfo.so.6",
        )
