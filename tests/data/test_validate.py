"""Validation: each check, its thresholds, the status, and a quality score that does not depend on the rows' order."""

from __future__ import annotations

import datetime
import random
import sys
from typing import Any

import pandas as pd
import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import table, validate
from colony_lib.data.history import Day

Rows = list[dict[str, Any]]
GOOD: Rows = [{"id": i, "date": "2013-01-15", "value": i / 2} for i in range(1, 201)]
FIELDS = [
    {"name": "id", "type": "integer", "constraints": {"required": True}},
    {"name": "date", "type": "date"},
    {"name": "value", "type": "number", "constraints": {"minimum": 0}},
]


def place(*keys: Any) -> str:
    return "pipeline.yml:" + "/".join(map(str, keys))


def report(
    rows: Rows, description: dict[str, Any] | None = None, others: dict[str, Rows] | None = None, **more: Any
) -> dict[str, Any]:
    frames = {name: table.from_rows(other) for name, other in (others or {}).items()}

    def lookup(name: str) -> pd.DataFrame:
        if name not in frames:
            raise ColonyError(f"there is no staging/transformed/{name}.json")
        return frames[name]

    return validate.validate(rows, validate.expectations(description or {}, place), lookup, **more)


def check(found: dict[str, Any], name: str) -> tuple[bool, str, Any]:
    one = next(c for c in found["checks"] if c["name"] == name)
    assert list(one) == ["name", "passed", "severity", "value", "threshold", "message"]
    return one["passed"], one["severity"], one["value"]


def message(found: dict[str, Any], name: str) -> str:
    return str(next(c["message"] for c in found["checks"] if c["name"] == name))


def test_good_rows_pass_with_a_score_of_one() -> None:
    found = report(GOOD, {"schema": {"fields": FIELDS, "primaryKey": "id"}})
    assert (found["status"], found["quality_score"], found["record_count"]) == ("PASS", 1.0, 200)
    assert [c["name"] for c in found["checks"]] == [
        "record_count",
        "schema",
        "completeness",
        "duplicates",
        "error_rate",
    ]
    assert all(c["passed"] is True for c in found["checks"])
    assert (found["errors"], found["flagged"], found["rows_flagged"], found["error_count"]) == ([], [], 0, 0)


@pytest.mark.parametrize(
    ("nulls", "status", "value"),
    [(0, "PASS", 1.0), (30, "PASS", 0.95), (31, "FAIL", 0.948333)],
)
def test_by_default_completeness_must_reach_95_percent(nulls: int, status: str, value: float) -> None:
    rows = [{**row, "value": None if i < nulls else row["value"]} for i, row in enumerate(GOOD)]
    found = report(rows)
    assert found["status"] == status
    assert check(found, "completeness") == (status == "PASS", "fail", value)


@pytest.mark.parametrize(
    ("repeats", "status", "severity"),
    [(0, "PASS", "fail"), (1, "WARN", "warn"), (2, "FAIL", "fail")],
)
def test_by_default_duplicates_warn_and_fail_from_one_percent_on(repeats: int, status: str, severity: str) -> None:
    rows = GOOD[: 200 - repeats] + GOOD[:repeats]
    found = report(rows)
    assert found["status"] == status
    assert check(found, "duplicates") == (repeats == 0, severity, repeats / 200)
    assert found["rows_flagged"] == repeats


@pytest.mark.parametrize(("wrong", "status"), [(0, "PASS"), (1, "WARN"), (2, "FAIL")])
def test_by_default_errors_warn_and_fail_from_one_in_a_thousand_on(wrong: int, status: str) -> None:
    rows: Rows = [{"n": "x" if i < wrong else i} for i in range(2000)]
    found = report(rows, {"schema": {"fields": [{"name": "n", "type": "integer"}]}})
    assert found["status"] == status
    assert check(found, "error_rate")[2] == wrong / 2000
    assert found["error_count"] == wrong


def test_records_that_transform_rejected_or_nobody_could_read_are_errors() -> None:
    found = report(GOOD, rejected=1, unread=1)
    assert check(found, "error_rate") == (False, "fail", 0.009901)
    assert message(found, "error_rate") == "1 record rejected by transform, 1 record unreadable: 0.99 %"
    assert found["error_count"] == 2
    assert found["quality_score"] == 0.9900  # 200 of 202


