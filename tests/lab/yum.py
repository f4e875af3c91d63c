"""Stand-ins for Team RabbitMQ's RPM repositories, yum1 and yum2, and for a distribution's own; and what is wrong.

What goes wrong on the wire belongs to `mirror`, the packages to `rpms`.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from lab import rpm_roots, rpms, state
from lab.archive import Content
from lab.laboratory import Lab, Layer
from lab.machines import Machine
from lab.mirror import Fault, Mirror
from lab.state import MachineState
from lab.trust import Key, Trust

KEYS = ("/etc/pki/rpm-gpg/RPM-GPG-KEY-team", "/etc/pki/rpm-gpg/RPM-GPG-KEY-team-repository")
"""Where `configure` puts the keys of packages and of repositories."""

REPOSITORIES = (
    ("modern-erlang", "erlang/el/9/$basearch"),
    ("modern-erlang-noarch", "erlang/el/9/noarch"),
    ("rabbitmq-el9", "rabbitmq/el/9/$basearch"),
    ("rabbitmq-el9-noarch", "rabbitmq/el/9/noarch"),
)
"""Id and path of each, as https://www.rabbitmq.com/docs/install-rpm has them (2026-08-21)."""


class Flaw(Enum):
    """What is wrong with what a mirror has. The value is the set of packages it then has."""

    STRANGER = "stranger"  # packages signed by a stranger
    UNSIGNED = "unsigned"  # packages without a signature
    EXPIRED = "expired"  # packages signed by a key that expired in the copy its users have
    NO_ERLANG = "no-erlang"  # RabbitMQ and no Erlang
    OLD_ERLANG = "old-erlang"  # only an Erlang that is too old
    NEW_ERLANG = "new-erlang"  # only an Erlang that is too new
    PRE_FAILS = "pre-fails"  # a scriptlet fails before unpacking
    POST_FAILS = "post-fails"  # a scriptlet fails after unpacking
    CONFLICT = "conflict"  # two packages have one file
    DAMAGED_RPM = "damaged-rpm"  # another byte in every package than when it was indexed
    REPOMD_STRANGER = "repomd-stranger"  # the index of indices signed by a stranger
    REPOMD_EXPIRED = "repomd-expired"  # signed by a key that expired in the copy its users have
    REPOMD_UNSIGNED = "repomd-unsigned"  # without its signature
    REPOMD_CHANGED = "repomd-changed"  # changed after it was signed
    PRIMARY_DAMAGED = "primary-damaged"  # another byte in the list of packages than when it was indexed


class YumStock:
    """What mirrors have: Team RabbitMQ's four repositories, of real or of small packages, and single files.

    Indices are signed by another key than packages, as upstream's are, or with `one_key` by the same.
    """

    def __init__(self, trust: Trust, packages: Layer, *, real: bool = False, one_key: bool = False) -> None:
        self.trust = trust
        self.key = trust.good if one_key else trust.repository
        self.files: Content = {}
        self._sets = packages.path / rpms.PLACE
        self._usual = "real" if real else "small"
        self._made: dict[object, Content] = {}

    def content(self, fault: Fault | Flaw | None) -> Content:
        """Return everything a mirror with such a flaw has; faults on the wire change nothing here."""
        flaw = fault if isinstance(fault, Flaw) else None
        if flaw not in self._made:
            self._made[flaw] = self._make(flaw)
        return self._made[flaw] | self.files

    def _make(self, flaw: Flaw | None) -> Content:
        folder = self._sets / "sets" / (flaw.value if flaw else "none")
        if not folder.is_dir():
            folder = self._sets / "sets" / self._usual
        content: Content = {}
        for _, path in REPOSITORIES:
            is_full = path in ("erlang/el/9/$basearch", "rabbitmq/el/9/noarch")
            what = folder / path.partition("/")[0] if is_full else self._sets / "empty"
            content |= indexed(f"/{path.replace('$basearch', 'x86_64')}", what, self.trust, self._signer(flaw))
        return {path: changed for path, data in content.items() if (changed := _flawed(flaw, path, data))}

    def _signer(self, flaw: Flaw | None) -> Key:
        wrong = {Flaw.REPOMD_STRANGER: self.trust.wrong, Flaw.REPOMD_EXPIRED: self.trust.expired}
        return wrong.get(flaw, self.key) if flaw else self.key


class SystemStock:
    """What a distribution's own repository has; with `old`, also a RabbitMQ and an Erlang of its own."""

    def __init__(self, trust: Trust, packages: Layer, *, old: bool = False) -> None:
        self.trust = trust
        name = "system-old" if old else "system"
        self._content = indexed("/system", packages.path / rpms.PLACE / name, trust, trust.distribution)

    def content(self, fault: Fault | None) -> Content:  # noqa: ARG002 - nothing is wrong with it but on the wire
        """Return everything."""
        return self._content


