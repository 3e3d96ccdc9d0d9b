"""`colony init`: what it makes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment

SEED = Path(__file__).resolve().parents[1] / "data" / "seed_colony.yml"
MADE = {
    ".colony/.gitignore",
    ".colony/schemas/colony.schema.json",
    ".colony/schemas/workflow.schema.json",
    ".colony/schemas/models.schema.json",
    ".colony/workflows/hello.yaml",
    "colony.yml",
}


@pytest.fixture
def empty(tmp_path: Path) -> Colony:
    """A folder in which there is nothing yet."""
    root = tmp_path / "flights"
    root.mkdir()
    return Colony(root)


def contents(root: Path) -> dict[str, bytes]:
    """Every file but lock files, with what is in it."""
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_an_empty_folder_becomes_a_colony(empty: Colony) -> None:
    result = empty("init")
    assert result.out == f"{empty.root}\n"
    assert result.err == (
        "made .colony/.gitignore, colony.yml, .colony/schemas/colony.schema.json, "
        ".colony/schemas/workflow.schema.json, .colony/schemas/models.schema.json, .colony/workflows/hello.yaml; "
        "folders: staging reports metrics logs .colony\n"
        "next:\n  colony validate\n  colony workflow run hello\n"
        "  colony run-step latest greet    # what it said\n  colony help workflows\n"
    )
    assert set(contents(empty.root)) == MADE
    for folder in ("staging/raw", "staging/transformed", "staging/validated", "reports", "metrics", "logs"):
        assert (empty.root / folder).is_dir()
    for folder in (
        "workflows",
        "state",
        "runs",
        "logs",
        "metrics",
        "messages",
        "agents",
        "lineage",
        "locks",
        "worktrees",
    ):
        assert (empty.root / ".colony" / folder).is_dir()
    assert "\nname: flights\n" in (empty.root / "colony.yml").read_text(encoding="utf-8")


def test_what_it_makes_validates_and_runs(empty: Colony) -> None:
    empty("init")
    assert empty("validate").out == "ok: colony.yml and 1 workflow\n"
    run = empty("workflow", "run", "hello").out.split("\n")[0]
    steps = {step["name"]: step for step in empty.json("workflow", "status", run, "--json")["steps"]}
    assert steps["look"]["output"]["files"] == len(os.listdir(empty.root)) - 1  # ls does not count .colony
    assert re.fullmatch(r"Hello from hello on \d{4}-\d\d-\d\d, \d+ files here", steps["greet"]["output"])


def test_a_second_time_changes_nothing(empty: Colony) -> None:
    empty("init")
    empty.write("colony.yml", "name: mine\n")
    (empty.root / "reports").rmdir()
    before = contents(empty.root)
    result = empty("init", "--name", "other")
    assert result.out == f"{empty.root}\n"
    assert result.err.startswith(
        "nothing to do: this is a colony already, and its files are as they were\n"
        "colony.yml was there and keeps its name; write it there, or use --force\n"
    )
    assert contents(empty.root) == before
    assert (empty.root / "reports").is_dir()


def test_a_file_that_is_there_stays_unless_forced(empty: Colony) -> None:
    empty.write("colony.yml", "name: mine\n")
    empty("init")
    assert (empty.root / "colony.yml").read_text(encoding="utf-8") == "name: mine\n"
    empty("init", "--force", "--name", "new")
    assert "\nname: new\n" in (empty.root / "colony.yml").read_text(encoding="utf-8")


def test_the_first_workflow_does_not_come_back(empty: Colony) -> None:
    empty("init")
    hello = empty.root / ".colony/workflows/hello.yaml"
    hello.rename(hello.with_name("mine.yml"))
    empty("init")
    assert not hello.exists()


def test_the_seeds_configuration_can_be_put_in_place_of_ours(empty: Colony) -> None:
    empty("init")
    shutil.copy(SEED, empty.root / "colony.yml")
    result = empty("validate")
    assert result.out == "ok: colony.yml and 1 workflow\n"
    assert result.err.count("is retired since 2026-06-15; 'claude-sonnet-5-5' is used instead") == 6


def test_git_sees_the_definitions_and_nothing_that_runs_leave(empty: Colony) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=empty.root, env=clean_environment(), check=True)
    empty("init")
    empty("workflow", "run", "hello")
    empty("state", "task", "add", "x")
    words = ["git", "status", "--porcelain", "--untracked-files=all"]
    status = subprocess.run(words, cwd=empty.root, env=clean_environment(), check=True, capture_output=True, text=True)
    assert {line[3:] for line in status.stdout.splitlines()} == MADE


def test_editors_find_the_schemas_that_the_files_name(empty: Colony) -> None:
    empty("init")
    for name in ("colony.yml", ".colony/workflows/hello.yaml"):
        file = empty.root / name
        first = file.read_text(encoding="utf-8").split("\n")[0]
        schema = first.removeprefix("# yaml-language-server: $schema=")
        assert schema != first
        assert json.loads((file.parent / schema).read_text(encoding="utf-8"))["$schema"]


@pytest.mark.parametrize(
    "name", ["a: b # c", "yes", "Daten, täglich", 'it\'s "quoted"', "{x}", "- 1", "2024-01-15", "007"]
)
def test_any_name_is_kept_as_it_is(empty: Colony, name: str) -> None:
    empty("init", "--name", name)
    assert empty("status").out.startswith(f"{name}: 2 agents, no live run\n")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[2Jb", "x" * 101])
def test_a_name_that_is_none_is_refused_before_anything_is_made(empty: Colony, name: str) -> None:
    result = empty("init", "--name", name, check=False)
    assert result.code == 2
    assert result.err.startswith("colony init: '") and result.err.count("\n") == 1
    assert "is not a colony's name; give one line of 1 to 100 characters" in result.err
    assert list(empty.root.iterdir()) == []


def test_a_folder_of_any_name_gives_a_valid_colony(tmp_path: Path) -> None:
    odd = Colony(tmp_path / "my data: #1 'x' {y}")
    odd.root.mkdir()
    odd("init")
    assert odd("validate").out.startswith("ok")
    assert odd("status").out.startswith("my data: #1 'x' {y}: 2 agents")


@pytest.mark.parametrize("obstacle", ["staging", ".colony", ".colony/runs", "reports"])
def test_an_obstacle_is_told_before_anything_is_made(empty: Colony, obstacle: str) -> None:
    empty.write(obstacle, "in the way\n")
    before = sorted(empty.root.rglob("*"))
    result = empty("init", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"colony init: '{empty.root / obstacle}' is in the way: it is no folder; move it away\n"
    assert sorted(empty.root.rglob("*")) == before


def test_a_folder_where_a_file_should_be_is_an_obstacle_too(empty: Colony) -> None:
    (empty.root / "colony.yml").mkdir()
    result = empty("init", check=False)
    assert result.code == 2
    assert result.err == "colony init: 'colony.yml' is in the way: it is a folder; move it away\n"


def test_a_colonys_own_folders_do_not_become_colonies(empty: Colony) -> None:
    empty("init")
    result = empty("init", cwd=empty.root / ".colony" / "worktrees", check=False)
    assert result.code == 2
    assert "lies inside a .colony folder; go to the project's own folder" in result.err


def test_inside_another_colony_it_says_so(empty: Colony) -> None:
    empty("init")
    (empty.root / "part").mkdir()
    result = empty("init", cwd=empty.root / "part")
    assert result.out == f"{empty.root / 'part'}\n"
    assert result.err.startswith(f"note: this colony lies inside another one, {empty.root}\n")


def test_it_can_be_told_where_by_option_or_variable(empty: Colony) -> None:
    one, two = empty.root / "one", empty.root / "two words"
    one.mkdir()
    two.mkdir()
    assert empty("-C", "one", "init").out == f"{one}\n"
    result = empty("init", env={"COLONY_ROOT": str(two)})
    assert result.out == f"{two}\n"
    assert f"\n  colony -C '{two}' validate\n" in result.err
    assert not (empty.root / ".colony").exists()
    missing = empty("init", env={"COLONY_ROOT": str(empty.root / "none")}, check=False)
    assert missing.code == 2
    assert missing.err.endswith("which is no folder; make it first\n")


def test_many_at_once_make_one_colony(empty: Colony) -> None:
    started = [empty.start("init") for _ in range(8)]
    ends = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 8
    assert {out for out, _ in ends} == {f"{empty.root}\n"}
    assert sum(err.startswith("made ") for _, err in ends) == 1
    assert set(contents(empty.root)) == MADE
    assert empty("validate").code == 0


def test_a_pipeline_written_by_hand_gets_its_schema_by_init(empty: Colony) -> None:
    empty("init")
    empty.write("pipeline.yml", "sources: {}\n")
    assert "made .colony/schemas/pipeline.schema.json;" in empty("init").err
    assert set(contents(empty.root)) == {*MADE, "pipeline.yml", ".colony/schemas/pipeline.schema.json"}
    assert (empty.root / "pipeline.yml").read_text() == "sources: {}\n"
