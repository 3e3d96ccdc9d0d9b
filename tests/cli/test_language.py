"""The workflow language from file to shell: what a step puts out arrives in later steps as data, never as code."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Colony

HOSTILE = 'it\'s "$(touch pwned)" `touch pwned`; touch pwned\n* ~ \\ {{date}} ${HOME} é'


def test_a_hostile_output_is_data_in_every_place_of_the_language(colony: Colony) -> None:
    colony.write("hostile.json", json.dumps({"text": HOSTILE, "list": [HOSTILE, "b"], "count": 2}))
    colony.workflow(
        "w",
        """\
steps:
  - name: source step
    run: cat hostile.json
    output: found
  - name: words
    depends_on: [source step]
    run: printf '%s|' {{found.text}} "{{ steps.source step.output.text }}" '{{found.text}}' "$(printf '%s' '{{found.text}}')"
  - name: variable
    depends_on: [source step]
    env: {VALUE: "<{{found.text}}> $$HOME $GREETING"}
    run: printf '%s' "$VALUE"
  - name: each
    depends_on: [source step]
    for_each: "{{found.list}}"
    run: printf '%s %s/%s' {{item}} {{batch_id}} {{batch_count}}
  - name: guarded
    depends_on: [each]
    when: "found.count == 2 and 'touch' in found.text and {{steps.each.output.1}} == 'b 1/2'"
    run: printf '%s' {{steps.each.output}}
  - name: passed over
    depends_on: [each]
    when: found.text == 'PASS'
    run: touch pwned
""",
    )
    colony("workflow", "run", "w", "--date", "2013-02-08", env={"GREETING": "$HOME {{date}}"})
    run = colony.json("workflow", "status", "latest", "--json")
    steps = {step["name"]: step for step in run["steps"]}
    assert steps["words"]["output"] == (HOSTILE + "|") * 4
    assert steps["variable"]["output"] == f"<{HOSTILE}> $HOME $HOME {{{{date}}}}"
    assert steps["each"]["output"] == [f"{HOSTILE} 0/2", "b 1/2"]
    assert steps["guarded"]["output"] == [f"{HOSTILE} 0/2", "b 1/2"]
    assert [steps[name]["status"] for name in ("guarded", "passed over")] == ["completed", "skipped"]
    assert not (colony.root / "pwned").exists()


@pytest.mark.parametrize(
    ("output", "use", "error"),
    [
        ('{"rows": 3}', "run: echo {{steps.a.output.row}}", "'steps.a.output' has no 'row'; its keys are 'rows'"),
        (
            '{"rows": "3"}',
            "run: x\n    when: steps.a.output.rows > 2",
            "cannot tell whether {{steps.a.output.rows}} (text)",
        ),
        ('{"rows": 3}', 'run: x\n    for_each: "{{steps.a.output.rows}}"', "for_each needs a list"),
        ('"a\\u0000b"', "run: echo {{steps.a.output}}", "'{{steps.a.output}}' holds a NUL character"),
    ],
)
def test_a_value_that_does_not_fit_fails_the_step_with_a_reason(
    colony: Colony, output: str, use: str, error: str
) -> None:
    colony.write("output.json", output)
    colony.workflow(
        "w", f"steps:\n  - name: a\n    run: cat output.json\n  - name: b\n    depends_on: [a]\n    {use}\n"
    )
    assert colony("workflow", "run", "w", check=False).code == 1
    run = colony.json("workflow", "status", "latest", "--json")
    assert run["status"] == "failed"
    assert error in run["steps"][1]["error"]


def test_a_bad_file_is_refused_before_a_run_is_made(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - name: a\n    run: touch pwned\n  - name: b\n    depends_on: [c]\n    run: x\n")
    result = colony("workflow", "run", "w", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "colony workflow: step 'b' depends on the unknown step 'c' at .colony/workflows/w.yaml:6; there is 'a'\n"
    )
    assert not (colony.root / "pwned").exists()
    assert list((colony.root / ".colony" / "runs").iterdir()) == []


def test_input_is_checked_and_its_defaults_are_there(colony: Colony) -> None:
    colony.workflow(
        "w",
        "input: {type: object, required: [day], properties: {day: {type: string}, limit: {type: integer, default: 5}}}\n"
        "steps:\n  - {name: a, run: 'echo {{input.day}} {{input.limit}}'}\n",
    )
    result = colony("workflow", "run", "w", "--input", '{"day": 5}', check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "colony workflow: the input does not fit: 'input.day' must be text, not 5; see 'input'"
    )
    colony("workflow", "run", "w", "--input", '{"day": "monday"}')
    assert colony.json("workflow", "status", "latest", "--json")["steps"][0]["output"] == "monday 5"
