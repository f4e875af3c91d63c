"""Homebrew, on macOS and on Linux, where it is the same program. What is there of it is for `detect` to see.

It always works as the user whom its prefix belongs to, and never as root.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

from rmqsetup.errors import ManagerError, NetworkError, RmqsetupError, TrustError, UnsupportedError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Deed, Operation, Package, Present, State, Transaction, Wish
from rmqsetup.managers.layout import FORMULA
from rmqsetup.version import Version

ENVIRONMENT = (
    ("HOMEBREW_NO_ASK", "1"),
    ("HOMEBREW_NO_AUTO_UPDATE", "1"),
    ("HOMEBREW_NO_COLOR", "1"),
    ("HOMEBREW_NO_EMOJI", "1"),
    ("HOMEBREW_NO_ENV_HINTS", "1"),
    ("HOMEBREW_NO_INSTALL_CLEANUP", "1"),
    ("HOMEBREW_NO_INSTALL_UPGRADE", "1"),
    ("HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK", "1"),
    ("HOMEBREW_SERVICES_NO_DOMAIN_WARNING", "1"),
)
"""No questions, and nothing that nobody asked for: no update of all tables, no upgrade of other formulae.

Variables and not options: an older Homebrew ignores one it does not know, and stops at the other.
"""

TRANSACTION_SECONDS = 3600.0
"""Deadline of an install: sixteen bottles on a slow link."""

_BUSY = ("has already locked", "Another active Homebrew")


_HOLDERS = """ps -axww -o pid= -o command= | while read -r process words; do
    case $words in *"$1/"*/brew.r[b]" "*) echo "$1 is held by process $process (brew ${words##*/brew.rb })" ;; esac
done"""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula as `brew info` has it; `version` is the whole of it, with a revision such as 4.3.6_1."""

    name: str
    version: str
    tap: str = ""
    dependencies: tuple[str, ...] = ()
    installed: str = ""
    linked: bool = True
    bottle: bool = True

    @property
    def erlang(self) -> str:
        """The Erlang it depends on, by the name of its formula; empty for none."""
        return next((name for name in self.dependencies if is_erlang(name)), "")


