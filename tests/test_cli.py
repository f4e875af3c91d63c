"""Commands from words to result on a made-up machine: screens, envelopes, exit codes, mistakes, secrets."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offers import Asking
from pretending import Machine
from reference import reference
from screens import stored

from rmqsetup import cli, launch, pipeline, versions
from rmqsetup.cli import app, elevation, reading
from rmqsetup.cli.options import COMMANDS, command
from rmqsetup.cli.session import Session
from rmqsetup.cli.words import Words
from rmqsetup.errors import INTERRUPTED, NetworkError, RmqsetupError, UsageError
from rmqsetup.host import Command, Result
from rmqsetup.hosts import foreground
from rmqsetup.probes.ports import Taken
from rmqsetup.show.terminal import Terminal
from rmqsetup.verification import Rung, Verdict, Verification

ROOT = Path(__file__).resolve().parents[1]
NAMES = tuple(each.name for each in COMMANDS)
LAST_WORDS = "2026-05-01 10:00:00.000000+00:00 [error] <0.1.0> Conf file attempted to set unknown variable: foo.bar\n"
LADDER = ("packages", "service", "node", "listeners", "login", "messages")


class Out(io.StringIO):
    """A stream that a command writes to."""


class Desk:
    """A machine, a terminal, a state folder: what a command works with."""

    def __init__(self, tmp_path: Path, *, fails: str = "") -> None:
        self.host = Machine(fails=fails)
        self.state = tmp_path / "state"
        self.root = True
        self.out = self.err = ""

    def type(self, line: str, *, answers: str = "", colour: bool = False) -> int:
        """Carry out a command line; `answers` are what the user types."""
        out, err = Out(), Out()
        words = reading.read(tuple(shlex.split(line)))
        assert words is not None, f"not a plain line: {line}"
        terminal = Terminal(out, err, can_ask=bool(answers), quiet=words.quiet, colour=colour, colours=colour)
        before, sys.stdin = sys.stdin, io.StringIO(answers)
        try:
            return cli.carry_out(Session(words, terminal, self.host, state=self.state, root=self.root))
        finally:
            sys.stdin = before
            self.out, self.err = out.getvalue(), err.getvalue()

    def data(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "ask", lambda _host: Asking())
    monkeypatch.setattr(versions, "ask", lambda _host: Asking())
    monkeypatch.setattr("rmqsetup.verify.verify", climbed)
    monkeypatch.setenv("NO_COLOR", "1")
    return Desk(tmp_path)


def climbed(_host, target, *, level, wait, told=None, fails=-1):
    """Climb without a node: every rung passes up to the one that `fails`."""
    assert wait > 0
    rungs = []
    for number in range(level + 1):
        verdict = Verdict.FAILED if number == fails else Verdict.PASSED
        seen = (
            ("amqp [::]:5672: RabbitMQ 4.0.5, 7.6 ms", "http [::]:15672: open") if number == 3 else (f"seen {number}",)
        )
        rungs.append(Rung(number, LADDER[number], verdict, 0.01, seen, "it is so", "look there", "it does not hold"))
        if told:
            told(rungs[-1])
        if verdict is Verdict.FAILED:
            break
    return Verification(target.address.name, level, tuple(rungs))


@pytest.mark.parametrize("line", ["doctor --as junit --output json", "doctor --fix=safe --bundle x.tar.gz"])
def test_what_the_doctor_would_pass_over_is_refused(line, desk):
    assert desk.type(line) == UsageError.exit_code
    assert "do not go together" in desk.out + desk.err


# --- every command, as text and as an envelope -----------------------------------------------------------------------

INSTALL = "install --source distro --plugins rabbitmq_management --set heartbeat=30"


def test_install_asks_once_and_tells_where_things_are(desk):
    assert desk.type(INSTALL, answers="y\n") == 0
    stored("install.txt", desk.err + desk.out)
    assert desk.host.running
    assert desk.host.packages


def test_install_again_is_one_line(desk):
    desk.type(f"{INSTALL} --yes")
    receipts = list((desk.state / "receipts").iterdir())
    assert desk.type(INSTALL) == 0
    stored("install-again.txt", desk.err + desk.out)
    assert desk.err == ""
    assert list((desk.state / "receipts").iterdir()) == receipts


def test_install_as_json(desk):
    assert desk.type(f"{INSTALL} --yes -o json") == 0
    stored("install.json", desk.out)
    assert desk.data()["status"] == "changed"
    assert desk.type(f"{INSTALL} --output=json") == 0
    stored("install-again.json", desk.out)
    assert desk.data()["status"] == "unchanged"


def test_quiet_leaves_the_last_line(desk):
    assert desk.type(f"{INSTALL} --yes --quiet") == 0
    assert desk.err == ""
    assert "is installed" in desk.out
    assert len(desk.out.strip().splitlines()) <= 2


def test_verbose_tells_what_the_package_manager_says(desk):
    assert desk.type(f"{INSTALL} --yes --verbose") == 0
    assert "| Setting up rabbitmq-server" in desk.err
    assert "pmstatus" not in desk.err


def test_install_that_fails_says_how_to_go_on(tmp_path, desk):
    desk = Desk(tmp_path, fails="transaction")
    assert desk.type(f"{INSTALL} --yes") == 4
    stored("install-failed.txt", desk.err + desk.out)
    assert desk.type(f"{INSTALL} --yes -o json") == 4
    assert desk.data()["errors"][0]["code"] == "network"


def test_install_that_does_not_verify(desk, monkeypatch):
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: climbed(*a, **k, fails=2))
    assert desk.type(f"{INSTALL} --yes") == 8
    stored("install-not-ready.txt", desk.err + desk.out)
    assert desk.type(f"{INSTALL} --yes --no-verify") == 0


@pytest.mark.parametrize(
    ("words", "level"), [("", 5), ("--level 2", 2), ("--no-start", 0), ("--no-start --level 5", 0), ("--level 0", 0)]
)
def test_how_far_an_install_verifies(desk, monkeypatch, words, level):
    seen = []
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: seen.append(k["level"]) or climbed(*a, **k))
    desk.type(f"{INSTALL} --yes {words}")
    assert seen == [level]


def test_plan(desk):
    assert desk.type("plan --source distro --explain") == 10
    stored("plan.txt", desk.out)
    assert desk.type("plan --source distro -o json") == 10
    stored("plan.json", desk.out)
    assert desk.type("plan") == 10
    stored("plan-team.txt", desk.out)
    desk.type(f"{INSTALL} --yes")
    assert desk.type(INSTALL.replace("install", "plan", 1)) == 0
    assert desk.out.splitlines()[-1] == "Nothing to do."


def test_a_source_that_is_silent_is_one_plain_line(desk, monkeypatch):
    monkeypatch.setattr(pipeline, "ask", lambda _host: Asking(down="name does not resolve"))
    assert desk.type("plan") == 10
    stored("plan-fallback.txt", desk.out)
    assert desk.type("plan --source team") == 4
    stored("error-network.txt", desk.err)


def test_plan_in_another_form(desk):
    assert desk.type("plan --source distro --as sh") == 0
    assert desk.out.startswith("#!/bin/sh")
    assert desk.type("plan --source distro --as json -o json") == 0
    assert json.loads(desk.data()["data"]["text"])


def test_verify(desk, monkeypatch):
    assert desk.type("verify") == 0
    stored("verify.txt", desk.err + desk.out)
    assert desk.type("verify --level 3 -o json --wait 1.5") == 0
    stored("verify.json", desk.out)
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: climbed(*a, **k, fails=3))
    assert desk.type("verify -v") == 8
    stored("verify-failed.txt", desk.err + desk.out)


@pytest.fixture
def still(desk):
    """A machine with RabbitMQ that does not run."""
    desk.type(f"{INSTALL} --yes")
    desk.host.running = False
    desk.host.files[launch.LAUNCHERS[0]] = desk.host.read("/etc/passwd")
    return desk


def test_start(still, monkeypatch):
    assert still.type("start") == 0
    stored("start.txt", still.err + still.out)
    assert still.host.running
    assert still.type("start -o json --wait 1.5") == 0
    assert (still.data()["status"], still.data()["data"]["level"]) == ("unchanged", 3)
    still.host.running = False
    assert still.type("start -o json") == 0
    assert still.data()["status"] == "changed"
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: climbed(*a, **k, fails=2))
    assert still.type("start") == 8
    assert "it does not hold" in still.err


def test_start_that_cannot(desk, still, monkeypatch):
    still.host.fails = "systemctl start"
    assert still.type("start") == 8
    assert "systemctl start rabbitmq-server failed" in still.err
    still.host.logs["/var/log/rabbitmq/rabbitmq-server.log"] = LAST_WORDS
    assert still.type("start") == 8
    assert "take foo.bar out" in still.err
    assert still.type("start --open-files 4096") == 2
    assert "rmqsetup install --open-files" in still.err
    monkeypatch.setattr("rmqsetup.probes.ports.taken", lambda _host: (Taken(5672, 0),))
    monkeypatch.setattr("rmqsetup.probes.ports.holder", lambda *_: "qpidd (process 7)")
    for line in ("start", "start --foreground"):
        assert still.type(line) == 8
        stored("error-port.txt", still.err)
    del still.host.files[launch.LAUNCHERS[0]]
    for line in ("start", "start --foreground"):
        assert desk.type(line) == 2
        stored("error-nothing-to-start.txt", desk.err)


def test_whoever_stops_waiting_leaves_a_node_that_goes_on(still, monkeypatch):
    def interrupt(*_a, **_k):
        raise KeyboardInterrupt

    monkeypatch.setattr("rmqsetup.verify.verify", interrupt)
    assert still.type("start") == INTERRUPTED
    assert "goes on" in still.err


@pytest.fixture
def ran(monkeypatch):
    """What was run in the foreground; how it ends is to be appended."""
    monkeypatch.setattr("rmqsetup.launch.refuse_running", lambda *_: None)
    monkeypatch.setattr("rmqsetup.launch.refuse_taken", lambda *_a, **_k: None)
    monkeypatch.setattr(foreground, "current_limits", lambda: foreground.Limits(1_073_741_816, 1_073_741_816))
    monkeypatch.setattr("rmqsetup.probes.logs.last_words", lambda *_a, **_k: ("x.log: BOOT FAILED",))
    programs, ends = [], [foreground.Ended(0, "SIGTERM", 75.0)]

    def run(program, *, output, spared):
        programs.append((program, output, spared("beam.smp")))
        return ends[-1]

    monkeypatch.setattr(foreground, "run", run)
    return programs, ends


def test_start_in_the_foreground(still, ran):
    assert still.type("start --foreground") == 0
    stored("start-foreground.txt", still.err)
    assert still.out == "", "standard output is the node's"
    assert ran[0] == [
        (
            foreground.Program(
                ("/usr/lib/rabbitmq/bin/rabbitmq-server",),
                "/var/lib/rabbitmq",
                "rabbitmq",
                launch.VARIABLES,
                0o027,
                foreground.Limits(524_288, 524_288),
            ),
            None,
            False,
        )
    ]
    assert still.type("start --foreground --quiet --open-files 65536") == 0
    assert still.err + still.out == ""
    assert ran[0][-1][0].limits == foreground.Limits(65_536, 65_536)


def test_start_in_the_foreground_as_json(still, ran):
    assert still.type("start --foreground -o json") == 0
    stored("start-foreground.json", still.out)
    assert ran[0][-1][1] == 2, "the node's output goes to standard error"


def test_the_exit_code_of_the_node_is_passed_on(still, ran):
    ran[1].append(foreground.Ended(69, "", 0.5))
    assert still.type("start --foreground") == 69
    stored("start-foreground-failed.txt", still.err)
    assert still.type("start --foreground -o json") == 69
    assert (still.data()["exit_code"], still.data()["status"]) == (69, "failed")
    assert still.data()["errors"][0]["code"] == "broker-not-ready"


@pytest.mark.parametrize(
    ("soft", "hard", "said"),
    [
        (1024, 524_288, "--open-files 65536"),
        (1024, 4096, "docker run --ulimit nofile=65536"),
        (65_536, 65_536, ""),
        (-1, -1, "instead of no limit"),
    ],
)
def test_what_is_said_of_open_files(still, ran, monkeypatch, soft, hard, said):
    monkeypatch.setattr(foreground, "current_limits", lambda: foreground.Limits(soft, hard))
    assert still.type("start --foreground") == 0
    assert said in " ".join(still.err.split())
    assert ("Open files" in still.err) is bool(said)
    assert len(ran[0]) == 1
    assert still.type("start --foreground --open-files 512") == 0
    assert "Open files" not in still.err


def test_the_user_rabbitmq_needs_no_root_in_the_foreground(still, ran, monkeypatch):
    monkeypatch.setattr(os, "get_exec_path", lambda: ["/nowhere"])
    still.root = False
    monkeypatch.setattr(foreground, "user_name", lambda: "ann")
    assert still.type("start --foreground") == 2
    assert ran[0] == []
    monkeypatch.setattr(foreground, "user_name", lambda: "rabbitmq")
    assert still.type("start --foreground") == 0


def test_status_of_a_machine_without_broker(desk):
    assert desk.type("status") == 8
    stored("status-absent.txt", desk.out + desk.err)
    assert desk.type("status --output json") == 8
    stored("status-absent.json", desk.out)


def test_versions(desk, monkeypatch):
    assert desk.type("versions") == 0
    stored("versions.txt", desk.out)
    assert desk.type("versions --explain -o json") == 0
    assert desk.data()["data"]["source"] == "team"
    monkeypatch.setattr(versions, "ask", lambda _host: Asking(down="name does not resolve"))
    assert desk.type("versions") == 0
    stored("versions-silent.txt", desk.out)


def test_versions_with_what_is_installed(desk):
    desk.type(f"{INSTALL} --yes")
    assert desk.type("versions") == 0
    assert "is installed" in desk.out


def test_facts(desk):
    assert desk.type("facts") == 0
    stored("facts.txt", desk.out)
    assert desk.type("facts -o json") == 0
    assert desk.data()["data"]["os"]["codename"] == "trixie"


def test_history_and_undo(desk):
    assert desk.type("history") == 0
    assert "nothing" in desk.out
    desk.type(f"{INSTALL} --yes")
    desk.type(f"{INSTALL.replace('30', '60')} --yes")
    assert desk.type("undo", answers="y\n") == 0
    stored("undo.txt", desk.err + desk.out)
    assert b"heartbeat = 30" in desk.host.read("/etc/rabbitmq/conf.d/10-rmqsetup.conf").content
    assert desk.type("history") == 0
    stored("history.txt", desk.out)
    assert desk.type("history -o json") == 0
    stored("history.json", desk.out)
    assert desk.type("undo nothing-of-that-name --yes") == 2


def test_history_that_only_root_may_read_says_what_to_type(desk, monkeypatch):
    def refuse(_state):
        raise UsageError("for root only", hint="with sudo")

    monkeypatch.setattr("rmqsetup.receipt.read_all", refuse)
    monkeypatch.setattr(sys, "argv", ["/srv/bin/rmqsetup"])
    assert desk.type("history") == 2
    assert "sudo /srv/bin/rmqsetup history" in desk.err


def test_uninstall_keeps_the_data_and_says_where(desk):
    desk.type(f"{INSTALL} --yes")
    assert desk.type("uninstall", answers="y\n") == 0
    stored("uninstall.txt", desk.err + desk.out)
    assert not desk.host.packages
    assert desk.type("uninstall --yes") == 0
    assert desk.out.startswith("Nothing to do")


def test_uninstall_as_json(desk):
    desk.type(f"{INSTALL} --yes")
    assert desk.type("uninstall --yes -o json") == 0
    assert [each["path"] for each in desk.data()["data"]["remains"]["directories"]] == [
        "/var/lib/rabbitmq",
        "/var/log/rabbitmq",
    ]


def test_purge_asks_about_the_data_apart(desk):
    desk.type(f"{INSTALL} --yes")
    assert desk.type("uninstall --purge", answers="y\nn\n") == INTERRUPTED
    assert "/var/lib/rabbitmq (248 kB)" in desk.err
    assert desk.host.packages
    assert desk.type("uninstall --purge", answers="y\ny\n") == 0
    assert not desk.host.packages


@pytest.mark.parametrize("purge", ["", " --purge"])
def test_the_data_of_a_broker_that_was_there_before_are_neither_asked_for_nor_offered_to_delete(desk, purge):
    desk.type("install --source distro --yes")
    shutil.rmtree(desk.state)  # nobody remembers: as if it had been installed by hand
    desk.type(f"{INSTALL} --yes")
    assert desk.type(f"uninstall{purge}", answers="y\n") == 0
    assert desk.host.packages
    assert "was here before rmqsetup, and stays" in desk.out
    assert "/var/lib/rabbitmq" not in desk.err + desk.out
    assert "userdel" not in desk.out


def test_an_undo_names_what_it_takes_back_and_what_stays(desk):
    desk.type("install --source distro --yes")
    assert desk.type("undo", answers="y\n") == 0
    assert re.search(r"This takes back [0-9TZ]+-install\.\nWhat is in /var/lib/rabbitmq .* stays\.", desk.err)
    assert "rm -r /var/lib/rabbitmq" in desk.out


# --- answers to the question -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["n\n", "\n", "maybe\n"])
def test_anything_but_yes_changes_nothing(desk, answer):
    assert desk.type(INSTALL, answers=answer) == INTERRUPTED
    assert "nothing was changed" in desk.err
    assert not desk.host.packages
    assert not desk.state.exists()


def test_nobody_to_ask(desk):
    assert desk.type(INSTALL) == 2
    assert "--yes" in desk.err
    assert not desk.host.packages


def test_ctrl_c_says_how_to_go_on(desk, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(desk.host, "_transact", interrupt)
    assert desk.type(f"{INSTALL} --yes") == INTERRUPTED
    assert "the same command again finishes it" in desk.err
    assert "rmqsetup undo" in desk.err
    assert desk.type(f"{INSTALL} --yes -o json") == INTERRUPTED
    assert desk.data()["status"] == "stopped"


# --- root ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [INSTALL, "start", "undo", "uninstall"])
def test_changes_need_root_and_say_what_to_type(desk, monkeypatch, line):
    monkeypatch.setattr(os, "get_exec_path", lambda: ["/nowhere"])
    monkeypatch.setattr(sys, "argv", ["rmqsetup", *shlex.split(line)])
    desk.root = False
    assert desk.type(line) == 2
    assert "no sudo here" in desk.err
    assert f"rmqsetup {line.split()[0]}" in desk.err


class Sudo:
    """A host on which sudo works without a password, or does not."""

    def __init__(self, code: int) -> None:
        self.code = code

    def run(self, command: Command, listener=None) -> Result:  # noqa: ARG002
        return Result(command, self.code, "", "sudo: a password is required")


def test_sudo_gets_the_line_and_names_of_variables_without_values(monkeypatch, tmp_path):
    ran = []
    (tmp_path / "sudo").write_text("")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setattr(os, "get_exec_path", lambda: [str(tmp_path)])
    monkeypatch.setattr(os, "execvp", lambda file, words: ran.append((file, words)))
    monkeypatch.setattr(sys, "orig_argv", ["python3", "/usr/local/bin/rmqsetup", "install", "-y"])
    for name, value in {"https_proxy": "http://u:secret@p", "LC_ALL": "C", "HOME": "/root", "LD_PRELOAD": "x"}.items():
        monkeypatch.setenv(name, value)
    elevation.elevate(Sudo(0), Terminal(Out(), Out()))
    file, words = ran[0]
    assert (file, words[0], words[-4:]) == (
        "sudo",
        "sudo",
        (sys.executable, "/usr/local/bin/rmqsetup", "install", "-y"),
    )
    assert "secret" not in str(words)
    kept = words[1].removeprefix("--preserve-env=").split(",")
    assert {"https_proxy", "LC_ALL"} <= set(kept)
    assert not {"HOME", "LD_PRELOAD", "PATH"} & set(kept)
    with pytest.raises(UsageError) as refused:
        elevation.elevate(Sudo(1), Terminal(Out(), Out()))
    assert "sudo " in refused.value.hint


def test_what_only_root_may_see_is_not_called_broken(desk, monkeypatch):
    from rmqsetup.host import FileState
    from rmqsetup.probes.address import COOKIE

    desk.host.files[COOKIE] = FileState(None, 0o400, "rabbitmq", "rabbitmq")
    desk.host.files[launch.LAUNCHERS[0]] = desk.host.read("/etc/passwd")
    desk.root = False
    monkeypatch.setattr(sys, "argv", ["rmqsetup"])
    assert desk.type("status") == 2
    assert "sudo rmqsetup status" in desk.err
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: climbed(*a, **k, fails=2))
    assert desk.type("verify") == 2
    assert "sudo rmqsetup verify" in desk.err
    monkeypatch.setattr("rmqsetup.verify.verify", lambda *a, **k: climbed(*a, **k, fails=0))
    assert desk.type("verify") == 8, "packages are for everybody to see"
    assert "sudo" not in desk.err


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_mistake_of_our_own_is_no_traceback(desk, monkeypatch, tmp_path):
    def broken(_host):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("rmqsetup.detect.detect", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert desk.type("facts") == 1
    assert "Traceback" not in desk.err
    assert "of all things" in desk.err
    (log,) = tmp_path.glob("rmqsetup-*.log")
    assert "Traceback" in log.read_text()
    assert str(log) in desk.err
    assert desk.type("facts --verbose") == 1
    assert "Traceback" in desk.err
    assert desk.type("facts -o json") == 1
    assert desk.data()["errors"][0]["code"] == "internal"


def test_passwords_in_addresses_are_never_shown(desk, monkeypatch):
    secret = "http://ann:hunter2@mirror.example.org/debian"
    desk.host.files["/etc/apt/sources.list.d/x.list"] = (
        Machine().files["/etc/passwd"].__class__(f"deb {secret} trixie main\n".encode(), 0o644, "root", "root")
    )

    def asking(_host):
        raise NetworkError("cannot be reached", cause=f"{secret}: refused", looked_at=(secret,))

    monkeypatch.setattr(pipeline, "ask", asking)
    for line in ("facts", "facts -o json", "plan", "plan -o json", f"{INSTALL} -o json --yes --source team"):
        desk.type(line.replace("--source distro", ""))
        assert "hunter2" not in desk.out + desk.err, line
    assert desk.type("facts") == 0
    assert "***@mirror.example.org" in desk.out


def test_secret_files_leave_no_trace(desk, tmp_path):
    definitions = tmp_path / "definitions.json"
    definitions.write_text(json.dumps({"users": [{"name": "ann", "password_hash": "c2VjcmV0aGFzaA==", "tags": []}]}))
    for line in (
        "install --yes",
        "install --yes -o json",
        "plan -o json",
        "history -o json",
        "uninstall --yes -o json",
    ):
        more = f" --source distro --definitions {definitions}" if line.split()[0] in ("install", "plan") else ""
        desk.type(line + more)
        assert "c2VjcmV0" not in desk.out + desk.err, line


def shell(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1", **env}
    argv = (sys.executable, "-m", "rmqsetup", *words)
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=where, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("instal", "did you mean install?"),
        ("install --sorce distro", "did you mean --source?"),
        ("plan --as ansible", "none of sh, dockerfile, cloud-init, json"),
        ("verify --level 7", "none of 0, 1, 2, 3, 4, 5"),
        ("verify --wait soon", "not a valid float"),
        ("undo one two", "rmqsetup undo takes no two"),
        ("install --recipe", "requires an argument"),
        ("--nothing", "no option --nothing"),
        ("--yes install", "options come after the command"),
        ("upgrade", "rmqsetup install --rabbitmq VERSION"),
        ("status --output yaml", "none of text, json"),
    ],
)
def test_mistakes_in_words(monkeypatch, line, said):
    out, err = Out(), Out()
    monkeypatch.setattr(Terminal, "here", lambda: Terminal(out, err))
    assert cli.main(shlex.split(line)) == 2
    assert said in " ".join(err.getvalue().split())
    assert "rmqsetup" in err.getvalue()
    assert out.getvalue() == ""


def test_mistakes_in_words_as_json():
    done = shell("install", "--sorce", "distro", "--output", "json")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert (answer["exit_code"], answer["command"], answer["errors"][0]["code"]) == (2, "install", "usage")
    assert done.stderr == ""


def test_a_wrong_recipe_is_told_before_anything_else():
    done = shell("install", "--recipe", "prodction", "--set", "heartbeat")
    assert done.returncode == 2
    assert "did you mean production?" in " ".join(done.stderr.split())


def test_a_pipe_that_closes_is_no_error():
    argv = f"{shlex.quote(sys.executable)} -m rmqsetup --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ("bash", "-c", argv), capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.strip() in ("0", "141")
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help(name):
    done = shell(*((name,) if name else ()), "--help")
    assert done.returncode == 0, done.stderr
    stored(f"help-{name or 'all'}.txt", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "..." not in done.stdout.partition("Commands:")[2], "what a command is for is said in full"


def test_the_help_of_the_installer_fits_a_narrow_terminal():
    done = subprocess.run(("sh", str(ROOT / "install.sh"), "--help"), capture_output=True, text=True, check=True)
    assert "--uninstall" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 78


def test_no_words_show_the_help():
    assert shell().stdout == shell("--help").stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rmqsetup u", {"undo", "uninstall"}),
        ("rmqsetup install --recipe ", {"ci", "dev", "production"}),
        ("rmqsetup plan --source d", {"distro"}),
        ("rmqsetup status --output ", {"text", "json"}),
        ("rmqsetup plan --as d", {"dockerfile"}),
    ],
)
def test_completion(words, offered):
    count = str(len(words.split(" ")) - 1)
    done = shell(_RMQSETUP_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
    assert set(done.stdout.split()) == offered


def test_every_command_has_its_module_and_its_words():
    for found in COMMANDS:
        assert app.about(found).endswith("."), "the docstring of `run` in the module of its name"
        assert {option.field for option in found.options} <= set(Words._fields)
        flags = [flag for option in found.options for flag in option.flags]
        assert len(flags) == len(set(flags))


def lines() -> st.SearchStrategy[list[str]]:
    """Make command lines, good and bad, of the words of one command."""

    def of(name: str) -> st.SearchStrategy[list[str]]:
        found = command(name)
        assert found
        flags = [flag for option in found.options for flag in option.flags]
        choices = [choice for option in found.options for choice in option.choices]
        texts = st.sampled_from(["4.2", "7", "1.5", "-", "--", "", "a=b", "x,y", "-q", "--yes", *choices])
        word = st.sampled_from(flags) | texts | st.builds("{}={}".format, st.sampled_from(flags), texts)
        return st.lists(word, max_size=5).map(lambda words: [name, *words])

    return st.sampled_from(NAMES).flatmap(of)


@settings(deadline=None, max_examples=150)
@given(lines())
def test_both_readers_read_alike(words):
    quick = reading.read(tuple(words))
    if quick is None:
        return
    assert app.read(tuple(words)) == quick


def test_the_quick_reader_reads_what_people_type():
    words = reading.read(("install", "-y", "--set", "a=1", "--set=b=2", "--no-hold", "--level", "3", "-r", "-"))
    assert words == Words("install", yes=True, settings=("a=1", "b=2"), hold=False, level=3, recipe="-")
    for line in ("install --help", "install --level 9", "install -yq", "status x", "install --yes=1", "plan --as"):
        assert reading.read(tuple(line.split())) is None, line


# --- the reference, and what a start costs ---------------------------------------------------------------------------


def test_the_reference_is_up_to_date():
    file = ROOT / "docs" / "reference.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(reference(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == reference(), "UPDATE_GOLDEN=1 pytest tests/test_cli.py writes it anew"


HEAVY = {"rich", "cattrs", "requests", "pika", "gnupg", "typer"}
SESSION = """
import io, sys
from pathlib import Path
from pretending import Machine
from rmqsetup import cli
from rmqsetup.cli import reading
from rmqsetup.cli.session import Session
from rmqsetup.show.terminal import Terminal
here = Session(reading.read(tuple(sys.argv[2:])), Terminal(io.StringIO(), io.StringIO()), Machine())
here.state = Path(sys.argv[1])
cli.carry_out(here)
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("line", "may"),
    [
        ("status --output json", set()),
        ("status", set()),
        ("start", set()),
        ("history -o json", set()),
        ("facts -o json", set()),
        ("versions --source distro", {"requests", "gnupg"}),
        ("verify --level 0", set()),
        ("plan --source distro", set()),
        ("install --source distro --level 0 --yes", {"cattrs"}),
    ],
)
def test_a_command_imports_only_what_it_needs(line, may, tmp_path):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    argv = (sys.executable, "-c", SESSION, str(tmp_path / "state"), *line.split())
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    loaded = set(done.stdout.split())
    assert "rmqsetup.cli" in loaded
    assert loaded & HEAVY <= may
    assert {name for name in loaded if name in {f"rmqsetup.cli.{each}" for each in NAMES}} == {
        f"rmqsetup.cli.{line.split()[0]}"
    }


