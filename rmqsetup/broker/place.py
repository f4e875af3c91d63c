"""The folder of a throwaway broker, its lease, and the guard that removes it whatever becomes of its maker.

What the folder holds is written by `boot`. There are three ways out, each of them the same script (`guard.sh`): the
maker closes its pipe to the guard; the maker dies, and the kernel closes it; both were killed, and the next start finds
a lease whose lock nobody has any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rmqsetup.errors import BrokerNotReadyError, ConflictError, UsageError

PREFIX = "rmq-"
"""What the names of folders begin with; the names of their nodes do as well."""

KEPT = "kept-"
"""What the names of folders begin with that were to be kept."""

LONGEST = 80
"""Characters a folder may have: the address of a Unix socket in it has 104 at most."""

QUOTES = "'\""
"""What a folder may not have in its name: a node gives it to a shell, to hear how much space is left, and hangs."""

MEMORY, ROOM = Path("/dev/shm"), 2 << 30  # noqa: S108 - whose the folder in it is, is looked at
"""Where files are in memory, and how much has to be free there, in bytes."""

LITTLE = 1 << 20
"""Bytes below which a file system is full for a node."""

LEASE, LOCK, PIDS, FIRST = "lease.json", "lock", "pids", "first"

FIRST_NODE = "1"
"""The folder of the first node in that of its broker."""

GUARD = Path(__file__).with_name("guard.sh")


@dataclass(frozen=True, slots=True)
class Lease:
    """What others may know of a broker: `rmqsetup ps`, and tests that a broker was started for.

    `url` is that of the first node, `urls` those of all, with the password: only this user can read them. `node` is the
    first node, `distribution` its port of the Erlang distribution. `started` is in seconds since the epoch; `keeper`
    the process that holds it, 0 where it stays until it is stopped; `home` and `erlang_home` are where its programs
    are, `epmd` the port of its own epmd, 0 where there is none.
    """

    name: str
    url: str
    urls: tuple[str, ...]
    node: str
    version: str
    erlang: str
    distribution: int
    started: float
    keeper: int = 0
    management_url: str = ""
    amqps_url: str = ""
    ca_file: str = ""
    home: str = ""
    erlang_home: str = ""
    epmd: int = 0


class Place:
    """A folder that is ours, and goes when we do; without a guard it goes when somebody else does who lent it to us."""

    def __init__(self, folder: Path, lock: int = -1) -> None:
        self.folder = folder
        self._lock = lock
        self._is_lent = lock < 0
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The folder's own name, by which its processes are told from others."""
        return self.folder.name

    @property
    def lock(self) -> int:
        """The descriptor that holds the lease as long as any process has it open."""
        return self._lock

    @classmethod
    def make(cls, *, keep: bool = False) -> Place:
        """Make a folder and have it guarded, or, with `keep`, only its processes. Raises `BrokerNotReadyError`."""
        name = f"{PREFIX}{secrets.token_hex(4)}"
        home = base()
        new = home / f".{name}"
        try:
            while not new.exists():
                with contextlib.suppress(FileNotFoundError):  # the last broker went just now, and the folder with it
                    new.mkdir(mode=0o700)
                home = base()
            (new / PIDS).touch()
            lock = os.open(new / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(home / name)  # nobody sees it before it is held
            place = cls(home / name, lock)
            place._watch(keep=keep)
        except OSError as error:
            for folder in (new, home / name):
                shutil.rmtree(folder, ignore_errors=True)
            raise unwritable(home, error) from error
        return place

    def hand_over(self) -> None:
        """Let the broker stay when we go: its own processes hold the lease from now on."""
        if self._guard and self._guard.stdin:
            self._guard.kill()  # before it hears of our end
            self._guard.wait()
            self._guard.stdin.close()
            self._guard = None
        self._release()

    def end(self) -> Path | None:
        """End every process of the broker and remove its folder; return it where it was to be kept.

        A folder that was lent to us is emptied.
        """
        if self._is_lent:
            empty(self.folder)
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        self._release()
        kept = self.folder.with_name(f"{KEPT}{self.name}")
        return kept if kept.exists() else None

    def _watch(self, *, keep: bool) -> None:
        self._guard = subprocess.Popen(
            ("sh", str(GUARD), str(self.folder), *((KEPT,) if keep else ())),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self._lock,),
        )

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def unwritable(where: Path, error: OSError) -> BrokerNotReadyError:
    """Return the error of a folder that cannot be written."""
    return BrokerNotReadyError(
        f"a broker cannot keep its files in {where}",
        cause=": ".join(filter(None, (str(error.filename or ""), (error.strerror or str(error)).lower()))),
        hint="free some space there, or choose another folder: TMPDIR=DIR",
    )


