"""`colony fetch --retry-quarantine`: what could not be taken is tried again, joins its day once, or stays."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from colony_lib import cli
from tests.data.dying import killed
from tests.web import Answer, Web

DAY = "2013-02-08"
FIRST = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def again(*words: str) -> int:
    return cli.run("fetch", ["--retry-quarantine", *words])


def settings(folder: Path, **change: Any) -> None:
    """Change the settings of the source in pipeline.yml."""
    document = json.loads((folder / "pipeline.yml").read_text())
    document["sources"]["s"].update(change)
    (folder / "pipeline.yml").write_text(json.dumps(document))


def raw(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"staging/raw/s_{DAY}.json").read_text())
    assert found["record_count"] == len(found["data"])
    return found


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "staging/quarantine").glob("s_*"))]


def test_a_reply_that_was_unreadable_is_asked_for_again_with_the_since_of_its_own_fetch(
    fetch: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    well = False
    with Web(lambda asked: FIRST if well else Answer(b"<html>down", 200)) as web:
        source = {
            "type": "rest", "url": web.url, "key": "id", "incremental": {"field": "id", "param": "after"},
            "circuit_breaker": {"failures": 100},
        }  # fmt: skip
        assert fetch(source, since="5").code == 1
        [entry] = kept(folder)
        assert (entry["kind"], entry["since"]) == ("body", "5")
        assert again() == 1  # as ill as before: it stays, with the attempt noted, and is not kept twice
        [entry] = kept(folder)
        assert entry["attempts"] == 1 and "HTML instead of JSON" in entry["last_attempt"]["reason"]
        assert entry["body"] == "<html>down" and not (folder / f"staging/raw/s_{DAY}.json").exists()
        well = True
        capsys.readouterr()
        assert again("--json") == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["date"], summary["record_count"]) == (DAY, 2)
        assert summary["sources"]["s"]["joined"] == 2
        assert summary["sources"]["s"]["settled"] == [f"staging/quarantine/s_{DAY}-1.json"]
        assert raw(folder)["data"] == FIRST and raw(folder)["since"] == "5" and kept(folder) == []
        assert web.asked[-1].query == {"after": "5"}
        asked = len(web.asked)
        assert again() == 0 and len(web.asked) == asked
    assert capsys.readouterr().err == "nothing waits in quarantine\n"


def test_a_day_that_was_fetched_whole_since_settles_what_went_wrong_before(fetch: Any, folder: Path) -> None:
    (folder / "a.json").write_text("{broken")
    source = {"type": "file", "path": "a.json"}
    assert fetch(source).code == 1
    (folder / "a.json").write_text(json.dumps(FIRST))
    assert fetch(source).code == 0
    before = (folder / f"staging/raw/s_{DAY}.json").read_bytes()
    (folder / "a.json").unlink()  # nobody asks for it
    assert again() == 0
    assert kept(folder) == [] and (folder / f"staging/raw/s_{DAY}.json").read_bytes() == before


@pytest.mark.parametrize("key", [None, "id"])
def test_rows_of_a_repaired_file_join_their_day_once(fetch: Any, folder: Path, key: str | None) -> None:
    (folder / "a.csv").write_bytes(b"id,name\n1,a\n2\n3,c\n3,c\n4,\xe9\n5,e\n")
    assert fetch({"type": "file", "path": "a.csv", **({"key": key} if key else {})}).code == 0
    whole = [row["id"] for row in raw(folder)["data"]]
    assert whole == (["1", "3", "5"] if key else ["1", "3", "3", "5"])
    settings(folder, encoding="latin-1")
    assert again() == 0
    [entry] = kept(folder)  # the one that was in another encoding joined, the one that is short stays
    assert [problem["line"] for problem in entry["data"]] == [3] and entry["attempts"] == 1
    assert raw(folder)["data"][-1] == {"id": "4", "name": "é"}
    (folder / "a.csv").write_bytes(b"id,name\n1,a\n2,b\n3,c\n3,c\n4,\xe9\n5,e\n")
    assert again("--date", "2013-02-09") == 0 and len(kept(folder)) == 1  # of another day nothing is tried
    assert again("s", "--date", DAY) == 0
    assert [row["id"] for row in raw(folder)["data"]] == [*whole, "4", "2"] and kept(folder) == []


def test_a_source_that_gives_other_rows_by_now_changes_nothing(
    fetch: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").write_text("id,name\n1,a\n2\n")
    fetch({"type": "file", "path": "a.csv"})
    before = (folder / f"staging/raw/s_{DAY}.json").read_bytes()
    (folder / "a.csv").write_text("id,name\n1,other\n2,b\n")
    assert again() == 0
    assert "gives 2 records that the day has not, for 1 in quarantine: fetch the day anew" in capsys.readouterr().err
    assert (folder / f"staging/raw/s_{DAY}.json").read_bytes() == before and kept(folder)[0]["attempts"] == 1


def discarded(fetch: Any, folder: Path) -> dict[str, Any]:
    """A day with two records in quarantine for the type of a field; their source is gone."""
    rows = [*FIRST, {"id": "three", "name": "c"}, {"id": 4, "name": 4}]
    (folder / "a.json").write_text(json.dumps(FIRST))
    source = {"type": "file", "path": "a.json", "schema_policy": "discard"}
    fetch(source)
    (folder / "a.json").write_text(json.dumps([*rows, 5]))
    assert fetch(source).code == 0
    (folder / "a.json").unlink()
    [entry] = kept(folder)
    assert [problem["reason"][:20] for problem in entry["data"]] == [
        "the record is a numb", "the field 'id' is te", "the field 'name' is ",
    ]  # fmt: skip
    return {**source, "rows": rows}


def test_records_left_out_for_their_fields_join_by_todays_policy_without_asking(fetch: Any, folder: Path) -> None:
    rows = discarded(fetch, folder)["rows"]
    settings(folder, schema_policy="freeze")
    assert again() == 0 and raw(folder)["data"] == FIRST and len(kept(folder)[0]["data"]) == 3
    settings(folder, schema_policy="evolve")
    assert again() == 0 and raw(folder)["data"] == rows
    [entry] = kept(folder)
    assert [problem["record"] for problem in entry["data"]] == [5]
    assert "could not be read again: there is no file 'a.json'" in entry["last_attempt"]["reason"]
    assert again() == 0 and raw(folder)["data"] == rows


def test_a_day_that_was_refused_for_its_fields_is_taken_once_the_policy_takes_them(fetch: Any, folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps(FIRST))
    source = {"type": "file", "path": "a.json", "schema_policy": "freeze"}
    fetch(source)
    rows = [*FIRST, {"id": 3, "name": "c", "city": "X"}]
    (folder / "a.json").write_text(json.dumps(rows))
    assert fetch(source).code == 1 and kept(folder)[0]["kind"] == "day"
    assert again() == 1 and raw(folder)["data"] == FIRST
    [entry] = kept(folder)
    assert entry["attempts"] == 1 and entry["data"] == rows and entry["record_count"] == 3
    settings(folder, schema_policy="evolve")
    assert again() == 0 and raw(folder)["data"] == rows and kept(folder) == []


def test_what_an_earlier_version_put_into_quarantine_is_tried_too(fetch: Any, folder: Path) -> None:
    (folder / "a.csv").write_text("id,name\n1,a\n2\n")
    fetch({"type": "file", "path": "a.csv"})
    [path] = (folder / "staging/quarantine").glob("s_*")
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({name: entry[name] for name in entry if name not in ("kind", "fetch_time", "since")}))
    (folder / "a.csv").write_text("id,name\n1,a\n2,b\n")
    assert again() == 0 and [row["id"] for row in raw(folder)["data"]] == ["1", "2"] and kept(folder) == []


def test_a_file_in_quarantine_that_is_damaged_is_told_and_stays(
    fetch: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").write_text("id,name\n1,a\n2\n")
    fetch({"type": "file", "path": "a.csv"})
    [path] = (folder / "staging/quarantine").glob("s_*")
    path.write_text("{half")
    before = (folder / f"staging/raw/s_{DAY}.json").read_bytes()
    assert again() == 1 and "not JSON" in capsys.readouterr().err and path.read_text() == "{half"
    assert (folder / f"staging/raw/s_{DAY}.json").read_bytes() == before


def test_a_retry_that_is_killed_anywhere_loses_nothing_and_takes_nothing_twice(fetch: Any, folder: Path) -> None:
    (folder / "a.csv").write_bytes(b"id,name\n1,a\n2,\xe9\n1,a\n3\n2,\xe9\n")
    fetch({"type": "file", "path": "a.csv"})
    settings(folder, encoding="latin-1")
    state = {path: path.read_bytes() for path in (folder / "staging").rglob("*.json")}
    ends = []
    for point in range(1, 20):
        for path in (folder / "staging").rglob("*.json"):
            path.unlink()
        for path, data in state.items():
            path.write_bytes(data)
        ends.append(killed(folder, point, "fetch", "--retry-quarantine"))
        assert again() == 0
        assert [row["id"] for row in raw(folder)["data"]] == ["1", "1", "2", "2"]
        assert [problem["line"] for entry in kept(folder) for problem in entry["data"]] == [5]
        if ends[-1] == 0:
            break
    assert ends[-1] == 0 and ends[:-1] == [-signal.SIGKILL] * (len(ends) - 1) and len(ends) > 2
