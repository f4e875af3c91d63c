"""A throwaway broker as a test has it: what it is made of, what it keeps to itself, how it fails on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pika
import pytest

from rmqsetup.broker import boot, modules, place, start
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.wish import Wish
from rmqsetup.errors import ConflictError, UsageError
from rmqsetup.probes.node import ask
from rmqsetup.probes.terms import TRUE, Atom
from rmqsetup.probes.wire import UnreachableError
from rmqsetup.testing import broker as throwaway
from rmqsetup.testing import faults


def connect(url: str, **options) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    for name, value in options.items():
        setattr(parameters, name, value)
    return pika.BlockingConnection(parameters)


def listening(pid: int) -> set[str]:
    """Return the addresses on which a process listens, as /proc/net has them."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(link.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1])
    return found


def environments(program: str) -> Iterator[tuple[int, str]]:
    """Yield the processes of a program with their environments."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text().strip() == program:
                yield int(folder.name), (folder / "environ").read_bytes().decode(errors="replace")


def test_it_keeps_to_itself(broker):
    member = broker.nodes[0].member
    where = listening(broker.nodes[0].pid)
    ports = {int(address.partition(":")[2], 16) for address in where}
    assert {address.partition(":")[0] for address in where} == {"0100007F"}
    own = (member.listening.amqp, member.listening.distribution, member.listening.of("rabbitmq_management"))
    assert ports == set(own)
    assert not ports & {4369, 5672, 15672, 25672}
    environment = Path(f"/proc/{broker.nodes[0].pid}/environ").read_bytes()
    assert f"HOME={broker.folder}/home".encode() in environment
    assert os.environ["PATH"].encode() not in environment
    assert broker.folder.stat().st_mode & 0o077 == 0
    assert broker.peer.cookie.encode() not in Path(f"/proc/{broker.nodes[0].pid}/cmdline").read_bytes()


def test_no_epmd_is_started_by_the_look_that_a_node_takes_every_minute(broker):
    monitor = Atom("rabbit_epmd_monitor")
    with closing(broker.nodes[0].connect()) as node:
        node.call("erlang", "send", monitor, Atom("check"))
        node.call("sys", "get_state", monitor)  # answered once the look is over
    found = [environ for _, environ in environments("epmd") if str(broker.folder) in environ]
    assert found == []


def test_management_vhosts_and_the_command_line(broker):
    name = broker.new_vhost()
    login = b64encode(b"guest:guest").decode()
    request = urllib.request.Request(f"{broker.management_url}/api/vhosts", headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request) as answer:
        assert {"/", name} <= {each["name"] for each in json.load(answer)}
    assert name in broker.ctl("-q", "list_vhosts").split()
    with connect(broker.url_of(name)) as connection:
        assert connection.is_open
    broker.delete_vhost(name)
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        connect(broker.url_of(name))
    assert "Server startup complete" in broker.log_tail(1000)


def test_the_modules_are_remembered_and_loaded_at_once(broker):
    batches = (broker.nodes[0].member.folder / boot.MODULES).read_text() or "first start of this installation"
    assert batches.count("\n") == modules.BATCHES or batches.startswith("first start")
    known = modules.known(broker.nodes[0].member)
    assert len(re.findall(r"\w+", known)) > 400
    assert "rabbit_ff_registry" not in re.findall(r"\w+", known)


def test_other_users_definitions_and_settings(tmp_path):
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"vhosts": [{"name": "shop"}], "queues": [
        {"name": "orders", "vhost": "shop", "durable": True, "auto_delete": False, "arguments": {}}]}))  # fmt: skip
    wished = {"username": "app", "password": 'p@ss"w\\o/rd é', "vhost": "my host"}
    with throwaway(definitions=str(file), config={"channel_max": 7}, **wished) as made:
        with connect(made.url) as connection:
            assert connection._impl.params.virtual_host == "my host"
            assert connection._impl._opened
            assert connection.channel().is_open
            assert connection._impl.params.channel_max == 7 or connection._impl._caps is not None
        made.new_vhost("shop")
        with connect(made.url_of("shop")) as connection:
            assert connection.channel().queue_declare("orders", passive=True).method.message_count == 0
        with closing(made.nodes[0].connect()) as node:
            found = ask(node, made.lease.node)
        assert set(found.virtual_hosts) >= {"shop", "my host"}


def test_definitions_without_a_file_and_a_file_system_that_is_nearly_full():
    with throwaway(definitions={"vhosts": [{"name": "shop"}]}) as made:
        assert made.call("rabbit_vhost", "exists", b"shop") == TRUE
        limit = made.call("rabbit_disk_monitor", "get_disk_free_limit")
        assert limit == place.LITTLE, "RabbitMQ's own would block publishers at 50 MB"


def test_many_at_once_never_meet(programs):
    made, errors = [], []

    def one():
        try:
            made.append(start.start(Wish(), programs))
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert errors == []
        assert len({each.port for each in made}) == len(made) == 4
        for each in made:
            each.carry()
    finally:
        for each in made:
            each.stop()


def test_brokers_that_are_up_at_once_have_sixty_megabytes_each_and_tell_of_them(programs):
    with start.start(Wish(), programs) as one, start.start(Wish(), programs) as two:
        assert (one.notes, two.notes) == ((), ())
        for each in (one, two):
            rollup = Path(f"/proc/{each.nodes[0].pid}/smaps_rollup").read_text()
            assert sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE))) < 60_000
        assert one.call("erlang", "memory", Atom("total")) > 10_000_000  # which not every way of saving leaves it


def test_a_fast_start_that_fails_is_made_up_for_by_the_script(programs, monkeypatch):
    monkeypatch.setattr(boot, "MEMORY", ("+M_no_such_flag", "1"))
    with start.start(Wish(), programs) as made:
        assert made.wish.stock
        assert "its own script did it" in made.notes[0]
        made.carry()
        assert made.ctl("-q", "list_vhosts").split()[-1] == "/"


def test_a_plugin_in_an_ez_file_is_read_and_enabled(programs, tmp_path):
    home = tmp_path / "rabbitmq/lib/rabbitmq_server-x"
    home.mkdir(parents=True)
    for path in programs.home.iterdir():
        (home / path.name).symlink_to(path)
    added = home.parents[1] / "plugins"  # where those of others go that are installed beside the packages
    added.mkdir()
    (home / "plugins").unlink()
    (home / "plugins").mkdir()
    for path in (programs.home / "plugins").iterdir():
        if path.name.startswith("rabbitmq_event_exchange-"):
            shutil.make_archive(str(added / path.name), "zip", path.parent, path.name)
            (added / f"{path.name}.zip").rename(added / f"{path.name}.ez")
        else:
            (home / "plugins" / path.name).symlink_to(path)
    packed = Binaries(home, programs.erlang)
    assert packed.version == programs.version
    with start.start(Wish(plugins=("rabbitmq_event_exchange",)), packed) as made:
        assert not made.notes
        assert Atom("rabbitmq_event_exchange") in made.call("rabbit_plugins", "active")


def test_tls_is_trusted_by_whom_it_says():
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    with throwaway(tls=True) as made:
        context = ssl.create_default_context(cafile=made.ca_file)
        with connect(made.amqps_url, ssl_options=pika.SSLOptions(context, "localhost")) as connection:
            assert connection.is_open
        assert made.env()["RABBITMQ_CA_FILE"] == made.ca_file


@pytest.mark.parametrize(
    ("wished", "words"),
    [
        ({"plugin": []}, "did you mean plugins?"),
        ({"nodes": 10}, "1 to 9 nodes"),
        ({"port": 65536}, "is no port"),
        ({"port": -1}, "is no port"),
        ({"definitions": "/no/such/file"}, "there is no file"),
        ({"config": {"a b": 1}}, "is no key of rabbitmq.conf"),
        ({"ports": "1-2"}, "is no range of ports"),
    ],
)
def test_a_wish_that_is_none(wished, words):
    with pytest.raises(UsageError) as caught:
        throwaway(**wished)
    assert words in f"{caught.value.message} {caught.value.cause}"


# ---- faults


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_an_alarm_blocks_publishers_until_it_is_over(broker, resource):
    connection = connect(broker.url, blocked_connection_timeout=0.5)
    channel = connection.channel()
    channel.queue_declare("q", exclusive=True)
    with faults.alarm(broker, resource):
        channel.basic_publish("", "q", b"x")
        with pytest.raises(pika.exceptions.ConnectionBlockedTimeout):
            connection.sleep(20)
    broker.carry()


def test_connections_are_closed_on_purpose(broker):
    connection = connect(broker.url)
    assert faults.close_connections(broker) >= 1
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(5)


def test_a_restart_keeps_what_is_durable_and_a_frozen_node_says_nothing():
    with throwaway() as made:
        port = made.port
        with connect(made.url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.basic_publish("", "kept", b"x", pika.BasicProperties(delivery_mode=2))
        supply = made.supply()
        supply.take()
        made.restart()
        assert made.port == port
        with connect(made.url_of(supply.take())) as connection:
            assert connection.is_open
        with connect(made.url) as connection:
            assert connection.channel().queue_declare("kept", passive=True).method.message_count == 1
        made.kill_node()
        supply.give_back("x")
        with pytest.raises(UnreachableError):
            supply.take()
        assert made.dead()
        made.start_node()
        with made.paused(), pytest.raises(UnreachableError, match="no answer"):
            made.carry(timeout=0.5)
        made.carry()


def test_faults_that_meet_are_taken_back():
    with throwaway() as made:
        with pytest.raises(UsageError, match="node 0 runs already"):
            made.start_node()
        with pytest.raises(UsageError, match="there is no node 1"), faults.cut(made):
            pass
        with faults.alarm(made):
            made.restart()
            made.carry()
        for end in (made.kill_node, made.stop_node):
            with faults.alarm(made), made.paused():
                end()
            made.start_node()
        made.carry()


def test_a_node_does_not_call_itself_where_somebody_has_gone_before_he_was_answered():
    with throwaway() as made:
        for _ in range(5):
            with made.supply() as supply:
                supply.give_back("nobody")
        made.carry()
        assert "Cannot get connection id" not in made.log_tail(10_000)


def test_few_open_files_are_told_beforehand():
    """A node with fewer boots, and takes no connection."""
    script = "from rmqsetup.testing import broker\nbroker()"
    words = ("sh", "-c", 'ulimit -n 100; exec "$@"', "sh", sys.executable, "-c", script)
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert "a node needs 128 open files or more\nthe limit here is 100" in done.stderr


def test_a_cluster_with_a_link_cut_and_a_node_killed():
    with throwaway(nodes=2) as made:
        names = {node.member.name for node in made.nodes}

        def seen(number: int) -> set[str]:
            with closing(made.nodes[number].connect()) as node:
                return {each.name for each in node.call("rabbit_nodes", "all_running")}

        assert seen(0) == seen(1) == names
        assert len(made.urls) == len(set(made.urls)) == 2
        with faults.cut(made, 0, 1), closing(made.nodes[0].connect()) as node:
            assert node.call("net_adm", "ping", _atom(made.nodes[1].member.name)) == _atom("pang")
        with closing(made.nodes[0].connect()) as node:
            assert node.call("net_adm", "ping", _atom(made.nodes[1].member.name)) == _atom("pong")
        with faults.cut(made, 0, 1):
            made.kill_node(1)
        with connect(made.url) as connection:
            assert connection.is_open


def _atom(name: str):
    from rmqsetup.probes.terms import Atom

    return Atom(name)


def test_a_folder_that_is_not_ours_alone_is_refused(here, monkeypatch):
    elsewhere = here / "e"
    (elsewhere / f"rmqsetup-{os.geteuid()}").mkdir(mode=0o755, parents=True)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(ConflictError, match="not a folder of this user alone"):
        place.base()
