"""What is configured for apt, and is to be, in its files and the text of `apt-cache policy`. Pure: text in, values out.

How apt is told to change anything belongs to `apt`; whose keys it trusts to `apt_trust`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from rmqsetup.host import Command
from rmqsetup.managers.layout import SYSTEM, Layout
from rmqsetup.managers.sources import ConfiguredSource, Served

LISTS = "/var/lib/apt/lists"
"""Where apt keeps the indices it fetched."""

SOURCES = "/etc/apt/sources.list"
"""The oldest source list; the others lie beside it in `SOURCES_FOLDER`."""

SOURCES_FOLDER = "/etc/apt/sources.list.d"
"""Where all other source lists are."""


OURS = "/etc/apt/sources.list.d/rabbitmq.sources"
"""The source list that is ours."""

PIN = "/etc/apt/preferences.d/rabbitmq"
"""What prefers it."""

KEYRING = "/usr/share/keyrings/com.rabbitmq.{source}.asc"
"""Where the key of a source is put."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One version of a package in the lists apt has now; `uri` and `suite` are empty for what is only installed.

    `origin` is the Origin field of its Release file, empty where that is not known.
    """

    package: str
    version: str
    architecture: str
    priority: int
    uri: str
    suite: str
    component: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What `apt-cache policy` says of one package; versions are empty where it says (none)."""

    package: str
    installed: str
    candidate: str
    offers: tuple[Offer, ...] = ()


