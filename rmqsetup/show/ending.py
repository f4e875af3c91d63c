"""How a change ended: what is where now, what to type next, what stays after an uninstall."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rmqsetup.errors import RmqsetupError
from rmqsetup.show.answer import plain
from rmqsetup.show.layout import columns, pairs, size, wrapped

if TYPE_CHECKING:
    from rmqsetup.apply import Report
    from rmqsetup.plan import Plan
    from rmqsetup.probes.node import NodeListener
    from rmqsetup.show.terminal import Terminal
    from rmqsetup.verification import Verification


NOTHING_LEFT = "Nothing to do: there is no change of rmqsetup's on this machine."
"""What an uninstall says where nothing was done, or all of it is taken back already."""


class Directory(NamedTuple):
    """A directory that stays; `size` in bytes."""

    path: str
    size: int


class Remains(NamedTuple):
    """What stays on a machine after an uninstall; empty where there is none.

    `broker` is RabbitMQ itself that was there before us: its directories and its user are no leftovers, and not named.
    """

    directories: tuple[Directory, ...] = ()
    user: str = ""
    receipts: str = ""
    broker: bool = False


def installed(report: Report, found: Verification | None, terminal: Terminal) -> str:
    """Return the end of an install: where things are, what to type next."""
    head = wrapped(_headline(report.plan, found), terminal.width)
    if terminal.quiet:
        return head
    rows, following = pairs(_places(report, found), terminal.width), _commands(_next(report, found), terminal.width)
    return f"\n{head}\n\n{rows}\n\nNext\n{following}"


def unchanged(plan: Plan, found: Verification | None, terminal: Terminal) -> str:
    """Return the one sentence of an install that had nothing to do."""
    if found and not found.ok:
        return ""
    seen = _seen(found)
    return wrapped(f"Nothing to do: {_pair(plan, found)} is as wished{f', {seen}' if seen else ''}.", terminal.width)


def foretold(plan: Plan, names: tuple[str, ...], before: Remains, terminal: Terminal, *, purge: bool) -> str:
    """Return what to know before an undo or uninstall: which runs it takes back, and that data stay."""
    lines = [] if plan.title == "uninstall" else [f"This takes back {' and '.join(names)}."]
    if before.directories and not purge:
        lines.append(f"What is in {' and '.join(each.path for each in before.directories)} stays.")
    return "\n".join(wrapped(line, terminal.width) for line in lines)


def taken_back(report: Report, left: Remains, terminal: Terminal) -> str:
    """Return the end of an undo or uninstall: what stays, and how to delete it."""
    if report.error:
        return ""
    everything = report.plan.title == "uninstall"
    done = "Everything rmqsetup did is taken back." if everything else "Taken back."
    lines = [done if report.changed else "Nothing was left to take back."]
    if terminal.quiet:
        return lines[0]
    if not everything:
        lines += [f"  receipt  {report.receipt}"] if report.receipt else []
        left = left._replace(receipts="")  # they say what there is to take back still
    elif left.broker:
        lines.append("RabbitMQ was here before rmqsetup, and stays with its data.")
    rows = [(each.path, size(each.size)) for each in left.directories]
    rows += [("user", left.user)] if left.user else []
    rows += [(left.receipts, "the receipts of what was done here")] if left.receipts else []
    if rows:
        lines += ["", "What stays", pairs(tuple(rows), terminal.width)]
        lines += ["", "To delete it", *(f"  {command}" for command in _deleting(left))]
    return "\n".join(lines)


def explained(report: Report) -> RmqsetupError | None:
    """Return the error that stopped a change, its hint with what became of what was begun."""
    error = report.error
    if error is None:
        return None
    if report.rolled_back:
        after = "what was begun was taken back: the machine is as before"
    elif report.receipt:
        after = "what is done stays: the same command again goes on from there, rmqsetup undo takes it back"
    else:
        after = "nothing was changed"
    again = type(error)(
        error.message, cause=error.cause, looked_at=error.looked_at, hint="\n".join(filter(None, (error.hint, after)))
    )
    return again.with_traceback(error.__traceback__)


def purge_question(doomed: Remains) -> str:
    """Return the question before data are deleted, naming them."""
    names = ", ".join(f"{each.path} ({size(each.size)})" for each in doomed.directories)
    return f"Delete the broker's data for good: {names}?"


def installed_data(report: Report, found: Verification | None) -> object:
    """Return the end of an install as data."""
    its = found.status if found else None  # a plan may know no more than the series
    pair = {"rabbitmq": its.version, "erlang": its.erlang} if its else {}
    return {**_report(report), **pair, "places": dict(_places(report, found)), "verification": plain(found)}


def unchanged_data(plan: Plan, found: Verification | None) -> object:
    """Return an install that had nothing to do as data."""
    resolution = plan.resolution
    return {
        "rabbitmq": resolution.rabbitmq if resolution else "",
        "erlang": resolution.erlang if resolution else "",
        "source": resolution.source if resolution else "",
        "receipt": "",
        "steps": [],
        "verification": plain(found),
    }


def taken_back_data(report: Report, left: Remains) -> object:
    """Return the end of an undo or uninstall as data."""
    return {**_report(report), "remains": plain(left)}


def _report(report: Report) -> dict[str, object]:
    found = report.plan.resolution
    named = {"rabbitmq": found.rabbitmq, "erlang": found.erlang, "source": found.source} if found else {}
    more = {"notice": found.notice, "warnings": list(found.warnings)} if found else {}
    return {
        **named,
        **more,
        "receipt": report.receipt,
        "rolled_back": report.rolled_back,
        "steps": [plain(outcome) for outcome in report.outcomes],
    }


def _headline(plan: Plan, found: Verification | None) -> str:
    pair = _pair(plan, found)
    told = f"; {_seen(found)}" if _seen(found) else "; it was not verified" if _started(plan) else ", and not started"
    return f"{pair} is installed{told}."


def _started(plan: Plan) -> bool:
    return plan.request is None or plan.request.start


def _pair(plan: Plan, found: Verification | None) -> str:
    """Say what runs, as the node itself says it where it was asked: a plan may know no more than the series."""
    its, status = plan.resolution, found.status if found else None
    if not its:
        return "RabbitMQ"
    return f"RabbitMQ {status.version if status else its.rabbitmq} on Erlang {status.erlang if status else its.erlang}"


def _seen(found: Verification | None) -> str:
    """Say what was verified in the words of its level; nothing where only packages were looked at."""
    if not found or found.level == 0:
        return ""
    return (
        "its service runs",
        "its node runs",
        "its listeners answer",
        "clients can log in",
        "messages went through a classic and a quorum queue",
    )[found.level - 1]


def _places(report: Report, found: Verification | None) -> tuple[tuple[str, str], ...]:
    from rmqsetup.steps.file import File

    its = report.plan.layout
    status = found.status if found else None
    files = [step.path for step in report.plan.steps if isinstance(step, File) and step.exists]
    ours = [path.removeprefix(f"{its.config}/") for path in files if path.startswith(f"{its.config}/")]
    listeners = status.listeners if status else ()
    return (
        ("node", status.name if status else ""),
        ("clients", ", ".join(f"{_scheme(one)}://{_host(one)}:{one.port}" for one in listeners if one.amqp)),
        ("management", ", ".join(f"{_scheme(one)}://{_host(one)}:{one.port}" for one in listeners if _web(one))),
        ("config", f"{its.config} ({', '.join(ours)})" if ours else its.config),
        ("data", its.data),
        ("logs", its.logs),
        ("receipt", report.receipt),
    )


def _web(listener: NodeListener) -> bool:
    return listener.protocol in ("http", "https")


def _scheme(listener: NodeListener) -> str:
    return {"amqp": "amqp", "amqp/ssl": "amqps", "http": "http", "https": "https"}[listener.protocol]


def _host(listener: NodeListener) -> str:
    return "localhost" if listener.ip in ("0.0.0.0", "::", "127.0.0.1", "::1") else listener.ip  # noqa: S104


def _next(report: Report, found: Verification | None) -> tuple[tuple[str, str], ...]:
    its, facts = report.plan.layout, report.plan.facts
    unmanaged = facts is not None and facts.service_manager == "none" and not its.services
    start = {"brew": f"{its.prefix}/bin/brew services start {its.service}", "": f"systemctl start {its.service}"}
    command = "rmqsetup start" if unmanaged else start.get(its.services, f"{its.program('rabbitmq-server')} -detached")
    control = its.program("rabbitmqctl")
    return (
        *(() if _started(report.plan) else ((command, "start the broker"),)),
        *((("rmqsetup start --foreground", "let this be the container's command"),) if unmanaged else ()),
        ("rmqsetup status", "how the broker is")
        if found or not _started(report.plan)
        else ("rmqsetup verify", "whether it works"),
        (f"{control} add_user NAME", "guest may only log in here"),
        (f"{control} set_permissions NAME '.*' '.*' '.*'", "what NAME may do"),
        ("rmqsetup uninstall", "take everything back"),
    )


def _commands(rows: tuple[tuple[str, str], ...], width: int) -> str:
    """Return what to type with what it is for, beside it or, where that is too wide, below it."""
    beside = columns(rows)
    if all(len(line) <= width for line in beside.splitlines()):
        return beside
    return "\n".join(f"  {command}\n      {purpose}" for command, purpose in rows)


def _deleting(left: Remains) -> tuple[str, ...]:
    paths = (*(each.path for each in left.directories), left.receipts)
    return (*(f"rm -r {path}" for path in paths if path), *((f"userdel {left.user}",) if left.user else ()))
