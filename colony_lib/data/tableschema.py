"""Table Schema (https://specs.frictionlessdata.io/table-schema/): reads a schema, and casts and checks columns by it.

A column is worked on by its distinct values, so that a text which occurs in a thousand rows is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import USAGE, ColonyError, nearest, unknown
from colony_lib.base.jsontext import dumps
from colony_lib.base.text import cut, escape
from colony_lib.data import constraints, fieldtypes, table, times
from colony_lib.data.fieldtypes import TYPES

_OPTIONS = ("decimalChar", "groupChar", "bareNumber", "trueValues", "falseValues", "delimiter", "itemType")
_KNOWN = ("fields", "fieldsMatch", "primaryKey", "foreignKeys", "uniqueKeys", "missingValues")


class Problem:
    """Cells of one column that break one rule: `rule` ('type', 'required', 'pattern', …), `rows` a mask over the
    rows, `say(value)` what is wrong with a value, `special` better words by row."""

    __slots__ = ("column", "rows", "rule", "say", "special")

    def __init__(
        self,
        column: str,
        rule: str,
        rows: np.ndarray,
        say: Callable[[Any], str],
        special: Mapping[int, str] | None = None,
    ) -> None:
        self.column = column
        self.rule = rule
        self.rows = rows
        self.say = say
        self.special = special or {}

    def reason(self, row: int, value: Any) -> str:
        """'dep_delay: "abc" is not a number', of the row at that position."""
        return f"{self.column}: {self.words(row, value)}"

    def words(self, row: int, value: Any) -> str:
        """'"abc" is not a number'."""
        return f"{shown(value)} {self.special.get(row) or self.say(value)}"


def shown(value: Any) -> str:
    """A value for a message: as JSON, on one line, at most 60 columns."""
    if isinstance(value, (pd.Timestamp, np.datetime64)):
        value = table.values(pd.Series([value]))[0]
    if value is None or value is pd.NA or value is pd.NaT:
        return "null"
    if isinstance(value, np.generic):
        value = value.item()
    return cut(escape(dumps(value)), 60)


class Field:
    """A column's description: name, type, format, the type's options, constraints with their values cast."""

    __slots__ = ("constraints", "format", "missing", "name", "options", "type", "where")

    def __init__(self, name: str, type: str = "any", format: str = "default", where: str | None = None) -> None:
        self.name = name
        self.type = type
        self.format = format
        self.where = where
        self.options: dict[str, Any] = {}
        self.constraints: dict[str, Any] = {}
        self.missing: list[str] | None = None

    @property
    def temporal(self) -> bool:
        return self.type in ("date", "datetime")

    @property
    def kind(self) -> str:
        return TYPES[self.type].kind


class ForeignKey:
    """`fields` here must be found in `reference_fields` of `resource` (a dataset; '' is this one), or of `table`, one
    of the warehouse's: a property of our own, for rows that were loaded on other days."""

    __slots__ = ("fields", "reference_fields", "resource", "table")

    def __init__(self, fields: list[str], resource: str, reference_fields: list[str], table: str = "") -> None:
        self.fields = fields
        self.resource = resource
        self.table = table
        self.reference_fields = reference_fields


