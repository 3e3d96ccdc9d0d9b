"""Sources of type `file`: what files in the world hold, and what becomes of each row that is not in order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest


def put(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"type": "file", "path": name}


def test_csv_with_a_byte_order_mark_crlf_and_quoted_newlines(fetch: Any, folder: Path) -> None:
    done = fetch(put(folder, "a.csv", b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines, and ""quotes"""\r\n\r\n2,\xc3\xbc\r\n'))
    assert done.code == 0
    assert done.rows() == [{"id": "1", "text": 'two\r\nlines, and "quotes"'}, {"id": "2", "text": "ü"}]


def test_rows_that_are_not_in_order_are_kept_apart_with_their_line(fetch: Any, folder: Path) -> None:
    data = b'a,b\n1,"x\ny"\nshort\n2,3\nlong,4,5\n\xff\xfe,6\n7,"q"z\n8,nul\0\n9,10'
    done = fetch(put(folder, "data/a.csv", data))
    assert done.code == 0
    assert done.rows() == [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "3"}, {"a": "9", "b": "10"}]
    [kept] = done.quarantine()
    assert [(row["line"], row["reason"]) for row in kept["data"]] == [
        (4, "1 cells where the header has 2"),
        (6, "3 cells where the header has 2"),
        (7, "bytes that are not in the file's encoding"),
        (8, "not CSV: ',' expected after '\"'"),
        (9, "a NUL byte"),
    ]
    assert kept["data"][2]["record"] == ["\\xff\\xfe", "6"]
    assert {row["origin"] for row in kept["data"]} == {"data/a.csv"}
    assert done.figures()["quarantined"] == 5


def test_a_quote_that_is_never_closed_costs_its_own_row_and_is_told(fetch: Any, folder: Path) -> None:
    done = fetch(put(folder, "a.csv", b'a,b\n1,2\n3,"4\n5,6\n'))
    assert done.code == 0 and done.rows() == [{"a": "1", "b": "2"}]
    assert done.quarantine()[0]["data"][0]["line"] == 3
    assert done.quarantine()[0]["data"][0]["reason"] == "not CSV: unexpected end of data"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty: there is not even a header line at a.csv"),
        (b" \n\n", "the file is empty: there is not even a header line at a.csv"),
        (b"id,id\n1,2\n", "the header names the column 'id' twice at a.csv:1; name each column once"),
        (b"id, id\n1,2\n", "the header names the column 'id' twice at a.csv:1; name each column once"),
        (b"\xff\xfei\0d\0", "the file is UTF-16, not UTF-8 at a.csv; give the source 'encoding: utf-16'"),
        (b'"id\n1', "the header line is not CSV: unexpected end of data at a.csv:1"),
        (b"i\xffd\n1\n", "the header line is unreadable: bytes that are not in the file's encoding at a.csv:1"),
        (
            b"id\nJ\xfcrgen\n",
            "none of 1 record could be read (bytes that are not in the file's encoding); name it, such as 'encoding: latin-1'",
        ),
        (b"a;b\n1;2\n", "the header line has no ',' and ';' in it at a.csv; give the source 'delimiter: \";\"'"),
        (b"a\tb\n", "the header line has no ',' and '\\t' in it at a.csv; give the source 'delimiter: \"\\t\"'"),
        (b"\n<!DOCTYPE html>\n", "this is a web page or XML, not CSV at a.csv; see what its sender has sent"),
        (b"a,b\n1\n2\n", "none of 2 records could be read (1 cells where the header has 2)"),
    ],
)
def test_a_csv_that_is_unusable_fails_and_goes_to_quarantine(fetch: Any, folder: Path, data: bytes, what: str) -> None:
    done = fetch(put(folder, "a.csv", data))
    assert done.code == 1 and not done.raw()
    assert done.error() == what
    assert len(done.quarantine()) == 1


def test_one_column_may_hold_what_elsewhere_is_a_delimiter(fetch: Any, folder: Path) -> None:
    assert fetch(put(folder, "a.csv", b'"a;b"\nx\n')).rows() == [{"a;b": "x"}]