class Yum:
    """Team RabbitMQ's two mirrors and the distribution's as one machine sees them, under their real names."""

    def __init__(self, machine: Machine, stock: YumStock, system: SystemStock) -> None:
        self.machine = machine
        self.stock = stock
        self.yum1 = Mirror(machine.network.gateway, stock, tls=True)
        self.yum2 = Mirror(machine.network.second, stock, tls=True)
        self.system = Mirror(machine.network.gateway, system, tls=False)
        machine.trust(stock.trust.authority)
        machine.run("update-ca-certificates")  # zypper looks for authorities one by one
        for name, address in (
            ("yum1.rabbitmq.com", machine.network.gateway),
            ("yum2.rabbitmq.com", machine.network.second),
            ("mirror.test", machine.network.gateway),
        ):
            machine.name_address(name, address)

    @property
    def mirrors(self) -> tuple[Mirror, Mirror]:
        """Both of the team's."""
        return self.yum1, self.yum2

    def trouble(self, fault: Fault | Flaw, *, only: str = "*", status: int = 200) -> None:
        """Let both of the team's mirrors be wrong in the same way."""
        for mirror in self.mirrors:
            mirror.trouble(fault, only=only, status=status)

    def repair(self) -> None:
        """Let both of the team's mirrors be right again."""
        for mirror in self.mirrors:
            mirror.repair()

    def configure(self, *, keys: tuple[Key, ...] = ()) -> None:
        """Write keys and a .repo file into the machine, as an operator would; keys by default are the right ones."""
        folder = "/etc/zypp/repos.d" if self.machine.exists("/etc/zypp/repos.d") else "/etc/yum.repos.d"
        trust = self.stock.trust
        for path, key in zip(KEYS, keys or (trust.good, trust.repository), strict=True):
            self.machine.write(path, key.armored)
            self.machine.run("rpm", "--import", path)  # an expired one is said to be imported
        self.machine.write(f"{folder}/rabbitmq.repo", configuration())

    def snapshot(self) -> MachineState:
        """Look at the machine as it is now; the keys that rpm trusts are packages too."""
        machine, listing = self.machine, ("systemctl", "--root=/", "list-unit-files", "--plain", "--no-legend")
        installed = machine.run("rpm", "-qa", "--qf", "%{NAME}-%{VERSION}-%{RELEASE}\n", check=True).stdout
        return MachineState(
            packages=state.names(installed),
            held=(),
            automatic=(),
            files=state.files(Path(f"/proc/{machine.leader}/root"), ("/etc",)),
            units=state.units(machine.run(*listing, check=True).stdout),
        )

    def close(self) -> None:
        """Stop all."""
        for mirror in (*self.mirrors, self.system):
            mirror.close()


def configuration() -> str:
    """Return the .repo file of Team RabbitMQ's guide, with the keys as files of the machine."""
    gpgkey = " ".join(f"file://{path}" for path in KEYS)
    stanzas = [
        f"[{name}]\nname={name}\nbaseurl=https://yum1.rabbitmq.com/{path}\n"
        f"        https://yum2.rabbitmq.com/{path}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\npkg_gpgcheck=1\n"
        f"gpgkey={gpgkey}\nautorefresh=1\ntype=rpm-md\nsslverify=1\nmetadata_expire=300\n"
        for name, path in REPOSITORIES
    ]
    return "\n".join(stanzas)


def start(lab: Lab, trust: Trust, name: str, *, over: tuple[Layer, ...] = (), **wishes: bool) -> Yum:
    """Boot an isolated machine of a flavour, and serve it small packages; it is not configured for them.

    Wishes are `real` for real packages, `one_key` for indices that are signed by the packages' key, as on a mirror of
    one's own, and `old` for a distribution that has an old RabbitMQ. `over` are more layers, topmost first.
    """
    flavour = rpm_roots.flavour(name)
    packages = rpms.layer(lab, flavour.suite, trust)
    layers = rpm_roots.layers(lab, flavour, packages, trust)
    machine = lab.machine(flavour.suite, layers=(*over, *layers), isolated=True)
    old = wishes.pop("old", False)
    return Yum(machine, YumStock(trust, packages, **wishes), SystemStock(trust, packages, old=old))


def indexed(prefix: str, folder: Path, trust: Trust, key: Key) -> Content:
    """Return the files of one repository, its index of indices signed with a key."""
    content: Content = {f"{prefix}/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
    repomd = (folder / "repodata/repomd.xml").read_bytes()
    content[f"{prefix}/repodata/repomd.xml"] = repomd
    content[f"{prefix}/repodata/repomd.xml.asc"] = trust.sign(key, repomd, clear=False)
    content[f"{prefix}/repodata/repomd.xml.key"] = key.armored.encode()
    return content


def _flawed(flaw: Flaw | None, path: str, data: bytes | Path) -> bytes | Path:
    if flaw is Flaw.DAMAGED_RPM and isinstance(data, Path) and path.endswith(".rpm"):
        content = bytearray(data.read_bytes())
        content[-24] ^= 0xFF
        return bytes(content)
    if flaw is Flaw.REPOMD_UNSIGNED and path.endswith((".asc", ".key")):
        return b""
    if flaw is Flaw.REPOMD_CHANGED and path.endswith("repomd.xml"):
        assert isinstance(data, bytes)
        return re.sub(rb"(</repomd>)", rb"<!-- changed -->\1", data)
    if flaw is Flaw.PRIMARY_DAMAGED and isinstance(data, Path) and re.search(r"primary\.xml", path):
        content = bytearray(data.read_bytes())
        content[60] ^= 0xFF
        return bytes(content)
    return data
