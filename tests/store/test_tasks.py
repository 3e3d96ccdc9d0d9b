"""The task list: what its events mean, in any order, and what its verbs refuse."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.store import journal, paths, taskfold, tasks

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SCHEMA = json.loads((REPOSITORY / "schemas" / "task.schema.json").read_text())


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    (tmp_path / ".colony" / "state").mkdir(parents=True)
    paths.use(str(tmp_path))
    return tmp_path


def add(title: str, *blockers: str, **more: Any) -> str:
    """Add a task and return its id."""
    return str(tasks.add([tasks.wanted({"title": title, "blockers": list(blockers), **more})])[0][0]["id"])


def seen(ref: str) -> dict[str, Any]:
    everyone = tasks.load()
    return taskfold.shown(everyone, tasks.find(everyone, ref))


def statuses() -> dict[str, str]:
    return {task["title"]: task["status"] for task in tasks.everything()}


def refused(call: Callable[..., Any], *args: Any, **settings: Any) -> ColonyError:
    """The error of a call that must fail and must leave the journal as it was."""
    before = journal_bytes()
    with pytest.raises(ColonyError) as caught:
        call(*args, **settings)
    assert journal_bytes() == before
    return caught.value


def journal_bytes() -> bytes:
    file = Path(paths.tasks())
    return file.read_bytes() if file.exists() else b""


# ---- what a chain of tasks does


def test_a_chain_becomes_ready_one_by_one_as_its_blockers_complete() -> None:
    add("fetch")
    add("transform", "fetch")
    add("load", "transform")
    assert statuses() == {"fetch": "ready", "transform": "blocked", "load": "blocked"}
    assert seen("load")["blocked_by"] == ["transform"]
    tasks.finish("fetch", "completed")
    assert statuses() == {"fetch": "completed", "transform": "ready", "load": "blocked"}
    tasks.finish("transform", "completed", {"rows": 842})
    assert statuses()["load"] == "ready"
    assert seen("load")["blocked_by"] == [] and len(seen("load")["blockers"]) == 1
    assert seen("transform")["result"] == {"rows": 842} and seen("transform")["completed"]


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_what_a_failed_or_cancelled_task_blocks_stays_blocked_until_it_is_unblocked(ending: str) -> None:
    add("fetch")
    add("load", "fetch")
    tasks.finish("fetch", ending, "no network")
    assert statuses() == {"fetch": ending, "load": "blocked"}
    assert seen("load")["blocked_by"] == ["fetch"]
    assert "is blocked by 'fetch'" in refused(tasks.claim, "a1", "load").what
    assert tasks.unblock("load", "fetch")[1] is True
    assert statuses()["load"] == "ready"
    assert tasks.unblock("load", "fetch")[1] is False


def test_a_failed_task_can_be_completed_after_all_and_frees_what_it_blocks() -> None:
    add("fetch")
    add("load", "fetch")
    tasks.finish("fetch", "failed")
    assert tasks.finish("fetch", "completed")[1] is True
    assert statuses() == {"fetch": "completed", "load": "ready"}


def test_completing_twice_is_fine_and_another_ending_of_a_completed_task_is_refused() -> None:
    add("fetch")
    tasks.finish("fetch", "completed", 5)
    before = journal_bytes()
    assert tasks.finish("fetch", "completed")[1] is False
    assert tasks.finish("fetch", "completed", 5)[1] is False
    assert journal_bytes() == before
    assert "already completed, with another result" in refused(tasks.finish, "fetch", "completed", 6).what
    assert refused(tasks.finish, "fetch", "failed").code == FAILED
    assert refused(tasks.finish, "fetch", "cancelled").fix == f"reopen it first: task update {seen('fetch')['id']} ready"


def test_update_sets_any_status_by_hand_and_ready_puts_a_task_back() -> None:
    add("fetch", agent="loader")
    tasks.update("fetch", "in_progress")
    assert (seen("fetch")["status"], seen("fetch")["owner"]) == ("in_progress", "loader")
    tasks.update("fetch", "completed")
    assert tasks.update("fetch", "completed")[1] is False
    tasks.update("fetch", "failed")
    task, changed = tasks.update("fetch", "ready")
    assert changed and (task["status"], task["owner"], task["completed"], task["result"]) == ("ready", None, None, None)
    assert tasks.update("fetch", "open")[1] is False
    assert refused(tasks.update, "fetch", "blocked").fix == "use 'task block REF BLOCKER'"
    assert refused(tasks.update, "fetch", "complete").fix == "did you mean 'completed'?"


def test_a_claimed_task_that_is_put_back_is_again_for_whom_it_was_before() -> None:
    add("anyone")
    add("mine", agent="a1")
    tasks.claim("a2", "anyone")
    tasks.claim("a1", "mine")
    assert seen("anyone")["agent"] == "a2"
    tasks.update("anyone", "ready")
    tasks.update("mine", "ready")
    assert (seen("anyone")["agent"], seen("mine")["agent"]) == (None, "a1")


# ---- claims


def test_claims_go_by_priority_then_age_and_only_to_whom_the_task_is_assigned() -> None:
    for title, more in {
        "old": {}, "urgent": {"priority": 0}, "others": {"priority": 0, "agent": "a2"}, "mine": {"agent": "a1"}, "late": {"priority": "p1"},
    }.items():
        add(title, **more)
    taken = [tasks.claim("a1")["title"] for _ in range(4)]
    assert taken == ["urgent", "late", "old", "mine"]
    error = refused(tasks.claim, "a1")
    assert str(error) == "no task is ready for 'a1'; 1 ready for others, 4 in_progress"
    assert tasks.claim("a2")["title"] == "others"


def test_a_worker_may_take_only_what_is_assigned_to_it() -> None:
    add("anyone")
    add("mine", agent="a1")
    assert tasks.claim("a1", unassigned=False)["title"] == "mine"
    refused(tasks.claim, "a1", unassigned=False)


def test_a_claim_carries_its_owner_its_time_and_the_id_of_its_event() -> None:
    add("load")
    task = tasks.claim("a1")
    event = json.loads(journal_bytes().splitlines()[-1])
    assert (task["owner"], task["agent"], task["claimed"], task["claim"]) == ("a1", "a1", event["ts"], event["id"])
    tasks.update("load", "ready")
    assert tasks.claim("a1")["claim"] != task["claim"]


def test_what_is_not_ready_or_somebody_elses_cannot_be_claimed() -> None:
    add("load")
    add("report", "load")
    add("clean", agent="a2")
    tasks.claim("a1", "load")
    assert refused(tasks.claim, "a1", "load").what.startswith("the task 'load' is in_progress with 'a1' since 20")
    assert refused(tasks.claim, "a1", "report").what == "the task 'report' is blocked by 'load'"
    assert refused(tasks.claim, "a1", "clean").what == "the task 'clean' is assigned to 'a2'"
    assert refused(tasks.claim, "../a1", "clean").code == USAGE


def test_assigning_a_task_in_progress_hands_it_over_with_a_new_claim() -> None:
    add("load")
    old = tasks.claim("a1")
    new = tasks.assign("load", "a2")
    assert (new["owner"], new["status"]) == ("a2", "in_progress") and new["claim"] != old["claim"]
    tasks.finish("load", "completed")
    assert refused(tasks.assign, "load", "a1").what == "the task 'load' is completed"


# ---- references


def test_a_title_means_its_newest_task_that_is_not_finished_else_its_newest() -> None:
    first, second, third = add("fetch"), add("fetch"), add("fetch")
    assert seen("fetch")["id"] == third
    tasks.finish(third, "completed")
    assert seen("fetch")["id"] == second
    tasks.finish(second, "failed")
    assert seen("fetch")["id"] == first
    tasks.finish(first, "completed")
    assert seen("fetch")["id"] == third


def test_an_id_beats_a_title_and_a_title_beats_the_start_of_an_id() -> None:
    a = add("x", id="load")
    b = add("load", id="y")
    c = add("lo", id="z")
    assert seen("load")["id"] == a and seen("y")["id"] == b and seen("lo")["id"] == c
    assert seen("loa")["id"] == a


def test_the_start_of_several_ids_is_refused_with_their_names() -> None:
    add("a", id="load-1")
    add("b", id="load-2")
    error = refused(tasks.finish, "load-", "completed")
    assert str(error) == "'load-' is the start of 2 tasks; there is 'load-1' (a), 'load-2' (b)"
    assert seen("load-2")["title"] == "b"


def test_an_unknown_task_is_refused_with_the_nearest_titles() -> None:
    add("validate-daily-data")
    error = refused(tasks.finish, "validate-dayly-data", "completed")
    assert (str(error), error.code) == (
        "unknown task 'validate-dayly-data'; did you mean 'validate-daily-data'?", FAILED,
    )


# ---- adding


def test_blockers_are_titles_ids_or_starts_of_ids_and_count_once() -> None:
    first, second = add("fetch"), add("check, twice", id="check-2013")
    add("load", "fetch", first, "check-2", "check, twice")
    assert seen("load")["blockers"] == [first, second]
    add("report", "fetch,check-2013")
    assert seen("report")["blockers"] == [first, second]


def test_an_unknown_blocker_and_an_empty_one_are_refused_before_anything_is_written() -> None:
    add("fetch")
    assert str(refused(add, "load", "fetsh")) == "unknown blocker 'fetsh'; did you mean 'fetch'?"
    assert refused(add, "load", "fetch,").what == "a blocker has no name"
    assert refused(add, "load", "load").what == "a circle of blockers: load → load (each waits for the next)"
    assert refused(add, "load", "l", id="l").code == USAGE


def test_a_circle_is_refused_and_shown() -> None:
    a, b, c = add("a"), add("b", "a"), add("c", "b")
    error = refused(tasks.block, "a", "c")
    assert error.what == "a circle of blockers: a → c → b → a (each waits for the next)" and error.code == USAGE
    assert refused(tasks.block, b, b).what == "a circle of blockers: b → b (each waits for the next)"
    tasks.unblock(b, a)
    assert tasks.block(a, c)["status"] == "blocked"


def test_blocking_twice_is_the_same_as_once() -> None:
    add("a")
    add("b")
    tasks.block("b", "a")
    before = journal_bytes()
    tasks.block("b", "a")
    assert journal_bytes() == before and seen("b")["blocked_by"] == ["a"]


def test_an_id_of_ones_own_makes_adding_repeatable_and_is_not_given_to_another_title() -> None:
    spec = tasks.wanted({"title": "load", "id": "load-2013-02-08", "blockers": []})
    assert tasks.add([spec])[0][1] is True
    before = journal_bytes()
    assert tasks.add([spec])[0][1] is False and journal_bytes() == before
    error = refused(add, "report", id="load-2013-02-08")
    assert str(error) == "the id 'load-2013-02-08' is taken by the task 'load'; use another id"


def test_a_batch_is_added_whole_or_not_at_all_and_may_refer_to_earlier_lines() -> None:
    chain = [tasks.wanted({"title": t, "blockers": b}) for t, b in (("a", []), ("b", ["a"]), ("c", "a,b"))]
    tasks.add(chain)
    assert statuses() == {"a": "ready", "b": "blocked", "c": "blocked"}
    bad = [*chain, tasks.wanted({"title": "d", "blockers": ["nowhere"]})]
    error = refused(tasks.add, bad, ["x:1", "x:2", "x:3", "x:4"])
    assert error.what == "unknown blocker 'nowhere'" and error.where == "x:4"


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({}, "a task needs a title"),
        ({"title": " \t"}, "a task needs a title"),
        ({"title": 5}, "a task needs a title"),
        ({"title": "x" * 1001}, "a title has at most 1,000 characters, this one has 1,001"),
        ({"title": "x", "titel": "y"}, "unknown field 'titel'"),
        ({"title": "x", "description": ["a"]}, "'description' is not text"),
        ({"title": "x", "blockers": {"a": 1}}, "'blockers' is not a list of tasks"),
        ({"title": "x", "blockers": [1]}, "'blockers' is not a list of tasks"),
        ({"title": "x", "agent": "../x"}, "'../x' is not a name for a agent"),
        ({"title": "x", "agent": 5}, "'5' is not a name for a agent"),
        ({"title": "x", "id": "a/b"}, "'a/b' is not a name for a task"),
        ({"title": "x", "id": ""}, "'' is not a name for a task"),
        ({"title": "x", "priority": 10}, "'10' is not a priority"),
        ({"title": "x", "priority": -1}, "'-1' is not a priority"),
        ({"title": "x", "priority": True}, "'True' is not a priority"),
        ({"title": "x", "priority": 1.0}, "'1.0' is not a priority"),
        ({"title": "x", "priority": "high"}, "'high' is not a priority"),
        ({"title": "x", "priority": "²"}, "'²' is not a priority"),
    ],
)
def test_a_task_of_the_wrong_shape_is_refused(record: dict[str, Any], what: str) -> None:
    with pytest.raises(ColonyError) as caught:
        tasks.wanted(record, "tasks:3")
    assert (caught.value.what, caught.value.where, caught.value.code) == (what, "tasks:3", USAGE)


def test_text_that_is_not_utf8_and_a_record_that_is_too_large_are_refused_before_anything_is_written() -> None:
    assert "lone surrogate" in refused(add, "bad \udcff title").what
    assert refused(add, "big", description="x" * (2 << 20)).what == "that is more than 1 MiB in one record"


def test_what_is_shown_meets_the_schema_and_so_does_every_event_of_the_journal() -> None:
    a = add("a", priority=0, agent="a1", description="ä\n🚨")
    add("b", "a")
    add("c")
    tasks.claim("a1")
    tasks.finish(a, "completed", [1, {"x": None}])
    tasks.update("b", "in_progress")
    tasks.update("b", "ready")
    tasks.assign("b", "a2")
    tasks.block("c", "b")
    tasks.unblock("c", "b")
    tasks.finish("c", "cancelled")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for task in tasks.everything():
        validator.validate(task)
    event = jsonschema.Draft202012Validator({**SCHEMA["$defs"]["event"], "$defs": SCHEMA["$defs"]})
    kinds = set()
    for line in journal_bytes().splitlines():
        event.validate(json.loads(line))
        kinds.add(json.loads(line)["type"])
    assert kinds == {"add", "claim", "finish", "update", "assign", "block", "unblock"}


# ---- one meaning, whatever the order


def everything_of(lines: list[bytes]) -> list[dict[str, Any]]:
    Path(paths.tasks()).write_bytes(b"".join(lines))
    return tasks.everything()


def something(chance: random.Random, machine: int) -> None:
    """Do one random thing with the tasks that are there, as a user of that machine might."""
    there = [task["id"] for task in tasks.everything()]
    ref, other = (chance.choice(there), chance.choice(there)) if there else ("none", "none")
    agent = f"m{machine}"
    chance.choice(
        [
            lambda: add(chance.choice(["fetch", "clean", "load"]), *chance.sample(there, min(2, len(there)))),
            lambda: add("same", id="same-id", priority=chance.randrange(3)),
            lambda: tasks.claim(agent, ref),
            lambda: tasks.claim(agent),
            lambda: tasks.finish(ref, chance.choice(["completed", "failed", "cancelled"]), machine),
            lambda: tasks.update(ref, chance.choice(["ready", "in_progress", "completed"])),
            lambda: tasks.block(ref, other),
            lambda: tasks.block(other, ref),
            lambda: tasks.unblock(ref, other),
            lambda: tasks.assign(ref, f"m{chance.randrange(2)}"),
        ]
    )()


def busy_history(seed: int, machines: int = 2) -> list[bytes]:
    """The lines of a history in which machines that know only some of each other's lines do random things."""
    chance = random.Random(seed)
    known: list[list[bytes]] = [[] for _ in range(machines)]
    for _ in range(80):
        here = chance.randrange(machines)
        if chance.random() < 0.15:  # a sync: git's union of both files
            known[here] += [line for line in known[chance.randrange(machines)] if line not in known[here]]
        everything_of(known[here])
        try:
            something(chance, here)
        except ColonyError:
            continue  # refused, and so nothing was written
        known[here] = journal_bytes().splitlines(keepends=True)
    return sorted(set(itertools.chain(*known)))


