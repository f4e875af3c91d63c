"""Debian packages as files: fetch real ones, give them other versions.

How packages become a signed repository belongs to `archive`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import roots
from lab.system import call, locked

ERLANG = (
    *("erlang-base", "erlang-asn1", "erlang-crypto", "erlang-eldap", "erlang-ftp", "erlang-inets", "erlang-mnesia"),
    *("erlang-os-mon", "erlang-parsetools", "erlang-public-key", "erlang-runtime-tools", "erlang-snmp", "erlang-ssl"),
    *("erlang-syntax-tools", "erlang-tftp", "erlang-tools", "erlang-xmerl"),
)
"""The Erlang packages Team RabbitMQ's repository has for RabbitMQ."""


@dataclass(frozen=True, slots=True)
class Deb:
    """A package file. `control` is its control stanza, as text without an empty line at the end."""

    path: Path
    control: str

    def field(self, name: str) -> str:
        """Return a one-line field; empty when there is none."""
        found = re.search(rf"^{name}: *(.*)$", self.control, re.MULTILINE)
        return found[1] if found else ""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.field("Package")

    @property
    def version(self) -> str:
        """The package's version, with its epoch."""
        return self.field("Version")


@dataclass(frozen=True, slots=True)
class Pair:
    """A suite's RabbitMQ and Erlang, and what else a minimal root needs to install them."""

    rabbitmq: Deb
    erlang: tuple[Deb, ...]
    others: tuple[Deb, ...]

    @property
    def debs(self) -> tuple[Deb, ...]:
        """RabbitMQ and Erlang: what Team RabbitMQ's repositories hold."""
        return (self.rabbitmq, *self.erlang)

    def versioned(self, rabbitmq: str, erlang: str) -> Pair:
        """Return the same content under other versions, such as `4.2.9-1` and `1:27.3.4.6-1`."""
        renewed = tuple(versioned(deb, erlang, self.erlang) for deb in self.erlang)
        return Pair(versioned(self.rabbitmq, rabbitmq, ()), renewed, self.others)


def fetch(base: str) -> Pair:
    """Return the real packages a base's suite offers, downloaded once (about 40 MB) from its own mirror.

    Needs no machine: apt here is asked as if it were apt there.
    """
    tree = roots.root(base)
    folder = roots.cache() / "debs" / tree.name
    with locked(folder.with_name(f"{tree.name}.lock")):
        if not folder.exists():
            _download(tree, folder)
    debs = tuple(load(path) for path in sorted(folder.glob("*.deb")))
    erlang = tuple(deb for deb in debs if deb.name in ERLANG)
    rabbitmq = next(deb for deb in debs if deb.name == "rabbitmq-server")
    return Pair(rabbitmq, erlang, tuple(deb for deb in debs if deb is not rabbitmq and deb not in erlang))


def load(path: Path) -> Deb:
    """Read a package file's control stanza."""
    for name, content in _members(path.read_bytes()):
        if name.startswith("control.tar"):
            with _opened(name, content) as tar:
                file = tar.extractfile("./control")
                return Deb(path, file.read().decode().strip() if file else "")
    raise ValueError(f"{path} has no control file")


def versioned(deb: Deb, version: str, siblings: tuple[Deb, ...]) -> Deb:
    """Return a package under another version, and siblings it asks for by exact version likewise.

    RabbitMQ's demands on Erlang become the ones Team RabbitMQ's own packages have: 26 up to 28, and nothing of
    Erlang that their repository has not.
    """
    control = re.sub(r"^Version: .*$", f"Version: {version}", deb.control, flags=re.MULTILINE)
    for old in {sibling.version for sibling in siblings}:
        control = control.replace(f"(= {old})", f"(= {version})")
    if deb.name == "rabbitmq-server":
        control = re.sub(r"(erlang-[a-z-]+)(?: \([^)]*\))", r"\1", control)
        control = re.sub(r", (erlang-[a-z-]+)(?=,|\n|$)", lambda f: f[0] if f[1] in ERLANG else "", control)
        control = control.replace(", rabbitmqadmin-ng", "")  # forky's breaks every RabbitMQ before 4.3
        control = re.sub(r"erlang-base(?:,| \|[^,]*,)", "erlang-base (>= 1:26.0), erlang-base (<< 1:29.0),", control)
    return rebuilt(deb, control)


