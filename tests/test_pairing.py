from __future__ import annotations

import pytest
from offers import ERLANGS, SERVERS

from rmqsetup import pairing
from rmqsetup.catalog import Fit
from rmqsetup.recipe import Request
from rmqsetup.version import Wanted


def choose(rabbitmq: str = "", erlang: str = "", *, definitions: str = "", servers=SERVERS, erlangs=ERLANGS):
    wish = Request(rabbitmq=Wanted.parse(rabbitmq), erlang=Wanted.parse(erlang), definitions=definitions)
    return pairing.choose(wish, servers, erlangs)


@pytest.mark.parametrize(
    ("rabbitmq", "erlang", "found"),
    [
        ("", "", ("4.4.1-1", "1:27.3.4.6-1")),
        ("4.3", "", ("4.3.6-1", "1:27.3.4.6-1")),
        ("4.2", "", ("4.2.9-1", "1:27.3.4.6-1")),
        ("4.2.8", "", ("4.2.8-1", "1:27.3.4.6-1")),
        ("4.2.8-1", "", ("4.2.8-1", "1:27.3.4.6-1")),
        ("4", "28", ("4.4.1-1", "1:28.5.0.7-1")),
        ("4.3", "28", ("4.3.6-1", "1:28.5.0.7-1")),
        ("4.2", "26", ("4.2.8-1", "1:26.2.5.15-1")),
        ("", "26", ("4.2.8-1", "1:26.2.5.15-1")),
        ("", "26.2.5.15", ("4.2.8-1", "1:26.2.5.15-1")),
    ],
)
def test_the_newest_that_is_wished_with_the_erlang_upstream_prefers(rabbitmq, erlang, found):
    pair = choose(rabbitmq, erlang)
    assert (pair.rabbitmq, pair.erlang) == found
    assert pair.reasons
    assert not pair.problem


def test_what_was_passed_over_is_among_the_reasons():
    reasons = choose("", "26").reasons
    assert reasons[0] == (
        "RabbitMQ 4.4.1 is passed over: no Erlang 26 on offer fits (RabbitMQ 4.4.1 needs Erlang 27.0 to 29)"
    )
    assert [reason.split()[1] for reason in reasons[:3]] == ["4.4.1", "4.3.6", "4.2.9"]
    assert reasons[3] == "RabbitMQ 4.2.8 with Erlang 26.2.5.15: supported are 26.2 to 27"


def test_preferred_is_no_must():
    assert choose("4.3.6", erlangs=("1:28.5.0.7-1",)).erlang == "1:28.5.0.7-1"


@pytest.mark.parametrize(
    ("rabbitmq", "erlang", "problem", "hint"),
    [
        ("4.2.9", "26", "no Erlang 26 fits RabbitMQ 4.2.9", "RabbitMQ 4.2.9 needs Erlang 27.0 to 27: choose"),
        ("4.2", "28", "no Erlang 28 fits RabbitMQ 4.2.9", "RabbitMQ 4.2.9 needs Erlang 27.0 to 27: choose"),
        ("5.0", "", "there is no RabbitMQ 5.0 to be had", "choose one of those with --rabbitmq"),
        ("3.9", "", "there is no RabbitMQ 3.9 to be had", "choose one of those with --rabbitmq"),
        ("4.2.7", "", "there is no RabbitMQ 4.2.7 to be had", "choose one of those with --rabbitmq"),
        ("", "25", "no Erlang 25 fits RabbitMQ 4.4.1", "RabbitMQ 4.4.1 needs Erlang 27.0 to 29"),
    ],
)
def test_an_impossible_wish_says_what_there_is_and_what_it_would_take(rabbitmq, erlang, problem, hint):
    pair = choose(rabbitmq, erlang)
    assert (pair.rabbitmq, pair.erlang) == ("", "")
    assert pair.problem == problem
    assert pair.hint.startswith(hint)
    assert pair.available == "RabbitMQ 4.4.1, 4.3.6, 4.2.9, 4.2.8, 4.1.8 and Erlang 28.5.0.7, 27.3.4.6, 26.2.5.15"


