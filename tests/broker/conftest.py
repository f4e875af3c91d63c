"""Fixtures with real nodes: of this machine's RabbitMQ, or of its distribution's packages in a cache of the lab's.

What is started is a throwaway broker; whole machines are in `machine/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import roots
from processes import command, left

from rmqsetup.broker import supplier
from rmqsetup.broker.binaries import Binaries
from rmqsetup.errors import UnsupportedError


def pytest_collection_modifyitems(items):
    """Every test in this folder has a real node."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("broker")


@pytest.fixture(scope="session")
def programs() -> Iterator[Binaries]:
    """RabbitMQ and Erlang; skips where there are none to be had, and fails instead where CI says that there must be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(roots.cache() / "throwaway"))
        try:
            yield supplier.provide()
        except UnsupportedError as error:
            if os.environ.get("CI", "").lower() in ("true", "1"):
                raise
            pytest.skip(f"there is no RabbitMQ to be had here: {error}, {error.cause}")


@pytest.fixture(scope="session", autouse=True)
def here(programs) -> Iterator[Path]:  # noqa: ARG001 - what is fetched is not what is left behind
    """A folder of this session's brokers alone, so that what others start here is not taken for ours."""
    folder = Path(tempfile.mkdtemp(prefix="b-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        for name in [name for name in os.environ if name.startswith(("RABBITMQ_", "AMQP", "RMQSETUP_BROKER"))]:
            patch.delenv(name)
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left(request, here) -> Iterator[None]:
    """Hold every test to what it found: no process, no folder more, once its own brokers are gone."""
    before = left(here)
    yield
    deadline = time.monotonic() + 5
    while (after := left(here) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert after == set(), f"left behind by {request.node.name}"


@pytest.fixture
def run():
    """Return a function that runs the tool in a process of its own, to its end."""

    def ran(*words: str, code: int = 0, **options) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command(*words), check=False, capture_output=True, text=True, timeout=120, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return ran


@pytest.fixture(scope="module")
def broker():
    """A broker for the tests of a module, with the management plugin."""
    from rmqsetup.testing import broker

    with broker(plugins=["rabbitmq_management"]) as made:
        yield made
