"""Faults of a broker on a Debian machine: how each is made, how it is taken back, and what a right diagnosis is.

Holding the doctor to them belongs to `test_doctor`.
"""

from __future__ import annotations

from dataclasses import dataclass

CONF = "/etc/rabbitmq/rabbitmq.conf"
ENV = "/etc/rabbitmq/rabbitmq-env.conf"
PLUGINS = "/etc/rabbitmq/enabled_plugins"
COOKIE = "/var/lib/rabbitmq/.erlang.cookie"
DATA = "/var/lib/rabbitmq/mnesia"
LOGS = "/var/log/rabbitmq"
LISTS = "/etc/apt/sources.list.d"
DROP_IN = "/etc/systemd/system/rabbitmq-server.service.d"
PLUGIN_FILES = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins"
MIRROR = "u=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources);"
"""Where this machine's packages come from."""
KEEP = "mkdir -p /root/kept && "
RELOAD = "systemctl daemon-reload"
UNDROP = f"rm -r {DROP_IN}; {RELOAD}"

LISTEN = (
    "setsid python3 -c 'import socket,time; s=socket.socket(socket.{family}); "
    's.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(("",{port})); s.listen(5); '
    'open("/run/holder","w").write("x"); time.sleep(10**6)\' </dev/null >/dev/null 2>&1 & echo $! >/root/holder; '
    "for i in $(seq 100); do test -e /run/holder && break; sleep 0.05; done"
)
UNLISTEN = "kill $(cat /root/holder); rm -f /run/holder"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that shell commands make and take back. `fix` is what `doctor --fix` is to be told to mend it.

    What cannot be taken back after it was mended is `lasting`. One that is `alone` hides others, or is hidden by them.
    """

    name: str
    check: str
    make: str
    undo: str
    fix: str = ""
    lasting: bool = False
    alone: bool = False


def _written(path: str, text: str) -> str:
    return f"printf '{text}' >{path}"


def _config(name: str, check: str, text: str, path: str = CONF) -> Fault:
    return Fault(name, check, _written(path, text), f"rm {path}", "all")


def _listed(name: str, text: str) -> str:
    return f'printf "{text}" >{LISTS}/{name}.list'


def _source(name: str, check: str, text: str, fix: str = "") -> Fault:
    return Fault(name, check, f"{MIRROR} {_listed('rabbitmq', text)}", f"rm -f {LISTS}/rabbitmq.list", fix)


def _taken(port: int, family: str = "AF_INET") -> Fault:
    return Fault(f"port {port} taken", "RMQ-043", LISTEN.format(family=family, port=port), UNLISTEN)


TLS = "/etc/rabbitmq/tls"
_CERTIFICATE = (
    f"mkdir -p {TLS} && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=broker {{dates}} -keyout {TLS}/key.pem "
    f"-out {TLS}/cert.pem 2>/dev/null && chown -R rabbitmq: {TLS} && chmod 640 {TLS}/key.pem && "
    + _written(
        CONF,
        "\\n".join(
            (
                "listeners.ssl.default = 5671",
                *(
                    f"ssl_options.{kind} = {TLS}/{name}.pem"
                    for kind, name in (("cacertfile", "cert"), ("certfile", "cert"), ("keyfile", "key"))
                ),
                "",
            )
        ),
    )
)
UNTLS = f"rm -r {TLS} {CONF}"


def certificate(dates: str = "-days 30") -> str:
    """Return what makes a certificate with its key, and has the broker listen for TLS with them."""
    return _CERTIFICATE.format(dates=dates)


def _tls(name: str, check: str, then: str = "true", dates: str = "-days 30", fix: str = "") -> Fault:
    return Fault(name, check, f"{certificate(dates)} && {then}", UNTLS, fix)


RUNNING = (
    Fault(
        "package manager locked",
        "RMQ-011",
        'setsid python3 -c \'import fcntl,time; f=open("/var/lib/dpkg/lock-frontend","w"); '
        "fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(10**6)' </dev/null >/dev/null 2>&1 & "
        "echo $! >/root/holder; sleep 0.3",
        "kill $(cat /root/holder)",
    ),
    Fault(
        "dpkg interrupted",
        "RMQ-012",
        "sed -i '/^Package: rabbitmq-server$/,/^$/s/^Status: .*/Status: install ok half-configured/' "
        "/var/lib/dpkg/status && mkdir -p /var/lib/dpkg/updates && : >/var/lib/dpkg/updates/0001",
        "rm -f /var/lib/dpkg/updates/0001; sed -i '/^Package: rabbitmq-server$/,/^$/s/^Status: .*/Status: install ok "
        "installed/' /var/lib/dpkg/status",
        "safe",
        lasting=True,
    ),
    Fault("a part of Erlang held", "RMQ-013", "apt-mark hold erlang-base", "apt-mark unhold erlang-base", "RMQ-013"),
    _source(
        "retired repository",
        "RMQ-020",
        "deb http://dl.bintray.com/rabbitmq-erlang/debian bionic erlang-21.x\\n",
        "safe",
    ),
    Fault(
        "one source with two keys",
        "RMQ-021",
        f"cp /usr/share/keyrings/debian-archive-keyring.gpg /etc/apt/keyrings/other.gpg; {MIRROR} "
        + _listed("twice", "deb [signed-by=/etc/apt/keyrings/other.gpg] $u trixie main\\n"),
        f"rm {LISTS}/twice.list /etc/apt/keyrings/other.gpg",
        "all",
    ),
    _source("malformed source", "RMQ-022", "deb [signed-by http://packages.example.org/debian\\n", "all"),
    _source(
        "keyring missing",
        "RMQ-023",
        "deb [signed-by=/usr/share/keyrings/gone.gpg] https://packages.example.org/debian trixie main\\n",
        "all",
    ),
    Fault(
        "index from the future",
        "RMQ-024",
        "mkdir -p /srv/mirror && printf 'Origin: mirror\\nDate: Tue, 01 Jan 2069 00:00:00 UTC\\n' >/srv/mirror/Release"
        f" && printf 'deb [trusted=yes] file:/srv/mirror ./\\n' >{LISTS}/mirror.list",
        f"rm -r /srv/mirror {LISTS}/mirror.list",
    ),
    Fault(
        "dead proxy",
        "RMQ-026",
        "printf 'Acquire::http::Proxy \"http://127.0.0.1:3128\";\\n' >/etc/apt/apt.conf.d/95proxies",
        "rm /etc/apt/apt.conf.d/95proxies",
        "all",
    ),
    _source("suite that is not there", "RMQ-028", "deb $u noble main\\n", "all"),
    Fault(
        "cookie changed behind the node",
        "RMQ-052",
        f"{KEEP}cp -p {COOKIE} /root/kept/ && echo OTHEROTHER >{COOKIE}",
        f"cat /root/kept/.erlang.cookie >{COOKIE}",
    ),
    Fault(
        "service not started at boot",
        "RMQ-004",
        "systemctl -q disable rabbitmq-server",
        "systemctl -q enable rabbitmq-server",
        "safe",
    ),
    Fault(
        "memory alarm",
        "RMQ-081",
        "rabbitmqctl -q set_vm_memory_high_watermark absolute 20MB && sleep 2",
        "rabbitmqctl -q set_vm_memory_high_watermark 0.6 && sleep 2",
    ),
    Fault("listeners suspended", "RMQ-082", "rabbitmqctl -q suspend_listeners", "rabbitmqctl -q resume_listeners"),
    Fault(
        "virtual host down",
        "RMQ-084",
        "rabbitmqctl -q add_vhost orders && sleep 1 && rabbitmqctl -q eval "
        "'rabbit_vhost_sup_sup:delete_on_all_nodes(<<\"orders\">>).'",
        "rabbitmqctl -q delete_vhost orders",
    ),
    Fault(
        "guest open to the network",
        "RMQ-085",
        "rabbitmqctl -q eval 'application:set_env(rabbit, loopback_users, []).'",
        "rabbitmqctl -q eval 'application:set_env(rabbit, loopback_users, [<<\"guest\">>]).'",
    ),
    Fault(
        "deprecated feature in use",
        "RMQ-087",
        'rabbitmqctl -q eval \'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>,queue,<<"tmp.events">>), false, false, '
        '[], none, <<"guest">>).\'',
        "rabbitmqctl -q delete_queue tmp.events",
    ),
    Fault("application stopped", "RMQ-080", "rabbitmqctl -q stop_app", "rabbitmqctl -q start_app"),
    Fault(
        "data of another name",
        "RMQ-056",
        f"cp -a {DATA}/rabbit@broker {DATA}/rabbit@old",
        f"rm -r {DATA}/rabbit@old",
        "all",
    ),
    _tls("certificate expired", "RMQ-098", dates="-not_before 20240101000000Z -not_after 20250101000000Z"),
)
"""Faults of a machine whose broker runs, most of which it survives."""

STOPPED = (
    Fault("service stopped", "RMQ-002", "true", "true", "safe"),
    Fault(
        "unit masked",
        "RMQ-003",
        "systemctl -q mask rabbitmq-server",
        "systemctl -q unmask rabbitmq-server",
        "safe",
        alone=True,
    ),
    Fault(
        "user missing",
        "RMQ-007",
        "cp -p /etc/passwd /etc/shadow /root/; sed -i /^rabbitmq:/d /etc/passwd",
        "cp -p /root/passwd /root/shadow /etc/",
        "all",
        alone=True,
    ),
    Fault(
        "working directory missing",
        "RMQ-010",
        f"mkdir -p {DROP_IN}; printf '[Service]\\nWorkingDirectory=/srv/nowhere\\n' >{DROP_IN}/x.conf; {RELOAD}",
        UNDROP,
        "all",
    ),
    Fault(
        "few open files",
        "RMQ-005",
        f"mkdir -p {DROP_IN}; printf '[Service]\\nLimitNOFILE=256\\n' >{DROP_IN}/x.conf; {RELOAD}",
        UNDROP,
        "all",
    ),
    Fault(
        "little memory",
        "RMQ-006",
        f"mkdir -p {DROP_IN}; printf '[Service]\\nMemoryMax=70M\\nLimitAS=900M\\n' >{DROP_IN}/x.conf; {RELOAD}",
        UNDROP,
        "all",
    ),
    Fault(
        "no time to start",
        "RMQ-009",
        f"mkdir -p {DROP_IN}; printf '[Service]\\nTimeoutStartSec=1\\n' >{DROP_IN}/x.conf; {RELOAD}",
        UNDROP,
        "all",
    ),
    Fault("cookie open to others", "RMQ-050", f"chmod 644 {COOKIE}", f"chmod 400 {COOKIE}", "safe"),
    Fault("cookie of root", "RMQ-050", f"chown root: {COOKIE}", f"chown rabbitmq: {COOKIE}", "safe"),
    Fault(
        "cookie empty",
        "RMQ-051",
        f"{KEEP}cp -p {COOKIE} /root/kept/ && : >{COOKIE}",
        f"cat /root/kept/.erlang.cookie >{COOKIE}",
        "all",
    ),
    Fault("data of root", "RMQ-053", f"chown -R root: {DATA}", f"chown -R rabbitmq: {DATA}", "safe"),
    Fault("log directory missing", "RMQ-054", f"mv {LOGS} /root/logs", f"mv /root/logs {LOGS}", "safe"),
    Fault(
        "log of root",
        "RMQ-054",
        f"chown root: {LOGS}/rabbit@broker.log; chmod 600 {LOGS}/rabbit@broker.log",
        f"chown rabbitmq: {LOGS}/rabbit@broker.log; chmod 640 {LOGS}/rabbit@broker.log",
        "safe",
    ),
    Fault(
        "data read-only",
        "RMQ-055",
        "mount --bind /var/lib/rabbitmq /var/lib/rabbitmq && mount -o remount,bind,ro /var/lib/rabbitmq",
        "umount /var/lib/rabbitmq",
    ),
    Fault(
        "disk full",
        "RMQ-033",
        "mkdir -p /root/m && mount -t tmpfs -o size=24m,mode=755 tmpfs /root/m && chown rabbitmq: /root/m && cp -a "
        "/var/lib/rabbitmq/. /root/m/ && mount --bind /root/m /var/lib/rabbitmq && "
        "(dd if=/dev/zero of=/var/lib/rabbitmq/fill bs=1M 2>/dev/null; true)",
        "umount /var/lib/rabbitmq /root/m",
    ),
    Fault(
        "feature flags torn",
        "RMQ-057",
        f"{KEEP}cp -p {DATA}/rabbit@broker-feature_flags /root/kept/ && "
        f"printf '[a,\\n' >{DATA}/rabbit@broker-feature_flags",
        f"cat /root/kept/rabbit@broker-feature_flags >{DATA}/rabbit@broker-feature_flags",
        "all",
    ),
    Fault(
        "feature flags of an old series",
        "RMQ-058",
        f"printf '[quorum_queue,user_limits].\\n' >{DATA}/rabbit@broker-feature_flags",
        f"cat /root/kept/rabbit@broker-feature_flags >{DATA}/rabbit@broker-feature_flags",
        "all",
    ),
    Fault(
        "metadata truncated",
        "RMQ-059",
        f"cp -p {DATA}/rabbit@broker/schema.DAT /root/kept/ && "
        f"head -c 5000 /root/kept/schema.DAT >{DATA}/rabbit@broker/schema.DAT",
        f"cat /root/kept/schema.DAT >{DATA}/rabbit@broker/schema.DAT",
        "all",
    ),
    Fault(
        "Raft log overwritten",
        "RMQ-059",
        f"f=$(ls {DATA}/rabbit@broker/quorum/*/*.wal | head -1); echo $f >/root/kept/wal; cp -p $f /root/kept/w; "
        "printf RAWAX | dd of=$f conv=notrunc 2>/dev/null",
        "cat /root/kept/w >$(cat /root/kept/wal)",
        "all",
    ),
    Fault(
        "name leads elsewhere",
        "RMQ-031",
        "cp /etc/hosts /root/hosts; sed 's/^.* broker$/192.0.2.77 broker/' /root/hosts >/etc/hosts",
        "cat /root/hosts >/etc/hosts",
        "all",
    ),
    Fault(
        "node of an unknown host",
        "RMQ-030",
        f"{KEEP}cp -p {ENV} /root/kept/ && echo NODENAME=rabbit@mq-primary.invalid >>{ENV} && "
        f"echo USE_LONGNAME=true >>{ENV}",
        f"cat /root/kept/rabbitmq-env.conf >{ENV}",
    ),
    Fault(
        "long name, short names",
        "RMQ-032",
        f"echo NODENAME=rabbit@broker.example.org >>{ENV}",
        f"cat /root/kept/rabbitmq-env.conf >{ENV}",
        "all",
        alone=True,
    ),
    Fault(
        "environment that is no shell",
        "RMQ-075",
        f"echo 'if NODENAME=rabbit' >>{ENV}",
        f"cat /root/kept/rabbitmq-env.conf >{ENV}",
        "all",
    ),
    Fault(
        "unknown flag of Erlang",
        "RMQ-076",
        f"echo 'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=\"+S 4:4 +hipe true\"' >>{ENV}",
        f"cat /root/kept/rabbitmq-env.conf >{ENV}",
        "all",
    ),
    Fault("configuration closed", "RMQ-070", f"echo 'heartbeat = 30' >{CONF}; chmod 600 {CONF}", f"rm {CONF}", "safe"),
    _config("configuration is no setting", "RMQ-071", "heartbeat 30\\n"),
    _config("unknown key", "RMQ-072", "heartbeat = 60\\nvm_memory_high_watermark_relative = 0.5\\n"),
    _config("bad value", "RMQ-073", "channel_max = lots\\n"),
    _config(
        "advanced.config without full stop",
        "RMQ-074",
        "[\\n  {rabbit, [{tcp_listen_options, [{backlog, 128}]}]}\\n]\\n",
        "/etc/rabbitmq/advanced.config",
    ),
    Fault(
        "definitions that are no JSON",
        "RMQ-077",
        _written(CONF, "load_definitions = /etc/rabbitmq/d.json\\n")
        + "; echo '{ \"vhosts\": [ {}, ] }' >/etc/rabbitmq/d.json",
        f"rm {CONF} /etc/rabbitmq/d.json",
        "all",
    ),
    Fault(
        "list of plugins without full stop",
        "RMQ-078",
        f"echo '[rabbitmq_management,rabbitmq_prometheus]' >{PLUGINS}",
        f"rm -f {PLUGINS}",
        "safe",
    ),
    Fault(
        "plugin that is not installed",
        "RMQ-079",
        f"echo '[rabbitmq_delayed_message_exchange,rabbitmq_management].' >{PLUGINS}",
        f"rm -f {PLUGINS}",
        "RMQ-079",
    ),
    _tls("certificate missing", "RMQ-096", f"rm {TLS}/cert.pem"),
    _tls("private key closed", "RMQ-096", f"chown root: {TLS}/key.pem && chmod 600 {TLS}/key.pem"),
    _tls("keys in a closed folder", "RMQ-096", f"chown root: {TLS} && chmod 700 {TLS}", fix="safe"),
    _tls("private key of another certificate", "RMQ-097", f"openssl genrsa -out {TLS}/key.pem 2048 2>/dev/null"),
    Fault(
        "package of Erlang removed by force",
        "RMQ-014",
        "cd /root && apt-get -q download erlang-os-mon && dpkg --remove --force-depends erlang-os-mon",
        "dpkg --force-confold -i /root/erlang-os-mon_*.deb",
    ),
    Fault(
        "application of Erlang moved away",
        "RMQ-062",
        "mv /usr/lib/erlang/lib/ssl-* /root/",
        "mv /root/ssl-* /usr/lib/erlang/lib/",
    ),
    Fault(
        "part of RabbitMQ moved away",
        "RMQ-062",
        f"d=$(ls -d {PLUGIN_FILES}/ra-*); dirname $d >/root/plugins; mv $d /root/",
        "mv /root/ra-* $(cat /root/plugins)/",
    ),
    Fault(
        "cryptography emptied",
        "RMQ-064",
        "f=$(ls /usr/lib/erlang/lib/crypto-*/priv/lib/crypto.so); cp -p $f /root/crypto.so; : >$f",
        "cat /root/crypto.so >$(ls /usr/lib/erlang/lib/crypto-*/priv/lib/crypto.so)",
    ),
    Fault(
        "packaged file changed",
        "RMQ-015",
        "f=$(ls /usr/lib/erlang/lib/stdlib-*/ebin/lists.beam); cp -p $f /root/lists.beam; echo >>$f",
        "cat /root/lists.beam >$(ls /usr/lib/erlang/lib/stdlib-*/ebin/lists.beam)",
    ),
    Fault(
        "old Erlang first on PATH",
        "RMQ-060",
        "mkdir -p /opt/otp/releases/25 && echo '13.2 25' >/opt/otp/releases/start_erl.data && echo 25.3.2 "
        ">/opt/otp/releases/25/OTP_VERSION && printf '#!/bin/sh\\nROOTDIR=/opt/otp\\n' >/usr/local/bin/erl && "
        "chmod 755 /usr/local/bin/erl",
        "rm -r /opt/otp /usr/local/bin/erl",
    ),
    _taken(5672, "AF_INET6"),
    _taken(25672),
    Fault(
        "port of the management UI taken",
        "RMQ-043",
        f"echo '[rabbitmq_management].' >{PLUGINS}; {LISTEN.format(family='AF_INET', port=15672)}",
        f"rm -f {PLUGINS}; {UNLISTEN}",
    ),
    Fault(
        "port of epmd taken",
        "RMQ-040",
        "systemctl stop epmd.socket epmd.service; " + LISTEN.format(family="AF_INET6", port=4369),
        f"{UNLISTEN}; systemctl start epmd.socket",
    ),
)
"""Faults that keep a broker from starting, made while it is stopped: nothing but looking tells them apart."""
