"""`install.sh` on fresh machines: from nothing to a working `rmqsetup`, and back."""

from __future__ import annotations

import os
import signal

import pytest
from lab.system import until
from lab.tool import CHECKOUT

pytestmark = pytest.mark.machine

SCRIPT = f"{CHECKOUT}/install.sh"
PLACES = ("/opt", "/root", "/tmp", "/usr/local")
"""Where the script itself might leave something; /etc and the rest of /usr are the packages'."""

INTERRUPTED = 130


def add_python(machine):
    machine.run("apt-get", "-q", "update", check=True)
    machine.run("apt-get", "-qy", "install", "--no-install-recommends", "python3", "python3-venv", check=True)


@pytest.fixture
def bare(boot, tool):
    """A machine without Python, with the checkout."""
    return boot("trixie-bare", layers=(tool.checkout(),))


@pytest.fixture
def ready(lab, boot, tool):
    """A machine with a fit Python and the checkout."""
    return boot("trixie-bare", layers=(tool.checkout(), lab.layer("python", add_python, base="trixie-bare")))


def environments(machine, place="/opt/rmqsetup"):
    found = machine.run("find", place, "-mindepth", "1", "-maxdepth", "1", "-type", "d").stdout
    return set(found.split())


def set_up(machine, **options):
    done = machine.run(SCRIPT, "--no-run", **options)
    assert done.exit_code == 0, done
    assert done.stdout == "", "standard output is for `rmqsetup install`"
    return done


def begin(machine, *argv):
    """Start the script as a terminal does: as the leader of a group that gets ctrl-C."""
    return machine.popen("setsid", SCRIPT, *argv)


def interrupt(running):
    os.killpg(running.pid(), signal.SIGINT)
    return running.finish(120)


def runs(machine, pattern):
    return machine.run("pgrep", "-f", pattern).exit_code == 0


def test_from_nothing_and_back(bare):
    before = bare.snapshot(folders=PLACES)

    first = set_up(bare)
    assert "python3 python3-venv" in first.stderr
    assert len(first.stderr.splitlines()) <= 6, first
    assert bare.run("rmqsetup", "--version").stdout.startswith("rmqsetup ")
    assert bare.run("sh", "-c", "find /opt/rmqsetup ! -perm -o=r ! -type l").stdout == "", "every user may run it"

    made = bare.snapshot(folders=PLACES)
    second = set_up(bare)
    assert bare.snapshot(folders=PLACES) == made
    assert "already set up" in second.stderr
    assert second.seconds < 5, "about one second on an idle machine"

    removed = bare.run(SCRIPT, "--uninstall")
    assert removed.exit_code == 0, removed
    assert "still there: python3 python3-venv" in removed.stderr
    assert "A broker it installed stays" in removed.stderr
    left = before.differences(bare.snapshot(folders=PLACES), ignore=("/usr/local/lib/python3*",))
    assert left, "Python's packages stay"
    assert [line for line in left if not line.startswith(("package ", "automatic ")) or ": new " not in line] == []

    again = bare.run(SCRIPT, "--uninstall")
    assert again.exit_code == 0
    assert "nothing to remove" in again.stderr


@pytest.mark.parametrize("base", ["bookworm", "forky"])
def test_python_without_venv(boot, tool, base):
    machine = boot(base, layers=(tool.checkout(),))
    done = set_up(machine)
    assert "Installed for it: python3-venv." in done.stderr
    assert machine.run("rmqsetup", "--version").exit_code == 0


def test_interrupted_anywhere_it_leaves_nothing_half_made(bare):
    running = begin(bare, "--no-run")
    assert until(lambda: runs(bare, "^/usr/bin/dpkg"), 120, 0.05)
    stopped = interrupt(running)
    assert stopped.exit_code == INTERRUPTED, stopped
    assert "Interrupted" in stopped.stderr
    assert bare.run("dpkg", "--audit").stdout == ""
    assert until(lambda: not runs(bare, "apt-get"), 60)

    running = begin(bare, "--no-run")
    assert until(lambda: runs(bare, "pip install"), 120, 0.05)
    stopped = interrupt(running)
    assert stopped.exit_code == INTERRUPTED, stopped
    assert "could not" not in stopped.stderr
    assert environments(bare) == set()
    assert not bare.exists("/usr/local/bin/rmqsetup")
    assert bare.run("sh", "-c", "ls -A /tmp | grep -e pip -e rmqsetup").stdout == ""

    running = begin(bare, "--no-run")
    assert until(lambda: runs(bare, "pip install"), 120, 0.05)
    running.kill_tree()
    running.finish(60)

    set_up(bare)
    assert len(environments(bare)) == 1
    assert bare.run("rmqsetup", "--version").exit_code == 0
    assert "python3 python3-venv" in bare.run(SCRIPT, "--uninstall").stderr, "an earlier run installed them"


