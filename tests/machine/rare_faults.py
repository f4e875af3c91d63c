"""More faults of a broker on a Debian machine, of the kinds that nobody expects; `faults` has those that are common.

Holding the doctor to them belongs to `test_doctor`.
"""

from __future__ import annotations

from faults import CONF, COOKIE, DATA, DROP_IN, ENV, LISTS, LOGS, PLUGINS, RELOAD, UNDROP, Fault

KEYRING = "/etc/apt/keyrings/mirror.gpg"
EXPIRED = (
    "mDMEZZIAgBYJKwYBBAHaRw8BAQdAtVSfa1QxWnPqycAT+xvnBWqr6PlMngRPL/wIKAdfS7K0Em1pcnJvckBleGFtcGxlLm9yZ4iWBBMW"
    "CAA+FiEEv9yhfN3l5IKdQXr7ahIRIxx7WDcFAmWSAIACGwMFCQBPwsAFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQahIRIxx7WDdm"
    "uwD+NMxi6tXJUciznebM6bP0tW94H/LUu6OtlsNjhRDPmkIBAK8f8/copH9vxuebxoiNPjflAij0juJz+dvdTtUQZ64P"
)
"""A key that gpg made on 2024-01-01 and that expired two months later, in base64."""


def _conf(name: str, check: str, text: str, fix: str = "all") -> Fault:
    path = f"/etc/rabbitmq/conf.d/{name.replace(' ', '-')}.conf"
    return Fault(name, check, f"mkdir -p /etc/rabbitmq/conf.d; printf '{text}' >{path}", f"rm {path}", fix)


def _env(name: str, check: str, text: str, fix: str = "all", *, alone: bool = False) -> Fault:
    kept = f"/root/{name.replace(' ', '-')}"
    return Fault(name, check, f"cp -p {ENV} {kept}; printf '{text}' >>{ENV}", f"cp -p {kept} {ENV}", fix, alone=alone)


def _unit(name: str, check: str, text: str) -> Fault:
    path = f"{DROP_IN}/{name.replace(' ', '-')}.conf"
    make = f"mkdir -p {DROP_IN}; printf '{text}' >{path}; {RELOAD}"
    return Fault(name, check, make, f"rm {path}; rmdir --ignore-fail-on-non-empty {DROP_IN}; {RELOAD}", "all")


