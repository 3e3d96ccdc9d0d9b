"""The constraints of Table Schema, checked over whole typed columns.

To add one: read its value in `read`, check it in a function of (column, field, value), give it a line in CHECKS, and
name it for its types in fieldtypes.TYPES.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data import fieldtypes, table
from colony_lib.data.fieldtypes import TYPES
from colony_lib.store import schema as schemas

if TYPE_CHECKING:
    from colony_lib.data.tableschema import Field, Problem, Schema

Place = Callable[..., "str | None"]
_FLAGS = ("required", "unique")
_LENGTHS = ("minLength", "maxLength")


def read(field: Field, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The constraints with their values as the field's own type has them; ColonyError (USAGE) for what does not fit."""
    known = TYPES[field.type].constraints
    values: dict[str, Any] = {}
    for name, value in given.items():
        where = place("constraints", name)
        if name not in known:
            raise unknown(f"{field.type} constraint", escape(name), known, where=where, code=USAGE)
        if name in _FLAGS:
            if not isinstance(value, bool):
                raise ColonyError(f"'{name}' is true or false, not {escape(value)}", where=where, code=USAGE)
        elif name in _LENGTHS:
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ColonyError(f"'{name}' is a whole number from 0 on, not {escape(value)}", where=where, code=USAGE)
        elif name == "pattern":
            value = _pattern(value, where)
        elif name == "jsonSchema":
            schemas.check_schema(value, where=where)  # one that needs nothing from elsewhere
        elif name == "enum":
            if not isinstance(value, list) or not value:
                raise ColonyError("'enum' is a list of values", where=where, code=USAGE)
            value = [_cast(item, field, where) for item in value]
        else:
            value = _cast(value, field, where)
        values[name] = value
    _check_bounds(values, place)
    return values


def _pattern(value: Any, where: str | None) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except (re.error, TypeError) as error:
        raise ColonyError(f"'{escape(value)}' is not a regular expression: {error}", where=where, code=USAGE) from None


def categorise(field: Field, given: Any, place: Place) -> None:
    """The field's categories, as values or {value, label}, are the values it may have; `enum` must be among them."""
    where = place("categories")
    if field.type not in ("string", "integer"):
        raise ColonyError(f"a {field.type} field has no categories", where=where, code=USAGE)
    values = [item.get("value") if isinstance(item, Mapping) else item for item in given]
    allowed = [_cast(item, field, where) for item in values]
    if len(set(allowed)) < len(allowed):
        raise ColonyError("two categories are the same", where=where, code=USAGE)
    strange = [item for item in field.constraints.get("enum", ()) if item not in allowed]
    if strange:
        raise ColonyError(
            f"{_shown(strange[0])} of 'enum' is not among the categories",
            where=place("constraints", "enum"),
            code=USAGE,
        )
    field.constraints.setdefault("enum", allowed)


def _cast(value: Any, field: Field, where: str | None) -> Any:
    from colony_lib.data.tableschema import cast

    if value is None:
        raise ColonyError(f"null is not {TYPES[field.type].noun}", where=where, code=USAGE)
    if not isinstance(value, (str, int, float, bool, list, dict)):
        value = value.isoformat()  # YAML reads an unquoted date as one
    column, problem = cast(table.infer([value]), field)
    if problem is not None and field.temporal:
        column, problem = cast(table.infer([value]), field, forms=["default"])
    if problem is not None:
        raise ColonyError(f"{problem.reason(0, value)}", where=where, code=USAGE)
    return (
        _ordered(column, field)[0]
        if field.type == "duration"
        else column.to_numpy(dtype=object)[0]
        if field.kind not in ("date", "datetime")
        else column.to_numpy()[0]
    )


def _check_bounds(values: Mapping[str, Any], place: Place) -> None:
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength")):
        if low in values and high in values and values[low] > values[high]:
            raise ColonyError(f"the {low} is above the {high}", where=place("constraints", high), code=USAGE)


def check(column: pd.Series, field: Field) -> list[Problem]:
    """The cells that break the field's constraints, one Problem for each constraint broken. `column` is typed.
    A null breaks `required` only."""
    from colony_lib.data.tableschema import Problem

    problems: list[Problem] = []
    for name, value in field.constraints.items():
        if name in _FLAGS and not value:
            continue
        rows, words = CHECKS[name](column, field, value)
        if rows.any():
            problems.append(Problem(field.name, name, rows, lambda value, words=words: words))  # type: ignore[misc]
    return problems


