"""Values of the configuration that are encrypted, and the passphrase that opens them."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, advanced, error
from rmqsetup.checks.access import unreadable
from rmqsetup.checks.cures import without
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.probes.terms import Atom, Term, text

LINKS = (f"{DOCS}/configure#configuration-encryption",)
ENCRYPTED = "encrypted:"


def decrypted(scene: Scene) -> Iterator[Diagnosis]:
    """Where values are encrypted, the passphrase is there, and the node can read it.

    It stands in advanced.config, as `config_entry_decoder` of the application rabbit: itself, or as the name of a file.
    The node decrypts every such value before it starts anything.
    """
    path = scene.variable("ADVANCED_CONFIG_FILE") or f"{scene.layout.config}/advanced.config"
    pairs = advanced.pairs(scene.text(path))
    lines = tuple(each for each in scene.settings if each.value.startswith(ENCRYPTED))
    named = next((f"{path}: {key} is encrypted" for _, key, value in pairs if _holds(value)), "")
    if not lines and not named:
        return
    decoder = next((value for app, key, value in pairs if (app, key) == ("rabbit", "config_entry_decoder")), [])
    fault = _fault(scene, _passphrase(decoder))
    if fault:
        yield error(
            "RMQ-169",
            f"values of the configuration are encrypted, and {fault}",
            evidence=(*(_place(each) for each in lines[:2]), *filter(None, (named,))),
            cause="a node does not start with a value that it cannot decrypt",
            hint=f"put it into {path}: [{{rabbit, [{{config_entry_decoder, [{{passphrase, "
            '{file, "/path/to/file"}}]}]}].',
            links=LINKS,
            fix=without(scene, *lines) if lines and not named else (),
        )


def _fault(scene: Scene, given: Term | None) -> str:
    """Say why a passphrase is of no use to the node; nothing of one that is given as it is."""
    if given is None:
        return "no passphrase is configured"
    if given == Atom("prompt"):
        return "the passphrase is to be asked for at a terminal, which a service does not have"
    if not isinstance(given, tuple) or given[:1] != (Atom("file"),) or len(given) != 2:
        return ""
    path = text(given[1]) if isinstance(given[1], bytes) else ""
    if path.startswith("/") and scene.file(path) is None and scene.root:
        return f"the file of the passphrase, {path}, is not there"
    is_closed = path.startswith("/") and bool(unreadable(scene, (path,)))
    return f"{scene.user} cannot read the file of the passphrase, {path}" if is_closed else ""


def _passphrase(decoder: Term) -> Term | None:
    rows = decoder if isinstance(decoder, list) else []
    return next((row[1] for row in rows if isinstance(row, tuple) and row[:1] == (Atom("passphrase"),)), None)


def _holds(value: Term) -> bool:
    """Tell whether an encrypted value is in a term."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == Atom("encrypted"):
        return True
    return isinstance(value, (list, tuple)) and any(map(_holds, value))


def _place(setting: Setting) -> str:
    return f"{setting.file}:{setting.line}: {setting.key} = {ENCRYPTED}…"


CHECKS = (Check("RMQ-169", "Encrypted values can be decrypted", decrypted, explains=DOWN),)
