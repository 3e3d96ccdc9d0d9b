"""What strict YAML gives, which line each value has, and what it refuses, where."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import yamltext


def refused(text: str) -> str:
    with pytest.raises(ColonyError) as caught:
        yamltext.load(text, "f.yml")
    assert caught.value.code == USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def value(text: str, **settings: Any) -> Any:
    return yamltext.load(text, "f.yml", **settings)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("n", "n"),
        ("true", True),
        ("False", False),
        ("2024-01-15", "2024-01-15"),
        ("2024-01-15 10:00:00", "2024-01-15 10:00:00"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("1.2.3", "1.2.3"),
        ("10", 10),
        ("-3", -3),
        ("+4", 4),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("10m", "10m"),
        ("1h30m", "1h30m"),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("'010'", "010"),
        ('"1_000"', "1_000"),
        ("=", "="),
        ("-", [None]),
        ("a-1", "a-1"),
        ("2024_report", "2024_report"),
    ],
)
def test_a_plain_value_is_what_its_writer_expects(text: str, expected: Any) -> None:
    found = value(f"x: {text}\n" if text != "-" else "x:\n-\n")["x"]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("text", ["010", "-007", "0644", "1_000", "1_0.5", "20240115_020000", "0b101", "0x_1"])
def test_a_number_that_readers_disagree_on_is_refused(text: str) -> None:
    assert refused(f"a: 1\nb: {text}\n") == (
        f"'{text}' is a different value to different YAML readers at f.yml:2; "
        "put it in quotes for text, or write a plain decimal number"
    )


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "-1e400", "9" * 400])
def test_a_number_that_json_cannot_hold_is_refused(text: str) -> None:
    assert "at f.yml:1; put it in quotes, as text" in refused(f"a: {text}")


def test_keys_are_text_as_written() -> None:
    assert value("on: 1\n1: 2\ntrue: 3\n2024-01-15: 4\n010: 5\nnull: 6\n") == {
        "on": 1, "1": 2, "true": 3, "2024-01-15": 4, "010": 5, "null": 6,
    }  # fmt: skip


def test_under_chosen_paths_plain_values_stay_text() -> None:
    text = "env: {A: 010, B: no, C: 1_000, D: 1.50, E: true, F: }\nn: 1.50\n"
    found = value(text, as_text=[("env", None)])
    assert found == {"env": {"A": "010", "B": "no", "C": "1_000", "D": "1.50", "E": "true", "F": None}, "n": 1.5}


def test_every_value_has_the_line_of_its_key_or_item() -> None:
    text = "# comment\na: 1\nb:\n  - x\n  - y: 2\n    z:\n      - 3\nc: |\n  text\n\n  more\nd: {e: 4}\n"
    _, lines = yamltext.load(text, "f.yml")
    assert lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "y"): 5,
        ("b", 1, "z"): 6,
        ("b", 1, "z", 0): 7,
        ("c",): 8,
        ("d",): 12,
        ("d", "e"): 12,
    }
    assert yamltext.where(lines, ("b", 1, "new"), "f.yml") == "f.yml:5"
    assert yamltext.where({}, ("b",), "f.yml") == "f.yml"


def test_anchors_and_merges_work_and_own_keys_win() -> None:
    text = "base: &b {p: 1, q: 2}\nmore: &m {q: 3, r: 4}\nx:\n  <<: [*b, *m]\n  p: 9\ny: *b\n"
    assert value(text) == {
        "base": {"p": 1, "q": 2},
        "more": {"q": 3, "r": 4},
        "x": {"p": 9, "q": 2, "r": 4},
        "y": {"p": 1, "q": 2},
    }


def test_an_alias_is_a_copy_and_not_the_same_object() -> None:
    found = value("a: &a [1]\nb: *a\n")
    found["a"].append(2)
    assert found["b"] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' is there twice (first in line 1) at f.yml:3; remove one"),
        ('x:\n  k: 1\n  "k": 2\n', "the key 'k' is there twice (first in line 2) at f.yml:3; remove one"),
        ("a: !!str 1\n", "the tag '!!str' is not used here at f.yml:1; write the value plainly, text in quotes"),
        ("a: !!python/object/apply:os.system [id]\n", "the tag '!!python/object/apply:os.system' is not used here"),
        ("a: !x 1\n", "the tag '!x' is not used here at f.yml:1"),
        ("a: &x [*x]\n", "the alias '*x' stands inside its own anchor at f.yml:1; remove it"),
        ("a: &x\n  b: *x\n", "the alias '*x' stands inside its own anchor at f.yml:2; remove it"),
        ("a: *x\n", "the alias '*x' has no anchor before it at f.yml:1; define it with &x"),
        ("a: 1\n---\nb: 2\n", "a second document begins at f.yml:2; keep one document in a file"),
        ("a: {{date}}\n", "a value that begins with '{{' reads as a mapping at f.yml:1; put it in quotes"),
        ("? [a]\n: 1\n", "a list cannot be a key at f.yml:1; use text as the key"),
        ("a:\n\t- b\n", "not YAML: a tab in the indentation at f.yml:2; indent with spaces"),
        ("a: b: c\n", "not YAML: a ': ' where YAML expects none at f.yml:1"),
        ("a: @x\n", "not YAML: a value begins with a character that YAML keeps for itself at f.yml:1"),
        ("a:\n  b: 1\n c: 2\n", "not YAML: did not find expected key at f.yml:3; check the indentation"),
        ('a: "x\nb: 1\n', "not YAML: a quotation mark is never closed at f.yml:2; close it"),
        ("a: \x07\n", "the control character U+0007 is not allowed in YAML at f.yml:1; remove it"),
        ("a: 1\nb: \ud800\n", "the control character U+D800 is not allowed in YAML at f.yml:2; remove it"),
        ('a: "\\0"\n', "a NUL character in text at f.yml:1; remove it"),
        ('a: "\\ud800"\n', "at f.yml:1"),
        (": 1\n", "f.yml:1"),
        ("x: {<<: 3}\n", "'<<' merges mappings only at f.yml:1"),
    ],
)
def test_what_is_refused_names_file_and_line(text: str, message: str) -> None:
    assert message in refused(text)


BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 3)}]}}\n" for i in range(1, 60))
TEXTS = f'a: &a "{"x" * 900_000}"\nb: [{",".join(["*a"] * 5000)}]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLION, "more than 100,000 values, aliases expanded"),
        (MERGES, "more than 100,000 values, aliases expanded"),
        (TEXTS, "more than 8,388,608 characters, aliases expanded"),
        ("[" * 200_000, "nested deeper than 64 levels"),
        ("- " * 100_000, "nested deeper than 64 levels"),
        ("a: [" + "x," * 600_000 + "]", "larger than 1,048,576 bytes"),
        ("[" + "1," * 210_000 + "]", "more than 100,000 values"),
    ],
    ids=["laughs", "merges", "texts", "flow", "block", "bytes", "values"],
)
def test_a_bomb_is_refused_quickly(text: str, message: str) -> None:
    began = time.process_time()
    assert message in refused(text)
    assert time.process_time() - began < 10


def test_nesting_by_aliases_is_bounded_too() -> None:
    text = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [[[[[[[[[[*a{i - 1}]]]]]]]]]]\n" for i in range(1, 9))
    assert "nested deeper than 64 levels, aliases expanded" in refused(text)


def test_an_empty_document_is_nothing() -> None:
    assert yamltext.load("# only a comment\n", "f.yml") == (None, {(): 1})


def test_a_file_is_read_with_its_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: \xc3\xa9\r\n")
    assert yamltext.read(str(file)) == ({"a": 1, "b": "é"}, {(): 1, ("a",): 1, ("b",): 2})


def test_a_file_that_is_not_utf8_or_not_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ColonyError, match=r"^not UTF-8 text at f.yml:2; save the file as UTF-8$"):
        yamltext.read(str(file), file="f.yml")
    with pytest.raises(ColonyError, match="is not a regular file"):
        yamltext.read(str(tmp_path))
    file.write_bytes(b"#" * (yamltext.LIMIT + 1))
    with pytest.raises(ColonyError, match=r"larger than 1,048,576 bytes"):
        yamltext.read(str(file))
