"""A certificate authority and a server's certificate for one throwaway broker, made by the `openssl` program.

Nobody but the tests of that broker trusts them, and they go with it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rmqsetup.errors import BrokerNotReadyError, UnsupportedError

DAYS = "30"
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make(folder: Path) -> None:
    """Write `ca.pem`, `server.pem` and `key.pem` into a folder. Raises `UnsupportedError` without `openssl`."""
    if not shutil.which("openssl"):
        raise UnsupportedError(
            "a broker with TLS needs certificates, and there is no openssl to make them",
            hint="install openssl with the package manager of this machine, or leave out --tls",
        )
    authority = ("-subj", "/CN=rmqsetup throwaway authority", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(folder, "req", "-x509", *CURVE, "-days", DAYS, *authority)
    _openssl(folder, "req", *CURVE, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "server.csr")
    (folder / "names").write_text(f"{NAMES}\n", encoding="ascii")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", DAYS)
    _openssl(folder, "x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
    (folder / "ca.key").unlink()


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(
        ("openssl", *words),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise BrokerNotReadyError("openssl does not make a certificate", cause=done.stderr.strip()[-500:])
