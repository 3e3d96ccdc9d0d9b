"""Runs that take over what another has done: what is done again, what is not, and that no step runs without need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony
from tests.work.test_runs import WAITING, children, in_slow, kill, ledger, start, status, statuses, until

# a → b → c, and d beside them
STEPS = """\
steps:
  - {name: a, run: "echo a >> ledger; echo 1"}
  - {name: b, depends_on: [a], run: "echo b >> ledger; [ ! -e b-fails ] && echo {{steps.a.output}}2"}
  - {name: c, depends_on: [b], run: "echo c >> ledger; echo {{steps.b.output}}3"}
  - {name: d, depends_on: [a], run: "echo d >> ledger; echo {{steps.a.output}}4"}
"""


def first(colony: Colony, text: str = STEPS, *words: str, code: int = 0) -> str:
    """Run the workflow `w` with these steps; returns the run's id, and the ledger is empty."""
    colony.workflow("w", text)
    result = colony("workflow", "run", "w", *words, check=False)
    assert result.code == code, result
    (colony.root / "ledger").write_text("")
    return result.out.strip()


def outputs(colony: Colony, run: str = "latest") -> dict[str, Any]:
    return {step["name"]: step["output"] for step in status(colony, run)["steps"]}


def test_from_a_step_does_it_and_all_that_depends_on_it(colony: Colony) -> None:
    run = first(colony)
    result = colony("workflow", "rerun", run, "--from", "b")
    assert ledger(colony) == ["b", "c"]
    again = status(colony)
    assert result.out == again["run_id"] + "\n" and again["run_id"] != run
    assert (again["status"], again["rerun_of"], again["only"]) == ("completed", run, None)
    assert statuses(colony) == {"a": "cached", "b": "completed", "c": "completed", "d": "cached"}
    assert {step["name"]: step["why"] for step in again["steps"] if step["why"]} == dict.fromkeys("ad", f"taken from {run}")
    assert outputs(colony) == outputs(colony, run) == {"a": 1, "b": 12, "c": 123, "d": 14}
    assert f"taken from {run}: 2 of 4 steps; to do: b, c" in result.err
    assert f"rerun of {run}" in colony("workflow", "status").out
    assert [line["rerun_of"] for line in colony.lines("workflow", "history", "--json")] == [run, None]


def test_only_a_step_does_that_and_nothing_after_it(colony: Colony) -> None:
    run = first(colony)
    colony("workflow", "rerun", run, "--only", "b")
    assert ledger(colony) == ["b"]
    assert statuses(colony) == {"a": "cached", "b": "completed", "c": "cached", "d": "cached"}
    assert status(colony)["status"] == "completed" and status(colony)["only"] == "b"


def test_without_an_option_everything_is_done_again_with_the_same_date_and_input(colony: Colony) -> None:
    text = 'input: {type: object, properties: {n: {type: integer}}}\nsteps:\n  - {name: a, cache: {}, run: "echo a >> ledger; echo {{input.n}} {{date}} {{yesterday}}"}\n'
    run = first(colony, text, "--input", '{"n": 7}', "--date", "2013-02-08")
    for source in (run, "latest"):
        colony("workflow", "rerun", source)
        assert outputs(colony)["a"] == "7 2013-02-08 2013-02-07"
        assert status(colony)["date"] == "2013-02-08" and status(colony)["input"] == {"n": 7}
    assert ledger(colony) == ["a", "a"]  # again is again, also with a cache
    assert status(colony)["steps"][0]["why"].startswith("not cached: the rerun of r")


def test_failed_takes_what_is_completed_and_does_the_rest(colony: Colony) -> None:
    (colony.root / "b-fails").touch()
    run = first(colony, STEPS, code=1)
    (colony.root / "b-fails").unlink()
    colony("workflow", "rerun", run, "--failed")
    assert sorted(ledger(colony)) in (["b", "c"], ["b", "c", "d"])  # d may have been cancelled
    assert outputs(colony) == {"a": 1, "b": 12, "c": 123, "d": 14}
    assert statuses(colony, run)["b"] == "failed"  # what was, stays


def test_failed_with_nothing_left_to_do_makes_no_run(colony: Colony) -> None:
    run = first(colony)
    result = colony("workflow", "rerun", run, "--failed")
    assert (result.out, result.err) == (f"{run}\n", f"{run} has completed all its steps: nothing to do\n")
    assert len(colony.lines("workflow", "history", "--json")) == 1


