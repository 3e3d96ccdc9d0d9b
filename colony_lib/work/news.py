"""What a run tells while it runs and when it ends: progress, log lines, metric points; in batches, off the hot path."""

from __future__ import annotations

import time

from colony_lib.base import clock
from colony_lib.base.text import show_duration
from colony_lib.store import logs, metrics, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Record = dict[str, Any]

_LATER = 0.05  # seconds that a log line may wait for others; a write of its own costs as much as a start
_LEVELS = {
    "completed": "info",
    "failed": "error",
    "busy": "warn",
    "limited": "warn",
    "interrupted": "warn",
    "cancelled": "warn",
}


class News:
    """Collects what happens until `pass_on`, and the log lines of it until `flush`."""

    def __init__(self, run: runs.Run, tell: Callable[[str, str, float | None, str | None], None]) -> None:
        self.run = run
        self.tell = tell
        self._happened: list[tuple[Callable[[Record], None], Record]] = []
        self._lines: dict[str, list[Record]] = {}
        self.due: float | None = None  # on the monotonic clock: when what is collected should be written

    def started(self, job: Record) -> None:
        """The job has been given to a worker."""
        self._happened.append((self._started, job))

    def sent(self, job: Record, executor: str) -> None:
        """The job has been given to a cluster."""
        self._happened.append((self._sent, {**job, "executor": executor}))

    def said(self, level: str, words: str) -> None:
        """What the run's log should say besides of its steps."""
        self._happened.append((self._said, {"level": level, "message": words}))

    def ended(self, record: Record) -> None:
        """An attempt has come to this end, and its run knows."""
        self._happened.append((self._ended, record))

    def decided(self, record: Record) -> None:
        """The schedule's own: skipped, failed before an attempt, waiting."""
        self._happened.append((self._decided, record))

    def pass_on(self) -> None:
        """Show and log what has happened; after what follows from it was begun, so that nobody waits for this."""
        happened, self._happened = self._happened, []
        for show, what in happened:
            show(what)

    def _started(self, job: Record) -> None:
        again = f", attempt {job['attempt']}" if job["attempt"] > 1 else ""
        self._log(job["step"], job["batch"], job["attempt"], "info", f"started{again}")
        self.tell(_shown(job["step"], job["batch"]), "started", None, None)

    def _sent(self, job: Record) -> None:
        again = f", attempt {job['attempt']}" if job["attempt"] > 1 else ""
        self._log(job["step"], job["batch"], job["attempt"], "info", f"sent to {job['executor']}{again}")
        self.tell(_shown(job["step"], job["batch"]), "started", None, None)

    def _said(self, line: Record) -> None:
        record = {"ts": clock.now(), **line, "run_id": self.run.run_id, "step": None, "attempt": None}
        self._lines.setdefault("colony", []).append(record)
        self.due = self.due or time.monotonic() + _LATER
        if line["level"] != "info":
            self.tell(line["message"], line["level"], None, None)

    def _ended(self, record: Record) -> None:
        name, batch, status = record["step"], record["batch"], record["status"]
        unit = self.run.step(name).unit(batch)
        took = None
        if unit.started and unit.ended:
            took = clock.seconds(unit.ended) - clock.seconds(unit.started)
        words = f"{status} in {show_duration(took)}" if status == "completed" else f"{status}: {record.get('error')}"
        if unit.status == "retrying":
            words += "; will be tried again"
        self._log(name, batch, record["attempt"], _LEVELS[status], words)
        self.tell(_shown(name, batch), unit.status if status == "failed" else status, took, record.get("error"))

    def _decided(self, record: Record) -> None:
        name = record["step"]
        status = record["type"].removeprefix("step_")
        if status == "expanded":
            return
        if status == "keyed":
            self._log(name, record["batch"], 0, "info", record["why"])
            return
        why = record.get("reason") or record.get("error") or record.get("why")
        level = "error" if status == "failed" else "info"
        self._log(name, record.get("batch"), 0, level, f"{status}: {why}")
        self.tell(_shown(name, record.get("batch")), status, None, why)

    def _log(self, step: str, batch: int | None, attempt: int, level: str, message: str) -> None:
        agent = self.run.step(step).definition.get("agent") or "colony"
        line = {"ts": clock.now(), "level": level, "message": f"{_shown(step, batch)} {message}"}
        self._lines.setdefault(agent, []).append({**line, "run_id": self.run.run_id, "step": step, "attempt": attempt})
        if self.due is None:
            self.due = time.monotonic() + _LATER

    def flush(self) -> None:
        """Append the collected log lines."""
        self.pass_on()
        for agent, lines in self._lines.items():
            logs.write(agent, lines)
        self._lines = {}
        self.due = None

    def run_ended(self, status: str, error: str | None) -> None:
        """The last log line and the metric points that the engine records by itself (contract section 6)."""
        run = self.run
        self.pass_on()
        level = "info" if status == "completed" else "error" if status == "failed" else "warn"
        words = f"run {run.run_id} of {run.plan['name']} {status}" + (f": {error}" if error else "")
        line = {
            "ts": clock.now(),
            "level": level,
            "message": words,
            "run_id": run.run_id,
            "step": None,
            "attempt": None,
        }
        self._lines.setdefault("colony", []).append(line)
        self.flush()
        points = self._points(status) if status in ("completed", "failed") else []
        metrics.record_many([*points, *_spent(run)])

    def _points(self, status: str) -> list[Record]:
        """One point a finished step and attempt count, so that a resumed run adds only what is new."""
        run = self.run
        workflow = {"workflow": run.plan["name"]}
        started = sum(step.units[None].attempts for step in run.steps.values() if None in step.units)
        points: list[Record] = []
        for name in run.steps:
            record = run.step_record(name, outputs=False)
            if record["status"] in ("completed", "failed") and record["duration_seconds"] is not None:
                point = _point(
                    run, "workflow.step.duration_seconds", record["duration_seconds"], record["attempts"], name
                )
                points.append({**point, "labels": {**workflow, "step": name}})
        took = run.duration(status)
        if took is not None:
            point = _point(run, "workflow.run.duration_seconds", took, started, status)
            points.append({**point, "labels": workflow})
        point = _point(run, f"workflow.runs.{status}", 1, started, status)
        return [*points, {**point, "labels": workflow}]


def _spent(run: runs.Run) -> Iterator[Record]:
    """What agents' attempts have used, in all lives of the run: each attempt's points have the id of the record that
    ended it, so that a resumed run adds none twice."""
    agents = {step["name"]: step["agent"] for step in [*run.plan["steps"], *run.plan["error_handling"]]}
    if not any(agents.values()):
        return
    for record in run.records():
        used = record.get("usage")
        if record.get("type") != "attempt_ended" or not isinstance(used, dict):
            continue
        labels = {"agent": agents.get(record["step"]) or "none", "model": used.get("model") or "unknown"}
        values = {f"agent.tokens.{key}": used.get(key) for key in ("input", "output")}
        for name, value in {**values, "agent.cost_usd": used.get("cost_usd")}.items():
            if value is not None:
                yield {"name": name, "value": value, "id": record["id"], "ts": record["ts"], "labels": labels}


def _point(run: runs.Run, name: str, value: float, attempts: int, what: str) -> Record:
    return {"name": name, "value": value, "id": f"{run.run_id}-{attempts}-{what}"[:128].rstrip("-._")}


def _shown(step: str, batch: int | None) -> str:
    return step if batch is None else f"{step}[{batch}]"
