"""What is configured for apt, from its files and the text of `apt-cache policy`. Pure: text in, values out.

How apt is told to change anything belongs to `apt`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """One entry of a source list, in either format. `signed_by` is a path, fingerprints, or an embedded key's text.

    `line` is where the entry begins in `file`, from 1. `retired` is an id of the catalog's retired
    sources, empty for every other; who reads the lists fills it in.
    """

    file: str
    line: int
    enabled: bool
    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: str = ""
    trusted: bool = False
    retired: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """One version of a package in the lists apt has now; `uri` and `suite` are empty for what is only installed.

    `origin` is the Origin field of its Release file, empty where that is not known.
    """

    package: str
    version: str
    architecture: str
    priority: int
    uri: str
    suite: str
    component: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What `apt-cache policy` says of one package; versions are empty where it says (none)."""

    package: str
    installed: str
    candidate: str
    offers: tuple[Offer, ...] = ()
