"""Where packages come from: source lists, keys, proxies, and whether the sources still serve this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from rmqsetup.catalog import load
from rmqsetup.checks import Check, Diagnosis, error, warning
from rmqsetup.checks.cures import aside, disabled, switched_off
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.checks.trust import key_fault
from rmqsetup.managers import apt_sources
from rmqsetup.managers.sources import ConfiguredSource
from rmqsetup.steps import Step

HOSTS = 2
"""So many names are asked for: where no name server answers, each takes seconds."""

POLICY = ("apt-cache", "-o", "pkgCacheFile::Generate=false", "policy", "rabbitmq-server")
_PINNING = ("Package", "Pin", "Pin-Priority")
_OWN = re.compile(r"/etc/apt/(?:apt\.conf|preferences)|APT::Default-Release")
"""What complaints of apt about its own configuration name; those about sources are another matter."""

_PROXY = re.compile(r"\s*(?:export\s+)?(?i:https?_proxy)=[\"']?(?:https?://)?([^\s\"'/]+)")
_DATES = re.compile(r"^(Date|Valid-Until): (.*)$", re.MULTILINE)


def retired(scene: Scene) -> Iterator[Diagnosis]:
    """No source is configured that was shut down or given up: bintray, packagecloud, Cloudsmith, old mirrors."""
    doomed = [each for each in _enabled(scene) if each.retired]
    for source in doomed[:1]:
        row = next((row for row in load().retired if row.id == source.retired), None)
        yield warning(
            "RMQ-020",
            f"a source is configured that no longer serves packages: {' '.join(source.uris)}",
            evidence=tuple(_place(each) for each in doomed),
            cause=row.reason if row else "",
            hint="remove these lines; rmqsetup install sets up what replaced them",
            fix=switched_off(scene, doomed),
            safe=True,
        )


def conflicting(scene: Scene) -> Iterator[Diagnosis]:
    """No source is configured twice with different keys: apt then refuses to read any list at all."""
    known: dict[tuple[str, str], ConfiguredSource] = {}
    for source in _enabled(scene):
        for place in ((uri.rstrip("/"), suite) for uri in source.uris for suite in source.suites or ("",)):
            other = known.setdefault(place, source)
            if _signers(other) != _signers(source):
                spare = _worse(scene, other, source)
                is_apt = scene.facts.manager == "apt"
                yield (error if is_apt else warning)(
                    "RMQ-021",
                    f"{place[0]} is configured twice, with conflicting keys (Signed-By)",
                    evidence=(_place(other), _place(source)),
                    cause="apt reads no list at all as long as two entries disagree" if is_apt else "",
                    hint=f"keep one of them: remove the entry in {other.file} or the one in {source.file}",
                    fix=switched_off(scene, (spare,)),
                )
                return


def malformed(scene: Scene) -> Iterator[Diagnosis]:
    """Apt can read its source lists. It says so itself, without fetching anything."""
    if scene.facts.manager != "apt":
        return
    answer = scene.run("apt-get", "indextargets", "--format", "$(SITE)", timeout=10.0)
    said = [line for line in answer.stderr.splitlines() if line.startswith("E:")]
    if said and not answer.ok:
        yield error(
            "RMQ-022",
            "apt cannot read its source lists",
            evidence=tuple(said[:3]),
            hint="put the named file right, or move it out of /etc/apt/sources.list.d",
            fix=tuple(step for line in said for step in _readable(scene, line)),
        )


def settled(scene: Scene) -> Iterator[Diagnosis]:
    """Apt can read its own configuration and its preferences, and has the release that it is to prefer.

    One line that it cannot read keeps it from doing anything at all. It says so itself; nothing is fetched.
    """
    if scene.facts.manager != "apt":
        return
    asked = (("apt-config", "dump", "Acquire"), *((POLICY,) if _is_odd(scene) else ()))
    for argv in asked:
        answer = scene.run(*argv)
        said = [line for line in answer.stderr.splitlines() if line.startswith("E:")]
        if answer.ok or not any(_OWN.search(line) for line in said):
            continue
        yield error(
            "RMQ-152",
            "apt cannot read its own configuration",
            evidence=tuple(said[:3]),
            cause="as long as that is so, no package can be installed, upgraded or removed",
            hint="put the named file right, or move it out of /etc/apt",
            fix=tuple(step for line in said for step in _mended(scene, line)),
        )
        return


def _is_odd(scene: Scene) -> bool:
    """Tell whether it is worth asking apt for what it makes of its preferences, which costs a tenth of a second."""
    folders = {path: scene.names(path) for path in ("/etc/apt/preferences.d", "/etc/apt/apt.conf.d")}
    text = {path: [scene.text(f"{path}/{name}") for name in names] for path, names in folders.items()}
    pinned = "\n\n".join((scene.text("/etc/apt/preferences"), *text["/etc/apt/preferences.d"]))
    plain = re.sub(r"^#.*\n?", "", pinned, flags=re.MULTILINE)
    stanzas = (stanza for stanza in re.split(r"\n\s*\n", plain) if stanza.strip())
    whole = all(re.search(rf"^{key}:", stanza, re.MULTILINE) for stanza in stanzas for key in _PINNING)
    chosen = any("Default-Release" in each for each in (scene.text("/etc/apt/apt.conf"), *text["/etc/apt/apt.conf.d"]))
    return chosen or not whole


def _mended(scene: Scene, complaint: str) -> tuple[Step, ...]:
    """Move aside what apt cannot read; a release that it does not have is no longer preferred."""
    if value := re.search(r"'([^']+)' is invalid for APT::Default-Release", complaint):
        return disabled(_configured(scene, f'"{value[1]}"', "Default-Release"), "// ")
    found = re.search(r"(/etc/apt/(?:apt\.conf|preferences)\.d/[^\s:,]+)", complaint)
    return (aside(scene, found[1]),) if found else ()


def dates(scene: Scene) -> Iterator[Diagnosis]:
    """What the sources sent is valid now: neither from the future nor expired."""
    for source in _enabled(scene):
        if re.search(r"check-date\s*[:=]\s*no", scene.text(source.file), re.IGNORECASE):
            continue
        for uri, suite in ((uri, suite) for uri in source.uris for suite in source.suites):
            path, text = _release(scene, uri, suite)
            found = dict(_DATES.findall(text[:8192]))
            begins, ends = _moment(found.get("Date", "")), _moment(found.get("Valid-Until", ""))
            if begins and begins > scene.now + 60:
                yield warning(
                    "RMQ-024",
                    f"the index of {uri} is not valid yet: the clock of this machine is behind",
                    evidence=(f"{path}: Date: {found['Date']}", f"now it is {_told(scene.now)}"),
                    hint="set the clock: timedatectl set-ntp true; then: apt-get update",
                )
            elif ends and ends < scene.now and _is_renewed(scene, path, ends) and _is_checked(scene):
                yield warning(
                    "RMQ-024",
                    f"the index of {uri} has expired: a mirror that is not renewed, or a clock that is ahead",
                    evidence=(f"{path}: Valid-Until: {found['Valid-Until']}", f"now it is {_told(scene.now)}"),
                    hint="compare the clock with: date -u; then: apt-get update, or take another mirror",
                )


def proxy(scene: Scene) -> Iterator[Diagnosis]:
    """The proxy that apt is told to use answers: by its own configuration, or by the environment of every login."""
    if scene.facts.manager != "apt":
        return
    seen: set[tuple[str, int, str]] = set()
    for host, number, said, lines, mark in (*_told_apt(scene), *_told_everybody(scene)):
        place = (host, number, lines[0].file if lines else "")
        problem = "" if place in seen else scene.opens(host, number)
        seen.add(place)
        if problem:
            yield warning(
                "RMQ-026",
                f"apt is told to use a proxy that does not answer: {host}:{number}",
                evidence=(f"{said}, {problem}", *(each.place for each in lines[:2])),
                hint=f"start the proxy, or take the line out of {place[2] or '/etc/apt/apt.conf.d'}",
                fix=disabled(lines, mark),
            )


Told = tuple[str, int, str, tuple[Setting, ...], str]
"""Host and port of a proxy, who says so, in which lines, and how these are commented out."""


def _told_apt(scene: Scene) -> Iterator[Told]:
    dump = scene.run("apt-config", "dump", "Acquire").stdout
    for scheme, address in re.findall(r'^Acquire::(https?)::Proxy "https?://([^"]+)";', dump, re.MULTILINE):
        host, port = _end(address)
        lines = _configured(scene, host if f":{port}" not in address else f"{host}:{port}")
        yield host, port, f"apt-config: Acquire::{scheme}::Proxy", lines, "// "


def _told_everybody(scene: Scene) -> Iterator[Told]:
    """Yield what each login is told: apt takes it where its own configuration says nothing."""
    folder = "/etc/profile.d"
    scripts = (f"{folder}/{name}" for name in scene.names(folder) if name.endswith(".sh"))
    for path in ("/etc/environment", *scripts):
        found = [
            (match, Setting("", "", path, number, line))
            for number, line in enumerate(scene.text(path).splitlines(), start=1)
            if (match := _PROXY.match(line))
        ]
        for match, line in found:
            host, port = _end(match[1])
            yield (
                host,
                port,
                f"{path}: {line.raw.partition('=')[0].split()[-1]}",
                tuple(each for _, each in found),
                "# ",
            )


def _end(address: str) -> tuple[str, int]:
    host, _, port = address.rstrip("/").rpartition("@")[2].partition(":")
    return host, int(port) if port.isdigit() else 80


def reachable(scene: Scene) -> Iterator[Diagnosis]:
    """The hosts of the sources have addresses.

    Not asked where a proxy would ask for us, or where no route leads out of the machine: that is how it is meant to be.
    """
    dump = scene.run("apt-config", "dump", "Acquire").stdout
    is_led_out = re.search(r"^\S+\t00000000\t", scene.text("/proc/net/route"), re.MULTILINE)
    if scene.facts.manager != "apt" or re.search(r'Proxy "(?!")', dump) or not is_led_out:
        return
    uris = [uri for source in _enabled(scene) if not source.retired for uri in source.uris]
    named = dict.fromkeys(found[1] for uri in uris if (found := re.match(r"https?://(?:[^/@]*@)?([^/:]+)", uri)))
    hosts = list(named)[:HOSTS]
    lost = [host for host in hosts if not scene.run("getent", "ahosts", host, timeout=4.0).stdout.strip()]
    if not lost:
        return
    servers = [line for line in scene.text("/etc/resolv.conf").splitlines() if line.startswith("nameserver")]
    dead = len(lost) == len(hosts)
    yield warning(
        "RMQ-027",
        "names cannot be resolved: no name server answers" if dead else f"the source {lost[0]} cannot be resolved",
        evidence=(
            *(f"/etc/resolv.conf: {line}" for line in servers),
            *(f"getent ahosts {host}: nothing" for host in lost),
        ),
        cause="package sources cannot be reached",
        hint="put a name server that answers into /etc/resolv.conf, or correct the source list",
    )


def authorities(scene: Scene) -> Iterator[Diagnosis]:
    """The machine knows authorities, where a source is reached under TLS."""
    https = [source for source in _enabled(scene) if any(uri.startswith("https://") for uri in source.uris)]
    path = "/etc/ssl/certs/ca-certificates.crt"
    state = scene.file(path) if https else None
    if https and (state is None or state.content == b""):
        yield warning(
            "RMQ-029",
            "no certificate of a source can be checked: the machine has no authorities",
            evidence=(_place(https[0]), f"{path}: {'empty' if state else 'no such file'}"),
            hint="apt-get install --reinstall ca-certificates && update-ca-certificates",
        )


def suites(scene: Scene) -> Iterator[Diagnosis]:
    """Every source has what its entry asks for: none was left out when the lists were fetched.

    Only judged where apt has lists at all, and by what it has; nothing is fetched.
    """
    lists = scene.names(apt_sources.LISTS)
    if not any(name.endswith("Release") for name in lists):
        return
    lost = [
        (source, uri, suite)
        for source in _enabled(scene)
        if not source.retired and "deb" in source.types and all(uri.startswith("http") for uri in source.uris)
        for uri in source.uris
        for suite in source.suites
        if not _release(scene, uri, suite)[1]
    ]
    if lost:
        _, uri, suite = lost[0]
        yield warning(
            "RMQ-028",
            f"apt has nothing from {uri} {suite}",
            evidence=tuple(f"{_place(each)}: no Release file of {suite}" for each, _, suite in lost[:3]),
            cause=_codename(scene, suite),
            hint="apt-get update -o APT::Update::Error-Mode=any says why; if the suite does not exist there, "
            "correct or remove the line",
            fix=switched_off(scene, tuple(source for source, _, _ in lost)),
        )


def _enabled(scene: Scene) -> tuple[ConfiguredSource, ...]:
    return tuple(source for source in scene.facts.sources if source.enabled)


def _place(source: ConfiguredSource) -> str:
    return f"{source.file}:{source.line}: {' '.join((*source.uris, *source.suites))}"


def _signers(source: ConfiguredSource) -> frozenset[str]:
    return frozenset(source.signed_by.split())


def _worse(scene: Scene, one: ConfiguredSource, other: ConfiguredSource) -> ConfiguredSource:
    """Return which of two entries can go: the one whose keyring is missing or expired, else the later one."""
    paths = [word for word in one.signed_by.split() if word.startswith("/")]
    states = [scene.file(path) for path in paths]
    is_good = all(state is not None and not key_fault(state, scene.now) for state in states)
    return other if is_good else one


def _readable(scene: Scene, complaint: str) -> tuple[Step, ...]:
    """Switch off the line that apt complains of; a whole file where it is in stanzas."""
    found = re.search(r"(?:entry|line|stanza) (\d+) in (?:list file|source list|source file) (/\S+)", complaint)
    if not found:
        return ()
    if found[2].endswith(".sources"):
        return (aside(scene, found[2]),)
    lines = scene.text(found[2]).splitlines()
    number = int(found[1])
    return disabled((Setting("", "", found[2], number, lines[number - 1]),)) if number <= len(lines) else ()


def _release(scene: Scene, uri: str, suite: str) -> tuple[str, str]:
    """Return the Release file of a suite: apt's copy, or, of a source on this machine, the file itself."""
    local = re.match(r"(?:file|copy):/*(/.*)$", uri)
    folder = f"{local[1].rstrip('/')}/{suite.rstrip('/') if suite.endswith('/') else f'dists/{suite}'}" if local else ""
    own = tuple(f"{folder.removesuffix('/.')}/{name}" for name in ("InRelease", "Release")) if local else ()
    for path in (*own, *apt_sources.release_files(uri, suite)):
        if text := scene.text(path):
            return path, text
    return "", ""


