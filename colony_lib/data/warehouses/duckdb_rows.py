"""Rows into DuckDB: reads an envelope by DuckDB itself, finds each column's type and checks every value.

The envelope has one record on a line, so the lines are read as text in bounded memory and parsed in SQL.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.duckdb_types import (
    DATE,
    KINDS,
    MOMENT,
    NUMBERS,
    TYPES,
    WHOLE,
    WORDS,
    Kinds,
    expression,
    pointer,
    quick,
    reading,
    text_of,
    zoned,
)
from colony_lib.data.warehouses.sqltext import literal, quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB

LINE_LIMIT = 64 * 1024 * 1024  # bytes of one record
LINE_USUAL = 1024 * 1024
_FIELD_MARK = "\x01"  # JSON cannot hold it unescaped, so no line is ever split at it


def stage(db: DuckDB, name: str, fd: int, declared: dict[str, str], found: dict[str, str], where: str) -> Staged:
    """See Warehouse.stage."""
    lines, table = f"colony_lines_{name}", f"colony_rows_{name}"
    rows = _read_lines(db, lines, fd, where)
    if not rows:
        return Staged(table, {}, 0, set(), set(), set(), set(), where)
    keys, kinds = _alike(db, lines, where) or _unlike(db, lines, where)
    types = {key: _type(db, lines, key, kinds[key], declared.get(key), found.get(key), where) for key in keys}
    _transform(db, lines, table, types, kinds)
    _check_values(db, lines, table, keys, types, kinds, where)
    with_offset = {key for key in keys if types[key] == "datetime" and kinds[key] and _is_zoned(db, lines, key, where)}
    db.run(f"DROP TABLE {quote(lines)}")
    return staged(table, rows, types, kinds, declared, found, with_offset, where)


def staged(
    table: str,
    rows: int,
    types: dict[str, str],
    kinds: Kinds,
    declared: dict[str, str],
    found: dict[str, str],
    with_offset: set[str],
    where: str,
) -> Staged:
    """What is to be known of the table of the rows, which is made."""
    columns = {key: TYPES[kind][1] for key, kind in types.items()}
    empty = {key for key in types if not kinds[key]}
    guessed = {key for key in empty if key not in declared and found.get(key) not in KINDS}
    return Staged(table, columns, rows, {key for key in types if key in declared}, empty, guessed, with_offset, where)


def _transform(db: DuckDB, lines: str, table: str, types: dict[str, str], kinds: Kinds) -> None:
    """Make the table of the rows."""
    exact: set[str] = set()
    while True:
        read, wanted = reading(types, kinds, exact)
        source = f"SELECT unnest(json_transform(line, {literal(jsontext.dumps(read))})) FROM {quote(lines)}"
        shown = ", ".join(f"{value} AS {quote(key)}" for key, value in wanted.items())
        db.run(f"CREATE OR REPLACE TEMP TABLE {quote(table)} AS SELECT {shown} FROM ({source})")
        found = counts(db, table, quick(types) - exact)
        exact = {key for key, count in found.items() if count != sum(kinds[key].values())}
        if not exact:
            return


def counts(db: DuckDB, table: str, keys: Collection[str]) -> dict[str, int]:
    """How many values each of the columns has."""
    if not keys:
        return {}
    found = db.rows(f"SELECT {', '.join(f'count({quote(key)})' for key in keys)} FROM {quote(table)}")[0]
    return dict(zip(keys, found, strict=True))


def record_count(fd: int, where: str) -> int:
    """How many records the file's head says there are. ColonyError (FAILED): its head or its end is not there."""
    size = os.fstat(fd).st_size
    head, end = os.pread(fd, 1 << 20, 0).partition(b"\n")[0], os.pread(fd, 16, max(size - 16, 0))
    if not head.endswith(b'"data":[') or not end.rstrip().endswith(b"]}"):
        raise ColonyError("the file is not whole", where=where, fix="run 'colony transform' again", code=FAILED)
    said: int = jsontext.loads(head + b"]}", where=where).get("record_count")
    return said


def records(fd: int, limit: int) -> str:
    """SQL of the file's records, each as the text of its `line`, none longer than `limit` bytes."""
    # By descriptor, not by name: it is this very file that was checked, whatever has taken its name since, and
    # no character of a path is taken for a pattern.
    return (
        f"(SELECT regexp_replace(line, ',$', '') AS line FROM read_csv('/dev/fd/{fd}', columns={{'line': 'VARCHAR'}}, "
        f"delim='{_FIELD_MARK}', quote='', escape='', comment='', header=false, auto_detect=false, new_line='\\n', "
        f"max_line_size={min(os.fstat(fd).st_size + 1, limit)}) "
        "WHERE starts_with(line, '{') AND NOT ends_with(line, '['))"
    )


