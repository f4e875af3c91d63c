"""launchd, by launchctl: a broker below a prefix as an agent of its user, which runs while that user is logged in."""

from __future__ import annotations

import re
from html import escape

from rmqsetup.errors import BrokerNotReadyError, RmqsetupError
from rmqsetup.host import Command, Result
from rmqsetup.services import ServiceState
from rmqsetup.services.nodes import since

AGENTS = "Library/LaunchAgents"
"""Where a user's own agents are, below the home."""

LABEL = "rmqsetup.rabbitmq-server"
"""What launchd calls the agent, and what its file is named with."""

SECONDS = 180.0

# As Homebrew chooses it: over ssh, with somebody else at the screen, there is no session of a screen.
_HEAD = """label=$1 user=$(id -u) file=~/Library/LaunchAgents/$1.plist
domain=gui/$user
[ -z "$SSH_TTY" ] || [ "$(stat -f %u /dev/console)" = "$user" ] || domain=user/$user
"""

_SHOW = """[ -f "$file" ] && echo registered
date +now=%s
told=$(launchctl print "$domain/$label" 2>/dev/null) && echo loaded
pid=$(printf '%s\\n' "$told" | sed -n 's/^[[:space:]]*pid = //p')
[ -z "$pid" ] || echo "process $pid for $(ps -o etime= -p "$pid")"
printf '%s\\n' "$told" | sed -n 's/^[[:space:]]*last exit code = /ended with /p'
true"""

# launchd reads a file once, when it takes the job, and answers 5 to a job that it still holds.
_OUT = """launchctl print "$domain/$label" >/dev/null 2>&1 && launchctl bootout "$domain/$label"
for attempt in $(seq 600); do
    launchctl print "$domain/$label" >/dev/null 2>&1 || break
    sleep 0.2
done
"""

# A folder of logs that is missing keeps launchd from starting the job at all.
_IN = """mkdir -p "$(sed -n 's,.*<string>\\(/.*\\)/std_out.log</string>.*,\\1,p' "$file")" || exit
launchctl enable "$domain/$label"
launchctl bootstrap "$domain" "$file" || exit
launchctl kickstart "$domain/$label" || launchctl print "$domain/$label" | grep -q '^[[:space:]]*pid = '
"""

_PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by rmqsetup. Changes made here are noticed, and kept beside at the next run. -->
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>{label}</string>
    <key>ProgramArguments</key>
    <array>
        <string>{prefix}/bin/rabbitmq-server</string>
    </array>
    <key>EnvironmentVariables</key>
    <dict>
        <key>RUNNING_UNDER_SYSTEMD</key>
        <string>true</string>
    </dict>
    <key>RunAtLoad</key>
    <{enabled}/>
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <key>ExitTimeOut</key>
    <integer>120</integer>
    <key>LimitLoadToSessionType</key>
    <array>
        <string>Aqua</string>
        <string>Background</string>
        <string>LoginWindow</string>
        <string>StandardIO</string>
        <string>System</string>
    </array>
{limits}    <key>StandardOutPath</key>
    <string>{logs}/std_out.log</string>
    <key>StandardErrorPath</key>
    <string>{logs}/std_error.log</string>
</dict>
</plist>
"""

_LIMIT = """\
    <key>{kind}ResourceLimits</key>
    <dict>
        <key>NumberOfFiles</key>
        <integer>{number}</integer>
    </dict>
"""

FAILURES: tuple[tuple[str, str, str], ...] = (
    (
        r"Domain does not support specified action|Bootstrap failed: 125|Could not find domain|: 112: Could not find",
        "launchd has no session of this user to start it in",
        "log in at the screen, on Linux: loginctl enable-linger; or run it in the foreground with: {foreground}",
    ),
    (
        r"(Bootstrap|Load) failed: 5: Input/output error",
        "launchd holds an old job of this name, or cannot read its plist: a home directory on another disk",
        "launchctl bootout gui/$(id -u)/{label}, then {again}",
    ),
    (r"Bootout failed: 36|Operation now in progress", "launchd is still ending it", "try again in a few seconds"),
)
"""What launchd says, what it means, and what to do; the first that fits counts."""


class Launchd:
    """The agents of the user we run as. Whether one starts at login is in its file, so that is not asked here."""

    def show(self, name: str) -> Command:
        """Ask whether there is a file, whether launchd has the job, and for its process."""
        return _script(_SHOW, name)

    def parse(self, text: str) -> ServiceState:
        """Read which process there is, and how the last one ended."""
        lines, began = text.splitlines(), since(text)
        ended = re.search(r"^ended with (.+)$", text, re.MULTILINE)
        words = "a process" if began is not None else f"it ended with {ended[1]}" if ended else "not started"
        known = "registered" in lines
        return ServiceState(known, running=began is not None, enabled=None, since=began or 0.0, words=words)

    def reload(self) -> tuple[Command, ...]:
        """Do nothing: a start reads the file."""
        return ()

    def start(self, name: str) -> Command:
        """Give the job to launchd, anew where that holds one that is dead, and start it."""
        return _script(_OUT + _IN, name)

    def restart(self, name: str) -> tuple[Command, ...]:
        """Stop, then start, which reads a changed file."""
        return (self.stop(name), self.start(name))

    def stop(self, name: str) -> Command:
        """Take the job from launchd, which ends the node in order, and wait for that."""
        return _script(f'{_OUT}! launchctl print "$domain/$label" >/dev/null 2>&1', name)

    def forget(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: nobody remembers."""
        return ()

    def enable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: its file says so."""
        return ()

    def disable(self, name: str) -> tuple[Command, ...]:  # noqa: ARG002
        """Do nothing: its file says so."""
        return ()

    def explain(self, name: str, result: Result) -> RmqsetupError:
        """Tell the ways apart in which launchd refuses."""
        said = f"{result.stdout}\n{result.stderr}"
        words = {"label": name, "again": "rmqsetup start", "foreground": "rmqsetup start --foreground"}
        for pattern, meaning, hint in FAILURES:
            if re.search(pattern, said):
                cause = f"{meaning}\n{result.tail(2)}"
                return BrokerNotReadyError("launchd does not start the broker", cause=cause, hint=hint.format(**words))
        hint = "rmqsetup verify shows how far the node came; rmqsetup start --foreground shows what it says"
        return BrokerNotReadyError("launchd does not do as it was told", cause=result.tail(), hint=hint)


def plist(prefix: str, *, logs: str, enabled: bool, open_files: int | None) -> str:
    """Return the file of the agent: it starts at login where `enabled`, and again when it dies."""
    kinds = ("Soft", "Hard") if open_files else ()
    return _PLIST.format(
        label=LABEL,
        prefix=escape(prefix, quote=False),
        logs=escape(logs, quote=False),
        enabled="true" if enabled else "false",
        limits="".join(_LIMIT.format(kind=kind, number=open_files) for kind in kinds),
    )


def _script(text: str, name: str) -> Command:
    return Command(("sh", "-c", _HEAD + text, "sh", name), timeout=SECONDS)
