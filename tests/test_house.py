"""The house rules, held over the syntax trees: `docs/architecture.md` says why each is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rmqsetup"

LAYERS = (
    ("__init__", "version", "host", "finding", "errors", "redaction", "xdg"),
    ("steps", "catalog", "managers", "services", "probes", "openpgp", "parcel", "tarball"),
    (
        *("detect", "guard", "resolve", "plan", "keys", "indices", "index_files", "repodata", "unzstd"),
        *("export", "scripted", "upgrade", "cellar", "codec", "definitions", "facts", "homebrew", "launch", "macos"),
        *("rpmbase", "network", "resolvers", "pairing", "plugins", "recipe", "shipped"),
        *("releases", "resolution", "settings", "wishes", "archived", "archives", "prefix", "rootless", "unpacked"),
        *("cached", "cargo", "generic"),
    ),
    ("apply", "verify", "verification", "receipt", "standing", "checks", "doctor", "bundle", "status", "watch"),
    ("hosts",),
    ("pipeline", "versions", "broker", "fleet"),
    ("show", "testing"),
    ("cli", "__main__"),
)
"""Who may import whom: a module imports from its own line and from those above it, never from below.

`hosts` stands this low so that no stage can choose its own way to reach a machine.
"""

PLACES = {
    "cattrs": ("codec",),
    "distro": ("detect",),
    "gnupg": ("keys",),
    "pika": ("broker", "probes", "testing"),
    "pytest": ("testing",),
    "requests": ("network",),
    "rich": ("show",),
    "subprocess": ("hosts", "broker"),
    "tomli": ("catalog", "hosts", "recipe"),
    "typer": ("cli",),
    "typing_extensions": ("testing",),
    "urllib3": ("network",),
}
"""The one place of each outside library, and of `subprocess`."""

HEAVY = ("cattrs", "gnupg", "pika", "requests", "rich", "typer")
"""Imported by the functions that need them: start-up time is a feature."""

OTHER_MEANINGS = {"arch"}
"""Identifiers of distributions that are also words of something else: `arch` is an option of apt's sources."""

FILE_LINES, FUNCTION_LINES, USUAL_LINES, PARAMETERS = 400, 50, 25, 5
TRACKED_BYTES = 1 << 20

Function = ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return the path in the package and the tree of every module."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return tuple((str(path.relative_to(PACKAGE)), ast.parse(path.read_text())) for path in paths)


@lru_cache
def tracked() -> tuple[Path, ...]:
    """Return every file of the project: what git tracks, or would if it were told to."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for name in filter(None, listed.stdout.split("\0")) if (path := ROOT / name).is_file())


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function with where it is."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def top(name: str) -> str:
    """Return what a module's path begins with: a folder, or a module of the first level."""
    return Path(name).parts[0].removesuffix(".py")


def imported(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the full names a module imports, wherever it does so. Raises when one is relative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} is a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, *argv), cwd=ROOT, capture_output=True, text=True, check=False)


# ---- sizes


def test_files_are_short():
    sizes = {name: len((PACKAGE / name).read_text().splitlines()) for name, _ in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES} == {}


def test_functions_are_short():
    sizes = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    assert {place: lines for place, lines in sizes.items() if lines > FUNCTION_LINES} == {}
    assert sum(lines <= USUAL_LINES for lines in sizes.values()) >= 0.9 * len(sizes)


def test_functions_take_few_parameters():
    def count(node: Function) -> int:
        arguments = node.args
        return sum(each.arg not in ("self", "cls") for each in arguments.posonlyargs + arguments.args) + len(
            arguments.kwonlyargs
        )

    counts = {place: count(node) for place, node in functions() if not place.startswith("cli/")}
    assert {place: many for place, many in counts.items() if many > PARAMETERS} == {}


def test_nothing_tracked_is_large():
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked()}
    assert {name: size for name, size in sizes.items() if size > TRACKED_BYTES} == {}


# ---- words


def test_public_names_are_documented():
    def bare(node: ast.AST, name: str) -> Iterator[str]:
        for child in getattr(node, "body", ()):
            if isinstance(child, (ast.ClassDef, Function)) and not child.name.startswith("_"):
                if not ast.get_docstring(child):
                    yield f"{name}:{child.lineno} {child.name}"
                if isinstance(child, ast.ClassDef):
                    yield from bare(child, name)

    assert [place for name, tree in modules() for place in bare(tree, name)] == []


def test_modules_say_what_belongs_and_what_does_not():
    """In a folder, where files are of one kind, its `__init__` may say the second for all."""
    said = {name: ast.get_docstring(tree) or "" for name, tree in modules()}
    sentences = {name: len(re.findall(r"[.:;?!](?=\s|$)", words)) for name, words in said.items()}
    assert [
        name for name, count in sentences.items() if count < (1 if "/" in name or name == "__init__.py" else 2)
    ] == []


