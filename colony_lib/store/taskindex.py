"""An index of the task list, for lists too long for each command to read whole; it answers what `taskfold.Board` does.

It is derived: `.colony/cache/tasks.sqlite` may be deleted, damaged or old at any time, and the journal alone is the
truth. The index counts only while the journal is exactly the file (inode, size, time of change) that it was made of, or
has only been added to since by those who leave a trail (store/journal.py): what they added is taken in by who asks
next. It is not made durable, so another boot of the machine is a reason to make it anew.
"""

from __future__ import annotations

import os
import time

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import journal, paths, taskfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem
    from colony_lib.store.taskfold import Chosen

    Event = dict[str, Any]
    Task = dict[str, Any]
else:
    try:
        import _sqlite3 as sqlite3  # without what `sqlite3` adds for dates, which we do not keep: it would cost 6 ms
    except ImportError:
        import sqlite3

VERSION = 1  # another one makes another index
_MOST_TRIES = 3
_SCHEMA = """
create table journal(version, boot, inode, device, size, modified, clock, chain);
create table problems(line, why);
create table tasks(
    seq integer primary key, id text not null unique, title text not null, status text not null, stored text not null,
    assigned text, agent text, priority integer not null, waiting integer not null, blocked_by text not null,
    lease text, seen text not null
);
create table blockers(blocker text not null, task text not null, primary key (blocker, task)) without rowid;
"""
# Made when the tables are filled, which is faster.
_INDEXES = """
create index by_title on tasks(title);
create index by_status on tasks(status, agent, seq);
create index by_urgency on tasks(priority, seq, assigned) where status = 'ready';
create index by_lease on tasks(seq) where lease is not null;
"""
# As `_row` gives them, behind seq and id. `status`, `agent`, `blocked_by` and `seen` (the whole task as --json prints
# it) are what people see; of a task with a lease only while its claimant is alive, which must be asked each time.
_COLUMNS = (
    "title", "status", "stored", "assigned", "agent", "priority", "waiting", "blocked_by", "lease", "seen",
)  # fmt: skip
_INSERT = f"insert into tasks values (?, ?, {', '.join('?' for _ in _COLUMNS)})"
_TASK = "seen, stored, assigned, lease"  # what `_task` makes a task of


class Broken(Exception):
    """The index cannot be used (damaged, no room, another's lock): do without it."""


