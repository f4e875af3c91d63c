"""A broker that is there already, known by its URL alone: somebody's RABBITMQ_URL.

Virtual hosts in it are made over its management API; one that this tool started is `known` better.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from rmqsetup.broker import place
from rmqsetup.broker.exported import OURS, addresses, of_vhost
from rmqsetup.broker.known import Addressed, Environment, Known
from rmqsetup.errors import BrokerNotReadyError, UsageError


class Foreign(Addressed):
    """A broker of somebody else's. `management_url` may hold another user and password than the URL of AMQP."""

    def __init__(self, url: str, management_url: str = "") -> None:
        self.url = url
        self.management_url = management_url

    def __repr__(self) -> str:
        """Return what tells it from others, without its password."""
        return f"<{type(self).__name__} {self.host}:{self.port}>"

    def __enter__(self) -> Foreign:  # noqa: PYI034 - Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it is."""

    def env(self, vhost: str = "") -> Environment:
        """Return the variables by which programs find it, or another of its virtual hosts."""
        found = Environment(addresses(self.url_of(vhost) if vhost else self.url))
        if self.management_url:
            found["RABBITMQ_MANAGEMENT_URL"] = self.management_url
        return found

    def supply(self) -> Foreign:
        """Return a supply of virtual hosts."""
        return self

    def take(self) -> str:
        """Return a new virtual host."""
        return self.new_vhost()

    def give_back(self, name: str) -> None:
        """Delete a virtual host."""
        self.delete_vhost(name)

    def new_vhost(self, name: str = "") -> str:
        """Make a virtual host that the URL's user may do everything in, and return its name."""
        name = name or f"test-{secrets.token_hex(6)}"
        self._ask("PUT", f"vhosts/{quote(name, safe='')}", {})
        permitted = {"configure": ".*", "write": ".*", "read": ".*"}
        self._ask("PUT", f"permissions/{quote(name, safe='')}/{quote(self.username, safe='')}", permitted)
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it."""
        self._ask("DELETE", f"vhosts/{quote(name, safe='')}")

    def log_tail(self, lines: int = 40) -> str:  # noqa: ARG002 - as every broker has it
        """Return nothing: its log is not ours to read."""
        return ""

    def _ask(self, method: str, path: str, body: object = None) -> None:
        """Put a question to the management API. Raises `UsageError` without one, `BrokerNotReadyError`."""
        if not self.management_url:
            raise UsageError(
                "a virtual host of its own cannot be made in the broker of RABBITMQ_URL",
                cause="that takes its management API, and RABBITMQ_MANAGEMENT_URL is not set",
                hint="set RABBITMQ_MANAGEMENT_URL=http://HOST:15672, or leave out RABBITMQ_URL for a broker of our own",
            )
        parts = urlsplit(self.management_url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=30)
        login = f"{parts.username or self.username}:{parts.password or self.password}"
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"{parts.path.rstrip('/')}/api/{path}", json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read(500).decode("utf-8", "replace")
        except (OSError, HTTPException) as error:
            raise _refused(f"{method} {path}", str(error)) from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise _refused(f"{method} {path}", f"{answer.status} {answer.reason}: {said}")


def given(url: str, management_url: str, name: str) -> Foreign | Known:
    """Return the broker of an environment: one of ours where it names one that is up, with that very address."""
    if name:
        folder = place.base() / name
        lease = place.read(folder) if name.startswith(place.PREFIX) and "/" not in name else None
        if lease and of_vhost(lease.url, "/") == of_vhost(url, "/"):
            return Known(lease, folder)
    return Foreign(url, management_url)


def named_by(environment: tuple[tuple[str, str], ...]) -> Foreign | Known | None:
    """Return the broker that variables name, None where they name none."""
    said = dict(environment)
    if not (url := said.get("RABBITMQ_URL", "")):
        return None
    return given(url, said.get("RABBITMQ_MANAGEMENT_URL", ""), said.get(OURS, ""))


def _refused(what: str, why: str) -> BrokerNotReadyError:
    return BrokerNotReadyError(f"the management API does not do {what}", cause=why)
