"""From a fresh machine to a verified broker, and back."""

from __future__ import annotations

import json

import pytest
from broker import boots, envelope, healthy, restored, rmqsetup

pytestmark = pytest.mark.machine

SERIES = {"bookworm": "3.10", "trixie": "4.0", "forky": "4.3"}
PLUGINS = "/etc/rabbitmq/enabled_plugins"


@pytest.mark.parametrize("base", ["trixie", "bookworm", "forky"])
def test_from_the_distribution_to_a_message_and_back(boot, tool, base):
    machine = boot(base, layers=tool.layers())
    machine.write("/etc/apt/apt.conf.d/90image", 'APT::Get::Assume-Yes "true";\nquiet "2";\n')  # some images have it
    before = machine.snapshot()

    plan = envelope(machine, "plan", "--source", "distro", "--recipe", "production", code=10)
    assert before.differences(machine.snapshot()) == (), "a plan changes nothing"
    assert plan["data"]

    hardened = ("sh", "-c", "umask 077; exec rmqsetup install --source distro --recipe production --yes --output json")
    done = json.loads(machine.run(*hardened, check=True).stdout)
    assert machine.run("stat", "-c", "%a", "/etc/rabbitmq/conf.d").stdout == "755\n", "the node is another user"
    assert boots(machine) == 1, "the node boots once, already configured"
    healthy(machine)
    version = machine.run("rabbitmqctl", "-q", "version", check=True).stdout.strip()
    assert version.startswith(f"{SERIES[base]}.")
    page = machine.run(
        "python3", "-c", "import urllib.request as r; print(r.urlopen('http://127.0.0.1:15672/').status)", check=True
    )
    assert page.stdout.strip() == "200", "the management UI answers"
    assert "65536" in machine.run("systemctl", "show", "-p", "LimitNOFILE", "rabbitmq-server").stdout
    assert "rabbitmq-server" in machine.run("apt-mark", "showhold").stdout
    assert not machine.exists("/usr/sbin/policy-rc.d")
    left = machine.run("rabbitmqctl", "-q", "list_queues", "name", check=True).stdout
    assert "rmqsetup" not in left, "verify leaves nothing behind"
    assert done["status"] == "changed"

    again = rmqsetup(machine, "install", "--source", "distro", "--recipe", "production", "--yes")
    assert "nothing to do" in again.stdout.lower() + again.stderr.lower()
    rmqsetup(machine, "plan", "--source", "distro", "--recipe", "production")
    assert boots(machine) == 1

    rmqsetup(machine, "install", "--source", "distro", "--plugins", "rabbitmq_shovel", "--yes")
    assert machine.read(PLUGINS) == "[rabbitmq_shovel].\n"
    assert boots(machine) == 2, "a changed wish restarts once"
    healthy(machine)

    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)
    assert machine.exists("/var/lib/rabbitmq/.erlang.cookie"), "data are kept"


@pytest.mark.parametrize("base", ["trixie", "forky"])
def test_from_the_stand_in_team_mirror(boot, tool, trust, serve, base):
    machine = boot(base, layers=tool.layers(trust.good))
    releases = (("4.2.8-1", "1:27.3.4.5-1"), ("4.2.9-1", "1:27.3.4.6-1"), ("4.1.8-1", "1:26.2.5.15-1"))
    team = serve(machine, base, releases=releases)
    before = machine.snapshot()
    rmqsetup(machine, "install", "--source", "team", "--rabbitmq", "4.2.8", "--yes")
    query = machine.run(
        "dpkg-query", "-W", "-f", "${Package} ${Version}\n", "rabbitmq-server", "erlang-base", check=True
    )
    assert set(query.stdout.split("\n")) >= {"rabbitmq-server 4.2.8-1", "erlang-base 1:27.3.4.6-1"}
    assert boots(machine) == 1
    healthy(machine)

    rmqsetup(machine, "install", "--source", "team", "--rabbitmq", "4.2.9", "--yes")
    query = machine.run("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server", check=True)
    assert query.stdout == "4.2.9-1", "a changed wish converges over our own hold"
    assert boots(machine) == 2

    refused = envelope(machine, "install", "--source", "team", "--rabbitmq", "4.1", "--yes", code=3)
    assert "4.1.8" in json.dumps(refused["errors"])
    requests = len(team.mirrors[0].seen)
    rmqsetup(machine, "install", "--source", "team", "--yes")
    assert len(team.mirrors[0].seen) == requests, "what is there grants the wish: the network is left alone"

    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)


