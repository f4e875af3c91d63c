"""The broker's service: whether systemd starts it, keeps it from starting, or limits it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, SERVICE_FAILS, SERVICE_STOPPED, Check, Diagnosis, error, info, warning
from rmqsetup.checks.cures import packaged
from rmqsetup.checks.scene import Scene
from rmqsetup.launch import LOW
from rmqsetup.probes import causes, logs
from rmqsetup.probes.unit import Phase
from rmqsetup.services import OPEN_FILES
from rmqsetup.steps import Step
from rmqsetup.steps.account import Account
from rmqsetup.steps.mask import Mask
from rmqsetup.steps.service import Service
from rmqsetup.steps.units import Units

FEW = 1024
"""Below this many open files a node runs out of them under the first hundred connections."""

LEAST_MEMORY = 256 * 1024**2
"""A node that has nothing to do takes about 100 MB, and its boot twice that."""

LEAST_ADDRESSES = 3 * 1024**3
"""Erlang reserves addresses by the gigabyte at its start; it uses few of them."""

LEAST_TASKS, LEAST_SECONDS = 64, 30.0
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
RESTART = "systemctl restart rabbitmq-server"


def failing(scene: Scene) -> Iterator[Diagnosis]:
    """Systemd starts the node again and again, and it ends each time.

    `systemctl is-active` says *activating* meanwhile, for ever: the unit is restarted after each failure. This is
    rarely a cause by itself. Where another check knows why, this one is folded under it; else the last words of the
    node are shown, which is where to go on.
    """
    unit = scene.unit
    if unit is None or unit.load == "masked" or unit.phase is not Phase.FAILING or scene.is_well:
        return
    words = logs.last_words(scene.host, scene.address, since=unit.since)
    remedy = causes.remedy(scene.host, words, scene.layout)
    yield error(
        SERVICE_FAILS,
        "the broker's service does not come up",
        evidence=(unit.words, *words),
        cause=unit.meaning,
        hint=remedy or "read /var/log/rabbitmq, and: journalctl -u rabbitmq-server -n 50",
        links=(f"{DOCS}/troubleshooting",),
        fix=scene.started if unit.active in ("inactive", "failed") else (),
    )


def stopped(scene: Scene) -> Iterator[Diagnosis]:
    """The service is enabled at boot, and does not run now.

    Somebody stopped it, or it ended by itself. One that is neither enabled nor running was switched off on purpose,
    and is not reported.
    """
    unit = scene.unit
    if unit is None or unit.load == "masked" or unit.phase is not Phase.STOPPED or unit.enabled != "enabled":
        return
    yield error(
        SERVICE_STOPPED,
        "the broker's service is stopped",
        evidence=(unit.words,),
        hint="systemctl start rabbitmq-server",
        fix=scene.started,
        safe=True,
    )


def masked(scene: Scene) -> Iterator[Diagnosis]:
    """The unit is masked: nothing can start the broker, not even its package's own scripts."""
    unit = scene.unit
    if unit is not None and unit.load == "masked":
        yield error(
            "RMQ-003",
            "the service rabbitmq-server is masked",
            evidence=(f"{unit.words}; LoadState=masked",),
            cause="somebody masked it (systemctl mask), so that nothing starts it",
            hint="systemctl unmask rabbitmq-server && systemctl start rabbitmq-server",
            fix=(Mask(f"{scene.layout.service}.service"), Service("systemd", scene.layout.service, enabled=None)),
            safe=True,
        )


def disabled(scene: Scene) -> Iterator[Diagnosis]:
    """The broker runs, and will not after the next boot of the machine."""
    unit = scene.unit
    if unit is None or unit.enabled != "disabled":
        return
    if unit.phase is Phase.STOPPED:
        if not scene.is_registered:
            words = "the broker is switched off: neither running nor started at boot"
            yield info("RMQ-004", words, evidence=(unit.words,))
        return
    yield warning(
        "RMQ-004",
        "the broker does not start when the machine boots",
        evidence=(f"{unit.words}; UnitFileState=disabled",),
        hint="systemctl enable rabbitmq-server",
        fix=(Service("systemd", scene.layout.service, running=None),),
        safe=True,
    )


