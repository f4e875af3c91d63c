"""apt and dpkg. Reading source lists and policies belongs to `apt_sources`."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

from rmqsetup.errors import ManagerError, NetworkError, RmqsetupError, TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Deed, Operation, Package, Present, State, Transaction, Wish

_ENVIRONMENT = (
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
)
_CONFFILES = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
PATIENCE = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20", "-o", "Acquire::Retries=1")
_QUIETLY = ("-y", "-q", "-o", "APT::Status-Fd=3", "-o", "Dpkg::Use-Pty=0", *_CONFFILES, *PATIENCE)
_ASKING = ("-o", "Debug::NoLocking=1", "-o", "APT::Get::Assume-Yes=false", "-o", "quiet=1")
"""Whoever has configured apt to say yes, as images of containers do, or to be very quiet, has it refuse held ones."""
_HALF_UNPACKED = ("-o", "Dpkg::Options::=--force-remove-reinstreq")
"""A package that was killed while it was unpacked has to be unpacked again before dpkg removes it, unless told."""
_BUSY = ("Could not get lock", "is another process using it", "locked by another process")
_LIST = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n")

_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
_HOLDERS = """for path; do
    inode=$(stat -c %i "$path" 2>/dev/null) || continue
    while read -r _ kind _ _ process where _; do
        [ "$kind" != "->" ] && [ "${where##*:}" = "$inode" ] || continue
        echo "$path is held by process $process ($(cat "/proc/$process/comm" 2>/dev/null))"
    done </proc/locks
done"""

TRANSACTION_SECONDS = 1800.0
"""Deadline of a whole transaction: slow links and slow disks are no failure."""

_TYPED = {Deed.RELEASE: "apt-mark unhold", Deed.REMOVE: "apt-get remove", Deed.LOOK: "apt-cache policy"}


class Apt:
    """apt-get and dpkg, as of Debian 10 and Ubuntu 20.04 on."""

    def list_command(self) -> Command:
        """Ask dpkg for every package it knows; costs milliseconds and shows holds as well."""
        return Command(_LIST)

    def parse_list(self, text: str) -> tuple[Present, ...]:
        """Read dpkg-query's status letters: wanted, state, error."""
        rows = (line.split("\t") for line in text.splitlines())
        return tuple(
            Present(row[1], row[2], _state(row[0]), held=row[0].startswith("h"))
            for row in rows
            if len(row) == 3 and _state(row[0]) is not State.ABSENT
        )

    def refresh(self, lock_timeout: int) -> Command:
        """Fetch indices; descriptions in other languages are left out, a quarter of the time (benchmarks).

        Where it has an older index apt goes on with that one, and says so by its exit code only when told to.
        """
        words = ("update", "-o", "Acquire::Languages=none", "-o", "APT::Update::Error-Mode=any", *PATIENCE)
        update = _apt(*words, lock_timeout=lock_timeout)
        return replace(update, weighed=True)

    def simulate(self, wish: Wish) -> Command:
        """Ask `apt-get -s`; needs no root and no lock. Holds are lifted later, so it is not to stop at them."""
        return Command(("apt-get", "-s", *_ASKING, *_words(wish)), env=_ENVIRONMENT, timeout=120)

    def parse_simulation(self, result: Result) -> Transaction:
        """Read the `Inst` and `Remv` lines; the problem is what apt says behind `E:` and the lines above it."""
        operations = tuple(op for line in result.stdout.splitlines() if (op := _operation(line)))
        return Transaction(operations, "" if result.ok else _said(result))

    def carry_out(self, wish: Wish) -> tuple[Command, ...]:
        """Install (the start of the service refused meanwhile) or purge (data directories kept)."""
        words = (*(_HALF_UNPACKED if wish.purge else ()), *_words(wish))
        run = _apt(*_QUIETLY, *words, lock_timeout=wish.lock_timeout)
        return (_guarded(run, wish.hold_back, wish.keep, purge=bool(wish.purge)),)

    def mend(self, wish: Wish) -> Command:
        """Run `dpkg --configure -a`, the start of the service refused meanwhile.

        It fails where a package was unpacked before what it depends on: then there is more to do, not an end.
        """
        run = Command(
            ("dpkg", "--configure", "-a", "--force-confdef", "--force-confold"),
            env=_ENVIRONMENT,
            timeout=TRANSACTION_SECONDS,
            busy=_BUSY,
        )
        return replace(_guarded(run, wish.hold_back, wish.keep, purge=False), weighed=True)

    def complete(self, wish: Wish) -> Command:
        """Run `apt-get --fix-broken install` without names: names have to mend all that is broken, or apt refuses."""
        run = _apt(*_QUIETLY, "--fix-broken", "--no-remove", "install", lock_timeout=wish.lock_timeout)
        return replace(_guarded(run, wish.hold_back, wish.keep, purge=False), weighed=True)

    def hold(self, names: tuple[str, ...]) -> Command:
        """Set dpkg's own mark, which apt honours, without opening apt's cache."""
        return _select(names, "hold")

    def release(self, names: tuple[str, ...]) -> Command:
        """Take dpkg's mark off."""
        return _select(names, "install")

    def explain(self, result: Result, uris: tuple[str, ...] = ()) -> RmqsetupError:
        """Say why apt failed, in the family of the cause; doubts about other sources than `uris` are no trust error."""
        said = _said(result)
        error = _error("the package manager failed", said, f"type it to see more: {_readable(result.command)}")
        if uris and isinstance(error, TrustError) and not any(_host(uri) in said for uri in uris):
            return ManagerError(error.message, cause=error.cause, hint=error.hint)
        return error

    def refuse(self, problem: str, hint: str) -> RmqsetupError:
        """Say why apt would not even begin."""
        missing = re.search(r"Depends: (\S+)", problem)
        looking = (
            f"see what keeps {missing[1]} away with: apt-cache policy {missing[1]}; apt-mark showhold"
            if missing
            else ""
        )
        return _error("the packages cannot be installed as resolved", problem, "", hint or looking)

    def holders(self) -> Command:
        """Look into /proc/locks: apt 3 does not say who holds a lock that it has waited for."""
        return Command(("sh", "-c", _HOLDERS, "holders", *_LOCKS))

    def typed(self, deed: Deed, names: tuple[str, ...]) -> str:
        """Return the command a person types."""
        return " ".join((_TYPED[deed], *names))

    @property
    def unfinished(self) -> str:
        """The first of dpkg's notes since its last checkpoint: apt refuses to begin as long as there are any."""
        return "/var/lib/dpkg/updates/0000"

    @property
    def note(self) -> str:
        """What transaction.sh writes before it sets anything aside, and removes when all is back."""
        return "/var/lib/misc/rmqsetup-transaction"

    def stamp(self, name: str) -> str:
        """Return dpkg's list of the package's files, written at every unpacking."""
        return f"/var/lib/dpkg/info/{name}.list"


