"""Versions as RPM packages of RabbitMQ and Erlang have them, and how rpm is asked for their order."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=5).map(lambda found: ".".join(map(str, found)))
VERSIONS = st.builds(
    lambda epoch, numbers, pre, release, dist: f"{epoch}{numbers}{pre}-{release}.{dist}",
    st.sampled_from(["", "", "", "0:", "1:"]),
    NUMBERS,
    st.sampled_from(["", "", "", "~rc.1", "~rc.2", "~beta.3", "~alpha.10"]),
    st.integers(1, 12),
    st.sampled_from(["el8", "el9", "el10", "fc43", "fc44", "amzn2023", "suse"]),
)
"""What upstream and the distributions write. On any text at all, Debian's order and rpm's are two orders."""


def question(pairs: list[tuple[str, str]]) -> str:
    """Return what `rpm --eval` is to be asked: it prints -1, 0 or 1 for each pair, one per line."""
    lines = (f'print(rpm.vercmp("{one}", "{two}") .. "\\n")' for one, two in pairs)
    return f"%{{lua:{' '.join(lines)}}}"


def ours(one, two) -> int:
    """Return the same of two values that can be compared."""
    return (one > two) - (one < two)
