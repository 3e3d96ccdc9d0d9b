"""Loads that are shot, and loads that meet: all or nothing, one after the other, nothing twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony
from tests.data.loading import DATE, day, query, write_pipeline

DATASETS = {
    "big": {"load": {"table": "big", "mode": "upsert", "key": "k"}},
    "log": {"load": {"table": "log", "mode": "append"}},
    "small": {"load": {"table": "small", "mode": "replace"}},
}
DAYS = ["2013-02-08", "2013-02-09", "2013-02-10"]
ROWS = 4_000


def write_days(root: Path) -> None:
    write_pipeline(
        root,
        DATASETS,
        views={"total": "select count(*) as n from big"},
        post_load=[{"name": "all_of_the_days", "sql": "select (select count(*) from log) % 4000 = 0"}],
    )
    for number, date in enumerate(DAYS):
        rows = [{"k": k + number * ROWS // 2, "day": date, "text": f"row {k} " * 4} for k in range(ROWS)]
        day(root, "big", rows, date)
        day(root, "log", rows, date)
        day(root, "small", [{"k": k, "day": date} for k in range(50)], date)


def state(root: Path) -> dict[str, Any]:
    """What another program sees in the warehouse: nothing but whole days."""
    import duckdb

    if not (root / "w.duckdb").exists():
        return {"days": 0}
    with duckdb.connect(str(root / "w.duckdb"), read_only=True) as warehouse:
        if not warehouse.sql("select * from duckdb_tables()").fetchall():
            return {"days": 0}
        receipts = "select count(distinct date), count(*), sum(record_count)::bigint from colony_load_history"
        marks = "select value from colony_watermarks order by table_name"
        return {
            "receipts": warehouse.sql(receipts).fetchall()[0],
            "big": warehouse.sql("select count(*), count(distinct k) from big").fetchall()[0],
            "log": warehouse.sql("select count(*) from log").fetchall()[0][0],
            "small": warehouse.sql("select count(*), count(distinct day), max(day)::varchar from small").fetchall()[0],
            "watermarks": [value for (value,) in warehouse.sql(marks).fetchall()],
            "view": warehouse.sql("select n from total").fetchall()[0][0],
            "days": warehouse.sql(receipts).fetchall()[0][0],
        }


def whole(days: int) -> dict[str, Any]:
    """What must be there when so many days are loaded."""
    if not days:
        return {"days": 0}
    rows = ROWS + (days - 1) * ROWS // 2
    return {
        "days": days,
        "receipts": (days, 3 * days, days * (2 * ROWS + 50)),
        "big": (rows, rows),
        "log": days * ROWS,
        "small": (50, 1, DAYS[days - 1]),
        "watermarks": [f'"{DAYS[days - 1]}"'] * 3,
        "view": rows,
    }


def test_a_load_killed_at_any_instant_leaves_all_of_it_or_nothing(colony: Colony) -> None:
    write_days(colony.root)
    chance = random.Random(2013)
    loaded = kills = 0
    unharmed = Colony(Path(shutil.copytree(colony.root, colony.root.parent / "unharmed")))
    started = time.monotonic()
    unharmed("load", "--date", DAYS[0])
    usual = time.monotonic() - started
    while loaded < len(DAYS):
        # Anywhere in it, but rather late: where the rows are written, committed, and followed up. Before the last load
        # is let through it is killed often enough, however fast the machine has become meanwhile.
        late = usual * (chance.random() ** 0.5) * 1.1
        wait = min(late, usual / 4) if loaded == len(DAYS) - 1 and kills < 5 else late
        process = colony.start("load", "--date", DAYS[loaded], start_new_session=True)
        started = time.monotonic()
        try:
            process.wait(timeout=wait if kills < 8 else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            usual = min(usual, time.monotonic() - started)
        now = state(colony.root)
        assert now in (whole(loaded), whole(loaded + 1)), f"after {kills} kills"
        if process.returncode == 0:
            assert now["days"] == loaded + 1
        loaded = now["days"]
    assert kills >= 5
    metadata = colony.json("load", "--status", "--json")
    assert json.loads((colony.root / ".colony/state/load_metadata.json").read_text()) == metadata
    assert metadata["tables"]["big"]["rows"] == whole(3)["big"][0]
    assert colony.json("load", "--date", DAYS[-1], "--json")["status"] == "unchanged"
    assert state(colony.root) == whole(3)


def test_many_loads_of_one_day_load_it_once(colony: Colony) -> None:
    write_pipeline(colony.root, {"t": {"load": {"table": "t", "mode": "append"}}})
    day(colony.root, "t", [{"k": k} for k in range(500)])
    loads = [colony.start("load", "--date", DATE, "--json", "--lock-timeout", "60s") for _ in range(5)]
    done = [load.communicate() for load in loads]
    assert [load.returncode for load in loads] == [0] * 5, [err for _, err in done]
    assert sorted(json.loads(out)["status"] for out, _ in done) == ["loaded"] + ["unchanged"] * 4
    assert query(colony.root, "select count(*), count(distinct k) from t") == [(500, 500)]
    assert query(colony.root, "select count(*) from colony_load_history") == [(1,)]


def test_loads_of_different_days_do_not_mix(colony: Colony) -> None:
    write_pipeline(colony.root, {"t": {"load": {"table": "t", "mode": "upsert", "key": ["date", "k"]}}})
    dates = [f"2013-02-{number:02}" for number in range(1, 6)]
    for date in dates:
        day(colony.root, "t", [{"date": date, "k": k} for k in range(200)], date)
    loads = [colony.start("load", "--date", date, "--lock-timeout", "60s") for date in dates]
    assert [load.wait(timeout=120) for load in loads] == [0] * 5
    for load in loads:
        load.communicate()
    assert query(colony.root, "select date::varchar, count(*) from t group by 1 order by 1") == [
        (d, 200) for d in dates
    ]
    assert query(colony.root, "select sequence from colony_load_history order by 1") == [(n,) for n in range(1, 6)]
    # Each load wrote the document while it had the lock: the last one's is what the warehouse says.
    document = json.loads((colony.root / ".colony/state/load_metadata.json").read_text())
    assert (document["tables"]["t"]["rows"], document["tables"]["t"]["watermark"]) == (1000, "2013-02-05")


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_load_that_finds_another_at_work_says_whose_it_is(colony: Colony) -> None:
    write_pipeline(colony.root, {"t": {"load": {"table": "t", "mode": "append"}}})
    day(colony.root, "t", [{"k": 1}])
    program = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(colony.root / "w.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    program.stdout.readline()
    first = colony.start("load", "--date", DATE, "--lock-timeout", "30s")  # waits for the program, with our lock
    deadline = time.monotonic() + 120
    notes: list[str] = []
    while not any(notes) and time.monotonic() < deadline:
        time.sleep(0.02)
        notes = [path.read_text() for path in (colony.root / ".colony").rglob("*warehouse-*.lock")]
    second = colony("load", "--date", DATE, "--lock-timeout", "100ms", check=False)
    assert second.code == 75
    assert second.err.startswith(
        f"colony load: the warehouse is being loaded by process {first.pid}, 'colony-load', since "
    )
    program.communicate()
    _, err = first.communicate()
    assert first.returncode == 0, err
    assert query(colony.root, "select count(*) from t") == [(1,)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_load_leaves_nothing_and_says_nothing_of_a_bug(
    colony: Colony, number: signal.Signals, code: int
) -> None:
    write_pipeline(colony.root, {"t": {"load": {"table": "t", "mode": "upsert", "key": "k"}}})
    day(colony.root, "t", [{"k": k, "text": f"row {k}", "n": k / 7} for k in range(100_000)])
    for _ in range(8):
        load = colony.start("load", "--date", DATE)
        deadline = time.monotonic() + 120
        while not (colony.root / "w.duckdb").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.03)  # into the middle of a query, which DuckDB ends with an error of its own
        load.send_signal(number)
        out, err = load.communicate()
        if not (colony.root / "w.duckdb").exists():
            break
        # The rows were committed before the signal came: we had to wait for the processor. Then all of it is there.
        assert query(colony.root, "select count(*) from t") == [(100_000,)]
        assert query(colony.root, "select record_count from colony_loads") == [(100_000,)]
        (colony.root / "w.duckdb").unlink()
    assert (load.returncode, out, err) == (code, "", "")
    assert not (colony.root / "w.duckdb").exists()
    assert colony.json("load", "--date", DATE, "--json")["tables"]["t"]["inserted"] == 100_000
