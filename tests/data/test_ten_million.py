"""Ten million rows through fetch, transform, validate and load, each within 2 GiB: `make test-long`, a quarter of an hour."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment

ROWS = 10_000_000
LIMIT = 2 << 20  # KiB
COLUMNS = {
    "id": "integer", "day": "date", "at": "datetime", "carrier": "string", "flight": "integer", "tail": "string",
    "origin": "string", "dest": "string", "delay": "number", "distance": "number", "seats": "integer", "note": "string",
}  # fmt: skip
PIPELINE = f"""\
version: 1
warehouse: {{url: "duckdb:///warehouse.duckdb"}}
sources:
  flights: {{type: sql, url: "sqlite:///flights.db", query: "SELECT * FROM flights"}}
datasets:
  flights:
    schema:
      fields: [{", ".join(f"{{name: {name}, type: {kind}}}" for name, kind in COLUMNS.items())}]
      primaryKey: id
    transform:
      - {{type: nulls}}
      - {{type: types}}
      - {{type: dates}}
      - {{type: duplicates}}
      - {{type: derive, column: late, expression: "delay > 15"}}
      - {{type: outliers, column: distance, action: flag}}
    checks: [{{name: known, rule: "late is not null or delay is null"}}]
    thresholds: {{completeness: {{fail: 0.8}}}}
    load: {{table: flights, mode: upsert, key: id}}
"""


def peak(colony: Colony, command: str) -> int:
    """The most memory that `colony COMMAND` of the day took, in KiB; it must succeed."""
    process = subprocess.Popen(
        ["colony", command, "--date", "2013-01-15"],
        cwd=colony.root, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return usage.ru_maxrss


@pytest.mark.skipif("COLONY_TEST_LONG" not in os.environ, reason="takes a quarter of an hour: make test-long")
@pytest.mark.timeout(3600)
def test_ten_million_rows_go_through_all_of_it_within_two_gibibytes(colony: Colony) -> None:
    make(colony.root / "flights.db")
    colony.write("pipeline.yml", PIPELINE)
    peaks = {command: peak(colony, command) for command in ("fetch", "transform", "validate-data", "load")}
    assert max(peaks.values()) < LIMIT, peaks


def make(path: Path) -> None:
    chance = random.Random(1)
    portion = [
        (
            f"2013-{n % 12 + 1:02d}-{n % 28 + 1:02d}", f"2013-01-15T{n % 24:02d}:{n % 60:02d}:00Z", f"C{n % 16}",
            n % 8000, f"N{n % 4000}", ("EWR", "JFK", "LGA")[n % 3], f"D{n % 105}",
            chance.choice([None, chance.gauss(10, 40)]), float(chance.randrange(80, 5000)), n % 400, f"note {n % 1000}",
        )
        for n in range(100_000)
    ]  # fmt: skip
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE flights ({', '.join(COLUMNS)})")
        places = ", ".join("?" * len(COLUMNS))
        for start in range(0, ROWS, len(portion)):
            rows = ((start + n, *row) for n, row in enumerate(portion))
            connection.executemany(f"INSERT INTO flights VALUES ({places})", rows)
    connection.close()
