"""Compare `rmqsetup install` with the ways people install RabbitMQ today, on fresh machines, as ratios in one run.

    python benchmarks/install.py [--base trixie] [--rounds 3]

Needs root and what tests/lab needs. Each way runs on a machine of its own, in turn, the order reversed every
second round; CPU is that of the whole machine. Absolute seconds depend on this computer: compare ratios.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lab.laboratory import Lab
from lab.machines import Machine
from lab.tool import HOME, Tool


def salted(password: str) -> str:
    """Hash a password as RabbitMQ stores it: https://www.rabbitmq.com/docs/passwords."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


INSTALL = "export DEBIAN_FRONTEND=noninteractive; apt-get update -q && apt-get install -q -y rabbitmq-server"

USUAL = f"""{INSTALL}
printf 'vm_memory_high_watermark.relative = 0.6\\ndisk_free_limit.absolute = 2GB\\n' >/etc/rabbitmq/rabbitmq.conf
rabbitmq-plugins enable rabbitmq_management
rabbitmqctl add_vhost app
rabbitmqctl add_user app secret-for-the-benchmark
rabbitmqctl set_user_tags app monitoring
rabbitmqctl set_permissions -p app app '.*' '.*' '.*'
rabbitmqctl delete_user guest
systemctl restart rabbitmq-server
rabbitmqctl await_startup
rabbitmq-diagnostics ping
"""

DEFINITIONS = {
    "vhosts": [{"name": "app"}],
    "users": [
        {"name": "app", "password_hash": salted("secret-for-the-benchmark"), "tags": ["monitoring"], "limits": {}}
    ],
    "permissions": [{"user": "app", "vhost": "app", "configure": ".*", "write": ".*", "read": ".*"}],
}
RECIPE = """
plugins = ["rabbitmq_management"]
definitions = "definitions.json"
[config]
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = "2GB"
"""


def plain(machine: Machine) -> None:
    """Install as the distribution means it; its own start is over when apt-get returns, so there is no wait."""
    machine.run("sh", "-ec", INSTALL, check=True)


def usual(machine: Machine) -> None:
    """Install, configure, restart and ask, as most guides have it (ten commands)."""
    machine.run("sh", "-ec", USUAL, check=True)


def ours(machine: Machine) -> None:
    """Install with rmqsetup up to a message that came back."""
    machine.run("rmqsetup", "install", "--source", "distro", "--yes", check=True)


def ours_configured(machine: Machine) -> None:
    """Install with rmqsetup, configured as the usual way."""
    machine.write("/root/definitions.json", json.dumps(DEFINITIONS))
    machine.write("/root/broker.toml", RECIPE)
    machine.run("rmqsetup", "install", "--source", "distro", "--recipe", "/root/broker.toml", "--yes", check=True)


def listed_as_root(machine: Machine) -> None:
    """Install as `plain`, with the lists of packages there already."""
    machine.run("apt-get", "install", "-q", "-y", "rabbitmq-server", check=True)


def listed_as_user(machine: Machine) -> None:
    """Unpack the same packages with rmqsetup for a user, and start them, up to a message that came back."""
    machine.run("rmqsetup", "install", "--user", "--yes", check=True, user="plain")


def nothing_to_do(machine: Machine) -> None:
    """Run the same install again."""
    machine.run("rmqsetup", "install", "--source", "distro", "--yes", check=True)


Way = Callable[[Machine], None]


def measured(machine: Machine, way: Way) -> tuple[float, float]:
    """Return CPU seconds of the machine and wall seconds."""
    cpu, wall = machine.cpu_seconds, time.monotonic()
    way(machine)
    return machine.cpu_seconds - cpu, time.monotonic() - wall


def main() -> None:
    """Run every way in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", default="trixie")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ways: tuple[Way, ...] = (plain, ours, usual, ours_configured, listed_as_root, listed_as_user)
    figures: dict[str, list[tuple[float, float]]] = {}
    tool = Tool()
    with Lab() as lab:
        for number in range(given.rounds):
            for way in ways if number % 2 == 0 else ways[::-1]:
                machine = lab.machine(given.base, layers=tool.layers())
                machine.run("python3", "-m", "compileall", "-q", f"/{HOME}/app", check=True)  # as pip does
                machine.run("useradd", "-m", "plain", check=True)
                if way in (listed_as_root, listed_as_user):
                    machine.run("apt-get", "update", "-q", check=True)
                figures.setdefault(way.__name__, []).append(measured(machine, way))
                if way is ours:
                    figures.setdefault("nothing_to_do", []).append(measured(machine, nothing_to_do))
                lab.remove(machine)
                print(f"round {number + 1}: {way.__name__}", file=sys.stderr, flush=True)
    tool.close()
    report(figures)


def report(figures: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians with minima, and the ratios that matter."""
    print(f"{'':18}{'CPU s':>14}{'wall s':>16}   (median, minimum)")
    for name, rows in figures.items():
        cpu, wall = zip(*rows, strict=True)
        print(
            f"{name:18}{statistics.median(cpu):8.2f} {min(cpu):6.2f}{statistics.median(wall):9.2f} {min(wall):6.2f}",
        )
    pairs = (("ours", "plain"), ("ours_configured", "usual"), ("listed_as_user", "listed_as_root"))
    for mine, theirs in pairs:
        ratios = [(a[0] / b[0], a[1] / b[1]) for a, b in zip(figures[mine], figures[theirs], strict=True)]
        cpu, wall = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"{mine} / {theirs}: CPU x{cpu:.2f}, wall x{wall:.2f}")


if __name__ == "__main__":
    main()
