"""`colony load` as people, steps and scripts use it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from colony_lib.store import schema
from tests.conftest import Colony
from tests.data.loading import DATE, day, query, validated, write_pipeline

ROWS = [{"k": 1, "a": "x"}, {"k": 2, "a": None}]
T = {"t": {"load": {"table": "t", "mode": "upsert", "key": "k"}}}


@pytest.fixture
def loaded(colony: Colony) -> Colony:
    """A colony whose pipeline has one validated day."""
    write_pipeline(colony.root, T)
    day(colony.root, "t", ROWS)
    return colony


def test_a_load_prints_a_table_of_what_it_did(loaded: Colony) -> None:
    done = loaded("load", "--date", DATE)
    first, *rest = done.out.split("\n")
    assert first.startswith("loaded 2 records of 2013-02-08, w.duckdb (")
    assert rest == [
        "TABLE  MODE    INSERTED  UPDATED  UNCHANGED  DELETED  BEFORE  AFTER  VALIDATION",
        "t      upsert         2        0          0        0       0      2  PASS",
        "",
    ]
    assert done.err == "colony load: made table 't' with 2 columns\n"
    again = loaded("load", "--date", DATE)
    assert again.out.startswith("nothing to change: 2 records of 2013-02-08, w.duckdb (")
    assert again.err == ""


def test_json_is_one_object_as_its_schema_says(loaded: Colony) -> None:
    for status in ("loaded", "unchanged"):
        summary = loaded.json("load", "--date", DATE, "--json")
        schema.check(summary, "load-summary")
        assert (summary["status"], summary["record_count"], summary["tables"]["t"]["rows_after"]) == (status, 2, 2)


def test_the_date_of_the_step_is_the_default_and_its_output_is_the_summary(loaded: Colony) -> None:
    output = loaded.root / "output.json"
    loaded("load", env={"COLONY_DATE": DATE, "COLONY_OUTPUT": str(output)})
    schema.check(json.loads(output.read_text()), "load-summary")


def test_a_failed_validation_stops_the_load_with_one_line(loaded: Colony) -> None:
    checks = [{"name": "few_cancelled", "passed": False, "severity": "fail", "message": "half of them"}]
    validated(loaded.root, "t", status="FAIL", checks=checks)
    done = loaded("load", "--date", DATE, check=False)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "colony load: 't' of 2013-02-08 is FAIL (few_cancelled) at reports/validation_t_2013-02-08.json; "
        "nothing was loaded; correct the data, or load it unchecked with --unchecked\n"
    )
    assert not (loaded.root / "w.duckdb").exists()
    assert loaded.lines("logs", "--level", "error", "--json")[0]["message"].startswith("'t' of 2013-02-08 is FAIL")
    forced = loaded("load", "--date", DATE, "--unchecked")
    assert "colony load: --unchecked: loading whatever validation says\n" in forced.err
    assert query(loaded.root, "select unchecked from colony_loads") == [(True,)]


def test_status_shows_the_warehouse_and_loads_nothing(loaded: Colony) -> None:
    nothing = loaded("load", "--status", check=False)
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err.startswith("colony load: there is no warehouse yet at pipeline.yml:")
    loaded("load", "--date", DATE)
    (loaded.root / ".colony/state/load_metadata.json").unlink()
    heading, row, _ = loaded("load", "--status").out.split("\n")
    assert heading.split() == ["TABLE", "ROWS", "DATE", "WATERMARK", "LAST", "LOAD", "TIME", "LOAD", "WAREHOUSE"]
    assert row.split()[:4] == ["t", "2", DATE, DATE]
    document = loaded.json("load", "--status", "--json")
    assert document == json.loads((loaded.root / ".colony/state/load_metadata.json").read_text())
    assert loaded("state", "get", "load_metadata", "tables.t.rows").out == "2\n"


def test_a_damaged_state_document_is_written_anew(loaded: Colony) -> None:
    path = loaded.write(".colony/state/load_metadata.json", '{"tables": {')
    loaded("load", "--date", DATE)
    assert json.loads(path.read_text())["tables"]["t"]["rows"] == 2


def test_what_others_keep_in_the_state_document_stays(loaded: Colony) -> None:
    other = {"rows": 7, "warehouse": "elsewhere.duckdb"}
    old = {"mine": [1], "tables": {"gone": {"warehouse": "w.duckdb"}, "other": other}, "watermarks": {"api": 5}}
    path = loaded.write(".colony/state/load_metadata.json", json.dumps(old))
    loaded("load", "--date", DATE)
    new = json.loads(path.read_text())
    assert (new["mine"], new["tables"]["other"], new["watermarks"]) == ([1], other, {"api": 5})
    assert sorted(new["tables"]) == ["other", "t"]


def test_a_load_records_lineage_logs_and_one_point_however_often_it_is_repeated(loaded: Colony) -> None:
    for _ in range(2):
        loaded("load", "--date", DATE)
    points = loaded.json("metrics", "show", "pipeline_records_loaded", "--json")["points"]
    assert [(point["value"], point["labels"]) for point in points] == [(2, {"table": "t", "date": DATE})]
    events = [(event["eventType"], event["job"]["name"]) for event in lineage_events(loaded)]
    assert events == [("START", "load"), ("RUNNING", "load"), ("COMPLETE", "load")] * 2
    assert "t of 2013-02-08 → t: 2 inserted, 0 updated" in loaded("logs", "load").out


def lineage_events(colony: Colony) -> list[dict[str, Any]]:
    paths = sorted((colony.root / ".colony/lineage").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().split("\n") if line]


def test_a_refused_load_leaves_a_failed_event_with_its_reason(loaded: Colony) -> None:
    validated(loaded.root, "t", status="FAIL")
    loaded("load", "--date", DATE, check=False)
    event = lineage_events(loaded)[-1]
    assert event["eventType"] == "FAIL"
    assert event["run"]["facets"]["errorMessage"]["message"].startswith("'t' of 2013-02-08 is FAIL")


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_warehouse_that_is_open_elsewhere_is_busy_and_says_where(loaded: Colony) -> None:
    loaded("load", "--date", DATE)
    day(loaded.root, "t", [{"k": 3, "a": "y"}], "2013-02-09")
    program = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(loaded.root / "w.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        program.stdout.readline()
        done = loaded("load", "--date", "2013-02-09", "--lock-timeout", "200ms", check=False)
        assert done.code == 75
        assert (
            f"the warehouse 'w.duckdb' is open in python3.{sys.version_info.minor} (process {program.pid})" in done.err
        )
        assert done.err.endswith("; close it there, then try again\n")
        assert loaded("load", "--status", "--lock-timeout", "200ms", check=False).code == 75
    finally:
        program.communicate()
    assert loaded.json("load", "--date", "2013-02-09", "--json")["tables"]["t"]["rows_after"] == 3


def test_a_warehouse_that_is_being_loaded_is_busy_and_says_by_whom(loaded: Colony) -> None:
    from colony_lib.base import locks
    from colony_lib.data import pipeline, warehouses
    from colony_lib.store import paths

    paths.use(str(loaded.root))
    lock = pipeline.load(str(loaded.root / "pipeline.yml")).lock(
        "warehouse-" + warehouses.identity("duckdb:///w.duckdb", str(loaded.root))
    )
    fd = locks.try_hold(lock, "process 4711, 'colony-load', run r1, step load-data")
    assert fd is not None
    done = loaded("load", "--date", DATE, "--lock-timeout", "200ms", check=False)
    assert done.code == 75
    assert done.err == (
        "colony load: the warehouse is being loaded by process 4711, 'colony-load', run r1, step load-data; "
        "it was not done within 0.2 s; try again, or wait longer with --lock-timeout\n"
    )
    locks.release(fd)
    loaded("load", "--date", DATE)
    assert "'colony-load'" in locks.note(lock)


def test_a_full_disk_leaves_what_was_there(loaded: Colony) -> None:
    from tests.conftest import clean_environment

    loaded("load", "--date", DATE)
    rows = [{"k": k, "a": f"{k * 7919 % 1000003:x}" * 20} for k in range(30_000)]
    day(loaded.root, "t", rows, "2013-02-09")
    limited = ["bash", "-c", 'ulimit -f 2000; exec colony-load "$@"', "-", "--date", "2013-02-09"]
    done = subprocess.run(limited, cwd=loaded.root, env=clean_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "colony load: " in done.stderr
    assert "File too large" in done.stderr
    assert query(loaded.root, "select count(*) from t") == [(2,)]
    assert loaded.json("load", "--date", "2013-02-09", "--json")["tables"]["t"]["rows_after"] == 30_000


def test_it_works_without_a_colony(tmp_path: Any) -> None:
    from tests.conftest import clean_environment

    write_pipeline(tmp_path, T)
    day(tmp_path, "t", ROWS)
    done = subprocess.run(
        ["colony-load", "--date", DATE, "--json"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "loaded"), done.stderr
    assert query(tmp_path, "select count(*) from t") == [(2,)]
    assert not (tmp_path / ".colony").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--date", "2013-02-30"], "'2013-02-30' is not a date"),
        (["--dat"], "unknown option '--dat'; did you mean '--date'"),
        (["--pipeline", "nope.yml"], "nope.yml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(loaded: Colony, words: list[str], said: str) -> None:
    done = loaded("load", *words, check=False)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert loaded("load", "nope", "--date", DATE, check=False).code == 1
