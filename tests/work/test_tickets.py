"""Who may begin an attempt that was sent away: one, once, and nobody after it was taken back."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from colony_lib.base import locks
from colony_lib.store import paths
from colony_lib.work import tickets

RUN = "r20261127-000000-000aa"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".colony").mkdir()
    monkeypatch.setattr(paths, "_root", str(tmp_path))
    return tmp_path


def test_a_ticket_is_good_for_one_beginning() -> None:
    slot, ticket = tickets.issue(RUN, set())
    held = tickets.claim(RUN, slot, ticket)
    assert held is not None and locks.is_held(paths.run_lock(RUN, slot))
    assert tickets.claim(RUN, slot, ticket) is None  # while it is being done
    locks.release(held)
    assert tickets.claim(RUN, slot, ticket) is None  # and after it


def test_what_was_taken_back_never_begins() -> None:
    slot, ticket = tickets.issue(RUN, set())
    assert tickets.take_back(RUN, slot, ticket)
    assert tickets.claim(RUN, slot, ticket) is None
    assert not tickets.take_back(RUN, slot, ticket)


def test_what_has_begun_cannot_be_taken_back() -> None:
    slot, ticket = tickets.issue(RUN, set())
    held = tickets.claim(RUN, slot, ticket)
    assert held is not None and not tickets.take_back(RUN, slot, ticket)
    locks.release(held)
    assert not tickets.take_back(RUN, slot, ticket)


def test_a_slot_that_was_given_anew_is_not_the_old_tickets() -> None:
    slot, old = tickets.issue(RUN, set())
    assert tickets.take_back(RUN, slot, old)
    again, ticket = tickets.issue(RUN, set())
    assert again == slot and not tickets.take_back(RUN, slot, old)
    assert tickets.claim(RUN, slot, old) is None
    held = tickets.claim(RUN, slot, ticket)
    assert held is not None
    locks.release(held)


def test_slots_in_use_and_slots_to_avoid_are_left_alone() -> None:
    first, ticket = tickets.issue(RUN, set())
    held = tickets.claim(RUN, first, ticket)
    second, _ = tickets.issue(RUN, {"slot-away-1"})
    assert (first, second) == ("slot-away-0", "slot-away-2")
    assert held is not None
    locks.release(held)


def test_the_next_engine_takes_back_all_that_has_not_begun_and_is_told_of_the_rest() -> None:
    first, begun = tickets.issue(RUN, set())
    held = tickets.claim(RUN, first, begun)
    second, waiting = tickets.issue(RUN, {first})
    assert tickets.take_back_all(RUN) == [first]
    assert tickets.claim(RUN, second, waiting) is None
    assert held is not None
    locks.release(held)
    assert tickets.take_back_all(RUN) == []


def _claim(root: str, slot: str, ticket: str, gate: object, answers: object) -> None:
    paths._root = root
    gate.wait()  # type: ignore[attr-defined]
    answers.put(tickets.claim(RUN, slot, ticket) is not None)  # type: ignore[attr-defined]
    gate.wait()  # type: ignore[attr-defined]


def test_of_many_who_claim_at_once_one_may_begin(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(4), context.Queue()
    for _ in range(5):
        slot, ticket = tickets.issue(RUN, set())
        hands = [context.Process(target=_claim, args=(str(root), slot, ticket, gate, answers)) for _ in range(4)]
        for hand in hands:
            hand.start()
        found = [answers.get(timeout=60) for _ in hands]
        for hand in hands:
            hand.join(60)
        assert found.count(True) == 1
