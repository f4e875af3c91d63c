"""Throwaway brokers on fresh machines that have no RabbitMQ: a plain user, the newer series, what CI runs."""

from __future__ import annotations

import json

import pytest
from broker import envelope, rmqsetup
from lab import generic

pytestmark = pytest.mark.machine

PLAIN = {"user": "plain"}
SEEN = {"trixie": "4.0.", "forky": "4.3."}
FAULTS = """
import pika
from contextlib import closing
from rmqsetup.probes.terms import Atom
from rmqsetup.testing import broker, faults

with broker(nodes=2) as b:
    assert not b.notes, b.notes
    first, second = (Atom(node.member.name) for node in b.nodes)

    def sees():
        with closing(b.nodes[0].connect()) as node:
            return second in node.call("erlang", "nodes")

    assert sees()
    with faults.cut(b, 0, 1):
        assert not sees()
    assert sees()
    connection = pika.BlockingConnection(b.connection_params())
    assert faults.close_connections(b) == 1
    try:
        connection.process_data_events(5)
        raise AssertionError("the connection is still open")
    except pika.exceptions.ConnectionClosedByBroker:
        pass
    with faults.alarm(b):
        assert b.call("rabbit_alarm", "get_local_alarms")
    assert not b.call("rabbit_alarm", "get_local_alarms")
    with b.supply() as supply:
        one, two = supply.take(), supply.take()
        supply.give_back(one)
        supply.give_back(two)
    b.restart(1)
    b.kill_node(1)
    assert len(b.dead()) == 1
    b.start_node(1)
    assert two not in b.ctl("-q", "list_vhosts").split()
    print(b.carry() > 0)
"""

CI = "/usr/local/lib/rmqsetup-lab/app/rmqsetup"
NOTHING = "pgrep -a 'beam|epmd'; ls -A /dev/shm /tmp"


@pytest.fixture(scope="module", params=SEEN)
def machine(lab, tool, request):
    """A machine with lists of packages, and what it is."""
    booted = lab.machine(request.param, layers=tool.layers())
    booted.run("useradd", "-m", "plain", check=True)
    booted.run("apt-get", "-qq", "update", check=True)
    booted.base = request.param
    yield booted
    lab.remove(booted)


def test_a_plain_user_gets_one_where_nothing_is_installed(machine):
    before = machine.run("sh", "-c", NOTHING).stdout
    script = "echo $RABBITMQ_URL $RABBITMQ_MANAGEMENT_URL; rmqsetup ps --json"
    done = rmqsetup(machine, "run", "--plugins", "rabbitmq_management", "--", "sh", "-c", script, **PLAIN)
    first, rest = done.stdout.split("\n", 1)
    assert len(first.split()) == 2
    (lease,) = json.loads(rest)["data"]["brokers"]
    assert lease["version"].startswith(SEEN[machine.base])
    assert "its own script" not in done.stderr, "it started the fast way"
    assert machine.run("dpkg-query", "-W", "rabbitmq-server").exit_code != 0
    again = rmqsetup(machine, "run", "--plugins", "rabbitmq_management", "--", "true", **PLAIN)
    assert "unpacking" not in again.stderr
    assert machine.run("sh", "-c", NOTHING).stdout == before


def test_a_cluster_of_three_and_a_start_by_the_script(machine):
    nodes = "rmqsetup ps --json | grep -c amqp://"
    assert rmqsetup(machine, "run", "--nodes", "3", "--", "sh", "-c", nodes, **PLAIN).stdout == "4\n"
    rmqsetup(machine, "run", "--stock", "--", "true", **PLAIN)
    assert machine.run("pgrep", "-u", "plain").stdout == ""


def test_faults_and_virtual_hosts_on_this_series(machine):
    lab = "/usr/local/lib/rmqsetup-lab"
    done = machine.run("env", f"PYTHONPATH={lab}/app:{lab}/deps", "python3", "-c", FAULTS, **PLAIN)
    assert (done.exit_code, done.stdout) == (0, "True\n"), str(done)


