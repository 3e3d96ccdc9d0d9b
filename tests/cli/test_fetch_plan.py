"""`colony fetch --plan` and `--batch`: a range of days, and the files of one day, fetched and transformed side by side
by a workflow, come to what one process after the other makes of them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest

from tests.clusters import Cluster
from tests.conftest import REPOSITORY, Colony
from tests.data.dying import killed

NOW = "2013-02-01T06:00:00.000Z"  # in which all of a test's data tools live: fetch times are part of the data
DAYS = [f"2013-01-{day:02d}" for day in range(1, 7)]
PIPELINE = """\
version: 1
warehouse: {url: "duckdb:///warehouse/flights.duckdb"}
sources:
  flights: {type: file, path: "data/flights_{{date}}.csv", key: [id]}
  month: {type: file, path: "data/flights_*.csv", key: [id]}
datasets:
  flights: &flights
    schema:
      fields:
        - {name: id, type: integer, constraints: {required: true}}
        - {name: carrier, type: string}
        - {name: dep_time, type: datetime}
        - {name: delay, type: number}
      primaryKey: id
      missingValues: ["", "NA"]
    load: {table: flights, mode: upsert, key: id}
  month:
    <<: *flights
    load: {table: months, mode: upsert, key: id}
"""
BY_DAYS = """\
steps:
  - {name: plan, agent: worker, run: "colony fetch flights --plan --from 2013-01-01 --to 2013-01-06"}
  - name: fetch
    agent: worker
    depends_on: [plan]
    for_each: "{{steps.plan.output.batches}}"
    run: "COLONY_NOW=@NOW colony fetch {{item.source}} --date {{item.date}} --batch {{item.batch}}"
  - name: transform
    agent: worker
    depends_on: [fetch]
    for_each: "{{steps.plan.output.dates}}"
    run: "colony transform flights --date {{item}}"
  - name: validate
    agent: worker
    depends_on: [transform]
    for_each: "{{steps.plan.output.dates}}"
    parallel: 1
    run: "colony validate-data flights --date {{item}}"
  - name: load
    agent: worker
    depends_on: [validate]
    for_each: "{{steps.plan.output.dates}}"
    parallel: 1
    run: "colony load flights --date {{item}}"
""".replace("@NOW", NOW)
BY_PARTS = """\
steps:
  - {name: plan, agent: worker, run: "colony fetch month --plan --date 2013-01-31 --parts 4"}
  - name: fetch
    agent: worker
    depends_on: [plan]
    for_each: "{{steps.plan.output.batches}}"
    run: "COLONY_NOW=@NOW colony fetch {{item.source}} --date {{item.date}} --batch {{item.batch}}"
  - name: transform
    agent: worker
    depends_on: [fetch]
    parallel: 3
    run: "colony transform month --date 2013-01-31 --batch {{batch_id}}/{{batch_count}}"
  - {name: validate, agent: worker, depends_on: [transform], run: "colony validate-data month --date 2013-01-31"}
  - {name: load, agent: worker, depends_on: [validate], run: "colony load month --date 2013-01-31"}
""".replace("@NOW", NOW)


@pytest.fixture(params=["", "executor: cluster\n"], ids=["local", "dask"])
def where(request: pytest.FixtureRequest, colony: Colony, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The line of a workflow that says where its steps are done: on this machine, or by three workers of a cluster."""
    if not request.param:
        yield ""
        return
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start(3)
        settings = (colony.root / "colony.yml").read_text()
        entry = f"executors: [{{name: cluster, type: dask, address: '{cluster.address}'}}]\n"
        colony.write("colony.yml", settings + entry)
        yield request.param
    finally:
        cluster.stop()


@pytest.fixture
def place(colony: Colony) -> Colony:
    """A colony with a few days of flights: cancelled ones, repeats within a day and into the next, lines that are cut."""
    colony.write("pipeline.yml", PIPELINE)
    chance = random.Random(7)
    rows: list[str] = []
    for number, day in enumerate(DAYS):
        rows = rows[-5:] + [
            f"{number * 1000 + n},{'NA' if n % 40 == 9 else chance.choice(['UA', 'B6'])},{day}T0{n % 10}:00:00,{n / 4 if n % 50 else ''}"
            for n in range(150)
        ]
        lines = ["id,Carrier,depTime,delay", *rows, rows[chance.randrange(150)], f"{number}cut"]
        colony.write(f"data/flights_{day}.csv", "\n".join(lines) + "\n")
    return colony


def other(place: Colony) -> Colony:
    """The same colony on a machine of its own, before anything was done there."""
    return Colony(Path(shutil.copytree(place.root, place.root.parent / "alone")))


