"""What a set of task events means: the one replay that every machine does and that comes out the same everywhere.

Events come in their order (clock, id) and each is applied by the rule that the command which wrote it had checked;
an event whose rule no longer holds, because another machine's event now stands before it, is void. So of two
claims the first in order wins, a circle that two machines closed together stays open, and completed stays so.
"""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Protocol

    Event = dict[str, Any]
    Task = dict[str, Any]

    class Tasks(Protocol):
        """The tasks as their events leave them, and what is asked of them: `Board` in memory, or an index on disk."""

        def __contains__(self, task_id: object, /) -> bool: ...

        def __getitem__(self, task_id: str, /) -> Task: ...

        def __setitem__(self, task_id: str, task: Task, /) -> None: ...

        def lost(self, task: Task, /) -> bool:
            """Whether the task's claimant is gone."""

        def take(self, event: Event, /) -> None:
            """Change the tasks by the event that comes next."""

        def blocks(self, task_id: str, /) -> bool:
            """Whether any task names this one as a blocker; perhaps also when one only did."""

        def titled(self, title: str, /) -> Sequence[Task]:
            """The tasks of that title, the oldest first."""

        def starting(self, start: str, /) -> Sequence[Task]:
            """Tasks whose ids start so: all of them, or enough to say that there are several."""

        def free(self, agents: Sequence[str | None], /) -> Task | None:
            """The most urgent and then oldest task that is ready and assigned to one of these agents (None: to
            nobody)."""

        def texts(self, chosen: Chosen, /) -> Iterator[str]:
            """The chosen tasks as `shown` has them, as JSON."""

        def rows(self, chosen: Chosen, /) -> Iterator[dict[str, Any]]:
            """The same, of each at least the keys of ROW."""

        def dependants(self, task: Task, /) -> Sequence[Task]:
            """The tasks that wait for this one, the oldest first."""

        def tally(self) -> dict[str, int]:
            """How many tasks there are of each status that people see."""

        def hints(self) -> Sequence[str]:
            """Titles to compare a misspelled one with; of very many tasks the newest."""


# What is stored; `blocked` and `ready` are what `open` looks like beside its blockers.
OPEN = "open"
FINISHED = ("completed", "failed", "cancelled")
STORED = (OPEN, "in_progress", *FINISHED)
SHOWN = ("blocked", "ready", "in_progress", *FINISHED)
LAST_PRIORITY = 9


def _text(event: Event, name: str) -> str | None:
    value = event.get(name)
    return None if isinstance(value, str) and value else f"its '{name}' is not text"


def _check_add(event: Event) -> str | None:
    if not isinstance(event.get("description", ""), str):
        return "its 'description' is not text"
    blockers = event.get("blockers", [])
    for blocker in blockers if isinstance(blockers, list) else [None]:
        if not isinstance(blocker, str) or not blocker:
            return "its 'blockers' is not a list of ids"
    priority = event.get("priority", 2)
    if type(priority) is not int or not 0 <= priority <= LAST_PRIORITY:
        return f"its 'priority' is not 0 to {LAST_PRIORITY}"
    return _text(event, "title") or (None if event.get("agent") is None else _text(event, "agent"))


def _check_status(event: Event, known: tuple[str, ...]) -> str | None:
    return None if event.get("status") in known else f"its status is none of {', '.join(known)}"


def _check_claim(event: Event) -> str | None:
    lease = event.get("lease")
    if lease is not None and not (isinstance(lease, dict) and all(isinstance(text, str) for text in lease.values())):
        return "its 'lease' is no object of texts"
    return _text(event, "agent")


_CHECKS: dict[str, Callable[[Event], str | None]] = {
    "add": _check_add,
    "claim": _check_claim,
    "finish": lambda event: _check_status(event, FINISHED),
    "update": lambda event: _check_status(event, STORED),
    "assign": lambda event: _text(event, "agent"),
    "block": lambda event: _text(event, "blocker"),
    "unblock": lambda event: _text(event, "blocker"),
}


def check(event: Event) -> str | None:
    """What is wrong with a task event; None when nothing is."""
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _CHECKS:
        return f"'{escape(kind)[:40]}' is no type of task event"
    return _text(event, "task") or _CHECKS[kind](event)


