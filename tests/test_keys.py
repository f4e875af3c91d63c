from __future__ import annotations

import base64
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from genuine import upstream_release
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from signer import key, signer
from webserver import Answer, serving

from rmqsetup import keys, openpgp
from rmqsetup.errors import NetworkError, TrustError, UnsupportedError, UsageError
from rmqsetup.hosts.local import LocalHost
from rmqsetup.keys import Tool

DATA = Path(__file__).parent / "data" / "keys"
TEAM = "0A9AF2115F4687BD29803A206B73A36E6026DFCA"
PAGE = b"<!DOCTYPE html><html><body>Not found</body></html>"
TEXT = b"Origin: RabbitMQ\n- dashed\n-----BEGIN x-----\ntrailing blanks \t\n\nSuite: trixie\n"
HOST = LocalHost()


def requires(tool: Tool) -> None:
    if not shutil.which(tool.value):
        (pytest.fail if os.environ.get("CI") == "true" and tool is Tool.GPG else pytest.skip)(f"no {tool.value} here")


@pytest.fixture(params=list(Tool), ids=lambda tool: tool.value)
def tool(request):
    requires(request.param)
    return request.param


@pytest.fixture(params=["gpg", "none"])
def with_or_without_gpg(request, monkeypatch):
    if request.param == "none":
        monkeypatch.setattr(keys, "available", lambda: ())


@functools.cache
def material(name: str) -> bytes:
    return signer().public(key(name))


@functools.cache
def proven(name: str) -> keys.Key:
    return keys.prove(material(name), key(name))


def refused(act, *words: str) -> TrustError:
    with pytest.raises(TrustError) as caught:
        act()
    said = f"{caught.value.message} {caught.value.cause} {caught.value.hint}"
    for word in words:
        assert word in said
    assert caught.value.exit_code == 5
    return caught.value


# --- fingerprints and keys


@pytest.mark.parametrize(
    "typed", [TEAM, TEAM.lower(), "0x" + TEAM, "0A9A F211 5F46 87BD 2980  3A20 6B73 A36E 6026 DFCA\n"]
)
def test_a_fingerprint_may_be_typed_in_any_usual_way(typed):
    assert keys.normal(typed) == TEAM


@pytest.mark.parametrize("typed", ["6B73A36E6026DFCA", "6026DFCA", "", "x" * 40, TEAM + "00"])
def test_only_a_full_fingerprint_is_one(typed):
    with pytest.raises(UsageError) as caught:
        keys.normal(typed)
    assert caught.value.cause


@pytest.mark.usefixtures("with_or_without_gpg")
@pytest.mark.parametrize("name", ["team", "subkeyed"])
@pytest.mark.parametrize("armor", [True, False])
def test_a_key_is_proven_and_exported_alone(name, armor):
    mine = keys.prove(signer().public(key("other"), key(name), armor=armor), key(name).lower())
    assert (mine.fingerprint, mine.uids, mine.expires) == (key(name), (name,), None)
    assert len(mine.subkeys) == (name == "subkeyed")
    assert [each.fingerprint for each in openpgp.read_keys(mine.armored.encode())] == [key(name)]
    assert keys.prove(mine.armored.encode(), key(name)) == mine


def test_a_key_exported_by_us_is_one_gpg_reads():
    listed = signer().gpg("--show-keys", "--with-colons", data=proven("subkeyed").armored.encode()).decode()
    assert [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")] == [
        key("subkeyed"),
        *proven("subkeyed").subkeys,
    ]


@pytest.mark.usefixtures("with_or_without_gpg")
def test_certifications_by_others_are_left_out():
    certified = (DATA / "certified.asc").read_bytes()
    fingerprint = openpgp.read_keys(certified)[0].fingerprint
    assert len(keys.prove(certified, fingerprint).armored) < len(certified)


@pytest.mark.usefixtures("with_or_without_gpg")
def test_the_end_of_a_key_is_known():
    ending = (DATA / "until-2100.asc").read_bytes()
    assert f"{keys.prove(ending, openpgp.read_keys(ending)[0].fingerprint).expires:%Y}" == "2100"


