"""Look at a machine, read-only, and say what it is: `detect(host) -> Facts`.

What follows from the facts belongs to `resolve`; which distribution a machine belongs to, to `catalog`.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rmqsetup import cellar, macos, rpmbase
from rmqsetup.catalog import leftovers, placing
from rmqsetup.catalog.rows import OsRelease, Placement
from rmqsetup.facts import Candidate, Facts, Homebrew, Init, InstalledPackage, LegacyKey, Privilege, Stray
from rmqsetup.host import Command, Host, text_of
from rmqsetup.macos import Mac
from rmqsetup.managers import State, apt_sources, apt_trust
from rmqsetup.managers.apt_sources import Policy
from rmqsetup.managers.repo_files import RepoFiles
from rmqsetup.managers.sources import ConfiguredSource, find

_MANAGERS = (
    ("apt", ("apt-get", "dpkg")),
    ("dnf", ("dnf",)),
    ("yum", ("yum",)),
    ("zypper", ("zypper",)),
    ("apk", ("apk",)),
    ("pacman", ("pacman",)),
    ("xbps", ("xbps-install",)),
    ("portage", ("emerge",)),
)
"""Package managers and the programs that show them."""

_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
_ROOT_PATH = ("/sbin", "/bin")  # elsewhere links to the two above
_QUERY = ("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\n")
_PATTERNS = ("dpkg", "rabbitmq-server", "erlang*", "esl-erlang")
_OFFERED = ("rabbitmq-server", "erlang-base")
_STATES = {"c": State.CONFIGURATION, "i": State.INSTALLED}
_NAMED = ("/proc/sys/kernel/hostname", "/etc/hostname", "/etc/nodename")
_DIRECTORIES = ("/etc/rabbitmq", "/var/lib/rabbitmq", "/var/log/rabbitmq")


def detect(host: Host, *, offers: bool = True, brew: bool = False, fetch: bool = False) -> Facts:
    """Look at a host; changes nothing, works as any user.

    Two commands where dpkg or rpm is, else one: all else is read from files, since each program that is started
    costs more than all of them. Without `offers` the package manager is not asked, and candidates and origins stay
    empty: apt answers in 30 ms where it keeps its cache, and in seconds in images that have it switched off. dnf and
    zypper have lists only where somebody fetched them: with `fetch` they do, into their caches. A Mac and Homebrew
    cost a few commands more; what Homebrew offers is asked where there is nothing else, or with `brew`.
    """
    tools = {folder: frozenset(host.names(folder)) for folder in _PATH}
    everywhere = frozenset().union(*tools.values(), *(host.names(folder) for folder in _ROOT_PATH))
    mac = macos.look(host)
    facts = _mac(host, mac, everywhere) if mac else _linux(host, everywhere, offers=offers, fetch=fetch)
    homebrew = cellar.look(host, mac, offers=offers and (brew or not facts.manager))
    facts = replace(
        facts,
        manager=facts.manager or ("brew" if homebrew else ""),
        strays=_strays(host, tools, facts.packages, homebrew.prefix if homebrew else ""),
        directories=_directories(host, homebrew),
        homebrew=homebrew,
    )
    return _with_apt(host, facts, offers=offers) if facts.manager == "apt" else facts


def _linux(host: Host, everywhere: frozenset[str], *, offers: bool, fetch: bool) -> Facts:
    os = _os_release(host)
    manager = _manager(os, everywhere)
    kernel = _line(host, "/proc/sys/kernel/osrelease")
    container = _container(host, kernel)
    init, note = _init(host, container, has_systemd="systemctl" in everywhere)
    its = find(manager)
    seen = rpmbase.look(host, its, offers=offers, fetch=fetch) if isinstance(its, RepoFiles) else rpmbase.NOTHING
    packages, architecture = _dpkg(host) if manager == "apt" else (seen.packages, seen.architecture)
    return Facts(
        os=os,
        kernel=kernel,
        architecture=architecture or host.run(Command(("uname", "-m"))).stdout.strip(),
        manager=manager,
        init=init,
        service_note=note,
        privilege=_privilege(host, has_sudo="sudo" in everywhere),
        container=container,
        hostname=next(filter(None, (_line(host, path) for path in _NAMED)), ""),
        memory=_memory(host),
        python=_python(everywhere),
        packages=packages,
        candidates=seen.candidates,
        sources=seen.sources,
        unreadable=seen.unreadable,
    )


def _manager(os: OsRelease, everywhere: frozenset[str]) -> str:
    """Return the machine's own package manager: Fedora and openSUSE offer others' as packages like any program."""
    there = [name for name, programs in _MANAGERS if everywhere.issuperset(programs)]
    placed = placing.place(os) if len(there) > 1 else None
    own = placed.distribution.manager if isinstance(placed, Placement) else ""
    return own if own in there else next(iter(there), "")


def _mac(host: Host, mac: Mac, everywhere: frozenset[str]) -> Facts:
    """Homebrew is before MacPorts, whatever else is there."""
    ports = host.names(f"{cellar.PORTS}/bin")
    has_ports = "port" in ports
    return Facts(
        os=mac.os,
        kernel=mac.kernel,
        architecture=mac.architecture,
        manager="macports" if has_ports and not cellar.prefix(host) else "",
        init=Init.LAUNCHD,
        service_note="",
        privilege=_privilege(host, has_sudo="sudo" in everywhere),
        container="",
        hostname=mac.hostname,
        memory=mac.memory,
        python=_python(everywhere.union(ports, host.names(f"{cellar.prefix(host)}/bin"))),
        packages=cellar.ports(host) if has_ports else (),
    )


def _directories(host: Host, homebrew: Homebrew | None) -> tuple[str, ...]:
    inside = ("etc/rabbitmq", "var/lib/rabbitmq", "var/log/rabbitmq")
    prefixed = tuple(f"{homebrew.prefix}/{name}" for name in inside) if homebrew else ()
    return tuple(directory for directory in (*_DIRECTORIES, *prefixed) if host.names(directory))


def _line(host: Host, path: str) -> str:
    return text_of(host, path).strip()


# --- the system ------------------------------------------------------------------------------------------------------


def _os_release(host: Host) -> OsRelease:
    text = text_of(host, "/etc/os-release") or text_of(host, "/usr/lib/os-release")
    values = dict(_assignments(text)) or _told_by_solaris(_line(host, "/etc/release"))
    return OsRelease(
        id=values.get("id", "").lower(),
        name=values.get("name", ""),
        version=values.get("version", ""),
        version_id=values.get("version_id", ""),
        codename=values.get("version_codename", "").lower(),
        ubuntu_codename=values.get("ubuntu_codename", "").lower(),
        debian_codename=values.get("debian_codename", "").lower(),
        id_like=tuple(values.get("id_like", "").lower().split()),
        platform_id=values.get("platform_id", ""),
        pretty=values.get("pretty_name", ""),
        debian_version=_line(host, "/etc/debian_version"),
    )


def _told_by_solaris(text: str) -> dict[str, str]:
    """Read the first line of /etc/release, which is all that older releases of Solaris and illumos have."""
    line = text.partition("\n")[0].strip()
    return {"id": placing.named_in(line), "name": line, "pretty_name": line} if placing.named_in(line) else {}


def _assignments(text: str) -> tuple[tuple[str, str], ...]:
    """Read shell-like assignments with the `distro` library's parser, names in lower case.

    Its public functions read the files of the machine they run on; a host's file reaches us as bytes, so this takes
    the parser beneath them (the reason for `distro<2` in pyproject). A line with an unclosed quote would swallow all
    after it: then each line is read for itself and the bad one is left out, as the shell would have to.
    """
    from distro import LinuxDistribution

    parse = LinuxDistribution._parse_os_release_content  # noqa: SLF001 - see above
    try:
        return tuple(parse(io.StringIO(text)).items())
    except ValueError:
        return tuple(pair for line in text.splitlines() if _closed(line) for pair in parse(io.StringIO(line)).items())


def _closed(line: str) -> bool:
    import shlex

    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _container(host: Host, kernel: str) -> str:
    """Name what encloses the machine; `wsl` counts as one, as its PID 1 is not ours to manage."""
    told = _line(host, "/run/systemd/container") or _line(host, "/run/host/container-manager")
    if told:
        return told
    if ".dockerenv" in host.names("/"):
        return "docker"
    if host.read("/run/.containerenv"):
        return "podman"
    match = re.search(r"(?:^|\0)container=([\w-]+)", text_of(host, "/proc/1/environ"))
    if match:
        return match[1]
    return "wsl" if "microsoft" in kernel.lower() else ""


def _init(host: Host, container: str, *, has_systemd: bool) -> tuple[Init, str]:
    if "system" in host.names("/run/systemd"):
        return Init.SYSTEMD, ""
    first = _line(host, "/proc/1/comm") or "not visible"
    run = host.names("/run")
    if "openrc" in run:
        return Init.OPENRC, ""
    if "initctl" in run and first == "init" and container != "wsl":
        return Init.SYSVINIT, ""
    if has_systemd:
        return Init.NONE, f"systemd is installed, but PID 1 is {first}"
    return Init.NONE, f"no service manager is running; PID 1 is {first}"


def _privilege(host: Host, *, has_sudo: bool) -> Privilege:
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", text_of(host, "/proc/self/status"), re.MULTILINE)
    user = match[1] if match else host.run(Command(("id", "-u"))).stdout.strip()
    if user == "0":
        return Privilege.ROOT
    return Privilege.SUDO if has_sudo else Privilege.NONE


def _memory(host: Host) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", text_of(host, "/proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _python(tools: frozenset[str]) -> str:
    versions = [match[1] for name in tools if (match := re.fullmatch(r"python(3\.\d+)", name))]
    return max(versions, key=lambda version: int(version[2:]), default="")


# --- RabbitMQ and Erlang ---------------------------------------------------------------------------------------------


def _dpkg(host: Host) -> tuple[tuple[InstalledPackage, ...], str]:
    """Return the packages we care for, and dpkg's architecture: that of the dpkg package itself."""
    answer = host.run(Command((*_QUERY, *_PATTERNS)))  # exit code 1 only says that one of the patterns has no match
    rows = [row for line in answer.stdout.splitlines() if len(row := line.split("\t")) == 4 and row[3][1:2] != "n"]
    packages = tuple(
        InstalledPackage(name, version, arch, _STATES.get(letters[1:2], State.BROKEN), held=letters.startswith("h"))
        for name, version, arch, letters in rows
        if name != "dpkg"
    )
    return packages, next((row[2] for row in rows if row[0] == "dpkg"), "")


