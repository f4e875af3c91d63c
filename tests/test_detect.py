"""Recorded machines against their golden facts; `UPDATE_GOLDEN=1 pytest tests/test_detect.py` writes them anew."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from enum import Enum
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import catalog
from rmqsetup.catalog import Refusal
from rmqsetup.detect import detect
from rmqsetup.facts import Facts, Init, Privilege
from rmqsetup.host import Command, FileState, Remove, Result, Write
from rmqsetup.hosts.local import LocalHost
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.managers import State, apt_sources, apt_trust

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MACHINES = Path(__file__).parent / "data" / "machines"
NAMES = sorted(folder.name for folder in MACHINES.iterdir())


def look(name: str) -> Facts:
    return detect(ReplayHost(MACHINES / name))


def plain(value):
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(member) for name, member in members.items() if member is not None}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def place(facts: Facts) -> dict[str, object]:
    found = catalog.load().place(facts.os)
    row = found.distribution.id if found.distribution else ""
    if isinstance(found, Refusal):
        return {"row": row, "refused": found.reason, "hint": found.hint}
    return {"row": row, "because": found.because, "derivative": found.derivative, "warnings": list(found.warnings)}


def test_there_are_enough_machines():
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_golden_facts(name):
    facts = look(name)
    golden = MACHINES / name / "facts.json"
    found = {"facts": plain(facts), "place": place(facts)}
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_few_commands_and_an_honest_label(name):
    host = ReplayHost(MACHINES / name)
    facts = detect(host)
    assert len(host.asked) <= (7 if facts.init is Init.LAUNCHD else 3 if facts.homebrew else 2)
    about = tomllib.loads((MACHINES / name / "about.toml").read_text(encoding="utf-8"))
    assert about["kind"] in ("recorded", "composed")
    assert about["date"]
    assert about["where"]


# --- what single machines are there for ------------------------------------------------------------------------------


def test_privileges():
    assert look("debian-13").privilege is Privilege.ROOT
    assert look("debian-13-user-with-sudo").privilege is Privilege.SUDO
    assert look("debian-12-user-without-sudo").privilege is Privilege.NONE
    assert look("debian-12-user-without-sudo").unreadable == ("/etc/apt/sources.list.d/private.list",)


def test_who_manages_services_and_why_nobody_does():
    assert look("debian-13").init is Init.SYSTEMD
    assert look("devuan-5").init is Init.SYSVINIT
    assert look("alpine-3.23").init is Init.OPENRC
    facts = look("debian-13-container-without-init")
    assert (facts.service_manager, facts.service_note) == ("none", "systemd is installed, but PID 1 is sh")
    assert look("ubuntu-24.04-wsl").init is Init.NONE


def test_containers():
    names = ("debian-13", "debian-sid-docker", "debian-12-podman", "debian-13-lxc", "ubuntu-24.04-wsl", "ubuntu-24.04")
    assert [look(name).container for name in names] == ["systemd-nspawn", "docker", "podman", "lxc", "wsl", ""]


def test_architecture_is_that_of_the_packages_not_of_the_kernel():
    facts = look("raspberry-pi-os-12-32bit")
    assert (facts.architecture, facts.kernel) == ("armhf", "6.12.47+rpt-rpi-v8")


def test_installed_and_held_with_origin():
    facts = look("debian-13-installed-by-hand")
    package = facts.package("rabbitmq-server")
    assert package is not None
    assert (package.state, package.held, package.origin) == (State.INSTALLED, True, "Debian")
    assert facts.package("erlang-nox") is None
    broken = look("debian-13-half-configured").package("rabbitmq-server")
    assert broken is not None
    assert broken.state is State.BROKEN


def test_origins_of_what_is_installed_and_offered():
    facts = look("ubuntu-24.04-team")
    package, candidate = facts.package("rabbitmq-server"), facts.candidate("rabbitmq-server")
    assert package is not None
    assert candidate is not None
    assert (package.version, package.origin) == ("4.2.4-1", "RabbitMQ")
    assert (candidate.version, candidate.origin) == ("4.2.9-1", "RabbitMQ")
    assert facts.candidate("no-such-package") is None


def test_a_foreign_erlang():
    facts = look("ubuntu-22.04-esl-erlang")
    assert [(package.name, package.origin) for package in facts.packages] == [("esl-erlang", "Erlang Solutions")]
    assert facts.strays == ()
    strays = look("debian-13-removed-with-strays").strays
    assert [(stray.name, stray.version) for stray in strays] == [("erlang", "28.1.1"), ("rabbitmq", "4.2.1")]


def test_leftovers_of_retired_sources():
    facts = look("debian-12-retired-sources")
    live = [source.retired for source in facts.sources if source.enabled]
    assert live == ["", "ppa-rabbitmq-com", "novemberain", "cloudsmith", "packagecloud"]
    assert [source.retired for source in facts.sources if not source.enabled] == ["bintray", "bintray"]
    assert [key.file for key in facts.legacy_keys] == ["/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d/rabbitmq.asc"]


def test_macs_and_what_their_homebrew_has():
    facts = look("macos-14-arm64-installed")
    assert (facts.manager, facts.init, facts.os.version_id) == ("brew", Init.LAUNCHD, "14")
    brew = facts.homebrew
    assert brew is not None
    assert (brew.prefix, brew.user, brew.group, brew.home) == ("/opt/homebrew", "alice", "staff", "/Users/alice")
    keg = brew.keg("rabbitmq")
    assert keg is not None
    assert (keg.version, keg.pinned, keg.erlang, keg.erlang_version) == ("4.3.5", True, "erlang@28", "28.5.0.5")
    offer = brew.candidate("rabbitmq")
    assert offer is not None
    assert (offer.version, offer.origin, brew.candidate("erlang")) == ("4.3.6", "homebrew/core", None)
    intel = look("macos-15-x86_64")
    assert (intel.homebrew and intel.homebrew.prefix, intel.architecture, intel.memory) == (
        "/usr/local",
        "x86_64",
        34359738368,
    )
    assert intel.strays == ()


def test_macs_where_homebrew_cannot_be_used():
    assert look("macos-26-without-brew").homebrew is None
    troubles = {
        "macos-26-root": lambda facts: facts.privilege is Privilege.ROOT,
        "macos-26-rosetta": lambda facts: facts.homebrew.translated and facts.architecture == "arm64",
        "macos-26-anothers-brew": lambda facts: not facts.homebrew.writable and facts.homebrew.owner == "alice",
        "macos-15-x86_64-without-tools": lambda facts: not facts.homebrew.tools,
    }
    for name, trouble in troubles.items():
        assert trouble(look(name)), name
    assert "Rosetta" in look("macos-26-rosetta").homebrew.problem
    assert "as root" in look("macos-26-root").homebrew.problem


def test_macports_and_what_it_has():
    facts = look("macos-15-macports")
    assert (facts.manager, facts.homebrew) == ("macports", None)
    package = facts.package("rabbitmq-server")
    assert package is not None
    assert (package.version, package.origin) == ("3.11.15_0", "MacPorts")


def test_homebrew_beside_another_manager():
    facts = look("debian-13-linuxbrew-without-session")
    assert facts.manager == "apt"
    assert facts.homebrew is not None
    assert (facts.homebrew.prefix, facts.homebrew.session) == ("/home/linuxbrew/.linuxbrew", False)
    assert facts.homebrew.candidates == ()
    asked = detect(ReplayHost(MACHINES / "fedora-43-linuxbrew"), brew=True).homebrew
    assert asked is not None
    assert [each.package for each in asked.candidates] == ["rabbitmq", "erlang@28"]


def test_without_offers_apt_is_not_asked():
    host = ReplayHost(MACHINES / "debian-13")
    facts = detect(host, offers=False)
    assert [argv[0] for argv in host.asked] == ["dpkg-query"]
    assert facts.candidates == ()
    assert facts.sources


def test_the_machine_at_hand():
    facts = detect(LocalHost(), offers=False)
    assert facts.architecture
    assert facts.hostname
    assert facts.memory > 0


# --- a replayed machine ----------------------------------------------------------------------------------------------


def test_a_replayed_machine_refuses_what_was_not_recorded():
    host = ReplayHost(MACHINES / "debian-13")
    with pytest.raises(AssertionError, match="no recorded answer to: apt-get update"):
        host.run(Command(("apt-get", "update")))
    with pytest.raises(AssertionError, match="asked to write /etc/motd"):
        host.write(Write("/etc/motd", b""))
    with pytest.raises(AssertionError, match="asked to remove /etc/motd"):
        host.remove(Remove("/etc/motd"))


def test_a_replayed_command_is_told_line_by_line():
    heard: list[str] = []
    host = ReplayHost(MACHINES / "arch")
    assert host.run(Command(("uname", "-m")), heard.append).ok
    assert heard == ["x86_64"]


# --- parsers ---------------------------------------------------------------------------------------------------------


class Paper:
    """A host of one text in every file and one answer to every command."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, command: Command, listener: object = None) -> Result:  # noqa: ARG002
        return Result(command, 0, self.text)

    def read(self, path: str) -> FileState | None:  # noqa: ARG002
        return FileState(self.text.encode(errors="replace"), 0o644, "root", "root")

    def names(self, directory: str) -> tuple[str, ...]:  # noqa: ARG002
        return ("apt-get", "dpkg", "erl", "a.list", "b.sources", "c.asc")

    def write(self, write: Write) -> None:
        raise AssertionError(write)

    def remove(self, remove: Remove) -> None:
        raise AssertionError(remove)


