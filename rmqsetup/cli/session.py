"""What a command works with: the words, the terminal, the machine, and where receipts are.

What each command does with it is in the file of its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rmqsetup.errors import StoppedError, UsageError

if TYPE_CHECKING:
    from rmqsetup.cli.options import Words
    from rmqsetup.host import Host
    from rmqsetup.managers.layout import Layout
    from rmqsetup.recipe import Request
    from rmqsetup.show.progress import Progress
    from rmqsetup.show.terminal import Terminal

STATE = Path("/var/lib/rmqsetup")
"""Where receipts are; `receipt.STATE`, without the price of importing it."""


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

    @classmethod
    def here(cls, words: Words, terminal: Terminal) -> Session:
        """Return a session on this machine, as this user."""
        from rmqsetup.hosts.local import LocalHost

        return cls(words, terminal, LocalHost(), root=os.geteuid() == 0)

    @property
    def layout(self) -> Layout:
        """Where the RabbitMQ of this machine is: the system's, or Homebrew's."""
        if self._layout is None:
            from rmqsetup.probes.address import find_layout

            recipe = self.words.recipe not in (None, "-") and self.words.command in ("install", "plan")
            wanted = self.words.source == "brew" or (recipe and self.request().source == "brew")
            self._layout = find_layout(self.host, str(Path.home()), wanted=wanted)
        return self._layout

    @property
    def state(self) -> Path:
        """Where receipts are: of what belongs to a user, where that user can write."""
        if self._state is None:
            self._state = Path(f"{self.layout.prefix}{STATE}")
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

    def request(self) -> Request:
        """Return the request: the recipe, and the options over it. Raises `UsageError`."""
        from rmqsetup import recipe

        words = self.words
        overrides = recipe.Overrides(
            rabbitmq=words.rabbitmq,
            erlang=words.erlang,
            source=words.source,
            key=words.key,
            fingerprint=words.fingerprint,
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
