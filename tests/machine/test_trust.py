"""What is not what it should be is refused, whoever is asked for it, and leaves no trace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from broker import STAYS, envelope, restored, rmqsetup
from lab import archive, debs, mirror
from lab.mirror import Fault

pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("given_back")]

NEWEST, BEFORE = ("4.2.9-1", "1:27.3.4.6-1"), ("4.2.8-1", "1:27.3.4.5-1")
KEY = "/root/team.asc"
OWN = "mirror=http://mirror.test"
STALE = "/etc/apt/sources.list.d/earlier.sources"


@pytest.fixture(scope="module")
def stock(trust):
    """What all mirrors here have, and what they had two days ago."""
    pair = debs.fetch("trixie")
    then = timedelta(days=2)
    return mirror.Stock(
        trust,
        archive.team("trixie", pair.versioned(*NEWEST).debs),
        archive.team("trixie", pair.versioned(*BEFORE).debs, age=then),
    )


@pytest.fixture(scope="module")
def machine(lab, tool, trust):
    """One machine for all, which could install from Debian: every test gives it back as it was."""
    booted = lab.machine("trixie", layers=tool.layers(trust.good))
    booted.write(KEY, trust.good.armored)
    yield booted
    lab.remove(booted)


@pytest.fixture(scope="module")
def servers(machine, stock):
    """Team RabbitMQ's mirrors, and somebody's own."""
    team, own = mirror.Team(machine, stock), mirror.own(machine, stock)
    yield team, own
    team.close()
    own.close()


def refused(machine, before, *words, names):
    """Hold an install to its refusal: exit code 5, every name said, a hint, and nothing changed."""
    answer = envelope(machine, "install", "--yes", *words, code=5)
    (error,) = answer["errors"]
    assert error["code"] == "trust"
    told = " ".join((error["message"], error["cause"] or "", *error["looked_at"]))
    assert [name for name in names if name not in told] == [], told
    assert before.differences(machine.snapshot(), ignore=STAYS) == ()
    return error


@pytest.mark.parametrize("source", ["auto", "team"])
@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (Fault.WRONG_KEY, ("not signed by the key", "deb1.rabbitmq.com")),
        (Fault.EXPIRED_KEY, ("not signed by the key", "deb1.rabbitmq.com")),
        (Fault.TAMPER_INRELEASE, ("signature", "deb1.rabbitmq.com")),
        (Fault.TAMPER_PACKAGES, ("main/binary-", "not what the signed index promises")),
        (Fault.UNSIGNED, ("not signed", "deb1.rabbitmq.com")),
        (Fault.OUTDATED, ("expired", "deb1.rabbitmq.com")),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
def test_a_repository_that_cannot_be_trusted(machine, before, team, fault, names, source):
    team.trouble(fault)
    refused(machine, before, "--source", source, names=names)


@pytest.mark.parametrize("source", ["auto", "team"])
def test_an_older_state_is_not_taken_for_new(machine, before, team, source):
    keyring = "/srv/keyring.asc"  # apt's own user reads it
    machine.write(keyring, team.stock.trust.good.armored)
    machine.write(
        STALE,
        "Types: deb\nURIs: https://deb1.rabbitmq.com/rabbitmq-server/debian/trixie\nSuites: trixie\n"
        f"Components: main\nSigned-By: {keyring}\n",
    )
    machine.run("apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any", check=True)
    machine.run("rm", STALE, check=True)
    team.trouble(Fault.REPLAY)
    refused(machine, before, "--source", source, names=("deb1.rabbitmq.com", "older index"))


@pytest.mark.parametrize("source", ["auto", "team"])
def test_a_swapped_package_is_refused_and_everything_taken_back(machine, before, team, source):
    machine.run("apt-get", "clean", check=True)  # a test before this one may have fetched the right one
    team.trouble(Fault.SWAP_DEB)
    error = refused(machine, before, "--source", source, names=("rabbitmq.com/rabbitmq-server/", "refused"))
    assert "do not install from this source" in error["hint"]
    assert not machine.exists(mirror.SWAPPED)
    assert not machine.exists("/usr/sbin/policy-rc.d")


def test_a_second_mirror_with_a_strangers_signature_stops_it_as_well(machine, before, team):
    team.deb2.trouble(Fault.WRONG_KEY)
    refused(machine, before, "--source", "auto", names=("deb2.rabbitmq.com", "signature"))


def test_the_key_of_an_own_mirror_has_to_be_the_one_with_that_fingerprint(machine, before, own, trust):
    wish = ("--source", OWN, "--key", KEY, "--fingerprint")
    refused(machine, before, *wish, trust.wrong.fingerprint, names=(trust.wrong.fingerprint, trust.good.fingerprint))
    own.trouble(Fault.WRONG_KEY)
    refused(machine, before, *wish, trust.good.fingerprint, names=("mirror.test", "not signed by the key"))


def test_an_expired_key_vouches_for_nothing(machine, before, own, trust):
    own.trouble(Fault.EXPIRED_KEY)
    machine.write("/root/expired.asc", trust.expired.armored)
    wish = ("--source", OWN, "--key", "/root/expired.asc", "--fingerprint", trust.expired.fingerprint)
    refused(machine, before, *wish, names=(trust.expired.fingerprint, "expired on 202"))


def test_a_web_page_is_no_key(machine, before, own, trust):
    own.trouble(Fault.HTML, only="/key.asc")
    wish = ("--source", OWN, "--key", "http://mirror.test/key.asc", "--fingerprint", trust.good.fingerprint)
    refused(machine, before, *wish, names=("http://mirror.test/key.asc", "not an OpenPGP key", "HTML page"))


@pytest.mark.parametrize("names", [("good",), ("wrong", "good")], ids=["one key", "either of two"])
def test_an_own_mirror_with_its_keys_over_plain_http_works(machine, before, own, trust, names):
    chosen = [getattr(trust, name) for name in names]
    own.stock.files["/key.asc"] = "".join(key.armored for key in chosen).encode()
    fingerprints = ",".join(key.fingerprint for key in chosen)
    wish = ("--source", OWN, "--key", "http://mirror.test/key.asc", "--fingerprint", fingerprints)
    rmqsetup(machine, "install", *wish, "--no-start", "--no-verify", "--no-recommends", "--yes")
    versions = machine.run("dpkg-query", "-W", "-f", "${Version} ", "rabbitmq-server", "erlang-base", check=True)
    assert set(versions.stdout.split()) == set(NEWEST)
    rmqsetup(machine, "uninstall", "--yes")
    restored(before, machine)


def test_a_certificate_nobody_here_vouches_for_is_no_answer(machine, before, team, trust):
    """Whoever re-signs TLS cannot forge a package, and Debian's are signed as well: a fall back, said in a line."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    trusted = machine.read(bundle)
    machine.write(bundle, trusted.replace(trust.authority, ""))
    try:
        notice = envelope(machine, "plan", "--source", "auto", code=10)["data"]["notice"]
        (error,) = envelope(machine, "install", "--source", "team", "--yes", code=4)["errors"]
    finally:
        machine.write(bundle, trusted)
    assert "Debian 13" in notice
    assert error["code"] == "network"
    assert "TLS certificate" in error["cause"]
    assert before.differences(machine.snapshot(), ignore=STAYS) == ()
    assert team.deb1.seen
