"""One node of a throwaway broker: started, waited for until it is ready, stopped, frozen, killed.

What it is started with belongs to `boot`; the broker that it is part of to `throwaway`.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from rmqsetup.broker import boot
from rmqsetup.broker.place import PIDS, full, unwritable
from rmqsetup.broker.wish import Member
from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.probes.distribution import Connection, Peer
from rmqsetup.probes.logs import relevant
from rmqsetup.probes.terms import TRUE
from rmqsetup.probes.wire import Deadline, ProbeError

OPEN_FILES = 65_536
"""Files a node may have open, where that is allowed: Erlang goes through all of them when it starts a helper."""

LAUNCH = (
    'echo $$ >>"$1" || exit; limit=$(ulimit -Hn);'
    f'[ "$limit" != unlimited ] && [ "$limit" -lt {OPEN_FILES} ] || limit={OPEN_FILES};'
    'ulimit -n "$limit"; shift; exec "$@"'
)
"""Write down the number of the process before there is anything to end, and become the node."""

TAKEN = ("eaddrinuse", "address already in use")
"""How a log says that somebody else has the port."""

_FAILED = re.compile(r"^BOOT FAILED$", re.MULTILINE)
"""Where a log of its own is read, nothing before this counts; here what was the matter may stand just before."""

_ECHO = re.compile(r"Kernel pid terminated|1 dirty I/O schedulers")
"""What Erlang repeats on a line that nobody can read, and what we have chosen ourselves."""

ASKED_TOO = 3.0
"""Seconds after which a node that has not said that it is ready is asked as well."""


class DiedError(BrokerNotReadyError):
    """A node ended while it was started; `taken` tells that somebody else had its port."""

    taken = False


class Helper:
    """A process of a broker that is no node, and ends with it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def kill(self) -> None:
        """End it, and wait for that."""
        self._process.kill()
        self._process.wait()


class Running:
    """A node that was started."""

    def __init__(self, member: Member, folder: Path, *, inherit: tuple[int, ...] = ()) -> None:
        self.member = member
        self.begun = time.monotonic()
        self._inherit = inherit
        self._folder = folder
        self._notes: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process of the node, 0 where there is none."""
        return self._process.pid if self._process else 0

    @property
    def runs(self) -> bool:
        """Whether its process has begun and not ended."""
        return self._process is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it runs."""
        return self._process.poll() if self._process else None

    def end_of_it(self) -> str:
        """Say how the process ended."""
        code = self.exit_code or 0
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def start(self) -> None:
        """Begin to boot. Raises `BrokerNotReadyError` where that cannot even begin."""
        member = self.member
        try:
            member.notes.unlink(missing_ok=True)
            self._notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._notes.bind(str(member.notes))
            self._process = launch(
                boot.command_line(member),
                self._folder,
                env=boot.environment(member),
                directory=member.folder,
                inherit=self._inherit,
            )
        except OSError as error:
            raise unwritable(member.folder, error) from error
        self.begun = time.monotonic()

    def wait(self, deadline: Deadline) -> None:
        """Wait until the node has booted. Raises `DiedError`, `BrokerNotReadyError` at the deadline."""
        while not self._said_ready(min(0.25, deadline.left())):
            if self.exit_code is not None:
                raise self._died()
            if time.monotonic() - self.begun > ASKED_TOO and self._is_running():
                break
            if deadline.left() <= 0:
                raise BrokerNotReadyError(
                    f"{self.member.name} is not ready after {time.monotonic() - self.begun:.0f} s",
                    cause=trouble(self.member),
                    hint="a busy machine needs longer: --wait SECONDS (timeout=, --rmq-timeout)",
                )
        self._hear_no_more()

    def connect(self, timeout: float = 10.0) -> Connection:
        """Open a conversation with the node."""
        member = self.member
        return Connection.open(Peer(member.name, member.cookie, port=member.listening.distribution), timeout=timeout)

    def kill(self, number: int = signal.SIGKILL, *, wait: bool = True) -> None:
        """Send a signal to the node, by default the last one, and wait for its end."""
        if wait:
            self._hear_no_more()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        if wait:
            self._process.wait()

    def end(self, timeout: float) -> None:
        """Stop the node in order, one that is frozen as well, and wait. Raises `subprocess.TimeoutExpired`."""
        if self._process and self.exit_code is None:
            self._process.terminate()
            self.kill(signal.SIGCONT, wait=False)
            self._process.wait(timeout)

    def _hear_no_more(self) -> None:
        if self._notes:
            self._notes.close()
            self._notes = None

    def _said_ready(self, seconds: float) -> bool:
        if self._notes is None:
            return True
        if not select.select((self._notes,), (), (), seconds)[0]:
            return False
        return b"READY=1" in self._notes.recv(4096).split(b"\n")

    def _is_running(self) -> bool:
        try:
            with contextlib.closing(self.connect(2.0)) as node:
                return node.call("rabbit", "is_running") == TRUE
        except ProbeError:
            return False

    def _died(self) -> DiedError:
        said = "\n".join(filter(None, (trouble(self.member), full(self.member.folder))))
        error = DiedError(
            f"{self.member.name} {self.end_of_it()} while it was starting",
            cause=said or "it said nothing",
            hint="--keep (keep=True, --rmq-keep) keeps its folder with the whole log",
        )
        error.taken = any(word in said.lower() for word in TAKEN)
        return error


def launch(
    argv: tuple[str, ...],
    folder: Path,
    *,
    env: tuple[tuple[str, str], ...],
    directory: Path,
    inherit: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a process of a broker in a session of its own, its number in the broker's folder. Raises `OSError`."""
    with (directory / "log").open("ab") as output:
        return subprocess.Popen(
            ("sh", "-c", LAUNCH, folder.name, str(folder / PIDS), *argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(env),
            start_new_session=True,
            pass_fds=inherit,
        )


def trouble(member: Member) -> str:
    """Return the lines of a node's log that tell of trouble, its last ones where none do."""
    text = _FAILED.sub("", _text(member.log))
    found = [line for line in relevant(text) if not _ECHO.search(line)]
    return "\n".join(found or text.strip().splitlines()[-6:])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-60_000:]
    except OSError:
        return ""
