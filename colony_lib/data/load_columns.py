"""Column types known before a row is read: what pipeline.yml says or implies of each column of a dataset."""

from __future__ import annotations

import re
from typing import Any

from colony_lib.data.pipeline import Pipeline

_MEASURE = re.compile(r"\s*(\w+)\s*(?:\(\s*([A-Za-z_]\w*)\s*\))?")
_OF_NUMBERS = re.compile(r"mean|median|std|p\d{1,2}")
_SAME_TYPE = ("min", "max", "first", "last")


def declared(pipeline: Pipeline, name: str, seen: frozenset[str] = frozenset()) -> dict[str, str]:
    """{column: Table Schema type}: of the schema's fields, of columns that enrichment brings from other datasets, of
    the columns and measures of an aggregation. What an expression derives is not known and not in it."""
    if name in seen or name not in pipeline.names("datasets"):
        return {}
    dataset = pipeline.dataset(name)
    seen = seen | {name}
    found: dict[str, str] = {}
    if dataset.get("from"):
        outer = declared(pipeline, dataset["from"], seen)
        found.update(_aggregated(dataset["aggregate"], outer) if dataset.get("aggregate") else outer)
    for field in (dataset.get("schema") or {}).get("fields") or []:
        found[field["name"]] = field.get("type", "any")
    for step in dataset.get("transform") or []:
        if step["type"] == "enrich":
            other = declared(pipeline, step["dataset"], seen)
            found.update({ours: other[theirs] for theirs, ours in step["columns"].items() if theirs in other})
        elif step["type"] == "derive":
            found.pop(step["column"], None)
    return {column: kind for column, kind in found.items() if kind != "any"}


def _aggregated(aggregate: dict[str, Any], outer: dict[str, str]) -> dict[str, str]:
    by = aggregate["by"]
    found = {column: outer[column] for column in ([by] if isinstance(by, str) else by) if column in outer}
    for column, measure in aggregate["measures"].items():
        match = _MEASURE.match(measure)
        function, argument = (match.group(1).lower(), match.group(2)) if match else ("", None)
        if function in ("count", "nunique"):
            found[column] = "integer"
        elif _OF_NUMBERS.fullmatch(function):
            found[column] = "number"
        elif function in _SAME_TYPE and argument in outer:
            found[column] = outer[argument]
    return found
