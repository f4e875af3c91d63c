"""The laws of DESIGN 8.2, on a model machine: whatever was there, whatever is wished, wherever it dies."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from laws.debs import CONFIG, SERVER
from laws.model import Death, Model, Moment
from offers import Asking

from rmqsetup import pipeline, receipt
from rmqsetup.catalog import load
from rmqsetup.codec import from_data, to_data
from rmqsetup.detect import detect
from rmqsetup.errors import UsageError
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import Package
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.plan import Plan, preview
from rmqsetup.recipe import Request
from rmqsetup.resolve import resolve
from rmqsetup.settings import Setting
from rmqsetup.steps.file import KEPT, File
from rmqsetup.steps.service import Service
from rmqsetup.wishes import LIMITS, build

SETTINGS, PLUGINS, DEFINITIONS = SYSTEM.settings, SYSTEM.plugins, SYSTEM.definitions

HERE = Path(__file__).parent
FACTS = detect(ReplayHost(HERE.parent / "data" / "machines" / "debian-13"))
RESOLUTIONS = {source: resolve(FACTS, Request(source=source), load(), Asking()) for source in ("team", "distro")}
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where journals of the model go: each of their lines is synced to disk, which costs nothing there."""


class Silence:
    """Watches, and says nothing."""

    def begins(self, words: str) -> None: ...

    def says(self, line: str) -> None: ...

    def ends(self, outcome: object) -> None: ...


@dataclass(frozen=True)
class Wish:
    """What somebody asks for; `version` is of the team's source."""

    source: str = "team"
    version: str = "4.2.9-1"
    request: Request = field(default_factory=Request)

    def plan(self, machine: Model, state: Path) -> Plan:
        """Return the plan for it on a machine, as `prepare` makes it."""
        resolution = RESOLUTIONS[self.source]
        packages = (Package(SERVER),)
        if self.source == "team":
            packages = (Package(SERVER, self.version), *(Package(f"erlang-{n}", "1:27.3-1") for n in ("base", "ssl")))
        facts = replace(FACTS, directories=(CONFIG,) if machine.names(CONFIG) else ())
        settings = machine.read(SETTINGS)
        ours = replace(pipeline.ours(receipt.read_all(state)), settings=settings.text if settings else "")
        return build(replace(resolution, packages=packages), facts, self.request, ours=ours)


@contextmanager
def memory() -> Iterator[Path]:
    folder = tempfile.mkdtemp(dir=MEMORY)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


def install(machine: Model, wish: Wish, state: Path):
    return pipeline.carry_out(wish.plan(machine, state), machine, Silence(), state=state)


def undo(machine: Model, state: Path):
    plan, undone = pipeline.undoing(state=state)
    return pipeline.carry_out(plan, machine, Silence(), state=state, undoes=undone)


def uninstall(machine: Model, state: Path):
    plan, undone = pipeline.uninstalling(purge=False, state=state)
    return pipeline.carry_out(plan, machine, Silence(), state=state, undoes=undone)


def failure(report) -> str:
    return f"{report.error.message}: {report.error.cause}" if report.error else ""


def difference(before, after):
    return {key: (before.get(key), after.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)}


# ---- what there can be


@st.composite
def machines(draw) -> Model:
    """A machine as one may find it."""
    machine = Model()
    erlang = draw(st.sampled_from(("", "1:27.1-1")))
    for name in ("socat", "logrotate"):
        if draw(st.booleans()):
            machine.add(name, {"socat": "1.8", "logrotate": "3.22"}[name])
    if erlang:
        held = draw(st.booleans())
        for name in ("erlang-base", "erlang-ssl", *draw(st.sampled_from(((), ("erlang-tools",))))):
            machine.add(name, erlang, held=held)
        if draw(st.booleans()):
            machine.add("yaws", "2.2")
        if draw(st.booleans()):
            machine.add("socat", "1.8")
            machine.add(SERVER, "4.0.5-9", held=draw(st.booleans()))
            machine.unit.enabled = draw(st.booleans())
            if draw(st.booleans()):
                machine.unit.running = False
    for path in (f"{CONFIG}/rabbitmq.conf", SETTINGS, PLUGINS, DEFINITIONS, LIMITS, "/usr/sbin/policy-rc.d"):
        if draw(st.integers(0, 5)) == 0:
            machine.put(path, draw(st.sampled_from((b"", b"[].\n", b"theirs = 1\n", b"\xff"))), mode=0o600)
    return machine


