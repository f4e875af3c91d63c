"""The laws once more, for what cures are made of: things moved aside, folders made, lines switched off."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import assume, given
from hypothesis import strategies as st
from laws.model import Model, _Change
from laws.test_laws import DEATHS, Silence, die, difference, failure, memory, undo

from rmqsetup import pipeline, receipt
from rmqsetup.codec import from_data, to_data
from rmqsetup.errors import ConflictError, UsageError
from rmqsetup.host import Command
from rmqsetup.plan import Plan, order, preview
from rmqsetup.steps.aside import NEWER, Aside
from rmqsetup.steps.disabled import Disabled, line
from rmqsetup.steps.folder import Folder
from rmqsetup.steps.units import Units

DATA, ASIDE = "/srv/data/rabbit@broker", "/srv/data/rabbit@broker.aside-1"
LOGS, SPARE = "/srv/logs", "/srv/logs.aside-1"
CONF = "/etc/rabbitmq.conf"
KEPT = b"heartbeat = 60\n"


class Curable(Model):
    """The model machine with `mv` and `install -d`."""

    def _answer(self, command: Command) -> tuple[int, str, str]:
        if command.argv[0] == "mv":
            return self._moved(*command.argv[-2:])
        if command.argv[:2] == ("install", "-d"):
            with _Change(self):
                self._made(f"{command.argv[-1]}/x")
            return 0, "", ""
        return super()._answer(command)

    def _moved(self, path: str, to: str) -> tuple[int, str, str]:
        assert self.peek(to) is None, "a kernel would not replace it, and we never ask it to"
        with _Change(self):
            self.files = {_renamed(each, path, to): state for each, state in self.files.items()}
            self.directories = {_renamed(each, path, to) for each in self.directories}
        return 0, "", ""


def _renamed(each: str, path: str, to: str) -> str:
    return to + each[len(path) :] if each == path or each.startswith(f"{path}/") else each


@st.composite
def machines(draw) -> Curable:
    machine = Curable()
    machine._made("/srv/data/x")
    if draw(st.booleans()):
        machine.put(f"{DATA}/schema.DAT", b"torn")
    if draw(st.booleans()):
        machine.put(f"{LOGS}/x.log" if draw(st.booleans()) else LOGS, b"kept")
    if draw(st.booleans()):
        machine.put(CONF, draw(st.sampled_from((KEPT, b"bad\r\n" + KEPT, KEPT + b"bad", b"\xff\nbad\n", b""))))
    return machine


STEPS = (
    Aside(DATA, ASIDE),
    Folder(LOGS, SPARE),
    Disabled(CONF, (line(1, "bad"), line(2, "bad"))),
    Units("rabbitmq-server.service"),
)
PLANS = st.lists(st.sampled_from(STEPS), min_size=1, max_size=4, unique=True).map(
    lambda steps: Plan("fix", order(tuple(steps)))
)


def mend(machine, plan, state):
    return pipeline.carry_out(plan, machine, Silence(), state=state)


def _possible(machine: Curable, plan: Plan) -> bool:
    """A folder is not made where a file is: that one is moved aside first, by a step of its own."""
    return LOGS not in machine.files or not any(isinstance(step, Folder) for step in plan.steps)


@given(machines(), PLANS)
def test_a_second_run_changes_nothing(machine, plan):
    assume(_possible(machine, plan))
    with memory() as state:
        assert failure(mend(machine, plan, state)) == ""
        changes, after = machine.changes, machine.snapshot()
        again = mend(machine, plan, state)
        assert (failure(again), again.changed, machine.changes) == ("", False, changes)
        assert difference(after, machine.snapshot()) == {}


@given(machines(), PLANS, DEATHS)
def test_an_undo_brings_back_what_was_wherever_it_died(machine, plan, death):
    assume(_possible(machine, plan))
    before = machine.snapshot()
    with memory() as state:
        die(machine, lambda: mend(machine, plan, state), (death[0] % 4 + 1, death[1]))
        if receipt.standing(receipt.read_all(state)):
            die(machine, lambda: undo(machine, state), (death[0] % 3 + 1, death[1]))
            with suppress(UsageError):
                assert failure(undo(machine, state)) == ""
            made = {f"directory {SPARE}"} if f"directory {LOGS}" not in before else set()
            assert set(difference(before, machine.snapshot())) <= made


@given(machines(), PLANS)
def test_a_preview_changes_nothing_and_foretells(machine, plan):
    assume(_possible(machine, plan))
    with memory() as state:
        seen = preview(plan, machine)
        assert machine.changes == 0
        assert bool(seen.changes) == mend(machine, plan, state).changed
        for read in receipt.read_all(state):
            assert from_data(json.loads(json.dumps(to_data(read))), receipt.Receipt) == read


def test_what_came_to_its_place_meanwhile_is_kept():
    machine = Curable()
    machine.put(f"{DATA}/schema.DAT", b"old")
    with memory() as state:
        assert failure(mend(machine, Plan("fix", (STEPS[0],)), state)) == ""
        assert machine.read(f"{ASIDE}/schema.DAT").content == b"old"
        machine.put(f"{DATA}/schema.DAT", b"new")
        assert failure(undo(machine, state)) == ""
    assert machine.read(f"{DATA}/schema.DAT").content == b"old"
    assert machine.read(f"{ASIDE}{NEWER}/schema.DAT").content == b"new"


def test_nothing_is_moved_over_something_else():
    machine = Curable()
    machine.put(f"{DATA}/schema.DAT", b"one")
    machine.put(f"{ASIDE}/schema.DAT", b"two")
    before = machine.snapshot()
    with memory() as state:
        report = mend(machine, Plan("fix", (STEPS[0],)), state)
        assert isinstance(report.error, ConflictError)
    assert difference(before, machine.snapshot()) == {}


def test_a_line_that_says_something_else_by_now_is_not_touched():
    machine = Curable()
    machine.put(CONF, b"heartbeat = 60\nbad\n# bad\n")
    with memory() as state:
        assert failure(mend(machine, Plan("fix", (Disabled(CONF, (line(1, "bad"), line(2, "bad"))),)), state)) == ""
    assert machine.read(CONF).content == b"heartbeat = 60\n# bad\n# bad\n"