class AptSources:
    """How apt is told of repositories."""

    @property
    def form(self) -> str:
        """Packages of dpkg."""
        return "deb"

    @property
    def layout(self) -> Layout:
        """Debian's Erlang is many packages."""
        return SYSTEM

    @property
    def fetching(self) -> str:
        """What fetches the lists."""
        return "apt-get update"

    @property
    def lists(self) -> tuple[str, str]:
        """The oldest list, and the folder beside it."""
        return SOURCES, SOURCES_FOLDER

    def is_list(self, name: str) -> bool:
        """Tell a source list by its name."""
        return is_source_list(name)

    def keyring(self, name: str) -> str:
        """Return the file that Signed-By names."""
        return KEYRING.format(source=name)

    def is_ours(self, path: str) -> bool:
        """Tell our list, our pin and our keyrings."""
        return path in (OURS, PIN) or path.startswith(KEYRING.partition("{")[0])

    def written(self, served: tuple[Served, ...], keyrings: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Return list and pin."""
        return (OURS, "\n".join(_stanza(each, keyrings) for each in served)), (PIN, _pin(served))

    def parse_sources(self, file: str, text: str) -> tuple[ConfiguredSource, ...]:
        """Read a source list."""
        return parse_sources(file, text)

    def without(self, file: str, text: str, lines: tuple[int, ...]) -> str:
        """Return a source list without some entries."""
        return without(file, text, lines)


def _stanza(served: Served, keyrings: tuple[str, ...]) -> str:
    return (
        f"Types: deb\nURIs: {' '.join(served.uris)}\nSuites: {served.suite}\nComponents: {served.component}\n"
        f"Architectures: {served.architecture}\nSigned-By: {' '.join(keyrings)}\n"
    )


def _pin(every: tuple[Served, ...]) -> str:
    """Prefer the source for the whole family: `release o=` is the Origin field, `origin` the host's name.

    The host is for mirrors whose Release file has no Origin, or one with a comma, which apt would split.
    """
    pins = dict.fromkeys(
        f"release o={served.origin}" if served.origin and "," not in served.origin else f'origin "{host}"'
        for served in every
        for host in (urlsplit(uri).hostname or "" for uri in served.uris)
    )
    names = f"{SYSTEM.server} erlang erlang-*"
    return "\n".join(f"Package: {names}\nPin: {pin}\nPin-Priority: 1001\n" for pin in pins)


def is_source_list(name: str) -> bool:
    """Tell whether apt would read a file of that name in `SOURCES_FOLDER`."""
    return bool(re.fullmatch(r"[A-Za-z0-9_.-]+\.(list|sources)", name)) and not name.startswith(".")


def parse_sources(file: str, text: str) -> tuple[ConfiguredSource, ...]:
    """Read a source list in the format its name promises; what cannot be read is left out, as apt would complain."""
    entries = _deb822(file, text) if file.endswith(".sources") else _one_line(file, text)
    return tuple(entry for entry in entries if entry.uris)


_LINE = re.compile(
    r"^\s*(?P<off>#[#\s]*)?(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s*)?"
    r"(?P<uri>cdrom:\[[^\]]*\]\S*|\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)"
)


def _one_line(file: str, text: str) -> list[ConfiguredSource]:
    """Read `deb [options] uri suite components`; a commented-out one is a disabled entry if it names a URI."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.match(line)
        if not match or (match["off"] and not re.match(r"[a-z0-9+]+:", match["uri"])):
            continue
        options = dict(re.findall(r"([\w-]+?)\+?=(\S+)", match["options"] or ""))
        found.append(
            ConfiguredSource(
                file=file,
                line=number,
                enabled=not match["off"],
                types=(match["type"],),
                uris=(match["uri"],),
                suites=(match["suite"],),
                components=tuple(match["components"].split()),
                architectures=tuple(filter(None, options.get("arch", "").split(","))),
                signed_by=options.get("signed-by", ""),
                trusted=options.get("trusted") == "yes",
            )
        )
    return found


def _deb822(file: str, text: str) -> list[ConfiguredSource]:
    found = []
    for number, fields in _stanzas(text):
        words = {name: tuple(value.split()) for name, value in fields}
        values = dict(fields)
        found.append(
            ConfiguredSource(
                file=file,
                line=number,
                enabled=values.get("enabled", "yes").strip().lower()
                not in ("no", "false", "without", "off", "disable"),
                types=words.get("types", ()),
                uris=words.get("uris", ()),
                suites=words.get("suites", ()),
                components=words.get("components", ()),
                architectures=words.get("architectures", ()),
                signed_by=values.get("signed-by", "").strip(),
                trusted=values.get("trusted", "").strip().lower() == "yes",
            )
        )
    return found


def _stanzas(text: str) -> list[tuple[int, list[tuple[str, str]]]]:
    """Split deb822 text into stanzas of (line number, fields); names in lower case, continuation lines joined."""
    stanzas: list[tuple[int, list[tuple[str, str]]]] = []
    fields: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        if not line.strip():
            fields = []
        elif line[0].isspace():
            if fields:
                name, value = fields[-1]
                fields[-1] = (name, f"{value}\n{line.strip()}")
        elif ":" in line:
            if not fields:
                stanzas.append((number, fields))
            name, _, value = line.partition(":")
            fields.append((name.strip().lower(), value.strip()))
    return stanzas


def policy_command(names: tuple[str, ...]) -> Command:
    """Ask for the versions in apt's lists; one call, as each start of apt costs. Changes nothing, needs no root."""
    return Command(("apt-cache", "policy", *names), timeout=60.0)


_VERSION = re.compile(r"^ (?:\*\*\*|   ) (?P<version>\S+)(?: (?P<priority>-?\d+))?(?: \(phased.*\))?$")
_ORIGIN = re.compile(r"^ {6,}(?P<priority>-?\d+) (?P<uri>\S+) (?P<where>\S+)(?: (?P<arch>\S+))? Packages$")


def parse_policy(text: str) -> tuple[Policy, ...]:
    """Read `apt-cache policy NAME…`; a version that is only installed has one offer without a URI."""
    found: list[Policy] = []
    version = ""
    for line in text.splitlines():
        head = re.match(r"^(\S+):$", line)
        if head:
            found.append(Policy(head[1], "", ""))
        elif found and (field := re.match(r"^  Installed: (\S+)$", line)):
            found[-1] = replace(found[-1], installed=field[1].replace("(none)", ""))
        elif found and (field := re.match(r"^  Candidate: (\S+)$", line)):
            found[-1] = replace(found[-1], candidate=field[1].replace("(none)", ""))
        elif found and (match := _VERSION.match(line)):
            version = match["version"]
        elif found and version and (offer := _offer(found[-1].package, version, line)):
            found[-1] = replace(found[-1], offers=(*found[-1].offers, offer))
    return tuple(found)


def _offer(package: str, version: str, line: str) -> Offer | None:
    match = _ORIGIN.match(line)
    if match:
        where = match["where"]
        suite, _, component = (where, "", "") if where.endswith("/") else where.rpartition("/")
        return Offer(package, version, match["arch"] or "", int(match["priority"]), match["uri"], suite, component)
    installed = re.match(r"^ {6,}(-?\d+) (/\S+)$", line)
    return Offer(package, version, "", int(installed[1]), "", "", "") if installed else None


def list_name(url: str) -> str:
    """Return the name apt gives the file of a URL in its lists (apt's URItoFileName)."""
    bare = re.sub(r"^[a-z0-9+-]+:(?://)?(?:[^/@]*@)?", "", url)
    quoted = re.sub(r"""[^!-~]|[\\|{}\[\]<>"^~_=!@#$%&*]""", lambda found: f"%{ord(found[0]):02x}", bare)
    return quoted.replace("/", "_")


def release_files(uri: str, suite: str) -> tuple[str, ...]:
    """Return the paths under which apt may keep the Release file of a suite, likeliest first."""
    inner = suite.lstrip("/") if suite.endswith("/") else f"dists/{suite}/"
    place = f"{uri.rstrip('/')}/{inner}"
    return tuple(f"{LISTS}/{list_name(place + name)}" for name in ("InRelease", "Release"))


def parse_origin(text: str) -> str:
    """Return the Origin field at the head of a Release file, empty without one."""
    match = re.search(r"^Origin:[ \t]*(.*)$", text[:4096], re.MULTILINE)
    return match[1].strip() if match else ""


def without(file: str, text: str, lines: tuple[int, ...]) -> str:
    """Return a source list without the entries that begin at `lines`; empty when no entry is left.

    All other lines stay as they are, to the byte.
    """
    stanzas = file.endswith(".sources")
    kept, doomed = [], False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        ends = stanzas and doomed and not line.strip()  # the blank line that ended the stanza goes with it
        doomed = number in lines or (stanzas and doomed and not ends)
        if not doomed and not ends:
            kept.append(line)
    rest = "".join(kept)
    return rest if parse_sources(file, rest) else ""
