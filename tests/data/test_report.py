"""The daily report: every figure from its file, what is missing said, whatever stands in data only text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.data import load as loader
from colony_lib.data import pipeline as pipelines
from colony_lib.data import report as reports
from colony_lib.data import report_alerts, report_markdown, report_trend
from colony_lib.store import schema
from tests.data.loading import DATE, transformed, validated, write_pipeline

ENRICH = [
    {"type": "enrich", "dataset": "planes", "on": {"tail": "tail_num"}, "columns": {"model": "model"}},
    {"type": "enrich", "dataset": "hours", "on": ["at"], "columns": {"temp": "temp"}},
]
FLIGHTS = [
    {"k": 1, "tail": "N1", "at": "T1", "late": True, "model": "A320", "temp": 1.5},
    {"k": 2, "tail": "N9", "at": "T1", "late": False, "model": None, "temp": 1.5},
    {"k": 3, "tail": "N9", "at": "T2", "late": None, "model": None, "temp": None},
    {"k": 4, "tail": None, "at": "T1", "late": True, "model": None, "temp": 1.5},
]
CHECKS = [
    {"name": "completeness", "passed": True, "severity": "fail", "value": 0.99, "threshold": 0.95, "message": "99 %"},
    {
        "name": "aircraft_known",
        "passed": False,
        "severity": "warn",
        "value": 0.75,
        "threshold": 0.2,
        "message": "3 rows break it",
    },
]


def write(folder: Path, path: str, value: Any) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    return file


def transformation(folder: Path, name: str, rows: list[dict[str, Any]], date: str = DATE, **more: Any) -> None:
    """The transformation report of these rows, with counts of its own making."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    columns = [
        {
            "name": column,
            "type": next((kinds[type(row[column])] for row in rows if row[column] is not None), "any"),
            "nulls": sum(row[column] is None for row in rows),
        }
        for column in (rows[0] if rows else {})
    ]
    report = {
        "v": 1, "dataset": name, "date": date, "rows_in": len(rows), "rows_out": len(rows), "rejected": 0, "dropped": 0,
        "transformations": [], "columns": columns, "seconds": 0.25, "file": f"staging/transformed/{name}_{date}.json",
    }  # fmt: skip
    write(folder, f"reports/transformation_{name}_{date}.json", {**report, **more})


def raw(folder: Path, name: str, count: int, date: str = DATE) -> None:
    head = {"v": 1, "source": name, "date": date, "fetch_time": "2026-11-23T06:00:00.000Z", "record_count": count}
    write(folder, f"staging/raw/{name}_{date}.json", {**head, "data": [{"k": k} for k in range(count)]})


@pytest.fixture
def good(folder: Path) -> Path:
    """A day of three datasets, fetched, transformed, validated and loaded, with something to find in it."""
    datasets = {
        "flights": {"transform": ENRICH, "load": {"table": "flights", "mode": "upsert", "key": "k"}},
        "planes": {},
        "hours": {},
    }
    sources = {name: {"type": "file", "path": "x.json"} for name in datasets}
    write_pipeline(folder, datasets, sources=sources, alerts={"quality_score": "< 0.95", "error_count": "> 10"})
    tables = {"flights": FLIGHTS, "planes": [{"tail_num": "N1", "model": "A320"}], "hours": [{"at": "T1", "temp": 1.5}]}
    for name, rows in tables.items():
        raw(folder, name, len(rows) + 1)
        transformed(folder, name, rows)
        transformation(folder, name, rows)
        validated(folder, name, error_count=0, rows_flagged=0)
    done = [
        {"type": "clean_nulls", "rows_affected": 2},
        {"type": "enrich", "dataset": "planes", "rows_affected": 1, "missing": 3},
        {"type": "enrich", "dataset": "hours", "rows_affected": 3, "missing": 1},
    ]
    transformation(folder, "flights", FLIGHTS, rows_in=7, rejected=2, dropped=1, transformations=done)
    rejects = [
        {"reason": 'delay: "abc" is not a number', "transformation": "types", "row": 5, "record": {}},
        {"reason": 'delay: "x|y" is not a number', "transformation": "types", "row": 6, "record": {}},
        {"reason": "dest: 7 is not in airports", "transformation": "enrich", "row": 7, "record": {}},
    ]
    write(folder, f"staging/rejected/flights_{DATE}.json", rejects)
    validated(
        folder, "flights", status="WARN", quality_score=0.9123, checks=CHECKS, error_count=2, rows_flagged=3,
        flagged=[{"row": 2, "key": {"k": 2}, "checks": ["aircraft_known"]}],
        errors=[{"column": "temp", "rule": "minimum", "count": 4, "sample": [{"row": 3, "reason": "temp: -99 is less than -40"}]}],
    )  # fmt: skip
    loader.load(pipelines.load(), DATE, [])
    return folder


