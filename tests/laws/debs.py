"""The packages a model machine can have: few, with everything that makes packages difficult.

What is done with them belongs to `model`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqsetup.version import Version

SERVER = "rabbitmq-server"
DATA = ("/var/lib/rabbitmq", "/var/log/rabbitmq")
CONFIG = "/etc/rabbitmq"


@dataclass(frozen=True, slots=True)
class Deb:
    """A package at one version. `depends` are names with an exact version or none; `files` come and go with it."""

    name: str
    version: str
    label: str = "Debian"
    depends: tuple[tuple[str, str], ...] = ()
    recommends: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()


def _server(version: str, label: str) -> Deb:
    return Deb(
        SERVER,
        version,
        label,
        depends=(("erlang-base", ""), ("erlang-ssl", ""), ("socat", "")),
        recommends=("logrotate",),
        conflicts=("rabbit-twin",),
        files=("/usr/sbin/rabbitmq-server", "/etc/default/rabbitmq-server"),
        directories=(CONFIG, *DATA),
    )


def _erlang(version: str, label: str) -> tuple[Deb, ...]:
    return (
        Deb("erlang-base", version, label, files=("/usr/bin/erl",)),
        Deb("erlang-ssl", version, label, depends=(("erlang-base", version),)),
        Deb("erlang-tools", version, label, depends=(("erlang-base", version),)),
    )


UNIVERSE = (
    _server("4.0.5-9", "Debian"),
    _server("4.2.8-1", "RabbitMQ"),
    _server("4.2.9-1", "RabbitMQ"),
    *_erlang("1:27.1-1", "Debian"),
    *_erlang("1:27.3-1", "RabbitMQ"),
    Deb("socat", "1.8", files=("/usr/bin/socat",)),
    Deb("logrotate", "3.22", files=("/etc/logrotate.conf",)),
    Deb("yaws", "2.2", depends=(("erlang-base", ""),)),
    Deb("rabbit-twin", "1.0", conflicts=(SERVER,)),
)
"""Everything there is to install."""


def find(name: str, version: str) -> Deb:
    """Return the package of that name and version."""
    return next(deb for deb in UNIVERSE if (deb.name, deb.version) == (name, version))


def newest(debs: tuple[Deb, ...]) -> Deb:
    """Return the package with the highest version."""
    return max(debs, key=lambda deb: Version(deb.version))
