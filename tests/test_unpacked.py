"""Binaries from packages, without root: a pretended apt, packages that are really built, opened and moved."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pretended_apt import Apt

from rmqsetup import cached, network, parcel, unpacked
from rmqsetup.errors import ManagerError, NetworkError, RmqsetupError, TrustError, UnsupportedError
from rmqsetup.host import MARK, Command
from rmqsetup.managers import apt_download
from rmqsetup.version import Wanted

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg-deb here")

UNSIGNED = "E: Some packages could not be authenticated"
UNREACHED = "E: Failed to fetch http://x/y.deb  Temporary failure resolving 'x'\nE: Failed to fetch some archives."
GONE = "E: Failed to fetch http://x/y.deb  404  Not Found [IP: 1.2.3.4 80]\nE: Failed to fetch some archives."
MISMATCH = "E: Failed to fetch http://x/y.deb  Hash Sum mismatch"


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "debs").mkdir()
    return Apt(tmp_path / "debs")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "a cache"


def left(cache):
    """Return what is there besides trees that are whole, packages, notes and locks."""
    trees = cache / "trees"
    whole = {str(path) for path in trees.glob("[!.]*") if (path / MARK).exists()} if trees.exists() else set()
    below = [*cache.glob("trees/*"), *cache.glob("packages/.*"), *cache.glob(".*")]
    return [str(path) for path in below if str(path) not in whole]


def test_the_first_makes_them_and_the_second_finds_them(apt, cache):
    found = unpacked.binaries(apt, cache)
    assert (found.rabbitmq, found.erlang_version) == ("4.2.9", "27.3.4")
    assert os.access(f"{found.home}/sbin/rabbitmq-server", os.X_OK)
    assert Path(f"{found.erlang}/lib/crypto-1").is_dir()
    assert apt.asked == ["-s", "--print-uris", "download", "dpkg-deb", "dpkg-deb", "ldd"]
    told = subprocess.run((f"{found.erlang}/bin/erl",), capture_output=True, text=True, check=True).stdout
    assert told == f"here is {found.erlang}\n", "a script says where it is, spaces and all"
    assert left(cache) == []
    assert unpacked.binaries(apt, cache) == found
    assert len(apt.asked) == 6, "nobody is asked again"


def test_those_who_start_together_share_one(apt, cache):
    for name, version in apt.offers.items():
        apt.deb(name, version)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: unpacked.binaries(apt, cache), range(4)))
    assert len(found) == 1
    assert apt.asked.count("download") == 1
    assert left(cache) == []


def test_new_lists_are_looked_at_and_other_versions_come_beside(apt, cache):
    before = unpacked.binaries(apt, cache)
    apt.stamp = "x86_64\n/var/lib/apt/lists 2\n"
    assert unpacked.binaries(apt, cache) == before, "nothing new in them"
    assert apt.asked.count("download") == 1
    apt.offers["rabbitmq-server"] = "4.2.9-2"
    apt.stamp = "x86_64\n/var/lib/apt/lists 3\n"
    after = unpacked.binaries(apt, cache)
    assert after.home != before.home
    assert after.erlang == before.erlang
    assert Path(before.home).is_dir(), "somebody may be running it"


def test_what_was_killed_is_swept(apt, cache):
    (cache / "packages/.arriving/x").mkdir(parents=True)
    (cache / "trees/.erlang-1.rmqsetup/.whole").mkdir(parents=True)
    (cache / "trees").joinpath(".rabbitmq_server-1.rmqsetup").mkdir()
    unpacked.binaries(apt, cache)
    assert left(cache) == []


def test_a_tree_that_somebody_deleted_is_made_again(apt, cache):
    found = unpacked.binaries(apt, cache)
    shutil.rmtree(found.erlang)
    assert unpacked.binaries(apt, cache) == found
    assert Path(found.erlang, "bin/erl").exists()


def test_a_cut_note_is_written_again(apt, cache):
    found = unpacked.binaries(apt, cache)
    (note,) = cache.glob("*.json")
    note.write_text(note.read_text()[:20])
    assert unpacked.binaries(apt, cache) == found


def test_another_version_that_apt_has(apt, cache):
    assert unpacked.binaries(apt, cache, wanted=Wanted.parse("4.0")).rabbitmq == "4.0.5"
    with pytest.raises(UnsupportedError, match=r"not 3\.13") as raised:
        unpacked.binaries(apt, cache, wanted=Wanted.parse("3.13"))
    assert "--source archive" in raised.value.hint


def test_a_pair_that_does_not_run_is_refused(apt, cache):
    apt.offers |= {"erlang-base": "1:23.2-1", "erlang-crypto": "1:23.2-1"}
    with pytest.raises(UnsupportedError, match="does not run on Erlang 23"):
        unpacked.binaries(apt, cache)


@pytest.mark.parametrize(
    ("word", "code", "said", "family", "hint"),
    [
        ("-s", 127, "apt-get: not found", UnsupportedError, "--source archive"),
        ("-s", 100, "E: Unable to locate package rabbitmq-server", UnsupportedError, "--source archive"),
        ("--print-uris", 100, "E: Can't find a source", ManagerError, "type it to see more"),
        ("download", 100, UNREACHED, NetworkError, "check the network"),
        ("download", 100, GONE, NetworkError, "apt-get update"),
        ("download", 100, MISMATCH, TrustError, "do not install from this source"),
        ("download", 100, UNSIGNED, TrustError, "do not install from this source"),
        ("dpkg-deb", 123, "tar: write error: No space left on device", ManagerError, "df -h"),
        ("ldd", 0, "beam.smp:\n\tlibtinfo.so.6 => not found", UnsupportedError, "libtinfo6"),
        (
            "ldd",
            1,
            "beam.smp: /lib/libc.so.6: version `GLIBC_2.99' not found (required by x)",
            UnsupportedError,
            "root",
        ),
        ("ldd", 1, "\tnot a dynamic executable", UnsupportedError, "--print-architecture"),
    ],
)
def test_what_stops_it_is_said_and_nothing_is_left(apt, cache, word, code, said, family, hint):
    apt.failing[word] = (code, said)
    with pytest.raises(RmqsetupError) as raised:
        unpacked.binaries(apt, cache)
    assert type(raised.value) is family, raised.value
    assert hint in raised.value.hint, raised.value.hint
    assert left(cache) == []
    del apt.failing[word]
    unpacked.binaries(apt, cache)


def test_without_lists_of_packages_it_says_what_root_types(apt, cache):
    apt.lists = ("lock", "partial")
    apt.failing["-s"] = (100, "E: Unable to locate package rabbitmq-server")
    with pytest.raises(UnsupportedError, match="no lists") as raised:
        unpacked.binaries(apt, cache)
    assert raised.value.hint == "as root, once, type: apt-get update"


def test_a_package_that_changed_in_the_cache_is_not_unpacked_and_then_fetched_anew(apt, cache):
    server, _ = unpacked.fetched(unpacked.offered(apt), host=apt, cache=cache)
    kept = next(Path(server.path).parent.glob("rabbitmq-server_*"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(TrustError, match="not the one that was meant"):
        cached.tree(server, host=apt, cache=cache)
    assert left(cache) == []
    unpacked.binaries(apt, cache)
    assert apt.asked.count("download") == 2


def test_what_apt_delivers_is_compared_once_more(apt, cache, monkeypatch):
    monkeypatch.setattr(apt, "_download", lambda _argv: "")
    with pytest.raises(TrustError, match="signed lists"):
        unpacked.binaries(apt, cache)
    assert left(cache) == []


def test_a_file_without_a_digest_is_not_taken(apt, cache, monkeypatch):
    told = apt._print_uris
    monkeypatch.setattr(apt, "_print_uris", lambda argv: told(argv).replace("SHA256", "MD5Sum"))
    with pytest.raises(TrustError, match="sha256"):
        unpacked.binaries(apt, cache)


def test_packages_that_hold_something_else_are_refused(apt, cache):
    server, _ = unpacked.fetched(unpacked.offered(apt), host=apt, cache=cache)
    with pytest.raises(UnsupportedError, match="do not hold"):
        cached.tree(replace(server, top="usr/lib/other"), host=apt, cache=cache)
    assert left(cache) == []


def test_a_folder_that_cannot_be_written_is_named(apt, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RmqsetupError, match="cannot write below"):
        unpacked.binaries(apt, tmp_path / "file/cache")


def test_a_parcel_is_read_as_it_was_written_and_a_wrong_one_refused():
    parts = (parcel.Part("b_1%3a2_all.deb", "b" * 64), parcel.Part("a_1+dfsg~1_amd64.deb", "a" * 64))
    assert parcel.read(parcel.write(parts)) == parts[::-1]
    assert parcel.write(parts) == parcel.write(parts[::-1])
    for bad in (b"x\n", f"{'a' * 64}  ../a.deb\n".encode(), f"{'a' * 64}  a.tar\n".encode(), b"\xff"):
        with pytest.raises(TrustError):
            parcel.read(bad)


@pytest.mark.parametrize("proxy", [False, True])
def test_where_no_name_server_answers_apt_is_not_waited_for_unless_it_has_a_proxy(apt, cache, monkeypatch, proxy):
    told = "Acquire::http \nAcquire::http::Proxy http://proxy:3128\n" if proxy else "Acquire::http::Timeout 20\n"
    monkeypatch.setattr(network.resolvers, "silent", lambda name, _found: ("192.0.2.53",) if name else ())
    monkeypatch.setattr(
        apt_download, "PROXIES", Command(("printf", told.replace("\n", "\\n")), timeout=apt_download.PROXIES.timeout)
    )
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "")
    if proxy:
        assert unpacked.binaries(apt, cache)
        return
    with pytest.raises(NetworkError, match="cannot fetch") as raised:
        unpacked.binaries(apt, cache)
    assert raised.value.cause == "no name server answers: 192.0.2.53"
    assert "download" not in apt.asked
    assert left(cache) == []
