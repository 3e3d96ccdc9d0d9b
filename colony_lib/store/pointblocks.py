"""A metric's journal taken apart with numpy: for the journals whose points are many.

Writers spell all of their lines in one way. That way is learned from one line (`Form`), and the lines of a block are
then checked against it and taken apart together, by a few operations on arrays for some thousands of lines. A line
that no form fits goes to `pointrows`, which knows every spelling: what is read is the same, only the time differs.
"""

from __future__ import annotations

import numpy as np

from colony_lib.store import pointforms, pointrows
from colony_lib.store.pointforms import BEFORE, COLUMNS, Block, Form, Room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.base.jsonl import Problem

FORMS = 16  # ways of spelling that the lines of one journal are tried against
FEW = 16  # lines that are not worth a form of their own


class Reader:
    """Reads a journal block by block; the room's `labels` and `more` are the texts that the blocks' points refer to."""

    def __init__(self, path: str, problems: list[Problem] | None = None) -> None:
        self.path = path
        self.problems = problems
        self.room = Room(pointrows.LONGEST + pointrows.BLOCK + 2)
        self._forms: list[Form] = []

    def blocks(self) -> Iterator[Block]:
        """The points, repeats included. A torn last line is passed over; any other line that is no point goes to
        `problems` and is skipped."""
        number = 0
        data = np.frombuffer(self.room.bytes, np.uint8)
        for end in pointrows.blocks(self.path, self.room.bytes, BEFORE):
            ends = np.flatnonzero(data[BEFORE:end] == 10) + BEFORE
            starts = np.empty_like(ends)
            starts[0] = BEFORE
            starts[1:] = ends[:-1] + 1
            block = self._block(starts, ends, number)
            number += len(ends)
            if block is not None:
                yield block

    def _block(self, starts: Any, ends: Any, number: int) -> Block | None:
        """The points of the lines; `number` lines stand before them."""
        parts: list[tuple[Any, Block]] = []
        rest = np.arange(len(starts))  # the lines that are still to be read
        for form in self._forms:
            if len(rest):
                rest = form.take(rest, starts, ends, parts)
        while len(rest) >= FEW and len(self._forms) < FORMS:
            new = self._learn(rest, starts, ends)
            left = new.take(rest, starts, ends, parts) if new is not None else rest
            if new is None or len(left) == len(rest):
                break
            self._forms.append(new)
            rest = left
        if len(rest):
            self._with_care(rest, starts, ends, number, parts)
        self._forms.sort(key=lambda form: -form.fitted)
        return _joined(parts) if parts else None

    def _learn(self, rest: Any, starts: Any, ends: Any) -> Form | None:
        """The form of one of the lines, some of which may be damaged."""
        for place in rest[:: -(-len(rest) // 8)]:
            form = Form.of(bytes(self.room.bytes[starts[place] : ends[place]]), self.room)
            if form is not None:
                return form
        return None

    def _with_care(self, rest: Any, starts: Any, ends: Any, number: int, parts: list[tuple[Any, Block]]) -> None:
        """Reads the lines that no form fits, and adds those that are points to the parts."""
        lines = [bytes(self.room.bytes[starts[place] : ends[place]]) for place in rest]
        columns = pointrows.at_once(lines)
        if columns is None:
            rows = []
            whole = []
            for place, line in zip(rest.tolist(), lines):
                row = pointrows.point(line)
                if isinstance(row, tuple):
                    rows.append(row)
                    whole.append(place)
                elif row and self.problems is not None:
                    self.problems.append((self.path, number + place + 1, row))
            if not rows:
                return
            rest, columns = np.array(whole), tuple(zip(*rows))  # type: ignore[assignment]
        ids, times, values, labels, more = columns  # type: ignore[misc]
        width = -(-max(map(len, ids)) // 8) or 1
        stamps = np.frombuffer(b"".join(times), np.uint8).reshape(-1, 24)
        block = Block(
            np.frombuffer(b"".join(text.ljust(8 * width, b"\0") for text in ids), "<u8").reshape(-1, width),
            stamps,
            pointforms.keys(stamps.view("<u8") ^ pointforms.TIME),
            np.array(values, np.float64),
            np.array([self.room.place(0, text) for text in labels], np.uint32),
            np.array([self.room.place(1, text) for text in more], np.uint32),
        )
        parts.append((rest, block))


def _joined(parts: list[tuple[Any, Block]]) -> Block:
    """The parts' points in the order of their lines."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([lines for lines, _ in parts]))
    width = max(block.ids.shape[1] for _, block in parts)
    columns = {name: [getattr(block, name) for _, block in parts] for name in COLUMNS}
    columns["ids"] = [pointforms.widened(ids, width) for ids in columns["ids"]]
    return Block(*(np.concatenate(column)[order] for column in columns.values()))
