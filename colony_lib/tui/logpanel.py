"""A log under a line that says whose it is and what it does: follows, is paused, searches."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from colony_lib.tui import frame
from colony_lib.tui.logtail import Tail
from colony_lib.tui.logview import LogView
from colony_lib.tui.paint import Line
from colony_lib.tui.rows import Lines


class LogPanel(Vertical):
    """A LogView under a line that names it."""

    DEFAULT_CSS = "LogPanel { height: 1fr; }"

    def __init__(self, *, with_agent: bool, id: str) -> None:
        super().__init__(id=id)
        self.title: Line = []
        self._with_agent = with_agent

    def compose(self) -> ComposeResult:
        yield Lines([])
        yield LogView(with_agent=self._with_agent, id=f"{self.id}-view")

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def open(self, tail: Tail, title: Line) -> None:
        self.title = title
        self.view.open(tail)
        self.on_log_view_told()

    def on_log_view_told(self) -> None:
        self.query_one(Lines).put(frame.rule(self.title, self.size.width or 80, self.view.said()))

    def on_mount(self) -> None:
        self.set_interval(1.0, self.on_log_view_told)

    def on_resize(self) -> None:
        self.on_log_view_told()
