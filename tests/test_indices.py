from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signer import key, signer
from webserver import Answer, serving

from rmqsetup import indices, keys
from rmqsetup.errors import TrustError
from rmqsetup.host import FileState
from rmqsetup.hosts.local import LocalHost
from rmqsetup.indices import Kind, Offered, Query, Repository
from rmqsetup.managers import apt_sources

HOST = LocalHost()
SERVER = Repository("rabbitmq-server/debian/trixie", "trixie", "main", "amd64")
ERLANG = Repository("rabbitmq-erlang/debian/trixie", "trixie", "main", "amd64")
NOW = datetime.now(tz=timezone.utc)
PACKAGES = """\
Package: rabbitmq-server
Version: 4.3.6-1
Architecture: all
Depends: adduser, erlang-base (>= 1:26.0),
 erlang-ssl
Description: a broker
 .
 Package: not-this

Package: rabbitmq-server-tools
Version: 9

Package: rabbitmq-server
Version: 4.2.9-1
Architecture: all
"""
PAGE = b"<html>log in first</html>"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@functools.cache
def team() -> keys.Key:
    return keys.prove(signer().public(key("team")), key("team"))


@functools.cache
def released(packages: str = PACKAGES, *, made: float = -1, until: float = 7, packing: str = ".xz") -> bytes:
    """Return an unsigned Release; `made` and `until` are in days from now."""
    body = packed(packages, packing)
    digest = hashlib.sha256(body).hexdigest()
    lines = ["Origin: RabbitMQ", "Suite: stable", "Codename: trixie", f"Date: {stamp(made)}"]
    lines += [f"Valid-Until: {stamp(until)}", "SHA256:", f" {digest} {len(body)} main/binary-amd64/Packages{packing}"]
    return "\n".join([*lines, ""]).encode()


def stamp(days: float) -> str:
    return f"{NOW + timedelta(days=days):%a, %d %b %Y %H:%M:%S UTC}"


def packed(text: str, packing: str = ".xz") -> bytes:
    return {".xz": lzma.compress, ".gz": functools.partial(gzip.compress, mtime=0), "": bytes}[packing](text.encode())


@functools.cache
def signed(release: bytes, name: str = "team") -> bytes:
    return signer().clearsign(release, key(name))


def repository(inrelease: bytes | Answer | None = None, *, at: Repository = SERVER, packing: str = ".xz") -> dict:
    dists = f"/{at.path}/dists/trixie"
    return {
        f"{dists}/InRelease": signed(released(packing=packing)) if inrelease is None else inrelease,
        f"{dists}/main/binary-amd64/Packages{packing}": packed(PACKAGES, packing),
    }


def survey(*mirrors: str, repositories=(SERVER,), deadline: float = 10.0):
    query = Query("team", mirrors, repositories, ("rabbitmq-server", "erlang-base"), (team(),))
    return indices.survey(query, host=HOST, deadline=deadline)


def refused(files: dict, *words: str) -> TrustError:
    with serving(files) as server, pytest.raises(TrustError) as caught:
        survey(server.url)
    said = f"{caught.value.message} {caught.value.cause} {caught.value.hint}"
    for word in words:
        assert word in said
    assert server.url in caught.value.looked_at[0]
    return caught.value


@pytest.mark.parametrize("packing", [".xz", ".gz", ""])
def test_a_source_tells_what_it_offers(packing):
    with serving(repository(packing=packing)) as server:
        (found,) = survey(server.url + "/")
    assert (found.answered, found.mirror, found.failures) == (True, server.url + "/", ())
    assert (found.origin, found.suite, found.codename) == ("RabbitMQ", "stable", "trixie")
    assert abs(found.date - (NOW - timedelta(days=1))) < timedelta(seconds=2)
    depends = "adduser, erlang-base (>= 1:26.0),\n erlang-ssl"
    assert found.offers == (
        Offered("rabbitmq-server", "4.3.6-1", "all", depends),
        Offered("rabbitmq-server", "4.2.9-1", "all", ""),
    )


def test_both_repositories_are_asked_and_stay_in_order():
    with serving(repository() | repository(at=ERLANG)) as server:
        found = survey(server.url, repositories=(ERLANG, SERVER))
    assert [each.repository for each in found] == [ERLANG, SERVER]
    assert all(each.answered for each in found)


