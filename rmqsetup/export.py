"""A plan as a script, a Dockerfile or cloud-init user data that end where `apply` ends.

How a script speaks of packages is in `scripted`. What the steps are belongs to `wishes`; a plan as data to `codec`.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import PurePosixPath
from textwrap import indent

from rmqsetup.errors import UnsupportedError, UsageError
from rmqsetup.launch import PLUGINS
from rmqsetup.managers.layout import Layout
from rmqsetup.plan import Plan, Preview
from rmqsetup.recipe import Request
from rmqsetup.scripted import speech, trusting, typed
from rmqsetup.services import service_manager
from rmqsetup.steps import Step
from rmqsetup.steps.file import File
from rmqsetup.steps.packages import Packages
from rmqsetup.steps.service import Service
from rmqsetup.steps.trust import Trust

_SCRIPT = "/root/rmqsetup-install.sh"
"""Where cloud-init puts the script, and where it looks for the files that go with it."""

_SINCE = {
    "systemd": """\
# since NAME: when a service started, in seconds; nothing when it does not run.
since() {
    case $(systemctl show -p ActiveState --value "$1") in
        active | activating | reloading)
            date -d "$(TZ=UTC systemctl show -p ExecMainStartTimestamp --value "$1")" +%s
            ;;
    esac
}

# at_boot NAME: whether a service starts at boot.
at_boot() { systemctl --quiet is-enabled "$1" 2>/dev/null; }
""",
    "none": """\
# since NAME: when the node started, in seconds; nothing when it does not run.
since() {
    {
        @SHOW@
    } | sed -n '1s/.* //p'
}
""",
}


def render(preview: Preview, form: str) -> str:
    """Return the plan of a preview in one of `FORMS`.

    Secrets are not in it: the script asks for their files. Raises `UsageError` for a form there is not,
    `UnsupportedError` for a plan that takes away instead of installing.
    """
    if form not in _FORMS:
        raise UsageError(f"there is no form {form!r}", hint=f"choose one of {', '.join(FORMS)}")
    if any(_takes_away(step) for step in preview.plan.steps):
        raise UnsupportedError(
            f"only what installs can be exported, and this plan is to {preview.plan.title}",
            hint="rmqsetup undo and rmqsetup uninstall know from the receipts what to take back on this machine",
        )
    if preview.plan.layout.prefix:
        raise _below(preview.plan.layout, form)
    return _FORMS[form](preview.plan)


def _below(its: Layout, form: str) -> UnsupportedError:
    """Say what there is instead for a plan that is not of the system's own packages."""
    brew = its.manager == "brew"
    instead = f"for other machines, a plan for packages: rmqsetup plan --source distro --as {form}"
    return UnsupportedError(
        f"a plan for {'Homebrew' if brew else f'a broker below {its.prefix}'} cannot be written down as {form}",
        hint="on each machine, rmqsetup install --yes with the same words; --as json writes this very plan; "
        + ("for Homebrew alone: brew install rabbitmq" if brew else instead),
    )


def _sh(plan: Plan) -> str:
    return _Script(plan, plan.steps).text()


def _dockerfile(plan: Plan) -> str:
    """Install while the image is built, and run the node itself in the container: nothing else starts it."""
    steps = tuple(step for step in plan.steps if not isinstance(step, Service))
    row = plan.resolution.distribution if plan.resolution else None
    given = "".join(
        f"--mount=type=bind,source={shlex.quote(name)},target=/run/rmqsetup/{shlex.quote(name)} \\\n    "
        for name, _ in _given(steps)
    )
    its = speech(plan)
    secure = any(uri.startswith("https") for step in steps if isinstance(step, Packages) for uri in step.uris)
    if row and not its.image(row):
        raise UnsupportedError(f"no container image of {row.name} is known", hint="rmqsetup plan --as sh")
    return (
        "# syntax=docker/dockerfile:1\n"
        + _header(plan, "docker build -t broker -f FILE .", given=_given(steps))
        + f"ARG IMAGE={its.image(row) if row else 'debian:stable'}\n"
        + "FROM ${IMAGE}\n"
        + (its.certificates if secure else "")
        + _heredoc("COPY @HERE /run/rmqsetup.sh\n", _Script(plan, steps).text(), "DOCKERFILE")
        + f"RUN {given}sh /run/rmqsetup.sh /run/rmqsetup && rm -rf /run/rmqsetup.sh {its.lists}\n"
        + f"EXPOSE {' '.join(_ports(plan.request))}\n"
        + 'VOLUME ["/var/lib/rabbitmq"]\n'
        + "USER rabbitmq\n"
        + 'CMD ["rabbitmq-server"]\n'
    )


def _cloud_init(plan: Plan) -> str:
    return (
        "#cloud-config\n"
        + _header(plan, "user data of a new machine", given=_given(plan.steps))
        + "write_files:\n"
        + f"  - path: {_SCRIPT}\n"
        + '    permissions: "0700"\n'
        + "    content: |\n"
        + indent(_sh(plan), "      ", lambda _line: True)
        + "runcmd:\n"
        + f"  - [sh, {_SCRIPT}]\n"
    )


_FORMS: dict[str, Callable[[Plan], str]] = {"sh": _sh, "dockerfile": _dockerfile, "cloud-init": _cloud_init}

FORMS = tuple(_FORMS)
"""What a plan can be written as; as JSON it is written by `codec`."""


