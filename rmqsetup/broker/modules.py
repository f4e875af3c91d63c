"""The modules that a node has loaded once it has booted, remembered per installation for the next one.

RabbitMQ looks at every module of its own at boot, which loads them one at a time: half of the CPU of a boot. How they
are loaded beforehand, in a few batches, belongs to `boot`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from rmqsetup import xdg
from rmqsetup.broker.wish import Member
from rmqsetup.probes.node import Node
from rmqsetup.probes.terms import Term, TermError, text
from rmqsetup.probes.wire import ProbeError

BATCHES = 32
"""In one batch every object file would be in memory at the same time, 100 MB more; more batches save nothing."""

MADE_LATER = re.compile(r"rabbit_ff_registry")
"""Modules that a node makes for itself: the one on disk is only what it begins with."""

_NAME = re.compile(r"[a-z][A-Za-z0-9_@]*")


def known(member: Member) -> str:
    """Return the batches for a node as Erlang reads them, empty where none are remembered."""
    try:
        return _file(member).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def remember(member: Member, node: Node) -> None:
    """Ask a node that has booted what it has loaded, and remember it. A cache that cannot be written is none."""
    with contextlib.suppress(ProbeError, TermError, OSError):
        names = loaded(node.call("code", "all_loaded"), member)
        if names:
            _write(_file(member), "".join(f"[{','.join(names[number::BATCHES])}].\n" for number in range(BATCHES)))


def loaded(answer: Term, member: Member) -> tuple[str, ...]:
    """Return the modules in `[{Module, File}]` that came from files of the installation."""
    roots = (str(member.binaries.erlang), str(member.binaries.home), str(member.home))
    found = []
    for pair in answer if isinstance(answer, list) else []:
        if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], list):
            name = text(pair[0])
            if _NAME.fullmatch(name) and not MADE_LATER.match(name) and text(pair[1]).startswith(roots):
                found.append(name)
    return tuple(sorted(found))


def _file(member: Member) -> Path:
    """Return where the list of an installation is: by its places, its versions and its plugins."""
    programs = member.binaries
    plugins = (path.name for path in member.plugins)
    translated = bool(member.wish.config)
    what = (BATCHES, translated, str(programs.home), str(programs.erlang), programs.runtime, *plugins)
    return xdg.cache() / "modules" / f"{programs.version}-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(content)
    Path(part).rename(path)  # another start that does the same at this moment writes the same