def test_user_without_rights_is_told_what_to_ask_for(bare):
    bare.run("useradd", "--create-home", "ada", check=True)
    before = bare.snapshot(folders=(*PLACES, "/home"))
    refused = bare.run(SCRIPT, "--no-run", user="ada")
    assert refused.exit_code == 1
    assert "apt-get install python3 python3-venv" in refused.stderr
    bare.run("apt-get", "-qy", "purge", "sudo", env=("SUDO_FORCE_REMOVE=yes",), check=True)
    without = bare.run(SCRIPT, "--no-run", user="ada")
    assert without.exit_code == 1
    assert "As root, type: apt-get install python3 python3-venv" in without.stderr
    after = bare.snapshot(folders=(*PLACES, "/home"))
    changes = [line for line in before.differences(after) if "sudo" not in line]
    assert [line for line in changes if "new (d" not in line] == [], "empty folders in ~/.local at most"


def test_user_with_sudo_gets_it_at_home(bare):
    bare.run("useradd", "--create-home", "ada", check=True)
    bare.write("/etc/sudoers.d/ada", "ada ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    done = set_up(bare, user="ada")
    assert "/home/ada/.local/bin is not on your PATH" in done.stderr
    home = "/home/ada/.local"
    assert bare.run(f"{home}/bin/rmqsetup", "--version", user="ada").exit_code == 0
    assert len(environments(bare, f"{home}/share/rmqsetup")) == 1
    assert not bare.exists("/opt/rmqsetup")
    assert "python3 python3-venv" in bare.run(SCRIPT, "--uninstall", user="ada").stderr
    assert not bare.exists(f"{home}/share/rmqsetup")


def test_two_at_once_make_one(ready):
    both = (begin(ready, "--no-run"), begin(ready, "--no-run"))
    ends = [running.finish(300) for running in both]
    assert [done.exit_code for done in ends] == [0, 0], ends
    assert sum("waiting" in done.stderr for done in ends) == 1, ends
    assert len(environments(ready)) == 1


def test_new_checkout_takes_over_and_the_one_before_stays(ready):
    set_up(ready)
    (first,) = environments(ready)
    for change in ("one", "two"):
        ready.run("sh", "-c", f"echo '# {change}' >>{CHECKOUT}/rmqsetup/errors.py", check=True)
        set_up(ready)
        if change == "one":
            assert first in environments(ready), "somebody may still be running it"
    assert len(environments(ready)) == 2
    assert first not in environments(ready)
    shown = 'cat "$(dirname "$(readlink /usr/local/bin/rmqsetup)")"/../lib/*/*/rmqsetup/errors.py'
    assert "# two" in ready.run("sh", "-c", shown).stdout


def test_what_is_in_the_way_is_named(ready):
    ready.write("/usr/local/bin/rmqsetup", "#!/bin/sh\n", 0o755)
    foreign = ready.run(SCRIPT, "--no-run")
    assert foreign.exit_code == 1
    assert "/usr/local/bin/rmqsetup is there, and not made by install.sh" in foreign.stderr
    ready.run("rm", "/usr/local/bin/rmqsetup", check=True)

    ready.run("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", "/opt", check=True)
    small = ready.run(SCRIPT, "--no-run")
    assert small.exit_code == 1
    assert "free space" in small.stderr
    ready.run("umount", "/opt", check=True)

    ready.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/opt", check=True)
    unwritable = ready.run(SCRIPT, "--no-run")
    assert unwritable.exit_code == 1
    assert "/opt/rmqsetup cannot be written to" in unwritable.stderr
    assert "Read-only file system" in unwritable.stderr
    ready.run("umount", "/opt", check=True)

    nowhere = ("PIP_INDEX_URL=http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL=", "PIP_RETRIES=0")
    broken = ready.run(SCRIPT, "--no-run", env=nowhere)
    assert broken.exit_code == 1
    assert "pip could not install rmqsetup" in broken.stderr
    log = broken.stderr.split()[-1]
    assert "hatchling" in ready.read(log)
    assert environments(ready) == set()


@pytest.mark.parametrize("base", ["trixie-bare", "bookworm", "forky"])
def test_fresh_machine_ends_with_a_verified_broker(boot, tool, base):
    machine = boot(base, layers=(tool.checkout(),))
    done = machine.run("sh", "-c", f"cd / && {SCRIPT} --yes --source distro", timeout=900)
    assert done.exit_code == 0, done
    verified = machine.run("rmqsetup", "verify")
    assert verified.exit_code == 0, verified
    assert machine.run("systemctl", "is-active", "rabbitmq-server").stdout.strip() == "active"
