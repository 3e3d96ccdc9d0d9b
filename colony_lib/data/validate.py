"""Validates one table: from rows and what they must meet to checks, a status and a quality score.

The status is FAIL when a check failed with severity fail, else WARN when one failed with severity warn, else PASS.

quality_score, from 0 to 1, is the product of three shares, rounded down to four digits, so that 1 is without a fault:

    completeness   cells that are not null (as the check counts them)
    uniqueness     rows that do not repeat another's key (of the rows of a key one is no repeat)
    validity       records without an error: of the schema, or of a foreign key or rule whose check failed with severity
                   fail (what its threshold tolerates, or what only warns, is none: such rows are flagged); records
                   that transform rejected, or that could not be read, are errors too

It does not depend on the order of the rows. Without records it is 0, unless record_count passes: then it is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from colony_lib.data import checks, constraints, expression, frames, table, tableschema
from colony_lib.data.checks import CHECKS, Expectations, Limits, Rule, Subject
from colony_lib.data.checks.completeness import value_of
from colony_lib.data.checks.duplicates import repeated
from colony_lib.data.checks.registry import FAIL, WARN
from colony_lib.data.fieldtypes import TYPES
from colony_lib.data.frames import Frame
from colony_lib.data.history import Day
from colony_lib.data.tableschema import Field, Problem, Schema
from colony_lib.data.transformations.naming import snake_case

PASS, WARNED, FAILED = "PASS", "WARN", "FAIL"
SAMPLE = 20  # flagged rows in the report
CELLS = 5  # cells of each kind of error

__all__ = ["FAILED", "PASS", "WARNED", "checks", "expectations", "validate"]


def expectations(description: Mapping[str, Any], place: Callable[..., str | None]) -> Expectations:
    """What a dataset's description asks of it. ColonyError (USAGE) with file and line for what is wrong in it."""
    schema = tableschema.read(description.get("schema"), where=lambda *keys: place("schema", *keys))
    rules = []
    for number, given in enumerate(description.get("checks") or []):
        parsed = expression.parse(given.get("rule"), where=place("checks", number, "rule"))
        limits = Limits(given.get("warn"), given.get("fail"))
        if limits.warn is None and limits.fail is None:
            threshold = float(given.get("threshold") or 0)
            severe = given.get("severity", FAIL) == FAIL
            limits = Limits(None, threshold) if severe else Limits(threshold, None)
        rules.append(Rule(str(given["name"]), parsed, limits))
    return Expectations(schema, rules, description.get("thresholds"), bool(description.get("required")))


def validate(
    rows: Sequence[dict[str, Any]],
    expected: Expectations,
    lookup: Callable[[str], Frame],
    *,
    columns: Mapping[str, str] | None = None,
    snake: bool = False,
    what: str = "",
    **more: Any,
) -> dict[str, Any]:
    """As `judge`, of rows; `columns`: {name: kind, or any} of a file that says what it holds; `snake`: their names in
    snake_case, as transform would write them; `what` they are."""
    raw = frames.of_rows(rows, what)
    if snake:
        raw = _snake(raw)
    if not len(raw.columns):
        raw = table.frame({name: table.empty("any", raw.index) for name in columns or {}}, len(rows))
    return judge(raw, expected, lookup, columns=columns, **more)


def _snake(raw: Frame) -> Frame:
    """Under the names that the schema has; as they are where two would get one name."""
    names = {snake_case(name) or name: name for name in map(str, raw.columns)}
    return frames.picked(raw, names) if len(names) == len(raw.columns) else raw


def judge(
    raw: Frame,
    expected: Expectations,
    lookup: Callable[[str], Frame],
    *,
    lexical: bool = True,
    columns: Mapping[str, str] | None = None,
    unread: int = 0,
    rejected: int = 0,
    date: str | None = None,
    history: Sequence[Day] = (),
    warehouse: Callable[[str, list[str]], list[tuple[Any, ...]]] | None = None,
    final: bool = False,
) -> dict[str, Any]:
    """The report's part about a table: {record_count, status, quality_score, checks, error_count, rows_flagged,
    errors, flagged, statistics}, and `kinds` of a `final` one, as transform writes it.

    `lexical`: texts are read as the schema's types, as in CSV. `unread` and `rejected` records count as errors.
    `lookup` gives the dataset of a foreign key, and `warehouse` (table, columns) the keys in a table. Without a `date`
    nothing is said of freshness and anomalies.
    """
    count = len(raw)
    raw = raw.reset_index(drop=True)
    kinds = {"kinds": _kinds(raw)} if final else {}
    raw = _blanked(raw, expected.schema)
    frame, problems = _cast(raw, expected.schema, lexical, columns or {})
    subject = Subject(
        raw, frame, problems, expected, lookup,
        unread=unread, rejected=rejected, date=date, history=history, warehouse=warehouse,
    )  # fmt: skip
    found = [finding for check in CHECKS for finding in check(subject)]
    outside = unread + rejected
    return {
        "record_count": count,
        "status": status(found),
        "quality_score": _score(subject, found),
        "checks": found,
        "error_count": int(subject.errors.sum()) + outside,
        "rows_flagged": int(np.logical_or.reduce([subject.none(), *subject.flags.values()]).sum()),
        "errors": [_error(subject, problem) for problem in problems],
        "flagged": _flagged(subject),
        "statistics": subject.statistics,
        **kinds,
    }


