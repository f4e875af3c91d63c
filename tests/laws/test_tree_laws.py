"""The laws once more, for archives: whatever is at the prefix, whichever releases follow each other."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws.model import Model
from laws.test_laws import DEATHS, Silence, copied, die, difference, failure, memory, undo, uninstall

from rmqsetup import pipeline, receipt
from rmqsetup.codec import from_data, to_data
from rmqsetup.errors import ConflictError, NotConvergedError, UsageError
from rmqsetup.plan import Plan, preview
from rmqsetup.steps.archive import Archive, Tree

PREFIX = "/opt/broker"
RELEASES = ("4.2.8", "4.2.9", "4.3.0")


def tree(release: str) -> Tree:
    name = f"rabbitmq_server-{release}"
    return Tree(name, release.replace(".", "a").ljust(64, "0"), f"/root/{name}.tar.xz", name)


def plan(machine: Model, release: str) -> Plan:
    made = f"{PREFIX}/theirs.txt" not in machine.files
    step = Archive(PREFIX, (tree(release),), f"rabbitmq_server-{release}", directories=(PREFIX,) if made else ())
    return Plan("install", (step,))


def install(machine, release, state):
    return pipeline.carry_out(plan(machine, release), machine, Silence(), state=state)


@st.composite
def machines(draw) -> Model:
    machine = Model()
    machine._made("/opt/x")
    if draw(st.booleans()):
        machine.put(f"{PREFIX}/theirs.txt", b"theirs")
        if draw(st.booleans()):
            machine.links[f"{PREFIX}/current"] = draw(st.sampled_from(("rabbitmq_server-3.13.7", "/elsewhere")))
        if draw(st.booleans()):
            machine.put(f"{PREFIX}/rabbitmq_server-4.2.8/sbin/rabbitmq-server", b"theirs")
    return machine


@given(machines(), st.sampled_from(RELEASES))
def test_a_second_run_changes_nothing(machine, release):
    with memory() as state:
        assume(not install(machine, release, state).error)
        changes, after = machine.changes, machine.snapshot()
        again = install(machine, release, state)
        assert (failure(again), again.changed, machine.changes) == ("", False, changes)
        assert difference(after, machine.snapshot()) == {}
        assert machine.links[f"{PREFIX}/current"] == f"rabbitmq_server-{release}"


@given(machines(), st.lists(st.sampled_from(RELEASES), min_size=1, max_size=4))
def test_an_uninstall_takes_back_every_run(machine, releases):
    before = machine.snapshot()
    with memory() as state:
        for release in releases:
            install(machine, release, state)
        if receipt.standing(receipt.read_all(state)):
            assert failure(uninstall(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


@given(machines(), st.lists(st.sampled_from(RELEASES), min_size=2, max_size=2, unique=True))
def test_undos_go_back_one_run_at_a_time(machine, releases):
    with memory() as state:
        assume(not install(machine, releases[0], state).error)
        between = machine.snapshot()
        assume(not install(machine, releases[1], state).error)
        assert f"{PREFIX}/rabbitmq_server-{releases[0]}" in machine.directories, "what an upgrade comes from stays"
        assert failure(undo(machine, state)) == ""
        assert difference(between, machine.snapshot()) == {}


@given(machines(), st.lists(st.sampled_from(RELEASES), max_size=1), st.sampled_from(RELEASES), DEATHS, st.booleans())
def test_after_a_death(machine, earlier, release, death, again):
    """An undo brings back what was, and the same command ends where it would have ended."""
    with memory() as state, memory() as other:
        for each in earlier:
            assume(not install(machine, each, state).error)
        before, twin = machine.snapshot(), copied(machine)
        expected = install(twin, release, other)
        die(machine, lambda: install(machine, release, state), (death[0] % 3 + 1, death[1]))
        if again:
            assert failure(install(machine, release, state)) == failure(expected)
            assert difference(twin.snapshot(), machine.snapshot()) == {}
        elif len(receipt.standing(receipt.read_all(state))) > len(earlier):
            assert failure(undo(machine, state)) == ""
            assert difference(before, machine.snapshot()) == {}


@given(machines(), st.sampled_from(RELEASES), DEATHS)
def test_after_a_death_in_an_undo_the_next_one_finishes_it(machine, release, death):
    before = machine.snapshot()
    with memory() as state:
        assume(install(machine, release, state).changed)
        die(machine, lambda: undo(machine, state), (death[0] % 3 + 1, death[1]))
        with suppress(UsageError):
            assert failure(undo(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


@given(machines(), st.sampled_from(RELEASES))
def test_a_preview_changes_nothing_and_foretells(machine, release):
    with memory() as state:
        seen = preview(plan(machine, release), machine)
        assert machine.changes == 0
        report = install(machine, release, state)
        assert bool(report.error) == any(item.error for item in seen.items)
        assert bool(seen.changes) == (report.changed or bool(report.error))


@given(machines(), st.sampled_from(RELEASES))
def test_plans_and_receipts_travel(machine, release):
    with memory() as state:
        made = plan(machine, release)
        assert from_data(json.loads(json.dumps(to_data(made))), Plan) == made
        install(machine, release, state)
        for read in receipt.read_all(state):
            assert from_data(json.loads(json.dumps(to_data(read))), receipt.Receipt) == read


def test_what_others_put_into_a_tree_is_kept():
    machine = Model()
    with memory() as state:
        assert failure(install(machine, "4.2.9", state)) == ""
        machine.put(f"{PREFIX}/rabbitmq_server-4.2.9/plugins/mine.ez", b"mine")
        assert failure(undo(machine, state)) == ""
    kept = machine.read(f"{PREFIX}/rabbitmq_server-4.2.9.rmqsetup.save/plugins/mine.ez")
    assert kept
    assert kept.content == b"mine"


def test_a_tree_of_others_and_another_archive_are_not_replaced():
    machine = Model()
    machine.put(f"{PREFIX}/rabbitmq_server-4.2.8/sbin/rabbitmq-server", b"theirs")
    before = machine.snapshot()
    with memory() as state:
        report = install(machine, "4.2.8", state)
        assert isinstance(report.error, ConflictError)
        assert difference(before, machine.snapshot()) == {}
        machine.put(f"{PREFIX}/rabbitmq_server-4.2.8/.rmqsetup", b"another")
        assert "another archive" in install(machine, "4.2.8", state).error.cause
    machine.put(f"{PREFIX}/current", b"a file")
    with memory() as state:
        assert isinstance(install(machine, "4.2.9", state).error, ConflictError)


def test_a_link_that_somebody_turned_is_told_of():
    machine = Model()
    with memory() as state:
        install(machine, "4.2.9", state)
        machine.links[f"{PREFIX}/current"] = "mine"
        report = undo(machine, state)
        assert any("turned to mine by somebody else" in outcome.note for outcome in report.outcomes)


def test_what_is_gone_with_its_archive_cannot_come_back():
    step, gone = (Archive(PREFIX, (Tree("rabbitmq_server-4.2.9", digest),)) for digest in ("0" * 64, ""))
    with pytest.raises(NotConvergedError, match="cannot be brought back"):
        step.diff(gone)