@pytest.mark.usefixtures("with_or_without_gpg")
def test_another_key_is_refused_and_both_are_named():
    refused(lambda: keys.prove(signer().public(key("other")), key("team")), key("team"), key("other"))


@pytest.mark.usefixtures("with_or_without_gpg")
@pytest.mark.parametrize(("name", "word"), [("expired", "expired"), ("revoked", "revoked"), ("weak", "weak")])
def test_an_unfit_key_is_refused(name, word):
    refused(lambda: keys.prove(material(name), key(name)), word)


@pytest.mark.usefixtures("with_or_without_gpg")
def test_a_private_key_is_refused():
    private = signer().gpg("--armor", "--export-secret-keys", key("team"))
    refused(lambda: keys.prove(private.replace(b"PRIVATE", b"PUBLIC"), key("team")), "private")
    refused(lambda: keys.prove(private, key("team")), "not an OpenPGP key")


def test_a_web_page_is_no_key():
    refused(lambda: keys.prove(PAGE, TEAM), "that is not an OpenPGP key (it looks like an HTML page)")


def test_gpg_has_the_last_word_on_self_signatures():
    requires(Tool.GPG)
    packets = openpgp.read_packets(openpgp.dearmor(material("team"), openpgp.PUBLIC_KEY))
    unsigned = b"".join(packet.raw for packet in packets if packet.tag != openpgp.Tag.SIGNATURE)
    refused(lambda: keys.prove(unsigned, key("team")), key("team"))


@pytest.mark.usefixtures("with_or_without_gpg")
def test_a_key_without_an_owner_is_incomplete():
    packets = openpgp.read_packets(openpgp.dearmor(material("team"), openpgp.PUBLIC_KEY))
    refused(lambda: keys.prove(packets[0].raw, key("team")), "incomplete")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_junk_is_no_key(junk):
    refused(lambda: keys.prove(junk, TEAM))
    wrapped = openpgp.armor(b"\x99" + junk, openpgp.PUBLIC_KEY).encode()
    refused(lambda: keys.prove(wrapped, TEAM))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(at=72, octet=9)  # a lifetime of nine octets
@given(at=st.integers(0, 10_000), octet=st.integers(0, 255))
def test_a_damaged_key_is_refused_or_still_the_key(at, octet, monkeypatch):
    monkeypatch.setattr(keys, "available", lambda: ())
    packets = bytearray(openpgp.dearmor(material("subkeyed"), openpgp.PUBLIC_KEY))
    packets[at % len(packets)] = octet
    with contextlib.suppress(TrustError):
        assert keys.prove(bytes(packets), key("subkeyed")).fingerprint == key("subkeyed")


@given(st.binary(max_size=300))
def test_armour_goes_there_and_back(packets):
    assert openpgp.dearmor(openpgp.armor(packets, openpgp.PUBLIC_KEY).encode(), openpgp.PUBLIC_KEY) == packets


def test_damaged_armour_is_refused():
    armored = openpgp.armor(b"\x99" + bytes(99), openpgp.PUBLIC_KEY).encode()
    refused(lambda: openpgp.dearmor(armored.replace(b"AAAA", b"AAAB", 1), openpgp.PUBLIC_KEY), "checksum")


def test_a_key_comes_from_a_file_or_a_url(tmp_path):
    exported = material("team")
    (tmp_path / "team key.asc").write_bytes(exported)
    with serving({"/key": exported, "/page": PAGE, "/gone": Answer(status=404)}) as server:
        sources = [str(tmp_path / "team key.asc"), (tmp_path / "team key.asc").as_uri(), server.url + "/key"]
        assert {keys.fetch(where, (key("team"),)) for where in sources} == {(proven("team"),)}
        refused(lambda: keys.fetch(server.url + "/page", (key("team"),)), "HTML page")
        for where in (server.url + "/gone", str(tmp_path / "none")):
            with pytest.raises(NetworkError):
                keys.fetch(where, (key("team"),))
        with pytest.raises(UsageError):
            keys.fetch(server.url + "/key", (key("team")[-16:],))


