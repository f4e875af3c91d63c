"""The list of enabled plugins: can it be read, are they there."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error
from rmqsetup.checks.access import closed, unreadable
from rmqsetup.checks.scene import Scene
from rmqsetup.host import FileState
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.terms import Atom
from rmqsetup.steps import Step
from rmqsetup.steps.access import Right
from rmqsetup.steps.file import File, sha256

LINKS = (f"{DOCS}/plugins",)


def listed(scene: Scene) -> Iterator[Diagnosis]:
    """enabled_plugins is one Erlang list of names, ended by a full stop."""
    state = scene.file(scene.plugins_file)
    if state is None or state.content is None or not state.content.strip():
        return
    _, fault = read(state.text)
    if not fault:
        return
    path, mended = scene.plugins_file, _mended(state)
    yield error(
        "RMQ-078",
        "the list of enabled plugins is malformed",
        evidence=(f"{path}: {state.text.strip()[:120]}",),
        cause=f"it has to be an Erlang list with a full stop behind it: {fault}",
        hint=f"write it as {mended.strip() or '[rabbitmq_management].'}",
        links=LINKS,
        fix=_written(scene, state, mended) if mended else (),
        safe=True,
    )


def installed(scene: Scene) -> Iterator[Diagnosis]:
    """Every plugin that is enabled is there: in the installed release, or in a folder of plugins of one's own."""
    state = scene.file(scene.plugins_file)
    names, fault = read(state.text) if state else ((), "")
    there = _there(scene)
    if fault or not there or state is None:
        return
    missing = [name for name in names if name not in there]
    if not missing:
        return
    rest = [name for name in names if name in there]
    yield error(
        "RMQ-079",
        f"a plugin is enabled that is not installed: {', '.join(missing)}",
        evidence=(f"{scene.plugins_file}: {state.text.strip()[:160]}", f"not in {scene.server}/plugins"),
        cause="it belongs to another release, or its file was not put into the folder of plugins",
        hint=f"install it, or: rabbitmq-plugins disable --offline {' '.join(missing)}",
        links=LINKS,
        fix=_written(scene, state, f"[{','.join(rest)}].\n"),
    )


def read(text: str) -> tuple[tuple[str, ...], str]:
    """Return the names in a list of enabled plugins, or what is wrong with it."""
    try:
        terms = consult(text)
    except ConsultError as torn:
        return (), str(torn)
    if not terms:
        return (), ""
    if len(terms) != 1 or not isinstance(terms[0], list):
        return (), "there is something else than one list"
    strange = next((each for each in terms[0] if not isinstance(each, Atom)), None)
    if strange is not None:
        return (), "there is something else in it than names"
    return tuple(each.name for each in terms[0] if isinstance(each, Atom)), ""


def writable(scene: Scene) -> Iterator[Diagnosis]:
    """The user that runs the broker can read the list; without it the node starts with no plugins, or not at all."""
    path = scene.plugins_file
    state = scene.file(path)
    if state is None or path not in unreadable(scene, (path,)):
        return
    why = closed(scene, path, state, Right(path, scene.user, scene.user, state.mode | 0o644))
    yield error(
        "RMQ-069",
        f"the list of enabled plugins cannot be read by {scene.user}",
        evidence=(why.seen,),
        hint=why.hint,
        links=LINKS,
        fix=why.fix,
        safe=True,
    )


def folders(scene: Scene) -> tuple[str, ...]:
    """Return the folders in which a node looks for plugins."""
    own = scene.variable("PLUGINS_DIR").split(":") if scene.variable("PLUGINS_DIR") else []
    places = (f"{scene.server}/plugins", "/usr/lib/rabbitmq/plugins", *own) if scene.server else ()
    return tuple(dict.fromkeys(places))


def _there(scene: Scene) -> set[str]:
    return {name.removesuffix(".ez").partition("-")[0] for folder in folders(scene) for name in scene.names(folder)}


def _mended(state: FileState) -> str:
    """Return the list with what it certainly lacks, its full stop or its brackets; empty where that is not enough."""
    bare = state.text.strip().rstrip(".").strip()
    for candidate in (f"{bare}.", f"{bare}].", f"[{bare}]."):
        names, fault = read(candidate)
        if not fault and names:
            return f"[{','.join(names)}].\n"
    return ""


def _written(scene: Scene, state: FileState, text: str) -> tuple[Step, ...]:
    expect = (sha256(state.content or b""),)
    file = File(scene.plugins_file, text.encode(), state.mode, state.owner, state.group, expect=expect)
    return (file, *scene.started)


CHECKS = (
    Check("RMQ-069", "The broker's user can read the list of plugins", writable, explains=DOWN),
    Check("RMQ-078", "The list of enabled plugins is an Erlang list", listed, explains=DOWN),
    Check("RMQ-079", "Every enabled plugin is installed", installed, explains=DOWN),
)
