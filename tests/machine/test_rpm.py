"""RPM machines: from a fresh one to a verified broker and back, and what goes wrong on the way.

What dnf and zypper do with the single commands belongs to `test_rpm_lab`.
"""

from __future__ import annotations

import pytest
from broker import HOLDER, STAYS, envelope, healthy, own_mirror, rmqsetup, running, with_unit
from lab import rpms, yum
from lab.mirror import Fault
from lab.yum import Flaw

pytestmark = pytest.mark.machine

BARE = ("--no-start", "--no-verify", "--yes")
"""An install of the packages alone, where the node is not the matter."""

SERVER = "rabbitmq-server"
OWN = tuple(version.partition("-")[0] for version in rpms.OWN)
NOW, OLDER = (tuple(each.partition("-")[0] for each in pair) for pair in (rpms.NOW, rpms.OLDER))


def versions(machine, *names):
    asked = machine.run("rpm", "-q", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\\n", *names).stdout
    return dict(line.split() for line in asked.splitlines() if "not installed" not in line)


def restored(before, team):
    """Hold a machine to what it was: packages, keys that rpm trusts, /etc."""
    assert before.differences(team.snapshot(), ignore=STAYS) == ()


# ---- when all is well


@pytest.mark.parametrize("flavour", ["el9", "fedora43", "leap16"])
def test_from_a_mirror_to_a_message_and_back(start_rpm, tool, flavour):
    team = start_rpm(flavour, real=True, one_key=True, over=tool.layers())
    machine, source = team.machine, own_mirror(team)
    before = team.snapshot()
    older = (*source, "--rabbitmq", OLDER[0], "--erlang", OLDER[1], "--set", "heartbeat=77")
    envelope(machine, "plan", *older, code=10)
    assert before.differences(team.snapshot()) == (), "a plan changes nothing"

    done = envelope(machine, "install", *older, "--yes")
    assert done["status"] == "changed"
    healthy(machine)
    assert versions(machine, SERVER, "erlang") == {SERVER: rpms.OLDER[0], "erlang": rpms.OLDER[1]}
    assert machine.run("rabbitmqctl", "-q", "environment", check=True).stdout.count("heartbeat,77")
    assert machine.run("systemctl", "is-enabled", SERVER).stdout == "enabled\n"
    held = {each["name"] for each in envelope(machine, "facts")["data"]["packages"] if each["held"]}
    assert held == {SERVER, "erlang"}

    requests = len(team.yum1.seen)
    again = rmqsetup(machine, "install", *older, "--yes")
    assert "nothing to do" in again.stdout.lower()
    assert len(team.yum1.seen) == requests, "what is there grants the wish: the network is left alone"

    rmqsetup(machine, "install", *source, "--rabbitmq", NOW[0], "--erlang", NOW[1], "--yes")
    assert versions(machine, SERVER, "erlang") == {SERVER: rpms.NOW[0], "erlang": rpms.NOW[1]}
    healthy(machine)
    rmqsetup(machine, "verify")

    rmqsetup(machine, "undo", "--yes")
    assert versions(machine, SERVER) == {SERVER: rpms.OLDER[0]}
    healthy(machine)
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, team)
    assert machine.exists("/var/lib/rabbitmq/.erlang.cookie"), "data are kept"


@pytest.mark.parametrize("flavour", ["el10", "leap16"])
def test_upstreams_two_keys_for_packages_and_indices_once_somebody_has_checked_them(start_rpm, tool, flavour):
    team = start_rpm(flavour, over=tool.layers())
    machine, trust = team.machine, team.stock.trust
    with_unit(machine)
    before = team.snapshot()
    machine.write("/root/keys.asc", trust.good.armored + trust.repository.armored)
    source = ("--source", "team", "--key", "/root/keys.asc", "--fingerprint")
    both = f"{trust.good.fingerprint},{trust.repository.fingerprint}"
    (one,) = envelope(machine, "install", *BARE, *source, trust.good.fingerprint, code=5)["errors"]
    assert "not signed by the key" in one["message"], "indices are signed by the other one"
    restored(before, team)
    rmqsetup(machine, "install", *BARE, *source, both)
    assert versions(machine, SERVER, "erlang") == {SERVER: rpms.NOW[0], "erlang": rpms.NOW[1]}
    assert "nothing to do" in rmqsetup(machine, "install", *BARE, *source, both).stdout.lower()
    rmqsetup(machine, "uninstall", "--yes")
    machine.run("rm", "/root/keys.asc")
    restored(before, team)


@pytest.mark.parametrize("flavour", ["fedora43", "leap16"])
def test_the_script_ends_where_install_ends_and_again_changes_nothing(start_rpm, tool, flavour):
    team = start_rpm(flavour, one_key=True, over=tool.layers())
    machine, wish = team.machine, (*own_mirror(team), "--no-start", "--rabbitmq", OLDER[0])
    with_unit(machine)
    script = rmqsetup(machine, "plan", "--as", "sh", *wish).stdout
    machine.write("/root/broker.sh", script)
    done = machine.run("sh", "/root/broker.sh", check=True)
    assert "==> install" in done.stdout
    assert versions(machine, SERVER, "erlang") == {SERVER: rpms.OLDER[0], "erlang": rpms.NOW[1]}
    assert "nothing to do" in rmqsetup(machine, "install", *wish, "--no-verify", "--yes").stdout.lower()
    before = team.snapshot()
    assert machine.run("sh", "/root/broker.sh", check=True).stdout == ""
    assert before.differences(team.snapshot()) == ()
    newer = rmqsetup(machine, "plan", "--as", "sh", *wish[:-1], NOW[0]).stdout
    machine.write("/root/newer.sh", newer)
    refused = machine.run("sh", "/root/newer.sh")
    assert refused.exit_code == 1, "what is held stays as it is"
    assert versions(machine, SERVER) == {SERVER: rpms.OLDER[0]}


