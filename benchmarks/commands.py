"""Measure what starting rmqsetup costs, and `status` against `rabbitmqctl status` on a machine.

    python benchmarks/commands.py [--rounds 9] [--machine]

Every command runs in turn in processes of their own; CPU is user plus system. Compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable

COMMANDS: dict[str, tuple[str, ...]] = {
    "python -c pass": ("-c", "pass"),
    "rmqsetup --version": ("-m", "rmqsetup", "--version"),
    "rmqsetup status --output json": ("-m", "rmqsetup", "status", "--output", "json"),
    "rmqsetup history --output json": ("-m", "rmqsetup", "history", "--output", "json"),
    "rmqsetup facts --output json": ("-m", "rmqsetup", "facts", "--output", "json"),
    "rmqsetup --help": ("-m", "rmqsetup", "--help"),
}


DRIVER = """
import json, resource, subprocess, sys, time
rows = []
for _ in range(int(sys.argv[1])):
    for tool in ("rmqsetup", "rabbitmqctl"):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run((tool, "status"), stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        rows.append((cpu, time.monotonic() - began))
print(json.dumps(rows))
"""
"""What times both commands in the machine itself, where nothing of the lab comes between."""


def measured(argv: tuple[str, ...]) -> tuple[float, float]:
    """Return CPU and wall milliseconds of a process and what it starts."""
    before, began = _children(), time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, check=False)
    return (_children() - before) * 1000, (time.monotonic() - began) * 1000


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def on_this_computer(rounds: int) -> None:
    """Time the start of commands here, where no broker answers."""
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            rows[name].append(measured((PYTHON, *words)))
    base = statistics.median(cpu for cpu, _ in rows["python -c pass"])
    print(f"{'':34}{'CPU ms':>8}{'over pass':>11}{'ratio':>8}{'wall ms':>9}")
    for name, figures in rows.items():
        cpu, wall = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:34}{cpu:8.0f}{cpu - base:11.0f}{cpu / base:8.2f}{wall:9.0f}")


def on_a_machine(rounds: int) -> None:
    """Time `status` against one `rabbitmqctl status`, with a broker that runs."""
    sys.path.insert(0, str(ROOT / "tests"))
    from lab.laboratory import Lab
    from lab.tool import HOME, Tool

    tool = Tool()
    with Lab() as lab:
        machine = lab.machine("trixie", layers=tool.layers())
        machine.run("python3", "-m", "compileall", "-q", f"/{HOME}/app", check=True)  # as pip does
        machine.run("rmqsetup", "install", "--source", "distro", "--yes", check=True)
        done = machine.run("python3", "-", str(rounds), input=DRIVER, check=True)
    rows = json.loads(done.stdout)
    ours, theirs = rows[::2], rows[1::2]
    tool.close()
    for name, rows in (("rmqsetup status", ours), ("rabbitmqctl status", theirs)):
        cpu, wall = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:20}{cpu:8.3f} CPU s{wall:8.3f} s wall")
    ratio = statistics.median(a[1] / b[1] for a, b in zip(ours, theirs, strict=True))
    print(f"rmqsetup status / rabbitmqctl status: wall x{ratio:.3f}")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--machine", action="store_true", help="also measure on a machine of the lab (root)")
    given = parser.parse_args()
    on_this_computer(given.rounds)
    if given.machine:
        on_a_machine(given.rounds)


if __name__ == "__main__":
    main()