@pytest.mark.parametrize("seed", range(6))
def test_lines_mean_the_same_in_any_order_and_however_often_they_are_repeated(seed: int) -> None:
    lines = busy_history(seed)
    meaning = everything_of(lines)
    assert len(meaning) > 5
    chance = random.Random(seed)
    for _ in range(8):
        shuffled = lines + chance.choices(lines, k=len(lines) // 2)
        chance.shuffle(shuffled)
        assert everything_of(shuffled) == meaning


@pytest.mark.parametrize("seed", range(6))
def test_merged_histories_hold_no_circle_and_every_task_that_was_added(seed: int) -> None:
    lines = busy_history(seed, machines=3)
    everything_of(lines)
    everyone = tasks.load()
    for task in everyone.values():
        assert not any(taskfold.reaches(everyone, blocker, task["id"]) for blocker in task["blockers"])
    added = {event["task"] for event in map(json.loads, lines) if event["type"] == "add"}
    assert set(everyone) == added


def diverged(*acts: Callable[[], Any]) -> tuple[list[bytes], list[bytes]]:
    """What each of two machines wrote by its own act, after the same beginning."""
    begun = journal_bytes().splitlines(keepends=True)
    sides = []
    for act in acts:
        everything_of(begun)
        act()
        sides.append(journal_bytes().splitlines(keepends=True))
    return sides[0], sides[1]


def test_of_two_machines_that_claim_one_task_both_say_the_same_winner() -> None:
    add("load")
    claims: list[dict[str, Any]] = []
    left, right = diverged(lambda: claims.append(tasks.claim("left")), lambda: claims.append(tasks.claim("right")))
    meanings = [everything_of(left + right), everything_of(right + left), everything_of(right + right + left)]
    assert meanings[0] == meanings[1] == meanings[2]
    won = [claim for claim in claims if claim["claim"] == meanings[0][0]["claim"]]
    assert len(won) == 1 and won[0]["owner"] == meanings[0][0]["owner"] == meanings[0][0]["agent"]


def test_a_circle_that_two_machines_close_together_stays_open_at_the_later_of_the_two() -> None:
    add("a")
    add("b")
    left, right = diverged(lambda: tasks.block("a", "b"), lambda: tasks.block("b", "a"))
    merged = everything_of(left + right)
    assert merged == everything_of(right + left)
    assert sorted(task["status"] for task in merged) == ["blocked", "ready"]


def test_what_one_machine_completed_another_cannot_fail() -> None:
    add("load")
    left, right = diverged(lambda: tasks.finish("load", "completed", 842), lambda: tasks.finish("load", "failed"))
    for lines in (left + right, right + left):
        assert everything_of(lines)[0]["status"] == "completed"
    assert everything_of(left + right)[0]["result"] == 842


def test_blockers_added_on_two_machines_are_all_kept() -> None:
    for title in ("a", "b", "load"):
        add(title)
    left, right = diverged(lambda: tasks.block("load", "a"), lambda: tasks.block("load", "b"))
    everything_of(left + right)
    assert sorted(seen("load")["blocked_by"]) == ["a", "b"]


def test_the_same_id_added_on_two_machines_is_one_task() -> None:
    left, right = diverged(lambda: add("load", id="x"), lambda: (add("other"), add("load", id="x", priority=0)))
    merged = everything_of(left + right)
    assert merged == everything_of(right + left) and [task["id"] for task in merged].count("x") == 1


def test_a_later_write_counts_whatever_the_wall_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from colony_lib.base import clock

    clock.freeze("2093-01-01T00:00:00Z")
    add("load")
    tasks.update("load", "in_progress")
    clock.freeze("1975-01-01T00:00:00Z")
    tasks.update("load", "ready")
    add("load")
    assert [task["created"][:4] for task in tasks.everything()] == ["2093", "1975"]
    assert tasks.claim("a1")["created"].startswith("2093")


def test_two_lines_that_claim_one_id_mean_the_same_in_either_order() -> None:
    add("load")
    line = journal_bytes()
    forged = line.replace(b'"load"', b'"evil"')
    assert everything_of([line, forged]) == everything_of([forged, line])


# ---- damage


def test_a_line_torn_at_any_byte_costs_nothing_that_was_acknowledged_and_is_mended_by_the_next_write() -> None:
    add("fetch")
    before = everything_of([journal_bytes()])
    start = len(journal_bytes())
    add("load", "fetch", description="🚨 ä")
    whole = journal_bytes()
    after = tasks.everything()
    for cut in range(start, len(whole)):
        problems: list[Any] = []
        Path(paths.tasks()).write_bytes(whole[:cut])
        found = tasks.everything(problems)
        assert problems == [] and found == (after if cut == len(whole) - 1 else before)
    for cut in (start + 1, start + 40, len(whole) - 2, len(whole) - 1):
        Path(paths.tasks()).write_bytes(whole[:cut])
        add("next")
        lines = journal_bytes().split(b"\n")
        assert all(json.loads(line) for line in lines[:-1]) and lines[-1] == b""
        assert [task["title"] for task in tasks.everything()][-1] == "next"


BAD_LINES = [
    (b"garbage", "not JSON"),
    (b'{"v":1,"id":"x"', "not JSON"),
    (b"[1,2]", "not an object with an 'id'"),
    (b"\xff\xfe", "not UTF-8"),
    (b'{"v":2,"id":"x","clock":9}', "its version is 2"),
    (b'{"v":1,"id":"x","clock":-1}', "its clock"),
    (b'{"v":1,"id":"x","clock":true}', "its clock"),
    (b'{"v":1,"id":"x","clock":1e300}', "its clock"),
    (b'{"v":1,"id":"x","clock":99999999999999999999}', "its clock"),
    (b'{"v":1,"id":"x","clock":9,"ts":5}', "its time"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"drop","task":"t"}', "'drop' is no type"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":["a"],"task":"t"}', "is no type"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"add","task":{}}', "its 'task'"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"add","task":"t"}', "its 'title'"),
    (
        b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"add","task":"t","title":"a","blockers":[[]]}',
        "its 'blockers'",
    ),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"update","task":"t","status":{}}', "its status"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"finish","task":"t","status":"open"}', "its status"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","type":"claim","task":"t","agent":null}', "its 'agent'"),
    (b'{"v":1,"id":"x","clock":9,"ts":"2026-11-23T06:18:00.123Z","by":1,"type":"block","task":"t","blocker":"b"}', "its 'by'"),
]


