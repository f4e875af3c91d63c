"""Plans of recorded machines and what takes them back; `UPDATE_GOLDEN=1 pytest tests/test_pipeline.py` writes plans."""

from __future__ import annotations

import base64
import json
import os
import resource
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from offers import Asking, never
from pretending import Machine

from rmqsetup import pipeline
from rmqsetup.apply import Outcome
from rmqsetup.catalog import load
from rmqsetup.codec import from_data, to_data
from rmqsetup.detect import detect
from rmqsetup.errors import ConflictError, ManagerError, RmqsetupError, UsageError
from rmqsetup.host import FileState, Result
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import Package, apt_sources, apt_trust
from rmqsetup.managers.apt_sources import OURS as SOURCES
from rmqsetup.managers.apt_sources import PIN
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.plan import Plan
from rmqsetup.receipt import DONE, FAILED, ROLLED_BACK, Journal, lock, read_all, settle
from rmqsetup.recipe import Request
from rmqsetup.settings import Setting
from rmqsetup.steps.file import File, sha256
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.version import Wanted

DATA, SETTINGS = SYSTEM.kept, SYSTEM.settings

MACHINES = Path(__file__).parent / "data" / "machines"
NAMES = sorted(folder.name for folder in MACHINES.iterdir())
REQUESTS = {
    "default": Request(),
    "distro": Request(source="distro"),
    "series": Request(rabbitmq=Wanted.parse("4.2")),
    "configured": Request(
        plugins=("rabbitmq_management",), config=(Setting("log.console", "true"),), open_files=65536, hold=False
    ),
}
RETIRED = "debian-12-retired-sources"
LISTS = "/etc/apt/sources.list.d"


@pytest.fixture
def asking(monkeypatch):
    """Let every source answer as in `offers`."""
    answering = Asking()
    monkeypatch.setattr(pipeline, "ask", lambda _host: answering)
    return answering


class Edited(ReplayHost):
    """A recorded machine with other files in some places."""

    def __init__(self, name: str, files: dict[str, bytes], mode: int = 0o644) -> None:
        super().__init__(MACHINES / name)
        self.files, self.mode = files, mode

    def read(self, path: str) -> FileState | None:
        if path in self.files:
            return FileState(self.files[path], self.mode, "root", "root")
        return super().read(path)

    def names(self, directory: str) -> tuple[str, ...]:
        mine = {Path(path).name for path in self.files if str(Path(path).parent) == directory}
        return tuple(sorted({*super().names(directory), *mine}))


def files(plan: Plan) -> dict[str, File]:
    return {step.path: step for step in plan.steps if isinstance(step, File)}


# --- golden plans ----------------------------------------------------------------------------------------------------


def golden(name: str, request: Request, state: Path) -> object:
    """Return what is decided for a machine; its facts and the catalog's rows have golden files of their own."""
    try:
        plan = pipeline.prepare(ReplayHost(MACHINES / name), request, state=state)
    except RmqsetupError as error:
        return {"refused": error.code, "message": error.message, "cause": error.cause, "hint": error.hint}
    data = to_data(replace(plan, facts=None, request=None, tool=""))
    assert isinstance(data, dict)
    assert plan.resolution is not None
    data["resolution"] = {**data["resolution"], "distribution": plan.resolution.distribution.id}
    return data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("asking")
def test_golden_plans(name, tmp_path):
    beside = {"brew": Request(source="brew")} if (MACHINES / name / "plans" / "brew.json").exists() else {}
    for wish, request in {**REQUESTS, **beside}.items():
        file = MACHINES / name / "plans" / f"{wish}.json"
        found = golden(name, request, tmp_path)
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        assert found == json.loads(file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("name", ["debian-13", RETIRED, "ubuntu-24.04-arm64", "debian-13-installed-by-hand"])
@pytest.mark.usefixtures("asking")
def test_a_plan_comes_back_from_its_data(name, tmp_path):
    plan = pipeline.prepare(ReplayHost(MACHINES / name), REQUESTS["configured"], state=tmp_path)
    assert from_data(json.loads(json.dumps(to_data(plan))), Plan) == plan


def test_what_is_installed_needs_no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "ask", lambda _host: never)
    plan = pipeline.prepare(ReplayHost(MACHINES / "debian-13-installed-by-hand"), Request(), state=tmp_path)
    assert plan.resolution is not None
    assert plan.resolution.source == "installed"
    assert [step.key for step in plan.steps] == ["packages:apt", "service:rabbitmq-server"]


