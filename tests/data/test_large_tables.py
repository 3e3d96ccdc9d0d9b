"""Tables on disk: the same as in memory, whatever is in them, and the commands write the same bytes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data import (
    envelope,
    frames,
    pipeline,
    rowtext,
    seen,
    segments,
    spilled,
    table,
    transform_files,
    validate_files,
)
from colony_lib.data.spilled import Spilled

VALUES: dict[str, list[Any]] = {
    "integer": [1, 2, -7, 2**62, None],
    "decimal": [1.5, -0.0, 1e300, None],
    "number": [1, 2.5, None],  # integers among decimals: numbers
    "inexact": [2**53 + 1, 0.5],  # an integer that no float is: each stays what it is
    "wide": [2**70, 3],
    "truth": [True, False, None],
    "text": ["a", "b", "", "\ud800", "ü" * 50, None],
    "mixed": [1, True, "1", 1.0, None, [1, {"a": None}]],
    "nothing": [None],
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as large: segments of 7 rows, and none of it in memory."""
    monkeypatch.setattr(spilled, "SEGMENT", 7)
    monkeypatch.setattr(segments, "IN_MEMORY", 100)
    monkeypatch.setattr(frames, "CELLS", 0)
    monkeypatch.setattr(envelope, "WHOLE", 0)


def rows_of(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        row = {"id": number, **{name: chance.choice(values) for name, values in VALUES.items()}}
        if number > 20:
            row["late"] = chance.choice([1, None])
        if chance.random() < 0.1:
            del row["truth"]
        rows.append(row)
    return rows


def same(one: Any, other: pd.DataFrame) -> None:
    assert list(one.columns) == list(other.columns)
    assert len(one) == len(other)
    assert list(one.index) == list(other.index)
    for name in other.columns:
        left, right = one[name], other[name]
        assert left.dtype == right.dtype and table.kind(left) == table.kind(right), name
        assert list(left.index) == list(right.index)
        assert repr(table.values(left)) == repr(table.values(right)), name


def rows_in(made: Any) -> list[dict[str, Any]]:
    return [row for part in frames.batches(made) for row in table.to_rows(part)]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_rows_become_the_same_lines_by_columns_as_one_by_one(count: int, small: None) -> None:
    rows = [{name: "é" if value == "\ud800" else value for name, value in row.items()} for row in rows_of(count, seed=count)]
    days = pd.Series(pd.to_datetime(["2013-01-05", None, "1066-10-14"] * 40)[:count].as_unit("s"))
    moments = pd.Series(pd.to_datetime(["2013-01-05T01:02:03.5", None, "2013-01-05T01:02:03"] * 40, format="ISO8601")[:count].as_unit("us"))
    odd = {'a "b" %s\u2028{}': pd.Series(["\u2028", "%", None] * 40, dtype=object)[:count], "d": days, "m": moments}
    for made in (spilled.of_rows(iter(rows), 0), table.from_rows(rows)):
        given = frames.assigned(made, {name: column.set_axis(made.index) for name, column in odd.items()})
        assert [line for some in frames.lines(given) for line in some] == [jsontext.dumps(row) for row in rows_in(given)]
    assert rowtext.lines(pd.DataFrame(index=range(2))) == ["{}", "{}"]


@pytest.mark.parametrize(("value", "said"), [(float("inf"), "Out of range float values"), ("\ud800", "a lone surrogate is not text")])
def test_what_is_no_json_is_no_line_either(value: Any, said: str) -> None:
    with pytest.raises(ColonyError, match=said):
        rowtext.lines(table.from_rows([{"a": value}, {"a": None}]))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_a_table_on_disk_is_the_one_in_memory(count: int, small: None) -> None:
    rows = rows_of(count, seed=count)
    made = spilled.of_rows(iter(rows), 0)
    assert isinstance(made, Spilled) == (count >= 7)
    whole = table.from_rows(rows)
    same(made, whole)
    assert repr(rows_in(made)) == repr(table.to_rows(whole))
    same(spilled.of_rows(iter(rows), 10**9), whole)


def test_rows_taken_out_columns_put_in_and_places_are_those_of_a_frame(small: None) -> None:
    rows = rows_of(100, seed=1)
    disk, memory = spilled.of_rows(iter(rows), 0), table.from_rows(rows)
    assert isinstance(disk, Spilled)
    chance = random.Random(2)
    for step in range(4):
        mask = pd.Series([chance.random() < 0.8 for _ in range(len(memory))]).to_numpy()
        disk, memory = disk[mask], memory[mask]
        names = [str(name) for name in memory.columns]
        doubled = {"twice": memory["id"] * 2, "text": memory["mixed"], "day": pd.Series(
            pd.to_datetime([f"2013-01-0{chance.randint(1, 9)}" for _ in range(len(memory))]).as_unit("s"), index=memory.index
        )}  # fmt: skip
        disk, memory = frames.assigned(disk, doubled), frames.assigned(memory, doubled)
        same(disk, memory)
        if step == 1:
            disk, memory = disk.reset_index(drop=True), memory.reset_index(drop=True)
        order = {f"_{name}": name for name in reversed(names)}
        same(frames.picked(disk, order), frames.picked(memory, order))
        places = [chance.randrange(len(memory)) for _ in range(9)]
        same(disk.iloc[places], memory.iloc[places])
        assert repr(rows_in(disk)) == repr(table.to_rows(memory))
    none = pd.Series([False] * len(memory)).to_numpy()
    assert len(disk[none]) == 0 and rows_in(disk[none]) == []


PIPELINE = """\
version: 1
datasets:
  planes:
    schema: {fields: [{name: tail, type: string}, {name: seats, type: integer}], primaryKey: tail}
  flights:
    schema:
      fields:
        - {name: id, type: integer, constraints: {required: true, maximum: 95}}
        - {name: day, type: date}
        - {name: at, type: datetime}
        - {name: delay, type: number, constraints: {minimum: -100}}
        - {name: tail, type: string}
      primaryKey: [id]
      foreignKeys: [{fields: tail, reference: {resource: planes, fields: tail}}]
      missingValues: ["", "NA"]
    transform:
      - {type: rename, columns: {tailNum: tail}}
      - {type: nulls}
      - {type: types}
      - {type: dates}
      - {type: duplicates, key: primaryKey}
      - {type: derive, column: late, expression: "delay > 15"}
      - {type: filter, where: "delay is null or delay < 900"}
      - {type: outliers, column: delay, action: flag}
      - {type: range, column: delay, maximum: 500, action: clip}
      - {type: enrich, dataset: planes, on: [tail], columns: {seats: seats}}
      - {type: fill_nulls, columns: {seats: 0}}
    checks: [{name: not_early, rule: "delay > -5 or late is null"}]
  by_tail:
    from: flights
    aggregate: {by: [tail], measures: {flights: count, delay: mean(delay)}}
"""


def day_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The files that transform and validate-data make of one day, without their times."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "pipeline.yml").write_text(PIPELINE)
    chance = random.Random(4)
    flights = [
        {
            "id": chance.choice([number, number, f" {number}", "x" if number == 60 else number]),
            "day": chance.choice(["2013-01-15", "2013-02-30" if number == 50 else "2013-01-16"]),
            "at": f"2013-01-15T0{number % 10}:00:00+01:00",
            "delay": chance.choice([1, 2.5, -3, "NA", 40, 800, -500]),
            "tailNum": chance.choice(["N1", "N2", " N3", "N9", ""]),
        }
        for number in range(100)
    ]
    flights += flights[3:6]
    planes = [{"tail": f"N{n}", "seats": n * 10} for n in range(1, 9)]
    for name, rows in (("flights", flights), ("planes", planes)):
        raw = folder / f"staging/raw/{name}_2013-01-15.json"
        envelope.write(str(raw), {"source": name, "date": "2013-01-15", "fetch_time": "2013-01-16T00:00:00Z"}, rows)
    found = pipeline.load(str(folder / "pipeline.yml"))
    day = transform_files.Day(found, "2013-01-15")
    day.choose(["flights", "planes", "by_tail"])
    day.write()
    gate = validate_files.Gate(found)
    for name in ("flights", "planes", "by_tail"):
        gate.add_dataset(name, "2013-01-15")
    gate.add_file(str(folder / "staging/raw/flights_2013-01-15.json"), "flights", "2013-01-14", "2013-01-15")
    reports = gate.run()
    files: dict[str, Any] = {
        "reports": [{k: v for k, v in r.items() if k not in ("timestamp", "seconds")} for r in reports]
    }
    for path in sorted(folder.rglob("*.json")):
        name = str(path.relative_to(folder))
        if "reports/" in name:
            files[name] = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("timestamp", "seconds")}
        else:
            files[name] = path.read_bytes()
    return files


