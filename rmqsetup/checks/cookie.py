"""The Erlang cookie: whose it is, who can read it, whether the node that runs has the same."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, flags
from rmqsetup.checks.cures import again, aside
from rmqsetup.checks.scene import Scene
from rmqsetup.host import FileState
from rmqsetup.probes.address import CookieMissingError
from rmqsetup.probes.distribution import CookieError
from rmqsetup.probes.wire import ProbeError
from rmqsetup.steps.access import Access, Right

LINKS = (f"{DOCS}/clustering#erlang-cookie",)


def guarded(scene: Scene) -> Iterator[Diagnosis]:
    """The cookie belongs to the user that runs the node, and nobody else may read it.

    Erlang refuses to start with a cookie that it cannot read, or that its group or others may. A restored backup, or
    a command of RabbitMQ's that was once run as root with another home, leaves it that way.
    """
    file, path = scene.file(scene.layout.cookie), scene.layout.cookie
    if file is None or not scene.has_user or (file.content is None and not file.owner):
        return
    evidence = (f"{path}: {file.rights}",)
    fix = (Access((Right(path, scene.user, _group(scene, file), 0o400),)), *scene.started)
    more = {"evidence": evidence, "hint": _hint(scene, path), "links": LINKS, "fix": fix, "safe": True}
    if file.owner != scene.user:
        yield error("RMQ-050", f"the Erlang cookie belongs to {file.owner} instead of {scene.user}", **more)
    elif file.mode & 0o077:
        yield error("RMQ-050", "the Erlang cookie can be read by others than its owner", **more)
    elif not file.mode & 0o400:
        yield error("RMQ-050", "the Erlang cookie cannot be read by its own owner", **more)


def filled(scene: Scene) -> Iterator[Diagnosis]:
    """The cookie holds a word, and nothing else. An empty or torn one keeps the node from starting."""
    file = scene.file(scene.layout.cookie)
    if file is None or file.content is None:
        return
    fault = _fault(file)
    if fault:
        yield error(
            "RMQ-051",
            f"the Erlang cookie {fault}",
            evidence=(f"{scene.layout.cookie}: {len(file.content)} bytes",),
            hint="put the cookie of the cluster back; a single node makes a new one once this file is moved away",
            links=LINKS,
            fix=(aside(scene, scene.layout.cookie), *scene.started),
        )


def same(scene: Scene) -> Iterator[Diagnosis]:
    """The node runs with another cookie than the one in the file.

    It read the file when it started, and somebody has changed it since. Nobody can administrate the node now, and
    not even the service's own stop command: `systemctl stop` waits until its deadline.
    """
    if not scene.is_registered:
        return
    try:
        _ = scene.status
    except CookieMissingError as missing:
        if scene.root:
            yield error("RMQ-052", "the node runs, and its Erlang cookie is gone", evidence=(missing.cause,))
    except CookieError as refused:
        given = [each for each in scene.environment if each.key == "ERLANG_COOKIE" or flags.cookie(each.value)]
        where = f"{given[-1].file}, line {given[-1].line}" if given else ""
        yield error(
            "RMQ-052",
            "the running node has another Erlang cookie than the file",
            evidence=(
                *(f"{each.file}:{each.line}: {each.key} = (not shown)" for each in given),
                f"{scene.layout.cookie}, against {scene.address.name}: {refused.message}",
            ),
            cause=f"{where} gives it one of its own, which no command of RabbitMQ's knows"
            if given
            else "the file was changed after the node had started",
            fix=again(scene, *given),
            hint=f"take it out of {where}, and: systemctl restart rabbitmq-server"
            if given
            else "put the old cookie back; if it is lost: systemctl kill -s KILL rabbitmq-server, and it starts anew "
            "with the one of the file",
            links=LINKS,
        )
    except ProbeError:
        return


def _fault(file: FileState) -> str:
    content = (file.content or b"").strip()
    if not content:
        return "is empty"
    if len(content.split()) > 1 or any(byte < 32 or byte > 126 for byte in content):
        return "holds more than one word, or no text"
    return "is longer than Erlang takes (255 characters)" if len(content) > 255 else ""


def _group(scene: Scene, file: FileState) -> str:
    return scene.user if file.group == "root" else file.group


def _hint(scene: Scene, path: str) -> str:
    return f"chown {scene.user}: {path} && chmod 400 {path}" if scene.user else f"chmod 400 {path}"


CHECKS = (
    Check("RMQ-050", "The Erlang cookie belongs to the broker's user alone", guarded, explains=(*DOWN, "RMQ-052")),
    Check("RMQ-051", "The Erlang cookie holds a word", filled, explains=(*DOWN, "RMQ-052")),
    Check("RMQ-052", "The running node has the cookie of the file", same, explains=DOWN),
)
