"""What a source would answer, made up: versions in repositories, and a key that proves nothing."""

from __future__ import annotations

from datetime import datetime, timezone

from rmqsetup.indices import MirrorFailure, Offered, Survey
from rmqsetup.keys import Key
from rmqsetup.network import Kind
from rmqsetup.resolution import Answer, Source
from rmqsetup.resolve import SERVER

SERVERS = ("4.1.8-1", "4.2.8-1", "4.2.9-1", "4.3.6-1", "4.4.1-1")
ERLANGS = ("1:26.2.5.15-1", "1:27.3.4.6-1", "1:28.5.0.7-1")
MADE = datetime(2026, 11, 1, tzinfo=timezone.utc)


class Asking:
    """Answers every source with the same versions, and remembers what it was asked; silent mirrors when `down`."""

    def __init__(self, servers=SERVERS, erlangs=ERLANGS, *, down="", origin="RabbitMQ") -> None:
        self.servers, self.erlangs, self.down, self.origin = servers, erlangs, down, origin
        self.asked: list[Source] = []

    def __call__(self, source: Source) -> Answer:
        self.asked.append(source)
        surveys = tuple(self._survey(source, repository) for repository in source.repositories)
        return Answer(surveys, tuple(map(key, source.fingerprints)))

    def _survey(self, source, repository) -> Survey:
        if self.down:
            kind, status = (Kind.STATUS, int(self.down)) if self.down.isdigit() else (Kind.DNS, 0)
            failures = tuple(MirrorFailure(mirror, self.down, kind, status) for mirror in source.mirrors)
            return Survey(source.id, repository, answered=False, failures=failures)
        is_server = "erlang" not in repository.path
        names, versions = ((SERVER,), self.servers) if is_server else (source.packages[1:], self.erlangs)
        origin = repository.name or self.origin
        arch = "all" if is_server else repository.architecture
        return Survey(
            source_id=source.id,
            repository=repository,
            answered=True,
            mirror=source.mirrors[0],
            origin=origin,
            label=origin,
            suite=repository.suite,
            codename=repository.suite,
            date=MADE,
            offers=tuple(Offered(name, version, arch, "") for name in names for version in versions),
        )


def never(source: Source) -> Answer:
    """Fail: nobody was to be asked."""
    raise AssertionError(f"{source.title} was asked")


def key(fingerprint: str) -> Key:
    """Return a key by its fingerprint alone."""
    return Key(fingerprint, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", ("Team",), MADE, None, ())
