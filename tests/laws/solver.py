"""What apt would do for a wish: a small resolver over the universe of `debs`, which complains in apt's own words."""

from __future__ import annotations

from dataclasses import dataclass, field

from laws.debs import Deb, newest

BROKEN = "E: Unable to correct problems, you have held broken packages."


class ImpossibleError(Exception):
    """What apt says when it cannot."""


@dataclass
class Solver:
    """One question to apt. `installed` are the packages that are there, `offers` what the sources have."""

    installed: dict[str, Deb]
    offers: tuple[Deb, ...]
    held: frozenset[str]
    preferred: str
    recommends: bool = True
    explicit: dict[str, Deb] = field(default_factory=dict)
    unwanted: set[str] = field(default_factory=set)

    def solve(self, words: tuple[str, ...], *, purge: bool) -> dict[str, Deb]:
        """Return what would be there afterwards."""
        for word in words:
            if purge or word.endswith("-"):
                self.unwanted.add(word.removesuffix("-"))
            else:
                name, _, version = word.partition("=")
                self.explicit[name] = self._choose(name, version)
        target = {**self.installed, **self.explicit}
        for deb in self.explicit.values():
            for other in (*deb.conflicts, *(d.name for d in target.values() if deb.name in d.conflicts)):
                target.pop(other, None)
        for name in self.unwanted:
            target.pop(name, None)
        for _ in range(30):
            after = self._settle(dict(target))
            if after == target:
                self._respect_holds(target)
                return target
            target = after
        raise ImpossibleError(BROKEN)

    def _choose(self, name: str, version: str) -> Deb:
        debs = tuple(d for d in self.offers if d.name == name and version in ("", d.version))
        here = self.installed.get(name)
        if here and version in ("", here.version):
            debs = (*debs, here)
        if not debs:
            known = any(d.name == name for d in self.offers)
            raise ImpossibleError(
                f"E: Version '{version}' for '{name}' was not found"
                if version and known
                else f"E: Unable to locate package {name}"
            )
        return newest(tuple(d for d in debs if d.label == self.preferred) or debs)

    def _settle(self, target: dict[str, Deb]) -> dict[str, Deb]:
        """Mend the first dependency that is not met."""
        for deb in sorted(target.values(), key=lambda d: d.name):
            for name, version in deb.depends:
                there = target.get(name)
                if there and version in ("", there.version):
                    continue
                return self._mend(target, deb, name, version)
            fresh = deb.name not in self.installed
            for name in deb.recommends if self.recommends and fresh else ():
                if name not in target and name not in self.unwanted:
                    return {**target, name: self._choose(name, "")}
        return target

    def _mend(self, target: dict[str, Deb], deb: Deb, name: str, version: str) -> dict[str, Deb]:
        fixed = name in self.unwanted or name in self.explicit
        there = target.get(name)
        others = tuple(d for d in self.offers if d.name == deb.name and there and (name, there.version) in d.depends)
        if others and deb.name not in self.explicit and (fixed or there == self._choose(name, "")):
            return {**target, deb.name: newest(others)}
        if not fixed:
            return {**target, name: self._choose(name, version)}
        if deb.name in self.explicit:
            raise ImpossibleError(BROKEN)
        return {n: d for n, d in target.items() if n != deb.name}

    def _respect_holds(self, target: dict[str, Deb]) -> None:
        for name in self.held:
            if target.get(name) != self.installed.get(name) and name not in (*self.explicit, *self.unwanted):
                raise ImpossibleError(BROKEN)
