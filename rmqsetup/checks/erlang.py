"""The Erlang that the broker runs on: which one is first on its PATH, whether it fits, whether it is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.catalog import Fit, load
from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.cures import aside
from rmqsetup.checks.scene import Scene
from rmqsetup.managers import State
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.terms import Atom, Term
from rmqsetup.steps.access import Access, Right
from rmqsetup.version import upstream

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where systemd looks for programs; a login shell of root may look elsewhere."""

NEEDED = ("os_mon", "crypto", "ssl", "public_key", "asn1", "inets", "xmerl", "tools", "runtime_tools", "sasl", "mnesia")
"""Applications of Erlang that RabbitMQ uses without always naming them; what it names is in its own files."""

DISTRIBUTIONS = "+dfsg"
"""In the version of an Erlang that Debian, or what is made from it, ships: its pair with their RabbitMQ is theirs to
judge, whatever upstream's table says of it."""

PACKAGED = "/usr/bin/erl"
"""The start script of the packages' Erlang."""

COMMANDS = ("rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmq-queues", "rabbitmq-server")
OWN = ("/usr/lib/rabbitmq/", "/usr/sbin/", "../../sbin/", "../../lib/rabbitmq/")
"""Where the packages have their commands, as a link to them may say it."""

SPLIT = ("kernel", "stdlib", "erts")


def fits(scene: Scene) -> Iterator[Diagnosis]:
    """The Erlang that the service finds first is in the range of the installed RabbitMQ, at both ends.

    A node enforces only the lower end: it boots on an Erlang that is too new, and fails later in ways that do not
    look like it.
    """
    erlang, release = _found(scene), str(scene.version)
    if not erlang or not release:
        return
    program, version = erlang
    verdict = load().judge_pair(release, version)
    base = scene.facts.package("erlang-base")
    own = program == PACKAGED and (base is None or DISTRIBUTIONS in base.version)
    if verdict.boots and (verdict.fit in (Fit.FITS, Fit.UNKNOWN) or (own and verdict.fit is not Fit.KNOWN_BAD)):
        return
    hint = "rmqsetup plan shows a pair that fits; rmqsetup install brings it"
    if program != PACKAGED:
        hint = f"move {program} out of the way: the service finds it before the packages' /usr/bin/erl"
    yield (warning if verdict.boots else error)(
        "RMQ-060",
        f"Erlang {version} {'does not go with' if verdict.boots else 'is too old for'} RabbitMQ {release}",
        evidence=(f"{program} is Erlang {version}; RabbitMQ is {release}",),
        cause=verdict.reason,
        hint=hint,
        links=(f"{DOCS}/which-erlang",),
    )


def present(scene: Scene) -> Iterator[Diagnosis]:
    """The service finds an Erlang on its PATH, which is shorter than that of a login shell."""
    if scene.installed and not scene.layout.prefix and not _program(scene):
        yield error(
            "RMQ-065",
            "the service finds no Erlang: there is no program erl on its PATH",
            evidence=(f"no erl in {', '.join(PATH[:4])}",),
            hint=f"{scene.reinstall(scene.layout.erlang)}, or link erl into /usr/local/bin",
        )
        return
    if broken := _leads_nowhere(scene):
        program, gone = broken
        yield error(
            "RMQ-065",
            f"the service finds {program} first, which leads to {gone}: no Erlang is there",
            evidence=(f"{program} names {gone}", f"{gone}: not there, or without its lib"),
            cause="an Erlang that somebody had put there was removed, and its start script was left",
            hint=f"move {program} out of the way" if program != PACKAGED else scene.reinstall(scene.layout.erlang),
            fix=(aside(scene, program), *scene.started) if program != PACKAGED else (),
        )
        return
    for path, lacks, rights in _unusable(scene):
        yield error(
            "RMQ-065",
            f"the service cannot start Erlang: {path} {lacks}",
            evidence=(f"stat -L {path}: {lacks}",),
            hint=scene.reinstall(scene.layout.erlang),
            fix=(Access(rights), *scene.started) if rights else (),
            safe=True,
        )
        return


def several(scene: Scene) -> Iterator[Diagnosis]:
    """There is one Erlang, and one RabbitMQ, on the machine: not a second one beside the packages."""
    strays = _strays(scene)
    if strays and scene.installed:
        yield warning(
            "RMQ-061",
            f"there is another Erlang beside the packages' one: {strays[0]}",
            evidence=tuple(strays),
            cause="which of them is used depends on who starts a program: the service, root's shell, a cron job",
            hint=f"remove what is at {strays[0]} if nothing else needs it",
        )


