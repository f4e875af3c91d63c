from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rpmorder import VERSIONS, ours, question

from rmqsetup.errors import UsageError
from rmqsetup.version import Precision, Version, Wanted, is_pre_release, major, series, upstream

WORD = st.text("0123456789abzAZ.+~", min_size=1, max_size=6)
UPSTREAM = st.builds(lambda digit, word: f"{digit}{word}", st.sampled_from("0123456789"), st.just("") | WORD)
VERSION = st.builds(
    lambda epoch, bare, revision: f"{epoch}{bare}{revision}",
    st.sampled_from(["", "", "0:", "1:", "12:"]),
    UPSTREAM | st.builds(lambda one, two: f"{one}-{two}", UPSTREAM, WORD),
    st.just("") | st.builds(lambda word: f"-{word}", WORD),
)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg to agree with")
@settings(max_examples=6, deadline=None)
@given(st.lists(VERSION, min_size=12, max_size=24))
@example(["0", "0~"] * 6)
def test_order_is_that_of_dpkg(versions):
    pairs = list(pairwise(versions)) + [(version, version) for version in versions[:2]]
    ask = "dpkg --compare-versions '{}' {} '{}' && echo {}"
    script = "\n".join(
        f"{ask.format(one, 'lt', two, 'lt')} || {{ {ask.format(one, 'eq', two, 'eq')} || echo gt; }}"
        for one, two in pairs
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert said.stderr == ""
    ours = [("lt", "eq", "gt")[(Version(one) >= Version(two)) + (Version(one) > Version(two))] for one, two in pairs]
    assert said.stdout.split() == ours


@pytest.mark.skipif(not shutil.which("rpm"), reason="no rpm to agree with; test_rpm_lab asks a machine's")
@settings(max_examples=6, deadline=None)
@given(st.lists(VERSIONS, min_size=12, max_size=24))
def test_order_of_what_rpm_packages_have_is_that_of_rpm(versions):
    pairs = list(pairwise(versions))
    said = subprocess.run(["rpm", "--eval", question(pairs)], capture_output=True, text=True, check=True)
    assert [int(word) for word in said.stdout.split()] == [ours(Version(one), Version(two)) for one, two in pairs]


@given(st.text(), st.text())
def test_any_text_has_a_place(one, two):
    assert (Version(one) < Version(two)) + (Version(one) == Version(two)) + (Version(one) > Version(two)) == 1
    if Version(one) == Version(two):
        assert hash(Version(one)) == hash(Version(two))


def test_tilde_sorts_before_everything():
    row = ["4.4.0~rc.1-1", "4.4.0~rc.2-1", "4.4.0-1", "4.4.0-1+deb13u1", "4.4.0-2", "4.4.1-1", "4.10.0-1", "1:0.1"]
    assert sorted(row, key=Version) == row


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("1:27.3.4.1+dfsg-1+deb13u2", "27.3.4.1"),
        ("4.0.5-7", "4.0.5"),
        ("4.0.5-6+deb13u2", "4.0.5"),
        ("3.10.8-1.1~bpo12+1", "3.10.8"),
        ("4.4.1", "4.4.1"),
        ("1:25.3.2.8+dfsg-1ubuntu4.4", "25.3.2.8"),
        ("1:26.2.5.13-1rmq1ppa1~ubuntu24.04.1", "26.2.5.13"),
        ("4.4.0~rc.1-1", "4.4.0~rc.1"),
        ("4.4.0-rc.1", "4.4.0~rc.1"),
        ("", ""),
    ],
)
def test_upstream_strips_what_packagers_added(text, made):
    assert upstream(text) == made


def test_series_and_major():
    assert (series("4.3.6-1"), series("1:27.3.4.1+dfsg-1"), major("1:27.3.4.1+dfsg-1")) == ("4.3", "27.3", "27")
    assert series("4.4.0~rc.1-1") == "4.4"
    assert is_pre_release("4.4.0~rc.1-1")
    assert not is_pre_release("3.10.8-1~bpo12+1")


@pytest.mark.parametrize(
    ("wish", "granted", "refused"),
    [
        ("", ("4.3.6-1", "3.8.9"), ("4.4.0~rc.1-1",)),
        ("any", ("4.3.6-1",), ()),
        ("4.3", ("4.3.6-1", "4.3.0"), ("4.30.1", "4.2.9", "4.3.7~rc.1-1")),
        ("4", ("4.3.6-1", "4.0.5-6+deb13u2"), ("3.13.7", "40.1")),
        ("v4.2.9", ("4.2.9", "4.2.9-1"), ("4.2.90", "4.2.8")),
        ("4.2.9-1", ("4.2.9-1",), ("4.2.9-2", "4.2.9")),
        ("27", ("1:27.3.4.1+dfsg-1+deb13u2", "27.0"), ("1:26.2.5-1",)),
        ("27.3", ("1:27.3.4.1+dfsg-1",), ("1:27.2-1",)),
        ("1:27.3.4.6-1", ("1:27.3.4.6-1",), ("1:27.3.4.6-2",)),
        ("4.4.0-rc.1", ("4.4.0~rc.1-1",), ("4.4.0-1",)),
    ],
)
def test_a_wish_admits(wish, granted, refused):
    wanted = Wanted.parse(wish)
    assert [version for version in granted if not wanted.admits(version)] == []
    assert [version for version in refused if wanted.admits(version)] == []


def test_precision_and_words():
    assert Wanted.parse("4.3") == Wanted(Precision.SERIES, "4.3")
    assert Wanted.parse("4.2.9").precision is Precision.EXACT
    assert Wanted.parse("4.2-1").precision is Precision.EXACT
    assert (str(Wanted()), str(Wanted.parse("4.3"))) == ("any", "4.3")


@pytest.mark.parametrize("text", ["four", "4..3", "4.3;rm", "4.3 4.2", "-", "4.x", "٤.٣"])
def test_what_is_no_version_is_refused_with_a_hint(text):
    with pytest.raises(UsageError, match="not a version") as caught:
        Wanted.parse(text)
    assert "4.3" in caught.value.hint


@given(st.text(max_size=12))
def test_a_wish_once_read_is_read_alike(text):
    try:
        wanted = Wanted.parse(text)
    except UsageError:
        return
    assert Wanted.parse(wanted.text) == wanted