def test_failed_does_only_the_failed_batches(colony: Colony) -> None:
    text = """\
steps:
  - {name: list, run: "echo list >> ledger; echo '[5, 6, 7]'"}
  - {name: each, depends_on: [list], for_each: "{{steps.list.output}}", parallel: 1, run: "echo {{item}} >> ledger; [ {{item}} != 6 -o -e ok ] && echo {{item}}0"}
  - {name: four, depends_on: [list], parallel: 3, run: "echo p{{batch_id}} >> ledger; [ {{batch_id}} != 2 -o -e ok ] && echo {{batch_id}}"}
  - {name: sum, depends_on: [each, four], run: "echo {{steps.each.output}} {{steps.four.output}}"}
"""
    run = first(colony, text, code=1)
    done = {
        (line["step"], line["batch"])
        for line in colony.journal(f"runs/{run}/journal.jsonl")
        if line["type"] == "attempt_ended" and line["status"] == "completed" and line["batch"] is not None
    }
    (colony.root / "ok").touch()
    colony("workflow", "rerun", run, "--failed")
    names = {("each", n): str(5 + n) for n in range(3)} | {("four", n): f"p{n}" for n in range(3)}
    assert sorted(ledger(colony)) == sorted(name for unit, name in names.items() if unit not in done)
    assert done and "6" in ledger(colony) and "p2" in ledger(colony)
    assert outputs(colony)["sum"] == "[50,60,70] [0,1,2]"
    assert statuses(colony)["list"] == "cached" and statuses(colony)["each"] == "completed"
    why = next(step["why"] for step in status(colony)["steps"] if step["name"] == "each")
    assert why == f"taken from {run} ({sum(name == 'each' for name, _ in done)} of 3 batches)"


def test_a_step_that_failed_and_was_passed_over_is_done_with_what_used_it(colony: Colony) -> None:
    text = """\
steps:
  - {name: a, on_failure: continue, run: "echo a >> ledger; [ -e ok ] && echo 1"}
  - {name: b, depends_on: [a], run: "echo b >> ledger; jq -c .steps.a.output"}
  - {name: c, run: "echo c >> ledger"}
"""
    run = first(colony, text)
    assert outputs(colony)["b"] is None
    (colony.root / "ok").touch()
    colony("workflow", "rerun", run, "--only", "b")  # as it was: with the failure
    assert statuses(colony) == {"a": "failed", "b": "completed", "c": "cached"}
    colony("workflow", "rerun", run, "--failed")
    assert ledger(colony) == ["b", "a", "b"]
    assert outputs(colony)["b"] == 1


def test_the_workflow_is_taken_as_its_file_is_now(colony: Colony) -> None:
    run = first(colony, STEPS.replace("echo {{steps.b.output}}3", "exit 3"), code=1)
    colony.workflow("w", STEPS.replace("{{steps.b.output}}3", "{{steps.b.output}}mended"))
    result = colony("workflow", "rerun", run, "--failed")
    assert f"the workflow has changed since {run}: this run is of the file as it is now" in result.err
    assert outputs(colony)["c"] == "12mended" and "b" not in ledger(colony)
    same = status(colony)["run_id"]
    assert "has changed" not in colony("workflow", "rerun", same, "--from", "c").err
    # Other lines and another description do nothing else.
    file = colony.root / ".colony/workflows/w.yaml"
    file.write_text("# a comment\n\ndescription: x\n" + file.read_text())
    assert "has changed" not in colony("workflow", "rerun", same, "--from", "c").err


def test_a_new_step_is_done_and_what_depends_on_it_now(colony: Colony) -> None:
    run = first(colony)
    colony.workflow("w", STEPS.replace("depends_on: [b]", "depends_on: [b, e]") + '  - {name: e, run: "echo e >> ledger"}\n')
    colony("workflow", "rerun", run, "--failed")
    assert sorted(ledger(colony)) == ["c", "e"]
    colony("workflow", "rerun", run, "--only", "e")
    assert sorted(ledger(colony)) == ["c", "e", "e"]