def test_a_day_of_large_files_comes_out_byte_for_byte_as_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    whole = day_of(tmp_path / "day", monkeypatch)
    shutil.rmtree(tmp_path / "day")
    request.getfixturevalue("small")
    large = day_of(tmp_path / "day", monkeypatch)
    assert large.keys() == whole.keys()
    assert len(json.loads(whole["staging/rejected/flights_2013-01-15.json"])) > 10
    for name in whole:
        assert large[name] == whole[name], name


def test_records_in_a_file_are_found_by_their_places(tmp_path: Path, small: None) -> None:
    path = str(tmp_path / "r.json")
    envelope.write(path, {"source": "s"}, ({"n": n} for n in range(20)))
    head, records = envelope.records(path)
    assert isinstance(records, envelope.Records) and head["source"] == "s" and len(records) == 20
    assert [records[place]["n"] for place in (0, 0, 1, 5, 6, 19, 2, 2, 3)] == [0, 0, 1, 5, 6, 19, 2, 2, 3]
    envelope.write(path, {"source": "s"}, [{"n": 7}])
    assert [row["n"] for row in records] == list(range(20))  # still the file that was there when it was opened


def test_a_key_counts_once_however_many_records_there_were() -> None:
    chance = random.Random(5)
    for most in (0, 10, 1000):
        known = seen.Seen(most)
        found: dict[bytes, set[bytes]] = {}
        for _ in range(300):
            key, content = seen.key([chance.randrange(60), "a"]), seen.digest(str(chance.randrange(3)))
            before = found.setdefault(key, set())
            wanted = seen.REPEAT if content in before else seen.CONFLICT if before else seen.NEW
            assert known.add(key, content) == wanted
            before.add(content)
        assert known.unique == len(found)
        known.close()
    assert seen.key([1]) == seen.key([1.0]) != seen.key(["1"])
    assert seen.key([1]) != seen.key([True])
