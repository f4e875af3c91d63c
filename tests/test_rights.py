"""Owners and modes on this machine: of what a path leads to, and never by way of somebody else's link."""

from __future__ import annotations

import os
import stat

import pytest

from rmqsetup.errors import ConflictError, ManagerError
from rmqsetup.host import Give, Write
from rmqsetup.hosts.local import LocalHost

NOBODY = 65534


@pytest.fixture
def change():
    """Return a function that gives a path to who runs the tests, with a mode."""
    return lambda path, mode: LocalHost().give(Give(str(path), str(os.geteuid()), str(os.getegid()), mode))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "real" / "file"
    made.parent.mkdir()
    made.write_text("x")
    made.chmod(0o600)
    return made


def test_of_a_file_and_a_folder(change, file):
    change(file, 0o640)
    change(file.parent, 0o711)
    assert (mode(file), mode(file.parent)) == (0o640, 0o711)


def test_where_no_path_has_a_handle_as_on_macos(change, file, monkeypatch):
    monkeypatch.delattr(os, "O_PATH")
    change(file, 0o640)
    assert mode(file) == 0o640


@pytest.mark.parametrize("target", ["real/file", "./real/../real//file", "{}/real/file", "folder/file"])
def test_of_what_links_lead_to(change, file, tmp_path, target):
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link").symlink_to(target.format(tmp_path))
    change(tmp_path / "link", 0o644)
    assert mode(file) == 0o644
    assert (tmp_path / "link").is_symlink()


def test_never_by_way_of_somebody_elses_link(change, file, tmp_path):
    if os.geteuid():
        pytest.skip("only root can make a link for somebody else")
    (tmp_path / "link").symlink_to("real/file")
    (tmp_path / "folder").symlink_to("real")
    for path in ("link", "folder"):
        os.lchown(tmp_path / path, NOBODY, NOBODY)
    for path in (tmp_path / "link", tmp_path / "folder" / "file"):
        with pytest.raises(ConflictError, match="neither root nor we made it"):
            change(path, 0o666)
    assert mode(file) == 0o600


def write(path, content):
    LocalHost().write(Write(str(path), content, 0o600, str(os.geteuid()), str(os.getegid())))


def test_a_link_stays_and_what_it_leads_to_is_written(file, tmp_path):
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "other").symlink_to(file)
    write(tmp_path / "link", b"new")
    assert (file.read_bytes(), (tmp_path / "link").is_symlink()) == (b"new", True)
    assert sorted(os.listdir(file.parent)) == ["file"], "nothing is left beside it"  # noqa: PTH208


def test_a_link_is_replaced_that_leads_to_no_file_or_is_somebody_elses(file, tmp_path):
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "theirs").symlink_to(file)
    if not os.geteuid():
        os.lchown(tmp_path / "theirs", NOBODY, NOBODY)
    for name in ("lost", "circle", *(("theirs",) if not os.geteuid() else ())):
        write(tmp_path / name, b"new")
        assert not (tmp_path / name).is_symlink()
    assert file.read_bytes() == b"x"


def test_links_in_a_circle_and_what_is_not_there(change, tmp_path):
    (tmp_path / "one").symlink_to("one")
    with pytest.raises(ConflictError):
        change(tmp_path / "one", 0o600)
    with pytest.raises(ManagerError, match="cannot change"):
        change(tmp_path / "absent", 0o600)


def test_no_handle_stays_open(change, file, tmp_path):
    (tmp_path / "link").symlink_to("real/file")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    change(tmp_path / "link", 0o600)
    with pytest.raises(ManagerError):
        change(file / "below", 0o600)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_file_may_belong_to_a_number_without_a_name(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a file away")
    LocalHost().write(Write(str(tmp_path / "file"), b"x", 0o600, "54321", "54322"))
    found = LocalHost().read(str(tmp_path / "file"))
    assert (found.owner, found.group) == ("54321", "54322")
    with pytest.raises(ManagerError) as caught:
        LocalHost().give(Give(str(tmp_path / "file"), "nosuchuser", "root", 0o600))
    assert "there is no user or group" in caught.value.cause
