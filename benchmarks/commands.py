"""Measure what starting rmqsetup costs, and `status` against `rabbitmqctl status` on a machine.

    python benchmarks/commands.py [--rounds 9] [--machine]

Every command runs in turn in processes of their own; CPU is user plus system. Compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import os
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


def measured(argv: tuple[str, ...]) -> tuple[float, float]:
    """Return CPU and wall milliseconds of a process and what it starts."""
    before, began = os.times(), time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, check=False)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu * 1000, (time.monotonic() - began) * 1000


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
    from lab.tool import Tool

    tool, ours, theirs = Tool(), [], []
    with Lab() as lab:
        machine = lab.machine("trixie", layers=tool.layers())
        machine.run("rmqsetup", "install", "--source", "distro", "--yes", check=True)
        for _ in range(rounds):
            for rows, argv in ((ours, ("rmqsetup", "status")), (theirs, ("rabbitmqctl", "status"))):
                cpu, began = machine.cpu_seconds, time.monotonic()
                machine.run(*argv, check=True)
                rows.append((machine.cpu_seconds - cpu, time.monotonic() - began))
    tool.close()
    for name, rows in (("rmqsetup status", ours), ("rabbitmqctl status", theirs)):
        cpu, wall = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:20}{cpu:8.3f} CPU s of the machine{wall:8.3f} s wall")
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
