"""Tab 3: what agents, people and alerts have said to each other, the newest last; unread ones are counted."""

from __future__ import annotations

import re
from typing import Any

from textual.app import ComposeResult

from colony_lib.base import clock
from colony_lib.tui import dialogs
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.tab import Tab, one_line

_RUN = re.compile(r"\br\d{8}-\d{6}-[0-9a-z]+\b")


class MessagesTab(Tab):
    name_of = "Messages"

    def __init__(self) -> None:
        super().__init__()
        self._read: str | None = None  # the id of the newest message that has been seen
        self._first = True

    def compose(self) -> ComposeResult:
        yield Lines([(" TIME        FROM → TO", "dim")])
        yield Rows(
            _row, lambda message: message["id"], empty="no messages yet: b tells all agents something", id="messages"
        )

    @property
    def unread(self) -> int:
        ids = [message["id"] for message in self.found.messages]
        return len(ids) - 1 - ids.index(self._read) if self._read in ids else len(ids)

    def draw(self) -> None:
        rows = self.main()
        at_end = not rows.items or rows.cursor >= len(rows.items) - 1
        rows.show([one for one in self.found.messages if self.filter.lets(_fields(one), _text(one))])
        if at_end:
            rows.action_last()
        if self.found.messages and not self.filter:
            self._read = self.found.messages[-1]["id"]

    def show(self, found: Any) -> None:
        if self._first and found.messages:  # what was there before the screen was opened is no news
            self._first, self._read = False, found.messages[-1]["id"]
        self._first = False
        super().show(found)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        message = self.main().item
        runs = _RUN.findall(message["text"])
        if runs:
            self.colony.open_run(runs[-1])
            return
        facts = [("time", message["ts"]), ("from", message["from"]), ("to", message["to"]), ("id", message["id"])]
        lines: list[Line] = [[(cell(name, 7), "dim"), (value, "text")] for name, value in facts]
        lines += [[], *([(line, "text")] for line in message["text"].split("\n"))]
        self.app.push_screen(dialogs.Read("Message", [(None, line) for line in lines]))

    def do_message(self) -> None:
        message = self.main().item if self.main().key else None
        self.say_to(message["from"] if message and message["from"] != "user" else "")


def _fields(message: dict[str, Any]) -> dict[str, Any]:
    return {"agent": message["from"]}


def _text(message: dict[str, Any]) -> str:
    return f"{message['from']} {message['to']} {message['text']}"


def _row(message: dict[str, Any], columns: int) -> Line:
    today = message["ts"][:10] == clock.now()[:10]
    when = message["ts"][11:19] if today else message["ts"][5:16].replace("T", " ")
    alarm = any(sign in message["text"] for sign in ("⚠", "✗", "❌"))
    who = 9 if columns < 76 else 15 if columns < 110 else 20
    return [
        (f" {cell(when, 12)}", "dim"),
        (cell(message["from"], who), "text"),
        (" → ", "faint"),
        (cell(message["to"], who) + " ", "dim" if message["to"] == "all" else "text"),
        (one_line(message["text"]), "warn" if alarm else "text"),
    ]
