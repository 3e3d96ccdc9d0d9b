"""Evaluates a parsed expression over whole columns at a time: values, their nulls, and their kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import nearest
from colony_lib.base.text import escape
from colony_lib.data import table
from colony_lib.data.expression import Expression, Node, walk

# What stands in `data` where a value is null: any value that the kind's operations take.
_FILLER: dict[str, Any] = {
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "string": "",
    "date": np.datetime64(0, "s"),
    "datetime": np.datetime64(0, "us"),
    "any": None,
    "null": 0,
}
DTYPE = {
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "date": "datetime64[s]",
    "datetime": "datetime64[us]",
}
_ARTICLES = {"integer": "an integer", "any": "a mixed value"}
NUMBERS = ("integer", "number")
TIMES = ("date", "datetime")


class Vector:
    """Values of one kind with a mask of nulls; both are arrays over the rows, or single values for literals."""

    __slots__ = ("data", "kind", "null")

    def __init__(self, kind: str, data: Any, null: Any = False) -> None:
        self.kind = kind
        self.data = data
        self.null = null


class Kinds(Exception):
    """An operation met kinds it does not take; the evaluator adds the position."""

    def __init__(self, what: str, operand: int = -1, fix: str | None = None) -> None:
        super().__init__(what)
        self.operand = operand
        self.fix = fix


def evaluate(expression: Expression, frame: pd.DataFrame) -> Vector:
    """The expression's values over the frame's rows. ColonyError (USAGE) with the position of what is wrong."""
    done: dict[int, Vector] = {}
    with np.errstate(all="ignore"):
        for node in reversed(walk(expression.root)):  # operands before what uses them, without recursion
            operands = [done.pop(id(arg)) for arg in node.args]
            done[id(node)] = _apply(expression, node, operands, frame)
    return done[id(expression.root)]


def truth(expression: Expression, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the rows where the expression is true and where it is false; null rows are in neither."""
    vector = evaluate(expression, frame)
    if vector.kind not in ("boolean", "null"):
        raise expression.error(
            f"the expression gives {a_kind(vector.kind)}, not true or false",
            expression.root.at,
            "compare it with something",
        )
    true, false = _truth(vector)
    return np.broadcast_to(true, len(frame)), np.broadcast_to(false, len(frame))


def series(vector: Vector, index: pd.Index) -> pd.Series:
    """The vector as a column (see `table` for the types of columns)."""
    null = np.broadcast_to(vector.null, len(index))
    if vector.kind in DTYPE:
        data = np.array(np.broadcast_to(vector.data, len(index)), dtype=DTYPE[vector.kind])
    else:
        data = np.empty(len(index), dtype=object)
        data[:] = vector.data
    return table.column(vector.kind, data, np.array(null), index)


def a_kind(kind: str) -> str:
    return _ARTICLES.get(kind, f"a {kind}")


def _apply(expression: Expression, node: Node, operands: list[Vector], frame: pd.DataFrame) -> Vector:
    try:
        if node.op == "column":
            if node.value not in frame.columns:
                hint = nearest(node.value, frame.columns) or "there is " + ", ".join(
                    sorted(map(str, frame.columns))[:8]
                )
                raise expression.error(f"unknown column '{escape(node.value)}'", node.at, hint)
            return column_vector(frame[node.value])
        if node.op == "literal":
            return _literal(node.value)
        if node.op == "call":
            return node.value.work(*operands)  # type: ignore[no-any-return]
        if node.op == "matches":
            return _matches(operands[0], node.value)
        return _OPERATIONS[node.op](*operands)
    except Kinds as problem:
        at = node.args[problem.operand].at if problem.operand >= 0 else node.at
        raise expression.error(str(problem), at, problem.fix) from None


def column_vector(column: pd.Series) -> Vector:
    kind = table.kind(column)
    null = column.isna().to_numpy(dtype=bool)
    if kind in NUMBERS or kind == "boolean":
        return Vector(kind, column.to_numpy(dtype=DTYPE[kind], na_value=_FILLER[kind]), null)
    data = column.to_numpy()
    if null.any():
        data = np.where(null, _FILLER[kind], data)
    return Vector(kind, data, null)


def _literal(value: Any) -> Vector:
    if value is None:
        return Vector("null", 0, True)
    if isinstance(value, bool):
        return Vector("boolean", value)
    if isinstance(value, int):
        return Vector("integer", np.int64(value))
    return Vector("number", np.float64(value)) if isinstance(value, float) else Vector("string", value)


