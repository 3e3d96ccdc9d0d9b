"""What the validation of a file has told of its values need not be asked for again: the load comes to the same, whether
it was told nothing, the truth or something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import load as loader
from colony_lib.data import pipeline as pipelines
from colony_lib.data import validate_files
from colony_lib.data.warehouses import duckdb_rows
from tests.data.loading import DATE, query, transformed, validated, write_pipeline

Rows = list[dict[str, Any]]
TYPES: dict[str, str] = {
    "i": "integer", "n": "number", "s": "string", "b": "boolean", "d": "date", "t": "time", "m": "datetime", "y": "year",
}  # fmt: skip
FULL = {
    "i": 7,
    "n": 1.5,
    "s": 'é " \\ \n',
    "b": True,
    "d": "2013-02-08",
    "t": "05:17",
    "m": "2013-02-08T05:00Z",
    "y": 2013,
}
NOTHING = dict.fromkeys(FULL)


def told(rows: Rows) -> dict[str, Any]:
    """What validate-data tells of such rows."""
    found = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        kinds = {
            "number" if type(v) is float else {int: "integer", str: "string", bool: "boolean"}.get(type(v), "any")
            for v in values
        }
        kinds = {"number"} if kinds == {"integer", "number"} else kinds
        found[name] = {"kind": kinds.pop() if len(kinds) == 1 else "any" if kinds else "null", "values": len(values)}
    return found  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The datasets whose values were asked for their kinds."""
    found: list[str] = []
    original = duckdb_rows.stage

    def stage(db: Any, name: str, *given: Any) -> Any:
        found.append(name)
        return original(db, name, *given)

    monkeypatch.setattr(duckdb_rows, "stage", stage)
    return found


