"""The testing pipeline: every line of its page, a gate that says no, and shards that a kill does not run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Colony
from tests.examples.support import EXAMPLES, commands, copy, shell

PAGE = EXAMPLES / "testing" / "README.md"
SHARDS = ["suite/test_both.py", "suite/test_read.py", "suite/test_write.py"]


@pytest.fixture
def testing(tmp_path: Path) -> Colony:
    return Colony(copy("testing", tmp_path / "testing"))


def steps(testing: Colony) -> dict[str, str]:
    return {step["name"]: step["status"] for step in testing.json("workflow", "status", "--json")["steps"]}


def test_every_command_of_its_page_works_in_order_and_says_what_the_page_says(testing: Colony) -> None:
    said: list[tuple[str, str]] = []
    for line in commands(PAGE):
        result = shell(line, testing.root)
        assert result.code == (1 if "exits 1" in line else 0), f"{line}\n{result!r}"
        said.append((line.split("#")[0].strip(), result.out))
        if "exits 1" in line:
            assert steps(testing) == {"find": "completed", "shard": "completed", "count": "completed",
                                      "gate": "failed", "release": "cancelled", "tell": "completed"}  # fmt: skip
    first = dict(reversed(said))
    outputs = json.loads(first["colony workflow status --json | jq '.steps[] | select(.name == \"shard\").output'"])
    assert [(shard["file"], shard["failed"]) for shard in outputs] == [(file, []) for file in SHARDS]
    assert "Ran 2 tests" in first["colony logs tester"]
    assert "failed: test_both.Both.test_reading_undoes_writing" in first["colony logs gate"]
    assert "gate failed" in first["colony messages list"]
    assert set(steps(testing).values()) <= {"completed", "cached"}  # what the rerun has taken is cached
    run = testing.json("workflow", "status", "--json")
    assert run["steps"][-1]["output"] == "released after 5 tests"
    assert (testing.root / "dist" / "roman.py").read_text() == (EXAMPLES / "testing" / "roman.py").read_text()


def test_a_file_without_tests_or_that_is_no_python_fails_its_shard(testing: Colony) -> None:
    broken = testing.write("suite/test_new.py", "import nothing_of_this_name\n")
    assert testing("workflow", "run", "tests", check=False).code == 1
    assert steps(testing)["gate"] == "failed"  # what cannot be imported is a test that fails
    broken.write_text("x = 1\n")
    assert testing("workflow", "run", "tests", check=False).code == 1
    run = testing.json("workflow", "status", "--json")
    assert [(step["name"], step["status"]) for step in run["steps"]][1] == ("shard", "failed")
    assert "there is no test in suite/test_new.py" in testing("logs", "tester").out
