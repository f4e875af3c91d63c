"""Throwaway brokers as people, shells and GitHub read them."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.errors import BrokerNotReadyError, UsageError
from rmqsetup.show.layout import columns, pairs, size, span

if TYPE_CHECKING:
    from rmqsetup.broker.node import Running
    from rmqsetup.broker.place import Lease
    from rmqsetup.broker.supplier import Kept
    from rmqsetup.show.terminal import Terminal

OUTPUTS = {
    "RABBITMQ_URL": "url",
    "RABBITMQ_HOST": "host",
    "RABBITMQ_PORT": "port",
    "RABBITMQ_MANAGEMENT_URL": "management-url",
    "AMQPS_URL": "amqps-url",
    "RABBITMQ_CA_FILE": "ca-file",
    "RMQSETUP_BROKER": "id",
}
"""What a step of GitHub's hands on, by the variable that it is."""


def address(lease: Lease, terminal: Terminal) -> str:
    """Return the address alone where somebody may catch it, and more for a person at a terminal."""
    if not terminal.out.isatty():
        return lease.url
    rows = (
        ("url", "\n".join(lease.urls)),
        ("amqps", lease.amqps_url),
        ("CA file", lease.ca_file),
        ("management", lease.management_url),
        ("broker", f"{lease.name}, RabbitMQ {lease.version} on Erlang {lease.erlang}"),
    )
    return pairs(rows, terminal.width, indent="")


def exports(variables: tuple[tuple[str, str], ...]) -> str:
    """Return variables as a shell reads them."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables)


def github_files() -> tuple[Path, Path]:
    """Return the files by which a step of a workflow hands variables and outputs on. Raises `UsageError` elsewhere."""
    files = tuple(Path(os.environ.get(name, "")) for name in ("GITHUB_ENV", "GITHUB_OUTPUT"))
    if not all(file.is_absolute() for file in files):
        raise UsageError(
            "this is no step of a GitHub workflow",
            cause="GITHUB_ENV and GITHUB_OUTPUT are not set",
            hint="for a shell: --env",
        )
    return files[0], files[1]


def to_github(lease: Lease, variables: tuple[tuple[str, str], ...]) -> None:
    """Hand variables on to the steps that follow, and those with a name there as outputs, with the versions."""
    outputs = tuple((OUTPUTS[name], value) for name, value in variables if name in OUTPUTS)
    outputs += (("version", lease.version), ("erlang-version", lease.erlang))
    for path, rows in zip(github_files(), (variables, outputs), strict=True):
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in rows)


def listed(leases: tuple[Lease, ...]) -> str:
    """Return brokers as a table."""
    if not leases:
        return "No throwaway broker is up."
    rows = [("ID", "RABBITMQ", "NODES", "UP", "HELD BY", "URL")]
    for lease in leases:
        holder = f"process {lease.keeper}" if lease.keeper else "itself"
        age = time.time() - lease.started
        up = f"{age:.0f} s" if age < 60 else span(age)
        rows.append((lease.name, lease.version, str(len(lease.urls)), up, holder, lease.url))
    return columns(tuple(rows), indent="")


def stopped(names: tuple[str, ...]) -> str:
    """Say which brokers are gone."""
    return f"Stopped and removed: {', '.join(names)}" if names else "No throwaway broker was up."


def swept(names: tuple[str, ...]) -> str:
    """Say what was removed of commands that were killed."""
    return f"Removed: {', '.join(names)}" if names else "Nothing was left behind."


def cached(found: tuple[Kept, ...]) -> str:
    """Return what is in the cache as a table."""
    if not found:
        return "The cache is empty."
    rows = tuple((each.name, size(each.size), ", ".join(each.used_by)) for each in found)
    return columns((("WHAT", "SIZE", "USED BY"), *rows), indent="")


def exported(file: Path, digest: str, rabbitmq: str, erlang: str) -> str:
    """Say what a bundle holds, and by which digest it is known."""
    return f"RabbitMQ {rabbitmq} and Erlang {erlang} are in {file}\nsha256 {digest}"


def imported(rabbitmq: str, erlang: str) -> str:
    """Say what the cache has now."""
    return f"RabbitMQ {rabbitmq} and Erlang {erlang} are in the cache; rmqsetup run finds them."


def cleared(gone: tuple[Kept, ...]) -> str:
    """Say how much was removed."""
    return f"Removed {size(sum(each.size for each in gone))}." if gone else "There was nothing to remove."


def kept(folder: Path) -> str:
    """Say where the folder of a broker is."""
    return f"Data and logs are in {folder}; nothing of rmqsetup removes them."


def died(node: Running) -> str:
    """Say that a node died while a command ran, and what its log has of it."""
    error = ended(node)
    return "\n".join((f"{error.message}:", *(f"  {line}" for line in error.cause.splitlines())))


def ended(node: Running) -> BrokerNotReadyError:
    """Return the error of a node that ended of its own accord."""
    from rmqsetup.broker.node import trouble

    how = f"{node.member.name} {node.end_of_it()} while it was needed"
    return BrokerNotReadyError(how, cause=trouble(node.member))