class Schema:
    """Fields in order, keys, and the texts that stand for a missing value."""

    __slots__ = ("fields", "fields_match", "foreign_keys", "missing", "primary_key", "unique_keys", "where")

    def __init__(self, fields: list[Field] | None = None, where: str | None = None) -> None:
        self.fields = {field.name: field for field in fields or []}
        self.primary_key: list[str] = []
        self.unique_keys: list[list[str]] = []
        self.foreign_keys: list[ForeignKey] = []
        self.missing: list[str] = [""]
        self.fields_match: str | None = None
        self.where = where

    def required(self) -> list[str]:
        """The fields that may not be null: those constrained so, and the primary key's."""
        return [f.name for f in self.fields.values() if f.constraints.get("required") or f.name in self.primary_key]

    def canonical(self) -> Schema:
        """The same schema for data in our own form: ISO dates, JSON numbers, nulls that are null."""
        copy = Schema(where=self.where)
        copy.primary_key, copy.unique_keys, copy.foreign_keys = self.primary_key, self.unique_keys, self.foreign_keys
        copy.missing, copy.fields_match = [], self.fields_match
        for field in self.fields.values():
            own = Field(
                field.name,
                field.type,
                "default" if field.kind in ("date", "datetime") or field.type == "time" else field.format,
                field.where,
            )
            own.options = {} if field.type in ("number", "integer", "boolean") else field.options
            own.constraints = field.constraints
            copy.fields[field.name] = own
        return copy

    def empty(self) -> pd.DataFrame:
        """A frame with the fields as typed columns and no rows."""
        index = pd.RangeIndex(0)
        return table.frame({f.name: table.empty(f.kind, index) for f in self.fields.values()}, 0)


def read(descriptor: Mapping[str, Any] | None, *, where: Callable[..., str | None] | None = None) -> Schema:
    """The schema a descriptor describes. `where(*keys)` gives file and line of a key for messages.

    ColonyError (USAGE) for an unknown type, format or constraint, a value that is not of the field's type, a key
    over fields that are not there, and for two fields of one name.
    """
    place = where or (lambda *keys: None)
    descriptor = descriptor or {}
    _check_keys(descriptor, place)
    schema = Schema(where=place())
    for number, given in enumerate(descriptor.get("fields") or []):
        field = _field(given, lambda *keys, number=number: place("fields", number, *keys))
        if field.name in schema.fields:
            raise ColonyError(f"two fields are named '{escape(field.name)}'", where=place("fields", number), code=USAGE)
        schema.fields[field.name] = field
    schema.missing = _missing(descriptor.get("missingValues", [""]))
    match = descriptor.get("fieldsMatch")
    match = match[0] if isinstance(match, list) and match else match  # the standard writes a list of one
    schema.fields_match = str(match) if match else None
    schema.primary_key = _key(schema, descriptor.get("primaryKey"), place("primaryKey"))
    schema.unique_keys = [_key(schema, key, place("uniqueKeys")) for key in descriptor.get("uniqueKeys") or []]
    for number, given in enumerate(descriptor.get("foreignKeys") or []):
        schema.foreign_keys.append(_foreign_key(schema, given, place("foreignKeys", number)))
    return schema


def _check_keys(descriptor: Mapping[str, Any], place: Callable[..., str | None]) -> None:
    # The standard allows properties of one's own; a near miss of one of its own is a slip all the same.
    for key in descriptor:
        if key not in _KNOWN and (hint := nearest(str(key), _KNOWN)):
            raise ColonyError(f"unknown key '{escape(key)}' in the schema", where=place(key), fix=hint, code=USAGE)


def _missing(given: Iterable[Any]) -> list[str]:
    return [str(item.get("value", "")) if isinstance(item, Mapping) else str(item) for item in given]


def _names(given: Any) -> list[str]:
    return [str(given)] if not isinstance(given, list) else [str(name) for name in given]


def _key(schema: Schema, given: Any, where: str | None) -> list[str]:
    names = _names(given) if given else []
    for name in names:
        if schema.fields and name not in schema.fields:
            raise unknown("field", escape(name), schema.fields, where=where, code=USAGE)
    return names


def _foreign_key(schema: Schema, given: Mapping[str, Any], where: str | None) -> ForeignKey:
    fields = _key(schema, given.get("fields"), where)
    reference = given.get("reference") or {}
    theirs = _names(reference.get("fields") or [])
    if not fields or len(fields) != len(theirs):
        raise ColonyError("a foreign key needs as many fields as its reference has", where=where, code=USAGE)
    resource, named = str(reference.get("resource") or ""), str(reference.get("table") or "")
    if resource and named:
        raise ColonyError("a foreign key refers to a resource or to a table", where=where, code=USAGE)
    return ForeignKey(fields, resource, theirs, named)