def _strays(
    host: Host, tools: dict[str, frozenset[str]], packages: tuple[InstalledPackage, ...], prefix: str
) -> tuple[Stray, ...]:
    """Find programs that no package owns: on PATH in /usr/local, or in /usr with no package to have put them there.

    What is in Homebrew's `prefix` is Homebrew's.
    """
    owned = {package.name for package in packages if package.state is not State.CONFIGURATION}
    erlang = any(name.startswith(("erlang-base", "erlang-erts", "esl-erlang")) or name == "erlang" for name in owned)
    found = []
    for folder, names in tools.items():
        if prefix and folder.startswith(f"{prefix}/"):
            continue
        foreign = folder.startswith("/usr/local/")
        if "erl" in names and (foreign or not erlang):
            found.append(
                Stray("erlang", f"{folder}/erl", _otp_version(host, f"{folder.rpartition('/')[0]}/lib/erlang"))
            )
        if "rabbitmq-server" in names and (foreign or "rabbitmq-server" not in owned):
            found.append(Stray("rabbitmq", f"{folder}/rabbitmq-server"))
    unpacked = [name for name in host.names("/opt") if name.startswith("rabbitmq_server-")]
    return (*found, *(Stray("rabbitmq", f"/opt/{name}", name.partition("-")[2]) for name in unpacked))