LINES = st.lists(
    st.sampled_from(
        [
            "ID=debian",
            'NAME="half',
            "deb [arch=amd64 http://x",
            "deb cdrom:[a b]/ x main",
            "URIs: a b",
            " more",
            "Enabled:",
            "rabbitmq-server:",
            "  Candidate: 1",
            " *** 1 500",
            "        500 http://x y/main amd64 Packages",
            "",
            "#",
            "dpkg\t\t\tii ",
        ]
    )
    | st.text(max_size=20)
).map("\n".join)


@given(LINES)
def test_no_text_makes_detection_fail(text):
    facts = detect(Paper(text))
    assert facts.manager == "apt"
    assert catalog.load().place(facts.os)


class PaperMac(Paper):
    """A Mac, or something like it, whose every answer is one text."""

    def names(self, directory: str) -> tuple[str, ...]:
        return ("SystemVersion.plist", "brew", "port", "rabbitmq", "erlang@", "4.3.6", "x" + directory[-1:])


WORDS = [
    "user=",
    "prefix=/opt/homebrew",
    "writable=",
    "=",
    "ProductVersion: .",
    "hw.memsize: 9x",
    '{"formulae": [{"name": "rabbitmq", "versions": {"stable": "4"}, "dependencies": ["erlang", 7]}]}',
    '{"runtime_dependencies": [[], {"full_name": "erlang"}, {"full_name": 3}]}',
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=20)).map("\n".join))
def test_no_text_makes_detection_of_a_mac_fail(text):
    facts = detect(PaperMac(text))
    assert facts.homebrew
    assert catalog.load().place(facts.os)


