"""The tutorial, typed as it stands on a fresh machine: what it says is printed is printed."""

from __future__ import annotations

import re

import pytest
from broker import STAYS
from lab.tool import CHECKOUT, ROOT

pytestmark = pytest.mark.machine

BLOCK = re.compile(r"(?:^<!-- exit (\d+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """Yield kind, text and expected exit code of every block, in order."""
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    for code, kind, body in BLOCK.findall(text):
        yield kind, body, int(code or 0)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_it_goes_as_it_says(boot, tool):
    machine = boot("trixie", layers=(tool.checkout(),))
    before = machine.snapshot()
    printed, typed = "", 0
    for kind, body, code in blocks():
        if kind == "sh":
            done = machine.run("sh", "-eu", input=f"cd {CHECKOUT}\n{body}")
            assert done.exit_code == code, f"{body}\n{done}"
            printed, typed = plain(done.stdout + done.stderr), typed + 1
        else:
            for line in filter(None, body.splitlines()):
                assert line in printed, f"{line!r} is not in what was printed:\n{printed}"
        if "add_user" in body:
            ask = (
                "import urllib.request as r; a = r.HTTPPasswordMgrWithDefaultRealm(); "
                "u = 'http://localhost:15672/api/whoami'; a.add_password(None, u, 'ada', 'a long password'); "
                "print(r.build_opener(r.HTTPBasicAuthHandler(a)).open(u).read().decode())"
            )
            assert '"administrator"' in machine.run("python3", "-c", ask, check=True).stdout
    assert typed >= 10
    assert not machine.exists("/usr/local/bin/rmqsetup")
    left = before.differences(machine.snapshot(), ignore=(*STAYS, "/etc/python3*"))
    asked_for = ("python3-pika", "python3-venv")
    surprising = [line for line in left if ": new " not in line and not any(name in line for name in asked_for)]
    assert surprising == []
    assert not any("rabbitmq" in line or "erlang" in line for line in left), left
