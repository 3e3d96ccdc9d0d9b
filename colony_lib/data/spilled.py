"""Columns on disk: a table that is too large for memory, with that part of a DataFrame's face which the tools use.

A column lies in segments of 65,536 rows in a file without a name, which no crash leaves behind; whoever asks for a
column gets it whole, as the Series that a DataFrame would give, and the memory goes back when he lets go of it. Rows
that are left out stay where they are and are passed over: every column has the segments of the rows that came first.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.data import table
from colony_lib.data.segments import TYPED, Segment, Store, Stored, of_objects, of_values, whole_kind
from colony_lib.store import progress

SEGMENT = 1 << 16  # rows
_FEW = 1 << 11  # rows

Row = dict[str, Any]


def of_rows(rows: Iterable[Row], most: int, what: str = "") -> pd.DataFrame | Spilled:
    """The table of those records, as table.from_rows makes it; on disk when it has more than `most` cells. What is
    held of them is 65,536 records at a time. `what` they are is for those who wait."""
    store = Store()
    columns: dict[str, list[Segment]] = {}
    total = 0
    for found, count in _parts(rows):
        if total == 0 and count < SEGMENT:
            return table.of_columns(found, count)
        for name in found:
            if name not in columns:
                columns[name] = [Segment("null", SEGMENT) for _ in range(total // SEGMENT)]
        for name, segments in columns.items():
            segments.append(of_values(store, found[name]) if name in found else Segment("null", count))
        total += count
        progress.tell(what, "reading", total, len(rows) if isinstance(rows, Sized) else None)
    if not total:
        return table.from_rows([])
    made = Spilled(store, {name: Stored(whole_kind(parts), parts) for name, parts in columns.items()}, total)
    return made.whole() if total * len(columns) <= most else made


def _parts(rows: Iterable[Row]) -> Iterator[tuple[dict[str, list[Any]], int]]:
    """(columns, their length) of SEGMENT rows after the other. A few are turned at a time: they are still in the
    processor's caches."""
    rows = iter(rows)
    found: dict[str, list[Any]] = {}
    count = 0
    while few := list(islice(rows, min(_FEW, SEGMENT - count))):
        for name, values in table.columns(few).items():
            column = found.setdefault(name, [])
            column += [None] * (count - len(column))
            column += values
        count += len(few)
        if count == SEGMENT:
            yield _even(found, count), count
            found, count = {}, 0
    if count:
        yield _even(found, count), count


def _even(columns: dict[str, list[Any]], length: int) -> dict[str, list[Any]]:
    for values in columns.values():
        values += [None] * (length - len(values))
    return columns


