"""The files of TLS that the configuration names: there, readable, valid, and belonging together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, warning
from rmqsetup.checks.access import closed, unreadable
from rmqsetup.checks.cures import without
from rmqsetup.checks.scene import Scene
from rmqsetup.checks.settings import Setting
from rmqsetup.host import NOT_FOUND, Command, FileState
from rmqsetup.probes import logs
from rmqsetup.steps.access import Right

LINKS = (f"{DOCS}/ssl",)
KINDS = ("certfile", "keyfile", "cacertfile", "dhfile")
SECURE = (
    ("listeners.ssl.", "ssl_options", ""),
    ("management.ssl.port", "management.ssl", "rabbitmq_management"),
    ("prometheus.ssl.port", "prometheus.ssl", "rabbitmq_prometheus"),
    ("mqtt.listeners.ssl.", "ssl_options", "rabbitmq_mqtt"),
    ("stomp.listeners.ssl.", "ssl_options", "rabbitmq_stomp"),
)
"""How settings of listeners for TLS begin, where their files are named, and the plugin without which they do not count.
"""

WITHIN = {
    "certfile": ("(?:TRUSTED |X509 )?CERTIFICATE", "certificate"),
    "cacertfile": ("(?:TRUSTED |X509 )?CERTIFICATE", "certificate"),
    "keyfile": (r"(?:\w+ )*PRIVATE KEY", "private key"),
}
"""How what is looked for in each file begins; RabbitMQ reads no other form."""

SOON = 14 * 86400


def present(scene: Scene) -> Iterator[Diagnosis]:
    """Every file of TLS that the configuration names is there, and the user that runs the broker can read it."""
    yield from _bare(scene)
    named = tuple({each.value: each for each in _named(scene)}.values())
    refused = unreadable(
        scene, tuple(dict.fromkeys(each.value for each in named if scene.file(each.value) is not None))
    )
    for setting in named:
        what, state = _what(setting), scene.file(setting.value)
        if state is None and not _hidden(scene, setting.value):
            yield error(
                "RMQ-096",
                f"the {what} {setting.value} does not exist",
                evidence=(setting.place, f"{setting.value}: no such file"),
                hint=f"put the file there, or correct {setting.file}, line {setting.line}",
                links=LINKS,
            )
        elif state is not None and setting.value in refused:
            right = Right(setting.value, state.owner, scene.user, state.mode | 0o040)
            why = closed(scene, setting.value, state, right)
            yield error(
                "RMQ-096",
                f"the {what} {setting.value} cannot be read by {scene.user}, who runs the broker",
                evidence=(setting.place, why.seen),
                hint=why.hint,
                links=LINKS,
                fix=why.fix,
                safe=True,
            )


def _bare(scene: Scene) -> Iterator[Diagnosis]:
    """Find listeners for TLS that have no certificate, or no private key."""
    given, plugins = {each.key for each in scene.configured}, scene.text(scene.plugins_file)
    for start, options, plugin in SECURE:
        told = [each for each in scene.configured if each.key.startswith(start) and each.value != "none"]
        lacking = [kind for kind in ("certfile", "keyfile") if f"{options}.{kind}" not in given]
        if told and lacking and plugin in plugins:
            yield error(
                "RMQ-096",
                f"the broker is to listen for TLS, and has no {' and no '.join(lacking)} for it",
                evidence=(told[0].place, f"no {options}.{lacking[0]} anywhere"),
                hint=f"set {options}.{lacking[0]}, or take the line out: {told[0].file}, line {told[0].line}",
                links=LINKS,
                fix=without(scene, *told),
            )


def pairs(scene: Scene) -> Iterator[Diagnosis]:
    """Each private key is the one of its certificate."""
    settings = {each.key: each for each in _named(scene)}
    for key, certificate in settings.items():
        private = settings.get(f"{key.removesuffix('certfile')}keyfile")
        if not key.endswith(".certfile") or private is None:
            continue
        public = scene.run("openssl", "x509", "-in", certificate.value, "-noout", "-pubkey")
        own = scene.run("openssl", "pkey", "-in", private.value, "-pubout", "-passin", "pass:")
        if scene.file(certificate.value) is not None and not public.ok and public.exit_code != 127:
            yield error(
                "RMQ-097",
                f"the certificate {certificate.value} cannot be read as one",
                evidence=(certificate.place, f"openssl x509: {public.tail(1)}"),
                hint=f"it has to be PEM: openssl x509 -in {certificate.value} -noout -text",
                links=LINKS,
            )
        elif public.ok and own.ok and public.stdout.strip() != own.stdout.strip():
            yield error(
                "RMQ-097",
                f"the private key {private.value} does not match the certificate {certificate.value}",
                evidence=(certificate.place, private.place),
                cause="their public keys differ: one of the two files was replaced without the other",
                hint="put the key and the certificate of one pair there",
                links=LINKS,
            )


def opened(scene: Scene) -> Iterator[Diagnosis]:
    """The files of TLS hold what they are named for, and the node can open every private key.

    It reads them when the first client comes: until then it runs as if all were well.
    """
    for setting in _named(scene):
        state = scene.file(setting.value)
        if state is None or state.content is None:
            continue
        wanted = WITHIN.get(setting.key.rpartition(".")[2])
        lacks = wanted is not None and not re.search(rf"-----BEGIN {wanted[0]}-----", state.text)
        fault = f"holds no {wanted[1]} (in PEM)" if lacks and wanted else _key_fault(scene, setting, state)
        if fault:
            yield error(
                "RMQ-158",
                f"the {_what(setting)} {setting.value} {fault}",
                evidence=(setting.place,),
                cause="no client gets through the handshake of TLS, and the node says so only then",
                hint=f"put the right file there, or correct {setting.file}, line {setting.line}",
                links=LINKS,
            )


def verified(scene: Scene) -> Iterator[Diagnosis]:
    """Where certificates of clients are asked for, there is somebody to vouch for them."""
    keys = {each.key: each for each in scene.configured}
    for key, setting in keys.items():
        start = key.removesuffix("verify")
        if key.endswith("ssl_options.verify") and setting.value == "verify_peer" and f"{start}cacertfile" not in keys:
            yield error(
                "RMQ-163",
                "clients are to show a certificate, and no authority is named that could vouch for one",
                evidence=(setting.place, f"no {start}cacertfile anywhere"),
                cause="every client that shows one is refused in the handshake of TLS",
                hint=f"set {start}cacertfile to the authorities of the clients, or take the line out",
                links=(f"{DOCS}/ssl#peer-verification",),
            )


def greeted(scene: Scene) -> Iterator[Diagnosis]:
    """Where the node listens for TLS, it gets through a handshake.

    Versions, ciphers and other options that do not go together are noticed only when a client comes, and the node says
    so in its log alone. Not asked where clients have to show a certificate, for we have none.
    """
    wanted = [each for each in scene.configured if each.key.endswith(".fail_if_no_peer_cert") and each.value == "true"]
    verified = (scene.setting(f"{each.key.rpartition('.')[0]}.verify") for each in wanted)
    is_strict = "verify_peer" in verified
    for each in scene.node.listeners if scene.node and not is_strict else ():
        if not (each.tls or each.protocol.startswith("https")):
            continue
        why = scene.handshake(each.addresses[0], each.port)
        if why:
            words = logs.last_words(scene.host, scene.address, running=True)
            options = [line for line in scene.settings if re.search(r"ssl(?:_options|_opts)?\.(?!port|ip)", line.key)]
            yield error(
                "RMQ-173",
                f"nobody gets through the handshake of TLS at the listener {each}",
                evidence=(
                    f"{each.addresses[0]}:{each.port}: {why}",
                    *[line for line in words if "TLS" in line or "ssl" in line][-2:],
                ),
                cause="its options do not go together, or no client has what they ask for",
                hint="look at its versions, ciphers and certificates: "
                + (f"{options[0].file}, from line {options[0].line} on" if options else "rabbitmqctl environment"),
                links=LINKS,
            )
            return


def _key_fault(scene: Scene, setting: Setting, state: FileState) -> str:
    """Say why the node cannot open a private key. The password goes to openssl over its standard input."""
    password = scene.setting(f"{setting.key.removesuffix('keyfile')}password")
    if (
        not setting.key.endswith("keyfile")
        or "ENCRYPTED" not in state.text
        or password.startswith(("encrypted:", "$("))
    ):
        return ""
    if not password:
        return "is encrypted, and no password for it is configured"
    asked = Command(("openssl", "pkey", "-in", setting.value, "-noout", "-passin", "stdin"), f"{password}\n".encode())
    answer = scene.host.run(asked)
    return "" if answer.ok or answer.exit_code == NOT_FOUND else "is encrypted with another password than configured"


def dates(scene: Scene) -> Iterator[Diagnosis]:
    """The certificates are valid now, and for the two weeks to come."""
    for path in dict.fromkeys(each.value for each in _named(scene) if each.key.endswith("certfile")):
        answer = scene.run("openssl", "x509", "-in", path, "-noout", "-startdate", "-enddate", "-subject")
        found = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
        begins, ends = _moment(found.get("notBefore", "")), _moment(found.get("notAfter", ""))
        more = {"evidence": (f"{path}: {answer.stdout.strip().replace(chr(10), ', ')}",), "links": LINKS}
        renew = "renew it; the node takes the new one after: rabbitmqctl eval 'ssl:clear_pem_cache().'"
        if ends and ends < scene.now:
            yield error("RMQ-098", f"the TLS certificate {path} has expired", hint=renew, **more)
        elif begins and begins > scene.now + 60:
            yield error("RMQ-098", f"the TLS certificate {path} is not valid yet", hint="look at: date -u", **more)
        elif ends and ends < scene.now + SOON:
            days = (ends - scene.now) / 86400
            yield warning("RMQ-098", f"the TLS certificate {path} expires in {days:.0f} days", hint=renew, **more)


def _named(scene: Scene) -> tuple[Setting, ...]:
    last = {
        each.key: each
        for each in scene.configured
        if each.key.rpartition(".")[2] in KINDS and each.value.startswith("/")
    }
    return tuple(last.values())


def _what(setting: Setting) -> str:
    words = {"certfile": "TLS certificate", "keyfile": "TLS private key", "cacertfile": "file of TLS authorities"}
    return words.get(setting.key.rpartition(".")[2], "file of TLS")


def _hidden(scene: Scene, path: str) -> bool:
    """Tell whether we may not know: the file may be in a folder that is closed to us."""
    if scene.root or scene.names(path.rpartition("/")[0]):
        return False
    scene.unseen.add(path)
    return True


def _moment(text: str) -> float:
    try:
        return (
            datetime.strptime(re.sub(r" +", " ", text), "%b %d %H:%M:%S %Y GMT")
            .replace(tzinfo=timezone.utc)
            .timestamp()
        )
    except ValueError:
        return 0.0


CHECKS = (
    Check("RMQ-096", "The files of TLS are there and can be read", present, explains=(*DOWN, "RMQ-097", "RMQ-173")),
    Check("RMQ-097", "Private keys and certificates belong together", pairs, explains=(*DOWN, "RMQ-173")),
    Check("RMQ-158", "The files of TLS hold what they are named for", opened, explains=("RMQ-097", "RMQ-173")),
    Check("RMQ-163", "Somebody vouches for the certificates of clients", verified),
    Check("RMQ-098", "The certificates are valid", dates),
    Check("RMQ-173", "Clients get through the handshake of TLS", greeted),
)
