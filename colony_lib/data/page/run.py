"""What the page tells of a run: its steps with every attempt, the last words of what failed, and the runs before it."""

from __future__ import annotations

import statistics
from typing import Any

from colony_lib.base.errors import ColonyError
from colony_lib.store import runs

Record = dict[str, Any]
_HISTORY = 14  # earlier runs of the workflow
_USUAL = 8  # of them whose steps' times are looked at
_LINES = 10  # of the log of a step that failed
_TRIES = 50  # bars of one step; with more batches it is one bar


def gather(run_id: str) -> Record:
    """{run_id, workflow, status, date, started, ended, duration_seconds, error, tokens, cost_usd, steps, failed,
    history, next}; a step is {name, agent, status, depends_on, attempts, most, tries, timeout_seconds,
    duration_seconds, usual, error, tokens, cost_usd}, `failed` the first that failed with the last `lines` of its log,
    `next` the command that goes on, or None."""
    run = runs.load(run_id)
    record = run.record(outputs=False)
    tries = _tries(run)
    earlier = _earlier(run)
    usual = _usual(earlier)
    definitions = {each["name"]: each for each in [*run.plan["steps"], *run.plan["error_handling"]]}
    steps = [_step(each, definitions[each["name"]], tries.get(each["name"], []), usual) for each in record["steps"]]
    keys = (
        "run_id",
        "workflow",
        "status",
        "date",
        "started",
        "ended",
        "duration_seconds",
        "error",
        "tokens",
        "cost_usd",
    )
    return {
        **{key: record.get(key) for key in keys},
        "steps": steps,
        "failed": _failed(run_id, steps),
        "history": [{key: each.get(key) for key in ("run_id", "status", "date")} for each in reversed(earlier)],
        "next": _next(run_id, record),
    }


def _step(record: Record, definition: Record, tries: list[Record], usual: dict[str, float]) -> Record:
    keys = ("name", "agent", "status", "attempts", "duration_seconds", "error", "tokens", "cost_usd")
    return {
        **{key: record.get(key) for key in keys},
        "depends_on": definition.get("depends_on") or [],
        "most": (definition.get("retry") or {}).get("max_attempts", 1),
        "timeout_seconds": definition.get("timeout_seconds"),
        "usual": usual.get(record["name"]),
        "tries": tries if len(tries) <= _TRIES else _as_one(tries, record["status"]),
    }


def _as_one(tries: list[Record], status: str) -> list[Record]:
    ends = [each["ended"] for each in tries]
    return [
        {
            "started": min(each["started"] for each in tries),
            "ended": None if None in ends else max(ends),
            "status": status,
        }
    ]


def _tries(run: runs.Run) -> dict[str, list[Record]]:
    """{step: its attempts {started, ended, status}, in the order in which they began}."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in run.records():
        if record.get("type") not in ("attempt_started", "attempt_ended") or not isinstance(record.get("step"), str):
            continue
        key = (record["step"], record.get("batch"), record.get("attempt"))
        entry = found.setdefault(
            key, {"started": record.get("started") or record["ts"], "ended": None, "status": "running"}
        )
        if record["type"] == "attempt_ended":
            entry |= {"ended": record["ts"], "status": record.get("status") or "failed"}
    steps: dict[str, list[Record]] = {}
    for key, entry in found.items():
        steps.setdefault(key[0], []).append(entry)
    return {name: sorted(entries, key=lambda entry: entry["started"]) for name, entries in steps.items()}


def _earlier(run: runs.Run) -> list[Record]:
    """The last runs of the same workflow up to this one, newest first."""
    found = []
    for summary in runs.summaries(run.plan["name"]):
        if summary["run_id"] <= run.run_id:
            found.append(summary)
        if len(found) == _HISTORY:
            break
    return found


def _usual(earlier: list[Record]) -> dict[str, float]:
    """{step: the median of the seconds that it took in earlier runs that completed}."""
    times: dict[str, list[float]] = {}
    for summary in [each for each in earlier[1:] if each["status"] == "completed"][:_USUAL]:
        try:
            steps = runs.load(summary["run_id"]).record(outputs=False)["steps"]
        except ColonyError:
            continue  # pruned meanwhile, or damaged: the others say enough
        for step in steps:
            if step.get("duration_seconds") is not None:
                times.setdefault(step["name"], []).append(step["duration_seconds"])
    return {name: statistics.median(values) for name, values in times.items()}


def _failed(run_id: str, steps: list[Record]) -> Record | None:
    ended = [step for step in steps if step["status"] in ("failed", "interrupted")]
    if not ended:
        return None
    first = min(ended, key=lambda step: step["tries"][-1]["ended"] or "" if step["tries"] else "")
    return {**first, "lines": _last_lines(run_id, first["name"], first["agent"])}


def _last_lines(run_id: str, step: str, agent: str | None) -> list[Record]:
    from colony_lib.store import logread

    names = [name for name in logread.agents() if agent is None or name == agent]
    sources = logread.open_all(names)
    try:
        return logread.last(sources, logread.Wanted(run_id=run_id, step=step), _LINES)
    finally:
        for source in sources:
            source.close()


def _next(run_id: str, record: Record) -> str | None:
    """The command that goes on."""
    if record["status"] in ("failed", "interrupted", "cancelled"):
        return f"colony workflow resume {run_id}"
    approval = next((each for each in record["steps"] if each["status"] == "waiting"), None)
    if record["status"] == "waiting" and approval is not None:
        return f"colony workflow approve {run_id} {approval['name']}"
    if record["status"] == "waiting":
        return f"colony workflow resume {run_id}"
    return None
