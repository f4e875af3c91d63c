"""The lab itself does what the tests on machines count on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import network
from lab.laboratory import sweep
from lab.machines import TIMED_OUT, groups
from lab.mirror import SWAPPED, Fault, Stock, own
from lab.system import started, until
from lab.tool import CHECKOUT, TEAM

pytestmark = pytest.mark.machine

TESTS = Path(__file__).parents[1]
KEYRING = "/usr/share/keyrings/team.gpg"


def point_apt_at(machine, team, codename="trixie"):
    """Configure the stand-in by hand, as an operator would."""
    machine.run("sh", "-c", f"cat >{KEYRING}", input=team.stock.key.binary, check=True)
    stanzas = [
        f"Types: deb\nURIs: https://deb1.rabbitmq.com/{what}/debian/{codename} "
        f"https://deb2.rabbitmq.com/{what}/debian/{codename}\n"
        f"Suites: {codename}\nComponents: main\nSigned-By: {KEYRING}\n"
        for what in ("rabbitmq-server", "rabbitmq-erlang")
    ]
    machine.write("/etc/apt/sources.list.d/rabbitmq.sources", "\n".join(stanzas))


def update(machine):
    """Let apt read the stand-in alone."""
    alone = ("-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/rabbitmq.sources", "-o", "Dir::Etc::sourceparts=-")
    quick = ("-o", "Acquire::Retries=0", "-o", "Acquire::https::Timeout=3", "-o", "APT::Update::Error-Mode=any")
    return machine.run("apt-get", "update", *alone, *quick)


@pytest.mark.parametrize("base", ["trixie", "bookworm", "forky"])
def test_a_machine_boots_is_what_it_says_and_comes_back_after_a_reboot(boot, base):
    machine = boot(base)
    assert f"VERSION_CODENAME={base}" in machine.read("/etc/os-release")
    assert machine.run("systemctl", "is-system-running").stdout.strip() == "running"
    machine.write("/etc/motd", "kept\n", 0o600)
    machine.reboot()
    assert machine.read("/etc/motd") == "kept\n"
    assert machine.run("stat", "-c", "%a", "/etc/motd").stdout == "600\n"
    assert machine.run("hostname", "--ip-address").stdout.strip() == machine.address


def test_a_snapshot_equals_itself_and_shows_what_changed(boot):
    machine = boot()
    before = machine.snapshot()
    assert before.packages
    assert before.units
    assert before.differences(machine.snapshot()) == ()
    machine.write("/etc/new/file", "x")
    machine.run("chmod", "600", "/etc/fstab", check=True)
    machine.run("systemctl", "mask", "apt-daily.timer", check=True)
    machine.run("apt-mark", "hold", "procps", check=True)
    after = machine.snapshot()
    lines = "\n".join(before.differences(after))
    assert "file /etc/new/file: new" in lines
    assert "file /etc/fstab: -rw-r--r--" in lines
    assert "unit apt-daily.timer: enabled => masked" in lines
    assert "hold procps: new" in lines
    assert "/etc/new" not in "\n".join(before.differences(after, ignore=("/etc/new*",)))


def test_an_isolated_machine_reaches_only_this_side(boot, serve):
    machine = boot(isolated=True)
    team = serve(machine)
    outside = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
    assert "unreachable" in machine.run("python3", "-c", outside).stderr
    key = "import urllib.request as u; print(len(u.urlopen('https://deb2.rabbitmq.com/key.asc').read()))"
    team.stock.files["/key.asc"] = team.stock.key.armored.encode()
    assert machine.run("python3", "-c", key, check=True).stdout.strip() == str(len(team.stock.key.armored))
    assert team.deb2.paths("/key.asc")
    assert not team.deb1.paths()


def test_without_systemd_process_1_is_something_else(boot):
    for base in ("trixie", "trixie-slim"):
        machine = boot(base, systemd=False)
        assert machine.read("/proc/1/comm") == "sleep\n"
        assert not machine.exists("/run/systemd/system")
        assert machine.exists("/usr/bin/systemctl") == (base == "trixie")


def test_the_bare_root_has_no_python(boot):
    assert not boot("trixie-bare").exists("/usr/bin/python3")


def test_a_command_is_ended_at_its_deadline_or_by_a_kill(boot):
    machine = boot()
    late = machine.run("sh", "-c", "echo begun; sleep 100", timeout=1)
    assert (late.exit_code, late.stdout) == (TIMED_OUT, "begun\n")
    for kill_all in (True, False):
        running = machine.popen("sh", "-c", "sleep 12345 & wait")
        assert until(lambda: machine.run("pgrep", "-fx", "sleep 12345").exit_code == 0, 5)
        (running.kill_tree if kill_all else running.kill)()
        assert running.finish(10).exit_code not in (0, TIMED_OUT)
        assert machine.run("pgrep", "-fx", "sleep 12345").exit_code == (1 if kill_all else 0)


@pytest.fixture
def apart(lab):
    """Return a lab's folder whose machines no other session sees: any that begins beside this test sweeps its own."""
    home = lab.folder / "apart"
    folder = home / lab.folder.name
    folder.mkdir(parents=True)
    for shared in lab.folder.iterdir():
        if shared.name not in ("machines", home.name):
            (folder / shared.name).symlink_to(shared)
    yield folder
    shutil.rmtree(home)


