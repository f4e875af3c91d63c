"""What an administrator has changed in the broker's unit of systemd, by drop-ins or a unit of their own.

Limits and what the unit names belong to `service`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.cures import Directive, copied, directives, packaged, uncopied
from rmqsetup.checks.erlang import root
from rmqsetup.checks.scene import Scene
from rmqsetup.host import Command
from rmqsetup.probes.unit import Phase
from rmqsetup.redaction import redacted

ON = r"(?i)yes|true|on|1"
CLOSED = {
    "PrivateNetwork": (ON, "nobody outside can reach the broker, and it finds no epmd"),
    "RestrictAddressFamilies": (r"^(?!.*AF_INET\b)(?!~)(?!$).*", "it cannot listen on any address"),
    "IPAddressDeny": (r"any|.*(?:localhost|127\.|0\.0\.0\.0/0).*", "its connections are dropped"),
    "ProtectSystem": (r"strict", "it cannot write its data"),
    "ReadOnlyPaths": (r".*/(?:var(?:/lib|/log)?(?:/rabbitmq)?)?(?:\s.*|$)", "it cannot write its data or logs"),
    "InaccessiblePaths": (r".*/(?:var|usr|etc)\b.*", "it cannot see its own files"),
    "RootDirectory": (r"/.+", "its program is not in there"),
    "RootImage": (r"/.+", "its program is not in there"),
    "DynamicUser": (ON, "it does not own its data"),
    "PrivateUsers": (ON, "it does not own its data"),
    "SystemCallFilter": (r"(?!~)(?!$)(?!.*@system-service).*", "Erlang may not call what it needs of the kernel"),
    "LimitNPROC": (r"\d{1,2}", "Erlang cannot start its threads"),
    "LimitFSIZE": (r"\d{1,7}", "it cannot write files of a useful size"),
    "LimitDATA": (r"\d{1,8}", "Erlang gets no memory"),
    "LimitSTACK": (r"\d{1,5}", "Erlang's threads get no stack"),
    "LimitCPU": (r"\d{1,5}", "it is killed (SIGXCPU) once it has used so many seconds of the processor"),
    "NoExecPaths": (r".*/(?:usr(?:/lib)?|bin|lib)?(?:\s.*|$)", "it cannot execute its own programs"),
    "WatchdogSec": (r"(?!0\w*$|infinity).+", "a node never tells systemd that it lives, and is killed for that"),
    "RuntimeMaxSec": (r"(?!infinity).+", "it is ended after that time"),
    "UMask": (r"0*[4-7]\d\d", "it cannot use the files that it makes itself"),
    "SocketBindDeny": (r"any|.*\b(?:5672|25672)\b.*", "it cannot listen on its ports"),
    "TimeoutStopSec": (r"[1-9](?:s|sec)?", "it is killed at each stop, before it has written what it has to"),
    "CPUQuota": (r"[0-9](?:\.\d+)?%", "it takes minutes to boot"),
}
"""Directives that take from the service what it needs: for which values, and what then happens."""

ALLOWED = {"ProtectSystem": "ReadWritePaths", "NoExecPaths": "ExecPaths"}
"""What takes the edge off a directive."""

_BROKEN = re.compile(r"not found|cannot be preloaded|file too short|invalid ELF|error while loading")

AMOUNT = r"(?:infinity|[\d.]+[KMGTPE%]?\w*)?(?::(?:infinity|[\d.]+[KMGTPE]?))?"
SECTIONS = ("Unit", "Service", "Install")
HARMLESS = ("LimitNOFILE", "Description", "Documentation", "Wants", "After", "Before", "WantedBy", "RestartSec")
"""What is changed often, and never keeps a service from starting."""


def account(scene: Scene) -> Iterator[Diagnosis]:
    """The service runs as the user that its package made, to whom its files belong."""
    if (path := copied(scene)) and not scene.unit_property("User"):
        yield error(
            "RMQ-132",
            f"the service is to run as root, and not as {scene.layout.user}",
            evidence=(f"{path}: no User= in the unit that stands before the package's",),
            cause=f"the broker's files belong to {scene.layout.user}, and what root writes it cannot use afterwards",
            hint=f"move {path} away, and put what is to be other into a drop-in: systemctl edit {scene.layout.service}",
            fix=uncopied(scene),
        )
    wrong = _last(scene, "User", "Group")
    groups = {line.partition(":")[0] for line in scene.text("/etc/group").splitlines()}
    for each in wrong:
        is_lost = each.name == "Group" and each.value not in groups and not each.value.isdigit()
        if each.value in ("", scene.layout.user) or not (each.name == "User" or is_lost):
            continue
        yield error(
            "RMQ-132",
            f"the service is to run as the {each.name.lower()} {each.value}, and not as {scene.layout.user}",
            evidence=(each.place,),
            cause="there is no such group" if is_lost else f"the broker's files belong to {scene.layout.user}",
            hint=f"take the line out of {each.file}, then: systemctl daemon-reload",
            fix=packaged(scene, "User", "Group"),
        )
        return


def closed(scene: Scene) -> Iterator[Diagnosis]:
    """Nothing that confines the service takes from it what a broker needs: network, files, threads, system calls."""
    for each in _last(scene, *CLOSED):
        pattern, what = CLOSED[each.name]
        if not re.fullmatch(pattern, each.value) or _is_allowed(scene, each):
            continue
        yield error(
            "RMQ-133",
            f"the unit confines the service: {each.name}={each.value}",
            evidence=(each.place,),
            cause=what,
            hint=f"take the line out of {each.file}, then: systemctl daemon-reload && systemctl restart "
            f"{scene.layout.service}",
            fix=packaged(scene, each.name),
        )


def _is_allowed(scene: Scene, each: Directive) -> bool:
    """Tell whether another directive takes the edge off one: of a system that is read-only, it has to name the data."""
    others = _last(scene, ALLOWED.get(each.name, "-"))
    if each.name != "ProtectSystem":
        return bool(others)
    words = (word.lstrip("-+").rstrip("/") for other in others for word in other.value.split())
    return any(f"{scene.layout.data}/".startswith(f"{word}/") for word in words)


def needs(scene: Scene) -> Iterator[Diagnosis]:
    """What the unit requires is there and works, and its conditions hold.

    Else systemd starts nothing, and says so only to who asks for the start.
    """
    unit = scene.unit
    if unit is None or unit.phase in (Phase.ACTIVE, Phase.STARTING):
        return
    for each in _local(scene):
        names = each.value.split() if each.name in ("Requires", "Requisite", "BindsTo") else []
        for name in names:
            shown = scene.run("systemctl", "show", "-p", "ActiveState,LoadState", name).stdout
            if "LoadState=loaded" not in shown or "ActiveState=failed" in shown:
                what = "has failed" if "LoadState=loaded" in shown else "does not exist"
                yield _needed(scene, each, f"the service requires {name}, which {what}")
        if re.match(r"Condition|Assert", each.name) and each.value and not _holds(scene, each):
            yield _needed(scene, each, f"the service starts only under a condition that does not hold: {each.value}")


def program(scene: Scene) -> Iterator[Diagnosis]:
    """The unit starts the broker's own program, in the way in which that tells systemd that it is ready."""
    unit = scene.unit
    if unit is None:
        return
    starts = [each for each in _local(scene) if each.name == "ExecStart"]
    kind = next(iter(_last(scene, "Type")), None)
    odd = [each for each in starts if each.value and not re.search(r"/rabbitmq-server\b", each.value)]
    if unit.load in ("bad-setting", "error"):
        odd = odd or starts
    if kind and kind.value not in ("notify", "notify-reload"):
        odd.append(kind)
    if odd or unit.load in ("bad-setting", "error"):
        yield error(
            "RMQ-134",
            "the unit does not start the broker as its package does",
            evidence=tuple(each.place for each in odd) or (f"{unit.words}; LoadState={unit.load}",),
            hint=f"take the lines out; systemd-analyze verify {scene.layout.service}.service says more",
            fix=packaged(scene, *dict.fromkeys(each.name for each in odd)) if odd else (),
        )


