"""Where the RabbitMQ of a package manager keeps its things, what its packages and its service are called.

What is written there belongs to `wishes`; the system-wide places are the same for every manager that has them.
"""

from __future__ import annotations

from dataclasses import dataclass

ERLANG = (
    *("erlang-base", "erlang-asn1", "erlang-crypto", "erlang-eldap", "erlang-ftp", "erlang-inets", "erlang-mnesia"),
    *("erlang-os-mon", "erlang-parsetools", "erlang-public-key", "erlang-runtime-tools", "erlang-snmp", "erlang-ssl"),
    *("erlang-syntax-tools", "erlang-tftp", "erlang-tools", "erlang-xmerl"),
)
"""What RabbitMQ needs of Debian's Erlang, as https://www.rabbitmq.com/docs/install-debian lists it (2026-08-21)."""

FORMULA = "rabbitmq"
"""Homebrew's formula; there is one, of the newest release."""

PREFIXES = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
"""Where Homebrew lives on Apple silicon, Intel and Linux; it has no ready-made packages for any other place."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one RabbitMQ.

    `manager` and `services` are those of a `prefix` that is not the system's; empty means the machine's own.
    `server` is the package, `erlang` the one it runs on, `family` patterns of all that must fit each other, `held`
    of those that are kept at their versions. `pieces` are what to install of a source's Erlang, `runtimes` packages of
    which one is there wherever Erlang is, the likelier first, with the version that Erlang has. `node` is its name
    where that does not come from the host's. `user` runs the node and owns what it rewrites, `owner` the rest of its
    configuration; an empty one is whoever writes the file.
    `home` is where the node's user keeps its cookie, `programs` the folder of RabbitMQ's where they are not on PATH.
    `log` is the one file in `logs` that has everything, where there is such a file.
    """

    manager: str = ""
    services: str = ""
    prefix: str = ""
    config: str = "/etc/rabbitmq"
    data: str = "/var/lib/rabbitmq"
    logs: str = "/var/log/rabbitmq"
    home: str = "/var/lib/rabbitmq"
    server: str = "rabbitmq-server"
    erlang: str = "erlang-base"
    service: str = "rabbitmq-server"
    family: tuple[str, ...] = ("rabbitmq-server", "erlang-*")
    held: tuple[str, ...] = ("rabbitmq-server", "erlang-*")
    pieces: tuple[str, ...] = ERLANG
    runtimes: tuple[str, ...] = ("erlang-base",)
    user: str = "rabbitmq"
    owner: str = "root"
    node: str = ""
    programs: str = ""
    log: str = ""

    @property
    def kept(self) -> tuple[str, ...]:
        """What an uninstall keeps."""
        return (self.data, self.logs)

    @property
    def remains(self) -> tuple[str, ...]:
        """What may still be there after an uninstall: a formula leaves its configuration as well."""
        return (*self.kept, self.config) if self.manager == "brew" else self.kept

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages to look for; a formula brings its Erlang, and an archive is none."""
        names = (self.server,) if self.prefix else (self.server, self.erlang)
        return tuple(filter(None, names))

    @property
    def settings(self) -> str:
        """Our file of settings, which a node reads after `rabbitmq.conf`."""
        return f"{self.config}/conf.d/10-rmqsetup.conf"

    @property
    def plugins(self) -> str:
        """The list of enabled plugins."""
        return f"{self.config}/enabled_plugins"

    @property
    def definitions(self) -> str:
        """Where a node finds the definitions of a request."""
        return f"{self.config}/definitions.json"

    @property
    def environment(self) -> str:
        """Where the node may be given another name."""
        return f"{self.config}/rabbitmq-env.conf"

    @property
    def cookie(self) -> str:
        """The node's Erlang cookie."""
        return f"{self.home}/.erlang.cookie"

    def program(self, name: str) -> str:
        """Return what to type for one of RabbitMQ's programs; those of a prefix may not be on PATH."""
        return f"{self.programs}/{name}" if self.programs else name


SYSTEM = Layout()
"""What Debian's, Red Hat's and upstream's packages agree on (rabbitmq.md, 9.1); the names are Debian's."""

RPM = Layout(
    erlang="erlang",
    family=("rabbitmq-server", "erlang", "erlang-*"),
    held=("rabbitmq-server", "erlang", "erlang-*"),
    pieces=("erlang",),
    runtimes=("erlang-erts", "erlang"),
)
"""The same with the names of RPM packages: upstream's Erlang is one, the distributions' are many."""


def of_brew(prefix: str, *, home: str, erlang: str = "erlang", session: bool = True) -> Layout:
    """Return the places of Homebrew's RabbitMQ; without a session its node is nobody's service.

    Its formula pins the pair by itself: an Erlang that is needed elsewhere as well is not ours to hold.
    """
    return Layout(
        manager="brew",
        services="brew" if session else "detached",
        prefix=prefix,
        config=f"{prefix}/etc/rabbitmq",
        data=f"{prefix}/var/lib/rabbitmq",
        logs=f"{prefix}/var/log/rabbitmq",
        home=home,
        server=FORMULA,
        erlang=erlang,
        service=FORMULA,
        family=(FORMULA,),
        held=(FORMULA,),
        user="",
        owner="",
        node="rabbit@localhost",
        programs=f"{prefix}/opt/{FORMULA}/sbin",
    )


def of_archive(prefix: str) -> Layout:
    """Return the places of a RabbitMQ from an archive, which are all below its prefix; no package is of it."""
    data = f"{prefix}/var/lib/rabbitmq"
    return Layout(
        services="none",
        prefix=prefix,
        config=f"{prefix}/etc/rabbitmq",
        data=data,
        logs=f"{prefix}/var/log/rabbitmq",
        home=data,
        server="",
        erlang="",
        family=(),
        held=(),
        user="",
        owner="",
        programs=f"{prefix}/bin",
    )
