"""What the lab asks of the machine it runs on: commands, locks, processes.

Nothing about roots, machines or repositories belongs here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path


class LabError(RuntimeError):
    """The lab itself could not do its part; says nothing about the tool under test."""


def call(*argv: str, input: bytes = b"", env: dict[str, str] | None = None, check: bool = True) -> str:  # noqa: A002
    """Run a command of this machine and return what it printed.

    Raises `LabError` with its words when it fails, unless `check` is off.
    """
    done = subprocess.run(argv, input=input, capture_output=True, env=env, check=False)
    if check and done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-2000:]
        raise LabError(f"{' '.join(argv)} ended with {done.returncode}: {words}")
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, waiting for it; the kernel frees it when this process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> int | None:
    """Take a lock without waiting; return the descriptor that holds it, or None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it does not run (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def children(pid: int) -> tuple[int, ...]:
    """Return the children of a process, oldest first."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in thread.read_text().split()]
    return tuple(found)


def family(pid: int) -> tuple[int, ...]:
    """Return a process and everything below it, parents first."""
    return (pid, *(member for child in children(pid) for member in family(child)))


def kill(pid: int) -> None:
    """Send SIGKILL to one process; one already gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def until(question: Callable[[], object], seconds: float, step: float = 0.1) -> bool:
    """Ask again and again until the answer is true or the time is over; return which."""
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