@given(st.binary(max_size=64))
def test_no_bytes_make_a_keyring_fail(content):
    assert isinstance(apt_trust.fingerprints(content), tuple)
    assert isinstance(apt_trust.fingerprints(b"\x99" + content), tuple)


def test_an_unclosed_quote_spoils_only_its_own_line():
    facts = detect(Paper('ID=debian\nNAME="Debian\nVERSION_ID="13"\n'))
    assert (facts.os.id, facts.os.version_id, facts.os.name) == ("debian", "13", "")


OTHERS = [
    ("opensuse-leap-16", ("dnf", "yum"), "zypper"),
    ("fedora-43", ("apt-get", "dpkg", "zypper"), "dnf"),
    ("debian-13", ("dnf", "zypper"), "apt"),
]


@pytest.mark.parametrize(("name", "others", "own"), OTHERS, ids=[name for name, *_ in OTHERS])
def test_the_package_manager_is_that_of_the_distribution_whatever_others_are_there(tmp_path, name, others, own):
    machine = shutil.copytree(MACHINES / name, tmp_path / name)
    names = tomllib.loads((machine / "names.toml").read_text())
    names["/usr/bin"] += others
    (machine / "names.toml").write_text("".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in names.items()))
    assert detect(ReplayHost(machine)).manager == own


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg to agree with")
def test_fingerprints_are_those_of_gpg(tmp_path):
    keyrings = [MACHINES / "debian-12-retired-sources" / "files" / "etc" / "apt" / "trusted.gpg"]
    keyrings += sorted(Path("/etc/apt/trusted.gpg.d").glob("*.asc"))
    for keyring in keyrings:
        said = subprocess.run(
            ["gpg", "--homedir", str(tmp_path), "--batch", "--with-colons", "--show-keys", str(keyring)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        said = [line for line in said if line.startswith(("pub:", "fpr:"))]
        primary = [two.split(":")[9] for one, two in pairwise(said) if one.startswith("pub:")]
        assert apt_trust.fingerprints(keyring.read_bytes()) == tuple(primary)


def test_a_torn_or_new_format_keyring():
    team = catalog.load().key_text("rabbitmq-team")
    assert apt_trust.fingerprints(team[:400]) == ()
    body = b"\x04" + b"\x00" * 5
    assert len(apt_trust.fingerprints(b"\xc6\x06" + body)) == 1
    assert len(apt_trust.fingerprints(b"\xc6\xff\x00\x00\x00\x06" + body)) == 1
    assert len(apt_trust.fingerprints(b"\xc6\xc0\x08" + body + b"\x00" * 194)) == 1
    assert apt_trust.fingerprints(b"\xc6\xe1" + body) == ()


def test_one_line_sources():
    text = (
        "deb [ arch=amd64,arm64 signed-by=/k.gpg trusted=yes ] https://x/y noble main universe # why\n"
        "# just words\n# deb-src http://x/y noble main\ndeb cdrom:[Debian 12 _Bookworm_]/ bookworm main\n"
    )
    first, second, third = apt_sources.parse_sources("/etc/apt/sources.list", text)
    assert (first.uris, first.suites, first.components) == (("https://x/y",), ("noble",), ("main", "universe"))
    assert (first.architectures, first.signed_by, first.trusted) == (("amd64", "arm64"), "/k.gpg", True)
    assert (second.enabled, second.types, second.line) == (False, ("deb-src",), 3)
    assert third.uris == ("cdrom:[Debian 12 _Bookworm_]/",)


def test_deb822_sources():
    text = (
        "# head\nTypes: deb deb-src\nURIs: https://a https://b\nSuites: trixie trixie-updates\n"
        "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n\n\n"
        "Enabled: no\ntypes: deb\nURIS: https://c\nSuites: ./\n"
    )
    first, second = apt_sources.parse_sources("/etc/apt/sources.list.d/x.sources", text)
    assert (first.line, first.types, first.uris) == (2, ("deb", "deb-src"), ("https://a", "https://b"))
    assert first.signed_by.startswith("-----BEGIN")
    assert (second.enabled, second.uris, second.line) == (False, ("https://c",), 12)


def test_which_files_apt_reads():
    names = ["a.list", "b.sources", "c.list.save", "d.list~", ".e.list", "f g.list"]
    assert [name for name in names if apt_sources.is_source_list(name)] == ["a.list", "b.sources"]


def test_where_apt_keeps_a_release_file():
    plain_, _ = apt_sources.release_files("http://user:pass@deb.example.org/debian/", "bookworm/updates")
    assert plain_ == "/var/lib/apt/lists/deb.example.org_debian_dists_bookworm_updates_InRelease"
    flat = apt_sources.release_files("file:/srv/my_repo", "./")[1]
    assert flat == "/var/lib/apt/lists/_srv_my%5frepo_._Release", "seen with apt 2.6"
