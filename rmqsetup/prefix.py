"""What a broker below a prefix asks of a machine, as steps: trees, scripts, configuration, the service.

Which archives those are is decided by `archives`; what packages ask for is in `wishes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from rmqsetup.facts import Facts
from rmqsetup.host import MARK
from rmqsetup.managers.layout import Layout
from rmqsetup.managers.sources import sources
from rmqsetup.plan import Plan, order
from rmqsetup.recipe import Request, enabled_plugins
from rmqsetup.releases import SERVER, Proven
from rmqsetup.resolution import Resolution
from rmqsetup.services import launchd
from rmqsetup.services.systemd_user import UNITS
from rmqsetup.steps import Step
from rmqsetup.steps.archive import Archive, Tree
from rmqsetup.steps.file import File, sha256
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.wishes import WRITTEN, Ours, settings_text

UNIT = "rabbitmq-server"
"""The name of the user's unit, as packages name that of the machine."""

CURRENT = "current"
"""The link to the release in use."""

SERVER_PROGRAM = "rabbitmq-server"
"""What starts the node."""

PROGRAMS = (
    *(SERVER_PROGRAM, "rabbitmqctl", "rabbitmq-plugins", "rabbitmq-diagnostics", "rabbitmq-queues"),
    *("rabbitmq-streams", "rabbitmq-upgrade"),
)
"""What there is to call; each script of `bin` does what its name says."""

_SCRIPT = """\
#!/bin/sh
# Written by rmqsetup. Calls the program of its own name with everything of this broker below one folder.
prefix={prefix}
PATH="{erl}:$PATH"
HOME="$prefix/var/lib/rabbitmq"
RABBITMQ_CONF_ENV_FILE="$prefix/etc/rabbitmq/rabbitmq-env.conf"
RABBITMQ_CONFIG_FILE="$prefix/etc/rabbitmq/rabbitmq"
RABBITMQ_CONFIG_FILES="$prefix/etc/rabbitmq/conf.d/*.conf"
RABBITMQ_ADVANCED_CONFIG_FILE="$prefix/etc/rabbitmq/advanced"
RABBITMQ_ENABLED_PLUGINS_FILE="$prefix/etc/rabbitmq/enabled_plugins"
RABBITMQ_MNESIA_BASE="$prefix/var/lib/rabbitmq/mnesia"
RABBITMQ_LOG_BASE="$prefix/var/log/rabbitmq"
export PATH HOME RABBITMQ_CONF_ENV_FILE RABBITMQ_CONFIG_FILE RABBITMQ_CONFIG_FILES RABBITMQ_ADVANCED_CONFIG_FILE
export RABBITMQ_ENABLED_PLUGINS_FILE RABBITMQ_MNESIA_BASE RABBITMQ_LOG_BASE
umask 027
{limit}mkdir -p "$RABBITMQ_MNESIA_BASE" "$RABBITMQ_LOG_BASE" && cd "$HOME" || exit 1
exec "$prefix/current/sbin/${{0##*/}}" "$@"
"""

_UNIT = """\
{written}[Unit]
Description=RabbitMQ broker below {prefix}
After=network.target

[Service]
ExecStart={prefix}/bin/rabbitmq-server
Restart=on-failure
RestartSec=10
TimeoutStopSec=120
SuccessExitStatus=69 143
{limits}
[Install]
WantedBy=default.target
"""


