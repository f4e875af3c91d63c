"""What stands where the broker looks for a file or a folder, and whether its text is text that the broker can read.

What the text says belongs to `configuration` and `plugins`, who may use it to `access`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, access, error, warning
from rmqsetup.checks.access import SHARED, gate, unreadable, unusable
from rmqsetup.checks.cures import aside
from rmqsetup.checks.scene import Scene
from rmqsetup.host import FileState, Kind
from rmqsetup.steps.access import Access, Right
from rmqsetup.steps.file import File, sha256

LINKS = (f"{DOCS}/configure",)
MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which editors of other systems put at the beginning."""

BLANKS = ("\u00a0", "\u202f", "\u2007", "\u200b", "\ufeff")
"""What looks like a blank, or like nothing, and is neither: copied from a web page or a chat."""


def kinds(scene: Scene) -> Iterator[Diagnosis]:
    """There is a file where a file is looked for, and a folder where a folder is.

    A container's mount of a file that is missing makes a folder of that name; a link can lead to what was removed, or
    to a disk that is not mounted. The node then runs without its configuration, or not at all.
    """
    if not scene.installed or scene.layout.prefix:
        return
    folders, files = _folders(scene), _files(scene)
    said = scene.run("stat", "-L", "-c", "%F\t%n", "--", *folders, *files).stdout.splitlines()
    found = {path: kind for kind, _, path in (line.partition("\t") for line in said)}
    yield from _unconfigured(scene)
    for path in (*folders, *files):
        is_folder, kind = path in folders, found.get(path, "")
        link = scene.host.peek(path) if not kind else None
        lost = link is not None and link.kind is Kind.LINK
        if not lost and (not kind or (("directory" in kind) == is_folder and (is_folder or "regular" in kind))):
            continue
        wanted = "a folder" if is_folder else "a file"
        what = f"a link to {link.target}, which is not there" if lost and link else f"a {kind}"
        yield error(
            "RMQ-130",
            f"{path} is to be {wanted}, and is {what}",
            evidence=(f"stat {path}: {what}",),
            cause="the disk it leads to is not mounted, or what it leads to was removed" if lost else "",
            hint=f"put {wanted} there" + (f", or mount what {link.target} is on" if lost and link else ""),
            links=LINKS,
            fix=() if is_folder else (aside(scene, path), *scene.started),
        )


def _unconfigured(scene: Scene) -> Iterator[Diagnosis]:
    """Find a machine without the folder that its package made for the configuration."""
    folder = scene.layout.config
    if scene.host.peek(folder) is None:
        yield warning(
            "RMQ-130",
            f"the folder of the configuration, {folder}, is not there",
            evidence=(f"{folder}: no such directory",),
            cause="its package made it; without it the node has no settings, and no plugin can be enabled",
            hint="put it back from a backup, or make an empty one: "
            f"install -d -o {scene.layout.user} -g {scene.layout.user} -m 755 {folder}",
        )


def plain(scene: Scene) -> Iterator[Diagnosis]:
    """The configuration is plain text: no byte order mark, no UTF-16, and no blanks that only look like blanks.

    Editors of other systems write the first two, and what is copied from a web page has the third. The node does not
    start with any of them, and what it says is about a key that looks right.
    """
    for path in _files(scene)[:-1]:
        state = scene.file(path)
        if state is None or not state.content:
            continue
        text, fault = _read(state, is_shell=path == scene.layout.environment)
        if fault:
            expect = (sha256(state.content),)
            written = File(path, text.encode(), state.mode, state.owner, state.group, secret=True, expect=expect)
            yield error(
                "RMQ-131",
                f"{path} {fault}",
                evidence=(f"{path}: begins with {state.content[:16]!r}",),
                cause="an editor of another system wrote it, or a part was copied from a page",
                hint=f"write it anew as plain text: {path}",
                links=LINKS,
                fix=(written, *scene.started) if text else (),
                safe=True,
            )


def common(scene: Scene) -> Iterator[Diagnosis]:
    """What everybody on the machine reads, and what everybody writes to, is open to the broker's user as well.

    A careless `chmod -R`, or a umask of 077 while files were copied, closes a folder above RabbitMQ's or Erlang's
    files, `/etc/hosts` or `/dev/null`: to root everything looks as it is to be.
    """
    if not scene.root or not scene.installed or scene.layout.prefix:
        return
    own = (scene.layout.data, scene.layout.logs, scene.layout.config)
    told: list[str] = []
    for path in unreadable(scene, access.common(scene)):
        closed = gate(scene, path) if not path.startswith(tuple(told)) else None
        if closed is None or closed.path.startswith(own):
            continue
        told.append(closed.path if closed.path != path else path.rpartition("/ebin/")[0] or path)
        others = _beside(scene, path) if closed.path == path else ()
        yield (warning if scene.is_well else error)(
            "RMQ-155",
            f"{closed.path} is closed to {scene.user}, who runs the broker",
            evidence=(f"{closed.path}: {closed.seen}", f"{path} cannot be read by {scene.user}"),
            cause="its mode was changed: everybody may read it on a machine as it is installed",
            hint=f"chmod {closed.right.mode:o} {closed.path}"
            + (f", and {len(others)} files beside it" if others else ""),
            fix=(Access((closed.right, *others)), *scene.started),
            safe=True,
        )
    for path in unusable(scene, SHARED):
        yield _spoilt(scene, path)


