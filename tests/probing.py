"""Recorded nodes and made-up hosts for the tests of probes, `verify` and `status`.

The records themselves are in `data/transcripts/probes`, and how they were made in `record.py` beside them.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rmqsetup.host import NOT_FOUND, Command, FileState, Listener, Remove, Result, Write
from rmqsetup.probes import distribution, wire
from rmqsetup.probes.distribution import CallError, Peer
from rmqsetup.probes.terms import Atom, Term, decode

RECORDS = Path(__file__).parent / "data/transcripts/probes"
VERSIONS = ("3.10.8", "4.0.5", "4.3.6")
FAULTS = ("healthy", "memory alarm", "disk alarm", "virtual host down", "application stopped")

Step = tuple[str, bytes]


@dataclass(frozen=True)
class Record:
    """What was heard from one real node."""

    data: dict

    @property
    def node(self) -> str:
        return self.data["node"]

    @property
    def peer(self) -> Peer:
        return Peer(self.node, self.data["cookie"])

    def conversation(self, name: str) -> list[Step]:
        return [(side, bytes.fromhex(text)) for side, text in self.data["conversations"][name]]

    def answers(self, fault: str) -> dict[str, bytes]:
        return {question: bytes.fromhex(text) for question, text in self.data["answers"][fault].items()}


def record(version: str) -> Record:
    return Record(json.loads((RECORDS / f"rabbitmq-{version}.json").read_text()))


class RecordedNode:
    """A node that answers from a record; a function that was not recorded is undefined."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, module: str, function: str, *arguments: Term) -> Term:
        words = [argument.decode() if isinstance(argument, bytes) else "wall_clock" for argument in arguments]
        question = f"{module}:{function}({', '.join(words)})"
        self.asked.append(question)
        if question not in self.answers:
            raise CallError(question, (Atom("EXIT"), (Atom("undef"), [])))
        return decode(self.answers[question])[1]  # type: ignore[index]


class FakeHost:
    """A host made of files and answers; a command matches by a regular expression, one without answer is missing."""

    def __init__(
        self, files: dict[str, bytes | None] | None = None, answers: dict[str, tuple[int, str]] | None = None
    ) -> None:
        self.files = files or {}
        self.answers = answers or {}
        self.ran: list[str] = []

    def run(self, command: Command, listener: Listener | None = None) -> Result:  # noqa: ARG002
        self.ran.append(str(command))
        for pattern, (code, said) in self.answers.items():
            if re.search(pattern, str(command)):
                return Result(command, code, said if code == 0 else "", "" if code == 0 else said)
        return Result(command, NOT_FOUND, "", "not found")

    def read(self, path: str) -> FileState | None:
        return FileState(self.files[path], 0o400, "rabbitmq", "rabbitmq") if path in self.files else None

    def names(self, directory: str) -> tuple[str, ...]:
        inside = [path[len(directory) + 1 :] for path in self.files if path.startswith(f"{directory}/")]
        return tuple(sorted({name.partition("/")[0] for name in inside}))

    def write(self, write: Write) -> None:
        raise AssertionError(f"a probe writes {write.path}")

    def remove(self, remove: Remove) -> None:
        raise AssertionError(f"a probe removes {remove.path}")


def refuses_only_with(
    error: type[Exception] | tuple[type[Exception], ...], parse: Callable[[bytes], object], data: bytes
) -> None:
    """Hold a parser to its word: an answer, or its one error with a sentence in it."""
    try:
        parse(data)
    except error as refusal:
        said = str(refusal)
    else:
        return
    assert said


@contextmanager
def replaying(monkeypatch: pytest.MonkeyPatch, *scripts: list[Step]) -> Iterator[list[str]]:
    """Answer the next connections from scripts, one each; what is said must be what was recorded, byte for byte."""
    wrong: list[str] = []
    waiting = list(scripts)
    threads = []

    def connect(host: str, port: int, deadline: wire.Deadline) -> wire.Wire:
        ours, theirs = socket.socketpair()
        threads.append(threading.Thread(target=_play, args=(theirs, waiting.pop(0), wrong)))
        threads[-1].start()
        return wire.Wire(ours, f"{host}:{port}", deadline)

    with monkeypatch.context() as patch:
        patch.setattr(wire.Wire, "connect", connect)
        chances = [b"\x0b\xad\xca\xfe", b"\x12\x34\xab\xcd"]
        patch.setattr(distribution.os, "urandom", lambda _: chances.pop(0))
        patch.setattr(distribution.os, "getpid", lambda: 4711)
        yield wrong
        for thread in threads:
            thread.join(5)


def _play(side: socket.socket, script: list[Step], wrong: list[str]) -> None:
    with side:
        side.settimeout(5)
        for direction, data in script:
            if direction == "<":
                side.sendall(data)
                continue
            heard = b""
            while len(heard) < len(data) and (part := side.recv(len(data) - len(heard))):
                heard += part
            if heard != data:
                wrong.append(f"{heard!r} instead of {data!r}")


@contextmanager
def serving(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection on the loopback with a function; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    act(connection)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.close()
        thread.join(5)