def reaches(tasks: Tasks, start: str, goal: str) -> bool:
    """Whether `goal` is `start`, or blocks it through any number of others."""
    seen = set()
    waiting = [start]
    while waiting:
        at = waiting.pop()
        if at == goal:
            return True
        if at not in seen:
            seen.add(at)
            waiting += tasks[at]["blockers"] if at in tasks else []
    return False


def _add(tasks: Tasks, event: Event) -> None:
    name = event["task"]
    if name in tasks:
        return  # two machines added the same id: the first in order gave it its words
    tasks[name] = task = {
        "id": name,
        "title": event["title"],
        "description": event.get("description", ""),
        "status": OPEN,
        "assigned": event.get("agent"),
        "blockers": [],
        "priority": event.get("priority", 2),
        "created": event["ts"],
        "updated": event["ts"],
        "completed": None,
        "result": None,
        "owner": None,
        "claimed": None,
        "claim": None,
        "lease": None,
    }
    for blocker in event.get("blockers", []):
        # A circle needs somebody who already waits for this task, which only a synced or damaged file knows.
        if not tasks.blocks(name) or not reaches(tasks, blocker, name):
            _block(task, blocker)


def _block(task: Task, blocker: str) -> None:
    if blocker not in task["blockers"]:
        task["blockers"].append(blocker)


def _own(task: Task, event: Event, agent: str | None) -> None:
    """The task is the agent's from this event on; the event's id names this ownership and no other."""
    task.update(status="in_progress", owner=agent, claimed=event["ts"], claim=event["id"], completed=None, result=None)
    task["lease"] = event.get("lease")


def _finish(task: Task, event: Event) -> None:
    completed = event["ts"] if event["status"] == "completed" else None
    task.update(status=event["status"], result=event.get("result"), completed=completed, lease=None)


def _put_back(task: Task) -> None:
    task.update(status=OPEN, owner=None, claimed=None, claim=None, lease=None, completed=None, result=None)


def _can_be_claimed(task: Task, event: Event) -> bool:
    """Whether the task is open, or held by the very claim of which the claimant knew that it was lost."""
    if task["status"] == "in_progress":
        return bool(task["claim"] == event.get("over"))
    return bool(task["status"] == OPEN)


def _apply(tasks: Tasks, task: Task, event: Event) -> bool:
    """Change the task by an event other than its adding; False when the event is void."""
    kind = event["type"]
    if kind == "claim":
        if not _can_be_claimed(task, event):
            return False
        _own(task, event, event["agent"])
    elif kind == "finish":
        if task["status"] == "completed":
            return False
        _finish(task, event)
    elif kind == "update":
        if event["status"] == OPEN:
            _put_back(task)
        elif event["status"] == "in_progress":
            agent = event.get("agent")
            _own(task, event, agent if isinstance(agent, str) and agent else None)
        else:
            _finish(task, event)
    elif kind == "assign":
        if task["status"] in FINISHED:
            return False
        task["assigned"] = event["agent"]
        if task["status"] == "in_progress":
            task.update(owner=event["agent"], claimed=event["ts"], claim=event["id"], lease=None)
    elif kind == "block":
        if reaches(tasks, event["blocker"], task["id"]):
            return False
        _block(task, event["blocker"])
    elif event["blocker"] in task["blockers"]:
        task["blockers"].remove(event["blocker"])
    return True


def replay(tasks: Tasks, event: Event) -> None:
    """Change the tasks by the event that comes next."""
    if event["type"] == "add":
        _add(tasks, event)
    elif event["task"] in tasks:
        task = tasks[event["task"]]
        if _apply(tasks, task, event):
            task["updated"] = event["ts"]


def open_blockers(tasks: Tasks, task: Task) -> list[str]:
    """The ids of the blockers that are not completed. One that failed, was cancelled, or is not known (its line
    is damaged or has yet to come by sync) goes on blocking: only success lets others start."""
    return [b for b in task["blockers"] if b not in tasks or tasks[b]["status"] != "completed"]


def status(tasks: Tasks, task: Task) -> str:
    """The status as people see it: what is open, or whose claimant is gone, is `blocked` while a blocker is not
    completed, else `ready`."""
    if task["status"] == OPEN or (task["lease"] and tasks.lost(task)):
        return "blocked" if open_blockers(tasks, task) else "ready"
    return str(task["status"])


