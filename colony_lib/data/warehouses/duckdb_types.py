"""What a JSON value must be to have a column's type, and the SQL that makes it one.

A value is taken as the column's type or refused, never bent to it: DuckDB's own casts would make 2 of 1.5 and drop the
`+05:00` of a time.
"""

from __future__ import annotations

from collections.abc import Set

from colony_lib.data.warehouses.sqltext import EXACT, literal, quote

# Table Schema type → (the type json_transform reads, the column's type). `expression` goes from one to the other.
TYPES = {
    "string": ("VARCHAR", "VARCHAR"),
    "integer": ("VARCHAR", "BIGINT"),
    "year": ("VARCHAR", "BIGINT"),
    "number": ("DOUBLE", "DOUBLE"),
    "boolean": ("BOOLEAN", "BOOLEAN"),
    "date": ("VARCHAR", "DATE"),
    "time": ("VARCHAR", "TIME"),
    "datetime": ("VARCHAR", "TIMESTAMP"),
    "yearmonth": ("VARCHAR", "VARCHAR"),
    "duration": ("VARCHAR", "VARCHAR"),
    "geopoint": ("JSON", "JSON"),
    "geojson": ("JSON", "JSON"),
    "object": ("JSON", "JSON"),
    "array": ("JSON", "JSON"),
    "any": ("JSON", "JSON"),
}
NUMBERS = {"BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "DOUBLE"}
WHOLE = NUMBERS - {"DOUBLE"}
_TEXT = frozenset({"VARCHAR"})
KINDS = {  # JSON's kinds, as DuckDB names them, that a type accepts
    **{kind: frozenset(NUMBERS) for kind in ("integer", "year", "number")},
    **{kind: _TEXT for kind in ("string", "date", "time", "datetime", "yearmonth", "duration")},
    "boolean": frozenset({"BOOLEAN"}),
    "object": frozenset({"OBJECT"}),
    "array": frozenset({"ARRAY"}),
}
WORDS = {
    **dict.fromkeys(WHOLE, "whole numbers"), "DOUBLE": "numbers", "VARCHAR": "text", "BOOLEAN": "true or false",
    "OBJECT": "objects", "ARRAY": "lists",
}  # fmt: skip
DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"
MOMENT = f"{DATE}[T ]{_CLOCK}{_ZONE}?"
Kinds = dict[str, dict[str, int]]  # {column: {JSON kind: rows}}, without nulls


def pointer(key: str) -> str:
    """The JSON Pointer to a column, in SQL."""
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))


def text_of(key: str) -> str:
    return f"json_extract_string(line, {pointer(key)})"


def whole(number: str) -> str:
    """SQL that tells whether a double is one whole number and no other: 517.0 is 517."""
    return f"{number} = trunc({number}) AND abs({number}) < {EXACT}"


def expression(kind: str, value: str) -> str:
    """SQL that gives the value in the column's type, or NULL when it is none of that type."""
    if kind in ("integer", "year"):
        number = f"try_cast({value} AS DOUBLE)"
        return (
            f"CASE WHEN regexp_full_match({value}, '-?\\d+') THEN try_cast({value} AS BIGINT) "
            f"WHEN {whole(number)} THEN try_cast({number} AS BIGINT) END"
        )
    if kind == "number":
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    if kind == "date":
        return f"CASE WHEN regexp_full_match({value}, {literal(DATE)}) THEN try_cast({value} AS DATE) END"
    if kind == "time":
        return f"CASE WHEN regexp_full_match({value}, {literal(_CLOCK)}) THEN try_cast({value} AS TIME) END"
    if kind == "datetime":
        return (
            f"CASE WHEN NOT regexp_full_match({value}, {literal(MOMENT)}) THEN NULL WHEN ends_with({value}, 'Z') "
            f"THEN try_cast({value} AS TIMESTAMP) WHEN {zoned(value)} "
            f"THEN try_cast({value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' ELSE try_cast({value} AS TIMESTAMP) END"
        )
    return value


def zoned(value: str) -> str:
    """SQL that tells whether the text of a time carries a UTC offset."""
    # Not by OR: DuckDB would look at both sides of it in every row.
    other = f"regexp_full_match({value}, {literal('.*' + _CLOCK + _ZONE)})"
    return f"(CASE WHEN ends_with({value}, 'Z') THEN true ELSE {other} END)"


def reading(
    types: dict[str, str], kinds: Kinds, exact: Set[str] = frozenset()
) -> tuple[dict[str, str], dict[str, str]]:
    """({column: the type json_transform reads}, {column: SQL that makes its value of that}) of columns of those Table
    Schema types. Whole numbers are read as numbers, which is quicker; what a number cannot tell exactly is NULL then,
    and is to be read again with its column in `exact`: as text, which tells every digit."""
    read = {key: TYPES[kind][0] for key, kind in types.items()}
    wanted = {key: expression(kind, quote(key)) for key, kind in types.items()}
    for key in quick(types) - exact:
        if kinds[key].keys() <= {"BIGINT", "UBIGINT"}:
            read[key], wanted[key] = "BIGINT", quote(key)
        elif kinds[key].keys() <= {"BIGINT", "UBIGINT", "DOUBLE"}:
            read[key] = "DOUBLE"
            wanted[key] = f"CASE WHEN {whole(quote(key))} THEN try_cast({quote(key)} AS BIGINT) END"
    return read, wanted


def quick(types: dict[str, str]) -> set[str]:
    """The columns of whole numbers."""
    return {key for key, kind in types.items() if kind in ("integer", "year")}
