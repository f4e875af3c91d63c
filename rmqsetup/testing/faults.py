"""Trouble for clients under test; the nodes of a broker have more of it: `kill_node`, `paused`, `restart`."""

from __future__ import annotations

from rmqsetup.broker.faults import alarm, close_connections, cut

__all__ = ["alarm", "close_connections", "cut"]
