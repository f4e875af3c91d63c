"""The journal of what was changed: written before and after each step, read to undo.

A receipt is the journal of one run. What a run does belongs to `apply`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rmqsetup import __version__
from rmqsetup.errors import ConflictError, ManagerError, UsageError
from rmqsetup.standing import STATE
from rmqsetup.steps import SCHEMA, Step
from rmqsetup.steps.file import File, sha256

DONE, FAILED, ROLLED_BACK = "done", "failed", "rolled back"
"""How a run ended; a run that was killed has no such word."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled step: what was wished, what brings back what was, and how it ended (empty: it did not)."""

    step: Step
    inverse: Step | None
    status: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The journal of one run. `undoes` names the receipts that it took back; `finished` is empty after a kill."""

    id: str
    title: str
    started: str
    entries: tuple[Entry, ...] = ()
    undoes: tuple[str, ...] = ()
    finished: str = ""
    status: str = ""
    tool: str = __version__
    schema: int = SCHEMA

    @property
    def inverses(self) -> tuple[Step, ...]:
        """What brings back what was before this run, oldest first."""
        return tuple(entry.inverse for entry in self.entries if entry.inverse is not None)


class Journal:
    """The receipt of the run that is going on. Every line is on disk before the call returns.

    Nothing is written before the first change, so that a run with nothing to do leaves no trace.
    """

    def __init__(self, title: str, *, state: Path = STATE, undoes: tuple[str, ...] = ()) -> None:
        self._state = state
        self._head = {"title": title, "undoes": list(undoes), "tool": __version__, "schema": SCHEMA}
        self._title = title
        self.path: Path | None = None

    @property
    def id(self) -> str:
        """The receipt's name, empty while nothing was written."""
        return self.path.stem if self.path else ""

    def before(self, step: Step, inverse: Step | None) -> None:
        """Note what is about to be done and what brings back what is."""
        from rmqsetup.codec import to_data

        path = self.path or self._begin()
        parked = _park(inverse, path.with_suffix(".d")) if inverse else None
        self._append({"step": to_data(step), "inverse": to_data(parked) if parked else None})

    def after(self, status: str) -> None:
        """Note how the last step ended."""
        self._append({"ended": status})

    def finish(self, status: str) -> None:
        """Note how the run ended; nothing when nothing was begun."""
        if self.path:
            self._append({"finished": _now(), "status": status})

    def _begin(self) -> Path:
        folder = self._state / "receipts"
        _make(folder)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        names = {path.stem for path in folder.glob("*.jsonl")}
        number = sum(name.startswith(stamp) for name in names)
        self.path = folder / f"{stamp}{number + 1 if number else ''}-{self._title}.jsonl"
        self._append({**self._head, "id": self.path.stem, "started": _now()})
        return self.path

    def _append(self, line: dict[str, Any]) -> None:
        if not self.path:
            return
        begin = b"" if _is_whole(self.path) else b"\n"
        _put(self.path, begin + json.dumps(line, ensure_ascii=False).encode() + b"\n", os.O_APPEND)


def read_all(state: Path = STATE) -> tuple[Receipt, ...]:
    """Return every receipt, oldest first. Raises `UsageError` when they may not be read by this user."""
    folder = state / "receipts"
    try:
        paths = sorted(folder.glob("*.jsonl")) if os.access(state, os.X_OK) or not state.exists() else None
    except PermissionError:
        paths = None
    if paths is None:
        raise UsageError(f"the receipts in {folder} are for root only", hint="the same command with sudo")
    return tuple(read(path) for path in paths)


def read(path: Path) -> Receipt:
    """Read one receipt; a line that was cut by a kill or a full disk is left out."""
    lines = list(_lines(path))
    head = lines[0] if lines else {}
    receipt = Receipt(
        id=path.stem,
        title=str(head.get("title", "")),
        started=str(head.get("started", "")),
        undoes=tuple(head.get("undoes", ())),
        tool=str(head.get("tool", "")),
        schema=int(head.get("schema", SCHEMA)),
    )
    for line in lines[1:]:
        receipt = _fold(receipt, line)
    return receipt


