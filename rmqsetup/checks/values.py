"""Settings that are well formed and cannot work on this machine: ports, paths, plugins they rely on.

Form and kind of settings belong to `configuration`; who holds a port, to `network`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.access import unusable
from rmqsetup.checks.cures import directives, without
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting

LINKS = (f"{DOCS}/configure",)
LISTENERS = re.compile(
    r"listeners\.(?:tcp|ssl)\.\w+|(?:management|prometheus|web_stomp|web_mqtt)\.(?:tcp|ssl)\.port"
    r"|(?:mqtt|stomp)\.listeners\.(?:tcp|ssl)\.\w+|stream\.listeners\.(?:tcp|ssl)\.\w+"
)
RANGE = "distribution.listener.port_range"
PLUGINS = {
    "management": "rabbitmq_management",
    "prometheus": "rabbitmq_prometheus",
    "mqtt": "rabbitmq_mqtt",
    "stomp": "rabbitmq_stomp",
    "stream": "rabbitmq_stream",
    "web_stomp": "rabbitmq_web_stomp",
    "web_mqtt": "rabbitmq_web_mqtt",
}
"""What listens where such a key says, and only where it is enabled."""

BACKENDS = {
    "ldap": "rabbitmq_auth_backend_ldap",
    "http": "rabbitmq_auth_backend_http",
    "oauth": "rabbitmq_auth_backend_oauth2",
    "oauth2": "rabbitmq_auth_backend_oauth2",
    "cache": "rabbitmq_auth_backend_cache",
    "uaa": "rabbitmq_auth_backend_oauth2",
}
MECHANISMS = {
    **dict.fromkeys(("PLAIN", "AMQPLAIN", "ANONYMOUS", "RABBIT-CR-DEMO"), ""),
    "EXTERNAL": "rabbitmq_auth_mechanism_ssl",
}
"""Ways to log in, and the plugin that brings each."""

BUILT_IN = ("classic_config", "classic", "config", "dns", "local")
DISCOVERY = ("consul", "etcd", "k8s", "kubernetes", "aws")
FOLDERS = {
    "MNESIA_BASE": "the data",
    "MNESIA_DIR": "the data",
    "QUORUM_DIR": "quorum queues",
    "STREAM_DIR": "streams",
    "PLUGINS_EXPAND_DIR": "unpacked plugins",
    "FEATURE_FLAGS_FILE": "the list of feature flags",
    "LOG_BASE": "the logs",
    "LOGS": "the logs",
}
"""Variables that name what the broker writes: it makes the last folder of each, or the file, where it may."""

GIVEN = ("USER", "LOGNAME", "HOME", "SHELL", "PATH", "LANG", "INVOCATION_ID", "NODENAME")
"""Variables that systemd and the start script set by themselves."""

NAMED = ("CONFIG_FILE", "ADVANCED_CONFIG_FILE", "ENABLED_PLUGINS_FILE")
READ = ("configuration", "plugins", "connections of other nodes")
"""What the broker only reads."""


def ports(scene: Scene) -> Iterator[Diagnosis]:
    """Every port is one on which the broker's user may listen, and no two listeners share one."""
    taken: dict[tuple[str, int], Setting] = {}
    every = {port: each for each, address, port in (*_listeners(scene), *_defaults(scene)) if not address}
    for each, address, port in _listeners(scene):
        other = taken.setdefault((address, port), each)
        other = every.get(port, other) if address or not every[port].line else other
        fault = _port_fault(scene, port)
        if other is not each and not fault:
            fault = f"is the one of {other.key} as well"
        if fault:
            yield error(
                "RMQ-140",
                f"the port {port} of {each.key} {fault}",
                evidence=tuple(dict.fromkeys(its.place for its in (other, each) if its.line)),
                hint=f"give it another port: {each.file}, line {each.line}",
                links=(f"{DOCS}/networking#ports",),
                fix=without(scene, each),
            )
    for each in scene.environment:
        if each.key in ("NODE_PORT", "DIST_PORT") and not re.search(r"[\d$`]", each.value):
            yield error(
                "RMQ-140",
                f"{each.key} is to be a port, and is {each.value or 'empty'}",
                evidence=(each.place,),
                hint=f"write a number: {each.file}, line {each.line}",
                fix=without(scene, each),
            )
    ends = [each for each in scene.configured if each.key in (f"{RANGE}.min", f"{RANGE}.max") and each.value.isdigit()]
    if len(ends) > 1 and int(scene.setting(f"{RANGE}.min") or 0) > int(scene.setting(f"{RANGE}.max") or 0):
        yield error(
            "RMQ-140",
            "the range of ports for other nodes ends before it begins",
            evidence=tuple(each.place for each in ends),
            cause="the node finds no port in it on which to listen for others, and does not start",
            hint=f"let {RANGE}.min be at most {RANGE}.max",
            fix=without(scene, *ends),
        )


