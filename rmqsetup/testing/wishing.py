"""From what a test says of a broker to the wish for one, with every mistake at once.

Options of the command line are read by `recipe`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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

KNOWN = (
    *("version", "source", "bundle", "plugins", "nodes", "definitions", "config", "tls"),
    *("username", "password", "vhost", "port", "ports", "timeout", "keep"),
)
"""What can be said of a broker."""


class Made(NamedTuple):
    """A wish, and where its programs come from."""

    wish: Wish
    origin: Origin


def wish(**said: Unpack[Wished]) -> Made:
    """Return the wish. Raises `UsageError`."""
    for name in said:
        if name not in KNOWN:
            raise UsageError(f"a broker has no {name}{did_you_mean(name, KNOWN)}", hint=", ".join(KNOWN))
    config, problems = settings.flatten(said.get("config") or {})
    _refuse((*problems, *settings.judge(config)))
    definitions = str(said.get("definitions") or "")
    if definitions and not Path(definitions).is_file():
        raise UsageError(f"there is no file {definitions}", hint="it holds users, virtual hosts, queues as JSON")
    plugins = said.get("plugins") or ()
    chosen = said.get("ports")
    account = Account(
        said.get("username", GUEST.name), said.get("password", GUEST.password), said.get("vhost", GUEST.virtual_host)
    )
    made = Wish(
        plugins=tuple(plugins.split(",") if isinstance(plugins, str) else plugins),
        config=config,
        definitions=str(Path(definitions).absolute()) if definitions else "",
        account=account,
        nodes=said.get("nodes", 1),
        tls=said.get("tls", False),
        ports=ports.parse(chosen) if chosen else None,
        port=said.get("port", 0),
        timeout=said.get("timeout", PATIENCE),
        keep=said.get("keep", False),
    )
    bundle = said.get("bundle") or ""
    origin = Origin(
        Wanted.parse(said.get("version") or ""),
        said.get("source") or "auto",
        bundle=str(Path(bundle).expanduser().absolute()) if bundle else "",
    )
    return Made(made, origin)


def _refuse(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise UsageError("the broker cannot be configured like this", cause="\n".join(map(str, problems)))
