"""Look at what stays on a machine after an uninstall: data, logs, the node's user, our receipts.

How that is shown belongs to `show.ending`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.host import Command

if TYPE_CHECKING:
    from rmqsetup.host import Host
    from rmqsetup.managers.layout import Layout
    from rmqsetup.show.ending import Remains


def remains(host: Host, state: Path, layouts: tuple[Layout, ...], *, broker: bool = False) -> Remains:
    """Return what is there of some brokers beside their packages or trees, with sizes in bytes.

    With `broker` it is looked whether RabbitMQ itself is still there, as one is that was before us: what it has is
    no leftover then.
    """
    from rmqsetup.cli.verifying import installed
    from rmqsetup.show.ending import Directory, Remains

    receipts = str(state / "receipts") if host.names(str(state / "receipts")) else ""
    if broker and installed(host, tuple(its.server for its in layouts)):
        return Remains(receipts=receipts, broker=True)
    there = tuple(path for its in layouts for path in its.remains if host.names(path))
    sizes = dict(map(_size, host.run(Command(("du", "-sk", "--", *there))).stdout.splitlines())) if there else {}
    users = host.read("/etc/passwd")
    return Remains(
        tuple(Directory(path, sizes.get(path, 0)) for path in there),
        user=next((its.user for its in layouts if its.user and users and f"\n{its.user}:" in f"\n{users.text}"), ""),
        receipts=receipts,
    )


def _size(line: str) -> tuple[str, int]:
    """Read `KILOBYTES<tab>PATH`."""
    number, _, path = line.partition("\t")
    return path, 1024 * int(number)
