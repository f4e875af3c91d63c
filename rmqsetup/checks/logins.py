"""Who is asked whether somebody may log in, beside the node's own users: a directory, a web service, tokens.

Whether the plugins for that are there belongs to `expected` and `values`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmqsetup.checks import DOCS, Check, Diagnosis, advanced, error, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.probes.terms import FALSE, Atom, atoms

LDAP, HTTP, TOKENS = (f"rabbit_auth_backend_{name}" for name in ("ldap", "http", "oauth2"))
PREFIXES = {LDAP: "auth_ldap.", HTTP: "auth_http.", TOKENS: "auth_oauth2."}
VERIFIERS = re.compile(r"auth_oauth2\.(?:issuer|jwks_ur[li]|signing_keys\..+|oauth_providers\..+|discovery_endpoint.*)")
"""Settings that tell where the keys of tokens are, one of which is needed."""

NAMED = {
    "mqtt.vhost": ("rabbitmq_mqtt", "virtual host"),
    "mqtt.exchange": ("rabbitmq_mqtt", "exchange"),
    "mqtt.default_user": ("rabbitmq_mqtt", "user"),
    "anonymous_login_user": ("rabbitmq_mqtt", "user"),
    "stomp.default_vhost": ("rabbitmq_stomp", "virtual host"),
    "stomp.default_user": ("rabbitmq_stomp", "user"),
}
"""Settings that name something in the node, and the plugin without which they do not count."""

_URL = re.compile(r"(https?)://(?:[^/@]*@)?(\[[^\]]*\]|[^/:]+)(?::(\d+))?")


def answering(scene: Scene) -> Iterator[Diagnosis]:
    """Whoever is to say who may log in is configured, and answers.

    A node starts without asking anybody: the first client notices that it is refused.
    """
    names = tuple(dict.fromkeys(atoms(scene.environment_of("auth_backends")))) if scene.runs else ()
    judges = {LDAP: _directory, HTTP: _service, TOKENS: _tokens}
    for name in names:
        fault = judges[name](scene) if name in judges else ""
        if fault:
            own = [each for each in scene.settings if each.key.startswith(PREFIXES[name])]
            asked = [each for each in scene.settings if each.key.startswith("auth_backends")]
            yield (error if len(names) == 1 else warning)(
                "RMQ-174",
                f"{'nobody' if len(names) == 1 else 'not everybody'} can log in: {fault}",
                evidence=tuple(each.place for each in (*asked, *own)[:4]) or (f"auth_backends has {name}",),
                cause="it is asked about each login, and without an answer nobody gets in",
                hint=f"mend what it is to reach, or put it right: {own[0].file}, line {own[0].line}"
                if own
                else f"configure it, or take {name} out of auth_backends",
                links=(f"{DOCS}/access-control#backends",),
            )


def named(scene: Scene) -> Iterator[Diagnosis]:
    """The virtual host, the exchange and the user that settings of MQTT and STOMP name are there.

    The node starts without them, and refuses each client of that protocol.
    """
    enabled = scene.text(scene.plugins_file) if scene.runs and scene.node else ""
    hosts = scene.node.virtual_hosts if scene.node else ()
    for each in scene.settings:
        plugin, kind = NAMED.get(each.key, ("", ""))
        if not plugin or plugin not in enabled or (each.value == "none" and kind == "user"):
            continue
        if kind == "virtual host":
            there = each.value in hosts or not hosts
        elif kind == "user":
            there = scene.ask("rabbit_auth_backend_internal", "exists", each.value.encode()) != FALSE
        else:
            home = (scene.setting("mqtt.vhost") or "/").encode()
            resource = (Atom("resource"), home, Atom("exchange"), each.value.encode())
            there = scene.ask("rabbit_exchange", "exists", resource) != FALSE
        if not there:
            yield warning(
                "RMQ-175",
                f"{each.key} names the {kind} {each.value}, which is not there",
                evidence=(each.place,),
                cause=f"clients of {plugin} are refused, or what they send is",
                hint=f"make that {kind}, or correct {each.file}, line {each.line}",
                links=(f"{DOCS}/mqtt", f"{DOCS}/stomp"),
            )


def _directory(scene: Scene) -> str:
    """Say why no directory can be asked."""
    servers = [each.value for each in scene.settings if each.key.startswith("auth_ldap.servers.")]
    if not servers:
        return "" if _is_advanced(scene, LDAP) else "no server of LDAP is configured (auth_ldap.servers.1)"
    secure = scene.setting("auth_ldap.use_ssl") == "true"
    port = scene.setting("auth_ldap.port") or ("636" if secure else "389")
    problems = [scene.opens(each, int(port)) for each in servers] if port.isdigit() else [""]
    return f"{servers[0]}:{port}, the server of LDAP, does not answer: {problems[0]}" if all(problems) else ""


def _service(scene: Scene) -> str:
    """Say why the web service cannot be asked."""
    place = _URL.match(scene.setting("auth_http.user_path"))
    if place is None:
        return ""
    host, port = place[2].strip("[]"), int(place[3] or (443 if place[1] == "https" else 80))
    problem = scene.opens(host, port)
    return f"{host}:{port}, the service that is asked, does not answer: {problem}" if problem else ""


def _tokens(scene: Scene) -> str:
    """Say why no token can be verified."""
    keys = [each.key for each in scene.settings]
    if _is_advanced(scene, TOKENS) or any(map(VERIFIERS.fullmatch, keys)):
        return ""
    return "no token can be verified: neither an issuer nor a key is configured (auth_oauth2.issuer)"


def _is_advanced(scene: Scene, backend: str) -> bool:
    """Tell whether advanced.config has settings of a backend, which are not judged."""
    path = scene.variable("ADVANCED_CONFIG_FILE") or f"{scene.layout.config}/advanced.config"
    return backend.replace("rabbit_", "rabbitmq_", 1) in advanced.applications(scene.text(path))[0]


CHECKS = (
    Check("RMQ-174", "Those who are asked about logins answer", answering),
    Check("RMQ-175", "What MQTT and STOMP are to use is there", named),
)
