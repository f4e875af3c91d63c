"""What a plan would change, grouped by phase: what, from where, why, and what cannot be taken back.

Asking whether to go ahead belongs to `cli`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import wrapped
from rmqsetup.steps import Phase
from rmqsetup.steps.packages import Packages

if TYPE_CHECKING:
    from rmqsetup.plan import Item, Plan, Preview
    from rmqsetup.show.terminal import Terminal

_GROUPS = (
    ("Stop", (Phase.STOP,)),
    ("Configuration", (Phase.WRITE,)),
    ("Packages", (Phase.PACKAGES,)),
    ("The broker's own files", (Phase.OWNED,)),
    ("Remove", (Phase.REMOVE,)),
    ("Service", (Phase.START,)),
    ("Node", (Phase.NODE,)),
)
"""Titles of the phases, in the order in which they are carried out."""


UNKNOWN = "what comes along is known when the package lists are fetched anew, which install does first"
"""What is said of packages where the lists that are here do not tell what would be installed."""

NEXT = "Nothing was changed. rmqsetup install with the same options does this."
"""What follows on the preview of a plan that was only asked for."""


def screen(seen: Preview, terminal: Terminal, *, explain: bool = False, talk: bool = False) -> str:
    """Return the preview as text."""
    parts = [_head(seen.plan, terminal, explain=explain)]
    if not seen.changes:
        return "\n".join([*filter(None, parts), "Nothing to do."])
    for title, phases in _GROUPS:
        items = [item for item in seen.changes if item.step.phase in phases]
        if items:
            parts.append("\n".join([title, *(_item(item, terminal, talk=talk) for item in items)]))
    return "\n\n".join(filter(None, parts))


def data(seen: Preview) -> object:
    """Return the preview as data: no file contents, so no secret either."""
    plan, found = seen.plan, seen.plan.resolution
    return {
        "title": plan.title,
        "source": found.source if found else "",
        "rabbitmq": found.rabbitmq if found else "",
        "erlang": found.erlang if found else "",
        "packages": [str(package) for package in found.packages] if found else [],
        "keys": [key.fingerprint for key in found.keys] if found else [],
        "uris": [uri for served in found.served for uri in served.uris] if found else [],
        "notice": found.notice if found else "",
        "warnings": list(found.warnings) if found else [],
        "reasons": list(found.reasons) if found else [],
        "changes": [_item_data(item) for item in seen.changes],
    }


def _head(plan: Plan, terminal: Terminal, *, explain: bool) -> str:
    """Say what comes from where."""
    found = plan.resolution
    if found is None:
        return ""
    archives = ", ".join(archive.where for archive in found.archives)
    own = {
        "archive": f"from {archives}" if archives else "unpacked already",
        "user": f"unpacked from packages of {found.distribution.name}" if archives else "unpacked already",
        "brew": "from Homebrew",
        "distro": f"from {found.distribution.name} itself",
        "installed": "installed already",
    }
    hosts = ", ".join(dict.fromkeys(_host(uri) for served in found.served for uri in served.uris[:1]))
    where = own.get(found.source, f"from {hosts}")
    lines = [f"RabbitMQ {found.rabbitmq} on Erlang {found.erlang}, {where}"]
    if found.keys:
        lines.append(f"signed by {' or '.join(key.fingerprint for key in found.keys)}")
    if found.notice:
        lines.append(found.notice)
    if explain:
        lines += [f"because {reason}" for reason in found.reasons]
    lines += [f"{terminal.paint('warning')}: {text}" for text in found.warnings]
    return "\n".join(wrapped(line, terminal.width, rest="  ") for line in lines)


def _host(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _item(item: Item, terminal: Terminal, *, talk: bool) -> str:
    def told(text: str) -> str:
        return wrapped(text, terminal.width, first="    ", rest="      ")

    change = item.change
    lines = [wrapped(change.words or item.step.key, terminal.width, first="  ", rest="      ")]
    lines += [told(detail) for detail in _together(change.details) or _wanted(item)]
    if change.conflict:
        lines.append(told(f"{terminal.paint('warning', talk=talk)}: {change.conflict}"))
    if change.warning:
        lines.append(told(f"{terminal.paint('warning', talk=talk)}: {change.warning}"))
    if not _undoable(item) and not item.error:
        lines.append(told("this cannot be undone"))
    if item.error:
        lines.append(told(f"{terminal.paint('failed', talk=talk)}: {item.error.message}"))
    return "\n".join(lines)


def _wanted(item: Item) -> tuple[str, ...]:
    """Return the packages that are wished for, where the manager's indices are too old to tell more, and say so."""
    step = item.step
    if not isinstance(step, Packages) or item.change.then is None:
        return ()
    return (*(str(package) for package in step.want if package.version), UNKNOWN)


def _together(details: tuple[str, ...]) -> tuple[str, ...]:
    """Return details with packages of one version and origin on one line: Erlang comes in many parts."""
    groups: dict[tuple[str, str], list[str]] = {}
    for detail in details:
        words = detail.split(" ", 2)
        verb, name, rest = words if words[0] == "remove" and len(words) > 2 else ("", *detail.partition(" ")[::2])
        groups.setdefault((verb, rest), []).append(name)
    return tuple(
        " ".join(filter(None, (verb, ", ".join(names), rest))) for (verb, rest), names in groups.items()
    )  # fmt: skip


def _undoable(item: Item) -> bool:
    """Tell whether the journal will know how to take it back; what goes on after a look is judged then."""
    return item.change.inverse is not None or item.change.then is not None


def _item_data(item: Item) -> object:
    return {
        "key": item.step.key,
        "phase": item.step.phase.name.lower(),
        "words": item.change.words,
        "details": list(item.change.details),
        "warning": item.change.warning,
        "conflict": item.change.conflict,
        "undoable": _undoable(item),
        "error": item.error.message if item.error else "",
    }