class Spilled:
    """A table on disk. Like a DataFrame's: `columns`, `index` (the places in the input of the rows that are still in),
    len, `[name]` (a Series), `[mask]` and reset_index (tables that share these columns), `iloc[positions]` (a
    DataFrame of those rows). A table is never changed: `picked` and `assigned` give another."""

    __slots__ = ("_alive", "_columns", "_first", "_kept", "_length", "_store", "_total", "columns")

    def __init__(
        self,
        store: Store,
        columns: Mapping[str, Stored],
        total: int,
        kept: np.ndarray | None = None,
        first: np.ndarray | None = None,
    ) -> None:
        self._store = store
        self._columns = dict(columns)
        self._total = total
        self._kept = kept  # of all rows those that are in; None: all
        self._first = first  # those that were in when the rows were last counted anew
        self._length = total if kept is None else int(kept.sum())
        self._alive: weakref.WeakValueDictionary[str, pd.Series] = weakref.WeakValueDictionary()
        self.columns = pd.Index(list(self._columns), dtype=object)

    def __len__(self) -> int:
        return self._length

    @property
    def index(self) -> pd.Index:
        if self._kept is None:
            return pd.RangeIndex(self._total)
        return pd.Index(np.flatnonzero(self._kept if self._first is None else self._kept[self._first]))

    @property
    def iloc(self) -> _Places:
        return _Places(self)

    def __getitem__(self, what: Any) -> Any:
        if not isinstance(what, str):
            return self._some(np.asarray(what, dtype=bool))
        series = self._alive.get(what)
        if series is None:
            series = self._read(self._columns[what], self._pieces())
            series.index = self.index
            self._alive[what] = series
        return series

    def _some(self, mask: np.ndarray) -> Spilled:
        kept = np.zeros(self._total, dtype=bool)
        kept[... if self._kept is None else self._kept] = mask
        return Spilled(self._store, self._columns, self._total, kept, self._first)

    def reset_index(self, drop: bool) -> Spilled:
        """The same rows, counted anew from 0."""
        assert drop
        return Spilled(self._store, self._columns, self._total, self._kept, self._kept)

    def picked(self, names: Mapping[str, str]) -> Spilled:
        """{new name: old name}: those columns, in that order."""
        found = {new: self._columns[old] for new, old in names.items()}
        return Spilled(self._store, found, self._total, self._kept, self._first)

    def assigned(self, columns: Mapping[str, pd.Series | Stored]) -> Spilled:
        """With those columns in their places, new ones at the end."""
        given = {name: c if isinstance(c, Stored) else self.stored(c) for name, c in columns.items()}
        return Spilled(self._store, {**self._columns, **given}, self._total, self._kept, self._first)

    def whole(self) -> pd.DataFrame:
        """The same in memory."""
        made = table.frame({name: self[name] for name in self._columns}, len(self))
        made.index = self.index
        return made

    def batches(self) -> Iterator[pd.DataFrame]:
        """The rows in order, up to 65,536 at a time."""
        places = self.index
        done = 0
        for number, piece in self._pieces():
            count = len(piece) if isinstance(piece, range) else int(piece.sum())
            if not count:
                continue
            columns = {name: self._read(column, [(number, piece)]) for name, column in self._columns.items()}
            made = table.frame(columns, count)
            made.index = places[done : done + count]
            done += count
            yield made

    def stored(self, series: pd.Series) -> Stored:
        """The column, which has a value for each of our rows, written down."""
        dtype = str(series.dtype)
        kind = table.KINDS.get(dtype)
        if kind is None:
            data, null = series.to_numpy(), np.zeros(0, dtype=bool)
        elif kind in ("date", "datetime"):
            data = series.to_numpy()
            null = np.isnat(data)
            data = data.view("int64")
        else:
            data = series.to_numpy(dtype=TYPED[kind], na_value=0)
            null = series.isna().to_numpy(dtype=bool)
        segments: list[Segment] = []
        done = 0
        for _, piece in self._pieces():
            length = len(piece)
            count = length if isinstance(piece, range) else int(piece.sum())
            part, gone = data[done : done + count], null[done : done + count]
            done += count
            if count < length:  # rows that are out have no value
                full = np.empty(length, dtype=object) if kind is None else np.zeros(length, dtype=data.dtype)
                full[piece] = part
                every = np.ones(length, dtype=bool)
                every[piece] = gone if kind is not None else False
                part, gone = full, every
            segments.append(of_objects(self._store, part) if kind is None else self._store.put(kind, part, gone))
        return Stored(kind or "any", segments)

    def _pieces(self, only: np.ndarray | None = None) -> Iterator[tuple[int, range | np.ndarray]]:
        """(number of the segment, its rows that are in: all, or a mask)."""
        kept = self._kept if only is None else only
        for number in range(-(-self._total // SEGMENT)):
            start = number * SEGMENT
            length = min(SEGMENT, self._total - start)
            yield number, range(length) if kept is None else kept[start : start + length]

    def _read(self, column: Stored, pieces: Iterable[tuple[int, range | np.ndarray]]) -> pd.Series:
        """The column's rows in those pieces, with the index 0, 1, …"""
        if column.kind in TYPED:
            parts = [self._typed(column, number, piece) for number, piece in pieces]
            data = np.concatenate([values for values, _ in parts])
            null = np.concatenate([gone for _, gone in parts])
            del parts
            if column.kind in ("date", "datetime"):
                data = data.view("datetime64[s]" if column.kind == "date" else "datetime64[us]")
            return table.column(column.kind, data, null, pd.RangeIndex(len(data)))
        known: dict[str, str] = {}
        objects = [self._python(column, number, piece, known) for number, piece in pieces]
        whole = np.concatenate(objects) if objects else np.empty(0, dtype=object)
        return pd.Series(whole, index=pd.RangeIndex(len(whole)), dtype=object)

    def _typed(self, column: Stored, number: int, piece: range | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        segment = column.segments[number]
        values, null = self._store.get(segment)
        if segment.kind == "null":
            values = np.zeros(segment.length, dtype=TYPED[column.kind])
        elif segment.kind == "any":
            values = np.array([0 if v is None else v for v in values], dtype=TYPED[column.kind])
        values = values.astype(TYPED[column.kind], copy=False)
        return (values, null) if isinstance(piece, range) else (values[piece], null[piece])

    def _python(self, column: Stored, number: int, piece: range | np.ndarray, known: dict[str, str]) -> np.ndarray:
        """The values as Python objects, equal texts as one object (`known`): a column has few that differ."""
        segment = column.segments[number]
        values, null = self._store.get(segment)
        if segment.kind == "string":
            codes, texts = values
            values = table.objects([*(known.setdefault(text, text) for text in texts), None])[codes]
        elif segment.kind in TYPED:
            values = table.objects(values.tolist())
            values[null] = None
        else:
            values = table.objects(values)
        found: np.ndarray = values if isinstance(piece, range) else values[piece]
        return found

    def _at(self, positions: np.ndarray) -> pd.DataFrame:
        rows = positions if self._kept is None else np.flatnonzero(self._kept)[positions]
        order = np.argsort(rows, kind="stable")
        wanted = np.zeros(self._total, dtype=bool)
        wanted[rows] = True
        pieces = [(number, piece) for number, piece in self._pieces(wanted) if np.any(piece)]
        distinct = np.unique(rows)
        back = np.searchsorted(distinct, rows[order])
        undo = np.empty(len(order), dtype="int64")
        undo[order] = back
        columns = {}
        for name, column in self._columns.items():
            series = self._read(column, pieces) if pieces else self._read(column, [])
            columns[name] = series.take(undo).reset_index(drop=True)
        made = table.frame(columns, len(rows))
        made.index = self.index[positions]
        return made


class _Places:
    """`table.iloc[positions]`."""

    __slots__ = ("_table",)

    def __init__(self, of: Spilled) -> None:
        self._table = of

    def __getitem__(self, positions: Any) -> pd.DataFrame:
        return self._table._at(np.asarray(positions, dtype="int64"))
