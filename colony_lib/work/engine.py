"""What may start now: decides from the plan and the journal alone, and touches no file and no process."""

from __future__ import annotations

import heapq
import os
from _collections import deque  # type: ignore[import-not-found]  # what `collections` has, without the rest of it, which costs 3 ms

from colony_lib.base.errors import ColonyError
from colony_lib.store import references, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]
    Key = int | None

DONE = (*runs.SUCCEEDED, "skipped")
KILLS = 3  # interrupted attempts of one unit in the life of one engine
FAN_OUT = 4  # batches of a for_each at once on this machine, unless `parallel` says otherwise
LOCAL = "local"  # the executor that is this machine


class Schedule:
    """The units of a run that may start, wait for their retry, or are being done.

    The caller starts what `next` gives, and tells `ended` what became of it; `news` collects the records that the
    decisions themselves make (skipped, expanded, failed before an attempt), for the journal.
    """

    def __init__(self, run: runs.Run, only: str | None = None) -> None:
        self.run = run
        self.only = only
        self.news: list[Record] = []
        self.failure: tuple[str, str] | None = None  # the step and the error that ended the run
        self.active: set[tuple[str, Key]] = set()
        self.waiting: set[str] = set()  # steps that wait for a person
        self._queues: dict[str, deque[tuple[str, Key]]] = {}  # by the executor that is to do them
        self._later: list[tuple[float, int, str, Key]] = []
        self._count = 0
        self._kills: dict[tuple[str, Key], int] = {}
        self._left: dict[str, int] = {}  # units of an open step that are not completed
        self._unsent: dict[str, deque[Key]] = {}  # units of an open step over its own limit
        self._names = {
            step["output_name"]: step["name"] for step in run.plan["steps"] if step.get("output_name") is not None
        }
        self._dependants: dict[str, list[str]] = {name: [] for name in run.steps}
        self._unmet: dict[str, int] = {}
        for name, step in run.steps.items():
            unmet = [other for other in step.definition["depends_on"] if not self._settled(other)]
            self._unmet[name] = len(unmet)
            for other in unmet:
                self._dependants[other].append(name)
        for name in list(run.steps):
            # A failed step that its dependants pass over is settled, yet may be asked for by itself.
            asked = name == only and run.steps[name].status == "failed"
            if self._unmet[name] == 0 and (asked or not self._settled(name)) and not self.failure:
                self._open(name)

    # -- the scope of references

    def scope(self, step: Record, batch: Key = None, failure: Record | None = None) -> references.Scope:
        """What the step's references may see: the steps that come before it, and its batch."""
        run = self.run
        before = step.get("ancestors") or (list(run.steps) if failure else [])
        item = references.ABSENT
        found = run.steps.get(step["name"])
        if batch is not None and found is not None and found.items is not None:
            item = found.items[batch]
        return references.Scope(
            run={
                "id": run.run_id,
                "workflow": run.plan["name"],
                "date": run.header["date"],
                "yesterday": run.header["yesterday"],
            },
            input=run.header.get("input"),
            steps={name: {"status": _seen(run.steps[name].status), "output": run.output(name)} for name in before},
            names=self._names,
            item=item,
            batch_id=batch,
            batch_count=None if batch is None or found is None else found.batches,
            failure=failure,
        )

    # -- opening steps

    def _settled(self, name: str) -> bool:
        step = self.run.steps[name]
        status = step.status
        return status in DONE or (status == "failed" and step.definition["on_failure"] == "continue")

    def _open(self, name: str) -> None:
        """All that the step depends on is done: skip it, let it wait, or queue its units."""
        if self.only is not None and name != self.only:
            return
        step = self.run.steps[name]
        definition = step.definition
        try:
            reason = self._skip_reason(definition)
            if reason is not None:
                self._note("step_skipped", step=name, reason=reason)
                self._done(name)
                return
            if self._waits(step):
                self.waiting.add(name)
                return
            if definition.get("for_each") is not None and step.items is None:
                items = references.value(definition["for_each"], self.scope(definition))
                if not isinstance(items, list):
                    kind = type(items).__name__
                    raise ColonyError(f"for_each needs a list, and '{definition['for_each']}' is a {kind}")
                self._note("step_expanded", step=name, items=items)
        except ColonyError as error:
            self._note("step_failed", step=name, error=str(error))
            self._failed(name, str(error))
            return
        taken = (*runs.SUCCEEDED, "running", "waiting")
        todo = deque(key for key in step.unit_keys() if step.unit(key).status not in taken)
        self._left[name] = sum(1 for key in step.unit_keys() if step.unit(key).status not in runs.SUCCEEDED)
        if any(step.unit(key).status == "waiting" for key in step.unit_keys()):
            self.waiting.add(name)
        if self._left[name] == 0:
            self._done(name)
            return
        limit = len(todo)
        if definition.get("for_each") is not None:
            # An executor elsewhere takes as many as it has room for.
            limit = definition.get("parallel") or (FAN_OUT if executor(definition) == LOCAL else len(todo))
        self._unsent[name] = todo
        for _ in range(min(limit, len(todo))):
            self._put((name, todo.popleft()))

    def _put(self, unit: tuple[str, Key]) -> None:
        where = executor(self.run.step(unit[0]).definition)
        self._queues.setdefault(where, deque()).append(unit)

    def _skip_reason(self, definition: Record) -> str | None:
        if definition.get("when"):
            from colony_lib.store import condition

            if condition.holds(definition["when"], self.scope(definition)):
                return None
            return f"when: {definition['when']} is false"
        for name in definition["depends_on"]:
            if self.run.steps[name].status == "skipped":
                return f"it depends on {name}, which was skipped"
        return None

    def _waits(self, step: runs.Step) -> bool:
        """Whether the step has to wait for a person before it may start."""
        if not step.definition.get("approval"):
            return False
        unit = step.unit(None)
        if unit.approved or unit.status in runs.SUCCEEDED:
            return False
        if unit.status != "waiting":
            self._note("step_waiting", step=step.definition["name"], why="approval")
        return True

    def _note(self, kind: str, **fields: Any) -> None:
        record = runs.record(kind, **fields)
        self.run.apply(record)
        self.news.append(record)

    def _done(self, name: str) -> None:
        for other in self._dependants[name]:
            self._unmet[other] -= 1
            if self._unmet[other] == 0 and not self.failure:
                self._open(other)

    def _failed(self, name: str, error: str) -> None:
        if self.run.steps[name].definition["on_failure"] == "continue":
            self._unsent.pop(name, None)
            for where, queue in self._queues.items():
                self._queues[where] = deque(unit for unit in queue if unit[0] != name)
            if not any(active[0] == name for active in self.active):
                self._done(name)
        elif self.failure is None:
            self.failure = (name, error)

    # -- what to start, and what became of it

    def next(self, now: float, has_room: Callable[[str], bool]) -> tuple[str, Key] | None:
        """A unit to start now, on an executor that `has_room`; it counts as active from here on. None when there is
        none, or the run has failed."""
        if self.failure:
            return None
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2:])
        for late in reversed(due):
            self._put_first(late)
        for where, queue in self._queues.items():
            if queue and has_room(where):
                unit: tuple[str, Key] = queue.popleft()
                self.active.add(unit)
                return unit
        return None

    def _put_first(self, unit: tuple[str, Key]) -> None:
        where = executor(self.run.step(unit[0]).definition)
        self._queues.setdefault(where, deque()).appendleft(unit)

    def take_back(self, name: str, key: Key) -> None:
        """The unit that `next` gave has not begun and will not: it waits for its turn again."""
        self.active.discard((name, key))
        self._put_first((name, key))

    def wake(self) -> float | None:
        """When the next retry is due, by the clock of `next` and `ended`; None without one."""
        return self._later[0][0] if self._later and not self.failure else None

    def adopt(self, name: str, key: Key) -> None:
        """A unit that another process does: it counts as active until `ended`."""
        self.active.add((name, key))
        self._left.setdefault(name, sum(1 for k in self.run.steps[name].unit_keys() if k != key) + 1)
        self._unsent.setdefault(name, deque())

    def ended(self, name: str, key: Key, now: float) -> None:
        """The unit's attempt has ended and its record has been applied to the run."""
        self.active.discard((name, key))
        step = self.run.steps[name]
        unit = step.unit(key)
        if unit.status in runs.SUCCEEDED:
            self._left[name] -= 1
            self._send_next(name)
            if self._left[name] == 0:
                self._done(name)
        elif unit.status == "retrying":
            self._count += 1
            heapq.heappush(self._later, (now + delay(step.definition["retry"], unit), self._count, name, key))
        elif unit.status == "pending":
            self._interrupted(name, key)
        elif unit.status == "waiting":
            self.waiting.add(name)
        elif unit.status == "failed":
            self._failed(name, step.error or "failed")

    def _interrupted(self, name: str, key: Key) -> None:
        """Its processes were killed from outside: it is made again, but not for ever (what kills it may be itself,
        by way of the kernel's memory killer)."""
        self._kills[name, key] = self._kills.get((name, key), 0) + 1
        if self._kills[name, key] < KILLS:
            self._put((name, key))
            return
        error = f"its processes were killed {KILLS} times"
        self._note("step_failed", step=name, batch=key, error=error)
        self._failed(name, error)

    def _send_next(self, name: str) -> None:
        left = self._unsent.get(name)
        if left:
            self._put((name, left.popleft()))

    def unsettled(self) -> str | None:
        """A step that is neither done nor passed over; None when there is none."""
        return next((name for name in self.run.steps if not self._settled(name)), None)

    def is_over(self) -> bool:
        """Whether nothing is being done and nothing will start."""
        return not self.active and (self.failure is not None or not (any(self._queues.values()) or self._later))


def executor(definition: Record) -> str:
    """The name of the executor that does the step."""
    where: str = definition.get("executor") or LOCAL
    return where


def _seen(status: str) -> str:
    """A step's status as other steps see it: where an output comes from must not change what they do."""
    return "completed" if status == "cached" else status


def delay(retry: Record, unit: runs.Unit) -> float:
    """Seconds until the unit's next attempt, with jitter of 50–100 %, so that many do not come back at once."""
    number = max(unit.used, 1) if unit.used else unit.attempts
    factor = {"fixed": 1.0, "linear": float(number), "exponential": 2.0 ** min(number - 1, 30)}[retry["backoff"]]
    longest: float = min(retry["delay_seconds"] * factor, retry["max_delay_seconds"])
    return longest * (0.5 + int.from_bytes(os.urandom(4), "big") / (1 << 33))
