"""Whether a Homebrew's node has a process, and what its service manager says of it.

What systemd as PID 1 says is in `unit`; what the node itself says, in `node`.
"""

from __future__ import annotations

from rmqsetup.host import Host
from rmqsetup.managers.layout import Layout
from rmqsetup.probes.wire import ProbeError
from rmqsetup.services import service_manager

MANAGERS = ("brew", "detached")
"""The service managers of a prefix; a node of theirs that died is not started again by anybody."""


def state_in_words(host: Host, layout: Layout) -> str:
    """Return how a service is, in a line. Raises `ProbeError` where there is no process."""
    its = service_manager(layout.services, layout.prefix)
    result = host.run(its.show(layout.service))
    state = its.parse(result.stdout)
    if state.running:
        return f"{layout.service}: {state.words}"
    what = f"the service {layout.service} does not run" if state.known else f"there is no {layout.service} here"
    hint = f"{layout.prefix}/bin/brew services restart {layout.service}" if state.known else "rmqsetup install"
    raise ProbeError(what, cause=state.words, hint=hint)


def lives(host: Host, layout: Layout) -> bool:
    """Tell whether there is a process, without asking `brew services`, which takes a second."""
    its = service_manager("detached", layout.prefix)
    return its.parse(host.run(its.show(layout.service)).stdout).running