def ignored(scene: Scene) -> Iterator[Diagnosis]:
    """Systemd reads every drop-in, and every line of them.

    It passes over files that do not end in .conf, and over lines before the first section or in one it does not know:
    the limit that is set there does not count.
    """
    folder = f"/etc/systemd/system/{scene.layout.service}.service.d"
    for name in scene.names(folder) if scene.unit is not None else ():
        if not name.endswith((".conf", ".wants", ".requires")) and "[" in scene.text(f"{folder}/{name}"):
            hint = f"mv {folder}/{name} {folder}/{name}.conf && systemctl daemon-reload"
            yield warning("RMQ-135", f"systemd does not read {folder}/{name}", evidence=(name,), hint=hint)
    for each in _local(scene):
        if re.match(r"Limit|TasksMax$|Memory(?:Max|High)$", each.name) and not re.fullmatch(AMOUNT, each.value):
            yield warning(
                "RMQ-135",
                f"systemd passes over a line that is no amount: {each.raw.strip()}",
                evidence=(each.place,),
                hint=f"correct {each.file}, line {each.line}, then: systemctl daemon-reload",
                fix=packaged(scene, each.name),
            )
        if each.section not in SECTIONS and not each.section.startswith("X-"):
            where = f"in a section [{each.section}]" if each.section else "before any section"
            yield warning(
                "RMQ-135",
                f"systemd passes over a line {where}: {redacted(each.raw.strip())}",
                evidence=(each.place,),
                hint=f"write [Service] above it in {each.file}, then: systemctl daemon-reload",
            )
            return


