"""Table Schema: types, formats, constraints and keys, over whole columns, with an error for each cell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import constraints, table, tableschema, times
from colony_lib.data.tableschema import Field, Schema


def field(**descriptor: Any) -> Field:
    return tableschema.read({"fields": [{"name": "x", **descriptor}]}).fields["x"]


def cast(values: list[Any], lexical: bool = True, **descriptor: Any) -> tuple[list[Any], list[str]]:
    """The values as the field's type, and the reasons of those that are not of it."""
    column, problem = tableschema.cast(table.infer(values), field(**descriptor), lexical=lexical)
    reasons = [problem.reason(i, values[i]) for i in range(len(values)) if problem.rows[i]] if problem else []
    return table.values(column), reasons


@pytest.mark.parametrize(
    ("descriptor", "given", "values"),
    [
        ({"type": "integer"}, ["1", "-2", "+3", None, 4, 5.0], [1, -2, 3, None, 4, 5]),
        ({"type": "integer", "groupChar": ","}, ["1,000"], [1000]),
        ({"type": "integer", "bareNumber": False}, ["95%", "$ 12"], [95, 12]),
        ({"type": "number"}, ["1", "1.5", "-.5", "1e3", 2, 2.5, None], [1.0, 1.5, -0.5, 1000.0, 2.0, 2.5, None]),
        ({"type": "number", "decimalChar": ",", "groupChar": "."}, ["1.234,5"], [1234.5]),
        ({"type": "number", "bareNumber": False}, ["€95.5", "95.5 EUR", "-$1"], [95.5, 95.5, -1.0]),
        ({"type": "boolean"}, ["true", "False", "1", "0", True, 1, 0], [True, False, True, False, True, True, False]),
        ({"type": "boolean", "trueValues": ["yes"], "falseValues": ["no"]}, ["yes", "no"], [True, False]),
        ({"type": "string"}, ["a", 5, 2.0, 2.5, True], ["a", "5", "2", "2.5", "true"]),
        ({"type": "string", "format": "email"}, ["a@b.cd"], ["a@b.cd"]),
        ({"type": "string", "format": "uri"}, ["http://x/y"], ["http://x/y"]),
        ({"type": "string", "format": "uuid"}, ["95ecc380-afe9-11e4-9b6c-751b66dd541e"], ["95ecc380-afe9-11e4-9b6c-751b66dd541e"]),
        ({"type": "string", "format": "binary"}, ["aGk="], ["aGk="]),
        ({"type": "date"}, ["2013-01-15", None], ["2013-01-15", None]),
        ({"type": "date", "format": "%m/%d/%Y"}, ["01/15/2013"], ["2013-01-15"]),
        ({"type": "date", "format": "%d.%m.%y"}, ["15.01.13"], ["2013-01-15"]),
        ({"type": "date", "format": "%Y%j"}, ["2013015"], ["2013-01-15"]),
        ({"type": "date", "format": "any"}, ["20130115", "2013/1/5", "15 Jan 2013", "January 15, 2013", "Tue, 15 Jan 2013"],
         ["2013-01-15", "2013-01-05", "2013-01-15", "2013-01-15", "2013-01-15"]),
        ({"type": "datetime"}, ["2013-01-15T05:00:00Z", "2013-01-15T05:00:00+02:00", "2013-01-15T05:00:00.25"],
         ["2013-01-15T05:00:00Z", "2013-01-15T03:00:00Z", "2013-01-15T05:00:00.250Z"]),
        ({"type": "datetime", "format": "any"}, ["2013-01-15 05:00", "Tue, 15 Jan 2013 05:00:00 GMT", "20130115T050000Z"],
         ["2013-01-15T05:00:00Z"] * 3),
        ({"type": "datetime", "format": "%d/%m/%Y %H:%M"}, ["15/01/2013 05:00"], ["2013-01-15T05:00:00Z"]),
        ({"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"}, ["2013-01-15T05:00:00-0500"], ["2013-01-15T10:00:00Z"]),
        ({"type": "datetime", "format": "epoch_seconds"}, [1358226000, "1358226000.5"], ["2013-01-15T05:00:00Z", "2013-01-15T05:00:00.500Z"]),
        ({"type": "datetime", "format": "epoch_milliseconds"}, [1358226000001], ["2013-01-15T05:00:00.001Z"]),
        ({"type": "time"}, ["05:00:00", "05:00:00.5"], ["05:00:00", "05:00:00.500000"]),
        ({"type": "time", "format": "%I:%M %p"}, ["5:30 PM"], ["17:30:00"]),
        ({"type": "year"}, ["2013", 2013], [2013, 2013]),
        ({"type": "yearmonth"}, ["2013-01"], ["2013-01"]),
        ({"type": "duration"}, ["P1Y2M3DT10H30M45S"], ["P1Y2M3DT10H30M45S"]),
        ({"type": "object"}, [{"a": 1}, '{"b": 2}'], [{"a": 1}, {"b": 2}]),
        ({"type": "array"}, [[1, 2], "[3]"], [[1, 2], [3]]),
        ({"type": "list"}, ["a,b", ["c"]], [["a", "b"], ["c"]]),
        ({"type": "geopoint"}, ["90.50, 45.50"], ["90.50, 45.50"]),
        ({"type": "any"}, [1, "a", None], [1, "a", None]),
    ],
)  # fmt: skip
def test_a_value_of_the_type_is_read(descriptor: dict[str, Any], given: list[Any], values: list[Any]) -> None:
    assert cast(given, **descriptor) == (values, [])
    assert [type(v) for v in cast(given, **descriptor)[0]] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("descriptor", "value", "reason"),
    [
        ({"type": "integer"}, "1.5", 'x: "1.5" is not an integer'),
        ({"type": "integer"}, 1.5, "x: 1.5 is not an integer"),
        ({"type": "integer"}, "", 'x: "" is not an integer'),
        ({"type": "integer"}, "9" * 19, 'x: "9999999999999999999" does not fit in 64 bits; declare it string'),
        ({"type": "integer"}, 2**63, "x: 9223372036854775808 does not fit in 64 bits; declare it string"),
        ({"type": "integer"}, "٣", 'x: "٣" is not an integer'),
        ({"type": "integer"}, True, "x: true is not an integer"),
        ({"type": "number"}, "abc", 'x: "abc" is not a number'),
        ({"type": "number"}, "NaN", 'x: "NaN" is not a finite number, which JSON and SQL want; name it in missingValues'),
        ({"type": "number"}, "1_000", 'x: "1_000" is not a number'),
        ({"type": "number"}, " 1", 'x: " 1" is not a number'),
        ({"type": "number"}, "1e999", 'x: "1e999" is too large for a number'),
        ({"type": "number"}, 2**53 + 1, "x: 9007199254740993 has more digits than a number can hold; declare it integer or string"),
        ({"type": "number"}, [1], "x: [1] is not a number"),
        ({"type": "boolean"}, "yes", 'x: "yes" is not a boolean'),
        ({"type": "string"}, {"a": 1}, 'x: {"a":1} is not a text'),
        ({"type": "string", "format": "email"}, "a@b", 'x: "a@b" is not an email address'),
        ({"type": "string", "format": "uuid"}, "1-2", 'x: "1-2" is not a UUID'),
        ({"type": "string", "format": "uri"}, "no uri", 'x: "no uri" is not a URI'),
        ({"type": "string", "format": "binary"}, "?", 'x: "?" is not base64'),
        ({"type": "date"}, "2013-02-30", 'x: "2013-02-30" is not an ISO 8601 date'),
        ({"type": "date"}, "01/02/2013", 'x: "01/02/2013" is not an ISO 8601 date; declare its format, such as %m/%d/%Y'),
        ({"type": "date", "format": "any"}, "01/02/2013", 'x: "01/02/2013" is not an ISO 8601 date; declare its format, such as %m/%d/%Y'),
        ({"type": "date", "format": "any"}, "2013-01-15T05:00:00Z", 'x: "2013-01-15T05:00:00Z" is not an ISO 8601 date'),
        ({"type": "date", "format": "%m/%d/%Y"}, "15/01/2013", 'x: "15/01/2013" is not a date written as %m/%d/%Y'),
        ({"type": "datetime"}, 1358226000, "x: 1358226000 is not an ISO 8601 datetime; declare its format, such as epoch_seconds"),
        ({"type": "datetime"}, "2013-01-15 05:00", 'x: "2013-01-15 05:00" is not an ISO 8601 datetime'),
        ({"type": "datetime"}, "2013-01-15T25:00:00Z", 'x: "2013-01-15T25:00:00Z" is not an ISO 8601 datetime'),
        ({"type": "datetime", "format": "epoch_seconds"}, "9" * 17, 'x: "99999999999999999" is not a datetime written as epoch_seconds'),
        ({"type": "time"}, "24:00:01", 'x: "24:00:01" is not a time of day'),
        ({"type": "year"}, "13", 'x: "13" is not a year'),
        ({"type": "yearmonth"}, "2013-13", 'x: "2013-13" is not a year and month such as 2013-01'),
        ({"type": "duration"}, "1 day", 'x: "1 day" is not an ISO 8601 duration such as P1DT2H'),
        ({"type": "object"}, "[1]", 'x: "[1]" is not a JSON object'),
        ({"type": "array"}, {"a": 1}, 'x: {"a":1} is not an array'),
        ({"type": "geopoint"}, "200, 1", "x: \"200, 1\" is not a point on Earth such as '-73.78, 40.64' (longitude, latitude)"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_of_the_type_is_null_and_says_why(
    descriptor: dict[str, Any], value: Any, reason: str
) -> None:
    assert cast([value], **descriptor) == ([None], [reason])


def test_one_wrong_cell_leaves_the_others_as_they_are() -> None:
    assert cast(["1", "x", None, "3"], type="integer") == ([1, None, None, 3], ['x: "x" is not an integer'])
    assert cast([1, True, 1.0, "1"], type="number") == ([1.0, None, 1.0, 1.0], ["x: true is not a number"])


def test_integers_beyond_the_reach_of_floats_stay_exact() -> None:
    large = [2**53 + 1, None, 2**63 - 1, -(2**63)]
    assert cast(large, type="integer") == (large, [])
    assert cast([str(v) if v is not None else None for v in large], type="integer") == (large, [])


def test_without_lexical_reading_a_text_is_no_number_but_still_a_date() -> None:
    assert cast(["1"], lexical=False, type="integer") == ([None], ['x: "1" is a text, not an integer'])
    assert cast(["true"], lexical=False, type="boolean") == ([None], ['x: "true" is a text, not a boolean'])
    assert cast([5], lexical=False, type="string") == ([None], ["x: 5 is not a text"])
    assert cast(["2013-01-15"], lexical=False, type="date") == (["2013-01-15"], [])


def test_a_text_that_two_declared_formats_read_differently_is_refused() -> None:
    moments, reasons = times.parse(["01/02/2013", "01/15/2013", "02/02/2013"], "date", ["%m/%d/%Y", "%d/%m/%Y"])
    assert [str(m)[:10] for m in moments] == ["NaT", "2013-01-15", "2013-02-02"]
    assert reasons == {0: "is ambiguous: %m/%d/%Y and %d/%m/%Y read it differently"}


def test_a_wall_clock_time_is_read_in_its_zone_and_refused_where_the_clocks_change() -> None:
    texts = ["2013-03-10T02:30:00", "2013-11-03T01:30:00", "2013-07-01T00:00:00", "2013-07-01T00:00:00Z"]
    moments, reasons = times.parse(texts, "datetime", ["default"], "America/New_York")
    assert [str(m)[:19] for m in moments] == ["NaT", "NaT", "2013-07-01T04:00:00", "2013-07-01T00:00:00"]
    assert set(reasons) == {0, 1} and "where the clocks change" in reasons[0]


def broken(values: list[Any], schema: dict[str, Any] | None = None, **descriptor: Any) -> list[str]:
    made = tableschema.read({"fields": [{"name": "x", **descriptor}], **(schema or {})})
    column, problem = tableschema.cast(table.infer(values), made.fields["x"])
    assert problem is None
    found = constraints.broken(made, made.fields["x"], column)
    return [f"{i}: {p.reason(i, values[i])}" for p in found for i in range(len(values)) if p.rows[i]]


@pytest.mark.parametrize(
    ("type", "limits", "given", "reasons"),
    [
        ("integer", {"required": True}, [1, None], ["1: x: null is required"]),
        ("integer", {"required": False}, [1, None], []),
        ("integer", {"unique": True}, [1, 2, 1, None, None], ["2: x: 1 is not unique"]),
        ("any", {"unique": True}, [1, "1", True, [1], [1]], ["4: x: [1] is not unique"]),
        ("integer", {"minimum": 2, "maximum": 3}, [1, 2, 3, 4, None], ["0: x: 1 is below 2", "3: x: 4 is above 3"]),
        ("number", {"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1, 1.5, 2], ["0: x: 1 is not above 1.0", "2: x: 2 is not below 2.0"]),
        ("date", {"minimum": "2013-01-02"}, ["2013-01-01", "2013-01-02"], ['0: x: "2013-01-01" is below "2013-01-02"']),
        ("datetime", {"maximum": "2013-01-02T00:00:00Z"}, ["2013-01-02T01:00:00+01:00", "2013-01-02T00:00:01Z"],
         ['1: x: "2013-01-02T00:00:01Z" is above "2013-01-02T00:00:00Z"']),
        ("time", {"minimum": "06:00:00"}, ["05:59:59", "06:00:00"], ['0: x: "05:59:59" is below "06:00:00"']),
        ("year", {"minimum": 2000}, [1999, 2000], ["0: x: 1999 is below 2000"]),
        ("yearmonth", {"maximum": "2013-06"}, ["2013-07"], ['0: x: "2013-07" is above "2013-06"']),
        ("duration", {"minimum": "P1D"}, ["PT23H", "PT24H", None], ['0: x: "PT23H" is below 86400.0']),
        ("string", {"minLength": 2, "maxLength": 3}, ["a", "ab", "abcd", None], ['0: x: "a" is shorter than 2', '2: x: "abcd" is longer than 3']),
        ("array", {"minLength": 1}, [[], [1]], ["0: x: [] is shorter than 1"]),
        ("string", {"pattern": "[A-Z]{2}"}, ["AB", "ABC", "ab", None], ['1: x: "ABC" does not match [A-Z]{2}', '2: x: "ab" does not match [A-Z]{2}']),
        ("string", {"enum": ["a", "b"]}, ["a", "c", None], ['1: x: "c" is not one of "a", "b"']),
        ("integer", {"enum": [1, 2]}, [1, 3], ["1: x: 3 is not one of 1, 2"]),
        ("date", {"enum": ["2013-01-01"]}, ["2013-01-01", "2013-01-02"], ['1: x: "2013-01-02" is not one of "2013-01-01"']),
        ("boolean", {"enum": [True]}, [True, False], ["1: x: false is not one of true"]),
    ],
)  # fmt: skip
def test_a_constraint_points_at_the_cells_that_break_it(
    type: str, limits: dict[str, Any], given: list[Any], reasons: list[str]
) -> None:
    assert broken(given, type=type, constraints=limits) == reasons


def test_a_null_in_the_primary_key_is_an_error_without_being_declared_required() -> None:
    assert broken([1, None], {"primaryKey": "x"}, type="integer") == ["1: x: null is part of the primary key"]


def test_limits_may_be_written_as_the_field_or_as_iso() -> None:
    for limit in ("01/02/2013", "2013-01-02"):
        made = field(type="date", format="%m/%d/%Y", constraints={"minimum": limit})
        assert str(made.constraints["minimum"]) == "2013-01-02T00:00:00"


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [
        ({"fields": [{"name": "x", "type": "strnig"}]}, "unknown field type 'strnig' at f.yml:fields/0/type; did you mean 'string'?"),
        ({"fields": [{"name": "x", "type": "string", "format": "mail"}]}, "unknown string format 'mail' at f.yml:fields/0/format; did you mean 'email'?"),
        ({"fields": [{"name": "x", "type": "date", "format": "%Y"}]}, "the format '%Y' does not give a year, a month and a day"),
        ({"fields": [{"name": "x", "type": "date", "format": "%Q"}]}, "'%Q' in the format '%Q' is not supported"),
        ({"fields": [{"name": "x", "type": "date", "format": "epoch_seconds"}]}, "'epoch_seconds' is not a format for a date"),
        ({"fields": [{"name": "x", "type": "datetime", "format": "%m/%d/%Y %Z"}]}, "'%Z' in the format"),
        ({"fields": [{"name": "x", "constraints": {"minium": 1}, "type": "integer"}]}, "unknown integer constraint 'minium'"),
        ({"fields": [{"name": "x", "constraints": {"pattern": "a"}, "type": "integer"}]}, "unknown integer constraint 'pattern'"),
        ({"fields": [{"name": "x", "constraints": {"pattern": "("}, "type": "string"}]}, "'(' is not a regular expression"),
        ({"fields": [{"name": "x", "constraints": {"minimum": "a"}, "type": "integer"}]}, 'minimum'),
        ({"fields": [{"name": "x", "constraints": {"minimum": 3, "maximum": 2}, "type": "integer"}]}, "the minimum is above the maximum"),
        ({"fields": [{"name": "x", "constraints": {"required": "yes"}}]}, "'required' is true or false, not yes"),
        ({"fields": [{"name": "x", "constraints": {"minLength": -1}, "type": "string"}]}, "'minLength' is a whole number from 0 on"),
        ({"fields": [{"name": "x", "constraints": {"enum": []}}]}, "'enum' is a list of values"),
        ({"fields": [{"name": "x"}, {"name": "x"}]}, "two fields are named 'x' at f.yml:fields/1"),
        ({"fields": [{"type": "string"}]}, "a field needs a name at f.yml:fields/0"),
        ({"fields": [{"name": "x"}], "primaryKey": "y"}, "unknown field 'y' at f.yml:primaryKey; there is 'x'"),
        ({"fields": [{"name": "x"}], "primarykey": "x"}, "unknown key 'primarykey' in the schema at f.yml:primarykey; did you mean 'primaryKey'?"),
        ({"fields": [{"name": "x"}], "foreignKeys": [{"fields": "x", "reference": {"resource": "o", "fields": ["a", "b"]}}]},
         "a foreign key needs as many fields as its reference has at f.yml:foreignKeys/0"),
    ],
)  # fmt: skip
def test_a_wrong_schema_is_refused_with_its_place(descriptor: dict[str, Any], said: str) -> None:
    with pytest.raises(ColonyError) as caught:
        tableschema.read(descriptor, where=lambda *keys: "f.yml:" + "/".join(map(str, keys)))
    assert said in str(caught.value)
    assert caught.value.code == 2


def test_missing_values_become_null_and_nothing_else_does() -> None:
    column = table.infer(["NA", "", "N/A", 0, None, False])
    assert table.values(tableschema.blank(column, ["", "NA"])) == [None, None, "N/A", 0, None, False]
    assert table.values(tableschema.blank(table.infer(["0", "1"]), ["0"])) == [None, "1"]


def test_the_standards_own_example_of_a_schema_is_read() -> None:
    descriptor = json.loads("""{
      "fields": [
        {"name": "id", "title": "A nicer human readable label", "type": "integer", "constraints": {"required": true}},
        {"name": "name", "type": "string", "format": "default", "rdfType": "http://schema.org/Thing", "example": "Ann"},
        {"name": "state-code", "type": "string"}
      ],
      "missingValues": ["-", "NaN", ""],
      "primaryKey": ["id"],
      "uniqueKeys": [["name", "state-code"]],
      "foreignKeys": [
        {"fields": ["state-code"], "reference": {"resource": "state-codes", "fields": ["code"]}},
        {"fields": "id", "reference": {"resource": "", "fields": "id"}}
      ],
      "fieldsMatch": ["subset"]
    }""")
    schema = tableschema.read(descriptor)
    assert list(schema.fields) == ["id", "name", "state-code"]
    assert schema.missing == ["-", "NaN", ""]
    assert schema.primary_key == ["id"] and schema.required() == ["id"]
    assert schema.unique_keys == [["name", "state-code"]] and schema.fields_match == "subset"
    assert [(k.fields, k.resource, k.reference_fields) for k in schema.foreign_keys] == [
        (["state-code"], "state-codes", ["code"]),
        (["id"], "", ["id"]),
    ]


def test_rows_go_into_a_frame_and_come_back_exactly() -> None:
    rows: list[dict[str, Any]] = [
        {
            "i": 2**53 + 1,
            "f": 0.1,
            "b": True,
            "s": "NaN",
            "l": [1, [2]],
            "o": {"a": None},
            "big": 2**70,
            "mix": 1,
            "n": None,
        },
        {"i": None, "f": None, "b": None, "s": None, "l": None, "o": None, "big": None, "mix": "1", "n": None},
        {"i": -1, "f": 1e300, "b": False, "s": "", "l": [], "o": {}, "big": 1, "mix": True, "n": None},
    ]
    back = table.to_rows(table.from_rows(rows))
    assert back == rows
    assert [[type(v) for v in row.values()] for row in back] == [[type(v) for v in row.values()] for row in rows]


def test_rows_with_other_keys_get_nulls_and_no_rows_are_a_frame_too() -> None:
    assert table.to_rows(table.from_rows([{"a": 1}, {"b": "x"}])) == [{"a": 1, "b": None}, {"a": None, "b": "x"}]
    assert table.to_rows(table.from_rows([])) == []
    assert table.to_rows(table.from_rows([{}, {}])) == [{}, {}]


def test_equal_values_have_equal_codes_and_different_types_have_not() -> None:
    frame = table.from_rows([{"a": v, "b": "x"} for v in (1, "1", True, 1.0, None, None, [1], [1])])
    codes = table.codes(frame, ["a", "b"]).tolist()
    assert codes[4] == codes[5] and codes[6] == codes[7]
    assert len(set(codes)) == 6


def test_the_canonical_schema_reads_our_own_form() -> None:
    schema = tableschema.read(
        {"fields": [{"name": "d", "type": "date", "format": "%m/%d/%Y"}], "missingValues": ["NA"]}
    )
    own = schema.canonical()
    column, problem = tableschema.cast(table.infer(["2013-01-15"]), own.fields["d"], lexical=False)
    assert problem is None and table.values(column) == ["2013-01-15"]
    assert own.missing == [] and isinstance(own, Schema)