def test_thresholds_of_the_dataset_replace_the_defaults_one_by_one() -> None:
    rows = GOOD[:195] + GOOD[:5]
    loose = {"thresholds": {"duplicates": {"fail": 0.05}}}
    assert report(rows, loose)["status"] == "WARN"  # the default warn of 0 stays
    assert report(rows, {"thresholds": {"duplicates": {"warn": 0.04, "fail": 0.05}}})["status"] == "PASS"
    tight = {"thresholds": {"completeness": {"warn": 1.0}}}
    assert report([{**GOOD[0], "x": None}, *GOOD[1:]], tight)["status"] == "FAIL"
    assert report([{**GOOD[0], "value": None}, *GOOD[1:]], tight)["status"] == "WARN"


def test_completeness_counts_the_schemas_columns_or_those_told() -> None:
    rows = [{**row, "sparse": None} for row in GOOD]
    assert check(report(rows), "completeness")[2] == 0.75
    assert check(report(rows, {"schema": {"fields": FIELDS}}), "completeness")[2] == 1.0
    assert check(report(rows, {"thresholds": {"completeness": {"except": ["sparse"]}}}), "completeness")[2] == 1.0
    assert (
        check(report(rows, {"thresholds": {"completeness": {"columns": ["sparse", "id"]}}}), "completeness")[2] == 0.5
    )
    assert message(report(rows), "completeness") == "75 % of the cells are filled; least of all sparse 0 %"


def test_missing_values_are_not_filled_cells() -> None:
    rows: Rows = [{"a": "NA"}, {"a": "x"}]
    assert (
        check(report(rows, {"schema": {"fields": [{"name": "a"}], "missingValues": ["NA"]}}), "completeness")[2] == 0.5
    )


def test_a_missing_required_column_fails_the_schema_and_another_does_not() -> None:
    rows: Rows = [{"date": "2013-01-15", "value": 1.0}]
    found = report(rows, {"schema": {"fields": FIELDS}})
    assert check(found, "schema") == (False, "fail", 0)
    assert message(found, "schema") == "missing columns: id"
    assert found["status"] == "FAIL"
    found = report([{"id": 1, "more": 2}], {"schema": {"fields": FIELDS}})
    assert check(found, "schema") == (True, "fail", 0)
    assert (
        message(found, "schema") == "all cells are as the schema says; not in the data: date, value; besides it: more"
    )


@pytest.mark.parametrize(
    ("match", "rows", "said"),
    [
        ("exact", [{"b": 1, "a": 1}], "the columns are in another order than the schema's"),
        ("equal", [{"b": 1, "a": 1}], None),
        ("equal", [{"a": 1, "b": 1, "c": 1}], "columns that the schema does not know: c"),
        ("subset", [{"a": 1}], "missing columns: b"),
        ("subset", [{"a": 1, "b": 1, "c": 1}], None),
        ("superset", [{"a": 1}], None),
        ("superset", [{"c": 1}], "columns that the schema does not know: c"),
        ("partial", [{"b": 1, "c": 1}], None),
        ("partial", [{"c": 1}], "missing columns: a, b"),
    ],
)  # fmt: skip
def test_fields_match_says_which_columns_there_may_be(match: str, rows: Rows, said: str | None) -> None:
    found = report(rows, {"schema": {"fields": [{"name": "a"}, {"name": "b"}], "fieldsMatch": match}})
    assert check(found, "schema")[0] is (said is None)
    if said:
        assert message(found, "schema") == said


