"""rmqsetup turns a fresh machine into a verified RabbitMQ broker."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
