"""A broker from a signed archive, all of it below one folder, for root and for a plain user; bad ones are refused."""

from __future__ import annotations

import hashlib
import json

import pytest
from broker import STAYS, envelope, rmqsetup
from lab import generic

pytestmark = pytest.mark.machine

FILES = "/srv/files"
GOOD, ERLANG = f"{FILES}/rabbitmq.tar.xz", f"{FILES}/erlang.tar.gz"
ROOTS, THEIRS = "/opt/broker", "/home/plain/broker"
RECEIPTS = ("/home/plain/.local*",)
CHECKS = ("check_running", "check_alarms", "check_port_connectivity", "check_virtual_hosts")


@pytest.fixture(scope="module")
def archives():
    return generic.fetch("trixie")


@pytest.fixture(scope="module")
def machine(lab, tool, trust, archives):
    """One machine for all: every test gives it back as it was."""
    booted = lab.machine("trixie", layers=tool.layers(trust.good))
    booted.run("useradd", "-m", "plain", check=True)
    deliver(booted, trust, GOOD, archives.rabbitmq.read_bytes())
    deliver(booted, trust, ERLANG, archives.erlang.read_bytes(), key=None)
    yield booted
    lab.remove(booted)


@pytest.fixture
def before(machine):
    return look(machine)


def look(machine):
    """Look at the machine, and at where brokers go."""
    return machine.snapshot(folders=("/etc", "/usr/share/keyrings", "/opt", "/srv", "/home/plain"))


def restored(before, machine, *ignore):
    assert before.differences(look(machine), ignore=(*STAYS, *RECEIPTS, *ignore)) == ()


def deliver(machine, trust, path, data, *, key="good", signed=b""):
    """Put an archive into a machine, with its signature beside it."""
    machine.write(path, data)
    if key:
        machine.write(f"{path}.asc", trust.sign(getattr(trust, key), signed or data, clear=False))


def erlang(archives):
    digest = hashlib.sha256(archives.erlang.read_bytes()).hexdigest()
    return ("--erlang-archive", ERLANG, "--erlang-digest", digest)


def wish(prefix, *more, archive=GOOD):
    return ("--source", "archive", "--prefix", prefix, "--archive", archive, *more)


def healthy(machine, prefix, **options):
    for check in CHECKS:
        machine.run(f"{prefix}/bin/rabbitmq-diagnostics", "-q", check, check=True, **options)


def nodes(machine):
    return machine.run("pgrep", "-c", "beam.smp").stdout.strip()


def test_for_root_with_the_distributions_erlang(machine, before, archives):
    plan = envelope(machine, "plan", *wish(ROOTS), code=10)
    assert plan["data"]["rabbitmq"] == archives.version
    assert "erlang-base" in plan["data"]["packages"]
    assert before.differences(look(machine), ignore=RECEIPTS) == (), "a plan changes nothing"

    done = envelope(machine, "install", *wish(ROOTS, "--plugins", "rabbitmq_management"), "--yes")
    assert done["status"] == "changed"
    assert done["data"]["verification"]["level"] == 5
    healthy(machine, ROOTS)
    assert machine.run("readlink", f"{ROOTS}/current").stdout.strip() == f"rabbitmq_server-{archives.version}"
    again = rmqsetup(machine, "install", *wish(ROOTS, "--plugins", "rabbitmq_management"), "--yes")
    assert "nothing to do" in again.stdout.lower() + again.stderr.lower()
    without = rmqsetup(machine, "install", "--source", "archive", "--prefix", ROOTS, "--yes")
    assert "nothing to do" in without.stdout.lower() + without.stderr.lower(), "what is there grants the wish"
    status = envelope(machine, "status")
    assert status["data"]["node"]["version"] == archives.version
    envelope(machine, "verify")

    rmqsetup(machine, "install", *wish(ROOTS, "--set", "heartbeat=20"), "--yes")
    assert machine.run("grep", "-c", "Starting RabbitMQ", f"{ROOTS}/var/log/rabbitmq/rabbit@broker.log").stdout == "2\n"
    healthy(machine, ROOTS)

    rmqsetup(machine, "uninstall", "--yes")
    assert nodes(machine) == "0"
    assert machine.exists(f"{ROOTS}/var/lib/rabbitmq/.erlang.cookie"), "data are kept"
    restored(before, machine, f"{ROOTS}*")
    assert machine.run("ls", "-A", ROOTS).stdout == "var\n"
    machine.run("rm", "-r", ROOTS, check=True)


def test_for_a_plain_user_with_an_erlang_of_his_own(machine, before, archives):
    plain = {"user": "plain"}
    words = wish(THEIRS, *erlang(archives))
    done = envelope(machine, "install", *words, "--yes", **plain)
    assert done["data"]["verification"]["level"] == 5
    healthy(machine, THEIRS, **plain)
    assert machine.run("stat", "-c", "%U", f"{THEIRS}/current/sbin").stdout == "plain\n"
    again = rmqsetup(machine, "install", *words, "--yes", **plain)
    assert "nothing to do" in again.stdout.lower() + again.stderr.lower()
    assert envelope(machine, "status", **plain)["data"]["node"]["version"] == archives.version
    envelope(machine, "verify", **plain)
    assert "install" in rmqsetup(machine, "history", **plain).stdout

    rmqsetup(machine, "uninstall", "--purge", "--yes", **plain)
    assert nodes(machine) == "0"
    restored(before, machine)
    assert not machine.exists(THEIRS)


