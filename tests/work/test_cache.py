"""Steps with `cache`: what they do anew and what they take from an earlier success, and that they say why."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony
from tests.work.test_runs import children, kill, start, until


def run(colony: Colony, *words: str, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run the workflow `w` as it stands; returns the run's record."""
    result = colony("workflow", "run", "w", *words, check=False, env=env)
    assert result.code == code, result
    found: dict[str, Any] = colony.json("workflow", "status", result.out.splitlines()[0], "--json")
    return found


def step(record: dict[str, Any], name: str = "a") -> dict[str, Any]:
    return next(step for step in record["steps"] if step["name"] == name)


def told(colony: Colony, *words: str, **settings: Any) -> tuple[str, str | None]:
    """(status, why) of the step `a` of a new run."""
    found = step(run(colony, *words, **settings))
    return found["status"], found["why"]


def ledger(colony: Colony) -> list[str]:
    path = colony.root / "ledger"
    return path.read_text().split() if path.exists() else []


CACHED = """\
steps:
  - name: a
    cache: {inputs: ["data/*.csv"]}
    run: echo a >> ledger; cat data/*.csv | wc -l
"""


def test_a_step_is_done_once_while_nothing_changes_and_says_so(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    colony.write("data/one.csv", "1\n2\n")
    first = run(colony)
    assert (step(first)["status"], step(first)["why"]) == ("completed", "not cached: no earlier success on record")
    for _ in range(2):
        record = run(colony)
        assert record["status"] == "completed"
        again = step(record)
        assert (again["status"], again["why"]) == ("cached", f"nothing changed since {first['run_id']}")
        assert again["output"] == 2 and again["attempts"] == 0 and again["error"] is None
    assert ledger(colony) == ["a"]
    assert f"nothing changed since {first['run_id']}" in colony("workflow", "status").out
    assert f"✓ a cached: nothing changed since {first['run_id']}" in colony("workflow", "run", "w").err
    lines = [line["message"] for line in colony.lines("logs", "colony", "--json")]
    assert "a not cached: no earlier success on record" in lines
    assert f"a cached: nothing changed since {first['run_id']}" in lines


def test_what_changed_is_told_in_words(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    colony.write("data/one.csv", "1\n")
    first = run(colony)["run_id"]
    colony.write("data/one.csv", "2\n")
    assert told(colony) == ("completed", f"not cached: data/one.csv changed since {first}")
    colony.write("data/two.csv", "2\n")
    assert told(colony)[1] == "not cached: a new input data/two.csv"
    (colony.root / "data/two.csv").rename(colony.root / "data/three.csv")
    assert told(colony)[1] == "not cached: a new input data/three.csv, the input data/two.csv is gone"
    colony.workflow("w", CACHED.replace("wc -l", "wc -c"))
    assert told(colony)[1] == "not cached: the command changed"
    colony.workflow("w", CACHED.replace("wc -l", "wc -c") + "    instructions: count\n    agent: worker\n")
    assert told(colony)[1] == "not cached: the instructions changed, it is another agent's"
    colony.workflow("w", CACHED.replace("wc -l", "wc -c") + "    env: {X: 1}\n    output_schema: {type: integer}\n")
    assert told(colony)[1].startswith("not cached: the instructions changed, it is another agent's, the output_schema changed and 1 more")  # type: ignore[union-attr]
    assert len(ledger(colony)) == 7
    assert told(colony)[0] == "cached"


def test_what_was_before_is_found_again_whatever_came_between(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    colony.write("data/one.csv", "1\n")
    first = run(colony)["run_id"]
    colony.write("data/one.csv", "1\n2\n")
    run(colony)
    colony.write("data/one.csv", "1\n")
    assert told(colony) == ("cached", f"nothing changed since {first}")
    assert ledger(colony) == ["a", "a"]


def test_references_count_by_their_values(colony: Colony) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: x, run: cat x}\n"
        "  - {name: a, depends_on: [x], cache: {}, run: 'echo a >> ledger; echo {{steps.x.output.n}} {{ date }}'}\n",
    )
    colony.write("x", '{"n": 1, "other": 1}')
    assert told(colony, "--date", "2013-02-08")[0] == "completed"
    colony.write("x", '{"n": 1, "other": 2}')  # what is not referred to does not count
    assert told(colony, "--date", "2013-02-08")[0] == "cached"
    colony.write("x", '{"n": 2, "other": 2}')
    assert told(colony, "--date", "2013-02-08")[1] == "not cached: {{steps.x.output.n}} is another value"
    assert told(colony, "--date", "2013-02-09")[1] == "not cached: {{date}} is another value"
    assert told(colony, "--date", "2013-02-08")[0] == "cached"
    assert len(ledger(colony)) == 3


@pytest.mark.parametrize("source", ["", " /dev/stdin", " - < /proc/self/fd/0"])
def test_a_command_that_reads_its_standard_input_is_done_again_when_that_changes(colony: Colony, source: str) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: x, run: cat x}\n"
        f"  - {{name: a, depends_on: [x], cache: {{}}, run: 'echo a >> ledger; cat{source} | jq .steps.x.output.n'}}\n"
        "  - {name: b, depends_on: [x], cache: {}, run: 'echo b >> ledger; echo 1'}\n",
    )
    colony.write("x", '{"n": 1}')
    run(colony)
    record = run(colony)
    assert [step(record, name)["status"] for name in "xab"] == ["completed", "cached", "cached"]
    colony.write("x", '{"n": 2}')
    record = run(colony)
    assert step(record)["why"] == "not cached: what it reads on standard input is another value"
    assert step(record)["output"] == 2 and step(record, "b")["status"] == "cached"
    colony.write("x", '{"n": 1}')
    assert step(run(colony))["output"] == 1
    assert sorted(ledger(colony)) == ["a", "a", "b"]


