"""RabbitMQ and Erlang from the packages of this machine's distribution, unpacked once below the lab's cache."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lab import roots
from lab.system import call, locked

from rmqsetup.broker.binaries import Binaries, below


def unpacked() -> Binaries:
    """Return binaries, made by the first who asks. Raises `CalledProcessError` where apt has none."""
    folder = roots.cache() / "unpacked"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name("unpacked.lock")):
        found = below(folder / "tree")
        return found[0] if found else _made(folder)


def _made(folder: Path) -> Binaries:
    asked = call("apt-get", "-s", "--no-install-recommends", "install", "rabbitmq-server")
    names = re.findall(r"^Inst ((?:erlang|rabbitmq)\S*)", asked, re.MULTILINE)
    subprocess.run(("apt-get", "-qq", "download", *names), cwd=folder, check=True)
    tree = folder / "tree"
    for deb in folder.glob("*.deb"):
        call("dpkg-deb", "-x", str(deb), str(tree))
        deb.unlink()
    for script in (*tree.glob("usr/lib/erlang/bin/*"), *tree.glob("usr/lib/erlang/erts-*/bin/*")):
        content = script.read_bytes()
        if content.startswith(b"#!"):
            script.write_bytes(content.replace(b"/usr/lib/erlang", str(tree / "usr/lib/erlang").encode()))
    return below(tree)[0]
