"""Tables of any size: DataFrames, and above CELLS cells tables on disk (see spilled), by the same few words.

Both have columns, index, len, [name], [mask], iloc[positions] and reset_index. What makes a table of another differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from colony_lib.data import rowtext, spilled, table
from colony_lib.data.segments import Stored
from colony_lib.data.spilled import Spilled

CELLS = 16_000_000  # rows × columns; with all that is made of it on the way, such a frame takes about a GiB

_LINES = 1 << 12  # at a time

Frame = Any  # pd.DataFrame | Spilled


def of_rows(rows: Iterable[dict[str, Any]], what: str = "") -> Frame:
    """The table of those records: see table.from_rows. They are taken in one by one, and none of them is kept. `what`
    they are is for those who wait."""
    return table.from_rows(rows) if isinstance(rows, list) else spilled.of_rows(rows, CELLS, what)


def assigned(frame: Frame, columns: Mapping[str, Any]) -> Frame:
    """The table with those columns (Series, or what `hold` made of them) in their places, new ones at the end."""
    if isinstance(frame, Spilled):
        return frame.assigned(columns)
    return rebuilt({**{str(name): frame[name] for name in frame.columns}, **columns}, frame.index)


def picked(frame: Frame, names: Mapping[str, str]) -> Frame:
    """{new name: old name}: those columns alone, in that order."""
    if isinstance(frame, Spilled):
        return frame.picked(names)
    return rebuilt({new: frame[old] for new, old in names.items()}, frame.index)


def hold(frame: Frame, column: pd.Series) -> pd.Series | Stored:
    """The column, put aside for `assigned`: of a table on disk it goes there, so that many need no memory."""
    return frame.stored(column) if isinstance(frame, Spilled) else column


def batches(frame: Frame) -> Iterator[pd.DataFrame]:
    """The rows in order, some 65,536 at a time."""
    if isinstance(frame, Spilled):
        yield from frame.batches()
        return
    for start in range(0, len(frame), spilled.SEGMENT):
        yield frame.iloc[start : start + spilled.SEGMENT]


def lines(frame: Frame) -> Iterator[list[str]]:
    """The rows as lines of JSON, some at a time: see rowtext.lines."""
    for part in batches(frame):
        found = rowtext.lines(part)
        for start in range(0, len(found), _LINES):
            yield found[start : start + _LINES]


def rebuilt(columns: dict[str, pd.Series], index: pd.Index) -> pd.DataFrame:
    """A DataFrame of those columns, which share that index, with their dtypes as they are."""
    made = pd.DataFrame(columns, index=index, copy=False)
    made.columns = pd.Index(list(columns), dtype=object)
    return made