def test_cells_that_break_the_schema_are_counted_and_sampled() -> None:
    rows: Rows = [
        {"id": 1, "date": "soon", "value": -1},
        {"id": None, "date": "2013-01-15", "value": "x"},
        {"id": 3, "date": None, "value": 1},
    ]
    found = report(rows, {"schema": {"fields": FIELDS, "primaryKey": "id"}})
    assert found["errors"] == [
        {"column": "id", "rule": "required", "count": 1, "sample": [{"row": 2, "reason": "null is required"}]},
        {
            "column": "date",
            "rule": "type",
            "count": 1,
            "sample": [{"row": 1, "reason": '"soon" is not an ISO 8601 date'}],
        },
        {"column": "value", "rule": "type", "count": 1, "sample": [{"row": 2, "reason": '"x" is not a number'}]},
        {"column": "value", "rule": "minimum", "count": 1, "sample": [{"row": 1, "reason": "-1 is below 0.0"}]},
    ]
    assert check(found, "schema") == (False, "warn", 4)
    assert check(found, "error_rate")[2] == 0.666667
    assert found["rows_flagged"] == found["error_count"] == 2
    assert found["flagged"] == [
        {"row": 1, "key": {"id": 1}, "checks": ["schema"]},
        {"row": 2, "key": {"id": None}, "checks": ["schema"]},
    ]


def test_a_cell_of_a_wrong_type_in_a_required_field_is_one_error_not_two() -> None:
    found = report([{"id": "x"}], {"schema": {"fields": FIELDS[:1]}})
    assert [(e["column"], e["rule"]) for e in found["errors"]] == [("id", "type")]


def test_a_unique_key_is_checked_over_its_columns() -> None:
    rows: Rows = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": None, "b": 1}, {"a": None, "b": 1}]
    found = report(rows, {"schema": {"fields": [{"name": "a"}, {"name": "b"}], "uniqueKeys": [["a", "b"]]}})
    assert found["errors"][0] == {
        "column": "a", "rule": "unique", "count": 1, "sample": [{"row": 3, "reason": "1 repeats the unique key (a, b)"}],
    }  # fmt: skip


def test_duplicates_are_of_the_primary_key_or_of_the_key_told_and_nulls_are_no_key() -> None:
    rows: Rows = [{"id": 1, "v": 1}, {"id": 1, "v": 2}, {"id": None, "v": 3}, {"id": None, "v": 3}]
    schema = {"fields": [{"name": "id"}, {"name": "v"}], "primaryKey": "id"}
    assert check(report(rows, {"schema": schema}), "duplicates")[2] == 0.25
    assert check(report(rows), "duplicates")[2] == 0.25
    assert check(report(rows, {"thresholds": {"duplicates": {"key": ["v"]}}}), "duplicates")[2] == 0.25
    found = report(rows, {"thresholds": {"duplicates": {"key": "w"}}})
    assert check(found, "duplicates") == (False, "fail", None)
    assert message(found, "duplicates") == "cannot be checked: there is no column 'w'"


def foreign(**thresholds: Any) -> dict[str, Any]:
    key = {"fields": "c", "reference": {"resource": "airlines", "fields": "carrier"}}
    return {"schema": {"fields": [{"name": "c"}], "foreignKeys": [key]}, "thresholds": thresholds}


def test_a_foreign_key_that_is_not_found_is_named() -> None:
    rows: Rows = [{"c": "AA"}, {"c": "ZZ"}, {"c": None}, {"c": "ZZ"}]
    others: dict[str, Rows] = {"airlines": [{"carrier": "AA"}, {"carrier": None}]}
    found = report(rows, foreign(), others)
    assert check(found, "referential_integrity:c") == (False, "fail", 0.5)
    assert message(found, "referential_integrity:c") == '2 rows (50 %) with c not in airlines: "ZZ"'
    assert [row["row"] for row in found["flagged"]] == [2, 4]


def test_what_a_foreign_keys_threshold_tolerates_is_no_error() -> None:
    rows: Rows = [{"c": "AA"}] * 9 + [{"c": "ZZ"}]
    others: dict[str, Rows] = {"airlines": [{"carrier": "AA"}]}
    more = {"duplicates": {"warn": 1, "fail": 1}}
    for limits, status, errors, flagged in (
        ({"warn": 0.2}, "PASS", 0, 0),
        ({"warn": 0.1}, "WARN", 0, 1),
        ({"fail": 0.1}, "FAIL", 1, 1),
    ):
        found = report(rows, foreign(referential_integrity=limits, **more), others)
        assert (found["status"], found["error_count"], found["rows_flagged"]) == (status, errors, flagged), limits
    own = {"referential_integrity": {"fail": 0}, "referential_integrity:c": {"fail": 0.5}}
    assert report(rows, foreign(**own, **more), others)["status"] == "PASS"