def _otp_version(host: Host, root: str) -> str:
    words = text_of(host, f"{root}/releases/start_erl.data").split()
    return _line(host, f"{root}/releases/{words[1]}/OTP_VERSION") or words[1] if len(words) > 1 else ""


# --- apt -------------------------------------------------------------------------------------------------------------


def _with_apt(host: Host, facts: Facts, *, offers: bool) -> Facts:
    sources, unread_sources = _sources(host)
    legacy_keys, unread_keys = _legacy_keys(host)
    unreadable = (*unread_sources, *unread_keys)
    facts = replace(facts, sources=sources, legacy_keys=legacy_keys, unreadable=unreadable)
    return _with_offers(host, facts) if offers else facts


def _with_offers(host: Host, facts: Facts) -> Facts:
    names = tuple(dict.fromkeys((*_OFFERED, *(package.name for package in facts.packages))))
    policies = apt_sources.parse_policy(host.run(apt_sources.policy_command(names)).stdout)
    origins = _origins(host, policies)
    return replace(
        facts,
        candidates=tuple(_candidate(policy, origins) for policy in policies if policy.package in _OFFERED),
        packages=tuple(replace(package, origin=_origin(policies, package, origins)) for package in facts.packages),
    )


def _sources(host: Host) -> tuple[tuple[ConfiguredSource, ...], tuple[str, ...]]:
    folder = apt_sources.SOURCES_FOLDER
    beside = [f"{folder}/{name}" for name in host.names(folder) if apt_sources.is_source_list(name)]
    found: list[ConfiguredSource] = []
    unread = []
    for path in (apt_sources.SOURCES, *beside):
        state = host.read(path)
        if state and state.content is None:
            unread.append(path)
        elif state:
            found += apt_sources.parse_sources(path, state.text)
    return tuple(replace(source, retired=leftovers.retired_at(source.uris)) for source in found), tuple(unread)