def paths(scene: Scene) -> Iterator[Diagnosis]:
    """The folders and files that settings and rabbitmq-env.conf name are there, and the broker's user may use them."""
    for each, what, folder in _named(scene):
        gone = scene.host.peek(folder) is None
        if not gone and not (scene.root and what not in READ and unusable(scene, (folder,))):
            continue
        yield (warning if scene.is_well else error)(
            "RMQ-141",
            f"{folder}, which {each.key} needs, {'is not there' if gone else f'cannot be used by {scene.user}'}",
            evidence=(each.place,),
            cause=f"it is for {what}",
            hint=f"make it for {scene.user or 'the broker'}, or correct {each.file}, line {each.line}",
            links=LINKS,
            fix=without(scene, each),
        )
    for each in scene.settings:
        if each.key.rpartition(".")[2] in ("certfile", "keyfile", "cacertfile") and not each.value.startswith("/"):
            yield error(
                "RMQ-141",
                f"{each.key} names a file without saying in which folder: {each.value or 'nothing'}",
                evidence=(each.place,),
                hint=f"write its whole path: {each.file}, line {each.line}",
                links=LINKS,
            )


def plugins(scene: Scene) -> Iterator[Diagnosis]:
    """What the configuration relies on is enabled: a backend that is not there lets nobody in, or finds no cluster."""
    text = scene.text(scene.plugins_file)
    for each in scene.configured:
        wanted = ""
        if re.match(r"auth_backends\.\d+", each.key):
            wanted = BACKENDS.get(each.value.removeprefix("rabbit_auth_backend_"), "")
            is_known = each.value in (*BACKENDS, "internal", "dummy") or each.value.startswith("rabbit_")
            wanted = wanted if is_known else f"that brings a backend {each.value}"
        elif re.match(r"auth_mechanisms\.\d+", each.key):
            wanted = MECHANISMS.get(each.value, f"that brings a mechanism {each.value}")
        elif each.key == "cluster_formation.peer_discovery_backend":
            wanted = _discovery(each.value)
        if wanted and not re.search(rf"\b{wanted}\b", text):
            yield error(
                "RMQ-142",
                f"{each.key} relies on the plugin {wanted}, which is not enabled",
                evidence=(each.place, f"{scene.plugins_file}: {text.strip() or 'no plugin is enabled'}"),
                cause="nobody can log in" if each.key.startswith("auth") else "the node does not find its cluster",
                hint=f"rabbitmq-plugins enable {wanted}, or take the line out: {each.file}, line {each.line}",
                links=(f"{DOCS}/plugins",),
                fix=without(scene, each),
            )


def _discovery(backend: str) -> str:
    """Return the plugin that brings a way to find the cluster; empty where it is built in, or a module's name."""
    if backend in DISCOVERY:
        return f"rabbitmq_peer_discovery_{'k8s' if backend == 'kubernetes' else backend}"
    return "" if backend in BUILT_IN or backend.startswith("rabbit_") else f"that brings a way {backend}"


