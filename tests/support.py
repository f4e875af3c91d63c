"""Write the README's table of systems from the catalog."""

from __future__ import annotations

from rmqsetup.catalog import Derivative, Distribution, Tested, load

TRIED = {
    Tested.MACHINE: "on a real machine",
    Tested.RECORDED: "with recorded answers",
    Tested.LAB: "its package manager, on Debian",
    Tested.COMPOSED: "with composed answers",
    Tested.NONE: "not tested",
}


def table() -> str:
    """Return the table and the sentence on what is made from its rows."""
    rows = ["| System | Its own RabbitMQ / Erlang | Team RabbitMQ's packages | Tested |", "|---|---|---|---|"]
    rows += [_row(row) for row in load().distributions if not row.ended]
    made = ", ".join(_derivative(row) for row in load().derivatives)
    ended = ", ".join(row.name for row in load().distributions if row.ended)
    return "\n".join(
        (
            *rows,
            "",
            f"What is made from one of these is treated as that one, with composed answers: {made}.",
            "",
            f"Refused, since nobody mends their holes any more: {ended}.",
            "",
        )
    )


def _row(row: Distribution) -> str:
    unknown = "what Homebrew has" if row.manager == "brew" else "as its lists say"
    own = f"{row.rabbitmq} / {row.erlang}" if row.rabbitmq else unknown
    return f"| {row.name} | {own} | {_team(row)} | {TRIED[row.tested]} |"


def _team(row: Distribution) -> str:
    """Name the architectures on which both halves of the pair can come from Team RabbitMQ."""
    serving = [repository for repository in load().repositories if repository.id in row.repositories and repository.key]
    erlang = [repository for repository in serving if repository.provides == "erlang"]
    both = [arch for arch in row.architectures if any(repository.serves(arch) for repository in erlang)]
    return ", ".join(both) if any(r.provides == "rabbitmq" for r in serving) and both else "no"


def _derivative(row: Derivative) -> str:
    return f"{row.name} (its own packages only)" if row.own_packages else row.name
