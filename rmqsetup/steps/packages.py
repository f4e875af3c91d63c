"""Packages that are there at their versions, or are not; held, or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from rmqsetup.errors import ManagerError, RmqsetupError, TrustError
from rmqsetup.host import Action, Answer, FileState, Look, Read, Result
from rmqsetup.managers import Deed, Manager, Operation, Package, Present, State, Transaction, Wish, manager
from rmqsetup.steps import Change, Phase
from rmqsetup.version import Version


@dataclass(frozen=True, slots=True)
class Packages:
    """Packages as wished: `want` are there, `absent` are not, `hold` are kept at their versions.

    `hold`, `release` and `family` are names or patterns (`erlang-*`). Packages of the `family` may come from
    `origins` only (empty: anywhere), whose repositories are at `uris`; those of `want` that come with a version must be
    signed by one of `signers` (empty: by anybody), where the manager tells. `ours` are holds we may lift, `removable`
    packages that may go. `keep` are directories that a purge must not delete, `hold_back` the service whose start
    is refused meanwhile.
    With `survey` the first look is at what is installed, and the indices are fetched before anything is
    installed; without it the transaction is simulated and checked. `present`, `interrupted`, `unsettled` and
    `transaction` are observed only. `prefix` is where a manager that is not the system's lives.
    """

    manager: str
    want: tuple[Package, ...] = ()
    absent: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    removable: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    hold_back: str = ""
    recommends: bool = True
    downgrade: bool = False
    lock_timeout: int = 120
    survey: bool = True
    present: tuple[Present, ...] = ()
    interrupted: bool = False
    unsettled: bool = False
    transaction: Transaction | None = None
    prefix: str = ""

    @property
    def key(self) -> str:
        """All packages of one manager are one thing: one transaction."""
        return f"packages:{self.manager}"

    @property
    def phase(self) -> Phase:
        """After the files that steer it, before the service starts."""
        return Phase.PACKAGES

    def query(self) -> tuple[Look, ...]:
        """List what is installed, and simulate the transaction once it is known."""
        looks: tuple[Look, ...] = (self._manager.list_command(), *map(Read, self._traces))
        return looks if self.survey else (*looks, self._manager.simulate(self.wish()))

    def observe(self, answers: tuple[Answer, ...]) -> Packages:
        """Return the packages as they are."""
        results = [answer for answer in answers if isinstance(answer, Result)]
        files = zip(self._traces, answers[1:], strict=False)
        traces = [path for path, file in files if isinstance(file, FileState)]
        present = self._manager.parse_list(results[0].stdout)
        installed = {p.name: p.version for p in present if p.state is State.INSTALLED}
        known = {p.name for p in present}
        return replace(
            self,
            want=tuple(Package(p.name, installed[p.name]) for p in self.want if p.name in installed),
            absent=tuple(name for name in self.absent if name not in known),
            hold=tuple(p.name for p in present if p.held),
            present=present,
            interrupted=bool(traces) or any(p.state is State.BROKEN for p in present),
            unsettled=self._manager.note in traces,
            transaction=self._manager.parse_simulation(results[1]) if len(results) > 1 else None,
        )

    def diff(self, observed: Packages) -> Change:
        """Install and purge in one transaction, then hold and release.

        Raises `TrustError` when a package would come from elsewhere than resolved, `ManagerError` when the
        transaction is impossible or would remove what the plan does not name.
        """
        missing = tuple(p for p in self.want if not _there(p, observed.want))
        gone = tuple(name for name in self.absent if name not in observed.absent)
        if not missing and not gone:
            self._refuse_strangers(observed)
            return self._settle() if observed.unsettled else self._marks(observed)
        leading = sorted(gone, key=lambda name: not _matches(name, (self.hold_back, *self.family)))
        phrases = (_phrase("install", map(str, missing)), _phrase("purge", tuple(leading)))
        words = " and ".join(filter(None, phrases))
        if self.survey:
            step = replace(self, absent=gone, survey=False)
            preparation = self._prepare(observed, installs=bool(missing))
            return Change(preparation, None, words, gone, then=step, disturbs=self.hold_back)
        self._refuse(observed)
        return self._transact(observed, gone, words)

    def explain(self, result: Result) -> RmqsetupError:
        """Turn a failed command of this step into an error of the right family."""
        return self._manager.explain(result, self.uris)

    def absorb(self, newer: Packages) -> Packages:
        """Combine two inverses: back over a later change and over this earlier one, in one transaction."""
        absent = tuple(dict.fromkeys((*self.absent, *newer.absent)))
        old = {p.name for p in self.want}
        want = (*self.want, *(p for p in newer.want if p.name not in old and p.name not in absent))
        hold = tuple(name for name in dict.fromkeys((*newer.hold, *self.hold)) if name not in (*absent, *self.release))
        release = tuple(name for name in dict.fromkeys((*newer.release, *self.release)) if name not in (*absent, *hold))
        return replace(self, want=want, absent=absent, hold=hold, release=release)

    @property
    def _manager(self) -> Manager:
        return manager(self.manager, self.prefix)

    @property
    def _traces(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, (self._manager.unfinished, self._manager.note))))

    def wish(self) -> Wish:
        """Return what the manager is asked for."""
        return Wish(
            install=self.want,
            purge=self.absent,
            hold_back=self.hold_back,
            keep=self.keep,
            recommends=self.recommends,
            downgrade=self.downgrade,
            lock_timeout=self.lock_timeout,
        )

    def _prepare(self, observed: Packages, *, installs: bool) -> tuple[Action, ...]:
        """Return what comes before the simulation: mending what was interrupted, and fresh indices."""
        its, broken = self._manager, observed.interrupted
        mend = (its.mend(self.wish()),) if broken else ()
        refresh = (its.refresh(self.lock_timeout),) if installs else ()
        complete = (its.complete(self.wish()),) if broken and installs else ()
        return (*mend, *refresh, *complete)

    def _settle(self) -> Change:
        """Put back what a transaction of ours that was killed had set aside."""
        mend = self._manager.mend(self.wish())
        return Change((mend,), None, "put back what a killed run had set aside", then=self, disturbs=self.hold_back)

    def _marks(self, observed: Packages) -> Change:
        """Set and lift holds, when everything is installed as wished."""
        installed = [p for p in observed.present if p.state is State.INSTALLED]
        hold = tuple(p.name for p in installed if not p.held and _matches(p.name, self.hold))
        release = tuple(p.name for p in installed if p.held and _matches(p.name, self.release))
        actions = [self._manager.hold(hold)] if hold else []
        actions += [self._manager.release(release)] if release else []
        words = " and ".join(filter(None, (_phrase("hold", hold), _phrase("release", release))))
        inverse = replace(self._inverse(), hold=release, release=hold)
        return Change(tuple(actions), inverse, words) if actions else Change()

    def _transact(self, observed: Packages, gone: tuple[str, ...], words: str) -> Change:
        operations = observed.transaction.operations if observed.transaction else ()
        installed = {p.name: p.version for p in observed.present if p.state is State.INSTALLED}
        held = tuple(op.name for op in operations if op.name in observed.hold)
        actions = [self._manager.release(held)] if held else []
        actions += self._manager.carry_out(self.wish())
        inverse = replace(
            self._inverse(),
            want=tuple(Package(op.name, installed[op.name]) for op in operations if op.name in installed),
            absent=tuple(op.name for op in operations if op.new and op.name not in installed),
            hold=held,
        )
        details = tuple(_describe(op) for op in operations) or gone
        return Change(tuple(actions), inverse, words, details, then=replace(self, survey=True, absent=gone))

    def _refuse(self, observed: Packages) -> None:
        """Stop before anything happens when the simulated transaction is not the resolved one."""
        its, transaction = self._manager, observed.transaction or Transaction()
        foreign = tuple(name for name in observed.hold if not _matches(name, self.ours) and _matches(name, self.family))
        if transaction.problem:
            hint = f"lift the hold that is not ours: {its.typed(Deed.RELEASE, foreign)}" if foreign else ""
            raise its.refuse(transaction.problem, hint)
        for op in transaction.operations:
            if op.old and op.name in foreign and op.new != op.old:
                raise ManagerError(
                    f"{op.name} is held at {op.old} by somebody, and {op.new or 'no version'} is needed",
                    hint=f"if the hold may go: {its.typed(Deed.RELEASE, (op.name,))}",
                )
            if op.old and op.new and Version(op.new) < Version(op.old) and not self.downgrade:
                raise ManagerError(  # apt would refuse at the end; dnf goes back without a word
                    f"{op.name} would go back from {op.old} to {op.new}",
                    cause="the plan does not ask for an older version, so nothing was changed",
                    hint="leave out the version, or remove what is installed first: rmqsetup uninstall",
                )
            if any(p.name == op.name and p.version not in ("", op.new) for p in self.want if op.new):
                raise ManagerError(
                    f"{op.name} {op.new} would be installed, which is not the version that was resolved",
                    hint="the same command again resolves anew",
                )
            if op.new and _matches(op.name, self.family) and not self._may_come_from(op.origins):
                raise TrustError(
                    f"{op.name} {op.new} would come from {', '.join(op.origins) or 'nowhere known'}",
                    cause=f"the plan says {' or '.join(self.origins)}",
                    hint=f"see what offers it with: {its.typed(Deed.LOOK, (op.name,))}",
                )
        unexpected = [n for n in transaction.removed if n not in self.absent and not _matches(n, self.removable)]
        if unexpected:
            raise ManagerError(
                f"the package manager would also remove {', '.join(unexpected)}",
                cause="the plan does not name them, so nothing was changed",
                hint=f"if they may go: {its.typed(Deed.REMOVE, tuple(unexpected))}",
            )

    def _refuse_strangers(self, observed: Packages) -> None:
        """Stop when what is there was signed by somebody else than resolved, whoever let it in."""
        versions = {p.name: p.version for p in self.want if p.version}
        for each in observed.present:
            known = each.signer and self.signers and each.name in versions
            if known and not each.signer.endswith(tuple(key[-len(each.signer) :] for key in self.signers)):
                raise TrustError(
                    f"{each.name} {each.version} is signed by the key {each.signer}",
                    cause=f"the plan says {' or '.join(self.signers)}",
                    hint=f"if it may go: {self._manager.typed(Deed.REMOVE, (each.name,))}",
                )

    def _may_come_from(self, origins: tuple[str, ...]) -> bool:
        return not self.origins or any(_matches(origin, self.origins) for origin in origins)

    def _inverse(self) -> Packages:
        """Return what every inverse has in common."""
        return Packages(
            self.manager,
            ours=("*",),
            keep=self.keep,
            hold_back=self.hold_back,
            downgrade=True,  # also of the inverse of a mere hold: it may absorb that of an upgrade
            lock_timeout=self.lock_timeout,
            prefix=self.prefix,
        )


def _there(wanted: Package, present: tuple[Package, ...]) -> bool:
    return any(p.name == wanted.name and wanted.version in ("", p.version) for p in present)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _phrase(verb: str, names: object) -> str:
    """Return `verb a, b and 12 more`, or nothing when there are no names."""
    words = [str(name) for name in names] if isinstance(names, tuple | map) else []
    if not words:
        return ""
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    return f"{verb} {', '.join(words[:3])}{more}"


def _describe(op: Operation) -> str:
    if not op.new:
        return f"remove {op.name} {op.old}"
    source = f" from {', '.join(op.origins)}" if op.origins else ""
    return f"{op.name} {op.old + ' → ' if op.old else ''}{op.new}{source}"
