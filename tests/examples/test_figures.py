"""Every figure of the demo's warehouse and reports, against the package's raw CSV and none of Colony's code."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import prepare_data  # beside the example's other programs, which conftest has put on the path
import pytest

from tests.examples import figures
from tests.examples.conftest import DAYS, Demo
from tests.examples.figures import Row


def rows(demo: Demo, sql: str, *values: Any) -> list[dict[str, Any]]:
    with duckdb.connect(str(demo.root / "warehouse" / "flights.duckdb"), read_only=True) as warehouse:
        found = warehouse.execute(sql, list(values))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def report(demo: Demo, day: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((demo.root / "metrics" / f"daily_{day}.json").read_text(encoding="utf-8"))
    return made


def page(demo: Demo, day: str) -> str:
    return (demo.root / "reports" / f"daily_{day}.md").read_text(encoding="utf-8")


def whole(text: str) -> int | None:
    return None if text == "NA" else int(text)


def real(text: str) -> float | None:
    return None if text == "NA" else float(text)


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", ""))


@pytest.mark.parametrize("day", DAYS)
def test_the_warehouse_holds_each_flight_of_the_day_with_every_one_of_its_figures(demo: Demo, day: str) -> None:
    airlines = {row["carrier"]: row["name"] for row in figures.table("airlines")}
    airports = {row["faa"]: row["name"] for row in figures.table("airports")}
    planes = {row["tailnum"]: row for row in figures.table("planes")}
    weather = {(row["origin"], row["time_hour"]): row for row in figures.weather(day)}
    loaded = {
        (row["carrier"], row["flight"], row["origin"]): row
        for row in rows(demo, "select * from flights where flight_date = ?", day)
    }
    raw = figures.flights(day)
    assert len(loaded) == len(raw)
    for row in raw:
        plane = planes.get(row["tailnum"])
        hour = weather.get((row["origin"], row["time_hour"]), {})
        found = loaded[row["carrier"], int(row["flight"]), row["origin"]]
        assert {name: value for name, value in found.items() if not name.startswith("_")} == {
            "flight_date": datetime.date.fromisoformat(day),
            "carrier": row["carrier"],
            "flight": int(row["flight"]),
            "tail_num": None if row["tailnum"] == "NA" else row["tailnum"],
            "origin": row["origin"],
            "dest": row["dest"],
            **{
                name: whole(row[name])
                for name in (
                    "sched_dep_time", "dep_time", "dep_delay", "sched_arr_time", "arr_time", "arr_delay", "air_time",
                    "distance",
                )
            },
            "time_hour": utc(row["time_hour"]),
            "cancelled": figures.cancelled(row),
            "diverted": figures.diverted(row),
            "airline": airlines[row["carrier"]],
            "dest_name": airports.get(row["dest"]),
            "manufacturer": plane and plane["manufacturer"],
            "model": plane and plane["model"],
            "seats": plane and int(plane["seats"]),
            **{
                ours: real(hour.get(theirs, "NA"))
                for ours, theirs in {
                    "temp": "temp", "wind_speed": "wind_speed", "precip": "precip", "visibility": "visib",
                }.items()
            },
        }  # fmt: skip


@pytest.mark.parametrize("day", DAYS)
def test_the_daily_delays_are_those_of_the_raw_data_by_carrier_and_airport(demo: Demo, day: str) -> None:
    expected = figures.delays(day)
    found = rows(demo, "select * from daily_delays where flight_date = ?", day)
    assert {(row["carrier"], row["origin"]) for row in found} == set(expected)
    assert len(found) == len(expected)
    for row in found:
        figure = expected[row["carrier"], row["origin"]]
        for name, value in figure.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9)), (name, row)


def test_the_weather_is_the_raw_one_but_for_the_gauge_that_said_1048_miles_an_hour(demo: Demo) -> None:
    expected: dict[tuple[str, datetime.datetime], Row] = {
        (row["origin"], utc(row["time_hour"])): row for day in DAYS for row in figures.weather(day)
    }
    found = {(row["origin"], row["time_hour"]): row for row in rows(demo, "select * from weather")}
    assert set(found) == set(expected)
    mad = [key for key, row in expected.items() if (real(row["wind_speed"]) or 0) > 150]
    assert mad == [("EWR", datetime.datetime(2013, 2, 12, 8))]
    columns = {
        "temp": "temp", "dew_point": "dewp", "humidity": "humid", "wind_dir": "wind_dir", "wind_speed": "wind_speed",
        "wind_gust": "wind_gust", "precip": "precip", "pressure": "pressure", "visibility": "visib",
    }  # fmt: skip
    for key, row in expected.items():
        for ours, theirs in columns.items():
            value = None if key in mad and ours == "wind_speed" else real(row[theirs])
            assert found[key][ours] == value, (key, ours)
        assert found[key]["wind_suspect"] is (key in mad)


def test_the_reference_tables_are_whole(demo: Demo) -> None:
    planes = {row["tail_num"]: (row["year_built"], row["model"], row["seats"]) for row in rows(demo, "from planes")}
    assert planes == {
        row["tailnum"]: (whole(row["year"]), row["model"], int(row["seats"])) for row in figures.table("planes")
    }
    airports = {row["faa"]: (row["name"], row["lat"], row["alt"]) for row in rows(demo, "from airports")}
    assert airports == {
        row["faa"]: (row["name"], float(row["lat"]), int(row["alt"])) for row in figures.table("airports")
    }
    airlines = {row["carrier"]: row["name"] for row in rows(demo, "from airlines")}
    assert airlines == {row["carrier"]: row["name"] for row in figures.table("airlines")}


def test_the_view_of_carriers_sums_the_three_days(demo: Demo) -> None:
    raw = [row for day in DAYS for row in figures.flights(day)]
    for row in rows(demo, "select * from delays_by_carrier"):
        own = [flight for flight in raw if flight["carrier"] == row["carrier"]]
        assert (row["flights"], row["cancelled"]) == (len(own), sum(map(figures.cancelled, own)))
        assert row["mean_dep_delay"] == pytest.approx(figures.mean(figures.numbers(own, "dep_delay")), abs=0.0501)
    assert sum(row["flights"] for row in rows(demo, "select * from delays_by_carrier")) == len(raw)


@pytest.mark.parametrize("day", DAYS)
def test_the_report_counts_what_the_raw_data_holds(demo: Demo, day: str) -> None:
    raw, hours = figures.flights(day), figures.weather(day)
    references = sum(len(figures.table(name)) for name in ("airlines", "airports", "planes")) + len(
        prepare_data.REMARKS
    )
    made = report(demo, day)
    assert made["records_fetched"] == len(raw) + len(hours) + references
    assert made["records_processed"] == len(raw) + len(hours) + references + len(figures.delays(day))
    assert made["records_rejected"] == made["error_count"] == 0
    assert made["transform"]["flights"]["rows_out"] == made["load"]["tables"]["flights"]["inserted"] == len(raw)
    nulls = {one["column"]: one["nulls"] for one in made["findings"]["flights"]["nulls"]}
    for ours, theirs in {
        "dep_time": "dep_time",
        "arr_time": "arr_time",
        "air_time": "air_time",
        "tail_num": "tailnum",
    }.items():
        assert nulls.get(ours, 0) == sum(row[theirs] == "NA" for row in raw), ours
    true = {one["column"]: one["rows"] for one in made["findings"]["flights"]["true"]}
    assert true == {"cancelled": sum(map(figures.cancelled, raw)), "diverted": sum(map(figures.diverted, raw))}


@pytest.mark.parametrize("day", DAYS)
def test_the_page_says_which_airports_and_aircraft_are_unknown(demo: Demo, day: str) -> None:
    raw = figures.flights(day)
    known = {row["faa"] for row in figures.table("airports")}
    unknown = Counter(row["dest"] for row in raw if row["dest"] not in known)
    order = sorted(unknown.items(), key=lambda pair: (-pair[1], pair[0]))
    most = ", ".join(f"`{dest}` ({count})" for dest, count in order[:5])
    said = f"Not in `airports`: {sum(unknown.values())} of {len(raw)} rows: {len(unknown)} unknown `dest`, most often {most}"
    assert said in page(demo, day)
    planes = {row["tailnum"] for row in figures.table("planes")}
    without = sum(row["tailnum"] == "NA" for row in raw)
    strange = Counter(row["tailnum"] for row in raw if row["tailnum"] != "NA" and row["tailnum"] not in planes)
    said = f"Not in `planes`: {without + sum(strange.values())} of {len(raw)} rows: "
    assert re.search(
        rf"{re.escape(said)}{without} have no `tail_num`; {len(strange)} unknown `tail_num`", page(demo, day)
    )


@pytest.mark.parametrize("day", DAYS)
def test_the_page_counts_the_cancelled_and_the_diverted(demo: Demo, day: str) -> None:
    raw = figures.flights(day)
    cancelled, diverted = sum(map(figures.cancelled, raw)), sum(map(figures.diverted, raw))
    text = page(demo, day)
    assert f"`cancelled` {cancelled} ({cancelled / len(raw):.1%})".replace("%", " %") in text
    assert f"`diverted` {diverted} ({diverted / len(raw):.1%})".replace("%", " %") in text


@pytest.mark.parametrize("day", DAYS)
def test_the_page_lists_the_carriers_and_airports_with_most_flights_and_their_delays(demo: Demo, day: str) -> None:
    expected = figures.delays(day)
    lines = page(demo, day).split("\n")
    start = lines.index(f"The 12 largest of {len(expected)} groups:")
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 4 : start + 16]]
    assert [int(row[3]) for row in shown] == sorted((int(f["flights"] or 0) for f in expected.values()), reverse=True)[
        :12
    ]
    for carrier, _, origin, flights, cancelled, diverted, departure, arrival, late in shown:
        figure = expected[carrier, origin]
        assert [int(flights), int(cancelled), int(diverted)] == [
            figure[n] for n in ("flights", "cancelled", "diverted")
        ]
        means = [figure[name] for name in ("mean_dep_delay", "mean_arr_delay", "p95_arr_delay")]
        assert [float(departure), float(arrival), float(late)] == pytest.approx(means, abs=0.0501)


@pytest.mark.parametrize("day", DAYS)
def test_the_gate_judged_by_shares_that_are_those_of_the_raw_data(demo: Demo, day: str) -> None:
    raw = figures.flights(day)
    document = json.loads((demo.root / "reports" / f"validation_flights_{day}.json").read_text(encoding="utf-8"))
    value = {check["name"]: check["value"] for check in document["checks"]}
    airports = {row["faa"] for row in figures.table("airports")}
    planes = {row["tailnum"] for row in figures.table("planes")}
    strange = sum(row["tailnum"] != "NA" and row["tailnum"] not in planes for row in raw)
    expected = {
        "record_count": len(raw),
        "duplicates": 0,
        "error_rate": 0,
        "completeness": 1 - sum(row["tailnum"] == "NA" for row in raw) / (10 * len(raw)),
        "referential_integrity:carrier": 0,
        "referential_integrity:dest": sum(row["dest"] not in airports for row in raw) / len(raw),
        "referential_integrity:tail_num": strange / len(raw),
        "few_flights_cancelled": sum(map(figures.cancelled, raw)) / len(raw),
        "few_flights_diverted": sum(map(figures.diverted, raw)) / len(raw),
    }
    assert {name: value[name] for name in expected} == pytest.approx(expected, abs=5e-7)


def test_each_day_is_judged_as_it_deserves(demo: Demo) -> None:
    assert {day: report(demo, day)["status"] for day in DAYS} == dict(zip(DAYS, ["PASS", "WARN", "WARN"], strict=True))
    failed = {
        (day, Path(path).name.split("_")[1], check["name"])
        for day in DAYS
        for path in demo.root.glob(f"reports/validation_*_{day}.json")
        for check in json.loads(Path(path).read_text(encoding="utf-8"))["checks"]
        if not check["passed"]
    }
    assert failed == {
        ("2013-02-08", "flights", "few_flights_cancelled"),
        ("2013-02-08", "weather", "completeness"),
        ("2013-02-12", "weather", "wind_gauges_work"),
    }
