"""Running checks side by side, ranking and folding what they say, forms of output, and which fixes make a plan."""

from __future__ import annotations

import io
import json
import threading
import time
from xml.etree import ElementTree as ET

import pytest
from scenes import CONF, UNIT, Plain, Wires, scene

from rmqsetup import doctor
from rmqsetup.checks import Check, Diagnosis, catalogue, error, info, warning
from rmqsetup.cli.options import completed
from rmqsetup.doctor import (
    Examination,
    Illness,
    check_named,
    chosen,
    curable,
    cure,
    examine,
    fold,
    hindrances,
    without_starts,
)
from rmqsetup.errors import UsageError
from rmqsetup.finding import Severity
from rmqsetup.show import doctor as screen
from rmqsetup.show.terminal import Terminal
from rmqsetup.steps.access import Access, Right
from rmqsetup.steps.service import Service

TERMINAL = Terminal(io.StringIO(), io.StringIO())
OWNED = Access((Right("/var/lib/rabbitmq/mnesia", "rabbitmq", "rabbitmq", 0o750),))


def names(illnesses):
    return [(each.cause.check, [folded.check for folded in each.consequences]) for each in illnesses]


# ---- ranking and folding


def test_consequences_are_folded_under_their_cause():
    found = (error("RMQ-001", "fails"), error("RMQ-080", "silent"), error("RMQ-053", "owner"))
    assert names(fold(found)) == [("RMQ-053", ["RMQ-001", "RMQ-080"])]


def test_a_warning_explains_nothing():
    assert names(fold((warning("RMQ-005", "few files"), error("RMQ-001", "fails")))) == [
        ("RMQ-001", []),
        ("RMQ-005", []),
    ]


def test_a_consequence_of_a_consequence_goes_to_the_root():
    found = (error("RMQ-080", "silent"), error("RMQ-052", "cookie"), error("RMQ-050", "owner"))
    assert names(fold(found)) == [("RMQ-050", ["RMQ-052", "RMQ-080"])]


def test_what_explains_something_is_first_then_errors_then_the_rest():
    found = (info("RMQ-008", "old"), warning("RMQ-020", "retired"), error("RMQ-012", "half"), error("RMQ-072", "key"))
    assert names(fold((*found, error("RMQ-001", "fails")))) == [
        ("RMQ-072", ["RMQ-001"]),
        ("RMQ-012", []),
        ("RMQ-020", []),
        ("RMQ-008", []),
    ]


def test_no_two_checks_explain_each_other():
    explains = {check.id: set(check.explains) for check in catalogue()}
    assert set().union(*explains.values()) <= explains.keys()

    def reaches(start, seen=frozenset()):
        return {start} | {far for near in explains[start] - seen for far in reaches(near, seen | {near})}

    assert [name for name in explains if any(name in reaches(near) for near in explains[name])] == []


def test_ids_are_unique_and_every_check_has_a_page():
    ids = [check.id for check in catalogue()]
    assert len(ids) == len(set(ids))
    assert all(len(check.page.split()) > 5 and check.title and check.group for check in catalogue())


# ---- running


def judging(*findings, seconds=0.0):
    def judge(_):
        """Say what it was told to say."""
        time.sleep(seconds)
        yield from findings

    return judge


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on():
    def breaks(_):
        """Break."""
        raise KeyError("no such thing")
        yield

    checks = (Check("RMQ-001", "Breaks", breaks), Check("RMQ-002", "Works", judging(error("RMQ-002", "stopped"))))
    found = examine(scene(Plain()), checks)
    assert [(each.check, each.severity) for each in found.findings] == [
        ("RMQ-002", Severity.ERROR),
        ("RMQ-001", Severity.CRASH),
    ]
    assert "KeyError" in found.findings[1].evidence[0]
    assert "--skip RMQ-001" in found.findings[1].hint


def test_a_check_that_hangs_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "DEADLINE", 0.05)
    found = examine(scene(Plain()), (Check("RMQ-001", "Hangs", judging(seconds=2.0)),))
    assert found.findings[0].severity is Severity.CRASH
    assert "did not end" in found.findings[0].summary


def test_checks_run_side_by_side():
    everybody = threading.Barrier(30)

    def meets(_):
        """Wait for all others."""
        everybody.wait(15)
        yield from ()

    assert examine(scene(Plain()), tuple(Check("RMQ-001", "Meets", meets) for _ in range(30))).ok


