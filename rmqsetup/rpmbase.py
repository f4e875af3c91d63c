"""What rpm and its package managers say of a machine: packages, holds, repositories, and what those offer.

What the rest of a machine is, and what runs there, is looked at by `detect`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from rmqsetup import catalog
from rmqsetup.catalog import leftovers
from rmqsetup.facts import Candidate, InstalledPackage
from rmqsetup.host import Command, Host
from rmqsetup.managers import rpm
from rmqsetup.managers.repo_files import RepoFiles
from rmqsetup.managers.sources import ConfiguredSource
from rmqsetup.version import Version

_ANSWERED = (0, 104)
"""How dnf and zypper end that could look into their lists; 104 is zypper's for nothing found (rpm.md)."""

_PATTERNS = ("rpm", "rabbitmq-server", "erlang*")


@dataclass(frozen=True, slots=True)
class Rpm:
    """The answers; `unreadable` are files this user may not read."""

    packages: tuple[InstalledPackage, ...] = ()
    architecture: str = ""
    sources: tuple[ConfiguredSource, ...] = ()
    unreadable: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()


NOTHING = Rpm()
"""A machine that has none of it."""


def look(host: Host, its: RepoFiles, *, offers: bool, fetch: bool = False) -> Rpm:
    """Look at a host; one command, and another for what is offered.

    `fetch` lets the manager fetch lists for that, unless RabbitMQ is there already: then the lists it has will do.
    """
    packages, architecture = _packages(host, its)
    sources, unreadable = _sources(host, its)
    found = Rpm(packages, architecture, sources, unreadable)
    fetch = fetch and all(package.name != its.layout.server for package in packages)
    return replace(found, candidates=offered(host, its, sources, fetch=fetch)) if offers else found


def _packages(host: Host, its: RepoFiles) -> tuple[tuple[InstalledPackage, ...], str]:
    """Return the packages we care for, and the architecture of rpm itself; their origin is who made them."""
    answer = host.run(Command(("rpm", "-qa", "--qf", rpm.ROW, *_PATTERNS)))
    files = ((path, state.text) for path in its.locks if (state := host.read(path)))
    locks = (f"lock\t{line}" for path, text in files for line in text.splitlines() if rpm.may_lock(path, line))
    found = rpm.parse_list("\n".join((*locks, answer.stdout)))
    rows = [line.split("\t") for line in answer.stdout.splitlines()]
    architectures = {row[1]: row[3] for row in rows if len(row) == 6}
    packages = tuple(
        InstalledPackage(each.name, each.version, architectures[each.name], each.state, each.held, each.vendor)
        for each in found
        if each.name != "rpm"
    )
    return packages, architectures.get("rpm", "")


def _sources(host: Host, its: RepoFiles) -> tuple[tuple[ConfiguredSource, ...], tuple[str, ...]]:
    found: list[ConfiguredSource] = []
    unread = []
    for path in (f"{its.folder}/{name}" for name in host.names(its.folder) if its.is_list(name)):
        state = host.read(path)
        if state and state.content is None:
            unread.append(path)
        elif state:
            found += (_judged(source, its) for source in its.parse_sources(path, state.text))
    return tuple(found), tuple(unread)


def _judged(source: ConfiguredSource, its: RepoFiles) -> ConfiguredSource:
    """Say whether a repository is one for RabbitMQ alone: ours, upstream's, or one that upstream has given up."""
    upstream = {urlsplit(uri).hostname for row in catalog.load().repositories for uri in row.uris}
    retired = leftovers.retired_at(source.uris)
    foreign = source.file == its.file or retired or any(urlsplit(uri).hostname in upstream for uri in source.uris)
    return replace(source, retired=retired, own=not foreign)


def offered(host: Host, its: RepoFiles, sources: tuple[ConfiguredSource, ...], *, fetch: bool) -> tuple[Candidate, ...]:
    """Return the newest version of each package in the repositories that are not for RabbitMQ alone.

    Where the lists could be read and have no RabbitMQ, it stands there without a version.
    """
    names = (its.layout.server, *its.layout.runtimes)
    own = [(name, source) for source in sources if source.own and source.enabled for name in source.names]
    answer = host.run(its.offers(names, fetch=fetch))
    best = {its.layout.server: Candidate(its.layout.server, "")} if answer.exit_code in _ANSWERED else {}
    for offer in its.parse_offers(answer.stdout):
        source = next((source for name, source in own if fnmatchcase(offer.repository, name)), None)
        older = best.get(offer.name)
        if source and (older is None or Version(older.version) < Version(offer.version)):
            best[offer.name] = Candidate(offer.name, offer.version, offer.repository, source.uris[0])
    return tuple(best.values())
