"""The screen as a whole: which tab is seen, when files are looked at, what keys do everywhere, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import ContentSwitcher, Input
from textual.worker import WorkerFailed

from colony_lib.base.errors import BUG
from colony_lib.store import runs
from colony_lib.tui import actions, dialogs, frame, keys, paint
from colony_lib.tui.feed import Feed, Snapshot
from colony_lib.tui.filters import Filter
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.tab import Tab
from colony_lib.tui.tab_agents import AgentsTab
from colony_lib.tui.tab_logs import LogsTab
from colony_lib.tui.tab_messages import MessagesTab
from colony_lib.tui.tab_metrics import MetricsTab
from colony_lib.tui.tab_tasks import TasksTab
from colony_lib.tui.tab_workflow import WorkflowTab

LOOK = 1.0  # seconds between two looks at the files
TOLD = 8.0  # seconds that a notice stays
SMALLEST = (60, 15)
_PROBLEMS = ("Workflow", "Agents", "Tasks", "Metrics")  # tabs in which `e` looks for what is wrong
_MOUSE = ("1000", "1003", "1015", "1006")
_THEMES = {
    "dark": Theme(
        "dark", primary="#a99bea", foreground="#c8ccd4", background="#15181e", surface="#1b1f27", panel="#1b1f27",
        accent="#a99bea", dark=True,
    ),
    "light": Theme(
        "light", primary="#6546c3", foreground="#2b2f38", background="#fbfbfd", surface="#f1f2f7", panel="#f1f2f7",
        accent="#6546c3", dark=False,
    ),
    "plain": Theme(
        "plain", primary="ansi_default", secondary="ansi_default", warning="ansi_default", error="ansi_default",
        success="ansi_default", accent="ansi_default", foreground="ansi_default", background="ansi_default",
        surface="ansi_default", panel="ansi_default", boost="ansi_default", dark=True, ansi=True,
        variables={"ansi-background": "ansi_default", "ansi-foreground": "ansi_default"},
    ),
}  # fmt: skip


_TABS: tuple[type[Tab], ...] = (AgentsTab, TasksTab, MessagesTab, WorkflowTab, MetricsTab, LogsTab)


class _Main(Screen[None], inherit_bindings=False):
    """The screen under all dialogs; on it Tab goes from tab to tab, not from widget to widget."""


class ColonyApp(App[None]):
    """`colony tui`. It only reads, but for the commands that it starts when a person has said so."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; color: $foreground; layout: vertical; }
    ContentSwitcher { height: 1fr; }
    Tab { height: 1fr; }
    Rows { background: $background; scrollbar-color: $foreground 30%; scrollbar-background: $background;
           scrollbar-color-hover: $primary; scrollbar-color-active: $primary; scrollbar-background-hover: $background;
           scrollbar-background-active: $background; }
    #runs { width: 38; }
    #steps { height: auto; min-height: 3; }
    #small { display: none; height: 1fr; }
    #filter { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
    #chip, #notice { display: none; height: 1; }
    #space { height: 1; }
    .full #header, .full #tabs, .full Footer, .full #space { display: none; }
    .small #small { display: block; }
    .small ContentSwitcher, .small #header, .small #tabs, .small Footer, .small #space { display: none; }
    ModalScreen { align: center middle; background: $background 60%; }
    .box { width: 76; max-width: 96%; height: auto; max-height: 96%; background: $surface; border: round $primary;
           padding: 0 1; }
    .page { width: 96%; height: 92%; background: $surface; border: round $primary; padding: 0 1; }
    .box Rows, .page Rows, .box Lines, .page Lines { background: $surface; scrollbar-background: $surface; }
    .box Input, .page Input { background: $background; border: none; height: 1; margin: 0 0 1 0; }
    """
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
        self.painter = paint.Painter(palette, ascii_only=ascii_only)
        super().__init__(ansi_color=palette == "plain")
        for theme in _THEMES.values():
            self.register_theme(theme)
        self.theme = palette
        self.animation_level = "none"
        self.read_only = read_only
        self.active = keys.TABS[3]
        self.found = Snapshot()
        self.failure: BaseException | None = None
        self._feed = Feed()
        self._run = self._pinned = run
        self._looking = self._again = False
        self._typed: dict[str, str] = {}
        self._mouse = True
        self._notice: Any = None
        self._narrowing: Any = None
        # Held, for a search from the app looks into the dialog that is up.
        self.tabs: dict[str, Tab] = {kind.name_of: kind() for kind in _TABS}
        self._header, self._bar, self._space = Lines([], id="header"), frame.TabBar(), Lines([], id="space")
        self._said, self._chip, self._footer = Lines([], id="notice"), Lines([], id="chip"), frame.Footer()
        self._switcher = ContentSwitcher(*self.tabs.values(), initial=f"tab-{self.active.lower()}")
        self._line = Input(id="filter", compact=True, placeholder="text, !text, level:error, agent:data-*, step:load*")

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
        self._line.value = self._typed.get(self.active, "")
        self._line.display = True
        self._line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self._line and self._line.display:
            if self._narrowing is not None:
                self._narrowing.stop()
            self._narrowing = self.set_timer(0.15, lambda: self._narrow(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self._line:
            self._narrow(event.value)
            self._close_filter()

    def _narrow(self, source: str) -> None:
        self._narrowing = None
        if source.strip() != self._typed.get(self.active, ""):
            self._typed[self.active] = source.strip()
            self.tab.narrow(Filter(source))
        self._draw_chip()

    def _close_filter(self) -> None:
        if self._narrowing is not None:
            self._narrowing.stop()
            self._narrowing = None
        self._line.display = False
        self._draw_chip()
        self._focus()

    def _draw_chip(self) -> None:
        """A filter that is on is always seen."""
        source = self._typed.get(self.active, "")
        self._chip.display = bool(source) and not self._line.display
        self._chip.put([(" /", "key"), (f" {source} ", "tab"), ("  Esc shows all", "dim")])

    # -- keys

    def action_press(self, word: str) -> None:
        """A key that means something in some tabs only."""
        for key in keys.KEYS:
            if key.tabs and word in key.keys.split(",") and self.active in key.tabs:
                self._do(key)
                return

    def _do(self, key: keys.Key) -> None:
        if self.read_only and key.changes:
            self.tell(f"read-only: '{key.label.lower()}' is switched off", "warn")
            return
        name = key.action.removeprefix("do('").removesuffix("')")
        getattr(self.tab, f"do_{name}")()

    def action_leave(self) -> None:
        if self._line.has_focus:
            self._close_filter()
            return
        if self.screen.has_class("full"):
            self.toggle_full()
            return
        if self.focused is not self.tab.main() and isinstance(self.focused, Rows):
            self._focus()
            return
        if self._typed.get(self.active):
            self._narrow("")
            return
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

    def action_help(self) -> None:
        lines: list[tuple[str | None, Line]] = []
        for key in keys.of_tab(self.active):
            if key.meaning and not (self.read_only and key.changes):
                command = f"   {key.command}" if key.command else ""
                lines.append((None, [(cell(key.shown, 11), "key"), (key.meaning, "text"), (command, "dim")]))
        lines.append((None, []))
        lines += [(None, [(cell(shown, 18), "key"), (meaning, "text")]) for shown, meaning in keys.MOVES]
        lines += [
            (None, []),
            (None, [("A filter is words and terms: ", "dim"), ("level:error agent:data-* step:load* !retry", "text")]),
        ]
        self.push_screen(dialogs.Read(f"Keys in {self.active}", lines))

    def action_commands(self) -> None:
        entries = [key for key in keys.of_tab(self.active) if not (self.read_only and key.changes)]
        self.push_screen(dialogs.Commands(entries), self._command)

    def _command(self, action: str | None) -> None:
        key = next((key for key in keys.of_tab(self.active) if key.action == action), None)
        if key is None:
            return
        if key.tabs:
            self._do(key)
        else:
            self.run_worker(self.run_action(key.action), group="command")

    def action_broadcast(self) -> None:
        if self.read_only:
            self.tell("read-only: 'broadcast' is switched off", "warn")
            return

        def make(texts: list[str]) -> list[str] | None:
            return ["broadcast", "--", texts[0]] if texts[0] and texts[0] != "-" else None

        fields = [("Message", "", "what all agents are to know")]
        self.ask(dialogs.Form("Message to all agents", fields, make))

    def action_copy(self) -> None:
        self._copy(self.tab.copied(whole=False))

    def action_copy_line(self) -> None:
        self._copy(self.tab.copied(whole=True))

    def _copy(self, text: str | None) -> None:
        if text:
            self.copy_to_clipboard(text)
            self.tell(f"copied: {text}")

    def action_mouse(self) -> None:
        """Let the terminal have the mouse, for its own selecting; or take it back."""
        self._mouse = not self._mouse
        if self._driver is not None:
            self._driver.write("".join(f"\x1b[?{number}{'h' if self._mouse else 'l'}" for number in _MOUSE))
            self._driver.flush()
        self.tell("the mouse is the screen's" if self._mouse else "the mouse is the terminal's: % takes it back")

    def action_light(self) -> None:
        """Dark or light; without colours there is neither."""
        if self.painter.palette != "plain":
            palette = "light" if self.painter.palette == "dark" else "dark"
            self.painter = paint.Painter(palette, ascii_only=self.painter.ascii_only)
            self.theme = palette
            self.refresh(layout=True)

    def action_redraw(self) -> None:
        """Draw every cell anew."""
        self.screen.refresh()

    def action_interrupt(self) -> None:
        """Ctrl-C copies what was dragged over; else it ends the screen, as everywhere."""
        chosen = self.screen.get_selected_text()
        if chosen:
            self._copy(chosen)
            self.screen.clear_selection()
        else:
            self.exit(return_code=0)

    # -- what is changed

    def ask(self, screen: dialogs.Choose | dialogs.Form) -> None:
        """Put a question; run the command that is its answer."""
        self.push_screen(screen, lambda words: self._start(words) if words else None)

    def _start(self, words: list[str]) -> None:
        self.run_worker(self._run_command(words), group="act")

    async def _run_command(self, words: list[str]) -> None:
        self.tell(f"{actions.shown(words)} …", stay=True)
        outcome = await actions.run(words)
        shown = actions.shown(words)
        said = f": {outcome.said}" if outcome.said else ""
        if outcome.code:
            self.tell(f"✗ {shown} (exit {outcome.code}){said}", "bad")
        else:
            self.tell(f"✓ {shown}{said}", "ok")
            if words[:2] in (["workflow", "rerun"], ["workflow", "resume"]) and outcome.said in runs.ids():
                self._run = outcome.said
        self.look_soon()

    def tell(self, text: str, role: str = "text", *, stay: bool = False) -> None:
        """Say something on the line above the footer, for some seconds."""
        if self._notice is not None:
            self._notice.stop()
        self._said.put([(f" {text}", role)])
        self._said.display = True
        self._notice = None if stay else self.set_timer(TOLD, self._hush)

    def _hush(self) -> None:
        self._notice = None
        self._said.display = False

    def read_record(self, record: dict[str, Any]) -> None:
        """Show a log line whole."""
        named = [(name, record.get(name)) for name in ("ts", "level", "agent", "run_id", "step", "attempt")]
        lines: list[Line] = [
            [(cell(name, 9), "dim"), (str(value), "text")] for name, value in named if value is not None
        ]
        lines += [[], *([(line, "text")] for line in record["message"].split("\n"))]
        fields = record.get("fields")
        if isinstance(fields, dict):
            lines += [[], *([(cell(name, 14) + " ", "dim"), (str(value), "text")] for name, value in fields.items())]
        self.push_screen(dialogs.Read("Log line", [(None, line) for line in lines]))


def run(app: ColonyApp) -> int:
    """Run the screen; its exit status. Raises what went wrong in it, when the terminal is as it was."""
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
