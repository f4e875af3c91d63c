"""Every machine of a public collection of os-release files: in its place, or refused with words.

The collection lies beside the repository as data; without it these tests are skipped.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from offers import Asking

from rmqsetup import catalog
from rmqsetup.catalog import Placement, Refusal
from rmqsetup.detect import detect
from rmqsetup.errors import UnsupportedError
from rmqsetup.facts import Facts
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.recipe import Request
from rmqsetup.resolution import Resolution
from rmqsetup.resolve import resolve
from rmqsetup.show import facts as screen
from rmqsetup.show.terminal import Terminal
from rmqsetup.wishes import Ours, build

FOLDER = Path(__file__).parents[2] / "shared" / "os-release"
FILES = sorted(file for file in FOLDER.rglob("*") if file.is_file())

pytestmark = pytest.mark.skipif(not FILES, reason="the collection of os-release files is not here")

ROWS = {
    "debian13": "debian-13",
    "debiantesting": "debian-12",  # made when bookworm was testing, and says so
    "kali": "kali-rolling",
    "ubuntu24": "ubuntu-24.04",
    "ubuntu2604": "ubuntu-26.04",
}
"""Where the machines of apt belong that are still looked after."""

ENDED = (
    *("armbian", "bttcb1", "debian10", "debian8", "linuxmint17", "raspbian7", "raspbian8"),
    *("ubuntu14", "ubuntu16", "ubuntu2504", "ubuntu2510"),
    *("centos7", "fedora42", "opensuse15", "oracle7", "rhel7", "scientific7"),
)
"""Those that get no security updates any more; by their own words some are another's."""

KINDS = {
    **dict.fromkeys(("almalinux", "centos", "cloudlinux", "oracle", "rhel", "rocky", "scientific"), "rhel"),
    "amazon": "amzn",
    "fedora": "fedora",
    "opensuse": "opensuse",
    "sles": "sles",
}
"""What a machine of rpm is, by the name of its file."""

ELSEWHERE = (
    *("alpine", "altlinux10", "arch", "buildroot", "coreos", "exherbo", "gentoo", "guix", "kvmibm1", "mageia5"),
    *("manjaro1512", "openelec6", "slackware14"),
)
"""Systems that nothing here installs packages on."""


def kind(file: Path) -> str:
    """Return what a machine of rpm is, empty for all others."""
    return next((what for name, what in KINDS.items() if file.name.startswith(name)), "")


@pytest.fixture
def look(tmp_path):
    def looked(file: Path):
        etc = tmp_path / "files" / "etc"
        etc.mkdir(parents=True)
        (etc / "os-release").write_bytes(file.read_bytes())
        (tmp_path / "commands.toml").write_text(
            '[[command]]\nargv = ["uname", "-m"]\nstdout = "x86_64"\n[[command]]\nargv = ["id", "-u"]\nstdout = "0"\n'
        )
        return detect(ReplayHost(tmp_path))

    return looked


def granted(facts: Facts, request: Request) -> Resolution | UnsupportedError:
    try:
        return resolve(facts, request, catalog.load(), Asking())
    except UnsupportedError as refusal:
        return refusal


def test_the_collection_is_known_by_name():
    """A new file in it is to be judged by a person once."""
    assert len(FILES) >= 50
    known = {*ROWS, *ENDED, *ELSEWHERE}
    assert [file.name for file in FILES if file.name not in known and not kind(file)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_machine_has_its_place_or_is_refused_with_words(look, file):
    facts = look(file)
    found = catalog.load().place(facts.os)
    assert facts.os.id
    if file.name in ROWS:
        assert isinstance(found, Placement)
        assert found.distribution.id == ROWS[file.name]
        assert found.because
    elif kind(file) and isinstance(found, Placement):
        assert found.distribution.family in (kind(file), facts.os.id), "one of rpm is in its own family, or refused"
        assert found.distribution.manager in ("dnf", "yum", "zypper")
    else:
        assert isinstance(found, Refusal)
        assert found.hint
        title = facts.os.pretty or facts.os.name
        assert re.sub(r"\W", "", title) in re.sub(r"\W", "", found.reason), "a refusal names the machine"
        assert ("security updates" in found.reason) is (file.name in ENDED)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize("source", ["auto", "team", "distro"])
def test_facts_are_shown_and_a_plan_is_made_or_refused(look, file, source):
    facts = look(file)
    terminal = Terminal(io.StringIO(), io.StringIO(), can_ask=False, quiet=False, colour=False, colours=False)
    assert (facts.os.pretty or facts.os.name).split()[0] in screen.screen(facts, terminal)
    found = catalog.load().place(facts.os)
    manager = found.distribution.manager if found.distribution else ""
    architecture = "amd64" if manager == "apt" else "x86_64"
    facts, request = replace(facts, manager=manager, architecture=architecture), Request(source=source)
    made = granted(facts, request)
    if isinstance(made, UnsupportedError):
        assert made.hint or made.cause
        assert isinstance(found, Refusal) or source != "auto" or not found.distribution.repositories
        return
    assert isinstance(found, Placement)
    assert made.distribution.id == found.distribution.id
    assert build(made, facts, request, ours=Ours()).steps
