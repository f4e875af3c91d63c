from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqsetup import catalog
from rmqsetup.catalog import Fit, OsRelease, Placement, Refusal
from rmqsetup.managers import apt_trust
from rmqsetup.version import Version, series

CATALOG = catalog.load()
FINGERPRINT = re.compile(r"[0-9A-F]{40}")


def every_row():
    tables = (
        CATALOG.distributions,
        CATALOG.derivatives,
        CATALOG.sources,
        CATALOG.repositories,
        CATALOG.publications,
        CATALOG.retired,
        CATALOG.keys,
        CATALOG.series,
        CATALOG.erlang_ranges,
        CATALOG.bad_pairs,
    )
    return [row for table in tables for row in table]


def test_every_fact_has_a_source_and_a_day():
    assert len(every_row()) > 90
    for row in every_row():
        assert row.citation.where, row
        assert dt.date.fromisoformat(row.citation.date) <= dt.date(2026, 11, 22), row


def test_ids_are_unique():
    for table in (
        CATALOG.distributions,
        CATALOG.repositories,
        CATALOG.publications,
        CATALOG.retired,
        CATALOG.keys,
        CATALOG.bad_pairs,
    ):
        ids = [row.id for row in table]
        assert len(set(ids)) == len(ids)


def test_it_is_loaded_once():
    assert catalog.load() is catalog.load()
    assert CATALOG.distributions is CATALOG.distributions


def test_what_rows_name_exists():
    sources = {row.id for row in CATALOG.sources}
    for distribution in CATALOG.distributions:
        for row in distribution.repositories:
            repository = CATALOG.repository(row)
            assert repository.source in sources
            assert not repository.key or CATALOG.key(repository.key)
            assert "{" not in "".join((*repository.urls(distribution), repository.suite_for(distribution)))
    assert {row.replacement for row in CATALOG.retired} <= sources
    rows = {row.id for row in CATALOG.distributions} | {"Darwin"}
    for publication in CATALOG.publications:
        assert rows.issuperset(publication.systems)
        assert bool(publication.signature) == bool(publication.key)
        assert not publication.key or CATALOG.key(publication.key)
    with pytest.raises(KeyError):
        CATALOG.distribution("no such row")


def test_both_mirrors_of_the_team_in_the_documented_layout():
    noble = CATALOG.distribution("ubuntu-24.04")
    assert CATALOG.repository("team-rabbitmq").urls(noble) == (
        "https://deb1.rabbitmq.com/rabbitmq-server/ubuntu/noble",
        "https://deb2.rabbitmq.com/rabbitmq-server/ubuntu/noble",
    )
    erlang = CATALOG.repository("team-erlang")
    assert erlang.urls(CATALOG.distribution("debian-12"))[1] == (
        "https://deb2.rabbitmq.com/rabbitmq-erlang/debian/bookworm"
    )
    assert (erlang.serves("amd64"), erlang.serves("arm64")) == (True, False)
    assert CATALOG.repository("team-rabbitmq").serves("arm64")


def test_keys_are_pinned_in_full_and_shipped():
    for key in CATALOG.keys:
        assert FINGERPRINT.fullmatch(key.fingerprint)
        assert apt_trust.fingerprints(CATALOG.key_text(key.id)) == (key.fingerprint,)
    assert CATALOG.key("rabbitmq-team").fingerprint == "0A9AF2115F4687BD29803A206B73A36E6026DFCA"


def test_a_repository_without_a_full_fingerprint_names_no_key():
    assert [row.id for row in CATALOG.repositories if not row.key] == [
        *("ppa-erlang", "ppa-erlang-27"),
        *("yum-rabbitmq", "yum-erlang"),
    ]


def test_retired_keys_are_key_ids():
    for row in CATALOG.retired:
        assert all(re.fullmatch(r"[0-9A-F]{16}|[0-9A-F]{40}", key) for key in row.keys)
        assert row.hosts or row.keys


# --- series and Erlang -----------------------------------------------------------------------------------------------


def releases():
    for row in CATALOG.series:
        last = int(row.newest.rpartition(".")[2])
        for patch in range(1 if row.name == "4.0" else 0, last + 1):
            yield f"{row.name}.{patch}"


