"""Steps that are commands: what they get, what counts as their output, and what counts as success."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.work import wrapper
from tests.conftest import Colony


def run(colony: Colony, steps: str, *words: str, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a workflow `w` with these steps; returns the run's record."""
    colony.workflow("w", steps)
    result = colony("workflow", "run", "w", *words, check=False, env=env)
    assert result.code == code, result
    return colony.json("workflow", "status", result.out.splitlines()[0], "--json")


def step(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in record["steps"] if step["name"] == name)


def test_the_first_line_of_standard_output_is_the_run_id_alone(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - name: a\n    run: echo hello\n")
    result = colony("workflow", "run", "w")
    assert result.out == colony.json("workflow", "status", "--json")["run_id"] + "\n"


def test_a_json_output_reaches_the_next_step_by_reference_and_by_standard_input(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - name: fetch-data
    run: echo '{"rows":3,"files":["a b.json"]}'
    output: raw
  - name: use
    depends_on: [fetch-data]
    run: |
      printf '%s|' {{steps.fetch-data.output.rows}} {{steps.fetch-data.output.files.0}} {{raw.rows}} "{{date}}"
      jq -r '.steps["fetch-data"].output.rows, .steps["fetch-data"].status, .date, .workflow' | paste -sd,
""",
        "--date",
        "2013-02-08",
    )
    assert step(record, "use")["output"] == "3|a b.json|3|2013-02-08|3,completed,2013-02-08,w"


def test_a_command_gets_the_variables_of_the_contract(colony: Colony) -> None:
    names = ["ROOT", "RUN_ID", "WORKFLOW", "STEP", "AGENT", "ATTEMPT", "BATCH_ID", "DATE"]
    text = "|".join(f"$COLONY_{name}" for name in names)
    record = run(colony, f'steps:\n  - name: s\n    agent: worker\n    run: echo "{text}"\n', "--date", "2013-02-08")
    expected = [os.path.realpath(colony.root), record["run_id"], "w", "s", "worker", "1", "", "2013-02-08"]
    assert step(record, "s")["output"].split("|") == expected


def test_what_is_written_to_colony_output_is_the_output_and_not_standard_output(colony: Colony) -> None:
    record = run(colony, "steps:\n  - name: s\n    run: echo talk; echo '{\"n\":1}' > $COLONY_OUTPUT\n")
    assert step(record, "s")["output"] == {"n": 1}


def test_text_output_loses_only_its_last_newlines(colony: Colony) -> None:
    record = run(colony, "steps:\n  - name: s\n    run: printf ' a\\n\\nb \\n\\n'\n")
    assert step(record, "s")["output"] == " a\n\nb "


def test_an_output_of_megabytes_arrives_whole(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - name: big
    run: python3 -c 'import json; print(json.dumps([list(range(1000))] * 1000))'
  - name: count
    depends_on: [big]
    run: jq '.steps.big.output | length'
""",
    )
    assert step(record, "count")["output"] == 1000
    assert len(step(record, "big")["output"]) == 1000


def test_a_failing_step_fails_the_run_and_what_depends_on_it_is_cancelled(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: a, run: "echo no such table >&2; exit 3"}
  - {name: b, depends_on: [a], run: "touch b-ran"}
""",
        code=1,
    )
    assert record["status"] == "failed"
    assert step(record, "a")["error"] == "exit status 3: no such table"
    assert step(record, "b")["status"] == "cancelled"
    assert not (colony.root / "b-ran").exists()


def test_on_failure_continue_lets_the_dependants_run_with_null(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: a, run: "exit 1", on_failure: continue}
  - {name: b, depends_on: [a], run: "jq -c '[.steps.a.status, .steps.a.output]'"}
""",
    )
    assert record["status"] == "completed"
    assert step(record, "b")["output"] == ["failed", None]


def test_a_retry_waits_and_counts_and_may_succeed(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - name: a
    run: echo x >> tries; [ $COLONY_ATTEMPT = 3 ]
    retry: {max_attempts: 3, backoff: fixed, delay: 20ms}
""",
    )
    assert step(record, "a")["attempts"] == 3
    assert (colony.root / "tries").read_text() == "x\nx\nx\n"


def test_retries_end_at_max_attempts(colony: Colony) -> None:
    steps = 'steps:\n  - {name: a, run: "echo x >> tries; exit 1", retry: {max_attempts: 2, delay: 10ms}}\n'
    record = run(colony, steps, code=1)
    assert step(record, "a")["attempts"] == 2
    assert (colony.root / "tries").read_text() == "x\nx\n"


def test_exit_75_asks_for_another_attempt_without_using_one_up(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - name: a
    run: "[ $COLONY_ATTEMPT -ge 4 ] || exit 75"
    retry: {max_attempts: 1, backoff: fixed, delay: 10ms}
""",
    )
    assert record["status"] == "completed"
    assert step(record, "a")["attempts"] == 4