def variables(scene: Scene) -> Iterator[Diagnosis]:
    """The environment that the unit hands to the node is one in which it starts, and in which it is found."""
    for each in _local(scene):
        if each.name != "Environment":
            continue
        for name, value in re.findall(r"\b([A-Z][A-Z0-9_]*)=([^\"'\s]*)", each.value):
            what = _misleads(scene, name, value)
            if what:
                yield (warning if "cannot be preloaded" in what else error)(
                    "RMQ-136",
                    f"the unit sets {name} to {value or 'nothing'}: {what}",
                    evidence=(each.place,),
                    hint=f"take it out of {each.file}, then: systemctl daemon-reload",
                    fix=packaged(scene, "Environment"),
                )


def changed(scene: Scene) -> Iterator[Diagnosis]:
    """The service fails, nothing tells why, and its unit is not the one of its package.

    Asked only then. What was changed is the first thing to look at.
    """
    found = [each for each in _local(scene) if each.value and each.name not in HARMLESS]
    if not found or not scene.fails:
        return
    yield error(
        "RMQ-137",
        "the service fails, and its unit was changed on this machine",
        evidence=tuple(each.place for each in found[:6]),
        cause="one of these lines may be why: nothing else was found",
        hint=f"systemctl revert {scene.layout.service} takes all of them back",
        fix=packaged(scene, *dict.fromkeys(each.name for each in found)),
    )


def _local(scene: Scene) -> tuple[Directive, ...]:
    if scene.unit is None:
        return ()
    return tuple(each for each in directives(scene) if each.local)


def _last(scene: Scene, *names: str) -> tuple[Directive, ...]:
    """Return what counts of each directive: of all who set it, the last."""
    if scene.unit is None:
        return ()
    last = {each.name: each for each in directives(scene) if each.name in names and each.section == "Service"}
    return tuple(each for each in last.values() if each.local)


