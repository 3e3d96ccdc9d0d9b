"""OpenLineage: the events of a whole day judged by the public client's classes, and posted to an endpoint."""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from colony_lib.data import columnlineage, table, transform
from colony_lib.data.transformations import REGISTRY
from colony_lib.store import lineage, lineagepost, paths, schema
from tests.conftest import Colony
from tests.data import openlineage

DAY = "2013-02-08"
PIPELINE = {
    "version": 1,
    "warehouse": "w.duckdb",
    "sources": {
        "flights": {"type": "file", "path": "data/flights.csv"},
        "airlines": {"type": "file", "path": "data/airlines.csv"},
    },
    "datasets": {
        "airlines": {"schema": {"fields": [{"name": "code", "type": "string"}, {"name": "name", "type": "string"}]}},
        "flights": {
            "schema": {
                "fields": [
                    {"name": "flight_no", "type": "integer"},
                    {"name": "carrier", "type": "string"},
                    {"name": "dep_delay", "type": "integer", "constraints": {"minimum": -100}},
                    {"name": "arr_delay", "type": "integer"},
                    {"name": "gate", "type": "string"},
                ],
                "primaryKey": "flight_no",
                "foreignKeys": [{"fields": "carrier", "reference": {"resource": "airlines", "fields": "code"}}],
            },
            "load": {"table": "flights", "mode": "upsert", "key": "flight_no"},
            "transform": [
                {"type": "rename", "columns": {"no": "flight_no"}},
                {"type": "derive", "column": "gained", "expression": "dep_delay - arr_delay"},
                {"type": "enrich", "dataset": "airlines", "on": {"carrier": "code"}, "columns": {"name": "airline"}},
                {"type": "filter", "where": "flight_no > 0"},
            ],
        },
        "delays": {
            "from": "flights",
            "aggregate": {"by": "airline", "measures": {"flights": "count()", "mean_gain": "mean(gained)"}},
        },
    },
}


@pytest.fixture
def place(colony: Colony) -> Colony:
    colony.write("pipeline.yml", json.dumps(PIPELINE))
    colony.write("data/flights.csv", "No,Carrier,Dep Delay,arr_delay\n1,AA,5,3\n2,UA, 7 ,9\n0,AA,1,1\n3,AA,-200,1\n")
    colony.write("data/airlines.csv", "code,name\nAA,American\nUA,United\n")
    return colony


def events(place: Colony) -> list[dict[str, Any]]:
    found = sorted((place.root / ".colony/lineage").glob("*.jsonl"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def day(place: Colony, env: dict[str, str] | None = None) -> None:
    for words in (["fetch"], ["transform"], ["validate-data"], ["load"]):
        place(*words, "--date", DAY, env=env, check=words[0] in ("fetch", "transform"))


def test_every_event_of_a_day_is_as_the_public_client_and_our_schema_have_it(place: Colony) -> None:
    day(place)
    place("transform", "--date", "2001-01-01", check=False)
    found = events(place)
    assert [(e["eventType"], e["job"]["name"]) for e in found] == [
        *[(kind, "fetch") for kind in ("START", "RUNNING", "COMPLETE")],
        *[(kind, "transform") for kind in ("START", "RUNNING", "COMPLETE")],
        *[(kind, "validate-data") for kind in ("START", "RUNNING", "FAIL")],  # 1 of 4 rows was rejected
        *[(kind, "load") for kind in ("START", "RUNNING", "FAIL")],
        *[(kind, "transform") for kind in ("START", "FAIL")],
    ]
    whole = {**schema.load("lineage"), "$ref": "#/$defs/event", "required": [], "properties": {}}
    for event in found:
        openlineage.check(event)
        assert schema.mismatches(event, whole) == []
    assert len({event["run"]["runId"] for event in found}) == 5


def test_the_judge_is_not_blind(place: Colony) -> None:
    place("fetch", "--date", DAY)
    good = events(place)[-1]
    openlineage.check(good)
    for change in (
        lambda e: e.update(eventType="DONE"),
        lambda e: e["run"].update(runId="7"),
        lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rowCount="many"),
        lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rows=3),
        lambda e: e["outputs"][0]["facets"].update(
            outputStatistics=e["outputs"][0]["outputFacets"]["outputStatistics"]
        ),
        lambda e: e["outputs"][0]["facets"]["dataSource"].pop("_producer"),
    ):
        bad = copy.deepcopy(good)
        change(bad)
        with pytest.raises((AssertionError, KeyError, ValueError, TypeError)):
            openlineage.check(bad)


def facet(place: Colony, output: str, name: str) -> dict[str, Any]:
    """That facet of the dataset's last writing."""
    sides = [o for e in events(place) for o in (*e["outputs"], *e["inputs"]) if o["name"] == output]
    found = [s[key][name] for s in sides for key in ("facets", "inputFacets", "outputFacets") if name in s.get(key, {})]
    return {key: value for key, value in found[-1].items() if not key.startswith("_")}


