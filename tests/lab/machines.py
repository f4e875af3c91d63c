"""Throwaway machines: a booted copy of a base root with its own network, processes and cgroup.

What a machine is made of belongs to `roots` and `tool`, what it can reach to `network` and `mirror`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab import state
from lab.network import Network
from lab.state import MachineState
from lab.system import LabError, call, children, family, kill, started, until

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = (f"PATH={PATH}", "TERM=xterm", "COLUMNS=100", "DEBIAN_FRONTEND=noninteractive", "LANG=C.UTF-8")
TIMED_OUT = 124
TRUST = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended, or was ended at its deadline (exit code 124); `seconds` is wall time."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    def __str__(self) -> str:
        """Everything a failing test wants to show."""
        return f"$ {' '.join(self.argv)}\n{self.stdout}{self.stderr}\n[{self.exit_code}, {self.seconds:.1f} s]"


class Running:
    """A command under way in a machine.

    Its output goes to files, not pipes: what it leaves in the background cannot hold up who waits for it.
    """

    def __init__(self, argv: tuple[str, ...], process: subprocess.Popen[bytes], files: tuple[IO[bytes], ...]) -> None:
        self.argv = argv
        self.process = process
        self._files = files
        self._begun = time.monotonic()

    def pid(self) -> int:
        """Return the number this machine knows the command by, as soon as it runs inside; 0 if it is over."""
        until(lambda: children(self.process.pid) or self.process.poll() is not None, 10, 0.005)
        inside = children(self.process.pid)
        return inside[0] if inside else 0

    def kill(self) -> None:
        """SIGKILL the command alone; what it started goes on, as after an operator's `kill -9`."""
        if pid := self.pid():
            kill(pid)

    def kill_tree(self) -> None:
        """SIGKILL the command and everything it started, parents first."""
        if pid := self.pid():
            for member in family(pid):
                kill(member)

    def output(self) -> tuple[str, str]:
        """Return standard output and standard error so far."""
        return _text(self._files[0]), _text(self._files[1])

    def finish(self, timeout: float = 600) -> Completed:
        """Wait for the end and return how it went; kill the tree at the deadline (exit code 124)."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_tree()
            self.process.kill()
            self.process.wait()
            code = TIMED_OUT
        done = Completed(self.argv, code, *self.output(), time.monotonic() - self._begun)
        for file in self._files:
            file.close()
        return done


class Machine:
    """One machine. `lower` are the read-only trees below it, top first; made and booted by `Lab.machine`."""

    def __init__(
        self, folder: Path, network: Network, lower: tuple[Path, ...], *, systemd: bool, isolated: bool
    ) -> None:
        self.folder = folder
        self.network = network
        self.lower = lower
        self.systemd = systemd
        self.isolated = isolated
        self.hostname = "broker"
        self.leader = 0
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name by which this side knows it."""
        return self.network.name

    @property
    def address(self) -> str:
        """Its own address."""
        return self.network.address

    @property
    def gateway(self) -> str:
        """The address of this side, as the machine sees it."""
        return self.network.gateway

    @property
    def upper(self) -> Path:
        """The folder with everything that differs from what is below."""
        return self.folder / "upper"

    @property
    def cpu_seconds(self) -> float:
        """CPU time everything in the machine took since it was made, commands run from outside included."""
        text = (groups(self.name)[-1] / "cpu.stat").read_text()
        return int(re.search(r"usage_usec (\d+)", text)[1]) / 1e6  # type: ignore[index]

    def host_path(self, path: str) -> Path:
        """Return where this side sees a path of the machine. Do not follow links there: they may lead out."""
        return Path(f"/proc/{self.leader}/root") / path.lstrip("/")

    # ---- commands

    def run(
        self,
        *argv: str,
        input: str | bytes | None = None,  # noqa: A002
        env: tuple[str, ...] = (),
        timeout: float = 600,
        check: bool = False,
        user: str = "",
    ) -> Completed:
        """Run a command to its end. `env` are NAME=value; `check` raises `LabError` unless it ends with 0."""
        done = self.popen(*argv, input=input, env=env, user=user).finish(timeout)
        if check and done.exit_code:
            raise LabError(str(done))
        return done

    def popen(
        self,
        *argv: str,
        input: str | bytes | None = None,  # noqa: A002
        env: tuple[str, ...] = (),
        user: str = "",
    ) -> Running:
        """Start a command with a clean environment, as root or as `user` (which must exist in the machine)."""
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--") if user else ()
        home = f"/home/{user}" if user else "/root"
        enter = ("nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-p", "-n", "-C", "-r", "-w", "--")
        clean = ("/usr/bin/env", "-i", *ENVIRONMENT, f"HOME={home}", *env)
        command = joining(self.name, "/commands", (*enter, *clean, *become, *argv))
        files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is finished
        with tempfile.TemporaryFile() as given:
            given.write(input.encode() if isinstance(input, str) else input or b"")
            given.seek(0)
            return Running(argv, subprocess.Popen(command, stdin=given, stdout=files[0], stderr=files[1]), files)

    # ---- files

    def exists(self, path: str) -> bool:
        """Whether there is something at a path, be it a broken link."""
        return self.run("sh", "-c", 'test -e "$1" || test -L "$1"', "sh", path).exit_code == 0

    def read(self, path: str) -> str:
        """Return a file's text; raises `LabError` when it cannot be read."""
        return self.run("cat", path, check=True).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, making the folders it needs."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", input=text, check=True)

    def put(self, source: Path, destination: str) -> None:
        """Copy a file or a folder into the machine under the name `destination`."""
        packed = subprocess.run(
            ("tar", "-C", str(source.parent), "--exclude-caches", "-c", source.name), capture_output=True, check=True
        )
        script = (
            'set -e; d="$(dirname "$1")"; mkdir -p "$d"; t="$(mktemp -d "$d/.put.XXXXXX")"; '
            'tar -x --no-same-owner -C "$t"; rm -rf "$1"; mv "$t/$2" "$1"; rmdir "$t"'
        )
        self.run("sh", "-c", script, "sh", destination, source.name, input=packed.stdout, check=True)

    def trust(self, certificate: str) -> None:
        """Add a certificate authority to those the machine trusts."""
        self.write("/usr/local/share/ca-certificates/lab.crt", certificate)
        self.run("sh", "-c", f"cat >>{TRUST}", input=certificate, check=True)

    def name_address(self, name: str, address: str) -> None:
        """Let a name mean an address in the machine."""
        self.run(
            "sh", "-c", f"sed -i '/ {name}$/d' /etc/hosts 2>/dev/null; cat >>/etc/hosts", input=f"{address} {name}\n"
        )

    def snapshot(self, *, folders: tuple[str, ...] = ("/etc", "/usr/share/keyrings")) -> MachineState:
        """Look at the machine as it is now; the content of everything below `folders` is compared."""
        listing = ("systemctl", "--root=/", "list-unit-files", "--plain", "--no-legend", "--no-pager")
        installed = self.exists("/usr/bin/systemctl")
        return MachineState(
            packages=state.packages(self.run("dpkg-query", "-W", "-f", state.QUERY, check=True).stdout),
            held=state.names(self.run("apt-mark", "showhold", check=True).stdout),
            automatic=state.names(self.run("apt-mark", "showauto", check=True).stdout),
            files=state.files(Path(f"/proc/{self.leader}/root"), folders),
            units=state.units(self.run(*listing, check=True).stdout) if installed else (),
        )

    # ---- life

    def boot(self) -> None:
        """Start it; returns when systemd says that it runs, or, without systemd, when process 1 is there."""
        self._mount()
        for group in groups(self.name):
            (group / "commands").mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                joining(self.name, "", self._nspawn()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # ctrl-C is for pytest, which then takes the machine down in order
                env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"),
            )
        self._remember()
        if not until(self._born, 20) or not until(self._ready, 60):
            log_end = (self.folder / "log").read_text(errors="replace")[-1500:]
            raise LabError(f"{self.name} did not come up: {self._complaint()}\n{log_end}")

    def stop(self) -> None:
        """Shut it down in order; what it wrote stays."""
        if self._keeper is None:
            return
        if self.systemd:
            self.run("systemctl", "poweroff", "--no-wall", timeout=30)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(120)
        self.cut()

    def cut(self) -> None:
        """Pull the plug: end every process at once; what it wrote stays."""
        if self._keeper is not None:
            end(self._keeper.pid)
            self._keeper.wait(20)
        self._keeper, self.leader = None, 0
        remove_groups(self.name)
        call("umount", "--lazy", str(self.folder / "root"), check=False)

    def reboot(self) -> None:
        """Shut down in order and boot again."""
        self.stop()
        self.boot()

    def down(self) -> None:
        """End it and remove every trace."""
        self.cut()
        self.network.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.network.free()

    def _mount(self) -> None:
        root = self.folder / "root"
        for folder in (root, self.upper, self.folder / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self.lower)
        options = f"lowerdir={lower},upperdir={self.upper},workdir={self.folder / 'work'}"
        call("mount", "-t", "overlay", "overlay", "-o", options, str(root))
        (root / "etc/hostname").write_text(f"{self.hostname}\n")
        hosts = root / "etc/hosts"
        old = hosts.read_text().splitlines() if self.upper.joinpath("etc/hosts").exists() else ["127.0.0.1 localhost"]
        kept = [line for line in old if not line.endswith(f" {self.hostname}")]
        hosts.write_text("\n".join([*kept, f"{self.address} {self.hostname}"]) + "\n")

    def _nspawn(self) -> tuple[str, ...]:
        resolver = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
        stub = re.search(r"^nameserver\s+127\.", resolver, re.MULTILINE)
        return (
            *("systemd-nspawn", "--quiet", "-D", str(self.folder / "root"), "-M", self.name, "--register=no"),
            *("--keep-unit", f"--network-namespace-path=/run/netns/{self.name}", f"--hostname={self.hostname}"),
            f"--resolv-conf={'copy-uplink' if stub else 'copy-host'}",
            *(("--boot",) if self.systemd else ("sleep", "infinity")),
        )

    def _remember(self) -> None:
        """Write down who made this machine, for whoever finds it without its maker."""
        keeper = self._keeper.pid if self._keeper else 0
        facts = {"owner": os.getpid(), "owner_started": started(os.getpid()), "keeper": keeper}
        facts["keeper_started"] = started(keeper)
        (self.folder / "state.json").write_text(json.dumps(facts))

    def _born(self) -> bool:
        found = children(self._keeper.pid) if self._keeper else ()
        self.leader = found[0] if found else 0
        program = "systemd" if self.systemd else "sleep"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return bool(self.leader) and Path(f"/proc/{self.leader}/comm").read_text().strip() == program
        return False

    def _ready(self) -> bool:
        if not self.systemd:
            return True
        if not Path(f"/proc/{self.leader}/root/run/systemd/private").exists():
            return False
        return self.run("systemctl", "is-system-running").stdout.strip() == "running"

    def _complaint(self) -> str:
        if not self.leader:
            return "no process 1"
        return self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout


