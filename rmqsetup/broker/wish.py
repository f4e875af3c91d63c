"""What is wished of a throwaway broker, and the values that follow from it for each of its nodes.

How they are written down for a node belongs to `boot`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rmqsetup.broker.binaries import Binaries
from rmqsetup.probes.amqp import Account
from rmqsetup.settings import Setting

GUEST = Account("guest", "guest")
"""Who logs in where nothing else is said: what clients have as their default, and nobody can come from elsewhere."""

PATIENCE = 60.0
"""Seconds a start may take."""

MOST = 9
"""Nodes a cluster may have."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A broker as wished for.

    `definitions` is the absolute path of a file, or `imported` what one would hold; `timeout` in seconds, `ports` are
    those to choose from, `port` that of AMQP on the first node, 0 for any. With `keep` its folder stays, with data and
    logs; with `stock` it is started by RabbitMQ's own script.
    """

    plugins: tuple[str, ...] = ()
    config: tuple[Setting, ...] = ()
    definitions: str = ""
    account: Account = GUEST
    nodes: int = 1
    tls: bool = False
    ports: range | None = None
    port: int = 0
    timeout: float = PATIENCE
    keep: bool = False
    stock: bool = False
    imported: str = ""

    @property
    def imports(self) -> bool:
        """Whether users and virtual hosts are made by definitions, and not by the node."""
        return bool(self.definitions or self.imported)


@dataclass(frozen=True, slots=True)
class Listening:
    """The ports of a node: AMQP, the Erlang distribution, AMQPS (0: none), and of each plugin that listens."""

    amqp: int
    distribution: int
    amqps: int = 0
    plugins: tuple[tuple[str, int], ...] = ()

    def of(self, plugin: str) -> int:
        """Return the port of a plugin, 0 where it has none."""
        return dict(self.plugins).get(plugin, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a broker, all that its files and its command line are made from.

    `folder` is its own, `home` that of the cookie, shared by all. `epmd` is the port of the broker's own epmd, 0 where
    there is none. `peers` are the names of all nodes of a cluster.
    """

    name: str
    folder: Path
    home: Path
    binaries: Binaries
    listening: Listening
    wish: Wish
    plugins: tuple[Path, ...]
    epmd: int = 0
    peers: tuple[str, ...] = ()
    cookie: str = field(default="", repr=False)

    @property
    def log(self) -> Path:
        """What the node writes to its standard output and error, which is all it has to say."""
        return self.folder / "log"

    @property
    def notes(self) -> Path:
        """The socket on which the node says that it is ready."""
        return self.folder / "n"
