"""What goes wrong on real machines: a clear error with something to type, and nothing half done.

What must not be trusted belongs to `test_trust`.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta

import pytest
from broker import HOLDER, STAYS, boots, envelope, healthy, restored, rmqsetup, running
from lab import archive, debs, mirror
from lab.mirror import Fault

pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("given_back")]

BARE = ("--no-start", "--no-verify", "--no-recommends", "--yes")
"""An install of the packages alone, where the node is not the matter."""

SOURCES = "/etc/apt/sources.list.d/rabbitmq.sources"

LISTENER = """
import socket, time
taken = socket.socket(socket.AF_INET6)
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.bind(("::", 5672))
taken.listen()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def machine(lab, tool, trust):
    """One machine for all, which could install from Debian: every test gives it back as it was."""
    booted = lab.machine("trixie", layers=tool.layers(trust.good))
    booted.run("apt-get", "-q", "update", check=True)
    yield booted
    lab.remove(booted)


@pytest.fixture(scope="module")
def servers(machine, trust):
    """Team RabbitMQ's mirrors, and one that belongs to nobody's broker."""
    pair = debs.fetch("trixie").versioned("4.2.9-1", "1:27.3.4.6-1")
    stock = mirror.Stock(trust, archive.team("trixie", pair.debs))
    team, other = mirror.Team(machine, stock), mirror.own(machine, stock)
    yield team, other
    team.close()
    other.close()


def failed(machine, *words, code, hint, cause="", family=""):
    """Hold an install to its failure: exit code and family, what is said, and a hint that can be typed."""
    (error,) = envelope(machine, "install", "--yes", *words, code=code)["errors"]
    names = {4: "network", 5: "trust", 6: "manager", 8: "broker-not-ready"}
    assert error["code"] == (family or names[code])
    told = f"{error['message']}\n{error['cause']}"
    assert cause in told
    assert hint in (error["hint"] or ""), error
    return told


def unchanged(before, machine):
    """Hold a machine to what it was before a run that failed."""
    assert before.differences(machine.snapshot(), ignore=STAYS) == ()  # an earlier test has installed and uninstalled
    assert not machine.exists("/usr/sbin/policy-rc.d")


def gone(before, machine):
    """Uninstall, and hold the machine to what it was."""
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)


@contextlib.contextmanager
def mounted(machine, place, *options):
    """Mount something over a place of a machine."""
    machine.run("mount", *options, place, check=True)
    try:
        yield
    finally:
        machine.run("umount", place, check=True)


@contextlib.contextmanager
def written(machine, path, text, mode=0o644):
    """Keep a file on a machine."""
    machine.write(path, text, mode)
    try:
        yield
    finally:
        machine.run("rm", path, check=True)


# --- servers


