"""Faults of a node that runs on a real machine: users, limits, plugins, memory; and machines without any RabbitMQ.

Faults of its machine, packages and configuration are in `test_doctor`, clusters in `broker/test_doctor_cluster`.
"""

from __future__ import annotations

import json
import os

import pytest
from faults import CONF, PLUGINS, Fault
from test_doctor import DOCUMENT, _trials, diagnosis, install, shell

pytestmark = pytest.mark.machine

BEGIN, END = (
    "<!-- faults of a node: written by tests/machine/test_doctor_node.py -->",
    "<!-- end of faults of a node -->",
)
PLUGIN = "rabbitmq_delayed_message_exchange"
FOLDER = f"/usr/lib/rabbitmq/plugins/{PLUGIN}-3.12.0"
QUEUE = (
    'rabbitmqctl -q eval \'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>,queue,<<"orders">>), true, false, '
    '[{<<"x-queue-type">>,longstr,<<"quorum">>}], none, <<"guest">>).\' >/dev/null'
)
PROCESS = "$(systemctl show -p MainPID --value rabbitmq-server)"
SERVER = '{list_to_atom("%2F_orders"), node()}'


def evaluated(expression):
    return f"rabbitmqctl -q eval '{expression}.' >/dev/null"


def setting(name, wrong, right):
    """Return how a setting of the running node is changed, and how it is put back."""
    return tuple(evaluated(f"application:set_env(rabbit, {name}, {value})") for value in (wrong, right))


FAULTS = (
    Fault(
        "administrator with a password that is guessed",
        "RMQ-105",
        "rabbitmqctl -q add_user boss boss; rabbitmqctl -q set_user_tags boss administrator",
        "rabbitmqctl -q delete_user boss",
    ),
    Fault(
        "password that is guessed in the configuration",
        "RMQ-106",
        f"printf 'default_user = app\\ndefault_pass = rabbitmq\\n' >{CONF}",
        f"rm {CONF}",
    ),
    Fault(
        "limit of queues reached",
        "RMQ-110",
        f"rabbitmqctl -q set_vhost_limits -p / '{{\"max-queues\": 1}}'; {QUEUE}",
        "rabbitmqctl -q delete_queue orders; rabbitmqctl -q clear_vhost_limits -p /",
    ),
    Fault(
        "memory nearly at its limit",
        "RMQ-111",
        "m=$(rabbitmqctl -q eval 'vm_memory_monitor:get_process_memory().'); "
        "rabbitmqctl -q set_vm_memory_high_watermark absolute $((m * 113 / 100)); sleep 1",
        "rabbitmqctl -q set_vm_memory_high_watermark 0.6; sleep 1",
    ),
    Fault(
        "disk nearly at its limit",
        "RMQ-112",
        "f=$(rabbitmqctl -q eval 'rabbit_disk_monitor:get_disk_free().'); "
        "rabbitmqctl -q set_disk_free_limit $((f * 19 / 20)); sleep 1",
        "rabbitmqctl -q set_disk_free_limit 50MB; sleep 1",
    ),
    Fault(
        "files nearly all open",
        "RMQ-108",
        f"n=$(awk '/open files/ {{ print int($4 * 0.85) }}' /proc/{PROCESS}/limits); rabbitmqctl -q eval "
        '"S = self(), register(hog, spawn(fun() -> [file:open(\\"/dev/null\\", [read, raw]) || _ <- lists:seq(1, $n)], '
        'S ! all, receive stop -> ok end end)), receive all -> ok end." >/dev/null',
        evaluated("hog ! stop"),
    ),
    Fault(
        "less memory than the node believes in",
        "RMQ-113",
        "systemctl set-property --runtime rabbitmq-server MemoryMax=2G",
        "systemctl set-property --runtime rabbitmq-server MemoryMax=infinity",
    ),
    Fault(
        "alone, and to be one of two",
        "RMQ-104",
        f"printf 'cluster_formation.classic_config.nodes.%s = rabbit@%s\\n' 1 broker 2 localhost >{CONF}",
        f"rm {CONF}",
    ),
    Fault(
        "Prometheus without its plugin",
        "RMQ-120",
        "mkdir /etc/prometheus; printf -- \"- targets: ['localhost:15692']\\n\" >/etc/prometheus/prometheus.yml",
        "rm -r /etc/prometheus",
    ),
    Fault(
        "plugin of another series",
        "RMQ-122",
        f'mkdir -p {FOLDER}/ebin; echo \'{{application, {PLUGIN}, [{{vsn, "3.12.0"}}, '
        f'{{broker_version_requirements, ["3.12.0"]}}]}}.\' >{FOLDER}/ebin/{PLUGIN}.app; echo "[{PLUGIN}]." >{PLUGINS}',
        f"rm -r /usr/lib/rabbitmq/plugins {PLUGINS}",
    ),
    Fault(
        "plugin that was enabled and not started",
        "RMQ-124",
        f'echo "[rabbitmq_shovel]." >{PLUGINS}',
        f"rm {PLUGINS}",
    ),
    Fault(
        "logins asked of a plugin that is off",
        "RMQ-125",
        *setting("auth_backends", "[rabbit_auth_backend_ldap]", "[rabbit_auth_backend_internal]"),
    ),
    Fault(
        "process of a quorum queue ended",
        "RMQ-126",
        f"{QUEUE}; {evaluated(f'ra:stop_server(quorum_queues, {SERVER})')}",
        f"{evaluated(f'ra:restart_server(quorum_queues, {SERVER})')}; sleep 1; rabbitmqctl -q delete_queue orders",
    ),
    Fault(
        "upgraded under the node",
        "RMQ-129",
        "cd /usr/lib/rabbitmq/lib && ln -s rabbitmq_server-4.0.5 rabbitmq_server-4.0.9",
        "rm /usr/lib/rabbitmq/lib/rabbitmq_server-4.0.9",
    ),
    Fault(
        "user without permissions",
        "RMQ-159",
        "rabbitmqctl -q add_user app kXq81-unheard-of",
        "rabbitmqctl -q delete_user app",
    ),
    Fault("virtual host of nobody", "RMQ-159", "rabbitmqctl -q add_vhost orders", "rabbitmqctl -q delete_vhost orders"),
    Fault(
        "policy for an exchange that is not there",
        "RMQ-167",
        """rabbitmqctl -q set_policy dead '.*' '{"dead-letter-exchange": "gone"}' --apply-to queues""",
        "rabbitmqctl -q clear_policy dead",
    ),
    Fault("every message copied", "RMQ-160", "rabbitmqctl -q trace_on", "rabbitmqctl -q trace_off"),
    Fault(
        "shovel without its end",
        "RMQ-161",
        "rabbitmq-plugins -q enable rabbitmq_shovel >/dev/null; rabbitmqctl -q set_parameter shovel far "
        '\'{"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://127.0.0.1:1", "dest-queue": "b"}\'; sleep 3',
        "rabbitmqctl -q clear_parameter shovel far; rabbitmqctl -q delete_queue a; "
        f"rabbitmq-plugins -q disable rabbitmq_shovel >/dev/null; rm {PLUGINS}",
    ),
    Fault("maintenance mode", "RMQ-083", "rabbitmq-upgrade -q drain", "rabbitmq-upgrade -q revive"),
    Fault(
        "limit of memory that is none",
        "RMQ-081",
        f"echo 'vm_memory_high_watermark.absolute = 20MB' >{CONF}; "
        "rabbitmqctl -q set_vm_memory_high_watermark absolute 20MB; sleep 2",
        f"rm {CONF}; rabbitmqctl -q set_vm_memory_high_watermark 0.6; sleep 2",
    ),
    Fault(
        "host renamed under the node",
        "RMQ-165",
        "hostname renamed; cp /etc/hosts /root/hosts; echo 127.0.1.1 renamed >>/etc/hosts",
        "hostname broker; cat /root/hosts >/etc/hosts",
    ),
    Fault(
        "data moved away under the node",
        "RMQ-165",
        "mv /var/lib/rabbitmq/mnesia/rabbit@broker /root/data",
        "mv /root/data /var/lib/rabbitmq/mnesia/rabbit@broker",
    ),
    Fault(
        "Erlang replaced under the node",
        "RMQ-129",
        "f=$(ls /usr/lib/erlang/erts-*/bin/beam.smp); cp -p $f $f.new; mv $f.new $f",
        "systemctl restart rabbitmq-server",
    ),
    Fault("process stopped", "RMQ-080", f"kill -STOP {PROCESS}", f"kill -CONT {PROCESS}; sleep 1"),
)
"""Faults that a node survives, each made and taken back while it runs."""

