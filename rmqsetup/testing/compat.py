"""The names of pytest-rabbitmq, for projects that come from there: `from rmqsetup.testing.compat import *`.

`rabbitmq_proc` and `rabbitmq` are its fixtures, `factories` makes others. Its options are not here: what they chose,
programs and ports, is found and chosen by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rmqsetup.errors import UsageError
from rmqsetup.testing.plugin import hang_up

if TYPE_CHECKING:
    import pika

    from rmqsetup.broker.throwaway import Broker

__all__ = ["factories", "rabbitmq", "rabbitmq_proc"]

Teardown = Callable[["Process", "pika.BlockingConnection"], None]


class Process:
    """A broker with the attributes of pytest-rabbitmq's."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.host = broker.host
        self.port = broker.port

    def running(self) -> bool:
        """Tell whether the node runs."""
        return not self.broker.dead()

    def start(self) -> Process:
        """Start the node again, if it was stopped."""
        if not self.running():
            self.broker.start_node()
        return self

    def stop(self) -> Process:
        """Stop the node; its data stay."""
        self.broker.stop_node()
        return self

    def rabbitctl_output(self, *words: str) -> str:
        """Return what rabbitmqctl prints."""
        return self.broker.ctl(*words)

    def list_queues(self) -> list[str]:
        """Return the names of the queues."""
        return self.rabbitctl_output("-q", "list_queues", "--no-table-headers", "name").split()

    def list_exchanges(self) -> list[str]:
        """Return the names of the exchanges that a client has declared."""
        names = self.rabbitctl_output("-q", "list_exchanges", "--no-table-headers", "name").split()
        return [name for name in names if not name.startswith("amq.")]


def _process(
    server: str | None = None,  # noqa: ARG001 - the first argument there, and found by itself here
    host: str | None = None,
    port: Any = -1,  # noqa: ANN401 - a number, a pair, a set of them, None
    **others: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - a fixture
    """Return a session's fixture with a broker.

    `port` is a number, a pair for a range, a set, a list of which the first counts, or nothing for any. What else
    pytest-rabbitmq takes (server, ctl, node, plugindir, distribution_port) is found and chosen by itself.
    """
    unknown = others.keys() - {"ctl", "node", "plugindir", "distribution_port"}
    if unknown:
        raise UsageError(f"rabbitmq_proc has no argument {', '.join(sorted(unknown))}")
    if host not in (None, "127.0.0.1", "localhost"):
        raise UsageError(f"a throwaway broker listens on 127.0.0.1, not on {host}")

    @pytest.fixture(scope="session")
    def fixture(rmq_options: Any) -> Iterator[Process]:  # noqa: ANN401
        from rmqsetup.testing import broker

        with broker(**{**rmq_options, **_port(port)}) as made:
            yield Process(made)

    return fixture


def _port(said: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what a port of pytest-rabbitmq's is to a broker of ours."""
    if isinstance(said, list) and said:
        return _port(said[0])
    if isinstance(said, tuple):
        return {"ports": f"{said[0]}-{said[1]}"}
    if isinstance(said, set | frozenset) and said:
        return {"port": _free(said)}
    return {} if said in (None, -1, "-1", "", [], set()) else {"port": int(said)}


def _free(among: Iterable[Any]) -> int:
    """Return the first port that is free, the last one where none is: it is named then."""
    from rmqsetup.broker import ports
    from rmqsetup.errors import BrokerNotReadyError

    for port in sorted(map(int, among)):
        try:
            ports.reserve(1, first=port).release()
        except BrokerNotReadyError:
            continue
        break
    return port


def _client(process_fixture_name: str, teardown: Teardown | None = None) -> Any:  # noqa: ANN401 - a fixture
    """Return a fixture with a connection of pika, after which the broker is as new."""

    @pytest.fixture
    def fixture(request: pytest.FixtureRequest) -> Iterator[pika.BlockingConnection]:
        import pika

        process: Process = request.getfixturevalue(process_fixture_name)
        connection = pika.BlockingConnection(process.broker.connection_params())
        yield connection
        (teardown or clear)(process, connection)

    return fixture


def clear(process: Process, connection: pika.BlockingConnection) -> None:
    """Hang up, and have the virtual host made anew: quicker than to look for all that a test may have left."""
    hang_up(connection)
    broker = process.broker
    broker.delete_vhost(broker.vhost)
    broker.new_vhost(broker.vhost)


factories = SimpleNamespace(rabbitmq_proc=_process, rabbitmq=_client)
"""Where pytest-rabbitmq has them."""

rabbitmq_proc = factories.rabbitmq_proc()
rabbitmq = factories.rabbitmq("rabbitmq_proc")