def test_receipts_that_may_not_be_read_do_not_hinder_a_plan(asking, monkeypatch, tmp_path):
    def forbidden(_state):
        raise UsageError("for root only")

    monkeypatch.setattr(pipeline, "read_all", forbidden)
    assert pipeline.prepare(ReplayHost(MACHINES / "debian-13"), Request(), state=tmp_path).steps
    assert asking.asked


@pytest.mark.usefixtures("asking")
def test_settings_are_taken_over_from_the_machine(tmp_path):
    definitions = tmp_path / "d.json"
    definitions.write_text("{}")
    host = Edited("debian-13", {SETTINGS: b"# ours\nlog.console = true\n"})
    plan = pipeline.prepare(host, Request(definitions=str(definitions)), state=tmp_path / "state")
    assert b"\nlog.console = true\nload_definitions = " in (files(plan)[SETTINGS].content or b"")
    assert SETTINGS not in files(pipeline.prepare(host, Request(), state=tmp_path / "state"))


# --- retired repositories and keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["auto", "distro"])
@pytest.mark.usefixtures("asking")
def test_retired_lists_and_keys_go_and_can_come_back(source, tmp_path):
    host = ReplayHost(MACHINES / RETIRED)
    plan = pipeline.prepare(host, Request(source=source), state=tmp_path)
    gone = (f"{LISTS}/rabbitmq.list", f"{LISTS}/rabbitmq_server.sources", "/etc/apt/trusted.gpg.d/rabbitmq.asc")
    for path in gone:
        step = files(plan)[path]
        assert not step.exists
        observed = step.observe((host.read(path),))
        change = step.diff(observed)
        assert change.conflict == ""
        assert isinstance(change.inverse, File)
        assert change.inverse.content == (MACHINES / RETIRED / "files" / path.lstrip("/")).read_bytes()
    assert "/etc/apt/sources.list" not in files(plan)
    assert "/etc/apt/trusted.gpg" not in files(plan)
    assert not [path for path in files(plan) if "debian-archive" in path]


@pytest.mark.usefixtures("asking")
def test_nothing_is_touched_where_nothing_is_retired(tmp_path):
    plan = pipeline.prepare(ReplayHost(MACHINES / "ubuntu-24.04"), Request(source="distro"), state=tmp_path)
    assert files(plan) == {}


OTHERS = b"# caf\xe9\r\n\n\ndeb http://deb.example.org/debian trixie main # ours\r\n\tdeb http://x.example/y z main"


@pytest.mark.usefixtures("asking")
def test_other_entries_of_the_same_list_stay_to_the_byte(tmp_path):
    head, tail = OTHERS.split(b"\t")
    content = head + b"deb https://packagecloud.io/rabbitmq/erlang/debian/ trixie main\n\t" + tail + b"\n\n"
    host = Edited("debian-13", {f"{LISTS}/mixed.list": content}, mode=0o600)
    step = files(pipeline.prepare(host, Request(source="distro"), state=tmp_path))[f"{LISTS}/mixed.list"]
    assert step.content == OTHERS + b"\n\n"
    assert (step.mode, step.secret) == (0o600, True)


