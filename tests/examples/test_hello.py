"""The colony of five minutes: every line of its README, and what it says happens when a step is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Colony
from tests.examples.support import EXAMPLES, commands, copy, shell


@pytest.fixture
def hello(tmp_path: Path) -> Colony:
    return Colony(copy("hello", tmp_path / "hello"))


def test_every_command_of_its_page_works_in_order_and_says_what_the_page_says(hello: Colony) -> None:
    said = {}
    for line in commands(EXAMPLES / "hello" / "README.md")[:-1]:  # the last one resumes what the reader has broken
        result = shell(line, hello.root)
        assert result.code == 0, f"{line}\n{result!r}"
        said[line.split("#")[0].strip()] = result.out
    run_id = said["colony workflow run hello"].split("\n")[0]
    assert (hello.root / ".colony" / "runs" / run_id).is_dir()
    assert json.loads(said["colony workflow status --json | jq '.steps[1].output'"]) == {
        "said": "Hello from greeter",
        "words": 3,
    }
    assert "greeting on " in said["colony logs greeter"]
    assert run_id in said["colony workflow history hello"]
    assert "workflow.run.duration_seconds" in said["colony metrics list"]
    assert "count the words" in said["colony state task ready"]


def test_a_broken_second_step_fails_the_run_and_resume_goes_on_from_it(hello: Colony) -> None:
    script = hello.root / "count.sh"
    good = script.read_text()
    script.write_text("#!/bin/sh\necho nothing\n")
    assert hello("workflow", "run", "hello", check=False).code == 1
    run = hello.json("workflow", "status", "--json")
    assert [(step["name"], step["status"]) for step in run["steps"]] == [("greet", "completed"), ("count", "failed")]
    assert "nothing" in run["steps"][1]["error"]
    assert "count" in hello("workflow", "status").out
    script.write_text(good)
    hello("workflow", "resume", "latest")
    resumed = hello.json("workflow", "status", "--json")
    assert resumed["run_id"] == run["run_id"]
    assert [(step["status"], step["attempts"]) for step in resumed["steps"]] == [("completed", 1), ("completed", 2)]
    assert len(hello.lines("logs", "greeter", "--pattern", "greeting", "--json")) == 1
