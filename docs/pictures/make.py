"""Make the pictures of the docs: what rmqsetup really prints on a fresh machine, at 80 columns.

    python docs/pictures/make.py            as root, where the tests of `tests/machine` run

What the pictures show is up to rmqsetup; nothing is drawn or edited here but the colours of the terminal.
"""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests")]

from lab.laboratory import Lab  # noqa: E402 - the lab lies beside the tests
from lab.tool import Tool  # noqa: E402

SCENES = (
    ("install", ("install", "--source", "distro", "--plugins", "rabbitmq_management")),
    ("verify", ("verify",)),
    ("status", ("status",)),
    ("watch", ("status", "--watch", "--count", "4")),
    ("uninstall", ("uninstall",)),
)
"""Name of a picture, and what is typed after `rmqsetup`."""

PERSON = """
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if not pid:
    os.environ.pop("COLUMNS")
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
seen = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    if part.endswith(b"[y/N] "):
        os.write(terminal, b"y\\n")
sys.stdout.buffer.write(seen)
"""
"""Runs a command on a terminal of 80 columns inside the machine, and answers yes to a question."""

CLIENTS = """
import sys, time
sys.path.insert(0, "/usr/local/lib/rmqsetup-lab/deps")
import pika
channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1")).channel()
channel.confirm_delivery()
for queue, kind in (("orders", "quorum"), ("invoices", "classic"), ("letters", "classic")):
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
channel.basic_qos(prefetch_count=10)
channel.basic_consume("orders", lambda own, method, *_: own.basic_ack(method.delivery_tag))
until = time.monotonic() + 30
while time.monotonic() < until:
    for queue in ("orders", "orders", "orders", "invoices", "letters")[: 4 + int(time.time()) % 2]:
        channel.basic_publish("", queue, b"a message")
    channel.connection.process_data_events(0.01)
"""
"""What goes through the broker that is watched: there is something to be seen of it a moment after this has begun."""

THEME = TerminalTheme(
    (250, 250, 248),
    (36, 41, 47),
    [
        (36, 41, 47),
        (180, 35, 24),
        (26, 127, 55),
        (154, 103, 0),
        (9, 105, 218),
        (130, 80, 223),
        (27, 124, 131),
        (90, 96, 104),
    ],
)


def main() -> None:
    """Boot a fresh Debian 13, go through the scenes in their order, and write a picture of each."""
    tool = Tool()
    with Lab() as lab:
        machine = lab.machine("trixie", layers=tool.layers())
        machine.run("apt-get", "-q", "update", check=True)
        for name, words in SCENES:
            if name == "watch":
                machine.popen("python3", "-c", CLIENTS)
                time.sleep(7)  # classic queues tell of their lengths every five seconds
            done = machine.run("python3", "-c", PERSON, "rmqsetup", *words)
            (HERE / f"{name}.svg").write_text(picture(name, f"# rmqsetup {' '.join(words)}", done.stdout))
    tool.close()


def picture(name: str, typed: str, seen: str) -> str:
    """Return the picture of a screen after a command."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(typed, style="bold"))
    console.print(Text.from_ansi("\n".join(settled(seen))))
    fonts_of_its_own = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="Debian 13", theme=THEME, code_format=fonts_of_its_own, unique_id=name)


def settled(seen: str) -> list[str]:
    """Return the lines that stay on a terminal: what moved on the last line was written over or wiped away."""
    lines, start = [""], False
    seen = seen.rpartition("\x1b[?1049l")[2]  # what was on a screen of its own is gone with it
    for part in re.split(r"(\r\n|\n|\r|\x1b\[2?K|\x1b\[1A|\x1b\[\?25[lh])", seen):
        if part in ("\n", "\r\n"):
            lines, start = [*lines, ""], False
        elif part == "\x1b[1A":
            lines.pop()
        elif part == "\r":
            start = True
        elif part.endswith("K") and part.startswith("\x1b"):
            lines[-1] = ""
        elif part and not part.startswith("\x1b[?25"):
            lines[-1], start = (part if start else lines[-1] + part), False
    return lines if lines[-1] else lines[:-1]


if __name__ == "__main__":
    main()
