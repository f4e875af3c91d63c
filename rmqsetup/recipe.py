"""What is wished of a broker: the request, from a recipe in TOML and from options.

How a wish becomes steps belongs to `plan`; which versions exist to `indices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from rmqsetup.version import Wanted

DEFINITIONS = "/etc/rabbitmq/definitions.json"
"""Where a node finds the definitions of a request."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of rabbitmq.conf; `value` as that file wants it, quoted where it must be."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Request:
    """A broker as wished for.

    `source` is auto, team, distro or mirror; `mirror` a base URL, `key` a file or URL, `fingerprint` 40 hex digits
    in upper case: all three with `mirror` only. `plugins` None leaves them as they are. `definitions` is the absolute
    path of a file on this machine. `lock_timeout` is in seconds.
    """

    rabbitmq: Wanted = Wanted()
    erlang: Wanted = Wanted()
    source: str = "auto"
    mirror: str = ""
    key: str = ""
    fingerprint: str = ""
    plugins: tuple[str, ...] | None = None
    config: tuple[Setting, ...] = ()
    definitions: str = ""
    open_files: int | None = None
    start: bool = True
    enable: bool = True
    hold: bool = True
    recommends: bool = True
    lock_timeout: int = 120


@dataclass(frozen=True, slots=True)
class Overrides:
    """What was said on the command line, as it was typed; None was not said.

    `source` may be `mirror=URL`; `plugins` is `a,b`; `settings` are `key=value`; paths are relative to here.
    """

    rabbitmq: str | None = None
    erlang: str | None = None
    source: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    plugins: str | None = None
    settings: tuple[str, ...] = ()
    definitions: str | None = None
    open_files: int | None = None
    start: bool | None = None
    enable: bool | None = None
    hold: bool | None = None
    recommends: bool | None = None
    lock_timeout: int | None = None


def load(recipe: str, *, stdin: TextIO | None = None) -> Request:
    """Read a recipe: the name of a shipped one, a file, or `-` for standard input. Raises `UsageError`."""
    raise NotImplementedError


def override(request: Request, overrides: Overrides) -> Request:
    """Return the request with what the command line says, checked as a whole. Raises `UsageError`."""
    raise NotImplementedError


def shipped() -> tuple[str, ...]:
    """Return the names of the recipes that come with rmqsetup."""
    raise NotImplementedError


def rabbitmq_conf(request: Request) -> str:
    """Return the text of our file in /etc/rabbitmq/conf.d, empty when there is nothing to say."""
    raise NotImplementedError


def enabled_plugins(request: Request) -> str:
    """Return the text of /etc/rabbitmq/enabled_plugins; empty when plugins are left as they are."""
    raise NotImplementedError