@pytest.mark.usefixtures("asking")
def test_other_stanzas_stay_to_the_byte(tmp_path):
    retired = b"Types: deb\nURIs: https://ppa1.novemberain.com/x\n#note\nSuites: trixie\nComponents: main\n"
    first = b"# the distribution\nTypes: deb\nURIs: http://deb.example.org/debian\nSuites: trixie\nComponents: main\n"
    last = b"\nTypes: deb\nURIs: http://security.debian.org\nSuites: trixie-security\nComponents: main"
    host = Edited("debian-13", {f"{LISTS}/all.sources": first + b"\n" + retired + last})
    step = files(pipeline.prepare(host, Request(source="distro"), state=tmp_path))[f"{LISTS}/all.sources"]
    assert step.content == first + last
    found = apt_sources.parse_sources("all.sources", (step.content or b"").decode())
    assert [source.suites for source in found] == [("trixie",), ("trixie-security",)]


def test_without_is_exact_for_every_list():
    text = "\n\ndeb http://a/ x main\n\n# c\ndeb http://b/ x main\n\n\n"
    assert apt_sources.without("s.list", text, ()) == text
    assert apt_sources.without("s.list", text, (3,)) == "\n\n\n# c\ndeb http://b/ x main\n\n\n"
    assert apt_sources.without("s.list", text, (3, 6)) == ""


TEAM_LINE = b"deb [signed-by=/k.gpg] https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie trixie main\n"


@pytest.mark.usefixtures("asking")
def test_another_list_of_the_same_repository_goes_as_apt_would_refuse_both(tmp_path):
    host = Edited("debian-13", {f"{LISTS}/hand.list": TEAM_LINE, SOURCES: b"# somebody's\n"})
    plan = pipeline.prepare(host, Request(), state=tmp_path)
    assert not files(plan)[f"{LISTS}/hand.list"].exists
    assert files(plan)[SOURCES].exists
    assert files(pipeline.prepare(host, Request(source="distro"), state=tmp_path)) == {}


@pytest.mark.usefixtures("asking")
def test_a_retired_list_in_the_place_of_ours_is_written_over(tmp_path):
    retired = b"Types: deb\nURIs: https://ppa1.novemberain.com/x\nSuites: trixie\nComponents: main\n"
    host = Edited("debian-13", {SOURCES: retired})
    plan = pipeline.prepare(host, Request(), state=tmp_path)
    assert len({step.key for step in plan.steps}) == len(plan.steps)
    step = files(plan)[SOURCES]
    assert b"deb1.rabbitmq.com" in (step.content or b"")
    assert step.diff(step.observe((host.read(SOURCES),))).conflict
    assert not files(pipeline.prepare(host, Request(source="distro"), state=tmp_path))[SOURCES].exists


@pytest.mark.usefixtures("asking")
def test_a_key_that_a_list_still_lives_by_stays(tmp_path):
    ring, hand = "/etc/apt/trusted.gpg.d/team.asc", f"{LISTS}/hand.list"
    team = load().key_text("rabbitmq-team")
    unbound = TEAM_LINE.replace(b"[signed-by=/k.gpg] ", b"")
    host = Edited("debian-13", {ring: team, hand: unbound})
    assert detect(host).legacy_keys
    assert ring not in files(pipeline.prepare(host, Request(source="distro"), state=tmp_path))
    assert ring in files(pipeline.prepare(host, Request(), state=tmp_path))
    host = Edited("debian-13", {ring: team, hand: TEAM_LINE})
    assert ring in files(pipeline.prepare(host, Request(source="distro"), state=tmp_path))


@pytest.mark.usefixtures("asking")
def test_a_keyring_with_other_keys_in_it_stays(tmp_path):
    another = b"\xc6\x06\x04" + bytes(5)  # a whole public key as far as its length
    ring = "/etc/apt/trusted.gpg.d/mixed.gpg"
    armour = load().key_text("rabbitmq-team").decode().partition("\n\n")[2].partition("\n=")[0]
    host = Edited("debian-13", {ring: base64.b64decode(armour) + another})
    assert len(apt_trust.fingerprints(host.files[ring])) == 2
    assert ring not in files(pipeline.prepare(host, Request(), state=tmp_path))


