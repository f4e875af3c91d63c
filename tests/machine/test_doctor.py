"""Faults are put into one real broker, one after the other: the doctor names each first, and is silent in between.

What each check says of what is in `test_checks`; which faults there are, in `faults`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from broker import own_mirror, rmqsetup
from faults import CONF, COOKIE, DATA, DROP_IN, ENV, LISTS, RUNNING, STOPPED, certificate
from odd_faults import ODD, SURVIVED
from rare_faults import RARE, RPM, SOURCES
from test_rpm import OLDER

from rmqsetup.doctor import check_named

pytestmark = pytest.mark.machine

DOCUMENT = Path(__file__).parents[2] / "docs/doctor.md"
BEGIN, END = "<!-- faults: written by tests/machine/test_doctor.py -->", "<!-- end of faults -->"
STARTED = (
    "systemctl start --no-block rabbitmq-server; for i in $(seq 300); do "
    "systemctl show -p SubState rabbitmq-server | grep -q auto-restart && break; sleep 0.1; done"
)
MANY = 30
"""So many faults are cured together at most."""

TLS_SETTINGS = "/etc/rabbitmq/conf.d/tls.conf"
OF_A_KIND = tuple(each for each in RARE if each.name in ("switch that is none", "share without a decimal point"))
"""Faults that each series tells by another schema."""

BEATEN = ("cookie open to others", "unknown key", "data of root")
"""Faults with which the broker is really started, so that what it dies of is folded under them."""


def install(machine):
    """Install the distribution's own broker, and let it boot once."""
    machine.run("apt-get", "-q", "update", check=True)
    machine.run("apt-get", "-qy", "install", "--no-install-recommends", "rabbitmq-server", check=True)


@pytest.fixture(scope="module")
def broker(lab, tool):
    """One broker for all tests, each of which leaves it running and well."""
    machine = lab.machine(layers=(*tool.layers(), lab.layer("distribution-broker", install)))
    machine.run("rabbitmqctl", "await_startup", check=True)
    machine.run("mkdir", "-p", "/root/kept", "/etc/apt/keyrings", check=True)
    machine.run("cp", "-p", ENV, f"{DATA}/rabbit@broker-feature_flags", "/root/kept/", check=True)
    yield machine
    lab.remove(machine)


def shell(machine, command):
    return machine.run("sh", "-c", command, check=True).stdout


def diagnosis(machine, *words, **options):
    """Return the findings, causes first, each with the ids that are folded under it."""
    done = machine.run("rmqsetup", "doctor", "--output", "json", *words, **options)
    answer = json.loads(done.stdout)
    grave = [each for each in answer["data"]["findings"] if each["severity"] != "info"]
    assert done.exit_code == answer["exit_code"] == (10 if grave else 0)
    assert not [each for each in grave if each["severity"] == "crash"], grave
    return grave


def ids(findings):
    return [each["check"] for each in findings]


def test_a_healthy_broker_gives_no_finding_to_root_or_anybody(broker):
    assert diagnosis(broker) == []
    broker.run("useradd", "--create-home", "plain")
    assert diagnosis(broker, user="plain") == []
    assert broker.run("rmqsetup", "doctor", "--only", "cookie", user="plain").exit_code == 0


@pytest.mark.parametrize("base", ["bookworm", "forky"])
def test_what_rmqsetup_installs_gives_no_finding(boot, tool, base):
    """Other series, a recipe with plugins and settings, packages held, and no RabbitMQ at all before that."""
    machine = boot(base, layers=tool.layers())
    assert diagnosis(machine) == []
    rmqsetup(machine, "install", "--source", "distro", "--recipe", "production", "--yes")
    assert diagnosis(machine) == []
    shell(machine, f"mkdir -p /etc/rabbitmq/conf.d; {certificate().replace(CONF, TLS_SETTINGS)}")
    shell(machine, f"echo 'channel_max = 100' >>{TLS_SETTINGS}; systemctl restart rabbitmq-server")
    assert diagnosis(machine) == []
    assert _trials(machine, OF_A_KIND, between=[]) == []