def _read_lines(db: DuckDB, lines: str, fd: int, where: str) -> int:
    said, size = record_count(fd, where), os.fstat(fd).st_size
    # A file is read by several threads at once only when its lines must be short. Where one is not, or anything else
    # is wrong, it is read again by one, which then says what.
    for limit in (LINE_USUAL, LINE_LIMIT):
        try:
            db.run(
                f"CREATE OR REPLACE TEMP TABLE {quote(lines)} AS FROM {records(fd, limit)}",
                doing=f"cannot read '{where}'",
            )
            break
        except ColonyError:
            if limit == LINE_LIMIT or size < limit:
                raise
    rows: int = db.one(f"SELECT count(*) FROM {quote(lines)}")
    if rows != said:
        raise ColonyError(
            f"the file is not whole: its head says {said} records, it holds {rows:,}",
            where=where,
            fix="run 'colony transform' again",
            code=FAILED,
        )
    return rows


def _alike(db: DuckDB, lines: str, where: str) -> tuple[list[str], Kinds] | None:
    """The columns and their kinds in one pass; None unless every record has the keys of the first, each once."""
    doing = f"cannot read '{where}'"
    [(keys,)] = db.rows(f"SELECT json_keys(line) FROM {quote(lines)} LIMIT 1", doing=doing)
    if not keys or len(set(keys)) < len(keys):
        return None
    pointers = ", ".join(pointer(key) for key in keys)
    # A key that is missing has no kind, and leaves no word in the text.
    found = db.rows(
        f"SELECT array_to_string(json_type(line, [{pointers}]), ' '), len(json_keys(line)), count(*) "
        f"FROM {quote(lines)} GROUP BY 1, 2",
        doing=doing,
    )
    kinds: Kinds = {key: {} for key in keys}
    for text, number, count in found:
        words = text.split(" ") if text else []
        if not number == len(words) == len(keys):
            return None
        for key, kind in zip(keys, words, strict=True):
            if kind != "NULL":
                kinds[key][kind] = kinds[key].get(kind, 0) + count
    return named(keys, where), kinds


def _unlike(db: DuckDB, lines: str, where: str) -> tuple[list[str], Kinds]:
    keys = _keys(db, lines, where)
    return keys, _kinds(db, lines, keys)


def _keys(db: DuckDB, lines: str, where: str) -> list[str]:
    """The columns of the file, as the first record orders them; refused: names that cannot be a table's."""
    found: dict[str, None] = {}
    doing = f"cannot read '{where}'"
    first = db.rows(f"SELECT json_keys(line) FROM {quote(lines)} LIMIT 1", doing=doing)
    for (keys,) in first + sorted(db.rows(f"SELECT DISTINCT json_keys(line) FROM {quote(lines)}", doing=doing)):
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ColonyError(f"a record has '{escape(twice)}' twice", where=where, code=FAILED)
        found.update(dict.fromkeys(keys))
    return named([*found], where)


def named(keys: list[str], where: str) -> list[str]:
    """The keys; refused: names that cannot be a table's."""
    folded: dict[str, str] = {}
    for key in keys:
        if not key or "\x00" in key:
            raise ColonyError(f"'{escape(key)}' cannot be the name of a column", where=where, code=FAILED)
        other = folded.setdefault(key.lower(), key)
        if other != key:
            raise ColonyError(
                f"columns '{escape(other)}' and '{escape(key)}' differ in case only, which a table's cannot",
                where=where,
                code=FAILED,
            )
    if not keys:
        raise ColonyError("the records have no columns", where=where, code=FAILED)
    return keys


def _kinds(db: DuckDB, lines: str, keys: list[str]) -> Kinds:
    pointers = ", ".join(pointer(key) for key in keys)
    found = db.rows(
        f"SELECT place, kind, sum(n) FROM (SELECT unnest(range(len(kinds))) AS place, unnest(kinds) AS kind, n FROM "
        f"(SELECT json_type(line, [{pointers}]) AS kinds, count(*) AS n FROM {quote(lines)} GROUP BY 1)) "
        "WHERE kind IS NOT NULL AND kind <> 'NULL' GROUP BY ALL"
    )
    kinds: Kinds = {key: {} for key in keys}
    for place, kind, number in found:
        kinds[keys[place]][kind] = int(number)
    return kinds


