"""The lab: hands out machines, keeps their expensive layers, and leaves nothing behind.

How one machine works belongs to `machines`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import network, roots
from lab.machines import Machine, end, remove_groups
from lab.system import LabError, call, locked, started

AT_ONCE = 3
"""How many machines one session may have at a time."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A read-only tree to put over a base, or over other layers."""

    name: str
    path: Path


class Lab:
    """Makes machines. Use it as a context manager, or `close` it: that takes every machine down."""

    def __init__(self) -> None:
        self.folder = roots.cache()
        self.machines: list[Machine] = []
        sweep(self.folder)

    def __enter__(self) -> Lab:  # noqa: PYI034 - Self is newer than our oldest Python
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take every machine down."""
        self.close()

    def close(self) -> None:
        """Take every machine down."""
        for machine in tuple(self.machines):
            self.remove(machine)

    def machine(
        self,
        base: str = "trixie",
        *,
        layers: tuple[Layer, ...] = (),
        systemd: bool = True,
        isolated: bool = False,
        hostname: str = "broker",
    ) -> Machine:
        """Boot a fresh machine: a base with layers over it, the first one topmost.

        Without `systemd` its process 1 is a `sleep`. An isolated one reaches nothing but this side of
        its cable, where a mirror can be.
        """
        if len(self.machines) >= AT_ONCE:
            raise LabError(f"{AT_ONCE} machines are up: take one down first")
        lower = (*(layer.path for layer in layers), roots.root(base))
        its = network.pick(self.folder / "networks")
        machine = Machine(self.folder / "machines" / its.name, its, lower, systemd=systemd, isolated=isolated)
        machine.hostname = hostname
        self.machines.append(machine)
        try:
            clear(machine.folder, its)
            its.up(isolated=isolated)
            machine.boot()
        except BaseException:
            self.remove(machine)
            raise
        return machine

    def remove(self, machine: Machine) -> None:
        """Take one machine down."""
        if machine in self.machines:
            self.machines.remove(machine)
            machine.down()

    def layer(
        self, name: str, build: Callable[[Machine], object], *, base: str = "trixie", over: tuple[Layer, ...] = ()
    ) -> Layer:
        """Return a cached layer: what `build` changes on a machine of `base` with `over` on it.

        Built once for every text of `build`: what it depends on beside its own source belongs into `name`.
        """
        below = [layer.path.name for layer in over]
        text = repr((name, inspect.getsource(build), roots.root(base).name, below))
        target = self.folder / "layers" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        if not target.exists():
            with locked(self.folder / "layers" / f"{target.name}.lock"):
                if not target.exists():
                    self._build(build, base, over, target)
        return Layer(name, target)

    def _build(self, build: Callable[[Machine], object], base: str, over: tuple[Layer, ...], target: Path) -> None:
        machine = self.machine(base, layers=over)
        try:
            build(machine)
            machine.stop()
            for passing in ("etc/hosts", "etc/hostname", "etc/resolv.conf", "tmp", "var/tmp"):
                _delete(machine.upper / passing)
            machine.upper.rename(target)
        finally:
            self.remove(machine)


def sweep(folder: Path) -> None:
    """Take down the machines of sessions that died: those whose number nobody holds any more."""
    for left in sorted((folder / "machines").glob("t-*")):
        its = network.claim(int(left.name.removeprefix("t-")), folder / "networks")
        if its is not None:
            clear(left, its)
            its.free()


def clear(folder: Path, its: network.Network) -> None:
    """Remove what an earlier machine of this number left, if anything. The number must be ours."""
    record = folder / "state.json"
    facts = json.loads(record.read_text()) if record.exists() else {}
    keeper = facts.get("keeper", 0)
    if keeper and started(keeper) == facts["keeper_started"]:
        end(keeper)
    remove_groups(its.name)
    while (folder / "root").is_mount():
        call("umount", "--lazy", str(folder / "root"))
    its.down()
    shutil.rmtree(folder, ignore_errors=True)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
