"""Find the row of the distributions table that a machine belongs to, or say why it has none.

What the machine says of itself is read by `detect`.
"""

from __future__ import annotations

import re

from rmqsetup.catalog import tables
from rmqsetup.catalog.rows import Derivative, Distribution, OsRelease, Placement, Refusal, Tested

ANYWHERE = "run rmqsetup on Debian 13 or Ubuntu 24.04, or the broker in a container with one of them"
"""The hint of last resort."""


def place(os_release: OsRelease) -> Placement | Refusal:
    """Find the row a machine belongs to.

    A machine's own id is believed first, then UBUNTU_CODENAME and DEBIAN_CODENAME, which say outright what a
    system is made from. ID_LIKE alone says too little: Kali and Devuan are like Debian and cannot take its packages.
    """
    found = _own_row(os_release) or _derived(os_release) or _known_unsupported(os_release) or _stranger(os_release)
    if isinstance(found, Placement) and found.distribution.ended:
        return _ended(found, os_release)
    return found


def named_in(line: str) -> str:
    """Return the id of the system that a line is about, for one that tells no id of itself; empty for none."""
    words = re.findall(r"[a-z]+", line.lower())
    return next((word for word in words if any(word in row.ids for row in tables.unsupported())), "")


def _own_row(os_release: OsRelease) -> Placement | Refusal | None:
    """Place a system that is itself in the table, by codename, else by version."""
    rows = [row for row in tables.distributions() if row.family == os_release.id]
    if not rows:
        return None
    codename = os_release.codename or os_release.ubuntu_codename or _codename_in_words(os_release)
    for row in rows:
        if codename and row.codename == codename:
            return Placement(row, f"codename {codename}", warnings=_before_release(row, os_release))
    for row in rows:
        if _has_version(row, os_release):
            return Placement(row, f"VERSION_ID {os_release.version_id}")
    if len(rows) == 1:  # a rolling release, whose older snapshots name no codename
        return Placement(rows[0], f"ID {os_release.id}")
    return Refusal(
        f"{_title(os_release)} is not in the catalog: too old, or newer than this rmqsetup",
        f"update rmqsetup, or {ANYWHERE}",
    )


def _derived(os_release: OsRelease) -> Placement | Refusal | None:
    """Place a system that the table knows to be made from another."""
    made = next((row for row in tables.derivatives() if row.id == os_release.id), None)
    if made is None:
        return None
    for field in made.by:
        codename = dict(made.codenames).get(_field(os_release, field), _field(os_release, field))
        base = _with_codename(codename)
        if base:
            return _as_derivative(made, base, f"{field} {_field(os_release, field)}", os_release)
    for base in tables.distributions():
        if base.family == made.versions and _has_version(base, os_release):
            return _as_derivative(made, base, f"VERSION_ID {os_release.version_id}", os_release)
    return Refusal(
        f"what {_title(os_release)} is made from is not in the catalog",
        f"update rmqsetup, or {ANYWHERE}",
    )


def _has_version(row: Distribution, os_release: OsRelease) -> bool:
    """Whether os-release names the version of a row, or a minor one of it: 9.6 is of 9."""
    return bool(row.version) and f"{os_release.version_id}.".startswith(f"{row.version}.")


def _as_derivative(made: Derivative, base: Distribution, because: str, os_release: OsRelease) -> Placement:
    if made.own_packages:
        base = base._replace(name=made.name, repositories=(), note=made.note or base.note)
    warnings = (made.note,) if made.note else ()
    return Placement(base, because, derivative=os_release.pretty or made.name, warnings=warnings)


def _known_unsupported(os_release: OsRelease) -> Refusal | None:
    for row in tables.unsupported():
        platform = os_release.platform_id
        if os_release.id in row.ids or (platform and platform.startswith(row.platforms)):
            reason = f"{_title(os_release)} is not supported: {row.reason}"
            return Refusal(reason, row.hint, by_hand=row.by_hand)
    return None


def _stranger(os_release: OsRelease) -> Placement | Refusal:
    """Place a system nobody listed, if it says outright which release it is made from."""
    name = _title(os_release)
    for field in ("UBUNTU_CODENAME", "DEBIAN_CODENAME"):
        base = _with_codename(_field(os_release, field))
        if base:
            warning = f"{name} is not in the catalog; it says it is made from {base.name}, and is treated as that"
            return Placement(base, f"{field} {base.codename}", derivative=name, warnings=(warning,))
    base = _with_codename(os_release.codename)
    if base and base.family in os_release.id_like:
        warning = f"{name} is not in the catalog; by codename it is made from {base.name}, and is treated as that"
        return Placement(base, f"VERSION_CODENAME {base.codename}", derivative=name, warnings=(warning,))
    if not os_release.id:
        return Refusal("what this system is cannot be told: it has no /etc/os-release", ANYWHERE)
    return Refusal(f"{name} is not in the catalog of supported systems", ANYWHERE)


def _ended(placement: Placement, os_release: OsRelease) -> Refusal:
    row = placement.distribution
    living = [other for other in tables.distributions() if other.family == row.family and not other.ended]
    tried = next((other for other in living if other.tested is not Tested.NONE), living[0])
    better = next((other for other in living if other.repositories), tried)
    contained = "run the broker in a container with it" if better.rabbitmq or better.repositories else ANYWHERE
    own = f", its own RabbitMQ is {row.rabbitmq}" if row.rabbitmq else ""
    name = os_release.pretty or row.name
    return Refusal(
        f"{name} has had no security updates since {row.end_of_life}{own}",
        f"upgrade to {better.name}, or {contained}",
        row,
    )


def _before_release(row: Distribution, os_release: OsRelease) -> tuple[str, ...]:
    """Warn of a Debian that names a release's codename and no version: it was installed before that came out."""
    if not row.version or os_release.version_id:
        return ()
    return (f"this {row.name} is from before its release: bring it up to date",)


def _codename_in_words(os_release: OsRelease) -> str:
    """Return the codename out of `14.04.3 LTS, Trusty Tahr`, `8 (jessie)`, or of /etc/debian_version's `forky/sid`."""
    words = re.findall(r"[a-z]+", os_release.version.lower()) + os_release.debian_version.lower().split("/")
    return next((word for word in words if _with_codename(word)), "")


def _with_codename(codename: str) -> Distribution | None:
    return next((row for row in tables.distributions() if codename and row.codename == codename), None)


def _field(os_release: OsRelease, name: str) -> str:
    fields = {
        "UBUNTU_CODENAME": os_release.ubuntu_codename,
        "DEBIAN_CODENAME": os_release.debian_codename,
        "VERSION_CODENAME": os_release.codename,
    }
    return fields[name]


def _title(os_release: OsRelease) -> str:
    return os_release.pretty or os_release.name or os_release.id or "this system"