def make(date: str = DATE) -> dict[str, Any]:
    pipeline = pipelines.load()
    report = reports.make(pipeline, date, None)
    report["alerts"] = report_alerts.judge(report, report_alerts.check(pipeline))
    report_alerts.send(report, report["alerts"], in_colony=False)
    return report


def section(text: str, heading: str) -> list[str]:
    """The lines under a heading, without blank ones."""
    lines = text.split("\n")
    start = lines.index(heading)
    depth = heading.index(" ")
    others = (n for n in range(start + 1, len(lines)) if lines[n].startswith("#") and lines[n].index(" ") <= depth)
    end = (
        next(others, len(lines)) if depth > 1 else next(n for n in range(start + 1, len(lines)) if lines[n][:1] == "#")
    )
    return [line for line in lines[start + 1 : end] if line]


def test_every_figure_is_what_the_files_say(good: Path) -> None:
    report = make()
    schema.check(report, "report")
    figures = (
        "status", "loaded", "records_fetched", "records_processed", "records_rejected", "records_loaded",
        "records_quarantined", "quality_score", "rows_flagged", "error_count", "warning_count", "duration_seconds",
    )  # fmt: skip
    assert [report[key] for key in figures] == ["WARN", True, 9, 4, 2, 4, 0, 0.9123, 3, 2, 0, None]
    assert report["transform"]["flights"]["rows_in"] == 7
    assert report["load"]["tables"]["flights"]["inserted"] == 4
    assert report["missing"] == ["the run: there is no colony here"]


def test_what_was_found_in_the_data_is_counted_and_named(good: Path) -> None:
    found = make()["findings"]["flights"]
    assert found["nulls"] == [
        {"column": "model", "nulls": 3, "share": 0.75},
        {"column": "late", "nulls": 1, "share": 0.25},
        {"column": "tail", "nulls": 1, "share": 0.25},
        {"column": "temp", "nulls": 1, "share": 0.25},
    ]
    assert found["true"] == [{"column": "late", "rows": 2, "share": 0.5}]
    assert [(one["transformation"], one["reason"], one["count"]) for one in found["rejected"]] == [
        ("types", "delay: … is not a number", 2),
        ("enrich", "dest: … is not in airports", 1),
    ]
    assert found["lookups"] == [
        {
            "dataset": "planes", "on": ["tail"], "found": 1, "missing": 3, "without_key": 1, "unknown": 1,
            "examples": [{"value": "N9", "count": 2}],
        },
        {
            "dataset": "hours", "on": ["at"], "found": 3, "missing": 1, "without_key": 0, "unknown": 1,
            "examples": [{"value": "T2", "count": 1}],
        },
    ]  # fmt: skip


