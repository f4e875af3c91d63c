"""The package manager, and the packages of RabbitMQ and Erlang as it knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch

from rmqsetup.catalog import load
from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, info, settings, warning
from rmqsetup.checks.cures import aside, disabled
from rmqsetup.checks.scene import Scene
from rmqsetup.facts import InstalledPackage
from rmqsetup.managers import Manager, State, manager
from rmqsetup.managers import Package as Wanted
from rmqsetup.managers.repo_files import RepoFiles
from rmqsetup.managers.sources import find
from rmqsetup.steps.packages import Packages
from rmqsetup.version import Version, upstream

PID_FILES = ("/run/zypp.pid", "/var/cache/dnf/metadata_lock.pid", "/var/cache/dnf/download_lock.pid", "/run/yum.pid")
_HOLDS = {
    "apt": "apt-mark hold rabbitmq-server",
    "dnf": "dnf versionlock add rabbitmq-server",
    "yum": "dnf versionlock add rabbitmq-server",
    "zypper": "zypper addlock rabbitmq-server",
}
LISTED = ("dpkg-query", "-W", "-f", "${Package}\t${Depends}\t${Provides}\n")


def busy(scene: Scene) -> Iterator[Diagnosis]:
    """Nobody holds the locks of the package manager, so that packages can be changed now."""
    tool = _manager(scene)
    question = tool.holders() if tool else None
    lines = scene.run(*question.argv).stdout.splitlines() if question else list(_holding(scene))
    if lines:
        who = lines[0].partition("is held by ")[2]
        yield warning(
            "RMQ-011",
            f"the package manager is locked: {who}",
            evidence=tuple(lines),
            hint="wait for it to end; if it hangs, look at what it does before you end it",
        )


def unfinished(scene: Scene) -> Iterator[Diagnosis]:
    """No package is half installed, and no transaction was cut in the middle."""
    broken = [each for each in scene.facts.packages if each.state is State.BROKEN]
    notes = [name for name in scene.names("/var/lib/dpkg/updates") if name.isdigit()]
    if _manager(scene) is None or not (broken or notes):
        return
    names = ", ".join(each.name for each in broken) or "dpkg"
    yield error(
        "RMQ-012",
        f"{names} {'is' if len(broken) == 1 else 'are' if broken else 'was'} left half installed or configured",
        evidence=(
            *(f"/var/lib/dpkg/status: {each.name} {each.version} is not configured" for each in broken),
            *(f"/var/lib/dpkg/updates/{name}" for name in notes[:1]),
        ),
        cause="a transaction of packages was interrupted, or the broker did not start in it",
        hint="dpkg --configure -a",
        fix=_settled(broken),
        safe=True,
        lasting=True,
    )


def held(scene: Scene) -> Iterator[Diagnosis]:
    """What is held back is held as a whole.

    rmqsetup itself holds RabbitMQ with all of its Erlang. Some packages of Erlang held and others not keep the package
    manager from upgrading any of them, security updates included.
    """
    family = [each for each in scene.facts.packages if each.state is State.INSTALLED]
    erlang = [each for each in family if each.name.startswith(("erlang", "esl-erlang"))]
    on = [each.name for each in family if each.held]
    off = [each.name for each in erlang if not each.held]
    if not on or scene.facts.manager != "apt":
        return
    evidence = (f"apt-mark showhold: {', '.join(on[:4])}{' …' if len(on) > 4 else ''}",)
    if off and any(each.held for each in erlang):
        yield warning(
            "RMQ-013",
            f"packages are held back, and others that go with them are not: {', '.join(on[:3])}",
            evidence=(*evidence, f"not held: {', '.join(off[:4])}"),
            cause="Erlang's packages need each other at one version, so that none of them can be upgraded",
            hint=f"apt-mark unhold {' '.join(on)}, or hold all of them: apt-mark hold {' '.join(off[:3])} …",
            fix=(Packages("apt", release=tuple(on), ours=tuple(on)),),
        )
    elif "rabbitmq-server" in on and not off:
        return
    else:
        yield info("RMQ-013", f"packages are held at their versions: {', '.join(on[:3])}", evidence=evidence)


def complete(scene: Scene) -> Iterator[Diagnosis]:
    """Every package that RabbitMQ and Erlang depend on is installed."""
    if scene.facts.manager != "apt" or not scene.installed:
        return
    names = tuple(each.name for each in scene.facts.packages if each.state is State.INSTALLED)
    rows = [row for line in scene.run(*LISTED, *names).stdout.splitlines() if len(row := line.split("\t")) == 3]
    provided = (names[0] for row in rows for names in _alternatives(row[2]))
    there = {*(row[0] for row in rows), *provided}
    lacking = [(row[0], name) for row in rows for name in _needed(row[1]) if not there & set(name)]
    for package, alternatives in lacking[:1]:
        yield error(
            "RMQ-014",
            f"the package {alternatives[0]} is missing, which {package} needs",
            evidence=(f"dpkg-query: {package} depends on {' | '.join(alternatives)}, which is not installed",),
            cause="it was removed by force, or its installation failed",
            hint="apt-get --fix-broken install",
        )


def damaged(scene: Scene) -> Iterator[Diagnosis]:
    """The files of the packages are those that were installed."""
    if scene.facts.manager != "apt" or not scene.installed:
        return
    names = tuple(each.name for each in scene.facts.packages if each.state is State.INSTALLED)
    lines = scene.run("dpkg", "-V", *names, timeout=15.0).stdout.splitlines()
    changed = [line for line in lines if re.match(r"^(?:missing|\S*5\S*) +(?!c )/usr/", line)]
    if changed:
        yield error(
            "RMQ-015",
            f"files of installed packages are missing or changed, {len(changed)} in all",
            evidence=tuple(f"dpkg -V: {line.strip()}" for line in changed[:3]),
            hint=f"apt-get install --reinstall {_owner(scene, changed[0])}",
        )


def pinned(scene: Scene) -> Iterator[Diagnosis]:
    """No preference of apt keeps RabbitMQ or Erlang from being installed at all (a pin below zero).

    One against every package (`Package: *`) may be meant against a source that has others: then apt is asked whether
    it leaves a source of these.
    """
    if scene.facts.manager != "apt":
        return
    folder = "/etc/apt/preferences.d"
    for path in ("/etc/apt/preferences", *(f"{folder}/{name}" for name in scene.names(folder))):
        for stanza in re.split(r"\n\s*\n", scene.text(path)):
            names = re.search(r"^Package:(.*)$", stanza, re.MULTILINE)
            priority = re.search(r"^Pin-Priority:\s*(-\d+)", stanza, re.MULTILINE)
            if names and priority and (hidden := _hidden(scene, names[1].split())):
                yield warning(
                    "RMQ-017",
                    f"a preference of apt keeps {hidden} from being installed or upgraded",
                    evidence=(f"{path}: {' / '.join(line.strip() for line in stanza.strip().splitlines())}",),
                    hint=f"remove that stanza from {path}; apt-cache policy rabbitmq-server then names a candidate",
                    fix=disabled(settings.matching(path, scene.text(path), stanza)),
                )


def _hidden(scene: Scene, names: list[str]) -> str:
    """Return what a stanza with a priority below zero is against, where that is RabbitMQ or Erlang."""
    named = [name for name in names if re.search(r"rabbitmq|erlang", name)]
    if named or not any(fnmatch("rabbitmq-server", name) or name.startswith("/") for name in names):
        return " ".join(named)
    return ", ".join(name for name in ("rabbitmq-server", "erlang-base") if _is_hidden(scene, name))


def _is_hidden(scene: Scene, name: str) -> bool:
    """Tell whether a source of a package is below zero, and no other but what is installed is left, or it is its own.

    Of a package that several sources have, one against the others is how a machine is told which to take.
    """
    rows = re.findall(r"^ +(-?\d+) (?!/var/lib/dpkg)(\S+)", _policy(scene, name), re.MULTILINE)
    below = [uri for priority, uri in rows if int(priority) < 0]
    return bool(below) and (len(below) == len(rows) or any(re.search(r"rabbitmq|erlang", uri) for uri in below))


def _policy(scene: Scene, name: str) -> str:
    return scene.run("apt-cache", "-o", "pkgCacheFile::Generate=false", "policy", name).stdout


def policy(scene: Scene) -> Iterator[Diagnosis]:
    """No policy keeps services from being started by their packages, where the broker does not run."""
    path = "/usr/sbin/policy-rc.d"
    file = scene.file(path)
    if file is None or scene.is_well or scene.unit is None or scene.file(manager("apt").note) is not None:
        return
    if re.search(r"^\s*exit\s+101\b", file.text, re.MULTILINE):
        yield warning(
            "RMQ-018",
            f"{path} forbids packages to start their services, and the broker does not run",
            evidence=(f"{path}: exit 101",),
            cause="images are built with such a policy; on a machine that runs it is left over",
            hint=f"move {path} away, then: systemctl start rabbitmq-server",
            fix=(aside(scene, path), *scene.started),
        )


def upgrade(scene: Scene) -> Iterator[Diagnosis]:
    """The next upgrade of the machine does not take the broker where it cannot go.

    A release refuses data of a series from which no hop leads to it: an `apt upgrade` over several series stops the
    broker for good. rmqsetup holds the packages against that.
    """
    package = scene.facts.package("rabbitmq-server")
    if package is None or package.held or package.state is not State.INSTALLED:
        return
    there, told = _candidate(scene, package.version)
    here, next_one = upstream(package.version), upstream(there)
    newer = Version(there) > Version(package.version)
    if newer and load().series_named(_series(next_one)) and not load().can_upgrade(rabbitmq=here, to=next_one):
        tool = scene.facts.manager
        hold = Packages(tool, hold=("rabbitmq-server",), ours=("rabbitmq-server",))
        yield warning(
            "RMQ-016",
            f"an upgrade of this machine would take RabbitMQ from {here} to {next_one}, which it does not survive",
            evidence=(f"{told}: candidate {there}, installed {package.version}",),
            cause=f"supported is: {' → '.join(load().hops(rabbitmq=here, to=next_one)) or 'no way at all'}",
            hint=f"{_HOLDS.get(tool, 'hold rabbitmq-server')}, and go there series by series",
            links=(f"{DOCS}/upgrade",),
            fix=(hold,),
            safe=True,
        )


def rival(scene: Scene) -> Iterator[Diagnosis]:
    """Erlang is one package, or the distribution's many: not both at once.

    Team RabbitMQ's Erlang for systems of rpm is one package, and that of distributions is split into dozens. Where
    both are there, or parts are left over, files of one are used with those of the other.
    """
    names = {each.name: each.version for each in scene.facts.packages if each.state is State.INSTALLED}
    parts = [name for name in names if re.fullmatch(r"erlang-(?:erts|kernel|stdlib|crypto|ssl|mnesia|os_mon)", name)]
    if scene.facts.manager != "apt" and "erlang" in names and parts:
        yield error(
            "RMQ-150",
            f"two Erlangs are installed: erlang {names['erlang']}, and the distribution's {parts[0]} {names[parts[0]]}",
            evidence=tuple(f"rpm -q: {name} {names[name]}" for name in ("erlang", *parts[:3])),
            hint=f"remove the one that RabbitMQ does not need: {scene.facts.manager} remove {' '.join(parts[:3])}",
            links=(f"{DOCS}/install-rpm",),
        )


def _holding(scene: Scene) -> Iterator[str]:
    """Say who holds the locks of dnf and zypper, by the files in which each writes its number."""
    for path in PID_FILES if scene.facts.manager != "apt" else ():
        number = scene.text(path).strip()
        who = scene.text(f"/proc/{number}/comm").strip() if number.isdigit() else ""
        if who:
            yield f"{path} is held by process {number} ({who})"


def _candidate(scene: Scene, present: str) -> tuple[str, str]:
    """Return the version an upgrade would bring, and who says so: by the lists there are, of dnf's in half a second."""
    name, its = "rabbitmq-server", find(scene.facts.manager)
    if isinstance(its, RepoFiles):
        offers = its.parse_offers(scene.run(*its.offers((name,), fetch=False).argv, timeout=15.0).stdout)
        versions = [offer.version for offer in offers if offer.name == name]
        return max(versions, key=Version, default=present), f"{scene.facts.manager}'s lists"
    if scene.facts.manager != "apt":
        return present, ""
    found = re.search(r"^  Candidate: (\S+)$", _policy(scene, name), re.MULTILINE)
    return (found[1] if found and found[1] != "(none)" else present), f"apt-cache policy {name}"


