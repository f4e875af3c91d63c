"""RPM repositories: what their indices say, how dnf and zypper are told of them, and whose keys rpm trusts."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import lzma
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import Asking, never
from signer import key, signer
from webserver import serving

from rmqsetup import index_files, indices, keys, repodata, unzstd, wishes
from rmqsetup.catalog import load
from rmqsetup.detect import detect
from rmqsetup.errors import ManagerError, NetworkError, TrustError, UnsupportedError, UsageError
from rmqsetup.facts import Facts
from rmqsetup.host import Command, Result
from rmqsetup.hosts.local import LocalHost
from rmqsetup.hosts.replay import ReplayHost
from rmqsetup.indices import Query, Repository
from rmqsetup.managers import Package, Present, State, Wish, manager, rpm
from rmqsetup.managers.sources import Served, sources
from rmqsetup.recipe import Request
from rmqsetup.resolve import resolve
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.trust import Trust
from rmqsetup.wishes import Ours

MACHINES = Path(__file__).parent / "data" / "machines"
PATH = "rabbitmq/el/9/noarch"
WHERE = Repository(PATH, "", "", "x86_64", "rpm", "rmqsetup-rabbitmq")
FINGERPRINT = "A" * 32 + "0123CDEF"
MIRROR = Request(source="mirror", mirror="https://rpm.example.org/team/", key="/k.asc", fingerprint=FINGERPRINT)


def look(name: str) -> Facts:
    return detect(ReplayHost(MACHINES / name))


# ---- indices

ROWS = (
    ("rabbitmq-server", "noarch", "0", "4.2.9", "1.el8"),
    ("rabbitmq-server", "noarch", "1", "4.2.8", "1.el8"),
    ("erlang", "aarch64", "0", "27.3.4.6", "1.el9"),
    ("erlang", "x86_64", "", "27.3.4.5", "1.el9"),
    ("logrotate", "x86_64", "0", "3.22", "1"),
)
PRIMARY = (
    '<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" packages="5">'
    + "".join(
        f'<package type="rpm"><name>{name}</name><arch>{arch}</arch><version epoch="{epoch}" ver="{version}" '
        f'rel="{release}"/></package>'
        for name, arch, epoch, version, release in ROWS
    )
    + "</metadata>"
)
OFFERED = (("rabbitmq-server", "4.2.9-1.el8"), ("rabbitmq-server", "1:4.2.8-1.el8"), ("erlang", "27.3.4.5-1.el9"))
# made with the zstd program; no Python before 3.14 can
ZSTD = bytes.fromhex("28b52ffd240631000068656c6c6f0a5388bd91")


def packed(packing: str) -> bytes:
    return {".gz": functools.partial(gzip.compress, mtime=0), ".xz": lzma.compress, "": bytes}[packing](
        PRIMARY.encode()
    )


def repomd(packing: str = ".gz", kind: str = "sha256") -> bytes:
    body = packed(packing)
    return (
        '<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="filelists"/>'
        f'<data type="primary"><checksum type="{kind}">{hashlib.sha256(body).hexdigest()}</checksum>'
        f'<location href="repodata/primary.xml{packing}"/><size>{len(body)}</size></data></repomd>'
    ).encode()


@functools.cache
def team() -> keys.Key:
    return keys.prove(signer().public(key("team")), key("team"))


def repository(head: bytes, *, by: str = "team", packing: str = ".gz") -> dict:
    return {
        f"/{PATH}/repodata/repomd.xml": head,
        f"/{PATH}/repodata/repomd.xml.asc": signer().detach(head, key(by)),
        f"/{PATH}/repodata/primary.xml{packing}": packed(packing),
    }


def survey(files: dict):
    with serving(files) as server:
        query = Query("mirror", (server.url,), (WHERE,), ("rabbitmq-server", "erlang"), (team(),))
        (found,) = indices.survey(query, host=LocalHost(), deadline=10.0)
    return found


@pytest.mark.parametrize(("code", "known"), [(0, True), (104, True), (1, False), (6, False)])
def test_lists_that_have_no_rabbitmq_differ_from_no_lists(code, known):
    class Answering(ReplayHost):
        def run(self, command, listener=None):
            if "repoquery" in command.argv:
                return Result(command, code, "", "Error: Cache-only enabled but no cache for 'baseos'" if code else "")
            return super().run(command, listener)

    facts = detect(Answering(MACHINES / "rocky-9"))
    assert (facts.candidate("rabbitmq-server") is not None) is known
    with pytest.raises(UnsupportedError) as caught:
        resolve(facts, Request(source="distro"), load(), never)
    assert ("as far as its package lists say" in caught.value.message) is known
    assert ("it has no package lists" in caught.value.message) is not known


@pytest.mark.parametrize("packing", [".gz", ".xz", ""])
def test_a_repository_tells_what_it_offers(packing):
    found = survey(repository(repomd(packing), packing=packing))
    assert (found.answered, found.origin, found.failures) == (True, "rmqsetup-rabbitmq", ())
    assert tuple((offer.package, offer.version) for offer in found.offers) == OFFERED
    assert found.date is not None


def without_signature() -> dict:
    files = repository(repomd())
    return {path: data for path, data in files.items() if not path.endswith(".asc")}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (lambda: repository(repomd(), by="other"), "not signed by the key"),
        (lambda: repository(repomd()) | {f"/{PATH}/repodata/repomd.xml": repomd() + b" "}, "is not valid"),
        (lambda: repository(repomd()) | {f"/{PATH}/repodata/primary.xml.gz": packed(".gz")[:-1] + b"!"}, "promises"),
        (without_signature, "is not signed"),
        (lambda: repository(repomd(kind="sha")), "no packages with SHA-256"),
        (lambda: repository(b"<repomd"), "cannot be read"),
    ],
    ids=["stranger", "changed", "another list", "unsigned", "weak digest", "torn"],
)
def test_what_cannot_be_trusted_stops(files, words):
    with pytest.raises(TrustError) as caught:
        survey(files())
    assert words in f"{caught.value.message} {caught.value.cause}"
    assert caught.value.hint


def test_a_repository_that_is_not_there_is_a_matter_of_the_network():
    found = survey({})
    assert not found.answered
    assert found.failures[0].status == 404


def test_zstd_is_unpacked_and_what_is_none_is_said_to_be():
    assert unzstd.unpack(ZSTD, 100) == b"hello\n"
    assert unzstd.unpack(ZSTD, 3) == b"hel"
    with pytest.raises(ValueError, match=r"."):
        unzstd.unpack(b"hello, world", 100)


def test_without_anything_that_unpacks_zstd_the_way_out_is_told(monkeypatch):
    monkeypatch.setattr(unzstd, "import_module", _fails(ModuleNotFoundError))
    monkeypatch.setattr(unzstd, "LIBRARY", "libno-such-thing.so.1")
    entry = index_files.IndexFile("primary.xml.zst", len(ZSTD), hashlib.sha256(ZSTD).hexdigest())
    with serving({"/primary.xml.zst": ZSTD}) as server, pytest.raises(UnsupportedError, match="zstd") as caught:
        index_files.fetch_listed(server.url, entry, until=time.monotonic() + 9)
    assert "createrepo_c" in caught.value.hint


def _fails(kind):
    def fail(name):
        raise kind(name)

    return fail


@given(st.text())
def test_a_list_of_packages_is_read_or_refused(text):
    with contextlib.suppress(TrustError):
        assert repodata.parse_primary(text, ("erlang",), "x86_64") == ()


# ---- .repo files

SERVED = (Served(("https://a.example/x", "https://b.example/x"), "", "", "x86_64", "rmqsetup-rabbitmq"),)
MIXED = """# first of all
[fedora]
name=Fedora $releasever
metalink=https://mirrors.example/metalink
gpgkey=file:///etc/k1
       file:///etc/k2