def _type(
    db: DuckDB, lines: str, key: str, kinds: dict[str, int], declared: str | None, found: str | None, where: str
) -> str:
    """The Table Schema type of a column: the declared one, else what the transformer found if the values have it,
    else what the values have."""
    if declared is not None:
        wanted = declared if declared in TYPES else "any"
        wrong = [kind for kind in kinds if kind not in KINDS.get(wanted, {kind})]
        if wrong:
            raise _misfit(db, lines, key, wanted, wrong, kinds, where)
        return wanted
    if found in KINDS and set(kinds) <= KINDS[found]:
        return found
    return _inferred(db, lines, key, kinds, where)


def _inferred(db: DuckDB, lines: str, key: str, kinds: dict[str, int], where: str) -> str:
    """The type that every value of an undeclared column has."""
    found = set(kinds)
    if found <= WHOLE and found:
        return "integer"
    if found and found <= NUMBERS:
        return "number"
    if found == {"BOOLEAN"}:
        return "boolean"
    if found and found <= {"OBJECT", "ARRAY"}:
        return "object" if found == {"OBJECT"} else "any"
    if found == {"VARCHAR"}:
        value = text_of(key)
        dates, moments = db.rows(
            f"SELECT count(*) FILTER (regexp_full_match({value}, {literal(DATE)})), "
            f"count(*) FILTER (regexp_full_match({value}, {literal(MOMENT)})) FROM {quote(lines)}"
        )[0]
        return "date" if dates == kinds["VARCHAR"] else "datetime" if moments == kinds["VARCHAR"] else "string"
    if not found:
        return "string"
    words = " and ".join(sorted({WORDS[kind] for kind in found}))
    raise ColonyError(
        f"column '{escape(key)}' holds {words}",
        where=where,
        fix="declare its type in the dataset's schema",
        code=FAILED,
    )


def _misfit(
    db: DuckDB, lines: str, key: str, wanted: str, wrong: list[str], kinds: dict[str, int], where: str
) -> ColonyError:
    number = sum(kinds[kind] for kind in wrong)
    place = pointer(key)
    among = ", ".join(map(literal, wrong))
    condition = f"json_type(line, {place}) IN ({among})"
    return _refusal(db, lines, key, wanted, condition, number, where)


def _refusal(db: DuckDB, lines: str, key: str, wanted: str, condition: str, number: int, where: str) -> ColonyError:
    """The error for values that are not of the column's type, with the first one and its line in the file."""
    place = pointer(key)
    row, value = db.rows(
        f"SELECT rowid, json_extract(line, {place}) FROM {quote(lines)} WHERE {condition} ORDER BY rowid LIMIT 1"
    )[0]
    return ColonyError(
        f"{plural(number, 'value')} of column '{escape(key)}' {'is' if number == 1 else 'are'} no {wanted}"
        f"{', such as' if number > 1 else ':'} {escape(value)[:80]}",
        where=f"{where}:{row + 2}",
        fix="run 'colony validate-data' on it",
        code=FAILED,
    )


def _check_values(
    db: DuckDB,
    lines: str,
    table: str,
    keys: list[str],
    types: dict[str, str],
    kinds: Kinds,
    where: str,
) -> None:
    for key, count in counts(db, table, keys).items():
        given = sum(kinds[key].values())
        if count != given:
            text = text_of(key)
            value = f"try_cast({text} AS DOUBLE)" if types[key] == "number" else text
            condition = f"{text} IS NOT NULL AND ({expression(types[key], value)}) IS NULL"
            raise _refusal(db, lines, key, types[key], condition, given - count, where)


def _is_zoned(db: DuckDB, lines: str, key: str, where: str) -> bool:
    """Whether the times carry a UTC offset: those that do are kept in UTC, others as they are. Both in one column mean
    two things, and are refused."""
    with_offset, plain = db.rows(
        f"SELECT count(*) FILTER (zoned), count(*) FILTER (NOT zoned) "
        f"FROM (SELECT {zoned(text_of(key))} AS zoned FROM {quote(lines)})"
    )[0]
    if with_offset and plain:
        raise ColonyError(
            f"column '{escape(key)}' has {plural(with_offset, 'time')} with a UTC offset and {plain:,} without",
            where=where,
            fix="make them all the one or the other in the transformation",
            code=FAILED,
        )
    return bool(with_offset)