@pytest.fixture(params=["read as they are appended", "put aside first"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the rows get into the table, where that is not said by the dataset."""
    if request.param == "put aside first":
        monkeypatch.setattr(loader, "_is_only_appended", lambda *given: False)
    return str(request.param)


def came_to(
    folder: Path, rows: Rows, kinds: Any, declared: dict[str, str], lines: str | None = None, **head: Any
) -> Any:
    """(table's columns, rows, notes) of a load into a new warehouse, or the text of its refusal. `lines` are the
    records where they cannot be written from Python's."""
    for left in folder.glob("w.duckdb*"):
        left.unlink()
    fields = [{"name": name, "type": kind} for name, kind in declared.items()]
    schema = {"schema": {"fields": fields}} if fields else {}
    write_pipeline(folder, {"t": {**schema, "load": {"table": "t", "mode": "append"}}})
    path = transformed(folder, "t", rows, **head)
    if lines is not None:
        head_line = path.read_text().partition("\n")[0]
        path.write_text(f"{head_line}\n{lines}\n]}}\n")
    validated(folder, "t", **({} if kinds is None else {"kinds": kinds}))
    try:
        summary, _ = loader.load(pipelines.load(), DATE, [])
    except ColonyError as error:
        return str(error)
    columns = query(folder, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 't'")
    return columns, query(folder, "SELECT * FROM t ORDER BY rowid"), summary["notes"]


SAME: list[tuple[Rows, dict[str, str]]] = [
    ([FULL, NOTHING], TYPES),
    ([FULL, NOTHING], {}),
    ([NOTHING, NOTHING], TYPES),
    ([NOTHING], {}),
    ([{**FULL, "i": 517.0}, {**FULL, "i": 3}], TYPES),
    ([{**FULL, "m": "2013-02-08T05:00:01.25Z"}, {**FULL, "m": "2013-02-08 05:00:00+05:30"}], TYPES),
    ([{**FULL, "m": "2013-02-08T05:00:01.25"}, {**FULL, "m": "0001-01-01 00:00"}], TYPES),
    ([{"i": 2**63 - 1}, {"i": -(2**63)}, {"i": 0}], {"i": "integer"}),
    ([{"a": True}, {"a": None}], {"a": "boolean"}),
    ([{"A b\"c'd": 1, "/~": 2}], {}),
]


@pytest.mark.parametrize("place", range(len(SAME)))
def test_what_was_told_truly_is_loaded_in_one_pass_and_comes_to_the_same(
    folder: Path, asked: list[str], place: int
) -> None:
    rows, declared = SAME[place]
    head = {"columns": {name: kind for name, kind in TYPES.items() if name in rows[0]}}
    expected = came_to(folder, rows, None, declared, **head)
    assert asked == ["t"] and isinstance(expected, tuple) and len(expected[1]) == len(rows)
    assert came_to(folder, rows, told(rows), declared, **head) == expected
    assert asked == ["t"]


OTHERS: list[tuple[Rows, dict[str, str]]] = [
    ([FULL, {"i": 1}], TYPES),  # a key is not in each record
    ([FULL, dict(reversed(FULL.items()))], TYPES),
    ([{"i": 2**53 + 1}, {"i": 1.0}], {"i": "integer"}),
    ([{"i": 2**63}, {"i": 1}], {"i": "integer"}),
    ([{"i": 1.5}], {"i": "integer"}),
    ([{"i": "12"}], {"i": "integer"}),
    ([{"s": 12}], {"s": "string"}),
    ([{"s": True}], {"s": "string"}),
    ([{"b": 1}], {"b": "boolean"}),
    ([{"d": "2013-02-30"}], {"d": "date"}),
    ([{"d": "2013-02-28 00:00"}, {"d": None}], {"d": "date"}),
    ([{"m": "2013-02-08T05:00:00"}, {"m": "2013-02-08T05:00:00Z"}], {"m": "datetime"}),
    ([{"t": "25:00"}], {"t": "time"}),
    ([{"o": {"a": 1}}, {"o": None}], {"o": "object"}),
    ([{"x": [1]}, {"x": {"a": 1}}], {}),
    ([{"x": 1}, {"x": "a"}], {}),
    ([{"s": "2013-02-08"}], {}),  # the values must be looked at to tell a date from a text
    ([{"a": 1, "A": 2}], {}),
    ([{"": 1}], {}),
    ([{}], {}),
]


@pytest.mark.parametrize("place", range(len(OTHERS)))
def test_what_one_pass_cannot_tell_is_told_as_without(folder: Path, place: int) -> None:
    rows, declared = OTHERS[place]
    assert came_to(folder, rows, told(rows), declared) == came_to(folder, rows, None, declared)


@pytest.mark.parametrize(
    "kinds",
    [
        {"i": {"kind": "integer", "values": 2}},  # there are three
        {"i": {"kind": "integer", "values": 4}},
        {"i": {"kind": "number", "values": 3}},
        {"i": {"kind": "string", "values": 3}},
        {"i": {"kind": "null", "values": 0}},
        {"i": {"kind": "any", "values": 3}},
        {"i": {"kind": "integer", "values": 3}, "other": {"kind": "integer", "values": 3}},
        {"j": {"kind": "integer", "values": 3}},
        {"i": 3},
        {"i": {"kind": ["integer"], "values": 3}},
        {"i": {"kind": "integer", "values": "3"}},
        {},
        [],
    ],
)
def test_a_report_that_tells_what_is_not_so_changes_nothing(folder: Path, kinds: Any) -> None:
    rows = [{"i": 1}, {"i": 2}, {"i": 3}, {"i": None}]
    assert came_to(folder, rows, kinds, {"i": "integer"}) == came_to(folder, rows, None, {"i": "integer"})


@pytest.mark.parametrize(
    "lines",
    [
        '{"i":1,"i":2},\n{"i":3}',
        '{"i":1},\n{"i":3,"i":4}',
        '{"i":1},\n{"j":3}',
        '{"i":1}',
        '{"i":1},\n{"i":2},\n{"i":3}',
        '{ "i" : 1 },\n{"i":2}',
    ],
)
def test_records_that_are_not_as_told_are_found(folder: Path, lines: str) -> None:
    rows = [{"i": 1}, {"i": 2}]
    expected = came_to(folder, rows, None, {"i": "integer"}, lines)
    assert came_to(folder, rows, told(rows), {"i": "integer"}, lines) == expected


def test_a_long_record_is_read_as_well(folder: Path, asked: list[str]) -> None:
    rows = [{"s": "x"}, {"s": "y" * 1_100_000}]
    assert came_to(folder, rows, told(rows), {"s": "string"}) == came_to(folder, rows, None, {"s": "string"})
    assert asked == ["t", "t"]


def test_rows_come_into_a_table_of_other_types_and_behind_others(folder: Path, asked: list[str], way: str) -> None:
    """What must be looked at before it is appended is looked at, and what does not fit is refused."""
    found = []
    for told_of in (False, True):
        for left in folder.glob("w.duckdb*"):
            left.unlink()
        with duckdb.connect(str(folder / "w.duckdb")) as connection:
            connection.execute(
                "CREATE TABLE t (i INTEGER, n FLOAT, s VARCHAR, x INTEGER); INSERT INTO t VALUES (1, 2, 'a', 3)"
            )
        write_pipeline(folder, {"t": {"load": {"table": "t", "mode": "append"}}})
        made = []
        for i, n in ((7, 0.5), (2**40, 0.5), (8, 0.1)):
            rows: Rows = [
                {"i": i, "n": n, "s": "b", "x": None, "new": i},
                {"i": 2, "n": None, "s": None, "x": None, "new": None},
            ]
            transformed(folder, "t", rows, columns={"s": "string"})
            validated(folder, "t", **({"kinds": told(rows)} if told_of else {}))
            try:
                made.append(loader.load(pipelines.load(), DATE, [])[0]["tables"]["t"]["rows_after"])
            except ColonyError as error:
                made.append(str(error))
        found.append((made, query(folder, "SELECT * FROM t ORDER BY i, s"), query(folder, "DESCRIBE t")))
        assert len(asked) == 3
    assert found[0] == found[1]
    assert found[0][0][0] == 3 and "column 'i' of table 't' is INTEGER" in found[0][0][1]


def test_all_datasets_are_read_anew_where_one_is_not_as_told(folder: Path, asked: list[str], way: str) -> None:
    good: Rows = [{"i": 1}, {"i": 2}]
    bad: Rows = [{"i": 2**53 + 2}, {"i": 2.0}]
    schema = {"schema": {"fields": [{"name": "i", "type": "integer"}]}}
    write_pipeline(folder, {name: {**schema, "load": {"table": name, "mode": "append"}} for name in ("t", "u")})
    for name, rows in (("t", good), ("u", bad)):
        transformed(folder, name, rows)
        validated(folder, name, kinds=told(rows))
    summary, _ = loader.load(pipelines.load(), DATE, [])
    assert [summary["tables"][name]["inserted"] for name in ("t", "u")] == [2, 2]
    assert query(folder, "SELECT i FROM u ORDER BY i") == [(2,), (2**53 + 2,)]
    assert query(folder, "SELECT count(*) FROM colony_load_history") == [(2,)]
    assert asked == (["u"] if way == "put aside first" else ["t", "u"])


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Rows = [{"i": 1}, {"i": 2}]
    original = loader.load_modes.apply

    def apply(*given: Any, **more: Any) -> Any:
        with (folder / f"staging/transformed/t_{DATE}.json").open("a") as file:
            file.write("\n")
        return original(*given, **more)

    monkeypatch.setattr(loader.load_modes, "apply", apply)
    said = came_to(folder, rows, told(rows), {"i": "integer"})
    assert "the file was changed while it was read" in said and not (folder / "w.duckdb").exists()


def test_validate_data_tells_of_a_transformed_file_what_is_in_it(folder: Path) -> None:
    rows: Rows = [
        {**FULL, "n": 1, "o": {}, "x": 1},
        {**FULL, "n": 1.5, "o": [], "x": "a"},
        {**NOTHING, "o": None, "x": None},
    ]
    schema = {"fields": [{"name": name, "type": kind} for name, kind in TYPES.items()], "missingValues": ["05:17"]}
    write_pipeline(folder, {"t": {"schema": schema, "load": {"table": "t", "mode": "append"}}})
    transformed(folder, "t", rows)
    gate = validate_files.Gate(pipelines.load())
    gate.add_dataset("t", DATE)
    assert gate.run()[0]["kinds"] == told(rows) and told(rows)["t"] == {"kind": "string", "values": 2}
