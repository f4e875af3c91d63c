"""Where the programs of RabbitMQ and its Erlang are: on this machine, or unpacked in a cache.

Starting them belongs to `node`; how a prefix comes into the cache to whoever makes one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmqsetup.codec import did_you_mean
from rmqsetup.errors import UnsupportedError, UsageError
from rmqsetup.managers.layout import PREFIXES
from rmqsetup.version import Version, Wanted

ANY = Wanted()

SERVERS = "usr/lib/rabbitmq/lib/rabbitmq_server-*"
"""RabbitMQ's home in every package that is Debian's, Red Hat's or upstream's, below `/` or a prefix."""

ERLANGS = ("usr/lib/erlang", "usr/lib64/erlang")
"""Erlang's root directory in the same packages."""

BROUGHT = "bring it from a machine that has it: rmqsetup cache export FILE there, and here rmqsetup run --bundle FILE"
"""What helps a machine that fetches nothing."""

_PACKED = ".ez"
_NAME = re.compile(r"rabbit-(\d+(?:\.\d+)+\S*)")
_APPLICATIONS = re.compile(r"\{applications,\s*\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A RabbitMQ and the Erlang it is to run on: RABBITMQ_HOME and the root directory of Erlang."""

    home: Path
    erlang: Path

    @property
    def version(self) -> str:
        """The release of RabbitMQ, as its own plugin folder has it; empty where that is none."""
        return next((found[1] for path in self._plugins() if (found := _NAME.fullmatch(_title(path)))), "")

    @property
    def erts(self) -> Path:
        """The folder of the Erlang runtime system; of several the newest."""
        return max(self.erlang.glob("erts-*"), key=lambda path: Version(path.name.removeprefix("erts-")))

    @property
    def runtime(self) -> str:
        """The version of the Erlang runtime system: 15.2.7 is of OTP 27."""
        return self.erts.name.removeprefix("erts-")

    @property
    def otp(self) -> str:
        """The major version of Erlang/OTP."""
        releases = (path.name for path in (self.erlang / "releases").glob("*") if path.name.isdigit())
        return max(releases, key=int, default="")

    @property
    def is_there(self) -> bool:
        """Whether both can be run."""
        return bool(self.version) and any(os.access(path / "bin/erlexec", os.X_OK) for path in self._runtimes())

    def needed(self, plugins: tuple[str, ...]) -> tuple[Path, ...]:
        """Return the folders (or .ez files) of the plugins and of all applications that these and the broker need.

        Raises `UsageError` for a plugin that this RabbitMQ does not have.
        """
        folders = {_title(path).partition("-")[0]: path for path in self._plugins()}
        for name in plugins:
            if name not in folders:
                known = tuple(each for each in folders if each.startswith("rabbitmq_"))
                raise UsageError(
                    f"RabbitMQ {self.version} has no plugin {name}{did_you_mean(name, known)}",
                    hint="the plugins it has: " + ", ".join(sorted(known)),
                )
        found: dict[str, Path] = {}
        wanted = ["rabbit", "rabbitmq_prelaunch", *plugins]
        while wanted:
            name = wanted.pop()
            if name in folders and name not in found:
                found[name] = folders[name]
                wanted += _applications(folders[name], name)
        return tuple(found[name] for name in sorted(found))

    def _plugins(self) -> tuple[Path, ...]:
        """Return what there is of plugins: first those that were added to packages, so that RabbitMQ's own win."""
        found = []
        for folder in (self.home.parents[1] / "plugins", self.home / "plugins"):
            with contextlib.suppress(OSError):
                found += [folder / name for name in sorted(os.listdir(folder))]  # noqa: PTH208 - names are enough
        return tuple(found)

    def _runtimes(self) -> Iterator[Path]:
        return self.erlang.glob("erts-*")


def find(wanted: Wanted = ANY) -> Binaries | None:
    """Return the newest RabbitMQ of this machine that grants a wish."""
    return _newest(installed(), wanted)


def find_below(prefixes: tuple[Path, ...], wanted: Wanted = ANY) -> Binaries | None:
    """Return the newest RabbitMQ below some prefixes that grants a wish."""
    return _newest(tuple(each for prefix in prefixes for each in below(prefix)), wanted)


def _newest(among: tuple[Binaries, ...], wanted: Wanted) -> Binaries | None:
    fitting = (each for each in among if wanted.admits(each.version))
    return max(fitting, key=lambda each: Version(each.version), default=None)


def missing(wanted: Wanted, cause: str = "") -> UnsupportedError:
    """Return the error where no RabbitMQ grants a wish, with every place that was looked at."""
    others = ", ".join(sorted({each.version for each in installed()}))
    wish = "" if wanted == ANY else f" {wanted}"
    return UnsupportedError(
        f"there is no RabbitMQ{wish} to start",
        cause=cause or (f"this machine has {others}" if others else "this machine has none"),
        hint=f"rmqsetup install installs it; or {BROUGHT}",
        looked_at=(f"/{SERVERS}", *(f"{prefix}/opt/rabbitmq" for prefix in PREFIXES), "rabbitmq-server on PATH"),
    )


def installed() -> tuple[Binaries, ...]:
    """Return every RabbitMQ that this machine has: of its packages, of Homebrew, and the one a shell finds."""
    pairs = [*_pairs(Path("/"))]
    for prefix in (path for path in map(Path, PREFIXES) if path.is_dir()):
        pairs += [(prefix / "opt/rabbitmq", erlang) for erlang in prefix.glob("opt/erlang*/lib/erlang")]
    found, erl = _found("rabbitmq-server"), _found("erl")
    if found and erl:
        pairs.append((found.parent.parent, erl.parent.parent))
    return _unique(pairs)


def below(prefix: Path) -> tuple[Binaries, ...]:
    """Return what is unpacked below a prefix: packages as they are, or an archive as `rmqsetup install` places it."""
    pairs = [*_pairs(prefix)]
    if (prefix / "current").exists():
        erl = _resolved(prefix / "erlang/bin/erl") or _found("erl")
        pairs += [((prefix / "current").resolve(), erl.parent.parent)] if erl else []
    return _unique(pairs)


def _pairs(root: Path) -> Iterator[tuple[Path, Path]]:
    for home in root.glob(SERVERS):
        yield from ((home, root / erlang) for erlang in ERLANGS)


def _unique(pairs: list[tuple[Path, Path]]) -> tuple[Binaries, ...]:
    found = dict.fromkeys(Binaries(home.resolve(), erlang.resolve()) for home, erlang in pairs)
    return tuple(each for each in found if each.is_there)


def _found(program: str) -> Path | None:
    path = shutil.which(program)
    return Path(path).resolve() if path else None


def _resolved(path: Path) -> Path | None:
    return path.resolve() if path.exists() else None


def _title(path: Path) -> str:
    """Return name and version of an application in a folder or an .ez file."""
    return path.name.removesuffix(_PACKED)


def _applications(folder: Path, name: str) -> tuple[str, ...]:
    """Return what an application says it needs."""
    try:
        if folder.suffix == _PACKED:
            with zipfile.ZipFile(folder) as archive:
                said = archive.read(f"{_title(folder)}/ebin/{name}.app")
        else:
            said = (folder / "ebin" / f"{name}.app").read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return ()
    text = said.decode("utf-8", "replace")
    found = _APPLICATIONS.search(text)
    return tuple(word.strip().strip("'") for word in found[1].split(",")) if found else ()
