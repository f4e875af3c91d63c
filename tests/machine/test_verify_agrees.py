"""The verdict of `verify` is the one of RabbitMQ's own tools, on three series, for every named trouble.

What each rung says is tested in `test_verify.py` on made-up hosts.
"""

from __future__ import annotations

import json

import pytest
from broker import healthy
from lab.system import until

pytestmark = pytest.mark.machine

COOKIE = "/var/lib/rabbitmq/.erlang.cookie"

DRIVER = """
import dataclasses, json, sys, time
sys.path[:0] = ["/usr/local/lib/rmqsetup-lab/app", "/usr/local/lib/rmqsetup-lab/deps"]
from rmqsetup.hosts.local import LocalHost
from rmqsetup.probes.address import find_address
from rmqsetup.status import service_manager, status
from rmqsetup.verify import Target, verify
host = LocalHost()
address, manager = find_address(host), service_manager(host)
if sys.argv[1] == "verify":
    found = verify(host, Target(address, manager), wait=90)
else:
    begun = time.process_time()
    found = status(host, address, service_manager=manager)
    print(time.process_time() - begun, file=sys.stderr)
failed = found.failed.level if sys.argv[1] == "verify" and found.failed else None
told = {"ok": found.ok, "failed": failed, **dataclasses.asdict(found)}
print(json.dumps(told, default=lambda value: value.value))
"""

STATUS = ("status", "--watch", "--interval", "0.5", "--output", "json")

CHECKS = ("ping", "check_running", "check_alarms", "check_virtual_hosts", "check_port_connectivity")

RECONCILER = "rabbitmqctl -q eval 'catch rabbit_vhosts:{verb}_reconciliation().'"
"""Newer series start what virtual hosts are down, every 30 seconds: not between our look and theirs."""

DOWN = (
    f"rabbitmqctl -q add_vhost orders && {RECONCILER.format(verb='disable')} && sleep 1 && "
    "rabbitmqctl -q eval 'rabbit_vhost_sup_sup:delete_on_all_nodes(<<\"orders\">>).'"
)

TROUBLES = {
    "healthy": ("true", "true", None, None),
    "application stopped": ("rabbitmqctl -q stop_app", "rabbitmqctl -q start_app", 2, "check_running"),
    "memory alarm": (
        "rabbitmqctl -q set_vm_memory_high_watermark absolute 20MB && sleep 3",
        "rabbitmqctl -q set_vm_memory_high_watermark 0.6 && sleep 3",
        2,
        "check_alarms",
    ),
    "disk alarm": (
        "rabbitmqctl -q set_disk_free_limit 90000GB && sleep 3",
        "rabbitmqctl -q set_disk_free_limit 50MB && sleep 3",
        2,
        "check_alarms",
    ),
    "virtual host down": (
        DOWN,
        f"{RECONCILER.format(verb='enable')} && rabbitmqctl -q delete_vhost orders",
        2,
        "check_virtual_hosts",
    ),
    "listener closed": (
        "rabbitmqctl -q suspend_listeners",
        "rabbitmqctl -q resume_listeners",
        3,
        "check_port_connectivity",
    ),
    "wrong cookie": (
        f"cp -p {COOKIE} /root/cookie && echo WRONGWRONGWRONGWRONG >{COOKIE}",
        f"cat /root/cookie >{COOKIE}",
        2,
        "ping",
    ),
    "service stopped": ("systemctl stop rabbitmq-server", "systemctl start rabbitmq-server", 1, "ping"),
}
"""How to make it, how to undo it, the rung that fails, and the first of RabbitMQ's own checks that does."""


CLIENT = """
import sys
sys.path.insert(0, "/usr/local/lib/rmqsetup-lab/deps")
import pika
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1"))
channel = connection.channel()
channel.confirm_delivery()
channel.queue_declare("orders", durable=True)
channel.queue_declare("invoices", durable=True, arguments={"x-queue-type": "quorum"})
for queue, count in (("orders", 30), ("invoices", 21)):
    for _ in range(count):
        channel.basic_publish("", queue, b"x")
channel.basic_get("invoices")
print("there", flush=True)
connection.sleep(300)
"""
"""Fills two queues, takes one message, and stays."""


def looks(machine, count, *words):
    """Return what so many looks of `status --watch` saw."""
    told = machine.run("rmqsetup", *STATUS, "--count", str(count), *words, check=True).stdout
    return [json.loads(line)["data"] for line in told.splitlines()]


def lengths(look):
    """Return kind, ready and unacknowledged messages of the queues that a look names."""
    return {one["name"]: (one["kind"], one["ready"], one["unacknowledged"]) for one in look["sample"]["longest"]}


def install(machine):
    """Install the distribution's own broker, and let it boot once."""
    machine.run("apt-get", "-q", "update", check=True)
    machine.run("apt-get", "-qy", "install", "--no-install-recommends", "rabbitmq-server", check=True)


