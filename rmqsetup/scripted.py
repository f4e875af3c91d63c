"""How a script speaks of packages: of dpkg's, and of rpm's.

What a script is made of otherwise belongs to `export`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Protocol

from rmqsetup.catalog import Distribution
from rmqsetup.facts import Facts
from rmqsetup.host import Command
from rmqsetup.managers import manager, rpm
from rmqsetup.managers.repo_files import RepoFiles
from rmqsetup.managers.sources import find
from rmqsetup.plan import Plan
from rmqsetup.resolution import Resolution
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.trust import Trust

_HELPERS = ("transaction", "rpm")
"""What scripts around package commands are called, in their own argv and in an export."""


class Speech(Protocol):
    """One form of packages in a script. `library` and `helper` are the files with its functions and around its runs.

    `certificates` is what a Dockerfile needs first for https, `lists` what it leaves behind.
    """

    library: str
    helper: str
    certificates: str
    lists: str

    def image(self, row: Distribution) -> str:
        """Return the container image of a distribution, empty where none is known."""

    def here(self, resolution: Resolution, facts: Facts) -> tuple[str, ...]:
        """Return the lines that stop on a machine that a plan was not made for."""

    def packages(self, step: Packages) -> Iterator[str]:
        """Yield what installs and holds."""


def speech(plan: Plan) -> Speech:
    """Return how a script for a plan speaks of packages."""
    its = find(plan.facts.manager) if plan.facts else None
    return _Rpm(its) if isinstance(its, RepoFiles) else _Deb()


class _Deb:
    library = "export_deb.sh"
    helper = "transaction"
    certificates = "RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates\n"
    lists = "/var/lib/apt/lists/*"

    def image(self, row: Distribution) -> str:
        """Name it as Docker Hub does."""
        return f"{row.family}:{row.codename}"

    def here(self, resolution: Resolution, facts: Facts) -> tuple[str, ...]:
        """Look at the codename and, for packages of a source, at the architecture."""
        row = resolution.distribution
        names = dict.fromkeys(filter(None, (row.codename, facts.os.codename)))
        lines = (
            f'case $(. /etc/os-release && printf %s "${{VERSION_CODENAME:-}}") in\n'
            f"    {' | '.join(map(shlex.quote, names))}) ;;\n"
            f"    *) stop {shlex.quote(f'this was made for {row.name} ({row.codename})')} ;;\nesac\n"
        )
        return (lines, *_for_architecture("dpkg --print-architecture", resolution, facts))

    def packages(self, step: Packages) -> Iterator[str]:
        """Install what a simulation has shown to be as resolved; set dpkg's marks."""
        its, wish = manager(step.manager), step.wish()
        yield (
            f'in_family() {{ matches "$1" {shlex.join(step.family)}; }}\n'
            f'may_come_from() {{ matches "$1" {shlex.join(step.origins or ("*",))}; }}\n'
        )
        if step.want:
            patiently = f"patiently {step.lock_timeout}"
            yield (
                f"if {_lacking(step)}; then\n"
                f'    if [ -e {its.unfinished} ] || [ -n "$(dpkg --audit)" ]; then\n'
                f"        say 'finish what was interrupted'\n"
                f"        {typed(its.mend(wish), patiently)} || :\n"
                "    fi\n"
                "    say 'fetch the indices'\n"
                f"    {typed(its.refresh(step.lock_timeout), patiently)} ||\n"
                "        say 'not every index could be fetched; going on with what is there'\n"
                f'    if [ -e {its.unfinished} ] || [ -n "$(dpkg --audit)" ]; then\n'
                f"        {typed(its.complete(wish), patiently)} || :\n"
                "    fi\n"
                "    say 'look at what would be installed'\n"
                f'    {typed(its.simulate(wish))} >"$work/simulation" || {{\n'
                '        tail -n 20 "$work/simulation" >&2\n'
                '        stop "the packages cannot be installed as resolved"\n'
                "    }\n"
                '    judge <"$work/simulation"\n'
                "    say 'install'\n"
                + "".join(f"    {typed(command, patiently)}\n" for command in its.carry_out(wish))
                + "fi\n"
            )
        yield "".join(
            f"mark {letter} {selection} {shlex.join(patterns)}\n"
            for letter, selection, patterns in (("i", "hold", step.hold), ("h", "install", step.release))
            if patterns
        )