class Brew:
    """Homebrew in a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.program = f"{prefix}/bin/brew"

    def list_command(self) -> Command:
        """Look into the Cellar, where every formula has a receipt: `brew list` takes a second, and the network."""
        places = (f"{self.prefix}/Cellar", f"{self.prefix}/var/homebrew/pinned")
        return Command(
            ("find", *places, "-maxdepth", "3", "(", "-name", "INSTALL_RECEIPT.json", "-o", "-type", "l", ")")
        )

    def parse_list(self, text: str) -> tuple[Present, ...]:
        """Read the paths of receipts and of pins: one formula each, at the newest of its versions."""
        versions = dict[str, str]()
        pinned = set[str]()
        for line in text.splitlines():
            folder, _, rest = line.removeprefix(self.prefix).partition("/Cellar/")
            parts = rest.split("/")
            if not folder and len(parts) == 3 and parts[2] == "INSTALL_RECEIPT.json":
                name, version = parts[0], parts[1]
                versions[name] = max(version, versions.get(name, ""), key=Version)
            elif "/pinned/" in line:
                pinned.add(line.rpartition("/")[2])
        return tuple(Present(name, version, State.INSTALLED, name in pinned) for name, version in versions.items())

    def refresh(self, lock_timeout: int) -> Command:  # noqa: ARG002 - Homebrew does not wait: we do
        """Fetch the tables of formulae, once; offline the old ones may still do."""
        return Command((self.program, "update", "--quiet"), env=ENVIRONMENT, timeout=600, busy=_BUSY, weighed=True)

    def simulate(self, wish: Wish) -> Command:
        """Ask for the formulae, which tells version, origin and whether there is a bottle; `--dry-run` tells less."""
        if wish.install:
            return self.info(*(package.name for package in wish.install))
        places = tuple(f"{self.prefix}/Cellar/{name}" for name in wish.purge)
        return Command(("find", *places, "-maxdepth", "2", "-name", "INSTALL_RECEIPT.json"))

    def parse_simulation(self, result: Result) -> Transaction:
        """Read what would come with an install; of formulae that are to go, which are there."""
        if result.command.argv[:1] == ("find",):
            return Transaction(tuple(Operation(one.name, old=one.version) for one in self.parse_list(result.stdout)))
        formulae = parse_info(result.stdout)
        if not result.ok or not formulae:
            return Transaction(problem=_said(result) or "brew info says nothing")
        return Transaction(tuple(_operation(formula) for formula in formulae))

    def carry_out(self, wish: Wish) -> tuple[Command, ...]:
        """Install, or uninstall all versions; configuration stays then, and data that are to be kept."""
        names = tuple(package.name for package in wish.install)
        commands = [self._run("uninstall", "--force", *wish.purge)] if wish.purge else []
        commands += [self._run("install", "--formula", *names)] if names else []
        data = (f"{self.prefix}/var/lib/rabbitmq", f"{self.prefix}/var/log/rabbitmq")
        doomed = tuple(path for path in data if path not in wish.keep) if FORMULA in wish.purge and wish.keep else ()
        return (*commands, *((Command(("rm", "-rf", "--", *doomed)),) if doomed else ()))

    def mend(self, wish: Wish) -> Command:
        """Link a formula that was poured and not linked, which is what an install that was cut can leave."""
        return replace(self._run("link", wish.hold_back), weighed=True)

    def complete(self, wish: Wish) -> Command:
        """Install once more: what is there is left alone."""
        return replace(self._run("install", "--formula", *(package.name for package in wish.install)), weighed=True)

    def hold(self, names: tuple[str, ...]) -> Command:
        """Pin: `brew upgrade` would delete the programs of a broker that runs."""
        return self._run("pin", *names)

    def release(self, names: tuple[str, ...]) -> Command:
        """Take the pin off."""
        return self._run("unpin", *names)

    def explain(self, result: Result, uris: tuple[str, ...] = ()) -> RmqsetupError:  # noqa: ARG002 - one source
        """Say why Homebrew failed, in the family of the cause."""
        return _error("Homebrew failed", _said(result), f"type it to see more: {result.command}")

    def refuse(self, problem: str, hint: str) -> RmqsetupError:
        """Say why Homebrew would not even begin."""
        return _error("Homebrew cannot install what was resolved", problem, hint)

    def holders(self) -> Command:
        """Look for programs of this Homebrew, which is a script of Ruby's."""
        return Command(("sh", "-c", _HOLDERS, "holders", self.prefix))

    @property
    def unfinished(self) -> str:
        """Nothing: a formula is poured beside its place, and moved there when it is whole."""
        return ""

    @property
    def note(self) -> str:
        """Nothing is set aside."""
        return ""

    def typed(self, deed: Deed, names: tuple[str, ...]) -> str:
        """Return the command a person types; Homebrew's word for a hold is a pin."""
        words = {Deed.RELEASE: "unpin", Deed.REMOVE: "uninstall", Deed.LOOK: "info"}
        return " ".join(("brew", words[deed], *names))

    def stamp(self, name: str) -> str:
        """Return the receipt of the version that is linked, written at every pouring."""
        return f"{self.prefix}/opt/{name}/INSTALL_RECEIPT.json"

    def info(self, *names: str) -> Command:
        """Ask for formulae; may fetch Homebrew's tables, when they are old."""
        return Command((self.program, "info", "--json=v2", "--formula", *names), env=ENVIRONMENT, timeout=120)

    def _run(self, *words: str) -> Command:
        return Command((self.program, *words), env=ENVIRONMENT, timeout=TRANSACTION_SECONDS, busy=_BUSY)


def is_erlang(name: str) -> bool:
    """Tell whether a formula is an Erlang: `erlang`, or `erlang@28`."""
    return name == "erlang" or name.startswith("erlang@")


def released(version: str) -> str:
    """Return a formula's version without Homebrew's own revision: 4.3.6 of 4.3.6_1."""
    return re.sub(r"_\d+$", "", version)


def parse_info(text: str) -> tuple[Formula, ...]:
    """Read the JSON of `brew info --json=v2`; a text that is none has no formulae."""
    return tuple(found for entry in _list(_object(text), "formulae") if (found := _formula(entry)))


def parse_receipt(text: str) -> tuple[Package, ...]:
    """Read from a receipt what a formula was installed to run with."""
    entries = _list(_object(text), "runtime_dependencies")
    return tuple(
        Package(name.rpartition("/")[2], _text(entry, "pkg_version") or _text(entry, "version"))
        for entry in entries
        if (name := _text(entry, "full_name"))
    )


