"""Days that are unlike the days before: told by robust figures, quietly until enough is known, whatever the rows' order."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path
from typing import Any

import pytest

from colony_lib.data import pipeline as pipelines
from colony_lib.data import profile, validate, validate_files
from tests.data.loading import transformed, write_pipeline

START = datetime.date(2013, 2, 4)  # a Monday


def rows(count: int, price: float = 10.0, nulls: int = 0, paid: float = 0.5) -> list[dict[str, Any]]:
    chance = random.Random(count)
    made = [
        {"id": n, "price": round(price + chance.uniform(-0.3, 0.3), 3), "paid": n < paid * count, "note": "x"}
        for n in range(count)
    ]
    for row in made[:nulls]:
        row["note"] = None
    return made


def day(number: int) -> str:
    return (START + datetime.timedelta(days=number)).isoformat()


def history(counts: list[int], **more: Any) -> list[tuple[str, dict[str, float]]]:
    """Days from START on, newest first, as their reports have them."""
    found = []
    for number, count in enumerate(counts):
        report = validate.validate(rows(count, **more), validate.Expectations(), lambda name: None, lexical=False)
        found.append((day(number), report["profile"]))
    return found[::-1]


def judged(
    given: list[dict[str, Any]], past: list[tuple[str, dict[str, float]]], date: str, **thresholds: Any
) -> dict[str, Any] | None:
    expected = validate.Expectations(thresholds={"anomalies": thresholds} if thresholds else {})
    report = validate.validate(given, expected, lambda name: None, lexical=False, date=date, history=past)
    found: dict[str, Any] | None = next((check for check in report["checks"] if check["name"] == "anomalies"), None)
    return found


STEADY = [1000, 1010, 990, 1005, 995, 1002, 998, 1004]


def test_nothing_is_said_until_there_is_enough_history() -> None:
    assert judged(rows(10), history(STEADY[:7]), day(8)) is None
    found = judged(rows(10), history(STEADY), day(8))
    assert found is not None and found["passed"] is False


def test_an_ordinary_day_passes_and_says_beside_how_many() -> None:
    found = judged(rows(1003), history(STEADY), day(8))
    assert found == {
        "name": "anomalies", "passed": True, "severity": "warn", "value": found and found["value"], "threshold": 6.0,
        "message": "as usual, beside 8 earlier days",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (rows(500), "rows 500, usually 1,001"),
        (rows(1000, price=14.0), "mean of price 14.0"),
        (rows(1000, nulls=200), "share of nulls in note 0.2, usually 0"),
        (rows(1000, paid=0.9), "share of true in paid 0.9, usually 0.5"),
    ],
)
def test_each_figure_that_is_far_from_its_median_is_named(given: list[dict[str, Any]], said: str) -> None:
    found = judged(given, history(STEADY), day(8))
    assert found is not None and found["passed"] is False and found["severity"] == "warn"
    assert said in found["message"]


def test_one_odd_day_among_the_earlier_ones_moves_nothing() -> None:
    past = history([*STEADY, 40_000])
    assert (judged(rows(1003), past, day(9)) or {})["passed"] is True
    assert (judged(rows(40_000), past, day(9)) or {})["passed"] is False


def test_the_weekend_is_compared_with_weekends() -> None:
    weekly = [1000, 1005, 995, 1002, 998, 200, 205]  # Saturdays and Sundays are quiet
    past = history(weekly * 5)
    saturday, monday = day(35 + 5), day(35)
    assert (judged(rows(203), past, saturday) or {})["passed"] is True
    assert (judged(rows(203), past, monday) or {})["passed"] is False
    assert (judged(rows(1000), past, saturday) or {})["passed"] is False
    assert "beside 5 earlier days" in (judged(rows(203), past, saturday) or {})["message"]


def test_limits_and_exceptions_are_those_of_the_pipeline() -> None:
    past = history(STEADY)
    assert (judged(rows(500), past, day(8), fail=5) or {})["severity"] == "fail"
    assert (judged(rows(500), past, day(8), **{"except": ["rows", "id"]}) or {})["passed"] is True
    assert judged(rows(500), history(STEADY[:3]), day(8), days=3) is not None
    assert judged(rows(500), past, day(8), days=9) is None


def test_the_result_does_not_depend_on_the_order_of_the_rows() -> None:
    given = rows(999, nulls=7)
    expected = validate.validate(given, validate.Expectations(), lambda name: None, lexical=False)
    for seed in range(5):
        shuffled = random.Random(seed).sample(given, len(given))
        found = validate.validate(shuffled, validate.Expectations(), lambda name: None, lexical=False)
        assert found["profile"] == expected["profile"]


def test_an_empty_day_and_a_column_of_nulls_have_a_profile() -> None:
    empty = validate.validate([], validate.Expectations(), lambda name: None, lexical=False)
    assert empty["profile"] == {"rows": 0}
    nulls = validate.validate([{"a": None}], validate.Expectations(), lambda name: None, lexical=False)
    assert nulls["profile"] == {"rows": 1, "nulls.a": 1.0}


def test_history_is_read_from_the_reports_of_days_that_were_not_refused(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t"}}})
    gate = validate_files.Gate(pipelines.load())
    for number, count in enumerate([*STEADY, 5]):
        transformed(
            folder, "t", rows(count), day(number), columns={"id": "integer", "price": "number", "paid": "boolean"}
        )
        gate.add_dataset("t", day(number))
    reports = [*gate.run()]
    assert reports[-1]["checks"][-1]["name"] != "anomalies"  # in one call nobody's report is there yet
    again = validate_files.Gate(pipelines.load())
    again.add_dataset("t", day(8))
    [report] = again.run()
    assert report["checks"][-1]["name"] == "anomalies" and report["status"] == "WARN"
    assert "rows 5, usually 1,001" in report["checks"][-1]["message"]
    path = folder / "reports" / f"validation_t_{day(3)}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "FAIL"}))
    (folder / "reports" / f"validation_t_{day(4)}.json").write_text("{")
    known = [date for date, _ in profile.earlier(pipelines.load(), "t", day(8))]
    assert known == [day(number) for number in (7, 6, 5, 2, 1, 0)]


def fresh(given: list[dict[str, Any]], **limits: Any) -> dict[str, Any] | None:
    expected = validate.Expectations(thresholds={"freshness": {"column": "at", **limits}})
    report = validate.validate(given, expected, lambda name: None, lexical=False, date="2013-02-08")
    return next((check for check in report["checks"] if check["name"] == "freshness"), None)


def test_the_newest_row_is_as_old_as_the_end_of_the_day_sees_it() -> None:
    given = [{"at": "2013-02-08T01:00:00Z"}, {"at": "2013-02-07T23:00:00Z"}, {"at": None}]
    found = fresh(given, warn=24, fail=48)
    assert found is not None and found["value"] == 23 and found["passed"] is True
    assert (fresh(given, warn=12) or {})["severity"] == "warn"
    assert (fresh([{"at": "2013-02-01T00:00:00Z"}], fail=48) or {})["severity"] == "fail"
    assert (fresh([{"at": "2013-03-01T00:00:00Z"}], fail=48) or {})["value"] == 0
    assert (fresh([{"at": None}], fail=48) or {})["message"] == "no row has a time in 'at'"
    assert (fresh([{"x": 1}], fail=48) or {})["message"] == "there is no column 'at'"
    assert fresh([], fail=48) is None
