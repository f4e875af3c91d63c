"""Take OpenPGP armour, packets and clear-signed text apart (RFC 4880), pure and without judging.

Whether a key or a signature is to be believed belongs to `keys`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import IntEnum

from rmqsetup.errors import TrustError

PUBLIC_KEY = b"PUBLIC KEY BLOCK"
"""What the armour of a public key is labelled with."""

SIGNATURE = b"SIGNATURE"
"""What the armour of a signature is labelled with."""

CLEARSIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
"""The first line of a clear-signed text."""


class Tag(IntEnum):
    """The kinds of packet that matter here."""

    SIGNATURE = 2
    SECRET_KEY = 5
    KEY = 6
    USER_ID = 13
    SUBKEY = 14


class SignatureType(IntEnum):
    """The kinds of signature that matter here."""

    BINARY = 0x00
    TEXT = 0x01
    GENERIC_CERTIFICATION = 0x10
    POSITIVE_CERTIFICATION = 0x13
    SUBKEY_BINDING = 0x18
    DIRECT_KEY = 0x1F
    KEY_REVOCATION = 0x20
    SUBKEY_REVOCATION = 0x28
    CERTIFICATION_REVOCATION = 0x30


_REVOCATIONS = {
    SignatureType.KEY_REVOCATION,
    SignatureType.SUBKEY_REVOCATION,
    SignatureType.CERTIFICATION_REVOCATION,
}
_SELF_SIGNATURES = {
    *range(SignatureType.GENERIC_CERTIFICATION, SignatureType.POSITIVE_CERTIFICATION + 1),
    SignatureType.DIRECT_KEY,
}
_CREATED, _KEY_EXPIRES, _ISSUER, _ISSUER_FINGERPRINT = 2, 9, 16, 33


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: what it holds (`body`), and as it stood in the file (`raw`)."""

    tag: int
    body: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """What a version 4 signature says of itself; nothing of it is proven.

    `issuers` are long key ids; `key_lifetime` is what a self-signature says of its key, None for ever.
    """

    type: int
    digest: int
    created: datetime
    issuers: tuple[str, ...]
    key_lifetime: timedelta | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Subkey:
    """A subkey, and what its binding signatures say; that is not proven here."""

    fingerprint: str
    expires: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A primary key with what belongs to it, stripped of other people's certifications.

    `expires` and `revoked` are what its self-signatures say; they are not proven here.
    """

    fingerprint: str
    created: datetime
    algorithm: int
    bits: int
    uids: tuple[str, ...]
    subkeys: tuple[Subkey, ...]
    expires: datetime | None
    revoked: bool
    packets: bytes


def dearmor(data: bytes, label: bytes) -> bytes:
    """Return the packets of every armoured block with that label, or binary packets as they are.

    Raises `TrustError` when there is neither.
    """
    if data[:1] >= b"\x80":
        return data
    block = rb"-----BEGIN PGP %b-----[ \t]*\r?\n(.*?)\r?\n-----END PGP %b-----" % (label, label)
    blocks = re.findall(block, data, re.DOTALL)
    if not blocks:
        raise TrustError(f"there is no OpenPGP {label.decode().lower()} in it")
    return b"".join(map(_dearmor_one, blocks))


def armor(packets: bytes, label: bytes) -> str:
    """Return packets as an armoured block; the same packets always give the same text."""
    encoded = base64.b64encode(packets).decode()
    lines = [encoded[at : at + 64] for at in range(0, len(encoded), 64)]
    check = base64.b64encode(_crc24(packets)).decode()
    name = label.decode()
    return "\n".join([f"-----BEGIN PGP {name}-----", "", *lines, f"={check}", f"-----END PGP {name}-----", ""])


def read_packets(data: bytes) -> tuple[Packet, ...]:
    """Split binary OpenPGP data into its packets, or raise `TrustError` where that cannot be done."""
    found, at = [], 0
    while at < len(data):
        tag, start, length = _header(data, at)
        body = data[start : start + length]
        if len(body) != length:
            raise TrustError("the OpenPGP data is cut off")
        found.append(Packet(tag, body, data[at : start + length]))
        at = start + length
    return tuple(found)


def read_keys(data: bytes) -> tuple[PublicKey, ...]:
    """Return the version 4 public keys in key material, armoured or binary; raise `TrustError` on junk."""
    groups: list[list[Packet]] = []
    for packet in read_packets(dearmor(data, PUBLIC_KEY)):
        if packet.tag == Tag.SECRET_KEY:
            raise TrustError(
                "that is a private key; a public one is needed", hint="export it with gpg --armor --export"
            )
        if packet.tag == Tag.KEY:
            groups.append([packet])
        elif groups:
            groups[-1].append(packet)
    return tuple(_public_key(group) for group in groups if group[0].body[:1] == b"\x04")


def read_signatures(data: bytes) -> tuple[Signature, ...]:
    """Return the version 4 signatures in a detached signature, armoured or binary; raise `TrustError` on junk."""
    packets = read_packets(dearmor(data, SIGNATURE))
    return tuple(_signature(packet) for packet in packets if packet.tag == Tag.SIGNATURE and packet.body[:1] == b"\x04")


def split_clearsigned(data: bytes) -> tuple[bytes, bytes]:
    """Return the signed text and the armoured signature of a clear-signed message.

    The text is what the signature covers: without dash escapes, trailing blanks and the last
    line end. Anything before or after the message, and any line that could be read in two ways,
    raises `TrustError`: what is used later must be what was signed.
    """
    lines = [line.rstrip(b" \t\r") for line in data.rstrip().split(b"\n")]
    begin, end = b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"
    if lines[0] != CLEARSIGNED:
        raise TrustError("it is not clear-signed")
    if lines.count(begin) != 1 or lines.count(end) != 1 or lines[-1] != end:
        raise TrustError("it is not one clear-signed message and nothing else")
    middle = lines.index(begin)
    blank = next((at for at, line in enumerate(lines) if not line), middle)
    if blank >= middle or not all(line.startswith(b"Hash: ") for line in lines[1:blank]):
        raise TrustError("the head of the clear-signed message is malformed")
    text = lines[blank + 1 : middle]
    if any(line.startswith(b"-") and not line.startswith(b"- ") for line in text):
        raise TrustError("a line of the clear-signed message is not escaped")
    return b"\n".join(line.removeprefix(b"- ") for line in text), b"\n".join(lines[middle:]) + b"\n"


def _dearmor_one(block: bytes) -> bytes:
    lines = [line.strip() for line in block.split(b"\n")]
    head = lines.index(b"") if b"" in lines else -1
    encoded = [line for line in lines[head + 1 :] if line]
    check = encoded.pop() if encoded and encoded[-1].startswith(b"=") and len(encoded[-1]) == 5 else b""
    try:
        packets = base64.b64decode(b"".join(encoded), validate=True)
        intact = not check or base64.b64decode(check[1:], validate=True) == _crc24(packets)
    except binascii.Error as error:
        raise TrustError("the OpenPGP armour is damaged", cause=str(error)) from error
    if not intact:
        raise TrustError("the OpenPGP armour is damaged", cause="its checksum does not fit")
    return packets


def _crc24(data: bytes) -> bytes:
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc.to_bytes(3, "big")


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the packet at `at`, where its body starts and how long that is."""
    first = data[at]
    if not first & 0x80:
        raise TrustError("that is not OpenPGP data")
    if first & 0x40:
        start, length = _length(data, at + 1)
        return first & 0x3F, start, length
    octets = 1 << (first & 3)
    if octets == 8:
        raise TrustError("an OpenPGP packet has no length")
    start = at + 1 + octets
    return (first >> 2) & 0xF, start, int.from_bytes(data[at + 1 : start], "big")


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return where what follows the length at `at` starts, and that length."""
    first = data[at] if at < len(data) else 0
    if first < 192:
        return at + 1, first
    if first < 224 and at + 1 < len(data):
        return at + 2, ((first - 192) << 8) + data[at + 1] + 192
    if first == 255:
        return at + 5, int.from_bytes(data[at + 1 : at + 5], "big")
    raise TrustError("an OpenPGP packet has a length in parts")


@dataclass(slots=True)
class _Part:
    """A primary key, user id or subkey, with what its owner signed of it."""

    packet: Packet
    own: list[Signature] = field(default_factory=list)


def _public_key(group: list[Packet]) -> PublicKey:
    body = group[0].body
    fingerprint = _fingerprint(body)
    created = _time(body[1:5])
    parts, kept = _sort_out(group, fingerprint)
    of_the_key = [each for part in parts if part.packet.tag != Tag.SUBKEY for each in part.own]
    return PublicKey(
        fingerprint=fingerprint,
        created=created,
        algorithm=body[5] if len(body) > 5 else 0,
        bits=int.from_bytes(body[6:8], "big"),
        uids=tuple(part.packet.body.decode(errors="replace") for part in parts if part.packet.tag == Tag.USER_ID),
        subkeys=tuple(_subkey(part) for part in parts if part.packet.tag == Tag.SUBKEY),
        expires=_expires(created, of_the_key, types=_SELF_SIGNATURES),
        revoked=any(each.type == SignatureType.KEY_REVOCATION for each in of_the_key),
        packets=b"".join(kept),
    )


def _sort_out(group: list[Packet], fingerprint: str) -> tuple[list[_Part], list[bytes]]:
    """Return the parts of a key, and the packets to keep: signatures by the owner, and revocations by anyone."""
    parts = [_Part(group[0])]
    kept = [group[0].raw]
    keeping = True
    for packet in group[1:]:
        if packet.tag == Tag.SIGNATURE:
            if keeping and packet.body[:1] == b"\x04":
                signature = _signature(packet)
                own = fingerprint[-16:] in signature.issuers
                parts[-1].own += [signature] if own else []
                kept += [packet.raw] if own or signature.type in _REVOCATIONS else []
            continue
        keeping = packet.tag in (Tag.USER_ID, Tag.SUBKEY)
        if keeping:
            parts.append(_Part(packet))
            kept.append(packet.raw)
    return parts, kept


def _subkey(part: _Part) -> Subkey:
    return Subkey(
        fingerprint=_fingerprint(part.packet.body),
        expires=_expires(_time(part.packet.body[1:5]), part.own, types={SignatureType.SUBKEY_BINDING}),
        revoked=any(each.type == SignatureType.SUBKEY_REVOCATION for each in part.own),
    )


def _expires(created: datetime, own: list[Signature], *, types: set[int]) -> datetime | None:
    newest = max((each for each in own if each.type in types), key=lambda each: each.created, default=None)
    return created + newest.key_lifetime if newest and newest.key_lifetime else None


def _fingerprint(body: bytes) -> str:
    framed = b"\x99" + (len(body) & 0xFFFF).to_bytes(2, "big") + body
    return hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper()


def _time(octets: bytes) -> datetime:
    return datetime.fromtimestamp(int.from_bytes(octets, "big"), tz=timezone.utc)


def _signature(packet: Packet) -> Signature:
    body = packet.body
    hashed_end = 6 + int.from_bytes(body[4:6], "big")
    unhashed_end = hashed_end + 2 + int.from_bytes(body[hashed_end : hashed_end + 2], "big")
    if unhashed_end > len(body):
        raise TrustError("an OpenPGP signature is cut off")
    hashed = tuple(_subpackets(body[6:hashed_end]))
    named = (*hashed, *_subpackets(body[hashed_end + 2 : unhashed_end]))
    lifetime = int.from_bytes(next((value for kind, value in hashed if kind == _KEY_EXPIRES), b"")[:4], "big")
    issuers = [value.hex() for kind, value in named if kind == _ISSUER]
    issuers += [value[-8:].hex() for kind, value in named if kind == _ISSUER_FINGERPRINT]
    return Signature(
        type=body[1],
        digest=body[3],
        created=_time(next((value for kind, value in hashed if kind == _CREATED), b"")[:4]),
        issuers=tuple(dict.fromkeys(issuer.upper() for issuer in issuers)),
        key_lifetime=timedelta(seconds=lifetime) if lifetime else None,
        raw=packet.raw,
    )


def _subpackets(area: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(area):
        first = area[at]
        if first == 255 or first < 192:
            start, length = _length(area, at)
        else:  # two octets up to 254 here, unlike a packet's length
            start, length = at + 2, ((first - 192) << 8) + int.from_bytes(area[at + 1 : at + 2], "big") + 192
        if not length or start + length > len(area):
            raise TrustError("an OpenPGP signature is malformed")
        yield area[start] & 0x7F, area[start + 1 : start + length]
        at = start + length
