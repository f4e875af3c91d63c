"""RPM machines on a Debian userland: the real dnf and zypper over what looks like another distribution.

What packages they can install belongs to `rpms`, from where to `yum`. What is real in such a machine are
package manager, librpm, signature checks, systemd and the programs of RabbitMQ and Erlang; its libraries, its
policies and all other packages are Debian's, and say so nowhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lab.laboratory import Lab, Layer
from lab.machines import Machine
from lab.trust import Trust

SCRIPT = Path(__file__).with_name("rpm_roots.sh")

COMMON = ("rpm", "createrepo-c", "curl", "gnupg", "file", "cpio", "binutils", "patch", "passwd", "hostname")
MANAGERS = {
    "bookworm": ("dnf", "dnf-plugins-core"),
    "trixie": ("dnf", "dnf-plugins-core", "zypper"),
    "forky": ("dnf5",),
}


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a machine says it is. `manager` is dnf4, dnf5 or zypper; `dbpath` is where its rpm keeps its database.

    `release_package` says by `provides` which release of the distribution it is; `version` is its own.
    """

    name: str
    suite: str
    manager: str
    version: str
    release_package: str
    provides: tuple[str, ...]
    os_release: str
    dbpath: str = "/usr/lib/sysimage/rpm"

    @property
    def repositories(self) -> str:
        """Where its package manager looks for .repo files."""
        return "/etc/zypp/repos.d" if self.manager == "zypper" else "/etc/yum.repos.d"


def _release(releasever: str) -> tuple[str, ...]:
    return ("Provides: system-release", f"Provides: system-release(releasever) = {releasever}")


FLAVOURS = (
    Flavour(
        "el9",
        "bookworm",
        "dnf4",
        "9.6",
        "rocky-release",
        _release("9"),
        """NAME="Rocky Linux"
VERSION="9.6 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.6"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"
""",
        dbpath="/var/lib/rpm",
    ),
    Flavour(
        "al2023",
        "bookworm",
        "dnf4",
        "2023.9.20251014",
        "amazon-release",
        _release("2023.9.20251014"),
        """NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023.9.20251014"
""",
        dbpath="/var/lib/rpm",
    ),
    Flavour(
        "el10",
        "trixie",
        "dnf4",
        "10.0",
        "rocky-release",
        _release("10"),
        """NAME="Rocky Linux"
VERSION="10.0 (Red Quartz)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="10.0"
PLATFORM_ID="platform:el10"
PRETTY_NAME="Rocky Linux 10.0 (Red Quartz)"
""",
    ),
    Flavour(
        "fedora43",
        "forky",
        "dnf5",
        "43",
        "fedora-release",
        _release("43"),
        """NAME="Fedora Linux"
VERSION="43 (Forty Three)"
ID=fedora
VERSION_ID=43
VERSION_CODENAME=""
PRETTY_NAME="Fedora Linux 43 (Forty Three)"
""",
    ),
    Flavour(
        "leap16",
        "trixie",
        "zypper",
        "16.0",
        "Leap-release",
        ("Provides: distribution-release", "Provides: suse-release"),
        """NAME="openSUSE Leap"
VERSION="16.0"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="16.0"
PRETTY_NAME="openSUSE Leap 16.0"
""",
    ),
)
"""The distributions there are machines of. Sources: their os-release files, and the release packages' names."""


def flavour(name: str) -> Flavour:
    """Return the flavour of that name."""
    return next(each for each in FLAVOURS if each.name == name)


def tools(lab: Lab, suite: str) -> Layer:
    """Return the layer with rpm, its builders and the package managers that a Debian suite has."""

    def install(machine: Machine) -> None:
        packages = (*COMMON, *MANAGERS[suite])
        machine.run("apt-get", "-q", "update", check=True)
        machine.run("apt-get", "-qqy", "install", "--no-install-recommends", *packages, check=True, timeout=1200)
        machine.run("sh", "-c", "rm -rf /var/cache/apt/* /var/lib/apt/lists/*", check=True)

    return lab.layer(f"rpm-tools-{suite}", install, base=suite)


def layers(lab: Lab, its: Flavour, packages: Layer, trust: Trust) -> tuple[Layer, ...]:
    """Return the layers over a flavour's suite that make a machine of it; `packages` are those of `rpms`."""
    below = tools(lab, its.suite)
    text = repr((its, SCRIPT.read_text(), packages.path.name))

    def become(machine: Machine) -> None:
        for name in ("seed", "releases"):
            machine.put(packages.path / "srv/rpm" / name, f"/run/lab/{name}")
        machine.write("/run/lab/distribution.asc", trust.distribution.armored)
        machine.write("/run/lab/os-release", its.os_release)
        words = (its.manager, its.dbpath, its.name, f"{its.release_package}-{its.version}")
        machine.run("sh", "-s", *words, input=SCRIPT.read_text(), check=True)

    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return lab.layer(f"rpm-{its.name}-{digest}", become, base=its.suite, over=(below,)), below
