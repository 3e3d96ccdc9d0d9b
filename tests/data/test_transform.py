"""Transforming one dataset: each transformation, what it counts, what it rejects, and in which order all happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import table, transform
from colony_lib.data.transform import Outcome, Plan
from colony_lib.data.transformations import REGISTRY
from colony_lib.data.transformations.naming import snake_case

Rows = list[dict[str, Any]]
REPOSITORY = Path(__file__).resolve().parents[2]


def place(*keys: Any) -> str:
    return "pipeline.yml:" + "/".join(map(str, keys))


def run(description: dict[str, Any], rows: Rows, others: dict[str, Rows] | None = None) -> Outcome:
    frames = {name: table.from_rows(other) for name, other in (others or {}).items()}
    return transform.run(Plan("d", description, place), rows, frames.__getitem__)


def steps(rows: Rows, *given: dict[str, Any], fields: list[dict[str, Any]] | None = None, **more: Any) -> Outcome:
    """The rows after those steps, and whatever is always done."""
    description: dict[str, Any] = {"transform": list(given)}
    if fields:
        description["schema"] = {"fields": fields, **more.pop("schema", {})}
    return run(description, rows, **more)


def out(outcome: Outcome) -> Rows:
    return table.to_rows(outcome.frame)


def counts(outcome: Outcome) -> dict[str, int]:
    return {step["type"]: step["rows_affected"] for step in outcome.transformations}


def reasons(outcome: Outcome) -> list[tuple[int, str, str]]:
    return [(item["row"], item["transformation"], item["reason"]) for item in outcome.rejected]


def refusal(
    description: dict[str, Any], rows: Rows | None = None, others: dict[str, Rows] | None = None
) -> ColonyError:
    with pytest.raises(ColonyError) as caught:
        run(description, [{"a": 1}] if rows is None else rows, others)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("tailNum", "tail_num"), ("TailNum", "tail_num"), ("Tail Num", "tail_num"), ("tail-num", "tail_num"), ("TAIL_NUM", "tail_num"),
        ("HTTPStatus", "http_status"), ("statusHTTP", "status_http"), ("depTime2", "dep_time2"), ("a.b/c", "a_b_c"), ("  x ", "x"),
        ("Größe (cm)", "größe_cm"), ("__id__", "id"), ("2013 total", "2013_total"), ("%", ""), ("already_snake", "already_snake"),
    ],
)  # fmt: skip
def test_names_become_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_names_nulls_types_dates_and_duplicates_are_cleaned_without_being_asked() -> None:
    fields = [
        {"name": "flight_no", "type": "integer"},
        {"name": "day", "type": "date", "format": "%m/%d/%Y"},
        {"name": "who", "type": "string"},
    ]
    rows: Rows = [
        {"flightNo": "12", "Day": "01/15/2013", "who": " Ann "},
        {"flightNo": "12", "Day": "01/15/2013", "who": "Ann"},
        {"flightNo": "NA", "Day": "", "who": "NA"},
        {"flightNo": "x", "Day": "01/16/2013", "who": "Bob"},
        {"flightNo": 13, "Day": "16/01/2013", "who": "Cy"},
    ]
    done = run({"schema": {"fields": fields, "missingValues": ["", "NA"]}}, rows)
    assert out(done) == [
        {"flight_no": 12, "day": "2013-01-15", "who": "Ann"},
        {"flight_no": None, "day": None, "who": None},
    ]
    assert [t["type"] for t in done.transformations] == [
        "normalize_names", "clean_nulls", "convert_types", "normalize_dates", "drop_duplicates", "constraints",
    ]  # fmt: skip
    assert counts(done) == {
        "normalize_names": 5, "clean_nulls": 2, "convert_types": 2, "normalize_dates": 2, "drop_duplicates": 1, "constraints": 0,
    }  # fmt: skip
    assert reasons(done) == [
        (4, "convert_types", 'flight_no: "x" is not an integer'),
        (5, "normalize_dates", 'day: "16/01/2013" is not a date written as %m/%d/%Y'),
    ]
    assert done.rejected[0]["record"] == rows[3]
    assert (done.rows_in, len(done.frame), len(done.rejected), done.dropped) == (5, 2, 2, 1)


def test_the_standard_transformations_go_where_the_list_leaves_them_out() -> None:
    given = [
        {"type": "rename", "columns": {"a": "b"}},
        {"type": "nulls"},
        {"type": "drop_columns", "columns": ["c"]},
        {"type": "types"},
    ]
    plan = Plan("d", {"transform": given, "schema": {"fields": [{"name": "b", "type": "date"}]}}, place)
    assert [step.type for step in plan.steps] == [
        "rename", "normalize_names", "clean_nulls", "drop_columns", "convert_types", "normalize_dates", "constraints",
    ]  # fmt: skip


def test_without_a_schema_there_is_nothing_to_convert() -> None:
    done = run({}, [{"aB": "1"}])
    assert out(done) == [{"a_b": "1"}]
    assert counts(done) == {"normalize_names": 1, "clean_nulls": 0, "drop_duplicates": 0}


def test_no_records_are_no_rows_with_the_schemas_columns() -> None:
    description = {
        "schema": {
            "fields": [
                {"name": "n", "type": "integer", "constraints": {"required": True}},
                {"name": "t", "type": "datetime"},
            ]
        },
        "transform": [
            {"type": "derive", "column": "late", "expression": "n > 5 and t > '2013-01-01'"},
            {"type": "range", "column": "n", "minimum": 0},
            {"type": "outliers", "column": "n"},
            {"type": "enrich", "dataset": "o", "on": ["n"], "columns": {"x": "x"}},
            {"type": "fill_nulls", "columns": {"n": 0}},
            {"type": "filter", "where": "late"},
            {"type": "duplicates", "key": ["n"]},
            {"type": "drop_nulls", "columns": ["t"]},
        ],
    }
    done = run(description, [], {"o": [{"n": 1, "x": "a"}]})
    assert out(done) == []
    described = transform.describe(Plan("d", description, place).schema, done.frame)
    assert {name: kind for name, (kind, _) in described.items()} == {
        "n": "integer", "t": "datetime", "late": "boolean", "n_outlier": "boolean", "x": "any",
    }  # fmt: skip


def test_no_records_without_a_schema_are_no_error_either() -> None:
    given: list[dict[str, Any]] = [
        {"type": "derive", "column": "y", "expression": "x + 1"},
        {"type": "filter", "where": "a = 'b'"},
        {"type": "range", "column": "z", "minimum": 0},
        {"type": "enrich", "dataset": "o", "on": ["k"], "columns": {"x": "v"}},
        {"type": "drop_nulls", "columns": ["q"]},
    ]
    assert out(steps([], *given, others={"o": []})) == []


def test_two_columns_that_would_get_one_name_are_an_error() -> None:
    error = refusal({}, [{"tailNum": 1, "tail_num": 2}])
    assert str(error) == (
        "the columns 'tailNum' and 'tail_num' would both be named 'tail_num' at pipeline.yml:schema; rename one of them first: {type: rename, columns: {…}}"
    )
    assert error.code == 1
    done = steps([{"tailNum": 1, "tail_num": 2}], {"type": "rename", "columns": {"tailNum": "other"}})
    assert out(done) == [{"other": 1, "tail_num": 2}]


def test_a_name_of_which_nothing_is_left_is_an_error() -> None:
    assert "nothing is left of the column name '%'" in str(refusal({}, [{"%": 1}]))


def test_a_required_column_that_is_not_there_stops_the_dataset_and_another_is_filled_with_nulls() -> None:
    fields = [{"name": "tail_num", "constraints": {"required": True}}, {"name": "b", "type": "integer"}]
    error = refusal({"schema": {"fields": fields}}, [{"tailNumber": "x"}])
    assert str(error).startswith(
        "the required column 'tail_num' is not in the data at pipeline.yml:schema/fields/0; did you mean 'tail_number'?"
    )
    done = steps([{"tail_num": "x"}], fields=fields)
    assert out(done) == [{"tail_num": "x", "b": None}]
    assert done.transformations[0]["missing_columns"] == ["b"]


def test_names_may_be_left_as_they_are() -> None:
    assert out(run({"fields_from": "as_is"}, [{"tailNum": 1}])) == [{"tailNum": 1}]


def test_rename_takes_the_name_in_the_data_or_in_snake_case_and_says_what_it_does_not_find() -> None:
    rows: Rows = [{"tailNum": 1, "x": 2}]
    for old in ("tailNum", "tail_num"):
        assert out(steps(rows, {"type": "rename", "columns": {old: "plane"}})) == [{"plane": 1, "x": 2}]
    error = refusal({"transform": [{"type": "rename", "columns": {"tailNun": "plane"}}]}, rows)
    assert str(error) == "unknown column 'tailNun' at pipeline.yml:transform/0/columns; did you mean 'tailNum'?"
    assert "two columns would be named 'x'" in str(
        refusal({"transform": [{"type": "rename", "columns": {"tailNum": "x"}}]}, rows)
    )


def test_columns_are_selected_in_order_or_dropped() -> None:
    assert list(out(steps([{"a": 1, "b": 2, "c": 3}], {"type": "select", "columns": ["c", "a"]}))[0]) == ["c", "a"]
    assert out(steps([{"a": 1, "b": 2}], {"type": "drop_columns", "columns": ["a"]})) == [{"b": 2}]
    assert "unknown column 'z'" in str(refusal({"transform": [{"type": "select", "columns": ["z"]}]}))


def test_texts_are_trimmed_unless_told_not_to() -> None:
    assert out(steps([{"a": " x "}, {"a": "  "}])) == [{"a": "x"}, {"a": None}]
    assert out(steps([{"a": " x "}, {"a": ""}], {"type": "nulls", "trim": False})) == [{"a": " x "}, {"a": None}]


def test_what_is_not_of_its_type_may_be_nulled_instead_of_rejected() -> None:
    done = steps(
        [{"a": "x"}, {"a": "1"}], {"type": "types", "action": "null"}, fields=[{"name": "a", "type": "integer"}]
    )
    assert out(done) == [{"a": None}, {"a": 1}]
    assert done.rejected == []
    assert next(t for t in done.transformations if t["type"] == "convert_types")["nulled"] == 1


def test_a_row_with_several_faults_is_rejected_once_with_all_of_them() -> None:
    fields = [{"name": "a", "type": "integer"}, {"name": "b", "type": "number"}]
    assert reasons(steps([{"a": "x", "b": "y"}], fields=fields)) == [
        (1, "convert_types", 'a: "x" is not an integer; b: "y" is not a number')
    ]


def test_dates_in_several_declared_formats_become_iso_and_an_ambiguous_one_is_rejected() -> None:
    dates = {"type": "dates", "columns": {"d": ["default", "%m/%d/%Y", "%d/%m/%Y"]}}
    done = steps(
        [{"d": "2013-01-15"}, {"d": "01/15/2013"}, {"d": "15/01/2013"}, {"d": "01/02/2013"}, {"d": None}], dates
    )
    assert out(done) == [{"d": "2013-01-15"}, {"d": "2013-01-15"}, {"d": "2013-01-15"}, {"d": None}]
    assert reasons(done) == [
        (4, "normalize_dates", 'd: "01/02/2013" is ambiguous: default and %m/%d/%Y and %d/%m/%Y read it differently')
    ]
    assert next(t for t in done.transformations if t["type"] == "normalize_dates")["rows_affected"] == 2


def test_datetimes_become_utc_from_a_declared_zone_and_epochs_only_when_declared() -> None:
    fields = [{"name": "t", "type": "datetime"}, {"name": "e", "type": "datetime", "format": "epoch_seconds"}]
    zone = {"type": "dates", "timezone": "America/New_York"}
    done = steps(
        [
            {"t": "2013-01-15T05:00:00", "e": 1358226000},
            {"t": "2013-01-15T05:00:00Z", "e": None},
            {"t": "2013-03-10T02:30:00", "e": 0},
        ],
        zone,
        fields=fields,
    )
    assert out(done) == [
        {"t": "2013-01-15T10:00:00Z", "e": "2013-01-15T05:00:00Z"},
        {"t": "2013-01-15T05:00:00Z", "e": None},
    ]
    assert reasons(done)[0][2].startswith('t: "2013-03-10T02:30:00" is skipped or ambiguous in America/New_York')
    assert reasons(steps([{"t": 1358226000}], fields=fields[:1]))[0][2].endswith(
        "declare its format, such as epoch_seconds"
    )
    wrong = {"transform": [{"type": "dates", "timezone": "Mars/Base"}], "schema": {"fields": fields}}
    assert "unknown timezone 'Mars/Base' at pipeline.yml:transform/0/timezone" in str(refusal(wrong, []))


def test_duplicates_are_whole_rows_and_rows_of_one_key_that_differ_stay() -> None:
    rows: Rows = [
        {"k": 1, "v": "a"},
        {"k": 1, "v": "a"},
        {"k": 1, "v": "b"},
        {"k": None, "v": None},
        {"k": None, "v": None},
    ]
    done = steps(rows, {"type": "duplicates"})
    assert out(done) == [{"k": 1, "v": "a"}, {"k": 1, "v": "b"}, {"k": None, "v": None}]
    assert counts(done)["drop_duplicates"] == done.dropped == 2


@pytest.mark.parametrize(("keep", "value"), [("first", "a"), ("last", "b")])
def test_of_each_key_the_first_or_the_last_is_kept_and_conflicts_are_counted(keep: str, value: str) -> None:
    rows: Rows = [{"k": 1, "v": "a"}, {"k": 2, "v": "x"}, {"k": 1, "v": "b"}, {"k": 2, "v": "x"}]
    done = steps(
        rows,
        {"type": "drop_duplicates", "key": "primaryKey", "keep": keep},
        fields=[{"name": "k"}, {"name": "v"}],
        schema={"primaryKey": "k"},
    )
    assert {row["k"]: row["v"] for row in out(done)} == {1: value, 2: "x"}
    step = next(t for t in done.transformations if t["type"] == "drop_duplicates")
    assert (step["rows_affected"], step["conflicts"], step["key"]) == (2, 1, ["k"])


def test_rows_with_nulls_are_rejected_or_dropped_and_nulls_are_filled() -> None:
    rows: Rows = [{"a": 1, "b": None}, {"a": None, "b": None}, {"a": 3, "b": "x"}]
    assert reasons(steps(rows, {"type": "drop_nulls", "columns": ["a", "b"]})) == [
        (1, "drop_nulls", "b: is null"), (2, "drop_nulls", "a: is null; b: is null"),
    ]  # fmt: skip
    dropped = steps(rows, {"type": "drop_nulls", "columns": ["a"], "action": "drop"})
    assert (dropped.rejected, dropped.dropped, len(dropped.frame)) == ([], 1, 2)
    filled = steps(rows, {"type": "fill_nulls", "columns": {"a": 0, "b": "-"}})
    assert out(filled) == [{"a": 1, "b": "-"}, {"a": 0, "b": "-"}, {"a": 3, "b": "x"}]
    assert counts(filled)["fill_nulls"] == 2
    assert out(steps([{"a": None}], {"type": "fill_nulls", "columns": {"a": 7}})) == [{"a": 7}]
    error = refusal({"transform": [{"type": "fill_nulls", "columns": {"a": "x"}}]}, [{"a": 1}, {"a": None}])
    assert 'a: "x" is not an integer at pipeline.yml:transform/0/columns' in str(error)


@pytest.mark.parametrize(
    ("action", "rows", "rejected"),
    [
        ("reject", [{"x": 5}, {"x": None}], ["x: -1 is below 0", "x: 11 is above 10"]),
        ("clip", [{"x": 0}, {"x": 5}, {"x": 10}, {"x": None}], []),
        ("null", [{"x": None}, {"x": 5}, {"x": None}, {"x": None}], []),
        (None, [{"x": None}, {"x": 5}, {"x": None}, {"x": None}], []),
        ("flag", [{"x": -1, "odd": True}, {"x": 5, "odd": False}, {"x": 11, "odd": True}, {"x": None, "odd": False}], []),
    ],
)  # fmt: skip
def test_values_out_of_range_are_rejected_clipped_nulled_or_flagged(
    action: str | None, rows: Rows, rejected: list[str]
) -> None:
    step = {"type": "range", "column": "x", "minimum": 0, "maximum": 10, "action": action}
    done = steps([{"x": -1}, {"x": 5}, {"x": 11}, {"x": None}], {**step, "flag": "odd"} if action == "flag" else step)
    assert out(done) == rows
    assert [why for _, _, why in reasons(done)] == rejected
    assert counts(done)["range"] == 2


def test_dates_have_a_range_and_texts_have_none() -> None:
    step = {"type": "range", "column": "d", "minimum": "2013-01-02"}
    done = steps([{"d": "2013-01-01"}, {"d": "2013-01-02"}], step, fields=[{"name": "d", "type": "date"}])
    assert reasons(done) == [(1, "range", 'd: "2013-01-01" is below "2013-01-02"')]
    error = refusal({"transform": [{"type": "range", "column": "d", "minimum": 1}]}, [{"d": "x"}])
    assert (
        "the column 'd' holds texts, which have no range at pipeline.yml:transform/0/column; declare its type"
        in str(error)
    )


def test_outliers_are_flagged_rejected_or_nulled_and_few_values_have_none() -> None:
    rows: Rows = [{"x": v} for v in (10, 11, 12, 11, 10, 12, 11, 500, None)]
    flagged = steps(rows, {"type": "outliers", "column": "x", "factor": 3})
    assert [row["x_outlier"] for row in out(flagged)] == [False] * 7 + [True, False]
    rejected = steps(rows, {"type": "outliers", "column": "x", "method": "zscore", "factor": 2, "action": "reject"})
    assert [(row, kind) for row, kind, _ in reasons(rejected)] == [(8, "outliers")]
    nulled = steps(rows, {"type": "outliers", "column": "x", "action": "null"})
    assert [row["x"] for row in out(nulled)] == [10, 11, 12, 11, 10, 12, 11, None, None]
    few = steps([{"x": 1}, {"x": 1}, {"x": 1000}], {"type": "outliers", "column": "x", "action": "reject"})
    assert few.rejected == []


def test_a_column_is_derived_and_rows_are_filtered() -> None:
    rows: Rows = [{"a": 1, "b": 2}, {"a": None, "b": 3}, {"a": 5, "b": None}]
    done = steps(
        rows, {"type": "derive", "column": "c", "expression": "a + b"}, {"type": "filter", "where": "a > 1 or b = 2"}
    )
    assert out(done) == [{"a": 1, "b": 2, "c": 3}, {"a": 5, "b": None, "c": None}]
    assert counts(done) == {"normalize_names": 0, "clean_nulls": 0, "derive": 1, "filter": 1}
    assert done.dropped == 1 and done.rejected == []


def test_a_row_finds_what_another_dataset_has_and_is_never_multiplied() -> None:
    others: dict[str, Rows] = {"o": [{"code": "A", "n": 1, "name": "Ann"}, {"code": "B", "n": 2, "name": None}]}
    rows: Rows = [{"c": "B"}, {"c": "A"}, {"c": "Z"}, {"c": None}, {"c": "A"}]
    step = {"type": "enrich", "dataset": "o", "on": {"c": "code"}, "columns": {"name": "who", "n": "n"}}
    done = steps(rows, step, others=others)
    assert [(row["c"], row["who"], row["n"]) for row in out(done)] == [
        ("B", None, 2), ("A", "Ann", 1), ("Z", None, None), (None, None, None), ("A", "Ann", 1),
    ]  # fmt: skip
    enriched = next(t for t in done.transformations if t["type"] == "enrich")
    assert enriched == {"type": "enrich", "dataset": "o", "rows_affected": 3, "missing": 2}
    rejected = steps(rows, {**step, "missing": "reject"}, others=others)
    assert reasons(rejected) == [(3, "enrich", 'c: "Z" is not in o'), (4, "enrich", "c: null is not in o")]


def test_a_key_that_is_there_twice_is_an_error_or_the_first_counts() -> None:
    others: dict[str, Rows] = {"o": [{"c": 1, "v": "a"}, {"c": 1, "v": "b"}, {"c": 2, "v": "x"}]}
    step = {"type": "enrich", "dataset": "o", "on": "c", "columns": {"v": "v"}}
    error = refusal({"transform": [step]}, [{"c": 1}], others)
    assert str(error) == (
        "the dataset 'o' has 1 row with a repeated key (c 1) at pipeline.yml:transform/0; "
        "make its keys unique, or write 'duplicates: first'"
    )
    assert error.code == 1
    done = steps([{"c": 1.0}, {"c": 2}], {**step, "duplicates": "first"}, others=others)
    assert [row["v"] for row in out(done)] == ["a", "x"]
    assert next(t for t in done.transformations if t["type"] == "enrich")["duplicates"] == 1


def test_keys_of_several_columns_are_matched_as_wholes_dates_among_them() -> None:
    others: dict[str, Rows] = {"w": [{"o": "JFK", "t": 1, "temp": 5.5}, {"o": "LGA", "t": 1, "temp": 6.5}]}
    step = {"type": "enrich", "dataset": "w", "on": ["o", "t"], "columns": {"temp": "temp"}}
    done = steps([{"o": "LGA", "t": 1}, {"o": "JFK", "t": 2}, {"o": None, "t": 1}], step, others=others)
    assert [row["temp"] for row in out(done)] == [6.5, None, None]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"on": ["z"]}, "unknown column 'z' at pipeline.yml:transform/0/on; there is 'a'"),
        ({"on": {"a": "z"}}, "the dataset 'o' has no column 'z' at pipeline.yml:transform/0/columns; there is a, v"),
        ({"columns": {"z": "z"}}, "the dataset 'o' has no column 'z'"),
        ({"columns": {"v": "a"}}, "there is a column 'a' already at pipeline.yml:transform/0/columns; give it another name"),
        ({"dataset": "text"}, "'a' (integer) cannot be compared with 'a' (string) at pipeline.yml:transform/0/on; declare the same type"),
        ({"missing": "drop"}, "unknown missing 'drop' at pipeline.yml:transform/0/missing"),
    ],
)  # fmt: skip
def test_an_enrichment_that_cannot_be_is_refused(step: dict[str, Any], said: str) -> None:
    whole = {"type": "enrich", "dataset": "o", "on": ["a"], "columns": {"v": "v"}, **step}
    others: dict[str, Rows] = {"o": [{"a": 1, "v": 2}], "text": [{"a": "1", "v": 2}]}
    assert said in str(refusal({"transform": [whole]}, others=others))


def test_rows_that_break_a_constraint_are_rejected_at_the_end_or_kept_when_asked() -> None:
    fields = [{"name": "k", "type": "integer"}, {"name": "x", "type": "integer", "constraints": {"minimum": 0}}]
    rows: Rows = [{"k": 1, "x": 1}, {"k": None, "x": 1}, {"k": 3, "x": -1}]
    schema = {"primaryKey": "k"}
    done = steps(rows, fields=fields, schema=schema)
    assert reasons(done) == [
        (2, "constraints", "k: null is part of the primary key"),
        (3, "constraints", "x: -1 is below 0"),
    ]
    assert len(steps(rows, {"type": "constraints", "action": "keep"}, fields=fields, schema=schema).frame) == 3
    nulled = steps(rows, {"type": "constraints", "action": "null"}, fields=fields, schema=schema)
    assert out(nulled) == [{"k": 1, "x": 1}, {"k": 3, "x": None}]
    filled = steps(rows, {"type": "fill_nulls", "columns": {"k": 9}}, fields=fields, schema=schema)
    assert [row["k"] for row in out(filled)] == [1, 9]


def aggregated(by: list[str], measures: dict[str, str], rows: Rows, where: str | None = None) -> Rows:
    aggregate: dict[str, Any] = {"by": by, "measures": measures}
    if where:
        aggregate["where"] = where
    plan = Plan("d", {"from": "base", "aggregate": aggregate}, place)
    return table.to_rows(transform.run(plan, [], lambda name: pd.DataFrame(), base=table.from_rows(rows)).frame)


BASE: Rows = [
    {"c": "B", "x": 1, "f": 1.5, "b": True, "s": "q"},
    {"c": "A", "x": 4, "f": 2.5, "b": False, "s": "p"},
    {"c": None, "x": 9, "f": None, "b": True, "s": None},
    {"c": "B", "x": None, "f": 4.5, "b": None, "s": "p"},
    {"c": "B", "x": 3, "f": None, "b": True, "s": "p"},
]


def test_groups_are_in_the_order_of_their_keys_and_null_is_a_group() -> None:
    measures = {
        "n": "count", "nx": "count(x)", "total": "sum(x)", "yes": "sum(b)", "mean": "mean(f)", "low": "min(s)", "high": "max(x)",
        "mid": "median(x)", "p95": "p95(x)", "kinds": "nunique(s)", "late": "sum(if(x > 2, 1, 0))", "sd": "std(x)",
    }  # fmt: skip
    rows = aggregated(["c"], measures, BASE)
    assert [row["c"] for row in rows] == ["A", "B", None]
    assert rows[1] == {
        "c": "B", "n": 3, "nx": 2, "total": 4, "yes": 2, "mean": 3.0, "low": "p", "high": 3, "mid": 2.0, "p95": 2.9, "kinds": 2, "late": 1, "sd": 1.0,
    }  # fmt: skip
    assert rows[2] == {
        "c": None, "n": 1, "nx": 1, "total": 9, "yes": 1, "mean": None, "low": None, "high": 9, "mid": 9.0, "p95": 9.0, "kinds": 0, "late": 1, "sd": 0.0,
    }  # fmt: skip
    assert [type(v) for v in rows[1].values()] == [
        str,
        int,
        int,
        int,
        int,
        float,
        str,
        int,
        float,
        float,
        int,
        int,
        float,
    ]


def test_an_aggregate_of_nothing_is_nothing_and_one_without_groups_is_one_row() -> None:
    assert aggregated(["c"], {"n": "count", "m": "mean(x)"}, []) == []
    assert aggregated([], {"n": "count", "m": "max(x)"}, BASE) == [{"n": 5, "m": 9}]
    assert aggregated(["c"], {"n": "count"}, BASE, "x > 3") == [{"c": "A", "n": 1}, {"c": None, "n": 1}]


@pytest.mark.parametrize(
    ("by", "measure", "said"),
    [
        ("z", "count", "unknown column 'z' at pipeline.yml:aggregate/by"),
        ("c", "avg(x)", "unknown measure 'avg' at pipeline.yml:aggregate/measures/m"),
        ("c", "sum", "'sum' needs a column: sum(…)"),
        ("c", "sum(s)", "sum cannot be taken of string values (position 1 of 's')"),
        ("c", "sum(zz)", "unknown column 'zz' (position 1 of 'zz')"),
        ("c", "sum(x", "'sum(x' is not a measure"),
        ("m", "count", "'m' is a measure and a group"),
    ],
)  # fmt: skip
def test_an_aggregation_that_cannot_be_is_refused(by: str, measure: str, said: str) -> None:
    with pytest.raises(ColonyError) as caught:
        aggregated([by], {"m": measure}, BASE)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"type": "rnage"}, "unknown transformation 'rnage' at pipeline.yml:transform/0/type; did you mean 'range'"),
        ({"type": "range", "column": "a"}, "the transformation 'range' needs 'minimum' or 'maximum' at pipeline.yml:transform/0"),
        ({"type": "range", "minimum": 1}, "the transformation 'range' needs 'column'"),
        ({"type": "range", "column": "a", "minimum": 1, "keep": "first"}, "unknown key of the transformation 'range' 'keep'"),
        ({"type": "range", "column": "a", "minimum": 1, "action": "drop"}, "unknown action 'drop' at pipeline.yml:transform/0/action"),
        ({"type": "range", "column": "a", "minimum": "x"}, 'minimum: "x" is not an integer at pipeline.yml:transform/0/minimum'),
        ({"type": "derive", "column": "b", "expression": "a +"}, "pipeline.yml:transform/0/expression"),
        ({"type": "filter", "where": "a + 1"}, "the expression gives an integer, not true or false"),
        ({"type": "filter", "where": "aa"}, "unknown column 'aa'"),
        ({"type": "drop_nulls"}, "the transformation 'drop_nulls' needs 'columns'"),
        ({"type": "drop_duplicates", "key": "primaryKey"}, "there is no primaryKey in the schema"),
        ({"type": "dates", "columns": {"a": "%Q"}}, "'%Q' in the format '%Q' is not supported"),
        ({"type": "rename", "columns": {"a": 1}}, "'columns' of rename is {old name: new name}"),
        ({"no": "type"}, "a transformation needs a type at pipeline.yml:transform/0"),
    ],
)  # fmt: skip
def test_a_wrong_transformation_is_refused_with_its_place(step: dict[str, Any], said: str) -> None:
    error = refusal({"transform": [step]})
    assert said in str(error)
    assert error.code == 2


def test_every_transformation_is_documented_and_in_the_schema_of_pipeline_yml() -> None:
    schema = json.loads((REPOSITORY / "schemas" / "pipeline.schema.json").read_text())["$defs"]["transformation"]
    for name, kind in REGISTRY.items():
        assert (kind.make.__doc__ or "").strip(), name
        assert name in schema["properties"]["type"]["enum"]
        assert set(kind.keys) <= set(schema["properties"]), name


def test_the_same_rows_make_the_same_bytes() -> None:
    rows: Rows = [{"c": str(i % 7), "x": i / 3, "t": f"2013-01-{i % 28 + 1:02d}"} for i in range(500)]
    description = {
        "schema": {"fields": [{"name": "t", "type": "date"}]},
        "transform": [{"type": "derive", "column": "y", "expression": "x * 2"}, {"type": "outliers", "column": "x"}],
    }
    first, second = (json.dumps(out(run(description, rows))) for _ in range(2))
    assert first == second
