"""The commands of the document that this project makes true, as they stand there, in the colony that the demo leaves."""

from __future__ import annotations

import json
import re

from tests.conftest import Colony
from tests.examples.support import shell


def run(colony: Colony, command: str) -> str:
    result = shell(command, colony.root)
    assert result.code == 0, f"{command}\n{result!r}"
    return result.out


CHAIN = ["fetch-daily-data", "transform-daily-data", "validate-daily-data", "load-daily-data", "generate-daily-report"]


def test_the_chain_of_tasks_becomes_ready_one_by_one(after: Colony) -> None:
    for title, description, blocker in zip(
        CHAIN,
        [
            "Fetch data from all sources",
            "Clean and transform fetched data",
            "Run quality validation",
            "Load to warehouse",
            "Create pipeline report",
        ],
        [None, *CHAIN],
        strict=False,
    ):
        blockers = f' \\\n  --blockers "{blocker}"' if blocker else ""
        run(after, f'colony state task add "{title}" \\\n  --description "{description}"{blockers}')
    tasks = {task["title"]: task for task in after.lines("state", "task", "list", "--json")}
    assert [tasks[title]["status"] for title in CHAIN] == ["ready", "blocked", "blocked", "blocked", "blocked"]
    assert tasks["load-daily-data"]["blocked_by"] == ["validate-daily-data"]
    for title in CHAIN:
        assert [task["title"] for task in after.lines("state", "task", "ready", "--json")] == [title]
        run(after, f"colony state task complete {title}")
    assert run(after, "colony state task list").count("completed") == len(CHAIN)


def test_status_and_tasks_fit_a_watched_terminal(after: Colony) -> None:
    run(after, 'colony state task add "fetch-daily-data"')
    shown = run(after, 'colony status && echo "" && colony state task list').split("\n")
    assert len(shown) <= 24 and max(map(len, shown)) <= 80
    assert all(any(agent in line for line in shown) for agent in ("orchestrator", "data-loader", "fetch-daily-data"))


def test_logs_of_agents_by_level_and_by_pattern(after: Colony) -> None:
    assert "932 records" in run(after, "colony logs data-fetcher")
    assert "wind_gauges_work" in run(after, "colony logs data-validator")
    assert run(after, "colony logs --level error") == run(after, "colony logs data-fetcher --level error") == ""
    matching = run(after, 'colony logs data-transformer --pattern "transform"').rstrip("\n").split("\n")
    assert matching and all("transform" in line for line in matching)


def test_metrics_are_recorded_and_shown(after: Colony) -> None:
    assert "5799" in run(after, "colony metrics show pipeline_records_processed")
    for line in (
        "pipeline_records_processed 10543",
        "pipeline_duration_seconds 1834",
        "pipeline_error_count 3",
        "data_quality_score 0.98",
    ):
        run(after, f"colony metrics record {line}")
    assert "10543" in run(after, "colony metrics show pipeline_records_processed")
    short = shell("colony metrics show pipeline_duration", after.root)
    assert short.code == 0 and "1834" in short.out and "pipeline_duration_seconds" in short.err
    week = json.loads(run(after, "colony metrics show pipeline_duration_seconds --hours 168 --json"))
    assert (week["hours"], week["count"], week["current"], week["max"]) == (168, 4, 1834, 1834)


def test_the_failed_checks_of_all_reports_by_jq(after: Colony) -> None:
    found = run(after, "cat reports/validation_*.json | jq '.checks[] | select(.passed == false)'")
    names = [json.loads(text)["name"] for text in re.split(r"(?<=^})\n", found, flags=re.MULTILINE) if text.strip()]
    assert sorted(names) == ["completeness", "few_flights_cancelled", "wind_gauges_work"]


def test_the_run_and_its_history(after: Colony) -> None:
    history = run(after, "colony workflow history daily-etl --limit 10").rstrip("\n").split("\n")
    assert len(history) == 4
    run_id = history[1].split()[0]
    assert "generate-report" in run(after, f"colony workflow status {run_id}")
    assert "893 records" in run(after, f"colony logs data-fetcher --run {run_id}")


def test_a_broadcast_reaches_every_agent_with_its_signs(after: Colony) -> None:
    run(after, 'colony broadcast "🚨 Pipeline errors exceeded threshold: 12 errors"')
    for agent in ("orchestrator", "reporter"):
        last = after.lines("messages", "list", agent, "--json")[-1]
        assert (last["to"], last["text"]) == ("all", "🚨 Pipeline errors exceeded threshold: 12 errors")


def test_load_metadata_says_when_each_table_was_loaded(after: Colony) -> None:
    metadata = json.loads((after.root / ".colony" / "state" / "load_metadata.json").read_text(encoding="utf-8"))
    assert metadata["last_load_time"] == max(table["last_load_time"] for table in metadata["tables"].values())
    assert run(after, "colony state get load_metadata tables.flights.rows") == "2755\n"
    fetched = json.loads((after.root / ".colony" / "state" / "fetch_results.json").read_text(encoding="utf-8"))
    assert (fetched["flights"]["filepath"], fetched["flights"]["records"]) == (
        "staging/raw/flights_2013-02-12.json",
        893,
    )