def test_a_foreign_key_that_cannot_be_checked_fails() -> None:
    rows: Rows = [{"c": "AA"}]
    assert "cannot be checked: there is no staging/transformed/airlines.json" in message(
        report(rows, foreign()), "referential_integrity:c"
    )
    others: dict[str, Rows] = {"airlines": [{"code": "AA"}]}
    assert "there is no column 'carrier' in airlines" in message(
        report(rows, foreign(), others), "referential_integrity:c"
    )
    numbers: dict[str, Rows] = {"airlines": [{"carrier": 1}]}
    found = report(rows, foreign(), numbers)
    assert "'c' (string) cannot be compared with 'carrier' (integer)" in message(found, "referential_integrity:c")
    assert found["status"] == "FAIL"


def test_a_foreign_key_may_point_into_the_same_data() -> None:
    schema = {
        "fields": [{"name": "id"}, {"name": "boss"}],
        "foreignKeys": [{"fields": "boss", "reference": {"resource": "", "fields": "id"}}],
    }
    found = report([{"id": 1, "boss": None}, {"id": 2, "boss": 1}, {"id": 3, "boss": 9}], {"schema": schema})
    assert message(found, "referential_integrity:boss") == "1 row (33.33 %) with boss not in the same data: 9"


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"checks": [{"name": "r", "rule": text, **more}], "thresholds": {"completeness": {"fail": 0}}}


def test_a_rule_is_broken_by_false_and_kept_by_null() -> None:
    rows: Rows = [{"a": 1, "b": None}, {"a": 2, "b": 3}, {"a": None, "b": 4}]
    found = report(rows, rule("a > 1"))
    assert check(found, "r") == (False, "fail", 0.333333)
    assert message(found, "r") == "1 row (33.33 %) break it, row 1 first: a > 1"
    assert report(rows, rule("a > 1 or b is null"))["status"] == "PASS"


@pytest.mark.parametrize(
    ("more", "status", "errors"),
    [
        ({}, "FAIL", 1),
        ({"threshold": 0.3}, "FAIL", 1),
        ({"threshold": 0.4}, "PASS", 0),
        ({"severity": "warn"}, "WARN", 0),
        ({"severity": "warn", "threshold": 0.4}, "PASS", 0),
    ],
)  # fmt: skip
def test_a_rule_has_a_severity_and_a_threshold(more: dict[str, Any], status: str, errors: int) -> None:
    found = report([{"a": 1}, {"a": 2}, {"a": 3}], rule("a > 1", **more))
    assert (found["status"], found["error_count"]) == (status, errors)


def test_a_rule_about_columns_that_are_not_there_fails_and_one_that_is_no_rule_is_refused() -> None:
    found = report([{"a": 1}], rule("bb > 1", severity="warn"))
    assert check(found, "r") == (False, "warn", None)
    assert "cannot be checked: unknown column 'bb'" in message(found, "r")
    with pytest.raises(ColonyError) as caught:
        report([{"a": 1}], rule("a >"))
    assert "pipeline.yml:checks/0/rule" in str(caught.value) and caught.value.code == 2


def test_rules_see_what_transform_derived_even_when_all_of_it_is_null() -> None:
    rows: Rows = [{"a": 1, "late": None, "day": "2013-01-15"}]
    found = report(
        rows,
        rule("not late and day > '2013-01-01'"),
        columns={"a": "integer", "late": "boolean", "day": "date"},
        lexical=False,
    )
    assert check(found, "r") == (True, "fail", 0.0)


@pytest.mark.parametrize(
    ("description", "status", "score"),
    [
        ({}, "WARN", 0.0),
        ({"required": True}, "FAIL", 0.0),
        ({"thresholds": {"record_count": {"warn": 0}}}, "PASS", 1.0),
        ({"schema": {"fields": FIELDS, "primaryKey": "id"}, **rule("value > 0")}, "WARN", 0.0),
        (foreign(), "WARN", 0.0),
    ],
)  # fmt: skip
def test_no_records_have_a_defined_result(description: dict[str, Any], status: str, score: float) -> None:
    for columns in ({}, {"id": "integer"}):
        found = report([], description, {"airlines": []}, columns=columns)
        assert (found["status"], found["quality_score"], found["record_count"]) == (status, score, 0)
        assert check(found, "record_count")[2] == 0


