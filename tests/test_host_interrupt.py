"""ctrl-C while a command runs: heard at once, held back to the end of the command, and a second one ends it."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from rmqsetup.host import Command
from rmqsetup.hosts.local import LocalHost


def interrupted(times: int, *argv: str) -> tuple[list[str], float]:
    """Run a command, interrupt it that often, and return what was told and how long it took."""
    told: list[str] = []

    def press() -> None:
        for _ in range(times):
            time.sleep(0.4)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        LocalHost().run(Command(argv), told.append)
    return told, time.monotonic() - begun


def test_the_first_is_told_and_held_back(tmp_path):
    mark = tmp_path / "mark"
    told, _ = interrupted(1, "sh", "-c", f"sleep 1.2; echo done; touch {mark}")
    assert mark.exists(), "the command came to its end"
    assert told[-1] == "done"
    assert [line for line in told if line.startswith("waiting: ctrl-C was heard")] == told[:1]


def test_the_second_ends_the_command(tmp_path):
    mark = tmp_path / "mark"
    interrupted(2, "sh", "-c", f"sleep 60; touch {mark}")
    assert not mark.exists()
