"""A tool that is killed loses nothing: the same command again finishes, and undo gives the machine back."""

from __future__ import annotations

import random
import time

import pytest
from broker import healthy, restored, rmqsetup

pytestmark = pytest.mark.machine

WISH = ("--source", "distro", "--recipe", "dev", "--yes")

SUICIDAL = '''
"""Install as `rmqsetup install` does, on a host that kills this process at its Nth action, before or after it."""
import os, signal, sys

sys.path[:0] = ["/usr/local/lib/rmqsetup-lab/app", "/usr/local/lib/rmqsetup-lab/deps"]
from rmqsetup import pipeline, recipe
from rmqsetup.hosts.local import LocalHost

moment, number = sys.argv[1], int(sys.argv[2])
count = 0


def counted(act):
    global count
    count += 1
    if count == number and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = act()
    if count == number and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


class Suicidal(LocalHost):
    def run(self, command, listener=None):
        if listener is None:  # a look, not an action
            return super().run(command)
        return counted(lambda: LocalHost.run(self, command, listener))

    def write(self, write):
        return counted(lambda: LocalHost.write(self, write))

    def remove(self, remove):
        return counted(lambda: LocalHost.remove(self, remove))


class Silent:
    def begins(self, words): ...
    def says(self, line): ...
    def ends(self, outcome): ...


request = recipe.override(recipe.load("dev"), recipe.Overrides(source="distro"))
report = pipeline.carry_out(pipeline.prepare(LocalHost(), request), Suicidal(), Silent())
print(count)
sys.exit(1 if report.error else 0)
'''


@pytest.fixture(scope="module")
def machine(lab, tool):
    """One machine for all: every test gives it back as it was."""
    booted = lab.machine("trixie", layers=tool.layers())
    booted.write("/root/suicidal.py", SUICIDAL)
    yield booted
    lab.remove(booted)


@pytest.fixture(scope="module")
def before(machine):
    """The machine as it was."""
    return machine.snapshot()


@pytest.fixture(scope="module")
def actions(machine, before):
    """How many actions an install has."""
    done = machine.run("python3", "/root/suicidal.py", "never", "0", check=True)
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)
    return int(done.stdout.split()[-1])


def settled(machine):
    """Wait for what a killed run left running: its package manager ends by itself."""
    for _ in range(600):
        if machine.run("sh", "-c", "pgrep -x apt-get || pgrep -x dpkg").exit_code:
            return
        time.sleep(0.2)
    pytest.fail("the package manager of a killed run does not end")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("then", ["again", "undo"])
def test_killed_at_every_action(machine, before, actions, then):
    assert actions >= 5, "files, refresh, install, hold, start"
    for number in range(1, actions + 1):
        moment = "before" if (number % 2 == 0) == (then == "undo") else "after"
        killed = machine.run("python3", "/root/suicidal.py", moment, str(number))
        assert killed.exit_code in (-9, 137), f"{moment} action {number}: {killed}"
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
    settled(machine)
    if way == "again":
        rmqsetup(machine, "install", *WISH)
        healthy(machine)
        rmqsetup(machine, "uninstall", "--yes")
    elif machine.run("sh", "-c", "ls /var/lib/rmqsetup/receipts/*.jsonl").exit_code == 0:
        undone = machine.run("rmqsetup", "undo", "--yes")
        assert undone.exit_code in (0, 2), str(undone)  # 2: nothing was begun, so there is nothing to undo
    restored(before, machine, "/etc/*.dpkg-new")  # of a dpkg that was killed: it knows nothing of them any more
