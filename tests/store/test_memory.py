"""Memory: added, found by words, never changed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import memory, paths

SCHEMA = json.loads((Path(__file__).resolve().parent.parent.parent / "schemas" / "memory.schema.json").read_text())


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> None:
    (tmp_path / ".colony").mkdir()
    paths.use(str(tmp_path))


def texts(words: str, **more: Any) -> list[str]:
    return [found["text"] for found in memory.search(words, **more)]


def test_a_search_finds_what_holds_all_of_the_words_in_any_case_the_newest_first() -> None:
    memory.add("decision", "Load by UPSERT, never by append")
    memory.add("learned", "the upsert needs a primary key")
    memory.add("decision", "reports are Markdown")
    assert texts("upsert") == ["the upsert needs a primary key", "Load by UPSERT, never by append"]
    assert texts("append load") == ["Load by UPSERT, never by append"]
    assert texts("decision") == ["reports are Markdown", "Load by UPSERT, never by append"]
    assert texts("upsert", kind="learned") == ["the upsert needs a primary key"]
    assert texts("upsert markdown") == [] and texts("", kind="nothing") == []
    assert len(texts("")) == 3


def test_any_text_comes_back_as_it_was_and_meets_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLONY_AGENT", "data-loader")
    for text in ("two\nlines\r\n", "🚨 ⚠️ naïve", 'quotes " and \\ \x1b[31m', "a\u2028b", "$(touch pwned)"):
        added = memory.add("note", text)
        assert memory.everything()[-1] == added and added["text"] == text and added["from"] == "data-loader"
        jsonschema.validate(added, SCHEMA)
    assert Path(paths.memory()).read_bytes().count(b"\n") == 5


def test_an_empty_text_and_a_type_that_is_no_name_are_refused_before_anything_is_written() -> None:
    for kind, text in (("note", " \n"), ("../note", "x"), ("", "x"), ("note", "bad \udcff")):
        with pytest.raises(ColonyError) as caught:
            memory.add(kind, text)
        assert caught.value.code == USAGE
    assert not Path(paths.memory()).exists()


def test_order_and_repeats_of_lines_do_not_matter_and_damage_is_reported() -> None:
    for number in range(8):
        memory.add("note", f"fact {number}")
    file = Path(paths.memory())
    lines = file.read_bytes().splitlines(keepends=True)
    meaning = memory.everything()
    mixed = lines * 2
    random.Random(3).shuffle(mixed)
    file.write_bytes(b"".join(mixed[:5]) + b'{"id":"x"}\n' + b"".join(mixed[5:]) + b'{"v":1,"id":"torn')
    problems: list[tuple[str, int, str]] = []
    assert memory.everything(problems) == meaning
    assert [(path, line) for path, line, _ in problems] == [(str(file), 6)]
