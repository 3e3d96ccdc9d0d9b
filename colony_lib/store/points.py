"""Metrics as they are read: a window of a metric's points, and what they amount to.

Memory is bounded: about 170 bytes a point in the window, and one block of the file.
"""

from __future__ import annotations

from array import array

from colony_lib.base import clock, jsontext
from colony_lib.store import metrics, paths, pointrows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.pointrows import Columns

TOLERANCE = 300.0  # seconds that another machine's clock may be ahead of ours
STAMP = 24  # bytes of a time


def _kept(columns: Columns, keep: Sequence[bool]) -> Columns:
    from itertools import compress

    return tuple(list(compress(column, keep)) for column in columns)  # type: ignore[return-value]


class Labels:
    """Whether a point's labels hold all of the wanted ones; each spelling is looked at once."""

    __slots__ = ("_known", "wanted")

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.wanted = dict(wanted)
        self._known: dict[bytes, bool] = {}

    def __call__(self, labels: bytes) -> bool:
        known = self._known.get(labels)
        if known is None:
            have = jsontext.loads(labels)
            known = all(have.get(key) == value for key, value in self.wanted.items())
            self._known[labels] = known
        return known


class Window:
    """The points of one metric between two moments, ordered by time, and what they amount to.

    `last` is the newest point up to the end, inside the window or before it: (time, value, labels) or None;
    `future` counts the points that lie after the end. A point repeated (same id) counts once.
    """

    __slots__ = (
        "_from", "_known", "_labels", "_last", "_ordered", "_texts", "end", "future", "last", "name", "problems",
        "start", "times", "type", "unit", "values",
    )  # fmt: skip

    def __init__(self, name: str, hours: float | None, labels: Mapping[str, str] | None = None) -> None:
        """Read the metric's journal. `hours` back from now, None for all there is."""
        now = clock.epoch()
        self.name = name
        self.type, self.unit = metrics.describe(name)
        self._from = 0.0 if hours is None else max(now - hours * 3600.0, 0.0)  # seconds since 1970
        self.start = stamp(self._from)
        self.end = stamp(now + TOLERANCE)
        self.values = array("d")
        self.times = bytearray()
        self.last: tuple[str, int | float, dict[str, str]] | None = None
        self.future = 0
        self.problems: list[Problem] = []
        self._labels = array("L")  # for each point, the place of its labels in _texts
        self._texts: dict[bytes, int] = {}
        self._known: set[bytes] = set()
        self._last: tuple[bytes, bytes] = (b"", b"")
        self._ordered = True
        wanted = Labels(labels) if labels else None
        start, end = (b"" if hours is None else self.start.encode()), self.end.encode()
        for columns in pointrows.read(paths.metric(name), self.problems):
            self._take(columns, start, end, wanted)
        self._known = set()
        self._order()

    def _take(self, columns: Columns, start: bytes, end: bytes, wanted: Labels | None) -> None:
        if wanted is not None:
            columns = _kept(columns, list(map(wanted, columns[3])))
        times = columns[1]
        if times and max(times) > end:
            keep = [time <= end for time in times]
            self.future += len(keep) - sum(keep)
            columns = _kept(columns, keep)
            times = columns[1]
        if not times:
            return
        newest = max(times)
        if newest >= self._last[0]:
            self._newest(columns, newest)
        self.type, self.unit = told(set(columns[4]), self.type, self.unit)
        if min(times) < start:
            columns = _kept(columns, [time >= start for time in times])
        if columns[0]:
            self._add(self._unknown(columns))

    def _newest(self, columns: Columns, newest: bytes) -> None:
        """The current point is the one of the latest time, then of the greatest id: file order says nothing."""
        ids, times, values, labels, _ = columns
        if times.count(newest) == 1:
            place = times.index(newest)
        else:
            place = max((ids[i], i) for i, time in enumerate(times) if time == newest)[1]
        if (newest, ids[place]) > self._last:
            self._last = (newest, ids[place])
            self.last = (newest.decode(), tidy(values[place]), jsontext.loads(labels[place]))

    def _unknown(self, columns: Columns) -> Columns:
        """The points whose ids were not there before."""
        ids = set(columns[0])
        if len(ids) == len(columns[0]) and self._known.isdisjoint(ids):
            self._known |= ids
            return columns
        keep = []
        for identity in columns[0]:
            keep.append(identity not in self._known)
            self._known.add(identity)
        return _kept(columns, keep)

    def _add(self, columns: Columns) -> None:
        _, times, values, labels, _ = columns
        if self._ordered and times:
            self._ordered = times[0] >= bytes(self.times[-STAMP:]) and list(times) == sorted(times)
        self.times += b"".join(times)
        self.values.extend(values)
        texts = self._texts
        for text in set(labels):
            texts.setdefault(text, len(texts))
        self._labels.extend(map(texts.__getitem__, labels))

    def _order(self) -> None:
        """Writers stamp a point before they have the lock, so neighbours may stand in the wrong order."""
        if self._ordered:
            return
        times = self.times
        order = sorted(range(len(self.values)), key=lambda i: bytes(times[i * STAMP : i * STAMP + STAMP]))
        self.values = array("d", map(self.values.__getitem__, order))
        self._labels = array("L", map(self._labels.__getitem__, order))
        self.times = bytearray(b"".join(bytes(times[i * STAMP : i * STAMP + STAMP]) for i in order))
        self._ordered = True

    def __len__(self) -> int:
        return len(self.values)

    def points(self) -> Iterator[tuple[str, int | float, str]]:
        """(time, value, labels as JSON) of each point in the order of time."""
        texts = [text.decode() for text in self._texts]
        times = self.times.decode("ascii")
        for i, value in enumerate(self.values):
            yield times[i * STAMP : i * STAMP + STAMP], tidy(value), texts[self._labels[i]]

    def document(self, head: dict[str, Any]) -> Iterator[str]:
        """One JSON object and its newline, piece by piece: the head's keys, `last` and `future`, then `points`.
        A million points need no memory beside their own."""
        last = self.last and dict(zip(("ts", "value", "labels"), self.last))
        yield jsontext.dumps({**head, "last": last, "future": self.future})[:-1] + ',"points":['
        between = ""
        for ts, value, labels in self.points():
            yield f'{between}{{"ts":"{ts}","value":{value!r},"labels":{labels}}}'
            between = ","
        yield "]}\n"

    def lines(self) -> Iterator[str]:
        """The points as JSON Lines, each whole by itself: name, type, unit, ts, value, labels."""
        head = jsontext.dumps({"name": self.name, "type": self.type, "unit": self.unit})[:-1]
        for ts, value, labels in self.points():
            yield f'{head},"ts":"{ts}","value":{value!r},"labels":{labels}}}\n'

    def statistics(self) -> dict[str, Any]:
        """{count, current, average, min, max, sum, p50, p95}; of no points, count and sum are 0, the rest None."""
        if not self.values:
            return {"count": 0, "sum": 0} | dict.fromkeys(("current", "average", "min", "max", "p50", "p95"))
        ordered = sorted(self.values)
        total, average = sums(self.values)
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
            high = len(self.values) if part == count else self._before(edge, low)
            averages.append(sums(self.values[low:high])[1] if high > low else None)
            low = high
        return averages

    def _before(self, edge: bytes, low: int) -> int:
        """How many points are older than the edge; at least `low` are."""
        high = len(self.values)
        while low < high:
            middle = (low + high) // 2
            if self.times[middle * STAMP : middle * STAMP + STAMP] < edge:
                low = middle + 1
            else:
                high = middle
        return low


