import json
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import steps
from rmqsetup.codec import STEPS, Unknown, from_data, salvage, to_data
from rmqsetup.errors import UnsupportedError, UsageError
from rmqsetup.finding import Finding, Severity
from rmqsetup.host import Action, Command, Look, Read, Remove, Write
from rmqsetup.managers import Package
from rmqsetup.steps import Change, Phase, Step
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service


@dataclass(frozen=True, slots=True)
class Everything:
    name: str
    at: datetime
    content: bytes | None = None
    phase: Phase = Phase.STOP
    ratio: float = 0.0
    steps: tuple[Step, ...] = ()
    actions: tuple[Action, ...] = ()
    looks: tuple[Look, ...] = ()
    last: Action | None = None
    undo: Step | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] | None = None


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
KINDS = (
    File("/etc/x", b"hello", expect=("a",), directories=("/etc",)),
    Packages("apt", want=(Package("rabbitmq-server", "4.0.5-9"),), hold=("erlang-*",), recommends=False),
    Service("systemd", "rabbitmq-server", enabled=None, newer_than=("/etc/x",)),
)


def travelled(value):
    return from_data(json.loads(json.dumps(to_data(value))), type(value))


def mistakes(data, kind, what=""):
    with pytest.raises(UsageError) as caught:
        from_data(data, kind, what=what)
    return caught.value.cause.splitlines()


def test_everything_returns_as_it_was():
    value = Everything(
        "all",
        NOW,
        content=b"text",
        phase=Phase.PACKAGES,
        ratio=1,
        steps=KINDS,
        actions=(Command(("ls", "-l"), env=(("A", "b"),)), Write("/a", b"\xff"), Remove("/a", ("/",))),
        looks=(Read("/a"), Command(("ls",))),
        last=Remove("/b"),
        undo=KINDS[0],
        pairs=(("a", "b"),),
        names=(),
    )
    assert travelled(value) == value


@given(st.binary())
def test_bytes_return_as_they_were(content):
    assert travelled(File("/x", content)).content == content


def test_what_equals_its_default_is_left_out():
    assert to_data(Everything("short", NOW)) == {"name": "short", "at": "2026-11-22T12:00:00+00:00"}
    assert to_data(Finding("a", Severity.ERROR, "b")) == {"check": "a", "severity": "error", "summary": "b"}


def test_steps_and_actions_say_what_they_are():
    data = to_data(Change((Remove("/x"),), KINDS[0]))
    assert data["actions"] == [{"type": "Remove", "path": "/x"}]
    assert data["inverse"]["type"] == "File"
    assert to_data(KINDS[0])["type"] == "File"
    assert from_data(to_data(KINDS[1]), Step) == KINDS[1]


def test_bytes_are_text_where_they_can_be():
    assert to_data(File("/x", "grün".encode()))["content"] == "grün"
    assert to_data(File("/x", b"\xff"))["content"] == {"base64": "/w=="}


def test_every_kind_of_step_is_known():
    folder = Path(steps.__file__).parent
    assert {file.stem for file in folder.glob("*.py")} - {"__init__"} == {
        name.rpartition(".")[2] for name in STEPS.values()
    }
    for name, module in STEPS.items():
        assert getattr(import_module(module), name).__name__ == name


def test_every_mistake_is_told_with_its_place():
    data = {
        "name": 4.2,
        "phase": 99,
        "actions": [{"type": "Writ"}, {"type": "Write", "content": 3, "mode": "x", "ownr": "me"}, "ls"],
        "undo": {"path": "/x"},
        "names": "a, b",
        "nmae": "x",
    }
    assert set(mistakes(data, Everything)) == {
        'name: 4.2 is not text; write "4.2"',
        "at: is missing",
        "phase: 99 is none of 0, 1, 2, 3, 4, 5, 6",
        "actions.0: 'Writ' is none of Command, Write, Remove, Unpack, Clear, Link, Give; did you mean Write?",
        "actions.1.path: is missing",
        'actions.1.content: 3 is neither text nor {"base64": "..."}',
        'actions.1.mode: "x" is not a whole number',
        "actions.1.ownr: is not known; did you mean owner?",
        'actions.2: "ls" does not say what it is: "type" is missing',
        'undo: a table does not say what it is: "type" is missing',
        'names: "a, b" is not a list; write ["a", "b"]',
        "nmae: is not known; did you mean name?",
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "a list"),
        (None, "null"),
        ("x", '"x"'),
        ({"check": "a", "severity": "eror", "summary": "b"}, "did you mean error?"),
        ({"check": "a", "severity": "error", "summary": "b", "zzz": 1}, "known here: check, severity"),
        ({"check": True, "severity": "error", "summary": "b"}, "check: true is not text"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(data, said):
    assert said in "\n".join(mistakes(data, Finding))


def test_an_error_names_what_was_read():
    with pytest.raises(UsageError, match="the receipt x cannot be read"):
        from_data({}, Finding, what="the receipt x")


@pytest.mark.parametrize(
    "data", [{"type": "Tunnel", "to": ["a"], "n": 1}, {"type": "File", "path": "/x", "sealed": True}]
)
def test_a_step_of_a_newer_version_stays_as_it_is(data):
    step = from_data(data, Step)
    assert isinstance(step, Unknown)
    assert to_data(step) == data
    assert travelled(Everything("x", NOW, undo=step)).undo == step
    assert from_data({**data, "other": 1}, Step).key != step.key
    for question in (lambda: step.observe(()), lambda: step.diff(step), lambda: step.absorb(step)):
        with pytest.raises(UnsupportedError, match=f"does not know the step '{data['type']}'"):
            question()


def test_salvage_returns_the_rest_with_the_mistakes():
    data = {"name": "x", "at": NOW.isoformat(), "ratio": "high", "names": ["a", 3], "nmae": 1}
    value, problems = salvage(data, Everything)
    assert value == Everything("x", NOW)
    assert {problem.path for problem in problems} == {("ratio",), ("names", "1"), ("nmae",)}


def test_a_mistake_of_ours_is_not_blamed_on_the_data():
    class Strange:
        pass

    with pytest.raises(Exception, match="Strange") as caught:
        from_data({}, Strange)
    assert not isinstance(caught.value, UsageError)
