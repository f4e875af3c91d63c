from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarballs import TOP, digest, folder, link, member, release, tarball

from rmqsetup import tarball as reading
from rmqsetup.errors import ConflictError, ManagerError, TrustError
from rmqsetup.host import MARK, Clear, Kind, Link, Standing, Unpack
from rmqsetup.hosts import trees
from rmqsetup.hosts.local import LocalHost

HOST = LocalHost()


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "made" / "broker"


def wish(prefix, data, *, top=TOP, sha256=""):
    source = prefix.parents[1] / "archive.tar"
    source.write_bytes(data)
    through = str(prefix / f".{TOP}.rmqsetup")
    swept = (str(prefix), str(prefix.parent))
    return Unpack(str(prefix / TOP), str(source), sha256 or digest(data), top, through, swept)


def clearing(prefix):
    name = str(prefix / TOP)
    return Clear(name, str(prefix / f".{TOP}.rmqsetup"), f"{name}.save", (str(prefix), str(prefix.parent)))


def refused(prefix, data, *words, **options):
    with pytest.raises(TrustError) as caught:
        HOST.unpack(wish(prefix, data, **options))
    said = f"{caught.value.message}: {caught.value.cause}"
    assert [word for word in words if word not in said] == [], said
    assert not prefix.parent.exists(), "nothing is left of it"
    return caught.value


# --- what is good


@pytest.mark.parametrize("form", ["xz", "gz"])
def test_a_release_is_unpacked(prefix, form):
    data = release(form=form)
    before = os.umask(0o077)
    try:
        HOST.unpack(wish(prefix, data))
    finally:
        os.umask(before)
    tree = prefix / TOP
    assert (tree / "sbin/rabbitmqctl").read_bytes() == b"escript"
    assert stat.S_IMODE((tree / "sbin/rabbitmq-server").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "plugins/README").stat().st_mode) == 0o644
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tree, tree / "sbin", tree / "plugins")} == {0o755}
    assert HOST.read(f"{tree}/{MARK}").text == f"{digest(data)}\n"
    assert HOST.names(str(prefix)) == (TOP,)
    HOST.clear(clearing(prefix))
    assert not prefix.parent.exists()


def test_what_an_earlier_run_left_is_swept(prefix):
    (prefix / f".{TOP}.rmqsetup" / "plugins").mkdir(parents=True)
    HOST.unpack(wish(prefix, release()))
    assert HOST.names(str(prefix)) == (TOP,)


def test_without_a_folder_around_it_the_tree_is_the_archive(prefix):
    HOST.unpack(wish(prefix, tarball((folder("./"), member("./bin/erl", b"#!/bin/sh\n", mode=0o755))), top=""))
    assert os.access(prefix / TOP / "bin/erl", os.X_OK)


def test_hard_links_and_several_streams_are_understood(prefix):
    plain = lzma.decompress(
        release(member(f"{TOP}/sbin/again", type=tarfile.LNKTYPE, linkname=f"{TOP}/plugins/README"))
    )
    middle = len(plain) // 2
    for packed in (gzip, lzma):
        data = packed.compress(plain[:middle]) + packed.compress(plain[middle:])
        HOST.unpack(wish(prefix, data))
        assert (prefix / TOP / "sbin/again").read_bytes() == b"plugins\n"
        HOST.clear(clearing(prefix))


def test_large_files_come_whole(prefix):
    content = os.urandom(3 << 20)
    for form in ("gz", "xz"):
        HOST.unpack(wish(prefix, release(member(f"{TOP}/beam.smp", content), form=form)))
        assert (prefix / TOP / "beam.smp").read_bytes() == content
        HOST.clear(clearing(prefix))


# --- what is refused


