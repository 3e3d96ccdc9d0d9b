"""Tab 1: the agents, what is wrong first; what each does, when it last gave a sign of life, and what it has cost."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from colony_lib.base import clock, text
from colony_lib.store import prices
from colony_lib.tui import dialogs, paint
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.tab import Tab, one_line

_ORDER = {"failed": 0, "quiet": 1, "working": 2, "idle": 3, "stopped": 4}


class AgentsTab(Tab):
    name_of = "Agents"

    def compose(self) -> ComposeResult:
        yield Lines([], id="agents-head")
        yield Rows(_row, lambda agent: agent["id"], empty="colony.yml has no agents yet", id="agents")

    def draw(self) -> None:
        self.query_one("#agents-head", Lines).put(_head(self.size.width or 80))
        lets = [agent for agent in self.found.agents if self.filter.lets(_fields(agent), _text(agent))]
        self.main().show(sorted(lets, key=lambda agent: _ORDER[_state(agent)]))

    def on_resize(self) -> None:
        self.draw()

    def wrong(self) -> list[str]:
        return [agent["id"] for agent in self.main().items if _state(agent) in ("failed", "quiet")]

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        agent = self.main().item
        self.app.push_screen(dialogs.Read(agent["id"], [(None, line) for line in _detail(agent)]))

    def do_logs(self) -> None:
        if self.main().key:
            self.show_logs(f"agent:{self.main().key}")

    def do_message(self) -> None:
        self.say_to(self.main().key or "")

    def do_start(self) -> None:
        self._worker("Start", "start", "its worker claims ready tasks that are assigned to it")

    def do_stop(self) -> None:
        self._worker("Stop", "stop", "what it does now is put back")

    def _worker(self, label: str, verb: str, what: str) -> None:
        agent = self.main().key
        if agent:
            choices = [(f"{label} the worker of {agent}: {what}", [verb, agent])]
            self.ask(dialogs.Choose(f"{label} {agent}?", choices))


def _state(agent: dict[str, Any]) -> str:
    return "quiet" if agent["quiet"] else str(agent["status"])


def _fields(agent: dict[str, Any]) -> dict[str, Any]:
    run, level = agent["run_id"], agent["level"]
    return {"agent": agent["id"], "status": _state(agent), "step": agent["step"], "run": run, "level": level}


def _text(agent: dict[str, Any]) -> str:
    return " ".join(str(agent[key] or "") for key in ("id", "role", "status", "task", "step", "said", "model"))


def _columns(columns: int) -> tuple[int, int, int, int]:
    """How wide agent, doing, used and model are; 0 for those that have no room."""
    agent = 18 if columns < 110 else 22
    doing = 16 if columns < 110 else 24
    return agent, doing, 15 if columns >= 76 else 0, 20 if columns >= 130 else 0


def _head(columns: int) -> Line:
    agent, doing, used, model = _columns(columns)
    head = cell("   AGENT", agent + 3) + cell("STATE", 9) + cell("DOING", doing + 1) + cell("SEEN", 8)
    head += cell("TODAY", used) + cell("MODEL", model) + ("LAST LINE" if columns >= 76 else "")
    return [(head, "dim")]


def _row(agent: dict[str, Any], columns: int) -> Line:
    wide, doing, used, model = _columns(columns)
    state = _state(agent)
    form, role = paint.mark("waiting" if state == "quiet" else state)
    seen = text.show_duration(float(int(clock.epoch() - agent["seen"]))) if agent["seen"] else "-"
    seen_role = "warn" if agent["quiet"] else "text" if state == "working" else "dim"
    now = agent["task"] or agent["step"] or ""
    said_role = paint.LEVELS.get(agent["level"], "dim") if agent["level"] in ("error", "warn") else "dim"
    return [
        (f" {form} ", role),
        (cell(agent["id"], wide), "bold" if state in ("working", "failed", "quiet") else "text"),
        (cell(state, 9), role),
        (cell(one_line(now), doing) + " ", "text"),
        (cell(seen, 8), seen_role),
        (cell(prices.amount(agent["tokens"], agent["cost_usd"]) or "-", used), "dim"),
        (cell(agent["model"] or "-", model), "dim"),
        (one_line(agent["said"]), said_role),
    ]


def _detail(agent: dict[str, Any]) -> list[Line]:
    """All that colony.yml says of it; of its environment the names alone."""
    definition = agent["definition"]
    limits = ", ".join(f"{value:g} {name}" for name, value in definition["limits"].items() if value is not None)
    facts = {
        "role": agent["role"],
        "state": _state(agent) + (f", process {agent['pid']}" if agent["pid"] else ""),
        "task": agent["task"],
        "run": agent["run_id"],
        "step": agent["step"],
        "since": agent["since"],
        "today": prices.amount(agent["tokens"], agent["cost_usd"]),
        "runner": definition["runner"],
        "model": definition["model"],
        "branch": definition["worktree_branch"],
        "limits": limits,
        "tools": ", ".join(definition["tools"] or []),
        "environment": ", ".join(sorted(definition["env"])),
        "last line": one_line(agent["said"]),
    }
    lines: list[Line] = [[(cell(name, 13), "dim"), (str(value), "text")] for name, value in facts.items() if value]
    lines += [[], [("what it is told at its start", "dim")], []]
    return lines + [[(line, "text")] for line in str(definition["startup_prompt"] or "").split("\n")]
