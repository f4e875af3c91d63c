from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
from pathlib import Path

import pytest
from genuine import upstream_release
from hypothesis import given
from hypothesis import strategies as st
from signer import key, signer
from tarballs import TOP, digest, folder, member, release, tarball
from webserver import Answer, serving

from rmqsetup import catalog, keys, releases
from rmqsetup.catalog import Publication
from rmqsetup.errors import NetworkError, RmqsetupError, TrustError, UnsupportedError
from rmqsetup.hosts.local import LocalHost

HOST = LocalHost()
ROWS = {row.id: row for row in catalog.load().publications}
ASC = ".asc"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


@functools.cache
def proven(name: str) -> keys.Key:
    return keys.prove(signer().public(key(name)), key(name))


@functools.cache
def signed(name: str = "team", data: bytes = b"") -> bytes:
    return signer().detach(data or archive(), key(name))


@functools.cache
def archive() -> bytes:
    return release()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "archives"


@pytest.fixture
def file(tmp_path):
    """A signed archive as somebody downloaded it."""
    path = tmp_path / "rabbitmq-server-generic-unix-4.2.9.tar.xz"
    path.write_bytes(archive())
    path.with_name(path.name + ASC).write_bytes(signed())
    return path


def fetched(where, cache):
    return releases.fetch_rabbitmq(str(where), (proven("team"),), host=HOST, cache=cache)


def refused(where, cache, *words):
    with pytest.raises(TrustError) as caught:
        fetched(where, cache)
    said = f"{caught.value.message}: {caught.value.cause}"
    assert [word for word in words if word not in said] == [], said
    assert not cache.exists()


# --- RabbitMQ


def test_a_file_is_used_where_it_is(file, cache):
    found = fetched(file, cache)
    assert found == releases.Proven(str(file), str(file), digest(archive()), TOP, "4.2.9", key("team"), tree=TOP)
    assert fetched(file.as_uri(), cache).path == str(file)
    assert not cache.exists()


def test_a_url_is_kept_in_the_cache(cache):
    files = {"/a.tar.xz": archive(), "/a.tar.xz.asc": signed()}
    with serving(files) as server:
        found = fetched(f"{server.url}/a.tar.xz", cache)
        assert fetched(f"{server.url}/a.tar.xz", cache) == found
        Path(found.path).write_bytes(b"somebody wrote here")
        assert Path(fetched(f"{server.url}/a.tar.xz", cache).path).read_bytes() == archive()
    assert os.listdir(cache) == [f"{digest(archive())}.tar.xz"]  # noqa: PTH208 - names
    assert (found.digest, found.version) == (digest(archive()), "4.2.9")