def test_a_system_of_rpm_packages_is_looked_at_as_well(start_rpm, tool):
    team = start_rpm("el9", real=True, one_key=True, over=tool.layers())
    machine = team.machine
    assert diagnosis(machine) == []
    rmqsetup(machine, "install", *own_mirror(team), "--rabbitmq", OLDER[0], "--erlang", OLDER[1], "--yes")
    assert diagnosis(machine) == []
    assert _trials(machine, RPM, between=[]) == []
    _cured(machine, [each for each in RPM if each.fix])
    shell(machine, "systemctl stop rabbitmq-server; chown -R root: /var/lib/rabbitmq/mnesia")
    assert ids(diagnosis(machine)) == ["RMQ-053"]
    rmqsetup(machine, "doctor", "--fix", "--yes")


def test_looking_changes_nothing(broker):
    before = broker.snapshot(folders=("/etc", "/var/lib/rabbitmq/mnesia/rabbit@broker-feature_flags", "/root"))
    cookie = shell(broker, "stat -c '%Y %Z' /var/lib/rabbitmq/.erlang.cookie")
    rmqsetup(broker, "doctor")
    after = broker.snapshot(folders=("/etc", "/var/lib/rabbitmq/mnesia/rabbit@broker-feature_flags", "/root"))
    assert before.differences(after) == ()
    assert shell(broker, "stat -c '%Y %Z' /var/lib/rabbitmq/.erlang.cookie") == cookie


def test_faults_of_a_broker_that_runs_are_named_first(broker):
    assert _trials(broker, (*RUNNING, *SOURCES, *SURVIVED), between=[]) == []


def test_a_packet_filter_is_named_first(broker):
    space = ("nsenter", "-t", str(broker.leader), "-n", "nft")
    rules = "add table inet t; add chain inet t in { type filter hook input priority 0; policy accept; }; "
    rules += "add rule inet t in tcp dport { 4369, 25672 } drop"
    subprocess.run((*space, rules), check=True, timeout=30)
    found = diagnosis(broker)
    subprocess.run((*space, "delete table inet t"), check=True, timeout=30)
    assert ids(found) == ["RMQ-041"]
    assert diagnosis(broker) == []


@pytest.mark.timeout(600)
def test_faults_that_keep_a_broker_from_starting_are_named_first(broker):
    """Most are made while it is stopped, and only looking tells them apart; of three it really dies."""
    shell(broker, "systemctl stop rabbitmq-server")
    wrong = _trials(broker, (*STOPPED, *RARE, *ODD))
    for fault in (each for each in STOPPED if each.name in BEATEN):
        shell(broker, f"{fault.make}; {STARTED}")
        found = diagnosis(broker)
        shell(broker, f"systemctl stop rabbitmq-server; {fault.undo}")
        if ids(found) != [fault.check] or "RMQ-001" not in ids(found[0]["consequences"]):
            wrong.append((fault.name, found))
    shell(broker, "systemctl start rabbitmq-server")
    assert wrong == []
    assert diagnosis(broker) == []


def _trials(machine, faults, between=None):
    """Make each fault, take it back, and return those that were not named first.

    What is found `between` two faults, where that is looked at, has to be as given.
    """
    wrong = []
    for fault in faults:
        shell(machine, fault.make)
        found = diagnosis(machine)
        shell(machine, fault.undo)
        after = between if between is None else ids(diagnosis(machine))
        if ids(found)[:1] != [fault.check] or after != between:
            wrong.append((fault.name, fault.check, [(each["check"], each["summary"]) for each in found], after))
    return wrong


