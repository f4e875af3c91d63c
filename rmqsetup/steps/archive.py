"""Trees unpacked from archives below a prefix, and the link that leads to the one in use; or none of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmqsetup.errors import ConflictError, NotConvergedError, RmqsetupError
from rmqsetup.host import MARK, Action, Answer, Clear, FileState, Kind, Link, Look, Peek, Read, Result, Standing, Unpack
from rmqsetup.steps import Change, Phase
from rmqsetup.steps.file import KEPT

FOREIGN = "foreign"
"""The digest of a tree that somebody else put there."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder below the prefix; `digest` is the sha256 of the archive it is unpacked from, empty where there is none.

    `source` is that archive on this machine; all of it is in its folder `top` (empty: at its root), and `finish` is
    its own program that prepares it for its place. `begun` is observed only: something is left of an unpacking or a
    removal that was cut.
    """

    name: str
    digest: str = ""
    source: str = ""
    top: str = ""
    finish: tuple[str, ...] = ()
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Archive:
    """Trees as wished, and what `link` below the prefix says: `target`, or nothing, then there is no link.

    Trees of other names stay as they are, so that an upgrade keeps the tree that it comes from. `expect` are targets
    that we gave the link. `data` are folders that are to be gone, whatever is in them. `directories` exist only for
    this and go with it once empty, innermost first. `torn` is observed only: a switch of the link was cut.
    """

    prefix: str
    trees: tuple[Tree, ...]
    target: str = ""
    link: str = "current"
    expect: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    torn: bool = False

    @property
    def key(self) -> str:
        """The link is what an archive is about: it says which of the trees is in use."""
        return f"archive:{self.place}"

    @property
    def place(self) -> str:
        """The path of the link."""
        return f"{self.prefix}/{self.link}"

    @property
    def phase(self) -> Phase:
        """With packages, whose place it takes: the files that steer it come before, its removal after the stop."""
        return Phase.PACKAGES

    def query(self) -> tuple[Look, ...]:
        """Look at the link, and at each tree, its mark and what was begun."""
        looks: list[Look] = [Peek(self.place), Peek(self._new), *map(Peek, self.data)]
        for tree in self.trees:
            looks += [Peek(self.path(tree)), Read(f"{self.path(tree)}/{MARK}"), Peek(self._through(tree))]
        return tuple(looks)

    def observe(self, answers: tuple[Answer, ...]) -> Archive:
        """Return link and trees as they are. Raises `ConflictError` when something that is no link is in its place."""
        link, torn, *rest = answers
        data = tuple(path for path, there in zip(self.data, rest, strict=False) if there)
        answer = iter(rest[len(self.data) :])
        if isinstance(link, Standing) and link.kind is not Kind.LINK:
            if self.target:
                raise ConflictError(
                    f"{self.place} is there, and is no link",
                    hint=f"move it away (mv {self.place} {self.place}.old), or choose another prefix",
                )
            link = None
        trees = tuple(
            replace(tree, digest=_found(standing, mark), source="", begun=begun is not None)
            for tree, standing, mark, begun in zip(self.trees, answer, answer, answer, strict=False)
        )
        target = link.target if isinstance(link, Standing) else ""
        return replace(self, trees=trees, target=target, data=data, torn=torn is not None)

    def diff(self, observed: Archive) -> Change:
        """Unpack, then switch the link; or switch, then remove.

        Raises `ConflictError` when a tree's place is taken, `NotConvergedError` when its archive is not known.
        """
        pairs = tuple(zip(self.trees, observed.trees, strict=True))
        for tree, there in pairs:
            self._refuse(tree, there)
        missing = tuple(tree for tree, there in pairs if tree.digest and tree.digest != there.digest)
        doomed = tuple(tree for tree, there in pairs if not tree.digest and there.digest not in ("", FOREIGN))
        swept = tuple(tree for tree, there in pairs if there.begun and tree not in (*missing, *doomed))
        actions: tuple[Action, ...] = (
            *(self._unpack(tree) for tree in missing),
            *((Clear("", self._new),) if observed.torn else ()),
            *((Link(self.place, self.target),) if self.target != observed.target else ()),
            *(Clear("", path, directories=self.directories) for path in observed.data),
            *(Clear(self.path(tree), self._through(tree), self._strays(tree), self.directories) for tree in doomed),
            *(Clear("", self._through(tree), directories=() if tree.digest else self.directories) for tree in swept),
        )
        if not actions:
            return Change()
        touched = (*missing, *doomed, *swept)
        inverse = replace(
            self,
            trees=tuple(replace(tree, digest=there.digest) for tree, there in pairs if tree in touched),
            target=observed.target,
            data=(),
            expect=(self.target,) if self.target else (),
        )
        return Change(
            actions,
            inverse,
            self._words(missing, doomed, observed.data),
            tuple(f"{tree.source}, sha256 {tree.digest}" for tree in missing),
            conflict=self._turned(observed),
        )

    def explain(self, result: Result) -> RmqsetupError:
        """Never needed: trees are made without commands."""
        return RmqsetupError(f"{self.place} could not be made", cause=result.tail())

    def absorb(self, newer: Archive) -> Archive:
        """Go back to the older link and trees; what only the later change touched goes back as that says."""
        names = {tree.name for tree in self.trees}
        trees = (*self.trees, *(tree for tree in newer.trees if tree.name not in names))
        expect = tuple(dict.fromkeys((*self.expect, *newer.expect)))
        directories = tuple(dict.fromkeys((*self.directories, *newer.directories)))
        return replace(self, trees=trees, expect=expect, directories=directories)

    def path(self, tree: Tree) -> str:
        """Return where a tree is."""
        return f"{self.prefix}/{tree.name}"

    @property
    def _new(self) -> str:
        return f"{self.prefix}/.{self.link}.rmqsetup"

    def _through(self, tree: Tree) -> str:
        return f"{self.prefix}/.{tree.name}.rmqsetup"

    def _strays(self, tree: Tree) -> str:
        return f"{self.path(tree)}{KEPT}"

    def _unpack(self, tree: Tree) -> Unpack:
        return Unpack(
            self.path(tree), tree.source, tree.digest, tree.top, self._through(tree), self.directories, tree.finish
        )

    def _refuse(self, tree: Tree, there: Tree) -> None:
        """Stop where a tree would have to take the place of another, or cannot come back."""
        if not tree.digest or tree.digest == there.digest:
            return
        if tree.digest == FOREIGN or not tree.source:
            raise NotConvergedError(
                f"{self.path(tree)} cannot be brought back",
                cause="it is gone, and the archive that it came from is not known",
                hint="install that version again",
            )
        if there.digest:
            whose = "rmqsetup did not unpack it" if there.digest == FOREIGN else "another archive is unpacked there"
            raise ConflictError(
                f"{self.path(tree)} is there already",
                cause=whose,
                hint=f"move it away (mv {self.path(tree)} {self.path(tree)}.old), or choose another prefix",
            )

    def _words(self, missing: tuple[Tree, ...], doomed: tuple[Tree, ...], gone: tuple[str, ...]) -> str:
        if missing:
            return f"unpack {', '.join(map(self.path, missing))}"
        if doomed or gone:
            return f"remove {', '.join((*map(self.path, doomed), *gone))}"
        return f"let {self.place} lead to {self.target}" if self.target else f"sweep {self.prefix}"

    def _turned(self, observed: Archive) -> str:
        """Say that somebody else let the link lead elsewhere since we made it."""
        if not self.expect or observed.target in (self.target, "", *self.expect):
            return ""
        return f"{self.place} was turned to {observed.target} by somebody else"


def _found(standing: Answer, mark: Answer) -> str:
    """Return the digest of what stands where a tree belongs."""
    if standing is None:
        return ""
    if standing != Standing(Kind.FOLDER) or not isinstance(mark, FileState) or not mark.content:
        return FOREIGN
    return mark.text.strip()