def variables(scene: Scene) -> Iterator[Diagnosis]:
    """The environment variables that settings refer to, as $(NAME), are set where the node can see them."""
    known = {*(each.key for each in scene.environment), *GIVEN}
    for each in scene.settings if not scene.is_well else ():
        lost = [name for name in re.findall(r"\$\((\w+)\)", each.value) if name.removeprefix("RABBITMQ_") not in known]
        unit = " ".join(line.value for line in directives(scene) if line.name == "Environment")
        if (
            lost
            and not any(line.name == "EnvironmentFile" for line in directives(scene))
            and not re.search(rf"\b{lost[0]}=", unit)
        ):
            yield error(
                "RMQ-144",
                f"{each.key} takes its value from the variable {lost[0]}, which nobody sets",
                evidence=(f"{each.file}:{each.line}: {each.key} = $({lost[0]})",),
                hint=f"set it in {scene.layout.environment}, or in a drop-in of the unit (Environment=)",
                links=LINKS,
                fix=without(scene, each),
            )


def script(scene: Scene) -> Iterator[Diagnosis]:
    """rabbitmq-env.conf sets variables, and does nothing else.

    It is a part of the start script: a blank around = makes a command of a variable, `exit` ends the start, and what
    the broker looks for in its home is not found where HOME was changed.
    """
    lines = scene.text(scene.layout.environment).splitlines()
    for number, line in enumerate(lines, start=1):
        fault = _command_fault(line)
        if not fault:
            continue
        setting = Setting("", "", scene.layout.environment, number, line)
        yield (warning if scene.is_well else error)(
            "RMQ-143",
            f"a line of {scene.layout.environment} {fault}",
            evidence=(setting.place,),
            hint=f"correct it, or take it out: line {number}",
            links=LINKS,
            fix=without(scene, setting),
        )