def test_the_markdown_says_it_for_people(good: Path) -> None:
    text = report_markdown.render(make())
    assert text.startswith(f"# Daily report: {DATE}\n\nmade ")
    summary = section(text, f"# Daily report: {DATE}")
    assert "| Data quality                  | ! WARN |        |" in summary
    assert "| Quality score                 | 0.9123 |        |" in summary
    assert "| Processing time               |      – |        |" in summary
    assert "Errors: 2 records invalid, rejected or unreadable, 0 in quarantine, 0 logged." in summary
    assert section(text, "## Alerts") == ["- **quality_score** is 0.9123, \\< 0.95 (not sent: there is no colony here)"]
    assert section(text, "## Missing")[-1] == "- the run: there is no colony here"
    assert section(text, "### `flights`") == [
        "- Transformations, with the rows that each changed: `clean_nulls` 2, `enrich planes` 1, `enrich hours` 3",
        "- True, of 4 rows: `late` 2 (50.0 %)",
        "- Without a value, of 4 rows: `model` 3 (75.0 %), `late` 1 (25.0 %), `tail` 1 (25.0 %), `temp` 1 (25.0 %)",
        '- Rejected by `types`: 2 × delay: … is not a number (row 5: delay: "abc" is not a number)',
        "- Rejected by `enrich`: 1 × dest: … is not in airports (row 7: dest: 7 is not in airports)",
        "- Not in `planes`: 3 of 4 rows: 1 have no `tail`; 1 unknown `tail`, most often `N9` (2)",
        "- Not in `hours`: 1 of 4 rows: 1 unknown `at`, most often `T2` (1)",
        "- Against the schema: `temp` minimum, 4 ×, such as row 3: temp: -99 is less than -40",
        "- Flagged by `aircraft_known`: row 2 `k=2`",
    ]
    assert "| `flights` | ! WARN | 0.9123 |       4 |           2 |       3 | 1 of 2        |" in section(
        text, "## Quality"
    )
    assert section(text, "## Quality")[-1] == "- ! `flights` `aircraft_known`: 3 rows break it"
    assert "| `flights` | upsert |        4 |       0 |         0 |       0 |      0 |     4 | WARN       |" in section(
        text, "## Loaded"
    )
    assert section(text, "## Trend") == ["No earlier day to compare with."]


def test_the_same_day_again_is_the_same_report(good: Path) -> None:
    first, second = make(), make()
    assert {**first, "generated": ""} == {**second, "generated": ""}


def test_each_missing_input_is_said_to_be_missing(good: Path) -> None:
    for path in (
        f"staging/raw/planes_{DATE}.json", f"reports/transformation_hours_{DATE}.json",
        f"reports/validation_flights_{DATE}.json", f"reports/load_{DATE}.json",
    ):  # fmt: skip
        (good / path).unlink()
    report = make()
    assert report["missing"] == [
        "the run: there is no colony here",
        f"raw data of source 'planes': no staging/raw/planes_{DATE}.json",
        f"transformation report of 'hours': no reports/transformation_hours_{DATE}.json",
        f"validation report of 'flights': no reports/validation_flights_{DATE}.json",
        f"the load: no reports/load_{DATE}.json",
    ]
    assert (report["loaded"], report["records_loaded"], report["records_processed"]) == (False, None, 5)
    assert (report["status"], report["quality_score"]) == ("PASS", 0.98)
    assert len(section(report_markdown.render(report), "## Missing")) == 6


def test_lookups_are_not_guessed_when_the_files_do_not_tell(good: Path) -> None:
    (good / f"staging/transformed/planes_{DATE}.json").unlink()
    planes = make()["findings"]["flights"]["lookups"][0]
    assert planes == {"dataset": "planes", "on": ["tail"], "found": 1, "missing": 3}
    assert "- Not in `planes`: 3 of 4 rows" in report_markdown.render(make()).split("\n")


def test_a_day_of_which_nothing_is_known_is_refused(good: Path) -> None:
    with pytest.raises(ColonyError, match="nothing is known of 2001-01-01") as caught:
        make("2001-01-01")
    assert caught.value.code == FAILED
    assert caught.value.fix == f"the newest day with data is {DATE}: colony report --date {DATE}"


def test_a_damaged_input_is_named(good: Path) -> None:
    (good / f"reports/validation_planes_{DATE}.json").write_text("{")
    with pytest.raises(ColonyError, match=f"validation_planes_{DATE}.json") as caught:
        make()
    assert caught.value.code == FAILED


