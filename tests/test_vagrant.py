"""The Vagrantfiles and what they share: sound by the word of Ruby and Vagrant. No machine is booted."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from test_scripts import program, run

from rmqsetup.cli import reading

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "vagrant"
COMMON = FOLDER / "common.rb"
FAMILIES = ("debian", "fedora", "opensuse", "rocky", "ubuntu")


def text(family: str) -> str:
    return (FOLDER / family / "Vagrantfile").read_text()


def validated(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Ask Vagrant, with a home of its own. A provider (VirtualBox, libvirt) is not needed for that, nor looked at."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "VAGRANT_HOME": str(home / "vagrant")}
    quiet = {"VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1", "LANG": "C.UTF-8", "VAGRANT_CWD": str(folder)}
    quiet["VAGRANT_DOTFILE_PATH"] = str(home / "dot")
    return run(program("vagrant"), "validate", "--ignore-provider", cwd=home, env={**env, **quiet})


def test_there_is_one_for_every_family_and_the_readme_names_it():
    assert sorted(path.parent.name for path in FOLDER.glob("*/Vagrantfile")) == list(FAMILIES)
    readme = (FOLDER / "README.md").read_text()
    for family in FAMILIES:
        (box,) = re.findall(r'config\.vm\.box = "([\w/.-]+)"', text(family))
        assert f"| [{family}]({family}/Vagrantfile) | `{box}` |" in readme


@pytest.mark.parametrize("name", [*(f"{family}/Vagrantfile" for family in FAMILIES), COMMON.name])
def test_ruby_reads_it(name):
    done = run(program("ruby"), "-wc", str(FOLDER / name))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "Syntax OK", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_vagrant_validates_it(family, tmp_path):
    done = validated(FOLDER / family, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
    assert not (FOLDER / family / ".vagrant").exists(), "a check leaves nothing behind"


@pytest.mark.parametrize(
    ("right", "wrong"), [("config.vm.hostname", "config.vm.hostnmae"), ('"../.."', '"../../no-such-folder"')]
)
def test_vagrant_refuses_a_mistake(tmp_path, right, wrong):
    """Else its word would be worth nothing."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "Vagrantfile").write_text(text("debian"))
    shared = folder.parent / COMMON.name
    shared.write_text(COMMON.read_text())
    assert validated(folder, tmp_path).returncode == 0
    assert right in shared.read_text()
    shared.write_text(shared.read_text().replace(right, wrong))
    assert validated(folder, tmp_path).returncode != 0


def test_what_it_runs_is_what_rmqsetup_takes():
    script = re.search(r"<<~SHELL\n(.*?)  SHELL", COMMON.read_text(), re.DOTALL)
    assert script
    lines = [shlex.split(line) for line in script[1].splitlines()]
    assert lines[0] == ["set", "-eu"]
    assert [words[0] for words in lines[1:]] == ["/vagrant/install.sh", "/usr/local/bin/rmqsetup"]
    words = reading.read(("install", *lines[1][1:]))
    assert words
    assert words.yes
    assert reading.read(tuple(lines[2][1:]))
    assert (ROOT / "install.sh").exists()
