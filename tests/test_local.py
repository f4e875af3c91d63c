"""What this machine makes has the rights it should, whatever the umask of who runs rmqsetup."""

from __future__ import annotations

import os
import stat

import pytest

from rmqsetup.host import Command, Write
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
