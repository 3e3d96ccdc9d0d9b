"""Tab 2: the task list as a board: ready, doing, blocked, done; and what a task waits for, down to the root."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from colony_lib.base import clock, text
from colony_lib.tui import dialogs, paint, taskboard
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows
from colony_lib.tui.tab import Tab, one_line


class TasksTab(Tab):
    name_of = "Tasks"

    def __init__(self) -> None:
        super().__init__()
        self._without_done = False

    def compose(self) -> ComposeResult:
        yield Lines([], id="tasks-head")
        yield Rows(_row, _key, empty="no tasks yet: a adds one", id="tasks")

    def draw(self) -> None:
        board = self.found.board
        items: list[Any] = []
        for group, _ in taskboard.GROUPS if board else ():
            assert board is not None
            if group == "done" and self._without_done:
                continue
            some = [task for task in board.groups[group] if self.filter.lets(_fields(task), _text(task))]
            if some or not self.filter:
                items.append((group, board.count(group), len(some)))
            items += some
        if board is not None and not board.total:
            items = []
        self.query_one("#tasks-head", Lines).put(_progress(board, self.size.width or 80))
        self.main().show(items)

    def on_resize(self) -> None:
        self.draw()

    def wrong(self) -> list[str]:
        return [task["id"] for task in self.main().items if isinstance(task, dict) and _is_wrong(task)]

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        self.do_chain()

    def do_chain(self) -> None:
        task = self.main().item
        if self.main().key is None:
            return
        way = taskboard.chain(task["id"])
        lines: list[tuple[str | None, Line]] = [(None, line) for line in _detail(task)]
        if len(way) > 1:
            root = taskboard.root(way)
            if root is not None:
                who = f", with {root['agent']}" if root["agent"] else ""
                told: Line = [
                    ("waits in the end for ", "dim"),
                    (root["title"], "bold"),
                    (f" ({root['status']}{who})", "dim"),
                ]
                lines += [(None, told), (None, [])]
            lines += [(one["id"], _link(depth, one)) for depth, one in way]
        screen = dialogs.Read(task["title"], lines, "Enter goes to a task of the chain" if len(way) > 1 else "")
        self.app.push_screen(screen, lambda key: None if key is None else (self.main().put_on(key), None)[1])

    def do_hide(self) -> None:
        self._without_done = not self._without_done
        self.draw()

    def do_logs(self) -> None:
        task = self.main().item
        if self.main().key and task["agent"]:
            self.show_logs(f"agent:{task['agent']}")

    def do_add(self) -> None:
        def make(texts: list[str]) -> list[str] | None:
            title, agent, blockers = texts
            words = ["state", "task", "add"]
            words += [f"--agent={agent}"] if agent else []
            words += [f"--blockers={blockers}"] if blockers else []
            return [*words, "--", title] if title and title != "-" else None

        fields = [
            ("Title", "", "what is to be done"),
            ("Agent", "", "who is to do it; empty: whoever claims it"),
            ("Blockers", "", "tasks that come before, with commas; empty: none"),
        ]
        self.ask(dialogs.Form("Add a task", fields, make))

    def do_complete(self) -> None:
        self._decide("Complete", "say that it is done", ["state", "task", "complete"], [])

    def do_reopen(self) -> None:
        self._decide("Reopen", "put it back, to be claimed again", ["state", "task", "update"], ["ready"])

    def do_cancel(self) -> None:
        self._decide("Cancel", "say that it will not be done", ["state", "task", "cancel"], [])

    def _decide(self, label: str, what: str, before: list[str], after: list[str]) -> None:
        task = self.main().item
        if self.main().key is not None:
            title = text.cut(one_line(task["title"]), 50)
            self.ask(dialogs.Choose(f"{label} '{title}'?", [(f"{label}: {what}", [*before, task["id"], *after])]))


def _key(item: Any) -> str | None:
    return item["id"] if isinstance(item, dict) else None


def _is_wrong(task: dict[str, Any]) -> bool:
    return task["status"] == "failed" or bool(task["abandoned"])


def _fields(task: dict[str, Any]) -> dict[str, Any]:
    return {"agent": task["agent"], "status": task["status"]}


def _text(task: dict[str, Any]) -> str:
    return " ".join([task["id"], task["title"], task["status"], task["agent"] or "", *task["blocked_by"]])


def _progress(board: taskboard.Board | None, columns: int) -> Line:
    """A bar of how much is done, and the numbers."""
    if board is None or not board.total:
        return []
    tally = board.tally
    room = max(min(columns - 58, 40), 10)
    done, failed = tally["completed"], tally["failed"]
    full = done * room // board.total
    bad = min(room - full, -(-failed * room // board.total))
    words = f"  {done:,} of {board.total:,} done   {board.count('doing'):,} doing   {board.count('ready'):,} ready"
    line: Line = [(" " + "█" * full, "ok"), ("▓" * bad, "bad"), ("░" * (room - full - bad), "faint"), (words, "text")]
    line.append((f"   {board.count('blocked'):,} blocked", "dim"))
    return [*line, (f"   {failed:,} failed", "bad")] if failed else line


def _age(task: dict[str, Any]) -> str:
    return text.show_duration(float(int(max(clock.epoch() - clock.seconds(task["updated"]), 0.0))))


def _row(item: Any, columns: int) -> Line:
    if not isinstance(item, dict):
        group, count, shown = item
        some = f", {shown:,} of them here" if shown < count else ""
        return [(f" {group.upper()} ", "bold"), (f"{count:,}{some}", "dim")]
    form, role = paint.mark("interrupted" if item["abandoned"] else item["status"])
    agent, title = (12, 24) if columns < 76 else (16, 30) if columns < 110 else (20, 46)
    over = item["status"] in ("completed", "cancelled")
    waits = ", ".join(map(one_line, item["blocked_by"]))
    more = [(f"waits for {waits}", "dim")] if waits else []
    if item["abandoned"]:
        more = [(f"its claimant ({item['owner']}) is gone", "warn")]
    urgent = item["priority"] < 2 and not over
    return [
        (f"   {form} ", role),
        (cell(one_line(item["title"]), title) + " ", "dim" if over else "text"),
        (cell(f"p{item['priority']}", 3), "warn" if urgent else "faint"),
        (cell(item["agent"] or "-", agent) + " ", "dim"),
        (cell(_age(item), 7), "dim"),
        *more,
    ]


def _link(depth: int, task: dict[str, Any]) -> Line:
    form, role = paint.mark(task["status"])
    lead = "  " * (depth - 1) + "└ " if depth else ""
    who = f"   {task['agent']}" if task["agent"] else ""
    return [
        (lead, "faint"),
        (f"{form} ", role),
        (one_line(task["title"]), "text"),
        (f"   {task['status']}{who}", "dim"),
    ]


def _detail(task: dict[str, Any]) -> list[Line]:
    facts = {
        key: task[key] for key in ("id", "status", "agent", "priority", "created", "updated", "completed", "result")
    }
    lines: list[Line] = [
        [(cell(name, 13), "dim"), (str(value), "text")] for name, value in facts.items() if value is not None
    ]
    lines += [[(line, "text")] for line in task["description"].split("\n")] if task["description"] else []
    return [*lines, []]
