"""What keys do in every tab: help, commands, copying, the mouse, and the commands that a person has said yes to."""

from __future__ import annotations

from typing import Any

from textual.app import App

from colony_lib.tui import actions, dialogs, keys, paint
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines
from colony_lib.tui.tab import Tab

TOLD = 8.0  # seconds that a notice stays
_MOUSE = ("1000", "1003", "1015", "1006")


class Steering(App[None]):
    """The app's part that knows nothing of how tabs are shown and files read."""

    def __init__(self, palette: str, *, ascii_only: bool, read_only: bool) -> None:
        self.painter = paint.Painter(palette, ascii_only=ascii_only)
        super().__init__(ansi_color=palette == "plain")
        self.read_only = read_only
        self.active = keys.TABS[3]
        self._mouse = True
        self._notice: Any = None
        self._said = Lines([], id="notice")

    @property
    def tab(self) -> Tab:
        """The tab that is seen."""
        raise NotImplementedError

    def acted(self, outcome: actions.Outcome) -> None:
        """Called when a command has ended."""

    # -- keys of some tabs

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

    # -- help and commands

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
            (None, [("Times are in UTC, as in the files.", "dim")]),
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

    # -- copying, the mouse, the colours

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
        if self.screen_stack:  # none is left while it ends
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
        self.acted(outcome)

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
        facts = {name: record.get(name) for name in ("ts", "level", "agent", "run_id", "step", "attempt")}
        more = record.get("fields")
        facts |= more if isinstance(more, dict) else {}
        lines: list[Line] = [[(line, "text")] for line in record["message"].split("\n")]
        lines.append([])
        lines += [
            [(cell(name, 12) + " ", "dim"), (str(value), "text")] for name, value in facts.items() if value is not None
        ]
        self.push_screen(dialogs.Read("Log line", [(None, line) for line in lines]))
