"""What the faults have found, each as the smallest case that shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.harness import Fault, Place

JOURNAL = "colony/.colony/runs/RUN/journal.jsonl"
LOCK = "colony/.colony/locks/runs/RUN/journal.lock"
WRITES = f"workflow/fork write {JOURNAL}"


def workflow(place: Place, steps: str) -> None:
    (place.root / ".colony/workflows/w.yaml").write_text(f"name: w\n{steps}")


def status(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place("workflow", "status", "--json").out)
    return found


def step(place: Place, name: str) -> dict[str, Any]:
    return next(found for found in status(place)["steps"] if found["name"] == name)


def ends(place: Place) -> list[tuple[str, str]]:
    """(step, status) of every end in the newest run's journal."""
    path = max(place.root.glob(".colony/runs/*/journal.jsonl"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [(record["step"], record["status"]) for record in records if record["type"] == "attempt_ended"]


def test_a_worker_that_is_shot_while_others_are_started_does_not_leave_its_slot_to_one_for_whose_end_the_run_then_waits(
    place: Place,
) -> None:
    workflow(place, "steps:\n  - {name: many, parallel: 8, run: 'echo $COLONY_BATCH_ID'}\n")
    place.arm(Fault("self", "before", f"workflow/fork flock {LOCK}"))
    assert place("workflow", "run", "w", timeout=60).code == 0  # it used to wait for ever
    assert place.fired() and step(place, "many")["output"] == list(range(8))


@pytest.mark.parametrize("number", range(1, 7))
def test_a_job_that_a_dead_worker_never_got_is_given_to_another_and_is_not_in_doubt(place: Place, number: int) -> None:
    chain = "".join(
        f"  - {{name: s{n}, depends_on: [{f's{n - 1}' if n > 1 else ''}], idempotent: false, run: 'echo {n} >> did'}}\n"
        for n in range(1, 7)
    )
    workflow(place, "steps:\n" + chain)
    place.arm(Fault("self", "after", "workflow/fork send pipe", number))
    assert place("workflow", "run", "w").code == 0
    assert place.fired() and (place.root / "did").read_text().split() == list("123456")
    assert [end for end in ends(place) if end[1] == "completed"] == [(f"s{n}", "completed") for n in range(1, 7)]


def test_an_attempt_that_never_began_needs_no_persons_word(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, idempotent: false, run: 'echo a >> did'}\n")
    place.arm(Fault("self", "before", f"workflow/fork flock {LOCK}"))
    assert place("workflow", "run", "w").code == 0
    assert place.fired() and (place.root / "did").read_text() == "a\n"
    assert ends(place) == [("a", "interrupted"), ("a", "completed")]


def test_a_run_whose_workers_all_die_at_once_ends_and_can_be_resumed(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, idempotent: false, run: 'echo a >> did'}\n")
    place.arm(*[Fault("self", "before", "workflow/fork mkdir tmp/TMP")] * 50)
    failed = place("workflow", "run", "w", timeout=60)  # and does not start others for ever
    assert failed.code == 1 and 0 < len(place.fired()) <= 10
    assert "killed 3 times" in failed.err or "10 processes in a row died" in failed.err
    place.disarm()
    assert status(place)["status"] in ("failed", "interrupted") and not (place.root / "did").exists()
    assert place("workflow", "resume").code == 0
    assert (place.root / "did").read_text() == "a\n"


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "ENOSPC+"])
def test_a_log_that_cannot_be_written_costs_a_running_command_nothing_of_its_output(place: Place, kind: str) -> None:
    run = "echo speaks >&2; sleep 0.4; printf 7 > $COLONY_OUTPUT; echo not this"
    workflow(place, f"steps:\n  - {{name: a, agent: worker, run: '{run}'}}\n")
    place.arm(Fault(kind, "before", "workflow/fork write colony/.colony/logs/worker.jsonl"))
    place("workflow", "run", "w")
    assert place.fired()
    place.disarm()
    if status(place)["status"] != "completed":
        assert place("workflow", "resume").code == 0
    assert step(place, "a")["output"] == 7


def test_a_log_line_that_could_not_be_written_is_written_when_it_can(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, agent: worker, run: 'echo speaks >&2; sleep 0.4'}\n")
    place.arm(Fault("EIO", "before", "workflow/fork write colony/.colony/logs/worker.jsonl"))
    assert place("workflow", "run", "w").code == 0
    assert place.fired() and place("logs", "worker").out.count("speaks") == 1


def test_a_command_that_the_system_does_not_let_start_says_so(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, run: 'echo a >> did'}\n")
    place.arm(Fault("ENOSPC", "before", "workflow/fork posix_spawn step a "))  # as EAGAIN: there are too many processes
    failed = place("workflow", "run", "w")
    assert place.fired() and failed.code == 1
    assert step(place, "a")["error"] == "cannot start the command: Resource temporarily unavailable"
    assert "Resource temporarily unavailable" in failed.err and not (place.root / "did").exists()
    assert place("workflow", "resume").code == 0
    assert (place.root / "did").read_text() == "a\n"


def test_a_step_that_must_not_be_repeated_waits_for_a_person_when_what_it_did_could_not_be_kept(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, idempotent: false, run: 'echo a >> did; echo 1'}\n")
    place.arm(Fault("EIO", "before", "workflow/fork create colony/.colony/runs/RUN/steps/a/1/.stdout.log.tmp"))
    assert place("workflow", "run", "w").code == 75
    assert place.fired() and step(place, "a")["status"] == "waiting"
    assert "Input/output error" in step(place, "a")["error"]
    assert place("workflow", "approve", status(place)["run_id"], "a", "--done", "--output", "1").code == 0
    assert place("workflow", "resume").code == 0
    assert (place.root / "did").read_text() == "a\n"


def test_what_killed_workers_left_in_the_folder_for_temporary_files_goes_with_the_run(place: Place) -> None:
    workflow(place, "steps:\n  - {name: a, run: 'echo 1'}\n  - {name: b, depends_on: [a], run: 'echo 2'}\n")
    place.arm(Fault("everything", "before", WRITES, 2))
    assert place("workflow", "run", "w").code == -9
    left = place.temporary_files()
    assert len(left) == 1
    told = place("health").out
    assert left[0] in told and "1 folder of killed steps' output" in told
    assert place("workflow", "resume").code == 0
    assert place.temporary_files() == [] and "killed steps" not in place("health").out


def test_an_error_handling_step_that_outlived_its_engine_is_waited_for(place: Place) -> None:
    slow = "echo begins >> did; sleep 1; echo ends >> did"
    workflow(place, f"steps:\n  - {{name: a, run: 'false'}}\nerror_handling:\n  - {{step: b, run: '{slow}'}}\n")
    place.arm(Fault("engine", "after", "workflow/fork posix_spawn step b "))
    assert place("workflow", "run", "w").code == -9
    assert place("workflow", "resume").code == 1
    assert place.fired() and (place.root / "did").read_text().split() == ["begins", "ends", "begins", "ends"]
