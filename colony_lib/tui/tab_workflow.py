"""Tab 4: one run: a bar for each attempt, time against limit and median, what holds it up, and a step's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from colony_lib.base import text
from colony_lib.tui import browser, dialogs, runacts, runlines, runview
from colony_lib.tui.filters import Filter
from colony_lib.tui.logpanel import LogPanel
from colony_lib.tui.logtail import Tail
from colony_lib.tui.paint import Line
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.steprows import KINDS, StepRows
from colony_lib.tui.tab import Tab

WIDE = 120  # columns from which on the list of runs stands beside the run …
BESIDE = 38  # … in so many columns


class WorkflowTab(Tab):
    name_of = "Workflow"

    def __init__(self) -> None:
        super().__init__()
        self._kind = 0
        self._without_done = False
        self._full = False
        self._steps: StepRows | None = None
        self._attempt: int | None = None  # chosen with [ and ]; None: all of the step
        self._log_of: tuple[Any, ...] | None = None
        self._run_shown: str | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Rows(self._run_line, lambda row: row["run_id"], id="runs")
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
        head.put(*runlines.head(self.found, view))
        steps = [step for step in view.steps if self.filter.lets(_fields(step), _text(step))]
        if self._without_done:
            steps = [step for step in steps if step["status"] not in ("completed", "cached", "skipped")] or steps
        self._steps = StepRows(view, steps, KINDS[self._kind], columns)
        self.query_one("#steps-head", Lines).put(self._steps.head(columns))
        room = (self.size.height or 20) - 4  # a third of it is the log's, however many steps there are
        rows.styles.max_height = max(min(len(self._steps.items), room - max(room // 3, 3)), 3)
        rows.show(self._steps.items)
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

    def _run_line(self, row: dict[str, Any], columns: int) -> Line:
        return runlines.short(row, self.view is not None and self.view.run_id == row["run_id"])

    def _row(self, item: Any, columns: int) -> Line:
        return self._steps.row(item, columns) if self._steps is not None else []

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
        self._kind = (self._kind + 1) % len(KINDS)
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
            self.colony.tell("↑ ↓ choose another run in the list, Enter opens it")
            return
        lines: list[tuple[str | None, Line]] = [(row["run_id"], runlines.history(row)) for row in self.found.history]
        screen = dialogs.Read("Runs, newest first", lines, "Enter opens a run")
        self.app.push_screen(screen, lambda key: self.colony.open_run(key) if key else None)

    def do_open(self) -> None:
        if self.view is None:
            self.colony.tell("there is no run yet")
        else:
            self.colony.run_worker(self._open(self.view.run_id), group="act")

    async def _open(self, run_id: str) -> None:
        page, why = await browser.page(run_id, make=not self.colony.read_only)
        if page is None:
            self.colony.tell(why, "warn")
            return
        self.colony.tell(f"opening {page} …", stay=True)
        if await browser.show(page):
            self.colony.tell(f"✓ opened {page}", "ok")
        else:
            self.colony.tell(f"no browser here: the page is {page}", "warn", stay=True)

    def do_rerun(self) -> None:
        self._ask(runacts.again)

    def do_cancel(self) -> None:
        self._ask(runacts.cancel)

    def do_approve(self) -> None:
        self._ask(runacts.approve)

    def _ask(self, question: Callable[[runview.RunView, str | None], dialogs.Choose | str]) -> None:
        """Put the question about the run and the step under the cursor, or say why there is none."""
        found = question(self.view, self.main().key) if self.view is not None else "there is no run yet"
        if isinstance(found, str):
            self.colony.tell(found)
        else:
            self.ask(found)


def _name_of(item: Any) -> str | None:
    return None if isinstance(item, str) else str(item["name"])


def _fields(step: dict[str, Any]) -> dict[str, Any]:
    level = {"failed": "error", "retrying": "warn", "waiting": "warn"}.get(step["status"], "info")
    return {"agent": step["agent"], "step": step["name"], "status": step["status"], "level": level}


def _text(step: dict[str, Any]) -> str:
    return " ".join(str(step[key] or "") for key in ("name", "agent", "status", "error"))