@pytest.mark.parametrize("command", ["echo $COLONY_DATE", "python3 -c 'import os; print(os.environ[\"COLONY_DATE\"])'"])
def test_a_command_that_takes_the_date_from_its_environment_is_another_each_day(colony: Colony, command: str) -> None:
    colony.workflow("w", f"steps:\n  - name: a\n    cache: {{}}\n    run: {command}\n")
    assert [step(run(colony, "--date", f"2013-02-0{day}"))["output"] for day in (8, 9, 8)] == [
        "2013-02-08", "2013-02-09", "2013-02-08",
    ]  # fmt: skip
    assert step(run(colony, "--date", "2013-02-09"))["status"] == "cached"


def test_a_run_id_is_never_the_same_and_validate_warns_of_it(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, cache: {}, run: "echo {{run.id}}"}\n')
    run(colony)
    assert told(colony) == ("completed", "not cached: {{run.id}} is another value")
    assert "warning: w: step 'a' has 'cache' and takes {{run.id}}, so it is never reused" in colony("validate").err


def test_steps_of_env_count_as_they_are_resolved_and_secrets_are_not_written(colony: Colony) -> None:
    colony.write("colony.yml", "name: t\nagents:\n  - {id: worker, role: r, env: {KEY: $OUTER_KEY}}\n")
    colony.workflow(
        "w", "steps:\n  - {name: a, agent: worker, cache: {}, env: {MODE: $HOW, TOKEN: 'x-$OUTER_KEY'}, run: 'echo a >> ledger'}\n"
    )
    outside = {"OUTER_KEY": "s3cr3t-value", "HOW": "fast"}
    assert told(colony, env=outside)[0] == "completed"
    assert told(colony, env=outside)[0] == "cached"
    assert told(colony, env={**outside, "HOW": "slow"})[1] == "not cached: the variable MODE is another value"
    assert told(colony, env={**outside, "OUTER_KEY": "an0ther-one"})[1].startswith("not cached: the variable ")  # type: ignore[union-attr]
    import hashlib

    plain = [hashlib.sha256(json.dumps("x-s3cr3t-value").encode()).hexdigest().encode(), b"s3cr3t-value"]
    for path in (colony.root / ".colony").rglob("*"):
        assert not (path.is_file() and any(word in path.read_bytes() for word in plain)), path


def test_what_a_step_expects_must_still_be_there_as_it_was_left(colony: Colony) -> None:
    colony.workflow(
        "w", "steps:\n  - {name: a, cache: {}, expect: {files: ['reports/*.md']}, run: 'echo a >> ledger; echo x > reports/x.md'}\n"
    )
    (colony.root / "reports").mkdir()
    first = run(colony)["run_id"]
    assert told(colony)[0] == "cached"
    colony.write("reports/x.md", "y\n")
    assert told(colony)[1] == f"not cached: reports/x.md, which it expects, has changed since {first}"
    assert (colony.root / "reports/x.md").read_text() == "x\n"
    (colony.root / "reports/x.md").unlink()
    assert told(colony)[1].startswith("not cached: reports/x.md, which it expects, is gone since r")  # type: ignore[union-attr]
    assert told(colony)[0] == "cached"
    assert len(ledger(colony)) == 3