def _formula(entry: object) -> Formula | None:
    name, versions = _text(entry, "name"), _member(entry, "versions")
    stable, revision = _text(versions, "stable"), _member(entry, "revision")
    if not name or not stable:
        return None
    installed = [version for one in _list(entry, "installed") if (version := _text(one, "version"))]
    return Formula(
        name,
        f"{stable}_{revision}" if isinstance(revision, int) and revision else stable,
        _text(entry, "tap"),
        tuple(one for one in _list(entry, "dependencies") if isinstance(one, str)),
        max(installed, key=Version, default=""),
        linked=bool(_text(entry, "linked_keg")),
        bottle=_member(versions, "bottle") is not False,
    )


def _said(result: Result) -> str:
    """Return what Homebrew complains of: from its first error on, and what it could not link, told on stdout."""
    unlinked = [line for line in result.stdout.splitlines() if re.search(r"^Could not symlink|is a symlink", line)]
    complaints = [line[:300] for line in result.stderr.splitlines() if line.strip() and not _TALK.search(line)]
    first = next((number for number, line in enumerate(complaints) if line.startswith("Error:")), 0)
    return "\n".join((unlinked + complaints[first:])[:8]) or result.tail()


_TALK = re.compile(r"^(==>|✔|#+ |\s+from |/\S+:\d+:in )")
"""Progress, and the back traces of Ruby."""

_AGAIN = "then run the same command again"
_UNTRUSTED = r"Failed to verify integrity|Potential MITM|signature mismatch|different checksum"
_UNREACHED = (
    r"curl: \((5|6|7|16|18|22|28|35|52|55|56|92)\)|Failed to download resource|Could not resolve host"
    r"|Download failed|Failure while executing.*curl"
)

_REASONS: tuple[tuple[str, type[RmqsetupError], str], ...] = (
    (r"[Rr]unning Homebrew as root|Don't run this as root", UnsupportedError, "run it as the user who owns Homebrew"),
    (
        r"not writable by your user|Permission denied @",
        ManagerError,
        "run it as the user who owns Homebrew; several users of one Homebrew are more than it supports",
    ),
    (
        r"Rosetta 2 in ARM default prefix",
        UnsupportedError,
        "this Python is one for Intel processors: run rmqsetup with an arm64 one, or under: arch -arm64",
    ),
    (
        r"No developer tools installed|xcode-select: error|You have not agreed to the Xcode license",
        UnsupportedError,
        f"install Apple's Command Line Tools with: xcode-select --install, {_AGAIN}",
    ),
    (
        r"no bottle available|must be built from source",
        UnsupportedError,
        "this release of the system is too old or too new for ready-made packages: brew config tells which",
    ),
    (r"has already locked|Another active Homebrew", ManagerError, "wait for it, or give more time with --lock-timeout"),
    (r"No space left on device|curl: \(23\)", ManagerError, f"free some space (df -h), {_AGAIN}"),
    (_UNTRUSTED, TrustError, "do not install until it is clear why; a damaged download is fetched anew the next time"),
    (_UNREACHED, NetworkError, f"check the network and the proxy settings (https_proxy, ALL_PROXY), {_AGAIN}"),
    (r"HOME must be set", ManagerError, "set HOME to the home directory of the user who owns Homebrew"),
    (r"current working directory must", ManagerError, f"change to a directory that is there: cd /, {_AGAIN}"),
    (
        r"brew link` step did not complete|Could not symlink",
        ManagerError,
        "the formula is installed and works; see what is in its way with: brew link --dry-run rabbitmq",
    ),
    (r"No available formula", ManagerError, "fetch the tables of formulae with: brew update"),
    (r"Refusing to uninstall", ManagerError, "uninstall first what needs it"),
)
"""What Homebrew says, the family of error it means, and what to do; the first that fits counts."""


def _error(message: str, said: str, fallback: str) -> RmqsetupError:
    for pattern, family, advice in _REASONS:
        if re.search(pattern, said):
            return family(message, cause=said, hint=advice)
    return ManagerError(message, cause=said, hint=fallback)


def _operation(formula: Formula) -> Operation:
    return Operation(formula.name, formula.installed, formula.version, (formula.tap,) if formula.tap else ())


def _object(text: str) -> object:
    try:
        return json.loads(text[text.index("{") :])
    except (ValueError, RecursionError):
        return None


def _member(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: object, key: str) -> str:
    found = _member(value, key)
    return found if isinstance(found, str) else ""


def _list(value: object, key: str) -> list[object]:
    found = _member(value, key)
    return found if isinstance(found, list) else []
