"""Loading into PostgreSQL and SQLite: what the loader promises of DuckDB holds there, and what is theirs alone."""

from __future__ import annotations

import datetime
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from colony_lib.base.errors import BUSY, FAILED, ColonyError
from colony_lib.data import load as loader
from colony_lib.data import load_record, load_warehouse
from colony_lib.data import pipeline as pipelines
from colony_lib.data.warehouses import postgresql, postgresql_rows, sqlite_rows
from colony_lib.store import lineage
from tests.conftest import REPOSITORY, clean_environment
from tests.data.loading import DATE, day, query, write_pipeline
from tests.postgres import PASSWORD, PostgreSQL

ROWS = [{"k": 1, "a": "x"}, {"k": 2, "a": None}, {"k": 3, "a": ""}]
NEXT = "2013-02-09"


class Engine:
    """One kind of warehouse, and what another program sees in it."""

    def __init__(self, name: str, url: str, query: Callable[[str], list[Any]]) -> None:
        self.name = name
        self.url = url
        self.query = query

    def __repr__(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def database(server: PostgreSQL) -> str:
    """The URL of a new database of the server."""
    name = f"d{time.monotonic_ns()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url.removesuffix("/postgres") + f"/{name}"


@pytest.fixture(params=["duckdb", "postgresql", "sqlite"])
def any_engine(request: pytest.FixtureRequest, folder: Path) -> Engine:
    if request.param == "duckdb":
        return Engine("duckdb", "duckdb:///w.duckdb", lambda sql: query(folder, sql))
    return made(request, folder)


@pytest.fixture(params=["postgresql", "sqlite"])
def engine(request: pytest.FixtureRequest, folder: Path) -> Engine:
    return made(request, folder)


def made(request: pytest.FixtureRequest, folder: Path) -> Engine:
    if request.param == "sqlite":
        path = folder / "w.db"

        def look(sql: str) -> list[Any]:
            connection = sqlite3.connect(path)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()

        return Engine("sqlite", "sqlite:///w.db", look)
    url: str = request.getfixturevalue("database")

    def ask(sql: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    return Engine("postgresql", url, ask)


def pipeline(folder: Path, engine: Engine, mode: str = "upsert", **more: Any) -> None:
    settings = {"table": "t", "mode": mode} | ({"key": "k"} if mode not in ("append", "replace") else {})
    write_pipeline(folder, {"t": {"load": settings}}, warehouse={"url": engine.url}, **more)


def load(date: str = DATE, **options: Any) -> dict[str, Any]:
    return loader.load(pipelines.load(), date, [], **options)[0]


def refused(code: int = FAILED, date: str = DATE, **options: Any) -> str:
    with pytest.raises(ColonyError) as caught:
        load(date, **options)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def counts(summary: dict[str, Any], table: str = "t") -> list[int]:
    """[before, after, inserted, updated, unchanged, deleted]"""
    keys = ("rows_before", "rows_after", "inserted", "updated", "unchanged", "deleted")
    return [summary["tables"][table][key] for key in keys]


def test_every_value_arrives_as_it_is(folder: Path, engine: Engine) -> None:
    fields = {
        "id": "integer", "name": "string", "delay": "number", "ok": "boolean", "day": "date", "at": "time",
        "hour": "datetime", "tags": "array", "more": "object",
    }  # fmt: skip
    schema = {"fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    write_pipeline(folder, {"t": {"schema": schema, "load": {"table": "t"}}}, warehouse={"url": engine.url})
    row = {
        "id": 9223372036854775807, "name": 'Zoë "q", \\ \r\n\t\u2028 \U0001f6eb', "delay": 0.1, "ok": True, "day": "2013-02-08",
        "at": "05:17:00", "hour": "2013-02-08T05:00:00-05:00", "tags": [1, "two", None], "more": {"a": {"b": 1.5}},
    }  # fmt: skip
    other = {**dict.fromkeys(row), "id": -9007199254740993, "delay": 1e300, "name": "", "ok": False}
    nothing = dict.fromkeys(row)
    day(folder, "t", [row, other, nothing])
    assert load()["tables"]["t"]["inserted"] == 3
    first, second, third = engine.query('select * from t order by id is null, id = -9007199254740993, "id"')
    assert first[:4] == (9223372036854775807, row["name"], 0.1, True)
    assert [second[0], second[1], second[2], second[3]] == [-9007199254740993, "", 1e300, False]
    assert third == (None,) * 9
    if engine.name == "postgresql":
        assert first[4:7] == (datetime.date(2013, 2, 8), datetime.time(5, 17), datetime.datetime(2013, 2, 8, 10))
        assert first[7:] == ([1, "two", None], {"a": {"b": 1.5}})
    else:
        assert first[4:7] == ("2013-02-08", "05:17:00", "2013-02-08 10:00:00")
        assert [json.loads(text) for text in first[7:]] == [[1, "two", None], {"a": {"b": 1.5}}]


def test_an_upsert_counts_what_is_new_changed_and_the_same(folder: Path, engine: Engine) -> None:
    pipeline(folder, engine)
    day(folder, "t", ROWS)
    assert counts(load()) == [0, 3, 3, 0, 0, 0]
    day(folder, "t", [{"k": 2, "a": "new"}, {"k": 3, "a": ""}, {"k": 4, "a": None}], NEXT)
    assert counts(load(NEXT)) == [3, 4, 1, 1, 1, 0]
    assert engine.query("select k, a from t order by k") == [(1, "x"), (2, "new"), (3, ""), (4, None)]


def test_a_repeat_of_a_load_changes_nothing_at_all(folder: Path, engine: Engine) -> None:
    for mode in ("append", "replace", "upsert"):
        write_pipeline(
            folder,
            {"t": {"load": {"table": f"t_{mode}", "mode": mode, **({"key": "k"} if mode == "upsert" else {})}}},
            warehouse={"url": engine.url},
        )
        day(folder, "t", ROWS)
        assert load()["status"] == "loaded"
        again = load()
        assert again["status"] == "unchanged" and again["tables"][f"t_{mode}"]["repeat"] is True
        assert engine.query(f"select count(*) from t_{mode}") == [(3,)]
    assert engine.query("select count(*) from colony_loads") == [(3,)]
    assert engine.query("select count(*) from colony_load_history") == [(3,)]


def test_a_replace_keeps_the_old_rows_as_parquet_with_their_types(folder: Path, engine: Engine) -> None:
    import duckdb

    pipeline(folder, engine, "replace")
    day(folder, "t", [{"k": 1, "a": "x", "d": "2013-02-08", "n": 1.5}, {"k": 2, "a": "", "d": None, "n": None}])
    load()
    day(folder, "t", [{"k": 1, "a": "x", "d": "2013-02-08", "n": 1.5}, {"k": 9, "a": None, "d": None, "n": 2.5}], NEXT)
    summary = load(NEXT)
    assert counts(summary) == [2, 2, 1, 0, 1, 1]
    kept = folder / summary["tables"]["t"]["backup"]
    found = duckdb.sql(f"select k, a, d::varchar, n from '{kept}' order by k").fetchall()
    assert found == [(1, "x", "2013-02-08", 1.5), (2, "", None, None)]
    assert engine.query("select k, a from t order by k") == [(1, "x"), (9, None)]


def test_columns_are_added_widened_and_otherwise_refused(folder: Path, engine: Engine) -> None:
    pipeline(folder, engine)
    day(folder, "t", [{"k": 1, "a": 1, "e": None}])
    load()
    day(folder, "t", [{"k": 2, "a": 1.5, "e": 3, "b": True}], NEXT)
    notes = " ".join(load(NEXT)["notes"])
    assert "added column 'b'" in notes and "column 'a' of 't' is " in notes and "had no value yet" in notes
    assert engine.query("select k, a, e, b from t order by k") == [(1, 1, None, None), (2, 1.5, 3, True)]
    day(folder, "t", [{"k": 3, "a": "text", "e": 1, "b": None}], "2013-02-10")
    assert "column 'a' of table 't' is" in refused(date="2013-02-10")
    day(folder, "t", [{"k": 3, "b": None, "e": 1}], "2013-02-11")
    assert "table 't' has column 'a', the file has not" in refused(date="2013-02-11")
    assert engine.query("select count(*) from t") == [(2,)]


def test_a_view_can_be_referred_to_like_a_table(folder: Path, any_engine: Engine) -> None:
    pipeline(folder, any_engine, views={"named": "select k as number from t where a is not null"})
    day(folder, "t", ROWS)
    load()
    with load_warehouse.opened(pipelines.load(), 1) as warehouse:
        assert sorted(warehouse.distinct("named", ["number"])) == [(1,), (3,)]
        with pytest.raises(ColonyError, match="there is no column 'k' in the view named"):
            warehouse.distinct("named", ["k"])


def policy(folder: Path, engine: Engine, word: str, **more: Any) -> None:
    """The pipeline with a policy for columns that change."""
    entry = {"load": {"table": "t", "mode": "upsert", "key": "k"}, "schema_policy": word, **more}
    write_pipeline(folder, {"t": entry}, warehouse={"url": engine.url})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"k": 2, "a": 2, "e": None, "b": 1}], "the column 'b' is new, and table 't' is frozen"),
        ([{"k": 2, "a": 2.5, "e": None}], "column 'a' of table 't' is"),
        ([{"k": 2, "a": 2, "e": 5}], "column 'e' of table 't' is"),
        ([{"k": 2, "a": 2}], "table 't' has column 'e', the file has not"),
    ],
)
def test_a_frozen_table_takes_rows_and_no_change(folder: Path, any_engine: Engine, rows: list[Any], said: str) -> None:
    policy(folder, any_engine, "freeze")
    day(folder, "t", [{"k": 1, "a": 1, "e": None}])
    load()  # makes the table
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "w." not in path.name}
    day(folder, "t", rows, NEXT)
    assert said in refused(date=NEXT)
    assert any_engine.query("select k, a, e from t") == [(1, 1, None)]
    left = {path for path in folder.rglob("*") if path.is_file()} - before.keys()
    assert not [path for path in left if "backups" in str(path)]
    day(folder, "t", [{"k": 3, "a": 3, "e": None}], NEXT)
    assert load(NEXT)["tables"]["t"]["inserted"] == 1