REQUESTS = st.builds(
    Request,
    plugins=st.sampled_from((None, (), ("rabbitmq_management",))),
    config=st.sampled_from(((), (Setting("heartbeat", "30"),), (Setting("log.console", "true"),))),
    definitions=st.sampled_from(("", str(HERE / "debs.py"))),  # any file will do
    open_files=st.sampled_from((None, 50000)),
    start=st.booleans(),
    enable=st.booleans(),
    hold=st.booleans(),
    recommends=st.booleans(),
)
WISHES = st.builds(
    Wish, source=st.sampled_from(("team", "distro")), version=st.sampled_from(("4.2.8-1", "4.2.9-1")), request=REQUESTS
)
DEATHS = st.tuples(st.integers(1, 14), st.sampled_from(Moment))


# ---- what must hold


@given(machines(), WISHES)
def test_a_second_run_changes_nothing(machine, wish):
    with memory() as state:
        first = install(machine, wish, state)
        assume(not first.error)
        after, changes, receipts = machine.snapshot(), machine.changes, len(receipt.read_all(state))
        second = install(machine, wish, state)
        assert second.error is None
        assert not second.changed
        assert (machine.changes, len(receipt.read_all(state))) == (changes, receipts)
        assert difference(after, machine.snapshot()) == {}


@given(machines(), WISHES)
def test_what_was_wished_is_there(machine, wish):
    with memory() as state:
        report = install(machine, wish, state)
        assume(not report.error)
        server = machine.packages[SERVER]
        assert server.letter == "i"
        assert wish.source == "distro" or server.version == wish.version
        family = [package for name, package in machine.packages.items() if name.startswith(("erlang-", SERVER))]
        assert not wish.request.hold or all(package.held for package in family)
        assert machine.unit.running or not wish.request.start
        assert machine.unit.enabled == wish.request.enable
        assert machine.read("/usr/sbin/policy-rc.d") is None or machine.read("/usr/sbin/policy-rc.d").owner == "root"


