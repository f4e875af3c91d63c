"""What a resolution asks of a machine, as steps: repositories, configuration, packages, the service.

How steps are ordered and shown belongs to `plan`; why these versions, to `resolve`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup import settings
from rmqsetup.facts import Facts, Init
from rmqsetup.host import FileState
from rmqsetup.managers import manager
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.managers.sources import sources
from rmqsetup.plan import Plan, order
from rmqsetup.recipe import Request, enabled_plugins, rabbitmq_conf
from rmqsetup.resolution import Resolution
from rmqsetup.steps import Step
from rmqsetup.steps.file import File, sha256
from rmqsetup.steps.flags import Flags
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.steps.trust import Trust

LIMITS = f"/etc/systemd/system/{SYSTEM.service}.service.d/rmqsetup.conf"

WRITTEN = "# Written by rmqsetup. Changes made here are noticed, and kept beside at the next run.\n"

_UNLIMITED = (
    "the limit of open files is not set: without systemd it is that of what starts the node, "
    "such as docker run --ulimit nofile=N"
)


@dataclass(frozen=True, slots=True)
class Ours:
    """What earlier runs left on this machine.

    `digests` and `paths` of files we wrote, names of packages we hold, `directories` we made, keys that rpm trusts
    because of us, as steps that take that back, and `settings`, the text of our settings file as it is now.
    """

    digests: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    settings: str = ""
    trusted: tuple[Trust, ...] = ()


@dataclass(frozen=True, slots=True)
class Retirement:
    """A source list or keyring that must not stay: as it is, and its content without that (None: nothing is left)."""

    path: str
    before: FileState
    after: bytes | None = None


def build(
    resolution: Resolution, facts: Facts, request: Request, *, ours: Ours, retired: tuple[Retirement, ...] = ()
) -> Plan:
    """Return the plan of an install.

    What the request leaves out stays as it is: settings, plugins, definitions, limits. What it says of one of them
    is the whole of it: plugins that are not listed go, settings that are not repeated go. A hold, the start and
    enabling are always said, and mean yes unless the request says no.
    """
    its = resolution.layout
    limits = facts.init is Init.SYSTEMD and not its.prefix
    if request.open_files is not None and not limits and not its.prefix:
        resolution = replace(resolution, warnings=(*resolution.warnings, _UNLIMITED))
    steps = (
        *_sources(resolution, request, ours),
        *_retired(retired),
        *_configuration(request, ours, its, was_there=_was_there(facts, ours, its), limits=limits),
        _packages(resolution, facts, request, ours=ours),
        _service(facts, request, its),
        *_flags(request, its),
    )
    return Plan("install", order(steps), facts, request, resolution)


def _sources(resolution: Resolution, request: Request, ours: Ours) -> tuple[Step, ...]:
    """Write key and sources; what an earlier run wrote, and let rpm trust, for another source goes."""
    if resolution.layout.prefix or (resolution.source == "installed" and request.source != "distro"):
        return ()
    its, keys = sources(resolution.distribution.manager), resolution.keys
    names = (resolution.source, *(f"{resolution.source}-{number}" for number in range(2, len(keys) + 1)))
    rings = {its.keyring(name): key for name, key in zip(names, keys, strict=False)}
    lists = its.written(resolution.served, tuple(rings)) if keys else ()
    texts = (*((ring, key.armored) for ring, key in rings.items()), *((path, WRITTEN + text) for path, text in lists))
    current = tuple(path for path, _ in texts)
    removals = tuple(
        File(path, expect=ours.digests, early=True) for path in ours.paths if its.is_ours(path) and path not in current
    )
    written = tuple(File(path, text.encode(), expect=ours.digests, early=True) for path, text in texts)
    wanted = {key.fingerprint: ring for ring, key in rings.items()} if its.form == "rpm" else {}
    trust = (
        *(Trust(each, ring, lock_timeout=request.lock_timeout) for each, ring in wanted.items()),
        *(replace(each, lock_timeout=request.lock_timeout) for each in ours.trusted if each.fingerprint not in wanted),
    )
    return (*removals, *written, *trust)


def _retired(retired: tuple[Retirement, ...]) -> tuple[Step, ...]:
    """Rewrite or remove; a list that not everybody may read can hold a password, and is a secret in the journal."""
    return tuple(
        File(
            old.path,
            old.after,
            old.before.mode,
            old.before.owner,
            old.before.group,
            secret=not old.before.mode & 0o004,
            expect=(sha256(old.before.content or b""),),
            early=True,
        )
        for old in retired
    )


def _configuration(request: Request, ours: Ours, its: Layout, *, was_there: bool, limits: bool) -> tuple[Step, ...]:
    """Write what the request says of the node; what it does not say stays as it is. `limits`: systemd sets them.

    `was_there` says of the directory of configuration that it is not of our making.
    """
    directories = () if was_there else (its.config,)
    steps: list[Step] = []
    if request.config or request.definitions:
        inner = (f"{its.config}/conf.d", *directories)
        content = settings_text(request, ours, its).encode()
        steps.append(_file(its.settings, content, its, ours=ours, directories=inner))
    if request.plugins is not None:
        content = enabled_plugins(request).encode()
        owned = File(its.plugins, content, owner=its.user, group=its.user, expect=ours.digests, directories=directories)
        steps.append(owned)  # the node's user owns it, as rabbitmq-plugins rewrites it
    if request.definitions:
        steps.append(_definitions(request, ours, its, directories=directories))
    if request.open_files is not None and limits:
        text = f"{WRITTEN}[Service]\nLimitNOFILE={request.open_files}\n"
        folder = LIMITS.rpartition("/")[0]
        steps.append(_file(LIMITS, text.encode(), its, ours=ours, directories=(folder,)))
    return tuple(steps)


def _file(path: str, content: bytes, its: Layout, *, ours: Ours, directories: tuple[str, ...]) -> File:
    return File(path, content, owner=its.owner, group=its.owner, expect=ours.digests, directories=directories)


def settings_text(request: Request, ours: Ours, its: Layout) -> str:
    """Return the text of our settings file; it holds two wishes, and the one that is left out stays."""
    earlier = [line for line in ours.settings.splitlines() if "=" in line and not line.startswith("#")]
    pairs = [setting for line in earlier for setting, _ in (settings.typed(line),) if setting]
    kept = tuple(pair for pair in pairs if pair.key != "load_definitions")
    loads = its.definitions if len(kept) < len(pairs) else ""
    wish = replace(request, config=request.config or kept, definitions=request.definitions or loads)
    return rabbitmq_conf(wish, definitions=its.definitions)


def _definitions(request: Request, ours: Ours, its: Layout, *, directories: tuple[str, ...]) -> File:
    """Bring the definitions by reference: they hold password hashes, so only the node's own user reads them."""
    from pathlib import Path

    return File(
        its.definitions,
        mode=0o640,
        owner=its.user,
        group=its.user,
        source=request.definitions,
        digest=sha256(Path(request.definitions).read_bytes()),
        secret=True,
        expect=ours.digests,
        directories=directories,
    )