def test_slow_checks_are_asked_only_where_nothing_else_tells_why():
    slow = Check("RMQ-015", "Slow", judging(error("RMQ-015", "damaged")), slow=True)
    ill = Check("RMQ-002", "Ill", judging(error("RMQ-002", "stopped")))
    why = Check("RMQ-072", "Why", judging(error("RMQ-072", "key")))
    unasked = examine(scene(Plain()), (slow,))
    assert (unasked.ok, unasked.checked) == (True, ())
    assert examine(scene(Plain()), (slow, ill)).checked == ("RMQ-015", "RMQ-002")
    assert [each.check for each in examine(scene(Plain()), (slow, ill)).findings] == ["RMQ-015", "RMQ-002"]
    assert [each.check for each in examine(scene(Plain()), (slow, ill, why)).findings] == ["RMQ-072", "RMQ-002"]


def test_the_recorded_machine_is_healthy_and_everything_is_looked_at_once():
    machine = Plain()
    found = examine(scene(machine), chosen())
    assert found.findings == ()
    assert found.ok
    assert len(machine.ran) == len(set(machine.ran))


@pytest.mark.parametrize(
    ("only", "skip", "many"),
    [("RMQ-001", "", 1), ("rmq-001,cookie", "", 4), ("cookie", "RMQ-050", 2), ("", "cookie", len(catalogue()) - 3)],
)
def test_checks_are_chosen_by_id_and_group(only, skip, many):
    assert len(chosen(only, skip)) == many


@pytest.mark.parametrize(
    "call", [lambda: chosen("nothing"), lambda: chosen("", "RMQ-999"), lambda: check_named("RMQ-999")]
)
def test_what_is_no_check_is_refused(call):
    with pytest.raises(UsageError, match="there is no check") as refusal:
        call()
    assert "--list" in refusal.value.hint


# ---- fixes


def examined(*findings):
    return Examination(fold(findings), ())


def test_only_safe_fixes_are_made_unless_more_is_asked_for():
    start = Service("systemd", "rabbitmq-server", enabled=None)
    found = examined(
        error("RMQ-053", "owner", fix=(OWNED, start), safe=True),
        warning("RMQ-013", "held", fix=(Service("systemd", "other"),)),
        error("RMQ-002", "stopped", fix=(start,), safe=True),
    )
    assert [step.key for step in cure(curable(found, "safe")).steps] == [OWNED.key, start.key]
    assert len(cure(curable(found, "all")).steps) == 3
    assert [step.key for step in cure(curable(found, "rmq-013")).steps] == ["service:other"]


def test_a_cure_starts_services_behind_all_else():
    start = Service("systemd", "rabbitmq-server", enabled=None)
    found = (error("RMQ-002", "stopped", fix=(start,)), error("RMQ-053", "owner", fix=(start, OWNED)))
    assert cure(found).steps == (OWNED, start)


def test_paths_that_two_findings_want_opened_are_all_opened():
    more = Access((*OWNED.rights, Right("/var/lib/rabbitmq/mnesia/x", "rabbitmq", "rabbitmq", 0o640)))
    found = examined(
        error("RMQ-053", "owner", fix=(OWNED,), safe=True), error("RMQ-050", "mode", fix=(more,), safe=True)
    )
    assert cure(curable(found, "safe")).steps == (more,)


def test_what_something_else_keeps_down_is_not_started():
    start = Service("systemd", "rabbitmq-server", enabled=None)
    found = examined(
        error("RMQ-050", "owner", fix=(OWNED, start), safe=True), error("RMQ-072", "key"), error("RMQ-002", "stopped")
    )
    safe = curable(found, "safe")
    assert [each.check for each in hindrances(found, safe)] == ["RMQ-072"]
    assert [step.key for step in without_starts(cure(safe)).steps] == [OWNED.key]
    assert hindrances(found, tuple(illness.cause for illness in found.illnesses)) == ()


@pytest.mark.parametrize(
    ("name", "words"), [("RMQ-050", "was not found"), ("RMQ-072", "by a person"), ("RMQ-999", "no check")]
)
def test_what_cannot_be_mended_is_said(name, words):
    with pytest.raises(UsageError, match=words):
        curable(examined(error("RMQ-072", "key", hint="take it out")), name)


