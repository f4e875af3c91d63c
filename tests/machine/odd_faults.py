"""Faults of a broker on a Debian machine that an administrator of the machine makes, not one of the broker.

Those of units and settings are in `rare_faults`, those that are common in `faults`; holding the doctor to them belongs
to `test_doctor`.
"""

from __future__ import annotations

from faults import CONF, DATA, LISTEN, PLUGINS, TLS, UNLISTEN, UNTLS, Fault, certificate
from rare_faults import _conf, _env, _unit

ADVANCED = "/etc/rabbitmq/advanced.config"
HOLD = "echo $! >/root/holder; for i in $(seq 100); do test -e /run/holder && break; sleep 0.05; done"
HELD = "open('/run/holder','w').write('x'); time.sleep(10**6)\" </dev/null >/dev/null 2>&1 & " + HOLD
CONNECTED = (
    "setsid python3 -c \"import socket,struct,time; s=socket.socket(); s.setsockopt(1,13,struct.pack('ii',1,0)); "
    "s.bind(('0.0.0.0',25672)); "
    f"s.connect(('127.0.0.1',4369)); {HELD}"
)
"""A connection that happens to have the port on which the node is to listen for others; nothing lingers after it."""

NAMED = (
    "setsid python3 -c \"import socket,struct,time; s=socket.create_connection(('127.0.0.1',4369)); n=b'rabbit'; "
    "b=b'x'+struct.pack('>HBBHHH',40000,77,0,6,5,len(n))+n+struct.pack('>H',0); "
    f"s.sendall(struct.pack('>H',len(b))+b); s.recv(9); {HELD}"
)
"""Somebody who has registered with epmd under the name of the node, and listens nowhere."""

ATTRIBUTE = (
    "import fcntl,os,struct,sys; f=os.open(sys.argv[1],os.O_RDONLY); a=bytearray(8); fcntl.ioctl(f,0x80086601,a); "
    "v=struct.unpack('l',a)[0]; fcntl.ioctl(f,0x40086602,struct.pack('l',v^0x10))"
)
"""What `chattr` does to the attribute of the immutable, for a machine that has no such command."""


def _mode(name: str, path: str, closed: str, right: str, fix: str = "safe") -> Fault:
    return Fault(name, "RMQ-155", f"chmod {closed} {path}", f"chmod {right} {path}", fix)


def _defined(name: str, text: str, fix: str = "") -> Fault:
    setting = f"/etc/rabbitmq/conf.d/{name.replace(' ', '-')}.conf"
    path = f"/etc/rabbitmq/{name.replace(' ', '-')}.json"
    make = f"mkdir -p /etc/rabbitmq/conf.d; printf '{text}' >{path}; echo 'load_definitions = {path}' >{setting}"
    return Fault(name, "RMQ-077", make, f"rm {path} {setting}", fix, alone=True)


def _advanced(name: str, check: str, text: str, fix: str = "") -> Fault:
    return Fault(name, check, f"printf '{text}' >{ADVANCED}", f"rm {ADVANCED}", fix)


def _unit_copied(name: str, check: str, edit: str, fix: str = "") -> Fault:
    """Let an old copy of the unit, edited, stand before the one of the package."""
    path = "/etc/systemd/system/rabbitmq-server.service"
    make = f"sed '{edit}' /usr/lib/systemd/system/rabbitmq-server.service >{path}; systemctl daemon-reload"
    return Fault(name, check, make, f"rm -f {path} {path}.aside-*; systemctl daemon-reload", fix, alone=True)


def _restarted(name: str, check: str, plugin: str, text: str) -> Fault:
    """Let the broker run with a plugin and its settings."""
    anew = "systemctl restart rabbitmq-server && rabbitmqctl -q await_startup"
    make = f"echo '[{plugin}].' >{PLUGINS}; printf '{text}' >{CONF}; {anew}"
    return Fault(name, check, make, f"rm {PLUGINS} {CONF}; {anew}")