def test_all_series_newest_first():
    names = [row.name for row in CATALOG.series]
    assert names == ["4.4", "4.3", "4.2", "4.1", "4.0", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8"]
    assert CATALOG.series_named("4.3").community_until == "2026-11-30"
    assert CATALOG.series_named("5.0") is None


def test_every_release_has_exactly_one_range():
    ranges = CATALOG.erlang_ranges
    for release in releases():
        row = CATALOG.erlang_range(release)
        assert row is not None, release
        others = [
            other
            for other in ranges
            if other is not row
            and series(other.first) == series(release)
            and Version(other.first) <= Version(release)
            and Version(release) <= Version(other.last)
        ]
        assert others == [], release


def test_the_preferred_erlang_fits():
    for row in CATALOG.erlang_ranges:
        verdict = CATALOG.judge_pair(row.first, f"{row.preferred}.9" if "." not in row.preferred else row.preferred)
        assert verdict.fit is Fit.FITS, (row.first, verdict)


@pytest.mark.parametrize(
    ("rabbitmq", "erlang", "fit", "boots"),
    [
        ("4.4.1", "1:27.3.4.1+dfsg-1+deb13u2", Fit.FITS, True),
        ("4.4.1", "29.0.5", Fit.FITS, True),
        ("4.4.1", "30.0", Fit.TOO_NEW, True),
        ("4.4.9", "28.1", Fit.FITS, True),
        ("4.3.6-1", "1:29.1.1+dfsg-1", Fit.TOO_NEW, True),
        ("4.3.6", "28.5.0.7", Fit.FITS, True),
        ("4.3.5", "28.1", Fit.TOO_NEW, True),
        ("4.3.3", "26.2.5.19", Fit.TOO_OLD, False),
        ("4.2.9-1", "26.2.5.19", Fit.TOO_OLD, False),
        ("4.2.8", "26.2.5.19", Fit.FITS, True),
        ("4.2.8", "26.0.2", Fit.TOO_OLD, True),
        ("4.2.8", "25.3", Fit.TOO_OLD, False),
        ("4.0.4", "27.3.4", Fit.FITS, True),
        ("4.0.3", "27.0", Fit.KNOWN_BAD, True),
        ("3.13.7", "26.2.5", Fit.FITS, True),
        ("3.13.7", "27.1", Fit.KNOWN_BAD, True),
        ("3.12.4", "26.1", Fit.TOO_NEW, True),
        ("3.12.10", "26.2.1", Fit.FITS, True),
        ("3.10.8-1.1+deb12u1", "1:25.2.3+dfsg-1+deb12u4", Fit.FITS, True),
        ("3.10.19", "24.3.4.7", Fit.TOO_OLD, True),
        ("3.8.9", "1:23.2.6+dfsg-1", Fit.FITS, True),
        ("3.7.28", "22.3", Fit.UNKNOWN, True),
        ("5.0.0", "27.3", Fit.UNKNOWN, True),
    ],
)
def test_pairs(rabbitmq, erlang, fit, boots):
    verdict = CATALOG.judge_pair(rabbitmq, erlang)
    assert (verdict.fit, verdict.boots) == (fit, boots), verdict
    assert verdict.reason


def test_known_faults_come_with_who_is_hurt():
    faults = {row.id: row for row in CATALOG.judge_pair("4.4.0", "28.1").faults}
    assert faults["definitions-hang-28"].when == "definitions imported at boot"
    assert "definitions-hang-28" not in {row.id for row in CATALOG.judge_pair("4.4.1", "28.1").faults}
    assert "khepri-rolling-28" in {row.id for row in CATALOG.judge_pair("4.2.9", "28.1").faults}
    assert "CVE-2022-37026-on-24" in {row.id for row in CATALOG.judge_pair("3.9.27", "24.2.1").faults}
    assert "CVE-2022-37026-on-24" not in {row.id for row in CATALOG.judge_pair("3.9.27", "24.3.4.2").faults}


def test_range_of_a_series_is_that_of_its_newest_release():
    assert CATALOG.erlang_range("4.2") == CATALOG.erlang_range("4.2.9")
    assert CATALOG.erlang_range("9.9") is None


@given(st.text(), st.text())
def test_judging_never_fails(rabbitmq, erlang):
    assert isinstance(CATALOG.judge_pair(rabbitmq, erlang).fit, Fit)


@pytest.mark.parametrize(
    ("here", "there", "allowed"),
    [
        ("4.2.9", "4.3", True),
        ("4.2.9", "4.4", False),
        ("4.3.6", "4.4.1", True),
        ("3.13.7", "4.2.9", True),
        ("3.13.7", "4.3.0", False),
        ("3.11.17", "3.12.14", False),
        ("3.11.18-1", "3.12.14", True),
        ("3.10.8-1.1+deb12u1", "4.0.5-6+deb13u2", False),
        ("4.3.5", "4.3.6", True),
        ("4.3.6", "4.3.5", False),
        ("4.3.6", "4.2", False),
        ("2.8.0", "3.8", False),
    ],
)
def test_upgrade_hops(here, there, allowed):
    assert CATALOG.can_upgrade(rabbitmq=here, to=there) is allowed


def test_a_chain_leads_from_the_oldest_series_to_the_newest():
    here, chain = CATALOG.series[-1], []
    while here.upgrades_to:
        chain.append(here.name)
        here = CATALOG.series_named(here.upgrades_to[-1])
        assert here is not None
    assert [*chain, here.name] == ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "4.2", "4.3", "4.4"]


