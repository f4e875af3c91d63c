"""The pytest plugin in projects of its own: fixtures, options, workers of xdist, a broker that is there already."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rmqsetup.broker import ports
from rmqsetup.broker.place import base
from rmqsetup.testing import compat

TESTS = """
import os, pytest

@pytest.mark.parametrize("number", range(3))
def test_fresh(rmq_connection, number):
    channel = rmq_connection.channel()
    assert channel.queue_declare("q").method.message_count == 0
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x")

def test_url(rmq_url, rmq_vhost, rmq_broker):
    assert rmq_url == rmq_broker.url_of(rmq_vhost) and rmq_vhost in rmq_url
    with open(os.environ["SEEN"], "a") as file:
        file.write(rmq_broker.name + "\\n")

def test_other(rmq_broker):
    with open(os.environ["SEEN"], "a") as file:
        file.write(rmq_broker.name + "\\n")
"""


ASYNC = """
import aio_pika, pytest

@pytest.mark.asyncio
async def test_it(rmq_url):
    async with await aio_pika.connect(rmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), "q")
        assert (await queue.get()).body == b"hello"
"""


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """A file in which the tests of a project write which broker they had."""
    file = tmp_path / "seen"
    monkeypatch.setenv("SEEN", str(file))
    return file


@pytest.fixture
def project(pytester, monkeypatch):
    """Return a function that runs pytest in a project of its own, and holds it to what became of its tests.

    With our plugin and that of xdist alone: all that is installed beside them takes longer to load than a test.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*words: str, tests: str = TESTS, **outcomes: int):
        pytester.makepyfile(tests)
        plugins = ("-p", "rmqsetup.testing.plugin", "-p", "xdist", "-p", "no:cacheprovider")
        done = pytester.runpytest_subprocess(*plugins, *words, timeout=120)
        done.assert_outcomes(**outcomes)
        return done

    return run


def test_each_test_has_a_virtual_host_of_its_own(project, seen):
    project(passed=5)
    assert len(set(seen.read_text().split())) == 1


def test_workers_have_a_broker_each_or_share_one(project, seen):
    project("-n", "2", "--dist", "each", passed=10)
    assert len(set(seen.read_text().split())) == 2
    seen.unlink()
    project("-n", "2", "--dist", "each", "--rmq-share", passed=10)
    assert len(set(seen.read_text().split())) == 1


DIES = """
import os, signal, threading, time
from pathlib import Path
from rmqsetup.testing import plugin

begin = plugin._started

def started(options, config, folder=None):
    try:
        os.close(os.open(os.environ["SEEN"] + ".first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return begin(options, config, folder)

    def die():
        while not (folder / "pids").read_text():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=die, daemon=True).start()
    return begin(options, config, folder)

plugin._started = started
"""


def test_another_worker_takes_over_from_one_that_dies_while_it_starts_the_broker_of_all(project, pytester, seen):
    pytester.makeconftest(DIES)
    project("-n", "2", "--rmq-share", passed=4, failed=1)
    assert Path(f"{seen}.first").exists()
    assert len(set(seen.read_text().split())) == 1


def test_the_broker_of_all_is_begun_anew_where_its_node_has_died(project, seen):
    tests = """
import os, signal
from pathlib import Path

def test_it(rmq_broker, rmq_url):
    with open(os.environ["SEEN"], "a") as file:
        file.write(rmq_broker.url + "\\n")
    os.kill(int((rmq_broker.folder / "pids").read_text().split()[0]), signal.SIGKILL)
    os._exit(1)  # the worker as well, so that the next one has to ask for a broker

def test_again(rmq_broker, rmq_connection):
    with open(os.environ["SEEN"], "a") as file:
        file.write(rmq_broker.url + "\\n")
"""
    project("-n", "1", "--rmq-share", tests=tests, passed=1, failed=1)
    assert len(set(seen.read_text().split())) == 2


def test_the_log_is_in_the_report_of_a_failure(project):
    done = project(tests="def test_fails(rmq_connection): assert False", failed=1)
    done.stdout.re_match_lines([r"-+ RabbitMQ log of rmq-\w+ -+", ".*authenticated and granted access to vhost"])
    assert "RabbitMQ log" not in project(tests="def test_fails(): assert False", failed=1).stdout.str()


def test_faults_leave_no_error_behind_and_a_dead_broker_is_named(project):
    tests = """
from rmqsetup.testing import faults

def test_closed(rmq_broker, rmq_connection):
    assert faults.close_connections(rmq_broker) == 1

def test_dead(rmq_broker, rmq_connection):
    rmq_broker.kill_node()

def test_after(rmq_url):
    pass
"""
    done = project(tests=tests, passed=2, errors=1)
    done.stdout.fnmatch_lines(
        ["no virtual host for this test: nobody answers at *", "rmq-*@localhost was killed by SIGKILL*"]
    )
    done.stdout.no_fnmatch_line("*Traceback*")


