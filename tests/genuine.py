"""A genuine, signed release of RabbitMQ, out of the source package that Debian publishes."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

SUITE = "trixie"  # its source package carries upstream's own .asc


@dataclass(frozen=True)
class UpstreamRelease:
    archive: bytes
    signature: bytes
    key: bytes


@functools.cache
def upstream_release() -> UpstreamRelease:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rmqsetup-lab" / "source"
    if not list(cache.glob("*.orig.tar.xz.asc")):
        _download(cache)
    signature = next(iter(cache.glob("*.orig.tar.xz.asc")))
    with tarfile.open(next(iter(cache.glob("*.debian.tar.xz")))) as debian:
        key = debian.extractfile("debian/upstream/signing-key.asc")
        assert key is not None
        return UpstreamRelease(signature.with_suffix("").read_bytes(), signature.read_bytes(), key.read())


def _download(cache: Path) -> None:
    """Get the source package with apt, in a configuration of its own, from the machine's own mirror."""
    if not shutil.which("apt-get"):
        _give_up("there is no apt here")
    mirror = _apt(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]).split()
    if not mirror:
        _give_up("apt knows no mirror of Debian")
    partial = cache.with_name("source.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial", "download"):
        (partial / folder).mkdir(parents=True)
    (partial / "sources.list").write_text(f"deb-src {mirror[0]} {SUITE} main\n")
    options = [
        f"Dir::State={partial}/state",
        f"Dir::Cache={partial}/cache",
        f"Dir::Etc::sourcelist={partial}/sources.list",
    ]
    options += ["Dir::Etc::sourceparts=-", "Acquire::Languages=none", "APT::Sandbox::User=root"]
    own = [word for option in options for word in ("-o", option)]
    try:
        _apt([*own, "update"])
        _apt([*own, "source", "--download-only", "rabbitmq-server"], inside=partial / "download")
        cache.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(cache, ignore_errors=True)
        (partial / "download").rename(cache)
    except subprocess.CalledProcessError as error:
        _give_up(f"apt cannot download it: {error.stderr.strip()[-300:]}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _apt(arguments: list[str], *, inside: Path | None = None) -> str:
    done = subprocess.run(["apt-get", "-qq", *arguments], cwd=inside, check=True, capture_output=True, text=True)
    return done.stdout


def _give_up(reason: str) -> NoReturn:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no genuine release to verify: {reason}")
    raise AssertionError
