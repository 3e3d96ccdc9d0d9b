"""Every way a day's data goes wrong before it is loaded: what transform and validate-data make of it, and that a gate
which closed lets nothing into the warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from colony_lib import cli
from tests.conftest import Colony
from tests.data.loading import query

GOOD, DAY = "2013-03-07", "2013-03-08"
FIELDS = [
    {"name": "flight_no", "type": "integer", "constraints": {"required": True}},
    {"name": "carrier", "type": "string", "constraints": {"required": True}},
    {"name": "delay", "type": "integer"},
    {"name": "at", "type": "datetime", "format": "any"},
]
DATASET = {
    "required": True,
    "schema": {"fields": FIELDS, "primaryKey": "flight_no"},
    "transform": [{"type": "normalize_dates", "timezone": "America/New_York"}, {"type": "drop_duplicates"}],
    "load": {"table": "flights", "mode": "append"},
}
Row = dict[str, Any]
Bad = Callable[..., dict[str, Any]]


def rows(count: int = 40, **change: Any) -> list[Row]:
    return [{"flightNo": n, "carrier": "AA", "delay": n, "at": f"{DAY} 05:00", **change} for n in range(1, count + 1)]


@pytest.fixture
def place(colony: Colony) -> Colony:
    document = {"version": 1, "warehouse": "w.duckdb", "datasets": {"flights": DATASET}}
    colony.write("pipeline.yml", json.dumps(document))
    return colony


def raw(place: Colony, records: list[Row], date: str) -> None:
    head = {
        "v": 1,
        "source": "flights",
        "fetch_time": "2013-03-09T00:00:00Z",
        "date": date,
        "record_count": len(records),
    }
    place.write(f"staging/raw/flights_{date}.json", json.dumps({**head, "data": records}))


@pytest.fixture
def day(place: Colony, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bad:
    """Take a good day to the warehouse and then this one: {codes of the commands, err, rejected, report, loaded}."""
    monkeypatch.chdir(place.root)

    def run(records: list[Row]) -> dict[str, Any]:
        for date, given in ((GOOD, rows(at=f"{GOOD} 05:00")), (DAY, records)):
            raw(place, given, date)
            codes = []
            for command in ("transform", "validate_data", "load"):
                codes.append(cli.run(command, ["--date", date]))
            err = capsys.readouterr().err
            assert date == DAY or codes == [0, 0, 0], err
        root = place.root
        rejected = root / f"staging/rejected/flights_{DAY}.json"
        report = root / f"reports/validation_flights_{DAY}.json"
        return {
            "codes": codes,
            "err": err,
            "rejected": json.loads(rejected.read_text()) if rejected.exists() else None,
            "report": json.loads(report.read_text()) if report.exists() else None,
            "loaded": query(root, f"SELECT * FROM flights WHERE \"at\" >= '{DAY}' ORDER BY flight_no"),
            "before": query(root, f"SELECT count(*) FROM flights WHERE \"at\" < '{DAY}'")[0][0],
        }

    return run


def failed(found: dict[str, Any]) -> list[str]:
    return [c["name"] for c in found["report"]["checks"] if not c["passed"] and c["severity"] == "fail"]


def test_a_good_day_goes_through(day: Bad) -> None:
    found = day(rows())
    assert (found["codes"], len(found["loaded"]), found["before"]) == ([0, 0, 0], 40, 40)


def test_texts_in_numbers_are_set_apart_with_their_reason_and_the_gate_closes(day: Bad) -> None:
    found = day([*rows(38), *rows(2, delay="about 5")])
    assert found["codes"] == [0, 1, 1] and failed(found) == ["error_rate"]
    assert [(r["row"], r["reason"]) for r in found["rejected"]] == [
        (39, 'delay: "about 5" is not an integer'),
        (40, 'delay: "about 5" is not an integer'),
    ]
    assert found["rejected"][0]["record"]["delay"] == "about 5"
    assert (found["loaded"], found["before"]) == ([], 40)


def test_numbers_in_texts_and_numbers_as_texts_are_what_the_schema_says(day: Bad) -> None:
    found = day(rows(carrier=5, delay="-7"))
    assert found["codes"] == [0, 0, 0]
    assert found["loaded"][0][:3] == (1, "5", -7)


def test_two_time_zones_in_a_column_are_one_and_the_same_time(day: Bad) -> None:
    forms = [f"{DAY}T10:00:00Z", f"{DAY}T05:00:00-05:00", f"{DAY} 05:00", f"{DAY}T11:00:00+01:00"]
    found = day([{**row, "at": forms[n % 4]} for n, row in enumerate(rows())])
    assert found["codes"] == [0, 0, 0]
    assert {row[3].isoformat() for row in found["loaded"]} == {f"{DAY}T10:00:00"}


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2013-03-10 01:59", "2013-03-10T06:59:00"),
        ("2013-03-10 02:30", None),  # the clocks skip it
        ("2013-03-10 03:00", "2013-03-10T07:00:00"),
        ("2013-03-10T02:30:00-05:00", "2013-03-10T07:30:00"),  # an offset says which
        ("2013-11-03 00:59", "2013-11-03T04:59:00"),
        ("2013-11-03 01:30", None),  # the clocks show it twice
        ("2013-11-03T01:30:00-04:00", "2013-11-03T05:30:00"),
        ("2013-11-03 02:00", "2013-11-03T07:00:00"),
    ],
)
def test_on_a_daylight_saving_day_no_hour_is_guessed(day: Bad, local: str, utc: str | None) -> None:
    found = day([*rows(39), {"flightNo": 40, "carrier": "AA", "delay": 1, "at": local}])
    if utc is None:
        (only,) = found["rejected"]
        assert only["row"] == 40 and "America/New_York" in only["reason"] and found["loaded"] == []
    else:
        assert found["codes"] == [0, 0, 0] and found["loaded"][-1][3].isoformat() == utc


@pytest.mark.parametrize("date", ["2013-03-10", "2013-11-03"])
def test_a_day_of_23_and_one_of_25_hours_keep_every_hour_once(day: Bad, date: str) -> None:
    hours = [f"{date} {hour:02}:00" for hour in range(24)]
    if date == "2013-03-10":
        del hours[2]
    else:
        hours[1:2] = [f"{date}T01:00:00-04:00", f"{date}T01:00:00-05:00"]  # shown twice: each with its offset
    given = [{"flightNo": n, "carrier": "AA", "delay": 1, "at": hour} for n, hour in enumerate(hours)]
    found = day(given)
    assert found["codes"] == [0, 0, 0] and found["rejected"] == []
    times = [row[3] for row in found["loaded"]]
    assert len(times) == (23 if date == "2013-03-10" else 25)
    assert {(later - before).total_seconds() for before, later in pairwise(times)} == {3600.0}


def test_half_a_day_closes_the_gate_where_the_fewest_records_are_said(place: Colony, day: Bad) -> None:
    document = json.loads((place.root / "pipeline.yml").read_text())
    document["datasets"]["flights"]["thresholds"] = {"record_count": {"warn": 38, "fail": 30}}
    place.write("pipeline.yml", json.dumps(document))
    found = day(rows(20))
    assert found["codes"] == [0, 1, 1] and failed(found) == ["record_count"]
    assert (found["loaded"], found["before"]) == ([], 40)
    assert "'flights' of 2013-03-08 is FAIL (record_count)" in found["err"]


def test_the_same_day_twice_is_loaded_once(place: Colony, day: Bad) -> None:
    assert day(rows())["codes"] == [0, 0, 0]
    for command in ("transform", "validate_data", "load"):  # fetched anew: another head, the same rows
        raw(place, rows(), DAY)
        assert cli.run(command, ["--date", DAY]) == 0
    assert query(place.root, "SELECT count(*) FROM flights") == [(80,)]


def test_a_column_of_nothing_but_nulls_closes_the_gate_by_its_name(day: Bad) -> None:
    found = day(rows(delay=None))
    assert found["codes"] == [0, 1, 1] and failed(found) == ["completeness"] and found["loaded"] == []
    message = next(c["message"] for c in found["report"]["checks"] if c["name"] == "completeness")
    assert message == "75 % of the cells are filled; least of all delay 0 %"


def test_a_required_column_of_nothing_but_nulls_leaves_no_row(day: Bad) -> None:
    found = day(rows(carrier=None))
    assert len(found["rejected"]) == 40 and found["codes"] == [0, 1, 1]
    assert set(failed(found)) == {"record_count", "error_rate"} and found["before"] == 40


def test_a_required_column_that_was_renamed_stops_the_day_and_names_the_likely_one(day: Bad) -> None:
    found = day([{("carier" if key == "carrier" else key): value for key, value in row.items()} for row in rows()])
    assert found["codes"] == [1, 1, 1] and found["loaded"] == []
    assert (
        "the required column 'carrier' is not in the data" in found["err"] and "did you mean 'carier'?" in found["err"]
    )


def test_another_column_that_was_renamed_is_missed_as_missing_and_seen_as_new(day: Bad) -> None:
    found = day([{("late" if key == "delay" else key): value for key, value in row.items()} for row in rows()])
    assert found["codes"] == [0, 1, 1] and failed(found) == ["completeness"] and found["loaded"] == []
    schema = next(c["message"] for c in found["report"]["checks"] if c["name"] == "schema")
    assert schema == "all cells are as the schema says; besides it: late"


def test_the_same_rows_twice_in_a_file_are_one_each(day: Bad) -> None:
    found = day(rows() * 2)
    assert found["codes"] == [0, 0, 0] and len(found["loaded"]) == 40


def test_a_key_twice_with_other_values_closes_the_gate_and_is_pointed_at(day: Bad) -> None:
    found = day([*rows(), {"flightNo": 7, "carrier": "UA", "delay": 3, "at": f"{DAY} 06:00"}])
    assert found["codes"] == [0, 1, 1] and failed(found) == ["duplicates"] and found["loaded"] == []
    assert [flag["key"] for flag in found["report"]["flagged"]] == [{"flight_no": 7}]


def test_an_empty_day_of_a_required_dataset_is_not_loaded(day: Bad) -> None:
    found = day([])
    assert found["codes"] == [0, 1, 1] and failed(found) == ["record_count"]
    assert (found["loaded"], found["before"]) == ([], 40)


def test_a_key_that_the_warehouse_does_not_know_closes_the_gate(place: Colony, day: Bad) -> None:
    document = json.loads((place.root / "pipeline.yml").read_text())
    key = {"fields": "flight_no", "reference": {"table": "flights", "fields": "flight_no"}}
    assert day(rows())["codes"] == [0, 0, 0]
    document["datasets"]["late"] = {"source": "flights", "schema": {"fields": FIELDS[:1], "foreignKeys": [key]}}
    place.write("pipeline.yml", json.dumps(document))
    raw(place, rows(3), "2013-03-09")
    assert cli.run("transform", ["late", "--date", "2013-03-09"]) == 0
    assert cli.run("validate_data", ["late", "--date", "2013-03-09"]) == 0
    raw(place, rows(50), "2013-03-09")
    assert cli.run("transform", ["late", "--date", "2013-03-09"]) == 0
    assert cli.run("validate_data", ["late", "--date", "2013-03-09"]) == 1
    report = json.loads((place.root / "reports/validation_late_2013-03-09.json").read_text())
    check = next(c for c in report["checks"] if c["name"] == "referential_integrity:flight_no")
    assert check["value"] == 0.2 and "not in the table flights: 41; 42;" in check["message"]


def test_a_key_may_refer_to_a_view_of_the_warehouse(place: Colony, day: Bad) -> None:
    document = json.loads((place.root / "pipeline.yml").read_text())
    document["views"] = {"on_time": "SELECT flight_no AS number FROM flights WHERE delay < 30"}
    place.write("pipeline.yml", json.dumps(document))
    assert day(rows())["codes"] == [0, 0, 0]
    key = {"fields": "flight_no", "reference": {"table": "on_time", "fields": "number"}}
    document["datasets"]["late"] = {"source": "flights", "schema": {"fields": FIELDS[:1], "foreignKeys": [key]}}
    place.write("pipeline.yml", json.dumps(document))
    for count, code in ((29, 0), (31, 1)):
        raw(place, rows(count), "2013-03-09")
        assert cli.run("transform", ["late", "--date", "2013-03-09"]) == 0
        assert cli.run("validate_data", ["late", "--date", "2013-03-09"]) == code
    report = json.loads((place.root / "reports/validation_late_2013-03-09.json").read_text())
    check = next(c for c in report["checks"] if c["name"] == "referential_integrity:flight_no")
    assert check["message"].startswith("2 rows (6.45 %) with flight_no not in the table on_time: 30; 31")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"table": "nowhere", "fields": "x"}, "there is no table or view 'nowhere' in w.duckdb"),
        ({"table": "flights", "fields": "x"}, "there is no column 'x' in the table flights"),
    ],
)
def test_a_key_into_a_table_that_is_not_there_cannot_be_checked(
    place: Colony, day: Bad, reference: dict[str, str], said: str
) -> None:
    assert day(rows())["codes"] == [0, 0, 0]
    schema = {"fields": FIELDS[:1], "foreignKeys": [{"fields": "flight_no", "reference": reference}]}
    document = json.loads((place.root / "pipeline.yml").read_text())
    document["datasets"]["late"] = {"source": "flights", "schema": schema}
    place.write("pipeline.yml", json.dumps(document))
    cli.run("transform", ["late", "--date", DAY])
    assert cli.run("validate_data", ["late", "--date", DAY]) == 1
    report = json.loads((place.root / f"reports/validation_late_{DAY}.json").read_text())
    assert f"cannot be checked: {said}" in next(c["message"] for c in report["checks"] if c["name"].startswith("ref"))
