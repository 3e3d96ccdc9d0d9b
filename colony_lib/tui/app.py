"""The screen as a whole: which tab is seen, when files are looked at, what keys do everywhere, and how it ends."""

from __future__ import annotations

import asyncio
import signal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import ContentSwitcher
from textual.worker import WorkerFailed

from colony_lib.base.errors import BUG
from colony_lib.store import runs
from colony_lib.tui import actions, frame, keys, look
from colony_lib.tui.feed import Feed, Snapshot
from colony_lib.tui.filterline import FilterLine
from colony_lib.tui.filters import Filter
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.steering import Steering
from colony_lib.tui.tab import Tab
from colony_lib.tui.tab_agents import AgentsTab
from colony_lib.tui.tab_logs import LogsTab
from colony_lib.tui.tab_messages import MessagesTab
from colony_lib.tui.tab_metrics import MetricsTab
from colony_lib.tui.tab_tasks import TasksTab
from colony_lib.tui.tab_workflow import WorkflowTab

LOOK = 1.0  # seconds between two looks at the files
SMALLEST = (60, 15)
_PROBLEMS = ("Workflow", "Agents", "Tasks", "Metrics")  # tabs in which `e` looks for what is wrong
_TABS: tuple[type[Tab], ...] = (AgentsTab, TasksTab, MessagesTab, WorkflowTab, MetricsTab, LogsTab)


class _Main(Screen[None], inherit_bindings=False):
    """The screen under all dialogs; on it Tab goes from tab to tab, not from widget to widget."""