def test_without_systemd_the_node_is_started_all_the_same(boot, tool):
    machine = boot("trixie", layers=tool.layers(), systemd=False)
    done = rmqsetup(machine, "install", "--source", "distro", "--yes")
    assert boots(machine) == 1
    healthy(machine)
    assert "rabbitmq-server" in done.stdout + done.stderr
    again = rmqsetup(machine, "install", "--source", "distro", "--yes")
    assert "nothing to do" in again.stdout.lower() + again.stderr.lower()
    rmqsetup(machine, "uninstall", "--yes")
    alive = machine.run("sh", "-c", "ps -eo stat=,comm= | grep -v ^Z", check=True).stdout  # nobody reaps here
    assert "beam.smp" not in alive


def test_auto_falls_back_to_the_distribution_in_one_plain_line(boot, tool):
    machine = boot("trixie", layers=tool.layers())
    plan = envelope(machine, "plan", code=10)
    notice = plan["data"]["notice"]
    assert "did not answer" in notice
    assert "Debian 13" in notice
    machine.run("sh", "-c", "useradd -m plain", check=True)
    as_plain = machine.run("rmqsetup", "plan", "--source", "distro", user="plain")
    assert as_plain.exit_code == 10, str(as_plain)
    refused = machine.run("rmqsetup", "install", "--source", "distro", "--yes", user="plain")
    assert refused.exit_code not in (0, 1), str(refused)
    assert "sudo" in refused.stderr


def test_no_start_installs_without_starting(boot, tool):
    machine = boot("trixie", layers=tool.layers())
    rmqsetup(machine, "install", "--source", "distro", "--no-start", "--no-hold", "--no-recommends", "--yes")
    assert machine.run("systemctl", "is-active", "rabbitmq-server").stdout.strip() == "inactive"
    assert machine.run("apt-mark", "showhold").stdout == ""
    rmqsetup(machine, "install", "--source", "distro", "--no-hold", "--no-recommends", "--yes")
    assert boots(machine) == 1
    healthy(machine)


def test_retired_repositories_are_replaced_and_come_back(boot, tool, trust, serve):
    machine = boot("trixie", layers=tool.layers(trust.good))
    serve(machine)
    old = "deb https://packagecloud.io/rabbitmq/rabbitmq-server/debian/ trixie main\n"
    machine.write("/etc/apt/sources.list.d/old.list", old)
    before = machine.snapshot()
    rmqsetup(machine, "install", "--yes")
    assert not machine.exists("/etc/apt/sources.list.d/old.list")
    healthy(machine)
    rmqsetup(machine, "undo", "--yes")
    restored(before, machine)
    assert machine.read("/etc/apt/sources.list.d/old.list") == old


def test_an_existing_policy_is_kept_and_a_foreign_edit_is_not_lost(boot, tool):
    machine = boot("trixie", layers=tool.layers())
    policy = "#!/bin/sh\necho asked >>/root/asked\nexit 0\n"
    machine.write("/usr/sbin/policy-rc.d", policy, 0o755)
    machine.write("/etc/rabbitmq/rabbitmq.conf", "# mine\nheartbeat = 30\n")
    rmqsetup(machine, "install", "--source", "distro", "--set", "heartbeat=20", "--yes")
    assert machine.read("/usr/sbin/policy-rc.d") == policy
    assert machine.exists("/root/asked"), "the policy that was there is asked for everything else"
    assert machine.read("/etc/rabbitmq/rabbitmq.conf") == "# mine\nheartbeat = 30\n"
    ours = "/etc/rabbitmq/conf.d/10-rmqsetup.conf"
    machine.write(ours, "heartbeat = 77\n")
    rmqsetup(machine, "install", "--source", "distro", "--set", "heartbeat=20", "--yes")
    assert machine.read(f"{ours}.rmqsetup.save") == "heartbeat = 77\n"
    assert "heartbeat = 20" in machine.read(ours)
    rmqsetup(machine, "uninstall", "--yes")
    assert machine.read("/etc/rabbitmq/rabbitmq.conf") == "# mine\nheartbeat = 30\n"
