"""Record what rpm, dnf and zypper answer on the lab's machines, when all is well and when something is not.

    .venv/bin/python tests/data/transcripts/rpm/record.py el9 el10 fedora43 leap16

Needs what tests on machines need, and takes some minutes for each. What the answers mean is in test_managers_rpm.py.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[3]), str(HERE.parents[2])]

from lab import rpm_roots, rpms, yum  # noqa: E402
from lab.laboratory import Lab  # noqa: E402
from lab.machines import TIMED_OUT, Machine  # noqa: E402
from lab.mirror import Fault, Mirror  # noqa: E402
from lab.trust import Trust  # noqa: E402
from lab.yum import Flaw  # noqa: E402

from rmqsetup.host import Command  # noqa: E402
from rmqsetup.managers import Manager, Package, Wish, manager  # noqa: E402

SERVER = "rabbitmq-server"


def pair(rabbitmq: str, erlang: str) -> tuple[Package, ...]:
    return Package(SERVER, rabbitmq), Package("erlang", erlang)


NOW, OLDER = pair(*rpms.NOW), pair(*rpms.OLDER)
WISH = Wish(install=NOW, lock_timeout=2)
FAULTS: tuple[tuple[str, Enum, int], ...] = (
    *((flaw.value, flaw, 200) for flaw in Flaw),
    *((f"status-{status}", Fault.STATUS, status) for status in (404, 403, 500)),
    ("page", Fault.HTML, 200),
    ("half", Fault.HALF, 200),
    ("refused", Fault.REFUSE, 200),
    ("hang", Fault.HANG, 200),
)


@dataclass
class Recorder:
    """One machine and what it answered."""

    machine: Machine
    yum: yum.Yum
    its: Manager
    flavour: rpm_roots.Flavour
    answers: list[dict[str, object]] = field(default_factory=list)

    @property
    def is_zypper(self) -> bool:
        return self.flavour.manager == "zypper"

    def ask(self, case: str, what: str, *commands: Command, user: str = "", limit: float = 0) -> None:
        """Run commands up to the first that fails, and keep the answers."""
        for command in commands:
            # the same commands, only less patient with what is meant to fail
            argv = tuple({"--setopt=timeout=20": "--setopt=timeout=3"}.get(word, word) for word in command.argv)
            env = ("LC_ALL=C.UTF-8", *(f"{name}={value}" for name, value in command.env))
            wait = limit or command.timeout
            done = self.machine.run(*argv, input=command.stdin, env=env, timeout=wait, user=user)
            late = f"\nended after {wait:g} seconds without an answer" if done.exit_code == TIMED_OUT else ""
            kept = {"case": case, "what": what, "exit_code": done.exit_code}
            self.answers.append(kept | {"stdout": done.stdout, "stderr": done.stderr + late})
            print(f"  {case} {what}: {done.exit_code} ({done.seconds:.1f} s)", flush=True)
            if done.exit_code:
                break

    def attempt(self, case: str, wish: Wish = WISH) -> None:
        """Go the way an installation goes."""
        limit = 25 if case == "hang" else 0
        self.ask(case, "refresh", self.its.refresh(2), limit=limit)
        if self.answers[-1]["exit_code"] == 0:
            self.ask(case, "simulate", self.its.simulate(wish))
            self.ask(case, "install", *self.its.carry_out(wish))
        self.ask(case, "list", self.its.list_command())

    def reset(self) -> None:
        """Take the packages away, and what the manager remembers of repositories."""
        for name in (SERVER, "erlang", "logrotate"):
            self.machine.run("rpm", "-e", "--nodeps", name)
        clean = ("zypper", "clean", "-a") if self.is_zypper else ("dnf", "clean", "all")
        self.machine.run(*clean)

    @contextlib.contextmanager
    def busy(self, *argv: str) -> Iterator[None]:
        """Let something else run meanwhile."""
        running = self.machine.popen(*argv)
        self.machine.run("sleep", "1.5")
        yield
        running.kill_tree()
        running.finish(10)


def record(name: str, trust: Trust) -> None:
    """Make a machine of one flavour, and write what it answered."""
    flavour = rpm_roots.flavour(name)
    with Lab() as lab:
        packages = rpms.layer(lab, flavour.suite, trust)
        layers = rpm_roots.layers(lab, flavour, packages, trust)
        machine = lab.machine(flavour.suite, layers=layers, isolated=True)
        stocks = yum.YumStock(trust, packages), yum.SystemStock(trust, packages)
        served = yum.Yum(machine, *stocks)
        recorder = Recorder(machine, served, manager("zypper" if flavour.manager == "zypper" else "dnf"), flavour)
        served.configure()
        well(recorder)
        for case, fault, status in FAULTS:
            recorder.reset()
            expired = {
                Flaw.EXPIRED: (trust.expired, trust.repository),
                Flaw.REPOMD_EXPIRED: (trust.good, trust.expired),
            }
            if fault in expired:
                forget_keys(recorder)
                served.configure(keys=expired[fault])
            served.trouble(fault, status=status)
            recorder.attempt(case)
            served.repair()
            if fault in expired:
                served.configure()
        one_mirror(recorder)
        locks(recorder)
        machine_faults(recorder)
        own(recorder, yum.SystemStock(trust, packages, old=True))
        untrusted(recorder)
        files(recorder)
        tool = machine.run(
            "sh", "-c", f"{'zypper' if recorder.is_zypper else 'dnf'} --version | head -n 1; rpm --version"
        )
        served.close()
    text = {"flavour": name, "tools": tool.stdout.split("\n")[:2], "date": f"{datetime.now(timezone.utc):%Y-%m-%d}"}
    first = recorder.answers[0]
    system = tuple(line for line in str(first["stdout"]).splitlines() if line.startswith("package"))
    answers = [
        {key: tidied(value, system if answer is not first else ()) for key, value in answer.items()}
        for answer in recorder.answers
    ]
    (HERE / f"{name}.json").write_text(json.dumps(text | {"answers": answers}, indent=1) + "\n")


def tidied(value: object, known: tuple[str, ...]) -> object:
    """Take away what is only noise: the ends of lines of tables, and what the first list said already."""
    if not isinstance(value, str):
        return value
    return "\n".join(line.rstrip(" ") for line in value.split("\n") if line not in known)


def well(r: Recorder) -> None:
    """Everything that happens where nothing is wrong, and wishes that cannot be granted."""
    its, names = r.its, (SERVER, "erlang")
    r.ask("bare", "list", its.list_command())
    r.ask("install", "refresh", its.refresh(2))
    r.ask("install", "simulate", its.simulate(replace(WISH, install=OLDER)))
    r.ask("install", "install", *its.carry_out(replace(WISH, install=OLDER)))
    r.ask("install", "list", its.list_command())
    r.ask("idle", "simulate", its.simulate(replace(WISH, install=OLDER)))
    r.ask("hold", "hold", its.hold(names))
    r.ask("hold", "list", its.list_command())
    r.ask("hold", "simulate", its.simulate(WISH))
    r.ask("hold", "install", *its.carry_out(WISH))
    r.ask("hold", "release", its.release(names))
    r.ask("release", "list", its.list_command())
    if r.flavour.manager == "dnf4":
        r.machine.run("dnf", "-y", "install", "python3-dnf-plugin-versionlock", check=True)
        r.ask("versionlock", "hold", its.hold(names))
        r.ask("versionlock", "list", its.list_command())
        r.ask("versionlock", "simulate", its.simulate(WISH))
        r.ask("versionlock", "install", *its.carry_out(WISH))
        r.ask("versionlock", "release", its.release(names))
        r.ask("unlocked", "list", its.list_command())
    r.ask("upgrade", "simulate", its.simulate(WISH))
    r.ask("upgrade", "install", *its.carry_out(WISH))
    r.ask("upgrade", "list", its.list_command())
    r.ask("downgrade", "simulate", its.simulate(replace(WISH, install=OLDER, downgrade=True)))
    r.ask("unasked-downgrade", "simulate", its.simulate(replace(WISH, install=OLDER)))
    r.ask("downgrade", "install", *its.carry_out(replace(WISH, install=OLDER, downgrade=True)))
    r.ask("mixed", "simulate", its.simulate(Wish(install=(NOW[1],), purge=(SERVER,))))
    r.ask("dependent", "simulate", its.simulate(Wish(purge=("erlang",))))
    r.ask("again", "install", its.complete(replace(WISH, install=OLDER)))
    r.ask("remove", "simulate", its.simulate(Wish(purge=(*names, "logrotate"))))
    r.ask("remove", "install", *its.carry_out(Wish(purge=(*names, "logrotate"))))
    r.ask("removed", "list", its.list_command())
    r.ask("any", "simulate", its.simulate(Wish(install=(Package(SERVER),))))
    r.ask("unknown-version", "simulate", its.simulate(Wish(install=(Package(SERVER, "9.9.9-1.el8"), OLDER[1]))))
    r.ask("unknown-package", "simulate", its.simulate(Wish(install=(Package("no-such-package"),))))
    r.ask("both-named", "simulate", its.simulate(Wish(install=(Package(SERVER), Package("erlang")))))


def one_mirror(r: Recorder) -> None:
    """One of the two does not answer."""
    r.reset()
    r.yum.yum1.trouble(Fault.REFUSE)
    r.attempt("one-mirror")
    r.yum.repair()


def locks(r: Recorder) -> None:
    """Somebody else is at work."""
    r.reset()
    r.ask("rpm-locked", "refresh", r.its.refresh(2))
    held = "import fcntl,time; f=open('/var/lib/rpm/.rpm.lock','w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(60)"
    with r.busy("python3", "-c", held):
        r.ask("rpm-locked", "install", *r.its.carry_out(WISH), limit=30)
    if r.flavour.manager == "dnf5":
        return  # it waits without a word and without an end
    r.reset()
    r.yum.trouble(Fault.HANG)
    with r.busy("zypper", "refresh") if r.is_zypper else r.busy("dnf", "-y", "makecache"):
        r.ask("other-at-work", "install", *r.its.carry_out(WISH), limit=10)
    r.yum.repair()


def machine_faults(r: Recorder) -> None:
    """The machine itself cannot."""
    r.reset()
    r.ask("not-root", "refresh", r.its.refresh(2))
    r.machine.run("useradd", "-m", "guest")
    bare = r.its.carry_out(WISH)[0].argv
    r.ask("not-root", "install", Command(bare[bare.index("--") + 1 :]), user="guest")
    r.machine.run(
        "sh", "-c", "mkdir -p /usr/share/erlang; mount -t tmpfs -o size=4k tmpfs /usr/share/erlang", check=True
    )
    r.machine.run("sh", "-c", "yes >/usr/share/erlang/full")
    r.ask("disk-full", "install", *r.its.carry_out(WISH))
    r.machine.run("umount", "/usr/share/erlang", check=True)
    cache = (
        "/var/cache/zypp/packages"
        if r.is_zypper
        else "/var/cache/libdnf5"
        if r.flavour.manager == "dnf5"
        else "/var/cache/dnf"
    )
    r.reset()
    r.machine.run("sh", "-c", f"mkdir -p {cache}; mount -t tmpfs -o size=4k tmpfs {cache}; yes >{cache}/full")
    r.ask("cache-full", "refresh", r.its.refresh(2))
    r.ask("cache-full", "install", *r.its.carry_out(WISH))
    r.machine.run("umount", cache, check=True)


def own(r: Recorder, old: yum.SystemStock) -> None:
    """The distribution has packages of its own."""
    r.reset()
    r.yum.system.close()
    r.yum.system = Mirror(r.machine.network.gateway, old, tls=False)
    r.yum.trouble(Fault.REFUSE)
    anything = Wish(install=(Package(SERVER),))
    r.ask("own", "refresh", r.its.refresh(2))
    r.ask("own", "simulate", r.its.simulate(anything))
    r.ask("own", "install", *r.its.carry_out(WISH))
    r.yum.repair()
    r.machine.run("rpm", "-e", "--nodeps", SERVER, "erlang")
    r.ask("own-first", "install", *r.its.carry_out(Wish(install=pair(*rpms.OWN))))
    r.ask("own-first", "list", r.its.list_command())
    r.ask("own-first", "simulate", r.its.simulate(WISH))
    r.ask("vendor-change", "install", *r.its.carry_out(WISH))
    r.ask("vendor-change", "list", r.its.list_command())


def untrusted(r: Recorder) -> None:
    """The machine does not know who signed the server's certificate, then not where the server is."""
    r.reset()
    forget = "rm /usr/local/share/ca-certificates/lab.crt; update-ca-certificates --fresh"
    r.machine.run("sh", "-c", forget, check=True)
    r.attempt("unknown-authority")
    r.machine.run("sed", "-i", "/rabbitmq.com/d", "/etc/hosts")
    r.attempt("unknown-name")


def files(r: Recorder) -> None:
    """A .repo file that is none."""
    place = f"{r.flavour.repositories}/rabbitmq.repo"
    r.machine.write(place, "[rabbitmq]\nname=rabbitmq\nenabled=1\n")
    r.ask("no-address", "refresh", r.its.refresh(2))
    r.machine.write(place, "<!doctype html>\n<html><body>Log in</body></html>\n")
    r.ask("file-is-page", "refresh", r.its.refresh(2))
    r.ask("file-is-page", "simulate", r.its.simulate(WISH))


def forget_keys(r: Recorder) -> None:
    """Let rpm forget every key but the distribution's."""
    forget = "for key in $(rpm -qa 'gpg-pubkey*'); do rpm -e --allmatches $key; done"
    r.machine.run("sh", "-c", f"{forget}; rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-lab", check=True)


if __name__ == "__main__":
    keys = Trust("rsa2048")
    try:
        for wanted in sys.argv[1:]:
            record(wanted, keys)
    finally:
        keys.close()
