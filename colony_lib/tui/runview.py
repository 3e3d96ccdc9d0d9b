"""One run as it is looked at: its state, each attempt with its times, what is usual, and in words what holds it up."""

from __future__ import annotations

import os
from statistics import median

from colony_lib.base import clock
from colony_lib.base.text import plural, show_duration
from colony_lib.store import paths, runs
from colony_lib.tui import bars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.tui.paint import Line

    Record = dict[str, Any]

USUAL = 14  # completed runs that the medians are of


class Attempt:
    """One attempt of a step or of one of its batches; times in seconds since 1970, `ended` None while it runs."""

    __slots__ = ("batch", "ended", "error", "number", "started", "status")

    def __init__(self, batch: int | None, number: int, started: float) -> None:
        self.batch, self.number, self.started = batch, number, started
        self.ended: float | None = None
        self.status = "running"
        self.error: str | None = None


class RunView:
    """A run and its attempts: `record` as `workflow status --json` has it (without outputs), `attempts` by step."""

    def __init__(self, run_id: str) -> None:
        """Read the run's files. ColonyError when that cannot be done."""
        self.run_id = run_id
        self.run = runs.Run(run_id, runs.read_header(run_id))
        self.attempts: dict[str, list[Attempt]] = {}
        for record in self.run.records(self.run.problems):
            self.run.apply(record)
            self._take(record)
        self.record = self.run.record(outputs=False)
        self.steps: list[Record] = self.record["steps"]
        self.status: str = self.record["status"]
        self.workflow: str = self.record["workflow"]
        self.now = clock.epoch()
        self.usual: dict[str, float] = {}  # median seconds of each step, and of the run under ""
        self._settle()

    def _take(self, record: Record) -> None:
        kind, name = record.get("type"), str(record.get("step"))
        if kind not in ("attempt_started", "attempt_ended"):
            return
        own = self.attempts.setdefault(name, [])
        batch, number = record.get("batch"), record["attempt"]
        found = next((one for one in reversed(own) if (one.batch, one.number) == (batch, number)), None)
        if found is None:
            found = Attempt(batch, number, _seconds(record.get("started")) or _seconds(record["ts"]) or 0.0)
            own.append(found)
        if kind == "attempt_ended":
            found.ended, found.status = _seconds(record["ts"]), record["status"]
            found.error = record.get("error")

    def _settle(self) -> None:
        """An attempt that has no end, of a step that does not run, was cut off; nobody knows when."""
        for step in self.steps:
            if step["status"] not in ("running", "retrying"):
                for attempt in self.attempts.get(step["name"], []):
                    if attempt.ended is None:
                        attempt.ended, attempt.status = attempt.started, "interrupted"

    # -- what a view asks

    def definition(self, name: str) -> Record:
        found: Record = self.run.step(name).definition
        return found

    def step(self, name: str) -> Record | None:
        return next((step for step in self.steps if step["name"] == name), None)

    def limit(self, name: str) -> float | None:
        """Seconds that an attempt of the step may take."""
        limit: float | None = self.definition(name).get("timeout_seconds")
        return limit

    def first_problem(self) -> str | None:
        """The step to look at first: the failed one, else one that waits for a person, else one that runs."""
        for statuses in (("failed",), ("waiting",), ("retrying",), ("running",)):
            for step in self.steps:
                if step["status"] in statuses:
                    return str(step["name"])
        return None

    def waits_for_person(self, step: Record) -> bool:
        """Whether the step waits for somebody's word, and not for a model's API that limits the rate."""
        units = self.run.step(step["name"]).units.values()
        return step["status"] == "waiting" and not any(unit.limited for unit in units)

    def done(self) -> int:
        return sum(
            step["status"] in runs.FINISHED and step["status"] not in ("failed", "cancelled") for step in self.steps
        )

    def waiting_for(self, name: str) -> list[str]:
        """The steps that wait for this one directly."""
        return [
            step["name"] for step in self.steps if step["status"] == "pending" and name in (step["waiting_on"] or [])
        ]

    def took(self, name: str) -> float | None:
        step = self.step(name)
        return step["duration_seconds"] if step else None


def _seconds(moment: str | None) -> float | None:
    try:
        return clock.seconds(moment) if moment else None
    except ValueError:
        return None


