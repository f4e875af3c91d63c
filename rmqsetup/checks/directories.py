"""The folders of data and logs: whose they are, whether they can be written, what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath

from rmqsetup.catalog import load
from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.access import unusable
from rmqsetup.checks.cures import ASIDE, aside, blank
from rmqsetup.checks.scene import Scene
from rmqsetup.host import Kind
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.epmd import Registered
from rmqsetup.probes.wire import ProbeError
from rmqsetup.steps import Step
from rmqsetup.steps.access import Access, Right
from rmqsetup.steps.folder import Folder

MANY = 2000
"""So many paths of a tree with the wrong owner are mended at once; they fit into one command line."""

_SHOWN = "%u\\t%g\\t%m\\t%y\\t%p\\0"
"""A row for each path, ended by what no name can hold: the broker's user makes names there, and root acts on rows."""


def data(scene: Scene) -> Iterator[Diagnosis]:
    """Everything below the data directory can be read and written by the user that runs the node.

    A restore, a copy or a command run as root leaves files that belong to root; the node does not start on them, or
    loses what it cannot write.
    """
    home = scene.layout.data
    if scene.host.peek(home) is None and not scene.layout.prefix:
        if not scene.installed:
            return
        yield error(
            "RMQ-053",
            f"the data directory {home} is missing",
            evidence=(f"{home}: no such directory",),
            cause="systemd cannot go there to start the node (200/CHDIR)",
            hint=f"put it back, or make an empty one: install -d -o {scene.user} -g {scene.user} -m 755 {home}",
            fix=_made(scene, home, 0o755),
        )
        return
    if scene.root and unusable(scene, (home,)):
        yield from _closed(scene, home)
        return
    found = tuple(_owned(scene, "RMQ-053", scene.data, "the data directory"))
    yield from found or _locked(scene, "RMQ-053", "the data", scene.data, own_data(scene))


def logs(scene: Scene) -> Iterator[Diagnosis]:
    """The node can write its logs: systemd cannot start it without the folder, and it ends without its own log."""
    folder = scene.layout.logs
    if not scene.installed or scene.layout.prefix:
        return
    standing = scene.host.peek(folder)
    if standing is None:
        yield error(
            "RMQ-054",
            f"the log directory {folder} is missing",
            evidence=(f"{folder}: no such directory",),
            cause="systemd sends the output of the service there, and starts nothing without it (209/STDOUT)",
            hint=f"install -d -o {scene.user} -g {scene.user} -m 750 {folder} && systemctl restart rabbitmq-server",
            fix=_made(scene, folder, 0o750),
            safe=True,
        )
        return
    own = f"{scene.address.name}.log"
    names = ("-name", own) if standing.kind is Kind.FOLDER else ()
    found = tuple(_owned(scene, "RMQ-054", folder, "the log directory", *names))
    yield from found or _locked(scene, "RMQ-054", "the logs", folder, (folder, f"{folder}/{own}"))


def read_only(scene: Scene) -> Iterator[Diagnosis]:
    """The file system of the data, or of the logs, is mounted read-only."""
    mounts = _mounts(scene.text("/proc/self/mounts") or scene.text("/proc/mounts"))
    places = (("data", f"{scene.data}/{scene.address.name}"), ("data", scene.layout.data), ("logs", scene.layout.logs))
    told = set[str]()
    for what, path in places:
        above = [mount for mount in mounts if path == mount[0] or path.startswith(f"{mount[0].rstrip('/')}/")]
        last = max(enumerate(above), key=lambda each: (len(each[1][0]), each[0]), default=(0, ("", "")))[1]
        if scene.installed and "ro" in last[1].split(",") and what not in told:
            told.add(what)
            yield error(
                "RMQ-055",
                f"the {what} of the broker are on a file system that is mounted read-only",
                evidence=(f"/proc/mounts: {last[0]} {last[1]}",),
                hint=f"find out why (dmesg), then: mount -o remount,rw {last[0]}",
            )


