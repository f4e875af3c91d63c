"""What somebody who helps needs to see, in one archive: facts, findings, versions, configuration, logs; no secrets.

What a finding is belongs to `checks`; the cookie, definitions and messages are never looked at.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import asdict
from enum import Enum
from pathlib import Path

from rmqsetup import __version__
from rmqsetup.checks.scene import Scene
from rmqsetup.doctor import Examination
from rmqsetup.errors import ManagerError, UsageError
from rmqsetup.redaction import redacted

LINES = 400
"""How much of the end of each log goes along."""


def write(path: str, scene: Scene, found: Examination) -> None:
    """Write the archive, for its owner alone to read. Raises `UsageError` where there is such a file already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", hint="name another file, or move that one away") from error
    except OSError as error:
        raise ManagerError(f"cannot write {path}", cause=error.strerror or str(error)) from error
    try:
        with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, text in contents(scene, found):
                content = redacted(text).encode(errors="replace")
                member = tarfile.TarInfo(f"rmqsetup-doctor/{name}")
                member.size, member.mode, member.mtime = len(content), 0o600, int(scene.now)
                archive.addfile(member, io.BytesIO(content))
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise ManagerError(f"cannot write {path}", cause=error.strerror or str(error)) from error


def contents(scene: Scene, found: Examination) -> tuple[tuple[str, str], ...]:
    """Return the files of the archive, not yet redacted: names and texts."""
    from rmqsetup.codec import to_data

    facts = json.dumps(to_data(scene.facts), indent=2)
    told = ("check", "severity", "summary", "evidence", "cause", "hint")
    findings = [{name: getattr(each, name) for name in told} for each in found.findings]
    unit = scene.run("systemctl", "show", scene.layout.service).stdout
    status = json.dumps(asdict(scene.node), indent=2, default=_plain) if scene.node else "the node does not answer"
    return (
        ("tool.txt", f"rmqsetup {__version__}\n"),
        ("facts.json", facts),
        ("findings.json", json.dumps(findings, indent=2, default=_plain)),
        ("unit.txt", unit),
        ("node.json", status),
        *((f"etc{path}", scene.text(path)) for path in _configuration(scene)),
        *(
            (f"logs/{name}", scene.run("tail", "-n", str(LINES), f"{scene.layout.logs}/{name}").stdout)
            for name in _logs(scene)
        ),
        ("logs/journal.txt", _journal(scene)),
    )


def _configuration(scene: Scene) -> tuple[str, ...]:
    named = (f"{scene.layout.config}/advanced.config", scene.layout.environment, scene.plugins_file, "/etc/hosts")
    return tuple(path for path in (*scene.config_files, *named) if scene.text(path))


def _logs(scene: Scene) -> tuple[str, ...]:
    return tuple(name for name in scene.names(scene.layout.logs) if name.endswith(".log"))


def _journal(scene: Scene) -> str:
    asked = ("journalctl", "-q", "--no-pager", "-n", str(LINES), "-o", "short-iso", "-u", scene.layout.service)
    return scene.run(*asked, timeout=10).stdout


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
