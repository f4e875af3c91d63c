"""Say which way from an installed release to another RabbitMQ supports.

Which hops there are is in `catalog`; what to do on a way of several belongs to whoever asks.
"""

from __future__ import annotations

from rmqsetup.catalog import Catalog
from rmqsetup.errors import UnsupportedError


def passed(here: str, there: str, catalog: Catalog) -> str:
    """Return in words that one hop leads from a release to another, both as upstream writes them.

    Raises `UnsupportedError` where none does, with the first hop of the way if there is a way.
    """
    if catalog.can_upgrade(rabbitmq=here, to=there):
        return f"RabbitMQ {here} is installed now"
    keep = "keep the installed series, or uninstall first (the data are kept aside)"
    hops = catalog.hops(rabbitmq=here, to=there)
    if len(hops) < 2:
        raise UnsupportedError(
            f"RabbitMQ {here} cannot become {there}",
            cause="no supported upgrade leads there, and a node never starts on the data of a newer release",
            hint=keep,
        )
    row = catalog.series_named(hops[0])
    first = row.upgrades_from_release if row and len(hops) == 2 else hops[1]
    raise UnsupportedError(
        f"RabbitMQ {here} cannot become {there} in one step",
        cause=f"RabbitMQ goes from series to series: {' → '.join(hops)}",
        hint=f"go to {first} first: --rabbitmq {first}; or {keep}",
    )
