"""The example's day in a real PostgreSQL: the commands of its page, and the same rows and views as in DuckDB."""

from __future__ import annotations

import duckdb
import psycopg

from tests.conftest import Colony
from tests.examples.support import EXAMPLES, commands, shell
from tests.postgres import PASSWORD, PostgreSQL


def test_a_day_that_is_in_duckdb_is_loaded_into_postgresql_and_once_only(after: Colony) -> None:
    with PostgreSQL() as server:
        said = []
        for line in commands(EXAMPLES / "data-pipeline" / "README.md", "bash"):
            result = shell(line, after.root, env={"WAREHOUSE_URL": server.url})
            assert result.code == 0, f"{line}\n{result!r}"
            said.append(result.out + result.err)
        _, first, second, status = said
        assert PASSWORD not in "".join(said)
        assert "flights" in status
        with psycopg.connect(server.url) as warehouse:
            there = dict(warehouse.execute("select carrier, flights from delays_by_carrier").fetchall())
            windy = warehouse.execute("select * from delays_by_wind").fetchall()
            total = warehouse.execute("select count(*) from flights").fetchall()
    with duckdb.connect(str(after.root / "warehouse/flights.duckdb"), read_only=True) as warehouse:
        day = "from flights where flight_date = '2013-02-07'"
        here = dict(warehouse.execute(f"select carrier, count(*) {day} group by carrier").fetchall())
        assert there == here and total == [(sum(here.values()),)] == [(932,)]
        assert windy and sum(row[2] for row in windy) <= 932
    for file in after.root.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
