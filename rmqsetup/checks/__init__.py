"""What can be wrong with a broker and its machine: one subject per file, each a question and a judgement.

What checks look at is in `scene`; running, ranking and folding them belongs to `doctor`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from rmqsetup.finding import Finding, Severity
from rmqsetup.steps import Step

if TYPE_CHECKING:
    from rmqsetup.checks.scene import Scene

SUBJECTS = (
    "presence",
    "service",
    "unit",
    "packages",
    "dpkg",
    "sources",
    "trust",
    "erlang",
    "homebrew",
    "machine",
    "network",
    "cookie",
    "files",
    "directories",
    "configuration",
    "values",
    "amounts",
    "secrets",
    "logged",
    "plugins",
    "certificates",
    "node",
    "links",
    "cluster",
    "limits",
    "users",
    "expected",
    "logins",
)
"""The modules of this folder that hold checks, in the order in which a fault of one is likelier the root of others."""

SERVICE_FAILS = "RMQ-001"
SERVICE_STOPPED = "RMQ-002"
NODE_SILENT = "RMQ-080"
LISTENER_CLOSED = "RMQ-082"
PARTITIONED = "RMQ-088"
MEMBERS_DOWN = "RMQ-089"
NO_MAJORITY = "RMQ-102"

DOWN = (SERVICE_FAILS, SERVICE_STOPPED, NODE_SILENT, LISTENER_CLOSED)
"""What is seen of a node that does not start, whatever keeps it from starting."""

DOCS = "https://www.rabbitmq.com/docs"


@dataclass(frozen=True, slots=True)
class Diagnosis(Finding):
    """A finding with what mends it: `fix` are steps, `safe` when they take nothing away and interrupt nobody.

    `links` lead to what explains more. An empty `fix` is for a person: the hint says what. What cannot be undone once
    it was mended is `lasting`.
    """

    links: tuple[str, ...] = ()
    fix: tuple[Step, ...] = ()
    safe: bool = False
    lasting: bool = False


Judge = Callable[["Scene"], Iterator[Diagnosis]]
"""Looks, read-only, and yields what is wrong."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a broker or its machine; the docstring of its judge is its page.

    `explains` are the ids of findings that are only consequences of an error found here. `slow` ones are asked only
    where nothing else tells why the node is down.
    """

    id: str
    title: str
    judge: Judge
    explains: tuple[str, ...] = ()
    slow: bool = False

    @property
    def group(self) -> str:
        """The subject: the module the check is in."""
        return self.judge.__module__.rpartition(".")[2]

    @property
    def page(self) -> str:
        """What the finding means, why it hurts and what to do, in Markdown."""
        return inspect.cleandoc(self.judge.__doc__ or "")


@lru_cache(maxsize=1)
def catalogue() -> tuple[Check, ...]:
    """Return every check, by subject."""
    return tuple(check for name in SUBJECTS for check in import_module(f"{__name__}.{name}").CHECKS)


def error(check: str, summary: str, **more: object) -> Diagnosis:
    """Return a finding that keeps the broker, or an installation, from working."""
    return Diagnosis(check, Severity.ERROR, summary, **more)  # type: ignore[arg-type]


def warning(check: str, summary: str, **more: object) -> Diagnosis:
    """Return a finding that is going to hurt."""
    return Diagnosis(check, Severity.WARNING, summary, **more)  # type: ignore[arg-type]


def info(check: str, summary: str, **more: object) -> Diagnosis:
    """Return a remark; a machine with nothing but remarks is healthy."""
    return Diagnosis(check, Severity.INFO, summary, **more)  # type: ignore[arg-type]