@pytest.mark.parametrize(("line", "why"), BAD_LINES)
def test_an_unreadable_line_is_reported_with_its_number_skipped_and_kept(line: bytes, why: str) -> None:
    add("fetch")
    add("load", "fetch")
    first, second = journal_bytes().splitlines(keepends=True)
    Path(paths.tasks()).write_bytes(first + line + b"\n" + second)
    problems: list[tuple[str, int, str]] = []
    assert [task["title"] for task in tasks.everything(problems)] == ["fetch", "load"]
    assert [(path, number) for path, number, _ in problems] == [(paths.tasks(), 2)]
    assert why in problems[0][2]
    tasks.finish("fetch", "completed")
    assert line + b"\n" in journal_bytes() and statuses()["load"] == "ready"


def test_a_task_whose_blocker_has_been_lost_stays_blocked_by_its_id_and_can_be_unblocked() -> None:
    lost = add("fetch")
    add("load", "fetch")
    everything_of(journal_bytes().splitlines(keepends=True)[1:])
    assert seen("load")["blocked_by"] == [lost]
    tasks.unblock("load", lost[:5])
    assert statuses() == {"load": "ready"}


def test_events_of_a_task_that_is_not_there_wait_for_it() -> None:
    add("load")
    tasks.finish("load", "completed")
    adding, completing = journal_bytes().splitlines(keepends=True)
    assert everything_of([completing]) == []
    assert everything_of([completing, adding])[0]["status"] == "completed"


def test_a_link_or_a_pipe_in_place_of_the_journal_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text("")
    Path(paths.tasks()).symlink_to(outside)
    with pytest.raises(ColonyError):
        tasks.everything()
    with pytest.raises(ColonyError):
        add("x")
    assert outside.read_text() == ""
    Path(paths.tasks()).unlink()
    import os

    os.mkfifo(paths.tasks())
    with pytest.raises(ColonyError, match="not a regular file"):
        tasks.everything()


def test_a_clock_at_its_end_is_said_and_not_passed() -> None:
    add("load")
    line = journal_bytes().replace(b'"clock":1,', b'"clock":9007199254740992,')
    Path(paths.tasks()).write_bytes(line)
    assert refused(add, "next").what == "the logical clock has come to its end"


def test_the_lock_is_given_back_after_every_refusal() -> None:
    from colony_lib.base import locks

    add("load")
    refused(tasks.finish, "nothing", "completed")
    assert not locks.is_held(paths.lock("tasks"))
    assert journal.actor() == "user"
