"""The union of journals: every line of both, in one order, however often and in whatever order they are joined."""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path

from colony_lib.store import compaction, lineunion, paths
from tests.store.test_tasks import busy_history, everything_of


def event(clock: int, name: str) -> bytes:
    return json.dumps({"v": 1, "id": name, "clock": clock}).encode() + b"\n"


ODD = [b"not JSON\n", b'{"id": 5, "clock": "x"}\n', b"[1]\n", b"\xff\xfe\n", b"x" * 3000 + b"\n"]


def test_a_union_has_every_line_of_both_once_by_clock_and_id_with_what_is_no_event_last() -> None:
    one = event(2, "b") + event(1, "z") + ODD[0]
    other = event(2, "a") + b"\n  \n" + event(1, "z") + ODD[3]
    assert lineunion.union(one, other) == event(1, "z") + event(2, "a") + event(2, "b") + ODD[0] + ODD[3]


def test_the_side_that_has_all_stays_as_it_stands() -> None:
    one = event(3, "c") + event(1, "a") + event(1, "a")
    assert lineunion.union(one, event(1, "a")) == lineunion.union(event(1, "a"), one) == one
    assert lineunion.union(one, b"") == lineunion.union(b"", one) == one
    again = event(1, "a") + event(3, "c")
    assert lineunion.union(one, again) == lineunion.union(again, one) == min(one, again)


def test_unions_of_three_come_to_the_same_in_any_order_and_lose_nothing() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        lines = [event(chance.randint(1, 4), name) for name in "abcdef"] + ODD
        sides = [b"".join(chance.choices(lines, k=chance.randint(0, 8))) for _ in range(3)]
        made = set()
        for order in permutations(sides):
            union = b""
            for side in order:
                union = lineunion.union(lineunion.union(union, side), order[0])
            made.add(tuple(sorted(set(lineunion.split(union)))))
            assert all(not lineunion.missing(side, union) for side in sides)
        assert len(made) == 1
        assert lineunion.union(*sides[:2]) == lineunion.union(*reversed(sides[:2]))


def test_a_torn_last_line_is_left_out_and_one_that_lacks_its_newline_gets_it() -> None:
    assert lineunion.whole(event(1, "a") + b'{"v": 1, "id"') == event(1, "a")
    assert lineunion.whole(event(1, "a") + event(2, "b")[:-1]) == event(1, "a") + event(2, "b")
    assert lineunion.whole(b"") == b"" and lineunion.whole(b"5") == b""


def test_what_is_missing_is_exact_however_much_is_shared_and_repeated() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        pool = [event(number, f"id{number}") for number in range(60)]
        shared = b"".join(chance.choices(pool, k=chance.randint(0, 30)))
        one, other = (shared + b"".join(chance.choices(pool, k=chance.randint(0, 40))) for _ in range(2))
        wanted = [line for line in lineunion.split(one) if line not in lineunion.split(other)]
        assert lineunion.missing(one, other) == wanted
        assert set(lineunion.split(lineunion.union(one, other))) == set(lineunion.split(one + other))
        assert lineunion.union(one, other) == lineunion.union(other, one)


def test_a_line_whose_events_another_holds_is_in_the_union_and_needs_no_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".colony" / "state").mkdir(parents=True)
    paths.use(str(tmp_path))
    target = compaction.every()[0]
    shrunk = 0
    for seed in range(6):
        chance = random.Random(seed)
        history = busy_history(seed)
        cut = chance.randint(len(history) // 2, len(history))
        everything_of(history[:cut])
        compaction.compact(target)
        packed = Path(paths.tasks()).read_bytes()
        whole = b"".join(history)
        for one, other in ((packed, whole), (whole, packed), (packed, b"".join(history[cut:])), (packed, packed)):
            union = lineunion.union(one, other)
            assert lineunion.union(other, one) == union
            assert lineunion.missing(one, union) == lineunion.missing(other, union) == []
            assert everything_of([one, other]) == everything_of([union])
        union = lineunion.union(packed, whole)
        assert lineunion.union(union, whole) == lineunion.union(union, packed) == union
        shrunk += union.count(b"\n") < whole.count(b"\n")
    assert shrunk >= 5


def test_an_event_that_differs_from_the_one_that_is_held_keeps_its_line() -> None:
    first = b'{"v":1,"id":"a","clock":1,"task":"t","type":"add","title":"x"}\n'
    later = b'{"v":1,"id":"b","clock":2,"task":"t","type":"finish","status":"completed"}\n'
    packed = first[:-2] + b',"then":[{"id":"b","clock":2,"type":"finish","status":"completed"}]}\n'
    assert lineunion.union(first + later, packed) == lineunion.union(packed, first + later) == packed
    assert lineunion.missing(first + later, packed) == []
    forged = later.replace(b"completed", b"failed")
    assert lineunion.union(packed, first + forged) == packed + forged
    assert lineunion.missing(first + forged, packed) == [forged[:-1]]
    other = packed.replace(b'"b","clock":2', b'"c","clock":3')  # holds another event besides: both stay
    assert lineunion.union(packed, other) == lineunion.union(other, packed)
    assert lineunion.missing(packed, other) == [packed[:-1]]
