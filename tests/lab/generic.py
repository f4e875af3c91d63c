"""Archives with the shape of upstream's generic-unix one and of a prebuilt Erlang, out of Debian's packages.

How they are signed belongs to `trust`.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import debs, roots
from lab.system import call, locked

FORM = 2
"""To be raised when the archives here are made in another way."""

_INSTALL = """\
#!/bin/sh
# As upstream's Install: -cross -minimal ROOT, run in the tree itself.
[ "$1 $2" = "-cross -minimal" ] && [ -n "$3" ] || exit 1
for name in erl start; do
    (cd erts-*/bin && sed "s;%FINAL_ROOTDIR%;$3;" "$name.src" >"$name" && chmod 755 "$name") || exit 1
    cp -p erts-*/bin/"$name" bin || exit 1
done
"""


@dataclass(frozen=True, slots=True)
class Generic:
    """Two archives: of a RabbitMQ, whose folder is `rabbitmq_server-VERSION`, and of an Erlang."""

    rabbitmq: Path
    erlang: Path
    version: str


def fetch(base: str) -> Generic:
    """Return the archives of a base's suite, made once."""
    pair = debs.fetch(base)
    version = pair.rabbitmq.version.partition("-")[0]
    folder = roots.cache() / "generic" / f"{base}-{pair.rabbitmq.version}-{FORM}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            _rabbitmq(pair.rabbitmq, version, part / "rabbitmq.tar.xz")
            _erlang(pair, part / "erlang.tar.gz")
            part.rename(folder)
    return Generic(folder / "rabbitmq.tar.xz", folder / "erlang.tar.gz", version)


def renamed(archive: Path, old: str, new: str) -> bytes:
    """Return the archive of a RabbitMQ as that of another release: its folder is named so."""
    packed = io.BytesIO()
    with tarfile.open(archive) as source, tarfile.open(fileobj=packed, mode="w:xz", preset=0) as target:
        for member in source:
            member.name = member.name.replace(old, new, 1)
            member.linkname = member.linkname.replace(old, new, 1)
            member.pax_headers = {}  # long names are there a second time
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return packed.getvalue()


def with_member(archive: Path, name: str) -> bytes:
    """Return an archive with one entry more."""
    packed = io.BytesIO()
    with tarfile.open(archive) as source, tarfile.open(fileobj=packed, mode="w:xz", preset=0) as target:
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
        info = tarfile.TarInfo(name)
        target.addfile(info, io.BytesIO())
    return packed.getvalue()


def _rabbitmq(deb: debs.Deb, version: str, target: Path) -> None:
    with _unpacked(deb) as tree:
        (found,) = (tree / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
        _pack(found, f"rabbitmq_server-{version}", target)


def _erlang(pair: debs.Pair, target: Path) -> None:
    """Make a tree that does not know its place yet, as `make release` leaves it."""
    with _unpacked(*pair.erlang) as tree:
        root = tree / "usr/lib/erlang"
        for path in [path for path in root.rglob("*") if path.is_symlink() and path.readlink().is_absolute()]:
            path.unlink()  # documents and configuration elsewhere
        (places,) = root.glob("erts-*/bin")
        for name in ("erl", "start"):
            text = (places / name).read_text().replace("/usr/lib/erlang", "%FINAL_ROOTDIR%")
            (places / f"{name}.src").write_text(text)
            for copy in (places / name, root / "bin" / name):
                copy.unlink(missing_ok=True)
        (root / "Install").write_text(_INSTALL)
        (root / "Install").chmod(0o755)
        _pack(root, "OTP", target)


def _pack(tree: Path, top: str, target: Path) -> None:
    form, options = ("w:xz", {"preset": 0}) if target.suffix == ".xz" else ("w:gz", {"compresslevel": 1})
    with tarfile.open(target, form, **options) as tar:
        tar.add(tree, top, filter=_inside(tree))


def _inside(tree: Path):
    """Leave out links that lead out of the tree: Debian puts some things elsewhere."""

    def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 0
        if not member.issym():
            return member
        place = tree / Path(member.name).relative_to(member.name.split("/")[0])
        return member if place.resolve().is_relative_to(tree.resolve()) else None

    return keep


@contextmanager
def _unpacked(*packages: debs.Deb) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="t-generic-"))
    try:
        for deb in packages:
            call("dpkg-deb", "-x", str(deb.path), str(folder))
        yield folder
    finally:
        shutil.rmtree(folder)
