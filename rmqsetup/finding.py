"""What a check has to say; how findings are shown belongs to `show`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad a finding is. `CRASH` is a check that broke, never a traceback."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation worth telling, with what shows it, why, and what to type next."""

    check: str
    severity: Severity
    summary: str
    evidence: tuple[str, ...] = ()
    cause: str = ""
    hint: str = ""
