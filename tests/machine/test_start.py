"""A broker where nothing looks after services: in the background, and as the command of a container."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from broker import NODE_LOG, boots, envelope, rmqsetup
from lab.system import until

from rmqsetup.services import OPEN_FILES

pytestmark = pytest.mark.machine

READY = "completed with"
"""What a node says on its standard output when it has booted."""

HUGE = 1_048_576
"""More than any limit of ours, and what a kernel allows unless it was told otherwise (fs.nr_open)."""

LISTENER = """
import socket, time
taken = socket.create_server(("", 5672))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def machine(lab, tool, request):
    """A machine whose process 1 is no init, with a RabbitMQ that was never started. Every test leaves no node."""
    booted = lab.machine(request.param, layers=tool.layers(), systemd=False)
    done = rmqsetup(booted, "install", "--source", "distro", "--no-start", "--no-recommends", "--yes")
    assert "rmqsetup start --foreground" in done.stdout, "an install says what a container's command is to be"
    yield booted
    lab.remove(booted)


@dataclass(frozen=True)
class Process:
    """A process as the machine sees it; `rss` in MB, `space` is its PID namespace."""

    pid: int
    parent: int
    user: str
    state: str
    rss: int
    space: str
    line: str


def processes(machine) -> list[Process]:
    """Return every process that is not of this look itself, zombies that the machine's own process 1 leaves aside."""
    text = machine.run("ps", "-eo", "pid=,ppid=,user=,state=,rss=,pidns=,args=", check=True).stdout
    rows = (line.split(None, 6) for line in text.splitlines())
    every = [Process(int(r[0]), int(r[1]), r[2], r[3], int(r[4]) // 1024, r[5], r[6]) for r in rows]
    return [each for each in every if "ps -eo" not in each.line and not (each.parent == 1 and each.state == "Z")]


def erlang(machine) -> list[str]:
    """Return the processes of any node, epmd included."""
    return [each.line for each in processes(machine) if re.search(r"beam|epmd|erl_child|rabbit", each.line)]


def node(machine) -> Process:
    return next(each for each in processes(machine) if "beam.smp" in each.line)


def limits(machine, pid: int) -> tuple[int, int]:
    """Return how many files a process may have open."""
    found = re.search(r"Max open files +(\d+) +(\d+)", machine.read(f"/proc/{pid}/limits"))
    assert found
    return int(found[1]), int(found[2])


@pytest.fixture
def start(machine):
    """Return a function that runs the node in the foreground; whatever a failing test leaves running is ended."""
    begun = []

    def begin(*words, **options):
        begun.append(Foreground(machine, *words, **options))
        return begun[-1]

    yield begin
    for run in begun:
        if run.running.process.poll() is None:
            run.running.kill_tree()
            run.running.finish(20)


class Foreground:
    """`rmqsetup start --foreground` under way, as process 1 of a PID namespace as in a container, or as any process."""

    def __init__(self, machine, *words, first=True, before=()):
        around = ("unshare", "--pid", "--fork", "--mount-proc") if first else ()
        self.machine = machine
        self.running = machine.popen(*before, *around, "rmqsetup", "start", "--foreground", *words)

    def ready(self):
        """Wait until the node has booted."""
        assert until(lambda: READY in "".join(self.running.output()) or self.running.process.poll() is not None, 60)
        assert READY in "".join(self.running.output()), "".join(self.running.output())
        return self

    @property
    def pid(self) -> int:
        """The number of rmqsetup itself, as the machine sees it."""
        return next(
            each.pid
            for each in processes(self.machine)
            if each.line.startswith("/usr/bin/python3 /usr/local/bin/rmqsetup start")
        )

    def send(self, name: str) -> None:
        self.machine.run("kill", f"-{name}", str(self.pid), check=True)

    def stop(self, name: str = "TERM"):
        """Stop it, and hold it to a stop in order within seconds that leaves no process."""
        self.send(name)
        return self.finish()

    def finish(self, code: int = 0):
        done = self.running.finish(20)
        assert done.exit_code == code, str(done)
        assert erlang(self.machine) == []
        return done


@pytest.mark.parametrize("first", [True, False], ids=["as-process-1", "as-any-process"])
def test_the_node_in_the_foreground(machine, start, first):
    before = machine.read(NODE_LOG) if machine.exists(NODE_LOG) else ""
    run = start(first=first).ready()
    rmqsetup(machine, "verify")
    beam, ours = node(machine), run.pid
    family = processes(machine)
    assert beam.user == "rabbitmq"
    assert {each.user for each in family if each.space == beam.space and re.search("erl|epmd", each.line)} == {
        "rabbitmq"
    }
    epmd = next(each for each in family if "epmd -daemon" in each.line)
    assert epmd.parent == ours, "what the node left behind is a child of ours, to be reaped"
    assert next(each for each in family if each.pid == ours).rss < 40
    assert beam.rss < 200
    done = run.stop()
    assert READY in done.stdout
    assert "was stopped by SIGTERM" in done.stderr
    after = machine.read(NODE_LOG).removeprefix(before)
    assert "stopped TCP listener on [::]:5672" in after
    assert after.rstrip().endswith("is stopped"), "its last words are those of a message store that was closed"


@pytest.mark.parametrize("name", ["INT", "HUP"])
def test_other_signals_stop_it_in_order_too(start, name):
    done = start().ready().stop(name)
    assert f"was stopped by SIG{name}" in done.stderr


def test_orphans_are_reaped(machine, start):
    """As process 1, and as the nearest of those that adopt."""
    for first in (True, False):
        run = start(first=first).ready()
        if first:
            machine.run("nsenter", "-t", str(run.pid), "-p", "-m", "sh", "-c", "for n in 1 2 3; do (sleep 0.3 &); done")
        space = node(machine).space
        assert until(lambda: not [e for e in processes(machine) if "sleep 0.3" in e.line], 10)
        assert not [each for each in processes(machine) if each.space == space and each.state == "Z" and first]
        run.stop()


def test_a_node_that_is_shut_down_from_inside_ends_the_command_well(machine, start):
    """As docker exec would: who asks is in the container, and is ended with it."""
    run = start().ready()
    machine.run("nsenter", "-t", str(run.pid), "-p", "-m", "rabbitmqctl", "-q", "shutdown", timeout=60)
    assert "was stopped after" in run.finish().stderr


def test_a_node_that_is_killed_ends_the_command_with_its_exit_code(machine, start):
    run = start("--output", "json").ready()
    machine.run("kill", "-KILL", str(node(machine).pid), check=True)
    done = run.finish(137)
    answer = json.loads(done.stdout)
    assert (answer["exit_code"], answer["status"]) == (137, "failed")
    assert answer["data"]["ended"]["stopped_by"] == ""
    assert READY in done.stderr, "standard output is the answer's"


def test_a_node_that_cannot_boot_says_why(machine, start):
    conf = "/etc/rabbitmq/rabbitmq.conf"
    machine.write(conf, "no_such_setting = 1\n")
    try:
        run = start()
        done = run.running.finish(60)
        assert done.exit_code not in (0, 8), str(done)
        assert f"ended with exit code {done.exit_code}" in done.stderr
        assert "no_such_setting" in done.stdout + done.stderr
        assert erlang(machine) == []
    finally:
        machine.run("rm", "-f", conf)


def test_a_limit_of_open_files_is_that_asked_for_or_left_alone(machine, start):
    run = start("--open-files", "4096").ready()
    asked = limits(machine, node(machine).pid)
    run.stop()
    assert asked == (4096, 4096)
    refused = rmqsetup(machine, "start", "--foreground", "--open-files", "2000000000", code=3)
    assert "docker run --ulimit" in refused.stderr
    usual = machine.run("sh", "-c", "ulimit -Sn; ulimit -Hn", check=True).stdout.split()
    run = start().ready()
    left = limits(machine, node(machine).pid)
    run.stop()
    assert left == tuple(min(int(number), OPEN_FILES) for number in usual)


def test_a_huge_limit_of_open_files_is_lowered(machine, start):
    raising = ("prlimit", f"--nofile={HUGE}:{HUGE}")
    if machine.run(*raising, "true").exit_code:
        pytest.skip("this machine may not raise the limit of open files (CAP_SYS_RESOURCE), so it has no huge one")
    run = start(before=raising).ready()
    lowered, beam = limits(machine, node(machine).pid), node(machine)
    done = run.stop()
    assert lowered == (OPEN_FILES, OPEN_FILES)
    assert beam.rss < 200
    assert f"instead of {HUGE}" in done.stderr


def test_what_the_cap_is_for(machine, start):
    """Erlang's table of ports, which a limit of a billion would make this large: the number that `OPEN_FILES` names."""
    sizes = []
    for entries in (OPEN_FILES, 134_217_727):
        run = start(before=("env", f"ERL_FLAGS=+Q {entries}")).ready()
        sizes.append(node(machine).rss)
        run.stop()
    assert sizes[0] < 200
    assert sizes[1] > 1500


def test_in_the_background_and_what_stands_in_the_way(machine):
    taken = machine.popen("python3", "-c", LISTENER)
    try:
        assert until(lambda: "held" in taken.output()[0], 20)
        for words in (("start",), ("start", "--foreground")):
            refused = rmqsetup(machine, *words, code=8)
            assert "port 5672 is taken" in refused.stderr
            assert "python3 (process" in refused.stderr
    finally:
        taken.kill()
        taken.finish()
    assert erlang(machine) == []

    booted = boots(machine) if machine.exists(NODE_LOG) else 0
    assert envelope(machine, "start")["status"] == "changed"
    rmqsetup(machine, "verify")
    assert envelope(machine, "start")["status"] == "unchanged"
    assert boots(machine) == booted + 1
    refused = envelope(machine, "start", "--foreground", code=9)
    assert "is running already" in refused["errors"][0]["message"]
    assert "rabbitmqctl stop" in refused["errors"][0]["hint"]
    machine.run("rabbitmqctl", "-q", "stop", check=True, timeout=60)  # shutdown would wait for somebody to reap it
    assert until(lambda: [line for line in erlang(machine) if "epmd" not in line] == [], 20)
    machine.run("epmd", "-kill", check=True)
    assert until(lambda: erlang(machine) == [], 10)


def test_the_user_rabbitmq_needs_no_root(machine, start):
    become = ("setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--init-groups", "env", "HOME=/nonexistent")
    run = start(first=False, before=become).ready()
    assert node(machine).user == "rabbitmq"
    run.stop()


def test_a_machine_without_rabbitmq(boot, tool):
    machine = boot("trixie", layers=tool.layers(), systemd=False)
    for words in (("start",), ("start", "--foreground")):
        assert envelope(machine, *words, code=2)["errors"][0]["hint"] == "rmqsetup install"
