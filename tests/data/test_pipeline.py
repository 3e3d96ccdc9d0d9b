"""pipeline.yml: what it may say, and how each slip in it is told with its file and line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.base.errors import ColonyError
from colony_lib.data import compiled, pipeline
from colony_lib.store import schema
from tests.conftest import REPOSITORY

GOOD = """\
version: 1
sources:
  flights:
    type: rest
    url: $API/flights
    params: {date: "{{date}}", code: 010}
    timeout: 30s
  airlines: {type: file, path: data/airlines.csv}
datasets:
  flights:
    schema:
      fields: [{name: carrier, type: string}]
"""


def load(folder: Path, text: str) -> pipeline.Pipeline:
    (folder / "pipeline.yml").write_text(text)
    return pipeline.load()


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ColonyError) as caught:
        load(folder, text)
    assert caught.value.code == 2
    return str(caught.value)


def test_a_good_file_is_read_with_its_lines(folder: Path) -> None:
    good = load(folder, GOOD)
    assert good.names("sources") == ["flights", "airlines"] and good.names("views") == []
    assert good.source("airlines")["path"] == "data/airlines.csv"
    assert good.source("flights")["params"]["code"] == "010"
    assert good.where("sources", "flights", "timeout") == "pipeline.yml:7"
    assert good.where("sources", "flights", "absent", "deeper") == "pipeline.yml:3"
    with pytest.raises(ColonyError) as caught:
        good.dataset("flihgts")
    assert str(caught.value) == "unknown dataset 'flihgts' at pipeline.yml; did you mean 'flights'?"
    assert caught.value.code == 1


def test_the_examples_pipeline_is_good() -> None:
    found = pipeline.load(str(REPOSITORY / "examples/data-pipeline/pipeline.yml"))
    assert "flights" in found.names("sources")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "timeout: 30s",
            "timout: 30s",
            "unknown key 'timout' in 'sources.flights' at pipeline.yml:7; did you mean 'timeout'?",
        ),
        (
            "timeout: 30s",
            "timeout: soon",
            "'sources.flights.timeout' must be a duration such as 500ms, 30s or 10m, not 'soon' at pipeline.yml:7",
        ),
        (
            "timeout: 30s",
            "max_bytes: big",
            "'sources.flights.max_bytes' must be a size such as 200MB, not 'big' at pipeline.yml:7",
        ),
        ("type: rest", "type: rset", "unknown type of source 'rset' at pipeline.yml:4; did you mean 'rest'?"),
        ("type: rest", "type: sqs", "unknown type of source 'sqs' at pipeline.yml:4; did you mean 'sql'?"),
        ("    url: $API/flights\n", "", "'sources.flights' has no 'url' at pipeline.yml:3; add 'url:'"),
        ("path: data/airlines.csv", "url: x", "'sources.airlines' has no 'path' at pipeline.yml:8; add 'path:'"),
        ("  airlines:", "  ../airlines:", "the key '../airlines' in 'sources' must be a name of letters"),
        ("  airlines:", "  flights:", "the key 'flights' is there twice (first in line 3) at pipeline.yml:8"),
        ("version: 1", "version: 2", "'version' must be 1, not 2 at pipeline.yml:1"),
        ("type: string", "type: text", "must be 'string' or"),
    ],
)
def test_a_slip_is_told_with_its_line(folder: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert said in refused(folder, GOOD.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "# nothing\n", "null\n"])
def test_an_empty_file_is_told(folder: Path, text: str) -> None:
    assert refused(folder, text) == "'pipeline.yml' is empty; describe sources and datasets in it"


@pytest.mark.parametrize(
    "text", ["[1, 2]\n", "text\n", "sources: [a]\n", "sources: {a: 1}\n", "sources: {a: {}}\n", "a: *b\n"]
)
def test_what_is_no_pipeline_is_refused_in_one_line(folder: Path, text: str) -> None:
    assert "\n" not in refused(folder, text)


@pytest.mark.parametrize("outside", ["/tmp/x", "../x", "a/../../x", ".colony/runs", ".", "./"])
def test_folders_lie_in_the_pipelines_own_folder(folder: Path, outside: str) -> None:
    said = refused(folder, f"folders: {{reports: {outside!r}}}\n")
    assert (
        said
        == f"the folder '{outside}' does not lie in the pipeline's own folder at pipeline.yml:1; give a relative path without '..'"
    )


def test_without_a_file_there_is_an_error_or_defaults(folder: Path) -> None:
    with pytest.raises(ColonyError) as caught:
        pipeline.load()
    assert caught.value.code == 2
    assert (
        str(caught.value) == f"no pipeline file 'pipeline.yml' at {folder}; write one ('colony help pipelines'), name it with "
        "--pipeline FILE, or begin with an example: colony init --example data-pipeline DIR"
    )
    found = pipeline.find()
    assert not found.given and found.names("datasets") == []
    assert found.path("validation", "x", "2013-02-08") == f"{folder}/reports/validation_x_2013-02-08.json"
    with pytest.raises(ColonyError) as caught:
        pipeline.find("other.yml")
    assert str(caught.value) == "no pipeline file 'other.yml'"


def test_every_file_between_the_tools_has_its_place(folder: Path) -> None:
    found = load(folder, "folders: {staging: work/stage}\n")
    day = "2013-02-08"
    places = {
        kind: found.shown(found.path(kind, "d", day, 3)) for kind in ("raw", "quarantine", "transformed", "rejected")
    }
    assert places == {
        "raw": "work/stage/raw/d_2013-02-08.json",
        "quarantine": "work/stage/quarantine/d_2013-02-08-3.json",
        "transformed": "work/stage/transformed/d_2013-02-08.json",
        "rejected": "work/stage/rejected/d_2013-02-08.json",
    }
    assert found.shown(found.path("transformation", "d", day)) == "reports/transformation_d_2013-02-08.json"
    assert found.shown(found.path("report", date=day)) == "reports/daily_2013-02-08.md"
    assert found.shown(found.path("daily", date=day)) == "metrics/daily_2013-02-08.json"
    assert found.shown("/etc/passwd") == "/etc/passwd"
    assert found.state_folder() == str(folder / "work/stage/.colony-data")
    assert found.lock("x") == str(folder / "work/stage/.colony-data/x.lock")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", "x\n", "-x"])
def test_a_name_never_leads_out_of_its_folder(folder: Path, name: str) -> None:
    with pytest.raises(ColonyError) as caught:
        load(folder, "version: 1\n").path("raw", name, "2013-02-08")
    assert caught.value.code == 2


def test_in_a_colony_the_root_and_the_state_are_the_colonys(colony: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    colony.write("pipeline.yml", GOOD)
    colony.write("deep/down/x", "")
    monkeypatch.chdir(colony.root / "deep/down")
    found = pipeline.load()
    root = os.path.realpath(colony.root)
    assert found.root == root and found.in_colony()
    assert found.state_folder() == f"{root}/.colony/cache/data"
    assert found.lock("breaker-x") == f"{root}/.colony/locks/data-breaker-x.lock"


def test_variables_are_taken_when_used_and_never_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(folder, GOOD)
    with pytest.raises(ColonyError) as caught:
        found.expand(found.source("flights")["url"], "sources", "flights", "url")
    assert caught.value.code == 2
    assert str(caught.value) == (
        "the environment variable API is not set, which the pipeline needs at pipeline.yml:5; export API=…"
    )
    monkeypatch.setenv("API", "http://x/$HOME/{{date}}")
    assert pipeline.expand("${API}/a$$b") == "http://x/$HOME/{{date}}/a$b"
    assert pipeline.fill("$API-{{date}}", {"date": "$API"}) == "http://x/$HOME/{{date}}-$API"
    assert pipeline.fill({"a": ["{{ date }}", 1]}, {"date": "d"}) == {"a": ["d", 1]}
    assert pipeline.variables_in({"a": ["$X ${Y}", "$$Z"], "b": 1}) == ["X", "Y"]


def test_an_unknown_reference_names_those_there_are(folder: Path) -> None:
    with pytest.raises(ColonyError) as caught:
        pipeline.fill("{{dat}}", {"date": "x", "since": None}, where="p:1")
    assert str(caught.value) == "unknown reference '{{dat}}' at p:1; did you mean '{{date}}'?"
    with pytest.raises(ColonyError) as caught:
        pipeline.fill("{{since}}", {"since": None}, where="p:1")
    assert str(caught.value) == "{{since}} has no value yet at p:1; give --since"


@pytest.mark.parametrize(
    "text", ["2013-2-8", "2013-02-30", "today", "20130208", "2013-02-08T00:00", "", "../2013-02-08", "２０１３-02-08"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ColonyError) as caught:
        pipeline.check_date(text)
    assert caught.value.code == 2


def test_the_date_is_the_one_given_then_the_runs_then_today(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.freeze("2013-02-09T12:00:00Z")
    monkeypatch.setenv("TZ", "UTC")
    assert pipeline.logical_date(None) == "2013-02-09"
    monkeypatch.setenv("COLONY_DATE", "2013-02-08")
    assert pipeline.logical_date(None) == "2013-02-08"
    assert pipeline.logical_date("2013-01-01") == "2013-01-01"
    assert pipeline.day_before("2013-03-01") == "2013-02-28"


@pytest.mark.parametrize(
    ("text", "count"), [(5, 5), ("200MB", 200_000_000), ("1.5KB", 1500), ("64 B", 64), ("2GB", 2 * 10**9)]
)
def test_sizes_are_powers_of_ten(text: Any, count: int) -> None:
    assert pipeline.byte_count(text) == count


# --- the compiled copy that a colony keeps


@pytest.fixture
def checks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A colony in the folder; the kinds of what is checked against a schema from now on."""
    (folder / ".colony").mkdir()
    (folder / "colony.yml").write_text("name: c\n")
    found: list[str] = []
    original = schema.check

    def check(value: Any, kind: str, *more: Any) -> None:
        found.append(kind)
        original(value, kind, *more)

    monkeypatch.setattr(schema, "check", check)
    return found