def unmounted(scene: Scene) -> Iterator[Diagnosis]:
    """What `/etc/fstab` mounts where the data or the logs are is mounted.

    The folder below a file system that is missing is empty: the node starts blank there, or waits for the disk.
    """
    mounts = {place for place, _ in _mounts(scene.text("/proc/self/mounts") or scene.text("/proc/mounts"))}
    rows = [line.split() for line in scene.text("/etc/fstab").splitlines() if not line.lstrip().startswith("#")]
    for what, path in (("data", f"{scene.data}/{scene.address.name}"), ("logs", scene.layout.logs)):
        for row in (row for row in rows if len(row) > 3 and "noauto" not in row[3].split(",") and mounts):
            place = row[1].replace("\\040", " ").rstrip("/")
            above = place and f"{path}/".startswith(f"{place}/")
            if not scene.installed or not above or place in mounts:
                continue
            yield error(
                "RMQ-153",
                f"the {what} of the broker are to be on {row[0]}, which is not mounted on {place}",
                evidence=(f"/etc/fstab: {' '.join(row)}", f"/proc/mounts has nothing on {place}"),
                cause="the disk is missing, or could not be mounted; what is in that folder now is on another one",
                hint=f"systemctl stop rabbitmq-server; mount {place}, which says why not; then start it again",
            )
            return


def foreign(scene: Scene) -> Iterator[Diagnosis]:
    """There are data of a node with another name, which the node of today's name does not use.

    A node's data belong to its name, which contains the name of the host. After the host was renamed the broker
    starts empty; its queues, users and messages are in the folder of the old name.
    """
    own = scene.address.name
    known = {f"{each.name}@{own.partition('@')[2]}" for each in _registered(scene)}
    others = [name for name in scene.names(scene.data) if "@" in name and _is_data(scene, name)]
    strangers = [name for name in others if name != own and name not in known]
    if strangers and scene.installed:
        yield warning(
            "RMQ-056",
            f"there are data of {strangers[0]}, and the node is called {own}",
            evidence=tuple(f"{scene.data}/{name}" for name in strangers),
            cause="the host, or the node, was renamed: a node only ever uses the data of its own name",
            hint=f"give the host its old name back (hostnamectl), or set NODENAME={strangers[0]} in "
            f"{scene.layout.environment}; if those data are not needed, move {scene.data}/{strangers[0]} away",
            links=(f"{DOCS}/relocate",),
            fix=tuple(aside(scene, f"{scene.data}/{name}") for name in scene.names(scene.data) if _of(strangers, name)),
        )


def flags(scene: Scene) -> Iterator[Diagnosis]:
    """The list of feature flags that are on can be read as the Erlang term it is."""
    path = _flags_file(scene)
    file = scene.file(path)
    if file is None or file.content is None:
        return
    try:
        terms = consult(file.text)
        why = "" if terms and isinstance(terms[0], list) else "there is no list in it"
    except ConsultError as fault:
        why = str(fault)
    if why:
        yield error(
            "RMQ-057",
            "the node's list of feature flags is damaged",
            evidence=(f"{path}: {why}",),
            hint="put the file back from a backup of the data directory; the cure lets the node start blank",
            fix=blank(scene),
        )


def needed_flags(scene: Scene) -> Iterator[Diagnosis]:
    """The data have every feature flag that the installed release needs.

    A release refuses data on which it misses a flag of its predecessors: that is what an upgrade over several
    series at once runs into.
    """
    path = _flags_file(scene)
    enabled = set(re.findall(r"[a-z][\w.]*", scene.text(path)))
    series = load().series_named(".".join(scene.version.split(".")[:2]))
    missing = sorted(set(series.needs_flags) - enabled) if series and enabled else []
    if missing:
        yield error(
            "RMQ-058",
            f"RabbitMQ {scene.version} needs feature flags that are off: {', '.join(missing[:3])}",
            evidence=(f"{path}: {', '.join(sorted(enabled)[:6])}",),
            cause="these data come from an older RabbitMQ, from which no single upgrade leads here",
            hint="install the series the data come from again, run rabbitmqctl enable_feature_flag all there, and go "
            "on series by series; the cure lets the node start blank",
            links=(f"{DOCS}/feature-flags", f"{DOCS}/upgrade"),
            fix=blank(scene),
        )


