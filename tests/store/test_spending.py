"""The ledger: no limit is passed, whoever asks at once and whoever dies, and everything is counted once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.base.errors import FAILED
from colony_lib.store import paths, spending
from colony_lib.store.spending import Ledger, LimitReached
from tests.conftest import NoLock

RUN = "r20261123-061800-123ab"
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".colony" / "locks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    paths.use(str(tmp_path))
    clock.freeze("2026-11-23T12:00:00Z")
    return tmp_path


def who(step: str = "load", agent: str = "loader", **more: Any) -> dict[str, Any]:
    base = {"run": RUN, "workflow": "w", "step": step, "batch": None, "attempt": 1, "agent": agent, "model": "m"}
    return {**base, **more}


def limit(scope: str, key: str, most: float) -> dict[str, Any]:
    return {"scope": scope, "key": key, "most": most}


def usage(fresh: int, output: int, write: int = 0, read: int = 0) -> dict[str, int]:
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
    }


def journal(day: str = "2026-11-23") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(paths.spending(day)).read_text().split("\n") if line]


def room(limits: list[dict[str, Any]], whose: dict[str, Any] | None = None) -> dict[str, float | None]:
    return Ledger().left(whose or who(), limits)


# -- what counts


def test_a_reservation_counts_in_full_until_it_is_settled_and_then_what_was_used() -> None:
    limits = [limit("step", "turns", 10), limit("run", "tokens", 1000), limit("agent-day", "usd", 5.0)]
    ledger = Ledger()
    first = ledger.reserve(who(), 300, 2.0, limits)
    assert room(limits) == {"turns": 9, "tokens": 700, "usd": 3.0}
    assert ledger.settle(first, usage(10, 20, 30, 40), 0.5, "settled")
    assert room(limits) == {"turns": 9, "tokens": 900, "usd": 4.5}
    lost = ledger.reserve(who(), 300, 2.0, limits)
    ledger.settle(lost, None, None, "lost")
    assert room(limits) == {"turns": 8, "tokens": 600, "usd": 2.5}
    freed = ledger.reserve(who(), 300, 2.0, limits)
    ledger.settle(freed, None, None, "released")
    assert room(limits) == {"turns": 8, "tokens": 600, "usd": 2.5}


def test_settling_again_changes_nothing_whoever_does_it() -> None:
    limits = [limit("run", "tokens", 1000)]
    ledger = Ledger()
    found = ledger.reserve(who(), 300, 0.0, limits)
    other = Ledger()
    assert ledger.settle(found, usage(50, 50), 0.0, "settled")
    size = len(journal())
    for each in (ledger, other, Ledger()):
        assert not each.settle(found, usage(1, 1), 0.0, "settled")
        assert not each.settle(found, None, None, "lost")
    assert len(journal()) == size
    assert room(limits)["tokens"] == 900
    assert not ledger.settle("2026-11-23.unknown", None, None, "lost")
    assert not ledger.settle("2020-01-01.unknown", None, None, "lost")


def test_what_a_reply_does_not_say_counts_as_reserved() -> None:
    limits = [limit("run", "tokens", 1000), limit("run", "usd", 10)]
    ledger = Ledger()
    ledger.settle(ledger.reserve(who(), 300, 2.0, limits), usage(50, 50), None, "settled")
    assert room(limits) == {"turns": None, "tokens": 900, "usd": 8.0}
    ledger.settle(ledger.reserve(who(), 300, 2.0, limits), None, None, "settled")
    assert room(limits) == {"turns": None, "tokens": 600, "usd": 6.0}


@pytest.mark.parametrize(
    ("scope", "other", "counts"),
    [
        ("step", {}, True),
        ("step", {"attempt": 3}, True),
        ("step", {"step": "fetch"}, False),
        ("step", {"batch": 0}, False),
        ("step", {"run": "r20261123-070000-000aa"}, False),
        ("run", {"step": "fetch", "agent": "fetcher"}, True),
        ("run", {"run": "r20261123-070000-000aa"}, False),
        ("agent-day", {"run": "r20261123-070000-000aa", "step": "x"}, True),
        ("agent-day", {"agent": "fetcher"}, False),
        ("colony-day", {"run": "r20261123-070000-000aa", "agent": "fetcher"}, True),
    ],
)
def test_a_limit_counts_what_is_in_its_scope(scope: str, other: dict[str, Any], counts: bool) -> None:
    limits = [limit(scope, "turns", 1)]
    Ledger().reserve(who(), 1, 0.0, limits)
    ledger = Ledger()
    if counts:
        with pytest.raises(LimitReached):
            ledger.reserve(who(**other), 1, 0.0, limits)
        with pytest.raises(LimitReached):
            ledger.check(who(**other), limits)
    else:
        ledger.reserve(who(**other), 1, 0.0, limits)


@pytest.mark.parametrize(
    ("limits", "tokens", "usd", "said"),
    [
        (
            limit("agent-day", "usd", 5.0),
            10,
            0.16,
            "agent 'loader' has used $4.97 of $5.00 today, and this request may cost up to $0.16; "
            "raise its limits.usd_per_day, or go on tomorrow (UTC)",
        ),
        (
            limit("colony-day", "tokens", 1200),
            1000,
            0.0,
            "the colony has used 1,000 of 1,200 tokens today, and this request may take up to 1,000 more; "
            "raise limits.tokens_per_day in colony.yml, or go on tomorrow (UTC)",
        ),
        (
            limit("run", "usd", 5.02),
            1,
            0.0701,
            f"run {RUN} has used $4.97 of $5.02, and this request may cost up to $0.0701; "
            "raise budget.usd of the workflow 'w'",
        ),
        (
            limit("step", "turns", 1),
            1,
            0.0,
            "step 'load' has used 1 of 1 turns; raise limits.turns of the step or its agent",
        ),
    ],
)
def test_a_limit_that_is_reached_says_whose_it_is_and_what_was_wanted(
    limits: dict[str, Any], tokens: int, usd: float, said: str
) -> None:
    ledger = Ledger()
    ledger.reserve(who(), 1000, 4.97, [])
    before = journal()
    with pytest.raises(LimitReached) as caught:
        ledger.reserve(who(), tokens, usd, [limits])
    assert (str(caught.value), caught.value.code) == (said, FAILED)
    assert journal() == before


def test_a_limit_may_be_used_to_its_last_token() -> None:
    limits = [limit("run", "tokens", 300), limit("run", "usd", 0.3)]
    ledger = Ledger()
    for _ in range(3):
        ledger.reserve(who(), 100, 0.1, limits)
    with pytest.raises(LimitReached):
        ledger.reserve(who(), 1, 0.0, limits)


def test_a_run_that_spans_midnight_keeps_its_sums_and_a_new_day_begins_at_nothing() -> None:
    limits = [limit("run", "tokens", 1000), limit("step", "turns", 9), limit("agent-day", "tokens", 1000)]
    ledger = Ledger()
    first = ledger.reserve(who(), 600, 0.0, limits)
    clock.freeze("2026-11-24T00:00:01Z")
    assert room(limits) == {"turns": 8, "tokens": 400, "usd": None}
    with pytest.raises(LimitReached, match=r"^run "):
        ledger.reserve(who(), 500, 0.0, limits)
    ledger.settle(first, usage(50, 50), 0.0, "settled")  # into the day on which it was reserved
    ledger.reserve(who(), 500, 0.0, limits)
    assert [len(journal(day)) for day in spending.days()] == [2, 1]
    assert room([limit("agent-day", "tokens", 1000)]) == {"turns": None, "tokens": 500, "usd": None}
    assert room([limit("run", "tokens", 1000)])["tokens"] == 400
    later = who(run="r20261124-000000-000aa")
    assert room([limit("run", "tokens", 1000)], later)["tokens"] == 1000


def test_what_was_reported_is_counted_once_for_its_key() -> None:
    limits = [limit("run", "turns", 10), limit("run", "usd", 10), limit("run", "tokens", 1000)]
    ledger = Ledger()
    assert ledger.record(who(), usage(5, 10, 0, 85), 1.5, key="load-0-1.session", requests=4)
    clock.freeze("2026-11-24T09:00:00Z")
    assert not ledger.record(who(), usage(5, 10, 0, 85), 1.5, key="load-0-1.session", requests=4)
    assert not Ledger().record(who(), usage(5, 10, 0, 85), 1.5, key="load-0-1.session", requests=4)
    assert room(limits) == {"turns": 6, "tokens": 900, "usd": 8.5}
    (row,) = spending.rows()
    assert (row["reported"], row["requests"], row["input"], row["output"], row["cache_read"], row["usd"]) == (
        True, 4, 90, 10, 85, 1.5,
    )  # fmt: skip


# -- what is on the disk


def test_only_new_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    for _ in range(20):
        ledger.reserve(who(), 1, 0.0, [limit("run", "turns", 100)])
    read: list[int] = []
    lines = spending.jsonl.lines

    def counting(path: str, *, start: int = 0) -> Any:
        for line in lines(path, start=start):
            read.append(start)
            yield line

    monkeypatch.setattr(spending.jsonl, "lines", counting)
    ledger.reserve(who(), 1, 0.0, [limit("run", "turns", 100)])
    assert len(read) == 1  # the one that it had written itself
    ledger.reserve(who(), 1, 0.0, [limit("run", "turns", 100)])
    assert len(read) == 2


def test_torn_and_damaged_lines_stop_nobody() -> None:
    ledger = Ledger()
    limits = [limit("run", "turns", 10)]
    ledger.reserve(who(), 1, 0.0, limits)
    path = Path(paths.spending("2026-11-23"))
    with path.open("a", encoding="utf-8") as file:
        file.write('garbage\n[]\n{"id":"x","v":1}\n{"id":"y","v":1,"type":"settled","reservation":[]}\n{"id":"z","ty')
    ledger.reserve(who(), 1, 0.0, limits)
    assert room(limits)["turns"] == 8
    assert b'"z"' not in path.read_bytes()


def test_a_ledger_that_was_deleted_begins_anew() -> None:
    ledger = Ledger()
    limits = [limit("run", "turns", 2)]
    found = ledger.reserve(who(), 1, 0.0, limits)
    os.unlink(paths.spending("2026-11-23"))
    assert not ledger.settle(found, None, None, "lost")
    ledger.reserve(who(), 1, 0.0, limits)
    assert room(limits)["turns"] == 1


def test_rows_say_what_is_sure_and_what_is_not() -> None:
    ledger = Ledger()
    ledger.settle(ledger.reserve(who(), 300, 2.0, []), usage(10, 20, 30, 40), 0.5, "settled")
    ledger.settle(ledger.reserve(who("fetch", "fetcher"), 300, 2.0, []), None, None, "released")
    clock.freeze("2026-11-24T06:00:00Z")
    ledger.settle(ledger.reserve(who("fetch", "fetcher"), 300, 2.0, []), None, None, "lost")
    ledger.reserve(who("fetch", "fetcher"), 300, 1.0, [])
    found = list(spending.rows())
    assert [(row["day"], row["agent"], row["outcome"], row["usd"], row["unsure_usd"]) for row in found] == [
        ("2026-11-23", "loader", "settled", 0.5, 0.0),
        ("2026-11-24", "fetcher", "lost", 0.0, 2.0),
        ("2026-11-24", "fetcher", "open", 0.0, 1.0),
    ]
    assert [found[0][key] for key in ("input", "output", "cache_read", "cache_write")] == [80, 20, 40, 30]
    assert len(list(spending.rows("2026-11-24"))) == 2
    assert len(list(spending.rows("2026-11-23", "2026-11-24"))) == 1
    assert spending.today() == {}
    assert spending.day_counts() == {None: (600, 3.0), "fetcher": (600, 3.0)}
    clock.freeze("2026-11-23T23:00:00Z")
    assert spending.today() == {"loader": (100, 0.5)}


# -- many at once


def greedy(limits: list[dict[str, Any]], start: Any) -> None:
    """Reserve until there is no room."""
    ledger = Ledger()
    start.wait()
    try:
        while True:
            ledger.reserve(who(agent="greedy"), 100, 0.1, limits)
    except LimitReached:
        pass


def race(limits: list[dict[str, Any]]) -> int:
    start = FORK.Barrier(8)
    children = [FORK.Process(target=greedy, args=(limits, start)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return sum(record["type"] == "reserved" for record in journal())


@pytest.mark.parametrize(
    "limits",
    [[limit("agent-day", "usd", 4.0)], [limit("run", "tokens", 4000)], [limit("step", "turns", 40)]],
    ids=["dollars", "tokens", "turns"],
)
def test_eight_processes_never_pass_a_limit_and_leave_nothing_of_it(limits: list[dict[str, Any]]) -> None:
    assert race(limits) == 40
    left = room(limits, who(agent="greedy"))[limits[0]["key"]]
    assert left == pytest.approx(0)


def test_without_the_lock_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending.locks, "held", NoLock)
    for _ in range(20):
        if race([limit("agent-day", "usd", 4.0)]) > 40:
            return
        os.unlink(paths.spending("2026-11-23"))
    raise AssertionError("the race was never lost: this test proves nothing")


def test_a_killed_process_leaves_its_reservations_counted_and_the_lock_free() -> None:
    limits = [limit("run", "turns", 1_000_000)]
    path = Path(paths.spending("2026-11-23"))

    def written() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def endless() -> None:
        ledger = Ledger()
        while True:
            ledger.settle(ledger.reserve(who(), 1, 0.0, limits), usage(1, 1), 0.0, "settled")

    for _ in range(5):
        size = written()
        child = FORK.Process(target=endless)
        child.start()
        while written() < size + 10:
            assert child.is_alive()
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        Ledger().reserve(who(), 1, 0.0, limits)
    lines = Path(paths.spending("2026-11-23")).read_text().split("\n")[:-1]
    reserved = [record for record in map(json.loads, lines) if record["type"] == "reserved"]
    assert room(limits)["turns"] == 1_000_000 - len(reserved)
