"""A field that is longer than any value: its record is set apart, cut, and the rest of the day is fetched."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.web import Answer, Web

LONG = "x" * 5000
ROWS = [{"id": 1, "a": "fine"}, {"id": 2, "a": LONG}, {"id": 3, "a": "fine"}]


def judge(done: Any) -> None:
    assert done.code == 0 and [int(row["id"]) for row in done.rows()] == [1, 3]
    [problem] = done.quarantine()[0]["data"]
    assert (
        "max_field (4,000 characters)" in problem["reason"]
        or "field larger than field limit (4000)" in problem["reason"]
    )
    assert done.figures()["quarantined"] == 1 and len(json.dumps(problem)) < 4000


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson"])
def test_in_a_file(fetch: Any, folder: Path, kind: str) -> None:
    text = {
        "csv": "id,a\n" + "".join(f"{row['id']},{row['a']}\n" for row in ROWS),
        "json": json.dumps(ROWS),
        "ndjson": "".join(json.dumps(row) + "\n" for row in ROWS),
    }[kind]
    (folder / f"a.{kind}").write_text(text)
    judge(fetch({"type": "file", "path": f"a.{kind}", "max_field": "4KB"}))


def test_in_a_reply_also_where_the_field_is_no_text(fetch: Any) -> None:
    rows = [{"id": 1}, {"id": 2, "a": [LONG, {"b": 1}]}, {"id": 3}]
    with Web(lambda _: Answer(rows)) as web:
        judge(fetch({"type": "rest", "url": web.url, "max_field": 4000}))
        assert len(fetch({"type": "rest", "url": web.url}).rows()) == 3


def test_in_a_database(fetch: Any, folder: Path) -> None:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("CREATE TABLE t (id integer, a text)")
        connection.executemany("INSERT INTO t VALUES (:id, :a)", ROWS)
    judge(fetch({"type": "sql", "url": "sqlite:///a.db", "query": "SELECT * FROM t", "max_field": "4KB"}))


def test_records_that_are_long_for_their_many_fields_are_taken(fetch: Any, folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps([{f"f{n}": "x" * 100 for n in range(100)}]))
    assert fetch({"type": "file", "path": "a.json", "max_field": "4KB"}).figures()["records"] == 1