def torn(scene: Scene) -> Iterator[Diagnosis]:
    """The files in which the node keeps its metadata and its logs of Raft are whole at their beginnings.

    They end up torn after a full disk, a crash of the machine, or a copy of a running node.
    """
    if scene.is_well:
        return
    home = f"{scene.data}/{scene.address.name}"
    schema = scene.file(f"{home}/schema.DAT")
    content = schema.content if schema else None
    tables = [name for name in scene.names(home) if name.endswith(".DCD")]
    # A boot that failed has "repaired" what was torn into a table that lacks most of it.
    emptied = content is not None and scene.fails and int.from_bytes(content[32:36], "big") < len(tables)
    if content is not None and (emptied or not _is_dets(content)):
        yield _damaged(scene, "the table of metadata (schema.DAT)", f"{home}/schema.DAT: {len(content)} bytes")
    for name in ("cluster_nodes.config", "nodes_running_at_shutdown", "rabbit_serial"):
        state = scene.file(f"{home}/{name}")
        if state is not None and state.content is not None and not _is_list(state.text):
            yield _damaged(scene, f"the file {name}", f"{home}/{name}: {state.text[:60]!r}")
    listed = scene.run("find", home, "-maxdepth", "4", "-name", "*.wal", "-size", "+0", timeout=5).stdout.splitlines()
    for path in listed[:20]:
        head = scene.run("head", "-c", "5", path).stdout
        if not re.match(r"RAWA[\x01-\x09]", head):
            yield _damaged(scene, "the write-ahead log of Raft", f"{path}: begins with {head!r}")


def _damaged(scene: Scene, what: str, evidence: str) -> Diagnosis:
    return error(
        "RMQ-059",
        f"{what} of the node is damaged",
        evidence=(evidence,),
        hint="keep a copy of the data directory; then restore it from a backup, or let the node join its cluster anew",
        links=(f"{DOCS}/backup",),
        fix=blank(scene),
    )


def _is_list(text: str) -> bool:
    """Tell whether a text holds an Erlang term."""
    try:
        return bool(consult(text))
    except ConsultError:
        return False


def _made(scene: Scene, folder: str, mode: int) -> tuple[Step, ...]:
    """Make a folder for the user of the node, where there is that user."""
    spare = aside(scene, folder).to
    return (Folder(folder, spare, scene.user, scene.user, mode), *scene.started) if scene.has_user else ()


def _of(nodes: list[str], name: str) -> bool:
    """Tell whether a name in the folder of data is the data of one of some nodes, or its list of feature flags."""
    return name in nodes or name.removesuffix("-feature_flags") in nodes


def _is_dets(content: bytes) -> bool:
    """Tell whether bytes are a whole table of Erlang's dets: its cookie, and no pointer behind its end."""
    if len(content) < 16 or content[4:8] != b"\0\xab\xcd\xef":
        return False
    return int.from_bytes(content[:4], "big") <= len(content)


def own_data(scene: Scene) -> tuple[str, ...]:
    """Return what the node writes first: its folder with what is in there, and its list of feature flags."""
    home = f"{scene.data}/{scene.address.name}"
    return (scene.data, home, f"{home}-feature_flags", *(f"{home}/{name}" for name in scene.names(home)))


def _locked(scene: Scene, check: str, what: str, folder: str, paths: tuple[str, ...]) -> Iterator[Diagnosis]:
    """Find what the node cannot write although its owner and mode are right. Asked where it does not run.

    A read-only file system has a check of its own.
    """
    if scene.is_well or not scene.root or not scene.has_user or any(read_only(scene)):
        return
    standing = tuple(path for path in paths if scene.host.peek(path) is not None)
    refused = unusable(scene, standing)
    if refused:
        yield error(
            check,
            f"{what} cannot be written by {scene.user}, and owner and mode are right",
            evidence=tuple(f"{path}: test -w says no" for path in refused[:3]),
            cause="a file that is immutable (chattr +i), an ACL, or a security module forbids it",
            hint=f"lsattr -d {refused[0]}; getfacl {refused[0]}; chattr -R -i {folder} takes the attribute away",
        )


def _closed(scene: Scene, home: str) -> Iterator[Diagnosis]:
    """Report the home of the data, in which the node makes what it lacks, as one that is closed to its user."""
    row = scene.run("stat", "-c", "%U\t%G\t%a", home).stdout.strip().split("\t")
    seen = f"owner {row[0]}:{row[1]}, mode {row[2]}" if len(row) == 3 else "not to be looked at"
    rights = (_right(scene.user, [row[0], row[1], row[2], "d", home]),) if len(row) == 3 else ()
    yield error(
        "RMQ-053",
        f"the data directory {home} cannot be used by {scene.user}, who runs the broker",
        evidence=(f"{home}: {seen}",),
        hint=f"chown {scene.user}: {home} && chmod 755 {home}",
        fix=(Access(rights), *scene.started) if rights else (),
        safe=True,
    )


