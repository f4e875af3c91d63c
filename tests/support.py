"""Write the tables of systems in the README and in docs/systems.md from the catalog."""

from __future__ import annotations

from rmqsetup.catalog import Derivative, Distribution, Tested, load

TRIED = {
    Tested.MACHINE: "on a real machine",
    Tested.RECORDED: "with recorded answers",
    Tested.LAB: "its package manager, on Debian",
    Tested.COMPOSED: "with composed answers",
    Tested.NONE: "not tested",
}


MEANING = {
    Tested.MACHINE: "On a real machine: installed, verified and uninstalled on a freshly booted one",
    Tested.LAB: "The same with its real package manager, on machines that are Debian otherwise",
    Tested.RECORDED: "With answers recorded on such a machine",
    Tested.COMPOSED: "With its own os-release file, and answers written by hand",
    Tested.NONE: "Not tested",
}


def short() -> str:
    """Return a line for each way of testing, with the systems that were tested so."""
    rows = ["| How it was tested | Systems |", "|---|---|"]
    for tested, meaning in MEANING.items():
        names = [row.name for row in load().distributions if row.tested is tested and not row.ended]
        rows += [f"| {meaning} | {_joined(names)} |"] if names else []
    return "\n".join((*rows, ""))


def _joined(names: list[str]) -> str:
    """Join names, versions of one system as `Ubuntu 24.04, 22.04`."""
    systems: dict[str, list[str]] = {}
    for name in names:
        system, _, version = name.rpartition(" ") if name[-1].isdigit() else (name, "", "")
        systems.setdefault(system, []).append(version)
    return "; ".join(f"{system} {', '.join(versions)}".strip() for system, versions in systems.items())


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
