"""Steps with which findings are mended, as several checks need them: what they are is in `steps`.

Every one of them can be undone, and none deletes what somebody has written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.managers.sources import ConfiguredSource
from rmqsetup.redaction import redacted
from rmqsetup.steps import Step
from rmqsetup.steps.aside import Aside
from rmqsetup.steps.disabled import Disabled, line
from rmqsetup.steps.service import Service
from rmqsetup.steps.units import Units

ASIDE = ".aside-"
"""In the name of everything that was moved aside, before the time."""

PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
"""Where packages have their units."""

LOCAL = ("/etc/systemd/", "/run/systemd/")
"""Where units and drop-ins of an administrator are; those of packages are not ours to change."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A line of a unit or of one of its drop-ins; a `section` is empty before the first of them."""

    file: str
    line: int
    section: str
    name: str
    value: str
    raw: str

    @property
    def place(self) -> str:
        """The line, with where it stands, and without a password."""
        return f"{self.file}:{self.line}: {redacted(self.raw.strip())}"

    @property
    def local(self) -> bool:
        """Whether an administrator wrote it."""
        return self.file.startswith(LOCAL)


def aside(scene: Scene, path: str) -> Aside:
    """Move something aside, to a name in its own folder that tells who did it and when."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(scene.now))
    return Aside(path.rstrip("/"), f"{path.rstrip('/')}{ASIDE}{moment}")


def blank(scene: Scene) -> tuple[Step, ...]:
    """Let the node start blank: its data and its list of feature flags are moved aside, as they are."""
    home = f"{scene.data}/{scene.address.name}"
    standing = [path for path in (home, f"{home}-feature_flags") if scene.host.peek(path) is not None]
    return (*(aside(scene, path) for path in standing), *scene.started)


def disabled(settings: Iterable[Setting | Directive], mark: str = "# ") -> tuple[Disabled, ...]:
    """Comment lines out, in each file that has some."""
    lines: dict[str, list[tuple[int, str]]] = {}
    for each in settings:
        lines.setdefault(each.file, []).append(line(each.line, each.raw))
    return tuple(Disabled(path, tuple(its), mark) for path, its in lines.items())


def without(scene: Scene, *settings: Setting) -> tuple[Step, ...]:
    """Comment settings out, and let the service start.

    A line of advanced.config is a part of a term: that file is moved aside as a whole.
    """
    terms = dict.fromkeys(each.file for each in settings if each.file.endswith(".config"))
    lines = disabled(each for each in settings if each.file not in terms)
    return (*(aside(scene, path) for path in terms), *lines, *scene.started)


def again(scene: Scene, *settings: Setting) -> tuple[Step, ...]:
    """Comment out settings with which a node runs, and let it start again without them."""
    if not settings:
        return ()
    unit, files = scene.layout.service, tuple(dict.fromkeys(each.file for each in settings))
    anew = (Service("systemd", unit, enabled=None, newer_than=files),) if scene.started else ()
    own = tuple(step for step in without(scene, *settings) if step not in scene.started)
    return (*own, *anew)


def switched_off(scene: Scene, sources: Iterable[ConfiguredSource]) -> tuple[Disabled, ...]:
    """Comment entries of source lists out: a line, or all lines of a stanza or a section."""
    return disabled(each for source in sources for each in _entry(scene, source))


def directives(scene: Scene) -> tuple[Directive, ...]:
    """Return every line of the unit and of its drop-ins, in the order in which they count."""
    return scene.remembered("directives", lambda: tuple(_directives(scene)))


def packaged(scene: Scene, *names: str) -> tuple[Step, ...]:
    """Let a property of the unit be what its package says: lines of an administrator that set it are commented out.

    Nothing where there are none. A whole unit that stands before the package's is moved aside. A service that runs has
    to be started anew for it.
    """
    wrong = [each for each in directives(scene) if each.local and each.name in names]
    if not wrong:
        return ()
    lines = [each for each in wrong if each.file != copied(scene)]
    return (*_uncopied(scene, wrong), *disabled(lines), *_started_anew(scene, wrong))


def copied(scene: Scene) -> str:
    """Return the unit of an administrator that stands before the one of the package; empty where there is none.

    A mask stands there too, and is no unit.
    """
    if scene.unit is None or scene.unit.load == "masked":
        return ""
    path = scene.unit_property("FragmentPath")
    unit = f"{scene.layout.service}.service"
    own = any(unit in scene.names(folder) for folder in PACKAGED)
    return path if path.startswith(LOCAL) and own else ""


def uncopied(scene: Scene) -> tuple[Step, ...]:
    """Let the unit be the one of its package: the one of an administrator is moved aside."""
    path = copied(scene)
    line = Directive(path, 1, "", "", "", "")
    return (*_uncopied(scene, [line]), *_started_anew(scene, [line])) if path else ()


def _uncopied(scene: Scene, wrong: list[Directive]) -> tuple[Step, ...]:
    path = copied(scene)
    return (aside(scene, path),) if path and any(each.file == path for each in wrong) else ()


def _started_anew(scene: Scene, wrong: list[Directive]) -> tuple[Step, ...]:
    unit, files = scene.layout.service, tuple(dict.fromkeys(each.file for each in wrong))
    again = (Service("systemd", unit, enabled=None, newer_than=files),) if scene.started else ()
    return (Units(f"{unit}.service"), *again)


def _entry(scene: Scene, source: ConfiguredSource) -> Iterator[Setting]:
    lines = scene.text(source.file).splitlines()
    for number, raw in enumerate(lines[source.line - 1 :], start=source.line):
        if not raw.strip() or (number > source.line and raw.startswith("[")):
            return
        yield Setting("", "", source.file, number, raw)
        if not source.file.endswith((".sources", ".repo")):
            return


def _directives(scene: Scene) -> Iterator[Directive]:
    for path in (scene.unit_property("FragmentPath"), *scene.drop_ins):
        section = ""
        for number, raw in enumerate(scene.text(path).splitlines() if path else (), start=1):
            if head := re.match(r"^\[(\w+)\]\s*$", raw):
                section = head[1]
            elif found := re.match(r"^\s*(\w+)\s*=\s*(.*?)\s*$", raw):
                yield Directive(path, number, section, found[1], found[2], raw)
