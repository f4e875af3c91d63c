"""A broker that is watched: rates, what nodes and APIs answer, screens and lines, and what follows upon what."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probing import refuses_only_with
from screens import stored
from webserver import Answer as Served
from webserver import serving

from rmqsetup.cli import reading, watching
from rmqsetup.cli.session import Session
from rmqsetup.errors import UsageError
from rmqsetup.probes.api import _ALARMS, _NODES, _OVERVIEW, _QUEUES, Api, Service
from rmqsetup.probes.inside import PAGE, Place, parse_sample
from rmqsetup.probes.node import NodeListener, NodeState, NodeStatus, Way
from rmqsetup.probes.sample import LONGEST, Flow, Member, Queue, Sample, Scope, ranked, rates
from rmqsetup.probes.terms import FALSE, TRUE, UNDEFINED, Atom, TermError, decode
from rmqsetup.probes.wire import ClosedError, ProbeError, UnreachableError
from rmqsetup.show import live
from rmqsetup.show import watch as screens
from rmqsetup.show.layout import cells, cut, harmless, number, padded
from rmqsetup.show.terminal import Terminal
from rmqsetup.watch import Look, Watch

NODE = NodeStatus(
    "rabbit@broker",
    NodeState.RUNNING,
    version="4.0.5",
    erlang="27.3.4.1",
    uptime=7509.0,
    listeners=(NodeListener("amqp", "::", 5672), NodeListener("clustering", "::", 25672)),
    memory=123_000_000,
    memory_limit=10_000_000_000,
    disk_free=25_000_000_000,
    disk_free_limit=50_000_000,
)
QUEUES = (
    Queue("/", "orders", "quorum", 1203, 10, 3),
    Queue("shop", "a name that is longer than any column of a screen of eighty has room for it", "classic", 7, 0, 0),
    Queue("/", "請求書\x1b[31m", "stream", None, None, 1),
)
SAMPLE = Sample(
    100.0,
    NODE,
    counted=Flow(1000, 900, 1, 800, 2, 700),
    queues=3,
    seen=3,
    ready=1210,
    unacknowledged=10,
    longest=QUEUES,
    connections=1,
    channels=5,
    consumers=4,
    members=(Member("rabbit@broker", running=True),),
)
THEN, NOW = "2026-01-02T03:04:05Z", "2026-01-02T03:04:45Z"


def terminal(**more) -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), **more)


def later(seconds: float = 2.0, **more: float) -> Sample:
    counted = SAMPLE.counted
    return replace(SAMPLE, at=SAMPLE.at + seconds, counted=replace(counted, **more))


# --- rates -----------------------------------------------------------------------------------------------------------


def test_rates_are_what_was_counted_between_two_samples():
    found = rates(SAMPLE, later(4.0, published=1010, acknowledged=720))
    assert found == Flow(published=2.5, acknowledged=5.0)


def test_rates_are_not_known_at_the_first_sample_after_a_boot_or_without_counters():
    assert rates(None, SAMPLE) is None
    assert rates(SAMPLE, later(published=3)) is None
    assert rates(replace(SAMPLE, counted=None), SAMPLE) is None
    assert rates(SAMPLE, SAMPLE) is None


def test_what_a_node_tells_of_its_rates_counts():
    told = Flow(published=7)
    assert rates(None, replace(SAMPLE, told=told)) == told


@given(st.floats(0.01, 1e4), st.lists(st.integers(0, 10**12), min_size=6, max_size=6))
def test_rates_times_seconds_are_the_changes(seconds, changes):
    before = replace(SAMPLE, at=0.0, counted=Flow(1, 2, 3, 4, 5, 6))
    after = replace(SAMPLE, at=seconds, counted=Flow(*(n + c for n, c in zip(range(1, 7), changes, strict=True))))
    found = rates(before, after)
    assert found.published * seconds == pytest.approx(changes[0])
    assert found.acknowledged * seconds == pytest.approx(changes[5])


def test_the_longest_come_first_and_are_few():
    many = tuple(Queue("/", f"q{n:03}", ready=n % 100) for n in range(200))
    found = ranked(many)
    assert len(found) == LONGEST
    assert [one.name for one in found[:3]] == ["q099", "q199", "q098"]
    assert ranked((Queue("/", "idle"), Queue("/", "busy", consumers=1)))[0].name == "busy"


# --- what nodes answer -----------------------------------------------------------------------------------------------


def told(name: bytes, ready: int, kind: str = "rabbit_classic_queue", written: int | None = None) -> tuple:
    return (b"/", name, Atom(kind), [ready, 0, 1], [] if written is None else [[written, 0]])


def answered(**more) -> list:
    items = {
        "version": b"4.0.5",
        "erlang": b"27",
        "uptime": 5000,
        "listeners": [],
        "alarms": [],
        "memory": 1,
        "memory_limit": 2,
        "disk_free": UNDEFINED,
        "disk_free_limit": 4,
        "counted": (6, 5, 4, 3, 2, 1),
        "silent": FALSE,
        "queues": 2,
        "written": 2,
        "ready": 9,
        "unacknowledged": 0,
        "slot": (0, 0),
        "told": [told(b"a", 2, written=2), told(b"b", 7, "rabbit_quorum_queue", 7)],
        "connections": 1,
        "channels": 1,
        "consumers": 1,
        "members": [(Atom("rabbit@b"), FALSE), (Atom("rabbit@a"), TRUE)],
        **more,
    }
    return [(Atom(name), value) for name, value in items.items()]


def test_a_node_that_keeps_statistics_says_it_all():
    sample, place = parse_sample(answered(), "rabbit@a", 1.0)
    assert [(one.name, one.kind, one.ready) for one in sample.longest] == [("b", "quorum", 7), ("a", "classic", 2)]
    assert (sample.ready, sample.seen, sample.counted) == (9, 2, Flow(6, 5, 4, 3, 2, 1))
    assert sample.members == (Member("rabbit@a", running=True), Member("rabbit@b", running=False))
    assert sample.node.disk_free is None
    assert place == Place()


ASKED = [told(b"a", 2), told(b"b", 7, "rabbit_quorum_queue", 6)]
"""Where there are no statistics, nothing is written of classic queues."""


def test_what_a_queue_says_itself_stands_for_what_was_written_of_it():
    sample, _ = parse_sample(answered(ready=100, told=[told(b"a", 30, written=10)]), "rabbit@a", 1.0)
    assert sample.ready == 120


def test_without_statistics_the_classic_queues_that_were_asked_are_added():
    sample, place = parse_sample(answered(silent=TRUE, written=1, ready=6, told=ASKED), "rabbit@a", 1.0)
    assert (sample.ready, sample.seen) == (9, 2)
    assert place == Place()


def test_without_statistics_and_with_many_queues_the_walk_goes_on_and_the_longest_are_asked_again():
    sample, place = parse_sample(
        answered(silent=TRUE, written=1, queues=5000, slot=(3, 99), told=ASKED), "rabbit@a", 1.0
    )
    assert (sample.ready, sample.unacknowledged, sample.seen) == (None, None, 2)
    assert place.slot == 99
    assert place.known == tuple((Atom("resource"), b"/", Atom("queue"), name) for name in (b"a", b"b"))
    assert PAGE < 5000


@given(st.binary(max_size=200))
def test_an_answer_that_is_none_is_refused(data):
    refuses_only_with(
        (TermError, ValueError, TypeError, KeyError), lambda raw: parse_sample(decode(raw), "rabbit@a", 1.0), data
    )


OVERVIEW = {
    "node": "rabbit@a",
    "rabbitmq_version": "4.0.5",
    "erlang_version": "27",
    "message_stats": {"publish": 50, "publish_details": {"rate": 2.5}, "deliver_get": 3, "drop_unroutable": 1},
    "queue_totals": {"messages_ready": 6, "messages_unacknowledged": 1},
    "object_totals": {"queues": 2, "connections": 1, "channels": 1, "consumers": 0},
    "listeners": [{"node": "rabbit@a", "protocol": "amqp", "ip_address": "::", "port": 5672}],
}
NODES = [
    {"name": "rabbit@b", "running": False},
    {"name": "rabbit@a", "running": True, "uptime": 9000, "mem_used": 5, "mem_limit": 6},
]
ALARMS = {
    "status": "failed",
    "alarms": [{"node": "rabbit@a", "resource": "memory"}, {"node": "rabbit@b", "resource": "disk"}],
}
LISTED = {"items": [{"vhost": "/", "name": "q", "type": "quorum", "messages_ready": 6, "messages_unacknowledged": 1}]}


def api(more: dict[str, object] | None = None) -> dict[str, Served]:
    answers = {_OVERVIEW: OVERVIEW, _NODES: NODES, _QUEUES: LISTED, **(more or {})}
    served = {
        path: value if isinstance(value, Served) else Served(json.dumps(value).encode())
        for path, value in answers.items()
    }
    return {_ALARMS: Served(json.dumps(ALARMS).encode(), status=503), **served}


def test_an_api_says_the_same():
    with serving(api()) as server:
        sample = Api(Service(server.url, "ann", "secret")).sample()
    assert sample.scope is Scope.CLUSTER
    assert (sample.counted.published, sample.told.published, sample.counted.unroutable) == (50, 2.5, 1)
    assert (sample.ready, sample.unacknowledged, sample.longest[0].name) == (6, 1, "q")
    assert sample.node.alarms == ("memory",)
    assert sample.node.way is Way.HTTP_API
    assert [member.running for member in sample.members] == [True, False]
    assert server.asked[0][1]["Authorization"] == "Basic YW5uOnNlY3JldA=="


def test_an_api_is_not_asked_for_queues_more_often_than_it_can_bear(monkeypatch):
    clock = iter((0.0, 0.0, 1.0, 10.0, 49.9, 51.1, 51.1, 51.2))  # at, from, to | at | at | at, from, to
    monkeypatch.setattr("rmqsetup.probes.api.time.monotonic", lambda: next(clock))
    with serving(api()) as server:
        source = Api(Service(server.url))
        for _ in range(4):
            source.sample()
        source.close()
    assert [path for path, _ in server.asked].count(_QUEUES) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({_OVERVIEW: Served(b"", status=401)}, "does not let guest in"),
        ({_OVERVIEW: Served(b"", status=503)}, "says 503"),
        ({_OVERVIEW: Served(b"{")}, "not known"),
        ({_OVERVIEW: [1]}, "not known"),
        ({_NODES: []}, "not known"),
        ({_NODES: Served(b"[1, 2]", half=True)}, "does not answer"),
    ],
)
def test_an_api_that_answers_badly_is_told(more, words):
    with serving(api(more)) as server, pytest.raises(ProbeError) as caught:
        Api(Service(server.url)).sample()
    assert words in f"{caught.value.message} {caught.value.cause}"


def test_an_api_that_is_not_there_is_told():
    with serving({}) as server:
        url = server.url
    with pytest.raises(UnreachableError, match="does not answer"):
        Api(Service(url)).sample()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:15672", "ftp://host", "http://", "http://ann:secret@host", "http://h:x", "http://[::1", ""]
)
def test_an_address_that_is_none_or_holds_a_login_is_refused(url):
    with pytest.raises(UsageError):
        Api(Service(url))


# --- what follows upon what ------------------------------------------------------------------------------------------


class Scripted:
    """A source that says one thing after another."""

    def __init__(self, *said: Sample | ProbeError) -> None:
        self.said = list(said)
        self.closed = 0

    def sample(self) -> Sample:
        said = self.said.pop(0)
        if isinstance(said, ProbeError):
            raise said
        return said

    def close(self) -> None:
        self.closed += 1


def test_a_node_that_goes_away_is_told_since_when_and_comes_back():
    gone = UnreachableError("nobody answers at 127.0.0.1:25672", cause="connection refused")
    source = Scripted(SAMPLE, later(published=1100), gone, gone, replace(SAMPLE, at=120.0), later(30.0, published=1016))
    watched = Watch(source)
    first, second, down, still, back, after = (watched.look() for _ in range(6))
    assert (first.rates, second.rates.published) == (None, 50.0)
    assert [one.state for one in (second, down, back)] == ["running", "not reached", "running"]
    assert (down.problem, down.cause, down.ok) == (gone.message, gone.cause, False)
    assert still.since == down.since
    assert back.rates is None
    assert after.rates.published == pytest.approx(1.6)
    assert source.closed == 2


def test_a_conversation_that_was_ended_is_begun_anew_at_once():
    source = Scripted(SAMPLE, ClosedError("the node hung up"), later(published=1100))
    watched = Watch(source)
    watched.look()
    assert watched.look().rates.published == 50.0
    assert source.closed == 1


def test_a_node_with_an_alarm_or_a_stopped_application_is_not_well():
    alarmed = replace(SAMPLE, node=replace(NODE, alarms=("memory",)))
    stopped = Sample(1.0, NodeStatus("rabbit@broker", NodeState.STOPPED))
    watched = Watch(Scripted(SAMPLE, alarmed, stopped))
    well, blocked, down = (watched.look() for _ in range(3))
    assert [one.state for one in (well, blocked, down)] == ["running", "alarm", "stopped"]
    assert screens.error(well) is None
    assert "memory" in screens.error(blocked).message
    assert screens.error(down).exit_code == 8


# --- screens ---------------------------------------------------------------------------------------------------------

FLOW = Flow(published=1203.4, confirmed=1203.4, delivered=1190.0, acknowledged=1190.5, redelivered=0.5)
SCENES = {
    "running": Look(NOW, THEN, SAMPLE, FLOW),
    "first": Look(NOW, THEN, SAMPLE),
    "alarm": Look(NOW, THEN, replace(SAMPLE, node=replace(NODE, alarms=("disk", "memory"))), FLOW),
    "stopped": Look(NOW, THEN, Sample(1.0, NodeStatus("rabbit@broker", NodeState.STOPPED, "4.0.5", "27", 60.0))),
    "gone": Look(NOW, THEN, problem="nobody answers at 127.0.0.1:25672", cause="connection refused", hint="look"),
    "many": Look(
        NOW,
        THEN,
        replace(
            SAMPLE,
            queues=10_000,
            seen=130,
            ready=None,
            unacknowledged=None,
            longest=tuple(Queue("/", f"orders.{n}", "classic", 900 - n, 0, 1) for n in range(LONGEST)),
            members=(Member("rabbit@broker", running=True), Member("rabbit@other", running=False)),
        ),
        FLOW,
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_screens(name):
    text = screens.screen(SCENES[name], terminal(), columns=80, rows=22)
    stored(f"watch-{name}.txt", f"{text}\n")
    assert "\x1b" not in text
    coloured = screens.screen(SCENES[name], terminal(colours=True), columns=80, rows=22)
    assert "\x1b[3" in coloured


@pytest.mark.parametrize(("columns", "rows"), [(50, 40), (20, 10), (110, 60), (80, 5), (1, 1)])
@pytest.mark.parametrize("name", SCENES)
def test_screens_fit_whatever_the_terminal_is(name, columns, rows):
    text = screens.screen(SCENES[name], terminal(), columns=columns, rows=rows)
    lines = text.splitlines()
    assert len(lines) <= rows
    assert max(map(cells, lines)) <= columns
    stored(f"watch-{name}-narrow.txt", f"{text}\n") if (columns, rows) == (50, 40) else None


def test_lines_stand_below_their_heading_and_hold_no_blanks():
    stored("watch-lines.txt", "\n".join([screens.heading(), *map(screens.line, SCENES.values())]) + "\n")
    for look in SCENES.values():
        assert len(screens.line(look).split()) == len(screens.heading().split())


@given(st.text(), st.integers(0, 100))
def test_a_line_is_cut_to_a_width(text, width):
    text = harmless(text)
    assert cells(cut(text, width)) <= width
    assert cells(padded(text, width)) == width
    assert cells(cut(f"\x1b[31m{text}\x1b[0m", width).replace("\x1b[31m", "").replace("\x1b[0m", "")) <= width


def test_numbers_as_people_read_them():
    assert [number(each) for each in (None, 0, 0.5, 3, 9.96, 1203.4)] == ["-", "0", "0.5", "3", "10", "1,203"]


# --- as it comes -----------------------------------------------------------------------------------------------------


def followed(shown: type[live.Lines], *said: Sample | ProbeError, count: int) -> tuple[str, str, Look]:
    here = terminal()
    last = live.follow(Watch(Scripted(*said)).look, shown(here), every=0.001, count=count)
    return here.out.getvalue(), here.err.getvalue(), last


GONE = UnreachableError("nobody answers at 127.0.0.1:25672", cause="connection refused")


def test_a_log_has_one_line_for_a_look_and_tells_a_problem_once():
    out, err, last = followed(live.Lines, SAMPLE, GONE, GONE, SAMPLE, count=4)
    assert [line.split()[1] for line in out.splitlines()] == [
        "state",
        "running",
        "not-reached",
        "not-reached",
        "running",
    ]
    assert err == "nobody answers at 127.0.0.1:25672: connection refused\n"
    assert last.ok


def test_json_has_one_envelope_for_a_look():
    out, err, last = followed(live.JsonLines, SAMPLE, GONE, count=2)
    first, second = map(json.loads, out.splitlines())
    assert (first["schema"], first["command"], first["status"], first["exit_code"]) == (1, "status", "ok", 0)
    assert first["data"]["sample"]["longest"][0]["name"] == "orders"
    assert (second["status"], second["exit_code"], second["data"]["sample"]) == ("failed", 8, None)
    assert second["errors"][0]["cause"] == "connection refused"
    assert (err, last.ok) == ("", False)


def test_ctrl_c_ends_it_with_the_last_look():
    class Impatient(live.Lines):
        def wait(self, until: float) -> bool:  # noqa: ARG002
            raise KeyboardInterrupt

    assert live.follow(Watch(Scripted(SAMPLE)).look, Impatient(terminal()), every=1, count=None).ok

    def interrupted() -> Look:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live.follow(interrupted, live.Lines(terminal()), every=1, count=None)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["--interval 0", "--interval nan", "--count 0", "--api host", "--api http://a:b@host"]
)
def test_words_that_cannot_be_are_refused(words):
    typed = reading.read(("status", "--watch", *words.split())) or pytest.fail(words)
    with pytest.raises(UsageError):
        watching.watch(Session(typed, terminal(), None))
