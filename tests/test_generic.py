"""Binaries of a cache from upstream's archive and from bundles: proven, noted, found again, refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from pretended_apt import Apt
from signer import key, signer
from tarballs import folder, member, release, tarball

from rmqsetup import cached, cargo, generic, releases, unpacked
from rmqsetup.archived import Archived
from rmqsetup.broker.origin import Origin, judge
from rmqsetup.errors import NetworkError, RmqsetupError, TrustError, UnsupportedError, UsageError
from rmqsetup.recipe import Request
from rmqsetup.version import Wanted

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg-deb here")


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "debs").mkdir()
    return Apt(tmp_path / "debs")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "a cache"


@pytest.fixture
def wish(tmp_path):
    """A request that names an archive of 4.2.9, signed by a key of its own."""
    data = release()
    (tmp_path / "r.tar.xz").write_bytes(data)
    (tmp_path / "r.tar.xz.asc").write_bytes(signer().detach(data, key("team")))
    (tmp_path / "team.asc").write_bytes(signer().public(key("team")))
    named = Archived(file=str(tmp_path / "r.tar.xz"))
    return Request(source="archive", key=str(tmp_path / "team.asc"), fingerprint=key("team"), archive=named)


def with_erlang(request, tmp_path):
    data = tarball((
        folder("OTP"), member("OTP/releases/27/OTP_VERSION", b"27.3.4\n"),
        member("OTP/Install", b'#!/bin/sh\necho "$3" >place\n', mode=0o755),
    ))  # fmt: skip
    (tmp_path / "otp.tar.gz").write_bytes(data)
    named = replace(
        request.archive, erlang=str(tmp_path / "otp.tar.gz"), erlang_digest=hashlib.sha256(data).hexdigest()
    )
    return replace(request, archive=named)


# ---- from the archive


def test_an_archive_runs_on_the_erlang_of_the_distributions_packages(apt, cache, wish):
    found = generic.binaries(apt, cache, wish, own=False)
    assert (found.rabbitmq, found.erlang_version) == ("4.2.9", "27.3.4")
    assert Path(found.home, "sbin/rabbitmq-server").exists()
    assert os.access(f"{found.erlang}/bin/erl", os.X_OK)
    assert not [path.name for path in (cache / "packages").glob("rabbitmq-server_*")], "of Erlang alone is fetched"
    assert generic.binaries(apt, cache, Request(source="archive"), own=False) == found, "now the cache has it"
    assert cached.newest(cache, apt, Wanted.parse("4.2")) == found
    assert cached.newest(cache, apt, Wanted.parse("4.3")) is None
    shutil.rmtree(found.erlang)
    assert cached.newest(cache, apt) is None


def test_a_named_erlang_is_finished_where_it_is_to_be(apt, cache, wish, tmp_path):
    found = generic.binaries(apt, cache, with_erlang(wish, tmp_path), own=False)
    assert Path(found.erlang, "place").read_text() == f"{found.erlang}\n"
    assert "download" not in apt.asked


def test_what_is_published_is_chosen_and_fetched(apt, cache, wish, monkeypatch):
    asked = []
    monkeypatch.setattr(releases, "offers", lambda *_, **__: tuple(releases.Offer(v, "") for v in ("4.2.8", "4.2.9")))
    told = releases.fetch_rabbitmq

    def fetch(where, *rest, **named):
        asked.append(where)
        return told(wish.archive.file, *rest, **named)

    monkeypatch.setattr(releases, "fetch_rabbitmq", fetch)
    request = replace(wish, archive=Archived(), rabbitmq=Wanted.parse("4.2"))
    assert generic.binaries(apt, cache, request, own=False).rabbitmq == "4.2.9"
    assert asked == [
        "https://github.com/rabbitmq/rabbitmq-server/releases/download/v4.2.9/rabbitmq-server-generic-unix-4.2.9.tar.xz"
    ]


def test_what_is_not_to_be_believed_or_had_is_refused(apt, cache, wish, monkeypatch):
    for name, error in (("other", TrustError), ("unsigned", TrustError)):
        bad = Path(wish.archive.file).with_name(f"{name}.tar.xz")
        bad.write_bytes(Path(wish.archive.file).read_bytes())
        if name == "other":
            bad.with_name("other.tar.xz.asc").write_bytes(signer().detach(bad.read_bytes(), key("other")))
        with pytest.raises(error):
            generic.binaries(apt, cache, replace(wish, archive=Archived(file=str(bad))), own=False)
    apt.offers |= {"erlang-base": "1:25.2-1", "erlang-crypto": "1:25.2-1", "rabbitmq-server": "3.13.7-1"}
    monkeypatch.setattr(generic.archives, "prebuilt", lambda _case: ())
    with pytest.raises(UnsupportedError, match=r"no Erlang fits RabbitMQ 4\.2\.9") as raised:
        generic.binaries(apt, cache, wish, own=False)
    assert "--erlang-archive" in raised.value.hint
    assert not (cache / "trees").exists()


def test_without_a_network_the_list_is_said_to_be_missing(apt, cache, monkeypatch):
    def silent(*_, **__):
        raise NetworkError("cannot fetch https://x", cause="no such host", hint="check the network")

    monkeypatch.setattr(releases, "offers", silent)
    with pytest.raises(NetworkError, match="the list of published archives of rabbitmq did not arrive"):
        generic.binaries(apt, cache, Request(source="archive"))


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin(source="distr"), "did you mean distro?"),
        (Origin(archive=Archived(file="/x")), "is not archive"),
        (Origin(source="archive", archive=Archived(file="/no/such/file")), "there is no file"),
        (Origin(source="archive", key="/x"), "both --key and --fingerprint"),
        (Origin(bundle="/no/such/file"), "there is no file"),
        (Origin(source="distro", bundle="/etc/passwd"), "is a source itself"),
    ],
)
def test_a_source_that_cannot_be(origin, words):
    assert words in "\n".join(map(str, judge(origin)))
    assert list(judge(Origin(source="archive"))) == []


# ---- bundles


@pytest.fixture(params=["packages", "archive"])
def bundle(request, apt, cache, tmp_path, wish):
    """A bundle of packages, or of an archive with an Erlang of packages."""
    pair = (
        unpacked.binaries(apt, cache) if request.param == "packages" else generic.binaries(apt, cache, wish, own=False)
    )
    file = tmp_path / "bundle.tar.gz"
    digest = cargo.write(file, pair, apt)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return file


def edited(file, **changes):
    """Write a bundle with other entries, bytes or None by name, as `name=content`; `said` edits the list."""
    out = file.with_name("edited.tar.gz")
    with tarfile.open(file) as source:
        entries = {each.name: source.extractfile(each).read() for each in source}
    said = json.loads(entries[cargo.MANIFEST])
    changes.get("said", lambda _said: None)(said)
    entries[cargo.MANIFEST] = json.dumps(said).encode()
    for name, change in changes.get("files", {}).items():
        entries[name or next(each for each in said["files"] if each.endswith(".deb"))] = change
    with tarfile.open(out, "w:gz") as target:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return out


def test_a_bundle_is_all_that_a_machine_without_apt_and_network_needs(bundle, apt, tmp_path):
    asked = len(apt.asked)
    elsewhere = tmp_path / "elsewhere"
    found = cargo.read(bundle, apt, elsewhere)
    assert set(apt.asked[asked:]) <= {"dpkg-deb", "ldd"}
    assert Path(found.home, "sbin/rabbitmq-server").exists()
    assert os.access(f"{found.erlang}/bin/erl", os.X_OK)
    assert found.erlang in Path(found.erlang, "bin/erl").read_text(), "a script says its new place"
    assert cached.newest(elsewhere, apt) == found
    assert cargo.read(bundle, apt, elsewhere) == found
    again = tmp_path / "again.tar.gz"
    cargo.write(again, found, apt)
    assert cargo.read(again, apt, tmp_path / "third").rabbitmq == found.rabbitmq
    with pytest.raises(UsageError, match="is there already"):
        cargo.write(again, found, apt)


def _to_parent(said):
    said["made_of"][0]["tree"] = "../x"


def _to_top(said):
    said["made_of"][1]["top"] = "../*"


def _no_erlang(said):
    said["made_of"].pop()


def _other_machine(said):
    said["architecture"] = "m68k"


def _newer(said):
    said["schema"] = 2


def _incomplete(said):
    del said["files"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"said": _to_parent}, TrustError, "may not be unpacked"),
        ({"said": _to_top}, TrustError, "may not be unpacked"),
        ({"said": _no_erlang}, TrustError, "differ"),
        ({"said": _incomplete}, TrustError, "its list is none"),
        ({"said": _other_machine}, UnsupportedError, "is for m68k"),
        ({"said": _newer}, UnsupportedError, "another form"),
        ({"files": {"": b"another"}}, TrustError, "not as its list says"),
        ({"files": {"more.deb": b"x"}}, TrustError, "differ"),
        ({"files": {"a/b": b"x"}}, TrustError, "belongs in no bundle"),
        ({"files": {"../x": b"x"}}, TrustError, "leads out of it"),
        ({"files": {cargo.MANIFEST: b"{"}}, TrustError, "can be read"),
    ],
)
def test_a_bundle_that_is_not_what_it_should_be_changes_nothing(bundle, apt, tmp_path, changes, error, words):
    with pytest.raises(error) as raised:
        cargo.read(edited(bundle, **changes), apt, tmp_path / "elsewhere")
    assert words in f"{raised.value.message} {raised.value.cause}"
    assert not (tmp_path / "elsewhere").exists()


def test_a_bundle_that_is_cut_or_of_another_digest_is_refused(bundle, apt, tmp_path):
    data = bundle.read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(TrustError):
        cargo.read(cut, apt, tmp_path / "elsewhere")
    with pytest.raises(TrustError, match="not the bundle that was meant"):
        cargo.read(bundle, apt, tmp_path / "elsewhere", digest="0" * 64)
    with pytest.raises(UsageError, match="cannot read the bundle"):
        cargo.read(tmp_path / "none", apt, tmp_path / "elsewhere")
    assert cargo.read(bundle, apt, tmp_path / "elsewhere", digest=hashlib.sha256(data).hexdigest())


def test_what_was_cleared_meanwhile_cannot_be_exported(apt, cache, tmp_path):
    pair = unpacked.binaries(apt, cache)
    shutil.rmtree(cache / "packages")
    with pytest.raises(RmqsetupError, match="cannot read") as raised:
        cargo.write(tmp_path / "b", pair, apt)
    assert "cache clear" in raised.value.hint
    assert not (tmp_path / "b").exists()