def test_what_a_table_has_no_place_for_is_left_out_and_counted(folder: Path, any_engine: Engine) -> None:
    policy(folder, any_engine, "discard")
    day(folder, "t", [{"k": 1, "a": 1, "s": "x", "f": 1.5}])
    load()
    rows = [
        {"k": 2, "a": 2.5, "s": 7, "f": 2, "b": True},
        {"k": 3, "a": 4.0, "s": 8, "f": 3, "b": None},
    ]
    day(folder, "t", rows, NEXT)
    summary = load(NEXT)
    assert summary["tables"]["t"]["discarded"] == 2 and len(summary["notes"]) == 2
    notes = " ".join(summary["notes"])
    assert "left out column 'b' (1 value), which table 't' has not" in notes
    assert "left out 1 value of column 'a' of 't': not BIGINT" in notes
    assert any_engine.query("select k, a, s, f from t order by k")[1:] == [(2, None, "7", 2.0), (3, 4, "8", 3.0)]
    assert load(NEXT)["tables"]["t"]["repeat"]
    policy(folder, any_engine, "evolve")  # the same rows are another load now
    day(folder, "t", [{**row, "s": str(row["s"])} for row in rows], NEXT)
    assert "added column 'b'" in " ".join(load(NEXT)["notes"])
    assert any_engine.query("select k, a from t order by k") == [(1, 1), (2, 2.5), (3, 4)]


def test_texts_in_a_column_of_numbers_are_left_out_but_never_of_a_key(folder: Path, any_engine: Engine) -> None:
    policy(folder, any_engine, "discard")
    day(folder, "t", [{"k": 1, "a": 1}])
    load()
    day(folder, "t", [{"k": 2, "a": "12"}, {"k": 3, "a": "many"}, {"k": 4, "a": "007"}], NEXT)
    assert load(NEXT)["tables"]["t"]["discarded"] == 2
    assert any_engine.query("select k, a from t order by k") == [(1, 1), (2, 12), (3, None), (4, None)]
    day(folder, "t", [{"k": "five", "a": 5}], "2013-02-10")
    assert "1 row without a value in the key column 'k'" in refused(date="2013-02-10")
    assert any_engine.query("select count(*) from t") == [(4,)]


