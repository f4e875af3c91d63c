"""Where messages go on their own: by shovels and federations to other brokers, by policies to other exchanges."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, Check, Diagnosis, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.terms import FALSE, Atom, Term, text
from rmqsetup.redaction import redacted

AIMS = ("dead-letter-exchange", "alternate-exchange")
"""What of a policy names an exchange."""

SETTLED = 30.0
"""Seconds after which a node has its links, where they can be had."""


def running(scene: Scene) -> Iterator[Diagnosis]:
    """Every shovel and every link of a federation runs.

    One whose end cannot be reached is started again and again: it is starting, or not there at all in between.
    """
    enabled = scene.text(scene.plugins_file) if scene.runs else ""
    lost = (*(_shovels(scene) if "shovel" in enabled else ()), *(_federated(scene) if "federation" in enabled else ()))
    if lost:
        yield warning(
            "RMQ-161",
            f"{lost[0][0]} does not run{f', nor {len(lost) - 1} more' if len(lost) > 1 else ''}",
            evidence=tuple(f"{what}: {why}" for what, why in lost[:3]),
            cause="what it is to reach does not answer, or refuses it",
            hint="look at its address, user and password: rabbitmqctl shovel_status, federation_status; and the log",
            links=(f"{DOCS}/shovel", f"{DOCS}/federation"),
        )


def _shovels(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield the shovels that do not run, those that are configured in the node among them, each with why."""
    rows = [row for row in _list(scene.ask("rabbit_shovel_status", "status")) if isinstance(row, tuple)]
    states = {_named(row[0]): row[2] for row in rows if len(row) > 2}
    every = _list(scene.ask("rabbit_runtime_parameters", "list_component", b"shovel"))
    wanted = [text(_pairs(row).get("name", b"")) for row in every]
    for name in dict.fromkeys((*states, *wanted)):
        state = states.get(name, Atom("waiting for its next attempt"))
        if not _is_up(scene, state):
            yield f"the shovel {name}", _words(state)


def _federated(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield the links that do not run, with why."""
    for row in _list(scene.ask("rabbit_federation_status", "status")):
        pairs = _pairs(row)
        if not _is_up(scene, pairs.get("status", Atom("running"))):
            yield f"the link to {_named(pairs.get('upstream', b''))}", _words(pairs.get("error", b""))


def aimed(scene: Scene) -> Iterator[Diagnosis]:
    """The exchanges are there to which policies send what is dead, or what nobody takes: else it is dropped."""
    policies = [_pairs(row) for row in _list(scene.ask("rabbit_policy", "list"))] if scene.runs else []
    for policy in policies:
        name, host = text(policy.get("name", b"")), policy.get("vhost", b"")
        for key, exchange in _pairs(policy.get("definition", [])).items():
            resource = (Atom("resource"), host, Atom("exchange"), exchange)
            if key not in AIMS or not exchange or scene.ask("rabbit_exchange", "exists", resource) != FALSE:
                continue
            yield warning(
                "RMQ-167",
                f"the policy {name} sends messages to the exchange {text(exchange)}, which is not there",
                evidence=(f"rabbit_policy:list() has {key} {text(exchange)} in virtual host {text(host)}",),
                cause="such messages are dropped, and nobody is told",
                hint=f"declare the exchange in {text(host)}, or correct the policy {name}",
                links=(f"{DOCS}/dlx",),
            )


def _pairs(row: Term) -> dict[str, Term]:
    """Read a list of pairs, whose keys are atoms or binaries."""
    return {text(pair[0]): pair[1] for pair in _list(row) if isinstance(pair, tuple) and len(pair) == 2}


def _is_up(scene: Scene, state: Term) -> bool:
    """Tell whether a link runs, or starts together with its node."""
    word = state[0] if isinstance(state, tuple) and state else state
    is_early = scene.node is not None and (scene.node.uptime or 0) < SETTLED
    return word == Atom("running") or (word == Atom("starting") and is_early)


def _named(name: Term) -> str:
    """Return the name of a link, which may stand behind its virtual host."""
    return text(name[-1] if isinstance(name, tuple) and name else name)


def _words(term: Term) -> str:
    """Return the words of a reason, without a password that may be in an address."""
    return redacted(" ".join(_each_word(term)))[:160]


def _each_word(term: Term) -> Iterator[str]:
    is_text = isinstance(term, list) and all(isinstance(each, int) and 32 <= each < 0x110000 for each in term)
    if isinstance(term, (Atom, bytes)) or is_text:
        yield text(term)
    elif isinstance(term, (tuple, list)):
        for each in term:
            yield from _each_word(each)
    elif isinstance(term, int):
        yield str(term)


def _list(answer: Term | None) -> list[Term]:
    return answer if isinstance(answer, list) else []


CHECKS = (
    Check("RMQ-161", "Shovels and federation links run", running),
    Check("RMQ-167", "Exchanges that policies name are there", aimed),
)