@dataclass(frozen=True, slots=True)
class User:
    """Whom the broker belongs to; `home` is where a unit of the user's own goes."""

    name: str
    group: str
    home: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of the place before: its user, and which `folders` were there and are not of our making."""

    user: User
    folders: tuple[str, ...] = ()


def build(resolution: Resolution, facts: Facts, request: Request, *, ours: Ours, place: Place) -> Plan:
    """Return the plan of an install below a prefix.

    Settings, plugins and definitions that the request does not speak of stay as they are.
    """
    builder = _Builder(resolution, request, ours, place)
    packages = _packages(resolution, facts, request)
    steps = (*builder.trees(), *packages, *builder.scripts(), *builder.configuration(), *builder.service())
    return Plan("install", order(steps), facts, request, resolution)


def candidates(layout: Layout, user: User) -> tuple[str, ...]:
    """Return the folders that an install may have to make, for a look at which of them are there."""
    agents = (f"{user.home}/{UNITS}/x", f"{user.home}/{launchd.AGENTS}/x")
    files = (layout.settings, layout.program("x"), *agents)
    return tuple(dict.fromkeys(str(parent) for path in files for parent in PurePosixPath(path).parents))


@dataclass(frozen=True, slots=True)
class _Builder:
    """The parts of one plan."""

    resolution: Resolution
    request: Request
    ours: Ours
    place: Place

    @property
    def layout(self) -> Layout:
        """Where things go."""
        return self.resolution.layout

    def trees(self) -> tuple[Step, ...]:
        """Unpack what is not there yet."""
        return tuple(self._tree(proven) for proven in self.resolution.archives)

    def _tree(self, proven: Proven) -> Archive:
        prefix, name = self.layout.prefix, proven.tree
        finish = ("./Install", "-cross", "-minimal", f"{prefix}/{name}") if proven.installs else ()
        tree = Tree(name, proven.digest, proven.path, proven.top, finish)
        return Archive(
            prefix,
            (tree,),
            name,
            CURRENT if name.startswith(SERVER) else "erlang",
            directories=self._made(f"{prefix}/x"),
        )

    def scripts(self) -> tuple[Step, ...]:
        """Write what there is to call."""
        return tuple(self._file(self.layout.program(name), self._script(name), mode=0o755) for name in PROGRAMS)

    def _script(self, name: str) -> str:
        """Return the text of a program; the one that starts the node sets its limit where nothing else does."""
        request, erl = self.request, self.resolution.erl or "$prefix/erlang/bin"
        limits = request.open_files is not None and name == SERVER_PROGRAM and request.archive.service in ("", "none")
        limit = f"ulimit -n {request.open_files} || exit 1\n" if limits else ""
        return _SCRIPT.format(prefix=self.layout.prefix, erl=erl, limit=limit)

    def configuration(self) -> tuple[Step, ...]:
        """Write what the request says of the node."""
        request, its = self.request, self.layout
        steps: list[Step] = []
        if request.config or request.definitions:
            steps.append(self._file(its.settings, settings_text(request, self.ours, its)))
        if request.plugins is not None:
            steps.append(self._file(its.plugins, enabled_plugins(request)))
        if request.definitions:
            steps.append(self._definitions(its.definitions))
        return tuple(steps)

    def _definitions(self, path: str) -> File:
        """Bring the definitions by reference: they hold password hashes."""
        from pathlib import Path

        source = self.request.definitions
        return File(
            path,
            mode=0o640,
            owner=self.place.user.name,
            group=self.place.user.group,
            source=source,
            digest=sha256(Path(source).read_bytes()),
            secret=True,
            expect=self.ours.digests,
            directories=self._made(path),
        )

    def service(self) -> tuple[Step, ...]:
        """Let the node run: looked after by its user's systemd or launchd, or by nobody."""
        layout, request = self.layout, self.request
        config = (layout.settings, f"{layout.config}/rabbitmq.conf", layout.plugins)
        places = (f"{layout.prefix}/current", f"{layout.prefix}/erlang")
        marks = (f"{path}/{MARK}" for path in places)
        files = (*config, layout.definitions, *places, *marks, layout.program(SERVER_PROGRAM))
        running = True if request.start else None
        if request.archive.service == "systemd":
            unit = self._unit()
            return (unit, Service("systemd-user", UNIT, request.enable, running, newer_than=(*files, unit.path)))
        if request.archive.service == "launchd":
            agent = self._agent()
            return (agent, Service("launchd-agent", launchd.LABEL, None, running, newer_than=(*files, agent.path)))
        return (Service("script", layout.prefix, enabled=None, running=running, newer_than=files),)

    def _unit(self) -> File:
        request, prefix = self.request, self.layout.prefix
        limits = f"LimitNOFILE={request.open_files}\n" if request.open_files else ""
        text = _UNIT.format(written=WRITTEN, prefix=prefix, limits=limits)
        return self._file(f"{self.place.user.home}/{UNITS}/{UNIT}.service", text)

    def _agent(self) -> File:
        request, its = self.request, self.layout
        text = launchd.plist(its.prefix, logs=its.logs, enabled=request.enable, open_files=request.open_files)
        return self._file(f"{self.place.user.home}/{launchd.AGENTS}/{launchd.LABEL}.plist", text)

    def _file(self, path: str, text: str, *, mode: int = 0o644) -> File:
        user = self.place.user
        return File(
            path,
            text.encode(),
            mode,
            user.name,
            user.group,
            expect=self.ours.digests,
            directories=self._made(path),
        )

    def _made(self, path: str) -> tuple[str, ...]:
        """Return the folders above a path that are of our making, innermost first."""
        parents = (str(parent) for parent in PurePosixPath(path).parents)
        return tuple(parent for parent in parents if parent not in self.place.folders)


def _packages(resolution: Resolution, facts: Facts, request: Request) -> tuple[Step, ...]:
    """Install the distribution's Erlang, where that was chosen."""
    if not resolution.packages:
        return ()
    its = sources(facts.manager).layout
    return (
        Packages(
            facts.manager,
            want=resolution.packages,
            family=tuple(each for each in its.family if each != its.server),
            origins=resolution.origins,
            recommends=False,
            lock_timeout=request.lock_timeout,
        ),
    )
