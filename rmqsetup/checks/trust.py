"""Whether what sources send can be proved: signing keys, and the certificates of their hosts.

Which sources are configured belongs to `sources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.catalog import load
from rmqsetup.checks import Check, Diagnosis, error, warning
from rmqsetup.checks.cures import switched_off
from rmqsetup.checks.scene import Scene
from rmqsetup.errors import RmqsetupError
from rmqsetup.host import Command, FileState
from rmqsetup.managers import apt_sources
from rmqsetup.managers.sources import ConfiguredSource
from rmqsetup.openpgp import dearmor, read_keys
from rmqsetup.steps import Step
from rmqsetup.steps.file import File, sha256

SOON = 14 * 86400
_KEY_BLOCK = b"PUBLIC KEY BLOCK"


def keys(scene: Scene) -> Iterator[Diagnosis]:
    """The keyring that an entry names is there, and holds a key that is still valid."""
    told, is_apt = set[str](), scene.facts.manager == "apt"
    for source in (each for each in scene.facts.sources if each.enabled and not each.retired):
        if not is_apt and not re.search(r"rabbitmq|erlang", " ".join((*source.uris, *source.names))):
            continue  # rpm may have the key already: only a source that is to be new is sure to need the file
        words = (word.removeprefix("file://") for word in source.signed_by.split())
        for path in (word for word in words if word.startswith("/") and word not in told):
            state = scene.file(path)
            form = _form_fault(path, state) if state is not None and is_apt else ""
            fault = "is missing" if state is None else form or key_fault(state, scene.now)
            if not fault:
                continue
            told.add(path)
            yield (warning if fault.startswith("expires") else error)(
                "RMQ-023",
                f"the signing key of {' '.join(source.uris)} {fault}",
                evidence=(
                    f"{source.file}:{source.line}: {' '.join((*source.uris, *source.suites))}",
                    f"{path}: {'no such file' if state is None else fault}",
                ),
                cause="what the source sends cannot be proved, and is refused (NO_PUBKEY, EXPKEYSIG, GPG check FAILED)",
                hint="put the source's present keyring there; rmqsetup install has the keys of Team RabbitMQ",
                fix=() if fault.startswith("expires") else _proved(scene, source, path, state),
                safe=bool(form or _pinned(source)),
            )


def intercepted(scene: Scene) -> Iterator[Diagnosis]:
    """Nobody between this machine and its sources answers in their place.

    A proxy that looks into TLS presents certificates of its own authority. They are only trusted where that authority
    was made known to the machine; apt, and everything else, refuses them until then. Looked at only where apt has
    nothing from a source under TLS.
    """
    dump = scene.run("apt-config", "dump", "Acquire").stdout if scene.facts.manager == "apt" else ""
    if scene.facts.manager != "apt" or re.search(r'Proxy "(?!")', dump):
        return
    for host, port, source in _unreached(scene):
        why, certificate = scene.certificate(host, port)
        if not why or not certificate:
            continue
        command = Command(("openssl", "x509", "-inform", "DER", "-noout", "-issuer"), stdin=certificate)
        issuer = scene.host.run(command).stdout.strip().removeprefix("issuer=") or "an authority without a name"
        yield error(
            "RMQ-147",
            f"the certificate of {host} is not one that this machine trusts: it was issued by {issuer}",
            evidence=(f"{source.file}:{source.line}: {' '.join(source.uris)}", f"TLS with {host}:{port}: {why}"),
            cause="a proxy answers in the place of the source with a certificate of its own, or the source has one "
            "that nobody knows",
            hint="put the authority's certificate into /usr/local/share/ca-certificates, named .crt, if it is your "
            "own; then: update-ca-certificates",
        )
        return


def key_fault(state: FileState, now: float) -> str:
    """Say what is wrong with a keyring; one that is not understood is not judged."""
    if state.content is None:
        return ""
    if re.match(rb"\s*(?:$|<(?:!doctype|html))", state.content, re.IGNORECASE):
        return "is a web page, and no key" if state.content else "is empty"
    try:
        found = read_keys(state.content)
    except RmqsetupError:
        found = ()
    ends = [key.expires for key in found if key.expires]
    if not ends or len(ends) < len(found):
        return ""
    last = max(ends)
    if last.timestamp() < now:
        return f"has expired on {last:%Y-%m-%d}"
    return f"expires on {last:%Y-%m-%d}" if last.timestamp() < now + SOON else ""


def _form_fault(path: str, state: FileState) -> str:
    """Say why apt passes over a keyring, whatever is in it."""
    if state.content and path.endswith(".gpg") and state.content.lstrip().startswith(b"-----BEGIN PGP"):
        return "is armoured text, which apt only reads from a file named .asc"
    return "" if state.mode & 0o004 or state.owner == "_apt" else "is closed to apt's own user _apt"


def _unreached(scene: Scene) -> Iterator[tuple[str, int, ConfiguredSource]]:
    """Yield the hosts of sources under TLS from which apt has no index, each once."""
    told = set[tuple[str, int]]()
    for source in scene.facts.sources:
        for uri in source.uris if source.enabled and not source.retired else ():
            found = re.match(r"https://(?:[^/@]*@)?([^/:]+)(?::(\d+))?", uri)
            place = (found[1], int(found[2] or 443)) if found else ("", 0)
            have = any(scene.text(p) for suite in source.suites for p in apt_sources.release_files(uri, suite))
            if found and not have and place not in told:
                told.add(place)
                yield (*place, source)


def _pinned(source: ConfiguredSource) -> str:
    """Return the id of the catalog's key for a source of Team RabbitMQ's, empty for every other."""
    for row in load().repositories:
        starts = [uri.partition("{")[0] for uri in row.uris]
        if row.key and any(uri.startswith(start) for uri in source.uris for start in starts):
            return row.key
    return ""


def _proved(scene: Scene, source: ConfiguredSource, path: str, state: FileState | None) -> tuple[Step, ...]:
    """Put the key that the catalog pins into the keyring; entries of others are switched off, as apt refuses them."""
    if state is not None and state.content and _form_fault(path, state):
        armoured = state.content.lstrip().startswith(b"-----BEGIN PGP") and path.endswith(".gpg")
        content = dearmor(state.content, _KEY_BLOCK) if armoured else state.content
        own = sha256(state.content)
        return (File(path, content, state.mode | 0o044, state.owner, state.group, expect=(own,), early=True),)
    pinned = _pinned(source)
    text = load().key_text(pinned) if pinned else b""
    if not text:
        return switched_off(scene, (source,))
    content = text if path.endswith(".asc") else dearmor(text, _KEY_BLOCK)
    expect = (sha256(state.content),) if state is not None and state.content else ()
    return (File(path, content, expect=expect, early=True),)


CHECKS = (
    Check("RMQ-023", "The signing keys of the sources are there and valid", keys, explains=("RMQ-028",)),
    Check("RMQ-147", "Nobody answers in the place of a source", intercepted, explains=("RMQ-028",)),
)
