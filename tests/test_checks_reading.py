"""What checks read files with: terms as text, settings with their lines, schemas; and the step that mends rights."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import recorded

from rmqsetup.checks import schema, settings
from rmqsetup.checks.plugins import read
from rmqsetup.host import Command, Give, Result
from rmqsetup.probes.consult import ConsultError, consult
from rmqsetup.probes.terms import Atom, Map
from rmqsetup.steps.access import Access, Right


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("[].", ([],)),
        ("[a, 'B c', <<'b'>>, 1].".replace("<'b'>", '<"b">'), ([Atom("a"), Atom("B c"), b"b", 1],)),
        ('["s" "t", -2.5, $a, 16#ff, 1_000].', ([b"st", -2.5, 97, 255, 1000],)),
        ("{a, #{b => [c|d]}}. % said\n{e}.", ((Atom("a"), Map(((Atom("b"), [Atom("c"), Atom("d")]),))), (Atom("e"),))),
        ('<<"text"/utf8>>.', (b"text",)),
    ],
)  # fmt: skip
def test_terms_are_read_as_erlang_reads_them(text, terms):
    assert consult(text) == terms


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[a,b]\n", 1, "full stop"),
        ("[\n {a, [b}\n].", 2, "not closed"),
        ("[a\n b].", 1, "comma"),
        ("[a,\n", 1, "middle of a term"),
        ("[a, ?b].", 1, "goes on"),
        ("[,].", 1, "expected"),
        ("[" * 200, 1, "deeply"),
        (f"[{'1' * 5000}].", 1, "expected"),
    ],
)
def test_what_erlang_would_not_read_names_its_line(text, line, words):
    with pytest.raises(ConsultError, match=words) as refusal:
        consult(text)
    assert refusal.value.line == line


@given(st.text(alphabet="[]{}<>#\"'$.,|=% \nab1_-:/", max_size=60))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(ConsultError):
        consult(text)


def test_a_list_of_plugins_is_a_list_of_names():
    assert read("[a,b].") == (("a", "b"), "")
    assert "something else" in read("{a}.")[1]
    assert "something else" in read('["a"].')[1]


def test_settings_keep_their_lines_and_lose_quotes_and_comments():
    found = settings.parse("f", "# no\n\na.b = 'x # y'\nc=1 # two\nnonsense\ninclude other\n")
    assert [(each.key, each.value, each.line) for each in found] == [("a.b", "x # y", 3), ("c", "1", 4), ("", "", 5)]
    assert found[0].place == "f:3: a.b = 'x # y'"


def test_variables_are_read_with_and_without_their_prefix():
    found = settings.environment("f", 'NODENAME=a\n#NODE_PORT=1\nexport RABBITMQ_NODE_PORT="2"\n')
    assert [(each.key, each.value) for each in found] == [("NODENAME", "a"), ("NODE_PORT", "2")]


@pytest.fixture(scope="module")
def mappings():
    files = recorded()["files"]
    return tuple(m for path, row in files.items() if path.endswith(".schema") for m in schema.parse(row[0]))


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("channel_max", "100", ""),
        ("channel_max", "lots", "a whole number"),
        ("listeners.tcp.default", "5672", ""),
        ("listeners.tcp.default", "127.0.0.1:5672", ""),
        ("log.console", "maybe", "one of true, false"),
        ("disk_free_limit.absolute", "2GB", ""),
        ("vm_memory_high_watermark.relative", "0.4", ""),
        ("vm_memory_high_watermark.relative", "most", "a number with a decimal point"),
        ("vm_memory_high_watermark.relative", "1", "a number with a decimal point"),
        ("heartbeat", "+5", ""),
        ("listeners.tcp.1", "[::1]:5672", "a whole number or an address with a port, such as 127.0.0.1:5672"),
        ("listeners.tcp.1", "::1:5672", ""),
        ("disk_free_limit.absolute", "5 GB", "a size such as 2GB or 500MiB, without a blank"),
        ("disk_free_limit.absolute", "5GiB", ""),
        ("cluster_partition_handling", "autoheal", ""),
        ("ssl_options.verify", "yes", "one of verify_peer, verify_none"),
        ("management.tcp.port", "x", "a whole number"),
        ("heartbeat", "$(HEARTBEAT)", ""),
        ("disk_free_limit.absolute", "2 GB", "a size such as 2GB or 500MiB, without a blank"),
        ("queue_index_embed_msgs_below", "4kb", ""),
        ("queue_index_embed_msgs_below", "4 kb", "a size"),
        ("max_message_size", "1073741824", "a whole number from 1 to 536,870,912"),
        ("ssl_cert_login_san_index", "-1", "a whole number from 0 on"),
        ("log.syslog.ip", "loghost", "an address, and no name"),
        ("log.syslog.ip", "192.0.2.1", ""),
        ("listeners.tcp.default", "::1:5672", ""),
        (
            "listeners.tcp.default",
            "localhost:5672",
            "a whole number or an address with a port, such as 127.0.0.1:5672",
        ),
    ],
)
def test_a_value_is_judged_by_the_schema_of_the_release(mappings, key, value, refused):
    its = next(mapping for mapping in mappings if mapping.admits(key))
    assert its.refuses(value) == refused


SHARED = """
%% {include_partial, {rabbit, "no"}, [{prefix, "no"}]}.
{include_partial, {rabbit, "tls"},
    [{prefix, "web.ssl"},
     {app_prefix, "web.ssl_config"},
     {disable_with, none},
     {exclude, ["depth"]}]}.
{mapping, "max_channels", "rabbit.channel_max",
  [{datatype, {integer, positive}}, {alias, "channel_max"}]}.
{mapping, "shovel.mode", "shovel.mode", [
     [{datatype, {enum, [a, b]}}]
]}.
{mapping, "share", "rabbit.share", [{datatype, {float, [{gt, 0}, {lt, 1}]}}]}.
"""
PARTIAL = """
{mapping, "certfile", "certfile", [{datatype, string}]}.
{mapping, "depth", "depth", [{datatype, byte}]}.
{mapping, "versions.$version", "versions", [{datatype, atom}]}.
{mapping, "level", "level", [{datatype, byte}]}.
{mapping, "strict", "strict", [{datatype, boolean}]}.
"""


def test_what_schemas_of_4_3_share_and_call_by_two_names_is_known():
    entries = schema.parse(SHARED, (schema.Partial("rabbit", "tls", PARTIAL),))
    known = {entry.key: entry for entry in entries}
    shared = ("web.ssl", "web.ssl.certfile", "web.ssl.versions.$version", "web.ssl.level", "web.ssl.strict")
    assert set(known) == {*shared, "max_channels", "channel_max", "shovel.mode", "share"}
    judged = (
        ("web.ssl", "off", "one of none"),
        ("web.ssl.level", "256", "from 0 to 255"),
        ("web.ssl.level", "x", "a whole number"),
        ("web.ssl.strict", "yes", "true or false"),
        ("channel_max", "0", "1 or more"),
        ("channel_max", "1", ""),
        ("shovel.mode", "c", ""),
        ("share", "1.5", "from 0 to 1"),
        ("share", "0.5", ""),
    )
    assert [(key, value, known[key].refuses(value)) for key, value, _ in judged] == list(judged)


def test_a_key_that_is_none_has_a_neighbour(mappings):
    assert not any(mapping.admits("heartbeats") for mapping in mappings)
    assert schema.near("heartbeats", mappings) == "heartbeat"
    assert schema.near("something.else.entirely", mappings) == ""


def rights(owner="root", mode=0o644):
    return Right("/a", owner, "rabbitmq", mode), Right("/b", "root", "root", 0o600)


def observed(step, text, led=""):
    return step.observe((Result(Command(("stat",)), 0, text), Result(Command(("sh",)), 0, led)))


def test_rights_are_changed_where_they_differ_and_come_back():
    step = Access(rights("rabbitmq", 0o400))
    before = observed(step, "root\t0\trabbitmq\t7\t644\t/a\n")
    change = step.diff(before)
    assert change.actions == (Give("/a", "rabbitmq", "rabbitmq", 0o400),)
    after = observed(step, "rabbitmq\t6\trabbitmq\t7\t400\t/a\n")
    assert step.diff(after).empty
    back = change.inverse.diff(observed(change.inverse, "rabbitmq\t6\trabbitmq\t7\t400\t/a\n"))
    assert back.actions == (Give("/a", "root", "rabbitmq", 0o644),)
    assert step.key == "access:/a"


def test_who_has_no_name_goes_by_a_number():
    step = Access(rights("rabbitmq")[:1])
    assert step.diff(observed(step, "UNKNOWN\t999\tUNKNOWN\t998\t644\t/a\n")).inverse == Access(
        (Right("/a", "999", "998", 0o644),)
    )


def test_an_older_inverse_of_rights_wins_over_a_newer():
    older, newer = Access(rights()[:1]), Access(rights("other"))
    assert older.absorb(newer).rights == (rights()[0], rights()[1])