def full(folder: Path) -> str:
    """Say that there is no space left for a broker, if so: a node that it kills has no words for it."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return ""
    left = found.f_bavail * found.f_frsize
    return f"no space left in {folder}: {left // 1024} KiB" if left < LITTLE else ""


def base() -> Path:
    """Return the folder of this user's brokers, made if need be.

    Raises `ConflictError` where it is not this user's alone, `BrokerNotReadyError` where it cannot be made.
    """
    folder = _base()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise unwritable(folder, error) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConflictError(
            f"{folder} is not a folder of this user alone",
            cause=f"owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}",
            hint="remove it, or choose another folder: TMPDIR=DIR",
        )
    return folder


def _base() -> Path:
    name = f"rmqsetup-{os.geteuid()}"
    folder = _temporary().absolute() / name
    unfit = len(str(folder)) > LONGEST or any(mark in str(folder) for mark in QUOTES)
    return Path("/tmp") / name if unfit else folder  # noqa: S108 - its owner is looked at


def _folders(pattern: str) -> tuple[Path, ...]:
    """Return the folders of brokers; the one they are in goes with the last of them."""
    return tuple(base().glob(pattern)) if os.path.lexists(_base()) else ()


def _temporary() -> Path:
    """Return where short-lived files go: in memory, if there is room for a broker, where nobody says otherwise.

    A virtual host is made and deleted in half the time there. Containers have 64 MB of it, which is too little.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    found = os.statvfs(MEMORY)
    return MEMORY if found.f_bavail * found.f_frsize > ROOM else Path(tempfile.gettempdir())


def leases() -> tuple[tuple[Path, Lease], ...]:
    """Return every broker of this user that is up, with its folder, the oldest first."""
    found = []
    for folder in _folders(f"{PREFIX}*"):
        lease = read(folder)
        if lease and not _is_stale(folder):
            found.append((folder, lease))
    return tuple(sorted(found, key=lambda each: each[1].started))


def write(folder: Path, lease: Lease) -> None:
    """Write down what a broker is; it is complete or not there."""
    part = folder / f".{LEASE}"
    part.touch(mode=0o600)
    part.write_text(json.dumps(asdict(lease)), encoding="utf-8")
    part.rename(folder / LEASE)


def read(folder: Path) -> Lease | None:
    """Return what a broker is; None where it is not up yet, or was written by another version."""
    try:
        found = json.loads((folder / LEASE).read_text(encoding="utf-8"))
        return Lease(**{**found, "urls": tuple(found["urls"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def sweep() -> tuple[str, ...]:
    """End and remove every broker of this user whose lease nobody holds, and return their names."""
    swept = []
    for folder in _folders(f"{PREFIX}*"):
        with _taken(folder) as mine:
            if mine:
                remove(folder)
                swept.append(folder.name)
    for folder in filter(_is_abandoned, _folders(f".{PREFIX}*")):
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(swept)


def remove(folder: Path) -> None:
    """End every process of a broker, whoever holds its lease, and remove its folder."""
    subprocess.run(("sh", str(GUARD), str(folder)), stdin=subprocess.DEVNULL, check=False, start_new_session=True)


def empty(folder: Path) -> None:
    """End every process of a broker and remove what is in its folder, for another one to begin there."""
    subprocess.run(("sh", str(GUARD), str(folder), "-"), stdin=subprocess.DEVNULL, check=False, start_new_session=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (LOCK, PIDS, FIRST):
            path.unlink(missing_ok=True)
    (folder / PIDS).write_text("")


def named(name: str) -> tuple[Path, Lease]:
    """Return the broker of that name, or of the only one that begins like it. Raises `UsageError`."""
    every = leases()
    found = [each for each in every if name in (each[0].name, each[0].name.removeprefix(PREFIX))]
    found = found or [each for each in every if each[0].name.removeprefix(PREFIX).startswith(name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(each[0].name for each in every) or "none is up"
    raise UsageError(f"there is no throwaway broker {name}", cause=known, hint="rmqsetup ps lists them")


def _is_stale(folder: Path) -> bool:
    with _taken(folder) as mine:
        return mine


@contextlib.contextmanager
def _taken(folder: Path) -> Iterator[bool]:
    """Hold a lease for a moment, and tell whether nobody else does."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _is_abandoned(folder: Path) -> bool:
    """Tell whether a folder that nobody has held yet is older than the moment in which that happens."""
    try:
        return time.time() - folder.lstat().st_mtime > 60
    except OSError:
        return False
