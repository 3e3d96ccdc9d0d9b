"""`colony lineage`: the seed's provenance on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import schema
from tests.conftest import CONFIG, Colony
from tests.data.loading import DATE, day, write_pipeline

STEPS = [{"type": "clean_nulls", "rows_affected": 123}, {"type": "range", "column": "delay", "rows_affected": 1}]
NOW = {"COLONY_NOW": "2026-11-23T06:18:00.123Z"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colony with the dataset `flights` in the table `fact`, of two days."""
    root = tmp_path_factory.mktemp("original") / "colony"
    (root / ".colony" / "runs").mkdir(parents=True)
    (root / "colony.yml").write_text(CONFIG)
    write_pipeline(root, {"flights": {"load": {"table": "fact", "mode": "upsert", "key": "k"}}})
    for date in (DATE, "2013-02-09"):
        day(root, "flights", [{"k": date}], date, transformations=STEPS)
        Colony(root)("load", "--date", date, env=NOW)
    return root


@pytest.fixture
def loaded(original: Path, tmp_path: Path) -> Colony:
    """A copy of that colony."""
    shutil.copytree(original, tmp_path / "colony")
    return Colony(tmp_path / "colony")


def test_a_dataset_shows_where_its_rows_came_from(loaded: Colony) -> None:
    assert loaded("lineage", "flights", "--date", DATE).out.split("\n") == [
        "dataset            flights",
        "date               2013-02-08",
        "source             flights",
        "fetch_time         2026-11-23T06:00:00.000Z",
        "validation_passed  yes",
        "load_time          2026-11-23T06:18:00.123Z",
        "warehouse_table    fact",
        "run_id             -",
        "validation         PASS",
        "warehouse          w.duckdb",
        *loaded("lineage", "flights", "--date", DATE).out.split("\n")[10:11],
        "record_count       1",
        "file               staging/transformed/flights_2013-02-08.json",
        "raw_file           staging/raw/flights_2013-02-08.json",
        "transformations    2",
        "TRANSFORMATION  ROWS AFFECTED  WHAT",
        "clean_nulls               123  -",
        "range                       1  column=delay",
        "",
    ]


def test_json_is_one_object_of_the_newest_date_by_dataset_or_table(loaded: Colony) -> None:
    by_dataset = loaded.json("lineage", "flights", "--json")
    schema.check(by_dataset, "lineage")
    assert (by_dataset["date"], by_dataset["transformations"]) == ("2013-02-09", STEPS)
    assert by_dataset["validation_passed"] is True
    assert loaded.json("lineage", "fact", "--json") == by_dataset


def test_without_a_name_every_dataset_is_a_line(loaded: Colony) -> None:
    assert [one["date"] for one in loaded.lines("lineage", "--json")] == ["2013-02-09"]
    assert [one["date"] for one in loaded.lines("lineage", "--date", DATE, "--json")] == [DATE]
    heading, row, _ = loaded("lineage").out.split("\n")
    assert row.split() == [
        "flights",
        "2013-02-09",
        "flights",
        "2026-11-23T06:00:00.000Z",
        "yes",
        NOW["COLONY_NOW"],
        "fact",
    ]


def test_a_run_shows_what_its_steps_read_and_wrote(loaded: Colony) -> None:
    run = loaded.root / ".colony/runs/r20261123-061800-000ab"
    run.mkdir()
    plan = {"name": "daily-etl", "steps": [], "error_handling": []}
    header = {"v": 1, "run_id": run.name, "created": NOW["COLONY_NOW"], "date": "2013-02-09", "plan": plan}
    (run / "plan.json").write_text(json.dumps(header))
    day(loaded.root, "flights", [{"k": "2013-02-10"}], "2013-02-10")
    step = {"COLONY_RUN_ID": run.name, "COLONY_WORKFLOW": "daily-etl", "COLONY_STEP": "load-data"}
    loaded("load", "--date", "2013-02-10", env={**NOW, **step})
    heading, *rows, _ = loaded("lineage", "latest").out.split("\n")
    assert [row.split() for row in rows] == [
        [NOW["COLONY_NOW"], "daily-etl.load-data", "COMPLETE", "reads", "staging/transformed/flights_2013-02-10.json"],
        [NOW["COLONY_NOW"], "daily-etl.load-data", "COMPLETE", "writes", "fact"],
    ]
    events: list[dict[str, Any]] = loaded.lines("lineage", "r2026", "--json")
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert loaded.json("lineage", "flights", "--json")["run_id"] == run.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flihgts"], "colony lineage: unknown dataset or run 'flihgts'; did you mean 'flights'?\n"),
        (
            ["flights", "--date", "2001-01-01"],
            "nothing is known of 'flights' of 2001-01-01; its dates are 2013-02-08, 2013-02-09\n",
        ),
        (["latest"], "colony lineage: there is no run yet; start one with 'colony workflow run NAME'\n"),
    ],
)
def test_what_is_not_there_is_exit_1_with_what_there_is(loaded: Colony, words: list[str], said: str) -> None:
    done = loaded("lineage", *words, check=False)
    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_a_colony_without_lineage_prints_no_rows(colony: Colony) -> None:
    assert colony("lineage", "--json").out == ""
    assert colony("lineage", "x", check=False).err == "colony lineage: unknown dataset or run 'x'; there is none yet\n"


def test_an_unreadable_line_is_named_and_skipped(loaded: Colony) -> None:
    path = next((loaded.root / ".colony/lineage").glob("*.jsonl"))
    path.write_text("nonsense\n" + path.read_text())
    done = loaded("lineage", "flights", "--json")
    assert json.loads(done.out)["dataset"] == "flights"
    assert done.err.startswith(f"colony lineage: skipped an unreadable line at .colony/lineage/{path.name}:1: ")
