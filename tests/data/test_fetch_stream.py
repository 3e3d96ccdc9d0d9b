"""Replies that are read record by record: NDJSON, and JSON too large to hold."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data import readers, streamed
from tests.conftest import REPOSITORY, clean_environment
from tests.web import Answer, Web

PAD = "é" * 2000
MANY = [{"id": number, "pad": PAD} for number in range(2150)]  # 8.8 MB: more than is held


def rest(url: str, **settings: Any) -> dict[str, Any]:
    return {"type": "rest", "url": url, **settings}


def text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def lines(rows: list[Any]) -> bytes:
    return b"".join(text(row) + b"\n" for row in rows)


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8", "text/plain"])
def test_ndjson_is_records_and_its_bad_lines_are_set_apart(fetch: Any, kind: str) -> None:
    body = b'{"id":1}\r\n\n{"id":\n[2]\n{"id":3}'
    with Web(lambda _: Answer(body, headers={"Content-Type": kind})) as web:
        done = fetch(rest(web.url, **({"format": "ndjson"} if kind == "text/plain" else {})))
    assert done.code == 0 and done.rows() == [{"id": 1}, {"id": 3}]
    [kept] = done.quarantine()
    assert [(problem["line"], problem["reason"]) for problem in kept["data"]] == [
        (3, "not JSON: Expecting value (column 7)"),
        (4, "the record is a list, not an object"),
    ]


def test_ndjson_that_ends_in_a_record_was_cut_short_and_is_asked_for_again(fetch: Any) -> None:
    answers = iter([b'{"id":1}\n{"id"', b'{"id":1}\n{"id":2}\n'])
    with Web(lambda _: Answer(next(answers), headers={"Content-Type": "application/jsonl"})) as web:
        done = fetch(rest(web.url))
    assert done.rows() == [{"id": 1}, {"id": 2}] and done.figures()["retries"] == 1


def test_ndjson_comes_in_pages_too_and_an_empty_one_is_the_last(fetch: Any) -> None:
    def page(asked: Any) -> Answer:
        number = int(asked.query["page"])
        body = lines([{"id": number}]) if number < 3 else b""
        return Answer(body, headers={"Content-Type": "application/x-ndjson"})

    with Web(page) as web:
        assert fetch(rest(web.url, pagination={"type": "page"})).rows() == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("body", "records"),
    [
        (text(MANY), None),
        (text({"meta": {"list": [1]}, "rows": MANY, "next": None}), None),
        (text({"lists": [1], "data": {"a": [2], "rows": MANY}}), "data.rows"),
        (lines(MANY), None),
    ],
)
def test_a_large_reply_gives_its_records(fetch: Any, body: bytes, records: str | None, packed: bool) -> None:
    headers = {"Content-Type": "application/x-ndjson"} if body.startswith(b'{"id"') else {}
    with Web(lambda _: Answer(gzip.compress(body, 1) if packed else body, headers=headers)) as web:
        done = fetch(rest(web.url, **({"records": records} if records else {})))
    assert done.code == 0, done.error()
    assert done.rows() == MANY


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (text(MANY)[:-1], "it ends in the middle"),
        (text(MANY)[:-21], "it ends in the middle"),
        (text(MANY) + b"[]", "there is more behind its end"),
        (text(MANY)[:-1] + b",NaN]", "a value is not JSON"),
        (text(MANY)[:-1] + b',{"a":"\xff"}]', "not UTF-8 text"),
        (text(MANY)[:-1] + b',{"a":"\\ud800"}]', "not UTF-8 text"),
        (text({"a": MANY, "b": []}), "there is 2 lists (a, b) in the reply"),
        (text({"a": {"rows": MANY}}), "there is no list in the reply"),
    ],
)
def test_a_large_reply_that_is_no_records_leaves_no_raw_file(fetch: Any, body: bytes, said: str) -> None:
    with Web(lambda _: Answer(body)) as web:
        done = fetch(rest(web.url))
    assert done.code == 1 and said in done.error(), done.error()
    assert not done.raw()
    assert any(entry.get("body", "").startswith(body[:10].decode()) for entry in done.quarantine())


def test_large_pages_lead_on_by_what_stands_beside_their_records_and_circles_are_seen(fetch: Any) -> None:
    def page(asked: Any) -> Any:
        number = int(asked.query.get("cursor", 1))
        rows = [{**row, "page": min(number, 2)} for row in MANY]
        return {"next": number + 1, "rows": rows} if number % 2 else {"rows": rows, "next": number + 1}

    with Web(page) as web:
        done = fetch(rest(web.url, pagination={"type": "cursor", "next": "next"}))
    assert done.code == 1 and "page 3 holds the very records of page 2" in done.error()


def test_a_record_beyond_all_bounds_is_refused_or_set_apart(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "RECORD_LIMIT", 1 << 20)
    rows = [{"id": 1}, {"id": 2, "field": "x" * 9_000_000}, {"id": 3}]
    with Web(lambda _: Answer(lines(rows), headers={"Content-Type": "application/jsonl"})) as web:
        done = fetch(rest(web.url))
        assert done.rows() == [{"id": 1}, {"id": 3}]
        assert done.quarantine()[0]["data"][0]["reason"] == "the line is longer than 1,048,576 bytes"
    with Web(lambda _: Answer(text(rows))) as web:
        done = fetch(rest(web.url))
    assert done.code == 1 and "is longer than 1,048,576 characters" in done.error()


@pytest.mark.parametrize("body", [text(MANY), text({"a": MANY}), lines(MANY), gzip.compress(text(MANY), 1)])
def test_large_files_are_read_so_too(fetch: Any, folder: Path, body: bytes) -> None:
    name = "a.json.gz" if body.startswith(b"\x1f") else "a.ndjson" if body.startswith(b'{"id"') else "a.json"
    (folder / name).write_bytes(body)
    assert fetch({"type": "file", "path": name}).rows() == MANY
    if name == "a.json":
        (folder / name).write_bytes(body[:-1])
        done = fetch({"type": "file", "path": name})
        assert done.code == 1 and "not JSON: it ends in the middle at a.json" in done.error()


VALUES = [
    0, -1.5e10, "", 'a"\\\n\u2028é', True, None, [], {}, [[]], [1, [2, {"a": []}]], {"a": {"b": [1]}}, {"": [1, 2]},
    {"a": 1, "b": [{"c": 1}], "d": {"e": [1]}}, [{"a": "]"}, {"b": "}"}], {"a": [1], "b": [2]}, [12345, 67890], 123,
]  # fmt: skip


@pytest.mark.parametrize("portion", [1, 2, 7, 1000])
@pytest.mark.parametrize("path", [None, "a", "b", "a.b", "d.e", "0"])
def test_a_document_in_portions_is_what_it_is_at_once(
    monkeypatch: pytest.MonkeyPatch, portion: int, path: str | None
) -> None:
    monkeypatch.setattr(streamed, "_PORTION", portion)
    for value, spaces in itertools.product(VALUES, ["", "  \r\n"]):
        body = json.dumps(value, indent=1).replace("\n", "\n" + spaces) + spaces
        for end in (len(body), len(body.rstrip()) - 1):
            given = body[:end]
            try:
                wanted: Any = readers.records_in(jsontext.loads(given), path)
            except ColonyError:
                wanted = None
            document = streamed.Document(io.BytesIO(given.encode()), path)
            try:
                found: Any = [row for batch in document.batches() for row in batch]
            except ColonyError:
                found = None
            assert found == wanted, (given, path)


MEASURED = """\
import sys
from colony_lib import cli
code = cli.run("fetch", ["--date", "2013-02-08"])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_memory_does_not_grow_with_the_reply(folder: Path, kind: str) -> None:
    rows = [{"id": number, "name": f"customer {number}", "note": "x" * 50} for number in range(150_000)]
    body = text(rows) if kind == "json" else lines(rows)  # 14 MB, and ten times that as Python's objects
    with Web(lambda _: Answer(body)) as web:
        settings = rest(web.url, format=kind)
        (folder / "pipeline.yml").write_text(json.dumps({"version": 1, "sources": {"s": settings}}))
        command = [sys.executable, "-c", MEASURED]
        done = subprocess.run(
            command, env=clean_environment(PYTHONPATH=str(REPOSITORY)), capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    said, peak = done.stdout.splitlines()
    assert said.startswith("s: 150,000 records in ") and int(peak) < 100_000  # kB
