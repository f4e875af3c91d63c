"""What the probes read from a host: where its node is, how its unit stands, what its logs say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probing import VERSIONS, FakeHost, record

from rmqsetup.probes import logs
from rmqsetup.probes.address import (
    COOKIE,
    CookieMissingError,
    Environment,
    NodeAddress,
    find_address,
    parse_environment,
    peer,
)
from rmqsetup.probes.unit import Phase, UnitState, parse_unit, unit_state
from rmqsetup.probes.wire import ProbeError

HOSTNAME = "/proc/sys/kernel/hostname"
CONF = "/etc/rabbitmq/rabbitmq-env.conf"


@pytest.mark.parametrize(
    ("conf", "name", "port"),
    [
        (None, "rabbit@mq1", 4369),
        ("# NODENAME=rabbit\n", "rabbit@mq1", 4369),
        ("NODENAME=bunny\n", "bunny@mq1", 4369),
        ("NODENAME=rabbit@other\n", "rabbit@other", 4369),
        ("RABBITMQ_NODENAME='rabbit@x'  # why\n", "rabbit@x", 4369),
        ("export RABBITMQ_USE_LONGNAME=true\nERL_EPMD_PORT=4370\n", "rabbit@mq1.example.org", 4370),
        ("NODENAME=a\nNODENAME=b\n", "b@mq1", 4369),
        ("ERL_EPMD_PORT=many\nNODENAME='\n", "'@mq1", 4369),
    ],
)
def test_where_the_node_is(conf, name, port):
    host = FakeHost({HOSTNAME: b"mq1.example.org\n"} | ({CONF: conf.encode()} if conf else {}))
    assert find_address(host) == NodeAddress(name, epmd_port=port)


def test_the_host_name_is_asked_for_where_the_kernel_does_not_tell():
    assert find_address(FakeHost(answers={"^hostname$": (0, "mq2\n")})).name == "rabbit@mq2"


@given(st.text(max_size=100))
def test_arbitrary_environments(text):
    assert isinstance(parse_environment(text), Environment)


def test_the_cookie_comes_from_its_file():
    address = NodeAddress("rabbit@host")
    assert peer(FakeHost({COOKIE: b"SECRET\n"}), address).cookie == "SECRET"
    with pytest.raises(CookieMissingError, match="yet"):
        peer(FakeHost(), address)
    with pytest.raises(CookieMissingError, match="read") as error:
        peer(FakeHost({COOKIE: None}), address)
    assert "root" in error.value.hint


def show(**found: str) -> str:
    return "".join(f"{key}={value}\n" for key, value in {"LoadState": "loaded", **found}.items())


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        (show(ActiveState="active", SubState="running", Job=""), Phase.ACTIVE),
        (show(ActiveState="activating", SubState="start", Result="success"), Phase.STARTING),
        (
            show(ActiveState="activating", SubState="auto-restart", Result="exit-code", ExecMainStatus="1"),
            Phase.FAILING,
        ),
        (show(ActiveState="deactivating", SubState="stop-sigterm", Result="exit-code"), Phase.FAILING),
        (show(ActiveState="deactivating", SubState="stop", Result="success"), Phase.STARTING),
        (show(ActiveState="failed", SubState="failed", Result="start-limit-hit"), Phase.FAILING),
        (show(ActiveState="inactive", SubState="dead"), Phase.STOPPED),
        (show(ActiveState="inactive", SubState="dead", Job="431"), Phase.STARTING),
        (show(LoadState="masked", ActiveState="inactive"), Phase.STOPPED),
        (show(LoadState="not-found", ActiveState="inactive"), Phase.UNKNOWN),
        ("", Phase.UNKNOWN),
    ],
)
def test_units_have_phases(text, phase):
    state = parse_unit(text)
    assert state.phase is phase
    assert "rabbitmq-server" in state.words


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_units_are_active(version):
    state = parse_unit(record(version).data["systemctl show"])
    assert (state.phase, state.enabled, state.exit_code) == (Phase.ACTIVE, "enabled", 0)
    assert state.pid > 1
    assert state.since > 1.7e9


def test_exit_codes_that_name_a_fault():
    failing = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    assert "log directory" in parse_unit(show(**failing, ExecMainStatus="209")).meaning
    assert "memory" in parse_unit(show(ActiveState="failed", Result="oom-kill")).meaning
    assert parse_unit(show(LoadState="masked")).meaning == "the unit is masked"
    assert parse_unit(show(ActiveState="active", ExecMainStatus="1")).meaning == ""


@given(st.text(max_size=200))
def test_arbitrary_units(text):
    assert isinstance(parse_unit(text), UnitState)


def test_a_systemd_that_does_not_answer():
    with pytest.raises(ProbeError, match="systemd"):
        unit_state(FakeHost())


SERVER_LOG = """\
2026-11-22 11:00:00.000000+00:00 [error] <0.1.0> an old sorrow
  ##  ##      RabbitMQ 4.0.5
