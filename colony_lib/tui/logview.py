"""Log lines on the screen: only those that are seen are drawn; it follows, pauses when one looks back, and searches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textual import events
from textual.geometry import Size
from textual.message import Message

from colony_lib.base import clock, text
from colony_lib.base.errors import ColonyError
from colony_lib.tui import paint
from colony_lib.tui.logtail import MOST, Tail
from colony_lib.tui.logwanted import GivenUp
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Rows

LOOK = 0.2  # seconds between two looks at the files
LONG = 20 << 20  # bytes that are searched before it is said
NEAR = 40  # lines above the screen, from which on older ones are read
_SHORT = {"error": "ERROR", "warn": "WARN", "info": "INFO", "debug": "DEBUG"}


class LogView(Rows):
    """The lines of a Tail. At the end it follows; every way up pauses it, End (or moving below the end) goes on."""

    class Told(Message):
        """What there is to say about it has changed."""

    def __init__(self, *, with_agent: bool = True, id: str | None = None) -> None:
        super().__init__(self._line_of, _key_of, empty="no lines", id=id)
        self.tail: Tail | None = None
        self.following = True
        self.wrapped = False
        self.timed = True
        self.shift = 0  # columns of the messages that are left of the screen
        self._with_agent = with_agent
        self._wide = 4  # columns of the longest agent's name so far

    def on_mount(self) -> None:
        self.set_interval(LOOK, self._look)

    def on_unmount(self) -> None:
        if self.tail is not None:
            self.tail.give_up()

    # -- what is read; one thread at a time for each tail

    def open(self, tail: Tail) -> None:
        """Show the lines of this tail, from its end."""
        if self.tail is not None:
            self.tail.give_up()
            if not self.tail.busy:
                self.tail.close()  # else who is at work on it closes it
        self.tail, self.following, self.shift = tail, True, 0
        self._start(tail.open)

    def _look(self) -> None:
        if self.tail is None or not self._is_seen():
            return
        if self.tail.busy:
            if self._is_searching(self.tail):
                self._update()  # what another filter found is not to be taken for what this one finds
            return
        if not self.following and self.scroll_offset.y < NEAR and not self.tail.at_top:
            self._start(self.tail.older)
        elif self.tail.has_news():
            self._start(partial(self.tail.fresh, keep=self.following))

    def _is_seen(self) -> bool:
        return self.is_attached and all(
            widget.display for widget in self.ancestors_with_self if hasattr(widget, "display")
        )

    def _start(self, act: Callable[[], Any]) -> None:
        tail = self.tail
        if tail is None or tail.busy:
            return
        tail.busy, tail.cancelled = True, False
        self.run_worker(self._run(tail, act), group="log")

    async def _run(self, tail: Tail, act: Callable[[], Any]) -> None:
        try:
            await asyncio.to_thread(act)
        except (ColonyError, OSError) as error:
            tail.trouble = str(error)
        except GivenUp:
            pass  # what was found until then stands
        finally:
            tail.busy = False
        if tail is self.tail:
            self._update()
        else:
            tail.close()  # another has taken its place meanwhile

    def _update(self) -> None:
        lines = self.tail.lines if self.tail is not None else []
        if self._with_agent and lines:
            most = 10 if self.size.width < 76 else 16
            self._wide = min(max(self._wide, *(len(record["agent"]) for record in lines[-200:])), most)
        before = self.item
        count = len(self.items)
        self.items = _wrapped(lines, self._room()) if self.wrapped else lines
        if self.following:
            self.cursor = max(len(self.items) - 1, 0)
        elif before is not None and len(self.items) != count:
            self._keep_place(before, count)
        self._resized()
        if self.following:
            self.scroll_to(y=max(len(self.items) - self.size.height, 0), animate=False)
        self.post_message(self.Told())

    def _keep_place(self, before: Any, count: int) -> None:
        """Older lines have come before those that are seen: what is seen stays."""
        added = len(self.items) - count
        if 0 <= self.cursor + added < len(self.items) and self.items[self.cursor + added] == before:
            self.cursor += added
            self.virtual_size = Size(self.size.width, len(self.items))
            self.scroll_to(y=self.scroll_offset.y + added, animate=False)
        else:
            self.cursor = min(self.cursor, max(len(self.items) - 1, 0))

    def said(self) -> Line:
        """What it does: follows, is paused, searches."""
        tail = self.tail
        if tail is None:
            return []
        if self._is_searching(tail):
            return [(f"searching, {tail.searched >> 20:,} MB so far, Esc stops", "warn")]
        if tail.trouble:
            return [(tail.trouble, "bad")]
        if len(tail.lines) >= MOST:
            return [(f"{MOST:,} lines are held: / narrows, g shows the oldest", "accent")]
        if not tail.at_end:
            return [("the oldest lines; End follows", "accent")]
        if not self.following:
            new = f"{tail.missed:,} new, " if tail.missed else ""
            return [(f"paused: {new}End follows", "accent")]
        if tail.skipped:
            return [(f"following; {tail.skipped >> 20:,} MB passed over", "warn")]
        return [("following", "dim")]

    def _is_searching(self, tail: Tail) -> bool:
        """Whether it looks for lines so long that this is said."""
        return tail.busy and tail.searched > LONG

    # -- keys

    def action_move(self, step: int) -> None:
        if step > 0 and self.cursor >= len(self.items) - 1:
            self.action_last()
            return
        self.following = self.following and step > 0
        super().action_move(step)

    def action_page(self, step: int) -> None:
        if step > 0 and self.cursor >= len(self.items) - 1:
            self.action_last()
            return
        self.following = self.following and step > 0
        super().action_page(step)

    def action_first(self) -> None:
        self.following = False
        if self.tail is not None and self.tail.at_top:
            super().action_first()
        elif self.tail is not None:
            self._start(self._oldest)

    def _oldest(self) -> None:
        assert self.tail is not None
        self.tail.oldest()
        self.cursor = 0
        self.call_after_refresh(self.scroll_to, y=0, animate=False)

    def action_last(self) -> None:
        self.following = True
        if self.tail is not None and not self.tail.at_end:
            self._start(self.tail.open)
        elif self.tail is not None:
            self._start(self.tail.fresh)
            self._update()

    def put_cursor(self, index: int, *, step: int = 1) -> None:
        if index < len(self.items) - 1:
            self.following = False
        super().put_cursor(index, step=step)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.following = False

    def stop_search(self) -> bool:
        """Give up a search that goes on; whether one did."""
        if self.tail is None or not self._is_searching(self.tail):
            return False
        self.tail.give_up()
        return True

    def toggle_wrap(self) -> None:
        before = _record_of(self.item) if self.item is not None else None
        self.wrapped = not self.wrapped
        self.shift = 0
        self._update()
        if not self.following:  # the line under the cursor is now another row
            rows = (place for place, item in enumerate(self.items) if _record_of(item) is before)
            self.cursor = next(rows, self.cursor)
            self._reveal()

    def toggle_times(self) -> None:
        self.timed = not self.timed
        self._update()

    def move_sideways(self, columns: int) -> None:
        self.shift = max(self.shift + columns, 0)
        self.refresh()

    def seek_problem(self, step: int) -> bool:
        """Move to the next (with -1 the last) line that warns or worse; whether there is one that is held."""
        place = self.cursor + step
        while 0 <= place < len(self.items):
            record = _record_of(self.items[place])
            if record["level"] in ("warn", "error"):
                self.put_cursor(place)
                return True
            place += step
        return False

    # -- lines

    def _marks(self) -> bool:
        return not self.following and super()._marks()

    def _head(self, record: dict[str, Any]) -> Line:
        level = record["level"]
        ts = record["ts"]
        when = ts[11:19] if ts[:10] == clock.now()[:10] else ts[5:19].replace("T", " ")
        head: Line = [(f" {when} ", "dim")] if self.timed else [(" ", "")]
        head.append((cell(_SHORT.get(level, level), 6), paint.LEVELS.get(level, "text")))
        if self._with_agent:
            head.append((cell(record["agent"], self._wide) + "  ", "dim"))
        return head

    def _room(self) -> int:
        """Columns that a message has, at least, in a line of today."""
        head = (10 if self.timed else 1) + 6 + (self._wide + 2 if self._with_agent else 0)
        return max(self.size.width - head - 1, 20)

    def _line_of(self, item: Any, columns: int) -> Line:
        record = _record_of(item)
        level = record["level"]
        role = {"error": "bad", "debug": "dim"}.get(level, "text")
        head = self._head(record)
        message = _message(record)
        if isinstance(item, tuple):
            part = message[item[1] : item[1] + self._room()]
            return [*head, (part, role)] if item[1] == 0 else [(" " * paint.columns_of(head), ""), (part, role)]
        return [*head, (message[self.shift :], role)]


def _record_of(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = item[0] if isinstance(item, tuple) else item
    return found


def _key_of(item: Any) -> str:
    record = _record_of(item)
    return str(record.get("id") or record["ts"])


def _message(record: dict[str, Any]) -> str:
    """The message on one line, and what else a structured line said."""
    shown = text.escape(record["message"])
    fields = record.get("fields")
    if isinstance(fields, dict) and fields:
        shown += "  " + " ".join(f"{text.escape(key)}={text.escape(value)}" for key, value in fields.items())
    return shown


def _wrapped(lines: Sequence[dict[str, Any]], room: int) -> list[tuple[dict[str, Any], int]]:
    """Each record once for each row that its message needs, with where in it the row begins."""
    return [(record, start) for record in lines for start in range(0, max(len(_message(record)), 1), room)]
