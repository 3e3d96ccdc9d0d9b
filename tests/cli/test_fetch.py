"""`colony fetch` as people and scripts run it: the real executable against a real server on the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import BIN, REPOSITORY, Colony, clean_environment
from tests.web import Answer, Asked, Web

DAY = "2013-02-08"
PIPELINE = """\
version: 1
sources:
  flights:
    type: rest
    url: $API/flights
    params: {date: "{{date}}"}
    auth: {header: X-Api-Key, value: $KEY}
    records: data
    key: [id]
    pagination: {type: page, total: total}
    retry: {delay: 1ms, max_delay: 2ms}
  airlines: {type: file, path: data/airlines.csv}
datasets:
  flights: {load: {table: flights, mode: upsert, key: id}}
"""


def flights(asked: Asked) -> Any:
    """Five flights on three pages that overlap by one; the second page comes at the second try."""
    if asked.headers.get("X-Api-Key") != "sesame-123":
        return Answer({"error": "a key is needed"}, 401)
    page = int(asked.query["page"])
    if asked.number == 2:
        return Answer({}, 503)
    rows = [{"id": number, "date": asked.query["date"]} for number in range(page * 2 - 2, min(page * 2 + 1, 5))]
    return {"data": rows, "total": 5}


@pytest.fixture
def web() -> Iterator[Web]:
    with Web(flights) as web:
        yield web


@pytest.fixture
def place(colony: Colony) -> Colony:
    colony.write("pipeline.yml", PIPELINE)
    colony.write("data/airlines.csv", "carrier,name\nB6,JetBlue\nbad\n")
    return colony


def variables(web: Web | None = None) -> dict[str, str]:
    return {"API": web.url if web else "http://127.0.0.1:9", "KEY": "sesame-123"}


def check(document: Any, kind: str) -> None:
    schema = json.loads((REPOSITORY / "schemas" / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_a_fetch_says_what_it_did_and_leaves_it_in_files(place: Colony, web: Web) -> None:
    done = place("fetch", "--date", DAY, env=variables(web))
    first, second = done.out.splitlines()
    assert first.startswith("flights: 5 records in ")
    assert first.endswith(f"(2 pages, 1 tried again, 1 duplicate dropped) → staging/raw/flights_{DAY}.json")
    assert second.endswith(f"(1 unreadable, in quarantine) → staging/raw/airlines_{DAY}.json")
    kept = f"staging/quarantine/airlines_{DAY}-1.json"
    assert done.err == f"colony fetch: source 'airlines': 1 unreadable, kept in {kept}\n"
    raw = json.loads((place.root / f"staging/raw/flights_{DAY}.json").read_text())
    assert raw["data"] == [{"id": number, "date": DAY} for number in range(5)] and raw["record_count"] == 5
    assert json.loads((place.root / kept).read_text())["data"][0]["line"] == 3


def test_json_is_one_object_that_meets_its_schema(place: Colony, web: Web) -> None:
    summary = place.json("fetch", "--date", DAY, "--json", env=variables(web))
    check(summary, "fetch-summary")
    assert summary["status"] == "complete" and summary["record_count"] == 6 and summary["date"] == DAY
    assert summary["files"] == [f"staging/raw/flights_{DAY}.json", f"staging/raw/airlines_{DAY}.json"]
    figures = summary["sources"]["flights"]
    assert (figures["records"], figures["pages"], figures["retries"], figures["duplicates"]) == (5, 2, 1, 1)


def test_what_is_in_quarantine_is_tried_again(place: Colony, web: Web) -> None:
    env = variables(web)
    place("fetch", "--date", DAY, env={**env, "KEY": "wrong"}, check=False)
    refused = place("fetch", "--retry-quarantine", "--dry-run", env=env, check=False)
    assert (refused.code, refused.err) == (
        2,
        "colony fetch: --retry-quarantine goes with no --dry-run; leave --dry-run out\n",
    )
    place.write("data/airlines.csv", "carrier,name\nB6,JetBlue\nUA,United\n")
    summary = place.json("fetch", "--retry-quarantine", "--json", env=env)
    check(summary, "fetch-summary")
    assert list(summary["sources"]) == ["airlines"]  # what was refused (401) left nothing to try again
    figures = summary["sources"]["airlines"]
    assert (figures["records"], figures["joined"], figures["quarantined"]) == (2, 1, 0)
    assert figures["settled"] == [f"staging/quarantine/airlines_{DAY}-1.json"]
    assert place.json("state", "get", "fetch_results")["airlines"]["records"] == 2
    nothing = place("fetch", "--retry-quarantine", "--json", env=env)
    assert (nothing.out, nothing.err) == ("", "nothing waits in quarantine\n")


def test_the_colony_is_told(place: Colony, web: Web) -> None:
    place("fetch", "--date", DAY, env=variables(web))
    results = place.json("state", "get", "fetch_results")
    assert results["flights"]["filepath"] == f"staging/raw/flights_{DAY}.json" and results["flights"]["records"] == 5
    assert results["airlines"]["quarantined"] == 1
    points = place.json("metrics", "show", "pipeline_records_fetched", "--json")["points"]
    assert {(p["labels"]["source"], p["value"]) for p in points} == {("flights", 5), ("airlines", 1)}
    lines = place.lines("logs", "fetch", "--json")
    assert [(line["level"], line["message"].split(":")[0]) for line in lines] == [("info", "flights"), ("warn", "airlines")]
    start, _, end = [event for path in (place.root / ".colony/lineage").iterdir() for event in place.journal(f"lineage/{path.name}")]
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert {output["name"] for output in end["outputs"]} == {f"staging/raw/{name}_{DAY}.json" for name in ("flights", "airlines")}
    assert (end["inputs"][0]["namespace"], end["inputs"][0]["name"]) == (web.url, "/flights")


def test_inside_a_step_the_summary_is_the_steps_output_and_the_date_the_runs(place: Colony, web: Web) -> None:
    out = place.root / "out.json"
    env = {**variables(web), "COLONY_OUTPUT": str(out), "COLONY_DATE": DAY}
    done = place("fetch", "flights", env=env)
    assert done.out.startswith("flights: 5 records")
    summary = json.loads(out.read_text())
    check(summary, "fetch-summary")
    assert summary["files"] == [f"staging/raw/flights_{DAY}.json"]
    out.unlink()
    place("fetch", "airlines", "--json", env=env)
    assert not out.exists()


def test_one_source_that_fails_does_not_stop_the_others(place: Colony, web: Web) -> None:
    done = place("fetch", "--date", DAY, "--json", env={**variables(web), "KEY": "wrong"}, check=False)
    assert done.code == 1
    summary = json.loads(done.out)
    check(summary, "fetch-summary")
    assert summary["status"] == "incomplete" and summary["files"] == [f"staging/raw/airlines_{DAY}.json"]
    assert summary["sources"]["flights"]["status"] == "failed"
    assert done.err.splitlines()[0] == (
        f"colony fetch: source 'flights': 401 Unauthorized: a key is needed from {web.url}/flights?date={DAY}&page=1; "
        "check the source's 'auth'"
    )
    assert not (place.root / f"staging/raw/flights_{DAY}.json").exists()
    assert "flights" not in place.json("state", "get", "fetch_results")
    events = [event for path in (place.root / ".colony/lineage").iterdir() for event in place.journal(f"lineage/{path.name}")]
    assert events[-1]["eventType"] == "FAIL"


def test_a_dry_run_asks_nobody_and_writes_nothing(place: Colony) -> None:
    before = sorted(path for path in place.root.rglob("*") if "cache" not in path.parts)
    done = place("fetch", "--dry-run", "--date", DAY, env=variables())
    assert done.out.splitlines() == [
        f"flights: GET http://127.0.0.1:9/flights?date={DAY}&page=1 → staging/raw/flights_{DAY}.json",
        f"airlines: data/airlines.csv → staging/raw/airlines_{DAY}.json",
    ]
    plan = place.lines("fetch", "--dry-run", "--date", DAY, "--json", env=variables())
    assert plan[0]["headers"] == ["X-Api-Key"] and "sesame" not in json.dumps(plan)
    assert sorted(path for path in place.root.rglob("*") if "cache" not in path.parts) == before


def test_the_sources_are_listed_without_any_variable(place: Colony) -> None:
    assert place("fetch", "--list").out.splitlines() == [
        "SOURCE    TYPE  KEY  FROM",
        "flights   rest  id   $API/flights",
        "airlines  file  -    data/airlines.csv",
    ]
    assert [row["source"] for row in place.lines("fetch", "--list", "--json")] == ["flights", "airlines"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["flihgts"], 1, "unknown source 'flihgts' at pipeline.yml; did you mean 'flights'?"),
        (["--date", "2013-02-30"], 2, "'2013-02-30' is not a date; write it like 2013-02-08"),
        (["--daet", DAY], 2, "unknown option '--daet'; did you mean '--date', '--parts' or '--batch'?"),
        (["--since", " "], 2, "--since is empty; give a time or whatever the source counts by"),
        (["--pipeline", "no.yml"], 2, "no pipeline file 'no.yml'"),
        ([], 2, "the environment variable API is not set, which the pipeline needs at pipeline.yml:5; export API=…"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_writes_nothing(place: Colony, words: list[str], code: int, said: str) -> None:
    done = place("fetch", *words, check=False)
    assert (done.code, done.out, done.err) == (code, "", f"colony fetch: {said}\n")
    assert not (place.root / "staging").exists()


@pytest.mark.parametrize("url", ["ftp://x/", "file:///etc/passwd", "//x/y", "http://", "http:///x", "x", "http://a b/", "http://x:99999/"])
def test_a_url_that_is_none_is_refused_before_anything_is_asked(place: Colony, url: str) -> None:
    done = place("fetch", env={"API": url, "KEY": "k"}, check=False)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("colony fetch: the URL is not one of http or https at pipeline.yml:5; ")


def test_it_works_where_there_is_no_colony(tmp_path: Path, web: Web) -> None:
    (tmp_path / "p.yml").write_text(PIPELINE)
    done = subprocess.run(
        [BIN / "colony-fetch", "flights", "--pipeline", "p.yml", "--date", DAY, "--json"],
        cwd=tmp_path,
        env=clean_environment(**variables(web)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["files"] == [f"staging/raw/flights_{DAY}.json"]
    assert not (tmp_path / ".colony").exists()


def test_a_summary_that_nobody_reads_ends_quietly(place: Colony, web: Web) -> None:
    done = subprocess.run(
        ["sh", "-c", f"colony fetch --date {DAY} --json | true"],
        cwd=place.root,
        env=clean_environment(**variables(web)),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr
    assert (place.root / f"staging/raw/flights_{DAY}.json").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_fetch_leaves_no_partial_raw_file(place: Colony, number: signal.Signals, code: int) -> None:
    def answer(asked: Asked) -> Any:
        if asked.query["page"] == "1":
            return {"data": [{"id": 1}], "total": 9}
        return Answer(web.drip())

    with Web(answer) as web:
        running = place.start("fetch", "--date", DAY, env=variables(web))
        deadline = time.monotonic() + 120
        while len(web.asked) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        started = time.monotonic()
        os.kill(running.pid, number)
        out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (code, "")
    assert "Traceback" not in err and time.monotonic() - started < 8
    left = sorted(path.name for path in (place.root / "staging/raw").glob("*"))
    assert left in ([], [f"airlines_{DAY}.json"])
    assert "flights" not in (place("state", "get", "fetch_results", check=False).out or "{}")


def test_many_fetches_of_one_date_at_once_all_leave_a_whole_file(place: Colony) -> None:
    with Web(lambda asked: {"data": [{"id": n, "x": "y" * 50} for n in range(200)], "total": 200}) as web:
        running = [place.start("fetch", "--date", DAY, "--json", env=variables(web)) for _ in range(6)]
        done = [(*process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, _, code in done] == [0] * 6, done
    raw = json.loads((place.root / f"staging/raw/flights_{DAY}.json").read_text())
    assert raw["record_count"] == len(raw["data"]) == 200
    # Each kept its own unreadable row for a person to look at: six files, none replaced.
    assert len(list((place.root / "staging/quarantine").iterdir())) == 6
    assert not [path for path in place.root.rglob("*.tmp")]


def test_the_key_is_in_no_file_and_no_output(place: Colony) -> None:
    def echo(asked: Asked) -> Any:
        if asked.query["page"] == "1":
            return {"data": [{"id": 1, "self": f"/flights?api_key={asked.headers['X-Api-Key']}"}, "sesame-123"], "total": 3}
        return Answer(f"<html><title>bad key {asked.headers['X-Api-Key']}</title>".encode())

    with Web(echo) as web:
        done = place("fetch", "--date", DAY, "--json", env=variables(web), check=False)
    assert done.code == 1 and "sesame" not in done.out + done.err
    assert "bad key [KEY]" in done.err
    found = [path for path in place.root.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    assert found == []
    assert len(list((place.root / "staging/quarantine").glob("flights_*"))) == 2


def test_the_watermark_of_the_last_load_is_where_the_next_fetch_starts(place: Colony, web: Web) -> None:
    place.write("pipeline.yml", PIPELINE.replace("    records: data\n", "    records: data\n    incremental: {field: id, param: after}\n"))
    place("fetch", "flights", "--date", DAY, env=variables(web))
    assert "after" not in web.asked[0].query
    place("state", "set", "load_metadata", 'tables={"flights": {"watermark": "2013-02-07"}}')
    place("fetch", "flights", "--date", DAY, env=variables(web))
    assert web.asked[-1].query["after"] == "2013-02-07"
    place("state", "set", "load_metadata", "tables.flights.watermark=41")
    place("fetch", "flights", "--date", DAY, env=variables(web))
    assert web.asked[-1].query["after"] == "41"
    place("fetch", "flights", "--date", DAY, "--since", "2013-01-01", env=variables(web))
    assert web.asked[-1].query["after"] == "2013-01-01"


def test_help_has_examples_first_and_imports_nothing_heavy(place: Colony) -> None:
    out = place("fetch", "--help").out
    assert out.index("colony fetch --date") < out.index("--dry-run")
    done = subprocess.run(
        ["python3", "-X", "importtime", BIN / "colony-fetch", "--help"], env=clean_environment(), capture_output=True, text=True
    )
    for heavy in ("requests", "urllib3", "pandas", "yaml", "jsonschema", "threading"):
        assert f" {heavy}\n" not in done.stderr, heavy


def test_a_variable_that_runs_have_from_the_env_file_is_said_to_be_there(colony: Colony) -> None:
    colony.write("colony.yml", "env_file: demo.env\n")
    colony.write("demo.env", "API=http://127.0.0.1:9\n")
    colony.write("pipeline.yml", "sources:\n  a: {type: rest, url: $API/a}\n")
    assert colony("fetch", "--date", DAY, check=False).err == (
        "colony fetch: the environment variable API is not set, which the pipeline needs at pipeline.yml:2; runs have it "
        "from 'demo.env'; to have it here too: set -a; . ./demo.env; set +a\n"
    )
