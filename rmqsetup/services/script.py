"""No service manager, and a node below a prefix of its own: started by its own script, found by its home."""

from __future__ import annotations

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services.nodes import STOP, ByHand, function

_NODES = "prefix=$1\n" + function('*beam*"-home $prefix/var/lib/rabbitmq "*')

# epmd stays behind every node; it refuses to go while another is registered with it.
_STOP = f"""{_NODES}{STOP}PATH="$1/erlang/bin:$PATH" epmd -kill >/dev/null 2>&1 || :"""


class Scripted(ByHand):
    """A node whose name is its prefix. Stopped in order by SIGTERM."""

    def show(self, name: str) -> Command:
        """Look for the node's process."""
        return Command(("sh", "-c", f"{_NODES}date +now=%s\nnodes", "sh", name))

    def start(self, name: str) -> Command:
        """Start the node by its own script, and do not wait."""
        return Command((f"{name}/bin/rabbitmq-server", "-detached"), timeout=60)

    def stop(self, name: str) -> Command:
        """Ask the node to end, wait for it, and let epmd go where nobody else needs it."""
        return Command(("sh", "-c", _STOP, "sh", name), timeout=120)

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say what would not go, and where the node's own words are."""
        hint = f"rmqsetup verify shows how far the node came; its log is in {name}/var/log/rabbitmq"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)
