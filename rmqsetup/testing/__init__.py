"""Throwaway brokers for tests: `with broker(plugins=[...]) as b:`, and the fixtures of `rmqsetup.testing.plugin`.

What they are made of belongs to `rmqsetup.broker`. Nothing is imported before a broker is asked for: this module is
imported by every run of pytest on the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from typing import Any, TypedDict

    from typing_extensions import Unpack

    from rmqsetup.broker.throwaway import Broker

    class Wished(TypedDict, total=False):
        """What can be wished of a broker."""

        version: str
        source: str
        bundle: str | PathLike[str]
        plugins: str | Sequence[str]
        nodes: int
        definitions: str | PathLike[str] | dict[str, Any]
        config: dict[str, Any]
        tls: bool
        username: str
        password: str
        vhost: str
        port: int
        ports: str
        timeout: float
        keep: bool


__all__ = ["broker"]


def broker(**wished: Unpack[Wished]) -> Broker:
    """Start a broker, and return it when it has carried a message; it ends with the `with` it is used in.

    `version` is a series (4.2) or a release; `source` says where its programs come from (distro, archive; auto), or
    `bundle` the file of `rmqsetup cache export` that holds them; `plugins` names; `nodes` more than one for a cluster;
    `definitions` the path of a file, or a dict of what it would hold; `config` lines of rabbitmq.conf by name; `tls`
    has it listen with certificates of its own as well; `username`, `password`, `vhost`, `port` are those of its
    address, and what is not given of ports is chosen among `ports` (20000-29999); `timeout` in seconds; with `keep` its
    folder stays. Raises `UsageError`, `UnsupportedError`, `NetworkError`, `BrokerNotReadyError`.
    """
    from rmqsetup.broker import supplier
    from rmqsetup.testing.wishing import wish

    made = wish(**wished)
    return supplier.broker(made.wish, made.origin)