def test_a_timeout_ends_the_whole_process_group_and_counts_as_a_failed_attempt(colony: Colony) -> None:
    began = time.monotonic()
    record = run(
        colony,
        """\
steps:
  - {name: a, timeout: 300ms, run: "sleep 300 & echo $! > child; sleep 300"}
""",
        code=1,
    )
    assert time.monotonic() - began < 200
    assert step(record, "a")["error"] == "timed out after 0.3s"
    child = int((colony.root / "child").read_text())
    assert not _alive(child)


def test_a_command_that_ignores_term_is_killed(colony: Colony) -> None:
    record = run(
        colony,
        "steps:\n  - {name: a, timeout: 200ms, run: \"trap '' TERM; echo $$ > child; while :; do sleep 0.1; done\"}\n",
        code=1,
    )
    assert step(record, "a")["error"] == "timed out after 0.2s"
    assert not _alive(int((colony.root / "child").read_text()))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_when_false_skips_the_step_and_those_that_depend_on_it_but_for_their_own_when(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: a, run: "echo '{\\"status\\": \\"FAIL\\"}'"}
  - {name: load, depends_on: [a], when: "{{steps.a.output.status}} in ['PASS', 'WARN']", run: "touch loaded"}
  - {name: after, depends_on: [load], run: "touch after"}
  - {name: report, depends_on: [load], when: "{{steps.load.status}} == 'skipped'", run: "echo reported"}
""".replace("['PASS', 'WARN']", '[\\"PASS\\", \\"WARN\\"]').replace("'skipped'", '\\"skipped\\"'),
    )
    assert [step(record, name)["status"] for name in ("load", "after", "report")] == ["skipped", "skipped", "completed"]
    assert not (colony.root / "loaded").exists() and not (colony.root / "after").exists()


def test_a_missing_field_fails_the_step_and_says_which_keys_there_were(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: a, run: "echo '{\\"rows\\": 1, \\"files\\": []}'"}
  - {name: b, depends_on: [a], run: "echo {{steps.a.output.row_count}}"}
""",
        code=1,
    )
    assert "rows" in step(record, "b")["error"] and "files" in step(record, "b")["error"]


def test_values_are_one_word_whatever_they_hold(colony: Colony) -> None:
    hostile = "$(touch pwned) `touch pwned`; touch pwned # 'x' \"y\" \\ *\nz"
    record = run(
        colony,
        """\
input: {type: object, properties: {x: {type: string}}}
steps:
  - {name: a, run: "printf '%s|' {{input.x}} \\"{{input.x}}\\" '{{input.x}}'"}
""",
        "--input",
        json.dumps({"x": hostile}),
    )
    assert step(record, "a")["output"] == f"{hostile}|" * 3
    assert not (colony.root / "pwned").exists()


def test_an_output_that_does_not_meet_its_schema_fails_the_step(colony: Colony) -> None:
    steps = """\
steps:
  - name: a
    run: echo '{"rows":"many"}'
    output_schema: {type: object, properties: {rows: {type: integer}}}
"""
    assert "output.rows" in step(run(colony, steps, code=1), "a")["error"]


def test_expected_files_must_be_there_be_fresh_and_parse(colony: Colony) -> None:
    steps = "steps:\n  - {name: a, run: \"%s\", expect: {files: ['out/{{date}}.json']}}\n"
    colony.write("out/2013-01-01.json", "{}")
    cases = {
        "true": "was not written by this attempt",
        "rm out/2013-01-01.json": "is not there",
        "echo '{' > out/2013-01-01.json": "not JSON",
    }
    for command, error in cases.items():
        record = run(colony, steps % command, "--date", "2013-01-01", code=1)
        assert error in step(record, "a")["error"]
    run(colony, steps % "echo [] > out/2013-01-01.json", "--date", "2013-01-01")


def test_for_each_runs_one_batch_an_item_and_keeps_their_order(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: list, run: "echo '[{\\"f\\":\\"a\\"},{\\"f\\":\\"b c\\"},{\\"f\\":\\"d\\"}]'"}
  - {name: each, depends_on: [list], for_each: "{{steps.list.output}}", parallel: 2, run: "echo {{item.f}} $COLONY_BATCH_ID {{batch_count}}"}
  - {name: all, depends_on: [each], run: "echo {{steps.each.output}}"}