def test_quarantined_records_count_as_errors_and_are_shown_with_their_reason(good: Path) -> None:
    body = {
        "v": 1,
        "source": "planes",
        "date": DATE,
        "reason": "HTML instead of JSON",
        "origin": "GET /planes",
        "body": "<html>",
    }
    write(good, f"staging/quarantine/planes_{DATE}-1.json", body)
    write(
        good,
        f"staging/quarantine/planes_{DATE}-2.json",
        {**body, "reason": "2 records | no objects", "record_count": 2},
    )
    write(good, "staging/quarantine/planes_2013-02-09-1.json", body)
    report = make()
    assert report["errors"] == {"records": 2, "quarantined": 3, "logged": 0}
    assert report["error_count"] == 5
    lines = section(report_markdown.render(report), "## Records in and out")
    assert f"- `planes`: HTML instead of JSON (`staging/quarantine/planes_{DATE}-1.json`)" in lines
    assert f"- `planes`: 2 records \\| no objects (`staging/quarantine/planes_{DATE}-2.json`)" in lines


def test_the_trend_is_against_the_days_that_were_reported_before(good: Path) -> None:
    for number, date in enumerate(("2013-01-01", "2013-02-05", "2013-02-07", "2013-02-09")):
        write(
            good,
            f"metrics/daily_{date}.json",
            {"records_processed": 10 * number, "quality_score": 0.9, "error_count": number},
        )
    (good / "metrics/daily_2013-02-06.json").write_text("{torn")
    write(good, "metrics/daily_2013-02-30x.json", {})
    trend = make()["trend"]
    assert [day["date"] for day in trend["days"]] == ["2013-01-01", "2013-02-05", "2013-02-07"]
    assert (trend["previous"], trend["count"]) == ("2013-02-07", 3)
    assert (trend["median"]["records_processed"], trend["change"]["records_processed"]) == (10.0, -16)
    assert (trend["change"]["quality_score"], trend["change"]["duration_seconds"]) == (0.0123, None)
    text = report_markdown.render(make())
    assert "| Quality score                 | 0.9123 |                 +0.0123 |" in text
    assert "| median of 3    |        10 |        – |  0.9000 |      1 |    – |" in text


def test_a_run_that_failed_is_said_first_with_its_steps(good: Path) -> None:
    report = make()
    steps = [
        {"name": "fetch", "status": "completed", "error": None, "attempts": 1, "duration_seconds": 1},
        {"name": "load", "status": "failed", "error": "exit status 1: *refused*", "attempts": 3, "duration_seconds": 2},
    ]
    for status, loaded, said in (
        ("failed", False, "**The run failed, and no load of this day is known.**"),
        ("cancelled", True, "**The run was cancelled.**"),
    ):
        text = report_markdown.render({**report, "run_status": status, "loaded": loaded, "steps": steps})
        assert text.split("\n")[4:7] == [said, "", "- `load`: exit status 1: \\*refused\\*"]
    assert "The run" not in report_markdown.render({**report, "run_status": "completed", "steps": steps}).split("|")[0]


def test_each_step_stands_beside_the_median_of_the_days_on_which_it_completed(good: Path) -> None:
    def step(name: str, seconds: Any, status: str = "completed") -> dict[str, Any]:
        return {"name": name, "status": status, "duration_seconds": seconds, "attempts": 1, "error": None}

    earlier = [
        ("2013-02-04", "daily", [step("fetch", 10), step("load", 1)]),
        ("2013-02-05", "daily", [step("fetch", 20), step("load", 500, "failed")]),
        ("2013-02-06", "daily", [step("fetch", 90), step("load", 3), "no step", step("report", None)]),
        ("2013-02-07", "other", [step("fetch", 9000)]),
    ]
    for date, workflow, steps in earlier:
        write(good, f"metrics/daily_{date}.json", {"workflow": workflow, "steps": steps})
    report = {**make(), "workflow": "daily", "run_id": "r1", "run_started": "2013-02-08T04:30:00Z"}
    report["steps"] = [step("fetch", 60), step("load", 2.5), step("report", None, "running")]
    report["trend"] = report_trend.gather(pipelines.load(), DATE, report)
    assert report["trend"]["steps"] == {"fetch": 20.0, "load": 2.0}
    assert section(report_markdown.render(report), "## Steps")[1:] == [
        "| Step     | Status    | Attempts |  Took | Median | Error |",
        "|----------|-----------|---------:|------:|-------:|-------|",
        "| `fetch`  | completed |        1 | 1m00s |    20s |       |",
        "| `load`   | completed |        1 |  2.5s |   2.0s |       |",
        "| `report` | running   |        1 |     – |      – |       |",
    ]