def _beside(scene: Scene, path: str) -> tuple[Right, ...]:
    """Return the rights that open what was closed together with a file of an application."""
    folder = path.rpartition("/")[0]
    if not folder.endswith("/ebin"):
        return ()
    asked = ("find", folder, "-type", "f", "!", "-path", path, "!", "-perm", "-o=r", "-printf", "%u\\t%g\\t%m\\t%p\\n")
    rows = (line.split("\t", 3) for line in scene.run(*asked).stdout.splitlines())
    return tuple(Right(row[3], row[0], row[1], int(row[2], 8) | 0o044) for row in rows if len(row) == 4)


def _spoilt(scene: Scene, path: str) -> Diagnosis:
    """Report what everybody writes to, and the broker's user cannot."""
    row = scene.run("stat", "-c", "%F, owner %U:%G, mode %a", path).stdout.strip()
    is_device = path.startswith("/dev/")
    right = Right(path, "root", "root", 0o666 if is_device else 0o1777)
    is_odd = is_device and "character special" not in row
    return (error if is_device and not scene.is_well else warning)(
        "RMQ-155",
        f"{path} cannot be used by {scene.user}, who runs the broker",
        evidence=(f"{path}: {row or 'not there'}",),
        cause="somebody has written a file over the device" if is_odd else "everybody is to read and write it",
        hint=f"rm {path} && mknod -m 666 {path} c 1 3" if is_odd else f"chmod {right.mode:o} {path}",
        fix=() if is_odd or not row else (Access((right,)), *scene.started),
        safe=True,
    )


def _folders(scene: Scene) -> tuple[str, ...]:
    own = f"{scene.data}/{scene.address.name}"
    more = f"{scene.layout.config}/conf.d"
    return (scene.layout.config, more, scene.layout.data, scene.layout.logs, scene.data, own)


def _files(scene: Scene) -> tuple[str, ...]:
    """Return the files that the node reads, the cookie last."""
    config = scene.layout.config
    more = tuple(f"{config}/conf.d/{name}" for name in scene.names(f"{config}/conf.d") if name.endswith(".conf"))
    named = (f"{config}/rabbitmq.conf", *more, scene.layout.environment, f"{config}/advanced.config")
    return (*named, scene.plugins_file, scene.layout.cookie)


def _read(state: FileState, *, is_shell: bool) -> tuple[str, str]:
    """Return a file's text as it is to be, and what is wrong with it; no text where it cannot be made right."""
    content = state.content or b""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:64]:
        return _decoded(content), "is UTF-16, or no text at all"
    if content.startswith(MARK):
        return content[len(MARK) :].decode(errors="replace"), "begins with a byte order mark, which nobody sees"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1"), "is not in UTF-8"
    if any(blank in line.partition("#")[0] for line in text.splitlines() for blank in BLANKS):
        for blank in BLANKS:
            text = text.replace(blank, " " if blank in BLANKS[:3] else "")
        return text, "has blanks that are none (no-break spaces)"
    if is_shell and "\r\n" in text:
        return text.replace("\r\n", "\n"), "has lines that end as on Windows, which the shell takes for part of values"
    return "", ""


def _decoded(content: bytes) -> str:
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if marked else "utf-16-le").replace("\0", "")
    except UnicodeDecodeError:
        return ""


_HIDDEN = ("RMQ-069", "RMQ-070", "RMQ-071", "RMQ-072", "RMQ-073", "RMQ-074", "RMQ-075", "RMQ-078")

CHECKS = (
    Check(
        "RMQ-155",
        "What everybody may read is open to the broker's user",
        common,
        explains=(*DOWN, *_HIDDEN, "RMQ-053", "RMQ-054", "RMQ-062", "RMQ-065", "RMQ-096"),
    ),
    Check(
        "RMQ-130",
        "There are files where files are looked for, and folders for folders",
        kinds,
        explains=(*DOWN, *_HIDDEN, "RMQ-050", "RMQ-051", "RMQ-052", "RMQ-053", "RMQ-054"),
    ),
    Check("RMQ-131", "The configuration is plain text", plain, explains=(*DOWN, *_HIDDEN)),
)
