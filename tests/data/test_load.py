"""Loading: rows, counts, receipts and refusals, against a real DuckDB file that is looked into from outside."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.data import load as loader
from colony_lib.data import pipeline as pipelines
from colony_lib.data.warehouses import duckdb as duckdb_warehouse
from colony_lib.data.warehouses import duckdb_keys
from tests.data.loading import DATE, day, query, transformed, validated, write_pipeline

T = {"t": {"load": {"table": "t", "mode": "upsert", "key": "k"}}}
ROWS = [{"k": 1, "a": "x"}, {"k": 2, "a": None}, {"k": 3, "a": "z"}]


def load(date: str = DATE, names: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    return loader.load(pipelines.load(), date, list(names), **options)[0]


def refused(code: int = FAILED, **options: Any) -> str:
    with pytest.raises(ColonyError) as caught:
        load(**options)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def counts(summary: dict[str, Any], table: str = "t") -> list[int]:
    """[before, after, inserted, updated, unchanged, deleted]"""
    keys = ("rows_before", "rows_after", "inserted", "updated", "unchanged", "deleted")
    return [summary["tables"][table][key] for key in keys]


@pytest.fixture
def t(folder: Path) -> Callable[..., Path]:
    """`t(rows)`: a validated day of the dataset `t`, which is upserted on `k`."""
    write_pipeline(folder, T)

    def write(rows: list[Any], date: str = DATE, **more: Any) -> Path:
        return day(folder, "t", rows, date, **more)

    return write


# --- what arrives


def test_what_was_loaded_is_what_the_file_says(folder: Path) -> None:
    fields = {
        "id": "integer", "name": "string", "delay": "number", "ok": "boolean", "day": "date", "at": "time",
        "hour": "datetime", "local": "datetime", "born": "year", "tags": "array", "more": "object",
    }  # fmt: skip
    schema = {"fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    write_pipeline(folder, {"t": {"schema": schema, "load": {"table": "t"}}})
    row = {
        "id": 9223372036854775807, "name": "Zoë \"q\" \\ \u2028 \U0001f6eb", "delay": 0.1, "ok": True, "day": "2013-02-08",
        "at": "05:17:00", "hour": "2013-02-08T05:00:00-05:00", "local": "2013-02-08T05:00:00", "born": 1998,
        "tags": [1, "two", None], "more": {"a": {"b": 1.50}},
    }  # fmt: skip
    other = {**dict.fromkeys(row), "id": -9007199254740993, "delay": 12, "name": ""}
    day(folder, "t", [row, other])
    assert load()["tables"]["t"]["inserted"] == 2
    types = query(
        folder, "select data_type from information_schema.columns where table_name = 't' order by ordinal_position"
    )
    assert [kind for (kind,) in types] == [
        "BIGINT", "VARCHAR", "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP", "BIGINT", "JSON", "JSON",
    ]  # fmt: skip
    first, second = query(folder, "select * from t")
    assert first[:9] == (
        9223372036854775807,
        row["name"],
        0.1,
        True,
        datetime.date(2013, 2, 8),
        datetime.time(5, 17),
        datetime.datetime(2013, 2, 8, 10),  # in UTC, for it came with an offset
        datetime.datetime(2013, 2, 8, 5),
        1998,
    )
    assert (json.loads(first[9]), json.loads(first[10])) == (row["tags"], row["more"])
    assert second == (-9007199254740993, "", 12.0, *[None] * 8)


def test_whole_numbers_are_exact_however_they_are_written(folder: Path) -> None:
    fields = [{"name": name, "type": "integer"} for name in ("k", "mixed", "large", "half")]
    write_pipeline(folder, {"t": {"schema": {"fields": fields}, "load": {"table": "t"}}})
    rows = [
        {"k": 1, "mixed": 9007199254740993, "large": 9223372036854775807, "half": 1.0},
        {"k": 2, "mixed": 517.0, "large": -9223372036854775808, "half": 2},
        {"k": 3, "mixed": 1e3, "large": None, "half": -0.0},
    ]
    day(folder, "t", rows)
    load()
    assert query(folder, "select * from t order by k") == [tuple(row.values()) for row in rows]
    day(folder, "t", [*rows, {**rows[0], "half": 1.5}], "2013-02-09")
    assert "1 value of column 'half' is no integer: 1.5 at staging/transformed/t_2013-02-09.json:5" in refused(
        date="2013-02-09"
    )
    day(folder, "t", [*rows, {**rows[0], "large": 9223372036854775808}], "2013-02-09")
    assert "1 value of column 'large' is no integer: 9223372036854775808" in refused(date="2013-02-09")


def test_a_record_may_be_longer_than_most(folder: Path, t: Callable[..., Path]) -> None:
    long = "Zoë, " * 600_000  # three times what a line usually may have
    t([{"k": 1, "a": "x"}, {"k": 2, "a": long}, {"k": 3, "a": "z"}])
    assert counts(load()) == [0, 3, 3, 0, 0, 0]
    assert query(folder, "select a from t order by k") == [("x",), (long,), ("z",)]


def test_records_whose_keys_differ_are_read_by_their_names(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "a": "x"}, {"a": "y", "k": 2}, {"k": 3, "b": 1}, {"k": 4, "a": None}])
    load()
    assert query(folder, "select k, a, b from t order by k") == [
        (1, "x", None), (2, "y", None), (3, None, 1), (4, None, None),
    ]  # fmt: skip


def test_columns_that_nobody_declared_get_the_type_that_their_values_have(folder: Path, t: Callable[..., Path]) -> None:
    t(
        [
            {
                "k": 1,
                "n": 1.5,
                "b": False,
                "d": "2013-02-08",
                "m": "2013-02-08T01:00:00Z",
                "s": "2013-02-08 or so",
                "o": {},
            }
        ]
    )
    load()
    found = query(folder, "select column_name, data_type from information_schema.columns where table_name = 't'")
    assert dict(found) == {
        "k": "BIGINT", "n": "DOUBLE", "b": "BOOLEAN", "d": "DATE", "m": "TIMESTAMP", "s": "VARCHAR", "o": "JSON",
    }  # fmt: skip


def test_a_column_without_values_has_the_type_that_the_transformer_knows(folder: Path, t: Callable[..., Path]) -> None:
    # A day without weather must not make a text column of the temperature.
    t([{"k": 1, "temp": None, "note": "2013-02-08"}], columns={"k": "integer", "temp": "number", "note": "string"})
    assert load()["notes"] == ["made table 't' with 3 columns"]
    found = query(folder, "select column_name, data_type from information_schema.columns where table_name = 't'")
    assert dict(found) == {"k": "BIGINT", "temp": "DOUBLE", "note": "VARCHAR"}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("integer", 1.5, "1 value of column 'v' is no integer: 1.5"),
        ("integer", "12", "1 value of column 'v' is no integer: \"12\""),
        ("integer", 9223372036854775808, "no integer: 9223372036854775808"),
        ("integer", 1e300, "no integer: 1e300"),
        ("integer", True, "no integer: true"),
        ("number", "1", 'no number: "1"'),
        ("boolean", 1, "no boolean: 1"),
        ("string", 5, "no string: 5"),
        ("date", "2013-02-30", 'no date: "2013-02-30"'),
        ("date", "2013-02-08T00:00:00Z", "no date:"),
        ("date", "infinity", "no date:"),
        ("time", "25:00:00", 'no time: "25:00:00"'),
        ("datetime", "yesterday", 'no datetime: "yesterday"'),
        ("datetime", "2013-02-08T24:61:00Z", "no datetime:"),
        ("object", [1], "no object: [1]"),
        ("string", "\ud800", "cannot read 'staging/transformed/t_2013-02-08.json'"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused_with_its_line(
    folder: Path, kind: str, value: Any, said: str
) -> None:
    schema = {"fields": [{"name": "k", "type": "integer"}, {"name": "v", "type": kind}]}
    write_pipeline(folder, {"t": {"schema": schema, "load": {"table": "t"}}})
    day(folder, "t", [{"k": 1, "v": None}, {"k": 2, "v": value}])
    text = refused()
    assert said in text
    if "cannot read" not in text:
        assert "at staging/transformed/t_2013-02-08.json:3;" in text
    assert not (folder / "w.duckdb").exists()


def test_a_whole_number_written_with_a_fraction_of_zero_is_an_integer(folder: Path) -> None:
    schema = {"fields": [{"name": "k", "type": "integer"}]}
    write_pipeline(folder, {"t": {"schema": schema, "load": {"table": "t"}}})
    day(folder, "t", [{"k": 517.0}, {"k": -0.0}, {"k": 2}])
    load()
    assert query(folder, "select k from t order by k") == [(0,), (2,), (517,)]


def test_numbers_too_large_for_any_column_are_refused(folder: Path, t: Callable[..., Path]) -> None:
    path = t([{"k": 1, "n": 1.5}])
    path.write_text(path.read_text().replace("1.5", "1e999"))
    validated(folder, "t")
    assert "column 'n' is no number" in refused()


def test_times_with_and_without_an_offset_in_one_column_are_refused(t: Callable[..., Path]) -> None:
    t([{"k": 1, "m": "2013-02-08T01:00:00Z"}, {"k": 2, "m": "2013-02-08T01:00:00"}])
    assert "column 'm' has 1 time with a UTC offset and 1 without" in refused()


def test_a_column_of_text_and_numbers_is_refused_until_its_type_is_declared(t: Callable[..., Path]) -> None:
    t([{"k": 1, "m": "one"}, {"k": 2, "m": 2}])
    assert "column 'm' holds text and whole numbers" in refused()


def test_odd_names_of_columns_tables_and_folders_are_only_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a*b[c] 'd'; --\"{}"
    root.mkdir()
    monkeypatch.chdir(root)
    write_pipeline(root, {"select": {"load": {"table": "order", "mode": "upsert", "key": ['k";']}}})
    columns = ['k";', "drop table x; --", "a.b/c~d", "select", " ", "ümlaut", "'", "{}"]
    row = {name: f"{name} {number}" for number, name in enumerate(columns)}
    day(root, "select", [row])
    assert counts(load(), "order") == [0, 1, 1, 0, 0, 0]
    assert query(root, 'select * from "order"') == [tuple(row.values())]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"k":1,"K":2}', "columns 'k' and 'K' differ in case only"),
        ('{"k":1,"k":2}', "a record has 'k' twice"),
        ('{"k":1,"":2}', "'' cannot be the name of a column"),
        ('{"k":1', "cannot read 'staging/transformed/t_2013-02-08.json'"),
        ("[1]", "the file is not whole: its head says 1 records, it holds 0"),
        ('{"k":1},{"k":2}', "cannot read"),
        ("{}", "the records have no columns"),
    ],
)
def test_records_that_are_no_rows_are_refused(folder: Path, t: Callable[..., Path], row: str, said: str) -> None:
    path = t([{"k": 1}])
    path.write_text(path.read_text().replace('{"k":1}', row))
    report = json.loads(validated(folder, "t", record_count=1).read_text()) if row != '{"k":1' else None
    if report is None:  # not JSON at all, so written by hand
        import hashlib

        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / "reports/validation_t_2013-02-08.json").write_text(
            json.dumps({"status": "PASS", "file_sha256": digest})
        )
    assert said in refused()
    assert not (folder / "w.duckdb").exists()


@pytest.mark.parametrize("keep", [10, 200, -1, -3, -8])
def test_a_file_cut_short_is_refused(folder: Path, t: Callable[..., Path], keep: int) -> None:
    path = t(ROWS)
    path.write_bytes(path.read_bytes()[:keep])
    text = refused(unchecked=True) if keep != -1 else str(load(unchecked=True)["tables"]["t"]["inserted"])
    assert "not whole" in text or "not as the transformer writes it" in text or text == "3"


# --- upsert


def test_an_upsert_counts_what_is_new_changed_and_the_same(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    first = load()
    assert (first["status"], first["record_count"], counts(first)) == ("loaded", 3, [0, 3, 3, 0, 0, 0])
    t([{"k": 2, "a": "now"}, {"k": 3, "a": "z"}, {"k": 4, "a": None}], "2013-02-09")
    assert counts(load("2013-02-09")) == [3, 4, 1, 1, 1, 0]
    assert query(folder, "select k, a from t order by k") == [(1, "x"), (2, "now"), (3, "z"), (4, None)]


def test_a_key_of_several_columns_and_a_row_of_nothing_but_its_key(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "upsert", "key": ["a", "b"]}}})
    day(folder, "t", [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}])
    assert counts(load()) == [0, 2, 2, 0, 0, 0]
    day(folder, "t", [{"a": 1, "b": "y"}, {"a": 2, "b": "y"}], "2013-02-09")
    assert counts(load("2013-02-09")) == [2, 3, 1, 0, 1, 0]


def test_a_value_taken_back_to_null_is_a_change(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    load()
    t([{"k": 1, "a": None}, {"k": 2, "a": None}], "2013-02-09")
    assert counts(load("2013-02-09")) == [3, 3, 0, 1, 1, 0]


def test_a_row_without_a_key_stops_the_load_before_anything_is_written(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "a": "x"}, {"k": None, "a": "y"}, {"k": None, "a": "z"}])
    assert refused() == (
        "2 rows without a value in the key column 'k' at staging/transformed/t_2013-02-08.json:3; "
        "fill, drop or reject them in the transformation"
    )
    assert not (folder / "w.duckdb").exists()


def test_a_key_that_comes_twice_stops_the_load_before_anything_is_written(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "a": "x"}, {"k": 7, "a": "y"}, {"k": 7, "a": "z"}])
    text = refused()
    assert text.startswith(
        "1 key more than once in the file, such as k=7 (2 times) at staging/transformed/t_2013-02-08.json;"
    )
    assert not (folder / "w.duckdb").exists()


@pytest.mark.parametrize("twice", [False, True])
def test_keys_of_many_rows_are_told_apart_by_their_hashes(
    folder: Path, t: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    monkeypatch.setattr(duckdb_keys, "_MANY", 1)
    asked: list[str] = []
    original = duckdb_warehouse.DuckDB.one
    monkeypatch.setattr(duckdb_warehouse.DuckDB, "one", lambda db, sql, *more: asked.append(sql) or original(db, sql, *more))
    t([{"k": k, "a": "x"} for k in range(5000)] + [{"k": 77, "a": "y"}] * twice)
    if twice:
        assert "1 key more than once in the file, such as k=77 (2 times)" in refused()
    else:
        assert counts(load()) == [0, 5000, 5000, 0, 0, 0]
    assert any("DISTINCT" in sql for sql in asked) == twice


def test_a_key_that_the_rows_do_not_have_is_refused(t: Callable[..., Path]) -> None:
    t([{"a": 1}])
    assert refused().startswith("the key's column 'k' is not in the file at ")


def test_a_table_that_holds_a_key_twice_is_not_upserted_into(folder: Path, t: Callable[..., Path]) -> None:
    import duckdb

    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("create table t as select * from (values (1, 'a'), (1, 'b')) v(k, a)")
    t([{"k": 1, "a": "c"}])
    assert "table 't' has 2 rows for 1 key: its key (k) is not unique in it" in refused()
    assert query(folder, "select a from t order by a") == [("a",), ("b",)]


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_row_counts_that_do_not_add_up_take_everything_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    from colony_lib.data.warehouses.duckdb import DuckDB

    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": mode, "key": "k"}}})
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [{"k": k, "a": "new"} for k in range(10, 15)], "2013-02-09")
    whole = DuckDB.run

    def lossy(db: DuckDB, sql: str, *more: Any, **options: Any) -> Any:
        """A warehouse that loses a row on the way in."""
        if sql.startswith(('INSERT INTO "t"', 'MERGE INTO "t"')):
            whole(db, 'DELETE FROM "colony_rows_t" WHERE k = 12')
        return whole(db, sql, *more, **options)

    monkeypatch.setattr(DuckDB, "run", lossy)
    rows = DuckDB.rows
    monkeypatch.setattr(
        DuckDB,
        "rows",
        lambda db, sql, *a, **k: lossy(db, sql, *a, **k).fetchall() if "INSERT" in sql else rows(db, sql, *a, **k),
    )
    assert "the row counts of table 't' do not add up: 3 before, " in refused(date="2013-02-09")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert query(folder, "select k from t order by k") == [(1,), (2,), (3,)]
    assert query(folder, "select count(*) from colony_load_history") == [(1,)]


# --- repeats


def test_a_repeat_of_a_load_changes_nothing_at_all(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    first = load()
    before = (folder / "w.duckdb").read_bytes()
    again = load()
    assert (again["status"], again["record_count"], counts(again)) == ("unchanged", 3, [3, 3, 0, 0, 3, 0])
    assert again["load_id"] == first["load_id"]
    assert (again["tables"]["t"]["receipt"], again["tables"]["t"]["repeat"]) == (first["tables"]["t"]["receipt"], True)
    assert (folder / "w.duckdb").read_bytes() == before
    assert query(folder, "select count(*) from colony_load_history") == [(1,)]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_the_same_rows_fetched_anew_are_the_same_load(folder: Path, mode: str) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": mode, "key": "k"}}})
    day(folder, "t", ROWS)
    load()
    came = {"source": "t", "fetch_time": "2026-11-24T00:00:00.000Z"}
    day(folder, "t", ROWS, lineage=came)
    assert counts(load()) == [3, 3, 0, 0, 3, 0]
    assert query(folder, "select count(*) from t") == [(3,)]


def test_going_back_to_an_earlier_file_of_the_day_is_no_repeat(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "a": "first"}])
    load()
    t([{"k": 1, "a": "corrected"}])
    load()
    t([{"k": 1, "a": "first"}])
    assert counts(load()) == [1, 1, 0, 1, 0, 0]
    assert query(folder, "select a from t") == [("first",)]
    assert query(folder, "select count(*) from colony_loads") == [(2,)]
    assert query(folder, "select count(*) from colony_load_history") == [(3,)]


def test_a_day_loaded_again_after_a_later_day_stays_a_repeat(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "a": "friday"}])
    load()
    t([{"k": 1, "a": "saturday"}], "2013-02-09")
    load("2013-02-09")
    assert load()["status"] == "unchanged"
    assert query(folder, "select a from t") == [("saturday",)]


def test_a_table_that_somebody_dropped_is_loaded_again(folder: Path, t: Callable[..., Path]) -> None:
    import duckdb

    t(ROWS)
    load()
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("drop table t")
    assert counts(load()) == [0, 3, 3, 0, 0, 0]


# --- append and replace


def test_an_append_counts_once_and_other_rows_of_the_day_are_added_with_a_warning(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "append"}}})
    day(folder, "t", ROWS)
    assert counts(load()) == [0, 3, 3, 0, 0, 0]
    assert counts(load()) == [3, 3, 0, 0, 3, 0]
    day(folder, "t", [{"k": 9, "a": "late"}])
    late = load()
    assert counts(late) == [3, 4, 1, 0, 0, 0]
    assert late["notes"] == [
        "warning: 3 rows of 2013-02-08 were appended to 't' before, from other records; they stay beside the new ones"
    ]
    day(folder, "t", ROWS)
    assert counts(load()) == [4, 4, 0, 0, 3, 0]


def test_a_replace_keeps_the_old_table_as_parquet_and_counts_what_went(folder: Path) -> None:
    import duckdb

    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "replace"}}})
    day(folder, "t", ROWS)
    first = load()
    assert (counts(first), first["tables"]["t"]["backup"]) == ([0, 3, 3, 0, 0, 0], None)
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 8, "a": "new"}], "2013-02-09")
    (folder / "backups").mkdir()
    (folder / "backups/.t_before_2013-02-08_0123.parquet.77.tmp").write_text("left by a load that was killed")
    second = load("2013-02-09")
    assert counts(second) == [3, 2, 1, 0, 1, 2]
    backup = second["tables"]["t"]["backup"]
    assert backup.startswith("backups/t_before_2013-02-09_")
    assert second["notes"] == [f"kept the 3 rows of 't' before the replace in {backup}"]
    assert duckdb.sql(f"select k, a from '{folder / backup}' order by k").fetchall() == [(1, "x"), (2, None), (3, "z")]
    assert query(folder, "select k, a from t order by k") == [(1, "x"), (8, "new")]
    assert [path.name for path in (folder / "backups").iterdir()] == [Path(backup).name]


def test_a_replace_by_the_same_rows_needs_no_backup(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "replace"}}})
    day(folder, "t", ROWS)
    load()
    day(folder, "t", list(reversed(ROWS)), "2013-02-09")
    assert counts(load("2013-02-09")) == [3, 3, 0, 0, 3, 0]
    assert not (folder / "backups").exists()


def test_a_replace_by_an_empty_file_empties_the_table_and_keeps_the_rows(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "replace"}}})
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [], "2013-02-09")
    second = load("2013-02-09")
    assert counts(second) == [3, 0, 0, 0, 0, 3]
    assert (folder / second["tables"]["t"]["backup"]).exists()


def test_an_empty_day_is_a_load_of_no_rows(folder: Path, t: Callable[..., Path]) -> None:
    t([])
    assert counts(load()) == [0, 0, 0, 0, 0, 0]
    assert query(folder, "select record_count, rows_after from colony_loads") == [(0, 0)]
    t(ROWS, "2013-02-09")
    assert counts(load("2013-02-09")) == [0, 3, 3, 0, 0, 0]
    t([], "2013-02-10")
    assert counts(load("2013-02-10")) == [3, 3, 0, 0, 0, 0]


def test_two_datasets_may_append_to_one_table(folder: Path) -> None:
    write_pipeline(folder, {name: {"load": {"table": "t"}} for name in ("a", "b")})
    day(folder, "a", [{"k": 1}])
    day(folder, "b", [{"k": 1}, {"k": 2}])
    summary = load()
    assert (counts(summary), summary["tables"]["t"]["dataset"]) == ([0, 3, 3, 0, 0, 0], "a, b")
    assert load()["status"] == "unchanged"


# --- columns that change


def test_a_new_column_is_added_and_said(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1}])
    load()
    t([{"k": 2, "wind": 1.5}], "2013-02-09")
    assert load("2013-02-09")["notes"] == ["added column 'wind' (DOUBLE) to table 't'; rows loaded before have none"]
    assert query(folder, "select k, wind from t order by k") == [(1, None), (2, 1.5)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"k": 2, "b": 1}], "table 't' has column 'a', the file has not"),
        ([{"k": 2, "a": 5}], "column 'a' of table 't' is VARCHAR, in the file it is BIGINT"),
        ([{"k": "2", "a": "x"}], "column 'k' of table 't' is BIGINT, in the file it is VARCHAR"),
        ([{"k": 2.5, "a": "x"}], "column 'd' of table 't' is DATE, in the file it is VARCHAR"),
    ],
)
def test_a_column_that_is_missing_or_of_another_type_is_refused(
    folder: Path, t: Callable[..., Path], rows: list[Any], said: str
) -> None:
    other = "d" in said.split("'")[1]
    t([{"k": 1, "a": "x", **({"d": "2013-02-08"} if other else {})}])
    load()
    t([{**row, **({"k": 2, "d": "soon"} if other else {})} for row in rows], "2013-02-09")
    assert said in refused(date="2013-02-09")
    assert query(folder, "select count(*), max(k) from t") == [(1, 1)]


def test_whole_numbers_that_get_fractions_widen_an_undeclared_column_only(folder: Path, t: Callable[..., Path]) -> None:
    t([{"k": 1, "n": 20}])
    load()
    t([{"k": 2, "n": 20.5}], "2013-02-09")
    assert load("2013-02-09")["notes"] == ["column 'n' of 't' is DOUBLE now (was BIGINT)"]
    t([{"k": 3, "n": 21}], "2013-02-10")
    assert load("2013-02-10")["notes"] == []
    assert query(folder, "select n from t order by k") == [(20.0,), (20.5,), (21.0,)]
    schema = {"fields": [{"name": "k", "type": "integer"}, {"name": "n", "type": "integer"}]}
    write_pipeline(folder, {"t": {**T["t"], "schema": schema}}, warehouse="w2.duckdb")
    t([{"k": 1, "n": 20}])
    load()
    schema["fields"][1]["type"] = "number"
    write_pipeline(folder, {"t": {**T["t"], "schema": schema}}, warehouse="w2.duckdb")
    t([{"k": 2, "n": 20.5}], "2013-02-11")
    assert "column 'n' of table 't' is BIGINT, in the file it is DOUBLE" in refused(date="2013-02-11")


def test_a_column_without_any_value_yet_takes_the_type_of_its_first_values(
    folder: Path, t: Callable[..., Path]
) -> None:
    t([{"k": 1, "gust": None}])
    assert load()["notes"][1:] == ["column 'gust' of 't' has no value yet: VARCHAR until it has"]
    t([{"k": 2, "gust": 31.5}], "2013-02-09")
    assert load("2013-02-09")["notes"] == ["column 'gust' of 't', which had no value yet, is DOUBLE now (was VARCHAR)"]
    t([{"k": 3, "gust": None}], "2013-02-10")
    assert load("2013-02-10")["notes"] == []
    assert query(folder, "select gust from t order by k") == [(None,), (31.5,), (None,)]


def test_a_table_of_ones_own_is_filled_as_it_is_when_no_value_is_lost(folder: Path, t: Callable[..., Path]) -> None:
    import duckdb

    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("create table t (k smallint, price decimal(6, 2), moment timestamp with time zone)")
    t([{"k": 1, "price": 12.25, "moment": "2013-02-08T05:00:00-05:00"}])
    load()
    assert query(folder, "select k, price::varchar, epoch(moment) from t") == [(1, "12.25", 1360317600.0)]
    t([{"k": 2, "price": 12.255, "moment": None}], "2013-02-09")
    assert "column 'price' of table 't' is DECIMAL(6,2), in the file it is DOUBLE" in refused(date="2013-02-09")


# --- the gate


def test_nothing_is_loaded_without_a_validation_report(folder: Path, t: Callable[..., Path]) -> None:
    transformed(folder, "t", ROWS)
    assert refused() == (
        "'t' of 2013-02-08 is not validated: there is no reports/validation_t_2013-02-08.json; "
        "run 'colony validate-data --date 2013-02-08'"
    )
    assert not (folder / "w.duckdb").exists()


def test_a_file_changed_since_its_validation_is_refused(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    transformed(folder, "t", [*ROWS, {"k": 4, "a": "slipped in"}])
    assert "the validation report of 't' is of another file than staging/transformed/t_2013-02-08.json" in refused()


def test_a_file_that_failed_validation_is_refused_and_the_checks_named(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    checks = [
        {"name": "completeness", "passed": False, "severity": "fail"},
        {"name": "few_cancelled", "passed": False, "severity": "warn"},
        {"name": "schema", "passed": True, "severity": "fail"},
    ]
    validated(folder, "t", status="FAIL", checks=checks)
    assert refused().startswith("'t' of 2013-02-08 is FAIL (completeness) at reports/validation_t_2013-02-08.json;")
    assert not (folder / "w.duckdb").exists()


@pytest.mark.parametrize(
    "report", ["", "{", "[]", "{}", '{"status": "PASS"}', '{"status": "PASS", "file_sha256": null}']
)
def test_a_report_that_proves_nothing_lets_nothing_pass(folder: Path, t: Callable[..., Path], report: str) -> None:
    t(ROWS)
    (folder / "reports/validation_t_2013-02-08.json").write_text(report)
    assert "run 'colony validate-data --date 2013-02-08'" in refused()


def test_a_warning_does_not_stop_a_load(t: Callable[..., Path]) -> None:
    t(ROWS, status="WARN")
    assert load()["tables"]["t"]["validation"] == "WARN"


def test_one_refused_dataset_stops_them_all_and_each_is_named(folder: Path) -> None:
    write_pipeline(folder, {name: {"load": {"table": name}} for name in ("a", "b", "c")})
    day(folder, "a", [{"k": 1}])
    day(folder, "b", [{"k": 1}], status="FAIL")
    text = refused()
    assert text.startswith("2 datasets may not be loaded: 'b' of 2013-02-08 is FAIL")
    assert "'c' of 2013-02-08 is not transformed: there is no staging/transformed/c_2013-02-08.json" in text
    assert not (folder / "w.duckdb").exists()
    assert load(names=("a",))["tables"]["a"]["inserted"] == 1


def test_unchecked_loads_what_was_refused_and_the_receipt_says_so(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS, status="FAIL")
    assert load(unchecked=True)["unchecked"] is True
    assert query(folder, "select unchecked, validation from colony_loads") == [(True, "FAIL")]


def test_a_file_of_another_date_is_refused(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS).rename(folder / "staging/transformed/t_2013-02-09.json")
    assert "the file says that it is of 2013-02-08, not of 2013-02-09" in refused(date="2013-02-09", unchecked=True)


@pytest.mark.parametrize(
    ("datasets", "names", "code", "said"),
    [
        (T, ("u",), FAILED, "unknown dataset 'u'"),
        ({**T, "plain": {}}, ("plain",), USAGE, "dataset 'plain' is not for the warehouse: it has no 'load'"),
        ({"plain": {}}, (), USAGE, "no dataset has a 'load'"),
        ({"t": {"load": {"table": "colony_loads"}}}, (), USAGE, "tables named colony_… are Colony's own"),
        (
            {n: {"load": {"table": "x", "mode": "replace"}} for n in "ab"},
            (),
            USAGE,
            "datasets 'a' and 'b' load into one table",
        ),
        ({"t": {"load": {"table": "V"}}}, (), USAGE, "table 'V' is also the view 'v'"),
    ],
)
def test_what_cannot_be_loaded_at_all_is_said_before_any_file_is_read(
    folder: Path, datasets: dict[str, Any], names: tuple[str, ...], code: int, said: str
) -> None:
    write_pipeline(folder, datasets, views={"v": "select 1"})
    assert said in refused(code, names=names)


# --- views and checks


def test_views_are_made_in_the_order_they_need_and_follow_pipeline_yml(folder: Path, t: Callable[..., Path]) -> None:
    write_pipeline(
        folder, T, views={"top": "select max(n) as n from per_a;", "per_a": "select a, count(*) as n from t group by a"}
    )
    t(ROWS)
    assert load()["views"] == ["per_a", "top"]
    assert query(folder, "select n from top") == [(1,)]
    write_pipeline(folder, T, views={"top": "select count(*) as n from t"})
    again = load()
    assert (again["status"], again["views"]) == ("unchanged", ["top"])
    assert query(folder, "select n from top") == [(3,)]


def test_a_view_waits_for_a_table_that_was_never_loaded(folder: Path) -> None:
    write_pipeline(
        folder,
        {name: {"load": {"table": name}} for name in ("a", "b")},
        views={"pair": "select * from a join B using (k)", "over": "select * from pair"},
        post_load=[{"name": "same", "sql": "select count(*) >= 0 from over"}],
    )
    day(folder, "a", [{"k": 1}])
    first = load(names=("a",))
    assert first["notes"] == [
        "made table 'a' with 1 column",
        "view 'pair' waits for table 'b', which was never loaded",
        "view 'over' waits for table 'b', which was never loaded",
        "post-load check 'same' was not made: 'over' was never loaded",
    ]
    day(folder, "b", [{"k": 1}])
    second = load(names=("b",))
    assert (second["views"], second["checks"]) == (["over", "pair"], ["same"])
    assert query(folder, "select * from over") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "code", "said"),
    [
        ("select count(*) = 99 from t", FAILED, "post-load check 'c' is false; everything was rolled back at pipeline.yml:19; correct the data, or what the check asks: select count(*) = 99 from t"),
        ("select null::boolean", FAILED, "post-load check 'c' is false"),
        ("select count(*) from t", USAGE, "post-load check 'c': its query does not give one true or false"),
        ("select a = 'x' from t", USAGE, "does not give one true or false"),
        ("select nope from t", FAILED, "post-load check 'c': its query failed: Binder Error"),
        ("select 1; commit", USAGE, "post-load check 'c' is not one SELECT statement"),
        ("commit", USAGE, "is not one SELECT statement"),
        ("drop table t", USAGE, "is not one SELECT statement"),
        ("selec 1", USAGE, "is not one SELECT statement"),
    ],
)
def test_a_post_load_check_that_does_not_hold_takes_everything_back(
    folder: Path, t: Callable[..., Path], sql: str, code: int, said: str
) -> None:
    t([{"k": 1, "a": "x"}])
    load()
    before = query(folder, "select * from t, colony_loads")
    t([{"k": 1, "a": "y"}, {"k": 2, "a": "y"}], "2013-02-09")
    write_pipeline(folder, T, views={"v": "select 1 as one"}, post_load=[{"name": "c", "sql": sql}])
    text = refused(code, date="2013-02-09")
    assert said in text
    assert "pipeline.yml:" in text
    assert query(folder, "select * from t, colony_loads") == before
    assert query(folder, "select count(*) from information_schema.tables where table_name = 'v'") == [(0,)]


@pytest.mark.parametrize(
    ("views", "code", "said"),
    [
        ({"v": "select nope from t"}, FAILED, "view 'v': Binder Error"),
        ({"v": "select * from v"}, USAGE, "views read each other in a circle: v → v"),
        ({"v": "select * from w", "w": "select * from v"}, USAGE, "in a circle"),
        ({"v": "create table x as select 1"}, USAGE, "view 'v' is not one SELECT statement"),
        ({"old": "select 1"}, FAILED, "'old' is a table in the warehouse"),
    ],
)
def test_a_view_that_cannot_be_made_takes_everything_back(
    folder: Path, t: Callable[..., Path], views: dict[str, str], code: int, said: str
) -> None:
    import duckdb

    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("create table old (x integer)")
    write_pipeline(folder, T, views=views)
    t(ROWS)
    assert said in refused(code)
    assert query(folder, "select count(*) from duckdb_tables()") == [(1,)]


# --- receipts, watermarks and what follows from them


def test_the_receipt_says_what_was_loaded_from_which_file(folder: Path, t: Callable[..., Path]) -> None:
    import hashlib

    path = t(ROWS)
    summary = load()
    row = query(
        folder,
        "select load_id, table_name, dataset, date, mode, file, file_sha256, record_count, rows_before, rows_after, "
        "inserted, updated, unchanged, deleted, validation, quality_score, unchecked, sequence from colony_loads",
    )[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert row == (
        summary["tables"]["t"]["receipt"], "t", "t", datetime.date(2013, 2, 8), "upsert",
        "staging/transformed/t_2013-02-08.json", digest, 3, 0, 3, 3, 0, 0, 0, "PASS", 0.98, False, 1,
    )  # fmt: skip
    assert query(folder, 'select table_name, mode, "key", rows from colony_tables') == [("t", "upsert", '["k"]', 3)]


def test_the_watermark_is_the_greatest_value_ever_loaded(folder: Path) -> None:
    datasets = {"t": {"source": "api", "load": {"table": "t", "mode": "upsert", "key": "k"}}}
    api = {"type": "rest", "url": "http://127.0.0.1/x", "incremental": {"field": "updatedAt", "param": "since"}}
    write_pipeline(folder, datasets, sources={"api": api})
    day(
        folder,
        "t",
        [{"k": 1, "updated_at": "2013-02-08T09:30:00.250Z"}, {"k": 2, "updated_at": "2013-02-08T05:00:00-05:00"}],
    )
    load()
    document = json.loads((folder / "staging/.colony-data/load_metadata.json").read_text())
    assert document["watermarks"] == {"api": "2013-02-08T10:00:00Z"}
    assert document["tables"]["t"]["watermark"] == "2013-02-08T10:00:00Z"
    day(folder, "t", [{"k": 3, "updated_at": "2013-02-01T00:00:00Z"}], "2013-02-09")  # late news
    load("2013-02-09")
    document = json.loads((folder / "staging/.colony-data/load_metadata.json").read_text())
    assert document["tables"]["t"]["watermark"] == "2013-02-08T10:00:00Z"
    assert query(folder, "select field, value, date from colony_watermarks") == [
        ("updated_at", '"2013-02-08T10:00:00Z"', datetime.date(2013, 2, 9))
    ]


def test_without_an_incremental_field_the_watermark_is_the_latest_date(folder: Path, t: Callable[..., Path]) -> None:
    for date in ("2013-02-09", DATE):
        t([{"k": date}], date)
        load(date)
    document = json.loads((folder / "staging/.colony-data/load_metadata.json").read_text())
    assert document["tables"]["t"]["watermark"] == "2013-02-09"
    assert document["watermarks"] == {}


def test_a_watermark_column_that_the_rows_lack_is_refused(folder: Path) -> None:
    write_pipeline(folder, {"t": {"load": {"table": "t", "watermark": "updated"}}})
    day(folder, "t", [{"k": 1}])
    assert "there is no column 'updated' for the watermark at pipeline.yml:" in refused(USAGE)


def test_what_a_crash_left_behind_is_put_right_by_the_next_load(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    load()
    files = [folder / "staging/.colony-data/load_metadata.json", folder / "reports/load_2013-02-08.json"]
    wanted = [path.read_text() for path in files]
    for path in files:
        path.unlink()
    assert load()["status"] == "unchanged"
    assert [path.read_text() for path in files] == wanted
    report = json.loads(wanted[1])
    assert (report["record_count"], report["receipts"][0]["inserted"]) == (3, 3)


def test_status_counts_the_tables_as_they_are(folder: Path, t: Callable[..., Path]) -> None:
    import duckdb

    with pytest.raises(ColonyError, match="there is no warehouse yet"):
        loader.status(pipelines.load())
    assert not (folder / "w.duckdb").exists()
    t(ROWS)
    load()
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("delete from t where k = 1")
    assert loader.status(pipelines.load())["tables"]["t"]["rows"] == 2


def test_a_dry_run_tells_all_and_leaves_nothing(folder: Path, t: Callable[..., Path]) -> None:
    t(ROWS)
    assert counts(load(dry_run=True)) == [0, 3, 3, 0, 0, 0]
    assert not (folder / "w.duckdb").exists()
    load()
    write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "replace"}}})
    t([{"k": 9, "a": "x"}], "2013-02-09")
    before = query(folder, "select * from t, colony_load_history")
    assert counts(load("2013-02-09", dry_run=True)) == [3, 1, 1, 0, 0, 3]
    assert query(folder, "select * from t, colony_load_history") == before
    assert not (folder / "backups").exists()
    assert not (folder / "reports/load_2013-02-09.json").exists()


# --- warehouses by URL


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:s3cret@[host/db", "the warehouse's URL is no PostgreSQL URL"),
        ("postgresql+psycopg://me:s3cret@host/db", "unknown kind of warehouse 'postgresql+psycopg'"),
        ("sqlite://host/x.db", "a SQLite warehouse is a file here"),
        ("sqlite:///:memory:", "a SQLite warehouse is a file here"),
        ("mysql://me:s3cret@host/db", "unknown kind of warehouse 'mysql'"),
        ("warehouse.csv", "neither a URL nor a path that ends in .duckdb"),
        ("duckdb://host/x.duckdb", "a DuckDB warehouse is a file here"),
        ("duckdb:///:memory:", "is not a path for a DuckDB file"),
        ("duckdb:///", "is not a path for a DuckDB file"),
        ("duckdb:///x.duckdb?access_mode=x", "is not a path for a DuckDB file"),
    ],
)
def test_other_warehouses_are_refused_without_showing_their_passwords(
    folder: Path, t: Callable[..., Path], url: str, said: str
) -> None:
    write_pipeline(folder, T, warehouse={"url": url})
    t(ROWS)
    text = refused(USAGE)
    assert said in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    "url", ["{}/deep/er/x.duckdb", "duckdb:///{}/x.duckdb", "duckdb:w/x.duckdb", "$W", "duckdb:///a%20b.duckdb"]
)
def test_a_duckdb_file_is_made_where_the_url_says(
    folder: Path, t: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("W", "duckdb:///from_env.duckdb")
    write_pipeline(folder, T, warehouse=url.format(folder))
    t(ROWS)
    shown = load()["warehouse"]
    assert query(folder, "select count(*) from t", shown) == [(3,)]


def test_a_warehouse_variable_that_is_not_set_is_named(folder: Path, t: Callable[..., Path]) -> None:
    write_pipeline(folder, T, warehouse={"url": "$NO_WAREHOUSE"})
    t(ROWS)
    assert "NO_WAREHOUSE is not set, which the pipeline needs at pipeline.yml:" in refused(USAGE)


def test_an_interrupt_while_the_file_is_made_leaves_none(
    folder: Path, t: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from colony_lib.data.warehouses import duckdb as warehouse
    from colony_lib.data.warehouses import duckdb_file

    opened = duckdb_file.opened

    def interrupted(*given: Any) -> None:
        opened(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(warehouse, "opened", interrupted)
    t(ROWS)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert not (folder / "w.duckdb").exists()


def test_a_file_that_is_no_duckdb_file_is_left_alone(folder: Path, t: Callable[..., Path]) -> None:
    (folder / "w.duckdb").write_text("my notes\n" * 1000)
    t(ROWS)
    assert refused().startswith("cannot open the warehouse 'w.duckdb': IO Error")
    assert (folder / "w.duckdb").read_text() == "my notes\n" * 1000


def test_without_the_duckdb_package_the_extra_is_named(t: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "duckdb", None)
    t(ROWS)
    assert refused(USAGE).endswith("pip install 'colony[duckdb]'")