def test_every_error_has_an_exit_code_of_its_own():
    from rmqsetup.errors import FAMILIES

    codes = [family.exit_code for family in FAMILIES]
    assert len(codes) == len(set(codes))
    assert all(issubclass(family, RmqsetupError) for family in FAMILIES)


# --- whose receipts --------------------------------------------------------------------------------------------------


def kept(folder, *, below=""):
    """Leave a receipt of an install, from packages or below a prefix."""
    from rmqsetup.receipt import DONE, Journal
    from rmqsetup.steps.archive import Archive, Tree
    from rmqsetup.steps.file import File

    step = Archive(below, (Tree("rabbitmq_server-4.2.9", "ab" * 32),), "rabbitmq_server-4.2.9") if below else File("/x")
    journal = Journal("install", state=folder)
    journal.before(step, Archive(below, (Tree("rabbitmq_server-4.2.9"),)) if below else File("/x"))
    journal.after("changed")
    journal.finish(DONE)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("rmqsetup.cli.session.STATE", tmp_path / "roots")
    monkeypatch.setattr(elevation, "elevate", lambda *_: pytest.fail("it went on through sudo"))
    return tmp_path / "state" / "rmqsetup"


def here(tmp_path, line, *, root=False):
    words = reading.read(tuple(shlex.split(line)))
    return Session(words, Terminal(Out(), Out()), Machine(), state=tmp_path / "roots", root=root)


