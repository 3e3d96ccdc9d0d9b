"""The window on the logs: from the end at once, back without gaps, forward without lag, through a filter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import logs, paths
from colony_lib.tui import logtail
from colony_lib.tui.filters import Filter
from colony_lib.tui.logtail import Tail
from tests.bench import bulk
from tests.conftest import REPOSITORY, Colony


@pytest.fixture(autouse=True)
def _root(colony: Colony) -> None:
    paths.use(str(colony.root))


def messages(tail: Tail) -> list[str]:
    return [record["message"] for record in tail.lines]


def opened(source: str = "", agents: list[str] | None = None, **more: Any) -> Tail:
    tail = Tail(Filter(source), agents, **more)
    tail.open()
    return tail


def test_pages_of_older_lines_join_without_gap_or_repeat_over_several_logs() -> None:
    for start in range(0, 5000, 500):
        ts = f"2026-01-01T00:00:{start // 500:02d}.000Z"
        some = [{"message": str(i), "ts": ts} for i in range(start, start + 500)]
        logs.write("worker" if start % 1000 else "other", some)
    tail = opened()
    assert messages(tail) == [str(i) for i in range(4000, 5000)] and not tail.at_top
    while tail.older():
        pass
    assert messages(tail) == [str(i) for i in range(5000)] and tail.at_top


def test_new_lines_come_and_are_only_counted_while_one_looks_back() -> None:
    logs.write("worker", [{"message": "old", "ts": "2026-01-01T00:00:00.000Z"}])
    tail = opened()
    tail.has_news()
    assert not tail.has_news()
    logs.write("later", [{"message": "of another agent", "ts": "2026-01-01T00:00:01.000Z"}])
    assert tail.has_news() and tail.fresh() == 1
    logs.write("worker", [{"message": str(i)} for i in range(5)])
    assert tail.has_news() and tail.fresh(keep=False) == 5
    assert messages(tail) == ["old", "of another agent"] and tail.missed == 5
    tail.fresh()
    assert messages(tail) == ["old", "of another agent", "0", "1", "2", "3", "4"] and tail.missed == 0


def test_what_was_dropped_while_following_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtail, "KEPT", 1500)
    monkeypatch.setattr(logtail, "PAGE", 400)
    logs.write("worker", [{"message": str(i)} for i in range(1000)])
    tail = opened()
    for start in range(1000, 4000, 300):
        logs.write("worker", [{"message": str(i)} for i in range(start, start + 300)])
        tail.fresh()
        assert len(tail.lines) <= 1500
    assert messages(tail)[-1] == "3999"
    while tail.older():
        pass
    assert messages(tail) == [str(i) for i in range(4000)]


def test_a_flood_is_passed_over_and_the_newest_lines_are_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtail, "LAG", 100_000)
    logs.write("worker", [{"message": "first"}])
    tail = opened()
    logs.write("worker", [{"message": str(i)} for i in range(5000)])
    tail.fresh()
    assert messages(tail)[-1] == "4999" and tail.skipped > 100_000
    tail.older()
    assert messages(tail) == [str(i) for i in range(5000 - len(tail.lines), 5000)]  # nothing is lost: it is older


def test_a_flood_while_one_looks_back_is_counted_without_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtail, "LAG", 100_000)
    logs.write("worker", [{"message": "first"}])
    tail = opened()
    logs.write("worker", [{"message": str(i)} for i in range(5000)])
    assert tail.fresh(keep=False) == 5000 and tail.missed == 5000 and messages(tail) == ["first"]
    assert tail.fresh(keep=False) == 0
    logs.write("worker", [{"message": "last"}])
    assert tail.fresh(keep=False) == 1 and tail.missed == 5001
    tail.fresh()
    assert messages(tail)[-1] == "last" and tail.missed == 0


def test_a_log_that_was_replaced_is_followed() -> None:
    logs.write("worker", [{"message": "old"}])
    tail = opened()
    tail.has_news()
    os.rename(paths.log("worker"), paths.log("worker") + ".1")
    logs.write("worker", [{"message": "new"}])
    assert tail.has_news() and tail.fresh() == 1
    assert messages(tail) == ["old", "new"]


def test_the_oldest_lines_are_shown_from_the_beginning() -> None:
    logs.write("worker", [{"message": str(i)} for i in range(5000)])
    tail = opened()
    tail.oldest()
    assert messages(tail)[:2] == ["0", "1"] and not tail.at_end
    assert tail.fresh() == 0
    tail.open()
    assert messages(tail)[-1] == "4999" and tail.at_end


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("level:warn", ["Timeout of the API", 'said "no" \\ never']),
        ("level:error", ['said "no" \\ never']),
        ("timeout", ["Timeout of the API"]),
        ("Timeout", ["Timeout of the API"]),
        ("TIMEOUT", []),
        ("api", ["Timeout of the API", "über die API"]),
        ("über", ["über die API"]),
        ('"no"', ['said "no" \\ never']),
        ("!api", ["fetched 10 rows", 'said "no" \\ never']),
        ("agent:data-*", ["fetched 10 rows", "Timeout of the API"]),
        ("agent:data-* !timeout", ["fetched 10 rows"]),
        ("!agent:data-*", ['said "no" \\ never', "über die API"]),
        ("step:load*", ["Timeout of the API"]),
        ("run:r1 rows", ["fetched 10 rows"]),
        ("run:r2", ["Timeout of the API"]),
        ("level:nonsense", []),
    ],
)
def test_a_filter_lets_through_what_it_says(source: str, expected: list[str]) -> None:
    logs.write("data-fetcher", [{"message": "fetched 10 rows", "run_id": "r1-a", "step": "fetch"}])
    logs.write(
        "data-fetcher", [{"message": "Timeout of the API", "level": "warn", "run_id": "r2-b", "step": "load-data"}]
    )
    logs.write("worker", [{"message": 'said "no" \\ never', "level": "error"}, {"message": "über die API"}])
    tail = opened(source)
    assert sorted(messages(tail)) == sorted(expected)
    chosen = Filter(source)
    every = opened()
    assert sorted(expected) == sorted(
        record["message"]
        for record in every.lines
        if chosen.lets({**record, "run": record["run_id"]}, record["message"])
    )


def test_a_word_is_found_also_where_a_line_spells_it_by_escapes(colony: Colony) -> None:
    line = {"v": 1, "id": "a", "ts": "2026-11-23T06:18:00.000Z", "level": "info", "message": "Needle"}
    text = json.dumps(line).replace("Needle", "\\u004eeedle")
    colony.write(".colony/logs/worker.jsonl", text + "\n" + json.dumps({**line, "id": "b", "message": "hay"}) + "\n")
    assert messages(opened("needle")) == ["Needle"]


def test_a_search_can_be_given_up_and_keeps_what_it_found(colony: Colony) -> None:
    bulk.write(colony.root / ".colony/logs/worker.jsonl", bulk.log(8 << 20, "worker"))
    tail = Tail(Filter("no such words anywhere"))
    tail.give_up()
    tail.open()
    assert tail.lines == [] and tail.searched < 2 << 20
    tail = opened("no such words anywhere")
    assert tail.searched > 8 << 20


def test_a_step_of_a_run_is_asked_for_alone() -> None:
    for run, step in (("r1", "one"), ("r1", "two"), ("r2", "one")):
        logs.write(
            "worker", [{"message": f"{run} {step} {n}", "run_id": run, "step": step, "attempt": n} for n in (1, 2)]
        )
    assert messages(opened("", ["worker"], run_id="r1", step="one")) == ["r1 one 1", "r1 one 2"]
    assert messages(opened("attempt:2", ["worker"], run_id="r1", step="one")) == ["r1 one 2"]
    assert messages(opened("", ["nobody"], run_id="r1", step="one")) == []


def test_a_large_log_is_opened_by_reading_little_of_it(colony: Colony) -> None:
    path = colony.root / ".colony/logs/worker.jsonl"
    bulk.write(path, bulk.log(64 << 20, "worker"))
    code = """
import os, sys
from colony_lib.store import paths
from colony_lib.tui.filters import Filter
from colony_lib.tui.logtail import Tail
paths.use(sys.argv[1])
read = 0
for name in ("pread", "preadv"):
    def counting(*given, original=getattr(os, name)):
        global read
        found = original(*given)
        read += found if isinstance(found, int) else len(found)
        return found
    setattr(os, name, counting)
tail = Tail(Filter(sys.argv[2]))
tail.open()
print(len(tail.lines), read)
"""
    for source, most in (("", 1 << 20), ("level:error", 32 << 20)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(colony.root), source],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
        count, read = map(int, done.stdout.split())
        assert count == 1000 and read < most, (source, count, read)


def test_damaged_lines_are_passed_over(colony: Colony) -> None:
    logs.write("worker", [{"message": "good"}])
    with open(Path(paths.log("worker")), "a", encoding="utf-8") as file:
        file.write("not json\n[]\n")
    logs.write("worker", [{"message": "good again"}])
    tail = opened()
    assert messages(tail) == ["good", "good again"]
    logs.write("worker", [{"message": "and more"}])
    assert tail.fresh() == 1