HOSTILE = {
    "an absolute name": (member("/etc/cron.d/x", b"x"), "absolute name"),
    "a name that climbs": (member(f"{TOP}/../../x", b"x"), "leads out of it"),
    "a name outside of its folder": (member("other/x", b"x"), "not in the folder"),
    "a link to an absolute path": (link(f"{TOP}/x", "/etc"), "a link leads out of it"),
    "a link with a zero in it": (link(f"{TOP}/x", "", pax_headers={"linkpath": "a\0b"}), "a link leads out of it"),
    "a link that climbs": (link(f"{TOP}/sbin/x", "../../x"), "a link leads out of it"),
    "a link to nothing": (link(f"{TOP}/x", ""), "a link leads out of it"),
    "a hard link out of it": (member(f"{TOP}/x", type=tarfile.LNKTYPE, linkname="/etc/shadow"), "absolute target"),
    "a hard link that climbs": (member(f"{TOP}/x", type=tarfile.LNKTYPE, linkname=f"{TOP}/../x"), "leads out of it"),
    "a hard link to a link": (
        member(f"{TOP}/x", type=tarfile.LNKTYPE, linkname=f"{TOP}/sbin/rabbitmqctl"),
        "leads to no file of it",
    ),
    "a device": (member(f"{TOP}/x", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "no file, folder or link"),
    "a block device": (member(f"{TOP}/x", type=tarfile.BLKTYPE, devmajor=8), "no file, folder or link"),
    "a pipe": (member(f"{TOP}/x", type=tarfile.FIFOTYPE), "no file, folder or link"),
    "something unheard of": (member(f"{TOP}/x", type=b"Z"), "no file, folder or link"),
    "a file that runs as its owner": (member(f"{TOP}/x", b"x", mode=0o4755), "rights of another"),
    "a file that runs as its group": (member(f"{TOP}/x", b"x", mode=0o2755), "rights of another"),
    "a name twice": (member(f"{TOP}/plugins/README", b"other"), "twice"),
    "a file in place of a folder": (member(f"{TOP}/sbin", b"x"), "twice"),
    "a folder in place of a link": (folder(f"{TOP}/sbin/rabbitmqctl"), "twice"),
    "a name through a link": (member(f"{TOP}/sbin/rabbitmqctl/x", b"x"), "through a link"),
    "our own mark": (member(f"{TOP}/{MARK}", b"x"), "twice"),
    "a name too deep": (member(f"{TOP}/" + "d/" * 90, b""), "too long"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["xz", "gz"])
def test_hostile_entries_are_refused_and_leave_nothing(prefix, name, form):
    entry, words = HOSTILE[name]
    error = refused(prefix, release(entry, form=form), "the archive is refused", words)
    assert error.exit_code == 5


@pytest.mark.parametrize("target", ["/t/sbin", "../tx", "../t/x", "sbin/../../t", ".."])
def test_the_text_of_a_link_is_judged_before_any_link_is_made(target):
    with pytest.raises(TrustError) as caught:
        list(reading.entries(release(link(f"{TOP}/x", target)), top=TOP))
    assert caught.value.cause.startswith("a link leads out of it")


def test_links_that_lead_out_by_way_of_others_are_refused(prefix):
    ladder = (folder(f"{TOP}/a/b"), link(f"{TOP}/a/b/up", ".."), link(f"{TOP}/out", "a/b/up/../../x"))
    refused(prefix, release(*ladder, link(f"{TOP}/far", "a/b/up/up/../../../etc")), "a link leads out of it")
    assert not (prefix.parents[1] / "x").exists()


def test_a_link_to_itself_harms_nobody(prefix):
    HOST.unpack(wish(prefix, release(link(f"{TOP}/loop", "loop"))))
    assert (prefix / TOP / "loop").is_symlink()


def test_another_archive_than_was_looked_at_is_refused_before_it_is_opened(prefix):
    refused(prefix, b"whatever", "not the one that was meant", sha256=digest(release()))


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04 a zip", b"\x1f\x8bshort", b"\xfd7zXZ\x00short", lzma.compress(b"x")]
)
def test_what_is_no_archive_is_refused(prefix, data):
    refused(prefix, data, "the archive is refused")


@pytest.mark.parametrize("form", ["xz", "gz"])
@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_part_of_an_archive_is_refused(prefix, form, left):
    data = release(member(f"{TOP}/beam.smp", os.urandom(200_000)), form=form)
    refused(prefix, data[: int(len(data) * left)], "the archive is refused")


def test_bombs_are_stopped(prefix, monkeypatch):
    zeros = bytes(64 << 20)
    monkeypatch.setattr(reading, "_FILE", 32 << 20)
    refused(prefix, release(member(f"{TOP}/zeros", zeros)), "far too large")
    monkeypatch.setattr(reading, "_FILE", 1 << 30)
    with pytest.raises(TrustError, match="refused") as caught:
        list(reading.entries(release(member(f"{TOP}/zeros", zeros), form="gz"), limit=32 << 20))
    assert "far more comes out" in caught.value.cause
    monkeypatch.setattr(reading, "MEMBERS", 5)
    refused(prefix, release(), "more than 5 entries")
    many = gzip.compress(b"") * 1001
    refused(prefix, many, "more than 1000 streams")


def test_a_name_that_fills_the_memory_is_stopped(prefix):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2 << 20
    data = lzma.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(info.size))
    refused(prefix, data, "a name or attribute of 2097152 bytes")


def test_a_dictionary_that_fills_the_memory_is_stopped(prefix, monkeypatch):
    monkeypatch.setattr(reading, "_MEMORY", 1 << 20)
    refused(prefix, release(), "Memory usage limit exceeded")