def test_the_columns_of_a_transformed_file_name_the_fields_they_were_made_of(place: Colony) -> None:
    day(place)
    flights, airlines = f"staging/raw/flights_{DAY}.json", f"staging/transformed/airlines_{DAY}.json"
    found = facet(place, f"staging/transformed/flights_{DAY}.json", "columnLineage")
    assert {
        column: [(one["name"], one["field"], one["transformations"][0]["subtype"]) for one in made["inputFields"]]
        for column, made in found["fields"].items()
    } == {
        "flight_no": [(flights, "No", "TRANSFORMATION")],
        "carrier": [(flights, "Carrier", "TRANSFORMATION")],  # clean_nulls changed something
        "dep_delay": [(flights, "Dep Delay", "TRANSFORMATION")],
        "arr_delay": [(flights, "arr_delay", "TRANSFORMATION")],
        "gate": [],
        "gained": [(flights, "arr_delay", "TRANSFORMATION"), (flights, "Dep Delay", "TRANSFORMATION")],
        "airline": [(airlines, "name", "IDENTITY")],
    }
    assert {(o["field"], o["transformations"][0]["type"], o["transformations"][0]["subtype"]) for o in found["dataset"]} >= {
        ("Carrier", "INDIRECT", "JOIN"), ("code", "INDIRECT", "JOIN"), ("No", "INDIRECT", "FILTER"), ("Dep Delay", "INDIRECT", "FILTER"),
    }  # fmt: skip
    delays = facet(place, f"staging/transformed/delays_{DAY}.json", "columnLineage")
    base = f"staging/transformed/flights_{DAY}.json"
    assert [(o["name"], o["field"]) for o in delays["fields"]["mean_gain"]["inputFields"]] == [(base, "gained")]
    assert delays["fields"]["mean_gain"]["inputFields"][0]["transformations"][0]["subtype"] == "AGGREGATION"
    assert delays["fields"]["flights"]["inputFields"] == []
    assert [(o["field"], o["transformations"][0]["subtype"]) for o in delays["dataset"]] == [("airline", "GROUP_BY")]


def test_every_transformation_says_what_it_does_to_columns() -> None:
    assert set(columnlineage.EFFECTS) == set(REGISTRY)


def columns_of(steps: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """{column: [(field, subtype)], 'rows': …} of those transformations of those rows."""
    schema_ = {
        "fields": [{"name": "n", "type": "integer", "constraints": {"maximum": 5}}, {"name": "t", "type": "string"}]
    }
    plan = transform.Plan("d", {"schema": schema_, "transform": steps}, lambda *keys: None)
    found = columnlineage.of(plan, transform.run(plan, rows, lambda name: table.from_rows([])))
    made = {name: [(field, sub) for (_, field), sub in fields.items()] for name, fields in found.made.items()}
    return {**made, "rows": sorted((field, sub) for (_, field), sub in found.rows.items())}


SAME = {"n": [("n", "IDENTITY")], "t": [("t", "IDENTITY")], "rows": []}


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        ({"type": "range", "column": "n", "maximum": 2}, {"rows": [("n", "FILTER")]}),
        ({"type": "range", "column": "n", "maximum": 2, "action": "clip"}, {"n": [("n", "TRANSFORMATION")]}),
        ({"type": "range", "column": "n", "maximum": 9, "action": "clip"}, {}),  # nothing was clipped
        ({"type": "range", "column": "n", "maximum": 2, "action": "flag"}, {"n_out_of_range": [("n", "TRANSFORMATION")]}),
        ({"type": "outliers", "column": "n", "flag": "odd"}, {"odd": [("n", "TRANSFORMATION")]}),
        ({"type": "fill_nulls", "columns": {"t": "?"}}, {"t": [("t", "TRANSFORMATION")]}),
        ({"type": "drop_nulls", "columns": ["t"]}, {"rows": [("t", "FILTER")]}),
        ({"type": "drop_duplicates", "key": "n"}, {"rows": [("n", "FILTER")]}),
        ({"type": "filter", "where": "n > 1"}, {"rows": [("n", "FILTER")]}),
        ({"type": "select", "columns": ["t", "n"]}, {}),
        ({"type": "derive", "column": "t", "expression": "n + 1"}, {"t": [("n", "TRANSFORMATION")]}),
        ({"type": "derive", "column": "one", "expression": "1"}, {"one": []}),
    ],
)  # fmt: skip
def test_a_transformation_changes_what_it_says(step: dict[str, Any], changed: dict[str, Any]) -> None:
    rows = [{"n": n, "t": None if n == 3 else f"t{n}"} for n in (1, 2, 3, 4, 4)]
    assert columns_of([step], rows) == {**SAME, **changed}


def test_names_and_constraints_are_followed_too() -> None:
    found = columns_of(
        [{"type": "rename", "columns": {"N": "n"}}, {"type": "drop_columns", "columns": ["x"]}], [{"N": 9, "x": 1}]
    )
    assert found == {"n": [("N", "IDENTITY")], "t": [], "rows": [("N", "FILTER")]}


def test_batches_tell_the_same_columns_as_one_process(place: Colony) -> None:
    for words in (["fetch"], ["transform"]):
        place(*words, "--date", DAY)
    report = place.root / f"reports/transformation_flights_{DAY}.json"
    whole = json.loads(report.read_text())["lineage"]
    for batch in ("0/2", "1/2"):
        place("transform", "--date", DAY, "--batch", batch)
    assert json.loads(report.read_text())["lineage"] == whole
    schema.check(json.loads(report.read_text()), "transformation-report")


