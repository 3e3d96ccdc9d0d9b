"""The demo as a person meets it: what it prints, what it leaves, a second time, an interruption, a day that fails."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Colony, clean_environment
from tests.examples import figures
from tests.examples.conftest import DAYS, KEY, Demo
from tests.examples.support import EXAMPLES, commands, shell

STEPS = ["fetch-data", "transform-data", "validate-data", "load-data", "generate-report"]


def counts(root: Path) -> dict[str, int]:
    with duckdb.connect(str(root / "warehouse" / "flights.duckdb"), read_only=True) as warehouse:
        found = warehouse.execute(
            "select flight_date::text, count(*) from flights group by all order by all"
        ).fetchall()
    return dict(found)


def test_the_demo_shows_every_step_of_three_days_and_names_what_it_made(demo: Demo) -> None:
    lines = demo.said.split("\n")
    assert [line.split()[1] for line in lines if line.startswith("  ")][: 3 * len(STEPS)] == 3 * STEPS
    assert sum(line.startswith("  ✓") for line in lines) == 13
    warned = [line for line in lines if line.startswith("  !")]
    assert len(warned) == 2 and all("validate-data" in line and "WARN" in line for line in warned)
    assert "few_flights_cancelled" in warned[0] and "wind_gauges_work" in warned[1]
    assert max(map(len, lines)) <= 160
    named = re.search(r"^Report +(.*)\nWarehouse +(.*)\nNext +(.*)\n +(.*)\n +(.*)\n\Z", demo.said, re.MULTILINE)
    assert named, demo.said
    assert Path(named[1]) == demo.root / "reports" / "daily_2013-02-12.md" and Path(named[1]).is_file()
    assert Path(named[2]) == demo.root / "warehouse" / "flights.duckdb" and Path(named[2]).is_file()
    for command in named.groups()[2:]:
        assert shell(command, Path.cwd()).code == 0, command  # as it stands: from where the demo was run


def test_the_steps_were_done_by_the_six_agents_and_their_outputs_are_json(demo: Demo) -> None:
    runs = demo.colony.lines("workflow", "history", "daily-etl", "--json")
    assert [run["date"] for run in runs] == ["2013-02-13", "2013-02-09", "2013-02-08"]
    run = demo.colony.json("workflow", "status", runs[1]["run_id"], "--json")
    assert [(step["name"], step["agent"]) for step in run["steps"]] == list(
        zip(STEPS, ["data-fetcher", "data-transformer", "data-validator", "data-loader", "reporter"], strict=True)
    )
    outputs = {step["name"]: step["output"] for step in run["steps"]}
    assert outputs["fetch-data"]["sources"]["flights"]["duplicates"] == 4
    assert outputs["fetch-data"]["sources"]["flights"]["retries"] == 1
    assert outputs["validate-data"]["status"] == "WARN"
    assert outputs["load-data"]["record_count"] == outputs["transform-data"]["record_count"]
    assert outputs["load-data"]["tables"]["flights"]["inserted"] == 930
    assert counts(demo.root) == dict(zip(DAYS, [932, 930, 893], strict=True))


def test_no_server_and_no_secret_are_left(demo: Demo) -> None:
    port = re.search(r"http://127\.0\.0\.1:(\d+)", demo.said)
    assert port
    assert shell(f"curl -s -o /dev/null --max-time 2 http://127.0.0.1:{port[1]}/health", demo.root).code == 7
    holding = [
        str(path)
        for path in demo.root.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and KEY.encode() in path.read_bytes()
    ]
    assert sorted(Path(path).name for path in holding) == ["demo.env", "flights_api.py"]


def test_a_second_time_everything_is_done_again_and_the_warehouse_stays_as_it_was(after: Colony) -> None:
    command = [sys.executable, str(EXAMPLES / "data-pipeline" / "demo.py"), "--into", str(after.root), "2013-02-08"]
    before = counts(after.root)
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    assert "  ✓ load-data" in done.stdout and "0 rows new, 0 changed, in 7 tables" in done.stdout
    assert counts(after.root) == before
    assert len(after.lines("workflow", "history", "daily-etl", "--json")) == 4


def test_an_interrupted_demo_stops_its_run_and_its_server(tmp_path: Path) -> None:
    root = tmp_path / "colony"
    command = [sys.executable, "-u", str(EXAMPLES / "data-pipeline" / "demo.py"), "--into", str(root)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=clean_environment(), stdout=pipe, stderr=pipe, text=True)
    assert process.stdout and process.stderr
    first = process.stdout.readline()
    deadline = time.monotonic() + 120
    while not list(root.glob(".colony/runs/*/plan.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "demo.py: stopped\n"), out
    port = re.search(r":(\d+)\.$", first.strip())
    assert port and shell(f"curl -s -o /dev/null --max-time 2 http://127.0.0.1:{port[1]}/health", tmp_path).code == 7
    deadline = time.monotonic() + 60
    while Colony(root).json("workflow", "status", "--json")["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)  # its engine may still be ending what the step had started
    assert [run["status"] for run in Colony(root).lines("workflow", "history", "--json")] == ["interrupted"]


@pytest.mark.parametrize("day", ["2012-02-08", "2013-02-30", "tomorrow", "--speed"])
def test_a_day_that_is_none_is_refused_before_anything_is_made(tmp_path: Path, day: str) -> None:
    command = [sys.executable, str(EXAMPLES / "data-pipeline" / "demo.py"), "--into", str(tmp_path / "x"), day]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and day in done.stderr.split("\n")[-2]
    assert not (tmp_path / "x").exists()


def test_a_broken_day_is_stopped_at_the_gate_and_the_orchestrator_hears_why(
    after: Colony, serve: Callable[..., str]
) -> None:
    before = counts(after.root)
    env = {"FLIGHTS_API": serve("2013-02-14")}
    result = after("workflow", "run", "daily-etl", "--date", "2013-02-15", env=env, check=False)
    assert result.code == 1
    run = after.json("workflow", "status", "latest", "--json")
    assert run["run_id"] == result.out.split("\n")[0]
    assert (run["status"], run["error"].split(":")[0]) == ("failed", "validate-data")
    assert {step["name"]: step["status"] for step in run["steps"]} == {
        "fetch-data": "completed",
        "transform-data": "completed",
        "validate-data": "failed",
        "load-data": "cancelled",
        "generate-report": "cancelled",
        "notify-on-failure": "completed",
    }
    judged = json.loads((after.root / "reports" / "validation_flights_2013-02-14.json").read_text())
    failed = {check["name"] for check in judged["checks"] if not check["passed"]}
    assert judged["status"] == "FAIL"
    assert failed == {"error_rate", "arrival_missing_only_when_cancelled_or_diverted"}
    # Nothing of the day is loaded, not even the datasets that passed; and no report claims a day that is not there.
    assert counts(after.root) == before
    assert not (after.root / "reports" / "daily_2013-02-14.md").exists()
    load = after("load", "--date", "2013-02-14", check=False)
    assert load.code == 1 and "flights" in load.err and "FAIL" in load.err
    assert counts(after.root) == before
    # The gate's message goes to the orchestrator, whose step then tells all.
    told = [m for m in after.lines("messages", "list", "orchestrator", "--json") if "2013-02-14" in m["text"]]
    assert [(message["from"], message["to"]) for message in told] == [
        ("data-validator", "orchestrator"),
        ("orchestrator", "all"),
    ]
    assert "arrival_missing_only_when_cancelled_or_diverted" in told[0]["text"]
    assert "the flights of 2013-02-14 are not loaded; validate-data failed: exit status 1" in told[1]["text"]


def test_the_commands_of_its_page_that_look_at_a_run_all_work(after: Colony) -> None:
    first, *looking = commands(EXAMPLES / "data-pipeline" / "README.md")
    assert first.split()[0] == "./demo.py" and len(looking) == 10
    for line in looking:
        result = shell(line, after.root)
        assert result.code == 0 and result.out, f"{line}\n{result!r}"


def test_what_its_page_says_of_the_data_is_so() -> None:
    assert sum(map(figures.diverted, figures.flights("2013-07-10"))) == 37
    storm = figures.weather("2013-02-08")
    assert sum(row["pressure"] == "NA" for row in storm) * 2 == len(storm)
    assert max(float(row["wind_speed"]) for row in figures.weather("2013-02-12") if row["wind_speed"] != "NA") > 1048