def broken(schema: Schema, field: Field, column: pd.Series) -> list[Problem]:
    """As `check`, and the nulls in a field that is part of the primary key."""
    from colony_lib.data.tableschema import Problem

    problems = check(column, field)
    null = table.absent(column)
    if field.name in schema.primary_key and not field.constraints.get("required") and null.any():
        problems.append(Problem(field.name, "required", null, lambda value: "is part of the primary key"))
    return problems


def _shown(value: Any) -> str:
    from colony_lib.data.tableschema import shown

    return shown(value)


def _required(column: pd.Series, field: Field, value: bool) -> tuple[np.ndarray, str]:
    return table.absent(column), "is required"


def _unique(column: pd.Series, field: Field, value: bool) -> tuple[np.ndarray, str]:
    values = table.hashable(column)
    return values.duplicated().to_numpy(dtype=bool) & ~table.absent(values), "is not unique"


def _ordered(column: pd.Series, field: Field) -> np.ndarray:
    """The column's values as an array that has an order; what stands at a null has no meaning."""
    if field.type == "duration":
        return np.array([0.0 if v is None else fieldtypes.duration_seconds(v) for v in column], dtype=float)
    if field.kind in ("integer", "number"):
        return np.asarray(column.to_numpy(dtype="int64" if field.kind == "integer" else "float64", na_value=0))
    return np.asarray(column.to_numpy())


def _bound(compare: Callable[[Any, Any], Any], words: str) -> Callable[[pd.Series, Field, Any], tuple[np.ndarray, str]]:
    def bound(column: pd.Series, field: Field, limit: Any) -> tuple[np.ndarray, str]:
        null = table.absent(column)
        values = _ordered(column, field)
        if values.dtype == object:
            values = np.where(null, limit, values)
        return np.asarray(compare(values, limit), dtype=bool) & ~null, f"is {words} {_shown(limit)}"

    return bound


def _sizes(column: pd.Series) -> np.ndarray:
    return np.fromiter(
        (len(v) if isinstance(v, (str, list, dict)) else -1 for v in column), dtype="int64", count=len(column)
    )


def _shortest(column: pd.Series, field: Field, limit: int) -> tuple[np.ndarray, str]:
    sizes = _sizes(column)
    return (sizes < limit) & (sizes >= 0), f"is shorter than {limit}"


def _longest(column: pd.Series, field: Field, limit: int) -> tuple[np.ndarray, str]:
    return _sizes(column) > limit, f"is longer than {limit}"


def _matching(column: pd.Series, field: Field, pattern: re.Pattern[str]) -> tuple[np.ndarray, str]:
    codes, distinct = table.encoded(table.hashable(column))
    bad = np.fromiter(
        (isinstance(text, str) and not pattern.fullmatch(text) for text in distinct), dtype=bool, count=len(distinct)
    )
    return np.append(bad, False)[codes], f"does not match {pattern.pattern}"  # code -1, null, is the last


def _conforming(column: pd.Series, field: Field, wanted: Any) -> tuple[np.ndarray, str]:
    codes, distinct = table.encoded(table.hashable(column))
    bad = np.zeros(len(distinct) + 1, dtype=bool)  # code -1, null, is the last
    found, firsts = np.unique(codes, return_index=True)
    for code, place in zip(found.tolist(), firsts.tolist()):
        if code >= 0:
            bad[code] = bool(schemas.mismatches(column.iloc[place], wanted))
    return bad[codes], "does not conform to its jsonSchema"


def _listed(column: pd.Series, field: Field, allowed: list[Any]) -> tuple[np.ndarray, str]:
    if field.kind == "string":
        codes, distinct = table.encoded(column)
        texts = set(allowed)
        bad = np.array([text not in texts for text in distinct] + [False])[codes]  # code -1, null, is the last
    elif field.kind == "any":
        known = {_shown(item) for item in allowed}
        bad = np.fromiter((_shown(v) not in known for v in column), dtype=bool, count=len(column))
    else:
        bad = ~column.isin(allowed).to_numpy(dtype=bool)
    few = ", ".join(_shown(item) for item in allowed[:5]) + (", …" if len(allowed) > 5 else "")
    return bad & ~table.absent(column), f"is not one of {few}"


CHECKS: dict[str, Callable[[pd.Series, Any, Any], tuple[np.ndarray, str]]] = {
    "required": _required,
    "unique": _unique,
    "minimum": _bound(lambda a, b: a < b, "below"),
    "maximum": _bound(lambda a, b: a > b, "above"),
    "exclusiveMinimum": _bound(lambda a, b: a <= b, "not above"),
    "exclusiveMaximum": _bound(lambda a, b: a >= b, "not below"),
    "minLength": _shortest,
    "maxLength": _longest,
    "pattern": _matching,
    "jsonSchema": _conforming,
    "enum": _listed,
}