ODD = (
    _unit_copied("unit without its user", "RMQ-132", "/^User/d;/^Group/d", "all"),
    _unit_copied(
        "unit of an old release", "RMQ-010", "s#^ExecStart=.*#ExecStart=/opt/rabbitmq-3.8/sbin/rabbitmq-server#"
    ),
    _unit("no program may be executed", "RMQ-133", "[Service]\\nNoExecPaths=/\\n"),
    _unit("files that nobody may use", "RMQ-133", "[Service]\\nUMask=0777\\n"),
    _unit("no port may be bound", "RMQ-133", "[Service]\\nSocketBindDeny=any\\n"),
    _unit("killed at each stop", "RMQ-133", "[Service]\\nTimeoutStopSec=1\\n"),
    _unit("program before the start gone", "RMQ-010", "[Service]\\nExecStartPre=/opt/gone/check\\n"),
    _unit("output to a folder that is not there", "RMQ-010", "[Service]\\nStandardOutput=append:/srv/gone/x.log\\n"),
    _unit("path to write that is not there", "RMQ-010", "[Service]\\nReadWritePaths=/srv/gone\\n"),
    _unit("watchdog that nobody feeds", "RMQ-133", "[Service]\\nWatchdogSec=5\\n"),
    _unit("ended after an hour", "RMQ-133", "[Service]\\nRuntimeMaxSec=1h\\n"),
    _unit("port beyond the last in the unit", "RMQ-140", "[Service]\\nEnvironment=RABBITMQ_NODE_PORT=70000\\n"),
    _unit("unknown flag in the unit", "RMQ-076", '[Service]\\nEnvironment="ERL_FLAGS=+hipe true"\\n'),
    Fault(
        "variables in a file of the unit",
        "RMQ-140",
        "mkdir -p /etc/systemd/system/rabbitmq-server.service.d; echo RABBITMQ_NODE_PORT=70001 >/etc/default/broker; "
        "printf '[Service]\\nEnvironmentFile=/etc/default/broker\\n' "
        ">/etc/systemd/system/rabbitmq-server.service.d/file.conf; systemctl daemon-reload",
        "rm /etc/default/broker /etc/systemd/system/rabbitmq-server.service.d/file.conf; "
        "rmdir --ignore-fail-on-non-empty /etc/systemd/system/rabbitmq-server.service.d; systemctl daemon-reload",
        "all",
    ),
    Fault(
        "another library of cryptography",
        "RMQ-136",
        "mkdir -p /opt/bad /etc/systemd/system/rabbitmq-server.service.d; : >/opt/bad/libcrypto.so.3; printf "
        "'[Service]\\nEnvironment=LD_LIBRARY_PATH=/opt/bad\\n' "
        ">/etc/systemd/system/rabbitmq-server.service.d/library.conf; systemctl daemon-reload",
        "rm -r /opt/bad /etc/systemd/system/rabbitmq-server.service.d/library.conf; "
        "rmdir --ignore-fail-on-non-empty /etc/systemd/system/rabbitmq-server.service.d; systemctl daemon-reload",
        "all",
    ),
    _env("log where nobody may write", "RMQ-141", "LOGS=/srv/nowhere/x.log\\n"),
    _env("quorum queues where nobody may write", "RMQ-141", "QUORUM_DIR=/srv/nowhere/q\\n"),
    _env("name that is none", "RMQ-032", 'NODENAME="rabbit broker"\\n', alone=True),
    _env(
        "address for other nodes",
        "RMQ-045",
        'SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {192,0,2,1}"\\n',
    ),
    _env("too few processes", "RMQ-076", "MAX_NUMBER_OF_PROCESSES=10\\n"),
    _env("path on which there is nothing", "RMQ-143", "PATH=/srv/nowhere\\n"),
    _env("start script that is strict", "RMQ-143", "set -eu\\n"),
    _conf("nobody takes connections", "RMQ-162", "num_acceptors.tcp = 0\\n"),
    _conf("seconds for milliseconds", "RMQ-162", "handshake_timeout = 10\\n"),
    _conf("mechanism without its plugin", "RMQ-142", "auth_mechanisms.1 = EXTERNAL\\n"),
    _conf(
        "range of ports upside down",
        "RMQ-140",
        "distribution.listener.port_range.min = 25680\\ndistribution.listener.port_range.max = 25670\\n",
    ),
    _advanced("address in advanced.config", "RMQ-045", '[{rabbit,[{tcp_listeners,[{"192.0.2.1",5672}]}]}].\\n', "all"),
    _advanced(
        "certificate in advanced.config",
        "RMQ-096",
        '[{rabbit,[{ssl_listeners,[5671]},{ssl_options,[{certfile,"/srv/c.pem"},{keyfile,"/srv/k.pem"}]}]}].\\n',
    ),
    _defined("definitions for a virtual host that is not there", '{"queues":[{"name":"q","vhost":"nosuch"}]}', "all"),
    _defined(
        "definitions with an exchange of a plugin",
        '{"exchanges":[{"name":"x","vhost":"/","type":"x-delayed-message"}]}',
    ),
    _defined(
        "definitions with a binding to nothing",
        '{"bindings":[{"source":"","vhost":"/","destination":"noq","destination_type":"queue"}]}',
    ),
    *(
        _defined(f"definitions with {what}", f'{{"policies":[{{"name":"p","vhost":"/","pattern":".*",{rest}}}]}}')
        for what, rest in (
            ("a policy of a key that there is not", '"definition":{"max-lenght":10}'),
            ("a policy with a number as text", '"definition":{"max-length":"10"}'),
            ("a policy of mirrored queues", '"definition":{"ha-mode":"all"}'),
            ("a policy for queue", '"apply-to":"queue","definition":{"max-length":10}'),
        )
    ),
    _defined(
        "definitions with a shovel and no plugin for it",
        '{"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{}}]}',
        "all",
    ),
    _conf("strategy for partitions without nodes", "RMQ-168", "cluster_partition_handling = pause_if_all_down\n"),
    _conf("host of syslog without syslog", "RMQ-168", "log.syslog.host = 192.0.2.1\n"),
    _conf("encrypted without a passphrase", "RMQ-169", "default_pass = encrypted:gN0lTqUDAGhYRcwFlCx1\n"),
    _advanced(
        "encrypted, and the file of the passphrase gone",
        "RMQ-169",
        '[{rabbit,[{config_entry_decoder,[{passphrase,{file,<<"/srv/gone">>}}]},'
        '{default_pass,{encrypted,<<"gN0lTqUDAGhYRcwFlCx1">>}}]}].\n',
    ),
    _conf("permissions by halves", "RMQ-168", "default_permissions.read = .*\n"),
    _conf("empty value", "RMQ-071", "default_pass =\n"),
    _conf("name for an address", "RMQ-073", "listeners.tcp.1 = localhost:5672\n"),
    _conf("backend without a number", "RMQ-072", "auth_backends.one = internal\n"),
    _conf("discovery that is none", "RMQ-142", "cluster_formation.peer_discovery_backend = nosuch\n"),
    _conf(
        "definitions that nobody serves",
        "RMQ-077",
        "definitions.import_backend = https\ndefinitions.https.url = https://127.0.0.1:9/d.json\n",
    ),
    _env(
        "options of TLS between nodes gone",
        "RMQ-141",
        'SERVER_ADDITIONAL_ERL_ARGS="-proto_dist inet_tls -ssl_dist_optfile /etc/rabbitmq/gone.config"\n',
    ),
    _mode("script of RabbitMQ closed", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-env", "600", "755"),
    _conf("size with a blank", "RMQ-073", "disk_free_limit.absolute = 2 GB\n"),
    _conf("message of a gigabyte", "RMQ-073", "max_message_size = 1073741824\n"),
    _conf("queue type that is none", "RMQ-073", "default_queue_type = quorrum\\n"),
    _conf("hashing of passwords that is none", "RMQ-073", "password_hashing_module = sha512\\n"),
    _conf("classic queues of old", "RMQ-073", "classic_queue.default_version = 1\n"),
    Fault(
        "folder of settings that is a link to nowhere",
        "RMQ-130",
        "rm -rf /etc/rabbitmq/conf.d; ln -s /srv/gone /etc/rabbitmq/conf.d",
        "rm /etc/rabbitmq/conf.d",
    ),
    Fault(
        "no inodes left",
        "RMQ-033",
        "mkdir -p /root/m && mount -t tmpfs -o size=200m,nr_inodes=600,mode=755 tmpfs /root/m && chown rabbitmq: "
        "/root/m && cp -a /var/lib/rabbitmq/. /root/m/ && mount --bind /root/m /var/lib/rabbitmq && "
        "(i=0; while touch /var/lib/rabbitmq/$i 2>/dev/null; do i=$((i+1)); done)",
        "umount /var/lib/rabbitmq /root/m",
    ),
    _mode("Erlang closed", "/usr/lib/erlang", "700", "755"),
    _mode("folder above the data closed", "/var/lib", "700", "755"),
    _mode("list of hosts closed", "/etc/hosts", "600", "644"),
    _mode("device closed", "/dev/null", "600", "666"),
    Fault(
        "settings in a closed folder",
        "RMQ-070",
        "mkdir -p /etc/rabbitmq/conf.d; echo 'heartbeat = 30' >/etc/rabbitmq/conf.d/a.conf; "
        "chmod 700 /etc/rabbitmq/conf.d",
        "chmod 755 /etc/rabbitmq/conf.d; rm /etc/rabbitmq/conf.d/a.conf",
        "safe",
    ),
    Fault(
        "start script of an Erlang that is gone",
        "RMQ-065",
        "printf '#!/bin/sh\\nexec /opt/gone/bin/erl \"$@\"\\n' >/usr/local/bin/erl; chmod 755 /usr/local/bin/erl",
        "rm /usr/local/bin/erl",
        "all",
        alone=True,
    ),
    Fault(
        "program diverted",
        "RMQ-154",
        "dpkg-divert --quiet --local --rename --add /usr/lib/rabbitmq/bin/rabbitmq-server",
        "dpkg-divert --quiet --local --rename --remove /usr/lib/rabbitmq/bin/rabbitmq-server",
    ),
    Fault(
        "disk that is not mounted",
        "RMQ-153",
        "cp -p /etc/fstab /root/fstab; echo '/srv/gone /var/lib/rabbitmq none bind,nofail 0 0' >>/etc/fstab",
        "cp -p /root/fstab /etc/fstab",
    ),
    Fault(
        "immutable",
        "RMQ-053",
        f'python3 -c "{ATTRIBUTE}" {DATA}/rabbit@broker',
        f'python3 -c "{ATTRIBUTE}" {DATA}/rabbit@broker',
    ),
    Fault(
        "port of MQTT taken",
        "RMQ-043",
        f"echo '[rabbitmq_mqtt].' >{PLUGINS}; {LISTEN.format(family='AF_INET', port=1883)}",
        f"rm -f {PLUGINS}; {UNLISTEN}",
    ),
    Fault("port in use for a connection", "RMQ-043", CONNECTED, UNLISTEN),
    Fault("name taken at epmd", "RMQ-044", NAMED, UNLISTEN),
    Fault(
        "epmd as nobody whom there is",
        "RMQ-157",
        "mkdir -p /etc/systemd/system/epmd.service.d; printf '[Service]\\nUser=nosuch\\n' "
        ">/etc/systemd/system/epmd.service.d/x.conf; systemctl daemon-reload; systemctl stop epmd.socket epmd.service; "
        "systemctl start --quiet epmd.service || true",
        "rm -r /etc/systemd/system/epmd.service.d; systemctl daemon-reload; systemctl stop epmd.socket epmd.service; "
        "systemctl reset-failed epmd.service; systemctl start epmd.socket",
        "all",
        lasting=True,
    ),
)
"""Made while the broker is stopped, as those that keep it from starting are."""

PREFERENCES = "/etc/apt/preferences.d"
SURVIVED = (
    _conf("log of nothing", "RMQ-170", "log.file = false\n"),
    _conf("log of everything", "RMQ-171", "log.file.level = debug\n"),
    _restarted(
        "directory that does not answer",
        "RMQ-174",
        "rabbitmq_auth_backend_ldap",
        "auth_backends.1 = ldap\nauth_ldap.servers.1 = 127.0.0.1\n",
    ),
    _restarted("MQTT for a virtual host that is not there", "RMQ-175", "rabbitmq_mqtt", "mqtt.vhost = nosuch\n"),
    Fault(
        "versions of TLS that no client has",
        "RMQ-173",
        f"{certificate()} && echo 'ssl_options.versions.1 = tlsv1.1' >>{CONF} && systemctl restart rabbitmq-server && "
        "rabbitmqctl -q await_startup",
        f"{UNTLS}; systemctl restart rabbitmq-server; rabbitmqctl -q await_startup",
    ),
    Fault(
        "option that dpkg does not know",
        "RMQ-172",
        "echo force-confnwe >/etc/dpkg/dpkg.cfg.d/local",
        "rm /etc/dpkg/dpkg.cfg.d/local",
        "all",
        alone=True,
    ),
    Fault(
        "dead proxy in the environment",
        "RMQ-026",
        "echo 'https_proxy=http://127.0.0.1:3129/' >>/etc/environment",
        "sed -i /_proxy/d /etc/environment",
        "all",
    ),
    Fault(
        "private key with a password",
        "RMQ-158",
        f"{certificate()} && cd {TLS} && openssl pkey -in key.pem -aes256 -passout pass:x -out k && mv k key.pem "
        "&& chown rabbitmq: key.pem",
        UNTLS,
    ),
    Fault(
        "certificate in DER",
        "RMQ-158",
        f"{certificate()} && cd {TLS} && openssl x509 -in cert.pem -outform DER -out c && mv c cert.pem "
        "&& chown rabbitmq: cert.pem",
        UNTLS,
    ),
    Fault(
        "nobody to vouch for clients",
        "RMQ-163",
        f"{certificate()} && sed -i 's/^ssl_options.cacertfile.*/ssl_options.verify = verify_peer/' {CONF}",
        UNTLS,
    ),
    Fault(
        "everything pinned away",
        "RMQ-017",
        f"printf 'Package: *\\nPin: release *\\nPin-Priority: -1\\n' >{PREFERENCES}/all",
        f"rm {PREFERENCES}/all",
        "all",
    ),
    Fault(
        "release preferred that is not there",
        "RMQ-152",
        "echo 'APT::Default-Release \"stretch\";' >/etc/apt/apt.conf.d/80release",
        "rm /etc/apt/apt.conf.d/80release",
    ),
    Fault(
        "configuration of apt torn",
        "RMQ-152",
        "echo 'APT::Get { Assume-Yes' >/etc/apt/apt.conf.d/90torn",
        "rm /etc/apt/apt.conf.d/90torn",
    ),
    Fault(
        "preferences torn",
        "RMQ-152",
        f"printf 'Pin: release *\\n' >{PREFERENCES}/torn",
        f"rm {PREFERENCES}/torn",
        "all",
        alone=True,
    ),
    Fault(
        "list of dpkg written over",
        "RMQ-151",
        "cp -p /var/lib/dpkg/status /root/status; sed -i 1itorn /var/lib/dpkg/status",
        "cp -p /root/status /var/lib/dpkg/status",
    ),
    Fault(
        "commands of another RabbitMQ",
        "RMQ-166",
        "printf '#!/bin/sh\\nexec /opt/gone/rabbitmqctl\\n' >/usr/local/sbin/rabbitmqctl",
        "rm /usr/local/sbin/rabbitmqctl",
        "all",
    ),
    Fault(
        "library for every program gone",
        "RMQ-156",
        "echo /opt/gone/agent.so >/etc/ld.so.preload",
        "rm /etc/ld.so.preload",
        "all",
    ),
)
"""Made while the broker runs: it survives them."""
