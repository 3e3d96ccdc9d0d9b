"""Workflow files: the plan of a good one, every problem of a bad one, and the compiled copy between starts."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import dag, paths, schema, workflow
from tests.conftest import REPOSITORY, Colony, clean_environment

SEED = """\
workflow:
  name: daily-etl
  description: "Daily data pipeline execution"

  trigger:
    type: schedule
    cron: "0 2 * * *"  # Run at 2 AM daily

  steps:
    - name: fetch-data
      agent: data-fetcher
      timeout: 10m
      instructions: |
        Fetch data from all configured sources for yesterday's date.
        Store raw data in staging/raw/ with timestamp.
      output: raw_data_path

    - name: transform-data
      agent: data-transformer
      depends_on: [fetch-data]
      timeout: 15m
      instructions: |
        Transform raw data from {{steps.fetch-data.output}}.
        Apply all cleaning and normalization rules.
        Store in staging/transformed/
      output: transformed_data_path
      retry:
        max_attempts: 2
        backoff: exponential

    - name: validate-data
      agent: data-validator
      depends_on: [transform-data]
      timeout: 5m
      instructions: |
        Validate data at {{steps.transform-data.output}}.
        Run all quality checks and generate validation report.
      output: validation_status

    - name: load-data
      agent: data-loader
      depends_on: [validate-data]
      timeout: 20m
      instructions: |
        Load validated data to warehouse.
        Only proceed if validation_status is PASS or WARN.
      output: load_stats

    - name: generate-report
      agent: reporter
      depends_on: [load-data]
      timeout: 5m
      instructions: |
        Generate daily pipeline report with:
        - Records processed: {{steps.load-data.output.record_count}}
        - Quality score: {{steps.validate-data.output.quality_score}}
        - Processing time: total pipeline duration
        - Any warnings or errors

  error_handling:
    - step: notify-on-failure
      agent: orchestrator
      instructions: "Send alert about pipeline failure"
"""


@pytest.fixture
def here(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> Colony:
    """The colony as the working directory of this process."""
    monkeypatch.chdir(colony.root)
    paths.use(str(colony.root))
    return colony


def said(colony: Colony, text: str, name: str = "w") -> list[str]:
    """What is wrong with the file, as 'LINE: what; fix'."""
    colony.write(f".colony/workflows/{name}.yaml", textwrap.dedent(text))
    place = f".colony/workflows/{name}.yaml"
    lines = []
    for problem in workflow.problems(name):
        assert problem.code == 2
        assert problem.where is not None and problem.where.startswith(place)
        line = problem.where.removeprefix(place).lstrip(":")
        lines.append(f"{line}: {problem.what}" + (f"; {problem.fix}" if problem.fix else ""))
    return lines


# ── good files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_seeds_workflow_loads_as_it_stands(here: Colony) -> None:
    here.write(".colony/workflows/daily-etl.yaml", SEED)
    assert workflow.problems("daily-etl") == []
    plan = workflow.load("daily-etl")
    assert plan["name"] == "daily-etl"
    assert plan["file"] == ".colony/workflows/daily-etl.yaml"
    assert plan["trigger"] == {
        "type": "schedule",
        "cron": "0 2 * * *",
        "timezone": None,
        "missed": "skip",
        "window_seconds": 604800.0,
    }
    assert (plan["concurrency"], plan["max_parallel"], plan["budget"], plan["input_schema"]) == (1, 16, None, None)
    assert [step["name"] for step in plan["steps"]] == [
        "fetch-data",
        "transform-data",
        "validate-data",
        "load-data",
        "generate-report",
    ]
    transform = plan["steps"][1]
    assert transform == {
        "name": "transform-data",
        "agent": "data-transformer",
        "depends_on": ["fetch-data"],
        "ancestors": ["fetch-data"],
        "instructions": "Transform raw data from {{steps.fetch-data.output}}.\n"
        "Apply all cleaning and normalization rules.\nStore in staging/transformed/\n",
        "run": None,
        "when": None,
        "timeout_seconds": 900.0,
        "limits": None,
        "output_name": "transformed_data_path",
        "output_schema": None,
        "expect": None,
        "for_each": None,
        "parallel": None,
        "retry": {"max_attempts": 2, "backoff": "exponential", "delay_seconds": 1.0, "max_delay_seconds": 60.0},
        "idempotent": True,
        "on_failure": "fail",
        "env": {},
        "line": 18,
        "lines": {
            "name": 18,
            "agent": 19,
            "depends_on": 20,
            "timeout": 21,
            "instructions": 22,
            "output": 26,
            "retry": 27,
        },
    }
    assert plan["steps"][4]["ancestors"] == ["fetch-data", "transform-data", "validate-data", "load-data"]
    (handler,) = plan["error_handling"]
    assert (handler["name"], handler["agent"]) == ("notify-on-failure", "orchestrator")
    assert handler["ancestors"] == [step["name"] for step in plan["steps"]]


def test_the_wrapper_may_be_left_out(here: Colony) -> None:
    here.write(".colony/workflows/a.yaml", SEED)
    here.write(".colony/workflows/b.yml", textwrap.dedent(SEED.removeprefix("workflow:\n")))
    a, b = workflow.load("a"), workflow.load("b")
    for step in [*a["steps"], *b["steps"], *a["error_handling"], *b["error_handling"]]:
        del step["line"], step["lines"]
    assert {**a, "file": None} == {**b, "file": None}


def test_the_name_may_be_left_out_and_is_then_the_files(here: Colony) -> None:
    here.write(".colony/workflows/a-b.c.yaml", "steps: [{name: one, run: 'true'}]")
    assert workflow.load("a-b.c")["name"] == "a-b.c"


def test_all_keys_of_a_step_are_kept_with_their_units(here: Colony) -> None:
    here.write("schemas/rows.json", '{"type": "object", "required": ["rows"]}')
    here.write(
        ".colony/workflows/w.yaml",
        """\