def _packages(resolution: Resolution, facts: Facts, request: Request, *, ours: Ours) -> Packages:
    its = resolution.layout
    return Packages(
        its.manager or facts.manager,
        want=resolution.packages,
        hold=its.held if request.hold else (),
        release=() if request.hold else ours.holds,
        ours=ours.holds,
        family=its.family,
        origins=resolution.origins,
        uris=_uris(resolution, facts),
        signers=_signers(resolution),
        keep=(*its.kept, its.config),  # what others wrote there since is not ours to delete; our files go one by one
        hold_back=its.service,
        recommends=request.recommends,
        lock_timeout=request.lock_timeout,
        prefix=its.prefix,
    )


def _uris(resolution: Resolution, facts: Facts) -> tuple[str, ...]:
    """Return where the packages come from; of the distribution's own, as far as its lists were fetched."""
    if resolution.served:
        return tuple(uri for served in resolution.served for uri in served.uris)
    return tuple(dict.fromkeys(c.uri for c in facts.candidates if c.uri)) if resolution.source == "distro" else ()


def _signers(resolution: Resolution) -> tuple[str, ...]:
    """Return the ids of the keys that may have signed packages of a source; dpkg's are not signed one by one."""
    if not resolution.served or sources(resolution.distribution.manager).form != "rpm":
        return ()
    return tuple(each[-16:] for key in resolution.keys for each in (key.fingerprint, *key.subkeys))


def _service(facts: Facts, request: Request, its: Layout) -> Service:
    stamp = manager(its.manager or facts.manager, its.prefix).stamp
    limits = () if its.prefix else (LIMITS,)
    files = (its.settings, f"{its.config}/rabbitmq.conf", its.plugins, its.definitions, *limits)
    idle = its.services == "brew" and not request.start
    return Service(
        its.services or facts.service_manager,
        its.service,
        enabled=None if idle else request.enable,  # brew services registers nothing without starting it
        running=True if request.start else None,
        newer_than=tuple(dict.fromkeys((*files, stamp(its.server), stamp(its.erlang)))),
        prefix=its.prefix,
    )


def _flags(request: Request, its: Layout) -> tuple[Step, ...]:
    """Enable feature flags where the next `brew upgrade` may bring a series that needs them, without asking."""
    return (Flags(its.program("rabbitmqctl")),) if its.manager == "brew" and request.start else ()


def _was_there(facts: Facts, ours: Ours, its: Layout) -> bool:
    """Whether /etc/rabbitmq is not of our making: then a purge must not empty it."""
    return its.config in facts.directories and its.config not in ours.directories
