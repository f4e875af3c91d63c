"""What the doctor found: for a tired person, as data, for a CI; and the pages of its checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rmqsetup.finding import Severity
from rmqsetup.show.layout import seconds, wrapped

if TYPE_CHECKING:
    from rmqsetup.checks import Check, Diagnosis
    from rmqsetup.doctor import Examination, Illness
    from rmqsetup.show.terminal import Terminal

_COLUMN = 9
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.CRASH: "warning", Severity.INFO: "notice"}


def screen(found: Examination, terminal: Terminal, *, root: bool) -> str:
    """Return the findings as text: worst first, each with what shows it and what to type, and a line that sums up."""
    parts = [_illness(illness, terminal) for illness in found.illnesses]
    if found.unseen and not root:
        names = ", ".join(found.unseen[:4]) + (f" and {len(found.unseen) - 4} more" if len(found.unseen) > 4 else "")
        parts.append(wrapped(f"not seen, for want of permission: {names} (sudo sees more)", terminal.width, rest="  "))
    return "\n\n".join((*parts, _sum(found)))


def left_out(cause: Diagnosis, terminal: Terminal) -> str:
    """Say of a finding that is not mended that the broker is not started because of it."""
    words = f"{cause.check} is not mended and keeps the broker from starting, so no start is tried: {cause.summary}"
    return f"{wrapped(words, terminal.width, rest='  ')}\n"


def data(found: Examination) -> object:
    """Return the findings as data, consequences below their causes."""
    return {
        "healthy": found.ok,
        "findings": [_data(each.cause, tuple(each.consequences)) for each in found.illnesses],
        "checked": list(found.checked),
        "unseen": list(found.unseen),
        "seconds": round(found.seconds, 3),
    }


def ci(found: Examination, form: str) -> str:
    """Return the findings as `junit` or `github` wants them."""
    return _junit(found) if form == "junit" else _github(found)


def listing(checks: tuple[Check, ...], terminal: Terminal) -> str:
    """Return the checks in columns: id, group, title."""
    wide = max((len(check.group) for check in checks), default=0)
    rows = sorted((check.id, f"{check.group:<{wide}}  {check.title}") for check in checks)
    return "\n".join(
        wrapped(text, terminal.width, first=f"{name}  ", rest=" " * (len(name) + wide + 4)) for name, text in rows
    )


def page(check: Check, terminal: Terminal) -> str:
    """Return the page of a check, broken to the width of the terminal."""
    paragraphs = check.page.split("\n\n")
    body = "\n\n".join(wrapped(" ".join(each.split()), terminal.width) for each in paragraphs)
    return f"{check.id}  {check.title} ({check.group})\n\n{body}"


def document(check: Check) -> str:
    """Return the page of a check in Markdown, as it is in the documentation."""
    explained = f"\nAn error found here explains: {', '.join(check.explains)}.\n" if check.explains else ""
    slow = "\nOnly asked where nothing else tells why the node is down.\n" if check.slow else ""
    return f"# {check.id}: {check.title}\n\nGroup: {check.group}.\n\n{check.page}\n{slow}{explained}"


def check_data(check: Check) -> object:
    """Return a check as data."""
    return {
        "id": check.id,
        "group": check.group,
        "title": check.title,
        "page": check.page,
        "explains": list(check.explains),
        "slow": check.slow,
    }


def _illness(illness: Illness, terminal: Terminal) -> str:
    cause = illness.cause
    head = f"{terminal.paint(f'{cause.severity.value:<{_COLUMN}}')}{cause.check}  {cause.summary}"
    lines = [wrapped(head, terminal.width, rest=" " * _COLUMN)]
    folded = "; ".join(f"{each.summary} ({each.check})" for each in illness.consequences)
    mended = f"rmqsetup doctor --fix={cause.check}" if cause.fix else ""
    rows = (
        ("because", cause.cause),
        ("seen", "\n".join(cause.evidence)),
        ("explains", folded),
        ("to do", cause.hint),
        ("or type", mended),
        ("read on", cause.links[0] if cause.links else ""),
    )
    column = " " * (_COLUMN + 9)
    for name, text in rows:
        if text:
            lines.append(wrapped(text, terminal.width, first=f"{' ' * _COLUMN}{name:<9}", rest=column))
    return "\n".join(lines)


def _sum(found: Examination) -> str:
    counts = [(severity, sum(each.cause.severity is severity for each in found.illnesses)) for severity in Severity]
    names = {Severity.INFO: "remark", Severity.CRASH: "check that broke"}
    told = [_many(number, names.get(severity, severity.value)) for severity, number in reversed(counts) if number]
    asked = f"{_many(len(found.checked), 'check')} in {seconds(found.seconds)}"
    return f"{', '.join(told)}; {asked}" if told else f"Nothing to report: {asked}."


def _many(number: int, word: str) -> str:
    what, blank, rest = word.partition(" ")
    return f"{number} {what}{'' if number == 1 else 's'}{blank}{rest}"


def _data(finding: Diagnosis, consequences: tuple[Diagnosis, ...] = ()) -> dict[str, object]:
    told: dict[str, object] = {
        "check": finding.check,
        "severity": finding.severity.value,
        "summary": finding.summary,
        "evidence": list(finding.evidence),
        "cause": finding.cause,
        "hint": finding.hint,
        "links": list(finding.links),
        "fixable": bool(finding.fix),
        "safe": finding.safe,
    }
    return {**told, "consequences": [_data(each) for each in consequences]}


def _junit(found: Examination) -> str:
    """One test case per check; a finding is a failure of its check, one that is folded says under which it is."""
    from xml.etree import ElementTree as ET

    from rmqsetup.checks import catalogue

    known = {check.id: check for check in catalogue()}
    by_check: dict[str, list[tuple[Diagnosis, str]]] = {}
    for illness in found.illnesses:
        by_check.setdefault(illness.cause.check, []).append((illness.cause, ""))
        for each in illness.consequences:
            by_check.setdefault(each.check, []).append((each, f"a consequence of {illness.cause.check}"))
    failed = {
        name: rows for name, rows in by_check.items() if any(row[0].severity is not Severity.INFO for row in rows)
    }
    suite = ET.Element(
        "testsuite",
        {"name": "rmqsetup doctor", "tests": str(len(found.checked)), "failures": str(len(failed)), "errors": "0"},
    )
    for name in found.checked:
        case = ET.SubElement(suite, "testcase", {"classname": known[name].group, "name": f"{name} {known[name].title}"})
        for finding, note in failed.get(name, ()):
            failure = ET.SubElement(
                case, "failure", {"message": _characters(finding.summary), "type": finding.severity.value}
            )
            failure.text = _characters("\n".join(filter(None, (note, *finding.evidence, finding.cause, finding.hint))))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode")


def _characters(text: str) -> str:
    """Leave out what XML cannot hold: a log may contain anything."""
    return re.sub(r"[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _github(found: Examination) -> str:
    """One annotation per root cause, in the workflow commands of GitHub Actions."""
    return "\n".join(
        f"::{_GITHUB[each.cause.severity]} title={_escaped(each.cause.check)}::"
        + _escaped("\n".join(filter(None, (each.cause.summary, *each.cause.evidence, each.cause.hint))))
        for each in found.illnesses
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