@dataclass(frozen=True, slots=True)
class _Script:
    """A POSIX script made of steps."""

    plan: Plan
    steps: tuple[Step, ...]

    def text(self) -> str:
        """Return the whole script."""
        parts = (self._prologue(), *(part for step in self.steps for part in self._step(step)))
        return "\n".join(parts)

    def _prologue(self) -> str:
        given = "".join(f"given {shlex.quote(name)} {digest}\n" for name, digest in _given(self.steps))
        its = speech(self.plan)
        helper = files("rmqsetup.managers").joinpath(f"{its.helper}.sh").read_text()
        return (
            "#!/bin/sh\n"
            + _header(self.plan, "sh FILE [FOLDER], as root", given=_given(self.steps))
            + "# shellcheck disable=SC1091,SC2016,SC2317,SC2329 # os-release; dpkg-query; spare functions\n"
            + 'set -eu\numask 022\nexport LC_ALL=C.UTF-8 LANGUAGE=\nfolder=${1:-$(dirname "$0")}\nwork=$(mktemp -d)\n'
            + "trap 'rm -rf \"$work\"' EXIT\ntrap 'exit 130' HUP INT TERM\n\n"
            + "\n".join(files("rmqsetup").joinpath(name).read_text() for name in ("export.sh", its.library))
            + "\n"
            + self._here()
            + given
            + _heredoc(f'cat >"$work/{its.helper}" @HERE\n', helper, its.helper.upper())
        )

    def _here(self) -> str:
        """Stop on a machine that the plan was not made for."""
        lines = ['[ "$(id -u)" = 0 ] || stop "run it as root"\n']
        if self.plan.facts and self.plan.resolution:
            lines += speech(self.plan).here(self.plan.resolution, self.plan.facts)
        return "".join(lines)

    def _step(self, step: Step) -> Iterator[str]:
        if isinstance(step, File):
            yield _file(step)
        elif isinstance(step, Packages):
            yield from speech(self.plan).packages(step)
        elif isinstance(step, Trust):
            yield trusting(step)
        elif isinstance(step, Service):
            yield from _service(step)
        else:
            raise UnsupportedError(f"{step.key} cannot be exported", hint="rmqsetup install does it")


def _file(step: File) -> str:
    if not step.exists:
        return f"drop {shlex.join((step.path, *step.directories))}\n"
    put = f"put {shlex.join((step.path, f'{step.mode:o}', step.owner, step.group))}"
    if step.secret or step.content is None:
        return f'{put} <"$folder/"{shlex.quote(_name(step))}\n'
    text = step.content.decode(errors="replace")
    if text.encode() == step.content and text.endswith("\n") and text.replace("\n", "").replace("\t", "").isprintable():
        return _heredoc(f"{put} @HERE\n", text, "END")
    coded = base64.encodebytes(step.content).decode()
    return _heredoc(f"base64 -d @HERE | {put}\n", coded, "END")


def _service(step: Service) -> Iterator[str]:
    its, name = service_manager(step.manager), shlex.quote(step.name)
    yield _SINCE[step.manager].replace("@SHOW@", indent(its.show(step.name).argv[-1], " " * 8).strip())
    if step.enabled:
        yield from (f"at_boot {name} || {typed(command)}\n" for command in its.enable(step.name))
    if step.enabled is False:
        yield from (f"! at_boot {name} || {typed(command)}\n" for command in its.disable(step.name))
    if step.running:
        reload = "".join(f"{typed(command)}\n" for command in its.reload())
        restart = "".join(f"    {typed(command)}\n" for command in its.restart(step.name))
        yield (
            f"{reload}running=$(since {name})\n"
            f'if [ -z "$running" ]; then\n    say start {name}\n    {typed(its.start(step.name))}\n'
            f'elif outdated=$(newer_than "$running" {shlex.join(step.newer_than)}) && [ -n "$outdated" ]; then\n'
            f'    say restart {name}, which is older than "$outdated"\n{restart}fi\n'
        )


def _header(plan: Plan, usage: str, *, given: tuple[tuple[str, str], ...]) -> str:
    lines = []
    if plan.resolution and plan.facts:
        what, row = plan.resolution, plan.resolution.distribution
        where = f"{row.name} ({', '.join(filter(None, (row.codename, plan.facts.architecture)))})"
        lines.append(f"RabbitMQ {what.rabbitmq} with Erlang {what.erlang} on {where}, source: {what.source}.")
        if not any(package.version for package in what.packages):
            lines.append("No version was asked for: the machine gets the one its source has on that day.")
    lines.append(f"Made by rmqsetup {plan.tool} on {_today()}. Run again it changes only what is otherwise.")
    lines.append(f"Usage: {usage}")
    lines += [f"Needs {name} beside it: it is not in here, since it may hold secrets." for name, _ in given]
    return "".join(f"# {line}\n" for line in lines)


def _heredoc(line: str, text: str, word: str) -> str:
    """Return a line with `@HERE` filled by a quoted here-document; its end is a word that the text has not."""
    while word in text.splitlines():
        word += "_"
    body = text if text.endswith("\n") else f"{text}\n"
    opening = line.replace("@HERE", f"<<'{word}'")
    return f"{opening}{body}{word}\n"


def _given(steps: tuple[Step, ...]) -> tuple[tuple[str, str], ...]:
    """Return name and digest of the files that are not in the export."""
    return tuple(
        (_name(step), step.wanted_digest)
        for step in steps
        if isinstance(step, File) and step.exists and (step.secret or step.content is None)
    )


def _name(step: File) -> str:
    return PurePosixPath(step.source or step.path).name


def _takes_away(step: Step) -> bool:
    if isinstance(step, Packages):
        return bool(step.absent)
    return isinstance(step, Service) and step.running is False


def _ports(request: Request | None) -> tuple[str, ...]:
    """Return the ports to open, unless its settings move them."""
    plugins = (request and request.plugins) or ()
    return ("5672", *(port for name, _, port, _ in PLUGINS if f"rabbitmq_{name}" in plugins))


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()
