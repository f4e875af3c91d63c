"""`rmqsetup run`, `ps` and `stop` as a person and a CI job use them, up to the death of everything involved."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import command

from rmqsetup.broker import place, start
from rmqsetup.broker.wish import Wish

CARRY = """
import os, pika
channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.queue_declare("q")
channel.confirm_delivery()
channel.basic_publish("", "q", b"hello")
print(channel.basic_get("q", auto_ack=True)[2].decode())
"""


def until(true, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)
    return found


@pytest.fixture
def begin():
    """Return a function that starts the tool in a session of its own and returns it; what still runs is ended."""
    begun = []

    def started(*words: str) -> subprocess.Popen:
        process = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        begun.append(process)
        return process

    yield started
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the command of a tool that was killed goes on
        process.communicate()


def up() -> tuple[Path, place.Lease]:
    """Wait until a broker is up, and return it."""
    return until(place.leases)[0]


def node_pid(folder: Path) -> int:
    return int((folder / place.PIDS).read_text().split()[0])


def guard_pid(folder: Path) -> int:
    """Return the process of the guard, which has the folder on its command line."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sh" and words[2:3] == [str(folder).encode()]:
            return int(process.name)
    raise AssertionError("there is no guard")


def test_a_command_finds_the_broker_and_its_exit_code_is_ours(run):
    done = run("run", "--", sys.executable, "-c", CARRY)
    assert done.stdout == "hello\n"
    done = run("run", "--", "sh", "-c", "env; exit 7", code=7)
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert found["AMQP_URL"] == found["RABBITMQ_URL"] == f"amqp://guest:guest@127.0.0.1:{found['RABBITMQ_PORT']}/%2F"
    assert (found["RABBITMQ_HOST"], found["RABBITMQ_USER"], found["RABBITMQ_VHOST"]) == ("127.0.0.1", "guest", "/")
    assert "RABBITMQ_MANAGEMENT_URL" not in found
    assert found["HOME"] == os.environ["HOME"]


def test_a_command_killed_by_a_signal_has_the_code_of_a_shell(run):
    run("run", "--", "sh", "-c", "kill -9 $$", code=137)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command_and_nothing_is_left(begin, number, tmp_path):
    sign = tmp_path / "sign"
    program = f"""import signal, sys, time
signal.signal({int(number)}, lambda *_: sys.exit(5))
open({str(sign)!r}, "w")
time.sleep(60)
"""
    process = begin("run", "--", sys.executable, "-c", program)
    until(sign.exists)
    process.send_signal(number)
    assert process.wait(20) == 5


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.6, 0.9, 1.3])
def test_ctrl_c_at_any_moment_leaves_nothing(begin, delay):
    process = begin("run")
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) in (0, 130, -signal.SIGINT)  # the last where Python itself is still starting


@pytest.mark.parametrize("both", [False, True])
def test_a_killed_tool_takes_its_broker_along(begin, both):
    process = begin("run", "--", "sleep", "60")
    folder, _ = up()
    if both:
        os.kill(node_pid(folder), signal.SIGKILL)
    process.kill()
    process.wait()
    until(lambda: not folder.exists())


def test_the_next_start_sweeps_what_lost_its_tool_and_its_guard(begin, run):
    process = begin("run", "--", "sleep", "1")
    folder, lease = up()
    os.kill(guard_pid(folder), signal.SIGKILL)
    process.kill()
    process.wait()
    assert folder.exists()
    pid = node_pid(folder)
    assert Path(f"/proc/{pid}/cmdline").read_bytes()
    until(lambda: place.leases() == ())  # a killed guard holds the lock until the kernel has closed its files
    assert lease.name in run("run", "--sweep").stdout
    assert not folder.exists()
    assert run("run", "--sweep").stdout == "Nothing was left behind.\n"


def test_a_frozen_node_is_removed_as_well(begin):
    process = begin("run", "--", "sleep", "60")
    folder, _ = up()
    os.kill(node_pid(folder), signal.SIGSTOP)
    process.kill()
    process.wait()
    until(lambda: not folder.exists())


def test_a_process_with_the_number_of_a_node_that_is_gone_is_left_alone():
    bystander = subprocess.Popen(("sleep", "60"))
    try:
        made = place.Place.make()
        (made.folder / place.PIDS).write_text(f"{bystander.pid}\n")
        made.end()
        assert not made.folder.exists()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_node_that_dies_under_the_command_is_told(run):
    kill = "kill -9 $(head -n 1 $TMPDIR/rmqsetup-*/$RMQSETUP_BROKER/pids); sleep 1; exit 3"
    done = run("run", "--", "sh", "-c", kill, code=3)
    assert re.search(r"rmq-\w+@localhost was killed by SIGKILL while it was needed", done.stderr)


def test_a_broker_in_the_foreground_says_where_it_is_and_goes_when_its_node_dies(begin):
    process = begin("run")
    url = process.stdout.readline().strip()
    folder, lease = up()
    assert url == lease.url
    os.kill(node_pid(folder), signal.SIGKILL)
    assert process.wait(20) == 8
    assert "was killed by SIGKILL" in process.stderr.read()


