"""`brew services`, over launchd or a user's systemd; and without a session for either, the node by itself.

What `brew services` says is believed as far as the processes bear it out: it reports a broker as started that dies
two seconds later, and on Linux one that failed like one that was never started.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError, UnsupportedError
from rmqsetup.host import Command, Result
from rmqsetup.managers.brew import ENVIRONMENT
from rmqsetup.services import ServiceState, launchd
from rmqsetup.services.nodes import ByHand, function, since

_NODES = "prefix=$1 name=$2\n" + function('*"$prefix/"*beam*')

_SHOW = f"""{_NODES}
[ -x "$prefix/opt/$name/sbin/rabbitmq-server" ] && echo installed
for file in ~/Library/LaunchAgents/homebrew.mxcl."$name".plist ~/.config/systemd/user/homebrew."$name".service; do
    [ -f "$file" ] && sed -n 's,^[^/]*\\(/[^<>" ]*/sbin/rabbitmq-server\\).*,registered \\1,p' "$file"
done
date +now=%s
nodes
"""

_SERVICES = """"$prefix/bin/brew" services info "$name" --json 2>&1
true"""

_START = f"""{_NODES}
brew=$prefix/bin/brew
"$brew" services run "$name" || "$brew" services restart "$name" || exit 1
"""
"""A job that is loaded and dead is not started by a start: launchd answers 5. A restart takes it out first."""

_DETACH = f"""{_NODES}
"$prefix/opt/$name/sbin/rabbitmq-server" -detached || exit
"""

_APPEAR = """for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -z "$(nodes)" ] || exit 0
    sleep 0.5
