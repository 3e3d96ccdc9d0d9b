"""What comes up over the tabs: a question with guarded keys, a form, the list of commands, and text to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from colony_lib.base.text import escape
from colony_lib.tui import actions, keys, paint
from colony_lib.tui.paint import Line
from colony_lib.tui.rows import Lines, Rows

BOX = 76  # columns of a question, as look.py has it
DEAD = 0.3  # seconds in which a question takes no key: what is typed or pasted in one go answers nothing


class Choose(ModalScreen[list[str] | None]):
    """A question about something that changes the colony. The first choice, where the cursor stands, is to do nothing;
    the answer is the words of a command, or None."""

    BINDINGS = [Binding("escape,n,q", "leave", show=False), Binding("y", "yes", show=False)]

    def __init__(self, title: str, choices: Sequence[tuple[str, list[str]]]) -> None:
        super().__init__()
        self._title, self._choices = title, [("No, leave it as it is", None), *choices]
        self._since = time.monotonic()

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Lines([], id="title")
            yield Rows(lambda item, columns: item[1], lambda item: item[0])
            yield Lines([], [(" Enter", "key"), (" does it   ", "dim"), ("y", "key"), (" the first", "dim"),
                             ("   n Esc", "key"), (" leave", "dim")])  # fmt: skip

    def on_mount(self) -> None:
        self._since = time.monotonic()
        self._show()
        self.query_one(Rows).focus()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        """Each choice with its command below it, whole: who says yes has seen to what."""
        room = max(min(BOX, self.app.size.width * 96 // 100) - 5, 12)
        self.query_one("#title", Lines).put(*paint.wrapped([(" " + escape(self._title), "bold")], room, 1), [])
        shown: list[tuple[str | None, Line]] = []
        for label, words in self._choices:
            first, *more = paint.wrapped([(f" {label}", "text" if words is None else "warn")], room, 1)
            shown += [(label, first), *((None, row) for row in more)]
            if words is not None:
                shown += [(None, row) for row in paint.wrapped([(f"   {actions.shown(words)}", "dim")], room, 5)]
        rows = self.query_one(Rows)
        rows.styles.height = len(shown)
        rows.show(shown)

    @property
    def commands(self) -> list[list[str]]:
        """The words of the commands that the choices stand for."""
        return [words for _, words in self._choices if words is not None]

    def _is_awake(self) -> bool:
        """Whether keys count already."""
        return time.monotonic() - self._since >= DEAD

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        event.stop()
        if self._is_awake():
            self.dismiss(dict(self._choices).get(event.key))

    def action_yes(self) -> None:
        if self._is_awake():
            self.dismiss(self._choices[1][1])

    def action_leave(self) -> None:
        self.dismiss(None)


class Form(ModalScreen[list[str] | None]):
    """Some fields to fill in; the answer is the words of the command that `make` builds of their texts."""

    BINDINGS = [Binding("escape", "leave", show=False)]

    def __init__(
        self, title: str, fields: Sequence[tuple[str, str, str]], make: Callable[[list[str]], list[str] | None]
    ) -> None:
        """`fields`: (label, text that is there at first, what to write there)."""
        super().__init__()
        self._title, self._fields, self._make = title, fields, make
        self._since = time.monotonic()

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Lines([(" " + self._title, "bold")])
            for label, text, hint in self._fields:
                yield Lines([(" " + label, "dim")])
                yield Input(text, placeholder=hint, compact=True)
            yield Lines([], id="command")
            yield Lines([], [(" Enter", "key"), (" sends   ", "dim"), ("Tab", "key"), (" next field   ", "dim"),
                             ("Esc", "key"), (" leaves", "dim")])  # fmt: skip

    def on_mount(self) -> None:
        self._since = time.monotonic()
        inputs = list(self.query(Input))
        next((one for one in inputs if not one.value), inputs[-1]).focus()
        self._tell()

    def _words(self) -> list[str] | None:
        return self._make([one.value.strip() for one in self.query(Input)])

    def _tell(self) -> None:
        words = self._words()
        self.query_one("#command", Lines).put([(f" {actions.shown(words)}" if words else " …", "faint")])

    def on_input_changed(self, event: Input.Changed) -> None:
        self._tell()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        words = self._words()
        if words and time.monotonic() - self._since >= DEAD:
            self.dismiss(words)

    def action_leave(self) -> None:
        self.dismiss(None)


class Read(ModalScreen[str | None]):
    """Text to scroll through. With keys for its rows the answer is the key of the one that was chosen."""

    BINDINGS = [
        Binding("escape,q,question_mark,f1", "leave", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[tuple[str | None, Line]], hint: str = "") -> None:
        super().__init__()
        self._title, self._lines, self._hint = title, list(lines), hint

    def compose(self) -> ComposeResult:
        with Vertical(classes="page"):
            yield Lines([(" " + escape(self._title), "bold")], [])
            yield Rows(lambda item, columns: [(" ", ""), *item[1]], lambda item: item[0], empty="nothing")
            yield Lines([(" Esc", "key"), (" leaves   ", "dim"), (self._hint, "dim")])

    def on_mount(self) -> None:
        self._show()
        self.query_one(Rows).focus()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        """Lines to read are broken where they are too long, lines to choose are not."""
        rows = self.query_one(Rows)
        room = max(rows.size.width or self.app.size.width - 8, 12) - 2
        shown: list[tuple[str | None, Line]] = []
        for key, line in self._lines:
            if key is not None:
                shown.append((key, line))
                continue
            hang = paint.columns_of(line[:1]) if line and line[0][1] == "key" else 0  # what follows stays in its column
            shown += [(None, row) for row in paint.wrapped(line, room, hang if hang < room // 2 else 0)]
        rows.show(shown)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        event.stop()
        self.dismiss(event.key)

    def on_key(self, event: events.Key) -> None:
        """Text without rows to choose is scrolled."""
        rows = self.query_one(Rows)
        if rows.key is None and event.key in ("down", "j", "up", "k", "pagedown", "pageup", "g", "G", "home", "end"):
            page = max(rows.size.height - 1, 1)
            ways = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": page, "pageup": -page}
            far = {"g": 0, "home": 0, "G": len(rows.items), "end": len(rows.items)}
            to = far[event.key] if event.key in far else rows.scroll_offset.y + ways[event.key]
            rows.scroll_to(y=to, animate=False)
            event.stop()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(paint.plain(line) for _, line in self._lines))

    def action_leave(self) -> None:
        self.dismiss(None)


class Commands(ModalScreen[str | None]):
    """All commands of a tab by name, with a line to narrow them; the answer is an action's name."""

    BINDINGS = [
        Binding("escape", "leave", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
    ]

    def __init__(self, entries: Sequence[keys.Key]) -> None:
        super().__init__()
        self._entries = [key for key in entries if key.meaning]

    def compose(self) -> ComposeResult:
        with Vertical(classes="page"):
            yield Input(placeholder="type to narrow, Enter does it", compact=True)
            yield Rows(_command, lambda key: key.action, empty="nothing of that name")

    def on_mount(self) -> None:
        self.query_one(Rows).show(self._entries)
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        texts = [(key, f"{key.label} {key.meaning} {key.command}".lower()) for key in self._entries]
        self.query_one(Rows).show([key for key, text in texts if all(word in text for word in words)])
        self.query_one(Rows).put_cursor(0)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(self.query_one(Rows).key)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        event.stop()
        self.dismiss(event.key)

    def action_move(self, step: int) -> None:
        self.query_one(Rows).action_move(step)

    def action_leave(self) -> None:
        self.dismiss(None)


def _command(key: keys.Key, columns: int) -> Line:
    meaning = paint.cell(key.meaning, 48) if columns >= 100 else key.meaning
    return [(paint.cell(f" {key.shown}", 11), "key"), (meaning, "text"), (f"  {key.command}", "dim")]
