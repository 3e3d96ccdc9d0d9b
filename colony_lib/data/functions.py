"""The functions of the expression language.

To add one: write it over Vectors (see `_lower`), and give it a line in FUNCTIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.data import table
from colony_lib.data.vectors import (
    NUMBERS,
    TIMES,
    Kinds,
    Vector,
    a_kind,
    as_time,
    condition,
    each,
    finite,
    series,
    to_kind,
    unified,
)


class Function:
    """A function of the language: how many arguments it takes, and its work over Vectors."""

    __slots__ = ("least", "most", "summary", "work")

    def __init__(self, work: Callable[..., Vector], least: int, most: int, summary: str) -> None:
        self.work = work
        self.least = least
        self.most = most
        self.summary = summary

    def takes(self) -> str:
        if self.least == self.most:
            return f"{self.least} argument" + ("s" if self.least != 1 else "")
        return f"{self.least} to {self.most} arguments"


def _text(vector: Vector, operand: int) -> str:
    if vector.kind != "string" or np.ndim(vector.data):
        raise Kinds("expected a text in quotes", operand)
    return str(vector.data)


def _length(operand: Vector) -> Vector:
    if operand.kind == "any":
        sizes = [len(v) if isinstance(v, (str, list, dict)) else None for v in operand.data]
        null = np.array([size is None for size in sizes], dtype=bool)
        return Vector("integer", np.array([size or 0 for size in sizes], dtype="int64"), null)
    return each(operand, len, "integer")


def _one_number(work: Callable[..., Any]) -> Callable[..., Vector]:
    def calculate(operand: Vector, *more: Vector) -> Vector:
        if operand.kind not in (*NUMBERS, "null"):
            raise Kinds(f"{a_kind(operand.kind)} is not a number", 0)
        digits = 0
        if more:
            if more[0].kind != "integer" or np.ndim(more[0].data):
                raise Kinds("the number of digits is a whole number", 1)
            digits = int(more[0].data)
        if operand.kind != "number" and digits >= 0 and work is not np.abs:
            return operand
        result = work(operand.data, digits) if work is np.round else work(operand.data)
        return Vector(operand.kind, result, operand.null)

    return calculate


def _part(unit: str) -> Callable[[Vector], Vector]:
    def part(operand: Vector) -> Vector:
        if operand.kind == "null":
            return to_kind(operand, "integer")
        if operand.kind not in TIMES or (operand.kind == "date" and unit in ("hour", "minute")):
            raise Kinds(f"{a_kind(operand.kind)} has no {unit}", 0, "declare the column's type in the schema")
        fields = pd.DatetimeIndex(np.atleast_1d(operand.data))
        data = fields.isocalendar().day.to_numpy() if unit == "weekday" else getattr(fields, unit).to_numpy()
        data = data.astype("int64")
        return Vector("integer", data if np.ndim(operand.data) else data[0], operand.null)

    return part


def _date(operand: Vector) -> Vector:
    if operand.kind == "string" and not np.ndim(operand.data):
        operand = as_time(operand, True, 0)
    if operand.kind not in (*TIMES, "null"):
        raise Kinds(f"{a_kind(operand.kind)} has no date", 0, "declare the column's type in the schema")
    if operand.kind == "null":
        return to_kind(operand, "date")
    return Vector("date", np.asarray(operand.data).astype("datetime64[D]").astype("datetime64[s]"), operand.null)


def _coalesce(*operands: Vector) -> Vector:
    kind, (first, *others) = unified(list(operands))
    data, null = first.data, np.asarray(first.null)
    for other in others:
        data = np.where(null, other.data, data)
        null = null & other.null
    return Vector(kind, data, null)


def _if(test: Vector, yes: Vector, no: Vector) -> Vector:
    true, _ = condition(test, 0)
    try:
        kind, (yes, no) = unified([yes, no])
    except Kinds as problem:
        raise Kinds(str(problem), problem.operand + 1, problem.fix) from None
    data = np.where(true, np.asarray(yes.data, dtype=object if kind in ("string", "any") else None), no.data)
    return Vector(kind, data, np.where(true, yes.null, no.null))


def _extreme(work: Callable[[Any, Any], Any]) -> Callable[..., Vector]:
    def extreme(*operands: Vector) -> Vector:
        kind, (first, *others) = unified(list(operands))
        if kind not in (*NUMBERS, *TIMES, "null"):
            raise Kinds(f"{a_kind(kind)} has no least or greatest", 0)
        for other in others:
            null = np.asarray(first.null) | other.null
            first = Vector(kind, work(first.data, other.data), null)
        return first

    return extreme


def _as_text(operand: Vector) -> Vector:
    shape = np.shape(operand.data)
    values = table.values(series(operand, pd.RangeIndex(shape[0] if shape else 1)))
    texts = np.empty(len(values), dtype=object)
    texts[:] = [
        "" if v is None else v if isinstance(v, str) else ("true" if v else "false") if isinstance(v, bool) else str(v)
        for v in values
    ]
    return Vector("string", texts if shape else texts[0], operand.null)


def _as_number(operand: Vector) -> Vector:
    from colony_lib.data.fieldtypes import decimal

    if operand.kind in (*NUMBERS, "boolean", "null"):
        return Vector("number", np.asarray(operand.data).astype(float), operand.null)
    found = each(operand, lambda text: decimal(text, float("nan")), "number")
    return finite(found.data, found.null)


def _contains(operand: Vector, part: Vector) -> Vector:
    text = _text(part, 1)
    return each(operand, lambda value: text in value, "boolean")


def _starts_with(operand: Vector, part: Vector) -> Vector:
    text = _text(part, 1)
    return each(operand, lambda value: value.startswith(text), "boolean")


def _ends_with(operand: Vector, part: Vector) -> Vector:
    text = _text(part, 1)
    return each(operand, lambda value: value.endswith(text), "boolean")


def _lower(operand: Vector) -> Vector:
    return each(operand, str.lower, "string")


def _upper(operand: Vector) -> Vector:
    return each(operand, str.upper, "string")


def _trim(operand: Vector) -> Vector:
    return each(operand, str.strip, "string")


_MANY = 32
FUNCTIONS: dict[str, Function] = {
    "abs": Function(_one_number(np.abs), 1, 1, "abs(x)"),
    "ceil": Function(_one_number(np.ceil), 1, 1, "ceil(x)"),
    "coalesce": Function(_coalesce, 1, _MANY, "coalesce(x, y, …): the first that is not null"),
    "contains": Function(_contains, 2, 2, "contains(text, part)"),
    "date": Function(_date, 1, 1, "date(datetime): its day, in UTC"),
    "day": Function(_part("day"), 1, 1, "day(date)"),
    "ends_with": Function(_ends_with, 2, 2, "ends_with(text, part)"),
    "floor": Function(_one_number(np.floor), 1, 1, "floor(x)"),
    "greatest": Function(_extreme(np.maximum), 1, _MANY, "greatest(x, y, …): null if one is null"),
    "hour": Function(_part("hour"), 1, 1, "hour(datetime), in UTC"),
    "if": Function(_if, 3, 3, "if(condition, then, else)"),
    "least": Function(_extreme(np.minimum), 1, _MANY, "least(x, y, …): null if one is null"),
    "len": Function(_length, 1, 1, "len(text or list)"),
    "lower": Function(_lower, 1, 1, "lower(text)"),
    "minute": Function(_part("minute"), 1, 1, "minute(datetime)"),
    "month": Function(_part("month"), 1, 1, "month(date)"),
    "number": Function(_as_number, 1, 1, "number(text): null where it is none"),
    "round": Function(_one_number(np.round), 1, 2, "round(x, digits): halves to even"),
    "starts_with": Function(_starts_with, 2, 2, "starts_with(text, part)"),
    "text": Function(_as_text, 1, 1, "text(x)"),
    "trim": Function(_trim, 1, 1, "trim(text)"),
    "upper": Function(_upper, 1, 1, "upper(text)"),
    "weekday": Function(_part("weekday"), 1, 1, "weekday(date): 1 Monday to 7 Sunday"),
    "year": Function(_part("year"), 1, 1, "year(date)"),
}
