"""`rmqsetup cache`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.errors import UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.session import Session
    from rmqsetup.show.answer import Answer


def run(session: Session) -> Answer:
    """List, clear, export or import what throwaway brokers run from.

    All that was fetched, for archives too, can be fetched again. What a broker runs from at this moment stays. export
    FILE writes RabbitMQ and its Erlang as a bundle, fetched if need be as for rmqsetup run (--rabbitmq, --source);
    import FILE takes one into the cache of a machine without a network, of the same distribution and architecture, each
    file compared with its digest. Whose bundle it is you have to know: compare the sha256 that export says, with
    --digest.
    """
    from rmqsetup.broker import supplier
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer, plain

    what = session.words.what or "list"
    if what in ("export", "import"):
        return _export(session, _file(session)) if what == "export" else _import(session, _file(session))
    if session.words.names:
        raise UsageError(f"rmqsetup cache {what} takes no file")
    if what == "clear":
        gone = supplier.clear()
        status = "changed" if gone else "unchanged"
        return Answer("cache", lambda: screen.cleared(gone), lambda: {"removed": plain(gone)}, status=status)
    found = supplier.kept()
    return Answer("cache", lambda: screen.cached(found), lambda: {"cache": plain(found)})


def _file(session: Session) -> Path:
    names = session.words.names
    if len(names) != 1:
        raise UsageError("which bundle?", hint=f"rmqsetup cache {session.words.what} FILE")
    return Path(names[0])


def _export(session: Session, file: Path) -> Answer:
    from rmqsetup.broker import supplier
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer

    terminal = session.terminal
    with terminal.meanwhile("Writing the bundle …"):
        digest, rabbitmq, erlang = supplier.export(session.origin(), file, told=terminal.interject)
    return Answer(
        "cache",
        lambda: screen.exported(file, digest, rabbitmq, erlang),
        lambda: {"bundle": file, "sha256": digest, "rabbitmq": rabbitmq, "erlang": erlang},
        status="changed",
    )


def _import(session: Session, file: Path) -> Answer:
    from rmqsetup.broker import supplier
    from rmqsetup.show import broker as screen
    from rmqsetup.show.answer import Answer

    pair = supplier.take(file, digest=session.words.digest)
    return Answer(
        "cache",
        lambda: screen.imported(pair.rabbitmq, pair.erlang_version),
        lambda: {"rabbitmq": pair.rabbitmq, "erlang": pair.erlang_version},
        status="changed",
    )
