"""The task list: who may do what next. Every verb decides under one lock and returns when it is on the disk."""

from __future__ import annotations

import os
from itertools import islice

from colony_lib.base import clock, jsontext
from colony_lib.base.errors import USAGE, ColonyError, nearest, unknown
from colony_lib.base.text import check_name, cut, escape, plural
from colony_lib.store import journal, paths, taskfold
from colony_lib.store.taskfold import FINISHED, OPEN, SHOWN, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from colony_lib.base.jsonl import Problem
    from colony_lib.store import taskindex
    from colony_lib.store.taskfold import Task, Tasks

    Answer = TypeVar("Answer")

TITLE_LIMIT = 1000  # characters
DEFAULT_PRIORITY = 2
LONG = 96 * 1024  # bytes of journal; a shorter one is read faster than an index is opened
VERY_LONG = 16 << 20  # bytes of journal from which it is compacted by itself
FIELDS = ("title", "description", "blockers", "agent", "priority", "id")
# What `update` takes; the first three mean "not started", which shows as ready or blocked.
UPDATES = {"ready": OPEN, "open": OPEN, "pending": OPEN} | {name: name for name in ("in_progress", *FINISHED)}


def load(problems: list[Problem] | None = None) -> taskfold.Board:
    """All tasks as the journal has them, the oldest first. Takes no lock."""
    return taskfold.fold(journal.read(paths.tasks(), taskfold.check, problems), _is_lost)


def asked(question: Callable[[Tasks], Answer], problems: list[Problem] | None = None) -> Answer:
    """What `question` answers of the tasks as they are now; of a long list it sees an index. Takes no lock."""
    if _is_long():
        from colony_lib.store import taskindex

        index = taskindex.view(_is_lost, paths.lock("tasks"))
        if index is not None:
            try:
                answer = question(index)
                if problems is not None:
                    problems += index.problems()
                return answer
            except taskindex.Broken:
                taskindex.discard()
            finally:
                index.close()
    return question(load(problems))


class changing(journal.changing):
    """The journal, locked, to decide on `tasks` and add events, each of which changes them."""

    __slots__ = ("_index", "_tasks", "_with_index")

    def __init__(self, *, with_index: bool = True) -> None:
        super().__init__(paths.tasks(), paths.lock("tasks"), taskfold.check, "the task list")
        self._with_index = with_index
        self._index: taskindex.Index | None = None
        self._tasks: Tasks | None = None

    @property
    def tasks(self) -> Tasks:
        """The tasks as they are; read, or taken from the index, when they are asked for."""
        if self._tasks is None:
            if self._with_index and _is_long():
                from colony_lib.store import taskindex

                self._index = taskindex.change(_is_lost, self._lock.path)
            self._tasks = self._index or taskfold.fold(self.events, _is_lost)
            for event in self.new:
                self._tasks.take(event)
        return self._tasks

    def _load(self) -> None:
        if self.tasks is self._index:
            self.clock = self._index.clock
        else:
            super()._load()

    def add(self, **fields: Any) -> journal.Event:
        event = super().add(**fields)
        if self._tasks is not None:
            self._tasks.take(event)
        return event

    def _wrote(self, state: os.stat_result) -> None:
        if self._index is not None:
            from colony_lib.store import taskindex

            try:
                self._index.keep(state, self.clock, self.chain)
            except taskindex.Broken:
                taskindex.discard()  # the journal has the events: who needs an index next makes it anew

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            if self._index is not None:
                self._index.close()


def _change(act: Callable[[changing], Answer]) -> Answer:
    """What `act` answers, having decided and added its events under the lock."""
    if _is_long():
        from colony_lib.store import taskindex

        try:
            with changing() as log:
                return act(log)
        except taskindex.Broken:  # nothing has been written
            taskindex.discard()
    with changing(with_index=False) as log:
        answer = act(log)
    if _is_long():
        asked(lambda tasks: None)  # it has just become long: make the index now, and not in the next quick command
    return answer


