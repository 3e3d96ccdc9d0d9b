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
    load_id = loaded.json("lineage", "flights", "--date", DATE, "--json")["load_id"]
    assert loaded("lineage", "flights", "--date", DATE).out.split("\n") == [
        "1 row of flights of 2013-02-08 in the table fact of w.duckdb",
        "  fetched      2026-11-23T06:00:00.000Z  from flights, into staging/raw/flights_2013-02-08.json",
        "  transformed  by 2 transformations, into staging/transformed/flights_2013-02-08.json",
        "                 clean_nulls  123 rows",
        "                 range delay  1 row",
        "  validated    PASS",
        f"  loaded       2026-11-23T06:18:00.123Z  into fact, load {load_id}",
        "",
    ]


def test_what_was_not_loaded_says_so(colony: Colony) -> None:
    colony.write("flights.csv", "k,delay\n1,2\n")
    colony("transform", "flights.csv", "--date", DATE)
    assert colony("lineage", "flights").out.split("\n")[:2] == [
        "1 row of flights of 2013-02-08 (not loaded yet)",
        "  fetched      from flights, into flights.csv",
    ]


@pytest.fixture
def whole(tmp_path: Path) -> Colony:
    """A colony with a day from source to table, two datasets and one made of them."""
    place = Colony(tmp_path)
    (tmp_path / ".colony" / "runs").mkdir(parents=True)
    (tmp_path / "colony.yml").write_text(CONFIG)
    place.write("flights.csv", "No,Carrier,delay\n1,AA,5\n2,UA,7\n")
    place.write("airlines.csv", "code,name\nAA,American\nUA,United\n")
    flights = {
        "transform": [
            {"type": "enrich", "dataset": "airlines", "on": {"carrier": "code"}, "columns": {"name": "airline"}},
            {"type": "derive", "column": "late", "expression": "number(delay) > 5"},
        ],
        "load": {"table": "fact", "mode": "append"},
    }
    sources = {name: {"type": "file", "path": f"{name}.csv"} for name in ("flights", "airlines")}
    write_pipeline(tmp_path, {"flights": flights, "airlines": {}}, sources=sources)
    for words in ("fetch", "transform", "validate-data", "load"):
        place(words, "--date", DATE, env=NOW)
    return place


def test_a_graph_leads_from_the_table_to_every_source(whole: Colony) -> None:
    when = NOW["COLONY_NOW"]
    assert whole("lineage", "fact", "--graph").out.split("\n") == [
        "fact (duckdb:w.duckdb)",
        f"  < load {when}, 2 rows",
        "    staging/transformed/flights_2013-02-08.json  PASS",
        f"      < transform {when}, 2 rows",
        "        staging/raw/flights_2013-02-08.json",
        f"          < fetch {when}, 2 rows",
        "            flights.csv",
        "        staging/transformed/airlines_2013-02-08.json  PASS",
        f"          < transform {when}, 2 rows",
        "            staging/raw/airlines_2013-02-08.json",
        f"              < fetch {when}, 2 rows",
        "                airlines.csv",
        "",
    ]
    document = whole.json("lineage", "flights", "--graph", "--json")
    schema.check(document, "lineage-graph")
    assert len(document["datasets"]) == 7 and len(document["jobs"]) == 5
    assert {"namespace": "file", "name": "flights.csv", "validation": None} in document["datasets"]


def test_a_graph_is_drawn_for_graphviz_and_mermaid_too(whole: Colony) -> None:
    dot = whole("lineage", "flights", "--dot").out.splitlines()
    assert (dot[0], dot[-1]) == ('digraph "fact" {', "}")
    assert '  "staging/transformed/flights_2013-02-08.json" -> job1;' in dot
    assert '  job1 -> "fact (duckdb:w.duckdb)";' in dot
    mermaid = whole("lineage", "flights", "--mermaid").out.splitlines()
    assert mermaid[:2] == ["flowchart LR", '  d1["fact (duckdb:w.duckdb)"]']
    assert {"  d2 --> j1", "  j1 --> d1"} <= set(mermaid)


