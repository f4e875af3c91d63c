"""Settings of a right kind that cannot be meant so: amounts in another unit, and settings without those they need.

Form and kind belong to `configuration`; limits that are reached to `limits`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.cures import again, without
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting


@dataclass(frozen=True, slots=True)
class Range:
    """What a setting may sensibly be, what happens outside of it, and whether that shuts everybody out.

    `special` are values below the least that mean something else.
    """

    least: float
    most: float
    what: str
    special: tuple[str, ...] = ()
    fatal: bool = False


PERMISSIONS = tuple(f"default_permissions.{what}" for what in ("configure", "write", "read"))
NEEDS = {
    ("cluster_partition_handling", "pause_if_all_down"): (
        "cluster_partition_handling.pause_if_all_down.nodes.$name",
        "cluster_partition_handling.pause_if_all_down.recover",
    ),
    ("definitions.import_backend", "https"): ("definitions.https.url",),
    **{("definitions.import_backend", name): ("definitions.local.path",) for name in ("local_filesystem", "local")},
    **{(key, ""): PERMISSIONS for key in PERMISSIONS},
}
"""What a setting of that value, or of any, needs; $ stands for any name."""

FOREVER = float("inf")
RANGES = {
    "handshake_timeout": Range(
        1000, FOREVER, "it is in milliseconds: no client gets through its login in so few", fatal=True
    ),
    "frame_max": Range(4096, FOREVER, "AMQP 0-9-1 has no smaller frames, and clients refuse it", ("0",), fatal=True),
    "connection_max": Range(1, FOREVER, "nobody may connect", fatal=True),
    "channel_max_per_node": Range(1, FOREVER, "nobody may open a channel", fatal=True),
    "num_acceptors.tcp": Range(1, FOREVER, "nobody takes connections, and the node does not start", fatal=True),
    "num_acceptors.ssl": Range(1, FOREVER, "nobody takes connections, and the node does not start", fatal=True),
    "heartbeat": Range(5, 1800, "it is in seconds: so few cut off clients that are busy, so many find none", ("0",)),
    "channel_max": Range(4, FOREVER, "clients open several channels on a connection", ("0",)),
    "consumer_timeout": Range(60_000, FOREVER, "it is in milliseconds: consumers are cut off while they work", ("0",)),
    "max_message_size": Range(1024, FOREVER, "it is in bytes: messages are refused"),
    "net_ticktime": Range(5, 3600, "it is in seconds: nodes take each other for dead, or never do"),
    "tcp_listen_options.backlog": Range(8, FOREVER, "connections that come at once are refused"),
}
"""By RabbitMQ's guides to heartbeats, consumers and networking; its own defaults are well inside each."""


def sensible(scene: Scene) -> Iterator[Diagnosis]:
    """Amounts are in the unit that their setting has: milliseconds are not taken for seconds, bytes for megabytes.

    The node starts with them, and its clients are cut off, or never get in.
    """
    last = {each.key: each for each in scene.configured if each.key in RANGES}
    for setting in last.values():
        its = RANGES[setting.key]
        if setting.value in its.special or not _is_beyond(setting, its):
            continue
        yield (error if its.fatal else warning)(
            "RMQ-162",
            f"{setting.key} is {setting.value}, which hardly anybody means",
            evidence=(setting.place,),
            cause=its.what,
            hint=f"correct {setting.file}, line {setting.line}, or take it out: the default is sensible",
            links=(f"{DOCS}/configure",),
            fix=again(scene, setting),
        )


def companions(scene: Scene) -> Iterator[Diagnosis]:
    """Settings come with those that they need; the node does not start with one of them alone."""
    for setting in scene.settings:
        needed = NEEDS.get((setting.key, setting.value)) or NEEDS.get((setting.key, ""), ())
        lacking = next((each for each in needed if not _is_set(scene, each)), "")
        if setting.key in ("log.syslog.host", "log.syslog.ip") and scene.setting("log.syslog") != "true":
            lacking = "log.syslog = true"
        if lacking:
            yield error(
                "RMQ-168",
                f"{setting.key} needs {lacking} beside it, which is not set",
                evidence=(setting.place,),
                cause="the node cannot make a configuration of the one without the other, and does not start",
                hint=f"set {lacking}, or take the line out: {setting.file}, line {setting.line}",
                links=(f"{DOCS}/configure",),
                fix=without(scene, setting),
            )


def _is_set(scene: Scene, key: str) -> bool:
    start = key.partition("$")[0]
    return any(each.key == key or (start != key and each.key.startswith(start)) for each in scene.settings)


def _is_beyond(setting: Setting, its: Range) -> bool:
    return setting.value.isdigit() and not its.least <= int(setting.value) <= its.most


CHECKS = (
    Check("RMQ-168", "Settings come with those that they need", companions, explains=DOWN),
    Check("RMQ-162", "Amounts are in the unit of their setting", sensible, explains=(*DOWN, "RMQ-104", "RMQ-110")),
)
