"""The script around a purge: what is to be kept is out of its way, or there is no purge."""

from __future__ import annotations

import subprocess
from importlib.resources import files

import pytest

from rmqsetup.errors import ManagerError
from rmqsetup.host import Command, Result
from rmqsetup.managers.apt import Apt


@pytest.fixture
def purge(tmp_path):
    """Return a function that runs a purge which deletes the directories it is to keep, below a folder of the test."""
    text = files("rmqsetup.managers").joinpath("transaction.sh").read_text()
    for path in ("/usr/sbin", "/var/lib/misc"):
        text = text.replace(path, str(tmp_path))

    def run(*keep):
        doomed = ("sh", "-c", 'touch "$0/purged"; rm -rf "$@"', str(tmp_path), *map(str, keep))
        argv = ("sh", "-c", text, "transaction", "-", *map(str, keep), "--", "purge-keeping", *doomed)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return Result(Command(argv), done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def data(tmp_path):
    for name in ("data", "logs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").write_text(name)
    return tmp_path / "data", tmp_path / "logs"


def test_a_purge_that_deletes_them_deletes_nothing(purge, data, tmp_path):
    assert purge(*data).ok
    assert (tmp_path / "purged").exists()
    assert [(path / "precious").read_text() for path in data] == ["data", "logs"]


def test_nothing_is_purged_where_one_of_them_cannot_be_moved(purge, data, tmp_path):
    (tmp_path / "logs.rmqsetup-kept").mkdir()  # what cannot be moved in a test; on a machine it is a mount point
    (tmp_path / "logs.rmqsetup-kept" / "older").touch()
    result = purge(*data)
    assert (result.exit_code, (tmp_path / "purged").exists()) == (1, False)
    assert [(path / "precious").read_text() for path in data] == ["data", "logs"]
    error = Apt().explain(result)
    assert isinstance(error, ManagerError)
    assert f"{tmp_path}/logs cannot be set aside" in error.cause
    assert "unmount" in error.hint
