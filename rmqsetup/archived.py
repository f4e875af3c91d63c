"""What is wished of a broker below a prefix, from an archive or from packages: `[archive]` of a recipe and its options.

What follows on the machine is in `prefix`; the rest of a request in `recipe`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from rmqsetup import xdg
from rmqsetup.codec import Problem, did_you_mean

BELOW = ("archive", "user")
"""The sources of a broker below a prefix: an archive, or the distribution's packages, unpacked for a user."""

SERVICES = ("none", "systemd", "launchd")
"""What may look after a node below a prefix: nothing, or its user's own systemd, or on a Mac launchd."""

_PREFIX = re.compile(r"(/[A-Za-z0-9_+@,.-]+){2,}")
_TABLE = "archive"


@dataclass(frozen=True, slots=True)
class Archived:
    """A broker below a prefix; what is empty was not said.

    `prefix` is an absolute folder; `file` and `erlang` are archives, each a file or URL; `erlang_digest` has 64 hex
    digits; `service` is one of `SERVICES`.
    """

    prefix: str = ""
    file: str = ""
    erlang: str = ""
    erlang_digest: str = ""
    service: str = ""

    def beside(self, folder: Path) -> Archived:
        """Return the same with absolute paths; they were relative to `folder`."""
        placed = (placed_at(text, folder) for text in (self.prefix, self.file, self.erlang))
        prefix, file, erlang = placed
        return replace(self, prefix=prefix, file=file, erlang=erlang, erlang_digest=self.erlang_digest.lower())

    def over(self, other: Archived) -> Archived:
        """Return the other with what is said here."""
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        if self.erlang and not self.erlang_digest:
            said["erlang_digest"] = ""  # that of another archive
        return replace(other, **said)


NOTHING = Archived()
"""No word about an archive."""


def judge(wish: Archived, source: str) -> Iterator[Problem]:
    """Say what is wrong with the wish, for a request of that source."""
    if source not in BELOW:
        if wish != NOTHING:
            yield Problem((_TABLE,), f"belongs to the sources {' and '.join(BELOW)} only, and the source is {source}")
        return
    yield from _judge_place(wish)
    yield from judge_archives(wish, source)


def _judge_place(wish: Archived) -> Iterator[Problem]:
    if not wish.prefix:
        yield Problem((_TABLE, "prefix"), "is missing (--prefix DIR): everything of the broker is below it")
    elif not _PREFIX.fullmatch(wish.prefix) or {".", ".."} & {*wish.prefix.split("/")}:
        words = "is no folder to put a broker into: two names or more, of letters, digits and _ + @ , . -"
        yield Problem((_TABLE, "prefix"), f"{wish.prefix!r} {words}")
    if wish.service and wish.service not in SERVICES:
        known = did_you_mean(wish.service, SERVICES)
        yield Problem((_TABLE, "service"), f"{wish.service!r} is none of {', '.join(SERVICES)}{known}")


def judge_archives(wish: Archived, source: str) -> Iterator[Problem]:
    """Say what is wrong with the archives that are named."""
    if source == "user" and (wish.file or wish.erlang or wish.erlang_digest):
        yield Problem((_TABLE,), "names archives, and the source is user: its packages come from apt")
    if wish.erlang and not re.fullmatch("[0-9a-f]{64}", wish.erlang_digest):
        yield Problem((_TABLE, "erlang_digest"), "is missing or not a sha256 in 64 hex digits (--erlang-digest)")
    elif wish.erlang_digest and not wish.erlang:
        yield Problem((_TABLE, "erlang"), "is missing (--erlang-archive FILE|URL), and its digest is given")
    for name, place in (("file", wish.file), ("erlang", wish.erlang)):
        if place and "://" not in place and not Path(place).is_file():
            yield Problem((_TABLE, name), f"there is no file {place}")


def of_user(wish: Archived) -> Archived:
    """Return the wish with a prefix: that of the user's data, unless another was said."""
    return wish if wish.prefix else replace(wish, prefix=str(xdg.data() / "rabbitmq"))


def placed_at(text: str, folder: Path) -> str:
    """Return an absolute path, or a URL as it is; empty stays empty."""
    return text if not text or "://" in text else str((folder / Path(text).expanduser()).absolute())