# --- signatures


@pytest.mark.parametrize("name", ["team", "subkeyed"])
def test_a_clear_signed_text_is_believed(tool, name):
    message = signer().clearsign(TEXT, key(name))
    signed = keys.verify_clearsigned(message, (proven(name),), host=HOST, tool=tool)
    assert signed.payload == TEXT.replace(b" \t", b"").rstrip(b"\n")
    assert signed.signer == (proven(name).subkeys or (key(name),))[-1]
    assert abs(signed.signed_at.timestamp() - time.time()) < 100
    windows = message.replace(b"\n", b"\r\n")
    assert keys.verify_clearsigned(windows, (proven(name),), host=HOST, tool=tool) == signed


def test_a_detached_signature_is_believed(tool):
    data = os.urandom(1000)
    signature = signer().detach(data, key("team"))
    assert keys.verify_detached(data, signature, keys=(proven("team"),), host=HOST, tool=tool).payload == data
    binary = openpgp.dearmor(signature, openpgp.SIGNATURE)
    assert keys.verify_detached(data, binary, keys=(proven("team"),), host=HOST, tool=tool).signer == key("team")
    refused(
        lambda: keys.verify_detached(data + b"x", signature, keys=(proven("team"),), host=HOST, tool=tool), "not valid"
    )


def test_one_good_signature_among_several_is_enough(tool):
    message = signer().clearsign(TEXT, key("other"), key("team"))
    assert keys.verify_clearsigned(message, (proven("team"),), host=HOST, tool=tool).signer == key("team")


def test_another_key_is_not_the_signer(tool):
    message = signer().clearsign(TEXT, key("other"))
    refused(
        lambda: keys.verify_clearsigned(message, (proven("team"),), host=HOST, tool=tool),
        key("team"),
        key("other")[-16:],
    )


def tampered(message: bytes) -> dict[str, bytes]:
    armored = message[message.index(b"-----BEGIN PGP SIGNATURE") :]
    packet = bytearray(openpgp.dearmor(armored, openpgp.SIGNATURE))
    packet[-1] ^= 1
    end = b"-----END PGP SIGNATURE-----\n"
    return {
        "text": message.replace(b"trixie", b"sidxxx"),
        "signature": message.replace(armored, openpgp.armor(bytes(packet), openpgp.SIGNATURE).encode()),
        "appended": message + b"Suite: evil\n",
        "prepended": b"Suite: evil\n" + message,
        "two messages": message + message,
        "a line without escape": message.replace(b"- - dashed", b"-dashed"),
        "a header": message.replace(b"Hash:", b"Comment: x\nHash:"),
        "cut": message[: -len(end)],
        "not signed": TEXT,
        "empty": b"",
        "other blanks": message.replace(b"Origin: R", b"Origin:  R"),
    }


@pytest.mark.parametrize(
    "kind", list(tampered(b"-----BEGIN PGP SIGNATURE-----\n\nwgA=\n-----END PGP SIGNATURE-----\n"))
)
def test_a_tampered_message_is_refused(tool, kind):
    message = tampered(signer().clearsign(TEXT, key("team")))[kind]
    refused(lambda: keys.verify_clearsigned(message, (proven("team"),), host=HOST, tool=tool))


def test_a_weak_digest_is_refused(tool):
    signature = signer().detach(TEXT, key("team"), extra=("--digest-algo", "SHA1"))
    refused(lambda: keys.verify_detached(TEXT, signature, keys=(proven("team"),), host=HOST, tool=tool), "weak")


def test_a_signature_past_its_end_is_refused(tool):
    fingerprint = key("old")
    message = signer().clearsign(TEXT, fingerprint, extra=("--default-sig-expire", "5d"), at="20210101T000000")
    mine = keys.prove(signer().public(fingerprint), fingerprint)
    refused(lambda: keys.verify_clearsigned(message, (mine,), host=HOST, tool=tool), "not valid")


