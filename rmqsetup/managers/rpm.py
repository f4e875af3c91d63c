"""What dnf and zypper have in common: the database of rpm below them. Each one's own words are in its own file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.resources import files

from rmqsetup.errors import ManagerError, RmqsetupError, TrustError
from rmqsetup.host import Command, Result
from rmqsetup.managers import Present, State, Wish
from rmqsetup.managers.layout import RPM

TRANSACTION_SECONDS = 1800.0
"""Deadline of a whole transaction: slow links and slow disks are no failure."""

BEGUN = "/var/lib/misc/rmqsetup-transaction.begun"
"""There while a transaction of ours runs, and after one that was cut; where anybody can see it."""

STAMP = "/var/lib/misc/rmqsetup-transaction"
"""As old as the beginning of our last transaction: rpm gives files the age they had where they were built."""

ROW = (
    "package\\t%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{VENDOR}\\t"
    "%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}|}|\\n"
)
"""What rpm is asked for of a package; `rpm.sh` does the same."""

_MEANT_TWICE = ("gpg-pubkey", "kernel", "kmod")
_VERDICT = "rpm says that this did not come about"
_MANY = 8
"""How many lines of a manager's own words an error shows."""

Reasons = tuple[tuple[str, type[RmqsetupError], str], ...]
"""What a manager says, the family of error it means, and what to do; the first that fits counts."""


class AboveRpm:
    """What dnf and zypper have the same as managers, since it is about the database of rpm below them."""

    def parse_list(self, text: str) -> tuple[Present, ...]:
        """Read packages and holds; the id of the key that signed each is there too."""
        return parse_list(text)

    def mend(self, wish: Wish) -> Command:  # noqa: ARG002 - nothing starts by itself
        """Remove older versions that a cut transaction left beside the newer ones."""
        return replace(script("mend", timeout=TRANSACTION_SECONDS), weighed=True)

    @property
    def unfinished(self) -> str:
        """Our own note: rpm has none."""
        return BEGUN

    @property
    def note(self) -> str:
        """The same: what was cut there is what there is to put in order."""
        return BEGUN

    def holders(self) -> None:
        """Nobody to ask: each names the process that it waits for itself."""

    def stamp(self, name: str) -> str:  # noqa: ARG002 - one for all
        """Return the note of our last transaction, as old as its beginning."""
        return STAMP


def script(verb: str, *words: str, timeout: float = 60.0) -> Command:
    """Return a run of `rpm.sh`, which says itself what its verbs do."""
    text = files("rmqsetup.managers").joinpath("rpm.sh").read_text()
    return Command(("sh", "-c", text, "rpm", verb, *words), timeout=timeout)


def transact(wish: Wish, command: Command, *, purge: bool) -> Command:
    """Let a command run and be judged by what rpm says afterwards: its exit code alone says too little."""
    names = tuple(f"{name}-" for name in wish.purge) if purge else _names(wish)
    run = script("transact", *names, "--", *command.argv, timeout=command.timeout)
    return replace(run, env=command.env, busy=command.busy)


def again(wish: Wish, command: Command, *, joint: str) -> Command:
    """Let a command run with those of the wished packages that are there already; what it fails with is weighed.

    `joint` stands between name and version, as the command wants it.
    """
    run = script("again", joint, *_names(wish), "--", *command.argv, timeout=command.timeout)
    return replace(run, env=command.env, busy=command.busy, weighed=True)


def doomed(wish: Wish) -> tuple[Command, ...]:
    """Delete the data of a server that goes, where a wish that keeps something does not keep them: rpm never does."""
    gone = [path for path in RPM.kept if path not in wish.keep] if wish.keep and RPM.server in wish.purge else []
    return (Command(("rm", "-rf", "--", *gone)),) if gone else ()


def parse_list(text: str) -> tuple[Present, ...]:
    """Read what `rpm.sh list` says. A name that is there in two versions is what a cut transaction leaves behind."""
    rows = [line.split("\t") for line in text.splitlines()]
    packages = [row[1:] for row in rows if row[0] == "package" and len(row) == 6]
    locks = tuple(lock for row in rows if row[0] == "lock" for lock in _locks("\t".join(row[1:])))
    counts: dict[tuple[str, str], int] = {}
    for name, _, architecture, _, _ in packages:
        counts[name, architecture] = counts.get((name, architecture), 0) + 1
    return tuple(
        Present(
            name,
            version,
            State.BROKEN if counts[name, arch] > 1 and not name.startswith(_MEANT_TWICE) else State.INSTALLED,
            held=any(fnmatchcase(name, lock) for lock in locks),
            vendor="" if vendor == "(none)" else vendor,
            signer=_signer(signature),
        )
        for name, version, arch, vendor, signature in packages
    )


def may_lock(file: str, line: str) -> bool:
    """Tell whether a line of a file is about what is held; the rest of a configuration may hold a password."""
    return line.startswith("exclude") if file.endswith(".conf") else bool(line.strip())


def installed(text: str) -> tuple[Present, ...]:
    """Return what is installed, of an answer that ends in what `rpm.sh list` says."""
    return tuple(present for present in parse_list(text) if present.state is State.INSTALLED)


TRUSTED = Command(("rpm", "-q", "gpg-pubkey", "--qf", "%{VERSION} %{RELEASE}\\n"))
"""Asks for the keys that rpm trusts; exit code 1 says that there is none."""

_BUSY = ("can't create transaction lock",)