RARE = (
    _conf("byte order mark", "RMQ-131", "\\357\\273\\277heartbeat = 60\\n", "safe"),
    _conf("UTF-16", "RMQ-131", "h\\0e\\0a\\0r\\0t\\0b\\0e\\0a\\0t\\0 \\0=\\0 \\0006\\0000\\0\\n\\0", "safe"),
    _conf("no-break spaces", "RMQ-131", "heartbeat\\302\\240=\\302\\24060\\n", "safe"),
    _conf("Latin-1 in a comment", "RMQ-131", "# caf\\351\\nheartbeat = 60\\n", "safe"),
    _conf("key in another case", "RMQ-072", "Heartbeat = 60\\n"),
    _conf("colon for an equals sign", "RMQ-071", "heartbeat: 60\\n"),
    _conf("number in quotes", "RMQ-073", 'vm_memory_high_watermark.relative = "0.5"\\n'),
    _conf("share of more than all", "RMQ-073", "vm_memory_high_watermark.relative = 5\\n"),
    _conf("share without a decimal point", "RMQ-073", "vm_memory_high_watermark.relative = 1\\n"),
    _conf("switch that is none", "RMQ-073", "log.console = yes\\n"),
    _conf("variable that nobody sets", "RMQ-144", "default_pass = $(NOSUCH)\\n"),
    _conf("port of root", "RMQ-140", "listeners.tcp.default = 80\\n"),
    _conf("port beyond the last", "RMQ-140", "listeners.tcp.9 = 99999\\n"),
    _conf("one port twice", "RMQ-140", "listeners.tcp.1 = 0.0.0.0:5672\\nlisteners.tcp.2 = 127.0.0.1:5672\\n"),
    _conf("log in a folder that is not there", "RMQ-141", "log.file = /srv/nowhere/x.log\\n"),
    _conf("backend without its plugin", "RMQ-142", "auth_backends.1 = ldap\\n"),
    _conf("backend that is none", "RMQ-142", "auth_backends.1 = ldapp\\n"),
    _conf("discovery without its plugin", "RMQ-142", "cluster_formation.peer_discovery_backend = consul\\n"),
    _conf("TLS without a certificate", "RMQ-096", "listeners.ssl.default = 5671\\n"),
    Fault("folder for a file", "RMQ-130", f"mkdir {CONF}", f"rmdir {CONF}", "all"),
    Fault("link that leads nowhere", "RMQ-130", f"ln -s /srv/gone {PLUGINS}", f"rm {PLUGINS}", "all"),
    Fault(
        "folder for the cookie",
        "RMQ-130",
        f"mkdir -p /root/kept; mv {COOKIE} /root/kept/cookie; mkdir {COOKIE}",
        f"rm -rf {COOKIE}; mv /root/kept/cookie {COOKIE}",
        "all",
    ),
    Fault(
        "data on a disk that is not there",
        "RMQ-130",
        f"mv {DATA} /root/mnesia; ln -s /srv/gone {DATA}",
        f"rm {DATA}; mv /root/mnesia {DATA}",
    ),
    Fault("log is a file", "RMQ-130", f"mv {LOGS} /root/logs; : >{LOGS}", f"rm {LOGS}; mv /root/logs {LOGS}"),
    _env("home changed", "RMQ-143", "unset HOME\\n"),
    _env("blanks around an equals sign", "RMQ-143", "NODENAME = rabbit\\n"),
    _env("start script that ends", "RMQ-143", "exit 3\\n"),
    _env("value of two words", "RMQ-143", "SERVER_ADDITIONAL_ERL_ARGS=-kernel foo\\n"),
    _env("lines of Windows", "RMQ-131", "NODENAME=rabbit@broker\\r\\n", ""),
    _env("data where nobody may write", "RMQ-141", "MNESIA_BASE=/srv/nowhere\\n", alone=True),
    _env("port of AMQP for other nodes", "RMQ-140", "DIST_PORT=5672\\n"),
    _env("address of another machine", "RMQ-045", "NODE_IP_ADDRESS=192.0.2.9\\n"),
    _unit("another user", "RMQ-132", "[Service]\\nUser=nobody\\n"),
    _unit("group that is not there", "RMQ-132", "[Service]\\nGroup=nosuch\\n"),
    _unit("network of its own", "RMQ-133", "[Service]\\nPrivateNetwork=yes\\n"),
    _unit("system read-only for it", "RMQ-133", "[Service]\\nProtectSystem=strict\\n"),
    _unit("few threads", "RMQ-133", "[Service]\\nLimitNPROC=5\\n"),
    _unit("few system calls", "RMQ-133", "[Service]\\nSystemCallFilter=@basic-io\\n"),
    _unit("another program", "RMQ-134", "[Service]\\nExecStart=\\nExecStart=/bin/true\\n"),
    _unit("two programs", "RMQ-134", "[Service]\\nExecStart=/bin/true\\n"),
    _unit("needs what is not there", "RMQ-138", "[Unit]\\nRequires=nowhere.service\\n"),
    _unit("condition that does not hold", "RMQ-138", "[Unit]\\nConditionPathExists=/srv/nowhere\\n"),
    _unit("home in the unit", "RMQ-136", "[Service]\\nEnvironment=HOME=/srv/nowhere\\n"),
    _unit("PATH without Erlang", "RMQ-136", "[Service]\\nEnvironment=PATH=/opt/none\\n"),
    Fault("loopback down", "RMQ-148", "ip link set lo down", "ip link set lo up"),
    Fault(
        "Erlang that cannot be executed",
        "RMQ-065",
        "chmod -x /usr/lib/erlang/erts-*/bin/beam.smp",
        "chmod +x /usr/lib/erlang/erts-*/bin/beam.smp",
        "safe",
    ),
    Fault(
        "Erlang that is a link to nowhere",
        "RMQ-065",
        "mv /usr/bin/erl /root/erl; ln -s /srv/gone /usr/bin/erl",
        "rm /usr/bin/erl; mv /root/erl /usr/bin/erl",
    ),
    Fault(
        "data on a read-only mount of their own",
        "RMQ-055",
        f"mount --bind {DATA} {DATA}; mount -o remount,bind,ro {DATA}",
        f"umount {DATA}",
    ),
    Fault(
        "home of the user",
        "RMQ-145",
        "cp -p /etc/passwd /root/passwd; sed -i 's#:/var/lib/rabbitmq:#:/nonexistent:#' /etc/passwd",
        "cp -p /root/passwd /etc/passwd",
        "all",
        alone=True,
    ),
    Fault(
        "group of the user",
        "RMQ-145",
        "cp -p /etc/group /root/group; cp -p /etc/gshadow /root/; sed -i /^rabbitmq:/d /etc/group /etc/gshadow",
        "cp -p /root/group /etc/group; cp -p /root/gshadow /etc/",
        "all",
        alone=True,
    ),
)
"""Made while the broker is stopped, as those that keep it from starting are."""

