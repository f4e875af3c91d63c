"""apt without root: which packages a machine would get, and their files. Installing them belongs to `apt`."""

from __future__ import annotations

import re

from rmqsetup.host import Command
from rmqsetup.managers import Package
from rmqsetup.managers.apt import PATIENCE, word
from rmqsetup.parcel import Part

_FROM_NOTHING = ("-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=1")
"""As if nothing were installed: what a machine has already would be left out, and it may be half of an Erlang."""

_SIGNED = ("-o", "APT::Get::AllowUnauthenticated=false", "-o", "Acquire::ForceHash=SHA256")
_IN = 'cd "$1" && shift 2 && exec "$@"'
_ADDRESS = re.compile(r"^'([^']*)' (\S+) \d+ SHA256:([0-9a-f]{64})$", re.MULTILINE)

DOWNLOAD_SECONDS = 900.0


def simulate(package: Package) -> Command:
    """Ask what a package would bring along on a bare machine; needs no root, and takes no lock."""
    words = ("--no-install-recommends", "install", word(package))
    return Command(("apt-get", "-s", *_FROM_NOTHING, *words), timeout=120)


def addresses(packages: tuple[Package, ...]) -> Command:
    """Ask for the names and digests of files, as the signed lists have them."""
    return Command(("apt-get", "download", "--print-uris", *_SIGNED, *map(word, packages)), timeout=120)


def parse_addresses(text: str) -> tuple[Part, ...]:
    """Read the answer to `addresses`; a file without a sha256 is left out."""
    return tuple(Part(name, digest) for _, name, digest in _ADDRESS.findall(text))


def first_address(text: str) -> str:
    """Return the first URL in the answer to `addresses`, empty where there is none."""
    found = _ADDRESS.search(text)
    return found[1] if found else ""


PROXIES = Command(("apt-config", "dump", "--format", "%f %v%n", "Acquire"), timeout=10)
"""Ask for apt's settings; a proxy is in them where apt has one of its own."""


def has_proxy(text: str) -> bool:
    """Tell whether one is, in the answer to `PROXIES`."""
    return any("::proxy" in line.lower() and len(line.split()) > 1 for line in text.splitlines())


def download(packages: tuple[Package, ...], folder: str) -> Command:
    """Fetch files into a folder; apt compares them with its signed lists, and takes no unsigned ones."""
    words = ("apt-get", "-q", *PATIENCE, *_SIGNED, "download", *map(word, packages))
    return Command(("sh", "-c", _IN, "sh", folder, "--", *words), timeout=DOWNLOAD_SECONDS)
