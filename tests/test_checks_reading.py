"""What checks read files with: terms as text, settings with their lines, schemas; and the step that mends rights."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import recorded

from rmqsetup.checks import schema, settings
from rmqsetup.checks.plugins import read
from rmqsetup.host import Command, Result
from rmqsetup.hosts.local import LocalHost
from rmqsetup.plan import observe
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
        ("vm_memory_high_watermark.relative", "most", "a number with a point, such as 1.0"),
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


OF_43 = """
{mapping, "max_channels", "rabbit.channel_max", [{datatype, {integer, positive}}, {alias, "channel_max"}]}.
{mapping, "log.console", "rabbit.log", [{datatype, boolean}]}.
{translation, "rabbit.log", fun(C) -> [{datatype, float}, {alias, "no"}] end}.
{include_partial, {rabbit, "tls"},
    [{prefix, "ssl_options"},
     {disable_with, none}]}.
{mapping, "share", "rabbit.share", [{datatype, {float, [{gt, 0}, {lt, 1}]}}]}.
"""


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("channel_max", "2047", ""),
        ("channel_max", "0", "a whole number from 1 on"),
        ("max_channels", "many", "a whole number"),
        ("log.console", "yes", "true or false"),
        ("ssl_options", "none", ""),
        ("ssl_options.depth", "2", ""),
        ("ssl_options.depth", "256", "a whole number from 0 to 255"),
        ("share", "0.5", ""),
        ("share", "1.5", "more than 0 and less than 1"),
    ],
)
def test_a_schema_of_43_has_other_names_of_keys_narrower_types_and_parts(key, value, refused):
    partials = (schema.Partial("tls", '{mapping, "depth", "depth", [{datatype, byte}]}.'),)
    (its,) = [entry for entry in schema.parse(OF_43, partials) if entry.admits(key)]
    assert its.refuses(value) == refused


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
    before = observed(step, "root\trabbitmq\t644\t/a\n")
    change = step.diff(before)
    assert [action.argv for action in change.actions] == [
        ("chown", "--no-dereference", "rabbitmq:rabbitmq", "--", "/a"),
        ("chmod", "400", "--", "/a"),
    ]
    after = observed(step, "rabbitmq\trabbitmq\t400\t/a\n")
    assert step.diff(after).empty
    back = change.inverse.diff(observed(change.inverse, "rabbitmq\trabbitmq\t400\t/a\n"))
    assert [action.argv[1:3] for action in back.actions] == [("--no-dereference", "root:rabbitmq"), ("644", "--")]
    assert step.key == "access:/a"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes links that belong to somebody else")
def test_rights_are_left_alone_where_somebody_else_lets_the_way_lead_elsewhere(tmp_path):
    for name in ("theirs", "ours", "straight"):
        (tmp_path / f"{name}.real").mkdir()
        (tmp_path / f"{name}.real/a").touch(0o644)
        (tmp_path / name).symlink_to(f"{name}.real")
    os.chown(tmp_path / "theirs", 65534, 65534, follow_symlinks=False)
    (tmp_path / "b").symlink_to("straight.real/a")
    os.chown(tmp_path / "b", 65534, 65534, follow_symlinks=False)
    paths = [tmp_path / name for name in ("theirs/a", "ours/a", "straight.real/a", "b")]
    step = Access(tuple(Right(str(path), "root", "root", 0o600) for path in paths))
    assert [right.there for right in observe(step, LocalHost()).rights] == [False, True, True, False]


def test_an_older_inverse_of_rights_wins_over_a_newer():
    older, newer = Access(rights()[:1]), Access(rights("other"))
    assert older.absorb(newer).rights == (rights()[0], rights()[1])