def _host(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0]


def _error(message: str, said: str, fallback: str, hint: str = "") -> RmqsetupError:
    for pattern, family, advice in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            message = "the package manager refused what a source sent" if family is TrustError else message
            return family(message, cause=said, hint=hint or advice)
    return ManagerError(message, cause=said, hint=hint or fallback)


def word(package: Package) -> str:
    """Return a package as apt-get takes it, with its version where it has one."""
    return f"{package.name}={package.version}" if package.version else package.name


def _words(wish: Wish) -> tuple[str, ...]:
    names = tuple(map(word, wish.install))
    if not names:
        return ("purge", *wish.purge)
    options = [] if wish.recommends else ["--no-install-recommends"]
    options += ["--allow-downgrades"] if wish.downgrade else []
    options += ["--purge"] if wish.purge else []
    return ("install", *options, *names, *(f"{name}-" for name in wish.purge))


def _apt(*words: str, lock_timeout: int) -> Command:
    return Command(
        ("apt-get", "-o", f"DPkg::Lock::Timeout={lock_timeout}", *words),
        env=_ENVIRONMENT,
        timeout=TRANSACTION_SECONDS,
        busy=_BUSY,
    )


def _guarded(run: Command, service: str, keep: tuple[str, ...], *, purge: bool) -> Command:
    script = files("rmqsetup.managers").joinpath("transaction.sh").read_text()
    command = ("purge-keeping", *run.argv) if purge else run.argv
    argv = ("sh", "-c", script, "transaction", service or "-", *keep, "--", *command)
    return replace(run, argv=argv)