def open_files(scene: Scene) -> Iterator[Diagnosis]:
    """The node may open too few files, or so many that the table of them takes gigabytes.

    Each connection and each file of a queue takes one. RabbitMQ asks for 65,536 in production. Erlang makes a table as
    large as the limit at its start, so that a limit of a billion costs gigabytes of memory and minutes of CPU.
    """
    unit = scene.unit
    text = scene.text(f"/proc/{unit.pid}/limits") if unit is not None and unit.pid else ""
    found = re.search(r"^Max open files +(\w+)", text, re.MULTILINE)
    wished = scene.unit_property("LimitNOFILE")
    limits = {_limit(found[1]): f"{found[0].rstrip()} (of the node that runs)"} if found else {}
    limits = {_limit(wished): f"LimitNOFILE={wished}", **limits} if wished else limits
    if not limits:
        return
    low, high = min(limits), _limit(found[1]) if found else max(limits)
    change = f"set LimitNOFILE=65536 in a drop-in (systemctl edit rabbitmq-server), then: {RESTART}"
    more: dict[str, object] = {"hint": change, "links": (f"{DOCS}/networking#open-file-handle-limit",)}
    more |= {"fix": packaged(scene, "LimitNOFILE")}
    if low < LOW:
        tell = error if low < FEW else warning
        evidence = (limits[low], *_drop_ins(scene, "LimitNOFILE"))
        summary = f"the broker may have only {low:.0f} files and sockets open"
        yield tell("RMQ-005", summary, evidence=evidence, **more)
    elif high > 20 * OPEN_FILES:
        evidence = (limits[high], *_drop_ins(scene, "LimitNOFILE"))
        summary = "the limit of open files is needlessly huge"
        yield warning("RMQ-005", summary, evidence=evidence, **more)


def _limit(text: str) -> float:
    return float(text) if text.isdigit() else float("inf")


def memory(scene: Scene) -> Iterator[Diagnosis]:
    """Systemd gives the service less memory, or fewer processes, than a node needs to boot."""
    least = {"MemoryMax": LEAST_MEMORY, "LimitAS": LEAST_ADDRESSES, "TasksMax": LEAST_TASKS}
    values = {name: scene.unit_property(name, "infinity") for name in least}
    tight = [name for name, value in values.items() if value.isdigit() and int(value) < least[name]]
    if tight:
        named = ", ".join(f"{name} is {values[name]}" for name in tight)
        yield error(
            "RMQ-006",
            f"the service may use too little: {named}",
            evidence=tuple(line for name in tight for line in _drop_ins(scene, name) or (f"{name}={values[name]}",)),
            cause="the node is killed, or its memory refused, while it boots or soon after",
            hint=f"raise {' and '.join(tight)} in the unit's drop-in (systemctl edit rabbitmq-server), then: {RESTART}",
            fix=packaged(scene, *tight),
        )


def account(scene: Scene) -> Iterator[Diagnosis]:
    """The user that the service is to run as does not exist, so systemd cannot start it (217/USER)."""
    if scene.unit is not None and scene.installed and scene.user and not scene.has_user:
        yield error(
            "RMQ-007",
            f"the user {scene.user}, as which the broker is to run, does not exist",
            evidence=(f"/etc/passwd has no line for {scene.user}",),
            hint=scene.reinstall(scene.layout.server),
            fix=_account(scene),
        )


def home(scene: Scene) -> Iterator[Diagnosis]:
    """The broker's user has its group, and its home where the data and the cookie are."""
    user = scene.layout.user
    row = next((line.split(":") for line in scene.text("/etc/passwd").splitlines() if line.startswith(f"{user}:")), [])
    if not scene.installed or scene.layout.prefix or len(row) < 6 or scene.user != user:
        return
    groups = [line.split(":") for line in scene.text("/etc/group").splitlines()]
    fault, hint = "", f"usermod --home {scene.layout.data} {user}"
    if groups and not any(group[0] == user for group in groups):
        fault, hint = f"the group {user} does not exist", f"groupadd --system --gid {row[3]} {user}"
    elif row[5].rstrip("/") != scene.layout.data:
        fault = f"the home of {user} is {row[5] or 'nowhere'}, and its cookie and data are in {scene.layout.data}"
    if fault:
        yield error(
            "RMQ-145",
            fault,
            evidence=(f"/etc/passwd: {':'.join(row)}",),
            cause="somebody changed the account; what its package made has both",
            hint=hint,
            fix=_account(scene),
        )


def _account(scene: Scene) -> tuple[Step, ...]:
    """Make the account of the package again, with the numbers to which its files belong."""
    user, folder = scene.layout.user, scene.layout.data
    numbers = scene.run("stat", "-c", "%u %g", folder).stdout.split()
    if len(numbers) != 2 or "0" in numbers or scene.user != user:
        return ()
    return (Account(user, int(numbers[0]), int(numbers[1]), folder), *scene.started)


