"""A tool that is killed amid dnf's or zypper's work loses nothing, as `test_kill` has it of apt's.

What goes wrong while nothing is killed belongs to `test_rpm`.
"""

from __future__ import annotations

import random
import time

import pytest
from broker import STAYS, SUICIDAL, SUICIDE, acted, killed, own_mirror, rmqsetup, settled, with_unit
from lab import yum

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module", params=["el10", "leap16"])
def team(request, lab, rpm_trust, tool):
    """One machine of each kind for all: every test gives it back as it was."""
    served = yum.start(lab, rpm_trust, request.param, over=tool.layers(), one_key=True)
    with_unit(served.machine)
    served.machine.write(SUICIDAL, SUICIDE)
    yield served
    served.close()
    lab.remove(served.machine)


@pytest.fixture(scope="module")
def before(team):
    """The machine as it was."""
    return team.snapshot()


@pytest.fixture
def wish(team):
    """An install of the packages alone, with a file of ours and a hold."""
    return ("install", *own_mirror(team), "--set", "heartbeat=77", "--no-start", "--no-verify", "--yes")


@pytest.mark.timeout(600)
def test_killed_at_every_action(team, before, wish):
    actions = acted(team.machine, *wish)
    rmqsetup(team.machine, "uninstall", "--yes")
    assert actions >= 5, "files, keys, refresh, install, hold"
    for number in range(1, actions + 1):
        killed(team.machine, "before" if number % 2 else "after", number, *wish)
        come_back(team, before, wish, "again" if number % 4 < 2 else "undo")


@pytest.mark.timeout(600)
def test_killed_at_random_instants_with_all_it_started(team, before, wish):
    chance = random.Random(20261128)
    begun = time.monotonic()
    rmqsetup(team.machine, *wish)
    whole = time.monotonic() - begun
    rmqsetup(team.machine, "uninstall", "--yes")
    for number in range(5):
        running = team.machine.popen("rmqsetup", *wish)
        time.sleep(chance.uniform(0.2, whole))
        running.kill_tree()
        running.finish()
        come_back(team, before, wish, "undo" if number % 2 else "again")


def come_back(team, before, wish, way):
    """Finish what was killed and take it back, or take it back at once; the machine is as before either way."""
    machine = team.machine
    settled(machine, "dnf", "zypper", "rpm")
    if way == "again":
        rmqsetup(machine, *wish)
        assert machine.run("rpm", "-q", "rabbitmq-server", "erlang").exit_code == 0
        rmqsetup(machine, "uninstall", "--yes")
    elif machine.run("sh", "-c", "ls /var/lib/rmqsetup/receipts/*.jsonl").exit_code == 0:
        undone = machine.run("rmqsetup", "undo", "--yes")
        assert undone.exit_code in (0, 2), str(undone)  # 2: nothing was begun, so there is nothing to undo
    assert before.differences(team.snapshot(), ignore=STAYS) == ()
