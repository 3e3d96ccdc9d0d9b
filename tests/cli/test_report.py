"""`colony report` after real runs: steps, logs, alerts, metrics."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import schema
from tests.conftest import CONFIG, Colony, clean_environment
from tests.data.loading import DATE, day, write_pipeline

DATASETS = {"t": {"load": {"table": "t", "mode": "upsert", "key": "k"}}}
SOURCES = {"t": {"type": "file", "path": "x.json"}}
STEPS = """\
steps:
  - name: check
    agent: worker
    run: |
      echo "warning: page 3 was slow" >&2
      echo "warning: page 7 was slow" >&2
      echo "error: page 9 | <b>lost</b>" >&2
  - {name: load-data, agent: worker, depends_on: [check], run: "colony load --date {{yesterday}}"}
  - {name: generate-report, agent: worker, depends_on: [load-data], run: "colony report --date {{yesterday}}"}
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colony whose workflow has loaded and reported a day, with an alert that holds."""
    root = tmp_path_factory.mktemp("original") / "colony"
    for folder in ("workflows", "state", "runs", "logs", "metrics", "messages", "agents", "lineage", "locks"):
        (root / ".colony" / folder).mkdir(parents=True)
    (root / "colony.yml").write_text(CONFIG)
    colony = Colony(root)
    write_pipeline(root, DATASETS, sources=SOURCES, alerts={"quality_score": "< 0.99", "error_count": "> 10"})
    day(root, "t", [{"k": 1}, {"k": 2}])
    colony.workflow("etl", STEPS)
    colony("workflow", "run", "etl", "--date", "2013-02-09")
    return root


@pytest.fixture
def ran(original: Path, tmp_path: Path) -> Colony:
    """A copy of that colony."""
    shutil.copytree(original, tmp_path / "colony")
    return Colony(tmp_path / "colony")


def daily(colony: Colony) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((colony.root / f"metrics/daily_{DATE}.json").read_text())
    return document


def test_a_step_reports_its_own_run(ran: Colony) -> None:
    report = daily(ran)
    schema.check(report, "report")
    run = ran.json("workflow", "status", "latest", "--json")
    assert (report["run_id"], report["workflow"]) == (run["run_id"], "etl")
    assert [(step["name"], step["status"]) for step in report["steps"]] == [
        ("check", "completed"), ("load-data", "completed"), ("generate-report", "running"),
    ]  # fmt: skip
    by_name = {step["name"]: step for step in run["steps"]}
    assert report["steps"][1]["duration_seconds"] == by_name["load-data"]["duration_seconds"]
    assert 0 < report["duration_seconds"] <= run["duration_seconds"]
    assert by_name["generate-report"]["output"]["files"]["markdown"] == f"reports/daily_{DATE}.md"


def test_errors_and_warnings_of_the_run_are_counted_alike_ones_together(ran: Colony) -> None:
    report = daily(ran)
    assert [(one["level"], one["count"], one["step"], one["message"]) for one in report["problems"]] == [
        ("error", 1, "check", "error: page 9 | <b>lost</b>"),
        ("warn", 2, "check", "warning: page 3 was slow"),
    ]
    assert (report["errors"]["logged"], report["warning_count"], report["error_count"]) == (1, 2, 1)
    text = (ran.root / f"reports/daily_{DATE}.md").read_text()
    assert "- **error** `worker`, step `check`: error: page 9 \\| \\<b\\>lost\\</b\\>\n" in text
    assert "- **warn** 2 × `worker`, step `check`: warning: page 3 was slow\n" in text


def test_an_alert_is_broadcast_once_for_a_run_however_often_it_is_reported(ran: Colony) -> None:
    report = daily(ran)
    for _ in range(2):
        ran("report", "--date", DATE, "--run", "latest")
    messages = ran.lines("messages", "list", "--json")
    assert [(one["to"], one["text"]) for one in messages] == [
        ("all", f"⚠️ {DATE}: quality_score is 0.98, < 0.99 (run {report['run_id']})")
    ]
    assert report["alerts"][0]["message"] == messages[0]["id"]
    assert report["alerts"][1] == {"figure": "error_count", "condition": "> 10", "value": 1, "holds": False}
    assert daily(ran)["warning_count"] == 2  # the report's own alert is no warning of the run
    ran("workflow", "run", "etl", "--date", "2013-02-09")
    assert len(ran.lines("messages", "list", "--json")) == 2


def test_metrics_are_recorded_once_and_a_corrected_figure_again(ran: Colony) -> None:
    def values(name: str) -> list[float]:
        return [point["value"] for point in ran.json("metrics", "show", name, "--json")["points"]]

    ran("report", "--date", DATE)
    assert values("pipeline_records_processed") == [2]
    assert values("data_quality_score") == [0.98]
    assert values("pipeline_error_count") == [1]
    assert len(values("pipeline_duration_seconds")) == 1
    path = ran.root / f"reports/validation_t_{DATE}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quality_score": 0.995}))
    ran("report", "--date", DATE)
    assert values("data_quality_score") == [0.98, 0.995]
    assert values("pipeline_records_processed") == [2]


def test_by_hand_it_finds_the_run_that_made_the_files_and_prints_a_short_summary(ran: Colony) -> None:
    done = ran("report", "--date", DATE)
    assert daily(ran)["run_id"] == ran.json("workflow", "status", "latest", "--json")["run_id"]
    lines = done.out.split("\n")
    assert lines[:4] == [
        f"reports/daily_{DATE}.md", "records processed: 2", "quality: PASS, score 0.9800", "errors: 1",
    ]  # fmt: skip
    assert lines[4].startswith("processing time: ")
    assert lines[5:] == ["alert: quality_score is 0.98, < 0.99", ""]
    assert done.err.split("\n") == [
        f"colony report: missing: raw data of source 't': no staging/raw/t_{DATE}.json",
        f"colony report: missing: transformation report of 't': no reports/transformation_t_{DATE}.json",
        "",
    ]
    schema.check(ran.json("report", "--date", DATE, "--json"), "report")


def test_the_report_of_a_day_that_failed_is_written_and_says_so(ran: Colony) -> None:
    day(ran.root, "t", [{"k": 3}], "2013-02-20", status="FAIL")
    failed = ran("workflow", "run", "etl", "--date", "2013-02-21", check=False)
    assert failed.code == 1
    done = ran("report", "--date", "2013-02-20", "--run", "latest")
    assert "quality: FAIL, score 0.9800" in done.out
    assert "missing: the load: no reports/load_2013-02-20.json" in done.err
    text = (ran.root / "reports/daily_2013-02-20.md").read_text()
    assert "| Data quality                  | ✗ FAIL |" in text
    assert "| `load-data`       | failed    |" in text
    report = json.loads((ran.root / "metrics/daily_2013-02-20.json").read_text())
    assert (report["loaded"], report["trend"]["previous"]) == (False, DATE)


def test_it_works_without_a_colony(tmp_path: Path) -> None:
    write_pipeline(tmp_path, DATASETS, alerts={"quality_score": "< 0.99"})
    day(tmp_path, "t", [{"k": 1}])
    done = subprocess.run(
        ["colony-report", "--date", DATE], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "processing time: not known\nalert: quality_score is 0.98, < 0.99\n" in done.stdout
    assert "missing: the run: there is no colony here" in done.stderr
    assert not (tmp_path / ".colony").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["--date", "2001-01-01"],
            1,
            "nothing is known of 2001-01-01: it was not fetched, transformed, validated or loaded",
        ),
        (["--date", DATE, "--run", "r9"], 1, "unknown run 'r9'"),
        (["--date", "soon"], 2, "'soon' is not a date"),
    ],
)
def test_what_cannot_be_reported_is_one_line(ran: Colony, words: list[str], code: int, said: str) -> None:
    done = ran("report", *words, check=False)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert said in done.err
    assert not (ran.root / "reports/daily_2001-01-01.md").exists()


def test_a_secret_of_the_agent_does_not_get_into_the_report(colony: Colony) -> None:
    write_pipeline(colony.root, DATASETS)
    day(colony.root, "t", [{"k": 1}], status="WARN")
    path = colony.root / f"reports/validation_t_{DATE}.json"
    checks = [{"name": "c", "passed": False, "severity": "warn", "message": "the key hunter2hunter2 was in a row"}]
    path.write_text(json.dumps({**json.loads(path.read_text()), "checks": checks}))
    secret = {"COLONY_SECRETS": "API_KEY", "API_KEY": "hunter2hunter2"}
    done = colony("report", "--date", DATE, "--json", env=secret)
    written = done.out + (colony.root / f"reports/daily_{DATE}.md").read_text() + json.dumps(daily(colony))
    assert "hunter2" not in written
    assert "the key [API_KEY] was in a row" in done.out
