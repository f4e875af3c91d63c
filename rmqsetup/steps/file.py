"""A file with its content, mode and owner, or no file at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Action, Answer, FileState, Look, Read, Remove, Result, Write
from rmqsetup.steps import Change, Phase

KEPT = ".rmqsetup.save"
"""Ending of the copy of somebody else's version, beside ours. apt ignores files that end in `.save`."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as wished: `content` None means that there is none.

    A secret travels by reference: `source` is a file on this machine whose bytes have the sha256 `digest`;
    `content` stays None then. `expect` are digests of what was written by us, and may be replaced without
    a copy. An empty `owner` or `group` is whoever's it becomes. `directories` exist only for this file and go
    with it once empty, innermost first.
    With `copied` the content stands beside the file as well, since we put a copy there: it goes when this is written.
    `early` files steer the package manager, so that even their removal comes before packages.
    """

    path: str
    content: bytes | None = None
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    source: str = ""
    digest: str = ""
    secret: bool = False
    expect: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    early: bool = False
    copied: bool = False

    @property
    def key(self) -> str:
        """The path is what a file is about."""
        return f"file:{self.path}"

    @property
    def exists(self) -> bool:
        """Whether there is to be a file."""
        return self.content is not None or bool(self.digest)

    @property
    def phase(self) -> Phase:
        """Write before packages (after them when a package makes the owner), remove after them."""
        if not self.exists:
            return Phase.WRITE if self.early else Phase.REMOVE
        return Phase.WRITE if self.early or {self.owner, self.group} <= {"root", ""} else Phase.OWNED

    def query(self) -> tuple[Look, ...]:
        """Look at the file, and at our copy of it where that is to go."""
        return (Read(self.path), Read(self.path + KEPT)) if self.copied else (Read(self.path),)

    def observe(self, answers: tuple[Answer, ...]) -> File:
        """Return the file as it is; one that may not be read has the digest `unreadable`."""
        state, copy = answers[0], answers[1] if len(answers) > 1 else None
        copied = isinstance(copy, FileState) and sha256(copy.content or b"") == self.wanted_digest
        if not isinstance(state, FileState):
            return replace(self, content=None, source="", digest="", copied=copied)
        digest = "unreadable" if state.content is None else sha256(state.content)
        return replace(
            self,
            content=state.content,
            mode=state.mode,
            owner=state.owner,
            group=state.group,
            source="",
            digest=digest,
            copied=copied,
        )

    def diff(self, observed: File) -> Change:
        """Write or remove; what somebody else wrote there is kept beside as `PATH.rmqsetup.save`."""
        spare = (Remove(self.path + KEPT),) if self.copied and observed.copied else ()
        if self._same(observed):
            return Change(spare, words=f"remove {self.path}{KEPT}") if spare else Change()
        kept = self._keep(observed)
        inverse = replace(
            observed,
            expect=(self.wanted_digest,) if self.exists else (),
            directories=self.directories,
            secret=self.secret or observed.secret,
            copied=bool(kept),
        )
        action: Action = Remove(self.path, self.directories)
        if self.exists:
            action = Write(self.path, self.content or b"", self.mode, self.owner, self.group, self.source)
        verb = ("change" if observed.exists else "write") if self.exists else "remove"
        conflict = f"{self.path} was edited by somebody else: their version stays as {self.path}{KEPT}" if kept else ""
        return Change((*kept, action, *(() if kept else spare)), inverse, f"{verb} {self.path}", conflict=conflict)

    def explain(self, result: Result) -> RmqsetupError:
        """Never needed: a file is written without commands."""
        return RmqsetupError(f"{self.path} could not be written", cause=result.tail())

    def absorb(self, newer: File) -> File:
        """Go back to the older state over what the later change wrote."""
        return replace(self, expect=tuple(dict.fromkeys((*self.expect, *newer.expect))))

    @property
    def wanted_digest(self) -> str:
        """The sha256 of the content that is wished for."""
        return self.digest or sha256(self.content or b"")

    def _same(self, observed: File) -> bool:
        if not self.exists or not observed.exists:
            return self.exists == observed.exists
        mine = (self.wanted_digest, self.mode, self.owner or observed.owner, self.group or observed.group)
        return mine == (observed.digest, observed.mode, observed.owner, observed.group)

    def _keep(self, observed: File) -> tuple[Write, ...]:
        """Return what saves a version that neither we wrote nor is as wished."""
        known = (*self.expect, *((self.wanted_digest,) if self.exists else ()))
        if not observed.exists or not observed.content or observed.digest in known:
            return ()
        if not self.expect and not self.exists:
            return ()  # a removal that the plan asks for by name; the journal has the content
        return (Write(self.path + KEPT, observed.content, 0o600),)


def sha256(content: bytes) -> str:
    """Return the sha256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()