def shadowed(scene: Scene) -> Iterator[Diagnosis]:
    """The commands of RabbitMQ are those of its package: no others of that name stand before them on PATH."""
    for folder in PATH[:2] if scene.installed and not scene.layout.prefix else ():
        for name in (each for each in scene.names(folder) if each in COMMANDS):
            path = f"{folder}/{name}"
            standing = scene.host.peek(path)
            if standing is None or standing.target.startswith(OWN):
                continue
            yield warning(
                "RMQ-166",
                f"{path} is found before the {name} of the installed RabbitMQ",
                evidence=(
                    f"{path}" + (f" leads to {standing.target}" if standing.target else " is a file of its own"),
                ),
                cause="a RabbitMQ that was once installed by hand left it; it asks as another release, or not at all",
                hint=f"move {path} out of the way",
                fix=(aside(scene, path),),
            )
            return


def mixed(scene: Scene) -> Iterator[Diagnosis]:
    """All packages of Erlang have one version: parts of two releases do not work together."""
    found = {
        each.name: each.version
        for each in scene.facts.packages
        if each.name.startswith("erlang-") and each.state is State.INSTALLED
    }
    base = found.get("erlang-base", "")
    others = [name for name, version in found.items() if base and upstream(version) != upstream(base)]
    if others:
        yield error(
            "RMQ-063",
            "the packages of Erlang have different versions",
            evidence=(f"erlang-base {base}", *(f"{name} {found[name]}" for name in others[:4])),
            hint=f"bring them to one version: apt-get install {' '.join(f'{name}={base}' for name in others[:4])}",
        )


def whole(scene: Scene) -> Iterator[Diagnosis]:
    """Every application that RabbitMQ and its enabled plugins need is there, of Erlang's and of RabbitMQ's own."""
    erlang, server = root(scene), str(scene.server)
    if not erlang or not server:
        return
    roots = (f"{erlang}/lib", f"{server}/plugins")
    there = {name.partition("-")[0]: f"{place}/{name}" for place in roots for name in scene.names(place)}
    lacking = _lacking(scene, there)
    for name, wanted_by in lacking[:1]:
        whose = "RabbitMQ" if name not in NEEDED and wanted_by not in ("", "rabbit") else "Erlang"
        where = ", ".join(roots)
        yield error(
            "RMQ-062",
            f"the application {name} is missing, which {wanted_by or 'RabbitMQ'} needs",
            evidence=(f"no {name}-*/ebin/{name}.app in {where}",),
            cause=f"files of {whose}'s packages were removed, or its package erlang-{name.replace('_', '-')} is",
            hint=scene.reinstall(f"erlang-{name.replace('_', '-')}", scene.layout.server),
        )


def crypto(scene: Scene) -> Iterator[Diagnosis]:
    """Erlang can load its library of cryptography, and that one finds OpenSSL's."""
    erlang = root(scene)
    folder = next((name for name in scene.names(f"{erlang}/lib") if name.startswith("crypto-")), "") if erlang else ""
    path = f"{erlang}/lib/{folder}/priv/lib/crypto.so"
    if not folder or not scene.names(f"{erlang}/lib/{folder}/ebin"):
        return
    state = scene.file(path)
    linked = scene.run("ldd", path).stdout if state is not None and state.content else ""
    lost = [line.strip() for line in linked.splitlines() if "not found" in line]
    if state is None or (state.content is not None and not state.content.startswith(b"\x7fELF")):
        fault = "is not there" if state is None else f"is no library ({len(state.content or b'')} bytes)"
    elif lost:
        fault = f"needs a library that is missing: {lost[0]}"
    else:
        return
    yield error(
        "RMQ-064",
        "Erlang cannot load its library of cryptography",
        evidence=(f"{path} {fault}",),
        hint=scene.reinstall("erlang-crypto"),
    )


def _leads_nowhere(scene: Scene) -> tuple[str, str] | None:
    """Return the start script that the service finds and what it names that is not there; nothing where all is well."""
    program = _program(scene)
    text = scene.text(program) if program and scene.installed and not scene.layout.prefix else ""
    home = root(scene)
    if home:
        return None if scene.names(f"{home}/lib") else (program, home)
    named = re.findall(r"^\s*exec\s+\"?(/[^\s\"$]+)", text, re.MULTILINE) if text.startswith("#!") else []
    gone = next((path for path in named if scene.host.peek(path) is None), "")
    return (program, gone) if gone else None


def _unusable(scene: Scene) -> Iterator[tuple[str, str, tuple[Right, ...]]]:
    """Yield the programs with which an Erlang starts that nobody can run, and the rights with which they could."""
    program, home = _program(scene), root(scene)
    if not scene.installed or scene.layout.prefix or not program:
        return
    machine = next((name for name in scene.names(home) if name.startswith("erts-")), "") if home else ""
    names = ("erlexec", "beam.smp", "erl_child_setup", "epmd") if machine else ()
    paths = (program, *(f"{home}/{machine}/bin/{name}" for name in names))
    said = scene.run("stat", "-L", "-c", "%a\t%U\t%G\t%n", "--", *paths).stdout.splitlines()
    found = {row[3]: row for row in (line.split("\t", 3) for line in said) if len(row) == 4}
    for path in paths:
        if path not in found and (found or scene.file(path) is None):
            yield path, "is not there, or leads to what is not", ()
        elif path in found and not int(found[path][0], 8) & 0o111:
            mode, owner, group, _ = found[path]
            yield path, "cannot be executed", (Right(path, owner, group, int(mode, 8) | 0o111),)