def test_two_surveys_are_quick():
    with serving(repository() | repository(at=ERLANG)) as server:
        survey(server.url)
        started = time.process_time()
        survey(server.url, repositories=(ERLANG, SERVER))
        assert time.process_time() - started < 0.3


def test_a_release_beside_its_signature_will_do():
    files = repository()
    dists = "/rabbitmq-server/debian/trixie/dists/trixie"
    del files[f"{dists}/InRelease"]
    files |= {f"{dists}/Release": released(), f"{dists}/Release.gpg": signer().detach(released(), key("team"))}
    with serving(files) as server:
        assert survey(server.url)[0].answered
    refused(files | {f"{dists}/Release": released() + b"x"}, "not valid")
    refused({name: data for name, data in files.items() if not name.endswith("gpg")}, "not signed")


def test_an_architecture_that_is_not_served_has_no_offers():
    with serving(repository()) as server:
        (found,) = survey(server.url, repositories=(replace(SERVER, architecture="arm64"),))
    assert (found.answered, found.offers) == (True, ())


@pytest.mark.parametrize(
    ("inrelease", "word"),
    [
        (lambda: signed(released(), "other"), "not signed by the key"),
        (released, "not clear-signed"),
        (lambda: signed(released()).replace(b"4.3.6", b"4.3.7").replace(b"stable", b"sid"), "not valid"),
        (lambda: signed(released()) + b"Suite: evil\n", "nothing else"),
        (lambda: signed(released(until=-0.1)), "expired"),
        (lambda: signed(released(made=1)), "clock"),
        (lambda: signed(b"Origin: x\nDate: yesterday\n"), "date"),
        (lambda: signed(f"Date: {stamp(-1)}\nValid-Until: soon\n".encode()), "end"),
        (lambda: signed(f"Date: {stamp(-1)}\n".encode()), "SHA-256"),
    ],
)
def test_an_index_that_is_not_to_be_trusted_stops(inrelease, word):
    refused(repository(inrelease()), word)


def test_an_index_that_cannot_be_unpacked_stops():
    release = released("x").replace(b".xz", b".gz")
    files = repository(signed(release)) | {
        "/rabbitmq-server/debian/trixie/dists/trixie/main/binary-amd64/Packages.gz": packed("x")
    }
    refused(files, "unpacked")


TAMPERED = {
    "other": packed(PACKAGES.replace("4.3.6", "4.3.5")),
    "longer": packed(PACKAGES) + b"x",
    "shorter": packed(PACKAGES)[:-4],
}


@pytest.mark.parametrize("kind", list(TAMPERED))
def test_tampered_packages_stop(kind):
    name = next(name for name in repository() if name.endswith(".xz"))
    error = refused(repository() | {name: TAMPERED[kind]}, "signed index promises")
    assert "sync" in error.hint


def test_a_mirror_in_the_middle_of_a_sync_is_passed_over_and_told():
    name = next(name for name in repository() if name.endswith(".xz"))
    with serving(repository() | {name: TAMPERED["other"]}) as bad, serving(repository()) as good:
        (found,) = survey(bad.url, good.url)
        assert (found.mirror, [(each.mirror, each.kind) for each in found.failures]) == (
            good.url,
            [(bad.url, Kind.MISMATCH)],
        )
        with pytest.raises(TrustError):
            survey(bad.url, good.url + "/nothing")


