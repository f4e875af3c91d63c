"""What results look like: stored screens of made-up and recorded results, colour, width, what moves."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from lab.system import until
from pretending import MACHINES
from probing import FAULTS, VERSIONS, RecordedNode, record
from screens import stored

from rmqsetup.apply import Outcome, Report, Status
from rmqsetup.catalog import load
from rmqsetup.detect import detect
from rmqsetup.errors import FAMILIES, ConflictError, ManagerError, RmqsetupError
from rmqsetup.host import Command
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.plan import Item, Plan, Preview
from rmqsetup.probes.node import NodeListener, ask
from rmqsetup.probes.unit import parse_unit
from rmqsetup.receipt import Entry, Receipt
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.show import ending, facts, history, layout, preview, progress, verification, versions
from rmqsetup.show import status as status_screen
from rmqsetup.show.answer import Answer, envelope, exit_code, give, plain, told, veiled
from rmqsetup.show.terminal import Terminal
from rmqsetup.status import BrokerStatus
from rmqsetup.steps import Change
from rmqsetup.steps.file import File
from rmqsetup.steps.service import Service
from rmqsetup.verification import Rung, Verdict, Verification
from rmqsetup.versions import Row, Versions

UNIT = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
FILE = File("/etc/rabbitmq/conf.d/10-rmqsetup.conf", b"heartbeat = 30\n")
SERVICE = Service("systemd", "rabbitmq-server")


DEBIAN = next(row for row in load().distributions if row.name == "Debian 13")


def terminal(**more) -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), **more)


def broker(version: str, fault: str) -> BrokerStatus:
    heard = record(version)
    node = ask(RecordedNode(heard.answers(fault)), heard.node)
    return BrokerStatus(heard.node, parse_unit(UNIT), node)


# --- status ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_status_screens_of_recorded_nodes(fault):
    found = broker("4.0.5", fault)
    screen = status_screen.screen(found, terminal())
    said = "" if found.ok else told(status_screen.error(found), terminal())
    stored(f"status-{fault.replace(' ', '-')}.txt", f"{screen}\n{said}")
    assert max(map(len, screen.splitlines())) <= 80


@pytest.mark.parametrize("version", VERSIONS)
def test_status_as_data(version):
    found = broker(version, "healthy")
    data = json.loads(envelope(Answer("status", data=lambda: plain(found))))
    assert data["data"]["node"]["version"] == version
    assert data["data"]["node"]["state"] == "running"
    assert {"protocol", "ip", "port"} == set(data["data"]["node"]["listeners"][0])


# --- errors and envelopes --------------------------------------------------------------------------------------------


def test_an_error_says_what_why_where_and_what_to_type():
    error = ManagerError(
        "the package manager failed",
        cause="E: Unable to locate package rabbitmq-server\nE: You have held broken packages, and a long line of it",
        looked_at=("/etc/apt/sources.list", "/etc/apt/sources.list.d"),
        hint="see what is offered with: rmqsetup versions",
    )
    stored("error.txt", told(error, terminal()) + "\n")
    stored("error.json", envelope(Answer("install", error=error)) + "\n")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_decides_the_exit_code_everywhere(family):
    answer = Answer("install", status="failed", error=family("it cannot be"))
    assert exit_code(answer) == family.exit_code
    for json_wanted in (False, True):
        here = terminal()
        assert give(answer, here, json=json_wanted) == family.exit_code
        assert ("it cannot be" in here.out.getvalue()) is json_wanted
        assert ("it cannot be" in here.err.getvalue()) is not json_wanted
    data = json.loads(envelope(answer))
    assert (data["exit_code"], data["errors"][0]["code"]) == (family.exit_code, family.code)
    assert set(data) == {"schema", "command", "status", "exit_code", "data", "errors"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:pw@host/x", "http://***@host/x"),
        ("http://:pw@host", "http://***@host"),
        ("amqp://ann@host", "amqp://ann@host"),
        ("deb http://host/a ann@example.org", "deb http://host/a ann@example.org"),
        ("https://host:15672/#/queues", "https://host:15672/#/queues"),
        ("amqp://ann:p@ss@host/x", "amqp://***@host/x"),
        ("a https://x:y@h and https://z:w@h", "a https://***@h and https://***@h"),
    ],
)
def test_passwords_in_addresses_are_veiled(text, shown):
    assert veiled(text) == shown


def test_a_terminal_obeys_nothing_that_others_have_written():
    """A virtual host may be called what makes the title of a window, or hides what comes after it."""
    name = "\x1b]0;owned\x07\x1b[2J\x9b2J\x7f\r日本 é"
    error = RmqsetupError(f"no {name}", cause=name)
    painted = terminal(colours=True).paint("failed")
    answer = Answer("x", lambda: f"{painted} {name}\n\tx", lambda: {name: name}, error=error)
    for json_wanted in (False, True):
        here = terminal()
        give(answer, here, json=json_wanted)
        here.say(name)
        said = here.out.getvalue() + here.err.getvalue()
        assert not re.search(r"[^\n\t -~\u00a0-\uffff]", re.sub(r"\x1b\[\d+m", "", said))
        assert "日本 é" in said
        if json_wanted:
            assert json.loads(here.out.getvalue())["data"] == {name: name}
        else:
            assert here.out.getvalue().startswith("\x1b[31mfailed\x1b[0m ?]0;owned")
            assert here.out.getvalue().endswith("\n\tx\n")


def test_data_are_plain_whatever_they_are_made_of():
    outcome = Outcome("k", Status.CHANGED, details=("a",))
    assert plain((outcome, {1: b"\xff"}, None, 1.5, True, Command(("ls",)).argv)) == [
        {"key": "k", "status": "changed", "words": "", "details": ["a"], "note": "", "seconds": 0.0},
        {"1": "\ufffd"},
        None,
        1.5,
        True,
        ["ls"],
    ]


# --- previews and endings --------------------------------------------------------------------------------------------


def shown(*items: Item) -> Preview:
    return Preview(Plan("undo", tuple(item.step for item in items)), items)


def test_a_preview_tells_warnings_conflicts_and_what_cannot_be_undone():
    restart = Change((), FILE, "restart rabbitmq-server", warning="the running broker restarts", then=SERVICE)
    edited = Change((), None, "change /etc/x", conflict="/etc/x was edited by somebody else")
    refused = ConflictError("somebody holds it")
    seen = shown(Item(FILE, edited), Item(SERVICE, restart), Item(SERVICE, Change(), refused))
    seen = replace(seen, items=(Item(FILE, replace(edited, then=None, actions=(Command(("x",)),))), *seen.items[1:]))
    stored("preview.txt", preview.screen(seen, terminal()) + "\n")
    data = json.loads(json.dumps(plain(preview.data(seen))))
    assert [each["undoable"] for each in data["changes"]] == [False, True, False]
    assert data["changes"][2]["error"] == "somebody holds it"


def test_packages_of_one_version_share_a_line():
    details = ("a 1.0 from Debian", "b 1.0 from Debian", "c 2.0 from Debian", "remove d 1.0", "remove e 1.0", "odd")
    seen = shown(Item(FILE, Change((Command(("x",)),), FILE, "install", details)))
    lines = [line.strip() for line in preview.screen(seen, terminal()).splitlines()]
    assert lines[2:] == ["a, b 1.0 from Debian", "c 2.0 from Debian", "remove d, e 1.0", "odd"]


def verified(*listeners: NodeListener) -> Verification:
    node = broker("4.0.5", "healthy").node
    assert node is not None
    rung = Rung(5, "messages", Verdict.PASSED, 0.2, ("classic queue",))
    return Verification("rabbit@host", 5, (rung,), replace(node, listeners=listeners))


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (NodeListener("amqp", "::", 5672), "amqp://localhost:5672"),
        (NodeListener("amqp/ssl", "192.0.2.1", 5671), "amqps://192.0.2.1:5671"),
        (NodeListener("http", "0.0.0.0", 15672), "http://localhost:15672"),
        (NodeListener("https", "192.0.2.1", 15671), "https://192.0.2.1:15671"),
    ],
)
def test_the_end_of_an_install_says_where_to_connect(listener, said):
    report = Report(Plan("install", (FILE,)), (), "the-receipt")
    text = ending.installed(report, verified(listener), terminal())
    assert said in text
    assert "the-receipt" in text
    assert ending.installed_data(report, verified(listener))["places"]["receipt"] == "the-receipt"


def test_the_versions_of_an_install_are_those_that_run():
    report = Report(Plan("install", (FILE,), resolution=Resolution(DEBIAN, "distro", "4.0", "27", ())), (), "r")
    data = ending.installed_data(report, verified())
    assert (data["rabbitmq"], data["erlang"]) == ("4.0.5", "27.3.4.1")
    assert ending.installed_data(report, None)["rabbitmq"] == "4.0"


@pytest.mark.parametrize("width", [80, 70, 60, 48, 40])
def test_the_table_of_series_is_never_wrapped(width):
    row = Row("3.10", "3.10.25", "2022-05-03", "2023-07-31", "2023-12-31", "24.3.4.8", "25.3", ())
    text = versions.screen(Versions("Debian 13", "amd64", (row,), ()), terminal(width=width))
    assert max(map(len, text.splitlines()[1:3])) <= max(width, 45)
    assert "24.3.4.8 to 25.3" in text
    assert ("2023-07-31" in text, "2023-12-31" in text) == (width >= 60, width >= 70)


@pytest.mark.parametrize(("name", "said"), [("debian-13", False), ("debian-13-container-without-init", True)])
def test_the_end_of_an_install_names_the_command_of_a_container(name, said):
    facts = detect(ReplayHost(MACHINES / name))
    report = Report(Plan("install", (FILE,), facts), (), "the-receipt")
    assert ("rmqsetup start --foreground" in ending.installed(report, verified(), terminal())) is said
    assert "start the broker" not in ending.installed(report, None, terminal()), "not verified, but started"
    report = Report(Plan("install", (FILE,), facts, Request(start=False)), (), "the-receipt")
    still = ending.installed(report, None, terminal())
    assert "and not started" in still
    assert ("rmqsetup start " in still) is said
    assert ("systemctl start" in still) is not said


@pytest.mark.parametrize(
    ("rolled_back", "receipt", "said"),
    [(True, "r", "the machine is as before"), (False, "r", "rmqsetup undo"), (False, "", "nothing was changed")],
)
def test_a_failure_says_what_became_of_what_was_begun(rolled_back, receipt, said):
    report = Report(Plan("install", ()), (), receipt, ManagerError("no", hint="try"), rolled_back)
    error = ending.explained(report)
    assert isinstance(error, ManagerError)
    assert error.hint.startswith("try\n")
    assert said in error.hint


def test_a_receipt_that_never_ended_is_told():
    begun = Receipt("r1", "install", "2026-01-01T00:00:00+00:00", (Entry(FILE, None), Entry(SERVICE, None)))
    text = history.screen((begun,), ("r1",), terminal())
    assert "not finished" in text
    assert "service rabbitmq-server" in text
    assert history.data((begun,), ())[0]["status"] == "not finished"


def test_what_takes_long_shows_that_it_goes_on_and_leaves_nothing():
    err = io.StringIO()
    here = Terminal(io.StringIO(), err, live=True)
    with here.meanwhile("Looking …"):
        here.interject("found it")
        assert until(lambda: "Looking … 1 s" in err.getvalue(), 10)
    assert err.getvalue().startswith("Looking …\r\x1b[Kfound it\n")
    assert err.getvalue().endswith("\r\x1b[K")
    with here._replace(quiet=True, err=(silent := io.StringIO())).meanwhile("Looking …"):
        pass
    assert silent.getvalue() == ""


@pytest.mark.parametrize(
    ("pretty", "release", "said"),
    [("Debian GNU/Linux 13 (trixie)", "13.8", "(trixie) 13.8"), ("Debian forky/sid", "forky/sid", "Debian forky/sid")],
)
def test_a_release_is_said_once(pretty, release, said):
    found = detect(ReplayHost(MACHINES / "debian-13"))
    found = replace(found, os=replace(found.os, pretty=pretty, debian_version=release))
    assert re.search(rf"^system +.*{re.escape(said)}$", facts.screen(found, terminal()), re.MULTILINE)
    assert facts.screen(found, terminal()).count(release) == 1


def test_colours_and_wide_letters_are_counted_as_they_are_seen():
    assert layout.wrapped("\x1b[31merror\x1b[0m: a b", 10, rest="  ") == "\x1b[31merror\x1b[0m: a b"
    assert layout.wrapped("日本 日本 x", 9, first="- ", rest="  ") == "- 日本\n  日本 x"
    assert layout.wrapped("one-very-long-word  two\n\n three", 8) == "one-very-long-word\ntwo\n\n three"


def test_a_rung_keeps_to_the_width():
    rung = Rung(2, "node", Verdict.PASSED, 0.01, ("a long thing to see " * 10, "more"))
    for colour in (False, True):
        line = verification.line(rung, terminal(colour=colour))
        assert 70 < len(line.replace("\x1b[32m", "").replace("\x1b[0m", "")) <= 80
        assert line.endswith("a long …"), "cut between words"
    assert verification.line(replace(rung, evidence=("short", "more")), terminal()).endswith("short and 1 more")


def test_facts_of_every_recorded_machine_are_one_screen():
    from pretending import MACHINES

    from rmqsetup.detect import detect
    from rmqsetup.hosts.replay import ReplayHost

    for folder in sorted(MACHINES.iterdir()):
        screen = facts.screen(detect(ReplayHost(folder)), terminal())
        assert screen.startswith("host"), folder.name
        assert len(screen.splitlines()) <= 60, folder.name


# --- progress --------------------------------------------------------------------------------------------------------

CHANGED = Outcome("file:/x", Status.CHANGED, "write /x", (), "somebody edited it", 0.5)


def tell(watcher: progress.Progress) -> None:
    with watcher:
        watcher.begins("write /x")
        watcher.says("dlstatus:1:50.0:Retrieving file 1 of 2")
        watcher.says("pmstatus:x:60.0:Unpacking x (amd64)")
        watcher.says("waiting: Could not get lock")
        watcher.says("Setting up x ...")
        watcher.ends(CHANGED)
        watcher.ends(Outcome("file:/y", Status.UNCHANGED))
        watcher.begins("start it")
        watcher.ends(Outcome("service:z", Status.FAILED, "it does not start", seconds=2))
        watcher.ends(Outcome("service:w", Status.SKIPPED))
        watcher.begins("left open")


def test_progress_in_plain_lines():
    here = terminal()
    tell(progress.progress(here, verbose=False, quiet=False))
    stored("progress.txt", here.err.getvalue())
    here = terminal()
    tell(progress.progress(here, verbose=True, quiet=False))
    stored("progress-verbose.txt", here.err.getvalue())
    here = terminal(quiet=True)
    tell(progress.progress(here, verbose=False, quiet=True))
    assert here.err.getvalue() == ""


def test_progress_that_moves_leaves_the_same_lines(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    here = Terminal(io.StringIO(), Screen(), live=True)
    watcher = progress.progress(here, verbose=False, quiet=False)
    assert isinstance(watcher, progress.LiveProgress)
    tell(watcher)
    shown = here.err.getvalue()
    for line in ("write /x … changed, 0.5 s", "somebody edited it", "waiting: Could not get lock", "start it … failed"):
        assert line in shown
    assert "\x1b[3" not in shown, "colours without being asked for"


# --- terminals -------------------------------------------------------------------------------------------------------


def test_only_words_of_outcomes_have_a_colour():
    here = terminal(colour=True, colours=True)
    assert here.paint("failed", talk=True) == "\x1b[31mfailed\x1b[0m"
    assert here.paint("passed") == "\x1b[32mpassed\x1b[0m"
    assert here.paint("rabbitmq-server") == "rabbitmq-server"
    assert terminal().paint("failed") == "failed"


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("400", 110), ("10", 40), ("wide", 80), ("", 80)])
def test_the_width_is_what_the_environment_says(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), "ascii"))
    here = Terminal.here()
    assert here.width == width
    assert not here.colour
    assert not here.live
    here.put("… →")  # an ASCII terminal: no error
    here.flush()


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "not known"), (12, "12 bytes"), (1234, "1.2 kB"), (45_600_000, "46 MB"), (10**9, "1.0 GB")],
)
def test_sizes(number, said):
    assert layout.size(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "not known"), (0.4, "less than a second"), (61, "1 minute 1 second"), (90_061, "1 day 1 hour")],
)
def test_spans(number, said):
    assert layout.span(number) == said


def test_columns_are_aligned_and_rows_without_value_left_out():
    assert layout.columns((("a", "bb", "c"), ("aaa", "b", "c"))) == "  a    bb  c\n  aaa  b   c"
    assert layout.columns(()) == ""
    assert layout.pairs((("one", "1"), ("none", ""), ("three", "x\ny")), 80) == "  one    1\n  three  x\n         y"


def test_errors_know_no_colour_of_their_own():
    assert told(RmqsetupError("so"), terminal()) == "error: so"
