"""Which Erlang fits which RabbitMQ, and which release follows which: questions to the series table.

Which of them a machine can have is for `resolve` to find.
"""

from __future__ import annotations

from rmqsetup.catalog.rows import ErlangRange, Verdict


def erlang_range(rabbitmq: str) -> ErlangRange | None:
    """Return the Erlang range of a release."""
    raise NotImplementedError


def judge_pair(rabbitmq: str, erlang: str) -> Verdict:
    """Judge a pair."""
    raise NotImplementedError


def can_upgrade(rabbitmq: str, to: str) -> bool:
    """Tell whether one hop leads there."""
    raise NotImplementedError
