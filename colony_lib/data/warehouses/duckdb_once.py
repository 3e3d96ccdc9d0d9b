"""Rows into DuckDB in one pass over the file, where its validation has told of which kinds the values of columns are.

DuckDB reads a column's values as whatever type it is asked for, and would make a number of the text "12": so
`duckdb_rows` asks for the kind of every value first, which takes as long as reading them. The validation of the very
same bytes (their hash says so) has seen every value already, and is believed in that as in its PASS. Whatever does not
come out as it was told, or needs another look, is left to `duckdb_rows`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data.warehouses import NotAsTold, Staged
from colony_lib.data.warehouses.duckdb_rows import LINE_USUAL, counts, named, record_count, records, staged
from colony_lib.data.warehouses.duckdb_types import KINDS, TYPES, Kinds, reading, zoned
from colony_lib.data.warehouses.sqltext import literal, quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB


def stage(
    db: DuckDB,
    name: str,
    fd: int,
    declared: dict[str, str],
    found: dict[str, str],
    kinds: Kinds,
    where: str,
    *,
    only_appended: bool,
) -> Staged | None:
    """See Warehouse.stage. None, and nothing is said of why, when the file is not of those `kinds` in every record, or
    anything else is wrong with it."""
    rows, first = record_count(fd, where), _first(fd, where)
    if not rows or not first or list(first) != list(kinds):
        return None
    types = {key: _type(kinds[key], declared.get(key), found.get(key)) for key in named(list(first), where)}
    chosen = {key: kind for key, kind in types.items() if kind is not None}
    if len(chosen) < len(types):
        return None
    times = [key for key, kind in chosen.items() if kind == "datetime" and kinds[key]]
    with_offset = None
    if only_appended and all(isinstance(first[key], str) for key in times):
        table = f"colony_unread_{name}"
        with_offset = _look(db, table, fd, chosen, kinds, {key: first[key] for key in times})
    else:
        table = f"colony_rows_{name}"
        with_offset = _read(db, table, fd, chosen, kinds, times, rows)
    if with_offset is None:
        return None
    made = staged(table, rows, chosen, kinds, declared, found, with_offset, where)
    made.unread = table.startswith("colony_unread_")
    return made


def _source(read: dict[str, str], fd: int) -> str:
    """SQL of the records' values. Strictly: a record that has a key twice, or lacks one, ends it."""
    return f"SELECT unnest(json_transform_strict(line, {literal(jsontext.dumps(read))})) FROM {records(fd, LINE_USUAL)}"


def _look(
    db: DuckDB, table: str, fd: int, types: dict[str, str], kinds: Kinds, first: dict[str, str]
) -> set[str] | None:
    """Make a view of the rows, which fails where a value is not of its column's type, or a time has a UTC offset and
    the `first` of its column has none. Which of the times have."""
    read, wanted = reading(types, kinds)
    with_offset = {key for key, text in first.items() if db.one(f"SELECT {zoned(literal(text))}")}
    failed = "error('not as told')"
    shown = []
    for key, value in wanted.items():
        name = quote(key)
        if value != name:
            value = f"CASE WHEN {name} IS NOT NULL THEN coalesce({value}, {failed}) END"
        if key in first:
            value = f"CASE WHEN {'NOT ' * (key in with_offset)}{zoned(name)} THEN {failed} ELSE {value} END"
        shown.append(f"CAST({value} AS {TYPES[types[key]][1]}) AS {name}")
    try:
        db.run(f"CREATE OR REPLACE TEMP VIEW {quote(table)} AS SELECT {', '.join(shown)} FROM ({_source(read, fd)})")
    except ColonyError:
        return None
    return with_offset


def _read(
    db: DuckDB, table: str, fd: int, types: dict[str, str], kinds: Kinds, times: list[str], rows: int
) -> set[str] | None:
    """Make the table of the rows. Which of the times have a UTC offset; None: the rows are not as told."""
    read, wanted = reading(types, kinds)
    offsets = {key: f"colony_zoned_{place}" for place, key in enumerate(times)}
    if {column.lower() for column in offsets.values()} & {key.lower() for key in types}:
        return None
    shown = [f"{value} AS {quote(key)}" for key, value in wanted.items()]
    shown += [f"{zoned(quote(key))} AS {column}" for key, column in offsets.items()]
    try:
        db.run(f"CREATE OR REPLACE TEMP TABLE {quote(table)} AS SELECT {', '.join(shown)} FROM ({_source(read, fd)})")
    except ColonyError:
        return None
    there = counts(db, table, types)
    if db.count(table) != rows or any(there[key] != sum(kinds[key].values()) for key in types):
        return None
    with_offset = set()
    for key, column in offsets.items():
        some = db.one(f"SELECT count(*) FILTER ({column}) FROM {quote(table)}")
        if some not in (0, there[key]):
            return None
        if some:
            with_offset.add(key)
        db.run(f"ALTER TABLE {quote(table)} DROP COLUMN {column}")
    return with_offset


def append(db: DuckDB, table: str, staged: Staged) -> None:
    """See Warehouse.append, of rows that are still in the file. NotAsTold: it has others."""
    names = ", ".join(map(quote, staged.columns))
    try:
        done = db.change(f"INSERT INTO {quote(table)} ({names}) SELECT {names} FROM {quote(staged.table)}")
    except ColonyError:
        raise NotAsTold(staged.where) from None
    if done != staged.rows:
        raise NotAsTold(staged.where)


def take_in(db: DuckDB, staged: Staged) -> None:
    """Read rows that are still in the file, for who must look at them. NotAsTold: it has others."""
    table = staged.table + "_rows"
    try:
        db.run(f"CREATE OR REPLACE TEMP TABLE {quote(table)} AS FROM {quote(staged.table)}")
    except ColonyError:
        raise NotAsTold(staged.where) from None
    if db.count(table) != staged.rows:
        raise NotAsTold(staged.where)
    staged.table, staged.unread = table, False


def _first(fd: int, where: str) -> dict[str, Any]:
    """The first record; an empty one when it is long."""
    _, _, rest = os.pread(fd, LINE_USUAL, 0).partition(b"\n")
    line, ended, _ = rest.partition(b"\n")
    record = jsontext.loads(line.rstrip(b","), where=f"{where}:2") if ended else None
    return record if isinstance(record, dict) else {}


def _type(kinds: dict[str, int], declared: str | None, found: str | None) -> str | None:
    """The column's Table Schema type, as duckdb_rows finds it; None where it must look at the values for that, or
    refuse them."""
    if declared is not None:
        wanted = declared if declared in TYPES else "any"
        return wanted if kinds.keys() <= KINDS.get(wanted, frozenset()) else None
    if found in KINDS and kinds.keys() <= KINDS[found]:
        return found
    inferred = {"BIGINT": "integer", "DOUBLE": "number", "BOOLEAN": "boolean"}
    return "string" if not kinds else inferred.get(next(iter(kinds)))