def test_the_machine_of_a_session_that_died_is_swept_away(apart):
    script = "import time; from lab.laboratory import Lab; print(Lab().machine().name, flush=True); time.sleep(600)"
    its = {**os.environ, "XDG_CACHE_HOME": str(apart.parent)}
    argv = (sys.executable, "-c", script)
    with subprocess.Popen(argv, cwd=TESTS, env=its, stdout=subprocess.PIPE, text=True) as session:
        name = session.stdout.readline().strip()
        session.kill()
    left = apart / "machines" / name
    keeper = json.loads((left / "state.json").read_text())["keeper"]
    assert started(keeper)
    sweep(apart)
    assert not left.exists()
    assert started(keeper) is None
    number = network.claim(int(name.removeprefix("t-")), apart / "networks")
    if number is not None:  # else another session has a machine of this name by now
        assert name not in subprocess.check_output(["ip", "netns"], text=True).split()
        assert not any(group.exists() for group in groups(name))
        number.free()


def test_a_layer_is_built_once_and_lies_below_others(lab, boot):
    def build(machine):
        machine.write("/opt/layer", f"{time.time()}")
        machine.run("rm", "/etc/motd", check=True)

    one, two = lab.layer("test", build), lab.layer("test", build)
    assert one == two
    machine = boot(layers=(one,))
    assert float(machine.read("/opt/layer")) < time.time()
    assert not machine.exists("/etc/motd")


def test_apt_installs_from_the_stand_in(boot, serve):
    machine = boot()
    team = serve(machine, releases=(("4.2.9-1", "1:27.3.4.6-1"), ("4.1.8-1", "1:26.2.5.15-1")))
    point_apt_at(machine, team)
    machine.run("apt-get", "update", check=True)
    offers = machine.run("apt-cache", "madison", "rabbitmq-server", "erlang-base").stdout
    assert all(version in offers for version in ("4.2.9-1", "4.1.8-1", "1:27.3.4.6-1", "1:26.2.5.15-1"))
    policy = machine.run("apt-cache", "policy").stdout
    assert "o=RabbitMQ,a=trixie,n=trixie,l=RabbitMQ,c=main" in policy
    machine.run("apt-get", "install", "-y", "rabbitmq-server", check=True)
    installed = dict(machine.snapshot().packages)
    assert installed["rabbitmq-server"] == "4.2.9-1 installed"
    assert installed["erlang-base"] == "1:27.3.4.6-1 installed"
    assert machine.run("rabbitmq-diagnostics", "-q", "ping").exit_code == 0
    assert team.deb1.paths("*/rabbitmq-server_4.2.9-1_all.deb")


def test_every_fault_of_the_repositories_shows_to_apt(boot, serve):
    machine = boot(isolated=True)
    team = serve(machine)
    point_apt_at(machine, team)
    shown = {
        Fault.REFUSE: "Could not connect",
        Fault.HANG: "Could not wait for server",
        Fault.HALF: "Failed to fetch",
        Fault.STATUS: "403",
        Fault.HTML: "Clearsigned file isn't valid",
        Fault.TAMPER_INRELEASE: "not signed",
        Fault.TAMPER_PACKAGES: "mismatch",
        Fault.UNSIGNED: "is not signed",
        Fault.EXPIRED_KEY: "not signed",
        Fault.WRONG_KEY: "not signed",
        Fault.OUTDATED: "expired",
    }
    for fault, words in shown.items():
        machine.run("sh", "-c", "rm -rf /var/lib/apt/lists/*")
        team.trouble(fault, status=403)
        answer = update(machine)
        assert answer.exit_code == 100, f"{fault}: {answer}"
        assert words in answer.stderr + answer.stdout, f"{fault}: {answer}"
        team.repair()
        assert update(machine).exit_code == 0, fault


