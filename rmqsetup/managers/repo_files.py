""".repo files, which dnf and zypper have in common. Pure: text in, values out, and the other way round.

What each of the two wants otherwise is in its own file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmqsetup.host import Command
from rmqsetup.managers.layout import RPM, Layout
from rmqsetup.managers.sources import ConfiguredSource, Served

PRIORITY = 10
"""What ours are preferred with: others have 99, and a package of the same name there is then left alone."""

_URLS = ("baseurl", "mirrorlist", "metalink")


@dataclass(frozen=True, slots=True)
class Listed:
    """A package in the lists that a manager has; `repository` is what it calls where it is from."""

    name: str
    version: str
    repository: str


class RepoFiles:
    """What dnf and zypper do alike."""

    folder = ""
    keys = ""
    fetching = ""
    locks: tuple[str, ...] = ()
    """Files that say what is held."""

    @property
    def form(self) -> str:
        """Packages of rpm."""
        return "rpm"

    @property
    def layout(self) -> Layout:
        """Upstream's Erlang is one package."""
        return RPM

    @property
    def lists(self) -> tuple[str, str]:
        """One folder; the manager's own configuration may have repositories too, which nobody does."""
        return "", self.folder

    @property
    def file(self) -> str:
        """Ours."""
        return f"{self.folder}/rabbitmq.repo"

    def is_list(self, name: str) -> bool:
        """Tell a .repo file by its name."""
        return name.endswith(".repo") and not name.startswith(".")

    def keyring(self, name: str) -> str:
        """Return the file that gpgkey= names: what a server offers as a key is never asked for."""
        return f"{self.keys}/RPM-GPG-KEY-rmqsetup-{name}"

    def is_ours(self, path: str) -> bool:
        """Tell our .repo file and keys."""
        return path == self.file or path.startswith(self.keyring(""))

    def written(self, served: tuple[Served, ...], keyrings: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Return one .repo file: packages and indices checked by the keys, the distribution's modules without a say."""
        return ((self.file, "\n".join(_stanza(each, keyrings) for each in served)),)

    def parse_sources(self, file: str, text: str) -> tuple[ConfiguredSource, ...]:
        """Read a .repo file."""
        found = []
        for line, name, fields in _sections(text):
            urls = tuple(url for field in _URLS for url in re.split(r"[\s,]+", fields.get(field, "")) if url)
            if urls:
                enabled = fields.get("enabled", "1").lower() in ("1", "yes", "true", "on")
                key = fields.get("gpgkey", "")
                names = tuple(dict.fromkeys(map(_pattern, (name, fields.get("name") or name))))
                found.append(ConfiguredSource(file, line, enabled, ("rpm",), urls, (), signed_by=key, names=names))
        return tuple(found)

    def without(self, file: str, text: str, lines: tuple[int, ...]) -> str:
        """Return a .repo file without the sections that begin at `lines`; empty when none is left."""
        kept, doomed = [], False
        for number, line in enumerate(text.splitlines(keepends=True), 1):
            doomed = number in lines if _HEAD.match(line) else doomed
            kept += [] if doomed else [line]
        rest = "".join(kept)
        return rest if self.parse_sources(file, rest) else ""

    def offers(self, names: tuple[str, ...], *, fetch: bool) -> Command:
        """Ask what the lists have of some packages; with `fetch` lists that are too old are fetched first."""
        raise NotImplementedError

    def parse_offers(self, text: str) -> tuple[Listed, ...]:
        """Read the answer to `offers`."""
        raise NotImplementedError


_HEAD = re.compile(r"^\[([^\]]+)\]")


def _stanza(served: Served, keyrings: tuple[str, ...]) -> str:
    """`pkg_gpgcheck` is zypper's word for what dnf calls `gpgcheck`; each takes the other's for nothing."""
    urls = "\n        ".join(served.uris)
    keys = "\n       ".join(f"file://{keyring}" for keyring in keyrings)
    return (
        f"[{served.origin}]\nname={served.origin}\nbaseurl={urls}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n"
        f"pkg_gpgcheck=1\ngpgkey={keys}\nsslverify=1\npriority={PRIORITY}\nmodule_hotfixes=1\n"
        "skip_if_unavailable=0\nmetadata_expire=300\nautorefresh=1\ntype=rpm-md\n"
    )


def _pattern(name: str) -> str:
    """Return a shell pattern of a name as its manager says it: with variables such as $releasever filled in."""
    return re.sub(r"\$(\w+|\{[^}]*\})", "*", name.replace("[", "[[]"))


def _sections(text: str) -> list[tuple[int, str, dict[str, str]]]:
    """Split into line, name and fields of each section; continued lines are joined by spaces."""
    found: list[tuple[int, str, dict[str, str]]] = []
    field = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("#", ";")):
            continue
        if head := _HEAD.match(line):
            found.append((number, head[1], {}))
        elif found and line[:1].isspace() and field and line.strip():
            found[-1][2][field] += f" {line.strip()}"
        elif found and "=" in line:
            field, _, value = line.partition("=")
            field = field.strip().lower()
            found[-1][2][field] = value.strip()
    return found
