"""The steps of a run as rows: bars on an axis, the graph, or a list; the same columns in all three."""

from __future__ import annotations

from typing import Any

from colony_lib.store import dag, prices
from colony_lib.tui import bars, paint
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.runview import RunView
from colony_lib.tui.tab import one_line

KINDS = ("bars", "graph", "list")
LOUD = ("running", "retrying", "failed", "waiting")  # states that are set off
TRY, TOOK = 4, 15  # columns


class StepRows:
    """How the chosen steps of a run are drawn in so many columns, as one of KINDS; `items` are what the rows are of:
    steps, and in a graph between them text."""

    def __init__(self, view: RunView, steps: list[dict[str, Any]], kind: str, columns: int) -> None:
        self.view, self.kind = view, kind
        self.axis = bars.axis_of(view, max(columns - self._left(columns), 10))
        drawing = dag.drawing(view.run.plan) if kind == "graph" else []
        self._graph = {name: lanes for lanes, name in drawing if name}
        self.items = _in_graph(steps, drawing, len(steps) == len(view.steps))

    def _left(self, columns: int) -> int:
        """Columns before the bars."""
        return 3 + self._wide(columns) + TRY + TOOK + 1

    def _wide(self, columns: int) -> int:
        """Columns of the steps' names."""
        longest = max((len(step["name"]) for step in self.view.steps), default=0)
        return max(min(longest + 1, 40 if columns >= 110 else 18), 6)

    def head(self, columns: int) -> Line:
        """The line above the rows."""
        if self.kind == "graph":
            return [("   GRAPH", "dim")]
        named = cell("   STEP", self._wide(columns) + 3) + cell("TRY", TRY) + cell("TOOK/LIMIT", TOOK) + " "
        if self.kind == "bars":
            return [(named, "dim"), (self.axis.ruler(), "faint")]
        return [(named + cell("AGENT", 16) + " USED AND WHY", "dim")]

    def row(self, item: Any, columns: int) -> Line:
        """The line of one of `items`."""
        if isinstance(item, str):
            return [(" " + item, "faint")]
        form, role = paint.mark(item["status"])
        name = (cell(item["name"], self._wide(columns)), "bold" if item["status"] in LOUD else "text")
        took = bars.took(self.view, item["name"])
        if self.kind == "graph":
            lanes = _lanes(self._graph.get(item["name"], ""), form, role)
            return [(" ", ""), *lanes, (" ", ""), name, (" ", ""), *took, ("  " + _remark(item), "dim")]
        tries = (cell(str(item["attempts"] or "-"), TRY), "warn" if item["attempts"] > 1 else "dim")
        pad = (" " * max(TOOK - paint.columns_of(took), 0) + " ", "")
        return [(f" {form} ", role), name, tries, *took, pad, *self._rest(item)]

    def _rest(self, step: dict[str, Any]) -> Line:
        """What stands behind the columns: who and why, or the bars, or why there are none."""
        if self.kind == "list":
            used = prices.amount(step["tokens"], step["cost_usd"])
            who = (cell(step["agent"] or "-", 16) + " ", "text")
            return [who, (f"{used}  " if used else "", "dim"), (_remark(step), "dim")]
        if self.view.attempts.get(step["name"]):
            return bars.bars(self.view, step["name"], self.axis)
        return [(_remark(step) or step["status"], "warn" if step["status"] == "waiting" else "dim")]


def _remark(step: dict[str, Any]) -> str:
    if step["waiting_on"]:
        return "waits for " + ", ".join(step["waiting_on"])
    if step["error"] and step["status"] != "completed":
        return one_line(step["error"])
    parts = [f"{step['batches']['completed']} of {step['batches']['count']} batches"] if step.get("batches") else []
    return one_line("; ".join([*parts, *([step["why"]] if step["why"] else [])]))


def _in_graph(steps: list[dict[str, Any]], rows: list[tuple[str, str]], whole: bool) -> list[Any]:
    """The steps in the order of the graph's rows (`dag.drawing`); of a whole graph with the rows between, as text."""
    if not rows:
        return steps
    left = {step["name"]: step for step in steps}
    items: list[Any] = []
    for lanes, name in rows:
        if name in left:
            items.append(left.pop(name))
        elif not name and whole:
            items.append(lanes)
    return items + list(left.values())


def _lanes(lead: str, form: str, role: str) -> Line:
    """The lanes, with the step's dot as its mark."""
    before, dot, after = (lead or "●").partition("●")
    return [(before, "faint"), (form if dot else "", role), (after, "faint")]