# ---- when it is not


@pytest.fixture(scope="module", params=["el10", "leap16"])
def team(request, lab, rpm_trust, tool):
    """One machine of each kind for all, with a distribution that has an old RabbitMQ."""
    served = yum.start(lab, rpm_trust, request.param, over=tool.layers(), one_key=True, old=True)
    with_unit(served.machine)
    yield served
    served.close()
    lab.remove(served.machine)


@pytest.fixture(scope="module")
def before(team):
    """The machine as it was; its users are there beforehand, since no package takes them along."""
    return team.snapshot()


@pytest.fixture(autouse=True)
def given_back(request):
    """Let a test that failed spoil no other."""
    yield
    if "team" in request.fixturenames:
        served = request.getfixturevalue("team")
        served.repair()
        served.machine.run("rmqsetup", "uninstall", "--yes")
        # dnf keeps what it has fetched where an install failed; the keys it has accepted are in its cache, too
        served.machine.run("sh", "-c", "zypper clean -a; find /var/cache -name '*.rpm' -delete")


def failed(team, *words, code, cause="", hint=""):
    """Hold an install to its failure: exit code, what is said, and a hint that can be typed."""
    (error,) = envelope(team.machine, "install", *BARE, *words, code=code)["errors"]
    told = f"{error['message']}\n{error['cause']}"
    assert cause in told, error
    assert error["hint"], error
    assert hint in error["hint"], error
    return told


UNTRUSTED = (
    (Flaw.REPOMD_STRANGER, "not signed by the key"),
    (Flaw.REPOMD_UNSIGNED, ""),
    (Flaw.REPOMD_CHANGED, "is not valid"),
    (Flaw.PRIMARY_DAMAGED, "not what the signed index promises"),
    (Flaw.STRANGER, ""),
    (Flaw.UNSIGNED, ""),
    (Flaw.DAMAGED_RPM, ""),
)


@pytest.mark.parametrize(("flaw", "cause"), UNTRUSTED, ids=[flaw.value for flaw, _ in UNTRUSTED])
def test_what_cannot_be_trusted_stops_and_leaves_nothing(team, before, flaw, cause):
    source = own_mirror(team)
    team.trouble(flaw)
    failed(team, *source, code=5, cause=cause)
    restored(before, team)


def test_a_key_that_is_not_the_one_named_stops(team, before):
    source, trust = own_mirror(team), team.stock.trust
    failed(team, *source[:-1], trust.wrong.fingerprint, code=5, cause="is not the key")
    team.machine.write("/root/key.asc", trust.expired.armored)
    failed(team, *source[:-1], trust.expired.fingerprint, code=5, cause="expired")
    restored(before, team)


def test_a_mirror_that_is_down_is_not_replaced_by_the_distributions_older_package(team, before):
    source = own_mirror(team)
    team.trouble(Fault.REFUSE)
    failed(team, *source, code=4, hint="check network")
    restored(before, team)
    team.repair()
    team.trouble(Fault.STATUS, only="*.rpm", status=404)
    failed(team, *source, code=4)
    restored(before, team)


def test_an_erlang_that_does_not_fit_is_refused_before_anything_happens(team, before):
    source = own_mirror(team)
    team.trouble(Flaw.NEW_ERLANG)
    failed(team, *source, code=3, cause="no Erlang")
    restored(before, team)


def test_scriptlets_that_fail(team, before):
    source = own_mirror(team)
    team.trouble(Flaw.PRE_FAILS)
    failed(team, *source, code=6)
    assert SERVER not in versions(team.machine, SERVER)
    rmqsetup(team.machine, "uninstall", "--yes")
    restored(before, team)
    team.trouble(Flaw.POST_FAILS)  # it is there all the same, and rpm says so
    rmqsetup(team.machine, "install", *source, *BARE)
    assert versions(team.machine, SERVER) == {SERVER: rpms.NOW[0]}
    rmqsetup(team.machine, "uninstall", "--yes")
    restored(before, team)


def test_the_distributions_own_and_then_a_newer_one(team, before):
    machine = team.machine
    machine.run("sh", "-c", "dnf -y makecache; zypper refresh")  # a plan fetches nothing
    plan = envelope(machine, "plan", code=10)["data"]
    assert plan["source"] == "distro", plan
    rmqsetup(machine, "install", *BARE)
    assert versions(machine, SERVER) == {SERVER: rpms.OWN[0]}
    (refused,) = envelope(machine, "install", *own_mirror(team), *BARE, code=3)["errors"]
    assert OWN[0] in f"{refused['message']}{refused['cause']}", "no release of RabbitMQ's leads there in one hop"
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, team)


def test_a_lock_that_is_held(team, before):
    source, machine = own_mirror(team), team.machine
    database = machine.run("rpm", "--eval", "%{_dbpath}/.rpm.lock", check=True).stdout.strip()
    with running(machine, "python3", "-c", HOLDER, database, "600"):
        failed(team, *source, "--lock-timeout", "2", code=6, cause="lock", hint="wait for it")
    restored(before, team)


def test_a_full_disk(team, before):
    source, machine = own_mirror(team), team.machine
    small = (
        "mkdir -p /usr/share/rabbitmq-server && mount -t tmpfs -o size=0,nr_inodes=2 none /usr/share/rabbitmq-server"
    )
    machine.run("sh", "-c", small, check=True)
    failed(team, *source, code=6, hint="df -h")
    machine.run("sh", "-c", "umount /usr/share/rabbitmq-server && rmdir /usr/share/rabbitmq-server", check=True)
    machine.run("rmqsetup", "uninstall", "--yes")  # what packages came before the one that found no place
    restored(before, team)
