"""This machine: rights of what it makes, whatever the umask; programs that answer oddly; paths that lead nowhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from rmqsetup.host import TIMED_OUT, Command, Remove, Write
from rmqsetup.hosts.disk import make_folder
from rmqsetup.hosts.local import LocalHost


@pytest.fixture(autouse=True)
def hardened():
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_node_can_read_what_is_written_for_it_and_enter_the_folders(tmp_path):
    LocalHost().write(Write(str(tmp_path / "conf.d/more/10.conf"), b"a = 1\n", 0o640))
    assert [mode(tmp_path / each) for each in ("conf.d", "conf.d/more", "conf.d/more/10.conf")] == [0o755, 0o755, 0o640]


@pytest.mark.parametrize(("who", "seen"), [(0, "0022"), (1000, "0077")])
def test_commands_of_root_make_what_everybody_reads_and_those_of_a_user_what_he_wants(monkeypatch, who, seen):
    monkeypatch.setattr(os, "geteuid", lambda: who)
    assert LocalHost().run(Command(("sh", "-c", "umask"))).stdout.strip() == seen


def test_programs_speak_english_whatever_languages_their_user_reads(monkeypatch):
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de:fr")
    said = LocalHost().run(Command(("sh", "-c", 'echo "$LC_ALL,$LANGUAGE"'))).stdout
    assert said == "C.UTF-8,\n", "glibc would take the words from LANGUAGE in every locale but C"


def test_a_program_that_answers_before_it_has_read_all_is_heard_meanwhile():
    told = b"x" * 1_000_000  # far more than a pipe holds
    result = LocalHost().run(Command(("cat",), stdin=told, timeout=30))
    assert (result.exit_code, len(result.stdout)) == (0, len(told))


def test_a_deadline_holds_for_a_program_that_does_not_read():
    result = LocalHost().run(Command(("sleep", "60"), stdin=b"x" * 1_000_000, timeout=0.3))
    assert result.exit_code == TIMED_OUT


def test_what_cannot_be_run_has_the_exit_code_that_a_shell_gives_it(tmp_path):
    (tmp_path / "odd").write_bytes(b"\x00\x01 no program")
    (tmp_path / "odd").chmod(0o755)
    result = LocalHost().run(Command((str(tmp_path / "odd"),)))
    assert (result.exit_code, "format" in result.stderr) == (126, True)


def test_nothing_is_where_links_lead_in_a_circle_or_a_name_is_too_long(tmp_path):
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    host = LocalHost()
    for path in (tmp_path / "one" / "below", tmp_path / ("n" * 300)):
        assert host.read(str(path)) is None
        assert host.peek(str(path)) is None
    assert host.read(str(tmp_path / "one")) is None


def test_a_folder_on_which_something_is_mounted_stays(tmp_path, monkeypatch):
    def busy(_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "rmdir", busy)
    LocalHost().remove(Remove(str(tmp_path / "absent"), (str(tmp_path),)))
    assert tmp_path.is_dir()


def test_a_folder_that_somebody_else_makes_at_the_same_moment_is_fine(tmp_path, monkeypatch):
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setattr(Path, "is_dir", lambda place: place != there and os.path.isdir(place))  # noqa: PTH112
    make_folder(there)
    assert list(tmp_path.iterdir()) == [there]