def test_an_archive_needs_no_root_and_keeps_its_receipts_with_its_user(tmp_path, own):
    found = here(tmp_path, "install --source archive --prefix /srv/broker")
    assert found.is_below
    found.keep_own_receipts()
    assert found.state == own
    as_root = here(tmp_path, "install --source archive --prefix /srv/broker", root=True)
    as_root.keep_own_receipts()
    assert as_root.state == tmp_path / "roots"


@pytest.mark.parametrize(
    ("words", "is_below"),
    [("", False), ("--source distro", False), ("--recipe -", False), ("--recipe dev", False), ("--recipe R", True)],
)
def test_a_recipe_may_ask_for_an_archive(tmp_path, own, words, is_below):  # noqa: ARG001
    recipe = tmp_path / "r.toml"
    recipe.write_text('[archive]\nprefix = "broker"\n')
    assert here(tmp_path, f"plan {words.replace('R', str(recipe))}").is_below is is_below


def test_a_plain_user_takes_back_what_is_his(tmp_path, own, monkeypatch):
    asked = []
    monkeypatch.setattr(Session, "become_root", lambda _self: asked.append("root"))
    here(tmp_path, "undo").become_owner()
    assert asked == ["root"]
    kept(own, below="/srv/broker")
    found = here(tmp_path, "undo")
    found.become_owner()
    assert (asked, found.state) == (["root"], own)


