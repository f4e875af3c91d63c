"""Faults of running nodes, clusters, users, limits, containers and Macs, each put into the recorded machine.

Holding the checks to them belongs to `test_checks`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import zipfile

from scenes import CONF, MORE

from rmqsetup.host import FileState
from rmqsetup.managers.layout import of_brew
from rmqsetup.probes.node import ANY, NodeListener, NodeState
from rmqsetup.probes.terms import Atom, Map, Opaque
from rmqsetup.probes.wire import UnreachableError

OURS, OTHERS = Atom("rabbit@broker"), (Atom("rabbit@b"), Atom("rabbit@c"))
PLUGINS = "/etc/rabbitmq/enabled_plugins"
OPEN_TO_ALL = NodeListener("amqp", ANY[0], 5672)
CONTAINER = """process 4711
host mq
0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope
"""
JOB = "installed\nregistered /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server\nnow=100\nprocess 7 for 00:30\n"
JOBS = "sh -c prefix=$1 name=$2"


def said(wires, **changes):
    wires.node = dataclasses.replace(wires.node, **changes)


def answers(wires, **told):
    wires.answers.update({name.replace("__", ":"): answer for name, answer in told.items()})


def cluster(wires, up=OTHERS, **told):
    answers(wires, rabbit_nodes__list_members=[OURS, *OTHERS], rabbit_nodes__list_running=[OURS, *up], **told)
    if len(up) < len(OTHERS):
        wires.others = UnreachableError("no answer", cause="no route to host")


def queue(name, *nodes):
    """Return RabbitMQ's record of a quorum queue, as far as it matters."""
    return (Atom("amqqueue"), (Atom("resource"), b"/", Atom("queue"), name), Map(((Atom("nodes"), [OURS, *nodes]),)))


def user(name, password, *tags):
    """Return RabbitMQ's record of a user."""
    stored = b"salt" + hashlib.sha256(b"salt" + password).digest()
    return (Atom("internal_user"), name, stored, list(map(Atom, tags)), Atom("rabbit_password_hashing_sha256"), Map(()))


def nothing_here(machine, wires):
    """Take RabbitMQ and Erlang away, with all that they had."""
    wires.known, wires.node = UnreachableError("nobody answers"), UnreachableError("nobody answers")
    for path in ("/usr/lib/rabbitmq", "/var/lib/rabbitmq", "/etc/rabbitmq", "/usr/lib/erlang"):
        machine.lose(path)
    theirs = re.compile("rabbitmq|^er[lt]")
    machine.folders = {
        path: [name for name in names if not theirs.search(name)]
        for path, names in machine.folders.items()
        if not re.search("rabbitmq|erlang", path)
    }
    machine.say("dpkg-query", "dpkg\t1.22\tamd64\tii \n")
    machine.say("systemctl show", "LoadState=not-found\nActiveState=inactive\n")


def enclosed(machine, wires):
    nothing_here(machine, wires)
    machine.say("sh -c for words in", CONTAINER)


def named_by_chance(machine, _):
    machine.put("/run/.containerenv", "")
    for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
        machine.put(path, "0123456789ab\n")
    machine.put("/etc/hosts", "127.0.0.1 localhost\n")
    machine.folders["/run/systemd"] = []
    machine.lose("/run/systemd/container")


def few_files(machine, _):
    pid = next(path.split("/")[2] for path in machine.files if re.fullmatch(r"/proc/\d+/limits", path))
    machine.put(f"/proc/{pid}/limits", "Max open files            100                  100                  files\n")
    machine.folders[f"/proc/{pid}/fd"] = [str(number) for number in range(90)]


def system_info(wires, **told):
    """Let one count of the Erlang machine be near its limit: the recorded answer is the same for all."""
    wires.answers["erlang:system_info"] = told["answer"]


def relied_on(machine, _):
    machine.folders["/etc"] = [*machine.folders.get("/etc", ()), "prometheus"]
    machine.put("/etc/prometheus/prometheus.yml", "# localhost:15692\n- targets: ['localhost:15692']\n")


