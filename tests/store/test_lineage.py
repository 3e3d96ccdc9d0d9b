"""Lineage: OpenLineage events as they are written, and provenance as it is put together from them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.base.errors import ColonyError
from colony_lib.store import lineage, lineagegraph, paths, schema

STEP = {
    "COLONY_RUN_ID": "r1", "COLONY_WORKFLOW": "daily-etl", "COLONY_STEP": "load-data", "COLONY_AGENT": "data-loader",
    "COLONY_ATTEMPT": "1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    (tmp_path / ".colony").mkdir()
    (tmp_path / "colony.yml").write_text("name: flights\nagents:\n  - {id: a, role: b}\n")
    paths.use(str(tmp_path))
    clock.freeze("2026-11-23T06:18:00.123Z")
    return tmp_path


def event_schema() -> dict[str, Any]:
    return {**schema.load("lineage"), "$ref": "#/$defs/event", "required": [], "properties": {}}


def test_an_event_is_open_lineage_and_stands_in_the_file_of_its_month(root: Path) -> None:
    source = lineage.dataset("staging/raw/x.json")
    table = lineage.dataset("x", "duckdb:w.duckdb", outputStatistics={"rowCount": 3}, schema={"fields": []})
    event = lineage.emit("COMPLETE", "load", [source, source], [table], date="2013-02-08")
    assert event is not None
    assert (root / ".colony/lineage/2026-11.jsonl").read_text().count("\n") == 1
    assert list(lineage.events()) == [event]
    assert (event["eventTime"], event["job"]) == ("2026-11-23T06:18:00.123Z", {"namespace": "flights", "name": "load"})
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert event["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2013-02-08T00:00:00Z"
    assert (event["inputs"], event["outputs"]) == ([source], [table])
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert list(table["facets"]) == ["schema"]
    assert uuid.UUID(event["run"]["runId"])
    assert schema.mismatches(event, event_schema()) == []
    assert schema.mismatches({**event, "eventType": "DONE"}, event_schema()) != []


def test_inside_a_step_the_run_is_of_the_step_and_its_parent_is_the_workflows_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    with lineage.recording("load", "2013-02-08"):
        pass
    with lineage.recording("transform", "2013-02-08"):
        pass
    monkeypatch.setenv("COLONY_ATTEMPT", "2")
    with lineage.recording("load", "2013-02-08"):
        pass
    found = list(lineage.events())
    assert [event["eventType"] for event in found] == ["START", "COMPLETE"] * 3
    runs = [event["run"]["runId"] for event in found]
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3
    assert runs[0] == lineage._uuid("r1", "load-data", "", "1", "load")
    facets = found[1]["run"]["facets"]
    assert {key: facets["colony_run"][key] for key in ("run_id", "workflow", "step", "agent", "attempt")} == {
        "run_id": "r1", "workflow": "daily-etl", "step": "load-data", "agent": "data-loader", "attempt": "1",
    }  # fmt: skip
    assert facets["parent"]["job"] == {"namespace": "flights", "name": "daily-etl"}
    assert {event["job"]["name"] for event in found} == {"daily-etl.load-data"}
    assert [schema.mismatches(event, event_schema()) for event in found] == [[]] * 6
    assert lineage.of_run("r1") == found
    assert lineage.of_run("r2") == []


def test_what_goes_wrong_is_a_failed_run_with_its_message() -> None:
    with pytest.raises(ColonyError), lineage.recording("load"):
        raise ColonyError("no such table", fix="make it")
    with lineage.recording("validate-data") as run:
        run.failed = "2 checks failed"
    found = [
        (event["eventType"], event["run"]["facets"].get("errorMessage", {}).get("message"))
        for event in lineage.events()
    ]
    assert found == [("START", None), ("FAIL", "no such table; make it"), ("START", None), ("FAIL", "2 checks failed")]


def test_what_a_signal_ends_is_an_aborted_run() -> None:
    with pytest.raises(KeyboardInterrupt), lineage.recording("load"):
        raise KeyboardInterrupt
    found = [(e["eventType"], e["run"]["facets"].get("errorMessage", {}).get("message")) for e in lineage.events()]
    assert found == [("START", None), ("ABORT", "interrupted")]


def test_outside_a_colony_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / ".colony").rmdir()
    monkeypatch.chdir(outside)
    paths.use(None)
    with lineage.recording("load") as run:
        run.outputs.append(lineage.dataset("x"))
    assert lineage.emit("START", "load") is None
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_without_a_readable_colony_yml_the_namespace_is_the_folders_name(root: Path) -> None:
    (root / "colony.yml").write_text("{{{")
    assert lineage.namespace() == root.name


def test_lines_that_are_no_events_are_named_and_passed_over(root: Path) -> None:
    event = lineage.emit("START", "load")
    path = root / ".colony/lineage/2026-11.jsonl"
    line = path.read_text()
    path.write_text(line + 'nonsense\n{"v":1,"id":"x"}\n' + line + line[:40])
    problems: list[Any] = []
    assert list(lineage.events(problems)) == [event]
    assert [number for _, number, _ in problems] == [2]


def say(tool: str, failed: str | None = None, **entry: Any) -> None:
    with lineage.recording(tool, "2013-02-08") as run:
        run.provenance.append({"dataset": "flights", "date": "2013-02-08", **entry})
        run.failed = failed


def provenance() -> dict[str, Any]:
    return lineage.provenances(lineage.events())["flights", "2013-02-08"]


def test_provenance_has_the_shape_of_the_seed_and_grows_from_tool_to_tool() -> None:
    say("fetch", source="flights", fetch_time="T1")
    assert provenance() == {
        "dataset": "flights", "date": "2013-02-08", "source": "flights", "fetch_time": "T1", "transformations": None,
        "validation_passed": None, "load_time": None, "warehouse_table": None, "run_id": None,
    }  # fmt: skip
    steps = [{"type": "clean_nulls", "rows_affected": 123}]
    say("transform", transformations=steps)
    say("validate-data", validation_passed=True, source=None)
    say("load", load_time="T2", warehouse_table="flights")
    known = provenance()
    schema.check(known, "lineage")
    assert (known["source"], known["fetch_time"], known["transformations"]) == ("flights", "T1", steps)
    assert (known["validation_passed"], known["load_time"], known["warehouse_table"]) == (True, "T2", "flights")


def test_the_rows_in_the_table_came_from_what_was_loaded_whatever_was_fetched_since() -> None:
    say("fetch", source="flights", fetch_time="T1")
    say("load", load_time="T2", warehouse_table="flights")
    say("fetch", source="flights", fetch_time="T3")
    say("transform", transformations=[])
    assert (provenance()["fetch_time"], provenance()["load_time"]) == ("T1", "T2")
    say("load", load_time="T4", warehouse_table="flights")
    assert (provenance()["fetch_time"], provenance()["load_time"]) == ("T3", "T4")


def test_a_new_fetch_forgets_the_validation_of_the_old_one() -> None:
    say("fetch", fetch_time="T1")
    say("validate-data", validation_passed=True)
    say("fetch", fetch_time="T2")
    assert provenance()["validation_passed"] is None


def test_a_failed_validation_counts_and_a_failed_load_does_not() -> None:
    say("fetch", fetch_time="T1")
    say("validate-data", validation_passed=False, failed="completeness")
    say("load", failed="rolled back", load_time="T2", warehouse_table="flights")
    assert (provenance()["validation_passed"], provenance()["load_time"]) == (False, None)


@pytest.mark.parametrize("entry", [{"dataset": 5}, {}, {"dataset": None}])
def test_entries_without_a_dataset_are_passed_over(entry: dict[str, Any]) -> None:
    with lineage.recording("load") as run:
        run.provenance = [entry, "nonsense"]  # type: ignore[list-item]
    assert lineage.provenances(lineage.events()) == {}


def test_a_table_of_postgresql_is_found_by_its_own_name() -> None:
    for name, space in (("shop.public.orders", "postgres://h:5432"), ("a.orders", "file")):
        lineage.emit("COMPLETE", "load", outputs=[lineage.dataset(name, space)])
    graph = lineagegraph.Graph(lineage.events())
    assert graph.named("orders") == graph.named("shop.public.orders") == [("postgres://h:5432", "shop.public.orders")]