def test_detach_ps_and_stop(run):
    said = run("run", "--detach", "--plugins", "rabbitmq_management", "--env")
    asked = ("sh", "-ec", f"{said.stdout}\necho $RMQSETUP_BROKER $RABBITMQ_MANAGEMENT_URL")
    name, management = subprocess.check_output(asked, text=True).split()
    assert management.startswith("http://127.0.0.1:")
    listed = json.loads(run("ps", "--json").stdout)["data"]["brokers"]
    assert [(each["name"], each["keeper"]) for each in listed] == [(name, 0)]
    assert name in run("ps").stdout
    assert "there is no throwaway broker rmq-0" in run("stop", "rmq-0", code=2).stderr
    assert run("stop", name.removeprefix("rmq-")[:5]).stdout == f"Stopped and removed: {name}\n"
    assert run("ps").stdout == "No throwaway broker is up.\n"
    assert run("stop", "--all").stdout == "No throwaway broker was up.\n"


def test_a_broker_that_stays_and_whose_node_was_killed_is_gone_and_swept(run):
    run("run", "--detach")
    folder, _ = up()
    os.kill(node_pid(folder), signal.SIGKILL)
    until(lambda: place.leases() == ())  # what the node had started ends with it
    assert run("ps").stdout == "No throwaway broker is up.\n"
    run("run", "--", "true")
    assert not folder.exists()


def test_ctrl_c_while_a_cluster_starts_leaves_nothing(begin):
    process = begin("run", "--nodes", "3", "--", "sleep", "60")
    until(lambda: [path for path in place.base().glob("rmq-*/pids") if len(path.read_text().split()) >= 3])
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    assert "stopped" in process.stderr.read()


def test_github_gets_variables_and_outputs(run, tmp_path):
    files = {name: str(tmp_path / name) for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    answer = run("run", "--detach", "--github", "--json", env={**os.environ, **files})
    broker = json.loads(answer.stdout)["data"]["broker"]
    assert f"AMQP_URL={broker['url']}\n" in Path(files["GITHUB_ENV"]).read_text()
    assert f"url={broker['url']}\n" in Path(files["GITHUB_OUTPUT"]).read_text()
    run("stop", "--all")
    without = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
    assert "no step of a GitHub workflow" in run("run", "--detach", "--github", code=2, env=without).stderr


def test_a_folder_is_kept_where_that_is_wished(run):
    done = run("run", "--keep", "--", "true")
    folder = Path(re.search(r"Data and logs are in (\S+);", done.stderr.replace("\n", " "))[1])
    assert "Server startup complete" in (folder / "1/log").read_text()


# ---- what goes wrong


def test_without_binaries_and_without_apt_it_says_where_it_looked(run, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "uname", "stat", "true"):
        (programs / name).symlink_to(shutil.which(name))
    environment = {**os.environ, "PATH": str(programs), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run("run", "--", "true", code=3, env=environment)
    assert "there is no RabbitMQ to start" in done.stderr
    assert "only apt can say and fetch what a broker needs" in " ".join(done.stderr.split())
    assert "looked at" in done.stderr


def test_the_cache_is_listed_and_what_is_in_use_stays(run, programs, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    tree = tmp_path / "rmqsetup/unpacked/trees/erlang-1/bin"
    tree.mkdir(parents=True)
    (tree / "erl").write_bytes(b"x" * 2000)
    assert "erlang-1  2.0 kB" in run("cache", env=environment).stdout
    with start.start(Wish(), programs) as made:
        own = json.loads(run("cache", "list", "--json").stdout)["data"]["cache"]
        assert str(programs.home).startswith("/usr/") or made.name in {name for each in own for name in each["used_by"]}
    assert run("cache", "clear", env=environment).stdout == "Removed 2.0 kB.\n"
    assert run("cache", env=environment).stdout == "The cache is empty.\n"


def test_a_wrong_version_a_wrong_plugin_a_wrong_command(run):
    unreached = {**os.environ, "https_proxy": "http://127.0.0.1:9"}
    said = " ".join(run("run", "--rabbitmq", "2.1", code=3, env=unreached).stderr.split())
    assert "there is no RabbitMQ 2.1 to start" in said
    assert re.search(
        r"apt offers RabbitMQ [\d.]+ here, not 2\.1; the list of published archives .* did not arrive", said
    )
    assert "rmqsetup run --bundle FILE" in said
    assert "did you mean distro?" in " ".join(run("run", "--source", "distr", code=2).stderr.split())
    assert "did you mean rabbitmq_mqtt?" in " ".join(run("run", "--plugins", "rabbitmq_mqt", code=2).stderr.split())
    assert "there is no program nope" in run("run", "--", "nope", code=2).stderr


def test_a_node_that_dies_at_boot_tells_why(run):
    done = run("run", "--set", "no.such.key=1", code=8)
    assert "Conf file attempted to set unknown variable: no.such.key" in " ".join(done.stderr.split())


def test_no_free_ports(run):
    done = run("run", "--ports", "20000-20000", code=8)
    assert "there are no 2 free ports between 20000 and 20000" in done.stderr


def test_a_port_of_somebody_else(run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in run("run", "--port", str(port), code=8).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system takes root")
@pytest.mark.parametrize("size", ["16k", "120k"])
def test_a_full_disk(run, tmp_path, size):
    small = tmp_path / "s"
    small.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(small)), check=True)
    try:
        done = run("run", "--", "true", code=8, env={**os.environ, "TMPDIR": str(small)})
        assert re.search(r"no space|enospc|cannot keep its files", done.stderr, re.IGNORECASE), done.stderr
        assert [path for path in small.rglob("*") if path.name.startswith("rmq-")] == []
    finally:
        subprocess.run(("umount", str(small)), check=True)
