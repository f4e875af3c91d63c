"""Versions: their order, what part of one upstream wrote, and what a wish for one admits.

Which versions fit together is in `catalog`; which exist is asked by `indices`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, total_ordering

from rmqsetup.errors import UsageError

PRE_RELEASE = re.compile(r"-(alpha|beta|rc|milestone)(?=[.\d]|$)")
"""How upstream marks a pre-release; its Debian packages write `~` for the hyphen: that sorts before the release."""

_REPACKED = re.compile(r"[+~](dfsg|ds|really)[\w.]*$")
_WISH = re.compile(r"\d+(\.\d+)*(~[a-z]+[.\d]*)?")
_Part = tuple[tuple[int, ...], int]


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of a Debian package, ordered as `dpkg --compare-versions` orders; any text has a place."""

    text: str

    @property
    def epoch(self) -> int:
        """The number before the colon, 0 without one."""
        head, colon, _ = self.text.partition(":")
        return int(head) if colon and head.isascii() and head.isdigit() else 0

    @property
    def revision(self) -> str:
        """What follows the last hyphen, empty without one."""
        return self._body.rpartition("-")[2] if "-" in self._body else ""

    @property
    def bare(self) -> str:
        """The version without epoch and Debian revision."""
        return self._body.rpartition("-")[0] if "-" in self._body else self._body

    @property
    def _body(self) -> str:
        head, colon, tail = self.text.partition(":")
        return tail if colon and head.isascii() and head.isdigit() else self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and _key(self.text) == _key(other.text)

    def __lt__(self, other: Version) -> bool:
        return _key(self.text) < _key(other.text)

    def __hash__(self) -> int:
        return hash(_key(self.text))

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=8192)
def _key(text: str) -> tuple[int, tuple[_Part, ...], tuple[_Part, ...]]:
    version = Version(text)
    return version.epoch, _parts(version.bare), _parts(version.revision)


def _parts(text: str) -> tuple[_Part, ...]:
    """Split into (non-digits, number) pairs; an ending of rank 0 sorts after `~` and before everything else."""
    pairs = re.findall(r"([^0-9]*)([0-9]*)", text)
    parts = [((*map(_rank, word), 0), int(number or 0)) for word, number in pairs]
    while len(parts) > 1 and parts[-1] == ((0,), 0):  # the first is a number, also when it is 0
        parts.pop()
    return (*parts, ((0,), 0))


def _rank(char: str) -> int:
    if char == "~":
        return -1
    return ord(char) if char.isascii() and char.isalpha() else ord(char) + 256


def upstream(text: str) -> str:
    """Return the version its makers gave: no epoch, no Debian revision, no `+dfsg`; `-rc.1` becomes `~rc.1`."""
    return _REPACKED.sub("", Version(PRE_RELEASE.sub(r"~\1", text.strip())).bare)


def series(text: str) -> str:
    """Return the first two numbers of a version: `4.3` of `4.3.6-1`."""
    return ".".join(upstream(text).partition("~")[0].split(".")[:2])


def major(text: str) -> str:
    """Return the first number of a version: `27` of `1:27.3.4.1+dfsg-1`."""
    return upstream(text).partition("~")[0].partition(".")[0]


def is_pre_release(text: str) -> bool:
    """Tell whether upstream meant this version as an alpha, beta or release candidate."""
    return "~" in upstream(text)


class Precision(Enum):
    """How exactly a version is wished for."""

    ANY = "any"
    SERIES = "series"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A wish for a version: any, a series (`4.3`; `27` or `27.3` of Erlang), or exact (`4.2.9`)."""

    precision: Precision = Precision.ANY
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read a wish: up to two numbers are a series, more are exact; a Debian version is exact to its revision.

        Raises `UsageError` with examples of what can be typed.
        """
        wish = text.strip()
        if wish.lower() in ("", "any", "latest", "newest"):
            return cls()
        wish = PRE_RELEASE.sub(r"~\1", re.sub(r"^v(?=\d)", "", wish))
        if not _WISH.fullmatch(upstream(wish)) or not re.fullmatch(r"[\w.+~:-]+", wish, re.ASCII):
            raise UsageError(
                f"{text!r} is not a version",
                cause="a version is numbers with dots between them",
                hint="write a series such as 4.3, a release such as 4.2.9, 27 or 27.3 for Erlang, or nothing",
            )
        is_series = wish == upstream(wish) and not is_pre_release(wish) and wish.count(".") < 2
        return cls(Precision.SERIES if is_series else Precision.EXACT, wish)

    def admits(self, version: str) -> bool:
        """Tell whether a version (upstream's or a Debian package's) grants the wish; pre-releases only exactly."""
        made = upstream(version)
        if self.precision is Precision.EXACT:
            return self.text in (made, version) or Version(self.text) == Version(version)
        if is_pre_release(version):
            return False
        return self.precision is Precision.ANY or made == self.text or made.startswith(f"{self.text}.")

    def __str__(self) -> str:
        return self.text or "any"
