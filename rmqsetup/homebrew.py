"""Decide about Homebrew: whether it can be used, and whether what it has is what was asked for.

What it has is seen by `cellar`; there is nothing to choose, since a formula has one version.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqsetup import pairing
from rmqsetup.catalog import Catalog, Distribution, Refusal
from rmqsetup.errors import UnsupportedError
from rmqsetup.facts import Facts, Homebrew, Init, Privilege
from rmqsetup.managers import Package, State
from rmqsetup.managers.brew import Brew, released
from rmqsetup.managers.layout import FORMULA, SYSTEM, Layout, of_brew
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.version import Precision, Version, Wanted, upstream

INSTALLER = '/bin/bash -c "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)"'
"""What https://brew.sh says to type; it asks for things that are not ours to answer, so it is never run from here."""

ARCHIVE = "--source archive --prefix DIR"

_INTEL = "Homebrew's support for Intel processors is ending: from 2027 on this Mac gets no ready-made packages any more"
_OPEN = (
    "Homebrew's RabbitMQ enables management, STOMP, MQTT, AMQP 1.0 and streams, and only AMQP 0-9-1 listens to this "
    "machine alone: ports 15672, 61613, 1883 and 5552 are open to its network; --plugins says which you want"
)
_DETACHED = (
    "there is no session for brew services to put the broker in: it is started by itself, and does not come back "
    "at a login or boot"
)
_FILES = "the limit of open files is not set: it is that of the session that Homebrew starts the broker in"


_BUILT_IN = "4.4.25"
"""The Homebrew that brings `brew services` along, which was to be installed by itself before."""

