"""What a node is started with: files, environment, command line. Pure; running it belongs to `node`.

The fast start does what RabbitMQ's script does, without its second Erlang VM, with the modules that are loaded one at a
time otherwise loaded in a few batches, and with a plugin folder that holds what is needed. Where that does not work for
a version, the script itself is started with the same places and ports.
"""

from __future__ import annotations

import os

from rmqsetup.broker.place import LITTLE
from rmqsetup.broker.wish import Member
from rmqsetup.probes.wire import LOOPBACK
from rmqsetup.version import Version

MODULES = "modules"
"""The file of the modules to load beforehand, beside the node's other files: Erlang lists of names."""

DEFINITIONS = "definitions.json"
"""The file of definitions that were given without one."""

PRELOAD = (
    "{P,R}=spawn_monitor(fun()->"
    f'{{ok,B}}=file:consult("{MODULES}"),[code:ensure_modules_loaded(M)||M<-B] end),'
    "receive {'DOWN',R,_,_,_}->ok end"
)
"""Batches: one would keep every object file in memory at once. A module that is not there is skipped."""

LISTENERS = {
    "rabbitmq_management": '{{tcp_config,[{{ip,"{ip}"}},{{port,{port}}}]}}',
    "rabbitmq_prometheus": '{{tcp_config,[{{ip,"{ip}"}},{{port,{port}}}]}}',
    "rabbitmq_web_mqtt": '{{tcp_config,[{{ip,"{ip}"}},{{port,{port}}}]}}',
    "rabbitmq_web_stomp": '{{tcp_config,[{{ip,"{ip}"}},{{port,{port}}}]}}',
    "rabbitmq_mqtt": '{{tcp_listeners,[{{"{ip}",{port}}}]}}',
    "rabbitmq_stomp": '{{tcp_listeners,[{{"{ip}",{port}}}]}}',
    "rabbitmq_stream": '{{tcp_listeners,[{{"{ip}",{port}}}]}},'
    '{{advertised_host,<<"{ip}">>}},{{advertised_port,{port}}}',
}
"""The plugins that listen, and how each is told where."""

SCHEDULERS = "2:2" if (os.cpu_count() or 1) > 2 else "1:1"
"""Where two cores are all there are, and the tests want theirs, a second one only gets into the way of the first: with
one, a start takes 0.83 (4.3) and 0.93 (4.0) of the CPU, and four clients are served in 0.95 of the time."""

