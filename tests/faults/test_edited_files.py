"""What an editor or another program may have done to the files of an interrupted run: either the run goes on, and nothing
that was completed is done again, or a clear error says what is wrong and where; and every reading command works."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import paths, runs
from colony_lib.work.engine import Schedule
from colony_lib.work.runner import Runner
from tests.conftest import Result
from tests.faults import scenario
from tests.faults.harness import Fault, Place

STEPS = """\
name: w
steps:
  - {name: a, run: "echo a >> did; echo 1"}
  - {name: large, run: "echo large >> did; printf '%40000d' 7 | tr ' ' x"}
  - {name: b, depends_on: [a, large], run: "echo b >> did; echo 2"}
  - {name: c, depends_on: [b], for_each: [1, 2], run: "echo c >> did; echo {{item}}"}
"""
DONE = ["a", "b", "b", "c", "c", "large"]  # b was running when everything was shot, and is made again


def make(root: Path) -> None:
    scenario.empty(root)
    (root / ".colony/workflows/w.yaml").write_text(STEPS)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A colony whose run was shot while b was running."""
    place = Place(tmp_path_factory.mktemp("shot") / "place", make)
    place.arm(Fault("everything", "after", "workflow/fork posix_spawn step b "))
    assert place("workflow", "run", "w", "-q").code == -9
    place.disarm()
    (place.root / "did").write_text("a\nlarge\nb\n")  # whether b came to it before the shot is chance
    return place


Edit = Callable[[Path], object]  # of the run's folder


def journal(change: Callable[[list[bytes]], list[bytes]]) -> Edit:
    def edit(run: Path) -> None:
        lines = (run / "journal.jsonl").read_bytes().split(b"\n")[:-1]
        (run / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in change(lines)))

    return edit


def line(text: bytes) -> Edit:
    return journal(lambda lines: [*lines[:2], text, *lines[2:]])


def record(**fields: Any) -> Edit:
    return line(json.dumps({"v": 1, "id": "odd", "ts": "2026-01-01T00:00:00.000Z", **fields}).encode())


def plan(change: Callable[[Any], object]) -> Edit:
    def edit(run: Path) -> None:
        header = json.loads((run / "plan.json").read_text())
        change(header)
        (run / "plan.json").write_text(json.dumps(header))

    return edit


def file(name: str, data: bytes) -> Edit:
    return lambda run: (run / name).write_bytes(data)