def test_what_is_fetched_is_told(project, pytester):
    pytester.makeconftest("""
from rmqsetup.broker import supplier
provide = supplier.provide
def told_too(wish, *, told):
    told("unpacking, which takes a while")
    return provide(wish, told=told)
supplier.provide = told_too
""")
    done = project(tests="def test_it(rmq_url): pass", passed=1)
    done.stdout.fnmatch_lines(["rmqsetup: unpacking, which takes a while"])


def test_options_and_settings_say_which_broker(project, pytester):
    pytester.makeini("[pytest]\nrmq_config =\n    channel_max = 7\nrmq_plugins = rabbitmq_management\n")
    tests = """
def test_settings(rmq_broker):
    assert rmq_broker.management_url
    assert rmq_broker.call("application", "get_env", *map(atom, ("rabbit", "channel_max")))[1] == 7

def atom(name):
    from rmqsetup.probes.terms import Atom
    return Atom(name)

def test_cluster(rmq_cluster):
    assert len(rmq_cluster.nodes) == len(rmq_cluster.urls) == 2
"""
    project("--rmq-nodes", "2", tests=tests, passed=2)


def test_without_a_broker_tests_fail_with_words_or_are_skipped(project):
    wanted = ("--rmq-ports", "20000-20000")
    done = project(*wanted, tests="def test_it(rmq_url): pass", errors=1)
    done.stdout.fnmatch_lines(["no RabbitMQ for this test: there are no 2 free ports between 20000 and 20000"])
    project(*wanted, "--rmq-skip", tests="def test_it(rmq_url): pass", skipped=1)


def test_a_broker_that_is_there_is_taken(project, seen, broker, monkeypatch):
    for name, value in broker.env().items():
        monkeypatch.setenv(name, value)
    project(passed=5)
    assert set(seen.read_text().split()) == {broker.name}
    monkeypatch.delenv("RMQSETUP_BROKER")  # as with somebody else's: over the management API
    foreign = """
def test_foreign(rmq_url, rmq_broker, rmq_connection):
    assert not hasattr(rmq_broker, "name")
    assert rmq_connection.is_open
"""
    project(tests=foreign, passed=1)
    monkeypatch.delenv("RABBITMQ_MANAGEMENT_URL")
    project(tests=foreign, errors=1).stdout.fnmatch_lines(["*RABBITMQ_MANAGEMENT_URL is not set*"])
    project("--rmq-own", passed=5)
    assert len(set(seen.read_text().split())) == 2


def test_pytest_rabbitmqs_names_still_work(project):
    tests = """
from rmqsetup.testing.compat import *
mine = factories.rabbitmq("rabbitmq_proc", teardown=lambda process, connection: connection.close())

def test_one(rabbitmq_proc, rabbitmq):
    rabbitmq.channel().queue_declare("hello")
    assert rabbitmq_proc.list_queues() == ["hello"] and rabbitmq_proc.list_exchanges() == []
    assert rabbitmq_proc.running() and rabbitmq_proc.port == rabbitmq._impl.params.port

def test_two(rabbitmq_proc, mine):
    assert rabbitmq_proc.list_queues() == []

def test_again(rabbitmq_proc, rabbitmq):
    rabbitmq_proc.stop().start()  # the connection is lost, and the fixture has nothing to close
"""
    project(tests=tests, passed=3)


def test_ports_of_pytest_rabbitmq_are_understood():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = ports.reserve(1)
        free.release()
        assert compat._port({port, *free.numbers}) == {"port": free.numbers[0]}
    assert compat._port([(2000, 3000), {4002}]) == compat._port((2000, 3000)) == {"ports": "2000-3000"}
    assert compat._port("8000") == compat._port([8000]) == {"port": 8000}
    assert compat._port(None) == compat._port(-1) == {}


def test_a_session_that_wants_no_broker_loads_and_starts_none(project):
    tests = """
import sys
def test_nothing():
    assert "rmqsetup.testing.plugin" in sys.modules
    assert not [name for name in sys.modules if name.startswith(("rmqsetup.broker", "rmqsetup.probes", "pika"))]
"""
    before = set(base().iterdir())
    project(tests=tests, passed=1)
    assert set(base().iterdir()) == before


def test_a_killed_pytest_leaves_nothing(pytester, here):
    pytester.makepyfile("import os, signal\ndef test_it(rmq_url): os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run((sys.executable, "-m", "pytest", "-q"), cwd=pytester.path, check=False, capture_output=True)
    assert done.returncode == -9
    assert os.path.commonpath((base(), here)) == str(here)


def test_it_is_found_by_itself_and_works_beside_pytest_asyncio(pytester):
    pytest.importorskip("pytest_asyncio")
    pytester.makepyfile(ASYNC)
    done = pytester.runpytest_subprocess("-W", "ignore", "-p", "no:randomly", timeout=120)
    done.assert_outcomes(passed=1)
