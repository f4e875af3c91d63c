"""rmqsetup with Homebrew from words to result: a plain user, real processes, and a Homebrew that pretends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRETENDING = Path(__file__).parent / "data" / "brew"
NOBODY = 65534
PROGRAM = """
import sys
from rmqsetup import cellar, cli
from rmqsetup.probes import address
cellar.PREFIXES = address.PREFIXES = (sys.argv[1],)
sys.exit(cli.main(sys.argv[2:]))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked for in /proc")


class Desk:
    """A plain user with a Homebrew of his own, in a folder."""

    def __init__(self, folder: Path, *, session: bool) -> None:
        self.folder, self.prefix, self.home = folder, folder / "brew", folder / "home"
        for place in (self.prefix / "bin", self.prefix / "Cellar", self.home, folder / "bin"):
            place.mkdir(parents=True)
        for name in ("brew", "node", "control"):
            shutil.copy(PRETENDING / name, self.prefix / "bin" / name)
        answer = folder / "bin" / "systemctl"
        answer.write_text(f"#!/bin/sh\nexit {0 if session else 1}\n")
        answer.chmod(0o755)
        self.unit = self.home / ".config/systemd/user/homebrew.rabbitmq.service"
        self.out = self.err = ""
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY)

    def type(self, *words: str) -> int:
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        environment = {
            "HOME": str(self.home),
            "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        argv = (sys.executable, "-c", PROGRAM, str(self.prefix), *words)
        done = subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, check=False, **user)
        self.out, self.err = done.stdout, done.stderr
        return done.returncode

    def install(self, *words: str) -> int:
        return self.type("install", "--source", "brew", "--yes", "--level", "1", *words)

    @property
    def asked(self) -> list[str]:
        return (self.prefix / "ASKED").read_text().splitlines()

    @property
    def runs(self) -> bool:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = int((self.prefix / "pid").read_text())
            return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # a zombie has none
        return False

    def end(self) -> None:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            number = int((self.prefix / "pid").read_text())
            os.kill(number, signal.SIGKILL)
            while Path(f"/proc/{number}/cmdline").read_bytes():  # empty of one that nobody reaps
                time.sleep(0.05)


@pytest.fixture(params=[True, False], ids=["session", "no-session"])
def desk(request):
    yield from _desk(session=request.param)


@pytest.fixture
def plain():
    yield from _desk(session=True)


def _desk(*, session: bool):
    """Give a desk in a folder of its own: pytest closes its folders to other users."""
    with tempfile.TemporaryDirectory(prefix="rmqsetup-brew-") as folder:
        Path(folder).chmod(0o755)
        made = Desk(Path(folder) / "desk", session=session)
        yield made
        made.end()


def test_install_again_and_uninstall(desk):
    settings = desk.prefix / "etc/rabbitmq/conf.d/10-rmqsetup.conf"
    assert desk.install("--set", "log.console=true", "--plugins", "rabbitmq_management") == 0, desk.err
    assert "RabbitMQ 4.4.1 on Erlang 28.5.0.7 is installed; its service runs." in desk.out
    assert f"{desk.prefix}/opt/rabbitmq/sbin/rabbitmqctl add_user NAME" in desk.out
    assert "sudo" not in desk.out + desk.err
    assert desk.runs
    assert "log.console = true" in settings.read_text()
    assert (desk.prefix / "etc/rabbitmq/enabled_plugins").read_text() == "[rabbitmq_management].\n"
    assert (desk.prefix / "var/homebrew/pinned/rabbitmq").is_symlink()
    assert (desk.prefix / "FLAGS").exists()
    assert list((desk.prefix / "var/lib/rmqsetup/receipts").glob("*-install.jsonl"))
    started = (desk.prefix / "pid").read_text()

    assert desk.install("--set", "log.console=true", "--plugins", "rabbitmq_management", "--level", "1") == 0, desk.err
    assert "Nothing to do" in desk.out
    assert (desk.prefix / "pid").read_text() == started
    assert desk.asked.count("install --formula rabbitmq") == 1

    assert desk.type("uninstall", "--yes") == 0, desk.err
    assert not desk.runs
    assert not (desk.prefix / "Cellar/rabbitmq").exists()
    assert not settings.exists()
    assert not desk.unit.exists()
    assert not (desk.prefix / "var/homebrew/pinned/rabbitmq").is_symlink()
    assert (desk.prefix / "var/lib/rabbitmq").is_dir()
    assert f"{desk.prefix}/var/lib/rabbitmq" in desk.out