def _readable(command: Command) -> str:
    """Return the package command itself, without the script around it."""
    argv = command.argv
    if argv[:2] == ("sh", "-c"):
        argv = argv[argv.index("--") + 1 :]
    return str(Command(tuple(word for word in argv if word != "purge-keeping")))


def _select(names: tuple[str, ...], mark: str) -> Command:
    lines = "".join(f"{name} {mark}\n" for name in names)
    return Command(("dpkg", "--set-selections"), stdin=lines.encode(), busy=_BUSY)


def _state(letters: str) -> State:
    return {"n": State.ABSENT, "c": State.CONFIGURATION, "i": State.INSTALLED}.get(letters[1:2], State.BROKEN)


_OPERATION = re.compile(r"^(Inst|Remv|Purg) (\S+)(?: \[([^\]]*)\])?(?: \(([^)]*)\))?")


def _operation(line: str) -> Operation | None:
    """Read `Inst name [old] (new Origin:version/suite, Origin:… [arch])` or `Remv name [old]`."""
    match = _OPERATION.match(line)
    if not match:
        return None
    kind, name, old, target = match.groups()
    if kind != "Inst":
        return Operation(name, old=old or "")
    version, _, rest = (target or "").partition(" ")
    origins = tuple(dict.fromkeys(part.strip().split(":")[0] for part in rest.split("[")[0].split(",") if ":" in part))
    return Operation(name, old or "", version, origins)


_COMPLAINTS = ("E:", "W:", "dpkg:", "Error:")
"""How lines begin with which apt and dpkg complain; dpkg's go on in the next line, behind a space."""


def _said(result: Result) -> str:
    """Return what apt complains of: the reasons it prints above `E:`, and the `E:` and `W:` lines."""
    reasons = [
        line for line in result.stdout.splitlines() if re.search(r"Depends:|Conflicts:|Breaks:|but .* is to be", line)
    ]
    complaints = [
        line.strip()
        for before, line in pairwise(("", *result.stderr.splitlines()))
        if line.startswith(_COMPLAINTS) or (before.startswith("dpkg:") and line.startswith(" "))
    ]
    return "\n".join((reasons + complaints)[-8:]) or result.tail()


_UNTRUSTED = (
    r"NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|signatures? (couldn't be|were) (verified|invalid)|not signed|Missing key"
    r"|could not be authenticated|unauthenticated packages|Hash Sum mismatch|unexpected size|weak (algorithm|security)"
    r"|OpenPGP signature verification failed"
)
_UNREACHED = (
    r"Temporary failure resolving|Could not (connect|resolve)|Connection (timed out|refused|failed)|Failed to fetch"
    r"|Unable to fetch|\b40[234]\b|no longer has a Release file|does not have a Release file"
)
_AGAIN = "then run the same command again"

_REASONS: tuple[tuple[str, type[RmqsetupError], str], ...] = (
    (_UNTRUSTED, TrustError, "do not install from this source until it is clear why"),
    (r"is not valid yet|is expired|Release file .* expired", TrustError, "check this machine's clock with: date -u"),
    (r"No space left on device|enough free space", ManagerError, f"free some space (df -h), {_AGAIN}"),
    (
        r"cannot be set aside",
        ManagerError,
        f"unmount what is mounted there (findmnt shows it; the data stay on it), {_AGAIN}",
    ),
    (
        r"Could not get lock|frontend lock|locked by another",
        ManagerError,
        "wait for it, or give more time with --lock-timeout SECONDS",
    ),
    (r"Read-only file system", ManagerError, f"remount the file system writable, {_AGAIN}"),
    (_UNREACHED, NetworkError, f"check the network and the proxy settings, {_AGAIN}"),
    (r"Held packages were changed|held broken packages", ManagerError, "see what is held with: apt-mark showhold"),
    (
        r"Unable to locate package|has no installation candidate|was not found",
        ManagerError,
        "see what is offered with: rmqsetup versions",
    ),
)
"""What apt says, the family of error it means, and what to do; the first that fits counts."""


def parse_progress(line: str) -> tuple[float, str] | None:
    """Return percent and words of a line of apt's status stream: to 100 the download, to 200 the unpacking."""
    match = re.search(r"(dl|pm)status:[^:]*:([0-9.]+):(.*)", line)
    if not match:
        return None
    kind, percent, words = match.groups()
    return float(percent) + (100.0 if kind == "pm" else 0.0), words.strip()
