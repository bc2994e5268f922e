"""Who may import what: the layers of docs/ARCHITECTURE.md, read from the code itself."""

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packledger.cli.main import main

ROOT = Path(__file__).parents[1]
# A module imports from its own folder and from those to its left.
LAYERS = [
    "domain",
    "eventstore",
    "feeds",
    "projections",
    "reactions",
    "audit",
    "commands",
    "api",
    "server",
    "cli",
]
# The same rooms in every layer; what both need lies beside them.
ECOSYSTEMS = {"cargo", "npm"}
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
# A module that could hold anything will.
BANNED_NAMES = {"utils", "helpers", "manager", "service", "base", "common"}


def imported(path: Path) -> Iterator[str]:
    """Dotted names of what the module at `path` imports, in functions and TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.module or ""
            if node.module == "packledger":
                yield from (f"packledger.{alias.name}" for alias in node.names)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def room(path: Path) -> str:
    """The folder inside the layer; empty for what lies in the layer itself."""
    inside = path.relative_to(ROOT).parts[1:-1]
    return inside[0] if inside else ""


def foreign(path: Path) -> set[str]:
    """Top-level packages from outside the project and the standard library."""
    tops = {name.partition(".")[0] for name in imported(path)}
    return tops - {"packledger", "__future__"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_layer_and_those_to_its_left(path: Path) -> None:
    allowed = LAYERS[: LAYERS.index(layer(path)) + 1]
    for name in imported(path):
        first, _, rest = name.partition(".")
        assert first not in LAYERS, f"`{name}` is a second name of packledger.{name}"
        if first == "packledger" and rest:
            assert rest.split(".")[0] in allowed, f"{layer(path)} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_cargo_and_npm_never_import_each_other(path: Path) -> None:
    # A folder of cargo or npm, or a module of one beside the other's, such as the events.
    ours = ECOSYSTEMS & {room(path), path.stem}
    others = ECOSYSTEMS - ours if ours else set()
    for name in imported(path):
        assert not others & set(name.split(".")), f"{path.relative_to(ROOT)} imports {name}"


def test_folders_are_at_most_two_deep() -> None:
    assert [path for path in MODULES if len(path.relative_to(ROOT).parts) > 3] == []


def test_the_domain_needs_no_framework_and_no_driver() -> None:
    used = set(itertools.chain.from_iterable(map(foreign, (ROOT / "domain").rglob("*.py"))))
    assert used <= {"msgspec", "semver"}


def test_the_domain_does_no_input_or_output_and_reads_no_clock() -> None:
    outside = {"asyncio", "os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile"}
    outside |= {"random", "secrets", "threading", "time"}
    for path in (ROOT / "domain").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imported(path)} & outside, path.name
        calls = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not calls & {"now", "utcnow", "today"}, f"{path.name} reads a clock"


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("falcon", {"api", "server/processes/serve.py"}),
        ("gunicorn", {"server/http"}),
        ("eventsourcing", {"eventstore"}),
        ("argon2", {"eventstore", "commands"}),
        ("boto3", {"eventstore/blobs/s3_client.py"}),
        ("botocore", {"eventstore/blobs"}),
        ("click", {"cli"}),
        ("jinja2", {"api"}),
        ("kafka", {"feeds"}),
        ("markdown_it", {"api/web/readme_html.py"}),
        ("markupsafe", {"api"}),
        ("nh3", {"api/web/readme_html.py"}),
        ("packaging", {"commands/cargo/advice.py"}),
        ("psycopg", {"eventstore/postgres"}),
        ("rich", {"cli"}),
    ],
)
def test_a_library_is_imported_only_where_it_is_adapted(package: str, homes: set[str]) -> None:
    for path in MODULES:
        if package in foreign(path):
            where = str(path.relative_to(ROOT))
            inside = {layer(path), f"{layer(path)}/{room(path)}", where}
            assert inside & homes, f"{where} imports {package}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in MODULES if path.stem in BANNED_NAMES] == []


def test_modules_stay_readable_in_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in MODULES
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


_NAMED = re.compile(r"`([\w-]+/[\w/-]*(?:\.py|\.md|\.toml|\.css|/))(?:: [^`]*)?`")


@pytest.mark.parametrize(("document", "least"), [("ARCHITECTURE", 50), ("CHANGING", 25)])
def test_the_document_names_what_exists(document: str, least: int) -> None:
    text = (ROOT / f"docs/{document}.md").read_text()
    named = set(_NAMED.findall(text))
    assert len(named) >= least
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("command", sorted(main.commands))
def test_a_command_is_in_the_file_of_its_name(command: str) -> None:
    found: Any = main.commands[command].callback
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    assert found.__code__.co_filename.endswith(f"cli/{command.replace('-', '_')}.py")
