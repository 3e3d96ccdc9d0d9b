"""Simple command lines are read without a parser, and mean what the parser says they mean."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from colony_lib.cli import args
from tests.conftest import BIN, clean_environment


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ([], {"json": False, "status": None, "ref": None}),
        (["--json"], {"json": True, "status": None, "ref": None}),
        (["a b", "--status", "x=y"], {"json": False, "status": "x=y", "ref": "a b"}),
        (["--status=x=y", "a", "--json"], {"json": True, "status": "x=y", "ref": "a"}),
        (["--status", "1", "--status", "2"], {"json": False, "status": "2", "ref": None}),
    ],
)
def test_a_simple_line_is_read_as_the_parser_reads_it(line: list[str], meaning: dict[str, Any]) -> None:
    assert vars(args.simple(line, ["--json"], ["--status"], ["ref"])) == meaning
    parser = args.Parser("colony x")
    args.add_json(parser)
    parser.add_argument("--status")
    parser.add_argument("ref", nargs="?")
    assert {key: value for key, value in vars(parser.parse_args(line)).items() if key in meaning} == meaning


@pytest.mark.parametrize(
    "line",
    [["-h"], ["--help"], ["--jsn"], ["--js"], ["--"], ["-"], ["--status"], ["--status="], ["--status", "--json"], ["--json=1"], ["a", "b"], [""]],
)  # fmt: skip
def test_any_other_line_is_left_to_the_parser(line: list[str]) -> None:
    assert args.simple(line, ["--json"], ["--status"], ["ref"]) is None


def test_too_few_arguments_are_left_to_the_parser() -> None:
    assert args.simple([], arguments=["ref"], least=1) is None


@pytest.mark.parametrize(
    "words",
    [
        ["state", "task", "list"],
        ["state", "task", "list", "--json", "--status", "ready"],
        ["state", "task", "ready"],
        ["state", "task", "show", "load"],
        ["state", "get", "load", "rows"],
        ["messages", "list", "worker", "--json"],
    ],
)
def test_reading_commands_start_without_what_costs_as_much_as_python_itself(colony: Any, words: list[str]) -> None:
    colony("state", "task", "add", "load")
    colony("state", "set", "load", "rows=1")
    colony("messages", "send", "worker", "hello")
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", str(BIN / f"colony-{words[0]}"), *words[1:]],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=colony.root,
    )
    assert done.returncode == 0 and done.stdout
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "colony_lib.cli" in names
    assert names & {"argparse", "json", "re", "enum", "signal", "typing", "gettext", "datetime", "pathlib"} == set()