# --- placing ---------------------------------------------------------------------------------------------------------


def placed(**fields):
    found = CATALOG.place(OsRelease(**fields))
    assert isinstance(found, Placement), found
    return found


def refused(**fields):
    found = CATALOG.place(OsRelease(**fields))
    assert isinstance(found, Refusal), found
    assert found.reason
    assert found.hint
    return found


def test_id_like_alone_places_nobody():
    refused(id="example", id_like=("debian",))
    refused(id="example", id_like=("ubuntu", "debian"), version_id="24.04")


def test_a_foreign_codename_counts_only_together_with_id_like():
    refused(id="example", codename="trixie")
    assert placed(id="example", codename="trixie", id_like=("debian",)).warnings


def test_derivatives_by_the_codename_of_their_base():
    mint = placed(id="linuxmint", codename="wilma", ubuntu_codename="noble", id_like=("ubuntu", "debian"))
    assert mint.distribution.id == "ubuntu-24.04"
    assert placed(id="linuxmint", codename="gigi", debian_codename="trixie").distribution.id == "debian-13"
    assert placed(id="parrot", codename="echo").distribution.codename == "trixie"


def test_foreign_repositories_stay_away_from_what_has_its_own_packages():
    for fields in ({"id": "devuan", "codename": "excalibur"}, {"id": "raspbian", "codename": "trixie"}):
        found = placed(**fields)
        assert found.distribution.codename == "trixie"
        assert found.distribution.repositories == ()
        assert found.warnings


def test_ended_releases_are_refused_by_their_row():
    found = refused(id="debian", version_id="11", codename="bullseye")
    assert found.distribution is not None
    assert found.distribution.id == "debian-11"
    assert "Debian 13" in found.hint


def test_a_release_newer_than_the_catalog_is_refused_with_the_way_on():
    assert "update rmqsetup" in refused(id="ubuntu", version_id="31.04", codename="zzz").hint


def test_testing_before_and_after_a_release():
    assert placed(id="debian", codename="forky", debian_version="forky/sid").distribution.id == "debian-testing"
    assert placed(id="debian", debian_version="forky/sid").distribution.id == "debian-testing"
    assert placed(id="debian", codename="trixie").warnings


def test_rpm_systems_by_platform():
    assert "dnf" in refused(id="oraclelike", platform_id="platform:el9").reason


WORD = st.sampled_from(["", "debian", "ubuntu", "trixie", "noble", "raspbian", "8", "24.04", "platform:el9", "x"])


@given(
    st.builds(
        OsRelease,
        id=WORD | st.text(),
        version=st.text(),
        version_id=WORD,
        codename=WORD,
        ubuntu_codename=WORD,
        debian_codename=WORD,
        id_like=st.tuples(WORD),
        platform_id=WORD,
        debian_version=st.text(),
    )
)
def test_placing_always_ends_in_a_row_or_a_hint(os_release):
    found = CATALOG.place(os_release)
    assert found.because if isinstance(found, Placement) else found.hint


def test_rows_were_tried_as_they_say():
    machines = Path(__file__).parent / "data" / "machines"
    tried = {"recorded": "", "composed": ""}
    for folder in machines.iterdir():
        kind = "recorded" if 'kind = "recorded"' in (folder / "about.toml").read_text() else "composed"
        tried[kind] += (folder / "facts.json").read_text()
    for row in CATALOG.distributions:
        expected = {
            catalog.Tested.MACHINE: tried["recorded"],
            catalog.Tested.RECORDED: tried["recorded"],
            catalog.Tested.LAB: tried["recorded"],
            catalog.Tested.COMPOSED: tried["composed"],
        }
        assert row.tested is catalog.Tested.NONE or f'"row": "{row.id}"' in expected[row.tested], row.id
