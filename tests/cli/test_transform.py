"""`colony transform` as people and scripts run it: files in, files out, counts, batches, pipes, and what is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib import cli
from tests.conftest import REPOSITORY, Colony

DAY = "2013-01-15"
PIPELINE = """\
version: 1
sources:
  flights: {type: file, path: data/flights.json}
  airlines: {type: file, path: data/airlines.csv}
datasets:
  flights:
    schema:
      fields:
        - {name: flight_no, type: integer, constraints: {required: true}}
        - {name: carrier, type: string}
        - {name: day, type: date, format: "%m/%d/%Y"}
        - {name: dep_delay, type: integer}
      primaryKey: flight_no
      missingValues: ["", "NA"]
    transform:
      - {type: duplicates}
      - {type: derive, column: late, expression: "dep_delay > 15"}
      - {type: enrich, dataset: airlines, on: [carrier], columns: {name: airline}}
  airlines:
    schema: {fields: [{name: carrier}, {name: name}], primaryKey: carrier}
  daily:
    from: flights
    aggregate: {by: [day, carrier], measures: {flights: count, late: "sum(late)"}}
"""
FLIGHTS: list[dict[str, Any]] = [
    {"flightNo": 1, "carrier": "AA", "Day": "01/15/2013", "depDelay": "20"},
    {"flightNo": 2, "carrier": "B6", "Day": "01/15/2013", "depDelay": "NA"},
    {"flightNo": 2, "carrier": "B6", "Day": "01/15/2013", "depDelay": "NA"},
    {"flightNo": None, "carrier": "B6", "Day": "01/15/2013", "depDelay": 0},
    {"flightNo": 4, "carrier": "ZZ", "Day": "15/01/2013", "depDelay": 0},
    {"flightNo": 5, "carrier": "ZZ", "Day": "01/15/2013", "depDelay": 3},
]
AIRLINES = [{"carrier": "AA", "name": "American"}, {"carrier": "B6", "name": "JetBlue"}]


def raw(place: Colony, source: str, rows: list[dict[str, Any]], date: str = DAY) -> Path:
    """A raw file as the fetcher of the seed writes it."""
    head = {"source": source, "fetch_time": "2013-01-16T02:00:00Z", "date": date, "record_count": len(rows)}
    return place.write(f"staging/raw/{source}_{date}.json", json.dumps({**head, "data": rows}, indent=2))


@pytest.fixture
def place(colony: Colony) -> Colony:
    colony.write("pipeline.yml", PIPELINE)
    raw(colony, "flights", FLIGHTS)
    raw(colony, "airlines", AIRLINES)
    return colony


def read(place: Colony, path: str) -> Any:
    return json.loads((place.root / path).read_text(encoding="utf-8"))


def check(document: Any, kind: str) -> None:
    schema = json.loads((REPOSITORY / "schemas" / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_all_datasets_of_a_day_are_transformed_counted_and_reported(place: Colony) -> None:
    summary = place.json("transform", "--date", DAY, "--json")
    check(summary, "transform-summary")
    assert summary["files"] == [f"staging/transformed/{name}_{DAY}.json" for name in ("flights", "airlines", "daily")]
    assert (summary["record_count"], summary["rejected"], summary["status"]) == (8, 2, "complete")
    made = read(place, f"staging/transformed/flights_{DAY}.json")
    assert made["data"] == [
        {"flight_no": 1, "carrier": "AA", "day": "2013-01-15", "dep_delay": 20, "late": True, "airline": "American"},
        {"flight_no": 2, "carrier": "B6", "day": "2013-01-15", "dep_delay": None, "late": None, "airline": "JetBlue"},
        {"flight_no": 5, "carrier": "ZZ", "day": "2013-01-15", "dep_delay": 3, "late": False, "airline": None},
    ]
    assert made["columns"] == {
        "flight_no": "integer", "carrier": "string", "day": "date", "dep_delay": "integer", "late": "boolean", "airline": "string",
    }  # fmt: skip
    assert (made["dataset"], made["date"], made["record_count"], made["rejected"]) == ("flights", DAY, 3, 2)
    assert made["lineage"] == {
        "source": "flights", "fetch_time": "2013-01-16T02:00:00Z", "file": f"staging/raw/flights_{DAY}.json", "enriched_from": ["airlines"],
    }  # fmt: skip
    assert read(place, f"staging/transformed/daily_{DAY}.json")["data"] == [
        {"day": "2013-01-15", "carrier": "AA", "flights": 1, "late": 1},
        {"day": "2013-01-15", "carrier": "B6", "flights": 1, "late": None},
        {"day": "2013-01-15", "carrier": "ZZ", "flights": 1, "late": 0},
    ]
    assert read(place, f"staging/rejected/flights_{DAY}.json") == [
        {"reason": "flight_no: null is required", "transformation": "constraints", "row": 4, "record": FLIGHTS[3]},
        {
            "reason": 'day: "15/01/2013" is not a date written as %m/%d/%Y',
            "transformation": "normalize_dates", "row": 5, "record": FLIGHTS[4],
        },
    ]  # fmt: skip
    report = read(place, f"reports/transformation_flights_{DAY}.json")
    check(report, "transformation-report")
    assert (report["rows_in"], report["rows_out"], report["rejected"], report["dropped"]) == (6, 3, 2, 1)
    assert report["rejections"]["by_transformation"] == {"constraints": 1, "normalize_dates": 1}
    assert {t["type"]: t["rows_affected"] for t in report["transformations"]}["drop_duplicates"] == 1
    for name in ("airlines", "daily"):
        check(read(place, f"reports/transformation_{name}_{DAY}.json"), "transformation-report")


def test_it_tells_people_the_log_the_metrics_and_the_lineage(place: Colony) -> None:
    done = place("transform", "flights", "--date", DAY)
    assert done.err == (
        f"colony transform: 2 rows rejected, see staging/rejected/flights_{DAY}.json (row 4: flight_no: null is required)\n"
    )
    assert done.out.splitlines() == [
        f"flights: 6 in, 3 out, 2 rejected, 1 dropped → staging/transformed/flights_{DAY}.json",
        "  normalize_names: 6 rows",
        "  clean_nulls: 2 rows",
        "  convert_types: 1 row",
        "  normalize_dates: 5 rows",
        "  drop_duplicates: 1 row",
        "  derive late: 3 rows",
        "  enrich airlines: 3 rows",
        "  constraints: 1 row",
    ]
    assert place.json("metrics", "show", "pipeline_records_rejected", "--json")["current"] == 2
    logged = place.lines("logs", "transform", "--json")
    assert any(line["level"] == "warn" and "3 out, 2 rejected" in line["message"] for line in logged)
    events = [
        json.loads(line)
        for path in (place.root / ".colony/lineage").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "COMPLETE"]


def test_inside_a_step_the_summary_is_the_steps_output(place: Colony, tmp_path: Path) -> None:
    output = tmp_path / "output.json"
    place("transform", "airlines", env={"COLONY_OUTPUT": str(output), "COLONY_DATE": DAY})
    assert json.loads(output.read_text())["files"] == [f"staging/transformed/airlines_{DAY}.json"]


def test_the_same_input_makes_the_same_bytes_and_batches_make_them_too(place: Colony) -> None:
    raw(place, "flights", FLIGHTS * 7)

    def hashes() -> dict[str, str]:
        files = sorted((place.root / "staging").glob("[tr]*e*d/*_*.json"))
        return {path.name + path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    place("transform", "--date", DAY)
    whole = hashes()
    assert len(whole) == 6
    for path in (place.root / "staging" / "transformed").iterdir():
        path.unlink()
    batches = [place.start("transform", "--date", DAY, "--batch", f"{number}/3", "--json") for number in range(3)]
    summaries = [json.loads(batch.communicate(timeout=120)[0]) for batch in batches]
    assert hashes() == whole
    for summary in summaries:
        check(summary, "transform-summary")
    assert {name for summary in summaries for name in summary["datasets"]} == {"flights", "airlines", "daily"}
    left = sorted(path.name for path in (place.root / "staging" / "parts").iterdir())
    assert left == [f"airlines_{DAY}.done.json", f"flights_{DAY}.done.json"]
    # A batch whose process was killed after the parts were put together is made again: nothing waits for ever.
    again = place.json("transform", "--date", DAY, "--batch", "1/3", "--json")
    assert again["status"] == "complete" and again["waiting"] == []
    assert hashes() == whole


def test_a_batch_says_which_others_it_waits_for_and_forgets_those_of_another_input(place: Colony) -> None:
    first = place("transform", "airlines", "--date", DAY, "--batch", "0/2")
    assert first.out == "part 0 of 2 is done, waiting for 1\n"
    raw(place, "airlines", AIRLINES[:1])
    second = place.json("transform", "airlines", "--date", DAY, "--batch", "1/2", "--json")
    assert (second["status"], second["waiting"], second["files"]) == ("waiting", [0], [])
    for wrong in ("2/2", "x", "-1/2", "0/0", "1/999"):
        refused = place("transform", "--batch", wrong, check=False)
        assert refused.code == 2
        assert refused.err.startswith(
            f"colony transform: '{wrong}' is not a batch; write I/N" if wrong != "-1/2" else "colony transform:"
        )


def test_files_are_transformed_as_the_datasets_they_belong_to(place: Colony) -> None:
    summary = place.json("transform", f"staging/raw/flights_{DAY}.json", "--json")
    assert list(summary["datasets"]) == ["flights", "daily"] and summary["date"] == DAY
    place.write("new.csv", "carrier,name\nAA,American\nbad\n")
    summary = place.json("transform", "new.csv", "--dataset", "airlines", "--date", "2013-01-16", "--json")
    assert summary["files"] == ["staging/transformed/airlines_2013-01-16.json"]
    assert read(place, "staging/rejected/airlines_2013-01-16.json") == [
        {"reason": "1 cells where the header has 2", "transformation": "read", "row": 3, "record": ["bad"]}
    ]


def test_it_stands_in_a_pipe_and_works_without_colony_and_pipeline(tmp_path: Path, place: Colony) -> None:
    rows = '{"flightNo": 7, "carrier": "AA", "Day": "01/15/2013", "depDelay": 1}\n{"flightNo": "x"}\n'
    done = place("transform", "-", "--dataset", "flights", "--date", DAY, input=rows)
    assert [row["flight_no"] for row in json.loads(done.out)["data"]] == [7]
    assert done.err == (
        f'colony transform: 1 row rejected, see staging/rejected/flights_{DAY}.json (row 2: flight_no: "x" is not an integer)\n'
    )
    alone = tmp_path / "alone"
    alone.mkdir()
    made = place("transform", "-", cwd=alone, input='[{"tailNum": " N1 "}, {"tailNum": " N1 "}]')
    assert json.loads(made.out)["data"] == [{"tail_num": "N1"}]
    assert list(alone.iterdir()) == []
    nothing = place("transform", cwd=alone, check=False)
    assert (nothing.code, nothing.err) == (
        2,
        "colony transform: there is no pipeline.yml here; name a file: colony transform FILE\n",
    )
    # head closes the pipe early
    quiet = subprocess.run("colony transform new.json --json | head -c 0; echo ${PIPESTATUS[0]}", shell=True, executable="/bin/bash",
                           cwd=alone, capture_output=True, text=True)  # fmt: skip
    assert quiet.stderr.count("\n") <= 1


def test_an_empty_day_makes_empty_files_with_the_schemas_columns(place: Colony) -> None:
    raw(place, "flights", [])
    place("transform", "--date", DAY)
    made = read(place, f"staging/transformed/flights_{DAY}.json")
    assert made["data"] == [] and made["columns"]["day"] == "date"
    assert read(place, f"staging/transformed/daily_{DAY}.json")["data"] == []
    assert read(place, f"staging/rejected/flights_{DAY}.json") == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["flihgts"], 1, "unknown dataset 'flihgts' at pipeline.yml; did you mean 'flights'?"),
        (["--date", "2013-02-30"], 2, "'2013-02-30' is not a date; write it like 2013-01-31"),
        (["--date", "2013-01-16"], 1, "there is no raw data of 'flights' for 2013-01-16 (staging/raw/flights_2013-01-16.json); run 'colony fetch flights --date 2013-01-16' first"),
        (["nope.json"], 1, "there is no file 'nope.json'"),
        (["daily.csv"], 2, "'daily' is built from 'flights', not from a file at daily.csv"),
        (["flights", "new.csv"], 2, "datasets and files together; name either datasets or files"),
        (["flights", "--dataset", "x"], 2, "--dataset goes with one FILE"),
        (["-", "--json"], 2, "with '-' standard output is the data; leave out --json and --batch"),
        (["--pipeline", "none.yml"], 2, "no pipeline file 'none.yml'"),
        (["page.json"], 2, "not JSON: "),
        (["page"], 2, "unknown dataset 'page'"),
        (["./page"], 2, "this is a web page or XML, not records at ./page; see what the source answered"),
        (["cut.json"], 2, "not JSON: "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: Colony,
    words: list[str],
    code: int,
    said: str,
) -> None:
    place.write("daily.csv", "a\n1\n")
    place.write("page.json", "<!DOCTYPE html><html></html>\n")
    place.write("cut.json", '{"source": "flights", "data": [{"a": 1},\n')
    if words == ["./page"]:
        place.write("page", "<html><body>502</body></html>\n")
    if words == ["page"]:
        code = 1
    monkeypatch.chdir(place.root)
    assert cli.run("transform", words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"colony transform: {said}"), err
    assert err.count("\n") == 1
    assert not (place.root / "staging" / "transformed").exists()
    assert not (place.root / "reports").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('expression: "dep_delay > 15"', 'expression: "dep_dlay > 15"', "unknown column 'dep_dlay' (position 1 of 'dep_dlay > 15') at pipeline.yml:17; did you mean 'dep_delay'"),
        ('expression: "dep_delay > 15"', 'expression: "dep_delay >"', "expected a value, found 'the end' in the expression (position 12 of 'dep_delay >') at pipeline.yml:17"),
        ("dataset: airlines, on", "dataset: airline, on", "unknown dataset 'airline' at pipeline.yml"),
        ("sum(late)", "summ(late)", "unknown measure 'summ' at pipeline.yml:23; did you mean 'sum'?"),
        ("from: flights", "from: daily", "datasets need each other: daily → daily at pipeline.yml"),
        ("type: duplicates", "type: duplicate", "not 'duplicate' at pipeline.yml:16; did you mean 'duplicates'"),
        ('format: "%m/%d/%Y"', 'format: "%m/%Y"', "the format '%m/%Y' does not give a year, a month and a day at pipeline.yml:11"),
        ("name: flight_no, type: integer,", "name: flight_no, type: int,", "not 'int' at pipeline.yml:9; did you mean"),
    ],
)  # fmt: skip
def test_a_wrong_pipeline_file_is_refused_with_its_line_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Colony, old: str, new: str, said: str
) -> None:
    assert old in PIPELINE
    place.write("pipeline.yml", PIPELINE.replace(old, new))
    monkeypatch.chdir(place.root)
    assert cli.run("transform", ["--date", DAY]) == 2
    _, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert not (place.root / "staging" / "transformed").exists()


def test_help_is_quick_and_shows_examples_first(place: Colony) -> None:
    shown = place("transform", "--help").out
    assert shown.startswith("clean, convert, enrich and aggregate raw data\n\nexamples:\n  colony transform ")
    traced = subprocess.run(
        ["python", "-X", "importtime", str(REPOSITORY / "bin" / "colony-transform"), "--help"],
        capture_output=True,
        text=True,
    )
    for heavy in ("pandas", "numpy", "yaml", "jsonschema", "requests"):
        assert f"| {heavy}\n" not in traced.stderr.replace(" ", "").replace("|", "| ")


def test_a_dataset_whose_source_is_called_otherwise_is_told_so(colony: Colony) -> None:
    colony.write("pipeline.yml", "sources: {orders: {type: file, path: o.csv}}\ndatasets: {order: {}}\n")
    done = colony("transform", "--date", DAY, check=False)
    assert (done.code, done.err) == (
        1,
        f"colony transform: there is no raw data of 'order' for {DAY} (staging/raw/order_{DAY}.json); no source is called "
        "so; did you mean 'orders'? Say 'source: NAME' in the dataset 'order'\n",
    )
