"""What findings are mended with: the steps, joined into one plan, and that only causes are mended.

That real faults are cured on a real machine is tested in `machine/test_doctor.py`; the laws of the steps in
`laws/test_cure_laws.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scenes import CONF, MORE, Plain, Wires, scene

from rmqsetup.catalog import load
from rmqsetup.checks import SERVICE_FAILS, error
from rmqsetup.checks import trust as trust_checks
from rmqsetup.codec import to_data
from rmqsetup.doctor import chosen as checks_named
from rmqsetup.doctor import curable, cure, examine, fold
from rmqsetup.host import Command, FileState, Kind, Result, Standing
from rmqsetup.openpgp import read_keys
from rmqsetup.steps.account import Account
from rmqsetup.steps.disabled import Disabled, line
from rmqsetup.steps.file import File
from rmqsetup.steps.service import Service
from rmqsetup.steps.units import Units

PASSWD = "root:x:0:0::/root:/bin/sh\nrabbitmq:x:101:102::/var/lib/rabbitmq:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nrabbitmq:x:102:\n"
WISH = Account("rabbitmq", 101, 102, "/var/lib/rabbitmq")


def looked(step, *texts):
    return step.observe(tuple(FileState(text.encode(), 0o644, "root", "root") for text in texts))


def commands(change):
    return [str(action) for action in change.actions]


def test_what_several_findings_want_of_one_file_is_one_step():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put(CONF, "heartbeat 60\nfoo.bar = 1\nchannel_max = lots\nheartbeat = 60\n")
    found = examine(scene(machine, wires), checks_named("configuration"))
    plan = cure(curable(found, "all"))
    (step,) = (step for step in plan.steps if isinstance(step, Disabled))
    assert [number for number, _ in step.lines] == [1, 2, 3]
    written = step.diff(step.observe((machine.files[CONF],))).actions[0].content.decode()
    assert written == "# heartbeat 60\n# foo.bar = 1\n# channel_max = lots\nheartbeat = 60\n"


def test_lines_end_as_they_ended():
    state = FileState(b"a\r\nb\r\n", 0o640, "root", "rabbitmq")
    change = Disabled(CONF, (line(1, "a"),)).diff(Disabled(CONF, (), state=state))
    assert change.actions[0].content == b"# a\r\nb\r\n"
    assert change.inverse == File(
        CONF, state.content, 0o640, "root", "rabbitmq", secret=True, expect=change.inverse.expect
    )


def test_a_plan_has_no_password_of_a_line_that_is_switched_off():
    machine, wires = Plain(), Wires()
    wires.down()
    machine.put(CONF, "defualt_pass = s3cr3t-Pa55\n")
    found = examine(scene(machine, wires), checks_named("RMQ-072"))
    assert "s3cr3t" not in str(found)
    plan = cure(curable(found, "all"))
    (step,) = (step for step in plan.steps if isinstance(step, Disabled))
    change = step.diff(step.observe((machine.files[CONF],)))
    assert "s3cr3t" not in json.dumps(to_data(plan)) + str(change.details)
    assert change.inverse.secret


SHOWN = "LoadState=loaded\nUnitFileState=enabled\n"
FAILED = f"{SHOWN}ActiveState=failed\nSubState=failed\n"
RAN = "ExecMainStartTimestamp=Sun 2026-11-22 11:38:56 UTC\n"


@pytest.mark.parametrize(
    ("show", "running", "words"),
    [
        (FAILED, False, ["reset-failed"]),
        (FAILED, True, ["reset-failed", "start"]),
        (f"{SHOWN}{RAN}ActiveState=activating\nSubState=auto-restart\n", True, ["reset-failed", "start"]),
        (f"{SHOWN}ActiveState=inactive\nSubState=dead\n", True, ["start"]),
        (f"{SHOWN}{RAN}ActiveState=active\nSubState=running\n", False, ["stop"]),
    ],
)
def test_earlier_starts_and_failures_of_a_service_are_forgotten(show, running, words):
    """Systemd refuses a start after too many in too little time: 5 in 10 minutes on Debian testing."""
    wish = Service("systemd", "rabbitmq-server", enabled=None, running=running)
    change = wish.diff(wish.observe((Result(Command(("systemctl", "show")), 0, show, ""),)))
    assert [command.argv[1:] for command in change.actions] == [(word, "rabbitmq-server") for word in words]


def test_a_service_that_two_findings_restart_is_newer_than_the_files_of_both():
    machine = Plain()
    for name, limit in (("a", "LimitNOFILE=256"), ("b", "TimeoutStartSec=1")):
        machine.put(f"/etc/systemd/system/rabbitmq-server.service.d/{name}.conf", f"[Service]\n{limit}\n")
    folder = "/etc/systemd/system/rabbitmq-server.service.d"
    machine.change(MORE, "DropInPaths=", f"DropInPaths={folder}/a.conf {folder}/b.conf")
    machine.change(MORE, "LimitNOFILE=65536", "LimitNOFILE=256")
    machine.change(MORE, "TimeoutStartUSec=10min", "TimeoutStartUSec=1s")
    plan = cure(curable(examine(scene(machine), checks_named("RMQ-005,RMQ-009")), "all"))
    (service,) = (step for step in plan.steps if isinstance(step, Service))
    assert set(service.newer_than) == {f"{folder}/a.conf", f"{folder}/b.conf"}
    assert any(isinstance(step, Units) for step in plan.steps)


def test_a_consequence_is_not_mended_beside_its_cause():
    """To a service that runs as nobody, the cookie of rabbitmq has the wrong owner."""
    machine = Plain()
    machine.put("/etc/systemd/system/rabbitmq-server.service.d/x.conf", "[Service]\nUser=nobody\n")
    machine.change(MORE, "User=rabbitmq", "User=nobody")
    machine.change(MORE, "DropInPaths=", "DropInPaths=/etc/systemd/system/rabbitmq-server.service.d/x.conf")
    machine.put("/etc/passwd", f"{PASSWD}nobody:x:65534:65534::/:/usr/sbin/nologin\n")
    found = examine(scene(machine), checks_named("RMQ-132,RMQ-050"))
    assert [illness.cause.check for illness in found.illnesses] == ["RMQ-132"]
    assert [each.check for each in curable(found, "all")] == ["RMQ-132"]
    assert curable(found, "safe") == ()
    assert [each.check for each in curable(found, "RMQ-050")] == ["RMQ-050"]


def test_what_only_names_changes_explains_a_failing_service():
    broken = error(SERVICE_FAILS, "x", evidence=("x",))
    (illness,) = fold((broken, error("RMQ-137", "changed", evidence=("x",))))
    assert illness.cause.check == "RMQ-137"


def test_the_keyring_of_team_rabbitmq_is_made_from_the_key_that_the_catalog_pins():
    machine = Plain()
    path = "/usr/share/keyrings/com.rabbitmq.team.gpg"
    line = f"deb [signed-by={path}] https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie trixie main\n"
    machine.put("/etc/apt/sources.list.d/x.list", line)
    (finding,) = trust_checks.keys(scene(machine))
    (step,) = finding.fix
    assert finding.safe
    assert step.path == path
    assert [key.fingerprint for key in read_keys(step.content)] == [load().keys[0].fingerprint]


@pytest.mark.parametrize(
    ("passwd", "group", "wished"),
    [
        (PASSWD, GROUP, []),
        ("", GROUP, ["useradd --system --uid 101 --gid 102"]),
        ("", "", ["groupadd --system --gid 102 rabbitmq", "useradd --system --uid 101 --gid 102"]),
        (PASSWD, "", ["groupadd --system --gid 102 rabbitmq"]),
        (PASSWD.replace("/var/lib/rabbitmq", "/nonexistent"), GROUP, ["usermod --home /var/lib/rabbitmq rabbitmq"]),
    ],
)
def test_an_account_gets_what_it_lacks_with_the_numbers_it_had(passwd, group, wished):
    was = looked(WISH, passwd, group)
    change = WISH.diff(was)
    assert len(commands(change)) == len(wished)
    assert all(told.startswith(words) for told, words in zip(commands(change), wished, strict=True))
    if wished:
        back = change.inverse.diff(looked(change.inverse, PASSWD, GROUP))
        assert commands(back)
        assert looked(change.inverse, passwd, group) == change.inverse


def test_a_group_may_go_with_its_user_and_else_goes_after_it():
    gone = replace(WISH, there=False, grouped=False)
    assert commands(gone.diff(looked(gone, PASSWD, GROUP))) == ["userdel rabbitmq"]
    assert commands(gone.diff(looked(gone, "", GROUP))) == ["groupdel --force rabbitmq"]
    assert gone.diff(looked(gone, "", "")).empty


def test_a_unit_is_read_anew_only_where_its_files_changed():
    step = Units("rabbitmq-server.service")
    said = {"": [], "NeedDaemonReload=yes\n": ["daemon-reload"], "Result=start-limit-hit\n": ["reset-failed"]}
    said["LoadState=bad-setting\n"] = ["daemon-reload"]
    for text, verbs in said.items():
        seen = step.observe((Result(Command(("systemctl",)), 0, text),))
        assert [action.argv[1] for action in step.diff(seen).actions] == verbs
    torn = (Result(Command(("systemctl",)), 0, "LoadState=bad-setting\n"),)
    back = step.diff(step.observe(torn)).inverse
    assert back.diff(back.observe(torn)).empty, "what is taken back may be what systemd makes no sense of"
    older = (Result(Command(("systemctl",)), 0, "LoadState=bad-setting\nNeedDaemonReload=yes\n"),)
    assert back.diff(back.observe(older)).empty, "systemd 252 wants to read such a unit for ever"


def test_a_unit_that_came_to_stand_before_the_packages_is_read():
    step = Units("rabbitmq-server.service")
    said = Result(Command(("systemctl",)), 0, "NeedDaemonReload=no\nFragmentPath=/usr/lib/systemd/system/x.service\n")
    assert step.observe((said, Standing(Kind.FILE))).stale
    assert not step.observe((said, None)).stale
    assert not step.observe((said, Standing(Kind.LINK, "/dev/null"))).stale


def test_nothing_of_a_package_is_changed_for_a_unit():
    machine = Plain()
    machine.change(MORE, "LimitNOFILE=65536", "LimitNOFILE=256")
    machine.files.pop(next(path for path in machine.files if path.endswith("/limits")))
    (finding,) = examine(scene(machine), checks_named("RMQ-005")).findings
    assert finding.fix == ()
