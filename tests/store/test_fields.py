"""Documents of several machines: histories of fields, joined in any order to one document."""

from __future__ import annotations

import json
import random
from itertools import permutations
from typing import Any

import pytest

from colony_lib.store import fields


def said(history: fields.Map) -> Any:
    return fields.build(fields.live(history))


def written(history: fields.Map, document: Any, at: int, by: str = "a") -> fields.Map:
    return fields.stamped(history, fields.flatten(document), at, by)


def test_a_documents_fields_are_its_leaves_by_pointer_and_lists_are_whole() -> None:
    document = {"a": {"b/c": 1, "d~e": {"": None}}, "list": [{"x": 1}, 2], "empty": {}, "é": "é"}
    assert fields.flatten(document) == {
        "/a/b~1c": "1", "/a/d~0e/": "null", "/list": '[{"x":1},2]', "/empty": "{}", "/é": '"é"',
    }  # fmt: skip
    assert fields.build(fields.flatten(document)) == document
    assert fields.flatten([1]) == {"": "[1]"} and fields.flatten({}) == {"": "{}"} and fields.flatten("x") == {"": '"x"'}
    assert fields.top("/a/b~1c") == "a" and fields.top("") == ""


def test_what_is_too_deep_or_too_many_is_one_field() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"k": deep}
    (path,) = fields.flatten(deep)
    assert path.count("/") == fields.DEPTH and fields.build(fields.flatten(deep)) == deep
    many = {str(number): number for number in range(fields.FIELDS + 1)}
    assert list(fields.flatten(many)) == [""]
    assert len(fields.flatten({str(number): number for number in range(fields.FIELDS)})) == fields.FIELDS
    nested = json.loads("[" * 900 + "]" * 900)
    assert fields.parse(fields.text(fields.flatten({"n": nested}))) == fields.flatten({"n": nested})


def test_the_later_write_of_each_field_counts_and_other_fields_do_not_matter() -> None:
    start = written({}, {"x": 0, "y": 0, "gone": 0}, 10)
    one = written(start, {"x": 1, "y": 0}, 20, "one")
    other = written(start, {"x": 2, "y": 5, "gone": 0}, 30, "other")
    assert said(fields.join(one, other)) == said(fields.join(other, one)) == {"x": 2, "y": 5}


def test_a_write_is_later_than_the_one_it_replaces_whatever_the_clock_says() -> None:
    history = written({}, {"x": 0}, 4_000_000_000_000, "future")
    later = written(history, {"x": 1}, -5, "past")
    assert later["/x"] == (4_000_000_000_001, "past", "1")
    assert said(fields.join(history, later)) == {"x": 1}
    last = written({}, {"x": 0}, 1 << 60)
    assert last["/x"][0] == written(last, {"x": 1}, 5)["/x"][0] == fields.LAST


def test_a_field_has_the_time_that_was_noted_for_it_unless_it_has_been_shared_since() -> None:
    start = written({}, {"x": 0, "y": 0, "z": 0}, 10)
    now = fields.flatten({"x": 1, "y": 1, "z": 1})
    made = fields.stamped(start, now, 50, "a", {"/x": 20, "/y": 5})
    assert (made["/x"][0], made["/y"][0], made["/z"][0]) == (20, 50, 50)


def test_equal_times_are_settled_alike() -> None:
    one, other = written({}, {"x": 1, "y": 2}, 10), written({}, {"x": 2, "y": 1}, 10)
    assert said(fields.join(one, other)) == said(fields.join(other, one)) == {"x": 2, "y": 2}


@pytest.mark.parametrize("value_first", [True, False])
def test_of_a_value_and_an_object_at_one_place_the_later_stands(value_first: bool) -> None:
    start = written({}, {"a": 0}, 1)
    value = written(start, {"a": 7}, 10 if value_first else 20)
    inside = written(start, {"a": {"b": {"c": 1}}}, 20 if value_first else 10)
    assert said(fields.join(value, inside)) == said(fields.join(inside, value)) == (
        {"a": {"b": {"c": 1}}} if value_first else {"a": 7}
    )  # fmt: skip
    # What the loser said does not come back when the winner goes.
    joined = fields.join(value, inside)
    assert said(written(joined, {"z": 1}, 30)) == {"z": 1}


def test_an_empty_object_gives_way_to_what_is_in_it_and_an_emptied_one_stays() -> None:
    start = written({}, {"n": 1}, 1)
    one, other = written(start, {"n": 1, "a": {}}, 20), written(start, {"n": 1, "a": {"b": 1}}, 10)
    assert said(fields.join(one, other)) == {"n": 1, "a": {"b": 1}}
    assert said(written(fields.join(one, other), {"n": 1, "a": {}}, 5)) == {"n": 1, "a": {}}
    assert said(written(one, {}, 30)) == {}


def any_value(chance: random.Random, depth: int = 0) -> Any:
    if depth < 3 and chance.random() < 0.5:
        return {chance.choice("abc"): any_value(chance, depth + 1) for _ in range(chance.randint(0, 3))}
    return chance.choice([0, 1, 1.5, "x", None, True, [1, {"a": 2}], [], {}])


