"""The configuration files: can the node read them, does it know what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, flags, imported, schema, warning
from rmqsetup.checks.access import closed, unreadable
from rmqsetup.checks.cures import aside, disabled, without
from rmqsetup.checks.imported import Importer
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.schema import Entry
from rmqsetup.checks.settings import Setting
from rmqsetup.host import NOT_FOUND, Command, FileState
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.redaction import redacted
from rmqsetup.steps import Step
from rmqsetup.steps.access import Right
from rmqsetup.steps.file import File, sha256

LINKS = (f"{DOCS}/configure",)
SHARES = ("vm_memory_high_watermark.relative",)
"""Settings that are a share of something."""

MODULES = {
    "default_queue_type": (r"quorum|classic|stream|undefined|rabbit_\w+_queue", "quorum, classic or stream"),
    "password_hashing_module": (
        r"rabbit_password_hashing_(?:md5|sha256|sha512)|(?!rabbit_)\w+_\w+",
        "rabbit_password_hashing_sha256 or rabbit_password_hashing_sha512",
    ),
}
"""Settings that name a module of the node, for which the schema has any word."""

TRIES = 40
"""So many of the last lines of a shell script are left out one by one, to find the one that is wrong."""


def readable(scene: Scene) -> Iterator[Diagnosis]:
    """The user that runs the node can read its configuration."""
    config = scene.layout.config
    named = (f"{config}/advanced.config", scene.layout.environment, scene.plugins_file)
    paths = tuple(path for path in (*scene.config_files, *named) if scene.file(path) is not None)
    told = set[str]()
    for path in unreadable(scene, paths):
        state = scene.file(path)
        if state is None:
            continue
        why = closed(scene, path, state, Right(path, state.owner, scene.user, state.mode | 0o040))
        if why.seen in told:
            continue
        told.add(why.seen)
        yield error(
            "RMQ-070",
            f"{path} cannot be read by {scene.user}, who runs the broker",
            evidence=(why.seen,),
            hint=why.hint,
            links=LINKS,
            fix=why.fix,
            safe=True,
        )


def syntax(scene: Scene) -> Iterator[Diagnosis]:
    """Every line of rabbitmq.conf and of conf.d is `key = value`, or a comment; an empty value is none."""
    for setting in scene.settings:
        if _is_torn(setting):
            yield error(
                "RMQ-071",
                f"a line of {setting.file} is no setting",
                evidence=(setting.place,),
                hint=f"write it as key = value, or begin it with #: {setting.file}, line {setting.line}",
                links=LINKS,
                fix=without(scene, *filter(_is_torn, scene.settings)),
            )
            return


def _is_torn(setting: Setting) -> bool:
    return not setting.key or (not setting.value and "''" not in setting.raw)


def known(scene: Scene) -> Iterator[Diagnosis]:
    """The installed release knows every key: one that it does not know keeps the node from starting.

    Judged by the schemas that the release itself and its plugins bring along. A key may have been misspelt, belong to
    a plugin that is not installed, or to another series.
    """
    mappings = _mappings(scene)
    for setting in scene.settings if mappings else ():
        numbered = not re.match(r"auth_backends\.(?!\d+(?:\.|$))", setting.key)
        if setting.key and not (numbered and any(mapping.admits(setting.key) for mapping in mappings)):
            meant = schema.near(setting.key, mappings) if numbered else "auth_backends.1"
            yield error(
                "RMQ-072",
                f"RabbitMQ {scene.version} has no setting {setting.key}",
                evidence=(setting.place,),
                cause="a node does not start with a key that it does not know",
                hint=(f"{meant} may be meant; else take" if meant else "take") + f" the line out: {_line(setting)}",
                links=LINKS,
                fix=without(scene, setting),
            )


def valid(scene: Scene) -> Iterator[Diagnosis]:
    """Every value is of the kind that its key asks for."""
    mappings = _mappings(scene)
    for setting in scene.settings:
        its = [mapping for mapping in mappings if mapping.admits(setting.key)]
        wanted = (its[0].refuses(setting.value) if its else "") or _beyond(scene, setting)
        if wanted and not _is_torn(setting):
            yield error(
                "RMQ-073",
                f"the value of {setting.key} is not valid: {setting.value or 'it is empty'}",
                evidence=(setting.place,),
                cause=f"it has to be {wanted}",
                hint=f"correct {_line(setting)}",
                links=LINKS,
                fix=without(scene, setting),
            )


def current(scene: Scene) -> Iterator[Diagnosis]:
    """No key is out of use in the installed release, which keeps some only so that old configurations still load.

    Judged by what the release's own schemas say of their keys.
    """
    for setting in scene.settings:
        its = next((mapping for mapping in _mappings(scene) if mapping.admits(setting.key)), None)
        if its is not None and its.deprecated:
            yield warning(
                "RMQ-146",
                f"RabbitMQ {scene.version} no longer uses {setting.key}",
                evidence=(setting.place, f"its schema says: {its.deprecated}"),
                hint=f"take the line out before an upgrade, which may refuse it: {_line(setting)}",
                links=LINKS,
                fix=disabled((setting,)),
                safe=bool(re.search(r"no-op|[Nn]ot used", its.deprecated)),
            )


def advanced(scene: Scene) -> Iterator[Diagnosis]:
    """advanced.config is one Erlang list, ended by a full stop."""
    own = scene.variable("ADVANCED_CONFIG_FILE") or f"{scene.layout.config}/advanced.config"
    for path in dict.fromkeys((own, f"{scene.layout.config}/rabbitmq.config")):
        state = scene.file(path)
        if state is None or state.content is None or not state.content.strip():
            continue
        try:
            terms = consult(state.text)
            fault = (
                "" if len(terms) == 1 and isinstance(terms[0], list) else "it has to be one list, ended by a full stop"
            )
            line = 1
        except ConsultError as torn:
            fault, line = str(torn), torn.line
        if fault:
            text = (*state.text.splitlines(), "")[min(line, len(state.text.splitlines())) - 1]
            yield error(
                "RMQ-074",
                f"{path} is no Erlang term",
                evidence=(f"{path}:{line}: {redacted(text.strip())}",),
                cause=fault,
                hint=f'correct it; erl -eval \'io:format("~p~n", [file:consult("{path}")]), halt().\' checks it',
                links=LINKS,
                fix=_ended(scene, path, state),
            )


def environment(scene: Scene) -> Iterator[Diagnosis]:
    """rabbitmq-env.conf is a shell script that the shell can read; the start script reads it first of all."""
    path = scene.layout.environment
    state = scene.file(path)
    if state is None or not state.content:
        return
    answer = scene.run("sh", "-n", path)
    if not answer.ok and answer.exit_code != NOT_FOUND:
        said = answer.stderr.strip().splitlines()
        yield error(
            "RMQ-075",
            f"the shell cannot read {path}",
            evidence=tuple(map(redacted, said[-2:])),  # bash shows the line
            hint=f"correct it; sh -n {path} checks it",
            links=LINKS,
            fix=_parsed(scene, path, state.text),
        )


def arguments(scene: Scene) -> Iterator[Diagnosis]:
    """The flags that are handed to Erlang's emulator are flags it has, with values that it takes."""
    for setting in scene.environment:
        is_flags = setting.key.endswith(("ERL_ARGS", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS"))
        if not (is_flags or setting.key in flags.VARIABLES) or "CTL" in setting.key:
            continue
        fault = flags.fault(setting.key, setting.value)
        if fault:
            yield error(
                "RMQ-076",
                f"{fault}: {setting.key} hands that over",
                evidence=(setting.place,),
                cause="Erlang ends at once with a flag, or a value of one, that it does not take",
                hint=f"correct {_line(setting)}",
                links=LINKS,
                fix=without(scene, setting),
            )


def definitions(scene: Scene) -> Iterator[Diagnosis]:
    """The definitions that are imported at boot are there, readable, and JSON, and refer to what there is.

    A node ends its boot at the first entry that it cannot import: a queue of a virtual host that is not there, a type
    of exchange whose plugin is not enabled. That is looked at where the node does not run.
    """
    yield from _near(scene)
    yield from _far(scene)


def _near(scene: Scene) -> Iterator[Diagnosis]:
    """Find the first file of definitions that cannot be imported."""
    for key in ("load_definitions", "definitions.local.path", "management.load_definitions"):
        named = tuple(each for each in scene.configured if each.key == key)
        place = scene.setting(key)
        inside = sorted(name for name in scene.names(place) if name.endswith(".json"))
        for path in (*(f"{place}/{name}" for name in inside),) or (place,):
            fault = _import_fault(scene, path) if path.startswith("/") and (inside or not scene.names(place)) else ""
            if fault:
                yield error(
                    "RMQ-077",
                    f"the definitions file {path} {fault.partition(': ')[0] if ' JSON' in fault else fault}",
                    evidence=(named[-1].place, f"{path} {fault}"),
                    hint="put it right, or take the line out until it is; python3 -m json.tool FILE checks its form",
                    links=(f"{DOCS}/definitions",),
                    fix=without(scene, *named),
                )
                return


def _far(scene: Scene) -> Iterator[Diagnosis]:
    """Find definitions that a node is to fetch, where nobody answers."""
    named = next((each for each in reversed(scene.settings) if each.key == "definitions.https.url"), None)
    place = re.match(r"(https?)://(?:[^/@]*@)?(\[[^\]]*\]|[^/:]+)(?::(\d+))?", named.value) if named else None
    if named is None or place is None or scene.is_well:
        return
    port = int(place[3] or (443 if place[1] == "https" else 80))
    if problem := scene.opens(place[2].strip("[]"), port):
        backend = tuple(each for each in scene.settings if each.key == "definitions.import_backend")
        yield error(
            "RMQ-077",
            f"definitions are to be fetched from {place[2]}:{port}, which does not answer",
            evidence=(named.place, f"{place[2]}:{port}: {problem}"),
            cause="a node does not start without the definitions that it is to import",
            hint=f"start what is to answer there, or take the lines out: {_line(named)}",
            links=(f"{DOCS}/definitions",),
            fix=without(scene, named, *backend),
        )


def _import_fault(scene: Scene, path: str) -> str:
    """Say why a file of definitions cannot be imported."""
    state = scene.file(path)
    if state is None:
        return "is not there"
    fault = _json_fault(state.text) if state.content is not None else ""
    if fault or state.content is None:
        return fault
    if unreadable(scene, (path,)):
        return f"cannot be read by {scene.user}"
    if scene.is_well:
        return ""
    own = {scene.setting("default_vhost") or "/", *_hosts(scene)}
    user = scene.setting("default_user") or "guest"
    node = Importer(
        frozenset(own),
        frozenset((user,)),
        scene.text(scene.plugins_file),
        scene.version,
        may_have=lambda name: _has(scene, name),
    )
    found = imported.fault(state.text, node)
    return f"cannot be imported: {found}" if found else ""


def _has(scene: Scene, name: str) -> bool:
    """Tell whether the tables of a node that does not run name something; who may not look into them cannot tell."""
    home = f"{scene.data}/{scene.address.name}"
    tables = [each for each in scene.names(home) if each.endswith((".DCD", ".DCL", ".LOG")) or each == "coordination"]
    asked = ("grep", "-rqaF", "-e", name, "--", *(f"{home}/{each}" for each in tables))
    return not scene.root or bool(tables and scene.run(*asked).ok)


def _hosts(scene: Scene) -> Iterator[str]:
    """Yield the virtual hosts of which the node has data."""
    folder = f"{scene.data}/{scene.address.name}/msg_stores/vhosts"
    yield from (scene.text(f"{folder}/{name}/.vhost").strip() for name in scene.names(folder))


def _beyond(scene: Scene, setting: Setting) -> str:
    """Say what a value may be that its schema lets pass and the node does not: shares, modules, what 4.0 took away."""
    if (setting.key, setting.value) == ("classic_queue.default_version", "1") and int(scene.version[:1] or 0) >= 4:
        return "2: there are no classic queues of version 1 any more"
    if setting.key == "log.file.rotation.date" and setting.value and not setting.value.startswith("$"):
        return "a time such as $D0, which is midnight"
    modules, words = MODULES.get(setting.key, ("", ""))
    if modules and not re.fullmatch(modules, setting.value):
        return words
    is_share = setting.key in SHARES and re.fullmatch(r"-?\d+(?:\.\d+)?", setting.value)
    return "more than 0 and at most 1" if is_share and not 0 < float(setting.value) <= 1 else ""


def _mappings(scene: Scene) -> tuple[Entry, ...]:
    return scene.remembered("schema", lambda: _read_mappings(scene))


def _read_mappings(scene: Scene) -> tuple[Entry, ...]:
    if not scene.settings or not scene.server:
        return ()
    files = [
        (plugin.partition("-")[0], name, scene.text(f"{scene.server}/plugins/{plugin}/priv/schema/{name}"))
        for plugin in scene.names(f"{scene.server}/plugins")
        for name in scene.names(f"{scene.server}/plugins/{plugin}/priv/schema")
    ]
    shared = tuple(
        schema.Partial(application, name.removesuffix(".partial"), text)
        for application, name, text in files
        if name.endswith(".partial")
    )
    texts = (text for _, name, text in files if name.endswith(".schema"))
    found = tuple(mapping for text in texts for mapping in schema.parse(text, shared))
    return found if any(mapping.key == "heartbeat" for mapping in found) else ()


def _ended(scene: Scene, path: str, state: FileState) -> tuple[Step, ...]:
    """Give a file of one Erlang term the full stop that it lacks; one that lacks more is moved aside."""
    text = f"{state.text.rstrip()}.\n"
    try:
        is_whole = isinstance(next(iter(consult(text)), None), list)
    except ConsultError:
        is_whole = False
    if not is_whole:
        return (aside(scene, path), *scene.started)
    expect = (sha256(state.content or b""),)
    own = (state.mode, state.owner, state.group)
    return (File(path, text.encode(), *own, secret=True, expect=expect), *scene.started)


def _parsed(scene: Scene, path: str, text: str) -> tuple[Step, ...]:
    """Comment out the one line without which the shell can read the rest, where there is such a line."""
    lines = text.split("\n")
    for number, line in tuple(enumerate(lines, start=1))[-TRIES:]:
        if line.strip() and not line.lstrip().startswith("#"):
            rest = "\n".join((*lines[: number - 1], f"# {line}", *lines[number:]))
            if scene.host.run(Command(("sh", "-n"), stdin=rest.encode())).ok:
                return without(scene, Setting("", "", path, number, line))
    return ()


def _line(setting: Setting) -> str:
    return f"{setting.file}, line {setting.line}"


def _json_fault(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError as error_:
        return f"is no JSON: {error_}"
    return "" if isinstance(found, dict) else "is no JSON object: it has to begin with {"


CHECKS = (
    Check("RMQ-075", "The shell can read rabbitmq-env.conf", environment, explains=DOWN),
    Check("RMQ-070", "The broker's user can read its configuration", readable, explains=DOWN),
    Check("RMQ-071", "Every line of rabbitmq.conf is a setting", syntax, explains=DOWN),
    Check("RMQ-072", "RabbitMQ knows every key of its configuration", known, explains=DOWN),
    Check("RMQ-073", "Every setting has a value of its kind", valid, explains=(*DOWN, "RMQ-146")),
    Check("RMQ-146", "No key is out of use in the installed release", current),
    Check("RMQ-074", "advanced.config is an Erlang term", advanced, explains=DOWN),
    Check("RMQ-076", "Erlang knows the flags that it is given", arguments, explains=DOWN),
    Check("RMQ-077", "The definitions to import are there and JSON", definitions, explains=DOWN),
)
