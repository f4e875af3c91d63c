"""RPM packages of a Debian suite's real RabbitMQ and Erlang, small ones that stand in for them, and repositories.

How the repositories are served belongs to `yum`, the machines that install them to `rpm_roots`.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, replace
from pathlib import Path

from lab import rpm_roots
from lab.laboratory import Lab, Layer
from lab.machines import Machine
from lab.trust import Trust

SCRIPT = Path(__file__).with_name("rpms.sh")
PLACE = "srv/rpm"
"""Where in the layer repositories are: `sets/NAME/{erlang,rabbitmq}`, `system`, `system-old`, `shipped`, `empty`."""

NOW = ("4.2.9-1.el8", "27.3.4.6-1.el9")
"""The versions of RabbitMQ and Erlang that a repository offers; the content is whatever the suite has."""

OLDER = ("4.2.8-1.el8", "27.3.4.5-1.el9")
TOO_NEW = "29.0.5-1.el9"
"""An Erlang above what RabbitMQ's package admits: upstream's repositories have such, always."""

OWN = ("3.8.2-1.lab", "23.2-1.lab")
"""What `system-old` has: the distribution's own, by another vendor."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An RPM package to be built. `lines` are more of its preamble, `install` fills $RPM_BUILD_ROOT, `rest` follows."""

    name: str
    version: str
    lines: tuple[str, ...] = ()
    install: str = ""
    files: str = ""
    rest: str = ""
    arch: str = "noarch"
    vendor: str = "Team RabbitMQ"

    @property
    def text(self) -> str:
        """The spec file."""
        version, _, release = self.version.partition("-")
        head = (f"Name: {self.name}", f"Version: {version}", f"Release: {release}", f"Vendor: {self.vendor}")
        kind = ("BuildArch: noarch",) if self.arch == "noarch" else ()
        preamble = "\n".join((*head, f"Summary: {self.name}", "License: MPL-2.0", *kind, *self.lines))
        body = f"%description\n{self.name}\n%install\nmkdir -p $RPM_BUILD_ROOT\n{self.install}\n{self.rest}"
        return f"{preamble}\n{body}\n%files\n{self.files}\n"


UNIT = """[Unit]
Description=RabbitMQ broker
After=network.target epmd@0.0.0.0.socket
Wants=network.target

[Service]
Type=notify
User=rabbitmq
Group=rabbitmq
UMask=0027
NotifyAccess=all
TimeoutStartSec=600
LimitNOFILE=32768
Restart=on-failure
RestartSec=10
WorkingDirectory=/var/lib/rabbitmq
ExecStart=/usr/sbin/rabbitmq-server
ExecStop=/usr/sbin/rabbitmqctl shutdown
SuccessExitStatus=69

[Install]
WantedBy=multi-user.target
"""

# They do what upstream's do (rabbitmq/rabbitmq-packaging, 2026-04): an upgrade stops the node, and starts it again
# only if it answered before. Nothing starts or enables it otherwise.
SCRIPTLETS = """%pre
if [ $1 -gt 1 ] && rabbitmqctl status >/dev/null 2>&1; then
    touch /var/lib/rabbitmq/.was-running
    systemctl stop rabbitmq-server
fi
getent group rabbitmq >/dev/null || groupadd -r rabbitmq
getent passwd rabbitmq >/dev/null || useradd -r -g rabbitmq -d /var/lib/rabbitmq -s /usr/sbin/nologin rabbitmq
%post
if [ $1 -eq 1 ]; then systemctl preset rabbitmq-server.service >/dev/null 2>&1 || :; fi
systemctl daemon-reload >/dev/null 2>&1 || :
chmod -R o-rwx,g-w /var/lib/rabbitmq/mnesia
chgrp rabbitmq /etc/rabbitmq
if [ -e /var/lib/rabbitmq/.was-running ]; then
    rm /var/lib/rabbitmq/.was-running
    systemctl restart rabbitmq-server
fi
%preun
if [ $1 -eq 0 ]; then systemctl disable --now rabbitmq-server.service >/dev/null 2>&1 || :; fi
%postun
systemctl daemon-reload >/dev/null 2>&1 || :
"""

DEPENDENCIES = ("Requires: erlang >= 26.0", "Requires: erlang < 29.0", "Requires: logrotate", "Requires: /usr/bin/env")


