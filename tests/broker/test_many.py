"""Many starts at once, some of them killed: none meets another, and nothing is left.

RMQSETUP_STARTS=200 pytest tests/broker/test_many.py     # the long way; 16 starts otherwise
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import pytest
from processes import command

from rmqsetup.broker import place

STARTS = int(os.environ.get("RMQSETUP_STARTS", "16"))
AT_ONCE = 8

LOOK = """
import json, os, signal, sys, time
from pathlib import Path
import pika

begun = time.time()
name = os.environ["RMQSETUP_BROKER"]
folder = Path(os.environ["TMPDIR"], f"rmqsetup-{os.geteuid()}", name)
lease = json.loads((folder / "lease.json").read_text())
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
met = channel.queue_declare("q", durable=True).method.message_count
channel.confirm_delivery()
channel.basic_publish("", "q", name.encode())
time.sleep(0.3)
said = channel.basic_get("q", auto_ack=True)[2].decode()
connection.close()
ports = [int(os.environ["RABBITMQ_PORT"]), lease["distribution"]]
told = dict(name=name, ports=ports, begun=begun, ended=time.time(), met=met or said != name)
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(told) + "\\n")
if sys.argv[2] == "node":
    os.kill(int((folder / "pids").read_text().split()[0]), signal.SIGKILL)
"""


def one(number: int, log) -> tuple[str, int, str]:
    """Start a broker, and end it in order, by killing its node, or by killing the tool at some moment."""
    way = ("order", "tool", "order", "node")[number % 4]
    words = command("run", "--wait", "180", "--", sys.executable, "-c", LOOK, str(log), way)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    if way == "tool":
        time.sleep(random.uniform(0.1, 4))
        process.kill()
    _, said = process.communicate(timeout=400)
    if way == "tool":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the command of a tool that was killed goes on
    return way, process.returncode, said


@pytest.mark.timeout(30 * STARTS)
def test_many_starts_in_processes_of_their_own_never_meet(programs, tmp_path):  # noqa: ARG001 - are there
    log = tmp_path / "log"
    log.touch()
    before = place.leases()  # of fixtures of other tests
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(lambda number: one(number, log), range(STARTS)))
    assert [each for each in ended if each[1] and each[0] != "tool"] == []
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(seen) >= STARTS * 3 // 4, "all but those whose tool was killed have looked"
    assert [each for each in seen if each["met"]] == []
    assert len({each["name"] for each in seen}) == len(seen)
    for one_of, other in combinations(seen, 2):
        if one_of["begun"] < other["ended"] and other["begun"] < one_of["ended"]:
            assert not set(one_of["ports"]) & set(other["ports"])
    assert any(a["begun"] < b["ended"] and b["begun"] < a["ended"] for a, b in combinations(seen, 2)), "at once"
    deadline = time.monotonic() + 10
    while place.leases() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert place.leases() == before