2026-11-22 11:59:29.022498+00:00 [error] <0.153.0> You've tried to set vm_mem, but there is no setting with that name.
2026-11-22 11:59:29.108343+00:00 [error] <0.153.0>   - Conf file attempted to set unknown variable: vm_mem
2026-11-22 11:59:29.110823+00:00 [error] <0.153.0>
2026-11-22 11:59:29.110823+00:00 [error] <0.153.0> ===========
2026-11-22 11:59:30.112377+00:00 [error] <0.153.0>     supervisor: {local,rabbit_prelaunch_sup}
2026-11-22 11:59:30.112377+00:00 [info] <0.153.0> 0 servers failed to start
{"Kernel pid terminated",application_controller,"failed"}
"""
THEN = 1795348700.0  # 2026-11-22 11:58:20


def test_logs_tell_the_trouble_of_the_last_start():
    assert logs.relevant(SERVER_LOG, THEN) == (
        "[error] You've tried to set vm_mem, but there is no setting with that name.",
        "[error]   - Conf file attempted to set unknown variable: vm_mem",
    )
    assert "an old sorrow" in logs.relevant(SERVER_LOG)[0]


def test_only_the_last_failed_boot_counts():
    text = "BOOT FAILED\nError: old\nBOOT FAILED\nError during startup: new\n"
    assert logs.relevant(text) == ("BOOT FAILED", "Error during startup: new")


def test_a_running_node_is_judged_by_its_own_log_alone():
    alarm = "2026-11-22 12:01:58.934813+00:00 [warning] <0.740.0> memory resource limit alarm set on node rabbit@h."
    host = FakeHost(
        answers={r"tail .*rabbit@h\.log": (0, alarm), "tail": (0, "BOOT FAILED"), "journalctl": (0, "Error")}
    )
    told = logs.last_words(host, NodeAddress("rabbit@h"), since=THEN, running=True)
    assert len(told) == 1
    assert told[0].startswith("rabbit@h.log: ")
    assert told[0].endswith("alarm set on node rabbit@h.")


def test_a_failed_start_is_looked_for_where_services_write():
    stamps = {"stat": (0, "1795349000\n")}
    host = FakeHost(
        answers={r"tail .*error\.log": (0, "BOOT FAILED\nError: x\n"), **stamps, "journal": (0, "Error: j")}
    )
    assert logs.last_words(host, NodeAddress("rabbit@h"), since=THEN) == (
        "rabbitmq-server.error.log: BOOT FAILED",
        "rabbitmq-server.error.log: Error: x",
    )
    older = FakeHost(answers={"tail": (0, "BOOT FAILED\n"), "stat": (0, "1000\n"), "journal": (0, "Error: j\n")})
    assert logs.last_words(older, NodeAddress("rabbit@h"), since=THEN) == ("journal: Error: j",)
    assert f"--since @{int(THEN)}" in older.ran[-1]
    bare = FakeHost(answers={"journal": (0, "erl: not found\n")})
    assert logs.last_words(bare, NodeAddress("rabbit@h")) == ("journal: erl: not found",)


@given(st.text(max_size=300))
def test_arbitrary_logs(text):
    assert len(logs.relevant(text)) <= logs.LINES