def step_seconds(run_id: str) -> dict[str, float]:
    """How long each completed step of the run took, and the run under ""; {} for a run that is not completed."""
    run = runs.load(run_id)
    record = run.record(outputs=False)
    if record["status"] != "completed":
        return {}
    found = {s["name"]: s["duration_seconds"] for s in record["steps"] if s["status"] == "completed"}
    found[""] = record["duration_seconds"]
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """The median of each name over the runs that have it."""
    names = {name for row in rows for name in row}
    return {name: median(row[name] for row in rows if name in row) for name in names}


# -- in words


def sentence(view: RunView) -> Line:
    """What the run does, or what is in its way, and what to do about it."""
    at = view.first_problem()
    step = view.step(at) if at else None
    if view.status == "running":
        return _running(view, step)
    if view.status == "waiting" and step is not None:
        why = ", ".join(step["waiting_on"] or ["approval"])
        hint = "A approves or rejects" if view.waits_for_person(step) else "R goes on when it is over"
        return [("? ", "warn"), (f"{at} waits for {why}", "bold"), _then(view, at), (f"   {hint}", "dim")]
    if view.status == "failed" and step is not None:
        why = " ".join(str(step["error"] or view.record["error"] or "").split())
        tries = f" after {plural(step['attempts'], 'attempt')}" if step["attempts"] > 1 else ""
        return [
            ("✗ ", "bad"),
            (f"{at} failed{tries}", "bad"),
            (" (R goes on)", "dim"),
            (f": {why}" if why else "", "text"),
        ]
    if view.status == "completed":
        return [
            ("✓ ", "ok"),
            ("completed", "ok"),
            (f" in {_long(view.record['duration_seconds'])}", "text"),
            _usual(view),
        ]
    if view.status == "interrupted":
        where = next((s["name"] for s in view.steps if s["status"] in ("pending", "waiting")), None)
        said = "its process is gone" + (f"; {where} is next" if where else "")
        return [("! ", "warn"), ("interrupted", "warn"), (f": {said}", "text"), ("   R resumes it", "dim")]
    why = f": {view.record['error']}" if view.record["error"] else ""
    return [("– ", "dim"), (f"{view.status}{why}", "text"), ("   R goes on", "dim")]


def _running(view: RunView, step: Record | None) -> Line:
    if step is None:
        return [("● ", "run"), ("between steps", "text")]
    name = step["name"]
    live = [s for s in view.steps if s["status"] in ("running", "retrying")]
    if step["status"] == "retrying":
        why = " ".join(str(step["error"] or "").split())
        return [
            ("↻ ", "warn"),
            (f"{name} is tried again", "bold"),
            (f": {why}" if why else "", "text"),
            _then(view, name),
        ]
    if step["status"] in ("failed", "waiting"):
        why = "failed" if step["status"] == "failed" else "waits for " + ", ".join(step["waiting_on"] or ["approval"])
        rest = f"; {', '.join(s['name'] for s in live)} still running" if live else ""
        return [("! ", "warn"), (f"{name} {why}", "bold"), (rest, "text")]
    longest = max(live, key=lambda s: s["duration_seconds"] or 0.0)
    name = longest["name"]
    limit, usual = view.limit(name), view.usual.get(name)
    took = f" for {_long(longest['duration_seconds'])}"
    took += f" of at most {bars.short(limit)}" if limit else ""
    took += f", usually {_long(usual)}" if usual else ""
    more = f" (and {len(live) - 1} more)" if len(live) > 1 else ""
    return [("● ", "run"), (f"{name} runs", "bold"), (took + more, "text"), _then(view, name)]


def _then(view: RunView, name: str | None) -> tuple[str, str]:
    waiting = view.waiting_for(name) if name else []
    if not waiting:
        return "", ""
    more = f" and {len(waiting) - 1} more wait" if len(waiting) > 1 else " waits"
    return f"; {waiting[0]}{more} for it", "dim"


def _usual(view: RunView) -> tuple[str, str]:
    usual = view.usual.get("")
    return (f", usually {_long(usual)}", "dim") if usual else ("", "")


def _long(seconds: float | None) -> str:
    return show_duration(seconds)


def journal_state(run_id: str) -> tuple[int, int, bool]:
    """What changes when the run does: its journal's size and time, and whether a process runs it."""
    state = os.stat(os.path.join(paths.run(run_id), "journal.jsonl"))
    return state.st_size, state.st_mtime_ns, runs.is_alive(run_id)
