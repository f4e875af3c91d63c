"""The tool under test as a layer over a machine: its dependencies, this checkout, a command.

How the tool installs itself belongs to `install.sh`; machines for that get the plain `checkout`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from lab import roots
from lab.laboratory import Layer
from lab.system import call, locked
from lab.trust import Key

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

HOME = "usr/local/lib/rmqsetup-lab"
"""Where the tool is in the machine."""

CHECKOUT = "/srv/rmqsetup"
"""Where the plain checkout is in the machine."""

TEAM = "0A9AF2115F4687BD29803A206B73A36E6026DFCA"
"""The fingerprint the catalog pins for Team RabbitMQ, and which `pinned` replaces."""

COMMAND = f"""#!/usr/bin/python3
import sys

sys.path[:0] = ["/{HOME}/app", "/{HOME}/deps"]
sys.argv[0] = "rmqsetup"

from rmqsetup.__main__ import main

sys.exit(main())
"""


class Tool:
    """The layers of one session: made when first asked for, from the checkout as it is then."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="t-tool-"))
        self._folder.chmod(0o755)

    def close(self) -> None:
        """Forget the copies of the checkout."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def layers(self, key: Key | None = None) -> tuple[Layer, ...]:
        """Return the layers with which `rmqsetup` works in a machine that has a Python.

        With `key`, the catalog pins that key in the place of Team RabbitMQ's.
        """
        name = f"tool-{key.fingerprint}" if key else "tool"
        target = self._folder / name
        if not target.exists():
            _copy(target, key)
        return (Layer(name, target), _dependencies())

    def checkout(self) -> Layer:
        """Return a layer with the checkout at `CHECKOUT`, without its history and without what it ignores."""
        target = self._folder / "checkout"
        if not target.exists():
            listing = call("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
            for name in filter(None, listing.split("\0")):
                if (ROOT / name).is_file():
                    place = target / CHECKOUT.lstrip("/") / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, place)
        return Layer("checkout", target)


def _copy(target: Path, key: Key | None) -> None:
    app = target / HOME / "app"
    shutil.copytree(ROOT / "rmqsetup", app / "rmqsetup", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "recipes", app / "rmqsetup/recipes", dirs_exist_ok=True)
    if key is not None:
        _pin(app / "rmqsetup/catalog", key)
    command = target / "usr/local/bin/rmqsetup"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)


def _pin(catalog: Path, key: Key) -> None:
    """Put a key in the place of Team RabbitMQ's, in the tables and in the key files."""
    for table in catalog.rglob("*.toml"):
        text = re.sub(TEAM, key.fingerprint, table.read_text(), flags=re.IGNORECASE)
        table.write_text(re.sub(TEAM[-16:], key.fingerprint[-16:], text, flags=re.IGNORECASE))
    for file in (path for kind in ("*.asc", "*.gpg", "*.pgp") for path in catalog.rglob(kind)):
        shown = call("gpg", "--batch", "--with-colons", "--show-keys", str(file), check=False)
        if TEAM in shown:
            armored = file.read_bytes().startswith(b"-----")
            file.write_bytes(key.armored.encode() if armored else key.binary)


def _dependencies() -> Layer:
    """Return what the tool needs, as wheels that run under every Python and on every architecture."""
    wanted = _wanted()
    key = hashlib.sha256(repr((wanted, 2)).encode()).hexdigest()[:12]
    target = roots.cache() / "tool" / key
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            part = target.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            call(
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"),
                *("--platform=any", "--implementation=py", "--abi=none", "--python-version=3.11"),
                *("--disable-pip-version-check", "--root-user-action=ignore"),
                *("--target", str(part / HOME / "deps"), *wanted),
            )
            _compile(part)
            part.rename(target)
    return Layer(f"dependencies-{key}", target)


def _wanted() -> tuple[str, ...]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return tuple(project["dependencies"])


def _compile(layer: Path) -> None:
    """Compile the dependencies with the Python of each base that is there, as pip would have done in the machine."""
    for base in ("bookworm", "trixie", "forky"):
        tree = roots.root(base)
        bind = f"--bind={layer / HOME}:/{HOME}"
        compile_all = ("python3", "-m", "compileall", "-q", f"/{HOME}/deps")
        call(
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--volatile=overlay",
            "-D",
            str(tree),
            bind,
            *compile_all,
        )
