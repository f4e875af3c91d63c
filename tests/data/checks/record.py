"""Record what the doctor's checks see of a healthy machine: run on it, as root, with rmqsetup importable.

Prints JSON: files (text, mode, owner, group), names in folders, what stands at paths, and commands with their answers.
Schemas of plugins other than the broker's own and the management UI's are left out; of binaries and long files there
is the beginning.
"""

from __future__ import annotations

import json
import re
import sys

from rmqsetup.checks.scene import Scene
from rmqsetup.doctor import chosen, examine
from rmqsetup.hosts.local import LocalHost

BINARY, LONG = 64, 20_000


class Recorder(LocalHost):
    """This machine, remembering every look at it."""

    def __init__(self) -> None:
        self.seen: dict[str, dict] = {"files": {}, "names": {}, "peeks": {}, "commands": {}}

    def run(self, command, listener=None):
        result = super().run(command, listener)
        self.seen["commands"]["\0".join(command.argv)] = [result.exit_code, result.stdout, result.stderr]
        return result

    def read(self, path):
        state = super().read(path)
        if state is None or (path.endswith(".schema") and not path.endswith(("/rabbit.schema", "_management.schema"))):
            return state
        content = state.content or b""
        binary = b"\0" in content and not path.startswith("/proc/")
        long = len(content) > LONG and not path.endswith(".schema")
        kept = content[: BINARY if binary else 4096] if binary or long else content
        text = kept.decode("latin-1" if binary else "utf-8", "replace")
        self.seen["files"][path] = [text, state.mode, state.owner, state.group, state.modified]
        return state

    def names(self, directory):
        found = super().names(directory)
        if found:
            self.seen["names"][directory] = list(found)
        return found

    def peek(self, path):
        standing = super().peek(path)
        if standing:
            self.seen["peeks"][path] = standing.kind.value
        return standing


def cleaned(seen):
    """Take out what is this machine's alone: its cookie, where its disks are, the name of its mirror."""
    seen["files"]["/var/lib/rabbitmq/.erlang.cookie"][0] = "RECORDEDRECORDEDRECO\n"
    mounts = seen["files"]["/proc/self/mounts"]
    mounts[0] = "".join(re.sub(r"lowerdir=\S+", "index=off", line) for line in mounts[0].splitlines(keepends=True))
    own = re.search(
        r"^URIs: https?://([^/]+)", seen["files"]["/etc/apt/sources.list.d/debian.sources"][0], re.MULTILINE
    )
    return json.loads(json.dumps(seen, ensure_ascii=False).replace(own[1] if own else "-", "packages.example.org"))


host = Recorder()
found = examine(Scene(host), chosen())
print([each.summary for each in found.findings], file=sys.stderr)
for check in chosen():
    if check.slow:
        list(check.judge(Scene(host)))
json.dump(cleaned(host.seen), sys.stdout, indent=0, sort_keys=True, ensure_ascii=False)
