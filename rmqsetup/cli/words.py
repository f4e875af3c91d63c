"""What a command and an option are, and what was typed.

Which of them there are belongs to `options`.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """What was typed; None was not. The names are the fields of the options.

    Named tuples in this module, as in the catalog: a dataclass of this size costs milliseconds of every start.
    """

    command: str = ""
    output: str = "text"
    yes: bool = False
    quiet: bool = False
    verbose: bool = False
    explain: bool = False
    recipe: str | None = None
    source: str | None = None
    rabbitmq: str | None = None
    erlang: str | None = None
    plugins: str | None = None
    settings: tuple[str, ...] = ()
    definitions: str | None = None
    open_files: int | None = None
    key: str | None = None
    fingerprint: str | None = None
    user: bool = False
    prefix: str | None = None
    archive: str | None = None
    erlang_archive: str | None = None
    erlang_digest: str | None = None
    service: str | None = None
    start: bool | None = None
    foreground: bool = False
    enable: bool | None = None
    hold: bool | None = None
    recommends: bool | None = None
    lock_timeout: int | None = None
    level: int | None = None
    verify: bool = True
    wait: float = 60.0
    form: str | None = None
    purge: bool = False
    receipt: str | None = None
    about: tuple[str, ...] = ()
    only: str = ""
    skip: str = ""
    listed: bool = False
    fix: str = ""
    bundle: str = ""
    nodes: int = 1
    port: int = 0
    ports: str | None = None
    tls: bool = False
    stock: bool = False
    keep: bool = False
    detach: bool = False
    env: bool = False
    github: bool = False
    as_json: bool = False
    sweep: bool = False
    every: bool = False
    names: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    what: str | None = None
    watch: bool = False
    interval: float | None = None
    looks: int | None = None
    api: str | None = None
    digest: str = ""
    broker: str | None = None

    @property
    def json(self) -> bool:
        """Whether the answer is to be JSON."""
        return self.output == "json" or self.as_json


class Option(NamedTuple):
    """One option, or, without `flags`, an argument that may be left out.

    `metavar` is empty for a switch, which sets `value`. `kind` is what a value is read as; `choices` are the only
    values, `offered` those that completion offers. `many` may be said several times; an argument that is `rest` takes
    all that follows, as it is. `bare` is the value of an option that was said without one.
    """

    field: str
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    kind: type[str | int | float] = str
    choices: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    many: bool = False
    value: bool = True
    bare: str = ""
    rest: bool = False


class Command(NamedTuple):
    """One command: its module beside this one, and its options; `changes` are of the machine, and need root."""

    name: str
    options: tuple[Option, ...]
    changes: bool = False
