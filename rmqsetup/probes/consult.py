"""Erlang terms as they stand in files: `enabled_plugins`, `advanced.config`, the flags of a node, `.app` files.

What nodes send each other is in `terms`; what a file ought to say belongs to `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rmqsetup.probes.terms import MAX_DEPTH, Atom, Map, Opaque, Term


class ConsultError(ValueError):
    """A file that Erlang would not read; `line` is where, from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"{message}, line {line}")
        self.line = line


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


_TOKENS = re.compile(
    r"""(?P<blank>\s+|%[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<quoted>'(?:[^'\\]|\\.)*')
    |(?P<char>\$(?:\\.|[^\\]))
    |(?P<float>-?\d[\d_]*\.\d+(?:[eE][+-]?\d+)?)
    |(?P<based>-?\d{1,2}\#[0-9A-Za-z]+)
    |(?P<int>-?\d[\d_]*)
    |(?P<fun>fun\s+[\w']+:[\w']+/\d+)
    |(?P<atom>[a-z][\w@]*)
    |(?P<arrow>=>)
    |(?P<open>\#\{|<<|[\[{])
    |(?P<close>>>|[\]}])
    |(?P<sign>[,|/:])
    |(?P<stop>\.(?=\s|%|$))""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"[": "]", "{": "}", "#{": "}", "<<": ">>"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "e": "\x1b", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def consult(text: str) -> tuple[Term, ...]:
    """Return the terms of a file, each ended by a full stop, as `file:consult/1` does. Raises `ConsultError`.

    Strings are bytes, as binaries are.
    """
    reader = _Reader(tuple(_tokens(text)), text.count("\n") + 1)
    found = []
    while reader.left:
        found.append(reader.term())
        reader.take("stop", "a full stop is missing")
    return tuple(found)


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKENS.match(text, at)
        if not found:
            raise ConsultError(f"there is no term that goes on with {text[at : at + 10].split(maxsplit=1)[0]!r}", line)
        if found.lastgroup != "blank":
            yield _Token(str(found.lastgroup), found[0], line)
        line += found[0].count("\n")
        at = found.end()


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: tuple[_Token, ...], last: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._last = last
        self._depth = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._tokens)

    def next(self, what: str) -> _Token:
        if not self.left:
            raise ConsultError(what, self._tokens[-1].line if self._tokens else self._last)
        self._at += 1
        return self._tokens[self._at - 1]

    def take(self, kind: str, what: str, text: str = "") -> None:
        token = self.next(what)
        if token.kind != kind or (text and token.text != text):
            before = self._tokens[self._at - 2].line if self._at > 1 else token.line
            raise ConsultError(what, before)

    def peek(self, text: str) -> bool:
        return self.left and self._tokens[self._at].text == text

    def term(self) -> Term:
        token = self.next("the file ends in the middle of a term")
        if token.kind == "open":
            return self._compound(token)
        value = _plain(token)
        if value is None:
            raise ConsultError(f"a term is expected before {token.text[:40]!r}", token.line)
        while isinstance(value, bytes) and self.left and self._tokens[self._at].kind == "string":
            value += _unescaped(self.next("").text[1:-1]).encode()
        return value

    def _compound(self, opening: _Token) -> Term:
        closing, items = _CLOSING[opening.text], list[Term]()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConsultError("terms are nested too deeply", opening.line)
        while not self.peek(closing):
            if items:
                self._separator(opening)
            items.append(self._item(opening))
        self.next("")
        self._depth -= 1
        if opening.text == "[":
            return items
        if opening.text == "<<":
            return b"".join(item for item in items if isinstance(item, bytes))
        pairs = tuple(item for item in items if isinstance(item, tuple))
        return Map(tuple((pair[0], pair[1]) for pair in pairs)) if opening.text == "#{" else tuple(items)

    def _separator(self, opening: _Token) -> None:
        if opening.text == "[" and self.peek("|"):
            self.next("")
        else:
            what = f"a comma is missing, or the {opening.text} of line {opening.line} is not closed"
            self.take("sign", what, ",")

    def _item(self, opening: _Token) -> Term:
        value = self.term()
        if opening.text == "#{":
            self.take("arrow", "a map needs =>")
            return (value, self.term())
        while opening.text == "<<" and (self.peek("/") or self.peek(":")):
            self.next("")
            self.term()
        return value


def _plain(token: _Token) -> Term | None:
    """Return the value of a token that is a term by itself."""
    text = token.text
    if token.kind in ("string", "quoted"):
        inside = _unescaped(text[1:-1])
        return Atom(inside) if token.kind == "quoted" else inside.encode()
    if token.kind == "based":
        base, _, digits = text.partition("#")
        try:
            return int(digits, abs(int(base)))
        except ValueError:
            return None
    makers: dict[str, Callable[[str], Term]] = {
        "atom": Atom,
        "int": lambda text: int(text.replace("_", "")),
        "float": lambda text: float(text.replace("_", "")),
        "char": lambda text: ord(_unescaped(text[1:])[:1] or "\0"),
        "fun": lambda text: Opaque(text.encode()),
    }
    try:
        return makers[token.kind](text) if token.kind in makers else None
    except ValueError:  # more digits than Python reads
        return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
