"""Look at what stays on a machine after an uninstall: data, logs, the node's user, our receipts.

How that is shown belongs to `show.ending`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.host import Command

if TYPE_CHECKING:
    from rmqsetup.host import Host
    from rmqsetup.plan import Plan
    from rmqsetup.show.ending import Remains

USER = "rabbitmq"


def remains(host: Host, state: Path, plan: Plan) -> Remains:
    """Return what is there of the broker beside its packages or trees, with sizes in bytes."""
    from rmqsetup.prefix import Layout
    from rmqsetup.show.ending import Directory, Remains
    from rmqsetup.steps.archive import Archive
    from rmqsetup.wishes import DATA

    prefixes = dict.fromkeys(step.prefix for step in plan.steps if isinstance(step, Archive))
    data = (path for prefix in prefixes for path in Layout(prefix).data)
    there = tuple(path for path in (data if prefixes else DATA) if host.names(path))
    sizes = dict(map(_size, host.run(Command(("du", "-sk", "--", *there))).stdout.splitlines())) if there else {}
    users = host.read("/etc/passwd")
    return Remains(
        tuple(Directory(path, sizes.get(path, 0)) for path in there),
        user=USER if not prefixes and users and f"\n{USER}:" in f"\n{users.text}" else "",
        receipts=str(state / "receipts") if host.names(str(state / "receipts")) else "",
    )


def _size(line: str) -> tuple[str, int]:
    """Read `KILOBYTES<tab>PATH`."""
    number, _, path = line.partition("\t")
    return path, 1024 * int(number)
