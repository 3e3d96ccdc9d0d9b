"""`colony validate-data` as people and scripts run it: any file, its report, the exit status, and who is told."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib import cli
from tests.conftest import REPOSITORY, Colony, clean_environment

DAY = "2013-01-15"
PIPELINE = """\
version: 1
sources:
  flights: {type: file, path: data/flights.json}
datasets:
  flights:
    required: true
    schema:
      fields:
        - {name: flight_no, type: integer, constraints: {required: true}}
        - {name: carrier, type: string}
        - {name: day, type: date, format: "%m/%d/%Y"}
        - {name: delay, type: integer, constraints: {minimum: -100}}
      primaryKey: flight_no
      foreignKeys: [{fields: carrier, reference: {resource: airlines, fields: carrier}}]
    transform:
      - {type: constraints, action: keep}
    checks:
      - {name: no_long_delays, rule: "delay < 500", severity: warn, threshold: 0.1}
    thresholds: {completeness: {warn: 0.9, fail: 0.5}}
  airlines:
    source: airlines
    schema: {fields: [{name: carrier, type: string}], primaryKey: carrier}
"""
GOOD = [{"flightNo": number, "carrier": "AA", "day": "01/15/2013", "delay": number} for number in range(20)]
Run = Callable[..., tuple[int, str, str]]


def raw(place: Colony, source: str, rows: list[dict[str, Any]]) -> None:
    head = {"source": source, "fetch_time": "2013-01-16T02:00:00Z", "date": DAY, "record_count": len(rows)}
    place.write(f"staging/raw/{source}_{DAY}.json", json.dumps({**head, "data": rows}, indent=2))


@pytest.fixture
def place(colony: Colony) -> Colony:
    colony.write("pipeline.yml", PIPELINE)
    raw(colony, "flights", GOOD)
    raw(colony, "airlines", [{"carrier": "AA"}])
    return colony


@pytest.fixture
def run(place: Colony, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an executable's code in this process, in the colony: (status, out, err)."""
    monkeypatch.chdir(place.root)

    def here(name: str, *words: str) -> tuple[int, str, str]:
        code = cli.run(name, list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return here


def read(place: Colony, path: str) -> Any:
    return json.loads((place.root / path).read_text(encoding="utf-8"))


def report(place: Colony, name: str, date: str = DAY) -> Any:
    return read(place, f"reports/validation_{name}_{date}.json")


def check(document: Any, kind: str) -> None:
    schema = json.loads((REPOSITORY / "schemas" / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_a_good_day_passes_and_its_reports_name_the_very_files(place: Colony) -> None:
    place("transform", "--date", DAY)
    summary = place.json("validate-data", "--date", DAY, "--json")
    check(summary, "validation-summary")
    assert (summary["status"], summary["quality_score"], summary["record_count"]) == ("PASS", 1.0, 21)
    assert summary["files"] == [f"reports/validation_{name}_{DAY}.json" for name in ("flights", "airlines")]
    found = report(place, "flights")
    check(found, "validation-report")
    bytes_read = (place.root / f"staging/transformed/flights_{DAY}.json").read_bytes()
    assert found["file_sha256"] == hashlib.sha256(bytes_read).hexdigest()
    assert {"file", "timestamp", "record_count", "status", "quality_score", "checks"} <= set(found)
    assert [c["name"] for c in found["checks"]] == [
        "record_count", "schema", "completeness", "duplicates", "error_rate", "referential_integrity:carrier", "no_long_delays",
    ]  # fmt: skip
    assert place.json("metrics", "show", "data_quality_score", "--json")["current"] == 1
    assert place.json("metrics", "show", "pipeline_error_count", "--json")["current"] == 0


def test_a_bad_day_fails_with_all_reports_written_and_the_orchestrator_told(place: Colony) -> None:
    bad = [{**GOOD[0], "flightNo": 99, "carrier": "ZZ", "delay": -999}, *GOOD[1:]]
    raw(place, "flights", bad)
    place("transform", "--date", DAY)
    done = place("validate-data", "--date", DAY, check=False)
    assert done.code == 1
    assert done.err == (
        "colony validate-data: FAIL: flights (error_rate, referential_integrity:carrier): nothing of it may be loaded, "
        f"see reports/validation_flights_{DAY}.json\n"
    )
    assert done.out.splitlines() == [
        f"FAIL  flights   20 records, quality 0.9500  reports/validation_flights_{DAY}.json",
        "      warn: schema: 1 cell breaks the schema: delay minimum 1 (row 1: -999 is below -100)",
        "      fail: error_rate: 1 record with errors: 5 %",
        '      fail: referential_integrity:carrier: 1 row (5 %) with carrier not in airlines: "ZZ"',
        f"PASS  airlines  1 record, quality 1.0000  reports/validation_airlines_{DAY}.json",
        "FAIL  quality 0.9500, 1 error",
    ]
    seed = subprocess.run(
        "cat reports/validation_*.json | jq -c '.checks[] | select(.passed == false) | .name'",
        shell=True, cwd=place.root, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    assert seed.stdout.split() == ['"schema"', '"error_rate"', '"referential_integrity:carrier"']
    sent = place.lines("messages", "list", "orchestrator", "--json")
    assert len(sent) == 1 and sent[0]["to"] == "orchestrator"
    assert sent[0]["text"].startswith(f"Validation of flights for {DAY} FAILED: error_rate: 1 record with errors: 5 %;")
    errors = place.lines("logs", "--level", "error", "--json")
    assert any("referential_integrity:carrier" in line["message"] for line in errors)
    assert report(place, "flights")["flagged"] == [
        {"row": 1, "key": {"flight_no": 99}, "checks": ["schema", "referential_integrity:carrier"]}
    ]


def test_a_day_with_oddities_only_warns_flags_the_rows_and_exits_0(place: Colony, run: Run) -> None:
    raw(place, "flights", [*GOOD[:16], *({**row, "delay": 600} for row in GOOD[16:])])
    assert run("transform", "--date", DAY)[0] == 0
    code, out, _ = run("validate-data", "--date", DAY, "--json")
    summary = json.loads(out)
    assert (code, summary["status"], summary["datasets"]["flights"]["failed"]) == (0, "WARN", ["no_long_delays"])
    found = report(place, "flights")
    assert found["rows_flagged"] == 4 and [row["row"] for row in found["flagged"]] == [17, 18, 19, 20]
    assert not (place.root / ".colony/messages").glob("*.jsonl") or place.lines("messages", "list", "--json") == []


def test_rows_that_transform_rejected_count_as_errors(place: Colony, run: Run) -> None:
    raw(place, "flights", [*GOOD, {"flightNo": "x"}])
    run("transform", "--date", DAY)
    code, _, _ = run("validate-data", "flights", "--date", DAY)
    assert code == 1
    assert report(place, "flights")["checks"][4]["message"] == "1 record rejected by transform: 4.76 %"


def test_the_fetchers_file_is_validated_under_the_schemas_names(place: Colony, run: Run) -> None:
    run("transform", "airlines", "--date", DAY)
    code, out, _ = run("validate-data", f"staging/raw/flights_{DAY}.json", "--json")
    summary = json.loads(out)
    check(summary, "validation-summary")
    assert (code, summary["status"], summary["file"]) == (0, "PASS", f"staging/raw/flights_{DAY}.json")
    assert summary["date"] != DAY and report(place, "flights")["date"] == DAY


@pytest.mark.parametrize(
    ("name", "text", "code", "status", "count"),
    [
        ("list.json", '[{"id": 1, "date": "2013-01-15", "value": 5}]', 0, "PASS", 1),
        ("lines.ndjson", '{"id": 1}\n{"id": 2}\n', 0, "PASS", 2),
        ("table.csv", "id,value\n1,2\n2,3\n", 0, "PASS", 2),
        ("table.tsv", "id\tvalue\n1\t2\n", 0, "PASS", 1),
        ("seed.json", '{"source": "sales", "fetch_time": "x", "date": "2024-01-01", "record_count": 1, "data": [{"id": 1}]}', 0, "PASS", 1),
        ("empty.json", "", 0, "WARN", 0),
        ("empty.csv", "", 0, "WARN", 0),
        ("none.json", "[]", 0, "WARN", 0),
        ("header.csv", "id,value\n", 0, "WARN", 0),
        ("blank.json", "[{}, {}]", 1, "FAIL", 2),
        ("nulls.json", '[{"a": null}]', 1, "FAIL", 1),
        ("same.json", json.dumps([{"id": 1}] * 3), 1, "FAIL", 3),
        ("odd.json", '[{"id": 1}, 5, null, "x"]', 1, "FAIL", 1),
        ("bad.ndjson", '{"id": 1}\n{"id": \n', 1, "FAIL", 1),
        ("ragged.csv", "id,value\n1,2\n3\n", 1, "FAIL", 1),
        ("nested.json", '[{"a": {"b": [1]}}, {"a": {"b": [1]}}, {"a": [2]}]', 1, "FAIL", 3),
        ("mixed.json", '[{"a": 1}, {"a": "1"}, {"a": true}, {"a": 1e300}]', 0, "PASS", 4),
        ("huge.json", '[{"a": 123456789012345678901234567890}]', 0, "PASS", 1),
        ("a file with spaces & signs.csv", "id\n1\n", 0, "PASS", 1),
    ],
)  # fmt: skip
def test_any_table_of_records_gets_a_report(
    run: Run, place: Colony, name: str, text: str, code: int, status: str, count: int
) -> None:
    place.write(name, text)
    (place.root / "pipeline.yml").unlink()
    found, out, err = run("validate-data", f"./{name}", "--date", DAY, "--json")
    assert found == code
    assert err.count("\n") == code and ("nothing of it may be loaded" in err) == (status == "FAIL")
    summary = json.loads(out)
    check(summary, "validation-summary")
    assert (summary["status"], summary["record_count"]) == (status, count)
    made = read(place, summary["files"][0])
    check(made, "validation-report")
    assert (made["status"], made["record_count"], made["file"]) == (status, count, name)


def test_an_empty_file_of_a_required_dataset_fails(place: Colony, run: Run) -> None:
    raw(place, "flights", [])
    run("transform", "--date", DAY)
    code, out, _ = run("validate-data", "flights", "--date", DAY)
    assert code == 1
    assert out.splitlines()[1] == "      fail: record_count: there are no records"


def test_texts_in_number_columns_are_errors_in_json_and_numbers_in_csv(place: Colony, run: Run) -> None:
    place.write("pipeline.yml", "version: 1\ndatasets:\n  d: {schema: {fields: [{name: n, type: number}]}}\n")
    place.write("d.json", '[{"n": "1.5"}, {"n": 2}]')
    assert run("validate-data", "d.json", "--date", DAY)[0] == 1
    assert report(place, "d")["errors"][0]["sample"] == [{"row": 1, "reason": '"1.5" is a text, not a number'}]
    place.write("d.csv", "n\n1.5\n2\nx\n")
    assert run("validate-data", "d.csv", "--date", DAY)[0] == 1
    assert report(place, "d")["errors"][0]["sample"] == [{"row": 3, "reason": '"x" is not a number'}]


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        ("cut.json", '[{"a": 1},', 2, "not JSON: "),
        ("cut2.json", '{"source": "s", "data": [{"a": 1', 2, "not JSON: "),
        ("page.json", "<!DOCTYPE html><html></html>", 2, "not JSON: "),
        ("page", "<html><body>502 Bad Gateway</body></html>", 2, "this is a web page or XML, not records at ./page; see what the source answered"),
        ("nan.json", '[{"a": NaN}]', 2, "not JSON: NaN is not JSON at ./nan.json"),
        ("number.json", "5", 2, "there is no table in it: neither a list nor an object at ./number.json"),
        ("binary.json", "\x00\x01", 2, "not JSON: "),
        ("deep.json", "[" * 100_000, 2, "not JSON: nested too deeply at ./deep.json"),
        ("short.json", '{"source": "s", "record_count": 3, "data": [{"a": 1}]}', 1, "'./short.json' is not whole: its head says 3 records, it holds 1; make it anew"),
        ("twice.csv", "a,a\n1,2\n", 1, "the header names the column 'a' twice at ./twice.csv:1; name each column once"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_line_and_no_report(
    run: Run, place: Colony, name: str, text: str, code: int, said: str
) -> None:
    place.write(name, text)
    found, out, err = run("validate-data", f"./{name}")
    assert (found, out) == (code, ""), err
    assert err.startswith(f"colony validate-data: {said}") and err.count("\n") == 1, err
    assert not (place.root / "reports").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nope.json"], 1, "there is no file 'nope.json'"),
        (["flihgts"], 1, "unknown dataset 'flihgts' at pipeline.yml; did you mean 'flights'?"),
        (["flights", "--date", DAY], 1, f"'flights' of {DAY} is not transformed: there is no staging/transformed/flights_{DAY}.json; run 'colony transform --date {DAY}' first"),
        (["flights", "x.csv"], 2, "datasets and files together; name either datasets or files"),
        (["--dataset", "x"], 2, "--dataset goes with one FILE"),
        (["--date", "yesterday-ish"], 2, "'yesterday-ish' is not a date; write it like 2013-01-31"),
        ([f"staging/raw/flights_{DAY}.json", "flights.csv"], 2, f"two files for 'flights' of {DAY}: there is one report for both at flights.csv"),
        (["--jsn"], 2, "unknown option '--jsn'; did you mean '--json'?"),
    ],
)  # fmt: skip
def test_wrong_words_are_one_line(run: Run, place: Colony, words: list[str], code: int, said: str) -> None:
    place.write("flights.csv", "a\n1\n")
    if "flights.csv" in words:
        words = [*words, "--date", DAY]
    found, out, err = run("validate-data", *words)
    assert (found, out) == (code, ""), err
    assert err.startswith(f"colony validate-data: {said}") and err.count("\n") == 1, err


def test_a_rule_that_is_no_rule_is_refused_with_its_line(run: Run, place: Colony) -> None:
    place.write("pipeline.yml", PIPELINE.replace('"delay < 500"', '"delay <"'))
    code, _, err = run("validate-data", "flights", "--date", DAY)
    assert (code, err) == (
        2,
        "colony validate-data: expected a value, found 'the end' in the expression (position 8 of 'delay <') at pipeline.yml:18\n",
    )
    place.write("pipeline.yml", PIPELINE.replace("resource: airlines", "resource: airline"))
    assert "unknown dataset 'airline' at pipeline.yml:" in run("validate-data", "flights", "--date", DAY)[2]


def test_transform_and_validate_data_stand_in_one_pipe(place: Colony) -> None:
    done = subprocess.run(
        f"colony transform - --dataset airlines --date {DAY} | colony validate-data - --json",
        shell=True, cwd=place.root, input='[{"Carrier": "AA"}, {"Carrier": "AA"}, {"Carrier": "B6"}]', capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["status"], summary["file"], summary["record_count"]) == (0, "PASS", "-", 2)
    assert report(place, "airlines")["file_sha256"] is None


def test_it_works_without_a_colony(tmp_path: Path, place: Colony) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "new.csv").write_text("id\n1\n")
    place("validate-data", "new.csv", "--date", DAY, cwd=alone)
    assert sorted(str(p.relative_to(alone)) for p in alone.rglob("*") if p.is_file()) == [
        "new.csv", f"reports/validation_new_{DAY}.json",
    ]  # fmt: skip
    nothing = place("validate-data", cwd=alone, check=False)
    assert (nothing.code, nothing.err) == (
        2,
        "colony validate-data: there is no pipeline.yml here; name a file: colony validate-data FILE\n",
    )


def test_in_a_colony_without_orchestrator_everybody_is_told(run: Run, place: Colony) -> None:
    place.write("colony.yml", "name: c\nagents:\n  - id: worker\n    role: does the work\n")
    place.write("same.json", json.dumps([{"id": 1}] * 3))
    assert run("validate-data", "same.json")[0] == 1
    sent = place.lines("messages", "list", "--json")
    assert [message["to"] for message in sent] == ["all"]


def test_help_tells_the_score_the_thresholds_and_the_seeds_own_line_without_pandas(place: Colony) -> None:
    shown = place("validate-data", "--help").out
    assert "cat reports/validation_*.json | jq '.checks[] | select(.passed == false)'" in shown
    assert "quality_score is completeness x uniqueness x validity" in shown
    traced = subprocess.run(
        ["python", "-X", "importtime", str(REPOSITORY / "bin" / "colony-validate-data"), "--help"],
        capture_output=True,
        text=True,
    )
    assert traced.returncode == 0
    names = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert not names & {"pandas", "numpy", "yaml", "jsonschema", "requests", "dataclasses", "typing"}


def test_an_envelope_with_a_head_of_nonsense_is_still_a_table(run: Run, place: Colony) -> None:
    head = {"dataset": "flights", "date": DAY, "columns": ["a"], "rejected": "many", "record_count": 1}
    place.write("odd.json", json.dumps({**head, "data": [{"flight_no": 1}]}))
    place.write("odder.json", json.dumps({**head, "columns": {"a": "weird"}, "data": [{"a": "x"}]}))
    assert run("validate-data", "odd.json", "--dataset", "one", "--date", DAY)[0] == 0
    assert run("validate-data", "odder.json", "--dataset", "two", "--date", DAY)[0] == 0
