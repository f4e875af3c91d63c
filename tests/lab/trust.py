"""Throwaway keys and certificates that stand in for the real ones.

What is signed with them belongs to `archive`; how a machine is made to trust them, to `tool` and `mirror`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import roots
from lab.system import call, locked

NAMES = ("deb1.rabbitmq.com", "deb2.rabbitmq.com", "yum1.rabbitmq.com", "yum2.rabbitmq.com", "mirror.test")
"""The names the certificate is good for."""

FORM = 5
"""To be raised when the making of keys and certificates changes: older ones are then left aside."""

LONG_AGO = "20200101T000000"
"""When the expired key was made; its first copy was good for a year."""


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key: its full fingerprint and its public half in both forms."""

    fingerprint: str
    armored: str
    binary: bytes


class Trust:
    """A team key, an expired one and a stranger's; a certificate authority and a server certificate of it.

    Beside them the key of the team's RPM repositories, and that of a distribution. Made once per cache, so that
    cached layers go on trusting them. Use `close` to end gpg's agent. `algorithm` is one that gpg knows: old
    versions of rpm want `rsa2048`.
    """

    def __init__(self, algorithm: str = "ed25519") -> None:
        folder = roots.cache() / f"trust-{FORM}-{algorithm}"
        with locked(folder.with_suffix(".lock")):
            if not folder.exists():
                _make(folder, algorithm)
        # gpg's sockets need a short path, and parallel sessions an agent each
        self._home = Path(tempfile.mkdtemp(prefix="t-gpg-"))
        shutil.copytree(folder / "gnupg", self._home, dirs_exist_ok=True)
        self.authority = (folder / "ca.pem").read_text()
        self.certificate = folder / "server.pem"
        self.good = self._key("good")
        stale = (folder / "expired.asc").read_text()
        self.expired = Key(self._key("expired").fingerprint, stale, dearmored(stale))
        self.wrong = self._key("wrong")
        self.repository = self._key("repository")
        self.distribution = self._key("distribution")

    @property
    def home(self) -> Path:
        """The keyring with the private halves."""
        return self._home

    def close(self) -> None:
        """End gpg's agent and forget the copy of the keys."""
        _end_agent(self._home)
        shutil.rmtree(self._home, ignore_errors=True)

    def sign(self, key: Key, text: bytes, *, clear: bool) -> bytes:
        """Return `text` with a signature around it (InRelease), or the signature alone (Release.gpg)."""
        form = "--clear-sign" if clear else "--detach-sign"
        words = (*_GPG, "--digest-algo", "SHA512", "--local-user", key.fingerprint, "--armor", form)
        return call(*words, input=text, env=_environment(self._home)).encode()

    def _key(self, name: str) -> Key:
        fingerprint = _fingerprint(self._home, name)
        armored = call(*_GPG, "--armor", "--export", fingerprint, env=_environment(self._home))
        return Key(fingerprint, armored, dearmored(armored))


_GPG = ("gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")


def dearmored(armored: str) -> bytes:
    """Return a key's binary form."""
    from base64 import b64decode

    body = armored.split("\n\n", 1)[1].split("\n=", 1)[0].split("\n-----", 1)[0]
    return b64decode(body)


def _make(folder: Path, algorithm: str) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    home = Path(tempfile.mkdtemp(prefix="t-gpg-"))
    for name in ("good", "wrong", "repository", "distribution"):
        call(*_GPG, "--quick-gen-key", _uid(name), algorithm, "sign", "never", env=_environment(home))
    moment = ("--faked-system-time", LONG_AGO)
    call(*_GPG, *moment, "--quick-gen-key", _uid("expired"), algorithm, "sign", "1y", env=_environment(home))
    # its owner prolonged it and goes on signing; whoever has only the older copy must refuse it
    (part / "expired.asc").write_text(call(*_GPG, "--armor", "--export", _uid("expired"), env=_environment(home)))
    call(*_GPG, "--quick-set-expire", _fingerprint(home, "expired"), "0", env=_environment(home))
    _end_agent(home)
    shutil.copytree(home, part / "gnupg", ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))
    shutil.rmtree(home)
    _certify(part)
    part.rename(folder)


def _certify(folder: Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"), "-days", "3650")
    uses = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 and later insist
    call("openssl", "req", "-x509", *key, *authority, *uses, "-subj", "/CN=Lab authority")
    request = ("-keyout", str(folder / "server.key"), "-out", str(folder / "server.csr"))
    call("openssl", "req", *key, *request, "-subj", "/CN=mirror.test")
    names = ",".join(f"DNS:{name}" for name in NAMES)
    extensions = (f"subjectAltName={names}", "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth")
    identifiers = ("subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid")
    (folder / "names").write_text("\n".join((*extensions, *identifiers, "")))
    issuer = ("-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    words = ("-in", str(folder / "server.csr"), "-days", "3650", "-extfile", str(folder / "names"))
    certificate = call("openssl", "x509", "-req", *issuer, *words)
    (folder / "server.pem").write_text((folder / "server.key").read_text() + certificate)


def _fingerprint(home: Path, name: str) -> str:
    listing = call(*_GPG, "--with-colons", "--list-keys", f"={_uid(name)}", env=_environment(home))
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def _uid(name: str) -> str:
    return f"Lab {name} key <{name}@mirror.test>"


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "GNUPGHOME": str(home), "LC_ALL": "C"}


def _end_agent(home: Path) -> None:
    call("gpgconf", "--homedir", str(home), "--kill", "all", check=False)