def _holds(scene: Scene, each: Directive) -> bool:
    """Tell whether a condition holds, as far as systemd itself says: it has tried, and it did not."""
    said = scene.run("systemctl", "show", "-p", "ConditionResult,AssertResult", scene.layout.service).stdout
    path = each.value.lstrip("|!")
    if re.match(r"(?:Condition|Assert)Path", each.name) and path.startswith("/"):
        return (scene.host.peek(path) is not None) != each.value.lstrip("|").startswith("!")
    kind = "Condition" if each.name.startswith("Condition") else "Assert"
    return f"{kind}Result=no" not in said


def _needed(scene: Scene, each: Directive, summary: str) -> Diagnosis:
    return error(
        "RMQ-138",
        summary,
        evidence=(each.place,),
        hint=f"put right what it needs, or take the line out of {each.file} and: systemctl daemon-reload",
        fix=packaged(scene, each.name),
    )


def _misleads(scene: Scene, name: str, value: str) -> str:
    """Say what a variable does to the node, where it surely does harm."""
    if name == "HOME" and value.rstrip("/") != scene.layout.data:
        return f"the node looks for its cookie there, and not in {scene.layout.data}"
    if name == "ERL_EPMD_PORT" and value != str(scene.address.epmd_port):
        return f"everybody else looks for the node at epmd's port {scene.address.epmd_port}"
    if name in ("LD_PRELOAD", "LD_LIBRARY_PATH") and (said := _linked(scene, name, value)):
        return said
    if name == "PATH" and not any("erl" in scene.names(folder) for folder in value.split(":")):
        return "there is no Erlang on that path"
    return _hides(scene, name, value)


def _linked(scene: Scene, name: str, value: str) -> str:
    """Say what a variable of the dynamic linker breaks: Erlang's cryptography, which every node loads, is linked."""
    library = next(
        (
            f"{root(scene)}/lib/{each}/priv/lib/crypto.so"
            for each in scene.names(f"{root(scene)}/lib")
            if each.startswith("crypto-")
        ),
        "",
    )
    command = Command(("ldd", library), env=((name, value),), timeout=5.0)
    answer = scene.host.run(command) if library else None
    said = f"{answer.stdout}\n{answer.stderr}" if answer else ""
    return next((line.strip()[:160] for line in said.splitlines() if _BROKEN.search(line)), "")


def _hides(scene: Scene, name: str, value: str) -> str:
    """Say from whom a variable of RabbitMQ's own hides the node, or which file from the node."""
    if name == "RABBITMQ_NODENAME":
        mine, its = scene.address.name.split("@"), value.split("@")
        return f"the commands of RabbitMQ look for {scene.address.name}" if mine[: len(its)] != its else ""
    is_path = re.fullmatch(r"RABBITMQ_(?:CONFIG_FILE|ADVANCED_CONFIG_FILE|ENABLED_PLUGINS_FILE|MNESIA_BASE)", name)
    return "which is not there" if is_path and value.startswith("/") and scene.host.peek(value) is None else ""


CHECKS = (
    Check(
        "RMQ-132",
        "The service runs as the user of its package",
        account,
        explains=(*DOWN, "RMQ-007", "RMQ-050", "RMQ-053", "RMQ-054", "RMQ-069", "RMQ-070"),
    ),
    Check(
        "RMQ-133", "Nothing confines the service too much", closed, explains=(*DOWN, "RMQ-042", "RMQ-053", "RMQ-054")
    ),
    Check("RMQ-138", "What the unit requires is there", needs, explains=DOWN),
    Check("RMQ-134", "The unit starts the broker's own program", program, explains=(*DOWN, "RMQ-010")),
    Check(
        "RMQ-136",
        "The unit hands no misleading variable to the node",
        variables,
        explains=(*DOWN, "RMQ-042", "RMQ-065"),
    ),
    Check("RMQ-135", "Systemd reads every line of the drop-ins", ignored),
    Check("RMQ-137", "A unit that fails is the one of its package", changed, explains=DOWN, slow=True),
)
