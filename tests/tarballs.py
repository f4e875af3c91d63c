"""Archives for tests: such as a publisher makes, and such as only somebody with bad intentions does."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable

TOP = "rabbitmq_server-4.2.9"


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return one entry; `fields` are those of its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=0o755, **fields)


def link(name: str, target: str, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def tarball(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, form: str = "xz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{form}") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def release(*more: tuple[tarfile.TarInfo, bytes], form: str = "xz", top: str = TOP) -> bytes:
    """Return an archive with the shape of a generic-unix one, and some entries more."""
    return tarball(
        (
            folder(f"{top}/"),
            folder(f"{top}/sbin"),
            member(f"{top}/sbin/rabbitmq-server", b"#!/bin/sh\n", mode=0o755),
            member(f"{top}/plugins/README", b"plugins\n"),
            link(f"{top}/sbin/rabbitmqctl", "../escript/rabbitmqctl"),
            member(f"{top}/escript/rabbitmqctl", b"escript", mode=0o755),
            *more,
        ),
        form=form,
    )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