def test_records_that_are_all_null_or_have_no_columns_fail() -> None:
    for rows in ([{"a": None}, {"a": None}], [{}, {}]):
        found = report(rows)
        assert (found["status"], found["quality_score"]) == ("FAIL", 0.0)
        assert check(found, "completeness") == (False, "fail", 0.0)


def test_too_few_records_warn_or_fail_when_told() -> None:
    thresholds = {"record_count": {"warn": 300, "fail": 100}}
    assert report(GOOD, {"thresholds": thresholds})["status"] == "WARN"
    assert report(GOOD[:99], {"thresholds": thresholds})["status"] == "FAIL"


def test_the_score_is_the_product_of_three_shares_rounded_down() -> None:
    rows = [{"id": i, "n": i} for i in range(1, 101)]
    rows[0] = {"id": 2, "n": 1}  # a repeated key: 1 of 100
    rows[10] = {"id": 11, "n": None}  # a null: 1 of 200 cells
    rows[20] = {"id": 21, "n": -1}  # an error: 1 of 100
    fields = [{"name": "id"}, {"name": "n", "type": "integer", "constraints": {"minimum": 0}}]
    found = report(rows, {"schema": {"fields": fields, "primaryKey": "id"}})
    assert found["quality_score"] == 0.9751  # 0.995 × 0.99 × 0.99 = 0.97519…
    one_in_a_million: Rows = [{"a": 1}] * 3 + [{"a": None}]
    assert report(one_in_a_million * 5000, {"thresholds": {"duplicates": {"key": "b"}}})["quality_score"] == 0.75


def test_the_result_does_not_depend_on_the_order_of_the_rows() -> None:
    rows: Rows = [
        {
            "id": i % 190,
            "date": "2013-01-15" if i % 50 else "x",
            "value": None if i % 40 == 0 else i / 7,
            "c": "AB"[i % 2],
        }
        for i in range(400)
    ]
    description = {
        **foreign(),
        **rule("value < 50"),
        "schema": {**foreign()["schema"], "fields": [*FIELDS, {"name": "c"}], "primaryKey": "id"},
    }
    others: dict[str, Rows] = {"airlines": [{"carrier": "A"}]}
    first = report(rows, description, others)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        again = report(rows, description, others)
        for key in ("status", "quality_score", "error_count"):
            assert again[key] == first[key]
        assert [(c["name"], c["passed"], c["value"]) for c in again["checks"]] == [
            (c["name"], c["passed"], c["value"]) for c in first["checks"]
        ]


