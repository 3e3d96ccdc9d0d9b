"""The code review: every line of its page with a model on the loopback, and a change of one's own in a git repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment
from tests.examples.support import EXAMPLES, commands, copy, shell
from tests.fake_api import FakeAPI

PAGE = EXAMPLES / "review" / "README.md"
UNSAFE = {"path": "transfer.py", "severity": "blocker", "message": "amount goes into the SQL text as it is"}
STYLE = {"path": "transfer.py", "severity": "minor", "message": "a name could be longer"}
MODEL = {
    "Review the change of transfer.py": [
        {"tools": [["list_files", {"path": "."}]]},
        {"json": {"findings": [UNSAFE, STYLE]}},
    ],
    "Review the change of greeting.py": [{"json": {"findings": []}}],
    "Which of these findings stand?": [{"json": {"findings": [UNSAFE]}}],
}


@pytest.fixture
def review(tmp_path: Path) -> Colony:
    return Colony(copy("review", tmp_path / "review"))


def test_every_command_of_its_page_works_in_order_and_says_what_the_page_says(review: Colony) -> None:
    said = {}
    with FakeAPI(MODEL) as api:
        for line in commands(PAGE):
            if "--replay" in line:
                asked = len(api.requests)
            result = shell(line, review.root, env=api.environment() if "--replay" not in line else {})
            assert result.code == (75 if "workflow run" in line else 0), f"{line}\n{result!r}"
            said[line.split("#")[0].strip()] = result.out
            if "workflow approve" in line:  # what is decided is not asked for again
                run = review.json("workflow", "status", "--json")["run_id"]
                assert f"next: colony workflow resume {run}\n" in review("workflow", "status").out
        assert len(api.requests) == asked == 4 and api.problems == []
        assert all('return f"Hello {name}"' not in request.conversation for request in api.requests)
    assert "colony workflow approve" in said["colony workflow status"] or "waiting" in said["colony workflow status"]
    verdict = json.loads(said["colony workflow status --json | jq '.steps[] | select(.name == \"verdict\").output'"])
    assert verdict == {"blockers": 1, "findings": [UNSAFE]}
    page = said["cat reports/review.md"]
    assert page == "# Review: 1 blockers\n\n- blocker, transfer.py: amount goes into the SQL text as it is\n"
    assert "review" in said["colony agents cost --by step"] and "doubt" in said["colony agents cost --by step"]


def test_in_a_repository_it_takes_what_git_says_has_changed(review: Colony) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *who, *words], cwd=review.root, env=clean_environment(), check=True, capture_output=True)

    def paths() -> list[str]:
        return [file["path"] for file in json.loads(shell("./changes.sh", review.root).out)["files"]]

    review.write("a file.txt", "one\n")
    review.write("it's.txt", "one\n")
    git("init", "-q", ".")
    git("add", ".")
    git("commit", "-qm", "first")
    assert paths() == ["transfer.py", "greeting.py"]  # nothing is changed: the example's
    review.write("a file.txt", "two\n")
    review.write("it's.txt", "diff --git a/x b/x\n")
    assert paths() == ["a file.txt", "it's.txt"]
    files = json.loads(shell("./changes.sh", review.root).out)["files"]
    assert files[0]["diff"].endswith("-one\n+two") and "+diff --git a/x b/x" in files[1]["diff"]
