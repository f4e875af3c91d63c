"""Whether the user that runs the node can use a path: asked of the kernel where we may, else read from modes."""

from __future__ import annotations

from dataclasses import dataclass

from rmqsetup.checks.erlang import root
from rmqsetup.checks.scene import SETPRIV, Scene
from rmqsetup.host import FileState
from rmqsetup.steps import Step
from rmqsetup.steps.access import Access, Right

_READABLE = 'for p; do [ -r "$p" ] || printf "%s\\n" "$p"; done'
_USABLE = 'for p; do { [ -r "$p" ] && [ -w "$p" ] && { [ ! -d "$p" ] || [ -x "$p" ]; }; } || printf "%s\\n" "$p"; done'

SHARED = ("/dev/null", "/tmp")  # noqa: S108 - whether it can be used is asked, nothing is put there
"""What everybody reads and writes, whatever it is that runs."""

_COMMON = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")


@dataclass(frozen=True, slots=True)
class Gate:
    """The first path on the way to another that is closed to the user of the node, and the rights that open it.

    `entered_by` is a group other than root's whose members get in.
    """

    path: str
    seen: str
    right: Right
    entered_by: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a file cannot be read, as it was `seen`, and what opens it."""

    seen: str
    hint: str
    fix: tuple[Step, ...]


def common(scene: Scene) -> tuple[str, ...]:
    """Return what everybody on a machine reads, and what is the broker's own, of what is there."""
    server = str(scene.server)
    roots = (f"{server}/plugins" if server else "", f"{root(scene)}/lib" if root(scene) else "")
    applications = ((place, name) for place in roots if place for name in scene.names(place))
    described = (f"{place}/{name}/ebin/{name.partition('-')[0]}.app" for place, name in applications)
    own = (scene.layout.data, scene.layout.logs, scene.layout.config)
    scripts = tuple(f"{server}/sbin/{name}" for name in scene.names(f"{server}/sbin") if name.startswith("rabbitmq-"))
    paths = (*_COMMON, *own, *(scripts if server else ()), *described)
    return tuple(path for path in paths if scene.host.peek(path) is not None)


def unreadable(scene: Scene, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some files that the user of the node cannot read: by mode, folder above, group or ACL."""
    return _refused(scene, _READABLE, paths, _read(scene))


def unusable(scene: Scene, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some paths that the user of the node cannot both read and write."""
    return _refused(scene, _USABLE, paths, (scene.layout.data, *SHARED))


def closed(scene: Scene, path: str, state: FileState, right: Right) -> Closed:
    """Tell what keeps the user of the node from a file: a folder above, or the file itself, which `right` opens."""
    found = gate(scene, path)
    if found and found.path != path:
        seen, right = f"{found.path}: {found.seen}", found.right
        if found.entered_by:
            return Closed(seen, f"usermod --append --groups {found.entered_by} {scene.user}, then start the broker", ())
    else:
        seen = f"{path}: {state.rights}"
    hint = f"chown {right.owner}:{right.group} {right.path} && chmod {right.mode:o} {right.path}"
    return Closed(seen, hint, (Access((right,)), *scene.started))


def gate(scene: Scene, path: str) -> Gate | None:
    """Return where the way to a path is closed; None where modes do not say, as with an ACL.

    A folder of the configuration is opened to the user of the node alone, since keys may be in it.
    """
    steps = path.strip("/").split("/")
    way = tuple("/" + "/".join(steps[:many]) for many in range(1, len(steps) + 1))
    said = scene.run("stat", "-L", "-c", "%a\t%U\t%G\t%F\t%n", "--", *way).stdout.splitlines()
    for row in (line.split("\t", 4) for line in said):
        mode, owner, group, place, is_folder = int(row[0], 8), row[1], row[2], row[4], row[3] == "directory"
        wanted = 0o1 if is_folder and place != path else 0o4
        shift = 6 if owner == scene.user else 3 if group == scene.user else 0
        if not mode & (wanted << shift):
            right = Right(place, owner, group, mode | (0o055 if is_folder else 0o044))
            if is_folder and place.startswith(scene.layout.config):
                right = Right(place, owner, scene.user, mode | 0o050)
            entered_by = group if group not in ("root", scene.user) and mode & 0o010 else ""
            return Gate(place, f"owner {owner}:{group}, mode {mode:04o}", right, entered_by)
    return None


def _read(scene: Scene) -> tuple[str, ...]:
    """Return all that several checks ask about, so that they ask at once."""
    config = scene.layout.config
    named = (f"{config}/advanced.config", scene.layout.environment, scene.plugins_file)
    own = (path for path in (*scene.config_files, *named) if scene.file(path) is not None)
    return tuple(dict.fromkeys((*own, *common(scene))))


def _refused(scene: Scene, question: str, paths: tuple[str, ...], often: tuple[str, ...]) -> tuple[str, ...]:
    """Ask as that user, which only root may; without root nothing is refused, and the paths are noted as unseen."""
    if not paths or not scene.has_user:
        return ()
    if not scene.root:
        return tuple(path for path in paths if _closed_by_mode(scene, path))
    asked = often if set(paths) <= set(often) else paths
    become = (SETPRIV, f"--reuid={scene.user}", f"--regid={scene.user}", "--init-groups", "--")
    said = scene.run(*become, "sh", "-c", question, "access", *asked).stdout.splitlines()
    return tuple(path for path in paths if path in said)


def _closed_by_mode(scene: Scene, path: str) -> bool:
    state = scene.file(path)
    if state is None or not state.owner:
        return False
    bit = 0o400 if state.owner == scene.user else 0o040 if state.group == scene.user else 0o004
    return not state.mode & bit
