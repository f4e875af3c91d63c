"""Nodes among the processes of a machine: in /proc, or as `ps` tells them where there is none."""

from __future__ import annotations

import re

from rmqsetup.host import Command
from rmqsetup.services import ServiceState

_FUNCTION = """nodes() {
    if [ -d /proc/self ]; then
        for words in $(grep -al beam /proc/[0-9]*/cmdline 2>/dev/null); do
            process=${words%/cmdline}
            words=$(tr '\\0' ' ' 2>/dev/null <"$process/cmdline") || continue
            case $words in @BEAM@*"-s rab""bit boot "*)
                echo "process ${process#/proc/} since $(stat -c %Y "$process")" ;;
            esac
        done
    else
        ps -axww -o pid= -o etime= -o command= | while read -r pid age words; do
            case $words in @BEAM@*"-s rab""bit boot "*) echo "process $pid for $age" ;; esac
        done
    fi
}
"""

STOP = """ended() {
    if [ -d /proc/self ]; then [ -z "$(tr -d '\\0' 2>/dev/null <"/proc/$1/cmdline")" ]
    else ! kill -0 "$1" 2>/dev/null
    fi
}
pids=$(nodes | cut -d " " -f 2)
[ -n "$pids" ] || exit 0
kill -TERM $pids
for pid in $pids; do
    until ended "$pid"; do sleep 0.1; done
done
"""
"""Ask the nodes to end, and wait for them.

Where PID 1 reaps nobody an ended node stays as a zombie: one that has no command line any more.
"""


class ByHand:
    """A node that nothing looks after: found among the processes, started by us, and never by anything at boot."""

    def parse(self, text: str) -> ServiceState:
        """Read which process there is."""
        began = since(text)
        found = re.search(r"^process (\d+) ", text, re.MULTILINE)
        words = f"process {found[1]}" if found and began is not None else "no process"
        return ServiceState(known=True, running=began is not None, enabled=None, since=began or 0.0, words=words)

    def reload(self) -> tuple[Command, ...]:
        """Do nothing: there are no definitions."""
        return ()

    def forget(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody remembers."""
        return ()

    def start(self, name: str) -> Command:
        """Start the node detached from us."""
        raise NotImplementedError

    def stop(self, name: str) -> Command:
        """Ask the node to end, and wait for it."""
        raise NotImplementedError

    def restart(self, name: str) -> tuple[Command, ...]:
        """Stop, then start."""
        return (self.stop(name), self.start(name))

    def enable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def disable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()


def function(beam: str) -> str:
    """Return the shell function `nodes`: a line for each node whose command line begins as `beam` says.

    That is a pattern of `case`. The words are split, so that the shell's own command line does not look like a node's.
    """
    return _FUNCTION.replace("@BEAM@", beam)


def since(text: str) -> float | None:
    """Return when the first node that was told began, in seconds since the epoch; None where there is none.

    Where it is told by its age the text says `now=` as well.
    """
    if match := re.search(r"^process \d+ since (\d{1,12})$", text, re.MULTILINE | re.ASCII):
        return float(match[1])
    now = re.search(r"^now=(\d{1,12})$", text, re.MULTILINE | re.ASCII)
    age = re.search(r"^process \d+ for +(?:(\d{1,6})-)?(?:(\d\d):)?(\d\d):(\d\d)$", text, re.MULTILINE | re.ASCII)
    if not now or not age:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in age.groups())
    return float(now[1]) - (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
