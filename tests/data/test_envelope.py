"""The envelope that the data tools hand on: whole or not there, one record on a line, and readers that notice less."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.data import envelope

ROWS: list[dict[str, Any]] = [{"id": 1, "t": "ü\u2028\n"}, {"id": 9007199254740993, "t": None}, {"id": 0.1, "t": "]}"}]


def test_what_is_written_is_read_again_and_any_json_reader_reads_it(tmp_path: Path) -> None:
    path = str(tmp_path / "new/folder/s.json")
    assert envelope.write(path, {"source": "s", "date": "2013-02-08"}, iter(ROWS)) == 3
    assert envelope.read(path) == ({"v": 1, "source": "s", "date": "2013-02-08", "record_count": 3}, ROWS)
    whole = json.loads(Path(path).read_text())
    assert list(whole) == ["v", "source", "date", "record_count", "data"] and whole["data"] == ROWS
    lines = Path(path).read_text().split("\n")
    assert len(lines) == 6 and lines[2].startswith('{"id":9007199254740993')


def test_no_records_are_an_envelope_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s.json")
    assert envelope.write(path, {"source": "s"}, []) == 0
    assert envelope.read(path) == ({"v": 1, "source": "s", "record_count": 0}, [])
    assert json.loads(Path(path).read_text())["data"] == []


def test_a_hundred_thousand_records_pass_one_by_one(tmp_path: Path) -> None:
    path = str(tmp_path / "s.json")
    assert envelope.write(path, {}, ({"id": number, "text": "x" * 20} for number in range(100_000))) == 100_000
    head, rows = envelope.stream(path)
    assert head["record_count"] == 100_000 and sum(row["id"] for row in rows) == 4_999_950_000


@pytest.mark.parametrize("trouble", [ValueError("bad"), KeyboardInterrupt(), ColonyError("stop")])
def test_an_exception_leaves_what_was_there_and_nothing_else(tmp_path: Path, trouble: BaseException) -> None:
    path = str(tmp_path / "s.json")
    envelope.write(path, {"source": "old"}, [{"id": 1}])
    before = Path(path).read_bytes()

    def rows() -> Any:
        yield {"id": 2}
        raise trouble

    with pytest.raises(type(trouble)):
        envelope.write(path, {"source": "new"}, rows())
    assert Path(path).read_bytes() == before and os.listdir(tmp_path) == ["s.json"]


@pytest.mark.parametrize("row", [{"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"x": object()}])
def test_a_record_that_is_no_json_is_refused_and_nothing_written(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(ColonyError) as caught:
        envelope.write(str(tmp_path / "s.json"), {}, [{"ok": 1}, row])
    assert caught.value.code == 2 and os.listdir(tmp_path) == []


def test_a_full_disk_is_told_in_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = str(tmp_path / "s.json")
    envelope.write(path, {}, [{"id": 1}])
    script = (
        "import resource, signal, sys; from colony_lib.data import envelope\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "from colony_lib.base.errors import ColonyError\n"
        "try: envelope.write(sys.argv[1], {}, ({'id': n} for n in range(1_000_000)))\n"
        "except ColonyError as error: print(error)"
    )
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script, path], cwd=repository, capture_output=True, text=True)
    assert done.stdout == f"cannot write '{path}': File too large\n", done
    assert envelope.read(path)[1] == [{"id": 1}] and os.listdir(tmp_path) == ["s.json"]


def test_secrets_are_kept_out_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "s.json")
    files.set_redactor(lambda text: text.replace("sesame-123", "[KEY]"))
    envelope.write(path, {"source": "sesame-123"}, [{"id": number, "k": "sesame-123"} for number in range(3)])
    head, rows = envelope.read(path)
    assert head == {"v": 1, "source": "[KEY]", "record_count": 3} and {row["k"] for row in rows} == {"[KEY]"}


@pytest.mark.parametrize("lost", [1, 3, 5, 20, 60])
def test_an_envelope_that_lost_its_end_is_not_taken_for_whole(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "s.json"
    envelope.write(str(path), {"source": "s"}, [{"id": number} for number in range(9)])
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    if lost == 1:  # the last newline only
        assert len(envelope.read(str(path))[1]) == 9
        return
    with pytest.raises(ColonyError):
        envelope.read(str(path))


def test_a_line_taken_out_by_hand_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    envelope.write(str(path), {}, [{"id": number} for number in range(3)])
    path.write_text(path.read_text().replace('{"id":1},\n', ""))
    with pytest.raises(ColonyError) as caught:
        envelope.read(str(path))
    assert str(caught.value) == f"'{path}' is not whole: its head says 3 records, it holds 2; make it anew"


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"a":1},', '{"a":2},', '{"a":3}'], None),
        (['{"a":1},\r', '{"a":2},\r', '{"a":3}\r'], None),
        (['{"a":1}', '{"a":2}', '{"a":3}'], None),  # no commas: each line is read for itself
        (['{"a":1},', '{"a":"\\ud83d\\ude00"},', '{"a":3}'], None),
        (['{"a":1},', '{"a":2,},', '{"a":3}'], "not JSON: .* at .*s.json:3"),
        (['{"a":1},{"a":9},', '{"a":2', '},', '{"a":3}'], "not JSON: .* at .*s.json:2|is not whole: its head says 3"),
        (['{"a":1},', "7,", '{"a":3}'], "the record is not a JSON object at .*s.json:3"),
        (['{"a":1},', '{"a":"\\ud83d"},', '{"a":3}'], "not JSON: .* at .*s.json:3"),
        (['{"a":1},', '{"a":NaN},', '{"a":3}'], "not JSON: .* at .*s.json:3"),
        (['{"a":1},', '{"a":2}],"b":[{"a":3}'], "not JSON: .* at .*s.json:3"),
        (['{"a":1},', '{"a":2}'], "is not whole: its head says 3 records, it holds 2"),
    ],
)
def test_records_read_at_once_are_those_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, lines: list[str], said: str | None
) -> None:
    monkeypatch.setattr(envelope, "_BLOCK", block)
    path = tmp_path / "s.json"
    path.write_text('{"v":1,"record_count":3,"data":[\n' + "\n".join(lines) + "\n]}\n", newline="")
    with path.open("rb") as file:
        file.readline()
        if said is None:
            rows = list(envelope._lines(file, str(path), {"record_count": 3}))
            assert [row["a"] for row in rows] == [1, "\U0001f600" if "ud83d" in lines[1] else 2, 3]
        else:
            with pytest.raises(ColonyError, match=said):
                list(envelope._lines(file, str(path), {"record_count": 3}))


def test_an_indented_envelope_of_another_program_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"source": "sales_api", "record_count": 1, "data": [{"id": 1}]}, indent=2))
    assert envelope.read(str(path)) == ({"source": "sales_api", "record_count": 1}, [{"id": 1}])
    path.write_text('{"record_count": 2, "data": [{"id": 1}]}')
    with pytest.raises(ColonyError) as caught:
        envelope.read(str(path))
    assert "its head says 2 records, it holds 1" in str(caught.value)
    path.write_text('{"rows": []}')
    with pytest.raises(ColonyError) as caught:
        envelope.read(str(path))
    assert "there is no list 'data' in it" in str(caught.value)


def test_no_file_is_said_by_its_own_exception(tmp_path: Path) -> None:
    for read in (envelope.read, envelope.open_rows):
        with pytest.raises(FileNotFoundError):
            read(str(tmp_path / "none.json"))


def opened(path: Path, data: bytes, problems: Any = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    path.write_bytes(data)
    head, rows = envelope.open_rows(str(path), problems)
    return head, list(rows)


@pytest.mark.parametrize(
    ("name", "data", "head", "rows"),
    [
        ("a.json", b'[{"a":1},{"a":2}]', {"format": "json"}, [{"a": 1}, {"a": 2}]),
        ("a.json", b"[]", {"format": "json"}, []),
        ("a.json", b"", {"format": "json"}, []),
        ("a", b"", {"format": "json"}, []),
        ("a.csv", b"", {"format": "csv", "columns": []}, []),
        ("a.csv", b"a,b\n", {"format": "csv", "columns": ["a", "b"]}, []),
        (
            "a.csv.gz",
            gzip.compress(b"a,b\n1,2", mtime=0),
            {"format": "csv", "columns": ["a", "b"]},
            [{"a": "1", "b": "2"}],
        ),
        ("a", b"a\tb\n", {"format": "csv", "columns": ["a\tb"]}, []),
        ("a.tsv", b"a\tb\n1\t2\n", {"format": "csv", "columns": ["a", "b"]}, [{"a": "1", "b": "2"}]),
        ("a.ndjson", b'{"a":1}\n', {"format": "ndjson"}, [{"a": 1}]),
        ("a", b'{"a":1}', {"format": "ndjson"}, [{"a": 1}]),
        ("a.json", b'{"a":1}\n{"a":2}\n', {"format": "ndjson"}, [{"a": 1}, {"a": 2}]),
        ("a.json", b'{"v":1,"source":"s","data":[{"a":1}]}', {"v": 1, "source": "s", "format": "envelope"}, [{"a": 1}]),
        ("a", b'\xef\xbb\xbf {\n"source":"s","data":[{"a":1}]}', {"source": "s", "format": "envelope"}, [{"a": 1}]),
    ],
)
def test_any_table_is_opened_by_what_it_is(tmp_path: Path, name: str, data: bytes, head: Any, rows: Any) -> None:
    assert opened(tmp_path / name, data) == (head, rows)


def test_bad_records_are_problems_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    problems: list[Any] = []
    assert opened(path, b'{"a":1}\nnope\n3\n', problems)[1] == [{"a": 1}]
    assert [(line, record) for line, _, record in problems] == [(2, "nope"), (3, 3)]
    with pytest.raises(ColonyError) as caught:
        opened(path, b'{"a":1}\nnope\n')
    assert str(caught.value).startswith(f"unreadable record: not JSON: Expecting value (column 1) at {path}:2")


@pytest.mark.parametrize("data", [b"42", b'"text"', b"null", b"[1", b'{"a":1}{"a":2}', b"\xff\xfe"])
def test_what_is_no_table_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ColonyError) as caught:
        opened(tmp_path / "a.json", data)
    assert caught.value.code == 2


def test_standard_input_is_read_from_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, kind in (
        (b'[{"a":1}]', "json"),
        (b'{"a":1}\n', "ndjson"),
        (b"a\n1\n", "csv"),
        (b'{"data":[{"a":1}]}', "envelope"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        head, rows = envelope.open_rows("-")
        assert head["format"] == kind and [str(row["a"]) for row in rows] == ["1"]
