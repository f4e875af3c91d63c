"""A healthy Debian machine with a broker, as it was recorded, for tests of checks to spoil.

The record is `data/checks/debian-13.json`, made by `record.py` beside it. What is not recorded is not there; a command
without an answer fails and says nothing.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from rmqsetup.checks.scene import Question, Scene, Sockets
from rmqsetup.host import Command, FileState, Kind, Result, Standing
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.probes.epmd import Registered
from rmqsetup.probes.node import ANY, NodeListener, NodeState, NodeStatus
from rmqsetup.probes.terms import Atom
from rmqsetup.probes.wire import UnreachableError

RECORD = Path(__file__).parent / "data/checks/debian-13.json"
NOW = 1_795_830_000.0  # when it was recorded
CONF = "/etc/rabbitmq/rabbitmq.conf"
UNIT = "systemctl show -p LoadState"
MORE = "systemctl show -p User"


@lru_cache
def recorded():
    return json.loads(RECORD.read_text(encoding="utf-8"))


class Plain:
    """The recorded machine. Tests put files and answers over it; a command is found by how it begins."""

    def __init__(self) -> None:
        self.files: dict[str, FileState | None] = {
            path: FileState(text.encode("latin-1" if _binary(text) else "utf-8"), mode, owner, group, modified)
            for path, (text, mode, owner, group, modified) in recorded()["files"].items()
        }
        self.folders = {path: list(names) for path, names in recorded()["names"].items()}
        self.answers: dict[tuple[str, ...], tuple[int, str]] = {}
        self.changes: list[tuple[str, str, str]] = []
        self.layout = SYSTEM
        self.ran: list[str] = []

    def put(self, path: str, text: str, mode: int = 0o644, owner: str = "root", group: str = "root") -> None:
        """Write a file, older than the broker's start."""
        self.files[path] = FileState(text.encode(), mode, owner, group, 1.0)
        folder, _, name = path.rpartition("/")
        self.folders[folder] = sorted({*self.folders.get(folder, ()), name})

    def lose(self, path: str) -> None:
        """Take a file or a folder away."""
        self.files = {
            name: state for name, state in self.files.items() if name != path and not name.startswith(f"{path}/")
        }
        self.folders.pop(path, None)
        folder, _, name = path.rpartition("/")
        self.folders[folder] = [each for each in self.folders.get(folder, ()) if each != name]

    def own(self, path: str, owner: str, mode: int) -> None:
        """Give a file another owner and mode."""
        state = self.files[path]
        self.files[path] = FileState(state.content, mode, owner, state.group, state.modified)

    def say(self, begin: str, text: str, code: int = 0) -> None:
        """Let commands that begin so give this answer; a failing one says it on standard error."""
        self.answers[tuple(begin.split())] = (code, text)

    def change(self, begin: str, old: str, new: str) -> None:
        """Replace words in the recorded answer of commands that begin so."""
        self.changes.append((begin, old, new))

    def run(self, command: Command, listener=None) -> Result:  # noqa: ARG002
        self.ran.append(str(command))
        words = " ".join(command.argv)
        for begin, (code, text) in self.answers.items():
            if words.startswith(" ".join(begin)):
                return Result(command, code, text if not code else "", text if code else "")
        code, out, err = recorded()["commands"].get("\0".join(command.argv), (1, "", ""))
        for begin, old, new in self.changes:
            if words.startswith(begin):
                assert old in out, f"{words} does not say {old}"
                out = out.replace(old, new)
        return Result(command, code, out, err)

    def read(self, path: str) -> FileState | None:
        return self.files.get(path)

    def names(self, directory: str) -> tuple[str, ...]:
        return tuple(self.folders.get(directory, ()))

    def peek(self, path: str) -> Standing | None:
        if path in self.folders or path in recorded()["peeks"]:
            return Standing(Kind.FOLDER)
        return Standing(Kind.FILE) if path in self.files else None


class Wires(Sockets):
    """A node that is well, and epmd that knows it; tests spoil `node`, `others` of its cluster, `known`, `closed` and
    `answers`."""

    def __init__(self) -> None:
        listeners = tuple(
            NodeListener(protocol, ANY[0], port)
            for protocol, port in (("amqp", 5672), ("http", 15672), ("clustering", 25672))
        )
        self.others: Exception | None = None
        self.node: NodeStatus | Exception = NodeStatus(
            "rabbit@broker", NodeState.RUNNING, "4.0.5", "27", 60.0, listeners, virtual_hosts=("/",)
        )
        self.known: tuple[Registered, ...] | Exception = (Registered("rabbit", 25672),)
        self.closed: dict[int, str] = {}
        self.certificates: dict[str, tuple[str, bytes]] = {}
        self.handshakes: dict[int, str] = {}
        self.answers: dict[str, object] = {
            "rabbit_nodes:list_members": [Atom("rabbit@broker")],
            "rabbit_nodes:list_running": [Atom("rabbit@broker")],
            "application:get_env": (Atom("ok"), [b"guest"]),
        }

    def down(self) -> None:
        """Let there be no node."""
        self.known, self.node = (), UnreachableError("nobody answers")

    def names(self, port):  # noqa: ARG002
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def opens(self, host, port):  # noqa: ARG002
        return self.closed.get(port, "")

    def certificate(self, host, port):  # noqa: ARG002
        return self.certificates.get(host, ("", b""))

    def handshake(self, host, port):  # noqa: ARG002
        return self.handshakes.get(port, "")

    def status(self, host, address):  # noqa: ARG002
        if self.others and address.name != "rabbit@broker":
            raise self.others
        if isinstance(self.node, Exception):
            raise self.node
        return self.node

    def call(self, host, address, question: Question):  # noqa: ARG002
        name = f"{question.module}:{question.function}"
        if name not in self.answers:
            raise UnreachableError(f"{name} was not recorded")
        return self.answers[name]


def scene(machine: Plain, wires: Wires | None = None) -> Scene:
    """Return a machine as checks see it."""
    return Scene(machine, machine.layout, wires or Wires(), NOW)


def _binary(text: str) -> bool:
    return "\0" in text
