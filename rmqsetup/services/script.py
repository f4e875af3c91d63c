"""No service manager, and a node below a prefix of its own: started by its own script, found by its home."""

from __future__ import annotations

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import ServiceState
from rmqsetup.services.nodes import function, since

_NODES = "prefix=$1\n" + function('*beam*"-home $prefix/var/lib/rabbitmq "*')

_SHOW = f"""{_NODES}date +now=%s
nodes"""

# epmd stays behind every node; it refuses to go while another is registered with it.
_STOP = f"""{_NODES}pids=$(nodes | cut -d " " -f 2)
[ -n "$pids" ] || exit 0
kill -TERM $pids
while kill -0 $pids 2>/dev/null; do sleep 0.1; done
PATH="$1/erlang/bin:$PATH" epmd -kill >/dev/null 2>&1 || :"""


class Scripted:
    """A node found among the processes; its name is the prefix. Started detached, and stopped in order by SIGTERM."""

    def show(self, name: str) -> Command:
        """Look for the node's process."""
        return Command(("sh", "-c", _SHOW, "sh", name))

    def parse(self, text: str) -> ServiceState:
        """Read which process there is."""
        began = since(text)
        words = "no process" if began is None else f"process {text.split('process ', 1)[1].split(maxsplit=1)[0]}"
        return ServiceState(known=True, running=began is not None, enabled=None, since=began or 0.0, words=words)

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

    def forget(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody remembers."""
        return ()

    def enable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def disable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody starts services here."""
        return ()

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say what would not go, and where the node's own words are."""
        hint = f"rmqsetup verify shows how far the node came; its log is in {name}/var/log/rabbitmq"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)