def test_nothing_half_written_stays_in_the_cache(cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving({"/a.tar.xz": archive(), "/a.tar.xz.asc": signed()}) as server:
        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(RmqsetupError, match="cannot keep the archive"):
            fetched(f"{server.url}/a.tar.xz", cache)
    assert os.listdir(cache) == []  # noqa: PTH208 - names


def test_a_changed_archive_a_strangers_signature_and_none_are_refused(file, cache):
    changed = archive()[:-1] + bytes([archive()[-1] ^ 1])
    file.write_bytes(changed)
    refused(file, cache, "is not valid")
    file.write_bytes(archive())
    beside = file.with_name(file.name + ASC)
    beside.write_bytes(signed("other"))
    refused(file, cache, "not signed by the key")
    beside.write_bytes(b"whatever")
    refused(file, cache)
    beside.unlink()
    refused(file, cache, "has no signature")


@pytest.mark.parametrize("answer", [Answer(b"", status=404), Answer(PAGE)])
def test_a_server_without_the_signature_is_not_believed(cache, answer):
    with serving({"/a.tar.xz": archive(), "/a.tar.xz.asc": answer}) as server:
        refused(f"{server.url}/a.tar.xz", cache, "has no signature")


@pytest.mark.parametrize("broken", ["/a.tar.xz", "/a.tar.xz.asc"])
def test_a_server_that_fails_is_the_networks_fault(cache, broken):
    files = {"/a.tar.xz": archive(), "/a.tar.xz.asc": signed(), broken: Answer(b"", status=500)}
    with serving(files) as server, pytest.raises(NetworkError) as caught:
        fetched(f"{server.url}/a.tar.xz", cache)
    assert caught.value.exit_code == 4


def test_a_signature_does_not_make_a_hostile_archive_good(file, cache):
    hostile = release(member(f"{TOP}/../../etc/cron.d/x", b"x"))
    file.write_bytes(hostile)
    file.with_name(file.name + ASC).write_bytes(signed("team", hostile))
    refused(file, cache, "the archive is refused", "leads out of it")


@pytest.mark.parametrize("data", [release(top="rabbitmq-server-4.2.9"), tarball((member("README", b"x"),))])
def test_something_else_that_is_signed_is_told_apart(file, cache, data):
    file.write_bytes(data)
    file.with_name(file.name + ASC).write_bytes(signed("team", data))
    with pytest.raises(UnsupportedError, match="no generic-unix archive"):
        fetched(file, cache)


def test_the_genuine_signature_of_upstream_is_believed(tmp_path, cache):
    """The source archive, the one that Debian publishes with upstream's signature; it is none to install from."""
    genuine = upstream_release()
    row = catalog.load().key("rabbitmq-team")
    pinned = keys.prove(catalog.load().key_text("rabbitmq-team"), row.fingerprint)
    path = tmp_path / "rabbitmq-server.tar.xz"
    path.write_bytes(genuine.archive)
    path.with_name(path.name + ASC).write_bytes(genuine.signature)
    with pytest.raises(UnsupportedError) as caught:
        releases.fetch_rabbitmq(str(path), (pinned,), host=HOST, cache=cache)
    assert "it holds rabbitmq-server-" in caught.value.cause
    path.write_bytes(genuine.archive[:-1] + b"x")
    with pytest.raises(TrustError):
        releases.fetch_rabbitmq(str(path), (pinned,), host=HOST, cache=cache)


# --- Erlang


def erlang(top: str = "OTP-27.3.4.6", *, install: bool = True) -> bytes:
    inside = f"{top}/" if top else ""
    return tarball(
        (
            *((folder(top),) if top else ()),
            member(f"{inside}releases/27/OTP_VERSION", b"27.3.4.6\n"),
            *((member(f"{inside}Install", b"#!/bin/sh\n", mode=0o755),) if install else ()),
        ),
        form="gz",
    )


@pytest.mark.parametrize("top", ["OTP-27.3.4.6", ""])
@pytest.mark.parametrize("install", [True, False])
def test_an_erlang_is_proven_by_its_digest(tmp_path, cache, top, install):
    path = tmp_path / "otp.tar.gz"
    path.write_bytes(erlang(top, install=install))
    found = releases.fetch_erlang(str(path), digest(path.read_bytes()).upper(), cache=cache)
    assert (found.top, found.version, found.installs, found.signer) == (top, "27.3.4.6", install, "")
    with pytest.raises(TrustError, match="not the archive that was promised"):
        releases.fetch_erlang(str(path), "0" * 64, cache=cache)


def test_what_is_no_erlang_is_told_apart(tmp_path, cache):
    path = tmp_path / "otp.tar.gz"
    path.write_bytes(archive())
    with pytest.raises(UnsupportedError, match="no archive of Erlang"):
        releases.fetch_erlang(str(path), digest(archive()), cache=cache)


# --- what is published


def row(server_url: str, name: str) -> Publication:
    known = ROWS[name]
    return known._replace(listing=server_url + "/list")


def listed(name, text, **place):
    with serving({"/list": text.encode()}) as server:
        return releases.offers(row(server.url, name), **place)


def a_release(version, *, names=None, digest_=None, draft=False, prerelease=False):
    name = f"rabbitmq-server-generic-unix-{version}.tar.xz"
    assets = [{"name": each, "digest": digest_} for each in (names or (name, f"{name}.asc"))]
    return {"tag_name": f"v{version}", "draft": draft, "prerelease": prerelease, "assets": assets}


def test_the_release_page_is_read():
    sha = "ab" * 32
    page = [
        a_release("4.4.1", digest_=f"sha256:{sha}"),
        a_release("4.5.0-rc.1"),
        a_release("4.5.0", prerelease=True),
        a_release("4.4.2", draft=True),
        a_release("4.4.0", names=("rabbitmq-server-4.4.0.tar.xz",)),
        a_release("4.3.6"),
    ]
    found = listed("rabbitmq-generic-unix", json.dumps(page))
    where = "https://github.com/rabbitmq/rabbitmq-server/releases/download/v{0}/rabbitmq-server-generic-unix-{0}.tar.xz"
    assert found == (
        releases.Offer("4.4.1", where.format("4.4.1"), sha),
        releases.Offer("4.3.6", where.format("4.3.6")),
    )


def test_only_erlangs_with_a_digest_are_offered():
    sha = "cd" * 32
    text = (
        f"OTP-27.3.4.6 0123abc 2026-01-01T00:00:00Z {sha}\n"
        "OTP-26.0 0123abc 2023-05-16T00:00:00Z\n"
        f"OTP-28.0-rc1 0123abc 2025-01-01T00:00:00Z {sha}\n"
        f"maint-27 0123abc 2026-01-01T00:00:00Z {sha}\n"
    )
    found = listed("erlang-hex", text, system="ubuntu-24.04", architecture="arm64")
    url = "https://builds.hex.pm/builds/otp/arm64/ubuntu-24.04/OTP-27.3.4.6.tar.gz"
    assert found == (releases.Offer("27.3.4.6", url, sha),)
    head = "ref_name,ref,datetime,sha256,openssl,wxwidgets"
    table = f"{head}\nOTP-27.3.4.6,abc,2026-01-01,{sha},3.5,3.2\nmaint-27,a,b,{sha},c,d\n"
    (offer,) = listed("erlang-otp-builds", table, architecture="aarch64")
    assert offer.url.endswith("/OTP-27.3.4.6/otp-aarch64-apple-darwin.tar.gz")


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize("text", ["[{}]", '{"message": "rate limit"}', "null", "[1]", '"x"'])
def test_another_answer_is_the_networks_fault_or_nothing(name, text):
    with contextlib.suppress(NetworkError):
        assert listed(name, text, system="ubuntu-24.04", architecture="amd64") == ()


@given(st.text(max_size=300), st.sampled_from(sorted(releases._READERS)))
def test_lists_never_raise_anything_else(text, form):
    expected = (RmqsetupError, ValueError, KeyError, TypeError, AttributeError, releases.csv.Error)
    with contextlib.suppress(*expected):
        list(releases._READERS[form](text))


def test_publications_serve_who_they_are_for():
    assert ROWS["rabbitmq-generic-unix"].serves("anything", "riscv64")
    assert ROWS["erlang-hex"].serves("ubuntu-24.04", "arm64")
    assert not ROWS["erlang-hex"].serves("debian-13", "arm64")
    assert not ROWS["erlang-hex"].serves("ubuntu-24.04", "riscv64")
