"""Rows and columns: between lists of JSON objects and pandas frames that keep every value exactly.

A column's dtype says its kind, so that no list of kinds has to travel beside the frame:
Int64 integer · Float64 number · boolean · datetime64[s] date · datetime64[us] datetime (UTC) · object string or any.
Nulls are pd.NA, NaT or, in object columns, None; never NaN.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.jsontext import dumps

KINDS = {
    "Int64": "integer",
    "Float64": "number",
    "boolean": "boolean",
    "datetime64[s]": "date",
    "datetime64[us]": "datetime",
}


def from_rows(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame with one line a row (index 0, 1, …) and a column for every key, in order of first appearance.

    A column of integers, of numbers, or of booleans gets that dtype; all other values stay the Python objects they
    are. A key that a row does not have is null.
    """
    return of_columns(columns(rows), len(rows))


def of_columns(columns: dict[str, list[Any]], length: int) -> pd.DataFrame:
    """The frame of those columns of JSON values, each with so many."""
    return frame({name: infer(values) for name, values in columns.items()}, length)


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """{key: the value that each row has, None where it has none}, the keys in order of first appearance."""
    if not rows:
        return {}
    first = list(rows[0])
    if all(list(row) == first for row in rows):  # as nearly always: take them at once
        return dict(zip(first, map(list, zip(*map(dict.values, rows), strict=True)), strict=True))
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return {name: [row.get(name) for row in rows] for name in names}


def frame(columns: dict[str, pd.Series], length: int) -> pd.DataFrame:
    """A frame of columns that share the index 0, 1, …; also right when there are none."""
    made = pd.DataFrame(columns, index=pd.RangeIndex(length), copy=False)
    made.columns = pd.Index(list(columns), dtype=object)
    return made


_EXACT = 2**53  # up to here every integer is a float too
_FILLERS: dict[type, tuple[str, str, Any]] = {
    int: ("integer", "int64", 0),
    float: ("number", "float64", 0.0),
    bool: ("boolean", "bool", False),
}


def infer(values: list[Any]) -> pd.Series:
    """The column of JSON values, with the narrowest dtype that keeps all of them as they are."""
    types = set(map(type, values))
    holes = type(None) in types
    types.discard(type(None))
    if types == {int, float} and all(value is None or -_EXACT <= value <= _EXACT for value in values):
        types = {float}  # numbers, some of them whole
    index = pd.RangeIndex(len(values))
    if len(types) == 1 and (known := _FILLERS.get(types.pop())):
        kind, dtype, filler = known
        null = np.zeros(len(values), dtype=bool)
        if holes:
            null = np.array([value is None for value in values], dtype=bool)
            values = [filler if value is None else value for value in values]
        try:
            return column(kind, np.array(values, dtype=dtype), null, index)
        except OverflowError:  # an integer that 64 bits do not hold
            values = [None if gone else value for value, gone in zip(values, null, strict=True)] if holes else values
    return pd.Series(objects(values), index=index, dtype=object)


def objects(values: Iterable[Any]) -> np.ndarray:
    """A one-dimensional array of the values as they are, lists among them too."""
    values = list(values)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def column(kind: str, data: np.ndarray, null: np.ndarray, index: pd.Index) -> pd.Series:
    """The column of a kind from its values and the mask of its nulls (whose values are ignored)."""
    if kind == "integer":
        return pd.Series(pd.arrays.IntegerArray(data, null), index=index)
    if kind == "number":
        return pd.Series(pd.arrays.FloatingArray(data, null), index=index)
    if kind == "boolean":
        return pd.Series(pd.arrays.BooleanArray(data, null), index=index)
    if kind in ("date", "datetime"):
        data = data.astype("datetime64[s]" if kind == "date" else "datetime64[us]")
        data[null] = np.datetime64("NaT")
        return pd.Series(data, index=index)
    if null.any():
        data = data.copy()
        data[null] = None
    return pd.Series(data, index=index, dtype=object)


def empty(kind: str, index: pd.Index) -> pd.Series:
    """A column of that kind ('integer', 'date', … as `kind` says it) with nothing but nulls."""
    data = np.zeros(len(index), dtype={"integer": "int64", "number": "float64", "boolean": "bool"}.get(kind, "int64"))
    if kind not in ("integer", "number", "boolean", "date", "datetime"):
        data = np.empty(len(index), dtype=object)
    return column(kind, data, np.ones(len(index), dtype=bool), index)


def nulled(series: pd.Series, rows: np.ndarray) -> pd.Series:
    """The column with nulls in those rows (a mask)."""
    if series.dtype != object:
        return series.mask(rows)
    data = series.to_numpy().copy()
    data[rows] = None
    return pd.Series(data, index=series.index, dtype=object)