def test_the_policy_of_the_file_holds_where_nothing_else_is_said(folder: Path) -> None:
    load_t = {"load": {"table": "t", "mode": "append"}}
    write_pipeline(folder, {"t": load_t, "u": {**load_t, "schema_policy": "discard"}}, schema_policy="freeze",
                   sources={"t": {"type": "file", "path": "x"}, "u": {"type": "file", "path": "x", "schema_policy": "evolve"}})  # fmt: skip
    found = pipelines.load()
    assert [found.schema_policy("datasets", name) for name in "tu"] == ["freeze", "discard"]
    assert [found.schema_policy("sources", name) for name in "tu"] == ["freeze", "evolve"]


def test_views_and_checks_follow_the_rows_or_take_everything_back(folder: Path, engine: Engine) -> None:
    views = {"big": "select k from t where k > 1", "bigger": "select max(k) as k from big"}
    pipeline(folder, engine, views=views, post_load=[{"name": "few", "sql": "select count(*) < 5 from t"}])
    day(folder, "t", ROWS)
    assert load()["views"] == ["big", "bigger"]
    assert engine.query("select k from bigger") == [(3,)]
    day(folder, "t", [{"k": k, "a": "y"} for k in range(10, 20)], NEXT)
    assert "post-load check 'few' is false; everything was rolled back" in refused(date=NEXT)
    assert engine.query("select count(*) from t") == [(3,)]
    assert engine.query("select count(*) from colony_load_history") == [(1,)]
    views["big"] = "select k, a from t"  # a view that is read by another may change its columns too
    views.pop("bigger")
    pipeline(folder, engine, views=views)
    load(NEXT)
    assert len(engine.query("select k, a from big")) == 13


@pytest.mark.parametrize("sql", ["select 1; drop table t", "select count(*) = 3 from t; commit", "drop table t"])
def test_a_check_is_one_statement_that_reads(folder: Path, engine: Engine, sql: str) -> None:
    pipeline(folder, engine, post_load=[{"name": "evil", "sql": sql}])
    day(folder, "t", ROWS)
    assert "write one SELECT statement" in refused(code=2)


def test_receipts_watermarks_and_status_are_those_of_the_warehouse(folder: Path, engine: Engine) -> None:
    pipeline(folder, engine)
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [{"k": 5, "a": "z"}], NEXT)
    load(NEXT)
    document = loader.status(pipelines.load())
    assert document["tables"]["t"]["rows"] == 4 and document["tables"]["t"]["watermark"] == NEXT
    report = json.loads((folder / "reports" / f"load_{DATE}.json").read_text())
    [receipt] = report["receipts"]
    assert receipt["record_count"] == 3 and receipt["unchecked"] is False and receipt["loaded_at"].endswith("Z")
    assert receipt["date"] == DATE
    assert PASSWORD not in json.dumps(document) + json.dumps(report)


def test_a_dry_run_tells_all_and_leaves_nothing(folder: Path, engine: Engine) -> None:
    pipeline(folder, engine)
    day(folder, "t", ROWS)
    assert counts(load(dry_run=True)) == [0, 3, 3, 0, 0, 0]
    if engine.name == "sqlite":
        assert not (folder / "w.db").exists()
    else:
        assert engine.query("select count(*) from pg_class where relname = 't'") == [(0,)]


def test_names_that_are_sql_are_only_names(folder: Path, engine: Engine) -> None:
    pipeline(folder, engine)
    odd = "a\"; drop table t; --%s ? ' ö"
    day(folder, "t", [{"k": 1, odd: "x"}])
    load()
    day(folder, "t", [{"k": 1, odd: "100 % ? %s"}], NEXT)
    assert counts(load(NEXT)) == [1, 1, 0, 1, 0, 0]
    assert engine.query("select * from t") == [(1, "100 % ? %s")]


# --- modes, in every warehouse


def test_rows_that_are_gone_from_the_source_are_taken_out_and_kept_in_a_backup(
    folder: Path, any_engine: Engine
) -> None:
    import duckdb

    pipeline(folder, any_engine, "upsert-delete")
    day(folder, "t", ROWS)
    assert counts(load()) == [0, 3, 3, 0, 0, 0]
    day(folder, "t", [{"k": 2, "a": "new"}, {"k": 3, "a": ""}, {"k": 4, "a": "x"}], NEXT)
    summary = load(NEXT)
    assert counts(summary) == [3, 3, 1, 1, 1, 1]
    assert any_engine.query("select k, a from t order by k") == [(2, "new"), (3, ""), (4, "x")]
    kept = folder / summary["tables"]["t"]["backup"]
    assert duckdb.sql(f"select k, a from '{kept}' order by k").fetchall() == [(1, "x"), (2, None), (3, "")]
    assert load(NEXT)["tables"]["t"]["repeat"] is True
    day(folder, "t", [], "2013-02-10")
    assert "would empty table 't' of 3" in refused(date="2013-02-10")
    assert any_engine.query("select count(*) from t") == [(3,)]


def versions(engine: Engine) -> list[tuple[Any, ...]]:
    found = engine.query("select k, a, valid_from, valid_to, is_current from t order by k, valid_from")
    return [(k, a, str(since), to and str(to), bool(now)) for k, a, since, to, now in found]


def test_a_slowly_changing_dimension_keeps_every_version_with_its_dates(folder: Path, any_engine: Engine) -> None:
    pipeline(folder, any_engine, "scd2")
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": None}])
    assert counts(load()) == [0, 2, 2, 0, 0, 0]
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "set"}, {"k": 3, "a": "new"}], NEXT)
    assert counts(load(NEXT)) == [2, 4, 1, 1, 1, 0]
    first = [
        (1, "x", DATE, None, True), (2, None, DATE, NEXT, False), (2, "set", NEXT, None, True), (3, "new", NEXT, None, True),
    ]  # fmt: skip
    assert versions(any_engine) == first
    assert load(NEXT)["tables"]["t"]["repeat"] is True and versions(any_engine) == first
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "right"}, {"k": 3, "a": "new"}], NEXT)
    assert counts(load(NEXT)) == [4, 4, 0, 1, 2, 0]  # the same day again corrects its own version
    assert versions(any_engine)[2] == (2, "right", NEXT, None, True)
    day(folder, "t", [{"k": 1, "a": "late"}])
    assert "has a history with the later date 2013-02-09, and 2013-02-08 is not as it was loaded" in refused()
    day(folder, "t", [{"k": 1, "a": "x", "valid_from": "2013-01-01"}], "2013-02-10")
    assert "the column 'valid_from' is the mode's own" in refused(date="2013-02-10")


