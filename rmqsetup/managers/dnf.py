"""dnf 4 and dnf 5, under either of which `yum` is another name. What they share with zypper is in `rpm`."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from rmqsetup.errors import ManagerError, NetworkError, RmqsetupError, TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Deed, Operation, Transaction, Wish, rpm
from rmqsetup.managers.repo_files import Listed, RepoFiles

CONFIGURATION = "/etc/dnf/dnf.conf"
"""Where excludepkgs holds packages, where there is no versionlock."""

LOCKS = ("/etc/dnf/plugins/versionlock.list", "/etc/dnf/versionlock.toml", CONFIGURATION)
"""What holds packages: dnf 4's plugin, dnf 5 itself, and the oldest way."""

_PATIENCE = ("--setopt=timeout=20", "--setopt=retries=2")
_AT_ONCE = "--setopt=exit_on_lock=1"  # dnf 4 would wait for ever; dnf 5 waits, and does not know it
_UNLOCKED = ("--disableplugin=versionlock", "--setopt=disable_excludes=all,*")  # dnf 4's way, and dnf 5's
_KEEPING = "--setopt=clean_requirements_on_remove=False"
_BUSY = ("Waiting for process", "lock is held by", "already locked by")
_ABORTED = "Operation aborted"
_IDLE = "Nothing to do"

_TYPED = {Deed.RELEASE: "dnf versionlock delete", Deed.REMOVE: "dnf remove", Deed.LOOK: "dnf list --showduplicates"}


class DnfSources(RepoFiles):
    """How dnf is told of repositories, and asked what they have."""

    folder = "/etc/yum.repos.d"
    keys = "/etc/pki/rpm-gpg"
    fetching = "dnf makecache"
    locks = LOCKS

    def offers(self, names: tuple[str, ...], *, fetch: bool) -> Command:
        """Ask what its lists have; nobody answers its question about keys, so that no new one is taken."""
        fresh = _PATIENCE if fetch else ("-C",)
        # dnf 5 ends no line by itself, dnf 4 does
        form = "%{name}\t%{evr}\t%{repoid}\n"
        return Command(("dnf", "-q", *fresh, *_UNLOCKED, "repoquery", "--qf", form, *names), timeout=120.0)

    def parse_offers(self, text: str) -> tuple[Listed, ...]:
        """Read a line for each package."""
        rows = (line.split("\t") for line in text.splitlines())
        return tuple(Listed(*row) for row in rows if len(row) == 3)


