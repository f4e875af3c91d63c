"""A broker of a plain user's own from the distribution's packages, without root; what is wrong with them is refused."""

from __future__ import annotations

import pytest
from broker import envelope, rmqsetup
from lab import archive, debs, mirror
from lab.mirror import Fault

pytestmark = pytest.mark.machine

HOME = "/home/plain"
PREFIX = f"{HOME}/.local/share/rabbitmq"
PLAIN = {"user": "plain"}
KEPT = (f"{HOME}/.local/state*", f"{HOME}/.cache*", f"{HOME}/.local", f"{HOME}/.local/share")
"""Receipts, and packages that were fetched."""

NEWER = ("4.2.9-1", "1:27.3.4.6-1")
OWN = "/etc/apt/sources.list.d/own.sources"
KEYRING = "/srv/own.asc"
CHECKS = ("check_running", "check_alarms", "check_port_connectivity", "check_virtual_hosts")


@pytest.fixture(scope="module")
def machine(lab, tool, trust):
    """One machine for all, in the order of the tests: first it has no lists of packages."""
    booted = lab.machine("trixie", layers=tool.layers(trust.good))
    booted.run("useradd", "-m", "plain", check=True)
    yield booted
    lab.remove(booted)


@pytest.fixture
def listed(machine):
    """The machine with lists of packages, and how it was before."""
    if machine.run("sh", "-c", "ls /var/lib/apt/lists/*_Packages*").exit_code != 0:
        machine.run("apt-get", "-qq", "update", check=True)
    return look(machine)


def look(machine):
    return machine.snapshot(folders=("/etc", "/usr/share/keyrings", "/opt", "/srv", HOME))


def unchanged(before, machine):
    assert before.differences(look(machine), ignore=KEPT) == ()


def healthy(machine):
    for check in CHECKS:
        machine.run(f"{PREFIX}/bin/rabbitmq-diagnostics", "-q", check, check=True, **PLAIN)


def started_by_hand(machine):
    """Hold `start` to what it says: in the background, not twice, and as a command that stops in order."""
    assert envelope(machine, "start", **PLAIN)["status"] == "unchanged"
    machine.run(f"{PREFIX}/bin/rabbitmqctl", "-q", "shutdown", check=True, **PLAIN)
    assert envelope(machine, "start", **PLAIN)["status"] == "changed"
    refused = envelope(machine, "start", "--foreground", code=9, **PLAIN)
    assert f"{PREFIX}/bin/rabbitmqctl stop" in refused["errors"][0]["hint"]
    machine.run(f"{PREFIX}/bin/rabbitmqctl", "-q", "shutdown", check=True, **PLAIN)
    running = machine.popen("rmqsetup", "start", "--foreground", **PLAIN)
    rmqsetup(machine, "verify", "--wait", "120", **PLAIN)
    machine.run("pkill", "-TERM", "-u", "plain", "-f", "rmqsetup start --foreground", check=True)
    done = running.finish(60)
    assert done.exit_code == 0, str(done)
    assert "was stopped by SIGTERM" in done.stderr
    assert "completed with" in done.stdout, "its output is the node's"
    assert envelope(machine, "start", **PLAIN)["status"] == "changed"


def test_without_lists_it_says_what_root_types(machine):
    machine.run("sh", "-c", "rm -rf /var/lib/apt/lists/*", check=True)
    before = look(machine)
    answer = envelope(machine, "install", "--user", "--yes", code=3, **PLAIN)
    (error,) = answer["errors"]
    assert "apt-get update" in error["hint"]
    unchanged(before, machine)
    refused = envelope(machine, "install", "--user", "--yes", code=3)
    assert "rmqsetup install" in refused["errors"][0]["hint"], "root is told to install packages"