def test_other_batches_are_other_work(colony: Colony) -> None:
    text = 'steps:\n  - {name: a, parallel: 2, run: "echo a{{batch_id}} >> ledger"}\n  - {name: b, run: "echo b >> ledger"}\n'
    run = first(colony, text)
    colony.workflow("w", text.replace("parallel: 2", "parallel: 3"))
    colony("workflow", "rerun", run, "--failed")
    assert sorted(ledger(colony)) == ["a0", "a1", "a2"]


def test_of_a_workflow_that_is_gone_the_runs_own_plan_is_done(colony: Colony) -> None:
    run = first(colony)
    (colony.root / ".colony/workflows/w.yaml").unlink()
    result = colony("workflow", "rerun", run, "--from", "c")
    assert "there is no workflow 'w' any more" in result.err and ledger(colony) == ["c"]


def test_a_broken_workflow_is_refused_and_nothing_is_made(colony: Colony) -> None:
    run = first(colony)
    colony.workflow("w", "steps: []\n")
    refused = colony("workflow", "rerun", run, check=False)
    assert refused.code == 2 and "w.yaml" in refused.err and len(refused.err.splitlines()) == 1
    assert len(colony.lines("workflow", "history", "--json")) == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--from", "bb"), 1, "did you mean 'b'"),
        (("--only", "nope"), 1, "unknown step 'nope'"),
        (("--only", "d"), 1, "step 'd' needs what 'a' did, and"),
        (("--from", "b", "--failed"), 2, "not allowed with"),
        (("--from",), 2, "expected one argument"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(colony: Colony, words: tuple[str, ...], code: int, says: str) -> None:
    run = first(colony, STEPS.replace("echo 1", "exit 1"), code=1)
    before = sorted(path for path in colony.root.rglob("*") if "cache" not in path.parts and "locks" not in path.parts)
    refused = colony("workflow", "rerun", run, *words, check=False)
    assert refused.code == code and says in refused.err and len(refused.err.splitlines()) == 1 and not refused.out
    after = sorted(path for path in colony.root.rglob("*") if "cache" not in path.parts and "locks" not in path.parts)
    assert before == after and ledger(colony) == []
    assert colony("workflow", "rerun", "r9", check=False).code == 1


def test_a_run_that_is_running_is_busy(colony: Colony) -> None:
    process, run = start(colony, "concurrency: 9\n" + WAITING)
    until(lambda: in_slow(colony))
    refused = colony("workflow", "rerun", run, "--from", "last", check=False)
    assert refused.code == 75 and run in refused.err
    kill(process.pid, *children(process.pid))
    process.communicate()
    busy = colony("workflow", "rerun", run, "--failed", check=False)  # its command lives on
    assert busy.code == 75 and "still at work" in busy.err
    (colony.root / "go").touch()
    until(lambda: statuses(colony, run)["slow"] == "completed")
    assert colony("workflow", "rerun", run, "--failed").code == 0
    assert ledger(colony) == ["first", "slow", "done", "last"]


def test_a_skipped_step_is_skipped_by_its_own_condition(colony: Colony) -> None:
    text = """\
steps:
  - {name: a, run: "cat value"}
  - {name: b, depends_on: [a], when: "{{steps.a.output}} > 1", run: "echo b >> ledger"}
  - {name: c, depends_on: [b], when: "{{steps.b.status}} == 'skipped'", run: "echo c >> ledger; echo 5"}
  - {name: d, depends_on: [c], run: "echo d >> ledger"}
""".replace("'skipped'", '\\"skipped\\"')
    (colony.root / "value").write_text("1")
    run = first(colony, text)
    colony("workflow", "rerun", run, "--from", "d")
    assert ledger(colony) == ["d"]
    assert statuses(colony) == {"a": "cached", "b": "skipped", "c": "cached", "d": "completed"}
    colony("workflow", "rerun", run, "--only", "d")
    assert statuses(colony) == {"a": "cached", "b": "skipped", "c": "cached", "d": "completed"}
    (colony.root / "value").write_text("2")
    colony("workflow", "rerun", run)
    assert statuses(colony) == {"a": "completed", "b": "completed", "c": "skipped", "d": "skipped"}


def test_the_new_run_stands_by_itself_when_the_old_one_is_gone(colony: Colony) -> None:
    text = "steps:\n  - {name: a, run: 'python3 -c \"print(list(range(20000)))\"'}\n  - {name: b, depends_on: [a], run: \"jq '.steps.a.output|length'\"}\n"
    run = first(colony, text)
    colony("workflow", "rerun", run, "--from", "b")
    again = status(colony)["run_id"]
    shutil.rmtree(colony.root / f".colony/runs/{run}")
    assert outputs(colony, again) == {"a": list(range(20000)), "b": 20000}
    colony("workflow", "rerun", again, "--from", "b")
    shutil.rmtree(colony.root / f".colony/runs/{again}")
    assert outputs(colony)["a"] == list(range(20000))


def test_an_output_that_is_gone_is_said_before_anything_is_made(colony: Colony) -> None:
    run = first(colony, "steps:\n  - {name: a, run: 'python3 -c \"print(list(range(20000)))\"'}\n  - {name: b, run: 'true'}\n")
    (colony.root / f".colony/runs/{run}/steps/a/1/output.json").unlink()
    refused = colony("workflow", "rerun", run, "--from", "b", check=False)
    assert refused.code == 1 and "is gone" in refused.err and "--from a" in refused.err
    assert len(colony.lines("workflow", "history", "--json")) == 1


def test_a_rerun_of_one_step_that_fails_is_resumed_as_such(colony: Colony) -> None:
    (colony.root / "b-fails").touch()
    run = first(colony, STEPS.replace("{name: a", "{name: z, on_failure: continue, run: exit 1}\n  - {name: a"), code=1)
    failed = colony("workflow", "rerun", run, "--only", "b", check=False)
    assert failed.code == 1 and statuses(colony)["b"] == "failed" and statuses(colony)["c"] == "skipped"
    (colony.root / "b-fails").unlink()
    assert colony("workflow", "resume").code == 0
    assert ledger(colony) == ["b", "b"]
    assert statuses(colony) | {"d": ""} == {"z": "failed", "a": "cached", "b": "completed", "c": "skipped", "d": ""}
    assert next(step for step in status(colony)["steps"] if step["name"] == "c")["error"] == "only 'b' is done again"


def test_a_rerun_that_is_shot_goes_on_where_it_was(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    (colony.root / "go").touch()
    process.communicate(timeout=120)
    (colony.root / "go").unlink()
    (colony.root / "ledger").write_text("")
    again = colony.start("workflow", "rerun", run, "--from", "slow")
    assert again.stdout is not None
    second = again.stdout.readline().strip()
    until(lambda: in_slow(colony))
    kill(again.pid)
    again.communicate()
    (colony.root / "go").touch()
    assert colony("workflow", "resume", second).code == 0
    assert ledger(colony) == ["slow", "done", "last"]
    assert statuses(colony, second) == {"first": "cached", "slow": "completed", "last": "completed"}


def test_detached_and_quiet(colony: Colony) -> None:
    run = first(colony)
    result = colony("workflow", "rerun", run, "--from", "c", "--detach", "-q")
    assert result.err == ""
    until(lambda: status(colony, result.out.strip())["status"] == "completed")
    assert ledger(colony) == ["c"]


def test_a_thousand_steps_are_taken_by_one_record_each(colony: Colony) -> None:
    lines = [f"  - {{name: s{n}, depends_on: [{f's{n - 100}' if n >= 100 else ''}], run: 'echo {n}'}}\n" for n in range(1000)]
    run = first(colony, "steps:\n" + "".join(lines))
    colony("workflow", "rerun", run, "--from", "s950", "-q")
    again = status(colony)
    records = colony.journal(f"runs/{again['run_id']}/journal.jsonl")
    taken = [record for record in records if record["type"] == "step_cached"]
    assert len(taken) == 999 and len(records) == 999 + 2 + 2
    assert [step["output"] for step in again["steps"]] == list(range(1000))
    # All that is taken is in the journal before anything is done, and nothing of it is written again.
    assert [record["type"] for record in records[999:]] == ["run_started", "attempt_started", "attempt_ended", "run_ended"]


def test_every_shape_meets_its_schema(colony: Colony) -> None:
    import jsonschema

    first(colony)
    colony("workflow", "rerun", "latest", "--only", "b")
    for name, value in (("run", status(colony)), ("history", colony.lines("workflow", "history", "--json")[0])):
        schema = json.loads((Path(__file__).parents[2] / f"schemas/{name}.schema.json").read_text())
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