# --- receipts --------------------------------------------------------------------------------------------------------


def file(path: str, content: str | None) -> File:
    return File(path, None if content is None else content.encode(), directories=("/made",))


def run(
    state: Path,
    *paths: str,
    ends: str = DONE,
    undoes: tuple[str, ...] = (),
    cut: bool = False,
    title: str = "install",
) -> str:
    """Write the receipt of a run that wrote files; one that was killed has no end, one that was cut no last answer."""
    journal = Journal("undo" if undoes else title, state=state, undoes=undoes)
    for path in paths:
        journal.before(file(path, f"new {path}"), file(path, None))
        if not (cut and path == paths[-1]):
            journal.after("changed")
    if ends:
        journal.finish(ends)
    return journal.id


def paths(plan: Plan) -> list[str]:
    return sorted(step.path for step in plan.steps if isinstance(step, File))


def test_nothing_to_take_back(tmp_path):
    with pytest.raises(UsageError, match="there is nothing to undo"):
        pipeline.undoing(state=tmp_path)
    assert pipeline.uninstalling(purge=False, state=tmp_path)[1] == ()


def test_undo_takes_the_last_run_and_uninstall_all(tmp_path):
    first, second = run(tmp_path, "/a"), run(tmp_path, "/b")
    plan, names = pipeline.undoing(state=tmp_path)
    assert (paths(plan), names, plan.title) == (["/b"], (second,), "undo")
    plan, names = pipeline.uninstalling(purge=False, state=tmp_path)
    assert (paths(plan), names, plan.title) == (["/a", "/b"], (first, second), "uninstall")


def test_an_older_receipt_is_not_undone_under_a_newer_one(tmp_path):
    first, second = run(tmp_path, "/a"), run(tmp_path, "/b")
    assert pipeline.undoing(second, state=tmp_path)[1] == (second,)
    with pytest.raises(ConflictError, match=f"newer changes stand on {first}") as caught:
        pipeline.undoing(first, state=tmp_path)
    assert caught.value.cause == second
    with pytest.raises(UsageError, match="no receipt nonsense") as unknown:
        pipeline.undoing("nonsense", state=tmp_path)
    assert "rmqsetup history" in unknown.value.hint


def test_a_run_that_was_killed_and_its_repetition_are_one_wish(tmp_path):
    first = run(tmp_path, "/a")
    killed, failed = run(tmp_path, "/b", "/c", ends="", cut=True), run(tmp_path, "/d", ends=FAILED)
    last = run(tmp_path, "/e")
    plan, names = pipeline.undoing(state=tmp_path)
    assert names == (killed, failed, last)
    assert paths(plan) == ["/b", "/c", "/d", "/e"]
    assert pipeline.undoing(killed, state=tmp_path)[1] == names
    assert first not in names


def test_what_an_install_left_unfinished_is_no_part_of_a_fix(tmp_path):
    failed = run(tmp_path, "/a", ends=FAILED)
    fix = run(tmp_path, "/b", title="fix")
    assert pipeline.undoing(state=tmp_path)[1] == (fix,)
    run(tmp_path, "/b", title="undo", undoes=(fix,))
    assert pipeline.undoing(state=tmp_path)[1] == (failed,)


def test_an_install_with_nothing_left_to_do_ends_the_one_that_was_killed(tmp_path):
    killed, fix = run(tmp_path, "/a", ends="", cut=True), run(tmp_path, "/x", title="fix", ends=FAILED)
    settle("install", state=tmp_path)
    assert [(each.id, each.status) for each in read_all(tmp_path)] == [(killed, DONE), (fix, FAILED)]
    last = run(tmp_path, "/b")
    assert pipeline.undoing(state=tmp_path)[1] == (last,)


