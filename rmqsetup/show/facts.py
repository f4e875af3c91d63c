"""A machine as rmqsetup sees it, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmqsetup.show.layout import pairs, size

if TYPE_CHECKING:
    from rmqsetup.facts import Facts, InstalledPackage
    from rmqsetup.show.terminal import Terminal

_PRIVILEGES = {"root": "root", "sudo": "a user, and there is sudo", "none": "a user, without sudo"}


def screen(facts: Facts, terminal: Terminal) -> str:
    """Return the facts as text."""
    inside = f" in {facts.container}" if facts.container else ""
    init = "none" if facts.service_manager == "none" else facts.service_manager
    rows = (
        ("host", f"{facts.hostname}{inside}"),
        ("system", _system(facts)),
        ("kernel", facts.kernel),
        ("architecture", facts.architecture),
        ("memory", size(facts.memory) if facts.memory else ""),
        ("packages by", facts.manager or "no package manager that is known"),
        ("Homebrew", "\n".join(_homebrew(facts))),
        ("services by", ", ".join(filter(None, (init, facts.service_note)))),
        ("we are", _PRIVILEGES[facts.privilege.value]),
        ("installed", "\n".join(_installed(facts))),
        ("offered", "\n".join(_offers(facts))),
        ("sources", "\n".join(_sources(facts))),
        ("retired keys", "\n".join(f"{key.fingerprint} in {key.file}" for key in facts.legacy_keys)),
        ("unreadable", ", ".join(facts.unreadable)),
        ("data in", ", ".join(facts.directories)),
    )
    return pairs(rows, terminal.width, indent="")


def _system(facts: Facts) -> str:
    """Return the name of a system, with the point release where Debian's name leaves it out."""
    name, release = facts.os.pretty or facts.os.name, facts.os.debian_version or ""
    return name if release in name else f"{name} {release}"


def _homebrew(facts: Facts) -> list[str]:
    """Return what there is to know of Homebrew, which may be there beside the system's own package manager."""
    brew = facts.homebrew
    if not brew:
        return []
    ours = "" if brew.writable or brew.owner == brew.user else f", which belongs to {brew.owner or 'somebody else'}"
    session = "" if brew.session else ", without a session for services"
    offered = ", ".join(f"{each.package} {each.version}" for each in brew.candidates)
    return [
        f"{brew.version or 'of no known version'} in {brew.prefix}{ours}{session}",
        *(f"{keg.name} {keg.version} installed{', pinned' if keg.pinned else ''}" for keg in brew.kegs),
        *((f"offers {offered}",) if offered else ()),
        *((brew.problem.partition("\n")[0],) if brew.problem else ()),
    ]


def _installed(facts: Facts) -> list[str]:
    """Return what is there of RabbitMQ and Erlang: RabbitMQ, Erlang's base, and how many more."""
    first = [package for package in facts.packages if package.name in ("rabbitmq-server", "erlang-base", "esl-erlang")]
    rest = len(facts.packages) - len(first)
    lines = [_package(package) for package in first]
    lines += [f"and {rest} more packages of Erlang"] if rest else []
    lines += [f"{stray.name} {stray.version} at {stray.path}, of no package" for stray in facts.strays]
    if not lines and facts.homebrew and facts.homebrew.kegs:
        return []
    return lines or ["neither RabbitMQ nor Erlang"]


def _package(package: InstalledPackage) -> str:
    state = "" if package.state.value == "installed" else f", {package.state.value}"
    origin = f" from {package.origin}" if package.origin else ""
    return f"{package.name} {package.version}{origin}{state}{', held' if package.held else ''}"


def _offers(facts: Facts) -> list[str]:
    return [
        f"{each.package} {each.version}" + (f" from {each.origin}" if each.origin else "")
        for each in facts.candidates
        if each.version
    ]


def _sources(facts: Facts) -> list[str]:
    """Return the enabled sources, each once; a retired one is named as such."""
    lines = [
        f"{' '.join(source.uris)} {' '.join(source.suites)}"
        + (f" (retired: {source.retired})" if source.retired else "")
        for source in facts.sources
        if source.enabled and "deb-src" not in source.types[:1]
    ]
    return list(dict.fromkeys(lines))