@pytest.fixture
def broker(request, lab, tool, boot):
    base = request.param
    machine = boot(base, layers=(*tool.layers(), lab.layer("distribution-broker", install, base=base)))
    machine.run("rabbitmqctl", "await_startup", check=True)
    return machine


def told(machine, what="verify"):
    done = machine.run("python3", "-", what, input=DRIVER)
    assert done.exit_code == 0, str(done)
    return json.loads(done.stdout)


def shell(machine, command):
    return machine.run("sh", "-c", command, check=True).stdout


def is_watched(machine):
    """Hold `status --watch` to what a client does, from inside and over the API; the machine is there already."""
    before = looks(machine, 1)[-1]["sample"]["counted"]
    client = machine.popen("python3", "-c", CLIENT)
    assert until(lambda: "there" in client.output()[0], 30), client.output()
    wanted = {"orders": ("classic", 30, 0), "invoices": ("quorum", 20, 1)}

    def seen(*words):
        look = looks(machine, 2, *words)[-1]
        sample = look["sample"]
        whole = (sample["ready"], sample["unacknowledged"], sample["channels"]) == (50, 1, 1)
        return look if whole and wanted.items() <= lengths(look).items() else None

    assert until(seen, 30), looks(machine, 1)
    look = seen()
    counted = look["sample"]["counted"]
    assert [counted[name] - before[name] for name in ("published", "confirmed", "delivered")] == [51, 51, 1]
    assert look["rates"]["published"] == 0.0
    assert look["sample"]["members"] == [{"name": "rabbit@broker", "running": True}]
    shell(machine, "rabbitmq-plugins -q enable rabbitmq_management")
    for words in (("--api", "http://127.0.0.1:15672"), ()):
        assert until(lambda words=words: seen(*words), 60), words
    client.kill_tree()
    client.finish()


def left(machine):
    """Return every user, and every queue of every virtual host."""
    hosts = shell(machine, "rabbitmqctl -q list_vhosts --no-table-headers").split()
    queues = [shell(machine, f"rabbitmqctl -q list_queues -p {host} --no-table-headers name") for host in hosts]
    users = shell(machine, "rabbitmqctl -q list_users --no-table-headers")
    return sorted(line.split()[0] for line in users.splitlines() if line.strip()), "".join(queues).split()


def first_failing(machine):
    """Return the first of RabbitMQ's own checks that fails."""
    return next(
        (check for check in CHECKS if machine.run("timeout", "60", "rabbitmq-diagnostics", "-q", check).exit_code), None
    )


@pytest.mark.parametrize(
    ("broker", "version"), [("bookworm", "3.10."), ("trixie", "4.0."), ("forky", "4.3.")], indirect=["broker"]
)
@pytest.mark.timeout(900)
def test_the_verdict_is_the_one_of_rabbitmqs_own_tools(broker, version):
    healthy(broker)
    for name, (make, undo, rung, check) in TROUBLES.items():
        shell(broker, make)
        found, failing = told(broker), first_failing(broker)
        shell(broker, undo)
        assert (name, found["failed"], failing) == (name, rung, check), found
        assert found["ok"] == (failing is None), found
    assert told(broker)["status"]["version"].startswith(version)
    is_watched(broker)


@pytest.mark.parametrize("broker", ["bookworm", "trixie", "forky"], indirect=True)
@pytest.mark.timeout(600)
def test_nothing_is_left_behind_whoever_logs_in_and_whenever_it_ends(broker):
    assert told(broker)["ok"]
    assert left(broker) == (["guest"], [])
    shell(
        broker, "rabbitmqctl -q delete_user guest && rabbitmqctl -q add_vhost orders && rabbitmqctl -q delete_vhost /"
    )
    found = told(broker)
    assert found["ok"], found
    assert "to the virtual host orders" in found["rungs"][4]["evidence"][0]
    assert left(broker) == ([], [])
    for instant in ("0.25", "0.35", "0.45", "0.6"):
        broker.run("timeout", "--signal=INT", instant, "python3", "-", "verify", input=DRIVER)
        assert left(broker) == ([], []), instant


@pytest.mark.parametrize("broker", ["trixie"], indirect=True)
@pytest.mark.timeout(300)
def test_a_node_on_its_way_is_waited_for_and_status_is_cheap(broker):
    shell(broker, "systemctl restart --no-block rabbitmq-server")
    assert told(broker)["ok"]
    done = broker.run("python3", "-", "status", input=DRIVER, check=True)
    found = json.loads(done.stdout)
    assert found["ok"]
    assert found["service"]["active"] == "active"
    assert {listener["protocol"] for listener in found["node"]["listeners"]} == {"amqp", "clustering"}
    assert float(done.stderr) < 0.06
