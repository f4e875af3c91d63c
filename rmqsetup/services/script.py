"""No service manager, and a node below a prefix of its own: started by its own script, found by its home."""

from __future__ import annotations

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import ServiceState

# The words are split, so that this shell's own command line does not look like a node's.
_FIND = """for process in /proc/[0-9]*; do
    words=$(tr '\\0' ' ' 2>/dev/null <"$process/cmdline") || continue
    case $words in *beam*"-home $1/var/lib/rabbitmq "*"-s rab""bit boot "*) @FOUND@ ;; esac
done"""

_SHOW = _FIND.replace("@FOUND@", 'echo "${process#/proc/} $(stat -c %Y "$process")"')

# epmd stays behind every node; it refuses to go while another is registered with it.
_STOP = f"""pids=
{_FIND.replace("@FOUND@", 'pids="$pids ${process#/proc/}"')}
[ -n "$pids" ] || exit 0
kill -TERM $pids
while kill -0 $pids 2>/dev/null; do sleep 0.1; done
PATH="$1/erlang/bin:$PATH" epmd -kill >/dev/null 2>&1 || :"""


class Scripted:
    """A node found in /proc; its name is the prefix. Started detached, stopped by SIGTERM, which it takes in order."""

    def show(self, name: str) -> Command:
        """Look for the node's process."""
        return Command(("sh", "-c", _SHOW, "sh", name))

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
        """Start the node by its own script, and do not wait."""
        return Command((f"{name}/bin/rabbitmq-server", "-detached"), timeout=60)

    def restart(self, name: str) -> tuple[Command, ...]:
        """Stop, then start."""
        return (self.stop(name), self.start(name))

    def stop(self, name: str) -> Command:
        """Ask the node to end, wait for it, and let epmd go where nobody else needs it."""
        return Command(("sh", "-c", _STOP, "sh", name), timeout=120)

    def enable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def disable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def log(self, name: str) -> Command:
        """Ask for the tail of the node's log."""
        return Command(("sh", "-c", 'tail -qn 20 "$1"/var/log/rabbitmq/*.log', "sh", name), timeout=15)

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say what would not go, and where the node's own words are."""
        hint = f"rmqsetup verify shows how far the node came; its log is in {name}/var/log/rabbitmq"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)