def _random_rows(chance: random.Random) -> Rows:
    """A table of all kinds of cells, wrong ones among them; keys may be absent from a row."""
    kinds: list[Any] = [
        lambda: chance.randrange(50),
        lambda: chance.uniform(-1e9, 1e9),
        lambda: chance.uniform(0, 1e-9),
        lambda: chance.choice(["AA", "UA", "", "é", None]),
        lambda: f"2013-{chance.randrange(1, 14):02d}-15",
        lambda: chance.choice([True, False, None]),
        lambda: chance.choice([1, 1.0, True, "1", [1], {"a": None}, 2**60]),
        lambda: None,
    ]
    makers = {f"c{number}": chance.choice(kinds) for number in range(chance.randrange(1, 7))}
    rows = [
        {name: make() for name, make in makers.items() if chance.random() > 0.02} for _ in range(chance.randrange(60))
    ]
    return rows + chance.sample(rows, len(rows) // 10)


@pytest.mark.parametrize("seed", range(40))
def test_any_table_is_judged_the_same_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    rows = _random_rows(chance)
    types = ["integer", "number", "string", "date", "boolean", "any"]
    fields = [
        {"name": f"c{n}", "type": chance.choice(types), "constraints": {"unique": chance.random() < 0.3}}
        for n in range(4)
    ]
    description = {
        "schema": {
            "fields": fields, "primaryKey": chance.choice([[], ["c0"], ["c0", "c1"]]), "uniqueKeys": [["c1", "c2"]],
            "foreignKeys": [{"fields": "c0", "reference": {"fields": "c1"}}],
        },
        "thresholds": {"freshness": {"column": "c3", "warn": 1}, "completeness:c1": {"warn": 0.9}},
        **rule("c0 is not null"),
    }  # fmt: skip
    history = [Day(f"2013-01-{day:02d}", {"record_count": 30, "nulls:c0": 0.1}) for day in range(1, 32)]

    def judged() -> Any:
        found = report(rows, description, date="2013-02-01", history=history)
        checks = [{key: value for key, value in c.items() if key != "message"} for c in found["checks"]]
        errors = [(e["column"], e["rule"], e["count"]) for e in found["errors"]]
        whole = ("status", "quality_score", "record_count", "error_count", "rows_flagged", "statistics")
        return checks, sorted(errors), {key: found[key] for key in whole}

    first = judged()
    for _ in range(3):
        chance.shuffle(rows)
        assert judged() == first


def test_a_rule_may_warn_from_one_share_on_and_fail_from_another() -> None:
    rows: Rows = [{"v": i} for i in range(100)]
    for least, status in ((0, "PASS"), (4, "PASS"), (5, "WARN"), (19, "WARN"), (20, "FAIL")):
        assert (
            report(rows, {"checks": [{"name": "r", "rule": f"v >= {least}", "warn": 0.05, "fail": 0.2}]})["status"]
            == status
        )


def test_a_column_may_have_a_completeness_of_its_own() -> None:
    rows: Rows = [{"a": 1, "b": None if i < 10 else i} for i in range(100)]
    found = report(rows, {"thresholds": {"completeness:b": {"warn": 0.95, "fail": 0.5}}})
    assert check(found, "completeness") == (True, "fail", 0.95)
    assert check(found, "completeness:b") == (False, "warn", 0.9)
    assert check(report(rows, {"thresholds": {"completeness:c": {"fail": 0.5}}}), "completeness:c")[0] is False
    assert check(report([], {"thresholds": {"completeness:b": {"fail": 0.5}}}), "completeness:b")[0] is True


def test_too_many_records_warn_or_fail_when_told() -> None:
    thresholds = {"record_count": {"warn_above": 199, "fail_above": 200}}
    assert report(GOOD, {"thresholds": thresholds})["status"] == "WARN"
    assert message(report(GOOD, {"thresholds": thresholds}), "record_count") == "200 records, more than 199"
    assert report(GOOD * 2, {"thresholds": {**thresholds, "duplicates": {"fail": 1}}})["status"] == "FAIL"
    assert report(GOOD[:199], {"thresholds": thresholds})["status"] == "PASS"


@pytest.mark.parametrize(
    ("kind", "newest", "passed", "severity", "hours"),
    [
        ("datetime", "2013-01-15T23:00:00Z", True, "fail", 1.0),
        ("datetime", "2013-01-15T12:00:00-05:00", True, "fail", 7.0),
        ("datetime", "2013-01-15T11:30:00Z", False, "warn", 12.5),
        ("datetime", "2013-01-14T00:00:00Z", False, "fail", 48.0),
        ("datetime", "2013-01-16T03:00:00Z", True, "fail", -3.0),
        ("date", "2013-01-15", True, "fail", 0.0),
        ("date", "2013-01-13", False, "fail", 48.0),
    ],
)
def test_the_newest_row_must_be_young_enough_at_the_end_of_the_date(
    kind: str, newest: str, passed: bool, severity: str, hours: float
) -> None:
    description = {
        "schema": {"fields": [{"name": "at", "type": kind}]},
        "thresholds": {"freshness": {"column": "at", "warn": 12, "fail": 24}},
    }
    rows: Rows = [{"at": "2013-01-01" if kind == "date" else "2013-01-01T00:00:00Z"}, {"at": newest}, {"at": None}]
    found = report(rows, description, date="2013-01-15")
    assert check(found, "freshness") == (passed, severity, hours)
    assert "newest at is" in message(found, "freshness")


@pytest.mark.parametrize("rows", [[{"at": None}], [{"other": 1}], [{"at": "yesterday"}]])
def test_freshness_that_nothing_tells_of_is_no_freshness(rows: Rows) -> None:
    description = {
        "schema": {"fields": [{"name": "at", "type": "datetime"}]},
        "thresholds": {"freshness": {"column": "at", "warn": 12}},
    }
    assert check(report(rows, description, date="2013-01-15"), "freshness") == (False, "warn", None)
    assert [c["name"] for c in report([], description, date="2013-01-15")["checks"] if c["name"] == "freshness"] == []


def test_a_foreign_key_may_point_into_a_table_of_the_warehouse() -> None:
    key = [{"fields": ["c", "d"], "reference": {"table": "dim", "fields": ["code", "day"]}}]
    fields = [{"name": "c", "type": "string"}, {"name": "d", "type": "date"}]
    description = {"schema": {"fields": fields, "foreignKeys": key}}
    rows: Rows = [{"c": "A", "d": "2013-01-15"}, {"c": "B", "d": "2013-01-15"}, {"c": None, "d": "2013-01-15"}]
    asked = []

    def warehouse(name: str, columns: list[str]) -> list[tuple[Any, ...]]:
        asked.append((name, columns))
        return [("A", datetime.date(2013, 1, 15)), ("B", datetime.date(2013, 1, 16)), (None, None)]

    found = report(rows, description, warehouse=warehouse)
    assert asked == [("dim", ["code", "day"])]
    assert check(found, "referential_integrity:c+d") == (False, "fail", 0.333333)
    assert 'not in the table dim: "B", "2013-01-15"' in message(found, "referential_integrity:c+d")
    assert "there is no warehouse here" in message(report(rows, description), "referential_integrity:c+d")
    odd = report(rows, description, warehouse=lambda *_: [("A", True)])
    assert "cannot be compared" in message(odd, "referential_integrity:c+d")


def test_a_column_of_nothing_but_nulls_is_told_by_name() -> None:
    rows: Rows = [{"a": i, "b": None} for i in range(100)]
    found = report(rows, {"schema": {"fields": [{"name": "a"}, {"name": "b", "type": "number"}]}})
    assert (found["status"], found["quality_score"]) == ("FAIL", 0.5)
    assert message(found, "completeness") == "50 % of the cells are filled; least of all b 0 %"
    assert found["statistics"] == {"record_count": 100, "nulls:a": 0.0, "mean:a": 49.5, "nulls:b": 1.0}


def test_no_cell_is_looked_at_by_itself() -> None:
    """Columns are looked at whole: nothing is called for each cell, and next to nothing for each row."""
    fields = [
        *FIELDS,
        {"name": "carrier", "constraints": {"pattern": "C[0-9]+"}, "type": "string"},
        {"name": "note", "type": "string"},
        {"name": "t", "type": "datetime"},
    ]

    def calls(count: int) -> int:
        rows: Rows = [
            {
                "id": i,
                "date": "2013-01-15",
                "value": i / 3,
                "carrier": f"C{i % 15}",
                "note": f"n{i}",
                "t": f"2013-01-15T{i % 24:02d}:{i % 60:02d}:00Z",
            }
            for i in range(count)
        ]
        made = 0

        def count_call(frame: Any, event: str, given: Any) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            found = report(
                rows,
                {
                    "schema": {"fields": fields, "primaryKey": "id"},
                    **rule("value >= 0 and (carrier != 'C1' or note is not null)"),
                },
            )
        finally:
            sys.setprofile(None)
        assert found["status"] == "PASS"
        return made

    calls(500)  # what is imported and kept
    few, many = calls(500), calls(3_000)
    assert many - few <= 2 * 2_500, "more than two calls for each row of six cells"


def test_a_frame_with_gaps_in_its_index_is_judged_as_its_rows_are() -> None:
    rows: Rows = [{"a": i, "b": None if i == 3 else "x"} for i in range(20)]
    expected = validate.expectations({}, place)
    frame = table.from_rows(rows)[[i % 2 == 1 for i in range(20)]]
    assert validate.judge(frame, expected, lambda name: frame) == validate.validate(
        rows[1::2], expected, lambda name: frame
    )
