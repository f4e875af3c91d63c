"""The pytest plugin: fixtures with a throwaway broker, options that say which, its log in the report of a failure.

What a broker is made of belongs to `rmqsetup.broker`, which is not imported before a test asks for one: every run of
pytest in this environment imports this module. Names begin with `rmq`, so that pytest-rabbitmq can be there as well.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import pika

    from rmqsetup.broker.foreign import Foreign
    from rmqsetup.broker.known import Known
    from rmqsetup.broker.throwaway import Broker
    from rmqsetup.broker.vhosts import Supply
    from rmqsetup.testing import Wished
    from rmqsetup.testing.wishing import Made

SHARED = "rmq_place"
"""Where a worker of xdist is told the folder of the broker that all share."""

LINES = 20
"""How much of a log is in the report of a failure."""

OPTIONS = (
    ("version", "string", "RabbitMQ to start: a series (4.2) or a release (4.2.9)."),
    ("source", "string", "Where its programs come from: distro, archive; auto if left out."),
    ("bundle", "string", "A file of rmqsetup cache export to take its programs from."),
    ("plugins", "args", "Plugins to enable, with blanks or commas between them."),
    ("config", "linelist", "Lines of rabbitmq.conf, KEY=VALUE; the option can be said several times."),
    ("definitions", "string", "File with users, virtual hosts, queues to import at boot."),
    ("ports", "string", "Choose all ports among these: 20000-29999."),
    ("timeout", "string", "Seconds a start may take: 60 if left out."),
    ("nodes", "string", "Nodes of rmq_cluster: 3 if left out."),
)
"""Options that are settings in the ini file as well, without the dashes."""

SWITCHES = (
    ("share", "One broker for all workers of pytest-xdist, which then have their own virtual hosts only."),
    ("skip", "Skip tests where no broker can be started, instead of failing them."),
    ("own", "Start a broker also where RABBITMQ_URL names one."),
    ("keep", "Keep the broker's folder, with data and logs."),
)

_places: list[Any] = []
"""Folders that this process keeps for its workers."""

_begun: list[Any] = []
"""What this worker has started for all of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options and settings."""
    group = parser.getgroup("rmqsetup", "throwaway RabbitMQ brokers")
    for name, kind, words in OPTIONS:
        many: dict[str, Any] = {"action": "append"} if kind == "linelist" else {}
        group.addoption(f"--rmq-{name}", dest=f"rmq_{name}", default=None, help=words, **many)
        parser.addini(f"rmq_{name}", words, type=kind if kind != "string" else None, default=None)  # type: ignore[arg-type]
    for name, words in SWITCHES:
        group.addoption(f"--rmq-{name}", dest=f"rmq_{name}", action="store_true", default=False, help=words)
        parser.addini(f"rmq_{name}", words, type="bool", default=False)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - of xdist, which may not be there
    """Give a worker of xdist the folder that all share; it goes with us, the controller."""
    if not _switch(node.config, "share"):
        return
    if not _places:
        from rmqsetup.broker.place import Place

        _places.append(Place.make(keep=_switch(node.config, "keep")))
    node.workerinput[SHARED] = str(_places[0].folder)


def pytest_unconfigure() -> None:
    """End what the workers have shared."""
    while _places:
        _places.pop().end()


@pytest.fixture(scope="session")
def rmq_options(pytestconfig: pytest.Config) -> Wished:
    """What is wished of the broker, by the names of `rmqsetup.testing.broker`; define it anew to wish more."""
    said = {name: value for name, *_ in OPTIONS if name != "nodes" and (value := _said(pytestconfig, name))}
    if "config" in said:
        pairs = (line.partition("=") for line in said["config"])
        said["config"] = {key.strip(): value.strip() for key, _, value in pairs}
    if "plugins" in said:
        words = [said["plugins"]] if isinstance(said["plugins"], str) else said["plugins"]
        said["plugins"] = " ".join(words).replace(",", " ").split()
    if "timeout" in said:
        said["timeout"] = float(said["timeout"])
    found: Any = {**said, "keep": _switch(pytestconfig, "keep")}
    return found  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def rmq_broker(rmq_options: Wished, pytestconfig: pytest.Config) -> Iterator[Broker | Known | Foreign]:
    """A broker for the whole session: that of RABBITMQ_URL, else one of our own, of each xdist worker or shared."""
    from rmqsetup.broker.foreign import named_by

    there = None if _switch(pytestconfig, "own") else named_by(tuple(os.environ.items()))
    if there:
        yield there
        return
    folder = getattr(pytestconfig, "workerinput", {}).get(SHARED)
    if folder:
        from pathlib import Path

        yield _shared(Path(folder), rmq_options, pytestconfig)
        return
    broker = _started(rmq_options, pytestconfig)
    with broker:
        yield broker


@pytest.fixture(scope="session")
def rmq_vhosts(rmq_broker: Broker | Known | Foreign) -> Iterator[Supply | Foreign]:
    """The supply from which each test gets a virtual host."""
    supply = rmq_broker.supply()
    with supply:
        yield supply


@pytest.fixture
def rmq_vhost(rmq_vhosts: Supply | Foreign, rmq_broker: Broker | Known | Foreign) -> Iterator[str]:
    """A virtual host that nobody has used, for this test alone."""
    from rmqsetup.errors import RmqsetupError

    try:
        name = rmq_vhosts.take()
    except RmqsetupError as error:
        dead: Any = getattr(rmq_broker, "dead", tuple)()
        words = "".join(
            f"\n{node.member.name} {node.end_of_it()} before it: start_node starts it again" for node in dead
        )
        pytest.fail(f"no virtual host for this test: {error}{words}", pytrace=False)
    yield name
    rmq_vhosts.give_back(name)


@pytest.fixture
def rmq_url(rmq_broker: Broker | Known | Foreign, rmq_vhost: str) -> str:
    """The address of this test's virtual host."""
    return rmq_broker.url_of(rmq_vhost)