class _Rpm:
    library = "export_rpm.sh"
    helper = "rpm"
    certificates = ""
    lists = "/var/cache/dnf /var/cache/libdnf5 /var/cache/zypp"

    def __init__(self, its: RepoFiles) -> None:
        self._its = its

    def image(self, row: Distribution) -> str:
        """Name the one in the catalog."""
        return row.image

    def here(self, resolution: Resolution, facts: Facts) -> tuple[str, ...]:
        """Look at the system's own name and version and, for packages of a source, at the architecture."""
        name = f"{facts.os.id}-{resolution.distribution.version}".rstrip("-")
        known = shlex.quote(name)
        lines = (
            f'case $(. /etc/os-release && printf %s "$ID-${{VERSION_ID:-}}") in\n    {known} | {known}[.-]*) ;;\n'
            f"    *) stop {shlex.quote(f'this was made for {name}')} ;;\nesac\n"
        )
        return (lines, *_for_architecture("uname -m", resolution, facts))

    def packages(self, step: Packages) -> Iterator[str]:
        """Install, and let rpm say whether that came about; hold what is not held yet.

        Where packages come from is in the .repo files: exact versions are in ours, which check every signature.
        """
        its, wish = manager(step.manager), step.wish()
        if step.want:
            patiently = f"patiently {step.lock_timeout}"
            yield (
                f"if {_lacking(step)}; then\n"
                f"    [ ! -e {its.unfinished} ] || {typed(its.mend(wish))}\n"
                "    say 'fetch the indices'\n"
                f"    {typed(its.refresh(step.lock_timeout), patiently)} ||\n"
                "        say 'not every index could be fetched; going on with what is there'\n"
                "    say 'install'\n"
                + "".join(f"    {typed(command, patiently)}\n" for command in its.carry_out(wish))
                + "fi\n"
            )
        locks = shlex.join(self._its.locks)
        for negation, patterns, command in (("!", step.hold, its.hold(())), ("", step.release, its.release(()))):
            if patterns:
                yield (
                    f"for name in $(installed {shlex.join(patterns)}); do\n"
                    f'    if {f"{negation} held".strip()} "$name" {locks}; then {typed(command)} "$name"; fi\ndone\n'
                )


def trusting(step: Trust) -> str:
    """Return what imports a key unless rpm trusts it already."""
    return f"trusted {step.fingerprint.lower()} || {typed(rpm.trust(step.path))}\n"


def _lacking(step: Packages) -> str:
    return " ||\n    ".join(f"! there {shlex.join(filter(None, (p.name, p.version)))}" for p in step.want)


def _for_architecture(question: str, resolution: Resolution, facts: Facts) -> tuple[str, ...]:
    if not resolution.served:
        return ()
    return (f'[ "$({question})" = {facts.architecture} ] || stop "this was made for {facts.architecture}"\n',)


def typed(command: Command, before: str = "") -> str:
    """Return a command as it stands in the script; the script around a transaction is a file there."""
    argv = command.argv
    words = [before] if before else []
    if command.env:
        words += ["env", *(f"{name}={shlex.quote(value)}" for name, value in command.env)]
    if argv[:2] == ("sh", "-c") and argv[3] in _HELPERS:
        words += ["sh", f'"$work/{argv[3]}"']
        argv = argv[4:]
    words += map(shlex.quote, argv)
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 96:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    text = " \\\n        ".join(lines)
    return text.replace(" -o APT::Status-Fd=3", "")  # nobody reads that stream here
