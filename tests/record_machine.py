"""Record a machine for `tests/data/machines`: run on it, as the user to be recorded, with `rmqsetup` importable.

    python3 tests/record_machine.py FOLDER "where this is, in a few words"

Writes the files, names and answers that `detect` looked at. Indices are cut, they matter by their heads only, and so
are the distribution's own keyrings, which are long and never a finding; the kernel's release is the host's in a
container and is not kept.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

from rmqsetup.detect import detect
from rmqsetup.host import Command, FileState, Listener, Remove, Result, Write
from rmqsetup.hosts.local import LocalHost

HEAD = 1024
CUT = ("/var/lib/apt/lists", "/etc/apt/trusted.gpg.d/debian-archive")
LEFT_OUT = ("/proc/sys/kernel/osrelease",)


class RecordingHost:
    """The local host, written down as it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.local = LocalHost()
        self.commands: list[Result] = []
        self.listed: dict[str, tuple[str, ...]] = {}
        self.unreadable: list[str] = []

    def run(self, command: Command, listener: Listener | None = None) -> Result:
        result = self.local.run(command, listener)
        if command not in (each.command for each in self.commands):
            self.commands.append(result)
        return result

    def read(self, path: str) -> FileState | None:
        state = self.local.read(path)
        if state and state.content is None:
            self.unreadable.append(path)
        elif state and state.content is not None and path not in LEFT_OUT:
            file = self.folder / "files" / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(state.content[:HEAD] if path.startswith(CUT) else state.content)
        return state

    def names(self, directory: str) -> tuple[str, ...]:
        self.listed[directory] = self.local.names(directory)
        return self.listed[directory]

    def write(self, write: Write) -> None:
        raise AssertionError(write)

    def remove(self, remove: Remove) -> None:
        raise AssertionError(remove)

    def save(self, where: str) -> None:
        today = dt.datetime.now(tz=dt.timezone.utc).date().isoformat()
        about = [f"kind = {quoted('recorded')}", f"date = {quoted(today)}", f"where = {quoted(where)}"]
        about.append(f"unreadable = {json.dumps(self.unreadable)}")
        self.put("about.toml", about)
        self.put("names.toml", [f"{quoted(folder)} = {json.dumps(names)}" for folder, names in self.listed.items()])
        lines: list[str] = []
        for result in self.commands:
            lines += ["[[command]]", f"argv = {json.dumps(result.command.argv)}", f"exit_code = {result.exit_code}"]
            lines += [f"stdout = {quoted(result.stdout)}", f"stderr = {quoted(result.stderr)}", ""]
        self.put("commands.toml", lines)

    def put(self, name: str, lines: list[str]) -> None:
        (self.folder / name).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def quoted(text: str) -> str:
    if "\n" not in text:
        return json.dumps(text)
    return '"""\n' + text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + '"""'


if __name__ == "__main__":
    recorder = RecordingHost(Path(sys.argv[1]))
    recorder.folder.mkdir(parents=True, exist_ok=True)
    detect(recorder)
    detect(recorder, fetch=True)
    recorder.save(sys.argv[2])
