"""RabbitMQ's archive on a machine whose distribution has an Erlang, as RPM packages, and no RabbitMQ."""

from __future__ import annotations

import pytest
from broker import envelope, rmqsetup
from lab import generic, rpm_roots, rpms

pytestmark = pytest.mark.machine

PREFIX, ARCHIVE = "/opt/broker", "/srv/files/rabbitmq.tar.xz"
OWN = "/srv/own"
REPOSITORY = f"""[own]
name=The distribution's own
baseurl=file://{OWN}
enabled=1
gpgcheck=1
gpgkey=file:///etc/pki/own.asc
"""


def put_repository(team, lab):
    """Give the distribution an Erlang of its own, which is a real one."""
    machine, trust = team.machine, team.stock.trust
    machine.put(rpms.layer(lab, "trixie", trust).path / rpms.PLACE / "shipped", OWN)
    index = f"{OWN}/repodata/repomd.xml"
    machine.write(f"{index}.asc", trust.sign(trust.good, machine.read(index).encode(), clear=False))
    machine.write("/etc/pki/own.asc", trust.good.armored)
    machine.run("rpm", "--import", "/etc/pki/own.asc", check=True)
    folder = "/etc/zypp/repos.d" if machine.exists("/etc/zypp/repos.d") else "/etc/yum.repos.d"
    machine.write(f"{folder}/own.repo", REPOSITORY)
    if machine.exists("/usr/bin/dnf"):  # it keeps keys of indices by itself, and asks of each new one
        machine.run("dnf", "-y", "makecache", check=True)


@pytest.mark.parametrize("flavour", ["leap16", "el10"])
@pytest.mark.timeout(600)
def test_the_distributions_erlang_comes_along_and_goes_again(start_rpm, lab, tool, flavour):
    assert rpm_roots.flavour(flavour).suite == "trixie"
    team = start_rpm(flavour, real=True, over=tool.layers())
    machine, trust, archives = team.machine, team.stock.trust, generic.fetch("trixie")
    put_repository(team, lab)
    machine.write(ARCHIVE, archives.rabbitmq.read_bytes())
    machine.write(f"{ARCHIVE}.asc", trust.sign(trust.good, archives.rabbitmq.read_bytes(), clear=False))
    machine.write("/srv/files/key.asc", trust.good.armored)
    key = ("--key", "/srv/files/key.asc", "--fingerprint", trust.good.fingerprint)
    words = ("--source", "archive", "--prefix", PREFIX, "--archive", ARCHIVE, *key)
    before = team.snapshot()

    plan = envelope(machine, "plan", *words, code=10)
    assert plan["data"]["packages"] == ["erlang"], plan["data"]
    assert before.differences(team.snapshot()) == ()
    done = envelope(machine, "install", *words, "--yes")
    assert done["data"]["verification"]["level"] == 5
    assert "erlang-27" in machine.run("rpm", "-q", "erlang", check=True).stdout
    again = rmqsetup(machine, "install", *words, "--yes")
    assert "nothing to do" in again.stdout.lower() + again.stderr.lower()

    rmqsetup(machine, "uninstall", "--purge", "--yes")
    assert machine.run("rpm", "-q", "erlang").exit_code == 1
    assert before.differences(team.snapshot()) == ()
