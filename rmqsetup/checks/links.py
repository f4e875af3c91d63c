"""What carries messages from one broker to another: shovels, and the links of federations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, Check, Diagnosis, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.terms import Atom, Term, text


def running(scene: Scene) -> Iterator[Diagnosis]:
    """Every shovel and every link of a federation runs."""
    enabled = scene.text(scene.plugins_file) if scene.runs else ""
    lost = []
    if "shovel" in enabled:
        rows = (row for row in _list(scene.ask("rabbit_shovel_status", "status")) if isinstance(row, tuple))
        lost += [(f"the shovel {_named(row[0])}", row[2]) for row in rows if len(row) > 2 and not _is_up(row[2])]
    if "federation" in enabled:
        every = _list(scene.ask("rabbit_federation_status", "status"))
        for pairs in ({text(pair[0]): pair[1] for pair in _list(row) if isinstance(pair, tuple)} for row in every):
            if not _is_up(pairs.get("status", Atom("running"))):
                lost.append((f"the link to {_named(pairs.get('upstream', b''))}", pairs.get("error", b"")))
    if lost:
        yield warning(
            "RMQ-161",
            f"{lost[0][0]} does not run{f', nor {len(lost) - 1} more' if len(lost) > 1 else ''}",
            evidence=tuple(f"{what}: {_words(why)}" for what, why in lost[:3]),
            cause="what it is to reach does not answer, or refuses it",
            hint="look at its address, user and password: rabbitmqctl shovel_status, federation_status; and the log",
            links=(f"{DOCS}/shovel", f"{DOCS}/federation"),
        )


def _is_up(state: Term) -> bool:
    """Tell whether a link runs, or is about to."""
    word = state[0] if isinstance(state, tuple) and state else state
    return word in (Atom("running"), Atom("starting"))


def _named(name: Term) -> str:
    """Return the name of a link, which may stand behind its virtual host."""
    return text(name[-1] if isinstance(name, tuple) and name else name)


def _words(term: Term) -> str:
    """Return a reason in words, without anything between that may hold an address with a password."""
    return re.sub(r"amqps?://[^@\s'\"]*@", "amqp://(not shown)@", repr(term))[:160]


def _list(answer: Term | None) -> list[Term]:
    return answer if isinstance(answer, list) else []


CHECKS = (Check("RMQ-161", "Shovels and federation links run", running),)
