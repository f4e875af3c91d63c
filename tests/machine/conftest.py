"""Fixtures for tests on real machines: the lab, machines, and mirrors that stand in for Team RabbitMQ's.

What the lab can do belongs to `lab`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from lab import archive, debs, mirror, roots, yum
from lab.laboratory import Lab, Layer
from lab.machines import Machine
from lab.state import MachineState
from lab.tool import Tool
from lab.trust import Trust

pytest.register_assert_rewrite("broker")

from broker import take_back  # noqa: E402 - its assertions are to be rewritten


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab; skips where there can be none, and fails instead where CI says that there must be one."""
    if lacks := roots.missing():
        reason = f"this machine cannot boot others: it lacks {', '.join(lacks)}"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Lab() as made:
        yield made


@pytest.fixture(scope="session")
def trust(lab: Lab) -> Iterator[Trust]:  # noqa: ARG001 - its check comes first
    """Throwaway signing keys and certificates."""
    made = Trust()
    yield made
    made.close()


@pytest.fixture(scope="session")
def tool(lab: Lab) -> Iterator[Tool]:  # noqa: ARG001
    """The tool under test, as layers."""
    made = Tool()
    yield made
    made.close()


@pytest.fixture
def boot(lab: Lab) -> Iterator[Callable[..., Machine]]:
    """Return a function that boots a machine, as `Lab.machine`; each is taken down after the test."""
    before = set(lab.machines)
    yield lab.machine
    for machine in set(lab.machines) - before:
        lab.remove(machine)


@pytest.fixture
def serve(trust: Trust) -> Iterator[Callable[..., mirror.Team]]:
    """Return a function that serves a stand-in for Team RabbitMQ to a machine.

    `serve(machine, codename="trixie", releases=(("4.2.9-1", "1:27.3.4.6-1"),), older=(…))`, where
    each release is a version of rabbitmq-server and one of Erlang.
    """
    serving: list[mirror.Team] = []

    def start(
        machine: Machine,
        codename: str = "trixie",
        releases: tuple[tuple[str, str], ...] = (("4.2.9-1", "1:27.3.4.6-1"),),
        older: tuple[tuple[str, str], ...] = (("4.2.8-1", "1:27.3.4.5-1"),),
    ) -> mirror.Team:
        pair = debs.fetch(codename)
        now, before = (
            archive.team(codename, tuple(deb for wish in wishes for deb in pair.versioned(*wish).debs))
            for wishes in (releases, older)
        )
        serving.append(mirror.Team(machine, mirror.Stock(trust, now, before)))
        return serving[-1]

    yield start
    for team in serving:
        team.close()


@pytest.fixture(scope="module")
def before(machine: Machine, servers: object) -> MachineState:  # noqa: ARG001 - the machine knows their names
    """The `machine` of a module as it was, with the `servers` of the module about it."""
    return machine.snapshot()


@pytest.fixture
def given_back(machine: Machine, before: MachineState) -> Iterator[None]:  # noqa: ARG001 - looked at before a test
    """Let a test that failed spoil no other."""
    yield
    take_back(machine)


@pytest.fixture
def team(servers: tuple[mirror.Team, mirror.Mirror]) -> Iterator[mirror.Team]:
    """Team RabbitMQ's mirrors, in order again afterwards."""
    yield servers[0]
    servers[0].repair()


@pytest.fixture
def own(servers: tuple[mirror.Team, mirror.Mirror]) -> Iterator[mirror.Mirror]:
    """Somebody's own mirror, in order again afterwards."""
    yield servers[1]
    servers[1].repair()


@pytest.fixture(scope="session")
def rpm_trust(lab: Lab) -> Iterator[Trust]:  # noqa: ARG001
    """Throwaway keys that every rpm understands."""
    made = Trust("rsa2048")
    yield made
    made.close()


@pytest.fixture
def start_rpm(lab: Lab, rpm_trust: Trust) -> Iterator[Callable[..., yum.Yum]]:
    """Return a function that boots an RPM machine and serves it, as `yum.start`: `start_rpm("el9", real=True)`."""
    running: list[yum.Yum] = []

    def begin(flavour: str, *, over: tuple[Layer, ...] = (), **wishes: bool) -> yum.Yum:
        running.append(yum.start(lab, rpm_trust, flavour, over=over, **wishes))
        return running[-1]

    yield begin
    for served in running:
        served.close()
        lab.remove(served.machine)
