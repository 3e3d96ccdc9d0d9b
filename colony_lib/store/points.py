"""Metrics as they are read: a window of a metric's points, and what they amount to.

Memory is bounded: about 100 bytes a point in the window (250 where they are few), and one block of the file.
"""

from __future__ import annotations

from colony_lib.base import clock, jsontext
from colony_lib.store import env, metrics, paths, pointrows
from colony_lib.store.pointfold import STAMP, Fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.pointrows import Row

TOLERANCE = 300.0  # seconds that another machine's clock may be ahead of ours
LARGE = 4 << 20  # bytes of a journal from which on it is worth the time that importing numpy takes
PIECES = 1000  # points that are printed at once
_WHOLE = 2.0**53  # up to here every whole number is a float


def _fold(path: str) -> type[Fold]:
    """What gathers the points of that journal."""
    if pointrows.size(path) < LARGE:
        return Fold
    env.one_thread()
    from colony_lib.store import pointmany

    return pointmany.Fold


class Window:
    """The points of one metric between two moments, ordered by time, and what they amount to.

    `last` is the newest point up to the end, inside the window or before it: (time, value, labels) or None;
    `future` counts the points that lie after the end. A point repeated (same id) counts once.
    """

    __slots__ = (
        "_fold", "_from", "end", "future", "last", "name", "problems", "start", "type", "unit",
    )  # fmt: skip

    def __init__(self, name: str, hours: float | None, labels: Mapping[str, str] | None = None) -> None:
        """Read the metric's journal. `hours` back from now, None for all there is."""
        now = clock.epoch()
        self.name = name
        self._from = 0.0 if hours is None else max(now - hours * 3600.0, 0.0)  # seconds since 1970
        self.start = stamp(self._from)
        self.end = stamp(now + TOLERANCE)
        self.problems: list[Problem] = []
        path = paths.metric(name)
        start = b"" if hours is None else self.start.encode()
        self._fold = fold = _fold(path)(start, self.end.encode(), labels, self.problems)
        fold.read(path)
        self.type, self.unit = told(fold.more, *metrics.describe(name))
        self.future = fold.future
        self.last: tuple[str, int | float, dict[str, str]] | None = None
        if fold.newest is not None:
            time, _, value, text = fold.newest
            self.last = (time.decode(), tidy(value), jsontext.loads(text))

    def __len__(self) -> int:
        return len(self._fold)

    def points(self) -> Iterator[tuple[str, int | float, str]]:
        """(time, value, labels as JSON) of each point in the order of time."""
        times, values, labels = self._fold.columns()
        texts = [text.decode() for text in self._fold.texts]
        for i, value in enumerate(values):
            yield times[i * STAMP : i * STAMP + STAMP], tidy(value), texts[labels[i]]

    def document(self, head: dict[str, Any]) -> Iterator[str]:
        """One JSON object and its newline, piece by piece: the head's keys, `last` and `future`, then `points`.
        A million points need no memory beside their own."""
        last = self.last and dict(zip(("ts", "value", "labels"), self.last))
        yield jsontext.dumps({**head, "last": last, "future": self.future})[:-1] + ',"points":['
        between = ""
        for pieces in self._pieces("{"):
            yield between + ",".join(pieces)
            between = ","
        yield "]}\n"

    def lines(self) -> Iterator[str]:
        """The points as JSON Lines, each whole by itself: name, type, unit, ts, value, labels; some at a time."""
        head = jsontext.dumps({"name": self.name, "type": self.type, "unit": self.unit})[:-1]
        for pieces in self._pieces(head + ","):
            yield "\n".join(pieces) + "\n"

    def _pieces(self, head: str) -> Iterator[list[str]]:
        """The points as JSON objects that begin with the head, some at a time."""
        times, values, labels = self._fold.columns()
        texts = [text.decode() for text in self._fold.texts]
        for first in range(0, len(values), PIECES):
            places = range(first * STAMP, len(times), STAMP)
            some, theirs = values[first : first + PIECES], labels[first : first + PIECES]
            numbers = [int(v) if v.is_integer() and -_WHOLE < v < _WHOLE else v for v in some]  # what `tidy` does
            yield [
                f'{head}"ts":"{times[place : place + STAMP]}","value":{number!r},"labels":{texts[label]}}}'
                for place, number, label in zip(places, numbers, theirs)
            ]

    def median_like_last(self, but: Collection[str]) -> int | float | None:
        """The median of the points that have all labels of the newest one, those named in `but` aside: of the same
        table on other days, say, and not of other tables. None where there are fewer than two."""
        if self.last is None:
            return None
        wanted = {name: value for name, value in self.last[2].items() if name not in but}
        texts = [jsontext.loads(text) for text in self._fold.texts]
        like = {i for i, text in enumerate(texts) if {k: v for k, v in text.items() if k not in but} == wanted}
        _, values, labels = self._fold.columns()
        found = sorted(value for value, label in zip(values, labels) if label in like)
        if len(found) < 2:
            return None
        return tidy((found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2)

    def statistics(self) -> dict[str, Any]:
        """{count, current, average, min, max, sum, p50, p95}; of no points, count and sum are 0, the rest None."""
        if not len(self):
            return {"count": 0, "sum": 0} | dict.fromkeys(("current", "average", "min", "max", "p50", "p95"))
        ordered = self._fold.sorted()
        total, average = self._fold.sums(0, len(self))
        return {
            "count": len(ordered),
            "current": self.last[1] if self.last else None,
            "average": tidy(average),
            "min": tidy(ordered[0]),
            "max": tidy(ordered[-1]),
            "sum": tidy(total),
            "p50": tidy(percentile(ordered, 0.50)),
            "p95": tidy(percentile(ordered, 0.95)),
        }

    def buckets(self, count: int) -> list[float | None]:
        """The averages of `count` equal parts of the time from the window's start to now, None for a part without
        points. What lies between now and the window's end counts to the last part."""
        first = self._from
        last = max(clock.epoch(), first + 0.001)
        averages: list[float | None] = []
        low = 0
        for part in range(1, count + 1):
            edge = stamp(first + (last - first) * part / count).encode()
            high = len(self) if part == count else self._fold.before(edge)
            averages.append(self._fold.sums(low, high)[1] if high > low else None)
            low = high
        return averages


def stamp(seconds: float) -> str:
    """A time of 24 characters, whatever was asked for: not before 1970, not after 9999."""
    return clock.stamp(min(max(seconds, 0.0), 253402300799.0))


def tidy(value: float) -> int | float:
    """Whole numbers without the '.0', where no digit is lost by it."""
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def percentile(ordered: Sequence[float], share: float) -> float:
    """The percentile of sorted values by linear interpolation between the two nearest ranks, rank = share·(n-1):
    Hyndman and Fan's type 7, which numpy, pandas, R and spreadsheets use where nothing else is said."""
    rank = share * (len(ordered) - 1)
    low = int(rank)
    if low + 1 >= len(ordered) or ordered[low] == ordered[low + 1]:
        return ordered[low]
    part = rank - low
    return ordered[low] * (1.0 - part) + ordered[low + 1] * part


def told(more: set[bytes], kind: str, unit: str | None) -> tuple[str, str | None]:
    """(type, unit) of a metric: what its points say of it, else what its name tells."""
    for text in sorted(more - {b""}):
        said = jsontext.loads(b"{" + text[1:].strip() + b"}")
        kind, unit = said.get("type", kind), said.get("unit", unit)
    return kind, unit


class Latest:
    """The newest point of every set of labels of a metric, none from the future: `series` is
    [(labels, time, value)] ordered by labels; beside it the metric's `type` and `unit`."""

    __slots__ = ("name", "problems", "series", "type", "unit")

    def __init__(self, name: str, hours: float | None = None) -> None:
        """Read the metric's journal: the last `hours`, None for all there is."""
        now = clock.epoch()
        start = b"" if hours is None else stamp(now - hours * 3600.0).encode()
        end = stamp(now + TOLERANCE).encode()
        self.name = name
        self.problems: list[Problem] = []
        newest: dict[bytes, tuple[bytes, bytes, float]] = {}
        more: set[bytes] = set()
        for identity, time, value, labels, _ in _candidates(paths.metric(name), start, end, more, self.problems):
            if labels not in newest or newest[labels] < (time, identity):
                newest[labels] = (time, identity, value)
        self.type, self.unit = told(more, *metrics.describe(name))
        # The same labels may be spelled in more than one way (blanks, order) where others wrote the line.
        by_meaning: dict[str, tuple[bytes, bytes, float]] = {}
        for text, found in newest.items():
            key = jsontext.dumps(dict(sorted(jsontext.loads(text).items())))
            by_meaning[key] = max(found, by_meaning.get(key, found))
        self.series = [
            (jsontext.loads(key), time.decode(), tidy(value)) for key, (time, _, value) in sorted(by_meaning.items())
        ]


def _candidates(path: str, start: bytes, end: bytes, more: set[bytes], problems: list[Problem]) -> Iterator[Row]:
    """The points of a journal from `start` to `end` that may be the newest with their labels; `more` gets what all
    of its points say of type and unit."""
    if pointrows.size(path) >= LARGE:
        env.one_thread()
        from colony_lib.store import pointmany

        yield from pointmany.newest_of_labels(path, start, end, more, problems)
        return
    for columns in pointrows.read(path, problems):
        more.update(columns[4])
        yield from (row for row in zip(*columns) if start <= row[1] <= end)


class Newest:
    """A metric's newest point, `time` and `value` (None where there is none), its `type` and `unit`, found at the
    journal's end without reading all of it."""

    __slots__ = ("time", "type", "unit", "value")

    def __init__(self, name: str) -> None:
        end = stamp(clock.epoch() + TOLERANCE).encode()
        found = [row for row in pointrows.tail(paths.metric(name)) if row[1] <= end]
        self.type, self.unit = told({row[4] for row in found}, *metrics.describe(name))
        self.time: str | None = None
        self.value: int | float | None = None
        if found:
            row = max(found, key=lambda row: (row[1], row[0]))
            self.time, self.value = row[1].decode(), tidy(row[2])
        else:
            window = Window(name, None)
            self.type, self.unit = window.type, window.unit
            if window.last:
                self.time, self.value = window.last[:2]