def _owned(scene: Scene, check: str, folder: str, what: str, *names: str) -> Iterator[Diagnosis]:
    """Find what the user of the node cannot use below a folder; with `names`, only the folder and those in it."""
    if not scene.has_user:
        return
    odd = [row for row in _odd(scene, folder, *names) if names or _is_own(scene, row[4])]
    if scene.root and odd:  # a group or an ACL may open what its owner and mode seem to close
        refused = unusable(scene, tuple(row[4] for row in odd[:MANY]))
        odd = [row for row in odd if row[4] in refused or (refused and len(odd) > MANY)]
    if not odd:
        return
    user = scene.user
    rights = tuple(_right(user, row) for row in odd)
    yield error(
        check,
        f"{what} cannot be used by {user}, who runs the broker",
        evidence=tuple(f"{path}: owner {owner}:{group}, mode {mode}" for owner, group, mode, _, path in odd[:3]),
        cause=f"{len(odd)} paths belong to somebody else, or are closed to their owner",
        hint=f"chown -R {user}: {folder if names or _is_own(scene, folder) else f'{folder}/{scene.address.name}*'}",
        fix=(Access(rights), *scene.started) if len(odd) <= MANY else (),
        safe=True,
    )


def _is_own(scene: Scene, path: str) -> bool:
    """Tell whether a path is of the node's data: below the packages' folder all is, elsewhere what has its name."""
    if f"{normpath(path)}/".startswith(f"{scene.layout.data}/"):
        return True
    rest = path.removeprefix(f"{scene.data}/{scene.address.name}")
    return rest != path and rest[:1] in ("", "/", "-", ".")


def _odd(scene: Scene, folder: str, *names: str) -> list[list[str]]:
    user = scene.user
    folders, files = ("-type", "d", "!", "-perm", "-u=rwx"), ("-type", "f", "!", "-perm", "-u=rw")
    closed = ("(", "!", "-user", user, "-o", *folders, "-o", *files, ")")
    depth = ("-maxdepth", "1", "(", "-path", folder, "-o", *names, ")") if names else ()
    asked = ("find", folder, "-xdev", *depth, "(", "-type", "d", "-o", "-type", "f", ")", *closed, "-printf", _SHOWN)
    return [row for line in scene.run(*asked).stdout.split("\0") if len(row := line.split("\t", 4)) == 5]


def _right(user: str, row: list[str]) -> Right:
    _, group, mode, kind, path = row
    return Right(path, user, user if group == "root" else group, int(mode, 8) | (0o700 if kind == "d" else 0o600))


def _mounts(text: str) -> list[tuple[str, str]]:
    rows = [line.split() for line in text.splitlines()]
    return [(row[1].replace("\\040", " "), row[3]) for row in rows if len(row) > 3]


def _is_data(scene: Scene, name: str) -> bool:
    if re.search(r"-plugins-expand$|-feature_flags$|\.pid$", name) or ASIDE in name:
        return False
    inside = scene.names(f"{scene.data}/{name}")
    return any(entry in inside for entry in ("msg_stores", "schema.DAT", "coordination", "quorum"))


def _flags_file(scene: Scene) -> str:
    return f"{scene.data}/{scene.address.name}-feature_flags"


def _registered(scene: Scene) -> tuple[Registered, ...]:
    try:
        return tuple(scene.registered)
    except ProbeError:
        return ()


CHECKS = (
    Check(
        "RMQ-055", "Data and logs are not on a read-only file system", read_only, explains=(*DOWN, "RMQ-053", "RMQ-054")
    ),
    Check(
        "RMQ-153",
        "The disks of the data and logs are mounted",
        unmounted,
        explains=(*DOWN, "RMQ-053", "RMQ-054", "RMQ-056", "RMQ-130"),
    ),
    Check("RMQ-053", "The data can be used by the broker's user", data, explains=(*DOWN, "RMQ-057", "RMQ-059")),
    Check("RMQ-054", "The logs can be written by the broker's user", logs, explains=DOWN),
    Check("RMQ-057", "The list of feature flags is whole", flags, explains=(*DOWN, "RMQ-058")),
    Check("RMQ-058", "The data have the feature flags that the release needs", needed_flags, explains=DOWN),
    Check("RMQ-059", "The node's metadata and Raft logs are whole", torn, explains=DOWN),
    Check("RMQ-056", "All data belong to the node's name", foreign),
)
