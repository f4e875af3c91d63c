"""Ask a source what versions it really offers; of apt's repositories: InRelease, its signature, Packages, its digest.

How an RPM repository is read is in `repodata`. Which version to take belongs to `resolve`; keys and signatures to
`keys`; the wire to `network`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial

from rmqsetup import openpgp, repodata
from rmqsetup.errors import TrustError
from rmqsetup.host import Host
from rmqsetup.index_files import IndexFile, MismatchError, Offered, fetch_listed, fetch_signed, is_absent
from rmqsetup.keys import CLOCK_TOLERANCE, Key, from_the_future, verify_clearsigned, verify_detached
from rmqsetup.managers.apt_sources import LISTS, list_name
from rmqsetup.network import DEADLINE, FetchError, Kind, background, shown

HEAD_START = 1.5
"""Seconds the first mirror has to itself: equal mirrors give equal plans, a dead one costs no more."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository below every mirror of a source: `{mirror}/{path}/dists/{suite}` for apt.

    Of `form` "rpm" it is `{mirror}/{path}/repodata`, without suite and component, and `name` is the id it gets.
    """

    path: str
    suite: str
    component: str
    architecture: str
    form: str = "deb"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask of a source: its mirrors (base URLs, preferred first), repositories, package names and proven key."""

    source_id: str
    mirrors: tuple[str, ...]
    repositories: tuple[Repository, ...]
    packages: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class MirrorFailure:
    """A mirror that could not be used, and why."""

    mirror: str
    cause: str
    kind: Kind
    status: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What one repository of a source offers, by the first mirror that answered in full.

    With no mirror reached `answered` is False and everything but `failures` is empty: falling back
    is the caller's to decide. What is not to be trusted never gets here. `date` is when the index was made.
    """

    source_id: str
    repository: Repository
    answered: bool
    mirror: str = ""
    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    date: datetime | None = None
    offers: tuple[Offered, ...] = ()
    failures: tuple[MirrorFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """What a Release file says."""

    origin: str
    label: str
    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    all_is_separate: bool
    files: tuple[IndexFile, ...]


def survey(query: Query, *, host: Host, deadline: float = DEADLINE) -> tuple[Survey, ...]:
    """Ask every repository of a source at once, within `deadline` seconds in all; one survey each, in order.

    Raises `TrustError` on the first bad signature, date or digest; only a digest that another
    mirror of the same source gets right is a mere failure in the survey. `host` is this machine.
    """
    until = time.monotonic() + deadline
    asked = [background(partial(_survey_one, query, each, host=host, until=until)) for each in query.repositories]
    return tuple(future.result() for future in asked)


def refuse_replay(found: Survey, host: Host) -> None:
    """Raise `TrustError` when an index is older than the one apt has seen from the same mirror on that host."""
    seen = seen_by_apt(host, _place(found.mirror, found.repository))
    if found.date and seen and found.date < seen:
        raise TrustError(
            f"{shown(found.mirror)} serves an older index than before",
            cause=f"this one is of {found.date:%Y-%m-%d %H:%M} UTC, apt has seen one of {seen:%Y-%m-%d %H:%M} UTC",
            hint="the mirror lags or old data is replayed: try again later, or use another mirror",
        )


def seen_by_apt(host: Host, dists: str) -> datetime | None:
    """Return the date of the index that apt holds for `{mirror}/{path}/dists/{suite}`, or None without one."""
    for name in ("InRelease", "Release"):
        state = host.read(f"{LISTS}/{list_name(f'{dists}/{name}')}")
        date = _date(_field(state.text, "Date")) if state else None
        if date:
            return date
    return None


def parse_release(text: str) -> Release:
    """Read a Release file, or raise `TrustError` when it has no date."""
    date, until = _date(_field(text, "Date")), _field(text, "Valid-Until")
    if date is None:
        raise TrustError("the index has no valid date", cause=f"Date: {_field(text, 'Date'):.80}")
    if until and _date(until) is None:
        raise TrustError("the index has no valid end", cause=f"Valid-Until: {until:.80}")
    files = re.findall(r"^ *([0-9a-fA-F]{64})[ \t]+(\d{1,15})[ \t]+(\S+)[ \t]*$", _field(text, "SHA256"), re.MULTILINE)
    return Release(
        origin=_field(text, "Origin"),
        label=_field(text, "Label"),
        suite=_field(text, "Suite"),
        codename=_field(text, "Codename"),
        date=date,
        valid_until=_date(until),
        all_is_separate=_field(text, "No-Support-for-Architecture-all").lower() != "packages",
        files=tuple(IndexFile(path, int(size), digest.lower()) for digest, size, path in files),
    )


def parse_packages(text: str, packages: tuple[str, ...]) -> tuple[Offered, ...]:
    """Return the versions of those packages in a Packages file; stanzas without a name or version are none."""
    wanted = re.compile(rf"^Package: *(?:{'|'.join(map(re.escape, packages))})[ \t\r]*$", re.MULTILINE)
    found = []
    for stanza in filter(wanted.search, re.split(r"\n[ \t\r]*\n", text)):
        if version := _field(stanza, "Version"):
            architecture, depends = _field(stanza, "Architecture"), _field(stanza, "Depends")
            found.append(Offered(_field(stanza, "Package"), version, architecture, depends))
    return tuple(dict.fromkeys(found))


def check_dates(release: Release, now: datetime) -> None:
    """Raise `TrustError` when an index is from the future or past its Valid-Until: a wrong clock, or a replay."""
    if release.date > now + CLOCK_TOLERANCE:
        raise from_the_future("the index", release.date)
    if release.valid_until and release.valid_until < now:
        raise TrustError(
            "the index has expired",
            cause=f"it was valid until {release.valid_until:%Y-%m-%d %H:%M} UTC; "
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
            hint="check the clock (timedatectl); else the mirror lags or old data is replayed: use another mirror",
        )


def _survey_one(query: Query, repository: Repository, *, host: Host, until: float) -> Survey:
    """Ask mirror after mirror, the next as soon as one fails or has had its head start; the first good answer wins."""
    waiting = list(query.mirrors)
    running: dict[Future[Survey], str] = {}
    failures: list[MirrorFailure] = []
    mismatch: MismatchError | None = None
    while (waiting or running) and time.monotonic() < until:
        if waiting:
            mirror = waiting.pop(0)
            running[_ask(mirror, query, repository=repository, host=host, until=until)] = mirror
        left = until - time.monotonic()
        done, _ = wait(running, timeout=min(HEAD_START, left) if waiting else left, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=list(running).index):
            mirror = running.pop(future)
            error = future.exception()
            if isinstance(error, MismatchError):
                mismatch = error
                failures.append(MirrorFailure(mirror, f"{error.message}: {error.cause}", Kind.MISMATCH))
            elif isinstance(error, FetchError):
                failures.append(MirrorFailure(mirror, error.cause, error.kind, error.status))
            else:
                return _with_failures(future.result(), failures)
    if mismatch:
        raise mismatch
    late = [MirrorFailure(mirror, "no answer in time", Kind.TIMED_OUT) for mirror in (*running.values(), *waiting)]
    return Survey(query.source_id, repository, answered=False, failures=(*failures, *late))


def _with_failures(found: Survey, failures: list[MirrorFailure]) -> Survey:
    return replace(found, failures=tuple(failures))


def _ask(mirror: str, query: Query, *, repository: Repository, host: Host, until: float) -> Future[Survey]:
    return background(lambda: _read_mirror(mirror, query, repository=repository, host=host, until=until))


def _read_mirror(mirror: str, query: Query, *, repository: Repository, host: Host, until: float) -> Survey:
    base = _place(mirror, repository)
    read = _read_rpm if repository.form == "rpm" else _read_deb
    try:
        found = read(base, query, repository=repository, host=host, until=until)
    except TrustError as error:
        error.looked_at = (*error.looked_at, shown(base))
        error.hint = error.hint or "do not install from this source until it is clear why"
        raise
    return replace(found, mirror=mirror)


def _read_rpm(base: str, query: Query, *, repository: Repository, host: Host, until: float) -> Survey:
    made, text = repodata.read(base, query.keys, host=host, until=until)
    return Survey(
        source_id=query.source_id,
        repository=repository,
        answered=True,
        origin=repository.name,
        label=repository.name,
        date=made,
        offers=repodata.parse_primary(text, query.packages, repository.architecture),
    )


def _read_deb(base: str, query: Query, *, repository: Repository, host: Host, until: float) -> Survey:
    release = parse_release(_signed_release(base, query.keys, host=host, until=until))
    check_dates(release, datetime.now(tz=timezone.utc))
    texts = [fetch_listed(base, entry, until=until) for entry in _wanted_files(release, repository)]
    return Survey(
        source_id=query.source_id,
        repository=repository,
        answered=True,
        origin=release.origin,
        label=release.label,
        suite=release.suite,
        codename=release.codename,
        date=release.date,
        offers=tuple(dict.fromkeys(each for text in texts for each in parse_packages(text, query.packages))),
    )


def _place(mirror: str, repository: Repository) -> str:
    """Return where a repository of a mirror begins, of apt's its suite."""
    inner = ("dists", repository.suite) if repository.form == "deb" else ()
    return "/".join(part.strip("/") for part in (mirror, repository.path, *inner) if part.strip("/"))