@given(machines(), WISHES)
def test_an_undo_brings_back_what_was(machine, wish):
    before = machine.snapshot()
    with memory() as state:
        report = install(machine, wish, state)
        event(f"install: {report.error.code if report.error else 'done'}, changed: {report.changed}")
        if report.receipt and not report.rolled_back:
            assert failure(undo(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


@given(machines(), st.lists(WISHES, min_size=2, max_size=3))
def test_an_uninstall_takes_back_every_run(machine, wishes):
    before = machine.snapshot()
    with memory() as state:
        for wish in wishes:
            install(machine, wish, state)
        if receipt.standing(receipt.read_all(state)):
            assert failure(uninstall(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


@given(machines(), WISHES, WISHES)
def test_undos_go_back_one_run_at_a_time(machine, first, second):
    with memory() as state:
        assume(not install(machine, first, state).error)
        between = machine.snapshot()
        report = install(machine, second, state)
        assume(not report.error and report.changed)
        assert failure(undo(machine, state)) == ""
        assert difference(between, machine.snapshot()) == {}


@given(machines(), WISHES, DEATHS)
def test_after_a_death_an_undo_brings_back_what_was(machine, wish, death):
    before = machine.snapshot()
    with memory() as state:
        die(machine, lambda: install(machine, wish, state), death)
        with suppress(UsageError):  # nothing was begun
            assert failure(undo(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


def with_erlang_tools() -> Model:
    """A machine with more of an older Erlang than the broker needs."""
    machine = Model()
    for name in ("erlang-base", "erlang-ssl", "erlang-tools"):
        machine.add(name, "1:27.1-1")
    return machine


@example(
    machine=with_erlang_tools(),
    wish=Wish(version="4.2.8-1", request=Request(open_files=50000)),
    death=(6, Moment.MIDDLE),
    undone=False,
)
@given(machines(), WISHES, DEATHS, st.booleans())
def test_after_a_death_the_same_command_ends_where_it_would_have_ended(machine, wish, death, undone):
    """What is merely recommended apt adds to packages that are new: to the run that was cut, and not to the next."""
    wish = replace(wish, request=replace(wish.request, recommends=False))
    with memory() as state, memory() as other:
        twin = copied(machine)
        expected = install(twin, wish, other)
        die(machine, lambda: install(machine, wish, state), death)
        if undone:
            with suppress(UsageError):
                undo(machine, state)
        report = install(machine, wish, state)
        assert failure(report) == failure(expected)
        if not report.error:
            assert difference(twin.snapshot(), machine.snapshot()) == {}


@given(machines(), WISHES, DEATHS)
def test_after_a_death_in_an_undo_the_next_one_finishes_it(machine, wish, death):
    before = machine.snapshot()
    with memory() as state:
        assume(install(machine, wish, state).changed)
        die(machine, lambda: undo(machine, state), death)
        with suppress(UsageError):
            assert failure(undo(machine, state)) == ""
        assert difference(before, machine.snapshot()) == {}


@given(machines(), WISHES)
def test_a_preview_changes_nothing_and_foretells(machine, wish):
    with memory() as state:
        plan, before = wish.plan(machine, state), machine.snapshot()
        seen = preview(plan, machine)
        assert machine.changes == 0
        assert difference(before, machine.snapshot()) == {}
        report = pipeline.carry_out(plan, machine, Silence(), state=state)
        if report.error:
            assert seen.changes
        else:
            foretold = {item.step.key for item in seen.changes}
            done = {outcome.key for outcome in report.outcomes if outcome.status.value == "changed"}
            assert done <= foretold
            assert foretold - done <= {f"service:{SERVER}"}  # which its package may have enabled by itself
            assert machine.unit.enabled == wish.request.enable


@given(machines(), WISHES, st.sampled_from((SETTINGS, PLUGINS, LIMITS, DEFINITIONS)), st.booleans())
def test_what_somebody_else_wrote_is_never_lost(machine, wish, path, again):
    with memory() as state:
        assume(not install(machine, wish, state).error)
        assume(path in {step.path for step in wish.plan(machine, state).steps if isinstance(step, File)})
        machine.put(path, b"# edited by hand\n")
        report = install(machine, wish, state) if again else undo(machine, state)
        assert report.error is None
        assert machine.read(path + KEPT).content == b"# edited by hand\n"
        assert any("edited by somebody else" in outcome.note for outcome in report.outcomes)


@given(machines(), WISHES)
def test_files_of_others_beside_ours_stay(machine, wish):
    with memory() as state:
        assume(install(machine, wish, state).changed)
        machine.put(f"{CONFIG}/conf.d/20-local.conf", b"# mine\n")
        assert failure(uninstall(machine, state)) == ""
        assert machine.read(f"{CONFIG}/conf.d/20-local.conf").content == b"# mine\n"


@given(machines(), WISHES)
def test_a_running_node_is_never_older_than_its_files(machine, wish):
    with memory() as state:
        assume(not install(machine, wish, state).error and wish.request.start)
        service = next(step for step in wish.plan(machine, state).steps if isinstance(step, Service))
        files = [machine.read(path) for path in service.newer_than]
        assert all(file.modified <= machine.unit.since for file in files if file)


@given(machines(), WISHES, WISHES)
def test_after_an_undo_a_running_node_knows_the_files_as_they_are(machine, first, second):
    with memory() as state:
        assume(not install(machine, first, state).error)
        assume(not install(machine, second, state).error and second.request.start)
        before = {
            path: file for path, file in machine.files.items() if path in (SETTINGS, PLUGINS, LIMITS, DEFINITIONS)
        }
        assume(receipt.standing(receipt.read_all(state)))
        assert failure(undo(machine, state)) == ""
        after = {path: file for path, file in machine.files.items() if path in (SETTINGS, PLUGINS, LIMITS, DEFINITIONS)}
        assert after == before or not machine.unit.running or machine.unit.since >= machine.clock - 3


@given(machines(), WISHES)
def test_plans_and_receipts_travel(machine, wish):
    with memory() as state:
        plan = wish.plan(machine, state)
        assert from_data(json.loads(json.dumps(to_data(plan))), Plan) == plan
        install(machine, wish, state)
        for read in receipt.read_all(state):
            assert from_data(json.loads(json.dumps(to_data(read))), receipt.Receipt) == read


def copied(machine: Model) -> Model:
    from copy import deepcopy

    return deepcopy(machine)


def die(machine: Model, action, death) -> None:
    """Let a machine die at its n-th change of an action, if it has as many."""
    number, moment = death
    machine.dies_at = (machine.changes + number, moment)
    try:
        action()
    except Death:
        event(f"died {moment.value} a change")
    machine.revive()
