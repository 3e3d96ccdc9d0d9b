"""Fields that change at the source: noticed and said, and taken, refused or left out as the policy has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIRST = [{"id": 1, "name": "a", "price": 1.5, "note": None}]


@pytest.fixture
def go(fetch: Any, folder: Path) -> Any:
    """go(records, policy): a fetch of these records."""

    def run(records: list[Any], policy: str | None = None) -> Any:
        (folder / "a.json").write_text(json.dumps(records))
        settings = {"type": "file", "path": "a.json"} | ({"schema_policy": policy} if policy else {})
        return fetch(settings)

    return run


def test_new_missing_and_retyped_fields_are_told_and_taken(go: Any) -> None:
    assert go(FIRST).figures()["notes"] == []
    done = go([{"id": "1", "name": "a", "price": 2, "city": "X\x1b[31m"}])
    assert done.figures()["notes"] == [
        "the fields have changed: new: 'city'; missing: 'note'; 'id' was number, is text"
    ]
    assert done.rows()[0]["city"] == "X\x1b[31m"
    # What was taken is known from then on.
    assert go([{"id": 1, "name": "a", "price": 2, "city": "Y", "note": 1}]).figures()["notes"] == []


@pytest.mark.parametrize(
    "records",
    [
        [{"id": 1, "name": "a", "price": 1.5, "note": "text where there was nothing is no other type"}],
        [{"id": 1, "name": None, "price": None, "note": None}],
        [{"note": None, "price": 1, "name": "order and whole numbers do not count", "id": 2.5}],
        [],
    ],
)
def test_what_is_no_change(go: Any, records: list[Any]) -> None:
    go(FIRST, "freeze")
    done = go(records, "freeze")
    assert done.code == 0 and done.figures()["notes"] == []
    assert go(FIRST, "freeze").code == 0


def test_frozen_fields_refuse_the_fetch_and_keep_what_came(go: Any, folder: Path) -> None:
    go(FIRST, "freeze")
    before = (folder / "staging/raw/s_2013-02-08.json").read_bytes()
    done = go([{"id": 1, "name": "a", "price": 1.5, "note": None, "renamed": 1}, {"id": 2}], "freeze")
    assert done.code == 1
    assert "the fields have changed: new: 'renamed' at pipeline.yml:1; correct the source, or take" in done.error()
    assert (folder / "staging/raw/s_2013-02-08.json").read_bytes() == before
    [kept] = done.quarantine()
    assert kept["data"][0]["renamed"] == 1 and len(kept["data"]) == 2
    assert go(FIRST, "freeze").code == 0


def test_discarded_fields_are_left_out_and_records_of_other_types_set_apart(go: Any) -> None:
    go(FIRST, "discard")
    rows = [{"id": 1, "name": "a", "price": 1.5, "extra": 9}, {"id": "two", "name": "b", "price": 2, "note": None}]
    done = go(rows, "discard")
    assert done.code == 0 and done.rows() == [{"id": 1, "name": "a", "price": 1.5}]
    assert done.figures()["records"] == 1 and done.figures()["quarantined"] == 1
    [kept] = done.quarantine()
    assert kept["data"][0]["reason"] == "the field 'id' is text, and was number"
    assert done.figures()["notes"] == [
        "the fields have changed: new: 'extra'; 'id' was number, is number or text, left out"
    ]
    assert "new: 'extra'" in go(rows, "discard").figures()["notes"][0]  # it stays unknown