SCHEDULING = (
    *("+stbt", "u", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
    *("+S", SCHEDULERS, "+SDcpu", "1:1", "+SDio", "1", "+A", "1"),
)
"""Bound to no core and never spinning: brokers by the dozen share the cores with the tests. Bound, as the script has
it, the only scheduler of every broker would wait for the first core."""

MEMORY = (
    *("+P", "65536", "+t", "1048576", "+zdbbl", "128000", "+sss", "64"),
    *("+Mut", "false", "+Mulmbcs", "512", "+Musmbcs", "64", "+MMmcs", "0", "+MBas", "aobf"),
)
"""Small tables, and allocators that keep little in reserve: one of each, however many cores there are, and small
carriers. To turn them off (`+Mea min`) saves less, and a node cannot tell its memory then: rabbitmqctl status fails."""

_HEAP = (("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072"), ("MALLOC_MMAP_THRESHOLD_", "65536"))
"""What Erlang's loader takes of the C library is given back when it is done: 7 MB of a node."""

_WITHOUT_EPMD = (("ERL_ZFLAGS", "-start_epmd false"), ("ERL_EPMD_PORT", "1"))
"""Once a minute RabbitMQ boots a second Erlang to see that there is an epmd (rabbit_epmd_monitor). That inherits these,
so that it starts none, and asks nothing of the machine's own: nobody listens on port 1."""

_NEVER_CALLS = ("-kernel", "dist_auto_connect", "never")
"""A node alone waits to be asked: every name is of its own port then, and where it answered somebody who has gone, it
would call itself, and log that as an error."""

ONE_MAPPING = Version("14")
"""The Erlang runtime from which on code can be mapped once, writable and executable, which saves memory."""


def files(member: Member) -> tuple[tuple[str, str], ...]:
    """Return the node's files, names below its folder and contents."""
    enabled = ",".join(member.wish.plugins)
    found = (
        ("enabled_plugins", f"[{enabled}].\n"),
        (f"{_configuration(member)}.config", settings(member)),
        ("rabbitmq.conf", "".join(f"{each.key} = {each.value}\n" for each in member.wish.config)),
        (DEFINITIONS, member.wish.imported),
    )
    return tuple((name, content) for name, content in found if content)


def _configuration(member: Member) -> str:
    """Return the name of the file of our own settings, that of Erlang, or that of RabbitMQ's which wins over others.

    Where RabbitMQ finds one of its own it reads the schemas of all there are: 0.15 of the CPU of a start.
    """
    return "advanced" if member.wish.config or member.wish.stock else "erlang"


def environment(member: Member) -> tuple[tuple[str, str], ...]:
    """Return the whole environment of the node: nothing of ours reaches it."""
    folder, programs = member.folder, member.binaries
    return (
        ("PATH", f"{programs.erlang}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", str(member.home)),
        ("LANG", "C.UTF-8"),
        ("RABBITMQ_HOME", str(programs.home)),
        ("RABBITMQ_NODENAME", member.name),
        ("RABBITMQ_NODE_IP_ADDRESS", LOOPBACK),
        ("RABBITMQ_NODE_PORT", str(member.listening.amqp)),
        ("RABBITMQ_DIST_PORT", str(member.listening.distribution)),
        ("RABBITMQ_MNESIA_BASE", f"{folder}/data"),
        ("RABBITMQ_LOG_BASE", f"{folder}/logs"),
        ("RABBITMQ_LOGS", "-"),  # a log file is written with a delay of two seconds, and tests end sooner
        ("RABBITMQ_PID_FILE", f"{folder}/pid"),
        ("RABBITMQ_GENERATED_CONFIG_DIR", f"{folder}/generated"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", f"{folder}/enabled_plugins"),
        ("RABBITMQ_CONFIG_FILE", f"{folder}/rabbitmq"),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", f"{folder}/advanced.config"),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null"),
        ("NOTIFY_SOCKET", str(member.notes)),
        ("ERL_EPMD_ADDRESS", LOOPBACK),
        ("ERL_CRASH_DUMP_SECONDS", "0"),
        ("ERL_MAX_PORTS", "4096"),
        *((("ERL_EPMD_PORT", str(member.epmd)),) if member.epmd else ()),
        *(_stock_variables() if member.wish.stock else _fast_variables(member)),
    )


def command_line(member: Member) -> tuple[str, ...]:
    """Return what is run."""
    programs = member.binaries
    if member.wish.stock:
        return (f"{programs.home}/sbin/rabbitmq-server", "-rmqsetup", member.name)
    distribution = member.listening.distribution
    alone = () if member.epmd else ("-erl_epmd_port", str(distribution), *_NEVER_CALLS)
    settings = ("-config", f"{member.folder}/erlang") if _configuration(member) == "erlang" else ()
    one_mapping = Version(programs.runtime) > ONE_MAPPING or programs.runtime == ONE_MAPPING.text
    return (
        f"{programs.erts}/bin/erlexec",
        "-noinput",
        *("-eval", PRELOAD),
        *("-s", "rabbit", "boot", "-boot", "start_sasl", "+W", "w", *settings),
        *("-sname", member.name, "-start_epmd", "false", *alone),
        *("-kernel", "inet_dist_listen_min", str(distribution), "-kernel", "inet_dist_listen_max", str(distribution)),
        *("-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "prevent_overlapping_partitions", "false"),
        *("+pc", "unicode"),
        *SCHEDULING,
        *MEMORY,
        *(("+JMsingle", "true") if one_mapping else ()),
        *("-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"),
    )


def settings(member: Member) -> str:
    """Return the settings of applications that are ours, as Erlang terms, which need no translation."""
    wish, listening = member.wish, member.listening
    entries = [
        f'{{tcp_listeners,[{{"{LOOPBACK}",{listening.amqp}}}]}}',
        f"{{default_user,{binary(wish.account.name)}}}",
        f"{{default_pass,{binary(wish.account.password)}}}",
        f"{{default_vhost,{binary(wish.account.virtual_host)}}}",
    ]
    if not any(setting.key.startswith("disk_free_limit") for setting in wish.config):
        entries.append(f"{{disk_free_limit,{LITTLE}}}")  # of its own it blocks publishers where 50 MB are left
    if wish.imports:
        file = wish.definitions or f"{member.folder}/{DEFINITIONS}"
        entries.append(f"{{load_definitions,{string(file)}}}")
    if member.peers:
        names = ",".join(f"'{name}'" for name in member.peers)
        entries.append(f"{{cluster_nodes,{{[{names}],disc}}}}")
    if listening.amqps:
        paths = ((key, f"{member.home}/{name}.pem") for key, name in (("cacertfile", "ca"), ("certfile", "server")))
        pairs = ",".join(f"{{{key},{string(path)}}}" for key, path in (*paths, ("keyfile", f"{member.home}/key.pem")))
        entries.append(f'{{ssl_listeners,[{{"{LOOPBACK}",{listening.amqps}}}]}}')
        entries.append(f"{{ssl_options,[{pairs},{{verify,verify_none}},{{fail_if_no_peer_cert,false}}]}}")
    parts = [f"{{rabbit,[{','.join(entries)}]}}"]
    parts += [
        f"{{{plugin},[{LISTENERS[plugin].format(ip=LOOPBACK, port=port)}]}}" for plugin, port in listening.plugins
    ]
    return "[" + ",\n ".join(parts) + "].\n"


def string(text: str) -> str:
    """Return a text as an Erlang string."""
    return (
        '"'
        + "".join(f"\\x{{{ord(char):x}}}" if char in '"\\' or not char.isprintable() else char for char in text)
        + '"'
    )


def binary(text: str) -> str:
    """Return a text as an Erlang binary in UTF-8."""
    return f"<<{','.join(map(str, text.encode()))}>>"


def _fast_variables(member: Member) -> tuple[tuple[str, str], ...]:
    """Return what RabbitMQ's scripts and Erlang's own would set."""
    programs = member.binaries
    return (
        ("ROOTDIR", str(programs.erlang)),
        ("BINDIR", f"{programs.erts}/bin"),
        ("EMU", "beam"),
        ("PROGNAME", "erl"),
        ("ERL_LIBS", f"{member.home}/plugins"),
        ("RABBITMQ_PLUGINS_DIR", f"{member.home}/plugins"),
        ("SYS_PREFIX", ""),
        ("ERL_MAX_ETS_TABLES", "50000"),
        *_HEAP,
        *(() if member.epmd else _WITHOUT_EPMD),
    )


def _stock_variables() -> tuple[tuple[str, str], ...]:
    listens = "-kernel inet_dist_use_interface {127,0,0,1}"
    return (
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", f"+S 2:2 -start_epmd false {listens}"),
        ("RABBITMQ_SCHEDULER_BIND_TYPE", "u"),
    )
