"""Sources of type `sql`: queries of real databases, their values as JSON, and what is new by a watermark."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import REPOSITORY, clean_environment
from tests.postgres import PASSWORD, PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE sales (id int, day date, at timestamptz, plain timestamp, price numeric(12, 2), ok bool, "
                "tags text[], more jsonb, raw bytea, took interval)"
            )
            connection.execute("CREATE SEQUENCE numbers")
            connection.execute(
                "INSERT INTO sales SELECT i, date '2013-02-08' + (i / 1500), timestamptz '2013-02-08 05:00-05', "
                "'2013-02-08 05:00', 12345678.25, true, '{a,b}', '{\"a\": [1]}', '\\x00ff', '90 minutes' "
                "FROM generate_series(1, 3000) AS i"
            )
        yield server


@pytest.fixture
def shop(folder: Path) -> Path:
    connection = sqlite3.connect(folder / "shop.db")
    connection.execute("CREATE TABLE sales (id INTEGER, day TEXT, note TEXT)")
    rows = [(1, "2013-02-07", "a"), (2, "2013-02-08", None), (3, "2013-02-08", "it's; drop table sales; --")]
    connection.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return folder / "shop.db"


def sql(query: str, url: str = "sqlite:///shop.db", **more: Any) -> dict[str, Any]:
    return {"type": "sql", "url": url, "query": query, **more}


def test_the_rows_of_a_day_come_with_the_date_bound_as_a_value(fetch: Any, shop: Path) -> None:
    done = fetch(sql("select id, note from sales where day = {{date}} order by id;"))
    assert done.code == 0
    assert done.rows() == [{"id": 2, "note": None}, {"id": 3, "note": "it's; drop table sales; --"}]
    assert fetch(sql("select count(*) as n from sales where day = {{ yesterday }}")).rows() == [{"n": 1}]


def test_what_is_new_is_asked_for_by_the_watermark(fetch: Any, shop: Path) -> None:
    query, field = "select * from sales", {"field": "id"}
    assert [row["id"] for row in fetch(sql(query, incremental=field)).rows()] == [1, 2, 3]
    assert [row["id"] for row in fetch(sql(query, incremental=field), since="2").rows()] == [3]
    own = sql("select * from sales where day >= coalesce({{since}}, '0') order by id", incremental={"field": "day"})
    assert [row["id"] for row in fetch(own, since="2013-02-08").rows()] == [2, 3]
    assert [row["id"] for row in fetch(own).rows()] == [1, 2, 3]


def test_a_watermark_is_a_value_whatever_it_holds(fetch: Any, shop: Path) -> None:
    evil = "x' or 1=1; drop table sales; --"
    assert fetch(sql("select * from sales", incremental={"field": "day"}), since=evil).rows() == []
    assert len(fetch(sql("select * from sales")).rows()) == 3


def test_every_type_of_a_database_becomes_json(fetch: Any, server: PostgreSQL) -> None:
    done = fetch(sql("select * from sales where id = 1", server.url))
    assert done.rows() == [
        {
            "id": 1, "day": "2013-02-08", "at": "2013-02-08T10:00:00Z", "plain": "2013-02-08T05:00:00", "price": 12345678.25,
            "ok": True, "tags": ["a", "b"], "more": {"a": [1]}, "raw": "AP8=", "took": "1:30:00",
        }
    ]  # fmt: skip


def test_many_rows_come_in_portions(fetch: Any, server: PostgreSQL) -> None:
    done = fetch(sql("select id from sales where day <= {{date}} order by id", server.url))
    assert [row["id"] for row in done.rows()] == list(range(1, 1500))
    assert done.figures()["pages"] == 2


def test_a_query_changes_nothing(fetch: Any, server: PostgreSQL, shop: Path) -> None:
    done = fetch(sql("delete from sales returning id", server.url))
    assert done.code == 1 and "the database refused" in done.error()
    for evil in ("with gone as (delete from sales returning id) select id from gone", "select nextval('numbers') as n"):
        assert "the database refused" in fetch(sql(evil, server.url)).error()
    assert len(fetch(sql("select id from sales", server.url)).rows()) == 3000
    fetch(sql("delete from sales returning id"))
    assert len(fetch(sql("select * from sales")).rows()) == 3


def test_the_password_is_in_no_message_and_no_file(
    fetch: Any, server: PostgreSQL, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", server.url)
    done = fetch(sql(f"select '{PASSWORD}' as said from nowhere", "$SHOP"))
    assert done.code == 1 and 'relation "nowhere" does not exist' in done.error()
    assert "loader:***@127.0.0.1" in done.error()
    fetch(sql(f"select '{PASSWORD}' as said", "$SHOP"))
    assert done.rows() == [{"said": "[SHOP]"}]
    monkeypatch.setenv("SHOP", server.url.replace(str(server.port), "1"))
    assert "connection" in fetch(sql("select 1 as x", "$SHOP")).error()
    texts = [path.read_text() for path in folder.rglob("*") if path.is_file() and path.name != "pipeline.yml"]
    assert not any(PASSWORD in text for text in texts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (sql("select 1 as a, 2 as a"), "the query gives the column 'a' twice"),
        (sql("select {{day}}"), "unknown place {{day}}"),
        (sql("select 1 as a", "no url"), "no URL of a database"),
        (sql("select 1 as a", "oracle9://host/x"), "no dialect 'oracle9'"),
        (sql("select * from no_such"), "the database refused: no such table: no_such"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(fetch: Any, shop: Path, settings: dict[str, Any], said: str) -> None:
    from colony_lib.base.errors import ColonyError

    try:
        done = fetch(settings)
        assert done.code in (1, 2) and not done.raw()
        error = done.error()
    except ColonyError as refused:
        error = str(refused)
    assert said in error and "\n" not in error


def test_a_plan_asks_nobody(folder: Path) -> None:
    from colony_lib.data import fetch as fetching
    from colony_lib.data import pipeline

    settings = sql("select * from sales where day = {{date}}", "postgresql://me:s3cret-word@nowhere.invalid/db")
    (folder / "pipeline.yml").write_text(json.dumps({"version": 1, "sources": {"s": settings}}))
    [plan] = fetching.Fetch(pipeline.load(), (), "2013-02-08").plan()
    assert plan["values"] == {"date": "2013-02-08"} and plan["url"] == "postgresql+psycopg://me:***@nowhere.invalid/db"


MEASURED = """\
import sys
from colony_lib import cli
code = cli.run("fetch", ["--date", "2013-02-08"])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


def test_memory_does_not_grow_with_the_table(folder: Path, server: PostgreSQL) -> None:
    """By a cursor of the server's: 120,000 rows of 1.1 kB are 130 MB, and more than that as the driver holds them."""
    query = "select i as id, repeat('x', 1000) || i as note, i / 7.0 as price from generate_series(1, 120000) as i"
    (folder / "pipeline.yml").write_text(json.dumps({"version": 1, "sources": {"s": sql(query, server.url)}}))
    command = [sys.executable, "-c", MEASURED]
    done = subprocess.run(command, env=clean_environment(PYTHONPATH=str(REPOSITORY)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, peak = done.stdout.splitlines()
    assert said.startswith("s: 120,000 records in ") and int(peak) < 120_000, (said, peak)  # kB