def _legacy_keys(host: Host) -> tuple[tuple[LegacyKey, ...], tuple[str, ...]]:
    folder = apt_trust.TRUSTED_FOLDER
    beside = [f"{folder}/{name}" for name in host.names(folder) if name.endswith((".gpg", ".asc"))]
    found, unread = [], []
    for path in (apt_trust.TRUSTED, *beside):
        state = host.read(path)
        if state and state.content is None:
            unread.append(path)
        for fingerprint in apt_trust.fingerprints(state.content or b"" if state else b""):
            row = leftovers.retired_key(fingerprint)
            if row:
                found.append(LegacyKey(path, fingerprint, row))
    return tuple(found), tuple(unread)


def _origins(host: Host, policies: tuple[Policy, ...]) -> dict[tuple[str, str], str]:
    """Read the Origin of every suite that offers one of the packages, from the Release files apt has."""
    places = {(offer.uri, offer.suite) for policy in policies for offer in policy.offers if offer.uri}
    found = {}
    for uri, suite in places:
        states = (host.read(path) for path in apt_sources.release_files(uri, suite))
        found[uri, suite] = next((apt_sources.parse_origin(state.text) for state in states if state), "")
    return found


def _candidate(policy: Policy, origins: dict[tuple[str, str], str]) -> Candidate:
    offers = [offer for offer in policy.offers if offer.version == policy.candidate and offer.uri]
    best = max(offers, key=lambda offer: offer.priority, default=None)
    if best is None:
        return Candidate(policy.package, policy.candidate)
    return Candidate(policy.package, policy.candidate, origins[best.uri, best.suite], best.uri)


def _origin(policies: tuple[Policy, ...], package: InstalledPackage, origins: dict[tuple[str, str], str]) -> str:
    offers = (offer for policy in policies if policy.package == package.name for offer in policy.offers)
    return next((origins[o.uri, o.suite] for o in offers if o.version == package.version and o.uri), "")