def stamp(seconds: float) -> str:
    """A time of 24 characters, whatever was asked for: not before 1970, not after 9999."""
    return clock.stamp(min(max(seconds, 0.0), 253402300799.0))


def tidy(value: float) -> int | float:
    """Whole numbers without the '.0', where no digit is lost by it."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def sums(values: Sequence[float]) -> tuple[float, float]:
    """(sum, average), rounded once and so the same in any order; where the sum of numbers near the largest there
    is would be infinite, it is the largest number instead."""
    from math import fsum

    try:
        total = fsum(values)
        return total, total / len(values)
    except OverflowError:
        average = fsum(value / len(values) for value in values)
        return (1.7976931348623157e308 if average > 0 else -1.7976931348623157e308), average


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
        for columns in pointrows.read(paths.metric(name), self.problems):
            for identity, time, value, labels, rest in zip(*columns):
                if start <= time <= end and (labels not in newest or newest[labels] < (time, identity)):
                    newest[labels] = (time, identity, value)
                more.add(rest)
        self.type, self.unit = told(more, *metrics.describe(name))
        # The same labels may be spelled in more than one way (blanks, order) where others wrote the line.
        by_meaning: dict[str, tuple[bytes, bytes, float]] = {}
        for text, found in newest.items():
            key = jsontext.dumps(dict(sorted(jsontext.loads(text).items())))
            by_meaning[key] = max(found, by_meaning.get(key, found))
        self.series = [
            (jsontext.loads(key), time.decode(), tidy(value)) for key, (time, _, value) in sorted(by_meaning.items())
        ]


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