@pytest.mark.parametrize(
    ("fault", "status", "cause"),
    [
        (Fault.REFUSE, 0, "refused"),
        (Fault.HALF, 0, "arrived"),
        (Fault.HTML, 0, "a web page"),
        (Fault.STATUS, 402, "402"),
        (Fault.STATUS, 403, "403"),
        (Fault.STATUS, 404, "404"),
        (Fault.STATUS, 503, "503"),
        (Fault.HANG, 0, "timed out"),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else str(value or ""),
)
def test_mirrors_that_do_not_serve(machine, before, team, fault, status, cause):
    team.trouble(fault, status=status)
    begun = time.monotonic()
    plan = envelope(machine, "plan", code=10)["data"]
    assert plan["notice"].count("\n") == 0
    assert "did not answer" in plan["notice"]
    assert "Debian 13" in plan["notice"]
    told = failed(machine, "--source", "team", code=4, hint="--source distro", cause=cause)
    assert "deb1.rabbitmq.com" in told
    assert "deb2.rabbitmq.com" in told
    assert time.monotonic() - begun < 60, "a server that hangs holds nobody up"
    unchanged(before, machine)


def test_one_mirror_is_enough(machine, before, team):
    team.deb1.trouble(Fault.STATUS, status=404)  # apt takes that for an error, a refused connection for a warning
    rmqsetup(machine, "install", *BARE)
    text = machine.read(SOURCES)
    assert text.index("deb2.rabbitmq.com") < text.index("deb1.rabbitmq.com"), "the one that answers goes first"
    assert "4.2.9-1" in machine.run("dpkg-query", "-W", "rabbitmq-server", check=True).stdout
    gone(before, machine)


@pytest.mark.parametrize(("fault", "status"), [(Fault.HALF, 0), (Fault.STATUS, 402)], ids=["half", "402"])
def test_packages_that_do_not_arrive(machine, before, team, fault, status):
    machine.run("apt-get", "clean", check=True)
    team.trouble(fault, only="*.deb", status=status)
    failed(machine, code=4, hint="check the network", cause="rabbitmq.com/")
    unchanged(before, machine)


# --- disks


def test_no_room_for_the_packages(machine, before, team):  # noqa: ARG001
    machine.run("apt-get", "clean", check=True)
    with mounted(machine, "/var/cache/apt/archives", "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        failed(machine, code=6, hint="df -h", cause="free space")
    unchanged(before, machine)


def test_no_room_for_the_journal(machine, before, team):  # noqa: ARG001
    machine.run("mkdir", "-p", "/var/lib/rmqsetup", check=True)
    with mounted(machine, "/var/lib/rmqsetup", "-t", "tmpfs", "-o", "size=8k", "tmpfs"):
        machine.run("sh", "-c", "head -c 100000 /dev/zero >/var/lib/rmqsetup/big")
        failed(machine, code=6, hint="df -h", cause="No space left on device")
    unchanged(before, machine)


def test_no_room_for_a_file(machine, before, team):  # noqa: ARG001
    place = "/usr/share/keyrings"
    with mounted(machine, place, "-t", "tmpfs", "-o", "size=8k", "tmpfs"):
        machine.run("sh", "-c", f"head -c 100000 /dev/zero >{place}/big")
        failed(machine, code=6, hint="df -h", cause=f"cannot write {place}/com.rabbitmq.team.asc")
        assert machine.run("ls", "-A", place).stdout == "big\n", "half a file is none"
    unchanged(before, machine)


def test_a_read_only_etc(machine, before, team):  # noqa: ARG001
    machine.run("mount", "--bind", "/etc", "/etc", check=True)
    with mounted(machine, "/etc", "-o", "remount,ro,bind"):
        failed(machine, code=6, hint="remount", cause="Read-only file system")
        failed(machine, "--source", "distro", *BARE, code=6, hint="remount", cause="Read-only file system")
    rmqsetup(machine, "install", "--source", "distro", *BARE)
    gone(before, machine)


# --- apt and dpkg


@pytest.mark.parametrize(
    "path", ["/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"]
)
def test_a_lock_that_is_not_released(machine, before, team, path):  # noqa: ARG001
    with running(machine, "python3", "-c", HOLDER, path, "600"):
        machine.run("sh", "-c", "rm -f /var/lib/apt/lists/*rabbitmq.com_*", check=True)
        words = ("--lock-timeout", "3")
        told = failed(machine, *words, code=6, hint="--lock-timeout", cause=path)
        assert "(python3)" in told, told
    unchanged(before, machine)


def test_locks_that_are_released_in_time(machine, before, team):  # noqa: ARG001
    lists, packages = "/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend"
    with (
        running(machine, "python3", "-c", HOLDER, lists, "6"),
        running(machine, "python3", "-c", HOLDER, packages, "15"),
    ):
        done = rmqsetup(machine, "install", *BARE)
    assert lists in done.stderr, "who is waited for is named"
    gone(before, machine)


def test_packages_that_were_left_half_configured(machine, before, team):  # noqa: ARG001
    machine.run("sh", "-c", "cd /var/tmp && apt-get -q download hello && dpkg --unpack hello_*.deb", check=True)
    assert "unpacked" in machine.run("dpkg-query", "-W", "-f", "${Status}", "hello", check=True).stdout
    rmqsetup(machine, "install", *BARE)
    assert "ok installed" in machine.run("dpkg-query", "-W", "-f", "${Status}", "hello", check=True).stdout
    rmqsetup(machine, "uninstall", "--yes")
    machine.run("dpkg", "--purge", "hello", check=True)
    restored(before, machine)


def test_somebody_elses_hold_is_named_and_not_lifted(machine, before, team):  # noqa: ARG001
    foreign_package(machine, "erlang-base", "1:25.3.2-1")
    machine.run("apt-mark", "hold", "erlang-base", check=True)
    held = machine.snapshot()
    for source in ("team", "distro"):
        failed(machine, "--source", source, code=6, hint="apt-mark unhold erlang-base", cause="erlang-base")
        unchanged(held, machine)
    machine.run("dpkg", "--purge", "--force-hold", "erlang-base", check=True)
    unchanged(before, machine)


def test_somebody_elses_pin_is_named_and_not_lifted(machine, before):
    pin = "/etc/apt/preferences.d/no-erlang"
    with written(machine, pin, "Package: erlang-*\nPin: release *\nPin-Priority: -1\n"):
        pinned = machine.snapshot()
        failed(machine, "--source", "distro", code=6, hint="apt-cache policy erlang-", cause="erlang-")
        unchanged(pinned, machine)
    unchanged(before, machine)


@pytest.mark.parametrize("source", ["team", "distro"])
def test_broken_repositories_of_others_stop_nothing(machine, before, team, own, source):  # noqa: ARG001
    own.trouble(Fault.UNSIGNED)
    others = "/etc/apt/sources.list.d/others.list"
    unsigned = "deb http://mirror.test/rabbitmq-server/debian/trixie trixie main"
    with written(machine, others, f"{unsigned}\ndeb http://mirror.test/nothing trixie main\n"):
        broken = machine.snapshot()
        rmqsetup(machine, "install", "--source", source, *BARE)
        gone(broken, machine)
    unchanged(before, machine)


def foreign_package(machine, name, version):
    """Install an empty package that came from nowhere."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@mirror.test>\n"
    folder = f"/var/tmp/{name}"
    machine.write(f"{folder}/DEBIAN/control", f"{control}Description: a stand-in\n")
    machine.run("sh", "-c", f"dpkg-deb -b {folder} {folder}.deb && dpkg -i {folder}.deb", check=True)


# --- clock, proxy, node


def test_a_clock_that_is_far_off(machine, before, trust, team):
    """A container has its host's clock, so it is the mirror here that lives two days from now."""
    now, then = team.stock, timedelta(days=-2)
    pair = debs.fetch("trixie").versioned("4.2.9-1", "1:27.3.4.6-1")
    ahead = mirror.Stock(trust, archive.team("trixie", pair.debs, age=then))
    try:
        for each in team.mirrors:
            each.stock = ahead
        failed(machine, code=5, hint="timedatectl", cause="from the future")
    finally:
        for each in team.mirrors:
            each.stock = now
    unchanged(before, machine)


def test_a_proxy_that_is_not_there(machine, before, team):  # noqa: ARG001
    proxy = tuple(f"{name}=http://127.0.0.1:9" for name in ("http_proxy", "https_proxy"))
    machine.run("apt-get", "clean", check=True)  # a test before this one may have fetched all that is needed
    for words, hint in ((("--source", "team"), "proxy"), ((), "proxy"), (("--source", "distro"), "proxy")):
        (error,) = envelope(machine, "install", "--yes", *words, code=4, env=proxy)["errors"]
        assert error["code"] == "network"
        assert hint in error["hint"]
        unchanged(before, machine)


def test_a_host_name_that_does_not_resolve_is_no_matter(machine, before):
    hosts = machine.read("/etc/hosts")
    machine.write("/etc/hosts", hosts.replace(f"{machine.address} broker\n", ""))
    assert machine.run("getent", "hosts", "broker").exit_code != 0
    rmqsetup(machine, "install", "--source", "distro", "--no-recommends", "--yes")
    machine.write("/etc/hosts", hosts)
    gone(before, machine)


def test_what_keeps_a_node_from_starting_is_named_and_a_second_run_finishes(machine, before):
    policy = "#!/bin/sh\nexit 101\n"  # as in images of containers: it must not stop our one start
    with written(machine, "/usr/sbin/policy-rc.d", policy, 0o755):
        _kept_from_starting(machine)
        assert machine.read("/usr/sbin/policy-rc.d") == policy
    gone(before, machine)


def _kept_from_starting(machine):
    hosts = machine.read("/etc/hosts")
    machine.write("/etc/hosts", hosts.replace(machine.address, "192.0.2.77"))  # of nobody here: that is fatal
    wish = ("--source", "distro", "--no-recommends")
    failed(machine, *wish, code=8, hint="/etc/hosts", cause="broker")
    machine.write("/etc/hosts", hosts)
    machine.run("systemctl", "stop", "rabbitmq-server", check=True)  # else systemd is just about to try it again
    with running(machine, "python3", "-c", LISTENER):
        failed(machine, *wish, code=8, hint="port 5672 is taken by python3 (process ")
    rmqsetup(machine, "install", *wish, "--yes")
    assert boots(machine) >= 1
    healthy(machine)
