"""The run's part of the day's report: steps and durations from its record, errors and warnings from the logs."""

from __future__ import annotations

import re
from typing import Any

from colony_lib.base.text import cut
from colony_lib.data.pipeline import Pipeline
from colony_lib.store import lineage

GROUPS = 50  # kinds of problem in the report
LONGEST = 400  # columns of an example
_OWN_ALERT = re.compile(r"(?:report: )?alert for \d{4}-")  # logged by an earlier report of the same run
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{12,}\b|\d+(?:[.,:]\d+)*")
_ENDED = ("completed", "failed", "skipped", "cancelled", "cached")
NOTHING: dict[str, Any] = {
    "run_id": None, "workflow": None, "status": None, "started": None, "duration_seconds": None, "steps": [],
    "problems": [], "logged": {"error": 0, "warn": 0},
}  # fmt: skip


def gather(pipeline: Pipeline, date: str, ref: str | None, missing: list[str]) -> dict[str, Any]:
    """{run_id, workflow, status, started, duration_seconds, steps, problems, logged} of the run; ColonyError for a run
    that is named and not there. duration_seconds: from the run's start to the end of the last step that has ended."""
    if not pipeline.in_colony():
        missing.append("the run: there is no colony here")
        return NOTHING
    run_id = _which(date, ref)
    if run_id is None:
        missing.append("the run: none is named (--run), and none is known to have made this date's files")
        return NOTHING
    from colony_lib.store import runs

    record = runs.load(run_id).record(outputs=False)
    found = problems(run_id)
    steps = [_step(step) for step in record["steps"]]
    return {
        "run_id": run_id,
        "workflow": record["workflow"],
        "status": record["status"],
        "started": record["started"],
        "duration_seconds": _duration(record["started"], record["steps"]),
        "steps": steps,
        "problems": found[:GROUPS],
        "logged": {level: sum(one["count"] for one in found if one["level"] == level) for level in ("error", "warn")},
    }


def _which(date: str, ref: str | None) -> str | None:
    from colony_lib.store import env, runs

    if ref is not None:
        return runs.find(ref)
    own = env.step().get("run_id")
    if own is not None:
        return own
    found = None
    known = set(runs.ids())
    for event in lineage.events():
        nominal = str(lineage.run_facet(event, "nominalTime").get("nominalStartTime") or "")
        run_id = lineage.run_facet(event, "colony_run").get("run_id")
        if nominal.startswith(date) and run_id in known:
            found = run_id
    return found


def _step(step: dict[str, Any]) -> dict[str, Any]:
    keys = ("name", "agent", "status", "attempts", "started", "ended", "duration_seconds", "error")
    return {key: step.get(key) for key in keys}


def _duration(started: str | None, steps: list[dict[str, Any]]) -> float | None:
    from colony_lib.base import clock

    ends = [step["ended"] for step in steps if step.get("ended") and step["status"] in _ENDED]
    if started is None or not ends:
        return None
    return round(max(0.0, clock.seconds(max(ends)) - clock.seconds(started)), 3)


def problems(run_id: str) -> list[dict[str, Any]]:
    """The run's errors and warnings, alike ones together: [{level, agent, step, count, first, last, message}], errors
    first, the most frequent first; `message` is the first of its kind."""
    from colony_lib.store import logread

    sources = logread.open_all(logread.agents())
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    try:
        for line in logread.every(sources, logread.Wanted(level="warn", run_id=run_id)):
            if _OWN_ALERT.match(line["message"]):
                continue
            kind = (line["level"], line["agent"], line["step"], _VARYING.sub("#", line["message"]))
            group = groups.setdefault(
                kind,
                {
                    "level": line["level"],
                    "agent": line["agent"],
                    "step": line["step"],
                    "count": 0,
                    "first": line["ts"],
                    "last": line["ts"],
                    "message": cut(line["message"], LONGEST),
                },
            )
            group["count"] += 1
            group["last"] = line["ts"]
    finally:
        for source in sources:
            source.close()
    ordered = sorted(groups.values(), key=lambda group: (group["level"] != "error", -group["count"], group["first"]))
    return ordered


def provenance(pipeline: Pipeline, date: str) -> list[dict[str, Any]]:
    """Each dataset's provenance of the date, as `colony lineage` has it; [] outside a colony."""
    if not pipeline.in_colony():
        return []
    known = lineage.provenances(lineage.events())
    wanted = set(pipeline.names("datasets"))
    keys = ("dataset", *lineage.KEYS, "validation", "run_id")
    return [
        {key: entry.get(key) for key in keys} for (name, day), entry in known.items() if day == date and name in wanted
    ]
