"""What was decided, as a value, and what was asked to decide it.

How it is decided belongs to `resolve`, and for Homebrew to `homebrew`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rmqsetup.catalog import Distribution
from rmqsetup.indices import Repository, Survey
from rmqsetup.keys import Key
from rmqsetup.managers import Package
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.managers.sources import Served
from rmqsetup.releases import Proven


@dataclass(frozen=True, slots=True)
class Source:
    """Where packages may come from: mirrors, the repositories below each, and the keys by their full fingerprints.

    `key` is a file or URL that has them, or empty for the key that the catalog ships under `key_id`. `packages` are
    those to ask for.
    """

    id: str
    title: str
    mirrors: tuple[str, ...]
    repositories: tuple[Repository, ...]
    fingerprints: tuple[str, ...]
    key: str = ""
    key_id: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source offers, and the keys that may have signed it."""

    surveys: tuple[Survey, ...]
    keys: tuple[Key, ...]


Ask = Callable[[Source], Answer]
"""Asks a source what it offers; raises `TrustError`, never `NetworkError`: that is in the surveys."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was decided, and why. `rabbitmq` and `erlang` are versions, or a series where only that is known yet.

    `source` is team, mirror, distro, brew, archive, or installed when what is there already is as wished. `notice` is
    the one plain line about a fallback. `origins` are patterns of where packages of the family come from. `archives`
    are those to be unpacked; `erl` is the folder of the Erlang that is used with them, empty for that of an archive.
    `layout` is where its RabbitMQ keeps its things.
    """

    distribution: Distribution
    source: str
    rabbitmq: str
    erlang: str
    packages: tuple[Package, ...]
    origins: tuple[str, ...] = ()
    served: tuple[Served, ...] = ()
    keys: tuple[Key, ...] = ()
    archives: tuple[Proven, ...] = ()
    erl: str = ""
    notice: str = ""
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    layout: Layout = SYSTEM