def test_a_backup_is_restored_and_the_restore_can_be_taken_back(folder: Path, any_engine: Engine) -> None:
    rows = [
        {"k": 1, "a": "x", "d": "2013-02-08", "n": 1.5, "j": {"b": [1]}},
        {"k": 2, "a": "", "d": None, "n": None, "j": None},
    ]
    schema = {"fields": [{"name": "d", "type": "date"}, {"name": "j", "type": "object"}]}
    settings = {"schema": schema, "load": {"table": "t", "mode": "replace"}}
    write_pipeline(folder, {"t": settings}, warehouse={"url": any_engine.url}, views={"v": "select max(k) as k from t"})
    day(folder, "t", rows)
    load()
    before = any_engine.query("select * from t order by k")
    day(folder, "t", [{"k": 9, "a": "y", "d": "2013-02-09", "n": 0.5, "j": {}}], NEXT)
    load(NEXT)
    after = any_engine.query("select * from t order by k")
    summary = loader.restore(pipelines.load(), "t")
    assert any_engine.query("select * from t order by k") == before != after
    assert summary["tables"]["t"]["mode"] == "restore" and counts(summary) == [1, 2, 2, 0, 0, 1]
    loader.restore(pipelines.load(), "t")
    assert any_engine.query("select * from t order by k") == after
    assert load(NEXT)["tables"]["t"]["repeat"] is False  # what was restored over is loaded when it is asked for
    history = any_engine.query("select mode from colony_load_history order by sequence")
    assert [mode for (mode,) in history] == ["replace", "replace", "restore", "restore", "replace"]


def test_what_cannot_be_restored_is_said(folder: Path, any_engine: Engine) -> None:
    pipeline(folder, any_engine, "replace")
    day(folder, "t", ROWS)
    load()
    for table, said in (("t", "there is no backup of 't'"), ("u", "there is no table 'u'")):
        with pytest.raises(ColonyError, match=said):
            loader.restore(pipelines.load(), table)
    day(folder, "t", [{"k": 9, "a": "y"}], NEXT)
    backup = folder / load(NEXT)["tables"]["t"]["backup"]
    backup.write_bytes(backup.read_bytes()[:-20])
    with pytest.raises(ColonyError, match="cannot read the backup"):
        loader.restore(pipelines.load(), "t")
    assert any_engine.query("select k from t") == [(9,)]


# --- what is a repeat, and what is not any more


def by_mode(folder: Path, engine: Engine, mode: str, key: Any = "k") -> None:
    settings = {"table": "t", "mode": mode} | ({"key": key} if mode not in ("append", "replace") else {})
    write_pipeline(folder, {"t": {"load": settings}}, warehouse={"url": engine.url})


def tell(engine: Engine, folder: Path, sql: str) -> None:
    """Another program changes the warehouse."""
    if engine.name == "duckdb":
        import duckdb

        with duckdb.connect(str(folder / "w.duckdb")) as connection:
            connection.execute(sql)
    elif engine.name == "sqlite":
        with sqlite3.connect(folder / "w.db") as file:
            file.execute(sql)
        file.close()
    else:
        with psycopg.connect(engine.url, autocommit=True) as session:
            session.execute(sql)


def days(folder: Path) -> None:
    day(folder, "t", [{"k": 1, "a": "x"}])
    day(folder, "t", [{"k": 2, "a": "y"}], NEXT)


def test_another_mode_makes_the_same_file_another_load_but_nothing_is_appended_twice(
    folder: Path, any_engine: Engine
) -> None:
    days(folder)
    by_mode(folder, any_engine, "append")
    load()
    load(NEXT)
    by_mode(folder, any_engine, "replace")
    assert counts(load(NEXT)) == [2, 1, 0, 0, 1, 1]
    by_mode(folder, any_engine, "append")
    assert load(NEXT)["tables"]["t"]["repeat"] is True  # its rows are there, by the replace
    assert counts(load()) == [1, 2, 1, 0, 0, 0]  # these were replaced
    assert load()["tables"]["t"]["repeat"] is True
    by_mode(folder, any_engine, "upsert-delete")
    assert counts(load(NEXT)) == [2, 1, 0, 0, 1, 1]
    by_mode(folder, any_engine, "scd2")
    assert "it was not loaded in this mode before" in refused(date=NEXT)


def test_another_key_makes_the_same_file_another_load(folder: Path, any_engine: Engine) -> None:
    by_mode(folder, any_engine, "upsert")
    for date in (DATE, NEXT):  # a key too coarse: the second day's row takes the place of the first's
        day(folder, "t", [{"k": 1, "d": date}], date)
        load(date)
    by_mode(folder, any_engine, "upsert", ["k", "d"])
    assert counts(load()) == [1, 2, 1, 0, 0, 0]
    assert counts(load(NEXT)) == [2, 2, 0, 0, 1, 0]
    assert load()["tables"]["t"]["repeat"] is load(NEXT)["tables"]["t"]["repeat"] is True


@pytest.mark.parametrize("mode", ["append", "upsert", "scd2"])
def test_all_days_of_a_table_that_was_dropped_are_loaded_again(folder: Path, any_engine: Engine, mode: str) -> None:
    days(folder)
    by_mode(folder, any_engine, mode)
    load()
    load(NEXT)
    tell(any_engine, folder, "DROP TABLE t")
    assert [counts(load(date)) for date in (DATE, NEXT)] == [[0, 1, 1, 0, 0, 0], [1, 2, 1, 0, 0, 0]]
    assert all(load(date)["tables"]["t"]["repeat"] for date in (DATE, NEXT))
    assert any_engine.query("select count(*) from colony_load_history") == [(4,)]


def test_rows_that_somebody_took_out_of_a_table_do_not_come_back_by_a_repeat(folder: Path, any_engine: Engine) -> None:
    days(folder)
    by_mode(folder, any_engine, "append")
    load()
    tell(any_engine, folder, "DELETE FROM t")
    load(NEXT)
    assert load()["tables"]["t"]["repeat"] is True
    assert any_engine.query("select k from t") == [(2,)]


