"""Sources of type `s3`, against a real S3 server on the loopback."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from colony_lib import cli

SECRET = "s3-secret-key-1234"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Bucket:
    def __init__(self, address: str, name: str) -> None:
        self.client = boto3.client("s3", endpoint_url=address)
        self.name = name
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)


@pytest.fixture
def bucket(address: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return Bucket(address, f"b{abs(hash(request.node.name))}")


def s3(bucket: Bucket, pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "s3", "url": f"s3://{bucket.name}/{pattern}", **more}


def parquet(folder: Path, sql: str) -> bytes:
    path = folder / "made.parquet"
    duckdb.sql(sql).write_parquet(str(path))
    data = path.read_bytes()
    path.unlink()
    return data


def test_objects_of_every_format_are_read_by_their_pattern(fetch: Any, bucket: Bucket, folder: Path) -> None:
    bucket.put("day=2013-02-08/a.csv", b"id,name\n1,one\n2,two\n")
    bucket.put("day=2013-02-08/b.csv.gz", gzip.compress(b"id,name\n3,three\n"))
    bucket.put("day=2013-02-08/deep/c.csv", b"id,name\n9,nine\n")
    bucket.put("day=2013-02-07/a.csv", b"id,name\n8,eight\n")
    assert [row["id"] for row in fetch(s3(bucket, "day={{date}}/*.csv*")).rows()] == ["1", "2", "3"]
    assert [row["id"] for row in fetch(s3(bucket, "day={{date}}/")).rows()] == ["1", "2", "3", "9"]
    assert [row["id"] for row in fetch(s3(bucket, "**/deep/?.csv")).rows()] == ["9"]
    bucket.put("x.json", b'{"data": [{"id": 1}, {"id": 2}]}')
    bucket.put("x.ndjson", b'{"id": 3}\n{"id": 4}\n')
    assert fetch(s3(bucket, "x.json")).rows() == [{"id": 1}, {"id": 2}]
    assert fetch(s3(bucket, "x.ndjson")).rows() == [{"id": 3}, {"id": 4}]
    rows = "select 7 as id, timestamp '2013-02-08 05:00' as at, null::int as n, [1, 2] as l, 'ü' as t, 1.5::double as x"
    bucket.put("x.parquet", parquet(folder, rows))
    assert fetch(s3(bucket, "x.parquet")).rows() == [
        {"id": 7, "at": "2013-02-08T05:00:00.000000", "n": None, "l": [1, 2], "t": "ü", "x": 1.5}
    ]


def test_more_objects_than_a_page_of_the_list_are_all_read(fetch: Any, bucket: Bucket) -> None:
    for number in range(1100):
        bucket.put(f"many/{number:05}.ndjson", b'{"n": %d}\n' % number)
    done = fetch(s3(bucket, "many/*.ndjson"))
    assert [row["n"] for row in done.rows()] == list(range(1100)) and done.figures()["pages"] == 1100


def test_only_new_objects_count_for_a_date_and_a_fetch_done_again_gives_the_same(
    fetch: Any, bucket: Bucket, folder: Path
) -> None:
    def days() -> list[Any]:
        return [row["n"] for row in fetch(s3(bucket, "in/*.ndjson", only_new=True, optional=True)).rows()]

    noted = folder / ".colony/state/fetched_objects.json"
    bucket.put("in/a.ndjson", b'{"n": 1}\n')
    assert days() == [1] and days() == [1]
    bucket.put("in/b.ndjson", b'{"n": 2}\n')
    assert days() == [1, 2]  # still the same date
    found = next(folder.rglob("fetched_objects.json"))
    state = json.loads(found.read_text())
    for entry in state["s"].values():
        entry["date"] = "2013-02-07"  # as if the day before had fetched them
    found.write_text(json.dumps(state))
    assert days() == []
    bucket.put("in/a.ndjson", b'{"n": 10}\n')  # one that has changed is new
    bucket.put("in/c.ndjson", b'{"n": 3}\n')
    assert days() == [10, 3]
    assert noted.exists() or found.exists()


def test_an_object_that_cannot_be_read_is_kept_for_a_person(fetch: Any, bucket: Bucket) -> None:
    bucket.put("bad.csv.gz", gzip.compress(b"id\n" + b"1\n" * 1000)[:-9])
    done = fetch(s3(bucket, "bad.csv.gz"))
    assert done.code == 1 and "not whole gzip" in done.error() and not done.raw()
    assert "bad.csv.gz" in done.quarantine()[0]["origin"]
    bucket.put("half.parquet", b"PAR1" + b"\0" * 100 + b"PAR1")
    assert "not whole Parquet" in fetch(s3(bucket, "half.parquet")).error()
    bucket.put("rows.csv", b"a,b\n1,2\n3\n")
    done = fetch(s3(bucket, "rows.csv"))
    assert done.rows() == [{"a": "1", "b": "2"}] and done.figures()["quarantined"] == 1


def test_what_is_not_there_or_not_allowed_is_said_in_a_line(
    fetch: Any, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"there is no object 's3://{bucket.name}/none/*'" in fetch(s3(bucket, "none/*")).error()
    assert fetch(s3(bucket, "none/*", optional=True)).rows() == []
    assert "NoSuchBucket" in fetch({"type": "s3", "url": "s3://no-such-bucket-here/x"}).error()
    bucket.put("large.csv", b"a\n" + b"x" * 3000)
    assert "an object of 3,002 bytes" in fetch(s3(bucket, "large.csv", max_bytes="1KB")).error()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    said = fetch(s3(bucket, "x.csv")).error()
    assert "S3 refused: Could not connect to the endpoint URL" in said and "\n" not in said


def test_the_secret_key_gets_into_no_file(fetch: Any, bucket: Bucket, folder: Path) -> None:
    bucket.put("x.csv", f"said\n{SECRET}\n".encode())
    assert fetch(s3(bucket, "x.csv")).rows() == [{"said": "[AWS_SECRET_ACCESS_KEY]"}]
    assert not any(SECRET in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_local_parquet_files_are_read_too(fetch: Any, folder: Path) -> None:
    (folder / "a.parquet").write_bytes(parquet(folder, "select i as id from range(25000) t(i)"))
    done = fetch({"type": "file", "path": "a.parquet"})
    assert [row["id"] for row in done.rows()] == list(range(25000))


def test_an_object_in_quarantine_is_read_again_once_it_is_whole(fetch: Any, bucket: Bucket, folder: Path) -> None:
    bucket.put("day/a.json", b'[{"id": 1}]')
    bucket.put("day/b.json", b'[{"id": 2}')
    assert fetch(s3(bucket, "day/*", only_new=True)).code == 1
    bucket.put("day/b.json", b'[{"id": 2}]')
    assert cli.run("fetch", ["--retry-quarantine"]) == 0
    raw = json.loads((folder / "staging/raw/s_2013-02-08.json").read_text())
    assert raw["data"] == [{"id": 1}, {"id": 2}] and not list((folder / "staging/quarantine").glob("s_*"))
    # Both objects belong to that day from now on.
    assert cli.run("fetch", ["--date", "2013-02-09"]) == 0
    assert json.loads((folder / "staging/raw/s_2013-02-09.json").read_text())["data"] == []
