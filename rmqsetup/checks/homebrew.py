"""The broker of a Mac: Homebrew's formula, its job with launchd, its Erlang; and the one that MacPorts has."""

from __future__ import annotations

from collections.abc import Iterator

from rmqsetup.catalog import load
from rmqsetup.catalog.rows import Fit
from rmqsetup.checks import DOCS, DOWN, Check, Diagnosis, error, info, warning
from rmqsetup.checks.scene import Scene
from rmqsetup.host import Command, Result
from rmqsetup.services import ServiceState
from rmqsetup.services.brew import BrewServices
from rmqsetup.version import series, upstream


def service(scene: Scene) -> Iterator[Diagnosis]:
    """What is registered with launchd, or with the systemd of a user, really runs.

    `brew services` says *started* of a job that died right after, and a start of one that launchd still holds ends with
    *Bootstrap failed: 5*. A restart takes it out first.
    """
    state = _service(scene)
    if state is None or not state.known:
        return
    brew, shown = f"{scene.layout.prefix}/bin/brew", state.words or "no process of the node"
    if state.stale:
        yield error(
            "RMQ-116",
            "the registered job starts a RabbitMQ of another Homebrew, or one that is gone",
            evidence=(f"the job does not name {scene.layout.prefix}/opt/{scene.layout.server}",),
            cause="Homebrew moved (from Intel to Apple silicon), or the formula was removed under its job",
            hint=f"{brew} services stop {scene.layout.service}; {brew} services start {scene.layout.service}",
        )
    elif state.enabled and not state.running:
        yield error(
            "RMQ-116",
            "the broker is registered to run at login, and does not run",
            evidence=(f"{scene.layout.service}: registered, {shown}",),
            cause=f"it ended by itself: {scene.layout.logs}/std_error.log says why",
            hint=f"{brew} services restart {scene.layout.service} (a start would end with error 5)",
        )
    elif not state.running:
        yield info(
            "RMQ-116",
            "the broker does not run, and is not registered to",
            evidence=(f"{scene.layout.service}: not registered, {shown}",),
            hint=f"{brew} services start {scene.layout.service}",
        )


def pair(scene: Scene) -> Iterator[Diagnosis]:
    """The Erlang that Homebrew's RabbitMQ needs is there, and not too old for it.

    What its formula names is newer than RabbitMQ's own table at times, and works.
    """
    brew = scene.facts.homebrew if scene.layout.manager == "brew" else None
    keg = brew.keg(scene.layout.server) if brew else None
    if brew is None or keg is None or not keg.erlang:
        return
    erlang, program = brew.keg(keg.erlang), f"{scene.layout.prefix}/bin/brew"
    judged = load().judge_pair(keg.version, erlang.version) if erlang else None
    if erlang is None or judged is None:
        yield error(
            "RMQ-117",
            f"the Erlang of Homebrew's RabbitMQ is gone: {keg.erlang}",
            evidence=(f"{scene.layout.prefix}/Cellar has no {keg.erlang}",),
            cause="it was removed by force, as nothing else takes it from under RabbitMQ",
            hint=f"{program} install {keg.erlang}",
            links=(f"{DOCS}/which-erlang",),
        )
    elif judged.fit in (Fit.TOO_OLD, Fit.KNOWN_BAD):
        yield (warning if judged.boots else error)(
            "RMQ-117",
            f"Homebrew's RabbitMQ {keg.version} has an Erlang that does not fit: {erlang.version}",
            evidence=(f"{scene.layout.prefix}/Cellar: {keg.erlang} {erlang.version}",),
            cause=judged.reason,
            hint=f"{program} upgrade {scene.layout.server} {keg.erlang}",
            links=(f"{DOCS}/which-erlang",),
        )


def programs(scene: Scene) -> Iterator[Diagnosis]:
    """Homebrew's programs of RabbitMQ are found by their names: they are in its sbin."""
    if scene.layout.manager != "brew" or not scene.installed:
        return
    if scene.run("sh", "-c", "command -v rabbitmqctl").ok:
        return
    yield info(
        "RMQ-118",
        "rabbitmqctl is not on PATH",
        evidence=("command -v rabbitmqctl: nothing",),
        cause="Homebrew links RabbitMQ's programs into its sbin, which its own setup of a shell leaves out",
        hint=f'export PATH="{scene.layout.prefix}/sbin:$PATH" in the profile of your shell',
    )


def macports(scene: Scene) -> Iterator[Diagnosis]:
    """The broker is none of MacPorts, which has not seen a newer release for years."""
    port = scene.facts.package("rabbitmq-server")
    if port is None or port.origin != "MacPorts":
        return
    release = upstream(port.version.partition("_")[0])
    row = load().series_named(series(release))
    ended = f"; series {row.name} has had no public fixes since {row.community_until}" if row else ""
    yield warning(
        "RMQ-119",
        f"MacPorts' RabbitMQ is years behind: {release}",
        evidence=(f"/opt/local/var/macports/software/rabbitmq-server: {port.version}{ended}",),
        cause="its port has had no maintainer since 2023",
        hint="install Homebrew's, and move the definitions: rabbitmqctl export_definitions FILE; rmqsetup install",
        links=("https://www.rabbitmq.com/release-information",),
    )


def _service(scene: Scene) -> ServiceState | None:
    """Look for the job and its process, without the second that `brew services` takes; None where it is not brew's."""
    if scene.layout.manager != "brew" or not scene.installed:
        return None
    services = BrewServices(scene.layout.prefix)
    return services.parse(_look(scene, services.look(scene.layout.service)).stdout)


def _look(scene: Scene, command: Command) -> Result:
    return scene.remembered(command.argv, lambda: scene.host.run(command))


CHECKS = (
    Check("RMQ-116", "The job that Homebrew registered runs", service, explains=DOWN),
    Check("RMQ-117", "Homebrew's RabbitMQ has its Erlang", pair, explains=DOWN),
    Check("RMQ-118", "Homebrew's programs are found", programs),
    Check("RMQ-119", "The broker is not the one of MacPorts", macports),
)
