"""Base roots: pristine minimal Debian trees, built once and never written to again.

How a copy of one is booted belongs to `machines`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.system import LabError, call, locked

PROGRAMS = (
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
    ("gpg", "gnupg"),
    ("openssl", "openssl"),
)
"""Programs the lab needs, each with the Debian package that has it."""

SYSTEM = ("ca-certificates", "iproute2", "procps", "sudo")
INIT = ("systemd", "systemd-sysv", "dbus")


@dataclass(frozen=True, slots=True)
class Base:
    """A root to build: the suite and what is in it beside the essential packages and apt."""

    name: str
    suite: str
    packages: tuple[str, ...]


BASES = (
    Base("bookworm", "bookworm", (*SYSTEM, *INIT, "python3")),
    Base("trixie", "trixie", (*SYSTEM, *INIT, "python3")),
    Base("forky", "forky", (*SYSTEM, *INIT, "python3")),
    Base("trixie-bare", "trixie", (*SYSTEM, *INIT)),  # no Python: the hardest machine for install.sh
    Base("trixie-slim", "trixie", (*SYSTEM, "python3")),  # no systemd: what a container image is
)


def missing() -> tuple[str, ...]:
    """Return what this machine lacks for a lab, in words; nothing when it can have one."""
    lacks = tuple(
        f"{name} (apt-get install {package})" for name, package in PROGRAMS if not shutil.which(name, path=_path())
    )
    return lacks if os.geteuid() == 0 else ("root", *lacks)


def cache() -> Path:
    """Return the folder of everything the lab keeps between sessions."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "rmqsetup-lab"


def root(name: str) -> Path:
    """Return the tree of a base, building it when this machine has none yet (about 20 s, 210 MB)."""
    base = next(base for base in BASES if base.name == name)
    plan = (base.suite, ",".join(base.packages), sources(base.suite), _trust())
    key = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
    target = cache() / "bases" / f"{base.name}-{key}"
    if not target.exists():
        with locked(cache() / "bases" / f"{base.name}.lock"):
            if not target.exists():
                _build(base, target)
    return target


def sources(suite: str) -> str:
    """Return the deb822 source a machine of this suite has: Debian's main from this machine's own mirror.

    Where this machine does not check the dates of its mirror (a frozen one), neither does the new
    machine, but for this source alone: apt goes on checking the dates of every other repository.
    """
    fields = [
        "Types: deb",
        f"URIs: {mirror()}",
        f"Suites: {suite}",
        "Components: main",
        "Languages: none",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ]
    words = "".join(path.read_text() for path in sorted(Path("/etc/apt/apt.conf.d").glob("*")))
    off = r'^\s*Acquire::(Check-Valid-Until|Check-Date)\s+"?(?:false|no|0)\b'
    settings = sorted(set(re.findall(off, words, re.MULTILINE | re.IGNORECASE)))
    fields += [f"{setting}: no" for setting in settings]
    return "\n".join(fields) + "\n"


def mirror() -> str:
    """Return the Debian mirror this machine itself uses, from either form of apt's source files."""
    apt = Path("/etc/apt")
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))):
        if path.suffix not in (".list", ".sources") or not path.exists():
            continue
        found = re.findall(r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S+)", path.read_text(), re.MULTILINE)
        for address in found:
            if re.search(r"/debian/?$", address):
                return address
    raise LabError("no Debian mirror is configured for apt on this machine, so none is known for the bases")


def _build(base: Base, target: Path) -> None:
    for left in target.parent.glob(f"{base.name}-*.new*"):
        shutil.rmtree(left, ignore_errors=True)
    fresh = target.with_name(f"{target.name}.new{os.getpid()}")
    source = target.with_name(f"{target.name}.sources")
    source.write_text(sources(base.suite))
    call(
        *("unshare", "--mount", "--propagation=private"),  # so that its mounts cannot outlive it
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(base.packages)}",
        base.suite,
        str(fresh),
        str(source),
        env=dict(os.environ, PATH=_path()),
    )
    source.unlink()
    shutil.rmtree(fresh / "etc/apt/sources.list.d")  # mmdebstrap's name for it is not Debian's
    (fresh / "etc/apt/sources.list.d").mkdir()
    (fresh / "etc/apt/sources.list.d/debian.sources").write_text(sources(base.suite))
    for place in _trusted():
        inside = fresh / place.relative_to("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, inside)
    if not (fresh / "etc/debian_version").exists():
        raise LabError(f"{base.name}: mmdebstrap made no root")
    fresh.rename(target)


def _trusted() -> tuple[Path, ...]:
    """Return the files that say what this machine trusts; a machine in it needs the same to reach apt and PyPI."""
    certificates = sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt"))
    places = (Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt"), *certificates)
    return tuple(place for place in places if place.exists())


def _trust() -> str:
    return hashlib.sha256(b"".join(place.read_bytes() for place in _trusted())).hexdigest()


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