@given(st.binary(max_size=2000), st.sampled_from(("xz", "gz", "")))
def test_no_bytes_raise_anything_else(data, form):
    packed = {"xz": lzma.compress, "gz": gzip.compress}.get(form, bytes)(data)
    with contextlib.suppress(TrustError):
        list(reading.entries(packed))


@given(st.integers(0, 600), st.binary(min_size=1, max_size=8))
def test_no_change_in_an_archive_raises_anything_else(at, change):
    plain = lzma.decompress(release())[:6000]
    broken = gzip.compress(plain[:at] + change + plain[at + len(change) :])
    try:
        names = [entry.name for entry in reading.entries(broken)]
    except TrustError:
        return
    assert not any(name.startswith("/") or ".." in name.split("/") for name in names)


# --- removing, linking, looking


def test_what_others_put_into_a_tree_is_kept(prefix):
    HOST.unpack(wish(prefix, release()))
    tree = prefix / TOP
    (tree / "plugins" / "mine.ez").write_bytes(b"mine")
    os.utime(tree / "plugins" / "mine.ez", (0, 0))  # as cp -p leaves it
    (tree / "sbin" / "rabbitmq-server").write_bytes(b"#!/bin/sh\n# patched\n")
    (tree / "mine").symlink_to("plugins")
    HOST.clear(clearing(prefix))
    assert not tree.exists()
    kept = prefix / f"{TOP}.save"
    assert sorted(
        str(path.relative_to(kept)) for path in kept.rglob("*") if not path.is_dir() or path.is_symlink()
    ) == [
        "mine",
        "plugins/mine.ez",
        "sbin/rabbitmq-server",
    ]


def test_a_clear_does_not_follow_links(prefix):
    HOST.unpack(wish(prefix, release()))
    (prefix.parents[1] / "precious").mkdir()
    (prefix / TOP / "plugins" / "out").symlink_to(prefix.parents[1] / "precious")
    HOST.clear(clearing(prefix))
    assert (prefix.parents[1] / "precious").is_dir()
    HOST.clear(clearing(prefix))  # one already gone is fine


def test_a_removal_that_was_cut_is_swept(prefix):
    left = prefix / f".{TOP}.rmqsetup" / "plugins"
    left.mkdir(parents=True)
    HOST.clear(Clear("", str(left.parent), directories=(str(prefix), str(prefix.parent))))
    assert not prefix.parent.exists()


def test_a_link_leads_where_it_is_told(prefix):
    place = str(prefix / "current")
    HOST.link(Link(place, "a"))
    (prefix / ".current.rmqsetup").symlink_to("left over")
    HOST.link(Link(place, "b"))
    assert HOST.peek(place) == Standing(Kind.LINK, "b")
    assert HOST.names(str(prefix)) == ("current",)
    HOST.link(Link(place))
    HOST.link(Link(place))
    assert HOST.peek(place) is None
    (prefix / "current").mkdir()
    with pytest.raises(ConflictError, match="no link"):
        HOST.link(Link(place, "a"))


def test_a_look_tells_what_stands_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    found = [HOST.peek(str(tmp_path / name)) for name in ("file", "folder", "pipe", "nothing", "file/x")]
    assert found == [Standing(Kind.FILE), Standing(Kind.FOLDER), Standing(Kind.OTHER), None, None]


def test_what_cannot_be_written_is_explained(prefix):
    prefix.parent.mkdir()
    prefix.write_bytes(b"a file")
    with pytest.raises(ManagerError, match="cannot unpack"):
        HOST.unpack(wish(prefix, release()))
    with pytest.raises(ManagerError, match="cannot let"):
        HOST.link(Link(str(prefix / "current"), "a"))
    with pytest.raises(ManagerError, match="cannot read the archive"):
        HOST.unpack(Unpack(str(prefix), str(prefix.parent / "nothing"), "", "", ""))


def test_a_place_that_is_taken_is_not_replaced(prefix):
    (prefix / TOP).mkdir(parents=True)
    (prefix / TOP / "theirs").write_bytes(b"theirs")
    with pytest.raises(ManagerError, match="cannot unpack"):
        HOST.unpack(wish(prefix, release()))
    assert HOST.names(str(prefix)) == (TOP,)
    assert (prefix / TOP / "theirs").read_bytes() == b"theirs"


def test_a_crash_in_the_middle_leaves_the_place_as_it_was(prefix, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(_root):
        raise Killed

    monkeypatch.setattr(trees, "_sync", killed)
    with pytest.raises(Killed):
        HOST.unpack(wish(prefix, release()))
    assert not prefix.parent.exists()
