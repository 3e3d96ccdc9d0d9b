"""The architecture, as tests: imports point down, one layer writes files, one module reads the environment."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BIN, REPOSITORY, clean_environment

LIBRARY = REPOSITORY / "colony_lib"
FLOORS = {"base": 0, "store": 1, "work": 2, "data": 2, "tui": 3, "cli": 4}
SHARED_BY_CLI = {
    "colony_lib.cli.args", "colony_lib.cli.show", "colony_lib.cli.args_parser", "colony_lib.cli.grammar",
    "colony_lib.cli.load_module", "colony_lib.cli.watching",
}  # fmt: skip
# One executable in several files: its main module may import its parts.
PARTS = {"args": "args_", "help": "help_", "init": "init_", "lineage": "lineage_", "metrics": "metrics_", "state": "state_", "workflow": "workflow_"}
HEAVY = {
    "anthropic", "pandas", "numpy", "jsonschema", "yaml", "requests", "filelock", "duckdb", "pyarrow", "cronsim",
    "dataclasses", "inspect", "textual", "rich", "asyncio", "logging", "subprocess", "urllib.request", "http.client", "uuid",
}  # fmt: skip


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(LIBRARY.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def floor(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "colony_lib" and len(parts) > 1 and parts[1] in FLOORS else None


def test_imports_point_down_and_never_sideways_between_work_and_data() -> None:
    wrong = []
    for path, tree in modules():
        here = path.relative_to(LIBRARY).parts[0]
        for name in imported(tree):
            there = floor(name)
            if here in FLOORS and there and there != here and FLOORS[there] >= FLOORS[here]:
                wrong.append(f"{path.relative_to(REPOSITORY)} imports {name}")
    assert wrong == []


def test_commands_never_import_each_other() -> None:
    wrong = []
    for path in sorted((LIBRARY / "cli").glob("*.py")):
        part = PARTS.get(path.stem, "\0")
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = name.removeprefix("colony_lib.cli.")
            if other == name or any(name == ok or name.startswith(ok + ".") for ok in SHARED_BY_CLI):
                continue
            if (LIBRARY / "cli" / f"{other}.py").exists() and not other.startswith(part):
                wrong.append(f"{path.name} imports {name}")
    assert wrong == []


WRITES = re.compile(
    r"\bopen\([^)\n]*['\"](?:w|a|wb|ab|r\+|x)['\"]|(?<!files)\.write_(?:text|bytes)\(|os\.(?:replace|rename)\("
    r"|\.to_(?:json|csv|parquet)\(|O_WRONLY|O_RDWR|O_APPEND"
)
# Files that only the writing process sees or appends to: each with its reason beside it in the code.
ALLOWED = {
    "work/wrapper.py": "files without a name, for a command's streams",
    "work/pool.py": "/dev/null",
    "work/away.py": "/dev/null",
    "work/remote.py": "what the process beside an engine says, which only it appends to",
    "work/launch.py": "/dev/null and the detached engine's own log",
    "cli/__init__.py": "/dev/null",
    "data/warehouses/duckdb_copies.py": "the backup that DuckDB itself has written",
}


def test_only_the_file_layer_opens_files_for_writing() -> None:
    found = {}
    for path, _ in modules():
        name = str(path.relative_to(LIBRARY))
        if not name.startswith("base/") and WRITES.search(path.read_text(encoding="utf-8")):
            found[name] = True
    assert set(found) <= set(ALLOWED), sorted(set(found) - set(ALLOWED))


def test_one_module_reads_colony_variables() -> None:
    wrong = []
    for path, tree in modules():
        name = str(path.relative_to(LIBRARY))
        if name in ("store/env.py", "cli/__init__.py", "cli/show.py", "cli/help.py", "work/shipped.py"):
            continue  # COLONY_DEBUG before all else, NO_COLOR, PATH; the last works inside others' processes
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("environ", "getenv")
                and ast.unparse(node.value) == "os"
            ):
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


EXECUTABLES = sorted(path.name for path in BIN.iterdir() if path.name.startswith("colony-"))


@pytest.mark.parametrize("name", EXECUTABLES)
def test_an_executable_is_a_stub_with_a_summary_that_its_help_repeats(name: str) -> None:
    lines = (BIN / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 10 and lines[0] == "#!/usr/bin/env python3" and lines[1].startswith("# Summary: ")
    done = subprocess.run([BIN / name, "--help"], capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) <= 60
    if name != "colony-help":
        assert "examples:" in done.stdout[:400] and "usage:" in done.stdout


@pytest.mark.parametrize("name", EXECUTABLES)
def test_help_imports_nothing_heavy(name: str) -> None:
    assert heavy_imports([str(BIN / name), "--help"]) == set()


def heavy_imports(command: list[str], cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, env=clean_environment(), cwd=cwd
    )
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "colony_lib.cli" in names, done
    return names & HEAVY


def test_every_executable_is_installed_by_pyproject_and_has_its_module() -> None:
    import tomllib

    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(settings["script-files"]) == ["bin/colony", *(f"bin/{name}" for name in EXECUTABLES)]
    folders = {str(path.parent.relative_to(REPOSITORY)).replace("/", ".") for path in LIBRARY.rglob("*.py")}
    assert set(settings["packages"]) == folders | {"colony_lib.schemas", "colony_lib.examples"}
    for name in EXECUTABLES:
        assert (LIBRARY / "cli" / f"{name.removeprefix('colony-').replace('-', '_')}.py").exists()
