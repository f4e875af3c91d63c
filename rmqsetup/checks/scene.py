"""What several checks look at, each looked at once: files, units, ports, names, the node. Read-only, all of it.

What it means belongs to the checks.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rmqsetup.checks import advanced, settings
from rmqsetup.checks.settings import Setting
from rmqsetup.checks.sockets import Question, Sockets
from rmqsetup.detect import detect
from rmqsetup.facts import Facts
from rmqsetup.host import Command, FileState, Host, Result
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.probes import epmd, ports
from rmqsetup.probes.address import NodeAddress, find_address
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.node import ANY, NodeStatus
from rmqsetup.probes.terms import Atom, Term
from rmqsetup.probes.unit import Phase, UnitState, unit_state
from rmqsetup.probes.wire import ProbeError
from rmqsetup.steps import Step
from rmqsetup.steps.service import Service
from rmqsetup.version import Version

Seen = TypeVar("Seen")

UNIT = (
    "User,WorkingDirectory,LimitNOFILE,LimitAS,MemoryMax,TasksMax,TimeoutStartUSec,NeedDaemonReload,FragmentPath,"
    "DropInPaths,MainPID,ExecMainStartTimestamp,Environment"
)
SERVER = "/usr/lib/rabbitmq/lib"
SETPRIV = "/usr/bin/setpriv"


def once(look: Callable[[Scene], Seen]) -> property:
    """Make a property of a look that is taken once, however many checks ask for it at the same time."""

    def read(scene: Scene) -> Seen:
        return scene.remembered(look.__name__, lambda: look(scene))

    return property(read, doc=look.__doc__)


class Scene:
    """A machine as checks see it. `unseen` collects what this user was not allowed to see."""

    def __init__(self, host: Host, layout: Layout = SYSTEM, sockets: Sockets | None = None, now: float = 0.0) -> None:
        self.host = host
        self.layout = layout
        self.sockets = sockets or Sockets()
        self.now = now or time.time()
        self.unseen: set[str] = set()
        self._memory: dict[object, Any] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._guard = threading.Lock()

    def remembered(self, key: object, look: Callable[[], Seen]) -> Seen:
        """Return what a look showed the first time; what it raised is raised again."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._memory:
                try:
                    self._memory[key] = (look(), None)
                except (ProbeError, OSError) as error:
                    self._memory[key] = (None, error)
        seen, failed = self._memory[key]
        if failed:
            raise failed
        return seen  # type: ignore[no-any-return]

    # ---- files and commands

    def file(self, path: str) -> FileState | None:
        """Return a file; one that is closed to us is noted as unseen."""
        state = self.remembered(("file", path), lambda: self.host.read(path))
        if state is not None and state.content is None:
            self.unseen.add(path)
        return state

    def text(self, path: str) -> str:
        """Return a file's text, empty where there is none."""
        state = self.file(path)
        return state.text if state else ""

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder."""
        return self.remembered(("names", folder), lambda: self.host.names(folder))

    def run(self, *argv: str, timeout: float = 5.0) -> Result:
        """Return the answer of a read-only command."""
        command = Command(argv, timeout=timeout)
        result = self.remembered(argv, lambda: self.host.run(command))
        for line in result.stderr.splitlines():
            if "Permission denied" in line:
                self.unseen.add(_quoted(line))
        return result

    def ask(self, module: str, function: str, *arguments: Term) -> Term | None:
        """Return what a function of the node returns, None where the node does not answer or has no such function."""
        question = Question(module, function, arguments)
        try:
            return self.remembered(repr(question), lambda: self.sockets.call(self.host, self.address, question))
        except ProbeError:
            return None

    def opens(self, host: str, port: int) -> str:
        """Return why no connection to a port can be made; empty where one can."""
        return self.remembered(("opens", host, port), lambda: self.sockets.opens(host, port))

    def handshake(self, host: str, port: int) -> str:
        """Return why a server breaks the handshake of TLS off; empty where it does not."""
        return self.remembered(("handshake", host, port), lambda: self.sockets.handshake(host, port))

    def certificate(self, host: str, port: int) -> tuple[str, bytes]:
        """Return why the certificate of a server is not to be trusted, and that certificate."""
        return self.remembered(("certificate", host, port), lambda: self.sockets.certificate(host, port))

    # ---- the machine

    @once
    def facts(self) -> Facts:
        """The machine as `detect` sees it, without asking for offers."""
        return detect(self.host, offers=False)

    @once
    def root(self) -> bool:
        """Whether we may see everything."""
        return "Uid:\t0\t0" in self.text("/proc/self/status")

    @once
    def installed(self) -> str:
        """The version of the RabbitMQ that a package manager has installed, empty where there is none."""
        from rmqsetup.managers import State

        keg = self.facts.homebrew.keg(self.layout.server) if self.layout.prefix and self.facts.homebrew else None
        if keg:
            return str(keg.version)
        package = self.facts.package(self.layout.server)
        return package.version if package and package.state is not State.CONFIGURATION else ""

    @once
    def server(self) -> str:
        """The folder of the installed RabbitMQ, which holds its plugins; empty where there is none."""
        if self.layout.prefix:
            folder = f"{self.layout.prefix}/opt/{self.layout.server}"
            return folder if self.names(f"{folder}/plugins") else ""
        found = [name for name in self.names(SERVER) if name.startswith("rabbitmq_server-")]
        return f"{SERVER}/{max(found, key=Version)}" if found else ""

    @once
    def version(self) -> str:
        """The release of the installed RabbitMQ as upstream writes it."""
        return str(self.server).rpartition("rabbitmq_server-")[2]

    @once
    def user(self) -> str:
        """The user that runs the node: the unit's, where there is a unit."""
        return self.unit_property("User") or self.layout.user

    @once
    def has_user(self) -> bool:
        """Whether that user exists."""
        return any(line.startswith(f"{self.user}:") for line in self.text("/etc/passwd").splitlines())

    def reinstall(self, *names: str) -> str:
        """Return what is typed to have the files of packages again."""
        words = {"dnf": "dnf reinstall", "yum": "yum reinstall", "zypper": "zypper install --force"}
        return f"{words.get(self.facts.manager, 'apt-get install --reinstall')} {' '.join(names)}"

    # ---- the service

    @once
    def unit(self) -> UnitState | None:
        """What systemd says of the service; None where nothing looks after services or it is not known."""
        if "system" not in self.names("/run/systemd") or self.layout.prefix:
            return None
        try:
            state = unit_state(self.host)
        except ProbeError:
            self.unseen.add("systemd")
            return None
        return None if state.load in ("not-found", "") else state

    def unit_property(self, name: str, default: str = "") -> str:
        """Return what more systemd says of the service, by the name it has for it."""
        if self.unit is None:
            return default
        lines = self.run("systemctl", "show", "-p", UNIT, self.layout.service).stdout.splitlines()
        return next((line.partition("=")[2] for line in lines if line.startswith(f"{name}=")), default)

    @once
    def started(self) -> tuple[Step, ...]:
        """The steps with which a cure ends: the service runs, where there is one that is to."""
        if self.unit is None or self.unit.load == "masked" or self.unit.enabled == "disabled":
            return ()
        return (Service("systemd", self.layout.service, enabled=None),)

    # ---- configuration

    @once
    def environment(self) -> tuple[Setting, ...]:
        """What `rabbitmq-env.conf` sets, and after it what the unit hands to the node, which counts for more."""
        own = settings.environment(self.layout.environment, self.text(self.layout.environment))
        return (*own, *self.handed)

    @once
    def handed(self) -> tuple[Setting, ...]:
        """The variables of the node that the unit hands to it: by itself, by drop-ins, and by files that it names."""
        files = () if self.unit is None else (self.unit_property("FragmentPath"), *self.drop_ins)
        given = [each for path in filter(None, files) for each in settings.handed(path, self.text(path))]
        named = (each.value.lstrip("-") for each in given if each.key == "EnvironmentFile")
        read = [each for path in named for each in settings.environment(path, self.text(path), handed=True)]
        return (*(each for each in given if each.key != "EnvironmentFile"), *read)

    @once
    def drop_ins(self) -> tuple[str, ...]:
        """The drop-ins of the unit, in the order in which they count."""
        return tuple(self.unit_property("DropInPaths").split())

    def variable(self, name: str) -> str:
        """Return a variable of `rabbitmq-env.conf` by its name without RABBITMQ_, empty where it is not set."""
        return next((each.value for each in reversed(self.environment) if each.key == name), "")

    @once
    def config_files(self) -> tuple[str, ...]:
        """The files in the sysctl form that the node reads, in order."""
        main = self.variable("CONFIG_FILE") or f"{self.layout.config}/rabbitmq.conf"
        main = main if main.endswith((".conf", ".config")) else f"{main}.conf"
        folder = self.variable("CONFIG_FILES") or f"{self.layout.config}/conf.d"
        beside = tuple(f"{folder}/{name}" for name in self.names(folder) if name.endswith(".conf"))
        return tuple(path for path in (main, *beside) if path.endswith(".conf") and self.file(path))

    @once
    def settings(self) -> tuple[Setting, ...]:
        """Every setting of those files; the last of each key counts."""
        return tuple(each for path in self.config_files for each in settings.parse(path, self.text(path)))

    @once
    def configured(self) -> tuple[Setting, ...]:
        """Those settings, and after them what advanced.config says in other words, which counts for more."""
        own = self.variable("ADVANCED_CONFIG_FILE") or f"{self.layout.config}/advanced.config"
        terms = (f"{self.layout.config}/rabbitmq.config", own)
        return (*self.settings, *(each for path in terms for each in advanced.parse(path, self.text(path))))

    def setting(self, key: str) -> str:
        """Return the value of a key, empty where it is not set."""
        return next((each.value for each in reversed(self.configured) if each.key == key), "")

    @once
    def plugins_file(self) -> str:
        """Where the list of enabled plugins is."""
        return self.variable("ENABLED_PLUGINS_FILE") or self.layout.plugins

    # ---- the node

    @once
    def address(self) -> NodeAddress:
        """The node's name and where to reach it."""
        return find_address(self.host, self.layout)

    @once
    def data(self) -> str:
        """The folder with the data of nodes."""
        return self.variable("MNESIA_BASE") or f"{self.layout.data}/mnesia"

    @once
    def registered(self) -> tuple[epmd.Registered, ...]:
        """The nodes that epmd knows. Raises `ProbeError`."""
        return self.sockets.names(self.address.epmd_port)

    @once
    def is_registered(self) -> bool:
        """Whether epmd knows our node, which then has an Erlang VM that runs."""
        try:
            return any(each.name == self.address.name.partition("@")[0] for each in self.registered)
        except ProbeError:
            return False

    @once
    def status(self) -> NodeStatus:
        """What the node says of itself. Raises `ProbeError`."""
        return self.sockets.status(self.host, self.address)

    @once
    def node(self) -> NodeStatus | None:
        """What the node says of itself, None where it does not answer."""
        try:
            found: NodeStatus = self.status
        except ProbeError:
            return None
        return found

    @property
    def runs(self) -> bool:
        """Whether the node answers, and RabbitMQ runs in it."""
        return self.node is not None and bool(self.node.running)

    def environment_of(self, name: str) -> Term | None:
        """Return a setting of the application `rabbit` as the node has it now; None where it has none."""
        answer = self.ask("application", "get_env", Atom("rabbit"), Atom(name))
        return answer[1] if isinstance(answer, tuple) and len(answer) == 2 else None

    @property
    def frozen(self) -> str:
        """The line of the kernel that says that somebody has stopped the node's process; empty for any other."""
        status = self.text(f"/proc/{self.unit.pid}/status") if self.unit else ""
        found = re.search(r"^State:\s*T\b.*$", status, re.MULTILINE)
        return found[0] if found else ""

    @once
    def is_well(self) -> bool:
        """Whether the node runs, or looks as if it does to somebody who may not ask it."""
        if self.node is not None:
            return bool(self.node.running)
        try:
            _ = self.status
        except CookieError:
            return True
        except ProbeError:
            pass
        seen = self.unit is None or self.unit.active == "active"
        return bool((not self.root or self.encrypted) and self.is_registered and seen)

    @property
    def encrypted(self) -> str:
        """The words with which the node is told to talk TLS with other nodes, and so with us; empty for any other."""
        words = self.text(f"/proc/{self.unit.pid}/cmdline").replace("\0", " ") if self.unit else ""
        found = re.search(r"-proto_dist inet6?_tls\b", words)
        return found[0] if found else ""

    @property
    def fails(self) -> bool:
        """Whether systemd started the node in vain, and nobody stopped it."""
        unit = self.unit
        if unit is None or self.is_well:
            return False
        return unit.phase is Phase.FAILING or (unit.phase is Phase.STARTING and unit.restarts > 0)

    @once
    def addresses(self) -> tuple[str, ...]:
        """The addresses of this machine, of both families, as the kernel has them."""
        four = re.findall(r"\|-- ([\d.]+)\s+/32 host LOCAL", self.text("/proc/net/fib_trie"))
        rows = [row.split()[0] for row in self.text("/proc/net/if_inet6").splitlines() if row.strip()]
        six = (socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row)) for row in rows)
        return tuple(dict.fromkeys((*four, *six)))

    def has_address(self, address: str) -> bool:
        """Tell whether an address is this machine's; where the kernel does not say, every one is."""
        bare = address.strip("[]").partition("%")[0]
        return not self.addresses or bare in (*self.addresses, *ANY) or bare.startswith("127.")

    @once
    def taken(self) -> tuple[ports.Taken, ...]:
        """Every port on which somebody listens."""
        return ports.taken(self.host)


def _quoted(complaint: str) -> str:
    """Return the path in a complaint, however it is quoted."""
    found = re.search(r"/[^\s'\"\u2019:]+", complaint)
    return found[0] if found else complaint
