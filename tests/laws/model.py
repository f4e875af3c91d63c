"""A machine in memory that answers apt, dpkg and systemctl as real ones do (`tests/data/transcripts`), for the laws.

Time is a counter: one second for everything that changes something. It can be told to die at any of these
moments, before, in the middle of, or after what was to be done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path, PurePosixPath

from laws.debs import CONFIG, DATA, SERVER, UNIVERSE, Deb, find
from laws.solver import ImpossibleError, Solver

from rmqsetup.errors import ManagerError
from rmqsetup.host import (
    MARK,
    Clear,
    Command,
    FileState,
    Kind,
    Link,
    Listener,
    Remove,
    Result,
    Standing,
    Unpack,
    Write,
)
from rmqsetup.managers.apt_sources import KEYRING, PIN
from rmqsetup.managers.apt_sources import OURS as SOURCES
from rmqsetup.version import Version

ENVIRONMENT = f"{CONFIG}/rabbitmq-env.conf"
"""What Debian's package writes when it is configured: comments alone."""

UPDATES = "/var/lib/dpkg/updates/0000"
"""What dpkg leaves when it is cut."""

SYSTEM = (
    *("/", "/etc", "/etc/apt", "/etc/apt/preferences.d", "/etc/apt/sources.list.d", "/etc/systemd/system"),
    *("/etc/default", "/usr/bin", "/usr/sbin", "/usr/share/keyrings", "/var/lib/dpkg/info", "/var/log"),
)
"""Directories that are always there."""


class Moment(Enum):
    """When a machine dies, seen from the one change that it dies at."""

    BEFORE = "before"
    MIDDLE = "in the middle of"
    AFTER = "after"


class Death(BaseException):
    """The process was killed, or the power went."""


@dataclass(slots=True)
class Installed:
    """A package on a machine: `letter` is dpkg's second one, `held` its first."""

    version: str
    letter: str = "i"
    held: bool = False


@dataclass(slots=True)
class Unit:
    """The service as systemd knows it."""

    running: bool = False
    enabled: bool = False
    since: int = 0
    seen: bool = False


