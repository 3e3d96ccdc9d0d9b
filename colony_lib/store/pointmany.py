"""The same as `pointfold`, for points by the million: columns of numpy instead of objects."""

from __future__ import annotations

import numpy as np

from colony_lib.store import pointblocks, pointfold, pointforms
from colony_lib.store.pointfold import STAMP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.pointforms import Block
    from colony_lib.store.pointrows import Row


class Fold(pointfold.Fold):
    __slots__ = ("_array", "_blocks", "_end", "_keys", "_start", "_where")

    def read(self, path: str) -> None:
        self._start, self._end = pointforms.key(self.start), pointforms.key(self.end)
        self._blocks: list[Block] = []
        reader = pointblocks.Reader(path, self.problems)
        for block in reader.blocks():
            self._gather(block, reader.room)
        self.texts = reader.room.labels
        self._finish()

    def __len__(self) -> int:
        return len(self._array)

    def columns(self) -> tuple[str, Sequence[float], Sequence[int]]:
        times = self._column("times") if self._blocks else np.zeros((0, STAMP), np.uint8)
        labels = self._column("labels") if self._blocks else np.zeros(0, np.uint32)
        return times.tobytes().decode(), self._array.data, labels.data

    def sorted(self) -> Sequence[float]:
        return np.sort(self._array).data

    def before(self, edge: bytes) -> int:
        return int(np.searchsorted(self._keys, pointforms.key(edge)))

    def sums(self, first: int, last: int) -> tuple[float, float]:
        return pointfold.rounded(*_exact(self._array[first:last]), last - first)

    def _gather(self, block: Block, room: pointforms.Room) -> None:
        if self._wanted is not None:
            wanted = np.array([self._wanted(text) for text in room.labels], bool)
            block = block.kept(wanted[block.labels])
        late = block.keys > self._end
        if late.any():
            self.future += int(late.sum())
            block = block.kept(~late)
        if not len(block):
            return
        place = latest(block)
        found = (block.times[place].tobytes(), block.id(place))
        if self.newest is None or found > self.newest[:2]:
            self.newest = (*found, float(block.values[place]), room.labels[block.labels[place]])
        self.more.update(_more(block, room))
        early = block.keys < self._start
        if early.any():
            block = block.kept(~early)
        if len(block):
            self._blocks.append(block)

    def _finish(self) -> None:
        """One point for each id, in the order of time: `_where` says where each stands in the blocks, or is None
        where they stand so already."""
        self._where = None
        if not self._blocks:
            self._keys, self._array = np.zeros(0, np.int64), np.zeros(0)
            return
        self._where = _first(self._blocks)
        for block in self._blocks:
            del block.ids
        self._keys = self._column("keys")
        if (self._keys[1:] < self._keys[:-1]).any():
            by_time = np.argsort(self._keys, kind="stable")
            self._keys = self._keys[by_time]
            self._where = by_time if self._where is None else self._where[by_time]
        self._array = self._column("values")

    def _column(self, name: str) -> Any:
        column = np.concatenate([getattr(block, name) for block in self._blocks])
        return column if self._where is None else column[self._where]


def _exact(values: Any) -> tuple[int, int]:
    """(number, power): the sum of the values is exactly number · 2**power. The values' halves of 26 bits are summed
    for each exponent by itself, so that no sum needs more bits than a float has."""
    number = 0
    for first in range(0, len(values), 1 << 14):
        fractions, exponents = np.frexp(values[first : first + (1 << 14)])
        mantissas = (fractions * 2.0**53).astype(np.int64)
        exponents += 1074  # now from 0 on
        for half, power in ((mantissas & (1 << 26) - 1, 0), (mantissas >> 26, 26)):
            sums = np.bincount(exponents, weights=half)
            for exponent in np.flatnonzero(sums).tolist():
                number += int(sums[exponent]) << (exponent + power)
    return number, -1074 - 53


def _more(block: Block, room: pointforms.Room) -> list[bytes]:
    """What the block's points say of type and unit."""
    return room.more if len(room.more) == 1 else [room.more[place] for place in np.unique(block.more)]


def latest(block: Block) -> int:
    """The place of the block's newest point: of those of the latest time the one with the greatest id."""
    places = np.flatnonzero(block.keys == block.keys.max())
    for column in range(block.ids.shape[1]):
        if len(places) > 1:
            words = block.ids[places, column].byteswap()
            places = places[words == words.max()]
    return int(places[0])


def _first(blocks: list[Block]) -> Any:
    """The places of the points whose ids were not there before; None when that is all of them.

    Ids are told apart by a number that is hashed from them; only where two numbers are the same the ids are compared.
    """
    hashes = np.concatenate([pointforms.hashed(block.ids) for block in blocks])
    ordered = np.sort(hashes)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(again):
        return None
    suspects = np.flatnonzero(np.isin(hashes, again))
    width = max(block.ids.shape[1] for block in blocks)
    ids = np.zeros((len(suspects), width), np.uint64)
    start = done = 0
    for block in blocks:
        mine = suspects[done : np.searchsorted(suspects, start + len(block))] - start
        ids[done : done + len(mine), : block.ids.shape[1]] = block.ids[mine]
        start += len(block)
        done += len(mine)
    # In an order that brings one id's points together, and leaves them in the order of the file.
    number = hashes[suspects]
    order = np.argsort(number, kind="stable")
    same = (ids[order[1:]] == ids[order[:-1]]).all(axis=1)
    if (same != (number[order[1:]] == number[order[:-1]])).any():
        order = np.lexsort(ids.T)
        same = (ids[order[1:]] == ids[order[:-1]]).all(axis=1)
    kept = np.ones(len(hashes), bool)
    kept[suspects[order[1:][same]]] = False
    return np.flatnonzero(kept)


def newest_of_labels(path: str, start: bytes, end: bytes, more: set[bytes], problems: list[Problem]) -> Iterator[Row]:
    """The points of a journal from `start` to `end` that may be the newest with their labels; `more` gets what all
    of its points say of type and unit."""
    first, last = pointforms.key(start), pointforms.key(end)
    reader = pointblocks.Reader(path, problems)
    room = reader.room
    for block in reader.blocks():
        more.update(_more(block, room))
        block = block.kept((block.keys >= first) & (block.keys <= last))
        newest = np.full(len(room.labels), -1, np.int64)
        np.maximum.at(newest, block.labels, block.keys)
        for place in np.flatnonzero(block.keys == newest[block.labels]).tolist():
            labels = room.labels[block.labels[place]]
            yield block.id(place), block.times[place].tobytes(), float(block.values[place]), labels, b""
