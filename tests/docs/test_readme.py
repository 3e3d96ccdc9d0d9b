"""The README says what is: its commands run, its reference is what --help says, its files are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from colony_lib.store import config_rules
from tests.conftest import REPOSITORY, clean_environment
from tests.fake_api import FakeAPI

sys.path.insert(0, str(Path(__file__).parent))
import reference

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_tour_runs_as_it_is_written(tmp_path: Path) -> None:
    lines = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert len(lines) > 25
    texts = [text for text in blocks("yaml") if "workflow" in yaml.safe_load(text)]
    definitions = {yaml.safe_load(text)["workflow"]["name"]: text for text in texts}
    assert set(definitions) == {"sizes", "look"}
    script = ["set -e"]
    # Each line is said before it is run, so that a failure names it.
    for line in lines:
        for name in [name for name in definitions if re.search(rf"\b{name}\b", line)]:
            script.append(f"cat > .colony/workflows/{name}.yaml <<'END'\n{definitions.pop(name)}END")
        script += [f'echo "README: {re.sub(r"[^A-Za-z0-9 ._/-]", "?", line)}" >&2', line]
    counts = {"tools": [["bash", {"command": "head -1 day.csv | tr , '\\n' | wc -l"}]]}
    model = {
        "Count the columns": [counts, {"json": {"columns": 3}}],
        "Count the rows": [{"text": "2"}],
    }
    with FakeAPI(model) as api:
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=clean_environment(**api.environment()),
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert api.problems == []
    told = "".join(file.read_text("utf-8") for file in (tmp_path / "tour/.colony/messages").glob("*.jsonl"))
    assert told.count("day.csv has 3 columns") == 2  # by the run, and by its replay
    assert sum(request.conversation == "Count the columns" for request in api.requests) == 2  # none for the replay
    assert '"name": "largest"' in done.stdout and "transform-daily-data" in done.stdout
    assert "data quality below threshold" in done.stdout  # the metric was below the threshold, and the message was sent
    assert "Traceback" not in done.stderr


def test_the_settings_that_are_shown_are_settings() -> None:
    shown = [text for text in blocks("yaml") if "workflow" not in yaml.safe_load(text)]
    assert ["alerts" in yaml.safe_load(text) for text in shown] == [True]
    assert config_rules.checked(shown[0], "README.md", "readme")[1] == []


def test_the_reference_is_what_help_says() -> None:
    assert reference.replaced(README) == README, "run 'make docs'"


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
        *(f"examples/{name}/README.md" for name in ("hello", "testing", "review", "data-pipeline")),
    ],
)
def test_links_lead_somewhere(name: str) -> None:
    file = REPOSITORY / name
    for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), f"{name} links to {target}"


def test_the_first_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test", "check", "docs"} <= set(targets)
    assert re.findall(r"^make (\w+)", README, re.MULTILINE)[:2] == ["demo", "test"]


def test_no_path_of_a_machine_is_in_the_project() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True).stdout.split()
    wrong = []
    for name in listed:
        text = (REPOSITORY / name).read_bytes()
        if re.search(rb"/(?:home|Users)/[a-z]+/|/root/", text) and not name.startswith("tests/"):
            wrong.append(name)
    assert wrong == []
