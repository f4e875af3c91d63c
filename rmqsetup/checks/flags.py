"""Which flags Erlang's emulator takes, and with which values. Pure: words in, what is wrong with them out.

Where a machine says which flags it hands over belongs to `configuration`.
"""

from __future__ import annotations

import re
import shlex

PLUS = re.compile(
    r"\+(?:a|A|B[cdi]?|c|C|d|dcg|D\w*|e|ec|fn[ula][wie]?|h(?:ms|mbs|pds|mqd|max\w*)|i|IO\w+|J\w+|K|l|L|M\w+|p(?:ad|c)"
    r"|P|Q|r|R|s\w+|S\w*|t|T|v|V|W[wie]?|z\w+)[\d:.]*"
)
"""The emulator's flags that begin with a plus, in OTP 23 to 29 (manual page of erl), a number perhaps joined on."""

RANGES = {
    "+P": (1024, 134_217_727),
    "+Q": (1024, 134_217_727),
    "+A": (1, 1024),
    "+t": (8192, 2_147_483_647),
    "+zdbbl": (1, 2_097_151),
}
"""The least and the most of what has a number, as erl(1) has them; outside of it nothing starts."""

BINDINGS = ("u", "ns", "ts", "ps", "s", "nnts", "nnps", "tnnps", "db")
"""How schedulers can be bound to processors (+stbt)."""

VARIABLES = {
    "MAX_NUMBER_OF_PROCESSES": "+P",
    "MAX_NUMBER_OF_ATOMS": "+t",
    "DISTRIBUTION_BUFFER_SIZE": "+zdbbl",
    "SCHEDULER_BIND_TYPE": "+stbt",
}
"""Variables of RabbitMQ's that become the value of a flag."""


def fault(variable: str, value: str) -> str:
    """Say what is wrong with the flags that a variable hands to Erlang, empty where nothing is."""
    if variable in VARIABLES:
        return _value_fault(VARIABLES[variable], value)
    try:
        words = shlex.split(value)
    except ValueError:
        return ""
    for word, after in zip(words, (*words[1:], ""), strict=True):
        if word.startswith("+") and not PLUS.fullmatch(word):
            return f"Erlang has no flag {word}"
        if found := _value_fault(word, after):
            return found
    return ""


def interface(value: str) -> str:
    """Return the address on which flags let the node listen for other nodes, empty where they name none."""
    found = re.search(r"inet_dist_use_interface[\s'\"]*\{(\d+),\s*(\d+),\s*(\d+),\s*(\d+)\}", value)
    return ".".join(found.groups()) if found else ""


def cookie(value: str) -> bool:
    """Tell whether flags give the node another cookie than the one in its file."""
    return bool(re.search(r"(?:^|\s)-setcookie\s", value))


def _value_fault(flag: str, value: str) -> str:
    if flag == "+stbt" and value not in BINDINGS:
        return f"{flag} takes one of {', '.join(BINDINGS)}, and not {value or 'nothing'}"
    least, most = RANGES.get(flag, (0, 0))
    if most and not (value.isdigit() and least <= int(value) <= most):
        return f"{flag} takes a number from {least:,} to {most:,}, and not {value or 'nothing'}"
    return ""
