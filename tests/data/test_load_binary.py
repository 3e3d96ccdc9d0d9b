"""Many rows go to PostgreSQL in binary: they arrive as CSV would bring them, and what CSV is refused for is refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import load as loader
from colony_lib.data import pipeline as pipelines
from colony_lib.data.warehouses import postgresql_binary, postgresql_rows
from tests.data.loading import DATE, day, write_pipeline
from tests.postgres import PostgreSQL

NEXT = "2013-02-09"
TYPES = {
    "VARCHAR": "text", "BIGINT": "bigint", "DOUBLE": "double precision", "BOOLEAN": "boolean", "DATE": "date",
    "TIME": "time", "TIMESTAMP": "timestamp", "JSON": "jsonb",
}  # fmt: skip
FIELDS = {
    "k": "integer", "a": "string", "n": "number", "b": "boolean", "d": "date", "t": "time", "m": "datetime",
    "o": "object", "none": "any",
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def connection(server: PostgreSQL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        yield connection


@pytest.fixture
def in_binary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """However few rows they are; what was sent so, is listed."""
    monkeypatch.setattr(postgresql_rows, "_MANY", 0)
    found: list[str] = []
    original = postgresql_binary.copied

    def copied(capsule: Any, kinds: list[str], doing: str) -> Iterator[bytes | memoryview]:
        found.append(doing)
        return original(capsule, kinds, doing)

    monkeypatch.setattr(postgresql_binary, "copied", copied)
    return found


def settings(url: str, mode: str = "append", fields: dict[str, str] = FIELDS, **more: Any) -> dict[str, Any]:
    schema = {"fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    load = {"table": "t", "mode": mode} | ({"key": "k"} if mode == "upsert" else {})
    return {"datasets": {"t": {"schema": schema, "load": load}}, "warehouse": {"url": url}, **more}


def load(date: str = DATE) -> dict[str, Any]:
    done: dict[str, Any] = loader.load(pipelines.load(), date, [])[0]["tables"]["t"]
    return done


def refused(date: str = DATE) -> str:
    with pytest.raises(ColonyError) as caught:
        load(date)
    assert caught.value.code == FAILED
    return str(caught.value)


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    texts = ["", " ", '"', 'a "b", c', "a\r\nb", "\\N", "\\.", "Zoë \u2028 \U0001f6eb", "\t", None]
    made = [
        {
            "k": k, "a": texts[k % 10], "n": k / 3, "b": k % 2 == 0, "d": f"{1990 + k % 40}-02-08", "t": f"05:17:{k % 60:02d}.5",
            "m": f"{1960 + k % 80}-02-08T05:00:01.000001Z", "o": {"k": [k, None, "ü"]}, "none": None,
        }
        for k in range(first, first + count)
    ]  # fmt: skip
    made[1] = {**dict.fromkeys(FIELDS), "k": first + 1}
    return made


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_a_load_comes_to_the_same_in_binary_and_as_csv(
    folder: Path, server: PostgreSQL, connection: psycopg.Connection[Any], in_binary: list[str],
    monkeypatch: pytest.MonkeyPatch, mode: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(postgresql_binary, "_ROWS", 7)
    write_pipeline(folder, **settings(server.url, mode))
    found = []
    for many in (0, 1 << 60):
        monkeypatch.setattr(postgresql_rows, "_MANY", many)
        connection.execute(
            "DROP TABLE IF EXISTS t, colony_loads, colony_load_history, colony_tables, colony_watermarks, colony_views"
        )
        counts = []
        for date, given in ((DATE, rows(40)), (NEXT, rows(20, 30))):
            day(folder, "t", given, date)
            done = load(date)
            counts.append([done[key] for key in ("rows_before", "rows_after", "inserted", "updated", "deleted")])
        found.append((counts, connection.execute("SELECT t::text FROM t ORDER BY k, t::text").fetchall()))
        assert len(in_binary) == 2  # of the second round none
    assert found[0] == found[1] and found[0][0][1][2] > 0


def sent(connection: psycopg.Connection[Any], made: Iterator[bytes | memoryview], table: str) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        for piece in made:
            copy.write(piece)


def copied(rows: duckdb.DuckDBPyConnection, kinds: list[str]) -> Iterator[bytes | memoryview]:
    return postgresql_binary.copied(rows.sql("FROM given").__arrow_c_stream__(), kinds, "cannot hand over")


def value(chance: random.Random, kind: str, lengths: list[int]) -> Any:
    choices: dict[str, Callable[[], Any]] = {
        "BIGINT": lambda: chance.choice([0, -1, 2**63 - 1, -(2**63), chance.randrange(10**6)]),
        "DOUBLE": lambda: chance.choice([0.0, -0.0, 1.5, 1e308, 5e-324, chance.random()]),
        "BOOLEAN": lambda: chance.random() < 0.5,
        "DATE": lambda: chance.choice(["2013-02-28", "1999-12-31", "0001-01-01", "9999-12-31", "infinity", "-infinity"]),
        "TIME": lambda: chance.choice(["00:00:00", "23:59:59.999999", "24:00:00"]),
        "TIMESTAMP": lambda: chance.choice(
            ["2013-02-28 01:02:03.000001", "1999-12-31 23:59:59.999999", "0001-01-01 00:00:00", "infinity", "-infinity"]
        ),
        "JSON": lambda: chance.choice(['{"a": [1, 2.50, null]}', "[]", "null", '"x\\u00e9"', "1e5"]),
        "VARCHAR": lambda: "".join(chance.choice('ab"\\,\n\té€\U0001f600 ') for _ in range(chance.choice(lengths))),
    }  # fmt: skip
    return choices[kind]()


@pytest.mark.parametrize("seed", range(12))
def test_columns_of_any_types_and_nulls_beside_each_other_are_what_csv_makes_of_them(
    folder: Path, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(postgresql_binary, "_ROWS", chance.choice([3, 50, 10_000]))
    monkeypatch.setattr(postgresql_binary, "_BYTES", chance.choice([1, 1000, 1 << 22]))
    given = duckdb.connect()
    for _ in range(5):
        kinds = chance.choices(list(TYPES), k=chance.choice([1, 2, 3, 5, 12]))
        nulls = [chance.choice([0, 0, 0.01, 0.5, 1]) for _ in kinds]
        lengths = [chance.choice([[0], [3], [0, 1, 2, 3], [5, 6], [*range(40)], [1, 300, 3000]]) for _ in kinds]
        made = [
            [None if chance.random() < n else value(chance, k, few) for k, n, few in zip(kinds, nulls, lengths, strict=True)]
            for _ in range(chance.choice([0, 1, 2, 100, 300]))
        ]  # fmt: skip
        given.execute(f"CREATE OR REPLACE TABLE given ({', '.join(f'c{i} {kind}' for i, kind in enumerate(kinds))})")
        if made:
            given.executemany(f"INSERT INTO given VALUES ({', '.join('?' * len(kinds))})", made)
        wanted = ", ".join(f"c{i} {TYPES[kind]}" for i, kind in enumerate(kinds))
        connection.execute(f"DROP TABLE IF EXISTS ours, csv; CREATE TABLE ours ({wanted}); CREATE TABLE csv ({wanted})")
        sent(connection, copied(given, kinds), "ours")
        given.execute(f"COPY given TO '{folder}/given.csv' (FORMAT csv, HEADER false, FORCE_QUOTE *)")
        with connection.cursor() as cursor, cursor.copy("COPY csv FROM STDIN (FORMAT csv)") as copy:
            copy.write((folder / "given.csv").read_bytes())
        ours, csv = (
            connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1").fetchall() for name in ("ours", "csv")
        )
        assert ours == csv and len(ours) == len(made), (kinds, nulls, lengths)


def test_a_time_too_early_for_the_server_is_refused(connection: psycopg.Connection[Any]) -> None:
    given = duckdb.connect()
    given.execute("CREATE TABLE given AS SELECT make_timestamp(-9223372022400000000) AS m")
    connection.execute("CREATE TABLE ours (m timestamp)")
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
        sent(connection, copied(given, ["TIMESTAMP"]), "ours")


def test_a_type_that_is_not_read_is_said(connection: psycopg.Connection[Any]) -> None:
    given = duckdb.connect()
    given.execute("CREATE TABLE given AS SELECT 1::DECIMAL(9, 2) AS m")
    with pytest.raises(ColonyError, match="cannot hand over: no values of Arrow's format 'd:9,2"):
        list(copied(given, ["DOUBLE"]))


def test_a_query_that_fails_on_the_way_is_one_line(connection: psycopg.Connection[Any]) -> None:
    rows = duckdb.connect().sql(
        "SELECT CASE WHEN range > 300000 THEN error('no more') ELSE range END FROM range(400000)"
    )
    with pytest.raises(ColonyError, match=r"cannot hand over: .*no more"):
        list(postgresql_binary.copied(rows.__arrow_c_stream__(), ["BIGINT"], "cannot hand over"))


def test_a_text_with_a_nul_is_refused_and_nothing_is_loaded(
    folder: Path, server: PostgreSQL, connection: psycopg.Connection[Any], in_binary: list[str]
) -> None:
    write_pipeline(folder, **settings(server.url, fields={"k": "integer", "a": "string"}))
    day(folder, "t", [{"k": 1, "a": "x"}, {"k": 2, "a": "a\x00b"}])
    assert "1 value of column 'a' with the character U+0000 at staging/" in refused() and in_binary
    assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_column_without_a_value_goes_into_a_type_that_has_no_binary_form(
    folder: Path, server: PostgreSQL, connection: psycopg.Connection[Any], in_binary: list[str]
) -> None:
    connection.execute("CREATE TABLE t (k bigint, a aclitem)")
    write_pipeline(folder, **settings(server.url, fields={"k": "integer", "a": "string"}))
    day(folder, "t", [{"k": 1, "a": None}, {"k": 2, "a": None}])
    assert load()["inserted"] == 2 and not in_binary


def test_long_texts_go_as_csv_whatever_else_is_in_memory(
    folder: Path, server: PostgreSQL, connection: psycopg.Connection[Any], in_binary: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(postgresql_rows, "_LITTLE", 0)
    write_pipeline(folder, **settings(server.url, fields={"k": "integer", "a": "string"}))
    day(folder, "t", [{"k": 1, "a": "x" * 512}, {"k": 2, "a": None}])
    assert load()["inserted"] == 2 and len(in_binary) == 1
    day(folder, "t", [{"k": 1, "a": "x" * 513}, {"k": 2, "a": None}], NEXT)
    assert load(NEXT)["inserted"] == 2 and len(in_binary) == 1


@pytest.mark.parametrize("many", [0, 1 << 60])
def test_a_text_that_would_end_csv_is_a_text_like_others(
    folder: Path, server: PostgreSQL, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(postgresql_rows, "_MANY", many)
    write_pipeline(folder, **settings(server.url, fields={"a": "string"}))
    texts = ["x", "\\.", "", None, "y"]
    day(folder, "t", [{"a": text} for text in texts])
    assert load()["inserted"] == 5
    assert connection.execute("SELECT a FROM t").fetchall() == [(text,) for text in texts]


def test_a_server_that_dies_while_rows_go_there_in_binary_leaves_nothing_half_loaded(
    folder: Path, in_binary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgreSQL() as server:
        write_pipeline(folder, **settings(server.url))
        day(folder, "t", rows(40))
        load()
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("CHECKPOINT")  # this server does not wait for the disk at a commit
        day(folder, "t", rows(40, 40), NEXT)
        original = postgresql_binary.copied

        def dying(*given: Any) -> Iterator[bytes | memoryview]:
            for number, piece in enumerate(original(*given)):
                yield piece
                if number == 1:
                    server.die()

        with monkeypatch.context() as patch:
            patch.setattr(postgresql_binary, "copied", dying)
            said = refused(NEXT)
        assert "is lost" in said and "cannot hand" in said
        server.start()
        with psycopg.connect(server.url) as look:
            assert look.execute("SELECT count(*) FROM t").fetchone() == (40,)
        assert load(NEXT)["inserted"] == 40