def test_how_it_is_started(desk):
    assert desk.install() == 0, desk.err
    registered = desk.unit.exists()
    assert registered == ("services start rabbitmq" in desk.asked)
    assert (desk.prefix / "CONF_ENV_FILE").read_text() == (
        "\n" if registered else f"{desk.prefix}/etc/rabbitmq/rabbitmq-env.conf\n"
    )
    assert ("no session" in " ".join(desk.err.split())) == (not registered)


def test_a_changed_setting_restarts_it(desk):
    assert desk.install("--set", "log.console=true") == 0, desk.err
    started = (desk.prefix / "pid").read_text()
    os.utime(desk.prefix / "opt/rabbitmq/INSTALL_RECEIPT.json", (1, 1))
    assert desk.install("--set", "log.console=false") == 0, desk.err
    assert desk.runs
    assert (desk.prefix / "pid").read_text() != started
    assert desk.type("undo", "--yes") == 0, desk.err
    assert "log.console = true" in (desk.prefix / "etc/rabbitmq/conf.d/10-rmqsetup.conf").read_text()


def test_a_purge_takes_the_data(plain):
    assert plain.install() == 0, plain.err
    assert plain.type("uninstall", "--purge", "--yes") == 0, plain.err
    assert not (plain.prefix / "var/lib/rabbitmq").exists()
    assert not (plain.prefix / "var/log/rabbitmq").exists()


def test_a_plan_changes_nothing(plain):
    assert plain.type("plan", "--source", "brew", "--output", "json") == 10, plain.err
    assert json.loads(plain.out)["status"] == "pending"
    assert sorted(path.name for path in plain.prefix.iterdir()) == ["ASKED", "Cellar", "bin"]
    assert plain.type("plan", "--source", "brew", "--as", "sh") == 3
    assert "brew install rabbitmq" in " ".join(plain.err.split())


def test_not_to_start_is_not_to_register(plain):
    assert plain.install("--no-start", "--set", "log.console=true") == 0, plain.err
    assert (plain.runs, plain.unit.exists()) == (False, False)
    assert "brew services start rabbitmq" in plain.out


def test_a_download_that_fails_leaves_nothing_behind(plain):
    (plain.prefix / "FAILS").write_text('Error: Failed to download resource "rabbitmq"\ncurl: (7) Failed to connect\n')
    assert plain.install("--set", "log.console=true") == 4, plain.err
    assert "curl: (7)" in plain.err
    assert not (plain.prefix / "etc/rabbitmq/conf.d").exists()


def test_a_node_that_dies_is_told_from_its_own_words(plain):
    (plain.prefix / "DIES").touch()
    assert plain.install("--level", "2") == 8, plain.err
    assert "eaddrinuse" in plain.out + plain.err


def test_facts_status_and_versions(plain):
    assert plain.type("facts") == 0, plain.err
    assert f"6.0.18 in {plain.prefix}" in plain.out
    assert plain.type("versions", "--source", "brew") == 0, plain.err
    assert "4.4.1" in plain.out
    assert plain.install() == 0, plain.err
    assert plain.type("verify", "--level", "1") == 0, plain.err
    assert plain.type("status") == 8
    assert "rabbit@localhost" in plain.out
    plain.end()
    assert plain.type("verify", "--level", "1") == 8
    assert "the service rabbitmq does not run" in plain.out + plain.err
    assert f"{plain.prefix}/bin/brew services restart rabbitmq" in " ".join((plain.out + plain.err).split())
    assert plain.install() == 0, plain.err
    assert plain.runs


def test_the_doctor_knows_the_job_and_whether_it_runs(plain):
    assert plain.install() == 0, plain.err
    assert plain.type("doctor", "--only", "homebrew,presence", "--output", "json") == 0, plain.err
    assert [each["check"] for each in json.loads(plain.out)["data"]["findings"]] == ["RMQ-118"]
    plain.end()
    assert plain.type("doctor", "--only", "homebrew", "--output", "json") == 10, plain.err
    found = json.loads(plain.out)["data"]["findings"][0]
    assert (found["check"], found["severity"]) == ("RMQ-116", "error")
    assert f"{plain.prefix}/bin/brew services restart rabbitmq" in found["hint"]


def test_start_goes_the_way_that_is_open(desk):
    assert desk.install("--no-start") == 0, desk.err
    assert not desk.runs
    desk.type("start", "--wait", "1")  # the pretended node listens nowhere, so it is not ready
    assert desk.runs, desk.err
    assert "sudo" not in desk.err
    before = (desk.prefix / "pid").read_text()
    desk.type("start", "--wait", "1")
    assert (desk.prefix / "pid").read_text() == before, "one that runs is not started again"
    assert desk.type("start", "--foreground") == 9
    assert "running already" in desk.err
