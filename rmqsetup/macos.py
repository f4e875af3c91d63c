"""What a Mac says of itself, which has no os-release and no /proc.

What is installed on it belongs to `detect` and `cellar`; which of its releases have a place, to `catalog`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqsetup.catalog.rows import OsRelease
from rmqsetup.host import Command, Host

_SYSTEM = "/System/Library/CoreServices"
_TOOLS = ("/Library/Developer/CommandLineTools/usr/bin", "/Applications/Xcode.app/Contents/Developer/usr/bin")


@dataclass(frozen=True, slots=True)
class Mac:
    """A Mac. `architecture` is the machine's own, also where we run `translated`, under Rosetta; `memory` in bytes.

    `tools` tells whether Apple's developer tools are there.
    """

    os: OsRelease
    kernel: str
    architecture: str
    hostname: str
    memory: int
    translated: bool
    tools: bool


def look(host: Host) -> Mac | None:
    """Look at a Mac with three commands; None for anything else, told by a look at a folder.

    `sw_vers` is asked and not its file, of which a program that was built for an older system sees another.
    """
    if "SystemVersion.plist" not in host.names(_SYSTEM):
        return None
    words = host.run(Command(("uname", "-nrm"))).stdout.split()
    numbers = host.run(Command(("sysctl", "hw.memsize", "sysctl.proc_translated"))).stdout
    hostname, kernel, machine = [*words, "", "", ""][:3]
    translated = _number(numbers, "sysctl.proc_translated") == 1
    return Mac(
        parse_release(host.run(Command(("sw_vers",))).stdout),
        kernel,
        "arm64" if translated else machine,
        hostname,
        _number(numbers, "hw.memsize"),
        translated=translated,
        tools=any("clang" in host.names(folder) for folder in _TOOLS),
    )


def parse_release(text: str) -> OsRelease:
    """Read `ProductName: macOS` and `ProductVersion: 26.1`; a release is a number, and two up to 10.15."""
    found = dict(re.findall(r"^(\w+):\s*(\S.*?)\s*$", text, re.MULTILINE))
    name, version = found.get("ProductName", ""), found.get("ProductVersion", "")
    parts = version.split(".")
    return OsRelease(
        id=re.sub(r"[^a-z]", "", name.lower()),
        name=name,
        version=version,
        version_id=".".join(parts[:2] if parts[0] == "10" else parts[:1]),
        pretty=f"{name} {version}".strip(),
    )


def _number(text: str, name: str) -> int:
    match = re.search(rf"^{re.escape(name)}: (\d+)$", text, re.MULTILINE | re.ASCII)
    return int(match[1]) if match else 0