def test_annotations_are_never_evaluated():
    wanting = [
        name
        for name, tree in modules()
        if len(tree.body) > 1 and ("__future__.annotations" not in {full for full, _ in imported(name, tree)})
    ]
    assert wanting == []


def test_names_say_what_they_are():
    vague = re.compile(r"_?(get|handle|process)_")
    assert [place for place, node in functions() if vague.match(node.name)] == []
    assert [name for name, _ in modules() if re.search(r"utils?|helpers?|common", name)] == []


def test_no_dict_crosses_a_function_border():
    def annotations(node: Function) -> Iterator[ast.expr]:
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        yield from (each.annotation for each in every if each.annotation)
        if node.returns:
            yield node.returns

    loose = [
        place
        for place, node in functions()
        if not node.name.startswith("_")
        and any(re.search(r"\b(dict|Mapping)\b", ast.unparse(annotation)) for annotation in annotations(node))
    ]
    assert loose == []


def test_only_show_prints():
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if top(name) != "show"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []


def identifiers() -> set[str]:
    table = tomllib.loads((PACKAGE / "catalog/distributions.toml").read_text())
    found = set(table["families"])
    for row in table["distribution"]:
        found |= {row["id"], row["codename"]}
    for row in table["derivative"]:
        found |= {row["id"], *row.get("codenames", ())}
    for row in table["unsupported"]:
        found |= set(row.get("ids", ()))
    return found - OTHER_MEANINGS - {""}


def test_distributions_are_named_only_in_the_catalog():
    names = identifiers()
    assert len(names) > 30
    strays = [
        f"{name}:{node.lineno} {node.value}"
        for name, tree in modules()
        if top(name) != "catalog"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]
    assert strays == []


# ---- who imports whom


def test_imports_go_one_way():
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    assert {top(name) for name, _ in modules()} <= rank.keys(), "a new module needs its place in LAYERS"
    wrong = []
    for name, tree in modules():
        for full, line in imported(name, tree):
            parts = full.split(".")
            if parts[0] == "rmqsetup":
                target = parts[1] if parts[1] in rank else "__init__"
                if rank[target] > rank[top(name)]:
                    wrong.append(f"{name}:{line} imports {full}")
    assert wrong == []


def test_outside_libraries_keep_their_places():
    ours = {"rmqsetup", *sys.stdlib_module_names} - PLACES.keys()
    wrong = [
        f"{name}:{line} imports {full}"
        for name, tree in modules()
        for full, line in imported(name, tree)
        if (library := full.split(".")[0]) not in ours and top(name) not in PLACES.get(library, ())
    ]
    assert wrong == []


def test_importing_is_cheap():
    dotted = [
        ".".join(("rmqsetup", *Path(name).with_suffix("").parts)).removesuffix(".__init__")
        for name, _ in modules()
        if top(name) not in ("cli", "__main__")
    ]
    program = (
        f"import sys, importlib; [importlib.import_module(name) for name in {dotted}];"
        f"print(*sorted(sys.modules.keys() & {set(HEAVY)}))"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_version_answers_before_anything_is_imported():
    done = run("-X", "importtime", "-m", "rmqsetup", "--version")
    assert done.stdout.startswith("rmqsetup ")
    loaded = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert {name for name in loaded if name.startswith("rmqsetup")} <= {"rmqsetup", "rmqsetup.__main__"}
    assert loaded & set(HEAVY) == set()


# ---- tools


@pytest.mark.parametrize(
    "tool", [("ruff", "check", "--quiet", "."), ("ruff", "format", "--check", "--quiet", "."), ("mypy",)], ids=" ".join
)
def test_tool_has_nothing_to_say(tool):
    done = run("-m", *tool)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- where things come from


def registries() -> set[str]:
    """Return the hosts this machine gets packages from, by what apt and pip are told; not those the catalog names."""
    addresses = []
    for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")):
        if path.is_file() and path.suffix in (".list", ".sources"):
            addresses += re.findall(r"^(?:URIs:|deb)\s.*?//(?:[^/@\s]*@)?([^/:\s]+)", path.read_text(), re.MULTILINE)
    settings = run("-m", "pip", "--disable-pip-version-check", "config", "list").stdout
    addresses += re.findall(r"https?://(?:[^/@\s']*@)?([^/:\s']+)", settings)
    catalog = "".join(path.read_text() for path in (PACKAGE / "catalog").glob("*.toml"))
    return {host for host in addresses if host not in catalog}


def test_no_registry_of_this_machine_is_written_down():
    names = [name.encode() for name in registries()]
    assert [str(path) for path in tracked() for name in names if name in path.read_bytes()] == []
