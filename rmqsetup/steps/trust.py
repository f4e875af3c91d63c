"""A key that rpm trusts to have signed packages, or does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Answer, Look, Result
from rmqsetup.managers import rpm
from rmqsetup.steps import Change, Phase


@dataclass(frozen=True, slots=True)
class Trust:
    """A signing key by its full fingerprint; `path` is the file it is in.

    dnf would import it by itself on the way, zypper would ask; nobody would take it out again. `names` are observed
    only: what rpm calls the key.
    """

    fingerprint: str
    path: str
    trusted: bool = True
    lock_timeout: int = 120
    names: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The fingerprint is what it is about."""
        return f"trust:{self.fingerprint}"

    @property
    def phase(self) -> Phase:
        """Before packages, behind the file it is in."""
        return Phase.WRITE

    def query(self) -> tuple[Look, ...]:
        """Ask rpm for the keys it trusts."""
        return (rpm.TRUSTED,)

    def observe(self, answers: tuple[Answer, ...]) -> Trust:
        """Return whether the key is trusted."""
        said = answers[0].stdout if isinstance(answers[0], Result) else ""
        names = rpm.names_of_key(self.fingerprint, said)
        return replace(self, trusted=bool(names), names=names)

    def diff(self, observed: Trust) -> Change:
        """Import the key from its file, or take it out of rpm's database."""
        if self.trusted == observed.trusted:
            return Change()
        inverse = replace(self, trusted=observed.trusted, names=())
        command = rpm.trust(self.path) if self.trusted else rpm.distrust(observed.names)
        words = f"{'trust' if self.trusted else 'no longer trust'} the key {self.fingerprint}"
        return Change((command,), inverse, words)

    def explain(self, result: Result) -> RmqsetupError:
        """Say why rpm did not take the key, or did not let it go."""
        return rpm.explain_trust(result)

    def absorb(self, newer: Trust) -> Trust:  # noqa: ARG002 - the older state is what to go back to
        """Go back to the older state."""
        return self
