"""The machine below the broker: its name and the node's, disk, memory, clock."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.cures import disabled, without
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.host import NOT_FOUND

DISK_LIMIT = 50_000_000
"""Below so much free space a node blocks its publishers, unless `disk_free_limit` says otherwise."""

FULL = 4_000_000
"""Below so much free space nothing can be written that matters."""

LITTLE_MEMORY = 128 * 1024**2
LITTLE_CONTAINER = 256 * 1024**2
SKEW = 3600.0
AUDIT = "/var/log/audit/audit.log"
_REFUSED = re.compile(r"avc: +denied .*\bcomm=\"(?:beam\.smp|epmd|erl\w*|rabbitmq[\w-]*)\"")
"""A refusal of SELinux's, as the kernel writes it, of a program of the broker's."""

LINKS = (f"{DOCS}/clustering#hostname-resolution-requirement",)


def name_known(scene: Scene) -> Iterator[Diagnosis]:
    """The host part of the node's name is known, unless it is the machine's own.

    Erlang looks it up when the node starts. A machine that does not know itself takes the loopback; a foreign name
    that leads nowhere is fatal.
    """
    name, _, part = scene.address.name.partition("@")
    own = scene.text("/proc/sys/kernel/hostname").strip()
    if not scene.installed or not part or part.partition(".")[0] == own.partition(".")[0]:
        return
    if leads_to(scene, part) != ():
        return
    yield error(
        "RMQ-030",
        f"the host of the node's name, {part}, cannot be resolved",
        evidence=tuple(filter(None, (_setting(scene), f"getent ahosts {part}: nothing"))),
        cause=f"this machine is called {own}, and no name service knows {part}",
        hint=f"put {part} into /etc/hosts with an address of this machine, or let NODENAME be {name}@{own}",
        links=LINKS,
        fix=without(scene, *_named_by(scene)) if _named_by(scene) else (),
    )


def name_ours(scene: Scene) -> Iterator[Diagnosis]:
    """The host part of the node's name leads to this very machine.

    The node registers with the epmd of the machine that its name leads to. Where that is another one, or none, it
    does not start.
    """
    part = scene.address.name.partition("@")[2]
    found = leads_to(scene, part) if scene.installed else None
    if found and scene.is_well and all(":" in address for address in found):
        return  # nodes look each other up in IPv4, and one that does not find itself there takes the loopback
    if not found or any(scene.has_address(address) for address in found):
        return
    lines = _lines_of(scene, part)
    misleading = [each for each in lines if not scene.has_address(each.raw.split()[0])]
    is_all = misleading and all(set(_names(each)) <= {part, part.partition(".")[0]} for each in misleading)
    yield error(
        "RMQ-031",
        f"the name {part} leads to {found[0]}, which is no address of this machine",
        evidence=(*(each.place for each in lines), f"getent ahosts {part}: {', '.join(found)}"),
        cause="the node looks for epmd there, and does not find it",
        hint=f"let {part} lead to an address of this machine in /etc/hosts, or to 127.0.1.1",
        links=LINKS,
        fix=without(scene, *misleading) if is_all else (),
    )


def name_form(scene: Scene) -> Iterator[Diagnosis]:
    """The node's name is a name and a host: short ones have no dot in the host part, long ones have one.

    Erlang refuses the other way round, and whatever else is no name.
    """
    host = scene.address.name.partition("@")[2]
    long = scene.variable("USE_LONGNAME").lower() in ("true", "1", "yes")
    if not scene.variable("NODENAME"):
        return
    if not re.fullmatch(r"[\w.-]+@[\w.-]+", scene.address.name):
        yield error(
            "RMQ-032",
            f"{scene.address.name!r} cannot be the name of a node",
            evidence=(_setting(scene),),
            cause="it has to be a name and a host, with @ between, of letters, digits, dots, dashes and underscores",
            hint="correct NODENAME, or take it out: the node is then rabbit@ and the name of the host",
            fix=without(scene, *_named_by(scene)),
        )
    elif "." in host and not long:
        yield error(
            "RMQ-032",
            f"the node has the long name {scene.address.name}, and is to use short ones",
            evidence=(_setting(scene),),
            hint="set USE_LONGNAME=true beside NODENAME, or take the domain off the name",
            fix=without(scene, *_named_by(scene)),
        )
    elif long and "." not in host:
        yield error(
            "RMQ-032",
            f"the node has the short name {scene.address.name}, and is to use long ones",
            evidence=(_setting(scene),),
            hint="give NODENAME the host's full name, or take USE_LONGNAME out",
            fix=without(scene, *(each for each in scene.environment if each.key == "USE_LONGNAME")),
        )


def disk(scene: Scene) -> Iterator[Diagnosis]:
    """There is room where the data and the logs are: a full disk stops publishers first, and then the node."""
    if not scene.installed:
        return
    for what, path in (("data", scene.layout.data), ("logs", scene.layout.logs)):
        answer = scene.run("df", "-B1", "--output=avail,iavail,itotal,target", path).stdout.splitlines()
        row = answer[1].split(None, 3) if len(answer) > 1 else []
        if len(row) < 4 or not row[0].isdigit():
            continue
        free, evidence = int(row[0]), (f"df {path}: {int(row[0]):,} bytes free on {row[3]}",)
        hint = f"make room on {row[3]}: du -xh {row[3]} | sort -h | tail shows what takes it"
        inodes_gone = row[1] == "0" and row[2] not in ("0", "-")
        if free < FULL or inodes_gone:
            lack = "no inode" if inodes_gone else "no space"
            yield error("RMQ-033", f"there is {lack} left for the {what} of the broker", evidence=evidence, hint=hint)
            return
        if what == "data" and free < DISK_LIMIT and not _has_disk_limit(scene):
            yield error(
                "RMQ-033",
                "so little space is left that the broker blocks its publishers",
                evidence=evidence,
                cause="the limit is 50 MB unless disk_free_limit says otherwise",
                hint=hint,
                links=(f"{DOCS}/disk-alarms",),
            )
            return


def memory(scene: Scene) -> Iterator[Diagnosis]:
    """There is memory to run in: what the machine has available, and what the container is allowed."""
    limit = scene.text("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit() and int(limit) < LITTLE_CONTAINER:
        yield warning(
            "RMQ-034",
            f"this container may use only {int(limit) // 1024**2} MB of memory",
            evidence=(f"/sys/fs/cgroup/memory.max: {limit}",),
            hint="give it at least 512 MB: docker run --memory 1g, or resources.limits.memory",
        )
    yield from _promised(scene)
    found = re.search(r"^MemAvailable: +(\d+) kB", scene.text("/proc/meminfo"), re.MULTILINE)
    if found and int(found[1]) * 1024 < LITTLE_MEMORY:
        yield warning(
            "RMQ-034",
            f"this machine has only {int(found[1]) // 1024} MB of memory to give",
            evidence=(found[0],),
            hint="see who takes it: ps -eo rss,comm --sort=-rss | head",
        )


def _promised(scene: Scene) -> Iterator[Diagnosis]:
    """Find a kernel that promises no memory it may not have, and has promised nearly all of it."""
    if scene.is_well or scene.text("/proc/sys/vm/overcommit_memory").strip() != "2":
        return
    told = dict(re.findall(r"^(CommitLimit|Committed_AS): +(\d+) kB", scene.text("/proc/meminfo"), re.MULTILINE))
    left = int(told.get("CommitLimit", 0)) - int(told.get("Committed_AS", 0))
    if told.get("Committed_AS") and left * 1024 < LITTLE_CONTAINER:
        yield error(
            "RMQ-034",
            f"the kernel has only {max(0, left) // 1024} MB of memory left to promise",
            evidence=("vm.overcommit_memory is 2", *(f"/proc/meminfo: {key}: {told[key]} kB" for key in told)),
            cause="it then promises no more than a share of what there is, and Erlang is refused what it asks for",
            hint="sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio, and the same in /etc/sysctl.d",
        )


def clock(scene: Scene) -> Iterator[Diagnosis]:
    """The clock is not behind what the machine itself has written.

    With a clock that is behind, signatures of repositories and certificates are not valid yet.
    """
    for path in ("/var/lib/dpkg/status", "/etc/passwd", "/etc/hostname"):
        file = scene.file(path)
        if file is not None and file.modified > scene.now + SKEW:
            yield warning(
                "RMQ-035",
                "the clock of this machine is behind: it has files from the future",
                evidence=(f"{path} is {(file.modified - scene.now) / 3600:.0f} hours younger than now",),
                hint="set the clock: timedatectl set-ntp true, or date -s",
            )
            return


def preloaded(scene: Scene) -> Iterator[Diagnosis]:
    """Every library that the linker is to put into each program of the machine is there, and is one.

    What `/etc/ld.so.preload` names is put into all of them; where it cannot be, each writes a complaint, which scripts
    take for an answer.
    """
    path = "/etc/ld.so.preload"
    for number, line in enumerate(scene.text(path).splitlines(), start=1):
        for library in line.partition("#")[0].replace(":", " ").split():
            state = scene.file(library) if library.startswith("/") and "$" not in library else None
            is_library = state is not None and (state.content is None or state.content.startswith(b"\x7fELF"))
            if is_library or not library.startswith("/") or "$" in library:
                continue
            yield warning(
                "RMQ-156",
                f"every program of this machine is to load {library}, which {'is no library' if state else 'is gone'}",
                evidence=(f"{path}:{number}: {line.strip()}",),
                cause="what brought it was removed, and the line was left",
                hint=f"take the line out of {path}",
                fix=disabled((Setting("", "", path, number, line),)),
            )


def guarded(scene: Scene) -> Iterator[Diagnosis]:
    """No security module refuses the broker what it needs: AppArmor by a profile, SELinux by the label of a file.

    Asked where the service fails and nothing tells why. SELinux writes each refusal into its audit log; with AppArmor
    it is enough that a profile for RabbitMQ's or Erlang's programs is enforced.
    """
    if not scene.installed or scene.is_well:
        return
    service = scene.layout.service
    rows = scene.text("/sys/kernel/security/apparmor/profiles").splitlines()
    profile = next((row for row in rows if re.search(r"(?:rabbitmq|beam\.smp|erl|epmd).*\(enforce\)$", row)), "")
    if profile:
        yield error(
            "RMQ-164",
            f"AppArmor confines the broker: {profile.rpartition(' ')[0]}",
            evidence=(f"/sys/kernel/security/apparmor/profiles: {profile}",),
            cause="what the profile does not name is refused, as to data or a port in another place",
            hint=f"aa-complain {profile.rpartition(' ')[0]}, then: systemctl restart {service}; the kernel's log "
            "(DENIED) says what it lacks",
        )
    is_enforced = scene.text("/sys/fs/selinux/enforce").strip() == "1"
    said = scene.run("tail", "-n", "500", AUDIT).stdout if is_enforced else ""
    refused = [line.strip() for line in said.splitlines() if _REFUSED.search(line)]
    if refused:
        yield error(
            "RMQ-164",
            "SELinux refuses the broker what it asks for",
            evidence=tuple(f"{AUDIT}: {line[:200]}" for line in refused[-2:]),
            cause="files in a place of their own have no label of RabbitMQ's, or a port has one of another program's",
            hint=f"restorecon -Rv {scene.layout.data} {scene.layout.logs} {scene.layout.config}; for another place: "
            "semanage fcontext, for another port: semanage port",
        )


def leads_to(scene: Scene, name: str) -> tuple[str, ...] | None:
    """Return the addresses of a name; None where this machine has nothing to ask with."""
    answer = scene.run("getent", "ahosts", name, timeout=4.0)
    if answer.exit_code == NOT_FOUND:
        return None
    return tuple(dict.fromkeys(line.split()[0] for line in answer.stdout.splitlines() if line.split()))


def _lines_of(scene: Scene, name: str) -> tuple[Setting, ...]:
    lines = enumerate(scene.text("/etc/hosts").splitlines(), start=1)
    found = (Setting("", "", "/etc/hosts", number, line) for number, line in lines)
    return tuple(each for each in found if name in _names(each))


def _names(line: Setting) -> list[str]:
    return line.raw.partition("#")[0].split()[1:]


def _named_by(scene: Scene) -> tuple[Setting, ...]:
    """Return what says how the node is called; without it that is as its data are, unless those are of a third name."""
    return tuple(each for each in scene.environment if each.key in ("NODENAME", "USE_LONGNAME"))


def _setting(scene: Scene) -> str:
    return next((each.place for each in scene.environment if each.key == "NODENAME"), "")


def _has_disk_limit(scene: Scene) -> bool:
    return any(each.key.startswith("disk_free_limit") for each in scene.settings)


CHECKS = (
    Check("RMQ-033", "There is room on the disk", disk, explains=(*DOWN, "RMQ-081", "RMQ-059")),
    Check("RMQ-032", "The node's name has the form it is to have", name_form, explains=(*DOWN, "RMQ-030", "RMQ-056")),
    Check("RMQ-030", "The host of the node's name is known", name_known, explains=(*DOWN, "RMQ-056")),
    Check("RMQ-031", "The host of the node's name is this machine", name_ours, explains=(*DOWN, "RMQ-042")),
    Check("RMQ-034", "There is memory to run in", memory, explains=DOWN),
    Check("RMQ-035", "The clock is right", clock),
    Check("RMQ-164", "No security module is in the broker's way", guarded, explains=DOWN, slow=True),
    Check("RMQ-156", "What every program is to load is there", preloaded),
)
