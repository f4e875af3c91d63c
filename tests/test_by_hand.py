"""Nodes that nothing looks after: seen among the processes, and ended where nobody reaps them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rmqsetup.hosts.local import LocalHost
from rmqsetup.services import service_manager

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are told by /proc here")


@pytest.fixture
def node(tmp_path):
    """Start what looks like a node below a folder, as a child that is not reaped when it ends."""
    words = ("beam.smp", "-home", f"{tmp_path}/var/lib/rabbitmq", "-s", "rabbit", "boot", "-x")
    program = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen((sys.executable, "-c", program, *words), stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"\n", "its command line is there"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_node_is_seen_and_a_zombie_is_none(node, tmp_path):
    host, its = LocalHost(), service_manager("script")
    seen = its.parse(host.run(its.show(str(tmp_path))).stdout)
    assert (seen.running, seen.words) == (True, f"process {node.pid}")
    stop = its.stop(str(tmp_path))
    ended = host.run(stop)
    assert ended.ok, f"it waits for what nobody reaps: {ended.stderr}"
    assert Path(f"/proc/{node.pid}/cmdline").read_bytes() == b"", "a zombie"
    assert not its.parse(host.run(its.show(str(tmp_path))).stdout).running
    assert host.run(stop).ok, "nothing is left to stop"
