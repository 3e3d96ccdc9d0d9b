"""Documents: values by paths, changed together under a lock, whoever wrote the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.store import documents, paths


@pytest.fixture(autouse=True)
def state(tmp_path: Path) -> Path:
    state = tmp_path / ".colony" / "state"
    state.mkdir(parents=True)
    paths.use(str(tmp_path))
    return state


def refused(call: Any, *args: Any) -> ColonyError:
    with pytest.raises(ColonyError) as caught:
        call(*args)
    return caught.value


def test_a_document_that_a_script_wrote_with_plain_open_is_read_and_changed(state: Path) -> None:
    with open(state / "fetch_results.json", "w") as f:  # as the data pipeline's fetcher does
        json.dump({"sales_api": {"status": "success", "records": 842}, "names": ["é", {"x": 1}]}, f, indent=2)
    assert documents.get("fetch_results", "sales_api.records") == 842
    assert documents.get("fetch_results.json", "names.1.x") == 1
    assert documents.get("fetch_results")["names"][0] == "é"
    documents.change("fetch_results", [("sales_api.records", "+=", 8)])
    with open(state / "fetch_results.json") as f:
        assert json.load(f)["sales_api"] == {"status": "success", "records": 850}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-1.5", -1.5), ("true", True), ("null", None), ('{"a": [1]}', {"a": [1]}), ('"5"', "5"), (" 7 ", 7),
        ("PASS", "PASS"), ("2013-02-08", "2013-02-08"), ("007", "007"), ("", ""), ("a=b", "a=b"), ("é 🚨", "é 🚨"), ("nan", "nan"),
    ],
)  # fmt: skip
def test_a_word_is_json_where_it_is_json_else_text(text: str, value: Any) -> None:
    assert documents.value(text) == value


@pytest.mark.parametrize("text", ['{"a": 1', "[1, 2", '"open', "{a: 1}", "NaN", "-Infinity", "1e999", '["\\ud800"]'])
def test_text_that_was_meant_as_json_and_is_none_is_refused(text: str) -> None:
    error = refused(documents.value, text)
    assert error.code == USAGE and error.what.startswith(f"'{text}' is not JSON")


def test_changes_are_made_together_and_objects_on_the_way_are_made() -> None:
    now = documents.change("load", [("a.b.c", "=", 1), ("rows", "+=", 5), ("rows", "+=", 0.5), ("list", "=", [1])])
    assert now == {"a": {"b": {"c": 1}}, "rows": 5.5, "list": [1]} == documents.get("load")
    documents.change("load", [("list.0", "=", 9), ("list.1", "=", 2), ("list.2.x", "=", 3), ("/a/b.c~1d", "=", 4)])
    assert documents.get("load") == {"a": {"b": {"c": 1}, "b.c/d": 4}, "rows": 5.5, "list": [9, 2, {"x": 3}]}
    assert documents.get("load", "/a/b.c~1d") == 4 and documents.get("load", "/list/0") == 9


def test_a_condition_that_does_not_hold_leaves_all_as_it_was(state: Path) -> None:
    documents.change("gate", [("open", "=", False), ("n", "=", 1)])
    before = (state / "gate.json").read_bytes()
    error = refused(documents.change, "gate", [("n", "+=", 1)], [("n", 1), ("open", True)])
    assert (str(error), error.code) == ("'open' of 'gate' is false, not true", FAILED)
    assert (state / "gate.json").read_bytes() == before
    documents.change("gate", [("open", "=", True), ("by", "=", "ann")], [("open", False), ("by", None)])
    assert refused(documents.change, "gate", [("by", "=", "bob")], [("by", None)]).what == "'by' of 'gate' is \"ann\", not null"
    assert refused(documents.change, "new", [("x", "=", 1)], [("x", 0)]).what == "'x' of 'new' is absent, not 0"
    assert not (state / "new.json").exists()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True), (True, 1, False), (False, 0, False), (None, False, False), ([1, True], [1, 1], False), ("1", 1, False),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True), ({"a": 1}, {"a": 1, "b": 2}, False), ([], {}, False), (True, True, True),
    ],
)  # fmt: skip
def test_values_are_compared_as_json_has_them(one: Any, other: Any, same: bool) -> None:
    assert documents.same(one, other) is same


@pytest.mark.parametrize(
    ("changes", "what", "code"),
    [
        ([("text", "+=", 1)], "cannot add to 'text' of 'd': it is not a number", FAILED),
        ([("flag", "+=", 1)], "cannot add to 'flag' of 'd': it is not a number", FAILED),
        ([("n", "+=", "1")], "'n+=' adds numbers only", USAGE),
        ([("n", "+=", True)], "'n+=' adds numbers only", USAGE),
        ([("text.x", "=", 1)], "cannot set 'text.x': what holds 'x' is neither an object nor a list", FAILED),
        ([("list.5", "=", 1)], "cannot set 'list.5': the list has 2 items, '5' is no place in it", FAILED),
        ([("list.-1", "=", 1)], "cannot set 'list.-1': the list has 2 items, '-1' is no place in it", FAILED),
        ([("a..b", "=", 1)], "'a..b' is not a path", USAGE),
        ([("", "=", 1)], "'' is not a path", USAGE),
        ([("n", "+=", 1e308), ("n", "+=", 1e308)], "cannot be written as JSON: Out of range float values are not JSON compliant", USAGE),
        ([("n", "=", 10**400), ("n", "+=", 0.5)], "the sum is too large a number", USAGE),
        ([("n", "=", "bad \udcff")], "cannot be written as JSON: a lone surrogate is not text", USAGE),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_made_changes_nothing(changes: Any, what: str, code: int, state: Path) -> None:
    documents.replace("d", {"text": "a", "flag": True, "list": [1, 2], "n": 0})
    before = (state / "d.json").read_bytes()
    error = refused(documents.change, "d", [("ok", "=", 1), *changes])
    assert (error.what, error.code) == (what, code)
    assert (state / "d.json").read_bytes() == before
    assert [file.name for file in state.iterdir()] == ["d.json"]


def test_what_is_not_there_is_said_with_what_is() -> None:
    documents.replace("load_metadata", {"rows": 1, "list": [1], "text": "x"})
    assert str(refused(documents.get, "load_metdata")) == "unknown document 'load_metdata'; did you mean 'load_metadata'?"
    assert str(refused(documents.get, "load_metadata", "row")) == "the document 'load_metadata' has no 'row'; did you mean 'rows'?"
    assert refused(documents.get, "load_metadata", "zzz").fix == "there is 'rows', 'list', 'text'"
    assert refused(documents.get, "load_metadata", "list.1").fix == "the list there has 1 item, from 0 on"
    assert refused(documents.get, "load_metadata", "text.x").fix == "what is there is neither an object nor a list"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".hidden", "a\x00b", "/etc/passwd", "x" * 200, "a\n"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert refused(documents.get, name).code == USAGE
    assert refused(documents.change, name, [("a", "=", 1)]).code == USAGE
    assert refused(documents.replace, name, {}).code == USAGE
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_the_state_is_neither_read_nor_written_through(state: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.json"
    outside.write_text('{"key": "hunter2"}')
    (state / "evil.json").symlink_to(outside)
    (state / "dangling.json").symlink_to(tmp_path / "made.json")
    for name in ("evil", "dangling"):
        assert "hunter2" not in str(refused(documents.get, name))
        refused(documents.change, name, [("key", "=", 1)])
    assert outside.read_text() == '{"key": "hunter2"}' and not (tmp_path / "made.json").exists()


@pytest.mark.parametrize("damage", [b"", b'{"a": 1', b"\xff\xfe", b"[1e999]", b'{"a": NaN}', b"[" * 100_000])
def test_a_damaged_document_is_an_error_and_is_not_overwritten_by_a_change(damage: bytes, state: Path) -> None:
    (state / "d.json").write_bytes(damage)
    assert refused(documents.get, "d").what.startswith("the document 'd' is not JSON")
    assert refused(documents.change, "d", [("a", "=", 1)]).code == USAGE
    assert (state / "d.json").read_bytes() == damage
    assert documents.replace("d", {"a": 2}) == documents.get("d") == {"a": 2}


def test_where_the_state_is_shared_the_time_of_each_change_is_noted_and_elsewhere_nothing(state: Path) -> None:
    from colony_lib.base import clock, files

    documents.change("doc", [("a", "=", 1)])
    config = Path(paths.config_file())
    config.write_text("shared_state:\n  backend: files # or git-backed\n")
    documents.change("doc", [("a", "=", 2)])
    assert not (state / ".doc.json.times").exists()
    config.write_text("shared_state: {backend: 'git-backed'}\n")
    files.set_redactor(lambda text: text.replace("s3cret", "[TOKEN]"))
    clock.freeze("2026-11-23T06:18:00.123Z")
    documents.change("doc", [("a", "=", 2), ("b.c", "=", 1), ("s3cret", "=", 1)])
    with pytest.raises(ColonyError):
        documents.change("doc", [("d", "=", 1)], [("a", 3)])
    clock.freeze("2026-11-23T06:18:01.000Z")
    documents.replace("doc", {"a": 3, "b": {"c": 1}})
    assert (state / ".doc.json.times").read_text() == (
        '1795414680123 "/b/c"\n1795414680123 "/[TOKEN]"\n1795414681000 "/a"\n1795414681000 "/[TOKEN]"\n'
    )
    (state / "doc.json").write_text("{damaged")
    documents.replace("doc", {"a": 3})
    assert documents.get("doc") == {"a": 3}