def server(version: str) -> Spec:
    """Return RabbitMQ's package with the suite's program in it."""
    place = "$RPM_BUILD_ROOT"
    install = f"""cd /build/tree/rabbitmq-server
mkdir -p {place}/usr/lib/systemd/system {place}/etc/rabbitmq {place}/var/lib/rabbitmq/mnesia {place}/var/log/rabbitmq
mkdir -p {place}/usr/share {place}/etc/logrotate.d
cp -a usr/sbin {place}/usr/; cp -a usr/lib/rabbitmq {place}/usr/lib/; cp -a usr/share/rabbitmq {place}/usr/share/
cp -a etc/logrotate.d/rabbitmq-server {place}/etc/logrotate.d/
cp /build/rabbitmq-server.service {place}/usr/lib/systemd/system/"""
    files = """/usr/lib/rabbitmq
/usr/lib/systemd/system/rabbitmq-server.service
/usr/sbin/*
/usr/share/rabbitmq
%config(noreplace) /etc/logrotate.d/rabbitmq-server
%attr(2755, root, rabbitmq) %dir /etc/rabbitmq
%attr(0755, rabbitmq, rabbitmq) %dir /var/lib/rabbitmq
%attr(0750, rabbitmq, rabbitmq) %dir /var/lib/rabbitmq/mnesia
%attr(0750, rabbitmq, rabbitmq) %dir /var/log/rabbitmq"""
    lines = (*DEPENDENCIES, "AutoReqProv: no")
    return Spec("rabbitmq-server", version, lines, install, files, SCRIPTLETS)


def erlang(version: str) -> Spec:
    """Return upstream's one Erlang package with the suite's in it; what libraries it needs is found by rpm."""
    install = "cp -a /build/tree/erlang/. $RPM_BUILD_ROOT/"
    return Spec("erlang", version, ("AutoProv: no",), install, "/usr/lib64/erlang\n/usr/bin/*", arch="x86_64")


def small(spec: Spec, *, rest: str = "", files: tuple[str, ...] = ()) -> Spec:
    """Return a package of the same name and demands with next to nothing in it."""
    inside = (f"/usr/share/{spec.name}/stand-in", *files)
    install = "\n".join(f"mkdir -p $(dirname $RPM_BUILD_ROOT{p}); echo {spec.name} >$RPM_BUILD_ROOT{p}" for p in inside)
    lines = tuple(line for line in spec.lines if line.startswith("Requires"))
    return replace(spec, lines=(*lines, "AutoReqProv: no"), install=install, files="\n".join(inside), rest=rest)


PLUGIN = Spec(
    "python3-dnf-plugin-versionlock",
    "4.3.1-1.lab",
    ("Provides: dnf-command(versionlock)", "AutoReqProv: no"),
    "cd /; cp --parents usr/lib/python3/dist-packages/dnf-plugins/versionlock.py etc/dnf/plugins/versionlock.conf "
    "$RPM_BUILD_ROOT",
    "/usr/lib/python3/dist-packages/dnf-plugins/versionlock.py\n/etc/dnf/plugins/versionlock.conf",
    vendor="Lab distribution",
)
LOGROTATE = Spec(
    "logrotate",
    "3.22.0-1.lab",
    install="cp -a /build/tree/logrotate/. $RPM_BUILD_ROOT/; rm -rf $RPM_BUILD_ROOT/lib $RPM_BUILD_ROOT/usr/lib",
    files="/usr/sbin/logrotate\n/etc/logrotate.conf\n/etc/logrotate.d\n/etc/cron.daily/logrotate",
    arch="x86_64",
    vendor="Lab distribution",
    lines=("AutoProv: no",),
)


def stand_ins(*releases: tuple[str, str], rest: str = "", files: tuple[str, ...] = ()) -> tuple[Spec, ...]:
    """Return small packages of both; `rest` and `files` are those of the server's."""
    servers = tuple(small(server(rabbitmq), rest=rest, files=files) for rabbitmq, _ in releases)
    return (*servers, *(small(erlang(version)) for _, version in releases))


BOTH = stand_ins(NOW, OLDER)
NEWEST = small(erlang(TOO_NEW))
SETS: tuple[tuple[str, str, tuple[Spec, ...]], ...] = (
    ("real", "good", (server(NOW[0]), server(OLDER[0]), erlang(NOW[1]), erlang(OLDER[1]), NEWEST)),
    ("small", "good", (*BOTH, NEWEST)),
    ("stranger", "wrong", BOTH),
    ("unsigned", "", BOTH),
    ("expired", "expired", BOTH),
    ("no-erlang", "good", (small(server(NOW[0])),)),
    ("old-erlang", "good", (small(server(NOW[0])), small(erlang("25.3-1.el9")))),
    ("new-erlang", "good", (small(server(NOW[0])), NEWEST)),
    ("pre-fails", "good", stand_ins(NOW, rest="%pre\nexit 1\n")),
    ("post-fails", "good", stand_ins(NOW, rest="%post\nexit 1\n")),
    ("conflict", "good", stand_ins(NOW, files=("/usr/share/erlang/stand-in",))),
)
"""Sets of packages: their name, the key that signs them (none: unsigned), and what is in them."""


def releases() -> tuple[Spec, ...]:
    """Return the package of each flavour that says which distribution it is."""
    return tuple(
        Spec(flavour.release_package, f"{flavour.version}-1.lab", (*flavour.provides, "AutoReqProv: no"), vendor="lab")
        for flavour in rpm_roots.FLAVOURS
    )