def test_only_a_killed_run(tmp_path):
    killed = run(tmp_path, "/a", "/b", ends="", cut=True)
    plan, names = pipeline.undoing(state=tmp_path)
    assert (paths(plan), names) == (["/a", "/b"], (killed,))


def test_a_last_line_cut_in_the_middle_is_left_out(tmp_path):
    run(tmp_path, "/a", ends="")
    (receipt,) = (tmp_path / "receipts").glob("*.jsonl")
    with receipt.open("ab") as stream:
        stream.write(b'{"step": {"type": "Fi')
    assert paths(pipeline.undoing(state=tmp_path)[0]) == ["/a"]
    settle("install", state=tmp_path)
    assert [receipt.status for receipt in read_all(tmp_path)] == [DONE], "what is written next is a line of its own"


def test_a_journal_that_a_full_disk_cuts_says_so_and_goes_on_in_a_line_of_its_own(tmp_path, small_files):
    journal = Journal("install", state=tmp_path)
    journal.before(file("/a", "new"), file("/a", None))
    with small_files(journal.path.stat().st_size + 20), pytest.raises(ManagerError, match="cannot write the journal"):
        journal.before(file("/b", "new"), file("/b", None))
    assert not journal.path.read_bytes().endswith(b"\n"), "a part of the line is there"
    journal.before(file("/c", "new"), file("/c", None))
    journal.finish(FAILED)
    assert paths(pipeline.undoing(state=tmp_path)[0]) == ["/a", "/c"]


def test_a_secret_that_cannot_be_kept_beside_the_journal_is_an_error_in_words(tmp_path, small_files):
    journal = Journal("install", state=tmp_path)
    journal.before(file("/a", "new"), file("/a", None))
    secret = replace(file("/b", "x" * 4000), secret=True)
    with small_files(2000), pytest.raises(ManagerError, match="cannot write the journal"):
        journal.before(file("/b", "new"), secret)


@pytest.fixture
def small_files():
    """Files of this process can have so many bytes and no more, as on a disk that is full."""

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def test_the_former_content_of_a_secret_file_is_beside_the_journal_for_root_alone(tmp_path):
    secret = b"default_pass = s3cr3t\n"
    journal = Journal("fix", state=tmp_path)
    journal.before(File("/a", b"", secret=True), File("/a", secret, secret=True))
    text = journal.path.read_text()
    assert "s3cr3t" not in text
    assert base64.b64encode(secret).decode() not in text
    (receipt,) = read_all(tmp_path)
    (back,) = receipt.inverses
    kept = Path(back.source)
    assert (back.content, back.digest, kept.read_bytes()) == (None, sha256(secret), secret)
    assert [path.stat().st_mode & 0o077 for path in (kept, kept.parent, journal.path, journal.path.parent)] == [0] * 4


