"""Strict JSON without the json package is what the json package makes of it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError

CHARACTERS = ["a", '"', "\\", "\n", "\x00", "\x1f", "\x7f", "é", "日", "🚨", "\u2028", "\u2029", "\x85", "/", "{", "\ufeff"]


def anything(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 4 else 7)
    if kind < 2:
        return "".join(chance.choices(CHARACTERS, k=chance.randrange(6)))
    if kind == 7:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {anything_text(chance): anything(chance, depth + 1) for _ in range(chance.randrange(4))}
    return [None, True, False, chance.randint(-(10**20), 10**20), chance.uniform(-1e9, 1e-9)][kind - 2]


def anything_text(chance: random.Random) -> str:
    return "".join(chance.choices(CHARACTERS, k=3))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_one_line_and_any_json_reader_reads_it(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        value = anything(chance)
        text = jsontext.dumps(value)
        assert len(text.splitlines()) == 1 and json.loads(text) == value
        assert jsontext.loads(text) == value == jsontext.loads(f" \n\t{text}\r\n") == jsontext.loads(text.encode())


@pytest.mark.parametrize("seed", range(5))
def test_damaged_text_is_refused_exactly_when_the_package_refuses_it_and_in_its_words(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        text = jsontext.dumps(anything(chance))
        at = chance.randrange(len(text) + 1)
        text = chance.choice([text[:at], text[:at] + chance.choice('{}[],:"x1-.e\\ ') + text[at:], text[:at] + text[at + 1 :]])
        try:
            expected = jsontext._by_package(text)
        except ValueError:
            with pytest.raises(ColonyError, match=r"^not JSON: "):
                jsontext.loads(text)
        else:
            assert jsontext.loads(text) == expected


def test_where_the_c_functions_are_not_to_be_had_the_package_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "_json", None)
    decode, encode, scan = jsontext._coders()
    assert decode is jsontext._by_package and scan is None
    assert encode({"é": [1.5, None]}) == '{"é":[1.5,null]}' and decode(' {"a": 1e3} ') == {"a": 1000.0}


def test_items_are_taken_at_once_where_they_are_a_list_with_one_on_each_line() -> None:
    assert jsontext.loads_items(b'{"a":1},\n[2],\n"x"\n') == [{"a": 1}, [2], "x"]
    assert jsontext.loads_items(b'{"a":1},\n[2],\n') == [{"a": 1}, [2]]
    chance = random.Random(8)
    pieces = [b'{"a":', b"1}", b",\n", b",\n", b",", b"[1,\n2]", b'"\\ud800"', b"\xff", b" ", b"\r", b"NaN", b'{"b":[{}]},\n', b"]", b"["]
    whole = 0
    for _ in range(5000):
        block = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 7))).rstrip(b"\n") + b"\n"
        found = jsontext.loads_items(block)
        if found is not None:
            whole += 1
            assert found == json.loads(b"[" + block.removesuffix(b"\n").removesuffix(b",") + b"]") and len(found) == block.count(b"\n")
    assert whole > 30


def test_a_block_of_lines_is_taken_apart_at_once_exactly_where_each_line_is_json() -> None:
    assert jsontext.loads_lines(b'{"a":1}\n[2]\n"x"\n') == [{"a": 1}, [2], "x"]
    chance = random.Random(7)
    pieces = [b'{"a":', b"1}", b"\n", b"\n", b"[1,\n2]", b'"\\ud800"', b"\xff", b"\xef\xbb\xbf", b" ", b"\r", b"NaN", b"1e999", b'{"b":[{}]}\n', b'"x\n"', b"7"]
    whole = 0
    for _ in range(3000):
        block = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 7))).rstrip(b"\n") + b"\n"
        found = jsontext.loads_lines(block)
        if found is not None:
            whole += 1
            assert found == [jsontext.loads(line) for line in block[:-1].split(b"\n")]
    assert whole > 30