def test_an_option_said_without_its_value_gets_one():
    assert completed(("doctor", "--fix", "--yes")) == ("doctor", "--fix=safe", "--yes")
    assert completed(("doctor", "--fix")) == ("doctor", "--fix=safe")
    assert completed(("doctor", "--fix=RMQ-053")) == ("doctor", "--fix=RMQ-053")
    assert completed(("doctor", "--fix", "RMQ-053")) == ("doctor", "--fix", "RMQ-053")
    assert completed(("install", "--fix")) == ("install", "--fix")


# ---- forms


def ill():
    return Examination(
        (
            Illness(
                error("RMQ-072", "no setting <x>", evidence=("a.conf:2: x = \x00 1",), hint="take it out"),
                (error("RMQ-001", "fails"),),
            ),
            Illness(info("RMQ-008", "50% old\nreally")),
        ),
        ("RMQ-072", "RMQ-001", "RMQ-008", "RMQ-002"),
    )


def test_junit_holds_whatever_somebody_called_something():
    odd = "\x1b\x00\ufffe\udc80\x9f"
    found = Examination((Illness(error("RMQ-072", f"no {odd}x", evidence=(f"a{odd}b",))),), ("RMQ-072",))
    (case,) = ET.fromstring(screen.ci(found, "junit"))
    failure = case.find("failure")
    assert (failure.get("message"), failure.text) == ("no \x9fx", "a\x9fb")


def test_junit_has_a_case_per_check_and_a_failure_per_finding():
    suite = ET.fromstring(screen.ci(ill(), "junit"))
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    failures = {case.get("name").split()[0]: case.find("failure") for case in suite}
    assert failures["RMQ-072"].get("message") == "no setting <x>"
    assert "a.conf:2: x =" in failures["RMQ-072"].text
    assert "a consequence of RMQ-072" in failures["RMQ-001"].text
    assert failures["RMQ-008"] is None
    assert failures["RMQ-002"] is None


def test_github_has_an_annotation_per_cause_on_one_line():
    assert screen.ci(ill(), "github").splitlines() == [
        "::error title=RMQ-072::no setting <x>%0Aa.conf:2: x = \x00 1%0Atake it out",
        "::notice title=RMQ-008::50%25 old%0Areally",
    ]


def test_json_has_consequences_below_their_cause():
    told = json.loads(json.dumps(screen.data(ill())))
    assert told["healthy"] is False
    assert [each["check"] for each in told["findings"]] == ["RMQ-072", "RMQ-008"]
    assert told["findings"][0]["consequences"][0]["check"] == "RMQ-001"


def test_the_screen_says_what_is_wrong_what_shows_it_and_what_to_type():
    text = screen.screen(ill(), TERMINAL, root=True)
    assert "RMQ-072  no setting <x>" in text
    assert "seen     a.conf:2" in text
    assert "explains fails (RMQ-001)" in text
    assert "to do    take it out" in text
    assert text.splitlines()[-1].startswith("1 error, 1 remark; 4 checks in")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_healthy_screen_is_one_line_and_a_plain_user_is_told_what_was_not_seen():
    healthy = Examination((), ("RMQ-001",), unseen=("/a", "/b"))
    assert screen.screen(healthy, TERMINAL, root=True) == "Nothing to report: 1 check in 0 ms."
    assert "/a, /b" in screen.screen(healthy, TERMINAL, root=False)


def test_real_findings_of_a_spoilt_machine_end_in_one_illness():
    machine, wires = Plain(), Wires()
    wires.down()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        machine.put(path, "")
    machine.change(UNIT, "ActiveState=active", "ActiveState=activating")
    machine.change(UNIT, "SubState=running", "SubState=auto-restart")
    machine.change(UNIT, "Result=success", "Result=exit-code")
    machine.put(CONF, "heartbeats = 60\n")
    found = examine(scene(machine, wires), chosen())
    assert names(found.illnesses) == [("RMQ-072", ["RMQ-001"])]
    cause = found.illnesses[0].cause
    assert isinstance(cause, Diagnosis)
    assert "heartbeat may be meant" in cause.hint
    assert cause.evidence == (f"{CONF}:1: heartbeats = 60",)