REPOS = "/etc/yum.repos.d"
RPM = (
    Fault(
        "retired repository",
        "RMQ-020",
        f"printf '[old]\\nname=old\\nbaseurl=https://dl.bintray.com/rabbitmq/rpm\\nenabled=1\\n' >{REPOS}/old.repo",
        f"rm {REPOS}/old.repo",
        "safe",
    ),
    Fault(
        "key of a repository missing",
        "RMQ-023",
        f"printf '[x]\\nname=x\\nbaseurl=https://a.example.org/rabbitmq\\ngpgkey=file:///etc/gone\\n' >{REPOS}/x.repo",
        f"rm {REPOS}/x.repo",
        "all",
    ),
    Fault(
        "one repository with two keys",
        "RMQ-021",
        f'for i in 1 2; do printf "[y$i]\\nname=y\\nbaseurl=https://packages.example.org/y\\ngpgkey=https://a/$i\\n"; '
        f"done >{REPOS}/y.repo",
        f"rm {REPOS}/y.repo",
        "all",
    ),
    Fault(
        "lock of dnf",
        "RMQ-011",
        "mkdir -p /var/cache/dnf; setsid sleep 1000 </dev/null >/dev/null 2>&1 & "
        "echo $! >/var/cache/dnf/metadata_lock.pid",
        "kill $(cat /var/cache/dnf/metadata_lock.pid); rm /var/cache/dnf/metadata_lock.pid",
    ),
)
"""Of a machine with packages of rpm, whose broker runs."""

SOURCES = (
    _conf("key out of use", "RMQ-146", "hipe_compile = false\\n", "safe"),
    Fault(
        "signing key expired",
        "RMQ-023",
        f"echo {EXPIRED} | base64 -d >{KEYRING}; printf "
        f"'deb [signed-by={KEYRING}] https://packages.example.org/debian trixie main\\n' >{LISTS}/expired.list",
        f"rm {KEYRING} {LISTS}/expired.list",
        "all",
    ),
    Fault(
        "web page for a key",
        "RMQ-023",
        f"echo '<html>404</html>' >{KEYRING}; printf "
        f"'deb [signed-by={KEYRING}] https://packages.example.org/debian trixie main\\n' >{LISTS}/page.list",
        f"rm {KEYRING} {LISTS}/page.list",
        "all",
    ),
    Fault(
        "keyring of Team RabbitMQ missing",
        "RMQ-023",
        "printf 'deb [signed-by=/usr/share/keyrings/com.rabbitmq.team.gpg] "
        f"https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie trixie main\\n' >{LISTS}/team.list",
        f"rm -f {LISTS}/team.list /usr/share/keyrings/com.rabbitmq.team.gpg",
    ),
    Fault(
        "somebody between",
        "RMQ-147",
        "mkdir -p /root/between; cd /root/between; openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "
        "'/O=Somebody/CN=between' -addext subjectAltName=DNS:between.example.org -keyout k.pem -out c.pem 2>/dev/null; "
        "echo '127.0.0.1 between.example.org' >>/etc/hosts; setsid openssl s_server -quiet -accept 443 -key k.pem "
        f"-cert c.pem </dev/null >/dev/null 2>&1 & echo $! >/root/holder; printf "
        f"'deb https://between.example.org/debian trixie main\\n' >{LISTS}/between.list; sleep 0.7",
        "kill $(cat /root/holder); sed '/between/d' /etc/hosts >/root/hosts; cat /root/hosts >/etc/hosts; "
        f"rm -r /root/between {LISTS}/between.list",
    ),
    Fault(
        "override for a user that is gone",
        "RMQ-151",
        "cd /var/lib/dpkg; cp -p statoverride /root/; echo 'nosuch root 755 /usr/sbin/rabbitmqctl' >>statoverride",
        "cp -p /root/statoverride /var/lib/dpkg/statoverride",
        "all",
    ),
    Fault(
        "keyring that apt may not read",
        "RMQ-023",
        f"cp /usr/share/keyrings/debian-archive-keyring.gpg {KEYRING}.x.gpg; chmod 600 {KEYRING}.x.gpg; printf "
        f"'deb [signed-by={KEYRING}.x.gpg] https://packages.example.org/debian trixie main\\n' >{LISTS}/closed.list",
        f"rm {KEYRING}.x.gpg {LISTS}/closed.list",
    ),
    Fault(
        "preference against everything of Erlang",
        "RMQ-017",
        "printf 'Package: erlang*\\nPin: release *\\nPin-Priority: -10\\n' >/etc/apt/preferences.d/x",
        "rm /etc/apt/preferences.d/x",
        "all",
    ),
    Fault(
        "limit that systemd passes over",
        "RMQ-135",
        f"mkdir -p {DROP_IN}; printf 'LimitNOFILE=5\\n' >{DROP_IN}/x.conf; {RELOAD}",
        UNDROP,
    ),
)
"""Made while the broker runs: it survives them."""
