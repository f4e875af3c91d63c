"""The machine this runs on. The only place of the package that starts programs."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO

from rmqsetup.errors import ManagerError
from rmqsetup.host import (
    NOT_FOUND,
    TIMED_OUT,
    Clear,
    Command,
    FileState,
    Give,
    Link,
    Listener,
    Remove,
    Result,
    Standing,
    Unpack,
    Write,
)
from rmqsetup.hosts import rights
from rmqsetup.hosts.disk import NOWHERE, file_error, make_folder, remove_empty, sync_directory

OPEN, KEPT = 0o022, -1
"""What root's commands make is for everybody to read, as package managers expect; a user's umask is kept."""

PLAIN = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
"""Programs speak English, which is what we read. glibc heeds LANGUAGE in every locale but C itself."""

GRACE = 5.0
"""Seconds between the polite and the final signal to a command that is to end."""


class LocalHost:
    """Run commands and touch files here, with the rights of this process."""

    def run(self, command: Command, listener: Listener | None = None) -> Result:
        """Run a command in a session of its own, so that ctrl-C at the terminal reaches only us.

        A first ctrl-C is held back until the command has ended: a package transaction that is cut
        in the middle helps nobody. A second one ends the command.
        """
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **PLAIN, **dict(command.env)},
                start_new_session=True,
                umask=OPEN if os.geteuid() == 0 else KEPT,
            )
        except FileNotFoundError:
            return Result(command, NOT_FOUND, "", f"{command.argv[0]}: not found")
        except OSError as error:  # no right to run it, or nothing that this machine can run
            return Result(command, NOT_FOUND - 1, "", f"{command.argv[0]}: {error.strerror}")
        with _held_interrupt(process, listener) as interrupt:
            stdout, stderr, timed_out = _converse(process, command, listener, interrupt)
        code = TIMED_OUT if timed_out else process.returncode
        if timed_out:
            stderr += f"\nended after {command.timeout:g} seconds without an answer"
        return Result(command, code, stdout, stderr, time.monotonic() - started)

    def read(self, path: str) -> FileState | None:
        """Return a file with mode and owner; content is None where we may not read it."""
        try:
            status = os.stat(path)  # noqa: PTH116 - one call that raises what we need
        except PermissionError:
            return FileState(None, 0, "", "")
        except OSError as error:
            if error.errno in NOWHERE:
                return None
            raise file_error(f"cannot read {path}", error) from error
        if not stat.S_ISREG(status.st_mode):
            return None
        try:
            content = Path(path).read_bytes()
        except PermissionError:
            content = None
        except OSError as error:
            raise file_error(f"cannot read {path}", error) from error
        return FileState(
            content,
            stat.S_IMODE(status.st_mode),
            _user_name(status.st_uid),
            _group_name(status.st_gid),
            status.st_mtime,
        )

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; none when it is not there or closed to us."""
        try:
            return tuple(sorted(os.listdir(directory)))  # noqa: PTH208 - names, not paths
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return ()

    def write(self, write: Write) -> None:
        """Put a file in place: a temporary file beside it, owner and mode set, fsync, rename."""
        import tempfile

        target = rights.led(Path(write.path))
        try:
            content = Path(write.source).read_bytes() if write.source else write.content
            make_folder(target.parent)
            handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".rmqsetup", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                    _give(stream.fileno(), write.owner, write.group)
                    os.fchmod(stream.fileno(), write.mode)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, target)  # noqa: PTH105 - the pair of mkstemp
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)  # noqa: PTH108
                raise
            sync_directory(target.parent)
        except KeyError as error:
            raise ManagerError(f"cannot write {write.path}", cause=f"there is no user or group {error}") from error
        except OSError as error:
            raise file_error(f"cannot write {write.path}", error) from error

    def remove(self, remove: Remove) -> None:
        """Remove a file, then those of its directories that are empty."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(remove.path)  # noqa: PTH108
            remove_empty(remove.directories)
        except OSError as error:
            raise file_error(f"cannot remove {remove.path}", error) from error

    def give(self, give: Give) -> None:
        """Change owner, group and mode, led by no link of somebody else's."""
        rights.give(give)

    def peek(self, path: str) -> Standing | None:
        """Return what stands at a path, links not followed."""
        from rmqsetup.hosts import trees

        return trees.peek(path)

    def unpack(self, unpack: Unpack) -> None:
        """Check an archive, unpack it beside its place, sync it, and put it in place."""
        from rmqsetup.hosts import trees

        trees.unpack(unpack, self.run)

    def clear(self, clear: Clear) -> None:
        """Remove a tree, without what others have put there."""
        from rmqsetup.hosts import trees

        trees.clear(clear)

    def link(self, link: Link) -> None:
        """Make a link beside its place and put it in place."""
        from rmqsetup.hosts import trees

        trees.link(link)


