"""Erlang terms: what is encoded comes back, what nodes said is understood, and no bytes do harm."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probing import FAULTS, VERSIONS, record, refuses_only_with

from rmqsetup.probes.terms import Atom, Improper, Map, Opaque, TermError, decode, decode_first, encode, text

leaves = st.one_of(
    st.text(max_size=20).map(Atom),
    st.integers(),
    st.integers(-(2**3000), 2**3000),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
)
terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.lists(st.tuples(inner, inner), max_size=3).map(lambda pairs: Map(tuple(pairs))),
        st.tuples(inner, st.binary(max_size=3)).map(lambda both: Improper((both[0],), both[1])),
    ),
    max_leaves=20,
)
everything_recorded = [
    data for version in VERSIONS for fault in FAULTS for data in record(version).answers(fault).values()
]


@given(terms)
def test_what_is_encoded_comes_back(term):
    assert decode(encode(term)) == term


@given(terms)
def test_compressed_terms_come_back(term):
    plain = encode(term)[1:]
    assert decode(b"\x83P" + struct.pack(">I", len(plain)) + zlib.compress(plain)) == term


@pytest.mark.parametrize("said", [0, 1, 1 << 31])
def test_a_compressed_term_grows_no_further_than_it_says(said):
    bomb = b"\x83P" + struct.pack(">I", said) + zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(TermError):
        decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_term_or_a_term_error(data):
    refuses_only_with(TermError, decode, data)
    refuses_only_with(TermError, decode, b"\x83" + data)


@given(st.data())
def test_damaged_answers_are_a_term_or_a_term_error(data):
    genuine = bytearray(data.draw(st.sampled_from(everything_recorded)))
    for _ in range(data.draw(st.integers(1, 4))):
        genuine[data.draw(st.integers(0, len(genuine) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(genuine[: data.draw(st.integers(0, len(genuine)))])
    refuses_only_with(TermError, decode, bytes(genuine))
    refuses_only_with(TermError, decode, cut)


def test_everything_nodes_said_is_understood_and_goes_back_the_same():
    for data in everything_recorded:
        assert decode(encode(decode(data))) == decode(data)
        _, rest = decode_first(data + b"more")
        assert rest == b"more"


def test_kinds_we_do_not_need_are_kept_as_they_are():
    node = b"w\x06a@host"
    opaque = {
        "pid": b"X" + node + bytes(12),
        "old pid": b"g" + node + bytes(9),
        "port": b"Y" + node + bytes(8),
        "old port": b"f" + node + bytes(5),
        "new port": b"x" + node + bytes(12),
        "reference": b"Z\0\x02" + node + bytes(4 + 8),
        "old reference": b"e" + node + bytes(5),
        "new reference": b"r\0\x01" + node + bytes(1 + 4),
        "fun": b"p\0\0\0\x08" + bytes(4),
        "old fun": b"u\0\0\0\x01" + b"g" + node + bytes(9) + b"w\x01m" + b"a\x01" + b"a\x02" + b"a\x03",
        "export": b"qw\x01mw\x01fa\x02",
        "bits": b"M\0\0\0\x01\x03\xe0",
    }
    for kind, raw in opaque.items():
        assert decode(b"\x83" + raw) == Opaque(raw), kind
        around = b"\x83h\x02" + raw + b"a\x07"
        assert decode(around) == (Opaque(raw), 7), kind
        assert encode(decode(around)) == around, kind


def test_forms_of_old_nodes_are_understood():
    assert decode(b"\x83d\0\x02ok") == Atom("ok")
    assert decode(b"\x83s\x02ok") == Atom("ok")
    assert decode(b"\x83k\0\x02hi") == [104, 105]
    assert decode(b"\x83c" + b"1.50000000000000000000e+00".ljust(31, b"\0")) == 1.5
    assert decode(b"\x83F" + struct.pack(">d", 0.25)) == 0.25


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82a\x01",
        b"\x83",
        b"\x83\xff",
        b"\x83a\x01more",
        b"\x83" + b"l\0\0\0\x01" * 5000,
        b"\x83l\xff\xff\xff\xffj",
        b"\x83i\xff\xff\xff\xffj",
        b"\x83t\xff\xff\xff\xffj",
        b"\x83P\xff\xff\xff\xff" + zlib.compress(b"j"),
        b"\x83P\0\0\0\x09" + zlib.compress(b"j"),
        b"\x83p\0\0\0\0",
        b"\x83w\x02\xff\xff",
        b"\x83c" + b"x" * 31,
    ],
)
def test_what_is_no_term_is_a_term_error(data):
    with pytest.raises(TermError):
        decode(data)


def test_texts():
    assert text(Atom("a")) == text(b"a") == text([97]) == "a"
    assert text(b"\xc3\xa9") == "é"
    for no_text in (1, (1,), [-1], [1 << 40]):
        with pytest.raises(TermError):
            text(no_text)


def test_what_cannot_be_a_term_is_a_term_error():
    endless: list = []
    endless.append(endless)
    for value in (object(), Atom("x" * 256), endless):
        with pytest.raises(TermError):
            encode(value)
    assert decode(encode([True, False])) == [Atom("true"), Atom("false")]