class ColonyApp(Steering):
    """`colony tui`. It only reads, but for the commands that it starts when a person has said so."""

    ENABLE_COMMAND_PALETTE = False
    CSS = look.CSS
    BINDINGS = [
        *(Binding(key.keys, key.action, show=False) for key in keys.KEYS if not key.tabs),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        *(Binding(str(number), f"tab('{name}')", show=False) for number, name in enumerate(keys.TABS, 1)),
        *(
            Binding(word, f"press('{word}')", show=False)
            for word in dict.fromkeys(word for key in keys.KEYS if key.tabs for word in key.keys.split(","))
        ),
    ]

    def __init__(
        self, *, run: str | None = None, read_only: bool = False, palette: str = "dark", ascii_only: bool = False
    ) -> None:
        super().__init__(palette, ascii_only=ascii_only, read_only=read_only)
        for theme in look.THEMES.values():
            self.register_theme(theme)
        self.theme = palette
        self.animation_level = "none"
        self.found = Snapshot()
        self.failure: BaseException | None = None
        self._feed = Feed()
        self._run = self._pinned = run
        self._looking = self._again = False
        self._typed: dict[str, str] = {}
        # Held, for a search from the app looks into the dialog that is up.
        self.tabs: dict[str, Tab] = {kind.name_of: kind() for kind in _TABS}
        self._header, self._bar, self._space = Lines([], id="header"), frame.TabBar(), Lines([], id="space")
        self._chip, self._footer = Lines([], id="chip"), frame.Footer()
        self._switcher = ContentSwitcher(*self.tabs.values(), initial=f"tab-{self.active.lower()}")
        self._line = FilterLine()

    def get_default_screen(self) -> Screen[None]:
        return _Main(id="main")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._bar
        yield self._space
        yield Lines([(f"needs {SMALLEST[0]}x{SMALLEST[1]}", "warn")], id="small")
        yield self._switcher
        yield self._said
        yield self._chip
        yield self._line
        yield self._footer

    def on_mount(self) -> None:
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._end, 128 + number)
        self.set_interval(LOOK, self.look)
        self.look()
        self._focus()

    def _end(self, code: int) -> None:
        """A signal ends it as a key does, so that the terminal is given back as it was."""
        self.exit(return_code=code)

    def _handle_exception(self, error: Exception) -> None:
        """A bug ends the screen; the command says so in one line when the terminal is a person's again."""
        if self.is_headless:
            super()._handle_exception(error)
        elif self.failure is None:
            self.failure = error.error if isinstance(error, WorkerFailed) else error
            self.exit(return_code=BUG)

    # -- what is known

    def look(self) -> None:
        """Read the files, in a thread, unless that is being done."""
        if self._looking:
            return
        self._looking = True
        self.run_worker(self._look(), group="look")

    def look_soon(self) -> None:
        """Read them once more, also when they are just being read: something else is wanted of them."""
        self._again = self._looking
        self.look()

    async def _look(self) -> None:
        metrics = self.tabs[MetricsTab.name_of]
        assert isinstance(metrics, MetricsTab)
        try:
            with_metrics = self.active == MetricsTab.name_of
            found = await asyncio.to_thread(self._feed.look, self._run, metrics.hours, with_metrics=with_metrics)
        finally:
            self._looking = False
        if not self.is_running:
            return
        if not with_metrics:
            found.trends = self.found.trends
        self.found = found
        for tab in self.tabs.values():
            tab.show(found)
        self._draw_frame()
        if found.troubles and self._notice is None:
            self.tell(found.troubles[0], "warn")
        if self._again:
            self._again = False
            self.look()

    def _draw_frame(self) -> None:
        columns = self.size.width
        self._header.put(frame.header(self.found, columns, read_only=self.read_only))
        badges = {name: tab.unread for name, tab in self.tabs.items()}
        self._bar.show(self.active, badges, columns)
        self._footer.show(self.active, columns, read_only=self.read_only)

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.screen_stack[0].set_class(small, "small")
        self._space.display = event.size.height >= 24
        self._draw_frame()
        # A terminal that was resized in the midst of a frame has parts of it in wrong places: all is drawn once more.
        self.set_timer(0.3, self.action_redraw)

    # -- tabs

    @property
    def tab(self) -> Tab:
        return self.tabs[self.active]

    def action_tab(self, name: str) -> None:
        self.set_focus(None)
        self._line.close()
        self.active = name
        self._switcher.current = f"tab-{name.lower()}"
        self._draw_chip()
        self.tab.show(self.found)
        self._draw_frame()
        self._focus()
        self.look_soon()

    def action_next_tab(self, step: int) -> None:
        self.action_tab(keys.TABS[(keys.TABS.index(self.active) + step) % len(keys.TABS)])

    def _focus(self) -> None:
        self.tab.main().focus()

    def open_run(self, run_id: str) -> None:
        """Show that run, until Esc lets it go."""
        self._run = run_id
        self.action_tab(WorkflowTab.name_of)

    def acted(self, outcome: actions.Outcome) -> None:
        """What a command has changed is looked at soon; a run that it began is opened."""
        if outcome.words[:2] in (["workflow", "rerun"], ["workflow", "resume"]) and outcome.first in runs.ids():
            self._run = outcome.first
        self.look_soon()

    def let_go_of_run(self) -> bool:
        """Show again the run that matters most (or the one of --run); whether another was shown."""
        was = self._run != self._pinned
        self._run = self._pinned
        if was:
            self.look_soon()
        return was

    def open_logs(self, source: str) -> None:
        """Show the logs through that filter."""
        self._typed[LogsTab.name_of] = source
        self.tabs[LogsTab.name_of].filter = Filter(source)
        self.action_tab(LogsTab.name_of)

    def toggle_full(self) -> None:
        self.screen.toggle_class("full")

    # -- the filter

    def action_filter(self) -> None:
        self._line.ask(self._typed.get(self.active, ""))
        self._draw_chip()

    def on_filter_line_narrowed(self, event: FilterLine.Narrowed) -> None:
        self._narrow(event.source)
        if event.done:
            self._close_filter()

    def _narrow(self, source: str) -> None:
        if source.strip() != self._typed.get(self.active, ""):
            self._typed[self.active] = source.strip()
            self.tab.narrow(Filter(source))
        self._draw_chip()

    def _close_filter(self) -> None:
        self._line.close()
        self._draw_chip()
        self._focus()

    def _draw_chip(self) -> None:
        """A filter that is on is always seen."""
        source = self._typed.get(self.active, "")
        self._chip.display = bool(source) and not self._line.display
        self._chip.put([(" /", "key"), (f" {source} ", "tab"), ("  Esc shows all", "dim")])

    # -- keys

    def action_leave(self) -> None:
        """Leave what is open, one thing a press."""
        if self._line.has_focus:
            self._close_filter()
        elif self.tab.give_up():
            self.tell("the search was given up; / or End begins it anew")
        elif self.screen.has_class("full"):
            self.toggle_full()
        elif self.focused is not self.tab.main() and isinstance(self.focused, Rows):
            self._focus()
        elif self._typed.get(self.active):
            self._narrow("")
        else:
            self.tab.back()

    def action_problem(self) -> None:
        """The next thing that is wrong: in this tab, else in one that has something."""
        if self.tab.next_problem():
            return
        place = _PROBLEMS.index(self.active) + 1 if self.active in _PROBLEMS else 0
        for name in (*_PROBLEMS[place:], *_PROBLEMS[:place]):
            other = self.tabs[name]
            other.draw()
            if other.next_problem(anew=True):
                if name != self.active:
                    self.action_tab(name)
                return
        self.tell("nothing is wrong", "ok")


def run(app: ColonyApp) -> int:
    """Run the screen; its exit status. Raises what went wrong in it, when the terminal is as it was."""
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