""",
    )
    assert step(record, "each")["output"] == ["a 0 3", "b c 1 3", "d 2 3"]
    assert step(record, "all")["output"] == ["a 0 3", "b c 1 3", "d 2 3"]


def test_for_each_over_nothing_completes_with_an_empty_list(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: list, run: "echo '[]'"}
  - {name: each, depends_on: [list], for_each: "{{steps.list.output}}", run: "exit 1"}
  - {name: after, depends_on: [each], run: "echo {{steps.each.output}}"}
""",
    )
    assert step(record, "each")["status"] == "completed" and step(record, "each")["output"] == []
    assert step(record, "after")["output"] == []


def test_for_each_over_something_else_fails_the_step(colony: Colony) -> None:
    steps = """\
steps:
  - {name: list, run: "echo 7"}
  - {name: each, depends_on: [list], for_each: "{{steps.list.output}}", run: "true"}
"""
    assert "needs a list" in step(run(colony, steps, code=1), "each")["error"]


def test_parallel_without_for_each_runs_the_step_so_many_times(colony: Colony) -> None:
    record = run(colony, 'steps:\n  - {name: p, parallel: 4, run: "echo {{batch_id}}/{{batch_count}}"}\n')
    assert step(record, "p")["output"] == ["0/4", "1/4", "2/4", "3/4"]


def test_a_retry_runs_the_failed_batches_only(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - name: p
    parallel: 3
    run: echo $COLONY_BATCH_ID >> ran; [ $COLONY_BATCH_ID != 1 ] || [ $COLONY_ATTEMPT = 2 ]
    retry: {max_attempts: 2, delay: 10ms}
""",
    )
    assert record["status"] == "completed"
    assert sorted((colony.root / "ran").read_text().split()) == ["0", "1", "1", "2"]


def test_error_handling_runs_when_a_run_fails_and_the_run_stays_failed(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: load, run: "echo broken >&2; exit 2"}
error_handling:
  - {step: notify, run: "printf '%s: %s' {{failure.step}} {{failure.error}} > told"}
""",
        code=1,
    )
    assert (colony.root / "told").read_text() == "load: exit status 2: broken"
    assert record["status"] == "failed" and record["error"] == "load: exit status 2: broken"
    assert step(record, "notify")["status"] == "completed"


def test_error_handling_does_not_run_when_all_is_well(colony: Colony) -> None:
    run(colony, 'steps:\n  - {name: a, run: "true"}\nerror_handling:\n  - {step: notify, run: "touch told"}\n')
    assert not (colony.root / "told").exists()


def test_standard_error_reaches_the_agents_log_while_the_step_runs(colony: Colony) -> None:
    colony.workflow(
        "w", 'steps:\n  - {name: a, agent: worker, run: "echo ERROR one >&2; while [ ! -e go ]; do sleep 0.05; done"}\n'
    )
    process = colony.start("workflow", "run", "w")
    deadline = time.monotonic() + 90
    found: list[Any] = []
    while not found and time.monotonic() < deadline:
        found = [line for line in colony.lines("logs", "worker", "--json") if line["message"].endswith("one")]
        time.sleep(0.1)
    (colony.root / "go").touch()
    assert process.wait(120) == 0
    process.communicate()
    assert found[0]["level"] == "error" and found[0]["step"] == "a" and found[0]["agent"] == "worker"


SECRET_CONFIG = """\
name: t
agents:
  - id: worker
    role: r
    env: {API_KEY: $OUTER_KEY, PLAIN: visible}
  - id: other
    role: r
"""


def test_secrets_never_reach_a_file_of_the_colony_in_any_form(colony: Colony) -> None:
    colony.write("colony.yml", SECRET_CONFIG)
    secret = "s3cr3t/va lue\"'$x"
    record = run(
        colony,
        """\
steps:
  - name: a
    agent: worker
    run: |
      echo "$API_KEY" >&2; echo "$API_KEY" | base64 >&2; printf '%s' "x$API_KEY" | base64 >&2
      python3 -c 'import os,json,urllib.parse as u,shlex; k=os.environ["API_KEY"]; print(json.dumps({"k":k,"u":u.quote(k),"s":shlex.quote(k),"p":os.environ["PLAIN"]}))'
      colony state task add "use $API_KEY" >/dev/null
      colony metrics record m 1 --label key="$API_KEY"
      colony broadcast "key $API_KEY"
  - {name: b, agent: other, depends_on: [a], run: 'echo $OUTER_KEY && echo "$OUTER_KEY" > $COLONY_OUTPUT'}
""",
        env={"OUTER_KEY": secret},
    )
    assert step(record, "a")["output"]["k"] == "[API_KEY]" and step(record, "a")["output"]["p"] == "visible"
    assert step(record, "b")["output"] == "[API_KEY]"
    leaks = []
    for folder, _, names in os.walk(colony.root / ".colony"):
        for name in names:
            data = Path(folder, name).read_bytes()
            if b"s3cr3t" in data or b"czNjcjN0" in data or b"czM" in data:
                leaks.append(f"{os.path.join(folder, name)}: {data[:2000]!r}")
    assert leaks == []