def test_a_colonys_pipeline_file_is_checked_once_for_each_text(folder: Path, checks: list[str]) -> None:
    first = load(folder, GOOD)
    again = load(folder, GOOD)
    assert checks == ["pipeline"]
    assert (again.document, again.lines, again.file) == (first.document, first.lines, first.file)
    assert again.where("sources", "flights", "timeout") == "pipeline.yml:7"
    assert load(folder, GOOD.replace("30s", "31s")).source("flights")["timeout"] == "31s"
    assert checks == ["pipeline", "pipeline"]
    assert "'sources.flights.timeout'" in refused(folder, GOOD.replace("30s", "soon"))
    assert "'sources.flights.timeout'" in refused(folder, GOOD.replace("30s", "soon"))
    assert load(folder, GOOD).source("flights")["timeout"] == "30s"


@pytest.mark.parametrize("damage", ["", "[]", '{"v": 1', '{"v": 1}', "\x00"])
def test_a_compiled_copy_that_is_damaged_or_not_there_is_made_anew(
    folder: Path, checks: list[str], damage: str
) -> None:
    first = load(folder, GOOD)
    copy = folder / ".colony/cache/pipeline.json"
    whole = copy.read_text()
    copy.write_text(damage)
    assert load(folder, GOOD).document == first.document and copy.read_text() == whole
    copy.unlink()
    assert load(folder, GOOD).document == first.document and len(checks) == 3


def test_a_copy_that_other_code_made_counts_for_nothing(
    folder: Path, checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder, GOOD)
    monkeypatch.setattr(compiled, "__version__", "0")
    load(folder, GOOD)
    assert len(checks) == 2


def test_a_colony_that_nobody_can_write_reads_its_pipeline_file_all_the_same(folder: Path, checks: list[str]) -> None:
    (folder / ".colony/cache").write_text("no folder")
    assert load(folder, GOOD).names("datasets") == load(folder, GOOD).names("datasets") == ["flights"]
    assert len(checks) == 2


def test_no_copy_is_kept_of_a_file_that_is_named_or_lies_in_no_colony(folder: Path) -> None:
    load(folder, GOOD)
    assert not (folder / ".colony").exists()
    (folder / ".colony").mkdir()
    (folder / "colony.yml").write_text("name: c\n")
    pipeline.load(str(folder / "pipeline.yml"))
    assert not (folder / ".colony/cache").exists()
