"""Whether there is a RabbitMQ here to look at, or where else it is: in a container of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rmqsetup.checks import DOCS, Check, Diagnosis, info
from rmqsetup.checks.scene import Scene
from rmqsetup.managers import State

NONE_HERE = "RMQ-100"
CONTAINED = """\
for words in $(grep -als "beam.s""mp" /proc/[0-9]*/cmdline); do
    process=${words%/cmdline}
    told=$(sed -n 's/^NSpid:[[:blank:]]*//p' "$process/status" 2>/dev/null)
    case $told in
        *[[:blank:]]*) tr '\\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q -e "-s rab""bit boot" || continue
            printf 'process %s\\n' "${process#/proc/}"
            printf 'host %s\\n' "$(cat "$process/root/etc/hostname" 2>/dev/null)"
            cat "$process/cgroup" ;;
    esac
done
"""
"""Nodes in another process namespace than ours: the kernel numbers them twice. What encloses them is in the name of
their control group, which every user may read. The words are split, so that no shell with this text looks like one."""

_RUNTIMES = (
    (r"(?:docker[-/])([0-9a-f]{12})[0-9a-f]{52}", "docker", "docker exec -it {id}"),
    (r"(?:libpod[-/])([0-9a-f]{12})[0-9a-f]{52}", "podman", "podman exec -it {id}"),
    (r"kubepods", "Kubernetes", "kubectl exec -it {host} --"),
    (r"(?:lxc\.payload\.|/lxc/)([\w.-]+)", "LXC", "lxc-attach -n {id} --"),
    (r"systemd-nspawn@([\w.-]+)\.service|machine-([\w.-]+)\.scope", "systemd-nspawn", "machinectl shell {id}"),
)
"""What container runtimes call their control groups, and how each runs a command in one."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A node in a container: its process as this machine numbers it, its host's name, what encloses it, the way in."""

    process: str
    host: str
    runtime: str
    enter: str

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.runtime}{f', host name {self.host}' if self.host else ''}: process {self.process}"


def installed(scene: Scene) -> Iterator[Diagnosis]:
    """A RabbitMQ is installed here. Without one, only what would stand in the way of installing it is looked at."""
    facts = scene.facts
    elsewhere = any(each.name == "rabbitmq" for each in facts.strays) or scene.is_registered or _enclosed(scene)
    package = facts.package("rabbitmq-server")
    packaged = package is not None and package.state is not State.CONFIGURATION
    if packaged or scene.installed or scene.server or _is_below(scene) or elsewhere:
        return
    known = sorted({scene.layout.config, scene.layout.data} & set(facts.directories))
    left = f"; of an earlier one there is still {' and '.join(known)}" if known else ""
    yield info(
        NONE_HERE,
        "no RabbitMQ is installed on this machine",
        evidence=(f"{facts.manager or 'no package manager'} has no {scene.layout.server} here{left}",),
        hint="rmqsetup install",
    )


def enclosed(scene: Scene) -> Iterator[Diagnosis]:
    """The broker runs on this machine itself, and not in a container of it, which the doctor cannot see into."""
    found = _enclosed(scene)
    if found:
        enter = found[0].enter
        yield info(
            "RMQ-114",
            f"RabbitMQ runs in {'a container' if len(found) == 1 else 'containers'} of this machine, and is not looked "
            "into from here",
            evidence=tuple(map(str, found[:4])),
            hint=f"look at it in there: {enter} rmqsetup doctor; where its image has no rmqsetup: {enter} "
            "rabbitmq-diagnostics check_running",
            links=(f"{DOCS}/monitoring#health-checks",),
        )


def named_by_chance(scene: Scene) -> Iterator[Diagnosis]:
    """The name of a node in a container is chosen, and not that of the container, which the next one does not have.

    A node keeps its data below its name. Docker and Podman name each container by chance: a new one with the same
    volume starts empty beside the data of the old.
    """
    container, hostname = scene.facts.container, scene.facts.hostname
    chance = container in ("docker", "podman") and re.fullmatch(r"[0-9a-f]{12}", hostname)
    if not (chance and scene.installed and scene.address.name.endswith(f"@{hostname}")):
        return
    kept = any(f" {place} " in scene.text("/proc/self/mounts") for place in (scene.layout.data, scene.data))
    where = "it is a volume" if kept else "it goes with this container"
    yield info(
        "RMQ-115",
        "the node is named after this container, whose name is chosen by chance",
        evidence=(f"{scene.address.name}; {scene.layout.data}: {where}",),
        cause="the next container has another name, and its node does not find the data of this one",
        hint=f"{container} run --hostname NAME --volume VOLUME:{scene.layout.data} …",
    )


def _is_below(scene: Scene) -> bool:
    """Tell whether it is one of an archive, which no package manager knows."""
    return bool(scene.layout.prefix) and not scene.layout.server


def _enclosed(scene: Scene) -> tuple[Enclosed, ...]:
    """Return the nodes in containers of this machine; looked for where it has none of its own."""
    if scene.installed or scene.server or _is_below(scene):
        return ()
    answer = scene.run("sh", "-c", CONTAINED)
    return tuple(map(_read, re.findall(r"^process [^\n]*\n(?:(?!process )[^\n]*\n?)*", answer.stdout, re.MULTILINE)))


def _read(told: str) -> Enclosed:
    process, host = told.split()[1], (re.search(r"^host ([\w.-]+)$", told, re.MULTILINE) or ("", ""))[1]
    for pattern, runtime, enter in _RUNTIMES:
        if found := re.search(pattern, told):
            name = next(filter(None, found.groups()), "") if found.groups() else ""
            return Enclosed(process, host, f"{runtime} {name}".strip(), enter.format(id=name, host=host or "POD"))
    return Enclosed(process, host, "a namespace of its own", f"nsenter --target {process} --all")


CHECKS = (
    Check(NONE_HERE, "A RabbitMQ is installed", installed),
    Check("RMQ-114", "The broker is not in a container that cannot be seen into", enclosed),
    Check("RMQ-115", "The node's name is not chosen by chance", named_by_chance),
)
