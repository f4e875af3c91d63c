"""Virtual hosts for tests, each of which gets one that nobody has used: made ahead, deleted behind.

A new one takes a node five milliseconds and more, a deletion as long: both happen while a test runs.
"""

from __future__ import annotations

import re
import secrets
import time

from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.probes.distribution import Asked, CallError, Connection, Peer
from rmqsetup.probes.wire import ClosedError, ProbeError, UnreachableError

US = b"rmqsetup"
"""Who the node is told did it."""

ALL = b".*"

SILENCE = 30.0
"""Seconds after which a conversation is begun anew: a node ends one that was silent for a minute."""

PATIENCE = 30.0
"""Seconds a node may take for an answer."""


_UPKEEP = re.compile(
    r"^\S+ \S+ \[(?:info|warning|debug)\] <[\d.]+> (?:(?:Adding|Deleting) vhost |(?:Closing|Stopping) \D*vhost "
    r"|Insert(?:ed|ing) a virtual host|Successfully (?:set|cleared) permissions|Clear\w+ permissions|Message store "
    r"|(?:Started|Starting|Stopping|Deleting) message store|Making sure data directory|Setting segment_entry_count"
    r"|Recovering \d+ queues|Delet(?:ing|ed) a virtual host|Deleting (?:queues|exchanges) in vhost "
    r"|Virtual host '.*' is stopping|Clearing policies and runtime parameters in vhost |Running boot step )"
)
"""What a node logs of virtual hosts that come and go, thirty lines for each, and step by step of its start."""


def without_upkeep(log: str) -> list[str]:
    """Return the lines of a log that are not of virtual hosts that come and go, or of a start that goes well."""
    return [line for line in log.splitlines() if not _UPKEEP.match(line)]


class Supply:
    """Virtual hosts of one broker, over a conversation of its own. Use it in a `with`, or `close` it."""

    def __init__(self, peer: Peer, user: str) -> None:
        self._peer = peer
        self._user = user.encode()
        self._node: Connection | None = None
        self._next: tuple[str, Asked] | None = None
        self._spoken = 0.0

    def __enter__(self) -> Supply:  # noqa: PYI034 - Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> str:
        """Return a new virtual host, and have the node make the one after that."""
        try:
            return self._taken()
        except (ClosedError, UnreachableError):  # the node was started again meanwhile
            self.close()
            return self._taken()

    def make(self, name: str) -> str:
        """Make a virtual host of that name, if there is none, for the broker's user to do everything in."""
        node = self._talking()
        return self._made(name, node, node.ask("rabbit_vhost", "add", name.encode(), US))

    def give_back(self, name: str) -> None:
        """Have the node delete a virtual host with all that is in it, without waiting for that.

        A node that is gone has nothing to delete; who wants the next one of it is told.
        """
        try:
            self._talking().ask("rabbit_vhost", "delete", name.encode(), US)
        except ProbeError:
            self.close()

    def delete(self, name: str) -> None:
        """Delete a virtual host. Raises `BrokerNotReadyError`."""
        try:
            self._talking().call("rabbit_vhost", "delete", name.encode(), US)
        except CallError as error:
            raise BrokerNotReadyError(f"the virtual host {name} could not be deleted", cause=error.cause) from error

    def close(self) -> None:
        """End the conversation."""
        if self._node:
            self._node.close()
            self._node = self._next = None

    def _taken(self) -> str:
        node, ready = self._talking(), self._next
        self._next = None
        name = self._made(ready[0], node, ready[1]) if ready else self.make(_name())
        following = _name()
        self._next = following, node.ask("rabbit_vhost", "add", following.encode(), US)
        return name

    def _made(self, name: str, node: Connection, asked: Asked) -> str:
        permitted = (self._user, name.encode(), ALL, ALL, ALL, US)
        try:
            node.answer(asked)
            node.call("rabbit_auth_backend_internal", "set_permissions", *permitted)
        except CallError as error:
            raise BrokerNotReadyError(f"no virtual host {name} could be made", cause=error.cause) from error
        return name

    def _talking(self) -> Connection:
        if self._node and time.monotonic() - self._spoken > SILENCE:
            self.close()
        if self._node is None:
            self._node = Connection.open(self._peer, timeout=PATIENCE)
        self._node.extend(PATIENCE)
        self._spoken = time.monotonic()
        return self._node


def _name() -> str:
    return f"test-{secrets.token_hex(6)}"