def _lacking(scene: Scene, there: dict[str, str]) -> list[tuple[str, str]]:
    """Follow what applications say that they need, from RabbitMQ and its enabled plugins; return what is missing."""
    waiting = [("rabbit", ""), *((name, "") for name in NEEDED), *((name, "") for name in _enabled(scene, there))]
    seen, lacking = set[str](), list[tuple[str, str]]()
    while waiting:
        name, wanted_by = waiting.pop()
        if name in seen or name in SPLIT:
            continue
        seen.add(name)
        text = scene.text(f"{there[name]}/ebin/{name}.app") if name in there else ""
        if not text and not there.get(name, "").endswith(".ez"):
            lacking.append((name, wanted_by))
        waiting += [(needed, name) for needed in _applications(text)]
    return lacking


def _enabled(scene: Scene, there: dict[str, str]) -> list[str]:
    """Return the enabled plugins that are there: those that are not have a check of their own."""
    return [name for name in re.findall(r"rabbitmq_\w+", scene.text(scene.plugins_file)) if name in there]


def _applications(text: str) -> list[str]:
    if not text:
        return []
    try:
        terms = consult(text)
    except ConsultError:
        return []
    properties = terms[0][2] if terms and isinstance(terms[0], tuple) and len(terms[0]) == 3 else []
    pairs = (
        {each[0]: each[1] for each in properties if isinstance(each, tuple) and len(each) == 2}
        if isinstance(properties, list)
        else {}
    )
    optional = _names(pairs.get(Atom("optional_applications"), []))
    return [name for name in _names(pairs.get(Atom("applications"), [])) if name not in optional]


def _names(term: Term) -> list[str]:
    return [each.name for each in term if isinstance(each, Atom)] if isinstance(term, list) else []


def _program(scene: Scene) -> str:
    """Return the `erl` that the service finds."""
    told = re.search(r"\bPATH=(\S+)", scene.unit_property("Environment", ""))
    folders = tuple(told[1].split(":")) if told else PATH
    return next((f"{folder}/erl" for folder in folders if "erl" in scene.names(folder)), "")


def root(scene: Scene) -> str:
    """Return the folder of the Erlang that the service finds, as its start script says."""
    return scene.remembered("erlang root", lambda: _root_of(scene, _program(scene)))


def _root_of(scene: Scene, program: str) -> str:
    found = re.search(r"^\s*ROOTDIR=\"?(/[^\s\"$]+)", scene.text(program), re.MULTILINE) if program else None
    return found[1] if found else ""


def _found(scene: Scene) -> tuple[str, str] | None:
    """Return the Erlang that the service finds, and its version."""
    program = _program(scene)
    version = _version(scene, program) if program else ""
    return (program, version) if version else None


def _version(scene: Scene, program: str) -> str:
    home = _root_of(scene, program)
    words = scene.text(f"{home}/releases/start_erl.data").split()
    major = (
        words[1]
        if len(words) > 1
        else next(iter(re.findall(r"\b(\d\d)\b", " ".join(scene.names(f"{home}/releases")))), "")
    )
    return scene.text(f"{home}/releases/{major}/OTP_VERSION").strip() or major


def _strays(scene: Scene) -> list[str]:
    """Return other Erlangs on PATH: those whose files are not the ones of the packages."""
    roots: dict[str, str] = {}
    for folder in PATH[:4]:
        if "erl" in scene.names(folder):
            roots.setdefault(_root_of(scene, f"{folder}/erl"), f"{folder}/erl")
    return [
        f"{program} (Erlang {_version(scene, program) or 'of unknown version'})"
        for program in list(roots.values())[:-1]
    ]


CHECKS = (
    Check("RMQ-060", "Erlang fits RabbitMQ", fits, explains=(*DOWN, "RMQ-061", "RMQ-062", "RMQ-064")),
    Check("RMQ-065", "The service finds an Erlang", present, explains=(*DOWN, "RMQ-015", "RMQ-061", "RMQ-157")),
    Check("RMQ-063", "Erlang's packages are of one version", mixed, explains=(*DOWN, "RMQ-062")),
    Check("RMQ-062", "Every application that RabbitMQ needs is there", whole, explains=(*DOWN, "RMQ-015", "RMQ-064")),
    Check("RMQ-064", "Erlang's cryptography can be loaded", crypto, explains=(*DOWN, "RMQ-015")),
    Check("RMQ-166", "The commands of RabbitMQ are its own", shadowed),
    Check("RMQ-061", "There is one Erlang on the machine", several),
)