def _field(given: Any, place: Callable[..., str | None]) -> Field:
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or not given["name"]:
        raise ColonyError("a field needs a name", where=place(), code=USAGE)
    name = str(given["name"])
    type_name = given.get("type", "any")
    if type_name not in TYPES:
        raise unknown("field type", escape(type_name), TYPES, where=place("type"), code=USAGE)
    form = given.get("format", "default")
    form = form.removeprefix("fmt:") if isinstance(form, str) else form  # as version 0 wrote patterns
    field = Field(name, type_name, form, place())
    if type_name in ("date", "datetime", "time"):
        times.check_format(type_name, field.format, place("format"))
    elif field.format not in TYPES[type_name].formats:
        raise unknown(
            f"{type_name} format", escape(field.format), TYPES[type_name].formats, where=place("format"), code=USAGE
        )
    field.options = {key: given[key] for key in _OPTIONS if key in given}
    if "missingValues" in given:
        field.missing = _missing(given["missingValues"])
    item = field.options.get("itemType")
    if item is not None and item not in fieldtypes.ITEMS:
        raise unknown("itemType", escape(item), fieldtypes.ITEMS, where=place("itemType"), code=USAGE)
    field.constraints = constraints.read(field, given.get("constraints") or {}, place)
    if given.get("categories") is not None:
        constraints.categorise(field, given["categories"], place)
    return field


def blank(column: pd.Series, missing: list[str]) -> pd.Series:
    """The column with the texts that stand for a missing value made null."""
    if column.dtype != object or not missing:
        return column
    if table.kind(column) == "string":
        codes, distinct = table.encoded(column)
        texts = set(missing)
        absent = np.array([text in texts for text in distinct] + [False])[codes]  # code -1, null, is the last
    else:  # to isin, 1 and True are the same
        absent = column.isin(missing).to_numpy()
        absent = absent & np.fromiter((type(v) is str for v in column), dtype=bool, count=len(column))
    return table.nulled(column, absent) if absent.any() else column


def cast(
    column: pd.Series, field: Field, *, lexical: bool = True, forms: list[str] | None = None, zone: str | None = None
) -> tuple[pd.Series, Problem | None]:
    """The column as the field's type, and its cells that are not of it (null in the result), or None.

    `lexical`: texts are read as the type ("12" is the number 12) and, where the type is string, other values become
    texts; without it a cell must be of the type as JSON has it. `forms` and `zone`: see times.parse.
    """
    kind = table.kind(column)
    kept = _as_it_is(column, kind, field)
    if kept is not None:
        return kept, None
    codes, distinct = _distinct(column, kind)
    results, reasons = _each(distinct, field, lexical, forms, zone)
    wrong = np.zeros(len(distinct) + 1, dtype=bool)
    wrong[list(reasons)] = True
    bad = wrong[codes]
    data = _array([*results, None], field.kind)[codes]  # code -1, a null, takes the last
    typed = table.column(field.kind, data, (codes < 0) | bad, column.index)
    if not bad.any():
        return typed, None
    noun = f"is not {TYPES[field.type].noun}"
    special = {int(row): reasons[int(codes[row])] for row in np.flatnonzero(bad)}
    return typed, Problem(field.name, "type", bad, lambda value: noun, special)


def _distinct(column: pd.Series, kind: str) -> tuple[np.ndarray, list[Any]]:
    """The column as JSON values and, for each row, which one; -1 for null. Mixed values are not compared, for to
    Python 1, 1.0 and True are equal: there each row has its own."""
    if kind == "any":
        present = column.notna().to_numpy(dtype=bool)
        return np.where(present, np.cumsum(present) - 1, -1), column[present].to_list()
    codes, distinct = table.encoded(column)
    return codes, table.values(pd.Series(distinct, dtype=column.dtype))