def _converse(
    process: subprocess.Popen[bytes], command: Command, listener: Listener | None, interrupt: _held_interrupt
) -> tuple[str, str, bool]:
    """Feed and read a process until it has ended; return stdout, stderr, and whether the deadline ended it."""
    if process.stdin:  # beside the reading: a program may answer before it has read all, and wait for us to hear it
        threading.Thread(target=_feed, args=(process.stdin, command.stdin), daemon=True).start()
    ears = _Ears(process, listener)
    deadline, timed_out = time.monotonic() + command.timeout, False
    while ears.open:
        # A daemon that a command left behind may hold our pipes open: with the command ended, take what is there.
        ended = process.poll() is not None
        ears.listen(0 if ended else 0.2)
        interrupt.tell()
        if ended:
            break
        if not timed_out and time.monotonic() > deadline:
            timed_out = True
            _end(process)
    process.wait()
    stdout, stderr = ears.close()
    return stdout, stderr, timed_out


def _feed(stdin: IO[bytes], content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it ended without reading; its exit code says the rest
        stdin.write(content)
    with contextlib.suppress(BrokenPipeError):
        stdin.close()


class _Ears:
    """Hear both streams of a process at once, and tell its lines."""

    def __init__(self, process: subprocess.Popen[bytes], listener: Listener | None) -> None:
        self._said: tuple[list[bytes], list[bytes]] = ([], [])
        self._listener = listener
        self._unfinished = ""
        self._streams = [stream for stream in (process.stdout, process.stderr) if stream]
        self._selector = selectors.DefaultSelector()
        for number, stream in enumerate(self._streams):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, number)

    @property
    def open(self) -> bool:
        """Whether something may still come."""
        return bool(self._selector.get_map())

    def listen(self, seconds: float) -> None:
        """Take what comes within some seconds."""
        for key, _ in self._selector.select(seconds):
            chunk = self._streams[key.data].read()
            if not chunk:
                self._selector.unregister(key.fileobj)
                continue
            self._said[key.data].append(chunk)
            if self._listener and key.data == 0:
                self._unfinished = _tell_lines(self._unfinished + chunk.decode(errors="replace"), self._listener)

    def close(self) -> tuple[str, str]:
        """Stop listening, and return all that was said on both streams."""
        self._selector.close()
        for stream in self._streams:
            stream.close()
        stdout, stderr = (b"".join(chunks).decode(errors="replace") for chunks in self._said)
        return stdout, stderr


def _tell_lines(text: str, listener: Listener) -> str:
    """Tell every whole line and return the rest."""
    *lines, rest = text.replace("\r", "\n").split("\n")
    for line in lines:
        listener(line)
    return rest


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command's whole session, politely first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


class _held_interrupt:  # noqa: N801 - reads as a statement: with _held_interrupt(process)
    """Hold ctrl-C back while a command runs, and raise it when the command has ended."""

    def __init__(self, process: subprocess.Popen[bytes], listener: Listener | None) -> None:
        self._process = process
        self._listener = listener
        self._count = 0
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> _held_interrupt:  # noqa: PYI034 - typing.Self is of Python 3.11
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def tell(self) -> None:
        """Say once that ctrl-C was heard: a handler of signals must not print by itself."""
        if self._count and self._listener:
            self._listener("waiting: ctrl-C was heard; once more ends this command at once")
            self._listener = None

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            threading.Thread(target=_end, args=(self._process,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
            if self._count:
                raise KeyboardInterrupt


def _give(handle: int, owner: str, group: str) -> None:
    """Give an open file to its owner; a plain user can only make files of his own."""
    if os.geteuid() == 0:
        os.fchown(handle, *rights.numbers(owner, group))


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