@pytest.mark.parametrize(
    ("alerts", "holds"),
    [
        ({"quality_score": "< 0.95"}, [True]),
        ({"data_quality_score": "<0.91"}, [False]),
        ({"error_count": "== 2", "records_loaded": "!= 4"}, [True, False]),
        ({"duration_seconds": "> 10"}, [None]),
    ],
)
def test_alerts_are_judged_by_the_figures(good: Path, alerts: dict[str, str], holds: list[Any]) -> None:
    pipeline = pipelines.load()
    pipeline.document["alerts"] = alerts
    judged = report_alerts.judge(make(), report_alerts.check(pipeline))
    assert [alert["holds"] for alert in judged] == holds


def test_an_alert_on_a_figure_that_is_none_is_refused_with_its_line(good: Path) -> None:
    pipeline = pipelines.load()
    pipeline.document["alerts"] = {"quality_scor": "< 1"}
    with pytest.raises(
        ColonyError, match=r"unknown figure 'quality_scor' at pipeline.yml:\d+; did you mean 'quality_score'"
    ) as caught:
        report_alerts.check(pipeline)
    assert caught.value.code == USAGE


HOSTILE = (
    "<script>alert(1)</script> | a | b\n# heading [link](http://evil.example) ![x](http://evil.example/p.png) `code` **b** "
    "_i_ &lt; \x1b[31mred www.evil.example \u202e"
)


def test_whatever_stands_in_data_is_only_text(good: Path) -> None:
    checks = [{"name": HOSTILE, "passed": False, "severity": "warn", "message": HOSTILE}]
    flagged = [{"row": 1, "key": {"k": HOSTILE}, "checks": [HOSTILE]}]
    validated(good, "flights", status="WARN", checks=checks, flagged=flagged)
    write(good, f"staging/rejected/flights_{DATE}.json", [{"reason": HOSTILE, "transformation": HOSTILE, "row": 1}])
    text = report_markdown.render(make())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not [line for line in text.split("\n") if line.startswith("# heading")]
    # What is left when escaped characters and code spans are taken out is what could be markup.
    plain = re.sub(r"\\[!-/:-@\[-`{-~]|(?<!`)(`+)(?!`)(?:.*?[^`])\1(?!`)", "", text)
    for markup in ("<script", "](http", "http://", "![x]", "**b**", " _i_ "):
        assert markup not in plain, markup
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):  # a pipe in data makes no new column
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1, block


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain words, dep_delay and 3.5", "plain words, dep_delay and 3.5"),
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("2013-02-08 is a day", "2013-02-08 is a day"),
        ("a*b `c` <d> [e](f) g|h ~i~ & j", "a\\*b \\`c\\` \\<d\\> \\[e\\](f) g\\|h \\~i\\~ \\& j"),
        ("_x_ y_z", "\\_x\\_ y_z"),
        ("see https://x.example and www.x.example", "see https:\\//x.example and www\\.x.example"),
        ("two\nlines", "two\\\\nlines"),
    ],
)
def test_text_is_escaped_as_markdown(given: str, shown: str) -> None:
    from colony_lib.data import markdown

    assert markdown.text(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"), [("a|b", "`a\\|b`"), ("a`b", "`` a`b ``"), ("", "`  `"), ("``", "``` `` ```"), ("<b>", "`<b>`")]
)
def test_names_are_code_whatever_is_in_them(given: str, shown: str) -> None:
    from colony_lib.data import markdown

    assert markdown.code(given) == shown
