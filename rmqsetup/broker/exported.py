"""What a broker looks like from outside: the variables that programs find it by.

How they are printed belongs to `show`.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from rmqsetup.broker.place import Lease

OURS = "RMQSETUP_BROKER"
"""The variable that names a broker of ours to our own pytest plugin, which can then make virtual hosts in it."""


def of_vhost(url: str, vhost: str) -> str:
    """Return the address of another virtual host of the same broker."""
    return urlsplit(url)._replace(path=f"/{quote(vhost, safe='')}").geturl()


def addresses(url: str) -> tuple[tuple[str, str], ...]:
    """Return names and values of what a URL says, as a whole and in parts."""
    parts = urlsplit(url)
    return (
        ("AMQP_URL", url),
        ("RABBITMQ_URL", url),
        ("RABBITMQ_HOST", parts.hostname or ""),
        ("RABBITMQ_PORT", str(parts.port or 5672)),
        ("RABBITMQ_USER", unquote(parts.username or "guest")),
        ("RABBITMQ_PASSWORD", unquote(parts.password or "guest")),
        ("RABBITMQ_VHOST", unquote(parts.path[1:]) or "/"),
    )


def variables(lease: Lease, vhost: str = "") -> tuple[tuple[str, str], ...]:
    """Return names and values, for a virtual host of its own if one is named.

    Those of what the broker does not have are left out.
    """
    url, *others = (of_vhost(each, vhost) if vhost else each for each in (lease.url, *lease.urls))
    amqps = of_vhost(lease.amqps_url, vhost) if vhost and lease.amqps_url else lease.amqps_url
    found = (
        *addresses(url),
        ("RABBITMQ_URLS", " ".join(others) if len(others) > 1 else ""),
        ("RABBITMQ_MANAGEMENT_URL", lease.management_url),
        ("AMQPS_URL", amqps),
        ("RABBITMQ_CA_FILE", lease.ca_file),
        (OURS, lease.name),
    )
    return tuple((name, value) for name, value in found if value)
