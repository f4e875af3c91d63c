"""The shell scripts: sound for every shell that may run them, and honest in what they say of themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lab import roots

ROOT = Path(__file__).resolve().parents[1]
INSTALL, TEST, CI = ROOT / "install.sh", ROOT / "test.sh", ROOT / ".ci/run"
POSIX = (INSTALL, TEST, *sorted((ROOT / "rmqsetup").rglob("*.sh")), *sorted((ROOT / "recipes/ci").glob("*.sh")))
SCRIPTS = (*POSIX, CI)


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)


def program(name):
    """Return the path of a program; skips without it, and fails instead in CI."""
    if path := shutil.which(name):
        return path
    wanting = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    return wanting(f"there is no {name} on this machine")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    kind = "bash" if script == CI else "sh"
    done = run(program("shellcheck"), f"--shell={kind}", str(script))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
@pytest.mark.parametrize("script", POSIX, ids=lambda path: path.name)
def test_every_shell_reads_it(script, shell):
    name, *options = shell.split()
    if name == "busybox" and not shutil.which(name):
        pytest.skip("busybox is a courtesy")
    done = run(program(name), *options, "-n", str(script))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", [INSTALL, TEST, CI], ids=lambda path: path.name)
def test_can_be_run(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!")


def test_install_sh_can_be_read_before_it_is_run_as_root():
    assert len(INSTALL.read_text().splitlines()) <= 200


@pytest.mark.parametrize("script", [INSTALL, TEST], ids=lambda path: path.name)
def test_help_names_every_option_and_changes_nothing(script, tmp_path):
    done = run(str(script), "--help", cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    understood = set(re.findall(r"^\s+(?:-h \| )?(--[a-z-]+)\)", script.read_text(), re.MULTILINE)) | {"--help"}
    assert understood <= set(re.findall(r"--[a-z-]+", done.stdout))
    assert f"./{script.name} [" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_script_stand_alone(tmp_path):
    done = run(str(INSTALL), "--yes", "--no-run", env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert done.returncode != 0
    assert "stand alone" in done.stderr


def test_install_sh_alone_says_that_it_needs_its_checkout(tmp_path):
    shutil.copy(INSTALL, tmp_path)
    done = run(str(tmp_path / "install.sh"), "--no-run", env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert done.returncode != 0
    assert f"{tmp_path} is no checkout of rmqsetup" in done.stderr


def test_test_sh_installs_what_the_lab_needs():
    essential = {"apt", "dpkg"}
    listed = re.search(r'^TOOLS="(.*?)"$', TEST.read_text(), re.MULTILINE | re.DOTALL)
    assert listed
    assert {package for _, package in roots.PROGRAMS} - essential <= set(listed[1].split())