def test_an_upgrade_keeps_what_it_comes_from_and_goes_back(machine, before, trust, archives):
    newer = f"{FILES}/newer.tar.xz"
    top = f"rabbitmq_server-{archives.version}"
    deliver(machine, trust, newer, generic.renamed(archives.rabbitmq, top, "rabbitmq_server-4.0.9"))
    words = erlang(archives)
    rmqsetup(machine, "install", *wish(THEIRS, *words), "--yes", user="plain")
    rmqsetup(machine, "install", *wish(THEIRS, *words, archive=newer), "--yes", user="plain")
    assert machine.run("readlink", f"{THEIRS}/current").stdout == "rabbitmq_server-4.0.9\n"
    assert machine.exists(f"{THEIRS}/{top}/sbin")
    refused = envelope(machine, "install", *wish(THEIRS, *words), "--yes", user="plain", code=3)
    assert "cannot become" in refused["errors"][0]["message"]
    rmqsetup(machine, "undo", "--yes", user="plain")
    assert machine.run("readlink", f"{THEIRS}/current").stdout == f"{top}\n"
    assert not machine.exists(f"{THEIRS}/rabbitmq_server-4.0.9")
    rmqsetup(machine, "verify", user="plain")  # waits for the node, which was started without waiting
    healthy(machine, THEIRS, user="plain")
    rmqsetup(machine, "uninstall", "--purge", "--yes", user="plain")
    machine.run("rm", newer, f"{newer}.asc", check=True)
    restored(before, machine)


def test_a_kill_while_it_is_unpacked_leaves_nothing_that_an_undo_or_a_second_run_does_not_take(
    machine, before, archives
):
    words = ("install", *wish(THEIRS, *erlang(archives)), "--no-start", "--yes")
    for end in (("undo", "--yes"), words):
        running = machine.popen("rmqsetup", *words, user="plain")
        found = machine.run(
            "sh", "-c", 'for i in $(seq 3000); do ls -d "$1"/.*.rmqsetup/*/ && exit; sleep 0.02; done; exit 1', "sh",
            THEIRS,
        )  # fmt: skip
        running.kill_tree()
        running.finish()
        assert found.exit_code == 0, "it was seen in the middle"
        assert machine.run("sh", "-c", f"ls -d {THEIRS}/.*.rmqsetup").exit_code == 0, "and cut there"
        rmqsetup(machine, *end, user="plain")
        assert machine.run("sh", "-c", f"ls -d {THEIRS}/.*.rmqsetup").exit_code != 0
        if end[0] == "undo":
            restored(before, machine)
    rmqsetup(machine, "uninstall", "--yes", user="plain")
    restored(before, machine)


@pytest.mark.parametrize("user", ["", "plain"])
@pytest.mark.parametrize("kind", ["tampered", "strangers", "unsigned", "traversal", "erlang"])
def test_what_cannot_be_trusted_is_refused_and_nothing_changed(machine, trust, archives, kind, user):
    bad, data = f"{FILES}/{kind}.tar.xz", archives.rabbitmq.read_bytes()
    words = erlang(archives)
    if kind == "tampered":
        deliver(machine, trust, bad, data[:-100] + b"x" * 100, signed=data)
    elif kind == "strangers":
        deliver(machine, trust, bad, data, key="wrong")
    elif kind == "unsigned":
        deliver(machine, trust, bad, data, key=None)
    elif kind == "traversal":
        hostile = generic.with_member(archives.rabbitmq, f"rabbitmq_server-{archives.version}/../../owned")
        deliver(machine, trust, bad, hostile)
    else:
        deliver(machine, trust, bad, data)
        words = (*words[:-1], "0" * 64)
    before = look(machine)
    prefix = THEIRS if user else ROOTS
    answer = envelope(machine, "install", *wish(prefix, *words, archive=bad), "--yes", code=5, user=user)
    (error,) = answer["errors"]
    assert error["code"] == "trust", json.dumps(error)
    assert error["hint"] or error["cause"]
    assert before.differences(look(machine), ignore=RECEIPTS) == ()
    assert not machine.exists(prefix)
    machine.run("sh", "-c", f"rm -f {bad} {bad}.asc", check=True)


def test_a_users_own_systemd_looks_after_it(boot, tool, trust, archives):
    machine = boot("trixie", layers=tool.layers(trust.good))
    machine.run("useradd", "-m", "plain", check=True)
    machine.run("apt-get", "-qq", "update", check=True)
    machine.run("apt-get", "-qq", "-y", "--no-install-recommends", "install", "libpam-systemd", check=True)
    machine.run("install", "-D", "/dev/null", "/var/lib/systemd/linger/plain", check=True)
    machine.reboot()  # logind was not there when this machine booted
    deliver(machine, trust, GOOD, archives.rabbitmq.read_bytes())
    deliver(machine, trust, ERLANG, archives.erlang.read_bytes(), key=None)
    before = look(machine)
    words = wish(THEIRS, "--service", "systemd", *erlang(archives))
    rmqsetup(machine, "install", *words, "--yes", user="plain")
    assert "nothing to do" in rmqsetup(machine, "install", *words, "--yes", user="plain").stdout.lower()
    machine.reboot()
    rmqsetup(machine, "verify", user="plain")
    healthy(machine, THEIRS, user="plain")
    rmqsetup(machine, "install", *words, "--set", "heartbeat=20", "--yes", user="plain")
    rmqsetup(machine, "uninstall", "--purge", "--yes", user="plain")
    assert nodes(machine) == "0"
    restored(before, machine)
