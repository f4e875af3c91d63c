"""A made-up machine that commands can really change: a recorded one, with packages, files and a service on top.

Where the answers of apt, dpkg and systemd come from real machines they are in `data/machines` and `data/transcripts`.
"""

from __future__ import annotations

from pathlib import Path

from rmqsetup.host import Command, FileState, Listener, Remove, Result, Write
from rmqsetup.hosts.replay import ReplayHost

MACHINES = Path(__file__).parent / "data" / "machines"
PAIR = {"erlang-base": "1:27.3.4.1+dfsg-1+deb13u3", "rabbitmq-server": "4.0.5-6+deb13u2"}
BROKEN = "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?"
STARTED = "Sun 2037-01-04 10:00:00 UTC"


class Machine(ReplayHost):
    """A Debian 13 whose apt installs a RabbitMQ of two packages; `fails` names what goes wrong."""

    def __init__(self, *, fails: str = "") -> None:
        super().__init__(MACHINES / "debian-13")
        self.files: dict[str, FileState | None] = {"/etc/passwd": _file(b"root:x:0:0::/root:/bin/sh\n")}
        self.packages: dict[str, str] = {}
        self.held: set[str] = set()
        self.running = self.enabled = False
        self.fails = fails
        self.logs: dict[str, str] = {}

    def read(self, path: str) -> FileState | None:
        return self.files[path] if path in self.files else super().read(path)

    def names(self, directory: str) -> tuple[str, ...]:
        inside = {Path(path).name for path, file in self.files.items() if file and str(Path(path).parent) == directory}
        return tuple(sorted({*super().names(directory), *inside}))

    def write(self, write: Write) -> None:
        content = Path(write.source).read_bytes() if write.source else write.content
        self.files[write.path] = FileState(content, write.mode, write.owner, write.group)

    def remove(self, remove: Remove) -> None:
        self.files[remove.path] = None

    def run(self, command: Command, listener: Listener | None = None) -> Result:
        if self.fails and self.fails in str(command):
            return Result(command, 100, "", BROKEN)
        return Result(command, 0, self._answer(command, listener or print))

    def _answer(self, command: Command, listener: Listener) -> str:
        argv = command.argv
        if argv[0] == "dpkg-query":
            return self._listed(everything="Architecture" in argv[3])
        if argv[:2] == ("apt-cache", "policy"):
            return "".join(map(self._policy, argv[2:]))
        if argv[:2] == ("apt-get", "-s"):
            return self._simulated(argv)
        if argv[0] == "sh":
            self._transact(argv, listener)
        elif argv[:2] == ("dpkg", "--set-selections"):
            rows = [line.split() for line in command.stdin.decode().splitlines()]
            self.held = {name for name, mark in rows if mark == "hold"}
        elif argv[0] == "systemctl":
            return self._systemctl(argv[1:])
        elif argv[0] == "tail":
            return self.logs.get(argv[-1], "")
        elif argv[0] in ("date", "stat", "journalctl"):
            return "" if argv[0] == "journalctl" else "0"
        elif argv[0] == "du":
            return "".join(f"242\t{path}\n" for path in argv[3:])
        else:
            assert argv[0] == "apt-get", argv
            assert "update" in argv, argv
        return ""

    def _listed(self, *, everything: bool) -> str:
        rows = {"dpkg": "1.22.22", **self.packages}
        if everything:
            return "".join(f"{name}\t{version}\tamd64\t{self._mark(name)} \n" for name, version in rows.items())
        return "".join(f"{self._mark(name)} \t{name}\t{version}\n" for name, version in rows.items())

    def _mark(self, name: str) -> str:
        return "hi" if name in self.held else "ii"

    def _policy(self, name: str) -> str:
        installed, version = self.packages.get(name, "(none)"), PAIR[name]
        mark = "***" if name in self.packages else "   "
        offer = "        500 http://deb.example.org/debian trixie/main amd64 Packages"
        table = f"  Version table:\n {mark} {version} 500\n{offer}\n"
        return f"{name}:\n  Installed: {installed}\n  Candidate: {version}\n{table}"

    def _simulated(self, argv: tuple[str, ...]) -> str:
        if "install" in argv:
            lines = (f"Inst {name} ({version} Debian:13.2/stable [amd64])\n" for name, version in PAIR.items())
            return "".join(lines)
        return "".join(f"Purg {name} [{version}]\n" for name, version in self.packages.items())

    def _transact(self, argv: tuple[str, ...], listener: Listener) -> None:
        if "purge-keeping" in argv:
            self.packages, self.held = {}, set()
            return
        listener("dlstatus:1:50.0000:Retrieving file 1 of 2")
        listener("Setting up rabbitmq-server (4.0.5-6+deb13u2) ...")
        listener("pmstatus:rabbitmq-server:70.0000:Configuring rabbitmq-server (all)")
        self.packages = dict(PAIR)
        self.files["/var/lib/rabbitmq/mnesia"] = self.files["/var/log/rabbitmq/x.log"] = _file(b"")
        self.files["/etc/passwd"] = _file(b"root:x:0:0::/root:/bin/sh\nrabbitmq:x:1:1::/:/bin/false\n")

    def _systemctl(self, words: tuple[str, ...]) -> str:
        if words[0] == "show":
            active, enabled = ("active" if self.running else "inactive"), ("enabled" if self.enabled else "disabled")
            return (
                f"LoadState=loaded\nActiveState={active}\nSubState={'running' if self.running else 'dead'}\n"
                f"UnitFileState={enabled}\nExecMainStartTimestamp={STARTED if self.running else ''}\n"
            )
        if words[0] in ("start", "restart", "stop"):
            self.running = words[0] != "stop"
        if words[1:2] in (("enable",), ("disable",)):
            self.enabled = words[1] == "enable"
        return ""


def _file(content: bytes) -> FileState:
    return FileState(content, 0o644, "root", "root")
