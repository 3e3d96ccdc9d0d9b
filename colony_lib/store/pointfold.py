"""The points of one metric between two moments, gathered from its journal: each once, in the order of time."""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.store import pointrows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.pointrows import Columns

STAMP = 24  # bytes of a time


class Fold:
    """What a journal holds of the points from `start` to `end` (times of 24 bytes, b"" for no start) with all of the
    `wanted` labels, whose different texts are in `texts`.

    `newest` is the (time, id, value, labels) of the newest point up to the end, in the window or before it; `future`
    counts the points after the end; `more` is what the points say of type and unit. Of points with one id the first
    in the file counts.
    """

    __slots__ = (
        "_ids", "_labels", "_ordered", "_places", "_times", "_values", "_wanted", "end", "future", "more", "newest",
        "problems", "start", "texts",
    )  # fmt: skip

    def __init__(self, start: bytes, end: bytes, wanted: Mapping[str, str] | None, problems: list[Problem]) -> None:
        self.start, self.end = start, end
        self.problems = problems
        self.texts: Collection[bytes] = {}
        self.newest: tuple[bytes, bytes, float, bytes] | None = None
        self.future = 0
        self.more: set[bytes] = set()
        self._wanted = Labels(wanted) if wanted else None
        self._values: list[float] = []
        self._times = bytearray()
        self._labels: list[int] = []
        self._places: dict[bytes, int] = {}
        self._ids: set[bytes] = set()
        self._ordered = True

    def read(self, path: str) -> None:
        for columns in pointrows.read(path, self.problems):
            self._take(columns)
        self.texts = self._places
        self._ids = set()
        self._order()

    def __len__(self) -> int:
        return len(self._values)

    def columns(self) -> tuple[str, Sequence[float], Sequence[int]]:
        """For each point its time (STAMP characters), its value and the place of its labels in `texts`."""
        return self._times.decode(), self._values, self._labels

    def sorted(self) -> Sequence[float]:
        """The values in the order of their size."""
        return sorted(self._values)

    def before(self, edge: bytes) -> int:
        """How many points are older than that time."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._times[middle * STAMP : middle * STAMP + STAMP] < edge:
                low = middle + 1
            else:
                high = middle
        return low

    def sums(self, first: int, last: int) -> tuple[float, float]:
        """(sum, average) of these points' values, as `rounded` has them."""
        from math import fsum

        values = self._values[first:last]
        try:
            total = fsum(values)
            return total, total / len(values)
        except OverflowError:
            ratios = (value.as_integer_ratio() for value in values)
            return rounded(sum(number * ((1 << 1074) // unit) for number, unit in ratios), -1074, len(values))

    def _take(self, columns: Columns) -> None:
        if self._wanted is not None:
            columns = _kept(columns, list(map(self._wanted, columns[3])))
        times = columns[1]
        if times and max(times) > self.end:
            keep = [time <= self.end for time in times]
            self.future += len(keep) - sum(keep)
            columns = _kept(columns, keep)
            times = columns[1]
        if not times:
            return
        self._newest(columns)
        self.more.update(columns[4])
        if min(times) < self.start:
            columns = _kept(columns, [time >= self.start for time in times])
        if columns[0]:
            self._add(self._unknown(columns))

    def _newest(self, columns: Columns) -> None:
        """The current point is the one of the latest time, then of the greatest id: file order says nothing."""
        ids, times, values, labels, _ = columns
        newest = max(times)
        if self.newest is None or newest >= self.newest[0]:
            place = times.index(newest)
            if times.count(newest) > 1:
                place = max((i for i, time in enumerate(times) if time == newest), key=ids.__getitem__)
            if self.newest is None or (newest, ids[place]) > self.newest[:2]:
                self.newest = (newest, ids[place], values[place], labels[place])

    def _unknown(self, columns: Columns) -> Columns:
        """The points whose ids were not there before."""
        ids = set(columns[0])
        if len(ids) == len(columns[0]) and self._ids.isdisjoint(ids):
            self._ids |= ids
            return columns
        keep = []
        for identity in columns[0]:
            keep.append(identity not in self._ids)
            self._ids.add(identity)
        return _kept(columns, keep)

    def _add(self, columns: Columns) -> None:
        _, times, values, labels, _ = columns
        if self._ordered and times:
            self._ordered = times[0] >= bytes(self._times[-STAMP:]) and list(times) == sorted(times)
        self._times += b"".join(times)
        self._values.extend(values)
        places = self._places
        for text in set(labels):
            places.setdefault(text, len(places))
        self._labels.extend(map(places.__getitem__, labels))

    def _order(self) -> None:
        """Writers stamp a point before they have the lock, so neighbours may stand in the wrong order."""
        if self._ordered:
            return
        times = self._times
        order = sorted(range(len(self)), key=lambda i: bytes(times[i * STAMP : i * STAMP + STAMP]))
        self._values = [self._values[i] for i in order]
        self._labels = [self._labels[i] for i in order]
        self._times = bytearray(b"".join(bytes(times[i * STAMP : i * STAMP + STAMP]) for i in order))


def rounded(number: int, power: int, count: int) -> tuple[float, float]:
    """(sum, average) of `count` values whose exact sum is number · 2**power: rounded once and so the same in any
    order. Where the sum would be infinite, it is the largest number that there is."""
    up, down = max(power, 0), max(-power, 0)
    try:
        total = (number << up) / (1 << down)
        return total, total / count
    except OverflowError:
        largest = 1.7976931348623157e308
        return largest if number > 0 else -largest, (number << up) / (count << down)


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


def _kept(columns: Columns, keep: Sequence[bool]) -> Columns:
    from itertools import compress

    return tuple(list(compress(column, keep)) for column in columns)  # type: ignore[return-value]
