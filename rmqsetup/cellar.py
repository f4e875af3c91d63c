"""What Homebrew and MacPorts have on a machine: `detect` asks here, since a machine can have both beside its own.

What follows from it is for `homebrew`; how Homebrew is told to change anything, for `managers.brew`.
"""

from __future__ import annotations

import re

from rmqsetup.facts import Candidate, Homebrew, InstalledPackage, Keg
from rmqsetup.host import Command, Host, text_of
from rmqsetup.macos import Mac
from rmqsetup.managers import State
from rmqsetup.managers.brew import ENVIRONMENT, Brew, is_erlang, parse_info, parse_receipt
from rmqsetup.managers.layout import FORMULA, PREFIXES
from rmqsetup.version import Version

PORTS = "/opt/local"

_SESSION = """if command -v launchctl >/dev/null
then [ -n "$SSH_TTY" ] || launchctl print "gui/$(id -u)" >/dev/null 2>&1
else systemctl --user show-environment >/dev/null 2>&1
fi"""

_LOOK = (
    """brew=$1/bin/brew
printf 'user=%s\\ngroup=%s\\nhome=%s\\n' "$(id -un)" "$(id -gn)" "$HOME"
printf 'version=%s\\n' "$("$brew" --version)"
prefix=$("$brew" --prefix) && printf 'prefix=%s\\nowner=%s\\n' "$prefix" "$(ls -ld "$prefix/Cellar" | awk '{print $3}')"
[ -w "$prefix/Cellar" ] && echo writable=yes
"""
    + _SESSION
    + " && echo session=yes"
)
"""One shell, as starting eight programs from here would cost as much again; it only looks."""


def prefix(host: Host) -> str:
    """Return the prefix in which a Homebrew is, as far as a look at folders tells; empty for none."""
    return next((place for place in PREFIXES if "brew" in host.names(f"{place}/bin")), "")


def has_session(host: Host) -> bool:
    """Tell whether there is a session of ours that a service can be put in: launchd's, or that of a user's systemd."""
    return host.run(Command(("sh", "-c", _SESSION), timeout=10)).ok


def look(host: Host, mac: Mac | None, *, offers: bool) -> Homebrew | None:
    """Look at the Homebrew of a machine; None where there is none."""
    place = prefix(host)
    if not place:
        return None
    answer = host.run(Command(("sh", "-c", _LOOK, "look", place), env=ENVIRONMENT, timeout=60))
    said = dict(line.partition("=")[::2] for line in reversed(answer.stdout.splitlines()))
    where = said.get("prefix", "") or place
    kegs = _kegs(host, where)
    candidates, problem = _offers(host, where) if offers else ((), "")
    return Homebrew(
        where,
        said.get("version", "").removeprefix("Homebrew "),
        user=said.get("user", ""),
        group=said.get("group", ""),
        home=said.get("home", ""),
        owner=said.get("owner", ""),
        writable="writable" in said,
        session="session" in said,
        translated=bool(mac and mac.translated),
        tools=not mac or mac.tools,
        kegs=kegs,
        candidates=candidates,
        problem=problem,
    )


def ports(host: Host) -> tuple[InstalledPackage, ...]:
    """Return the RabbitMQ and the Erlang that MacPorts has installed, by the archives it keeps of them."""
    found = []
    for name in ("rabbitmq-server", "erlang"):
        archives = host.names(f"{PORTS}/var/macports/software/{name}")
        versions = [match[1] for archive in archives if (match := re.match(rf"{name}-(\d[\d.]*_\d+)", archive))]
        if versions:
            newest = max(versions, key=Version)
            found.append(InstalledPackage(name, newest, "", State.INSTALLED, origin="MacPorts"))
    return tuple(found)


def _kegs(host: Host, where: str) -> tuple[Keg, ...]:
    cellar = f"{where}/Cellar"
    pinned = host.names(f"{where}/var/homebrew/pinned")
    found = []
    for name in host.names(cellar):
        versions = host.names(f"{cellar}/{name}") if name == FORMULA or is_erlang(name) else ()
        if versions:
            version = max(versions, key=Version)
            receipt = text_of(host, f"{cellar}/{name}/{version}/INSTALL_RECEIPT.json")
            needs = [one for one in parse_receipt(receipt) if is_erlang(one.name)]
            erlang, with_version = (needs[0].name, needs[0].version) if needs else ("", "")
            found.append(Keg(name, version, name in pinned, erlang, with_version))
    return tuple(found)


def _offers(host: Host, where: str) -> tuple[tuple[Candidate, ...], str]:
    """Ask for the formula and for its Erlang, a second each; without an answer the name tells the Erlang's major."""
    brew = Brew(where)
    answer = host.run(brew.info(FORMULA))
    formulae = parse_info(answer.stdout)
    if not formulae:
        return (), brew.parse_simulation(answer).problem
    erlang = formulae[0].erlang
    if erlang:
        formulae += parse_info(host.run(brew.info(erlang)).stdout)
    found = [Candidate(formula.name, formula.version, formula.tap) for formula in formulae]
    if erlang and not any(candidate.package == erlang for candidate in found):
        found.append(Candidate(erlang, erlang.partition("@")[2], formulae[0].tap))
    return tuple(found), ""