def groups(name: str) -> tuple[Path, ...]:
    """Return the cgroups of a machine, the one of version 2 last."""
    top = Path("/sys/fs/cgroup")
    mixed = tuple(top / version / name for version in ("systemd", "unified") if (top / version).is_dir())
    return mixed or (top / name,)


def joining(name: str, below: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command that first puts itself into a machine's cgroup: there it is counted, and ended."""
    script = 'for g in $1; do echo $$ >"$g/cgroup.procs" || exit 125; done; shift; exec "$@"'
    return ("sh", "-c", script, "sh", " ".join(f"{group}{below}" for group in groups(name)), *argv)


def remove_groups(name: str) -> None:
    """Remove a machine's cgroups; they are empty a moment after its processes are gone."""
    for group in groups(name):
        until(lambda group=group: _removed(group), 5)  # type: ignore[misc]


def end(keeper: int) -> None:
    """End a machine by the process that keeps it: process 1 first, and with it everything inside."""
    for leader in children(keeper):
        kill(leader)
    if not until(lambda: not children(keeper), 10, 0.05):
        raise LabError(f"process 1 under {keeper} does not end")
    if not until(lambda: started(keeper) is None, 3, 0.05):
        kill(keeper)


def _text(file: IO[bytes]) -> str:
    """Read a file from its beginning without moving the place its writers are at."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