def changed(scene: Scene) -> Iterator[Diagnosis]:
    """The service fails, nothing tells why, and rabbitmq-env.conf is not as its package leaves it.

    Asked only then. What it sets is read by the start script before anything else.
    """
    path = scene.layout.environment
    lines = [
        Setting("", "", path, number, line)
        for number, line in enumerate(scene.text(path).splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if lines and scene.fails:
        yield error(
            "RMQ-139",
            f"the service fails, and {path} was changed on this machine",
            evidence=tuple(each.place for each in lines[:6]),
            cause="one of these lines may be why: nothing else was found",
            hint="comment them out one by one, and start it each time: systemctl restart rabbitmq-server",
            links=LINKS,
            fix=without(scene, *lines),
        )


def _listeners(scene: Scene) -> Iterator[tuple[Setting, str, int]]:
    """Yield what is to listen where, the last of each key; an empty address is all of them."""
    enabled = scene.text(scene.plugins_file)
    last = {each.key: each for each in scene.configured if LISTENERS.fullmatch(each.key)}
    for each in last.values():
        address, _, port = each.value.rpartition(":")
        plugin = PLUGINS.get(each.key.partition(".")[0], "")
        if port.isdigit() and (not plugin or plugin in enabled):
            yield each, "" if address in ("0.0.0.0", "::", "[::]") else address, int(port)  # noqa: S104 - recognised
    for each in scene.environment:
        if each.key in ("NODE_PORT", "DIST_PORT") and each.value.isdigit():
            yield each, "", int(each.value)


def _defaults(scene: Scene) -> Iterator[tuple[Setting, str, int]]:
    """Yield the listeners that are there without being named."""
    keys = {each.key for each in scene.configured}
    if not scene.variable("NODE_PORT") and not any(key.startswith("listeners.tcp") for key in keys):
        yield Setting("the default listener of AMQP", "", "", 0), "", 5672
    if not scene.variable("DIST_PORT") and not any(key.startswith("distribution.") for key in keys):
        yield Setting("the port for other nodes", "", "", 0), "", 25672


def _port_fault(scene: Scene, port: int) -> str:
    if not 0 < port < 65536:
        return "is no port that anybody could find" if not port else "is no port: they end at 65535"
    first = scene.text("/proc/sys/net/ipv4/ip_unprivileged_port_start").strip()
    if scene.user in ("", "root") or port >= (int(first) if first.isdigit() else 1024):
        return ""
    allowed = scene.unit_property("AmbientCapabilities")
    return "" if "cap_net_bind_service" in allowed.lower() else f"is kept for root, and the broker runs as {scene.user}"


def _named(scene: Scene) -> Iterator[tuple[Setting, str, str]]:
    """Yield the settings that name folders, or files in them, with what for."""
    for each in scene.environment if not scene.layout.prefix else ():
        if each.key in FOLDERS and each.value.startswith("/"):
            is_made = scene.host.peek(each.value) is None
            yield each, FOLDERS[each.key], (each.value.rpartition("/")[0] or "/") if is_made else each.value
        elif each.key == "PLUGINS_DIR" and each.value.startswith("/"):
            yield each, "plugins", each.value.split(":")[0]
        elif each.key in NAMED and each.value.startswith("/") and scene.installed:
            ending = ".conf" if each.key == "CONFIG_FILE" and "." not in each.value.rpartition("/")[2] else ""
            yield each, "configuration", each.value + ending
        elif each.key.endswith("ERL_ARGS") and (
            found := re.search(r"-ssl_dist_optfile\s+['\"]?(/[^\s'\"]+)", each.value)
        ):
            yield each, "connections of other nodes", found[1]
    for each in scene.settings:
        if each.key in ("log.dir", "raft.data_dir") and each.value.startswith("/"):
            is_made = scene.host.peek(each.value) is None
            yield each, "what the broker writes", (each.value.rpartition("/")[0] or "/") if is_made else each.value
        elif each.key == "log.file" and each.value.startswith("/"):
            yield each, "the logs", each.value.rpartition("/")[0] or "/"


ODD_LINES = (
    (
        r"\s*(?:export\s+)?[A-Z][A-Z0-9_]*\s+=|\s*(?:export\s+)?[A-Z][A-Z0-9_]*=\s+\S",
        "has blanks around its =, so that the shell takes it for a command",
    ),
    (r"\s*(?:exit|return|exec)\b", "ends the start script"),
    (r"\s*(?:unset\s+|export\s+)?HOME\b", "changes HOME, in which the node looks for its cookie"),
    (
        r"\s*set\s+-\w*[eu]",
        "lets the start script end at the first variable that is not set, or command that fails",
    ),
    (
        r"\s*(?:export\s+)?PATH=(?!\S*[$`])(?!\S*/bin\b)\S*\s*$",
        "sets a PATH on which the start script finds no program",
    ),
    (
        r"\s*[A-Z][A-Z0-9_]*=[^\s\"'$`(#;]*\s+(?![A-Z_]+=)[^\s#;&|]",
        "has a value of several words without quotes, so that the shell takes the second for a command",
    ),
)
"""What a line of a start script does that is no setting, and what comes of it."""

KNOWN = "if then else elif fi for do done case esac while in export set unset readonly local test true false : ulimit"
KNOWN += " umask echo printf cd alias"


def _command_fault(line: str) -> str:
    for pattern, what in ODD_LINES:
        if re.match(pattern, line):
            return what
    word = re.match(r"\s*([A-Za-z_][\w-]*)(?=\s|$)", line)
    return "is a command, and no setting" if word and word[1] not in KNOWN.split() else ""


CHECKS = (
    Check("RMQ-143", "rabbitmq-env.conf sets variables, and does nothing else", script, explains=DOWN),
    Check("RMQ-140", "Every port is one that the broker may have, and its own", ports, explains=DOWN),
    Check("RMQ-141", "What settings name is there", paths, explains=DOWN),
    Check("RMQ-144", "The variables that settings refer to are set", variables, explains=DOWN),
    Check("RMQ-139", "An environment that fails is the one of the package", changed, explains=DOWN, slow=True),
    Check("RMQ-142", "The plugins on which settings rely are enabled", plugins, explains=(*DOWN, "RMQ-125")),
)
