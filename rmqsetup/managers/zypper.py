"""zypper. What it shares with dnf is in `rpm`."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from rmqsetup.errors import ManagerError, NetworkError, RmqsetupError, TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Deed, Operation, Transaction, Wish, rpm
from rmqsetup.managers.repo_files import Listed, RepoFiles

REPOSITORIES = "/etc/zypp/repos.d"
"""Where zypper looks for .repo files."""

LOCKS = "/etc/zypp/locks"
"""What zypper holds."""

REFRESH_SECONDS = 300.0
"""Deadline of fetching indices: from a server that hangs, zypper waits for ever."""

_BUSY = ("System management is locked",)
_UNLOCKED = b"[main]\nlocksfile.apply = no\n"
_OLDER = "has lower version than the installed one"

_TYPED = {Deed.RELEASE: "zypper removelock", Deed.REMOVE: "zypper remove", Deed.LOOK: "zypper search -s --match-exact"}


class ZypperSources(RepoFiles):
    """How zypper is told of repositories, and asked what they have."""

    folder = REPOSITORIES
    keys = "/etc/zypp"
    fetching = "zypper refresh"
    locks = (LOCKS,)

    def offers(self, names: tuple[str, ...], *, fetch: bool) -> Command:
        """Ask what its lists have; it fetches those that are too old by itself, unless it is told not to."""
        fresh = () if fetch else ("--no-refresh",)
        search = ("search", "--match-exact", "-s", "-t", "package", *names)
        return Command(("zypper", "--xmlout", "--non-interactive", *fresh, *search), timeout=120.0)

    def parse_offers(self, text: str) -> tuple[Listed, ...]:
        """Read an element for each package in each repository."""
        rows = (_attributes(words) for words in re.findall(r"<solvable\s([^>]*)>", text))
        return tuple(Listed(row.get("name", ""), row.get("edition", ""), row.get("repository", "")) for row in rows)


class Zypper(rpm.AboveRpm):
    """zypper 1.14 and later. Never with `--gpg-auto-import-keys`: that takes whatever key a server offers."""

    def list_command(self) -> Command:
        """Ask rpm, and read zypper's locks."""
        return rpm.script("list", LOCKS)

    def refresh(self, lock_timeout: int) -> Command:
        """Fetch indices; one that is signed by a key which rpm does not trust ends it."""
        return replace(_zypper("refresh", lock_timeout=lock_timeout, timeout=REFRESH_SECONDS), weighed=True)

    def simulate(self, wish: Wish) -> Command:
        """Ask with `--dry-run`; holds are left to who reads the answer.

        zypper has no option for that, but reads the settings it gets here over its standard input.
        """
        argv = ("zypper", "--non-interactive", "--no-refresh", "--xmlout", *_words(wish, "--dry-run"))
        return Command(argv, stdin=_UNLOCKED, env=(("ZYPP_CONF", "/dev/stdin"),), timeout=120.0)

    def parse_simulation(self, result: Result) -> Transaction:
        """Read the XML summary; the problem is what zypper asks about or ends with."""
        operations = (  # a package that changes its vendor as well is named twice
            _operation(section, attributes)
            for section, block in re.findall(r"<to-([\w-]+)>(.*?)</to-\1>", result.stdout, re.DOTALL)
            for attributes in re.findall(r"<solvable\s([^>]*)>", block)
            if 'type="package"' in attributes
        )
        refused = not result.ok or _OLDER in result.stdout
        return Transaction(tuple(dict.fromkeys(operations)), _said(result) if refused else "")

    def carry_out(self, wish: Wish) -> tuple[Command, ...]:
        """Install and remove in one transaction. No scriptlet of these packages starts a service."""
        run = _zypper(*_words(wish), lock_timeout=wish.lock_timeout, timeout=rpm.TRANSACTION_SECONDS)
        return rpm.transact(wish, run, purge=not wish.install), *rpm.doomed(wish)

    def complete(self, wish: Wish) -> Command:
        """Install again what is there of the wish: its scriptlets may not have run."""
        words = ("install", "--force", "--no-recommends")
        run = _zypper(*words, lock_timeout=wish.lock_timeout, timeout=rpm.TRANSACTION_SECONDS)
        return rpm.again(wish, run, joint="=")

    def hold(self, names: tuple[str, ...]) -> Command:
        """Add locks."""
        return _zypper("addlock", *names, lock_timeout=0)

    def release(self, names: tuple[str, ...]) -> Command:
        """Remove locks, and their file with the last of them."""
        run = _zypper("removelock", *names, lock_timeout=0)
        script = rpm.script("emptied", LOCKS, "--", *run.argv, timeout=run.timeout)
        return replace(script, env=run.env, busy=run.busy)

    def explain(self, result: Result, uris: tuple[str, ...] = ()) -> RmqsetupError:
        """Say why zypper failed, in the family of the cause."""
        return rpm.explain(result, _said(result), _REASONS, uris)

    def refuse(self, problem: str, hint: str) -> RmqsetupError:
        """Say why zypper would not even begin."""
        return rpm.error_of("the packages cannot be installed as resolved", problem, _REASONS, fallback="", hint=hint)

    def typed(self, deed: Deed, names: tuple[str, ...]) -> str:
        """Return the command a person types."""
        return " ".join((_TYPED[deed], *names))