def names_of_key(fingerprint: str, text: str) -> tuple[str, ...]:
    """Return what rpm calls a key, of its answer to `TRUSTED`: the version is its last 8 digits, from rpm 6 on all."""
    rows = (line.split() for line in text.splitlines())
    pairs = [(row[0], row[1]) for row in rows if len(row) == 2 and re.fullmatch(r"[0-9a-f]{8,}", row[0])]
    return tuple(f"gpg-pubkey-{version}-{release}" for version, release in pairs if _is_key(fingerprint, version))


def _is_key(fingerprint: str, version: str) -> bool:
    return fingerprint.lower().endswith(version)


def trust(path: str) -> Command:
    """Let rpm trust the key in a file."""
    return Command(("rpm", "--import", path), busy=_BUSY)


def distrust(names: tuple[str, ...]) -> Command:
    """Take keys out of what rpm trusts."""
    return Command(("rpm", "-e", "--allmatches", *names), busy=_BUSY)


def explain_trust(result: Result) -> RmqsetupError:
    """Say why rpm did not take a key, or did not let it go."""
    hint = "if another program holds rpm's lock, wait for it; else see whether the disk is full (df -h)"
    return ManagerError("rpm's trust in a key could not be changed", cause=result.tail(), hint=hint)


_VERB = r"(?P<verb>Installing|Upgrading|Downgrading|Reinstalling|Removing|Erasing|Cleanup)"
_PART = r"(?P<part>\d+)/(?P<of>\d+)"
_PROGRESS = (  # of dnf 4, dnf 5 and zypper
    re.compile(rf"^  {_VERB} *: (?P<name>\S+) +{_PART}$"),
    re.compile(rf"^\[{_PART}\] {_VERB} (?P<name>\S+)"),
    re.compile(rf"^\({_PART}\) {_VERB}: (?P<name>\S+)"),
    re.compile(rf"^\({_PART}\): (?P<name>\S+\.rpm)"),
    re.compile(rf"^\[{_PART}\] (?P<name>\S+-\d+:\S+)"),
    re.compile(rf"^Retrieving: (?P<name>\S+) .*\({_PART}\)"),
)


def parse_progress(line: str) -> tuple[float, str] | None:
    """Return percent and words of a line that counts packages: to 100 the download, to 200 the rest."""
    match = next((found for pattern in _PROGRESS if (found := pattern.match(line))), None)
    if match is None:
        return None
    fields = match.groupdict()
    percent = 100.0 * int(fields["part"]) / max(int(fields["of"]), 1)
    verb = fields.get("verb")
    return (100.0 + percent, f"{verb} {fields['name']}") if verb else (min(percent, 99.0), fields["name"])


def _names(wish: Wish) -> tuple[str, ...]:
    return tuple(f"{p.name}={p.version}" if p.version else p.name for p in wish.install)


def _locks(line: str) -> Iterator[str]:
    """Read a line of versionlock.list, versionlock.toml, dnf.conf or zypp's locks: patterns of names."""
    line = line.strip()
    if match := re.match(r'name\s*=\s*"(.*)"$|solvable_name:\s*(\S+)$', line):
        yield match[1] or match[2]
    elif match := re.match(r"(?:excludepkgs|exclude)\s*=(.*)$", line):
        yield from re.findall(r"[^\s,]+", match[1])
    elif re.fullmatch(r"[A-Za-z0-9*?][^\s=]*", line) and not line.endswith(":"):
        # a whole package, erlang-0:27.3.4.6-1.el9.*, or a pattern somebody wrote
        yield re.sub(r"-(\d+:)?[^-:]+-[^-]+$", "", line)


def _signer(signature: str) -> str:
    """Return the id of the key that signed a package, of `RSA/SHA512, Fri …, Key ID 6b73a36e6026dfca`."""
    match = re.search(r"Key ID ([0-9a-fA-F]{8,40})\b", signature)
    return match[1].upper() if match else ""


def explain(result: Result, said: str, reasons: Reasons, uris: tuple[str, ...] = ()) -> RmqsetupError:
    """Say why a manager failed; doubts about other sources than `uris` are no trust error."""
    fallback = f"type it to see more: {readable(result.command)}"
    error = error_of("the package manager failed", said, reasons, fallback=fallback)
    known = tuple(uri.partition("://")[2].partition("/")[0] for uri in uris)
    named = re.findall(r"https?://([^/\s:']+)", said)
    if known and named and isinstance(error, TrustError) and not set(named) & set(known):
        return ManagerError(error.message, cause=error.cause, hint=error.hint)
    return error


def error_of(message: str, said: str, reasons: Reasons, *, fallback: str, hint: str = "") -> RmqsetupError:
    """Return the error that a manager's words mean; `hint` goes before our own."""
    lines = [line for line in said.splitlines() if not line.startswith(_VERDICT)] or said.splitlines()
    cause = "\n".join(lines[-_MANY:])
    for pattern, family, advice in reasons:
        if re.search(pattern, said, re.IGNORECASE):
            return family(message, cause=cause, hint=hint or advice)
    return ManagerError(message, cause=cause, hint=hint or fallback)


def readable(command: Command) -> str:
    """Return the package command itself, without the script around it."""
    argv = command.argv
    if argv[:2] == ("sh", "-c") and "--" in argv:
        argv = argv[argv.index("--") + 1 :]
    elif argv[:2] == ("sh", "-c"):
        return argv[2].partition("\n")[0] if len(argv) == 3 else str(Command(("rpm", *argv[4:])))
    return shlex.join(argv)