def _manager(scene: Scene) -> Manager | None:
    return manager("apt") if scene.facts.manager == "apt" else None


def _settled(broken: list[InstalledPackage]) -> tuple[Packages, ...]:
    """Let the package manager finish what it began, at the versions that are there."""
    kept = tuple(Wanted(each.name, each.version) for each in broken)
    return (Packages("apt", want=kept, family=("rabbitmq-server", "erlang*")),) if kept else ()


def _needed(depends: str) -> Iterator[tuple[str, ...]]:
    """Yield the alternatives of each dependency on a package of Erlang's."""
    for names in _alternatives(depends):
        if all(name.startswith(("erlang-", "esl-erlang")) for name in names):
            yield names


def _alternatives(relation: str) -> Iterator[tuple[str, ...]]:
    """Yield the names in a relation of dpkg's, alternatives together."""
    for each in relation.split(","):
        yield tuple(re.split(r"[ (:]", word.strip())[0] for word in each.split("|"))


def _owner(scene: Scene, line: str) -> str:
    path = line.rsplit(maxsplit=1)[-1]
    answer = scene.run("dpkg", "-S", path).stdout
    return answer.partition(":")[0] or "rabbitmq-server"


def _series(release: str) -> str:
    return ".".join(release.split(".")[:2])


CHECKS = (
    Check("RMQ-011", "Nobody holds the package manager's locks", busy),
    Check("RMQ-012", "No package is left half installed", unfinished, explains=("RMQ-014",)),
    Check("RMQ-014", "Everything that RabbitMQ's packages need is installed", complete, explains=(*DOWN, "RMQ-062")),
    Check("RMQ-150", "There is one Erlang among the packages", rival, explains=("RMQ-062", "RMQ-063")),
    Check("RMQ-013", "Packages are held as a whole, or not at all", held),
    Check("RMQ-015", "The packages' files are as they were installed", damaged, explains=DOWN, slow=True),
    Check("RMQ-017", "No pin keeps RabbitMQ or Erlang away", pinned),
    Check("RMQ-018", "Packages may start their services", policy),
    Check("RMQ-016", "No upgrade waits that the broker does not survive", upgrade),
)
