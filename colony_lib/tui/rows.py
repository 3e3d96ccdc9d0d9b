"""The two widgets of which the screen is made: fixed lines, and a list of which only what is seen is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from rich.segment import Segment
from textual.binding import Binding
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from colony_lib.tui import paint
from colony_lib.tui.paint import Line

if TYPE_CHECKING:
    from colony_lib.tui.app import ColonyApp

Draw = Callable[[Any, int], Line]  # an item and the columns there are, to its line


def painter(widget: Widget) -> paint.Painter:
    return cast("ColonyApp", widget.app).painter


class Lines(Widget):
    """Some lines of text that others put there; as high as they are many, unless CSS says otherwise."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *lines: Line, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines = list(lines)

    def put(self, *lines: Line) -> None:
        if list(lines) != self.lines:
            resized = len(lines) != len(self.lines)
            self.lines = list(lines)
            self.refresh(layout=resized)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        if y >= len(self.lines):
            return Strip.blank(self.size.width, base)
        return painter(self).strip(self.lines[y], self.size.width, base=base).apply_offsets(0, y)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(map(paint.plain, self.lines))), "\n"


class Rows(ScrollView, can_focus=True):
    """A list with a cursor. `show(items)` gives it what to draw; `draw(item, columns)` makes an item's line,
    `key(item)` its name, by which the cursor stays on it when the items change; None for a heading, on which it never
    rests."""

    DEFAULT_CSS = """
    Rows { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    """
    BINDINGS = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False),
        Binding("pagedown,ctrl+f", "page(1)", show=False),
        Binding("home,g", "first", show=False),
        Binding("end,G", "last", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        def __init__(self, rows: Rows, key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, rows: Rows, key: str | None) -> None:
            super().__init__()
            self.rows, self.key = rows, key

    def __init__(
        self,
        draw: Draw,
        key: Callable[[Any], str | None] = lambda item: None,
        *,
        empty: str = "",
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.items: Sequence[Any] = []
        self.cursor = 0
        self.empty: Line = [(" " + empty, "dim")]
        self.narrowed = False  # whether a filter is on, which what is not shown may be owed to
        self._draw, self._key = draw, key

    # -- what is shown

    def show(self, items: Sequence[Any]) -> None:
        """Draw these items; the cursor stays on the item it is on, or near it."""
        before, place = self.key, self.cursor
        self.items = items
        keys = [self._key(item) for item in items]
        if before is not None and before in keys:
            place = keys.index(before)
        self.cursor = self._rest(min(place, max(len(items) - 1, 0)), 1)
        self._resized()
        if self.key != before:
            self.post_message(self.Moved(self, self.key))

    def _resized(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.items))
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        self._resized()
        self.call_after_refresh(self._reveal)

    def line(self, index: int, columns: int) -> Line:
        return self._draw(self.items[index], columns)

    @property
    def key(self) -> str | None:
        """The name of the item under the cursor."""
        return self._key(self.items[self.cursor]) if self.cursor < len(self.items) else None

    @property
    def item(self) -> Any:
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    def render_line(self, y: int) -> Strip:
        index, width, base = y + self.scroll_offset.y, self.size.width, self.rich_style
        if index >= len(self.items):
            nothing: Line = [(" nothing fits the filter: Esc shows all", "dim")] if self.narrowed else self.empty
            line = nothing if not self.items and y == 0 else []
            return painter(self).strip(line, width, base=base)
        under = ("chosen" if self.has_focus else "unfocused") if index == self.cursor and self._marks() else ""
        strip = painter(self).strip(self.line(index, width), width, under, base)
        selection = self.text_selection
        span = selection.get_span(index) if selection is not None else None
        if span is not None:
            strip = self._selected(strip, span)
        return strip.apply_offsets(0, index)

    def _marks(self) -> bool:
        """Whether the row under the cursor is set off."""
        return self.key is not None

    def _selected(self, strip: Strip, span: tuple[int, int]) -> Strip:
        start, end = span[0], strip.cell_length if span[1] < 0 else min(span[1], strip.cell_length)
        if start >= end:
            return strip
        style = painter(self).style("marked")
        parts = [strip.crop(0, start), strip.crop(start, end), strip.crop(end, strip.cell_length)]
        parts[1] = Strip([Segment(text, (own or style) + style) for text, own, _ in parts[1]])
        return Strip.join(parts)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What was dragged over, for copying."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else len(self.items) - 1
        last = min(last, len(self.items) - 1)
        texts = [paint.plain(self.line(index, self.size.width)) for index in range(first, last + 1)]
        if not texts:
            return None
        if selection.end is not None:
            texts[-1] = texts[-1][: selection.end.x]
        if selection.start is not None:
            texts[0] = texts[0][selection.start.x :]
        return "\n".join(texts), "\n"

    # -- the cursor

    def put_cursor(self, index: int, *, step: int = 1) -> None:
        """Move the cursor to that item, or the nearest one behind (before, with step -1) on which it may rest."""
        if not self.items:
            return
        place = self._rest(max(0, min(index, len(self.items) - 1)), step)
        if place != self.cursor:
            self.cursor = place
            self.refresh()
            self.post_message(self.Moved(self, self.key))
        self._reveal()

    def put_on(self, key: str) -> bool:
        """Move the cursor to the item of that name; whether there is one."""
        found = next((index for index, item in enumerate(self.items) if self._key(item) == key), None)
        if found is not None:
            self.put_cursor(found)
        return found is not None

    def _rest(self, index: int, step: int) -> int:
        """The nearest place from there, in that direction and then in the other, that is no heading."""
        for way in (step, -step):
            place = index
            while 0 <= place < len(self.items):
                if self._key(self.items[place]) is not None:
                    return place
                place += way
        return index

    def _reveal(self) -> None:
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        # A heading right above the cursor is shown with it.
        first = self.cursor - 1 if self.cursor and self._key(self.items[self.cursor - 1]) is None else self.cursor
        if first < top:
            self.scroll_to(y=first, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def action_move(self, step: int) -> None:
        self.put_cursor(self.cursor + step, step=step)

    def action_page(self, step: int) -> None:
        self.put_cursor(self.cursor + step * max(self.size.height - 1, 1), step=step)

    def action_first(self) -> None:
        self.put_cursor(0)

    def action_last(self) -> None:
        self.put_cursor(len(self.items) - 1, step=-1)

    def action_choose(self) -> None:
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: Click) -> None:
        self.put_cursor(event.y + self.scroll_offset.y)
        if event.chain == 2:
            self.action_choose()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