def test_only_successes_are_reused(colony: Colony) -> None:
    colony.workflow(
        "w", "steps:\n  - {name: a, cache: {}, retry: {max_attempts: 2, delay: 10ms}, run: 'echo a >> ledger; [ -e ok ]'}\n"
    )
    run(colony, code=1)
    assert ledger(colony) == ["a", "a"]
    assert step(run(colony, code=1))["why"] == "not cached: no earlier success on record"
    (colony.root / "ok").touch()
    assert told(colony)[0] == "completed"
    assert told(colony)[0] == "cached"
    assert len(ledger(colony)) == 5


def test_an_input_that_changes_while_the_step_works_tells_nothing_about_its_output(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, cache: {inputs: [data.txt]}, run: 'echo a >> ledger; cat data.txt; echo more >> data.txt'}\n")
    colony.write("data.txt", "1\n")
    first = run(colony)["run_id"]
    colony.write("data.txt", "1\n")
    assert told(colony)[1] == f"not cached: data.txt was changed while {first} did it"
    assert len(ledger(colony)) == 2


def test_no_cache_does_all_anew_and_what_it_does_can_be_reused(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    colony.write("data/x.csv", "1")
    run(colony)
    fresh = run(colony, "--no-cache")
    assert step(fresh)["why"] == "not cached: the run was started with --no-cache"
    assert told(colony) == ("cached", f"nothing changed since {fresh['run_id']}")
    assert ledger(colony) == ["a", "a"]


def test_a_pattern_that_matches_nothing_is_named(colony: Colony) -> None:
    colony.workflow("w", CACHED.replace("cat data/*.csv | wc -l", "true"))
    assert told(colony)[1] == "not cached: no earlier success on record; no file matches 'data/*.csv'"


def test_batches_are_reused_one_by_one_and_by_their_items(colony: Colony) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: list, run: cat items}\n"
        "  - {name: a, depends_on: [list], for_each: '{{steps.list.output}}', cache: {inputs: ['in/{{item}}']},\n"
        "     run: 'echo {{item}} >> ledger; cat in/{{item}}'}\n",
    )
    for name in "xyz":
        colony.write(f"in/{name}", f"{name}1")
    colony.write("items", '["x", "y"]')
    run(colony)
    colony.write("items", '["z", "x", "y"]')
    record = run(colony)
    assert step(record)["status"] == "completed" and step(record)["output"] == ["z1", "x1", "y1"]
    assert step(record)["batches"] == {"count": 3, "completed": 3, "cached": 2}
    assert step(record)["why"] == "batch 0 not cached: no earlier success on record"
    colony.write("in/x", "x2")
    record = run(colony)
    assert step(record)["output"] == ["z1", "x2", "y1"]
    assert step(record)["why"].startswith("batch 1 not cached: in/x changed since r")
    assert step(run(colony))["status"] == "cached"
    assert sorted(ledger(colony)) == ["x", "x", "y", "z"]


def test_batches_of_a_parallel_step_are_not_taken_for_each_other(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, parallel: 3, cache: {}, run: 'echo b >> ledger; echo $COLONY_BATCH_ID'}\n")
    assert step(run(colony))["output"] == [0, 1, 2]
    assert step(run(colony))["output"] == [0, 1, 2]
    assert len(ledger(colony)) == 3


def test_a_step_after_a_cached_one_sees_it_as_completed(colony: Colony) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: a, cache: {}, run: 'echo 1'}\n"
        "  - {name: b, depends_on: [a], when: '{{steps.a.status}} == \"completed\"', run: 'jq -r .steps.a.status'}\n",
    )
    run(colony)
    record = run(colony)
    assert [step(record, name)["status"] for name in "ab"] == ["cached", "completed"]
    assert step(record, "b")["output"] == "completed"


def test_a_large_output_is_the_new_runs_own(colony: Colony) -> None:
    colony.workflow(
        "w", "steps:\n  - {name: a, cache: {}, run: 'python3 -c \"print(list(range(20000)))\"'}\n  - {name: b, depends_on: [a], run: \"jq '.steps.a.output|length'\"}\n"
    )
    first = run(colony)["run_id"]
    second = run(colony)
    assert step(second)["status"] == "cached"
    shutil.rmtree(colony.root / f".colony/runs/{first}")
    again = colony.json("workflow", "status", second["run_id"], "--json")
    assert step(again)["output"] == list(range(20000))
    third = run(colony)  # the run that took it is a success to take from, too
    assert (step(third)["status"], step(third)["why"]) == ("cached", f"nothing changed since {first}")
    assert step(third, "b")["output"] == 20000


