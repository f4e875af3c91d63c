"""Run one program here as the command of a container must: signals passed on, orphans reaped, its exit code returned.

Commands that end soon belong to `local`; which program it is, as whom and with which limits, to the caller.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.hosts.signals import Signals

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Each of them stops the program in order: `docker stop`, ctrl-C, a terminal that went away."""

GRACE = 5.0
"""Seconds between the polite and the final signal to what the program left behind."""

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of linux/prctl.h."""

Spared = Callable[[str], bool]
"""Is told the name of a process that the program left behind, and says whether it may go on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many files a process may have open: now, and at most what it may raise that to. -1 is without end."""

    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: in which directory, as which user (empty: as whoever we are), with `env` over our environment."""

    argv: tuple[str, ...]
    directory: str = "/"
    user: str = ""
    env: tuple[tuple[str, str], ...] = ()
    umask: int = 0o022
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `stopped_by` is the name of the first signal that was passed on, `seconds` wall time.

    A program that was killed has the exit code a shell gives it, 128 and the number of the signal. One that was asked
    to stop before it could hear that politely, and ended by it, has stopped in order: 0.
    """

    exit_code: int
    stopped_by: str = ""
    seconds: float = 0.0


def current_limits() -> Limits:
    """Return how many files this process may have open."""
    import resource

    return Limits(*resource.getrlimit(resource.RLIMIT_NOFILE))


def user_name() -> str:
    """Return the name of the user we are, or the number of one without a name."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def run(program: Program, *, output: int | None = None, spared: Spared | None = None) -> Ended:
    """Run a program to its end, with our standard output as its own unless `output` is another descriptor.

    Every orphan below it becomes a child of this process, which is reaped when it ends, and ended when the program
    has; `spared` says which may go on. A signal that was ignored when we were started stays ignored, as nohup wants it.
    Raises `BrokerNotReadyError` where it cannot be run at all.
    """
    started = time.monotonic()
    _adopt_orphans()
    with Signals(SIGNALS) as signals:
        process = _spawn(program, output)
        code = process.returncode = _follow(process.pid, signals)
        _end_rest(spared or (lambda _name: False))
    if code < 0:
        code = 0 if signals.first and -code == signal.SIGTERM else 128 - code
    return Ended(code, signals.first, time.monotonic() - started)


def _follow(child: int, signals: Signals) -> int:
    """Return how a child ended, negative for a signal; meanwhile every child of ours that ends is reaped."""
    with signals.blocked():
        while (code := _reap(child)) is None:
            number, _ = signals.next()
            if number != signal.SIGCHLD:
                _send(child, signal.SIGTERM)
    return code


def _spawn(program: Program, output: int | None) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own: ctrl-C at the terminal reaches only us, who pass it on once."""
    if program.limits:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (program.limits.soft, program.limits.hard))
    try:
        user, group, groups = _identity(program.user)
        return subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            cwd=program.directory,
            env={**os.environ, **dict(program.env)},
            user=user,
            group=group,
            extra_groups=groups,
            umask=program.umask,
            start_new_session=True,
        )
    except OSError as error:
        cause = ": ".join(filter(None, (error.filename, error.strerror or str(error))))
        raise BrokerNotReadyError(f"{program.argv[0]} cannot be run", cause=cause) from error


def _identity(user: str) -> tuple[str | None, int | None, list[int] | None]:
    """Return how to become a user with all its groups; nothing to do where we are that user."""
    import pwd

    if not user or user == user_name():
        return None, None, None
    try:
        group = pwd.getpwnam(user).pw_gid
    except KeyError as error:
        raise BrokerNotReadyError(f"there is no user {user} on this machine", hint="rmqsetup install") from error
    return user, group, os.getgrouplist(user, group)


def _adopt_orphans() -> None:
    """Become the parent of every orphan below us, as process 1 is by itself. Linux alone knows that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _reap(child: int = 0) -> int | None:
    """Reap every child that has ended, and return how one of them did, None where it was not among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            code = os.waitstatus_to_exitcode(found[1]) if found[0] == child else code
    return code


def _end_rest(spared: Spared) -> None:
    """End and reap what was left behind; what lies below it comes to us when its parent is gone."""
    deadline = time.monotonic() + GRACE
    asked: set[int] = set()
    while rest := tuple(pid for pid, name in _children() if not spared(name)):
        late = time.monotonic() > deadline
        for pid in rest:
            if late or pid not in asked:
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
        asked.update(rest)
        time.sleep(0.02)
        _reap()


def _children() -> Iterator[tuple[int, str]]:
    """Yield number and name of our children, as /proc has them; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = entry.read_text(errors="replace").rpartition(")")
            if int(tail.split()[1]) == os.getpid():
                yield int(entry.parent.name), head.partition("(")[2]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