def test_three_replicas_with_random_histories_come_to_one_document_in_any_order_of_joins() -> None:
    for seed in range(400):
        chance = random.Random(seed)
        replicas: list[fields.Map] = [{}, {}, {}]
        for _ in range(25):
            at = chance.randrange(3)
            if chance.random() < 0.5:
                document = any_value(chance) if chance.random() < 0.3 else {"k": any_value(chance, 1), "n": chance.randint(0, 3)}
                replicas[at] = written(replicas[at], document, chance.choice([5, 10, 10, 20]), chance.choice("ab"))
                assert said(replicas[at]) == document  # what one writes is what one has
            else:
                replicas[at] = fields.join(replicas[at], replicas[chance.randrange(3)])
            assert fields.decode(fields.encode(replicas[at])) == (replicas[at], 0)
        made = set()
        for order in permutations(range(3)):
            joined: fields.Map = {}
            for at in order:
                joined = fields.join(fields.join(joined, replicas[at]), replicas[order[0]])
            made.add(fields.encode(joined))
            assert fields.flatten(said(joined)) == fields.live(joined) or joined == {}
        assert len(made) == 1


def test_git_may_put_two_files_of_fields_together_itself() -> None:
    start = written({}, {"x": 0, "y": 0}, 10)
    one, other = written(start, {"x": 1, "y": 0}, 20), written(start, {"x": 2, "y": 0}, 30)
    lines = fields.encode(other) + fields.encode(start) + b"garbage\n\n" + fields.encode(one)
    assert fields.decode(lines) == (fields.join(one, other), 1)
    assert fields.encode(one).split(b"\n")[0] == (
        b'{"v":1,"id":"/x","ts":"1970-01-01T00:00:00.020Z","by":"a","value":1}'
    )
    assert b'"value"' not in fields.encode(written(one, {"y": 0}, 40)).split(b"\n")[0]


@pytest.mark.parametrize(
    "line",
    [
        "[]", '{"v":2,"id":"/x","ts":"2026-11-23T06:18:00.123Z","by":"a","value":1}', '{"v":1,"id":"x","ts":"2026-11-23T06:18:00.123Z","by":"a"}',
        '{"v":1,"id":"/x","ts":"2026-13-45T06:18:00.123Z","by":"a"}', '{"v":1,"id":"/x","ts":"1890-11-23T06:18:00.123Z","by":"a"}',
        '{"v":1,"id":"/x","ts":5,"by":"a"}', '{"v":1,"id":"/x","ts":"2026-11-23T06:18:00.123Z","by":["a"]}', '{"v":1,"id":"/x","ts":"2026-11-23T06:18:00.123Z","by":"a","value":NaN}',
        '{"v":1,"id":"' + "/x" * 40 + '","ts":"2026-11-23T06:18:00.123Z","by":"a","value":1}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_write_of_a_field_is_counted_and_passed_over(line: str) -> None:
    assert fields.decode(line.encode() + b"\n") == ({}, 1)


def test_a_rendered_document_is_one_that_there_is_or_in_the_style_of_one() -> None:
    one, other = b'{"z": 1, "a": {"y": 1, "b": 2}}', b'{"a":{"b":2,"y":1},"z":1}\n'
    history = written({}, json.loads(one), 5)
    assert fields.render(history, [one, other]) == fields.render(history, [other, one]) == min(one, other)
    joined = fields.join(history, written(history, {"z": 2, "c": 3, "a": {"y": 1, "b": 2}}, 9))
    text = fields.render(joined, [one, b"not JSON"])
    assert text is not None and list(json.loads(text)) == ["z", "a", "c"] and list(json.loads(text)["a"]) == ["y", "b"]
    assert fields.render({}, [one]) is None


def test_changes_are_carried_onto_another_document() -> None:
    def moved(before: Any, now: Any, onto: Any) -> Any:
        return fields.build(fields.moved(*map(fields.flatten, (before, now, onto))))

    assert moved({"x": 1, "y": 1, "g": 1}, {"x": 2, "y": 1}, {"x": 1, "y": 5, "g": 1, "n": 1}) == {"x": 2, "y": 5, "n": 1}
    assert moved({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1, "c": 2}, "z": 1}) == {"a": 5, "z": 1}
    assert moved({"a": 5}, {"a": {"b": 1}}, {"a": 6, "z": 1}) == {"a": {"b": 1}, "z": 1}
    assert moved({"a": 1}, {}, {"a": 1, "n": 2}) == {"n": 2} and moved({"a": 1}, {}, {"a": 1}) == {}
    assert moved({"a": 1}, [1], {"a": 1, "n": 2}) == [1]
    assert moved({"a": 1}, {"a": 1}, {"a": 2}) == {"a": 2}


def test_times_of_writes_are_noted_and_read_and_torn_ones_passed_over(tmp_path: Any) -> None:
    from colony_lib.base import clock

    path = str(tmp_path / "times")
    clock.freeze("2026-11-23T06:18:00.123Z")
    fields.note_times(path, ["/a", "/b\n"])
    clock.freeze("2026-11-23T06:18:01.000Z")
    fields.note_times(path, ["/a"])
    data = (tmp_path / "times").read_bytes()
    assert fields.read_times(data + b'17953354 "/c') == {"/a": 1795414681000, "/b\n": 1795414680123}
