"""The task list: who may do what next. Every verb decides under one lock and returns when it is on the disk."""

from __future__ import annotations

from colony_lib.base import clock
from colony_lib.base.errors import USAGE, ColonyError, nearest, unknown
from colony_lib.base.text import check_name, cut, escape, plural
from colony_lib.store import journal, paths, taskfold
from colony_lib.store.taskfold import FINISHED, OPEN, SHOWN, fold, shown, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.taskfold import Task, Tasks

TITLE_LIMIT = 1000  # characters
DEFAULT_PRIORITY = 2
FIELDS = ("title", "description", "blockers", "agent", "priority", "id")
# What `update` takes; the first three mean "not started", which shows as ready or blocked.
UPDATES = {"ready": OPEN, "open": OPEN, "pending": OPEN} | {name: name for name in ("in_progress", *FINISHED)}


def load(problems: list[Problem] | None = None) -> Tasks:
    """{id: task} as the journal has them, the oldest first. Takes no lock."""
    return fold(journal.read(paths.tasks(), taskfold.check, problems))


def everything(problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """All tasks as people see them (schemas/task.schema.json), the oldest first."""
    tasks = load(problems)
    return [shown(tasks, task) for task in tasks.values()]


def by_urgency(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which they are claimed: priority, then age (the order given)."""
    return sorted(found, key=lambda task: int(task["priority"]))


def find(tasks: Tasks, ref: str, *, what: str = "task", where: str | None = None) -> Task:
    """The task of an id, of a title (its newest task that is not finished, else its newest), or of the unique
    start of an id. ColonyError (FAILED) with the nearest titles when there is none, or more than one start."""
    if ref in tasks:
        return tasks[ref]
    titled = [task for task in tasks.values() if task["title"] == ref]
    if titled:
        return ([task for task in titled if task["status"] not in FINISHED] or titled)[-1]
    started = [task for name, task in tasks.items() if ref and name.startswith(ref)]
    if len(started) == 1:
        return started[0]
    if started:
        some = ", ".join(f"'{task['id']}' ({cut(task['title'], 40)})" for task in started[:4])
        more = f" and {len(started) - 4} more" if len(started) > 4 else ""
        raise ColonyError(f"'{ref}' is the start of {len(started)} tasks", where=where, fix=f"there is {some}{more}")
    raise unknown(what, cut(ref, 80), [task["title"] for task in tasks.values()], where=where)


def changing() -> journal.changing:
    """The journal, locked, to decide and add events; for verbs of other modules (leases, sync)."""
    return journal.changing(paths.tasks(), paths.lock("tasks"), taskfold.check, "the task list")


def priority(value: object) -> int:
    """0 (the most urgent) to 9 of 0…9, '0'…'9' or 'p0'…'p9'; ColonyError (USAGE) for anything else."""
    text = str(value).lower().removeprefix("p") if isinstance(value, (int, str)) else ""
    if isinstance(value, bool) or len(text) != 1 or text not in "0123456789":
        raise ColonyError(
            f"'{escape(value)}' is not a priority",
            fix="use 0 (the most urgent) to 9, or p0 to p9; 2 is usual",
            code=USAGE,
        )
    return int(text)


def title(value: object) -> str:
    """The title, when it is text that names something; ColonyError (USAGE) otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise ColonyError("a task needs a title", code=USAGE)
    if len(value) > TITLE_LIMIT:
        what = f"a title has at most {TITLE_LIMIT:,} characters, this one has {len(value):,}"
        raise ColonyError(what, fix="put the rest into the description", code=USAGE)
    return value


def wanted(record: dict[str, Any], where: str | None = None) -> dict[str, Any]:
    """A task to add, checked: a record with `title` and, when given, the other FIELDS; blockers are REFs, as a list
    or as text with commas between. ColonyError (USAGE) for what is unknown or of the wrong kind."""
    try:
        for key in record:
            if key not in FIELDS:
                raise ColonyError(f"unknown field '{key}'", fix=nearest(key, FIELDS) or "there is " + ", ".join(FIELDS))
        found: dict[str, Any] = {"title": title(record.get("title")), "description": record.get("description") or ""}
        if not isinstance(found["description"], str):
            raise ColonyError("'description' is not text")
        found["blockers"] = blocker_refs(record.get("blockers") or [])
        for name, kind in (("agent", "agent"), ("id", "task")):
            found[name] = None if record.get(name) is None else check_name(record[name], kind)
        urgency = record.get("priority")
        found["priority"] = DEFAULT_PRIORITY if urgency is None else priority(urgency)
        return found
    except ColonyError as error:
        raise ColonyError(error.what, where=where, fix=error.fix, code=USAGE) from None


def blocker_refs(value: object) -> list[str]:
    """The value as a list of texts, each a REF or several with commas between; ColonyError (USAGE) otherwise."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ColonyError("'blockers' is not a list of tasks", code=USAGE)
    if not all(part.strip() for text in texts for part in text.split(",")):
        raise ColonyError("a blocker has no name", fix="leave the option out for a task without blockers", code=USAGE)
    return texts


def _refs(tasks: Tasks, texts: list[str]) -> list[str]:
    """The single REFs of the texts; a text with commas that is a task's title is that title."""
    titles = {task["title"] for task in tasks.values()} if any("," in text for text in texts) else set()
    return [ref.strip() for text in texts for ref in ([text] if text in titles else text.split(","))]


def add(specs: Sequence[dict[str, Any]], wheres: Sequence[str | None] = ()) -> list[tuple[dict[str, Any], bool]]:
    """Add all of the tasks (`wanted`) or none; (task, whether it is new) for each.

    A blocker may be a task that stands before it in `specs`. An id that is there already with the same title is
    left as it is, so that an adding can be repeated. ColonyError: FAILED for an unknown blocker or an id that
    another title has, USAGE for a circle; `wheres` says where each spec stands.
    """
    with changing() as log:
        tasks = fold(log.events)
        places = [*wheres, *[None] * (len(specs) - len(wheres))]
        done = [_add(log, tasks, spec, place) for spec, place in zip(specs, places)]
        return [(shown(tasks, tasks[name]), new) for name, new in done]


def _add(log: journal.changing, tasks: Tasks, spec: dict[str, Any], where: str | None) -> tuple[str, bool]:
    name = spec["id"]
    if name in tasks:
        if tasks[name]["title"] != spec["title"]:
            what = f"the id '{name}' is taken by the task '{cut(tasks[name]['title'], 80)}'"
            raise ColonyError(what, where=where, fix="use another id")
        return name, False
    while name is None or name in tasks:
        name = clock.short_id("t-")
    blockers: list[str] = []
    for ref in _refs(tasks, spec["blockers"]):
        if ref == name or (ref == spec["title"] and all(task["title"] != ref for task in tasks.values())):
            raise _circle([spec["title"], spec["title"]], where)
        blocker = find(tasks, ref, what="blocker", where=where)["id"]
        if spec["id"] is not None and taskfold.reaches(tasks, blocker, name):
            raise _circle([spec["title"], tasks[blocker]["title"], spec["title"]], where)
        if blocker not in blockers:
            blockers.append(blocker)
    fields = {"title": spec["title"], "description": spec["description"], "agent": spec["agent"]}
    event = log.add(type="add", task=name, **fields, priority=spec["priority"], blockers=blockers)
    taskfold.replay(tasks, event, set())
    return name, True


def _circle(titles: list[str], where: str | None = None) -> ColonyError:
    way = " → ".join(cut(name, 60) for name in titles)
    return ColonyError(f"a circle of blockers: {way} (each waits for the next)", where=where, code=USAGE)


def claim(agent: str, ref: str | None = None, *, unassigned: bool = True) -> dict[str, Any]:
    """Take one ready task for the agent: the one named, else the most urgent and then oldest of those assigned to
    it (with `unassigned`, to it or to nobody). Nobody else gets it. ColonyError (FAILED) when there is none."""
    check_name(agent, "agent")
    with changing() as log:
        tasks = fold(log.events)
        if ref is not None:
            task = find(tasks, ref)
            _claimable(tasks, task, agent)
        else:
            mine = (agent, None) if unassigned else (agent,)
            free = [t for t in tasks.values() if t["assigned"] in mine and status(tasks, t) == "ready"]
            if not free:
                raise _nothing_ready(tasks, agent)
            task = min(free, key=lambda t: int(t["priority"]))  # the first, so the oldest, of the most urgent
        taskfold.replay(tasks, log.add(type="claim", task=task["id"], agent=agent), set())
        return shown(tasks, task)


def _claimable(tasks: Tasks, task: Task, agent: str) -> None:
    seen = shown(tasks, task)
    name = f"the task '{cut(task['title'], 80)}'"
    if seen["status"] == "blocked":
        by = ", ".join(f"'{cut(title, 60)}'" for title in seen["blocked_by"][:3])
        raise ColonyError(f"{name} is blocked by {by}")
    if seen["status"] != "ready":
        held = seen["status"] == "in_progress" and task["owner"]
        whose = f" with '{task['owner']}' since {task['claimed']}" if held else ""
        raise ColonyError(f"{name} is {seen['status']}{whose}")
    if task["assigned"] not in (agent, None):
        fix = f"assign it first: task assign {task['id']} {agent}"
        raise ColonyError(f"{name} is assigned to '{task['assigned']}'", fix=fix)


def _nothing_ready(tasks: Tasks, agent: str) -> ColonyError:
    counts = dict.fromkeys(SHOWN, 0)
    for task in tasks.values():
        counts[status(tasks, task)] += 1
    told = [f"{counts['ready']} ready for others"] if counts["ready"] else []
    told += [f"{counts[name]} {name}" for name in ("blocked", "in_progress") if counts[name]]
    rest = ", ".join(told) if told else plural(len(tasks), "task") + ", none open"
    return ColonyError(f"no task is ready for '{agent}'", fix=rest)


def finish(ref: str, ending: str, result: Any = None) -> tuple[dict[str, Any], bool]:
    """End the task as completed, failed or cancelled, with its result; (task, whether anything changed).

    The same ending again changes nothing. What failed or was cancelled can still be completed; what is completed
    stays so: ColonyError (FAILED) for another ending or another result.
    """
    with changing() as log:
        tasks = fold(log.events)
        task = find(tasks, ref)
        if task["status"] == ending and (result is None or result == task["result"]):
            return shown(tasks, task), False
        if task["status"] == "completed":
            how = "with another result" if ending == "completed" else f"and cannot be {ending}"
            fix = f"reopen it first: task update {task['id']} ready"
            raise ColonyError(f"the task '{cut(task['title'], 80)}' is already completed, {how}", fix=fix)
        event = log.add(type="finish", task=task["id"], status=ending, result=result)
        taskfold.replay(tasks, event, set())
        return shown(tasks, task), True


def update(ref: str, wanted_status: str) -> tuple[dict[str, Any], bool]:
    """Set the task's status by hand, whatever it was; (task, whether anything changed). 'ready' puts it back:
    it is then blocked for as long as it has open blockers."""
    stored = UPDATES.get(wanted_status)
    if wanted_status == "blocked":
        raise ColonyError("a task is blocked by other tasks only", fix="use 'task block REF BLOCKER'", code=USAGE)
    if stored is None:
        raise unknown("status", wanted_status, [name for name in SHOWN if name != "blocked"], code=USAGE)
    with changing() as log:
        tasks = fold(log.events)
        task = find(tasks, ref)
        if task["status"] == stored:
            return shown(tasks, task), False
        who = journal.actor()
        agent = {"agent": task["assigned"] if who == "user" else who} if stored == "in_progress" else {}
        taskfold.replay(tasks, log.add(type="update", task=task["id"], status=stored, **agent), set())
        return shown(tasks, task), True


def assign(ref: str, agent: str) -> dict[str, Any]:
    """Make the task the agent's to do; one in progress changes hands. ColonyError (FAILED) when it is finished."""
    check_name(agent, "agent")
    with changing() as log:
        tasks = fold(log.events)
        task = find(tasks, ref)
        if task["status"] in FINISHED:
            fix = f"put it back first: task update {task['id']} ready"
            raise ColonyError(f"the task '{cut(task['title'], 80)}' is {task['status']}", fix=fix)
        if agent != (task["owner"] or task["assigned"]):
            taskfold.replay(tasks, log.add(type="assign", task=task["id"], agent=agent), set())
        return shown(tasks, task)


def block(ref: str, blocker_ref: str) -> dict[str, Any]:
    """Make the task wait for another. ColonyError: USAGE when they would wait for each other."""
    with changing() as log:
        tasks = fold(log.events)
        task = find(tasks, ref)
        blocker = find(tasks, blocker_ref, what="blocker")
        if taskfold.reaches(tasks, blocker["id"], task["id"]):
            raise _circle(_way(tasks, blocker["id"], task["id"]))
        if blocker["id"] not in task["blockers"]:
            taskfold.replay(tasks, log.add(type="block", task=task["id"], blocker=blocker["id"]), set())
        return shown(tasks, task)


def _way(tasks: Tasks, start: str, goal: str) -> list[str]:
    """The titles on one way of blockers from `goal` through `start` back to `goal`."""
    came: dict[str, str | None] = {start: None}
    waiting = [start]
    while waiting[0] != goal:
        at = waiting.pop(0)
        for blocker in tasks[at]["blockers"] if at in tasks else []:
            if blocker not in came:
                came[blocker] = at
                waiting.append(blocker)
    titles = []
    at_or_none: str | None = goal
    while at_or_none is not None:
        titles.append(tasks[at_or_none]["title"])
        at_or_none = came[at_or_none]
    return [tasks[goal]["title"], *reversed(titles)]


def unblock(ref: str, blocker_ref: str) -> tuple[dict[str, Any], bool]:
    """Let the task no longer wait for another; (task, whether it did). The blocker may be one that is unknown here."""
    with changing() as log:
        tasks = fold(log.events)
        task = find(tasks, ref)
        own = {b: tasks.get(b) or {"id": b, "title": b, "status": OPEN} for b in task["blockers"]}
        try:
            blocker = find(own, blocker_ref)["id"]
        except ColonyError:
            find(tasks, blocker_ref, what="blocker")
            return shown(tasks, task), False
        taskfold.replay(tasks, log.add(type="unblock", task=task["id"], blocker=blocker), set())
        return shown(tasks, task), True


def dependants(tasks: Tasks, task: Task) -> list[Task]:
    """The tasks that wait for this one, the oldest first."""
    return [other for other in tasks.values() if task["id"] in other["blockers"]]