def test_a_receipt_that_was_deleted_lets_its_rows_be_appended_again(folder: Path, any_engine: Engine) -> None:
    days(folder)
    by_mode(folder, any_engine, "append")
    load()
    load(NEXT)
    tell(any_engine, folder, "DELETE FROM t WHERE k = 1")
    assert load()["tables"]["t"]["repeat"] is True
    tell(any_engine, folder, f"DELETE FROM colony_loads WHERE table_name = 't' AND date = '{DATE}'")
    assert counts(load()) == [1, 2, 1, 0, 0, 0]


def test_a_warehouse_of_an_earlier_version_whose_receipts_have_no_key_stays_known(
    folder: Path, any_engine: Engine
) -> None:
    days(folder)
    by_mode(folder, any_engine, "upsert")
    load()
    for table in ("colony_loads", "colony_load_history"):
        tell(any_engine, folder, f"ALTER TABLE {table} DROP COLUMN key")
    assert load()["tables"]["t"]["repeat"] is True
    assert counts(load(NEXT)) == [1, 2, 1, 0, 0, 0]
    assert any_engine.query("select key from colony_load_history order by sequence") == [(None,), ('["k"]',)]


def test_a_day_of_a_history_is_a_repeat_after_later_ones_and_is_otherwise_refused(
    folder: Path, any_engine: Engine
) -> None:
    by_mode(folder, any_engine, "scd2")
    for date in (DATE, NEXT, "2013-02-10"):
        day(folder, "t", [{"k": 1, "a": "x"}], date)
        load(date)
    assert all(load(date)["tables"]["t"]["repeat"] for date in (NEXT, DATE))
    day(folder, "t", [{"k": 1, "a": "late"}], NEXT)  # no version begins later, but the tenth said that it holds then
    assert "has a history with the later date 2013-02-10, and 2013-02-09 is not as it was loaded" in refused(date=NEXT)
    assert versions(any_engine) == [(1, "x", DATE, None, True)]


def test_a_key_that_goes_and_comes_back_in_a_history_is_the_same_version(folder: Path, any_engine: Engine) -> None:
    by_mode(folder, any_engine, "scd2")
    whole, part = [{"k": 1, "a": "x"}, {"k": 2, "a": "p"}], [{"k": 1, "a": "y"}]
    for date, rows in ((DATE, whole), (NEXT, part), ("2013-02-10", [*part, whole[1]])):
        day(folder, "t", rows, date)
        load(date)
    day(folder, "t", [{"k": 1, "a": "y", "n": None}, {"k": 2, "a": "p", "n": 5}], "2013-02-11")
    assert counts(load("2013-02-11")) == [3, 4, 0, 1, 1, 0]  # a new column is a change where it has a value
    assert versions(any_engine) == [
        (1, "x", DATE, NEXT, False), (1, "y", NEXT, None, True), (2, "p", DATE, "2013-02-11", False), (2, "p", "2013-02-11", None, True),
    ]  # fmt: skip


def test_a_backup_is_never_written_over_and_is_restored_into_a_table_with_newer_columns(
    folder: Path, any_engine: Engine
) -> None:
    import duckdb

    by_mode(folder, any_engine, "upsert-delete")
    a, b = [{"k": 1, "a": "x"}, {"k": 2, "a": "x"}], [{"k": 1, "a": "y"}]
    kept = []
    for rows in (a, b, a, b):
        day(folder, "t", rows)
        kept.append(load()["tables"]["t"]["backup"])
    assert kept[1] != kept[3] and kept[0] is kept[2] is None
    assert [duckdb.sql(f"select k from '{folder / kept[n]}' order by k").fetchall() for n in (1, 3)] == [[(1,), (2,)]] * 2
    day(folder, "t", [{"k": 1, "a": "y", "n": 3}], NEXT)
    load(NEXT)
    summary = loader.restore(pipelines.load(), "t")
    assert "column 'n' is newer than the backup: the rows have none" in summary["notes"]
    assert any_engine.query("select k, a, n from t order by k") == [(1, "x", None), (2, "x", None)]
    loader.restore(pipelines.load(), "t")
    assert any_engine.query("select k, a, n from t") == [(1, "y", 3)]
    loader.restore(pipelines.load(), "t")
    tell(any_engine, folder, "ALTER TABLE t DROP COLUMN n")
    with pytest.raises(ColonyError, match="has a column 'n' that table 't' has not now"):
        loader.restore(pipelines.load(), "t")


KILLED = """\
import os, signal, sys
from colony_lib.base.errors import ColonyError
from colony_lib.data import load as loader, pipeline as pipelines, warehouses
from colony_lib.data.warehouses import receipts, remote
point = sys.argv[1]
def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "staged": remote.Remote.check_key = die
if point == "rows": loader._verify = die
if point == "receipt": receipts._insert = die
if point == "commit":
    module = sys.modules[type(None).__module__]
    from colony_lib.data.warehouses import postgresql, sqlite
    postgresql.PostgreSQL.commit = sqlite.SQLite.commit = die
if point == "after": loader.load_metadata.follow = die
loader.load(pipelines.load(), sys.argv[2], [])
"""


@pytest.mark.parametrize("point", ["staged", "rows", "receipt", "commit", "after"])
def test_a_load_that_is_killed_leaves_all_or_nothing_and_the_next_knows_which(
    folder: Path, engine: Engine, point: str
) -> None:
    pipeline(folder, engine)
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [{"k": 3, "a": "changed"}, {"k": 4, "a": "new"}], NEXT)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, point, NEXT], cwd=folder, env=clean_environment(PYTHONPATH=str(REPOSITORY))
    )
    assert done.returncode == -signal.SIGKILL
    whole = [(1, "x"), (2, None), (3, "changed"), (4, "new")]
    before = [(1, "x"), (2, None), (3, "")]
    assert engine.query("select k, a from t order by k") == (whole if point == "after" else before)
    summary = load(NEXT)
    assert summary["tables"]["t"]["repeat"] is (point == "after")
    assert engine.query("select k, a from t order by k") == whole
    assert engine.query("select count(*) from colony_load_history") == [(2,)]


# --- SQLite alone


