"""A service that runs, or does not, and starts at boot, or does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Action, Answer, Command, FileState, Look, Read, Result
from rmqsetup.services import ServiceManager, service_manager
from rmqsetup.steps import Change, Phase


@dataclass(frozen=True, slots=True)
class Service:
    """A service as wished; None means as it is.

    `newer_than` are files: a service that started before one of them was written is restarted. State,
    not events: it does not matter who wrote them, or in which run. With `if_known` nothing is wished of a
    service that its manager does not know: an undo takes the package away first, and its service with it.
    `known`, `since` (seconds since the epoch), `stale`, `failed` and `outdated` are observed only. `prefix` is where a
    service manager that is not the system's lives.
    """

    manager: str
    name: str
    enabled: bool | None = True
    running: bool | None = True
    newer_than: tuple[str, ...] = ()
    if_known: bool = False
    known: bool = True
    since: float = 0.0
    stale: bool = False
    failed: bool = False
    outdated: str = ""
    prefix: str = ""

    @property
    def key(self) -> str:
        """The name is what a service is about."""
        return f"service:{self.name}"

    @property
    def phase(self) -> Phase:
        """Stop before everything, start after everything."""
        return Phase.STOP if self.running is False else Phase.START

    def query(self) -> tuple[Look, ...]:
        """Look at the service and at the files it is to be newer than."""
        return (self._manager.show(self.name), *(Read(path) for path in self.newer_than))

    def observe(self, answers: tuple[Answer, ...]) -> Service:
        """Return the service as it is; `outdated` is the first file that is newer than it."""
        state = self._manager.parse(answers[0].stdout if isinstance(answers[0], Result) else "")
        files = zip(self.newer_than, answers[1:], strict=True)
        newer = [path for path, file in files if isinstance(file, FileState) and int(file.modified) > state.since]
        return replace(
            self,
            enabled=state.enabled,
            running=state.running,
            known=state.known,
            since=state.since,
            stale=state.stale,
            failed=state.failed,
            outdated=newer[0] if newer and state.running else "",
        )

    def diff(self, observed: Service) -> Change:
        """Enable, then start; or stop, then disable. A start is one boot of the node, never two."""
        manager, actions, words = self._manager, list[Action](), list[str]()
        if self.if_known and not observed.known:
            return Change()
        turn = self._turn(observed)
        if observed.stale and turn != "stop":
            actions += manager.reload()
        if self.enabled and observed.enabled is False:
            actions += manager.enable(self.name)
            words.append("enable")
        if turn in ("start", "restart") and (observed.since or observed.failed):  # too many starts, and one is refused
            actions += manager.forget(self.name)
        if turn:
            actions += self._turning(turn)
            words.append(turn)
        elif self.running is False and observed.failed:
            actions += manager.forget(self.name)
            words.append("forget the failure of")
        if self.enabled is False and (observed.enabled or not observed.known):  # a package will enable its service
            actions += manager.disable(self.name)
            words.append("disable")
        if not words:
            return Change()
        inverse = replace(  # only of what changes: a package may have enabled its service before we came
            self.back_to(observed),
            enabled=observed.enabled if {"enable", "disable"} & set(words) else None,
            running=observed.running if turn else None,
        )
        warning = "the running broker restarts: its connections drop" if turn == "restart" else ""
        return Change(tuple(actions), inverse, f"{' and '.join(words)} {self.name}", (), warning)

    def back_to(self, observed: Service) -> Service:
        """Return the wish to have it run, or not, as it was observed; whether it starts at boot is left alone."""
        return replace(self, enabled=None, running=observed.running, if_known=True)

    def aged(self, changed: tuple[str, ...]) -> Service:
        """As an observation, make it older than those of its files that were `changed`, or are about to be.

        What is on disk tells of a file that was written, and not of one that was removed.
        """
        newer = [path for path in self.newer_than if path in changed]
        return replace(self, outdated=self.outdated or newer[0]) if newer and self.running else self

    def explain(self, result: Result) -> RmqsetupError:
        """Say which service would not do what, and where its own words are."""
        return self._manager.explain(self.name, result)

    def absorb(self, newer: Service) -> Service:
        """Go back to the older state; what the later change left alone stays with it."""
        enabled = newer.enabled if self.enabled is None else self.enabled
        return replace(self, enabled=enabled, running=newer.running if self.running is None else self.running)

    @property
    def _manager(self) -> ServiceManager:
        return service_manager(self.manager, self.prefix)

    def _turn(self, observed: Service) -> str:
        if self.running and not observed.running:
            return "start"
        if self.running and observed.outdated:
            return "restart"
        return "stop" if self.running is False and observed.running else ""

    def _turning(self, turn: str) -> tuple[Command, ...]:
        if turn == "restart":
            return self._manager.restart(self.name)
        return ((self._manager.start if turn == "start" else self._manager.stop)(self.name),)