class Model:
    """The machine: a `Host`, and what one may ask it for a comparison."""

    def __init__(self) -> None:
        self.clock = 1_700_000_000
        self.packages: dict[str, Installed] = {}
        self.files: dict[str, FileState] = {}
        self.links: dict[str, str] = {}
        self.directories: set[str] = {str(place) for path in SYSTEM for place in (path, *PurePosixPath(path).parents)}
        self.unit = Unit()
        self.users = {"root"}
        self.fetched: frozenset[str] = frozenset()
        self.interrupted = False
        self.changes = 0
        self.dies_at: tuple[int, Moment] | None = None
        self.dead = False

    def __repr__(self) -> str:
        """Show what a failing example was found with."""
        return f"Model({self.packages}, {sorted(self.files)}, {self.unit}, {self.fetched})"

    # ---- what the laws ask

    def snapshot(self) -> dict[str, object]:
        """Return everything that an undo must bring back, that is: all but times, data of the node, and users."""
        return {
            **{f"package {name}": (p.version, p.letter, p.held) for name, p in self.packages.items()},
            **{
                f"file {path}": (f.content, f.mode, f.owner, f.group)
                for path, f in self.files.items()
                if not path.startswith(DATA)
            },
            **{f"directory {d}": True for d in self.directories if not d.startswith(DATA)},
            **{f"link {path}": target for path, target in self.links.items()},
            "running": self.unit.running,
            "enabled": self.unit.enabled,
        }

    def put(self, path: str, content: bytes, *, mode: int = 0o644, owner: str = "root") -> None:
        """Let somebody else write a file."""
        self._made(path)
        self.files[path] = FileState(content, mode, owner, owner, self._tick())

    def add(self, name: str, version: str, *, held: bool = False) -> None:
        """Let somebody else have installed a package, its service running."""
        self._unpack(find(name, version))
        self._configure(name, denied="")
        self.packages[name].held = held

    def revive(self) -> None:
        """Go on after a death."""
        self.dead, self.dies_at = False, None

    # ---- Host

    def run(self, command: Command, _listener: Listener | None = None) -> Result:
        """Answer as the program would."""
        self._alive()
        code, out, err = self._answer(command)
        return Result(command, code, out, err)

    def read(self, path: str) -> FileState | None:
        """Return a file."""
        self._alive()
        if path == UPDATES and self.interrupted:
            return FileState(b"", 0o644, "root", "root")
        return self.files.get(path)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        below = (path for path in (*self.files, *self.directories, *self.links) if path.startswith(f"{directory}/"))
        return tuple(sorted({path[len(directory) + 1 :].partition("/")[0] for path in below}))

    def write(self, write: Write) -> None:
        """Write a file; an owner that no package has made yet is an error."""
        if write.owner not in self.users:
            raise ManagerError(f"cannot write {write.path}", cause=f"there is no user or group {write.owner!r}")
        content = Path(write.source).read_bytes() if write.source else write.content
        with _Change(self) as change:
            change.middle()
            self._made(write.path)
            self.files[write.path] = FileState(content, write.mode, write.owner, write.group, self._tick())

    def remove(self, remove: Remove) -> None:
        """Remove a file and its empty directories, in one: a death between leaves an empty directory, no more."""
        with _Change(self):
            self.files.pop(remove.path, None)
            self._prune(remove.directories)

    def peek(self, path: str) -> Standing | None:
        """Return what stands at a path."""
        self._alive()
        if path in self.links:
            return Standing(Kind.LINK, self.links[path])
        if path in self.files:
            return Standing(Kind.FILE)
        return Standing(Kind.FOLDER) if path in self.directories else None

    def unpack(self, unpack: Unpack) -> None:
        """Put a tree in place: half of it at first, beside its place."""
        with _Change(self) as change:
            self._cleared(unpack.through)
            self._made(f"{unpack.through}/plugins/x")
            change.middle()
            self._cleared(unpack.through)
            assert unpack.path not in self.directories
            self.put(f"{unpack.path}/sbin/rabbitmq-server", b"#!/bin/sh\n", mode=0o755)
            self.put(f"{unpack.path}/{MARK}", f"{unpack.digest}\n".encode())

    def clear(self, clear: Clear) -> None:
        """Remove a tree; its strays go aside first."""
        with _Change(self) as change:
            self._cleared(clear.through)
            if clear.path in self.directories:
                mark = self.files[f"{clear.path}/{MARK}"].modified
                strays = [p for p, f in self.files.items() if p.startswith(f"{clear.path}/") and f.modified > mark]
                for path in strays:
                    self.put(clear.strays + path.removeprefix(clear.path), self.files[path].content or b"")
                self._cleared(clear.path)
                self._made(f"{clear.through}/plugins/x")
                change.middle()
                self._cleared(clear.through)
            self._prune(clear.directories)

    def link(self, link: Link) -> None:
        """Let a link lead elsewhere."""
        with _Change(self) as change:
            new = link.path.rpartition("/")[0] + f"/.{link.path.rpartition('/')[2]}.rmqsetup"
            if link.target:
                self.links[new] = link.target
            change.middle()
            self.links.pop(new, None)
            if link.target:
                self.links[link.path] = link.target
            else:
                self.links.pop(link.path, None)

    # ---- programs

    def _answer(self, command: Command) -> tuple[int, str, str]:
        argv = command.argv
        if argv[0] == "dpkg-query":
            return 0, self._listing(), ""
        if argv[:2] == ("dpkg", "--set-selections"):
            return self._select(command.stdin.decode())
        if argv[0] == "systemctl":
            return self._systemctl(argv[1:])
        if argv[:2] == ("sh", "-c") and argv[3] == "transaction":
            return self._transaction(argv[4], argv[5:])
        if argv[0] == "apt-get":
            return self._apt(argv[1:], denied="", keep=())
        raise AssertionError(f"the model has no answer for {command}")

    def _listing(self) -> str:
        rows = sorted(self.packages.items())
        return "".join(f"{'h' if p.held else 'i'}{p.letter} \t{name}\t{p.version}\n" for name, p in rows)

    def _select(self, text: str) -> tuple[int, str, str]:
        lines = [line.split() for line in text.splitlines()]
        with _Change(self) as change:
            for number, (name, mark) in enumerate(lines):
                if number == len(lines) // 2:
                    change.middle()
                if name in self.packages:
                    self.packages[name].held = mark == "hold"
        return 0, "", ""

    def _systemctl(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        verb, known = next(word for word in words if not word.startswith("-")), SERVER in self._there()
        if verb == "show":
            return 0, self._shown(known), ""
        if verb == "daemon-reload":
            return 0, "", ""
        if not known:
            return 5, "", f"Unit {SERVER}.service not found."
        with _Change(self) as change:
            if verb in ("stop", "restart"):
                self.unit.running = False
            change.middle()
            if verb in ("start", "restart"):
                self._start()
            if verb in ("enable", "disable"):
                self.unit.enabled = verb == "enable"
        return 0, "", ""

    def _shown(self, known: bool) -> str:  # noqa: FBT001
        stamp = datetime.fromtimestamp(self.unit.since, tz=timezone.utc).strftime("%a %Y-%m-%d %H:%M:%S UTC")
        return (
            f"ExecMainStartTimestamp={stamp if self.unit.running else ''}\n"
            f"LoadState={'loaded' if known else 'not-found'}\n"
            f"ActiveState={'active' if self.unit.running else 'inactive'}\n"
            f"UnitFileState={('enabled' if self.unit.enabled else 'disabled') if known else ''}\n"
            "NeedDaemonReload=no\n"
        )

    def _transaction(self, service: str, words: tuple[str, ...]) -> tuple[int, str, str]:
        """Do as transaction.sh: it puts everything back whatever happens, so only its command can be cut."""
        cut = words.index("--")
        keep, argv = words[:cut], words[cut + 1 :]
        purging = argv[0] == "purge-keeping"
        argv = argv[1:] if purging else argv
        if argv[:2] == ("dpkg", "--configure"):
            return self._finish(denied=service)
        return self._apt(argv[1:], denied=service, keep=keep if purging else ())

    # ---- dpkg and apt

    def _there(self) -> dict[str, Deb]:
        return {name: find(name, p.version) for name, p in self.packages.items() if p.letter != "c"}

    def _offers(self) -> tuple[Deb, ...]:
        return tuple(deb for deb in UNIVERSE if deb.label in self.fetched & self._configured())

    def _configured(self) -> frozenset[str]:
        return frozenset(("Debian", "RabbitMQ") if SOURCES in self.files else ("Debian",))

    def _apt(self, argv: tuple[str, ...], *, denied: str, keep: tuple[str, ...]) -> tuple[int, str, str]:
        verb = next(word for word in argv if word in ("update", "install", "purge"))
        options, names = argv[: argv.index(verb)], [w for w in argv[argv.index(verb) + 1 :] if not w.startswith("-")]
        options += tuple(w for w in argv[argv.index(verb) + 1 :] if w.startswith("-"))
        if verb == "update":
            return self._update()
        simulated = "-s" in options
        try:
            after = self._solve(tuple(names), options, purge=verb == "purge")
            if not simulated:
                self._check(after, options)
        except ImpossibleError as words:
            return 100, "", f"{words}\n"
        lines = self._lines(after, purge=verb == "purge" or "--purge" in options)
        if not simulated:
            self._commit(after, denied=denied, keep=keep)
        return 0, "\n".join(("Reading package lists...", *lines, "")), ""

    def _update(self) -> tuple[int, str, str]:
        keyring = KEYRING.format(source="team")
        with _Change(self) as change:
            self.fetched = frozenset(("Debian",))
            change.middle()
            if SOURCES in self.files and keyring not in self.files:
                return 100, "", "E: The repository 'https://deb1.rabbitmq.com trixie InRelease' is not signed.\n"
            self.fetched = self._configured()
        return 0, "", ""

    def _solve(self, words: tuple[str, ...], options: tuple[str, ...], *, purge: bool) -> dict[str, Deb]:
        there = self._there()
        unmet = tuple(deb for deb in there.values() if not self._met(deb, there))
        held = frozenset(name for name, p in self.packages.items() if p.held and p.letter != "c")
        preferred = "RabbitMQ" if PIN in self.files else ""
        solver = Solver(there, self._offers(), held, preferred, "--no-install-recommends" not in options)
        after = solver.solve(words, purge=purge)
        if unmet and not purge and words and not self._mended(unmet, after, solver):
            raise ImpossibleError("E: Unmet dependencies. Try 'apt --fix-broken install' with no packages.")
        return after

    def _mended(self, unmet: tuple[Deb, ...], after: dict[str, Deb], solver: Solver) -> bool:
        """Whether the names that were given, with what those need, mend all that is broken: nothing else is touched."""
        named = list(solver.explicit.values())
        for deb in named:
            named += [after[name] for name, _ in deb.depends if name in after and after[name] not in named]
        touched = {**self._there(), **{deb.name: deb for deb in named}}
        left = {name: deb for name, deb in touched.items() if name not in solver.unwanted}
        return all(deb.name not in left or self._met(left[deb.name], left) for deb in unmet)

    def _met(self, deb: Deb, there: dict[str, Deb]) -> bool:
        return all(name in there and version in ("", there[name].version) for name, version in deb.depends)

    def _check(self, after: dict[str, Deb], options: tuple[str, ...]) -> None:
        """Refuse as `apt-get -y` does."""
        if self.interrupted:
            raise ImpossibleError(
                "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."
            )
        there = self._there()
        changed = [name for name in there if there[name] != after.get(name)]
        if any(self.packages[name].held for name in changed):
            raise ImpossibleError("E: Held packages were changed and -y was used without --allow-change-held-packages.")
        if "--no-remove" in options and any(name not in after for name in there):
            raise ImpossibleError("E: Packages need to be removed but remove is disabled.")
        older = [n for n in changed if n in after and Version(after[n].version) < Version(there[n].version)]
        if older and "--allow-downgrades" not in options:
            raise ImpossibleError("E: Packages were downgraded and -y was used without --allow-downgrades.")

    def _lines(self, after: dict[str, Deb], *, purge: bool) -> list[str]:
        there = self._there()
        gone = [f"{'Purg' if purge else 'Remv'} {n} [{d.version}]" for n, d in there.items() if n not in after]
        come = [
            f"Inst {n}{f' [{there[n].version}]' if n in there else ''} ({d.version} {d.label}:1/stable [amd64])"
            for n, d in after.items()
            if there.get(n) != d
        ]
        return [*gone, *come]

    def _commit(self, after: dict[str, Deb], *, denied: str, keep: tuple[str, ...]) -> None:
        there = self._there()
        pending = [name for name, package in self.packages.items() if package.letter == "U"]
        coming = [deb for name, deb in after.items() if there.get(name) != deb]
        with _Change(self) as change:
            for name in [name for name in there if name not in after]:
                self._purge(name, keep)
            for name in [n for n, p in self.packages.items() if p.letter == "c" and n in after]:
                del self.packages[name]
            for number, deb in enumerate(coming):
                self.interrupted = True
                if number == len(coming) // 2:
                    change.middle()
                self._unpack(deb)
            for name in (*pending, *(deb.name for deb in coming)):
                if name in self.packages:
                    self._configure(name, denied=denied)
            self.interrupted = False

    def _finish(self, *, denied: str) -> tuple[int, str, str]:
        """Do as `dpkg --configure -a`."""
        with _Change(self) as change:
            change.middle()
            self.interrupted = False
            there = self._there()
            pending = [name for name, package in self.packages.items() if package.letter == "U"]
            stuck = [name for name in pending if not self._met(find(name, self.packages[name].version), there)]
            for name in pending:
                if name not in stuck:
                    self._configure(name, denied=denied)
        if stuck:
            return 1, "", f"dpkg: dependency problems prevent configuration of {stuck[0]}:\n"
        return 0, "", ""

    def _unpack(self, deb: Deb) -> None:
        old = self.packages.get(deb.name)
        if deb.name == SERVER and self.unit.running:
            self.unit.running = False
        self.packages[deb.name] = Installed(deb.version, "U", held=bool(old and old.held))
        for directory in deb.directories:
            self._made(f"{directory}/x")
        for path in (*deb.files, f"/var/lib/dpkg/info/{deb.name}.list"):
            if not (path.startswith("/etc/") and path in self.files):  # --force-confold
                self._made(path)
                self.files[path] = FileState(f"{deb.name} {deb.version}".encode(), 0o644, "root", "root", self._tick())
        for path in deb.files:
            if path.startswith("/etc/") and self.files[path].text.startswith(f"{deb.name} "):
                self.files[path] = FileState(f"{deb.name} {deb.version}".encode(), 0o644, "root", "root", self._tick())

    def _configure(self, name: str, *, denied: str) -> None:
        self.packages[name].letter = "i"
        if name != SERVER:
            return
        self.users.add("rabbitmq")
        if ENVIRONMENT not in self.files:
            self.files[ENVIRONMENT] = FileState(b"#NODENAME=rabbit\n", 0o644, "rabbitmq", "rabbitmq", self._tick())
        if not self.unit.seen:
            self.unit.seen = self.unit.enabled = True  # as deb-systemd-helper: only at the first installation
        if denied != SERVER:
            self._start()

    def _purge(self, name: str, keep: tuple[str, ...]) -> None:
        """Remove a package; the server's own script then deletes three whole directories."""
        deb = find(name, self.packages.pop(name).version)
        for path in (*deb.files, f"/var/lib/dpkg/info/{name}.list"):
            self.files.pop(path, None)
        if name != SERVER:
            return
        self.unit = Unit()
        made = self.files.get(ENVIRONMENT)
        if made and made.text.startswith("#"):
            del self.files[ENVIRONMENT]
        for directory in (d for d in deb.directories if d not in keep):
            self.files = {path: file for path, file in self.files.items() if not path.startswith(f"{directory}/")}
            self.directories -= {d for d in self.directories if d == directory or d.startswith(f"{directory}/")}
        self._prune(deb.directories)

    def _start(self) -> None:
        self.unit.running, self.unit.since = True, self._tick()
        self._made(f"{DATA[0]}/x")
        self.files[f"{DATA[0]}/.erlang.cookie"] = FileState(b"cookie", 0o400, "rabbitmq", "rabbitmq", self.clock)

    # ---- the floor

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    def _made(self, path: str) -> None:
        self.directories.update(str(parent) for parent in PurePosixPath(path).parents)

    def _prune(self, directories: tuple[str, ...]) -> None:
        for directory in directories:
            if not self.names(directory):
                self.directories.discard(directory)

    def _cleared(self, path: str) -> None:
        self.files = {p: file for p, file in self.files.items() if not p.startswith(f"{path}/")}
        self.directories = {d for d in self.directories if d != path and not d.startswith(f"{path}/")}
        self.links = {p: target for p, target in self.links.items() if p != path}

    def _alive(self) -> None:
        if self.dead:
            raise Death

    def die_if(self, moment: Moment) -> None:
        """Die, when this is the moment."""
        if self.dies_at == (self.changes, moment):
            self.dead = True
            raise Death


class _Change:
    """One thing that changes the machine, and the three moments at which it can be cut."""

    def __init__(self, machine: Model) -> None:
        self._machine = machine

    def __enter__(self) -> _Change:  # noqa: PYI034
        self._machine._alive()
        self._machine.changes += 1
        self._machine.die_if(Moment.BEFORE)
        return self

    def middle(self) -> None:
        self._machine.die_if(Moment.MIDDLE)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._machine.die_if(Moment.AFTER)