name: w
trigger: {cron: "@daily", timezone: Europe/Berlin, missed: latest, window: 36h}
input: {type: object, properties: {day: {type: string}}}
concurrency: 2
max_parallel: 3
budget: {usd: 1.5, tool_calls: 9, time: 2h}
steps:
  - name: split
    run: true
    output: parts
  - name: each part
    depends_on: [split]
    for_each: "{{parts.files}}"
    parallel: 2
    run: work {{item.key}} {{batch_id}} {{batch_count}} "{{input.day}}"
    when: "{{parts.count}} > 0"
    timeout: 1h30m
    limits: {turns: 5, time: 90s}
    output_schema: schemas/rows.json
    expect: {files: ["out/{{item.key}}.json"]}
    retry: {max_attempts: 5, backoff: fixed, delay: 500ms, max_delay: 2}
    idempotent: false
    on_failure: continue
    env: {PORT: 010, DEBUG: yes, N: 5, DAY: "{{date}}"}
    cache: {inputs: ["data/*.csv"]}
    approval: true
""",
    )
    plan = workflow.load("w")
    assert plan["trigger"] == {
        "type": "schedule",
        "cron": "@daily",
        "timezone": "Europe/Berlin",
        "missed": "latest",
        "window_seconds": 129600.0,
    }
    assert (plan["concurrency"], plan["max_parallel"], plan["budget"]) == (
        2,
        3,
        {"usd": 1.5, "tool_calls": 9, "time_seconds": 7200.0},
    )
    assert plan["steps"][0]["run"] == "true"
    step = plan["steps"][1]
    assert (step["timeout_seconds"], step["limits"]) == (5400.0, {"turns": 5, "time_seconds": 90.0})
    assert plan["steps"][0]["limits"] is None
    assert step["retry"] == {"max_attempts": 5, "backoff": "fixed", "delay_seconds": 0.5, "max_delay_seconds": 2.0}
    assert step["output_schema"] == {"type": "object", "required": ["rows"]}
    assert step["env"] == {"PORT": "010", "DEBUG": "yes", "N": "5", "DAY": "{{date}}"}
    assert (step["for_each"], step["parallel"], step["when"]) == ("{{parts.files}}", 2, "{{parts.count}} > 0")
    assert (step["idempotent"], step["on_failure"], step["approval"]) == (False, "continue", True)
    assert (step["cache"], step["expect"]) == ({"inputs": ["data/*.csv"]}, {"files": ["out/{{item.key}}.json"]})
    assert json.loads(json.dumps(plan)) == plan


def test_steps_stand_in_the_files_order_but_for_what_they_depend_on(here: Colony) -> None:
    here.workflow(
        "w",
        """\
steps:
  - {name: report, run: x, depends_on: [load]}
  - {name: a, run: x}
  - {name: load, run: x, depends_on: [b, a]}
  - {name: b, run: x}
  - {name: c, run: x}
