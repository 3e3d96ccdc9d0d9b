"""`staging: s3://…` in pipeline.yml: two machines without a shared disk, their state through git and their data through
a real S3 server on the loopback, come to what one machine makes alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from tests import machines
from tests.conftest import REPOSITORY, Colony, Result, clean_environment
from tests.data.dying import killed

NOW = "2013-02-09T06:00:00.000Z"
DAY = "2013-02-08"
PIPELINE = """\
version: 1
staging: s3://BUCKET/one/colony
warehouse: {url: "duckdb:///warehouse/flights.duckdb"}
sources:
  flights: {type: file, path: "data/flights_{{date}}.csv", key: [id]}
  airlines: {type: file, path: data/airlines.csv}
datasets:
  airlines:
    schema: {fields: [{name: carrier, type: string}, {name: name, type: string}], primaryKey: carrier}
    load: {table: airlines, mode: replace}
  flights:
    schema:
      fields:
        - {name: id, type: integer, constraints: {required: true}}
        - {name: carrier, type: string}
        - {name: delay, type: number}
      primaryKey: id
      foreignKeys:
        - {fields: carrier, reference: {resource: airlines, fields: carrier}}
    thresholds: {error_rate: {fail: 0.01}}
    load: {table: flights, mode: upsert, key: id}
"""


# As a scheduler with workers on other machines would have it: each batch in the folder of one of two workers.
SPREAD = """\
steps:
  - {name: plan, agent: worker, run: "colony fetch flights airlines --plan --from 2013-02-05 --to 2013-02-08"}
  - name: fetch
    agent: worker
    depends_on: [plan]
    for_each: "{{steps.plan.output.batches}}"
    run: cd ../worker-$((COLONY_BATCH_ID % 2)) && COLONY_ROOT=$PWD colony fetch {{item.source}} --date {{item.date}}
  - name: transform
    agent: worker
    depends_on: [fetch]
    for_each: "{{steps.plan.output.dates}}"
    run: cd ../worker-$(((COLONY_BATCH_ID + 1) % 2)) && COLONY_ROOT=$PWD colony transform --date {{item}}
  - name: validate
    agent: worker
    depends_on: [transform]
    for_each: "{{steps.plan.output.dates}}"
    parallel: 1
    run: cd ../worker-$((COLONY_BATCH_ID % 2)) && COLONY_ROOT=$PWD colony validate-data --date {{item}}
  - name: load
    agent: worker
    depends_on: [validate]
    for_each: "{{steps.plan.output.dates}}"
    parallel: 1
    run: colony load --date {{item}}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Scene:
    """A bucket, a bare remote, and the machines that share them."""

    def __init__(self, folder: Path, address: str, bucket: str) -> None:
        self.folder = folder
        self.bucket = bucket
        self.environment = {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "s3-secret-key-1234",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent",
            "COLONY_NOW": NOW,
        }  # fmt: skip
        self.client = boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=bucket)
        self.remote = machines.bare(folder)

    def machine(self, name: str, *, staging: bool = True, data: bool = True) -> machines.Machine:
        made = machines.machine(self.folder, name, self.remote, dirty=False)
        text = PIPELINE.replace("BUCKET", self.bucket)
        made.write("pipeline.yml", text if staging else text.replace("staging:", "description:"))
        if data:
            write_day(made)
        return made

    def __call__(self, machine: Colony, *words: str, **more: Any) -> Result:
        return machine(*words, env=self.environment, **more)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix="one/colony/" + prefix).get("Contents") or []
        found = {}
        for key in [item["Key"] for item in listed]:
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            found[key.removeprefix("one/colony/")] = body
        return found

    def reset(self, objects: dict[str, bytes]) -> None:
        """Let there be these objects and no others."""
        for key in self.objects():
            self.client.delete_object(Bucket=self.bucket, Key="one/colony/" + key)
        for key, body in objects.items():
            self.put(key, body)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key="one/colony/" + key, Body=data)


