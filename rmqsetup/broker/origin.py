"""Where the programs of a throwaway broker are to come from, as wished for. Who fetches them is `supplier`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmqsetup import archived
from rmqsetup.archived import NOTHING, Archived
from rmqsetup.broker.binaries import ANY
from rmqsetup.codec import Problem, did_you_mean
from rmqsetup.version import Wanted

SOURCES = ("auto", "distro", "archive")
"""Of this machine, else of the cache, else fetched; the distribution's packages; upstream's archive."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which RabbitMQ, and from where; `archive`, `key` and `fingerprint` belong to the source of that name.

    `bundle` is a file that `rmqsetup cache export` made, and stands in the place of a source.
    """

    wanted: Wanted = ANY
    source: str = "auto"
    archive: Archived = NOTHING
    key: str = ""
    fingerprint: str = ""
    bundle: str = ""


ANYWHERE = Origin()
"""No word about it."""


def judge(origin: Origin) -> Iterator[Problem]:
    """Say what is wrong with a wish."""
    if origin.source not in SOURCES:
        known = did_you_mean(origin.source, SOURCES)
        yield Problem(("source",), f"{origin.source!r} is none of {', '.join(SOURCES)}{known}")
    is_archive = origin.source == "archive"
    if not is_archive and (origin.archive != NOTHING or origin.key or origin.fingerprint):
        yield Problem(("source",), "is not archive, and an archive or its key is named")
    if is_archive:
        yield from archived.judge_archives(origin.archive, origin.source)
    if bool(origin.key) != bool(origin.fingerprint):
        yield Problem(("key",), "a key of your own needs both --key and --fingerprint")
    if origin.bundle and origin.source != "auto":
        yield Problem(("bundle",), "is a source itself: leave out the other")
    if origin.bundle and not Path(origin.bundle).is_file():
        yield Problem(("bundle",), f"there is no file {origin.bundle}")