""",
    )
    plan = workflow.load("w")
    assert [step["name"] for step in plan["steps"]] == ["a", "b", "load", "report", "c"]
    assert workflow.graph(plan) == {
        "levels": [["a", "b", "c"], ["load"], ["report"]],
        "edges": [["b", "load"], ["a", "load"], ["load", "report"]],
    }


def test_thousand_steps_in_a_row_are_planned(here: Colony) -> None:
    steps = [f"  - {{name: s{i}, run: x, depends_on: [{f's{i - 1}' if i else ''}]}}" for i in range(999, -1, -1)]
    here.workflow("w", "steps:\n" + "\n".join(steps) + "\n")
    plan = workflow.load("w")
    assert [step["name"] for step in plan["steps"]] == [f"s{i}" for i in range(1000)]
    assert len(plan["steps"][999]["ancestors"]) == 999


# ── bad files ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_problems_are_told_in_the_order_of_the_file(here: Colony) -> None:
    assert said(
        here,
        """\
        workflow:
          nmae: x
          trigger: {type: schedule, cron: "0 25 * * *", timezone: Europe/Berln}
          steps:
            - name: fetch
              run: |
                echo start
                echo ${{date}} {{validation}}
              timeout: 10 m
            - name: load
              depends_on: [fetsh]
              instructions: load {{steps.fetch.output}}
              output: load_stats
        """,
    ) == [
        "2: unknown key 'nmae' in 'workflow'; did you mean 'name'?",
        "3: the hour '25' of a cron expression is not from 0 to 23",
        "3: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin', 'Europe/Belfast' or 'Europe/Helsinki'?",
        "8: '{{date}}' stands directly after a '$', where it cannot be one word of the shell; leave the '$' out",
        "8: '{{validation}}' is not a known reference; there is 'load_stats', 'date', 'yesterday', 'run.id', "
        "'workflow.name'",
        "9: 'workflow.steps[0].timeout' must be a duration such as 30s, 10m or 1h30m, not '10 m'",
        "11: step 'load' depends on the unknown step 'fetsh'; did you mean 'fetch'?",
        "12: step 'load' has instructions and no agent to follow them; add 'agent:', or 'run:' with a command",
        "12: '{{steps.fetch.output}}' refers to the step 'fetch', which does not come before this one; "
        "add 'fetch' to the depends_on of 'load'",
    ]


STEPS = """\
steps:
  - name: first
    run: "true"
    output: found
  - name: many
    depends_on: [first]
    parallel: 3
    run: echo {{batch_id}}