def _zypper(*words: str, lock_timeout: int, timeout: float = 60.0) -> Command:
    environment = (("ZYPP_LOCK_TIMEOUT", str(lock_timeout)),)
    return Command(("zypper", "--non-interactive", *words), env=environment, timeout=timeout + lock_timeout, busy=_BUSY)


def _words(wish: Wish, *options: str) -> tuple[str, ...]:
    names = tuple(f"{p.name}={p.version}" if p.version else p.name for p in wish.install)
    if not names:
        return ("remove", *options, *wish.purge)
    weak = "--recommends" if wish.recommends else "--no-recommends"
    older = ("--oldpackage",) if wish.downgrade else ()
    # an exact wish may cross from the distribution's packages to those of another vendor: their origin is checked
    return ("install", *options, weak, *older, "--allow-vendor-change", *names, *(f"!{name}" for name in wish.purge))


def _attributes(text: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', text)}


def _operation(section: str, attributes: str) -> Operation:
    found = _attributes(attributes)
    name, edition, old = found.get("name", ""), found.get("edition", ""), found.get("edition-old", "")
    if section == "remove":
        return Operation(name, edition)
    return Operation(name, old, edition, (found.get("repository", ""),))


_CHATTER = re.compile(
    r"^(Loading repository|Reading installed|Resolving package|There is an update candidate|Retrieving|Building"
    r"|Checking for file|Choose |Continue\?|Backend:|<|Package (download|install) size|\(\d+/\d+\)|The following"
    r"|All repositories|.*\[[.\s]*done\]|\d+ (new )?packages? to|Please (check|see|file)|Skipping repository|History:"
    r"|Some of the repositories|Problem occurred during|Installation has been aborted|Abort, retry|See http"
    r"|\d+ packages? had to be excluded|Repository '.*' is (up to date|invalid)|Error building the cache|error\]$"
    r"|.*ABORT request| +\||.* B  ?(\||  \w)|  [\w -]+$)"
)


def _said(result: Result) -> str:
    """Return what zypper complains of, from plain text or XML, without the ways out that it offers."""
    told = re.findall(r'<message type="(?:error|warning)">(.*?)</message>', result.stdout, re.DOTALL)
    told += re.findall(r"<description>(Problem: .*?)</description>", result.stdout, re.DOTALL)
    told += re.findall(rf'<message type="info">([^<]*{_OLDER}[^<]*)</message>', result.stdout)
    is_xml = result.stdout.lstrip().startswith("<?xml")
    text = html.unescape("\n".join(told)) if is_xml else result.stdout
    lines = [line for line in f"{text}\n{result.stderr}".splitlines() if line.strip()]
    kept = [
        line for line in lines if not _CHATTER.match(line) and not re.match(r" *(Solution \d|do not|keep|break)", line)
    ]
    return "\n".join(kept[-10:]) or result.tail()


_UNTRUSTED = (
    r"Signature verification failed|is unsigned|public key is not available|not signed|wrong checksum|digest: BAD"
    r"|Signature does not verify|reject the key|unknown key|Unknown GPG key|File is unsigned"
    r"|does not match the expected checksum|digest verification failed"
)
_UNREACHED = (
    r"Connection failed|Curl error|Timeout exceeded|not found on medium|HTTP response|can.t be determined|Permission to"
    r"|Could ?n.t resolve|Download \(curl\) error|is invalid|Valid metadata not found|ended after \d+ seconds"
    r"|No valid metadata|Failed to retrieve"
)
_MISWRITTEN = r"Unexpected exception|Line \d+ (is missing|contains garbage)|\[[^|\]]*\|\] Failed to retrieve"
_AGAIN = "then run the same command again"

_REASONS: rpm.Reasons = (
    (
        r"No space left|more space|not enough .*space|Can't hardlink/copy",
        ManagerError,
        f"free some space (df -h), {_AGAIN}",
    ),
    (r"Root privileges are required", ManagerError, "run it as root, or with sudo"),
    (r"Read-only file system", ManagerError, f"remount the file system writable, {_AGAIN}"),
    (
        r"System management is locked|can't create transaction lock",
        ManagerError,
        "wait for it, or give more time with --lock-timeout SECONDS",
    ),
    (
        r"SSL certificate|error.? ?\(?(35|58|60|77)\b",
        NetworkError,
        "check this machine's clock (date -u) and its CA certificates",
    ),
    (
        r"doesn.t contain public key data",
        TrustError,
        "what came as a key is none: look for a login page in the network's way, and for a full disk (df -h)",
    ),
    (_UNTRUSTED, TrustError, "do not install from this source until it is clear why"),
    (_MISWRITTEN, ManagerError, "mend the file in /etc/zypp/repos.d that it names"),
    (_UNREACHED, NetworkError, f"check the network and the proxy settings, {_AGAIN}"),
    (r"remove lock to allow|is locked", ManagerError, "see what is held with: zypper locks"),
    (_OLDER, ManagerError, "a downgrade has to be asked for"),
    (
        r"nothing provides|cannot be provided|conflicting requests|Problem: \d",
        ManagerError,
        "see which versions go together with: rmqsetup versions",
    ),
    (r"No provider of|not found in package names", ManagerError, "see what is offered with: rmqsetup versions"),
    (r"scriptlet|%(pre|post)|exit status", ManagerError, "see what the package's script said in /var/log/zypp/history"),
    (r"file conflict|conflicts with", ManagerError, "remove the other package first"),
)
