"""Plugins that something on this machine relies on, and whether those that are enabled are of this release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, info, warning
from rmqsetup.checks.plugins import folders, read
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.terms import UNDEFINED, Atom, Term, atoms, text
from rmqsetup.redaction import redacted
from rmqsetup.version import Version, series

PORTS = {
    "15672": "rabbitmq_management",
    "15671": "rabbitmq_management",
    "15692": "rabbitmq_prometheus",
    "15691": "rabbitmq_prometheus",
    "5552": "rabbitmq_stream",
    "15674": "rabbitmq_web_stomp",
    "15675": "rabbitmq_web_mqtt",
}
"""Which plugin listens where, unless it is told otherwise; ports that other brokers have as well are left out."""

KEYS = ("management.", "prometheus.", "stomp.", "mqtt.", "stream.")
"""How settings of plugins begin; the plugin is `rabbitmq_` and the word."""

RELYING = {
    "prometheus": r"ya?ml",
    "telegraf": r"conf",
    "datadog-agent": r"ya?ml",
    "zabbix": r"conf",
    "collectd": r"conf",
    "netdata": r"conf",
    "consul.d": r"json|hcl",
    "haproxy": r"cfg",
    "nginx": r"conf",
    "keepalived": r"conf",
    "monit": r"",
    "rabbitmq_exporter": r"conf|json",
}
"""Folders below /etc of programs that ask brokers or pass to them, and what their files end with."""

DEEP = 3
"""How many folders below another those programs keep their configuration."""

_ADDRESS = re.compile(
    rf"(?:^|[\s\"'/@=\[,(])(\[[0-9a-f:]+\]|[\w.-]+)(?::|[\"']?[\s,;]+(?:port)?\W*)({'|'.join(PORTS)})\b"
)


@dataclass(frozen=True, slots=True)
class Reliance:
    """A line of somebody's configuration that names a port of this machine."""

    who: str
    place: str
    port: str


def relied_on(scene: Scene) -> Iterator[Diagnosis]:
    """A plugin that another program of this machine asks, or passes connections to, is enabled."""
    if not scene.runs or not scene.node:
        return
    open_ports = {str(listener.port) for listener in scene.node.listeners} | {str(each.port) for each in scene.taken}
    for each in _reliances(scene):
        plugin = PORTS[each.port]
        if each.port not in open_ports and plugin not in _enabled(scene):
            yield warning(
                "RMQ-120",
                f"{each.who} of this machine expects {plugin} on port {each.port}, and that plugin is not enabled",
                evidence=(each.place, f"nothing listens on port {each.port}"),
                hint=f"rabbitmq-plugins enable {plugin}",
                links=(f"{DOCS}/plugins",),
            )
            return


def spoken_of(scene: Scene) -> Iterator[Diagnosis]:
    """Plugins that the configuration speaks of are enabled. Settings of one that is not are without effect."""
    there, state = _enabled(scene), scene.file(scene.plugins_file)
    known = scene.installed and (state is None or state.content is not None)
    for each in scene.settings if known else ():
        word = each.key.partition(".")[0]
        if each.key.startswith(KEYS) and f"rabbitmq_{word}" not in there:
            yield info(
                "RMQ-121",
                f"the configuration has settings of rabbitmq_{word}, which is not enabled",
                evidence=(each.place,),
                hint=f"rabbitmq-plugins enable rabbitmq_{word}, or take them out",
                links=(f"{DOCS}/plugins",),
            )
            return


def started(scene: Scene) -> Iterator[Diagnosis]:
    """Plugins that are enabled run. Those enabled with `--offline` wait for the next start of the node."""
    wanted, apps = _enabled(scene), scene.ask("application", "which_applications") if scene.runs else None
    running = {text(app[0]) for app in apps if isinstance(app, tuple)} if isinstance(apps, list) else set()
    missing = [name for name in wanted if name not in running and any(_places(scene, name))] if running else []
    torn = [path for name in missing for path in _places(scene, name) if path.endswith(".ez") and _is_torn(scene, path)]
    if missing:
        yield warning(
            "RMQ-124",
            f"plugins are enabled, and do not run: {', '.join(missing)}",
            evidence=(f"{scene.plugins_file} names {', '.join(missing)}", "application:which_applications() does not"),
            cause=f"{torn[0]} is no archive: it was cut, or something else was fetched in its place"
            if torn
            else "they were enabled while the node ran, and not by it (--offline, or the file was edited)",
            hint=f"fetch {torn[0]} again" if torn else f"rabbitmq-plugins enable {' '.join(missing)}",
            links=(f"{DOCS}/plugins",),
        )


def backends(scene: Scene) -> Iterator[Diagnosis]:
    """Whoever is to say who may log in is there: each of `auth_backends` comes with a plugin that is enabled."""
    names = tuple(dict.fromkeys(atoms(scene.environment_of("auth_backends")))) if scene.runs else ()
    for name in names:
        if scene.ask("application", "get_application", Atom(name)) == UNDEFINED:
            plugin = name.replace("rabbit_", "rabbitmq_", 1)
            alone = len(names) == 1
            yield (error if alone else warning)(
                "RMQ-125",
                f"{'nobody' if alone else 'not everybody'} can log in: {name} is to be asked, and is not there",
                evidence=(
                    *(each.place for each in scene.settings if each.key.startswith("auth_backends")),
                    f"application:get_application({name}) says undefined",
                ),
                cause=f"the plugin {plugin} is not enabled",
                hint=f"rabbitmq-plugins enable {plugin}, or take it out of auth_backends",
                links=(f"{DOCS}/access-control#backends",),
            )