def _is_long() -> bool:
    """Whether the list is so long that an index pays."""
    return _size() >= LONG


def is_very_long() -> bool:
    """Whether the list is so long that compaction may pay (store/compaction.py)."""
    return _size() >= VERY_LONG


def _size() -> int:
    try:
        return os.stat(paths.tasks()).st_size
    except OSError:
        return -1


def _is_lost(task: Mapping[str, Any]) -> bool:
    from colony_lib.store import leases

    return task["lease"] is not None and leases.is_lost(task["lease"])


def everything(problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """All tasks as people see them (schemas/task.schema.json), the oldest first."""
    return [jsontext.loads(text) for text in texts(taskfold.Chosen(), problems)]


def texts(chosen: taskfold.Chosen, problems: list[Problem] | None = None) -> list[str]:
    """The chosen tasks as JSON (schemas/task.schema.json)."""
    return asked(lambda tasks: list(islice(tasks.texts(chosen), chosen.count)), problems)


def rows(chosen: taskfold.Chosen, problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    """The chosen tasks, of each what a row of a list needs: the keys of taskfold.ROW, and of one whose claimant is
    gone all of schemas/task.schema.json."""
    return asked(lambda tasks: list(islice(tasks.rows(chosen), chosen.count)), problems)


def find(tasks: Tasks, ref: str, *, what: str = "task", where: str | None = None) -> Task:
    """The task of an id, of a title (its newest task that is not finished, else its newest), or of the unique
    start of an id. ColonyError (FAILED) with the nearest titles when there is none, or more than one start."""
    if ref in tasks:
        return tasks[ref]
    titled = tasks.titled(ref)
    if titled:
        return ([task for task in titled if task["status"] not in FINISHED] or titled)[-1]
    started = tasks.starting(ref) if ref else []
    if len(started) == 1:
        return started[0]
    if started:
        some = ", ".join(f"'{task['id']}' ({cut(task['title'], 40)})" for task in started[:4])
        more = f" and {len(started) - 4} more" if len(started) > 4 else ""
        raise ColonyError(f"'{ref}' is the start of {len(started)} tasks", where=where, fix=f"there is {some}{more}")
    raise unknown(what, cut(ref, 80), tasks.hints(), where=where)


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
    whole = [text for text in texts if "," in text and tasks.titled(text)]
    return [ref.strip() for text in texts for ref in ([text] if text in whole else text.split(","))]


def add(specs: Sequence[dict[str, Any]], wheres: Sequence[str | None] = ()) -> list[tuple[dict[str, Any], bool]]:
    """Add all of the tasks (`wanted`) or none; (task, whether it is new) for each.

    A blocker may be a task that stands before it in `specs`. An id that is there already with the same title is
    left as it is, so that an adding can be repeated. ColonyError: FAILED for an unknown blocker or an id that
    another title has, USAGE for a circle; `wheres` says where each spec stands.
    """

    def act(log: changing) -> list[tuple[dict[str, Any], bool]]:
        places = [*wheres, *[None] * (len(specs) - len(wheres))]
        if not any(spec["id"] or spec["blockers"] for spec in specs):
            return [(_fresh(log, spec), True) for spec in specs]
        done = [_add(log, spec, place) for spec, place in zip(specs, places)]
        return [(shown(log.tasks, log.tasks[name]), new) for name, new in done]

    return _change(act)


def _fresh(log: changing, spec: dict[str, Any]) -> dict[str, Any]:
    """Add a task that refers to no other and brings no id: for that nothing need be known of the others."""
    alone = taskfold.Board()
    alone.take(_written(log, _new_id(), spec, []))
    (task,) = alone.values()
    return shown(alone, task)


def _new_id() -> str:
    """Of 60 bits: among a million tasks of several machines, of which none asks the others, no two are the same."""
    return clock.short_id("t-", 12)


def _written(log: changing, name: str, spec: dict[str, Any], blockers: list[str]) -> journal.Event:
    fields = {"title": spec["title"], "description": spec["description"], "agent": spec["agent"]}
    return log.add(type="add", task=name, **fields, priority=spec["priority"], blockers=blockers)


def _add(log: changing, spec: dict[str, Any], where: str | None) -> tuple[str, bool]:
    tasks, name = log.tasks, spec["id"]
    if name in tasks:
        if tasks[name]["title"] != spec["title"]:
            what = f"the id '{name}' is taken by the task '{cut(tasks[name]['title'], 80)}'"
            raise ColonyError(what, where=where, fix="use another id")
        return name, False
    while name is None or name in tasks:
        name = _new_id()
    blockers: list[str] = []
    for ref in _refs(tasks, spec["blockers"]):
        if ref == name or (ref == spec["title"] and not tasks.titled(ref)):
            raise _circle([spec["title"], spec["title"]], where)
        blocker = find(tasks, ref, what="blocker", where=where)["id"]
        if spec["id"] is not None and taskfold.reaches(tasks, blocker, name):
            raise _circle([spec["title"], tasks[blocker]["title"], spec["title"]], where)
        if blocker not in blockers:
            blockers.append(blocker)
    _written(log, name, spec, blockers)
    return name, True


def _circle(titles: list[str], where: str | None = None) -> ColonyError:
    way = " → ".join(cut(name, 60) for name in titles)
    return ColonyError(f"a circle of blockers: {way} (each waits for the next)", where=where, code=USAGE)


def claim(
    agent: str, ref: str | None = None, *, unassigned: bool = True, lease: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Take one ready task for the agent: the one named, else the most urgent and then oldest of those assigned to
    it (with `unassigned`, to it or to nobody). Nobody else gets it. ColonyError (FAILED) when there is none.

    With a `lease` (store/leases.py; default: the one under which this process works) the task is the agent's for as
    long as that lock is held, and then can be claimed again; without one until somebody ends it or puts it back.
    """
    check_name(agent, "agent")
    from colony_lib.store import leases

    lease = leases.ours() if lease is None else lease

    def act(log: changing) -> dict[str, Any]:
        tasks = log.tasks
        if ref is not None:
            task = find(tasks, ref)
            _claimable(tasks, task, agent)
        else:
            free = tasks.free((agent, None) if unassigned else (agent,))
            if free is None:
                raise _nothing_ready(tasks, agent)
            task = free
        more: dict[str, Any] = {} if lease is None else {"lease": dict(lease)}
        if task["status"] != OPEN:
            more["over"] = task["claim"]
            over.append(task["lease"])
        log.add(type="claim", task=task["id"], agent=agent, **more)
        return shown(tasks, task)

    over: list[Mapping[str, str]] = []
    claimed = _change(act)
    for dead in over:
        leases.forget(dead)
    return claimed


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
    counts = tasks.tally()
    told = [f"{counts['ready']} ready for others"] if counts["ready"] else []
    told += [f"{counts[name]} {name}" for name in ("blocked", "in_progress") if counts[name]]
    rest = ", ".join(told) if told else plural(sum(counts.values()), "task") + ", none open"
    return ColonyError(f"no task is ready for '{agent}'", fix=rest)


def finish(ref: str, ending: str, result: Any = None, *, claim: str | None = None) -> tuple[dict[str, Any], bool]:
    """End the task as completed, failed or cancelled, with its result; (task, whether anything changed).

    The same ending again changes nothing. What failed or was cancelled can still be completed; what is completed
    stays so: ColonyError (FAILED) for another ending or another result, and when the task is no longer held by the
    claim that is named.
    """

    def act(log: changing) -> tuple[dict[str, Any], bool]:
        tasks = log.tasks
        task = find(tasks, ref)
        _check_claim(task, claim)
        if task["status"] == ending and (result is None or result == task["result"]):
            return shown(tasks, task), False
        if task["status"] == "completed":
            how = "with another result" if ending == "completed" else f"and cannot be {ending}"
            fix = f"reopen it first: task update {task['id']} ready"
            raise ColonyError(f"the task '{cut(task['title'], 80)}' is already completed, {how}", fix=fix)
        log.add(type="finish", task=task["id"], status=ending, result=result)
        return shown(tasks, task), True

    return _change(act)


def _check_claim(task: Task, claim: str | None) -> None:
    if claim is not None and task["claim"] != claim:
        now = f"with '{task['owner']}'" if task["status"] == "in_progress" else task["status"]
        raise ColonyError(f"the task '{cut(task['title'], 80)}' is no longer yours: it is {now}")


def put_back(claimed: Mapping[str, Any]) -> dict[str, Any]:
    """Put a task back that was claimed (as `claim` gave it) and not done, unless it has become another's; the task."""

    def act(log: changing) -> dict[str, Any]:
        task = log.tasks[claimed["id"]]
        if task["status"] == "in_progress" and task["claim"] == claimed["claim"]:
            log.add(type="update", task=task["id"], status=OPEN)
        return shown(log.tasks, task)

    return _change(act)


def update(ref: str, wanted_status: str) -> tuple[dict[str, Any], bool]:
    """Set the task's status by hand, whatever it was; (task, whether anything changed). 'ready' puts it back:
    it is then blocked for as long as it has open blockers."""
    stored = UPDATES.get(wanted_status)
    if wanted_status == "blocked":
        raise ColonyError("a task is blocked by other tasks only", fix="use 'task block REF BLOCKER'", code=USAGE)
    if stored is None:
        raise unknown("status", wanted_status, [name for name in SHOWN if name != "blocked"], code=USAGE)

    def act(log: changing) -> tuple[dict[str, Any], bool]:
        tasks = log.tasks
        task = find(tasks, ref)
        if task["status"] == stored:
            return shown(tasks, task), False
        who = journal.actor()
        agent = {"agent": task["assigned"] if who == "user" else who} if stored == "in_progress" else {}
        log.add(type="update", task=task["id"], status=stored, **agent)
        return shown(tasks, task), True

    return _change(act)


def assign(ref: str, agent: str) -> dict[str, Any]:
    """Make the task the agent's to do; one in progress changes hands. ColonyError (FAILED) when it is finished."""
    check_name(agent, "agent")

    def act(log: changing) -> dict[str, Any]:
        tasks = log.tasks
        task = find(tasks, ref)
        if task["status"] in FINISHED:
            fix = f"put it back first: task update {task['id']} ready"
            raise ColonyError(f"the task '{cut(task['title'], 80)}' is {task['status']}", fix=fix)
        if agent != (task["owner"] or task["assigned"]):
            log.add(type="assign", task=task["id"], agent=agent)
        return shown(tasks, task)

    return _change(act)


def block(ref: str, blocker_ref: str) -> dict[str, Any]:
    """Make the task wait for another. ColonyError: USAGE when they would wait for each other."""

    def act(log: changing) -> dict[str, Any]:
        tasks = log.tasks
        task = find(tasks, ref)
        blocker = find(tasks, blocker_ref, what="blocker")
        if taskfold.reaches(tasks, blocker["id"], task["id"]):
            raise _circle(_way(tasks, blocker["id"], task["id"]))
        if blocker["id"] not in task["blockers"]:
            log.add(type="block", task=task["id"], blocker=blocker["id"])
        return shown(tasks, task)

    return _change(act)


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

    def act(log: changing) -> tuple[dict[str, Any], bool]:
        tasks = log.tasks
        task = find(tasks, ref)
        own = taskfold.Board()
        for name in task["blockers"]:
            known = name in tasks
            own[name] = tasks[name] if known else {"id": name, "title": name, "status": OPEN}
        try:
            blocker = find(own, blocker_ref)["id"]
        except ColonyError:
            find(tasks, blocker_ref, what="blocker")
            return shown(tasks, task), False
        log.add(type="unblock", task=task["id"], blocker=blocker)
        return shown(tasks, task), True

    return _change(act)
