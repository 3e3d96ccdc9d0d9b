"""Tab 6: the logs of all agents, merged by time, from their ends; filtered and followed."""

from __future__ import annotations

from textual.app import ComposeResult

from colony_lib.store import logread
from colony_lib.tui import paint
from colony_lib.tui.filters import Filter
from colony_lib.tui.logpanel import LogPanel
from colony_lib.tui.logtail import Tail
from colony_lib.tui.logview import LogView
from colony_lib.tui.rows import Rows
from colony_lib.tui.tab import Tab


class LogsTab(Tab):
    name_of = "Logs"

    def __init__(self) -> None:
        super().__init__()
        self._lowest = logread.LEVELS[0]
        self._open_with: str | None = None  # what the open tail was made with

    def compose(self) -> ComposeResult:
        yield LogPanel(with_agent=True, id="logs")

    @property
    def panel(self) -> LogPanel:
        return self.query_one(LogPanel)

    def main(self) -> LogView:
        return self.panel.view

    def draw(self) -> None:
        """Open the logs when the filter is another one; from then on the view reads by itself."""
        source = self._source()
        if source == self._open_with:
            return
        self._open_with = source
        title: paint.Line = [(self._title(), "bold")]
        self.panel.open(Tail(Filter(source)), title)

    def _source(self) -> str:
        source = self.filter.source
        return f"{source} level:{self._lowest}" if self._lowest != "debug" and "level:" not in source else source

    def _title(self) -> str:
        agents = self.filter.exact("agent")
        level = Filter(self._source()).level
        return (
            (agents or "all agents")
            + (f", {level} and worse" if level not in ("debug", "error") else "")
            + (", errors" if level == "error" else "")
        )

    def give_up(self) -> bool:
        return self.main().stop_search()

    def next_problem(self, *, anew: bool = False) -> bool:
        view = self.main()
        return view.seek_problem(1) or (view.following and view.seek_problem(-1))

    def do_level(self) -> None:
        place = logread.LEVELS.index(self._lowest)
        self._lowest = logread.LEVELS[(place + 1) % len(logread.LEVELS)]
        self.draw()

    def do_wrap(self) -> None:
        self.main().toggle_wrap()

    def do_times(self) -> None:
        self.main().toggle_times()

    def do_left(self) -> None:
        self.main().move_sideways(-20)

    def do_right(self) -> None:
        self.main().move_sideways(20)

    def do_next_problem(self) -> None:
        self._seek(1)

    def do_last_problem(self) -> None:
        self._seek(-1)

    def _seek(self, step: int) -> None:
        if not self.main().seek_problem(step):
            self.colony.tell("no warning or error that way, among the lines that are held")

    def do_full(self) -> None:
        self.colony.toggle_full()

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        record = self.main().item
        record = record[0] if isinstance(record, tuple) else record
        self.colony.read_record(record)