def of_this_release(scene: Scene) -> Iterator[Diagnosis]:
    """Plugins that are enabled say themselves that they are for this release; others keep the node from starting."""
    release = scene.version
    for name in _enabled(scene) if release else ():
        copies = tuple(_wanted(scene, name))
        if not copies or any(_fits(release, wanted) for _, wanted in copies):
            continue
        path, wanted = copies[-1]
        yield error(
            "RMQ-122",
            f"the plugin {name} is for another RabbitMQ than {release}: {', '.join(wanted)}",
            evidence=(f"{path}: broker_version_requirements {', '.join(wanted)}",),
            cause="it was left over from before an upgrade, or fetched for another series",
            hint=f"fetch the one for {series(release)}, or: rabbitmq-plugins disable --offline {name}",
            links=(f"{DOCS}/plugins#plugin-compatibility",),
        )


def _fits(release: str, wanted: tuple[str, ...]) -> bool:
    """Tell whether a release is of a series that a plugin names, from the named release on, or it names none."""
    return not wanted or any(series(each) == series(release) and Version(release) >= Version(each) for each in wanted)


def _enabled(scene: Scene) -> tuple[str, ...]:
    names, _ = read(scene.text(scene.plugins_file))
    return names


def _reliances(scene: Scene) -> Iterator[Reliance]:
    """Yield the lines of other programs' configuration that name a plugin's port of this machine."""
    for folder in sorted(set(RELYING) & set(scene.names("/etc"))):
        for path in _files(scene, f"/etc/{folder}", RELYING[folder], DEEP):
            for number, line in enumerate(scene.text(path).splitlines(), start=1):
                for host, port in _ADDRESS.findall(_bare(line)):
                    if _is_ours(scene, host):
                        yield Reliance(
                            folder.removesuffix(".d"), f"{path}:{number}: {redacted(line.strip())[:120]}", port
                        )


def _files(scene: Scene, folder: str, ending: str, deep: int) -> Iterator[str]:
    for name in scene.names(folder) if deep else ():
        path = f"{folder}/{name}"
        if re.search(rf"\.(?:{ending})$", name) if ending else "." not in name:
            yield path
        elif "." not in name or name.endswith(".d"):
            yield from _files(scene, path, ending, deep - 1)


def _bare(line: str) -> str:
    """Return a line without what is a comment in any of these files."""
    return "" if line.lstrip().startswith(("#", "//", ";")) else line.partition(" #")[0]


def _is_ours(scene: Scene, host: str) -> bool:
    own = scene.facts.hostname
    if host in ("localhost", own, own.partition(".")[0]):
        return True
    bare = host.strip("[]")
    return (
        bool(re.fullmatch(r"[\d.]+|[0-9a-f:]*:[0-9a-f:]*", bare)) and bool(scene.addresses) and scene.has_address(bare)
    )


def _places(scene: Scene, name: str) -> Iterator[str]:
    """Yield the files and folders that a plugin has."""
    for folder in folders(scene):
        for found in scene.names(folder):
            if re.fullmatch(rf"{re.escape(name)}(?:-[\w.+]+?)?(?:\.ez)?", found):
                yield f"{folder}/{found}"


def _wanted(scene: Scene, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each file or folder of a plugin, with the releases that it is for; the release's own are for it."""
    for path in _places(scene, name):
        if path.endswith(f"/{name}-{scene.version}"):
            yield path, ()
        else:
            described = _zipped(scene, path, name) if path.endswith(".ez") else scene.text(f"{path}/ebin/{name}.app")
            yield path, _required(described)


def _zipped(scene: Scene, path: str, name: str) -> str:
    import io
    import zipfile

    state = scene.file(path)
    try:
        with zipfile.ZipFile(io.BytesIO((state.content if state else b"") or b"")) as archive:
            inside = next((each for each in archive.namelist() if each.endswith(f"/ebin/{name}.app")), "")
            return archive.read(inside).decode("utf-8", "replace") if inside else ""
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ""


def _is_torn(scene: Scene, path: str) -> bool:
    """Tell whether an archive is none: it has to begin and to end as a zip does."""
    content = (state.content if (state := scene.file(path)) else None) or b""
    return bool(content) and not (content.startswith(b"PK") and b"PK\5\6" in content[-66_000:])


def _required(described: str) -> tuple[str, ...]:
    """Return what `broker_version_requirements` of an application says."""
    try:
        terms = consult(described)
    except ConsultError:
        return ()
    properties: Term = terms[0][2] if terms and isinstance(terms[0], tuple) and len(terms[0]) == 3 else []
    for pair in properties if isinstance(properties, list) else ():
        if isinstance(pair, tuple) and pair[:1] == (Atom("broker_version_requirements"),) and isinstance(pair[1], list):
            return tuple(text(each) for each in pair[1] if isinstance(each, bytes))
    return ()


CHECKS = (
    Check("RMQ-122", "Plugins are of this release", of_this_release, explains=(*DOWN, "RMQ-124")),
    Check("RMQ-124", "Plugins that are enabled run", started),
    Check("RMQ-125", "Those who are asked about logins are there", backends),
    Check("RMQ-120", "Plugins that other programs rely on are enabled", relied_on),
    Check("RMQ-121", "Plugins that the configuration speaks of are enabled", spoken_of),
)