CONTAINED = (
    "setsid unshare --pid --mount-proc --fork --kill-child python3 -c 'import time; time.sleep(600)' beam.smp "
    "-s rabbit boot >/dev/null 2>&1 </dev/null & echo $!; sleep 1"
)
"""A process in a namespace of its own, whose command line is that of a node."""


@pytest.fixture(scope="module")
def broker(lab, tool):
    """One broker for all faults."""
    machine = lab.machine(layers=(*tool.layers(), lab.layer("distribution-broker", install)))
    machine.run("rabbitmqctl", "await_startup", check=True)
    yield machine
    lab.remove(machine)


def test_the_table_in_the_documents_has_every_fault():
    """Compare, or write anew with UPDATE_GOLDEN=1: the test below holds the doctor to each row."""
    rows = ["", "| Fault | Found first |", "|---|---|", *(f"| {each.name} | {each.check} |" for each in FAULTS)]
    text = DOCUMENT.read_text(encoding="utf-8")
    new = f"{text.split(BEGIN)[0]}{BEGIN}\n" + "\n".join(rows) + f"\n\n{END}" + text.split(END)[1]
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(new, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == new


@pytest.mark.timeout(600)
def test_faults_of_a_node_that_runs_are_named_first(broker):
    assert diagnosis(broker) == []
    assert _trials(broker, FAULTS, between=[]) == []


def test_passwords_are_not_told(broker):
    shell(broker, "rabbitmqctl -q add_user boss letmein")
    told = broker.run("rmqsetup", "doctor", "--output", "json").stdout
    shell(broker, "rabbitmqctl -q delete_user boss")
    assert "RMQ-105" in told
    assert "letmein" not in told


def test_a_machine_without_rabbitmq_is_told_so(boot, tool):
    machine = boot(layers=tool.layers(), systemd=False)
    done = machine.run("rmqsetup", "doctor", check=True)
    assert "no RabbitMQ is installed on this machine" in done.stdout
    assert "rmqsetup install" in done.stdout
    (found,) = json.loads(machine.run("rmqsetup", "doctor", "--output", "json", check=True).stdout)["data"]["findings"]
    assert (found["check"], found["severity"], found["hint"]) == ("RMQ-100", "info", "rmqsetup install")


def test_a_node_in_a_container_of_the_machine_is_pointed_at(boot, tool):
    machine = boot(layers=tool.layers(), systemd=False)
    number = shell(machine, CONTAINED).strip()
    done = machine.run("rmqsetup", "doctor", check=True)
    shell(machine, f"kill {number}")
    assert "RMQ-114" in done.stdout
    assert "rmqsetup doctor; where its image has no rmqsetup" in " ".join(done.stdout.split())
    assert "RMQ-100" not in done.stdout
