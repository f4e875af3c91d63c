"""What people copy into their CI: forms that are well-formed, name what exists, and run commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from rmqsetup.cli import reading
from rmqsetup.show.broker import OUTPUTS

ROOT = Path(__file__).resolve().parents[1]
ACTION = ROOT / "action.yml"
FORMS = (ACTION, *sorted((ROOT / "recipes/ci").iterdir()))

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "description", "runs"],
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "author": {"type": "string"},
        "branding": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"icon": {"type": "string"}, "color": {"enum": ["orange", "blue", "green", "white"]}},
        },
        "inputs": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["description"],
                "properties": {
                    "description": {"type": "string"},
                    "required": {"type": "boolean"},
                    "default": {"type": "string"},
                },
            },
        },
        "outputs": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["description", "value"],
                "properties": {"description": {"type": "string"}, "value": {"type": "string"}},
            },
        },
        "runs": {
            "type": "object",
            "additionalProperties": False,
            "required": ["using", "steps"],
            "properties": {
                "using": {"const": "composite"},
                "steps": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["run", "shell"],
                        "properties": {
                            "id": {"type": "string"},
                            "run": {"type": "string"},
                            "shell": {"type": "string"},
                            "env": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
}
"""GitHub's rules for composite actions, as far as ours uses them."""


@pytest.fixture(scope="module")
def action():
    return yaml.safe_load(ACTION.read_text())


def test_the_action_is_one(action):
    jsonschema.validate(action, SCHEMA)


def test_its_inputs_are_used_and_its_outputs_are_made(action):
    (step,) = action["runs"]["steps"]
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", " ".join(step["env"].values())))
    assert used == set(action["inputs"])
    assert "${{" not in step["run"], "an input in a script would be read as shell"
    made = {*OUTPUTS.values(), "version", "erlang-version"}
    for name, output in action["outputs"].items():
        assert output["value"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}"
        assert name in made
    script = (ROOT / "recipes/ci/github.sh").read_text()
    for name in step["env"]:
        assert f"${name}" in script


@pytest.mark.parametrize("form", [form for form in FORMS if form.suffix == ".yml"], ids=lambda path: path.name)
def test_yaml_is_yaml(form):
    assert isinstance(yaml.safe_load(form.read_text()), dict)


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_every_command_is_one(form):
    """Words that a shell fills in are left out; what follows a comment sign too."""
    found = 0
    for line in form.read_text().splitlines():
        code = "" if line.lstrip().startswith(("#", "//")) else line
        for words in re.findall(r"\brmqsetup ((?:run|stop|ps|install|status)\b[^\n;|>)'}]*)", code):
            typed = re.sub(r'"?\$\{[^}]*\}"?|"\$@"|\$\w+', "", words.partition(" #")[0]).strip().strip('"')
            argv = tuple(shlex.split(typed.removesuffix("--").strip()))
            assert reading.read(argv) is not None, f"rmqsetup does not read: {typed}"
            found += 1
    assert found or form == ACTION