class _Examined:
    """What is known of a column of Python objects: its `kind`, and of texts which distinct one each row has."""

    __slots__ = ("_codes", "kind")

    def __init__(self, array: np.ndarray) -> None:
        found = pd.api.types.infer_dtype(array, skipna=True)
        self.kind = {"string": "string", "empty": "null"}.get(found, "any")
        self._codes: tuple[np.ndarray, np.ndarray] | None = None

    def encoded(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._codes is None:
            codes, distinct = pd.factorize(array)
            self._codes = codes, np.asarray(distinct, dtype=object)
        return self._codes


# By the memory they are of: a dozen checks look at a column, and each look at Python objects is slow. An entry goes
# when its array does. It holds because nothing here changes an array that a column is made of.
_examined: dict[tuple[int, ...], tuple[weakref.ref[np.ndarray], _Examined]] = {}


def _examine(series: pd.Series) -> tuple[np.ndarray, _Examined]:
    array = series.to_numpy()
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    key = (id(root), array.__array_interface__["data"][0], len(array), array.strides[0])
    found = _examined.get(key)
    if found is not None and found[0]() is root:
        return array, found[1]
    made = _Examined(array)
    _examined[key] = weakref.ref(root, lambda _: _examined.pop(key, None)), made
    return array, made


def kind(series: pd.Series) -> str:
    """integer, number, boolean, date, datetime, string, any (values of several types), or null (nothing else)."""
    return KINDS.get(str(series.dtype)) or _examine(series)[1].kind


def encoded(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(codes, distinct values): which of the distinct ones each row has, -1 for null. Not of kind `any`, whose values
    Python may take for equal (1 and true): see `hashable`."""
    if series.dtype != object:
        codes, distinct = pd.factorize(series, use_na_sentinel=True)
        return codes, distinct
    array, known = _examine(series)
    return known.encoded(array)


def absent(series: pd.Series) -> np.ndarray:
    """The mask of the nulls."""
    if series.dtype == object and kind(series) == "string":
        return np.asarray(encoded(series)[0] < 0)
    return np.asarray(series.isna().to_numpy(dtype=bool))


def values(series: pd.Series) -> list[Any]:
    """The column as JSON values: dates as YYYY-MM-DD, datetimes as YYYY-MM-DDThh:mm:ss[.fff[fff]]Z."""
    which = KINDS.get(str(series.dtype))
    if which is None:
        return list(series)
    if which in ("integer", "number", "boolean"):
        return list(series.to_numpy(dtype=object, na_value=None))
    raw = series.to_numpy()
    texts = objects(np.datetime_as_string(raw, unit="D" if which == "date" else "s").tolist())
    if which == "datetime":
        texts = texts + _fractions(raw)
    texts[np.isnat(raw)] = None
    return list(texts)


def _fractions(moments: np.ndarray) -> np.ndarray:
    """'Z' for whole seconds, else '.123Z' or '.123456Z': a value's text never depends on its neighbours."""
    endings = objects(["Z"] * len(moments))
    micro = np.where(np.isnat(moments), 0, moments.astype("int64")) % 1_000_000
    for i in np.flatnonzero(micro):
        digits = f"{int(micro[i]):06d}"
        endings[i] = f".{digits[:3] if digits.endswith('000') else digits}Z"
    return endings


def to_rows(made: pd.DataFrame) -> list[dict[str, Any]]:
    """One JSON object a line of the frame, in its order, each with every column."""
    names = list(made.columns)
    if not names:
        return [{} for _ in range(len(made))]
    return [dict(zip(names, row, strict=True)) for row in zip(*(values(made[name]) for name in names), strict=True)]


def codes(made: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """A whole number a row, equal where the values of those columns are equal; nulls are equal to each other."""
    combined = np.zeros(len(made), dtype="int64")
    for name in columns:
        if len(combined) and combined.max() == len(combined) - 1:
            break  # no two rows are equal any more, whatever the other columns hold
        found, distinct = encoded(hashable(made[name]))
        combined = combined * (len(distinct) + 1) + found + 1
        combined, _ = pd.factorize(combined)  # keeps the numbers small, however many columns there are
    return np.asarray(combined, dtype="int64")


def repeats(keys: np.ndarray, content: pd.DataFrame) -> np.ndarray:
    """The rows whose key another row has, but for one of each key: the one whose content comes first as text, so that
    which one it is does not depend on the order of the rows."""
    _, groups, counts = np.unique(keys, return_inverse=True, return_counts=True)
    rows = counts[groups] > 1
    several = np.flatnonzero(rows)
    if len(several):
        texts = [dumps(sorted(row.items())) for row in to_rows(content.iloc[several])]
        first: dict[int, int] = {}
        for place in sorted(range(len(several)), key=texts.__getitem__):
            first.setdefault(int(groups[several[place]]), int(several[place]))
        rows[list(first.values())] = False
    return np.asarray(rows, dtype=bool)


def common_codes(
    ours: pd.DataFrame, left: Sequence[str], theirs: pd.DataFrame, right: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Codes over our rows and then theirs, equal where the keys are equal; and the mask of the keys with a null.
    TypeError, with both columns' names, when their kinds cannot be equal."""
    columns = {}
    null = np.zeros(len(ours) + len(theirs), dtype=bool)
    for number, (mine, other) in enumerate(zip(left, right, strict=True)):
        a, b = ours[mine], theirs[other]
        kinds = {kind(a), kind(b)} - {"null"}
        if kinds == {"integer", "number"}:
            a, b = a.astype("Float64"), b.astype("Float64")
        elif len(kinds) > 1:
            raise TypeError(f"'{mine}' ({kind(a)}) cannot be compared with '{other}' ({kind(b)})")
        columns[str(number)] = joined(a, b)
        null |= columns[str(number)].isna().to_numpy(dtype=bool)
    return codes(frame(columns, len(null)), list(columns)), null


def joined(first: pd.Series, second: pd.Series) -> pd.Series:
    """One column after the other, with the index 0, 1, …; both are of one kind, or nothing but nulls."""
    kinds = [kind(first), kind(second)]
    if "null" in kinds and kinds[0] != kinds[1]:
        nulls, other = (first, second) if kinds[0] == "null" else (second, first)
        typed = empty(kind(other), nulls.index)
        first, second = (typed, second) if kinds[0] == "null" else (first, typed)
    return pd.concat([first, second], ignore_index=True)


def hashable(series: pd.Series) -> pd.Series:
    """The column with lists, objects and mixed values as JSON text, so that 1, true and "1" are three values."""
    if kind(series) != "any":
        return series
    return pd.Series(objects(None if v is None else dumps(v) for v in series), index=series.index, dtype=object)
