"""Transformations of single values: nulls, types, dates, and the schema's constraints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.data import constraints, frames, table, tableschema, times
from colony_lib.data.tableschema import Field, Problem
from colony_lib.data.transformations.registry import Apply, Step, Work, transformation

_PORTION = 1 << 16  # rows
ACTIONS = ("reject", "null")


@transformation("clean_nulls", keys=("columns", "trim"))
def clean_nulls(step: Step) -> Apply:
    """White space around texts is taken off (`trim: false` leaves it); the schema's missingValues become null."""
    only = step.names("columns")
    trim = step.get("trim", True) is not False

    def apply(work: Work) -> dict[str, Any]:
        rows = np.zeros(len(work.frame), dtype=bool)
        new: dict[str, Any] = {}
        for name in only or list(work.frame.columns):
            column = step.column(work, name, "columns")
            if column.dtype != object or table.kind(column) == "null":
                continue
            field = step.schema.fields.get(name)
            missing = step.schema.missing if field is None or field.missing is None else field.missing
            cleaned, changed = _cleaned(column, trim, missing)
            if changed.any():
                rows |= changed
                new[name] = frames.hold(work.frame, cleaned)
        work.set(new)
        return {"rows_affected": int(rows.sum())}

    return apply


def _cleaned(column: pd.Series, trim: bool, missing: list[str]) -> tuple[pd.Series, np.ndarray]:
    """The column trimmed and with its missing values null, and the rows that changed by that."""
    if table.kind(column) != "string":
        trimmed = [v.strip() if type(v) is str else v for v in column] if trim else list(column)
        cleaned = tableschema.blank(pd.Series(table.objects(trimmed), index=column.index, dtype=object), missing)
        pairs = zip(column, cleaned, strict=True)
        return cleaned, np.fromiter((old != new for old, new in pairs), dtype=bool, count=len(column))
    codes, distinct = table.encoded(column)  # each text is looked at once
    absent = set(missing)
    made: list[str | None] = []
    for text in distinct:
        stripped = text.strip() if trim else text
        made.append(None if stripped in absent else stripped)
    changed = np.array([old != new for old, new in zip(distinct, made, strict=True)] + [False])  # code -1: a null
    if not changed.any():
        return column, np.zeros(len(column), dtype=bool)
    return pd.Series(table.objects([*made, None])[codes], index=column.index, dtype=object), changed[codes]


def _convert(
    step: Step, work: Work, fields: list[Field], cast: Callable[[pd.Series, Field], tuple[pd.Series, Problem | None]]
) -> dict[str, Any]:
    """Cast those columns; a row with a value that cannot be cast is rejected, or loses the value (action: null)."""
    problems: list[Problem] = []
    before = work.frame
    rows = np.zeros(len(before), dtype=bool)
    new: dict[str, Any] = {}
    for field in fields:
        column = before[field.name]
        after, problem = cast(column, field)
        if after is column:
            continue
        rows |= _restated(column, after)
        new[field.name] = frames.hold(before, after)
        if problem is not None:
            problems.append(problem)
    work.set(new)
    bad = np.logical_or.reduce([p.rows for p in problems]) if problems else np.zeros(len(work.frame), dtype=bool)
    if step.choice("action", ACTIONS) == "null":
        return {"rows_affected": int((rows | bad).sum()), "nulled": int(bad.sum())}
    count = int((rows & ~bad).sum())
    return {"rows_affected": count, "rejected": work.reject_problems(problems, before, step.type)}


def _restated(before: pd.Series, after: pd.Series) -> np.ndarray:
    """The rows whose value is written differently in JSON now."""
    there = ~table.absent(before) & ~table.absent(after)
    if {table.kind(before), table.kind(after)} == {"integer", "number"}:  # 517.0 and 517 are one number in JSON
        old, new = (column.to_numpy(dtype="float64", na_value=0) for column in (before, after))
        return np.asarray((old != new) & there, dtype=bool)
    for start in range(0, len(there), _PORTION):  # as Python objects, of which there should never be too many
        part = slice(start, start + _PORTION)
        old, new = (table.objects(table.values(column.iloc[part])) for column in (before, after))
        there[part] &= np.asarray(old != new, dtype=bool)
    return np.asarray(there, dtype=bool)


