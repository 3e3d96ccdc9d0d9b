"""What every transformation shares: the register of them, the step as written, and the rows on their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data import frames, table
from colony_lib.data.frames import Frame
from colony_lib.data.tableschema import Problem, Schema

ROWS = "rows"  # each row by itself: may run on a part of the rows
TABLE = "table"  # needs all rows at once


class Work:
    """A dataset's rows on their way through its transformations.

    `frame` holds the rows that are still in; its index is their place in the input, from 0. `rejects` are the rows
    that are out, by that place: (transformation, reason). `dropped` counts those left out on purpose.
    """

    __slots__ = ("dropped", "frame", "lookup", "rejects", "schema")

    def __init__(self, frame: Frame, schema: Schema, lookup: Callable[[str], Frame] | None = None) -> None:
        self.frame = frame
        self.schema = schema
        self.lookup = lookup
        self.rejects: dict[int, tuple[str, str]] = {}
        self.dropped = 0

    def reject(self, rows: np.ndarray, transformation: str, reason: Callable[[int], str]) -> int:
        """Take those rows (a mask over the frame) out, each with `reason(position in the frame)`; returns how many."""
        positions = np.flatnonzero(rows)
        if len(positions):
            places = self.frame.index
            for position in positions:
                self.rejects[int(places[position])] = (transformation, reason(int(position)))
            self.frame = self.frame[~rows]
        return len(positions)

    def reject_problems(self, problems: Sequence[Problem], before: Frame, transformation: str) -> int:
        """Take the rows with problems out, saying all of them; `before` is the table as it was."""
        if not problems:
            return 0
        rows = np.logical_or.reduce([problem.rows for problem in problems])
        told: dict[int, list[str]] = {}
        for problem in problems:
            column = before[problem.column]
            for place in np.flatnonzero(problem.rows).tolist():
                told.setdefault(place, []).append(problem.reason(place, column.iloc[place]))

        def reason(position: int) -> str:
            found = told[position]
            return "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")

        return self.reject(rows, transformation, reason)

    def drop(self, rows: np.ndarray) -> int:
        """Take those rows out for good, as asked; returns how many."""
        count = int(rows.sum())
        if count:
            self.frame = self.frame[~rows]
            self.dropped += count
        return count

    def set(self, columns: Mapping[str, Any]) -> None:
        """Put the columns (what `frames.hold` made of them, too) in their places, new ones at the end."""
        if columns:
            self.frame = frames.assigned(self.frame, columns)


def completed(frame: Frame, names: Sequence[str]) -> Frame:
    """A frame without rows, with those columns too: no records have no columns, and are no error."""
    missing = [name for name in names if name not in frame.columns]
    columns = {str(c): frame[c] for c in frame.columns} | {name: table.empty("any", frame.index) for name in missing}
    return frames.rebuilt(columns, frame.index) if missing else frame


Apply = Callable[[Work], dict[str, Any]]  # returns at least rows_affected


class Step:
    """One transformation as the pipeline file writes it: `type` (its full name), `options`, and where it stands."""

    __slots__ = ("options", "place", "schema", "type")

    def __init__(
        self, type: str, options: Mapping[str, Any], schema: Schema, place: Callable[..., str | None] | None = None
    ) -> None:
        self.type = type
        self.options = options
        self.schema = schema
        self.place = place or (lambda *keys: None)

    def get(self, key: str, default: Any = None) -> Any:
        return self.options.get(key, default)

    def need(self, key: str) -> Any:
        if self.options.get(key) is None:
            raise self.error(f"the transformation '{self.type}' needs '{key}'")
        return self.options[key]

    def names(self, key: str) -> list[str]:
        """A list of columns: one name, or a list of them; [] when it is not given."""
        given = self.options.get(key)
        return [] if given is None else [str(given)] if isinstance(given, str) else [str(name) for name in given]

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of the choices; the first of them when it is not given."""
        value = self.options.get(key, choices[0])
        value = "null" if value is None else value  # YAML reads a bare null for us
        if value not in choices:
            raise unknown(key, escape(value), choices, where=self.place(key), code=USAGE)
        return str(value)

    def error(self, what: str, key: str | None = None, fix: str | None = None) -> ColonyError:
        return ColonyError(what, where=self.place(key) if key else self.place(), fix=fix, code=USAGE)

    def column(self, work: Work, name: str, key: str = "column") -> pd.Series:
        """The column; ColonyError (USAGE) with the nearest names when there is none (in no rows, it is made)."""
        if not len(work.frame):
            work.frame = completed(work.frame, [name])
        if name not in work.frame.columns:
            raise unknown("column", escape(name), map(str, work.frame.columns), where=self.place(key), code=USAGE)
        return work.frame[name]


class Transformation:
    """A kind of transformation: `make(step)` checks the step and returns what does it; `keys` it takes; `scope`."""

    __slots__ = ("keys", "make", "name", "scope")

    def __init__(self, name: str, make: Callable[[Step], Apply], keys: Sequence[str], scope: str) -> None:
        self.name = name
        self.make = make
        self.keys = ("type", "name", "description", *keys)
        self.scope = scope


REGISTRY: dict[str, Transformation] = {}
ALIASES = {
    "names": "normalize_names",
    "nulls": "clean_nulls",
    "types": "convert_types",
    "dates": "normalize_dates",
    "duplicates": "drop_duplicates",
}


def transformation(
    name: str, keys: Sequence[str] = (), scope: str = ROWS
) -> Callable[[Callable[[Step], Apply]], Callable[[Step], Apply]]:
    """Register the decorated function as the transformation of that name."""

    def register(make: Callable[[Step], Apply]) -> Callable[[Step], Apply]:
        REGISTRY[name] = Transformation(name, make, keys, scope)
        return make

    return register
