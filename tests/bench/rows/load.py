"""What a load costs beside the engines' own clients: its part in the warehouse, and the whole command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import gate
from tests.bench.measure import Command, Failed, Pairs, Run
from tests.bench.suite import Bench, Figure, Row, Sizes, figure
from tests.conftest import REPOSITORY
from tests.data import loading

MERGE = "≤ 1.3 × `MERGE INTO` on matched and distinct"
CONFLICT = "≤ 1.0 × COPY to a temporary table, then `ON CONFLICT DO UPDATE … WHERE` distinct"
SAME, TENTH = "upsert of the same rows again", "upsert with 10 % changed"
# (engine, case, as the table calls them, how often over the flights, the aim)
CASES = (
    ("duckdb", "append", "DuckDB: append", 1, "≤ 1.2 × `INSERT … SELECT`"),
    ("duckdb", "append", "DuckDB: append", 10, "≤ 1.2 × `INSERT … SELECT`"),
    ("duckdb", "same", f"DuckDB: {SAME}", 1, MERGE),
    ("duckdb", "same", f"DuckDB: {SAME}", 10, MERGE),
    ("duckdb", "tenth", f"DuckDB: {TENTH}", 1, MERGE),
    ("duckdb", "tenth", f"DuckDB: {TENTH}", 10, MERGE),
    ("postgresql", "append", "PostgreSQL: append", 1, "≤ 0.8 × psycopg COPY of CSV"),
    ("postgresql", "append", "PostgreSQL: append", 10, "≤ 0.8 × psycopg COPY of CSV"),
    ("postgresql", "same", f"PostgreSQL: {SAME}", 1, CONFLICT),
    ("postgresql", "same", f"PostgreSQL: {SAME}", 10, CONFLICT),
    ("postgresql", "tenth", f"PostgreSQL: {TENTH}", 1, CONFLICT),
    ("postgresql", "tenth", f"PostgreSQL: {TENTH}", 10, CONFLICT),
    ("sqlite", "append", "SQLite: append", 1, "≤ 0.8 × `executemany`"),
    ("sqlite", "append", "SQLite: append", 10, "≤ 0.8 × `executemany`"),
)
FEW = 3  # pairs of the larger tables
WHY_WHOLE = "; the script checks and hashes nothing"
KINDS = {"integer": "BIGINT", "string": "VARCHAR", "datetime": "TIMESTAMP"}


def rows(sizes: Sizes) -> list[Row]:
    return [
        *(Row(f"load {sizes.flights * times:,} flights, {what}", aim) for _, _, what, times, aim in CASES),
        Row(f"`colony load` of {sizes.flights:,} flights into DuckDB", "≤ 1.3 × DuckDB alone in a script"),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    for engine, case, _, times, _ in CASES:
        yield figure(in_one_process(bench, engine, case, times))
    yield figure(whole(bench), WHY_WHOLE)


def in_one_process(bench: Bench, engine: str, case: str, times: int) -> Pairs:
    """One process does both in turn; see `tests.bench.warehouse`. Wall-clock time: the server works, too."""
    folder = bench.folder / f"{engine}-{case}-{times}"
    folder.mkdir()
    pairs = min(bench.sizes.runs, bench.sizes.rounds if times == 1 else FEW)
    given = (engine, case, str(bench.sizes.flights), str(times), str(pairs), str(folder))
    words = (sys.executable, "-m", "tests.bench.warehouse", *given)
    whole = bench.watch(Command(words, REPOSITORY))
    said = json.loads(bench.watch.said().split("\n", 1)[0])
    floor, ours = ([Run(*took, whole.peak_bytes) for took in said[whose]] for whose in ("floor", "ours"))
    return Pairs(floor, ours)


def whole(bench: Bench) -> Pairs:
    """The command as it is typed, beside a script that reads the same file without a check."""
    root = bench.colony()
    schema = gate.DATASET["schema"]
    loading.write_pipeline(root, {"flights": {"schema": schema, "load": {"table": "flights", "mode": "append"}}})
    file = loading.transformed(root, "flights", gate.records(bench.sizes.flights))
    bench.tell(root, "validate-data", "--date", loading.DATE)
    (root / "floor.py").write_text(script(file.relative_to(root)), encoding="utf-8")

    def gone(name: str) -> None:
        for path in root.glob(f"{name}.duckdb*"):
            path.unlink()

    def loaded(name: str) -> None:
        [(count,)] = loading.query(root, "SELECT count(*) FROM flights", f"{name}.duckdb")
        if count != bench.sizes.flights:
            raise Failed(f"of {bench.sizes.flights:,} flights {count:,} are loaded")

    floor = Command(("python3", "floor.py"), root, lambda: gone("floor"), lambda: loaded("floor"))
    words = ("colony", "load", "--date", loading.DATE)
    return bench.pairs(floor, Command(words, root, lambda: gone("w"), lambda: loaded("w")))


def script(file: Path) -> str:
    """The quickest way that DuckDB has to read our envelope: its lines as text, each as JSON of the columns' types.
    (`read_json` takes the whole file as one record, and five times as long.)"""
    kinds = json.dumps({field["name"]: KINDS[field["type"]] for field in gate.DATASET["schema"]["fields"]})
    lines = (
        f"read_csv('{file}', columns={{'line': 'VARCHAR'}}, delim='\\x01', quote='', escape='', header=false, "
        "auto_detect=false, skip=1, max_line_size=1000000)"
    )
    made = (
        f"CREATE TABLE flights AS SELECT unnest(json_transform(regexp_replace(line, ',$', ''), '{kinds}')) FROM {lines} "
        "WHERE starts_with(line, '{')"
    )
    return f"import duckdb\n\nwith duckdb.connect('floor.duckdb') as connection:\n    connection.execute({made!r})\n"