def _signed_release(dists: str, keys: tuple[Key, ...], *, host: Host, until: float) -> str:
    """Return the proven text of InRelease or, where there is none, of Release with its Release.gpg."""
    try:
        data = fetch_signed(f"{dists}/InRelease", until=until)
    except FetchError as error:
        if not is_absent(error):
            raise
        return _detached_release(dists, keys, host=host, until=until).decode(errors="replace")
    if data.startswith(openpgp.CLEARSIGNED) and b"-----END PGP SIGNATURE-----" not in data:
        raise FetchError(f"{dists}/InRelease", Kind.SHORT, "the file ends before its signature does")
    return verify_clearsigned(data, keys, host=host).payload.decode(errors="replace")


def _detached_release(dists: str, keys: tuple[Key, ...], *, host: Host, until: float) -> bytes:
    data = fetch_signed(f"{dists}/Release", until=until)
    try:
        signature = fetch_signed(f"{dists}/Release.gpg", until=until)
    except FetchError as error:
        if not is_absent(error):
            raise
        raise TrustError("the repository is not signed", cause="it has neither InRelease nor Release.gpg") from error
    return verify_detached(data, signature, keys=keys, host=host).payload


def _wanted_files(release: Release, repository: Repository) -> Iterator[IndexFile]:
    """Yield the best packed Packages file of the architecture, and that of `all` where it is kept apart."""
    if not release.files:
        raise TrustError(
            "the index lists no SHA-256 digests", hint="the repository is made with tools that are too old"
        )
    architectures = dict.fromkeys((repository.architecture, *(("all",) if release.all_is_separate else ())))
    by_path = {entry.path: entry for entry in release.files}
    for architecture in architectures:
        base = f"{repository.component}/binary-{architecture}/Packages"
        listed = [by_path[base + packing] for packing in (".xz", ".gz", "") if base + packing in by_path]
        yield from listed[:1]


def _field(stanza: str, name: str) -> str:
    """Return a field of a stanza, continuation lines included, or nothing."""
    found = re.search(rf"^{name}:[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else ""


def _date(text: str) -> datetime | None:
    """Read a date as Release files have it, or nothing; without a zone it is UTC."""
    try:
        read = parsedate_to_datetime(text)
        return read.replace(tzinfo=timezone.utc) if read.tzinfo is None else read.astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
