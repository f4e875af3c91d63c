"""Whose keys apt trusts for every repository: the fingerprints in its machine-wide keyrings. Pure: bytes in.

Proving a key that is to be trusted belongs to `keys`; this only finds leftovers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

TRUSTED = "/etc/apt/trusted.gpg"
"""What `apt-key add` wrote."""

TRUSTED_FOLDER = "/etc/apt/trusted.gpg.d"
"""Keyrings that vouch for every repository as well."""

_PUBLIC_KEY = 6


def fingerprints(content: bytes) -> tuple[str, ...]:
    """Return the fingerprints (upper-case hex) of the primary keys in a keyring, armoured or not.

    Bytes that are no keyring have none; keys older than OpenPGP version 4 are left out.
    """
    found = []
    for tag, body in _packets(_unarmoured(content)):
        if tag == _PUBLIC_KEY and body[:1] == b"\x04":
            framed = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper())  # RFC 4880, 12.2
    return tuple(found)


def _unarmoured(content: bytes) -> bytes:
    blocks = re.findall(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+:[^\r\n]*\r?\n)*\r?\n(.*?)(?:\r?\n=|-----END)",
        content,
        re.DOTALL,
    )
    if not blocks:
        return content
    try:
        return b"".join(base64.b64decode(block, validate=False) for block in blocks)
    except binascii.Error:
        return b""  # a torn keyring vouches for nothing


def _packets(data: bytes) -> list[tuple[int, bytes]]:
    """Split into (tag, body); stops at the first byte that begins no packet of a known length."""
    packets = []
    at = 0
    while at < len(data) and data[at] & 0x80:
        tag, start, size = _header(data, at)
        if size < 0 or start + size > len(data):
            break
        packets.append((tag, data[start : start + size]))
        at = start + size
    return packets


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, where the body starts, and its size; -1 for a size that is not told beforehand."""
    first, rest = data[at], data[at + 1 : at + 6]
    if not first & 0x40:  # the old format: the size of the size is in the tag
        width = {0: 1, 1: 2, 2: 4}.get(first & 0x03, 0)
        size = int.from_bytes(rest[:width], "big") if width and len(rest) >= width else -1
        return (first >> 2) & 0x0F, at + 1 + width, size
    tag = first & 0x3F
    if rest and rest[0] < 192:
        return tag, at + 2, rest[0]
    if len(rest) > 1 and rest[0] < 224:
        return tag, at + 3, ((rest[0] - 192) << 8) + rest[1] + 192
    if len(rest) == 5 and rest[0] == 255:
        return tag, at + 6, int.from_bytes(rest[1:5], "big")
    return tag, at + 1, -1
