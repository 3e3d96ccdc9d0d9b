"""What a set of task events means: the one replay that every machine does and that comes out the same everywhere.

Events come in their order (clock, id) and each is applied by the rule that the command which wrote it had checked;
an event whose rule no longer holds, because another machine's event now stands before it, is void. So of two
claims the first in order wins, a circle that two machines closed together stays open, and completed stays so.
"""

from __future__ import annotations

from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Event = dict[str, Any]
    Task = dict[str, Any]
    Tasks = dict[str, Task]

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


_CHECKS: dict[str, Callable[[Event], str | None]] = {
    "add": _check_add,
    "claim": lambda event: _text(event, "agent"),
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


def _add(tasks: Tasks, event: Event, mentioned: set[str]) -> None:
    task = event["task"]
    if task in tasks:
        return  # two machines added the same id: the first in order gave it its words
    tasks[task] = {
        "id": task,
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
    }
    for blocker in event.get("blockers", []):
        # A circle needs somebody who already waits for this task, which only a synced or damaged file knows.
        if task not in mentioned or not reaches(tasks, blocker, task):
            _block(tasks[task], blocker)
    mentioned.update(tasks[task]["blockers"])


def _block(task: Task, blocker: str) -> None:
    if blocker not in task["blockers"]:
        task["blockers"].append(blocker)


def _own(task: Task, event: Event, agent: str | None) -> None:
    """The task is the agent's from this event on; the event's id names this ownership and no other."""
    task.update(status="in_progress", owner=agent, claimed=event["ts"], claim=event["id"], completed=None, result=None)


def _finish(task: Task, event: Event) -> None:
    completed = event["ts"] if event["status"] == "completed" else None
    task.update(status=event["status"], result=event.get("result"), completed=completed)


def _put_back(task: Task) -> None:
    task.update(status=OPEN, owner=None, claimed=None, claim=None, completed=None, result=None)


def _apply(tasks: Tasks, task: Task, event: Event) -> bool:
    """Change the task by an event other than its adding; False when the event is void."""
    kind = event["type"]
    if kind == "claim":
        if task["status"] != OPEN:
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
            task.update(owner=event["agent"], claimed=event["ts"], claim=event["id"])
    elif kind == "block":
        if reaches(tasks, event["blocker"], task["id"]):
            return False
        _block(task, event["blocker"])
    elif event["blocker"] in task["blockers"]:
        task["blockers"].remove(event["blocker"])
    return True


def replay(tasks: Tasks, event: Event, mentioned: set[str]) -> None:
    """Change the tasks by the event that comes next; `mentioned` collects the ids that block others."""
    if event["type"] == "add":
        _add(tasks, event, mentioned)
        return
    task = tasks.get(event["task"])
    if task is not None and _apply(tasks, task, event):
        task["updated"] = event["ts"]
        if event["type"] == "block":
            mentioned.add(event["blocker"])


def fold(events: Iterable[Event]) -> Tasks:
    """{id: task}, the oldest first, of events in the order (clock, id), each once."""
    tasks: Tasks = {}
    mentioned: set[str] = set()
    for event in events:
        replay(tasks, event, mentioned)
    return tasks


def open_blockers(tasks: Tasks, task: Task) -> list[str]:
    """The ids of the blockers that are not completed. One that failed, was cancelled, or is not known (its line
    is damaged or has yet to come by sync) goes on blocking: only success lets others start."""
    return [b for b in task["blockers"] if b not in tasks or tasks[b]["status"] != "completed"]


def status(tasks: Tasks, task: Task) -> str:
    """The status as people see it: what is open is `blocked` while a blocker is not completed, else `ready`."""
    if task["status"] != OPEN:
        return str(task["status"])
    return "blocked" if open_blockers(tasks, task) else "ready"


def shown(tasks: Tasks, task: Task) -> dict[str, Any]:
    """The task as `--json` gives it (schemas/task.schema.json)."""
    waiting = [] if task["status"] in FINISHED else open_blockers(tasks, task)
    names = ("priority", "created", "updated", "completed", "result", "owner", "claimed", "claim")
    return {
        "id": task["id"],
        "title": task["title"],
        "description": task["description"],
        "status": status(tasks, task),
        "agent": task["owner"] or task["assigned"],
        "blockers": list(task["blockers"]),
        "blocked_by": [tasks[b]["title"] if b in tasks else b for b in waiting],
        **{name: task[name] for name in names},
    }