def test_facets_say_what_was_there_how_much_and_how_good(place: Colony) -> None:
    day(place)
    output = f"staging/transformed/flights_{DAY}.json"
    assert facet(place, output, "outputStatistics")["rowCount"] == 2
    assert facet(place, output, "schema")["fields"][0] == {"name": "flight_no", "type": "integer"}
    assert facet(place, output, "dataSource") == {"name": "file", "uri": f"file://{place.root}/{output}"}
    assertions = {one["name"]: one for one in facet(place, output, "dataQualityAssertions")["assertions"]}
    assert assertions["error_rate"]["success"] is False and assertions["error_rate"]["severity"] == "error"
    assert (assertions["error_rate"]["actual"], assertions["error_rate"]["expected"]) == ("0.333333", "0.001")
    assert assertions["referential_integrity:carrier"]["success"] is True
    assert assertions["referential_integrity:carrier"]["column"] == "carrier"
    place("load", "--date", DAY, "--unchecked")
    table = facet(place, "flights", "columnLineage")["fields"]["airline"]["inputFields"]
    assert [(one["name"], one["field"]) for one in table] == [(output, "airline")]
    assert facet(place, "flights", "outputStatistics") == {"rowCount": 2}
    openlineage.check(events(place)[-1])


class Endpoint:
    """A real endpoint on the loopback: `status` it answers with, `posts` it got as (path, authorization, event)."""

    def __init__(self) -> None:
        self.status = 201
        self.posts: list[tuple[str, str | None, dict[str, Any]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.posts.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(endpoint.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing: standard error is the tests'."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_events_are_posted_as_they_are_written_less_what_is_ours_alone(place: Colony, endpoint: Endpoint) -> None:
    place("fetch", "--date", DAY, env={"OPENLINEAGE_URL": endpoint.url + "/", "OPENLINEAGE_API_KEY": "k3y"})
    written = [{key: value for key, value in e.items() if key not in ("v", "id")} for e in events(place)]
    assert [event for _, _, event in endpoint.posts] == written
    assert {(path, key) for path, key, _ in endpoint.posts} == {("/api/v1/lineage", "Bearer k3y")}
    place("transform", "--date", DAY, env={"OPENLINEAGE_URL": endpoint.url, "OPENLINEAGE_ENDPOINT": "in"})
    assert endpoint.posts[-1][:2] == ("/in", None)
    count = len(endpoint.posts)
    place("transform", "--date", DAY, env={"OPENLINEAGE_URL": endpoint.url, "OPENLINEAGE_DISABLED": "True"})
    place("transform", "--date", DAY)
    assert len(endpoint.posts) == count


@pytest.mark.parametrize("status", [302, 401, 503])
def test_an_endpoint_that_refuses_fails_nothing_and_is_told_in_the_log(
    place: Colony, endpoint: Endpoint, status: int
) -> None:
    endpoint.status = status
    url = endpoint.url.replace("//", "//user:s3cret@")
    done = place("fetch", "--date", DAY, env={"OPENLINEAGE_URL": url, "OPENLINEAGE_API_KEY": "k3y"})
    assert (done.code, done.err) == (0, "")
    warning = next(line for line in place.lines("logs", "fetch", "--json") if line["level"] == "warn")
    said = f"3 lineage events not taken by {endpoint.url}/api/v1/lineage: it answered {status}; they are in .colony/lineage/"
    assert warning["message"] == said
    assert [e["eventType"] for e in events(place)] == ["START", "RUNNING", "COMPLETE"]
    assert [event["eventType"] for _, _, event in endpoint.posts] == ["START", "START"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1/x", "http://[::1", "nonsense"])
def test_an_endpoint_that_is_none_fails_nothing(place: Colony, url: str) -> None:
    place("fetch", "--date", DAY, env={"OPENLINEAGE_URL": url})
    assert any("lineage events not taken by" in line["message"] for line in place.lines("logs", "fetch", "--json"))


def test_after_a_short_fault_all_events_arrive_in_order(
    place: Colony, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.use(str(place.root))
    monkeypatch.setenv("OPENLINEAGE_URL", endpoint.url)
    endpoint.status = 503
    with lineage.recording("load", DAY) as run:
        run.running()
        endpoint.status = 200
    assert [event["eventType"] for _, _, event in endpoint.posts] == ["START", "START", "RUNNING", "COMPLETE"]
    assert place.lines("logs", "load", "--json", check=False) == []


def test_an_endpoint_that_never_answers_holds_a_tool_for_the_timeout_only(
    place: Colony, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths.use(str(place.root))
    monkeypatch.setattr(lineagepost, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken, and nobody reads them
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with lineage.recording("load", DAY):
            pass
    (line,) = place.lines("logs", "load", "--json")
    assert "2 lineage events not taken" in line["message"]
    assert [e["eventType"] for e in events(place)] == ["START", "COMPLETE"]