[old]
baseurl=https://dl.cloudsmith.io/public/rabbitmq/rabbitmq-erlang/rpm/el/9/x86_64
        https://other.example/
enabled=0
[torn
"""


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
def test_what_is_written_is_read_back_and_checks_packages_and_indices(manager):
    its = sources(manager)
    keyring = its.keyring("mirror")
    ((path, text),) = its.written(SERVED, (keyring,))
    assert its.is_ours(path)
    assert its.is_ours(keyring)
    assert its.is_list(Path(path).name)
    assert not its.is_ours(f"{its.lists[1]}/fedora.repo")
    (source,) = its.parse_sources(path, text)
    assert (source.uris, source.names, source.enabled) == (SERVED[0].uris, ("rmqsetup-rabbitmq",), True)
    assert source.signed_by == f"file://{keyring}", "never a key from a server"
    assert {"gpgcheck=1", "repo_gpgcheck=1", "pkg_gpgcheck=1", "module_hotfixes=1"} <= set(text.splitlines())


def test_a_file_of_others_is_read_and_a_section_can_be_taken_out():
    its = sources("dnf")
    fedora, old = its.parse_sources("/x.repo", MIXED)
    assert (fedora.names, fedora.line, fedora.signed_by) == (
        ("fedora", "Fedora *"),
        2,
        "file:///etc/k1 file:///etc/k2",
    )
    assert (old.enabled, len(old.uris)) == (False, 2)
    rest = its.without("/x.repo", MIXED, (old.line,))
    assert rest == MIXED.partition("[old]")[0]
    assert its.without("/x.repo", MIXED, (fedora.line, old.line)) == ""
    assert its.without("/x.repo", MIXED, ()) == MIXED


@given(st.text())
def test_reading_never_fails(text):
    its = sources("zypper")
    lines = tuple(source.line for source in its.parse_sources("/x.repo", text))
    assert its.without("/x.repo", text, lines) == ""


# ---- machines


def test_what_a_machine_has_and_is_offered():
    facts = look("rocky-9-from-a-mirror")
    server, erlang = facts.package("rabbitmq-server"), facts.package("erlang-erts", "erlang")
    assert server is not None
    assert erlang is not None
    assert (server.version, server.held, server.origin) == ("4.2.8-1.el8", True, "Team RabbitMQ")
    assert (erlang.name, erlang.held, facts.architecture) == ("erlang", True, "x86_64")
    assert [(source.names[0], source.own) for source in facts.sources] == [
        ("lab-system", True),
        *((name, False) for name in ("rmqsetup-rabbitmq", "rmqsetup-erlang")),
    ]
    for name in ("rocky-10-with-its-own", "fedora-43", "opensuse-leap-16"):
        offer = look(name).candidate("rabbitmq-server")
        assert offer is not None
        assert (offer.version, offer.uri) == ("3.8.2-1.lab", "http://mirror.test/system")


def test_what_is_installed_from_a_mirror_stays():
    facts = look("rocky-9-from-a-mirror")
    assert resolve(facts, Request(), load(), never).source == "installed"
    same = replace(MIRROR, mirror="https://mirror.test")
    assert resolve(facts, same, load(), never).source == "installed"


@pytest.mark.parametrize("name", ["rocky-9-bare", "amazon-2023", "opensuse-leap-16"])
def test_a_mirror_gives_exact_versions_from_its_own_repositories(name):
    facts = look(name)
    resolution = resolve(facts, MIRROR, load(), Asking())
    assert resolution.packages == (Package("rabbitmq-server", "4.4.1-1"), Package("erlang", "1:27.3.4.6-1"))
    assert resolution.origins == ("rmqsetup-rabbitmq", "rmqsetup-erlang")
    assert [served.uris for served in resolution.served] == [
        ("https://rpm.example.org/team/rabbitmq/el/9/noarch",),
        ("https://rpm.example.org/team/erlang/el/9/x86_64",),
    ]
    plan = wishes.build(resolution, facts, MIRROR, ours=Ours())
    kinds = [type(step).__name__ for step in plan.steps]
    assert kinds == ["File", "File", "Trust", "Packages", "Service"]
    (packages,) = (step for step in plan.steps if isinstance(step, Packages))
    assert packages.signers == (FINGERPRINT[-16:],)


def test_another_source_takes_trust_back_from_the_key_of_the_one_before():
    facts, old = look("rocky-10-with-its-own"), "B" * 40
    for request, wanted in ((MIRROR, {FINGERPRINT: True, old: False}), (Request(source="distro"), {old: False})):
        resolution = resolve(facts, request, load(), Asking())
        plan = wishes.build(resolution, facts, request, ours=Ours(trusted=(Trust(old, "/etc/old", trusted=False),)))
        assert {step.fingerprint: step.trusted for step in plan.steps if isinstance(step, Trust)} == wanted


def test_a_mirror_without_erlang_takes_the_distributions_where_it_fits():
    with pytest.raises(UnsupportedError, match="no Erlang"):
        resolve(look("rocky-9-bare"), MIRROR, load(), Asking(erlangs=()))
    resolution = resolve(look("fedora-43-linuxbrew"), MIRROR, load(), Asking(erlangs=()))
    assert (resolution.rabbitmq, resolution.erlang) == ("4.2.8", "26.2.5.13")
    assert resolution.packages == (Package("rabbitmq-server", "4.2.8-1"),), "its many packages come as dependencies"
    assert resolution.origins == ("rmqsetup-rabbitmq", "rmqsetup-erlang", "fedora", "Fedora * - *")


def test_upstreams_own_with_keys_that_somebody_has_checked():
    facts, two = look("rocky-9-bare"), ("A" * 40, "B" * 40)
    request = Request(source="team", key="/k.asc", fingerprint=",".join(two))
    resolution = resolve(facts, request, load(), Asking())
    assert (resolution.source, [key.fingerprint for key in resolution.keys]) == ("team", list(two))
    erlang = {f"https://yum{number}.rabbitmq.com/erlang/el/9/x86_64" for number in (1, 2)}
    assert set(resolution.served[1].uris) == erlang
    plan = wishes.build(resolution, facts, request, ours=Ours())
    trust = {step.fingerprint: step.path for step in plan.steps if isinstance(step, Trust)}
    (listed,) = (step for step in plan.steps if isinstance(step, File) and step.path.endswith(".repo"))
    assert tuple(trust) == two
    assert len(set(trust.values())) == 2, "a file each, so that an undo takes each back"
    assert listed.content.decode().count("\n       ".join(f"file://{path}" for path in trust.values())) == 2
    (packages,) = (step for step in plan.steps if isinstance(step, Packages))
    assert packages.signers == ("A" * 16, "B" * 16)


def test_a_key_of_upstreams_that_is_known_is_not_replaced():
    request = Request(source="team", key="/k.asc", fingerprint=FINGERPRINT)
    with pytest.raises(UsageError, match="is known"):
        resolve(look("debian-13"), request, load(), never)


@pytest.mark.parametrize("name", ["rocky-9-bare", "amazon-2023"])
def test_upstreams_own_repositories_are_refused_for_want_of_a_proof(name):
    with pytest.raises(UnsupportedError, match="short ids only") as caught:
        resolve(look(name), Request(source="team"), load(), never)
    assert "--source archive" in caught.value.hint
    assert "--fingerprint" in caught.value.hint
    with pytest.raises(UnsupportedError, match="no RabbitMQ of its own") as caught:
        resolve(look(name), Request(), load(), never)
    assert "short ids only" in caught.value.cause


def test_the_distributions_own_comes_from_repositories_that_are_not_for_rabbitmq():
    resolution = resolve(look("rocky-10-with-its-own"), Request(), load(), never)
    assert (resolution.source, resolution.rabbitmq) == ("distro", "3.8.2")
    assert resolution.origins == ("lab-system", "The distribution itself")
    assert "short ids only" in " ".join(resolution.reasons)


# ---- trust

NAMES = "b033418f 6b09f30f\n0123cdef 6b09f30e\n" + FINGERPRINT.lower() + " 6b09f30e\nno key\n"


def said(text: str, code: int = 0) -> Result:
    return Result(Command(("rpm",)), code, text, text)


def test_a_key_is_imported_once_and_taken_out_again():
    wish = Trust(FINGERPRINT, "/etc/k")
    absent, there = (wish.observe((said(text),)) for text in ("package gpg-pubkey is not installed\n", NAMES))
    change = wish.diff(absent)
    assert [str(action) for action in change.actions] == ["rpm --import /etc/k"]
    assert change.inverse == replace(wish, trusted=False)
    assert wish.diff(there).empty
    gone = replace(wish, trusted=False)
    back = gone.diff(there)
    assert [action.argv[:3] for action in back.actions] == [("rpm", "-e", "--allmatches")]
    assert back.actions[0].argv[3:] == ("gpg-pubkey-0123cdef-6b09f30e", f"gpg-pubkey-{FINGERPRINT.lower()}-6b09f30e")
    assert gone.diff(absent).empty
    assert back.inverse == wish
    assert isinstance(wish.explain(said("no", 1)), ManagerError)
    assert rpm.names_of_key(FINGERPRINT, "") == ()


@pytest.mark.parametrize(("signer_", "refused"), [("F" * 16, True), (FINGERPRINT[-16:], False), ("", False)])
def test_what_somebody_else_signed_does_not_stay(signer_, refused):
    wish = Packages("dnf", want=(Package("erlang", "27-1"),), signers=(FINGERPRINT[-16:],))
    there = Present("erlang", "27-1", State.INSTALLED, signer=signer_)
    observed = replace(wish, present=(there,))
    if refused:
        with pytest.raises(TrustError, match="is signed by the key FFFF"):
            wish.diff(observed)
    else:
        assert wish.diff(observed).empty


@pytest.mark.parametrize("manager_", ["dnf", "zypper"])
def test_data_go_only_with_a_server_whose_plan_does_not_keep_them(manager_):
    def last(purge, keep):
        return str(manager(manager_).carry_out(Wish(purge=purge, keep=keep))[-1])

    data = ("/var/lib/rabbitmq", "/var/log/rabbitmq")
    assert last(("rabbitmq-server",), ("/etc/rabbitmq",)) == f"rm -rf -- {' '.join(data)}"
    for purge, keep in ((("erlang",), ("/etc/rabbitmq",)), (("rabbitmq-server",), data), (("rabbitmq-server",), ())):
        assert not last(purge, keep).startswith("rm ")


def test_silence_of_a_mirror_is_told():
    with pytest.raises(NetworkError):
        resolve(look("rocky-9-bare"), MIRROR, load(), Asking(down="404"))