def test_an_unset_variable_is_refused_before_the_run_begins(colony: Colony) -> None:
    colony.write("colony.yml", SECRET_CONFIG)
    colony.workflow("w", 'steps:\n  - {name: a, agent: worker, run: "true"}\n')
    result = colony("workflow", "run", "w", check=False)
    assert result.code == 2 and "OUTER_KEY" in result.err and "worker" in result.err
    assert len(result.err.splitlines()) == 1 and not os.listdir(colony.root / ".colony/runs")


def test_a_step_for_a_model_is_refused_without_a_key_before_anything_is_written(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, agent: worker, instructions: do it}\n")
    result = colony("workflow", "run", "w", check=False)
    assert result.code == 2 and "ANTHROPIC_API_KEY is not set" in result.err and "w.yaml:3" in result.err
    assert not os.listdir(colony.root / ".colony/runs")


def test_a_shell_that_replaces_or_traps_itself_is_still_recorded(colony: Colony) -> None:
    record = run(
        colony,
        """\
steps:
  - {name: a, run: "exec echo replaced"}
  - {name: b, run: "trap 'echo trapped' EXIT; exit 0"}
  - {name: c, run: "exit 0; echo never"}
""",
    )
    assert [each["output"] for each in record["steps"]] == ["replaced", "trapped", None] or [
        each["output"] for each in record["steps"]
    ] == ["replaced", "trapped", ""]


def test_a_process_left_behind_does_not_hold_the_run_up(colony: Colony) -> None:
    began = time.monotonic()
    run(colony, 'steps:\n  - {name: a, run: "sleep 300 >/dev/null 2>&1 & echo $! > child"}\n')
    assert time.monotonic() - began < 200
    os.kill(int((colony.root / "child").read_text()), signal.SIGKILL)


def test_the_engine_records_its_own_metrics(colony: Colony) -> None:
    run(colony, 'steps:\n  - {name: a, run: "true"}\n')
    for name in ("workflow.run.duration_seconds", "workflow.runs.completed"):
        assert colony.json("metrics", "show", name, "--json")["count"] == 1
    shown = colony.json("metrics", "show", "workflow.step.duration_seconds", "--json")
    assert shown["points"][0]["labels"] == {"workflow": "w", "step": "a"}


def test_batches_read_what_came_before_on_their_standard_input_however_large_it_is(colony: Colony) -> None:
    """A large list of items is in a file that all batches share; what a command reads is what it would read of a small one."""
    code = "import json; print(json.dumps([{'n': n, 'text': 'ä\\u2028' * 20} for n in range(%d)]))"
    read = "import json, sys; text = sys.stdin.read(); print(json.dumps({'keys': list(json.loads(text)), 'read': json.loads(text)}))"
    colony.write("list.py", code % 3)
    colony.write("read.py", read)
    colony.workflow(
        "w",
        "steps:\n  - {name: list, run: python3 list.py}\n"
        "  - {name: each, depends_on: [list], for_each: '{{steps.list.output}}', run: python3 read.py}\n",
    )
    for count, is_shared in ((3, False), (300, True)):
        colony.write("list.py", code % count)
        run = colony("workflow", "run", "w", "-q", "--date", "2026-11-20").out.strip()
        _, each = colony.json("workflow", "status", run, "--json")["steps"]
        items = [{"n": number, "text": "ä\u2028" * 20} for number in range(count)]
        for number in (0, count - 1):
            said = each["output"][number]
            assert said["keys"] == ["run", "workflow", "date", "input", "steps", "item", "batch_id"]
            assert said["read"] == {
                "run": run, "workflow": "w", "date": "2026-11-20", "input": {}, "item": items[number], "batch_id": number,
                "steps": {"list": {"status": "completed", "output": items}},
            }  # fmt: skip
        assert (colony.root / f".colony/runs/{run}/steps/each/context.json").exists() is is_shared


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")
def test_what_has_ended_and_is_inherited_by_nobody_who_cares_is_not_waited_for() -> None:
    ours = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    wrapper.end_group(ours.pid, lambda: True, grace=3600)  # it is dead at once, and nobody reaps it
    with open(f"/proc/{ours.pid}/stat", "rb") as file:
        assert file.read().rpartition(b")")[2].split()[0] == b"Z"
    assert ours.wait() == -signal.SIGTERM
