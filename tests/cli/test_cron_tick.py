"""`colony cron tick`, and the runs of a workflow's own crontab line: each time of a schedule once, whatever has happened."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import locks
from colony_lib.store import schema
from tests.conftest import Colony, Result

DID = "steps:\n  - {name: a, run: 'echo did {{date}} >> ledger'}\n"
# Goes on as long as there is a file 'hold'.
HOLDS = "steps:\n  - {name: a, run: 'echo {{date}} >> ledger; while [ -e hold ]; do sleep 0.05; done'}\n"


def define(colony: Colony, steps: str = DID, name: str = "w", **trigger: Any) -> None:
    """A workflow with that schedule, by default at four o'clock in UTC."""
    more = trigger.pop("more", "")
    settings = {"cron": "0 4 * * *", "timezone": "UTC", **trigger}
    colony.workflow(name, f"trigger: {json.dumps(settings)}\n{more}{steps}")


def tick(colony: Colony, now: str, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """What a tick says at that time, shapes checked: '2026-11-23 04:00'."""
    result = colony("cron", "tick", "--json", *words, env=frozen(now), check=False)
    assert result.code == code, result
    records = [json.loads(line) for line in result.out.splitlines()]
    for record in records:
        schema.check(record, "cron-tick")
    if code == 0:
        assert result.err == ""
    return records


def frozen(now: str) -> dict[str, str]:
    return {"COLONY_NOW": now.replace(" ", "T") + "Z"}


def told(records: list[dict[str, Any]]) -> list[str]:
    """['22 started']: the day of the month and what became of it."""
    return [f"{(record['local'] or '')[8:10]} {record['action']}" for record in records]


def until(found: Any, seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass in time")


def runs(colony: Colony) -> list[dict[str, Any]]:
    """The runs, oldest first."""
    return colony.lines("workflow", "history", "--json")[::-1]


def ended(colony: Colony, count: int = 1, status: str = "completed") -> list[dict[str, Any]]:
    """The runs, oldest first, once there are so many with that status and none is running."""

    def those() -> list[dict[str, Any]] | None:
        found = runs(colony)
        alive = any(run["status"] == "running" for run in found)
        return None if alive or [run["status"] for run in found].count(status) != count else found

    found: list[dict[str, Any]] = until(those)
    return found


def document(colony: Colony, name: str = "w") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((colony.root / f".colony/schedules/{name}.json").read_text())
    return found


def warnings(colony: Colony) -> list[str]:
    """What the colony's own log warns of."""
    records = (
        colony.lines("logs", "colony", "--level", "warn", "--json")
        if (colony.root / ".colony/logs/colony.jsonl").exists()
        else []
    )
    return [record["message"] for record in records]


def kill_engine(colony: Colony) -> str:
    """Shoot the engine and the steps of the newest run, as a power cut does; returns the run's id."""
    run_id = runs(colony)[-1]["run_id"]
    note = (colony.root / f".colony/locks/runs/{run_id}/alive.lock").read_text()
    for process in Path("/proc").iterdir():  # the engine was forked: its own id is nowhere, its open lock file is
        if process.name.isdigit():
            try:
                files = [os.readlink(fd) for fd in (process / "fd").iterdir()]
            except OSError:
                continue
            if any(f"/locks/runs/{run_id}/" in file for file in files):
                os.kill(int(process.name), signal.SIGKILL)
    assert note
    until(lambda: runs(colony)[-1]["status"] == "interrupted")
    return str(run_id)


# ── each time once ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_tick_begins_the_watch_and_nothing_before_it_counts(colony: Colony) -> None:
    define(colony, missed="all", cron="0 * * * *")
    assert tick(colony, "2026-11-23 04:00:30") == []
    assert document(colony)["since"] == "2026-11-23T04:00:30.000Z"
    assert tick(colony, "2026-11-23 04:59:59") == []
    assert told(tick(colony, "2026-11-23 05:00:00")) == ["23 started"]
    assert [run["scheduled"] for run in ended(colony)] == ["2026-11-23T05:00:00.000Z"]


def test_a_time_is_run_once_in_the_background_and_the_run_says_which(colony: Colony) -> None:
    define(colony)
    tick(colony, "2026-11-22 12:00")
    (record,) = tick(colony, "2026-11-23 04:00:20")
    assert record == {
        "ts": "2026-11-23T04:00:20.000Z",
        "workflow": "w",
        "scheduled": "2026-11-23T04:00:00.000Z",
        "local": "2026-11-23T04:00+00:00",
        "date": "2026-11-23",
        "action": "started",
        "run_id": record["run_id"],
        "count": 1,
        "first": None,
        "reason": None,
    }
    for now in ("2026-11-23 04:00:20", "2026-11-23 04:00:59", "2026-11-23 04:01"):
        assert tick(colony, now) == []
    (run,) = ended(colony)
    assert (run["run_id"], run["scheduled"], run["date"]) == (
        record["run_id"],
        "2026-11-23T04:00:00.000Z",
        "2026-11-23",
    )
    header = json.loads((colony.root / f".colony/runs/{run['run_id']}/plan.json").read_text())
    assert (header["trigger"], header["scheduled"]) == ("schedule", "2026-11-23T04:00:00.000Z")
    schema.check(run, "history")
    schema.check(colony.json("workflow", "status", "--json"), "run")
    assert (colony.root / "ledger").read_text() == "did 2026-11-23\n"


def test_a_line_for_people_has_the_time_the_workflow_and_the_run(colony: Colony) -> None:
    define(colony, timezone="Asia/Kolkata", cron="30 9 * * *")
    tick(colony, "2026-11-20 12:00")
    result = colony("cron", "tick", env=frozen("2026-11-23 04:00:20"))
    (run,) = ended(colony)
    assert result.out == (
        "2026-11-23T04:00:20.000Z w 2026-11-22T09:30+05:30 given up, and 1 more since 2026-11-21T09:30+05:30: "
        "nobody looked in its minute (missed: skip)\n"
        f"2026-11-23T04:00:20.000Z w 2026-11-23T09:30+05:30 started {run['run_id']}\n"
    )
    assert colony("cron", "tick", env=frozen("2026-11-23 04:00:40")).out == ""


def test_only_workflows_with_a_schedule_or_those_that_are_named_are_looked_at(colony: Colony) -> None:
    define(colony, name="a")
    define(colony, name="b")
    colony.workflow("by-hand", DID)
    tick(colony, "2026-11-22 12:00")
    assert [record["workflow"] for record in tick(colony, "2026-11-23 04:00", "b")] == ["b"]
    assert [record["workflow"] for record in tick(colony, "2026-11-23 04:00")] == ["a"]
    ended(colony, 2)
    for name, code, words in (
        ("by-hand", 2, "workflow 'by-hand' has no schedule at .colony/workflows/by-hand.yaml; "),
        ("c", 1, "unknown workflow 'c'; "),
        ("../x", 2, "'../x' is not a name for a workflow; "),
    ):
        result = colony("cron", "tick", name, "a", check=False, env=frozen("2026-11-23 04:00"))
        assert (result.code, result.out) == (code, "")
        assert (
            result.err.startswith(f"colony cron: 2026-11-23T04:00:00.000Z {name}: {words}")
            and len(result.err.splitlines()) == 1
        )
    assert sorted(os.listdir(colony.root / ".colony/schedules")) == ["a.json", "b.json"]


def test_who_cannot_decide_for_another_that_does_says_so_and_loses_nothing(colony: Colony) -> None:
    define(colony)
    tick(colony, "2026-11-22 12:00")
    with locks.held(str(colony.root / ".colony/locks/schedule-w.lock")):
        result = colony("cron", "tick", "--lock-timeout", "50ms", check=False, env=frozen("2026-11-23 04:00"))
        assert (result.code, result.out) == (75, "")
        assert (
            result.err.startswith("colony cron: 2026-11-23T04:00:00.000Z w: the schedule of 'w' is busy: ")
            and len(result.err.splitlines()) == 1
        )
    assert told(tick(colony, "2026-11-23 04:00:30")) == ["23 started"]
    ended(colony)


# ── missed ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_skip_gives_up_what_nobody_looked_at_and_says_so_once(colony: Colony) -> None:
    define(colony)
    tick(colony, "2026-11-20 12:00")
    (record,) = tick(colony, "2026-11-23 04:01")
    assert (record["action"], record["scheduled"], record["first"], record["count"], record["run_id"]) == (
        "given up",
        "2026-11-23T04:00:00.000Z",
        "2026-11-21T04:00:00.000Z",
        3,
        None,
    )
    assert tick(colony, "2026-11-23 04:02") == [] and runs(colony) == []
    assert warnings(colony) == [
        "w: 2026-11-23T04:00+00:00 and 2 more since 2026-11-21T04:00+00:00 given up: nobody looked in its minute "
        "(missed: skip)"
    ]


def test_latest_runs_the_newest_and_gives_up_those_before_it(colony: Colony) -> None:
    define(colony, missed="latest")
    tick(colony, "2026-11-20 12:00")
    records = tick(colony, "2026-11-23 09:17")
    assert told(records) == ["22 given up", "23 started"]
    assert (records[0]["count"], records[0]["reason"]) == (2, "a newer time is run (missed: latest)")
    assert [(run["date"], run["scheduled"][:16]) for run in ended(colony)] == [("2026-11-23", "2026-11-23T04:00")]
    assert tick(colony, "2026-11-23 09:18") == []


def test_all_runs_each_in_its_order_as_far_as_the_places_go(colony: Colony) -> None:
    define(colony, missed="all", more="concurrency: 2\n", steps=HOLDS)
    colony.write("hold", "")
    tick(colony, "2026-11-18 12:00")
    assert told(tick(colony, "2026-11-23 09:17")) == ["19 started", "20 started", "21 waits"]
    assert tick(colony, "2026-11-23 09:18") == []  # it has been said
    (colony.root / "hold").unlink()
    ended(colony, 2)
    colony.write("hold", "")
    assert told(tick(colony, "2026-11-23 09:19")) == ["21 started", "22 started", "23 waits"]
    (colony.root / "hold").unlink()
    ended(colony, 4)
    assert told(tick(colony, "2026-11-23 09:20")) == ["23 started"]
    assert [run["date"][-2:] for run in ended(colony, 5)] == ["19", "20", "21", "22", "23"]
    assert tick(colony, "2026-11-23 09:21") == []


def test_what_is_older_than_the_window_is_given_up(colony: Colony) -> None:
    for name, missed in (("a", "latest"), ("b", "all")):
        define(colony, name=name, missed=missed, window="36h", more="concurrency: 9\n")
    tick(colony, "2026-11-18 12:00")
    assert told(tick(colony, "2026-11-20 16:00", "a")) == ["19 given up", "20 started"]
    assert told(tick(colony, "2026-11-20 16:00", "b")) == ["19 started", "20 started"]
    records = tick(colony, "2026-11-22 16:01")
    assert told(records) == ["21 given up", "22 started", "21 given up", "22 started"]
    assert [record["reason"] for record in records[::2]] == [
        "a newer time is run (missed: latest)",
        "older than the window of the trigger",
    ]
    ended(colony, 5)
    define(colony, name="a", missed="latest", window="10m")
    (record,) = tick(colony, "2026-11-25 16:01", "a")
    assert (record["action"], record["count"], record["reason"]) == (
        "given up",
        3,
        "older than the window of the trigger",
    )


def test_with_skip_a_time_that_finds_its_workflow_running_is_given_up(colony: Colony) -> None:
    define(colony, steps=HOLDS)
    colony.write("hold", "")
    tick(colony, "2026-11-20 12:00")
    assert told(tick(colony, "2026-11-21 04:00")) == ["21 started"]
    (record,) = tick(colony, "2026-11-22 04:00")
    assert (record["action"], record["reason"]) == (
        "given up",
        f"workflow 'w' is running already ({runs(colony)[0]['run_id']})",
    )
    assert len(warnings(colony)) == 1
    (colony.root / "hold").unlink()
    assert len(ended(colony)) == 1
    assert tick(colony, "2026-11-22 04:00:30") == []


def test_latest_waits_for_a_place_and_takes_what_is_newest_then(colony: Colony) -> None:
    define(colony, steps=HOLDS, missed="latest")
    colony.write("hold", "")
    tick(colony, "2026-11-20 12:00")
    assert told(tick(colony, "2026-11-21 04:00")) == ["21 started"]
    assert told(tick(colony, "2026-11-22 04:00")) == ["22 waits"]
    assert told(tick(colony, "2026-11-23 04:00")) == ["22 given up", "23 waits"]
    (colony.root / "hold").unlink()
    ended(colony)
    assert told(tick(colony, "2026-11-23 04:10")) == ["23 started"]
    assert [run["date"][-2:] for run in ended(colony, 2)] == ["21", "23"]


def test_what_keeps_a_run_from_starting_is_said_once_and_tried_again(colony: Colony) -> None:
    colony.write("colony.yml", "name: c\nagents: [{id: loader, env: {K: $SOME_KEY}}]\n")
    define(colony, missed="latest", steps=DID.replace("{name: a,", "{name: a, agent: loader,"))
    tick(colony, "2026-11-20 12:00")
    (record,) = tick(colony, "2026-11-21 04:00")
    assert record["action"] == "waits"
    assert record["reason"].startswith(
        "the environment variable SOME_KEY is not set, which agent 'loader' needs at colony.yml:2"
    )
    assert tick(colony, "2026-11-21 04:01") == []
    colony.write("colony.yml", "env_file: .env\nname: c\nagents: [{id: loader, env: {K: $SOME_KEY}}]\n")
    colony.write(".env", "SOME_KEY=abcdef\n")
    assert told(tick(colony, "2026-11-21 06:00")) == ["21 started"]
    assert ended(colony)[0]["date"] == "2026-11-21"


# ── runs that were cut off ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_a_scheduled_run_that_was_cut_off_goes_on_unless_missed_is_skip(colony: Colony, missed: str) -> None:
    define(colony, steps=HOLDS, missed=missed)
    colony.write("hold", "")
    tick(colony, "2026-11-20 12:00")
    tick(colony, "2026-11-21 04:00")
    until(lambda: (colony.root / "ledger").exists())
    run_id = kill_engine(colony)
    (colony.root / "hold").unlink()
    records = tick(colony, "2026-11-21 07:00")
    if missed == "skip":
        assert records == [] and runs(colony)[0]["status"] == "interrupted"
        return
    assert [(record["action"], record["run_id"], record["scheduled"][:16]) for record in records] == [
        ("resumed", run_id, "2026-11-21T04:00")
    ]
    (run,) = ended(colony)
    assert (run["run_id"], run["date"]) == (run_id, "2026-11-21")
    assert tick(colony, "2026-11-21 07:01") == [] and document(colony)["open"] == []


def test_one_that_was_cut_off_goes_on_before_newer_ones_begin_and_not_past_the_window(colony: Colony) -> None:
    define(colony, steps=HOLDS, missed="all", window="3d")
    colony.write("hold", "")
    tick(colony, "2026-11-20 12:00")
    tick(colony, "2026-11-21 04:00")
    until(lambda: (colony.root / "ledger").exists())
    kill_engine(colony)
    assert told(tick(colony, "2026-11-22 12:00", "--dry-run")) == ["21 resumed", "22 waits"]
    assert told(tick(colony, "2026-11-22 12:00")) == ["21 resumed", "22 waits"]
    kill_engine(colony)
    (colony.root / "hold").unlink()
    assert told(tick(colony, "2026-11-24 05:00")) == ["22 started", "23 waits"]
    assert [run["status"] for run in ended(colony)] == ["interrupted", "completed"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_one_that_failed_or_was_cancelled_is_not_made_again(colony: Colony, status: str) -> None:
    define(colony, steps=HOLDS + "  - {name: b, depends_on: [a], run: 'false'}\n", missed="all")
    tick(colony, "2026-11-20 12:00")
    if status == "cancelled":
        colony.write("hold", "")
    tick(colony, "2026-11-21 04:00")
    if status == "cancelled":
        colony("workflow", "cancel", "latest")
    ended(colony, 1, status)
    assert tick(colony, "2026-11-21 04:01") == [] and tick(colony, "2026-11-21 05:00") == []
    assert len(runs(colony)) == 1


def test_a_run_that_is_cut_off_again_and_again_is_given_up(colony: Colony) -> None:
    define(colony, steps="steps:\n  - {name: a, run: 'touch here; while :; do sleep 0.05; done'}\n", missed="latest")
    tick(colony, "2026-11-20 12:00")
    assert told(tick(colony, "2026-11-21 04:00")) == ["21 started"]
    for minute in range(1, 6):
        until(lambda: (colony.root / "here").exists())
        (colony.root / "here").unlink()
        run_id = kill_engine(colony)
        assert told(tick(colony, f"2026-11-21 04:0{minute}")) == ["21 resumed"]
    until(lambda: (colony.root / "here").exists())
    kill_engine(colony)
    (record,) = tick(colony, "2026-11-21 04:06")
    assert (record["action"], record["run_id"]) == ("given up", run_id)
    assert record["reason"] == f"the interrupted run {run_id} is not gone on with: it was cut off 6 times"
    assert tick(colony, "2026-11-21 04:07") == [] and len(warnings(colony)) == 1


# ── what changes under a schedule ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("change", [{"cron": "0 5 * * *"}, {"timezone": "Europe/London"}])
def test_a_changed_schedule_begins_anew(colony: Colony, change: dict[str, str]) -> None:
    define(colony, missed="all")
    tick(colony, "2026-11-20 12:00")
    define(colony, missed="all", **change)
    assert tick(colony, "2026-11-23 12:00") == []
    assert told(tick(colony, "2026-11-24 12:00")) == ["24 started"]
    ended(colony)


def test_what_was_missed_while_a_schedule_was_not_installed_does_not_count(colony: Colony, tmp_path: Path) -> None:
    from tests.cli.test_cron import Cron

    cron = Cron(colony, tmp_path)
    define(colony, missed="all")
    cron("install", env=frozen("2026-11-20 12:00"))
    assert document(colony)["since"] == "2026-11-20T12:00:00.000Z"
    cron("install", env=frozen("2026-11-21 12:00"))
    assert document(colony)["since"] == "2026-11-20T12:00:00.000Z"
    cron("remove")
    assert not (colony.root / ".colony/schedules/w.json").exists()
    cron("install", env=frozen("2026-11-22 12:00"))
    assert told(tick(colony, "2026-11-23 12:00")) == ["23 started"]
    ended(colony)
    # A line that somebody took out by hand, and a workflow that is installed by its name.
    cron.table.write_bytes(b"")
    cron("install", "w", env=frozen("2026-11-25 12:00"))
    assert tick(colony, "2026-11-25 12:01") == []


def test_a_clock_that_goes_back_runs_nothing_twice_and_goes_on(colony: Colony) -> None:
    define(colony, missed="all", cron="0 * * * *")
    tick(colony, "2026-11-23 04:30")
    assert told(tick(colony, "2026-11-23 05:00")) == ["23 started"]
    ended(colony)
    assert tick(colony, "2026-11-23 04:50") == []
    assert tick(colony, "2026-11-23 05:00:10") == []  # has its run
    assert told(tick(colony, "2026-11-23 06:00")) == ["23 started"]
    ended(colony, 2)
    # A clock that was years ahead for a while has the window's runs, and then the true times theirs.
    records = tick(colony, "2031-01-01 00:30")
    assert told(records) == ["25 given up", "25 started", "25 waits"]
    assert (records[0]["count"], records[0]["first"][:13], records[1]["scheduled"][:13]) == (
        None,
        "2026-11-23T07",
        "2030-12-25T01",
    )
    ended(colony, 3)
    assert tick(colony, "2026-11-23 06:30") == []
    assert told(tick(colony, "2026-11-23 07:00")) == ["23 started"]
    assert [run["scheduled"][:13] for run in ended(colony, 4)] == [
        "2026-11-23T05",
        "2026-11-23T06",
        "2030-12-25T01",
        "2026-11-23T07",
    ]


@pytest.mark.parametrize("damage", ["", "{", '{"v": 1}'])
def test_a_damaged_document_is_told_and_made_anew_without_a_burst(colony: Colony, damage: str) -> None:
    define(colony, steps=HOLDS, missed="all")
    tick(colony, "2026-11-18 12:00")
    colony.write("hold", "")
    assert told(tick(colony, "2026-11-20 04:00")) == ["19 started", "20 waits"]
    until(lambda: (colony.root / "ledger").exists())
    run_id = kill_engine(colony)
    (colony.root / "hold").unlink()
    colony.write(".colony/schedules/w.json", damage)
    result = colony("cron", "tick", check=False, env=frozen("2026-11-23 12:00"))
    assert result.code == 1
    assert result.err.startswith(
        "colony cron: 2026-11-23T12:00:00.000Z w: what was decided of its schedule cannot be read and is made anew: "
    )
    assert len(result.err.splitlines()) == 1 and result.out.endswith(f" resumed {run_id}: it was interrupted\n")
    ended(colony)
    assert tick(colony, "2026-11-23 12:01") == []
    assert told(tick(colony, "2026-11-24 04:00")) == ["24 started"]
    ended(colony, 2)
    # Damaged in the very minute of a time: that one is not lost, and not run twice either.
    for now, expected in (("2026-11-25 04:00:10", ["25 started"]), ("2026-11-25 04:00:40", [])):
        colony.write(".colony/schedules/w.json", damage)
        assert told(tick(colony, now, code=1)) == [" failed", *expected]
        ended(colony, 3)


def test_a_workflow_that_cannot_be_read_stops_no_other_and_is_told_once(colony: Colony) -> None:
    for name in ("a", "b"):
        define(colony, name=name)
    tick(colony, "2026-11-20 12:00")
    colony.workflow("a", 'trigger: {cron: "0 4 * * *"}\nsteps: [{name: a}]\n')
    records = tick(colony, "2026-11-21 04:00", "a", "b", code=2)
    assert [(record["workflow"], record["action"]) for record in records] == [("a", "failed"), ("b", "started")]
    assert records[0]["reason"].startswith("step 'a' has neither 'run' nor 'instructions' at .colony/workflows/a.yaml:")
    assert tick(colony, "2026-11-21 04:01", code=2) == []
    assert [record["action"] for record in tick(colony, "2026-11-21 04:02", "--dry-run", code=2)] == ["failed"]
    define(colony, name="a")
    tick(colony, "2026-11-21 04:03", "b")
    (record,) = tick(colony, "2026-11-21 04:03")
    assert (record["workflow"], record["action"]) == ("a", "given up")
    colony.workflow("a", 'trigger: {cron: "0 4 * * *"}\nsteps: [{name: a}]\n')
    assert len(tick(colony, "2026-11-21 04:04", code=2)) == 1  # it was well in between
    (colony.root / ".colony/workflows/a.yaml").unlink()
    (record,) = tick(colony, "2026-11-21 04:05", "a", code=1)
    assert record["reason"].startswith("unknown workflow 'a'; ")
    ended(colony)


def test_a_dry_run_shows_what_would_be_and_changes_nothing(colony: Colony) -> None:
    define(colony, missed="all", more="concurrency: 2\n", name="a")
    define(colony, name="b")
    tick(colony, "2026-11-20 12:00")

    def everything() -> dict[str, bytes]:
        files = (colony.root / ".colony").rglob("*")
        return {str(file): file.read_bytes() for file in files if file.is_file()}

    before = everything()
    result = colony("cron", "tick", "--dry-run", env=frozen("2026-11-23 12:00"))
    assert result.out == (
        "2026-11-23T12:00:00.000Z a 2026-11-21T04:00+00:00 would be started\n"
        "2026-11-23T12:00:00.000Z a 2026-11-22T04:00+00:00 would be started\n"
        "2026-11-23T12:00:00.000Z a 2026-11-23T04:00+00:00 waits: workflow 'a' is running already\n"
        "2026-11-23T12:00:00.000Z b 2026-11-23T04:00+00:00 would be given up, and 2 more since "
        "2026-11-21T04:00+00:00: nobody looked in its minute (missed: skip)\n"
    )
    assert told(tick(colony, "2026-11-23 12:00", "--dry-run", "a")) == ["21 started", "22 started", "23 waits"]
    assert everything() == before


# ── logical dates, and days on which clocks change ─────────────────────────────────────────────────────────────


def test_the_logical_date_is_that_of_the_scheduled_time_in_its_zone(colony: Colony) -> None:
    define(colony, missed="all", cron="30 0 * * *", timezone="Asia/Kolkata", more="concurrency: 9\n")
    tick(colony, "2026-11-20 12:00")
    tick(colony, "2026-11-23 12:00")
    assert [(run["date"], run["scheduled"]) for run in ended(colony, 3)] == [
        ("2026-11-21", "2026-11-20T19:00:00.000Z"),
        ("2026-11-22", "2026-11-21T19:00:00.000Z"),
        ("2026-11-23", "2026-11-22T19:00:00.000Z"),
    ]
    assert sorted((colony.root / "ledger").read_text().split()) == [
        "2026-11-21",
        "2026-11-22",
        "2026-11-23",
        *["did"] * 3,
    ]


def test_the_night_of_a_gap_end_to_end(colony: Colony) -> None:
    define(colony, cron="30 2 * * *", timezone="Europe/Berlin", name="gap")
    define(colony, cron="30 23 * * *", timezone="America/Nuuk", name="midnight")
    tick(colony, "2027-03-27 12:00")
    started = {}
    for now in ("00:30", "00:59", "01:00", "01:01", "01:30", "02:30"):
        for record in tick(colony, f"2027-03-28 {now}"):
            started[record["workflow"], now] = (record["local"], record["date"])
    # Midnight in Nuuk is the half past eleven that its clock has skipped, and counts for the day before.
    assert started == {
        ("gap", "01:00"): ("2027-03-28T03:00+02:00", "2027-03-28"),
        ("midnight", "01:00"): ("2027-03-28T00:00-01:00", "2027-03-27"),
    }
    ended(colony, 2)


def test_the_night_of_a_repeated_hour_end_to_end(colony: Colony) -> None:
    define(colony, cron="30 2 * * *", timezone="Europe/Berlin", name="daily")
    define(colony, cron="30 * * * *", timezone="Europe/Berlin", name="hourly", more="concurrency: 9\n")
    tick(colony, "2026-10-25 00:00")
    started = {
        now: sorted(f"{record['workflow']} {record['action']}" for record in tick(colony, f"2026-10-25 {now}"))
        for now in ("00:30", "01:00", "01:30", "02:30")
    }
    assert started == {
        "00:30": ["daily started", "hourly started"],
        "01:00": [],
        "01:30": ["hourly started"],
        "02:30": ["hourly started"],
    }
    ended(colony, 4)


# ── a crontab line of its own ──────────────────────────────────────────────────────────────────────────────────


def own_line(colony: Colony, now: str, *words: str) -> Result:
    return colony("workflow", "run", "w", "--scheduled", *words, check=False, env=frozen(now))


def test_a_workflows_own_line_and_a_tick_make_one_run_of_a_time(colony: Colony) -> None:
    define(colony)
    tick(colony, "2026-11-20 12:00")
    result = own_line(colony, "2026-11-21 04:00:01")
    run_id = result.out.strip()
    assert (result.code, runs(colony)[0]["scheduled"]) == (0, "2026-11-21T04:00:00.000Z")
    assert tick(colony, "2026-11-21 04:00:02") == []
    again = own_line(colony, "2026-11-21 04:00:03")
    assert (again.code, again.out) == (0, "")
    assert again.err == f"the schedule's time in this minute has its run already: {run_id}\n"
    assert told(tick(colony, "2026-11-22 04:00:01")) == ["22 started"]
    (_, by_tick) = ended(colony, 2)
    assert own_line(colony, "2026-11-22 04:00:02").err.endswith(f": {by_tick['run_id']}\n")
    assert warnings(colony) == []


def test_a_workflows_own_line_alone_notices_what_was_missed(colony: Colony) -> None:
    define(colony)
    assert own_line(colony, "2026-11-21 04:00").code == 0
    assert own_line(colony, "2026-11-24 04:00").code == 0
    assert [run["date"] for run in runs(colony)] == ["2026-11-21", "2026-11-24"]
    assert warnings(colony) == [
        "w: 2026-11-23T04:00+00:00 and 1 more since 2026-11-22T04:00+00:00 given up: nobody looked in its minute "
        "(missed: skip)"
    ]


def test_a_line_that_finds_its_workflow_running_says_which_time_is_given_up(colony: Colony) -> None:
    define(colony, steps=HOLDS)
    colony.write("hold", "")
    colony("workflow", "run", "w", "--detach")
    result = own_line(colony, "2026-11-21 04:00")
    assert (result.code, result.out) == (75, "")
    assert result.err.startswith(
        "colony workflow: 2026-11-21T04:00+00:00 is given up: workflow 'w' is running already ("
    )
    assert len(warnings(colony)) == 1
    (colony.root / "hold").unlink()
    ended(colony)
    assert tick(colony, "2026-11-21 04:00:30") == []


def test_a_line_at_another_time_runs_without_one(colony: Colony) -> None:
    define(colony)
    assert own_line(colony, "2026-11-21 04:01").code == 0
    assert own_line(colony, "2026-11-21 09:00", "--input", '{"a": 1}').code == 0
    assert [(run["scheduled"], run["date"]) for run in runs(colony)] == [(None, "2026-11-21")] * 2


def test_a_line_of_a_workflow_without_a_schedule_is_refused(colony: Colony) -> None:
    colony.workflow("w", DID)
    result = own_line(colony, "2026-11-21 04:00")
    assert result.code == 2 and result.err.startswith("colony workflow: workflow 'w' has no schedule at ")
    assert colony("workflow", "run", "w", "--scheduled", "--date", "2026-11-21", check=False).code == 2
    assert not (colony.root / ".colony/schedules").exists()


def test_a_run_by_hand_in_the_minute_of_a_time_is_not_the_schedules(colony: Colony) -> None:
    define(colony, more="concurrency: 2\n")
    tick(colony, "2026-11-20 12:00")
    colony("workflow", "run", "w", env=frozen("2026-11-21 04:00"))
    assert told(tick(colony, "2026-11-21 04:00")) == ["21 started"]
    assert [run["scheduled"] for run in ended(colony, 2)] == [None, "2026-11-21T04:00:00.000Z"]
