"""Texts without the secrets in them, in the forms that RabbitMQ, its logs and shells write: for screens and bundles."""

from __future__ import annotations

import re

REMOVED = "(removed)"

_NAMED = (
    r"[\w.\-']{0,80}(?:pass(?:word|wd|phrase)?|secret|token|credential|cookie|api_?key|private_?key|auth_?key)[\w.\-']*"
)
_TEXT = r"(?:<<)?\"(?:[^\"\\]|\\.)*\"(?:/utf8)?(?:>>)?"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), REMOVED),
    (re.compile(r"(?<=://)[^/\s\"'>]+@"), f"{REMOVED}@"),
    (re.compile(rf"(\"{_NAMED}\"\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"|[^,}}\s]+)", re.IGNORECASE), rf'\1"{REMOVED}"'),
    (re.compile(rf"(\b{_NAMED}\s*=>\s*)(?:{_TEXT}|[^,}}\s]+)", re.IGNORECASE), rf'\1"{REMOVED}"'),
    (re.compile(rf"(\{{\s*{_NAMED}\s*,\s*){_TEXT}", re.IGNORECASE), rf'\1"{REMOVED}"'),
    (re.compile(rf"(\{{\s*{_NAMED}\s*,)(?:\s*\{{[^{{}}]*\}}|[^{{}}]*)", re.IGNORECASE), rf'\1"{REMOVED}"'),
    (re.compile(r"(\{\s*(?:dn_lookup_bind|other_bind)\s*,\s*)\{[^{}]*"), rf'\1{{"{REMOVED}"'),
    (re.compile(rf"^(\s*(?:export\s+)?{_NAMED}\s*=(?!>)\s*).+$", re.IGNORECASE | re.MULTILINE), rf"\1{REMOVED}"),
    (re.compile(rf"([\"'])({_NAMED}=)(?:(?!\1).)+", re.IGNORECASE), rf"\1\2{REMOVED}"),
    (re.compile(r"(-setcookie\s+)[^\s\"']+"), rf"\1{REMOVED}"),
    (re.compile(r"((?:basic|bearer)\s+)[A-Za-z0-9+/=._-]{8,}", re.IGNORECASE), rf"\1{REMOVED}"),
    (re.compile(rf"\b({_NAMED})(\s?=(?!>)\s?|:\s?)[^\s\"']+", re.IGNORECASE), rf"\1\2{REMOVED}"),
)
"""Where secrets stand: key blocks, addresses, JSON, Erlang maps and tuples (LDAP's among them, which name no password),
settings, what a shell or systemd has in quotes, options, headers, and what logs quote."""


def redacted(text: str) -> str:
    """Return a text with everything taken out that looks like a secret."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