def rebuilt(deb: Deb, control: str, *, script: str = "") -> Deb:
    """Return a package with another control stanza, and with `script` as its postinst if there is one.

    Only the small control member is written anew; the payload stays as it is compressed.
    """
    key = hashlib.sha256(repr((deb.path.name, deb.path.stat().st_size, control, script)).encode()).hexdigest()[:12]
    fields = Deb(deb.path, control)
    plain = fields.version.rpartition(":")[2]
    target = roots.cache() / "rebuilt" / key / f"{fields.name}_{plain}_{fields.field('Architecture')}.deb"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        part.write_bytes(_joined(_changed(_members(deb.path.read_bytes()), control, script)))
        part.rename(target)
    return Deb(target, control)


def _download(tree: Path, folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for needed in ("lists/partial", "archives/partial", "etc/preferences.d"):
        (part / needed).mkdir(parents=True)
    settings = part / "apt.conf"
    settings.write_text(
        f'Dir::State "{part}"; Dir::State::lists "{part}/lists"; Dir::State::status "{tree}/var/lib/dpkg/status";\n'
        f'Dir::Cache "{part}"; Dir::Cache::archives "{part}/archives"; Dir::Etc "{part}/etc";\n'
        f'Dir::Etc::sourcelist "{tree}/etc/apt/sources.list.d/debian.sources"; Dir::Etc::sourceparts "-";\n'
        f'Dir::Etc::trustedparts "{tree}/etc/apt/trusted.gpg.d"; Dir::Etc::parts "{part}/etc/none";\n'
        'APT::Sandbox::User "root"; APT::Install-Recommends "true";\n'
    )
    environment = dict(os.environ, APT_CONFIG=str(settings), DEBIAN_FRONTEND="noninteractive")
    call("apt-get", "-q", "update", env=environment)
    call("apt-get", "-q", "-y", "--download-only", "install", "rabbitmq-server", *ERLANG, env=environment)
    (part / "archives").rename(folder)
    shutil.rmtree(part)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Read an ar archive, which is what a .deb is."""
    place = len(b"!<arch>\n")
    while place + 60 <= len(data):
        name, size = data[place : place + 16].decode().strip().rstrip("/"), int(data[place + 48 : place + 58])
        yield name, data[place + 60 : place + 60 + size]
        place += 60 + size + size % 2


def _joined(members: Iterator[tuple[str, bytes]]) -> bytes:
    whole = bytearray(b"!<arch>\n")
    for name, content in members:
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        whole += b"\n" * (len(content) % 2)
    return bytes(whole)


def _changed(members: Iterator[tuple[str, bytes]], control: str, script: str) -> Iterator[tuple[str, bytes]]:
    for name, content in members:
        if not name.startswith("control.tar"):
            yield name, content
            continue
        packed = io.BytesIO()
        with _opened(name, content) as old, tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT) as new:
            for member in old:
                file = old.extractfile(member)
                data = file.read() if file else b""
                if member.name == "./control":
                    data = control.encode() + b"\n"
                elif member.name == "./postinst" and script:
                    data = script.encode()
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        yield "control.tar.gz", packed.getvalue()


def _opened(name: str, content: bytes) -> tarfile.TarFile:
    if name.endswith(".zst"):  # newer than tarfile knows
        content = call_bytes("zstd", "-dc", content)
    return tarfile.open(fileobj=io.BytesIO(content))


def call_bytes(program: str, option: str, content: bytes) -> bytes:
    """Filter bytes through a program of this machine."""
    import subprocess

    return subprocess.run((program, option), input=content, capture_output=True, check=True).stdout
