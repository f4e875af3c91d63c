"""Whether the user that runs the node can use a path: asked of the kernel where we may, else read from modes."""

from __future__ import annotations

from rmqsetup.checks.scene import SETPRIV, Scene

_READABLE = 'for p; do [ -r "$p" ] || printf "%s\\n" "$p"; done'
_USABLE = 'for p; do { [ -r "$p" ] && [ -w "$p" ] && { [ ! -d "$p" ] || [ -x "$p" ]; }; } || printf "%s\\n" "$p"; done'


def unreadable(scene: Scene, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some files that the user of the node cannot read: by mode, folder above, group or ACL."""
    return _refused(scene, _READABLE, paths)


def unusable(scene: Scene, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some paths that the user of the node cannot both read and write."""
    return _refused(scene, _USABLE, paths)


def _refused(scene: Scene, question: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Ask as that user, which only root may; without root nothing is refused, and the paths are noted as unseen."""
    if not paths or not scene.has_user:
        return ()
    if not scene.root:
        return tuple(path for path in paths if _closed_by_mode(scene, path))
    become = (SETPRIV, f"--reuid={scene.user}", f"--regid={scene.user}", "--init-groups", "--")
    return tuple(scene.run(*become, "sh", "-c", question, "access", *paths).stdout.splitlines())


def _closed_by_mode(scene: Scene, path: str) -> bool:
    state = scene.file(path)
    if state is None or not state.owner:
        return False
    bit = 0o400 if state.owner == scene.user else 0o040 if state.group == scene.user else 0o004
    return not state.mode & bit
