"""Prove signing keys by their full fingerprint, and signatures by proven keys.

Where keys and indices come from belongs to `catalog` and `indices`; how OpenPGP is laid out to `openpgp`.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup import network, openpgp
from rmqsetup.errors import RmqsetupError, TrustError, UnsupportedError, UsageError
from rmqsetup.host import Command, Host

if TYPE_CHECKING:
    import gnupg

CLOCK_TOLERANCE = timedelta(seconds=10)
"""How far in the future a signature or an index may lie; the same as apt's Acquire::Max-FutureTime."""

KEY_LIMIT = 1 << 20
"""Bytes of key material that are read at most."""

_STRONG_DIGESTS = {8, 9, 10, 12, 14}  # SHA-256, -384, -512, SHA3-256, -512
_RSA, _DSA = (1, 2, 3), 17
_OTHER_KEY = "get the current key from its owner"
_DATA, _SIGNATURE, _KEYRING = "data", "data.sig", "key.gpg"


class Tool(Enum):
    """A program that can check signatures, best first. All give the same verdicts.

    Debian 12 has gpgv wherever it has apt, from Debian 13 on it is sqv; neither brings gpg along.
    """

    GPG = "gpg"
    GPGV = "gpgv"
    SQV = "sqv"


@dataclass(frozen=True, slots=True)
class Key:
    """A proven signing key; `armored` holds this key alone and suits apt's Signed-By as an .asc file.

    `subkeys` are the full fingerprints of those that are neither expired nor revoked.
    """

    fingerprint: str
    armored: str
    uids: tuple[str, ...]
    created: datetime
    expires: datetime | None
    subkeys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, when, and by which key or subkey (full fingerprint)."""

    payload: bytes
    signed_at: datetime
    signer: str


def available() -> tuple[Tool, ...]:
    """Return the programs on this machine that can check signatures, best first."""
    return tuple(tool for tool in Tool if shutil.which(tool.value))


def normal(fingerprint: str) -> str:
    """Return a fingerprint as 40 upper-case hex digits, or raise `UsageError` when it is not a full one."""
    digits = re.sub(r"[\s:]", "", fingerprint).upper().removeprefix("0X")
    if re.fullmatch(r"[0-9A-F]{40}", digits):
        return digits
    short = re.fullmatch(r"[0-9A-F]{8,39}", digits)
    raise UsageError(
        f"{fingerprint!r} is not a full fingerprint",
        cause="a short key id can be forged" if short else "a fingerprint has 40 hexadecimal digits",
        hint="gpg --show-keys FILE prints the full one",
    )


def fetch(where: str, fingerprints: tuple[str, ...]) -> tuple[Key, ...]:
    """Read keys from one file or URL (https, http, file) and prove each of them.

    Raises `NetworkError` when it does not arrive, and what `prove` raises.
    """
    wanted = tuple(map(normal, fingerprints))
    url = where if "://" in where else Path(where).expanduser().absolute().as_uri()
    try:
        data = network.fetch(url, limit=KEY_LIMIT)
    except network.FetchError as error:
        if error.kind is not network.Kind.HTML:
            raise
        raise _no_key(b"<html>", looked_at=network.shown(where)) from error
    return tuple(prove(data, each) for each in wanted)


def prove(data: bytes, fingerprint: str) -> Key:
    """Return the key with that fingerprint out of key material, armoured or binary; other keys are left out.

    Raises `TrustError` when it is not among them, is expired, revoked or too weak, or the data
    holds no key at all. With gpg on the machine its self-signatures are checked here; without, when
    a signature is verified.
    """
    wanted = normal(fingerprint)
    found = _read_keys(data)
    mine = [key for key in found if key.fingerprint == wanted]
    if len(mine) != 1:
        raise TrustError(
            f"that is not the key {wanted}",
            cause="the file holds " + (", ".join(key.fingerprint for key in found)),
            hint="compare the fingerprint with what its owner publishes",
        )
    _refuse_unfit(mine[0])
    if Tool.GPG in available():
        _prove_with_gpg(mine[0])
    return Key(
        fingerprint=wanted,
        armored=openpgp.armor(mine[0].packets, openpgp.PUBLIC_KEY),
        uids=mine[0].uids,
        created=mine[0].created,
        expires=mine[0].expires,
        subkeys=tuple(each.fingerprint for each in mine[0].subkeys if not each.revoked and not _is_over(each.expires)),
    )


def verify_clearsigned(data: bytes, keys: tuple[Key, ...], *, host: Host, tool: Tool | None = None) -> Signed:
    """Return the text of a clear-signed message (an InRelease file) that one of `keys` signed.

    Only what the signature covers is returned; anything around it raises `TrustError`, as does any
    doubt about the signature. `host` is this machine; it runs gpgv or sqv where there is no gpg.
    """
    text, armored = openpgp.split_clearsigned(data)
    key, signature = _signature_by(keys, armored, types=(openpgp.SignatureType.TEXT,))
    return _verify(text, signature, key=key, host=host, tool=tool)


def verify_detached(
    data: bytes, signature: bytes, *, keys: tuple[Key, ...], host: Host, tool: Tool | None = None
) -> Signed:
    """Return `data` as signed by one of `keys` (Release with Release.gpg, an archive with its .asc).

    Raises `TrustError` where there is any doubt.
    """
    types = (openpgp.SignatureType.BINARY, openpgp.SignatureType.TEXT)
    key, found = _signature_by(keys, signature, types=types)
    return _verify(data, found, key=key, host=host, tool=tool)


def from_the_future(what: str, made: datetime) -> TrustError:
    """Return the error for something made later than now: our clock is wrong, or somebody lies."""
    return TrustError(
        f"{what} is from the future",
        cause=f"it was made {made:%Y-%m-%d %H:%M} UTC; this machine's clock says {_now():%Y-%m-%d %H:%M} UTC",
        hint="set the clock (timedatectl set-ntp true)",
    )


def _read_keys(data: bytes) -> tuple[openpgp.PublicKey, ...]:
    try:
        found = openpgp.read_keys(data)
    except TrustError as error:
        if error.hint:
            raise
        raise _no_key(data, cause=error.message) from error
    if not found:
        raise _no_key(data, cause="there is no version 4 public key in it")
    return found


def _no_key(data: bytes, *, cause: str = "", looked_at: str = "") -> TrustError:
    page = network.looks_like_html(data)
    return TrustError(
        "that is not an OpenPGP key" + (" (it looks like an HTML page)" if page else ""),
        cause="" if page else cause,
        hint="give the address or file of the key itself; it begins with -----BEGIN PGP PUBLIC KEY BLOCK-----",
        looked_at=(looked_at,) if looked_at else (),
    )


def _refuse_unfit(key: openpgp.PublicKey) -> None:
    if key.revoked:
        raise TrustError(f"the key {key.fingerprint} was revoked by its owner", hint=_OTHER_KEY)
    _refuse_expired(key.fingerprint, key.expires)
    if not key.uids:
        cause = "it names no owner; some key servers leave that out"
        raise TrustError(f"the key {key.fingerprint} is incomplete", cause=cause, hint=_OTHER_KEY)
    if key.algorithm == _DSA or (key.algorithm in _RSA and key.bits < 2048):
        raise TrustError(
            f"the key {key.fingerprint} is too weak", cause="DSA, or RSA of less than 2048 bits", hint=_OTHER_KEY
        )


def _refuse_expired(fingerprint: str, expires: datetime | None) -> None:
    if expires and _is_over(expires):
        raise TrustError(f"the key {fingerprint} expired on {expires:%Y-%m-%d}", hint=f"check the clock; {_OTHER_KEY}")


def _is_over(expires: datetime | None) -> bool:
    return expires is not None and expires <= _now()


def _prove_with_gpg(key: openpgp.PublicKey) -> None:
    with _room() as room:
        gpg = _gpg(room)
        # User ids without a valid self-signature do not get in; gpg 2.4 must be told (seen with 2.4.7).
        gpg.import_keys(key.packets, extra_args=["--no-allow-non-selfsigned-uid"])
        listed = gpg.list_keys()
    if [each["fingerprint"] for each in listed] != [key.fingerprint] or not listed[0]["uids"]:
        raise TrustError(f"gpg does not accept the key {key.fingerprint}", hint="gpg --show-keys FILE tells more")
    verdicts = {"e": "has expired", "r": "was revoked", "i": "is invalid", "d": "is disabled"}
    if listed[0]["trust"] in verdicts:
        raise TrustError(f"the key {key.fingerprint} {verdicts[listed[0]['trust']]}")


def _signature_by(keys: tuple[Key, ...], data: bytes, *, types: tuple[int, ...]) -> tuple[Key, openpgp.Signature]:
    """Return the first of `keys` that says it signed, and its one signature; others may have signed as well.

    What is refused here is what the programs judge differently: sqv believes what a key signed
    before it expired, gpg believes SHA-1.
    """
    found = openpgp.read_signatures(data)
    theirs = ((key, [each for each in found if _ids(key) & set(each.issuers)]) for key in keys)
    key, mine = next(((key, by) for key, by in theirs if by), (keys[0], []))
    _refuse_expired(key.fingerprint, key.expires)
    if len(mine) != 1:
        others = ", ".join(sorted({issuer for each in found for issuer in each.issuers}))
        raise TrustError(
            f"it is not signed by the key {' or '.join(each.fingerprint for each in keys)}",
            cause=f"it is signed by {others}" if not mine else "that key signed it more than once",
        )
    if mine[0].type not in types:
        raise TrustError("the signature is of another kind than its use here", cause=f"its type is {mine[0].type:#04x}")
    if mine[0].digest not in _STRONG_DIGESTS:
        raise TrustError("the signature is too weak", cause="it is made with a digest like MD5 or SHA-1")
    if mine[0].created > _now() + CLOCK_TOLERANCE:
        raise from_the_future("the signature", mine[0].created)
    return key, mine[0]


def _ids(key: Key) -> set[str]:
    return {fingerprint[-16:] for fingerprint in (key.fingerprint, *key.subkeys)}


def _verify(data: bytes, signature: openpgp.Signature, *, key: Key, host: Host, tool: Tool | None) -> Signed:
    chosen = tool or next(iter(available()), None)
    if chosen is None:
        raise UnsupportedError(
            "this machine has no program to check signatures with",
            hint="install gnupg (gpgv or sqv will do, too)",
            looked_at=tuple(each.value for each in Tool),
        )
    with _room() as room:
        (room / _KEYRING).write_bytes(openpgp.dearmor(key.armored.encode(), openpgp.PUBLIC_KEY))
        (room / _SIGNATURE).write_bytes(signature.raw)
        (room / _DATA).write_bytes(data)
        complaint = _ask_gpg(room, key) if chosen is Tool.GPG else _ask_host(room, key, host=host, tool=chosen)
    if complaint:
        raise TrustError(f"the signature by {key.fingerprint} is not valid", cause=complaint)
    signer = next(each for each in (*key.subkeys, key.fingerprint) if each[-16:] in signature.issuers)
    return Signed(data, signature.created, signer)


def _ask_gpg(room: Path, key: Key) -> str:
    answer = _gpg(room).verify_data(str(room / _SIGNATURE), (room / _DATA).read_bytes())
    if answer.valid and answer.pubkey_fingerprint == key.fingerprint:
        return ""
    return str(answer.status or answer.stderr.strip() or "gpg did not say why")


def _ask_host(room: Path, key: Key, *, host: Host, tool: Tool) -> str:
    keyring, signature, data = (str(room / name) for name in (_KEYRING, _SIGNATURE, _DATA))
    if tool is Tool.GPGV:
        answer = host.run(
            Command(("gpgv", "--homedir", str(room), "--status-fd", "1", "--keyring", keyring, signature, data))
        )
        said = {
            line.split()[1]: line.split()[2:] for line in answer.stdout.splitlines() if line.startswith("[GNUPG:] ")
        }
        good = answer.ok and "GOODSIG" in said and said.get("VALIDSIG", [""])[-1] == key.fingerprint
    else:
        answer = host.run(Command(("sqv", "--keyring", keyring, signature, data)))
        good = answer.ok and answer.stdout.split() == [key.fingerprint]
    return "" if good else answer.tail() or f"{tool.value} did not say why"


@contextmanager
def _room() -> Iterator[Path]:
    """Lend a directory for one look, private and gone afterwards; no agent is ever started in it."""
    try:
        room = tempfile.TemporaryDirectory(prefix="rmq-")
        with room as path:
            yield Path(path)
    except OSError as error:
        raise RmqsetupError(
            "cannot keep a key in a temporary directory for a moment",
            cause=str(error),
            hint="free some space, or name another directory in TMPDIR",
        ) from error


def _gpg(room: Path) -> gnupg.GPG:
    import gnupg

    options = ["--no-autostart", "--no-options", "--trust-model", "always", "--no-auto-check-trustdb"]
    return gnupg.GPG(gnupghome=str(room), keyring=str(room / _KEYRING), options=options)


def _now() -> datetime:
    return datetime.now(tz=timezone.utc)
