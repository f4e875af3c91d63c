"""One program as the command of a container: signals, orphans, exit codes. Each run is in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans come to a parent of their own on Linux alone")

ROOT = Path(__file__).resolve().parents[1]
RUNNER = """
import json, os, sys
from rmqsetup.hosts import foreground
argv, options, spared = json.loads(sys.argv[1])
limits = options.pop("limits", None)
program = foreground.Program(tuple(argv), limits=limits and foreground.Limits(*limits), **options)
ended = foreground.run(program, output=2, spared=lambda name: name in spared)
print(json.dumps([ended.exit_code, ended.stopped_by]))
"""
POLITE = 'trap "echo asked; exit 0" TERM; echo ready; while :; do sleep 0.05; done'


class Run:
    """A program in the foreground of a process of its own; what it says is in `said`."""

    def __init__(self, tmp_path, script, *, spared=(), ignored="", **options):
        self.file = tmp_path / "said"
        ignoring = f'trap "" {ignored}; ' if ignored else ""
        words = json.dumps((["sh", "-c", script], {"directory": str(tmp_path), **options}, list(spared)))

        with self.file.open("wb") as said:
            self.process = subprocess.Popen(
                ("sh", "-c", f'{ignoring}exec "$@"', "sh", sys.executable, "-c", RUNNER, words),
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    @property
    def said(self) -> str:
        return self.file.read_text()

    def ready(self, word: str = "ready") -> Run:
        deadline = time.monotonic() + 20
        while word not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.01)
        return self

    def ended(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.said
        code, by = json.loads(out)
        return code, by


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_each_signal_stops_the_program_in_order(tmp_path, name):
    run = Run(tmp_path, POLITE).ready()
    run.process.send_signal(signal.Signals[name])
    assert run.ended() == (0, name)
    assert run.said == "ready\nasked\n"


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 69", 69), ("kill -KILL $$", 137)])
def test_the_exit_code_is_that_of_the_program(tmp_path, script, code):
    assert Run(tmp_path, script).ended() == (code, "")


def test_a_program_that_did_not_hear_the_signal_politely_has_stopped_all_the_same(tmp_path):
    run = Run(tmp_path, "echo ready; exec sleep 60").ready()
    run.process.terminate()
    assert run.ended() == (0, "SIGTERM")


def test_a_program_that_fails_while_it_stops_says_so(tmp_path):
    run = Run(tmp_path, POLITE.replace("exit 0", "exit 3")).ready()
    run.process.terminate()
    assert run.ended() == (3, "SIGTERM")


def test_a_second_signal_is_passed_on_too(tmp_path):
    script = (
        'n=0; trap "n=\\$((n+1)); echo asked \\$n" TERM; echo ready; while [ $n -lt 2 ]; do sleep 0.05; done; exit 5'
    )
    run = Run(tmp_path, script).ready()
    run.process.terminate()
    run.ready("asked 1").process.send_signal(signal.SIGINT)
    assert run.ended() == (5, "SIGTERM")


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path):
    run = Run(tmp_path, POLITE, ignored="HUP").ready()
    run.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert run.process.poll() is None
    run.process.terminate()
    assert run.ended() == (0, "SIGTERM")


def test_a_signal_that_comes_first_is_kept(tmp_path):
    """Sent as early as can be, again and again: the program ends, and never without having been asked."""
    for delay in (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2):
        run = Run(tmp_path, POLITE)
        time.sleep(delay)
        run.process.terminate()
        out, _ = run.process.communicate(timeout=30)
        assert run.process.returncode in (0, -signal.SIGTERM)  # the latter before we are there at all
        assert not out or json.loads(out) == [0, "SIGTERM"]


def children(pid: int) -> list[tuple[str, str]]:
    """Return name and state of the children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = stat.read_text().rpartition(")")
            state, parent, *_ = tail.split()
            found += [(head.partition("(")[2], state)] if parent == str(pid) else []
    return found


def test_orphans_are_reaped_while_it_runs(tmp_path):
    orphans = "for n in 1 2 3; do (sh -c 'sleep 0.1 & sleep 0.2 &' &); done; sleep 1;" + POLITE
    run = Run(tmp_path, orphans).ready()
    ((name, state),) = children(run.process.pid)
    assert name == "sh"
    assert state in ("S", "D", "R"), "an orphan was not reaped"
    run.process.terminate()
    assert run.ended() == (0, "SIGTERM")


def test_what_was_left_behind_is_ended_stubborn_or_not(tmp_path):
    stubborn = '(trap "" TERM; while :; do sleep 0.1; done) & (setsid sleep 61 &); (setsid sh -c "sleep 62; :" &)'
    run = Run(tmp_path, f"{stubborn}; echo ready; exit 4")
    assert run.ended() == (4, "")
    assert not [line for line in processes() if line.startswith(("sleep 61", "sleep 62", "sh -c sleep 62"))]


def test_what_is_spared_goes_on(tmp_path):
    run = Run(tmp_path, "cp $(command -v sleep) spared; (./spared 63 &); sleep 0.2; exit 0", spared=("spared",))
    assert run.ended() == (0, "")
    found = [pid for pid, line in numbered() if line.startswith("./spared 63")]
    assert len(found) == 1
    os.kill(found[0], signal.SIGKILL)


def test_environment_directory_umask_and_limits(tmp_path):
    script = "echo $WHO; pwd; umask; ulimit -Sn; ulimit -Hn"
    run = Run(tmp_path, script, env=[["WHO", "me"]], umask=0o027, limits=[100, 200])
    assert run.ended() == (0, "")
    assert run.said.split() == ["me", str(tmp_path), "0027", "100", "200"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_it_runs_as_its_own_user_with_its_groups(tmp_path):
    run = Run(tmp_path, "id -un; id -Gn", user="games", directory="/")
    assert run.ended() == (0, "")
    assert run.said.split()[0] == "games"
    assert "root" not in run.said


@pytest.mark.parametrize(
    ("options", "said"),
    [({"directory": "/nowhere"}, "/nowhere"), ({"user": "nobody-of-that-name"}, "there is no user")],
)
def test_what_cannot_be_run_says_why(tmp_path, options, said):
    run = Run(tmp_path, "exit 0", **options)
    run.process.wait(30)
    run.process.stdout.close()
    assert "BrokerNotReadyError" in run.said
    assert said in run.said or "/nowhere" in run.said


def numbered() -> list[tuple[int, str]]:
    """Return number and command line of every process."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append((int(file.parent.name), file.read_text(errors="replace").replace("\0", " ")))
    return found


def processes() -> list[str]:
    return [line for _, line in numbered()]
