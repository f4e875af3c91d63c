"""What the documents promise: their commands are read by the program, their links lead somewhere, tables are made."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from support import short, table

from rmqsetup.cli import reading
from rmqsetup.cli.options import COMMANDS, command, completed
from rmqsetup.show.watch import FLOW

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
BEGIN, END = "<!-- support:", "<!-- end of support -->"
TYPED = tuple(path for path in DOCUMENTS if path.name != "reference.md")
"""Documents with commands to type; those of the reference are made from the program, with placeholders."""


def blocks(document: Path) -> str:
    """Return the text of all blocks of commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return "\n".join(body for kind, body in found if kind in ("", "sh"))


def commands(document: Path) -> list[tuple[str, ...]]:
    """Return every call of rmqsetup in a document's blocks, and in `code` within its sentences, without its name."""
    text = document.read_text(encoding="utf-8")
    spoken = re.findall(r"`(rmqsetup [a-z][^`\n]*)`", text)
    found = []
    for line in (*blocks(document).splitlines(), *spoken):
        typed = line.partition(" #")[0]
        for part in re.split(r"[|;]|&&", typed):
            words = part.replace("sudo ", "").strip()
            if words.startswith("rmqsetup ") and not re.search(r"\b[A-Z]{4,}\b|…|\.\.\.", words):
                found.append(tuple(shlex.split(words.partition(">")[0]))[1:])
    return found


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as they are made on the web."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", TYPED, ids=lambda path: path.name)
def test_every_command_in_a_document_is_one(document):
    for argv in commands(document):
        if argv[0].startswith("--"):  # of the program as a whole: --version, --install-completion
            continue
        assert command(argv[0]) is not None, f"rmqsetup has no command {argv[0]}: {shlex.join(argv)}"
        assert reading.read(completed(argv)) is not None, f"rmqsetup does not read: {shlex.join(argv)}"


def test_documents_name_every_command():
    named = {argv[0] for document in DOCUMENTS for argv in commands(document)}
    assert named.issuperset(each.name for each in COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name} leads to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{document.name} leads to {link}, which has no such heading"


@pytest.mark.parametrize(("name", "made"), [("README.md", short), ("docs/systems.md", table)])
def test_the_tables_of_systems_are_the_catalogs(name, made):
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    comment, old = rest.split("\n", 1)
    tail = old.split(END, 1)[1]
    new = f"{head}{BEGIN}{comment}\n{made()}{END}{tail}"
    if os.environ.get("UPDATE_GOLDEN"):
        document.write_text(new, encoding="utf-8")
    assert document.read_text(encoding="utf-8") == new, "UPDATE_GOLDEN=1 pytest tests/test_docs.py writes it anew"


def test_pictures_show_what_the_tool_prints_today():
    """The words of a picture are those the program has: a renamed rung or heading makes a picture old."""
    shown = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/pictures").glob("*.svg")}
    assert set(shown) == {"install", "verify", "status", "watch", "uninstall"}
    assert all(word in shown["watch"] for word in (*FLOW, "queues", "consumers"))
    for rung in ("packages", "service", "node", "listeners", "login", "messages"):
        assert rung in shown["install"]
        assert rung in shown["verify"]