"""


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("name: x", "9: step 'x' has neither 'run' nor 'instructions'"),
        ("name: x\n    runs: x", "10: unknown key 'runs' in 'steps[2]'; did you mean 'run'?"),
        (
            "name: x\n    run: x\n    depends_on: first",
            "11: 'steps[2].depends_on' must be a list, not 'first'; write [first]",
        ),
        ("name: x\n    run: ''", "10: 'steps[2].run' must not be empty"),
        ("name: x\n    run: ' '", "10: the 'run' of step 'x' is empty"),
        ("name: first\n    run: x", "9: the step name 'first' is there twice (first in line 2); rename one"),
        ("name: ../x\n    run: x", "9: 'steps[2].name' must be letters"),
        ("name: a..b\n    run: x", "9: 'a..b' is not a name for a step"),
        ('name: "x\\n"\n    run: x', "9: 'x\\n' is not a name for a step"),
        ("name: a.output\n    run: x", "9: 'a.output' reads like a reference; call the step something else"),
        ("name: x\n    run: x\n    depends_on: [x]", "11: step 'x' depends on itself"),
        (
            "name: x\n    run: x\n    depends_on:\n      - first\n      - frist",
            "13: step 'x' depends on the unknown step 'frist'",
        ),
        ("name: x\n    run: x\n    depends_on: [alert]", "it is a step of error_handling, which runs after all others"),
        ("name: x\n    run: x\n    output: found", "11: the output name 'found' is also that of step 'first'"),
        ("name: x\n    run: x\n    output: date", "11: 'date' cannot be the name of an output"),
        ("name: x\n    run: x\n    output: in", "11: 'in' cannot be the name of an output"),
        ("name: x\n    run: x\n    output: a.b", "11: 'steps[2].output' must be letters"),
        ("name: x\n    run: x\n    timeout: 0s", "11: the timeout of step 'x': '0s' is not a duration"),
        ("name: x\n    run: x\n    timeout: -5", "11: 'steps[2].timeout' must be a duration"),
        ("name: x\n    run: x\n    timeout: 10x", "11: 'steps[2].timeout' must be a duration"),
        ("name: x\n    run: x\n    retry: {max_attempts: 0}", "11: 'steps[2].retry.max_attempts' must be at least 1"),
        ("name: x\n    run: x\n    retry: {attempts: 2}", "11: unknown key 'attempts' in 'steps[2].retry'"),
        ("name: x\n    run: x\n    retry: {backoff: exponentail}", "did you mean 'exponential'?"),
        ("name: x\n    run: x\n    parallel: 0", "11: 'steps[2].parallel' must be at least 1, not 0"),
        ("name: x\n    run: x\n    parallel: 2.5", "11: 'steps[2].parallel' must be a whole number"),
        ("name: x\n    run: x\n    on_failure: ignore", "11: 'steps[2].on_failure' must be 'fail' or 'continue'"),
        ("name: x\n    run: x\n    env: {A-B: 1}", "11: the key 'A-B' in 'steps[2].env'"),
        ("name: x\n    run: x\n    env: {COLONY_STEP: 1}", "11: the variable 'COLONY_STEP' is Colony's own"),
        ("name: x\n    run: x\n    env: {A: 'costs $5'}", "11: A: '$5' is neither $NAME nor ${NAME}; write $$"),
        ("name: x\n    run: x\n    env: {A: '{{nope}}'}", "11: '{{nope}}' is not a known reference"),
        ("name: x\n    run: x\n    expect: {files: ['{{nope}}']}", "11: '{{nope}}' is not a known reference"),
        ("name: x\n    run: x\n    expect: {file: a}", "11: unknown key 'file' in 'steps[2].expect'"),
        ("name: x\n    run: x\n    output_schema: nowhere.json", "11: there is no schema file 'nowhere.json'"),
        ("name: x\n    run: x\n    output_schema: broken.json", "11: the schema file 'broken.json' is not JSON"),
        (
            "name: x\n    run: x\n    output_schema: {type: objekt}",
            "11: the output_schema of step 'x': not a JSON Schema",
        ),
        ("name: x\n    run: x\n    output_schema: {$ref: 'http://a/b'}", "outside itself; copy that part in"),
        ("name: x\n    run: x\n    output_schema: {$ref: '#/$defs/no'}", "which is not there"),
        ("name: x\n    run: x\n    output_schema: {type: string, pattern: '['}", "not a JSON Schema"),
        ("name: x\n    run: x\n    for_each: abc", "11: for_each must be a list, and 'abc' is text; write [abc]"),
        ("name: x\n    run: x\n    for_each: 'a {{date}}'", "11: for_each must be a list, or one reference"),
        ("name: x\n    run: x\n    for_each: ['{{item}}']", "11: '{{item}}' is not known yet"),
        (
            "name: x\n    run: x\n    for_each: '{{steps.many.output}}'",
            "11: '{{steps.many.output}}' refers to the step",
        ),
        ("name: x\n    run: x\n    when: '{{steps.first.output}} = 1'", "11: bad condition: '=' means nothing here"),
        (
            "name: x\n    run: x\n    when: steps.first.output == 1",
            "11: 'steps.first.output' refers to the step 'first'",
        ),
        ("name: x\n    run: x\n    when: first == 1", "11: 'first' is a step's name and no reference"),
        (
            "name: x\n    run: x\n    when: date == PASS",
            "11: 'PASS' is no value; put it in quotes if it is text: \"PASS\"",
        ),
        ("name: x\n    run: x\n    parallel: 2\n    when: batch_id == 0", "12: 'batch_id' is not known yet"),
        ("name: x\n    run: echo {{steps.first.output}}", "10: '{{steps.first.output}}' refers to the step 'first'"),
        ("name: x\n    run: echo {{steps.x.output}}", "10: '{{steps.x.output}}' refers to the step itself"),
        (
            "name: x\n    run: echo {{steps.nope.output}}",
            "10: '{{steps.nope.output}}' refers to the step 'nope', which is",
        ),
        (
            "name: x\n    run: echo {{steps.alert.output}}",
            "10: '{{steps.alert.output}}' refers to a step of error_hand",
        ),
        ("name: x\n    run: echo {{found}}", "10: '{{found}}' refers to the step 'first', which does not come before"),
        ("name: x\n    run: echo {{first}}", "10: '{{first}}' is a step's name and no reference; did you mean {{steps"),
        (
            "name: x\n    run: echo {{yesterdy}}",
            "10: '{{yesterdy}}' is not a known reference; did you mean 'yesterday'?",
        ),
        ("name: x\n    run: echo {{inputs.a}}", "10: '{{inputs.a}}' is not a known reference; did you mean 'input'?"),
        ("name: x\n    run: echo {{item}}", "10: '{{item}}' is known only to a step with 'for_each'"),
        ("name: x\n    run: echo {{batch_id}}", "10: '{{batch_id}}' is known only to a step with 'parallel' or"),
        (
            "name: x\n    run: echo {{failure.step}}",
            "10: '{{failure.step}}' is known only to the steps of error_handling",
        ),
        ("name: x\n    run: echo {{ .Names }}", "10: '{{ .Names }}' is not a reference"),
        ("name: x\n    run: echo {{date", "10: '{{date' opens a reference that is not closed"),
        ("name: x\n    run: |\n      cat <<E\n      {{date}}\n      E", "12: '{{date}}' stands in a here-document"),
        ("name: x\n    run: echo `echo {{date}}`", "10: '{{date}}' stands in `…`, where it cannot be one word"),
        (
            "name: x\n    depends_on: [many]\n    run: echo {{steps.many.output.rows}}",
            "11: '{{steps.many.output.rows}}' asks for 'rows', but 'many' has a list of outputs, one a batch; "
            "write {{steps.many.output.0.rows}} for the first",
        ),
        ("name: x\n    instructions: do it", "10: step 'x' has instructions and no agent"),
        ("name: x\n    agent: worker\n    instructions: see {{raw}}", "11: '{{raw}}' is not a known reference"),
        ("name: x\n    run: x\n    comand: y", "11: unknown key 'comand' in 'steps[2]'"),
        ("name: x\n    run: 12", ""),
        ("run: x", "9: 'steps[2]' has no 'name'"),
        ("just text", "9: 'steps[2]' must be a mapping, not 'just text'"),
    ],
)
def test_a_bad_step_is_told_with_its_line(here: Colony, step: str, expected: str) -> None:
    here.write("broken.json", "{")
    handler = "error_handling: [{step: alert, run: 'echo {{failure.error}}'}]\n"
    found = said(here, f"{STEPS}  - {step}\n{handler}")
    if not expected:
        assert found == []
        return
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("[]", "must be a mapping"),
        ("steps: []", "1: 'steps' must not be empty"),
        ("name: w", "1: the file has no 'steps'"),
        ("workflow:\n  steps: [{name: a, run: x}]\nname: w", "3: unknown key 'name'"),
        ("workflow: 5", "1: 'workflow' must be a mapping, not 5"),
        ("name: ../up\nsteps: [{name: a, run: x}]", "1: 'name' must be letters"),
        ("name: a..b\nsteps: [{name: a, run: x}]", "1: 'a..b' is not a name for a workflow"),
        ("steps: [{name: a, run: x}]\nsteps: [{name: b, run: x}]", "2: the key 'steps' is there twice"),
        ("steps:\n\t- name: a", "2: not YAML: a tab in the indentation"),
        ("steps:\n  - name: a\n    run: x\n    when: {{date}} == 1", "put"),
        ("trigger: {type: schedule}\nsteps: [{name: a, run: x}]", "1: the trigger is a schedule without 'cron'"),
        ('trigger: {type: manual, cron: "* * * * *"}\nsteps: [{name: a, run: x}]', "but its type is manual"),
        ('trigger: {cron: "@reboot"}\nsteps: [{name: a, run: x}]', "1: '@reboot' is not a time of cron's"),
        ('trigger: {cron: "0 0 30 2 *"}\nsteps: [{name: a, run: x}]', "never comes"),
        ("trigger: {type: cron}\nsteps: [{name: a, run: x}]", "1: 'trigger.type' must be 'manual' or 'schedule'"),
        ('trigger: {cron: "* * * * *", timezone: Mars}\nsteps: [{name: a, run: x}]', "unknown time zone 'Mars'"),
        ("trigger: {window: 0}\nsteps: [{name: a, run: x}]", "must be a duration such as 30s, 10m or 1h30m"),
        (
            "trigger: {window: 9000d}\nsteps: [{name: a, run: x}]",
            "the window of the trigger: '9000d' is not a duration",
        ),
        ("trigger: {window: 367d}\nsteps: [{name: a, run: x}]", "1: the window of the trigger is longer than a year"),
        ("trigger: {missed: never}\nsteps: [{name: a, run: x}]", "'skip' or 'latest' or 'all'"),
        ("budget: {time: 9000d}\nsteps: [{name: a, run: x}]", "1: the budget's time: '9000d' is not a duration"),
        ("budget: {usd: 0}\nsteps: [{name: a, run: x}]", "1: 'budget.usd' must be more than 0"),
        ("steps: [{name: a, run: x, limits: {time: 9000d}}]", "1: the limit on the time of step 'a': '9000d' is not"),
        (
            "steps: [{name: a, run: x, limits: {turn: 1}}]",
            "1: unknown key 'turn' in 'steps[0].limits'; did you mean 'turns'",
        ),
        (
            "steps: [{name: a, run: x}]\nerror_handling: [{step: b, run: x, limits: {turns: 0}}]",
            "limits.turns' must be at",
        ),
        ("concurrency: 0\nsteps: [{name: a, run: x}]", "1: 'concurrency' must be at least 1"),
        ("input: {type: objekt}\nsteps: [{name: a, run: x}]", "1: the input: not a JSON Schema"),
        (
            "input: {properties: {day: {type: string}}}\nsteps: [{name: a, run: 'x {{input.dya}}'}]",
            "2: '{{input.dya}}' refers to the input 'dya', which is not among its properties; did you mean 'day'?",
        ),
        ("steps: [{name: a, run: x}]\nerror_handling: [{run: x}]", "2: a step of error_handling has no 'step'"),
        ("steps: [{name: a, run: x}]\nerror_handling: [{step: a, run: x}]", "2: the step name 'a' is there twice"),
        ("steps: [{name: a, run: x}]\nerror_handling: [{step: b, run: 'echo {{failure.err}}'}]", "failure.error"),
        (
            "steps: [{name: a, run: x}]\nerror_handling: [{step: b, depends_on: [a], run: x}]",
            "unknown key 'depends_on'",
        ),
        ("a: &a [*a]", "stands inside its own anchor"),
        ("steps: !!python/object/apply:os.system [id]", "the tag"),
    ],
)
def test_a_bad_file_is_told_with_its_line(here: Colony, text: str, expected: str) -> None:
    found = said(here, text)
    assert any(expected in line for line in found), found


def test_circles_are_named_step_by_step(here: Colony) -> None:
    found = said(
        here,
        """\
        steps:
          - {name: a, run: "x {{steps.c.output}}", depends_on: [c]}
          - {name: b, run: x, depends_on: [a]}
          - {name: c, run: x, depends_on: [b]}
          - {name: d, run: x, depends_on: [c, e]}
          - {name: e, run: x, depends_on: [d]}
        """,
    )
    assert found == [
        "2: steps that wait for each other in a circle: 'a' → 'c' → 'b' → 'a'; take one depends_on out",
        "5: steps that wait for each other in a circle: 'd' → 'e' → 'd'; take one depends_on out",
    ]


def test_control_characters_do_not_reach_the_terminal(here: Colony) -> None:
    found = said(here, 'steps: [{name: "a\\e[31m", run: "x {{\\e[2J}}", depends_on: ["\\e]0;x"]}]')
    assert found
    assert "\x1b" not in "".join(found)


def test_a_file_that_is_no_text_or_too_large_is_refused(here: Colony) -> None:
    folder = here.root / ".colony" / "workflows"
    (folder / "latin.yaml").write_bytes(b"name: latin\ndescription: \xe9\n")
    (folder / "large.yaml").write_bytes(b"#" * 2_000_000)
    (folder / "folder.yaml").mkdir()
    for name, what in [("latin", "not UTF-8 text"), ("large", "larger than"), ("folder", "not a regular file")]:
        with pytest.raises(ColonyError, match=what) as caught:
            workflow.load(name)
        assert caught.value.code == 2


# ── names ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_workflow_is_found_by_its_files_name_then_by_its_own(here: Colony) -> None:
    here.write(".colony/workflows/one.yaml", "name: other\nsteps: [{name: a, run: x}]")
    here.write(".colony/workflows/two.yml", "steps: [{name: a, run: x}]")
    here.write(".colony/workflows/.hidden.yaml", "steps: [{name: a, run: x}]")
    here.write(".colony/workflows/notes.md", "")
    assert workflow.names() == ["one", "two"]
    assert workflow.load("one")["name"] == "other"
    assert workflow.path("other").endswith("/one.yaml")
    assert workflow.warnings(workflow.load("one")) == [
        "the workflow in .colony/workflows/one.yaml is called 'other': give the file its name"
    ]


def test_an_unknown_workflow_names_the_nearest(here: Colony) -> None:
    here.write(".colony/workflows/daily-etl.yaml", SEED)
    with pytest.raises(ColonyError) as caught:
        workflow.load("daily_etl")
    assert str(caught.value) == "unknown workflow 'daily_etl'; did you mean 'daily-etl'?"
    assert caught.value.code == 1


@pytest.mark.parametrize("name", ["..", "-x", "a b", "", "a\nb", "$(touch pwned)", "x" * 200])
def test_a_name_that_could_be_no_file_is_refused(here: Colony, name: str) -> None:
    with pytest.raises(ColonyError, match="is not a name for a workflow") as caught:
        workflow.load(name)
    assert caught.value.code == 2


def test_two_files_of_one_name_are_refused(here: Colony) -> None:
    for suffix in ("yaml", "yml"):
        here.write(f".colony/workflows/w.{suffix}", "steps: [{name: a, run: x}]")
    with pytest.raises(ColonyError, match="two files define the workflow 'w'"):
        workflow.load("w")
    assert "two files define" in str(workflow.problems(".colony/workflows/w.yml")[0])


def test_agents_must_be_in_the_configuration(here: Colony) -> None:
    here.write(".colony/workflows/daily-etl.yaml", SEED)
    plan = workflow.load("daily-etl")
    known = ["data-fetcher", "data-transformer", "data-validator", "data-loder", "reporter"]
    found = workflow.config_problems(plan, {"agents": [{"id": name} for name in known]})
    assert [str(problem) for problem in found] == [
        "unknown agent 'data-loader' at .colony/workflows/daily-etl.yaml:41; did you mean 'data-loder', "
        "'data-validator' or 'data-fetcher'?",
        "unknown agent 'orchestrator' at .colony/workflows/daily-etl.yaml:62; there is 'data-fetcher', "
        "'data-transformer', 'data-validator', 'data-loder', 'reporter'",
    ]
    with pytest.raises(ColonyError, match="unknown agent 'data-loader'"):
        workflow.check_against_config(plan, {"agents": [{"id": name} for name in known]})


# ── input ──────────────────────────────────────────────────────────────────────────────────────────────────────

INPUT = {
    "type": "object",
    "required": ["day"],
    "properties": {
        "day": {"type": "string"},
        "limit": {"type": "integer", "default": 10},
        "where": {"type": "object", "properties": {"host": {"default": "localhost"}}, "default": {}},
    },
}


def test_input_gets_the_defaults_of_its_schema() -> None:
    plan = {"input_schema": INPUT, "file": "w.yaml"}
    given = {"day": "x"}
    assert workflow.check_input(plan, given) == {"day": "x", "limit": 10, "where": {"host": "localhost"}}
    assert given == {"day": "x"}
    assert workflow.check_input(plan, {"day": "x", "limit": 1, "more": 2, "where": {"host": "h"}}) == {
        "day": "x",
        "limit": 1,
        "more": 2,
        "where": {"host": "h"},
    }
    assert workflow.check_input({"input_schema": None, "file": "w.yaml"}, None) == {}
    assert workflow.check_input({"input_schema": None, "file": "w.yaml"}, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("schema", "value", "what"),
    [
        (INPUT, None, "the input does not fit: 'input' has no 'day'"),
        (INPUT, {"day": 5}, "the input does not fit: 'input.day' must be text, not 5"),
        (INPUT, {"day": 5, "limit": "x"}, "(and 1 more)"),
        (INPUT, [1], "the input does not fit: 'input' must be a mapping, not a list"),
        (None, [1], "the input must be a JSON object"),
    ],
)
def test_input_that_does_not_fit_is_refused(schema: Any, value: Any, what: str) -> None:
    with pytest.raises(ColonyError) as caught:
        workflow.check_input({"input_schema": schema, "file": "w.yaml"}, value)
    assert what in caught.value.what
    assert caught.value.code == 2


# ── the compiled copy ──────────────────────────────────────────────────────────────────────────────────────────

LOAD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from colony_lib.store import workflow
plan = workflow.load(sys.argv[2])
print(json.dumps([plan, sorted({"yaml", "jsonschema", "difflib", "datetime"} & set(sys.modules))]))
"""