def test_from_nothing_to_a_message_and_back(machine, listed):
    plan = envelope(machine, "plan", "--user", code=10, **PLAIN)
    assert plan["data"]["source"] == "user"
    assert plan["data"]["packages"] == []
    unchanged(listed, machine)

    words = ("--user", "--plugins", "rabbitmq_management", "--open-files", "4096")
    done = envelope(machine, "install", *words, "--yes", **PLAIN)
    assert done["data"]["verification"]["level"] == 5
    healthy(machine)
    assert machine.run("stat", "-c", "%U", f"{PREFIX}/current/sbin").stdout == "plain\n"
    limit = machine.run("sh", "-c", "grep 'Max open files' /proc/$(pgrep -u plain beam.smp)/limits").stdout.split()
    assert limit[3:5] == ["4096", "4096"]
    assert "nothing to do" in rmqsetup(machine, "install", *words, "--yes", **PLAIN).stdout.lower()
    assert envelope(machine, "status", **PLAIN)["data"]["node"]["version"] == plan["data"]["rabbitmq"]
    envelope(machine, "verify", **PLAIN)
    assert machine.run("dpkg-query", "-W", "erlang-base").exit_code != 0, "nothing is installed"
    lab = "/usr/local/lib/rmqsetup-lab"
    own = "from rmqsetup.testing import broker\nwith broker() as b: print(b.lease.home)"
    found = machine.run("env", f"PYTHONPATH={lab}/app:{lab}/deps", "python3", "-c", own, check=True, **PLAIN)
    assert found.stdout.startswith(f"{PREFIX}/rabbitmq_server-"), "tests take it for a throwaway broker"

    rmqsetup(machine, "install", *words, "--set", "heartbeat=20", "--yes", **PLAIN)
    rmqsetup(machine, "undo", "--yes", **PLAIN)
    rmqsetup(machine, "verify", **PLAIN)
    started_by_hand(machine)
    rmqsetup(machine, "uninstall", "--purge", "--yes", **PLAIN)
    assert machine.run("pgrep", "-c", "beam.smp").stdout == "0\n"
    assert not machine.exists(PREFIX)
    unchanged(listed, machine)


def test_a_kill_while_it_is_unpacked_is_finished_by_the_next_run_and_taken_back(machine, listed):
    words = ("install", "--user", "--no-start", "--yes")
    running = machine.popen("rmqsetup", *words, **PLAIN)
    found = machine.run(
        "sh", "-c", 'for i in $(seq 3000); do ls -d "$1"/.*.rmqsetup/.whole/*/ && exit; sleep 0.02; done; exit 1',
        "sh", PREFIX,
    )  # fmt: skip
    running.kill_tree()
    running.finish()
    assert found.exit_code == 0, "it was cut in the middle"
    rmqsetup(machine, *words, **PLAIN)
    assert machine.run("sh", "-c", f"ls -d {PREFIX}/.*.rmqsetup").exit_code != 0
    assert machine.run(f"{PREFIX}/bin/rabbitmqctl", "version", **PLAIN).exit_code == 0
    rmqsetup(machine, "uninstall", "--purge", "--yes", **PLAIN)
    unchanged(listed, machine)


def test_a_package_that_was_exchanged_is_refused(machine, trust):
    stock = mirror.Stock(trust, archive.team("trixie", debs.fetch("trixie").versioned(*NEWER).debs))
    served = mirror.own(machine, stock)
    try:
        machine.write(KEYRING, trust.good.armored)
        uris = " ".join(f"http://mirror.test/{name}/debian/trixie" for name in ("rabbitmq-server", "rabbitmq-erlang"))
        machine.write(OWN, f"Types: deb\nURIs: {uris}\nSuites: trixie\nComponents: main\nSigned-By: {KEYRING}\n")
        machine.run("apt-get", "-qq", "update", check=True)
        served.trouble(Fault.SWAP_DEB)
        before = look(machine)
        answer = envelope(machine, "install", "--user", "--yes", code=5, **PLAIN)
        assert answer["errors"][0]["code"] == "trust"
        assert not machine.exists(PREFIX)
        unchanged(before, machine)
        served.repair()
        plan = envelope(machine, "plan", "--user", code=10, **PLAIN)
        assert (plan["data"]["rabbitmq"], plan["data"]["erlang"]) == ("4.2.9", "27.3.4.6"), "the same, in order again"
    finally:
        served.close()
        machine.run("rm", "-f", OWN, KEYRING, check=True)
        machine.run("apt-get", "-qq", "update", check=True)
