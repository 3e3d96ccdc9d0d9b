"""Tab 4: one run: a bar for each attempt, time against limit and median, what holds it up, and a step's log."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from colony_lib.base import clock, text
from colony_lib.store import dag, prices
from colony_lib.tui import bars, dialogs, paint, runview
from colony_lib.tui.filters import Filter
from colony_lib.tui.logtail import Tail
from colony_lib.tui.logview import LogPanel
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.tab import Tab, one_line

VIEWS = ("bars", "graph", "list")
WIDE = 120  # columns from which on the list of runs stands beside the run …
BESIDE = 38  # … in so many columns
LAST = 14  # runs that the strip of history shows


class WorkflowTab(Tab):
    name_of = "Workflow"

    def __init__(self) -> None:
        super().__init__()
        self._view = 0
        self._without_done = False
        self._full = False
        self._axis: bars.Axis | None = None
        self._graph: dict[str, str] = {}
        self._attempt: int | None = None  # chosen with [ and ]; None: all of the step
        self._log_of: tuple[Any, ...] | None = None
        self._run_shown: str | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Rows(self._short_line, lambda row: row["run_id"], id="runs")
            with Vertical(id="run"):
                yield Lines([], id="run-head")
                yield Lines([], id="steps-head")
                yield Rows(self._row, _name_of, empty="no run yet: colony workflow run NAME", id="steps")
                yield LogPanel(with_agent=False, id="step-log")

    def main(self) -> Rows:
        return self.query_one("#steps", Rows)

    @property
    def view(self) -> runview.RunView | None:
        return self.found.view

    @property
    def panel(self) -> LogPanel:
        return self.query_one(LogPanel)

    def draw(self) -> None:
        view = self.view
        beside = self.size.width >= WIDE and not self._full
        columns = (self.size.width or 80) - (BESIDE if beside else 0)
        self.query_one("#runs").display = beside
        if beside:
            self._list_runs()
        head, rows = self.query_one("#run-head", Lines), self.main()
        self.panel.display = view is not None
        for widget in (head, rows, self.query_one("#steps-head", Lines)):
            widget.display = not (self._full and self.panel.display)
        if view is None:
            head.put([(" no run yet", "dim")])
            rows.show([])
            return
        head.put(*_head(self.found, view, columns))
        steps = [step for step in view.steps if self.filter.lets(_fields(step), _text(step))]
        if self._without_done:
            steps = [step for step in steps if step["status"] not in ("completed", "cached", "skipped")] or steps
        self._axis = bars.axis_of(view, max(columns - self._left(columns), 10))
        drawing = dag.drawing(view.run.plan) if VIEWS[self._view] == "graph" else []
        self._graph = {name: lanes for lanes, name in drawing if name}
        self.query_one("#steps-head", Lines).put(self._columns_head(columns))
        items = _in_graph(steps, drawing, len(steps) == len(view.steps))
        rows.styles.max_height = max(len(items), 1)
        rows.show(items)
        self._stand(view)
        self._follow(view)

    def on_resize(self) -> None:
        self.draw()

    def _stand(self, view: runview.RunView) -> None:
        """On a run that has just been opened the cursor stands where the trouble is."""
        if self._run_shown == view.run_id:
            return
        self._run_shown, self._attempt = view.run_id, None
        at = view.first_problem()
        if at is None or not self.main().put_on(at):
            self.main().put_cursor(0)

    # -- rows

    def _list_runs(self) -> None:
        """Beside the run: all runs, the cursor on the one that is seen unless a person moves it."""
        rows = self.query_one("#runs", Rows)
        rows.show(self.found.history)
        if self.view is not None and not rows.has_focus:
            rows.put_on(self.view.run_id)

    def _short_line(self, row: dict[str, Any], columns: int) -> Line:
        """A run in the list beside the one that is seen."""
        form, role = paint.mark(row["status"])
        seen = self.view is not None and self.view.run_id == row["run_id"]
        took = text.show_duration(row["duration_seconds"])
        return [
            ("▸" if seen else " ", "accent"), (f"{form} ", role),
            (cell(row["workflow"], 18), "bold" if seen else "text"),
            (cell(_in_words(row), 6, True), "dim"), (cell(took, 8, True), "dim"), (" │", "faint"),
        ]  # fmt: skip

    def _left(self, columns: int) -> int:
        """Columns before the bars."""
        return 3 + self._named(columns) + 4 + 15 + 1

    def _named(self, columns: int) -> int:
        longest = max((len(step["name"]) for step in self.view.steps), default=0) if self.view else 0
        return max(min(longest + 1, 40 if columns >= 110 else 18), 6)

    def _columns_head(self, columns: int) -> Line:
        name = self._named(columns)
        head = cell("   STEP", name + 3)
        if VIEWS[self._view] == "bars":
            ruler = self._axis.ruler() if self._axis else ""
            return [(head + cell("TRY", 4) + cell("TOOK/LIMIT", 15) + " ", "dim"), (ruler, "faint")]
        if VIEWS[self._view] == "graph":
            return [("   GRAPH", "dim")]
        return [(head + cell("TRY", 4) + cell("TOOK/LIMIT", 15) + cell(" AGENT", 17) + "USED AND WHY", "dim")]

    def _row(self, step: Any, columns: int) -> Line:
        view = self.view
        if isinstance(step, str):
            return [(" " + step, "faint")]
        assert view is not None and self._axis is not None
        name, kind = step["name"], VIEWS[self._view]
        form, role = paint.mark(step["status"])
        bold = "bold" if step["status"] in ("running", "retrying", "failed", "waiting") else "text"
        spent = bars.took(view, name)
        if kind == "graph":
            lead = self._graph.get(name, "")
            return [
                (" ", ""), *_lanes(lead, form, role), (" " + cell(name, self._named(columns)) + " ", bold),
                *spent, ("  " + self._remark(step), "dim"),
            ]  # fmt: skip
        pad = " " * max(15 - paint.columns_of(spent), 0)
        line: Line = [(f" {form} ", role), (cell(name, self._named(columns)), bold)]
        line += [
            (cell(str(step["attempts"] or "-"), 4), "warn" if step["attempts"] > 1 else "dim"),
            *spent,
            (pad + " ", ""),
        ]
        if kind == "list":
            used = prices.amount(step["tokens"], step["cost_usd"])
            return [*line, (cell(step["agent"] or "-", 16) + " ", "text"), (f"{used}  " if used else "", "dim"),
                    (self._remark(step), "dim")]  # fmt: skip
        if step["status"] in ("pending", "waiting") and not view.attempts.get(name):
            return [*line, (self._remark(step), "warn" if step["status"] == "waiting" else "dim")]
        if step["status"] in ("skipped", "cancelled", "cached") and not view.attempts.get(name):
            return [*line, (one_line(step["why"] or step["error"] or step["status"]), "dim")]
        return [*line, *bars.bars(view, name, self._axis)]

    def _remark(self, step: dict[str, Any]) -> str:
        if step["waiting_on"]:
            return "waits for " + ", ".join(step["waiting_on"])
        if step["error"] and step["status"] != "completed":
            return one_line(step["error"])
        parts = [f"{step['batches']['completed']} of {step['batches']['count']} batches"] if step.get("batches") else []
        return one_line("; ".join([*parts, *([step["why"]] if step["why"] else [])]))

    # -- the log below

    def on_rows_moved(self, event: Rows.Moved) -> None:
        if event.rows is self.main() and self.view is not None:
            self._attempt = None
            self._follow(self.view)

    def _follow(self, view: runview.RunView) -> None:
        name = self.main().key
        if name is None:
            return
        step = view.step(name)
        agent = (step["agent"] if step else None) or "colony"
        wanted = (view.run_id, name, self._attempt)
        if wanted != self._log_of:
            self._log_of = wanted
            chosen = Filter(f"attempt:{self._attempt}" if self._attempt else "")
            tail = Tail(chosen, [agent], run_id=view.run_id, step=name, since=view.record["started"])
            self.panel.open(tail, [])
        attempts = step["attempts"] if step else 0
        which = f"attempt {self._attempt} of {attempts}" if self._attempt else text.plural(attempts, "attempt")
        self.panel.title = [(name, "bold"), (f"  {agent}  {which if attempts else 'not begun'}", "dim")]
        self.panel.on_log_view_told()

    def do_older_attempt(self) -> None:
        self._choose_attempt(-1)

    def do_newer_attempt(self) -> None:
        self._choose_attempt(1)

    def _choose_attempt(self, way: int) -> None:
        step = self.view.step(self.main().key or "") if self.view else None
        if self.view is None or step is None or not step["attempts"]:
            return
        now = self._attempt if self._attempt is not None else step["attempts"] + 1
        now = max(1, now + way)
        self._attempt = now if now <= step["attempts"] else None
        self._follow(self.view)

    # -- keys

    def back(self) -> bool:
        was, self._full = self._full, False
        if was:
            self.draw()
        return was or self.colony.let_go_of_run()

    def wrong(self) -> list[str]:
        steps = self.view.steps if self.view else []
        return [step["name"] for step in steps if step["status"] in ("failed", "waiting", "retrying")]

    def next_problem(self, *, anew: bool = False) -> bool:
        """Behind the last step that is wrong comes the next run that is; behind the last run other tabs."""
        if super().next_problem(anew=anew):
            return True
        runs = sorted({*(row["run_id"] for row in self.found.bad), *self._waiting_runs()}, reverse=True)
        now = self.view.run_id if self.view else ""
        later = [run_id for run_id in runs if anew or run_id < now or now not in runs]
        if later:
            self.colony.open_run(later[0])
        return bool(later)

    def _waiting_runs(self) -> list[str]:
        return [row["run_id"] for row in self.found.history if row["status"] == "waiting"]

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.rows is self.main():
            self.panel.view.focus()
        elif event.rows.id == "runs":
            self.colony.open_run(event.key)
        else:
            record = event.rows.item
            self.colony.read_record(record[0] if isinstance(record, tuple) else record)

    def do_view(self) -> None:
        self._view = (self._view + 1) % len(VIEWS)
        self.draw()

    def do_hide(self) -> None:
        self._without_done = not self._without_done
        self.draw()

    def do_full(self) -> None:
        self._full = not self._full
        self.draw()
        (self.panel.view if self._full else self.main()).focus()

    def do_wrap(self) -> None:
        self.panel.view.toggle_wrap()

    def do_times(self) -> None:
        self.panel.view.toggle_times()

    def do_logs(self) -> None:
        if self.view is not None and self.main().key:
            self.show_logs(f"step:{self.main().key} run:{self.view.run_id}")

    def do_history(self) -> None:
        beside = self.query_one("#runs", Rows)
        if beside.display:
            beside.focus()
            return
        lines: list[tuple[str | None, Line]] = [
            (row["run_id"], _history_line(row, self.found)) for row in self.found.history
        ]
        screen = dialogs.Read("Runs, newest first", lines, "Enter opens a run")
        self.app.push_screen(screen, lambda key: self.colony.open_run(key) if key else None)

    def do_rerun(self) -> None:
        view, step = self.view, self.main().key
        if view is None:
            return
        if view.status == "running":
            self.colony.tell("it is running: X cancels it first")
            return
        run = ["workflow"]
        choices = []
        if view.status != "completed":
            choices.append(("Go on with it: what is done is not done again", [*run, "resume", view.run_id, "--detach"]))
        if step and step in view.run.steps:
            words = [*run, "rerun", view.run_id, f"--from={step}", "--detach"]
            choices.append((f"A new run, from {step} on", words))
        choices.append(("A new run, all of it", [*run, "rerun", view.run_id, "--detach"]))
        self.ask(dialogs.Choose(f"Run {view.workflow} again? ({view.run_id}, {view.status})", choices))

    def do_cancel(self) -> None:
        view = self.view
        if view is None or view.status not in ("running", "waiting", "interrupted"):
            self.colony.tell("it has ended: there is nothing to cancel")
            return
        words = ["workflow", "cancel", view.run_id]
        choices = [("Cancel it: what runs is ended, what is done is kept", words)]
        self.ask(dialogs.Choose(f"Cancel {view.workflow} {view.run_id}?", choices))

    def do_approve(self) -> None:
        view = self.view
        step = _waiting(view, self.main().key) if view else None
        if view is None or step is None:
            self.colony.tell("no step waits for a person")
            return
        words = [view.run_id, step["name"]]
        why = ", ".join(step["waiting_on"] or ["approval"])
        choices = [
            ("Approve it; then R goes on with the run", ["workflow", "approve", *words]),
            ("Reject it: the step fails", ["workflow", "reject", *words]),
        ]
        self.ask(dialogs.Choose(f"{step['name']} of {view.run_id} waits for {why}", choices))


def _name_of(item: Any) -> str | None:
    return None if isinstance(item, str) else str(item["name"])


def _waiting(view: runview.RunView, name: str | None) -> dict[str, Any] | None:
    """The step under the cursor if it waits, else the first that does."""
    waiting = [step for step in view.steps if step["status"] == "waiting"]
    return next((step for step in waiting if step["name"] == name), waiting[0] if waiting else None)


def _fields(step: dict[str, Any]) -> dict[str, Any]:
    level = {"failed": "error", "retrying": "warn", "waiting": "warn"}.get(step["status"], "info")
    return {"agent": step["agent"], "step": step["name"], "status": step["status"], "level": level}


def _text(step: dict[str, Any]) -> str:
    return " ".join(str(step[key] or "") for key in ("name", "agent", "status", "error"))


def _head(found: Any, view: runview.RunView, columns: int) -> list[Line]:
    """Three lines: the workflow and its last runs; the run; what holds it up."""
    trigger = view.run.plan["trigger"] or {}
    when = f"   {trigger['cron']} {trigger.get('timezone') or ''}".rstrip() if trigger.get("cron") else ""
    if found.next_time:
        when += f"   next in {text.show_duration(clock.seconds(found.next_time) - clock.epoch())}"
    same = [row for row in found.history if row["workflow"] == view.workflow][:LAST]
    strip: Line = []
    for row in reversed(same):
        form, role = paint.mark(row["status"])
        strip.append((form, "tab" if row["run_id"] == view.run_id else role))
    first: Line = [
        (f" {view.workflow}", "bold"),
        (when, "dim"),
        (f"   last {len(same)} " if same else "", "dim"),
        *strip,
    ]
    record = view.record
    usual = view.usual.get("")
    words = f", usual {text.show_duration(usual)}" if usual and view.status == "running" else ""
    used = prices.amount(record["tokens"], record["cost_usd"])
    second: Line = [
        (f" {view.run_id}", "text"), ("   " + view.status, paint.role_of(view.status)),
        (f" {text.show_duration(record['duration_seconds'])}{words}", "text"),
        (f"   {view.done()} of {len(view.steps)}", "text"), (f"   {record['date']}", "dim"),
        (f"   {used}" if used else "", "dim"),
        (f"   rerun of {record['rerun_of']}" if record["rerun_of"] else "", "dim"),
    ]  # fmt: skip
    return [first, second, [(" ", ""), *runview.sentence(view)]]


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


def _in_words(row: dict[str, Any]) -> str:
    """When the run started: the time of today, else the day."""
    started = row["started"] or ""
    return started[11:16] if started[:10] == clock.now()[:10] else started[5:10]


def _history_line(row: dict[str, Any], found: Any) -> Line:
    form, role = paint.mark(row["status"])
    started = (row["started"] or "")[:16].replace("T", " ")
    return [
        (f"{form} ", role), (cell(row["workflow"], 18) + " ", "text"), (cell(row["status"], 12), role),
        (cell(started, 17), "dim"), (cell(text.show_duration(row["duration_seconds"]), 8), "text"),
        (f"{row['run_id']}", "dim"),
    ]  # fmt: skip