def test_a_bad_signature_on_one_mirror_stops_though_the_other_is_good():
    with serving(repository(signed(released(), "other"))) as bad, serving(repository()) as good:
        with pytest.raises(TrustError):
            survey(bad.url, good.url)
        assert good.asked == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Answer(status=status), Kind.STATUS) for status in (402, 403, 404, 503)]
    + [
        (Answer(b"x" * 1000, half=True), Kind.SHORT),
        (Answer(b""), Kind.SHORT),
        (Answer(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrig"), Kind.SHORT),
        (PAGE, Kind.HTML),
        (Answer(hang=True), Kind.TIMED_OUT),
    ],
)
def test_the_other_mirror_answers_when_one_does_not(answer, kind, monkeypatch):
    monkeypatch.setattr(indices, "HEAD_START", 0.2)
    with serving(repository(answer)) as bad, serving(repository()) as good:
        (found,) = survey(bad.url, good.url)
        assert (found.answered, found.mirror) == (True, good.url)
        if kind is not Kind.TIMED_OUT:
            assert [(each.mirror, each.kind) for each in found.failures] == [(bad.url, kind)]
        (found,) = survey(bad.url, deadline=0.6)
        assert (found.answered, [each.kind for each in found.failures]) == (False, [kind])


def test_a_hanging_mirror_costs_its_head_start_only():
    with serving(repository(Answer(hang=True))) as bad, serving(repository()) as good:
        started = time.monotonic()
        assert survey(bad.url, good.url)[0].mirror == good.url
        assert time.monotonic() - started < 6  # of the 10 there are; busy machines are slow


def test_equal_mirrors_give_the_first():
    with serving(repository()) as first, serving(repository()) as second:
        assert survey(first.url, second.url)[0].mirror == first.url
        assert second.asked == []


def test_no_mirror_at_all_is_no_answer_and_every_reason_is_told():
    with serving() as server:
        closed = server.url
    (found,) = survey("http://mirror.invalid", closed, deadline=5)
    assert not found.answered
    assert [each.mirror for each in found.failures] == ["http://mirror.invalid", closed]
    assert found.failures[1].kind is Kind.REFUSED
    assert all(each.cause for each in found.failures)


def test_a_mirror_may_be_a_folder(tmp_path):
    for name, data in repository().items():
        (tmp_path / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name[1:]).write_bytes(data)
    assert survey(tmp_path.as_uri())[0].answered
    assert survey((tmp_path / "none").as_uri())[0].failures[0].kind is Kind.FILE


# --- replay


class Lists:
    """A host that has nothing but apt's lists."""

    def __init__(self, **files: str) -> None:
        self.files = files

    def read(self, path: str):
        text = next((text for end, text in self.files.items() if path.endswith("_" + end)), None)
        return text and FileState(text.encode(), 0o644, "root", "root")


@pytest.mark.parametrize("name", ["InRelease", "Release"])
def test_an_index_older_than_apts_own_is_a_replay(name):
    with serving(repository()) as server:
        (found,) = survey(server.url)
    indices.refuse_replay(found, Lists())
    indices.refuse_replay(found, Lists(**{name: f"Date: {stamp(-2)}\n"}))
    indices.refuse_replay(found, Lists(**{name: released().decode()}))
    with pytest.raises(TrustError) as caught:
        indices.refuse_replay(found, Lists(**{name: f"Date: {stamp(-0.5)}\n"}))
    assert "older" in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://mirror.example/debian/dists/trixie/InRelease",
        "https://mirror.example:8080/a_b/~c/dists/trixie/InRelease",
        "http://mirror.example/a+b/c=d,e/dists/trixie/InRelease",
    ],
)
def test_apt_gives_its_lists_the_same_names(url, tmp_path):
    if not shutil.which("apt-get"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no apt here")
    mirror = url.partition("/dists/")[0]
    (tmp_path / "sources.list").write_text(f"deb {mirror} trixie main\n")
    options = [f"Dir::Etc::sourcelist={tmp_path}/sources.list", "Dir::Etc::sourceparts=-", f"Dir::State={tmp_path}"]
    own = [word for option in options for word in ("-o", option)]
    command = ["apt-get", *own, "indextargets", "--no-release-info", "--format", "$(METAKEY) $(FILENAME)"]
    named = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    metakey, filename = next(line for line in named.splitlines() if "Packages" in line).split()
    expected = filename.rpartition("/")[2].removesuffix("_" + metakey.replace("/", "_")) + "_InRelease"
    assert apt_sources.list_name(url) == expected


# --- parsers


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_junk_is_no_release(junk):
    for text in (junk, "Date: " + junk, f"Date: {stamp(-1)}\nSHA256:\n {junk}\nValid-Until: {junk}"):
        with pytest.raises(TrustError) if "Date" not in text else contextlib.suppress(TrustError):
            assert indices.parse_release(text).date.tzinfo


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_junk_offers_nothing_but_what_is_named(junk):
    text = f"{junk}\n\nPackage: a\nVersion: {junk}\n\n{junk}"
    assert all(each.package == "a" and each.version for each in indices.parse_packages(text, ("a",)))


@given(st.lists(st.sampled_from(["1", "2:3.4-5~x", "4.3.6-1"]), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_every_version_is_found_once(versions, end):
    text = f"{end}{end}".join(f"Package: a{end}Version: {version}" for version in versions)
    assert [each.version for each in indices.parse_packages(text, ("a", "b"))] == list(dict.fromkeys(versions))