def test_the_cache_folder_may_go_at_any_time(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    first = run(colony)["run_id"]
    for damage in (lambda path: shutil.rmtree(path), lambda path: [each.write_text("{") for each in path.iterdir()]):
        damage(colony.root / ".colony/cache")
        assert told(colony) == ("cached", f"nothing changed since {first}; no file matches 'data/*.csv'")
    assert ledger(colony) == ["a"]


def test_runs_that_are_gone_are_not_taken_from_and_those_in_their_shade_are(colony: Colony) -> None:
    colony.workflow("w", CACHED)
    colony.write("data/x.csv", "1\n")
    first = run(colony)["run_id"]
    second = run(colony, "--no-cache")["run_id"]
    assert told(colony) == ("cached", f"nothing changed since {second}")
    third = colony.json("workflow", "status", "--json")["run_id"]
    for gone in (second, third):
        shutil.rmtree(colony.root / f".colony/runs/{gone}")
    assert told(colony) == ("cached", f"nothing changed since {first}")
    shutil.rmtree(colony.root / ".colony/runs")
    assert told(colony)[1] == "not cached: no earlier success on record"


def test_a_lost_output_of_an_earlier_run_is_made_anew(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, cache: {}, run: 'python3 -c \"print(list(range(20000)))\"'}\n")
    first = run(colony)["run_id"]
    (colony.root / f".colony/runs/{first}/steps/a/1/output.json").unlink()
    assert told(colony) == ("completed", "not cached: no earlier success on record")


def test_a_success_whose_engine_died_is_an_earlier_success(colony: Colony) -> None:
    steps = "steps:\n  - {name: a, cache: {inputs: [data]}, run: 'echo a >> ledger; while [ ! -e go ]; do sleep 0.05; done; echo 5'}\n"
    colony.write("data", "1")
    process, first = start(colony, steps)
    until(lambda: ledger(colony) == ["a"])
    kill(process.pid, *children(process.pid))  # engine and supervisor: the command records its end by itself
    process.communicate()
    (colony.root / "go").touch()
    until(lambda: colony.json("workflow", "status", first, "--json")["steps"][0]["status"] == "completed")
    record = run(colony)
    assert (step(record)["status"], step(record)["output"]) == ("cached", 5)
    assert ledger(colony) == ["a"]
    assert colony("workflow", "resume", first).code == 0


def test_a_run_that_is_shot_between_taking_and_going_on_loses_and_repeats_nothing(colony: Colony) -> None:
    names = [f"s{n}" for n in range(40)]
    lines = [
        f"  - {{name: {name}, depends_on: [{names[n - 1] if n else ''}], cache: {{}}, run: 'echo {name} >> ledger; echo {n}'}}\n"
        for n, name in enumerate(names)
    ]
    colony.workflow("w", "steps:\n" + "".join(lines))
    run(colony)
    process = colony.start("workflow", "run", "w", "-q")
    assert process.stdout is not None
    second = process.stdout.readline().strip()
    journal = colony.root / f".colony/runs/{second}/journal.jsonl"
    until(lambda: journal.exists() and b"step_cached" in journal.read_bytes())
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert colony("workflow", "resume", second).code == 0
    record = colony.json("workflow", "status", second, "--json")
    assert {each["status"] for each in record["steps"]} == {"cached"}
    assert [each["output"] for each in record["steps"]] == list(range(40))
    assert ledger(colony) == names
    taken = [each["step"] for each in colony.journal(f"runs/{second}/journal.jsonl") if each["type"] == "step_cached"]
    assert taken == names


def test_an_approval_is_asked_before_and_a_persons_word_is_no_success_to_reuse(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, cache: {}, approval: true, run: 'echo a >> ledger; echo 1'}\n")
    for expected in ("completed", "cached"):
        waiting = colony("workflow", "run", "w", check=False)
        assert waiting.code == 75
        colony("workflow", "approve", "latest", "a")
        colony("workflow", "resume")
        assert colony.json("workflow", "status", "--json")["steps"][0]["status"] == expected
    assert ledger(colony) == ["a"]


def test_run_step_takes_what_the_engine_would_take(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: b, run: 'test -e ok'}\n  - {name: a, cache: {}, depends_on: [b], run: 'echo a >> ledger; echo 7'}\n")
    (colony.root / "ok").touch()
    run(colony)
    (colony.root / "ok").unlink()
    run(colony, code=1)
    (colony.root / "ok").touch()
    colony("run-step", "latest", "b")
    done = colony("run-step", "latest", "a")
    assert done.out == "7\n" and "cached" in done.err
    assert ledger(colony) == ["a"]


def test_what_is_no_file_or_cannot_be_read_only_keeps_the_step_from_being_reused(colony: Colony) -> None:
    colony.workflow("w", CACHED.replace("cat data/*.csv | wc -l", "echo 1").replace('["data/*.csv"]', "[data]"))
    (colony.root / "data").mkdir()
    os.mkfifo(colony.root / "data/fifo")
    (colony.root / "data/nowhere").symlink_to("nothing")
    assert told(colony)[0] == "completed"  # neither is a file
    assert told(colony)[0] == "cached"
    (colony.root / "data" / os.fsdecode(b"\xff.csv")).write_text("1")
    status, why = told(colony)
    assert status == "completed" and why is not None and "is not UTF-8 text" in why and why.startswith("not cached: ")


def test_values_of_references_are_no_patterns(colony: Colony) -> None:
    colony.workflow(
        "w",
        "input: {type: object, properties: {name: {type: string}}}\n"
        "steps:\n  - {name: a, cache: {inputs: ['data/{{input.name}}']}, run: 'echo a >> ledger'}\n",
    )
    colony.write("data/[a]*", "1")
    colony.write("data/a1", "1")
    run(colony, "--input", '{"name": "[a]*"}')
    colony.write("data/a1", "2")
    assert told(colony, "--input", '{"name": "[a]*"}')[0] == "cached"
    colony.write("data/[a]*", "2")
    assert told(colony, "--input", '{"name": "[a]*"}')[1].startswith("not cached: data/[a]* changed")  # type: ignore[union-attr]


def test_a_reference_in_cache_inputs_is_checked_as_any_other(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, cache: {inputs: ['{{steps.b.output}}']}, run: 'true'}\n")
    refused = colony("workflow", "run", "w", check=False)
    assert refused.code == 2 and "w.yaml:3" in refused.err and len(refused.err.splitlines()) == 1


def test_ctrl_c_is_heard_while_a_large_input_is_read(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, cache: {inputs: [large]}, run: 'echo a >> ledger'}\n")
    with (colony.root / "large").open("wb") as file:
        file.truncate(1 << 40)  # it has no blocks; nobody reads it to its end within the time of this test
    process = colony.start("workflow", "run", "w")
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    journal = colony.root / f".colony/runs/{first}/journal.jsonl"
    until(lambda: journal.exists() and b"run_started" in journal.read_bytes())
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130 and ledger(colony) == []
    (colony.root / "large").write_text("small")
    assert colony("workflow", "resume").code == 0 and ledger(colony) == ["a"]


def test_nothing_is_started_when_another_step_fails_while_a_large_input_is_read(colony: Colony) -> None:
    colony.workflow(
        "w",
        "steps:\n  - {name: b, run: 'sleep 0.5; exit 3'}\n"
        "  - {name: a, cache: {inputs: [large]}, run: 'echo a >> ledger'}\n",
    )
    with (colony.root / "large").open("wb") as file:
        file.truncate(1 << 40)
    record = run(colony, code=1)
    assert [step(record, name)["status"] for name in "ba"] == ["failed", "cancelled"] and ledger(colony) == []


def test_a_plan_without_cache_loads_nothing_of_it(colony: Colony) -> None:
    import subprocess
    import sys

    from tests.conftest import BIN, clean_environment

    loaded = {}
    for name, cache in (("w", ""), ("c", "cache: {}, ")):
        colony.workflow(name, f"steps:\n  - {{name: a, {cache}run: 'true'}}\n")
        done = subprocess.run(
            [sys.executable, "-X", "importtime", BIN / "colony-workflow", "run", name],
            cwd=colony.root, capture_output=True, text=True, env=clean_environment(),
        )  # fmt: skip
        assert done.returncode == 0
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        loaded[name] = {line.rsplit("|", 1)[1].strip() for line in lines}
    assert "colony_lib.work.reuse" in loaded["c"]
    assert not loaded["w"] & {"colony_lib.work.reuse", "colony_lib.store.successes", "hashlib", "glob"}


def test_the_record_meets_its_schema(colony: Colony) -> None:
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "schemas/run.schema.json").read_text())
    colony.workflow("w", CACHED + "  - {name: p, parallel: 2, cache: {}, run: 'true'}\n")
    for _ in range(2):
        record = run(colony)
        jsonschema.validate(record, schema, cls=jsonschema.Draft202012Validator)
    assert step(record, "p")["status"] == "cached"
