"""Pieces of SQL, and of refusals, that every warehouse uses."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape

EXACT = 2**53  # the integers a double holds exactly


def quote(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def bare(sql: str) -> str:
    """The query without the semicolon at its end."""
    return sql.strip().rstrip(";").rstrip()


def same_key(key: list[str]) -> str:
    """That rows of `t` and `s` have the same key."""
    return " AND ".join(f"t.{quote(column)} = s.{quote(column)}" for column in key)


def check_lost(table: str, there: dict[str, str], columns: dict[str, str], where: str) -> None:
    """ColonyError when the table has columns that the rows have not."""
    names = {column.lower() for column in columns}
    lost = [column for column in there if column.lower() not in names]
    if lost:
        raise ColonyError(
            f"table '{table}' has {'columns' if len(lost) > 1 else 'column'} "
            + ", ".join(f"'{escape(column)}'" for column in lost)
            + ", the file has not",
            where=where,
            fix="was it renamed? bring it back in the transformation, or drop it from the table",
            code=FAILED,
        )


def check_own(table: str, there: dict[str, str], own: dict[str, str], where: str) -> dict[str, str]:
    """The table's columns without those that its mode gives it. ColonyError when it has not those."""
    missing = [name for name in own if name not in there]
    if missing:
        raise ColonyError(
            f"table '{table}' has no column '{missing[0]}': it was not loaded in this mode before",
            where=where,
            fix="load into another table, or add the column",
            code=FAILED,
        )
    return {name: kind for name, kind in there.items() if name not in own}


def check_free(columns: dict[str, str], own: dict[str, str], where: str) -> None:
    """ColonyError when the rows themselves have a column that the mode gives the table."""
    taken = next((name for name in columns if name.lower() in own), None)
    if taken is not None:
        raise ColonyError(
            f"the column '{escape(taken)}' is the mode's own",
            where=where,
            fix="rename it in the transformation",
            code=FAILED,
        )


def check_not_frozen(frozen: bool, table: str, column: str, where: str) -> None:
    """ColonyError when the table is to stay as it is and lacks the column."""
    if frozen:
        raise ColonyError(
            f"the column '{escape(column)}' is new, and table '{table}' is frozen",
            where=where,
            fix="take it out in the transformation, or into the table by 'schema_policy: evolve'",
            code=FAILED,
        )


def another_type(table: str, column: str, old: str, new: str, where: str) -> ColonyError:
    """The refusal of a column whose type has changed."""
    return ColonyError(
        f"column '{escape(column)}' of table '{table}' is {old}, in the file it is {new}",
        where=where,
        fix="bring the type back in the transformation, or load into another table",
        code=FAILED,
    )