class Index:
    """The tasks of the journal, asked for one by one; an open connection. Raises Broken."""

    def __init__(self, connection: sqlite3.Connection, is_lost: Callable[[Task], bool]) -> None:
        self._connection = connection
        self._is_lost = is_lost
        self._known: dict[str, Task | None] = {}
        self.clock = 0

    # -- what `taskfold.Tasks` asks

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and self._get(task_id) is not None

    def __getitem__(self, task_id: str) -> Task:
        task = self._get(task_id)
        if task is None:
            raise KeyError(task_id)
        return task

    def __setitem__(self, task_id: str, task: Task) -> None:
        self._known[task_id] = task

    def lost(self, task: Task) -> bool:
        return task["status"] == "in_progress" and self._is_lost(task)

    def blocks(self, task_id: str) -> bool:
        return bool(self._rows("select 1 from blockers where blocker = ? limit 1", task_id))

    def titled(self, title: str) -> list[Task]:
        return self._tasks("where title = ? order by seq", title)

    def starting(self, start: str) -> list[Task]:
        return self._tasks("where id >= ? and id < ? limit 6", start, start + "\U0010ffff")

    def free(self, agents: Sequence[str | None]) -> Task | None:
        mine = " or ".join("assigned is ?" for _ in agents)
        found = self._tasks(f"where status = 'ready' and ({mine}) order by priority, seq limit 1", *agents)
        held = self._tasks(f"where lease is not null and waiting = 0 and ({mine})", *agents)
        found += [task for task in held if self.lost(task)]
        return min(found, key=lambda task: (task["priority"], self._place(task)), default=None)

    def dependants(self, task: Task) -> list[Task]:
        return self._tasks("join blockers on id = task where blocker = ? order by seq", task["id"])

    def texts(self, chosen: Chosen) -> Iterator[str]:
        for seen, lease, name in self._chosen("seen, lease, id", chosen):
            if lease is None:
                yield seen
            else:
                live = taskfold.shown(self, self[name])
                if chosen.takes(live):
                    yield jsontext.dumps(live)

    def rows(self, chosen: Chosen) -> Iterator[dict[str, Any]]:
        columns = ", ".join(taskfold.ROW)
        for *values, lease in self._chosen(f"{columns}, lease", chosen):
            row = dict(zip(taskfold.ROW, values))
            row["blocked_by"] = row["blocked_by"] and jsontext.loads(row["blocked_by"])
            if lease is not None:
                row = taskfold.shown(self, self[row["id"]])
                if not chosen.takes(row):
                    continue
            yield row

    def _chosen(self, columns: str, chosen: Chosen) -> Iterator[Any]:
        """Rows of these columns of what is chosen; of every task with a lease, which has to be looked at."""
        conditions, values = [], list[object]()
        if chosen.statuses is not None:
            conditions.append(f"status in ({', '.join('?' for _ in chosen.statuses)})")
            values += chosen.statuses
        if chosen.agent is not None:
            conditions.append("agent = ?")
            values.append(chosen.agent)
        where = f"where ({' and '.join(conditions)}) or lease is not null" if conditions else ""
        order = "priority, seq" if chosen.urgent else "seq"
        most = -1
        if chosen.count is not None:
            ((leased,),) = self._rows("select count(*) from tasks where lease is not null")
            most = chosen.count + leased
        return iter(self._rows(f"select {columns} from tasks {where} order by {order} limit ?", *values, most))

    def tally(self) -> dict[str, int]:
        counts = dict.fromkeys(taskfold.SHOWN, 0)
        for status, number in self._rows("select status, count(*) from tasks group by status"):
            counts[status] += number
        for task in self._tasks("where lease is not null"):
            if self.lost(task):
                counts["in_progress"] -= 1
                counts[taskfold.status(self, task)] += 1
        return counts

    def hints(self) -> list[str]:
        rows = self._rows("select title from tasks order by seq desc limit ?", taskfold.HINTS)
        return [title for (title,) in reversed(rows)]

    def take(self, event: Event) -> None:
        """Change the tasks by the event that comes next; `keep` makes changes last, `close` without it undoes them."""
        old = self._get(event["task"])
        before = None if old is None else (old["status"], list(old["blockers"]))
        taskfold.replay(self, event)
        task = self._get(event["task"])
        if task is not None:
            self._store(task, before)

    # -- rows

    def _rows(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Broken(str(error)) from None

    def _tasks(self, rest: str, *values: object) -> list[Task]:
        found = []
        for row in self._rows(f"select {_TASK} from tasks {rest}", *values):
            task = _task(*row)
            found.append(self._known.get(task["id"]) or task)  # one object a task, which `take` may have changed
            self._known[task["id"]] = found[-1]
        return found

    def _get(self, task_id: str) -> Task | None:
        if task_id not in self._known:
            self._known[task_id] = None
            self._tasks("where id = ?", task_id)
        return self._known[task_id]

    def _place(self, task: Task) -> int:
        ((place,),) = self._rows("select seq from tasks where id = ?", task["id"])
        return int(place)

    def _store(self, task: Task, before: tuple[str, list[str]] | None) -> None:
        name, blockers = task["id"], task["blockers"]
        old = [] if before is None else before[1]
        for other in old:
            if other not in blockers:
                self._rows("delete from blockers where blocker = ? and task = ?", other, name)
        for other in blockers:
            if other not in old:
                self._rows("insert into blockers values (?, ?)", other, name)
        if before is None:
            self._rows(_INSERT, None, name, *_row(self, task))
        else:
            self._update(task)
        # Whether it is done, and what it is called, is part of what is seen of those that it blocks.
        if before is None or (before[0] == "completed") != (task["status"] == "completed"):
            for other_task in self.dependants(task):
                self._update(other_task)

    def _update(self, task: Task) -> None:
        columns = ", ".join(f"{column} = ?" for column in _COLUMNS)
        self._rows(f"update tasks set {columns} where id = ?", *_row(self, task), task["id"])

    # -- the connection

    def keep(self, state: os.stat_result, clock: int, chain: str) -> None:
        """Make the changes last: the journal now is that file, its newest event's clock and the name of its trail
        are these."""
        self._rows("delete from journal")
        self._rows("insert into journal values (?, ?, ?, ?, ?, ?, ?, ?)", *_identity(state), clock, chain)
        self._rows("commit")

    def problems(self) -> list[Problem]:
        """The journal's unreadable lines."""
        return [(paths.tasks(), line, why) for line, why in self._rows("select line, why from problems order by line")]

    def covers(self, state: os.stat_result, left: journal.Trail | None, *, to_change: bool) -> bool:
        """Whether it says what the journal says as it is now (`state`, and the trail that leads to it); what was only
        added since is taken in. Then `clock` is that of the newest event, and from here until `close` all stays as it
        is for us: a writer's `keep` waits for its readers. `to_change`: we are the writer."""
        begin = "begin immediate" if to_change else "begin"
        self._rows(begin)
        if self._is_made_of(state):
            return True
        if left is None:
            return False
        self._rows("rollback")
        self._rows("begin immediate")
        if not self._is_made_of(state) and not self._taken_in(state, left):
            return False
        if not to_change:
            self._rows("rollback")
            self._rows(begin)
        return self._is_made_of(state)

    def _is_made_of(self, state: os.stat_result) -> bool:
        rows = self._rows("select * from journal")
        if len(rows) != 1 or rows[0][:-2] != _identity(state):
            return False
        self.clock = rows[0][-2]
        return True

    def _taken_in(self, state: os.stat_result, left: journal.Trail) -> bool:
        """Take in what was added to the journal since the index was made of it; whether that is all that was done."""
        rows = self._rows("select version, boot, inode, device, size, clock, chain from journal")
        if len(rows) != 1 or (*rows[0][:4], rows[0][6]) != (*_identity(state)[:4], left.chain):
            return False
        size, newest = rows[0][4:6]
        if size > state.st_size:
            return False
        added = journal.added(paths.tasks(), size, state.st_size, taskfold.check, newest)
        if added is None:
            return False
        for event in added:
            self.take(event)
        self.keep(state, left.clock, left.chain)
        self._known.clear()
        self._rows("begin immediate")
        return True

    def close(self) -> None:
        self._connection.close()


def _identity(state: os.stat_result) -> tuple[Any, ...]:
    return (VERSION, _boot(), state.st_ino, state.st_dev, state.st_size, state.st_mtime_ns)


def _boot() -> str:
    """A name for the time since the machine was started; what was not made durable may be lost with it."""
    try:
        return files.read_text("/proc/sys/kernel/random/boot_id", limit=100).strip()
    except (FileNotFoundError, ColonyError):
        return ""


def _row(tasks: taskfold.Tasks, task: Task) -> tuple[Any, ...]:
    """The task's values of _COLUMNS."""
    lease = task["lease"] if task["status"] == "in_progress" else None
    seen = taskfold.shown(tasks, {**task, "lease": None})
    return (
        task["title"],
        seen["status"],
        task["status"],
        task["assigned"],
        seen["agent"],
        task["priority"],
        len(taskfold.open_blockers(tasks, task)),
        jsontext.dumps(seen["blocked_by"]) if seen["blocked_by"] else "",
        None if lease is None else jsontext.dumps(lease),
        jsontext.dumps(seen),
    )


def _task(seen: str, stored: str, assigned: str | None, lease: str | None) -> Task:
    """The task as `taskfold` knows it, of what is kept of it."""
    task: Task = jsontext.loads(seen)
    for derived in ("agent", "blocked_by", "abandoned"):
        del task[derived]
    return task | {"status": stored, "assigned": assigned, "lease": None if lease is None else jsontext.loads(lease)}


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=locks.default_timeout, isolation_level=None)
    # A kill leaves SQLite's own journal to roll back; a power cut would need fsyncs, and makes another boot.
    connection.execute("pragma synchronous = off")
    return connection


