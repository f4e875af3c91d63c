"""The pages of the doctor's checks are those in the program, and the table of faults has every fault that is tried."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rmqsetup.checks import catalogue
from rmqsetup.show.doctor import document

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/checks"
DOCUMENT = ROOT / "docs/doctor.md"
BEGIN, END = "<!-- checks: written by tests/test_doctor_docs.py -->", "<!-- end of checks -->"
AGAIN = "UPDATE_GOLDEN=1 pytest tests/test_doctor_docs.py writes it anew"


def test_every_check_has_its_page():
    pages = {f"{check.id}.md": document(check) for check in catalogue()}
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        for stale in FOLDER.glob("*.md"):
            stale.unlink()
        for name, text in pages.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")} == pages, AGAIN


def test_every_check_is_in_the_table():
    rows = ["", "| Id | Group | What holds where it is silent |", "|---|---|---|"]
    ordered = sorted(catalogue(), key=lambda check: check.id)
    rows += [f"| [{each.id}](checks/{each.id}.md) | {each.group} | {each.title} |" for each in ordered]
    text = DOCUMENT.read_text(encoding="utf-8")
    new = f"{text.split(BEGIN)[0]}{BEGIN}\n" + "\n".join(rows) + f"\n\n{END}" + text.split(END)[1]
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(new, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == new, AGAIN


def test_every_fault_that_is_tried_is_in_the_document():
    sys.path.insert(0, str(ROOT / "tests/machine"))
    try:
        from faults import RUNNING, STOPPED
    finally:
        sys.path.pop(0)
    text = DOCUMENT.read_text(encoding="utf-8")
    known = {check.id for check in catalogue()}
    for fault in (*RUNNING, *STOPPED):
        assert fault.check in known
        assert f"| {fault.name} | {fault.check} |" in text, fault.name
