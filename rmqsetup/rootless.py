"""Decide on the packages that a broker of a user's own is unpacked from: facts, request, catalog → resolution.

What apt offers is asked in `unpacked`; what follows on the machine is the same as of an archive: `prefix`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rmqsetup import archives, guard, pairing, unpacked
from rmqsetup.catalog import Catalog
from rmqsetup.errors import UnsupportedError
from rmqsetup.facts import Facts, Privilege
from rmqsetup.host import Host
from rmqsetup.managers.layout import of_archive
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.version import upstream


def resolve(facts: Facts, request: Request, catalog: Catalog, *, host: Host, cache: Path) -> Resolution:
    """Choose what is below the prefix where that grants the wish, else what apt offers, and have it fetched.

    Raises `UnsupportedError` when the wish is not to be had, and as `unpacked` does.
    """
    _refuse(facts)
    archives.refuse_service(facts, request)
    prefix = request.archive.prefix
    here = archives.installed(host, prefix)
    if here and request.rabbitmq.admits(here):
        erlang = archives.erlang_of(host, f"{prefix}/erlang/bin/erl")
        if erlang and request.erlang.admits(erlang):
            reason = f"RabbitMQ {here} is below {prefix} and grants the wish; nothing newer is fetched"
            return _resolution(facts, request, catalog, versions=(here, erlang), reasons=(reason,))
    offer = unpacked.offered(host, request.rabbitmq)
    rabbitmq, erlang = upstream(offer.rabbitmq), upstream(offer.erlang)
    if not request.erlang.admits(offer.erlang):
        raise UnsupportedError(
            f"apt offers Erlang {erlang} here, not {request.erlang}", hint="leave out --erlang, or take an archive"
        )
    passed = (guard.passed(here, rabbitmq, catalog),) if here else ()
    reason = f"apt offers RabbitMQ {offer.rabbitmq} and Erlang {offer.erlang}, of {' and '.join(offer.origins)}"
    found = _resolution(facts, request, catalog, versions=(rabbitmq, erlang), reasons=(reason, *passed))
    return replace(found, archives=unpacked.fetched(offer, host=host, cache=cache))


def _refuse(facts: Facts) -> None:
    if facts.privilege is Privilege.ROOT:
        raise UnsupportedError(
            "root has no need to unpack packages: it can install them",
            hint="rmqsetup install; or run it as the user whom the broker is to belong to",
        )
    if facts.manager != "apt":
        raise UnsupportedError(
            "only packages of apt are unpacked without root, and there is no apt here",
            hint="take an archive, which needs no root either: --source archive --prefix DIR",
        )


def _resolution(
    facts: Facts, request: Request, catalog: Catalog, *, versions: tuple[str, str], reasons: tuple[str, ...]
) -> Resolution:
    place = archives.placed(facts, catalog)
    verdict = pairing.judge(*versions)
    return Resolution(
        archives.row(facts, place),
        "user",
        *versions,
        packages=(),
        warnings=(*(place.warnings if place else ()), *pairing.warnings(verdict, own=True)),
        reasons=(*((place.because,) if place and place.because else ()), *reasons, verdict.reason),
        layout=of_archive(request.archive.prefix),
    )