def _open(is_lost: Callable[[Task], bool], lock: str, *, to_change: bool = False) -> Index | None:
    """The index of the journal as it is now; None when there is none."""
    path = paths.task_index()
    try:
        state = journal.state_of(paths.tasks())
        if state is None or not os.path.exists(path):
            return None
        left = journal.trail(lock, state)
        index = Index(_connect(path), is_lost)
    except (OSError, sqlite3.Error):
        return None
    try:
        covers = index.covers(state, left, to_change=to_change)
    except Broken:
        covers = False
    if not covers:
        index.close()
    return index if covers else None


def view(is_lost: Callable[[Task], bool], lock: str) -> Index | None:
    """The index for a reader, made when it is not there or old; None where it cannot be had soon. `lock` is the
    journal's."""
    for _ in range(_MOST_TRIES):
        index = _open(is_lost, lock)
        if index is None and _make(lock):
            index = _open(is_lost, lock)
        if index is not None:
            return index
        time.sleep(0.02)
    return None


def change(is_lost: Callable[[Task], bool], lock: str) -> Index | None:
    """The index for a writer who holds the journal's lock, to be changed by `take` and kept by `keep`; None where it
    cannot be had."""
    index = _open(is_lost, lock, to_change=True)
    if index is None:
        try:
            _install(_built(lock)[0])
        except (sqlite3.Error, OSError, ColonyError):
            return None
        index = _open(is_lost, lock, to_change=True)
    return index


