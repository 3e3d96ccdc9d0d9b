"""Transformations of names: columns in snake_case, renamed, chosen, dropped."""

from __future__ import annotations

import re
from typing import Any

from colony_lib.base.errors import FAILED, USAGE, ColonyError, nearest, unknown
from colony_lib.base.text import escape
from colony_lib.data import frames, table
from colony_lib.data.transformations.registry import Apply, Step, Work, transformation

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[\W_]+")


def snake_case(name: str) -> str:
    """tail_num for tailNum, 'Tail Num', tail-num and TAIL_NUM; http_status for HTTPStatus; '' when nothing is left."""
    return _OTHER.sub("_", _BOUNDARY.sub("_", name)).strip("_").lower()


@transformation("normalize_names", keys=("case",))
def normalize_names(step: Step) -> Apply:
    """Columns in snake_case (`case: as_is` leaves them), and a column of nulls for each field that is not there.

    ColonyError (FAILED) when two columns would get one name, when nothing is left of a name, and when a required
    field's column is not there (in a file with records)."""
    keep = step.choice("case", ("snake_case", "as_is")) == "as_is"

    def apply(work: Work) -> dict[str, Any]:
        names: dict[str, str] = {}
        for name in map(str, work.frame.columns):
            new = name if keep else snake_case(name)
            if not new:
                raise ColonyError(
                    f"nothing is left of the column name '{escape(name)}' in snake_case",
                    where=step.place(),
                    fix="rename it first",
                    code=FAILED,
                )
            if new in names:
                raise ColonyError(
                    f"the columns '{escape(names[new])}' and '{escape(name)}' would both be named '{escape(new)}'",
                    where=step.place(),
                    fix="rename one of them first: {type: rename, columns: {…}}",
                    code=FAILED,
                )
            names[new] = name
        renamed = {old: new for new, old in names.items() if new != old}
        if renamed:
            work.frame = frames.picked(work.frame, names)
        missing = _complete(work, step)
        counts: dict[str, Any] = {"rows_affected": len(work.frame) if renamed else 0, "renamed": renamed}
        return counts | ({"missing_columns": missing} if missing else {})

    return apply


def _complete(work: Work, step: Step) -> list[str]:
    """Give the frame a column of nulls for each of the schema's fields that it does not have; their names."""
    there = {str(name) for name in work.frame.columns}
    missing = [name for name in step.schema.fields if name not in there]
    for name in missing:
        if len(work.frame) and name in step.schema.required():
            fix = nearest(name, there) or "there is " + ", ".join(sorted(map(escape, there))[:10])
            raise ColonyError(
                f"the required column '{escape(name)}' is not in the data",
                where=step.schema.fields[name].where,
                fix=fix,
                code=FAILED,
            )
    work.set({name: table.empty("any", work.frame.index) for name in missing})
    return missing


@transformation("rename", keys=("columns",))
def rename(step: Step) -> Apply:
    """`columns: {old: new}`; an old name may be written as the data has it or in snake_case."""
    wanted = step.need("columns")
    if not isinstance(wanted, dict) or not all(isinstance(new, str) and new for new in wanted.values()):
        raise step.error("'columns' of rename is {old name: new name}", "columns")

    def apply(work: Work) -> dict[str, Any]:
        there = [str(name) for name in work.frame.columns]
        if not there and not len(work.frame):
            return {"rows_affected": 0}  # nothing came, so there is nothing to rename
        names = dict(zip(there, there, strict=True))
        for old, new in wanted.items():
            found = (
                old
                if old in names
                else next((name for name in there if snake_case(name) == snake_case(str(old))), None)
            )
            if found is None and new in names:
                continue  # it has the name already
            if found is None:
                raise unknown("column", escape(old), there, where=step.place("columns"), code=USAGE)
            names[found] = new
        if len(set(names.values())) < len(names):
            twice = next(new for new in names.values() if list(names.values()).count(new) > 1)
            raise step.error(f"two columns would be named '{escape(twice)}'", "columns")
        renamed = {old: new for old, new in names.items() if new != old}
        work.frame = frames.picked(work.frame, {new: old for old, new in names.items()})
        return {"rows_affected": len(work.frame) if renamed else 0, "renamed": renamed}

    return apply


@transformation("drop_columns", keys=("columns",))
def drop_columns(step: Step) -> Apply:
    """`columns`: those that are left out."""
    names = step.names("columns")
    if not names:
        raise step.error("the transformation 'drop_columns' needs 'columns'")

    def apply(work: Work) -> dict[str, Any]:
        for name in names:
            step.column(work, name, "columns")
        work.frame = frames.picked(work.frame, {c: c for c in map(str, work.frame.columns) if c not in names})
        return {"rows_affected": len(work.frame), "columns": names}

    return apply


@transformation("select", keys=("columns",))
def select(step: Step) -> Apply:
    """`columns`: those that are kept, in this order."""
    names = step.names("columns")
    if not names:
        raise step.error("the transformation 'select' needs 'columns'")

    def apply(work: Work) -> dict[str, Any]:
        for name in names:
            step.column(work, name, "columns")
        work.frame = frames.picked(work.frame, dict(zip(names, names, strict=True)))
        return {"rows_affected": len(work.frame), "columns": names}

    return apply
