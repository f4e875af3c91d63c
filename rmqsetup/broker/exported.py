"""What a broker looks like from outside: the variables that programs find it by.

How they are printed belongs to `show`.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from rmqsetup.broker.place import Lease

OURS = "RMQSETUP_BROKER"
"""The variable that names a broker of ours to our own pytest plugin, which can then make virtual hosts in it."""


def variables(lease: Lease) -> tuple[tuple[str, str], ...]:
    """Return names and values; those of what the broker does not have are left out."""
    parts = urlsplit(lease.url)
    found = (
        ("AMQP_URL", lease.url),
        ("RABBITMQ_URL", lease.url),
        ("RABBITMQ_HOST", parts.hostname or ""),
        ("RABBITMQ_PORT", str(parts.port)),
        ("RABBITMQ_USER", unquote(parts.username or "")),
        ("RABBITMQ_PASSWORD", unquote(parts.password or "")),
        ("RABBITMQ_VHOST", unquote(parts.path[1:])),
        ("RABBITMQ_URLS", " ".join(lease.urls) if len(lease.urls) > 1 else ""),
        ("RABBITMQ_MANAGEMENT_URL", lease.management_url),
        ("AMQPS_URL", lease.amqps_url),
        ("RABBITMQ_CA_FILE", lease.ca_file),
        (OURS, lease.name),
    )
    return tuple((name, value) for name, value in found if value)