def loaded(colony: Colony, name: str = "w") -> tuple[Any, list[str]]:
    """(plan, heavy modules that loading it took) in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(REPOSITORY), name],
        cwd=colony.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    plan, heavy = json.loads(done.stdout)
    return plan, heavy


def test_a_second_start_needs_neither_a_yaml_reader_nor_a_validator(colony: Colony) -> None:
    colony.write("s.json", '{"type": "object"}')
    text = "steps:\n  - name: a\n    run: echo {{date}}\n    when: date != ''\n    output_schema: s.json\n"
    colony.workflow("w", text)
    cold, heavy = loaded(colony)
    assert {"yaml", "jsonschema"} <= set(heavy)
    assert loaded(colony) == (cold, [])
    colony.workflow("w", text + "    timeout: 5s\n")
    changed, heavy = loaded(colony)
    assert "yaml" in heavy and changed["steps"][0]["timeout_seconds"] == 5.0
    colony.write("s.json", '{"type": "array"}')
    changed, heavy = loaded(colony)
    assert "yaml" in heavy and changed["steps"][0]["output_schema"] == {"type": "array"}
    assert loaded(colony) == (changed, [])


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"v": 1}', "\x00"])
def test_a_damaged_copy_is_made_anew(here: Colony, damage: str) -> None:
    here.workflow("w", "steps: [{name: a, run: x}]")
    plan = workflow.load("w")
    copy = here.root / ".colony" / "cache" / "workflow-w.yaml.json"
    good = copy.read_text()
    copy.write_text(damage)
    assert workflow.load("w") == plan
    assert copy.read_text() == good


def test_a_copy_that_cannot_be_written_does_no_harm(here: Colony) -> None:
    here.workflow("w", "steps: [{name: a, run: x}]")
    (here.root / ".colony" / "cache").write_text("no folder")
    assert workflow.load("w")["name"] == "w"


def test_no_copy_is_kept_of_a_bad_file_nor_of_one_from_elsewhere(here: Colony, tmp_path: Path) -> None:
    here.workflow("bad", "steps: [{name: a}]")
    with pytest.raises(ColonyError):
        workflow.load("bad")
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("steps: [{name: a, run: x}]")
    assert workflow.load(str(elsewhere))["file"] == str(elsewhere)
    assert not (here.root / ".colony" / "cache").exists()


def test_the_first_problem_says_how_to_see_the_others(here: Colony) -> None:
    here.workflow("w", "steps: [{name: a}, {name: b}, {name: c, run: x}]")
    with pytest.raises(ColonyError) as caught:
        workflow.load("w")
    assert str(caught.value) == (
        "step 'a' has neither 'run' nor 'instructions' at .colony/workflows/w.yaml:2; add 'run:' with a command, "
        "or 'instructions:' for an agent; 'colony workflow validate w' shows 1 more"
    )


# ── the schema, and the order of steps ─────────────────────────────────────────────────────────────────────────


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    import jsonschema

    found = schema.load("workflow")
    jsonschema.Draft202012Validator.check_schema(found)
    for name, part in found["$defs"]["step"]["properties"].items():
        assert "description" in part or "$ref" in part, name


def test_circles_are_all_found() -> None:
    depends = {"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"], "e": ["e2"], "e2": []}
    assert dag.circles(depends) == [["a", "b"], ["c", "d"]]
    assert dag.circles({"x": ["y"], "y": []}) == []
    assert dag.order(depends) == ["e2", "e"]


@pytest.mark.parametrize(
    ("depends", "expected"),
    [
        ({"a": [], "b": ["a"], "c": ["b"]}, ["● a", "│", "● b", "│", "● c"]),
        ({"a": [], "b": []}, ["● a", "● b"]),
        (
            {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c", "a"]},
            ["● a", "├─╮", "● │ b", "│ │", "│ ● c", "├─╯", "● d"],
        ),
        (
            {"a": [], "b": ["a"], "c": ["a"], "d": ["a"], "e": ["b", "d"], "f": ["c"]},
            ["● a", "├─┬─╮", "● │ │ b", "│ │ │", "│ ● │ c", "│ │ │", "│ │ ● d", "├─│─╯", "● │ e", "  ● f"],
        ),
        (
            {"a": [], "b": [], "c": ["a", "b"], "d": ["b"]},
            ["● a", "│", "│ ● b", "│◂┤", "● │ c", "  ● d"],
        ),
    ],
)
def test_graphs_are_drawn(depends: dict[str, list[str]], expected: list[str]) -> None:
    plan = {"steps": [{"name": name, "depends_on": others} for name, others in depends.items()]}
    assert [f"{lines} {name}".rstrip() for lines, name in dag.drawing(plan)] == expected
    for lines, _ in dag.drawing(plan, ascii_only=True):
        assert lines.isascii()


def test_a_drawing_shows_each_step_once_and_each_needed_edge() -> None:
    """Follow the lines of drawings of random graphs: from each step exactly its dependants are reached."""
    import random

    for seed in range(60):
        rng = random.Random(seed)
        names = [f"s{i}" for i in range(rng.randint(1, 12))]
        depends = {n: sorted(rng.sample(names[:i], min(i, rng.randint(0, 3)))) for i, n in enumerate(names)}
        plan = {"steps": [{"name": name, "depends_on": others} for name, others in depends.items()]}
        rows = dag.drawing(plan)
        assert sorted(name for _, name in rows if name) == sorted(names)
        assert _edges(rows) == {(a, b) for b, others in dag.reduced(depends).items() for a in others}, seed


# Where a line goes on from a place, by the way it came: v down, < left, > right.
_WAYS = {
    "│": {"v": "v", "<": "<", ">": ">"},
    "─": {"<": "<", ">": ">"},
    "◂": {"<": "<"},
    "▸": {">": ">"},
    "├": {"v": "v>", "<": "v"},
    "┤": {"v": "v<", ">": "v"},
    "┼": {"v": "v<>"},
    "┴": {"v": "<>"},
    "┬": {"<": "v<", ">": "v>"},
    "╰": {"v": ">"},
    "╯": {"v": "<"},
    "╭": {"<": "v"},
    "╮": {">": "v"},
}
_MOVES = {"v": (1, 0), "<": (0, -1), ">": (0, 1)}


def _edges(rows: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs of steps that the lines of a drawing join, downwards."""
    found = set()
    grid = [lines + " " * 80 for lines, _ in rows]
    for y, (_, name) in enumerate(rows):
        if not name:
            continue
        todo = [(y + 1, grid[y].index("●"), "v")]
        while todo:
            cy, cx, way = todo.pop()
            here = grid[cy][cx] if cy < len(grid) else " "
            if here == "●":
                if cy > y + 1:  # dots that stand below each other without a line are not joined
                    found.add((name, rows[cy][1]))
                continue
            ways = _WAYS.get(here, {}).get(way, "")
            if here == "│" and grid[cy][cx - _MOVES[way][1]] in "◂▸":
                ways += "v"  # an arrow leads into the lane
            todo += [(cy + _MOVES[each][0], cx + _MOVES[each][1], each) for each in ways]
    return found