@pytest.mark.parametrize("mode", ["upsert", "upsert-delete", "scd2"])
def test_rows_are_found_by_their_key_and_not_by_going_through_all(folder: Path, mode: str) -> None:
    """Without the two indexes these 30,000 rows would be compared 900 million times, which takes minutes."""
    pipeline(folder, Engine("sqlite", "sqlite:///w.db", lambda sql: []), mode)
    day(folder, "t", [{"k": k, "a": "x"} for k in range(30_000)])
    load()
    day(folder, "t", [{"k": k, "a": "y" if k % 10 == 0 else "x"} for k in range(30_000)], NEXT)
    assert counts(load(NEXT))[2:] == [0, 3000, 27_000, 0]
    connection = sqlite3.connect(folder / "w.db")
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT 1 FROM t WHERE k = 5").fetchall()
    assert "USING COVERING INDEX colony_key_t_k" in plan[0][-1]
    connection.close()


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_rows_come_the_same_by_the_driver_and_without_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    fields = {"k": "integer", "a": "string", "n": "number", "b": "boolean", "d": "date", "m": "datetime", "o": "object"}
    rows = [
        {"k": 2**62 + k, "a": text, "n": k / 3, "b": k % 2 == 0, "d": "2013-02-08", "m": "2013-02-08T05:00:01.5Z", "o": {"k": [k]}}
        for k, text in enumerate(["", "5", "1e3", 'a "b"', "a\nb", "Zoë \U0001f6eb", "x'y"])
    ] + [{**dict.fromkeys(fields), "k": -1}]  # fmt: skip
    monkeypatch.setattr(sqlite_rows, "_FEW", 0)
    asked: list[bool] = []
    driver = sqlite_rows._driver
    dumps = []
    for with_driver in (True, False):

        def found(with_driver: bool = with_driver) -> Any:
            asked.append(with_driver)
            return driver() if with_driver else None

        monkeypatch.setattr(sqlite_rows, "_driver", found)
        settings = {"table": "t", "mode": mode} | ({"key": "k"} if mode == "upsert" else {})
        schema = {"fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
        url = f"sqlite:///{with_driver}.db"
        write_pipeline(folder, {"t": {"schema": schema, "load": settings}}, warehouse={"url": url})
        day(folder, "t", rows)
        assert counts(load()) == [0, 8, 8, 0, 0, 0]
        connection = sqlite3.connect(folder / f"{with_driver}.db")
        names = ", ".join(f"{name}, typeof({name})" for name in fields)
        dumps.append(connection.execute(f"select {names} from t order by k, a").fetchall())
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        connection.close()
    assert dumps[0] == dumps[1] and len(dumps[0]) == 8 and asked == [True, False]
    assert driver() is not None, "the package adbc-driver-sqlite is not installed"


def test_a_sqlite_file_that_another_writes_is_waited_for_and_then_said(folder: Path) -> None:
    engine = Engine("sqlite", "sqlite:///w.db", lambda sql: [])
    pipeline(folder, engine)
    day(folder, "t", ROWS)
    other = sqlite3.connect(folder / "w.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE mine (x)")
    assert "'w.db' is in use by another program" in refused(BUSY, timeout=0.3)
    other.execute("COMMIT")
    assert counts(load()) == [0, 3, 3, 0, 0, 0]
    other.close()


def test_a_file_that_is_no_sqlite_file_is_left_alone(folder: Path) -> None:
    pipeline(folder, Engine("sqlite", "sqlite:///w.db", lambda sql: []))
    (folder / "w.db").write_text("these are my notes, no database at all " * 100)
    day(folder, "t", ROWS)
    assert "cannot open the warehouse 'w.db': file is not a database" in refused()
    assert (folder / "w.db").read_text().startswith("these are my notes")


# --- PostgreSQL alone


def postgres(database: str) -> Engine:
    return Engine("postgresql", database, lambda sql: [])


def test_the_password_is_in_no_message_and_no_file(folder: Path, database: str, server: PostgreSQL) -> None:
    pipeline(folder, postgres(database))
    day(folder, "t", ROWS)
    summary = load()
    assert summary["warehouse"] == database.replace(f"loader:{PASSWORD}@", "")
    for wrong in (database.replace(PASSWORD, "wrong-" + PASSWORD), database.replace(str(server.port), "1")):
        pipeline(folder, postgres(wrong))
        said = refused()
        assert "cannot connect to the warehouse postgresql://127.0.0.1:" in said and PASSWORD not in said
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "pipeline.yml"]
    assert not any(PASSWORD.encode() in text for text in texts)


ODD = ["", " ", '"', 'a "b", c', "a\nb", "a\r\nb", "\\N", "NULL", "Zoë \u2028", "x,y", "\t", None]


