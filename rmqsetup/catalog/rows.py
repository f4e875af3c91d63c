"""The rows of the catalog, as types.

How they are read is in `tables`; the questions one can ask them are methods of `Catalog`. Rows are named
tuples because making a dataclass costs a millisecond of every start, and they need nothing that one gives;
`OsRelease` is a dataclass because it travels in facts and plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Tested(Enum):
    """How a distribution was tried: for real, with a machine's recorded answers, with composed ones, or not at all.

    `LAB` is its real package manager on another's userland, with packages made for that.
    """

    MACHINE = "machine"
    RECORDED = "recorded"
    LAB = "lab"
    COMPOSED = "composed"
    NONE = "none"


class Citation(NamedTuple):
    """Where a fact was read and on which day (ISO)."""

    where: str
    date: str


class Distribution(NamedTuple):
    """One release of a distribution.

    `rabbitmq` (a series) and `erlang` (a major) are what its own packages offer, empty where it
    has none; `repositories` are ids of repositories that serve it, best first. `end_of_life` is
    an ISO date, empty while unknown or for a rolling release; `ended` holds on the catalog's own
    day, not on the machine's clock. `architectures` are those the distribution itself has. `vendors` are beginnings
    of what its packages name as their maker, where they name one; `el` says which of upstream's RPM packages suit it,
    `image` the container image of it, empty for `family:codename`.
    """

    id: str
    name: str
    family: str
    version: str
    codename: str
    manager: str
    end_of_life: str
    ended: bool
    rabbitmq: str
    erlang: str
    repositories: tuple[str, ...]
    architectures: tuple[str, ...]
    tested: Tested
    note: str
    citation: Citation
    vendors: tuple[str, ...] = ()
    el: str = ""
    image: str = ""


class Derivative(NamedTuple):
    """A distribution made from another, found by the `id` its os-release names.

    `by` are the os-release fields that name the base's codename, the first that is set wins;
    `codenames` translates its own names. `versions` is the family whose VERSION_ID it shares,
    empty for none. `own_packages` keeps repositories made for the base away.
    """

    id: str
    name: str
    by: tuple[str, ...]
    citation: Citation
    codenames: tuple[tuple[str, str], ...] = ()
    versions: str = ""
    own_packages: bool = False
    note: str = ""


class Unsupported(NamedTuple):
    """Systems that are known and have no place; `platforms` are beginnings of PLATFORM_ID.

    With `by_hand` a node is not to be seen among the processes there, so that its user alone can start and stop it.
    """

    ids: tuple[str, ...]
    platforms: tuple[str, ...]
    reason: str
    hint: str
    by_hand: bool = False


class Source(NamedTuple):
    """What a user can name as the source of packages; its repositories carry its id."""

    id: str
    name: str
    summary: str
    citation: Citation


class Repository(NamedTuple):
    """One repository of a source. `form` is that of its packages: "deb" or "rpm".

    `uris` are mirrors with `{family}`, `{codename}` and `{el}` to fill in (`Repository.urls`), and `$basearch` for the
    architecture. `provides` is what it is for: "rabbitmq" or "erlang". `architectures` are those it has packages for;
    ("all",) serves every machine. `origin` is its Release file's Origin field, as far as known, or the id it gets.
    `key` is an id in keys; an empty one means no fingerprint is pinned: refuse it unless the user
    names key and fingerprint.
    """

    id: str
    source: str
    form: str
    provides: str
    uris: tuple[str, ...]
    suite: str
    component: str
    architectures: tuple[str, ...]
    origin: str
    key: str
    note: str
    citation: Citation

    def urls(self, distribution: Distribution) -> tuple[str, ...]:
        """Return the mirrors as they serve one distribution."""
        names = {"family": distribution.family, "codename": distribution.codename, "el": distribution.el}
        return tuple(uri.format(**names) for uri in self.uris)

    def serves(self, architecture: str) -> bool:
        """Tell whether machines of an architecture (dpkg's name) find packages here."""
        return "all" in self.architectures or architecture in self.architectures

    def suite_for(self, distribution: Distribution) -> str:
        """Return the suite of one distribution."""
        return self.suite.format(family=distribution.family, codename=distribution.codename)


class Publication(NamedTuple):
    """Where archives are published, one per release.

    `provides` is "rabbitmq" or "erlang"; `systems` are row ids of distributions, or kernels, that the archives are
    for, empty for all; `architectures` those it has archives for, as its addresses spell them. `listing` names them in
    a `form` (`releases` reads it), `url` is where each is, both with `{architecture}` and `{system}` to fill in, and
    `{version}`. `signature` is the ending of the detached signature's address, empty where there is none: then the
    listing has the digests. `key` is an id in keys.
    """

    id: str
    provides: str
    form: str
    listing: str
    url: str
    signature: str
    systems: tuple[str, ...]
    architectures: tuple[str, ...]
    key: str
    note: str
    citation: Citation

    def serves(self, system: str, architecture: str) -> bool:
        """Tell whether a system (row id, or kernel) of an architecture finds archives here."""
        return (not self.systems or system in self.systems) and (
            not self.architectures or architecture in self.architectures
        )


class Retired(NamedTuple):
    """A repository or key that must not be used any more.

    `hosts` are host names or host/path beginnings of its URIs; `keys` the key ids (16 or 40 hex digits)
    it was signed with; `since` an ISO date; `replacement` a source id.
    """

    id: str
    name: str
    hosts: tuple[str, ...]
    keys: tuple[str, ...]
    since: str
    replacement: str
    reason: str
    citation: Citation


class SigningKey(NamedTuple):
    """An OpenPGP key that is trusted by its full fingerprint (40 upper-case hex digits).

    `file` is its armoured text beside the tables (`Catalog.key_text`), empty where it is not shipped.
    """

    id: str
    uid: str
    fingerprint: str
    subkeys: tuple[str, ...]
    file: str
    urls: tuple[str, ...]
    note: str
    citation: Citation


class ErlangRange(NamedTuple):
    """Which Erlang fits RabbitMQ releases `first` to `last` (both included).

    `minimum` and `maximum` are the documented bounds: a maximum of `27` or `26.2` admits
    everything that begins so. `enforced` is the minimum without which a node refuses to boot,
    empty where it was not looked up; nothing enforces a maximum but us. `preferred` is the
    Erlang series to take when there is a choice.
    """

    first: str
    last: str
    minimum: str
    maximum: str
    enforced: str
    preferred: str
    note: str
    citation: Citation


class Series(NamedTuple):
    """A RabbitMQ series. `community_until` and `commercial_until` are ISO dates, empty where not known.

    `upgrades_to` are the series one may go to from here in one hop, from `upgrades_from_release` on where
    that is set; `newest` is the newest release seen; `needs_flags` are feature flags of its predecessors without which
    it refuses data, as far as they were looked up.
    """

    name: str
    released: str
    newest: str
    community_until: str
    commercial_until: str
    upgrades_to: tuple[str, ...]
    note: str
    citation: Citation
    upgrades_from_release: str = ""
    needs_flags: tuple[str, ...] = ()


class BadPair(NamedTuple):
    """RabbitMQ and Erlang versions that are known to hurt each other; bounds included, empty ones open.

    Upper bounds admit everything that begins like them, as in `ErlangRange`. `severity` is "error"
    (do not), "warning" (know what you do) or "info"; `when` says who is hurt, empty for everybody.
    """

    id: str
    rabbitmq_from: str
    rabbitmq_to: str
    erlang_from: str
    erlang_to: str
    severity: str
    when: str
    reason: str
    citation: Citation


class Fit(Enum):
    """How a RabbitMQ release and an Erlang version go together."""

    FITS = "fits"
    TOO_OLD = "too-old"
    TOO_NEW = "too-new"
    KNOWN_BAD = "known-bad"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """A judgement on a pair. `boots` is False where the node itself would refuse.

    `faults` are all known faults of the pair, whatever its fit; one that hurts everybody makes it `KNOWN_BAD`.
    """

    fit: Fit
    reason: str
    boots: bool = True
    faults: tuple[BadPair, ...] = ()


@dataclass(frozen=True, slots=True)
class OsRelease:
    """What /etc/os-release (and /etc/debian_version) say, as read; empty where they are silent."""

    id: str = ""
    name: str = ""
    version: str = ""
    version_id: str = ""
    codename: str = ""
    ubuntu_codename: str = ""
    debian_codename: str = ""
    id_like: tuple[str, ...] = ()
    platform_id: str = ""
    pretty: str = ""
    debian_version: str = ""


class Placement(NamedTuple):
    """The row a machine belongs to. `derivative` is its own name where the row is its base's; `because` says why."""

    distribution: Distribution
    because: str
    derivative: str = ""
    warnings: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """Why a machine has no place, and what would work instead; `distribution` is its row where one is known."""

    reason: str
    hint: str
    distribution: Distribution | None = None
    by_hand: bool = False
