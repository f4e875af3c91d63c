"""A real broker that is watched: from inside and over its API; messages, alarms, nodes that go and come back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pika
import pytest
from processes import command

from rmqsetup.probes.api import Api, RefusedLoginError, Service
from rmqsetup.probes.inside import PAGE, Inside
from rmqsetup.probes.node import NodeState
from rmqsetup.testing import broker as throwaway
from rmqsetup.testing import faults
from rmqsetup.watch import Look, Watch


@pytest.fixture(scope="module")
def bare() -> Iterator:
    """A broker without the management plugin: it keeps no statistics of its queues."""
    with throwaway() as made:
        yield made


@contextmanager
def watching(source: Inside | Api) -> Iterator[Watch]:
    with closing(Watch(source)) as watched:
        yield watched


@contextmanager
def channel_of(broker) -> Iterator[pika.channel.Channel]:
    name = broker.new_vhost()
    with pika.BlockingConnection(pika.URLParameters(broker.url_of(name))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    broker.delete_vhost(name)


def fill(channel, queue: str, messages: int) -> None:
    for _ in range(messages):
        channel.basic_publish("", queue, b"x", mandatory=True)


def until(watched: Watch, true, seconds: float = 30.0) -> Look:
    """Look until something is so, and return that look."""
    deadline = time.monotonic() + seconds
    while not true(look := watched.look()):
        assert time.monotonic() < deadline, look
        time.sleep(0.2)
    return look


def lengths(look: Look) -> dict[str, tuple]:
    return {one.name: (one.kind, one.ready, one.unacknowledged) for one in look.sample.longest} if look.sample else {}


@pytest.mark.parametrize("statistics", [False, True])
def test_messages_and_queues_are_seen_from_inside(bare, broker, statistics):
    broker = broker if statistics else bare
    with watching(Inside(lambda: broker.peer)) as watched, channel_of(broker) as channel:
        assert watched.look().ok
        channel.queue_declare("orders", durable=True)
        channel.queue_declare("invoices", durable=True, arguments={"x-queue-type": "quorum"})
        fill(channel, "orders", 30)
        fill(channel, "invoices", 20)
        channel.basic_get("orders", auto_ack=True)
        channel.basic_get("orders")
        look = watched.look()
        assert look.rates.published > look.rates.delivered > 0
        assert look.rates.published == pytest.approx(look.rates.confirmed)
        seconds = 50 / look.rates.published
        assert look.rates.delivered * seconds == pytest.approx(2)
        wanted = {"orders": ("classic", 28, 1), "invoices": ("quorum", 20, 0)}
        look = until(watched, lambda look: wanted.items() <= lengths(look).items() and look.sample.ready == 48)
        assert (look.sample.queues, look.sample.seen, look.sample.unacknowledged) == (2, 2, 1)
        assert (look.sample.connections, look.sample.channels) == (1, 1)
        assert [(member.name, member.running) for member in look.sample.members] == [(broker.lease.node, True)]


def test_the_api_tells_the_same(broker):
    with watching(Api(Service(broker.management_url))) as watched, channel_of(broker) as channel:
        channel.queue_declare("letters", durable=True)
        fill(channel, "letters", 100)
        look = until(watched, lambda look: lengths(look).get("letters") == ("classic", 100, 0))
        assert look.ok
        with watching(Inside(lambda: broker.peer)) as inside:
            other, seen = inside.look().sample.node, look.sample.node
        assert (seen.name, seen.version, seen.listeners) == (other.name, other.version, other.listeners)
        assert (seen.memory_limit, seen.disk_free_limit) == (other.memory_limit, other.disk_free_limit)
        look = until(watched, lambda look: look.sample.told and look.sample.connections)
        assert look.sample.counted.published >= 100
    refused = Api(Service(broker.management_url, password="wrong"))
    with closing(refused), pytest.raises(RefusedLoginError):
        refused.sample()


def test_many_queues_without_statistics_are_asked_a_page_at_a_time(bare):
    with watching(Inside(lambda: bare.peer)) as watched, channel_of(bare) as channel:
        for number in range(3 * PAGE):
            channel.queue_declare(f"many.{number}", exclusive=True)
        fill(channel, "many.7", 5)
        fill(channel, f"many.{2 * PAGE}", 9)
        found = until(watched, lambda look: {"many.7", f"many.{2 * PAGE}"} <= lengths(look).keys())
        assert found.sample.seen < 3 * PAGE <= found.sample.queues
        assert found.sample.ready is None
        fill(channel, "many.7", 2)
        looks = [watched.look() for _ in range(8)]
        assert {lengths(look)["many.7"] for look in looks} == {("classic", 7, 0)}


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_an_alarm_is_seen_and_its_end(broker, resource):
    with watching(Inside(lambda: broker.peer)) as watched:
        with faults.alarm(broker, resource):
            look = watched.look()
            assert (look.state, look.sample.node.alarms, look.ok) == ("alarm", (resource,), False)
        assert watched.look().ok


def test_a_node_that_stops_dies_and_comes_back_is_watched_on():
    with throwaway() as broker, watching(Inside(lambda: broker.peer)) as watched:
        assert watched.look().ok
        broker.call("rabbit", "stop")
        stopped = watched.look()
        assert (stopped.state, stopped.sample.node.state, stopped.ok) == ("stopped", NodeState.STOPPED, False)
        broker.kill_node()
        gone, still = watched.look(), watched.look()
        assert [one.state for one in (gone, still)] == ["not reached"] * 2
        assert gone.problem
        assert still.since == gone.since
        broker.start_node()
        back = watched.look()
        assert (back.ok, back.rates) == (True, None)
        broker.carry()
        assert watched.look().rates.published > 0
        with broker.paused():
            assert watched.look().cause == "timed out"
        assert watched.look().ok


def test_a_conversation_that_was_cut_is_begun_anew_unnoticed(broker):
    source = Inside(lambda: broker.peer)
    with watching(source) as watched:
        assert watched.look().ok
        source._connection._wire._socket.shutdown(socket.SHUT_RDWR)
        assert watched.look().rates


# --- as a command ----------------------------------------------------------------------------------------------------


class Person:
    """Somebody at a terminal of 80 columns who watches a broker over its API."""

    def __init__(self, *words: str, **more: str) -> None:
        self.seen = ""
        self.terminal, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(side)
        self.process = subprocess.Popen(
            command("status", "--watch", *words),
            stdin=side, stdout=side, stderr=side, start_new_session=True, env={**os.environ, "TERM": "xterm", **more},
        )  # fmt: skip
        self.side = side

    def until(self, words: str, seconds: float = 20.0) -> None:
        """Read the screen until it says something."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select((self.terminal,), (), (), 0.1)[0]:
                self.seen += os.read(self.terminal, 65536).decode()

    def __enter__(self) -> Person:  # noqa: PYI034 - Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.terminal, self.side):
            os.close(end)

    def end(self) -> int:
        """Wait for the end, and return the exit code; the terminal must be as it was."""
        code = self.process.wait(20)
        while select.select((self.terminal,), (), (), 0.2)[0]:
            self.seen += os.read(self.terminal, 65536).decode()
        assert termios.tcgetattr(self.side) == self.modes
        assert self.seen.count("\x1b[?1049h") == self.seen.count("\x1b[?1049l") > 0
        assert self.seen.rindex("\x1b[?25l") < self.seen.rindex("\x1b[?25h")
        return code