@pytest.fixture
def rmq_connection(rmq_url: str) -> Iterator[pika.BlockingConnection]:
    """A connection of pika to this test's virtual host."""
    pika = pytest.importorskip("pika")
    connection = pika.BlockingConnection(pika.URLParameters(rmq_url))
    yield connection
    hang_up(connection)


@pytest.fixture(scope="module")
def rmq_cluster(rmq_options: Wished, pytestconfig: pytest.Config) -> Iterator[Broker]:
    """A cluster for the tests of a module, with nodes to stop, kill and freeze; three unless --rmq-nodes says more."""
    nodes = int(_said(pytestconfig, "nodes") or 3)
    with _started({**rmq_options, "nodes": nodes}, pytestconfig) as broker:
        yield broker


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put the end of the broker's log into the report of a test that failed and had one."""
    outcome: Any = yield
    if "rmqsetup.broker.known" not in sys.modules:
        return
    from rmqsetup.broker.known import Known

    report = outcome.get_result()
    if report.failed:
        for broker in getattr(item, "funcargs", {}).values():
            if isinstance(broker, Known) and (tail := broker.log_tail(LINES)):
                report.sections.append((f"RabbitMQ log of {broker.name}", tail))


def hang_up(connection: pika.BlockingConnection) -> None:
    """Close a connection, unless the test or a fault that it made has done it."""
    from pika.exceptions import AMQPError

    if connection.is_open:
        with contextlib.suppress(AMQPError):  # it is not seen before something is said over it
            connection.close()


def _started(options: Wished, config: pytest.Config, folder: Path | None = None) -> Broker:
    """Start a broker, in a folder of somebody else's where there is one."""
    from rmqsetup.broker import supplier
    from rmqsetup.broker.place import Place
    from rmqsetup.errors import RmqsetupError
    from rmqsetup.testing.wishing import wish

    plugins: Any = config.pluginmanager
    reporter, capture = map(plugins.get_plugin, ("terminalreporter", "capturemanager"))

    def tell(words: str) -> None:
        if reporter:  # workers of xdist have none
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(f"rmqsetup: {words}")

    try:
        made: Made = wish(**options)
        broker = supplier.broker(made.wish, made.origin, given=Place(folder) if folder else None, told=tell)
    except RmqsetupError as error:
        if _switch(config, "skip"):
            pytest.skip(f"no RabbitMQ for this test: {error}")
        pytest.fail(f"no RabbitMQ for this test: {error}", pytrace=False)
    for note in broker.notes:
        tell(note)
    return broker


def _shared(folder: Path, options: Wished, config: pytest.Config) -> Known:
    """Return the broker that all workers share, started by the first that wants it.

    Who dies while it starts one lets go of the lock, and the next begins anew; the same where a node has died since.
    """
    import fcntl

    from rmqsetup.broker import place
    from rmqsetup.broker.known import Known

    with (folder / place.FIRST).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lease = place.read(folder)
        if lease is None or not Known(lease, folder).answers():
            place.empty(folder)
            _begun.append(_started(options, config, folder))
            lease = _begun[-1].lease
    return Known(lease, folder)


def _said(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 - strings and lists of them
    """Return what an option says, or else a setting; an empty one says nothing."""
    return config.getoption(f"rmq_{name}") or config.getini(f"rmq_{name}")


def _switch(config: pytest.Config, name: str) -> bool:
    return bool(_said(config, name))
