"""`status` and `verify` of a throwaway broker, beside which the machine's own is never looked at."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile

import pytest

from rmqsetup.broker import asked, place
from rmqsetup.hosts.local import LocalHost
from rmqsetup.probes import commandline
from rmqsetup.probes.node import Way, node_status
from rmqsetup.testing import broker as throwaway
from rmqsetup.testing import faults


def test_status_is_that_of_the_broker_that_is_named(broker, run):
    name = broker.name.removeprefix(place.PREFIX)[:6]
    told = json.loads(run("status", "--broker", name, "--output", "json").stdout)["data"]
    assert told["name"] == broker.lease.node
    assert told["service"] is None
    assert (told["node"]["version"], told["node"]["state"]) == (broker.version, "running")
    assert f"amqp 127.0.0.1:{broker.port}" in run("status", "--broker", broker.name).stdout


def test_verify_carries_messages_through_it_and_leaves_nothing(broker, run):
    done = run("verify", "--broker", broker.name, "--output", "json", "-v")
    rungs = {rung["name"]: rung for rung in json.loads(done.stdout)["data"]["rungs"]}
    assert {rung["verdict"] for rung in rungs.values()} == {"passed"}
    assert list(rungs) == ["packages", "service", "node", "listeners", "login", "messages"]
    assert rungs["packages"]["evidence"] == [
        f"RabbitMQ {broker.version} from {broker.lease.home}",
        f"Erlang {broker.erlang} from {broker.lease.erlang_home}",
    ]
    assert rungs["service"]["evidence"] == [f"held by process {os.getpid()}"]
    assert broker.call("rabbit_amqqueue", "list") == []


def test_it_is_watched_from_inside(broker, run):
    words = ("status", "--watch", "--broker", broker.name, "--interval", "0.2", "--count", "2", "--output", "json")
    looks = [json.loads(line)["data"] for line in run(*words).stdout.splitlines()]
    assert [look["sample"]["node"]["name"] for look in looks] == [broker.lease.node] * 2
    both = run(*words[:4], "--api", broker.management_url, code=2)
    assert "--broker and --api" in both.stderr


def test_an_alarm_is_told_with_the_command_that_says_more(broker, run):
    with faults.alarm(broker):
        assert f"rmqsetup verify --broker {broker.name}" in run("status", "--broker", broker.name, code=8).stderr
        said = run("verify", "--broker", broker.name, code=8).stderr
    assert "an alarm blocks publishers: memory" in said
    assert f"rmqsetup stop {broker.name}" in said


def test_without_a_name_it_is_the_one_that_the_command_runs_beside(run):
    tool = f"{sys.executable} -m rmqsetup status --broker"
    program = ("sh", "-c", f"{tool} && {tool} --quiet")
    with throwaway() as other:
        seen = run("run", "--", *program).stdout
        assert seen.count("running") == 2
        assert other.lease.node not in seen


def test_without_a_name_it_is_the_only_one_else_which_is_asked(here, monkeypatch):
    (here / "alone").mkdir()
    monkeypatch.setenv("TMPDIR", str(here / "alone"))  # where no other test's is
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(asked.UsageError, match="no throwaway broker is up"):
        asked.find(asked.ONLY)
    with throwaway() as one:
        assert asked.find(asked.ONLY)[1] == one.lease
        with throwaway() as two, pytest.raises(asked.UsageError, match="which broker") as error:
            asked.find(asked.ONLY)
        assert error.value.cause == f"{one.name}, {two.name} are up"


def test_a_node_that_died_is_told_at_once_with_the_place_of_its_log(run):
    with throwaway() as broker:
        os.kill(broker.nodes[0].pid, signal.SIGKILL)
        broker.nodes[0]._process.wait()
        for command in ("status", "verify"):
            said = run(command, "--broker", broker.name, code=8).stderr
            assert f"{broker.folder}/1/log" in said
            assert f"rmqsetup stop {broker.name}" in said


def test_a_node_that_is_stopped_inside_is_no_machine_to_mend(run):
    with throwaway() as broker:
        broker.call("rabbit", "stop")
        said = run("verify", "--broker", broker.name, code=8).stderr
    assert "the node does not run RabbitMQ" in said
    assert "rabbitmqctl start_app" not in said


def test_a_cluster_is_looked_at_from_its_first_node(run):
    with throwaway(nodes=2) as broker:
        assert broker.lease.node in run("status", "--broker", broker.name).stdout
        run("verify", "--broker", broker.name, "--level", "4")


def test_rabbitmqctl_is_the_way_round_for_it_as_well(broker):
    address = asked.address(broker.folder, broker.lease)
    told, seen = commandline.node_status(LocalHost(), address), node_status(LocalHost(), address)
    assert (told.way, seen.way) == (Way.COMMAND_LINE, Way.DISTRIBUTION)
    assert (told.name, told.version, set(told.listeners)) == (seen.name, seen.version, set(seen.listeners))


def test_the_doctor_has_no_word_for_it_and_says_who_has(run):
    assert "it is one of verify, status" in run("doctor", "--broker", code=2).stderr
