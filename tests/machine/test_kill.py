"""A tool that is killed loses nothing: the same command again finishes, and undo gives the machine back."""

from __future__ import annotations

import random
import time

import pytest
from broker import SUICIDAL, SUICIDE, acted, healthy, killed, restored, rmqsetup, settled

pytestmark = pytest.mark.machine

WISH = ("--source", "distro", "--recipe", "dev", "--yes")


@pytest.fixture(scope="module")
def machine(lab, tool):
    """One machine for all: every test gives it back as it was."""
    booted = lab.machine("trixie", layers=tool.layers())
    booted.write(SUICIDAL, SUICIDE)
    yield booted
    lab.remove(booted)


@pytest.fixture(scope="module")
def before(machine):
    """The machine as it was."""
    return machine.snapshot()


@pytest.fixture(scope="module")
def actions(machine, before):
    """How many actions an install has."""
    many = acted(machine, "install", *WISH)
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)
    return many


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("then", ["again", "undo"])
def test_killed_at_every_action(machine, before, actions, then):
    assert actions >= 5, "files, refresh, install, hold, start"
    for number in range(1, actions + 1):
        moment = "before" if (number % 2 == 0) == (then == "undo") else "after"
        killed(machine, moment, number, "install", *WISH)
        come_back(machine, before, then)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tree", [False, True], ids=["the tool alone", "and all it started"])
def test_killed_at_random_instants(machine, before, actions, tree):  # noqa: ARG001 - the caches are warm after it
    chance = random.Random(20261122)
    for _ in range(10):
        running = machine.popen("rmqsetup", "install", *WISH)
        time.sleep(chance.uniform(0.3, 14))
        (running.kill_tree if tree else running.kill)()
        running.finish()
        come_back(machine, before, chance.choice(["again", "undo"]))


def come_back(machine, before, way):
    """Finish what was killed and take it back, or take it back at once; the machine is as before either way."""
    settled(machine, "apt-get", "dpkg")
    if way == "again":
        rmqsetup(machine, "install", *WISH)
        healthy(machine)
        rmqsetup(machine, "uninstall", "--yes")
    elif machine.run("sh", "-c", "ls /var/lib/rmqsetup/receipts/*.jsonl").exit_code == 0:
        undone = machine.run("rmqsetup", "undo", "--yes")
        assert undone.exit_code in (0, 2), str(undone)  # 2: nothing was begun, so there is nothing to undo
    restored(before, machine, "/etc/*.dpkg-new")  # of a dpkg that was killed: it knows nothing of them any more
