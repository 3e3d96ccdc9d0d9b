"""The accounting objects to every kind of broken promise: a checker that cannot fail is worth nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults import accounting
from tests.faults.accounting import Promise, Snapshot

A, B, ODD = ("a", None), ("b", None), ("odd", None)
PROMISES = {
    A: Promise(output=1),
    B: Promise(output=2, after=("a",)),
    ("c", 0): Promise(output=0, after=("a",)),
    ("c", 1): Promise(output=1, after=("a",)),
    ("no", None): Promise("skipped"),
    ("sour", None): Promise("failed"),
    ("late", None): Promise("failed", ends=False),
    ("single", None): Promise(output=3, repeatable=False),
}
LEDGER = """\
begin a - 1 p1
end a - 1 p1 0
begin b - 1 p2
end b - 1 p2 1
begin c 0 1 p3
begin c 1 1 p4
end c 1 1 p4 75
end c 0 1 p3 0
begin b - 2 p5
end b - 2 p5 0
begin c 1 2 p6
end c 1 2 p6 0
begin sour - 1 p7
end sour - 1 p7 3
begin late - 1 p8
begin single - 1 p9
end single - 1 p9 0
begin mend - 1 q1
end mend - 1 q1 0
"""


def started(step: str, attempt: int = 1, batch: int | None = None) -> dict[str, Any]:
    return {"type": "attempt_started", "step": step, "batch": batch, "attempt": attempt}


def ended(step: str, status: str, attempt: int = 1, batch: int | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "attempt_ended", "step": step, "batch": batch, "attempt": attempt, "status": status, **more}


JOURNAL = [
    {"type": "run_started"},
    started("a"),
    ended("a", "completed", output=1),
    started("b"),
    ended("b", "failed"),
    started("c", 1, 0),
    started("c", 1, 1),
    ended("c", "completed", 1, 0, output=0),
    ended("c", "busy", 1, 1),
    started("b", 2),
    ended("b", "completed", 2, output=2),
    started("c", 2, 1),
    ended("c", "completed", 2, 1, output=1),
    {"type": "step_skipped", "step": "no"},
    started("sour"),
    ended("sour", "failed"),
    started("late"),
    ended("late", "failed"),
    started("single"),
    ended("single", "completed", output=3),
    started("mend"),
    ended("mend", "completed"),
]


def judged(
    ledger: str = LEDGER, journal: list[dict[str, Any]] = JOURNAL, snapshots: Any = (), doubt: bool = False, **more: Any
) -> list[str]:
    entries = accounting.read_ledger(ledger)
    records = [{"id": str(number), **record} for number, record in enumerate(journal)]
    return accounting.violations(PROMISES, entries, records, snapshots, doubt=doubt, handlers=["mend"], **more)


def without(step: str, kind: str, attempt: int = 1) -> list[dict[str, Any]]:
    return [
        each for each in JOURNAL if (each.get("step"), each["type"], each.get("attempt")) != (step, kind, attempt)
    ]


def replaced(step: str, attempt: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {**each, **more} if (each.get("step"), each["type"], each.get("attempt")) == (step, "attempt_ended", attempt) else each
        for each in JOURNAL
    ]


AGAIN = "begin a - 2 px\nend a - 2 px 0\n"


def test_a_run_that_kept_its_promises_is_not_objected_to() -> None:
    assert judged() == []
    seen = [Snapshot(2, frozenset({A})), Snapshot(19, frozenset({A, B, ("c", 0)}))]
    assert judged(snapshots=seen) == []


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "an attempt that began twice": ("b attempt 2 began twice", {"ledger": LEDGER + "begin b - 2 px\n"}),
    "an attempt that the journal does not know of": (
        "b attempt 2 began and the journal does not know of it",
        {"journal": without("b", "attempt_started", 2)},
    ),
    "an attempt without an end": ("sour attempt 1 began and has no end", {"journal": without("sour", "attempt_ended")}),
    "a record that is there twice": ("the journal has the id 3 twice", {"journal": [*JOURNAL, {"type": "note", "id": "3"}]}),
    "two ends of one attempt": (
        "a attempt 1 ended twice: completed, interrupted",
        {"journal": [*JOURNAL, ended("a", "interrupted")], "doubt": True},
    ),
    "one completion twice": ("a attempt 1 ended twice", {"journal": [*JOURNAL, ended("a", "completed", output=1)]}),
    "a completion of a command that failed": (
        "sour attempt 1 is completed, and its command ended with 3",
        {"journal": replaced("sour", 1, status="completed")},
    ),
    "a completion of a command that never ended": (
        "late attempt 1 is completed, and its command never ended",
        {"journal": replaced("late", 1, status="completed")},
    ),
    "another output": ("a attempt 1 has the output 7, not 1", {"journal": replaced("a", 1, output=7)}),
    "a failure of a command that did not fail": (
        "a attempt 1 is failed, and its command did not fail",
        {"journal": replaced("a", 1, status="failed")},
    ),
    "a time limit that struck before anything began": (
        "late attempt 2 is failed, and its command did not fail",
        {"journal": [*JOURNAL, ended("late", "failed", 2)]},
    ),
    "an output that is not there": (
        "a attempt 1 has the output None, not 1",
        {"journal": [*without("a", "attempt_ended"), ended("a", "completed")]},
    ),
    "a busy one that was not": ("a attempt 1 is busy", {"journal": replaced("a", 1, status="busy")}),
    "an interruption by the engine's death alone": (
        "b attempt 1 is interrupted, though only the engine was shot",
        {"journal": replaced("b", 1, status="interrupted")},
    ),
    "an end that there is not": ("a attempt 1 ended as lost", {"journal": replaced("a", 1, status="lost")}),
    "a completed step that began again": (
        "a attempt 2 began after attempt 1 had completed",
        {"ledger": LEDGER + AGAIN, "journal": [*JOURNAL, started("a", 2), ended("a", "completed", 2, output=1)]},
    ),
    "a step completed twice": ("a was completed twice", {"journal": [*JOURNAL, ended("a", "completed", 2, output=1)]}),
    "a completion that was forgotten": (
        "b was completed, and that is forgotten",
        {"journal": replaced("b", 2, status="interrupted"), "snapshots": [Snapshot(19, frozenset({B}))], "doubt": True},
    ),
    "a beginning after a completion that was seen": (
        "b attempt 2 began though it was completed before a process died",
        {"snapshots": [Snapshot(4, frozenset({B}))]},
    ),
    "two attempts at once": (
        "a attempt 2 began while attempt 1 was alive",
        {"ledger": "begin a - 1 p1\nbegin a - 2 px\nend a - 1 p1 0\nend a - 2 px 0\n" + LEDGER.split("\n", 2)[2]},
    ),
    "a step before what it depends on": (
        "b attempt 1 began before a had ended",
        {"ledger": "begin b - 1 p2\nend b - 1 p2 1\n" + LEDGER.replace("begin b - 1 p2\nend b - 1 p2 1\n", "")},
    ),
    "an attempt that followed another without a reason": (
        "b attempt 1 neither failed nor is in doubt, and another followed it",
        {"journal": without("b", "attempt_ended")},
    ),
    "a step that must not be repeated and was": (
        "single must not be repeated, and was 1 times",
        {
            "ledger": LEDGER + "begin single - 2 px\nend single - 2 px 0\n",
            "journal": [
                *replaced("single", 1, status="interrupted"), started("single", 2), ended("single", "completed", 2, output=3),
            ],
            "doubt": True,
        },
    ),
    "a step that must not be repeated, of which only the record failed": (
        "single must not be repeated, and was 1 times",
        {
            "ledger": LEDGER + "begin single - 2 px\nend single - 2 px 0\n",
            "journal": [*replaced("single", 1, status="failed"), started("single", 2), ended("single", "completed", 2, output=3)],
            "trouble": True,
        },
    ),
    "a failure handled twice by one engine": (
        "mend was done 2 times by 1 engines",
        {
            "ledger": LEDGER + "begin mend - 2 px\nend mend - 2 px 0\n",
            "journal": [*JOURNAL, started("mend", 2), ended("mend", "completed", 2)],
        },
    ),
    "a step that was never done": (
        "sour was never done",
        {"ledger": LEDGER.replace("begin sour - 1 p7\nend sour - 1 p7 3\n", "")},
    ),
    "a batch that was never done": (
        "c[0] was never done",
        {"ledger": LEDGER.replace("begin c 0 1 p3\n", "").replace("end c 0 1 p3 0\n", "")},
    ),
    "another end than promised": ("b ended as failed, not as completed", {"journal": without("b", "attempt_ended", 2)}),
    "a skipped step that was done": (
        "no was not skipped",
        {
            "ledger": LEDGER + "begin no - 1 px\nend no - 1 px 0\n",
            "journal": [*JOURNAL, started("no"), ended("no", "completed")],
        },
    ),
    "a skipped step of which nobody knows": ("no was not skipped", {"journal": [e for e in JOURNAL if e.get("step") != "no"]}),
    "a step that nobody asked for": (
        "odd was done, and nobody asked for it",
        {
            "ledger": LEDGER + "begin odd - 1 px\nend odd - 1 px 0\n",
            "journal": [*JOURNAL, started("odd"), ended("odd", "completed")],
        },
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_objects_to(what: str) -> None:
    says, given = BROKEN[what]
    assert any(each.startswith(says) for each in judged(**given)), judged(**given)


def test_what_is_in_doubt_may_be_made_again_and_what_must_not_be_repeated_with_a_persons_word() -> None:
    ledger = LEDGER + "begin single - 2 px\nend single - 2 px 0\n"
    journal = [
        *replaced("single", 1, status="interrupted"), started("single", 2), ended("single", "completed", 2, output=3),
    ]  # fmt: skip
    assert judged(ledger, journal, doubt=True, approvals=1) == []


def test_what_must_not_be_repeated_may_be_when_it_failed_by_itself() -> None:
    ledger = LEDGER.replace("end single - 1 p9 0", "end single - 1 p9 1") + "begin single - 2 px\nend single - 2 px 0\n"
    journal = [
        *replaced("single", 1, status="failed"), started("single", 2), ended("single", "completed", 2, output=3),
    ]  # fmt: skip
    assert judged(ledger, journal) == []


def test_a_command_that_was_shot_failed() -> None:
    ledger = LEDGER.replace("end b - 1 p2 1\n", "")
    journal = [{**each, "error": "ended by SIGKILL"} if each.get("status") == "failed" else each for each in JOURNAL]
    assert judged(ledger, journal) != []
    assert judged(ledger, journal, shot=True) == []


def test_a_failing_disk_may_fail_an_attempt_whose_command_did_not_fail() -> None:
    ledger = LEDGER.replace("begin b - 1 p2\nend b - 1 p2 1\n", "begin b - 1 p2\nend b - 1 p2 0\n")
    assert judged(ledger) != []
    assert judged(ledger, trouble=True) == []


def test_a_failing_disk_may_fail_a_step_before_its_command_begins_and_what_passes_it_over_begins_then() -> None:
    promises = {("sour", None): Promise("failed"), ("sweet", None): Promise(after=("sour",))}
    ledger = accounting.read_ledger("begin sweet - 1 p1\nend sweet - 1 p1 0\nbegin sour - 2 p2\nend sour - 2 p2 3\n")
    journal = [
        started("sour"), ended("sour", "failed"), started("sweet"), ended("sweet", "completed"), started("sour", 2), ended("sour", "failed", 2),
    ]  # fmt: skip
    records = [{"id": str(number), **record} for number, record in enumerate(journal)]
    wrong = accounting.violations(promises, ledger, records, doubt=False)
    assert "sweet attempt 1 began before sour had ended" in wrong
    assert accounting.violations(promises, ledger, records, doubt=False, trouble=True) == []


def test_a_journal_may_be_torn_at_its_end_and_nowhere_else() -> None:
    line = json.dumps({"v": 1, "id": "x"}).encode()
    other = json.dumps({"v": 1, "id": "y"}).encode()
    assert accounting.read_journal(line + b"\n" + other[:7]) == ([{"v": 1, "id": "x"}], [])
    assert accounting.read_journal(line + b"\n" + other) == ([{"v": 1, "id": "x"}, {"v": 1, "id": "y"}], [])
    assert "line 1 is unreadable" in accounting.read_journal(other[:7] + b"\n" + line + b"\n")[1][0]
    assert "line 1 is unreadable" in accounting.read_journal(b'{"no": "id"}\n')[1][0]


def test_a_ledger_line_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        accounting.read_ledger("begin a -")
