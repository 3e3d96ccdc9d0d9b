"""What an upsert comes to, found by one join in DuckDB: which staged rows are new, which differ from the table's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.sqltext import quote, same_key

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB

STATE = "colony_state"  # (given, place, differs) of each staged row: its rowid, where the table has it (NULL: nowhere)


def compare(db: DuckDB, there: str, place: str, staged: Staged, key: list[str]) -> tuple[int, int, int] | None:
    """(staged rows whose key is new, those that differ, rows of the table with such keys), and STATE is made.

    `there` is the table and `place` its column that says where a row lies, in SQL. None when the table has a key
    twice.
    """
    rest = [column for column in staged.columns if column not in key]
    differs = " OR ".join(f"t.{quote(column)} IS DISTINCT FROM s.{quote(column)}" for column in rest) or "false"
    db.run(
        f"CREATE OR REPLACE TEMP TABLE {STATE} AS SELECT s.rowid AS given, t.{place} AS place, {differs} AS differs "
        f"FROM {quote(staged.table)} AS s LEFT JOIN {there} AS t ON {same_key(key)}"
    )
    total, matching, differing = db.rows(
        f"SELECT count(*), count(place), count(*) FILTER (differs AND place IS NOT NULL) FROM {STATE}"
    )[0]
    return (total - matching, differing, matching) if total == staged.rows else None


def fresh(staged: Staged) -> str:
    """SQL of the staged rows that the table lacks, after `compare`."""
    return f"(FROM {quote(staged.table)} WHERE rowid IN (SELECT given FROM {STATE} WHERE place IS NULL))"


def differing(staged: Staged, columns: list[str], place: str) -> str:
    """SQL of those columns of the staged rows that differ, after `compare`; first where the table has them, as
    `place`."""
    names = ", ".join([f"w.place AS {place}", *(f"s.{quote(name)}" for name in columns)])
    joined = f"{quote(staged.table)} AS s JOIN {STATE} AS w ON w.given = s.rowid"
    return f"(SELECT {names} FROM {joined} WHERE w.differs AND w.place IS NOT NULL)"


def upsert(db: DuckDB, table: str, staged: Staged, key: list[str]) -> tuple[int, int, int] | None:
    """(rows inserted, rows changed, rows of the table that have a key of the staged ones); None, and nothing is done,
    when the table has a key twice."""
    compared = compare(db, quote(table), "rowid", staged, key)
    if compared is None:
        return None
    new, changed, matching = compared
    updated = inserted = 0
    if changed:
        rest = [column for column in staged.columns if column not in key]
        changes = ", ".join(f"{quote(column)} = w.{quote(column)}" for column in rest)
        updated = db.change(
            f"UPDATE {quote(table)} AS t SET {changes} FROM {differing(staged, rest, 'colony_place')} AS w "
            "WHERE t.rowid = w.colony_place"
        )
        if updated != changed:
            what = f"{updated:,} of {changed:,} rows of table '{table}' were changed"
            raise ColonyError(what, where=staged.where, fix="nothing was loaded", code=FAILED)
    if new:
        names = ", ".join(map(quote, staged.columns))
        inserted = db.change(f"INSERT INTO {quote(table)} ({names}) SELECT {names} FROM {fresh(staged)}")
    db.run(f"DROP TABLE {STATE}")
    return inserted, updated, matching + inserted  # not `new`: the loader adds up what was really done
