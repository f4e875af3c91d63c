"""A broker of ours as its lease describes it: addresses, variables, virtual hosts, logs.

Whoever started it has more of it, in `throwaway`; one of somebody else's is in `foreign`.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rmqsetup.broker import commandline
from rmqsetup.broker.exported import of_vhost, variables
from rmqsetup.broker.place import Lease
from rmqsetup.broker.vhosts import Supply, without_upkeep
from rmqsetup.probes.distribution import Connection, Peer
from rmqsetup.probes.terms import TRUE, Term
from rmqsetup.probes.wire import ProbeError

if TYPE_CHECKING:
    import pika


class Environment(dict[str, str]):
    """Variables and their values, for `subprocess.run(env={**os.environ, **broker.env()})`."""


class Addressed:
    """What every broker has that is known by a URL."""

    url: str

    @property
    def host(self) -> str:
        """The address it listens on."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Its AMQP port."""
        return urlsplit(self.url).port or 5672

    @property
    def username(self) -> str:
        """Who logs in."""
        return unquote(urlsplit(self.url).username or "guest")

    @property
    def password(self) -> str:
        """With what."""
        return unquote(urlsplit(self.url).password or "guest")

    @property
    def vhost(self) -> str:
        """The virtual host of its address: / where that has none."""
        return unquote(urlsplit(self.url).path[1:]) or "/"

    def url_of(self, vhost: str) -> str:
        """Return the address of another of its virtual hosts."""
        return of_vhost(self.url, vhost)

    def connection_params(self, vhost: str = "") -> pika.URLParameters:
        """Return what pika connects with, to a virtual host of its own or that of the address."""
        import pika

        return pika.URLParameters(self.url_of(vhost or self.vhost))


class Known(Addressed):
    """A broker that a lease tells of."""

    def __init__(self, lease: Lease, folder: Path) -> None:
        self.lease = lease
        self.folder = folder

    def __repr__(self) -> str:
        """Return what tells it from others in the report of a test."""
        return f"<{type(self).__name__} {self.name}, RabbitMQ {self.version}, {self.host}:{self.port}>"

    @property
    def url(self) -> str:  # type: ignore[override]  # an attribute of those who only have a URL
        """The address of the first node, with user, password and virtual host."""
        return self.lease.url

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all nodes."""
        return self.lease.urls

    @property
    def name(self) -> str:
        """The broker's name, by which `rmqsetup ps` lists it."""
        return self.lease.name

    @property
    def version(self) -> str:
        """The release of RabbitMQ."""
        return self.lease.version

    @property
    def erlang(self) -> str:
        """The major version of its Erlang."""
        return self.lease.erlang

    @property
    def amqps_url(self) -> str:
        """The address under TLS; empty without. `ca_file` is whom to trust."""
        return self.lease.amqps_url

    @property
    def ca_file(self) -> str:
        """The certificate of the authority that made the node's; empty without TLS."""
        return self.lease.ca_file

    @property
    def management_url(self) -> str:
        """The address of the management UI and its API, without user and password; empty without the plugin."""
        return self.lease.management_url

    @property
    def peer(self) -> Peer:
        """The first node, to ask it."""
        cookie = (self.folder / "home" / ".erlang.cookie").read_text(encoding="ascii")
        return Peer(self.lease.node, cookie, port=self.lease.distribution)

    def env(self, vhost: str = "") -> Environment:
        """Return the variables by which programs find it, or a virtual host of its own."""
        return Environment(variables(self.lease, vhost))

    def answers(self) -> bool:
        """Tell whether the first node is up."""
        try:
            return self.call("rabbit", "is_running") == TRUE
        except (ProbeError, OSError):
            return False

    def call(self, module: str, function: str, *arguments: Term) -> Term:
        """Return what a function of the first node returns. Raises `ProbeError`."""
        node = Connection.open(self.peer, timeout=30.0)
        try:
            return node.call(module, function, *arguments)
        finally:
            node.close()

    def new_vhost(self, name: str = "") -> str:
        """Make a virtual host that the broker's user may do everything in, and return its name."""
        with self.supply() as supply:
            return supply.make(name or f"test-{secrets.token_hex(6)}")

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it."""
        with self.supply() as supply:
            supply.delete(name)

    def supply(self) -> Supply:
        """Return a supply of virtual hosts, for tests that each want their own."""
        return Supply(self.peer, self.username)

    def ctl(self, *words: str) -> str:
        """Return what rabbitmqctl prints. Raises `BrokerNotReadyError`; it boots an Erlang VM, so `call` is faster."""
        return commandline.rabbitmqctl(self.lease, self.folder, words)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the log of each node, without those of virtual hosts that come and go."""
        tails = []
        for log in sorted(self.folder.glob("[1-9]/log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            tails.append((log.parent.name, "\n".join(without_upkeep(text)[-lines:])))
        if len(tails) == 1:
            return tails[0][1]
        return "\n".join(f"--- node {name}\n{tail}" for name, tail in tails)