def write_day(machine: Colony, date: str = DAY, more: str = "") -> None:
    rows = "".join(f"{n},{'UA' if n % 3 else 'B6'},{n / 4}\n" for n in range(200))
    machine.write(f"data/flights_{date}.csv", f"id,carrier,delay\n{rows}cut\nx1,UA,2\n{more}")
    machine.write("data/airlines.csv", "carrier,name\nUA,United\nB6,JetBlue\n")


@pytest.fixture
def scene(tmp_path: Path, address: str, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, address, f"b{abs(hash(request.node.name))}")


def data(machine: Colony, *folders: str) -> dict[str, bytes]:
    found = {}
    for name in folders or ("staging/raw", "staging/transformed", "staging/rejected", "reports", "metrics"):
        for path in sorted((machine.root / name).iterdir()):
            if path.suffix == ".json":
                found[str(path.relative_to(machine.root))] = path.read_bytes()
    return found


def lasting(found: dict[str, bytes]) -> dict[str, Any]:
    """The same without what no two runs have: how long it took, and the run's id."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if "seconds" not in key and key != "run_id"}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return {name: clean(json.loads(text)) for name, text in found.items()}


def rows(machine: Colony) -> Any:
    with duckdb.connect(str(machine.root / "warehouse/flights.duckdb"), read_only=True) as warehouse:
        return [warehouse.sql(f"select * from {table} order by 1").fetchall() for table in ("flights", "airlines")]


def test_what_one_machine_fetches_and_transforms_another_validates_and_loads(scene: Scene) -> None:
    a, b, alone = scene.machine("a"), scene.machine("b", data=False), scene.machine("alone", staging=False)
    for date in ("2013-02-07", DAY):
        for machine in (a, alone):
            write_day(machine, date)
        for words in (["fetch"], ["transform"]):
            scene(a, *words, "--date", date)
        a.sync()
        b.sync()
        for words in (["validate-data"], ["load"], ["report"]):
            scene(b, *words, "--date", date)
        for words in (["fetch"], ["transform"], ["validate-data"], ["load"], ["report"]):
            scene(alone, *words, "--date", date)
        b.sync()
        a.sync()
    both = data(b, "staging/raw", "staging/transformed", "staging/rejected")
    assert both == data(alone, "staging/raw", "staging/transformed", "staging/rejected") and len(both) == 12
    assert rows(b) == rows(alone) and len(rows(b)[0]) == 200
    assert lasting(data(b, "reports")) == lasting(data(alone, "reports"))
    assert not (a.root / "warehouse").exists() and not (b.root / "data").exists()
    # The state went by git: what B has loaded A knows, and what A has fetched B.
    assert a.document("load_metadata") == b.document("load_metadata")
    assert b.document("fetch_results")["flights"]["date"] == DAY
    # A third machine, with nothing, makes the same report of what the others have done.
    c = scene.machine("c", data=False)
    c.sync()
    scene(c, "report", "--date", DAY)
    assert data(c, "staging/transformed")[f"staging/transformed/flights_{DAY}.json"]
    trend = json.loads((c.root / f"metrics/daily_{DAY}.json").read_text())["trend"]
    assert trend["previous"] == "2013-02-07"


def test_files_named_on_the_command_line_are_taken_from_there_too(scene: Scene) -> None:
    a, b = scene.machine("a"), scene.machine("b", data=False)
    scene(a, "fetch", "--date", DAY)
    scene(b, "transform", f"staging/raw/flights_{DAY}.json", f"staging/raw/airlines_{DAY}.json")
    scene(a, "validate-data", f"staging/transformed/airlines_{DAY}.json", cwd=a.root)
    assert data(a, "staging/transformed") == {
        name: text for name, text in data(b, "staging/transformed").items() if "airlines" in name
    }
    done = scene(a, "transform", "staging/raw/flights_2013-99-99.json", check=False)
    assert (done.code, done.err) == (1, "colony transform: there is no file 'staging/raw/flights_2013-99-99.json'\n")


def test_the_parts_of_a_day_are_made_on_two_machines_and_put_together_by_the_last(scene: Scene) -> None:
    a, b, alone = scene.machine("a", data=False), scene.machine("b", data=False), scene.machine("alone", staging=False)
    for machine in (a, b, alone):
        path = machine.root / "pipeline.yml"
        files = f's3, url: "s3://{scene.bucket}/in/flights_*.csv"'
        path.write_text(path.read_text().replace('file, path: "data/flights_{{date}}.csv"', files))
    for number in range(4):
        body = "id,carrier,delay\n" + "".join(f"{n},UA,{n / 4}\n" for n in range(number * 90, number * 90 + 100))
        scene.client.put_object(Bucket=scene.bucket, Key=f"in/flights_{number}.csv", Body=body.encode() + b"cut\n")
    plan = json.loads(scene(a, "fetch", "flights", "--plan", "--date", DAY, "--parts", "3").out)["batches"]
    said = [scene(machine, *batch["command"][1:]).out for machine, batch in zip((a, b, a), plan, strict=True)]
    assert said[0].endswith("waiting for 1, 2\n") and said[1].endswith("waiting for 2\n") and "370 records" in said[2]
    assert scene(b, "transform", "flights", "--date", DAY, "--batch", "0/2").out.endswith("waiting for 1\n")
    assert "370 out" in scene(a, "transform", "flights", "--date", DAY, "--batch", "1/2").out
    assert not list((a.root / "staging/parts").glob("*-of-*"))
    for words in (["fetch"], ["transform"]):
        scene(alone, *words, "flights", "--date", DAY)
    folders = ("staging/raw", "staging/transformed", "staging/rejected")
    assert data(a, *folders) == data(alone, *folders)
    # A batch that is made again on the other machine finds all parts there.
    assert "370 out" in scene(b, "transform", "flights", "--date", DAY, "--batch", "0/2").out
    assert data(b, *folders) == data(alone, *folders)


def test_days_that_workers_without_a_shared_disk_make_side_by_side_are_those_of_one_machine(scene: Scene) -> None:
    places = [scene.machine(name) for name in ("here", "worker-0", "worker-1")]
    alone = scene.machine("alone", staging=False)
    days = [f"2013-02-0{number}" for number in (5, 6, 7, 8)]
    for date in days:
        for machine in (*places, alone):
            write_day(machine, date, more=f"9{date[-2:]},UA,1\n")
        for words in (["fetch"], ["transform"], ["validate-data"], ["load"]):
            scene(alone, *words, "--date", date)
    here, *workers = places
    here.workflow("spread", SPREAD)
    scene(here, "workflow", "run", "spread", "-q")
    folders = ("staging/transformed", "staging/rejected")
    assert len(data(here, *folders)) == 16 and data(here, *folders) == data(alone, *folders)
    assert rows(here) == rows(alone) and len(rows(here)[0]) == 204
    reports = lasting(data(alone, "reports"))
    assert len(reports) == 20 and lasting(data(here, "reports")) == reports
    for worker in workers:
        assert data(worker, "staging/raw") and not (worker.root / "warehouse").exists()


def test_the_objects_say_what_they_are_and_the_same_bytes_are_sent_once(scene: Scene) -> None:
    a = scene.machine("a")
    scene(a, "fetch", "--date", DAY)
    before = scene.objects()
    raw = (a.root / f"staging/raw/flights_{DAY}.json").read_bytes()
    manifest = json.loads(before[f"raw/flights_{DAY}.json"])
    sha256 = manifest["files"]["raw"]["sha256"]
    assert manifest == {
        "v": 1, "unit": "raw", "of": f"flights_{DAY}", "files": {"raw": {"sha256": sha256, "bytes": len(raw)}},
    }  # fmt: skip
    assert before[f"content/raw/flights_{DAY}/{sha256}.json"] == raw and len(before) == 4
    scene(a, "fetch", "--date", DAY)
    assert scene.objects() == before
    scene(a, "transform", "--date", DAY)
    assert list(json.loads(scene.objects()[f"transformed/flights_{DAY}.json"])["files"]) == [
        "rejected", "transformation", "transformed",
    ]  # fmt: skip


def test_a_file_that_another_machine_has_made_anew_is_taken_anew(scene: Scene) -> None:
    a, b = scene.machine("a"), scene.machine("b", data=False)
    path = f"staging/raw/flights_{DAY}.json"
    scene(a, "fetch", "--date", DAY)
    scene(b, "transform", "--date", DAY)
    write_day(a, more="900,UA,1\n")
    scene(a, "fetch", "--date", DAY)
    scene(b, "transform", "--date", DAY)
    assert (b.root / path).read_bytes() == (a.root / path).read_bytes() and b'"900"' in (b.root / path).read_bytes()
    # One that was changed here stays as it is, as long as nobody has changed it there.
    text = (b.root / path).read_text().replace('"900"', '"901"')
    b.write(path, text)
    scene(b, "transform", "--date", DAY)
    assert (b.root / path).read_text() == text
    # One that both have changed is for a person to decide about.
    write_day(a, more="902,UA,1\n")
    scene(a, "fetch", "--date", DAY)
    done = scene(b, "transform", "--date", DAY, check=False)
    assert (done.code, done.out, done.err) == (
        1, "", "colony transform: the file is another than that in staging, "
        f"s3://{scene.bucket}/one/colony/raw/flights_{DAY}.json, and not one that was there before at {path}; "
        f"remove it to take that one, or run 'colony fetch flights --date {DAY}' here\n",
    )  # fmt: skip
    assert (b.root / path).read_text() == text
    (b.root / path).unlink()
    scene(b, "transform", "--date", DAY)
    assert b'"902"' in (b.root / path).read_bytes()


def test_what_was_changed_in_the_bucket_is_refused_in_a_line_and_not_placed(scene: Scene) -> None:
    a, b = scene.machine("a"), scene.machine("b", data=False)
    scene(a, "fetch", "--date", DAY)
    manifest = f"raw/flights_{DAY}.json"
    good = scene.objects()
    sha256 = json.loads(good[manifest])["files"]["raw"]["sha256"]
    content = f"content/raw/flights_{DAY}/{sha256}.json"
    bad = good[content].replace(b"JetBlue", b"JetBlau").replace(b'"0"', b'"1"')
    there = f"s3://{scene.bucket}/one/colony/"
    again = f"run 'colony fetch flights --date {DAY}'"

    def refused(said: str) -> None:
        done = scene(b, "transform", "flights", "--date", DAY, check=False)
        assert (done.code, done.out, done.err) == (1, "", f"colony transform: {said}; {again}\n")
        assert not list((b.root / "staging").rglob("*.*"))

    for wrong in (bad, good[content][:-1], good[content] + b" ", b""):
        scene.put(content, wrong)
        refused(f"the file in staging is not what its manifest says at {there}{content}")
    scene.client.delete_object(Bucket=scene.bucket, Key="one/colony/" + content)
    refused(f"the file is not in staging any more at {there}{content}")
    told = json.loads(good[manifest])
    for wrong in (
        b"", b"{", b"[1]", b'{"v": 2, "files": {}}', b'{"v": 1, "files": {"raw": {"sha256": "../x", "bytes": 1}}}',
        json.dumps({**told, "files": {"raw": {"sha256": sha256, "bytes": "1"}}}).encode(), b" " * 70_000,
    ):  # fmt: skip
        scene.put(manifest, wrong)
        refused(f"this is no manifest of staging at {there}{manifest}")
    scene.put(content, bad)
    scene(a, "fetch", "--date", DAY)  # made anew, and all is well
    scene(b, "transform", "--date", DAY)
    assert scene.objects() == scene.objects() | good


@pytest.mark.parametrize(
    ("staging", "more", "code", "said"),
    [
        ("http://b/x", {}, 2, "'http://b/x' is no place on S3 at pipeline.yml:2; write it like s3://bucket/folder"),
        ("s3://", {}, 2, "'s3://' is no place on S3 at pipeline.yml:2; write it like s3://bucket/folder"),
        ("s3://bucket/../x", {}, 2, "'s3://bucket/../x' is no place on S3 at pipeline.yml:2; write it like s3://bucket/folder"),
        ("$PLACE", {}, 2, "the environment variable PLACE is not set, which the pipeline needs at pipeline.yml:2; export PLACE=…"),
        ("{url: s3://bucket, endpoint: nowhere}", {}, 2, "'nowhere' is no address of a server at pipeline.yml:2; write it like https://s3.example.org"),
        ("{url: s3://bucket, folder: x}", {}, 2, "unknown key 'folder' in 'staging' at pipeline.yml:2"),
        ("s3://no-such-bucket-here/x", {}, 1, "source 'airlines': S3 refused: NoSuchBucket: The specified bucket does not exist at s3://no-such-bucket-here/x/content/raw/airlines_2013-02-08/"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent"}, 1, "source 'airlines': there are no keys for S3 at s3://bucket/x/content/raw/airlines_2013-02-08/"),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, 1, "source 'airlines': S3 refused: Could not connect to the endpoint URL"),
    ],
)  # fmt: skip
def test_a_place_that_is_none_is_said_in_a_line(scene: Scene, staging: str, more: dict[str, str], code: int, said: str) -> None:
    a = scene.machine("a")
    text = PIPELINE.replace("s3://BUCKET/one/colony", staging)
    a.write("pipeline.yml", text)
    done = a("fetch", "airlines", "--date", DAY, env=scene.environment | more, check=False)
    assert done.code == code and done.err.startswith(f"colony fetch: {said}") and done.err.count("\n") == 1, done
    if code == 2:
        assert not (a.root / "staging").exists()


def test_without_boto3_it_is_said_before_anything_is_done(scene: Scene, tmp_path: Path) -> None:
    a = scene.machine("a")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/sitecustomize.py").write_text(
        "import importlib.util\nfound = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'boto3' else found(name, *more)\n"
    )
    path = f"{tmp_path / 'none'}:{REPOSITORY}"
    done = a("fetch", "--date", DAY, env=scene.environment | {"PYTHONPATH": path}, check=False)
    said = "the Python package 'boto3' is not installed at pipeline.yml:2; pip install 'colony[s3]'"
    assert (done.code, done.out, done.err) == (2, "", f"colony fetch: {said}\n")
    assert not (a.root / "staging").exists()


def test_a_put_that_is_killed_at_any_moment_leaves_the_old_unit_or_the_new_one(scene: Scene) -> None:
    a = scene.machine("a")
    scene(a, "fetch", "--date", DAY)
    scene(a, "transform", "--date", DAY)
    write_day(a, more="900,UA,1\n")
    scene(a, "fetch", "--date", DAY)
    kept = shutil.copytree(a.root, scene.folder / "kept")
    before = scene.objects()
    seen = set()
    for point in range(1, 80):
        scene.reset(before)
        shutil.rmtree(a.root)
        shutil.copytree(kept, a.root)
        died = killed(a.root, point, "transform", "flights", "--date", DAY, **scene.environment) != 0
        seen.add(staged(scene, "flights"))
        code = killed(a.root, 10**6, "transform", "flights", "--date", DAY, **scene.environment)
        assert code == 0 and staged(scene, "flights") == 201
        if not died:
            break
    assert not died and point > 10 and seen == {200, 201}


def staged(scene: Scene, dataset: str) -> int:
    """How many rows the dataset has as a machine with nothing finds it in staging; all of it must be there, whole."""
    objects = scene.objects()
    told = json.loads(objects[f"transformed/{dataset}_{DAY}.json"])["files"]
    found = {}
    for kind, entry in told.items():
        found[kind] = json.loads(objects[f"content/{kind}/{dataset}_{DAY}/{entry['sha256']}.json"])
    count: int = found["transformed"]["record_count"]
    assert found["transformation"]["rows_out"] == count and found["transformation"]["rejected"] == len(found["rejected"])
    return count


def test_a_retry_of_the_quarantine_that_is_killed_at_any_moment_reaches_the_other_machines(scene: Scene) -> None:
    a, b = scene.machine("a"), scene.machine("b", data=False)
    scene(a, "fetch", "flights", "--date", DAY)
    path = a.root / f"data/flights_{DAY}.csv"
    path.write_text(path.read_text().replace("cut", "2000,UA,3"))
    kept, before = shutil.copytree(a.root, scene.folder / "kept"), scene.objects()
    raw = f"staging/raw/flights_{DAY}.json"
    for point in range(1, 40):
        scene.reset(before)
        shutil.rmtree(a.root)
        shutil.copytree(kept, a.root)
        words = ("fetch", "--retry-quarantine")
        died = killed(a.root, point, *words, **scene.environment) != 0
        assert killed(a.root, 10**6, *words, **scene.environment) == 0
        assert b'"2000"' in (a.root / raw).read_bytes() and not list((a.root / "staging/quarantine").glob("*.json"))
        sha256 = json.loads(scene.objects()[f"raw/flights_{DAY}.json"])["files"]["raw"]["sha256"]
        assert scene.objects()[f"content/raw/flights_{DAY}/{sha256}.json"] == (a.root / raw).read_bytes()
        if not died:
            break
    assert not died and point > 5
    scene(b, "transform", "flights", "--date", DAY)
    assert (b.root / raw).read_bytes() == (a.root / raw).read_bytes()


@pytest.mark.parametrize("staging", [False, True])
def test_boto3_is_imported_only_where_it_is_needed(scene: Scene, staging: bool) -> None:
    a = scene.machine("a", staging=staging)
    asked = "import sys; from colony_lib import cli; cli.run('fetch', ['flights', '--date', '2013-02-08', *sys.argv[1:]])"
    for words, expected in (((), staging), (("--dry-run",), False), (("--plan",), False)):
        command = [sys.executable, "-c", f"{asked}; print('boto3' in sys.modules)", *words]
        environment = clean_environment(PYTHONPATH=str(REPOSITORY), **scene.environment)
        done = subprocess.run(command, cwd=a.root, env=environment, capture_output=True, text=True)
        assert done.stdout.endswith(f"{expected}\n"), done


def test_without_a_colony_and_without_a_prefix_it_is_the_same(scene: Scene) -> None:
    a, b = (Colony(scene.folder / name) for name in ("plain-a", "plain-b"))
    for place in (a, b):
        url = f"{{url: s3://$WHERE, endpoint: {scene.environment['AWS_ENDPOINT_URL']}, region: us-east-1}}"
        place.write("pipeline.yml", PIPELINE.replace("s3://BUCKET/one/colony", url))
    write_day(a)
    scene.environment["WHERE"] = scene.bucket + "/"
    del scene.environment["AWS_ENDPOINT_URL"]
    scene(a, "fetch", "flights", "--date", DAY)
    scene(b, "transform", "flights", "--date", DAY)
    assert data(b, "staging/raw") == data(a, "staging/raw")
    keys = [item["Key"] for item in scene.client.list_objects_v2(Bucket=scene.bucket)["Contents"]]
    assert f"raw/flights_{DAY}.json" in keys and f"transformed/flights_{DAY}.json" in keys
    assert (b.root / f"staging/.colony-data/staged/raw-flights_{DAY}.json").exists()


def test_a_take_that_is_killed_at_any_moment_is_made_again(scene: Scene) -> None:
    a, b = scene.machine("a"), scene.machine("b", data=False)
    scene(a, "fetch", "--date", DAY)
    scene(a, "transform", "--date", DAY)
    scene(a, "validate-data", "--date", DAY)
    kept = shutil.copytree(b.root, scene.folder / "kept")
    for point in range(1, 80):
        shutil.rmtree(b.root)
        shutil.copytree(kept, b.root)
        died = killed(b.root, point, "load", "flights", "--date", DAY, **scene.environment) != 0
        for path in (b.root / "staging").rglob("*_*.json") if (b.root / "staging").exists() else ():
            json.loads(path.read_text())
        assert killed(b.root, 10**6, "load", "flights", "--date", DAY, **scene.environment) == 0
        path = f"staging/transformed/flights_{DAY}.json"
        assert (b.root / path).read_bytes() == (a.root / path).read_bytes()
        if not died:
            break
    assert not died and point > 10
