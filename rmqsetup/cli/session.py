"""What a command works with: the words, the terminal, the machine, and where receipts are.

What each command does with it is in the file of its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup import standing
from rmqsetup.errors import StoppedError, UsageError
from rmqsetup.standing import STATE, own_state

if TYPE_CHECKING:
    from rmqsetup.archived import Archived
    from rmqsetup.broker.origin import Origin
    from rmqsetup.broker.place import Lease
    from rmqsetup.cli.words import Words
    from rmqsetup.host import Host
    from rmqsetup.managers.layout import Layout
    from rmqsetup.probes.address import NodeAddress
    from rmqsetup.recipe import Request
    from rmqsetup.show.progress import Progress
    from rmqsetup.show.terminal import Terminal


class Session:
    """One command being carried out. `changing` is set while the machine is being changed."""

    def __init__(
        self, words: Words, terminal: Terminal, host: Host, *, state: Path | None = None, root: bool = True
    ) -> None:
        self.words = words
        self.terminal = terminal
        self.host = host
        self.root = root
        self.changing = False
        self._state = state
        self._layout: Layout | None = None
        self._throwaway: tuple[Path, Lease] | None = None

    @classmethod
    def here(cls, words: Words, terminal: Terminal) -> Session:
        """Return a session on this machine, as this user."""
        from rmqsetup.hosts.local import LocalHost

        return cls(words, terminal, LocalHost(), root=os.geteuid() == 0)

    @property
    def layout(self) -> Layout:
        """Where the RabbitMQ of this machine is, or is to be: below the prefix of an archive, or where packages are."""
        if self._layout is None:
            is_wish = self.words.command in ("install", "plan")
            known = self.address().layout if self.throwaway else None
            self._layout = known or (self._wished() if is_wish else self._archived()) or self._packaged()
        return self._layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        """Let it be where a plan puts it."""
        self._layout = layout

    @property
    def state(self) -> Path:
        """Where receipts are: of what belongs to a user, where that user can write."""
        if self._state is None:
            layout = self.layout  # a look for it may find receipts
            self._state = self._state or (Path(f"{layout.prefix}{STATE}") if layout.manager == "brew" else STATE)
        return self._state

    @state.setter
    def state(self, folder: Path) -> None:
        """Have the receipts elsewhere."""
        self._state = folder

    def interrupted(self) -> StoppedError:
        """Return what to say after ctrl-C."""
        if self.changing:
            return StoppedError("stopped", hint="the same command again finishes it; rmqsetup undo takes it back")
        return StoppedError("stopped, nothing was changed")

    def become_root(self) -> None:
        """Go on as root, through sudo where that is needed; does not return then. Raises `UsageError`.

        Homebrew is never run as root.
        """
        if not self.root and self.layout.manager != "brew":
            from rmqsetup.cli.elevation import elevate

            elevate(self.host, self.terminal)

    def become_owner(self) -> None:
        """Go on as who made the changes there are to take back: this very user, or root."""
        if not (self.root or any((own_state() / "receipts").glob("*.jsonl"))):
            self.become_root()
        self.keep_own_receipts()

    def keep_own_receipts(self) -> None:
        """Let receipts be in the user's own folder, where that is not root."""
        if not self.root and self.state == STATE:
            self.state = own_state()

    @property
    def is_below(self) -> bool:
        """Whether a broker below a prefix is asked for, without root. A recipe on standard input is not looked into."""
        from rmqsetup.archived import BELOW

        words = self.words
        if words.user or words.source is not None or words.recipe in (None, "-"):
            return words.user or words.source in BELOW
        return self.request().source in BELOW

    def address(self) -> NodeAddress:
        """Return where the node is: a throwaway one, below the prefix of an archive, or where packages have it."""
        from rmqsetup.probes.address import find_address

        if self.throwaway:
            from rmqsetup.broker import asked

            return asked.address(*self.throwaway)
        return find_address(self.host, self.layout)

    @property
    def throwaway(self) -> tuple[Path, Lease] | None:
        """The throwaway broker that is asked for: its folder, and what is known of it. Raises `UsageError`."""
        if self._throwaway is None and self.words.broker is not None:
            from rmqsetup.broker import asked

            self._throwaway = asked.find(self.words.broker)
        return self._throwaway

    def again(self, command: str) -> str:
        """Return another command about the same broker, as it is typed."""
        return f"rmqsetup {command}{f' --broker {self.throwaway[1].name}' if self.throwaway else ''}"

    def _wished(self) -> Layout | None:
        """Return where a broker is to be that is asked for below a prefix."""
        from rmqsetup.managers.layout import of_archive

        return of_archive(self.request().archive.prefix) if self.is_below else None

    def _archived(self) -> Layout | None:
        """Return where an archive was installed, and have its receipts; few bytes are read where none was."""
        from rmqsetup.managers.layout import of_archive

        for state in dict.fromkeys((self._state or STATE, *(() if self.root else (own_state(),)))):
            if prefix := standing.prefix(state):
                self._state = state
                return of_archive(prefix)
        return None

    def _packaged(self) -> Layout:
        """Return where packages have it: the system's, or Homebrew's."""
        from rmqsetup.probes.address import find_layout

        recipe = self.words.recipe not in (None, "-") and self.words.command in ("install", "plan")
        wanted = self.words.source == "brew" or (recipe and self.request().source == "brew")
        return find_layout(self.host, str(Path.home()), wanted=wanted)

    def request(self) -> Request:
        """Return the request: the recipe, and the options over it. Raises `UsageError`."""
        from rmqsetup import recipe

        words = self.words
        if words.user and words.source not in (None, "user"):
            raise UsageError(f"--user and --source {words.source} do not go together", hint="leave out one of them")
        overrides = recipe.Overrides(
            rabbitmq=words.rabbitmq,
            erlang=words.erlang,
            source="user" if words.user else words.source,
            key=words.key,
            fingerprint=words.fingerprint,
            archive=self._archive(),
            plugins=words.plugins,
            settings=words.settings,
            definitions=words.definitions,
            open_files=words.open_files,
            start=words.start,
            enable=words.enable,
            hold=words.hold,
            recommends=words.recommends,
            lock_timeout=words.lock_timeout,
        )
        return recipe.override(recipe.load(words.recipe) if words.recipe else recipe.Request(), overrides)

    def origin(self) -> Origin:
        """Return where the programs of a throwaway broker are to come from, by the options; a recipe names none."""
        from rmqsetup.broker.origin import Origin
        from rmqsetup.version import Wanted

        words = self.words
        return Origin(
            Wanted.parse(words.rabbitmq or ""),
            words.source or "auto",
            self._archive().beside(Path.cwd()),
            words.key or "",
            words.fingerprint or "",
            words.bundle,
        )

    def _archive(self) -> Archived:
        from rmqsetup.archived import Archived

        words = self.words
        named = (words.prefix, words.archive, words.erlang_archive, words.erlang_digest, words.service)
        return Archived(*(each or "" for each in named))

    def agreed(self, question: str) -> bool:
        """Ask once whether to go ahead; `--yes` is an answer. Raises `UsageError` when nobody can be asked."""
        if self.words.yes:
            return True
        if not self.terminal.can_ask:
            raise UsageError("nobody is there to ask", hint="say --yes to go ahead without a question")
        return self.terminal.ask(question)

    def progress(self) -> Progress:
        """Return what tells how far a change has come."""
        from rmqsetup.show.progress import progress

        return progress(self.terminal, verbose=self.words.verbose, quiet=self.words.quiet)