def test_every_line_of_a_journal_is_on_disk_before_anything_follows(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    journal = Journal("install", state=tmp_path)
    for note in (
        lambda: journal.before(File("/a", b""), None),
        lambda: journal.after("changed"),
        lambda: journal.finish(DONE),
    ):
        note()
        assert synced[-1:] == [journal.path.stat().st_size]


def test_one_at_a_time_changes_a_machine(tmp_path):
    with lock(tmp_path), pytest.raises(ConflictError, match=f"process {os.getpid()}"), lock(tmp_path):
        pass
    with lock(tmp_path):
        pass


def test_what_was_undone_is_not_undone_again(tmp_path):
    first, second = run(tmp_path, "/a"), run(tmp_path, "/b")
    run(tmp_path, "/b", undoes=(second,))
    assert pipeline.undoing(state=tmp_path)[1] == (first,)
    assert pipeline.uninstalling(purge=False, state=tmp_path)[1] == (first,)


@pytest.mark.parametrize("ends", [FAILED, ""])
def test_an_undo_that_failed_or_was_killed_is_done_again(ends, tmp_path):
    first = run(tmp_path, "/a", "/b")
    run(tmp_path, "/b", undoes=(first,), ends=ends)
    plan, names = pipeline.undoing(state=tmp_path)
    assert (paths(plan), names) == (["/a", "/b"], (first,))


def test_a_run_that_was_rolled_back_left_nothing(tmp_path):
    run(tmp_path, "/a", ends=ROLLED_BACK)
    with pytest.raises(UsageError, match="nothing to undo"):
        pipeline.undoing(state=tmp_path)
    assert pipeline.ours(read_all(tmp_path)) == pipeline.Ours()


def test_uninstall_keeps_the_data_and_a_purge_does_not(tmp_path):
    journal = Journal("install", state=tmp_path)
    wish = Packages("apt", want=(Package("rabbitmq-server"),), hold=("erlang-*",), keep=(*DATA, "/etc/rabbitmq"))
    journal.before(wish, Packages("apt", absent=("rabbitmq-server",), keep=(*DATA, "/etc/rabbitmq")))
    journal.before(Service("systemd", "rabbitmq-server"), Service("systemd", "rabbitmq-server", running=False))
    journal.finish(DONE)
    for purge, keep in ((False, (*DATA, "/etc/rabbitmq")), (True, ("/etc/rabbitmq",))):
        plan, _ = pipeline.uninstalling(purge=purge, state=tmp_path)
        assert [type(step).__name__ for step in plan.steps] == ["Service", "Packages"]
        assert plan.steps[1].keep == keep
        assert plan.steps[1].absent == ("rabbitmq-server",)


def test_what_is_ours(tmp_path):
    run(tmp_path, SOURCES, PIN)
    journal = Journal("install", state=tmp_path)
    wish = Packages("apt", hold=("rabbitmq-server", "erlang-*"))
    journal.before(wish, Packages("apt"))  # what somebody else held meanwhile is not ours
    journal.before(wish, Packages("apt", release=("rabbitmq-server", "erlang-base")))
    journal.before(file("/gone", None), file("/gone", "was there"))
    journal.finish(DONE)
    found = pipeline.ours(read_all(tmp_path))
    assert found.paths == (SOURCES, PIN)
    assert found.digests == tuple(file(path, f"new {path}").wanted_digest for path in (SOURCES, PIN))
    assert found.holds == ("rabbitmq-server", "erlang-base")
    assert found.directories == ("/made",)


def test_many_receipts_of_one_second_keep_their_order(tmp_path):
    names = [run(tmp_path, f"/{number}") for number in range(5)]
    assert [receipt.id for receipt in read_all(tmp_path)] == names


AGO = timedelta(minutes=10)


class Unheard:
    """Nobody is told how far a run has come."""

    def begins(self, words: str) -> None: ...

    def says(self, line: str) -> None: ...

    def ends(self, outcome: Outcome) -> None: ...


class Behind(Machine):
    """A machine whose clock is some seconds behind ours, and whose broker does not start and says so."""

    behind = 0.0

    def run(self, command, listener=None):
        now = datetime.now(timezone.utc) - timedelta(seconds=self.behind)
        if command.argv[0] == "date":
            return Result(command, 0, f"{int(now.timestamp())}\n")
        if command.argv[0] == "tail":
            lines = (
                f"{at.isoformat(sep=' ')} [error] <0.1.0> {word}" for at, word in ((now - AGO, "old"), (now, "new"))
            )
            return Result(command, 0, "\n".join(lines))
        return super().run(command, listener) if command.argv[0] == "systemctl" else Result(command, 1)


@pytest.mark.parametrize("behind", [0.0, 3600.0, -3600.0])
def test_the_last_words_of_a_node_are_told_by_its_own_clock(tmp_path, behind):
    host = Behind(fails="systemctl start")
    host.behind = behind
    plan = Plan("install", (Service("systemd", "rabbitmq-server", enabled=None),))
    report = pipeline.carry_out(plan, host, Unheard(), state=tmp_path)
    assert "new" in report.error.cause
    assert "old" not in report.error.cause