@transformation("convert_types", keys=("action",))
def convert_types(step: Step) -> Apply:
    """The columns of the schema as their types (dates apart: see normalize_dates); what cannot be is rejected."""
    step.choice("action", ACTIONS)

    def apply(work: Work) -> dict[str, Any]:
        fields = [f for f in step.schema.fields.values() if not f.temporal and f.name in work.frame.columns]
        return _convert(step, work, fields, tableschema.cast)

    return apply


@transformation("normalize_dates", keys=("columns", "timezone", "action"))
def normalize_dates(step: Step) -> Apply:
    """Dates and datetimes as ISO 8601, datetimes in UTC. By the schema's fields and their formats, or by
    `columns: {name: format}` or `{name: [format, format]}`; `timezone` is that of datetimes without an offset."""
    step.choice("action", ACTIONS)
    zone = times.check_zone(step.get("timezone"), step.place("timezone")) if step.get("timezone") else None
    given = step.get("columns") or {}
    if isinstance(given, list):
        given = {name: None for name in given}
    if not isinstance(given, dict):
        raise step.error("'columns' of normalize_dates is {column: format}", "columns")
    forms = {str(name): _forms(step, str(name), form) for name, form in given.items()}

    def apply(work: Work) -> dict[str, Any]:
        fields = {f.name: f for f in step.schema.fields.values() if f.temporal and f.name in work.frame.columns}
        for name in forms:
            step.column(work, name, "columns")
            fields.setdefault(name, _field(name, forms[name]))
        wanted = [f for f in fields.values() if not forms or f.name in forms or f.name in step.schema.fields]
        return _convert(
            step,
            work,
            wanted,
            lambda column, field: tableschema.cast(column, field, forms=forms.get(field.name), zone=zone),
        )

    return apply


def _forms(step: Step, name: str, given: Any) -> list[str]:
    field = step.schema.fields.get(name)
    default = field.format if field is not None and field.temporal else "default"
    forms = [default] if given is None else list(given) if isinstance(given, list) else [given]
    kind = field.type if field is not None and field.temporal else "datetime"
    for form in forms:
        times.check_format(kind, form, step.place("columns", name))
    return forms


def _field(name: str, forms: list[str]) -> Field:
    """The field of a column that the schema does not name: a datetime if a format has an hour, else a date."""
    moment = any(form in times.EPOCHS or "%H" in form or "%I" in form for form in forms)
    return Field(name, "datetime" if moment else "date")


@transformation("constraints", keys=("action",), scope="table")
def check_constraints(step: Step) -> Apply:
    """Rows that break a constraint of the schema (required, primary key not null, minimum, pattern …) are rejected;
    `action: null` nulls the value instead where it may be null; `action: keep` leaves them to validate-data."""
    action = step.choice("action", (*ACTIONS, "keep"))

    def apply(work: Work) -> dict[str, Any]:
        problems: list[Problem] = []
        for field in step.schema.fields.values() if action != "keep" else ():
            if field.name in work.frame.columns:
                problems += constraints.broken(step.schema, field, work.frame[field.name])
        before = work.frame
        nulled = np.zeros(len(work.frame), dtype=bool)
        if action == "null":
            required = step.schema.required()
            for problem in [p for p in problems if p.column not in required]:
                work.set({problem.column: table.nulled(work.frame[problem.column], problem.rows)})
                nulled |= problem.rows
                problems.remove(problem)
        rejected = work.reject_problems(problems, before, step.type)
        return {"rows_affected": rejected + int(nulled.sum()), "rejected": rejected}

    return apply
