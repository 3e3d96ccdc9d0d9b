"""Rows into DuckDB in one pass over the file, where its validation has told of which kinds the values of columns are.

DuckDB reads a column's values as whatever type it is asked for, and would make a number of the text "12": so
`duckdb_rows` asks for the kind of every value first, which takes as long as reading them. The validation of the very
same bytes (their hash says so) has seen every value already, and is believed in that as in its PASS. Whatever does not
come out as it was told, or needs another look, is left to `duckdb_rows`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.duckdb_rows import LINE_USUAL, counts, named, record_count, records, staged
from colony_lib.data.warehouses.duckdb_types import KINDS, TYPES, Kinds, reading, zoned
from colony_lib.data.warehouses.sqltext import literal, quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB


def stage(
    db: DuckDB, name: str, fd: int, declared: dict[str, str], found: dict[str, str], kinds: Kinds, where: str
) -> Staged | None:
    """See Warehouse.stage. None, and nothing is said of why, when the file is not of those `kinds` in every record, or
    anything else is wrong with it."""
    rows, keys = record_count(fd, where), _first_keys(fd, where)
    if not rows or not keys or keys != list(kinds):
        return None
    types = {key: _type(kinds[key], declared.get(key), found.get(key)) for key in named(keys, where)}
    chosen = {key: kind for key, kind in types.items() if kind is not None}
    if len(chosen) < len(types):
        return None
    table, times = f"colony_rows_{name}", [key for key, kind in chosen.items() if kind == "datetime"]
    read, wanted = reading(chosen, kinds)
    offsets = {key: f"colony_zoned_{place}" for place, key in enumerate(times)}
    if {column.lower() for column in offsets.values()} & {key.lower() for key in keys}:
        return None
    shown = ", ".join(
        [f"{value} AS {quote(key)}" for key, value in wanted.items()]
        + [f"{zoned(quote(key))} AS {column}" for key, column in offsets.items()]
    )
    # Strictly: a record that has a key twice, or lacks one, ends it.
    source = (
        f"SELECT unnest(json_transform_strict(line, {literal(jsontext.dumps(read))})) FROM {records(fd, LINE_USUAL)}"
    )
    try:
        db.run(f"CREATE OR REPLACE TEMP TABLE {quote(table)} AS SELECT {shown} FROM ({source})")
    except ColonyError:
        return None
    there = counts(db, table, keys)
    if db.count(table) != rows or any(there[key] != sum(kinds[key].values()) for key in keys):
        return None
    with_offset = set()
    for key, column in offsets.items():
        some = db.one(f"SELECT count(*) FILTER ({column}) FROM {quote(table)}")
        if some not in (0, there[key]):
            return None
        if some:
            with_offset.add(key)
        db.run(f"ALTER TABLE {quote(table)} DROP COLUMN {column}")
    return staged(table, rows, chosen, kinds, declared, found, with_offset, where)


def _first_keys(fd: int, where: str) -> list[str]:
    """The keys of the first record; none when it is a long one."""
    _, _, rest = os.pread(fd, LINE_USUAL, 0).partition(b"\n")
    line, ended, _ = rest.partition(b"\n")
    record = jsontext.loads(line.rstrip(b","), where=f"{where}:2") if ended else None
    return list(record) if isinstance(record, dict) else []


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
