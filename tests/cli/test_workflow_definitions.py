"""`colony workflow list | show | validate | graph` as people and scripts see them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from colony_lib.store import schema
from tests.conftest import Colony

DAILY = """\
description: One day of data
trigger: {type: schedule, cron: "0 2 * * *", timezone: UTC}
input: {type: object, required: [day], properties: {day: {type: string}, limit: {type: integer, default: 5}}}
steps:
  - name: fetch
    agent: worker
    timeout: 10m
    run: fetch {{input.day}}
  - name: clean
    agent: worker
    depends_on: [fetch]
    parallel: 4
    retry: {max_attempts: 2}
    instructions: |
      Clean batch {{batch_id}}.
      Keep the rest.
  - name: check
    depends_on: [fetch]
    when: steps.fetch.status == "completed"
    run: check
  - name: load
    depends_on: [clean, check, fetch]
    for_each: "{{steps.clean.output}}"
    run: load {{item}}
error_handling:
  - step: alert
    agent: orchestrator
    run: echo {{failure.error}}
"""


@pytest.fixture
def daily(colony: Colony) -> Colony:
    colony.workflow("daily", DAILY)
    return colony


def test_list_shows_good_and_bad_files(daily: Colony) -> None:
    daily.workflow("by-hand", "steps: [{name: a, run: x}]")
    daily.write(".colony/workflows/broken.yml", "steps: [")
    result = daily("workflow", "list")
    assert result.out == (
        "NAME     STEPS  STARTS         DESCRIPTION\n"
        "broken       -  invalid        -\n"
        "by-hand      1  by hand        -\n"
        "daily        4  0 2 * * * UTC  One day of data\n"
    )
    assert result.err.startswith("warning: not YAML: ")
    rows = daily.lines("workflow", "list", "--json")
    assert [row["name"] for row in rows] == ["broken", "by-hand", "daily"]
    assert rows[2] == {
        "name": "daily",
        "file": ".colony/workflows/daily.yaml",
        "description": "One day of data",
        "trigger": "schedule",
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "steps": 4,
        "valid": True,
        "problem": None,
    }
    assert (rows[0]["valid"], rows[0]["file"]) == (False, ".colony/workflows/broken.yml")
    for row in rows:
        schema.check(row, "workflow-list")


def test_list_of_a_colony_without_workflows_says_what_to_do(colony: Colony) -> None:
    result = colony("workflow", "list")
    assert result.out == "NAME  STEPS  STARTS  DESCRIPTION\n"
    assert "colony init" in result.err
    assert colony("workflow", "list", "--json").out == ""


def test_show_tells_the_plan_in_words(daily: Colony) -> None:
    assert daily("workflow", "show", "daily").out == (
        "workflow:    daily\n"
        "file:        .colony/workflows/daily.yaml\n"
        "description: One day of data\n"
        "starts:      0 2 * * * UTC\n"
        "input:       day, [limit]\n"
        "at once:     1 run, 16 steps of one\n"
        "\n"
        "STEP   AGENT   AFTER                TIMEOUT  ATTEMPTS  DOES\n"
        "fetch  worker  -                    10m00s          1  fetch {{input.day}}\n"
        "clean  worker  fetch                -               2  4 times at once: Clean batch {{batch_id}}. …\n"
        'check  -       fetch                -               1  when steps.fetch.status == "completed": check\n'
        "load   -       clean, check, fetch  -               1  for each of {{steps.clean.output}}: load {{item}}\n"
        "\n"
        "when a run fails:\n"
        "STEP   AGENT         TIMEOUT  DOES\n"
        "alert  orchestrator  -        echo {{failure.error}}\n"
    )


def test_show_tells_what_becomes_of_missed_times(colony: Colony) -> None:
    for missed, line in [("latest, window: 36h", "the newest of the last 1d12h"), ("all", "each of the last 7d00h")]:
        colony.workflow("w", f'trigger: {{cron: "@daily", missed: {missed}}}\nsteps: [{{name: a, run: x}}]')
        assert f"\nmissed:      {line} is run later\n" in colony("workflow", "show", "w").out


def test_show_prints_the_checked_plan_as_json(daily: Colony) -> None:
    plan = daily.json("workflow", "show", "daily", "--json")
    assert [step["name"] for step in plan["steps"]] == ["fetch", "clean", "check", "load"]
    assert plan["steps"][0]["timeout_seconds"] == 600.0


def test_an_unknown_workflow_exits_1_with_the_nearest_name(daily: Colony) -> None:
    for verb in ("show", "graph", "validate"):
        result = daily("workflow", verb, "dayly", check=False)
        assert (result.code, result.out) == (1, "")
        assert result.err == "colony workflow: unknown workflow 'dayly'; did you mean 'daily'?\n"


@pytest.mark.parametrize("name", ["../daily.yaml", "/etc/passwd", "..", "a b", "$(touch pwned)"])
def test_names_that_lead_elsewhere_are_refused(daily: Colony, name: str) -> None:
    result = daily("workflow", "show", name, check=False)
    assert result.code in (1, 2)
    assert result.out == ""
    assert result.err.startswith("colony workflow: ") and result.err.count("\n") == 1


def test_validate_says_ok(daily: Colony) -> None:
    assert daily("workflow", "validate").out == "ok: 1 workflow\n"
    assert daily("workflow", "validate", "daily").out == "ok: 1 workflow\n"
    assert daily("workflow", "validate", "daily", "--json").out == ""
    assert daily("workflow", "validate", ".colony/workflows/daily.yaml").out == "ok: 1 workflow\n"


def test_validate_prints_every_problem_and_exits_2(daily: Colony) -> None:
    daily.workflow("bad", "steps:\n  - name: a\n    runs: x\n  - name: b\n    depends_on: [aa]\n    run: echo {{date\n")
    daily.workflow("stranger", "steps:\n  - {name: a, run: x, agent: wroker}\n")
    result = daily("workflow", "validate", check=False)
    assert result.code == 2
    assert result.out == (
        ".colony/workflows/bad.yaml:4: unknown key 'runs' in 'steps[0]'; did you mean 'run'?\n"
        ".colony/workflows/bad.yaml:6: step 'b' depends on the unknown step 'aa'; did you mean 'a'?\n"
        ".colony/workflows/bad.yaml:7: '{{date' opens a reference that is not closed; close it with '}}', or write "
        '{{"{{"}} for two braces that mean themselves\n'
        ".colony/workflows/stranger.yaml:3: unknown agent 'wroker'; did you mean 'worker'?\n"
    )
    assert result.err == "4 problems in 3 files checked\n"
    found = daily.lines("workflow", "validate", "bad", "--json", check=False)
    assert [(problem["file"], problem["line"]) for problem in found] == [
        (".colony/workflows/bad.yaml", line) for line in (4, 6, 7)
    ]
    for problem in found:
        schema.check(problem, "problem")


def test_validate_warns_of_a_time_that_the_clock_skips(colony: Colony) -> None:
    colony.workflow("w", 'trigger: {cron: "30 2 * * *", timezone: Europe/Berlin}\nsteps: [{name: a, run: x}]')
    result = colony("workflow", "validate", "w", env={"COLONY_NOW": "2026-11-23T06:00:00Z"})
    assert result.out == "ok: 1 workflow\n"
    assert result.err == (
        "warning: w: the clock of Europe/Berlin skips 2027-03-28 02:30; the run begins at 03:00 that day\n"
    )


def test_validate_works_without_a_colony(tmp_path: Path, daily: Colony) -> None:
    (tmp_path / "w.yaml").write_text("steps: [{name: a, run: x}]")
    assert daily("workflow", "validate", "./w.yaml", cwd=tmp_path).out == "ok: 1 workflow\n"


def test_graph_draws_the_steps(daily: Colony) -> None:
    assert daily("workflow", "graph", "daily").out == (
        "●    fetch  worker\n"
        "├─╮\n"
        "● │  clean  worker  ×4\n"
        "│ │\n"
        '│ ●  check  when steps.fetch.status == "completed"\n'
        "├─╯\n"
        "●    load   for each item\n"
    )
    plain = daily("workflow", "graph", "daily", "--ascii").out
    assert plain.isascii() is False  # the × of a step's note is the user's business …
    assert plain.startswith("o    fetch  worker\n|-.\no |  clean")


def test_graph_draws_with_ascii_where_nothing_else_can_be_shown(daily: Colony) -> None:
    out = daily("workflow", "graph", "daily", env={"PYTHONIOENCODING": "ascii"}).out
    assert out.startswith("o    fetch  worker\n|-.\no |  clean")


def test_graph_as_json(daily: Colony) -> None:
    found = daily.json("workflow", "graph", "daily", "--json")
    assert found == {
        "workflow": "daily",
        "levels": [["fetch"], ["clean", "check"], ["load"]],
        "edges": [["fetch", "clean"], ["fetch", "check"], ["clean", "load"], ["check", "load"], ["fetch", "load"]],
    }
    schema.check(found, "workflow-graph")


def test_graph_in_other_languages(daily: Colony) -> None:
    assert daily("workflow", "graph", "daily", "--mermaid").out == (
        "flowchart LR\n"
        '  s1["fetch"]\n  s2["clean"]\n  s3["check"]\n  s4["load"]\n'
        "  s1 --> s2\n  s1 --> s3\n  s2 --> s4\n  s3 --> s4\n  s1 --> s4\n"
    )
    dot = daily("workflow", "graph", "daily", "--dot").out
    assert dot.startswith('digraph "daily" {\n  rankdir=LR; node [shape=box];\n  "fetch";\n')
    assert '  "clean" -> "load";\n' in dot
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=dot, text=True, check=True, capture_output=True)


def test_graph_takes_one_form(daily: Colony) -> None:
    result = daily("workflow", "graph", "daily", "--dot", "--json", check=False)
    assert (result.code, result.out) == (2, "")


def test_a_closed_pipe_ends_a_list_quietly(daily: Colony) -> None:
    for number in range(200):
        daily.workflow(f"w{number}", "steps: [{name: a, run: x}]")
    listing = daily.start("workflow", "list", "--json")
    assert listing.stdout is not None and listing.stderr is not None
    assert listing.stdout.readline()
    listing.stdout.close()
    assert listing.stderr.read() == ""
    listing.wait()