@pytest.mark.timeout(600)
def test_faults_are_cured_and_the_cures_undone(broker):
    """The broker is well after each cure; the cure is taken back, and the faults are there again.

    Faults that leave each other alone are cured together: what several want of one file has to come together, too.
    """
    for faults in _rounds((*RUNNING, *SOURCES, *SURVIVED)):
        _cured(broker, faults)
    shell(broker, "systemctl stop rabbitmq-server")
    for faults in _rounds((*STOPPED, *RARE, *ODD)):
        _cured(broker, faults)
    shell(broker, "systemctl start rabbitmq-server")
    assert diagnosis(broker) == []


def _rounds(faults):
    """Share out those that can be cured: no two of a round touch one file, and none explains another."""
    rounds = []
    for fault in (each for each in faults if each.fix):
        own = fault.alone or fault.lasting or fault.fix not in ("safe", "all")
        fitting = (
            each for each in rounds if not own and len(each) < MANY and all(_is_apart(fault, other) for other in each)
        )
        its = next(fitting, None)
        if its is None:
            rounds.append([fault])
        else:
            its.append(fault)
    return rounds


def _is_apart(one, other):
    own = other.alone or other.lasting or other.fix not in ("safe", "all")
    explains = {*check_named(one.check).explains, *check_named(other.check).explains}
    paths = [(f"{a}/", f"{b}/") for a in _touched(one) for b in _touched(other)]
    shared = any((a.startswith(b) or b.startswith(a)) and a != f"{ENV}/" for a, b in paths)
    return not (own or shared or {one.check, other.check} & explains)


def _touched(fault):
    return set(re.findall(r"/(?:etc|var|usr/share)/[\w./@-]*\w", fault.make)) - {LISTS, DROP_IN, "/etc/rabbitmq/conf.d"}


def _cured(machine, faults):
    names = [each.name for each in faults]
    for fault in faults:
        shell(machine, fault.make)
    how = {each.fix for each in faults}
    rmqsetup(machine, "doctor", f"--fix={how.pop() if len(how) == 1 else 'all'}", "--yes")
    assert machine.run("rabbitmq-diagnostics", "-q", "check_running").exit_code == 0, names
    assert diagnosis(machine) == [], names
    if any(each.lasting for each in faults):
        return
    rmqsetup(machine, "undo", "--yes")
    again = [check for found in diagnosis(machine) for check in (found["check"], *ids(found["consequences"]))]
    assert {each.check for each in faults} <= set(again), names
    for fault in reversed(faults):
        shell(machine, fault.undo)
    shell(machine, f"rm -rf {DATA}/*.aside-* /var/log/rabbitmq.aside-* {COOKIE}.aside-* /etc/rabbitmq/*.aside-*")


def test_a_bundle_has_no_cookie_and_no_password(broker):
    shell(broker, "mkdir -p /etc/rabbitmq/conf.d; echo 'default_pass = s3cr3t-Pa55' >/etc/rabbitmq/conf.d/p.conf")
    rmqsetup(broker, "doctor", "--bundle", "/root/bundle.tar.gz")
    texts = shell(broker, "tar -xzOf /root/bundle.tar.gz")
    cookie = broker.read("/var/lib/rabbitmq/.erlang.cookie").strip()
    shell(broker, "rm -r /etc/rabbitmq/conf.d /root/bundle.tar.gz")
    assert "default_pass = (removed)" in texts
    assert "Server startup complete" in texts
    assert cookie not in texts


def test_the_table_in_the_documents_has_every_fault():
    """Compare, or write anew with UPDATE_GOLDEN=1: the tests above have held the doctor to each row."""
    how = {"": "", "safe": "`--fix`"}
    faults = (*RUNNING, *SOURCES, *SURVIVED, *STOPPED, *RARE, *ODD)
    rows = ["", "| Fault | Found first | Cured by |", "|---|---|---|"]
    rows += [f"| {each.name} | {each.check} | {how.get(each.fix, '`--fix=all`')} |" for each in faults]
    text = DOCUMENT.read_text(encoding="utf-8")
    new = f"{text.split(BEGIN)[0]}{BEGIN}\n" + "\n".join(rows) + f"\n\n{END}" + text.split(END)[1]
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(new, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == new
