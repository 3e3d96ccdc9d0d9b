"""The check `schema`: the columns that must be there, and how many cells are not as the schema says."""

from __future__ import annotations

from typing import Any

from colony_lib.base.text import escape, plural
from colony_lib.data.checks.registry import FAIL, WARN, Subject, finding


def schema(subject: Subject) -> list[dict[str, Any]]:
    """A required column that is missing fails; cells that break a type or constraint are told here as a warning,
    for whether they are too many is said by error_rate. The value is the number of such cells."""
    if not subject.schema.fields:
        return [finding("schema", (True, FAIL, None), 0, "no schema is declared")]
    there = {str(name) for name in subject.raw.columns}
    missing = [name for name in subject.schema.fields if name not in there]
    extra = sorted(there - set(subject.schema.fields))
    gone = _forbidden(subject, missing, extra) if len(subject) else ""
    cells = sum(int(problem.rows.sum()) for problem in subject.problems)
    for problem in subject.problems:
        subject.flag("schema", problem.rows, invalid=True)
    if gone:
        return [finding("schema", (False, FAIL, None), cells, gone)]
    if cells:
        broken = "; ".join(_told(problem, subject) for problem in subject.problems[:5])
        more = f"; and {len(subject.problems) - 5} more kinds" if len(subject.problems) > 5 else ""
        verb = "breaks" if cells == 1 else "break"
        return [
            finding("schema", (False, WARN, 0), cells, f"{plural(cells, 'cell')} {verb} the schema: {broken}{more}")
        ]
    notes = [f"not in the data: {_listed(missing)}"] if missing and len(subject) else []
    notes += [f"besides it: {_listed(extra)}"] if extra else []
    return [finding("schema", (True, FAIL, 0), 0, "; ".join(["all cells are as the schema says", *notes]))]


def _listed(names: list[str]) -> str:
    return ", ".join(escape(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _forbidden(subject: Subject, missing: list[str], extra: list[str]) -> str:
    """Why the set of columns is wrong, or ''. Without fieldsMatch in the schema the required ones must be there."""
    match = subject.schema.fields_match
    if match in ("exact", "equal", "subset"):
        wanted = missing
    elif match == "partial":
        wanted = missing if len(missing) == len(subject.schema.fields) else []
    else:
        required = subject.schema.required()
        wanted = [name for name in missing if name in required]
    said = [f"missing columns: {_listed(wanted)}"] if wanted else []
    if extra and match in ("exact", "equal", "superset"):
        said.append(f"columns that the schema does not know: {_listed(extra)}")
    if match == "exact" and not said and list(subject.schema.fields) != [str(name) for name in subject.raw.columns]:
        said.append("the columns are in another order than the schema's")
    return "; ".join(said)


def _told(problem: Any, subject: Subject) -> str:
    row = int(problem.rows.argmax())
    name = problem.column
    column = subject.raw[name] if name in subject.raw.columns else subject.frame[name]
    return f"{name} {problem.rule} {int(problem.rows.sum()):,} (row {row + 1}: {problem.words(row, column.iloc[row])})"