def _truth(vector: Vector) -> tuple[Any, Any]:
    if vector.kind == "null":
        nothing = np.zeros(np.shape(vector.null), dtype=bool)
        return nothing, nothing
    return vector.data & ~np.asarray(vector.null), ~np.asarray(vector.data) & ~np.asarray(vector.null)


def condition(vector: Vector, operand: int) -> tuple[Any, Any]:
    if vector.kind not in ("boolean", "null"):
        raise Kinds(f"{a_kind(vector.kind)} is not true or false", operand, "compare it with something")
    return _truth(vector)


def _and(left: Vector, right: Vector) -> Vector:
    (true1, false1), (true2, false2) = condition(left, 0), condition(right, 1)
    true, false = true1 & true2, false1 | false2
    return Vector("boolean", true, ~(true | false))


def _or(left: Vector, right: Vector) -> Vector:
    (true1, false1), (true2, false2) = condition(left, 0), condition(right, 1)
    true, false = true1 | true2, false1 & false2
    return Vector("boolean", true, ~(true | false))


def _not(operand: Vector) -> Vector:
    true, false = condition(operand, 0)
    return Vector("boolean", false, ~(true | false))


def _is_null(operand: Vector) -> Vector:
    return Vector("boolean", np.asarray(operand.null))


def unified(vectors: list[Vector]) -> tuple[str, list[Vector]]:
    """The vectors brought to one kind: integers to numbers, dates to datetimes, texts beside times to times.
    Kinds (with the operand) when they have none in common."""
    kinds = {vector.kind for vector in vectors} - {"null"}
    if not kinds:
        return "null", vectors
    if kinds <= set(NUMBERS):
        kind = "number" if "number" in kinds else "integer"
    elif kinds & set(TIMES) and kinds <= {*TIMES, "string"}:
        vectors = [as_time(v, "datetime" in kinds, i) if v.kind == "string" else v for i, v in enumerate(vectors)]
        kind = "datetime" if any(v.kind == "datetime" for v in vectors) else "date"
    elif len(kinds) == 1:
        kind = kinds.pop()
    else:
        first = next(v.kind for v in vectors if v.kind != "null")
        other = next(i for i, v in enumerate(vectors) if v.kind not in (first, "null"))
        fix = "declare the column's type in the schema" if "any" in kinds else None
        raise Kinds(f"{a_kind(vectors[other].kind)} does not go together with {a_kind(first)}", other, fix)
    return kind, [to_kind(vector, kind) for vector in vectors]


def to_kind(vector: Vector, kind: str) -> Vector:
    if vector.kind == kind:
        return vector
    if vector.kind == "null":
        return Vector(kind, _FILLER[kind], np.asarray(vector.null) | True)
    return Vector(kind, np.asarray(vector.data).astype(DTYPE[kind]), vector.null)


def as_time(vector: Vector, wide: bool, operand: int) -> Vector:
    from colony_lib.data import times

    if np.ndim(vector.data):
        raise Kinds("a text column does not go together with a date", operand, "declare its type in the schema")
    day = times.parse_date(vector.data)
    if day is not None:
        return Vector("date", day)
    moment = times.parse_datetime(vector.data)
    if moment is None:
        raise Kinds(
            f"'{escape(vector.data)}' is not an ISO 8601 date or time",
            operand,
            "write it like 2013-01-15 or 2013-01-15T05:00:00Z",
        )
    return Vector("datetime", moment)


def _compare(work: Callable[[Any, Any], Any], ordered: bool) -> Callable[[Vector, Vector], Vector]:
    def compare(left: Vector, right: Vector) -> Vector:
        for i, side in enumerate((left, right)):
            if side.kind == "null" and np.ndim(side.null) == 0:
                raise Kinds("a comparison with null is never true", i, "use 'is null' or 'is not null'")
        if "any" in (left.kind, right.kind):
            if ordered:
                raise Kinds("mixed values have no order", 0, "declare the column's type in the schema")
        else:
            _, (left, right) = unified([left, right])
        null = np.asarray(left.null) | right.null
        return Vector("boolean", np.asarray(work(left.data, right.data), dtype=bool) & ~null, null)

    return compare


def _in(operand: Vector, *items: Vector) -> Vector:
    for i, item in enumerate(items, 1):
        if item.kind == "null":
            raise Kinds("null in a list is never equal to anything", i, "add 'or … is null'")
    if operand.kind == "any":
        values = [item.data for item in items]
    else:
        _, (operand, *same) = unified([operand, *items])
        values = [item.data for item in same]
    data = np.atleast_1d(operand.data)
    found = pd.Series(data, dtype=object if data.dtype == object else None).isin(values).to_numpy()
    found = found if np.ndim(operand.data) else found[0]
    return Vector("boolean", found & ~np.asarray(operand.null), operand.null)


