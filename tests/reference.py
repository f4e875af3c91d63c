"""Write docs/reference.md from the commands, their options and the families of errors."""

from __future__ import annotations

import inspect
import re

from rmqsetup.cli.app import about
from rmqsetup.cli.options import COMMANDS, RECIPES, TALK
from rmqsetup.cli.words import Command, Option
from rmqsetup.errors import FAMILIES, SOMETHING_TO_DO
from rmqsetup.recipe import shipped

HEAD = """\
# Reference

Made from the program; `UPDATE_GOLDEN=1 pytest tests/test_cli.py` writes it anew.

```
rmqsetup COMMAND [OPTIONS]
rmqsetup COMMAND --help
rmqsetup --version
rmqsetup --install-completion
```

Options come after the command. Results go to standard output, everything else to standard error. Nothing is drawn
where there is no terminal; `NO_COLOR` takes the colours away; a terminal's width is used up to 110 columns, or what
`COLUMNS` says. `install`, `start`, `undo` and `uninstall` need root and go on through sudo by themselves, with the
proxy variables, `NO_COLOR`, `LANG`, `LC_*`, `COLUMNS`, `TERM` and `RMQSETUP_*` of the environment. With
Homebrew nothing is done as root; a broker from an archive belongs to whoever installs it, and needs no root.
"""

JSON = """\
## JSON

With `--output json` every command prints one object, also when it fails, and ends with the same exit code. That of
`start --foreground` comes when the node has ended, that of `run` without a command when its broker is up; `status
--watch` prints one for each look, in a line of its own.

| Key | Meaning |
|---|---|
| `schema` | Version of this object: 1. It grows when a key goes or changes its meaning, not when one is added. |
| `command` | The command. |
| `status` | `ok`, `changed`, `unchanged`, `pending` (there is something to do, or to report), `failed` or `stopped`. |
| `exit_code` | The exit code. |
| `data` | What the command found or did; empty when it did not come to that. |
| `errors` | What went wrong: `code`, `message`, `cause`, `looked_at`, `hint`. |

Secrets are never in it: secret files go by reference, and addresses lose their passwords. Only `run` and `ps` leave
those of throwaway brokers in, which are what they were asked for.
"""


def reference() -> str:
    """Return the text of docs/reference.md."""
    parts = [HEAD, "## Options of every command\n", _options(TALK), *map(_command, COMMANDS), JSON, _exit_codes()]
    return "\n".join(parts)


def _command(found: Command) -> str:
    own = tuple(option for option in found.options if option not in TALK)
    arguments = "".join(f" [{option.metavar}]" for option in own if not option.flags)
    words = f"## rmqsetup {found.name}{arguments}\n\n{about(found)}\n"
    return f"{words}\n{_options(own)}" if own else words


def _options(options: tuple[Option, ...]) -> str:
    rows = ["| Option | Meaning |", "|---|---|"]
    for option in options:
        names = ", ".join(f"`{flag}`" for flag in option.flags)
        value = f" `{option.metavar}`" if option.metavar else ""
        rows.append(f"| {_cell(f'{names}{value}'.strip())} | {_cell(option.help)}{_values(option)} |")
    return "\n".join(rows) + "\n"


def _values(option: Option) -> str:
    names = shipped() if RECIPES in option.offered else option.choices
    if not names or option.kind is int:
        return ""
    return f" {'Shipped' if RECIPES in option.offered else 'Values'}: {', '.join(f'`{name}`' for name in names)}."


def _exit_codes() -> str:
    rows = [
        (0, "", "Done, or nothing to do."),
        *((family.exit_code, family.code, _sentence(family)) for family in FAMILIES),
        (SOMETHING_TO_DO, "", "`plan`: there is something to do. `doctor`: there is something to report."),
        (141, "", "Whoever read the output went away."),
    ]
    lines = ["## Exit codes", "", "| Exit code | `code` in JSON | Meaning |", "|---|---|---|"]
    lines += [f"| {number} | {f'`{code}`' if code else ''} | {words} |" for number, code, words in sorted(rows)]
    lines += [
        "",
        "`rmqsetup start --foreground` ends with the exit code of the node, once that ran; `run` with that of",
    ]
    lines += ["its command."]
    return "\n".join(lines) + "\n"


def _sentence(family: type) -> str:
    """Return the first sentence of a family's docstring; that of the root is of a mistake of our own."""
    if family is FAMILIES[0]:
        return "A mistake of rmqsetup's own; its traceback is in a file that is named."
    return re.split(r"(?<=\.)\s", inspect.cleandoc(family.__doc__ or ""))[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
