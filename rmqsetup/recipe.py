"""What is wished of a broker: the request, from a recipe in TOML and from options.

How a wish becomes steps belongs to `wishes`; which versions exist to `indices`; rabbitmq.conf lines to `settings`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from rmqsetup import archived, definitions, plugins, settings
from rmqsetup.archived import BELOW, NOTHING, Archived, of_user, placed_at
from rmqsetup.codec import Problem, did_you_mean, salvage
from rmqsetup.errors import UsageError
from rmqsetup.managers.layout import SYSTEM
from rmqsetup.settings import Setting
from rmqsetup.version import Wanted

SOURCES = ("auto", "team", "distro", "brew", "mirror", "archive", "user")
"""Where RabbitMQ may come from.

`auto` is the team's repository where it serves this machine, else the distribution; on a Mac it is Homebrew. `user` are
the distribution's packages, unpacked for a user without root.
"""

OPEN_FILES = range(1024, 1048576 + 1)
"""Limits that make sense: fewer and the node hardly boots, more and the kernel's default fs.nr_open refuses."""

_FILE = 'definitions = "FILE"'
LATER = {
    **dict.fromkeys(("users", "vhosts", "permissions", "policies"), _FILE),
    "tls": "[config]",
    "cluster": "[config]",
}
"""Tables that a later version will read, and what does their work today."""

_ANY = Wanted()

