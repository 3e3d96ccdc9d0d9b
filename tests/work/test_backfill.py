"""Backfills: each day once, whatever is killed, and no more than the budget allows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, CONFIG, Colony, clean_environment
from tests.work.test_runs import kill, until
from tests.work.test_usage import spend

RANGE = ("--from", "2013-02-01", "--to", "2013-02-04")
DATES = [f"2013-02-0{n}" for n in range(1, 5)]
STEPS = """\
concurrency: 2
steps:
  - {name: a, run: "echo a{{date}} >> ledger; echo 1"}
  - {name: b, depends_on: [a], run: "echo b{{date}} >> ledger; [ ! -e fails-{{date}} ]"}
"""
SLOW = """\
concurrency: 2
steps:
  - {name: a, run: "echo a{{date}} >> ledger"}
  - {name: b, depends_on: [a], run: "echo b{{date}} >> ledger; while [ ! -e go ]; do sleep 0.05; done; echo d{{date}} >> ledger"}
"""


def backfill(colony: Colony, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """The lines of a backfill of `w`, by date."""
    result = colony("workflow", "backfill", "w", *RANGE, *words, "--json", "-q", check=False)
    assert result.code == code, result
    found = [json.loads(line) for line in result.out.splitlines()]
    return sorted(found, key=lambda line: str(line["date"]))


def ledger(colony: Colony) -> list[str]:
    path = colony.root / "ledger"
    return path.read_text().split() if path.exists() else []


def runs(colony: Colony) -> list[dict[str, Any]]:
    return colony.lines("workflow", "history", "w", "--limit", "100", "--json")


def test_each_day_is_run_once_with_its_own_date_and_done_days_are_passed_over(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    before = colony("workflow", "run", "w", "--date", DATES[1]).out.strip()
    days = backfill(colony)
    assert [(day["date"], day["status"], day["action"], day["why"]) for day in days] == [
        (date, "completed", "none" if date == DATES[1] else "start", "completed before" if date == DATES[1] else None)
        for date in DATES
    ]
    assert days[1]["run_id"] == before
    assert Counter(ledger(colony)) == Counter(f"{step}{date}" for step in "ab" for date in DATES)
    assert {(run["date"], run["status"]) for run in runs(colony)} == {(date, "completed") for date in DATES}
    again = backfill(colony)
    assert {day["action"] for day in again} == {"none"} and len(runs(colony)) == 4


def test_a_plain_line_is_date_run_and_status(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[1]}").touch()
    result = colony("workflow", "backfill", "w", *RANGE, check=False)
    assert result.code == 1
    found = {line.split()[0]: line.split()[1:3] for line in result.out.splitlines()}
    assert found == {run["date"]: [run["run_id"], run["status"]] for run in runs(colony)} and len(found) == 4
    assert f"{DATES[0]} ✓ a completed" in result.err and "w, 4 days: 3 completed, 1 failed" in result.err


def test_the_work_goes_on_when_nobody_reads_the_lines(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    done = subprocess.run(
        ["bash", "-c", f"colony workflow backfill w {' '.join(RANGE)} -q | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=colony.root, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    assert done.returncode in (0, 141) and done.stderr == "" and len(done.stdout.splitlines()) == 1
    assert [run["status"] for run in runs(colony)] == ["completed"] * 4


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    colony("workflow", "validate")
    colony("workflow", "run", "w", "--date", DATES[0])
    (colony.root / f"fails-{DATES[1]}").touch()
    colony("workflow", "run", "w", "--date", DATES[1], check=False)
    before = {path: path.stat().st_mtime_ns for path in colony.root.rglob("*")}
    days = backfill(colony, "--dry-run")
    assert [(day["action"], day["status"]) for day in days] == [
        ("none", "completed"), ("resume", "failed"), ("start", None), ("start", None),
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in colony.root.rglob("*")} == before
    lines = colony("workflow", "backfill", "w", *RANGE, "--dry-run").out.splitlines()
    assert [" ".join(line.split()[3:]) for line in lines][1:] == ["would be resumed", "would be started", "would be started"]


def test_a_failed_day_is_resumed_and_does_not_stop_the_others(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[1]}").touch()
    days = backfill(colony, code=1)
    assert [day["status"] for day in days] == ["completed", "failed", "completed", "completed"]
    assert days[1]["error"] == "b: exit status 1"
    (colony.root / f"fails-{DATES[1]}").unlink()
    again = backfill(colony)
    assert (again[1]["run_id"], again[1]["action"], again[1]["status"]) == (days[1]["run_id"], "resume", "completed")
    done = Counter(ledger(colony))
    assert done.pop(f"b{DATES[1]}") == 2 and set(done.values()) == {1}


def test_a_failed_day_of_a_workflow_that_has_been_mended_is_done_by_the_new_file(colony: Colony) -> None:
    colony.workflow("w", STEPS.replace("[ ! -e", "[ -e nothing -o ! -e"))
    (colony.root / f"fails-{DATES[1]}").touch()
    days = backfill(colony, code=1)
    colony.workflow("w", STEPS.replace("[ ! -e fails-{{date}} ]", "echo mended"))
    again = backfill(colony)
    assert (again[1]["action"], again[1]["status"]) == ("rerun", "completed")
    record = colony.json("workflow", "status", again[1]["run_id"], "--json")
    assert record["rerun_of"] == days[1]["run_id"] and record["date"] == DATES[1]
    assert [step["output"] for step in record["steps"]] == [1, "mended"]
    assert Counter(ledger(colony))[f"a{DATES[1]}"] == 1  # what was completed is not done again


def test_stop_on_failure_starts_no_further_day(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[1]}").touch()
    days = backfill(colony, "--stop-on-failure", code=1)
    assert [day["status"] for day in days] == ["completed", "failed", "not_started", "not_started"]
    assert {day["why"] for day in days[2:]} == {f"{DATES[1]} failed"}
    result = colony("workflow", "backfill", "w", *RANGE, "--stop-on-failure", "-q", check=False)
    assert f"{DATES[2]}  -                       not started: {DATES[1]} failed" in result.out


def test_a_day_that_waits_is_reported_and_gone_on_with_when_it_is_approved(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, approval: true, run: "echo {{date}} >> ledger"}\n')
    days = backfill(colony, code=75)
    assert {day["status"] for day in days} == {"waiting"} and len(runs(colony)) == 4
    again = backfill(colony, code=75)
    assert {(day["action"], day["why"]) for day in again} == {("none", "it waits for a person")}
    colony("workflow", "approve", days[2]["run_id"], "a")
    assert [day["status"] for day in backfill(colony, code=75)] == ["waiting", "waiting", "completed", "waiting"]
    assert ledger(colony) == [DATES[2]] and len(runs(colony)) == 4


def test_parallel_is_capped_by_the_workflows_concurrency_and_says_so(colony: Colony) -> None:
    # A day begins only while at most `concurrency` days are between their two marks.
    colony.workflow(
        "w", 'concurrency: 2\nsteps:\n  - {name: a, run: "touch on-{{date}}; ls -d on-* | wc -l >> ledger; sleep 0.3; rm on-{{date}}"}\n'
    )
    result = colony("workflow", "backfill", "w", "--from", "2013-02-01", "--to", "2013-02-08", "--parallel", "8")
    assert "2 runs at once, not 8: the workflow's 'concurrency' is 2" in result.err
    assert len(ledger(colony)) == 8 and max(map(int, ledger(colony))) == 2
    colony.workflow("one", 'steps:\n  - {name: a, run: "true"}\n')
    assert "1 run at once, not 3" in colony("workflow", "backfill", "one", *RANGE, "--parallel", "3").err


def test_a_run_of_somebody_else_in_the_last_place_is_busy_and_starts_nothing(colony: Colony) -> None:
    colony.workflow("w", SLOW.replace("concurrency: 2", "concurrency: 1"))
    other = colony.start("workflow", "run", "w", "--date", DATES[3])
    until(lambda: len(ledger(colony)) == 2)
    days = backfill(colony, code=75)
    assert [day["status"] for day in days] == ["not_started"] * 3 + ["running"]
    assert "is running already" in days[0]["why"] and days[3]["why"] == "it is being run"
    assert len(runs(colony)) == 1
    (colony.root / "go").touch()
    other.communicate(timeout=120)
    assert {day["status"] for day in backfill(colony)} == {"completed"}


def test_a_run_of_somebody_else_leaves_the_backfill_the_other_place(colony: Colony) -> None:
    colony.workflow(
        "w",
        "concurrency: 2\ninput: {type: object, properties: {wait: {type: string}}}\n"
        "steps:\n  - {name: a, run: \"echo {{date}} >> ledger; while [ -n '{{input.wait}}' -a ! -e go ]; do sleep 0.05; done\"}\n",
    )
    other = colony.start("workflow", "run", "w", "--date", "2000-01-01", "--input", '{"wait": "yes"}')
    until(lambda: len(ledger(colony)) == 1)
    days = backfill(colony, "--parallel", "2", "--input", '{"wait": ""}')
    assert {day["status"] for day in days} == {"completed"}
    (colony.root / "go").touch()
    other.communicate(timeout=120)


def test_only_one_backfill_of_a_workflow_at_a_time(colony: Colony) -> None:
    colony.workflow("w", SLOW)
    process = colony.start("workflow", "backfill", "w", *RANGE)
    until(lambda: len(ledger(colony)) == 2)
    second = colony("workflow", "backfill", "w", *RANGE, check=False)
    assert second.code == 75 and "being backfilled already" in second.err and second.out == ""
    (colony.root / "go").touch()
    process.communicate(timeout=120)
    assert process.returncode == 0 and set(Counter(ledger(colony)).values()) == {1}


def test_a_killed_backfill_leaves_whole_runs_and_the_same_command_goes_on(colony: Colony) -> None:
    colony.workflow("w", SLOW)
    process = colony.start("workflow", "backfill", "w", *RANGE, "--parallel", "2")
    until(lambda: len(ledger(colony)) == 4)
    kill(process.pid)
    process.communicate()
    assert {run["status"] for run in runs(colony)} == {"running"}  # its engines live on
    busy = backfill(colony, code=75)
    assert [day["status"] for day in busy[:2]] == ["running", "running"]
    (colony.root / "go").touch()
    until(lambda: {run["status"] for run in runs(colony)} == {"completed"})
    assert {day["status"] for day in backfill(colony, "--parallel", "2")} == {"completed"}
    assert Counter(ledger(colony)) == Counter(f"{step}{date}" for step in "abd" for date in DATES)
    assert len(runs(colony)) == 4


def test_when_all_is_killed_at_once_the_days_are_resumed(colony: Colony) -> None:
    colony.workflow("w", SLOW)
    process = colony.start("workflow", "backfill", "w", *RANGE, "--parallel", "2")
    until(lambda: len(ledger(colony)) == 4)
    from tests.work.test_runs import everything

    kill(*everything(process.pid))
    process.communicate()
    assert {run["status"] for run in runs(colony)} == {"interrupted"}
    (colony.root / "go").touch()
    days = backfill(colony, "--parallel", "2")
    assert [(day["action"], day["status"]) for day in days] == [("resume", "completed")] * 2 + [("start", "completed")] * 2
    done = Counter(ledger(colony))
    assert all(done[f"a{date}"] == done[f"d{date}"] == 1 for date in DATES) and len(runs(colony)) == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_all_runs_as_interrupted(colony: Colony, number: int, code: int) -> None:
    colony.workflow("w", SLOW)
    process = colony.start("workflow", "backfill", "w", *RANGE, "--parallel", "2")
    until(lambda: len(ledger(colony)) == 4)
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert [run["status"] for run in runs(colony)] == ["interrupted"] * 2
    said = {line.split()[0]: line.split()[2:] for line in out.splitlines()}
    assert [said[date] for date in DATES[2:]] == [["not", "started:", "interrupted"]] * 2
    assert all(said[date][0] == "interrupted" for date in DATES[:2])
    (colony.root / "go").touch()
    assert {day["status"] for day in backfill(colony)} == {"completed"} and len(runs(colony)) == 4


def test_ctrl_c_at_a_terminal_reaches_all_and_ends_once(colony: Colony) -> None:
    # The keyboard's signal goes to the whole process group, and the backfill passes it on as well.
    colony.workflow("w", SLOW)
    process = colony.start("workflow", "backfill", "w", *RANGE, "--parallel", "2", start_new_session=True)
    until(lambda: len(ledger(colony)) == 4)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130 and [run["status"] for run in runs(colony)] == ["interrupted"] * 2


def test_a_signal_at_any_instant_leaves_days_that_the_same_command_does(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    for pause in (0.06, 0.09, 0.12, 0.15, 0.2, 0.25):
        process = colony.start("workflow", "backfill", "w", *RANGE, "--parallel", "2", "-q")
        time.sleep(pause)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
        assert process.returncode in (0, 143, -signal.SIGTERM) and "Traceback" not in err, err
    assert {day["status"] for day in backfill(colony)} == {"completed"}
    done = Counter(ledger(colony))
    journals = [colony.journal(f"runs/{run['run_id']}/journal.jsonl") for run in runs(colony)]
    doubts = sum(record.get("status") == "interrupted" for journal in journals for record in journal if record["type"] == "attempt_ended")
    assert sum(done.values()) <= 8 + doubts and len(done) == 8 and len(runs(colony)) == 4


# -- the budget


def test_a_budget_of_time_is_used_up_by_runs_and_holds_across_invocations(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "echo {{date}} >> ledger; sleep 0.4"}\n')
    alert = "alerts:\n  - on: [budget]\n    command: echo \"$COLONY_ALERT_TEXT\" >> told\n"
    colony.write("colony.yml", CONFIG + alert)
    days = backfill(colony, "--budget", "time=600ms", code=75)
    assert [day["status"] for day in days] == ["completed", "completed", "not_started", "not_started"]
    assert {day["why"] for day in days[2:]} == {"the budget is used up"}
    plain = colony("workflow", "backfill", "w", *RANGE, "--budget", "time=600ms", check=False)
    assert plain.code == 75 and "not started: the budget is used up" in plain.out and "of 0.6s" in plain.err
    assert len(ledger(colony)) == 2  # what was used before counts
    assert (colony.root / "told").read_text().count("the budget is used up") == 1
    assert len(backfill(colony, "--budget", "time=1h")) == 4 and len(ledger(colony)) == 4


@pytest.mark.parametrize(("limits", "words"), [("usd=5", "$6.00 of $5.00"), ("tokens=1000", "1,200 of 1,000 tokens")])
def test_a_budget_of_dollars_and_tokens_counts_what_journals_hold(colony: Colony, limits: str, words: str) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[0]}").touch()
    first = backfill(colony, "--stop-on-failure", code=1)[0]["run_id"]
    # As the attempts of an agent in that run would have written it.
    spend(colony, first, {"step": "b", "tokens": 700, "cost_usd": 2.5}, {"step": "b", "tokens": 500, "cost_usd": 3.5})
    result = colony("workflow", "backfill", "w", *RANGE, "--budget", limits, check=False)
    assert result.code == 75 and f"the budget is used up: {words}" in result.err
    assert Counter(ledger(colony))[f"a{DATES[1]}"] == 0
    other = colony("workflow", "backfill", "w", "--from", DATES[1], "--to", DATES[2], "--budget", limits)
    assert other.code == 0  # another range has a budget of its own
    larger = "usd=7" if "usd" in limits else "tokens=1201"
    assert colony("workflow", "backfill", "w", *RANGE, "--budget", larger, check=False).code == 1  # it fails anew
    assert Counter(ledger(colony))[f"a{DATES[3]}"] == 1


def test_what_a_run_had_used_before_the_backfill_took_it_up_is_not_the_backfills(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[0]}").touch()
    run = colony("workflow", "run", "w", "--date", DATES[0], check=False).out.strip()
    spend(colony, run, {"step": "b", "tokens": 9_000})
    (colony.root / f"fails-{DATES[0]}").unlink()
    result = colony("workflow", "backfill", "w", *RANGE, "--budget", "tokens=100")
    assert result.code == 0 and "used: 0 of 100 tokens" in result.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--budget", "usd=0"), "must be an amount of dollars above 0"),
        (("--budget", "usd=nan"), "must be an amount of dollars above 0"),
        (("--budget", "tokens=1.5"), "must be a whole number above 0"),
        (("--budget", "time=5"), "is not a duration"),
        (("--budget", "token=5"), "did you mean 'tokens'?"),
        (("--budget", "usd"), "write it like usd=5"),
        (("--budget", "usd=5,usd=6"), "twice"),
        (("--budget", ""), "is no part of a budget"),
        (("--parallel", "0"), "--parallel must be 1 or more"),
        (("--from", "2013-02-05"), "--from 2013-02-05 is after --to 2013-02-04"),
        (("--from", "2003-01-27"), "is 3,662 days; at most 3,660 at a time"),
        (("--from", "2013-02-30"), "is not a date"),
        (("--input", "{"), "not JSON"),
        (("--input", '{"n": 1}'), "does not fit"),
    ],
)
def test_bad_words_are_refused_before_anything_is_done(colony: Colony, words: tuple[str, ...], says: str) -> None:
    colony.workflow("w", "input: {type: object, additionalProperties: false}\n" + STEPS)
    refused = colony("workflow", "backfill", "w", *RANGE, *words, check=False)
    assert refused.code == 2 and says in refused.err and len(refused.err.splitlines()) == 1, refused
    assert not refused.out and runs(colony) == []
    assert colony("workflow", "backfill", "ww", *RANGE, check=False).code == 1


def test_the_longest_range_is_taken(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    lines = colony("workflow", "backfill", "w", "--from", "2003-01-29", "--to", "2013-02-04", "--dry-run").out.splitlines()
    assert len(lines) == 3660 and lines[-1].startswith("2013-02-04")


def test_a_rerun_of_one_step_does_not_make_a_day_complete(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[0]}").touch()
    run = colony("workflow", "run", "w", "--date", DATES[0], check=False).out.strip()
    colony("workflow", "rerun", run, "--only", "a")
    assert next((day["run_id"], day["action"]) for day in backfill(colony, "--dry-run")) == (run, "resume")


def test_with_an_input_only_runs_with_that_input_count(colony: Colony) -> None:
    colony.workflow("w", "input: {type: object, properties: {n: {type: integer, default: 1}}}\n" + STEPS)
    for n in (1, 2):
        colony("workflow", "run", "w", "--date", DATES[n - 1], "--input", json.dumps({"n": n}))
    actions = {given: [day["action"] for day in backfill(colony, "--dry-run", *given)] for given in [(), ("--input", "{}"), ("--input", '{"n": 2}')]}
    assert actions == {
        (): ["none", "none", "start", "start"],
        ("--input", "{}"): ["none", "start", "start", "start"],
        ("--input", '{"n": 2}'): ["start", "none", "start", "start"],
    }
    backfill(colony, "--input", '{"n": 2}')
    assert {run["date"]: colony.json("workflow", "status", run["run_id"], "--json")["input"] for run in runs(colony)[:3]} == {
        date: {"n": 2} for date in (DATES[0], DATES[2], DATES[3])
    }


def test_every_line_meets_its_schema(colony: Colony) -> None:
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "schemas/backfill.schema.json").read_text())
    colony.workflow("w", STEPS)
    (colony.root / f"fails-{DATES[1]}").touch()
    for lines in (backfill(colony, "--dry-run"), backfill(colony, "--stop-on-failure", code=1), backfill(colony, "--dry-run")):
        for line in lines:
            jsonschema.validate(line, schema, cls=jsonschema.Draft202012Validator)
            assert set(line) == set(schema["properties"])


def test_a_schema_validator_is_loaded_once_and_not_by_each_day(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, output_schema: {type: integer}, run: "echo 1"}\n')
    done = subprocess.run(
        [sys.executable, "-X", "importtime", BIN / "colony-workflow", "backfill", "w", *RANGE],
        cwd=colony.root, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    assert done.returncode == 0
    assert sum(line.endswith("| jsonschema") for line in done.stderr.splitlines()) == 1
