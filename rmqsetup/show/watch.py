"""A broker that is watched: as a screen as large as the terminal, and as one line of a log.

Drawing it again and again belongs to `live`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show import status as status_screen
from rmqsetup.show.layout import cells, cut, harmless, number, padded, pairs, span
from rmqsetup.status import BrokerStatus

if TYPE_CHECKING:
    from rmqsetup.errors import BrokerNotReadyError
    from rmqsetup.probes.sample import Flow, Queue, Sample
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.watch import Look

FLOW = ("published", "confirmed", "delivered", "redelivered", "acknowledged", "unroutable")
"""What is told of messages, in the order of their way."""

_WIDE = 76
"""Columns from which rates stand side by side, and queues have their kind."""

_LINE = (
    ("time", 20), ("state", 11), ("publish/s", 9), ("deliver/s", 9), ("ack/s", 9), ("ready", 9), ("unacked", 8),
    ("queues", 7), ("conns", 6), ("chans", 6), ("memory_MB", 9), ("disk_MB", 9), ("alarms", 0),
)  # fmt: skip
"""The columns of the line form, and their widths."""


def screen(look: Look, terminal: Terminal, *, columns: int, rows: int) -> str:
    """Return a look as at most so many rows of so many columns: the state, the rates, the node, the longest queues."""
    head = _head(look, terminal)
    if look.sample is None:
        told = (("problem", look.problem), ("cause", look.cause), ("hint", look.hint))
        lines = [head, "", *pairs(told, columns, indent="").splitlines()]
    elif not look.sample.node.running:
        lines = [head, "", *pairs(_node(look.sample, terminal), columns, indent="").splitlines()]
    else:
        sample = look.sample
        lines = [head, "", *_rates(look.rates, columns), ""]
        lines += pairs((*_node(sample, terminal), *_around(sample, terminal)), columns, indent="").splitlines()
        lines += ["", *_queues(sample, columns, rows - len(lines) - 1)]
    return "\n".join(cut(line, columns) for line in lines[:rows])


def error(look: Look, *, verify: str = "rmqsetup verify") -> BrokerNotReadyError | None:
    """Return what is wrong with a broker that is not well; `verify` is what is typed to hear more."""
    if look.ok:
        return None
    node = look.sample.node if look.sample else None
    return status_screen.error(BrokerStatus("", None, node, look.problem, look.cause, look.hint), verify=verify)


def heading() -> str:
    """Return the names of the columns of `line`."""
    return _columns(tuple(name for name, _ in _LINE))


def line(look: Look) -> str:
    """Return a look as one line; a dash stands for what is not known, and no column holds a blank."""
    state = look.state.replace(" ", "-")
    if look.sample is None:
        return _columns((look.time, state, *"-" * (len(_LINE) - 2)))
    sample, flow = look.sample, look.rates
    passed = (flow.published, flow.delivered, flow.acknowledged) if flow else (None, None, None)
    counts = (sample.ready, sample.unacknowledged, sample.queues, sample.connections, sample.channels)
    megabytes = (None if each is None else each // 10**6 for each in (sample.node.memory, sample.node.disk_free))
    return _columns((
        look.time,
        state,
        *("-" if each is None else f"{each:.1f}" for each in passed),
        *("-" if each is None else str(each) for each in (*counts, *megabytes)),
        ",".join(sample.node.alarms) or "-",
    ))  # fmt: skip


def _columns(cells: tuple[str, ...]) -> str:
    """Return values below their names: words to the left, numbers to the right."""
    formed = (
        f"{cell:<{width}}" if name in ("time", "state", "alarms") else f"{cell:>{width}}"
        for cell, (name, width) in zip(cells, _LINE, strict=True)
    )
    return " ".join(formed).rstrip()


def _head(look: Look, terminal: Terminal) -> str:
    state = terminal.paint(look.state)
    if not look.ok:
        state += f" since {look.since[11:19]} UTC"
    if look.sample is None:
        return f"{look.time[11:19]} UTC  {state}"
    node = look.sample.node
    up = f", up {span(node.uptime)}" if node.uptime is not None else ""
    return f"{look.time[11:19]} UTC  {harmless(node.name)}  {state}{up}"


def _rates(flow: Flow | None, columns: int) -> list[str]:
    values = tuple(number(getattr(flow, name)) if flow else "-" for name in FLOW)
    if columns < _WIDE:
        rows = zip(FLOW, values, strict=True)
        return ["messages a second", *(f"  {name:<12}  {value:>9}" for name, value in rows)]
    return [
        "messages" + "".join(f"{name:>{_room(name)}}" for name in FLOW),
        "a second" + "".join(f"{value:>{_room(name)}}" for name, value in zip(FLOW, values, strict=True)),
    ]


def _room(name: str) -> int:
    return max(len(name) + 2, 11)


def _node(sample: Sample, terminal: Terminal) -> tuple[tuple[str, str], ...]:
    shown = dict(status_screen.node_rows(sample.node, terminal))
    return tuple((name, shown[name]) for name in ("RabbitMQ", "memory", "disk", "alarms") if name in shown)


def _around(sample: Sample, terminal: Terminal) -> tuple[tuple[str, str], ...]:
    clients = ", ".join(
        f"{number(count)} {word}{'' if count == 1 else 's'}"
        for count, word in (
            (sample.connections, "connection"),
            (sample.channels, "channel"),
            (sample.consumers, "consumer"),
        )
    )
    several = len(sample.members) > 1
    members = (
        f"{harmless(each.name)} {terminal.paint('running' if each.running else 'down')}" for each in sample.members
    )
    return (
        ("clients", f"{clients}, of {sample.scope.value}" if several else clients),
        ("cluster", ", ".join(members) if several else ""),
        ("listeners", ", ".join(map(str, sample.node.listeners)) or "none"),
    )


def _queues(sample: Sample, columns: int, rows: int) -> list[str]:
    lengths = f": {number(sample.ready)} messages ready, {number(sample.unacknowledged)} unacknowledged"
    if sample.ready is None:
        lengths = f"; statistics are off: {number(sample.seen)} were asked for their length"
    head = f"queues    {number(sample.queues)}{lengths}"
    if not sample.longest:
        return [head]
    wide = columns >= _WIDE
    names = tuple(f"{harmless(one.virtual_host)} {harmless(one.name)}" for one in sample.longest)
    titles = f"{'type':<8}  {'ready':>9}  {'unacked':>9}  {'consumers':>9}" if wide else f"{'ready':>9}  {'unacked':>9}"
    width = max(min(columns - cells(titles) - 4, max(map(cells, names))), 11)
    table = [f"  {padded('vhost queue', width)}  {titles}"]
    total = max(sample.queues or 0, len(names))
    room = rows - 2 if total <= min(rows - 2, len(names)) else rows - 3  # a line says how many more there are
    for name, queue in list(zip(names, sample.longest, strict=True))[: max(room, 0)]:
        table.append(f"  {padded(name, width)}  {_numbers(queue, wide=wide)}")
    more = total - (len(table) - 1)
    return [head, *table, *((f"  and {number(more)} more",) if more else ())]


def _numbers(queue: Queue, *, wide: bool) -> str:
    counts = (queue.ready, queue.unacknowledged, queue.consumers) if wide else (queue.ready, queue.unacknowledged)
    kind = f"{queue.kind:<8}  " if wide else ""
    return kind + "  ".join(f"{number(count):>9}" for count in counts)
