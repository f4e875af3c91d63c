"""RPM machines are what tests count on, and what dnf and zypper are asked for does what it says on them."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab import rpm_roots, rpms, yum
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


@pytest.mark.parametrize("flavour", FLAVOURS)
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
        team.machine.run("sh", "-c", "zypper clean -a || dnf clean all")
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


PROGRAM = """
import json, sys

sys.path[:0] = ["/usr/local/lib/rmqsetup-lab/app", "/usr/local/lib/rmqsetup-lab/deps"]

from rmqsetup.hosts.local import LocalHost
from rmqsetup.managers import Package, manager, rpm
from rmqsetup.pipeline import carry_out, uninstalling
from rmqsetup.plan import Plan, order
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service


class Silent:
    def begins(self, words): ...
    def says(self, line): ...
    def ends(self, outcome): ...


def plan(wish):
    server, settings = "rabbitmq-server", "/etc/rabbitmq/conf.d/10-rmqsetup.conf"
    family = (server, "erlang", "erlang-*")
    files = [File(path, text.encode(), early=True) for path, text in wish["files"].items()]
    packages = Packages(
        wish["manager"], want=tuple(Package(*pair) for pair in wish["want"]), hold=family, family=family, ours=family,
        origins=("modern-erlang*", "rabbitmq-el9*"), keep=("/var/lib/rabbitmq",), hold_back=server,
    )
    service = Service("systemd", server, newer_than=(settings, manager(wish["manager"]).stamp(server)))
    config = File(settings, b"heartbeat = 77\\n", directories=("/etc/rabbitmq/conf.d", "/etc/rabbitmq"))
    return Plan("install", order((*files, config, packages, service)))


wish = json.load(sys.stdin)
made, undoes = (plan(wish), ()) if wish["want"] else uninstalling(purge=False)
report = carry_out(made, LocalHost(), Silent(), undoes=undoes)
ends = {outcome.key.partition(":")[0]: outcome.status.value for outcome in report.outcomes}
error = report.error and [type(report.error).__name__, report.error.message, report.error.cause, report.error.hint]
json.dump({"ends": ends, "error": error, "words": [o.words for o in report.outcomes]}, sys.stdout)
"""


@pytest.mark.parametrize("flavour", ["el9", "fedora43", "leap16"])
def test_the_steps_install_upgrade_and_take_back_what_they_did(start_rpm, tool, flavour):
    team = start_rpm(flavour, real=True, over=tool.layers())
    machine, trust, folder = team.machine, team.stock.trust, rpm_roots.flavour(flavour).repositories
    keys = dict(zip(yum.KEYS, (trust.good.armored, trust.repository.armored), strict=True))
    files = {**keys, f"{folder}/rabbitmq.repo": yum.configuration()}

    def carry_out(*versions):
        want = list(zip((SERVER, "erlang"), versions, strict=False))
        wish = {"manager": "zypper" if flavour == "leap16" else "dnf", "files": files, "want": want}
        done = machine.run("python3", "-c", PROGRAM, input=json.dumps(wish), check=True)
        said = json.loads(done.stdout)
        assert said["error"] is None, said
        return said["ends"]

    def pid():
        return machine.run("systemctl", "show", SERVER, "-P", "MainPID", check=True).stdout

    before = machine.run("sh", "-c", "rpm -qa | grep -v gpg-pubkey | sort").stdout
    assert set(carry_out(*rpms.OLDER).values()) == {"changed"}
    assert machine.run("rabbitmqctl", "-q", "environment", check=True).stdout.count("heartbeat,77")
    assert {name for name, it in present(machine, its(flavour)).items() if it.held} == {SERVER, "erlang"}
    assert set(carry_out(*rpms.OLDER).values()) == {"unchanged"}
    first = pid()
    ends = carry_out(*rpms.NOW)
    assert ends == {"file": "unchanged", "packages": "changed", "service": "unchanged"}
    assert pid() != first  # the package's scriptlets started it anew
    machine.run("rabbitmq-diagnostics", "-q", "ping", check=True)
    assert {it.version for it in present(machine, its(flavour)).values() if it.held} == set(rpms.NOW)
    carry_out()
    assert machine.run("sh", "-c", "rpm -qa | grep -v gpg-pubkey | sort").stdout == before
    assert not any(machine.exists(path) for path in (*files, "/etc/rabbitmq"))
    assert [it for it in present(machine, its(flavour)).values() if it.held] == []