def _numeric(work: Callable[[Any, Any], Any]) -> Callable[[Vector, Vector], Vector]:
    def calculate(left: Vector, right: Vector) -> Vector:
        for i, side in enumerate((left, right)):
            if side.kind not in (*NUMBERS, "null"):
                raise Kinds(f"{a_kind(side.kind)} cannot be calculated with", i)
        kind, (left, right) = unified([left, right])
        return _checked(kind, work, left, right)

    return calculate


def _checked(kind: str, work: Callable[[Any, Any], Any], left: Vector, right: Vector) -> Vector:
    null = np.asarray(left.null) | right.null
    if kind == "null":
        return Vector("null", 0, null)
    data = work(left.data, right.data)
    if kind == "integer":
        rough = work(np.asarray(left.data, dtype=float), np.asarray(right.data, dtype=float))
        if np.any(np.abs(np.where(null, 0.0, rough)) >= 2.0**63):
            raise Kinds("the result is too large for an integer", fix="multiply by 1.0 to calculate with decimals")
        return Vector(kind, data, null)
    return finite(data, null)


def finite(data: Any, null: Any) -> Vector:
    bad = ~np.isfinite(data)
    return Vector("number", np.where(bad, 0.0, data), null | bad)


def _add(left: Vector, right: Vector) -> Vector:
    if (left.kind == "string" and right.kind in ("string", "null")) or (right.kind == "string" and left.kind == "null"):
        _, (left, right) = unified([left, right])
        return Vector("string", np.asarray(left.data, dtype=object) + right.data, np.asarray(left.null) | right.null)
    return _numeric(np.add)(left, right)


def _subtract(left: Vector, right: Vector) -> Vector:
    if left.kind in TIMES or right.kind in TIMES:
        kind, (left, right) = unified([left, right])
        null = np.asarray(left.null) | right.null
        if kind == "date":
            return Vector("integer", (left.data - right.data) // np.timedelta64(86400, "s"), null)
        return Vector("number", (left.data - right.data) / np.timedelta64(1, "s"), null)
    return _numeric(np.subtract)(left, right)


def _divide(left: Vector, right: Vector) -> Vector:
    for i, side in enumerate((left, right)):
        if side.kind not in (*NUMBERS, "null"):
            raise Kinds(f"{a_kind(side.kind)} cannot be calculated with", i)
    left, right = to_kind(left, "number"), to_kind(right, "number")
    return finite(np.true_divide(left.data, right.data), np.asarray(left.null) | right.null)


def _remainder(left: Vector, right: Vector) -> Vector:
    zero = np.asarray(right.data == 0) if right.kind in NUMBERS else False
    result = _numeric(np.mod)(left, right)
    return Vector(result.kind, np.where(zero, 0, result.data), result.null | zero)


def _negative(operand: Vector) -> Vector:
    return _numeric(np.subtract)(Vector("integer", np.int64(0)), operand)


def each(vector: Vector, work: Callable[[str], Any], kind: str) -> Vector:
    """`work` over the texts, once for each distinct one."""
    if vector.kind == "null":
        return to_kind(vector, kind)
    if vector.kind != "string":
        raise Kinds(f"{a_kind(vector.kind)} is not a text", 0)
    if np.ndim(vector.data) == 0:
        return Vector(kind, work(str(vector.data)), vector.null)
    codes, distinct = pd.factorize(vector.data)
    results = np.empty(len(distinct), dtype=DTYPE.get(kind, object))
    results[:] = [work(text) for text in distinct]
    return Vector(kind, results[codes], vector.null)


def _matches(operand: Vector, pattern: Any) -> Vector:
    return each(operand, lambda text: pattern.fullmatch(text) is not None, "boolean")


_OPERATIONS: dict[str, Callable[..., Vector]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "is null": _is_null,
    "in": _in,
    "==": _compare(lambda a, b: a == b, False),
    "!=": _compare(lambda a, b: a != b, False),
    "<": _compare(lambda a, b: a < b, True),
    "<=": _compare(lambda a, b: a <= b, True),
    ">": _compare(lambda a, b: a > b, True),
    ">=": _compare(lambda a, b: a >= b, True),
    "+": _add,
    "-": _subtract,
    "*": _numeric(np.multiply),
    "/": _divide,
    "%": _remainder,
    "negative": _negative,
}
