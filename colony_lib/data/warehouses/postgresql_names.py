"""Names that PostgreSQL takes for others than are meant: it cuts them to 63 bytes, and tells them apart by case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape

_LONGEST = 63  # bytes; what is longer is cut without an error


def check_table(table: str, tables: Iterable[str]) -> None:
    """ColonyError (FAILED) when a table that is not there yet would stand beside one whose name differs in case."""
    other = next((name for name in tables if name.lower() == table.lower()), None)
    if other is not None:
        raise ColonyError(
            f"there is a table '{escape(other)}', which to PostgreSQL is another than '{escape(table)}'",
            fix=f"name it so in pipeline.yml, or make a table '{escape(table)}' yourself if both are wanted",
            code=FAILED,
        )


def check_columns(table: str, columns: Iterable[str], there: Mapping[str, str], where: str) -> None:
    """ColonyError (FAILED) for a column of the rows whose name is too long, or is the table's in another case."""
    known = {name.lower(): name for name in there}
    for column in columns:
        size = len(column.encode())
        if size > _LONGEST:
            what = (
                f"the name of the column '{escape(column)}' has {size} bytes, and PostgreSQL cuts it after {_LONGEST}"
            )
            raise ColonyError(what, where=where, fix="rename it in the transformation", code=FAILED)
        other = known.get(column.lower(), column)
        if other != column and column not in there:
            what = f"the column '{escape(column)}' is called '{escape(other)}' in table '{escape(table)}'"
            fix = "rename it in the transformation or in the table: PostgreSQL tells them apart"
            raise ColonyError(what, where=where, fix=fix, code=FAILED)