class Dnf(rpm.AboveRpm):
    """dnf 4.14 and later, dnf 5."""

    def list_command(self) -> Command:
        """Ask rpm, and read the files that hold; costs a tenth of a second, where dnf takes half of one to begin."""
        return rpm.script("list", *LOCKS)

    def refresh(self, lock_timeout: int) -> Command:  # noqa: ARG002 - waiting is for who runs the command
        """Fetch indices. `-y` lets dnf import the keys that .repo files name: those must be files, and proven."""
        return replace(_dnf("-y", "makecache", "--refresh"), timeout=600.0, weighed=True)

    def simulate(self, wish: Wish) -> Command:
        """Ask with `--assumeno` and what was fetched; holds are left to who reads the answer.

        `rpm.sh list` answers after it, since dnf 4 does not say which versions it would replace.
        """
        dry = ("dnf", "-C", "--assumeno", *_UNLOCKED)
        asked = [shlex.join((*dry, *words)) for words in _words(wish)]
        return Command(("sh", "-c", "\n".join((*asked, shlex.join(rpm.script("list").argv)))), timeout=120.0)

    def parse_simulation(self, result: Result) -> Transaction:
        """Read the tables of both versions; the problem is what dnf says where it would not get to the question."""
        old = {present.name: present.version for present in rpm.installed(result.stdout)}
        operations = _operations(result.stdout, old)
        questions = sum(line.startswith("dnf ") for line in result.command.argv[-1].splitlines())
        text = f"{result.stdout}\n{result.stderr}"
        answered = text.count(_ABORTED) + text.count(_IDLE)
        return Transaction(operations, "" if answered >= questions else _said(result))

    def carry_out(self, wish: Wish) -> tuple[Command, ...]:
        """Install, then remove: what dnf would do in one go only in its shell.

        Nothing of a Debian policy is needed, as no scriptlet of these packages starts a service. An upgrade
        stops a node that runs and starts it again, by its own scriptlets.
        """
        purges = (False, True) if wish.install and wish.purge else (bool(wish.purge),)
        runs = zip(purges, _words(wish), strict=True)
        return (
            *(rpm.transact(wish, _dnf("-y", *words), purge=purge) for purge, words in runs),
            *rpm.doomed(wish),
        )

    def complete(self, wish: Wish) -> Command:
        """Install again what is there of the wish: its scriptlets may not have run."""
        return rpm.again(wish, _dnf("-y", "reinstall"), joint="-")

    def hold(self, names: tuple[str, ...]) -> Command:
        """Hold by versionlock, which dnf 5 has and dnf 4 has as a plugin; else by `excludepkgs` in dnf.conf."""
        return rpm.script("hold", CONFIGURATION, *names)

    def release(self, names: tuple[str, ...]) -> Command:
        """Give up holds of either kind."""
        return rpm.script("release", CONFIGURATION, *names)

    def explain(self, result: Result, uris: tuple[str, ...] = ()) -> RmqsetupError:
        """Say why dnf failed, in the family of the cause."""
        return rpm.explain(result, _said(result), _REASONS, uris)

    def refuse(self, problem: str, hint: str) -> RmqsetupError:
        """Say why dnf would not even begin."""
        return rpm.error_of("the packages cannot be installed as resolved", problem, _REASONS, fallback="", hint=hint)

    def typed(self, deed: Deed, names: tuple[str, ...]) -> str:
        """Return the command a person types."""
        return " ".join((_TYPED[deed], *names))


def _dnf(*words: str) -> Command:
    return Command(("dnf", _AT_ONCE, *_PATIENCE, *words), timeout=rpm.TRANSACTION_SECONDS, busy=_BUSY)


def _words(wish: Wish) -> tuple[tuple[str, ...], ...]:
    """Return what is to be asked of dnf, the installation first."""
    names = tuple(f"{p.name}-{p.version}" if p.version else p.name for p in wish.install)
    weak = () if wish.recommends else ("--setopt=install_weak_deps=False",)
    install = (("install", *weak, *names),) if names else ()
    remove = (("remove", _KEEPING, *wish.purge),) if wish.purge else ()
    return (*install, *remove)


_SECTION = re.compile(r"^(Installing|Upgrading|Downgrading|Reinstalling|Removing|Obsoleting)\b.*:$")
_ROW = re.compile(r"^ (\S+) +(\S+) +(?:0:)?(\S+) +(@?\S+) +[\d.]+ *\S*$")
_REPLACING = re.compile(r"^ {3,}replacing +(\S+?)(?:\.\w+)? +")


def _operations(text: str, old: dict[str, str]) -> tuple[Operation, ...]:
    """Read the tables `name architecture version repository size`, of which dnf 4 breaks lines that are too long."""
    found: list[Operation] = []
    section, rest = "", ""
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section, rest = match[1], ""
        elif not line.strip() or not line.startswith(" "):
            section = "" if not line.strip() else section
        elif section and (match := _REPLACING.match(line)):
            if match[1] not in (op.name for op in found):
                found.append(Operation(match[1], old.get(match[1], "")))
        elif section and (match := _ROW.match(f" {rest} {line.strip()}" if rest else line)):
            name, _, version, repository = match.groups()
            was = old.get(name, "")
            if section == "Removing":
                found.append(Operation(name, was or version))
            else:
                found.append(Operation(name, was, version, (repository.lstrip("@"),)))
            rest = ""
        elif section:
            rest = f"{rest} {line.strip()}".strip()
    return tuple(found)


_CHATTER = re.compile(
    r"^(Last metadata|Dependencies resolved|Updating and loading|Repositories loaded|Importing|package\t|\[\d+/\d+\]"
    r"| Userid| UserID| Fingerprint| From|The key was successfully|Complete|You can try|\(try to add|  --| ?\S.* \d+%"
    r"|.* kB/s |=+$|-+$|No matches were found for the following plugin|Total |After this|Running |Operation aborted)"
)