def test_an_old_signature_without_an_end_is_valid(tool):
    fingerprint = key("old")
    message = signer().clearsign(TEXT, fingerprint, at="20210101T000000")
    mine = keys.prove(signer().public(fingerprint), fingerprint)
    assert keys.verify_clearsigned(message, (mine,), host=HOST, tool=tool).signed_at.year == 2021


def test_a_key_that_expired_since_does_not_verify(tool):
    message = signer().clearsign(TEXT, key("team"))
    over = replace(proven("team"), expires=datetime.now(tz=timezone.utc) - timedelta(seconds=1))
    refused(lambda: keys.verify_clearsigned(message, (over,), host=HOST, tool=tool), "expired")


def test_a_subkey_that_expired_does_not_verify(tool):
    fingerprint = signer().make("subkey over", at="20200101T000000")
    signer().add_subkey(fingerprint, expire="30d", at="20200101T000000")
    message = signer().clearsign(TEXT, fingerprint, at="20200110T000000")
    mine = keys.prove(signer().public(fingerprint), fingerprint)
    assert mine.subkeys == ()
    refused(lambda: keys.verify_clearsigned(message, (mine,), host=HOST, tool=tool), "not signed")


def test_a_signature_from_the_future_names_the_clock(tool):
    message = signer().clearsign(TEXT, key("team"), at="20400101T000000")
    refused(lambda: keys.verify_clearsigned(message, (proven("team"),), host=HOST, tool=tool), "clock", "2040-01-01")


def test_without_any_program_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(keys, "available", lambda: ())
    with pytest.raises(UnsupportedError) as caught:
        keys.verify_clearsigned(signer().clearsign(TEXT, key("team")), (proven("team"),), host=HOST)
    assert "gnupg" in caught.value.hint


@settings(max_examples=150)
@given(st.binary(max_size=200), st.sampled_from([b"", openpgp.CLEARSIGNED + b"\n"]))
def test_junk_is_no_message(junk, head):
    end = b"\n-----BEGIN PGP SIGNATURE-----\n\nwgA=\n-----END PGP SIGNATURE-----\n"
    for data in (head + junk, head + b"\n" + junk + end):
        try:
            text, _ = openpgp.split_clearsigned(data)
        except TrustError:
            continue
        assert head
        assert text.count(b"\n") <= data.count(b"\n")


@settings(max_examples=150)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xc2", b"\xc2\x30\x04", b"\x88\x75\x04\x00\x16\x0a\x00\x1d"]))
def test_junk_is_no_signature(junk, head):
    with contextlib.suppress(TrustError):
        assert isinstance(openpgp.read_signatures(head + junk), tuple)


def test_nothing_is_left_behind_and_no_agent_runs(tool, monkeypatch, tmp_path):
    exported, message = material("team"), signer().clearsign(TEXT, key("team"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    keys.verify_clearsigned(message, (keys.prove(exported, key("team")),), host=HOST, tool=tool)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout


# --- the genuine thing


def test_a_genuine_release_of_upstream_is_believed(tool):
    release = upstream_release()
    mine = keys.prove(release.key, TEAM)
    signed = keys.verify_detached(release.archive, release.signature, keys=(mine,), host=HOST, tool=tool)
    assert signed.signer == TEAM
    flipped = bytearray(release.archive)
    flipped[len(flipped) // 2] ^= 1
    refused(
        lambda: keys.verify_detached(bytes(flipped), release.signature, keys=(mine,), host=HOST, tool=tool), "not valid"
    )


def test_the_key_in_the_catalog_is_that_of_the_source_package():
    shipped = Path(keys.__file__).parent / "catalog" / "keys" / "rabbitmq-team.asc"
    assert keys.fetch(str(shipped), (TEAM,)) == (keys.prove(upstream_release().key, TEAM),)


def test_armour_of_a_key_has_the_length_of_its_packets():
    mine = proven("team")
    body = mine.armored.split("\n\n")[1].split("\n=")[0]
    assert base64.b64decode(body) == openpgp.dearmor(mine.armored.encode(), openpgp.PUBLIC_KEY)
