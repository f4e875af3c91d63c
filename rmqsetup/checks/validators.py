"""What the validators of a schema refuse of a value whose type is right. Pure.

Those that look at files belong to `values` and `certificates`, which say more about them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

RANGES = {
    "non_negative_integer": (0, 0),
    "non_zero_positive_integer": (1, 0),
    "byte": (0, 255),
    "port": (1, 65534),
    "positive_16_bit_unsigned_integer": (1, 65535),
    "positive_32_bit_unsigned_integer": (1, 2**32 - 1),
    "max_message_size": (1, 512 * 1024**2),
}
"""The least and the most that a whole number may be, 0 for no most; by the names that 3.10 to 4.3 have."""


def refuses(name: str, value: str) -> str:
    """Say what a value ought to be by a validator of that name, where it surely is not."""
    if name in RANGES and re.fullmatch(r"[+-]?\d+", value):
        least, most = RANGES[name]
        fits = least <= int(value) <= (most or int(value))
        return "" if fits else f"a whole number from {least:,} " + (f"to {most:,}" if most else "on")
    if name == "less_than_1" and re.fullmatch(r"[+-]?\d+(?:\.\d+)?", value):
        return "" if 0 < float(value) < 1 else "more than 0 and less than 1"
    if name == "https_uri":
        return "" if value.startswith("https://") else "an address that begins with https://"
    return _address(value) if name == "is_ip" else ""


def _address(value: str) -> str:
    if re.fullmatch(r"[\d.]+", value):
        return ""  # Erlang also takes the short forms of old
    try:
        ip_address(value.partition("%")[0])
    except ValueError:
        return "an address, and no name"
    return ""