def _said(result: Result) -> str:
    """Return what dnf complains of, on either stream, without what it tells while all is well."""
    words = f"{result.stdout}\n{result.stderr}".partition("\nDownloading Packages:")
    lines = [line for part in words for line in part.splitlines() if line.strip() and not _CHATTER.match(line)]
    complaints = list(dict.fromkeys(line for line in lines if re.search(_COMPLAINT, line, re.IGNORECASE)))
    return "\n".join(complaints or lines[-8:]) or result.tail()


_COMPLAINT = (
    r"error|fail|problem|status code|\bnot\b|\bno\b|cannot|nothing provides|conflict|match|denied|signature|gpg|openpgp"
    r"|key|space|missing|did not come about|ended after|waiting|lock|read-only|superuser|invalid|unable"
)
_UNTRUSTED = (
    r"GPG check FAILED|not signed|GPG signature verification error|Bad (GPG|PGP|OpenPGP) signature|wrong key"
    r"|OpenPGP check|Signature verification failed|Signing key not found|checksum doesn.t match|key has expired"
    r"|GPG signature is not available|OpenPGP signature|Failed to (retrieve|download) (GPG )?key"
    r"|Problem (occurred when )?opening (the )?package|Key import failed|GPG verification is enabled"
)
_UNREACHED = (
    r"Curl error|Status code: \d+|All mirrors were tried|Failed to download|Cannot download|Usable URL not found"
    r"|Could ?n.t (connect|resolve)|Cache-only enabled but no cache"
    r"|ended after \d+ seconds"
)
_MISWRITTEN = (
    r"Cannot find a valid baseurl|No valid source|Missing section header|failed loading .*\.repo"
    r"|Error in configuration file|Unknown configuration|Invalid configuration"
)
_AGAIN = "then run the same command again"

_REASONS: rpm.Reasons = (
    (r"more space on the|No space left|not enough free space", ManagerError, f"free some space (df -h), {_AGAIN}"),
    (r"superuser privileges|Permission denied", ManagerError, "run it as root, or with sudo"),
    (r"Read-only file system", ManagerError, f"remount the file system writable, {_AGAIN}"),
    (
        r"can't create transaction lock|Waiting for process|lock is held by|already locked",
        ManagerError,
        "wait for it, or give more time with --lock-timeout SECONDS",
    ),
    (
        r"SSL certificate|Curl error \((35|58|60|77)\)",
        NetworkError,
        "check this machine's clock (date -u) and its CA certificates",
    ),
    (
        r"gpgme\w*\(\) error: No data",
        TrustError,
        "what came as a signature is none: look for a login page in the network's way, and for a full disk (df -h)",
    ),
    (_UNTRUSTED, TrustError, "do not install from this source until it is clear why"),
    (_UNREACHED, NetworkError, f"check the network and the proxy settings, {_AGAIN}"),
    (_MISWRITTEN, ManagerError, "mend the file in /etc/yum.repos.d that it names"),
    (
        r"excluded by versionlock|exclude filtering|versionlock",
        ManagerError,
        "see what is held with: dnf versionlock list, and excludepkgs in /etc/dnf/dnf.conf",
    ),
    (
        r"nothing provides|cannot install both|requires .*, but none of the providers|conflicting requests",
        ManagerError,
        "see which versions go together with: rmqsetup versions",
    ),
    (r"Unable to find a match|No match for argument", ManagerError, "see what is offered with: rmqsetup versions"),
    (r"Transaction test error|file \S+ conflicts", ManagerError, "remove the other package first"),
    (
        r"PREIN|%pre|scriptlet",
        ManagerError,
        "see what the package's script said in /var/log/dnf.rpm.log or /var/log/dnf5.log",
    ),
    (
        r"Rpm transaction failed|Could not run transaction",
        ManagerError,
        "see /var/log/dnf5.log; it may be that another program holds rpm's lock",
    ),
)