def outdated(scene: Scene) -> Iterator[Diagnosis]:
    """The node runs with an older configuration than the one on disk, which counts from the next start on."""
    unit = scene.unit
    if unit is None or unit.phase is not Phase.ACTIVE or not unit.since:
        return
    paths = (*scene.config_files, f"{scene.layout.config}/advanced.config", scene.layout.environment)
    for path in paths:
        file = scene.file(path)
        if file is not None and int(file.modified) > unit.since + 1:
            yield info(
                "RMQ-008",
                f"the broker runs since before {path} was changed",
                evidence=(f"running since {unit.started}",),
                hint=f"when it may be interrupted: {RESTART}",
            )
            return
    if scene.unit_property("NeedDaemonReload") == "yes":
        fix = (Units(f"{scene.layout.service}.service"),)
        summary = "systemd has not read the changed unit yet"
        yield info("RMQ-008", summary, hint="systemctl daemon-reload", fix=fix, safe=True)


def start_time(scene: Scene) -> Iterator[Diagnosis]:
    """Systemd ends the node while it still boots: its unit gives it too little time.

    A node with much data takes minutes; the packages give it ten.
    """
    value = scene.unit_property("TimeoutStartUSec", "infinity")
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|min|s|h|d|w)\b", value)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if parts and seconds < LEAST_SECONDS:
        yield error(
            "RMQ-009",
            f"the service is given only {value} to start",
            evidence=_drop_ins(scene, "TimeoutStartSec") or (f"TimeoutStartUSec={value}",),
            hint="set TimeoutStartSec=600 in the unit's drop-in: systemctl edit rabbitmq-server",
            fix=packaged(scene, "TimeoutStartSec", "TimeoutSec"),
        )


def starter(scene: Scene) -> Iterator[Diagnosis]:
    """The unit calls a program, or uses a file or a folder, that is not there."""
    for path in (scene.unit_property("FragmentPath"), *scene.drop_ins):
        for number, line in enumerate(scene.text(path).splitlines() if path else (), start=1):
            for name, its in _needed(line):
                program = scene.file(its) if name.startswith("Exec") else None
                lacks = "is not there" if scene.host.peek(its) is None else ""
                lacks = lacks or ("cannot be executed" if program and not program.mode & 0o111 else "")
                if lacks and its not in (scene.layout.data, scene.layout.logs):
                    yield error(
                        "RMQ-010",
                        f"the unit needs {its}, which {lacks}",
                        evidence=(f"{path}:{number}: {line.strip()}",),
                        hint=f"put it right, or {path}; then: systemctl daemon-reload && {RESTART}",
                        fix=packaged(scene, name),
                    )


def _needed(line: str) -> Iterator[tuple[str, str]]:
    """Yield the paths without which systemd does not start a service, each with the directive that names it."""
    name, _, value = line.strip().partition("=")
    words = value.split()
    if name in ("ExecStart", "ExecStartPre"):
        words = [words[0].lstrip("@+!:")] if words else []
    elif name in ("StandardOutput", "StandardError"):
        found = re.match(r"(?:append|file|truncate):(/.*)/", value)
        words = [found[1]] if found else []
    elif name in ("BindPaths", "BindReadOnlyPaths", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths"):
        words = [word.lstrip("+").partition(":")[0] for word in words]
    elif name not in ("WorkingDirectory", "EnvironmentFile"):
        words = []
    yield from ((name, word) for word in words if word.startswith("/") and "%" not in word)


def _drop_ins(scene: Scene, name: str) -> tuple[str, ...]:
    """Return the lines of drop-ins that set a property."""
    return tuple(
        f"{path}:{number}: {line.strip()}"
        for path in scene.drop_ins
        for number, line in enumerate(scene.text(path).splitlines(), start=1)
        if line.strip().startswith(f"{name}=")
    )


CHECKS = (
    Check("RMQ-003", "The service can be started: its unit is not masked", masked, explains=DOWN),
    Check("RMQ-007", "The user that runs the service exists", account, explains=DOWN),
    Check(
        "RMQ-145",
        "The broker's user has its group and its home",
        home,
        explains=(*DOWN, "RMQ-050", "RMQ-053", "RMQ-054"),
    ),
    Check("RMQ-010", "What the unit names is there", starter, explains=DOWN),
    Check("RMQ-006", "The service has the memory it needs", memory, explains=DOWN),
    Check("RMQ-009", "The service has the time it needs to start", start_time, explains=DOWN),
    Check("RMQ-005", "The service may open enough files, and not too many", open_files, explains=DOWN),
    Check("RMQ-004", "The service starts when the machine boots", disabled),
    Check("RMQ-008", "The service is as new as its configuration", outdated),
    Check(SERVICE_FAILS, "The service comes up", failing, explains=("RMQ-002", "RMQ-080", "RMQ-082")),
    Check(SERVICE_STOPPED, "The service runs", stopped, explains=("RMQ-080", "RMQ-082")),
)
