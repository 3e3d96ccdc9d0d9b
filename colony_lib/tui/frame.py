"""What stays around every tab: the colony's state in one line, the tabs' names, and the keys that count now."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.events import Click

from colony_lib.base import clock
from colony_lib.base.text import cut, plural, show_duration, width
from colony_lib.store import prices
from colony_lib.tui import keys, paint
from colony_lib.tui.paint import Line
from colony_lib.tui.rows import Lines

if TYPE_CHECKING:
    from colony_lib.tui.app import ColonyApp
    from colony_lib.tui.feed import Snapshot

STALE = 15.0  # seconds without any change, while something runs, from which on this is said


def header(found: Snapshot, columns: int, *, read_only: bool) -> Line:
    """What runs, what is wrong, who works; on the right how old that is. What comes last is cut on a small screen."""
    gap = "   " if columns >= 80 else "  "
    states = [row["status"] for row in found.history if row["run_id"] in found.live]
    live, waiting = states.count("running"), states.count("waiting")
    failed = len(found.bad) + sum(agent["status"] == "failed" and not agent["run_id"] for agent in found.agents)
    up = sum(agent["status"] in ("working", "idle") for agent in found.agents)
    line: Line = [(" " + cut(found.name or "colony", max(columns // 3, 12)), "bold")]
    line.append((f"{gap}{live} live", "run" if live else "dim"))
    if waiting:
        line.append((f"{gap}{waiting} waiting", "warn"))
    line.append((f"{gap}{failed} failed", "bad" if failed else "dim"))
    if read_only:
        line.append((f"{gap}read-only", "accent"))
    line.append((f"{gap}{up} of {plural(len(found.agents), 'agent')} up", "dim"))
    if found.spent:
        line.append((f"{gap}{prices.shown(found.spent)} today", "dim"))
    age = _age(found, bool(live))
    room = columns - paint.columns_of(line) - width(age[0]) - 1
    return [*line, (" " * room, ""), age] if room > 0 else line


def _age(found: Snapshot, live: bool) -> tuple[str, str]:
    if found.changed is None:
        return "no data yet", "dim"
    age = max(clock.epoch() - found.changed, 0.0)
    if live and age > STALE:
        return f"quiet {show_duration(round(age))}", "warn"
    return ("now" if age < 2 else f"changed {show_duration(float(int(age)))} ago"), "dim"


class TabBar(Lines):
    """The six tabs by their numbers; a click chooses one."""

    DEFAULT_CSS = "TabBar { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._ends: list[int] = []

    def show(self, active: str, badges: dict[str, int], columns: int) -> None:
        """The active tab set off; `badges` are numbers behind names (0: none). Short names where there is no room."""
        numbers = {name: f" {badges[name]}" if badges.get(name) else "" for name in keys.TABS}
        wide = sum(len(name) + len(numbers[name]) + 4 for name in keys.TABS) <= columns
        line: Line = []
        self._ends, at = [], 0
        for number, name in enumerate(keys.TABS, 1):
            text = f" {number} {name}{numbers[name]} " if wide else f"{number}{name}{numbers[name]} "
            at += width(text)
            self._ends.append(at)
            line.append((text, "tab" if name == active else "dim"))
        self.put(line)

    def on_click(self, event: Click) -> None:
        for name, end in zip(keys.TABS, self._ends):
            if event.x < end:
                cast("ColonyApp", self.app).action_tab(name)
                return


class Footer(Lines):
    """The keys that count in the tab, the rarest cut where there is no room."""

    DEFAULT_CSS = "Footer { height: 1; dock: bottom; }"

    def show(self, tab: str, columns: int, *, read_only: bool) -> None:
        line: Line = [(" ", "")]
        used = 1
        for key in keys.of_tab(tab):
            if not key.footer or (read_only and key.changes):
                continue
            size = width(key.shown) + len(key.label) + 3
            if used + size > columns:
                break
            line += [(key.shown, "key"), (f" {key.label}  ", "dim")]
            used += size
        self.put(line)


def rule(title: Line, columns: int, right: Line | None = None) -> Line:
    """A line across with words in it: ── load-data ───────── following ──"""
    right = right or []
    room = columns - paint.columns_of(title) - paint.columns_of(right) - (8 if right else 4)
    line: Line = [("── ", "faint"), *title, (" " + "─" * max(room, 0), "faint")]
    return [*line, (" ", ""), *right, (" ──", "faint")] if right else line
