"""What is wrong with a run's files, which an editor or another program may have changed: found before they are used."""

from __future__ import annotations

from colony_lib.base import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = Mapping[str, Any]
    Shape = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)
_UNIT: Shape = {"step": str, "batch": (int, type(None))}
_TEXT = (str, type(None))
_ATTEMPT: Shape = {**_UNIT, "attempt": int}
# What the fold of a journal takes for granted, by the type of the record; others are passed over.
_RECORDS: dict[str, Shape] = {
    "run_started": {},
    "run_ended": {"status": str},
    "attempt_started": {**_ATTEMPT, "slot": str, "scratch": _TEXT},
    "attempt_ended": {**_ATTEMPT, "status": str, "started": _TEXT, "error": _TEXT, "output_file": _TEXT},
    "step_expanded": {"step": str, "items": list},
    "step_skipped": {"step": str},
    "step_failed": {**_UNIT, "error": str},
    "step_cancelled": {"step": str},
    "step_waiting": {"step": str},
    "step_decided": {"step": str, "decision": str},
}
_ENDS = ("completed", "failed", "cancelled", "interrupted", "waiting")
_HEADER: Shape = {"created": str, "date": str, "yesterday": str, "agents": dict, "plan": dict}
_PLAN: Shape = {
    "name": str, "file": str, "steps": list, "error_handling": list, "max_parallel": int, "concurrency": int,
}  # fmt: skip
_STEP: Shape = {
    "name": str, "depends_on": list, "retry": dict, "on_failure": str, "timeout_seconds": (*_NUMBER, type(None)),
}  # fmt: skip
_RETRY: Shape = {"max_attempts": int, "backoff": str, "delay_seconds": _NUMBER, "max_delay_seconds": _NUMBER}
_SUMMARY: Shape = {
    "run_id": str, "workflow": str, "status": str, "date": str, "started": _TEXT, "ended": _TEXT,
    "duration_seconds": (*_NUMBER, type(None)), "slowest_step": _TEXT,
}  # fmt: skip
_WORDS = {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def _misfit(given: Record, shape: Shape) -> str | None:
    """Which key of the shape is missing or of another kind, in words; a key that may be None may be missing."""
    for key, kinds in shape.items():
        value = given.get(key)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return f"its '{key}' is " + ("missing" if value is None else _WORDS[type(value)])
    return None


def _is_time(text: object) -> bool:
    try:
        return isinstance(text, str) and clock.seconds(text) is not None
    except (ValueError, OverflowError):
        return False


def record(given: Record) -> str | None:
    """What is wrong with a record of a run's journal; None when nothing is, or its type is not known here."""
    why = _misfit(given, {"type": str})
    shape = None if why else _RECORDS.get(given["type"])
    if shape is None:
        return why
    if not _is_time(given.get("ts")) or not (given.get("started") is None or _is_time(given["started"])):
        return "its time is none"
    why = _misfit(given, shape)
    if why is None and given["type"] == "run_ended" and given["status"] not in _ENDS:
        why = "its 'status' is not one of a run's"
    if why is None and isinstance(given.get("batch"), int) and given["batch"] < 0:
        why = "its 'batch' is below 0"
    if why is None and any(part in ("..", "") for part in str(given.get("output_file") or "x").split("/")):
        why = "its 'output_file' leads out of the run"
    if why is None and "/" in str(given.get("slot")):
        why = "its 'slot' is a path"
    return why


def header(given: object) -> str | None:
    """What is wrong with what a run's plan.json holds; None when nothing is that would be missed."""
    if not isinstance(given, dict):
        return "it is no object"
    why = _misfit(given, _HEADER) or _misfit(given["plan"], _PLAN)
    if why is not None or not _is_time(given["created"]):
        return why or "its 'created' is no time"
    plan = given["plan"]
    names = [step.get("name") for step in plan["steps"] if isinstance(step, dict)]
    for step in [*plan["steps"], *plan["error_handling"]]:
        if not isinstance(step, dict):
            return "a step is no object"
        why = _misfit(step, _STEP) or _misfit(step["retry"], _RETRY)
        if why is None and not all(other in names for other in step["depends_on"]):
            why = "a step depends on one that is not there"
        if why is not None:
            return why
    return None


def summary(given: object, run_id: str) -> bool:
    """Whether that is the kept history line of the run."""
    return isinstance(given, dict) and _misfit(given, _SUMMARY) is None and given["run_id"] == run_id