def data(place: Colony) -> dict[str, bytes]:
    """Every file of the tools that says no time of its own."""
    folders = [place.root / "staging" / name for name in ("raw", "transformed", "rejected")]
    found = {str(path.relative_to(place.root)): path.read_bytes() for folder in folders for path in folder.iterdir()}
    for path in sorted((place.root / "staging/quarantine").iterdir()):
        found[str(path.relative_to(place.root))] = path.read_bytes()
    return found


def rows(place: Colony, table: str) -> bytes:
    with duckdb.connect(str(place.root / "warehouse/flights.duckdb"), read_only=True) as warehouse:
        return repr(warehouse.sql(f"select * from {table} order by id").fetchall()).encode()


def fetched(place: Colony, *words: str, **more: Any) -> Any:
    return place("fetch", *words, env={"COLONY_NOW": NOW}, **more)


def test_days_side_by_side_come_to_what_one_process_makes_of_them(place: Colony, where: str) -> None:
    alone = other(place)
    for day in DAYS:
        fetched(alone, "flights", "--date", day)
        alone("transform", "flights", "--date", day)
        alone("validate-data", "flights", "--date", day)
        alone("load", "flights", "--date", day)
    place.workflow("days", where + BY_DAYS)
    place("workflow", "run", "days", "-q")
    assert len(data(alone)) == 4 * len(DAYS) and data(place) == data(alone)
    assert rows(place, "flights") == rows(alone, "flights") and len(rows(place, "flights")) > 10_000


def test_the_files_of_a_day_in_parts_come_to_the_one_file_of_one_process(place: Colony, where: str) -> None:
    alone = other(place)
    fetched(alone, "month", "--date", "2013-01-31")
    for words in (["transform"], ["validate-data"], ["load"]):
        alone(*words, "month", "--date", "2013-01-31")
    place.workflow("parts", where + BY_PARTS)
    place("workflow", "run", "parts", "-q")
    found = data(place)
    assert found == data(alone) and rows(place, "months") == rows(alone, "months")
    raw = json.loads(found["staging/raw/month_2013-01-31.json"])
    assert len({row["id"] for row in raw["data"]}) == raw["record_count"] == 900  # repeats over the parts' borders are out
    assert sorted(path.name for path in (place.root / "staging/parts").iterdir()) == [
        "month_2013-01-31.done.json", "month_2013-01-31.raw.done.json",
    ]  # fmt: skip