def test_a_person_watches_resizes_and_ends_it_with_q(broker):
    with Person("--api", broker.management_url) as person:
        person.until("every 2 s; q ends")
        assert "running" in person.seen
        fcntl.ioctl(person.side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 50, 0, 0))
        os.kill(person.process.pid, signal.SIGWINCH)
        person.until("messages a second")
        os.write(person.terminal, b"q")
        assert person.end() == 0
    left = re.sub(r"\x1b\[[\d?]*\w", "", person.seen.rpartition("\x1b[?1049l")[2])
    assert broker.lease.node[:20] in left


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_a_signal_ends_it_and_the_terminal_is_as_before(broker, number, code):
    with Person("--api", broker.management_url, NO_COLOR="1") as person:
        person.until("q ends")
        os.kill(person.process.pid, number)
        assert person.end() == code
    assert "\x1b[3" not in person.seen


def test_a_person_sees_an_alarm_and_leaves_with_its_exit_code(broker):
    with faults.alarm(broker), Person("--api", broker.management_url, "--interval", "0.5") as person:
        person.until(" since ")
        os.write(person.terminal, b"q")
        assert person.end() == 8


def test_a_log_and_json_lines_for_programs(broker, run):
    words = ("status", "--watch", "--api", broker.management_url, "--interval", "0.2")
    lines = run(*words, "--count", "2").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["state", "running", "running"]
    told = [json.loads(line) for line in run(*words, "--count", "2", "--output", "json").stdout.splitlines()]
    assert [one["data"]["sample"]["node"]["name"] for one in told] == [broker.lease.node] * 2
    wrong = run(*words, "--count", "1", code=8, env={**os.environ, "RABBITMQ_PASSWORD": "wrong"})
    assert "does not let guest in" in wrong.stderr
    assert "wrong" not in wrong.stdout + wrong.stderr


def test_whoever_reads_the_log_may_go_away(broker):
    watch = subprocess.Popen(
        command("status", "--watch", "--api", broker.management_url, "--interval", "0.1"), stdout=subprocess.PIPE
    )
    assert watch.stdout.readline().startswith(b"time ")
    watch.stdout.close()
    assert watch.wait(20) == 141