def _kinds(raw: Frame) -> dict[str, dict[str, Any]]:
    """{column: {kind, values}}: what kind the values are of (any: of several), and how many are not null."""
    found = {}
    for name in map(str, raw.columns):
        column = raw[name]
        found[name] = {"kind": table.kind(column), "values": len(raw) - int(table.absent(column).sum())}
    return found


def status(found: Sequence[Mapping[str, Any]]) -> str:
    """PASS, WARN or FAIL of these checks."""
    failed = {check["severity"] for check in found if not check["passed"]}
    return FAILED if FAIL in failed else WARNED if WARN in failed else PASS


def _blanked(raw: Frame, schema: Schema) -> Frame:
    """The table with the texts that stand for a missing value made null."""
    changed: dict[str, Any] = {}
    for name in map(str, raw.columns):
        field = schema.fields.get(name)
        column = raw[name]
        made = tableschema.blank(column, schema.missing if field is None or field.missing is None else field.missing)
        if made is not column:
            changed[name] = frames.hold(raw, made)
    return frames.assigned(raw, changed)


def _cast(raw: Frame, schema: Schema, lexical: bool, kinds: Mapping[str, str]) -> tuple[Frame, list[Problem]]:
    """The table in the schema's types, and all that is wrong with its cells, in the schema's order."""
    changed: dict[str, Any] = {}
    for name, kind in kinds.items():  # columns that the schema does not know: derived ones, say
        if name in raw.columns and name not in schema.fields and kind in TYPES:
            column = raw[name]
            typed, problem = tableschema.cast(column, Field(name, kind), lexical=False)
            if problem is None and typed is not column:
                changed[name] = frames.hold(raw, typed)
    problems: list[Problem] = []
    for field in schema.fields.values():
        if field.name not in raw.columns:
            continue
        column = raw[field.name]
        typed, problem = tableschema.cast(column, field, lexical=lexical)
        if typed is not column:
            changed[field.name] = frames.hold(raw, typed)
        broken = constraints.broken(schema, field, typed)
        if problem is not None:
            problems.append(problem)
            required = [p for p in broken if p.rule == "required"]
            for null in required:  # a cell of the wrong type is there, if wrong
                null.rows = null.rows & ~problem.rows
            others = [p for p in broken if p.rule != "required"]
            problems += [p for p in [*required, *others] if p.rows.any()]
        else:
            problems += broken
    made = frames.assigned(raw, changed)
    for problem in problems:
        if problem.rule == "unique":
            repeated = table.repeats(table.codes(made, [problem.column]), raw)
            problem.rows = repeated & ~table.absent(made[problem.column])
    return made, problems + _unique_keys(made, schema, raw)


def _unique_keys(frame: Frame, schema: Schema, raw: Frame) -> list[Problem]:
    problems = []
    for key in schema.unique_keys:
        if any(name not in frame.columns for name in key) or not len(frame):
            continue
        rows = table.repeats(table.codes(frame, key), raw)
        rows &= np.logical_and.reduce([~table.absent(frame[name]) for name in key])
        if rows.any():
            words = f"repeats the unique key ({', '.join(key)})"
            problems.append(Problem(key[0], "unique", rows, lambda value, words=words: words))  # type: ignore[misc]
    return problems


def _score(subject: Subject, found: Sequence[Mapping[str, Any]]) -> float:
    count = len(subject)
    outside = subject.unread + subject.rejected
    if not count:
        return 1.0 if not outside and all(c["passed"] for c in found if c["name"] == "record_count") else 0.0
    uniqueness = 1 - int(repeated(subject)[0].sum()) / count
    validity = 1 - (int(subject.errors.sum()) + outside) / (count + outside)
    return math.floor(round(value_of(subject) * uniqueness * validity, 9) * 10_000) / 10_000


def _error(subject: Subject, problem: Problem) -> dict[str, Any]:
    """Cells that break one rule of the schema: how many, and the first of them."""
    column = subject.raw[problem.column] if problem.column in subject.raw.columns else subject.frame[problem.column]
    rows = [int(i) for i in np.flatnonzero(problem.rows)[:CELLS]]
    sample = [{"row": i + 1, "reason": problem.words(i, column.iloc[i])} for i in rows]
    return {"column": problem.column, "rule": problem.rule, "count": int(problem.rows.sum()), "sample": sample}


def _flagged(subject: Subject) -> list[dict[str, Any]]:
    """The first rows that any check points at, with their key and the checks' names."""
    if not subject.flags:
        return []
    rows = np.flatnonzero(np.logical_or.reduce(list(subject.flags.values())))[:SAMPLE]
    key = [name for name in subject.schema.primary_key if name in subject.raw.columns]
    shown = {name: table.values(subject.raw[name].iloc[rows]) for name in key}
    return [
        {
            "row": int(row) + 1,
            "key": {name: shown[name][place] for name in key},
            "checks": [name for name, mask in subject.flags.items() if mask[row]],
        }
        for place, row in enumerate(rows)
    ]
