"""The task list as a board: groups in the order in which people look at them, and the chain of what blocks a task."""

from __future__ import annotations

from collections import deque

from colony_lib.base import jsontext
from colony_lib.store import taskfold, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

GROUPS = (
    ("ready", ("ready",)),
    ("doing", ("in_progress",)),
    ("blocked", ("blocked",)),
    ("done", taskfold.FINISHED),
)
MOST = 300  # tasks of a group that are shown: the most urgent, of what is done the last ones
DEEPEST = 400  # tasks of a chain of blockers that are shown


class Board:
    """The tasks of each group (schemas/task.schema.json), at most MOST each, and how many of each status there are."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Record]] = {}
        self.tally: dict[str, int] = {}
        tasks.asked(self._read)

    def _read(self, found: taskfold.Tasks) -> None:
        self.tally = found.tally()
        for name, statuses in GROUPS:
            if name == "done":
                texts = list(deque(found.texts(taskfold.Chosen(statuses)), maxlen=MOST))
                texts.reverse()
            else:
                chosen = taskfold.Chosen(statuses, urgent=True, count=MOST)
                texts = [text for text, _ in zip(found.texts(chosen), range(MOST))]
            self.groups[name] = [jsontext.loads(text) for text in texts]

    def count(self, group: str) -> int:
        return sum(self.tally.get(status, 0) for status in dict(GROUPS)[group])

    @property
    def total(self) -> int:
        return sum(self.tally.values())


def chain(task_id: str) -> list[tuple[int, Record]]:
    """(depth, task) of the task and of all that it waits for, each once, those that it waits for directly at depth 1.
    Of a blocker that is not known here the record has an id, a title and the status 'unknown'."""

    def look(found: taskfold.Tasks) -> list[tuple[int, Record]]:
        way: list[tuple[int, Record]] = []
        seen: set[str] = set()
        waiting = [(0, task_id)]
        while waiting and len(way) < DEEPEST:
            depth, name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name not in found:
                way.append((depth, {"id": name, "title": name, "status": "unknown", "agent": None, "blockers": []}))
                continue
            task = taskfold.shown(found, found[name])
            way.append((depth, task))
            if task["status"] == "blocked":
                waiting += [(depth + 1, name) for name in reversed(taskfold.open_blockers(found, found[name]))]
        return way

    return tasks.asked(look)


def root(way: list[tuple[int, Record]]) -> Record | None:
    """The task at which a chain begins: the first that waits for no other; None when the chain is the task alone."""
    return next((task for depth, task in way if depth and task["status"] != "blocked"), None)
