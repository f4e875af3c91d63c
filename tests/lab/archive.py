"""Signed apt repositories with Team RabbitMQ's layout, as a table of what stands under which path.

How they are served, and what goes wrong while they are, belongs to `mirror`.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path

from lab.debs import Deb
from lab.system import call
from lab.trust import Key, Trust

Content = dict[str, "bytes | Path"]
"""What a server answers, by path: the bytes themselves, or the file that holds them."""

SIGNATURES = ("InRelease", "Release.gpg")


@dataclass(frozen=True, slots=True)
class Repository:
    """One apt repository below `prefix` with one suite, `codename`. `age` is how old its Release says it is.

    `valid` is for how long after its date; without it the Release does not say.
    """

    prefix: str
    codename: str
    debs: tuple[Deb, ...]
    age: timedelta = timedelta(minutes=5)
    valid: timedelta | None = None
    origin: str = "RabbitMQ"


def team(codename: str, debs: tuple[Deb, ...], *, age: timedelta = timedelta(minutes=5)) -> tuple[Repository, ...]:
    """Return Team RabbitMQ's two repositories for a Debian release, the server's and Erlang's."""
    server = tuple(deb for deb in debs if deb.name == "rabbitmq-server")
    erlang = tuple(deb for deb in debs if deb.name.startswith("erlang-"))
    return (
        Repository(f"rabbitmq-server/debian/{codename}", codename, server, age),
        Repository(f"rabbitmq-erlang/debian/{codename}", codename, erlang, age),
    )


def published(repositories: tuple[Repository, ...], trust: Trust, key: Key) -> Content:
    """Return all files of repositories, signed with a key."""
    content: Content = {}
    for repository in repositories:
        content |= _published(repository, trust, key)
    return content


def _published(repository: Repository, trust: Trust, key: Key) -> Content:
    content: Content = {f"/{repository.prefix}/{_pool(deb)}": deb.path for deb in repository.debs}
    suite = f"/{repository.prefix}/dists/{repository.codename}"
    indices: dict[str, bytes] = {}
    for architecture in (_architecture(), "all"):
        # as reprepro does it: packages for all architectures stand in the index of each
        wanted = [deb for deb in repository.debs if deb.field("Architecture") in (architecture, "all")]
        text = "".join(_stanza(deb) for deb in wanted).encode()
        place = f"main/binary-{architecture}/Packages"
        indices |= {place: text, f"{place}.gz": gzip.compress(text, mtime=0), f"{place}.xz": lzma.compress(text)}
    release = _release(repository, indices).encode()
    content |= {f"{suite}/{place}": data for place, data in indices.items()}
    content[f"{suite}/Release"] = release
    content[f"{suite}/InRelease"] = trust.sign(key, release, clear=True)
    content[f"{suite}/Release.gpg"] = trust.sign(key, release, clear=False)
    return content


def _stanza(deb: Deb) -> str:
    size, digest = _digest(deb.path)
    return f"{deb.control}\nFilename: {_pool(deb)}\nSize: {size}\nSHA256: {digest}\n\n"


def _pool(deb: Deb) -> str:
    plain = deb.version.rpartition(":")[2]
    name = f"{deb.name}_{plain}_{deb.field('Architecture')}.deb"
    return f"pool/main/{deb.name[0]}/{deb.field('Source').split(' ')[0] or deb.name}/{name}"


def _release(repository: Repository, indices: dict[str, bytes]) -> str:
    date = datetime.now(timezone.utc) - repository.age
    until = [f"Valid-Until: {_when(date + repository.valid)}"] if repository.valid is not None else []
    lines = [
        f"Origin: {repository.origin}",
        f"Label: {repository.origin}",
        f"Suite: {repository.codename}",
        f"Codename: {repository.codename}",
        f"Date: {_when(date)}",
        *until,
        f"Architectures: {_architecture()} all",
        "Components: main",
        f"Description: {repository.prefix}",
        "SHA256:",
        *(f" {hashlib.sha256(data).hexdigest()} {len(data)} {place}" for place, data in sorted(indices.items())),
    ]
    return "\n".join(lines) + "\n"


def _when(moment: datetime) -> str:
    return format_datetime(moment).replace("+0000", "UTC")


@lru_cache
def _digest(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


@lru_cache
def _architecture() -> str:
    return call("dpkg", "--print-architecture").strip()
