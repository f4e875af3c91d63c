"""A parcel: packages that together are one tree, as a list of their files with the sha256 of each.

What apt would take is asked in `unpacked`; how packages are opened belongs to `hosts/debs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqsetup.errors import TrustError

SUFFIX = ".parcel"
"""What the name of a parcel ends with; the files it names are in its folder."""

_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9.+~_%-]*\.deb)")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a parcel: its name, without a folder, and its sha256 in 64 hex digits."""

    name: str
    digest: str


def write(parts: tuple[Part, ...]) -> bytes:
    """Return the text of a parcel, the same for the same parts in any order: `sha256sum -c` reads it as well."""
    return "".join(f"{part.digest}  {part.name}\n" for part in sorted(parts, key=lambda part: part.name)).encode()


def read(data: bytes) -> tuple[Part, ...]:
    """Return the parts of a parcel. Raises `TrustError` for a text that is none."""
    found = []
    for line in data.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if not match:
            raise TrustError("this is no list of packages", cause=ascii(line)[:80], hint="run the same command again")
        found.append(Part(match[2], match[1]))
    return tuple(found)