def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(table, rows) of all that is copied to the server from now on."""
    found: list[tuple[str, int]] = []
    original = postgresql_rows.copy_in

    def copy_in(db: Any, table: str, *given: Any) -> int:
        rows = original(db, table, *given)
        found.append((table, rows))
        return rows

    monkeypatch.setattr(postgresql_rows, "copy_in", copy_in)
    return found


def test_an_upsert_sends_what_differs_and_nothing_that_is_the_same(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(folder, postgres(database))
    found = sent(monkeypatch)
    rows = [
        {"k": k, "a": text, "n": k / 3, "b": k % 2 == 0, "m": f"2013-02-08T05:00:{k:02d}.123456Z", "d": "1066-10-14"}
        for k, text in enumerate(ODD)
    ]
    day(folder, "t", rows)
    assert counts(load()) == [0, 12, 12, 0, 0, 0] and found == [('"t"', 12)]
    day(folder, "t", rows, NEXT)
    assert counts(load(NEXT)) == [12, 12, 0, 0, 12, 0] and len(found) == 1
    # An empty text becomes none, and the other way round: neither is the other.
    rows[0]["a"], rows[-1]["a"] = None, ""
    day(folder, "t", [*rows, {**rows[3], "k": 99}], "2013-02-10")
    assert counts(load("2013-02-10")) == [12, 13, 1, 2, 10, 0]
    assert found[1:] == [('"colony_rows_t_changed"', 2), ('"t"', 1)]
    with psycopg.connect(database) as look:
        there = look.execute("select a from t order by k").fetchall()
    assert there == [*((row["a"],) for row in rows), (ODD[3],)]


@pytest.mark.parametrize(
    "table",
    [
        "t (k bigint, a text, d date, CHECK (k < 100))",  # its first day is before Christ, which DuckDB writes otherwise
        "t (k int, a varchar(9), d date)",
        "t (k bigint, a text, d date) PARTITION BY RANGE (k)",
    ],
)
def test_where_the_server_must_look_for_itself_an_upsert_comes_to_the_same(
    folder: Path, database: str, table: str
) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(f"CREATE TABLE {table}")
        if "PARTITION" in table:
            other.execute("CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (2)")
            other.execute("CREATE TABLE high PARTITION OF t FOR VALUES FROM (2) TO (100)")
        other.execute("INSERT INTO t VALUES (7, 'old', '0044-03-15 BC'), (1, 'x', '2013-02-08')")
    pipeline(folder, postgres(database))
    day(folder, "t", [{"k": k, "a": "x" * k, "d": "2013-02-08"} for k in (1, 2, 7)])
    assert counts(load()) == [2, 3, 1, 1, 1, 0]
    with psycopg.connect(database) as look:
        there = look.execute("select k, a from t order by k").fetchall()
    assert there == [(1, "x"), (2, "xx"), (7, "x" * 7)]


def test_a_key_that_the_table_has_twice_is_refused(folder: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE TABLE t (k bigint, a text)")
        other.execute("INSERT INTO t VALUES (1, 'x'), (1, 'y')")
    pipeline(folder, postgres(database))
    day(folder, "t", [{"k": 1, "a": "z"}])
    assert "table 't' has 2 rows for 1 key: its key (k) is not unique in it" in refused()


def test_a_table_that_somebody_has_locked_is_waited_for_and_then_said(folder: Path, database: str) -> None:
    pipeline(folder, postgres(database))
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [{"k": 9, "a": "z"}], NEXT)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        assert "somebody else holds it locked" in refused(BUSY, NEXT, timeout=1)
    assert counts(load(NEXT)) == [3, 4, 1, 0, 0, 0]


def test_a_load_from_another_machine_is_waited_for_and_named(folder: Path, database: str) -> None:
    """Its lock of Colony's is on its own disk; only the server knows of both."""
    pipeline(folder, postgres(database))
    day(folder, "t", ROWS)
    with psycopg.connect(database, autocommit=True, application_name="colony load, other host") as other:
        other.execute("SELECT pg_advisory_lock(%s)", [postgresql._LOCK])
        said = refused(BUSY, timeout=0.3)
        assert "is being loaded by 'colony load, other host' at 127.0.0.1 (backend" in said
    assert counts(load()) == [0, 3, 3, 0, 0, 0]


def test_a_server_that_dies_while_rows_are_copied_leaves_nothing_half_loaded(folder: Path) -> None:
    with PostgreSQL() as server:
        pipeline(folder, postgres(server.url))
        day(folder, "t", ROWS)
        load()
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("CHECKPOINT")  # this server does not wait for the disk at a commit
        day(folder, "t", [{"k": k, "a": "y" * 200} for k in range(20_000)], NEXT)
        original = postgresql_rows.os.read

        def read(fd: int, size: int) -> bytes:
            server.die()
            return original(fd, size)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgresql_rows.os, "read", read)
            said = refused(date=NEXT)
        assert "is lost" in said and "cannot hand" in said
        server.start()
        with psycopg.connect(server.url) as look:
            assert look.execute("select count(*) from t").fetchone() == (3,)
        assert counts(load(NEXT)) == [3, 20_000, 19_997, 3, 0, 0]


def test_names_that_the_server_would_cut_or_tell_apart_are_refused_before_they_are_others(
    folder: Path, database: str
) -> None:
    engine = Engine("postgresql", database, lambda sql: [])
    by_mode(folder, engine, "append")
    for column, size in (("c" * 64, 64), ("ü" * 32, 64)):
        day(folder, "t", [{"k": 1, column: "x"}])
        assert f"has {size} bytes, and PostgreSQL cuts it after 63" in refused()
    day(folder, "t", [{"k": 1, "c" * 63: "x"}])
    load()
    day(folder, "t", [{"k": 2, "c" * 63: "y"}], NEXT)
    assert load(NEXT)["tables"]["t"]["inserted"] == 1
    tell(engine, folder, 'CREATE TABLE flights (k bigint, "A" text)')
    for table, said in (("Flights", "there is a table 'flights', which to PostgreSQL is another"), ("flights", "the column 'a' is called 'A' in table")):  # fmt: skip
        write_pipeline(folder, {"t": {"load": {"table": table, "mode": "append"}}}, warehouse={"url": database})
        day(folder, "t", [{"k": 1, "a": "x"}])
        assert said in refused()
    tell(engine, folder, 'CREATE TABLE "Flights" (k bigint, a text)')  # two tables: each has its own columns
    views = {"whole": 'select count(*) as n from "Flights"'}
    settings = {"t": {"load": {"table": "Flights", "mode": "append"}}}
    write_pipeline(folder, settings, warehouse={"url": database}, views=views)
    assert load()["views"] == ["whole"]
    with psycopg.connect(database) as session:
        assert session.execute("SELECT n FROM whole").fetchone() == (1,)