def _as_it_is(column: pd.Series, kind: str, field: Field) -> pd.Series | None:
    """The column when every value is already of the type, without looking at them one by one."""
    if kind == "null":
        return table.empty(field.kind, column.index)
    if field.type == "any" or (kind == "string" and field.type == "string" and field.format == "default"):
        return column
    if kind == field.type and kind in ("integer", "number", "boolean", "date", "datetime"):
        return column
    if kind == "integer" and field.type == "year":
        return column
    if kind == "integer" and field.type == "number":
        data = column.to_numpy(dtype="int64", na_value=0)
        if not len(data) or max(abs(int(data.min())), abs(int(data.max()))) <= 2**53:
            return column.astype("Float64")
    return None


def _each(
    values: list[Any], field: Field, lexical: bool, forms: list[str] | None, zone: str | None
) -> tuple[list[Any], dict[int, str]]:
    """What each value is as the field's type, and by position what is wrong with those that are not of it."""
    results: list[Any] = [None] * len(values)
    reasons: dict[int, str] = {}
    texts: dict[int, str] = {}
    for i, value in enumerate(values):
        if type(value) is str:
            texts[i] = value
            continue
        try:
            done, results[i] = _native(value, field, lexical)
            if not done:
                texts[i] = _written(value)
        except ValueError as error:
            reasons[i] = str(error)
    if not lexical and not TYPES[field.type].textual:
        reasons.update((i, f"is a text, not {TYPES[field.type].noun}") for i in texts)
        return results, reasons
    found = _moments(list(texts.values()), field, forms, zone) if field.temporal else _read(texts.values(), field)
    for i, (value, why) in zip(texts, found, strict=True):
        results[i] = value
        if why is not None:
            reasons[i] = why
    return results, reasons


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def _native(value: Any, field: Field, lexical: bool) -> tuple[bool, Any]:
    """(True, value) when a JSON value is of the type; (False, None) when it may be read as a text instead."""
    native = TYPES[field.type].native
    if type(value) in native:
        if field.type == "list":
            return True, fieldtypes.items(value, field)
        if field.type == "number":
            return True, fieldtypes.decimal(str(value)) if type(value) is int else value
        return True, fieldtypes.whole(value) if type(value) is int else value
    if field.type == "integer" and type(value) is float and value.is_integer() and abs(value) < 2**63:
        return True, int(value)
    if type(value) in (list, dict) or not lexical:
        raise ValueError(f"is not {TYPES[field.type].noun}")
    return False, None


def _read(texts: Iterable[str], field: Field) -> list[tuple[Any, str | None]]:
    reader = TYPES[field.type].read
    found: list[tuple[Any, str | None]] = []
    for text in texts:
        try:
            found.append((reader(text, field), None))
        except ValueError as error:
            found.append((None, str(error)))
    return found


def _moments(texts: list[str], field: Field, forms: list[str] | None, zone: str | None) -> list[tuple[Any, str | None]]:
    forms = forms or [field.format]
    moments, reasons = times.parse(texts, field.type, forms, zone)
    missing = np.isnat(moments)
    return [
        (moment, None) if not gone else (None, reasons.get(i) or fieldtypes.not_a_moment(field.type, forms, text))
        for i, (text, moment, gone) in enumerate(zip(texts, moments, missing, strict=True))
    ]


def _array(results: list[Any], kind: str) -> np.ndarray:
    if kind in ("date", "datetime"):
        nat = np.datetime64("NaT", "us")
        return np.array([nat if value is None else value for value in results], dtype="datetime64[us]")
    if kind in ("integer", "number", "boolean"):
        dtype = {"integer": "int64", "number": "float64", "boolean": "bool"}[kind]
        return np.array([0 if value is None else value for value in results], dtype=dtype)
    return table.objects(results)