def test_a_header_without_rows_is_no_records(fetch: Any, folder: Path) -> None:
    assert fetch(put(folder, "a.csv", b"id,name\n")).rows() == []


def test_encodings_delimiters_and_gzip(fetch: Any, folder: Path) -> None:
    done = fetch(
        {
            **put(folder, "a.csv.gz", gzip.compress("id;ort\n1;Köln\n".encode("cp1252"))),
            "encoding": "cp1252",
            "delimiter": ";",
        }
    )
    assert done.rows() == [{"id": "1", "ort": "Köln"}]
    assert fetch(put(folder, "b.tsv", b"id\tname\n1\tx, y\n")).rows() == [{"id": "1", "name": "x, y"}]
    wide = {**put(folder, "c.csv", "id,ort\n1,Köln\n".encode("utf-16")), "encoding": "utf-16"}
    assert fetch(wide).rows() == [{"id": "1", "ort": "Köln"}]
    odd = fetch({**put(folder, "d.csv", b"id\n1\n"), "encoding": "klingon"})
    assert odd.code == 1 and odd.error() == "unknown encoding 'klingon' at d.csv"


def test_an_empty_header_cell_is_named_by_its_place(fetch: Any, folder: Path) -> None:
    assert fetch(put(folder, "a.csv", b",x\n0,1\n")).rows() == [{"column_1": "0", "x": "1"}]


def test_json_lists_ndjson_and_envelopes(fetch: Any, folder: Path) -> None:
    rows = [{"id": 1}, {"id": 2}]
    assert fetch(put(folder, "a.json", json.dumps(rows, indent=1).encode())).rows() == rows
    assert fetch(put(folder, "b.json", json.dumps({"source": "x", "data": rows}).encode())).rows() == rows
    assert fetch(put(folder, "c.jsonl", b'{"id":1}\n\n{"id":2}')).rows() == rows
    # NDJSON in a file called .json, as many programs write it.
    assert fetch(put(folder, "d.json", b'{"id":1}\n{"id":2}\n')).rows() == rows
    deep = {**put(folder, "e.json", json.dumps({"a": {"b": rows}}).encode()), "records": "a.b"}
    assert fetch(deep).rows() == rows
    assert fetch(put(folder, "f.ndjson", b"")).rows() == []


def test_lines_of_ndjson_that_are_no_objects_are_kept_apart(fetch: Any, folder: Path) -> None:
    done = fetch(put(folder, "a.ndjson", b'{"id":1}\n{"id":NaN}\nnot json\n[1]\n{"id":2}\n{"id":'))
    assert done.rows() == [{"id": 1}, {"id": 2}]
    assert [row["line"] for row in done.quarantine()[0]["data"]] == [2, 3, 4, 6]


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.json", b"", "not JSON: nothing but white space at a.json"),
        ("a.json", b'[{"id": 1}', "not JSON: Expecting ',' delimiter (column 11) at a.json"),
        ("a.json", b"<html></html>", "not JSON: Expecting value (column 1) at a.json"),
        ("a.json", b'{"a": 1}', "there is no list in the reply at a.json; name the one with the records by 'records:'"),
        ("a.json", b"[" * 50_000, "not JSON: nested too deeply at a.json"),
        ("a.csv.gz", b"\x1f\x8b\x08garbage", "not whole gzip: "),
        ("a.json.gz", gzip.compress(b'[{"a": 1}]', mtime=0)[:-9], "not whole gzip: "),
    ],
)
def test_a_file_that_cannot_be_read_fails_and_goes_to_quarantine(
    fetch: Any, folder: Path, name: str, data: bytes, what: str
) -> None:
    done = fetch(put(folder, name, data))
    assert done.code == 1 and not done.raw()
    assert done.error().startswith(what), done.error()
    assert done.quarantine()[0]["source"] == "s"


