"""This machine with a pretended apt: what it answers is composed, the packages it delivers are really built."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from rmqsetup import unpacked
from rmqsetup.host import Command, Result
from rmqsetup.hosts.local import LocalHost
from rmqsetup.managers import apt_sources

POLICY = """rabbitmq-server:
  Installed: (none)
  Candidate: 4.2.9-1
  Version table:
     4.2.9-1 1001
       1001 https://deb.example.org/rabbitmq trixie/main amd64 Packages
     4.0.5-8 500
        500 http://deb.example.org/debian trixie/main amd64 Packages
"""
ERL = "#!/bin/sh\nROOTDIR=/usr/lib/erlang\necho here is $ROOTDIR\n"


class Apt(LocalHost):
    """This machine with a pretended apt, whose packages are in a folder; all else is real."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.offers = {"rabbitmq-server": "4.2.9-1", "erlang-base": "1:27.3.4-1", "erlang-crypto": "1:27.3.4-1"}
        self.lists = ("deb.example.org_debian_dists_trixie_main_binary-amd64_Packages",)
        self.failing: dict[str, tuple[int, str]] = {}
        self.stamp = "x86_64\n/var/lib/apt/lists 1\n"

    def names(self, directory: str) -> tuple[str, ...]:
        return self.lists if directory == apt_sources.LISTS else super().names(directory)

    def run(self, command: Command, listener=None) -> Result:
        argv = command.argv
        if argv[:3] == ("sh", "-c", unpacked._STAMP):
            return Result(command, 0, self.stamp)
        word = next((each for each in ("--print-uris", "-s", "policy", "download", "ldd") if each in argv), "")
        if "dpkg-deb" in argv[2:3][0] if len(argv) > 2 else False:
            word = "dpkg-deb"
        if not word:
            return super().run(command, listener)
        self.asked.append(word)
        if word in self.failing:
            code, said = self.failing[word]
            return Result(command, code, "", said)
        if word in ("dpkg-deb", "ldd"):
            return super().run(command, listener)
        return Result(command, 0, getattr(self, f"_{word.strip('-').replace('-', '_')}")(argv))

    def _s(self, argv: tuple[str, ...]) -> str:
        name, _, version = argv[-1].partition("=")
        offers = self.offers | ({name: version} if version else {})
        libraries = "Inst libtinfo6 (6.5 Debian:13/stable [amd64])\n"
        return libraries + "".join(f"Inst {n} ({v} Debian:13/stable [amd64])\n" for n, v in offers.items())

    def _policy(self, _argv: tuple[str, ...]) -> str:
        return POLICY

    def _print_uris(self, argv: tuple[str, ...]) -> str:
        files = [self.deb(*word.split("=")) for word in argv if "=" in word and "::" not in word]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return "".join(
            f"'http://127.0.0.1/{f.name}' {f.name} 1 SHA256:{d}\n" for f, d in zip(files, digests, strict=True)
        )

    def _download(self, argv: tuple[str, ...]) -> str:
        for word in argv:
            if "=" in word and "::" not in word:
                shutil.copy(self.deb(*word.split("=")), argv[argv.index("--") - 1])
        return ""

    def deb(self, name: str, version: str) -> Path:
        """Return a package of that name and version, built where there is none yet."""
        file = self.folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
        if not file.exists():
            tree = self.folder / f"{name}_{version.replace(':', '_')}"
            _fill(tree, name, version)
            subprocess.run(
                ("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, file), check=True, capture_output=True
            )
        return file


def _fill(tree: Path, name: str, version: str) -> None:
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    if name == "rabbitmq-server":
        home = tree / f"usr/lib/rabbitmq/lib/rabbitmq_server-{version.partition('-')[0]}"
        (home / "sbin").mkdir(parents=True)
        (home / "sbin/rabbitmq-server").write_text("#!/bin/sh\n")
        (home / "sbin/rabbitmq-server").chmod(0o755)
        (tree / "usr/sbin").mkdir()
        (tree / "usr/sbin/rabbitmq-server").symlink_to("../lib/rabbitmq/bin/rabbitmq-script-wrapper")
    elif name == "erlang-base":
        erts = tree / "usr/lib/erlang/erts-1/bin"
        erts.mkdir(parents=True)
        (tree / "usr/lib/erlang/bin").mkdir()
        (tree / "usr/lib/erlang/bin/erl").write_text(ERL)
        (tree / "usr/lib/erlang/bin/erl").chmod(0o755)
        shutil.copy("/bin/true", erts / "beam.smp")
    else:
        (tree / "usr/lib/erlang/lib/crypto-1").mkdir(parents=True)
