"""Table Schema against the examples that its public specification (datapackage.org/standard/table-schema) gives itself.

Each case is a value or a descriptor of the specification's text, with what the text says of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import table, tableschema, validate
from colony_lib.store import schema as schemas

Rows = list[dict[str, Any]]


def read(text: Any, **descriptor: Any) -> Any:
    """The logical value of a physical one; ValueError with the reason when it has none."""
    field = tableschema.read({"fields": [{"name": "x", **descriptor}]}).fields["x"]
    column, problem = tableschema.cast(table.infer([text]), field)
    if problem is not None:
        raise ValueError(problem.words(0, text))
    return table.values(column)[0]


def report(rows: Rows, schema: dict[str, Any], others: dict[str, Rows] | None = None) -> dict[str, Any]:
    expected = validate.expectations({"schema": schema}, lambda *keys: None)
    frames = {name: table.from_rows(other) for name, other in (others or {}).items()}
    return validate.validate(rows, expected, frames.__getitem__)


def errors(rows: Rows, schema: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(e["column"], e["rule"], e["count"]) for e in report(rows, schema)["errors"]]


NUMBERS = [("-1.23", -1.23), ("12678967.543233", 12678967.543233), ("+100000.00", 100000.0), ("210", 210.0)]


@pytest.mark.parametrize(
    ("descriptor", "text", "value"),
    [
        *[({"type": "number"}, text, value) for text, value in NUMBERS],
        ({"type": "number"}, "1E+2", 100.0), ({"type": "number"}, "1e-2", 0.01), ({"type": "number"}, "01.50", 1.5),
        ({"type": "number", "groupChar": ","}, "100,000", 100000.0),
        ({"type": "number", "groupChar": ".", "decimalChar": ","}, "1.000,5", 1000.5),
        ({"type": "number", "groupChar": "' ", "decimalChar": "::"}, "1' 000::5", 1000.5),  # strings, not characters
        ({"type": "number", "bareNumber": False}, "95%", 95.0), ({"type": "number", "bareNumber": False}, "€95", 95.0),
        ({"type": "number", "bareNumber": False}, "EUR 95", 95.0),
        ({"type": "integer"}, "-7", -7), ({"type": "integer", "groupChar": ","}, "100,000", 100000),
        ({"type": "integer", "bareNumber": False}, "95%", 95), ({"type": "integer", "bareNumber": False}, "EUR 95", 95),
        *[({"type": "boolean"}, text, True) for text in ("true", "True", "TRUE", "1")],
        *[({"type": "boolean"}, text, False) for text in ("false", "False", "FALSE", "0")],
        ({"type": "boolean", "trueValues": ["ja"], "falseValues": ["nein"]}, "nein", False),
        ({"type": "object"}, '{"a": 1}', {"a": 1}), ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "list"}, "value1,value2", ["value1", "value2"]),
        ({"type": "list", "delimiter": ";", "itemType": "integer"}, "1;2", [1, 2]),
        ({"type": "list", "itemType": "number"}, "1,2.5", [1.0, 2.5]),
        ({"type": "list", "itemType": "boolean"}, "true,0", [True, False]),
        ({"type": "list", "itemType": "date"}, "2024-01-26,2024-01-27", ["2024-01-26", "2024-01-27"]),
        ({"type": "list", "itemType": "time"}, "15:00:00", ["15:00:00"]),
        ({"type": "list", "itemType": "datetime"}, "2024-01-26T15:00:00Z", ["2024-01-26T15:00:00Z"]),
        ({"type": "datetime"}, "2024-01-26T15:00:00", "2024-01-26T15:00:00Z"),
        ({"type": "datetime"}, "2024-01-26T15:00:00.300-05:00", "2024-01-26T20:00:00.300Z"),
        ({"type": "datetime", "format": "%d/%m/%Y %H:%M:%S"}, "12/11/2018 09:15:32", "2018-11-12T09:15:32Z"),
        ({"type": "datetime", "format": "fmt:%d/%m/%Y %H:%M:%S"}, "12/11/2018 09:15:32", "2018-11-12T09:15:32Z"),
        ({"type": "date"}, "2024-01-26", "2024-01-26"), ({"type": "date", "format": "fmt:%d.%m.%Y"}, "26.01.2024", "2024-01-26"),
        ({"type": "time"}, "15:00:00", "15:00:00"), ({"type": "time", "format": "%H.%M"}, "15.00", "15:00:00"),
        ({"type": "year"}, "2024", 2024), ({"type": "yearmonth"}, "2024-01", "2024-01"),
        ({"type": "duration"}, "P1Y2M3DT10H30M45.5S", "P1Y2M3DT10H30M45.5S"), ({"type": "duration"}, "PT36H", "PT36H"),
        ({"type": "geopoint"}, "90.50, 45.50", "90.50, 45.50"), ({"type": "geopoint"}, "90.50,45.50", "90.50,45.50"),
        ({"type": "geopoint", "format": "array"}, "[90.50, 45.50]", "[90.50, 45.50]"),
        ({"type": "geopoint", "format": "object"}, '{"lon": 90.50, "lat": 45.50}', '{"lon": 90.50, "lat": 45.50}'),
        ({"type": "geojson"}, '{"type": "Point", "coordinates": [1, 2]}', {"type": "Point", "coordinates": [1, 2]}),
        ({"type": "geojson", "format": "topojson"}, '{"type": "Topology", "objects": {}, "arcs": []}',
         {"type": "Topology", "objects": {}, "arcs": []}),
        ({"type": "string", "format": "email"}, "a.b@example.org", "a.b@example.org"),
        ({"type": "string", "format": "uri"}, "https://example.org/a?b#c", "https://example.org/a?b#c"),
        ({"type": "string", "format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ({"type": "string", "format": "binary"}, "aGVsbG8=", "aGVsbG8="),
        ({}, "1", "1"), ({}, 1, 1), ({"type": "any"}, {"a": [1]}, {"a": [1]}),  # any: as it is in the source
    ],
)  # fmt: skip
def test_what_the_specification_writes_is_read(descriptor: dict[str, Any], text: Any, value: Any) -> None:
    found = read(text, **descriptor)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("descriptor", "text"),
    [
        ({"type": "number"}, "100,000"), ({"type": "number"}, "95%"), ({"type": "number"}, ""),
        ({"type": "number"}, "1.2.3"), ({"type": "number", "decimalChar": ","}, "1.5"), ({"type": "integer"}, "1.5"),
        ({"type": "boolean"}, "yes"), ({"type": "boolean", "trueValues": ["ja"]}, "true"), ({"type": "object"}, "[1]"),
        ({"type": "array"}, '{"a": 1}'), ({"type": "list", "itemType": "integer"}, "1,b"),
        ({"type": "datetime"}, "2024-01-26"), ({"type": "date"}, "26/01/2024"), ({"type": "time"}, "3 pm"),
        ({"type": "time"}, "25:00:00"), ({"type": "year"}, "24"), ({"type": "yearmonth"}, "2024-13"),
        ({"type": "duration"}, "P"), ({"type": "duration"}, "1 day"), ({"type": "geopoint"}, "190, 45"),
        ({"type": "geopoint", "format": "array"}, "[1, 2, 3]"), ({"type": "geojson"}, "{}"),
        ({"type": "string", "format": "email"}, "nobody"), ({"type": "string", "format": "uuid"}, "123"),
        ({"type": "string", "format": "uri"}, "no uri"), ({"type": "string", "format": "binary"}, "a"),
        # Permitted by the specification; what is loaded into a warehouse is finite.
        ({"type": "number"}, "NaN"), ({"type": "number"}, "INF"), ({"type": "number"}, "-inf"),
    ],
)  # fmt: skip
def test_what_it_does_not_allow_is_not(descriptor: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is no|has an item"):
        read(text, **descriptor)


def test_missing_values_of_a_field_replace_those_of_the_schema() -> None:
    schema = {
        "fields": [{"name": "column1"}, {"name": "column2", "missingValues": ["-"]}],
        "missingValues": ["", "NA"],
    }
    texts = ["", "NA", "-"]
    rows = [{"column1": text, "column2": text} for text in texts]
    found = report(rows, schema)["statistics"]
    assert (found["nulls:column1"], found["nulls:column2"]) == (0.666667, 0.333333)


@pytest.mark.parametrize(
    ("missing", "nulls"),
    [
        ([""], [""]), (["-"], ["-"]), (["NaN", "-"], ["-", "NaN"]), ([], []),
        ([{"value": "", "label": "OMITTED"}, {"value": "-99", "label": "REFUSED"}], ["", "-99"]),
    ],
)  # fmt: skip
def test_the_examples_of_missing_values(missing: list[Any], nulls: list[str]) -> None:
    texts = ["", "-", "NaN", "-99", "0"]
    schema = tableschema.read({"fields": [{"name": "x", "type": "string"}], "missingValues": missing})
    column = tableschema.blank(table.infer(texts), schema.missing)
    assert [text for text, value in zip(texts, table.values(column), strict=True) if value is None] == nulls


def test_a_primary_key_may_not_be_null_nor_come_twice() -> None:
    schema = {"fields": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "primaryKey": ["a", "c"]}
    assert report([{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 2}], schema)["status"] == "PASS"
    assert errors([{"a": None, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 2}], schema) == [("a", "required", 1)]
    twice = report([{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 1}], schema)
    assert [c["name"] for c in twice["checks"] if not c["passed"]] == ["duplicates"]
    assert tableschema.read({"fields": [{"name": "a"}], "primaryKey": "a"}).primary_key == [
        "a"
    ]  # as version 1 wrote it


def test_the_example_of_unique_keys() -> None:
    schema = {"fields": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "uniqueKeys": [["a"], ["a", "b"], ["a", "c"]]}
    assert errors([{"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}], schema) == []
    assert errors([{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 1}], schema) == [
        ("a", "unique", 1),
        ("a", "unique", 1),
    ]
    # Null values are left out of the comparison, as in SQL.
    assert errors([{"a": None, "b": 1, "c": 1}, {"a": None, "b": 1, "c": 2}], schema) == []


def test_the_examples_of_foreign_keys() -> None:
    key = {"fields": ["state-code"], "reference": {"resource": "state-codes", "fields": ["code"]}}
    schema = {"fields": [{"name": "state-code"}], "foreignKeys": [key]}
    rows = [{"state-code": "NY"}, {"state-code": "??"}, {"state-code": None}]
    found = report(rows, schema, {"state-codes": [{"code": "NY"}]})
    check = next(c for c in found["checks"] if c["name"] == "referential_integrity:state-code")
    assert (check["passed"], check["value"]) == (False, 0.333333)


@pytest.mark.parametrize("reference", [{"fields": ["id"]}, {"fields": "id"}, {"resource": "", "fields": "id"}])
def test_the_example_of_a_key_into_the_table_itself(reference: dict[str, Any]) -> None:
    fields = [{"name": "parent"}, {"name": "id"}]
    schema = {"fields": fields, "foreignKeys": [{"fields": ["parent"], "reference": reference}]}
    rows = [{"parent": None, "id": 1}, {"parent": 1, "id": 2}]
    completeness = {"completeness": {"fail": 0}}
    expected = validate.expectations({"schema": schema, "thresholds": completeness}, lambda *keys: None)
    assert validate.validate(rows, expected, dict.__getitem__)["status"] == "PASS"  # type: ignore[arg-type]
    assert validate.validate([*rows, {"parent": 9, "id": 3}], expected, dict.__getitem__)["status"] == "FAIL"  # type: ignore[arg-type]


FRUIT = {"name": "x", "type": "string", "categories": ["apple", "orange", "banana"]}
NUMBERED = {
    "name": "x", "type": "integer",
    "categories": [{"value": 0, "label": "apple"}, {"value": 1, "label": "orange"}, {"value": 2, "label": "banana"}],
}  # fmt: skip
AGREEMENT = {
    "name": "x", "type": "integer", "categoriesOrdered": True,
    "categories": [{"value": 1, "label": "Strongly Disagree"}, {"value": 2}, {"value": 5, "label": "Strongly Agree"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "good", "bad"), [(FRUIT, "apple", "Apple"), (NUMBERED, 0, 3), (NUMBERED, "2", "3"), (AGREEMENT, 5, 3)]
)
def test_the_examples_of_categories(field: dict[str, Any], good: Any, bad: Any) -> None:
    assert errors([{"x": good}], {"fields": [field]}) == []
    assert errors([{"x": bad}], {"fields": [field]}) == [("x", "enum", 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"constraints": {"enum": ["pear"]}}, "not among the categories"), ({"categories": ["a", "a"]}, "the same"),
        ({"type": "number"}, "a number field has no categories"), ({"type": "integer"}, "is not an integer"),
    ],
)  # fmt: skip
def test_categories_that_cannot_be_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ColonyError, match=said):
        tableschema.read({"fields": [{**FRUIT, **change}]})


def test_an_enum_may_be_fewer_than_the_categories() -> None:
    field = {**FRUIT, "constraints": {"enum": ["apple"]}}
    assert errors([{"x": "orange"}], {"fields": [field]}) == [("x", "enum", 1)]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"constraints": {"required": True}}, "a", None),
        ({"type": "string", "constraints": {"minLength": 2, "maxLength": 3}}, "ab", "abcd"),
        ({"type": "array", "constraints": {"minLength": 2}}, "[1, 2]", "[1]"),
        ({"type": "object", "constraints": {"maxLength": 1}}, '{"a": 1}', '{"a": 1, "b": 2}'),
        ({"type": "list", "constraints": {"minLength": 2}}, "a,b", "a"),
        ({"type": "integer", "constraints": {"minimum": 100}}, "100", "99"),
        ({"type": "integer", "constraints": {"minimum": "100"}}, "100", "99"),  # as a text that can be cast
        ({"type": "number", "constraints": {"exclusiveMinimum": 1.5}}, "1.6", "1.5"),
        ({"type": "number", "constraints": {"exclusiveMaximum": 1.5}}, "1.4", "1.5"),
        ({"type": "date", "constraints": {"maximum": "2024-01-26"}}, "2024-01-26", "2024-01-27"),
        ({"type": "datetime", "constraints": {"minimum": "2024-01-26T00:00:00Z"}}, "2024-01-26T00:00:00Z", "2024-01-25T23:59:59Z"),
        ({"type": "time", "constraints": {"minimum": "09:00:00"}}, "10:00:00", "08:59:59"),
        ({"type": "year", "constraints": {"minimum": 2000}}, "2000", "1999"),
        ({"type": "yearmonth", "constraints": {"minimum": "2024-02"}}, "2024-02", "2024-01"),
        ({"type": "duration", "constraints": {"maximum": "P1D"}}, "PT23H", "P2D"),
        ({"type": "string", "constraints": {"pattern": "[A-Z]{3}"}}, "JFK", "JFKX"),  # of the whole value
        ({"type": "string", "constraints": {"enum": ["a", "b"]}}, "a", "c"),
        ({"type": "date", "format": "%d/%m/%Y", "constraints": {"enum": ["26/01/2024"]}}, "26/01/2024", "27/01/2024"),
        ({"type": "object", "constraints": {"jsonSchema": {"required": ["a"], "properties": {"a": {"type": "integer"}}}}},
         '{"a": 1}', '{"a": "1"}'),
        ({"type": "array", "constraints": {"jsonSchema": {"items": {"type": "number"}}}}, "[1]", '["1"]'),
    ],
)  # fmt: skip
def test_every_constraint_on_the_types_it_is_for(field: dict[str, Any], good: Any, bad: Any) -> None:
    schema = {"fields": [{"name": "x", **field}, {"name": "y"}]}
    rule = list(field["constraints"])[-1]
    assert errors([{"x": good, "y": 1}], schema) == []
    assert errors([{"x": good, "y": 1}, {"x": bad, "y": 1}], schema) == [("x", rule, 1)]


@pytest.mark.parametrize("wanted", [{"type": "strin"}, {"$ref": "http://127.0.0.1:1/x.json"}, 3])
def test_a_json_schema_that_is_none_or_lies_elsewhere_is_refused(wanted: Any) -> None:
    with pytest.raises(ColonyError):
        tableschema.read({"fields": [{"name": "x", "type": "object", "constraints": {"jsonSchema": wanted}}]})


def test_the_schema_of_pipeline_yml_allows_what_the_specification_does() -> None:
    fields = [FRUIT, NUMBERED, AGREEMENT, {"name": "n", "type": "number", "groupChar": "' ", "bareNumber": False}]
    named = [
        {**field, "name": f"f{number}", "rdfType": "http://schema.org/Country"} for number, field in enumerate(fields)
    ]
    table_schema = {
        "$schema": "https://datapackage.org/profiles/2.0/tableschema.json", "fields": named, "fieldsMatch": "exact",
        "missingValues": [{"value": "-99", "label": "REFUSED"}], "primaryKey": ["f0"], "uniqueKeys": [["f0"]],
        "foreignKeys": [{"fields": "f1", "reference": {"fields": "f2"}}],
    }  # fmt: skip
    document = {"version": 1, "datasets": {"d": {"schema": table_schema}}}
    assert schemas.mismatches(document, schemas.load("pipeline")) == []