def of_another_release(machine, _):
    name, folder = "rabbitmq_delayed_message_exchange", "/usr/lib/rabbitmq/plugins"
    machine.put(PLUGINS, f"[{name}].\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        required = f'{{application, {name}, [{{vsn, "3.12.0"}}, {{broker_version_requirements, ["3.12.0"]}}]}}.\n'
        archive.writestr(f"{name}-3.12.0/ebin/{name}.app", required)
    machine.put(f"{folder}/{name}-3.12.0.ez", "")
    machine.files[f"{folder}/{name}-3.12.0.ez"] = FileState(packed.getvalue(), 0o644, "root", "root", 1.0)


def not_started(machine, wires):
    machine.put(PLUGINS, "[rabbitmq_management].\n")
    answers(wires, application__which_applications=[(Atom("rabbit"), b"", b"4.0.5")])


def without_backend(_, wires):
    answers(
        wires,
        application__get_env=(Atom("ok"), [Atom("rabbit_auth_backend_ldap")]),
        application__get_application=Atom("undefined"),
    )


def mac(machine, job=JOB, erlang="28.5.0.5"):
    """Make it a Mac with Homebrew's RabbitMQ, whose job runs."""
    machine.layout = of_brew("/opt/homebrew", home="/Users/alice")
    machine.folders.update(
        {
            "/System/Library/CoreServices": ["SystemVersion.plist"],
            "/opt/homebrew/bin": ["brew"],
            "/opt/homebrew/Cellar": ["erlang@28", "rabbitmq"],
            "/opt/homebrew/Cellar/rabbitmq": ["4.3.6"],
            "/opt/homebrew/Cellar/erlang@28": [erlang],
        }
    )
    needs = {"runtime_dependencies": [{"full_name": "erlang@28", "version": erlang, "pkg_version": erlang}]}
    machine.put("/opt/homebrew/Cellar/rabbitmq/4.3.6/INSTALL_RECEIPT.json", json.dumps(needs))
    machine.say("uname -nrm", "studio.local 23.6.0 arm64\n")
    machine.say("sw_vers", "ProductName:\t\tmacOS\nProductVersion:\t\t14.8.2\n")
    machine.say("sh -c brew=$1/bin/brew", "user=alice\nprefix=/opt/homebrew\nowner=alice\nwritable=yes\nsession=yes\n")
    machine.say("sh -c command -v rabbitmqctl", "/opt/homebrew/sbin/rabbitmqctl\n")
    machine.say(JOBS, job)


def ports(machine, _):
    machine.folders["/System/Library/CoreServices"] = ["SystemVersion.plist"]
    machine.folders["/opt/local/bin"] = ["port"]
    machine.folders["/opt/local/var/macports/software/rabbitmq-server"] = ["rabbitmq-server-3.11.15_0.noarch.tbz2"]


def off_path(machine, _):
    mac(machine)
    machine.say("sh -c command -v rabbitmqctl", "", 1)


def promised(machine, wires):
    machine.change(MORE, "MemoryMax=infinity", "MemoryMax=1073741824")
    said(wires, memory=10**8, memory_limit=15 * 10**9)


def shut(_, wires):
    answers(
        wires,
        application__get_env=(Atom("ok"), [Atom("rabbit_auth_backend_internal")]),
        rabbit_vhost__list_names=[b"/", b"orders"],
        rabbit_auth_backend_internal__list_permissions=[[(Atom("user"), b"guest"), (Atom("vhost"), b"/")]],
        rabbit_auth_backend_internal__all_users=[user(b"guest", b"x", "administrator"), user(b"app", b"y")],
    )


def stopped_shovel(machine, wires):
    machine.put(PLUGINS, "[rabbitmq_shovel].\n")
    reason = (Atom("terminated"), b"amqp://app:s3cr3t@far: econnrefused")
    answers(wires, rabbit_shovel_status__status=[((b"/", b"orders"), Atom("dynamic"), reason, b"")])


def stale_job(job):
    return lambda machine, _: mac(machine, job)


def without_tokens(_, wires):
    answers(wires, application__get_env=(Atom("ok"), [Atom("rabbit_auth_backend_oauth2")]))


NODES = {
    "RMQ-174": without_tokens,
    "RMQ-175": lambda machine, _: (
        machine.put(PLUGINS, "[rabbitmq_mqtt].\n"),
        machine.put(CONF, "mqtt.vhost = nosuch\n"),
    ),
    "RMQ-088": lambda _, wires: cluster(wires, rabbit_node_monitor__partitions=[OTHERS[0]]),
    "RMQ-089": lambda _, wires: cluster(wires, up=OTHERS[:1]),
    "RMQ-090": lambda _, wires: cluster(
        wires, up=OTHERS[:1], rabbit_quorum_queue__list_with_minimum_quorum=[queue(b"orders", *OTHERS)]
    ),
    "RMQ-100": nothing_here,
    "RMQ-101": lambda _, wires: (
        said(wires, state=NodeState.STOPPED),
        answers(wires, erlang__whereis=Opaque(b"pid")),
    ),
    "RMQ-102": lambda _, wires: cluster(
        wires, up=(), rabbit_stream_queue__list_with_minimum_quorum=[queue(b"events", *OTHERS)]
    ),
    "RMQ-103": lambda _, wires: cluster(wires, rpc__call=list(b"4.1.3")),
    "RMQ-104": lambda machine, _: machine.put(
        CONF,
        "".join(
            f"cluster_formation.classic_config.nodes.{n} = rabbit@{host}\n" for n, host in ((1, "broker"), (2, "b"))
        ),
    ),
    "RMQ-105": lambda _, wires: answers(
        wires,
        rabbit_auth_backend_internal__all_users=[
            user(b"app", b"8fK2-unheard-of"),
            user(b"boss", b"boss", "administrator"),
        ],
    ),
    "RMQ-106": lambda machine, _: machine.put(CONF, "default_user = app\ndefault_pass = rabbitmq\n"),
    "RMQ-107": lambda machine, _: machine.put(CONF, "default_user = app\ndefault_pass = 8fK2-unheard-of\n"),
    "RMQ-108": few_files,
    "RMQ-109": lambda _, wires: system_info(wires, answer=1000),
    "RMQ-110": lambda _, wires: answers(
        wires, rabbit_vhost_limit__list=[(b"/", [(b"max-queues", 10)])], rabbit_amqqueue__count=9
    ),
    "RMQ-111": lambda _, wires: said(wires, memory=900, memory_limit=1000),
    "RMQ-112": lambda _, wires: said(wires, disk_free=100_000_000, disk_free_limit=50_000_000),
    "RMQ-113": promised,
    "RMQ-114": enclosed,
    "RMQ-115": named_by_chance,
    "RMQ-116": stale_job(JOB.partition("now")[0]),
    "RMQ-117": lambda machine, _: mac(machine, erlang="25.3.2"),
    "RMQ-118": off_path,
    "RMQ-119": ports,
    "RMQ-120": relied_on,
    "RMQ-121": lambda machine, _: machine.put(CONF, "mqtt.listeners.tcp.default = 1883\n"),
    "RMQ-122": of_another_release,
    "RMQ-123": lambda _, wires: said(wires, listeners=(NodeListener("clustering", ANY[0], 25672),)),
    "RMQ-124": not_started,
    "RMQ-125": without_backend,
    "RMQ-126": lambda _, wires: answers(
        wires,
        ra_directory__list_registered=[(Atom("%2F_orders"), b"X"), (Atom("%2F_bills"), b"Y")],
        erlang__registered=[Atom("rabbit"), Atom("%2F_orders")],
    ),
    "RMQ-127": lambda _, wires: answers(
        wires,
        application__get_env=(Atom("ok"), [Atom("rabbit_auth_backend_internal")]),
        rabbit_auth_backend_internal__all_users=[],
    ),
    "RMQ-128": lambda _, wires: cluster(
        wires, rabbit_alarm__get_alarms=[((Atom("resource_limit"), Atom("memory"), OTHERS[0]), [])]
    ),
    "RMQ-159": shut,
    "RMQ-160": lambda _, wires: answers(wires, application__get_env=(Atom("ok"), [b"/"])),
    "RMQ-161": stopped_shovel,
    "RMQ-167": lambda _, wires: answers(
        wires,
        rabbit_policy__list=[
            [(Atom("vhost"), b"/"), (Atom("name"), b"dead"), (Atom("definition"), [(b"dead-letter-exchange", b"gone")])]
        ],
        rabbit_exchange__exists=Atom("false"),
    ),
    "RMQ-129": lambda _, wires: said(wires, version="3.13.7"),
}
"""For every check of these subjects, what puts its fault into the recorded machine."""