_THERE = (State.INSTALLED, State.BROKEN)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A formula and its Erlang by their whole versions; of an Erlang that only its name tells, the major."""

    version: str
    erlang: str
    erlang_version: str
    installed: bool = False

    @property
    def rabbitmq(self) -> str:
        """The release of RabbitMQ."""
        return released(self.version)


def is_meant(facts: Facts, request: Request) -> bool:
    """Tell whether a request is for Homebrew: it says so, or the machine has nothing else."""
    return facts.init is Init.LAUNCHD or (
        facts.homebrew is not None and (request.source == "brew" or facts.manager == "brew")
    )


def remark(facts: Facts) -> str:
    """Return what to add to a hint where Homebrew stands beside a system that has no place."""
    return ", or take Homebrew's, which is here: --source brew" if facts.homebrew else ""


def missing(facts: Facts) -> UnsupportedError:
    """Say that there is no Homebrew, and what to type for one."""
    port = facts.package("rabbitmq-server") if facts.manager == "macports" else None
    tools = "xcode-select --install, then " if facts.init is Init.LAUNCHD else ""
    hint = f"in a terminal, type: {tools}{INSTALLER}\nthen run the same command again; or take the archive: {ARCHIVE}"
    if facts.manager != "macports":
        return UnsupportedError("Homebrew is not on this machine", hint=hint)
    there = f"; RabbitMQ {port.version.partition('_')[0]} of MacPorts is installed here" if port else ""
    return UnsupportedError(
        "MacPorts has no RabbitMQ to recommend",
        cause=f"its port is 3.11.15, years behind, and has no maintainer{there}",
        hint=hint,
    )


def resolve(facts: Facts, request: Request, catalog: Catalog) -> Resolution:
    """Take Homebrew's pair, if it is as wished.

    Raises `UnsupportedError` where Homebrew cannot be used or has something else, and what it says itself where it
    does not tell what it has.
    """
    row, because, warnings = _place(facts, catalog)
    brew = _usable(facts)
    _refuse_others(request, row)
    pair = _pair(brew)
    _compare(pair, request)
    verdict = pairing.judge(pair.rabbitmq, pair.erlang_version)
    hurting = pairing.hurting(verdict, request)
    if not verdict.boots or hurting:
        raise UnsupportedError(
            f"Homebrew's RabbitMQ {pair.rabbitmq} with Erlang {pair.erlang_version} does not do for this",
            cause=hurting or verdict.reason,
            hint="import the definitions into the running node: rabbitmqctl import_definitions FILE" if hurting else "",
        )
    words = f"RabbitMQ {pair.rabbitmq} is installed and grants the wish; nothing newer is fetched"
    own = "the formula decides which Erlang comes with it" if pair.erlang else ""
    return Resolution(
        row,
        "installed" if pair.installed else "brew",
        pair.rabbitmq,
        pair.erlang_version,
        (Package(FORMULA, pair.version if request.rabbitmq.precision is Precision.EXACT or pair.installed else ""),),
        origins=("homebrew/*",),
        warnings=(*warnings, *_warnings(facts, request, brew), *pairing.warnings(verdict, own=False)),
        reasons=(because, words if pair.installed else verdict.reason, own, *pairing.remarks(verdict)),
        layout=layout(brew),
    )


def layout(brew: Homebrew) -> Layout:
    """Return where the RabbitMQ of a Homebrew keeps its things."""
    keg, offer = brew.keg(FORMULA), [one.package for one in brew.candidates if one.package != FORMULA]
    erlang = keg.erlang if keg and keg.erlang else offer[0] if offer else "erlang"
    return of_brew(brew.prefix, home=brew.home, erlang=erlang, session=brew.session)


def _place(facts: Facts, catalog: Catalog) -> tuple[Distribution, str, tuple[str, ...]]:
    if facts.init is not Init.LAUNCHD:
        return catalog.homebrew, "Homebrew was asked for", ()
    place = catalog.place(facts.os)
    if isinstance(place, Refusal):
        raise UnsupportedError(place.reason, hint=place.hint)
    return place.distribution, place.because, place.warnings


def _usable(facts: Facts) -> Homebrew:
    """Return Homebrew, or say what keeps it from being used, and what to do about that."""
    brew = facts.homebrew
    if brew is None:
        raise missing(facts)
    owner = brew.owner or "the user who owns it"
    if facts.privilege is Privilege.ROOT:
        raise UnsupportedError(
            "Homebrew does not work as root",
            cause="it gives no rights away, and its services belong to a user",
            hint=f"run rmqsetup as {owner}, without sudo",
        )
    if not brew.writable:
        raise UnsupportedError(
            f"the Homebrew in {brew.prefix} is not {brew.user or 'ours'}'s to change",
            cause=f"it belongs to {owner}, and several users of one Homebrew are more than it supports",
            hint=f"run rmqsetup as {owner}",
        )
    if brew.translated:
        raise UnsupportedError(
            "this Python is one for Intel processors, and Homebrew does not work under Rosetta",
            hint="run rmqsetup with an arm64 Python, such as Homebrew's own: brew install python",
        )
    if not brew.tools and facts.architecture == "x86_64":
        raise UnsupportedError(
            "Homebrew needs Apple's Command Line Tools on an Intel processor",
            hint="in a terminal, type: xcode-select --install, then run the same command again",
        )
    return brew


def _refuse_others(request: Request, row: Distribution) -> None:
    if request.source not in ("auto", "brew"):
        who = {"team": "Team RabbitMQ's repository", "distro": f"{row.name} itself"}.get(request.source, "a mirror")
        raise UnsupportedError(
            f"there is no RabbitMQ for {row.name} from {who}", hint="leave out --source: it comes from Homebrew here"
        )


def _pair(brew: Homebrew) -> _Pair:
    keg = brew.keg(FORMULA)
    if keg:
        return _Pair(keg.version, keg.erlang, keg.erlang_version, installed=True)
    offer = brew.candidate(FORMULA)
    if offer is None:
        raise Brew(brew.prefix).refuse(brew.problem, "see what it says to: brew info rabbitmq")
    erlang = next((one for one in brew.candidates if one.package != FORMULA), None)
    return _Pair(offer.version, erlang.package if erlang else "", erlang.version if erlang else "")


def _compare(pair: _Pair, request: Request) -> None:
    """Raise `UnsupportedError` when Homebrew's pair is not as wished; it has no other."""
    elsewhere = "older series are to be had on Debian 13 or Ubuntu 24.04, in a container as well"
    there = "is installed here" if pair.installed else "is what Homebrew has"
    if not request.rabbitmq.admits(pair.rabbitmq):
        newer = "brew update shows newer releases" if not pair.installed else "brew upgrade rabbitmq takes the newest"
        raise UnsupportedError(
            f"RabbitMQ {pair.rabbitmq} {there}, not {request.rabbitmq}",
            cause="Homebrew has one version of a formula, the newest",
            hint=f"leave out --rabbitmq; {newer}; {elsewhere}",
        )
    if not _admits(request.erlang, pair.erlang_version):
        raise UnsupportedError(
            f"Homebrew's RabbitMQ {pair.rabbitmq} runs on {pair.erlang or 'its own Erlang'}, not on {request.erlang}",
            cause="its formula decides which Erlang comes with it",
            hint=f"leave out --erlang; {elsewhere}",
        )


def _admits(wanted: Wanted, version: str) -> bool:
    return wanted.precision is Precision.ANY or (bool(version) and wanted.admits(version))


def _warnings(facts: Facts, request: Request, brew: Homebrew) -> tuple[str, ...]:
    old = bool(brew.version) and Version(brew.version) < Version(_BUILT_IN)
    other = next((one for one in facts.packages if one.name == SYSTEM.server and one.state in _THERE), None)
    beside = f"RabbitMQ {released(upstream(other.version))} of {other.origin or facts.manager}" if other else ""
    told = (
        (_INTEL, facts.init is Init.LAUNCHD and facts.architecture == "x86_64"),
        (_DETACHED, not brew.session and request.start),
        (_OPEN, request.plugins is None and brew.keg(FORMULA) is None),
        (_FILES, request.open_files is not None),
        (f"Homebrew {brew.version} is older than its services, which came with {_BUILT_IN}: brew update", old),
        (f"{beside} is installed as well: two brokers cannot share their ports", bool(other)),
    )
    return tuple(words for words, holds in told if holds)
