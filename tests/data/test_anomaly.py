"""Anomalies: quiet until there is enough history, deaf to weekdays and single bad days, and awake when it matters."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path
from typing import Any

import pytest

from colony_lib.data import columnstats, history, pipeline, table, validate
from colony_lib.data.checks import anomaly
from colony_lib.data.history import Day
from colony_lib.store import schema
from tests.conftest import Colony

FIRST = datetime.date(2013, 1, 7)  # a Monday


def date(number: int) -> str:
    return (FIRST + datetime.timedelta(days=number)).isoformat()


def flights(number: int, chance: random.Random) -> int:
    """Flights of a day: half as many on Saturdays and Sundays, and some noise."""
    return int((900 if FIRST.weekday() + number % 7 < 5 else 450) + chance.gauss(0, 20))


def known(days: int, seed: int = 1) -> list[tuple[int, float]]:
    chance = random.Random(seed)
    return [(n % 7, flights(n, chance)) for n in range(days)]


def widths(value: float, day: int, days: int = 42) -> float:
    found = anomaly.distance("record_count", value, 900, day, known(days))
    assert found is not None
    return found.widths


def test_a_day_like_its_weekday_is_none_and_one_unlike_it_is() -> None:
    assert widths(910, day=0) < 2 and widths(440, day=5) < 2
    assert widths(450, day=0) > 10  # a Monday like a Sunday: half a day's data
    assert widths(900, day=6) > 10  # a Sunday like a Monday: the same day twice


@pytest.mark.parametrize(("days", "quiet"), [(0, True), (21, True), (27, True), (28, False), (60, False)])
def test_it_is_quiet_until_four_of_the_weekday_are_known(days: int, quiet: bool) -> None:
    # On the 28th day, a Monday, four Mondays are known.
    found = anomaly.distance("record_count", 0, 900, days % 7, known(days))
    assert (found is None) is quiet


def test_weekly_data_needs_twelve_weeks() -> None:
    mondays = [(0, float(100 + n % 3)) for n in range(12)]
    assert anomaly.distance("record_count", 0, 100, 0, mondays[:11]) is None
    assert anomaly.distance("record_count", 0, 100, 0, mondays) is not None


def test_bad_days_in_the_history_do_not_move_what_is_normal() -> None:
    spoiled = [(day, 0.0 if number % 10 == 3 else value) for number, (day, value) in enumerate(known(56))]
    clean = anomaly.distance("record_count", 450, 900, 0, known(56))
    found = anomaly.distance("record_count", 450, 900, 0, spoiled)
    normal = anomaly.distance("record_count", 905, 900, 0, spoiled)
    assert clean is not None and found is not None and normal is not None
    assert found.widths > 6 > 2 > normal.widths


@pytest.mark.parametrize(
    ("name", "always", "value", "odd"),
    [
        ("record_count", 1458, 1459, False), ("record_count", 1458, 729, True), ("record_count", 0, 1, False),
        ("nulls:x", 0.0, 0.01, False), ("nulls:x", 0.0, 0.5, True), ("mean:x", 0.0, 0.0, False),
        ("mean:x", 100.0, 101.0, False), ("mean:x", 100.0, 10000.0, True), ("distinct:x", 16, 17, False),
        ("distinct:x", 16, 900, True), ("mean:x", -5.0, 5.0, True),
    ],
)  # fmt: skip
def test_where_nothing_ever_changed_chance_is_still_allowed_for(
    name: str, always: float, value: float, odd: bool
) -> None:
    found = anomaly.distance(name, value, 1000, 0, [(n % 7, always) for n in range(56)])
    assert found is not None and (found.widths >= anomaly.WARN_FROM) is odd


def test_of_ordinary_days_hardly_any_is_called_one() -> None:
    alarms = 0
    for seed in range(300):
        chance = random.Random(seed)
        earlier = [(n % 7, float(flights(n, chance))) for n in range(35)]
        found = anomaly.distance("record_count", flights(35, chance), 900, 0, earlier)
        assert found is not None
        alarms += found.widths >= anomaly.WARN_FROM
    assert alarms <= 3


def report(rows: list[dict[str, Any]], day: str, earlier: list[Day], thresholds: dict[str, Any] | None = None) -> Any:
    description = {"thresholds": {"anomaly": thresholds}} if thresholds else {}
    expected = validate.expectations(description, lambda *keys: None)
    found = validate.validate(rows, expected, lambda name: table.from_rows([]), date=day, history=earlier)
    return found, next((c for c in found["checks"] if c["name"] == "anomaly"), None)


def rows(count: int = 900, delay: float = 10.0) -> list[dict[str, Any]]:
    return [{"id": n, "delay": delay + n % 5, "carrier": f"C{n % 16}"} for n in range(count)]


EARLIER = [Day(date(n), columnstats.of(table.from_rows(rows(900 + n % 7)))) for n in range(42)]


def test_a_report_names_the_statistics_that_are_unlike_the_others_gravest_first() -> None:
    found, check = report(rows(900, delay=1000.0), date(42), EARLIER)
    assert found["status"] == "WARN" and (check["passed"], check["severity"], check["threshold"]) == (
        False,
        "warn",
        6.0,
    )
    assert (
        check["message"].startswith("mean:delay 1002 is ") and "above 12, the median of 6 Mondays" in check["message"]
    )
    found, check = report(rows(300), date(42), EARLIER)
    assert "record_count 300 is" in check["message"] and "below 900" in check["message"]
    found, check = report(rows(900), date(42), EARLIER)
    assert check["passed"] and check["message"].startswith("like earlier Mondays: most unlike, ")


def test_it_can_fail_be_switched_off_and_be_told_what_to_look_at() -> None:
    odd = rows(900, delay=1000.0)
    assert report(odd, date(42), EARLIER, {"fail": 8})[0]["status"] == "FAIL"
    assert report(odd, date(42), EARLIER, {"off": True})[1] is None
    assert report(odd, date(42), EARLIER, {"except": ["delay"]})[1]["passed"]
    assert report(odd, date(42), EARLIER, {"except": ["mean:delay"]})[1]["passed"]
    assert report(odd, date(42), EARLIER, {"columns": ["id"]})[1]["passed"]
    assert report(odd, date(42), EARLIER, {"least": 7})[1] is None
    assert report([], date(42), EARLIER)[1] is None  # record_count speaks of that


def validated(root: Path, number: int, status: str = "PASS", **more: Any) -> None:
    path = root / "reports" / f"validation_flights_{date(number)}.json"
    path.parent.mkdir(exist_ok=True)
    broken = {"name": more.pop("broken", "duplicates"), "passed": status != "FAIL", "severity": "fail"}
    path.write_text(json.dumps({"v": 1, "statistics": {"record_count": number}, "checks": [broken], **more}))


def test_the_history_is_the_earlier_days_that_could_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yml").write_text("version: 1\n")
    for number in range(10):
        validated(
            tmp_path, number, "FAIL" if number in (4, 5) else "PASS", broken="anomaly" if number == 5 else "schema"
        )
    (tmp_path / "reports" / f"validation_flights_{date(6)}.json").write_text("torn")
    (tmp_path / "reports" / f"validation_flights_{date(7)}.json").write_text('{"checks": []}')
    (tmp_path / "reports" / f"validation_flights_x_{date(3)}.json").write_text("{}")
    found = history.earlier(pipeline.find(None), "flights", date(8), days=6)
    assert [day.date for day in found] == [date(2), date(3), date(5)]
    assert history.earlier(pipeline.find(None), "trains", date(8), days=6) == []


def test_the_command_learns_from_its_own_reports_and_warns_of_half_a_day(colony: Colony) -> None:
    colony.write("pipeline.yml", "version: 1\nsources:\n  flights: {type: file, path: x.csv}\n")
    chance = random.Random(7)
    reports = colony.root / "reports"
    reports.mkdir()
    for number in range(28):  # what the command left on earlier days
        statistics = {"record_count": flights(number, chance), "nulls:id": 0.0}
        (reports / f"validation_flights_{date(number)}.json").write_text(
            json.dumps({"v": 1, "statistics": statistics, "checks": []})
        )
    colony.write("day.csv", "id\n" + "".join(f"{n}\n" for n in range(440)))
    words = ("validate-data", "day.csv", "--dataset", "flights", "--date", date(28))
    done = colony(*words)
    assert "WARN" in done.out and "warn: anomaly: record_count 440 is" in done.out
    found = json.loads((reports / f"validation_flights_{date(28)}.json").read_text())
    schema.check(found, "validation-report")
    assert found["statistics"]["record_count"] == 440
    again = colony(*words)
    assert again.out == done.out  # what a day is compared with are the days before it
    colony.write("day.csv", "id\n" + "".join(f"{n}\n" for n in range(905)))
    assert "PASS" in colony(*words).out


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ("anomaly: {warm: 3}", "warm"), ("anomaly: {least: 1}", "least"), ("freshness: {warn: 3}", "column"),
        ("freshness: {column: at}", "freshness"), ("record_count: {above: 3}", "above"),
    ],
)  # fmt: skip
def test_thresholds_that_mean_nothing_are_refused(colony: Colony, thresholds: str, said: str) -> None:
    colony.write("pipeline.yml", f"version: 1\ndatasets:\n  flights:\n    thresholds: {{{thresholds}}}\n")
    colony.write("day.csv", "id\n1\n")
    done = colony("validate-data", "day.csv", "--dataset", "flights", check=False)
    assert done.code == 2 and said in done.err and "pipeline.yml" in done.err