def instead(name: str, made: Edit) -> Edit:
    """Something in the place of a file that is not one."""

    def edit(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        made(run / name)

    return edit


def summary(**fields: Any) -> Edit:
    def edit(run: Path) -> None:
        size = (run / "journal.jsonl").stat().st_size
        (run / "summary.json").write_text(json.dumps({"v": 1, "journal_bytes": size, **fields}))

    return edit


def shuffled(lines: list[bytes]) -> list[bytes]:
    return random.Random(4).sample(lines, len(lines))


def nothing(run: Path) -> None:
    pass


STARTED: dict[str, Any] = {"type": "attempt_started", "step": "b", "batch": None, "attempt": 9, "slot": "slot-9"}
ENDED: dict[str, Any] = {"type": "attempt_ended", "step": "b", "batch": None, "attempt": 1, "status": "completed"}
# Of these the run goes on; with words, the line is named and passed over with them.
GOES_ON: dict[str, tuple[Edit, str]] = {
    "nothing": (nothing, ""),
    "a journal with rubbish in it": (line(b"rubbish"), "not JSON"),
    "a journal with bytes in it that are no text": (line(b"\xff\xfe\x00"), "UTF-8"),
    "a journal with a line of 70 MB": (line(b"x" * 70_000_000), "too long"),
    "a journal with NaN in it": (line(b'{"v": 1, "id": "odd", "n": NaN}'), "NaN"),
    "a journal with a list in it": (line(b"[1]"), "not an object with an 'id'"),
    "a journal with blank lines": (line(b"  "), ""),
    "a journal upside down": (journal(lambda lines: lines[::-1]), ""),
    "a journal that was shuffled": (journal(shuffled), ""),
    "a journal that is there twice": (journal(lambda lines: lines + lines), ""),
    "a journal with the ends of lines of Windows": (journal(lambda lines: [each + b"\r" for each in lines]), ""),
    "a journal with a byte order mark": (lambda run: file("journal.jsonl", b"\xef\xbb\xbf" + (run / "journal.jsonl").read_bytes())(run), ""),
    "a journal with a block of zeros at its end": (lambda run: (run / "journal.jsonl").open("ab").write(b"\0" * 4096), ""),
    "a journal torn at its end": (lambda run: (run / "journal.jsonl").open("ab").write(b'{"v":1,"id":"x","ty'), ""),
    "a record of no known type": (record(type="holiday"), ""),
    "a record whose type is a list": (record(type=["run_ended"]), "its 'type' is a list"),
    "an end without an attempt": (record(**{**ENDED, "attempt": None}), "its 'attempt' is missing"),
    "an end without a status": (record(**{**ENDED, "status": None}), "its 'status' is missing"),
    "an attempt that is a text": (record(**{**ENDED, "attempt": "1"}), "its 'attempt' is a text"),
    "an attempt that is true": (record(**{**ENDED, "attempt": True}), "its 'attempt' is true or false"),
    "a step that is a list": (record(**{**STARTED, "step": ["b"]}), "its 'step' is a list"),
    "a step that there is not": (record(**{**STARTED, "step": "zz"}), ""),
    "a batch that is a text": (record(**{**STARTED, "batch": "0"}), "its 'batch' is a text"),
    "a batch that is a list": (record(**{**STARTED, "batch": [0]}), "its 'batch' is a list"),
    "a batch below nothing": (record(**{**STARTED, "batch": -1}), "its 'batch' is below 0"),
    "a batch that there is not": (record(**{**STARTED, "step": "c", "batch": 77}), ""),
    "a slot that is a path": (record(**{**STARTED, "slot": "../../x"}), "its 'slot' is a path"),
    "an output that leads out": (record(**ENDED, output_file="../../../../colony.yml"), "its 'output_file' leads out of the run"),
    "an output with a whole path": (record(**ENDED, output_file="/etc/passwd"), "its 'output_file' leads out of the run"),
    "items that are a number": (record(type="step_expanded", step="c", items=5), "its 'items' is a number"),
    "a record without a time": (record(**ENDED, ts=None), "its time is none"),
    "a time that is none": (record(**ENDED, ts="2026-13-41T00:00:00.000Z"), "its time is none"),
    "an end of no known kind": (record(type="run_ended", status="splendid"), "its 'status' is not one of a run's"),
    "a plan that was made pretty": (lambda run: file("plan.json", json.dumps(json.loads((run / "plan.json").read_text()), indent=8).encode())(run), ""),
    "a kept line of history with nothing in it": (summary(), ""),
    "a kept line of history of another kind": (summary(run_id=5, workflow=[], status={}, date=None, duration_seconds="long"), ""),
    "a kept line of history that is cut off": (file("summary.json", b'{"v": 1, "sta'), ""),
    "a folder for the kept line of history": (lambda run: (run / "summary.json").mkdir(), ""),
    "an empty wish to cancel": (file("cancel.json", b""), ""),
    "no locks": (lambda run: shutil.rmtree(run.parents[1] / "locks"), ""),
    "rubbish beside the run": (lambda run: (run.parent / "rubbish").write_text("x"), ""),
    "a folder without a plan beside the run": (lambda run: (run.parent / (run.name + "x")).mkdir(), ""),
    "no folder of caches": (lambda run: shutil.rmtree(run.parents[1] / "cache"), ""),
    "caches that are lists": (lambda run: [path.write_text("[]") for path in (run.parents[1] / "cache").iterdir()], ""),
    "caches that are cut off": (lambda run: [path.write_text('{"v": 1') for path in (run.parents[1] / "cache").iterdir()], ""),
}  # fmt: skip
# These are refused, with these words.
REFUSED: dict[str, tuple[Edit, str]] = {
    "no journal": (lambda run: (run / "journal.jsonl").unlink(), "the run's journal is gone"),
    "a folder for the journal": (instead("journal.jsonl", Path.mkdir), "is not a regular file"),
    "a FIFO for the journal": (instead("journal.jsonl", os.mkfifo), "is not a regular file"),
    "a link for the journal": (instead("journal.jsonl", lambda path: path.symlink_to("/etc/passwd")), "journal.jsonl"),
    "an empty plan": (file("plan.json", b""), "not JSON: nothing but white space"),
    "a plan that is cut off": (file("plan.json", b'{"v": 1, "plan": {'), "not JSON"),
    "a plan that is a list": (file("plan.json", b"[1]"), "the run's plan is damaged: it is no object"),
    "a plan with nothing in it": (file("plan.json", b"{}"), "the run's plan is damaged: its 'created' is missing"),
    "a plan of no time": (plan(lambda header: header.update(created="once")), "its 'created' is no time"),
    "a plan without a date": (plan(lambda header: header.pop("date")), "its 'date' is missing"),
    "a plan without agents": (plan(lambda header: header.pop("agents")), "its 'agents' is missing"),
    "a plan without steps": (plan(lambda header: header["plan"].pop("steps")), "its 'steps' is missing"),
    "a plan whose steps are a text": (plan(lambda header: header["plan"].update(steps="a")), "its 'steps' is a text"),
    "a plan with a text for a step": (plan(lambda header: header["plan"]["steps"].append("d")), "a step is no object"),
    "a plan with a number for a name": (plan(lambda header: header["plan"]["steps"][0].update(name=5)), "its 'name' is a number"),
    "a plan without retries": (plan(lambda header: header["plan"]["steps"][0].pop("retry")), "its 'retry' is missing"),
    "a plan with a step before none": (plan(lambda header: header["plan"]["steps"][2].update(depends_on=["zz"])), "a step depends on one that is not there"),
    "a folder for the plan": (instead("plan.json", Path.mkdir), "is not a regular file"),
    "a folder for the wish to cancel": (lambda run: (run / "cancel.json").mkdir(), "cancel.json"),
    "no large output": (lambda run: (run / "steps/large/1/output.json").unlink(), "the output of a completed step is gone"),
    "a large output that is cut off": (file("steps/large/1/output.json", b'"xx'), "output.json"),
    "a folder for a lock": (lambda run: (run.parents[1] / "locks/runs" / run.name / "journal.lock").unlink() or (run.parents[1] / "locks/runs" / run.name / "journal.lock").mkdir(), "journal.lock"),
    "a link for a lock": (lambda run: (run.parents[1] / "locks/runs" / run.name / "alive.lock").unlink() or (run.parents[1] / "locks/runs" / run.name / "alive.lock").symlink_to("/etc/passwd"), "alive.lock"),
}  # fmt: skip


def edited(shot: Place, folder: Path, edit: Edit) -> Place:
    place = Place(folder, lambda root: None)
    place.root.rmdir()
    shutil.copytree(shot.root, place.root)
    edit(next(place.root.glob(".colony/runs/r*")))
    return place


def tidy(done: Result) -> None:
    assert done.code in (0, 1, 2, 75), done
    assert "Traceback" not in done.err and "bug in Colony" not in done.err, done
    assert all(re.fullmatch(r"(colony[ a-z]*: |✗ |  next: ).{1,900}", each) for each in done.err.splitlines()), done


@pytest.mark.parametrize("what", GOES_ON)
def test_the_run_goes_on_with(what: str, shot: Place, tmp_path: Path) -> None:
    edit, says = GOES_ON[what]
    place = edited(shot, tmp_path / "place", edit)
    before = place("workflow", "status", "--json")
    assert before.code == 0 and before.err.count("\n") == (1 if says else 0) and says in before.err, before
    assert json.loads(before.out)["status"] == "interrupted"
    for words in (("workflow", "history"), ("status",)):
        tidy(place(*words))
    resumed = place("workflow", "resume", "-q")
    assert resumed.code == 0, resumed
    after = json.loads(place("workflow", "status", "--json").out)
    assert after["status"] == "completed"
    assert [step["status"] for step in after["steps"]] == ["completed"] * 4
    assert after["steps"][1]["output"] == "x" * 39_999 + "7" and after["steps"][3]["output"] == [1, 2]
    assert sorted((place.root / "did").read_text().split()) == DONE


@pytest.mark.parametrize("what", REFUSED)
def test_the_run_is_refused_and_left_as_it_is_with(what: str, shot: Place, tmp_path: Path) -> None:
    edit, says = REFUSED[what]
    place = edited(shot, tmp_path / "place", edit)
    for words in (("workflow", "status"), ("workflow", "status", "--json"), ("workflow", "history"), ("status",), ("logs",)):
        tidy(place(*words))
    resumed = place("workflow", "resume")
    tidy(resumed)
    assert resumed.code in (1, 2) and says in resumed.err, resumed
    assert (place.root / "did").read_text().split() == ["a", "large", "b"]
    # Another run of the workflow is not in its way.
    assert place("workflow", "run", "w", "-q").code == 0
    assert place("workflow", "history", "--limit", "1").out.count("completed") == 1


def test_a_run_with_a_step_that_is_not_done_is_never_called_completed(shot: Place, tmp_path: Path) -> None:
    place = edited(shot, tmp_path / "place", nothing)
    paths.use(str(place.root))
    run = runs.load(runs.find())
    run.steps["b"].unit(None).status = "running"  # which no process makes true, whatever the journal was
    runner = Runner(run, lambda *news: None)
    runner.only, runner.schedule = None, Schedule(run)
    assert runner._outcome() == "failed"
    assert runner.schedule.failure == ("b", "it is running, and nothing makes it: the run's journal is damaged")
