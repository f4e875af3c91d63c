"""What the node writes into its log: not nothing, and not everything.

Whether it can write there at all belongs to `directories` and `values`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, Check, Diagnosis, warning
from rmqsetup.checks.cures import again
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting

LINKS = (f"{DOCS}/logging",)
OUTPUTS = ("console", "syslog", "journald", "exchange")
"""Where a log goes only when it is told to; to a file it goes unless it is told not to."""

MUTE = ("none", "critical", "alert", "emergency")
LEVELS = re.compile(r"log\.(?:\w+\.)?level")


def kept(scene: Scene) -> Iterator[Diagnosis]:
    """The node writes a log: somewhere, and more than its last words."""
    last = {each.key: each for each in scene.settings if each.key.startswith("log.")}
    elsewhere = any(_is_on(last, name) for name in OUTPUTS)
    keys = ("log.default.level", *(() if elsewhere else ("log.file", "log.file.level")))
    off = [last[key] for key in keys if key in last and last[key].value in (MUTE if "level" in key else ("false",))]
    if off:
        yield warning(
            "RMQ-170",
            f"the node writes no log, or next to nothing into it: {off[0].key} is {off[0].value}",
            evidence=tuple(each.place for each in off),
            cause="nobody learns from it why a client was refused, or why the node ended",
            hint=f"take the line out: {off[0].file}, line {off[0].line}",
            links=LINKS,
            fix=again(scene, *off),
        )


def talkative(scene: Scene) -> Iterator[Diagnosis]:
    """The log is not at the level debug, which is for a search for a fault: a busy node fills its disk with it."""
    last = {each.key: each for each in scene.settings if LEVELS.fullmatch(each.key)}
    loud = tuple(each for each in last.values() if each.value == "debug")
    if loud:
        yield warning(
            "RMQ-171",
            "the node writes everything it does into its log (debug)",
            evidence=tuple(each.place for each in loud),
            cause="somebody looked for a fault, and has not set it back; a busy node fills its disk",
            hint=f"set it to info, or take the line out: {loud[0].file}, line {loud[0].line}; "
            "until then: rabbitmqctl set_log_level info",
            links=LINKS,
            fix=again(scene, *loud),
        )


def _is_on(last: dict[str, Setting], name: str) -> bool:
    output, level = last.get(f"log.{name}"), last.get(f"log.{name}.level")
    return bool(output and output.value == "true" and not (level and level.value in MUTE))


CHECKS = (
    Check("RMQ-170", "The node writes a log", kept),
    Check("RMQ-171", "The log is not one of everything", talkative),
)