def layer(lab: Lab, suite: str, trust: Trust) -> Layer:
    """Return the layer in which the repositories of a suite are; built once, half a minute."""
    specs = (*releases(), PLUGIN, LOGROTATE, *(spec for _, _, inside in SETS for spec in inside), *stand_ins(OWN))
    keys = (trust.good.fingerprint, trust.wrong.fingerprint, trust.expired.fingerprint, trust.distribution.fingerprint)
    made_by = inspect.getsource(_Workshop)
    text = repr((SCRIPT.read_text(), made_by, UNIT, tuple(spec.text for spec in specs), SETS, keys))
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]

    def build(machine: Machine) -> None:
        _Workshop(machine, trust, has_plugin=suite != "forky").build()

    return lab.layer(f"rpm-packages-{suite}-{digest}", build, base=suite, over=(rpm_roots.tools(lab, suite),))


@dataclass(frozen=True, slots=True)
class _Workshop:
    """A machine in which packages are built."""

    machine: Machine
    trust: Trust
    has_plugin: bool

    def build(self) -> None:
        self.machine.write("/build/rpms.sh", SCRIPT.read_text())
        self.machine.write("/build/rabbitmq-server.service", UNIT)
        self.machine.put(self.trust.home, "/build/gnupg")
        self.machine.run("sh", "-c", "mkdir -p /build/specs /srv/rpm/releases /srv/rpm/empty; chmod 700 /build/gnupg")
        self._sh("trees")
        self._sh("system")
        self._system()
        for name, key, inside in SETS:
            self._set(f"/srv/rpm/sets/{name}", key, inside)
        self._sh("index", "/srv/rpm/empty")
        self._shipped()
        self.machine.run(
            "sh",
            "-c",
            "gpgconf --homedir /build/gnupg --kill all; rm -rf /build /var/lib/apt/lists/* /var/cache/apt/*",
            check=True,
        )

    def _sh(self, *words: str) -> str:
        return self.machine.run("sh", "/build/rpms.sh", *words, check=True, timeout=1200).stdout

    def _made(self, specs: tuple[Spec, ...]) -> tuple[str, ...]:
        """Build packages; return where they are."""
        self.machine.run("rm", "-rf", "/build/rpms", check=True)
        paths = []
        for spec in specs:
            paths.append(f"/build/specs/{spec.name}-{spec.version}.spec")
            self.machine.write(paths[-1], spec.text)
        return tuple(self._sh("build", *paths).split())

    def _system(self) -> None:
        """Make what stands for the machine's own packages and its distribution's repository, with and without ours."""
        names = self.machine.run("sh", "-c", "ls /build/specs/*.spec", check=True).stdout.split()
        own = self._sh("build", *names).split()
        self._move(own, "/srv/rpm/seed")
        extra = self._made((LOGROTATE, *((PLUGIN,) if self.has_plugin else ())))
        self._move(extra, "/srv/rpm/system")
        self._move(self._made(releases()), "/srv/rpm/releases")
        old = self._made(tuple(replace(spec, vendor="Lab distribution") for spec in _own()))
        self._move(old, "/srv/rpm/system-old")
        script = """set -e; cd /srv/rpm; cp seed/*.rpm system/; cp system/*.rpm system-old/
sh /build/rpms.sh sign "$1" system/*.rpm system-old/*.rpm; sh /build/rpms.sh index system system-old"""
        self.machine.run("sh", "-c", script, "sh", self.trust.distribution.fingerprint, check=True)

    def _shipped(self) -> None:
        """Make what a distribution has that ships an Erlang and no RabbitMQ."""
        erlang = f"/srv/rpm/sets/real/erlang/erlang-{NOW[1]}.*.rpm"
        self.machine.run("sh", "-c", f"mkdir /srv/rpm/shipped; cp {erlang} /srv/rpm/shipped/", check=True)
        self._sh("index", "/srv/rpm/shipped")

    def _set(self, place: str, key: str, inside: tuple[Spec, ...]) -> None:
        paths = self._made(inside)
        if key:
            self._sh(
                "sign",
                {"good": self.trust.good, "wrong": self.trust.wrong, "expired": self.trust.expired}[key].fingerprint,
                *paths,
            )
        for part in ("erlang", "rabbitmq"):
            self._move([path for path in paths if f"/{part}-" in path], f"{place}/{part}")
            self._sh("index", f"{place}/{part}")

    def _move(self, paths: list[str] | tuple[str, ...], place: str) -> None:
        self.machine.run("mkdir", "-p", place, check=True)
        if paths:
            self.machine.run("mv", "-t", place, *paths, check=True)


def _own() -> tuple[Spec, ...]:
    rabbitmq, its_erlang = stand_ins(OWN)
    return replace(rabbitmq, lines=("AutoReqProv: no", "Requires: erlang")), its_erlang