def test_nothing_on_offer():
    pair = choose(servers=(), erlangs=())
    assert pair.problem == "there is no RabbitMQ to be had"
    assert pair.available == "RabbitMQ none and Erlang none"
    assert pair.hint == "try --source distro"


def test_a_release_newer_than_the_catalog_is_passed_over_unless_it_is_wished():
    servers = (*SERVERS, "4.9.0-1")
    assert choose(servers=servers).rabbitmq == "4.4.1-1"
    pair = choose("4.9", servers=servers)
    assert pair.problem == "this rmqsetup does not know which Erlang RabbitMQ 4.9.0 needs"
    assert pair.hint == "update rmqsetup, or choose an older series: 4.4, 4.3, 4.2, 4.1"


def test_a_pre_release_only_when_it_is_named():
    servers = (*SERVERS, "4.4.2~rc.1-1")
    assert choose(servers=servers).rabbitmq == "4.4.1-1"
    assert choose("4.4", servers=servers).rabbitmq == "4.4.1-1"
    assert choose("4.4.2-rc.1", servers=servers).rabbitmq == "4.4.2~rc.1-1"
    assert "rc" not in choose("5.0", servers=servers).available


def test_both_ends_of_the_range():
    fits = [v for v in ("26.1", "26.2", "27.3.4.6", "28.0") if pairing.judge("4.2.8", v).fit is Fit.FITS]
    assert fits == ["26.2", "27.3.4.6"]
    fits = [v for v in ("26.2.5", "27.0", "27", "29.1", "30.0") if pairing.judge("4.4.1", v).fit is Fit.FITS]
    assert fits == ["27.0", "27", "29.1"]


def test_an_erlang_major_alone_means_all_of_it():
    assert pairing.judge("4.4.1", "27").boots
    assert pairing.judge("4.0", "27").fit is Fit.FITS
    assert pairing.judge("4.4.1", "26").fit is Fit.TOO_OLD


def test_a_pair_that_hurts_everybody_is_skipped():
    verdict = pairing.judge("4.0.3", "27.1")
    assert verdict.fit is Fit.KNOWN_BAD
    assert choose(servers=("4.0.3-1",), erlangs=("1:27.1-1", "1:26.2.1-1")).erlang == "1:26.2.1-1"
    assert choose(servers=("4.0.3-1",), erlangs=("1:27.1-1",)).problem == "no Erlang fits RabbitMQ 4.0.3"


def test_definitions_and_an_erlang_that_hangs_on_them_do_not_meet():
    assert choose("4.3.6", "28").erlang == "1:28.5.0.7-1"
    assert choose("4.3.6", definitions="/d.json").erlang == "1:27.3.4.6-1"
    assert choose("4.4.1", "28", definitions="/d.json").erlang == "1:28.5.0.7-1"
    pair = choose("4.3.6", "28", definitions="/d.json")
    assert pair.problem == (
        "no Erlang 28 fits RabbitMQ 4.3.6: importing definitions at boot can hang on Erlang 28 before 4.4.1"
    )


def test_faults_are_warned_of_and_remarks_are_not():
    pair = choose("4.3.6", "28")
    assert pair.warnings == (
        "importing definitions at boot can hang on Erlang 28 before 4.4.1 (concerns definitions imported at boot)",
    )
    assert choose().warnings == ()
    assert any("TLS clients verify their peer" in reason for reason in choose().reasons)


def test_a_distributions_own_pair_outside_the_table_is_a_warning():
    verdict = pairing.judge("4.3.4-1", "1:29.0+dfsg-1")
    assert pairing.warnings(verdict, own=True)[0] == (
        "RabbitMQ 4.3.4 with Erlang 29.0: this Erlang is too new, supported are 27.0 to 27 "
        "(the distribution ships the pair)"
    )
    unknown = pairing.judge("4.3.4", "")
    assert pairing.warnings(unknown, own=True) == (
        "which Erlang comes with RabbitMQ 4.3.4 is not known (the distribution ships the pair)",
    )


def test_a_fault_that_is_the_verdict_is_told_once():
    assert len(pairing.warnings(pairing.judge("4.0.3", "27.1"), own=True)) == 1


def test_long_lists_are_cut():
    assert pairing.listed(tuple(f"4.1.{n}-1" for n in range(11))).endswith("4.1.3 and 3 older")