def test_another_schema_is_named_in_the_url(folder: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("CREATE SCHEMA analytics")
        session.execute("CREATE TABLE public.t (z int)")
        engine = Engine("postgresql", database + "?options=-csearch_path%3Danalytics", lambda sql: [])
        by_mode(folder, engine, "upsert")
        days(folder)
        summary, [item] = loader.load(pipelines.load(), DATE, [])
        assert counts(summary) == [0, 1, 1, 0, 0, 0] and "analytics" not in summary["warehouse"]
        found = session.execute("SELECT k, (SELECT count(*) FROM public.t) FROM analytics.t").fetchall()
        assert found == [(1, 0)]
        run = lineage.recording("load", DATE)
        load_record.lineage_of(summary, [item], run)
        assert run.outputs[0]["name"] == f"{database.rpartition('/')[2]}.analytics.t"
        assert run.outputs[0]["namespace"] == "postgres://" + database.rpartition("@")[2].partition("/")[0]
    by_mode(folder, Engine("postgresql", database + "?options=-csearch_path%3Dnowhere", lambda sql: []), "upsert")
    assert "there is no schema of the search path nowhere" in refused()
    write_pipeline(folder, {"t": {"load": {"table": "analytics.t"}}}, warehouse={"url": database})
    assert "must be a name of letters, digits and '_'; a schema of PostgreSQL is named in the" in refused(code=2)


def test_a_nul_is_refused_with_its_column_by_a_server_that_cannot_hold_it(folder: Path, any_engine: Engine) -> None:
    fields = {"schema": {"fields": [{"name": "j", "type": "object"}]}}
    for mode in ("append", "replace", "upsert"):
        key = {"key": "k"} if mode == "upsert" else {}
        write_pipeline(folder, {"t": {"load": {"table": f"t_{mode}", "mode": mode, **key}, **fields}}, warehouse={"url": any_engine.url})  # fmt: skip
        day(folder, "t", [{"k": 1, "a": "x\\u0000", "j": {}}, {"k": 2, "a": "a\0b", "j": {}}])
        day(folder, "t", [{"k": 1, "a": "x", "j": {"n": "\0"}}], NEXT)
        if any_engine.name == "postgresql":
            assert "1 value of column 'a' with the character U+0000" in refused()
            assert "1 value of column 'j' with the character U+0000" in refused(date=NEXT)
        else:
            load()
            assert any_engine.query(f"select a from t_{mode} order by k") == [("x\\u0000",), ("a\0b",)]


def test_materialised_views_over_the_tables_are_refreshed_in_the_same_transaction(folder: Path, database: str) -> None:
    pipeline(folder, postgres(database), views={"big": "select k from t where k > 1"})
    day(folder, "t", ROWS)
    load()
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM big")
        other.execute("CREATE MATERIALIZED VIEW twice AS SELECT n * 2 AS n FROM counted")
        day(folder, "t", [{"k": 9, "a": "z"}], NEXT)
        notes = load(NEXT)["notes"]
        assert notes == ["refreshed materialised view 'counted'", "refreshed materialised view 'twice'"]
        assert other.execute("SELECT n FROM twice").fetchone() == (6,)


def test_a_unique_constraint_of_the_tables_own_takes_everything_back(folder: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE TABLE t (k int PRIMARY KEY, a varchar(3) UNIQUE)")
    pipeline(folder, postgres(database))
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "x"}])
    assert "duplicate key value violates unique constraint" in refused()
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "long"}])
    assert "value too long for type character varying(3)" in refused()
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "y"}])
    assert counts(load()) == [0, 2, 2, 0, 0, 0]


def test_rows_that_another_commits_while_the_load_waits_for_them_are_counted(folder: Path, database: str) -> None:
    """The table is held before it is counted: counted before, what the other adds would not add up."""
    pipeline(folder, postgres(database))
    day(folder, "t", ROWS)
    load()
    day(folder, "t", [{"k": 9, "a": "z"}], NEXT)
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as look:
        other.execute("INSERT INTO t VALUES (7, 'another')")
        found: list[Any] = []
        loading = threading.Thread(target=lambda: found.append(load(NEXT, timeout=60)))
        loading.start()
        deadline = time.monotonic() + 60
        while not look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        other.commit()
        loading.join(60)
    assert counts(found[0]) == [4, 5, 1, 0, 0, 0]


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose rows are counted from now on."""
    found: list[str] = []
    original = postgresql.PostgreSQL.count
    monkeypatch.setattr(postgresql.PostgreSQL, "count", lambda db, table: found.append(table) or original(db, table))
    return found


def test_after_a_load_the_server_is_believed_in_what_it_has_counted_itself(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(folder, postgres(database))
    found = counting(monkeypatch)
    for number, (rows, expected) in enumerate(((ROWS, [0, 3, 3, 0, 0, 0]), ([{"k": 1, "a": "y"}], [3, 3, 0, 1, 0, 0]))):
        day(folder, "t", rows, f"2013-03-0{number + 1}")
        assert counts(load(f"2013-03-0{number + 1}")) == expected
        assert found == ["t", "t"]  # before the load, and for what is said of the warehouse after it
        found.clear()


def test_where_the_server_has_not_counted_the_rows_are(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE TABLE t (k bigint, a text) PARTITION BY RANGE (k)")
        other.execute("CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100)")
    pipeline(folder, postgres(database), "append")
    day(folder, "t", ROWS)
    found = counting(monkeypatch)
    assert counts(load()) == [0, 3, 3, 0, 0, 0] and found == ["t", "t", "t"]


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_rows_that_a_trigger_takes_away_again_take_the_load_back(folder: Path, database: str, mode: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE TABLE t (k bigint, a text)")
        other.execute(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN DELETE FROM t WHERE k = 2; RETURN NULL; END $$"
        )
        other.execute("CREATE TRIGGER lose AFTER INSERT ON t EXECUTE FUNCTION lose()")
    pipeline(folder, postgres(database), mode)
    day(folder, "t", ROWS)
    assert "the row counts of table 't' do not add up: 0 before, 2 after, 3 in the file; 3 inserted" in refused()
    with psycopg.connect(database) as look:
        assert look.execute("select count(*) from t").fetchone() == (0,)


def test_loads_at_the_same_time_never_mix(folder: Path, database: str) -> None:
    pipeline(folder, postgres(database))
    for number in range(4):
        day(folder, "t", [{"k": k, "a": str(number)} for k in range(2000)], f"2013-02-1{number}")
    code = "import sys; from colony_lib.data import load, pipeline; load.load(pipeline.load(), sys.argv[1], [], timeout=60)"
    words = [sys.executable, "-c", code]
    started = [
        subprocess.Popen([*words, f"2013-02-1{number}"], cwd=folder, env=clean_environment(PYTHONPATH=str(REPOSITORY)))
        for number in range(4)
    ]
    assert [process.wait(120) for process in started] == [0] * 4
    with psycopg.connect(database) as look:
        assert len(look.execute("select distinct a from t").fetchall()) == 1
        assert look.execute("select count(*) from colony_loads").fetchone() == (4,)


def test_an_interrupt_while_the_server_works_ends_the_load_and_takes_it_back(folder: Path, database: str) -> None:
    pipeline(folder, postgres(database), post_load=[{"name": "slow", "sql": "select pg_sleep(60) is not null"}])
    day(folder, "t", ROWS)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        load()
    timer.join()
    with psycopg.connect(database) as look:
        assert look.execute("select count(*) from pg_class where relname = 't'").fetchone() == (0,)
