"""Who may log in with what everybody knows: default and well-known passwords. No password is ever shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from shlex import quote

from rmqsetup.checks import DOCS, Check, Diagnosis, info, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.node import ANY, NodeListener
from rmqsetup.probes.terms import Atom, Term, atoms, text

GUEST = "guest"
INTERNAL = "rabbit_auth_backend_internal"
GUESSED = (
    *(
        "guest",
        "password",
        "admin",
        "rabbitmq",
        "rabbit",
        "secret",
        "changeme",
        "change_me",
        "changeit",
        "test",
        "root",
    ),
    *("123456", "12345678", "123456789", "12345", "1234", "qwerty", "letmein", "passw0rd", "Password1", "welcome"),
    *("administrator", "user", "mypass", "mypassword", "bitnami", "default", "openstack", "P@ssw0rd", "toor", "pass"),
)
"""What is tried first by whoever finds an open broker: lists of common passwords, and examples in documentation."""

SALT = 4
"""Bytes of salt before the digest, as RabbitMQ stores a password (https://www.rabbitmq.com/docs/passwords)."""

MOST = 2000
"""How many users are looked at: each costs some forty digests."""

_DIGESTS: tuple[tuple[str, Callable[..., hashlib._Hash]], ...] = (
    ("rabbit_password_hashing_sha256", hashlib.sha256),
    ("rabbit_password_hashing_sha512", hashlib.sha512),
    ("rabbit_password_hashing_md5", hashlib.md5),
)


@dataclass(frozen=True, slots=True)
class User:
    """A user of the node's own database: its salted hash never leaves this module."""

    name: str
    hash: bytes
    tags: tuple[str, ...]
    digest: Callable[..., hashlib._Hash]

    @property
    def rules(self) -> bool:
        """Whether it may do everything."""
        return "administrator" in self.tags

    def __str__(self) -> str:
        """Return its name, and whether it may do everything."""
        return f"{self.name} (administrator)" if self.rules else self.name

    def has(self, password: str) -> bool:
        """Tell whether this is its password."""
        salt, digest = self.hash[:SALT], self.hash[SALT:]
        return bool(digest) and self.digest(salt + password.encode(), usedforsecurity=False).digest() == digest

    @property
    def weakness(self) -> str:
        """What is wrong with its password, without saying it."""
        if self.has(self.name) or self.has(self.name[::-1]):
            return "the password is the user's own name"
        return "the password is one that everybody tries first" if any(map(self.has, GUESSED)) else ""


def guest(scene: Scene) -> Iterator[Diagnosis]:
    """Guest with its well-known password cannot be used from other machines."""
    open_to = _open(scene)
    names = scene.environment_of("loopback_users") if open_to else None
    if not isinstance(names, list) or GUEST.encode() in names:
        return
    answer = scene.ask("rabbit_access_control", "check_user_pass_login", GUEST.encode(), GUEST.encode())
    if isinstance(answer, tuple) and answer and answer[0] == Atom("ok"):
        line = next((each.place for each in reversed(scene.settings) if each.key.startswith("loopback_users")), "")
        yield warning(
            "RMQ-085",
            "anybody on the network can log in as guest with the default password",
            evidence=tuple(filter(None, (line, "loopback_users does not name guest", f"listening: {open_to[0]}"))),
            hint="rabbitmqctl delete_user guest, or take loopback_users out of the configuration",
            links=(f"{DOCS}/access-control#default-state",),
        )


def guessed(scene: Scene) -> Iterator[Diagnosis]:
    """No user that can be used from other machines has a password that is guessed first.

    The salted hashes that the node has are compared with the names of the users and with some forty passwords. None of
    them is written anywhere.
    """
    open_to = _open(scene)
    asked = tuple(atoms(scene.environment_of("auth_backends"))) if open_to else ()
    if asked and INTERNAL not in asked:
        return
    loopback = scene.environment_of("loopback_users") if open_to else None
    bound = {text(name) for name in loopback if isinstance(name, bytes)} if isinstance(loopback, list) else set()
    weak = [(user, user.weakness) for user in _users(scene) if user.name not in {*bound, GUEST}] if open_to else []
    weak = sorted(((user, why) for user, why in weak if why), key=lambda pair: not pair[0].rules)
    if weak:
        names = ", ".join(str(user) for user, _ in weak[:3]) + (" …" if len(weak) > 3 else "")
        yield warning(
            "RMQ-105",
            f"users have a password that anybody guesses: {names}",
            evidence=(*(f"user {user.name}: {why}" for user, why in weak[:3]), f"listening: {open_to[0]}"),
            hint=f"rabbitmqctl change_password {quote(weak[0][0].name)}, which asks for the new one",
            links=(f"{DOCS}/access-control", f"{DOCS}/passwords"),
        )


def somebody(scene: Scene) -> Iterator[Diagnosis]:
    """There is somebody who can log in, where the node looks into its own users alone.

    A node that was made without a first user, or whose passwords were all cleared, refuses everybody. That may be
    meant: with certificates (the mechanism EXTERNAL) no password is needed.
    """
    backends = scene.environment_of("auth_backends") if scene.runs else None
    mechanisms = scene.environment_of("auth_mechanisms")
    listed = scene.ask(INTERNAL, "all_users")
    if backends != [Atom(INTERNAL)] or not isinstance(listed, list):
        return
    by_certificate = isinstance(mechanisms, list) and Atom("EXTERNAL") in mechanisms
    without = [text(record[1]) for record in listed if isinstance(record, tuple) and record[2:3] == (b"",)]
    if not listed:
        yield info(
            "RMQ-127",
            "nobody can log in: the node has no user",
            evidence=("rabbit_auth_backend_internal:all_users() says []",),
            hint="rabbitmqctl add_user NAME, which asks for the password; then rabbitmqctl set_permissions NAME",
            links=(f"{DOCS}/access-control",),
        )
    elif without and not by_certificate:
        yield info(
            "RMQ-127",
            f"users have no password, and cannot log in: {', '.join(without[:3])}{' …' if len(without) > 3 else ''}",
            evidence=(f"rabbit_auth_backend_internal:all_users() has no hash for {without[0]}",),
            cause="it was cleared (rabbitmqctl clear_password), or the user was imported without one",
            hint=f"rabbitmqctl change_password {quote(without[0])}, which asks for the new one",
            links=(f"{DOCS}/access-control",),
        )


def permitted(scene: Scene) -> Iterator[Diagnosis]:
    """Every virtual host can be used by somebody, and every user that is no more than a user can use one.

    `rabbitmqctl add_vhost` and `add_user` give no permissions: a client that logs in is refused all the same.
    Users with a tag may be there only to look on.
    """
    backends = scene.environment_of("auth_backends") if scene.runs else None
    hosts = scene.ask("rabbit_vhost", "list_names") if backends == [Atom(INTERNAL)] else None
    rows = scene.ask(INTERNAL, "list_permissions") if isinstance(hosts, list) and _users(scene) else None
    if not isinstance(rows, list) or not isinstance(hosts, list):
        return
    pairs = [pair for row in rows if isinstance(row, list) for pair in row if isinstance(pair, tuple)]
    may = {key: {pair[1] for pair in pairs if pair[0] == Atom(key)} for key in ("user", "vhost")}
    shut = [text(name) for name in hosts if isinstance(name, bytes) and name not in may["vhost"]]
    idle = [
        user.name for user in _users(scene) if not user.tags and user.hash and user.name.encode() not in may["user"]
    ]
    said = "rabbit_auth_backend_internal:list_permissions() names"
    if shut:
        first = quote(shut[0])
        yield warning(
            "RMQ-159",
            f"nobody may use the virtual host {', '.join(shut[:3])}{' …' if len(shut) > 3 else ''}",
            evidence=(f"{said} no user for {shut[0]}",),
            cause="it was made without permissions for anybody (rabbitmqctl set_permissions)",
            hint=f"rabbitmqctl set_permissions -p {first} USER '.*' '.*' '.*', or delete_vhost {first}",
            links=(f"{DOCS}/access-control",),
        )
    if idle:
        yield warning(
            "RMQ-159",
            f"users may use no virtual host: {', '.join(idle[:3])}{' …' if len(idle) > 3 else ''}",
            evidence=(f"{said} no virtual host for {idle[0]}",),
            cause="who logs in is refused every virtual host (access refused, NOT_ALLOWED)",
            hint=f"rabbitmqctl set_permissions -p / {quote(idle[0])} '.*' '.*' '.*'",
            links=(f"{DOCS}/access-control",),
        )


def configured(scene: Scene) -> Iterator[Diagnosis]:
    """No password that is guessed first stands in the configuration as that of the first user.

    `default_user` and `default_pass` count when a node starts without data. `guest` for guest is what RabbitMQ has
    without them, and works on the machine itself only.
    """
    name, password = scene.setting("default_user") or GUEST, scene.setting("default_pass")
    if not password or name == password == GUEST or password not in (name, *GUESSED):
        return
    line = next(each for each in reversed(scene.settings) if each.key == "default_pass")
    yield warning(
        "RMQ-106",
        f"the configuration gives the first user, {name}, a password that anybody guesses",
        evidence=(f"{line.file}:{line.line}: default_pass = (not shown)",),
        cause="it is the name of the user" if password == name else "it is one of those that everybody tries first",
        hint="set another one there; a node that has data keeps the old one: rabbitmqctl change_password "
        + quote(name),
        links=(f"{DOCS}/access-control",),
    )


def shown(scene: Scene) -> Iterator[Diagnosis]:
    """No file of the configuration that holds a password can be read by everybody on the machine."""
    for each in scene.settings:
        secret = each.key == "default_pass" or each.key.endswith((".password", "_password"))
        file = scene.file(each.file) if secret and not each.value.startswith(("encrypted:", "$(")) else None
        if file is not None and file.mode & 0o004:
            yield info(
                "RMQ-107",
                "a password in the configuration can be read by every user of this machine",
                evidence=(f"{each.file}:{each.line}: {each.key} = (not shown), mode {file.mode:04o}",),
                hint=f"chgrp {scene.user or 'rabbitmq'} {each.file} && chmod 640 {each.file}",
            )
            return


def _open(scene: Scene) -> list[NodeListener]:
    """Return the listeners for AMQP that take connections from other machines."""
    return [each for each in scene.node.listeners if each.amqp and _is_public(each.ip)] if scene.node else []


def _is_public(address: str) -> bool:
    return address in ANY or not (address.startswith("127.") or address == "::1")


def _users(scene: Scene) -> tuple[User, ...]:
    answer = scene.ask(INTERNAL, "all_users")
    found = (_user(record) for record in answer[:MOST]) if isinstance(answer, list) else ()
    return tuple(user for user in found if user)


def _user(record: Term) -> User | None:
    """Read `{internal_user, Name, Hash, Tags, Algorithm, …}`."""
    parts = record if isinstance(record, tuple) and len(record) >= 5 else ()
    name, stored, tags, way = parts[1:5] if parts else (b"", b"", [], Atom(""))
    digest = next((made for known, made in _DIGESTS if way in (Atom(known), known)), None)
    if not (digest and isinstance(name, bytes) and isinstance(stored, bytes) and isinstance(tags, list)):
        return None
    return User(text(name), stored, tuple(each.name for each in tags if isinstance(each, Atom)), digest)


CHECKS = (
    Check("RMQ-085", "guest is not open to the network", guest),
    Check("RMQ-105", "No user of the network has a password that is guessed first", guessed),
    Check("RMQ-127", "Somebody can log in", somebody),
    Check("RMQ-159", "Every virtual host can be used by somebody", permitted),
    Check("RMQ-106", "No password that is guessed first is configured", configured),
    Check("RMQ-107", "Passwords in the configuration are not open to everybody", shown),
)