def test_a_plan_says_all_that_is_needed_and_is_the_same_each_time(place: Colony) -> None:
    plan = place.json("fetch", "--plan", "--from", "2013-01-01", "--to", "2013-01-02")
    assert plan == place.json("fetch", "--plan", "--from", "2013-01-01", "--to", "2013-01-02", "--json")
    schema = json.loads((REPOSITORY / "schemas/fetch-plan.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(plan)
    assert plan["v"] == 1 and plan["dates"] == ["2013-01-01", "2013-01-02"]
    assert [batch["name"] for batch in plan["batches"]] == [
        "flights_2013-01-01", "month_2013-01-01", "flights_2013-01-02", "month_2013-01-02",
    ]  # fmt: skip
    assert plan["batches"][0] == {
        "name": "flights_2013-01-01", "source": "flights", "date": "2013-01-01", "batch": "0/1", "pieces": None,
        "since": None, "writes": "staging/raw/flights_2013-01-01.json",
        "command": ["colony", "fetch", "flights", "--date", "2013-01-01"],
    }  # fmt: skip
    parts = place.json("fetch", "month", "--plan", "--date", "2013-01-31", "--parts", "4")["batches"]
    assert [(part["batch"], part["pieces"]) for part in parts] == [("0/4", 1), ("1/4", 2), ("2/4", 1), ("3/4", 2)]
    many = place.json("fetch", "month", "--plan", "--parts", "100")
    jsonschema.Draft202012Validator(schema).validate(many)
    assert len({batch["name"] for batch in many["batches"]}) == len(DAYS)
    assert not (place.root / "staging").exists()
    for part in parts:
        place(*part["command"][1:])
    assert (place.root / "staging/raw/month_2013-01-31.json").exists()


def test_parts_of_files_that_have_changed_meanwhile_are_never_put_together(place: Colony) -> None:
    words = ("month", "--date", "2013-01-31", "--batch")
    assert place("fetch", *words, "0/2").out == "month: this part is done, waiting for 1\n"
    place.write("data/flights_2013-01-06.csv", "id\n77777\n")
    summary = place.json("fetch", *words, "1/2", "--json")
    assert summary["status"] == "waiting" and summary["sources"]["month"]["waiting"] == [0] and summary["files"] == []
    assert not (place.root / "staging/raw").exists()
    place("fetch", *words, "0/2")
    raw = json.loads((place.root / "staging/raw/month_2013-01-31.json").read_text())
    assert raw["data"][-1] == {"id": "77777"}


def test_a_batch_that_is_killed_at_any_moment_is_made_again_and_the_day_is_the_same(place: Colony) -> None:
    words = ("fetch", "month", "--date", "2013-01-31", "--batch")
    fetched(place, "month", "--date", "2013-01-31")
    raw = place.root / "staging/raw/month_2013-01-31.json"
    whole = hashlib.sha256(raw.read_bytes().split(b"\n", 1)[1]).hexdigest()
    deaths = 0
    for point in range(1, 50):
        shutil.rmtree(place.root / "staging")
        assert killed(place.root, 10**6, *words, "0/2") == 0
        died = killed(place.root, point, *words, "1/2") != 0
        assert not raw.exists() or hashlib.sha256(raw.read_bytes().split(b"\n", 1)[1]).hexdigest() == whole
        assert killed(place.root, 10**6, *words, "1/2") == 0
        assert hashlib.sha256(raw.read_bytes().split(b"\n", 1)[1]).hexdigest() == whole
        assert [path.name for path in (place.root / "staging/parts").glob("*.json")] == ["month_2013-01-31.raw.done.json"]
        if not died:
            break
        deaths += 1
    assert 5 <= deaths < 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--plan --from 2013-01-01", "--from and --to go together; give the first and the last day"),
        ("--plan --from 2013-01-02 --to 2013-01-01", "2013-01-01 is before 2013-01-02; --from is the first day, --to the last"),
        ("--plan --from 1913-01-02 --to 2013-01-01", "1913-01-02 to 2013-01-01 are 36,525 days, at most 3,660; take fewer"),
        ("--plan --date 2013-01-01 --from 2013-01-01 --to 2013-01-01", "--date goes with no --from and --to; give a day or a range of days"),
        ("--plan --parts 0", "--parts 0 is not from 1 to 1,000"),
        ("--parts 2", "--parts goes with --plan; add --plan, or leave --parts out"),
        ("--plan --batch 0/2", "--plan goes with no --batch; give one of them"),
        ("--dry-run --batch 0/2", "--dry-run goes with no --batch; give one of them"),
        ("--batch 2/2", "'2/2' is not a batch; write I/N, as 0/4, I from 0 to N-1, N at most 1000"),
        ("new --plan --from 2013-01-01 --to 2013-01-02", "source 'new' takes only objects that no earlier day has taken: its days cannot be planned at pipeline.yml:3; plan one day at a time"),
        ("more --plan --from 2013-01-01 --to 2013-01-02", "source 'more' begins where the day before it was loaded: its days cannot be planned at pipeline.yml:4; plan one day at a time, or say from where with --since"),
        ("more --batch 0/2", "source 'more': source 'more' is of type 'rest', not made of files or objects at pipeline.yml:4; leave out --batch"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_in_a_line(colony: Colony, words: str, said: str) -> None:
    new = "{type: s3, url: 's3://b/*.csv', only_new: true}"
    more = "{type: rest, url: 'http://127.0.0.1:9/', incremental: {field: at}}"
    colony.write("pipeline.yml", f"version: 1\nsources:\n  new: {new}\n  more: {more}\n")
    done = colony("fetch", *words.split(), check=False)
    assert (done.code, done.out, done.err) == (2, "", f"colony fetch: {said}\n")
    assert not (colony.root / "staging").exists()


def test_with_since_the_days_of_a_source_that_goes_on_can_be_planned(colony: Colony) -> None:
    more = "{type: rest, url: 'http://127.0.0.1:9/', incremental: {field: at}}"
    colony.write("pipeline.yml", f"version: 1\nsources:\n  more: {more}\n")
    plan = colony.json("fetch", "--plan", "--from", "2013-01-01", "--to", "2013-01-02", "--since", "2012-12-31")
    assert plan["batches"][1]["command"] == ["colony", "fetch", "more", "--date", "2013-01-02", "--since", "2012-12-31"]


def test_the_workflow_in_the_readme_is_one_and_does_its_days(colony: Colony) -> None:
    text = (REPOSITORY / "README.md").read_text()
    steps = text[text.index("steps:\n  - {name: plan, agent: orchestrator, run: colony fetch flights --plan") :].split("```")[0]
    colony.write("colony.yml", "name: year\nagents: [{id: orchestrator}, {id: fetcher}, {id: transformer}]\n")
    source = '{type: file, path: "data/{{date}}.csv", optional: true}'
    colony.write("pipeline.yml", f"version: 1\nsources: {{flights: {source}}}\n")
    colony.workflow("year", steps.replace("2013-12-31", "2013-01-03"))
    colony("validate")
    colony("workflow", "run", "year", "-q")
    assert len(list((colony.root / "staging/transformed").glob("flights_2013-01-0[123].json"))) == 3