def shown(tasks: Tasks, task: Task) -> dict[str, Any]:
    """The task as `--json` gives it (schemas/task.schema.json)."""
    waiting = [] if task["status"] in FINISHED or not task["blockers"] else open_blockers(tasks, task)
    lost = bool(task["lease"]) and tasks.lost(task)
    return {
        "id": task["id"],
        "title": task["title"],
        "description": task["description"],
        "status": status(tasks, task),
        "agent": task["assigned"] if lost else task["owner"] or task["assigned"],
        "blockers": list(task["blockers"]),
        "blocked_by": [tasks[b]["title"] if b in tasks else b for b in waiting],
        "priority": task["priority"],
        "created": task["created"],
        "updated": task["updated"],
        "completed": task["completed"],
        "result": task["result"],
        "owner": task["owner"],
        "claimed": task["claimed"],
        "claim": task["claim"],
        "abandoned": lost,
    }


# What a row of a list of tasks is made of.
ROW = ("id", "status", "priority", "agent", "title", "blocked_by")


class Chosen:
    """Which tasks, as they are shown: of these statuses, of that agent (None: of any); the oldest first, or `urgent`:
    the most urgent and then oldest; `count`: as many at most as are to be looked at (None: all)."""

    __slots__ = ("agent", "count", "statuses", "urgent")

    def __init__(
        self,
        statuses: Sequence[str] | None = None,
        agent: str | None = None,
        *,
        urgent: bool = False,
        count: int | None = None,
    ) -> None:
        self.statuses = statuses
        self.agent = agent
        self.urgent = urgent
        self.count = count

    def takes(self, seen: dict[str, Any]) -> bool:
        return (self.statuses is None or seen["status"] in self.statuses) and self.agent in (None, seen["agent"])


HINTS = 2000  # titles among which a misspelled one is looked for


class Board(dict[str, "Task"]):
    """All tasks in memory, the oldest first; see `Tasks` for what is asked of them."""

    __slots__ = ("_blocking", "_is_lost", "_titles")

    def __init__(self, is_lost: Callable[[Task], bool] | None = None) -> None:
        """`is_lost` tells of a claimed task with a lease whether its claimant is gone."""
        super().__init__()
        self._blocking: set[str] = set()
        self._titles: dict[str, list[Task]] = {}
        self._is_lost = is_lost

    def __setitem__(self, task_id: str, task: Task) -> None:
        super().__setitem__(task_id, task)
        self._titles.setdefault(task["title"], []).append(task)

    def lost(self, task: Task) -> bool:
        return self._is_lost is not None and task["status"] == "in_progress" and self._is_lost(task)

    def take(self, event: Event) -> None:
        replay(self, event)
        if event["type"] in ("add", "block") and event["task"] in self:
            self._blocking.update(self[event["task"]]["blockers"])

    def blocks(self, task_id: str) -> bool:
        return task_id in self._blocking

    def titled(self, title: str) -> list[Task]:
        return self._titles.get(title, [])

    def starting(self, start: str) -> list[Task]:
        return [task for name, task in self.items() if name.startswith(start)]

    def free(self, agents: Sequence[str | None]) -> Task | None:
        mine = [task for task in self.values() if task["assigned"] in agents and status(self, task) == "ready"]
        return min(mine, key=lambda task: int(task["priority"]), default=None)  # the first of several, so the oldest

    def texts(self, chosen: Chosen) -> Iterator[str]:
        return map(jsontext.dumps, self.rows(chosen))

    def rows(self, chosen: Chosen) -> Iterator[dict[str, Any]]:
        everyone: Iterable[Task] = self.values()
        if chosen.urgent:
            everyone = sorted(everyone, key=lambda task: int(task["priority"]))
        return (seen for seen in (shown(self, task) for task in everyone) if chosen.takes(seen))

    def dependants(self, task: Task) -> list[Task]:
        return [other for other in self.values() if task["id"] in other["blockers"]]

    def tally(self) -> dict[str, int]:
        counts = dict.fromkeys(SHOWN, 0)
        for task in self.values():
            counts[status(self, task)] += 1
        return counts

    def hints(self) -> list[str]:
        return [task["title"] for task in self.values()][-HINTS:]


def fold(events: Iterable[Event], is_lost: Callable[[Task], bool] | None = None) -> Board:
    """The tasks that events in the order (clock, id), each once, add up to."""
    tasks = Board(is_lost)
    for event in events:
        tasks.take(event)
    return tasks
