"""From what a test says of a broker to the wish for one, with every mistake at once.

Options of the command line are read by `recipe`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rmqsetup import settings
from rmqsetup.broker import ports
from rmqsetup.broker.origin import Origin
from rmqsetup.broker.wish import GUEST, PATIENCE, Wish
from rmqsetup.codec import Problem, did_you_mean
from rmqsetup.errors import UsageError
from rmqsetup.probes.amqp import Account
from rmqsetup.version import Wanted

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rmqsetup.testing import Wished

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "version": ((str,), "a text such as '4.2'"),
    "source": ((str,), "a text such as 'archive'"),
    "bundle": ((str, os.PathLike), "the path of a file"),
    "plugins": ((str, list, tuple), "a list of names"),
    "nodes": ((int,), "a number"),
    "definitions": ((str, os.PathLike, dict), "the path of a file, or a dict of what it would hold"),
    "config": ((dict,), "a dict of rabbitmq.conf's keys, such as {'channel_max': 100}"),
    "tls": ((bool,), "True or False"),
    "username": ((str,), "a text"),
    "password": ((str,), "a text"),
    "vhost": ((str,), "a text"),
    "port": ((int,), "a number"),
    "ports": ((str,), "a range such as '20000-29999'"),
    "timeout": ((int, float), "a number of seconds"),
    "keep": ((bool,), "True or False"),
}
"""What can be said of a broker, and as what."""


ACCOUNT = (("username", "name"), ("password", "password"), ("vhost", "virtual_host"))
"""What is of the address, and what it is called there."""

ALIKE = ("nodes", "tls", "port", "timeout", "keep")
"""What is called the same in a wish."""


class Made(NamedTuple):
    """A wish, and where its programs come from."""

    wish: Wish
    origin: Origin


def wish(**said: Unpack[Wished]) -> Made:
    """Return the wish; None says nothing. Raises `UsageError`."""
    words: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    for name in words:
        if name not in KINDS:
            raise UsageError(f"a broker has no {name}{did_you_mean(name, tuple(KINDS))}", hint=", ".join(KINDS))
    _refuse(tuple(_misfits(words)))
    config, problems = settings.flatten(words.get("config", {}))
    _refuse((*problems, *settings.judge(config)))
    file, imported = _definitions(words.get("definitions", ""))
    plugins = words.get("plugins", ())
    account = Account(*(words.get(name, getattr(GUEST, field)) for name, field in ACCOUNT))
    made = Wish(
        plugins=tuple(plugins.replace(",", " ").split() if isinstance(plugins, str) else plugins),
        config=config,
        definitions=file,
        imported=imported,
        account=account,
        ports=ports.parse(words["ports"]) if words.get("ports") else None,
        **{"timeout": PATIENCE, **{name: words[name] for name in ALIKE if name in words}},
    )
    bundle = words.get("bundle", "")
    origin = Origin(
        Wanted.parse(words.get("version", "")),
        words.get("source") or "auto",
        bundle=str(Path(bundle).expanduser().absolute()) if bundle else "",
    )
    return Made(made, origin)


def _misfits(said: dict[str, object]) -> Iterator[Problem]:
    """Say what is of another kind than it has to be; True is no number."""
    for name, value in said.items():
        kinds, words = KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield Problem((name,), f"{value!r} is not {words}")


def _definitions(said: object) -> tuple[str, str]:
    """Return the path of a file of definitions, or what one would hold. Raises `UsageError`."""
    if isinstance(said, dict):
        return "", json.dumps(said)
    file = str(said)
    if file and not Path(file).is_file():
        raise UsageError(f"there is no file {file}", hint="it holds users, virtual hosts, queues as JSON")
    return str(Path(file).absolute()) if file else "", ""


def _refuse(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise UsageError("there is no such broker", cause="\n".join(map(str, problems)))