def test_a_file_larger_than_max_bytes_is_not_read(fetch: Any, folder: Path) -> None:
    done = fetch({**put(folder, "a.csv", b"id\n" + b"1\n" * 5000), "max_bytes": "1KB"})
    assert done.code == 1 and "larger than 1,000 bytes" in done.error()
    packed = fetch({**put(folder, "b.csv.gz", gzip.compress(b"id\n" + b"1\n" * 50_000)), "max_bytes": "1KB"})
    assert packed.code == 1 and packed.error() == "unpacks to more than 1,000 bytes at b.csv.gz"


def test_a_path_may_hold_the_date_and_be_a_glob(fetch: Any, folder: Path) -> None:
    put(folder, "in/2013-02-08/b.csv", b"id\n2\n")
    put(folder, "in/2013-02-08/a.csv", b"id\n1\n")
    put(folder, "in/2013-02-07/a.csv", b"id\n0\n")
    done = fetch({"type": "file", "path": "in/{{date}}/*.csv"})
    assert done.rows() == [{"id": "1"}, {"id": "2"}] and done.figures()["pages"] == 2
    assert fetch({"type": "file", "path": "in/{{yesterday}}/*.csv"}).rows() == [{"id": "0"}]


def test_a_name_with_brackets_that_is_there_is_no_glob(fetch: Any, folder: Path) -> None:
    assert fetch(put(folder, "a[1].csv", b"id\n1\n")).rows() == [{"id": "1"}]


def test_no_file_is_an_error_unless_it_is_optional(fetch: Any, folder: Path) -> None:
    done = fetch({"type": "file", "path": "in/*.csv"})
    assert done.code == 1
    assert done.error() == "there is no file 'in/*.csv' at pipeline.yml:1; check its 'path'"
    assert fetch({"type": "file", "path": "in/*.csv", "optional": True}).rows() == []


def test_what_is_no_regular_file_is_refused_without_waiting(fetch: Any, folder: Path) -> None:
    import os

    os.mkfifo(folder / "pipe.csv")
    (folder / "dir.csv").mkdir()
    (folder / "link.csv").symlink_to(folder / "nowhere.csv")
    for name, what in (
        ("pipe.csv", "is not a regular file"),
        ("dir.csv", "is not a regular file"),
        ("link.csv", "is gone, or a link"),
    ):
        done = fetch({"type": "file", "path": name})
        assert done.code == 1 and what in done.error()


def test_the_format_may_be_told_when_the_name_does_not(fetch: Any, folder: Path) -> None:
    assert fetch({**put(folder, "export", b"a,b\n1,2\n"), "format": "csv"}).rows() == [{"a": "1", "b": "2"}]
    assert fetch(put(folder, "plain", b"a,b\n1,2\n")).rows() == [{"a": "1", "b": "2"}]
    told = fetch({**put(folder, "b.csv", b'{"a": 1}\n{"a": 2}\n'), "format": "ndjson"})
    assert told.rows() == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("blocked", ["staging", "staging/raw"])
def test_a_folder_that_cannot_be_made_is_told_in_one_line(fetch: Any, folder: Path, blocked: str) -> None:
    settings = put(folder, "a.csv", b"id\n1\n")
    (folder / blocked).parent.mkdir(exist_ok=True)
    (folder / blocked).write_text("a file where a folder should be")
    done = fetch(settings)
    assert done.code == 1
    first = "lock" if blocked == "staging" else "write"  # the lock outside a colony lies in staging, too
    place = ".colony-data/raw-s.lock" if blocked == "staging" else "raw/s_2013-02-08.json"
    assert done.error() == f"cannot {first} '{folder}/staging/{place}': Not a directory"


def test_a_limit_that_cannot_be_kept_is_told_in_one_line(fetch: Any, folder: Path) -> None:
    (folder / "staging").write_text("a file where a folder should be")
    done = fetch({"type": "rest", "url": "http://127.0.0.1:9/", "rate_limit": {"requests": 1, "per": "1s"}})
    assert done.code == 1
    assert done.error() == f"cannot lock '{folder}/staging/.colony-data/bucket-s.lock': Not a directory"