def test_the_steps_of_the_action(machine):
    github = tuple(f"{name}=/tmp/{name}" for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH"))
    inputs = ("VERSION=", "PLUGINS=rabbitmq_management", "RECIPE=", "NODES=", "MODE=ephemeral", f"TOOL={CI}")
    machine.run("sh", f"{CI}/recipes/ci/github.sh", env=(*github, *inputs), check=True, **PLAIN)
    outputs = dict(line.split("=", 1) for line in machine.read("/tmp/GITHUB_OUTPUT").splitlines())
    assert outputs["version"].startswith(SEEN[machine.base])
    assert outputs["erlang-version"].isdigit()
    assert outputs["management-url"].startswith("http://127.0.0.1:")
    (lease,) = envelope(machine, "ps", **PLAIN)["data"]["brokers"]
    assert f"RABBITMQ_URL={lease['url']}" in machine.read("/tmp/GITHUB_ENV").splitlines()
    assert rmqsetup(machine, "stop", "--all", **PLAIN).stdout == f"Stopped and removed: {lease['name']}\n"


def test_the_signed_archive_and_a_bundle_where_there_is_no_network(machine, trust):
    archive = generic.fetch(machine.base)
    data = archive.rabbitmq.read_bytes()
    machine.write("/srv/r.tar.xz", data)
    machine.write("/srv/r.tar.xz.asc", trust.sign(trust.good, data, clear=False))
    machine.write("/srv/key.asc", trust.good.armored)
    source = ("--source", "archive")
    named = ("--archive", "/srv/r.tar.xz", "--key", "/srv/key.asc", "--fingerprint", trust.good.fingerprint)
    if machine.base == "forky":  # whose Erlang is above the range of this release: its packages pair them, nobody else
        refused = rmqsetup(machine, "run", *source, *named, "--", "true", code=3, **PLAIN)
        assert f"no Erlang fits RabbitMQ {archive.version}" in refused.stderr
        return
    done = rmqsetup(machine, "run", *source, *named, "--", "rmqsetup", "ps", "--json", **PLAIN)
    (lease,) = json.loads(done.stdout)["data"]["brokers"]
    assert lease["version"] == archive.version
    assert f"/trees/rabbitmq_server-{archive.version}-" in lease["home"]
    assert "/.cache/rmqsetup/unpacked/trees/erlang-" in lease["erlang_home"]
    refused = rmqsetup(machine, "run", *source, *named[:2], "--", "true", code=5, **PLAIN)
    assert "is not signed by the key" in refused.stderr

    exported = envelope(machine, "cache", "export", "/home/plain/bundle", *source, **PLAIN)["data"]
    assert exported["rabbitmq"] == archive.version
    alone = 'ip link set lo up; exec su plain -c "$1"'
    elsewhere = "XDG_CACHE_HOME=/home/plain/elsewhere"
    for words in (
        f"rmqsetup cache import /home/plain/bundle --digest {exported['sha256']}",
        "rmqsetup run -- rmqsetup ps --json",
        f"{elsewhere}2 rmqsetup run --bundle /home/plain/bundle -- rmqsetup ps --json",
    ):
        found = machine.run("unshare", "-n", "sh", "-c", alone, "sh", f"export {elsewhere}; {words}", check=True)
    assert json.loads(found.stdout)["data"]["brokers"][0]["home"].startswith("/home/plain/elsewhere2/")
    machine.run("sh", "-c", "rm -r /home/plain/bundle /home/plain/elsewhere* /srv/r.tar.xz* /srv/key.asc", check=True)


def test_the_plain_script(machine):
    done = machine.run("sh", f"{CI}/recipes/ci/shell.sh", "sh", "-c", "echo $RABBITMQ_HOST; exit 3", **PLAIN)
    assert (done.exit_code, done.stdout) == (3, "127.0.0.1\n")


def test_the_action_installs_a_service_for_a_user_with_sudo(boot, tool):
    machine = boot("trixie", layers=tool.layers())
    machine.run("useradd", "-m", "plain", check=True)
    machine.write("/etc/sudoers.d/plain", "plain ALL=(ALL) NOPASSWD: ALL\n")
    github = tuple(f"{name}=/tmp/{name}" for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH"))
    inputs = ("VERSION=4.0", "PLUGINS=rabbitmq_management", "RECIPE=", "NODES=", "MODE=system", f"TOOL={CI}")
    done = machine.run("sh", f"{CI}/recipes/ci/github.sh", env=(*github, *inputs), **PLAIN)
    assert done.exit_code == 0, str(done)
    outputs, variables = (
        dict(line.split("=", 1) for line in machine.read(f"/tmp/{name}").splitlines())
        for name in ("GITHUB_OUTPUT", "GITHUB_ENV")
    )
    status = envelope(machine, "status")["data"]["node"]
    assert outputs["version"] == status["version"]
    assert outputs["version"].startswith("4.0.")
    assert outputs["erlang-version"] == "27"
    assert outputs["url"] == variables["RABBITMQ_URL"] == variables["AMQP_URL"]
    assert (outputs["host"], outputs["port"]) == ("127.0.0.1", "5672")
    assert outputs["management-url"] == variables["RABBITMQ_MANAGEMENT_URL"]
    assert machine.run("systemctl", "is-enabled", "rabbitmq-server").stdout == "enabled\n"
    lab = "/usr/local/lib/rmqsetup-lab"
    look = f"""import os, pika, urllib.request
channel = pika.BlockingConnection(pika.URLParameters({outputs["url"]!r})).channel()
print(channel.queue_declare("q", exclusive=True).method.queue)
print(urllib.request.urlopen({outputs["management-url"]!r}).status)"""
    seen = machine.run("env", f"PYTHONPATH={lab}/deps", "python3", "-c", look, check=True, **PLAIN)
    assert seen.stdout == "q\n200\n"
