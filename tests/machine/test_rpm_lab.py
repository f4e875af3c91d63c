"""RPM machines are what tests count on, and what dnf and zypper are asked for does what it says on them."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab import rpm_roots, rpms
from lab.yum import Flaw
from rpmorder import VERSIONS, ours, question

from rmqsetup.errors import TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Package, State, Wish, manager, rpm
from rmqsetup.version import Version

pytestmark = pytest.mark.machine

SERVER = "rabbitmq-server"
FLAVOURS = [flavour.name for flavour in rpm_roots.FLAVOURS]
OLDER, NOW = (
    Wish(install=(Package(SERVER, rabbitmq), Package("erlang", erlang))) for rabbitmq, erlang in (rpms.OLDER, rpms.NOW)
)


def its(flavour):
    return manager("zypper" if rpm_roots.flavour(flavour).manager == "zypper" else "dnf")


def ask(machine, command: Command) -> Result:
    env = ("LC_ALL=C.UTF-8", *(f"{name}={value}" for name, value in command.env))
    done = machine.run(*command.argv, input=command.stdin, env=env, timeout=command.timeout)
    return Result(command, done.exit_code, done.stdout, done.stderr)


def do(machine, *commands: Command) -> None:
    for command in commands:
        answer = ask(machine, command)
        assert answer.ok, f"{answer.stdout}\n{answer.stderr}"


def present(machine, its):
    return {found.name: found for found in its.parse_list(ask(machine, its.list_command()).stdout)}


def started(machine) -> float:
    shown = machine.run("systemctl", "show", SERVER, "-P", "MainPID", check=True).stdout.strip()
    return float(machine.run("stat", "-c", "%Y", f"/proc/{shown}", check=True).stdout)


@pytest.mark.parametrize("flavour", ["el10", "al2023"])
def test_the_real_rabbitmq_is_installed_from_signed_repositories_and_upgraded(start_rpm, flavour):
    team, its_manager = start_rpm(flavour, real=True), its(flavour)
    machine, signer = team.machine, team.stock.trust.good.fingerprint[-16:]
    assert rpm_roots.flavour(flavour).os_release == machine.read("/etc/os-release")
    team.configure()
    do(machine, its_manager.refresh(60))
    foretold = its_manager.parse_simulation(ask(machine, its_manager.simulate(OLDER)))
    assert foretold.problem == ""
    origins = {op.name: op.origins for op in foretold.operations}
    assert origins[SERVER] == ("rabbitmq-el9-noarch",)
    assert origins["erlang"] == ("modern-erlang",)
    do(machine, *its_manager.carry_out(OLDER))
    found = present(machine, its_manager)
    assert set(origins) <= set(found)
    assert (found[SERVER].version, found["erlang"].version) == rpms.OLDER
    assert (found[SERVER].vendor, found[SERVER].signer, found["erlang"].signer) == ("Team RabbitMQ", signer, signer)
    assert machine.run("systemctl", "is-enabled", SERVER).stdout == "disabled\n"
    machine.run("systemctl", "enable", "--now", SERVER, check=True)
    machine.run("rabbitmq-diagnostics", "-q", "ping", check=True)

    do(machine, its_manager.hold((SERVER, "erlang")))
    assert {name for name, it in present(machine, its_manager).items() if it.held} == {SERVER, "erlang"}
    foretold = its_manager.parse_simulation(ask(machine, its_manager.simulate(NOW)))
    assert {(op.name, op.old, op.new) for op in foretold.operations} == {
        (SERVER, rpms.OLDER[0], rpms.NOW[0]),
        ("erlang", rpms.OLDER[1], rpms.NOW[1]),
    }
    held = ask(machine, its_manager.carry_out(NOW)[0])
    assert "held" in its_manager.explain(held).hint, f"{held.stdout}\n{held.stderr}"
    do(machine, its_manager.release((SERVER, "erlang")), *its_manager.carry_out(NOW))
    assert present(machine, its_manager)[SERVER].version == rpms.NOW[0]
    # the package's own scriptlets started the node again, with all that is new: no second start is asked for
    machine.run("rabbitmq-diagnostics", "-q", "ping", check=True)
    stamp = float(machine.run("stat", "-c", "%Y", its_manager.stamp(SERVER), check=True).stdout)
    assert stamp <= started(machine)
    do(machine, *its_manager.carry_out(Wish(purge=(SERVER, "erlang", "logrotate"))))
    assert {SERVER, "erlang"} & set(present(machine, its_manager)) == set()
    assert machine.exists("/var/lib/rabbitmq/.erlang.cookie")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_wrongly_signed_is_refused(start_rpm, flavour):
    team, its_manager = start_rpm(flavour), its(flavour)
    team.configure()
    for flaw in (Flaw.STRANGER, Flaw.UNSIGNED, Flaw.DAMAGED_RPM, Flaw.REPOMD_STRANGER, Flaw.REPOMD_CHANGED):
        team.trouble(flaw)
        team.machine.run("sh", "-c", "zypper clean -a; find /var/cache -name '*.rpm' -delete")
        answers = (ask(team.machine, command) for command in (its_manager.refresh(60), *its_manager.carry_out(NOW)))
        failed = next(answer for answer in answers if not answer.ok)
        assert isinstance(its_manager.explain(failed), TrustError), f"{flaw}: {failed.stdout}\n{failed.stderr}"
        assert SERVER not in present(team.machine, its_manager)


def test_what_a_cut_transaction_leaves_is_seen_and_mended(start_rpm):
    team, its_manager = start_rpm("el10"), its("el10")
    machine = team.machine
    team.configure()
    do(machine, its_manager.refresh(60), *its_manager.carry_out(OLDER))
    machine.run(
        "dnf", "-y", "install", "--downloadonly", f"{SERVER}-{rpms.NOW[0]}", f"erlang-{rpms.NOW[1]}", check=True
    )
    over = "rpm -i --force --nodeps $(find /var/cache/dnf -name '*.rpm' | grep -e -4.2.9- -e -27.3.4.6-)"
    machine.run("sh", "-c", f"{over}; touch {rpm.BEGUN}", check=True)
    assert present(machine, its_manager)[SERVER].state is State.BROKEN
    assert machine.exists(its_manager.unfinished)
    do(machine, its_manager.mend(NOW), its_manager.complete(NOW))
    found = present(machine, its_manager)
    assert (found[SERVER].version, found["erlang"].version) == rpms.NOW
    assert {found[SERVER].state, found["erlang"].state} == {State.INSTALLED}
    assert not machine.exists(its_manager.unfinished)


def test_the_order_of_versions_is_that_of_rpm(start_rpm):
    machine = start_rpm("el9").machine

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(VERSIONS, VERSIONS), min_size=20, max_size=60), st.randoms())
    def agree(pairs, dice: random.Random):
        alike = [(one, dice.choice([one, one.replace(".el9", ".el10"), two])) for one, two in pairs]
        said = machine.run("rpm", "--eval", question(pairs + alike), check=True).stdout.split()
        assert [int(word) for word in said] == [ours(Version(one), Version(two)) for one, two in pairs + alike]

    agree()
