"""dpkg itself: its records, its configuration, and the files that it was told to put elsewhere.

Which packages there are belongs to `packages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.cures import disabled
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.steps.file import File, sha256

_NAMES = ("passwd", "group")


def options(scene: Scene) -> Iterator[Diagnosis]:
    """Dpkg knows every option of its configuration: with one that it does not, no package can be changed at all.

    It says so itself, with the file and the line.
    """
    if scene.facts.manager != "apt":
        return
    answer = scene.run("dpkg", "--print-architecture")
    said = next((line for line in answer.stderr.splitlines() if line.startswith("dpkg: error: ")), "")
    wrong = None if answer.ok or not said else _told_wrong(scene, said)
    if wrong is None:
        return
    fault = said.rpartition(": ")[2]
    yield error(
        "RMQ-172",
        f"dpkg cannot read its own configuration: {fault}",
        evidence=(wrong.place, said),
        cause="as long as that is so, apt and dpkg cannot install, upgrade or remove anything",
        hint=f"correct {wrong.file}, line {wrong.line}, or take it out",
        fix=disabled((wrong,)),
    )


def _told_wrong(scene: Scene, said: str) -> Setting | None:
    """Return the line that dpkg complains of, by its place or, where it does not say that, by the word it quotes."""
    folder = "/etc/dpkg/dpkg.cfg.d"
    lines = [
        Setting("", "", path, number, line)
        for path in ("/etc/dpkg/dpkg.cfg", *(f"{folder}/{name}" for name in scene.names(folder)))
        for number, line in enumerate(scene.text(path).splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    word = re.search(r"'([^']+)'", said)
    placed = (each for each in lines if f"{each.file}:{each.line}:" in said)
    quoted = (each for each in lines if word and word[1] in each.raw)
    return next(placed, None) or next(quoted, None)


def database(scene: Scene) -> Iterator[Diagnosis]:
    """Dpkg's own records are there, and name users that exist: without them no package can be changed at all."""
    if scene.facts.manager != "apt":
        return
    names = scene.names("/var/lib/dpkg")
    forgotten = not scene.installed and scene.server and scene.text("/var/lib/dpkg/status") == ""
    if names and ("status" not in names or forgotten):
        yield error(
            "RMQ-151",
            "dpkg's list of installed packages is lost",
            evidence=(f"/var/lib/dpkg/status: {'empty' if 'status' in names else 'no such file'}",),
            hint="cp /var/lib/dpkg/status-old /var/lib/dpkg/status; older ones are in /var/backups",
        )
    elif names and not scene.installed and scene.server:
        answer = scene.run("dpkg-query", "-W", "dpkg")
        if not answer.ok and "/var/lib/dpkg/" in answer.stderr:
            yield error(
                "RMQ-151",
                "dpkg cannot read its list of installed packages",
                evidence=tuple(answer.stderr.strip().splitlines()[:2]),
                cause="the file was cut, or written over: as long as that is so, no package can be changed",
                hint="put a whole one there: /var/lib/dpkg/status-old is the one before, /var/backups has older ones",
            )
    path = "/var/lib/dpkg/statoverride"
    users, groups = ({line.partition(":")[0] for line in scene.text(f"/etc/{name}").splitlines()} for name in _NAMES)
    lines = scene.text(path).splitlines(keepends=True)
    lost = [line for line in lines if len(row := line.split()) == 4 and not _knows(row[0], users, row[1], groups)]
    state = scene.file(path)
    if lost and users and groups and state is not None:
        rest = "".join(line for line in lines if line not in lost).encode()
        yield error(
            "RMQ-151",
            f"dpkg is to give files to {lost[0].split()[0]}:{lost[0].split()[1]}, whom this machine does not know",
            evidence=(f"{path}: {lost[0].strip()}",),
            cause="dpkg refuses every change of packages as long as such a line is there",
            hint=f"dpkg-statoverride --remove {lost[0].split()[-1]}, or make that user again",
            fix=(File(path, rest, state.mode, state.owner, state.group, expect=(sha256(state.content or b""),)),),
        )


def _knows(user: str, users: set[str], group: str, groups: set[str]) -> bool:
    return (user in users or user.startswith("#")) and (group in groups or group.startswith("#"))


def diverted(scene: Scene) -> Iterator[Diagnosis]:
    """No file of RabbitMQ's or Erlang's is diverted by hand: dpkg then puts it, at every upgrade, elsewhere.

    `dpkg-divert` without a package is an administrator's. A reinstallation does not bring the file back.
    """
    lines = scene.text("/var/lib/dpkg/diversions").splitlines() if scene.facts.manager == "apt" else []
    for path, to, who in zip(lines[::3], lines[1::3], lines[2::3], strict=False):
        if who != ":" or not re.search(r"/(?:lib/(?:rabbitmq|erlang)|s?bin/(?:rabbitmq|erl|epmd))", path):
            continue
        gone = scene.host.peek(path) is None
        yield (error if gone else warning)(
            "RMQ-154",
            f"{path} is diverted: dpkg puts it at {to}" + (", and nothing is in its place" if gone else ""),
            evidence=(f"/var/lib/dpkg/diversions: {path} to {to}, by an administrator",),
            cause="somebody diverted it (dpkg-divert); installing its package anew does not bring it back",
            hint=f"dpkg-divert --rename --remove {path}",
        )


CHECKS = (
    Check(
        "RMQ-172",
        "dpkg can read its own configuration",
        options,
        explains=("RMQ-012", "RMQ-014", "RMQ-022", "RMQ-151", "RMQ-152"),
    ),
    Check("RMQ-151", "dpkg's own records are whole", database, explains=("RMQ-012", "RMQ-014", "RMQ-022", "RMQ-152")),
    Check(
        "RMQ-154",
        "No file of RabbitMQ's or Erlang's is diverted",
        diverted,
        explains=(*DOWN, "RMQ-010", "RMQ-015", "RMQ-062", "RMQ-064", "RMQ-065"),
    ),
)
