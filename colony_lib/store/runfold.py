"""What a run's journal adds up to: its steps, their units, and what is alive; the same for status and engine."""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.store import paths, runcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]

# A step's unit of work is itself (None) or one of its batches (a number).
FINISHED = ("completed", "failed", "skipped", "cancelled", "cached")
SUCCEEDED = ("completed", "cached")  # there is an output, made by this run or taken from another


class Unit:
    """One step, or one batch of it: what its attempts came to."""

    __slots__ = (
        "approved", "attempts", "changed", "cost_usd", "ended", "error", "files", "handed_in", "key", "key_file",
        "limited", "output", "output_file", "read", "reuse", "slot", "source", "started", "status", "tokens", "used",
        "why",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = "pending"
        self.attempts = 0  # all there were
        self.handed_in = 0  # the last attempt whose process ended by itself, with an exit status
        self.used = 0  # those that count against max_attempts, since the last resume
        self.started: str | None = None
        self.ended: str | None = None
        self.error: str | None = None
        self.output: Any = None
        self.output_file: str | None = None
        self.slot: str | None = None
        self.approved = False
        self.why: str | None = None
        self.limited = False  # it waits for the model's API and not for a person
        self.tokens = 0  # of all attempts, whatever they came to
        self.cost_usd = 0.0
        self.reuse: str | None = None  # why its output was taken from an earlier success, or why not
        self.source: str | None = None  # the run whose work the output is, when it is not this one's
        # What decides the output of a step with `cache` (work/reuse.py), as it was before the last attempt …
        self.key: Record | None = None
        self.key_file: str | None = None
        # … and what was seen when the attempt had succeeded: the digests of the files that the step expects, whether
        # the command read its standard input, and an input that had changed meanwhile.
        self.files: dict[str, str] = {}
        self.read = False
        self.changed: str | None = None


class Step:
    """One step of a run: its definition and its units."""

    __slots__ = ("definition", "items", "reason", "skipped", "units")

    def __init__(self, definition: Record) -> None:
        self.definition = definition
        self.units: dict[int | None, Unit] = {}
        self.items: list[Any] | None = None  # what for_each came to
        self.skipped = False
        self.reason: str | None = None  # why it was skipped or waits

    @property
    def batches(self) -> int | None:
        """How many batches the step has; None for a step that is one unit, or whose items are not known yet."""
        if self.definition.get("for_each") is not None:
            return None if self.items is None else len(self.items)
        parallel: int | None = self.definition.get("parallel")
        return parallel

    @property
    def is_parallel(self) -> bool:
        return self.definition.get("for_each") is not None or self.definition.get("parallel") is not None

    def unit_keys(self) -> list[int | None]:
        """The keys of all units that the step has or will have; [] while its items are not known."""
        if not self.is_parallel:
            return [None]
        return list(range(self.batches or 0))

    def unit(self, batch: int | None) -> Unit:
        found = self.units.get(batch)
        if found is None:
            found = self.units[batch] = Unit()
        return found

    @property
    def status(self) -> str:
        if self.skipped:
            return "skipped"
        if not self.is_parallel:
            unit = self.units.get(None)
            return unit.status if unit else "pending"
        count = self.batches
        if count is None:
            return self.units[None].status if None in self.units else "pending"
        found = [unit.status for key, unit in self.units.items() if key is not None]
        if sum(status in SUCCEEDED for status in found) == count:
            return "cached" if count and found.count("cached") == count else "completed"
        for status in ("running", "retrying", "failed", "waiting", "cancelled"):
            if status in found:
                return status
        return "running" if any(status in SUCCEEDED for status in found) else "pending"

    @property
    def error(self) -> str | None:
        for key, unit in self.units.items():
            if unit.error and unit.status not in SUCCEEDED:
                return unit.error if key is None else f"batch {key}: {unit.error}"
        return None

    @property
    def reuse(self) -> str | None:
        """Why outputs of earlier successes were taken, or the first reason why not; None when nobody has asked."""
        said = [(key, unit) for key, unit in sorted(self.units.items(), key=lambda item: item[0] or 0) if unit.reuse]
        for key, unit in said:
            if unit.status != "cached":
                return unit.reuse if key is None else f"batch {key} {unit.reuse}"
        if not said:
            return None
        whole = not self.is_parallel or len(said) == self.batches
        return said[0][1].reuse if whole else f"{said[0][1].reuse} ({len(said)} of {self.batches} batches)"


class Run:
    """One run as its files tell it: the plan, and what the journal's records add up to."""

    def __init__(self, run_id: str, header: Record) -> None:
        self.run_id = run_id
        self.header = header
        self.plan: Record = header["plan"]
        self.folder = paths.run(run_id)
        self.steps = {step["name"]: Step(step) for step in self.plan["steps"]}
        self.handlers = {step["name"]: Step(step) for step in self.plan["error_handling"]}
        self.started: str | None = header["created"]
        self.ended: str | None = None
        self.ended_status: str | None = None
        self.error: str | None = None
        self.seen: set[str] = set()
        self.problems: list[tuple[str, int, str]] = []

    # -- what is alive

    @property
    def alive(self) -> bool:
        """Whether a process is running it now: its lock is held."""
        return locks.is_held(paths.run_lock(self.run_id, "alive"))

    def slot_is_held(self, slot: str) -> bool:
        return locks.is_held(paths.run_lock(self.run_id, slot))

    @property
    def status(self) -> str:
        if self.ended_status and self.ended_status != "interrupted":
            return self.ended_status
        return "running" if self.alive else "interrupted"

    # -- what happened

    def step(self, name: str) -> Step:
        return self.steps[name] if name in self.steps else self.handlers[name]

    def read(self) -> Run:
        """Fold the whole journal."""
        for record in self.records(self.problems):
            self.apply(record)
        return self

    def records(self, problems: list[tuple[str, int, str]] | None = None) -> Iterator[Record]:
        """The journal's records in the order of the file; what is unreadable, or no record of a run, is passed over."""
        return jsonl.iterate(os.path.join(self.folder, "journal.jsonl"), problems, check=runcheck.record)

    def apply(self, record: Record) -> None:
        """Fold one record in; a record seen before changes nothing."""
        if record["id"] in self.seen:
            return
        self.seen.add(record["id"])
        kind = record.get("type")
        if kind == "run_started":
            self._resumed(record)
        elif kind == "run_ended":
            self.ended, self.ended_status, self.error = record["ts"], record["status"], record.get("error")
        elif kind in _STEP_RECORDS and (record.get("step") in self.steps or record.get("step") in self.handlers):
            _STEP_RECORDS[kind](self.step(record["step"]), record)

    def _resumed(self, record: Record) -> None:
        self.ended = self.ended_status = self.error = None
        if record.get("resumed"):
            only = self.header.get("only")
            for name, step in [*self.steps.items(), *self.handlers.items()]:
                if only is not None and name in self.steps and name != only:
                    continue  # a rerun of one step has taken all others as they were
                step.skipped, step.reason = False, None
                for unit in step.units.values():
                    unit.used = 0
                    if unit.limited or unit.status in ("failed", "cancelled", "retrying"):
                        unit.status = "pending"
            for step in self.handlers.values():
                for unit in step.units.values():
                    unit.status = "pending"

    # -- outputs

    def output(self, name: str) -> Any:
        """The step's output: of a parallel step the list of its batches' outputs in order; None without one."""
        step = self.step(name)
        if step.is_parallel:
            if step.status not in SUCCEEDED:
                return None
            return [self._unit_output(step.unit(key)) for key in step.unit_keys()]
        unit = step.units.get(None)
        return self._unit_output(unit) if unit and unit.status in SUCCEEDED else None

    def key(self, unit: Unit) -> Record | None:
        """The key that the unit's last attempt had; None when it has none, or its file is gone."""
        if unit.key is None and unit.key_file:
            try:
                unit.key = files.read_json(os.path.join(self.folder, unit.key_file), None, follow=False)
            except ColonyError:
                return None
        return unit.key

    def _unit_output(self, unit: Unit) -> Any:
        if unit.output is None and unit.output_file:
            path = os.path.join(self.folder, unit.output_file)
            try:
                unit.output = files.read_json(path, follow=False)
            except FileNotFoundError:
                raise ColonyError(
                    f"the output of a completed step is gone: '{path}'", fix="run the workflow anew", code=FAILED
                ) from None
        return unit.output

    # -- for people and programs

    def waiting_on(self, step: Step) -> list[str] | None:
        """The names of what a pending step still waits for, or why it waits."""
        if step.status == "waiting":
            return [step.units[None].why or "approval"] if None in step.units else ["approval"]
        if step.status != "pending":
            return None
        wanted = [name for name in step.definition["depends_on"] if name in self.steps]
        return [name for name in wanted if self.steps[name].status not in FINISHED] or None

    def step_record(self, name: str, *, outputs: bool = True) -> Record:
        step = self.step(name)
        units = list(step.units.values())
        started = min((unit.started for unit in units if unit.started), default=None)
        finished = step.status in FINISHED
        ended = max((unit.ended for unit in units if unit.ended), default=None) if finished else None
        status = step.status
        if status in ("running", "retrying") and not self._truly(step, status):
            status = "pending"
        record: Record = {
            "name": name,
            "agent": step.definition.get("agent"),
            "status": status,
            "attempts": max((unit.attempts for unit in units), default=0),
            "started": started,
            "ended": ended,
            "duration_seconds": _between(started, ended or (clock.now() if status == "running" else None)),
            "output": self.output(name) if outputs else None,
            "error": step.error or step.reason,
            "why": step.reuse,
            "waiting_on": self.waiting_on(step) or None,
            "tokens": sum(unit.tokens for unit in units),
            "cost_usd": round(sum(unit.cost_usd for unit in units), 9),
        }
        if step.is_parallel and step.batches is not None:
            done = [unit.status for unit in units if unit.status in SUCCEEDED]
            record["batches"] = {"count": step.batches, "completed": len(done), "cached": done.count("cached")}
        return record

    def _truly(self, step: Step, status: str) -> bool:
        """Whether what the journal calls running or retrying is alive: the engine, or the attempt itself."""
        if self.alive:
            return True
        running = [unit for unit in step.units.values() if unit.status == "running" and unit.slot]
        return status == "running" and any(self.slot_is_held(unit.slot or "") for unit in running)

    def record(self, *, outputs: bool = True) -> Record:
        """The run as `workflow status --json` prints it (schemas/run.schema.json)."""
        status = self.status
        # A handler is part of what happened; one that a resume set back is not until it is needed again.
        handled = (name for name, step in self.handlers.items() if step.units and step.status != "pending")
        shown = [*self.steps, *handled]
        steps = [self.step_record(name, outputs=outputs) for name in shown]
        return {
            **self.summary(status),
            "input": self.header.get("input"),
            "error": self.error,
            "tokens": sum(step["tokens"] for step in steps),
            "cost_usd": round(sum(step["cost_usd"] for step in steps), 9),
            "steps": steps,
        }

    def duration(self, status: str) -> float | None:
        """Seconds from its start to its end, or to now for a run of this status that runs; None when nobody knows."""
        return _between(self.started, self._ended(status) or (clock.now() if status == "running" else None))

    def _ended(self, status: str) -> str | None:
        return self.ended if status not in ("running", "interrupted") or self.ended_status else None

    def summary(self, status: str | None = None) -> Record:
        """The run as a line of history (schemas/history.schema.json)."""
        status = status or self.status
        return {
            "run_id": self.run_id,
            "workflow": self.plan["name"],
            "status": status,
            "date": self.header["date"],
            "scheduled": self.header.get("scheduled"),
            "started": self.started,
            "ended": self._ended(status),
            "duration_seconds": self.duration(status),
            "slowest_step": self._slowest(),
            "rerun_of": self.header.get("rerun_of"),
            "only": self.header.get("only"),
        }

    def _slowest(self) -> str | None:
        slowest, longest = None, -1.0
        for name, step in self.steps.items():
            spans = [(unit.started, unit.ended) for unit in step.units.values() if unit.started and unit.ended]
            if spans:
                took = _between(min(spans)[0], max(end for _, end in spans)) or 0.0
                if took > longest:
                    slowest, longest = name, took
        return slowest


def _started(step: Step, record: Record) -> None:
    unit = step.unit(record.get("batch"))
    if unit.ended and record["attempt"] <= unit.attempts:
        return  # its end is known: the lines stand in another order than they were written in
    unit.status, unit.limited = "running", False
    unit.attempts = max(unit.attempts, record["attempt"])
    unit.started = unit.started or record["ts"]
    unit.ended = unit.error = unit.output = unit.output_file = None
    unit.slot = record.get("slot")


def usage(record: Record) -> tuple[int, float]:
    """(tokens, dollars) that an attempt's last record says it used; what is no such number counts as nothing."""
    tokens, cost = record.get("tokens"), record.get("cost_usd")
    return (
        tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0 else 0,
        float(cost) if isinstance(cost, (int, float)) and not isinstance(cost, bool) and cost > 0 else 0.0,
    )


def _ended(step: Step, record: Record) -> None:
    unit = step.unit(record.get("batch"))
    tokens, cost = usage(record)
    unit.tokens += tokens
    unit.cost_usd += cost
    code = record.get("exit_code")
    if code is not None and 0 <= code < 128:
        unit.handed_in = max(unit.handed_in, record["attempt"])
    if record["attempt"] < unit.attempts or unit.status in SUCCEEDED:
        return  # late news of an attempt that another has followed
    unit.attempts = record["attempt"]
    unit.limited = False
    status = record["status"]
    unit.started = unit.started or record.get("started")
    unit.ended = record["ts"]
    unit.error = record.get("error")
    unit.slot = None
    if status == "completed":
        unit.status, unit.error = "completed", None
        _has_output(unit, record)
    elif status == "limited":  # nobody gets through to the model; a resume tries again
        unit.status, unit.limited = "waiting", True
        unit.why = f"the model's API, which limits the rate until {record.get('until')}"
    elif status == "failed":
        # Some failures no further attempt could mend: a limit is reached, the key is refused.
        unit.used = step.definition["retry"]["max_attempts"] if record.get("again") is False else unit.used + 1
        unit.status = "failed" if unit.used >= step.definition["retry"]["max_attempts"] else "retrying"
    elif status == "busy":
        unit.status = "retrying"
    elif status == "cancelled":
        unit.status = "cancelled"
    else:  # interrupted: whether the command's work was done is not known
        doubt = not step.definition.get("idempotent", True) and record.get("begun", True)
        unit.status = "waiting" if doubt else "pending"
        unit.why = "a person: whether its last attempt took effect is not known" if doubt else None


def _has_output(unit: Unit, record: Record) -> None:
    unit.output, unit.output_file = record.get("output"), record.get("output_file")
    unit.files = record.get("files") or {}
    unit.read, unit.changed = bool(record.get("read")), record.get("changed")


def _keyed(step: Step, record: Record) -> None:
    """An earlier success was looked for, and there is none to take."""
    unit = step.unit(record.get("batch"))
    unit.key, unit.key_file, unit.reuse = record.get("key"), record.get("key_file"), record["why"]


def _cached(step: Step, record: Record) -> None:
    unit = step.unit(record.get("batch"))
    _keyed(step, record)
    _has_output(unit, record)
    unit.status, unit.error, unit.source = "cached", None, record["source"]
    unit.started, unit.ended = unit.started or record["ts"], record["ts"]


def _expanded(step: Step, record: Record) -> None:
    step.items = record["items"]
    step.units.pop(None, None)


def _skipped(step: Step, record: Record) -> None:
    step.skipped = True
    step.reason = record.get("reason")


def _failed(step: Step, record: Record) -> None:
    """A step that failed before any attempt: its references, condition or items could not be had."""
    unit = step.unit(record.get("batch"))
    unit.status, unit.error, unit.ended = "failed", record["error"], record["ts"]
    unit.started = unit.started or record["ts"]


def _cancelled(step: Step, record: Record) -> None:
    step.unit(record.get("batch")).status = "cancelled"


def _waiting(step: Step, record: Record) -> None:
    unit = step.unit(None)
    unit.status, unit.why = "waiting", record.get("why")


def _decided(step: Step, record: Record) -> None:
    decision = record["decision"]
    for unit in [step.unit(record["batch"])] if "batch" in record else list(step.units.values()):
        if unit.status != "waiting":
            continue
        unit.why = None
        if decision == "done":
            unit.status, unit.output, unit.error = "completed", record.get("output"), None
            unit.ended = record["ts"]
            unit.key = unit.key_file = None  # a person's word is no success that others may reuse
        elif decision == "approved":
            unit.status, unit.approved = "pending", True
        else:
            unit.status, unit.error = "failed", f"rejected by {record.get('by')}"
            unit.ended = record["ts"]


_STEP_RECORDS = {
    "attempt_started": _started,
    "attempt_ended": _ended,
    "step_expanded": _expanded,
    "step_keyed": _keyed,
    "step_cached": _cached,
    "step_skipped": _skipped,
    "step_failed": _failed,
    "step_cancelled": _cancelled,
    "step_waiting": _waiting,
    "step_decided": _decided,
}


def _between(started: str | None, ended: str | None) -> float | None:
    if not started or not ended:
        return None
    return round(max(0.0, clock.seconds(ended) - clock.seconds(started)), 3)