def test_each_column_of_the_table_names_the_fields_of_the_sources(whole: Colony) -> None:
    columns = {one["column"]: one for one in whole.lines("lineage", "fact", "--columns", "--json")}
    raw = "staging/raw/flights_2013-02-08.json"
    assert columns["no"]["from"] == [{"dataset": raw, "field": "No"}]
    assert columns["airline"]["from"] == [{"dataset": "staging/raw/airlines_2013-02-08.json", "field": "name"}]
    assert columns["late"] == {
        "column": "late",
        "from": [{"dataset": raw, "field": "delay"}],
        "steps": ["number(delay) > 5"],
    }
    heading, *rows, _ = whole("lineage", "fact", "--columns").out.split("\n")
    assert heading.split() == ["COLUMN", "CAME", "FROM", "BY"] and len(rows) == 5


def test_a_graph_shows_what_was_loaded_not_what_was_made_since(whole: Colony) -> None:
    before = whole("lineage", "fact", "--graph").out
    whole.write("flights.csv", "No,Carrier,delay\n1,AA,5\n")
    for words in ("fetch", "transform"):
        whole(words, "--date", DATE, env={"COLONY_NOW": "2026-11-24T06:00:00.000Z"})
    assert whole("lineage", "fact", "--graph").out == before


def test_after_a_restore_the_rows_came_from_the_backup(whole: Colony) -> None:
    pipeline = whole.root / "pipeline.yml"
    pipeline.write_text(pipeline.read_text().replace('"append"', '"replace"'))
    whole.write("flights.csv", "No,Carrier,delay\n1,AA,5\n")
    for words in ("fetch", "transform", "validate-data", "load"):
        whole(words, "--date", DATE)
    done = whole.json("load", "--restore", "fact", "--json")
    (backup,) = whole.root.glob("backups/fact_before_2*.parquet")
    shown = f"backups/{backup.name}"
    said = whole("lineage", "fact").out.splitlines()
    assert said[0] == f"2 rows of flights of {DATE} in the table fact of w.duckdb"
    (loaded,) = [line for line in said if line.startswith("  loaded")]
    assert f"from the backup {shown} into fact, load {done['tables']['fact']['receipt']}" in loaded
    assert whole("lineage", "fact", "--graph").out.splitlines()[2] == f"    {shown}"
    columns = {one["column"]: one["from"] for one in whole.lines("lineage", "fact", "--columns", "--json")}
    assert columns["late"] == [{"dataset": shown, "field": "late"}]


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
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "COMPLETE"]
    assert loaded.json("lineage", "flights", "--json")["run_id"] == run.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flihgts"], "colony lineage: unknown dataset or run 'flihgts'; did you mean 'flights'?\n"),
        (
            ["flights", "--date", "2001-01-01"],
            "nothing is known of 'flights' of 2001-01-01; its dates are 2013-02-08, 2013-02-09\n",
        ),
        (["flihgts", "--graph"], "colony lineage: unknown dataset 'flihgts'; did you mean 'flights'?\n"),
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--graph"], "a graph of what?; name a dataset or its table\n"),
        (["flights", "--dot", "--json"], "--json and a drawing; give one of them\n"),
    ],
)
def test_a_graph_asked_for_wrongly_is_one_line(loaded: Colony, words: list[str], said: str) -> None:
    done = loaded("lineage", *words, check=False)
    assert (done.code, done.out, done.err) == (2, "", f"colony lineage: {said}")


def test_names_in_events_do_not_steer_the_terminal(colony: Colony) -> None:
    colony.write("flights.csv", "k\n1\n")
    colony("transform", "flights.csv", "--date", DATE)
    (path,) = (colony.root / ".colony/lineage").glob("*.jsonl")
    path.write_text(path.read_text().replace('"flights.csv"', '"fl\\u001b[31m"'))
    for words in ([], ["--graph"], ["--dot"], ["--mermaid"], ["--columns"]):
        assert "\x1b" not in colony("lineage", "flights", *words).out


def test_a_label_of_mermaid_is_text_whatever_is_in_it(colony: Colony) -> None:
    colony.write("flights.csv", "k\n1\n")
    colony("transform", "flights.csv", "--date", DATE)
    (path,) = (colony.root / ".colony/lineage").glob("*.jsonl")
    path.write_text(path.read_text().replace('"flights.csv"', '"`f` <b>#1&\\"]; click"'))
    drawn = colony("lineage", "flights", "--mermaid").out
    assert '["#96;f#96; #60;b#62;#35;1#38;#34;]; click"]' in drawn
