"""What a throwaway broker is made of, as far as no node is needed: files, command lines, ports, leases, words."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import xdg
from rmqsetup.broker import binaries, boot, command, exported, modules, place, ports, vhosts
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.foreign import Foreign, named_by
from rmqsetup.broker.known import Known
from rmqsetup.broker.place import Lease
from rmqsetup.broker.wish import Listening, Member, Wish
from rmqsetup.cli import app, reading
from rmqsetup.errors import BrokerNotReadyError, UsageError
from rmqsetup.probes.amqp import Account
from rmqsetup.probes.terms import Atom
from rmqsetup.settings import Setting
from rmqsetup.show import broker as screen
from rmqsetup.show.terminal import Terminal
from rmqsetup.testing.wishing import wish
from rmqsetup.version import Wanted

LEASE = Lease(
    *(
        "rmq-0a1b2c3d",
        "amqp://guest:p%40s@127.0.0.1:12345/my%20host",
        ("amqp://guest:p%40s@127.0.0.1:12345/my%20host",),
    ),
    *("rmq-0a1b2c3d@localhost", "4.2.9", "27", 12346, 0.0),
)


@pytest.fixture
def programs(tmp_path):
    """A RabbitMQ and an Erlang that cannot be run, but looked at."""
    home, erlang = tmp_path / "usr/lib/rabbitmq/lib/rabbitmq_server-4.2.9", tmp_path / "usr/lib/erlang"
    needs = {
        "rabbit": "kernel, stdlib, ra",
        "ra": "kernel",
        "rabbitmq_prelaunch": "kernel",
        "rabbitmq_management": "kernel,\n 'cowboy', rabbit",
        "cowboy": "",
        "rabbitmq_mqtt": "rabbit",
    }
    for name, words in needs.items():
        folder = home / "plugins" / f"{name}-{'4.2.9' if name.startswith('rabbit') else '2.1'}/ebin"
        folder.mkdir(parents=True)
        (folder / f"{name}.app").write_text(f'{{application,{name},[{{vsn,"1"}},\n {{applications,[{words}]}}]}}.')
    for version in ("13.1.5", "9.3"):
        (erlang / f"erts-{version}/bin").mkdir(parents=True)
        (erlang / f"erts-{version}/bin/erlexec").touch(mode=0o755)
    (erlang / "releases/25").mkdir(parents=True)
    return Binaries(home.resolve(), erlang.resolve())


def member(programs, tmp_path, **wished):
    where = Listening(12345, 12346, wished.pop("amqps", 0), wished.pop("plugins_at", ()))
    epmd, peers = wished.pop("epmd", 0), wished.pop("peers", ())
    made = Wish(**wished)
    folder = tmp_path / "rmq-0a1b2c3d"
    return Member(
        "rmq-0a1b2c3d@localhost", folder / "1", folder / "home", programs, where, made, (), epmd, peers, "SECRET"
    )


# ---- programs


def test_programs_are_found_below_a_prefix_and_say_what_they_are(programs, tmp_path):
    assert binaries.below(tmp_path) == (programs,)
    assert (programs.version, programs.runtime, programs.otp) == ("4.2.9", "13.1.5", "25")


def test_a_plugin_brings_what_it_needs(programs):
    names = [path.name.partition("-")[0] for path in programs.needed(("rabbitmq_management",))]
    assert names == ["cowboy", "ra", "rabbit", "rabbitmq_management", "rabbitmq_prelaunch"]
    with pytest.raises(UsageError, match="no plugin rabbitmq_managment; did you mean rabbitmq_management"):
        programs.needed(("rabbitmq_managment",))


def test_nothing_found_says_every_place():
    error = binaries.missing(Wanted.parse("4.2"), "no network")
    assert error.message == "there is no RabbitMQ 4.2 to start"
    assert len(error.looked_at) == 5


# ---- what a node is started with


def test_nothing_of_ours_reaches_the_node(programs, tmp_path, monkeypatch):
    monkeypatch.setenv("RABBITMQ_NODENAME", "mine")
    node = member(programs, tmp_path)
    variables = dict(boot.environment(node))
    assert variables["HOME"] == str(node.home)
    assert variables["RABBITMQ_NODENAME"] == "rmq-0a1b2c3d@localhost"
    argv = boot.command_line(node)
    assert argv[argv.index("-erl_epmd_port") :][:2] == ("-erl_epmd_port", "12346")
    assert "+JMsingle" not in argv, "Erlang 25 does not know it"
    assert "SECRET" not in repr((node, argv, variables))


def test_a_cluster_has_an_epmd_and_the_script_gets_the_same_places(programs, tmp_path):
    peers = ("a@localhost", "b@localhost")
    node = member(programs, tmp_path, epmd=12347, peers=peers, nodes=2)
    assert "-erl_epmd_port" not in boot.command_line(node)
    assert dict(boot.environment(node))["ERL_EPMD_PORT"] == "12347"
    assert "{cluster_nodes,{['a@localhost','b@localhost'],disc}}" in boot.settings(node)
    slow = member(programs, tmp_path, stock=True, epmd=12347)
    assert boot.command_line(slow) == (f"{programs.home}/sbin/rabbitmq-server", "-rmqsetup", slow.name)
    assert "ERL_LIBS" not in dict(boot.environment(slow))


def test_every_listener_has_a_port_of_ours(programs, tmp_path):
    at = tuple((name, 20000 + number) for number, name in enumerate(boot.LISTENERS))
    text = boot.settings(member(programs, tmp_path, plugins_at=at, amqps=12999))
    for name, port in at:
        line = next(line for line in text.splitlines() if line.startswith(f" {{{name},"))
        assert str(port) in line
        assert "127.0.0.1" in line
    assert '{ssl_listeners,[{"127.0.0.1",12999}]}' in text


def test_what_rabbitmq_has_to_translate_is_there_only_when_something_is_said(programs, tmp_path):
    plain = member(programs, tmp_path)
    assert [name for name, _ in boot.files(plain)] == ["enabled_plugins", "erlang.config"]
    assert f"{plain.folder}/erlang" in boot.command_line(plain)
    said = member(programs, tmp_path, config=(Setting("a.b", "1"),), plugins=("x", "y"))
    assert [name for name, _ in boot.files(said)] == ["enabled_plugins", "advanced.config", "rabbitmq.conf"]
    assert dict(boot.files(said))["rabbitmq.conf"] == "a.b = 1\n"
    assert dict(boot.files(said))["enabled_plugins"] == "[x,y].\n"
    assert "-config" not in boot.command_line(said)
    slow = member(programs, tmp_path, stock=True)
    assert [name for name, _ in boot.files(slow)] == ["enabled_plugins", "advanced.config"]


@given(st.text())
def test_texts_survive_the_way_into_an_erlang_term(text):
    numbers = boot.binary(text)[2:-2]
    assert bytes(int(number) for number in numbers.split(",") if number).decode() == text if text else numbers == ""
    assert not set('"\\\n').intersection(boot.string(text)[1:-1].replace("\\x{", ""))


def test_only_modules_of_the_installation_are_remembered(programs, tmp_path):
    node = member(programs, tmp_path)

    def chars(text):
        return [ord(char) for char in text]

    answer = [
        (Atom("rabbit"), chars(f"{node.home}/plugins/rabbit-4.2.9/ebin/rabbit.beam")),
        (Atom("lists"), chars(f"{programs.erlang}/lib/stdlib/ebin/lists.beam")),
        (Atom("rabbit_ff_registry"), chars(f"{node.home}/plugins/rabbit-4.2.9/ebin/x.beam")),
        (Atom("erlang"), Atom("preloaded")),
        (Atom("made_here"), []),
        (Atom("other"), chars("/elsewhere/other.beam")),
    ]
    assert modules.loaded(answer, node) == ("lists", "rabbit")


# ---- ports


def test_ports_are_never_chosen_twice():
    found, held = [], []

    def choose():
        held.append(ports.reserve(5))
        found.extend(held[-1].numbers)

    threads = [threading.Thread(target=choose) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 200
    assert not ports.KNOWN & set(found)
    for each in held:
        each.release()


def test_a_port_in_use_is_not_chosen_and_a_released_one_is():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerNotReadyError, match="there are no 1 free ports"):
            ports.reserve(1, range(port, port + 1))
        with pytest.raises(BrokerNotReadyError, match=f"port {port} is taken"):
            ports.reserve(1, first=port)
    held = ports.reserve(1, first=port)
    with pytest.raises(BrokerNotReadyError):
        ports.reserve(1, first=port)
    held.release()
    ports.reserve(1, first=port).release()


@pytest.mark.parametrize("text", ["", "20000", "1-2", "30000-20000", "20000-70000", "a-b"])
def test_a_range_that_is_none(text):
    with pytest.raises(UsageError):
        ports.parse(text)


# ---- how others find it


def test_variables_and_addresses():
    found = dict(exported.variables(LEASE))
    assert found["RABBITMQ_PASSWORD"] == "p@s"
    assert found["RABBITMQ_VHOST"] == "my host"
    assert "RABBITMQ_MANAGEMENT_URL" not in found
    known = Known(LEASE, Path("/nowhere"))
    assert (known.host, known.port, known.username, known.password) == ("127.0.0.1", 12345, "guest", "p@s")
    assert known.url_of("a/b") == "amqp://guest:p%40s@127.0.0.1:12345/a%2Fb"
    assert "1:12345" in repr(known)
    assert "p@s" not in repr(known) + repr(Foreign("amqp://a:p@s@h/"))
    assert known.env("a/b")["AMQP_URL"] == known.url_of("a/b")
    assert known.env("a/b")["RABBITMQ_VHOST"] == "a/b"
    exports = screen.exports((("A", "it's"),))
    assert subprocess.check_output(("sh", "-c", f'{exports}; printf %s "$A"'), text=True) == "it's"


def test_a_broker_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(place, "LONGEST", 1000)
    assert named_by(()) is None
    url = ("RABBITMQ_URL", "amqp://a:b@there:5672/x")
    foreign = named_by((url, ("RABBITMQ_MANAGEMENT_URL", "http://there:15672")))
    assert isinstance(foreign, Foreign)
    assert (foreign.host, foreign.username, foreign.vhost) == ("there", "a", "x")
    with pytest.raises(UsageError, match="cannot be made in the broker of RABBITMQ_URL"):
        named_by((url,)).new_vhost()
    (place.base() / LEASE.name).mkdir()
    place.write(place.base() / LEASE.name, LEASE)
    ours = (("RABBITMQ_URL", LEASE.url), (exported.OURS, LEASE.name))
    assert named_by(ours).lease == LEASE
    assert named_by((("RABBITMQ_URL", exported.of_vhost(LEASE.url, "other")), ours[1])).lease == LEASE
    assert isinstance(named_by((url, ours[1])), Foreign), "the name is of another broker than the address"
    assert isinstance(named_by((ours[0], (exported.OURS, "../x"))), Foreign)


def test_a_lease_of_another_version_is_none(tmp_path):
    (tmp_path / place.LEASE).write_text('{"name": "rmq-1", "more": 1}')
    assert place.read(tmp_path) is None
    place.write(tmp_path, LEASE)
    assert place.read(tmp_path) == LEASE
    assert (tmp_path / place.LEASE).stat().st_mode & 0o077 == 0


def test_what_is_said_of_a_broker_becomes_a_wish():
    made = wish(version="4.2", plugins="a,b", config={"x": {"y": True}}, username="u", vhost="v", ports="20000-20010")
    assert made.origin.wanted == Wanted.parse("4.2")
    assert made.wish.plugins == ("a", "b")
    assert made.wish.config == (Setting("x.y", "true"),)
    assert made.wish.account == Account("u", "guest", "v")
    assert made.wish.ports == range(20000, 20011)
    made = wish(definitions={"vhosts": [{"name": "shop"}]}, plugins=["a"], version=None, bundle=Path("b.tar"))
    assert (made.wish.imports, made.wish.definitions, made.wish.imported) == (
        True,
        "",
        '{"vhosts": [{"name": "shop"}]}',
    )
    assert made.origin.bundle == str(Path.cwd() / "b.tar")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"version": 4.0}, "version: 4.0 is not a text such as '4.2'"),
        ({"nodes": "3", "tls": "yes"}, "nodes: '3' is not a number\ntls: 'yes' is not True or False"),
        ({"config": "channel_max = 100"}, "is not a dict of rabbitmq.conf's keys"),
        ({"port": True}, "port: True is not a number"),
    ],
)
def test_what_is_said_in_the_wrong_kind_is_named(said, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        wish(**said)


def test_a_traceback_has_cause_and_hint():
    assert str(UsageError("no", cause="since", hint="do")) == "no\nsince\nhint: do"
    assert str(UsageError("no")) == "no"


def test_folders_that_a_broker_cannot_be_in_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(place, "LONGEST", 1000)
    for name, fits in (("plain", True), ("sp ace", True), ("q'uote", False), ('q"uote', False)):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr("tempfile.tempdir", None)
        assert (place._base().parent == folder) is fits


def test_a_folder_of_the_user_is_absolute_or_the_usual_one(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert xdg.cache() == Path("/there/rmqsetup")
    monkeypatch.setenv("XDG_CACHE_HOME", "there")
    assert xdg.cache() == Path("/home/me/.cache/rmqsetup")


def test_the_tail_of_a_log_is_of_clients():
    time = "2026-11-28 12:25:10.255252+00:00"
    kept = f"{time} [info] <0.7.0> closing AMQP connection <0.7.0> (127.0.0.1:1 -> 127.0.0.1:2, vhost: 'v')"
    upkeep = (
        "[info] <0.8.0> Deleting vhost 'test-8e671372ec7c'",
        "[info] <0.8.0> Stopping vhost supervisor <0.738.0> for vhost 'test-8e671372ec7c'",
        "[info] <0.8.0> Closing all connections in vhost 'v' on node 'rmq-b@localhost' because the vhost is stopping",
        "[info] <0.8.0> Successfully set permissions for 'guest' in virtual host 'test-9' to '.*', '.*', '.*'",
        "[info] <0.8.0> Deleting queues in vhost 'test-602bbb352d60' because it's being deleted",
        "[info] <0.8.0> Deleting exchanges in vhost 'test-602bbb352d60' because it's being deleted",
        "[info] <0.8.0> Clearing policies and runtime parameters in vhost 'test-602b' because it's being deleted",
        "[info] <0.8.0> Virtual host 'test-602bbb352d60' is stopping",
        '[warning] <0.8.0> Message store "7DM1/msg_store_persistent": rebuilding indices from scratch',
    )
    bad = f'{time} [error] <0.8.0> Message store "7DM1/msg_store_persistent": damaged'
    log = "\n".join((kept, *(f"{time} {line}" for line in upkeep), bad))
    assert vhosts.without_upkeep(log) == [kept, bad]


# ---- words


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("run -- pytest -q --json", ("pytest", "-q", "--json")),
        ("run --nodes 3 pytest -q -- x", ("pytest", "-q", "--", "x")),
        ("run --json", ()),
        ("run --", ()),
    ],
)
def test_both_readers_take_what_follows_as_it_is(line, program):
    quick, careful = reading.read(tuple(line.split())), app.read(tuple(line.split()))
    assert quick == careful
    assert quick.program == program


def test_a_broker_for_a_person_is_told_in_full_and_for_a_program_as_its_address():
    class Screen(io.StringIO):
        def isatty(self):
            return True

    assert screen.address(LEASE, Terminal(io.StringIO(), io.StringIO())) == LEASE.url
    assert "RabbitMQ 4.2.9 on Erlang 27" in screen.address(LEASE, Terminal(Screen(), io.StringIO()))
    assert screen.listed(()) == "No throwaway broker is up."
    assert "process 7" in screen.listed((LEASE, Lease(**{**place.asdict(LEASE), "keeper": 7})))


def test_a_command_that_cannot_be_run_and_one_that_can(tmp_path):
    with pytest.raises(UsageError, match="cannot be run"):
        command.run((str(tmp_path),), (), beside=lambda: None)
    program = "import os, sys; sys.exit(int(os.environ['CODE']))"
    assert command.run((sys.executable, "-c", program), (("CODE", "5"),), beside=lambda: None) == 5
    assert command.wait(beside=lambda: False) == ""
