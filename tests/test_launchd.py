"""launchd's agent: its file, and the commands run for real against a launchctl that pretends."""

from __future__ import annotations

import os
import plistlib
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rmqsetup.archived import Archived
from rmqsetup.archives import refuse_service, row
from rmqsetup.detect import detect
from rmqsetup.errors import UnsupportedError
from rmqsetup.facts import Init, Privilege
from rmqsetup.host import Command
from rmqsetup.hosts.local import LocalHost
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers.layout import of_archive
from rmqsetup.prefix import Place, User, build
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.services import launchd, service_manager
from rmqsetup.steps.file import File
from rmqsetup.steps.service import Service
from rmqsetup.wishes import Ours

HERE = Path(__file__).parent / "data"
NAME = launchd.LABEL


class Mac(LocalHost):
    """This machine with a launchctl that pretends, a home, and a program that does not end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.jobs = folder, folder / "home", folder / "jobs"
        self.env: tuple[tuple[str, str], ...] = ()
        for place in (folder / "bin", self.jobs, self.home / launchd.AGENTS, folder / "broker/bin"):
            place.mkdir(parents=True)
        shutil.copy(HERE / "launchd/launchctl", folder / "bin/launchctl")
        self.program = folder / "broker/bin/rabbitmq-server"
        self.program.write_text("#!/bin/sh\necho starting\nexec sleep 600\n")
        self.program.chmod(0o755)
        self.write_agent()

    def write_agent(self, *, enabled: bool = True, open_files: int | None = None) -> None:
        text = launchd.plist(
            str(self.folder / "broker"), logs=str(self.folder / "broker/log"), enabled=enabled, open_files=open_files
        )
        (self.home / launchd.AGENTS / f"{NAME}.plist").write_text(text)

    def run(self, command: Command, listener=None):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        own = (("HOME", str(self.home)), ("JOBS", str(self.jobs)), ("PATH", path), ("SSH_TTY", ""))
        return super().run(replace(command, env=(*own, *self.env)), listener)

    @property
    def asked(self) -> list[str]:
        return [line.split()[0] for line in (self.jobs / "asked").read_text().splitlines()]


@pytest.fixture
def mac(tmp_path):
    made = Mac(tmp_path)
    yield made
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((made.jobs / "pid").read_text()), 9)


def state(mac):
    its = service_manager("launchd-agent")
    return its.parse(mac.run(its.show(NAME)).stdout)


def carry_out(mac, wish):
    """Observe, diff and run, as `apply` does; return the change."""
    answers = tuple(mac.run(look) if isinstance(look, Command) else mac.read(look.path) for look in wish.query())
    change = wish.diff(wish.observe(answers))
    for action in change.actions:
        result = mac.run(action)
        assert result.ok, result
    return change


# --- the file


def test_the_file_is_a_property_list_that_says_what_was_wished():
    text = launchd.plist("/Users/ann/a&b", logs="/Users/ann/a&b/var/log", enabled=False, open_files=65536)
    found = plistlib.loads(text.encode())
    assert found["Label"] == NAME
    assert found["ProgramArguments"] == ["/Users/ann/a&b/bin/rabbitmq-server"]
    assert (found["RunAtLoad"], found["KeepAlive"]) == (False, {"SuccessfulExit": False})
    assert found["SoftResourceLimits"] == found["HardResourceLimits"] == {"NumberOfFiles": 65536}
    assert found["StandardErrorPath"] == "/Users/ann/a&b/var/log/std_error.log"
    plain = plistlib.loads(launchd.plist("/p/q", logs="/p/q/log", enabled=True, open_files=None).encode())
    assert plain["RunAtLoad"] is True
    assert not [key for key in plain if "Limits" in key]


def test_the_agent_is_a_file_and_a_service_of_the_plan():
    facts = detect(ReplayHost(HERE / "machines/macos-26-arm64"))
    wish = Archived("/Users/ann/broker", service="launchd")
    request = Request(source="archive", archive=wish, enable=False)
    resolution = Resolution(row(facts, None), "archive", "4.2.9", "27.3.4", (), layout=of_archive(wish.prefix))
    place = Place(User("ann", "staff", "/Users/ann"), ("/", "/Users", "/Users/ann"))
    steps = build(resolution, facts, request, ours=Ours(), place=place).steps
    path = f"/Users/ann/{launchd.AGENTS}/{NAME}.plist"
    (agent,) = (step for step in steps if isinstance(step, File) and step.path == path)
    assert (agent.owner, agent.group) == ("ann", "staff")
    assert plistlib.loads(agent.content)["RunAtLoad"] is False
    (service,) = (step for step in steps if isinstance(step, Service))
    assert (service.manager, service.name, service.enabled) == ("launchd-agent", NAME, None)
    assert path in service.newer_than, "launchd reads a file once: a changed one needs a restart"


@pytest.mark.parametrize(
    ("init", "privilege", "service", "said"),
    [
        (Init.SYSTEMD, Privilege.NONE, "launchd", "no launchd here"),
        (Init.LAUNCHD, Privilege.NONE, "systemd", "no systemd here"),
        (Init.LAUNCHD, Privilege.ROOT, "launchd", "the user root"),
        (Init.LAUNCHD, Privilege.NONE, "launchd", ""),
        (Init.NONE, Privilege.ROOT, "none", ""),
    ],
)
def test_what_is_to_look_after_it_has_to_be_there(init, privilege, service, said):
    facts = replace(detect(ReplayHost(HERE / "machines/macos-26-arm64")), init=init, privilege=privilege)
    request = Request(source="archive", archive=Archived("/srv/broker", service=service))
    if not said:
        refuse_service(facts, request)
        return
    with pytest.raises(UnsupportedError, match=said) as raised:
        refuse_service(facts, request)
    assert raised.value.hint


# --- what is done


def test_start_again_restart_and_stop(mac):
    assert (state(mac).known, state(mac).running) == (True, False)
    assert carry_out(mac, Service("launchd-agent", NAME, None)).words == f"start {NAME}"
    running = state(mac)
    assert running.running
    assert running.since > 0
    assert carry_out(mac, Service("launchd-agent", NAME, None)).empty
    assert (mac.folder / "broker/log/std_out.log").exists(), "its folder was made before launchd needed it"
    mac.write_agent(open_files=4096)
    again = Service("launchd-agent", NAME, None, outdated="x")
    for command in service_manager("launchd-agent").restart(NAME):
        assert mac.run(command).ok
    assert "4096" in (mac.jobs / "loaded").read_text(), "a changed file is read"
    assert state(mac).running
    carry_out(mac, replace(again, running=False))
    assert not state(mac).running
    assert carry_out(mac, Service("launchd-agent", NAME, None, running=False)).empty


def test_one_that_does_not_start_at_login_is_started_by_hand(mac):
    mac.write_agent(enabled=False)
    carry_out(mac, Service("launchd-agent", NAME, None))
    assert state(mac).running
    assert "kickstart" in mac.asked


def test_a_job_that_launchd_holds_dead_is_taken_out_before_it_is_started(mac):
    carry_out(mac, Service("launchd-agent", NAME, None))
    os.kill(int((mac.jobs / "pid").read_text()), 9)
    (mac.jobs / "code").write_text("69")
    mac.jobs.joinpath("pid").unlink()
    assert state(mac).words == "it ended with 69"
    carry_out(mac, Service("launchd-agent", NAME, None))
    assert state(mac).running


@pytest.mark.parametrize(
    ("failing", "code", "said", "cause", "hint"),
    [
        (
            "bootstrap",
            125,
            "Bootstrap failed: 125: Domain does not support specified action",
            "no session",
            "rmqsetup start --foreground",
        ),
        (
            "bootstrap",
            5,
            "Bootstrap failed: 5: Input/output error",
            "holds an old job",
            f"launchctl bootout gui/$(id -u)/{NAME}, then rmqsetup start",
        ),
        ("bootstrap", 3, "Bootstrap failed: 3: something new", "something new", "rmqsetup start --foreground"),
    ],
)
def test_what_launchd_refuses_is_explained(mac, failing, code, said, cause, hint):
    mac.env = (("FAILING", failing), ("SAYING", said), ("CODE", str(code)))
    its = service_manager("launchd-agent")
    result = mac.run(its.start(NAME))
    assert result.exit_code == code
    error = Service("launchd-agent", NAME).explain(result)
    assert cause in error.cause
    assert hint in error.hint


def test_a_job_that_launchd_will_not_let_go_is_no_stop(mac):
    carry_out(mac, Service("launchd-agent", NAME, None))
    mac.env = (("FAILING", "bootout"), ("SAYING", "Bootout failed: 36: Operation now in progress"), ("CODE", "36"))
    its = service_manager("launchd-agent")
    shell, option, script, *rest = its.stop(NAME).argv
    result = mac.run(Command((shell, option, script.replace("600", "2"), *rest)))
    assert not result.ok
    assert "still ending it" in Service("launchd-agent", NAME).explain(result).cause


@pytest.mark.parametrize("text", ["", "registered\nnow=1\n", "process x for y", "now=5\nprocess 1 for 99:99:99:99\n"])
def test_what_is_no_answer_is_no_process(text):
    assert not service_manager("launchd-agent").parse(text).running
