"""Every check is silent on the recorded healthy machine, and speaks when exactly its fault is put into it.

Whether real faults on real machines are found is tested in `machine/test_doctor.py`.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from node_faults import NODES, enclosed, mac, nothing_here
from scenes import CONF, MORE, NOW, UNIT, Plain, Wires, scene

from rmqsetup.checks import catalogue, directories
from rmqsetup.checks.access import closed
from rmqsetup.checks.scene import Scene
from rmqsetup.doctor import chosen, examine
from rmqsetup.finding import Severity
from rmqsetup.host import NOT_FOUND, Command, Result
from rmqsetup.hosts.local import LocalHost
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.probes.address import find_layout
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.epmd import Registered
from rmqsetup.probes.node import NodeListener, NodeState
from rmqsetup.probes.terms import Atom, Map
from rmqsetup.probes.wire import UnreachableError
from rmqsetup.steps.access import Right

MACHINES = Path(__file__).parent / "data/machines"
ENV = "/etc/rabbitmq/rabbitmq-env.conf"
LISTS = "/etc/apt/sources.list.d"
COOKIE = "/var/lib/rabbitmq/.erlang.cookie"
DATA = "/var/lib/rabbitmq/mnesia"
FLAGS = f"{DATA}/rabbit@broker-feature_flags"
PLUGINS = "/etc/rabbitmq/enabled_plugins"
DROP_IN = "/etc/systemd/system/rabbitmq-server.service.d/x.conf"
OTP = "/usr/lib/erlang/lib"
PACKAGES = "dpkg-query -W -f ${Package}\t${Version}\t${Architecture}"
STOPPED = ("ActiveState=active", "ActiveState=inactive")
SOCKET = "   9: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 777 1 x 100 0 0 10 0\n"
TLS = "listeners.ssl.default = 5671\n"
TLS += "ssl_options.certfile = /etc/rabbitmq/c.pem\nssl_options.keyfile = /etc/rabbitmq/k.pem\n"


def drop_in(machine, line, old, new):
    machine.put(DROP_IN, f"[Service]\n{line}\n")
    machine.change(MORE, old, new)
    machine.change(MORE, "DropInPaths=", f"DropInPaths={DROP_IN}")


def down(machine, wires):
    wires.down()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        machine.put(path, "")
    machine.change(UNIT, *STOPPED)
    machine.change(UNIT, "SubState=running", "SubState=dead")


def listening(machine, port, who="python3"):
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        machine.put(path, "")
    machine.put("/proc/net/tcp", SOCKET.format(port=port))
    machine.say("find /proc", "/proc/4711/fd/3\n")
    machine.put("/proc/4711/comm", f"{who}\n")
    machine.put("/proc/4711/cgroup", "0::/user.slice/session-1.scope\n")


def tls(machine, dates="notBefore=Jan  1 00:00:00 2024 GMT\nnotAfter=Jan  1 00:00:00 2099 GMT\n", key="A"):
    machine.put(CONF, TLS)
    machine.put("/etc/rabbitmq/c.pem", "c")
    machine.put("/etc/rabbitmq/k.pem", "k")
    machine.say("openssl x509 -in /etc/rabbitmq/c.pem -noout -pubkey", "A")
    machine.say("openssl x509 -in /etc/rabbitmq/c.pem -noout -startdate", dates)
    machine.say("openssl pkey", key)


def source(machine, text, name="x.list"):
    machine.put(f"{LISTS}/{name}", text)


def said(wires, **changes):
    wires.node = dataclasses.replace(wires.node, **changes)


CONFIGURED = {
    "RMQ-070": (CONF, "heartbeat = 60\n"),
    "RMQ-071": (CONF, "heartbeat 60\n"),
    "RMQ-072": (CONF, "vm_memory_high_watermark_relative = 0.5\n"),
    "RMQ-073": (CONF, "channel_max = lots\n"),
    "RMQ-074": ("/etc/rabbitmq/advanced.config", "[{rabbit, []}]\n"),
    "RMQ-076": (ENV, 'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 4:4 +hipe true"\n'),
    "RMQ-077": (CONF, "load_definitions = /etc/rabbitmq/gone.json\n"),
    "RMQ-078": (PLUGINS, "[rabbitmq_management]\n"),
    "RMQ-079": (PLUGINS, "[rabbitmq_delayed_message_exchange].\n"),
    "RMQ-096": (CONF, TLS),
    "RMQ-032": (ENV, "NODENAME=rabbit@broker.example.org\n"),
    "RMQ-057": (FLAGS, "[quorum_queue,\n"),
    "RMQ-058": (FLAGS, "[quorum_queue].\n"),
    "RMQ-051": (COOKIE, "\n"),
    "RMQ-017": ("/etc/apt/preferences.d/x", "Package: rabbitmq-server\nPin: version *\nPin-Priority: -1\n"),
    "RMQ-045": (CONF, "listeners.tcp.1 = 192.0.2.1:5672\n"),
    "RMQ-020": (f"{LISTS}/x.list", "deb http://dl.bintray.com/rabbitmq-erlang/debian bionic erlang\n"),
    "RMQ-023": (f"{LISTS}/x.list", "deb [signed-by=/gone.gpg] https://packages.example.org/debian trixie main\n"),
    "RMQ-024": (
        "/var/lib/apt/lists/packages.example.org_debian_dists_trixie_InRelease",
        "Date: Tue, 01 Jan 2069 00:00:00 UTC\n",
    ),
    "RMQ-028": (f"{LISTS}/x.list", "deb http://packages.example.org/debian noble main\n"),
    "RMQ-131": (CONF, "\ufeffheartbeat = 60\n"),
    "RMQ-140": (CONF, "listeners.tcp.default = 80\n"),
    "RMQ-141": (CONF, "log.file = /srv/nowhere/x.log\n"),
    "RMQ-142": (CONF, "auth_backends.1 = ldap\n"),
    "RMQ-143": (ENV, "NODENAME = rabbit\n"),
    "RMQ-146": (CONF, "hipe_compile = false\n"),
    "RMQ-064": (f"{OTP}/crypto-5.5.3/priv/lib/crypto.so", ""),
    "RMQ-163": (CONF, "ssl_options.verify = verify_peer\n"),
    "RMQ-162": (CONF, "handshake_timeout = 10\n"),
    "RMQ-168": (CONF, "cluster_partition_handling = pause_if_all_down\n"),
    "RMQ-169": (CONF, "default_pass = encrypted:gN0lTqUDAGhYRcwFlCx1\n"),
    "RMQ-170": (CONF, "log.file = false\n"),
    "RMQ-171": (CONF, "log.file.level = debug\n"),
    "RMQ-153": ("/etc/fstab", "UUID=1 /var/lib/rabbitmq ext4 defaults 0 2\n"),
    "RMQ-154": ("/var/lib/dpkg/diversions", "/usr/lib/erlang/bin/erl\n/usr/lib/erlang/bin/erl.distrib\n:\n"),
    "RMQ-156": ("/etc/ld.so.preload", "/opt/gone/agent.so\n"),
}
"""Faults that are in one file."""

CHANGED = {
    "RMQ-132": "[Service]\nUser=nobody\n",
    "RMQ-133": "[Service]\nPrivateNetwork=yes\n",
    "RMQ-134": "[Service]\nExecStart=\nExecStart=/bin/true\n",
    "RMQ-135": "LimitNOFILE=5\n",
    "RMQ-136": "[Service]\nEnvironment=HOME=/srv/nowhere\n",
    "RMQ-137": "[Service]\nExecStartPre=/bin/false\n",
    "RMQ-138": "[Unit]\nRequires=nowhere.service\n",
}
"""Faults that are in a drop-in of the unit, whatever systemd says of it."""

UNIT_LIMITS = {
    "RMQ-005": ("LimitNOFILE=256", "LimitNOFILE=65536", "LimitNOFILE=256"),
    "RMQ-006": ("MemoryMax=70M", "MemoryMax=infinity", "MemoryMax=73400320"),
    "RMQ-009": ("TimeoutStartSec=1", "TimeoutStartUSec=10min", "TimeoutStartUSec=1s"),
    "RMQ-010": ("WorkingDirectory=/srv/nowhere", "WorkingDirectory=/var/lib/rabbitmq", "WorkingDirectory=/srv/nowhere"),
}
"""Faults that are in a drop-in of the unit: its line, and what systemd says before and after."""


def spoil_file(check):
    path, text = CONFIGURED[check]

    def spoil(machine, _):
        state = machine.files.get(path)
        machine.put(path, text, *((state.mode, state.owner, state.group) if state else ()))
        if check == "RMQ-070":
            machine.say("/usr/bin/setpriv", f"{CONF}\n")
        if check == "RMQ-024":
            machine.put(f"{LISTS}/debian.sources", "deb http://packages.example.org/debian trixie main\n")
            machine.lose(f"{LISTS}/debian.sources")
            source(machine, "deb http://packages.example.org/debian trixie main\n")

    return spoil


def spoil_unit(check):
    line, old, new = UNIT_LIMITS[check]

    def spoil(machine, _):
        machine.files.pop(next(path for path in machine.files if re.fullmatch(r"/proc/\d+/limits", path)))
        drop_in(machine, line, old, new)

    return spoil


def spoil_drop_in(check):
    def spoil(machine, wires):
        if check in ("RMQ-137", "RMQ-138"):
            (failing if check == "RMQ-137" else down)(machine, wires)
        machine.put(DROP_IN, CHANGED[check])
        machine.change(MORE, "DropInPaths=", f"DropInPaths={DROP_IN}")

    return spoil


def homeless(machine, _):
    text = machine.files["/etc/passwd"].text
    machine.put("/etc/passwd", text.replace(":/var/lib/rabbitmq:", ":/nonexistent:"))


def no_variable(machine, wires):
    down(machine, wires)
    machine.put(CONF, "default_pass = $(NOSUCH)\n")


def intercepted(machine, wires):
    source(machine, "deb https://mirror.example.org/debian trixie main\n")
    wires.certificates["mirror.example.org"] = ("self-signed certificate in certificate chain", b"der")
    machine.say("openssl x509 -inform DER", "issuer=CN = Somebody between")


def two_erlangs(machine, _):
    for path in [path for path in machine.files if path.startswith("/etc/os-release") or path == "/usr/lib/os-release"]:
        machine.put(path, 'ID="rocky"\nVERSION_ID="9.4"\nID_LIKE="rhel centos fedora"\n')
    machine.folders |= {"/usr/bin": ["dnf", "erl", "rpm"], "/bin": []}
    rows = (("erlang", "27.3.4-1.el9", "RabbitMQ"), ("erlang-erts", "26.2.5-1.el9", "Fedora Project"))
    rows += (("rabbitmq-server", "4.0.5-1.el9", "RabbitMQ"),)
    machine.say("rpm -qa", "".join(f"package\t{name}\t{version}\tx86_64\t{who}\t\n" for name, version, who in rows))


def failing(machine, wires):
    wires.down()
    machine.change(UNIT, "ActiveState=active", "ActiveState=activating")
    machine.change(UNIT, "SubState=running", "SubState=auto-restart")
    machine.change(UNIT, "Result=success", "Result=exit-code")
    machine.say("tail", "BOOT FAILED\n[error] something unheard-of was refused\n")


def masked(machine, _):
    """The mask stands where a unit of an administrator would, and says of no user."""
    machine.change(UNIT, "LoadState=loaded", "LoadState=masked")
    machine.change(MORE, "User=rabbitmq\nFragmentPath=/usr/lib", "User=\nFragmentPath=/etc")
    machine.folders["/usr/lib/systemd/system"] = ["rabbitmq-server.service"]


def outdated(machine, _):
    machine.put(CONF, "heartbeat = 60\n")
    state = machine.files[CONF]
    machine.files[CONF] = dataclasses.replace(state, modified=NOW + 3000)


def half_configured(machine, _):
    machine.change(
        PACKAGES,
        "4.0.5-6+deb13u2\tall\tii",
        "4.0.5-6+deb13u2\tall\tiF",
    )


def torn(machine, wires):
    down(machine, wires)
    machine.put(f"{DATA}/rabbit@broker/schema.DAT", "\x00\x00Q\x11\x00")


def old_erlang(machine, _):
    machine.folders["/usr/local/bin"] = ["erl"]
    machine.put("/usr/local/bin/erl", "#!/bin/sh\nROOTDIR=/opt/otp\n")
    machine.put("/opt/otp/releases/start_erl.data", "13.2 25\n")
    machine.put("/opt/otp/releases/25/OTP_VERSION", "25.3.2\n")
    for application in list(machine.folders[OTP]):
        machine.folders.setdefault("/opt/otp/lib", []).append(application)


def second_erlang(machine, _):
    machine.folders["/usr/bin"] = ["erl"]
    machine.folders["/usr/sbin"] = ["erl"]
    machine.put("/usr/sbin/erl", machine.files["/usr/bin/erl"].text.replace("/usr/lib/erlang", "/opt/otp"))
    for path, state in [(path, state) for path, state in machine.files.items() if path.startswith("/usr/lib/erlang/")]:
        machine.files[path.replace("/usr/lib/erlang", "/opt/otp")] = state
    for path, names in [(path, names) for path, names in machine.folders.items() if path.startswith("/usr/lib/erlang")]:
        machine.folders[path.replace("/usr/lib/erlang", "/opt/otp")] = names


def twice(machine, _):
    source(machine, "deb [signed-by=/usr/share/keyrings/other.gpg] http://packages.example.org/debian trixie main\n")
    machine.put("/usr/share/keyrings/other.gpg", "x")


def stray(machine, _):
    listening(machine, 25672, "beam.smp")
    machine.change(UNIT, "ActiveState=active", "ActiveState=activating")


def unregistered(machine, wires):
    listening(machine, 25672, "beam.smp")
    wires.known = ()


def blocked(machine, wires):
    listening(machine, 4369, "epmd")
    wires.closed[4369] = "timed out"


def renamed(machine, _):
    machine.folders[DATA].append("rabbit@old")
    machine.folders[f"{DATA}/rabbit@old"] = ["msg_stores", "schema.DAT"]


def moved_away(machine, _):
    name = next(name for name in machine.folders[OTP] if name.startswith("ssl-"))
    machine.lose(f"{OTP}/{name}")


def closed_to_others(machine, _):
    machine.put("/etc/hosts", "127.0.0.1 localhost\n")
    machine.say("/usr/bin/setpriv", "/etc/hosts\n")
    rows = ("755\troot\troot\tdirectory\t/etc", "600\troot\troot\tregular file\t/etc/hosts")
    machine.say("stat -L -c %a", "\n".join(rows))


def confined(machine, wires):
    failing(machine, wires)
    machine.put("/sys/kernel/security/apparmor/profiles", "snap.x (complain)\n/usr/lib/erlang/**/beam.smp (enforce)\n")


def encrypted(machine, _):
    tls(machine)
    machine.put("/etc/rabbitmq/k.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n")


def epmd_refused(machine, wires):
    down(machine, wires)
    machine.say("systemctl show -p ActiveState,Result", "ActiveState=failed\nResult=exit-code\nExecMainStatus=217\n")


SPOILT = {
    **NODES,
    **{check: spoil_file(check) for check in CONFIGURED},
    **{check: spoil_unit(check) for check in UNIT_LIMITS},
    **{check: spoil_drop_in(check) for check in CHANGED},
    "RMQ-130": lambda machine, _: machine.say("stat -L", f"directory\t{CONF}\n"),
    "RMQ-139": lambda machine, wires: (failing(machine, wires), machine.put(ENV, "ulimit -v 1000\n")),
    "RMQ-144": no_variable,
    "RMQ-145": homeless,
    "RMQ-147": intercepted,
    "RMQ-151": lambda machine, _: machine.put("/var/lib/dpkg/statoverride", "nosuch root 755 /usr/sbin/rabbitmqctl\n"),
    "RMQ-150": two_erlangs,
    "RMQ-148": lambda machine, wires: (
        wires.closed.update({4369: "timed out"}),
        machine.say("ip -o link", "1: lo: <LOOPBACK> mtu 65536 state DOWN\n"),
    ),
    "RMQ-152": lambda machine, _: machine.say(
        "apt-config", "E: Syntax error /etc/apt/apt.conf.d/99x:1: Extra junk at end of file", 100
    ),
    "RMQ-155": closed_to_others,
    "RMQ-172": lambda machine, _: (
        machine.put("/etc/dpkg/dpkg.cfg.d/x", "force-confnwe\n"),
        machine.say("dpkg --print-architecture", "dpkg: error: unknown force/refuse option 'confnwe'\n", 2),
    ),
    "RMQ-157": epmd_refused,
    "RMQ-164": confined,
    "RMQ-165": lambda machine, wires: (
        machine.put(ENV, "MNESIA_BASE=/srv/data\n"),
        wires.answers.update({"erlang:node": Atom("rabbit@old")}),
    ),
    "RMQ-166": lambda machine, _: machine.put("/usr/local/sbin/rabbitmqctl", "#!/bin/sh\n"),
    "RMQ-158": encrypted,
    "RMQ-173": lambda _, wires: (
        said(wires, listeners=(NodeListener("amqp", "::", 5672), NodeListener("amqp/ssl", "::", 5671))),
        wires.handshakes.update({5671: "tlsv1 alert insufficient security"}),
    ),
    "RMQ-001": failing,
    "RMQ-002": down,
    "RMQ-003": masked,
    "RMQ-004": lambda machine, _: machine.change(UNIT, "UnitFileState=enabled", "UnitFileState=disabled"),
    "RMQ-007": lambda machine, _: machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
    "RMQ-008": outdated,
    "RMQ-011": lambda machine, _: machine.say("sh -c for path", "/var/lib/dpkg/lock is held by process 7 (apt-get)\n"),
    "RMQ-012": half_configured,
    "RMQ-013": lambda machine, _: machine.change(PACKAGES, "\tii \nerlang-base-hipe", "\thi \nerlang-base-hipe"),
    "RMQ-014": lambda machine, _: machine.change(
        "dpkg-query -W -f ${Package}\t${Depends}", "erlang-os-mon\t", "other\t"
    ),
    "RMQ-015": lambda machine, _: machine.say(
        "dpkg -V", "??5??????   /usr/lib/erlang/lib/stdlib-6.2/ebin/lists.beam\n"
    ),
    "RMQ-016": lambda machine, _: machine.say("apt-cache", "rabbitmq-server:\n  Candidate: 4.4.1-1\n"),
    "RMQ-018": lambda machine, wires: (
        down(machine, wires),
        machine.put("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755),
    ),
    "RMQ-029": lambda machine, _: source(machine, "deb https://packages.example.org/debian trixie main\n"),
    "RMQ-065": lambda machine, _: [machine.folders[folder].remove("erl") for folder in ("/usr/bin", "/bin")],
    "RMQ-021": twice,
    "RMQ-022": lambda machine, _: machine.say(
        "apt-get indextargets", "E: Malformed entry 1 in list file /x (URI)", 100
    ),
    "RMQ-026": lambda machine, wires: (
        machine.say("apt-config", 'Acquire::http::Proxy "http://127.0.0.1:3128";'),
        wires.closed.update({3128: "refused"}),
    ),
    "RMQ-027": lambda machine, _: (
        machine.put("/proc/net/route", "Iface\tDestination\tGateway\neth0\t00000000\t0101A8C0\n"),
        machine.say("getent ahosts packages", "", 2),
    ),
    "RMQ-030": lambda machine, _: (
        machine.put(ENV, "NODENAME=rabbit@mq-primary\n"),
        machine.say("getent ahosts mq", ""),
    ),
    "RMQ-031": lambda machine, _: machine.say("getent ahosts broker", "192.0.2.77 STREAM broker\n"),
    "RMQ-033": lambda machine, _: machine.say("df", "Avail IFree Inodes Mounted on\n1000 500 900 /var\n"),
    "RMQ-034": lambda machine, _: machine.put("/sys/fs/cgroup/memory.max", "134217728\n"),
    "RMQ-035": lambda machine, _: machine.files.update(
        {"/etc/hostname": dataclasses.replace(machine.files["/etc/hostname"], modified=NOW + 90000)}
    ),
    "RMQ-040": lambda machine, _: listening(machine, 4369),
    "RMQ-041": blocked,
    "RMQ-042": unregistered,
    "RMQ-043": lambda machine, wires: (wires.down(), listening(machine, 5672)),
    "RMQ-044": stray,
    "RMQ-050": lambda machine, _: machine.own(COOKIE, "root", 0o400),
    "RMQ-052": lambda _, wires: setattr(wires, "node", CookieError("not ours")),
    "RMQ-053": lambda machine, _: (
        machine.say("find /var/lib", f"root\troot\t750\td\t{DATA}\0"),
        machine.say("/usr/bin/setpriv", f"{DATA}\n"),
    ),
    "RMQ-054": lambda machine, _: (machine.lose("/var/log/rabbitmq"), setattr(machine, "peek", lambda _: None)),
    "RMQ-055": lambda machine, _: machine.put(
        "/proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var/lib/rabbitmq ext4 ro,relatime 0 0\n"
    ),
    "RMQ-056": renamed,
    "RMQ-059": torn,
    "RMQ-060": old_erlang,
    "RMQ-061": second_erlang,
    "RMQ-062": moved_away,
    "RMQ-063": lambda machine, _: machine.change(PACKAGES, "erlang-ssl\t1:27.3.4.1", "erlang-ssl\t1:26.2.1"),
    "RMQ-069": lambda machine, _: machine.say("/usr/bin/setpriv", f"{PLUGINS}\n"),
    "RMQ-075": lambda machine, _: machine.say("sh -n", "syntax error near fi", 2),
    "RMQ-080": lambda _, wires: said(wires, state=NodeState.STOPPED),
    "RMQ-081": lambda _, wires: said(wires, alarms=("memory",), memory=2, memory_limit=1),
    "RMQ-082": lambda _, wires: wires.closed.update({5672: "connection refused"}),
    "RMQ-083": lambda _, wires: wires.answers.update({"rabbit_maintenance:is_being_drained_local_read": Atom("true")}),
    "RMQ-084": lambda _, wires: said(wires, virtual_hosts_down=("orders",)),
    "RMQ-085": lambda _, wires: wires.answers.update(
        {"application:get_env": (Atom("ok"), []), "rabbit_access_control:check_user_pass_login": (Atom("ok"), 1)}
    ),
    "RMQ-086": lambda _, wires: wires.answers.update(
        {"rabbit_feature_flags:list": Map(((Atom("rabbitmq_4.0.0"), Map(((Atom("stability"), Atom("stable")),))),))}
    ),
    "RMQ-087": lambda _, wires: wires.answers.update(
        {"rabbit_deprecated_features:list": Map(((Atom("transient_nonexcl_queues"), Map(())),))}
    ),
    "RMQ-097": lambda machine, _: tls(machine, key="B"),
    "RMQ-098": lambda machine, _: tls(
        machine, "notBefore=Jan  1 00:00:00 2024 GMT\nnotAfter=Jan  1 00:00:00 2025 GMT\n"
    ),
}
"""For every check, what puts its fault into the recorded machine."""


@pytest.mark.parametrize("check", catalogue(), ids=lambda check: check.id)
def test_a_healthy_machine_gives_no_finding(check):
    machine = Plain()
    assert tuple(check.judge(scene(machine))) == ()


@pytest.mark.parametrize("check", catalogue(), ids=lambda check: check.id)
def test_a_fault_is_found_with_evidence_and_what_to_do(check):
    machine, wires = Plain(), Wires()
    SPOILT[check.id](machine, wires)
    found = tuple(check.judge(scene(machine, wires)))
    assert {finding.check for finding in found} == {check.id}
    for finding in found:
        assert finding.severity is not Severity.CRASH
        assert finding.evidence or finding.check == "RMQ-008"
        assert finding.hint
        assert not finding.summary.endswith(".")


def test_every_check_has_its_fault_here():
    assert SPOILT.keys() == {check.id for check in catalogue()}


def test_checks_only_look():
    words = {word for check in SPOILT for word in _programs(check)}
    assert words <= {
        *("apt-cache", "apt-config", "apt-get", "df", "dpkg", "dpkg-query", "find", "getent", "grep", "head", "ip"),
        *("ldd", "openssl", "sh", "stat", "systemctl", "tail", "/usr/bin/setpriv", "uname", "id"),
        *("dnf", "journalctl", "rpm", "sw_vers", "sysctl"),
    }


def _programs(check):
    machine, wires = Plain(), Wires()
    SPOILT[check](machine, wires)
    for each in catalogue():
        tuple(each.judge(scene(machine, wires)))
    return {line.split()[0] for line in machine.ran}


# ---- healthy all the same


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CONF, "heartbeat = 60\r\nlisteners.tcp.1 = 127.0.0.1:5672\r\n"),
        (
            CONF,
            "management.tcp.port = 15672\nvm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 50MB\n",
        ),
        (CONF, "log.file.level = info # for now\nlog.console = true\ncluster_partition_handling = pause_minority\n"),
        (CONF, "default_user = $(USER)\nchannel_max = $(MOST)\n"),
        (CONF, "listeners.tcp = none\nlisteners.ssl = none\n"),
        (
            "/etc/rabbitmq/advanced.config",
            "%% nothing yet\n[\n  {rabbit, [{tcp_listen_options, [{backlog, 128}]}]}\n].\n",
        ),
        (
            ENV,
            'SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +P 1048576 +stbt db +zdbbl 32000 +A64 -kernel x 1"\n#NODENAME=rabbit\n',
        ),
        (PLUGINS, "[rabbitmq_management,\n rabbitmq_management_agent].\n"),
        (PLUGINS, ""),
        (PLUGINS, "[]."),
        (COOKIE, "RECORDEDRECORDEDRECORDEDRECORDEDRECORDEDRECORDEDRECORDED="),
        ("/etc/apt/sources.list", "# deb http://dl.bintray.com/rabbitmq/debian bionic main\n"),
    ],
)
def test_what_looks_odd_and_is_fine_is_not_reported(path, text):
    machine = Plain()
    state = machine.files.get(path)
    machine.put(path, text, *((state.mode, state.owner, state.group) if state else ()))
    seen = scene(machine)
    assert [finding for check in catalogue() for finding in check.judge(seen)] == []


def test_a_machine_that_does_not_know_its_own_name_is_fine():
    machine = Plain()
    machine.say("getent ahosts broker", "", 2)
    assert [finding for check in catalogue() for finding in check.judge(scene(machine))] == []


@pytest.mark.parametrize(("version", "found"), [("1:30.0-1", ["RMQ-060"]), ("1:30.0+dfsg-1", [])])
def test_an_erlang_that_is_too_new_is_reported_unless_the_distribution_ships_it(version, found):
    machine = Plain()
    machine.change(PACKAGES, "1:27.3.4.1+dfsg-1+deb13u4", version)
    state = machine.files["/usr/lib/erlang/releases/27/OTP_VERSION"]
    machine.files["/usr/lib/erlang/releases/27/OTP_VERSION"] = dataclasses.replace(state, content=b"30.0\n")
    seen = scene(machine)
    assert [each.check for check in catalogue() if check.group == "erlang" for each in check.judge(seen)] == found


def test_a_machine_without_rabbitmq_is_fine_and_says_so():
    machine, wires = Plain(), Wires()
    nothing_here(machine, wires)
    (found,) = (finding for check in catalogue() for finding in check.judge(scene(machine, wires)))
    assert (found.check, found.severity, found.hint) == ("RMQ-100", Severity.INFO, "rmqsetup install")


def test_a_mac_whose_job_runs_is_fine():
    machine, wires = Plain(), Wires()
    mac(machine)
    seen = scene(machine, wires)
    found = [each for check in catalogue() if check.group in ("homebrew", "presence") for each in check.judge(seen)]
    assert found == []


def test_an_erlang_that_was_taken_from_under_homebrews_rabbitmq():
    machine = Plain()
    mac(machine)
    machine.folders["/opt/homebrew/Cellar"] = ["rabbitmq"]
    (found,) = (each for check in catalogue() if check.id == "RMQ-117" for each in check.judge(scene(machine)))
    assert (found.severity, found.hint) == (Severity.ERROR, "/opt/homebrew/bin/brew install erlang@28")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("macos-15-macports", ["RMQ-119"]),
        ("macos-26-arm64", ["RMQ-100"]),
        ("macos-14-arm64-installed", ["RMQ-118"]),
        ("rocky-9-bare", ["RMQ-100"]),
    ],
)
def test_what_is_said_of_recorded_machines(name, found):
    host, wires = Bystander(MACHINES / name), Wires()
    wires.known, wires.node = UnreachableError("nobody answers"), UnreachableError("nobody answers")
    seen = examine(Scene(host, find_layout(host, "/home/plain"), wires, NOW), catalogue())
    assert [each.check for each in seen.findings] == found


@pytest.mark.parametrize(
    ("job", "severity", "words"),
    [
        (
            "installed\nregistered /usr/local/opt/rabbitmq/sbin/rabbitmq-server\nnow=1\n",
            Severity.ERROR,
            "another Homebrew",
        ),
        ("installed\nregistered /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server\nnow=1\n", Severity.ERROR, "not run"),
        ("installed\nnow=1\n", Severity.INFO, "not registered"),
    ],
)
def test_a_job_of_homebrew_that_does_not_run(job, severity, words):
    machine, wires = Plain(), Wires()
    wires.down()
    mac(machine, job)
    seen = scene(machine, wires)
    found = [each for check in catalogue() if check.group in ("homebrew", "node") for each in check.judge(seen)]
    assert [(each.check, each.severity) for each in found] == [("RMQ-116", severity)]
    assert words in found[0].summary
    assert "/opt/homebrew/bin/brew services" in found[0].hint


@pytest.mark.parametrize(
    ("group", "seen", "typed"),
    [
        ("/docker/" + "ab" * 32, "docker abababababab", "docker exec -it abababababab rmqsetup doctor"),
        ("/user.slice/libpod-" + "ab" * 32 + ".scope", "podman ab", "podman exec -it abababababab rmqsetup"),
        ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-x.scope", "Kubernetes", "kubectl exec -it mq -- rmqsetup"),
        ("/lxc.payload.mq1/system.slice", "LXC mq1", "lxc-attach -n mq1 -- rmqsetup"),
        ("/", "a namespace of its own", "nsenter --target 4711 --all rmqsetup"),
    ],
)
def test_a_container_is_known_by_its_control_group(group, seen, typed):
    machine, wires = Plain(), Wires()
    enclosed(machine, wires)
    machine.say("sh -c for words in", f"process 4711\nhost mq\n0::{group}\n")
    (found,) = (each for check in catalogue() for each in check.judge(scene(machine, wires)))
    assert (found.check, found.severity) == ("RMQ-114", Severity.INFO)
    assert seen in found.evidence[0]
    assert typed in found.hint


def test_a_listener_is_open_where_it_takes_connections_at_one_of_its_addresses():
    class SixOnly(Wires):
        def opens(self, host, port):  # noqa: ARG002
            return "" if host == "::1" else "connection refused"

    assert examine(scene(Plain(), SixOnly()), chosen("RMQ-082")).findings == ()


def test_names_of_others_are_quoted_in_what_is_typed():
    machine, wires = Plain(), Wires()
    name = "a; touch /tmp/x"
    wires.node = dataclasses.replace(wires.node, virtual_hosts_down=(name,))
    (found,) = examine(scene(machine, wires), chosen("RMQ-084")).findings
    assert shlex.split(found.hint) == ["rabbitmqctl", "restart_vhost", "-p", name]
    enclosed(machine, wires)
    machine.say("sh -c for words in", "process 4711\nhost $(reboot)\n0::/kubepods.slice/pod1\n")
    (found,) = (each for check in catalogue() for each in check.judge(scene(machine, wires)))
    assert "kubectl exec -it POD -- rmqsetup doctor" in found.hint


def test_no_name_that_the_broker_s_user_chose_makes_a_row_of_its_own(tmp_path):
    """Root gives what a row names to that user: a name with a line end in it must not name /etc/shadow."""
    forged = tmp_path / "x\nroot\troot\t644\tf\t/etc/shadow"
    forged.parent.mkdir(parents=True)
    forged.touch()
    looks = SimpleNamespace(user="nobody", run=lambda *argv: LocalHost().run(Command(argv)))
    paths = [row[4] for row in directories._odd(looks, str(tmp_path))]
    assert str(forged) in paths
    assert all(path.startswith(str(tmp_path)) for path in paths)


def test_no_password_is_ever_shown():
    for check in ("RMQ-105", "RMQ-106", "RMQ-107"):
        machine, wires = Plain(), Wires()
        NODES[check](machine, wires)
        found = examine(scene(machine, wires), catalogue())
        told = repr(found.findings)
        assert check in told
        assert not re.search("8fK2|default_pass = (?!\\(not)|salt", told)


def test_passwords_matter_where_the_network_reaches():
    machine, wires = Plain(), Wires()
    NODES["RMQ-105"](machine, wires)
    wires.node = dataclasses.replace(wires.node, listeners=(NodeListener("amqp", "127.0.0.1", 5672),))
    assert [
        each for check in catalogue() if check.group == "users" for each in check.judge(scene(machine, wires))
    ] == []


def test_one_switched_off_on_purpose_is_a_remark():
    machine, wires = Plain(), Wires()
    down(machine, wires)
    machine.change(UNIT, "UnitFileState=enabled", "UnitFileState=disabled")
    found = [finding for check in catalogue() for finding in check.judge(scene(machine, wires))]
    assert [(finding.check, finding.severity) for finding in found] == [("RMQ-004", Severity.INFO)]


def test_a_plain_user_is_told_what_was_not_seen():
    machine, wires = Plain(), Wires()
    machine.put("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n")
    machine.files[COOKIE] = dataclasses.replace(machine.files[COOKIE], content=None)
    wires.node = CookieError("not ours")
    wires.known = (Registered("rabbit", 25672),)
    seen = scene(machine, wires)
    found = [finding.check for check in catalogue() for finding in check.judge(seen)]
    assert COOKIE in seen.unseen
    assert found == ["RMQ-052"] or found == []


RECORDED = sorted(path for path in MACHINES.iterdir() if path.is_dir())


class Bystander(ReplayHost):
    """A recorded machine that has nothing to say to commands nobody recorded."""

    def run(self, command, listener=None):
        if tuple(command.argv) in self._answers:
            return super().run(command, listener)
        return Result(command, NOT_FOUND, "", "not found")


@pytest.mark.parametrize(
    "folder", sorted(path for path in MACHINES.iterdir() if path.is_dir()), ids=lambda path: path.name
)
def test_no_check_breaks_on_any_recorded_machine(folder):
    host, wires = Bystander(folder), Wires()
    wires.known, wires.node = UnreachableError("nobody answers"), UnreachableError("nobody answers")
    found = examine(Scene(host, find_layout(host, "/home/plain"), wires, NOW), catalogue())
    assert [finding for finding in found.findings if finding.severity is Severity.CRASH] == []


@pytest.mark.parametrize(("present", "found"), [("3.12.14", ["RMQ-016"]), ("4.1.2", [])])
def test_what_dnf_would_do_to_a_broker_that_is_not_held(present, found):
    """Its lists are asked, which are there; a broker that is held costs no question."""

    class Loose(Bystander):
        def run(self, command, listener=None):
            if command.argv[0] == "dnf":
                return Result(command, 0, "rabbitmq-server\t4.2.9-1.el8\tmirror\n", "")
            answer = super().run(command, listener)
            if command.argv[:2] == ("rpm", "-qa"):
                return dataclasses.replace(answer, stdout=answer.stdout.replace("4.2.8", present))
            return answer

        def read(self, path):
            return None if path.startswith("/etc/dnf/") else super().read(path)

    host = Loose(MACHINES / "rocky-9-from-a-mirror")
    seen = Scene(host, SYSTEM, Wires(), NOW)
    assert [each.check for check in catalogue() if check.id == "RMQ-016" for each in check.judge(seen)] == found


KEYS = "/etc/rabbitmq/tls"


@pytest.mark.parametrize(
    ("rows", "seen", "hint", "cured"),
    [
        ("755\tr\tr\tdirectory\t/etc\n700\troot\troot\tdirectory\t/etc/rabbitmq/tls\n", KEYS, "chmod 750", True),
        (
            "755\tr\tr\tdirectory\t/etc\n710\troot\tkeys\tdirectory\t/etc/ssl\n",
            "/etc/ssl",
            "--groups keys",
            False,
        ),
        ("755\troot\troot\tdirectory\t/etc\n640\troot\troot\tregular file\t{}\n", f"{KEYS}/key.pem", "chmod 640", True),
    ],
)
def test_what_closes_a_private_key_is_named_and_opened_no_further_than_to_the_node(rows, seen, hint, cured):
    path, machine = f"{KEYS}/key.pem", Plain()
    machine.put(path, "", 0o640)
    machine.say("stat -L", rows.format(path))
    found = closed(scene(machine), path, machine.files[path], Right(path, "root", "rabbitmq", 0o640))
    assert found.seen.startswith(f"{seen}: owner root:")
    assert hint in found.hint
    assert bool(found.fix) == cured
    if cured:
        assert [right.mode & 0o007 for right in found.fix[0].rights] == [0]


def test_a_mask_is_no_unit_of_an_administrator():
    machine, wires = Plain(), Wires()
    masked(machine, wires)
    wires.down()
    machine.change(UNIT, "ActiveState=active", "ActiveState=inactive")
    assert "RMQ-132" not in {each.check for each in examine(scene(machine, wires), catalogue()).findings}


def test_data_that_are_gone_with_rabbitmq_are_not_missed():
    """A purge leaves the user; whether it may use a folder that is not there is no question."""
    machine, wires = Plain(), Wires()
    wires.down()
    machine.change(PACKAGES, "rabbitmq-server\t", "something-else\t")
    machine.change(UNIT, "LoadState=loaded", "LoadState=not-found")
    for folder in ("/var/lib/rabbitmq", "/usr/lib/rabbitmq", "/etc/rabbitmq", "/var/log/rabbitmq"):
        machine.lose(folder)
    machine.peek = lambda path: None if "rabbitmq" in path else Plain.peek(machine, path)
    machine.say("/usr/bin/setpriv", "/var/lib/rabbitmq\n")
    assert "RMQ-053" not in {each.check for each in examine(scene(machine, wires), catalogue()).findings}