def discard() -> None:
    """Remove the index: the next who needs one makes it anew."""
    _unlink(paths.task_index())


def _make(lock: str) -> bool:
    """Make the index beside the journal's lock, which is held only to put it in its place; False when the journal
    has changed meanwhile, or there is no room."""
    if not os.access(os.path.dirname(paths.tasks()), os.W_OK):
        return False
    try:
        built, trail = _built(lock)
    except (sqlite3.Error, OSError, ColonyError):
        return False
    try:
        with locks.held(lock, what="the task list") as held:
            if journal.found(os.stat(paths.tasks(), follow_symlinks=False)) == trail.state:
                _install(built)
                trail.leave(held.fd)
                return True
    except (OSError, ColonyError):
        return False
    finally:
        _unlink(built)
    return False


def _install(built: str) -> None:
    """Put the new index in its place. The old one goes first, and then what SQLite may have left to roll it back by:
    neither may ever meet the other's half. The journal's lock is held."""
    path = paths.task_index()
    _unlink(path)
    _unlink(path + "-journal")
    files.put(built, path, durable=False)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _built(lock: str) -> tuple[str, journal.Trail]:
    """(file of a new index, beside its place; the trail of the journal that it was made of)."""
    path = files.temporary(paths.task_index())
    files.make_dirs(os.path.dirname(path))
    state = os.stat(paths.tasks(), follow_symlinks=False)
    left = journal.trail(lock, state)
    problems: list[Problem] = []
    events = journal.read(paths.tasks(), taskfold.check, problems)
    board = taskfold.fold(events)
    connection = _connect(path)
    try:
        connection.executescript("pragma journal_mode = off;" + _SCHEMA)
        connection.execute("begin")
        connection.executemany(_INSERT, _rows(board))
        pairs = ((blocker, task["id"]) for task in board.values() for blocker in task["blockers"])
        connection.executemany("insert into blockers values (?, ?)", sorted(pairs))
        connection.executemany("insert into problems values (?, ?)", (problem[1:] for problem in problems))
        newest = events[-1]["clock"] if events else 0
        left = left or journal.Trail(clock.new_id(), journal.found(state), newest)
        values = (*_identity(state), newest, left.chain)
        connection.execute("insert into journal values (?, ?, ?, ?, ?, ?, ?, ?)", values)
        connection.execute("commit")
        connection.executescript(_INDEXES)
    except BaseException:
        connection.close()
        _unlink(path)
        raise
    connection.close()
    return path, left


def _rows(board: taskfold.Board) -> Iterable[tuple[Any, ...]]:
    for place, task in enumerate(board.values(), 1):
        yield (place, task["id"], *_row(board, task))