def _moment(text: str) -> float:
    """Read `Sat, 28 Nov 2026 00:00:00 UTC`, in seconds since the epoch; 0 for what is no such date."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text.replace("UTC", "GMT")).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _told(moment: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime(moment))


def _is_renewed(scene: Scene, path: str, ends: float) -> bool:
    """Tell whether an index has expired at its source: an old copy in apt's lists is only waiting for an update."""
    if not path.startswith(f"{apt_sources.LISTS}/"):
        return True
    fetched = scene.run("stat", "-c", "%Y", apt_sources.LISTS).stdout.strip()
    return fetched.isdigit() and int(fetched) > ends


def _is_checked(scene: Scene) -> bool:
    """Tell whether apt cares for the end of an index."""
    dump = scene.run("apt-config", "dump", "Acquire").stdout
    return not re.search(r'^Acquire::Check-Valid-Until "(?:0|no|false|off)"', dump, re.MULTILINE)


def _configured(scene: Scene, address: str, word: str = "") -> tuple[Setting, ...]:
    folder = "/etc/apt/apt.conf.d"
    return tuple(
        Setting("", "", path, number, line)
        for path in ("/etc/apt/apt.conf", *(f"{folder}/{name}" for name in scene.names(folder)))
        for number, line in enumerate(scene.text(path).splitlines(), start=1)
        if address in line and word in line and not line.lstrip().startswith(("//", "#"))
    )


def _codename(scene: Scene, suite: str) -> str:
    own = scene.facts.os.codename
    return f"this machine is {own}, the entry asks for {suite}" if own and not suite.startswith(own) else ""


CHECKS = (
    Check(
        "RMQ-021",
        "No source is configured twice with different keys",
        conflicting,
        explains=("RMQ-022", "RMQ-028", "RMQ-023"),
    ),
    Check(
        "RMQ-152",
        "apt can read its own configuration",
        settled,
        explains=("RMQ-022", "RMQ-026", "RMQ-028", "RMQ-147"),
    ),
    Check("RMQ-022", "apt can read its source lists", malformed, explains=("RMQ-028",)),
    Check("RMQ-020", "No source is configured that was shut down", retired),
    Check("RMQ-024", "No index is from the future", dates),
    Check("RMQ-026", "The proxy that apt is to use answers", proxy),
    Check("RMQ-027", "The sources' names can be resolved", reachable),
    Check("RMQ-029", "The certificates of sources can be checked", authorities),
    Check("RMQ-028", "Every source has what is asked of it", suites),
)