@pytest.mark.parametrize("where", ["own", "roots"])
def test_the_node_is_where_the_receipts_say(tmp_path, own, where):
    state = own if where == "own" else tmp_path / "roots"
    assert here(tmp_path, "status").address().cookie == "/var/lib/rabbitmq/.erlang.cookie"
    kept(state)
    assert not here(tmp_path, "status").layout.prefix
    kept(state, below="/srv/broker")
    found = here(tmp_path, "status").address()
    assert found.cookie == "/srv/broker/var/lib/rabbitmq/.erlang.cookie"
    assert found.layout.logs == "/srv/broker/var/log/rabbitmq"
    assert found.layout.program("rabbitmqctl") == "/srv/broker/bin/rabbitmqctl"


def test_versions_lists_what_is_published_as_archives(desk, monkeypatch):
    from rmqsetup import releases

    monkeypatch.setattr(releases, "offers", lambda _row: (releases.Offer("4.4.1", "https://x"),))
    assert desk.type("versions --source archive") == 0
    assert "4.4.1" in desk.out


def test_a_wish_for_packages_is_not_about_the_archive_that_is_here(tmp_path, own):
    kept(own, below="/srv/broker")
    assert here(tmp_path, "plan --source distro").layout.prefix == ""
    assert here(tmp_path, "plan --source archive --prefix /srv/other").layout.prefix == "/srv/other"


def test_a_purge_names_the_data_of_every_prefix(tmp_path):
    from rmqsetup.cli.remains import remains
    from rmqsetup.hosts.local import LocalHost
    from rmqsetup.managers.layout import of_archive
    from rmqsetup.pipeline import layouts
    from rmqsetup.plan import Plan
    from rmqsetup.steps.archive import Archive

    prefixes = [str(tmp_path / name) for name in ("one", "two")]
    for prefix in prefixes:
        Path(of_archive(prefix).data, "mnesia").mkdir(parents=True)
    places = layouts(Plan("uninstall", tuple(Archive(prefix, (), "") for prefix in prefixes)))
    found = remains(LocalHost(), tmp_path, places)
    assert [each.path for each in found.directories] == [of_archive(prefix).data for prefix in prefixes]
    assert found.user == ""