def standing(receipts: tuple[Receipt, ...]) -> tuple[Receipt, ...]:
    """Return the receipts whose changes are still on the machine: not undone, not rolled back, no undo themselves.

    An undo that failed or was killed takes nothing off the list: what it was to take back is taken back again.
    """
    undone = {name for receipt in receipts if receipt.status == DONE for name in receipt.undoes}
    return tuple(r for r in receipts if r.entries and not r.undoes and r.id not in undone and r.status != ROLLED_BACK)


def last_run(receipts: tuple[Receipt, ...]) -> tuple[Receipt, ...]:
    """Return the newest standing receipt, with those just before it that never finished: they are one wish.

    What an install left unfinished is no part of a doctor's fix, and the other way about.
    """
    rows = standing(receipts)
    first = len(rows) - 1
    while first > 0 and rows[first - 1].status != DONE and rows[first - 1].title == rows[-1].title:
        first -= 1
    return rows[max(first, 0) :]


def settle(title: str, *, state: Path = STATE) -> None:
    """Note that what runs of a title left unfinished is as wished by now: a later one found nothing to do.

    Else an undo of whatever comes next would take them back as well.
    """
    if all(receipt.status == DONE or receipt.title != title for receipt in standing(read_all(state))):
        return
    with lock(state):
        for receipt in standing(read_all(state)):
            if receipt.status != DONE and receipt.title == title:
                journal = Journal(title, state=state)
                journal.path = state / "receipts" / f"{receipt.id}.jsonl"
                journal.finish(DONE)


@contextmanager
def lock(state: Path = STATE) -> Iterator[None]:
    """Let one rmqsetup at a time change this machine.

    Raises `ConflictError` naming the other one, `ManagerError` where the lock cannot be written.
    """
    _make(state)
    try:
        stream = (state / "lock").open("a+")
    except OSError as error:
        raise _unwritable(f"cannot write {state / 'lock'}", error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            other = stream.read().strip() or "unknown"
            raise ConflictError(
                f"another rmqsetup is at work (process {other})", hint="wait for it, then run the same command again"
            ) from None
        try:
            os.ftruncate(stream.fileno(), 0)
            os.write(stream.fileno(), str(os.getpid()).encode())
        except OSError as error:
            raise _unwritable(f"cannot write {state / 'lock'}", error) from error
        yield


def _fold(receipt: Receipt, line: dict[str, Any]) -> Receipt:
    """Add one line of a journal to what was read so far."""
    if "step" in line:
        inverse = _step(line["inverse"]) if line.get("inverse") else None
        return replace(receipt, entries=(*receipt.entries, Entry(_step(line["step"]), inverse)))
    if "ended" in line and receipt.entries:
        last = replace(receipt.entries[-1], status=str(line["ended"]))
        return replace(receipt, entries=(*receipt.entries[:-1], last))
    return replace(receipt, finished=str(line.get("finished", "")), status=str(line.get("status", "")))


def _step(data: object) -> Step:
    from rmqsetup.codec import from_data

    return from_data(data, Step)  # type: ignore[type-abstract]  # a table in codec says which class it is


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # noqa: PERF203 - one line in a thousand files is cut, and nothing was done by it
            continue


def _is_whole(path: Path) -> bool:
    """Tell whether what is written next begins a line: the last one may be cut."""
    return not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")


def _park(step: Step, folder: Path) -> Step:
    """Put the bytes of a secret file beside the journal, for root alone, and let the step refer to them."""
    if not isinstance(step, File) or not step.secret or step.content is None:
        return step
    _make(folder)
    place = folder / sha256(step.content)
    _put(place, step.content, os.O_TRUNC)
    return replace(step, content=None, source=str(place), digest=sha256(step.content))


def _put(place: Path, content: bytes, how: int) -> None:
    """Write to a file of the journal, all of it and to disk, or say that it cannot be: a full disk takes a part."""
    try:
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _unwritable(f"cannot write the journal {place}", error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(f"cannot make {folder}, where the journal goes", error) from error


def _unwritable(message: str, error: OSError) -> ManagerError:
    """Return what to say when the journal cannot be kept: nothing is changed that is not in it."""
    advice = {
        errno.ENOSPC: "free some space there (df -h), then run the same command again",
        errno.EDQUOT: "free some space there (df -h), then run the same command again",
        errno.EROFS: "remount the file system writable, then run the same command again",
    }
    hint = advice.get(error.errno or 0, "run it as root, on a file system that can be written")
    return ManagerError(message, cause=str(error.strerror or error), hint=hint)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