def test_one_mirror_stands_in_for_the_other(boot, serve):
    machine = boot(isolated=True)
    team = serve(machine)
    point_apt_at(machine, team)
    team.deb1.trouble(Fault.REFUSE)
    assert "deb1.rabbitmq.com" in update(machine).stderr
    assert "4.2.9-1" in machine.run("apt-cache", "madison", "rabbitmq-server").stdout


def test_an_expired_pinned_key_and_a_replay_show(boot, serve, trust):
    machine = boot(isolated=True)
    team = serve(machine)
    team.trouble(Fault.REPLAY)
    point_apt_at(machine, team)
    assert update(machine).exit_code == 0
    assert "4.2.8-1" in machine.run("apt-cache", "madison", "rabbitmq-server").stdout
    machine.run("sh", "-c", f"rm -rf /var/lib/apt/lists/*; cat >{KEYRING}", input=trust.expired.binary)
    team.trouble(Fault.EXPIRED_KEY)
    assert "xpired" in update(machine).stderr


def test_a_swapped_package_is_a_package_and_is_caught(boot, serve):
    machine = boot(isolated=True)
    team = serve(machine)
    point_apt_at(machine, team)
    assert update(machine).exit_code == 0
    team.trouble(Fault.SWAP_DEB, only="*.deb")
    answer = machine.run("apt-get", "-y", "download", "erlang-base")
    assert answer.exit_code == 100
    assert not machine.exists(SWAPPED)
    path = "/rabbitmq-erlang/debian/trixie/pool/main/e/erlang/erlang-asn1_27.3.4.6-1_amd64.deb"
    fetch = (
        f"import urllib.request as u; open('/x.deb', 'wb').write(u.urlopen('https://deb1.rabbitmq.com{path}').read())"
    )
    machine.run("python3", "-c", fetch, check=True)
    assert "1:27.3.4.6-1" in machine.run("dpkg-deb", "--field", "/x.deb", "Version", check=True).stdout


@pytest.mark.parametrize("base", ["bookworm", "trixie", "forky"])
def test_the_tool_runs_under_every_python(boot, tool, trust, base):
    machine = boot(base, layers=tool.layers(trust.good))
    assert machine.run("rmqsetup", "--version", check=True).stdout.startswith("rmqsetup ")
    catalog = "/usr/local/lib/rmqsetup-lab/app/rmqsetup/catalog"
    tables = machine.run("sh", "-c", f"cat {catalog}/*.toml", check=True).stdout
    assert trust.good.fingerprint in tables
    assert f'fingerprint = "{TEAM}"' not in tables
    assert machine.read(f"{catalog}/keys/rabbitmq-team.asc") == trust.good.armored
    heavy = (
        "import sys; sys.path[:0] = ['/usr/local/lib/rmqsetup-lab/deps']; import cattrs, requests, rich, typer, pika"
    )
    machine.run("python3", "-c", heavy, check=True)


def test_an_own_mirror_is_served_over_http_and_the_checkout_is_a_layer(boot, tool, trust):
    machine = boot(isolated=True, layers=(tool.checkout(),))
    stock = Stock(trust, ())
    stock.files["/key.asc"] = trust.good.armored.encode()
    mirror = own(machine, stock)
    ask = "import urllib.request as u; print(u.urlopen('http://mirror.test/key.asc').read().decode())"
    assert machine.run("python3", "-c", ask, check=True).stdout.strip() == trust.good.armored.strip()
    mirror.trouble(Fault.HTML)
    assert "<html>" in machine.run("python3", "-c", ask, check=True).stdout
    mirror.close()
    assert machine.exists(f"{CHECKOUT}/pyproject.toml")
    assert not machine.exists(f"{CHECKOUT}/.git")
