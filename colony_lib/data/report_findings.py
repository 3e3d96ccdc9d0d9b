"""What was found in a day's data: nulls, what is true, what was rejected, what lookups did not find, the groups."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from colony_lib.base import files
from colony_lib.data import envelope
from colony_lib.data.pipeline import Pipeline

EXAMPLES = 5
GROUPS = 12
_VALUES = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![A-Za-z_])-?\d+(?:\.\d+)?')


def gather(pipeline: Pipeline, name: str, date: str) -> dict[str, Any]:
    """{nulls, true, rejected, lookups, groups} of a dataset:

    nulls [{column, nulls, share}] the emptiest first; true [{column, rows, share}] of its boolean columns; rejected
    [{transformation, reason, count, example}] the most frequent first; lookups [{dataset, on, found, missing,
    without_key, unknown, examples: [{value, count}]}]; groups {by, measures, count, largest: [row]} of an aggregate,
    the largest by its first count, else in the order of the file.
    """
    report = files.read_json(pipeline.path("transformation", name, date), {}) or {}
    rows_out = report.get("rows_out") or 0
    nulls = [
        {"column": column["name"], "nulls": column["nulls"], "share": column["nulls"] / rows_out}
        for column in report.get("columns") or []
        if column.get("nulls") and rows_out
    ]
    booleans = [column["name"] for column in report.get("columns") or [] if column.get("type") == "boolean"]
    return {
        "nulls": sorted(nulls, key=lambda one: (-one["nulls"], one["column"])),
        "true": _true(pipeline, name, date, booleans) if booleans and rows_out else [],
        "rejected": _rejected(pipeline, name, date),
        "lookups": _lookups(pipeline, name, date, report.get("transformations") or []),
        "groups": _groups(pipeline, name, date),
    }


def _groups(pipeline: Pipeline, name: str, date: str) -> dict[str, Any] | None:
    """The groups of an aggregated dataset; None for others, and where the transformed file is not there any more."""
    aggregate = (pipeline.document.get("datasets") or {}).get(name, {}).get("aggregate")
    if not aggregate:
        return None
    try:
        _, rows = envelope.read(pipeline.path("transformed", name, date))
    except FileNotFoundError:
        return None
    by = [aggregate["by"]] if isinstance(aggregate["by"], str) else list(aggregate["by"])
    measures = list(aggregate["measures"])
    size = next((measure for measure, what in aggregate["measures"].items() if what.strip() == "count"), None)
    if size is not None:
        rows.sort(key=lambda row: -(row.get(size) or 0))
    return {"by": by, "measures": measures, "count": len(rows), "largest": rows[:GROUPS]}


def _true(pipeline: Pipeline, name: str, date: str, columns: list[str]) -> list[dict[str, Any]]:
    """How many rows each boolean column is true in; [] where the transformed file is not there any more."""
    try:
        _, rows = envelope.stream(pipeline.path("transformed", name, date))
    except FileNotFoundError:
        return []
    counts = dict.fromkeys(columns, 0)
    total = 0
    for row in rows:
        total += 1
        for column in columns:
            counts[column] += row.get(column) is True
    return [{"column": column, "rows": count, "share": count / max(total, 1)} for column, count in counts.items()]


def general(reason: str) -> str:
    """The reason with the values taken out, so that the same reason for other values is the same."""
    return _VALUES.sub("…", reason)


def _rejected(pipeline: Pipeline, name: str, date: str) -> list[dict[str, Any]]:
    items = files.read_json(pipeline.path("rejected", name, date), [])
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items if isinstance(items, list) else []:
        kind, reason = str(item.get("transformation")), str(item.get("reason"))
        group = groups.setdefault(
            (kind, general(reason)),
            {"transformation": kind, "reason": general(reason), "count": 0, "example": reason, "row": item.get("row")},
        )
        group["count"] += 1
    return sorted(groups.values(), key=lambda group: (-group["count"], group["reason"]))


def _lookups(pipeline: Pipeline, name: str, date: str, done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each enrichment did not find: its counts are the transformer's, the values are looked up here again, in the
    very files that it wrote."""
    steps = [step for step in pipeline.dataset(name).get("transform") or [] if step.get("type") == "enrich"]
    counts = [step for step in done if step.get("type") == "enrich"]
    if not counts or len(steps) != len(counts):
        return []
    found = []
    rows: list[dict[str, Any]] | None = None
    for step, count in zip(steps, counts, strict=True):
        if step.get("dataset") != count.get("dataset"):
            return []  # pipeline.yml has changed since
        on = _pairs(step.get("on"))
        entry = {
            "dataset": step["dataset"],
            "on": list(on),
            "found": count.get("rows_affected") or 0,
            "missing": count.get("missing") or 0,
        }
        if entry["missing"]:
            if rows is None:
                rows = envelope.read(pipeline.path("transformed", name, date))[1]
            entry.update(_unknown(pipeline, step["dataset"], date, rows, on))
        found.append(entry)
    return found


def _pairs(on: Any) -> dict[str, str]:
    if isinstance(on, dict):
        return {str(ours): str(theirs) for ours, theirs in on.items()}
    return {str(name): str(name) for name in ([on] if isinstance(on, str) else on or [])}


def _unknown(
    pipeline: Pipeline, dataset: str, date: str, rows: list[dict[str, Any]], on: dict[str, str]
) -> dict[str, Any]:
    """{without_key, unknown, examples} of the rows; {} when the files do not tell (a column was renamed since)."""
    try:
        others = envelope.read(pipeline.path("transformed", dataset, date))[1]
    except FileNotFoundError:
        return {}
    if any(ours not in row for row in rows[:1] for ours in on) or any(
        theirs not in row for row in others[:1] for theirs in on.values()
    ):
        return {}
    known = {tuple(row.get(theirs) for theirs in on.values()) for row in others}
    misses: Counter[tuple[Any, ...]] = Counter()
    without = 0
    for row in rows:
        key = tuple(row.get(ours) for ours in on)
        if None in key:
            without += 1
        elif key not in known:
            misses[key] += 1
    most = sorted(misses.items(), key=lambda pair: (-pair[1], str(pair[0])))[:EXAMPLES]
    return {
        "without_key": without,
        "unknown": len(misses),
        "examples": [{"value": ", ".join(map(str, key)), "count": number} for key, number in most],
    }