_HEADER = """\
# Written by rmqsetup, and written again at its next run.
# Your own settings belong in another file here: of two, the one whose name sorts later wins (20-local.conf).
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A broker as wished for.

    `source` is one of `SOURCES`; `mirror` a base URL, `key` a file or URL with the keys that may
    sign, `fingerprint` their 40 hex digits in upper case, several separated by commas: all three with the source
    `mirror` only, the last two also with `archive`, and with `team` where no key is pinned. `plugins` None leaves them
    as they are. `definitions` is the absolute path of a file on this machine. `lock_timeout` is in seconds.
    """

    rabbitmq: Wanted = _ANY
    erlang: Wanted = _ANY
    source: str = "auto"
    mirror: str = ""
    key: str = ""
    fingerprint: str = ""
    archive: Archived = NOTHING
    plugins: tuple[str, ...] | None = None
    config: tuple[Setting, ...] = ()
    definitions: str = ""
    open_files: int | None = None
    start: bool = True
    enable: bool = True
    hold: bool = True
    recommends: bool = True
    lock_timeout: int = 120

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Those of the keys that may sign."""
        return _names(self.fingerprint)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What was said on the command line, as it was typed; None was not said.

    `source` may be `mirror=URL`; `plugins` is `a,b`; `settings` are `key=value`; paths are relative to here.
    """

    rabbitmq: str | None = None
    erlang: str | None = None
    source: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    archive: Archived = NOTHING
    plugins: str | None = None
    settings: tuple[str, ...] = ()
    definitions: str | None = None
    open_files: int | None = None
    start: bool | None = None
    enable: bool | None = None
    hold: bool | None = None
    recommends: bool | None = None
    lock_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """`[rabbitmq]` and `[erlang]` of a recipe."""

    version: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """`[mirror]` of a recipe."""

    url: str = ""
    key: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]` of a recipe."""

    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """`[service]` of a recipe."""

    start: bool = True
    enable: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe as it is written; docs/recipes.md says what each key means."""

    source: str = ""
    plugins: tuple[str, ...] | None = None
    definitions: str = ""
    hold: bool = True
    recommends: bool = True
    lock_timeout: int = 120
    rabbitmq: Release = Release()
    erlang: Release = Release()
    mirror: Mirror = Mirror()
    archive: Archived = NOTHING
    config: Any = None
    limits: Limits = Limits()
    service: Running = Running()


def load(recipe: str, *, stdin: TextIO | None = None) -> Request:
    """Read a recipe: the name of a shipped one, a file, or `-` for standard input; paths in it are relative to it.

    Raises `UsageError` with every mistake and its key path. What options may still complete is checked by `override`.
    """
    text, folder = _read(recipe, stdin)
    what = "the recipe on standard input" if recipe == "-" else f"the recipe {recipe}"
    written, problems = salvage(_parse(text, what), Recipe, what=what)
    lines, unfit = settings.flatten({} if written.config is None else written.config)
    request, unread = _request(written, lines, folder)
    found = (*map(_soften, problems), *unfit, *unread, *_judge(request))
    if found:
        raise UsageError(f"{what} cannot be used", cause=_lines(found), hint="docs/recipes.md describes every key")
    return request


def override(request: Request, overrides: Overrides) -> Request:
    """Return the request with what the command line says, checked as a whole.

    A setting said again replaces the recipe's. A source said drops the recipe's mirror with its key and fingerprint.
    Raises `UsageError` with every mistake.
    """
    rabbitmq, faults = _wish(overrides.rabbitmq, request.rabbitmq, ("rabbitmq",))
    erlang, more = _wish(overrides.erlang, request.erlang, ("erlang",))
    said = tuple(settings.typed(text) for text in overrides.settings)
    request = _source(request, overrides)
    request = replace(
        request,
        rabbitmq=rabbitmq,
        erlang=erlang,
        archive=overrides.archive.beside(Path.cwd()).over(request.archive),
        plugins=request.plugins if overrides.plugins is None else _names(overrides.plugins),
        config=settings.merge(request.config, tuple(setting for setting, _ in said if setting)),
        definitions=request.definitions
        if overrides.definitions is None
        else placed_at(overrides.definitions, Path.cwd()),
        open_files=request.open_files if overrides.open_files is None else overrides.open_files,
        start=request.start if overrides.start is None else overrides.start,
        enable=request.enable if overrides.enable is None else overrides.enable,
        hold=request.hold if overrides.hold is None else overrides.hold,
        recommends=request.recommends if overrides.recommends is None else overrides.recommends,
        lock_timeout=request.lock_timeout if overrides.lock_timeout is None else overrides.lock_timeout,
    )
    if request.source == "user":
        request = replace(request, archive=of_user(request.archive))
    unsaid = tuple(problem for _, problems in said for problem in problems)
    found = (*faults, *more, *unsaid, *_judge(request), *_complete(request))
    if found:
        raise UsageError("this request cannot be granted", cause=_lines(found), hint="see: rmqsetup install --help")
    return request


def shipped() -> tuple[str, ...]:
    """Return the names of the recipes that come with rmqsetup."""
    return tuple(sorted(file.stem for file in _shelf().glob("*.toml")))


def rabbitmq_conf(request: Request, *, definitions: str = SYSTEM.definitions) -> str:
    """Return the text of our file in conf.d, empty when there is nothing to say; `definitions` is where they will be.

    A node reads conf.d in the order of names, after rabbitmq.conf, and what comes later wins: seen on 3.10, 4.0, 4.3.
    """
    lines = [f"{setting.key} = {setting.value}\n" for setting in request.config]
    if request.definitions:
        lines.append(f"load_definitions = {definitions}\n")
    return "".join((_HEADER, *lines)) if lines else ""


def enabled_plugins(request: Request) -> str:
    """Return the text of /etc/rabbitmq/enabled_plugins; empty when plugins are left as they are."""
    return "" if request.plugins is None else f"[{','.join(request.plugins)}].\n"


def _shelf() -> Path:
    """Return the folder of the shipped recipes: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).parent
    return here / "recipes" if (here / "recipes").is_dir() else here.parent / "recipes"


def _read(recipe: str, stdin: TextIO | None) -> tuple[str, Path]:
    """Return the text of a recipe and the folder its paths are relative to."""
    if recipe == "-":
        return (stdin or sys.stdin).read(), Path.cwd()
    path = _shelf() / f"{recipe}.toml" if recipe in shipped() else Path(recipe).expanduser().absolute()
    try:
        return path.read_text(encoding="utf-8"), path.parent
    except FileNotFoundError:
        names = ", ".join(shipped())
        raise UsageError(
            f"there is no recipe {recipe!r}{did_you_mean(recipe, shipped())}",
            looked_at=(f"the recipes that come with rmqsetup: {names}", str(path)),
            hint=f"name one of {names}, a file, or - for standard input",
        ) from None
    except OSError as error:
        raise UsageError(f"the recipe {recipe} cannot be read", cause=f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"the recipe {recipe} is not UTF-8 text", cause=f"{path}: byte {error.start}") from None


def _parse(text: str, what: str) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = 'text stands in quotes; a setting that begins another one is quoted whole: "log.file" = "broker.log"'
        raise UsageError(f"{what} is not TOML", cause=str(error), hint=hint) from None


def _soften(problem: Problem) -> Problem:
    if len(problem.path) != 1 or problem.path[0] not in LATER:
        return problem
    return replace(problem, text=f"comes in a later version of rmqsetup; today use {LATER[problem.path[0]]}")


def _request(written: Recipe, config: tuple[Setting, ...], folder: Path) -> tuple[Request, tuple[Problem, ...]]:
    """Put a recipe into the words of a request."""
    rabbitmq, faults = _wish(written.rabbitmq.version, _ANY, ("rabbitmq", "version"))
    erlang, more = _wish(written.erlang.version, _ANY, ("erlang", "version"))
    request = Request(
        rabbitmq=rabbitmq,
        erlang=erlang,
        source=written.source or ("mirror" if written.mirror.url else "archive" if written.archive.prefix else "auto"),
        mirror=written.mirror.url.rstrip("/"),
        key=placed_at(written.mirror.key, folder),
        fingerprint=plain_fingerprint(written.mirror.fingerprint),
        archive=written.archive.beside(folder),
        plugins=None if written.plugins is None else tuple(dict.fromkeys(written.plugins)),
        config=config,
        definitions=placed_at(written.definitions, folder),
        open_files=written.limits.open_files,
        start=written.service.start,
        enable=written.service.enable,
        hold=written.hold,
        recommends=written.recommends,
        lock_timeout=written.lock_timeout,
    )
    return request, (*faults, *more)


def _wish(text: str | None, otherwise: Wanted, path: tuple[str, ...]) -> tuple[Wanted, tuple[Problem, ...]]:
    if text is None:
        return otherwise, ()
    try:
        return Wanted.parse(text), ()
    except UsageError as error:
        return otherwise, (Problem(path, f"{error.message}: {error.hint}"),)


def _source(request: Request, overrides: Overrides) -> Request:
    """Return the request with the source that was said."""
    if overrides.source is not None:
        name, _, url = overrides.source.partition("=")
        kept = request if name == "mirror" and not url else Request()
        request = replace(
            request, source=name, mirror=url.rstrip("/") or kept.mirror, key=kept.key, fingerprint=kept.fingerprint
        )
        request = replace(request, archive=request.archive if name in BELOW else NOTHING)
    if overrides.key is not None:
        request = replace(request, key=placed_at(overrides.key, Path.cwd()))
    if overrides.fingerprint is not None:
        request = replace(request, fingerprint=plain_fingerprint(overrides.fingerprint))
    return request


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def plain_fingerprint(text: str) -> str:
    """Return fingerprints in one form: gpg shows them in groups of four."""
    return ",".join(_names("".join(text.split()).upper()))


def _lines(problems: tuple[Problem, ...]) -> str:
    return "\n".join(dict.fromkeys(map(str, problems)))


def _judge(request: Request) -> Iterator[Problem]:
    """Say what is wrong with single wishes."""
    if request.source not in SOURCES:
        known = did_you_mean(request.source, SOURCES)
        yield Problem(("source",), f"{request.source!r} is none of {', '.join(SOURCES)}{known}")
    yield from plugins.judge(request.plugins or ())
    yield from settings.judge(request.config)
    if request.mirror and not re.match(r"(https?://[^/\s]|file:///)\S*$", request.mirror):
        yield Problem(("mirror", "url"), f"{request.mirror!r} is no base URL: https://, http:// or file:/// is")
    elif re.match(r"\w+://[^/]*@", request.mirror):
        yield Problem(("mirror", "url"), "holds a password; put it into /etc/apt/auth.conf.d, and only the host here")
    if not all(re.fullmatch("[0-9A-F]{40}", each) for each in request.fingerprints):
        yield Problem(("mirror", "fingerprint"), "is not 40 hex digits, as gpg --show-keys FILE shows them")
    if request.open_files is not None and request.open_files not in OPEN_FILES:
        yield Problem(("limits", "open_files"), f"{request.open_files} is not from {OPEN_FILES[0]} to {OPEN_FILES[-1]}")
    if not 0 <= request.lock_timeout <= 86400:
        yield Problem(("lock_timeout",), f"{request.lock_timeout} is not from 0 to 86400 seconds")


def _complete(request: Request) -> Iterator[Problem]:
    """Say what does not go together, and what the named files hold."""
    yield from archived.judge(request.archive, request.source)
    trust = {"url": request.mirror, "key": request.key, "fingerprint": request.fingerprint}
    if request.source in ("archive", "team"):
        trust = {"url": request.mirror}
        if bool(request.key) != bool(request.fingerprint):
            yield Problem(("mirror",), "a key that you have checked yourself needs both --key and --fingerprint")
    for name, value in trust.items():
        if request.source == "mirror" and not value:
            option = "--source mirror=URL" if name == "url" else f"--{name}"
            yield Problem(("mirror", name), f"is missing ({option}): a mirror of your own is trusted by its key alone")
        elif request.source != "mirror" and value:
            yield Problem(("mirror", name), f"belongs to the source mirror only, and the source is {request.source}")
    if request.key and "://" not in request.key and not Path(request.key).is_file():
        yield Problem(("mirror", "key"), f"there is no file {request.key}")
    if request.definitions:
        yield from (Problem(("definitions",), text) for text in definitions.mistakes(request.definitions))
