"""No service manager at all: a container whose PID 1 is not an init. The node is started as its own user."""

from __future__ import annotations

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import OPEN_FILES
from rmqsetup.services.nodes import STOP, ByHand, function

_NODES = function("*beam*")

_START = f"""for kind in S H; do
    most=$(ulimit -"$kind"n)
    [ "$most" != unlimited ] && [ "$most" -le {OPEN_FILES} ] || ulimit -"$kind"n {OPEN_FILES}
done
exec "$1" -detached"""


class Unmanaged(ByHand):
    """Whatever node there is: one per container. Stopped by SIGTERM, at which it shuts down in order."""

    def show(self, name: str) -> Command:  # noqa: ARG002 - one node per container
        """Look for the node's process."""
        return Command(("sh", "-c", f"{_NODES}nodes"))

    def start(self, name: str) -> Command:
        """Start the node detached; the package's own script changes to the user rabbitmq.

        `OPEN_FILES` is the most it may have open; a lower limit is left alone.
        """
        return Command(("sh", "-c", _START, "sh", name), timeout=60)

    def stop(self, name: str) -> Command:  # noqa: ARG002
        """Ask the node to end, and wait for it."""
        return Command(("sh", "-c", _NODES + STOP), timeout=120)

    def explain(self, name: str, result: Result) -> RmqsetupError:  # noqa: ARG002
        """Say what would not go, and where the node's own words are."""
        hint = "rmqsetup verify shows how far the node came; its log is in /var/log/rabbitmq"
        return BrokerNotReadyError(f"{result.command} failed", cause=result.tail(), hint=hint)
