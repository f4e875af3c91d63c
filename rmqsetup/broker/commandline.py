"""RabbitMQ's own command line for a throwaway broker: with its cookie, past the epmd of the machine.

Whoever asks the node itself, as `known` does, is done a hundred times sooner.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from rmqsetup.broker.place import Lease
from rmqsetup.errors import BrokerNotReadyError
from rmqsetup.probes.wire import LOOPBACK

DEADLINE = 60.0
"""Seconds a call may take."""


def rabbitmqctl(lease: Lease, folder: Path, words: tuple[str, ...]) -> str:
    """Return what rabbitmqctl prints on standard output. Raises `BrokerNotReadyError` when it fails."""
    try:
        done = subprocess.run(
            (f"{lease.home}/sbin/rabbitmqctl", "-n", lease.node, *words),
            env=dict(environment(lease, folder)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerNotReadyError("rabbitmqctl does not come to its end", cause=str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise BrokerNotReadyError(f"rabbitmqctl {' '.join(words[:1])} ended with {done.returncode}", cause=said)
    return done.stdout


def environment(lease: Lease, folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the variables of a call: it listens on no port itself, and asks no epmd but the broker's own."""
    alone = "" if lease.epmd else f" -erl_epmd_port {lease.distribution}"
    return (
        ("PATH", f"{lease.erlang_home}/bin:/usr/bin:/bin"),
        ("HOME", str(folder / "home")),
        ("LANG", "C.UTF-8"),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null"),
        ("RABBITMQ_CTL_ERL_ARGS", f"-start_epmd false{alone} -dist_listen false"),
        ("ERL_EPMD_ADDRESS", LOOPBACK),
        *((("ERL_EPMD_PORT", str(lease.epmd)),) if lease.epmd else ()),
    )
