"""What went wrong, in the user's words; one class per exit code.

An error never prints itself: `cli` does, once, for all of them.
"""

from __future__ import annotations

from typing import ClassVar

SOMETHING_TO_DO = 10
"""Exit code of `plan` and friends when there is something to do or to report."""

INTERRUPTED = 130
"""Exit code after ctrl-C."""


class RmqsetupError(Exception):
    """Something could not be done.

    `message` says what, in the user's words; `cause` why (the last lines of the failing
    command, for instance); `looked_at` what was looked at; `hint` what to type next.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        cause: str = "",
        hint: str = "",
        looked_at: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.looked_at = looked_at

    def __str__(self) -> str:
        """Return all that helps who sees no more than a traceback."""
        return "\n".join(filter(None, (self.message, self.cause, self.hint and f"hint: {self.hint}")))


class UsageError(RmqsetupError):
    """The request itself is wrong: an option, a recipe, a version that is none."""

    code = "usage"
    exit_code = 2


class UnsupportedError(RmqsetupError):
    """The machine, or the wish on this machine, is not supported; the hint says what would be."""

    code = "unsupported"
    exit_code = 3


class NetworkError(RmqsetupError):
    """A source did not answer, or not with what was asked for."""

    code = "network"
    exit_code = 4


class TrustError(RmqsetupError):
    """A key, signature, fingerprint or digest is not the expected one. Nothing falls back from here."""

    code = "trust"
    exit_code = 5


class ManagerError(RmqsetupError):
    """The package manager refused or failed."""

    code = "manager"
    exit_code = 6


class NotConvergedError(RmqsetupError):
    """A step was carried out and the machine still is not as wished."""

    code = "not-converged"
    exit_code = 7


class BrokerNotReadyError(RmqsetupError):
    """Everything is installed, and the broker does not do its work."""

    code = "broker-not-ready"
    exit_code = 8


class ConflictError(RmqsetupError):
    """Somebody changed it since, or another rmqsetup is at work; nothing was overwritten."""

    code = "conflict"
    exit_code = 9


class StoppedError(RmqsetupError):
    """The user stopped it: by ctrl-C, or by answering no."""

    code = "stopped"
    exit_code = INTERRUPTED


FAMILIES: tuple[type[RmqsetupError], ...] = (
    RmqsetupError,
    UsageError,
    UnsupportedError,
    NetworkError,
    TrustError,
    ManagerError,
    NotConvergedError,
    BrokerNotReadyError,
    ConflictError,
    StoppedError,
)
"""Every family, in the order of exit codes; the reference in the docs is made from it."""
