"""A task of the task list as a run: its plan of one step, and the run in which somebody has done it before."""

from __future__ import annotations

from itertools import islice

from colony_lib.base import clock, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import journal, paths, runs, taskfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]

STEP = "task"
RECENT = 300  # runs among which an earlier one of a task is looked for
SKEW = 86_400.0  # seconds by which the clock of the machine on which a task was added may be ahead of ours
INLINE = 32 * 1024  # bytes of an output that a task's result holds; a larger one stays with its run
ENDED = ("completed", "failed", "cancelled")


def plan(agent: str, task: Mapping[str, Any]) -> Record:
    """What store.workflow would make of a workflow whose one step is the task, its words taken literally."""
    name = f"task-{agent}"
    step: Record = {
        "name": STEP,
        "agent": agent,
        "depends_on": [],
        "ancestors": [],
        "instructions": instructions(task),
        "run": None,
        "when": None,
        "timeout_seconds": None,
        "limits": None,
        "output_name": None,
        "output_schema": None,
        "expect": None,
        "for_each": None,
        "parallel": None,
        "retry": {"max_attempts": 1, "backoff": "exponential", "delay_seconds": 1.0, "max_delay_seconds": 60.0},
        "idempotent": True,
        "on_failure": "fail",
        "env": {},
        "line": 1,
        "lines": {"name": 1, "agent": 1, "instructions": 1},
    }
    return {
        "v": 1,
        "name": name,
        "description": "",
        "trigger": None,
        "input_schema": None,
        "concurrency": 16,  # another agent's worker may go on with a run that this agent's has begun
        "max_parallel": 16,
        "budget": None,
        "steps": [step],
        "error_handling": [],
        "file": name,  # of no file: what is said of the run names it so
    }


def instructions(task: Mapping[str, Any]) -> str:
    """Title and description, with every '{{' written so that it means itself."""
    said: str = task["title"]
    if task["description"]:
        said += f"\n\n{task['description']}"
    return said.replace("{{", '{{"{{"}}')


def earlier(task: Mapping[str, Any]) -> runs.Run | None:
    """The run of this task, as claimed, that is to be gone on with, or that had come to its end while its claimant
    died before he could say so. Runs that cannot be read are passed over."""
    oldest = runs.first_id(clock.seconds(task["created"]) - SKEW)
    for run_id in islice(runs.ids(), RECENT):
        if run_id < oldest:
            return None
        try:
            if runs.read_header(run_id).get("task") != task["id"]:
                continue
            run = runs.load(run_id)
        except ColonyError:
            continue
        if run.ended_status in ENDED and not _ended_untold(task, run):
            return None  # all of it is settled: what was put back since is to be done anew
        return run
    return None


def _ended_untold(task: Mapping[str, Any], run: runs.Run) -> bool:
    """Whether the run ended in the hands of a claimant that is lost, after whom nobody has put the task back."""
    claims: dict[str, Record] = {
        event["id"]: event
        for event in journal.read(paths.tasks(), taskfold.check)
        if event["task"] == task["id"] and event["type"] == "claim"
    }
    claim = claims.get(task["claim"])
    if claim is None or "over" not in claim:
        return False
    while claim is not None and "over" in claim:
        first = claim = claims.get(claim["over"])
    return first is not None and run.ended is not None and first["ts"] <= run.ended


def result(run: runs.Run) -> Record:
    """What the task's result says of its run: {run_id, output}, or {run_id, error}."""
    found: Record = {"run_id": run.run_id}
    if run.ended_status != "completed":
        return {**found, "error": run.step(STEP).error or run.error or run.ended_status}
    output = run.output(STEP)
    size = len(jsontext.dumps(output).encode())
    return {**found, "output": output} if size <= INLINE else {**found, "output": None, "output_bytes": size}
