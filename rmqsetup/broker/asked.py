"""A throwaway broker as `status` and `verify` ask one: where its first node is, and what is expected of it.

What a broker of ours is to those that use it belongs to `known`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rmqsetup.broker import commandline, place
from rmqsetup.broker.binaries import Binaries
from rmqsetup.broker.exported import OURS
from rmqsetup.broker.place import FIRST_NODE, Lease
from rmqsetup.errors import UsageError
from rmqsetup.managers.layout import of_archive
from rmqsetup.probes.address import NodeAddress
from rmqsetup.verify import Expectation, Target

ONLY = "only"
"""Stands for the broker that a command runs beside, else for the only one that is up; no name is like it."""


def find(name: str) -> tuple[Path, Lease]:
    """Return the broker that is meant. Raises `UsageError` where none is up, or several could be meant."""
    if name != ONLY:
        return place.named(name)
    if ours := os.environ.get(OURS):
        return place.named(ours)
    every = place.leases()
    if len(every) == 1:
        return every[0]
    if not every:
        raise UsageError("no throwaway broker is up", hint="rmqsetup run --detach starts one")
    names = ", ".join(lease.name for _, lease in every)
    raise UsageError("which broker?", cause=f"{names} are up", hint="say one after --broker")


def address(folder: Path, lease: Lease) -> NodeAddress:
    """Return where the first node is, with its places and what rabbitmqctl needs to reach it."""
    own = folder / FIRST_NODE
    places = replace(
        of_archive(str(folder)),
        config=str(own),
        data=f"{own}/data",
        logs=str(own),
        log="log",
        home=str(folder / "home"),
        programs=f"{lease.home}/sbin",
    )
    return NodeAddress(
        lease.node,
        cookie=places.cookie,
        port=lease.distribution,
        layout=places,
        variables=commandline.environment(lease, folder),
    )


def target(folder: Path, lease: Lease) -> Target:
    """Return what is to be verified: its programs stand for packages, who holds it for a service."""
    return Target(
        address(folder, lease),
        service_manager="none",
        expectations=(Expectation("RabbitMQ", lease.version), Expectation("Erlang", lease.erlang)),
        installed=lambda _host, _names: _programs(lease),
        holder=f"held by process {lease.keeper}" if lease.keeper else "there until rmqsetup stop",
        hint=gone(folder, lease),
    )


def gone(folder: Path, lease: Lease) -> str:
    """Return what to do with a broker that is not well."""
    return f"see its log, {folder / FIRST_NODE / 'log'}; rmqsetup stop {lease.name} removes it"


def _programs(lease: Lease) -> tuple[Expectation, ...]:
    found = Binaries(Path(lease.home), Path(lease.erlang_home))
    return (
        Expectation("RabbitMQ", found.version, lease.home),
        Expectation("Erlang", found.otp, lease.erlang_home),
    )
