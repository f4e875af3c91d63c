"""No service manager at all: a container whose PID 1 is not an init. The node is started as its own user."""

from __future__ import annotations

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import OPEN_FILES, ServiceState

# The words are split, so that this shell's own command line does not look like a node's.
_FIND = """for process in /proc/[0-9]*; do
    words=$(tr '\\0' ' ' 2>/dev/null <"$process/cmdline") || continue
    case $words in *beam*"-s rab""bit boot "*) echo "${process#/proc/} $(stat -c %Y "$process")" ;; esac
done"""

_STOP = (
    _FIND.replace('echo "${process#/proc/} $(stat -c %Y "$process")"', 'pids="$pids ${process#/proc/}"')
    + """
[ -n "$pids" ] || exit 0
kill -TERM $pids
for pid in $pids; do
    while [ -n "$(tr -d '\\0' 2>/dev/null <"/proc/$pid/cmdline")" ]; do sleep 0.1; done
done"""
)
"""Where PID 1 reaps nobody an ended node stays as a zombie: one that has no command line any more."""


_START = f"""for kind in S H; do
    most=$(ulimit -"$kind"n)
    [ "$most" != unlimited ] && [ "$most" -le {OPEN_FILES} ] || ulimit -"$kind"n {OPEN_FILES}
done
exec "$1" -detached"""


class Unmanaged:
    """Processes found in /proc, started detached, stopped by SIGTERM (the node shuts down in order)."""

    def show(self, name: str) -> Command:  # noqa: ARG002 - one node per container
        """Look for the node's process."""
        return Command(("sh", "-c", _FIND))

    def parse(self, text: str) -> ServiceState:
        """Read `PID START` lines."""
        words = text.split()
        running = len(words) >= 2
        return ServiceState(
            known=True,
            running=running,
            enabled=None,
            since=float(words[1]) if running else 0.0,
            words=f"process {words[0]}" if running else "no process",
        )

    def reload(self) -> tuple[Command, ...]:
        """Do nothing: there are no definitions."""
        return ()

    def start(self, name: str) -> Command:
        """Start the node detached; the package's own script changes to the user rabbitmq.

        `OPEN_FILES` is the most it may have open; a lower limit is left alone.
        """
        return Command(("sh", "-c", _START, "sh", name), timeout=60)

    def restart(self, name: str) -> tuple[Command, ...]:
        """Stop, then start."""
        return (self.stop(name), self.start(name))

    def stop(self, name: str) -> Command:  # noqa: ARG002
        """Ask the node to end, and wait for it."""
        return Command(("sh", "-c", "pids=\n" + _STOP), timeout=120)

    def forget(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody remembers."""
        return ()

    def enable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def disable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def explain(self, name: str, result: Result) -> RmqsetupError:  # noqa: ARG002
        """Say what would not go, and where the node's own words are."""
        hint = "rmqsetup verify shows how far the node came; its log is in /var/log/rabbitmq"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)
