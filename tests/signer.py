"""Throwaway signing keys for the tests, made once per session."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path


class Signer:
    """A private GNUPGHOME that makes keys and signs with them; fingerprints name the keys."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rmq-s-"))
        atexit.register(self.close)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def gpg(self, *args: str, data: bytes = b"", at: str = "") -> bytes:
        when = ["--faked-system-time", f"{at}!"] if at else []
        base = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--yes",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]
        return subprocess.run([*base, *when, *args], input=data, check=True, capture_output=True).stdout

    def make(
        self, name: str, *, algorithm: str = "ed25519", usage: str = "sign", expire: str = "never", at: str = ""
    ) -> str:
        self.gpg("--quick-gen-key", name, algorithm, usage, expire, at=at)
        return self._fingerprints(name)[0]

    def add_subkey(self, fingerprint: str, *, expire: str = "never", at: str = "") -> str:
        self.gpg("--quick-add-key", fingerprint, "ed25519", "sign", expire, at=at)
        return self._fingerprints(fingerprint)[-1]

    def public(self, *fingerprints: str, armor: bool = True) -> bytes:
        return self.gpg(*(["--armor"] if armor else []), "--export", *fingerprints)

    def clearsign(self, text: bytes, *fingerprints: str, extra: tuple[str, ...] = (), at: str = "") -> bytes:
        return self.gpg(*_by(fingerprints), *extra, "--clearsign", data=text, at=at)

    def detach(self, data: bytes, *fingerprints: str, extra: tuple[str, ...] = ()) -> bytes:
        return self.gpg(*_by(fingerprints), *extra, "--armor", "--detach-sign", data=data)

    def _fingerprints(self, name: str) -> list[str]:
        listed = self.gpg("--with-colons", "--list-keys", name).decode().splitlines()
        return [line.split(":")[9] for line in listed if line.startswith("fpr:")]


@functools.cache
def signer() -> Signer:
    return Signer()


@functools.cache
def key(name: str) -> str:
    """Return the fingerprint of a key of a certain kind: team, other, subkeyed, expired, revoked, weak."""
    made = signer()
    if name == "expired":
        return made.make("expired", expire="30d", at="20200101T000000")
    if name == "old":
        return made.make("old", at="20200101T000000")
    if name == "weak":
        return made.make("weak", algorithm="rsa1024")
    fingerprint = made.make(name)
    if name == "subkeyed":
        made.add_subkey(fingerprint)
    if name == "revoked":
        certificate = (made.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        made.gpg("--import", data=certificate.replace(":-----BEGIN", "-----BEGIN").encode())
    return fingerprint


def _by(fingerprints: tuple[str, ...]) -> list[str]:
    return [word for fingerprint in fingerprints for word in ("--local-user", fingerprint)]