done
echo "$name was started, and nothing runs" >&2
exit 1"""

START_SECONDS = 120.0

_FAILURES: tuple[tuple[str, str, str], ...] = (
    *launchd.FAILURES,
    (
        r"Failed to connect to (user scope )?bus|XDG_RUNTIME_DIR not set|No medium found",
        "systemd has no session of this user to start it in",
        launchd.FAILURES[0][2],
    ),
    (
        r"(is started as `?root|Operation not permitted|Permission denied)",
        "an earlier sudo brew services has left it to root",
        "sudo brew services stop {name}, then give it back with: sudo chown -R $(id -un) {prefix}/opt/{name}/",
    ),
    (
        r"supported only on macOS or Linux",
        "there is neither launchd nor systemd here",
        "run the broker in the foreground with: {foreground}",
    ),
    (r"is not installed", "{name} is not installed", "brew install {name}"),
    (r"nothing runs", "it ended at once", "see what it says in the foreground: {foreground}"),
)
"""What `brew services` and launchd say, what it means, and what to do; the first that fits counts."""


class BrewServices:
    """The services of a Homebrew, in the session of the user it belongs to."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.program = f"{prefix}/bin/brew"

    def show(self, name: str) -> Command:
        """Ask `brew services`, which takes a second, and look for the node's process and its registration."""
        return Command(("sh", "-c", _SHOW + _SERVICES, "show", self.prefix, name), env=ENVIRONMENT)

    def look(self, name: str) -> Command:
        """Look for the node's process and its registration alone, which takes no second."""
        return Command(("sh", "-c", _SHOW, "show", self.prefix, name), env=ENVIRONMENT)

    def parse(self, text: str) -> ServiceState:
        """Read what is registered and runs, and what `brew services` thinks of it.

        It runs if there is a process. It is `stale` when what is registered is of another Homebrew, or gone.
        """
        entry = _entry(text)
        registered = re.findall(r"^registered (.+)$", text, re.MULTILINE)
        stale = any(not path.startswith(f"{self.prefix}/") for path in registered)
        began = since(text)
        known = "installed" in text.splitlines()
        return ServiceState(
            known=known,
            running=began is not None,
            enabled=bool(registered) and not stale,
            since=began or 0.0,
            stale=stale or (bool(registered) and not known),
            words=_words(entry, runs=began is not None),
        )

    def reload(self) -> tuple[Command, ...]:
        """Take out what is registered for another Homebrew, or for a formula that is gone: its file goes."""
        return (self._services("stop", "rabbitmq"),)

    def start(self, name: str) -> Command:
        """Start without registering it for the next login: `enable` does that. Returns when there is a process."""
        return Command(
            ("sh", "-c", _START + _APPEAR, "start", self.prefix, name), env=ENVIRONMENT, timeout=START_SECONDS
        )

    def restart(self, name: str) -> tuple[Command, ...]:
        """Restart; takes a job out that is loaded and dead."""
        return (self._services("restart", name),)

    def stop(self, name: str) -> Command:
        """Stop, and leave it registered."""
        return self._services("stop", "--keep", name)

    def forget(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody remembers."""
        return ()

    def enable(self, name: str) -> tuple[Command, ...]:
        """Register it for every login, which starts it as well; one that was started by hand or died is ended first."""
        return (self._services("stop", name), self._services("start", name))

    def disable(self, name: str) -> tuple[Command, ...]:
        """Take it out for good, which stops it as well."""
        return (self._services("stop", name),)

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Tell the ways apart in which launchd and systemd refuse."""
        said = f"{result.stdout}\n{result.stderr}"
        words = {
            "name": name,
            "prefix": self.prefix,
            "foreground": foreground(self.prefix),
            "label": f"homebrew.mxcl.{name}",
            "again": f"brew services start {name}",
        }
        for pattern, meaning, hint in _FAILURES:
            if re.search(pattern, said):
                cause = "\n".join((meaning.format(**words), *_complaints(said)))
                return BrokerNotReadyError(f"{name} cannot be started", cause=cause, hint=hint.format(**words))
        hint = f"rmqsetup verify shows how far the node came; its logs are in {self.prefix}/var/log/rabbitmq"
        return BrokerNotReadyError(f"brew services failed for {name}", cause=result.tail(), hint=hint)

    def _services(self, *words: str) -> Command:
        return Command((self.program, "services", *words), env=ENVIRONMENT, timeout=START_SECONDS)


class Detached(ByHand):
    """The node of a Homebrew where there is no session to put a service in: started detached, as its user."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def show(self, name: str) -> Command:
        """Look for the node's process."""
        return Command(("sh", "-c", f"{_SHOW}true", "show", self.prefix, name))

    def parse(self, text: str) -> ServiceState:
        """Read which process there is, and whether there is a formula."""
        return replace(super().parse(text), known="installed" in text.splitlines())

    def start(self, name: str) -> Command:
        """Start the node detached from us."""
        argv = ("sh", "-c", _DETACH + _APPEAR, "start", self.prefix, name)
        return Command(argv, env=(settings(self.prefix),), timeout=START_SECONDS)

    def stop(self, name: str) -> Command:  # noqa: ARG002
        """Ask the node to end, and wait for it."""
        argv = (f"{self.prefix}/opt/rabbitmq/sbin/rabbitmqctl", "shutdown")
        return Command(argv, env=(settings(self.prefix),), timeout=START_SECONDS)

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Say where the node's own words are."""
        hint = f"see what it says in the foreground: {foreground(self.prefix)}"
        if result.exit_code == 127:
            return UnsupportedError("the programs of RabbitMQ are gone", cause=result.tail(), hint="rmqsetup install")
        return BrokerNotReadyError(f"{name} cannot be started", cause=result.tail(), hint=hint)


def foreground(prefix: str) -> str:
    """Return what to type to run the node in a terminal, or under a supervisor of one's own."""
    name, value = settings(prefix)
    return f"{name}={value} {prefix}/opt/rabbitmq/sbin/rabbitmq-server"


def settings(prefix: str) -> tuple[str, str]:
    """Return the variable that names the node's settings: Homebrew's own service sets it."""
    return "CONF_ENV_FILE", f"{prefix}/etc/rabbitmq/rabbitmq-env.conf"


def _complaints(said: str) -> tuple[str, ...]:
    lines = (line.strip()[:300] for line in said.splitlines())
    return tuple(line for line in lines if re.search(r"^Error:|[Ff]ailed|not support", line))[:3]


def _entry(text: str) -> dict[str, object]:
    """Return the one entry of the JSON, wherever it begins; a text without it has an empty one."""
    for match in re.finditer(r"^\[", text, re.MULTILINE):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return found[0]
    return {}


def _words(entry: dict[str, object], *, runs: bool) -> str:
    """Say how `brew services` and the processes go together, in a line."""
    status, code = str(entry.get("status", "")), entry.get("exit_code")
    begun = status == "started" or entry.get("running") is True
    if not entry:
        return "a process, and brew services does not answer" if runs else "brew services does not answer"
    if runs:
        return "started" if begun else f"a process that brew services did not start (it says: {status})"
    if status == "error":
        return f"it ended with exit code {code}" if isinstance(code, int) else "it failed"
    if begun or entry.get("loaded") is True:
        return "brew services says started, and nothing runs"
    return "not started" if status in ("none", "stopped", "") else status
